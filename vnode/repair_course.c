/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * repair_course - the chunk that is repaired now, from the first look to the end.
 *
 *	noted -> looked at -> whole
 *	             |  ^
 *	             v  |
 *	          asked of others, until nobody is left: again, later
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/repair_impl.h"

/* --- looking -------------------------------------------------------------- */

static void looked(struct msg *m);

static void
run(struct env_job *job)
{
	struct repair *p = CONTAINER_OF(job, struct repair, job);
	struct store_worker *w = p->worker;

	repair_run(p);
	store_call(w->store, w->id, &p->msg, looked);
}

/* How much of C, a chunk of S, is in its file. */
static struct chunk_info
in_file(const struct stream *s, const struct chunk_info *c)
{
	struct chunk_info info = *c;
	const struct tail_block *tb;

	if (s->flushed >= c->last)
		return info;
	info.last = s->flushed;
	tb = tail_find(&s->tail, s->flushed + 1);
	info.bytes = tb ? tb->file_offset + tail_offset(tb, s->flushed + 1) : 0;
	return info;
}

/* What P's chunk is now: 0, -ERR_NOTFOUND, -ERR_LIMIT. */
static int
describe(struct repair *p)
{
	const struct store *store = p->worker->store;
	struct vnode *v = repair_vnode(p);
	const struct stream *s = vnode_by_id(v, p->chunk->stream);
	const struct chunk_info *c =
	    s && !s->dead ? stream_find_chunk(s, p->chunk->first) : NULL;

	if (!c || !repair_has_peers(v))
		return -ERR_NOTFOUND;
	p->info = in_file(s, c);
	if (p->info.last < p->info.first || p->info.bytes == 0)
		return -ERR_NOTFOUND;
	if (p->info.bytes > REPAIR_BYTES_MAX)
		return -ERR_LIMIT;
	p->generation = v->group.generation;
	p->life = v->life;
	memcpy(p->dir, v->dir, sizeof(p->dir));
	memcpy(p->names, s->bucket->name, s->bucket->name_n);
	memcpy(p->names + s->bucket->name_n, s->name, s->name_n);
	p->id = (struct chunk_id){
	    .group = v->group.id,
	    .stream_id = s->id,
	    .first = c->first,
	    .previous = stream_chain_before(s, c),
	    .bucket = SLICE(p->names, s->bucket->name_n),
	    .stream = SLICE(p->names + s->bucket->name_n, s->name_n),
	};
	memcpy(p->id.cluster_id, store->config.cluster_id, 16);
	return 0;
}

void
repair_look(struct repair *p)
{
	struct store_worker *w = p->worker;
	const struct env_post *post = &w->store->env->post;
	int r = describe(p);

	p->waits = 0;
	if (r) {
		repair_ended(p, r);
		return;
	}
	p->waits =
	    (!p->info.sealed && w->flush) || fill_replaces(repair_vnode(p));
	if (p->waits)
		return; /* at the beat, or behind the flush */
	p->busy = 1;
	p->job.run = run;
	w->n_reading++;
	post->to_lane(post->ctx, LANE_FLUSH, &p->job);
}

/* --- what became of it ---------------------------------------------------- */

static void
count_damaged(struct repair *p)
{
	struct store_worker *w = p->worker;
	struct repair_chunk *c = p->chunk;

	if (c->counted)
		return;
	c->counted = 1;
	c->n_again += c->whole.us != 0;
	metrics_add(w->metrics, METRICS_CHUNKS_DAMAGED, 1);
	store_report(w->store, 1,
	    "%s/%016llx.%016llx.chunk is damaged%s; it is repaired from "
	    "another replica",
	    p->dir, (unsigned long long)c->stream, (unsigned long long)c->first,
	    c->n_again ? " again" : "");
	if (c->n_again == REPAIR_BAD)
		store_report(w->store, 1,
		    "group %u: that was so %u times in a row: check the disk; "
		    "it is repaired less and less often",
		    c->group, c->n_again);
}

static void
say_whole(struct repair *p)
{
	struct store_worker *w = p->worker;
	const struct repair_chunk *c = p->chunk;

	metrics_add(w->metrics, METRICS_CHUNKS_REPAIRED, 1);
	store_report(w->store, 0,
	    "%s/%016llx.%016llx.chunk is whole again: %llu bytes came of other "
	    "replicas, in %llu ms",
	    p->dir, (unsigned long long)c->stream, (unsigned long long)c->first,
	    (unsigned long long)p->n_bytes,
	    (unsigned long long)mono_diff_us(p->begun, repair_clock(w)) / 1000);
}

