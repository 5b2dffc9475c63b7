/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * jwt - tokens of sessions.
 *
 *	base64url(header) . base64url(payload) . base64url(HMAC of what is before)
 *
 * header	{"typ":"JWT","alg":"HS512"}, byte for byte: no other is taken, so
 *		that there is no choice of algorithm to be led astray by
 * payload	{"u":U,"sub":U,"iat":S,"exp":S,"jti":"32 hex digits","gen":N}:
 *		user name, seconds, and the generation of the user
 *
 * Bits of base64url that do not count are 0, so that a token has one spelling.
 */
#include "http/jwt.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "http/base64.h"
#include "http/fields.h"
#include "src/base/err.h"
#include "src/base/json.h"

#define MAC_MAX 64

static const struct {
	const char *header;
	size_t mac_bytes;
	const EVP_MD *(*md)(void);
} algorithms[] = {
    [JWT_HS512] = {"{\"typ\":\"JWT\",\"alg\":\"HS512\"}", 64, EVP_sha512},
    [JWT_HS384] = {"{\"typ\":\"JWT\",\"alg\":\"HS384\"}", 48, EVP_sha384},
    [JWT_HS256] = {"{\"typ\":\"JWT\",\"alg\":\"HS256\"}", 32, EVP_sha256},
};

/* --- making --------------------------------------------------------------- */

static int
sign(enum jwt_algorithm a, struct slice secret, struct slice what,
    uint8_t mac[MAC_MAX])
{
	unsigned n = 0;

	return HMAC(algorithms[a].md(), secret.p, (int)secret.n, what.p, what.n,
		   mac, &n) &&
		       n == algorithms[a].mac_bytes
		   ? 0
		   : -ERR_NOMEM;
}

int
jwt_make(enum jwt_algorithm algorithm, struct slice secret,
    const struct auth_identity *who, uint64_t now_ms, const uint8_t chance[16],
    struct buf *out)
{
	uint8_t mac[MAC_MAX];
	char payload[512], jti[33];
	int n;

	for (int i = 0; i < 16; i++)
		snprintf(jti + 2 * i, 3, "%02x", chance[i]);
	n = snprintf(payload, sizeof(payload),
	    "{\"u\":\"%s\",\"sub\":\"%s\",\"iat\":%llu,\"exp\":%llu,"
	    "\"jti\":\"%s\",\"gen\":%llu}",
	    who->name, who->name, (unsigned long long)(now_ms / 1000),
	    (unsigned long long)(who->expires_ms / 1000), jti,
	    (unsigned long long)who->generation);
	base64url_add(out, SLICE_STR(algorithms[algorithm].header));
	buf_add_byte(out, '.');
	base64url_add(out, SLICE(payload, (size_t)n));
	if (buf_error(out) || sign(algorithm, secret, buf_slice(out), mac))
		return -ERR_NOMEM;
	buf_add_byte(out, '.');
	base64url_add(out, SLICE(mac, algorithms[algorithm].mac_bytes));
	return buf_error(out);
}

/* --- checking ------------------------------------------------------------- */

static int
is_header(enum jwt_algorithm a, struct slice s)
{
	uint8_t text[JWT_MAX];
	size_t n;

	return base64url_take(s, text, &n) == 0 &&
	       slice_equal(SLICE(text, n), SLICE_STR(algorithms[a].header));
}

static int
is_signed(enum jwt_algorithm a, struct slice secret, struct slice what,
    struct slice mac)
{
	uint8_t want[MAC_MAX], got[JWT_MAX];
	size_t n;

	return base64url_take(mac, got, &n) == 0 &&
	       n == algorithms[a].mac_bytes &&
	       sign(a, secret, what, want) == 0 &&
	       CRYPTO_memcmp(want, got, n) == 0;
}

static int
take_payload(struct slice text, struct auth_identity *who)
{
	struct slice name, raw;
	uint64_t expires_s;
	struct buf b;
	int good;

	*who = (struct auth_identity){0};
	buf_init(&b, AUTH_NAME_MAX);
	good = fields_find(text, "u", &raw) && fields_string(raw, &b);
	name = buf_slice(&b);
	good = good && auth_name_is_legal(name) &&
	       fields_find(text, "gen", &raw) &&
	       fields_uint(raw, &who->generation) &&
	       fields_find(text, "exp", &raw) && fields_uint(raw, &expires_s) &&
	       expires_s < UINT64_MAX / 1000;
	if (good) {
		memcpy(who->name, name.p, name.n);
		who->expires_ms = expires_s * 1000;
	}
	buf_deinit(&b);
	return good && who->expires_ms ? 0 : -ERR_INVAL;
}

int
jwt_check(enum jwt_algorithm algorithm, struct slice secret, struct slice token,
    struct auth_identity *who)
{
	const uint8_t *dots[2], *end = token.p + token.n;
	uint8_t text[JWT_MAX];
	struct slice payload;
	size_t n;

	if (token.n == 0 || token.n > JWT_MAX || secret.n == 0)
		return -ERR_INVAL;
	dots[0] = memchr(token.p, '.', token.n);
	dots[1] = dots[0]
		      ? memchr(dots[0] + 1, '.', (size_t)(end - dots[0] - 1))
		      : NULL;
	if (!dots[1] ||
	    !is_header(
		algorithm, SLICE(token.p, (size_t)(dots[0] - token.p))) ||
	    !is_signed(algorithm, secret,
		SLICE(token.p, (size_t)(dots[1] - token.p)),
		SLICE(dots[1] + 1, (size_t)(end - dots[1] - 1))))
		return -ERR_INVAL;
	payload = SLICE(dots[0] + 1, (size_t)(dots[1] - dots[0] - 1));
	if (base64url_take(payload, text, &n) ||
	    !fields_is_object(SLICE(text, n)))
		return -ERR_INVAL;
	return take_payload(SLICE(text, n), who);
}
