/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * json - yajl's parser, made strict.
 *
 * What yajl 2.1 does not refuse is refused before it runs: UTF-8 that is
 * overlong, a surrogate or too high, and form feed and vertical tab, which it
 * takes for white space.  It refuses both inside strings itself, so they are
 * refused wherever they stand.
 *
 * No callback takes strings or numbers, so yajl neither decodes the one nor
 * converts the other; a number may have any size.
 *
 * A line end is parsed behind the text: behind a whole value yajl overlooks a
 * token that the text cuts off (`{} "a`), and no token goes on over a line end.
 *
 * yajl uses what its allocator returns without looking, so an allocation that
 * fails leaves through longjmp.  Nothing is lost: all it got lies in the arena,
 * which is emptied after each text.
 */
#include "src/base/json.h"

#include <setjmp.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/utf8.h"

/* yajl takes some 2.5 KiB, most of it for a token cut by the end of text. */
#define ARENA_BYTES 4096
#define ARENA_ALIGN 16

/* Stands before each allocation. */
struct piece {
	size_t n;           /* bytes behind it */
	struct piece *next; /* of those on the heap */
};

struct json_checker {
	yajl_alloc_funcs funcs;
	jmp_buf no_memory;
	unsigned depth, max_depth;
	struct piece *heap; /* what did not fit in the arena */
	size_t used;
	_Alignas(ARENA_ALIGN) uint8_t arena[ARENA_BYTES];
};

_Static_assert(sizeof(struct piece) % ARENA_ALIGN == 0, "alignment is kept");

static void *
arena_alloc(void *arg, size_t n)
{
	struct json_checker *c = arg;
	size_t need = sizeof(struct piece) + n;
	struct piece *piece;

	need = (need + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (need < n)
		longjmp(c->no_memory, 1);
	if (need <= ARENA_BYTES - c->used) {
		piece = (struct piece *)(void *)(c->arena + c->used);
		c->used += need;
	} else {
		piece = mem_alloc(need);
		if (!piece)
			longjmp(c->no_memory, 1);
		piece->next = c->heap;
		c->heap = piece;
	}
	piece->n = n;
	return piece + 1;
}

static void *
arena_realloc(void *arg, void *p, size_t n)
{
	void *new = arena_alloc(arg, n);

	if (p) {
		size_t old = ((struct piece *)p)[-1].n;

		memcpy(new, p, old < n ? old : n);
	}
	return new;
}

static void
arena_free(void *arg, void *p)
{
	(void)arg; /* arena_reset does it */
	(void)p;
}

static void
arena_reset(struct json_checker *c)
{
	while (c->heap) {
		struct piece *next = c->heap->next;

		mem_free(c->heap);
		c->heap = next;
	}
	c->used = 0;
}

static int
on_open(void *arg)
{
	struct json_checker *c = arg;

	return ++c->depth <= c->max_depth;
}

static int
on_close(void *arg)
{
	struct json_checker *c = arg;

	c->depth--;
	return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_start_map = on_open,
    .yajl_end_map = on_close,
    .yajl_start_array = on_open,
    .yajl_end_array = on_close,
};

struct json_checker *
json_checker_new(void)
{
	struct json_checker *c = mem_alloc(sizeof(*c));

	if (!c)
		return NULL;
	c->funcs = (yajl_alloc_funcs){
	    .malloc = arena_alloc,
	    .realloc = arena_realloc,
	    .free = arena_free,
	    .ctx = c,
	};
	c->heap = NULL;
	c->used = 0;
	return c;
}

struct json_checker *
json_checker_free(struct json_checker *c)
{
	return mem_free(c);
}

static int
fail(struct json_error *err, int cond, size_t offset, const char *text)
{
	if (err) {
		err->offset = offset;
		snprintf(err->text, sizeof(err->text), "%.*s",
		    (int)strcspn(text, "\n"), text);
	}
	return cond;
}

static int
check_bytes(struct slice text, struct json_error *err)
{
	size_t at = utf8_check(text.p, text.n);
	const uint8_t *c = memchr(text.p, '\f', at);

	if (!c)
		c = memchr(text.p, '\v', at);
	if (c)
		return fail(err, JSON_E_INVALID, (size_t)(c - text.p),
		    "control character");
	if (at < text.n)
		return fail(err, JSON_E_INVALID, at, "invalid UTF-8");
	return 0;
}

static int
parse(struct json_checker *c, struct slice text, struct json_error *err)
{
	yajl_handle h = yajl_alloc(&callbacks, &c->funcs, c);
	yajl_status status;
	size_t offset;

	/* utf8_check was stricter, and has been over all of it. */
	yajl_config(h, yajl_dont_validate_strings, 1);
	status = yajl_parse(h, text.p, text.n);
	offset = yajl_get_bytes_consumed(h);
	if (status == yajl_status_ok) {
		status = yajl_parse(h, (const unsigned char *)"\n", 1);
		offset = text.n;
	}
	if (status == yajl_status_ok)
		status = yajl_complete_parse(h);
	if (status == yajl_status_ok)
		return 0;
	if (status == yajl_status_client_canceled)
		return fail(err, JSON_E_DEPTH, offset - 1, "nested too deeply");
	if (!err)
		return JSON_E_INVALID;
	return fail(err, JSON_E_INVALID, offset,
	    (const char *)yajl_get_error(h, 0, NULL, 0));
}

int
json_check(struct json_checker *c, struct slice text, unsigned max_depth,
    struct json_error *err)
{
	int r;

	if (text.n == 0)
		return fail(err, JSON_E_INVALID, 0, "no value");
	r = check_bytes(text, err);
	if (r != 0)
		return r;
	c->depth = 0;
	c->max_depth = max_depth;
	if (setjmp(c->no_memory) == 0)
		r = parse(c, text, err);
	else
		r = -ERR_NOMEM;
	arena_reset(c);
	return r;
}

int
json_has_newline(struct slice text)
{
	return text.n > 0 &&
	       (memchr(text.p, '\n', text.n) || memchr(text.p, '\r', text.n));
}
