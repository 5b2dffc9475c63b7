/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * client - who asks, and holds the answers against the model.
 *
 * A client has one request on its way, thinks, and sends the next one to any
 * node.  Requests are the world's memory: a process that dies with some of them
 * takes nothing along.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/world/arena.h"
#include "tests/world/world.h"

#define CALL_MAGIC 0x6c6c6163u
#define PATIENCE   120000000 /* us, with nothing in the way */

struct call {
	uint32_t magic;
	struct world *world;
	struct client *client; /* NULL: somebody waits for `done` */
	struct node *node;
	uint64_t life; /* of the node's process */
	uint32_t stream;
	uint64_t put;
	struct model_ask ask;
	uint64_t next;  /* a read: the first seqnum behind its page */
	int other_body; /* an append that is not what the key was for */
	int done, r;
	struct vnode_put_event *events;
	uint8_t *data;
	struct process_call call;
	union {
		struct msg msg; /* first in all of them */
		struct vnode_put put;
		struct vnode_delete del;
		struct vnode_read read;
		struct vnode_list list;
		struct vnode_ping ping;
	} req;
};

static struct call *
call_new(struct node *n, struct client *c, enum msg_kind kind, uint32_t stream)
{
	struct call *call = mem_zalloc(sizeof(*call));

	ASSERT(call);
	call->magic = CALL_MAGIC;
	call->world = n->world;
	call->client = c;
	call->node = n;
	call->life = n->life;
	call->stream = stream;
	model_ask(&n->world->model, &call->ask);
	call->req.msg.kind = kind;
	return call;
}

static void
call_free(struct call *call)
{
	call->magic = 0;
	mem_free(call->events);
	mem_free(call->data);
	mem_free(call);
}

static struct slice
bucket_of(const struct call *call)
{
	return SLICE_STR(call->world->model.streams[call->stream].bucket);
}

static struct slice
name_of(const struct call *call)
{
	return SLICE_STR(call->world->model.streams[call->stream].name);
}

static void
must_hold(struct call *call, int r, const char *what)
{
	if (r)
		world_fail(call->world, "%s at node %u: %s", what,
		    call->node->slot, call->world->model.why);
}

/* --- answers ----------------------------------------------------------------
 */

/* A refusal that says: never proposed, try again. */
static int
is_refusal(int r)
{
	return r == -ERR_UNAVAILABLE || r == -ERR_STOPPING || r == -ERR_NOSPC ||
	       r == -ERR_LIMIT || r == -ERR_NOTLEADER || r == -ERR_BUSY ||
	       r == -ERR_NOMEM;
}

/* What is to become of an append of C under a key that was not acknowledged. */
static int
not_acked(struct call *call, int unsure)
{
	struct world *w = call->world;
	struct client *c = call->client;

	c->unsure |= unsure;
	c->has_again =
	    !w->clients_stopped && !w->deletes && !world_one_in(w, 6);
	if (c->has_again)
		return 0;
	return model_put_failed(
	    &w->model, call->put, c->unsure ? PUT_UNKNOWN : PUT_REFUSED);
}

/* An append under a key, which may not be the first. */
static void
answer_keyed(struct call *call)
{
	struct world *w = call->world;
	struct client *c = call->client;
	struct vnode_put *req = &call->req.put;
	int known = w->model.puts[call->put].state == PUT_ACKED, r = 0;

	c->has_again = 0;
	if (call->other_body) {
		if (req->r == 0)
			world_fail(w, "another body got the answer of a key");
		if (req->r == -ERR_MISMATCH)
			w->counts.mismatches++;
		c->has_again = !w->clients_stopped;
	} else if (req->r == 0) {
		w->counts.acked++;
		w->counts.replayed += req->replayed != 0;
		r = model_put_acked(&w->model, call->put, &call->ask, req);
		if (r == 0 && known && !req->replayed)
			world_fail(w, "put %llu was appended again",
			    (unsigned long long)call->put);
		c->has_again = !w->clients_stopped && world_one_in(w, 4);
	} else if (req->r == -ERR_UNKNOWN || is_refusal(req->r)) {
		if (known)
			c->has_again = !w->clients_stopped;
		else
			r = not_acked(call, req->r == -ERR_UNKNOWN);
	} else {
		world_fail(w, "an append was answered with %d: %s", req->r,
		    err_text(req->r));
	}
	/* The keys of a stream go with it, so what comes again may be done
	 * again. */
	if (w->deletes)
		c->has_again = 0;
	must_hold(call, r, "append");
}

