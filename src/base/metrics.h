/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * metrics - counters and histograms of a node.
 *
 * Owns:    one shard for each thread that counts; a shard has one writer, so
 *          counting is a load, an add and a store, without a lock or a locked
 *          instruction.  They are summed when somebody looks.
 * Shape:   counters only grow.  A histogram takes whole numbers: microseconds
 *          for `_seconds`, else what its name says; its buckets are fixed.
 * Thread:  metrics_add and metrics_observe: the shard's; metrics_sum: any.
 * Bound:   no shard depends on streams, users or peers.
 */
#ifndef SRC_BASE_METRICS_H
#define SRC_BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, "name without _total", "what it counts") */
#define METRICS_COUNTERS(X)                                                    \
	X(APPEND_EVENTS, "iorio_append_events",                                \
	    "Events that clients of this node appended.")                      \
	X(APPEND_BYTES, "iorio_append_bytes",                                  \
	    "Payload bytes of the events that clients of this node appended.") \
	X(READ_EVENTS, "iorio_read_events",                                    \
	    "Events that were read through this node.")                        \
	X(READ_BYTES, "iorio_read_bytes",                                      \
	    "Bytes of answers to reads, without heads.")                       \
	X(LISTEN_EVENTS, "iorio_listen_events",                                \
	    "Events handed to listeners of single streams.")                   \
	X(CHANNEL_HITS, "iorio_channel_hits",                                  \
	    "Pages of events that memory had.")                                \
	X(CHANNEL_MISSES, "iorio_channel_misses",                              \
	    "Pages of events that had to be read from the disk.")              \
	X(JOURNAL_BYTES, "iorio_journal_written_bytes",                        \
	    "Bytes written to the journal.")                                   \
	X(ELECTIONS, "iorio_consensus_elections",                              \
	    "Elections that a replica of this node began.")                    \
	X(LEADERSHIPS, "iorio_consensus_leaderships",                          \
	    "Times that a replica of this node became leader.")                \
	X(TERMS, "iorio_consensus_terms",                                      \
	    "New terms that replicas of this node saw.")                       \
	X(FILLS_BEGUN, "iorio_fills_begun",                                    \
	    "Fills of replicas elsewhere that this node began to send.")       \
	X(RETENTION_CHUNKS, "iorio_retention_chunks",                          \
	    "Chunks without visible events that this node gave up.")           \
	X(RETENTION_EVENTS, "iorio_retention_events", "Events in them.")       \
	X(RETENTION_BYTES, "iorio_retention_bytes", "Bytes of their files.")   \
	X(FILL_SENT_BYTES, "iorio_fill_sent_bytes",                            \
	    "Bytes of files sent to replicas elsewhere.")                      \
	X(FILL_RECEIVED_BYTES, "iorio_fill_received_bytes",                    \
	    "Bytes of files received for replicas of this node.")              \
	X(FILL_KEPT_BYTES, "iorio_fill_kept_bytes",                            \
	    "Bytes of interrupted fills that were here, whole, and were not "  \
	    "sent again.")                                                     \
	X(CHUNKS_DAMAGED, "iorio_chunks_damaged",                              \
	    "Damaged chunk files of groups with other replicas that this "     \
	    "node has found.")                                                 \
	X(CHUNKS_REPAIRED, "iorio_chunks_repaired",                            \
	    "Chunk files that were made whole from other replicas.")           \
	X(RECEIVED_BYTES, "iorio_http_received_bytes",                         \
	    "Bytes of request bodies.")                                        \
	X(SENT_BYTES, "iorio_http_sent_bytes", "Bytes of response bodies.")

/* X(NAME, "name", "what it measures", enum metrics_scale) */
#define METRICS_HISTOGRAMS(X)                                                  \
	X(APPEND_SECONDS, "iorio_append_seconds",                              \
	    "From the head of an append to its acknowledgement.",              \
	    METRICS_SECONDS)                                                   \
	X(READ_SECONDS, "iorio_read_seconds",                                  \
	    "From the head of a read to the last byte of its answer.",         \
	    METRICS_SECONDS)                                                   \
	X(REQUEST_SECONDS, "iorio_http_request_seconds",                       \
	    "From the head of a request to the last byte of its answer.",      \
	    METRICS_SECONDS)                                                   \
	X(JOURNAL_SYNC, "iorio_journal_sync_seconds",                          \
	    "One sync of the journal.", METRICS_SECONDS)                       \
	X(JOURNAL_BATCH, "iorio_journal_batch_records",                        \
	    "Records that one write to the journal took.", METRICS_COUNT)

enum metrics_scale {
	METRICS_SECONDS, /* observed in microseconds */
	METRICS_COUNT,
};

enum metrics_counter {
#define X(NAME, name, help) METRICS_##NAME,
	METRICS_COUNTERS(X)
#undef X
	    METRICS_N_COUNTERS
};

enum metrics_histogram {
#define X(NAME, name, help, scale) METRICS_##NAME,
	METRICS_HISTOGRAMS(X)
#undef X
	    METRICS_N_HISTOGRAMS
};

#define METRICS_BUCKETS 17 /* with a bound; one more has the rest */

struct metrics_buckets {
	atomic_ullong n[METRICS_BUCKETS + 1], sum;
};

struct metrics_shard {
	_Alignas(64) atomic_ullong counters[METRICS_N_COUNTERS];
	struct metrics_buckets histograms[METRICS_N_HISTOGRAMS];
};

struct metrics; /* opaque */

/* NULL: no memory. */
struct metrics *metrics_new(uint32_t n_shards);
struct metrics *metrics_free(struct metrics *m); /* takes NULL, returns NULL */
/* NULL of a NULL M: nothing is counted then. */
struct metrics_shard *metrics_shard(struct metrics *m, uint32_t i);

/* By the one thread that writes there. */
static inline void
metrics_bump(atomic_ullong *a, uint64_t n)
{
	atomic_store_explicit(a,
	    atomic_load_explicit(a, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

static inline void
metrics_add(struct metrics_shard *s, enum metrics_counter c, uint64_t n)
{
	if (s)
		metrics_bump(&s->counters[c], n);
}

void metrics_observe(
    struct metrics_shard *s, enum metrics_histogram h, uint64_t value);

/* --- looking -------------------------------------------------------------- */

struct metrics_sums {
	uint64_t counters[METRICS_N_COUNTERS];
	struct {
		uint64_t n[METRICS_BUCKETS + 1], sum;
	} histograms[METRICS_N_HISTOGRAMS];
};

void metrics_sum(const struct metrics *m, struct metrics_sums *out);

/* Inclusive upper bounds, METRICS_BUCKETS of them, as observed. */
const uint64_t *metrics_bounds(enum metrics_scale scale);

#endif
