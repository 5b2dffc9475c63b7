/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * journal_recover - which segments count, replay, and where the end is.
 *
 * The newest segment with a header of its own name is found; the chain of
 * headers leads back to the oldest it says is needed, or to the first that was
 * released since and is being recycled; everything else is a file to recycle,
 * unless it shows that something is lost: such stay until they are needed no
 * more, so that a start that comes before finds the damage again.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/journal_impl.h"
#include "vnode/mutants.h"

struct found {
	uint32_t name; /* generation in the file's name */
	int r;         /* of decoding its header */
	int begun;     /* a header was written, whole or torn */
	int evidence;  /* of damage: not to be touched */
	struct segment_header header;
};

struct recovery {
	struct journal *j;
	struct found *files; /* ascending by name */
	uint32_t n_files;
	uint32_t too_many; /* name of a file that had no room in FILES */
	journal_replay_fn fn;
	void *arg;
	struct journal_damage *damage;
	uint64_t *cut_bytes;
	uint8_t *bytes; /* one segment */
	/* The file that tells why the chain ends early; not to be touched until
	 * a newer header says so, too. */
	const struct found *recycled;
	int broken; /* the chain ends too early */
};

static int
damaged(struct recovery *rc, uint32_t name, uint64_t offset, const char *what,
    int r)
{
	snprintf(
	    rc->damage->file, sizeof(rc->damage->file), "%08x.journal", name);
	rc->damage->offset = offset;
	snprintf(rc->damage->what, sizeof(rc->damage->what), "%s", what);
	return r;
}

/* The same for what is lost: 0 when whoever opens it can do without. */
static int
lost(struct recovery *rc, uint32_t name, uint64_t offset, const char *what)
{
	const struct journal_config *c = &rc->j->config;
	int r = damaged(rc, name, offset, what, -ERR_CORRUPT);

	return c->damaged && c->damaged(rc->arg, rc->damage) ? 0 : r;
}

/* --- files ---------------------------------------------------------------- */

static void
note_name(void *arg, const char *name)
{
	struct recovery *rc = arg;
	unsigned g;
	char again[32];

	if (sscanf(name, "%8x.journal", &g) != 1 || g == 0)
		return;
	snprintf(again, sizeof(again), "%08x.journal", g);
	if (strcmp(again, name) != 0)
		return;
	if (rc->n_files < JOURNAL_SEGMENTS_MAX)
		rc->files[rc->n_files++].name = g;
	else
		rc->too_many = g;
}

static int
by_name(const void *a, const void *b)
{
	uint32_t x = ((const struct found *)a)->name;
	uint32_t y = ((const struct found *)b)->name;

	return (x > y) - (x < y);
}

static int
read_header(struct recovery *rc, struct found *f)
{
	const struct env_disk *d = &rc->j->env->disk;
	char path[JOURNAL_PATH];
	struct disk_file *file;
	size_t got = 0;
	int r;

	segment_path(rc->j, f->name, path);
	r = d->open(d->ctx, path, DISK_READ | DISK_FRESH, &file);
	if (r)
		return r;
	r = d->pread(d->ctx, file, rc->bytes, JOURNAL_BLOCK, 0, &got);
	d->close(d->ctx, file);
	if (r)
		return r;
	memset(rc->bytes + got, 0, JOURNAL_BLOCK - got);
	f->begun = memcmp(rc->bytes, rc->j->zeros, JOURNAL_BLOCK) != 0;
	f->r = segment_header_decode(
	    rc->bytes, rc->j->config.cluster_id, &f->header);
	if (f->r == -ERR_FORMAT)
		return damaged(rc, f->name, 0, "unknown format", f->r);
	if (f->r == -ERR_IDENTITY)
		return damaged(rc, f->name, 0, "file of another cluster", f->r);
	return 0;
}

static int
read_segment(struct recovery *rc, uint32_t name, size_t *got)
{
	const struct env_disk *d = &rc->j->env->disk;
	char path[JOURNAL_PATH];
	struct disk_file *file;
	uint64_t size = 0;
	int r;

	segment_path(rc->j, name, path);
	r = d->open(d->ctx, path, DISK_READ | DISK_FRESH, &file);
	if (r)
		return r;
	r = d->size(d->ctx, file, &size);
	if (r == 0 && size > UINT32_MAX)
		r = damaged(rc, name, 0, "file too large", -ERR_CORRUPT);
	if (r == 0) {
		void *p = mem_realloc(rc->bytes, size + JOURNAL_BLOCK);

		if (p)
			rc->bytes = p;
		r = p ? d->pread(d->ctx, file, p, size, 0, got) : -ERR_NOMEM;
	}
	d->close(d->ctx, file);
	return r;
}

static int
own(const struct found *f)
{
	return f->r == 0 && f->header.generation == f->name;
}

