/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * The whole store on a disk that loses power: a history of appends, deletions,
 * flushes and checkpoints, cut at every operation of the disk, several times each with
 * other sectors surviving, then recovered and compared with what was
 * acknowledged.  A few operations share a process: a store that loses power
 * frees nothing, and there are thousands.
 *
 * IORIO_SEED=N runs one history only.
 */
#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simstore.h"
#include "vnode/journal.h"
#include "vnode/store.h"
#include "vnode/vnode_msg.h"

TestSuite(store_crash, .timeout = 300);

#define N_STREAMS 6
#define N_PUTS    40
#define N_GROUPS  8
#define SEGMENT   (64u << 10)
#define SMALL     (20u << 10) /* recycled all the time */

/* In the process of a history, which cannot fail by way of Criterion. */
#define CHECK(cond, ...)                                                       \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "%s:%d: ", #cond, __LINE__);           \
			fprintf(stderr, __VA_ARGS__);                          \
			fputc('\n', stderr);                                   \
			_exit(1);                                              \
		}                                                              \
	} while (0)

/* An append, or the end of its stream; those of a stream are judged in the order
 * they stand in. */
struct put {
	struct vnode_put req;
	struct vnode_put_event event;
	struct vnode_delete del;
	int is_delete;
	int stream;
	uint32_t id;
	int done; /* 0 pending, 1 acknowledged, 2 refused or unknown */
	char name[16], data[512];
};

struct world {
	struct memdisk *md;
	struct simenv *sim;
	struct store *store;
	struct put puts[4 * N_PUTS];
	uint32_t n_puts, n_pending;
	int stopped, fatal;
	uint64_t segment;
	uint32_t n_recycled; /* segments */
	uint32_t n_unlinked; /* chunk files */
};

static void
on_fatal(void *arg, const char *what)
{
	(void)what;
	((struct world *)arg)->fatal = 1;
}

static void
on_report(void *arg, int is_error, const char *what)
{
	(void)arg;
	if (is_error && getenv("IORIO_SEED"))
		fprintf(stderr, "%s\n", what);
	/* A power cut takes no file that something still needs. */
	CHECK(!strstr(what, "damaged") && !strstr(what, "cannot be removed"),
	    "%s", what);
}

static int
open_store(struct world *w, char *why, size_t n)
{
	struct store_config c = {
	    .env = simenv_env(w->sim),
	    .dir = "c",
	    .cluster_id = "0123456789abcde",
	    .node_id = "fedcba987654321",
	    .n_groups = N_GROUPS,
	    .found = 1,
	    .seed = 42,
	    .segment_bytes = w->segment,
	    .journal_max_bytes = 8 * w->segment,
	    .request_timeout_us = 5000000,
	    .checkpoint_bytes = w->segment / 3,
	    .clean_max_bytes = 4096,
	    .report = on_report,
	    .fatal = on_fatal,
	    .arg = w,
	};

	return store_open(&w->store, &c, why, n);
}

static struct world *
world_new(struct memdisk *md, uint64_t seed, uint64_t segment)
{
	struct world *w = mem_zalloc(sizeof(*w));
	struct simenv_config sc = {
	    .seed = seed, .n_workers = 2, .disk = memdisk_disk(md)};

	w->md = md;
	w->segment = segment;
	w->sim = simenv_new(&sc);
	simstore_serve(w->sim, &w->store);
	return w;
}

static void
answered(struct msg *m)
{
	struct vnode_put *req = CONTAINER_OF(m, struct vnode_put, msg);
	struct put *p = CONTAINER_OF(req, struct put, req);

	p->done = req->r == 0 ? 1 : 2;
}

static void
deleted(struct msg *m)
{
	struct vnode_delete *del = CONTAINER_OF(m, struct vnode_delete, msg);
	struct put *p = CONTAINER_OF(del, struct put, del);

	p->done = del->r == 0 ? 1 : 2;
}

static void
make_delete(struct put *p, uint32_t id, int stream)
{
	p->id = id;
	p->stream = stream;
	p->is_delete = 1;
	snprintf(p->name, sizeof(p->name), "s%d", stream);
	p->del = (struct vnode_delete){
	    .msg = {.kind = MSG_DELETE, .fn = deleted},
	    .group = (uint32_t)stream % N_GROUPS,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_STR(p->name),
	};
}

