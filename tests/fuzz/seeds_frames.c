/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* seeds_frames - conversations with the node of frame_rig.h. */
#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/le.h"
#include "tests/fuzz/frame_rig.h"
#include "tests/fuzz/seeds.h"
#include "vnode/entry.h"
#include "vnode/fill.h"
#include "vnode/wire.h"

#define LAST 13 /* of group 0: no-op, member, ten events, no-op */

static const struct wire_message from_member = {
    .group = 0,
    .from = FRAME_RIG_MEMBER,
    .to = 1,
    .term = 2,
    .index = LAST,
    .log_term = 2,
};

static void
add_frame(
    struct buf *b, int who, const struct wire_message *m, struct slice rest)
{
	uint8_t head[FRAME_RIG_HEAD + WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES];
	uint32_t n = WIRE_MESSAGE_BYTES + wire_round((uint32_t)rest.n);

	memset(head, 0, sizeof(head));
	head[0] = (uint8_t)who;
	head[1] = 3;
	le_put32(head + 4, WIRE_FRAME_BYTES + n);
	wire_put_frame(head + FRAME_RIG_HEAD);
	wire_put_message(head + FRAME_RIG_HEAD + WIRE_FRAME_BYTES, m, n);
	buf_add(b, head, sizeof(head));
	buf_add_slice(b, rest);
	for (; rest.n % 8; rest.n++)
		buf_add_byte(b, 0);
}

static void
seed(const char *name, struct buf *b)
{
	seed_write("frame", name, buf_slice(b), NULL);
	buf_reset(b);
}

static void
add_entry(struct buf *rest, uint64_t term, struct slice payload)
{
	uint8_t head[WIRE_ENTRY_BYTES];

	wire_put_entry(
	    head, term, (uint32_t)payload.n, crc32c(0, payload.p, payload.n));
	buf_add(rest, head, sizeof(head));
	buf_add_slice(rest, payload);
	for (size_t n = payload.n; n % 8; n++)
		buf_add_byte(rest, 0);
}

/* --- the core's ----------------------------------------------------------- */

static void
seed_core(struct buf *b)
{
	for (uint8_t type = RAFT_PREVOTE; type < RAFT_MSG_TYPES; type++) {
		struct wire_message m = from_member;
		char name[32];

		m.type = type;
		m.commit = LAST;
		add_frame(b, 0, &m, SLICE(NULL, 0));
		m.term = 3;
		m.reject = 1;
		add_frame(b, 1, &m, SLICE(NULL, 0));
		snprintf(name, sizeof(name), "type-%u", type);
		seed(name, b);
	}
}

/* A leader of a later term has one more entry, then a bad one. */
static void
seed_append(struct buf *b)
{
	struct wire_message m = from_member;
	uint8_t header[ENTRY_HEADER_BYTES];
	struct buf entry, rest;

	buf_init(&entry, 4096);
	buf_init(&rest, 4096);
	entry_put_header(header, 1, 0);
	buf_add(&entry, header, sizeof(header));
	entry_add_noop(&entry);
	add_entry(&rest, 5, buf_slice(&entry));
	m.type = RAFT_APPEND;
	m.term = 5;
	m.n = 1;
	m.commit = LAST;
	add_frame(b, 0, &m, buf_slice(&rest));
	m.index = LAST + 1;
	m.log_term = 5;
	m.commit = LAST + 2;
	buf_reset(&entry);
	buf_reset(&rest);
	buf_add(&entry, header, sizeof(header));
	entry_add_create(&entry, 999, SLICE_LIT("bucket"), SLICE_LIT("stream"));
	add_entry(&rest, 5, buf_slice(&entry));
	add_frame(b, 0, &m, buf_slice(&rest));
	seed("append", b);
	buf_deinit(&rest);
	buf_deinit(&entry);
}

/* --- the host's ----------------------------------------------------------- */

static void
add_fill(
    struct buf *b, const struct wire_message *m, const struct fill_message *fm)
{
	uint8_t head[FILL_HEADER_BYTES];
	struct buf rest;

	buf_init(&rest, 1 << 20);
	fill_encode(head, fm);
	buf_add(&rest, head, sizeof(head));
	buf_add_slice(&rest, fm->bytes);
	add_frame(b, 0, m, buf_slice(&rest));
	buf_deinit(&rest);
}

/* Group 2, which the node does not have, as its leader would give it. */
static void
seed_fill(struct buf *b)
{
	struct wire_message m = {
	    .type = WIRE_FILL, .group = 2, .from = 1, .to = 9, .term = 1};
	struct memdisk *donor = frame_rig_found(3);
	struct fill_message fm = {.op = FILL_OFFER, .transfer = 77};
	uint8_t head[4];
	struct buf file, stream;

	buf_init(&file, 1 << 20);
	buf_init(&stream, 1 << 20);
	add_fill(b, &m, &fm);
	ASSERT(memdisk_read_all(
		   donor, "c/vnodes/2-1.0/manifest.00000001", &file) == 0);
	fm.op = FILL_MANIFEST;
	fm.b = file.n;
	fm.c = 1;
	fm.bytes = buf_slice(&file);
	add_fill(b, &m, &fm);
	buf_reset(&file);
	ASSERT(memdisk_read_all(donor,
		   "c/vnodes/2-1.0/"
		   "0000000000000001.0000000000000001.chunk",
		   &file) == 0);
	le_put32(head, (uint32_t)file.n);
	buf_add(&stream, head, sizeof(head));
	buf_add_slice(&stream, buf_slice(&file));
	fm = (struct fill_message){
	    .op = FILL_CHUNKS, .transfer = 77, .bytes = buf_slice(&stream)};
	add_fill(b, &m, &fm);
	seed("fill", b);
	fm = (struct fill_message){.op = FILL_OFFER, .transfer = 77};
	add_fill(b, &m, &fm);
	fm.op = FILL_MANIFEST; /* of no bytes */
	add_fill(b, &m, &fm);
	seed("fill-empty", b);
	m = from_member;
	m.type = WIRE_FILL;
	for (uint32_t op = FILL_OFFER; op <= FILL_FAILED; op++)
		add_fill(b, &m,
		    &(struct fill_message){
			.op = (enum fill_op)op, .transfer = 78, .d = 4096});
	seed("fill-ops", b);
	buf_deinit(&file);
	buf_deinit(&stream);
	memdisk_free(donor);
}

void
seed_frames(void)
{
	struct wire_message m = from_member;
	struct buf b;

	buf_init(&b, 1 << 20);
	seed_core(&b);
	seed_append(&b);
	m.type = WIRE_NO_REPLICA;
	add_frame(&b, 0, &m, SLICE(NULL, 0));
	m.type = WIRE_REMOVED;
	m.index = LAST + 5;
	add_frame(&b, 0, &m, SLICE(NULL, 0));
	add_frame(&b, 1, &m, SLICE(NULL, 0));
	seed("host", &b);
	seed_fill(&b);
	buf_deinit(&b);
}
