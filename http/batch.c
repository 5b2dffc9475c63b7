/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* batch - an NDJSON body as the events of one append: a value a line, in place.
 */
#include "http/batch.h"

#include "src/base/err.h"
#include "src/base/mem.h"

/* The next line of IN without its end; 0: there is none. */
static int
next_line(struct slice *in, struct slice *line)
{
	const uint8_t *end;
	size_t n;

	if (in->n == 0)
		return 0;
	end = memchr(in->p, '\n', in->n);
	n = end ? (size_t)(end - in->p) : in->n;
	*line = SLICE(in->p, n);
	if (n && in->p[n - 1] == '\r')
		line->n--;
	n += end != NULL;
	*in = SLICE(in->p + n, in->n - n);
	return 1;
}

static int
is_blank(struct slice line)
{
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
			return 0;
	return 1;
}

/* How many events there are, but no more than MOST + 1. */
static uint32_t
count(struct slice in, uint32_t most)
{
	struct slice line;
	uint32_t n = 0;

	while (n <= most && next_line(&in, &line))
		n += !is_blank(line);
	return n;
}

/* Memory for N events, charged as the body is; 0: there is none. */
static int
reserve(struct request *rq, uint32_t n)
{
	uint64_t bytes = n * sizeof(*rq->events);

	rq->charged += bytes;
	if (server_charge(rq->server, bytes))
		rq->events = mem_alloc(bytes);
	if (rq->events)
		return 1;
	respond_unavailable(rq, "too many bodies are in flight");
	return 0;
}

static int
bad_line(struct request *rq, uint32_t n, const struct json_error *why)
{
	char fields[32];

	snprintf(fields, sizeof(fields), ",\"line\":%u", n);
	respond_error(rq, 400, "invalid-body", NULL, fields,
	    "line %u is not one JSON value: %s at byte %zu of it", n, why->text,
	    why->offset);
	return 0;
}

static int
take_lines(struct request *rq)
{
	struct slice in = rq->body, line;

	for (uint32_t n = 1; next_line(&in, &line); n++) {
		struct json_error why;
		int r;

		if (is_blank(line))
			continue;
		r = json_check(rq->server->json, line, JSON_MAX_DEPTH, &why);
		if (r < 0) {
			respond_store_error(rq, r);
			return 0;
		}
		if (r)
			return bad_line(rq, n, &why);
		rq->events[rq->n_events++] = (struct vnode_put_event){
		    .flags = (uint16_t)(EVENT_JSON |
					(json_has_newline(line) ? EVENT_NEWLINE
								: 0)),
		    .data = line,
		};
	}
	return 1;
}

int
batch_take(struct request *rq)
{
	uint32_t most = rq->server->config.max_batch;
	uint32_t n = count(rq->body, most);

	if (n == 0) {
		respond_error(rq, 400, "invalid-body", NULL, NULL,
		    "the body has no event: one JSON value a line is meant");
		return 0;
	}
	if (n > most) {
		respond_error(rq, 413, "too-large", NULL, NULL,
		    "more than %u events at once", most);
		return 0;
	}
	return reserve(rq, n) && take_lines(rq);
}
