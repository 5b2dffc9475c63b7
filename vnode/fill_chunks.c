/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_chunks - the chunks of a fill: asked for, and taken from the stream.
 *
 *	next chunk, found by a look, or to be done again -> wants, told
 *	-> coming -> ready -> writing -> written
 *
 * How far the leader may go: WINDOW bytes beyond what came, as long as no more
 * than HELD_BYTES wait to be written, but at least to the end of the chunk that
 * comes.  A new round goes on within that chunk.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/fill_impl.h"

#define WINDOW     (2u << 20)
#define HELD_BYTES (8u << 20)
#define TELL_BYTES (WINDOW / 4) /* credit is not told for less */
#define AGAIN_MOST (FILL_SILENCE_US / 2)
#define GAP_US     200000  /* what overtakes on the way is not lost */
#define KEEP_UP_US 5000000 /* the leader is told that we are here */

/* --- which is next -------------------------------------------------------- */

int
fill_next_chunk(const struct fill *f, uint32_t *stream, uint32_t *chunk)
{
	const struct vnode *v = f->shadow;

	*stream = f->at_stream;
	*chunk = f->at_chunk;
	while (*stream < v->n_by_id && *chunk >= v->by_id[*stream]->n_chunks) {
		++*stream;
		*chunk = 0;
	}
	return *stream < v->n_by_id;
}

static int
take_want(struct buf *from, size_t *at, struct fill_want *out)
{
	if (*at + sizeof(*out) > from->n)
		return 0;
	memcpy(out, from->p + *at, sizeof(*out));
	*at += sizeof(*out);
	return 1;
}

/* The next chunk to ask for: 1, or 0 and there is none now. */
static int
next_want(struct fill *f, struct fill_want *out)
{
	size_t last = f->redo.n - sizeof(*out);

	if (f->redo.n) {
		take_want(&f->redo, &last, out);
		f->redo.n -= sizeof(*out);
		return 1;
	}
	if (f->resumes)
		return take_want(&f->found, &f->found_at, out);
	out->have = 0;
	if (!fill_next_chunk(f, &out->stream, &out->chunk))
		return 0;
	f->at_stream = out->stream;
	f->at_chunk = out->chunk + 1;
	return 1;
}

/* --- asking --------------------------------------------------------------- */

static uint64_t
credit(const struct fill *f)
{
	uint64_t room = f->held < HELD_BYTES ? HELD_BYTES - f->held : 0;
	uint64_t rest = f->all - f->got;

	if (f->got || f->head_got)
		rest += FILL_HEAD_BYTES - f->head_got;
	if (room > WINDOW)
		room = WINDOW;
	return f->position + (room > rest ? room : rest);
}

/* SKIP bytes of what is asked for have come. */
static void
encode_want(uint8_t *out, const struct fill *f, const struct fill_want *want,
    uint32_t skip)
{
	const struct stream *s = f->shadow->by_id[want->stream];
	const struct chunk_info *c = &s->chunks[want->chunk];
	struct fill_chunk chunk = {.stream = s->id,
	    .first = c->first,
	    .offset = want->have + skip,
	    .bytes = chunk_has_footer(c) ? 0 : c->bytes};

	fill_encode_chunk(out, &chunk);
}

/* Asks for what is wanted and was not asked for, and says how far it may go. */
static void
tell(struct fill *f)
{
	struct fill_wants *w = &f->wants;
	uint32_t n = w->n - w->n_told;
	struct fill_message m = {.op = FILL_GET_CHUNKS,
	    .a = f->round,
	    .b = credit(f),
	    .c = f->n_asked,
	    .d = f->round_at};
	struct buf list;

	buf_init(&list, FILL_PAGE_BYTES);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = buf_reserve(&list, FILL_CHUNK_BYTES);

		if (!p)
			break; /* the rest with the next */
		encode_want(p, f,
		    &w->at[(w->first + w->n_told + i) % FILL_WANTS_MAX],
		    w->n_told + i == 0 ? (uint32_t)f->got : 0);
		list.n += FILL_CHUNK_BYTES;
	}
	m.bytes = buf_slice(&list);
	f->credit = m.b;
	n = (uint32_t)(list.n / FILL_CHUNK_BYTES);
	f->n_asked += n;
	w->n_told += n;
	fill_ask(f, m);
	buf_deinit(&list);
}

/* A message for many chunks, not for each. */
static void
ask_more(struct fill *f)
{
	struct fill_wants *w = &f->wants;
	int low = w->n <= FILL_WANTS_MAX / 2;

	while (low && w->n < FILL_WANTS_MAX &&
	       next_want(f, &w->at[(w->first + w->n) % FILL_WANTS_MAX]))
		w->n++;
	if (w->n_told < w->n || (w->n && credit(f) >= f->credit + TELL_BYTES) ||
	    (w->n && f->credit <= f->position && credit(f) > f->credit))
		tell(f);
}

/* What was on its way is lost. */
static void
begin_round(struct fill *f)
{
	f->gap = 0;
	f->head_got = 0;
	f->round++;
	f->round_at = f->position;
	f->n_asked = 0;
	f->wants.n_told = 0;
	tell(f);
}

/* --- taking --------------------------------------------------------------- */

