/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * rig - a disk in memory and the env around it, for targets that open files.
 *
 * Also files as an input holds them:
 *
 *	file	u8 1, u8 bytes of the name, name, u32 size
 *	bytes	u8 2, u32 offset, u16 n, n bytes	of the file before
 *
 * little endian; what is not said is zero.  Any other byte ends it.  Sizes are
 * cut at RIG_FILE_MAX, and bytes that lie outside of their file are none.
 */
#ifndef TESTS_FUZZ_RIG_H
#define TESTS_FUZZ_RIG_H

#include "src/base/buf.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"

#define RIG_FILES_MAX 24
#define RIG_FILE_MAX  (64u << 10)

struct rig {
	struct memdisk *md;
	struct simenv *sim;
	const struct env *env;
};

void rig_init(struct rig *r);
void rig_deinit(struct rig *r);
/* What was posted has run. */
void rig_run(struct rig *r);

struct rig_file {
	char name[96];
	uint8_t *p; /* mem_alloc'd */
	uint32_t n;
};

struct rig_files {
	uint32_t n;
	struct rig_file v[RIG_FILES_MAX];
};

void rig_unpack(struct rig_files *files, struct slice in);
/* Puts them below DIR, with the folders that their names ask for; a name that
 * no file can have is left out. */
void rig_put(struct rig *r, const char *dir, const struct rig_files *files);
void rig_files_deinit(struct rig_files *files);
/* Files as they are now back into the bytes they were unpacked from. */
void rig_repack(const struct rig_files *files, uint8_t *p, size_t n);
/* A file at the end of B. */
void rig_pack(struct buf *b, const char *name, struct slice content);

#endif
