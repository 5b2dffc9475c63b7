/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * seeds DIR - writes DIR/<target>/<name>: whole files as our encoders make
 * them, to begin fuzzing with.
 */
#include <sys/stat.h>

#include "ring/gossip.h"
#include "ring/ring_file.h"
#include "src/base/assert.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/reseal.h"
#include "tests/fuzz/rig.h"
#include "tests/fuzz/seeds.h"
#include "vnode/chunk.h"
#include "vnode/entry.h"
#include "vnode/event.h"
#include "vnode/manifest.h"

static const char *root;

void
seed_write(const char *target, const char *name, struct slice bytes,
    void (*reseal)(uint8_t *p, size_t n))
{
	uint8_t *copy = mem_alloc(bytes.n);
	char path[512];
	FILE *f;

	ASSERT(copy);
	memcpy(copy, bytes.p, bytes.n);
	if (reseal)
		reseal(copy, bytes.n);
	ASSERT(slice_equal(SLICE(copy, bytes.n), bytes));
	mem_free(copy);

	snprintf(path, sizeof(path), "%s/%s", root, target);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/%s", root, target, name);
	f = fopen(path, "wb");
	ASSERT(f && fwrite(bytes.p, 1, bytes.n, f) == bytes.n);
	ASSERT(fclose(f) == 0);
}

/* --- events, entries, chunks ---------------------------------------------- */

static void
add_event(struct buf *b, const struct event *e)
{
	uint8_t *p = buf_reserve(b, event_bytes(e));

	ASSERT(p);
	b->n += event_encode_head(e, p);
	buf_add_slice(b, e->data);
}

/* Bodies of all kinds; with BIG some of several KiB. */
static void
add_events(struct buf *b, uint64_t first, uint64_t n, size_t big)
{
	uint8_t *noise = mem_alloc(big + 1);

	ASSERT(noise);
	memset(noise, 'x', big + 1);
	for (uint64_t seq = first; seq < first + n; seq++) {
		struct event e = {.seq = seq,
		    .t_ms = 1700000000123 + seq / 2,
		    .index = 3 + seq / 3,
		    .ordinal = (uint32_t)(seq % 3),
		    .flags = seq % 2 ? EVENT_JSON : 0,
		    .type = seq % 2 ? SLICE_LIT("") : SLICE_LIT("image/png"),
		    .data = SLICE_LIT("{\"mag\":4.2,\n\"place\":\"Amboy\"}")};

		if (seq % 4 == 0)
			e.data = SLICE(noise, big);
		if (seq % 5 == 0) {
			e.flags |= EVENT_KEY;
			e.ext = SLICE_LIT(
			    "0123456789abcdef0123456789abcdef\1\0\0\0");
		}
		if (seq % 7 == 0)
			e.data = SLICE_LIT("");
		add_event(b, &e);
	}
	mem_free(noise);
}

static void
seed_entries(void)
{
	uint8_t header[ENTRY_HEADER_BYTES];
	struct buf b, records;

	buf_init(&b, 1 << 20);
	buf_init(&records, 1 << 20);
	add_events(&records, 1, 10, 100);
	seed_write("event", "ten", buf_slice(&records), reseal_events);

	entry_put_header(header, 1, 1700000000123);
	buf_add(&b, header, sizeof(header));
	entry_add_noop(&b);
	seed_write("entry", "noop", buf_slice(&b), reseal_entry);
	entry_put_header(b.p, 4, 1700000000123);
	entry_add_create(&b, 1, SLICE_LIT("foo"), SLICE_LIT("bar"));
	entry_add_append(&b, 1, 1, 10, (uint32_t)records.n);
	buf_add_slice(&b, buf_slice(&records));
	entry_add_create(&b, 2, SLICE_LIT("b"), SLICE_LIT("\xc3\xa4/\n"));
	seed_write("entry", "four", buf_slice(&b), reseal_entry);
	buf_deinit(&b);
	buf_deinit(&records);
}

