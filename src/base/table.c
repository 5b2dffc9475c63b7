/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * table - Robin Hood hashing with linear probing (Celis 1986).
 *
 * The home of an entry is given by the upper bits of its hash, and along the
 * slots (circularly) the homes never go back: an entry that is farther from its
 * home takes the slot of one that is nearer.  So a search may stop at the first
 * entry nearer to its home than the one sought would be, removal shifts the
 * rest of its run back instead of leaving a mark, and growing reads the old
 * slots and writes the new ones each in one sweep.
 */
#include "src/base/table.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"

#define TABLE_MIN_BITS    3
#define TABLE_MAX_PERCENT 85
#define TABLE_MAX_BITS                                                         \
	40 /* beyond any memory; keeps the sums from wrapping                  \
	    */

struct table_slot {
	uint64_t hash;
	void *entry; /* NULL: empty */
};

static inline size_t
n_slots(const struct table *t)
{
	return t->slots ? (size_t)1 << t->bits : 0;
}

static inline size_t
next_slot(const struct table *t, size_t i)
{
	return (i + 1) & (n_slots(t) - 1);
}

static inline size_t
home(const struct table *t, uint64_t hash)
{
	return (size_t)(hash >> (64 - t->bits));
}

static inline size_t
distance(const struct table *t, size_t i)
{
	return (i - home(t, t->slots[i].hash)) & (n_slots(t) - 1);
}

void
table_init(struct table *t, uint64_t seed, table_equal_fn equal)
{
	*t = (struct table){.seed = seed, .equal = equal};
}

void
table_deinit(struct table *t)
{
	ASSERT(t->n == 0);
	t->slots = mem_free(t->slots);
}

void
table_clear(struct table *t)
{
	if (t->n > 0)
		memset(t->slots, 0, n_slots(t) * sizeof(*t->slots));
	t->n = 0;
}

uint64_t
table_hash(const struct table *t, const void *key, size_t n)
{
	return hash64(key, n, t->seed);
}

/* The slot of the entry with KEY, or n_slots. */
static size_t
locate(const struct table *t, uint64_t hash, const void *key)
{
	size_t i;

	if (t->n == 0)
		return n_slots(t);
	i = home(t, hash);
	for (size_t d = 0;; d++, i = next_slot(t, i)) {
		const struct table_slot *s = &t->slots[i];

		if (!s->entry || distance(t, i) < d)
			return n_slots(t);
		if (s->hash == hash && t->equal(s->entry, key))
			return i;
	}
}

void *
table_find(const struct table *t, uint64_t hash, const void *key)
{
	size_t i = locate(t, hash, key);

	return i < n_slots(t) ? t->slots[i].entry : NULL;
}

/* There is an empty slot. */
static void
place(struct table *t, struct table_slot new)
{
	size_t i = home(t, new.hash);

	for (size_t d = 0; t->slots[i].entry; d++, i = next_slot(t, i)) {
		size_t other = distance(t, i);

		if (other < d) {
			struct table_slot richer = t->slots[i];

			t->slots[i] = new;
			new = richer;
			d = other;
		}
	}
	t->slots[i] = new;
}

/* Whether SLOTS slots may hold N entries. */
static int
enough(size_t slots, size_t n)
{
	return n * 100 <= slots * TABLE_MAX_PERCENT;
}

static int
grow(struct table *t, unsigned bits)
{
	struct table_slot *old = t->slots;
	size_t n_old = n_slots(t);
	struct table_slot *slots;

	slots = mem_calloc((size_t)1 << bits, sizeof(*slots));
	if (!slots)
		return -ERR_NOMEM;
	t->slots = slots;
	t->bits = bits;
	for (size_t i = 0; i < n_old; i++)
		if (old[i].entry)
			place(t, old[i]);
	mem_free(old);
	return 0;
}

int
table_reserve(struct table *t, size_t n)
{
	unsigned bits = t->slots ? t->bits : TABLE_MIN_BITS;

	if (n > (size_t)1 << (TABLE_MAX_BITS - 1))
		return -ERR_NOMEM;
	if (enough(n_slots(t), n))
		return 0;
	while (!enough((size_t)1 << bits, n))
		bits++;
	return grow(t, bits);
}

int
table_insert(struct table *t, uint64_t hash, void *entry)
{
	int r;

	ASSERT(entry != NULL);
	r = table_reserve(t, t->n + 1);
	if (r < 0)
		return r;
	place(t, (struct table_slot){.hash = hash, .entry = entry});
	t->n++;
	return 0;
}

static void
take_out(struct table *t, size_t i)
{
	for (;;) {
		size_t next = next_slot(t, i);

		if (!t->slots[next].entry || distance(t, next) == 0)
			break;
		t->slots[i] = t->slots[next];
		i = next;
	}
	t->slots[i] = (struct table_slot){0, NULL};
	t->n--;
}

void *
table_remove(struct table *t, uint64_t hash, const void *key)
{
	size_t i = locate(t, hash, key);
	void *entry;

	if (i == n_slots(t))
		return NULL;
	entry = t->slots[i].entry;
	take_out(t, i);
	return entry;
}

/*
 * The walk begins at an empty slot, which no run crosses, and goes down: what a
 * removal shifts back comes from slots that were seen already.
 */
void
table_iter_init(struct table_iter *it, struct table *t)
{
	size_t i = 0;

	while (t->n > 0 && t->slots[i].entry)
		i++;
	*it = (struct table_iter){.t = t, .at = i, .left = n_slots(t)};
}

void *
table_iter_next(struct table_iter *it)
{
	const struct table *t = it->t;

	for (; it->left > 0; it->left--) {
		it->at = (it->at - 1) & (n_slots(t) - 1);
		if (t->slots[it->at].entry) {
			it->left--;
			return t->slots[it->at].entry;
		}
	}
	return NULL;
}

void
table_iter_remove(struct table_iter *it)
{
	ASSERT(it->t->slots && it->t->slots[it->at].entry != NULL);
	take_out(it->t, it->at);
}
