/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* patch_impl - the two kinds of patches, on trees. */
#ifndef HTTP_PATCH_IMPL_H
#define HTTP_PATCH_IMPL_H

#include "http/jvalue.h"
#include "http/patch.h"

/*
 * All of PATCH to *DOCUMENT, in order, which is of no use after a failure.  0;
 * PATCH_E_INVALID with ERR filled in; or P has an error.
 */
int json_patch(struct jpool *p, struct jvalue *document, struct jvalue *patch,
    struct patch_error *err);
/* RFC 7396; it always applies.  P may have an error. */
void merge_patch(
    struct jpool *p, struct jvalue *document, struct jvalue *patch);

#endif
