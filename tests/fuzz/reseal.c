/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* reseal - the checksums of our formats. */
#include "tests/fuzz/reseal.h"

#include <openssl/evp.h>

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/le.h"

#define BLOCK 4096u

static size_t
round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static void
put_crc(uint8_t *at, const uint8_t *p, size_t n)
{
	le_put32(at, crc32c(0, p, n));
}

/* --- chunk and its events ------------------------------------------------- */

static size_t
reseal_event(uint8_t *p, size_t n)
{
	size_t bytes;

	if (n < 40)
		return 0;
	bytes = 40 + (size_t)p[38] + p[39] + le_get32(p);
	if (bytes > n)
		return 0;
	le_put32(p + 4, crc32c(crc32c(0, p, 4), p + 8, bytes - 8));
	return bytes;
}

/* How many bytes of P are event records back to back. */
static size_t
reseal_run(uint8_t *p, size_t n)
{
	size_t at = 0, k;

	while ((k = reseal_event(p + at, n - at)))
		at += k;
	return at;
}

void
reseal_events(uint8_t *p, size_t n)
{
	reseal_run(p, n);
}

void
reseal_entry(uint8_t *p, size_t n)
{
	for (size_t at = 16; at + 8 <= n;) {
		size_t body = le_get32(p + at + 4);

		if (body > n - at - 8)
			body = n - at - 8;
		if (p[at] == 3 && body > 20)
			reseal_events(p + at + 28, body - 20);
		at += 8 + body;
	}
}

static void
reseal_footer(uint8_t *p, size_t n)
{
	if (n < 44)
		return;
	le_put32(p + n - 8, (uint32_t)n);
	put_crc(p + n - 4, p, n - 4);
}

void
reseal_chunk(uint8_t *p, size_t n)
{
	size_t header = n >= 68 ? le_get16(p + 6) : 0, at;

	if (header < 68 || header > n)
		return;
	le_put32(p + 64, crc32c(crc32c(0, p, 64), p + 68, header - 68));
	at = header + reseal_run(p + header, n - header);
	if (n - at >= 4 && memcmp(p + at, "IOCF", 4) == 0)
		reseal_footer(p + at, n - at);
}

/* --- manifest ------------------------------------------------------------- */

void
reseal_manifest(uint8_t *p, size_t n)
{
	uint32_t crc = 0;

	for (size_t at = 0; at + 12 <= n;) {
		size_t body = le_get32(p + at);
		uint8_t seed[4];

		if (body > n - at - 12)
			return;
		le_put32(seed, crc);
		crc = crc32c(crc32c(0, seed, 4), p + at, 4);
		crc = crc32c(crc, p + at + 8, 4 + body);
		le_put32(p + at + 4, crc);
		at += 12 + body;
		if (p[at - body - 4] == 4)
			at = round_up(at, BLOCK);
	}
}

/* --- images --------------------------------------------------------------- */

void
reseal_images(uint8_t *p, size_t n)
{
	for (size_t at = 0; at + 32 <= n;) {
		size_t bytes = le_get32(p + at + 8);

		if (bytes < 32 || bytes > n - at)
			return;
		put_crc(p + at + 12, p + at + 16, bytes - 16);
		at = round_up(at + bytes, BLOCK);
	}
}

/* --- frames --------------------------------------------------------------- */

static void
reseal_wire_entries(uint8_t *p, size_t n, uint32_t n_entries)
{
	for (size_t at = 0; n_entries-- && at + 16 <= n;) {
		size_t payload = le_get32(p + at + 8);

		if (payload > n - at - 16)
			return;
		put_crc(p + at + 12, p + at + 16, payload);
		at += 16 + round_up(payload, 8);
	}
}

void
reseal_wire(uint8_t *p, size_t n)
{
	for (size_t at = 8; at + 80 <= n;) {
		size_t bytes = le_get32(p + at);

		if (bytes < 80 || bytes > n - at)
			return;
		reseal_wire_entries(
		    p + at + 80, bytes - 80, le_get32(p + at + 64));
		at += bytes;
	}
}

/* --- journal -------------------------------------------------------------- */

void
reseal_records(uint8_t *p, size_t n, size_t from)
{
	for (size_t at = from; at + 88 <= n;) {
		size_t payload = le_get32(p + at + 8);

		if (memcmp(p + at, "IOR", 3) != 0 || payload > n - at - 88) {
			at = round_up(at + 1, BLOCK);
			continue;
		}
		put_crc(p + at + 12, p + at + 88, payload);
		put_crc(p + at + 84, p + at, 84);
		payload = round_up(88 + payload, 8);
		at += payload;
		if (le_get32(p + at - payload + 80) == 0)
			at = round_up(at, BLOCK);
	}
}

void
reseal_segment(uint8_t *p, size_t n)
{
	if (n >= 56 && memcmp(p, "IOSG", 4) == 0)
		put_crc(p + 52, p, 52);
	reseal_records(p, n, BLOCK);
}

/* --- ring ----------------------------------------------------------------- */

void
reseal_ring(uint8_t *p, size_t n)
{
	unsigned k = 32;

	if (n < 44)
		return;
	le_put32(p + 8, (uint32_t)(n - 44));
	ASSERT(EVP_Digest(p, n - 32, p + n - 32, &k, EVP_sha256(), NULL) == 1);
}

/* The hash of what a body carries. */
void
reseal_gossip(uint8_t *p, size_t n)
{
	unsigned k = 32;

	if (n > 64 && p[6] == 3)
		ASSERT(EVP_Digest(p + 64, n - 64, p + 32, &k, EVP_sha256(),
			   NULL) == 1);
}

void
reseal_node_id(uint8_t *p, size_t n)
{
	if (n >= 512)
		put_crc(p + 508, p, 508);
}
