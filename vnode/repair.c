/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* repair - which chunks of a worker are damaged, and when each is repaired. */
#include "vnode/repair.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/mutants.h"
#include "vnode/repair_impl.h"

#define HOPE_US     5000000 /* so long it is waited for */
#define AGAIN_US    1000000 /* after the first try in vain; doubled by each */
#define AGAIN_SHIFT 9       /* up to 512 times */
/* What was whole so long ago has nothing to do with what is found now. */
#define KEPT_US 600000000
/* Reads that were begun before a repair meet the old file; but no end of them. */
#define FALSE_MAX 16

int
repair_has_peers(const struct vnode *v)
{
	const struct raft_members *m;

	if (!v->group.raft || v->group.failed || retire_is_under_way(v))
		return 0;
	m = raft_members(v->group.raft);
	for (uint32_t i = 0; i < m->n; i++)
		if (m->at[i].voter && m->at[i].id != v->group.generation)
			return 1;
	return 0;
}

/* --- the table ------------------------------------------------------------ */

static struct repairs *
get(struct store_worker *w)
{
	if (w->repairs)
		return w->repairs;
	w->repairs = mem_zalloc(sizeof(*w->repairs));
	if (w->repairs)
		buf_init(&w->repairs->now.own, REPAIR_BYTES_MAX + (64u << 10));
	return w->repairs;
}

static struct repair_chunk *
find(const struct store_worker *w, const struct vnode *v, uint64_t id,
    uint64_t first)
{
	struct repairs *all = w->repairs;

	for (uint32_t i = 0; all && i < REPAIR_CHUNKS; i++) {
		struct repair_chunk *c = &all->chunks[i];

		if (c->state != REPAIR_NONE && c->group == v->group.id &&
		    c->stream == id && c->first == first)
			return c;
	}
	return NULL;
}

/* A free place, or that of the one that has been whole for longest. */
static struct repair_chunk *
make(struct store_worker *w)
{
	struct repairs *all = get(w);
	struct repair_chunk *best = NULL;

	for (uint32_t i = 0; all && i < REPAIR_CHUNKS; i++) {
		struct repair_chunk *c = &all->chunks[i];

		if (c->state == REPAIR_NONE)
			return c;
		if (c->state == REPAIR_WHOLE &&
		    (!best || c->whole.us < best->whole.us))
			best = c;
	}
	return best;
}

static int
has_hope(const struct store_worker *w, const struct repair_chunk *c)
{
	return c->n_again < REPAIR_BAD && c->n_false < FALSE_MAX &&
	       mono_diff_us(c->found, repair_clock(w)) < HOPE_US;
}

static uint64_t
pause_us(uint32_t n)
{
	return (uint64_t)AGAIN_US << (n < AGAIN_SHIFT ? n : AGAIN_SHIFT);
}

/* It was whole, and seems not to be. */
static void
damaged_again(struct store_worker *w, struct repair_chunk *c)
{
	struct mono now = repair_clock(w);
	uint32_t n;

	if (mono_diff_us(c->whole, now) >= KEPT_US)
		c->n_again = c->n_false = 0;
	n = c->n_again + c->n_false / FALSE_MAX;
	c->state = REPAIR_DAMAGED;
	c->found = now;
	c->next = n > 1 ? mono_add_us(now, pause_us(n)) : now;
	c->n_tries = 0;
	c->counted = 0;
}

int
repair_may_begin(const struct store_worker *w)
{
	const struct store *s = w->store;

	return w->beat && !w->stop && !atomic_load(&s->dead) &&
	       !atomic_load(&s->stopping);
}

int
repair_may_help(
    struct store_worker *w, const struct vnode *v, uint64_t id, uint64_t first)
{
	const struct repair_chunk *c;

	if (!repair_may_begin(w) || !repair_has_peers(v) ||
	    atomic_load(&w->store->disk_full))
		return 0;
	c = find(w, v, id, first);
	if (!c)
		return make(w) != NULL;
	return has_hope(w, c) || c->state == REPAIR_WHOLE;
}

int
repair_note(
    struct store_worker *w, struct vnode *v, uint64_t id, uint64_t first)
{
	const struct stream *s = vnode_by_id(v, id);
	struct repair_chunk *c;

	if (!repair_may_begin(w) || !repair_has_peers(v) || !s ||
	    !stream_find_chunk(s, first))
		return 0;
	c = find(w, v, id, first);
	if (c && c->state == REPAIR_WHOLE)
		damaged_again(w, c);
	if (!c && (c = make(w)))
		*c = (struct repair_chunk){
		    .state = REPAIR_DAMAGED,
		    .group = v->group.id,
		    .stream = id,
		    .first = first,
		    .found = repair_clock(w),
		};
	return c && has_hope(w, c);
}

/* C could not be repaired now. */
void
repair_later(struct store_worker *w, struct repair_chunk *c)
{
	if (VNODE_MUTANT(REPAIR_WITHOUT_END))
		c->n_tries = 0;
	c->next = mono_add_us(repair_clock(w), pause_us(c->n_tries++));
}

static int
is_allowed(const struct store *s, uint32_t group)
{
	return !atomic_load(&s->disk_full) &&
	       (!fill_counts(s, group) || atomic_load(&s->fills.limit) > 0);
}

/* The one that has waited for longest. */
struct repair_chunk *
repair_next(const struct store_worker *w)
{
	struct mono now = repair_clock(w);
	struct repair_chunk *best = NULL;

	for (uint32_t i = 0; i < REPAIR_CHUNKS; i++) {
		struct repair_chunk *c = &w->repairs->chunks[i];

		if (c->state == REPAIR_DAMAGED && c->next.us <= now.us &&
		    is_allowed(w->store, c->group) &&
		    (!best || c->next.us < best->next.us))
			best = c;
	}
	return best;
}

uint32_t
repair_count(const struct repairs *all)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < REPAIR_CHUNKS; i++)
		n += all->chunks[i].state == REPAIR_DAMAGED;
	return n;
}

void
repair_forget_all(struct store_worker *w)
{
	if (!w->repairs)
		return;
	buf_deinit(&w->repairs->now.own);
	mem_free(w->repairs->now.got);
	w->repairs = mem_free(w->repairs);
}
