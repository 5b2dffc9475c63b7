/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* buf - borrowed slices, growing bytes, and refcounted blocks. */
#include "src/base/buf.h"

#include <stdarg.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define BUF_FIRST_BYTES 256

int
slice_equal(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int
slice_compare(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? r : (a.n > b.n) - (a.n < b.n);
}

struct slice
slice_put(uint8_t **at, struct slice s)
{
	struct slice copy = SLICE(*at, s.n);

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_deinit(struct buf *b)
{
	b->p = mem_free(b->p);
	b->n = b->cap = 0;
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->error = 0;
}

int
buf_error(const struct buf *b)
{
	return b->error;
}

static int
grow(struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;
	uint8_t *p;

	if (need > b->max)
		return -ERR_LIMIT;
	while (cap < need)
		cap *= 2;
	if (cap > b->max)
		cap = b->max;
	p = mem_realloc(b->p, cap);
	if (!p)
		return -ERR_NOMEM;
	b->p = p;
	b->cap = cap;
	return 0;
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	size_t need;

	if (b->error)
		return NULL;
	if (__builtin_add_overflow(b->n, n, &need))
		b->error = -ERR_LIMIT;
	else if (need > b->cap || !b->p) /* NULL says that it failed */
		b->error = grow(b, need);
	return b->error ? NULL : b->p + b->n;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	uint8_t *to = n ? buf_reserve(b, n) : NULL;

	if (!to)
		return;
	memcpy(to, p, n);
	b->n += n;
}

void
buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.p, s.n);
}

void
buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_add_byte(struct buf *b, uint8_t c)
{
	buf_add(b, &c, 1);
}

void
buf_add_u64(struct buf *b, uint64_t v)
{
	uint8_t digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (uint8_t)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_add(b, digits + at, sizeof(digits) - at);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap, again;
	int n;
	uint8_t *to;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	ASSERT(n >= 0);
	if ((size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
	} else if ((to = buf_reserve(b, (size_t)n + 1))) {
		vsnprintf((char *)to, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
	va_end(ap);
}

static void
add_escaped(struct buf *b, uint8_t c)
{
	static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (size_t i = 0; i + 1 < sizeof(named); i += 2) {
		if ((uint8_t)named[i] == c) {
			buf_add_byte(b, '\\');
			buf_add_byte(b, (uint8_t)named[i + 1]);
			return;
		}
	}
	buf_printf(b, "\\u%04x", c);
}

void
buf_add_json_string(struct buf *b, struct slice s)
{
	size_t from = 0;

	buf_add_byte(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		buf_add(b, s.p + from, i - from);
		add_escaped(b, c);
		from = i + 1;
	}
	buf_add(b, s.p + from, s.n - from);
	buf_add_byte(b, '"');
}

struct slice
buf_slice(const struct buf *b)
{
	return SLICE(b->p, b->n);
}

struct block *
block_new(uint32_t cap)
{
	struct block *b = mem_alloc(sizeof(*b) + cap);

	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->n = 0;
	b->cap = cap;
	return b;
}

struct block *
block_ref(struct block *b)
{
	ASSERT(b);
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

struct block *
block_unref(struct block *b)
{
	if (b &&
	    atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		mem_free(b);
	return NULL;
}
