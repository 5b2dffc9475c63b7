/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_receive - the receiver's side: takes an offer and the manifest.
 *
 * Files go to a directory of the next life of the replica, which counts once it
 * has a manifest (fill_adopt.c).
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/fill_impl.h"
#include "vnode/removal.h"

struct mono
fill_now(const struct fill *f)
{
	const struct env_clock *c = &f->store->env->clock;

	return c->mono(c->ctx);
}

void
fill_ask(struct fill *f, struct fill_message m)
{
	m.transfer = f->transfer;
	f->asked = fill_now(f);
	f->way = fill_say(
	    fill_worker(f), f->group, f->generation, f->leader, f->node, 0, &m);
}

static void
ask_manifest(struct fill *f)
{
	fill_ask(f,
	    (struct fill_message){.op = FILL_GET_MANIFEST, .a = f->manifest.n});
}

/* --- life ----------------------------------------------------------------- */

void
fill_free(struct fill *f)
{
	fill_give_place(f->store, f->group, &f->store->fills.n_in);
	buf_deinit(&f->manifest);
	fill_chunks_free(f);
	buf_deinit(&f->rows);
	if (f->shadow) {
		recovered_free(f->shadow);
		vnode_deinit(f->shadow, &fill_worker(f)->cache);
		mem_free(f->shadow);
	}
	mem_free(f);
}

static void
abort_fill(struct fill *f, const char *why, int keep)
{
	struct store_worker *w = fill_worker(f);

	store_report(f->store, 1, "group %u: filling ended: %s", f->group, why);
	fill_ask(f, (struct fill_message){.op = FILL_FAILED,
			.a = f->r ? (uint64_t)-f->r : ERR_CANCELED,
			.b = f->bad_stream,
			.c = f->bad_first});
	fill_vnode(f)->group.fill = NULL;
	if (f->shadow && keep)
		fill_staged_set(
		    f->store, f->group, f->generation, f->shadow->life);
	else if (f->shadow)
		removal_start(w, f->shadow->dir, 0);
	if (f->busy)
		f->canceled = 1;
	else
		fill_free(f);
}

void
fill_abort(struct fill *f, const char *why)
{
	/* What has begun to be adopted may have half a manifest. */
	abort_fill(f, why, f->stage < FILL_STAGE_ADOPTING);
}

int
fill_ends_silent(struct fill *f)
{
	uint64_t silent = mono_diff_us(f->heard, fill_now(f));
	int wrong = f->way == -ERR_NOBODY || f->way == -ERR_STRANGER ||
		    f->way == -ERR_ITSELF;

	if (f->busy || silent <= (wrong ? FILL_LOST_US : FILL_SILENCE_US))
		return 0;
	f->r = wrong ? f->way : -ERR_TIMEOUT;
	fill_abort(f, wrong ? err_text(f->r) : "the leader is silent");
	return 1;
}

void
fill_drop(struct fill *f, const char *why)
{
	abort_fill(f, why, 0);
}

void
fill_job(struct fill *f, void (*run)(struct env_job *job),
    void (*back)(struct msg *m))
{
	const struct env_post *post = &f->store->env->post;

	f->job.run = run;
	f->msg.fn = back;
	f->busy = 1;
	fill_worker(f)->n_reading++;
	post->to_lane(post->ctx, LANE_FLUSH, &f->job);
}

struct fill *
fill_came_back(struct msg *m)
{
	struct fill *f = CONTAINER_OF(m, struct fill, msg);

	fill_worker(f)->n_reading--;
	f->busy = 0;
	f->heard = fill_now(f);
	if (f->canceled) {
		fill_free(f);
		return NULL;
	}
	if (f->r == 0)
		return f;
	/* A sync that failed.  Anything else has left the replica as it was. */
	if (f->r == -ERR_IO)
		store_fatal(f->store, "files of a fill", f->r);
	else if (f->stage == FILL_STAGE_ADOPTING)
		fill_not_adopted(f);
	fill_abort(f, err_text(f->r));
	return NULL;
}

/* --- the manifest --------------------------------------------------------- */