static void
answer_put(struct call *call)
{
	struct world *w = call->world;
	struct vnode_put *req = &call->req.put;
	int r = 0;

	if (req->has_key) {
		answer_keyed(call);
	} else if (req->r == 0) {
		w->counts.acked++;
		r = model_put_acked(&w->model, call->put, &call->ask, req);
	} else if (req->r == -ERR_UNKNOWN) {
		w->counts.unknown++;
		r = model_put_failed(&w->model, call->put, PUT_UNKNOWN);
	} else if (is_refusal(req->r)) {
		w->counts.refused++;
		r = model_put_failed(&w->model, call->put, PUT_REFUSED);
	} else {
		world_fail(w, "an append was answered with %d: %s", req->r,
		    err_text(req->r));
	}
	must_hold(call, r, "append");
	world_trace(w, "node %u: put %llu%s: %s, %llu..%llu at %llu",
	    call->node->slot, (unsigned long long)call->put,
	    req->has_key ? " with a key" : "", err_text(req->r),
	    (unsigned long long)req->first, (unsigned long long)req->last,
	    (unsigned long long)req->t_ms);
	world_note(w, req->first << 8 ^ (uint64_t)(unsigned)-req->r);
}

static void
answer_delete(struct call *call)
{
	struct world *w = call->world;
	int r = call->req.del.r;

	if (r == 0)
		w->counts.deleted++;
	else if (r != -ERR_UNKNOWN && !is_refusal(r))
		world_fail(w, "a deletion was answered with %s", err_text(r));
	model_delete_ended(&w->model, call->stream, &call->ask,
	    r == 0              ? PUT_ACKED
	    : r == -ERR_UNKNOWN ? PUT_UNKNOWN
				: PUT_REFUSED);
	world_trace(w, "node %u: deletion of %s: %s", call->node->slot,
	    w->model.streams[call->stream].name, err_text(r));
	world_note(w, (uint64_t)(unsigned)-r << 16);
}

/* The events of one page, ascending: dense, as the model has them. */
static void
check_page(struct call *call)
{
	struct world *w = call->world;
	struct vnode_read *req = &call->req.read;
	uint64_t seq = req->page.first;

	for (uint32_t i = 0; i < req->page.n_parts; i++) {
		struct slice in = req->page.parts[i].records;
		struct event e;
		uint32_t bytes;

		for (; in.n; in = SLICE(in.p + bytes, in.n - bytes)) {
			if (event_decode(in, 1, &e, &bytes))
				world_fail(w, "a page holds damaged bytes");
			if (e.seq != seq++)
				world_fail(w, "a page has %llu after %llu",
				    (unsigned long long)e.seq,
				    (unsigned long long)seq - 2);
			must_hold(call,
			    model_saw(&w->model, call->stream, &call->ask,
				req->incarnation, &e),
			    "read");
			w->counts.events_read++;
		}
	}
	if (seq != req->page.last + 1)
		world_fail(w, "a page ends at %llu instead of %llu",
		    (unsigned long long)seq - 1,
		    (unsigned long long)req->page.last);
}

/* The range that was asked for is what the answer is about. */
static void
check_range(struct call *call)
{
	struct world *w = call->world;
	struct vnode_read *req = &call->req.read;
	uint64_t first = req->from > 1 ? req->from : 1;
	uint64_t last = req->to < req->newest ? req->to : req->newest;

	if (req->last_n && last >= first && last - first >= req->last_n)
		first = last - req->last_n + 1;
	if (first > last || req->limit == 0) {
		if (req->page.n_parts)
			world_fail(w, "a page for an empty range");
		return;
	}
	if (req->range_first != first || req->range_last != last)
		world_fail(w, "a read of %llu..%llu is about %llu..%llu",
		    (unsigned long long)first, (unsigned long long)last,
		    (unsigned long long)req->range_first,
		    (unsigned long long)req->range_last);
	if (req->page.n_parts == 0 ||
	    (req->desc ? req->page.last != last : req->page.first != first) ||
	    req->page.first < first || req->page.last > last ||
	    req->page.last - req->page.first >= req->limit)
		world_fail(w, "a page of %llu..%llu for %llu..%llu",
		    (unsigned long long)req->page.first,
		    (unsigned long long)req->page.last,
		    (unsigned long long)first, (unsigned long long)last);
	check_page(call);
	call->next = req->page.last + 1;
}

