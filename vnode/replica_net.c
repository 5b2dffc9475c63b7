/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * replica_net - messages of the core to frames, and back.
 *
 * Bodies of applied entries are no longer in memory.  A message that needs one
 * is held while a lane reads them from the journal, and what follows for the
 * same peer is held behind it, so that the peer sees no gap.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/entry.h"
#include "vnode/fill.h"
#include "vnode/repair.h"
#include "vnode/replica.h"

#define HELD_MAX 256

const uint8_t *
replica_node(const struct vnode *v, raft_id id)
{
	const struct group *g = &v->group;
	const struct raft_members *m = raft_members(g->raft);

	for (uint32_t i = 0; i < m->n; i++)
		if (m->at[i].id == id)
			return m->at[i].node;
	return id == g->leader_id ? g->leader_node : NULL;
}

/* --- sending -------------------------------------------------------------- */

static void
fill_in(
    struct wire_message *out, const struct vnode *v, const struct raft_msg *m)
{
	*out = (struct wire_message){
	    .type = (uint8_t)m->type,
	    .group = v->group.id,
	    .from = m->from,
	    .to = m->to,
	    .term = m->term,
	    .index = m->index,
	    .log_term = m->log_term,
	    .commit = m->commit,
	    .round = m->round,
	    .n = m->n,
	    .reject = m->reject,
	    .transfer = m->transfer,
	    .uncounted = m->uncounted,
	    .heal = m->heal,
	};
}

static uint32_t
wall_bits(const struct store_worker *w)
{
	const struct env_clock *c = &w->store->env->clock;

	return (uint32_t)c->wall(c->ctx).ms;
}

/* A heartbeat's answer that says what the one before it said. */
static int
says_nothing_new(struct group *g, const struct raft_msg *m)
{
	struct answered now = {m->to, m->term, m->index, m->round};
	int same = m->type == RAFT_APPEND_ANSWER && !m->reject &&
		   !m->uncounted &&
		   memcmp(&g->answered, &now, sizeof(now)) == 0;

	if (m->type == RAFT_APPEND_ANSWER)
		g->answered = now;
	return same;
}

static void
put_out(struct store_worker *w, struct vnode *v, const struct raft_msg *m,
    const uint64_t *terms, struct body *const *bodies)
{
	const uint8_t *node = replica_node(v, m->to);
	struct wire_message out;

	if (!node && w->asker_node && w->asker == m->to)
		node = w->asker_node;
	if (!node)
		return;
	fill_in(&out, v, m);
	if (m->type == RAFT_APPEND_ANSWER)
		out.wall = wall_bits(w);
	outbox_add(&w->outbox, node, &out, terms, bodies,
	    says_nothing_new(&v->group, m));
}

/* A message that waits, and the job that reads what it needs. */
struct held {
	struct env_job job;
	struct msg msg;
	struct held *next;
	struct store *store;
	struct vnode *vnode;
	struct raft_msg m;
	int running, r;
	uint64_t *terms;
	lsn_t *positions;
	uint32_t *bytes;
	struct body **bodies; /* read or, of those in memory, referenced */
};

static void
held_free(struct store_worker *w, struct held *h)
{
	for (uint32_t i = 0; h->bodies && i < h->m.n; i++)
		if (h->bodies[i])
			replica_release(w, h->bodies[i]);
	mem_free(h->bodies);
	mem_free(h->terms);
	mem_free(h->positions);
	mem_free(h->bytes);
	mem_free(h);
}

static void start_reading(struct store_worker *w, struct vnode *v);

static void
was_read(struct msg *m)
{
	struct held *h = CONTAINER_OF(m, struct held, msg);
	struct vnode *v = h->vnode;
	struct group *g = &v->group;
	struct store_worker *w = store_worker_of(h->store, g->id);
	int lacks;

	w->n_reading--;
	if (g->held != h) { /* given up meanwhile */
		held_free(w, h);
		return;
	}
	g->held = h->next;
	if (!g->held)
		g->last_held = &g->held;
	g->n_held--;
	if (h->r == 0 && g->raft && raft_term(g->raft) == h->m.term)
		put_out(w, v, &h->m, h->terms, h->bodies);
	lacks = h->r && h->r != -ERR_NOMEM && g->raft &&
		raft_base(g->raft) <= h->m.index;
	held_free(w, h);
	start_reading(w, v);
	if (lacks) /* what its journal should have */
		placing_let_another(w, v);
}

