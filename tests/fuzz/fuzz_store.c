/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_store - a whole node's data as it is found (rig.h): journal, manifests,
 * chunks, copied blocks.
 *
 * The start is refused with a word for a person; or every stream that is listed
 * can be read, each event is whole and stands in a file, seqnum by seqnum, or
 * is called damaged.  Then one more event goes to each stream, and after a clean
 * stop the next start reads the same, and that event.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "tests/fuzz/store_rig.h"
#include "vnode/event.h"

#define STREAMS_MAX 16
#define EVENTS_MAX  256 /* looked at, of a stream */

void
fuzz_reseal(uint8_t *p, size_t n)
{
	struct rig_files files;

	rig_unpack(&files, SLICE(p, n));
	for (uint32_t i = 0; i < files.n; i++) {
		struct rig_file *f = &files.v[i];

		if (strstr(f->name, ".journal"))
			reseal_segment(f->p, f->n);
		else if (strstr(f->name, ".chunk"))
			reseal_chunk(f->p, f->n);
		else if (strstr(f->name, "manifest."))
			reseal_manifest(f->p, f->n);
		/* Not the copied blocks: what contradicts the chunks there is
		 * no damage but another history. */
	}
	rig_repack(&files, p, n);
	rig_files_deinit(&files);
}

/* --- what is there -------------------------------------------------------- */

struct stream {
	uint32_t group;
	char bucket[256], name[256];
	uint64_t first, last;
	uint32_t crcs[EVENTS_MAX]; /* of the record of the n-th; 0: damaged */
};

struct content {
	uint32_t n;
	struct stream streams[STREAMS_MAX];
};

/* A record that was read stands in a file. */
static void
check_known(const struct rig_files *files, struct slice record)
{
	for (uint32_t i = 0; i < files->n; i++)
		if (memmem(files->v[i].p, files->v[i].n, record.p, record.n))
			return;
	ASSERT_UNREACHED();
}

/* The events of a page, from FROM on; how many they are. */
static uint64_t
take_page(struct stream *s, uint64_t from, const struct vnode_page *page,
    const struct rig_files *files)
{
	uint64_t seq = page->first;

	ASSERT(page->first == from);
	for (uint32_t i = 0; i < page->n_parts; i++) {
		struct slice in = page->parts[i].records;

		while (in.n) {
			struct event e;
			uint32_t n;

			ASSERT(event_decode(in, 1, &e, &n) == 0);
			ASSERT(e.seq == seq);
			if (files)
				check_known(files, SLICE(in.p, n));
			if (seq - s->first < EVENTS_MAX)
				s->crcs[seq - s->first] =
				    (uint32_t)(in.p[4] | in.p[5] << 8 |
					       in.p[6] << 16) +
				    1;
			in = SLICE(in.p + n, in.n - n);
			seq++;
		}
	}
	ASSERT(seq == page->last + 1);
	return seq - from;
}

static void
read_stream(
    struct store_rig *sr, struct stream *s, const struct rig_files *files)
{
	uint64_t from = s->first;

	while (from <= s->last && from - s->first < EVENTS_MAX) {
		struct vnode_read req = {
		    .group = s->group,
		    .bucket = SLICE_STR(s->bucket),
		    .stream = SLICE_STR(s->name),
		    .from = from,
		    .to = UINT64_MAX,
		    .limit = UINT64_MAX,
		    .max_bytes = 4096,
		};

		sr_read(sr, &req);
		if (req.r == -ERR_CORRUPT) {
			ASSERT(req.damaged_first >= from);
			ASSERT(req.damaged_last >= req.damaged_first);
			from = req.damaged_last + 1;
			continue;
		}
		ASSERT(req.r == 0 && req.newest == s->last);
		from += take_page(s, from, &req.page, files);
		vnode_page_deinit(&req.page);
	}
}

