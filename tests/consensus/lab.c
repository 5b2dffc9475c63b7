/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* lab - a few replicas on a bench. */
#include "tests/consensus/lab.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/assert.h"
#include "src/consensus/raft_impl.h"

#define MS UINT64_C(1000)

uint32_t
lab_find(const struct lab *l, raft_id id)
{
	uint32_t i = 0;

	while (i < LAB_NODES && (l->nodes[i].id != id || id == 0))
		i++;
	return i;
}

/* --- net ------------------------------------------------------------------ */

static void
copy_entry(const struct lab_node *n, uint64_t index, struct raft_entry *e,
    struct raft_members *m)
{
	*e = *raft_entry_at(n->raft, index);
	ASSERT(e->body);
	if (!e->members)
		return;
	m->n = e->members->n;
	m->at = malloc(m->n * sizeof(*m->at));
	ASSERT(m->at);
	memcpy((void *)(uintptr_t)m->at, e->members->at, m->n * sizeof(*m->at));
	e->members = m;
}

static void
send(struct lab *l, uint32_t from, const struct raft_msg *m)
{
	uint32_t to = lab_find(l, m->to);
	struct lab_msg *q = &l->queue[l->n_queue];

	if (to == LAB_NODES || l->cut[from][to] || (l->loses && l->loses(l, m)))
		return;
	ASSERT(l->n_queue < sizeof(l->queue) / sizeof(l->queue[0]));
	*q = (struct lab_msg){.at = l->now + MS, .msg = *m};
	l->n_queue++;
	if (m->n == 0)
		return;
	q->entries = calloc(m->n, sizeof(*q->entries));
	q->members = calloc(m->n, sizeof(*q->members));
	ASSERT(q->entries && q->members);
	for (uint32_t i = 0; i < m->n; i++)
		copy_entry(&l->nodes[from], m->index + 1 + i, &q->entries[i],
		    &q->members[i]);
	q->msg.entries = q->entries;
}

static void
free_msg(struct lab_msg *q)
{
	for (uint32_t i = 0; q->members && i < q->msg.n; i++)
		free((void *)(uintptr_t)q->members[i].at);
	free(q->entries);
	free(q->members);
}

static void
deliver(struct lab *l)
{
	while (l->n_queue && l->queue[0].at <= l->now) {
		struct lab_msg q = l->queue[0];
		uint32_t to = lab_find(l, q.msg.to);
		struct raft_effects fx = {0};

		memmove(
		    l->queue, l->queue + 1, --l->n_queue * sizeof(l->queue[0]));
		if (to < LAB_NODES && l->nodes[to].raft) {
			raft_receive(l->nodes[to].raft, &q.msg, &fx);
			lab_effects(l, to, &fx);
		}
		free_msg(&q);
		raft_effects_deinit(&fx);
	}
}

/* --- disk ----------------------------------------------------------------- */

static struct lab_entry
lab_entry(const struct raft_entry *e)
{
	struct lab_entry out = {
	    .term = e->term, .id = (uintptr_t)e->body, .kind = e->kind};

	if (!e->members)
		return out;
	out.n_members = e->members->n;
	memcpy(
	    out.members, e->members->at, e->members->n * sizeof(*out.members));
	return out;
}

static void
write_entries(struct lab *l, struct lab_node *n, struct lab_write *w,
    const struct raft_effect *e)
{
	w->first = e->first;
	w->n = (uint32_t)(e->last - e->first + 1);
	w->entries = calloc(w->n, sizeof(*w->entries));
	ASSERT(w->entries);
	for (uint64_t i = e->first; i <= e->last; i++) {
		if (!raft_entry_at(n->raft, i)->body)
			raft_set_body(n->raft, i,
			    (void *)(uintptr_t)(1000000 + ++l->next_id), 10);
		w->entries[i - e->first] = lab_entry(raft_entry_at(n->raft, i));
	}
}

static void
persist(struct lab *l, struct lab_node *n, const struct raft_effect *e)
{
	struct lab_write *w = &n->writes[n->n_writes++];

	ASSERT(n->n_writes < sizeof(n->writes) / sizeof(n->writes[0]));
	*w =
	    (struct lab_write){.seq = e->seq, .term = e->term, .vote = e->vote};
	if (e->type == RAFT_PERSIST_ENTRIES)
		write_entries(l, n, w, e);
}

