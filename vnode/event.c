/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * event - record codec.
 *
 * Format 1, little endian, no padding between records:
 *
 *	 0  u32  bytes of data
 *	 4  u32  CRC32C of bytes 0..3 and of everything from byte 8 to the end
 *	 8  u64  seqnum
 *	16  u64  t, milliseconds since 1970
 *	24  u64  log index of the entry
 *	32  u32  ordinal in the entry
 *	36  u16  flags: enum event_flag
 *	38  u8   bytes of type
 *	39  u8   bytes of ext
 *	40       type, ext, data
 *
 * ext of an event with EVENT_KEY (36 bytes): XXH3-128 of the idempotency key,
 * XXH3-128 of the body, u32 number of events appended under the key, of which
 * this is the first.  The hash of the body covers what http/key.c says.
 *
 * The version of the format stands in the file or log entry around the record.
 */
#include "vnode/event.h"

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/le.h"

#define KNOWN_FLAGS (EVENT_JSON | EVENT_NEWLINE | EVENT_KEY | EVENT_BASE)

uint32_t
event_bytes(const struct event *e)
{
	return (
	    uint32_t)(EVENT_HEADER_BYTES + e->type.n + e->ext.n + e->data.n);
}

static uint32_t
crc_of(const uint8_t *head, size_t head_bytes, struct slice data)
{
	uint32_t crc = crc32c(0, head, 4);

	crc = crc32c(crc, head + 8, head_bytes - 8);
	return crc32c(crc, data.p, data.n);
}

uint32_t
event_encode_head(const struct event *e, uint8_t *out)
{
	uint8_t *p = out;

	ASSERT(e->type.n <= EVENT_TYPE_MAX && e->ext.n <= EVENT_EXT_MAX);
	ASSERT(e->data.n <= UINT32_MAX / 2);
	p = le_put32(p, (uint32_t)e->data.n);
	p = le_put32(p, 0);
	p = le_put64(p, e->seq);
	p = le_put64(p, e->t_ms);
	p = le_put64(p, e->index);
	p = le_put32(p, e->ordinal);
	p = le_put16(p, e->flags);
	*p++ = (uint8_t)e->type.n;
	*p++ = (uint8_t)e->ext.n;
	if (e->type.n)
		memcpy(p, e->type.p, e->type.n);
	p += e->type.n;
	if (e->ext.n)
		memcpy(p, e->ext.p, e->ext.n);
	p += e->ext.n;
	le_put32(out + 4, crc_of(out, (size_t)(p - out), e->data));
	return (uint32_t)(p - out);
}

int
event_decode(struct slice in, int check, struct event *out, uint32_t *bytes)
{
	struct event e;
	const uint8_t *p = in.p;
	uint32_t data_bytes;
	size_t head_bytes;

	*bytes = 0;
	if (in.n < EVENT_HEADER_BYTES)
		return EVENT_E_SHORT;
	data_bytes = le_get32(p);
	e.seq = le_get64(p + 8);
	e.t_ms = le_get64(p + 16);
	e.index = le_get64(p + 24);
	e.ordinal = le_get32(p + 32);
	e.flags = le_get16(p + 36);
	e.type = SLICE(p + EVENT_HEADER_BYTES, p[38]);
	e.ext = SLICE(e.type.p + e.type.n, p[39]);
	e.data = SLICE(e.ext.p + e.ext.n, data_bytes);
	if (data_bytes > EVENT_DATA_MAX || e.type.n > EVENT_TYPE_MAX ||
	    e.seq == 0 || (e.flags & ~KNOWN_FLAGS))
		return EVENT_E_DAMAGED;
	*bytes = event_bytes(&e);
	if (in.n < *bytes)
		return EVENT_E_SHORT;
	head_bytes = EVENT_HEADER_BYTES + e.type.n + e.ext.n;
	if (check && le_get32(p + 4) != crc_of(p, head_bytes, e.data))
		return EVENT_E_DAMAGED;
	*out = e;
	return 0;
}

void
event_key_encode(const struct event_key *k, uint8_t out[EVENT_KEY_BYTES])
{
	memcpy(out, k->key, sizeof(k->key));
	memcpy(out + 16, k->body, sizeof(k->body));
	le_put32(out + 32, k->n_events);
}

int
event_key_decode(struct slice ext, struct event_key *out)
{
	if (ext.n != EVENT_KEY_BYTES || le_get32(ext.p + 32) == 0)
		return EVENT_E_DAMAGED;
	memcpy(out->key, ext.p, sizeof(out->key));
	memcpy(out->body, ext.p + 16, sizeof(out->body));
	out->n_events = le_get32(ext.p + 32);
	return 0;
}
