/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Retention against an oracle that knows the rule and counts: random appends, bases
 * among them, policies, time, deletions, restarts and power cuts; what is read,
 * listed or left on the disk is what the oracle says.
 */
#include <criterion/criterion.h>

#include "ring/hash.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/chance.h"
#include "tests/vnode/mutant.h"
#include "tests/vnode/store_rig.h"
#include "vnode/policy.h"
#include "vnode/store_impl.h"

TestSuite(retain, .timeout = 120);

#define BUCKETS    2
#define STREAMS    3 /* of each */
#define EVENTS_MAX 4000
#define BATCH_MAX  60
#define BIG        (100u << 10)

struct told { /* what was said of a stream */
	uint32_t group;
	char name[16];
	uint64_t n, first; /* events ever, and the first visible one */
	struct {
		uint64_t t;
		uint32_t bytes;
	} at[EVENTS_MAX + 1]; /* by seqnum */
};

struct rules {
	struct policy defaults, bucket[BUCKETS], own[BUCKETS][STREAMS];
};

struct test {
	struct sr rig;
	struct chance chance;
	uint64_t version;
	struct rules rules, in_force[SR_GROUPS];
	int dropped; /* a stream: its files wait for the next checkpoint */
	struct told told[BUCKETS][STREAMS];
	uint8_t data[BIG];
};

static int n_warnings;

static const char *const buckets[BUCKETS] = {"left", "right"};

static struct slice
text(const char *s)
{
	return SLICE(s, strlen(s));
}

/* --- the oracle ------------------------------------------------------------- */

static uint64_t
limit_of(const struct test *t, int b, int s, int what)
{
	const struct rules *r = &t->in_force[t->told[b][s].group];

	if (r->own[b][s].max[what])
		return r->own[b][s].max[what];
	return r->bucket[b].max[what] ? r->bucket[b].max[what]
				      : r->defaults.max[what];
}

static uint64_t
clock_of(const struct test *t, uint32_t group)
{
	return t->rig.store->vnodes[group].group.clock_ms;
}

/* What is not visible now will never be again. */
static void
hide(struct test *t, int b, int s)
{
	struct told *x = &t->told[b][s];
	uint64_t events = limit_of(t, b, s, POLICY_EVENTS);
	uint64_t bytes = limit_of(t, b, s, POLICY_BYTES);
	uint64_t age = limit_of(t, b, s, POLICY_AGE);
	uint64_t sum = 0;

	for (uint64_t i = x->first; i <= x->n; i++)
		sum += x->at[i].bytes;
	while (x->first < x->n && ((events && x->n - x->first >= events) ||
				      (bytes && sum > bytes)))
		sum -= x->at[x->first++].bytes;
	while (age && x->first <= x->n &&
	       x->at[x->first].t + age <= clock_of(t, x->group))
		x->first++;
}

static void
hide_all(struct test *t)
{
	for (int b = 0; b < BUCKETS; b++)
		for (int s = 0; s < STREAMS; s++)
			hide(t, b, s);
}

/* --- asking ------------------------------------------------------------------ */

static void
back(struct msg *m)
{
	m->fn = NULL;
}

static int
is_back(void *arg)
{
	return ((struct msg *)arg)->fn == NULL;
}

static void
ask(struct test *t, struct msg *m)
{
	const struct env_post *post = &t->rig.config.env->post;

	m->fn = back;
	post->to_worker(post->ctx, 0, m);
	cr_assert(simenv_run_until(t->rig.sim, is_back, m, SR_STEPS));
}

static void
append(struct test *t, int b, int s)
{
	struct told *x = &t->told[b][s];
	struct vnode_put_event events[BATCH_MAX];
	uint32_t n = 1, base = UINT32_MAX;
	struct vnode_put req = {.msg = {.kind = MSG_PUT},
	    .group = x->group,
	    .bucket = text(buckets[b]),
	    .stream = text(x->name),
	    .events = events};
	uint32_t most = chance_one_in(&t->chance, 4) ? BIG : 300;

	if (chance_one_in(&t->chance, 6))
		n = 1 + (uint32_t)chance_below(&t->chance, BATCH_MAX);
	if (n > 3)
		most = 300;
	if (x->n + n > EVENTS_MAX)
		return;
	if (chance_one_in(&t->chance, 12))
		base = (uint32_t)chance_below(&t->chance, n);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t bytes = (uint32_t)chance_below(&t->chance, most);

		events[i] = (struct vnode_put_event){
		    .flags = i == base ? EVENT_BASE : 0,
		    .data = SLICE(t->data, bytes),
		};
		x->at[x->n + 1 + i].bytes = bytes;
	}
	req.n_events = n;
	ask(t, &req.msg);
	cr_assert_eq(req.r, 0, "%s", err_text(req.r));
	cr_assert_eq(req.first, x->n + 1);
	if (base != UINT32_MAX)
		x->first = x->n + 1 + base;
	for (uint32_t i = 0; i < n; i++)
		x->at[++x->n].t = req.t_ms;
	hide(t, b, s);
}

