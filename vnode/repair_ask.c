/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * repair_ask - what cannot be read here is asked of other replicas.
 *
 * One voter after the other, the leader first, is asked for the first event that
 * is missing and what comes behind it: a page, then four times as much, since
 * mostly it is one event.  Then the file is looked at again.  Events are asked for
 * by number, not by place: a replica that has given a chunk up cuts its files
 * elsewhere.  Whoever has helped is asked on.
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/repair_impl.h"

#define SILENCE_US (3 * FILL_AGAIN_US)
#define STEP_MAX   (8u << 20)

/* --- whom ----------------------------------------------------------------- */

static int
was_tried(const struct repair *p, raft_id id)
{
	for (uint32_t i = 0; i < p->n_tried; i++)
		if (p->tried[i] == id)
			return 1;
	return 0;
}

/* How good it is to ask M; 0: not at all. */
static int
fitness(const struct repair *p, const struct raft_member *m)
{
	const struct vnode *v = repair_vnode(p);
	const struct raft *r = v->group.raft;

	if (!m->voter || m->id == v->group.generation || was_tried(p, m->id))
		return 0;
	return 1 + (m->id == raft_leader(r) || raft_caught_up(r, m->id));
}

static const struct raft_member *
choose(const struct repair *p)
{
	const struct raft_members *m =
	    raft_members(repair_vnode(p)->group.raft);
	const struct raft_member *best = NULL;

	for (uint32_t i = 0; i < m->n && p->n_tried < RAFT_MEMBERS_MAX; i++)
		if (fitness(p, &m->at[i]) > (best ? fitness(p, best) : 0))
			best = &m->at[i];
	return best;
}

/* --- what ----------------------------------------------------------------- */

static void
say(struct repair *p, struct fill_message m)
{
	m.transfer = p->transfer;
	fill_say(p->worker, (uint16_t)p->chunk->group, p->generation, p->peer,
	    p->node, 0, &m);
}

static void
ask_page(struct repair *p)
{
	p->asked = repair_clock(p->worker);
	say(p, (struct fill_message){.op = FILL_GET_PART,
		   .a = p->chunk->stream,
		   .b = p->seq,
		   .c = p->at - p->from,
		   .d = p->to - p->at});
}

static int
make_room(struct repair *p)
{
	uint8_t *got = p->got;

	if (p->cap_got >= p->info.bytes)
		return 0;
	got = mem_realloc(got, p->info.bytes);
	if (!got)
		return -ERR_NOMEM;
	memset(got + p->cap_got, 0, p->info.bytes - p->cap_got);
	p->got = got;
	p->cap_got = p->info.bytes;
	return 0;
}

/* The next bytes of those that are wanted. */
static void
ask_on(struct repair *p)
{
	uint32_t left = p->info.bytes - p->at;

	p->to = p->at + (p->step < left ? p->step : left);
	if (p->step < STEP_MAX)
		p->step *= 4;
	p->heard = repair_clock(p->worker);
	ask_page(p);
}

/* The event that is missing, and what comes behind it. */
static void
ask_event(struct repair *p)
{
	p->seq = p->bad_seq;
	p->ended = 0;
	p->from = p->at = p->bad_at;
	p->step = FILL_PAGE_BYTES;
	ask_on(p);
}

/* What came of this one is not what is wanted: it may not know. */
static void
tell_damaged(struct repair *p)
{
	if (p->peer && p->at > p->bad_at)
		say(p, (struct fill_message){.op = FILL_FAILED,
			   .a = ERR_CORRUPT,
			   .b = p->chunk->stream,
			   .c = p->chunk->first});
}

static int
ask_another(struct repair *p)
{
	const struct env_rng *rng = &p->worker->store->env->rng;
	const struct raft_member *m = choose(p);

	if (!m)
		return 0;
	p->tried[p->n_tried++] = p->peer = m->id;
	memcpy(p->node, m->node, 16);
	rng->bytes(rng->ctx, &p->transfer, sizeof(p->transfer));
	ask_event(p);
	return 1;
}

int
repair_ask(struct repair *p)
{
	if (make_room(p)) {
		p->why = -ERR_NOMEM;
		return 0;
	}
	if (p->bad_seq > p->most) { /* somebody has helped */
		p->most = p->bad_seq;
		p->n_tried = 0;
		if (p->peer) {
			p->tried[p->n_tried++] = p->peer;
			ask_event(p);
			return 1;
		}
	} else if (p->peer && !p->ended && p->at < p->info.bytes) {
		ask_on(p);
		return 1;
	}
	tell_damaged(p);
	p->peer = 0;
	return ask_another(p);
}

/* --- answers -------------------------------------------------------------- */

void
repair_ask_take(struct repair *p, const struct fill_message *m)
{
	if (p->busy || p->ended || m->transfer != p->transfer ||
	    m->b != p->seq || m->c != p->at - p->from || m->bytes.n == 0 ||
	    m->bytes.n > p->to - p->at)
		return;
	metrics_add(
	    p->worker->metrics, METRICS_FILL_RECEIVED_BYTES, m->bytes.n);
	memcpy(p->got + p->at, m->bytes.p, m->bytes.n);
	p->at += (uint32_t)m->bytes.n;
	p->n_bytes += m->bytes.n;
	p->heard = repair_clock(p->worker);
	if (p->at < p->to)
		ask_page(p);
	else
		repair_look(p);
}

/* No more comes; what has come may do. */
static void
no_more(struct repair *p, int why)
{
	p->why = why;
	p->ended = 1;
	repair_look(p);
}

/* That it is not there, as when it has let go of what nobody sees any more, says
 * nothing of the chunk here. */
void
repair_ask_failed(struct repair *p, const struct fill_message *m)
{
	int why = m->a && m->a < ERR_COUNT ? -(int)m->a : -ERR_UNKNOWN;

	if (!p->busy && !p->ended && m->transfer == p->transfer)
		no_more(p, why == -ERR_NOTFOUND ? -ERR_UNAVAILABLE : why);
}

void
repair_ask_tick(struct repair *p)
{
	struct mono now = repair_clock(p->worker);

	if (p->busy || !p->peer || p->ended || p->at == p->to)
		return;
	if (mono_diff_us(p->heard, now) > SILENCE_US)
		no_more(p, -ERR_TIMEOUT);
	else if (mono_diff_us(p->asked, now) > FILL_AGAIN_US)
		ask_page(p);
}
