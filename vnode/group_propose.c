/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * group_propose - proposals.
 *
 * A proposal gathers the commands of one turn.  Everything but the payloads is
 * encoded into HEAD; PIECES says in which order stretches of HEAD and borrowed
 * payloads follow each other.  At the end of the turn they become the iovec of
 * its body, so a payload is not copied before it is applied; but for those of a
 * batch that are not large: a slice each would be more than a record may have.
 */
#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"
#include "vnode/entry.h"
#include "vnode/group_impl.h"
#include "vnode/mutants.h"
#include "vnode/vnode.h"

/* Two iovecs an event and some for the commands, within JOURNAL_IOV_MAX. */
#define PIECES_MAX (JOURNAL_IOV_MAX - 8)
/* Of a batch: what is smaller is copied, so that the rest of the largest entry
 * takes half of PIECES_MAX. */
#define BORROW_BYTES         (64u << 10)
#define DELETE_COMMAND_BYTES 16
#define HEAD_MAX             (JOURNAL_PAYLOAD_MAX + ENTRY_BYTES_MAX + (1u << 20))

void
proposal_free(struct proposal *p)
{
	buf_deinit(&p->head);
	mem_free(p->pieces);
	mem_free(p->events);
	mem_free(p->iov);
	mem_free(p);
}

uint64_t
group_next_clock(const struct group *g, struct wall now)
{
	if (g->open)
		return g->open->clock_ms;
	return now.ms > g->proposed_clock_ms || VNODE_MUTANT(CLOCK_GOES_BACK)
		   ? now.ms
		   : g->proposed_clock_ms;
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
	p->clock_ms = group_next_clock(g, now);
	p->last_req = &p->first_req;
	p->dedup = &v->dedup;
	p->last_key = &p->first_key;
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

/* Room for so many more pieces and events, so that adding them cannot fail. */
static int
reserve(struct proposal *p, uint32_t more_pieces, uint32_t more_events)
{
	uint32_t pieces = p->n_pieces + more_pieces;
	uint32_t events = p->n_events + more_events;
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
	    .flags = e->flags,
	};
	add_head_piece(p, at);
	if (borrowed)
		add_data_piece(p, e->data);
}

/* Of event I of REQ. */
static uint32_t
ext_bytes(const struct vnode_put *req, uint32_t i)
{
	return req->has_key && i == 0 ? EVENT_KEY_BYTES : 0;
}

/* What the events of REQ take of HEAD. */
static uint32_t
head_bytes(const struct vnode_put *req)
{
	uint32_t n = ext_bytes(req, 0);

	for (uint32_t i = 0; i < req->n_events; i++) {
		const struct vnode_put_event *e = &req->events[i];

		n += EVENT_HEADER_BYTES + (uint32_t)e->type.n;
		if (!is_borrowed(req, e))
			n += (uint32_t)e->data.n;
	}
	return n;
}

static uint32_t
records_bytes(const struct vnode_put *req, uint32_t first, uint32_t end)
{
	uint32_t n = ext_bytes(req, first);

	for (uint32_t i = first; i < end; i++)
		n += (uint32_t)(EVENT_HEADER_BYTES + req->events[i].type.n +
				req->events[i].data.n);
	return n;
}

/* Whether REQ goes into the entry that is open, or into one of its own.  One of
 * the leader's own, which may be open when there was no memory to seal it, is
 * applied by its bytes: nothing that is remembered beside them is in it. */
static int
fits(const struct proposal *p, const struct vnode_put *req)
{
	return !p->is_order && p->n_pieces + pieces_of(req) <= PIECES_MAX &&
	       p->bytes + records_bytes(req, 0, req->n_events) <=
		   ENTRY_BYTES_MAX;
}

/* N events are appended under the key of REQ. */
static struct event_key
key_of(const struct vnode_put *req, uint32_t n)
{
	struct event_key id = {.n_events = n};

	memcpy(id.key, req->key, sizeof(id.key));
	memcpy(id.body, req->key_body, sizeof(id.body));
	return id;
}

