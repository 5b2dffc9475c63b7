/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_send - the leader's side: whom it offers what is here, and when; until it
 * has gone out, or failed.
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/fill_out.h"

/* Of STORE_FILLS_MAX rows: for what is sent only; for that and what has just
 * failed.  The rest is for what failed before, too. */
#define ROWS_SENT 4
#define ROWS_NEW  (STORE_FILLS_MAX - 2)

int
fill_out_say(struct store_worker *w, const struct vnode *v,
    const struct fill_out *f, struct fill_message m)
{
	m.transfer = f->transfer;
	return fill_say(w, v->group.id, v->group.generation, f->peer, f->node,
	    raft_term(v->group.raft), &m);
}

struct fill_out *
fill_out_find(const struct vnode *v, uint64_t transfer)
{
	for (struct fill_out *f = v->group.fills; f; f = f->next)
		if (f->transfer == transfer)
			return f;
	return NULL;
}

static uint64_t
wall_ms(const struct store_worker *w)
{
	const struct env_clock *c = &w->store->env->clock;

	return c->wall(c->ctx).ms;
}

/* What others see of F goes by its stage. */
static void
show(struct store *s, struct fill_out *f)
{
	int is_sent = f->stage == FILL_SENDING;
	int spared = is_sent                         ? 0
		     : f->stage == FILL_FAILED_THERE ? ROWS_SENT
						     : ROWS_NEW;

	if (f->stage == FILL_OVER || !(is_sent || f->seen.error)) {
		fill_row_give(f->row);
		f->row = NULL;
	} else if (f->row) {
		fill_row_set(f->row, &f->seen);
	} else if (fill_counts(s, f->seen.group)) {
		f->row = fill_row_take(s, &f->seen, spared);
	}
}

static int
waits(enum fill_out_stage stage)
{
	return stage == FILL_OFFERED || stage == FILL_QUEUED ||
	       stage == FILL_FAILED_THERE;
}

/* Counters and place, too. */
static void
go_to(struct store_worker *w, struct fill_out *f, enum fill_out_stage stage)
{
	struct store *s = w->store;
	uint32_t group = f->seen.group;

	if (f->stage == FILL_SENDING && stage != FILL_SENDING)
		fill_give_place(s, group, &s->fills.n_out);
	if (fill_counts(s, group) && waits(stage) != waits(f->stage))
		atomic_fetch_add(&s->fills.n_queued, waits(stage) ? 1 : -1u);
	f->stage = stage;
	show(s, f);
}

static void
end(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	struct fill_out **at = &v->group.fills;

	go_to(w, f, FILL_OVER);
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	fill_serve_deinit(f);
	mem_free(f);
}

static void
end_and_tell(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	raft_id peer = f->peer;

	end(w, v, f);
	raft_fill_ended(v->group.raft, peer, &w->fx);
	replica_effects(w, v);
}

static int
is_voter(const struct vnode *v, raft_id peer)
{
	const struct raft_member *m = raft_member(v->group.raft, peer);

	return m && m->voter;
}

static void
offer(struct store_worker *w, const struct vnode *v, struct fill_out *f)
{
	store_step(w->store, STEP_FILL_OFFERED);
	f->offered = fill_out_now(w);
	fill_out_say(w, v, f,
	    (struct fill_message){
		.op = FILL_OFFER, .a = raft_base(v->group.raft)});
}

void
fill_begin(struct store_worker *w, struct vnode *v, raft_id peer)
{
	const struct env_rng *rng = &w->store->env->rng;
	const uint8_t *node = replica_node(v, peer);
	struct fill_out *f = mem_zalloc(sizeof(*f));

	if (!f || !node) { /* the core asks again */
		mem_free(f);
		raft_fill_ended(v->group.raft, peer, &w->fx);
		return;
	}
	metrics_add(w->metrics, METRICS_FILLS_BEGUN, 1);
	f->peer = peer;
	memcpy(f->node, node, 16);
	rng->bytes(rng->ctx, &f->transfer, sizeof(f->transfer));
	f->index = v->manifest.saved_index;
	f->heard = fill_out_now(w);
	f->next = v->group.fills;
	v->group.fills = f;
	f->seen.group = v->group.id;
	f->seen.repair = is_voter(v, peer);
	memcpy(f->seen.to, node, 16);
	f->seen.started_ms = wall_ms(w);
	f->seen.error = v->group.fill_error;
	f->stage = FILL_OVER;
	go_to(w, f, FILL_OFFERED);
	offer(w, v, f);
}

void
fill_send_end_all(struct store_worker *w, struct vnode *v)
{
	while (v->group.fills)
		end(w, v, v->group.fills);
	v->group.fill_error = 0;
}

uint64_t
fill_keeps(const struct vnode *v)
{
	uint64_t index = UINT64_MAX;

	for (const struct fill_out *f = v->group.fills; f; f = f->next)
		if (f->stage == FILL_SENDING && f->index < index)
			index = f->index;
	return index;
}

