/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * flush_capture - which events go to which file, and what manifests say.
 *
 * All is taken at one moment of the worker's life, so a manifest's COMMIT names
 * an applied index whose every event is in a chunk file once this flush is
 * done.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/dropped.h"
#include "vnode/fill.h"
#include "vnode/flush_impl.h"
#include "vnode/mutants.h"
#include "vnode/repair.h"

#define MANIFEST_ROWS_MAX (1u << 30)
#define SNAPSHOT_SLACK    (1u << 20)

static void *
grow(void *p, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t more = *cap ? *cap * 2 : 64;

	if (n < *cap)
		return p;
	p = mem_realloc(p, more * size);
	if (p)
		*cap = more;
	return p;
}

static struct flush_chunk *
add_chunk(struct flush *f)
{
	void *p =
	    grow(f->chunks, f->n_chunks, &f->cap_chunks, sizeof(*f->chunks));

	if (!p)
		return NULL;
	f->chunks = p;
	f->chunks[f->n_chunks] = (struct flush_chunk){0};
	return &f->chunks[f->n_chunks++];
}

static int
add_part(struct flush *f, struct tail_block *tb, uint64_t from)
{
	uint32_t at = tail_offset(tb, from);
	void *p = grow(f->parts, f->n_parts, &f->cap_parts, sizeof(*f->parts));

	if (!p)
		return -ERR_NOMEM;
	f->parts = p;
	f->parts[f->n_parts++] = (struct flush_part){
	    .block = block_ref(tb->block),
	    .at = at,
	    .n = tb->block->n - at,
	};
	return 0;
}

/* The part of chunk C of S that is not in its file yet. */
static int
capture_chunk(struct flush *f, struct vnode *v, struct stream *s,
    const struct chunk_info *c)
{
	struct flush_chunk *fc = add_chunk(f);
	uint64_t from = s->flushed + 1 > c->first ? s->flushed + 1 : c->first;

	if (!fc)
		return -ERR_NOMEM;
	fc->stream = s;
	fc->vnode = v;
	fc->info = *c;
	fc->first_part = f->n_parts;
	fc->create = from == c->first;
	fc->offset = c->bytes;
	fc->cut = s->cut;
	fc->seal = c != &s->chunks[s->n_chunks - 1];
	fc->waits = repair_may_help(f->worker, v, s->id, c->first) != 0;
	fc->previous = stream_chain_before(s, c);
	for (uint64_t seq = from; seq <= c->last;) {
		struct tail_block *tb = tail_find(&s->tail, seq);

		ASSERT(tb && tb->chunk_first == c->first);
		if (seq == from)
			fc->offset = tb->file_offset + tail_offset(tb, seq);
		if (add_part(f, tb, seq))
			return -ERR_NOMEM;
		seq = tb->last + 1;
		fc->n_parts++;
	}
	return 0;
}

static struct vnode *
vnode_of(struct store *st, const struct stream *s)
{
	return &st->vnodes[s->bucket->group];
}

static int
capture_stream(struct flush *f, struct stream *s)
{
	uint32_t i = s->n_chunks;

	ASSERT(i > 0);
	while (i > 0 && !s->chunks[i - 1].sealed)
		i--;
	for (; i < s->n_chunks; i++) {
		int r =
		    capture_chunk(f, vnode_of(f->store, s), s, &s->chunks[i]);

		if (r)
			return r;
	}
	return 0;
}

static int
capture_streams(struct flush *f)
{
	struct store_worker *w = f->worker;
	uint64_t bytes = 0;
	uint32_t n = 0;
	struct stream *s;

	while ((s = dirty_first(&w->dirty))) {
		int r = capture_stream(f, s);

		if (r)
			return r;
		dirty_remove(&w->dirty, s);
		bytes += s->chunks[s->n_chunks - 1].bytes;
		if (!f->checkpoint &&
		    (bytes > 4 * (uint64_t)FLUSH_BYTES || ++n >= FLUSH_STREAMS))
			break;
	}
	return 0;
}

static void
add_kept(struct manifest_writer *mw, const struct stream *s)
{
	struct manifest_kept row = {
	    .id = s->id,
	    .hidden = s->kept->hidden,
	    .before = s->kept->before,
	    .from = s->n_chunks ? s->chunks[0].first : s->last + 1,
	    .chain = s->kept->chain,
	};

	if (VNODE_MUTANT(CUT_NOT_SAVED))
		row.from = 0;
	manifest_add_kept(mw, &row);
}

/* The policies that are in force; those that never were any need no saying. */
static void
add_policies(struct manifest_writer *mw, struct vnode *v)
{
	struct retain *r = &v->retain;
	struct buf table;
	int err;

	r->unsaved = 0;
	if (!r->policies)
		return;
	buf_init(&table, POLICIES_BYTES_MAX);
	err = policies_encode(r->policies, &table);
	if (err && !mw->out->error)
		mw->out->error = err;
	if (!err)
		manifest_add_policies(mw, buf_slice(&table));
	buf_deinit(&table);
}

static void
add_rows(struct manifest_writer *mw, struct stream *s, int with_names)
{
	struct manifest_stream row = {
	    .id = s->id,
	    .first = s->first,
	    .last = s->last,
	    .last_t = s->last_t,
	    .total = s->total,
	    .last_bytes = s->last_bytes,
	};
	uint32_t from = with_names ? 0 : s->saved_chunks;

	if (with_names) {
		row.bucket = SLICE(s->bucket->name, s->bucket->name_n);
		row.stream = stream_name(s);
	}
	manifest_add_stream(mw, &row);
	if (s->kept)
		add_kept(mw, s);
	for (uint32_t i = from; i < s->n_chunks; i++)
		manifest_add_chunk(mw, s->id, &s->chunks[i]);
	s->named = 1;
	s->saved_chunks = s->n_chunks ? s->n_chunks - 1 : 0;
	list_del(&s->unsaved);
}

