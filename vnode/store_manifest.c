/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_manifest - a vnode as its manifest says it was.
 *
 * Rows come in the order in which they were written, so what a later one says
 * counts; each is held against what is there already, and the whole, at the end,
 * against itself.
 */
#include "src/base/err.h"
#include "vnode/store_open.h"

struct load {
	struct store *store;
	struct vnode *vnode;
	struct tail_cache *cache;
	struct buf policies; /* as far as they came */
};

static int
load_stream(void *arg, const struct manifest_stream *row)
{
	struct load *l = arg;
	struct vnode *v = l->vnode;
	struct stream *s = vnode_by_id(v, row->id);

	if (!s) {
		uint64_t newest = v->n_by_id ? v->by_id[v->n_by_id - 1]->id : 0;

		if (row->bucket.n == 0 || row->id <= newest ||
		    vnode_newest(v, row->bucket, row->stream))
			return -ERR_CORRUPT;
		s = vnode_create(v, row->id, row->bucket, row->stream);
		if (!s)
			return -ERR_NOMEM;
	}
	if (row->last < s->last || row->first < s->first || row->last == 0 ||
	    row->total < s->total || row->last_bytes > row->total)
		return -ERR_CORRUPT;
	s->first = row->first;
	s->last = s->proposed = s->flushed = row->last;
	s->last_t = row->last_t;
	s->total = row->total;
	s->last_bytes = row->last_bytes;
	s->named = 1;
	return vnode_made_visible(v, s);
}

static int
load_chunk(void *arg, uint64_t stream_id, const struct chunk_info *c)
{
	struct load *l = arg;
	struct stream *s = vnode_by_id(l->vnode, stream_id);
	int r;

	if (!s || c->first == 0 || c->last < c->first || c->last > s->last)
		return -ERR_CORRUPT;
	r = stream_set_chunk(s, c);
	s->saved_chunks = s->n_chunks - 1;
	return r;
}

static int
load_kept(void *arg, const struct manifest_kept *row)
{
	struct load *l = arg;
	struct stream *s = vnode_by_id(l->vnode, row->id);
	struct kept *k = s ? kept_of(s) : NULL;
	uint32_t n = 0;

	if (!s)
		return -ERR_CORRUPT;
	if (!k)
		return -ERR_NOMEM;
	k->hidden = row->hidden;
	k->before = row->before;
	k->chain = row->chain;
	while (n < s->n_chunks && s->chunks[n].first < row->from)
		n++;
	s->n_chunks -= n;
	if (n)
		memmove(
		    s->chunks, s->chunks + n, s->n_chunks * sizeof(*s->chunks));
	s->saved_chunks = s->n_chunks ? s->n_chunks - 1 : 0;
	return 0;
}

static int
load_policies(void *arg, struct slice piece, uint32_t at, uint32_t bytes)
{
	struct load *l = arg;

	(void)bytes;
	if (at == 0)
		buf_reset(&l->policies);
	if (at != l->policies.n)
		return -ERR_CORRUPT;
	buf_add_slice(&l->policies, piece);
	return buf_error(&l->policies);
}

/* Its files, if a crash has left any, are found later: dropped.c. */
static int
load_dropped(void *arg, uint64_t stream_id)
{
	struct load *l = arg;
	struct stream *s = vnode_by_id(l->vnode, stream_id);

	if (!s)
		return -ERR_CORRUPT;
	dedup_drop_stream(&l->vnode->dedup, s);
	vnode_unlink(l->vnode, s);
	vnode_free_stream(l->vnode, s, l->cache);
	return 0;
}

static int
load_key(void *arg, const struct manifest_key *k)
{
	struct vnode *v = ((struct load *)arg)->vnode;
	struct stream *s = vnode_by_id(v, k->stream_id);
	int r;

	if (!s || k->first == 0 || k->first > s->last ||
	    k->id.n_events - 1 > s->last - k->first)
		return -ERR_CORRUPT;
	r = dedup_add(&v->dedup, s, k->first, k->t_ms, &k->id);
	if (r == 0)
		s->keys->saved = 1;
	return r;
}

static int
load_ended(void *arg, const struct manifest_ended *row)
{
	return ended_add(&((struct load *)arg)->vnode->ended, row, 1);
}

