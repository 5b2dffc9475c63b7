/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * vnode - one replica of a group: its streams by name and by id.
 *
 * Lists are kept per bucket and sorted when they are asked for: creating a
 * stream only adds it at the end, and the next list sorts once.
 */
#include "vnode/vnode.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"

struct names {
	struct slice bucket, stream;
};

static uint64_t
bucket_hash(const struct vnode *v, struct slice name)
{
	return hash64(name.p, name.n, v->seed);
}

static uint64_t
stream_hash(const struct vnode *v, struct slice bucket, struct slice stream)
{
	return hash64(stream.p, stream.n, bucket_hash(v, bucket));
}

static struct slice
bucket_name(const struct bucket *b)
{
	return SLICE(b->name, b->name_n);
}

static int
stream_is(const void *value, const void *key)
{
	const struct stream *s = value;
	const struct names *n = key;

	return slice_equal(stream_name(s), n->stream) &&
	       slice_equal(bucket_name(s->bucket), n->bucket);
}

static int
bucket_is(const void *value, const void *key)
{
	const struct slice *name = key;

	return slice_equal(bucket_name(value), *name);
}

void
vnode_dir_name(char out[VNODE_DIR_BYTES], const char *store_dir, uint16_t group,
    uint64_t generation, uint32_t life)
{
	int n = snprintf(out, VNODE_DIR_BYTES, "%s/vnodes/%u-%llu.%u",
	    store_dir, group, (unsigned long long)generation, life);

	ASSERT(n > 0 && n < VNODE_DIR_BYTES);
}

void
vnode_init(struct vnode *v, uint16_t group, uint64_t generation, uint32_t life,
    const char *store_dir, uint64_t seed, const struct dedup_limits *limits)
{
	*v = (struct vnode){.seed = seed, .life = life};
	group_init(&v->group, group, generation);
	vnode_dir_name(v->dir, store_dir, group, generation, life);
	list_init(&v->unsaved);
	list_init(&v->dead);
	list_init(&v->gone);
	table_init(&v->streams, seed, stream_is);
	table_init(&v->buckets, seed, bucket_is);
	watch_init(&v->watches, seed);
	dedup_init(&v->dedup, limits, seed);
	ended_init(&v->ended);
	retain_init(&v->retain);
}

static void
free_all(struct list *streams, struct tail_cache *cache)
{
	struct list *l;

	while ((l = list_take_first(streams)))
		stream_free(LIST_ENTRY(l, struct stream, unsaved), cache);
}

void
vnode_clear(struct vnode *v, struct tail_cache *cache)
{
	struct table_iter it;
	struct bucket *b;

	dedup_clear(&v->dedup);
	ended_clear(&v->ended);
	retain_clear(&v->retain);
	table_iter_init(&it, &v->buckets);
	for (uint32_t i = 0; i < v->n_by_id; i++)
		stream_free(v->by_id[i], cache);
	free_all(&v->dead, cache);
	free_all(&v->gone, cache);
	while ((b = table_iter_next(&it))) {
		mem_free(b->streams);
		mem_free(b);
	}
	table_clear(&v->streams);
	table_clear(&v->buckets);
	table_deinit(&v->streams);
	table_deinit(&v->buckets);
	v->by_id = mem_free(v->by_id);
	v->n_by_id = v->cap_by_id = 0;
}

void
vnode_deinit(struct vnode *v, struct tail_cache *cache)
{
	group_deinit(&v->group);
	watch_deinit(&v->watches);
	vnode_clear(v, cache);
}

struct stream *
vnode_newest(const struct vnode *v, struct slice bucket, struct slice stream)
{
	struct names key = {bucket, stream};

	return table_find(&v->streams, stream_hash(v, bucket, stream), &key);
}

struct bucket *
vnode_bucket(const struct vnode *v, struct slice name)
{
	return table_find(&v->buckets, bucket_hash(v, name), &name);
}

struct stream *
vnode_find(const struct vnode *v, struct slice bucket, struct slice stream)
{
	struct stream *s = vnode_newest(v, bucket, stream);

	while (s && s->last == 0)
		s = s->older;
	return s;
}