static void
answer_read(struct call *call)
{
	struct world *w = call->world;
	struct vnode_read *req = &call->req.read;

	world_note(w, req->newest);
	if (is_refusal(req->r))
		return;
	if (req->r)
		world_fail(w,
		    "a read of %s from %llu was answered with %s, %llu..%llu",
		    w->model.streams[call->stream].name,
		    (unsigned long long)req->from, err_text(req->r),
		    (unsigned long long)req->damaged_first,
		    (unsigned long long)req->damaged_last);
	w->counts.reads++;
	must_hold(call,
	    model_newest(&w->model, call->stream, &call->ask, req->incarnation,
		req->newest),
	    "read");
	if (req->newest)
		must_hold(call,
		    model_incarnation(
			&w->model, call->stream, &call->ask, req->incarnation),
		    "read");
	else if (req->incarnation)
		world_fail(w, "a stream without events has an incarnation");
	if (req->kept_first != (req->newest ? 1 : 0))
		world_fail(w, "%s begins at %llu",
		    w->model.streams[call->stream].name,
		    (unsigned long long)req->kept_first);
	call->next = req->newest + 1;
	if (req->op == VNODE_READ_PAGE)
		check_range(call);
	else
		must_hold(call,
		    model_seek(&w->model, call->stream, req->incarnation,
			req->seek_ms, req->seek, req->newest),
		    "seek");
}

/* Whether stream I of the model is what the list should show. */
static int
is_listed(const struct call *call, const struct model_stream *s)
{
	return s->group == call->req.list.group &&
	       slice_equal(SLICE_STR(s->bucket), bucket_of(call));
}

static void
answer_list(struct call *call)
{
	struct world *w = call->world;
	struct vnode_list *req = &call->req.list;

	if (is_refusal(req->r))
		return;
	if (req->r)
		world_fail(w, "a list was answered with %s", err_text(req->r));
	for (uint32_t i = 1; i < req->n_items; i++)
		if (slice_compare(req->items[i - 1].name, req->items[i].name) >=
		    0)
			world_fail(w, "a list is not in order");
	for (uint32_t s = 0; s < w->model.n_streams; s++) {
		const struct model_stream *ms = &w->model.streams[s];
		const struct vnode_list_item *item = NULL;

		if (!is_listed(call, ms))
			continue;
		for (uint32_t i = 0; i < req->n_items; i++)
			if (slice_equal(
				req->items[i].name, SLICE_STR(ms->name)))
				item = &req->items[i];
		must_hold(call,
		    model_newest(
			&w->model, s, &call->ask, 0, item ? item->last : 0),
		    "list");
		if (!item)
			continue;
		if (item->first != 1 || item->count != item->last)
			world_fail(w, "a list has %s wrong", ms->name);
	}
}

/* Who leads, by the answer; without a word, somebody else than was asked. */
static void
learn_leader(struct call *call, const uint8_t id[16])
{
	struct world *w = call->world;
	uint32_t group = w->model.streams[call->stream].group;
	uint32_t at = (call->node->slot + 1) % w->n_nodes;

	if (call->r != -ERR_NOTLEADER || !call->client)
		return;
	for (uint32_t i = 0; i < w->n_nodes; i++)
		if (memcmp(w->nodes[i].id, id, 16) == 0)
			at = i;
	call->client->leaders[group] = at;
}

static void
finish(struct call *call)
{
	struct client *c = call->client;

	if (!c) {
		call->done = 1;
		return;
	}
	ASSERT(c->call == call);
	c->call = NULL;
	call_free(call);
	client_think(c);
}

