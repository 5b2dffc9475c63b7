/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * repair_serve - parts of chunk files for a replica whose own is damaged.
 *
 * Any replica gives them, whatever its role: who asks verifies what comes.  Each
 * page is asked for by itself, so nothing is remembered but where the event that
 * was asked for is, and what others see.  One at a time of a group; a repair is
 * small, so it has no place among the fills, but is paid for like them.
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/event.h"
#include "vnode/repair_impl.h"

#define SHOWN_US 2000000 /* after the last question */

struct repair_out {
	uint64_t transfer;
	struct mono heard;
	int reading;
	uint64_t stream, seq; /* asked for last, and */
	uint32_t offset;      /* where it is in its file; 0: not known */
	struct store_fill seen;
	struct fill_row *row;
};

struct reading {
	struct env_job job;
	struct msg msg;
	struct store_worker *worker;
	uint16_t group;
	uint64_t generation; /* ours */
	raft_id to;
	uint8_t node[16];
	struct fill_message asked;
	char path[FILES_PATH_BYTES];
	uint64_t first; /* of the chunk */
	uint32_t begin; /* of its first record */
	uint32_t bytes_all;
	uint32_t offset; /* of the event; 0: not known yet */
	int r;
	size_t n;
	uint8_t bytes[FILL_PAGE_BYTES];
};

static void
say(struct store_worker *w, uint16_t group, uint64_t from, raft_id to,
    const uint8_t node[16], uint64_t transfer, struct fill_message m)
{
	m.transfer = transfer;
	fill_say(w, group, from, to, node, 0, &m);
}

/* --- what others see ------------------------------------------------------ */

static void
count(struct store *s, uint32_t group, unsigned by)
{
	if (fill_counts(s, group))
		atomic_fetch_add(&s->fills.n_parts_out, by);
}

static void
end(struct store *s, struct vnode *v)
{
	struct repair_out *o = v->group.mending;

	if (!o)
		return;
	fill_row_give(o->row);
	count(s, v->group.id, -1u);
	v->group.mending = mem_free(o);
}

void
repair_serve_end(struct store *s, struct vnode *v)
{
	end(s, v);
}

void
repair_serve_tick(struct store_worker *w, struct vnode *v)
{
	struct repair_out *o = v->group.mending;

	if (o && !o->reading &&
	    mono_diff_us(o->heard, repair_clock(w)) >= SHOWN_US)
		end(w->store, v);
}

/* A page is read for somebody else; between two pages others may come in. */
static int
is_taken(const struct repair_out *o, const uint8_t node[16])
{
	return o && o->reading && memcmp(o->seen.to, node, 16) != 0;
}

static struct repair_out *
begin(struct store_worker *w, struct vnode *v, const uint8_t node[16],
    const struct chunk_info *c, const struct fill_message *m)
{
	const struct env_clock *clock = &w->store->env->clock;
	struct repair_out *o = mem_zalloc(sizeof(*o));

	if (!o)
		return NULL;
	o->transfer = m->transfer;
	o->seen = (struct store_fill){
	    .group = v->group.id,
	    .repair = 1,
	    .total_bytes = c->bytes,
	    .total_events = c->last - c->first + 1,
	    .started_ms = clock->wall(clock->ctx).ms,
	};
	memcpy(o->seen.to, node, 16);
	if (fill_counts(w->store, v->group.id))
		o->row = fill_row_take(w->store, &o->seen, 0);
	count(w->store, v->group.id, 1);
	v->group.mending = o;
	return o;
}

static void
count_page(struct store_worker *w, struct repair_out *o, size_t n)
{
	const struct env_clock *clock = &w->store->env->clock;

	fill_rate_charge(w->store, n);
	metrics_add(w->metrics, METRICS_FILL_SENT_BYTES, n);
	o->seen.bytes += n;
	o->seen.updated_ms = clock->wall(clock->ctx).ms;
	fill_row_set(o->row, &o->seen);
}

/* --- reading -------------------------------------------------------------- */

static void
page_read(struct msg *m)
{
	struct reading *rd = CONTAINER_OF(m, struct reading, msg);
	struct store_worker *w = rd->worker;
	struct vnode *v = &w->store->vnodes[rd->group];
	struct repair_out *o = v->group.mending;
	const struct fill_message *q = &rd->asked;

	w->n_reading--;
	if (o && o->transfer == q->transfer)
		o->reading = 0;
	else
		o = NULL;
	if (!o || v->group.generation != rd->generation || !v->group.raft ||
	    v->group.failed) {
		mem_free(rd);
		return;
	}
	if (rd->r == 0) {
		o->stream = q->a;
		o->seq = q->b;
		o->offset = rd->offset;
		count_page(w, o, rd->n);
		say(w, rd->group, rd->generation, rd->to, rd->node, q->transfer,
		    (struct fill_message){.op = FILL_PART,
			.a = q->a,
			.b = q->b,
			.c = q->c,
			.bytes = SLICE(rd->bytes, rd->n)});
	} else {
		say(w, rd->group, rd->generation, rd->to, rd->node, q->transfer,
		    (struct fill_message){
			.op = FILL_FAILED, .a = (uint64_t)-rd->r});
		if (rd->r == -ERR_IO || rd->r == -ERR_NOTFOUND)
			repair_note(w, v, q->a, rd->first);
	}
	mem_free(rd);
}