static int
make_shadow(struct fill *f)
{
	const struct vnode *old = fill_vnode(f);
	uint32_t life =
	    old->group.generation == f->generation ? old->life + 1 : 0;
	struct vnode *v = mem_zalloc(sizeof(*v));
	struct slice file = buf_slice(&f->manifest);
	int r;

	if (!v)
		return -ERR_NOMEM;
	vnode_init(v, f->group, f->generation, life, f->store->dir,
	    f->store->config.seed, &f->store->dedup);
	f->shadow = v;
	fill_staged_take(f);
	v->recovered = mem_zalloc(sizeof(*v->recovered));
	if (!v->recovered)
		return -ERR_NOMEM;
	r = store_load_manifest(f->store, v, f->sender_number, f->leader, file);
	if (r == 0 && v->group.applied_index == 0 && v->n_by_id)
		r = -ERR_CORRUPT;
	return r;
}

/* LANE_FLUSH: remains of anything but an earlier try go first. */
static void
make_dir(struct env_job *job)
{
	struct fill *f = CONTAINER_OF(job, struct fill, job);
	const struct env_disk *d = &f->store->env->disk;

	f->r = d->mkdir(d->ctx, f->shadow->dir);
	if (f->r == -ERR_EXISTS) {
		if (!f->resumes)
			store_remove_files(f->store, f->shadow->dir);
		f->r = 0;
	}
	store_call(f->store, fill_worker(f)->id, &f->msg, f->msg.fn);
}

static void
made_dir(struct msg *m)
{
	struct fill *f = fill_came_back(m);

	if (f)
		fill_chunks_begin(f);
}

static void
take_manifest(struct fill *f, const struct fill_message *m)
{
	if (f->stage != FILL_STAGE_MANIFEST || m->a != f->manifest.n ||
	    m->b > FILL_MANIFEST_MAX || m->b < f->manifest.n + m->bytes.n)
		return;
	f->manifest_bytes = m->b;
	f->sender_number = (uint32_t)m->c;
	buf_add_slice(&f->manifest, m->bytes);
	if (buf_error(&f->manifest)) {
		fill_abort(f, "out of memory");
		return;
	}
	if (f->manifest.n < f->manifest_bytes) {
		if (m->bytes.n)
			ask_manifest(f);
		else
			fill_abort(f, "an empty page");
		return;
	}
	store_step(f->store, STEP_MANIFEST_TAKEN);
	f->stage = FILL_STAGE_OPENING;
	f->r = make_shadow(f);
	if (f->r)
		fill_abort(f, f->r == -ERR_NOMEM ? "out of memory"
						 : "the manifest is damaged");
	else
		fill_job(f, make_dir, made_dir);
}

/* --- messages and time ---------------------------------------------------- */

/* It is here, and not behind the log. */
static void
decline(struct store_worker *w, struct vnode *v, const uint8_t node[16],
    const struct wire_message *m, const struct fill_message *fm)
{
	struct fill_message done = {.op = FILL_DONE,
	    .transfer = fm->transfer,
	    .a = v->group.applied_index};

	fill_say(w, v->group.id, m->to, m->from, node, 0, &done);
}

/* Its turn comes when others have ended. */
static void
remember(struct store_worker *w, struct vnode *v, const uint8_t node[16],
    const struct wire_message *m, const struct fill_message *fm)
{
	const struct env_clock *c = &w->store->env->clock;
	struct fill_offer *o = &v->group.offer;

	if (!o->waits || o->transfer != fm->transfer)
		o->at = c->mono(c->ctx);
	o->waits = 1;
	o->from = m->from;
	o->to = m->to;
	o->term = m->term;
	o->transfer = fm->transfer;
	o->base = fm->a;
	memcpy(o->node, node, 16);
}

