/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* ring_requests - what the operator asks a node for, and what becomes of it. */
#include "ring/plan.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/world/arena.h"
#include "tests/world/rings.h"

#define DOUBT_US 20000000

static const char *const op_texts[] = {
    [RING_OP_JOIN] = "join",
    [RING_OP_PLAN] = "plan",
    [RING_OP_COMMIT] = "commit",
    [RING_OP_CLEAR] = "clear",
    [RING_OP_LEAVE] = "leave",
    [RING_OP_REMOVE] = "force-remove",
    [RING_OP_DOWN] = "down",
};

/* --- requests ---------------------------------------------------------------
 */

static struct ring_request *
request_new(struct node *n, enum ring_op op, const char *name)
{
	struct rings *rs = n->world->rings;

	for (int i = 0; i < RINGS_REQUESTS; i++) {
		struct ring_request *q = &rs->requests[i];

		if (q->node)
			continue;
		*q = (struct ring_request){
		    .world = n->world, .node = n, .op = op};
		snprintf(q->name, sizeof(q->name), "%s", name ? name : "");
		world_trace(n->world, "node %u is asked: %s %s", n->slot,
		    op_texts[op], q->name);
		return q;
	}
	return NULL;
}

int
rings_are_busy(const struct rings *rs, const struct node *n)
{
	for (int i = 0; i < RINGS_REQUESTS; i++)
		if (n ? rs->requests[i].node == n
		      : rs->requests[i].node &&
			    rs->requests[i].op != RING_OP_JOIN)
			return 1;
	return 0;
}

static enum ring_refusal
plan(struct ring *now, struct ring **out)
{
	struct ring_plan *p;
	enum ring_refusal r = ring_plan_new(now, &p);

	if (r != RING_OK)
		return r;
	r = ring_plan_store(now, p, out);
	ring_plan_free(p);
	return r;
}

static enum ring_refusal
make(struct cluster_edit *e, struct ring *now, struct ring **out)
{
	struct ring_request *q = CONTAINER_OF(e, struct ring_request, edit);

	switch (q->op) {
	case RING_OP_PLAN:
		return plan(now, out);
	case RING_OP_COMMIT:
		return ring_commit(now, NULL, out);
	case RING_OP_CLEAR:
		return ring_clear(now, out);
	case RING_OP_LEAVE:
		return ring_stage_leave(now, q->name, out);
	case RING_OP_REMOVE:
		return ring_stage_remove(now, q->name, out);
	case RING_OP_DOWN:
		return ring_mark_down(now, q->name, 0, out);
	default:
		ASSERT_UNREACHED();
	}
}

static void
edited(struct cluster_edit *e, int r, enum ring_refusal refusal,
    struct ring *after)
{
	struct ring_request *q = CONTAINER_OF(e, struct ring_request, edit);
	struct rings *rs = q->world->rings;

	(void)after;
	world_trace(q->world, "node %u: %s %s: %s (%d)", q->node->slot,
	    op_texts[q->op], q->name, err_text(r), (int)refusal);
	q->node = NULL;
	if (r)
		rs->doubt_us = q->world->now_us + DOUBT_US;
	else if (refusal == RING_OK)
		rs->doubt_us = 0; /* what was under way before is no more */
	if (r == 0 && refusal == RING_PLAN_CHANGED)
		rs->replan = 1;
	if (r == 0 && refusal == RING_OK)
		q->world->counts.changes++;
}

static void
begin_edit(struct msg *m)
{
	struct ring_request *q = CONTAINER_OF(m, struct ring_request, msg);

	cluster_edit(core_cluster(q->node->core), &q->edit);
}

static void
on_worker_0(struct ring_request *q, void (*fn)(struct msg *m))
{
	const struct env *env = simenv_env(q->node->sim);

	q->msg = (struct msg){.kind = MSG_CALL, .fn = fn};
	env->post.to_worker(env->post.ctx, 0, &q->msg);
}

void
rings_ask(struct node *n, enum ring_op op, const char *name)
{
	struct ring_request *q = request_new(n, op, name);

	if (!q)
		return;
	q->edit = (struct cluster_edit){.make = make, .done = edited};
	on_worker_0(q, begin_edit);
}

/* --- joining ----------------------------------------------------------------
 */

static struct ring *
copy(const struct ring *r)
{
	struct ring *out;
	struct buf b;

	buf_init(&b, RING_ENCODED_MAX);
	ring_encode(r, &b);
	if (buf_error(&b) || ring_decode(buf_slice(&b), &out))
		ASSERT_UNREACHED();
	buf_deinit(&b);
	return out;
}

static void
joined(struct join_call *call, enum admin_result result, struct ring *ring,
    int known)
{
	struct ring_request *q = CONTAINER_OF(call, struct ring_request, join);
	struct node *n = q->node;
	unsigned before = arena_enter(0);

	(void)known;
	world_trace(
	    q->world, "node %u: join %s: %d", n->slot, q->name, (int)result);
	q->node = NULL;
	if (result == ADMIN_OK && !n->move && n->state == NODE_UP) {
		n->to = copy(ring);
		n->move = MOVE_JOIN;
	}
	arena_enter(before);
}

static void
begin_joining(struct msg *m)
{
	struct ring_request *q = CONTAINER_OF(m, struct ring_request, msg);

	if (q->node->state != NODE_UP ||
	    join_ask(core_join(q->node->core), &q->join))
		q->node = NULL;
}

void
rings_ask_to_join(struct node *n, struct node *contact)
{
	char name[RINGS_NAME_BYTES];
	struct ring_request *q;

	rings_name(contact->slot, name);
	q = request_new(n, RING_OP_JOIN, name);
	if (!q)
		return;
	q->join = (struct join_call){.done = joined};
	snprintf(q->join.contact, sizeof(q->join.contact), "%s", name);
	on_worker_0(q, begin_joining);
}

void
operator_forget(struct node *n)
{
	struct rings *rs = n->world->rings;

	ring_policies_forget(n);
	for (int i = 0; i < RINGS_REQUESTS; i++) {
		struct ring_request *q = &rs->requests[i];

		if (q->node != n)
			continue;
		if (q->op != RING_OP_JOIN)
			rs->doubt_us = n->world->now_us + DOUBT_US;
		q->node = NULL;
	}
}
