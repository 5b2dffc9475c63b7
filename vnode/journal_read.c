/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * journal_read - one record, for a replica that still needs it.
 *
 * The segment may be recycled meanwhile: a record says where it lies and whose
 * it is, so what was written over it is not taken for it.
 */
#include "src/base/err.h"
#include "vnode/journal_impl.h"

static int
read_at(struct journal *j, lsn_t lsn, struct block *block)
{
	const struct env_disk *d = &j->env->disk;
	char path[JOURNAL_PATH];
	struct disk_file *file;
	size_t got = 0;
	int r;

	segment_path(j, lsn_generation(lsn), path);
	r = d->open(d->ctx, path, DISK_READ, &file);
	if (r)
		return r;
	r = d->pread(d->ctx, file, block->p, block->cap, lsn_offset(lsn), &got);
	d->close(d->ctx, file);
	block->n = (uint32_t)got;
	return r;
}

static int
is_wanted(const struct journal_head *have, const struct journal_head *want)
{
	return have->type == want->type && have->group == want->group &&
	       have->generation == want->generation &&
	       have->term == want->term && have->index == want->index;
}

int
journal_read(struct journal *j, lsn_t lsn, const struct journal_head *want,
    uint32_t payload_bytes, struct block **block, struct slice *payload)
{
	struct block *b = block_new(JOURNAL_RECORD_BYTES + payload_bytes);
	struct journal_record rec;
	int r;

	if (!b)
		return -ERR_NOMEM;
	r = read_at(j, lsn, b);
	if (r == 0 && (journal_record_decode(SLICE(b->p, b->n),
			   j->config.cluster_id, lsn, &rec) ||
			  !is_wanted(&rec.head, want)))
		r = -ERR_NOTFOUND;
	if (r) {
		block_unref(b);
		return r;
	}
	*block = b;
	*payload = rec.payload;
	return 0;
}
