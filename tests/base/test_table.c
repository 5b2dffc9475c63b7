/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/base/table.h"

#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"

TestSuite(table);

#define N_KEYS 3000

struct item {
	uint32_t key;
	uint32_t seen;
};

/* The table, and the dumb one that always tells the truth. */
struct model {
	struct table t;
	struct item items[N_KEYS];
	uint8_t in[N_KEYS];
	size_t n;
	uint32_t chance;
	uint64_t (*hash)(const struct table *t, uint32_t key);
};

static int
item_equal(const void *entry, const void *key)
{
	return ((const struct item *)entry)->key == *(const uint32_t *)key;
}

static uint64_t
hash_good(const struct table *t, uint32_t key)
{
	return table_hash(t, &key, sizeof(key));
}

/* Few homes, and those at the end: runs are long and wrap around. */
static uint64_t
hash_bad(const struct table *t, uint32_t key)
{
	(void)t;
	return UINT64_MAX - (uint64_t)(key % 3) - ((uint64_t)(key % 7) << 56);
}

static uint32_t
next_random(struct model *m)
{
	m->chance = m->chance * 1664525 + 1013904223;
	return m->chance >> 8;
}

static void
step(struct model *m, uint32_t key, int grow)
{
	uint64_t hash = m->hash(&m->t, key);
	struct item *want = m->in[key] ? &m->items[key] : NULL;

	cr_assert_eq(table_find(&m->t, hash, &key), want);
	if (!grow) {
		cr_assert_eq(table_remove(&m->t, hash, &key), want);
		m->n -= m->in[key];
		m->in[key] = 0;
	} else if (!want) {
		cr_assert_eq(table_insert(&m->t, hash, &m->items[key]), 0);
		m->in[key] = 1;
		m->n++;
	}
	cr_assert_eq(m->t.n, m->n);
}

/* Walks over all, removing one in ODDS; each entry comes exactly once. */
static void
walk(struct model *m, uint32_t odds)
{
	struct table_iter it;
	struct item *e;
	size_t n = 0, n_before = m->n;

	for (size_t i = 0; i < N_KEYS; i++)
		m->items[i].seen = 0;
	table_iter_init(&it, &m->t);
	while ((e = table_iter_next(&it))) {
		cr_assert_eq(e->seen++, 0);
		cr_assert(m->in[e->key]);
		n++;
		if (odds > 0 && next_random(m) % odds == 0) {
			table_iter_remove(&it);
			m->in[e->key] = 0;
			m->n--;
		}
	}
	cr_assert_eq(n, n_before);
	cr_assert_eq(m->t.n, m->n);
	for (uint32_t k = 0; k < N_KEYS; k++)
		cr_assert_eq(table_find(&m->t, m->hash(&m->t, k), &k),
		    m->in[k] ? &m->items[k] : NULL);
}

static void
run_model(uint64_t (*hash)(const struct table *, uint32_t), uint32_t n_keys,
    uint32_t n_steps, uint32_t seed)
{
	struct model *m = mem_zalloc(sizeof(*m));

	m->hash = hash;
	m->chance = seed;
	for (uint32_t i = 0; i < N_KEYS; i++)
		m->items[i].key = i;
	table_init(&m->t, seed, item_equal);
	for (uint32_t i = 0; i < n_steps; i++) {
		/* Waves: mostly growing, then mostly shrinking. */
		uint32_t odds = (i / n_keys) % 2 ? 25 : 75;

		step(m, next_random(m) % n_keys, next_random(m) % 100 < odds);
		if (i % (n_keys * 3) == 0)
			walk(m, next_random(m) % 5);
	}
	walk(m, 1);
	cr_assert_eq(m->n, 0);
	table_deinit(&m->t);
	mem_free(m);
}

Test(table, does_what_an_array_does)
{
	for (uint32_t seed = 1; seed <= 5; seed++)
		run_model(hash_good, N_KEYS, 100000, seed);
}

Test(table, stays_right_when_hashes_collide_and_runs_wrap)
{
	for (uint32_t seed = 1; seed <= 20; seed++) {
		run_model(hash_bad, 6, 2000, seed);
		run_model(hash_bad, 100, 5000, seed);
	}
}

Test(table, empty_has_no_memory_and_finds_nothing)
{
	struct table t;
	struct table_iter it;
	uint32_t key = 1;

	table_init(&t, 0, item_equal);
	cr_assert_null(t.slots);
	cr_assert_null(table_find(&t, 0, &key));
	cr_assert_null(table_remove(&t, 0, &key));
	table_iter_init(&it, &t);
	cr_assert_null(table_iter_next(&it));
	table_clear(&t);
	table_deinit(&t);
}

Test(table, the_seed_decides_the_hash)
{
	struct table a, b;

	table_init(&a, 1, item_equal);
	table_init(&b, 2, item_equal);
	cr_assert_neq(table_hash(&a, "k", 1), table_hash(&b, "k", 1));
}

static int
refuse(void *arg, size_t n)
{
	(void)arg;
	(void)n;
	return 1;
}

Test(table, is_unchanged_when_there_is_no_memory_to_grow)
{
	struct item items[8];
	struct table t;
	uint32_t n = 0;
	int r = 0;

	table_init(&t, 0, item_equal);
	for (uint32_t i = 0; i < 8; i++) {
		items[i].key = i;
		if (i == 1)
			mem_set_hook(refuse, NULL);
		r = table_insert(&t, hash_good(&t, i), &items[i]);
		if (r < 0)
			break;
		n++;
	}
	mem_set_hook(NULL, NULL);
	cr_assert_eq(r, -ERR_NOMEM);
	cr_assert_eq(n, 6);
	for (uint32_t i = 0; i < 8; i++)
		cr_assert_eq(table_find(&t, hash_good(&t, i), &i),
		    i < n ? &items[i] : NULL);
	table_clear(&t);
	cr_assert_eq(t.n, 0);
	table_deinit(&t);
}

Test(table, does_not_grow_below_what_was_reserved)
{
	static struct item items[N_KEYS];
	struct table t;

	table_init(&t, 0, item_equal);
	cr_assert_eq(table_reserve(&t, N_KEYS), 0);
	mem_set_hook(refuse, NULL);
	for (uint32_t i = 0; i < N_KEYS; i++) {
		items[i].key = i;
		cr_assert_eq(table_insert(&t, hash_good(&t, i), &items[i]), 0);
	}
	cr_assert_eq(table_reserve(&t, 1), 0);
	cr_assert_eq(table_reserve(&t, 1 << 20), -ERR_NOMEM);
	cr_assert_eq(table_reserve(&t, SIZE_MAX), -ERR_NOMEM);
	mem_set_hook(NULL, NULL);
	table_clear(&t);
	table_deinit(&t);
}
