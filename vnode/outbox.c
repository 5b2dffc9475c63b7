/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* outbox - one frame for each peer and turn. */
#include "vnode/outbox.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define FRAME_BYTES (192u << 10) /* then it goes out before the turn ends */
#define PIECES_MAX  4096         /* the same */
#define HEADS_MAX   (1u << 20)
#define IOV_LIMIT   65536

struct piece {
	const uint8_t *p; /* NULL: of heads, at offset */
	uint32_t offset, n;
};

struct out_frame {
	uint8_t node[16];
	struct buf heads;
	struct piece *pieces;
	struct body **bodies;
	uint32_t n_pieces, cap_pieces;
	uint32_t n_bodies, cap_bodies;
	uint64_t bytes;
	int is_urgent; /* not only what can wait for the beat */
};

void
outbox_init(struct outbox *o, const struct env *env, uint32_t worker,
    void (*read)(void *arg, struct body *b), void *arg)
{
	*o = (struct outbox){
	    .env = env, .worker = worker, .read = read, .arg = arg};
}

static void
empty(struct outbox *o, struct out_frame *f)
{
	for (uint32_t i = 0; i < f->n_bodies; i++) {
		f->bodies[i]->readers--;
		o->read(o->arg, f->bodies[i]);
	}
	f->n_bodies = f->n_pieces = 0;
	f->bytes = 0;
	f->is_urgent = 0;
	buf_reset(&f->heads);
}

void
outbox_deinit(struct outbox *o)
{
	for (uint32_t i = 0; i < o->n_frames; i++) {
		struct out_frame *f = &o->frames[i];

		empty(o, f);
		buf_deinit(&f->heads);
		mem_free(f->pieces);
		mem_free(f->bodies);
	}
	o->frames = mem_free(o->frames);
	o->n_frames = 0;
}

static struct out_frame *
find_frame(struct outbox *o, const uint8_t node[16])
{
	struct out_frame *f;

	for (uint32_t i = 0; i < o->n_frames; i++)
		if (memcmp(o->frames[i].node, node, 16) == 0)
			return &o->frames[i];
	if (o->n_frames == o->cap_frames) {
		uint32_t cap = o->cap_frames ? o->cap_frames * 2 : 4;

		f = mem_realloc(o->frames, cap * sizeof(*f));
		if (!f)
			return NULL;
		o->frames = f;
		o->cap_frames = cap;
	}
	f = &o->frames[o->n_frames++];
	*f = (struct out_frame){0};
	memcpy(f->node, node, 16);
	buf_init(&f->heads, HEADS_MAX);
	return f;
}

static void
flush(struct outbox *o, struct out_frame *f)
{
	const struct env_net *net = &o->env->net;
	struct iovec *iov = mem_calloc(f->n_pieces, sizeof(*iov));

	for (uint32_t i = 0; iov && i < f->n_pieces; i++) {
		const struct piece *q = &f->pieces[i];
		const uint8_t *p = q->p ? q->p : f->heads.p + q->offset;

		iov[i] = (struct iovec){(void *)(uintptr_t)p, q->n};
	}
	if (iov && f->n_pieces)
		net->send(net->ctx, o->worker, f->node, NET_CONTROL, iov,
		    (int)f->n_pieces);
	mem_free(iov);
	empty(o, f);
}

void
outbox_flush(struct outbox *o)
{
	for (uint32_t i = 0; i < o->n_frames; i++)
		if (o->frames[i].n_pieces && o->frames[i].is_urgent)
			flush(o, &o->frames[i]);
}

void
outbox_beat(struct outbox *o)
{
	for (uint32_t i = 0; i < o->n_frames; i++)
		o->frames[i].is_urgent = 1;
}

/* --- adding: all memory first, so that a message is whole or not there ------ */

static int
grow(void *array, uint32_t need, uint32_t *cap, size_t size)
{
	void **p = array, *q;
	uint32_t more = *cap ? *cap * 2 : 16;

	if (need <= *cap)
		return 0;
	more = more > need ? more : need;
	q = mem_realloc(*p, more * size);
	if (!q)
		return -ERR_NOMEM;
	*p = q;
	*cap = more;
	return 0;
}

static int
reserve(struct out_frame *f, uint32_t pieces, uint32_t bodies, uint32_t heads)
{
	int r = grow(&f->pieces, f->n_pieces + pieces, &f->cap_pieces,
	    sizeof(*f->pieces));

	if (r == 0)
		r = grow(&f->bodies, f->n_bodies + bodies, &f->cap_bodies,
		    sizeof(struct body *));
	if (r == 0 && !buf_reserve(&f->heads, heads))
		r = -ERR_NOMEM;
	return r;
}

