/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_websocket - what a client sends after its handshake: cut anywhere it says
 * the same, and a message costs no more than it may.
 */
#include "http/websocket.h"
#include "src/base/assert.h"
#include "src/base/utf8.h"
#include "tests/fuzz/fuzz.h"

#define MAX 4096

struct seen {
	uint32_t n, sum;
	int end;
};

static void
add(struct seen *s, enum websocket_event e, const struct websocket *w)
{
	s->n++;
	s->sum = s->sum * 31 + (uint32_t)e;
	if (e == WEBSOCKET_ERROR || e == WEBSOCKET_CLOSE) {
		s->end = 1;
		s->sum += w->code;
		ASSERT(e == WEBSOCKET_CLOSE
			   ? w->code == 0 || websocket_code_is_good(w->code)
			   : w->code >= 1002);
		return;
	}
	ASSERT(w->payload.n <= (e == WEBSOCKET_TEXT ? MAX : 125));
	ASSERT(e != WEBSOCKET_TEXT || w->payload.n == 0 ||
	       utf8_check(w->payload.p, w->payload.n) == w->payload.n);
	for (size_t i = 0; i < w->payload.n; i++)
		s->sum = s->sum * 31 + w->payload.p[i];
}

static struct seen
read_all(const uint8_t *p, size_t n, size_t cut)
{
	struct seen s = {0};
	struct websocket w;
	size_t at = 0;

	websocket_init(&w, MAX);
	while (at < n && !s.end) {
		size_t k = n - at < cut ? n - at : cut, used;
		enum websocket_event e =
		    websocket_step(&w, SLICE(p + at, k), &used);

		ASSERT(used <= k && (e != WEBSOCKET_MORE || used == k));
		if (e != WEBSOCKET_MORE)
			add(&s, e, &w);
		at += used;
	}
	websocket_deinit(&w);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct seen a = read_all(p, n, SIZE_MAX);
	struct seen b = read_all(p, n, n ? 1 + p[0] % 7 : 1);

	ASSERT(a.n == b.n && a.sum == b.sum && a.end == b.end);
	return 0;
}
