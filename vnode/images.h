/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * images - copies of the half-filled last blocks of chunks that a flush is
 * about to append to: a torn write cannot take what was there before.
 *
 * Owns:    the file `vnodes/images`.
 * Thread:  LANE_FLUSH; images_restore before the workers run.
 * Format:  top of images.c.
 */
#ifndef VNODE_IMAGES_H
#define VNODE_IMAGES_H

#include "vnode/flush_impl.h"

/* Copies what F's chunks need and syncs it, before F writes to them. */
int images_save(struct flush *f);
/* All chunks are synced: the copies are needed no more. */
void images_reset(struct store *s);
/* Puts back what differs from its copy, synced.  *N: how many blocks. */
int images_restore(struct store *s, uint32_t *n);

#endif
