/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * json_patch - RFC 6902, with the pointers of RFC 6901.
 *
 * A pointer is the text of a JSON string in which only what must be is escaped,
 * so that each `/` in it separates tokens.  What comes into a document must not
 * make it deeper than JSON_MAX_DEPTH.
 */
#include "http/jtext.h"
#include "http/patch_impl.h"
#include "src/base/err.h"

/* What an operation works on. */
struct patching {
	struct jpool *pool;
	struct jvalue *root;
	struct patch_error *err;
};

static int
fail(struct patching *at, const char *text)
{
	snprintf(at->err->text, sizeof(at->err->text), "%s", text);
	return PATCH_E_INVALID;
}

/* --- pointers ------------------------------------------------------------- */

/* RAW without escapes that need not be. */
static struct slice
plain_text(struct jpool *p, struct slice raw)
{
	struct slice out = raw;
	struct buf b;

	if (!jtext_has_escape(raw) || jpool_work(p, raw.n))
		return raw;
	buf_init(&b, 3 * raw.n); /* \b becomes \u0008 */
	while (raw.n)
		jtext_add(&b, jtext_next(&raw));
	if (buf_error(&b))
		p->error = buf_error(&b);
	else
		out = jpool_text(p, buf_slice(&b));
	buf_deinit(&b);
	return out;
}

static int
is_pointer(struct slice s)
{
	if (s.n && s.p[0] != '/')
		return 0;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '~' &&
		    (i + 1 == s.n || (s.p[i + 1] != '0' && s.p[i + 1] != '1')))
			return 0;
	return 1;
}

/* ~0 and ~1 of RAW taken back. */
static struct slice
decode_token(struct jpool *p, struct slice raw)
{
	struct slice copy = jpool_text(p, raw);
	uint8_t *to = (uint8_t *)(uintptr_t)copy.p;
	size_t n = 0;

	if (!to)
		return raw;
	for (size_t i = 0; i < raw.n; i++) {
		uint8_t c = raw.p[i];

		if (c == '~')
			c = raw.p[++i] == '0' ? '~' : '/';
		to[n++] = c;
	}
	return SLICE(to, n);
}

/* The next token of *POINTER, which is not at its end and moves on. */
static struct slice
next_token(struct jpool *p, struct slice *pointer)
{
	struct slice s = SLICE(pointer->p + 1, pointer->n - 1);
	const uint8_t *end = s.n ? memchr(s.p, '/', s.n) : NULL;

	if (end)
		s.n = (size_t)(end - s.p);
	*pointer = SLICE(s.p + s.n, pointer->n - 1 - s.n);
	jpool_work(p, 1 + s.n / 16);
	return s.n && memchr(s.p, '~', s.n) ? decode_token(p, s) : s;
}

/* RFC 6901 section 4: digits without leading zeros; at most N - 1. */
static int
take_index(struct slice s, uint32_t n, uint32_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 10 || (s.n > 1 && s.p[0] == '0'))
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return 0;
		v = v * 10 + (s.p[i] - '0');
	}
	if (v >= n)
		return 0;
	*out = (uint32_t)v;
	return 1;
}

static struct jvalue *
child(struct jpool *p, struct jvalue *v, struct slice token)
{
	uint32_t i;

	if (v->type == JVALUE_OBJECT)
		return jvalue_find(p, v, token, NULL);
	if (v->type == JVALUE_ARRAY && take_index(token, v->n, &i))
		return &v->items[i];
	return NULL;
}

/* What POINTER points to, or NULL. */
static struct jvalue *
get(struct patching *at, struct slice pointer)
{
	struct jvalue *v = at->root;

	while (v && pointer.n)
		v = child(at->pool, v, next_token(at->pool, &pointer));
	return v;
}

/* The container that POINTER, not empty, points into, how deep that is, and the
 * last token. */
