/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* admin_view - what iorio-admin is shown of the cluster. */
#include "src/node/admin_view.h"

#include "src/base/err.h"
#include "src/base/mem.h"

void
admin_seen_clear(struct admin_seen *a)
{
	a->up = mem_free(a->up);
	a->agrees = mem_free(a->agrees);
	a->complete = mem_free(a->complete);
	a->counts = mem_free(a->counts);
	a->transfers = mem_free(a->transfers);
}

/* All that are not marked down have this ring, and somebody leads. */
static int
is_ready(const struct cluster *c)
{
	const struct ring *r = cluster_ring(c);

	if (cluster_claimant(c) == RING_NOBODY)
		return -1;
	for (uint16_t i = 0; i < r->n_members; i++)
		if (r->members[i].state != RING_DOWN &&
		    (!cluster_is_up(c, i) || !cluster_agrees(c, i)))
			return 0;
	return 1;
}

static void
add_transfer(struct admin_seen *a, struct admin_view *v, uint16_t from,
    const struct store_fill *f)
{
	uint64_t ms =
	    f->updated_ms > f->started_ms ? f->updated_ms - f->started_ms : 0;
	uint16_t to = ring_find(v->ring, f->to);
	struct admin_transfer *t = &a->transfers[v->n_transfers];

	if (to == RING_NOBODY)
		return;
	*t = (struct admin_transfer){
	    .group = (uint16_t)f->group,
	    .from = from,
	    .to = to,
	    .repair = f->repair,
	    .bytes = f->bytes,
	    .total_bytes = f->total_bytes,
	    .objects = f->events,
	    .total_objects = f->total_events,
	    .started_ms = f->started_ms,
	    .updated_ms = f->updated_ms,
	    .rate = ms ? f->bytes * 1000 / ms : 0,
	};
	if (f->error)
		snprintf(t->error, sizeof(t->error), "%s", err_text(f->error));
	v->n_transfers++;
}

/* What members have told with their last beats. */
static void
look_at_fills(struct admin_seen *a, struct cluster *c, struct admin_view *v)
{
	uint16_t n = v->ring->n_members;

	v->limit = a->counts;
	v->sending = a->counts + n;
	v->queued = a->counts + 2 * n;
	v->receiving = a->counts + 3 * n;
	v->transfers = a->transfers;
	for (uint16_t i = 0; i < n; i++) {
		struct beat told;

		if (!a->up[i])
			continue;
		cluster_told(c, i, &told);
		v->limit[i] = told.limit;
		v->sending[i] = told.fills.sending;
		v->queued[i] = told.fills.queued;
		v->receiving[i] = told.fills.receiving;
		v->n_queued += told.fills.queued;
		for (uint32_t k = 0; k < told.fills.n; k++)
			add_transfer(a, v, i, &told.fills.at[k]);
	}
}

void
admin_see(struct admin_seen *a, struct core *core, const char *self,
    struct admin_view *v)
{
	struct cluster *c = core_cluster(core);
	struct ring *r = cluster_ring(c);
	uint16_t n = r->n_members;

	a->up = mem_zalloc(n);
	a->agrees = mem_zalloc(n);
	a->complete = mem_zalloc(r->q);
	a->counts = mem_calloc(4u * n, sizeof(*a->counts));
	a->transfers =
	    mem_calloc((size_t)n * STORE_FILLS_MAX, sizeof(*a->transfers));
	if (!a->up || !a->agrees || !a->complete || !a->counts || !a->transfers)
		return;
	for (uint16_t i = 0; i < n; i++) {
		a->up[i] = (uint8_t)cluster_is_up(c, i);
		a->agrees[i] = (uint8_t)cluster_agrees(c, i);
		if (strcmp(r->members[i].name, self) == 0 &&
		    !cluster_is_gone(c))
			v->self = i;
	}
	for (uint16_t g = 0; g < r->q; g++)
		a->complete[g] = (uint8_t)cluster_has_arrived(c, g);
	v->ring = r;
	v->claimant = cluster_claimant(c);
	v->ready = is_ready(c);
	v->up = a->up;
	v->agrees = a->agrees;
	v->complete = a->complete;
	look_at_fills(a, c, v);
}
