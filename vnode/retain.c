/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * retain - how long the events of a group are kept, as its log says.
 *
 * Policies in force.  POLICIES has the whole table that counts in the group
 * (policy.c), with the defaults of the leader that proposed it: a replica asks
 * neither its own configuration nor the root group.  Bucket policies stand in
 * every group, stream policies in the group of the stream, made or not, so a
 * stream that is created finds its policy.
 *
 * When another table comes in force each stream whose limits change keeps what
 * was hidden by the old ones: limits by number and by payload are as of the last
 * append, so only the one by age has to be noted.  This looks at every stream of
 * the group once, at that moment; a policy of a million streams on 64 groups is
 * 64 times some milliseconds, when somebody changes it.
 *
 * Time.  Each stream with a max_age is in a heap by the group clock at which the
 * chunk with its first visible event begins to go, or, once it has begun, by when
 * it ends.  So appends find it there and are done, idle streams cost nothing, and
 * the leader sees whether a tick would hide anything: none is needed before the
 * first is due, and one a second while something is going.
 *
 * Bases.  An event with EVENT_BASE raises the limit by number to its own, at the
 * moment at which it is applied, and begins a chunk of its own, whose chain begins
 * with it: so the chunks before it go as a whole, and replicas that have removed
 * them go on with the same bytes as those that have not.  A reader that asks for
 * events from before it gets the base first, which is all it needs: the limit and
 * the newest event are of one moment, so a page that begins with any other event
 * goes on exactly where the reader asked.  Conditions look at the newest event,
 * which is never hidden by a base.
 *
 * Crash argument.  Limits, table and clock are those of the applied index, and
 * replay goes on from there.  A manifest has the limits of each stream as they
 * were when its row was written, which is at each checkpoint that finds it
 * appended to or its limits changed (vnode.unsaved); the table as of its applied
 * index.  A base is in the record of its event, so a replay raises the limit and
 * begins the chunk again.  stream->first may be behind what another replica, or
 * this one before a crash, had found: it is only where to begin to look.
 */
#include "vnode/retain.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/mutants.h"
#include "vnode/vnode.h"

void
retain_init(struct retain *r)
{
	*r = (struct retain){0};
	list_init(&r->cuttable);
}

void
retain_clear(struct retain *r)
{
	while (list_take_first(&r->cuttable))
		;
	for (uint32_t i = 0; i < r->n_heap; i++)
		r->heap[i]->heap_at = 0;
	mem_free(r->heap);
	policies_unref(r->policies);
	retain_init(r);
}

void
retain_move(struct retain *to, struct retain *from)
{
	retain_clear(to);
	*to = *from;
	list_init(&to->cuttable);
	list_splice_tail(&to->cuttable, &from->cuttable);
	retain_init(from);
}

uint64_t
retain_version(const struct retain *r)
{
	return r->policies ? policies_version(r->policies) : 0;
}

/* --- policies ------------------------------------------------------------- */

static struct policy
effective(const struct policies *t, struct slice bucket, struct slice stream)
{
	return t ? policy_effective(t, bucket, stream, NULL)
		 : (struct policy){{0}};
}

