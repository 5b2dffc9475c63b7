/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * arena - mem.h with an owner for each piece, so that a process which dies
 * leaves no memory behind and one which stops must have given all of it back.
 *
 * It replaces mem.c in the executable that links it.  Owner 0 is the simulator
 * itself, the others are the processes that it plays.
 */
#ifndef TESTS_WORLD_ARENA_H
#define TESTS_WORLD_ARENA_H

#include <stddef.h>
#include <stdio.h>

#define ARENA_OWNERS 16

/* Who owns what is allocated from now on; returns who did until now. */
unsigned arena_enter(unsigned owner);
unsigned arena_owner(void);
/* Frees all that OWNER has. */
void arena_drop(unsigned owner);
/* Pieces that OWNER has. */
size_t arena_pieces(unsigned owner);
size_t arena_bytes(unsigned owner);
/* Where they were made, a line each. */
void arena_describe(unsigned owner, FILE *out);

#endif