/* Where the stream ID stands, or would stand. */
static uint32_t
place_of(const struct vnode *v, uint64_t id)
{
	uint32_t lo = 0, hi = v->n_by_id;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (v->by_id[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct stream *
vnode_by_id(const struct vnode *v, uint64_t id)
{
	uint32_t i = place_of(v, id);

	return i < v->n_by_id && v->by_id[i]->id == id ? v->by_id[i] : NULL;
}

uint32_t
vnode_count_streams(const struct vnode *v, struct slice name)
{
	const struct bucket *b =
	    table_find(&v->buckets, bucket_hash(v, name), &name);

	return b ? b->n_streams : 0;
}

static struct bucket *
get_bucket(struct vnode *v, struct slice name)
{
	uint64_t h = bucket_hash(v, name);
	struct bucket *b = table_find(&v->buckets, h, &name);

	if (b)
		return b;
	b = mem_zalloc(sizeof(*b) + name.n);
	if (!b)
		return NULL;
	b->group = v->group.id;
	b->sorted = 1;
	b->name_n = (uint8_t)name.n;
	memcpy(b->name, name.p, name.n);
	if (table_insert(&v->buckets, h, b))
		return mem_free(b);
	retain_bucket(&v->retain, b);
	return b;
}

static void
put_bucket(struct vnode *v, struct bucket *b)
{
	struct slice name = bucket_name(b);

	if (b->refs)
		return;
	table_remove(&v->buckets, bucket_hash(v, name), &name);
	mem_free(b->streams);
	mem_free(b);
}

static int
grow_pointers(struct stream ***array, uint32_t n, uint32_t *cap)
{
	uint32_t more = *cap ? *cap * 2 : 4;
	struct stream **p;

	if (n < *cap)
		return 0;
	p = mem_realloc(*array, more * sizeof(*p));
	if (!p)
		return -ERR_NOMEM;
	*array = p;
	*cap = more;
	return 0;
}

/* S stands for its name instead of WAS, if that is not NULL. */
static int
take_name(struct vnode *v, struct stream *s, struct stream *was)
{
	struct names key = {bucket_name(s->bucket), stream_name(s)};
	uint64_t h = stream_hash(v, key.bucket, key.stream);

	if (was)
		table_remove(&v->streams, h, &key); /* leaves room */
	return table_insert(&v->streams, h, s);
}

/* S stands for its name no more, nor behind another. */
static void
leave_name(struct vnode *v, struct stream *s)
{
	struct names key = {bucket_name(s->bucket), stream_name(s)};
	uint64_t h = stream_hash(v, key.bucket, key.stream);
	struct stream *newer = table_find(&v->streams, h, &key);

	if (newer == s) {
		table_remove(&v->streams, h, &key);
		if (s->older) /* into the room that is free now */
			table_insert(&v->streams, h, s->older);
		return;
	}
	while (newer->older != s)
		newer = newer->older;
	newer->older = s->older;
}

static struct stream *
add_stream(struct vnode *v, struct bucket *b, uint64_t id, struct slice name)
{
	struct stream *was = vnode_newest(v, bucket_name(b), name), *s;

	ASSERT(v->n_by_id == 0 || v->by_id[v->n_by_id - 1]->id < id);
	ASSERT(!was || was->dropping);
	if (grow_pointers(&v->by_id, v->n_by_id, &v->cap_by_id))
		return NULL;
	s = stream_new(b, id, name);
	if (!s)
		return NULL;
	if (take_name(v, s, was))
		return stream_free(s, NULL);
	s->older = was;
	v->by_id[v->n_by_id++] = s;
	b->refs++;
	return s;
}

struct stream *
vnode_create(
    struct vnode *v, uint64_t id, struct slice bucket, struct slice stream)
{
	struct bucket *b = get_bucket(v, bucket);
	struct stream *s = b ? add_stream(v, b, id, stream) : NULL;

	if (s && retain_stream(v, s)) {
		vnode_unlink(v, s);
		vnode_free_stream(v, s, NULL);
		return NULL;
	}
	if (b && !s)
		put_bucket(v, b);
	return s;
}

void
vnode_leave_bucket(struct vnode *v, struct stream *s)
{
	struct bucket *b = s->bucket;

	s->bucket = NULL;
	b->refs--;
	put_bucket(v, b);
}

void
vnode_free_stream(struct vnode *v, struct stream *s, struct tail_cache *cache)
{
	vnode_leave_bucket(v, s);
	stream_free(s, cache);
}

static void
unlist(struct bucket *b, const struct stream *s)
{
	uint32_t i = 0;

	while (b->streams[i] != s)
		i++;
	memmove(b->streams + i, b->streams + i + 1,
	    (--b->n_streams - i) * sizeof(*b->streams));
}

void
vnode_unlink(struct vnode *v, struct stream *s)
{
	uint32_t i = place_of(v, s->id);

	memmove(v->by_id + i, v->by_id + i + 1,
	    (--v->n_by_id - i) * sizeof(*v->by_id));
	leave_name(v, s);
	list_del(&s->unsaved);
	retain_forget(&v->retain, s);
	if (!s->listed)
		return;
	unlist(s->bucket, s);
	s->listed = 0;
	v->n_events -= s->last - s->first + 1;
	v->bytes -= s->total - kept_before(s);
}

void
vnode_forget_proposed(struct vnode *v, uint64_t from)
{
	while (v->n_by_id && v->by_id[v->n_by_id - 1]->last == 0 &&
	       v->by_id[v->n_by_id - 1]->id >= from) {
		struct stream *s = v->by_id[v->n_by_id - 1];

		vnode_unlink(v, s);
		vnode_free_stream(v, s, NULL);
	}
}

int
vnode_made_visible(struct vnode *v, struct stream *s)
{
	struct bucket *b = s->bucket;
	int r;

	(void)v;
	if (s->listed)
		return 0;
	r = grow_pointers(&b->streams, b->n_streams, &b->cap_streams);
	if (r)
		return r;
	b->streams[b->n_streams++] = s;
	b->sorted = b->n_streams == 1;
	s->listed = 1;
	return 0;
}
