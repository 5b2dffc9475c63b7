/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* step_stop - reads the environment, counts, stops. */
#include "src/node/step_stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef IORIO_STEPS

static const char *const names[] = {
#define X(NAME, name, who) name,
    STEPS(X)
#undef X
};

static enum step wanted;
static atomic_long left;

static void
at(void *arg, enum step step)
{
	(void)arg;
	if (step == wanted && atomic_fetch_sub(&left, 1) == 1)
		raise(SIGSTOP); /* the whole process */
}

step_fn
step_stop_wanted(void)
{
	const char *text = getenv("TEST_STOP_AT");
	size_t n = text ? strcspn(text, ":") : 0;

	for (int i = 0; n && i < STEP_COUNT; i++) {
		if (strlen(names[i]) != n || memcmp(names[i], text, n) != 0)
			continue;
		wanted = (enum step)i;
		atomic_store(
		    &left, text[n] ? strtol(text + n + 1, NULL, 10) : 1);
		return at;
	}
	return NULL;
}

#else

step_fn
step_stop_wanted(void)
{
	return NULL;
}

#endif
