/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_sealed - what comes to the port between nodes: it is refused, or it is
 * exactly what a node with the cookie sealed, once; pieces make the frames that
 * a simple model makes of them; what is under way stays bounded.
 *
 * An input is messages, each behind a head of 8 bytes:
 *
 *	u8  0 the bytes as they are, 1 hello, 2 frame, 3 piece, 5 bundle: sealed
 *	    with the cookie; + 16 from a stranger; + 32 with cluster id 0; + 64 for
 *	    another boot of ours; + 128 sent a second time
 *	u8  number of the key; of a hello: of the stranger
 *	u16 0
 *	u32 bytes, little endian
 */
#include "src/base/assert.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"
#include "tests/fuzz/fuzz.h"

#define COOKIE    "a cookie"
#define ITEM_HEAD 8
#define ITEMS_MAX 200

static const uint8_t own[16] = {1, 1}, own_boot[16] = {1, 2};
static const uint8_t member[16] = {2, 1}, member_boot[16] = {2, 2};
static const uint8_t cluster[16] = {3};

/* The long frame under way of one key, told by its pieces alone. */
struct model {
	int active;
	uint64_t number;
	uint32_t total, n;
	uint8_t *bytes; /* as many as the input has */
};

struct world {
	struct os os;
	struct net *net;
	uint64_t us, counter;
	uint8_t *last; /* the last message that was sealed */
	size_t last_n;
	uint32_t n_posted;
	struct slice expected;       /* p NULL: nothing may be posted */
	struct slice bundle;         /* p NULL: none; what is left of it */
	struct model models[2][256]; /* of the member, of strangers */
	size_t input_n;
};

/* --- the machine ---------------------------------------------------------- */

static struct mono
mono(void *ctx)
{
	struct world *w = ctx;

	return (struct mono){w->us += 1000};
}

static void
bytes(void *ctx, void *out, size_t n)
{
	(void)ctx;
	memset(out, 0x5a, n);
}

/* The next frame of the bundle, told by its bytes alone. */
static void
expect_next(struct world *w)
{
	const uint8_t *p = w->bundle.p;
	size_t n;

	ASSERT(w->bundle.n >= 8 && le_get32(p + 4) == 0);
	n = le_get32(p);
	w->expected = SLICE(p + 8, n);
	n = 8 + (n + 7) / 8 * 8;
	ASSERT(n <= w->bundle.n);
	w->bundle = SLICE(p + n, w->bundle.n - n);
}

static void
to_worker(void *ctx, uint32_t worker, struct msg *m)
{
	struct world *w = ctx;
	struct net_frame *f = CONTAINER_OF(m, struct net_frame, msg);

	ASSERT(worker == 0);
	if (m->kind == MSG_CALL) {
		m->fn(m);
		return;
	}
	ASSERT(m->kind == MSG_FRAME && f->bytes.n <= NET_FRAME_MAX);
	if (w->bundle.p)
		expect_next(w);
	ASSERT(w->expected.p && slice_equal(f->bytes, w->expected));
	w->n_posted++;
	net_frame_free(f);
}

static struct net *
new_net(struct world *w)
{
	struct net *net = mem_zalloc(sizeof(*net));
	struct net_peer *p;

	ASSERT(net);
	w->os.config.n_workers = 1;
	w->os.env.clock.mono = mono;
	w->os.env.clock.ctx = w;
	w->os.env.rng.bytes = bytes;
	w->os.env.post.to_worker = to_worker;
	w->os.env.post.n_workers = 1;
	w->os.env.post.ctx = w;
	net->os = &w->os;
	memcpy(net->config.cluster_id, cluster, 16);
	memcpy(net->config.node_id, own, 16);
	memcpy(net->config.boot, own_boot, 16);
	net->config.cookie = mem_strdup(COOKIE);
	net->in.socket = net->in.fd = net->wake_fd = net->line_fd = -1;
	net->last_asked = &net->asked;
	net->budget.max = NET_PIECES_MAX;
	net->mails = mem_calloc(1, sizeof(*net->mails));
	pthread_mutex_init(&net->lock, NULL);
	p = net_new_stranger(net, member, "m@127.0.0.1", "127.0.0.1:1");
	ASSERT(p && net->mails && net->config.cookie);
	p->is_member = p->is_known = 1;
	memcpy(p->boot, member_boot, 16);
	/* One that was asked by its name, and may answer. */
	p = net_new_stranger(net, NULL, "x@127.0.0.1", "");
	ASSERT(p);
	p->has_challenge = 1;
	p->challenge_at = net_now(net);
	memset(p->challenge, 0x5a, 16);
	return net;
}

/* --- messages ------------------------------------------------------------- */

static void
resize(struct world *w, size_t n)
{
	w->last = mem_realloc(w->last, n + 1);
	ASSERT(w->last);
	w->last_n = n;
}

