/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Frames of clients: cut anywhere they say the same, and wslay agrees. */
#include <criterion/criterion.h>

#include <wslay/wslay.h>

#include "http/websocket.h"
#include "tests/lib/chance.h"

TestSuite(websocket, .timeout = 120);

#define MAX 1000

/* What comes of a stream of bytes: messages, and how it ended. */
struct outcome {
	uint32_t n_texts, n_pings;
	size_t text_bytes;
	uint32_t sum;
	int code; /* 0: goes on; > 0 closed by us or echoed */
	size_t used;
	int unfinished; /* it ended inside a message */
};

static void
add_text(struct outcome *o, struct slice s)
{
	o->n_texts++;
	o->text_bytes += s.n;
	for (size_t i = 0; i < s.n; i++)
		o->sum = o->sum * 31 + s.p[i];
}

/* --- ours ----------------------------------------------------------------- */

static struct outcome
ours(struct slice in, size_t cut)
{
	struct outcome o = {0};
	struct websocket w;
	size_t at = 0;

	websocket_init(&w, MAX);
	while (at < in.n && !o.code) {
		size_t n = in.n - at < cut ? in.n - at : cut, used;

		switch (websocket_step(&w, SLICE(in.p + at, n), &used)) {
		case WEBSOCKET_MORE:
			cr_assert_eq(used, n);
			break;
		case WEBSOCKET_TEXT:
			add_text(&o, w.payload);
			break;
		case WEBSOCKET_PING:
			o.n_pings++;
			break;
		case WEBSOCKET_PONG:
			break;
		case WEBSOCKET_CLOSE:
			o.code = w.code ? w.code : 1005;
			break;
		case WEBSOCKET_ERROR:
			o.code = w.code;
			break;
		}
		at += used;
	}
	o.used = at;
	o.unfinished = w.in_message || w.in_frame;
	websocket_deinit(&w);
	return o;
}

/* --- wslay's -------------------------------------------------------------- */

struct oracle {
	struct slice in;
	struct outcome o;
};

static ssize_t
on_recv(
    wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
	struct oracle *a = arg;
	size_t n = a->in.n < len ? a->in.n : len;

	(void)flags;
	if (n == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(buf, a->in.p, n);
	a->in = SLICE(a->in.p + n, a->in.n - n);
	return (ssize_t)n;
}

static void
on_message(wslay_event_context_ptr ctx,
    const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
	struct oracle *a = arg;

	(void)ctx;
	if (a->o.code)
		return;
	if (m->opcode == WSLAY_TEXT_FRAME)
		add_text(&a->o, SLICE(m->msg, m->msg_length));
	else if (m->opcode == WSLAY_BINARY_FRAME)
		a->o.code = 1003;
	else if (m->opcode == WSLAY_PING)
		a->o.n_pings++;
	else if (m->opcode == WSLAY_CONNECTION_CLOSE)
		a->o.code = m->status_code;
}

static struct outcome
wslays(struct slice in)
{
	struct wslay_event_callbacks cb = {
	    .recv_callback = on_recv, .on_msg_recv_callback = on_message};
	struct oracle a = {.in = in};
	wslay_event_context_ptr ctx;

	cr_assert_eq(wslay_event_context_server_init(&ctx, &cb, &a), 0);
	wslay_event_config_set_max_recv_msg_length(ctx, MAX);
	wslay_event_recv(ctx);
	if (!a.o.code && wslay_event_get_close_sent(ctx))
		a.o.code = wslay_event_get_status_code_sent(ctx);
	if (!a.o.code && wslay_event_want_write(ctx) &&
	    !wslay_event_want_read(ctx))
		a.o.code = -1; /* closes, as it will say when it writes */
	wslay_event_context_free(ctx);
	return a.o;
}

/* --- streams by chance ---------------------------------------------------- */

static size_t
add_frame(uint8_t *p, struct chance *c, uint8_t opcode, int fin, size_t n)
{
	size_t at = 0;
	uint8_t mask[4];

	p[at++] = (uint8_t)((fin ? 0x80 : 0) | opcode);
	p[at++] = (uint8_t)(0x80 | (n < 126 ? n : 126));
	if (n >= 126) {
		p[at++] = (uint8_t)(n >> 8);
		p[at++] = (uint8_t)n;
	}
	for (int i = 0; i < 4; i++)
		p[at++] = mask[i] = (uint8_t)chance_below(c, 256);
	for (size_t i = 0; i < n; i++, at++)
		p[at] = (uint8_t)("abc {}\"\\"[i % 8]) ^ mask[i & 3];
	return at;
}

static size_t
make(uint8_t *p, struct chance *c)
{
	size_t n = 0;
	int in_message = 0;

	for (uint64_t k = 1 + chance_below(c, 6); k; k--) {
		uint64_t what = chance_below(c, 8);

		if (what == 0) {
			n += add_frame(p + n, c, 9, 1, chance_below(c, 126));
		} else {
			int fin = chance_below(c, 3) > 0;

			n += add_frame(p + n, c, in_message ? 0 : 1, fin,
			    chance_below(c, 300));
			in_message = !fin;
		}
	}
	if (chance_below(c, 2)) { /* something is wrong */
		size_t at = chance_below(c, n);

		p[at] ^= (uint8_t)(1u << chance_below(c, 8));
	}
	return n;
}

Test(websocket, cut_anywhere_says_the_same_as_in_one_piece)
{
	uint8_t bytes[8192];
	struct chance c;

	c.state = 1;
	for (int i = 0; i < 20000; i++) {
		struct slice in = SLICE(bytes, make(bytes, &c));
		struct outcome a = ours(in, SIZE_MAX);
		struct outcome b = ours(in, 1 + chance_below(&c, 9));

		cr_assert_eq(a.n_texts, b.n_texts);
		cr_assert_eq(a.n_pings, b.n_pings);
		cr_assert_eq(a.sum, b.sum);
		cr_assert_eq(a.code, b.code);
	}
}

Test(websocket, wslay_takes_what_is_taken)
{
	uint8_t bytes[8192];
	struct chance c;

	c.state = 2;
	for (int i = 0; i < 20000; i++) {
		struct slice in = SLICE(bytes, make(bytes, &c));
		struct outcome a = ours(in, SIZE_MAX), b = wslays(in);

		cr_assert_eq(a.n_texts, b.n_texts, "%d", i);
		cr_assert_eq(a.sum, b.sum, "%d", i);
		/* wslay does not wait for the end of what is not UTF-8. */
		if (b.code) {
			cr_assert(a.code || a.unfinished, "%d: %d", i, b.code);
			cr_assert_geq(a.n_pings, b.n_pings, "%d", i);
		} else {
			/* It looks at a head once that is whole. */
			cr_assert(
			    !a.code || in.n - a.used < 14, "%d: %d", i, a.code);
			cr_assert_eq(a.n_pings, b.n_pings, "%d: %u, %u", i,
			    a.n_pings, b.n_pings);
		}
	}
}