static void
land(struct lab_node *n, struct lab_write *w)
{
	if (w->n == 0) {
		n->term = w->term;
		n->vote = w->vote;
		return;
	}
	for (uint32_t i = 0; i < w->n; i++)
		n->log[w->first + i] = w->entries[i];
	n->last = w->first + w->n - 1;
	free(w->entries);
}

static void
forget_writes(struct lab_node *n)
{
	for (uint32_t i = 0; i < n->n_writes; i++)
		free(n->writes[i].n ? n->writes[i].entries : NULL);
	n->n_writes = 0;
}

static void
sync_disk(struct lab *l, uint32_t i)
{
	struct lab_node *n = &l->nodes[i];
	struct raft_effects fx = {0};
	uint64_t seq;

	if (n->n_writes == 0 || n->stuck || !n->raft)
		return;
	seq = n->writes[n->n_writes - 1].seq;
	for (uint32_t k = 0; k < n->n_writes; k++)
		land(n, &n->writes[k]);
	n->n_writes = 0;
	raft_persisted(n->raft, seq, &fx);
	lab_effects(l, i, &fx);
	raft_effects_deinit(&fx);
}

void
lab_unstick(struct lab *l, uint32_t i)
{
	l->nodes[i].stuck = 0;
	sync_disk(l, i);
}

/* --- effects -------------------------------------------------------------- */

static void
apply_entries(struct lab_node *n, const struct raft_effect *e)
{
	for (uint64_t i = e->first; i <= e->last; i++)
		n->values[i] = (uintptr_t)raft_entry_at(n->raft, i)->body;
	n->applied = e->last;
}

static void
carry_out(struct lab *l, uint32_t i, const struct raft_effect *e)
{
	struct lab_node *n = &l->nodes[i];

	switch (e->type) {
	case RAFT_SEND:
		send(l, i, &e->msg);
		break;
	case RAFT_PERSIST_HARD:
	case RAFT_PERSIST_ENTRIES:
		persist(l, n, e);
		break;
	case RAFT_APPLY:
		apply_entries(n, e);
		break;
	case RAFT_ROLE:
		break;
	case RAFT_READ_READY:
		n->n_ready++;
		n->ready_at = e->last;
		break;
	case RAFT_READ_LOST:
		n->n_lost++;
		break;
	case RAFT_FILL:
		n->n_fills++;
		n->fill = e->peer;
		break;
	case RAFT_HEALED:
		n->n_healed++;
		n->damaged = 0;
		break;
	case RAFT_FAILED:
		n->n_failed++;
	}
}

void
lab_effects(struct lab *l, uint32_t i, struct raft_effects *fx)
{
	struct lab_node *n = &l->nodes[i];
	uint32_t fills = n->n_fills;

	for (uint32_t k = 0; k < fx->n; k++)
		carry_out(l, i, &fx->items[k]);
	fx->n = 0;
	sync_disk(l, i);
	if (n->n_fills > fills && !l->fills_by_hand)
		lab_fill(l, i, n->fill);
}

/* --- life ----------------------------------------------------------------- */

static struct lab_entry
founders(struct lab *l, uint32_t n)
{
	struct lab_entry e = {.n_members = n};

	for (uint32_t i = 0; i < n; i++) {
		e.members[i].id = i + 1;
		e.members[i].voter = 1;
		memcpy(e.members[i].node, l->nodes[i].name, 16);
	}
	return e;
}

struct lab *
lab_new(uint32_t n)
{
	struct lab *l = calloc(1, sizeof(*l));

	ASSERT(l);
	l->now = 1;
	l->config = (struct raft_config){.heartbeat_us = 30 * MS,
	    .election_us = 150 * MS,
	    .rank_us = 50 * MS,
	    .jitter_us = 20 * MS,
	    .window_entries = 64,
	    .window_bytes = 1 << 20,
	    .msg_entries = 16,
	    .msg_bytes = 1 << 16};
	for (uint32_t i = 0; i < LAB_NODES; i++)
		l->nodes[i].name[0] = (uint8_t)(i + 1);
	for (uint32_t i = 0; i < n; i++) {
		struct lab_node *node = &l->nodes[i];

		node->id = i + 1;
		node->base_members = founders(l, n);
		if (n > 1) { /* ids are not above the base */
			node->base = node->last = n;
			node->base_term = node->term = 1;
		}
		lab_start(l, i);
	}
	return l;
}

