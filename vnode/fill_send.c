/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_send - the leader's side: the manifest as it is on the disk, then pages
 * of chunk files.
 *
 * The manifest of the last checkpoint names, for each chunk, a length that is
 * synced and never changes; the log reaches back at least to its applied index,
 * and is kept while the fill lasts.  So nothing has to be stopped or copied for
 * a fill.
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/fill.h"
#include "vnode/replica.h"
#include "vnode/store_open.h"

#define MANIFEST_MAX (1ull << 31)

struct fill_out {
	struct fill_out *next;
	raft_id peer;
	uint8_t node[16];
	uint64_t transfer, index;
	struct mono heard, offered;
	int accepted;
	uint8_t *manifest; /* the file's bytes, once they are read */
	size_t n;
	uint32_t number;
	int reading; /* one page, or the manifest */
};

static struct mono
now(const struct store_worker *w)
{
	const struct env_clock *c = &w->store->env->clock;

	return c->mono(c->ctx);
}

static void
say(struct store_worker *w, const struct vnode *v, const struct fill_out *f,
    struct fill_message m)
{
	m.transfer = f->transfer;
	fill_say(w, v->group.id, v->group.generation, f->peer, f->node,
	    raft_term(v->group.raft), &m);
}

static struct fill_out *
find(const struct vnode *v, uint64_t transfer)
{
	for (struct fill_out *f = v->group.fills; f; f = f->next)
		if (f->transfer == transfer)
			return f;
	return NULL;
}

static void
end(struct vnode *v, struct fill_out *f)
{
	struct fill_out **at = &v->group.fills;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	mem_free(f->manifest);
	mem_free(f);
}

static void
end_and_tell(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	raft_id peer = f->peer;

	end(v, f);
	raft_fill_ended(v->group.raft, peer, &w->fx);
	replica_effects(w, v);
}

void
fill_begin(struct store_worker *w, struct vnode *v, raft_id peer)
{
	const struct env_rng *rng = &w->store->env->rng;
	const uint8_t *node = replica_node(v, peer);
	struct fill_out *f = mem_zalloc(sizeof(*f));

	if (!f || !node) { /* the core asks again */
		mem_free(f);
		raft_fill_ended(v->group.raft, peer, &w->fx);
		return;
	}
	f->peer = peer;
	memcpy(f->node, node, 16);
	rng->bytes(rng->ctx, &f->transfer, sizeof(f->transfer));
	f->index = v->manifest.saved_index;
	f->heard = f->offered = now(w);
	f->next = v->group.fills;
	v->group.fills = f;
	say(w, v, f,
	    (struct fill_message){
		.op = FILL_OFFER, .a = raft_base(v->group.raft)});
}

void
fill_send_end_all(struct store_worker *w, struct vnode *v)
{
	(void)w;
	while (v->group.fills)
		end(v, v->group.fills);
}

uint64_t
fill_keeps(const struct vnode *v)
{
	uint64_t index = UINT64_MAX;

	for (const struct fill_out *f = v->group.fills; f; f = f->next)
		if (f->index < index)
			index = f->index;
	return index;
}

void
fill_send_tick(struct store_worker *w, struct vnode *v)
{
	struct fill_out *f, *next;

	for (f = v->group.fills; f; f = next) {
		next = f->next;
		if (mono_diff_us(f->heard, now(w)) > FILL_SILENCE_US) {
			end_and_tell(w, v, f);
			return; /* the list may be another */
		}
		if (!f->accepted &&
		    mono_diff_us(f->offered, now(w)) > FILL_AGAIN_US) {
			f->offered = now(w);
			say(w, v, f,
			    (struct fill_message){.op = FILL_OFFER,
				.a = raft_base(v->group.raft)});
		}
	}
}

/* --- reading: LANE_READ --------------------------------------------------- */

struct reading {
	struct env_job job;
	struct msg msg;
	struct store *store;
	uint16_t group;
	uint64_t generation;
	struct fill_message m; /* what was asked for */
	char path[FILES_PATH_BYTES];
	uint64_t limit; /* of the file's bytes; 0: all */
	uint32_t number;
	int whole;
	uint8_t *bytes;
	size_t n;
	uint64_t total;
	int r;
};

static int
read_page(struct reading *rd)
{
	const struct env_disk *d = &rd->store->env->disk;
	struct disk_file *file;
	uint64_t n;
	int r = d->open(d->ctx, rd->path, DISK_READ, &file);

	if (r)
		return r;
	r = d->size(d->ctx, file, &rd->total);
	if (r == 0 && rd->limit && rd->limit < rd->total)
		rd->total = rd->limit;
	if (r == 0 && rd->m.c > rd->total)
		r = -ERR_INVAL;
	n = rd->total - rd->m.c;
	if (r == 0 && !(rd->bytes = mem_alloc(FILL_PAGE_BYTES)))
		r = -ERR_NOMEM;
	if (r == 0)
		r = d->pread(d->ctx, file, rd->bytes,
		    n < FILL_PAGE_BYTES ? n : FILL_PAGE_BYTES, rd->m.c, &rd->n);
	d->close(d->ctx, file);
	return r;
}

