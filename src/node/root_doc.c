/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * root_doc - following a document of the root, and changing it.
 *
 * Following:	nothing yet -> its newest event, which names its base
 *		-> from there, page by page, to the newest
 *
 * What is before the newest whole event is let go (EVENT_BASE, vnode/retain.c), at
 * any moment: while a reader is between two pages, after a fill, or because the
 * node was away.  Then the next page begins with a whole event instead of the one
 * that was asked for, and what is here is replaced; a page that begins with a
 * change is the one that was asked for.  The event that an edit is conditional on
 * is the newest, which stays.
 *
 * An edit:	ask the root for the newest -> wait until it is here -> make
 *		-> append -> done; from the start when somebody was faster
 */
#include "src/node/root_doc.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/node/cluster.h"
#include "vnode/event.h"

#define TRIES_MAX  16
#define PAGE_BYTES (1u << 20)

enum stage {
	EDIT_NONE,
	EDIT_ASKING,
	EDIT_WAITING, /* for event WANTED to be here */
	EDIT_WRITING,
};

/* A request of ours. */
struct root_call {
	union {
		struct vnode_read read;
		struct vnode_put put;
	};
	struct root_doc *doc;
};

struct root_doc {
	struct root_doc_config config;
	const struct env *env;
	struct doc *now;
	uint64_t told; /* the event that `changed` was told of */
	int reading, again, empty, damaged;
	int stopping;
	struct root_edit *first, **last; /* waiting */
	uint32_t n_waiting;
	struct root_edit *edit; /* under way */
	enum stage stage;
	uint32_t tries;
	uint64_t wanted, until_us;
	struct buf bytes;
	struct vnode_put_event event;
};

static void begin(struct root_doc *d);
static void go_on(struct root_doc *d);

static uint64_t
now_us(const struct root_doc *d)
{
	return d->env->clock.mono(d->env->clock.ctx).us;
}

static void
fill_read(const struct root_doc *d, struct vnode_read *req)
{
	*req = (struct vnode_read){
	    .msg = {.kind = MSG_READ},
	    .group = d->config.group,
	    .bucket = SLICE_LIT(ROOT_BUCKET),
	    .stream = SLICE_STR(d->config.stream),
	    .to = UINT64_MAX,
	    .limit = UINT64_MAX,
	    .max_bytes = PAGE_BYTES,
	};
}

/* --- following ------------------------------------------------------------ */

static void read_on(struct root_doc *d, uint64_t from);

/* What the replica has is not what it should be; a new base may mend it. */
static void
give_up(struct root_doc *d, int r)
{
	struct doc *fresh = doc_new();

	if (!d->damaged)
		log_write(d->config.log, LOG_ERROR,
		    "stream %s of the root cannot be read: %s",
		    d->config.stream, err_text(r));
	d->damaged = 1;
	if (!fresh)
		return;
	doc_free(d->now);
	d->now = fresh;
}

/* 0: D is up to the last event of PAGE. */
static int
apply_page(struct root_doc *d, const struct vnode_page *page)
{
	for (uint32_t i = 0; i < page->n_parts; i++) {
		struct slice in = page->parts[i].records;

		while (in.n) {
			struct event e;
			uint32_t bytes;
			int r;

			if (event_decode(in, 0, &e, &bytes))
				return -ERR_CORRUPT;
			r = e.seq > doc_seq(d->now)
				? doc_apply(d->now, e.seq, e.data)
				: 0;
			if (r)
				return r;
			in = SLICE(in.p + bytes, in.n - bytes);
		}
	}
	return 0;
}

/* The newest event alone: where to begin. */
static int
find_base(const struct vnode_read *req, uint64_t *base)
{
	const struct vnode_page *page = &req->page;
	struct event e;
	uint32_t bytes;

	if (page->n_parts == 0 ||
	    event_decode(page->parts[page->n_parts - 1].records, 0, &e, &bytes))
		return -ERR_CORRUPT;
	return doc_base(e.data, e.seq, base);
}

