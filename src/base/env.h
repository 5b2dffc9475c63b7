/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * env - the seams between what the node decides and the machine it runs on.
 *
 * Everything above src/os reaches time, disk, chance and threads through these
 * tables.  The real ones are in src/os, the ones of the simulator in tests/lib;
 * nothing else knows which are in use.
 *
 * Thread:  said at each table.
 */
#ifndef SRC_BASE_ENV_H
#define SRC_BASE_ENV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "src/base/buf.h"
#include "src/base/msg.h"
#include "src/base/time.h"

/* --- clock: any thread ---------------------------------------------------- */

struct env_clock {
	struct mono (*mono)(void *ctx);
	struct wall (*wall)(void *ctx);
	void *ctx;
};

/* --- rng: any thread; not for secrets unless the implementation says so --- */

struct env_rng {
	/* Fills N bytes; never fails.  The real one is the kernel's. */
	void (*bytes)(void *ctx, void *out, size_t n);
	void *ctx;
};

/* --- timer: the thread of WORKER only ------------------------------------- */

struct env_timer; /* opaque handle */
typedef void (*env_timer_fn)(void *arg);

struct env_timers {
	/* FN(ARG) runs every PERIOD_US on WORKER until timer_stop; NULL: no
	 * memory. */
	struct env_timer *(*start)(void *ctx, uint32_t worker,
	    uint64_t period_us, env_timer_fn fn, void *arg);
	/* Takes NULL; FN does not run again after it returned. */
	void (*stop)(void *ctx, struct env_timer *t);
	void *ctx;
};

/* --- post: any thread -------------------------------------------------------
 *
 * Workers handle messages one at a time, in the order in which each sender
 * posted them.  Lanes run jobs that may block on the disk.  A job runs once;
 * when RUN has returned, the job belongs to whoever RUN handed it to (usually
 * it has posted a message back).  LANE_READ may run several jobs at a time; the
 * others run theirs one by one, in the order posted.
 */
enum env_lane {
	LANE_JOURNAL,
	LANE_FLUSH, /* chunk files, manifests, removal */
	LANE_READ,  /* pread of chunks */
	LANE_COUNT,
};

struct env_job {
	struct env_job *next; /* for the lane while queued */
	void (*run)(struct env_job *job);
};

struct env_post {
	void (*to_worker)(void *ctx, uint32_t worker, struct msg *m);
	void (*to_lane)(void *ctx, enum env_lane lane, struct env_job *job);
	uint32_t n_workers;
	void *ctx;
};

/* --- disk: any thread; a file may be used by several threads at once --------
 *
 * Paths are relative to the root that the implementation was opened on, with
 * `/` between components.  All calls block; loop threads use them only before
 * they start.  Errors: -ERR_NOTFOUND, _EXISTS, _NOSPC, _IO, _PERM, _LIMIT
 * (descriptors), _FILETYPE, _NOMEM, _SYSTEM.
 */
struct disk_file; /* opaque */

/* Whether PATH stays below the root: every disk refuses others. */
int disk_path_is_safe(const char *path);

enum disk_open {
	DISK_READ = 0,
	DISK_WRITE = 1,  /* reading too */
	DISK_CREATE = 2, /* with DISK_WRITE: make it when it is not there */
	DISK_EXCL = 4,   /* with DISK_CREATE: -ERR_EXISTS when it is */
	DISK_TRUNC = 8,  /* with DISK_WRITE: forget what it held */
	/* Once everything is synced: reads show what the disk has.  A process
	 * that met a failed sync leaves content in the cache that looks synced
	 * and is not. */
	DISK_FRESH = 16,
};

typedef void (*disk_list_fn)(void *arg, const char *name);

