/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * jvalue_parse - the tree of a text that is known to be JSON.
 *
 * As json_check has taken the text, nothing is checked here but what keeps
 * other bytes from doing harm.  Values that are read lie on a stack; a bracket
 * that closes moves those since its opening into a vector of their own.
 */
#include "http/jtext.h"
#include "http/jvalue_impl.h"
#include "src/base/err.h"
#include "src/base/json.h"
#include "src/base/mem.h"

#define STACK_VALUES 64

/* A container that is open. */
struct level {
	struct jvalue head; /* its type and its name */
	uint32_t from;      /* its first item on the stack */
};

struct parser {
	struct jpool *pool;
	struct slice in;
	struct jvalue *stack;
	uint64_t n, cap;
	uint32_t depth;
	struct level levels[JSON_MAX_DEPTH];
	struct jvalue name; /* of the value that comes: only its name is set */
	int has_name;
};

static int
invalid(struct parser *ps)
{
	if (!ps->pool->error)
		ps->pool->error = JVALUE_E_INVALID;
	return ps->pool->error;
}

static void
skip(struct parser *ps, size_t n)
{
	ps->in = SLICE(ps->in.p + n, ps->in.n - n);
}

/* One more value, with the name that stands before it. */
static void
push(struct parser *ps, struct jvalue v)
{
	if (jpool_work(ps->pool, 1))
		return;
	if (ps->n == ps->cap) {
		uint64_t cap = ps->cap * 2;
		void *p = mem_realloc(ps->stack, cap * sizeof(v));

		if (!p) {
			ps->pool->error = -ERR_NOMEM;
			return;
		}
		ps->stack = p;
		ps->cap = cap;
	}
	/* What cannot be moved to the pool later is not taken at all. */
	if (ps->n >= ps->pool->values_left) {
		ps->pool->error = JVALUE_E_LIMIT;
		return;
	}
	ps->stack[ps->n++] = v;
}

static struct jvalue
take_name(struct parser *ps)
{
	struct jvalue v = ps->name;

	ps->name = (struct jvalue){0};
	ps->has_name = 0;
	return v;
}

/* --- objects: the last of each name --------------------------------------- */

#define FEW_MEMBERS 8

static struct slice
name_of(const struct jvalue *v)
{
	return SLICE(v->name, v->name_n);
}

/* By names, and those of one name as they stand. */
static int
compare_names(const void *a, const void *b)
{
	const struct jvalue *x = *(struct jvalue *const *)a;
	const struct jvalue *y = *(struct jvalue *const *)b;
	int r = x->name_escaped || y->name_escaped
		    ? jtext_compare(name_of(x), name_of(y))
		    : slice_compare(name_of(x), name_of(y));

	return r ? r : x < y ? -1 : x > y;
}

/* What is not the last of its name gets type UINT8_MAX. */
static void
mark_few(struct jvalue *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = i + 1; k < n; k++)
			if (jtext_equal(name_of(&v[i]), name_of(&v[k])))
				v[i].type = UINT8_MAX;
}

static int
mark_many(struct jvalue *v, uint32_t n)
{
	struct jvalue **order = mem_calloc(n, sizeof(struct jvalue *));

	if (!order)
		return -ERR_NOMEM;
	for (uint32_t i = 0; i < n; i++)
		order[i] = &v[i];
	qsort(order, n, sizeof(struct jvalue *), compare_names);
	for (uint32_t i = 0; i + 1 < n; i++)
		if (jtext_equal(name_of(order[i]), name_of(order[i + 1])))
			order[i]->type = UINT8_MAX;
	mem_free(order);
	return 0;
}

/* How many of the N members at V stay. */
static uint32_t
keep_last(struct jpool *p, struct jvalue *v, uint32_t n)
{
	uint32_t kept = 0;

	if (n <= FEW_MEMBERS)
		mark_few(v, n);
	else if (mark_many(v, n))
		p->error = -ERR_NOMEM;
	for (uint32_t i = 0; i < n; i++)
		if (v[i].type != UINT8_MAX)
			v[kept++] = v[i];
	return kept;
}