static void
up_to_date(struct root_doc *d)
{
	if (doc_seq(d->now) > d->told && !d->stopping) {
		d->told = doc_seq(d->now);
		d->damaged = 0;
		d->config.changed(d->config.arg);
	}
	go_on(d);
	if (d->again && !d->reading)
		root_doc_look(d);
}

static void
was_read(struct msg *m)
{
	struct root_call *call = CONTAINER_OF(m, struct root_call, read.msg);
	struct root_doc *d = call->doc;
	struct vnode_read *req = &call->read;
	uint64_t next = 0;
	int r = req->r;

	d->reading = 0;
	if (r == 0 && req->newest == 0) {
		d->empty = 1;
	} else if (r == 0 && req->last_n) {
		r = find_base(req, &next);
	} else if (r == 0) {
		r = apply_page(d, &req->page);
		if (r == 0 && req->page.last && req->page.last < req->newest)
			next = req->page.last + 1;
	}
	if (req->r == 0 && r && r != -ERR_NOMEM)
		give_up(d, r);
	vnode_page_deinit(&req->page);
	mem_free(call);
	if (next && !d->stopping)
		read_on(d, next);
	else
		up_to_date(d);
}

static void
read_on(struct root_doc *d, uint64_t from)
{
	const struct env_post *post = &d->env->post;
	struct root_call *call = mem_zalloc(sizeof(*call));

	if (!call)
		return; /* with the next change, or tick */
	call->doc = d;
	fill_read(d, &call->read);
	call->read.any = 1;
	call->read.from = from;
	if (from == 0)
		call->read.last_n = call->read.limit = 1;
	call->read.msg.fn = was_read;
	d->reading = 1;
	post->to_worker(
	    post->ctx, d->config.group % post->n_workers, &call->read.msg);
}

void
root_doc_look(struct root_doc *d)
{
	if (d->stopping)
		return;
	d->again = d->reading;
	if (!d->reading)
		read_on(d, doc_seq(d->now) ? doc_seq(d->now) + 1 : 0);
}

/* --- an edit -------------------------------------------------------------- */

static void
end(struct root_doc *d, int r)
{
	struct root_edit *e = d->edit;

	d->edit = NULL;
	d->stage = EDIT_NONE;
	d->tries = 0;
	e->done(e, r);
	begin(d);
}

static void
written(struct msg *m)
{
	struct root_call *call = CONTAINER_OF(m, struct root_call, put.msg);
	struct root_doc *d = call->doc;
	int r = call->put.r;

	if (r == 0)
		d->edit->seq = call->put.first;
	mem_free(call);
	if (r == 0)
		root_doc_look(d);
	if (r == -ERR_CONFLICT) {
		d->stage = EDIT_NONE;
		begin(d); /* somebody was faster */
	} else if (r == 0 || r == -ERR_UNKNOWN) {
		end(d, r);
	} else {
		end(d, -ERR_UNAVAILABLE);
	}
}

static void
append(struct root_doc *d)
{
	struct root_call *call = mem_zalloc(sizeof(*call));
	uint64_t seq = doc_seq(d->now) + 1, base;

	if (!call || doc_base(buf_slice(&d->bytes), seq, &base)) {
		mem_free(call);
		end(d, -ERR_UNAVAILABLE);
		return;
	}
	d->event = (struct vnode_put_event){
	    .flags = base == seq ? EVENT_BASE : 0,
	    .type = SLICE_LIT("application/x-iorio-root"),
	    .data = buf_slice(&d->bytes),
	};
	call->doc = d;
	call->put = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .fn = written},
	    .group = d->config.group,
	    .bucket = SLICE_LIT(ROOT_BUCKET),
	    .stream = SLICE_STR(d->config.stream),
	    .n_events = 1,
	    .events = &d->event,
	    .has_expect = 1,
	    .expect = doc_seq(d->now),
	};
	d->stage = EDIT_WRITING;
	router_send(d->config.router, d->config.group, &call->put.msg);
}

