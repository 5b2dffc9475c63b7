/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* jvalue_impl - what the parser needs of the pool. */
#ifndef HTTP_JVALUE_IMPL_H
#define HTTP_JVALUE_IMPL_H

#include "http/jvalue.h"

/* A vector with copies of N items; NULL: none, or the pool's error. */
struct jvalue *jvalue_give(
    struct jpool *p, const struct jvalue *items, uint32_t n);

#endif
