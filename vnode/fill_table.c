/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_table - how many fills may run at once, and those that this node gives,
 * for any thread to see.
 *
 * A row is written by the worker of its group only, and copied under a lock that
 * is held for no longer than that: nobody sleeps with it.
 */
#include "src/base/assert.h"
#include "vnode/fill.h"

#define LIMIT 2 /* transfer_limit, until it is set */

static void
lock(struct fill_row *row)
{
	while (
	    atomic_flag_test_and_set_explicit(&row->lock, memory_order_acquire))
		;
}

static void
unlock(struct fill_row *row)
{
	atomic_flag_clear_explicit(&row->lock, memory_order_release);
}

void
fill_table_init(struct fill_table *t)
{
	atomic_init(&t->limit, LIMIT);
	for (int i = 0; i < STORE_FILLS_MAX; i++)
		atomic_flag_clear(&t->rows[i].lock);
}

/* What the whole node waits for has no limit. */
int
fill_counts(const struct store *s, uint32_t group)
{
	return !s->config.changed || group != s->config.watched;
}

int
fill_take_place(struct store *s, uint32_t group, atomic_uint *n)
{
	unsigned now = atomic_load(n);

	if (!fill_counts(s, group))
		return 1;
	do
		if (now >= atomic_load(&s->fills.limit))
			return 0;
	while (!atomic_compare_exchange_weak(n, &now, now + 1));
	return 1;
}

void
fill_give_place(struct store *s, uint32_t group, atomic_uint *n)
{
	if (fill_counts(s, group))
		atomic_fetch_sub(n, 1);
}

int
fill_has_place(const struct store *s, uint32_t group, const atomic_uint *n)
{
	return !fill_counts(s, group) ||
	       atomic_load(n) < atomic_load(&s->fills.limit);
}

/* --- handoff.rate ---------------------------------------------------------
 *
 * What goes out is paid for at the rate; as long as no more than BURST_US of it
 * is unpaid, more may go.
 */

#define BURST_US 200000 /* a few beats: who has to wait is asked at each */
#define PAGE_MIN 4096

static uint64_t
clock_us(const struct store *s)
{
	return s->env->clock.mono(s->env->clock.ctx).us;
}

int
fill_rate_allows(const struct store *s)
{
	return atomic_load(&s->fills.rate) == 0 ||
	       atomic_load(&s->fills.paid_us) <= clock_us(s) + BURST_US;
}

void
fill_rate_charge(struct store *s, size_t n)
{
	uint64_t rate = atomic_load(&s->fills.rate), now = clock_us(s);
	unsigned long long paid = atomic_load(&s->fills.paid_us), next;

	if (rate == 0)
		return;
	do
		next = (paid > now ? paid : now) + n * 1000000 / rate;
	while (!atomic_compare_exchange_weak(&s->fills.paid_us, &paid, next));
}

/* Several a second, so that the other side hears something, for each of those
 * that go out. */
size_t
fill_rate_page(const struct store *s)
{
	uint64_t rate = atomic_load(&s->fills.rate);
	uint64_t n = rate / 4 / (atomic_load(&s->fills.n_out) + 1);

	return rate == 0 || n > FILL_PAGE_BYTES ? FILL_PAGE_BYTES
	       : n < PAGE_MIN                   ? PAGE_MIN
						: (size_t)n;
}

/* --- rows ----------------------------------------------------------------- */

struct fill_row *
fill_row_take(struct store *s, const struct store_fill *first, int spared)
{
	for (int i = spared; i < STORE_FILLS_MAX; i++) {
		struct fill_row *row = &s->fills.rows[i];
		int is_ours;

		lock(row);
		is_ours = !row->used;
		if (is_ours) {
			row->used = 1;
			row->fill = *first;
		}
		unlock(row);
		if (is_ours)
			return row;
	}
	return NULL;
}

void
fill_row_set(struct fill_row *row, const struct store_fill *fill)
{
	if (!row)
		return;
	lock(row);
	row->fill = *fill;
	unlock(row);
}

void
fill_row_give(struct fill_row *row)
{
	if (!row)
		return;
	lock(row);
	row->used = 0;
	unlock(row);
}

/* --- for any thread ------------------------------------------------------- */

void
store_fills(struct store *s, struct store_fills *out)
{
	out->sending =
	    atomic_load(&s->fills.n_out) + atomic_load(&s->fills.n_parts_out);
	out->queued = atomic_load(&s->fills.n_queued);
	out->receiving =
	    atomic_load(&s->fills.n_in) + atomic_load(&s->fills.n_parts_in);
	out->n = 0;
	for (int i = 0; i < STORE_FILLS_MAX; i++) {
		struct fill_row *row = &s->fills.rows[i];

		lock(row);
		if (row->used)
			out->at[out->n++] = row->fill;
		unlock(row);
	}
}

void
store_set_fill_limit(struct store *s, uint32_t n)
{
	atomic_store(&s->fills.limit, n);
}

void
store_set_fill_rate(struct store *s, uint64_t bytes)
{
	atomic_store(&s->fills.rate, bytes);
	atomic_store(&s->fills.paid_us, 0);
}

uint32_t
store_fill_limit(const struct store *s)
{
	return atomic_load(&s->fills.limit);
}