static void
drop(struct test *t, int b, int s)
{
	struct told *x = &t->told[b][s];
	struct vnode_delete req = {.msg = {.kind = MSG_DELETE},
	    .group = x->group,
	    .bucket = text(buckets[b]),
	    .stream = text(x->name)};

	ask(t, &req.msg);
	cr_assert_eq(req.r, 0);
	x->n = 0;
	x->first = 1;
	t->dropped = 1;
}

static void
read_back(struct test *t, int b, int s)
{
	struct told *x = &t->told[b][s];
	uint64_t next = x->first, first, was;
	int desc = chance_one_in(&t->chance, 4);
	struct vnode_read req = {0};

	do {
		req = (struct vnode_read){.msg = {.kind = MSG_READ},
		    .group = x->group,
		    .bucket = text(buckets[b]),
		    .stream = text(x->name),
		    .from = next,
		    .to = UINT64_MAX,
		    .limit = UINT64_MAX,
		    .desc = desc,
		    .max_bytes = 64u << 10};
		hide_all(t);
		was = x->first;
		ask(t, &req.msg);
		hide_all(t); /* time goes on while a file is read */
		cr_assert_eq(req.r, 0, "%s", err_text(req.r));
		cr_assert_eq(req.newest, x->n);
		first = req.kept_first ? req.kept_first : x->n + 1;
		cr_assert(first >= was && first <= x->first,
		    "first %llu, not %llu to %llu of %llu",
		    (unsigned long long)first, (unsigned long long)was,
		    (unsigned long long)x->first, (unsigned long long)x->n);
		if (next < first)
			next = first;
		cr_assert_eq(req.page.n_parts > 0, next <= x->n);
		if (!desc && req.page.n_parts)
			cr_assert_eq(req.page.first, next);
		if (desc && req.page.n_parts)
			cr_assert_eq(req.page.last, x->n);
		next = desc || next > x->n ? x->n + 1 : req.page.last + 1;
		vnode_page_deinit(&req.page);
	} while (next <= x->n);
}

/* The first of X that is visible, as of FIRST, and not older than MS. */
static uint64_t
seek(const struct told *x, uint64_t first, uint64_t ms)
{
	while (first <= x->n && x->at[first].t < ms)
		first++;
	return first;
}

static void
check_seek(struct test *t, int b, int s)
{
	struct told *x = &t->told[b][s];
	uint64_t from = x->n ? 1 + chance_below(&t->chance, x->n) : 0, was;
	struct vnode_read req = {.msg = {.kind = MSG_READ},
	    .group = x->group,
	    .bucket = text(buckets[b]),
	    .stream = text(x->name),
	    .op = VNODE_READ_SEEK,
	    .seek_ms = from ? x->at[from].t : 1};

	hide_all(t);
	was = x->first;
	ask(t, &req.msg);
	hide_all(t); /* time goes on while a file is read */
	cr_assert_eq(req.r, 0, "%s", err_text(req.r));
	cr_assert(req.seek >= seek(x, was, req.seek_ms) &&
		      req.seek <= seek(x, x->first, req.seek_ms),
	    "%llu from %llu on, of %llu to %llu", (unsigned long long)req.seek,
	    (unsigned long long)from, (unsigned long long)x->first,
	    (unsigned long long)x->n);
}