void
flush_add_all_rows(struct manifest_writer *mw, struct vnode *v)
{
	for (uint32_t i = 0; i < v->n_by_id; i++)
		if (v->by_id[i]->last)
			add_rows(mw, v->by_id[i], 1);
	add_policies(mw, v);
	dedup_add_rows(&v->dedup, mw, 1);
	ended_add_rows(&v->ended, mw, 1);
}

static void
begin_snapshot(struct flush *f, struct vnode *v, struct flush_manifest *m,
    struct manifest_writer *mw)
{
	struct manifest_id id = {
	    .group = v->group.id,
	    .generation = v->group.generation,
	    .number = v->manifest.number + 1,
	};

	memcpy(id.cluster_id, f->store->config.cluster_id, 16);
	m->snapshot = 1;
	m->number = id.number;
	m->at = 0;
	mw->crc = 0;
	manifest_add_head(mw, &id);
	flush_add_all_rows(mw, v);
}

static void
begin_delta(
    struct vnode *v, struct flush_manifest *m, struct manifest_writer *mw)
{
	struct list *node;

	m->number = v->manifest.number;
	m->at = manifest_next(v->manifest.bytes);
	mw->crc = v->manifest.crc;
	LIST_FOREACH (l, &v->dead) {
		const struct stream *s = LIST_ENTRY(l, struct stream, unsaved);

		if (s->named && !VNODE_MUTANT(DELETE_NOT_SAVED))
			manifest_add_dropped(mw, s->id);
	}
	while ((node = list_first(&v->unsaved))) {
		struct stream *s = LIST_ENTRY(node, struct stream, unsaved);

		add_rows(mw, s, !s->named);
	}
	if (v->retain.unsaved)
		add_policies(mw, v);
	dedup_add_rows(&v->dedup, mw, 0);
	ended_add_rows(&v->ended, mw, 0);
}

static int
capture_manifest(struct flush *f, struct vnode *v)
{
	struct flush_manifest *m = &f->manifests[f->n_manifests++];
	const struct vnode_manifest *now = &v->manifest;
	const struct group *g = &v->group;
	struct manifest_writer mw = {&m->rows, 0};

	m->vnode = v;
	list_init(&m->dropped);
	m->state = (struct manifest_state){
	    .checkpoint = now->checkpoint + 1,
	    .term = VNODE_MUTANT(MANIFEST_WITHOUT_TERM) ? g->applied_term
							: raft_term(g->raft),
	    .vote =
		VNODE_MUTANT(MANIFEST_WITHOUT_VOTE) ? 0 : raft_vote(g->raft),
	    .applied_index = g->applied_index,
	    .applied_term = g->applied_term,
	    .next_stream_id = g->next_stream_id,
	    .clock_ms = g->clock_ms,
	    .policy_version = retain_version(&v->retain),
	    .journal_floor = g->journal_floor,
	    .damaged = raft_damaged(g->raft),
	};
	entry_members_copy(
	    &m->state.members, raft_members_at(g->raft, g->applied_index));
	buf_init(&m->rows, MANIFEST_ROWS_MAX);
	if (now->number == 0 || now->fresh ||
	    now->bytes > 2 * now->snapshot_bytes + SNAPSHOT_SLACK)
		begin_snapshot(f, v, m, &mw);
	else
		begin_delta(v, m, &mw);
	list_splice_tail(&m->dropped, &v->dead);
	m->crc = mw.crc;
	if (buf_error(&m->rows))
		v->manifest.fresh = 1;
	return buf_error(&m->rows);
}

static int
manifest_behind(const struct vnode *v)
{
	const struct group *g = &v->group;

	if (!g->raft || g->half_applied || fill_adopts(v))
		return 0;
	return g->applied_index != v->manifest.saved_index ||
	       raft_term(g->raft) != v->manifest.saved_term ||
	       raft_vote(g->raft) != v->manifest.saved_vote ||
	       v->manifest.fresh || !list_empty(&v->dead);
}

static int
capture_manifests(struct flush *f)
{
	struct store *s = f->store;
	int r = 0;

	f->manifests = mem_calloc(
	    s->config.n_groups / s->n_workers + 1, sizeof(*f->manifests));
	if (!f->manifests)
		return -ERR_NOMEM;
	for (uint32_t g = f->worker->id; r == 0 && g < s->config.n_groups;
	     g += s->n_workers)
		if (manifest_behind(&s->vnodes[g]))
			r = capture_manifest(f, &s->vnodes[g]);
	return r;
}

int
flush_capture(struct store_worker *w, int checkpoint, struct flush **out)
{
	struct flush *f = mem_zalloc(sizeof(*f));
	int r;

	if (!f)
		return -ERR_NOMEM;
	f->store = w->store;
	f->worker = w;
	f->checkpoint = checkpoint;
	r = capture_streams(f);
	if (r == 0 && checkpoint)
		r = capture_manifests(f);
	if (r) {
		for (uint32_t i = 0; i < f->n_chunks; i++)
			dirty_add(&w->dirty, f->chunks[i].stream);
		for (uint32_t i = 0; i < f->n_manifests; i++) {
			struct flush_manifest *m = &f->manifests[i];

			m->vnode->manifest.fresh = 1;
			dropped_booked(m->vnode, &m->dropped, 0, 0);
		}
		flush_abandon(f);
		return r;
	}
	*out = f;
	return 0;
}
