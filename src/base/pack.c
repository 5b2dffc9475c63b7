/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* pack - MessagePack for what nodes write and tell each other. */
#include "src/base/pack.h"

#include <msgpack.h>

#include "src/base/err.h"

static int
add(void *arg, const char *p, size_t n)
{
	buf_add(arg, p, n);
	return 0;
}

static msgpack_packer
packer(struct buf *b)
{
	msgpack_packer pk;

	msgpack_packer_init(&pk, b, add);
	return pk;
}

void
pack_nil(struct buf *b)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_nil(&pk);
}

void
pack_uint(struct buf *b, uint64_t v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_uint64(&pk, v);
}

void
pack_array(struct buf *b, uint32_t n)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_array(&pk, n);
}

void
pack_bin(struct buf *b, struct slice s)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_bin(&pk, s.n);
	buf_add_slice(b, s);
}

void
pack_str(struct buf *b, struct slice s)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_str(&pk, s.n);
	buf_add_slice(b, s);
}

/* --- reading -------------------------------------------------------------- */

void
unpack_init(struct unpack *u, struct slice in)
{
	u->rest = in;
	u->error = 0;
}

static uint64_t
fail(struct unpack *u)
{
	u->error = -ERR_FORMAT;
	u->rest = SLICE(NULL, 0);
	return 0;
}

static int
take_byte(struct unpack *u)
{
	if (u->rest.n == 0)
		return -1;
	u->rest.n--;
	return *u->rest.p++;
}

/* N bytes, big-endian. */
static uint64_t
take_number(struct unpack *u, unsigned n)
{
	uint64_t v = 0;

	if (u->rest.n < n)
		return fail(u);
	for (unsigned i = 0; i < n; i++)
		v = v << 8 | u->rest.p[i];
	u->rest = SLICE(u->rest.p + n, u->rest.n - n);
	return v;
}

uint64_t
unpack_uint(struct unpack *u, uint64_t max)
{
	int c = take_byte(u);
	uint64_t v;

	if (c >= 0 && c <= 0x7f)
		v = (uint64_t)c;
	else if (c >= 0xcc && c <= 0xcf)
		v = take_number(u, 1u << (c - 0xcc));
	else
		return fail(u);
	return v <= max ? v : fail(u);
}

uint32_t
unpack_array(struct unpack *u, uint32_t min, uint32_t max)
{
	int c = take_byte(u);
	uint64_t n;

	if (c >= 0x90 && c <= 0x9f)
		n = (uint64_t)c & 15;
	else if (c == 0xdc || c == 0xdd)
		n = take_number(u, c == 0xdc ? 2 : 4);
	else
		return (uint32_t)fail(u);
	if (u->error || n < min || n > max || n > u->rest.n)
		return (uint32_t)fail(u);
	return (uint32_t)n;
}

static struct slice
take_bytes(struct unpack *u, uint64_t n, size_t min, size_t max)
{
	struct slice s;

	if (u->error || n < min || n > max || n > u->rest.n) {
		fail(u);
		return SLICE(NULL, 0);
	}
	s = SLICE(u->rest.p, n);
	u->rest = SLICE(u->rest.p + n, u->rest.n - n);
	return s;
}

struct slice
unpack_bin(struct unpack *u, size_t min, size_t max)
{
	int c = take_byte(u);

	if (c < 0xc4 || c > 0xc6) {
		fail(u);
		return SLICE(NULL, 0);
	}
	return take_bytes(u, take_number(u, 1u << (c - 0xc4)), min, max);
}

struct slice
unpack_str(struct unpack *u, size_t min, size_t max)
{
	int c = take_byte(u);

	if (c >= 0xa0 && c <= 0xbf)
		return take_bytes(u, (uint64_t)c & 31, min, max);
	if (c < 0xd9 || c > 0xdb) {
		fail(u);
		return SLICE(NULL, 0);
	}
	return take_bytes(u, take_number(u, 1u << (c - 0xd9)), min, max);
}

int
unpack_nil(struct unpack *u)
{
	if (u->rest.n == 0 || u->rest.p[0] != 0xc0)
		return 0;
	take_byte(u);
	return 1;
}

int
unpack_end(struct unpack *u)
{
	if (u->rest.n)
		fail(u);
	return u->error;
}