/* A body that tells who it is, of a length drawn from its id. */
static void
make_put(struct put *p, uint32_t id, int stream)
{
	int n = snprintf(p->data, sizeof(p->data), "%u:", id);
	int size = n + (int)(id * 97 % 450);

	for (; n < size; n++)
		p->data[n] = (char)('a' + (id + (uint32_t)n) % 26);
	p->id = id;
	p->stream = stream;
	snprintf(p->name, sizeof(p->name), "s%d", stream);
	p->event = (struct vnode_put_event){.data = SLICE(p->data, (size_t)n)};
	p->req = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .fn = answered},
	    .group = (uint32_t)stream % N_GROUPS,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_STR(p->name),
	    .n_events = 1,
	    .events = &p->event,
	    .has_key = id % 2,
	};
	memcpy(p->req.key, &id, sizeof(id));
}

static void
send_put(struct world *w, uint32_t id, uint64_t seed)
{
	struct put *p = &w->puts[w->n_puts++];
	const struct env_post *post = &simenv_env(w->sim)->post;
	int stream = (int)((id * 7 + seed) % N_STREAMS);

	if ((id * 5 + seed) % 9 == 0) {
		make_delete(p, id, stream);
		post->to_worker(post->ctx, p->del.group % 2, &p->del.msg);
		return;
	}
	make_put(p, id, stream);
	post->to_worker(post->ctx, p->req.group % 2, &p->req.msg);
}

/* Appends N events with ids from FIRST on, until all are answered or the disk
 * is gone. */
static void
run_puts(struct world *w, uint32_t first, uint32_t n, uint64_t seed)
{
	uint32_t sent = 0;

	for (int steps = 0; steps < 20000; steps++) {
		uint32_t pending = 0;

		for (uint32_t i = 0; i < w->n_puts; i++)
			pending += w->puts[i].done == 0;
		if (sent == n && pending == 0)
			break;
		while (sent < n && pending++ < 6)
			send_put(w, first + sent++, seed);
		if (memdisk_is_down(w->md) || w->fatal)
			break;
		if (steps % 20 == 19) /* the store's tick */
			simenv_advance(w->sim, 250000);
		if (!simenv_step(w->sim) && !simenv_skip(w->sim))
			break;
	}
	/* Time for a checkpoint. */
	for (int i = 0; i < 400 && !memdisk_is_down(w->md) && !w->fatal; i++)
		if (!simenv_step(w->sim) && !simenv_skip(w->sim))
			break;
}

/* What is queued in a dead process is not freed by it: puts are the world's
 * own, everything else a crash test may lose. */
static void
world_kill(struct world *w)
{
	simenv_kill(w->sim);
	simenv_free(w->sim);
	mem_free(w);
}

/* --- checking ------------------------------------------------------------- */

struct check {
	struct vnode_read req;
	int back;
};

static void
got_page(struct msg *m)
{
	struct vnode_read *req = CONTAINER_OF(m, struct vnode_read, msg);

	CONTAINER_OF(req, struct check, req)->back = 1;
}

static void
read_page(struct world *w, int stream, uint64_t from, struct check *c)
{
	const struct env_post *post = &simenv_env(w->sim)->post;
	char name[16];

	snprintf(name, sizeof(name), "s%d", stream);
	*c = (struct check){.req = {
				.msg = {.kind = MSG_READ, .fn = got_page},
				.group = (uint32_t)stream % N_GROUPS,
				.bucket = SLICE_LIT("b"),
				.stream = SLICE_STR(name),
				.from = from,
				.to = UINT64_MAX,
				.limit = UINT64_MAX,
				.max_bytes = 4096,
			    }};
	post->to_worker(post->ctx, c->req.group % 2, &c->req.msg);
	for (int i = 0; i < 10000 && !c->back; i++)
		if (!simenv_step(w->sim))
			simenv_skip(w->sim);
	CHECK(c->back, "a read was not answered");
	CHECK(c->req.r == 0, "stream %d from %llu: %s", stream,
	    (unsigned long long)from, err_text(c->req.r));
}

/* The put whose bytes these are, or NULL. */
static const struct put *
find_put(const struct put *puts, uint32_t n, int stream, struct slice data)
{
	for (uint32_t i = 0; i < n; i++)
		if (puts[i].stream == stream && !puts[i].is_delete &&
		    slice_equal(puts[i].event.data, data))
			return &puts[i];
	return NULL;
}

/*
 * Whether the stream can hold what was SEEN: there is an operation END, the last
 * deletion that was done, such that all that is there is younger, and all that
 * was acknowledged behind it is there, but for further deletions.
 */
static int
is_possible(int stream, const struct put *puts, uint32_t n, const uint8_t *seen,
    uint32_t end)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct put *p = &puts[i];

		if (p->stream != stream)
			continue;
		if (i <= end && seen[i])
			return 0;
		if (i > end && p->done == 1 && (p->is_delete || !seen[i]))
			return 0;
	}
	return 1;
}

