/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * buf - borrowed slices, growing bytes, and refcounted blocks.
 *
 * slice   borrowed bytes; who lends them says until when.
 * buf     bytes owned by one holder, growing up to a cap; adding after a failed
 *         allocation keeps failing, so a sequence of adds is checked once, with
 *         buf_error(), at its end.
 * block   a heap block shared by count.  What lies below `n` never changes, so
 *         any thread that got it through a mailbox may read it without a lock;
 *         one holder may go on writing behind `n`.
 */
#ifndef SRC_BASE_BUF_H
#define SRC_BASE_BUF_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
	const uint8_t *p;
	size_t n;
};

#define SLICE(ptr, len) ((struct slice){(const uint8_t *)(ptr), (len)})
#define SLICE_STR(s)    SLICE(s, strlen(s))
#define SLICE_LIT(s)    SLICE(s, sizeof(s) - 1)

int slice_equal(struct slice a, struct slice b);
/* Bytewise order, a prefix before what it begins; < 0, 0, > 0. */
int slice_compare(struct slice a, struct slice b);
/* A copy of S at *AT, which moves behind it. */
struct slice slice_put(uint8_t **at, struct slice s);

struct buf {
	uint8_t *p;
	size_t n, cap;
	size_t max; /* inclusive */
	int error;  /* 0, -ERR_NOMEM or -ERR_LIMIT; sticky */
};

void buf_init(struct buf *b, size_t max);
void buf_deinit(struct buf *b);
/* Forgets content and error, keeps the memory. */
void buf_reset(struct buf *b);
int buf_error(const struct buf *b);
/* Room for N more bytes; NULL after an error.  Commit them with b->n += used.
 */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_slice(struct buf *b, struct slice s);
void buf_add_str(struct buf *b, const char *s);
void buf_add_byte(struct buf *b, uint8_t c);
void buf_add_u64(struct buf *b, uint64_t v); /* decimal digits */
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* S as a JSON string with its quotes; S is valid UTF-8. */
void buf_add_json_string(struct buf *b, struct slice s);
struct slice buf_slice(const struct buf *b);

struct block {
	atomic_uint refs;
	uint32_t n;   /* bytes in use */
	uint32_t cap; /* bytes there are */
	uint8_t p[];
};

/* A block with one reference and room for CAP bytes, or NULL. */
struct block *block_new(uint32_t cap);
struct block *block_ref(struct block *b);
/* Takes NULL and returns NULL. */
struct block *block_unref(struct block *b);

#endif
