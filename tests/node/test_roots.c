/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* What a node goes by when memory was short. */
#include <criterion/criterion.h>

#include "src/base/mem.h"
#include "tests/node/cluster_rig.h"
#include "vnode/policy.h"

TestSuite(roots, .timeout = 120);

static int
all_know(struct rig *rig, void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < RIG_NODES; i++)
		if (rig->at[i].n_policies == 0)
			return 0;
	return 1;
}

/* The first of what a table of no policies is made in. */
static int
refuse_one(void *arg, size_t bytes)
{
	int *refused = arg;

	if (*refused || bytes != sizeof(struct policy_row))
		return 0;
	*refused = 1;
	return 1;
}

Test(roots, a_node_that_was_short_of_memory_comes_to_know_the_policies)
{
	struct rig *rig = rig_new();
	int refused = 0;

	mem_set_hook(refuse_one, &refused);
	rig_run_until(rig, all_know, NULL, 10);
	mem_set_hook(NULL, NULL);
	cr_assert(refused);
}
