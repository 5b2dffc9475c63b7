/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * crc32c - the Castagnoli checksum (RFC 3720 section 12.1, appendix B.4).
 *
 * Uses the processor's instruction where there is one, a table elsewhere; both
 * give the same value.  Finds damage by accident, not by intent.
 *
 * Thread:  any.
 */
#ifndef SRC_BASE_CRC32C_H
#define SRC_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of what CRC is the checksum of, followed by the N bytes at P.
 * Begin with 0:  crc32c(crc32c(0, a, n), b, m) is the checksum of a and b.
 */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

/* The same without the instruction; for tests and other processors. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);

#endif