static void
check_list(struct test *t, int b, uint32_t group)
{
	struct vnode_list req = {.msg = {.kind = MSG_LIST},
	    .group = group,
	    .bucket = text(buckets[b]),
	    .limit = 100,
	    .detail = 1};
	uint64_t was[STREAMS];
	uint32_t n = 0;

	hide_all(t);
	for (int s = 0; s < STREAMS; s++)
		was[s] = t->told[b][s].first;
	ask(t, &req.msg);
	hide_all(t); /* time goes on while files are read */
	cr_assert_eq(req.r, 0);
	for (int s = 0; s < STREAMS; s++) {
		const struct told *x = &t->told[b][s];
		const struct vnode_list_item *it = &req.items[n];
		uint64_t bytes = 0, first;

		if (x->group != group || x->n == 0)
			continue;
		first = n < req.n_items && it->first ? it->first : x->n + 1;
		for (uint64_t i = first; i <= x->n; i++)
			bytes += x->at[i].bytes;
		n++;
		cr_assert(
		    n <= req.n_items && slice_equal(it->name, text(x->name)));
		cr_assert(first >= was[s] && first <= x->first);
		cr_assert_eq(it->last, x->n);
		cr_assert_eq(it->count, x->n - first + 1);
		cr_assert_eq(it->bytes, bytes);
	}
	cr_assert_eq(n, req.n_items);
	vnode_list_deinit(&req);
}

/* --- policies ---------------------------------------------------------------- */

static struct policy
any_policy(struct test *t)
{
	struct policy p = {{0}};

	if (chance_one_in(&t->chance, 2))
		p.max[POLICY_EVENTS] = 1 + chance_below(&t->chance, 120);
	if (chance_one_in(&t->chance, 2))
		p.max[POLICY_BYTES] =
		    1 + chance_below(&t->chance,
			    chance_one_in(&t->chance, 2) ? 4000 : 6u << 20);
	if (chance_one_in(&t->chance, 2))
		p.max[POLICY_AGE] = 1 + chance_below(&t->chance, 20000);
	return p;
}

static int
knows_it(const struct test *t, uint32_t group)
{
	const struct store_worker *w = &t->rig.store->workers[0];
	const struct retain *r = &t->rig.store->vnodes[group].retain;

	return w->policies && policies_version(w->policies) == t->version &&
	       (retain_version(r) == t->version ||
		   r->lead.seen == w->policies_count);
}

/* Until then time goes on under the old ones. */
static int
is_in_force(void *arg)
{
	struct test *t = arg;
	int all = 1;

	for (uint32_t g = 0; g < SR_GROUPS; g++) {
		if (knows_it(t, g))
			t->in_force[g] = t->rules;
		else
			all = 0;
	}
	hide_all(t);
	return all;
}

static void
say_policies(struct test *t)
{
	const struct rules *r = &t->rules;
	struct policy_row rows[BUCKETS * (STREAMS + 1)];
	struct policies *table;
	uint32_t n = 0;

	for (int b = 0; b < BUCKETS; b++) {
		if (!policy_is_empty(&r->bucket[b]))
			rows[n++] = (struct policy_row){
			    .bucket = text(buckets[b]), .policy = r->bucket[b]};
		for (int s = 0; s < STREAMS; s++)
			if (!policy_is_empty(&r->own[b][s]))
				rows[n++] = (struct policy_row){
				    .bucket = text(buckets[b]),
				    .stream = text(t->told[b][s].name),
				    .policy = r->own[b][s]};
	}
	t->version++;
	cr_assert_eq(
	    policies_new(&table, t->version, &r->defaults, rows, n), 0);
	cr_assert_eq(store_set_policies(t->rig.store, table), 0);
	policies_unref(table);
	cr_assert(simenv_run_until(t->rig.sim, is_in_force, t, 10 * SR_STEPS));
}

static void
change_policy(struct test *t)
{
	int b = (int)chance_below(&t->chance, BUCKETS);
	int s = (int)chance_below(&t->chance, STREAMS);
	struct policy p = {{0}};

	if (!chance_one_in(&t->chance, 4))
		p = any_policy(t);
	switch (chance_below(&t->chance, 4)) {
	case 0:
		t->rules.defaults = p;
		break;
	case 1:
		t->rules.bucket[b] = p;
		break;
	default:
		t->rules.own[b][s] = p;
	}
	say_policies(t);
}

/* --- files ------------------------------------------------------------------- */

static void
count_name(void *arg, const char *name)
{
	*(uint32_t *)arg += strstr(name, ".chunk") != NULL;
}

static uint32_t
count_files(struct test *t)
{
	const struct env_disk *d = memdisk_disk(t->rig.md);
	uint32_t n = 0;

	for (uint32_t g = 0; g < SR_GROUPS; g++)
		cr_assert_eq(d->list(d->ctx, t->rig.store->vnodes[g].dir,
				 count_name, &n),
		    0);
	return n;
}

