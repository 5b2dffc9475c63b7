/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* listen_params - what a listener asks for, as text. */
#include "http/listen_params.h"

#include <string.h>

#include "src/base/err.h"
#include "src/base/name.h"

static int
digits(struct slice s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 19)
		return -ERR_INVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -ERR_INVAL;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	*out = v;
	return 0;
}

/* Up to the next colon, which is taken out of *S. */
static struct slice
word(struct slice *s)
{
	const uint8_t *p = s->n ? memchr(s->p, ':', s->n) : NULL;
	struct slice w = SLICE(s->p, p ? (size_t)(p - s->p) : s->n);
	size_t used = p ? w.n + 1 : w.n;

	*s = SLICE(s->p + used, s->n - used);
	return w;
}

int
listen_take_wanted(struct slice value, struct listen_wanted *out)
{
	struct slice rest = value;
	int colons = 0;

	for (size_t i = 0; i < value.n; i++)
		colons += value.p[i] == ':';
	*out = (struct listen_wanted){
	    .bucket = word(&rest), .stream = word(&rest)};
	out->all = slice_equal(out->stream, SLICE_LIT("*"));
	if (colons < 1 || colons > 2 || name_check(out->bucket) ||
	    (out->all ? colons > 1 : name_check(out->stream)))
		return -ERR_INVAL;
	if (colons == 1)
		return 0;
	if (digits(rest, &out->next))
		return -ERR_INVAL;
	if (out->next == 0)
		out->next = 1;
	return 0;
}

int
listen_take_id(struct slice text, uint64_t *incarnation, uint64_t *seq)
{
	const uint8_t *dash = text.n ? memchr(text.p, '-', text.n) : NULL;

	*incarnation = 0;
	if (dash) {
		size_t n = (size_t)(dash - text.p);

		if (digits(SLICE(text.p, n), incarnation))
			return -ERR_INVAL;
		text = SLICE(dash + 1, text.n - n - 1);
	}
	return digits(text, seq);
}
