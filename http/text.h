/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * text - short texts of known parts, without a format to be parsed, and digits.
 *
 * The caller's array has room; what is returned is where the next part goes.
 */
#ifndef HTTP_TEXT_H
#define HTTP_TEXT_H

#include <stdint.h>
#include <string.h>

#define TEXT_U64_BYTES 20
#define TEXT_HEX_BYTES 16

static inline char *
text_add(char *at, const char *s)
{
	size_t n = strlen(s);

	memcpy(at, s, n);
	return at + n;
}

static inline char *
text_add_u64(char *at, uint64_t v)
{
	char digits[TEXT_U64_BYTES];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*at++ = digits[--n];
	return at;
}

static inline char *
text_add_hex(char *at, uint64_t v)
{
	char digits[TEXT_HEX_BYTES];
	size_t n = 0;

	do
		digits[n++] = "0123456789abcdef"[v & 15];
	while (v >>= 4);
	while (n)
		*at++ = digits[--n];
	return at;
}

/* Line ends, which in JSON stand only between tokens, become blanks. */
static inline void
text_break_no_line(void *text, size_t n)
{
	char *p = text;

	for (size_t i = 0; i < n; i++)
		if (p[i] == '\n' || p[i] == '\r')
			p[i] = ' ';
}

/* What hexadecimal digit C stands for, or -1. */
static inline int
text_hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
