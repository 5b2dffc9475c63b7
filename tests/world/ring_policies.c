/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* ring_policies - policies that some member is asked to set, until all have them.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "tests/world/arena.h"
#include "tests/world/rings.h"

static struct node *
some_member(struct world *w)
{
	struct node *n = &w->nodes[world_below(w, w->n_nodes)];

	return n->state == NODE_UP && process_serves(n) ? n : NULL;
}

/* What says that nothing is known, or was done: it is asked again. */
static int
is_refusal(int r)
{
	return r == -ERR_UNAVAILABLE || r == -ERR_UNKNOWN || r == -ERR_NOMEM;
}

static void
answered(struct msg *m)
{
	struct root_request *root = CONTAINER_OF(m, struct root_request, msg);
	struct policy_request *req =
	    CONTAINER_OF(root, struct policy_request, root);
	struct ring_policy *q = CONTAINER_OF(req, struct ring_policy, req);
	struct world *w = q->world;

	q->in_force = root->r == 0 && root->pending.n == 0;
	buf_deinit(&root->pending);
	world_trace(w, "node %u: a policy is set: %s%s", q->node->slot,
	    err_text(root->r), q->in_force ? "" : ", not everywhere");
	if (root->r && !is_refusal(root->r))
		world_fail(w, "a policy is refused: %s", err_text(root->r));
	q->node = NULL;
}

void
ring_policies_forget(struct node *n)
{
	struct ring_policy *q = &n->world->rings->policy;

	if (q->node == n)
		q->node = NULL;
}

int
process_hear_policies(struct node *n)
{
	struct world *w = n->world;
	struct ring_policy *q = &w->rings->policy;
	uint32_t at = w->policies.at;

	*q = (struct ring_policy){.world = w, .node = n};
	q->req.root.make = policy_request_make;
	q->req.root.msg.fn = answered;
	q->req.policy = w->policies.of[at];
	policies_name(w, at, &q->req.bucket, &q->req.stream);
	roots_ask(core_roots(n->core), ROOT_POLICIES, &q->req.root);
	return 0;
}

int
policies_push(struct world *w)
{
	struct ring_policy *q = &w->rings->policy;
	struct node *n;

	if (q->node)
		return 0;
	if (q->in_force && policies_are_in_logs(w)) {
		q->in_force = 0;
		return 1;
	}
	n = some_member(w);
	if (n)
		node_hear_policies(n);
	return 0;
}
