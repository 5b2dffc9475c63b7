/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * table - a hash table of pointers for millions of entries.
 *
 * Owns:    its slots, 16 bytes each; never the entries.
 * Shape:   no memory until the first insertion, then a power of two of slots,
 *          doubled when 85 % are taken, so 19 to 38 bytes an entry; it never
 *          shrinks.
 * Thread:  one at a time.
 * Errors:  -ERR_NOMEM of table_insert and table_reserve, which then have
 *          changed nothing.
 *
 * The caller brings the hash of each key: table_hash(), or any 64 bits whose
 * upper ones are spread evenly and that a client cannot choose.
 */
#ifndef SRC_BASE_TABLE_H
#define SRC_BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Non-zero when ENTRY has the key KEY; asked only where the hashes agree. */
typedef int (*table_equal_fn)(const void *entry, const void *key);

struct table_slot; /* opaque */

struct table {
	struct table_slot *slots; /* NULL while there are none */
	size_t n;                 /* entries */
	unsigned bits;            /* there are 1 << bits slots */
	uint64_t seed;
	table_equal_fn equal;
};

/* SEED comes from the machine's random numbers wherever clients name keys. */
void table_init(struct table *t, uint64_t seed, table_equal_fn equal);
/* T is empty: see table_clear. */
void table_deinit(struct table *t);
/* Forgets all entries, keeps the slots. */
void table_clear(struct table *t);

/* The hash of the N bytes at KEY under the seed of T. */
uint64_t table_hash(const struct table *t, const void *key, size_t n);

/*
 * Room for N entries in all, so that no insertion has to grow T before. Growing
 * touches every slot: for a million entries that is 10 ms or more in one piece,
 * most of it the kernel's, which a loop thread spends better at its start.
 */
int table_reserve(struct table *t, size_t n);

/* The entry with KEY, or NULL. */
void *table_find(const struct table *t, uint64_t hash, const void *key);
/* Adds ENTRY, not NULL; the caller knows that its key is not there yet. */
int table_insert(struct table *t, uint64_t hash, void *entry);
/* Takes out and returns the entry with KEY, or NULL. */
void *table_remove(struct table *t, uint64_t hash, const void *key);

/*
 * Every entry once, in no order:
 *
 *	table_iter_init(&it, t);
 *	while ((e = table_iter_next(&it)))
 *		...
 *
 * Until its end nothing is inserted, and nothing removed but by
 * table_iter_remove, which takes out the entry that was returned last.
 */
struct table_iter {
	struct table *t;
	size_t at;   /* slot of the entry returned last */
	size_t left; /* slots not seen yet */
};

void table_iter_init(struct table_iter *it, struct table *t);
void *table_iter_next(struct table_iter *it);
void table_iter_remove(struct table_iter *it);

#endif
