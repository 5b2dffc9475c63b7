/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * router_remote - requests that go to other nodes, and those that come from
 * them.
 *
 * A call's id says which worker waits for the answer, in which slot, and in
 * which life of it: an answer that comes late or twice finds nobody.  Lives begin
 * at a random number: what was asked before a restart may be answered after it.
 *
 *	id	bits 0..23 slot, 24..31 worker, 32..63 life of the slot
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/node/router_impl.h"
#include "vnode/mutants.h"

#define SLOTS_MAX  65536
#define SERVED_MAX 65536
#define GRACE_US   300000  /* for the other side's refusal to be heard */
#define LEFT_US    1000000 /* the same, of who is no member any more */
/* For a leader, at the other side: less than that.  Who asks tries again. */
#define SERVED_WAIT_US 200000

static uint64_t
call_id(const struct router_worker *w, uint32_t slot)
{
	return (uint64_t)w->slots[slot]->life << 32 | (uint64_t)w->id << 24 |
	       slot;
}

/* --- slots ---------------------------------------------------------------- */

static int
add_slot(struct router_worker *w)
{
	struct call_slot *s;

	if (w->n_slots == w->cap_slots) {
		uint32_t cap = w->cap_slots ? 2 * w->cap_slots : 64;
		void *p = cap > SLOTS_MAX
			      ? NULL
			      : mem_realloc(w->slots, cap * sizeof(*w->slots));

		if (!p)
			return -ERR_NOMEM;
		w->slots = p;
		w->cap_slots = cap;
	}
	s = mem_zalloc(sizeof(*s));
	if (!s)
		return -ERR_NOMEM;
	list_init(&s->link);
	s->life = VNODE_MUTANT(CALL_IDS_COME_AGAIN) ? 0 : w->first_life;
	s->next_free = w->first_free;
	s->place = w->n_slots;
	w->slots[w->n_slots++] = s;
	w->first_free = w->n_slots;
	return 0;
}

static void
free_slot(struct router_worker *w, uint32_t slot)
{
	struct call_slot *s = w->slots[slot];

	list_del(&s->link);
	s->m = NULL;
	s->life += !VNODE_MUTANT(CALL_IDS_COME_AGAIN);
	s->next_free = w->first_free;
	w->first_free = slot + 1;
	w->n_out--;
}

/* --- asking --------------------------------------------------------------- */

static int
send(struct router_worker *w, const uint8_t node[16], uint64_t id,
    const struct msg *m)
{
	const struct env_net *net = &w->router->env->net;
	struct call_out out;
	int r = call_encode(&out, id, m);

	if (r == 0)
		r = net->send(net->ctx, w->id, node, NET_CONTROL, out.iov,
		    (int)out.n_iov);
	call_out_deinit(&out);
	return r;
}

int
router_call(struct router_worker *w, struct msg *m, const uint8_t node[16])
{
	struct call_slot *s;
	uint32_t slot;
	int r = 0;

	if (!w->first_free)
		r = add_slot(w);
	if (r)
		return r;
	slot = w->first_free - 1;
	s = w->slots[slot];
	m->answer = 0;
	r = send(w, node, call_id(w, slot), m);
	if (r)
		return r;
	w->first_free = s->next_free;
	s->m = m;
	s->left_us = 0;
	s->deadline_us = m->deadline_us + GRACE_US;
	memcpy(s->node, node, 16);
	list_add_tail(&w->calls, &s->link);
	w->n_out++;
	router_arm(w);
	return 0;
}

static void
answered(struct router *r, uint32_t worker, struct net_frame *f,
    const struct call_in *in)
{
	struct router_worker *w = &r->workers[worker];
	uint32_t slot = in->id & 0xffffff;
	struct call_slot *s = slot < w->n_slots ? w->slots[slot] : NULL;
	struct msg *m = s ? s->m : NULL;

	if (m && s->life == in->id >> 32 && memcmp(s->node, f->from, 16) == 0 &&
	    call_answer(in, f->block, m) == 0) {
		free_slot(w, slot);
		router_settle(w, m, f->from);
	}
	net_frame_free(f);
}

/* What was sent may have been done. */
static void
give_up(struct router_worker *w, struct call_slot *s)
{
	struct msg *m = s->m;
	uint8_t *leader = w->leaders[request_group(m)];

	if (memcmp(leader, s->node, 16) == 0)
		memset(leader, 0, 16);
	free_slot(w, s->place);
	m->unsure = request_is_write(m);
	if (router_may_repeat(m))
		router_later(w, m);
	else
		router_deliver(m, -ERR_UNKNOWN);
}

/* A node that leaves has handed all over before it is no member, and goes on
 * refusing what comes late: that is on its way. */
static int
is_lost(const struct router_worker *w, struct call_slot *s, uint64_t now)
{
	const struct peers *peers = w->router->peers;

	if (peers_is_up(peers, s->node))
		return 0;
	if (peers_is_silent(peers, s->node))
		return 1;
	if (!s->left_us)
		s->left_us = now;
	return now - s->left_us >= LEFT_US;
}

void
router_calls_tick(struct router_worker *w)
{
	uint64_t now = router_now(w->router);

	LIST_FOREACH_SAFE (node, tmp, &w->calls) {
		struct call_slot *s = LIST_ENTRY(node, struct call_slot, link);

		if (w->stopping || now >= s->deadline_us || is_lost(w, s, now))
			give_up(w, s);
	}
}

/* --- serving -------------------------------------------------------------- */

/* A request of another node, while it is served here. */
struct served {
	struct router_worker *worker;
	struct net_frame *frame;
	uint64_t id;
	uint8_t node[16];
};

static void
served_done(struct msg *m)
{
	struct served *s = m->served;

	m->answer = 1;
	send(s->worker, s->node, s->id, m); /* lost: the caller gives it up */
	s->worker->n_served--;
	call_free_request(m);
	net_frame_free(s->frame);
	mem_free(s);
}

static void
serve(struct router_worker *w, struct net_frame *f, const struct call_in *in)
{
	struct router *r = w->router;
	const struct env_post *post = &r->env->post;
	struct served *s;
	struct msg *m;

	if (w->n_served >= SERVED_MAX || call_request(in, &m)) {
		net_frame_free(f);
		return;
	}
	s = mem_alloc(sizeof(*s));
	if (!s || request_group(m) >= r->n_groups) {
		mem_free(s);
		call_free_request(m);
		net_frame_free(f);
		return;
	}
	*s = (struct served){.worker = w, .frame = f, .id = in->id};
	memcpy(s->node, f->from, 16);
	w->n_served++;
	m->served = s;
	m->from = w->id;
	m->wait_until_us = router_now(r) + SERVED_WAIT_US;
	m->fn = served_done;
	if (in->relay)
		router_send(r, request_group(m), m);
	else
		post->to_worker(
		    post->ctx, request_group(m) % post->n_workers, m);
}

void
router_frame(struct router *r, uint32_t worker, struct net_frame *f,
    const struct call_in *in)
{
	const struct env_post *post = &r->env->post;
	uint32_t owner = in->answer ? in->id >> 24 & 0xff : worker;

	if (owner >= post->n_workers)
		net_frame_free(f);
	else if (owner != worker)
		post->to_worker(post->ctx, owner, &f->msg);
	else if (in->answer)
		answered(r, worker, f, in);
	else
		serve(&r->workers[worker], f, in);
}