static void
check_files(struct test *t)
{
	uint32_t least = 0, most = 0, n_files = count_files(t);

	for (uint32_t g = 0; g < SR_GROUPS; g++) {
		struct vnode *v = &t->rig.store->vnodes[g];

		for (uint32_t i = 0; i < v->n_by_id; i++) {
			const struct stream *s = v->by_id[i];
			uint32_t n = s->n_chunks;
			/* A crash may have left one that is written anew. */
			most += n;
			for (uint32_t k = 0; k < n; k++)
				least += s->chunks[k].first <= s->flushed;
			if (kept_is_over(s, v->group.clock_ms))
				cr_assert_eq(n, 0);
			else
				cr_assert(n && s->chunks[0].last >= s->first);
		}
	}
	cr_assert(n_files >= least && n_files <= most, "%u files, not %u to %u",
	    n_files, least, most);
}

/* --- histories ----------------------------------------------------------------- */

static void
name_streams(struct test *t)
{
	struct ring_hash *h = ring_hash_new();

	for (int b = 0; b < BUCKETS; b++)
		for (int s = 0; s < STREAMS; s++) {
			struct told *x = &t->told[b][s];

			snprintf(x->name, sizeof(x->name), "stream-%d", s);
			x->group = ring_hash_group(
			    h, text(buckets[b]), text(x->name), SR_GROUPS);
			x->first = 1;
		}
	ring_hash_free(h);
}

static void
begin(struct test *t, uint64_t seed)
{
	sr_init(&t->rig);
	t->chance.state = seed;
	t->rig.config.segment_bytes = 1u << 20;
	t->rig.config.journal_max_bytes = 12u << 20;
	t->rig.config.checkpoint_bytes = 2u << 20;
	t->rig.config.retention_interval_us = 5 * SR_SECOND;
	sr_start(&t->rig);
	name_streams(t);
	say_policies(t);
}

/* The process dies, or at some call to the disk the machine loses power. */
static void
restart(struct test *t)
{
	static const enum memdisk_fault faults[] = {
	    MEMDISK_CRASH_BEFORE, MEMDISK_CRASH_MIDDLE, MEMDISK_CRASH_SHORT};
	struct memdisk *md = t->rig.md;
	uint64_t seed = chance_next(&t->chance);

	if (seed % 4) {
		memdisk_fail_at(md,
		    memdisk_ops(md) + 1 + chance_below(&t->chance, 80),
		    faults[seed % 3]);
		sr_run_for(&t->rig, chance_below(&t->chance, 20 * SR_SECOND));
		hide_all(t);
		simenv_kill(t->rig.sim);
		memdisk_crash(
		    md, seed % 2 ? MEMDISK_RANDOM : MEMDISK_LOSE_ALL, seed);
		memdisk_fail_clear(md);
		memdisk_restart(md);
		t->rig.fatal = 0;
	}
	sr_kill(&t->rig);
	sr_start(&t->rig);
	hide_all(t);
}

static void
step(struct test *t)
{
	int b = (int)chance_below(&t->chance, BUCKETS);
	int s = (int)chance_below(&t->chance, STREAMS);

	switch (chance_below(&t->chance, 40)) {
	case 0:
	case 1:
		change_policy(t);
		break;
	case 2:
	case 3:
		sr_run_for(&t->rig, chance_below(&t->chance, 3 * SR_SECOND));
		hide_all(t);
		break;
	case 4:
		if (chance_one_in(&t->chance, 4))
			sr_run_for(&t->rig, 40 * SR_SECOND);
		hide_all(t);
		break;
	case 5:
		if (chance_one_in(&t->chance, 4))
			drop(t, b, s);
		break;
	case 6:
		if (chance_one_in(&t->chance, 3))
			restart(t);
		break;
	case 7:
	case 8:
	case 9:
	case 10:
	case 11:
		read_back(t, b, s);
		break;
	case 12:
		check_list(t, b, (uint32_t)(s & 1));
		break;
	case 13:
		check_seek(t, b, s);
		break;
	default:
		append(t, b, s);
	}
}

/* Nothing is left that nobody can see, and all that anybody can see is. */
static void
finish(struct test *t)
{
	sr_run_for(&t->rig, 6 * SR_SECOND);
	hide_all(t);
	for (int b = 0; b < BUCKETS; b++) {
		for (int s = 0; s < STREAMS; s++)
			read_back(t, b, s);
		for (uint32_t g = 0; g < SR_GROUPS; g++)
			check_list(t, b, g);
	}
	/* Nothing more is hidden from now on. */
	t->rules = (struct rules){0};
	say_policies(t);
	sr_run_for(&t->rig, (t->dropped ? 40 : 6) * SR_SECOND);
	check_files(t);
	cr_assert_eq(t->rig.fatal, 0);
}

