/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * le - fixed-width little-endian integers in bytes of any alignment.
 *
 * put returns where the next field goes; get reads without any check: the
 * caller has made sure that the bytes are there.
 */
#ifndef SRC_BASE_LE_H
#define SRC_BASE_LE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* One load or store; byte by byte gcc 12 makes a vector of it, and waits. */
#define LE_DEFINE(bits, type)                                                  \
	static inline uint8_t *le_put##bits(uint8_t *p, type v)                \
	{                                                                      \
		v = htole##bits(v);                                            \
		memcpy(p, &v, sizeof(v));                                      \
		return p + sizeof(v);                                          \
	}                                                                      \
	static inline type le_get##bits(const uint8_t *p)                      \
	{                                                                      \
		type v;                                                        \
                                                                               \
		memcpy(&v, p, sizeof(v));                                      \
		return le##bits##toh(v);                                       \
	}

LE_DEFINE(16, uint16_t)
LE_DEFINE(32, uint32_t)
LE_DEFINE(64, uint64_t)
#undef LE_DEFINE

#endif
