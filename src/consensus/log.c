/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* log - the window of the log that the core holds. */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "src/consensus/raft_impl.h"

#define CAP_MIN 4 /* most groups are idle */

struct raft_entry *
log_at(const struct raft *r, uint64_t index)
{
	ASSERT(index > r->log.base && index <= r->log.last);
	return &r->log.ring[index & (r->log.cap - 1)];
}

uint64_t
log_term(const struct raft *r, uint64_t index)
{
	if (index == r->log.base)
		return r->log.base_term;
	if (index < r->log.base || index > r->log.last)
		return 0;
	return log_at(r, index)->term;
}

/* CAP has room for all of them. */
static int
resize(struct raft_log *l, uint32_t cap)
{
	struct raft_entry *ring = mem_calloc(cap, sizeof(*ring));

	if (!ring)
		return -ERR_NOMEM;
	for (uint64_t i = l->base + 1; i <= l->last; i++)
		ring[i & (cap - 1)] = l->ring[i & (l->cap - 1)];
	mem_free(l->ring);
	l->ring = ring;
	l->cap = cap;
	return 0;
}

static int
grow(struct raft_log *l)
{
	return resize(l, l->cap ? l->cap * 2 : CAP_MIN);
}

/* What a burst has made large does not stay so. */
static void
shrink(struct raft_log *l)
{
	uint32_t cap = l->cap;

	while (cap > CAP_MIN && (l->last - l->base) * 4 <= cap)
		cap /= 2;
	if (cap < l->cap)
		(void)resize(l, cap); /* without memory it stays large */
}

void
log_drop(struct raft *r, const struct raft_entry *e)
{
	struct raft_entry copy = *e;

	copy.members = NULL;
	if (r->config.drop)
		r->config.drop(r->config.ctx, &copy);
}

static void
free_members(const struct raft_members *m)
{
	mem_free((void *)(uintptr_t)m);
}

int
log_append(struct raft *r, const struct raft_entry *e)
{
	struct raft_log *l = &r->log;
	const struct raft_members *copy = NULL;
	struct raft_entry *to;

	if (l->last - l->base == l->cap && grow(l))
		return -ERR_NOMEM;
	if (e->kind == RAFT_MEMBERS) {
		copy = members_copy(e->members);
		if (!copy)
			return -ERR_NOMEM;
	}
	l->last++;
	to = log_at(r, l->last);
	*to = *e;
	to->members = copy;
	r->members_stale |= copy != NULL;
	return 0;
}

void
log_truncate(struct raft *r, uint64_t from)
{
	r->members_stale |= from <= r->members_index;
	for (; r->log.last >= from; r->log.last--) {
		struct raft_entry *e = log_at(r, r->log.last);

		log_drop(r, e);
		if (!MUTANT(r, MEMBERS_NOT_REVERTED))
			free_members(e->members);
	}
}

void
log_compact(struct raft *r, uint64_t index)
{
	struct raft_log *l = &r->log;

	while (l->base < index) {
		struct raft_entry *e = log_at(r, l->base + 1);

		if (e->kind == RAFT_MEMBERS) {
			free_members(l->base_members);
			l->base_members = e->members;
		}
		peers_charge(r, l->base + 1, e->bytes, 0);
		l->base_term = e->term;
		l->base++;
		log_drop(r, e);
	}
	shrink(l);
}

void
log_reset(struct raft *r, uint64_t index, uint64_t term,
    const struct raft_members *members)
{
	log_truncate(r, r->log.base + 1);
	free_members(r->log.base_members);
	r->log.base = r->log.last = index;
	r->log.base_term = term;
	r->log.base_members = members;
	r->members_stale = 1;
	shrink(&r->log);
}

uint64_t
log_find_term(const struct raft *r, uint64_t index, uint64_t term)
{
	if (index > r->log.last)
		index = r->log.last;
	while (index > r->log.base && log_term(r, index) > term)
		index--;
	return index;
}

void
log_deinit(struct raft *r)
{
	log_truncate(r, r->log.base + 1);
	free_members(r->log.base_members);
	r->log.ring = mem_free(r->log.ring);
}

/* --- what the host does to entries ---------------------------------------- */

void
raft_set_body(struct raft *r, uint64_t index, void *body, uint32_t bytes)
{
	struct raft_entry *e = log_at(r, index);

	ASSERT(!e->body);
	peers_charge(r, index, e->bytes, bytes);
	e->body = body;
	e->bytes = bytes;
}

static int
has(const struct raft *r, uint64_t index)
{
	return index > r->log.base && index <= r->log.last;
}

void
raft_drop_body(struct raft *r, uint64_t index)
{
	if (!has(r, index))
		return;
	log_drop(r, log_at(r, index));
	log_at(r, index)->body = NULL;
}

void
raft_set_position(struct raft *r, uint64_t index, uint64_t position)
{
	if (has(r, index))
		log_at(r, index)->position = position;
}
