/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/os/seal.h"

#include <sys/uio.h>

#include "src/base/err.h"
#include "tests/golden/golden.h"

TestSuite(seal);

#define COOKIE "a cookie"

static const struct seal_head head = {
    .kind = SEAL_FRAME,
    .number = 5,
    .cluster = {0xc0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .sender = {0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .sender_boot = {0xab, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .receiver = {0xb0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .receiver_boot = {0xbb, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .counter = 0x1122334455667788,
};

static struct seal_key *
key(const char *cookie, uint16_t number, int to_seal)
{
	struct seal_key *k = seal_key_new(
	    cookie, head.sender, head.sender_boot, number, to_seal);

	cr_assert_not_null(k);
	return k;
}

static struct slice
sealed(uint8_t *out, const char *text)
{
	struct seal_key *k = key(COOKIE, head.number, 1);
	size_t n = strlen(text);
	struct iovec iov[3] = {{(void *)(uintptr_t)text, n / 2}, {NULL, 0},
	    {(void *)(uintptr_t)(text + n / 2), n - n / 2}};

	seal(k, &head, iov, 3, out);
	seal_key_free(k);
	return SLICE(out, n + SEAL_BYTES);
}

Test(seal, a_frame_has_the_bytes_it_always_had)
{
	uint8_t out[256];

	golden("frame.bin", sealed(out, "from the golden age"));
}

static int
open_it(void *arg, struct slice bytes)
{
	struct seal_head h;
	uint8_t *out;
	int r = seal_read_head(bytes, &h);

	if (r)
		return r;
	out = mem_alloc(bytes.n - SEAL_BYTES + 1);
	cr_assert_not_null(out);
	r = seal_open(arg, bytes, out);
	if (r == 0)
		cr_assert(memcmp(out, "from the golden age", 19) == 0);
	mem_free(out);
	return r;
}

Test(seal, a_changed_bit_or_a_cut_frame_is_refused)
{
	struct seal_key *k = key(COOKIE, head.number, 0);
	uint8_t out[256];

	golden_is_guarded(sealed(out, "from the golden age"), open_it, k);
	seal_key_free(k);
}

Test(seal, a_head_reads_as_it_was_written)
{
	struct seal_head h = {0};
	uint8_t out[256];

	cr_assert_eq(seal_read_head(sealed(out, ""), &h), 0);
	cr_assert_eq(h.kind, head.kind);
	cr_assert_eq(h.number, head.number);
	cr_assert_arr_eq(h.cluster, head.cluster, 16);
	cr_assert_arr_eq(h.sender, head.sender, 16);
	cr_assert_arr_eq(h.sender_boot, head.sender_boot, 16);
	cr_assert_arr_eq(h.receiver, head.receiver, 16);
	cr_assert_arr_eq(h.receiver_boot, head.receiver_boot, 16);
	cr_assert_eq(h.counter, head.counter);
}

Test(seal, another_version_is_told_from_damage)
{
	struct seal_head h;
	uint8_t out[256];
	struct slice s = sealed(out, "x");

	out[4] = 2;
	cr_assert_eq(seal_read_head(s, &h), -ERR_FORMAT);
	out[4] = 1;
	out[0] ^= 1;
	cr_assert_eq(seal_read_head(s, &h), -ERR_CORRUPT);
}

Test(seal, a_key_opens_only_what_is_its_own)
{
	uint8_t other[16] = {1}, out[256], body[64];
	struct slice s = sealed(out, "secret");
	struct seal_key *keys[] = {
	    key("another cookie", head.number, 0),
	    key("", head.number, 0),
	    key(COOKIE, head.number + 1, 0),
	    seal_key_new(COOKIE, other, head.sender_boot, head.number, 0),
	    seal_key_new(COOKIE, head.sender, other, head.number, 0),
	    seal_key_new(COOKIE, head.sender_boot, head.sender, head.number, 0),
	};
	struct seal_key *own = key(COOKIE, head.number, 0);

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		cr_assert_not_null(keys[i]);
		cr_expect_eq(seal_open(keys[i], s, body), -ERR_CORRUPT);
		cr_assert_null(seal_key_free(keys[i]));
	}
	cr_assert_eq(seal_open(own, s, body), 0);
	cr_assert(memcmp(body, "secret", 6) == 0);
	seal_key_free(own);
}

Test(seal, nothing_of_the_body_is_seen_in_the_frame)
{
	uint8_t out[256];
	struct slice s = sealed(out, "a secret of many bytes");

	cr_assert_null(memmem(s.p, s.n, "secret", 6));
}

/* --- the window ----------------------------------------------------------- */

Test(seal, a_window_takes_each_counter_once_and_none_up_to_its_floor)
{
	struct seal_window w;

	seal_window_init(&w, 100);
	cr_expect_not(seal_window_is_new(&w, 0));
	cr_expect_not(seal_window_is_new(&w, 100));
	cr_expect(seal_window_is_new(&w, 101));
	seal_window_add(&w, 105);
	cr_expect_not(seal_window_is_new(&w, 105));
	cr_expect(seal_window_is_new(&w, 101));
	seal_window_add(&w, 101);
	cr_expect_not(seal_window_is_new(&w, 101));
	seal_window_add(&w, 105 + SEAL_WINDOW_BITS - 1);
	cr_expect_not(seal_window_is_new(&w, 104), "out of the window");
	cr_expect_not(seal_window_is_new(&w, 105));
	cr_expect(seal_window_is_new(&w, 106));
	seal_window_add(&w, UINT64_MAX);
	cr_expect_not(seal_window_is_new(&w, UINT64_MAX));
	cr_expect(seal_window_is_new(&w, UINT64_MAX - 1));
	cr_expect_not(seal_window_is_new(&w, 106));
}

#define N_COUNTERS 20000

/* The dumb table: every counter that came, and the newest. */
Test(seal, a_window_says_what_a_table_of_all_counters_says)
{
	static uint8_t came[N_COUNTERS + 4096];
	struct seal_window w;
	uint64_t newest = 7, chance = 1;

	seal_window_init(&w, 7);
	for (int i = 0; i < 200000; i++) {
		uint64_t c, back;
		int want;

		chance = chance * 6364136223846793005 + 1442695040888963407;
		back = chance >> 40;
		back = back % 8 == 0 ? back % 3000 : back % 40;
		c = newest + 20 > back ? newest + 20 - back : 0;
		if (c >= N_COUNTERS)
			break;
		want = c > 7 && !came[c] &&
		       (c > newest || newest - c < SEAL_WINDOW_BITS);
		cr_assert_eq(seal_window_is_new(&w, c), want, "%lu after %lu",
		    (unsigned long)c, (unsigned long)newest);
		if (!want)
			continue;
		seal_window_add(&w, c);
		came[c] = 1;
		if (c > newest)
			newest = c;
	}
	cr_assert_gt(newest, 10000);
}
