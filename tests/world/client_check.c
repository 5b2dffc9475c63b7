/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* client_check - answers, held against the model. */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "tests/world/arena.h"
#include "tests/world/client_impl.h"

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

/* Somebody was faster than this patch.  KNOWN: it is done, under a key; UNSURE:
 * it may be. */
static int
too_late(struct call *call, int known, int unsure)
{
	struct model *m = &call->world->model;

	call->world->counts.conflicts++;
	if (known && !call->world->deletes)
		world_fail(call->world, "patch %llu is done, and refused",
		    (unsigned long long)call->put);
	if (!known &&
	    model_put_failed(m, call->put, unsure ? PUT_UNKNOWN : PUT_REFUSED))
		return -1;
	return model_newest(
	    m, call->stream, &call->ask, 0, call->req.put.newest);
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
		w->counts.patched += req->patch_of && !req->replayed;
		r = model_put_acked(&w->model, call->put, &call->ask, req);
		if (r == 0 && known && !req->replayed)
			world_fail(w, "put %llu was appended again",
			    (unsigned long long)call->put);
		c->has_again = !w->clients_stopped && world_one_in(w, 4);
	} else if (req->r == -ERR_CONFLICT && req->patch_of) {
		r = too_late(call, known, c->unsure);
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
		w->counts.patched += req->patch_of != 0;
		r = model_put_acked(&w->model, call->put, &call->ask, req);
	} else if (req->r == -ERR_CONFLICT && req->patch_of) {
		r = too_late(call, 0, 0);
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

/* The first visible event; newest + 1: there is none. */
static uint64_t
first_of(const struct vnode_read *req)
{
	return req->kept_first ? req->kept_first : req->newest + 1;
}

/* The range that was asked for, as far as it is visible, is what the answer is
 * about. */
static void
check_range(struct call *call)
{
	struct world *w = call->world;
	struct vnode_read *req = &call->req.read;
	uint64_t first = req->from > first_of(req) ? req->from : first_of(req);
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

/* 1: events were damaged on this node's disk, and it says so. */
static int
is_damaged(struct call *call)
{
	struct world *w = call->world;
	const struct vnode_read *req = &call->req.read;
	uint64_t id = w->rings ? w->lives[call->stream] : req->incarnation;

	if (req->r != -ERR_CORRUPT ||
	    !flips_explain(call->node, req->group, id))
		return 0;
	if (req->damaged_first == 0 || req->damaged_last > req->newest ||
	    req->damaged_first > req->damaged_last)
		world_fail(w, "%llu..%llu of %llu are damaged",
		    (unsigned long long)req->damaged_first,
		    (unsigned long long)req->damaged_last,
		    (unsigned long long)req->newest);
	w->counts.damaged++;
	must_hold(call,
	    model_newest(&w->model, call->stream, &call->ask, req->incarnation,
		req->newest),
	    "read");
	call->next = req->damaged_last + 1;
	call->r = 0;
	return 1;
}

static void
answer_read(struct call *call)
{
	struct world *w = call->world;
	struct vnode_read *req = &call->req.read;

	world_note(w, req->newest);
	if (is_refusal(req->r) || is_damaged(call))
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
	if (req->newest)
		must_hold(call,
		    keep_saw(&w->keep, &w->model, call->stream, &call->ask,
			req->incarnation, req->newest, first_of(req)),
		    "read");
	else if (req->kept_first)
		world_fail(w, "a stream without events begins at %llu",
		    (unsigned long long)req->kept_first);
	call->next = req->newest + 1;
	if (req->op == VNODE_READ_PAGE)
		check_range(call);
	else
		must_hold(call,
		    model_seek(&w->model, call->stream, req->incarnation,
			req->seek_ms, req->seek, first_of(req), req->newest),
		    "seek");
}

/* What ITEM says of what is visible of STREAM. */
static void
check_item(
    struct call *call, uint32_t stream, const struct vnode_list_item *item)
{
	struct world *w = call->world;
	uint64_t first = item->first ? item->first : item->last + 1;
	uint64_t life =
	    w->rings ? 1 + stream : w->model.streams[stream].incarnation;

	if (item->count != item->last + 1 - first)
		world_fail(w, "a list has %llu events of %s, %llu to %llu",
		    (unsigned long long)item->count,
		    w->model.streams[stream].name, (unsigned long long)first,
		    (unsigned long long)item->last);
	must_hold(call,
	    keep_saw(&w->keep, &w->model, stream, &call->ask, life, item->last,
		first),
	    "list");
}

/* Whether stream I of the model is what the list should show. */
static int
is_listed(const struct call *call, const struct model_stream *s)
{
	return s->group == call->req.list.group &&
	       slice_equal(SLICE_STR(s->bucket), call_bucket(call));
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
		if (item)
			check_item(call, s, item);
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

void
call_answered(struct msg *m)
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
		if ((call->r == 0 || call->r == -ERR_CORRUPT) &&
		    call->req.read.newest)
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
call_forgotten(struct call *call)
{
	struct model *m = &call->world->model;

	if (call->req.msg.kind == MSG_PUT)
		forget_put(call);
	else if (call->req.msg.kind == MSG_DELETE)
		model_delete_ended(m, call->stream, &call->ask, PUT_UNKNOWN);
}
