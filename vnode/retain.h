/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * retain - how long the events of a group are kept, as its log says.
 *
 *	policies of the cluster --leader--> POLICIES --apply--> in force here
 *	wall clock              --leader--> TICK     --apply--> group clock
 *	append, policies, clock --> limits of streams (kept.h) --> chunks that go
 *	base (EVENT_BASE)       --> the same, whatever the policies
 *
 * What is hidden is a function of the log alone: the policies in force, the
 * events, and the group clock.  Replicas differ only in when they look, and when
 * files go.
 *
 * A base is an event from which on a reader can begin: who appends it says that
 * nothing before it is needed any more.  So the streams of the root group, each
 * event of which says what has changed and some say all of it (ring/doc.h), take
 * room in proportion to what there is, not to how often it was changed.
 *
 * Owns:    the policies in force, and who is due when.
 * Bound:   16 bytes a stream with a max_age.
 * Thread:  the worker of the vnode.
 */
#ifndef VNODE_RETAIN_H
#define VNODE_RETAIN_H

#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/list.h"
#include "vnode/policy.h"

struct bucket;
struct kept;
struct store_worker;
struct stream;
struct vnode;

struct retain {
	struct policies *policies; /* in force; NULL: there never were any */
	int unsaved;               /* the manifest has others */
	/* Streams that time hides something of, the next one first; and so
	 * many of them now. */
	struct kept **heap;
	uint32_t n_heap, cap_heap;
	uint32_t n_expiring;
	struct list cuttable;  /* struct kept.cut: their oldest chunk may go */
	struct {               /* the leader's: retain_lead.c */
		uint32_t seen; /* store_worker.policies_count, compared with */
		uint64_t term; /* ... in this term */
		uint64_t ordered;      /* the last entry of its own */
		uint64_t ordered_term; /* ... of this term */
	} lead;
};

void retain_init(struct retain *r);
void retain_clear(struct retain *r);
/* All of FROM is TO's, which is empty. */
void retain_move(struct retain *to, struct retain *from);

/* B, S is new; retain_stream: 0 or -ERR_NOMEM. */
void retain_bucket(const struct retain *r, struct bucket *b);
int retain_stream(const struct vnode *v, struct stream *s);
/* S goes. */
void retain_forget(struct retain *r, struct stream *s);

/* --- what the log says: 0, -ERR_NOMEM, -ERR_CORRUPT ------------------------- */

/* S has got an event at group clock CLOCK_MS; a base (EVENT_BASE) hides all that
 * is before it. */
int retain_applied(
    struct vnode *v, struct stream *s, uint64_t clock_ms, int base);
/* From here on ENCODED is in force: what was hidden before stays so. */
int retain_take_policies(struct vnode *v, struct slice encoded);
/* The group clock has gone on. */
void retain_clock(struct vnode *v);
/* All that a manifest says is loaded, with TABLE in force (NULL: none): S's are
 * V's from now on. */
int retain_loaded(struct vnode *v, struct policies *table);

uint64_t retain_version(const struct retain *r);

/* --- the leader, and what becomes of files --------------------------------- */

/* V's policies are others now, or time has passed. */
void retain_lead(struct store_worker *w, struct vnode *v);
/* V is led here, and policies that W has heard of are on their way through its
 * log: what is asked waits until they are in force, so that who has heard of a
 * change, too, never reads what it hides. */
int retain_holds_up(struct store_worker *w, struct vnode *v);
/* Groups of W lead, or go by other policies, than before. */
void retain_look(struct store_worker *w);
/* Chunks of W's streams without visible events are cut off, for the checkpoint
 * that is about to be captured, or MOST streams. */
void retain_cut(struct store_worker *w, uint32_t most);

#endif