static void
name_of(char out[256], struct slice s)
{
	ASSERT(s.n > 0 && s.n < 256);
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

/* The streams of BUCKET, or with an empty one the buckets.  -1: the group does
 * not answer, as one without a majority. */
static int
list(struct store_rig *sr, uint32_t group, struct slice bucket,
    struct vnode_list *out)
{
	*out = (struct vnode_list){
	    .group = group, .bucket = bucket, .limit = 4, .detail = 1};
	sr_list(sr, out);
	ASSERT(out->r <= 0 && out->r != -ERR_BUG);
	return out->r ? -1 : 0;
}

static void
look_at_bucket(struct store_rig *sr, uint32_t group, struct slice bucket,
    struct content *c, const struct rig_files *files)
{
	struct vnode_list streams;

	if (list(sr, group, bucket, &streams))
		return;
	for (uint32_t i = 0; i < streams.n_items && c->n < STREAMS_MAX; i++) {
		const struct vnode_list_item *item = &streams.items[i];
		struct stream *s = &c->streams[c->n];

		if (memchr(item->name.p, '\0', item->name.n) ||
		    memchr(bucket.p, '\0', bucket.n))
			continue;
		*s = (struct stream){
		    .group = group, .first = item->first, .last = item->last};
		name_of(s->bucket, bucket);
		name_of(s->name, item->name);
		ASSERT(s->first >= 1 && s->last >= s->first - 1);
		read_stream(sr, s, files);
		c->n++;
	}
	vnode_list_deinit(&streams);
}

static void
look(struct store_rig *sr, struct content *c, const struct rig_files *files)
{
	c->n = 0;
	for (uint32_t g = 0; g < SR_GROUPS; g++) {
		struct vnode_list buckets;

		if (list(sr, g, SLICE(NULL, 0), &buckets))
			continue;
		for (uint32_t i = 0; i < buckets.n_items; i++)
			look_at_bucket(sr, g, buckets.items[i].name, c, files);
		vnode_list_deinit(&buckets);
	}
}

/* --- going on ------------------------------------------------------------- */

/* One event more for each; those that took none are as they were. */
static void
append(struct store_rig *sr, struct content *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		struct stream *s = &c->streams[i];
		struct vnode_put_event event = {
		    .flags = EVENT_JSON, .data = SLICE_LIT("1")};
		struct vnode_put req = {
		    .group = s->group,
		    .bucket = SLICE_STR(s->bucket),
		    .stream = SLICE_STR(s->name),
		    .n_events = 1,
		    .events = &event,
		};

		sr_put(sr, &req);
		if (req.r == 0) {
			ASSERT(req.first == s->last + 1);
			s->last++;
		}
	}
}

/* An event is what it was; or it was in memory, and lies behind a damaged one
 * in the chunk file now. */
static void
check_events(const struct stream *a, const struct stream *b)
{
	int damaged = 0;

	for (uint64_t k = 0; k < EVENTS_MAX && a->first + k <= a->last; k++) {
		damaged |= a->crcs[k] == 0;
		ASSERT(a->crcs[k] == b->crcs[k] || a->crcs[k] == 0 ||
		       (damaged && b->crcs[k] == 0));
	}
}

static void
check_same(const struct content *was, const struct content *is)
{
	ASSERT(was->n == is->n);
	for (uint32_t i = 0; i < was->n; i++) {
		const struct stream *a = &was->streams[i];
		const struct stream *b = &is->streams[i];

		ASSERT(strcmp(a->bucket, b->bucket) == 0);
		ASSERT(strcmp(a->name, b->name) == 0);
		ASSERT(a->first == b->first && a->last == b->last);
		check_events(a, b);
	}
}

static void
check_store(struct store_rig *sr, const struct rig_files *files)
{
	static struct content was, is;

	if (sr_open(sr)) {
		ASSERT(sr->why[0]);
		return;
	}
	look(sr, &was, files);
	append(sr, &was);
	if (sr->fatal) {
		sr_kill(sr);
		return;
	}
	sr_stop(sr);
	if (sr_open(sr)) {
		fprintf(stderr, "%s\n", sr->why);
		ASSERT_UNREACHED();
	}
	look(sr, &is, NULL);
	check_same(&was, &is);
	sr_stop(sr);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct rig_files files;
	struct store_rig sr;

	rig_unpack(&files, SLICE(p, n));
	sr_init(&sr);
	rig_put(&sr.rig, SR_DIR, &files);
	check_store(&sr, &files);
	sr_deinit(&sr);
	rig_files_deinit(&files);
	return 0;
}