static struct jvalue *
get_parent(struct patching *at, struct slice pointer, struct slice *last,
    uint32_t *depth)
{
	struct jvalue *v = at->root;

	*last = next_token(at->pool, &pointer);
	for (*depth = 1; v && pointer.n; ++*depth) {
		v = child(at->pool, v, *last);
		*last = next_token(at->pool, &pointer);
	}
	return v && jvalue_is_container(v) ? v : NULL;
}

/* Whether what A points to holds what B points to, or B is the same pointer. */
static int
leads_to(struct jpool *p, struct slice a, struct slice b)
{
	while (a.n && b.n)
		if (!jtext_equal(next_token(p, &a), next_token(p, &b)))
			return 0;
	return a.n == 0;
}

/* --- what the operations are made of -------------------------------------- */

static int
add_member(struct patching *at, struct jvalue *object, struct slice name,
    const struct jvalue *value)
{
	struct jvalue *v = jvalue_find(at->pool, object, name, NULL);

	if (!v) {
		v = jvalue_insert(at->pool, object, object->n);
		if (!v)
			return 0; /* the pool says why */
		v->name = name.p;
		v->name_n = (uint32_t)name.n;
		v->name_escaped = (uint8_t)jtext_has_escape(name);
	}
	jvalue_set(v, value);
	return 0;
}

static int
add_item(struct patching *at, struct jvalue *array, struct slice token,
    const struct jvalue *value)
{
	uint32_t i = array->n;
	struct jvalue *v;

	if (!slice_equal(token, SLICE_LIT("-")) &&
	    !take_index(token, array->n + 1, &i))
		return fail(at, "path: there is no such place in the array");
	v = jvalue_insert(at->pool, array, i);
	if (v)
		jvalue_set(v, value);
	return 0;
}

/* RFC 6902 section 4.1. */
static int
add(struct patching *at, struct slice path, const struct jvalue *value)
{
	struct jvalue *parent;
	struct slice last;
	uint32_t depth;

	if (path.n == 0) {
		jvalue_set(at->root, value);
		return 0;
	}
	parent = get_parent(at, path, &last, &depth);
	if (!parent)
		return fail(at, "path: there is nothing to add to");
	if (depth + jvalue_height(at->pool, value) > JSON_MAX_DEPTH)
		return fail(at, "the result would be nested too deeply");
	return parent->type == JVALUE_OBJECT
		   ? add_member(at, parent, last, value)
		   : add_item(at, parent, last, value);
}

/* Section 4.2; what was there goes to OUT, unless that is NULL. */
static int
remove_at(struct patching *at, struct slice path, struct jvalue *out)
{
	struct jvalue *parent, *v = NULL;
	struct slice last;
	uint32_t depth;

	if (path.n == 0)
		return fail(at, "the whole document cannot be removed");
	parent = get_parent(at, path, &last, &depth);
	if (parent)
		v = child(at->pool, parent, last);
	if (!v)
		return fail(at, "there is nothing at this place");
	if (out)
		*out = *v;
	jvalue_remove(at->pool, parent, (uint32_t)(v - parent->items));
	return 0;
}

/* --- operations ----------------------------------------------------------- */

struct operation {
	struct slice path, from;
	struct jvalue *value;
};

static int
do_add(struct patching *at, const struct operation *op)
{
	return add(at, op->path, op->value);
}

static int
do_remove(struct patching *at, const struct operation *op)
{
	return remove_at(at, op->path, NULL);
}

static int
do_replace(struct patching *at, const struct operation *op)
{
	struct slice last, path = op->path;
	uint32_t depth = 0;
	struct jvalue *v = get(at, path);

	if (!v)
		return fail(at, "path: there is nothing to replace");
	if (path.n)
		get_parent(at, path, &last, &depth);
	if (depth + jvalue_height(at->pool, op->value) > JSON_MAX_DEPTH)
		return fail(at, "the result would be nested too deeply");
	jvalue_set(v, op->value);
	return 0;
}