/* Where there are rings nothing is deleted, so a stream has one life; an append
 * that another node has done does not say which. */
static void
learn_life(struct call *call, uint64_t *incarnation)
{
	struct world *w = call->world;
	uint64_t *known = &w->lives[call->stream];

	if (!w->rings)
		return;
	if (*incarnation && *known && *incarnation != *known)
		world_fail(w, "%s was stream %llu and is %llu",
		    w->model.streams[call->stream].name,
		    (unsigned long long)*known,
		    (unsigned long long)*incarnation);
	if (*incarnation)
		*known = *incarnation;
	*incarnation = 1 + call->stream;
}

static void
on_answer(struct msg *m)
{
	struct call *call = CONTAINER_OF(m, struct call, req.msg);
	unsigned before = arena_enter(0);

	ASSERT(call->magic == CALL_MAGIC); /* else it was answered before */
	if (call->done || call->life != call->node->life)
		world_fail(call->world, "a request is answered twice");
	switch (m->kind) {
	case MSG_PUT:
		call->r = call->req.put.r;
		learn_leader(call, call->req.put.leader);
		if (call->r == 0)
			learn_life(call, &call->req.put.incarnation);
		answer_put(call);
		break;
	case MSG_DELETE:
		call->r = call->req.del.r;
		learn_leader(call, call->req.del.leader);
		answer_delete(call);
		break;
	case MSG_READ:
		call->r = call->req.read.r;
		learn_leader(call, call->req.read.leader);
		if (call->r == 0 && call->req.read.newest)
			learn_life(call, &call->req.read.incarnation);
		answer_read(call);
		vnode_page_deinit(&call->req.read.page);
		break;
	case MSG_LIST:
		call->r = call->req.list.r;
		learn_leader(call, call->req.list.leader);
		answer_list(call);
		vnode_list_deinit(&call->req.list);
		break;
	case MSG_PING:
		call->r = call->req.ping.r;
		break;
	default:
		ASSERT_UNREACHED();
	}
	finish(call);
	arena_enter(before);
}

/* --- questions --------------------------------------------------------------
 */

static void
send(struct call *call, uint32_t group)
{
	struct node *n = call->node;

	call->req.msg.fn = on_answer;
	call->req.msg.from = (uint32_t)world_below(n->world, n->n_workers);
	process_send(n, group, &call->req.msg, &call->call);
}

static uint32_t
draw_n_events(struct world *w)
{
	if (world_one_in(w, 40))
		return (uint32_t)world_between(w, 9, MODEL_EVENT_MAX);
	return world_one_in(w, 3) ? (uint32_t)world_between(w, 2, 8) : 1;
}

/* The request of append PUT of K events. */
static struct call *
put_call(struct node *n, struct client *c, uint64_t put, uint32_t k)
{
	struct world *w = n->world;
	struct call *call = call_new(n, c, MSG_PUT, w->model.puts[put].stream);
	size_t used = 0;

	call->put = put;
	call->events = mem_calloc(k, sizeof(*call->events));
	call->data = mem_alloc(k > 8 ? k * 64 : k * 4096 + MODEL_DATA_MAX);
	ASSERT(call->events && call->data);
	for (uint32_t i = 0; i < k; i++) {
		uint8_t *scratch = w->model.scratch;
		struct vnode_put_event e =
		    model_event(call->put, i, k, scratch);

		memcpy(call->data + used, scratch, e.data.n);
		e.data.p = call->data + used;
		used += e.data.n;
		call->events[i] = e;
	}
	call->req.put.group = w->model.streams[call->stream].group;
	call->req.put.bucket = bucket_of(call);
	call->req.put.stream = name_of(call);
	call->req.put.n_events = k;
	call->req.put.events = call->events;
	w->counts.appended++;
	return call;
}

static void
add_key(struct call *call)
{
	struct vnode_put *req = &call->req.put;

	req->has_key = 1;
	memcpy(req->key, &call->put, sizeof(call->put));
	memcpy(req->key_body, &call->put, sizeof(call->put));
	if (call->other_body)
		req->key_body[15] = 1;
}

