/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * api_list - GET /buckets and GET /streams/:bucket (http-api.md section 4.5).
 *
 * Every group is asked; each answers in order and what is asked for at most, so
 * the smallest of all heads is the next name.  A bucket lies in many groups:
 * the same name is shown once.
 */
#include "http/http_impl.h"
#include "http/param.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define LIST_MAX 10000

struct list_call {
	struct request *rq;       /* NULL once nobody waits */
	struct vnode_list *parts; /* by group */
	uint8_t *there;           /* by group: answered */
	uint32_t *next;
	uint32_t n_groups, n_waiting;
	uint32_t limit;
	int detail, any, stale;
	struct slice bucket, prefix, after; /* in NAMES */
	uint8_t names[];
};

static void
call_free(struct list_call *c)
{
	for (uint32_t g = 0; c->parts && g < c->n_groups; g++)
		if (c->there[g])
			vnode_list_deinit(&c->parts[g]);
	mem_free(c->parts);
	mem_free(c->there);
	mem_free(c->next);
	mem_free(c);
}

/* The group with the smallest name that was not shown; -1: none. */
static int64_t
smallest(const struct list_call *c)
{
	int64_t best = -1;

	for (uint32_t g = 0; g < c->n_groups; g++) {
		if (!c->there[g] || c->next[g] >= c->parts[g].n_items)
			continue;
		if (best < 0 ||
		    slice_compare(c->parts[g].items[c->next[g]].name,
			c->parts[best].items[c->next[best]].name) < 0)
			best = g;
	}
	return best;
}

static void
add_item(const struct list_call *c, struct buf *b,
    const struct vnode_list_item *item)
{
	if (!c->detail) {
		buf_add_json_string(b, item->name);
		return;
	}
	buf_add_str(b, "{\"name\":");
	buf_add_json_string(b, item->name);
	buf_printf(b,
	    ",\"first\":%llu,\"last\":%llu,\"count\":%llu,\"bytes\":%llu,"
	    "\"t\":%llu}",
	    (unsigned long long)item->first, (unsigned long long)item->last,
	    (unsigned long long)item->count, (unsigned long long)item->bytes,
	    (unsigned long long)item->t_ms);
}

/* Names in order into B; the last one shown, and whether there are more. */
static int
merge(struct list_call *c, struct buf *b, struct slice *last)
{
	uint32_t n = 0;
	int more = 0;

	*last = SLICE(NULL, 0);
	for (;;) {
		int64_t g = smallest(c);
		struct vnode_list_item *item;

		if (g < 0)
			break;
		item = &c->parts[g].items[c->next[g]++];
		if (last->p && slice_equal(item->name, *last))
			continue;
		if (n == c->limit) {
			more = 1;
			break;
		}
		if (n++)
			buf_add_byte(b, ',');
		add_item(c, b, item);
		*last = item->name;
	}
	for (uint32_t g = 0; g < c->n_groups; g++)
		more |= c->there[g] && c->parts[g].more;
	return more;
}

static int
is_whole(const struct list_call *c)
{
	for (uint32_t g = 0; g < c->n_groups; g++)
		if (!c->there[g])
			return 0;
	return 1;
}

static void
add_missing(const struct list_call *c, struct buf *b)
{
	int n = 0;

	buf_add_str(b, ",\"missing\":[");
	for (uint32_t g = 0; g < c->n_groups; g++)
		if (!c->there[g])
			buf_printf(b, "%s%u", n++ ? "," : "", g);
	buf_add_byte(b, ']');
}

static void
send_list(struct request *rq)
{
	struct list_call *c = rq->list;
	struct buf body, link;
	struct slice last;
	int more, whole = is_whole(c);

	buf_init(&body, 64u << 20);
	buf_init(&link, 1u << 16);
	buf_printf(
	    &body, "{\"status\":\"%s\",\"data\":[", whole ? "ok" : "partial");
	more = merge(c, &body, &last);
	buf_add_byte(&body, ']');
	if (!whole)
		add_missing(c, &body);
	buf_add_byte(&body, '}');
	buf_add_str(&link, "Cache-Control: no-store\r\n");
	if (c->stale)
		buf_add_str(&link, "Iorio-Stale: true\r\n");
	if (more && last.n) {
		buf_add_str(&link,
		    c->bucket.n ? "Link: </streams/" : "Link: </buckets");
		uri_escape(&link, c->bucket);
		buf_add_str(&link, "?after=");
		uri_escape(&link, last);
		if (c->prefix.n)
			buf_add_str(&link, "&prefix=");
		uri_escape(&link, c->prefix);
		buf_printf(&link, "&limit=%u%s%s>; rel=\"next\"\r\n", c->limit,
		    c->detail ? "&detail=1" : "",
		    c->any ? "&consistency=any" : "");
	}
	buf_add(&link, "", 1);
	if (buf_error(&body) || buf_error(&link))
		respond_store_error(rq, -ERR_NOMEM);
	else
		respond(rq, 200, "application/json", (char *)link.p,
		    buf_slice(&body));
	buf_deinit(&body);
	buf_deinit(&link);
}