/* The newest is here. */
static void
make(struct root_doc *d)
{
	struct root_edit *e = d->edit;
	struct doc *change = NULL;
	int r;

	if (e->when != ROOT_EDIT_ANY &&
	    (doc_seq(d->now) == 0) != (e->when == ROOT_EDIT_FIRST)) {
		end(d, -ERR_UNAVAILABLE);
		return;
	}
	r = e->make(e, d->now, &change);
	buf_reset(&d->bytes);
	if (r == 0 && change)
		r = doc_encode(d->now, change, &d->bytes);
	doc_free(change);
	e->seq = doc_seq(d->now);
	if (r || !change)
		end(d, r);
	else
		append(d);
}

static void
go_on(struct root_doc *d)
{
	if (d->stage != EDIT_WAITING)
		return;
	if (d->stopping)
		end(d, -ERR_UNAVAILABLE);
	else if (doc_seq(d->now) >= d->wanted)
		make(d);
	else if (now_us(d) >= d->until_us)
		end(d, -ERR_UNAVAILABLE);
}

static void
was_asked(struct msg *m)
{
	struct root_call *call = CONTAINER_OF(m, struct root_call, read.msg);
	struct root_doc *d = call->doc;
	int r = call->read.r;

	d->wanted = call->read.newest;
	vnode_page_deinit(&call->read.page);
	mem_free(call);
	if (r || d->stopping) {
		end(d, -ERR_UNAVAILABLE);
		return;
	}
	d->stage = EDIT_WAITING;
	d->until_us = now_us(d) + d->config.timeout_us;
	root_doc_look(d);
	go_on(d);
}

static void
begin(struct root_doc *d)
{
	struct root_call *call;

	if (d->stage != EDIT_NONE)
		return;
	if (!d->edit) {
		d->edit = d->first;
		if (!d->edit)
			return;
		d->n_waiting--;
		d->first = d->edit->next;
		if (!d->first)
			d->last = &d->first;
	}
	call = mem_zalloc(sizeof(*call));
	if (!call || d->stopping || ++d->tries > TRIES_MAX ||
	    now_us(d) >= d->edit->until_us) {
		mem_free(call);
		end(d, -ERR_UNAVAILABLE);
		return;
	}
	call->doc = d;
	fill_read(d, &call->read);
	call->read.from = 2; /* only which one is the newest */
	call->read.to = 1;
	call->read.msg.fn = was_asked;
	d->stage = EDIT_ASKING;
	router_send(d->config.router, d->config.group, &call->read.msg);
}

void
root_doc_edit(struct root_doc *d, struct root_edit *e)
{
	if (d->stopping || d->n_waiting >= ROOT_EDITS_MAX) {
		e->done(e, -ERR_UNAVAILABLE);
		return;
	}
	e->next = NULL;
	e->until_us = now_us(d) + d->config.timeout_us;
	*d->last = e;
	d->last = &e->next;
	d->n_waiting++;
	begin(d);
}

/* --- life ----------------------------------------------------------------- */

struct root_doc *
root_doc_new(const struct root_doc_config *config)
{
	struct root_doc *d = mem_zalloc(sizeof(*d));

	if (!d)
		return NULL;
	d->config = *config;
	d->env = config->env;
	d->last = &d->first;
	buf_init(&d->bytes, DOC_EVENT_MAX);
	d->now = doc_new();
	return d->now ? d : root_doc_free(d);
}

struct root_doc *
root_doc_free(struct root_doc *d)
{
	if (!d)
		return NULL;
	buf_deinit(&d->bytes);
	doc_free(d->now);
	return mem_free(d);
}

void
root_doc_tick(struct root_doc *d)
{
	if (doc_seq(d->now) == 0 || d->stage == EDIT_WAITING)
		root_doc_look(d);
	go_on(d);
}

void
root_doc_stop(struct root_doc *d)
{
	d->stopping = 1;
	go_on(d);
	begin(d); /* those that wait fail */
}

const struct doc *
root_doc_now(const struct root_doc *d)
{
	return d->now;
}

int
root_doc_is_empty(const struct root_doc *d)
{
	return d->empty && doc_seq(d->now) == 0;
}
