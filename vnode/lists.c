/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* lists - names in order, and what there is of each stream. */
#include "vnode/lists.h"

#include "src/base/err.h"
#include "src/base/mem.h"

/* --- streams as they were ------------------------------------------------- */

static struct vnode_list_item
item_of(const struct stream *s)
{
	return (struct vnode_list_item){
	    .first = s->first <= s->last ? s->first : 0,
	    .last = s->last,
	    .count = s->last - s->first + 1,
	    .bytes = s->total - kept_before(s),
	    .t_ms = s->last_t,
	};
}

static int
is_seen(const void *entry, const void *key)
{
	return ((const struct lists_seen *)entry)->id == *(const uint64_t *)key;
}

void
lists_seen_init(struct table *seen)
{
	table_init(seen, 0, is_seen); /* no client chooses ids */
}

struct lists_seen *
lists_seen_new(const struct stream *s)
{
	struct lists_seen *e = mem_alloc(sizeof(*e));

	if (e)
		*e = (struct lists_seen){s->id, kept_before(s), item_of(s)};
	return e;
}

int
lists_see(
    struct table *seen, struct lists_seen *e, uint64_t first, uint64_t before)
{
	struct vnode_list_item *item = &e->item;

	item->bytes -= before - e->before;
	item->first = first;
	item->count = item->last - first + 1;
	return table_insert(seen, table_hash(seen, &e->id, sizeof(e->id)), e);
}

static const struct lists_seen *
find_seen(const struct table *seen, const struct stream *s)
{
	return seen && seen->n
		   ? table_find(
			 seen, table_hash(seen, &s->id, sizeof(s->id)), &s->id)
		   : NULL;
}

void
lists_seen_deinit(struct table *seen)
{
	struct table_iter it;
	struct lists_seen *e;

	table_iter_init(&it, seen);
	while ((e = table_iter_next(&it)))
		mem_free(e);
	table_clear(seen);
	table_deinit(seen);
}

/* --- names in order ------------------------------------------------------- */

static struct slice
name_of(const struct bucket *b)
{
	return SLICE(b->name, b->name_n);
}

static int
by_stream_name(const void *a, const void *b)
{
	return slice_compare(stream_name(*(struct stream *const *)a),
	    stream_name(*(struct stream *const *)b));
}

static int
by_item_name(const void *a, const void *b)
{
	return slice_compare(((const struct vnode_list_item *)a)->name,
	    ((const struct vnode_list_item *)b)->name);
}

static int
wanted(const struct vnode_list *req, struct slice name)
{
	return name.n >= req->prefix.n &&
	       slice_equal(SLICE(name.p, req->prefix.n), req->prefix) &&
	       (req->after.n == 0 || slice_compare(name, req->after) > 0);
}

/* The first stream of B whose name could be wanted. */
static uint32_t
lower_bound(const struct bucket *b, const struct vnode_list *req)
{
	struct slice from = slice_compare(req->after, req->prefix) > 0
				? req->after
				: req->prefix;
	uint32_t lo = 0, hi = b->n_streams;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (slice_compare(stream_name(b->streams[mid]), from) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
fill_item(struct vnode_list_item *item, const struct stream *s,
    const struct lists_seen *seen)
{
	if (seen)
		*item = seen->item;
	else
		*item = item_of(s);
	item->name = stream_name(s);
}

/* The names move into memory of the answer's own. */
static int
own_names(struct vnode_list *req)
{
	size_t total = 0, at = 0;

	for (uint32_t i = 0; i < req->n_items; i++)
		total += req->items[i].name.n;
	req->names = mem_alloc(total);
	if (!req->names)
		return -ERR_NOMEM;
	for (uint32_t i = 0; i < req->n_items; i++) {
		struct slice *name = &req->items[i].name;

		memcpy(req->names + at, name->p, name->n);
		name->p = req->names + at;
		at += name->n;
	}
	return 0;
}

/* The bucket of REQ in order, or NULL when nothing is in it. */
static struct bucket *
sorted_bucket(const struct vnode *v, const struct vnode_list *req)
{
	struct bucket *b = vnode_bucket(v, req->bucket);

	if (!b || b->n_streams == 0)
		return NULL;
	if (!b->sorted)
		qsort(b->streams, b->n_streams, sizeof(*b->streams),
		    by_stream_name);
	b->sorted = 1;
	return b;
}

/* The next stream from *AT on that REQ wants; NULL: there is none. */
static struct stream *
next_wanted(const struct bucket *b, const struct vnode_list *req, uint32_t *at)
{
	while (*at < b->n_streams) {
		struct stream *s = b->streams[(*at)++];
		struct slice name = stream_name(s);

		if (wanted(req, name))
			return s;
		if (slice_compare(name, req->prefix) > 0 &&
		    slice_compare(name, req->after) > 0)
			break; /* beyond the prefix */
	}
	return NULL;
}

uint32_t
lists_unsettled(struct vnode *v, const struct vnode_list *req,
    const struct table *seen, struct stream **out, uint32_t most)
{
	const struct bucket *b =
	    req->detail && req->bucket.n ? sorted_bucket(v, req) : NULL;
	uint32_t at = b ? lower_bound(b, req) : 0, n = 0;
	struct stream *s;

	for (uint32_t i = 0;
	     b && n < most && i < req->limit && (s = next_wanted(b, req, &at));
	     i++)
		if (!find_seen(seen, s) && !kept_settle(v, s))
			out[n++] = s;
	return n;
}

static void
list_streams(struct vnode *v, struct vnode_list *req, const struct table *seen)
{
	struct bucket *b = sorted_bucket(v, req);
	struct stream *s;
	uint32_t at;

	if (!b)
		return;
	at = lower_bound(b, req);
	req->items = mem_calloc(
	    b->n_streams - at < req->limit ? b->n_streams - at : req->limit,
	    sizeof(*req->items));
	if (!req->items) {
		req->r = -ERR_NOMEM;
		return;
	}
	while ((s = next_wanted(b, req, &at))) {
		if (req->n_items == req->limit) {
			req->more = 1;
			break;
		}
		fill_item(&req->items[req->n_items++], s, find_seen(seen, s));
	}
}

static void
list_buckets(struct vnode *v, struct vnode_list *req)
{
	struct table_iter it;
	struct bucket *b;

	table_iter_init(&it, &v->buckets);
	req->items = mem_calloc(v->buckets.n, sizeof(*req->items));
	if (!req->items) {
		req->r = -ERR_NOMEM;
		return;
	}
	while ((b = table_iter_next(&it))) {
		if (b->n_streams == 0 || !wanted(req, name_of(b)))
			continue;
		req->items[req->n_items++].name = name_of(b);
	}
	if (req->n_items)
		qsort(req->items, req->n_items, sizeof(*req->items),
		    by_item_name);
	if (req->n_items > req->limit) {
		req->n_items = req->limit;
		req->more = 1;
	}
}

void
lists_answer(struct vnode *v, struct vnode_list *req, const struct table *seen)
{
	req->r = 0;
	vnode_list_clear(req);
	if (req->bucket.n)
		list_streams(v, req, seen);
	else
		list_buckets(v, req);
	if (req->r == 0)
		req->r = own_names(req);
	if (req->r)
		vnode_list_deinit(req);
}
