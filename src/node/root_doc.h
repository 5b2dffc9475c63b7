/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * root_doc - a document of the root group (ring/doc.h): as far as this node has
 * it, and changes of it.
 *
 * A node goes by what was applied to its own replica of the root.  A change asks
 * the root's leader which event is the newest, waits until that one is here, and
 * appends the next under the condition that nobody was faster.  So a refusal rests
 * on what is committed, like a success.
 *
 * Owns:    the document, edits until they are done.
 * Thread:  worker 0.
 */
#ifndef SRC_NODE_ROOT_DOC_H
#define SRC_NODE_ROOT_DOC_H

#include "ring/doc.h"
#include "src/base/env.h"
#include "src/base/log.h"
#include "src/node/router.h"

struct root_doc; /* opaque */

struct root_doc_config {
	const struct env *env;
	struct log *log;
	struct router *router;
	uint16_t group;     /* the root */
	const char *stream; /* in ROOT_BUCKET */
	uint64_t timeout_us;
	/* The document is another one. */
	void (*changed)(void *arg);
	void *arg;
};

struct root_doc *root_doc_new(const struct root_doc_config *config);
struct root_doc *root_doc_free(struct root_doc *d); /* NULL: NULL */

/* Events were applied to the root, or may have been. */
void root_doc_look(struct root_doc *d);
void root_doc_tick(struct root_doc *d);
/* No edits from now on; those under way fail. */
void root_doc_stop(struct root_doc *d);

/* Borrowed until the next turn; doc_seq 0: none was seen yet. */
const struct doc *root_doc_now(const struct root_doc *d);
/* The replica here was read, and had no event of it. */
int root_doc_is_empty(const struct root_doc *d);

enum root_edit_when {
	ROOT_EDIT_NEXT,  /* -ERR_UNAVAILABLE while there is no document */
	ROOT_EDIT_FIRST, /* and when there is one */
	ROOT_EDIT_ANY,
};

struct root_edit {
	/* *CHANGE becomes what changes in NOW, the newest; NULL: nothing does.
	 * Asked again when somebody was faster. */
	int (*make)(
	    struct root_edit *e, const struct doc *now, struct doc **change);
	/*
	 * The end.  R 0: committed, if there was anything to change, and SEQ is
	 * the event that it rests on.  -ERR_UNAVAILABLE: not proposed, no
	 * majority of the root; -ERR_UNKNOWN: perhaps; what MAKE returned.
	 */
	void (*done)(struct root_edit *e, int r);
	enum root_edit_when when;
	uint64_t seq;
	uint64_t until_us; /* root_doc's: not begun later than this */
	struct root_edit *next;
};

#define ROOT_EDITS_MAX 256

/* E is the caller's, until DONE, which may run before this returns. */
void root_doc_edit(struct root_doc *d, struct root_edit *e);

#endif
