/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * group - the state machine that applies proposals, and their answers.
 *
 * Invariants:
 *  1. While this replica leads, stream->proposed is last plus the events of
 *     this stream in flight; else it is last.
 *  2. A stream without events (last == 0) is only proposed.  So is the end of
 *     one that is dropping: nothing is proposed for it behind that, and what is
 *     proposed under its name is for a newer one.
 *  3. t of an event is the group clock of its entry; the clock never decreases
 *     from entry to entry, whatever the wall clock does.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/entry.h"
#include "vnode/group_impl.h"
#include "vnode/mutants.h"
#include "vnode/vnode.h"

void
group_init(struct group *g, uint16_t id, uint64_t generation)
{
	*g = (struct group){
	    .id = id,
	    .generation = generation,
	    .proposed_stream_id = 1,
	    .next_stream_id = 1,
	};
	list_init(&g->turn);
	list_init(&g->touched);
	list_init(&g->in_flight);
	g->last_waiting = &g->waiting;
	g->last_unread = &g->unread;
	g->last_asked = &g->asked;
	g->last_reads = &g->reads;
	g->last_held = &g->held;
}

void
group_deinit(struct group *g)
{
	ASSERT(!g->open && list_empty(&g->in_flight) && !g->waiting &&
	       !g->asked && !g->reads);
	g->raft = raft_free(g->raft);
	mem_free(g->read_index);
}

void
group_lead(struct group *g)
{
	uint64_t term = raft_term(g->raft);

	if (g->led_term == term)
		return;
	ASSERT(!g->open);
	g->led_term = term;
	g->proposed_stream_id = g->next_stream_id;
	g->proposed_clock_ms = g->clock_ms;
}

/* --- applying ------------------------------------------------------------- */

/* What the header of a chunk of S takes: chunk_header_bytes with its names. */
static uint32_t
header_bytes(const struct stream *s)
{
	struct chunk_id id = {
	    .bucket = SLICE(s->bucket->name, s->bucket->name_n),
	    .stream = stream_name(s),
	};

	return chunk_header_bytes(&id);
}

static int
apply_event(struct vnode *v, struct tail_cache *cache, struct stream *s,
    uint64_t seq, uint64_t t_ms, uint16_t flags, struct slice head,
    struct slice data, uint32_t data_bytes)
{
	int base = (flags & EVENT_BASE) != 0;
	int r = stream_apply(s, cache, seq, t_ms, head, data, data_bytes,
	    header_bytes(s), base || kept_is_over(s, t_ms));

	if (r == 0)
		r = vnode_made_visible(v, s);
	if (r)
		return r;
	v->n_events++;
	v->bytes += data_bytes;
	r = retain_applied(v, s, t_ms, base);
	if (r)
		return r;
	if (list_empty(&s->unsaved))
		list_add_tail(&v->unsaved, &s->unsaved);
	watch_touch(v, s);
	return 0;
}

/* The first N keys of an entry that was proposed here count from now on. */
static int
take_keys(struct proposal *p, uint32_t n)
{
	while (p->n_taken < n) {
		struct dedup_key *next = p->first_key->next;
		int r = dedup_take(p->dedup, p->first_key);

		if (r)
			return r;
		p->first_key = next;
		p->n_taken++;
	}
	return 0;
}

/* What all of an entry has in common. */
struct applying {
	struct tail_cache *cache;
	struct dirty *dirty;
	uint64_t index, clock_ms;
	uint32_t ordinal; /* of what comes next */
};

/* S ends.  Its files stay until a checkpoint has dropped it: dropped.c. */
static int
apply_delete(struct vnode *v, struct applying *a, struct stream *s)
{
	struct manifest_ended row = {
	    .id = s->id,
	    .index = a->index,
	    .t_ms = a->clock_ms,
	    .ordinal = a->ordinal++,
	    .bucket = SLICE(s->bucket->name, s->bucket->name_n),
	    .stream = stream_name(s),
	};
	int r = ended_add(&v->ended, &row, 0);

	if (r)
		return r;
	if (!list_empty(&s->dirty))
		dirty_remove(a->dirty, s);
	watch_touch(v, s);
	dedup_drop_stream(&v->dedup, s);
	vnode_unlink(v, s);
	stream_forget_tail(s, a->cache);
	s->dead = 1;
	s->older = NULL;
	list_add_tail(&v->dead, &s->unsaved);
	return 0;
}

