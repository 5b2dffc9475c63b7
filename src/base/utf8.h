/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * utf8 - is it UTF-8, and a character as UTF-8.
 *
 * Strict (RFC 3629, Unicode table 3-7): no overlong forms, no surrogates,
 * nothing above U+10FFFF.  NUL and other control characters are UTF-8.
 *
 * Thread:  any.
 */
#ifndef SRC_BASE_UTF8_H
#define SRC_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Where the first sequence that is not UTF-8 begins; N when all N bytes are. */
size_t utf8_check(const void *p, size_t n);

#define UTF8_MAX 4 /* bytes of a character */

/* C < 0x200000 in UTF-8; how many bytes.  A surrogate comes out like any other,
 * for utf8_check to refuse. */
size_t utf8_encode(uint32_t c, uint8_t out[UTF8_MAX]);

#endif