static void
got_part(struct msg *m)
{
	struct vnode_list *part = CONTAINER_OF(m, struct vnode_list, msg);
	struct list_call *c = *(struct list_call **)(void *)(part + 1);
	uint32_t g = part->group;

	if (part->r == 0) {
		c->parts[g] = *part;
		c->there[g] = 1;
		c->stale |= part->stale;
	}
	mem_free(part);
	c->n_waiting--;
	if (!c->rq) {
		if (c->n_waiting == 0)
			call_free(c);
		return;
	}
	if (c->n_waiting == 0 && !c->rq->done)
		send_list(c->rq);
}

void
api_list_free(struct request *rq)
{
	struct list_call *c = rq->list;

	rq->list = NULL;
	c->rq = NULL;
	if (c->n_waiting == 0)
		call_free(c);
}

void
api_list_timed_out(struct request *rq)
{
	send_list(rq);
}

/* --- asking --------------------------------------------------------------- */

/* As for events: <= 0 is none; what is no integer is as if it was not there. */
static uint32_t
take_limit(struct request *rq)
{
	struct slice v;
	int64_t n;

	if (!request_param(rq, "limit", &v) || param_int(v, &n) || n > LIST_MAX)
		return LIST_MAX;
	return n > 0 ? (uint32_t)n : 0;
}

static struct list_call *
new_call(struct request *rq)
{
	struct slice prefix = SLICE(NULL, 0), after = SLICE(NULL, 0), v;
	uint32_t n = rq->server->config.route.n_groups;
	struct list_call *c;
	uint8_t *at;

	request_param(rq, "prefix", &prefix);
	request_param(rq, "after", &after);
	c = mem_zalloc(sizeof(*c) + rq->bucket.n + prefix.n + after.n);
	if (!c)
		return NULL;
	at = c->names;
	c->rq = rq;
	c->n_groups = n;
	c->bucket = slice_put(&at, rq->bucket);
	c->prefix = slice_put(&at, prefix);
	c->after = slice_put(&at, after);
	c->limit = take_limit(rq);
	c->detail = rq->bucket.n && request_param(rq, "detail", &v) &&
		    !slice_equal(v, SLICE_LIT("0"));
	c->any = request_param(rq, "consistency", &v) &&
		 slice_equal(v, SLICE_LIT("any"));
	c->parts = mem_calloc(n, sizeof(*c->parts));
	c->there = mem_zalloc(n);
	c->next = mem_calloc(n, sizeof(*c->next));
	if (c->parts && c->there && c->next)
		return c;
	call_free(c);
	return NULL;
}

static void
ask_all(struct request *rq)
{
	const struct vnode_route *route = &rq->server->config.route;
	struct list_call *c = new_call(rq);

	if (!c) {
		respond_store_error(rq, -ERR_NOMEM);
		return;
	}
	rq->list = c;
	c->n_waiting = c->n_groups;
	request_watch(rq);
	for (uint32_t g = 0; g < c->n_groups; g++) {
		struct vnode_list *part =
		    mem_zalloc(sizeof(*part) + sizeof(struct list_call *));

		if (!part) {
			c->n_waiting--; /* as one that does not answer */
			continue;
		}
		*(struct list_call **)(void *)(part + 1) = c;
		part->msg.kind = MSG_LIST;
		part->msg.from = rq->server->worker;
		part->msg.fn = got_part;
		part->group = g;
		part->bucket = c->bucket;
		part->prefix = c->prefix;
		part->after = c->after;
		part->limit = c->limit;
		part->detail = c->detail;
		part->any = c->any;
		route->send(route->ctx, g, &part->msg);
	}
	if (c->n_waiting == 0)
		send_list(rq);
}

void
api_streams(struct request *rq)
{
	ask_all(rq);
}

void
api_buckets(struct request *rq)
{
	ask_all(rq);
}
