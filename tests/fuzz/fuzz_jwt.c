/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_jwt - tokens: what is taken is signed and spelled as we do it; and payloads
 * that are signed, whatever they say.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "http/jwt.h"
#include "src/base/assert.h"
#include "tests/fuzz/fuzz.h"

#define HEADER "{\"typ\":\"JWT\",\"alg\":\"HS256\"}"

static const struct slice secret = {(const uint8_t *)"a secret", 8};

static void
add_base64(struct buf *out, struct slice s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"
				     "pqrstuvwxyz0123456789-_";
	uint32_t v = 0, bits = 0;

	for (size_t i = 0; i < s.n; i++) {
		v = v << 8 | s.p[i];
		for (bits += 8; bits >= 6; bits -= 6)
			buf_add_byte(
			    out, (uint8_t)digits[v >> (bits - 6) & 63]);
	}
	if (bits)
		buf_add_byte(out, (uint8_t)digits[v << (6 - bits) & 63]);
}

/* MAC of what is in B, behind it. */
static void
add_mac(struct buf *b)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n;

	ASSERT(
	    HMAC(EVP_sha256(), secret.p, (int)secret.n, b->p, b->n, mac, &n));
	buf_add_byte(b, '.');
	add_base64(b, SLICE(mac, n));
}

/* TOKEN was taken: its signature is right, and written as we write it. */
static void
is_ours(struct slice token, const struct auth_identity *who)
{
	const uint8_t *dot = memrchr(token.p, '.', token.n);
	struct buf again;

	ASSERT(dot && auth_name_is_legal(SLICE_STR(who->name)));
	ASSERT(who->expires_ms && !who->anonymous);
	buf_init(&again, 2 * JWT_MAX);
	buf_add(&again, token.p, (size_t)(dot - token.p));
	add_mac(&again);
	ASSERT(slice_equal(buf_slice(&again), token));
	buf_deinit(&again);
}

static void
take(struct slice token)
{
	struct auth_identity who;

	if (jwt_check(JWT_HS256, secret, token, &who) == 0)
		is_ours(token, &who);
	ASSERT(jwt_check(JWT_HS512, secret, token, &who) != 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf b;

	take(SLICE(p, n));
	if (n > JWT_MAX)
		return 0;
	buf_init(&b, 4 * JWT_MAX);
	add_base64(&b, SLICE_LIT(HEADER));
	buf_add_byte(&b, '.');
	add_base64(&b, SLICE(p, n));
	add_mac(&b);
	take(buf_slice(&b));
	buf_deinit(&b);
	return 0;
}
