/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* seeds - what the files of the seed writer share. */
#ifndef TESTS_FUZZ_SEEDS_H
#define TESTS_FUZZ_SEEDS_H

#include "src/base/buf.h"

/* RESEAL must find nothing to do in what an encoder wrote; NULL: there is none.
 */
void seed_write(const char *target, const char *name, struct slice bytes,
    void (*reseal)(uint8_t *p, size_t n));
void seed_journals(void);
void seed_stores(void);
void seed_frames(void);
void seed_sealed(void);

#endif
