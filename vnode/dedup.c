/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * dedup - the idempotency keys of a group.
 *
 * Keys of a stream are a ring: the stream has the newest, which has the oldest
 * next.  The list by age is in the order of the log, and so is each ring: what
 * is oldest in the group is oldest in its stream.
 */
#include "vnode/dedup.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"
#include "vnode/manifest.h"
#include "vnode/mutants.h"
#include "vnode/stream.h"

struct sought {
	uint64_t stream_id;
	const uint8_t *key;
};

static int
is_key(const void *entry, const void *key)
{
	const struct dedup_key *k = entry;
	const struct sought *s = key;

	return k->stream->id == s->stream_id &&
	       memcmp(k->id.key, s->key, sizeof(k->id.key)) == 0;
}

static uint64_t
hash_of(const struct table *t, const struct sought *s)
{
	return hash64(s->key, 16, t->seed + s->stream_id);
}

static struct sought
sought_of(const struct dedup_key *k)
{
	return (struct sought){k->stream->id, k->id.key};
}

void
dedup_init(struct dedup *d, const struct dedup_limits *limits, uint64_t seed)
{
	d->limits = *limits;
	table_init(&d->applied, seed, is_key);
	table_init(&d->proposed, seed, is_key);
	list_init(&d->keys);
}

static struct dedup_key *
oldest(const struct dedup *d)
{
	struct list *node = list_first(&d->keys);

	return node ? LIST_ENTRY(node, struct dedup_key, age) : NULL;
}

/* Out of the ring of its stream. */
static void
leave_stream(struct dedup_key *k)
{
	struct stream *s = k->stream;
	struct dedup_key *before = s->keys; /* of the oldest, as most often */

	while (before->next != k)
		before = before->next;
	before->next = k->next;
	if (s->keys == k)
		s->keys = before == k ? NULL : before;
}

static void
drop(struct dedup *d, struct dedup_key *k)
{
	struct sought s = sought_of(k);

	table_remove(&d->applied, hash_of(&d->applied, &s), &s);
	list_del(&k->age);
	leave_stream(k);
	mem_free(k);
}

void
dedup_clear(struct dedup *d)
{
	struct dedup_key *k;

	while ((k = oldest(d)))
		drop(d, k);
	table_deinit(&d->applied);
	table_deinit(&d->proposed);
}

void
dedup_move(struct dedup *to, struct dedup *from)
{
	ASSERT(to->applied.n == 0 && from->proposed.n == 0);
	table_deinit(&to->applied);
	to->applied = from->applied;
	list_splice_tail(&to->keys, &from->keys);
	dedup_init(from, &from->limits, from->applied.seed);
}

static struct dedup_key *
find(const struct table *t, const struct sought *s)
{
	return table_find(t, hash_of(t, s), s);
}

static int
is_over(const struct dedup *d, const struct dedup_key *k, uint64_t clock_ms)
{
	return clock_ms >= k->t_ms && clock_ms - k->t_ms >= d->limits.window_ms;
}

const struct dedup_key *
dedup_find(const struct dedup *d, const struct stream *s, const uint8_t key[16],
    uint64_t clock_ms)
{
	struct sought sought = {s->id, key};
	const struct dedup_key *k = find(&d->proposed, &sought);

	if (k) /* however long it takes */
		return k;
	k = find(&d->applied, &sought);
	return k && !is_over(d, k, clock_ms) ? k : NULL;
}

/* --- while it is proposed ------------------------------------------------- */

struct dedup_key *
dedup_new(struct dedup *d)
{
	struct dedup_key *k = mem_zalloc(sizeof(*k));

	if (!k || table_reserve(&d->proposed, d->proposed.n + 1))
		return mem_free(k);
	list_init(&k->age);
	return k;
}

void
dedup_propose(struct dedup *d, struct dedup_key *k)
{
	struct sought s = sought_of(k);
	int r = table_insert(&d->proposed, hash_of(&d->proposed, &s), k);

	ASSERT(r == 0);
}

