/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_frame - whatever comes from other nodes: it is read or refused, and the
 * node goes on.  Groups that no frame names answer, what was acknowledged stays
 * as it was, memory stays bounded, and the node starts again.
 *
 * Group 0 has a replica here, with another member elsewhere; group 1 as well,
 * alone; group 2 has none.
 */
#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/frame_rig.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "vnode/entry.h"
#include "vnode/fill.h"
#include "vnode/wire.h"

#define N_GROUPS   3
#define MEMORY     (48u << 20)
#define FRAMES_MAX 64

/* --- checksums ------------------------------------------------------------ */

static void
reseal_entries(uint8_t *p, size_t n)
{
	while (n >= WIRE_ENTRY_BYTES) {
		size_t bytes = le_get32(p + 8), all;

		if (bytes > n - WIRE_ENTRY_BYTES)
			return;
		reseal_entry(p + WIRE_ENTRY_BYTES, bytes);
		le_put32(p + 12, crc32c(0, p + WIRE_ENTRY_BYTES, bytes));
		all = WIRE_ENTRY_BYTES + wire_round((uint32_t)bytes);
		if (all > n)
			return;
		p += all;
		n -= all;
	}
}

static void
reseal_fill(uint8_t *p, size_t n)
{
	if (n < FILL_HEADER_BYTES)
		return;
	if (le_get32(p) == FILL_MANIFEST)
		reseal_manifest(p + FILL_HEADER_BYTES, n - FILL_HEADER_BYTES);
	if (le_get32(p) == FILL_CHUNKS && n > FILL_HEADER_BYTES + 4)
		reseal_chunk(
		    p + FILL_HEADER_BYTES + 4, n - FILL_HEADER_BYTES - 4);
}

static void
reseal_frame(uint8_t *p, size_t n)
{
	for (size_t at = WIRE_FRAME_BYTES; at + WIRE_MESSAGE_BYTES <= n;) {
		size_t bytes = le_get32(p + at);

		if (bytes < WIRE_MESSAGE_BYTES || bytes > n - at)
			return;
		if (p[at + 4] == WIRE_FILL)
			reseal_fill(p + at + WIRE_MESSAGE_BYTES,
			    bytes - WIRE_MESSAGE_BYTES);
		else
			reseal_entries(p + at + WIRE_MESSAGE_BYTES,
			    bytes - WIRE_MESSAGE_BYTES);
		at += bytes;
	}
}

void
fuzz_reseal(uint8_t *p, size_t n)
{
	struct slice in = SLICE(p, n);
	struct frame_item item;

	while (frame_item_next(&in, &item))
		reseal_frame((uint8_t *)(uintptr_t)item.bytes.p, item.bytes.n);
}

/* --- codec ---------------------------------------------------------------- */

struct named {
	int group[N_GROUPS]; /* is the subject of some message */
	int filled;          /* group 0 is offered other data */
};

static void
read_entries(struct wire_message *m)
{
	struct entry_members members;
	const uint8_t *end = m->rest.p + m->rest.n;
	struct wire_entry e;
	uint32_t n = 0;

	while (n < m->n && wire_next_entry(m, &e) == 0) {
		ASSERT(e.payload.p + e.payload.n <= end);
		entry_kind(e.payload, &members);
		n++;
	}
}

static void
read_fill(const struct wire_message *m, struct named *named)
{
	struct fill_message fm;
	uint8_t head[FILL_HEADER_BYTES];

	if (fill_decode(m->rest, &fm))
		return;
	fill_encode(head, &fm);
	ASSERT(memcmp(head, m->rest.p, sizeof(head)) == 0);
	ASSERT(fm.bytes.n <= FILL_PAGE_BYTES);
	if (m->group == 0)
		named->filled = 1;
}

static void
read_frame(struct slice bytes, struct named *named)
{
	struct wire_reader r;
	struct wire_message m;
	int x = wire_open(&r, bytes);

	while (x == 0 && (x = wire_next(&r, &m)) == 0) {
		if (m.group < N_GROUPS)
			named->group[m.group] = 1;
		if (m.type == WIRE_FILL)
			read_fill(&m, named);
		else
			read_entries(&m);
	}
	ASSERT(x == WIRE_E_END || x == -ERR_CORRUPT || x == -ERR_FORMAT);
}

/* --- the node ------------------------------------------------------------- */

static void
check(struct frame_rig *r, const struct named *named)
{
	ASSERT(!r->fatal);
	if (!named->group[1]) {
		ASSERT(frame_rig_check(r, 1) == 0);
		ASSERT(frame_rig_put(r, 1, 11) == 0);
	}
	if (!named->group[0])
		ASSERT(frame_rig_check(r, 0) == 0);
	else if (!named->filled)
		frame_rig_check(r, 0); /* as they were, or not now */
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct memdisk *founded;
	struct memdisk *md;
	struct named named = {0};
	struct slice in = SLICE(p, n);
	struct frame_item item;
	struct frame_rig r;
	struct fuzz_mem mem;
	int n_frames = 0;

	if (!founded)
		founded = frame_rig_found(2);
	md = memdisk_clone(founded);
	ASSERT(md);
	frame_rig_open(&r, md, N_GROUPS);
	frame_rig_run(&r, 100000);
	fuzz_mem_start(&mem, MEMORY + 64 * n);
	while (frame_item_next(&in, &item) && n_frames++ < FRAMES_MAX) {
		read_frame(item.bytes, &named);
		frame_rig_frame(&r, item.who, item.bytes);
		frame_rig_run(&r, item.us);
	}
	frame_rig_run(&r, 2000000);
	check(&r, &named);
	fuzz_mem_stop(&mem);
	frame_rig_close(&r);
	frame_rig_open(&r, md, N_GROUPS);
	frame_rig_run(&r, 2000000);
	check(&r, &named);
	frame_rig_close(&r);
	memdisk_free(md);
	return 0;
}
