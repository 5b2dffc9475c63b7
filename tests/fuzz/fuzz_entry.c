/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_entry - a log entry: it is read to its end or refused, and what was read
 * encodes to the same bytes, but for those that are reserved.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "vnode/entry.h"

void
fuzz_reseal(uint8_t *p, size_t n)
{
	reseal_entry(p, n);
}

static void
add(struct buf *b, const struct entry_command *c)
{
	struct entry_members m;
	struct raft_members view;

	switch (c->type) {
	case ENTRY_NOOP:
		entry_add_noop(b);
		break;
	case ENTRY_CREATE:
		entry_add_create(b, c->stream_id, c->bucket, c->stream);
		break;
	case ENTRY_APPEND:
		entry_add_append(b, c->stream_id, c->first_seq, c->n_events,
		    (uint32_t)c->records.n);
		buf_add_slice(b, c->records);
		break;
	case ENTRY_DELETE:
		entry_add_delete(b, c->stream_id);
		break;
	case ENTRY_MEMBERS:
		ASSERT(entry_decode_members(c->members, &m) == 0);
		view = entry_members_view(&m);
		entry_add_members(b, &view);
		break;
	case ENTRY_POLICIES:
		entry_add_policies(b, c->policies);
		break;
	case ENTRY_TICK:
		entry_add_tick(b);
		break;
	default:
		ASSERT_UNREACHED();
	}
}

/* Zeros where the format has them, and where nobody looks. */
static void
blank_reserved(uint8_t *p, size_t n)
{
	p[2] = p[3] = 0;
	for (size_t at = ENTRY_HEADER_BYTES; at < n;
	     at += ENTRY_COMMAND_BYTES + le_get32(p + at + 4))
		memset(p + at + 1, 0, 3);
}

static void
check_encoding(struct slice in, const struct buf *b)
{
	uint8_t *copy = mem_alloc(in.n);

	ASSERT(copy && buf_error(b) == 0);
	memcpy(copy, in.p, in.n);
	blank_reserved(copy, in.n);
	ASSERT(slice_equal(SLICE(copy, in.n), buf_slice(b)));
	mem_free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct entry_reader r;
	struct entry_command c;
	uint8_t header[ENTRY_HEADER_BYTES];
	struct entry_members members;
	uint32_t n_commands = 0;
	struct buf b;
	int x;

	x = entry_open(&r, SLICE(p, n));
	if (x) {
		ASSERT(x == -ERR_CORRUPT || x == -ERR_FORMAT);
		return 0;
	}
	buf_init(&b, 1u << 20);
	entry_put_header(header, r.n_left, r.clock_ms);
	buf_add(&b, header, sizeof(header));
	while ((x = entry_next(&r, &c)) == 0) {
		n_commands++;
		ASSERT(n_commands <= n / ENTRY_COMMAND_BYTES);
		add(&b, &c);
	}
	/* What can be read can be told from the other kinds. */
	ASSERT(x != ENTRY_E_END || n_commands == 0 ||
	       entry_kind(SLICE(p, n), &members) > 0);
	if (x == ENTRY_E_END)
		check_encoding(SLICE(p, n), &b);
	else
		ASSERT(x == -ERR_CORRUPT || x == -ERR_FORMAT);
	buf_deinit(&b);
	return 0;
}
