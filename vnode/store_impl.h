/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_impl - what the files of the store share: store.c, store_open.c,
 * store_read.c, flush.c, checkpoint.c.
 */
#ifndef VNODE_STORE_IMPL_H
#define VNODE_STORE_IMPL_H

#include <stdatomic.h>

#include "vnode/clocks.h"
#include "vnode/files.h"
#include "vnode/journal.h"
#include "vnode/outbox.h"
#include "vnode/store.h"
#include "vnode/vnode.h"

struct dropped;
struct flush;
struct order;
struct repairs;
struct stop;

/* What one worker has of the store. */
struct store_worker {
	struct store *store;
	uint32_t id;
	struct tail_cache cache;
	struct dirty dirty;
	struct watch_times watching;       /* requests that wait for events */
	struct list open;                  /* groups with an open entry */
	struct msg *parked, **last_parked; /* puts that wait for room */
	int unparking;
	uint64_t request_timeout_us;
	uint32_t n_in_flight;     /* records in the journal */
	uint32_t n_reading;       /* jobs that read them back */
	struct raft_effects fx;   /* of the core's last event */
	struct vnode *effects_of; /* whose are being carried out */
	struct journal_append *chain, **last_chain; /* records of this turn */
	struct list touched;       /* groups to tell what became durable */
	struct list removals;      /* of files: removal.c */
	struct dropped *dropped;   /* files of deleted streams; or NULL */
	struct repairs *repairs;   /* damaged chunks; or NULL */
	atomic_uint n_damaged;     /* of those */
	atomic_uint reads[2];      /* of chunk files, under way: dropped.c */
	unsigned read_turn;        /* which of them counts those that begin */
	struct outbox outbox;      /* frames of this turn */
	struct clocks clocks;      /* of the other nodes */
	struct mono clock_said;    /* that this one's is off */
	raft_id asker;             /* of the message that is handled, and */
	const uint8_t *asker_node; /* where it is; NULL: none is */
	lsn_t durable;             /* of the last journal_done handled */
	struct flush *flush;       /* the one on its way, or NULL */
	struct order *order;       /* to take part in a checkpoint, or NULL */
	struct stop *stop;         /* under way on this worker, or NULL */
	struct env_timer *beat;
	atomic_int pinned; /* a failed group needs old parts of the journal */
	uint32_t n_beats;
	uint32_t next_fill; /* the group whose turn it is to offer one */
	atomic_ullong n_streams, n_events, bytes, dirty_bytes, clean_bytes;
	struct policies *policies;      /* of the cluster, as told; or NULL */
	uint32_t policies_count;        /* how often */
	uint32_t defaults_said;         /* of which of them: retain_lead.c */
	atomic_ullong policies_reached; /* their version, once in force */
	struct mono cut_at;             /* retain_cut */
	atomic_int cuts;                /* chunks wait for a checkpoint */
	struct metrics_shard *metrics;  /* or NULL */
	/* store_stats, as of the last tick */
	uint32_t n_parked;
	atomic_uint n_replicas, n_leads, n_leaderless, seen_parked, seen_flying;
	atomic_int clock_offset_ms;
};

