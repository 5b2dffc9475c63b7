/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * replica - a vnode's part in its group: carries out what the consensus core
 * decides, on the journal, the other replicas and the state machine.
 *
 * The journal, of all groups of the node at once, makes entries, terms and
 * votes durable; the outbox takes what goes to other nodes; both leave at the
 * end of the worker's turn.  Nothing is answered before it is committed.
 *
 * Owns:    the core of the group, and the bodies in its log.
 * Thread:  the worker of the group.
 * Source:  cluster.md sections 6 and 7.1.
 */
#ifndef VNODE_REPLICA_H
#define VNODE_REPLICA_H

#include "vnode/store_impl.h"

/* The core of V from STATE; entries follow by raft_restore.  -ERR_NOMEM. */
int replica_open(
    struct store *s, struct vnode *v, const struct raft_state *state);
/* There is no replica here any more, as far as memory goes. */
void replica_close(struct store_worker *w, struct vnode *v);
/* Once the workers run: a group of one elects itself. */
void replica_start(struct store_worker *w, struct vnode *v);

/* Time has passed. */
void replica_tick(struct store_worker *w, struct vnode *v);

/* Carries out what the last event of V's core wants. */
void replica_effects(struct store_worker *w, struct vnode *v);

/* The open entry is proposed; nothing happens without one. */
void replica_propose(struct store_worker *w, struct vnode *v);

/* Another voter shall lead: the one that has most of the log. */
void replica_hand_over(struct store_worker *w, struct vnode *v);

/* The node cannot go on: whoever waits is answered. */
void replica_abandon(struct store_worker *w, struct vnode *v);

/* Whether it leads and all that was committed before is applied. */
int replica_is_ready(const struct vnode *v);
/* It is its own majority. */
int replica_is_alone(const struct vnode *v);
/* How many voters are known to have INDEX on their disks. */
uint32_t replica_count(const struct vnode *v, uint64_t index);

/* A reference of the journal, a frame or the log has been given back. */
void replica_release(struct store_worker *w, struct body *b);
void replica_worker_init(struct store_worker *w);

/* --- replica_journal.c ---------------------------------------------------- */

/* A, whose payload is filled in, joins the records of this turn. */
void replica_record(struct store_worker *w, struct vnode *v,
    struct journal_append *a, enum journal_type type, uint64_t term,
    uint64_t index);
/* Term and vote, and the entries of FX, as the core wants them. */
void replica_persist_hard(struct store_worker *w, struct vnode *v,
    uint64_t term, uint64_t vote, uint64_t seq);
void replica_persist_entries(
    struct store_worker *w, struct vnode *v, const struct raft_effect *fx);
/* A record of a group is durable, or (R) never will be; after all of them: */
void replica_recorded(struct store_worker *w, struct journal_append *a, int r);
void replica_recorded_all(struct store_worker *w);
/* For the next start: its log has a hole.  -ERR_NOMEM. */
int replica_say_damaged(struct store_worker *w, struct vnode *v);
/* For the next start: whether it has one.  What is lost may not show then. */
void replica_say_whether_damaged(struct store_worker *w, struct vnode *v);

/* --- replica_net.c -------------------------------------------------------- */

/* M, of the core of V, goes to its addressee. */
void replica_send(
    struct store_worker *w, struct vnode *v, const struct raft_msg *m);
/* A frame from another node: the messages for groups of W. */
void replica_frame(struct store_worker *w, struct net_frame *f);
/* Messages that wait for bodies are dropped. */
void replica_let_go(struct store_worker *w, struct vnode *v);
/* The node of member ID of V's group; NULL: not known. */
const uint8_t *replica_node(const struct vnode *v, raft_id id);

/* --- retire.c ------------------------------------------------------------- */

/* A committed configuration does not have this replica. */
void retire_removed(struct vnode *v);
void retire_tick(struct store_worker *w, struct vnode *v);
/* The record that says so is durable; V is NULL when it has gone already. */
void retire_recorded(
    struct store_worker *w, struct vnode *v, struct journal_append *a);
/* No leader has been heard of for seconds. */
int retire_hears_nobody(const struct store_worker *w, const struct vnode *v);
/* It takes part in nothing any more. */
int retire_is_under_way(const struct vnode *v);
/* FLOOR, or lower: what the journal may forget. */
lsn_t retire_floor(const struct vnode *v, lsn_t floor);

/* --- placing.c ------------------------------------------------------------ */

/* The leader's next step to where its group should be. */
void placing_tick(struct store_worker *w, struct vnode *v);
/* V's disk lacks what another replica needs: one that has it should lead. */
void placing_let_another(struct store_worker *w, struct vnode *v);
/* The place of this replica in the preference list. */
uint32_t placing_rank(const struct store *s, const struct vnode *v);

/* --- requests.c: who may be answered, and when ---------------------------- */

/* REQ reads or writes V, or waits until it is known who leads. */
void request_take(struct store_worker *w, struct vnode *v, struct msg *m);
/* Role or leader have changed, or time has passed. */
void request_retry(struct store_worker *w, struct vnode *v);
/* The core has confirmed the read CTX: done once INDEX is applied. */
void request_confirmed(
    struct store_worker *w, struct vnode *v, uint64_t ctx, uint64_t index);
/* The core leads no more: the read CTX looks for who does. */
void request_lost(struct store_worker *w, struct vnode *v, uint64_t ctx);
void request_applied(struct store_worker *w, struct vnode *v);
/* M, a write, has its answer, which goes once all that is in the log is
 * committed. */
void request_settled(struct store_worker *w, struct vnode *v, struct msg *m);
/* This replica leads no more: such answers may rest on what is lost. */
void request_deposed(struct store_worker *w, struct vnode *v);
/* M is answered with R. */
void request_refuse(
    struct store_worker *w, struct vnode *v, struct msg *m, int r);
/* All that waits is answered with R. */
void request_fail_all(struct store_worker *w, struct vnode *v, int r);

#endif