/* E is event 0 of REQ, with N to be appended: it bears the key. */
static void
add_key(struct event *e, const struct vnode_put *req, uint32_t n,
    uint8_t ext[EVENT_KEY_BYTES])
{
	struct event_key id = key_of(req, n);

	event_key_encode(&id, ext);
	e->flags |= EVENT_KEY;
	e->ext = SLICE(ext, EVENT_KEY_BYTES);
}

/* Events FIRST..END - 1 of REQ, to S. */
static void
add_append(struct proposal *p, struct stream *s, const struct vnode_put *req,
    uint32_t first, uint32_t end)
{
	uint32_t at = (uint32_t)p->head.n;
	uint8_t ext[EVENT_KEY_BYTES];

	entry_add_append(&p->head, s->id, s->proposed + 1, end - first,
	    records_bytes(req, first, end));
	p->n_commands++;
	add_head_piece(p, at);
	for (uint32_t i = first; i < end; i++) {
		struct event e = {
		    .seq = ++s->proposed,
		    .t_ms = p->clock_ms,
		    .index = p->index,
		    .ordinal = p->n_events,
		    .flags = req->events[i].flags,
		    .type = req->events[i].type,
		    .data = req->events[i].data,
		};

		if (ext_bytes(req, i))
			add_key(&e, req, end, ext);
		add_event(p, s, &e, is_borrowed(req, &req->events[i]));
	}
}

static struct stream *
create_stream(
    struct vnode *v, struct proposal *p, struct slice bucket, struct slice name)
{
	uint32_t at = (uint32_t)p->head.n;
	struct stream *s =
	    vnode_create(v, v->group.proposed_stream_id, bucket, name);

	if (!s)
		return NULL;
	v->group.proposed_stream_id++;
	entry_add_create(&p->head, s->id, bucket, name);
	p->n_commands++;
	add_head_piece(p, at);
	return s;
}

/* At most one stream is made and two get events. */
#define COMMANDS_BYTES (3 * (ENTRY_COMMAND_BYTES + 32) + 2 * NAME_MAX_BYTES)

/* All memory for REQ in P, and the stream that may have to be made: that of the
 * patch, or else its own; NULL: none of it.  What is encoded later cannot be
 * taken back. */
static struct stream *
prepare(struct vnode *v, struct proposal *p, const struct vnode_put *req)
{
	uint8_t name[NAME_MAX_BYTES];
	struct slice stream = req->stream;
	struct stream *s;

	if (reserve(p, pieces_of(req), req->n_events) ||
	    !buf_reserve(&p->head, COMMANDS_BYTES + head_bytes(req)))
		return NULL;
	if (req->patch_of) {
		ASSERT(stream.n + NAME_PATCH_BYTES <= sizeof(name));
		memcpy(name, stream.p, stream.n);
		memcpy(name + stream.n, NAME_PATCH_SUFFIX, NAME_PATCH_BYTES);
		stream = SLICE(name, stream.n + NAME_PATCH_BYTES);
	}
	s = group_proposed(v, req->bucket, stream);
	return s ? s : create_stream(v, p, req->bucket, stream);
}

/* KEY, which is not filled in yet, is that of REQ, of N events of S. */
static void
propose_key(struct proposal *p, struct dedup_key *key,
    const struct vnode_put *req, struct stream *s, uint32_t n)
{
	key->stream = s;
	key->first = req->first;
	key->t_ms = req->t_ms;
	key->id = key_of(req, n);
	dedup_propose(p->dedup, key);
	p->n_keys++;
	*p->last_key = key;
	p->last_key = &key->next;
}

/* All of REQ; OTHER is the stream of its patch, or its own; KEY is for its key,
 * or NULL. */
static void
add_request(struct vnode *v, struct proposal *p, struct vnode_put *req,
    struct stream *other, struct dedup_key *key)
{
	uint32_t n = req->n_events;
	struct stream *s = other;

