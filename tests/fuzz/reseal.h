/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * reseal - the checksums of our formats, written from their descriptions.
 *
 * Each makes the lengths and checksums of what it finds right, and leaves what
 * our encoders wrote as it is.  The layouts are those at the top of the .c
 * files of vnode and ring; nothing is shared with the code there.
 */
#ifndef TESTS_FUZZ_RESEAL_H
#define TESTS_FUZZ_RESEAL_H

#include <stddef.h>
#include <stdint.h>

void reseal_events(uint8_t *p, size_t n);
void reseal_entry(uint8_t *p, size_t n);
void reseal_chunk(uint8_t *p, size_t n);
void reseal_manifest(uint8_t *p, size_t n);
void reseal_images(uint8_t *p, size_t n);
void reseal_wire(uint8_t *p, size_t n);
/* A whole segment file; the records alone begin at FROM. */
void reseal_segment(uint8_t *p, size_t n);
void reseal_records(uint8_t *p, size_t n, size_t from);
void reseal_ring(uint8_t *p, size_t n);
void reseal_gossip(uint8_t *p, size_t n);
void reseal_node_id(uint8_t *p, size_t n);

#endif
