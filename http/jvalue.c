/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * jvalue - a JSON value as a tree.
 *
 * Items of a container lie next to each other in a vector of the pool.  One
 * that becomes too short is left for one half as long again, and is lost until
 * the pool goes; so is what is removed.  No item is in two containers.
 *
 * Recursion: JSON_MAX_DEPTH frames at most, as no tree is deeper.
 */
#include "http/jvalue_impl.h"

#include "http/jtext.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define BLOCK_BYTES (32u << 10)

struct jpool_block {
	struct jpool_block *next;
	size_t used, cap;
	_Alignas(struct jvalue) uint8_t bytes[];
};

/* --- pools ---------------------------------------------------------------- */

void
jpool_init(struct jpool *p, uint64_t max_values, uint64_t max_work)
{
	*p = (struct jpool){.values_left = max_values, .work_left = max_work};
}

void
jpool_deinit(struct jpool *p)
{
	while (p->blocks) {
		struct jpool_block *next = p->blocks->next;

		mem_free(p->blocks);
		p->blocks = next;
	}
}

static void
fail(struct jpool *p, int r)
{
	if (!p->error)
		p->error = r;
}

int
jpool_work(struct jpool *p, uint64_t n)
{
	if (n > p->work_left) {
		p->work_left = 0;
		fail(p, JVALUE_E_LIMIT);
	} else {
		p->work_left -= n;
	}
	return p->error;
}

/* Room for N items, or NULL. */
static struct jvalue *
give(struct jpool *p, uint64_t n)
{
	struct jpool_block *b = p->blocks;
	size_t need = n * sizeof(struct jvalue), cap;
	uint8_t *at;

	if (n > p->values_left)
		fail(p, JVALUE_E_LIMIT);
	if (p->error)
		return NULL;
	if (!b || b->cap - b->used < need) {
		cap = need > BLOCK_BYTES ? need : BLOCK_BYTES;
		b = mem_alloc(sizeof(*b) + cap);
		if (!b) {
			fail(p, -ERR_NOMEM);
			return NULL;
		}
		*b = (struct jpool_block){.next = p->blocks, .cap = cap};
		p->blocks = b;
	}
	at = b->bytes + b->used;
	b->used += need;
	p->values_left -= n;
	return (struct jvalue *)(void *)at;
}

struct slice
jpool_text(struct jpool *p, struct slice s)
{
	struct jvalue *at = give(p, s.n / sizeof(*at) + 1);

	if (!at)
		return SLICE(NULL, 0);
	if (s.n)
		memcpy(at, s.p, s.n);
	return SLICE(at, s.n);
}

struct jvalue *
jvalue_give(struct jpool *p, const struct jvalue *items, uint32_t n)
{
	struct jvalue *to = n ? give(p, n) : NULL;

	if (to)
		memcpy(to, items, n * sizeof(*to));
	return to;
}

/* --- members and items ---------------------------------------------------- */

static int
has_name(
    struct jpool *p, const struct jvalue *v, struct slice name, int escaped)
{
	struct slice own = SLICE(v->name, v->name_n);

	if (own.n == name.n) {
		if (jpool_work(p, own.n / 16))
			return 0;
		if (slice_equal(own, name))
			return 1;
	}
	if (!escaped && !v->name_escaped)
		return 0;
	jpool_work(p, (own.n + name.n) / 2);
	return jtext_equal(own, name);
}

struct jvalue *
jvalue_find(
    struct jpool *p, struct jvalue *object, struct slice name, uint32_t *hint)
{
	int escaped = jtext_has_escape(name);
	uint32_t n = object->n, from = hint && *hint < n ? *hint : 0;

	ASSERT(object->type == JVALUE_OBJECT);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = from + i < n ? from + i : from + i - n;

		if (jpool_work(p, 1))
			return NULL;
		if (!has_name(p, &object->items[at], name, escaped))
			continue;
		if (hint)
			*hint = at + 1;
		return &object->items[at];
	}
	return NULL;
}

