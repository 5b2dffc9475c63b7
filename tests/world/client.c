/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * client - who asks, when and whom.
 *
 * A client has one request on its way, thinks, and sends the next one to any
 * node.  Requests are the world's memory: a process that dies with some of them
 * takes nothing along.
 */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/world/client_impl.h"

#define PATIENCE 120000000 /* us, with nothing in the way */

struct call *
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

void
call_free(struct call *call)
{
	call->magic = 0;
	mem_free(call->events);
	mem_free(call->data);
	mem_free(call);
}

struct slice
call_bucket(const struct call *call)
{
	return SLICE_STR(call->world->model.streams[call->stream].bucket);
}

struct slice
call_name(const struct call *call)
{
	return SLICE_STR(call->world->model.streams[call->stream].name);
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
		c->call = ask_put_again(n, c);
	else if (what < w->deletes)
		c->call = ask_delete(n, c, stream);
	else if (what < 15)
		c->call = ask_patch(n, c, stream % w->model.n_plain);
	else if (what < 55)
		c->call = ask_put(n, c, stream % w->model.n_plain);
	else if (what < 90)
		c->call = ask_some(n, c, stream);
	else if (what < 95)
		c->call = ask_list(n, c, stream);
	else
		c->call = ask_ping(n, c, stream);
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

void
clients_forget(struct node *n)
{
	struct world *w = n->world;

	for (uint32_t i = 0; i < w->n_clients; i++) {
		struct client *c = &w->clients[i];
		struct call *call = c->call;

		if (!call || call->node != n)
			continue;
		call_forgotten(call);
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
	struct call *call = ask_put(n, NULL, stream);
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
		struct call *call = ask_from(n, NULL, stream, from);

		call_send(call, call->req.read.group);
		r = await(call);
		more = call->next > from;
		from = call->next;
		call_free(call);
	}
	return r;
}
