/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * le - fixed-width little-endian integers in bytes of any alignment.
 *
 * put returns where the next field goes; get reads without any check: the
 * caller has made sure that the bytes are there.
 */
#ifndef SRC_BASE_LE_H
#define SRC_BASE_LE_H

#include <stdint.h>

#define LE_DEFINE(bits, type)                                                  \
	static inline uint8_t *le_put##bits(uint8_t *p, type v)                \
	{                                                                      \
		for (unsigned i = 0; i < (bits) / 8; i++)                      \
			p[i] = (uint8_t)(v >> (8 * i));                        \
		return p + (bits) / 8;                                         \
	}                                                                      \
	static inline type le_get##bits(const uint8_t *p)                      \
	{                                                                      \
		type v = 0;                                                    \
		for (unsigned i = 0; i < (bits) / 8; i++)                      \
			v = (type)(v | (type)((type)p[i] << (8 * i)));         \
		return v;                                                      \
	}

LE_DEFINE(16, uint16_t)
LE_DEFINE(32, uint32_t)
LE_DEFINE(64, uint64_t)
#undef LE_DEFINE

#endif