static int
chunk_is_whole(struct fill *f)
{
	struct fill_wants *w = &f->wants;
	int r = fill_batch_add(f->coming, &w->at[w->first]);

	w->first = (w->first + 1) % FILL_WANTS_MAX;
	w->n--;
	w->n_told--;
	f->got = f->all = f->head_got = 0;
	if (r == 0 && (f->coming->bytes.n >= FILL_BATCH_BYTES ||
			  f->coming->n == FILL_WANTS_MAX))
		fill_batch_close(f);
	return r;
}

/* The head of the chunk that comes, or of what is left of it, is here. */
static int
head_is_whole(struct fill *f)
{
	const struct fill_want *want = &f->wants.at[f->wants.first];
	struct buf *b = &f->coming->bytes;
	uint32_t n = le_get32(f->head);

	if (f->all) /* the chunk went on in a new round */
		return n == f->all - f->got ? 0 : -ERR_CORRUPT;
	if (n == 0 || n > FILL_CHUNK_MAX - want->have)
		return -ERR_CORRUPT;
	f->all = n;
	if (!buf_reserve(b, FILL_HEAD_BYTES + n))
		return -ERR_NOMEM;
	buf_add(b, f->head, FILL_HEAD_BYTES);
	f->held += FILL_HEAD_BYTES;
	return 0;
}

static size_t
take_head(struct fill *f, struct slice in, int *r)
{
	size_t n = FILL_HEAD_BYTES - f->head_got;

	n = n < in.n ? n : in.n;
	memcpy(f->head + f->head_got, in.p, n);
	f->head_got += (uint32_t)n;
	if (f->head_got == FILL_HEAD_BYTES)
		*r = head_is_whole(f);
	return n;
}

/* Some of IN: how much. */
static size_t
take_some(struct fill *f, struct slice in, int *r)
{
	uint64_t left = f->all - f->got;
	size_t n = left < in.n ? (size_t)left : in.n;

	if (f->wants.n_told == 0)
		*r = -ERR_CORRUPT; /* nothing was asked for */
	else if (!fill_batch_coming(f))
		*r = -ERR_NOMEM;
	if (*r)
		return 0;
	if (f->head_got < FILL_HEAD_BYTES)
		return take_head(f, in, r);
	buf_add(&f->coming->bytes, in.p, n);
	f->got += n;
	f->held += n;
	*r = buf_error(&f->coming->bytes);
	if (*r == 0 && f->got == f->all)
		*r = chunk_is_whole(f);
	return n;
}

void
fill_chunks_take(struct fill *f, const struct fill_message *m)
{
	struct slice in = m->bytes;
	int r = 0;

	/* What was lost before it comes in a new round. */
	if (m->a == f->round && m->b > f->position)
		f->gap = 1;
	if (m->a != f->round || m->b != f->position)
		return;
	f->again_us = FILL_AGAIN_US;
	f->moved = fill_now(f);
	metrics_add(fill_worker(f)->metrics, METRICS_FILL_RECEIVED_BYTES, in.n);
	f->position += in.n;
	while (r == 0 && in.n) {
		size_t n = take_some(f, in, &r);

		in = SLICE(in.p + n, in.n - n);
	}
	if (r) {
		f->r = r;
		fill_abort(f, r == -ERR_NOMEM ? "out of memory"
					      : "it is not what was asked for");
		return;
	}
	fill_chunks_go_on(f);
}

/* --- the course of it ------------------------------------------------------ */

static int
has_next(const struct fill *f)
{
	uint32_t stream, chunk;

	return fill_next_chunk(f, &stream, &chunk);
}

/* Once those that were found are asked for; not while nearly all wants wait. */
static int
may_look(const struct fill *f)
{
	return f->resumes && f->found_at == f->found.n && has_next(f) &&
	       f->wants.n <= FILL_WANTS_MAX / 2;
}

void
fill_chunks_go_on(struct fill *f)
{
	if (!f->busy)
		fill_write_next(f);
	if (!f->busy && may_look(f))
		fill_look(f);
	/* Not what the lane is looking at. */
	if (!f->resumes || !f->busy || f->writing)
		ask_more(f);
	if (!f->busy && f->wants.n == 0 && !has_next(f))
		fill_sync(f);
}

void
fill_chunks_begin(struct fill *f)
{
	f->stage = FILL_STAGE_CHUNKS;
	f->last_ready = &f->ready;
	f->again_us = FILL_AGAIN_US;
	buf_init(&f->found, 1u << 20);
	buf_init(&f->redo, 64u << 20);
	buf_init(&f->scratch, FILL_CHUNK_MAX);
	fill_chunks_go_on(f);
}

void
fill_chunks_tick(struct fill *f)
{
	uint64_t asked = mono_diff_us(f->asked, fill_now(f));
	uint64_t still = mono_diff_us(f->moved, fill_now(f));
	uint64_t again = f->gap ? GAP_US : f->again_us;
	int waits = f->wants.n_told && f->credit > f->position;

	if (fill_ends_silent(f))
		return;
	if (waits && still > again && asked > again) {
		f->again_us =
		    f->again_us * 2 < AGAIN_MOST ? f->again_us * 2 : AGAIN_MOST;
		begin_round(f);
	} else if (asked > KEEP_UP_US) {
		tell(f);
	} else {
		fill_chunks_go_on(f); /* memory may have been short */
	}
}
