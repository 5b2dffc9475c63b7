/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * replica_journal - what the core wants to be durable, as records, and what the
 * journal says of them.
 *
 * Invariants:
 *  1. Records of a group reach the journal in the order of the core's effects,
 *     and come back in that order.
 *  2. A record that comes back after its replica has gone (another generation)
 *     is only freed.
 */
#include "vnode/replica.h"

#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/entry.h"
#include "vnode/mutants.h"

/* Term and vote as a record: what the core remembers over a restart. */
struct hardstate {
	struct journal_append append;
	struct iovec iov;
	uint64_t seq;
	uint8_t payload[GROUP_HARDSTATE_BYTES];
};

void
replica_record(struct store_worker *w, struct vnode *v,
    struct journal_append *a, enum journal_type type, uint64_t term,
    uint64_t index)
{
	struct group *g = &v->group;

	a->head = (struct journal_head){
	    .type = (uint8_t)type,
	    .group = g->id,
	    .generation = g->generation,
	    .term = term,
	    .index = index,
	    .commit = VNODE_MUTANT(UNCOMMITTED_REPLAYED) ? raft_last(g->raft)
							 : raft_commit(g->raft),
	};
	a->worker = w->id;
	a->next = NULL;
	*w->last_chain = a;
	w->last_chain = &a->next;
	w->n_in_flight++;
	g->n_in_journal++;
}

/* SEQ of the core; 0: it has not asked for it. */
static int
record_hard(struct store_worker *w, struct vnode *v, uint64_t term,
    uint64_t vote, int damaged, uint64_t seq)
{
	struct hardstate *h = mem_zalloc(sizeof(*h));

	if (!h)
		return -ERR_NOMEM;
	h->seq = seq;
	le_put64(le_put64(h->payload, vote), damaged ? GROUP_DAMAGED : 0);
	h->iov = (struct iovec){h->payload, sizeof(h->payload)};
	h->append.n_iov = 1;
	h->append.iov = &h->iov;
	h->append.payload_bytes = sizeof(h->payload);
	h->append.payload_crc = crc32c(0, h->payload, sizeof(h->payload));
	replica_record(w, v, &h->append, JOURNAL_HARDSTATE, term, 0);
	return 0;
}

void
replica_persist_hard(struct store_worker *w, struct vnode *v, uint64_t term,
    uint64_t vote, uint64_t seq)
{
	if (record_hard(w, v, term, vote, raft_damaged(v->group.raft), seq))
		store_fatal(w->store, "term and vote", -ERR_NOMEM);
}

int
replica_say_damaged(struct store_worker *w, struct vnode *v)
{
	const struct raft *r = v->group.raft;

	return record_hard(w, v, raft_term(r), raft_vote(r), 1, 0);
}

void
replica_say_whether_damaged(struct store_worker *w, struct vnode *v)
{
	struct raft *r = v->group.raft;

	replica_persist_hard(w, v, raft_term(r), raft_vote(r), 0);
}

/* The body of an entry that the core made itself. */
static struct body *
make_body(struct vnode *v, const struct raft_entry *e, uint64_t index)
{
	uint8_t header[ENTRY_HEADER_BYTES];
	struct body *b = NULL;
	struct buf bytes;

	buf_init(&bytes, 64u << 10);
	entry_put_header(header, 1, 0);
	buf_add(&bytes, header, sizeof(header));
	if (e->kind == RAFT_MEMBERS)
		entry_add_members(&bytes, e->members);
	else
		entry_add_noop(&bytes);
	if (!buf_error(&bytes))
		b = body_copy(buf_slice(&bytes));
	buf_deinit(&bytes);
	if (b)
		raft_set_body(v->group.raft, index, b, b->bytes);
	return b;
}

void
replica_persist_entries(
    struct store_worker *w, struct vnode *v, const struct raft_effect *fx)
{
	for (uint64_t i = fx->first; i <= fx->last; i++) {
		const struct raft_entry *e = raft_entry_at(v->group.raft, i);
		struct body *b = e->body ? e->body : make_body(v, e, i);

		if (!b) {
			store_fatal(w->store, "a log entry", -ERR_NOMEM);
			return;
		}
		body_ref(b);
		b->readers++;
		b->seq = i == fx->last ? fx->seq : 0;
		b->append.n_iov = b->n_iov;
		b->append.iov = b->iov;
		b->append.payload_bytes = b->bytes;
		b->append.payload_crc = b->crc;
		replica_record(w, v, &b->append, JOURNAL_ENTRY, e->term, i);
	}
}

/* SEQ of the core is durable; 0: none of its orders ends here. */
static void
persisted(struct store_worker *w, struct vnode *v, uint64_t seq)
{
	struct group *g = &v->group;

	if (seq == 0)
		return;
	g->persisted = seq;
	if (list_empty(&g->touched))
		list_add_tail(&w->touched, &g->touched);
}

/* V: NULL when the record says nothing to the replica that is here now. */
static void
entry_recorded(struct store_worker *w, struct vnode *v, struct body *b)
{
	uint64_t index = b->append.head.index;
	struct raft *r = v ? v->group.raft : NULL;

	b->readers--;
	if (r && index > raft_base(r) && index <= raft_last(r) &&
	    raft_entry_at(r, index)->body == b)
		raft_set_position(r, index, b->append.lsn);
	if (v)
		persisted(w, v, b->seq);
	replica_release(w, b);
}

void
replica_recorded(struct store_worker *w, struct journal_append *a, int r)
{
	struct vnode *v = &w->store->vnodes[a->head.group];
	struct hardstate *h;

	if (v->group.generation == a->head.generation && v->group.raft)
		v->group.n_in_journal--;
	else
		v = NULL;
	if (r)
		v = NULL; /* nothing has become durable */
	if (a->head.type == JOURNAL_ENTRY) {
		entry_recorded(w, v, CONTAINER_OF(a, struct body, append));
		return;
	}
	if (a->head.type == JOURNAL_DROPPED) {
		retire_recorded(w, v, a);
		return;
	}
	h = CONTAINER_OF(a, struct hardstate, append);
	if (v)
		persisted(w, v, h->seq);
	mem_free(h);
}

void
replica_recorded_all(struct store_worker *w)
{
	struct list *link;

	while ((link = list_take_first(&w->touched))) {
		struct group *g = LIST_ENTRY(link, struct group, touched);
		struct vnode *v = CONTAINER_OF(g, struct vnode, group);

		raft_persisted(g->raft, g->persisted, &w->fx);
		replica_effects(w, v);
	}
}
