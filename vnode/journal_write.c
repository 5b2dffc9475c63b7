/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * journal_write - the journal lane: one batch, one sync, one completion per
 * worker.
 *
 * While a batch is being synced the next one gathers in the inbox; nobody waits
 * when the lane is idle.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/journal_impl.h"
#include "vnode/mutants.h"

#define BATCH_BYTES      (4u << 20)
#define BATCH_RECORDS    4096
#define BATCH_IOV        16384
#define SYNC_INTERVAL_US 100000

struct batch {
	struct journal_append *first, *end; /* END is not in it */
	uint32_t n_records;
	int n_iov;
	uint64_t bytes; /* without the segment header, rounded to a block */
	lsn_t last;
	int must_sync;
	uint32_t oldest; /* that the header names; 0: no header goes out */
};

static void
take_inbox(struct journal *j)
{
	struct journal_append *a = atomic_exchange(&j->inbox, NULL);
	struct journal_append *fifo = NULL, *newest = a, *next;

	if (!a)
		return;
	for (; a; a = next) {
		next = a->next;
		a->next = fifo;
		fifo = a;
	}
	*j->last_waiting = fifo;
	j->last_waiting = &newest->next;
}

static uint64_t
record_bytes(const struct journal_append *a)
{
	return journal_round(JOURNAL_RECORD_BYTES + a->payload_bytes, 8);
}

/* As many of the waiting records as fit into ROOM and the batch's bounds. */
static void
choose(struct journal *j, uint64_t room, struct batch *b)
{
	struct journal_append *a = j->waiting;
	uint64_t bytes = 0;

	*b = (struct batch){.first = a};
	for (; a && b->n_records < BATCH_RECORDS; a = a->next) {
		uint64_t n = record_bytes(a);

		ASSERT(n <= j->config.segment_bytes - JOURNAL_BLOCK);
		if (bytes + n > room ||
		    (b->n_records && bytes + n > BATCH_BYTES) ||
		    b->n_iov + a->n_iov + 4 > BATCH_IOV)
			break;
		bytes += n;
		b->n_records++;
		b->n_iov += a->n_iov + 2;
		b->must_sync |= a->head.type != JOURNAL_ENTRY;
	}
	b->end = a;
	b->bytes = journal_round(bytes, JOURNAL_BLOCK);
}

static int
add_record(struct journal *j, struct journal_append *a, uint64_t at,
    uint32_t left, int n)
{
	uint32_t pad = (uint32_t)(record_bytes(a) - JOURNAL_RECORD_BYTES -
				  a->payload_bytes);
	uint8_t *head = j->heads.p + j->heads.n;

	a->lsn = lsn_make(j->generation, at);
	journal_record_encode(head, j->config.cluster_id, &a->head, a->lsn,
	    atomic_load(&j->durable), a->payload_bytes, a->payload_crc, left);
	j->heads.n += JOURNAL_RECORD_BYTES;
	j->iov[n++] = (struct iovec){head, JOURNAL_RECORD_BYTES};
	if (a->n_iov)
		memcpy(j->iov + n, a->iov, (size_t)a->n_iov * sizeof(*a->iov));
	n += a->n_iov;
	if (pad)
		j->iov[n++] = (struct iovec){j->zeros, pad};
	return n;
}

static int
write_batch(struct journal *j, struct batch *b)
{
	const struct env_disk *d = &j->env->disk;
	uint64_t at = j->offset, end = j->offset + b->bytes, from = j->offset;
	uint32_t left = b->n_records;
	int n = 0;

	buf_reset(&j->heads);
	if (!buf_reserve(
		&j->heads, (size_t)b->n_records * JOURNAL_RECORD_BYTES))
		return -ERR_NOMEM;
	if (j->offset == JOURNAL_BLOCK) {
		struct segment_header h = {
		    .generation = j->generation,
		    .previous = lsn_generation(j->previous_end),
		    .bytes = j->config.segment_bytes,
		    .previous_end = j->previous_end,
		    .oldest = lsn_generation(atomic_load(&j->oldest)),
		};

		b->oldest = h.oldest;
		b->must_sync = 1;
		segment_header_encode(j->header, j->config.cluster_id, &h);
		j->iov[n++] = (struct iovec){j->header, JOURNAL_BLOCK};
		from = 0;
	}
	for (struct journal_append *a = b->first; a != b->end; a = a->next) {
		n = add_record(j, a, at, --left, n);
		at += record_bytes(a);
		b->last = a->lsn;
	}
	if (at < end)
		j->iov[n++] = (struct iovec){j->zeros, end - at};
	return d->pwritev(d->ctx, j->file, j->iov, n, from);
}

/* All that was written, up to LAST. */
static int
sync_all(struct journal *j, struct mono now, lsn_t last)
{
	const struct env_disk *d = &j->env->disk;
	const struct env_clock *clock = &j->env->clock;
	int r = VNODE_MUTANT(ACK_BEFORE_SYNC) ? 0 : d->sync(d->ctx, j->file);

	if (r && VNODE_MUTANT(SYNC_TRIED_AGAIN))
		r = d->sync(d->ctx, j->file);
	if (r)
		return r;
	j->synced_at = now;
	metrics_observe(j->config.metrics, METRICS_JOURNAL_SYNC,
	    mono_diff_us(now, clock->mono(clock->ctx)));
	atomic_store(&j->unsynced, 0);
	atomic_store(&j->durable, last);
	atomic_fetch_add(&j->n_syncs, 1);
	return 0;
}

