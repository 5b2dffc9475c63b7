/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* mem - a bound on what an input may make the code allocate. */
#include "src/base/mem.h"

#include "src/base/assert.h"
#include "tests/fuzz/fuzz.h"

static int
count(void *arg, size_t n)
{
	struct fuzz_mem *m = arg;

	m->total += n;
	ASSERT(n <= m->max && m->total <= m->max);
	return 0;
}

void
fuzz_mem_start(struct fuzz_mem *m, size_t max)
{
	*m = (struct fuzz_mem){0, max};
	mem_set_hook(count, m);
}

void
fuzz_mem_stop(struct fuzz_mem *m)
{
	(void)m;
	mem_set_hook(NULL, NULL);
}
