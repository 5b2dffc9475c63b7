/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* seeds_sealed - messages to the port between nodes, for fuzz_sealed.c. */
#include "src/base/le.h"
#include "src/os/pieces.h"
#include "src/os/seal.h"
#include "tests/fuzz/seeds.h"

static void
add_item(struct buf *b, uint8_t op, uint8_t number, struct slice body)
{
	uint8_t head[8] = {op, number};

	le_put32(head + 4, (uint32_t)body.n);
	buf_add(b, head, sizeof(head));
	buf_add_slice(b, body);
}

static void
add_piece(
    struct buf *b, uint64_t number, const char *text, uint32_t at, uint32_t n)
{
	struct piece_head h = {number, (uint32_t)strlen(text), at};
	uint8_t body[PIECE_HEAD_BYTES + 64];

	piece_put_head(body, &h);
	memcpy(body + PIECE_HEAD_BYTES, text + at, n);
	add_item(b, SEAL_PIECE, 0, SLICE(body, PIECE_HEAD_BYTES + n));
}

/* N frames, of which the last says that it has MORE bytes than there are. */
static void
add_bundle(struct buf *b, uint32_t n, uint32_t more)
{
	static const char text[] = "frame after frame";
	uint8_t body[8 * 32] = {0}, *p = body;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t bytes = 5 * i % sizeof(text);

		le_put32(p, bytes + (i + 1 == n ? more : 0));
		memcpy(p + 8, text, bytes);
		p += 8 + (bytes + 7) / 8 * 8;
	}
	add_item(b, SEAL_BUNDLE, 3, SLICE(body, (size_t)(p - body)));
}

/* The body of a hello, as net_hello.c describes it. */
static void
add_hello(struct buf *b, uint8_t op, uint8_t challenge, uint8_t echo)
{
	static const char texts[] = "\0\x0b"
				    "127.0.0.1:1\x0b"
				    "m@127.0.0.1\x53\x1f";
	uint8_t body[32 + sizeof(texts) - 1];

	memset(body, challenge, 16);
	memset(body + 16, echo, 16);
	memcpy(body + 32, texts, sizeof(texts) - 1);
	add_item(b, op, 7, SLICE(body, sizeof(body)));
}

void
seed_sealed(void)
{
	struct buf b;

	buf_init(&b, 65536);
	add_item(&b, SEAL_FRAME, 0, SLICE_LIT("a frame"));
	add_item(&b, SEAL_FRAME | 128, 1, SLICE_LIT("twice"));
	add_item(&b, SEAL_FRAME | 64, 1, SLICE_LIT("another boot"));
	add_item(&b, SEAL_FRAME | 32, 2, SLICE_LIT("as a stranger"));
	add_item(&b, 0, 0, SLICE_LIT("IONF\1\2 as it is"));
	seed_write("sealed", "frames", buf_slice(&b), NULL);
	buf_reset(&b);

	add_piece(&b, 1, "a frame in three", 0, 5);
	add_piece(&b, 1, "a frame in three", 5, 5);
	add_piece(&b, 1, "a frame in three", 10, 6);
	add_piece(&b, 2, "that is left", 0, 5);
	add_piece(&b, 3, "for another", 0, 11);
	seed_write("sealed", "pieces", buf_slice(&b), NULL);
	buf_reset(&b);

	add_bundle(&b, 6, 0);
	add_bundle(&b, 3, 8);
	add_bundle(&b, 2, 0xfffffff0);
	add_item(&b, SEAL_BUNDLE | 16 | 32, 7,
	    SLICE_LIT("\4\0\0\0\0\0\0\0told\0\0\0\0"));
	add_item(&b, SEAL_BUNDLE, 3, SLICE_LIT(""));
	seed_write("sealed", "bundles", buf_slice(&b), NULL);
	buf_reset(&b);

	add_hello(&b, SEAL_HELLO, 1, 0);
	add_hello(&b, SEAL_HELLO | 16, 1, 0);
	add_hello(&b, SEAL_HELLO | 16, 0x11, 0x5a);
	add_hello(&b, SEAL_HELLO | 64, 0, 1);
	add_item(&b, SEAL_FRAME | 16 | 32, 7, SLICE_LIT("told"));
	seed_write("sealed", "hellos", buf_slice(&b), NULL);
	buf_deinit(&b);
}
