/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* cluster_asks - what is asked of the nodes of cluster_rig.c, and their answers:
 * joins, changes of the ring, events. */
#include "tests/node/cluster_rig.h"

#include <criterion/criterion.h>

#include "ring/hash.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/event.h"

/* --- joining -------------------------------------------------------------- */

struct joining {
	struct msg msg;
	struct join_call call;
	struct member *member;
	enum admin_result result;
	int done;
};

static void
joined(struct join_call *call, enum admin_result result, struct ring *ring,
    int known)
{
	struct joining *j = CONTAINER_OF(call, struct joining, call);

	(void)known;
	j->done = 1;
	j->result = result;
	if (result == ADMIN_OK)
		rig_move(j->member, ring, RING_VALID);
}

static void
begin_joining(struct msg *m)
{
	struct joining *j = CONTAINER_OF(m, struct joining, msg);

	cr_assert_eq(join_ask(core_join(j->member->core), &j->call), 0);
}

enum admin_result
rig_join(struct member *a, struct member *b)
{
	struct joining j = {.member = a, .call = {.done = joined}};

	memcpy(j.call.contact, b->name, sizeof(b->name));
	rig_on_worker_0(a, &j.msg, begin_joining);
	rig_wait_for(a->rig, &j.done, 20);
	return j.result;
}

/* --- changes -------------------------------------------------------------- */

enum rig_op { OP_PLAN, OP_COMMIT, OP_LEAVE, OP_REMOVE, OP_DOWN, OP_CLEAR };

struct editing_call {
	struct msg msg;
	struct cluster_edit edit;
	struct member *member;
	enum rig_op op;
	const char *name;
	int done, result;
};

static enum ring_refusal
make(struct cluster_edit *e, struct ring *now, struct ring **out)
{
	struct editing_call *call = CONTAINER_OF(e, struct editing_call, edit);
	struct ring_plan *p;
	enum ring_refusal r;

	switch (call->op) {
	case OP_PLAN:
		r = ring_plan_new(now, &p);
		if (r == RING_OK) {
			r = ring_plan_store(now, p, out);
			ring_plan_free(p);
		}
		return r;
	case OP_COMMIT:
		return ring_commit(now, NULL, out);
	case OP_LEAVE:
		return ring_stage_leave(now, call->name, out);
	case OP_REMOVE:
		return ring_stage_remove(now, call->name, out);
	case OP_DOWN:
		return ring_mark_down(now, call->name, 0, out);
	default:
		return ring_clear(now, out);
	}
}

static void
edited(struct cluster_edit *e, int r, enum ring_refusal refusal,
    struct ring *after)
{
	struct editing_call *call = CONTAINER_OF(e, struct editing_call, edit);

	(void)after;
	call->done = 1;
	call->result = r ? -1 : (int)refusal;
}

static void
begin_edit(struct msg *m)
{
	struct editing_call *call = CONTAINER_OF(m, struct editing_call, msg);

	cluster_edit(core_cluster(call->member->core), &call->edit);
}

static int
edit(struct member *m, enum rig_op op, const char *name)
{
	struct editing_call call = {
	    .member = m,
	    .op = op,
	    .name = name,
	    .edit = {.make = make, .done = edited},
	};

	rig_on_worker_0(m, &call.msg, begin_edit);
	rig_wait_for(m->rig, &call.done, 60);
	return call.result;
}

int
rig_plan(struct member *m)
{
	return edit(m, OP_PLAN, NULL);
}

int
rig_commit(struct member *m)
{
	return edit(m, OP_COMMIT, NULL);
}

int
rig_leave(struct member *m, const char *name)
{
	return edit(m, OP_LEAVE, name);
}

int
rig_remove(struct member *m, const char *name)
{
	return edit(m, OP_REMOVE, name);
}

int
rig_down(struct member *m, const char *name)
{
	return edit(m, OP_DOWN, name);
}

int
rig_clear(struct member *m)
{
	return edit(m, OP_CLEAR, NULL);
}

/* --- events --------------------------------------------------------------- */

struct asking {
	struct msg msg;
	struct vnode_put put;
	struct vnode_put_event event;
	struct vnode_read read;
	struct member *member;
	uint32_t group;
	int done, reads;
	char data[64];
};

static uint32_t
group_of(const char *stream)
{
	struct ring_hash *h = ring_hash_new();
	uint32_t g =
	    ring_hash_group(h, SLICE_LIT("b"), SLICE_STR(stream), RIG_Q);

	ring_hash_free(h);
	return g;
}

static void
put_back(struct msg *m)
{
	CONTAINER_OF(m, struct asking, put.msg)->done = 1;
}

static void
read_back(struct msg *m)
{
	CONTAINER_OF(m, struct asking, read.msg)->done = 1;
}

static void
ask(struct msg *m)
{
	struct asking *a = CONTAINER_OF(m, struct asking, msg);
	struct vnode_route route = core_route(a->member->core);

	route.send(route.ctx, a->group, a->reads ? &a->read.msg : &a->put.msg);
}

static void
make_data(char *out, size_t n, const char *stream, uint32_t nth)
{
	snprintf(out, n, "event %u of %s", nth, stream);
}

int64_t
rig_put(struct member *m, const char *stream, uint32_t nth)
{
	struct asking *a = mem_zalloc(sizeof(*a));
	int64_t r;

	a->member = m;
	a->group = group_of(stream);
	make_data(a->data, sizeof(a->data), stream, nth);
	a->event = (struct vnode_put_event){.data = SLICE_STR(a->data)};
	a->put = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .fn = put_back},
	    .group = a->group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_STR(stream),
	    .n_events = 1,
	    .events = &a->event,
	};
	rig_on_worker_0(m, &a->msg, ask);
	rig_wait_for(m->rig, &a->done, 20);
	r = a->put.r ? a->put.r : (int64_t)a->put.first;
	mem_free(a);
	return r;
}

static void
check_page(const struct vnode_page *page, const char *stream)
{
	for (uint32_t i = 0; i < page->n_parts; i++) {
		struct slice in = page->parts[i].records;

		while (in.n) {
			char want[64];
			struct event e;
			uint32_t bytes;

			cr_assert_eq(event_decode(in, 1, &e, &bytes), 0);
			make_data(want, sizeof(want), stream, (uint32_t)e.seq);
			cr_assert(slice_equal(e.data, SLICE_STR(want)),
			    "event %u of %s is '%.*s'", (unsigned)e.seq, stream,
			    (int)e.data.n, (const char *)e.data.p);
			in = SLICE(in.p + bytes, in.n - bytes);
		}
	}
}

int64_t
rig_read(struct member *m, const char *stream)
{
	struct asking *a = mem_zalloc(sizeof(*a));
	int64_t r;

	a->member = m;
	a->reads = 1;
	a->group = group_of(stream);
	a->read = (struct vnode_read){
	    .msg = {.kind = MSG_READ, .fn = read_back},
	    .group = a->group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_STR(stream),
	    .to = UINT64_MAX,
	    .limit = 1000,
	    .max_bytes = 1u << 20,
	};
	rig_on_worker_0(m, &a->msg, ask);
	rig_wait_for(m->rig, &a->done, 20);
	r = a->read.r ? a->read.r : (int64_t)a->read.newest;
	check_page(&a->read.page, stream);
	vnode_page_deinit(&a->read.page);
	mem_free(a);
	return r;
}