/* E, the first of N events that were appended to S at once, has a key. */
static int
apply_key(struct vnode *v, struct stream *s, const struct event *e, uint32_t n)
{
	struct event_key id;

	if (event_key_decode(e->ext, &id) || id.n_events != n)
		return -ERR_CORRUPT;
	if (VNODE_MUTANT(KEYS_NOT_TAKEN))
		return 0;
	return dedup_add(&v->dedup, s, e->seq, e->t_ms, &id);
}

/* Whether E is event SEQ of a stream, and the next of this entry. */
static int
is_next(const struct applying *a, const struct event *e, uint64_t seq)
{
	return e->seq == seq && e->index == a->index &&
	       e->ordinal == a->ordinal && e->t_ms == a->clock_ms;
}

static int
apply_append(struct vnode *v, struct applying *a, const struct entry_command *c)
{
	struct stream *s = vnode_by_id(v, c->stream_id);
	struct slice in = c->records;
	uint64_t seq = c->first_seq;

	if (!s)
		return -ERR_CORRUPT;
	for (uint32_t i = 0; i < c->n_events; i++, seq++) {
		struct event e;
		uint32_t n;
		int r;

		if (event_decode(in, 1, &e, &n) || !is_next(a, &e, seq) ||
		    ((e.flags & EVENT_KEY) && i))
			return -ERR_CORRUPT;
		if (VNODE_MUTANT(BASE_NOT_REPLAYED))
			e.flags = (uint16_t)(e.flags & ~EVENT_BASE);
		r = apply_event(v, a->cache, s, seq, e.t_ms, e.flags,
		    SLICE(in.p, n), SLICE(NULL, 0), (uint32_t)e.data.n);
		if (r == 0 && (e.flags & EVENT_KEY))
			r = apply_key(v, s, &e, c->n_events);
		if (r)
			return r;
		a->ordinal++;
		in = SLICE(in.p + n, in.n - n);
	}
	dirty_add(a->dirty, s);
	s->cut = 1;
	return in.n == 0 ? 0 : -ERR_CORRUPT;
}

static int
apply_command(
    struct vnode *v, struct applying *a, const struct entry_command *c)
{
	struct stream *s;

	switch (c->type) {
	case ENTRY_NOOP:
	case ENTRY_MEMBERS: /* the core's */
		return 0;
	case ENTRY_CREATE:
		if (c->stream_id != v->group.next_stream_id ||
		    vnode_newest(v, c->bucket, c->stream))
			return -ERR_CORRUPT;
		v->group.proposed_stream_id = ++v->group.next_stream_id;
		return vnode_create(v, c->stream_id, c->bucket, c->stream)
			   ? 0
			   : -ERR_NOMEM;
	case ENTRY_APPEND:
		return apply_append(v, a, c);
	case ENTRY_DELETE:
		s = vnode_by_id(v, c->stream_id);
		if (!s || s->last == 0)
			return -ERR_CORRUPT;
		return apply_delete(v, a, s);
	case ENTRY_POLICIES:
		return retain_take_policies(v, c->policies);
	case ENTRY_TICK: /* the clock of the entry is all */
		return 0;
	}
	return -ERR_FORMAT;
}

/* An entry that came by the journal or from another node. */
static int
apply_bytes(struct vnode *v, struct applying *a, struct slice payload)
{
	struct group *g = &v->group;
	struct entry_command c;
	struct entry_reader reader;
	int r = entry_open(&reader, payload);

	if (r == 0 && reader.clock_ms && reader.clock_ms < g->clock_ms)
		return -ERR_CORRUPT;
	a->clock_ms = reader.clock_ms ? reader.clock_ms : g->clock_ms;
	while (r == 0 && (r = entry_next(&reader, &c)) == 0)
		r = apply_command(v, a, &c);
	if (r != ENTRY_E_END)
		return r;
	if (reader.clock_ms)
		g->clock_ms = reader.clock_ms;
	return 0;
}

/* An entry proposed here, by what is remembered of it. */
static int
apply_proposal(struct vnode *v, struct applying *a, struct proposal *p)
{
	struct group *g = &v->group;
	int r;

	if (p->is_order) {
		r = apply_bytes(v, a, buf_slice(&p->head));
		p->fate = r ? p->fate : FATE_APPLIED;
		return r;
	}
	a->clock_ms = p->clock_ms;
	for (uint32_t i = 0; i < p->n_events; i++) {
		const struct planned *e = &p->events[i];

		if (e->seq == 0) {
			r = take_keys(p, e->n_keys);
			if (r == 0)
				r = apply_delete(v, a, e->stream);
			if (r)
				return r;
			continue;
		}
		a->ordinal++;
		r = apply_event(v, a->cache, e->stream, e->seq, p->clock_ms,
		    e->flags, SLICE(p->head.p + e->head_at, e->head_n), e->data,
		    e->data_bytes);
		if (r)
			return r;
		dirty_add(a->dirty, e->stream);
	}
	r = take_keys(p, p->n_keys);
	if (r)
		return r;
	g->clock_ms = p->clock_ms;
	g->next_stream_id = p->next_stream_id;
	p->fate = FATE_APPLIED;
	return 0;
}