static void
check_ends(int stream, const struct put *puts, uint32_t n, const uint8_t *seen)
{
	for (uint32_t end = 0; end < n; end++)
		if (puts[end].stream == stream && puts[end].is_delete &&
		    is_possible(stream, puts, n, seen, end))
			return;
	for (uint32_t i = 0; i < n; i++)
		CHECK(puts[i].stream != stream || puts[i].done != 1 ||
			  (!puts[i].is_delete && seen[i]),
		    "%s %u of stream %d is lost",
		    puts[i].is_delete ? "deletion" : "event", puts[i].id,
		    stream);
}

/* Every event is one that was sent, none twice, seqnums dense; everything that
 * was acknowledged and not deleted is there under its seqnum and time. */
static void
check_stream(struct world *w, int stream, const struct put *puts, uint32_t n)
{
	uint8_t seen[4 * N_PUTS] = {0};
	uint64_t seq = 1;

	for (;;) {
		struct check c;

		read_page(w, stream, seq, &c);
		if (c.req.page.n_parts == 0)
			break;
		for (uint32_t i = 0; i < c.req.page.n_parts; i++) {
			struct slice in = c.req.page.parts[i].records;
			struct event e;
			uint32_t bytes;

			while (in.n) {
				const struct put *p;

				CHECK(event_decode(in, 1, &e, &bytes) == 0,
				    "a record is damaged");
				CHECK(e.seq == seq, "a hole");
				p = find_put(puts, n, stream, e.data);
				CHECK(p, "an event nobody sent");
				CHECK(!seen[p - puts], "twice");
				seen[p - puts] = 1;
				if (p->done == 1)
					CHECK(p->req.first == seq &&
						  p->req.t_ms == e.t_ms,
					    "changed");
				seq++;
				in = SLICE(in.p + bytes, in.n - bytes);
			}
		}
		vnode_page_deinit(&c.req.page);
	}
	check_ends(stream, puts, n, seen);
}

/* P, which has a key, comes again: once it was acknowledged it gets the same
 * answer; before, it is acknowledged now. */
static void
ask_again(struct world *w, struct put *p)
{
	const struct env_post *post = &simenv_env(w->sim)->post;
	struct put again;

	memset(&again, 0, sizeof(again));
	make_put(&again, p->id, p->stream);
	post->to_worker(post->ctx, again.req.group % 2, &again.req.msg);
	for (int i = 0; i < 10000 && !again.done; i++)
		if (!simenv_step(w->sim))
			simenv_skip(w->sim);
	CHECK(again.done == 1, "a key: %s", err_text(again.req.r));
	if (p->done == 1)
		CHECK(again.req.replayed && again.req.first == p->req.first &&
			  again.req.t_ms == p->req.t_ms,
		    "event %u: another answer", p->id);
	p->done = 1;
	p->req.first = again.req.first;
	p->req.t_ms = again.req.t_ms;
}

/* Its key may have gone with the stream. */
static int
deleted_later(const struct world *w, uint32_t i)
{
	for (uint32_t k = i + 1; k < w->n_puts; k++)
		if (w->puts[k].is_delete &&
		    w->puts[k].stream == w->puts[i].stream)
			return 1;
	return 0;
}

/* All that are in doubt, and the newest of the others. */
static void
ask_some_again(struct world *w)
{
	uint32_t known = 0;

	for (uint32_t i = w->n_puts; i-- > 0;) {
		struct put *p = &w->puts[i];

		if (p->req.has_key && !deleted_later(w, i) &&
		    (p->done != 1 || known++ < 3))
			ask_again(w, p);
	}
}

/* Recovers, checks, appends a little, is cut again, recovers, checks. */
static void
check_state(struct memdisk *md, const struct put *puts, uint32_t n,
    uint64_t seed, uint64_t segment)
{
	struct world *w = world_new(md, seed + 1, segment);
	char why[512];
	int r = open_store(w, why, sizeof(why));

	CHECK(r == 0, "seed %llu: %s", (unsigned long long)seed, why);
	CHECK(store_start(w->store) == 0, "no start");
	for (int s = 0; s < N_STREAMS; s++)
		check_stream(w, s, puts, n);
	memcpy(w->puts, puts, n * sizeof(*puts));
	w->n_puts = n;
	for (uint32_t i = 0; i < n; i++) { /* the slices point into the copy */
		w->puts[i].event.data.p = (uint8_t *)w->puts[i].data;
		if (w->puts[i].done == 0)
			w->puts[i].done = 2;
	}
	ask_some_again(w);
	run_puts(w, 1000, 4, seed);
	memdisk_crash(md, seed % 2 ? MEMDISK_RANDOM : MEMDISK_LOSE_ALL, seed);
	memdisk_restart(md);
	struct world *again = world_new(md, seed + 2, segment);

	r = open_store(again, why, sizeof(why));
	CHECK(r == 0, "seed %llu, second crash: %s", (unsigned long long)seed,
	    why);
	CHECK(store_start(again->store) == 0, "no start");
	for (int s = 0; s < N_STREAMS; s++)
		check_stream(again, s, w->puts, w->n_puts);
	world_kill(again);
	world_kill(w);
}