/* Those that are queued, now that there is a place; how many. */
static uint32_t
offer_queued(struct store_worker *w, struct vnode *v)
{
	uint32_t n = 0;

	if (!fill_has_place(w->store, v->group.id, &w->store->fills.n_out))
		return 0;
	for (struct fill_out *f = v->group.fills; f; f = f->next)
		if (f->stage == FILL_QUEUED) {
			f->heard = fill_out_now(w);
			go_to(w, f, FILL_OFFERED);
			offer(w, v, f);
			n++;
		}
	return n;
}

/* A place is free.  Groups take turns, a few at a time: more than there are
 * places, since a receiver may have none. */
static void
offer_next(struct store_worker *w)
{
	struct store *s = w->store;
	uint32_t most = 2 * atomic_load(&s->fills.limit), n = 0;

	for (uint32_t g = w->id; g < s->n_vnodes && n < most;
	     g += s->n_workers) {
		struct vnode *v = &s->vnodes[w->next_fill];

		w->next_fill += s->n_workers;
		if (w->next_fill >= s->n_vnodes)
			w->next_fill = w->id;
		n += offer_queued(w, v);
	}
}

/* Nobody may know of F. */
static int
is_to_be_offered(const struct store_worker *w, const struct fill_out *f)
{
	struct mono now = fill_out_now(w);

	if (f->stage == FILL_SENDING &&
	    mono_diff_us(f->heard, now) <= FILL_DOUBT_US)
		return 0;
	return (f->stage == FILL_OFFERED || f->stage == FILL_SENDING) &&
	       mono_diff_us(f->offered, now) > FILL_AGAIN_US;
}

void
fill_send_tick(struct store_worker *w, struct vnode *v)
{
	struct fill_out *f, *next;

	offer_queued(w, v);
	for (f = v->group.fills; f; f = next) {
		next = f->next;
		if (f->stage == FILL_QUEUED)
			continue;
		if (mono_diff_us(f->heard, fill_out_now(w)) > FILL_SILENCE_US) {
			if (f->stage == FILL_SENDING)
				v->group.fill_error = ERR_TIMEOUT;
			end_and_tell(w, v, f);
			return; /* the list may be another */
		}
		if (f->stage == FILL_SENDING)
			fill_serve_tick(w, v, f);
		if (is_to_be_offered(w, f))
			offer(w, v, f);
	}
}

/* --- asked ---------------------------------------------------------------- */

/* It was asked for: now it takes its place, if there is one. */
static int
begin_sending(struct store_worker *w, struct vnode *v, struct fill_out *f)
{
	struct store *s = w->store;

	if (f->stage == FILL_SENDING)
		return 1;
	if (f->stage == FILL_FAILED_THERE)
		return 0; /* what was said before it was given up */
	if (!fill_take_place(s, v->group.id, &s->fills.n_out)) {
		go_to(w, f, FILL_QUEUED);
		fill_out_say(w, v, f, (struct fill_message){.op = FILL_WAIT});
		return 0;
	}
	f->seen.started_ms = wall_ms(w);
	f->seen.error = v->group.fill_error;
	go_to(w, f, FILL_SENDING);
	return 1;
}

void
fill_out_failed(
    struct store_worker *w, struct vnode *v, struct fill_out *f, int r)
{
	int damaged = r != -ERR_NOMEM && r != -ERR_INVAL;

	v->group.fill_error = -r;
	fill_out_say(w, v, f,
	    (struct fill_message){.op = FILL_FAILED, .a = (uint64_t)-r});
	end_and_tell(w, v, f);
	if (damaged)
		placing_let_another(w, v);
	offer_next(w);
}

/* The receiver says how it went. */
static void
hear_end(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *fm)
{
	int failed = fm->op == FILL_FAILED;

	if (!failed)
		store_step(w->store, STEP_FILL_ENDED);

	v->group.fill_error = !failed             ? 0
			      : fm->a < ERR_COUNT ? (int)fm->a
						  : ERR_UNKNOWN;
	f->seen.error = v->group.fill_error;
	if (failed)
		go_to(w, f, FILL_FAILED_THERE);
	else
		end_and_tell(w, v, f);
	/* What the receiver verified was read here. */
	if (failed && fm->a == ERR_CORRUPT)
		placing_let_another(w, v);
	offer_next(w);
}

void
fill_send_message(struct store_worker *w, struct vnode *v,
    const struct wire_message *m, const struct fill_message *fm)
{
	struct fill_out *f = fill_out_find(v, fm->transfer);

	if (!f || m->from != f->peer)
		return;
	f->heard = fill_out_now(w);
	switch (fm->op) {
	case FILL_GET_MANIFEST:
	case FILL_GET_CHUNKS:
		if (begin_sending(w, v, f))
			fill_serve(w, v, f, fm);
		break;
	case FILL_DONE:
	case FILL_FAILED:
		hear_end(w, v, f, fm);
		break;
	default:
		break;
	}
}
