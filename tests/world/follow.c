/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * follow - listeners that come and go, and what each of them must get: every
 * event that comes after its position, in order, once; of another life of a
 * stream only after it was told that the one before has ended.
 */
#include "tests/world/follow.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/world/arena.h"

#define PROMPT_US  5000000  /* when all is well */
#define PATIENT_US 20000000 /* what was lost before is asked again */

static struct follower *
follower_of(const struct listener *l)
{
	return CONTAINER_OF(l->rq, struct follower, rq);
}

static uint64_t
below(struct follower *x, uint64_t n)
{
	return chance_below(&x->follow->chance, n);
}

/* --- what must be true ------------------------------------------------------ */

static uint32_t
stream_named(struct follower *x, struct slice name)
{
	struct model *m = &x->follow->world->model;

	for (uint32_t i = 0; i < m->n_streams; i++)
		if (slice_equal(SLICE_STR(m->streams[i].name), name))
			return i;
	world_fail(x->follow->world, "follower %u gets a stream '%.*s'",
	    x->number, (int)name.n, (const char *)name.p);
}

static void
saw_event(struct follower *x, uint32_t stream, uint64_t seq)
{
	struct world *w = x->follow->world;
	struct follow_seen *s = &x->seen[stream];
	uint64_t want = s->deleted ? 1 : s->last + 1;

	if (seq != want)
		world_fail(w, "follower %u of %s gets %llu of %s after %llu%s",
		    x->number, x->wide ? "a bucket" : "it",
		    (unsigned long long)seq, w->model.streams[stream].name,
		    (unsigned long long)s->last,
		    s->deleted ? ", which was deleted" : "");
	*s = (struct follow_seen){.last = seq};
	x->follow->world->counts.followed++;
	world_note(w, seq << 32 ^ stream);
}

/* That it was deleted; the world does not do that to all. */
static void
saw_deleted(struct follower *x, uint32_t stream)
{
	struct world *w = x->follow->world;

	if (!w->deletes)
		world_fail(w, "follower %u is told that %s was deleted",
		    x->number, w->model.streams[stream].name);
	x->seen[stream].deleted = 1;
}

/* That it goes on with FIRST: what is before is not visible any more, and who
 * reads from now on must not see it either. */
static void
saw_gap(struct follower *x, uint32_t stream, uint64_t first)
{
	struct world *w = x->follow->world;
	struct model_stream *s = &w->model.streams[stream];
	struct follow_seen *seen = &x->seen[stream];

	/* Who follows a bucket knows a place in the log, and no seqnum: it may
	 * be told of what it has had. */
	if (first <= seen->last + !x->wide || w->keep.n == 1)
		world_fail(w, "follower %u has %llu of %s, and a gap to %llu",
		    x->number, (unsigned long long)seen->last, s->name,
		    (unsigned long long)first);
	seen->last = first - 1;
	if (s->first < first)
		s->first = first;
}

/* A notice, which is a JSON object of ours. */
static void
saw_notice(struct follower *x, struct slice text)
{
	char all[160], what[16], bucket[16], name[16];
	unsigned long long first = 0;
	uint32_t stream;
	int n;

	snprintf(all, sizeof(all), "%.*s", (int)text.n, (const char *)text.p);
	n = sscanf(all,
	    "{\"notice\":\"%15[^\"]\",\"bucket\":\"%15[^\"]\","
	    "\"stream\":\"%15[^\"]\",\"first\":%llu}",
	    what, bucket, name, &first);
	if (n < 3 || strcmp(what, n == 4 ? "gap" : "deleted") != 0)
		world_fail(x->follow->world, "follower %u gets a notice: %s",
		    x->number, all);
	stream = stream_named(x, SLICE_STR(name));
	if (n == 4)
		saw_gap(x, stream, first);
	else
		saw_deleted(x, stream);
	x->follow->world->counts.notices++;
}

/* An item of a batch: {"meta":{"id":7,"t":1,"bucket":"b","stream":"s"}... */
static void
saw_item(struct follower *x, struct slice text)
{
	unsigned long long seq, t;
	char head[160], bucket[16], name[16];
	int n = (int)(text.n < sizeof(head) ? text.n : sizeof(head) - 1);

	snprintf(head, sizeof(head), "%.*s", n, (const char *)text.p);
	if (sscanf(head,
		"{\"meta\":{\"id\":%llu,\"t\":%llu,\"bucket\":\"%15[^\"]\","
		"\"stream\":\"%15[^\"]\"",
		&seq, &t, bucket, name) != 4)
		world_fail(
		    x->follow->world, "follower %u gets %s", x->number, head);
	saw_event(x, stream_named(x, SLICE_STR(name)), seq);
}

