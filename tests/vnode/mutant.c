/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* mutant - a test that is to have a bug and to find it. */
#include "tests/vnode/mutant.h"

#include <stdlib.h>
#include <string.h>

#include "vnode/mutants.h"

#ifdef VNODE_WITH_MUTANTS
int vnode_mutant;

void
mutant_take(void)
{
	static const char *const names[] = {
#define MUTANT_NAME(name) [VNODE_##name] = #name,
	    RETAIN_MUTANTS(MUTANT_NAME) REPAIR_MUTANTS(MUTANT_NAME)
#undef MUTANT_NAME
	};
	const char *wanted = getenv("IORIO_MUTANT");

	for (int i = 0; i < VNODE_N_MUTANTS && wanted; i++)
		if (names[i] && strcmp(names[i], wanted) == 0)
			vnode_mutant = i;
}
#else
void
mutant_take(void)
{
}
#endif