static int
load_commit(void *arg, const struct manifest_state *st)
{
	struct load *l = arg;
	struct group *g = &l->vnode->group;

	if (st->applied_index < g->applied_index ||
	    st->next_stream_id < g->next_stream_id)
		return -ERR_CORRUPT;
	g->applied_index = st->applied_index;
	g->applied_term = st->applied_term;
	g->next_stream_id = st->next_stream_id;
	g->clock_ms = st->clock_ms;
	g->journal_floor = st->journal_floor;
	dedup_expire(&l->vnode->dedup, st->clock_ms);
	l->vnode->recovered->term = st->term;
	l->vnode->recovered->vote = st->vote;
	l->vnode->recovered->damaged = st->damaged;
	l->vnode->recovered->members = st->members;
	l->vnode->manifest.checkpoint = st->checkpoint;
	l->vnode->manifest.saved_index = st->applied_index;
	l->vnode->manifest.previous_index = st->applied_index;
	l->vnode->manifest.saved_term = st->term;
	l->vnode->manifest.saved_vote = st->vote;
	return 0;
}

/* What is hidden of S is some of what there is. */
static int
check_kept(const struct stream *s)
{
	const struct kept *k = s->kept;
	const struct chunk_info *c;

	if (!k)
		return s->first == 1 ? 0 : -ERR_CORRUPT;
	if (k->hidden.seq > s->last ||
	    k->hidden.before > s->total - s->last_bytes)
		return -ERR_CORRUPT;
	if (s->first > s->last)
		return k->before == s->total ? 0 : -ERR_CORRUPT;
	c = stream_chunk(s, s->first);
	if (k->before < c->before || k->before > kept_end(s, c))
		return -ERR_CORRUPT;
	return 0;
}

/* C, chunk I of S, can hold the events that it says it has. */
static int
check_chunk(const struct stream *s, uint32_t i, uint64_t header)
{
	const struct chunk_info *c = &s->chunks[i];
	uint64_t n = c->last - c->first + 1, end = kept_end(s, c);

	if (n > CHUNK_EVENTS_MAX || c->bytes < header + n * EVENT_HEADER_BYTES)
		return -ERR_CORRUPT;
	if (c->before > end || end > s->total ||
	    c->last_bytes > end - c->before)
		return -ERR_CORRUPT;
	return 0;
}

/* Its chunks hold the events that it says it has. */
static int
check_stream(const struct stream *s)
{
	struct chunk_id id = {
	    .bucket = {NULL, s->bucket->name_n}, .stream = {NULL, s->name_n}};
	uint64_t header = chunk_header_bytes(&id);

	if (s->n_chunks == 0)
		return s->first > s->last ? check_kept(s) : -ERR_CORRUPT;
	if (s->first > s->last + 1 || s->chunks[0].first > s->first ||
	    s->chunks[s->n_chunks - 1].last != s->last)
		return -ERR_CORRUPT;
	for (uint32_t i = 0; i < s->n_chunks; i++)
		if (check_chunk(s, i, header))
			return -ERR_CORRUPT;
	return check_kept(s);
}

static const struct manifest_reader_ops load_ops = {
    .stream = load_stream,
    .chunk = load_chunk,
    .key = load_key,
    .dropped = load_dropped,
    .ended = load_ended,
    .commit = load_commit,
    .kept = load_kept,
    .policies = load_policies,
};

/* TABLE, if there is one, is in force. */
static int
take_policies(struct vnode *v, struct slice table)
{
	struct policies *t = NULL;
	int r = table.n ? policies_decode(&t, table) : 0;

	return r ? r : retain_loaded(v, t);
}

int
store_load_manifest(struct store *s, struct vnode *v, uint32_t number,
    uint64_t generation, struct slice file)
{
	struct load l = {.store = s, .vnode = v};
	struct manifest_id id = {
	    .group = v->group.id,
	    .generation = generation,
	    .number = number,
	};
	struct manifest_end end;
	int r;

	memcpy(id.cluster_id, s->config.cluster_id, 16);
	buf_init(&l.policies, POLICIES_BYTES_MAX);
	r = manifest_read(file, &id, &load_ops, &l, &end);
	for (uint32_t i = 0; r == 0 && i < v->n_by_id; i++)
		r = check_stream(v->by_id[i]);
	if (r == 0)
		r = take_policies(v, buf_slice(&l.policies));
	buf_deinit(&l.policies);
	if (r)
		return r;
	v->manifest.number = number;
	v->manifest.bytes = end.bytes;
	v->manifest.crc = end.crc;
	v->manifest.snapshot_bytes = end.bytes;
	return 0;
}
