/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * group - proposals, and the state machine that applies them.
 *
 * A proposal gathers the commands of one turn.  Everything but the payloads is
 * encoded into HEAD; PIECES says in which order stretches of HEAD and borrowed
 * payloads follow each other.  At the end of the turn they become the iovec of
 * its body, so a payload is not copied before it is applied; but for those of a
 * batch that are not large: a slice each would be more than a record may have.
 *
 * Invariants:
 *  1. While this replica leads, stream->proposed is last plus the events of
 *     this stream in flight; else it is last.
 *  2. A stream without events (last == 0) is only proposed.
 *  3. t of an event is the group clock of its entry; the clock never decreases
 *     from entry to entry, whatever the wall clock does.
 */
#include "vnode/group.h"

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/entry.h"
#include "vnode/mutants.h"
#include "vnode/vnode.h"

/* Two iovecs an event and some for the commands, within JOURNAL_IOV_MAX. */
#define PIECES_MAX (JOURNAL_IOV_MAX - 8)
/* Of a batch: what is smaller is copied, so that the rest of the largest entry
 * takes half of PIECES_MAX. */
#define BORROW_BYTES (64u << 10)
#define HEAD_MAX     (JOURNAL_PAYLOAD_MAX + ENTRY_BYTES_MAX + (1u << 20))

struct piece {
	const uint8_t *p; /* NULL: of HEAD, at OFFSET */
	uint32_t offset, n;
};

/* One event, as it will be applied. */
struct planned {
	struct stream *stream;
	uint64_t seq;
	uint32_t head_at, head_n;
	struct slice data; /* unless it is in HEAD */
	uint32_t data_bytes;
};

enum fate {
	FATE_UNKNOWN_YET,
	FATE_APPLIED,
	FATE_GIVEN_UP, /* by a leader that is none any more */
};

struct proposal {
	struct body *body; /* once it is sealed */
	struct list link;  /* of group.in_flight */
	enum fate fate;
	int r; /* for its requests, unless it was applied */
	uint64_t index, clock_ms;
	uint64_t first_stream_id; /* that it may have created */
	uint64_t next_stream_id;  /* once it is applied */
	uint32_t n_commands, bytes;
	uint32_t n_replicas; /* that had it when it was applied */
	struct buf head;
	struct piece *pieces;
	struct planned *events;
	struct iovec *iov;
	uint32_t n_pieces, cap_pieces;
	uint32_t n_events, cap_events;
	struct msg *first_req, **last_req; /* in order, by msg.next */
};

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
	g->last_asked = &g->asked;
	g->last_reads = &g->reads;
	g->last_held = &g->held;
}