struct jvalue *
jvalue_insert(struct jpool *p, struct jvalue *v, uint32_t at)
{
	ASSERT(jvalue_is_container(v) && at <= v->n);
	if (jpool_work(p, 1 + v->n - at))
		return NULL;
	if (v->n == v->cap) {
		uint64_t cap = (uint64_t)v->n + v->n / 2 + 4;
		struct jvalue *items = give(p, cap);

		if (!items || jpool_work(p, v->n))
			return NULL;
		if (v->n)
			memcpy(items, v->items, v->n * sizeof(*items));
		v->items = items;
		v->cap = (uint32_t)cap;
	}
	memmove(
	    v->items + at + 1, v->items + at, (v->n - at) * sizeof(*v->items));
	v->n++;
	v->items[at] = (struct jvalue){0};
	return &v->items[at];
}

void
jvalue_remove(struct jpool *p, struct jvalue *v, uint32_t at)
{
	ASSERT(jvalue_is_container(v) && at < v->n);
	jpool_work(p, v->n - at);
	v->n--;
	memmove(
	    v->items + at, v->items + at + 1, (v->n - at) * sizeof(*v->items));
}

void
jvalue_set(struct jvalue *to, const struct jvalue *from)
{
	struct jvalue old = *to;

	*to = *from;
	to->name = old.name;
	to->name_n = old.name_n;
	to->name_escaped = old.name_escaped;
}

/* --- whole trees ---------------------------------------------------------- */

static void
copy_items(struct jpool *p, struct jvalue *v)
{
	struct jvalue *items;

	if (!jvalue_is_container(v) || jpool_work(p, v->n))
		return;
	items = jvalue_give(p, v->items, v->n);
	v->items = items;
	v->cap = v->n;
	if (p->error)
		v->n = v->cap = 0;
	for (uint32_t i = 0; i < v->n; i++)
		copy_items(p, &v->items[i]);
}

struct jvalue
jvalue_copy(struct jpool *p, const struct jvalue *from)
{
	struct jvalue v = {0};

	jvalue_set(&v, from);
	copy_items(p, &v);
	return v;
}

uint32_t
jvalue_height(struct jpool *p, const struct jvalue *v)
{
	uint32_t most = 0;

	if (!jvalue_is_container(v) || jpool_work(p, 1 + v->n))
		return 0;
	for (uint32_t i = 0; i < v->n; i++) {
		uint32_t n = jvalue_height(p, &v->items[i]);

		most = n > most ? n : most;
	}
	return most + 1;
}

static int
equal_members(struct jpool *p, struct jvalue *a, struct jvalue *b)
{
	uint32_t hint = 0;

	for (uint32_t i = 0; i < a->n; i++) {
		struct jvalue *x = &a->items[i], *y;

		y = jvalue_find(p, b, SLICE(x->name, x->name_n), &hint);
		if (!y || !jvalue_equal(p, x, y))
			return 0;
	}
	return 1;
}

int
jvalue_equal(struct jpool *p, struct jvalue *a, struct jvalue *b)
{
	if (a->type != b->type || jpool_work(p, 1))
		return 0;
	if (!jvalue_is_container(a)) {
		jpool_work(p, (a->n + b->n) / 2);
		return a->type == JVALUE_NUMBER
			   ? jtext_number_equal(jvalue_text(a), jvalue_text(b))
			   : jtext_equal(jvalue_text(a), jvalue_text(b));
	}
	if (a->n != b->n)
		return 0;
	if (a->type == JVALUE_OBJECT)
		return equal_members(p, a, b);
	for (uint32_t i = 0; i < a->n; i++)
		if (!jvalue_equal(p, &a->items[i], &b->items[i]))
			return 0;
	return 1;
}

static void
write_string(struct buf *b, struct slice text)
{
	buf_add_byte(b, '"');
	buf_add_slice(b, text);
	buf_add_byte(b, '"');
}

void
jvalue_write(const struct jvalue *v, struct buf *b)
{
	int object = v->type == JVALUE_OBJECT;

	if (buf_error(b))
		return;
	if (v->type == JVALUE_STRING) {
		write_string(b, jvalue_text(v));
		return;
	}
	if (!jvalue_is_container(v)) {
		buf_add_slice(b, jvalue_text(v));
		return;
	}
	buf_add_byte(b, object ? '{' : '[');
	for (uint32_t i = 0; i < v->n; i++) {
		const struct jvalue *item = &v->items[i];

		if (i)
			buf_add_byte(b, ',');
		if (object) {
			write_string(b, SLICE(item->name, item->name_n));
			buf_add_byte(b, ':');
		}
		jvalue_write(item, b);
	}
	buf_add_byte(b, object ? '}' : ']');
}
