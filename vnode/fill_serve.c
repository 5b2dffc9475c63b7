/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_serve - what goes out: the manifest as it is on the disk, then chunk
 * files.
 *
 * The manifest of the last checkpoint names, for each chunk, a length that is
 * synced and never changes; the log reaches back at least to its applied index,
 * and is kept while the fill lasts.  So nothing has to be stopped or copied for
 * a fill.
 *
 * One piece of the stream is read while the one before it goes out; what may not
 * go yet, for handoff.rate or for want of room at the net, is tried again at each
 * beat.
 */
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/fill_out.h"
#include "vnode/repair.h"
#include "vnode/store_open.h"

void
fill_serve_deinit(struct fill_out *f)
{
	mem_free(f->manifest);
	mem_free(f->wants);
	buf_deinit(&f->out);
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

			seen->total_bytes += c->bytes + FILL_HEAD_BYTES;
			if (c->last >= c->first)
				seen->total_events += c->last - c->first + 1;
		}
	}
}

/* N bytes go out. */
static void
count_page(struct store_worker *w, struct fill_out *f, size_t n)
{
	const struct env_clock *c = &w->store->env->clock;

	fill_rate_charge(w->store, n);
	metrics_add(w->metrics, METRICS_FILL_SENT_BYTES, n);
	f->seen.updated_ms = c->wall(c->ctx).ms;
	fill_row_set(f->row, &f->seen);
}

/* C was read to its end. */
static void
count_chunk(
    const struct vnode *v, struct fill_out *f, const struct fill_chunk *c)
{
	const struct stream *s = vnode_by_id(v, c->stream);
	const struct chunk_info *sent =
	    s ? stream_find_chunk(s, c->first) : NULL;

	if (sent)
		f->seen.events += sent->last - sent->first + 1;
}

/* --- reading -------------------------------------------------------------- */

/* The fill that RD is for; NULL: it is over, or cannot go on. */
static struct fill_out *
came_back(struct fill_reading *rd)
{
	struct store *s = rd->store;
	struct vnode *v = &s->vnodes[rd->group];
	struct store_worker *w = store_worker_of(s, rd->group);
	struct fill_out *f = v->group.generation == rd->generation
				 ? fill_out_find(v, rd->transfer)
				 : NULL;

	w->n_reading--;
	if (!f)
		return NULL;
	f->reading = 0;
	if (rd->r == 0)
		return f;
	store_report(s, 1, "group %u: cannot fill a replica: %s: %s", rd->group,
	    rd->dir, err_text(rd->r));
	if (!rd->whole && rd->n_done < rd->n_wants)
		repair_note(w, v, rd->wants[rd->n_done].stream,
		    rd->wants[rd->n_done].first);
	fill_out_failed(w, v, f, rd->r);
	return NULL;
}

/* --- the manifest --------------------------------------------------------- */

static void
send_manifest(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	uint64_t offset = f->manifest_at;
	uint64_t n = offset < f->n ? f->n - offset : 0;
	size_t most = fill_rate_page(w->store);

	n = n < most ? n : most;
	store_step(w->store, STEP_MANIFEST_SENT);
	f->manifest_asked = 0;
	count_page(w, f, n);
	fill_out_say(w, v, f,
	    (struct fill_message){.op = FILL_MANIFEST,
		.a = offset,
		.b = f->n,
		.c = f->number,
		.bytes = SLICE(f->manifest + offset, n)});
}

static void
manifest_is_read(struct msg *m)
{
	struct fill_reading *rd = CONTAINER_OF(m, struct fill_reading, msg);
	struct vnode *v = &rd->store->vnodes[rd->group];
	struct fill_out *f = came_back(rd);

	if (f) {
		f->manifest = rd->bytes;
		f->n = rd->n;
		f->number = rd->number;
		rd->bytes = NULL;
		count_files(v, &f->seen);
		send_manifest(store_worker_of(rd->store, rd->group), v, f);
	}
	fill_reading_free(rd);
}

static void
begin_round(struct fill_out *f, const struct fill_message *m)
{
	f->round = m->a;
	f->position = m->d;
	f->credit = 0;
	f->first = f->n_wants = 0;
	f->n_asked = 0;
	f->begun = f->all = 0;
	f->out.n = f->out_at = 0;
}

/* The receiver knows nothing of what it was sent before. */
static void
begin_anew(struct fill_out *f)
{
	begin_round(f, &(struct fill_message){.a = 0});
	f->seen.bytes = f->seen.events = 0;
}

static void
serve_manifest(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	struct fill_reading *rd;

	if (!fill_rate_allows(w->store) || f->reading)
		return;
	if (f->manifest) {
		if (f->manifest_at == 0)
			begin_anew(f);
		if (f->manifest_at <= f->n)
			send_manifest(w, v, f);
		return;
	}
	rd = fill_reading_new(w, v, f, manifest_is_read);
	if (!rd)
		return;
	f->index = v->manifest.saved_index;
	rd->whole = 1;
	rd->number = v->manifest.number;
	rd->limit = v->manifest.bytes;
	fill_reading_start(w, f, rd);
}

