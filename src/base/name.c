/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* name - the rule of the HTTP API for the names of buckets and streams. */
#include "src/base/name.h"

#include <string.h>

#include "src/base/utf8.h"

/* U+0000..1F, U+007F and U+0080..9F, which is C2 80..9F; NAME is UTF-8. */
static int
has_control(struct slice name)
{
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];

		if (c < 0x20 || c == 0x7f)
			return 1;
		if (c == 0xc2 && name.p[i + 1] <= 0x9f)
			return 1;
	}
	return 0;
}

int
name_check(struct slice name)
{
	if (name.n == 0)
		return NAME_E_EMPTY;
	if (name.n > NAME_MAX_BYTES)
		return NAME_E_LONG;
	if (utf8_check(name.p, name.n) != name.n)
		return NAME_E_UTF8;
	if (has_control(name))
		return NAME_E_CONTROL;
	if (memchr(name.p, ':', name.n))
		return NAME_E_COLON;
	if (slice_equal(name, SLICE_LIT("*")) ||
	    slice_equal(name, SLICE_LIT(NAME_PATCH_SUFFIX)))
		return NAME_E_RESERVED;
	return NAME_OK;
}

int
name_is_of_patches(struct slice name)
{
	return name.n >= NAME_PATCH_BYTES &&
	       memcmp(name.p + name.n - NAME_PATCH_BYTES, NAME_PATCH_SUFFIX,
		   NAME_PATCH_BYTES) == 0;
}

const char *
name_text(int cond)
{
	static const char *const texts[] = {"a legal name",
#define NAME_TEXT(name, text) text,
	    NAME_COND_TABLE(NAME_TEXT)
#undef NAME_TEXT
	};

	if (cond < 0 || cond >= NAME_COND_COUNT)
		return "an illegal name";
	return texts[cond];
}
