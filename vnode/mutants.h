/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * mutants - bugs of a host of replicas to have, so that the simulator of whole
 * nodes can be asked whether it finds them.  Compiled only into that
 * (-Dmutants=true); else VNODE_MUTANT is 0.
 */
#ifndef VNODE_MUTANTS_H
#define VNODE_MUTANTS_H

#define VNODE_MUTANTS(X)                                                       \
	X(SEGMENT_GENERATION_NOT_CHECKED)                                      \
	X(OLD_GENERATION_ACCEPTED)                                             \
	X(DAMAGED_JOURNAL_VOTES)                                               \
	X(DAMAGED_FILES_RECYCLED)                                              \
	X(TORN_RECORD_ACCEPTED)                                                \
	X(ACK_BEFORE_SYNC)                                                     \
	X(SYNC_TRIED_AGAIN)                                                    \
	X(JOURNAL_LETS_GO_TOO_SOON)                                            \
	X(HARD_STATE_NOT_REPLAYED)                                             \
	X(UNCOMMITTED_REPLAYED)                                                \
	X(MANIFEST_WITHOUT_VOTE)                                               \
	X(MANIFEST_WITHOUT_TERM)                                               \
	X(MANIFEST_BEFORE_CHUNKS)                                              \
	X(MANIFEST_NOT_SYNCED)                                                 \
	X(ANSWER_BEFORE_COMMIT)                                                \
	X(REFUSED_THOUGH_PROPOSED)                                             \
	X(READ_WITHOUT_ROUND)                                                  \
	X(LEADS_BEFORE_APPLIED)                                                \
	X(CLOCK_GOES_BACK)                                                     \
	X(FILL_KEEPS_OLD_LOG)                                                  \
	X(FILL_NOT_SYNCED)                                                     \
	X(FILL_TAKES_LEADERS_VOTE)                                             \
	X(KEYS_NOT_TAKEN)                                                      \
	X(KEYS_NOT_IN_MANIFEST)                                                \
	X(PATCH_IN_ONE_STREAM)                                                 \
	X(DELETE_NOT_SAVED)                                                    \
	X(ENDED_NOT_IN_MANIFEST)                                               \
	X(ENDED_NOT_FILLED)                                                    \
	X(WATCH_WAKES_ONCE)                                                    \
	X(NEWS_BEGIN_TOO_LATE)                                                 \
	X(FILES_GO_BEFORE_CHECKPOINT)

/* Those of retention: tests/vnode/test_retain.c finds them, too. */
#define RETAIN_MUTANTS(X)                                                      \
	X(LOOSENED_SHOWS_AGAIN)                                                \
	X(CUT_NOT_SAVED)                                                       \
	X(CUT_TOO_MUCH)                                                        \
	X(BASE_NOT_REPLAYED)

/* Those of repairs: tests/vnode/test_repair.c finds them. */
#define REPAIR_MUTANTS(X)                                                      \
	X(REPAIR_NOT_VERIFIED)                                                 \
	X(REPAIR_NOT_SYNCED)                                                   \
	X(REPAIR_TRUSTS_OTHERS)                                                \
	X(REPAIR_WITHOUT_END)

/* Those that take more than one cluster, or a ring that changes. */
#define CLUSTER_MUTANTS(X)                                                     \
	X(FLIP_BEFORE_ARRIVAL)                                                 \
	X(REMOVED_BEFORE_PROMOTED)                                             \
	X(JOIN_ANSWERED_BEFORE_COMMIT)                                         \
	X(EDIT_WITHOUT_CONDITION)                                              \
	X(IDENTITY_BEFORE_RING)                                                \
	X(JOINED_NODE_FOUNDS)                                                  \
	X(EXIT_BEFORE_ARRIVAL)                                                 \
	X(REMOVED_NEVER_ASKS)                                                  \
	X(CALL_IDS_COME_AGAIN)

enum vnode_mutant {
	VNODE_NO_MUTANT,
#define VNODE_MUTANT_ENUM(name) VNODE_##name,
	VNODE_MUTANTS(VNODE_MUTANT_ENUM) CLUSTER_MUTANTS(VNODE_MUTANT_ENUM)
	    RETAIN_MUTANTS(VNODE_MUTANT_ENUM) REPAIR_MUTANTS(VNODE_MUTANT_ENUM)
#undef VNODE_MUTANT_ENUM
		VNODE_N_MUTANTS
};

#ifdef VNODE_WITH_MUTANTS
extern int vnode_mutant; /* of the program that simulates */
#define VNODE_MUTANT(name) (vnode_mutant == VNODE_##name)
#else
#define VNODE_MUTANT(name) 0
#endif

#endif
