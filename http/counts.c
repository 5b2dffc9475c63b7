/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* counts - what a worker's edge has answered. */
#include "http/counts.h"

#include <string.h>

#include "src/base/mem.h"

static const char *const methods[] = {
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"};

/* What is no status of ours counts as the last of its class. */
static const uint16_t statuses[] = {100, 101, 200, 201, 204, 206, 299, 304, 399,
    400, 401, 403, 404, 405, 406, 408, 409, 410, 412, 413, 414, 415, 417, 422,
    426, 428, 429, 431, 499, 500, 501, 503, 504, 505, 599};

#define N_METHODS  (sizeof(methods) / sizeof(*methods))
#define N_STATUSES (sizeof(statuses) / sizeof(*statuses))

struct counts {
	const char *(*pattern)(uint32_t i);
	uint32_t n_routes;
	atomic_ullong n[][N_METHODS][N_STATUSES];
};

struct counts *
counts_new(const char *(*pattern)(uint32_t i))
{
	struct counts *c;
	uint32_t n_routes = 0;

	while (pattern(n_routes))
		n_routes++;
	c = mem_zalloc(sizeof(*c) + (n_routes + 1) * sizeof(c->n[0]));
	if (!c)
		return NULL;
	c->pattern = pattern;
	c->n_routes = n_routes;
	return c;
}

struct counts *
counts_free(struct counts *c)
{
	return mem_free(c);
}

static size_t
method_index(struct slice method)
{
	size_t i = 0;

	while (i < N_METHODS - 1 && !slice_equal(method, SLICE_STR(methods[i])))
		i++;
	return i;
}

static size_t
status_index(int status)
{
	size_t i = 0;

	while (i < N_STATUSES - 1 && statuses[i] < status)
		i++;
	if (statuses[i] != status)
		while (i < N_STATUSES - 1 && statuses[i] % 100 != 99)
			i++;
	return i;
}

void
counts_add(struct counts *c, uint32_t route, struct slice method, int status)
{
	metrics_bump(
	    &c->n[route][method_index(method)][status_index(status)], 1);
}

static void
sample(struct expose *e, const char *pattern, const char *method, int status,
    uint64_t value)
{
	char code[8];
	struct buf labels;

	snprintf(code, sizeof(code), "%d", status);
	buf_init(&labels, 1024);
	expose_label(&labels, "route", SLICE_STR(pattern));
	expose_label(&labels, "method", SLICE_STR(method));
	expose_label(&labels, "status", SLICE_STR(code));
	buf_add_byte(&labels, 0);
	if (!buf_error(&labels))
		expose_value(e, (const char *)labels.p, value);
	buf_deinit(&labels);
}

static uint64_t
sum(struct counts *const *all, uint32_t n, size_t r, size_t m, size_t s)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < n; i++)
		value += atomic_load_explicit(
		    &all[i]->n[r][m][s], memory_order_relaxed);
	return value;
}

void
counts_expose(struct counts *const *all, uint32_t n, struct expose *e)
{
	const struct counts *c = all[0];

	expose_family(e, EXPOSE_COUNTER, "iorio_http_requests",
	    "Requests that were answered.");
	for (uint32_t r = 0; r <= c->n_routes; r++) {
		char pattern[64] = "none";

		if (r < c->n_routes)
			snprintf(
			    pattern, sizeof(pattern), "/%s", c->pattern(r));
		for (size_t m = 0; m < N_METHODS; m++)
			for (size_t s = 0; s < N_STATUSES; s++) {
				uint64_t v = sum(all, n, r, m, s);

				if (v)
					sample(e, pattern, methods[m],
					    statuses[s], v);
			}
	}
}