static void
offered(struct store_worker *w, struct vnode *v, const uint8_t node[16],
    const struct wire_message *m, const struct fill_message *fm)
{
	struct fill *f = v->group.fill;

	if (m->to < v->group.generation || m->to <= v->group.removed)
		return; /* a life that is over */
	if (m->to == v->group.generation && v->group.raft &&
	    (v->group.retiring || raft_role(v->group.raft) == RAFT_LEADER))
		return;
	if (f && f->transfer == fm->transfer)
		return;
	if (v->group.raft && m->to == v->group.generation &&
	    v->group.applied_index >= fm->a) {
		decline(w, v, node, m, fm);
		return;
	}
	if (f && (f->busy || f->stage >= FILL_STAGE_WAITING))
		return; /* offered again when that is over */
	if (f)
		fill_abort(f, "another one is offered");
	if (!fill_take_place(w->store, v->group.id, &w->store->fills.n_in)) {
		remember(w, v, node, m, fm);
		return;
	}
	f = mem_zalloc(sizeof(*f));
	if (!f) {
		fill_give_place(w->store, v->group.id, &w->store->fills.n_in);
		return; /* offered again */
	}
	f->store = w->store;
	f->group = v->group.id;
	f->generation = m->to;
	f->transfer = fm->transfer;
	f->leader = m->from;
	f->leader_term = m->term;
	memcpy(f->node, node, 16);
	f->begun = f->heard = fill_now(f);
	buf_init(&f->manifest, FILL_MANIFEST_MAX);
	buf_init(&f->rows, FILL_MANIFEST_MAX);
	v->group.fill = f;
	store_step(w->store, STEP_FILL_TAKEN);
	ask_manifest(f);
}

/* The leader offers it again when it has a place for it: ours is another's. */
static void
wait_for_offer(struct store_worker *w, struct vnode *v, struct fill *f)
{
	v->group.fill = NULL;
	fill_free(f);
	fill_next_offer(w);
}

void
fill_receive_message(struct store_worker *w, struct vnode *v,
    const uint8_t node[16], const struct wire_message *m,
    const struct fill_message *fm)
{
	struct fill *f = v->group.fill;

	if (fm->op == FILL_OFFER) {
		offered(w, v, node, m, fm);
		return;
	}
	if (!f || f->transfer != fm->transfer)
		return;
	f->heard = fill_now(f);
	if (fm->op == FILL_MANIFEST)
		take_manifest(f, fm);
	else if (fm->op == FILL_CHUNKS && f->stage == FILL_STAGE_CHUNKS)
		fill_chunks_take(f, fm);
	else if (fm->op == FILL_WAIT && f->stage == FILL_STAGE_MANIFEST)
		wait_for_offer(w, v, f);
	else if (fm->op == FILL_FAILED && f->stage < FILL_STAGE_SYNCING)
		fill_abort(f, "the leader has ended it");
}

void
fill_offered_again(struct store_worker *w, struct vnode *v)
{
	const struct env_clock *c = &w->store->env->clock;
	struct fill_offer o = v->group.offer;
	struct wire_message m = {.from = o.from, .to = o.to, .term = o.term};
	struct fill_message fm = {
	    .op = FILL_OFFER, .transfer = o.transfer, .a = o.base};

	if (!fill_has_place(w->store, v->group.id, &w->store->fills.n_in))
		return;
	v->group.offer.waits = 0;
	if (mono_diff_us(o.at, c->mono(c->ctx)) < FILL_SILENCE_US)
		offered(w, v, o.node, &m, &fm);
}

void
fill_next_offer(struct store_worker *w)
{
	struct store *s = w->store;

	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers)
		if (s->vnodes[g].group.offer.waits)
			fill_offered_again(w, &s->vnodes[g]);
}

void
fill_receive_tick(struct store_worker *w, struct vnode *v)
{
	struct fill *f = v->group.fill;

	(void)w;
	if (!f)
		return;
	if (f->stage == FILL_STAGE_CHUNKS)
		fill_chunks_tick(f);
	else if (f->busy)
		return;
	else if (f->stage == FILL_STAGE_WAITING)
		fill_try_adopt(f);
	else if (!fill_ends_silent(f) &&
		 mono_diff_us(f->asked, fill_now(f)) > FILL_AGAIN_US)
		ask_manifest(f);
}

void
fill_receive_end(struct store_worker *w, struct vnode *v)
{
	(void)w;
	if (v->group.fill)
		fill_abort(v->group.fill, "the node stops");
}

int
fill_replaces(const struct vnode *v)
{
	return v->group.fill && v->group.fill->stage >= FILL_STAGE_WAITING;
}

int
fill_adopts(const struct vnode *v)
{
	return v->group.fill && v->group.fill->stage == FILL_STAGE_ADOPTING;
}
