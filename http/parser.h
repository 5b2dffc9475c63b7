/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * parser - strict incremental HTTP/1.x requests, as a pure step function.
 *
 * Owns:    nothing.  Spans are offsets into the caller's bytes, which may move
 *          between calls but stay contiguous from the start of the head.
 * Shape:   the same bytes in any pieces give the same result, reason included.
 * Errors:  an HTTP status; the connection cannot go on after one.
 *
 * What two servers could read differently is refused (RFC 9112 section 11.2).
 * Where the RFC leaves a choice:
 *   Content-Length       equal duplicates are accepted, a list (`5, 5`) is 400
 *   Transfer-Encoding    once, exactly `chunked`; all else is 400, also the
 *                        codings for which 501 would be allowed
 *   HTTP/1.2 and up      505, like any version that is not 1.0 or 1.1
 *   target               visible ASCII without `#`; absolute-form becomes its
 *                        path; an authority followed by `?` is 400
 *   Host                 may be empty (RFC 9112 section 3.2); no user, no
 *                        blanks, the port is up to five digits
 *   blank lines          up to two before a request line
 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <stdint.h>

#include "src/base/buf.h"

#define PARSER_LINE_MAX       (16u << 10) /* request line without CRLF: 414 */
#define PARSER_BLOCK_MAX      (64u << 10) /* headers and blank line: 431 */
#define PARSER_HEADERS_MAX    100
#define PARSER_CHUNK_LINE_MAX 256         /* size and extensions */
#define PARSER_EXTENSIONS_MAX (64u << 10) /* all of a body's together */
#define PARSER_TRAILERS_MAX   (8u << 10)

struct parser_span {
	uint32_t at, n;
};

struct parser_header {
	struct parser_span name, value;
};

/* A whole head.  Offsets count from the first byte given to parser_head_step.
 */
struct parser_head {
	struct parser_span method, target;
	int minor; /* HTTP/1.MINOR */
	uint32_t n_headers;
	struct parser_header headers[PARSER_HEADERS_MAX];
	uint32_t bytes;          /* of the head, the blank line included */
	uint64_t content_length; /* 0 unless has_length */
	uint8_t has_length, chunked, has_host;
	uint8_t keep_alive, expect_continue;
	uint8_t upgrade;    /* Connection says so; never in HTTP/1.0 */
	uint8_t started;    /* a byte of a request line was seen */
	int status;         /* of the error */
	const char *reason; /* of the error; static */
	/* where to go on */
	uint32_t line_at, scan_at, block_at;
	uint8_t in_headers, says_close, says_keep_alive;
};

enum parser_result {
	PARSER_MORE,
	PARSER_DONE,
	PARSER_ERROR, /* head->status, head->reason */
};

void parser_head_init(struct parser_head *h);
/*
 * IN begins where it began in the calls before, with the same bytes, and is not
 * shorter.  DONE leaves what stands behind the head alone.  After DONE or ERROR
 * comes parser_head_init.
 */
enum parser_result parser_head_step(struct parser_head *h, struct slice in);

/* The value of the header NAME (lower case), or {NULL, 0}; the first of
 * several. */
struct slice parser_header_find(
    const struct parser_head *h, const uint8_t *base, const char *name);
/* How often it is there. */
uint32_t parser_header_count(
    const struct parser_head *h, const uint8_t *base, const char *name);
struct slice parser_slice(const uint8_t *base, struct parser_span s);

/* Chunked bodies: parser_chunked.c. */
struct parser_chunked {
	uint8_t state;
	uint8_t digits;
	uint32_t line_bytes, extension_bytes, trailer_bytes;
	uint64_t left; /* of this chunk's data */
};

void parser_chunked_init(struct parser_chunked *c);
/*
 * Decodes from IN: *USED bytes were consumed, of which the run *DATA (maybe
 * empty) is body.  Call again until it says DONE, or MORE with everything
 * consumed.  Trailers are checked and dropped.  ERROR is 400, and final.
 */
enum parser_result parser_chunked_step(struct parser_chunked *c,
    struct slice in, size_t *used, struct slice *data);

#endif