static void
history(uint64_t seed, int steps)
{
	struct test *t = calloc(1, sizeof(*t));

	begin(t, seed);
	for (int i = 0; i < steps; i++)
		step(t);
	finish(t);
	sr_deinit(&t->rig);
	free(t);
}

Test(retain, what_is_visible_is_what_the_rule_says)
{
	const char *one = getenv("IORIO_SEED");

	mutant_take();
	for (uint64_t seed = 1; seed <= 60 && !one; seed++)
		history(seed, 500);
	if (one)
		history(strtoull(one, NULL, 10), 500);
}

/* --- nodes that are configured differently ----------------------------------- */

static void
count_warning(void *arg, int is_error, const char *what)
{
	(void)arg;
	if (is_error && strstr(what, "retention.*"))
		n_warnings++;
}

/* What a node says of itself, VERSION of the policies being in force. */
static void
say_defaults(struct test *t, uint64_t version, uint64_t max_events)
{
	t->version = version - 1;
	t->rules.defaults.max[POLICY_EVENTS] = max_events;
	say_policies(t);
	sr_run_for(&t->rig, SR_SECOND);
}

Test(retain, a_leader_with_other_defaults_says_so_once)
{
	struct test *t = calloc(1, sizeof(*t));

	begin(t, 1);
	t->rig.store->config.report = count_warning;
	say_defaults(t, t->version + 1, 10); /* somebody set a policy, too */
	cr_assert_eq(n_warnings, 0);
	say_defaults(t, t->version, 10);
	cr_assert_eq(n_warnings, 0);
	say_defaults(t, t->version, 20);
	cr_assert_eq(n_warnings, 1);
	say_defaults(t, t->version + 1, 30);
	cr_assert_eq(n_warnings, 1);
	sr_deinit(&t->rig);
	free(t);
}

/* --- a list of what does not stand still -------------------------------------- */

#define NEWEST_KEPT 700 /* more than memory has */

struct busy {
	struct test *t;
	struct told *stream;
	struct vnode_put put;
	struct vnode_put_event event;
	struct vnode_list list;
	uint32_t n_idle; /* steps since the last answer */
};

/* While one looks into a file another appends: the reading lane has one step
 * between two appends. */
static int
is_listed(void *arg)
{
	struct busy *b = arg;
	const struct env_post *post = &b->t->rig.config.env->post;

	simenv_hold_lane(b->t->rig.sim, LANE_READ, b->put.msg.fn != NULL);
	if (!b->put.msg.fn && ++b->n_idle == 2) {
		b->n_idle = 0;
		b->put =
		    (struct vnode_put){.msg = {.kind = MSG_PUT, .fn = back},
			.group = b->stream->group,
			.bucket = text(buckets[0]),
			.stream = text(b->stream->name),
			.events = &b->event,
			.n_events = 1};
		post->to_worker(post->ctx, 0, &b->put.msg);
	}
	return b->list.msg.fn == NULL;
}

static void
check_busy_list(struct busy *b)
{
	const struct env_post *post = &b->t->rig.config.env->post;
	const struct vnode_list_item *it;

	b->list = (struct vnode_list){.msg = {.kind = MSG_LIST, .fn = back},
	    .group = b->stream->group,
	    .bucket = text(buckets[0]),
	    .limit = 100,
	    .detail = 1};
	post->to_worker(post->ctx, 0, &b->list.msg);
	cr_assert(simenv_run_until(b->t->rig.sim, is_listed, b, SR_STEPS));
	cr_assert_eq(b->list.r, 0);
	it = b->list.items;
	cr_assert_eq(it->count, NEWEST_KEPT, "%llu to %llu",
	    (unsigned long long)it->first, (unsigned long long)it->last);
	cr_assert_eq(it->first, it->last - NEWEST_KEPT + 1);
	cr_assert_eq(it->bytes, NEWEST_KEPT * b->event.data.n);
	vnode_list_deinit(&b->list);
}

Test(retain, a_list_shows_nothing_hidden_while_appends_go_on)
{
	struct test *t = calloc(1, sizeof(*t));
	struct busy b = {.t = t};

	begin(t, 1);
	b.stream = &t->told[0][0];
	b.event.data = SLICE(t->data, 10);
	t->rules.own[0][0].max[POLICY_EVENTS] = NEWEST_KEPT;
	say_policies(t);
	for (int i = 0; i < 2000; i++) {
		is_listed(&b);
		cr_assert(simenv_run_until(
		    t->rig.sim, is_back, &b.put.msg, SR_STEPS));
	}
	for (int i = 0; i < 200; i++)
		check_busy_list(&b);
	sr_deinit(&t->rig);
	free(t);
}

