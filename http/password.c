/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* password - argon2id, t=2, 19 MiB, p=1: the least that OWASP asks for. */
#include "http/password.h"

#include <argon2.h>

#include "src/base/err.h"

#define PASSES     2
#define KIB        19456
#define SALT_BYTES 16
#define HASH_BYTES 32

/* Of a user that there is not: what is done takes the same time. */
static const char nobody[] =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmUu"
    "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

int
password_hash(const struct env_rng *rng, struct slice password,
    char out[AUTH_HASH_MAX + 1])
{
	uint8_t salt[SALT_BYTES];

	rng->bytes(rng->ctx, salt, sizeof(salt));
	return argon2id_hash_encoded(PASSES, KIB, 1, password.p, password.n,
		   salt, sizeof(salt), HASH_BYTES, out, AUTH_HASH_MAX)
		   ? -ERR_NOMEM
		   : 0;
}

int
password_check(struct slice password, const char *hash)
{
	int known = hash[0] != '\0';

	return (argon2id_verify(
		    known ? hash : nobody, password.p, password.n) == 0) &
	       known;
}