static struct found *
find(struct recovery *rc, uint32_t generation)
{
	for (uint32_t i = 0; i < rc->n_files; i++)
		if (rc->files[i].name == generation)
			return &rc->files[i];
	return NULL;
}

/* --- records -------------------------------------------------------------- */

/* Whether an intact record at a block of GENERATION from AT on says that LSN
 * was durable. */
static int
proves_durable(
    struct recovery *rc, uint32_t generation, uint64_t at, size_t n, lsn_t lsn)
{
	struct journal_record rec;

	for (at = journal_round(at, JOURNAL_BLOCK); at < n;
	     at += JOURNAL_BLOCK) {
		uint64_t p = at;

		while (
		    p < n && journal_record_decode(SLICE(rc->bytes + p, n - p),
				 rc->j->config.cluster_id,
				 lsn_make(generation, p), &rec) == 0) {
			if (rec.durable >= lsn)
				return 1;
			p += journal_round(rec.bytes, 8);
		}
	}
	return 0;
}

/* Bytes of intact records behind the end, which are given up. */
static uint64_t
cut_after(struct recovery *rc, uint32_t generation, uint64_t at, size_t n)
{
	struct journal_record rec;
	uint64_t cut = 0;

	for (at = journal_round(at, 8); at < n; at += 8)
		if (journal_record_decode(SLICE(rc->bytes + at, n - at),
			rc->j->config.cluster_id, lsn_make(generation, at),
			&rec) == 0)
			cut += rec.bytes;
	return cut;
}

/* What was read may only be in the page cache: a process that was killed had
 * not synced it yet.  What is served from now on must be durable. */
static int
sync_segment(struct journal *j, uint32_t name)
{
	const struct env_disk *d = &j->env->disk;
	char path[JOURNAL_PATH];
	struct disk_file *file;
	int r;

	segment_path(j, name, path);
	r = d->open(d->ctx, path, DISK_WRITE, &file);
	if (r)
		return r;
	r = d->sync(d->ctx, file);
	d->close(d->ctx, file);
	return r;
}

/* The next place at which an intact record stands, or N. */
static uint64_t
next_record(struct recovery *rc, uint32_t name, uint64_t at, size_t n)
{
	struct journal_record rec;

	for (; at < n; at += 8)
		if (journal_record_decode(SLICE(rc->bytes + at, n - at),
			rc->j->config.cluster_id, lsn_make(name, at),
			&rec) == 0)
			return at;
	return n;
}

/*
 * Replays segment NAME up to END, or, with END 0, as far as there are records;
 * *END is where they ended then.
 */
static int
replay_segment(struct recovery *rc, uint32_t name, uint64_t *end)
{
	uint64_t at = JOURNAL_BLOCK;
	struct journal_record rec;
	size_t n = 0;
	int r = read_segment(rc, name, &n);

	/* It had its full size before its header was written. */
	if (r == 0 && n < find(rc, name)->header.bytes)
		return damaged(rc, name, n, "file too short", -ERR_CORRUPT);
	while (r == 0 && at < (*end ? *end : n)) {
		size_t left = at < n ? n - at : 0;
		lsn_t lsn = lsn_make(name, at);

		r = journal_record_decode(SLICE(rc->bytes + at, left),
		    rc->j->config.cluster_id, lsn, &rec);
		if (r == 0) {
			r = rc->fn(rc->arg, &rec.head, lsn, rec.payload);
			at += journal_round(rec.bytes, 8);
			if (rec.left == 0)
				at = journal_round(at, JOURNAL_BLOCK);
			if (r == 0 && lsn > rc->j->written)
				rc->j->written = lsn;
			continue;
		}
		if (r < 0)
			return damaged(rc, name, at, err_text(r), r);
		r = 0;
		if (!*end && !proves_durable(rc, name, at, n, lsn))
			break;
		r = lost(rc, name, at, "damaged record");
		at = next_record(rc, name, at + 8, n);
	}
	if (r == 0 && *end == 0) {
		*rc->cut_bytes = cut_after(rc, name, at, n);
		*end = at;
		r = sync_segment(rc->j, name);
	}
	return r;
}

/*
 * The file that GENERATION, which is missing, has become: only what was
 * released is renamed, so it is needed no more.  It still holds the header of
 * its old life; or what a power cut has left of that and the next one.
 */
static const struct found *
what_became_of(
    struct recovery *rc, uint32_t generation, const struct found *newest)
{
	for (uint32_t i = 0; i < rc->n_files; i++) {
		const struct found *f = &rc->files[i];

		if (f->name <= newest->name)
			continue;
		if (f->r == 0 ? f->header.generation == generation : f->begun)
			return f;
	}
	return NULL;
}