static struct call *
put(struct node *n, struct client *c, uint32_t stream)
{
	struct world *w = n->world;
	uint32_t k = draw_n_events(w);
	struct call *call =
	    put_call(n, c, model_put_new(&w->model, stream, k), k);

	if (c && world_one_in(w, 2)) {
		c->unsure = 0;
		c->again = call->put;
		add_key(call);
	}
	send(call, call->req.put.group);
	return call;
}

/* The append of C comes again; when it is known to be there, now and then with
 * another body. */
static struct call *
put_again(struct node *n, struct client *c)
{
	struct world *w = n->world;
	const struct model_put *p = &w->model.puts[c->again];
	struct call *call = put_call(n, c, c->again, p->n_events);

	call->other_body = p->state == PUT_ACKED && world_one_in(w, 4);
	add_key(call);
	send(call, call->req.put.group);
	return call;
}

static struct call *delete (struct node *n, struct client *c, uint32_t stream)
{
	struct world *w = n->world;
	struct call *call = call_new(n, c, MSG_DELETE, stream);

	model_delete_new(&w->model, stream);
	call->req.del.group = w->model.streams[stream].group;
	call->req.del.bucket = bucket_of(call);
	call->req.del.stream = name_of(call);
	send(call, call->req.del.group);
	return call;
}

static struct call *
read_from(struct node *n, struct client *c, uint32_t stream, uint64_t from)
{
	struct world *w = n->world;
	struct call *call = call_new(n, c, MSG_READ, stream);
	struct vnode_read *req = &call->req.read;

	req->group = w->model.streams[stream].group;
	req->bucket = bucket_of(call);
	req->stream = name_of(call);
	req->from = from;
	req->to = UINT64_MAX;
	req->limit = UINT64_MAX;
	req->max_bytes = (uint32_t)world_between(w, 1, 16384);
	return call;
}

static struct call *
read_some(struct node *n, struct client *c, uint32_t stream)
{
	struct world *w = n->world;
	uint64_t top = w->model.streams[stream].n + 5;
	struct call *call = read_from(n, c, stream, world_below(w, top));
	struct vnode_read *req = &call->req.read;

	if (world_one_in(w, 8)) {
		req->op = VNODE_READ_SEEK;
		req->from = 0;
		req->seek_ms =
		    1767225600000 + world_below(w, w->now_us / 1000 + 1000);
	} else {
		if (world_one_in(w, 2))
			req->to = world_below(w, top);
		if (world_one_in(w, 2))
			req->last_n = world_between(w, 1, 20);
		if (world_one_in(w, 2))
			req->limit = world_below(w, 30);
		req->desc = world_one_in(w, 3);
	}
	send(call, req->group);
	return call;
}

static struct call *
list(struct node *n, struct client *c, uint32_t stream)
{
	struct call *call = call_new(n, c, MSG_LIST, stream);
	struct vnode_list *req = &call->req.list;

	req->group = n->world->model.streams[stream].group;
	req->bucket = bucket_of(call);
	req->limit = 1000;
	req->detail = 1;
	send(call, req->group);
	return call;
}

static struct call *
ping(struct node *n, struct client *c, uint32_t stream)
{
	struct call *call = call_new(n, c, MSG_PING, stream);

	call->req.ping.group = n->world->model.streams[stream].group;
	send(call, call->req.ping.group);
	return call;
}

/* --- clients ----------------------------------------------------------------
 */

/* Mostly the one that is said to lead GROUP. */
static struct node *
some_node(const struct client *c, uint32_t group)
{
	struct world *w = c->world;
	uint32_t at = c->leaders[group];

	/* Some go anywhere, and so to one that leads no longer. */
	if (world_one_in(w, c->number % 2 ? 2 : 8))
		at = (uint32_t)world_below(w, w->n_nodes);

	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[(at + i) % w->n_nodes];

		if (process_serves(n))
			return n;
	}
	return NULL;
}