static int
same(const struct policy *a, const struct policy *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Whether T has a policy of a stream of BUCKET. */
static int
has_streams_of(const struct policies *t, struct slice bucket)
{
	uint32_t lo = 0, hi = t ? policies_n(t) : 0;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		struct policy_row row = policies_at(t, mid);
		int r = slice_compare(row.bucket, bucket);

		if (r < 0 || (r == 0 && row.stream.n == 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return t && lo < policies_n(t) &&
	       slice_equal(policies_at(t, lo).bucket, bucket);
}

static void
set_bucket(const struct policies *t, struct bucket *b)
{
	struct slice name = SLICE(b->name, b->name_n);

	b->policy = effective(t, name, SLICE(NULL, 0));
	b->has_own = (uint8_t)has_streams_of(t, name);
}

void
retain_bucket(const struct retain *r, struct bucket *b)
{
	set_bucket(r->policies, b);
}

/* What T says of S, whose bucket knows T. */
static struct policy
policy_in(const struct policies *t, const struct stream *s)
{
	const struct bucket *b = s->bucket;

	return b->has_own
		   ? effective(t, SLICE(b->name, b->name_n), stream_name(s))
		   : b->policy;
}

/* S goes by P, which is that of its bucket or another. */
static int
set_stream(struct stream *s, const struct policy *p)
{
	int own = !same(p, &s->bucket->policy);

	if (own && !kept_of(s))
		return -ERR_NOMEM;
	if (!s->kept)
		return 0;
	s->kept->has_own = (uint8_t)own;
	s->kept->own = *p;
	return 0;
}

int
retain_stream(const struct vnode *v, struct stream *s)
{
	struct policy p;

	if (!s->bucket->has_own)
		return 0;
	p = policy_in(v->retain.policies, s);
	return set_stream(s, &p);
}

/* --- who is due ----------------------------------------------------------- */

static void
put_at(struct retain *r, struct kept *k, uint32_t i)
{
	r->heap[i] = k;
	k->heap_at = i + 1;
}

static void
sift_up(struct retain *r, uint32_t i)
{
	struct kept *k = r->heap[i];

	for (; i && r->heap[(i - 1) / 2]->due > k->due; i = (i - 1) / 2)
		put_at(r, r->heap[(i - 1) / 2], i);
	put_at(r, k, i);
}

static void
sift_down(struct retain *r, uint32_t i)
{
	struct kept *k = r->heap[i];

	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c + 1 < r->n_heap && r->heap[c + 1]->due < r->heap[c]->due)
			c++;
		if (c >= r->n_heap || r->heap[c]->due >= k->due)
			break;
		put_at(r, r->heap[c], i);
		i = c;
	}
	put_at(r, k, i);
}

static void
leave_heap(struct retain *r, struct kept *k)
{
	uint32_t i = k->heap_at - 1;
	struct kept *last;

	if (!k->heap_at)
		return;
	r->n_expiring -= k->expires;
	k->expires = 0;
	k->heap_at = 0;
	last = r->heap[--r->n_heap];
	if (last == k)
		return;
	put_at(r, last, i);
	sift_up(r, i);
	sift_down(r, last->heap_at - 1);
}

static int
join_heap(struct retain *r, struct kept *k)
{
	uint32_t cap = r->cap_heap ? r->cap_heap * 2 : 8;
	void *p;

	if (r->n_heap == r->cap_heap) {
		p = mem_realloc(r->heap, cap * sizeof(*r->heap));
		if (!p)
			return -ERR_NOMEM;
		r->heap = p;
		r->cap_heap = cap;
	}
	r->n_expiring += k->expires;
	put_at(r, k, r->n_heap++);
	sift_up(r, r->n_heap - 1);
	return 0;
}

void
retain_forget(struct retain *r, struct stream *s)
{
	if (!s->kept)
		return;
	leave_heap(r, s->kept);
	list_del(&s->kept->cut);
}

static void
note_cuttable(struct vnode *v, struct stream *s, const struct limits *l)
{
	if (s->n_chunks && list_empty(&s->kept->cut) &&
	    kept_hides(s, l, &s->chunks[0]))
		list_add_tail(&v->retain.cuttable, &s->kept->cut);
}

/* S, which has events and kept, at CLOCK_MS: when time hides the next of it. */
static int
set_due(struct vnode *v, struct stream *s, uint64_t clock_ms)
{
	struct limits l = kept_limits(s, clock_ms);
	uint64_t age = kept_policy(s)->max[POLICY_AGE];
	struct kept *k = s->kept;
	const struct chunk_info *c;

	leave_heap(&v->retain, k);
	note_cuttable(v, s, &l);
	if (!age || s->last_t <= l.t)
		return 0;
	for (c = stream_chunk(s,
		 s->first > s->chunks[0].first ? s->first : s->chunks[0].first);
	     kept_hides(s, &l, c); c++)
		;
	k->expires = c->first_t <= l.t;
	k->due = (k->expires ? c->last_t : c->first_t) + age;
	return join_heap(&v->retain, k);
}

void
retain_clock(struct vnode *v)
{
	struct retain *r = &v->retain;

	while (r->n_heap && r->heap[0]->due <= v->group.clock_ms) {
		int err = set_due(v, r->heap[0]->stream, v->group.clock_ms);

		ASSERT(err == 0); /* it had room there */
	}
}

/* --- what the log says ---------------------------------------------------- */

int
retain_applied(struct vnode *v, struct stream *s, uint64_t clock_ms, int base)
{
	const struct policy *p = kept_policy(s);
	struct limits l;

	if (policy_is_empty(p) && !base)
		return 0;
	if (!kept_of(s))
		return -ERR_NOMEM;
	kept_raise(s);
	if (base)
		s->kept->hidden.seq = s->last;
	if (p->max[POLICY_AGE] && !s->kept->heap_at)
		return set_due(v, s, clock_ms);
	if (list_empty(&s->kept->cut)) {
		l = kept_limits(s, clock_ms);
		note_cuttable(v, s, &l);
	}
	return 0;
}

/* What age hides of S now, it hides for good. */
static int
keep_hidden(struct vnode *v, struct stream *s)
{
	struct limits l = kept_limits(s, v->group.clock_ms);

	if (VNODE_MUTANT(LOOSENED_SHOWS_AGAIN) || l.t == 0 || s->last == 0)
		return 0;
	if (!kept_of(s))
		return -ERR_NOMEM;
	if (l.t > s->kept->hidden.t && list_empty(&s->unsaved))
		list_add_tail(&v->unsaved, &s->unsaved);
	s->kept->hidden.t = l.t;
	return 0;
}

/* S goes by P from now on. */
static int
change_stream(struct vnode *v, struct stream *s, const struct policy *p)
{
	int r = set_stream(s, p);

	if (r || s->last == 0 || (!s->kept && policy_is_empty(p)))
		return r;
	if (!kept_of(s))
		return -ERR_NOMEM;
	if (kept_raise(s) && list_empty(&s->unsaved))
		list_add_tail(&v->unsaved, &s->unsaved);
	return set_due(v, s, v->group.clock_ms);
}

static void
set_buckets(struct vnode *v, const struct policies *t)
{
	struct table_iter it;
	struct bucket *b;

	table_iter_init(&it, &v->buckets);
	while ((b = table_iter_next(&it)))
		set_bucket(t, b);
}

/* T, whose reference is V's from now on, is in force; NULL: there is none. */
static int
put_in_force(struct vnode *v, struct policies *t)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < v->n_by_id; i++)
		r = keep_hidden(v, v->by_id[i]);
	policies_unref(v->retain.policies);
	v->retain.policies = t;
	set_buckets(v, t);
	for (uint32_t i = 0; r == 0 && i < v->n_by_id; i++) {
		struct stream *s = v->by_id[i];
		struct policy p = policy_in(t, s);

		if (s->kept || !policy_is_empty(&p))
			r = change_stream(v, s, &p);
	}
	return r;
}

int
retain_take_policies(struct vnode *v, struct slice encoded)
{
	struct policies *t;
	int r = policies_decode(&t, encoded);

	if (r)
		return r;
	if (policies_version(t) < retain_version(&v->retain)) {
		policies_unref(t);
		return -ERR_CORRUPT;
	}
	v->retain.unsaved = 1;
	return put_in_force(v, t);
}

int
retain_loaded(struct vnode *v, struct policies *table)
{
	v->n_events = v->bytes = 0;
	for (uint32_t i = 0; i < v->n_by_id; i++) {
		const struct stream *s = v->by_id[i];

		v->n_events += s->last - s->first + 1;
		v->bytes += s->total - kept_before(s);
	}
	return put_in_force(v, table);
}