/* What the header of F says of what is before it can be true. */
static int
makes_sense(const struct found *f)
{
	const struct segment_header *h = &f->header;

	return h->oldest <= f->name &&
	       (!h->previous ||
		   (h->previous < f->name &&
		       lsn_generation(h->previous_end) == h->previous &&
		       lsn_offset(h->previous_end) >= JOURNAL_BLOCK));
}

/* Oldest first into j->segments, from the newest back. */
static int
build_chain(struct recovery *rc, const struct found *newest)
{
	struct journal *j = rc->j;
	const struct found *f = newest;
	uint32_t n = 0;
	int r = 0;

	j->segments[n++] = (struct segment){f->name, 0};
	for (;;) {
		const struct found *p;

		if (!makes_sense(f))
			return damaged(rc, f->name, 0,
			    "segment header makes no sense", -ERR_CORRUPT);
		if (!f->header.previous ||
		    f->header.previous < newest->header.oldest)
			break;
		p = find(rc, f->header.previous);
		if (!p)
			rc->recycled =
			    what_became_of(rc, f->header.previous, newest);
		if (rc->recycled)
			break;
		if (!p || !own(p)) {
			rc->broken = 1;
			r = lost(rc, f->header.previous, 0,
			    "segment missing or its header damaged");
			break;
		}
		j->segments[n++] =
		    (struct segment){p->name, f->header.previous_end};
		f = p;
	}
	for (uint32_t i = 0; i < n / 2; i++) {
		struct segment s = j->segments[i];

		j->segments[i] = j->segments[n - 1 - i];
		j->segments[n - 1 - i] = s;
	}
	j->n_segments = n;
	return r;
}

static int
in_chain(const struct journal *j, uint32_t name)
{
	for (uint32_t i = 0; i < j->n_segments; i++)
		if (j->segments[i].generation == name)
			return 1;
	return 0;
}

/* Files outside of the chain, from OLDEST on: nothing durable may stand in them,
 * whether they are newer than its newest or were at an earlier start. */
static int
check_others(struct recovery *rc, uint32_t oldest)
{
	for (uint32_t i = 0; i < rc->n_files; i++) {
		struct found *f = &rc->files[i];
		size_t n = 0;
		int r;

		if (f->name < oldest || own(f))
			continue;
		r = read_segment(rc, f->name, &n);
		if (r)
			return r;
		if (!proves_durable(rc, f->name, JOURNAL_BLOCK, n,
			lsn_make(f->name, JOURNAL_BLOCK)))
			continue;
		f->evidence = 1;
		r = lost(rc, f->name, 0, "damaged segment header");
		if (r)
			return r;
	}
	return 0;
}

/* What is to be kept because of damage, and until when. */
static void
keep_evidence(struct recovery *rc, const struct found *newest)
{
	struct journal *j = rc->j;
	uint32_t first = newest ? newest->header.oldest : 1;

	for (uint32_t i = 0; i < rc->n_files; i++) {
		struct found *f = &rc->files[i];

		if (rc->broken && f->name >= first && f->name < newest->name &&
		    !in_chain(j, f->name))
			f->evidence = 1;
		if (!f->evidence)
			continue;
		if (!j->lost)
			j->lost = f->name;
		j->lost_end = f->name + 1;
	}
	if (rc->broken) { /* by a file that is gone, perhaps */
		j->lost = first;
		if (j->lost_end < j->segments[0].generation)
			j->lost_end = j->segments[0].generation;
	}
}

static int
replay_all(struct recovery *rc)
{
	struct journal *j = rc->j;
	const struct found *newest = NULL;
	int r = 0;

	for (uint32_t i = 0; i < rc->n_files; i++)
		if (own(&rc->files[i]))
			newest = &rc->files[i];
	if (newest) {
		j->oldest_named = newest->header.oldest;
		r = build_chain(rc, newest);
	}
	if (r == 0)
		r = check_others(rc, newest ? newest->header.oldest : 1);
	if (r == 0)
		keep_evidence(rc, newest);
	for (uint32_t i = 0; r == 0 && i < j->n_segments; i++) {
		struct segment *s = &j->segments[i];
		uint64_t end = lsn_offset(s->end);

		r = replay_segment(rc, s->generation, &end);
		s->end = lsn_make(s->generation, end);
	}
	return r;
}

static int
find_files(struct recovery *rc)
{
	struct journal *j = rc->j;
	const struct env_disk *d = &j->env->disk;
	int r = d->mkdir(d->ctx, j->dir);

	if (r == 0 || r == -ERR_EXISTS)
		r = d->list(d->ctx, j->dir, note_name, rc);
	if (r || rc->n_files == 0)
		return r;
	if (rc->too_many)
		return damaged(
		    rc, rc->too_many, 0, "too many segments", -ERR_LIMIT);
	qsort(rc->files, rc->n_files, sizeof(*rc->files), by_name);
	return 0;
}