int
group_apply(struct vnode *v, struct tail_cache *cache, struct dirty *dirty,
    uint64_t term, uint64_t index, const struct body *b)
{
	struct group *g = &v->group;
	struct applying a = {cache, dirty, .index = index};
	int r;

	if (index != g->applied_index + 1 || term < g->applied_term)
		return -ERR_CORRUPT;
	if (b->proposal && b->proposal->fate == FATE_UNKNOWN_YET)
		r = apply_proposal(v, &a, b->proposal);
	else
		r = apply_bytes(v, &a, body_slice(b));
	if (r)
		return r;
	g->applied_index = index;
	g->applied_term = term;
	dedup_expire(&v->dedup, g->clock_ms);
	retain_clock(v);
	return 0;
}

/* --- giving up ------------------------------------------------------------ */

static void
forget_keys(struct proposal *p)
{
	while (p->first_key) {
		struct dedup_key *k = p->first_key;

		p->first_key = k->next;
		dedup_forget(p->dedup, k);
	}
	p->last_key = &p->first_key;
}

static void
unplan(struct proposal *p)
{
	for (uint32_t i = 0; i < p->n_events; i++) {
		struct stream *s = p->events[i].stream;

		s->proposed = s->last;
		s->dropping = 0;
	}
	p->n_events = 0;
	forget_keys(p);
}

struct msg *
group_give_up(struct vnode *v)
{
	struct group *g = &v->group;
	struct proposal *p = g->open;
	struct msg *reqs = NULL;

	LIST_FOREACH (link, &g->in_flight) {
		struct proposal *q = LIST_ENTRY(link, struct proposal, link);

		if (q->fate != FATE_UNKNOWN_YET)
			continue;
		unplan(q);
		q->fate = FATE_GIVEN_UP;
		q->r = VNODE_MUTANT(ANSWER_BEFORE_COMMIT) ? 0
		       : VNODE_MUTANT(REFUSED_THOUGH_PROPOSED)
			   ? -ERR_UNAVAILABLE
			   : -ERR_UNKNOWN;
	}
	if (p) {
		unplan(p);
		reqs = p->first_req;
		proposal_free(p);
		g->open = NULL;
		list_del(&g->turn);
	}
	vnode_forget_proposed(v, 0);
	return reqs;
}

/* --- answering ------------------------------------------------------------ */

struct body *
proposal_body(struct list *link)
{
	return LIST_ENTRY(link, struct proposal, link)->body;
}

int
proposal_is_settled(const struct proposal *p)
{
	return p->fate != FATE_UNKNOWN_YET;
}

void
proposal_set_replicas(struct body *b, uint32_t n)
{
	b->proposal->n_replicas = n;
}

int
proposal_is_applied(const struct proposal *p)
{
	return p->fate == FATE_APPLIED;
}

void
group_take_back(struct vnode *v, struct body *b, int r)
{
	struct proposal *p = b->proposal;

	while (p->n_events) {
		const struct planned *e = &p->events[--p->n_events];

		if (e->seq)
			e->stream->proposed = e->seq - 1;
		else
			e->stream->dropping = 0;
	}
	forget_keys(p);
	vnode_forget_proposed(v, p->first_stream_id);
	v->group.proposed_stream_id = p->first_stream_id;
	p->fate = FATE_GIVEN_UP;
	p->r = r;
}

void
proposal_give_up(struct body *b)
{
	unplan(b->proposal);
	b->proposal->fate = FATE_GIVEN_UP;
	b->proposal->r = -ERR_UNKNOWN;
}

struct msg *
proposal_take_requests(struct body *b)
{
	struct proposal *p = b->proposal;
	struct msg *reqs = p->first_req;

	ASSERT(p->fate != FATE_UNKNOWN_YET && b->readers == 0);
	for (struct msg *m = reqs; m; m = m->next) {
		*request_result(m) = p->r;
		if (m->kind == MSG_PUT)
			CONTAINER_OF(m, struct vnode_put, msg)->n_replicas =
			    p->n_replicas;
	}
	list_del(&p->link);
	b->proposal = NULL;
	if (b->iov == p->iov) {
		b->iov = NULL;
		b->n_iov = 0;
	}
	proposal_free(p);
	return reqs;
}