static void
proposal_free(struct proposal *p)
{
	buf_deinit(&p->head);
	mem_free(p->pieces);
	mem_free(p->events);
	mem_free(p->iov);
	mem_free(p);
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

static struct proposal *
open_proposal(struct vnode *v, struct wall now)
{
	struct group *g = &v->group;
	struct proposal *p = mem_zalloc(sizeof(*p));
	uint8_t *header;

	if (!p)
		return NULL;
	list_init(&p->link);
	p->index = raft_last(g->raft) + 1;
	p->first_stream_id = g->proposed_stream_id;
	p->clock_ms =
	    now.ms > g->proposed_clock_ms || VNODE_MUTANT(CLOCK_GOES_BACK)
		? now.ms
		: g->proposed_clock_ms;
	p->last_req = &p->first_req;
	buf_init(&p->head, HEAD_MAX);
	header = buf_reserve(&p->head, ENTRY_HEADER_BYTES);
	if (!header) {
		proposal_free(p);
		return NULL;
	}
	p->head.n = p->bytes = ENTRY_HEADER_BYTES;
	g->open = p;
	g->proposed_clock_ms = p->clock_ms;
	return p;
}

/* Whether the payload of E, an event of REQ, stays where it is. */
static int
is_borrowed(const struct vnode_put *req, const struct vnode_put_event *e)
{
	return req->n_events == 1 || e->data.n >= BORROW_BYTES;
}

/* How many pieces REQ takes at most. */
static uint32_t
pieces_of(const struct vnode_put *req)
{
	uint32_t n = 2;

	for (uint32_t i = 0; i < req->n_events; i++)
		n += 2 * (uint32_t)is_borrowed(req, &req->events[i]);
	return n;
}

/* Room for REQ in pieces and events, so that adding it cannot fail. */
static int
reserve(struct proposal *p, const struct vnode_put *req)
{
	uint32_t pieces = p->n_pieces + pieces_of(req);
	uint32_t events = p->n_events + req->n_events;
	void *q;

	if (pieces > p->cap_pieces) {
		pieces =
		    pieces > 2 * p->cap_pieces ? pieces : 2 * p->cap_pieces;
		q = mem_realloc(p->pieces, pieces * sizeof(*p->pieces));
		if (!q)
			return -ERR_NOMEM;
		p->pieces = q;
		p->cap_pieces = pieces;
	}
	if (events > p->cap_events) {
		events =
		    events > 2 * p->cap_events ? events : 2 * p->cap_events;
		q = mem_realloc(p->events, events * sizeof(*p->events));
		if (!q)
			return -ERR_NOMEM;
		p->events = q;
		p->cap_events = events;
	}
	return 0;
}

/* What was added to HEAD since FROM becomes the next piece, or part of the
 * last. */
static void
add_head_piece(struct proposal *p, uint32_t from)
{
	struct piece *last = p->n_pieces ? &p->pieces[p->n_pieces - 1] : NULL;
	uint32_t n = (uint32_t)p->head.n - from;

	p->bytes += n;
	if (last && !last->p && last->offset + last->n == from)
		last->n += n;
	else
		p->pieces[p->n_pieces++] = (struct piece){NULL, from, n};
}

static void
add_data_piece(struct proposal *p, struct slice data)
{
	if (data.n == 0)
		return;
	p->bytes += (uint32_t)data.n;
	p->pieces[p->n_pieces++] = (struct piece){data.p, 0, (uint32_t)data.n};
}

static void
add_event(
    struct proposal *p, struct stream *s, const struct event *e, int borrowed)
{
	uint32_t at = (uint32_t)p->head.n;
	uint8_t *out =
	    buf_reserve(&p->head, EVENT_HEADER_BYTES + e->type.n + e->ext.n);

	if (!out)
		return;
	p->head.n += event_encode_head(e, out);
	if (!borrowed)
		buf_add_slice(&p->head, e->data);
	p->events[p->n_events++] = (struct planned){
	    .stream = s,
	    .seq = e->seq,
	    .head_at = at,
	    .head_n = (uint32_t)p->head.n - at,
	    .data = borrowed ? e->data : SLICE(NULL, 0),
	    .data_bytes = (uint32_t)e->data.n,
	};
	add_head_piece(p, at);
	if (borrowed)
		add_data_piece(p, e->data);
}

/* What the events of REQ take of HEAD. */
static uint32_t
head_bytes(const struct vnode_put *req)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < req->n_events; i++) {
		const struct vnode_put_event *e = &req->events[i];

		n += EVENT_HEADER_BYTES + (uint32_t)e->type.n;
		if (!is_borrowed(req, e))
			n += (uint32_t)e->data.n;
	}
	return n;
}

static uint32_t
records_bytes(const struct vnode_put *req)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < req->n_events; i++)
		n += (uint32_t)(EVENT_HEADER_BYTES + req->events[i].type.n +
				req->events[i].data.n);
	return n;
}

/* Whether REQ goes into the entry that is open, or into one of its own. */
static int
fits(const struct proposal *p, const struct vnode_put *req)
{
	return p->n_pieces + pieces_of(req) <= PIECES_MAX &&
	       p->bytes + records_bytes(req) <= ENTRY_BYTES_MAX;
}