static int
wants(const struct follower *x, uint32_t stream)
{
	const struct model_stream *all = x->follow->world->model.streams;

	return x->wide ? strcmp(all[stream].bucket, all[x->stream].bucket) == 0
		       : stream == x->stream;
}

/* --- transports ------------------------------------------------------------- */

static void
check_bytes(struct follower *x, uint64_t life, const struct event *e)
{
	struct world *w = x->follow->world;
	struct model_ask ask = {0}; /* it knows nothing */

	if (w->rings) /* nothing is deleted there: client.c */
		life = 1 + x->stream;
	if (model_saw(&w->model, x->stream, &ask, life, e))
		world_fail(w, "follower %u: %s", x->number, w->model.why);
}

static uint32_t
take_page(struct sub *s, const struct listen_page *p)
{
	struct follower *x = follower_of(s->listener);
	uint32_t most = below(x, 4) ? UINT32_MAX : 1 + (uint32_t)below(x, 5);
	uint32_t taken = 0;

	for (uint32_t i = 0; i < p->page->n_parts; i++) {
		struct slice in = p->page->parts[i].records;
		struct event e;
		uint32_t n;

		for (; in.n; in = SLICE(in.p + n, in.n - n)) {
			if (event_decode(in, 1, &e, &n))
				world_fail(x->follow->world, "damaged bytes");
			if (e.seq < s->next)
				continue;
			if (taken == most)
				return taken;
			check_bytes(x, p->incarnation, &e);
			saw_event(x, x->stream, e.seq);
			s->next = e.seq + 1;
			taken++;
		}
	}
	return taken;
}

static uint32_t
take_batch(struct lane *lane, const struct batch *b, uint32_t first)
{
	struct follower *x = follower_of(lane->bucket->listener);
	uint32_t n = b->n - first;

	if (below(x, 4) == 0)
		n = 1 + (uint32_t)below(x, n);
	for (uint32_t i = first; i < first + n; i++) {
		struct slice text =
		    SLICE(b->text->p + b->begin[i], b->end[i] - b->begin[i]);

		if (b->items[i].notice)
			saw_notice(x, text);
		else
			saw_item(x, text);
	}
	return n;
}

static void
take_notice(struct sub *s, struct slice text)
{
	saw_notice(follower_of(s->listener), text);
}

static int
has_room(const struct listener *l)
{
	return !follower_of(l)->full;
}

static void
do_nothing(struct listener *l)
{
	(void)l;
}

static void
on_fail(struct listener *l, int r)
{
	struct follower *x = follower_of(l);

	world_trace(
	    x->follow->world, "follower %u: %s", x->number, err_text(r));
	if (r == -ERR_CORRUPT && !x->follow->world->counts.flips)
		world_fail(
		    x->follow->world, "follower %u finds damage", x->number);
	x->failed = x->was_damaged = 1; /* it comes back later */
}

static const struct listen_transport transport = {
    .page = take_page,
    .batch = take_batch,
    .notice = take_notice,
    .has_room = has_room,
    .flush = do_nothing,
    .stop = do_nothing,
    .expire = do_nothing,
    .fail = on_fail,
};

/* --- followers --------------------------------------------------------------- */

static void
come(struct follower *x)
{
	struct follow *f = x->follow;
	struct model_stream *s = &f->world->model.streams[x->stream];
	struct slice bucket = SLICE_STR(s->bucket);
	struct listener *l;

	x->conn = (struct conn){0};
	x->rq = (struct request){.server = &f->server, .conn = &x->conn};
	x->failed = x->full = 0;
	l = x->listener = x->rq.listener =
	    listener_new(&x->rq, LISTEN_SSE, &transport);
	ASSERT(l);
	if (x->wide) {
		struct bucket_sub *b = bucket_add(l, bucket);

		ASSERT(b);
		for (uint32_t i = 0; i < b->n_lanes; i++) {
			b->lanes[i].at = x->at[i];
			b->lanes[i].known = 1;
		}
	} else {
		struct listen_names *names =
		    listen_names_new(&f->server, bucket, SLICE_STR(s->name));
		struct sub *sub;

		ASSERT(names);
		sub = listener_add(l, names, x->incarnation, x->next);
		ASSERT(sub);
		listen_names_unref(names);
	}
	listener_count_unknown(l);
	f->world->counts.followings++;
	conn_kick(&x->conn);
}