/* As if it had come: in memory of its own size. */
static void
come(struct world *w, struct slice message)
{
	uint8_t *p = mem_alloc(message.n + (message.n == 0));

	ASSERT(p);
	if (message.n > 0)
		memcpy(p, message.p, message.n);
	net_on_message(w->net, SLICE(p, message.n));
	mem_free(p);
	ASSERT(w->net->budget.bytes <= NET_PIECES_MAX);
	ASSERT(w->net->n_peers <= OS_NET_STRANGERS_MAX + 1);
}

static void
seal_item(struct world *w, uint8_t op, uint8_t number, struct slice body)
{
	struct seal_head h = {.kind = op & 15, .number = number};
	struct iovec iov = {(void *)(uintptr_t)body.p, body.n};
	struct seal_key *k;

	memcpy(h.sender, member, 16);
	memcpy(h.sender_boot, member_boot, 16);
	if (op & 16)
		h.sender[0] = (uint8_t)(number | 0x80);
	if (!(op & 32) && h.kind != SEAL_HELLO)
		memcpy(h.cluster, cluster, 16);
	memcpy(h.receiver, own, 16);
	memcpy(h.receiver_boot, own_boot, 16);
	h.receiver_boot[0] ^= (op & 64) != 0;
	h.counter = ++w->counter;
	k = seal_key_new(COOKIE, h.sender, h.sender_boot, number, 1);
	ASSERT(k);
	resize(w, body.n + SEAL_BYTES);
	seal(k, &h, &iov, 1, w->last);
	seal_key_free(k);
}

/* Whether this piece makes a frame whole: W->expected then. */
static void
add_to_model(struct world *w, struct model *m, struct slice s)
{
	uint64_t number;
	uint32_t total, at;

	if (s.n <= PIECE_HEAD_BYTES)
		return;
	number = le_get64(s.p);
	total = le_get32(s.p + 8);
	at = le_get32(s.p + 12);
	s = SLICE(s.p + PIECE_HEAD_BYTES, s.n - PIECE_HEAD_BYTES);
	if (total > NET_FRAME_MAX || (uint64_t)at + s.n > total)
		return;
	if (at == 0) {
		m->active = 1;
		m->number = number;
		m->total = total;
		m->n = 0;
	} else if (!m->active || m->number != number || m->total != total ||
		   m->n != at) {
		m->active = 0;
		return;
	}
	if (!m->bytes)
		m->bytes = mem_alloc(w->input_n);
	ASSERT(m->bytes && m->n + s.n <= w->input_n);
	memcpy(m->bytes + m->n, s.p, s.n);
	m->n += (uint32_t)s.n;
	if (m->n < total)
		return;
	m->active = 0;
	w->expected = SLICE(m->bytes, m->n);
}

static void
item(struct world *w, uint8_t op, uint8_t number, struct slice body)
{
	/* Of strangers what answered our challenge is taken. */
	int maybe = (op & (16 | 32 | 64)) == (16 | 32);
	int taken = !(op & (16 | 64));

	w->expected = w->bundle = (struct slice){NULL, 0};
	w->n_posted = 0;
	if ((op & 15) == 0 || (op & 15) >= SEAL_KIND_COUNT ||
	    body.n > NET_BODY_MAX) {
		come(w, body); /* nobody can have sealed that */
		return;
	}
	seal_item(w, op, number, body);
	if ((taken || maybe) && (op & 15) == SEAL_FRAME)
		w->expected = body.n ? body : SLICE("", 0);
	if ((taken || maybe) && (op & 15) == SEAL_PIECE)
		add_to_model(w, &w->models[maybe][number], body);
	if ((taken || maybe) && (op & 15) == SEAL_BUNDLE)
		w->bundle = SLICE(body.p, body.n);
	come(w, SLICE(w->last, w->last_n));
	/* A frame for which there is no room is dropped, not changed. */
	ASSERT(w->n_posted <= 1 || (op & 15) == SEAL_BUNDLE);
	ASSERT(w->n_posted == 1 || (op & 15) != SEAL_FRAME || !taken);
	w->expected = w->bundle = (struct slice){NULL, 0};
	if (op & 128)
		come(w, SLICE(w->last, w->last_n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct world *w = mem_zalloc(sizeof(*w));

	ASSERT(w);
	w->net = new_net(w);
	w->input_n = n;
	for (int i = 0; i < ITEMS_MAX && n >= ITEM_HEAD; i++) {
		uint8_t op = p[0], number = p[1];
		size_t take = le_get32(p + 4);

		p += ITEM_HEAD;
		n -= ITEM_HEAD;
		take = take < n ? take : n;
		item(w, op, number, SLICE(p, take));
		p += take;
		n -= take;
	}
	ASSERT(!net_close(w->net));
	for (int i = 0; i < 2 * 256; i++)
		mem_free(w->models[i / 256][i % 256].bytes);
	mem_free(w->last);
	mem_free(w);
	return 0;
}