/* LANE_READ. */
static void
read_bodies(struct env_job *job)
{
	struct held *h = CONTAINER_OF(job, struct held, job);
	struct journal_head want = {
	    .type = JOURNAL_ENTRY,
	    .group = h->vnode->group.id,
	    .generation = h->m.from,
	};

	for (uint32_t i = 0; h->r == 0 && i < h->m.n; i++) {
		struct block *block;
		struct slice payload;

		if (h->bodies[i])
			continue;
		want.term = h->terms[i];
		want.index = h->m.index + 1 + i;
		h->r = journal_read(h->store->journal, h->positions[i], &want,
		    h->bytes[i], &block, &payload);
		if (h->r)
			break;
		h->bodies[i] = body_whole(block, payload);
		block_unref(block);
		if (!h->bodies[i])
			h->r = -ERR_NOMEM;
	}
	store_call(h->store, store_worker_of(h->store, h->vnode->group.id)->id,
	    &h->msg, was_read);
}

static void
start_reading(struct store_worker *w, struct vnode *v)
{
	const struct env_post *post = &w->store->env->post;
	struct held *h = v->group.held;

	if (!h || h->running)
		return;
	h->running = 1;
	h->job.run = read_bodies;
	w->n_reading++;
	post->to_lane(post->ctx, LANE_READ, &h->job);
}

static int
is_held(const struct group *g, raft_id to)
{
	for (const struct held *h = g->held; h; h = h->next)
		if (h->m.to == to)
			return 1;
	return 0;
}

/* What is known of M's entries; 1 when some body is missing. */
static int
collect(struct vnode *v, struct held *h)
{
	int missing = 0;

	for (uint32_t i = 0; i < h->m.n; i++) {
		const struct raft_entry *e =
		    raft_entry_at(v->group.raft, h->m.index + 1 + i);

		h->terms[i] = e->term;
		h->positions[i] = e->position;
		h->bytes[i] = e->bytes;
		h->bodies[i] = e->body ? body_ref(e->body) : NULL;
		missing |= !e->body;
	}
	return missing;
}

static struct held *
held_new(struct store *s, struct vnode *v, const struct raft_msg *m)
{
	struct held *h = mem_zalloc(sizeof(*h));

	if (!h)
		return NULL;
	h->store = s;
	h->vnode = v;
	h->m = *m;
	h->terms = mem_calloc(m->n + 1, sizeof(*h->terms));
	h->positions = mem_calloc(m->n + 1, sizeof(*h->positions));
	h->bytes = mem_calloc(m->n + 1, sizeof(*h->bytes));
	h->bodies = mem_calloc(m->n + 1, sizeof(struct body *));
	if (h->terms && h->positions && h->bytes && h->bodies)
		return h;
	h->m.n = 0;
	held_free(NULL, h);
	return NULL;
}

static void
send_entries(struct store_worker *w, struct vnode *v, const struct raft_msg *m)
{
	struct group *g = &v->group;
	struct held *h;
	int missing;

	if (m->n && (m->index < raft_base(g->raft) ||
			m->index + m->n > raft_last(g->raft)))
		return;
	if (g->n_held >= HELD_MAX || !(h = held_new(w->store, v, m)))
		return; /* lost; the core sends it again */
	missing = collect(v, h);
	if (!missing && !is_held(g, m->to)) {
		put_out(w, v, m, h->terms, h->bodies);
		held_free(w, h);
		return;
	}
	*g->last_held = h;
	g->last_held = &h->next;
	g->n_held++;
	start_reading(w, v);
}

void
replica_send(struct store_worker *w, struct vnode *v, const struct raft_msg *m)
{
	if (m->type == RAFT_APPEND && (m->n || v->group.held))
		send_entries(w, v, m);
	else
		put_out(w, v, m, NULL, NULL);
}

void
replica_let_go(struct store_worker *w, struct vnode *v)
{
	struct group *g = &v->group;
	struct held *h, *next;

	for (h = g->held; h; h = next) {
		next = h->next;
		if (!h->running) /* else was_read frees it */
			held_free(w, h);
	}
	g->held = NULL;
	g->last_held = &g->held;
	g->n_held = 0;
}

/* --- receiving ------------------------------------------------------------ */

static void
no_replica(struct store_worker *w, const struct wire_message *m,
    const uint8_t node[16])
{
	struct wire_message out = {
	    .type = WIRE_NO_REPLICA,
	    .group = m->group,
	    .from = m->to,
	    .to = m->from,
	    .term = m->term,
	};

	outbox_add_bytes(&w->outbox, node, &out, SLICE(NULL, 0), 0);
}

