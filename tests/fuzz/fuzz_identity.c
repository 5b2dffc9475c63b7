/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_identity - node.id as it is found: taken only with the identity that its
 * bytes say, otherwise refused with a line for a person, never made anew.
 */
#include "ring/identity.h"
#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "tests/fuzz/rig.h"

#define NAME "n@127.0.0.1"
#define Q    64

void
fuzz_reseal(uint8_t *p, size_t n)
{
	reseal_node_id(p, n);
}

static void
check(const struct identity *id, const uint8_t *p, size_t n)
{
	char dir[33];

	ASSERT(n >= 512 && memcmp(p, "IOID", 4) == 0 && le_get16(p + 4) == 1);
	ASSERT(le_get32(p + 508) == crc32c(0, p, 508));
	ASSERT(memcmp(id->node_id, p + 8, 16) == 0);
	ASSERT(memcmp(id->cluster_id, p + 24, 16) == 0);
	ASSERT(le_get32(p + 40) == Q && id->ring_size == Q);
	ASSERT(memcmp(p + 44, NAME, sizeof(NAME) - 1) == 0);
	for (int i = 0; i < 16; i++)
		snprintf(dir + 2 * i, 3, "%02x", id->cluster_id[i]);
	ASSERT(strcmp(dir, id->dir) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct identity id;
	struct buf after;
	char why[256];
	struct rig rig;
	int r;

	rig_init(&rig);
	ASSERT(memdisk_put(rig.md, "node.id", SLICE(p, n)) == 0);
	r = identity_open(rig.env, NAME, Q, &id, why, sizeof(why));
	ASSERT((r == 0) == (why[0] == '\0'));
	if (r == 0)
		check(&id, p, n);
	else
		ASSERT(r == -ERR_CORRUPT || r == -ERR_FORMAT ||
		       r == -ERR_IDENTITY || r == -ERR_INVAL);
	buf_init(&after, n + 1);
	ASSERT(memdisk_read_all(rig.md, "node.id", &after) == 0);
	ASSERT(slice_equal(buf_slice(&after), SLICE(p, n)));
	buf_deinit(&after);
	rig_deinit(&rig);
	return 0;
}
