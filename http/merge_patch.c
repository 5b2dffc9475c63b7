/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * merge_patch - RFC 7396 section 2.
 *
 * The result is no deeper than the deeper of the two, so recursion is bounded.
 */
#include "http/jtext.h"
#include "http/patch_impl.h"

static int
is_null(const struct jvalue *v)
{
	return v->type == JVALUE_LITERAL && v->n == 4 && v->text[0] == 'n';
}

static void
remove_member(struct jpool *p, struct jvalue *object, struct jvalue *member,
    uint32_t *hint)
{
	if (!member)
		return;
	jvalue_remove(p, object, (uint32_t)(member - object->items));
	--*hint;
}

static void
merge_member(struct jpool *p, struct jvalue *object, struct jvalue *change,
    uint32_t *hint)
{
	struct slice name = SLICE(change->name, change->name_n);
	struct jvalue *member = jvalue_find(p, object, name, hint);

	if (is_null(change)) {
		remove_member(p, object, member, hint);
		return;
	}
	if (!member) {
		member = jvalue_insert(p, object, object->n);
		if (!member)
			return;
		*member = (struct jvalue){
		    .type = JVALUE_LITERAL,
		    .name = change->name,
		    .name_n = change->name_n,
		    .name_escaped = change->name_escaped,
		};
	}
	merge_patch(p, member, change);
}

void
merge_patch(struct jpool *p, struct jvalue *document, struct jvalue *patch)
{
	struct jvalue empty = {.type = JVALUE_OBJECT};
	uint32_t hint = 0;

	if (patch->type != JVALUE_OBJECT) {
		jvalue_set(document, patch);
		return;
	}
	if (document->type != JVALUE_OBJECT)
		jvalue_set(document, &empty);
	for (uint32_t i = 0; i < patch->n && !p->error; i++)
		merge_member(p, document, &patch->items[i], &hint);
}
