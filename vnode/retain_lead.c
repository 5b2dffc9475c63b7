/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* retain_lead - what the leader of a group puts into its log for retention. */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/policy.h"
#include "vnode/store_impl.h"

/* --- the policies of the cluster, from worker to worker -------------------- */

struct policies_call {
	struct msg msg;
	struct store *store;
	uint32_t worker;
	struct policies *policies; /* one reference */
};

static void
take_policies(struct msg *m)
{
	struct policies_call *c = CONTAINER_OF(m, struct policies_call, msg);
	struct store_worker *w = &c->store->workers[c->worker];

	policies_unref(w->policies);
	w->policies = policies_ref(c->policies);
	if (++c->worker < c->store->n_workers) {
		store_call(c->store, c->worker, &c->msg, take_policies);
		return;
	}
	policies_unref(c->policies);
	mem_free(c);
}

int
store_set_policies(struct store *s, struct policies *t)
{
	struct policies_call *c = mem_alloc(sizeof(*c));

	if (!c)
		return -ERR_NOMEM;
	*c = (struct policies_call){.store = s, .policies = policies_ref(t)};
	store_call(s, 0, &c->msg, take_policies);
	return 0;
}
