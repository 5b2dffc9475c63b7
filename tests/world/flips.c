/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * flips - bits that turn, in chunks and in the journal of one node.
 *
 * A group must be able to do without that node, so its groups have three voters
 * before the first bit turns, and never fewer again: see operator.c, rings.c.  In
 * the journal only what is proven durable is hit: what stands in front of a record
 * that says so and is itself known to be durable.  What the newest batch loses
 * looks like a torn end, as journal.c says.
 *
 * With manifests, rings and identities it is another matter: a node that cannot
 * do without them refuses to start, and then its disk is replaced.  So that is
 * done where a disk may be lost (flips_spoil, rings.c).
 */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/world/world.h"
#include "vnode/journal.h"

#define BLOCK        4096
#define HEADER_BYTES 56 /* of a segment */
#define PATH_BYTES   256

void
flips_begin(struct world *w)
{
	struct flips *f = &w->flips;

	if (w->n_nodes < 3 || !world_one_in(w, 3))
		return;
	f->on = 1;
	f->slot = (uint32_t)world_between(w, 1, w->n_nodes - 1);
	w->misfortune[CHAOS_NO_MEMORY] = 0;
	w->misfortune[CHAOS_BIT_FLIP] = (uint32_t)world_between(w, 5, 200);
}

/* GROUP can do without one of its voters, and all know that. */
static int
is_safe(struct world *w, uint32_t group)
{
	struct node *n = groups_leader(w, group);
	struct store_group g;
	uint32_t voters = 0;

	if (!n)
		return 0;
	store_group(n->store, group, &g);
	for (uint32_t i = 0; i < g.members.n; i++)
		voters += g.members.at[i].voter;
	return voters >= 3 && g.ready && g.applied == g.last;
}

static int
may_flip(struct world *w)
{
	for (uint32_t g = 0; g < w->n_logs; g++)
		if (!(w->flips.safe >> g & 1) && is_safe(w, g))
			w->flips.safe |= 1u << g;
	return w->flips.safe == (1u << w->n_logs) - 1;
}

/* --- some file ---------------------------------------------------------------
 */

/* One of the names that WANT takes, each as likely. */
struct lot {
	struct world *world;
	int (*want)(const char *name);
	uint32_t n;
	char name[64];
};

static void
note_name(void *arg, const char *name)
{
	struct lot *l = arg;

	if (l->want(name) && world_below(l->world, ++l->n) == 0)
		snprintf(l->name, sizeof(l->name), "%s", name);
}

static int
draw_file(struct node *n, const char *dir, int (*want)(const char *name),
    char out[PATH_BYTES])
{
	const struct env_disk *d = memdisk_disk(n->disk);
	struct lot l = {.world = n->world, .want = want};

	if (d->list(d->ctx, dir, note_name, &l) || l.n == 0)
		return 0;
	snprintf(out, PATH_BYTES, "%s/%s", dir, l.name);
	return 1;
}

static void
turn_bit(struct node *n, const char *path, uint64_t at)
{
	unsigned bit = (unsigned)world_below(n->world, 8);
	int r = memdisk_flip(n->disk, path, at, bit);

	ASSERT(r == 0);
	n->world->counts.flips++;
	world_trace(n->world, "node %u: a bit of byte %llu of %s turns",
	    n->slot, (unsigned long long)at, path);
}

/* 0: there are none. */
static int
turn_any_bit(struct node *n, const char *path)
{
	struct buf content;
	uint64_t bytes = 0;

	buf_init(&content, DISK_BYTES);
	if (memdisk_read_all(n->disk, path, &content) == 0)
		bytes = content.n;
	buf_deinit(&content);
	if (bytes)
		turn_bit(n, path, world_below(n->world, bytes));
	return bytes != 0;
}

/* --- chunks ------------------------------------------------------------------
 */

/* Of the manifests of a replica, and of the files of a ring. */
static int
is_manifest(const char *name)
{
	return strstr(name, "manifest.") != NULL;
}

static int
is_ring(const char *name)
{
	return strstr(name, "ring.") != NULL;
}

static int
is_replica(const char *name)
{
	unsigned group, life;
	unsigned long long generation;

	return sscanf(name, "%u-%llu.%u", &group, &generation, &life) == 3;
}

static int
is_chunk(const char *name)
{
	return strstr(name, ".chunk") != NULL;
}

static int
draw_replica(struct node *n, char dir[PATH_BYTES])
{
	char all[PATH_BYTES];

	snprintf(all, sizeof(all), "%s/vnodes", process_dir(n));
	return draw_file(n, all, is_replica, dir);
}

static void
flip_chunk(struct node *n)
{
	struct flips *f = &n->world->flips;
	unsigned long long stream;
	char dir[PATH_BYTES], path[PATH_BYTES];
	unsigned group;

	if (f->n == FLIPS_MAX || !draw_replica(n, dir) ||
	    !draw_file(n, dir, is_chunk, path))
		return;
	if (sscanf(strrchr(dir, '/'), "/%u-", &group) != 1 ||
	    sscanf(path + strlen(dir) + 1, "%16llx", &stream) != 1)
		return;
	if (turn_any_bit(n, path))
		f->chunks[f->n++] = (struct flipped){group, stream};
}

