/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* kept - from where on the events of one stream are visible. */
#include "vnode/kept.h"

#include "src/base/assert.h"
#include "src/base/mem.h"
#include "vnode/event.h"
#include "vnode/mutants.h"
#include "vnode/vnode.h"

struct kept *
kept_of(struct stream *s)
{
	struct kept *k = s->kept;

	if (k)
		return k;
	k = mem_zalloc(sizeof(*k));
	if (!k)
		return NULL;
	k->stream = s;
	list_init(&k->cut);
	s->kept = k;
	return k;
}

const struct policy *
kept_policy(const struct stream *s)
{
	static const struct policy none;

	if (!s->bucket || s->dead)
		return &none;
	return s->kept && s->kept->has_own ? &s->kept->own : &s->bucket->policy;
}

uint64_t
kept_before(const struct stream *s)
{
	return s->kept ? s->kept->before : 0;
}

static void
raise_to(uint64_t *limit, uint64_t to)
{
	if (*limit < to)
		*limit = to;
}

struct limits
kept_limits(const struct stream *s, uint64_t clock_ms)
{
	uint64_t age = kept_policy(s)->max[POLICY_AGE];
	struct limits l = {0, 0, 0};

	if (s->kept)
		l = s->kept->hidden;
	if (age && clock_ms > age)
		raise_to(&l.t, clock_ms - age);
	return l;
}

int
kept_raise(struct stream *s)
{
	const struct policy *p = kept_policy(s);
	uint64_t events = p->max[POLICY_EVENTS], bytes = p->max[POLICY_BYTES];
	struct limits *l = &s->kept->hidden, was = *l;

	if (events && s->last > events)
		raise_to(
		    &l->seq, s->last - events + 1 + VNODE_MUTANT(CUT_TOO_MUCH));
	if (bytes && s->last_bytes > bytes) /* the newest stays, alone */
		raise_to(&l->seq, s->last);
	else if (bytes && s->total > bytes)
		raise_to(&l->before, s->total - bytes);
	return l->seq != was.seq || l->before != was.before;
}

int
kept_is_over(const struct stream *s, uint64_t clock_ms)
{
	return s->last && s->last_t <= kept_limits(s, clock_ms).t;
}

uint64_t
kept_end(const struct stream *s, const struct chunk_info *c)
{
	return c + 1 < s->chunks + s->n_chunks ? c[1].before : s->total;
}

int
kept_hides(
    const struct stream *s, const struct limits *l, const struct chunk_info *c)
{
	return c->last < l->seq || kept_end(s, c) - c->last_bytes < l->before ||
	       c->last_t <= l->t;
}

void
kept_move(struct vnode *v, struct stream *s, uint64_t first, uint64_t before,
    uint64_t t_ms, uint32_t offset)
{
	struct kept *k = s->kept;

	ASSERT(first >= s->first && before >= k->before);
	v->n_events -= first - s->first;
	v->bytes -= before - k->before;
	s->first = first;
	k->before = before;
	k->first_t = t_ms;
	k->offset = offset;
}

/* Whether event stream->first is visible, as far as is known. */
static int
is_visible(const struct stream *s, const struct limits *l)
{
	const struct kept *k = s->kept;

	return s->first >= l->seq && k->before >= l->before &&
	       (l->t == 0 || k->first_t > l->t);
}

/* Past events of memory that are hidden; 0: the next is not there. */
static int
walk_tail(struct vnode *v, struct stream *s, const struct limits *l)
{
	const struct tail_block *tb = tail_find(&s->tail, s->first);
	uint64_t seq = s->first, before = s->kept->before;
	uint32_t at, n;
	struct event e;

	if (!tb)
		return 0;
	for (at = tail_offset(tb, seq); seq <= tb->last; seq++, at += n) {
		int r = event_decode(
		    SLICE(tb->block->p + at, tb->block->n - at), 0, &e, &n);

		ASSERT(r == 0);
		if (seq >= l->seq && before >= l->before && e.t_ms > l->t) {
			kept_move(
			    v, s, seq, before, e.t_ms, tb->file_offset + at);
			return 1;
		}
		before += e.data.n;
	}
	kept_move(v, s, seq, before, 0, 0);
	return 1;
}

int
kept_settle(struct vnode *v, struct stream *s)
{
	struct limits l = kept_limits(s, v->group.clock_ms);
	struct kept *k = s->kept;

	while (k && s->first <= s->last) {
		const struct chunk_info *c;

		if (s->last_t <= l.t) {
			kept_move(v, s, s->last + 1, s->total, 0, 0);
			break;
		}
		c = stream_chunk(s, s->first);
		if (kept_hides(s, &l, c)) {
			kept_move(v, s, c->last + 1, kept_end(s, c), 0, 0);
			continue;
		}
		if (s->first == c->first)
			k->first_t = c->first_t;
		if (is_visible(s, &l))
			break;
		if (!walk_tail(v, s, &l))
			return 0;
	}
	return 1;
}

int
kept_first(struct vnode *v, struct stream *s, uint64_t *first)
{
	int known = kept_settle(v, s);
	struct limits l;

	*first = s->first;
	if (known)
		return 1;
	l = kept_limits(s, v->group.clock_ms);
	if (l.before > s->kept->before ||
	    l.t >= stream_chunk(s, s->first)->first_t)
		return 0;
	if (*first < l.seq) /* of all events here the number alone decides */
		*first = l.seq;
	return 1;
}