static void
seed_chunk(const char *name, uint64_t first, uint64_t n, size_t big, int sealed)
{
	struct chunk_id id = {.cluster_id = "0123456789abcde",
	    .group = 19,
	    .stream_id = 5,
	    .first = first,
	    .bucket = SLICE_LIT("foo"),
	    .stream = SLICE_LIT("bar")};
	struct chunk_info info = {.first = first,
	    .last = first + n - 1,
	    .first_t = 1700000000123 + first / 2,
	    .last_t = 1700000000123 + (first + n - 1) / 2};
	struct buf b, footer;

	buf_init(&b, 1 << 20);
	buf_init(&footer, 1 << 20);
	if (first > 1)
		id.previous = (struct hash128){1, 2};
	chunk_encode_header(&id, buf_reserve(&b, chunk_header_bytes(&id)));
	b.n = chunk_header_bytes(&id);
	add_events(&b, first, n, big);
	info.bytes = (uint32_t)b.n;
	ASSERT(chunk_add_footer(&footer, buf_slice(&b), chunk_header_bytes(&id),
		   &info) == 0);
	if (sealed)
		buf_add_slice(&b, buf_slice(&footer));
	seed_write("chunk", name, buf_slice(&b), reseal_chunk);
	buf_deinit(&footer);
	buf_deinit(&b);
}

/* --- manifests ------------------------------------------------------------ */

static void
add_checkpoint(struct manifest_writer *w, uint64_t n, uint64_t last)
{
	struct manifest_stream s = {.id = 1,
	    .first = 1,
	    .last = last,
	    .last_t = 1700000000123 + last,
	    .total = 14 * last,
	    .last_bytes = 14};
	struct chunk_info c = {.first = 1,
	    .last = last,
	    .first_t = 1700000000123,
	    .last_t = 1700000000123 + last,
	    .bytes = (uint32_t)(80 + 47 * last),
	    .last_bytes = 14,
	    .sealed = n > 2,
	    .chain = {n, last}};
	struct manifest_state st = {.checkpoint = n,
	    .term = 2,
	    .vote = 1,
	    .members = {1, {{.id = 1, .voter = 1, .node = "fedcba987654321"}}},
	    .applied_index = last + 1,
	    .applied_term = 2,
	    .next_stream_id = 3,
	    .clock_ms = 1700000000123 + last};

	if (n == 1) {
		s.bucket = SLICE_LIT("foo");
		s.stream = SLICE_LIT("bar");
	}
	manifest_add_stream(w, &s);
	manifest_add_chunk(w, 1, &c);
	manifest_add_commit(w, &st);
}

static void
seed_manifests(void)
{
	struct manifest_id id = {.cluster_id = "0123456789abcde",
	    .group = 19,
	    .generation = 1,
	    .number = 3};
	struct manifest_mark mark = {3, 4711, 2, 99};
	uint8_t out[MANIFEST_MARK_BYTES];
	struct manifest_writer w;
	struct buf b;

	buf_init(&b, 1 << 20);
	w = (struct manifest_writer){&b, 0};
	manifest_add_head(&w, &id);
	for (uint64_t n = 1; n < 4; n++) {
		while (b.n % MANIFEST_BLOCK && n > 1)
			buf_add_byte(&b, 0);
		add_checkpoint(&w, n, 2 * n);
		if (n == 1)
			seed_write("manifest", "snapshot", buf_slice(&b),
			    reseal_manifest);
	}
	seed_write("manifest", "deltas", buf_slice(&b), reseal_manifest);
	buf_deinit(&b);
	manifest_encode_mark(&mark, out);
	seed_write("manifest", "mark", SLICE(out, sizeof(out)), NULL);
	seed_write("manifest", "name", SLICE_LIT("manifest.00000003"), NULL);
}

/* --- who and where -------------------------------------------------------- */

static void
write_ring(const char *name, const struct ring *r)
{
	struct buf b;

	buf_init(&b, RING_ENCODED_MAX);
	ASSERT(ring_file_encode(r, &b) == 0);
	seed_write("ring", name, buf_slice(&b), reseal_ring);
	buf_deinit(&b);
}

