/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * identity - which node this is, and which cluster's data it serves.
 *
 * File `node.id` in the root of the data directory, 512 bytes, little endian:
 *
 *	  0  u32  magic "IOID"
 *	  4  u16  format = 1, u16 bytes of the node's name
 *	  8  [16] node id: random, made once
 *	 24  [16] cluster id: random, made when the cluster is formed
 *	 40  u32  partitions of the ring
 *	 44       name, zeros
 *	492  [16] cluster before this one was joined; zeros: none
 *	508  u32  CRC32C of bytes 0..507
 *
 * Everything of the cluster lies in `<cluster id>/`, 32 hex digits.
 *
 * Crash argument: the directory is made and synced first, then `node.id.tmp` is
 * written, synced and renamed.  Before the rename there is no node, after it
 * all of it; a directory that no node.id names is left alone and never read.  A
 * later change (join) rewrites the file in the same way.
 */
#include "ring/identity.h"

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"

#define ID_FILE   "node.id"
#define ID_TMP    "node.id.tmp"
#define ID_MAGIC  0x44494f49u /* "IOID" */
#define ID_FORMAT 1
#define ID_BYTES  512
#define CRC_AT    508
#define BEFORE_AT 492
#define NAME_AT   44

static void
set_dir(struct identity *id)
{
	static const uint8_t zeros[16];

	id->joined = memcmp(id->previous, zeros, 16) != 0;
	for (int i = 0; i < 16; i++)
		snprintf(id->dir + 2 * i, 3, "%02x", id->cluster_id[i]);
}

static int
decode(const uint8_t *p, const char *nodename, struct identity *out, char *why,
    size_t why_bytes)
{
	char name[BEFORE_AT - NAME_AT + 1] = "";
	size_t n = le_get16(p + 6);

	if (le_get32(p) != ID_MAGIC || n > BEFORE_AT - NAME_AT ||
	    le_get32(p + CRC_AT) != crc32c(0, p, CRC_AT)) {
		snprintf(why, why_bytes,
		    "data/" ID_FILE " is damaged: restore it from a backup");
		return -ERR_CORRUPT;
	}
	if (le_get16(p + 4) != ID_FORMAT) {
		snprintf(why, why_bytes,
		    "data/" ID_FILE " has format %u, this program knows %u",
		    le_get16(p + 4), ID_FORMAT);
		return -ERR_FORMAT;
	}
	memcpy(name, p + NAME_AT, n);
	if (strcmp(name, nodename) != 0) {
		snprintf(why, why_bytes,
		    "the data directory belongs to node '%s', but nodename is "
		    "'%s': set nodename back, or use another paths.data",
		    name, nodename);
		return -ERR_IDENTITY;
	}
	memcpy(out->node_id, p + 8, 16);
	memcpy(out->cluster_id, p + 24, 16);
	memcpy(out->previous, p + BEFORE_AT, 16);
	out->ring_size = le_get32(p + 40);
	set_dir(out);
	return 0;
}

static int
load(const struct env *env, const char *nodename, struct identity *out,
    char *why, size_t why_bytes)
{
	const struct env_disk *d = &env->disk;
	uint8_t bytes[ID_BYTES];
	struct disk_file *file;
	size_t got = 0;
	int r = d->open(d->ctx, ID_FILE, DISK_READ, &file);

	if (r)
		return r;
	r = d->pread(d->ctx, file, bytes, sizeof(bytes), 0, &got);
	d->close(d->ctx, file);
	if (r)
		return r;
	memset(bytes + got, 0, sizeof(bytes) - got);
	return decode(bytes, nodename, out, why, why_bytes);
}

int
identity_save(
    const struct env *env, const char *nodename, const struct identity *id)
{
	const struct env_disk *d = &env->disk;
	uint8_t bytes[ID_BYTES] = {0}, *p = bytes;
	int r;

	p = le_put32(p, ID_MAGIC);
	p = le_put16(p, ID_FORMAT);
	p = le_put16(p, (uint16_t)strlen(nodename));
	memcpy(p, id->node_id, 16);
	memcpy(p + 16, id->cluster_id, 16);
	le_put32(p + 32, id->ring_size);
	memcpy(bytes + NAME_AT, nodename, strlen(nodename));
	memcpy(bytes + BEFORE_AT, id->previous, 16);
	le_put32(bytes + CRC_AT, crc32c(0, bytes, CRC_AT));
	r = disk_write_new(d, ID_TMP, SLICE(bytes, sizeof(bytes)));
	if (r == 0)
		r = d->rename(d->ctx, ID_TMP, ID_FILE);
	return r ? r : d->sync_dir(d->ctx, "");
}

static int
make_dir(const struct env *env, struct identity *id)
{
	const struct env_disk *d = &env->disk;
	int r;

	set_dir(id);
	r = d->mkdir(d->ctx, id->dir);
	if (r == -ERR_EXISTS)
		r = 0;
	return r ? r : d->sync_dir(d->ctx, "");
}

static int
make(const struct env *env, const char *nodename, uint32_t ring_size,
    struct identity *out)
{
	int r;

	env->rng.bytes(env->rng.ctx, out->node_id, 16);
	env->rng.bytes(env->rng.ctx, out->cluster_id, 16);
	out->ring_size = ring_size;
	r = make_dir(env, out);
	return r ? r : identity_save(env, nodename, out);
}

int
identity_join(
    const struct env *env, const uint8_t cluster[16], struct identity *id)
{
	if (!id->joined)
		memcpy(id->previous, id->cluster_id, 16);
	memcpy(id->cluster_id, cluster, 16);
	return make_dir(env, id);
}

void
identity_go_back(struct identity *id)
{
	memcpy(id->cluster_id, id->previous, 16);
	memset(id->previous, 0, 16);
	set_dir(id);
}

int
identity_renew(const struct env *env, struct identity *id)
{
	env->rng.bytes(env->rng.ctx, id->cluster_id, 16);
	memset(id->previous, 0, 16);
	return make_dir(env, id);
}

int
identity_open(const struct env *env, const char *nodename, uint32_t ring_size,
    struct identity *out, char *why, size_t why_bytes)
{
	int r;

	*out = (struct identity){0};
	why[0] = '\0';
	if (strlen(nodename) > BEFORE_AT - NAME_AT) {
		snprintf(why, why_bytes, "nodename is too long");
		return -ERR_INVAL;
	}
	env->rng.bytes(env->rng.ctx, out->boot, 16);
	r = load(env, nodename, out, why, why_bytes);
	if (r == -ERR_NOTFOUND)
		r = make(env, nodename, ring_size, out);
	else if (r == 0 && out->ring_size != ring_size) {
		snprintf(why, why_bytes,
		    "ring_size is %u, but the data directory was made with %u: "
		    "it cannot be changed after the first start",
		    ring_size, out->ring_size);
		r = -ERR_INVAL;
	}
	if (r && !why[0])
		snprintf(why, why_bytes, "data/" ID_FILE ": %s", err_text(r));
	return r;
}