int
flips_explain(const struct node *n, uint32_t group, uint64_t stream_id)
{
	const struct flips *f = &n->world->flips;

	for (uint32_t i = 0; i < f->n && !f->mended; i++)
		if ((n->slot == f->slot || n->world->rings) &&
		    f->chunks[i].group == group &&
		    f->chunks[i].stream_id == stream_id)
			return 1;
	return 0;
}

int
flips_are_mended(void *arg)
{
	struct world *w = arg;
	struct store_stats st;

	if (!w->flips.on)
		return 1;
	store_stats(w->nodes[w->flips.slot].store, &st);
	return st.n_damaged == 0;
}

void
flips_end(struct world *w)
{
	w->flips.mended = 1;
}

/* --- the journal -------------------------------------------------------------
 */

struct record {
	lsn_t lsn, durable;
	size_t bytes;
};

struct scan {
	struct node *node;
	struct record *at;
	uint32_t n, cap;
};

static void
add_record(struct scan *s, const struct journal_record *rec)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 256;
		s->at = mem_realloc(s->at, s->cap * sizeof(*s->at));
		ASSERT(s->at);
	}
	s->at[s->n++] = (struct record){rec->lsn, rec->durable, rec->bytes};
}

static uint64_t
round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static void
journal_path(const struct node *n, lsn_t lsn, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/journal/%08x.journal", process_dir(n),
	    (unsigned)(lsn >> 32));
}

static void
scan_segment(void *arg, const char *name)
{
	struct scan *s = arg;
	struct journal_record rec;
	unsigned generation;
	struct buf b;
	char path[PATH_BYTES];

	if (sscanf(name, "%8x.journal", &generation) != 1)
		return;
	journal_path(s->node, (lsn_t)generation << 32, path);
	buf_init(&b, DISK_BYTES);
	if (memdisk_read_all(s->node->disk, path, &b))
		b.n = 0;
	for (uint64_t at = BLOCK; at < b.n;) {
		if (journal_record_decode(SLICE(b.p + at, b.n - at),
			process_cluster(s->node), (lsn_t)generation << 32 | at,
			&rec)) {
			at += 8;
			continue;
		}
		add_record(s, &rec);
		at = round_up(at + rec.bytes, rec.left ? 8 : BLOCK);
	}
	buf_deinit(&b);
}

/* The highest LSN that records up to TOP say is durable. */
static lsn_t
proven(const struct scan *s, lsn_t top)
{
	lsn_t lsn = 0;

	for (uint32_t i = 0; i < s->n; i++)
		if (s->at[i].lsn <= top && s->at[i].durable > lsn)
			lsn = s->at[i].durable;
	return lsn;
}

static void
flip_journal(struct node *n)
{
	const struct env_disk *d = memdisk_disk(n->disk);
	struct scan s = {.node = n};
	const struct record *chosen = NULL;
	uint32_t n_hit = 0;
	char path[PATH_BYTES];
	lsn_t top;

	snprintf(path, sizeof(path), "%s/journal", process_dir(n));
	d->list(d->ctx, path, scan_segment, &s);
	top = proven(&s, proven(&s, UINT64_MAX));
	for (uint32_t i = 0; i < s.n; i++)
		if (s.at[i].lsn <= top && world_below(n->world, ++n_hit) == 0)
			chosen = &s.at[i];
	if (chosen) {
		uint64_t at = (uint32_t)chosen->lsn;

		at = world_one_in(n->world, 3)
			 ? world_below(n->world, HEADER_BYTES)
			 : at + world_below(n->world, chosen->bytes);
		journal_path(n, chosen->lsn, path);
		turn_bit(n, path, at);
	}
	mem_free(s.at);
}

/* --- and what shows them -----------------------------------------------------
 */

static void
cut_power(struct node *n, uint64_t back_us)
{
	if (n->state == NODE_DOWN)
		return;
	node_power_cut(n, MEMDISK_LOSE_ALL);
	node_restart_in(n, world_below(n->world, back_us));
}

static void
cut_again(struct world *w, struct happening *ev)
{
	if (!w->settled && !w->closing)
		cut_power(&w->nodes[ev->slot], 500000);
}

/* A start finds what has turned; another one comes before much was said of it. */
static void
start_twice(struct node *n)
{
	struct world *w = n->world;

	cut_power(n, 100000);
	world_schedule(w, world_between(w, 100000, 1500000),
	    (struct happening){.run = cut_again, .slot = n->slot});
}

void
flips_strike(struct world *w)
{
	struct node *n = &w->nodes[w->flips.slot];

	if (!process_belongs(n) || !may_flip(w))
		return;
	if (world_one_in(w, 2)) {
		flip_chunk(n);
		return;
	}
	flip_journal(n);
	if (world_one_in(w, 4))
		start_twice(n);
}

/* --- what a node cannot do without ------------------------------------------- */

void
flips_spoil(struct node *n)
{
	char dir[PATH_BYTES], path[PATH_BYTES];
	uint64_t what = world_below(n->world, 8);
	int found = 1;

	if (what == 0)
		snprintf(path, sizeof(path), "node.id");
	else if (what < 3)
		found = draw_file(n, process_dir(n), is_ring, path);
	else
		found = draw_replica(n, dir) &&
			draw_file(n, dir, is_manifest, path);
	if (found)
		turn_any_bit(n, path);
	n->spoiled = found;
}