/* --- a read that all grows too old for ----------------------------------------- */

#define TOO_OLD_MS 20000

static void
append_some(struct busy *b, int n)
{
	for (int i = 0; i < n; i++) {
		b->n_idle = 1;
		is_listed(b);
		cr_assert(simenv_run_until(
		    b->t->rig.sim, is_back, &b->put.msg, SR_STEPS));
	}
}

Test(retain, what_goes_while_a_read_looks_for_its_first_event_is_not_read)
{
	struct test *t = calloc(1, sizeof(*t));
	struct busy b = {.t = t};
	const struct env_post *post;
	struct vnode_read req;

	begin(t, 1);
	post = &t->rig.config.env->post;
	b.stream = &t->told[0][0];
	b.event.data = SLICE(t->data, 10);
	t->rules.own[0][0].max[POLICY_AGE] = TOO_OLD_MS;
	say_policies(t);
	append_some(&b, 700);
	sr_run_for(&t->rig, TOO_OLD_MS / 2 * 1000ull);
	append_some(&b, 700);
	sr_run_for(&t->rig, (TOO_OLD_MS / 2 + 2000) * 1000ull);
	req = (struct vnode_read){.msg = {.kind = MSG_READ, .fn = back},
	    .group = b.stream->group,
	    .bucket = text(buckets[0]),
	    .stream = text(b.stream->name),
	    .from = 1,
	    .to = UINT64_MAX,
	    .limit = UINT64_MAX,
	    .max_bytes = 64u << 10};
	simenv_hold_lane(t->rig.sim, LANE_READ, 1);
	post->to_worker(post->ctx, 0, &req.msg);
	sr_run_for(&t->rig, 2 * TOO_OLD_MS * 1000ull);
	cr_assert_not(is_back(&req.msg), "it had to look");
	simenv_hold_lane(t->rig.sim, LANE_READ, 0);
	cr_assert(simenv_run_until(t->rig.sim, is_back, &req.msg, SR_STEPS));
	cr_assert_eq(req.r, 0, "%s", err_text(req.r));
	cr_assert_eq(req.page.n_parts, 0);
	cr_assert_eq(req.newest, 1400);
	sr_deinit(&t->rig);
	free(t);
}

/* --- policies without memory -------------------------------------------------- */

struct refusal {
	int after, n; /* allocations */
};

static int
refuse_some(void *arg, size_t bytes)
{
	struct refusal *r = arg;

	(void)bytes;
	return r->after-- <= 0 && r->n-- > 0;
}

/* Policies are proposed, and behind them an append with a key comes, while there
 * is no memory. */
static void
put_behind_policies(struct refusal refusal)
{
	struct test *t = calloc(1, sizeof(*t));
	const struct env_post *post;
	struct policies *table;
	struct vnode_put_event events[2] = {{0}};
	struct vnode_put put = {.msg = {.kind = MSG_PUT, .fn = back},
	    .bucket = text(buckets[0]),
	    .events = events,
	    .n_events = 2,
	    .has_key = 1,
	    .key = {1}};

	begin(t, 1);
	append(t, 0, 0);
	post = &t->rig.config.env->post;
	put.group = t->told[0][0].group;
	put.stream = text(t->told[0][0].name);
	events[0].data = events[1].data = SLICE(t->data, 10);
	cr_assert_eq(policies_new(&table, t->version + 1,
			 &(struct policy){{10}}, NULL, 0),
	    0);
	cr_assert_eq(store_set_policies(t->rig.store, table), 0);
	policies_unref(table);
	post->to_worker(post->ctx, 0, &put.msg);
	mem_set_hook(refuse_some, &refusal);
	cr_assert(simenv_run_until(t->rig.sim, is_back, &put.msg, SR_STEPS));
	mem_set_hook(NULL, NULL);
	cr_assert_eq(t->rig.store->vnodes[put.group].dedup.proposed.n, 0,
	    "a key stays proposed");
	sr_deinit(&t->rig);
	free(t);
}

Test(retain, appends_do_not_join_policies_that_wait_for_memory)
{
	for (int after = 0; after < 60; after++)
		for (int n = 1; n < 8; n++)
			put_behind_policies((struct refusal){after, n});
}
