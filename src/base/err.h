/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * err - the one table of error codes.
 *
 * Every function that can fail returns int: 0 ok; < 0 is -ERR_* from here,
 * passed on unchanged and interpreted only by main, the HTTP edge and the admin
 * edge; > 0 is a condition that the function's own header documents.
 */
#ifndef SRC_BASE_ERR_H
#define SRC_BASE_ERR_H

/* X(name, text): the text is fit for a person, without a final full stop. */
#define ERR_TABLE(X)                                                           \
	X(NOMEM, "out of memory")                                              \
	X(IO, "input/output error")                                            \
	X(NOSPC, "no space left on the disk")                                  \
	X(NOTFOUND, "not found")                                               \
	X(EXISTS, "already exists")                                            \
	X(PERM, "permission denied")                                           \
	X(INVAL, "invalid value")                                              \
	X(LIMIT, "limit exceeded")                                             \
	X(CORRUPT, "damaged data")                                             \
	X(FORMAT, "unknown format version")                                    \
	X(IDENTITY, "data of another cluster, node or replica")                \
	X(LOCKED, "in use by another process")                                 \
	X(INUSE, "address already in use")                                     \
	X(FILETYPE, "not the kind of file that it must be")                    \
	X(TIMEOUT, "timed out")                                                \
	X(UNAVAILABLE, "not available now")                                    \
	X(NOTLEADER, "not the leader")                                         \
	X(BUSY, "busy, try again")                                             \
	X(CONFLICT, "the condition does not hold")                             \
	X(UNKNOWN, "outcome unknown")                                          \
	X(STOPPING, "the node is stopping")                                    \
	X(CANCELED, "canceled")                                                \
	X(EOF, "unexpected end")                                               \
	X(SYSTEM, "system call failed")                                        \
	X(BUG, "internal error")                                               \
	X(MISMATCH, "the idempotency key was used for another request")        \
	X(NOBODY, "nobody answers at the handoff address of the sender")       \
	X(STRANGER, "a stranger answers at the handoff address of the sender") \
	X(ITSELF, "the handoff address of the sender is the receiver's own")

enum err {
	ERR_NONE = 0,
#define ERR_ENUM(name, text) ERR_##name,
	ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
	    ERR_COUNT
};

/* The text of R (negative or positive code alike); never NULL. */
const char *err_text(int r);

/* -ERR_* for an errno value; -ERR_SYSTEM when it has no code of its own. */
int err_from_errno(int e);

#endif