/* The N bytes that were just put at the end of heads. */
static void
add_head(struct out_frame *f, uint32_t n)
{
	struct piece *last = f->n_pieces ? &f->pieces[f->n_pieces - 1] : NULL;
	uint32_t at = (uint32_t)f->heads.n;

	f->heads.n += n;
	f->bytes += n;
	if (last && !last->p && last->offset + last->n == at)
		last->n += n;
	else
		f->pieces[f->n_pieces++] = (struct piece){NULL, at, n};
}

static void
add_body(struct out_frame *f, uint64_t term, struct body *b)
{
	uint32_t pad = wire_round(b->bytes) - b->bytes;

	wire_put_entry(f->heads.p + f->heads.n, term, b->bytes, b->crc);
	add_head(f, WIRE_ENTRY_BYTES);
	for (int i = 0; i < b->n_iov; i++)
		f->pieces[f->n_pieces++] = (struct piece){
		    b->iov[i].iov_base, 0, (uint32_t)b->iov[i].iov_len};
	f->bytes += b->bytes;
	memset(f->heads.p + f->heads.n, 0, pad);
	if (pad)
		add_head(f, pad);
	b->readers++;
	f->bodies[f->n_bodies++] = body_ref(b);
}

static struct out_frame *
begin(struct outbox *o, const uint8_t node[16], uint32_t pieces,
    uint32_t bodies, uint32_t heads, uint32_t bytes)
{
	struct out_frame *f = find_frame(o, node);

	if (!f)
		return NULL;
	if (f->n_pieces && (f->n_pieces + pieces > PIECES_MAX ||
			       f->heads.n + heads > HEADS_MAX / 2 ||
			       f->bytes + bytes > 2 * FRAME_BYTES))
		flush(o, f);
	if (reserve(f, pieces + 1, bodies, heads + WIRE_FRAME_BYTES)) {
		buf_reset(&f->heads);
		if (f->n_pieces) /* what is there has lost its heads */
			empty(o, f);
		return NULL;
	}
	if (f->n_pieces == 0) {
		wire_put_frame(f->heads.p);
		add_head(f, WIRE_FRAME_BYTES);
	}
	return f;
}

void
outbox_add(struct outbox *o, const uint8_t node[16],
    const struct wire_message *m, const uint64_t *terms,
    struct body *const *bodies, int can_wait)
{
	uint32_t bytes = WIRE_MESSAGE_BYTES, pieces = 1;
	struct out_frame *f;

	for (uint32_t i = 0; i < m->n; i++) {
		bytes += WIRE_ENTRY_BYTES + wire_round(bodies[i]->bytes);
		pieces += 2 + (uint32_t)bodies[i]->n_iov;
	}
	if (pieces > IOV_LIMIT)
		return;
	f = begin(o, node, pieces, m->n,
	    WIRE_MESSAGE_BYTES + m->n * (WIRE_ENTRY_BYTES + 8), bytes);
	if (!f)
		return;
	wire_put_message(f->heads.p + f->heads.n, m, bytes);
	add_head(f, WIRE_MESSAGE_BYTES);
	f->is_urgent |= !can_wait;
	for (uint32_t i = 0; i < m->n; i++)
		add_body(f, terms[i], bodies[i]);
	if (f->bytes > FRAME_BYTES)
		flush(o, f);
}

void
outbox_add_bytes(struct outbox *o, const uint8_t node[16],
    const struct wire_message *m, struct slice rest, int can_wait)
{
	uint32_t n = wire_round((uint32_t)rest.n);
	struct out_frame *f = begin(
	    o, node, 1, 0, WIRE_MESSAGE_BYTES + n, WIRE_MESSAGE_BYTES + n);

	if (!f)
		return;
	wire_put_message(f->heads.p + f->heads.n, m, WIRE_MESSAGE_BYTES + n);
	memset(f->heads.p + f->heads.n + WIRE_MESSAGE_BYTES, 0, n);
	if (rest.n)
		memcpy(f->heads.p + f->heads.n + WIRE_MESSAGE_BYTES, rest.p,
		    rest.n);
	add_head(f, WIRE_MESSAGE_BYTES + n);
	f->is_urgent |= !can_wait;
	if (f->bytes > FRAME_BYTES)
		flush(o, f);
}