/* It keeps where it stands, as a cursor does. */
static void
go(struct follower *x)
{
	struct listener *l = x->listener;

	if (!l)
		return;
	if (x->wide) {
		const struct bucket_sub *b =
		    LIST_ENTRY(l->buckets.next, struct bucket_sub, link);

		for (uint32_t i = 0; i < b->n_lanes; i++)
			x->at[i] = b->lanes[i].at;
	} else {
		const struct sub *s =
		    LIST_ENTRY(l->subs.next, struct sub, link);

		x->incarnation = s->incarnation;
		x->next = s->next;
	}
	x->listener = listener_free(l);
}

/* Now and then one goes, comes, or does not read for a while. */
static void
act(struct world *w, struct happening *ev)
{
	struct follower *x = ev->arg;
	uint64_t what = below(x, 8);

	if (x->follow->stopped)
		return;
	if (!x->listener)
		come(x);
	else if (x->failed || (what < 3 && !w->settled))
		go(x);
	else if (what < 5 && !w->settled)
		x->full = 1;
	else
		x->full = 0;
	if (x->listener)
		conn_kick(&x->conn);
	world_schedule(w, below(x, 3000000), *ev);
}

void
followers_start(struct world *w)
{
	struct follow *f = mem_zalloc(sizeof(*f));

	ASSERT(f);
	w->follow = f;
	f->world = w;
	f->chance.state = w->o.seed + UINT64_C(0x5eed5eed);
	list_init(&f->errands);
	follow_server_init(f);
	f->n_followers = 1 + (uint32_t)chance_below(&f->chance, FOLLOWERS);
	for (uint32_t i = 0; i < f->n_followers; i++) {
		struct follower *x = &f->followers[i];

		x->follow = f;
		x->number = i;
		x->stream = (uint32_t)below(x, w->model.n_streams);
		x->wide = below(x, 2) == 0;
		x->next = 1; /* and the beginning of the log */
		act(w, &(struct happening){.run = act, .arg = x});
	}
}

void
followers_forget(struct node *n)
{
	if (n->world->follow)
		follow_way_forget(n->world->follow, n);
}

/* X has the newest event of each stream that it wants, as far as is known and
 * visible. */
static int
has_all(const struct follower *x)
{
	const struct model *m = &x->follow->world->model;

	for (uint32_t i = 0; i < m->n_streams; i++)
		if (wants(x, i) && m->streams[i].floor >= m->streams[i].first &&
		    x->seen[i].last != m->streams[i].floor)
			return 0;
	return 1;
}

static int
all_have_all(void *arg)
{
	const struct follow *f = arg;

	for (uint32_t i = 0; i < f->n_followers; i++)
		if (!f->followers[i].was_damaged && !has_all(&f->followers[i]))
			return 0;
	return 1;
}

static void
must_have_all(struct world *w, uint64_t for_us)
{
	struct follow *f = w->follow;

	if (world_run_until(w, all_have_all, f, for_us))
		return;
	groups_describe(w);
	for (uint32_t i = 0; i < f->n_followers; i++)
		if (!f->followers[i].was_damaged && !has_all(&f->followers[i]))
			world_fail(w,
			    "follower %u of %s%s does not have all within "
			    "%d s of calm",
			    i, w->model.streams[f->followers[i].stream].name,
			    f->followers[i].wide ? "'s bucket" : "",
			    (int)(for_us / 1000000));
}

void
followers_check(
    struct world *w, struct node *(*at)(struct world *w, uint32_t group))
{
	must_have_all(w, PATIENT_US);
	if (w->o.seed % 4)
		return;
	/* Nothing that was lost is waited for any more. */
	world_run_until(w, world_never, w, PATIENT_US);
	world_write_all(w, at);
	must_have_all(w, PROMPT_US);
}

void
followers_stop(struct world *w)
{
	struct follow *f = w->follow;

	f->stopped = 1;
	for (uint32_t i = 0; i < f->n_followers; i++)
		go(&f->followers[i]);
}

void
followers_free(struct world *w)
{
	struct follow *f = w->follow;

	if (!f)
		return;
	ASSERT(list_empty(&f->errands));
	follow_server_deinit(f);
	w->follow = mem_free(f);
}