/* --- the stream of chunks ------------------------------------------------- */

static void stream_read(struct msg *m);

static void
read_on(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	struct fill_reading *rd;

	if (f->reading || f->n_wants == 0 || f->position >= f->credit ||
	    f->out.n - f->out_at > FILL_READ_BYTES)
		return;
	rd = fill_reading_new(w, v, f, stream_read);
	if (!rd)
		return;
	rd->limit = f->credit - f->position;
	if (rd->limit > FILL_READ_BYTES)
		rd->limit = FILL_READ_BYTES;
	buf_init(&rd->out, FILL_READ_BYTES);
	rd->round = f->round;
	rd->begun = f->begun;
	rd->all = f->all;
	while (rd->n_wants < f->n_wants && rd->n_wants < FILL_READ_CHUNKS) {
		rd->wants[rd->n_wants] =
		    f->wants[(f->first + rd->n_wants) % FILL_WANTS_MAX];
		rd->n_wants++;
	}
	fill_reading_start(w, f, rd);
}

static void
send_pages(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	uint64_t begins = f->position - f->out.n;

	while (f->out_at < f->out.n && fill_rate_allows(w->store)) {
		size_t n = f->out.n - f->out_at;
		size_t most = fill_rate_page(w->store);

		n = n < most ? n : most;
		if (fill_out_say(w, v, f,
			(struct fill_message){.op = FILL_CHUNKS,
			    .a = f->round,
			    .b = begins + f->out_at,
			    .bytes = SLICE(f->out.p + f->out_at, n)}) ==
		    -ERR_BUSY)
			return;
		store_step(w->store, STEP_CHUNKS_SENT);
		f->out_at += n;
		f->seen.bytes += n;
		count_page(w, f, n);
	}
	if (f->out_at == f->out.n)
		f->out_at = f->out.n = 0;
}

/* RD's bytes are what goes out next. */
static int
take_bytes(struct fill_out *f, struct fill_reading *rd)
{
	f->position += rd->out.n;
	if (f->out_at < f->out.n) {
		f->out.n -= f->out_at;
		memmove(f->out.p, f->out.p + f->out_at, f->out.n);
		f->out_at = 0;
		buf_add_slice(&f->out, buf_slice(&rd->out));
		return buf_error(&f->out);
	}
	buf_deinit(&f->out);
	f->out = rd->out;
	f->out.max = 2 * FILL_READ_BYTES;
	f->out_at = 0;
	buf_init(&rd->out, 0);
	return 0;
}

static void
stream_read(struct msg *m)
{
	struct fill_reading *rd = CONTAINER_OF(m, struct fill_reading, msg);
	struct store *s = rd->store;
	struct vnode *v = &s->vnodes[rd->group];
	struct store_worker *w = store_worker_of(s, rd->group);
	struct fill_out *f = came_back(rd);

	if (f && f->round == rd->round) {
		for (uint32_t i = 0; i < rd->n_done; i++)
			count_chunk(v, f, &rd->wants[i]);
		f->first = (f->first + rd->n_done) % FILL_WANTS_MAX;
		f->n_wants -= rd->n_done;
		f->begun = rd->begun;
		f->all = rd->all;
		if (take_bytes(f, rd)) {
			fill_out_failed(w, v, f, -ERR_NOMEM);
			f = NULL;
		}
	}
	if (f) {
		read_on(w, v, f);
		send_pages(w, v, f);
	}
	fill_reading_free(rd);
}

static void
add_wants(struct fill_out *f, struct slice in)
{
	uint32_t n = (uint32_t)(in.n / FILL_CHUNK_BYTES);

	if (!f->wants)
		f->wants = mem_calloc(FILL_WANTS_MAX, sizeof(*f->wants));
	if (!f->wants || n > FILL_WANTS_MAX - f->n_wants)
		return; /* as if it had been lost */
	for (uint32_t i = 0; i < n; i++)
		fill_decode_chunk(in.p + i * FILL_CHUNK_BYTES,
		    &f->wants[(f->first + f->n_wants++) % FILL_WANTS_MAX]);
	f->n_asked += n;
}

static void
serve_chunks(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *m)
{
	if (m->a < f->round || !f->manifest)
		return;
	if (m->a > f->round)
		begin_round(f, m);
	if (m->b > f->credit)
		f->credit = m->b;
	if (m->c == f->n_asked)
		add_wants(f, m->bytes);
	read_on(w, v, f);
	send_pages(w, v, f);
}

/* --- asked ---------------------------------------------------------------- */

void
fill_serve(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *m)
{
	if (m->op == FILL_GET_CHUNKS) {
		serve_chunks(w, v, f, m);
		return;
	}
	f->manifest_asked = 1;
	f->manifest_at = m->a;
	serve_manifest(w, v, f);
}

void
fill_serve_tick(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	if (f->manifest_asked)
		serve_manifest(w, v, f);
	read_on(w, v, f);
	send_pages(w, v, f);
}