/* Where the event is: the lengths of those before it say so.  If one of them is
 * damaged, what is found is not what was asked for, as the asker will see. */
static int
find_event(struct reading *rd, struct disk_file *file)
{
	const struct env_disk *d = &rd->worker->store->env->disk;
	uint64_t at = rd->begin;

	for (uint64_t seq = rd->first; seq < rd->asked.b; seq++) {
		uint8_t head[EVENT_HEADER_BYTES];
		struct event e;
		size_t got = 0;
		uint32_t n = 0;
		int r = d->pread(d->ctx, file, head, sizeof(head), at, &got);

		if (r)
			return r;
		event_decode(SLICE(head, got), 0, &e, &n);
		if (n == 0 || at + n >= rd->bytes_all)
			return -ERR_EOF;
		at += n;
	}
	rd->offset = (uint32_t)at;
	return 0;
}

static int
read_page(struct reading *rd, struct disk_file *file)
{
	const struct env_disk *d = &rd->worker->store->env->disk;
	uint64_t at = rd->offset + rd->asked.c, n = FILL_PAGE_BYTES;
	int r;

	if (at >= rd->bytes_all)
		return -ERR_EOF;
	if (n > rd->bytes_all - at)
		n = rd->bytes_all - at;
	if (n > rd->asked.d)
		n = rd->asked.d;
	r = d->pread(d->ctx, file, rd->bytes, (size_t)n, at, &rd->n);
	return r == 0 && rd->n == 0 ? -ERR_EOF : r;
}

/* LANE_READ. */
static void
run(struct env_job *job)
{
	struct reading *rd = CONTAINER_OF(job, struct reading, job);
	const struct env_disk *d = &rd->worker->store->env->disk;
	struct disk_file *file;

	rd->r = d->open(d->ctx, rd->path, DISK_READ, &file);
	if (rd->r == 0) {
		if (rd->offset == 0)
			rd->r = find_event(rd, file);
		if (rd->r == 0)
			rd->r = read_page(rd, file);
		d->close(d->ctx, file);
	}
	store_call(rd->worker->store, rd->worker->id, &rd->msg, page_read);
}

static void
start(struct store_worker *w, const struct vnode *v, const struct stream *s,
    const uint8_t node[16], const struct wire_message *m,
    const struct fill_message *fm)
{
	const struct env_post *post = &w->store->env->post;
	const struct chunk_info *c = stream_chunk(s, fm->b);
	struct repair_out *o = v->group.mending;
	struct reading *rd = mem_zalloc(sizeof(*rd));
	char name[CHUNK_NAME_BYTES];

	if (!rd)
		return; /* it is asked for again */
	rd->job.run = run;
	rd->worker = w;
	rd->group = v->group.id;
	rd->generation = v->group.generation;
	rd->to = m->from;
	memcpy(rd->node, node, 16);
	rd->asked = *fm;
	rd->asked.bytes = SLICE(NULL, 0);
	rd->first = c->first;
	rd->bytes_all = c->bytes;
	rd->begin = chunk_header_bytes(&(struct chunk_id){
	    .bucket = SLICE(s->bucket->name, s->bucket->name_n),
	    .stream = stream_name(s)});
	if (o->stream == fm->a && o->seq == fm->b)
		rd->offset = o->offset;
	chunk_file_name(name, fm->a, c->first);
	snprintf(rd->path, sizeof(rd->path), "%s/%s", v->dir, name);
	o->reading = 1;
	w->n_reading++;
	post->to_lane(post->ctx, LANE_READ, &rd->job);
}

/* The stream that has what is asked for; or NULL. */
static const struct stream *
find_stream(const struct vnode *v, const struct fill_message *m)
{
	const struct stream *s = vnode_by_id(v, m->a);

	return s && !s->dead && s->n_chunks && m->b >= s->chunks[0].first &&
		       m->b <= s->last
		   ? s
		   : NULL;
}

void
repair_serve(struct store_worker *w, struct vnode *v, const uint8_t node[16],
    const struct wire_message *m, const struct fill_message *fm)
{
	const struct stream *s = find_stream(v, fm);
	struct repair_out *o = v->group.mending;
	int r = !s                                 ? -ERR_NOTFOUND
		: fm->d == 0 || fm->c > UINT32_MAX ? -ERR_INVAL
		: is_taken(o, node)                ? -ERR_BUSY
						   : 0;

	if (r == 0 && o && o->reading)
		return; /* it was asked twice */
	if (r == 0 && o && o->transfer != fm->transfer) {
		end(w->store, v);
		o = NULL;
	}
	if (r == 0 && !o &&
	    !(o = begin(w, v, node, stream_chunk(s, fm->b), fm)))
		r = -ERR_NOMEM;
	if (r) {
		say(w, v->group.id, v->group.generation, m->from, node,
		    fm->transfer,
		    (struct fill_message){
			.op = FILL_FAILED, .a = (uint64_t)-r});
		return;
	}
	o->heard = repair_clock(w);
	start(w, v, s, node, m, fm);
}