/* Beyond all that were ever in use: records of a file that got another name by
 * hand shall not look like those that are to be written. */
static int
choose_next(struct recovery *rc)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < rc->n_files; i++) {
		const struct found *f = &rc->files[i];
		uint32_t g = f->r == 0 ? f->header.generation : 0;

		if (g < f->name)
			g = f->name;
		if (g == UINT32_MAX)
			return damaged(rc, f->name, 0,
			    "no generation is left behind it", -ERR_LIMIT);
		if (g > last)
			last = g;
	}
	rc->j->next_generation = last + 1;
	return 0;
}

static int
recover(struct recovery *rc)
{
	struct journal *j = rc->j;
	int r = find_files(rc);

	for (uint32_t i = 0; r == 0 && i < rc->n_files; i++)
		r = read_header(rc, &rc->files[i]);
	if (r == 0)
		r = choose_next(rc);
	if (r == 0)
		r = replay_all(rc);
	for (uint32_t i = 0; r == 0 && i < rc->n_files; i++)
		if (!in_chain(j, rc->files[i].name) &&
		    &rc->files[i] != rc->recycled &&
		    (!rc->files[i].evidence ||
			VNODE_MUTANT(DAMAGED_FILES_RECYCLED)))
			j->free_files[j->n_free++] = rc->files[i].name;
	return r;
}

/* Files of another size are not reused, nor are more than there should be. */
static void
drop_useless(struct journal *j)
{
	const struct env_disk *d = &j->env->disk;
	uint64_t most = j->config.max_bytes / j->config.segment_bytes;
	uint32_t n = 0;

	for (uint32_t i = 0; i < j->n_free; i++) {
		char path[JOURNAL_PATH];
		struct disk_file *file;
		uint64_t size = 0;

		segment_path(j, j->free_files[i], path);
		if (d->open(d->ctx, path, DISK_READ, &file) == 0) {
			d->size(d->ctx, file, &size);
			d->close(d->ctx, file);
		}
		if (size == j->config.segment_bytes && j->n_segments + n < most)
			j->free_files[n++] = j->free_files[i];
		else
			d->unlink(d->ctx, path);
	}
	j->n_free = n;
}

static int
make(struct journal **out, const struct journal_config *config)
{
	struct journal *j = mem_zalloc(sizeof(*j));
	uint32_t n_workers = config->env->post.n_workers;

	if (!j)
		return -ERR_NOMEM;
	j->config = *config;
	j->env = config->env;
	snprintf(j->dir, sizeof(j->dir), "%s", config->dir);
	j->config.dir = j->dir;
	j->job.run = journal_run;
	j->last_waiting = &j->waiting;
	atomic_flag_clear(&j->lock);
	buf_init(&j->heads, 1u << 20);
	j->iov = mem_calloc(16384 + 8, sizeof(*j->iov));
	j->zeros = mem_zalloc(JOURNAL_BLOCK);
	j->header = mem_zalloc(JOURNAL_BLOCK);
	j->done = mem_calloc(n_workers, sizeof(*j->done));
	j->tails = mem_calloc(n_workers, sizeof(*j->tails));
	j->segments = mem_calloc(JOURNAL_SEGMENTS_MAX, sizeof(*j->segments));
	j->free_files =
	    mem_calloc(JOURNAL_SEGMENTS_MAX, sizeof(*j->free_files));
	*out = j;
	return j->iov && j->zeros && j->header && j->done && j->tails &&
		       j->segments && j->free_files
		   ? 0
		   : -ERR_NOMEM;
}

int
journal_open(struct journal **out, const struct journal_config *config,
    journal_replay_fn fn, void *arg, struct journal_damage *damage,
    uint64_t *cut_bytes)
{
	struct recovery rc = {
	    .fn = fn, .arg = arg, .damage = damage, .cut_bytes = cut_bytes};
	int r = make(&rc.j, config);

	*cut_bytes = 0;
	ASSERT(config->segment_bytes % JOURNAL_BLOCK == 0);
	rc.files = mem_calloc(JOURNAL_SEGMENTS_MAX, sizeof(*rc.files));
	rc.bytes = mem_alloc(JOURNAL_BLOCK);
	if (r == 0 && (!rc.files || !rc.bytes))
		r = -ERR_NOMEM;
	if (r == 0)
		r = recover(&rc);
	mem_free(rc.files);
	mem_free(rc.bytes);
	if (r) {
		journal_close(rc.j);
		return r;
	}
	drop_useless(rc.j);
	atomic_store(&rc.j->durable, rc.j->written);
	segment_publish(rc.j);
	*out = rc.j;
	return 0;
}