static void
add_append(struct proposal *p, struct stream *s, struct vnode_put *req)
{
	uint32_t at = (uint32_t)p->head.n;

	entry_add_append(&p->head, s->id, s->proposed + 1, req->n_events,
	    records_bytes(req));
	p->n_commands++;
	add_head_piece(p, at);
	req->first = s->proposed + 1;
	for (uint32_t i = 0; i < req->n_events; i++) {
		struct event e = {
		    .seq = ++s->proposed,
		    .t_ms = p->clock_ms,
		    .index = p->index,
		    .ordinal = p->n_events,
		    .flags = req->events[i].flags,
		    .type = req->events[i].type,
		    .data = req->events[i].data,
		};

		add_event(p, s, &e, is_borrowed(req, &req->events[i]));
	}
	req->last = s->proposed;
	req->t_ms = p->clock_ms;
}

static struct stream *
create_stream(struct vnode *v, struct proposal *p, struct vnode_put *req)
{
	uint32_t at = (uint32_t)p->head.n;
	struct stream *s = vnode_create(
	    v, v->group.proposed_stream_id, req->bucket, req->stream);

	if (!s)
		return NULL;
	v->group.proposed_stream_id++;
	entry_add_create(&p->head, s->id, req->bucket, req->stream);
	p->n_commands++;
	add_head_piece(p, at);
	return s;
}

/* All memory for REQ in P, and its stream; NULL: none of it.  What is encoded
 * later cannot be taken back. */
static struct stream *
prepare(struct vnode *v, struct proposal *p, struct vnode_put *req)
{
	struct stream *s;

	if (reserve(p, req) ||
	    !buf_reserve(&p->head,
		2 * (ENTRY_COMMAND_BYTES + 32) + 2 * 255 + head_bytes(req)))
		return NULL;
	s = vnode_find(v, req->bucket, req->stream);
	return s ? s : create_stream(v, p, req);
}

int
group_propose(struct vnode *v, struct vnode_put *req, struct wall now)
{
	struct proposal *p = v->group.open;
	struct stream *s;

	ASSERT(!p || fits(p, req)); /* the caller seals first otherwise */
	if (!p)
		p = open_proposal(v, now);
	if (!p)
		return -ERR_NOMEM;
	s = prepare(v, p, req);
	if (!s && !p->first_req) { /* no replica takes an empty entry */
		proposal_free(p);
		v->group.open = NULL;
	}
	if (!s)
		return -ERR_NOMEM;
	add_append(p, s, req);
	*p->last_req = &req->msg;
	p->last_req = &req->msg.next;
	req->msg.next = NULL;
	return 0;
}

int
group_must_seal(const struct vnode *v, const struct vnode_put *req)
{
	return v->group.open && !fits(v->group.open, req);
}

struct body *
group_seal(struct vnode *v)
{
	struct group *g = &v->group;
	struct proposal *p = g->open;
	struct body *b;
	uint32_t crc = 0;

	if (!p)
		return NULL;
	ASSERT(p->index == raft_last(g->raft) + 1);
	p->iov = mem_calloc(p->n_pieces + 1, sizeof(*p->iov));
	b = p->iov ? mem_zalloc(sizeof(*b)) : NULL;
	if (!b) { /* it may have more pieces the next time */
		p->iov = mem_free(p->iov);
		return NULL;
	}
	entry_put_header(p->head.p, p->n_commands, p->clock_ms);
	p->iov[0] = (struct iovec){p->head.p, ENTRY_HEADER_BYTES};
	for (uint32_t i = 0; i < p->n_pieces; i++) {
		const struct piece *q = &p->pieces[i];
		const uint8_t *from = q->p ? q->p : p->head.p + q->offset;

		p->iov[i + 1] = (struct iovec){(void *)(uintptr_t)from, q->n};
	}
	for (uint32_t i = 0; i <= p->n_pieces; i++)
		crc = crc32c(crc, p->iov[i].iov_base, p->iov[i].iov_len);
	*b = (struct body){
	    .refs = 1,
	    .iov = p->iov,
	    .n_iov = (int)p->n_pieces + 1,
	    .bytes = p->bytes,
	    .crc = crc,
	    .proposal = p,
	};
	p->body = b;
	p->next_stream_id = g->proposed_stream_id;
	g->open = NULL;
	list_add_tail(&g->in_flight, &p->link);
	return b;
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
    uint64_t seq, uint64_t t_ms, struct slice head, struct slice data,
    uint32_t data_bytes)
{
	int r = stream_apply(
	    s, cache, seq, t_ms, head, data, data_bytes, header_bytes(s));

	if (r == 0)
		r = vnode_made_visible(v, s);
	if (r)
		return r;
	v->n_events++;
	v->bytes += data_bytes;
	if (list_empty(&s->unsaved))
		list_add_tail(&v->unsaved, &s->unsaved);
	return 0;
}