struct lab *
lab_free(struct lab *l)
{
	for (uint32_t i = 0; i < LAB_NODES; i++)
		lab_crash(l, i);
	while (l->n_queue)
		free_msg(&l->queue[--l->n_queue]);
	free(l);
	return NULL;
}

static struct raft_members
members_of(const struct lab_entry *e)
{
	return (struct raft_members){.n = e->n_members, .at = e->members};
}

void
lab_start(struct lab *l, uint32_t i)
{
	struct lab_node *n = &l->nodes[i];
	struct raft_config c = l->config;
	struct raft_state st = {.term = n->term,
	    .vote = n->vote,
	    .base_index = n->base,
	    .base_term = n->base_term,
	    .members = members_of(&n->base_members),
	    .damaged = n->damaged};
	struct raft_effects fx = {0};

	c.self = n->id;
	c.seed = ++l->next_id;
	n->raft = raft_new(&c, &st);
	ASSERT(n->raft);
	raft_set_rank(n->raft, i);
	n->applied = n->base;
	for (uint64_t k = n->base + 1; k <= n->last; k++) {
		struct raft_members m = members_of(&n->log[k]);
		struct raft_entry e = {.term = n->log[k].term,
		    .kind = n->log[k].kind,
		    .bytes = 10,
		    .body = (void *)(uintptr_t)n->log[k].id,
		    .members = &m};

		ASSERT(raft_restore(n->raft, &e, k) == 0);
	}
	raft_tick(n->raft, l->now, &fx);
	raft_campaign(n->raft, &fx);
	lab_effects(l, i, &fx);
	raft_effects_deinit(&fx);
}

void
lab_crash(struct lab *l, uint32_t i)
{
	struct lab_node *n = &l->nodes[i];

	n->raft = raft_free(n->raft);
	forget_writes(n);
}

void
lab_replace_disk(struct lab *l, uint32_t i)
{
	uint8_t name = (uint8_t)(l->nodes[i].name[0] + LAB_NODES);

	lab_crash(l, i);
	l->nodes[i] = (struct lab_node){.name = {name}};
}

void
lab_compact(struct lab *l, uint32_t i, uint64_t index)
{
	struct lab_node *n = &l->nodes[i];
	const struct raft_members *m = raft_members_at(n->raft, index);
	struct raft_entry e = {.members = m};

	n->base_term = raft_term_at(n->raft, index);
	n->base_members = lab_entry(&e);
	n->base = index;
	raft_compact(n->raft, index);
}

static uint32_t
machine(const struct lab *l, uint32_t leader, raft_id id)
{
	const struct raft_member *m = raft_member(l->nodes[leader].raft, id);
	uint32_t i = 0;

	ASSERT(m);
	while (i < LAB_NODES && memcmp(l->nodes[i].name, m->node, 16) != 0)
		i++;
	return i;
}

static void
adopt(struct lab *l, uint32_t i, const struct raft_fill *fill,
    const struct lab_node *from)
{
	struct lab_node *n = &l->nodes[i];
	struct raft_entry e = {.members = &fill->members};
	struct raft_effects fx = {0};

	if (!raft_wants_fill(n->raft, fill))
		return;
	if (!raft_keeps_tail(n->raft, fill)) {
		forget_writes(n);
		n->last = fill->index;
	}
	n->base = n->applied = fill->index;
	n->base_term = fill->term;
	n->base_members = lab_entry(&e);
	memcpy(n->values, from->values, sizeof(n->values));
	raft_filled(n->raft, fill, &fx);
	lab_effects(l, i, &fx);
	raft_effects_deinit(&fx);
}

void
lab_fill(struct lab *l, uint32_t from, raft_id to)
{
	struct lab_node *f = &l->nodes[from];
	uint32_t i = machine(l, from, to);
	struct raft_effects fx = {0};
	struct raft_fill fill = {.leader_term = raft_term(f->raft),
	    .index = f->applied,
	    .term = raft_term_at(f->raft, f->applied),
	    .members = *raft_members_at(f->raft, f->applied)};

	if (i < LAB_NODES && !l->cut[from][i]) {
		if (l->nodes[i].id != to) {
			uint8_t name = l->nodes[i].name[0];

			lab_crash(l, i);
			l->nodes[i] =
			    (struct lab_node){.id = to, .name = {name}};
			lab_start(l, i);
		}
		if (l->nodes[i].raft)
			adopt(l, i, &fill, f);
	}
	raft_fill_ended(f->raft, to, &fx);
	lab_effects(l, from, &fx);
	raft_effects_deinit(&fx);
}