static void
no_longer_proposed(struct dedup *d, const struct dedup_key *k)
{
	struct sought s = sought_of(k);
	void *found = table_remove(&d->proposed, hash_of(&d->proposed, &s), &s);

	ASSERT(found == k);
}

void
dedup_forget(struct dedup *d, struct dedup_key *k)
{
	no_longer_proposed(d, k);
	mem_free(k);
}

/* --- as the log says ------------------------------------------------------ */

/* The ring of K's stream, from the newest on, gets K. */
static void
join_stream(struct dedup_key *k)
{
	struct dedup_key *newest = k->stream->keys;

	k->next = newest ? newest->next : k;
	k->ordinal = newest ? newest->ordinal + 1 : 0;
	if (newest)
		newest->next = k;
	k->stream->keys = k;
}

static uint32_t
count(const struct stream *s)
{
	const uint32_t wrap = (1u << 31) - 1;

	return ((s->keys->ordinal - s->keys->next->ordinal) & wrap) + 1;
}

/* Room for one more in its table. */
static int
reserve(struct dedup *d)
{
	return table_reserve(&d->applied, d->applied.n + 1);
}

/* K is the newest; what it leaves no room for goes. */
static void
keep(struct dedup *d, struct dedup_key *k)
{
	struct sought s = sought_of(k);
	struct dedup_key *other;
	int r;

	dedup_expire(d, k->t_ms);
	other = find(&d->applied, &s);
	if (other) /* proposed where the window is shorter */
		drop(d, other);
	r = table_insert(&d->applied, hash_of(&d->applied, &s), k);
	ASSERT(r == 0);
	list_add_tail(&d->keys, &k->age);
	join_stream(k);
	while (count(k->stream) > DEDUP_STREAM_MAX)
		drop(d, k->next);
	while (d->applied.n > d->limits.keys_max)
		drop(d, oldest(d));
}

int
dedup_take(struct dedup *d, struct dedup_key *k)
{
	int r = reserve(d);

	if (r)
		return r;
	no_longer_proposed(d, k);
	keep(d, k);
	return 0;
}

int
dedup_add(struct dedup *d, struct stream *s, uint64_t first, uint64_t t_ms,
    const struct event_key *id)
{
	struct dedup_key *k = mem_alloc(sizeof(*k));

	if (!k || reserve(d)) {
		mem_free(k);
		return -ERR_NOMEM;
	}
	*k = (struct dedup_key){
	    .stream = s, .first = first, .t_ms = t_ms, .id = *id};
	list_init(&k->age);
	keep(d, k);
	return 0;
}

void
dedup_expire(struct dedup *d, uint64_t clock_ms)
{
	struct dedup_key *k;

	while ((k = oldest(d)) && is_over(d, k, clock_ms))
		drop(d, k);
}

void
dedup_drop_stream(struct dedup *d, struct stream *s)
{
	while (s->keys)
		drop(d, s->keys->next);
}

/* --- the manifest --------------------------------------------------------- */

/* The oldest that it does not have: only older ones are in it. */
static struct list *
first_unsaved(const struct dedup *d, int all)
{
	struct list *node = d->keys.prev;

	while (node != &d->keys &&
	       (all || !LIST_ENTRY(node, struct dedup_key, age)->saved))
		node = node->prev;
	return node->next;
}

void
dedup_add_rows(struct dedup *d, struct manifest_writer *mw, int all)
{
	if (VNODE_MUTANT(KEYS_NOT_IN_MANIFEST))
		return;
	for (struct list *node = first_unsaved(d, all); node != &d->keys;
	     node = node->next) {
		struct dedup_key *k = LIST_ENTRY(node, struct dedup_key, age);

		manifest_add_key(mw, &(struct manifest_key){
					 .stream_id = k->stream->id,
					 .first = k->first,
					 .t_ms = k->t_ms,
					 .id = k->id,
				     });
		k->saved = 1;
	}
}