/* Who belongs to the group, as some entry says. */
struct inbound_members {
	struct raft_members view;
	struct entry_members set;
};

struct inbound {
	struct raft_msg m;
	struct raft_entry *entries;
};

static void
inbound_deinit(struct inbound *in)
{
	for (uint32_t i = 0; i < in->m.n; i++)
		mem_free((void *)(uintptr_t)in->entries[i].members);
	mem_free(in->entries);
}

static int
decode_entry(
    struct net_frame *f, struct wire_message *m, struct raft_entry *out)
{
	struct entry_members set;
	struct inbound_members *im;
	struct wire_entry e;
	struct body *b;
	int kind, r = wire_next_entry(m, &e);

	if (r)
		return r;
	kind = entry_kind(e.payload, &set);
	if (kind < 0)
		return kind;
	if (kind == RAFT_MEMBERS) {
		im = mem_alloc(sizeof(*im));
		if (!im)
			return -ERR_NOMEM;
		im->set = set;
		im->view = entry_members_view(&im->set);
		out->members = &im->view;
	}
	b = body_new(f->block, e.payload, e.crc);
	if (!b)
		return -ERR_NOMEM;
	out->term = e.term;
	out->kind = (enum raft_kind)kind;
	out->bytes = b->bytes;
	out->body = b;
	return 0;
}

/* The core gets the message; its bodies are the core's then. */
static int
decode(struct net_frame *f, struct wire_message *m, struct inbound *in)
{
	int r = 0;

	*in = (struct inbound){
	    .m = {.type = (enum raft_msg_type)m->type,
		.from = m->from,
		.to = m->to,
		.term = m->term,
		.index = m->index,
		.log_term = m->log_term,
		.commit = m->commit,
		.round = m->round,
		.reject = m->reject,
		.transfer = m->transfer,
		.uncounted = m->uncounted,
		.heal = m->heal},
	};
	if (m->n == 0)
		return 0;
	in->entries = mem_calloc(m->n, sizeof(*in->entries));
	if (!in->entries)
		return -ERR_NOMEM;
	for (; r == 0 && in->m.n < m->n; in->m.n++)
		r = decode_entry(f, m, &in->entries[in->m.n]);
	in->m.entries = in->entries;
	return r;
}

/* One that was removed while it was away wants to be elected, or asks. */
static void
tell_removed(struct store_worker *w, struct vnode *v, struct net_frame *f,
    const struct wire_message *m)
{
	const struct raft *r = v->group.raft;
	struct wire_message out = {
	    .type = WIRE_REMOVED,
	    .group = m->group,
	    .from = m->to,
	    .to = m->from,
	    .term = raft_term(r),
	    .index = raft_commit(r),
	};

	if (raft_commit(r) == raft_last(r) && !raft_member(r, m->from))
		outbox_add_bytes(&w->outbox, f->from, &out, SLICE(NULL, 0), 0);
}

static void
for_core(struct store_worker *w, struct vnode *v, struct net_frame *f,
    struct wire_message *m)
{
	struct group *g = &v->group;
	struct inbound in;
	int r = decode(f, m, &in);

	if (r) {
		for (uint32_t i = 0; i < in.m.n; i++)
			body_unref(in.entries[i].body);
		inbound_deinit(&in);
		return;
	}
	if (m->type == RAFT_PREVOTE && replica_is_ready(v))
		tell_removed(w, v, f, m);
	w->asker = m->from;
	w->asker_node = f->from;
	if (m->type == RAFT_APPEND && m->term >= raft_term(g->raft)) {
		g->leader_id = m->from;
		memcpy(g->leader_node, f->from, 16);
		g->heard_at =
		    w->store->env->clock.mono(w->store->env->clock.ctx);
	}
	if (m->type == RAFT_APPEND_ANSWER && m->wall)
		clocks_hear(
		    &w->clocks, f->from, (int32_t)(m->wall - wall_bits(w)));
	raft_receive(g->raft, &in.m, &w->fx);
	inbound_deinit(&in);
	replica_effects(w, v);
	w->asker_node = NULL;
}

/* M comes from where its sender lives, as far as that is known here. */
static int
is_at_home(const struct vnode *v, const struct net_frame *f,
    const struct wire_message *m)
{
	const struct raft_member *from =
	    v->group.raft ? raft_member(v->group.raft, m->from) : NULL;

	return !from || memcmp(from->node, f->from, 16) == 0;
}

/* A leader says that this replica was removed by an entry that it has not got.
 * One that hears from a leader is none that was removed. */