/* --- tokens --------------------------------------------------------------- */

static void
open_container(struct parser *ps, enum jvalue_type type)
{
	struct level *l = &ps->levels[ps->depth];

	skip(ps, 1);
	if (ps->depth == JSON_MAX_DEPTH) {
		invalid(ps);
		return;
	}
	l->head = take_name(ps);
	l->head.type = (uint8_t)type;
	l->from = (uint32_t)ps->n;
	ps->depth++;
}

static void
close_container(struct parser *ps)
{
	struct level *l;
	struct jvalue v;
	uint32_t n;

	skip(ps, 1);
	if (ps->depth == 0) {
		invalid(ps);
		return;
	}
	l = &ps->levels[--ps->depth];
	v = l->head;
	n = (uint32_t)ps->n - l->from;
	if (v.type == JVALUE_OBJECT)
		n = keep_last(ps->pool, ps->stack + l->from, n);
	v.items = jvalue_give(ps->pool, ps->stack + l->from, n);
	v.n = v.cap = n;
	ps->n = l->from;
	push(ps, v);
}

/* The text of the string at the start of the input. */
static struct slice
take_string(struct parser *ps)
{
	size_t n = 1;
	struct slice s;

	while (n < ps->in.n && ps->in.p[n] != '"')
		n += ps->in.p[n] == '\\' ? 2 : 1;
	if (n >= ps->in.n) {
		invalid(ps);
		return SLICE(NULL, 0);
	}
	s = SLICE(ps->in.p + 1, n - 1);
	skip(ps, n + 1);
	return s;
}

static void
string(struct parser *ps)
{
	struct slice s = take_string(ps);
	struct jvalue v;

	if (ps->depth && !ps->has_name &&
	    ps->levels[ps->depth - 1].head.type == JVALUE_OBJECT) {
		ps->name.name = s.p;
		ps->name.name_n = (uint32_t)s.n;
		ps->name.name_escaped = (uint8_t)jtext_has_escape(s);
		ps->has_name = 1;
		return;
	}
	v = take_name(ps);
	v.type = JVALUE_STRING;
	v.text = s.p;
	v.n = (uint32_t)s.n;
	push(ps, v);
}

/* A number or a literal: up to what cannot be part of one. */
static void
word(struct parser *ps)
{
	struct jvalue v = take_name(ps);
	size_t n = 1;

	while (n < ps->in.n && !strchr(",]} \t\r\n", ps->in.p[n]))
		n++;
	v.type = ps->in.p[0] >= 'a' ? JVALUE_LITERAL : JVALUE_NUMBER;
	v.text = ps->in.p;
	v.n = (uint32_t)n;
	skip(ps, n);
	push(ps, v);
}

static void
step(struct parser *ps)
{
	switch (ps->in.p[0]) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
	case ',':
	case ':':
		skip(ps, 1);
		break;
	case '[':
		open_container(ps, JVALUE_ARRAY);
		break;
	case '{':
		open_container(ps, JVALUE_OBJECT);
		break;
	case ']':
	case '}':
		close_container(ps);
		break;
	case '"':
		string(ps);
		break;
	default:
		word(ps);
	}
}

int
jvalue_parse(struct jpool *p, struct slice text, struct jvalue *out)
{
	struct parser *ps = mem_zalloc(sizeof(*ps));

	if (!ps)
		return p->error ? p->error : (p->error = -ERR_NOMEM);
	ps->pool = p;
	ps->in = text;
	ps->cap = STACK_VALUES;
	ps->stack = mem_calloc(ps->cap, sizeof(*ps->stack));
	if (!ps->stack)
		p->error = -ERR_NOMEM;
	while (ps->in.n && !p->error)
		step(ps);
	if (!p->error && (ps->depth || ps->n != 1))
		invalid(ps);
	if (!p->error)
		*out = ps->stack[0];
	mem_free(ps->stack);
	mem_free(ps);
	return p->error;
}