static void
seed_ring(void)
{
	static const uint8_t cluster[16] = "cluster", a[16] = "node a";
	struct ring *r = ring_new(cluster, a, "a@10.0.0.1", 8, 3);
	struct ring_member members[3] = {
	    {.id = "node a", .name = "a@10.0.0.1", .state = RING_VALID},
	    {.id = "node b", .name = "b@10.0.0.2:9", .state = RING_LEAVING},
	    {.id = "node c",
		.name = "c@c",
		.address = "10.0.0.3:8099",
		.state = RING_JOINING}};
	struct ring_change staged[2] = {
	    {RING_LEAVE, 0, RING_NOBODY}, {RING_FORCE_REPLACE, 1, 2}};
	struct ring three;

	ASSERT(r);
	write_ring("one", r);
	three = *r;
	three.epoch = UINT64_C(1) << 40;
	three.members = members;
	three.n_members = 3;
	three.staged = staged;
	three.n_staged = 2;
	three.has_plan = 1;
	for (uint16_t i = 0; i < three.q; i++)
		three.owners[i] = i % 2;
	write_ring("three", &three);
	ring_unref(r);
}

static void
write_gossip(const struct gossip *g, enum gossip_kind kind, const char *name)
{
	struct gossip_message m = {.kind = kind, .epoch = g->ring->epoch};
	struct buf b, ring;

	buf_init(&b, GOSSIP_MAX);
	buf_init(&ring, RING_ENCODED_MAX);
	if (kind == GOSSIP_BODY)
		ring_encode(g->ring, &ring);
	m.body = buf_slice(&ring);
	memcpy(m.cluster_id, g->ring->cluster_id, sizeof(m.cluster_id));
	memcpy(m.hash, g->hash, sizeof(m.hash));
	gossip_encode(&m, &b);
	seed_write("gossip", name, buf_slice(&b), reseal_gossip);
	buf_deinit(&b);
	buf_deinit(&ring);
}

/* What nodes ahead of the target, with it and behind it say. */
static void
seed_gossip(void)
{
	static const uint8_t cluster[16] = "cluster", a[16] = "node a";
	struct ring *r = ring_new(cluster, a, "a@10.0.0.1", 8, 3);
	struct gossip g;

	ASSERT(r);
	for (r->epoch = 4; r->epoch <= 6; r->epoch++) {
		ASSERT(gossip_init(&g, r) == 0);
		for (int kind = GOSSIP_BEAT; kind <= GOSSIP_BODY; kind++) {
			char name[32];

			snprintf(name, sizeof(name), "%d-of-%d", kind,
			    (int)r->epoch);
			write_gossip(&g, (enum gossip_kind)kind, name);
		}
		gossip_deinit(&g);
	}
	ring_unref(r);
}

static void
seed_identity(void)
{
	struct identity id;
	struct buf b;
	char why[256];
	struct rig rig;

	rig_init(&rig);
	ASSERT(identity_open(
		   rig.env, "n@127.0.0.1", 64, &id, why, sizeof(why)) == 0);
	buf_init(&b, 4096);
	ASSERT(memdisk_read_all(rig.md, "node.id", &b) == 0);
	seed_write("identity", "node.id", buf_slice(&b), reseal_node_id);
	buf_deinit(&b);
	rig_deinit(&rig);
}

int
main(int argc, char **argv)
{
	ASSERT(argc == 2);
	root = argv[1];
	mkdir(root, 0777);
	seed_entries();
	seed_chunk("open", 1, 9, 100, 0);
	seed_chunk("sealed", 1, 9, 100, 1);
	seed_chunk("second", 1000, 17, 35000, 1);
	seed_manifests();
	seed_ring();
	seed_gossip();
	seed_identity();
	seed_journals();
	seed_stores();
	seed_frames();
	seed_sealed();
	return 0;
}