/* What was acknowledged before a pause; beats are half an interval apart. */
static int
sync_late(struct journal *j)
{
	struct mono now = j->env->clock.mono(j->env->clock.ctx);

	if (!atomic_load(&j->unsynced) ||
	    mono_diff_us(j->synced_at, now) < SYNC_INTERVAL_US / 2)
		return 0;
	return sync_all(j, now, j->written);
}

static int
sync_batch(struct journal *j, const struct batch *b)
{
	struct mono now = j->env->clock.mono(j->env->clock.ctx);
	int r;

	if (!b->must_sync && j->config.sync != JOURNAL_SYNC_ALWAYS &&
	    (j->config.sync == JOURNAL_SYNC_NEVER ||
		mono_diff_us(j->synced_at, now) < SYNC_INTERVAL_US)) {
		atomic_store(
		    &j->unsynced, j->config.sync == JOURNAL_SYNC_INTERVAL);
		return 0;
	}
	r = sync_all(j, now, b->last);
	if (r)
		return r;
	if (b->oldest)
		segment_header_durable(j, b->oldest);
	return 0;
}

/* Hands FIRST..END back to their workers, in order. */
static void
complete(struct journal *j, struct journal_append *first,
    struct journal_append *end, int r)
{
	uint32_t n_workers = j->env->post.n_workers;
	struct journal_append *a, *next;

	memset(j->tails, 0, n_workers * sizeof(*j->tails));
	for (a = first; a != end; a = next) {
		next = a->next;
		a->next = NULL;
		if (j->tails[a->worker])
			j->tails[a->worker]->next = a;
		else
			j->done[a->worker]->list = a;
		j->tails[a->worker] = a;
	}
	for (uint32_t i = 0; i < n_workers; i++) {
		struct journal_done *done = j->done[i];

		if (!j->tails[i])
			continue;
		done->msg = (struct msg){.kind = MSG_JOURNAL_DONE};
		done->r = r;
		done->durable = j->written;
		j->done[i] = NULL;
		j->env->post.to_worker(j->env->post.ctx, i, &done->msg);
	}
}

/* One for each worker, before anything is written: completing cannot fail. */
static int
ready_done(struct journal *j)
{
	for (uint32_t i = 0; i < j->env->post.n_workers; i++)
		if (!j->done[i] &&
		    !(j->done[i] = mem_zalloc(sizeof(**j->done))))
			return -ERR_NOMEM;
	return 0;
}

static void
take_waiting(struct journal *j, struct journal_append *end)
{
	j->waiting = end;
	if (!end)
		j->last_waiting = &j->waiting;
}

static void
die(struct journal *j, int r)
{
	struct journal_append *first = j->waiting;

	atomic_store(&j->error, r);
	take_waiting(j, NULL);
	if (first)
		complete(j, first, NULL, r);
}

static int
no_room(struct journal *j)
{
	atomic_store(&j->no_room, 1);
	return 1;
}

static int
run_batch(struct journal *j)
{
	uint64_t room = j->generation ? j->config.segment_bytes - j->offset : 0;
	struct batch b;
	int r;

	choose(j, room, &b);
	if (b.n_records == 0) {
		r = segment_advance(j);
		return r == -ERR_NOSPC ? no_room(j) : r;
	}
	r = write_batch(j, &b);
	if (r == -ERR_NOSPC)
		return no_room(j); /* not synced: it can be written again */
	if (r == 0)
		r = sync_batch(j, &b);
	if (r)
		return r;
	atomic_store(&j->no_room, 0);
	j->offset += b.bytes;
	j->written = b.last;
	journal_lock(j);
	j->segments[j->n_segments - 1].end = lsn_make(j->generation, j->offset);
	journal_unlock(j);
	atomic_fetch_add(&j->n_records, b.n_records);
	atomic_fetch_add(&j->n_bytes, b.bytes);
	metrics_add(j->config.metrics, METRICS_JOURNAL_BYTES, b.bytes);
	metrics_observe(j->config.metrics, METRICS_JOURNAL_BATCH, b.n_records);
	take_waiting(j, b.end);
	complete(j, b.first, b.end, 0);
	if (j->offset > j->config.segment_bytes / 4)
		segment_prepare_ahead(j);
	return 0;
}

/* LANE_JOURNAL: until nothing waits, or no segment is to be had. */
void
journal_run(struct env_job *job)
{
	struct journal *j = CONTAINER_OF(job, struct journal, job);
	int r = 0, late;

	atomic_store(&j->scheduled, 0);
	take_inbox(j);
	if (ready_done(j)) {
		journal_schedule(j); /* memory will be back */
		return;
	}
	r = atomic_load(&j->error);
	while (r == 0 && j->waiting) {
		r = ready_done(j);
		if (r == 0)
			r = run_batch(j);
		take_inbox(j);
	}
	if (r >= 0 && (late = sync_late(j)))
		r = late;
	atomic_store(&j->stalled, r == 1);
	if (r == 1 && atomic_load(&j->given_up) && atomic_load(&j->no_room))
		r = -ERR_NOSPC;
	if (r == -ERR_NOMEM)
		journal_schedule(j);
	else if (r < 0)
		die(j, r);
}
