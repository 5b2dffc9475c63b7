/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * mutants - bugs to have, so that the simulator can be asked whether it finds
 * them (-Dmutants=true builds it a second time with them; everywhere else MUTANT is
 * 0 and nothing of it is compiled).
 */
#ifndef SRC_CONSENSUS_MUTANTS_H
#define SRC_CONSENSUS_MUTANTS_H

#define RAFT_MUTANTS(X)                                                        \
	X(VOTE_NOT_PERSISTED)                                                  \
	X(TERM_NOT_PERSISTED)                                                  \
	X(VOTE_ANSWERED_BEFORE_SYNC)                                           \
	X(VOTES_ASKED_BEFORE_SYNC)                                             \
	X(VOTES_TWICE_A_TERM)                                                  \
	X(VOTES_FOR_OLDER_LOG)                                                 \
	X(COUNTS_A_VOTE_TWICE)                                                 \
	X(HALF_IS_A_MAJORITY)                                                  \
	X(ACK_BEFORE_SYNC)                                                     \
	X(LEADER_COUNTS_UNSYNCED)                                              \
	X(APPLY_BEYOND_DURABLE)                                                \
	X(DURABLE_NOT_LOWERED)                                                 \
	X(PERSISTED_MEANS_ALL)                                                 \
	X(NO_TRUNCATION)                                                       \
	X(DUPLICATE_TRUNCATES)                                                 \
	X(NO_PREVIOUS_CHECK)                                                   \
	X(OLD_LEADER_OBEYED)                                                   \
	X(COMMIT_UNVERIFIED)                                                   \
	X(COMMIT_OLD_TERMS)                                                    \
	X(OLD_ACKS_COUNT)                                                      \
	X(REJECTS_COUNT_AS_ACKS)                                               \
	X(LEARNER_COUNTED)                                                     \
	X(LEARNER_CAMPAIGNS)                                                   \
	X(DAMAGED_VOTES)                                                       \
	X(DAMAGED_ACKS)                                                        \
	X(DAMAGED_CONFIRMS)                                                    \
	X(DAMAGED_CAMPAIGNS)                                                   \
	X(HEALED_TOO_EARLY)                                                    \
	X(HEALED_BY_ANY_LEADER)                                                \
	X(OLD_ACKS_OF_DAMAGED)                                                 \
	X(READ_WITHOUT_ROUND)                                                  \
	X(READ_CONFIRMED_BY_OLD_ROUND)                                         \
	X(READ_BEFORE_COMMIT_OF_TERM)                                          \
	X(CHANGE_BEFORE_COMMIT_OF_TERM)                                        \
	X(TWO_CHANGES_AT_ONCE)                                                 \
	X(MEMBERS_NOT_REVERTED)                                                \
	X(PROMOTED_AT_ONCE)                                                    \
	X(FILL_KEEPS_OLD_LOG)                                                  \
	X(FILL_DROPS_TAIL)                                                     \
	X(FILL_KEEPS_TERM)                                                     \
	X(FILL_GOES_BACK)                                                      \
	X(FILL_FORGETS_MEMBERS)                                                \
	X(FILL_KEEPS_UNSYNCED_TAIL)                                            \
	X(CREATED_BEFORE_COMMIT)                                               \
	X(RESTORE_KEEPS_REPLACED)                                              \
	X(SPEAKS_AFTER_FAILURE)                                                \
	X(REJECTS_IGNORED)                                                     \
	X(REMOVED_LEADER_STAYS)

enum raft_mutant {
	RAFT_NO_MUTANT,
#define RAFT_MUTANT_ENUM(name) RAFT_##name,
	RAFT_MUTANTS(RAFT_MUTANT_ENUM)
#undef RAFT_MUTANT_ENUM
	    RAFT_N_MUTANTS
};

#ifdef RAFT_WITH_MUTANTS
#define MUTANT(r, name) ((r)->config.mutant == RAFT_##name)
#else
#define MUTANT(r, name) 0
#endif

#endif
