/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* net - messages that are late, lost, doubled, overtaken. */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/sim/sim.h"

static const char *const names[] = {"", "prevote", "prevote answer", "vote",
    "vote answer", "append", "append answer", "timeout now"};

/* Bodies are numbers here: copying is harmless. */
static void
copy_entries(struct sim *s, const struct sim_node *from,
    const struct raft_msg *m, struct sim_event *ev)
{
	if (m->n == 0)
		return;
	ev->entries = mem_calloc(m->n, sizeof(*ev->entries));
	ASSERT(ev->entries);
	for (uint32_t i = 0; i < m->n; i++) {
		struct raft_entry *e = &ev->entries[i];

		*e = *raft_entry_at(from->raft, m->index + 1 + i);
		e->body = (void *)(uintptr_t)disk_body(from, m->index + 1 + i);
		if (e->members)
			e->members = members_keep(s, e->members);
	}
}

#define HELD_US 5000000

static void
send_once(struct sim *s, struct sim_node *from, struct sim_node *to,
    const struct raft_msg *m)
{
	uint64_t us = 50 + sim_below(s, s->delay_max);
	uint32_t late = s->straggling;
	struct sim_event *ev;

	/* It may count for what it did not mean. */
	if (m->type == RAFT_VOTE_ANSWER)
		late *= 6;
	if (m->type == RAFT_APPEND_ANSWER)
		late *= 3;
	if (!s->quiet && sim_chance(s, late))
		us += sim_below(s, s->straggling_us);
	ev = sim_schedule(s, EV_MSG, sim_slot(s, to), us);
	ev->msg = *m;
	if (m->type == RAFT_APPEND_ANSWER && sim_chance(s, s->held))
		ev->held_until = s->now + HELD_US;
	copy_entries(s, from, m, ev);
}

static void
trace(struct sim *s, const struct raft_msg *m)
{
	if (!s->o.trace)
		return;
	sim_trace(s, "n%d -> n%d %s term %d index %d/%d n %d commit %d%s%s%s",
	    (int)m->from, (int)m->to, names[m->type], (int)m->term,
	    (int)m->index, (int)m->log_term, (int)m->n, (int)m->commit,
	    m->reject ? " reject" : "", m->uncounted ? " uncounted" : "",
	    m->heal ? " heal" : "");
}

/* Who has given its word and forgets it: the case to look for. */
static int
is_a_word(const struct raft_msg *m)
{
	return m->type != RAFT_APPEND && m->type != RAFT_PREVOTE &&
	       m->type != RAFT_PREVOTE_ANSWER;
}

void
net_send(struct sim *s, struct sim_node *from, const struct raft_msg *m)
{
	struct sim_node *to = node_with(s, m->to);
	uint32_t slot = sim_slot(s, from);

	trace(s, m);
	check_send(s, from, m);
	if (!s->quiet && is_a_word(m) && sim_chance(s, s->aimed))
		sim_schedule(s, EV_CRASH, slot, sim_below(s, 300));
	if (m->type == RAFT_TIMEOUT_NOW && s->reckless && !s->quiet &&
	    sim_chance(s, 500))
		chaos_deafen(s, from); /* it does not hear that it worked */
	if (!to && m->type == RAFT_APPEND && sim_chance(s, 100))
		sim_schedule(s, EV_UNKNOWN, slot, 1000)->msg.from = m->to;
	if (!to || s->cut[slot][sim_slot(s, to)] || sim_chance(s, s->drop))
		return;
	send_once(s, from, to, m);
	if (sim_chance(s, s->dup))
		send_once(s, from, to, m);
}

/* N has not led since in another term. */
static int
is_held(
    const struct sim *s, const struct sim_node *n, const struct sim_event *ev)
{
	return ev->held_until > s->now && !s->quiet &&
	       (raft_role(n->raft) != RAFT_LEADER ||
		   raft_term(n->raft) <= ev->msg.term);
}

static void
deliver_later(struct sim *s, struct sim_event *ev)
{
	struct sim_event *later = sim_schedule(s, EV_MSG, ev->slot, 5000);

	later->msg = ev->msg;
	later->entries = ev->entries;
	later->held_until = ev->held_until;
	ev->entries = NULL;
}

void
net_deliver(struct sim *s, struct sim_event *ev)
{
	struct sim_node *n = &s->nodes[ev->slot];
	struct raft_effects fx = {0};

	if (n->id != ev->msg.to)
		return;
	/* A stopped process reads it when it goes on. */
	if (n->stopped || is_held(s, n, ev)) {
		deliver_later(s, ev);
		return;
	}
	ev->msg.entries = ev->entries;
	n->n_bodies += ev->msg.n;
	raft_receive(sim_core(s, n), &ev->msg, &fx);
	sim_done(s, n, &fx);
}

void
net_event_free(struct sim_event *ev)
{
	mem_free(ev->entries);
	mem_free(ev);
}
