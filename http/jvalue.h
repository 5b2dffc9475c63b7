/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * jvalue - a JSON value as a tree, to be changed and written again.
 *
 * What is not changed keeps its text: numbers their digits, strings their
 * escapes.  Space between tokens is lost, and of members of one name only the
 * last one stays.
 *
 * Owns:    a pool owns all items; texts are borrowed from what was parsed.
 * Shape:   no value has more than JSON_MAX_DEPTH arrays and objects inside each
 *          other, so recursion over one is bounded.
 * Bound:   a pool gives so many items and no more, and counts what is looked
 *          at: see jpool_init.  Once a bound is met or memory is missing, its
 *          `error` is set, and what is asked of it is answered somehow.
 * Thread:  one at a time.
 */
#ifndef HTTP_JVALUE_H
#define HTTP_JVALUE_H

#include <stdint.h>

#include "src/base/buf.h"

enum jvalue_type {
	JVALUE_LITERAL, /* null, true, false */
	JVALUE_NUMBER,
	JVALUE_STRING,
	JVALUE_ARRAY,
	JVALUE_OBJECT,
};

struct jvalue {
	uint8_t type;
	uint8_t name_escaped; /* the name has an escape */
	uint32_t n;           /* bytes of text, or items */
	uint32_t cap;         /* items that there is room for */
	uint32_t name_n;
	const uint8_t *name; /* of a member: its text (jtext.h) */
	union {
		const uint8_t *text; /* of a string without its quotes */
		struct jvalue *items;
	};
};

/* Positive: in `error` of a pool. */
enum jvalue_cond {
	JVALUE_E_INVALID = 1, /* no JSON value, or nested too deeply */
	JVALUE_E_LIMIT,       /* too many values, too much work */
};

struct jpool {
	struct jpool_block *blocks;
	uint64_t values_left, work_left;
	int error; /* 0, JVALUE_E_*, -ERR_NOMEM; sticky */
};

/*
 * MAX_VALUES: items that it ever gives, those that were let go included; 32
 * bytes each.  MAX_WORK: steps, each of which looks at an item, moves one, or
 * compares some bytes; a few nanoseconds.
 */
void jpool_init(struct jpool *p, uint64_t max_values, uint64_t max_work);
void jpool_deinit(struct jpool *p);
/* N steps; 0, or the pool's error. */
int jpool_work(struct jpool *p, uint64_t n);
/* A copy of S, for as long as the pool is there. */
struct slice jpool_text(struct jpool *p, struct slice s);

/* TEXT, which json_check has taken; borrowed as long as the tree.  0 or the
 * pool's error. */
int jvalue_parse(struct jpool *p, struct slice text, struct jvalue *out);

static inline int
jvalue_is_container(const struct jvalue *v)
{
	return v->type >= JVALUE_ARRAY;
}

static inline struct slice
jvalue_text(const struct jvalue *v)
{
	return SLICE(v->text, v->n);
}

/* Member NAME of OBJECT, or NULL.  With HINT it is looked for from item *HINT
 * on, and *HINT moves behind it: members in the order of before cost nothing.
 */
struct jvalue *jvalue_find(
    struct jpool *p, struct jvalue *object, struct slice name, uint32_t *hint);
/* Room for an item at AT of V, whose others move up: to be written by the
 * caller, its name too.  NULL: the pool's error. */
struct jvalue *jvalue_insert(struct jpool *p, struct jvalue *v, uint32_t at);
/* The item at AT of V goes; the others move down. */
void jvalue_remove(struct jpool *p, struct jvalue *v, uint32_t at);
/* TO becomes what FROM is, but keeps its name. */
void jvalue_set(struct jvalue *to, const struct jvalue *from);
/* A copy that shares nothing with FROM but texts, without a name. */
struct jvalue jvalue_copy(struct jpool *p, const struct jvalue *from);
/* How many arrays and objects are inside each other, V included. */
uint32_t jvalue_height(struct jpool *p, const struct jvalue *v);
/* Equal as RFC 6902 section 4.6 has it. */
int jvalue_equal(struct jpool *p, struct jvalue *a, struct jvalue *b);

/* V as text at the end of B, without blanks. */
void jvalue_write(const struct jvalue *v, struct buf *b);

#endif