/* The checkpoint that all workers take part in; worker 0 only. */
struct checkpoint {
	int running;
	int failed;
	uint32_t n_waiting; /* workers, then mark records */
	lsn_t floor, previous_floor;
	int tight; /* the journal is half full: nothing is kept for others */
	struct journal_append *marks; /* n_groups of them */
	uint8_t (*payloads)[MANIFEST_MARK_BYTES];
	struct iovec *iov;
	uint64_t last_bytes, last_records; /* of the journal, at the last one */
	struct mono last_at;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

/* What LANE_FLUSH alone touches: files written since they were last synced. */
#define UNSYNCED_MAX 256

struct unsynced {
	uint32_t n; /* > UNSYNCED_MAX: too many to name */
	char paths[UNSYNCED_MAX][FILES_PATH_BYTES];
	char (*dirs)[VNODE_DIR_BYTES]; /* by group: with new names, or "" */
};

/* Of a group, whether it is here or not. */
struct place {
	struct placement *wanted; /* its worker's; NULL: not known */
	atomic_ullong placed;     /* store_placed */
	atomic_int leads;         /* store_leads */
	atomic_ullong term;
};

/* An orderly end, from worker to worker: store_run.c. */
struct stop {
	struct msg msg;
	struct store *store;
	uint32_t worker;
	struct mono since;
	void (*done)(void *arg);
	void *arg;
};

/* A fill that is given, as others see it. */
struct fill_row {
	atomic_flag lock;
	int used;
	struct store_fill fill;
};

/* fill_table.c */
struct fill_table {
	atomic_uint limit;
	atomic_ullong rate;    /* bytes/s that go out; 0: no limit */
	atomic_ullong paid_us; /* until when what went out is paid for */
	atomic_uint n_in, n_out, n_queued;
	atomic_uint n_parts_in, n_parts_out; /* repairs, beside these */
	struct fill_row rows[STORE_FILLS_MAX];
};

/* The directory of a fill that was interrupted: fill_resume.c. */
struct fill_staged {
	uint64_t generation; /* 0: none */
	uint32_t life;
	struct mono since;
};

struct store {
	struct store_config config;
	struct dedup_limits dedup; /* of each group */
	const struct env *env;
	struct journal *journal;
	struct files *files;
	struct vnode *vnodes; /* by group */
	struct store_worker *workers;
	uint32_t n_workers, n_vnodes;
	struct unsynced unsynced;
	uint64_t images_end; /* LANE_FLUSH: images.c */
	int images_named;
	struct hash128_stream *chain; /* LANE_FLUSH: to compute chains in */
	struct checkpoint checkpoint;
	struct stop stop;     /* no memory may be missing for it */
	struct place *places; /* by group */
	atomic_uint *moves;   /* by group: chunk_read.h */
	atomic_int stopping, disk_full, dead;
	struct fill_table fills;
	struct fill_staged *staged; /* by group, of its worker */
	struct mono swept_at;       /* attic.c */
	atomic_ullong n_checkpoints, free_bytes;
	char dir[64];
};

static inline struct store_worker *
store_worker_of(struct store *s, uint32_t group)
{
	return &s->workers[group % s->n_workers];
}

/* The journal grows beyond its limit: nothing can be done about it now. */
int store_is_pinned(const struct store *s);
/* The whole file, mem_alloc'd; -ERR_CORRUPT above MAX. */
int store_read_file(const struct env_disk *d, const char *path, uint64_t max,
    uint8_t **out, size_t *n);
void store_answer(struct store *s, struct msg *m);
/* GROUP holds more than before: tells who watches it. */
void store_changed(struct store *s, uint32_t group);
/* REQ is proposed, waits for room, or is refused. */
void store_put(struct store_worker *w, struct vnode_put *req);
void store_delete(struct store_worker *w, struct vnode_delete *req);
void store_fatal(struct store *s, const char *what, int r);
void store_report(struct store *s, int is_error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* FN(m) on WORKER; M has room for it and is the caller's to allocate. */
void store_call(
    struct store *s, uint32_t worker, struct msg *m, void (*fn)(struct msg *m));
/* Above this many dirty streams of a worker writes wait: each is a file to be
 * made, and what a flush or checkpoint has to do must stay short. */
#define DIRTY_STREAMS_MAX 16384
/* Tries the parked puts again. */
void store_unpark(struct store_worker *w);

/* What is applied here is fresh enough for REQ.  SEEN: what was visible a moment
 * ago, or NULL. */
struct edge_view;
void store_read(struct store_worker *w, struct vnode_read *req,
    const struct edge_view *seen);

/* The same of REQ, which is about a bucket: news.c. */
void store_news(struct store_worker *w, struct vnode_news *req);

/* --- flush ---------------------------------------------------------------- */

/*
 * Writes the dirty tails of W to their chunks (all, with CHECKPOINT: else the
 * oldest FLUSH_BYTES and FLUSH_STREAMS), with CHECKPOINT also syncs and writes
 * manifests.  One at a time per worker.  0, or -ERR_NOMEM and nothing was
 * started.  flush_done in checkpoint.c hears of the end.
 */
#define FLUSH_BYTES   (16u << 20)
#define FLUSH_STREAMS 2048 /* files: some 50 ms */

int flush_start(struct store_worker *w, int checkpoint);
/* The same, to the end, on this thread: before the workers run. */
int flush_now(struct store_worker *w);
/* What lies in DIR is removed, and needs no sync any more.  LANE_FLUSH. */
void flush_forget_dir(struct store *s, const char *dir);
void flush_done(struct store_worker *w, int checkpoint, int r);
/* The manifest of a replica that is founded, so that its members are known from
 * now on; not synced.  Before the workers run. */
int flush_first_manifest(struct store *s, struct vnode *v);
/* Rows for all streams of V. */
void flush_add_all_rows(struct manifest_writer *mw, struct vnode *v);
/* Manifest NUMBER of V, synced and named.  Blocks. */
int flush_write_snapshot(
    struct store *s, const struct vnode *v, uint32_t number, struct slice rows);

/* Streams that retain_cut looks at, at once: some ms. */
#define CUT_STREAMS 16384

/* --- checkpoint ----------------------------------------------------------- */

/* Worker 0: begins one when due, or in any case with FORCE. */
void checkpoint_tick(struct store *s, int force);
/* Begins the last one, once no worker has anything in flight. */
void store_last_checkpoint(struct msg *m);
/* A mark record is durable. */
void checkpoint_marked(struct store *s, int r);

#endif
