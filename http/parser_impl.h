/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* parser_impl - what the head and the chunked half of the parser share. */
#ifndef HTTP_PARSER_IMPL_H
#define HTTP_PARSER_IMPL_H

#include "http/parser.h"

enum {
	CLASS_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
	CLASS_VALUE = 2,  /* in a field value: blanks, visible, obs-text */
	CLASS_TARGET = 4, /* visible ASCII but `#` */
	CLASS_HOST = 8,   /* in a reg-name, RFC 3986 section 3.2.2 */
};

extern const uint8_t parser_class[256];

static inline int
is_class(uint8_t c, int mask)
{
	return parser_class[c] & mask;
}

#endif
