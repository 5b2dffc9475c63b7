/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * name - what a bucket or a stream may be called.
 *
 * 1 to 255 bytes of UTF-8 without control characters and without `:`; neither
 * `*` (everyone, everything) nor `-$patch` (the suffix of patch streams) alone.
 * Everything else is legal, `/`, blanks and `..` too: no name becomes a path.
 *
 * Thread:  any.
 */
#ifndef SRC_BASE_NAME_H
#define SRC_BASE_NAME_H

#include "src/base/buf.h"

#define NAME_MAX_BYTES 255 /* inclusive */

#define NAME_SYSTEM_BUCKET "$sys" /* of what nodes tell of themselves */
/* STREAM and this: the stream of the patches to it, in the same group. */
#define NAME_PATCH_SUFFIX "-$patch"
#define NAME_PATCH_BYTES  (sizeof(NAME_PATCH_SUFFIX) - 1)

/* X(name, text): the text is fit for a person, without a final full stop. */
#define NAME_COND_TABLE(X)                                                     \
	X(EMPTY, "a name has at least one byte")                               \
	X(LONG, "a name has at most 255 bytes")                                \
	X(UTF8, "a name is valid UTF-8")                                       \
	X(CONTROL, "a name has no control characters")                         \
	X(COLON, "a name has no ':'")                                          \
	X(RESERVED, "this name is reserved")

enum name_cond {
	NAME_OK = 0,
#define NAME_ENUM(name, text) NAME_E_##name,
	NAME_COND_TABLE(NAME_ENUM)
#undef NAME_ENUM
	    NAME_COND_COUNT
};

/* NAME_OK, or the first NAME_E_* that applies; NAME is decoded already. */
int name_check(struct slice name);

/* Whether NAME ends in NAME_PATCH_SUFFIX. */
int name_is_of_patches(struct slice name);

/* The text of a NAME_E_*; never NULL. */
const char *name_text(int cond);

#endif
