/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* patch - a document and a patch become the next document. */
#include "http/patch.h"

#include "http/patch_impl.h"
#include "src/base/err.h"

static int
fail(struct patch_error *err, int r, const char *text)
{
	snprintf(err->text, sizeof(err->text), "%s", text);
	return r;
}

static int
check(struct json_checker *c, struct slice patch, struct patch_error *err)
{
	struct json_error why;
	int r = json_check(c, patch, JSON_MAX_DEPTH, &why);

	if (r > 0)
		snprintf(err->text, sizeof(err->text), "%.60s at byte %zu",
		    why.text, why.offset);
	return r > 0 ? PATCH_E_INVALID : r;
}

/* What ended it: an error of the pool, or R. */
static int
outcome(const struct jpool *p, int r, struct patch_error *err)
{
	if (p->error == JVALUE_E_LIMIT)
		return fail(err, PATCH_E_LIMIT,
		    "it has too many values or takes too much work");
	if (p->error > 0)
		return fail(err, PATCH_E_INVALID, "the document is not JSON");
	return p->error ? p->error : r;
}

static int
apply(struct jpool *p, enum patch_kind kind, struct slice document,
    struct slice patch, struct buf *out, struct patch_error *err)
{
	struct jvalue doc, change;
	int r = jvalue_parse(p, document, &doc);

	if (r == 0)
		r = jvalue_parse(p, patch, &change);
	if (r == 0 && kind == PATCH_MERGE)
		merge_patch(p, &doc, &change);
	else if (r == 0)
		r = json_patch(p, &doc, &change, err);
	r = outcome(p, r, err);
	if (r)
		return r;
	jvalue_write(&doc, out);
	if (buf_error(out) == -ERR_LIMIT)
		return fail(err, PATCH_E_LIMIT, "the result is too large");
	return buf_error(out);
}

int
patch_apply(struct json_checker *c, enum patch_kind kind, struct slice document,
    struct slice patch, const struct patch_limits *limits, struct buf *out,
    struct patch_error *err)
{
	struct jpool p;
	int r;

	*err = (struct patch_error){0};
	r = check(c, patch, err);
	if (r)
		return r;
	jpool_init(&p, limits->values, limits->work);
	out->max = limits->bytes;
	r = apply(&p, kind, document, patch, out, err);
	jpool_deinit(&p);
	return r;
}
