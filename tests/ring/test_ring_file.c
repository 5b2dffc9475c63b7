/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/ring_file.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/golden/golden.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"

TestSuite(ring_file);

#define NAME "n@127.0.0.1"

struct fixture {
	struct memdisk *md;
	struct simenv *sim;
	const struct env *env;
	struct identity id;
	char why[RING_WHY_BYTES];
};

static void
start(struct fixture *f)
{
	struct simenv_config sc = {
	    .seed = 1, .n_workers = 1, .disk = memdisk_disk(f->md)};

	f->sim = simenv_new(&sc);
	f->env = simenv_env(f->sim);
}

static struct fixture
fixture(void)
{
	struct fixture f = {.md = memdisk_new(NULL)};

	start(&f);
	cr_assert_eq(identity_open(f.env, NAME, 64, &f.id, f.why, 256), 0);
	return f;
}

static int
open_ring(struct fixture *f, struct ring **r)
{
	return ring_file_open(f->env, &f->id, NAME, 3, r, f->why);
}

static void
done(struct fixture *f)
{
	simenv_free(f->sim);
	memdisk_free(f->md);
}

static const char *
path(const struct fixture *f, const char *name)
{
	static char out[128];

	snprintf(out, sizeof(out), "%s/%s", f->id.dir, name);
	return out;
}

Test(ring_file, is_made_once_and_saved_in_two_generations)
{
	struct fixture f = fixture();
	struct ring *r, *again;

	cr_assert_eq(open_ring(&f, &r), 0);
	cr_assert(f.why[0] == '\0' && r->epoch == 1);
	for (uint64_t epoch = 2; epoch < 5; epoch++) {
		r->epoch = epoch;
		cr_assert_eq(ring_file_save(f.env, f.id.dir, r), 0);
	}
	cr_assert_eq(open_ring(&f, &again), 0);
	cr_assert_eq(again->epoch, 4);
	ring_unref(again);
	cr_assert_eq(memdisk_flip(f.md, path(&f, "ring.cur"), 40, 3), 0);
	cr_assert_eq(open_ring(&f, &again), 0);
	cr_assert_eq(again->epoch, 3);
	cr_assert_not_null(
	    strstr(f.why, "going on with ring.prev"), "%s", f.why);
	ring_unref(again);
	cr_assert_eq(memdisk_flip(f.md, path(&f, "ring.prev"), 5, 1), 0);
	cr_assert_eq(open_ring(&f, &again), -ERR_CORRUPT);
	cr_assert_not_null(strstr(f.why, "restore"), "%s", f.why);
	ring_unref(r);
	done(&f);
}

Test(ring_file, is_missed_where_there_is_data)
{
	struct fixture f = fixture();
	struct ring *r;

	cr_assert_eq(f.env->disk.mkdir(f.env->disk.ctx, path(&f, "vnodes")), 0);
	cr_assert_eq(open_ring(&f, &r), -ERR_CORRUPT);
	cr_assert_not_null(strstr(f.why, "ring.cur: not found"), "%s", f.why);
	done(&f);
}

Test(ring_file, of_others_is_refused)
{
	struct fixture f = fixture();
	struct ring *r;
	uint8_t other[16] = "other";

	cr_assert_eq(open_ring(&f, &r), 0);
	memcpy(r->members[0].id, other, 16);
	snprintf(r->members[0].name, 32, "other@10.0.0.1");
	cr_assert_eq(ring_file_save(f.env, f.id.dir, r), 0);
	ring_unref(r);
	cr_assert_eq(open_ring(&f, &r), -ERR_IDENTITY);
	cr_assert(strstr(f.why, "other@10.0.0.1") && strstr(f.why, NAME), "%s",
	    f.why);
	done(&f);
}

static int
read_ring(void *arg, struct slice in)
{
	struct ring *r = NULL;
	int e = ring_file_decode(in, &r);

	(void)arg;
	ring_unref(r);
	return e;
}