	if (req->patch_of) {
		/* Its condition says that it is there. */
		s = group_proposed(v, req->bucket, req->stream);
		ASSERT(s && s->id == req->patch_of && n > 1);
		n--;
	}
	req->first = s->proposed + 1;
	add_append(p, s, req, 0, n);
	req->last = s->proposed;
	req->t_ms = p->clock_ms;
	req->incarnation = s->id;
	if (key)
		propose_key(p, key, req, s, n);
	if (req->patch_of && !VNODE_MUTANT(PATCH_IN_ONE_STREAM))
		add_append(p, other, req, n, n + 1);
}

static void
keep_request(struct proposal *p, struct msg *m)
{
	*p->last_req = m;
	p->last_req = &m->next;
	m->next = NULL;
}

/* No replica takes an empty entry. */
static void
close_empty(struct group *g)
{
	if (g->open->first_req)
		return;
	proposal_free(g->open);
	g->open = NULL;
}

int
group_propose(struct vnode *v, struct vnode_put *req, struct wall now)
{
	struct proposal *p = v->group.open;
	struct dedup_key *key = req->has_key ? dedup_new(&v->dedup) : NULL;
	struct stream *s = NULL;

	ASSERT(!p || fits(p, req)); /* the caller seals first otherwise */
	if (!p)
		p = open_proposal(v, now);
	if (p && (key || !req->has_key))
		s = prepare(v, p, req);
	if (p && !s)
		close_empty(&v->group);
	if (!s) {
		mem_free(key);
		return -ERR_NOMEM;
	}
	add_request(v, p, req, s, key);
	keep_request(p, &req->msg);
	return 0;
}

struct stream *
group_proposed(const struct vnode *v, struct slice bucket, struct slice stream)
{
	struct stream *s = vnode_newest(v, bucket, stream);

	return s && !s->dropping ? s : NULL;
}

static int
fits_delete(const struct proposal *p)
{
	return !p->is_order && p->n_pieces + 1 <= PIECES_MAX &&
	       p->bytes + DELETE_COMMAND_BYTES <= ENTRY_BYTES_MAX;
}

int
group_must_seal_delete(const struct vnode *v)
{
	return v->group.open && !fits_delete(v->group.open);
}

int
group_propose_delete(struct vnode *v, struct stream *s,
    struct vnode_delete *req, struct wall now)
{
	struct proposal *p = v->group.open;
	uint32_t at;

	ASSERT(!s->dropping && (!p || fits_delete(p)));
	if (!p)
		p = open_proposal(v, now);
	if (!p)
		return -ERR_NOMEM;
	if (reserve(p, 1, 1) || !buf_reserve(&p->head, DELETE_COMMAND_BYTES)) {
		close_empty(&v->group);
		return -ERR_NOMEM;
	}
	at = (uint32_t)p->head.n;
	entry_add_delete(&p->head, s->id);
	p->n_commands++;
	add_head_piece(p, at);
	p->events[p->n_events++] =
	    (struct planned){.stream = s, .n_keys = p->n_keys};
	s->dropping = 1;
	keep_request(p, &req->msg);
	return 0;
}

int
group_propose_order(struct vnode *v, struct slice policies, struct wall now)
{
	struct proposal *p;
	uint32_t at;

	ASSERT(!v->group.open);
	p = open_proposal(v, now);
	if (!p)
		return -ERR_NOMEM;
	if (reserve(p, 1, 0) ||
	    !buf_reserve(&p->head, ENTRY_COMMAND_BYTES + policies.n)) {
		close_empty(&v->group);
		return -ERR_NOMEM;
	}
	at = (uint32_t)p->head.n;
	if (policies.n)
		entry_add_policies(&p->head, policies);
	else
		entry_add_tick(&p->head);
	p->n_commands++;
	p->is_order = 1;
	add_head_piece(p, at);
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