/* An entry proposed here, by what is remembered of it. */
static int
apply_proposal(struct vnode *v, struct tail_cache *cache, struct dirty *dirty,
    struct proposal *p)
{
	struct group *g = &v->group;

	for (uint32_t i = 0; i < p->n_events; i++) {
		const struct planned *e = &p->events[i];
		int r = apply_event(v, cache, e->stream, e->seq, p->clock_ms,
		    SLICE(p->head.p + e->head_at, e->head_n), e->data,
		    e->data_bytes);

		if (r)
			return r;
		dirty_add(dirty, e->stream);
	}
	g->clock_ms = p->clock_ms;
	g->next_stream_id = p->next_stream_id;
	p->fate = FATE_APPLIED;
	return 0;
}

/* What all events of an entry have in common. */
struct applying {
	struct tail_cache *cache;
	struct dirty *dirty;
	uint64_t index, clock_ms;
	uint32_t n_events; /* so far: the ordinal of the next */
};

/* Whether E is event SEQ of a stream, and the next of this entry. */
static int
is_next(const struct applying *a, const struct event *e, uint64_t seq)
{
	return e->seq == seq && e->index == a->index &&
	       e->ordinal == a->n_events && e->t_ms == a->clock_ms;
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

		if (event_decode(in, 1, &e, &n) || !is_next(a, &e, seq))
			return -ERR_CORRUPT;
		r = apply_event(v, a->cache, s, seq, e.t_ms, SLICE(in.p, n),
		    SLICE(NULL, 0), (uint32_t)e.data.n);
		if (r)
			return r;
		a->n_events++;
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
	switch (c->type) {
	case ENTRY_NOOP:
	case ENTRY_MEMBERS: /* the core's */
		return 0;
	case ENTRY_CREATE:
		if (c->stream_id != v->group.next_stream_id ||
		    vnode_find(v, c->bucket, c->stream))
			return -ERR_CORRUPT;
		v->group.proposed_stream_id = ++v->group.next_stream_id;
		return vnode_create(v, c->stream_id, c->bucket, c->stream)
			   ? 0
			   : -ERR_NOMEM;
	case ENTRY_APPEND:
		return apply_append(v, a, c);
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
		r = apply_proposal(v, cache, dirty, b->proposal);
	else
		r = apply_bytes(v, &a, body_slice(b));
	if (r)
		return r;
	g->applied_index = index;
	g->applied_term = term;
	return 0;
}

/* --- giving up ------------------------------------------------------------ */

static void
unplan(struct proposal *p)
{
	for (uint32_t i = 0; i < p->n_events; i++) {
		struct stream *s = p->events[i].stream;

		s->proposed = s->last;
	}
	p->n_events = 0;
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

		e->stream->proposed = e->seq - 1;
	}
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
		CONTAINER_OF(m, struct vnode_put, msg)->r = p->r;
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