static int
do_move(struct patching *at, const struct operation *op)
{
	struct jvalue v = {0};
	int r;

	if (!get(at, op->from))
		return fail(at, "from: there is nothing at this place");
	if (leads_to(at->pool, op->from, op->path))
		return leads_to(at->pool, op->path, op->from)
			   ? 0
			   : fail(at, "a value cannot move into itself");
	r = remove_at(at, op->from, &v);
	return r ? r : add(at, op->path, &v);
}

static int
do_copy(struct patching *at, const struct operation *op)
{
	const struct jvalue *from = get(at, op->from);
	struct jvalue v;

	if (!from)
		return fail(at, "from: there is nothing at this place");
	v = jvalue_copy(at->pool, from);
	return at->pool->error ? 0 : add(at, op->path, &v);
}

static int
do_test(struct patching *at, const struct operation *op)
{
	struct jvalue *v = get(at, op->path);

	if (!v)
		return fail(at, "path: there is nothing to test");
	return jvalue_equal(at->pool, v, op->value)
		   ? 0
		   : fail(at, "the value is another one");
}

static const struct {
	const char *name;
	int from, value;
	int (*run)(struct patching *at, const struct operation *op);
} operations[] = {
    {"add", 0, 1, do_add},
    {"remove", 0, 0, do_remove},
    {"replace", 0, 1, do_replace},
    {"move", 1, 0, do_move},
    {"copy", 1, 0, do_copy},
    {"test", 0, 1, do_test},
};

/* --- a patch -------------------------------------------------------------- */

/* Member NAME of OP as a pointer. */
static int
take_pointer(
    struct patching *at, struct jvalue *op, const char *name, struct slice *out)
{
	struct jvalue *v = jvalue_find(at->pool, op, SLICE_STR(name), NULL);

	if (!v || v->type != JVALUE_STRING) {
		snprintf(at->err->text, sizeof(at->err->text),
		    "member \"%s\" is not a string", name);
		return PATCH_E_INVALID;
	}
	*out = plain_text(at->pool, jvalue_text(v));
	if (is_pointer(*out))
		return 0;
	snprintf(at->err->text, sizeof(at->err->text),
	    "member \"%s\" is not a JSON pointer", name);
	return PATCH_E_INVALID;
}

static int
run(struct patching *at, struct jvalue *v)
{
	struct operation op = {0};
	struct jvalue *name;
	size_t i, n = sizeof(operations) / sizeof(*operations);
	int r;

	if (v->type != JVALUE_OBJECT)
		return fail(at, "an operation is an object");
	name = jvalue_find(at->pool, v, SLICE_LIT("op"), NULL);
	for (i = 0; i < n; i++)
		if (name && name->type == JVALUE_STRING &&
		    jtext_equal(
			jvalue_text(name), SLICE_STR(operations[i].name)))
			break;
	if (i == n)
		return fail(at, "member \"op\" is none of add, remove, "
				"replace, move, copy, test");
	r = take_pointer(at, v, "path", &op.path);
	if (r == 0 && operations[i].from)
		r = take_pointer(at, v, "from", &op.from);
	op.value = jvalue_find(at->pool, v, SLICE_LIT("value"), NULL);
	if (r == 0 && operations[i].value && !op.value)
		r = fail(at, "member \"value\" is missing");
	return r ? r : operations[i].run(at, &op);
}

int
json_patch(struct jpool *p, struct jvalue *document, struct jvalue *patch,
    struct patch_error *err)
{
	struct patching at = {p, document, err};
	int r = 0;

	if (patch->type != JVALUE_ARRAY)
		return fail(&at, "a JSON patch is an array of operations");
	for (uint32_t i = 0; i < patch->n && r == 0; i++) {
		r = run(&at, &patch->items[i]);
		if (p->error)
			return 0;
		err->has_op = r != 0;
		err->op = i;
	}
	return r;
}
