/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* client_ask - what clients ask for. */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/world/client_impl.h"

/* --- questions --------------------------------------------------------------
 */

void
call_send(struct call *call, uint32_t group)
{
	struct node *n = call->node;

	call->req.msg.fn = call_answered;
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

/* Event I of the request for PUT of K events; the second of a patch is of the
 * other put. */
static struct vnode_put_event
draw_event(struct model *m, uint64_t put, uint32_t i, uint32_t k)
{
	uint64_t twin = m->puts[put].twin;

	if (!twin)
		return model_event(put, i, k, m->scratch);
	return model_event(i ? twin - 1 : put, 0, 1, m->scratch);
}

/* The request of append or patch PUT, with K events in all. */
static struct call *
put_call(struct node *n, struct client *c, uint64_t put, uint32_t k)
{
	struct world *w = n->world;
	struct call *call = call_new(n, c, MSG_PUT, w->model.puts[put].stream);
	size_t used = 0;

	call->put = put;
	call->events = mem_calloc(k, sizeof(*call->events));
	call->data = mem_alloc(k > 8 ? k * 64 : k * MODEL_DATA_MAX);
	ASSERT(call->events && call->data);
	for (uint32_t i = 0; i < k; i++) {
		struct vnode_put_event e = draw_event(&w->model, put, i, k);

		memcpy(call->data + used, e.data.p, e.data.n);
		e.data.p = call->data + used;
		used += e.data.n;
		call->events[i] = e;
	}
	call->req.put.group = w->model.streams[call->stream].group;
	call->req.put.bucket = call_bucket(call);
	call->req.put.stream = call_name(call);
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

/* Comes again under a key, perhaps. */
static void
draw_key(struct call *call)
{
	struct client *c = call->client;

	if (!c || !world_one_in(call->world, 2))
		return;
	c->unsure = 0;
	c->again = call->put;
	c->expect = call->req.put.expect;
	c->patch_of = call->req.put.patch_of;
	add_key(call);
}

struct call *
ask_put(struct node *n, struct client *c, uint32_t stream)
{
	struct world *w = n->world;
	uint32_t k = draw_n_events(w);
	struct call *call =
	    put_call(n, c, model_put_new(&w->model, stream, k), k);

	draw_key(call);
	call_send(call, call->req.put.group);
	return call;
}

/* The stream's incarnation, as far as a client was told; 0: it was not. */
static uint64_t
known_life(const struct world *w, uint32_t stream)
{
	return w->rings ? w->lives[stream]
			: w->model.streams[stream].floor_life;
}

struct call *
ask_patch(struct node *n, struct client *c, uint32_t stream)
{
	struct world *w = n->world;
	uint64_t floor = w->model.streams[stream].floor;
	uint64_t life = known_life(w, stream);
	struct call *call;

	if (!floor || !life)
		return ask_put(n, c, stream);
	call = put_call(n, c, model_patch_new(&w->model, stream), 2);
	call->req.put.has_expect = 1;
	call->req.put.expect = floor;
	call->req.put.patch_of = life;
	draw_key(call);
	call_send(call, call->req.put.group);
	return call;
}

/* When it is known to be there, now and then with another body. */
struct call *
ask_put_again(struct node *n, struct client *c)
{
	struct world *w = n->world;
	const struct model_put *p = &w->model.puts[c->again];
	struct call *call = put_call(n, c, c->again, p->twin ? 2 : p->n_events);

	call->req.put.has_expect = c->patch_of != 0;
	call->req.put.expect = c->expect;
	call->req.put.patch_of = c->patch_of;
	call->other_body = p->state == PUT_ACKED && world_one_in(w, 4);
	add_key(call);
	call_send(call, call->req.put.group);
	return call;
}

struct call *
ask_delete(struct node *n, struct client *c, uint32_t stream)
{
	struct world *w = n->world;
	struct call *call = call_new(n, c, MSG_DELETE, stream);

	model_delete_new(&w->model, stream);
	call->req.del.group = w->model.streams[stream].group;
	call->req.del.bucket = call_bucket(call);
	call->req.del.stream = call_name(call);
	call_send(call, call->req.del.group);
	return call;
}

struct call *
ask_from(struct node *n, struct client *c, uint32_t stream, uint64_t from)
{
	struct world *w = n->world;
	struct call *call = call_new(n, c, MSG_READ, stream);
	struct vnode_read *req = &call->req.read;

	req->group = w->model.streams[stream].group;
	req->bucket = call_bucket(call);
	req->stream = call_name(call);
	req->from = from;
	req->to = UINT64_MAX;
	req->limit = UINT64_MAX;
	req->max_bytes = (uint32_t)world_between(w, 1, 16384);
	return call;
}

struct call *
ask_some(struct node *n, struct client *c, uint32_t stream)
{
	struct world *w = n->world;
	uint64_t top = w->model.streams[stream].n + 5;
	struct call *call = ask_from(n, c, stream, world_below(w, top));
	struct vnode_read *req = &call->req.read;

	if (world_one_in(w, 8)) {
		req->op = VNODE_READ_SEEK;
		req->from = 0;
		req->seek_ms =
		    WORLD_WALL_MS + world_below(w, w->now_us / 1000 + 1000);
	} else {
		if (world_one_in(w, 2))
			req->to = world_below(w, top);
		if (world_one_in(w, 2))
			req->last_n = world_between(w, 1, 20);
		if (world_one_in(w, 2))
			req->limit = world_below(w, 30);
		req->desc = world_one_in(w, 3);
	}
	call_send(call, req->group);
	return call;
}

struct call *
ask_list(struct node *n, struct client *c, uint32_t stream)
{
	struct call *call = call_new(n, c, MSG_LIST, stream);
	struct vnode_list *req = &call->req.list;

	req->group = n->world->model.streams[stream].group;
	req->bucket = call_bucket(call);
	req->limit = 1000;
	req->detail = 1;
	call_send(call, req->group);
	return call;
}

struct call *
ask_ping(struct node *n, struct client *c, uint32_t stream)
{
	struct call *call = call_new(n, c, MSG_PING, stream);

	call->req.ping.group = n->world->model.streams[stream].group;
	call_send(call, call->req.ping.group);
	return call;
}
