/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Tokens: RFC 7515, RFC 7519. */
#include <criterion/criterion.h>

#include "http/jwt.h"
#include "src/base/err.h"
#include "src/base/mem.h"

TestSuite(jwt, .timeout = 60);

static const struct slice secret = {(const uint8_t *)"a secret", 8};
static const uint8_t chance[16] = "0123456789abcde";
static const enum jwt_algorithm all[] = {JWT_HS512, JWT_HS384, JWT_HS256};

static struct auth_identity
ann(void)
{
	return (struct auth_identity){
	    .name = "ann@x.y", .generation = 7, .expires_ms = 1700086400000};
}

static void
make(enum jwt_algorithm a, struct buf *out)
{
	struct auth_identity who = ann();

	buf_init(out, JWT_MAX);
	cr_assert_eq(jwt_make(a, secret, &who, 1700000000123, chance, out), 0);
}

static int
check(enum jwt_algorithm a, struct slice token)
{
	struct auth_identity who;

	return jwt_check(a, secret, token, &who);
}

Test(jwt, a_token_says_who_it_was_made_for)
{
	for (int i = 0; i < 3; i++) {
		struct auth_identity who;
		struct buf b;

		make(all[i], &b);
		cr_assert_eq(jwt_check(all[i], secret, buf_slice(&b), &who), 0);
		cr_assert_str_eq(who.name, "ann@x.y");
		cr_assert_eq(who.generation, 7);
		cr_assert_eq(who.expires_ms, 1700086400000);
		cr_assert_eq(who.anonymous, 0);
		buf_deinit(&b);
	}
}

/* The signature was made by another implementation (Python's hmac). */
Test(jwt, others_can_check_it)
{
	static const char want[] =
	    "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ1IjoiYW5uQHgueSIsInN"
	    "1YiI6ImFubkB4LnkiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDA4NjQ"
	    "wMCwianRpIjoiMzAzMTMyMzMzNDM1MzYzNzM4Mzk2MTYyNjM2NDY1MDAiLCJ"
	    "nZW4iOjd9.P9qjQ9u1iEVHX7q-2tqUeJ4G-z3rlQ1GG_JEpG6n_4g";
	struct buf b;

	make(JWT_HS256, &b);
	cr_assert(
	    slice_equal(buf_slice(&b), SLICE_STR(want)), "%.*s", (int)b.n, b.p);
	buf_deinit(&b);
}

Test(jwt, it_is_good_for_one_algorithm_and_one_secret)
{
	struct auth_identity who;

	for (int i = 0; i < 3; i++) {
		struct buf b;

		make(all[i], &b);
		for (int k = 0; k < 3; k++)
			cr_assert_eq(check(all[k], buf_slice(&b)) == 0, k == i);
		cr_assert_eq(jwt_check(all[i], SLICE_LIT("a secret!"),
				 buf_slice(&b), &who),
		    -ERR_INVAL);
		cr_assert_eq(
		    jwt_check(all[i], SLICE(NULL, 0), buf_slice(&b), &who),
		    -ERR_INVAL);
		buf_deinit(&b);
	}
}

/* Also where a bit does not count in base64: one spelling only. */
Test(jwt, no_other_bytes_are_taken)
{
	struct buf b;

	make(JWT_HS256, &b);
	for (size_t i = 0; i < b.n; i++) {
		uint8_t was = b.p[i];

		for (int c = 0; c < 256; c++) {
			b.p[i] = (uint8_t)c;
			cr_assert_eq(check(JWT_HS256, buf_slice(&b)) == 0,
			    c == was, "byte %zu: %d", i, c);
		}
		b.p[i] = was;
	}
	for (size_t n = 0; n < b.n; n++) {
		uint8_t *cut = mem_alloc(n + 1);

		memcpy(cut, b.p, n);
		cr_assert_neq(check(JWT_HS256, SLICE(cut, n)), 0);
		mem_free(cut);
	}
	for (const char *more = ".=A "; *more; more++) {
		buf_add_byte(&b, (uint8_t)*more);
		cr_assert_neq(check(JWT_HS256, buf_slice(&b)), 0);
		b.n--;
	}
	buf_deinit(&b);
}

Test(jwt, a_huge_token_is_none)
{
	struct buf b;

	make(JWT_HS256, &b);
	b.max = 2 * JWT_MAX;
	while (b.n <= JWT_MAX)
		buf_add_byte(&b, 'A');
	cr_assert_neq(check(JWT_HS256, buf_slice(&b)), 0);
	buf_deinit(&b);
}
