/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cluster_edit - changes of the ring, one after the other.
 *
 *	read the newest -> make the next -> append it if the newest is still
 *	that one -> all members that are up have it -> done
 *
 * Somebody faster: from the start, with what they made.  Outcome unknown: the
 * same; an edit that was committed after all is then seen in the newest ring,
 * which is equal to what was made.
 *
 * Nobody reads but the newest: each event is a base (vnode/retain.c), so those
 * before it go.
 */
#include "src/node/cluster_impl.h"

#include "ring/ring_file.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/mutants.h"

#define TRIES_MAX 8

/* A request of the edit's. */
struct edit_call {
	union {
		struct vnode_read read;
		struct vnode_put put;
	};
	struct cluster *cluster;
};

static void begin(struct cluster *c);

static void
end(struct cluster *c, int r, enum ring_refusal refusal)
{
	struct editing *ed = &c->editing;
	struct cluster_edit *e = ed->edit;

	ed->edit = NULL;
	ed->made = ring_unref(ed->made);
	ed->tries = 0;
	ed->until_us = 0;
	e->done(e, r, refusal, c->gossip.ring);
	begin(c);
}

/* --- known to all --------------------------------------------------------- */

/* Member I is just being let in: it gets the ring with the answer. */
static int
is_at_the_door(const struct cluster *c, uint16_t i)
{
	return c->gossip.ring->members[i].state == RING_JOINING &&
	       c->beats[i].epoch == 0;
}

static int
is_known_to_all(const struct cluster *c, uint64_t epoch)
{
	if (c->gossip.ring->epoch < epoch)
		return 0;
	for (uint16_t i = 0; i < c->gossip.ring->n_members; i++)
		if (!cluster_is_self(c, i) && cluster_is_up(c, i) &&
		    !is_at_the_door(c, i) && c->beats[i].epoch < epoch)
			return 0;
	return 1;
}

void
editing_tick(struct cluster *c)
{
	struct editing *ed = &c->editing;

	if (ed->until_us && (is_known_to_all(c, ed->made->epoch) ||
				cluster_now(c) >= ed->until_us))
		end(c, 0, RING_OK);
}

static void
committed(struct cluster *c)
{
	struct editing *ed = &c->editing;

	store_step(*c->config.store, STEP_RING_WRITTEN);
	cluster_publish(c, ed->made);
	if (c->stopping) { /* nobody is waited for */
		end(c, 0, RING_OK);
		return;
	}
	ed->until_us = cluster_now(c) + c->config.timeout_us;
	editing_tick(c);
}

/* --- writing -------------------------------------------------------------- */

static void
written(struct msg *m)
{
	struct edit_call *call = CONTAINER_OF(m, struct edit_call, put.msg);
	struct cluster *c = call->cluster;
	int r = call->put.r;

	mem_free(call);
	c->n_out--;
	if (r == 0)
		committed(c);
	else if (c->stopping || r == -ERR_NOMEM || r == -ERR_UNAVAILABLE ||
		 r == -ERR_STOPPING || r == -ERR_NOSPC)
		end(c, -ERR_UNAVAILABLE, RING_OK);
	else
		begin(c); /* faster ones, or it is not known */
}

static void
write_made(struct cluster *c)
{
	struct editing *ed = &c->editing;
	struct edit_call *call = mem_zalloc(sizeof(*call));

	buf_reset(&ed->bytes);
	ring_encode(ed->made, &ed->bytes);
	if (!call || buf_error(&ed->bytes)) {
		mem_free(call);
		end(c, -ERR_NOMEM, RING_OK);
		return;
	}
	ed->event = (struct vnode_put_event){
	    .flags = EVENT_BASE,
	    .type = SLICE_LIT("application/x-iorio-ring"),
	    .data = buf_slice(&ed->bytes),
	};
	call->cluster = c;
	call->put = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .fn = written},
	    .group = c->gossip.ring->q,
	    .bucket = SLICE_LIT(ROOT_BUCKET),
	    .stream = SLICE_LIT(ROOT_STREAM),
	    .n_events = 1,
	    .events = &ed->event,
	    .has_expect = !VNODE_MUTANT(EDIT_WITHOUT_CONDITION),
	    .expect = ed->seq,
	};
	c->n_out++;
	store_step(*c->config.store, STEP_RING_MADE);
	router_send(c->config.router, call->put.group, &call->put.msg);
}

/* --- reading -------------------------------------------------------------- */

static int
is_what_was_made(const struct editing *ed, const struct ring *now)
{
	uint8_t a[RING_HASH_BYTES], b[RING_HASH_BYTES];

	return ed->made && now->epoch == ed->made->epoch &&
	       ring_hash_of(now, a) == 0 && ring_hash_of(ed->made, b) == 0 &&
	       memcmp(a, b, sizeof(a)) == 0;
}

/* NOW is the newest ring, event SEQ of the root's stream. */
static void
make_of(struct cluster *c, struct ring *now, uint64_t seq)
{
	struct editing *ed = &c->editing;
	struct ring *made = NULL;
	enum ring_refusal refusal;

	cluster_publish(c, now);
	if (is_what_was_made(ed, now)) {
		committed(c);
		return;
	}
	refusal = ed->edit->make(ed->edit, now, &made);
	if (refusal != RING_OK) {
		end(c, 0, refusal);
		return;
	}
	ring_unref(ed->made);
	ed->made = made;
	ed->seq = seq;
	write_made(c);
}

static void
was_read(struct msg *m)
{
	struct edit_call *call = CONTAINER_OF(m, struct edit_call, read.msg);
	struct cluster *c = call->cluster;
	struct vnode_read *req = &call->read;
	int r = req->r;
	struct ring *now = NULL;

	c->n_out--;
	if (r == 0 && req->newest == 0)
		now = ring_ref(c->gossip.ring); /* the first of all */
	else if (r == 0)
		now = cluster_ring_in(req);
	if (c->stopping || !now)
		end(c, r && r != -ERR_CORRUPT ? -ERR_UNAVAILABLE : -ERR_CORRUPT,
		    RING_OK);
	else
		make_of(c, now, req->newest);
	ring_unref(now);
	vnode_page_deinit(&req->page);
	mem_free(call);
}

static void
begin(struct cluster *c)
{
	struct editing *ed = &c->editing;
	struct edit_call *call;

	if (!ed->edit) {
		ed->edit = c->first;
		if (!ed->edit)
			return;
		c->first = ed->edit->next;
		if (!c->first)
			c->last = &c->first;
	}
	call = mem_zalloc(sizeof(*call));
	if (!call || c->stopping || ++ed->tries > TRIES_MAX) {
		mem_free(call);
		end(c, -ERR_UNAVAILABLE, RING_OK);
		return;
	}
	cluster_fill_read(c, ROOT_STREAM, &call->read);
	call->read.msg.fn = was_read;
	call->cluster = c;
	c->n_out++;
	router_send(c->config.router, call->read.group, &call->read.msg);
}

void
cluster_edit(struct cluster *c, struct cluster_edit *e)
{
	e->next = NULL;
	*c->last = e;
	c->last = &e->next;
	if (!c->editing.edit)
		begin(c);
}

void
editing_stop(struct cluster *c)
{
	if (c->editing.until_us)
		end(c, 0, RING_OK);
	else if (!c->editing.edit)
		begin(c); /* those that wait fail */
}
