/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * hash - which group a stream belongs to.
 *
 * The key is what Erlang's term_to_binary makes of {Bucket, Stream}, so that
 * placements of the original system can be reproduced (cluster.md section 1.2).
 */
#include "ring/hash.h"

#include <openssl/evp.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"

struct ring_hash {
	EVP_MD_CTX *ctx;
	EVP_MD *md; /* fetched once: an implicit fetch triples the price */
};

struct ring_hash *
ring_hash_new(void)
{
	struct ring_hash *h = mem_zalloc(sizeof(*h));

	if (!h)
		return NULL;
	h->ctx = EVP_MD_CTX_new();
	h->md = EVP_MD_fetch(NULL, "SHA1", NULL);
	return h->ctx && h->md ? h : ring_hash_free(h);
}

struct ring_hash *
ring_hash_free(struct ring_hash *h)
{
	if (!h)
		return NULL;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	return mem_free(h);
}

static void
add_binary(struct ring_hash *h, struct slice s)
{
	uint8_t head[5] = {0x6d, (uint8_t)(s.n >> 24), (uint8_t)(s.n >> 16),
	    (uint8_t)(s.n >> 8), (uint8_t)s.n};

	EVP_DigestUpdate(h->ctx, head, sizeof(head));
	EVP_DigestUpdate(h->ctx, s.p, s.n);
}

void
ring_hash_key(struct ring_hash *h, struct slice bucket, struct slice stream,
    uint8_t out[RING_SHA1_BYTES])
{
	static const uint8_t tuple[3] = {0x83, 0x68, 0x02};
	int ok;

	if (name_is_of_patches(stream))
		stream.n -= NAME_PATCH_BYTES;
	ok = EVP_DigestInit_ex2(h->ctx, h->md, NULL);
	EVP_DigestUpdate(h->ctx, tuple, sizeof(tuple));
	add_binary(h, bucket);
	add_binary(h, stream);
	ok &= EVP_DigestFinal_ex(h->ctx, out, NULL);
	ASSERT(ok == 1);
}

uint32_t
ring_hash_group(
    struct ring_hash *h, struct slice bucket, struct slice stream, uint32_t q)
{
	uint8_t digest[RING_SHA1_BYTES];
	uint32_t top;

	ASSERT(q >= 2 && q <= 1024 && (q & (q - 1)) == 0);
	ring_hash_key(h, bucket, stream, digest);
	top = (uint32_t)digest[0] << 8 | digest[1];
	return (top / (65536 / q) + 1) % q;
}

void
ring_index_text(uint32_t group, uint32_t q, char out[RING_INDEX_BYTES])
{
	uint32_t words[5] = {0}; /* most significant first */
	char digits[RING_INDEX_BYTES];
	int n = 0;

	ASSERT(group < q);
	words[0] = group * (uint32_t)((1ull << 32) / q);
	do {
		uint64_t rest = 0;

		for (int i = 0; i < 5; i++) {
			rest = rest << 32 | words[i];
			words[i] = (uint32_t)(rest / 10);
			rest %= 10;
		}
		digits[n++] = (char)('0' + rest);
	} while (words[0] | words[1] | words[2] | words[3] | words[4]);
	for (int i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	out[n] = '\0';
}

int
ring_digest(struct slice s, uint8_t out[RING_SHA256_BYTES])
{
	unsigned n = RING_SHA256_BYTES;

	return EVP_Digest(s.p, s.n, out, &n, EVP_sha256(), NULL) == 1
		   ? 0
		   : -ERR_NOMEM;
}