static void
act(struct world *w, struct happening *ev)
{
	struct client *c = ev->arg;
	uint32_t stream = c->has_again
			      ? w->model.puts[c->again].stream
			      : (uint32_t)world_below(w, w->model.n_streams);
	uint64_t what = world_below(w, 100);
	struct node *n = some_node(c, w->model.streams[stream].group);

	ASSERT(!c->call);
	if (w->clients_stopped)
		return;
	if (!n)
		client_think(c);
	else if (c->has_again)
		c->call = put_again(n, c);
	else if (what < w->deletes)
		c->call = delete (n, c, stream);
	else if (what < 55)
		c->call = put(n, c, stream);
	else if (what < 90)
		c->call = read_some(n, c, stream);
	else if (what < 95)
		c->call = list(n, c, stream);
	else
		c->call = ping(n, c, stream);
}

void
client_think(struct client *c)
{
	world_schedule(c->world, world_below(c->world, c->world->think_us),
	    (struct happening){.run = act, .arg = c});
}

void
clients_start(struct world *w)
{
	for (uint32_t i = 0; i < w->n_clients; i++) {
		w->clients[i] = (struct client){.world = w, .number = i};
		client_think(&w->clients[i]);
	}
}

void
clients_stop(struct world *w)
{
	w->clients_stopped = 1;
	for (uint32_t i = 0; i < w->n_clients; i++) {
		struct client *c = &w->clients[i];

		if (c->has_again && !c->call &&
		    w->model.puts[c->again].state == PUT_PENDING &&
		    model_put_failed(&w->model, c->again,
			c->unsure ? PUT_UNKNOWN : PUT_REFUSED))
			world_fail(w, "append: %s", w->model.why);
		c->has_again = 0;
	}
}

/* An append whose process died may have been written or not. */
static void
forget_put(struct call *call)
{
	struct world *w = call->world;
	int r = 0;

	w->counts.unknown++;
	if (!call->req.put.has_key)
		r = model_put_failed(&w->model, call->put, PUT_UNKNOWN);
	else if (w->model.puts[call->put].state != PUT_ACKED)
		r = not_acked(call, 1);
	else
		call->client->has_again = !w->clients_stopped;
	must_hold(call, r, "append");
}

void
clients_forget(struct node *n)
{
	struct world *w = n->world;

	for (uint32_t i = 0; i < w->n_clients; i++) {
		struct client *c = &w->clients[i];
		struct call *call = c->call;

		if (!call || call->node != n)
			continue;
		if (call->req.msg.kind == MSG_PUT)
			forget_put(call);
		else if (call->req.msg.kind == MSG_DELETE)
			model_delete_ended(
			    &w->model, call->stream, &call->ask, PUT_UNKNOWN);
		c->call = NULL;
		call_free(call);
		client_think(c);
	}
}

const char *
client_asked(const struct client *c)
{
	switch (c->call ? c->call->req.msg.kind : MSG_NONE) {
	case MSG_PUT:
		return "an append";
	case MSG_DELETE:
		return "a deletion";
	case MSG_READ:
		return "a read";
	case MSG_LIST:
		return "a list";
	case MSG_PING:
		return "a ping";
	default:
		return "nothing";
	}
}

int
client_waits_for(const struct client *c, const struct node *n)
{
	return c->call && c->call->node == n;
}

uint32_t
clients_waiting(const struct world *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->n_clients; i++)
		n += w->clients[i].call != NULL;
	return n;
}

/* --- one at a time ----------------------------------------------------------
 */

static int
is_done(void *arg)
{
	return ((struct call *)arg)->done;
}

static int
await(struct call *call)
{
	struct world *w = call->world;
	int r;

	if (!world_run_until(w, is_done, call, PATIENCE))
		world_fail(w, "a request was not answered within %d s of calm",
		    PATIENCE / 1000000);
	r = call->r;
	return r;
}

int
client_append_now(struct node *n, uint32_t stream)
{
	struct call *call = put(n, NULL, stream);
	int r = await(call);

	call_free(call);
	return r;
}

int
client_verify_now(struct node *n, uint32_t stream)
{
	uint64_t from = 1;
	int more = 1, r = 0;

	while (more && r == 0) {
		struct call *call = read_from(n, NULL, stream, from);

		send(call, call->req.read.group);
		r = await(call);
		more = call->next > from;
		from = call->next;
		call_free(call);
	}
	return r;
}