static struct memdisk *
fresh_disk(void)
{
	struct memdisk *md = memdisk_new(NULL);
	const struct env_disk *d = memdisk_disk(md);

	d->mkdir(d->ctx, "c");
	d->sync_all(d->ctx);
	return md;
}

static enum memdisk_fault
count_recycled(void *arg, enum memdisk_op op, const char *path)
{
	if (op == MEMDISK_RENAME && strstr(path, ".journal"))
		((struct world *)arg)->n_recycled++;
	if (op == MEMDISK_UNLINK && strstr(path, ".chunk"))
		((struct world *)arg)->n_unlinked++;
	return MEMDISK_OK;
}

/* What the processes of the histories have found, in memory they share. */
struct found {
	uint64_t ops, checkpoints;
	uint64_t op; /* that is being looked at */
	uint32_t states, recycled, unlinked;
};

/* One history; cut at disk operation OP, or not at all: how many there are. */
static void
history(uint64_t seed, uint64_t op, enum memdisk_fault fault, struct found *f)
{
	struct memdisk *md = fresh_disk();
	struct world *w = world_new(md, seed, seed % 2 ? SEGMENT : SMALL);
	char why[512];
	uint64_t base;

	memdisk_set_hook(md, count_recycled, w);
	base = memdisk_ops(md);
	if (fault != MEMDISK_OK)
		memdisk_fail_at(md, base + op, fault);
	if (open_store(w, why, sizeof(why)) == 0) {
		CHECK(store_start(w->store) == 0, "no start");
		run_puts(w, 1, w->segment == SMALL ? 3 * N_PUTS : N_PUTS, seed);
	}
	if (fault == MEMDISK_OK) {
		struct store_stats st;

		f->ops = memdisk_ops(md) - base;
		store_stats(w->store, &st);
		f->checkpoints += st.n_checkpoints;
		f->recycled += w->n_recycled;
		f->unlinked += w->n_unlinked;
	}
	for (uint64_t k = 0; k < (fault == MEMDISK_OK ? 1 : 3); k++) {
		struct memdisk *state = memdisk_clone(md);

		memdisk_fail_clear(state);
		memdisk_crash(state,
		    k == 0   ? MEMDISK_RANDOM
		    : k == 1 ? MEMDISK_KEEP_ALL
			     : MEMDISK_LOSE_ALL,
		    seed * 131 + op * 7 + k);
		memdisk_restart(state);
		check_state(
		    state, w->puts, w->n_puts, seed + op + k, w->segment);
		memdisk_free(state);
		f->states++;
	}
	world_kill(w);
	memdisk_free(md);
}

#define OPS_EACH 8 /* of one process: starting it is not free either */

/* SEED cut before and in some operations from OP on; or, first, not at all. */
static void
in_a_process(uint64_t seed, uint64_t op, int whole, struct found *f)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		f->op = op;
		if (whole)
			history(seed, 0, MEMDISK_OK, f);
		for (; !whole && f->op < op + OPS_EACH && f->op < f->ops;
		     f->op++) {
			history(seed, f->op, MEMDISK_CRASH_BEFORE, f);
			history(seed, f->op, MEMDISK_CRASH_MIDDLE, f);
		}
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "seed %llu, operation %llu",
	    (unsigned long long)seed, (unsigned long long)f->op);
}

Test(store_crash, nothing_acknowledged_is_lost_wherever_the_power_is_cut)
{
	const char *only = getenv("IORIO_SEED");
	uint64_t first = only ? strtoull(only, NULL, 10) : 1;
	uint64_t last = only ? first : 5;
	struct found *f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(f, MAP_FAILED);
	for (uint64_t seed = first; seed <= last; seed++) {
		in_a_process(seed, 0, 1, f);
		cr_assert_gt(f->ops, 100, "too short a history");
		for (uint64_t op = 0; op < f->ops; op += OPS_EACH)
			in_a_process(seed, op, 0, f);
	}
	fprintf(stderr, "%u crash states\n", f->states);
	cr_assert_geq(f->checkpoints, last - first + 1, "too few checkpoints");
	cr_assert(
	    only || f->recycled >= 5, "%u segments were recycled", f->recycled);
	cr_assert(
	    only || f->unlinked >= 5, "%u files were removed", f->unlinked);
	cr_assert(only || f->states >= 5000, "%u states", f->states);
	munmap(f, sizeof(*f));
}