static void
was_removed(
    struct store_worker *w, struct vnode *v, const struct wire_message *m)
{
	const struct raft *r = v->group.raft;

	if (m->index > v->group.generation && m->index > raft_commit(r) &&
	    (!raft_leader(r) || retire_hears_nobody(w, v)))
		retire_removed(v);
}

static void
asked_to_fill(struct store_worker *w, struct vnode *v,
    const struct wire_message *m, const struct fill_message *fm, int here)
{
	if (here && !v->group.failed && raft_role(v->group.raft) == RAFT_LEADER)
		fill_send_message(w, v, m, fm);
}

/* While this replica is out of service. */
static void
others_committed(const struct store_worker *w, struct group *g, uint64_t index)
{
	const struct env_clock *c = &w->store->env->clock;

	g->others_commit = index;
	g->others_newest = c->mono(c->ctx);
	if (g->others_first.us == 0)
		g->others_first = g->others_newest;
}

/* For who uses the store. */
static void
on_above(
    struct store *s, const struct net_frame *f, const struct wire_message *m)
{
	if (s->config.told && m->index <= m->rest.n)
		s->config.told(s->config.above_arg, f->from,
		    SLICE(m->rest.p, (size_t)m->index));
}

static void
on_message(struct store_worker *w, struct net_frame *f, struct wire_message *m)
{
	struct vnode *v = &w->store->vnodes[m->group];
	struct group *g = &v->group;
	int here = g->raft && m->to == g->generation && !fill_replaces(v) &&
		   !retire_is_under_way(v);
	struct fill_message fm;

	if (m->type == WIRE_ABOVE) {
		on_above(w->store, f, m);
		return;
	}
	if (!is_at_home(v, f, m))
		return;
	if (m->type < RAFT_MSG_TYPES && m->type > 0) {
		if (m->to > g->generation || !g->raft)
			no_replica(w, m, f->from);
		else if (!here)
			return;
		else if (!g->failed)
			for_core(w, v, f, m);
		else if (m->type == RAFT_APPEND && m->commit > g->others_commit)
			others_committed(w, g, m->commit);
		return;
	}
	if (m->type == WIRE_REMOVED && here && !g->failed)
		was_removed(w, v, m);
	if (m->type == WIRE_ASK && replica_is_ready(v))
		tell_removed(w, v, f, m);
	if (m->type == WIRE_NO_REPLICA && here && !g->failed) {
		raft_fill_needed(g->raft, m->from, &w->fx);
		replica_effects(w, v);
	}
	if (m->type == WIRE_FILL && fill_decode(m->rest, &fm) == 0) {
		int of_receiver = fm.op == FILL_GET_MANIFEST ||
				  fm.op == FILL_GET_CHUNKS ||
				  fm.op == FILL_DONE;

		if (of_receiver || fm.op == FILL_FAILED)
			asked_to_fill(w, v, m, &fm, here);
		if (!of_receiver)
			fill_receive_message(w, v, f->from, m, &fm);
		if (here && !v->group.failed)
			repair_message(w, v, f->from, m, &fm);
	}
}

/* A copy of F for WORKER, which shares its block. */
static void
pass_on(struct store_worker *w, const struct net_frame *f, uint32_t worker)
{
	const struct env_post *post = &w->store->env->post;
	struct net_frame *part = mem_alloc(sizeof(*part));

	if (!part)
		return; /* lost */
	*part = *f;
	part->msg = (struct msg){.kind = MSG_FRAME_PART};
	block_ref(f->block);
	post->to_worker(post->ctx, worker, &part->msg);
}

void
replica_frame(struct store_worker *w, struct net_frame *f)
{
	struct store *s = w->store;
	uint64_t others = 0;
	struct wire_reader reader;
	struct wire_message m;
	int r = wire_open(&reader, f->bytes);

	if (!w->beat) /* it has stopped and begins nothing any more */
		r = -ERR_STOPPING;
	while (r == 0 && (r = wire_next(&reader, &m)) == 0) {
		uint32_t worker = m.group % s->n_workers;

		if (m.group >= s->config.n_groups)
			continue;
		if (worker == w->id)
			on_message(w, f, &m);
		else
			others |= 1ull << worker % 64;
	}
	for (uint32_t i = 0; i < s->n_workers; i++)
		if (i != w->id && f->msg.kind == MSG_FRAME &&
		    (others >> i % 64 & 1))
			pass_on(w, f, i);
	net_frame_free(f);
}