/* Three members, a plan, and what is staged. */
static void
make_ring(struct buf *b)
{
	struct ring_member members[] = {
	    {.id = "node a", .name = "a@10.0.0.1", .state = RING_VALID},
	    {.id = "node b", .name = "b@10.0.0.2:9", .state = RING_LEAVING},
	    {.id = "node c",
		.name = "c@c",
		.address = "10.0.0.3:8099",
		.state = RING_JOINING}};
	struct ring_change staged[] = {
	    {RING_LEAVE, 0, RING_NOBODY}, {RING_FORCE_REPLACE, 1, 2}};
	uint16_t owners[8] = {0, 1, 0, 1, 0, 1, 0, 1};
	uint16_t next_owners[8] = {0, 0, 0, 0, 0, 0, 0, 0};
	struct ring r = {.cluster_id = "0123456789abcde",
	    .epoch = 0x1122334455667788,
	    .q = 8,
	    .n_copies = 3,
	    .hash_version = RING_HASH_VERSION,
	    .n_members = 3,
	    .n_staged = 2,
	    .members = members,
	    .owners = owners,
	    .next_owners = next_owners,
	    .staged = staged,
	    .has_plan = 1,
	    .plan_id = "fedcba987654321"};

	cr_assert_eq(ring_file_encode(&r, b), 0);
}

Test(ring_file, is_the_same_for_good_and_every_flipped_bit_is_found)
{
	struct buf b;

	buf_init(&b, RING_ENCODED_MAX);
	make_ring(&b);
	golden("ring.bin", buf_slice(&b));
	golden_is_guarded(buf_slice(&b), read_ring, NULL);
	buf_deinit(&b);
}

Test(ring_file, a_crash_leaves_the_old_one_or_the_new)
{
	for (uint64_t op = 1; op < 12; op++) {
		for (uint64_t seed = 0; seed < 60; seed++) {
			struct fixture f = fixture();
			struct ring *r, *got;
			int saved;

			cr_assert_eq(open_ring(&f, &r), 0);
			r->epoch = 2;
			cr_assert_eq(ring_file_save(f.env, f.id.dir, r), 0);
			r->epoch = 3;
			memdisk_fail_at(f.md, memdisk_ops(f.md) + op,
			    seed % 2 ? MEMDISK_CRASH_MIDDLE
				     : MEMDISK_CRASH_BEFORE);
			saved = ring_file_save(f.env, f.id.dir, r) == 0;
			memdisk_crash(f.md, MEMDISK_RANDOM, seed);
			memdisk_restart(f.md);
			memdisk_fail_clear(f.md);
			ring_unref(r);
			cr_assert_eq(open_ring(&f, &got), 0, "op %d: %s",
			    (int)op, f.why);
			cr_assert(
			    got->epoch == 3 || (got->epoch == 2 && !saved));
			cr_assert(f.why[0] == '\0', "%s", f.why);
			ring_unref(got);
			done(&f);
		}
	}
}

/* Damaged once, and then the power is cut while the next ring is saved. */
Test(ring_file, a_damaged_one_does_not_take_the_place_of_a_good_one)
{
	for (uint64_t op = 1; op < 10; op++) {
		for (uint64_t seed = 0; seed < 40; seed++) {
			struct fixture f = fixture();
			struct ring *r, *got;

			cr_assert_eq(open_ring(&f, &r), 0);
			r->epoch = 2;
			cr_assert_eq(ring_file_save(f.env, f.id.dir, r), 0);
			ring_unref(r);
			cr_assert_eq(
			    memdisk_flip(f.md, path(&f, "ring.cur"), 40, 3), 0);
			cr_assert_eq(open_ring(&f, &r), 0);
			r->epoch = 3;
			memdisk_fail_at(f.md, memdisk_ops(f.md) + op,
			    seed % 2 ? MEMDISK_CRASH_MIDDLE
				     : MEMDISK_CRASH_BEFORE);
			ring_file_save(f.env, f.id.dir, r);
			memdisk_crash(f.md, MEMDISK_RANDOM, seed);
			memdisk_restart(f.md);
			memdisk_fail_clear(f.md);
			ring_unref(r);
			cr_assert_eq(open_ring(&f, &got), 0, "op %d: %s",
			    (int)op, f.why);
			cr_assert(got->epoch == 1 || got->epoch == 3);
			ring_unref(got);
			done(&f);
		}
	}
}