static void
answer_manifest(struct store_worker *w, struct vnode *v, struct fill_out *f,
    uint64_t offset)
{
	uint64_t n = offset < f->n ? f->n - offset : 0;

	say(w, v, f,
	    (struct fill_message){.op = FILL_MANIFEST,
		.a = offset,
		.b = f->n,
		.c = f->number,
		.bytes = SLICE(f->manifest + offset,
		    n < FILL_PAGE_BYTES ? n : FILL_PAGE_BYTES)});
}

static void
was_read(struct msg *m)
{
	struct reading *rd = CONTAINER_OF(m, struct reading, msg);
	struct store *s = rd->store;
	struct vnode *v = &s->vnodes[rd->group];
	struct store_worker *w = store_worker_of(s, rd->group);
	struct fill_out *f = v->group.generation == rd->generation
				 ? find(v, rd->m.transfer)
				 : NULL;

	w->n_reading--;
	if (f)
		f->reading = 0;
	if (f && rd->r) {
		store_report(s, 1, "group %u: cannot fill a replica: %s: %s",
		    rd->group, rd->path, err_text(rd->r));
		say(w, v, f, (struct fill_message){.op = FILL_FAILED});
		end_and_tell(w, v, f);
	} else if (f && rd->whole) {
		f->manifest = rd->bytes;
		f->n = rd->n;
		f->number = rd->number;
		rd->bytes = NULL;
		answer_manifest(w, v, f, rd->m.a);
	} else if (f) {
		rd->m.op = FILL_CHUNK;
		rd->m.d = rd->total;
		rd->m.bytes = SLICE(rd->bytes, rd->n);
		say(w, v, f, rd->m);
	}
	mem_free(rd->bytes);
	mem_free(rd);
}

static void
run(struct env_job *job)
{
	struct reading *rd = CONTAINER_OF(job, struct reading, job);
	struct store *s = rd->store;

	if (rd->whole)
		rd->r = store_read_file(
		    &s->env->disk, rd->path, MANIFEST_MAX, &rd->bytes, &rd->n);
	else
		rd->r = read_page(rd);
	/* Behind the committed end lies what the next delta has begun with. */
	if (rd->r == 0 && rd->whole && rd->n > rd->limit)
		rd->n = rd->limit;
	store_call(s, store_worker_of(s, rd->group)->id, &rd->msg, was_read);
}

static void
start(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *m, int whole, const char *name, uint64_t limit)
{
	const struct env_post *post = &w->store->env->post;
	struct reading *rd = mem_zalloc(sizeof(*rd));

	if (!rd)
		return; /* it asks again */
	f->reading = 1;
	rd->store = w->store;
	rd->group = v->group.id;
	rd->generation = v->group.generation;
	rd->m = *m;
	rd->m.bytes = SLICE(NULL, 0);
	rd->whole = whole;
	rd->limit = limit;
	rd->number = v->manifest.number;
	snprintf(rd->path, sizeof(rd->path), "%s/%s", v->dir, name);
	rd->job.run = run;
	w->n_reading++;
	post->to_lane(post->ctx, LANE_READ, &rd->job);
}

/* --- asked ---------------------------------------------------------------- */

static void
get_manifest(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *m)
{
	char name[MANIFEST_NAME_BYTES];

	if (f->manifest && m->a <= f->n) {
		answer_manifest(w, v, f, m->a);
		return;
	}
	if (f->reading || f->manifest)
		return;
	f->index = v->manifest.saved_index;
	manifest_file_name(name, v->manifest.number);
	start(w, v, f, m, 1, name, v->manifest.bytes);
}

static void
get_chunk(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *m)
{
	char name[CHUNK_NAME_BYTES];

	if (f->reading)
		return;
	chunk_file_name(name, m->a, m->b);
	start(w, v, f, m, 0, name, m->d);
}

void
fill_send_message(struct store_worker *w, struct vnode *v,
    const struct wire_message *m, const struct fill_message *fm)
{
	struct fill_out *f = find(v, fm->transfer);

	if (!f || m->from != f->peer)
		return;
	f->heard = now(w);
	f->accepted = 1;
	switch (fm->op) {
	case FILL_GET_MANIFEST:
		get_manifest(w, v, f, fm);
		break;
	case FILL_GET_CHUNK:
		get_chunk(w, v, f, fm);
		break;
	case FILL_DONE:
	case FILL_FAILED:
		end_and_tell(w, v, f);
		break;
	default:
		break;
	}
}
