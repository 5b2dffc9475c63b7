/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/identity.h"
#include "src/base/err.h"
#include "tests/golden/golden.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"

TestSuite(identity);

static int
open_on(struct memdisk *md, const char *name, uint32_t q, uint64_t seed,
    struct identity *out)
{
	struct simenv_config sc = {
	    .seed = seed, .n_workers = 1, .disk = memdisk_disk(md)};
	struct simenv *s = simenv_new(&sc);
	char why[256];
	int r = identity_open(simenv_env(s), name, q, out, why, sizeof(why));

	cr_assert((r == 0) == (why[0] == '\0'), "%s", why);
	simenv_free(s);
	return r;
}

Test(identity, is_made_once_and_refuses_other_names_and_sizes)
{
	struct memdisk *md = memdisk_new(NULL);
	struct identity a, b;

	cr_assert_eq(open_on(md, "iorio@127.0.0.1", 64, 1, &a), 0);
	cr_assert_eq(strlen(a.dir), 32);
	cr_assert_eq(open_on(md, "iorio@127.0.0.1", 64, 2, &b), 0);
	cr_assert_arr_eq(a.node_id, b.node_id, 16);
	cr_assert_arr_eq(a.cluster_id, b.cluster_id, 16);
	cr_assert(memcmp(a.boot, b.boot, 16) != 0);
	cr_assert_eq(open_on(md, "other@127.0.0.1", 64, 3, &b), -ERR_IDENTITY);
	cr_assert_eq(open_on(md, "iorio@127.0.0.1", 128, 3, &b), -ERR_INVAL);
	memdisk_free(md);
}

static int
read_identity(void *arg, struct slice in)
{
	struct memdisk *md = arg;
	struct identity id;
	int r;

	cr_assert_eq(memdisk_put(md, "node.id", in), 0);
	r = open_on(md, "iorio@127.0.0.1", 64, 2, &id);
	return r;
}

Test(identity, is_the_same_for_good_and_every_flipped_bit_is_refused)
{
	struct memdisk *md = memdisk_new(NULL);
	struct identity id;
	struct buf b;

	cr_assert_eq(open_on(md, "iorio@127.0.0.1", 64, 1, &id), 0);
	buf_init(&b, 4096);
	cr_assert_eq(memdisk_read_all(md, "node.id", &b), 0);
	cr_assert_eq(b.n, 512);
	golden("node.id.bin", buf_slice(&b));
	golden_is_guarded(buf_slice(&b), read_identity, md);
	buf_deinit(&b);
	memdisk_free(md);
}

Test(identity, a_crash_leaves_no_node_or_all_of_it)
{
	for (uint64_t op = 0; op < 12; op++) {
		for (uint64_t seed = 0; seed < 50; seed++) {
			struct memdisk *md = memdisk_new(NULL);
			struct identity a, b, c;
			int r;

			memdisk_fail_at(md, op, MEMDISK_CRASH_MIDDLE);
			r = open_on(md, "n@127.0.0.1", 64, 1, &a);
			memdisk_crash(md, MEMDISK_RANDOM, seed);
			memdisk_restart(md);
			memdisk_fail_clear(md);
			cr_assert_eq(open_on(md, "n@127.0.0.1", 64, 2, &b), 0);
			if (r == 0)
				cr_assert_arr_eq(a.node_id, b.node_id, 16);
			cr_assert_eq(open_on(md, "n@127.0.0.1", 64, 3, &c), 0);
			cr_assert_arr_eq(c.node_id, b.node_id, 16);
			memdisk_free(md);
		}
	}
}
