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

/*
 *	QUEUED <-> OFFERED -> SENDING -> FAILED, or the end
 *
 * QUEUED: it was wanted when there was no place.  FAILED: the receiver has given
 * it up; ended when the silence that follows is over, so that what fails at once
 * is not begun again at once.
 */
enum fill_out_stage {
	FILL_OFFERED,
	FILL_QUEUED,
	FILL_SENDING, /* has a place, and a row if there is one */
	FILL_FAILED_THERE,
};

struct fill_out {
	struct fill_out *next;
	raft_id peer;
	uint8_t node[16];
	uint64_t transfer, index;
	struct mono heard, offered;
	enum fill_out_stage stage;
	struct store_fill seen;
	struct fill_row *row;
	uint8_t *manifest; /* the file's bytes, once they are read */
	size_t n;
	uint32_t number;
	int reading; /* one page, or the manifest */
	int is_held; /* what was asked for last waits for its turn */
	struct fill_message held;
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

static uint64_t
wall_ms(const struct store_worker *w)
{
	const struct env_clock *c = &w->store->env->clock;

	return c->wall(c->ctx).ms;
}

/* Counters and place go by the stage. */
static void
go_to(struct store_worker *w, struct fill_out *f, enum fill_out_stage stage)
{
	struct store *s = w->store;
	uint32_t group = f->seen.group;
	int waited = f->stage == FILL_OFFERED || f->stage == FILL_QUEUED;
	int waits = stage == FILL_OFFERED || stage == FILL_QUEUED;

	if (f->stage == FILL_SENDING && stage != FILL_SENDING) {
		fill_give_place(s, group, &s->fills.n_out);
		fill_row_give(f->row);
		f->row = NULL;
	}
	if (fill_counts(s, group) && waits != waited)
		atomic_fetch_add(&s->fills.n_queued, waits ? 1 : -1u);
	f->stage = stage;
}

static void
end(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	struct fill_out **at = &v->group.fills;

	go_to(w, f, FILL_FAILED_THERE);

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

	end(w, v, f);
	raft_fill_ended(v->group.raft, peer, &w->fx);
	replica_effects(w, v);
}

static int
is_voter(const struct vnode *v, raft_id peer)
{
	const struct raft_member *m = raft_member(v->group.raft, peer);

	return m && m->voter;
}

static void
offer(struct store_worker *w, const struct vnode *v, struct fill_out *f)
{
	f->offered = now(w);
	say(w, v, f,
	    (struct fill_message){
		.op = FILL_OFFER, .a = raft_base(v->group.raft)});
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
	metrics_add(w->metrics, METRICS_FILLS_BEGUN, 1);
	f->peer = peer;
	memcpy(f->node, node, 16);
	rng->bytes(rng->ctx, &f->transfer, sizeof(f->transfer));
	f->index = v->manifest.saved_index;
	f->heard = now(w);
	f->next = v->group.fills;
	v->group.fills = f;
	f->seen.group = v->group.id;
	f->seen.repair = is_voter(v, peer);
	memcpy(f->seen.to, node, 16);
	f->stage = FILL_FAILED_THERE; /* counted as nothing */
	go_to(w, f, FILL_OFFERED);
	offer(w, v, f);
}

void
fill_send_end_all(struct store_worker *w, struct vnode *v)
{
	while (v->group.fills)
		end(w, v, v->group.fills);
	v->group.fill_error = 0;
}

uint64_t
fill_keeps(const struct vnode *v)
{
	uint64_t index = UINT64_MAX;

	for (const struct fill_out *f = v->group.fills; f; f = f->next)
		if (f->stage == FILL_SENDING && f->index < index)
			index = f->index;
	return index;
}

/* Those that are queued, now that there is a place; how many. */
static uint32_t
offer_queued(struct store_worker *w, struct vnode *v)
{
	uint32_t n = 0;

	if (!fill_has_place(w->store, v->group.id, &w->store->fills.n_out))
		return 0;
	for (struct fill_out *f = v->group.fills; f; f = f->next)
		if (f->stage == FILL_QUEUED) {
			f->heard = now(w);
			go_to(w, f, FILL_OFFERED);
			offer(w, v, f);
			n++;
		}
	return n;
}

/* A place is free.  Groups take turns, a few at a time: more than there are
 * places, since a receiver may have none. */
static void
offer_next(struct store_worker *w)
{
	struct store *s = w->store;
	uint32_t most = 2 * atomic_load(&s->fills.limit), n = 0;

	for (uint32_t g = w->id; g < s->n_vnodes && n < most;
	     g += s->n_workers) {
		struct vnode *v = &s->vnodes[w->next_fill];

		w->next_fill += s->n_workers;
		if (w->next_fill >= s->n_vnodes)
			w->next_fill = w->id;
		n += offer_queued(w, v);
	}
}

static void serve(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *m);

void
fill_send_tick(struct store_worker *w, struct vnode *v)
{
	struct fill_out *f, *next;

	offer_queued(w, v);
	for (f = v->group.fills; f; f = next) {
		next = f->next;
		if (f->stage == FILL_QUEUED)
			continue;
		if (mono_diff_us(f->heard, now(w)) > FILL_SILENCE_US) {
			if (f->stage == FILL_SENDING)
				v->group.fill_error = ERR_TIMEOUT;
			end_and_tell(w, v, f);
			return; /* the list may be another */
		}
		if (f->is_held && f->stage == FILL_SENDING) {
			struct fill_message m = f->held;

			serve(w, v, f, &m);
		}
		if (f->stage == FILL_OFFERED &&
		    mono_diff_us(f->offered, now(w)) > FILL_AGAIN_US)
			offer(w, v, f);
	}
}

/* --- what others see ------------------------------------------------------ */

/* Files that are there now: about what is going to be sent. */
static void
count_files(const struct vnode *v, struct store_fill *seen)
{
	for (uint32_t i = 0; i < v->n_by_id; i++) {
		const struct stream *s = v->by_id[i];

		for (uint32_t k = 0; k < s->n_chunks; k++) {
			const struct chunk_info *c = &s->chunks[k];

			seen->total_bytes += c->bytes;
			if (c->last >= c->first)
				seen->total_events += c->last - c->first + 1;
		}
	}
}

/* A page of N bytes goes out; WHOLE: the chunk of A that begins with B is
 * complete by it. */
static void
count_page(struct store_worker *w, const struct vnode *v, struct fill_out *f,
    const struct fill_message *m, size_t n, int whole)
{
	const struct stream *s = whole ? vnode_by_id(v, m->a) : NULL;

	fill_rate_charge(w->store, n);
	f->seen.bytes += n;
	f->seen.updated_ms = wall_ms(w);
	for (uint32_t k = 0; s && k < s->n_chunks; k++)
		if (s->chunks[k].first == m->b)
			f->seen.events += s->chunks[k].last - m->b + 1;
	fill_row_set(f->row, &f->seen);
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
	size_t most = fill_rate_page(rd->store);
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
	if (r == 0 && !(rd->bytes = mem_alloc(most)))
		r = -ERR_NOMEM;
	if (r == 0)
		r = d->pread(d->ctx, file, rd->bytes, n < most ? n : most,
		    rd->m.c, &rd->n);
	d->close(d->ctx, file);
	return r;
}

static void
answer_manifest(struct store_worker *w, struct vnode *v, struct fill_out *f,
    uint64_t offset)
{
	uint64_t n = offset < f->n ? f->n - offset : 0;
	size_t most = fill_rate_page(w->store);

	n = n < most ? n : most;
	fill_rate_charge(w->store, n);
	say(w, v, f,
	    (struct fill_message){.op = FILL_MANIFEST,
		.a = offset,
		.b = f->n,
		.c = f->number,
		.bytes = SLICE(f->manifest + offset, n)});
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
		int damaged = rd->r != -ERR_NOMEM && rd->r != -ERR_INVAL;

		store_report(s, 1, "group %u: cannot fill a replica: %s: %s",
		    rd->group, rd->path, err_text(rd->r));
		v->group.fill_error = -rd->r;
		say(w, v, f,
		    (struct fill_message){
			.op = FILL_FAILED, .a = (uint64_t)-rd->r});
		end_and_tell(w, v, f);
		if (damaged)
			placing_let_another(w, v);
		offer_next(w);
	} else if (f && rd->whole) {
		f->manifest = rd->bytes;
		f->n = rd->n;
		f->number = rd->number;
		rd->bytes = NULL;
		count_files(v, &f->seen);
		answer_manifest(w, v, f, rd->m.a);
	} else if (f) {
		rd->m.op = FILL_CHUNK;
		rd->m.d = rd->total;
		rd->m.bytes = SLICE(rd->bytes, rd->n);
		count_page(
		    w, v, f, &rd->m, rd->n, rd->m.c + rd->n == rd->total);
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

/* M, when its turn has come. */
static void
serve(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *m)
{
	f->is_held = !fill_rate_allows(w->store);
	if (f->is_held)
		f->held = (struct fill_message){.op = m->op,
		    .a = m->a,
		    .b = m->b,
		    .c = m->c,
		    .d = m->d,
		    .transfer = m->transfer};
	else if (m->op == FILL_GET_MANIFEST)
		get_manifest(w, v, f, m);
	else
		get_chunk(w, v, f, m);
}

/* It was asked for: now it takes its place, if there is one. */
static int
begin_sending(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	struct store *s = w->store;

	if (f->stage == FILL_SENDING)
		return 1;
	if (f->stage == FILL_FAILED_THERE)
		return 0;
	if (!fill_take_place(s, v->group.id, &s->fills.n_out)) {
		go_to(w, f, FILL_QUEUED);
		say(w, v, f, (struct fill_message){.op = FILL_WAIT});
		return 0;
	}
	go_to(w, f, FILL_SENDING);
	f->seen.started_ms = wall_ms(w);
	f->seen.error = v->group.fill_error;
	if (fill_counts(s, v->group.id))
		f->row = fill_row_take(s, &f->seen);
	return 1;
}

/* The receiver says how it went. */
static void
hear_end(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *fm)
{
	int failed = fm->op == FILL_FAILED;

	v->group.fill_error = !failed             ? 0
			      : fm->a < ERR_COUNT ? (int)fm->a
						  : ERR_UNKNOWN;
	if (failed)
		go_to(w, f, FILL_FAILED_THERE);
	else
		end_and_tell(w, v, f);
	/* What the receiver verified was read here. */
	if (failed && fm->a == ERR_CORRUPT)
		placing_let_another(w, v);
	offer_next(w);
}

void
fill_send_message(struct store_worker *w, struct vnode *v,
    const struct wire_message *m, const struct fill_message *fm)
{
	struct fill_out *f = find(v, fm->transfer);

	if (!f || m->from != f->peer)
		return;
	f->heard = now(w);
	switch (fm->op) {
	case FILL_GET_MANIFEST:
	case FILL_GET_CHUNK:
		if (begin_sending(w, v, f))
			serve(w, v, f, fm);
		break;
	case FILL_DONE:
	case FILL_FAILED:
		hear_end(w, v, f, fm);
		break;
	default:
		break;
	}
}
