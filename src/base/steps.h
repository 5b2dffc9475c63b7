/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * steps - named points of what moves groups and members, so that tests can kill
 * a node at each.
 *
 * The simulator of nodes counts who gets to which, and kills some there; a node
 * built with tests stops itself at the one that TEST_STOP_AT names
 * (src/node/step_stop.c).
 */
#ifndef SRC_BASE_STEPS_H
#define SRC_BASE_STEPS_H

/* X(NAME, "name", "who gets there, and when") */
#define STEPS(X)                                                               \
	X(LEARNER_ADDED, "learner-added", "leader: a new replica is proposed") \
	X(FILL_OFFERED, "fill-offered", "leader: to a new or late replica")    \
	X(FILL_TAKEN, "fill-taken", "receiver: it asks for the manifest")      \
	X(MANIFEST_SENT, "manifest-sent", "leader")                            \
	X(MANIFEST_TAKEN, "manifest-taken", "receiver: it is whole")           \
	X(CHUNKS_SENT, "chunks-sent", "leader: a page of them")                \
	X(CHUNKS_WRITTEN, "chunks-written", "receiver: a batch, not synced")   \
	X(FILL_SYNCED, "fill-synced", "receiver: all are there")               \
	X(FILL_NAMED, "fill-named", "receiver: the manifest is on the disk")   \
	X(FILL_ADOPTED, "fill-adopted", "receiver: it is the replica")         \
	X(FILL_ENDED, "fill-ended", "leader: has heard of it")                 \
	X(PROMOTED, "promoted", "leader: a vote is proposed")                  \
	X(REMOVED, "removed", "leader: the end of a replica is proposed")      \
	X(HANDED_OVER, "handed-over", "leader: it asks another to lead")       \
	X(RETIRED, "retired", "who leaves: its end is in the journal")         \
	X(FILES_LEFT, "files-left", "who leaves: its files are put away")      \
	X(RING_MADE, "ring-made", "who asks: a ring is proposed")              \
	X(RING_WRITTEN, "ring-written", "who asks: that ring is committed")    \
	X(OWNERS_MADE, "owners-made", "claimant: slots go to their next owner")

enum step {
#define X(NAME, name, who) STEP_##NAME,
	STEPS(X)
#undef X
	    STEP_COUNT
};

#endif