static void
say_in_vain(struct repair *p, int r)
{
	const struct repair_chunk *c = p->chunk;

	if (c->n_tries == 0)
		store_report(p->worker->store, 1,
		    "%s/%016llx.%016llx.chunk cannot be repaired now, from "
		    "event %llu on: %s; it is tried again, later and later",
		    p->dir, (unsigned long long)c->stream,
		    (unsigned long long)c->first,
		    (unsigned long long)p->bad_seq, err_text(r));
}

void
repair_ended(struct repair *p, int r)
{
	struct store_worker *w = p->worker;
	struct repair_chunk *c = p->chunk;
	struct vnode *v = repair_vnode(p);

	if (r == 0) {
		c->state = REPAIR_WHOLE;
		c->whole = repair_clock(w);
		c->n_false += !c->counted;
	} else if (r == -ERR_NOTFOUND) {
		c->state = REPAIR_NONE;
	} else {
		say_in_vain(p, r);
		repair_later(w, c);
	}
	if (fill_counts(w->store, c->group))
		atomic_fetch_sub(&w->store->fills.n_parts_in, 1);
	p->chunk = NULL;
	p->peer = 0;
	buf_deinit(&p->own);
	p->got = mem_free(p->got);
	p->cap_got = 0;
	repair_retry(w, v);
}

/* Its replica is another one now, or none. */
static int
has_moved(const struct repair *p)
{
	const struct vnode *v = repair_vnode(p);

	return v->group.generation != p->generation || v->life != p->life;
}

static void
looked(struct msg *m)
{
	struct repair *p = CONTAINER_OF(m, struct repair, msg);
	struct store_worker *w = p->worker;

	w->n_reading--;
	p->busy = 0;
	if (p->fatal)
		store_fatal(w->store, "a chunk that was repaired", p->r);
	if (p->r == REPAIR_E_LACKS || (p->r == 0 && p->n_mended))
		count_damaged(p);
	if (has_moved(p) || !repair_may_begin(w)) {
		repair_ended(p, -ERR_NOTFOUND);
	} else if (p->r == 0) {
		if (p->n_mended)
			say_whole(p);
		repair_ended(p, 0);
	} else if (p->r != REPAIR_E_LACKS) {
		repair_ended(p, p->r);
	} else if (!repair_ask(p)) {
		repair_ended(p, p->why ? p->why : -ERR_CORRUPT);
	}
	repair_go_on(w);
}

/* --- time ----------------------------------------------------------------- */

static void
begin(struct store_worker *w, struct repair_chunk *c)
{
	struct repair *p = &w->repairs->now;

	*p = (struct repair){.worker = w, .chunk = c, .begun = repair_clock(w)};
	buf_init(&p->own, REPAIR_BYTES_MAX + (64u << 10));
	if (fill_counts(w->store, c->group))
		atomic_fetch_add(&w->store->fills.n_parts_in, 1);
	repair_look(p);
}

void
repair_go_on(struct store_worker *w)
{
	struct repair *p = &w->repairs->now;
	struct repair_chunk *c;

	if (!repair_may_begin(w) || p->busy)
		return;
	if (p->chunk && p->waits)
		repair_look(p);
	else if (p->chunk)
		repair_ask_tick(p);
	else if ((c = repair_next(w)))
		begin(w, c);
}

void
repair_tick(struct store_worker *w)
{
	struct store *s = w->store;

	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers) {
		repair_serve_tick(w, &s->vnodes[g]);
		repair_read_tick(w, &s->vnodes[g]);
	}
	if (!w->repairs)
		return;
	if (!repair_may_begin(w)) {
		struct repair *p = &w->repairs->now;

		if (p->chunk && !p->busy)
			repair_ended(p, -ERR_NOTFOUND);
		return;
	}
	repair_go_on(w);
	atomic_store(&w->n_damaged, repair_count(w->repairs));
}

void
repair_after_flush(struct store_worker *w)
{
	struct repair *p = w->repairs ? &w->repairs->now : NULL;

	if (p && p->chunk && p->waits && repair_may_begin(w))
		repair_look(p);
}

/* --- messages ------------------------------------------------------------- */

void
repair_message(struct store_worker *w, struct vnode *v, const uint8_t node[16],
    const struct wire_message *m, const struct fill_message *fm)
{
	struct repair *p = w->repairs ? &w->repairs->now : NULL;

	if (fm->op == FILL_GET_PART)
		repair_serve(w, v, node, m, fm);
	if (fm->op == FILL_FAILED && fm->a == ERR_CORRUPT && fm->b)
		repair_note(w, v, fm->b, fm->c);
	if (!p || !p->chunk || p->chunk->group != v->group.id ||
	    m->from != p->peer)
		return;
	if (fm->op == FILL_PART)
		repair_ask_take(p, fm);
	else if (fm->op == FILL_FAILED)
		repair_ask_failed(p, fm);
}