/* --- time ----------------------------------------------------------------- */

void
lab_run(struct lab *l, uint64_t ms)
{
	for (uint64_t end = l->now + ms * MS; l->now < end;) {
		l->now += MS;
		deliver(l);
		for (uint32_t i = 0; i < LAB_NODES; i++) {
			struct raft_effects fx = {0};

			if (!l->nodes[i].raft)
				continue;
			raft_tick(l->nodes[i].raft,
			    l->now + l->nodes[i].ahead_us, &fx);
			lab_effects(l, i, &fx);
			raft_effects_deinit(&fx);
		}
	}
}

static int
newest_leader(const struct lab *l)
{
	int best = -1;

	for (int i = 0; i < LAB_NODES; i++) {
		const struct raft *r = l->nodes[i].raft;

		if (r && raft_ready(r) &&
		    (best < 0 || raft_term(r) > raft_term(l->nodes[best].raft)))
			best = i;
	}
	return best;
}

int
lab_elect(struct lab *l)
{
	for (int i = 0; i < 10000 && newest_leader(l) < 0; i++)
		lab_run(l, 1);
	return newest_leader(l);
}

void
lab_make_leader(struct lab *l, uint32_t i)
{
	int now = lab_elect(l);

	ASSERT(now >= 0);
	for (int k = 0; k < 100 && now != (int)i; k++) {
		struct raft_effects fx = {0};

		raft_transfer(l->nodes[now].raft, l->nodes[i].id, &fx);
		lab_effects(l, (uint32_t)now, &fx);
		raft_effects_deinit(&fx);
		lab_run(l, 50);
		now = lab_elect(l);
	}
	ASSERT(now == (int)i);
}

int
lab_campaign(struct lab *l, uint32_t i)
{
	uint64_t at = l->now + 2 * l->config.election_us;

	for (int ms = 0; ms < 1000; ms++) {
		for (uint32_t k = 0; k < LAB_NODES; k++)
			if (l->nodes[k].raft)
				l->nodes[k].raft->election_at_us =
				    l->now + 1000 * MS;
		if (l->now >= at) {
			l->nodes[i].raft->election_at_us = l->now;
			at = l->now + 50 * MS; /* in a newer term */
		}
		lab_run(l, 1);
		if (raft_role(l->nodes[i].raft) == RAFT_LEADER &&
		    l->now > at - 50 * MS)
			return 1;
	}
	return 0;
}

uint64_t
lab_propose(struct lab *l, uint32_t i, uint64_t value)
{
	struct raft_entry e = {
	    .kind = RAFT_DATA, .bytes = 10, .body = (void *)(uintptr_t)value};
	struct raft_effects fx = {0};
	uint64_t index = 0;

	if (raft_propose(l->nodes[i].raft, &e, 1, &index, &fx))
		index = 0;
	lab_effects(l, i, &fx);
	raft_effects_deinit(&fx);
	return index;
}

void
lab_isolate(struct lab *l, uint32_t i, int cut)
{
	for (uint32_t k = 0; k < LAB_NODES; k++)
		l->cut[i][k] = l->cut[k][i] = cut;
}

void
lab_cut(struct lab *l, uint32_t from, uint32_t to)
{
	l->cut[from][to] = 1;
}

void
lab_mend(struct lab *l)
{
	memset(l->cut, 0, sizeof(l->cut));
}

int
lab_agrees(const struct lab *l)
{
	int leader = newest_leader(l);
	const struct lab_node *a;

	if (leader < 0)
		return 0;
	a = &l->nodes[leader];
	if (a->applied != raft_last(a->raft))
		return 0;
	for (uint32_t i = 0; i < LAB_NODES; i++) {
		const struct lab_node *b = &l->nodes[i];

		if (b->raft && raft_member(a->raft, b->id) &&
		    (b->applied != a->applied ||
			memcmp(a->values, b->values, sizeof(a->values)) != 0))
			return 0;
	}
	return 1;
}
