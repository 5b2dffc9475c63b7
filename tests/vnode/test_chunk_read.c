/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Chunk files with damage in them: what can still be read, and what is said of
 * the rest. */
#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"
#include "vnode/chunk_read.h"
#include "vnode/event.h"

TestSuite(chunk_read);

#define N_EVENTS 20
#define BODY     8000
#define DIR      "v"
#define PATH     DIR "/0000000000000005.0000000000000001.chunk"

static const struct chunk_id an_id = {
    .cluster_id = "0123456789abcde",
    .stream_id = 5,
    .first = 1,
    .bucket = {(const uint8_t *)"b", 1},
    .stream = {(const uint8_t *)"s", 1},
};

struct fixture {
	struct memdisk *md;
	struct simenv *sim;
	struct files *files;
	struct chunk_info info;
	uint32_t at[N_EVENTS + 2]; /* by seqnum; the last: the footer */
	struct vnode_read req;
	int back;
	uint64_t first, last; /* of the page */
};

static void
on_answer(struct msg *m)
{
	struct vnode_read *req = CONTAINER_OF(m, struct vnode_read, msg);

	CONTAINER_OF(req, struct fixture, req)->back = 1;
}

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	(void)arg;
	(void)worker;
	m->fn(m);
}

static void
add_events(struct fixture *f, struct buf *b)
{
	static uint8_t body[BODY];

	for (uint64_t seq = 1; seq <= N_EVENTS; seq++) {
		struct event e = {
		    .seq = seq, .t_ms = 100 + seq, .data = SLICE(body, BODY)};

		f->at[seq] = (uint32_t)b->n;
		b->n += event_encode_head(&e, buf_reserve(b, 64));
		buf_add_slice(b, e.data);
	}
	f->at[N_EVENTS + 1] = (uint32_t)b->n;
}

/* A sealed chunk of three rows; with DAMAGE at that place of event VICTIM. */
static void
setup(struct fixture *f, uint64_t victim, uint32_t damage)
{
	struct buf b, footer;
	struct simenv_config sc = {.seed = 1, .n_workers = 1};

	*f = (struct fixture){.md = memdisk_new(NULL)};
	sc.disk = memdisk_disk(f->md);
	f->sim = simenv_new(&sc);
	simenv_set_dispatch(f->sim, dispatch, f);
	f->files = files_new(&simenv_env(f->sim)->disk, 4);
	buf_init(&b, 1 << 20);
	buf_init(&footer, 1 << 20);
	chunk_encode_header(&an_id, buf_reserve(&b, 128));
	b.n = chunk_header_bytes(&an_id);
	add_events(f, &b);
	f->info = (struct chunk_info){.first = 1,
	    .last = N_EVENTS,
	    .first_t = 101,
	    .last_t = 100 + N_EVENTS,
	    .bytes = (uint32_t)b.n,
	    .sealed = 1};
	cr_assert_eq(chunk_add_footer(&footer, buf_slice(&b),
			 chunk_header_bytes(&an_id), &f->info),
	    0);
	buf_add_slice(&b, buf_slice(&footer));
	b.p[f->at[victim] + damage] ^= 1;
	cr_assert_eq(sc.disk->mkdir(sc.disk->ctx, DIR), 0);
	cr_assert_eq(memdisk_put(f->md, PATH, buf_slice(&b)), 0);
	buf_deinit(&footer);
	buf_deinit(&b);
}

static void
teardown(struct fixture *f)
{
	files_free(f->files);
	simenv_free(f->sim);
	memdisk_free(f->md);
}

/* MOVES, unless NULL, goes up before it comes to it. */
static int
read_of(struct fixture *f, uint64_t from, uint64_t to, atomic_uint *moves)
{
	struct chunk_read r = {.env = simenv_env(f->sim),
	    .files = f->files,
	    .dir = DIR,
	    .id = an_id,
	    .info = f->info,
	    .from = from,
	    .to = to,
	    .moves = moves};

	f->req = (struct vnode_read){.msg = {.kind = MSG_READ, .fn = on_answer},
	    .bucket = an_id.bucket,
	    .stream = an_id.stream,
	    .max_bytes = 1 << 20};
	f->back = 0;
	cr_assert_eq(chunk_read_start(&r, &f->req), 0);
	if (moves)
		atomic_fetch_add(moves, 1);
	simenv_run_idle(f->sim, 1000);
	cr_assert_eq(f->back, 1);
	f->first = f->req.page.first;
	f->last = f->req.page.last;
	vnode_page_deinit(&f->req.page);
	return f->req.r;
}

static int
read_from(struct fixture *f, uint64_t from, uint64_t to)
{
	return read_of(f, from, to, NULL);
}

Test(chunk_read, a_file_that_went_with_its_replica_is_not_damaged)
{
	struct fixture f;
	const struct env_disk *d;
	atomic_uint moves = 7;

	setup(&f, 3, EVENT_HEADER_BYTES + 77);
	d = memdisk_disk(f.md);
	cr_assert_eq(read_of(&f, 1, N_EVENTS, &moves), 0);
	files_forget(f.files, PATH);
	cr_assert_eq(d->unlink(d->ctx, PATH), 0);
	cr_assert_eq(read_of(&f, 1, N_EVENTS, &moves), -ERR_UNAVAILABLE);
	cr_assert_eq(read_from(&f, 1, N_EVENTS), -ERR_CORRUPT);
	teardown(&f);
}

Test(chunk_read, an_event_whose_bytes_are_damaged_hides_no_other)
{
	struct fixture f;

	setup(&f, 3, EVENT_HEADER_BYTES + 77);
	cr_assert_eq(read_from(&f, 1, N_EVENTS), 0);
	cr_assert(f.first == 1 && f.last == 2);
	cr_assert_eq(read_from(&f, 3, N_EVENTS), -ERR_CORRUPT);
	cr_assert(f.req.damaged_first == 3 && f.req.damaged_last == 3);
	cr_assert_eq(read_from(&f, 4, N_EVENTS), 0);
	cr_assert(f.first == 4 && f.last == N_EVENTS);
	teardown(&f);
}

/* Its length is wrong, so what follows is found again at the next row: at the
 * first event behind 64 KiB, which is the ninth or tenth. */
Test(chunk_read, what_cannot_be_found_behind_damage_is_said_to_be_damaged)
{
	struct fixture f;
	uint64_t next = 1;

	setup(&f, 3, 2);
	while (f.at[next] < CHUNK_INDEX_STEP)
		next++;
	cr_assert(next > 7 && next < N_EVENTS);
	cr_assert_eq(read_from(&f, 3, N_EVENTS), -ERR_CORRUPT);
	cr_assert(f.req.damaged_first == 3 && f.req.damaged_last == 3);
	/* What stands where the fourth should begin is none. */
	cr_assert_eq(read_from(&f, 4, N_EVENTS), -ERR_CORRUPT);
	cr_assert(f.req.damaged_first == 4 && f.req.damaged_last == 4);
	cr_assert_eq(read_from(&f, 5, N_EVENTS), -ERR_CORRUPT);
	cr_assert_eq(f.req.damaged_first, 5);
	cr_assert_eq(f.req.damaged_last, next - 1);
	cr_assert_eq(read_from(&f, 6, 7), -ERR_CORRUPT);
	cr_assert(f.req.damaged_first == 6 && f.req.damaged_last == 7);
	cr_assert_eq(read_from(&f, next, N_EVENTS), 0);
	cr_assert(f.first == next && f.last == N_EVENTS);
	teardown(&f);
}