struct env_disk {
	int (*open)(void *ctx, const char *path, unsigned flags,
	    struct disk_file **out);
	/* Takes NULL.  Says nothing about what was not synced. */
	void (*close)(void *ctx, struct disk_file *f);
	/* Writes all of the N slices at OFFSET, or fails; a failed write may
	 * have written any part. */
	int (*pwritev)(void *ctx, struct disk_file *f, const struct iovec *iov,
	    int n, uint64_t offset);
	/* *GOT < N only at the end of the file. */
	int (*pread)(void *ctx, struct disk_file *f, void *out, size_t n,
	    uint64_t offset, size_t *got);
	int (*size)(void *ctx, struct disk_file *f, uint64_t *out);
	int (*truncate)(void *ctx, struct disk_file *f, uint64_t size);
	/* What F holds begins to go to the disk: a hint, it promises nothing.
	 */
	void (*write_behind)(void *ctx, struct disk_file *f);
	/* fdatasync.  After a failure, of whatever kind, the content is
	 * unknown: -ERR_IO, and never retried.  So for the next two. */
	int (*sync)(void *ctx, struct disk_file *f);
	/* Everything written to any file or directory so far (syncfs). */
	int (*sync_all)(void *ctx);
	/* Names made, renamed or removed in directory PATH. */
	int (*sync_dir)(void *ctx, const char *path);
	int (*rename)(
	    void *ctx, const char *from, const char *to); /* replaces */
	/* A file, or an empty directory, though not every disk does that. */
	int (*unlink)(void *ctx, const char *path);
	int (*mkdir)(void *ctx, const char *path); /* -ERR_EXISTS if there */
	/* Each name but . and .., in no order; FN may remove the one it is
	 * told of. */
	int (*list)(void *ctx, const char *path, disk_list_fn fn, void *arg);
	int (*free_bytes)(void *ctx, uint64_t *out);
	void *ctx;
};

/* File PATH holds BYTES and no more, on the disk; what it held is gone, also
 * when this fails.  Its name is durable once the caller has synced the directory.
 */
int disk_write_new(
    const struct env_disk *d, const char *path, struct slice bytes);

/* --- net: to other nodes -----------------------------------------------------
 *
 * Best effort: a frame may be lost, come twice, or overtake another.  What
 * comes is whole, unchanged, and from the member that it names.
 */
enum env_channel {
	NET_CONTROL, /* small, urgent: consensus, requests */
	NET_BULK, /* pages for a replica that is filled; never before those */
	NET_CHANNEL_COUNT,
};

/* The most that one frame may carry. */
#define NET_FRAME_MAX                                                          \
	((16u << 20) + (64u << 10)) /* a log entry and its heads */

struct env_net {
	/*
	 * Sends the N slices, at most NET_FRAME_MAX bytes in all, as one frame
	 * to the node TO, at the end of the turn at the latest.  The thread of
	 * WORKER only; the slices are borrowed until it returns.  0: perhaps
	 * it arrives.  -ERR_BUSY: dropped, too
	 * much waits for that node.  -ERR_NOTFOUND: no way to such a node.
	 * NET_BULK: -ERR_NOBODY, -ERR_STRANGER, -ERR_ITSELF: it waits, but who
	 * answered at the handoff address of that node last was not it.
	 */
	int (*send)(void *ctx, uint32_t worker, const uint8_t to[16],
	    enum env_channel channel, const struct iovec *iov, int n);
	void *ctx;
};

/*
 * A frame that came: MSG_FRAME, posted to some worker, not always the same one.
 * Its receiver owns it and ends it with net_frame_free.
 */
struct net_frame {
	struct msg msg;
	uint8_t from[16];    /* node id of the sender, verified */
	int stranger;        /* 1: not from a member; it has the cookie */
	struct block *block; /* one reference; take another to keep BYTES */
	struct slice bytes;  /* in BLOCK */
};

/* A frame from FROM with a copy of the N slices, or NULL. */
struct net_frame *net_frame_new(
    const uint8_t from[16], const struct iovec *iov, int n);
/* Takes NULL and returns NULL. */
struct net_frame *net_frame_free(struct net_frame *f);

struct env {
	struct env_clock clock;
	struct env_rng rng;
	struct env_timers timers;
	struct env_post post;
	struct env_disk disk;
	struct env_net net;
};

#endif
