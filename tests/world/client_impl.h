/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* client_impl - what the files of the clients share. */
#ifndef TESTS_WORLD_CLIENT_IMPL_H
#define TESTS_WORLD_CLIENT_IMPL_H

#include "tests/world/world.h"

#define CALL_MAGIC 0x6c6c6163u

struct call {
	uint32_t magic;
	struct world *world;
	struct client *client; /* NULL: somebody waits for `done` */
	struct node *node;
	uint64_t life; /* of the node's process */
	uint32_t stream;
	uint64_t put;
	struct model_ask ask;
	uint64_t next;  /* a read: the first seqnum behind its page */
	int other_body; /* an append that is not what the key was for */
	int done, r;
	struct vnode_put_event *events;
	uint8_t *data;
	struct process_call call;
	union {
		struct msg msg; /* first in all of them */
		struct vnode_put put;
		struct vnode_delete del;
		struct vnode_read read;
		struct vnode_list list;
		struct vnode_ping ping;
	} req;
};

/* --- client.c ---------------------------------------------------------------
 */

struct call *call_new(
    struct node *n, struct client *c, enum msg_kind kind, uint32_t stream);
void call_free(struct call *call);
struct slice call_bucket(const struct call *call);
struct slice call_name(const struct call *call);

/* --- client_ask.c: each sends it, but for ask_from ---------------------------
 */

struct call *ask_put(struct node *n, struct client *c, uint32_t stream);
/* A patch of STREAM, if something is known to be in it; else an append. */
struct call *ask_patch(struct node *n, struct client *c, uint32_t stream);
/* The append or patch of C comes again. */
struct call *ask_put_again(struct node *n, struct client *c);
struct call *ask_delete(struct node *n, struct client *c, uint32_t stream);
/* A page of all there is from FROM on; not sent yet. */
struct call *ask_from(
    struct node *n, struct client *c, uint32_t stream, uint64_t from);
struct call *ask_some(struct node *n, struct client *c, uint32_t stream);
struct call *ask_list(struct node *n, struct client *c, uint32_t stream);
struct call *ask_ping(struct node *n, struct client *c, uint32_t stream);
void call_send(struct call *call, uint32_t group);

/* --- client_check.c ---------------------------------------------------------
 */

/* Of each request; it is about a struct call. */
void call_answered(struct msg *m);
/* The process of CALL died: what it was to do may be done. */
void call_forgotten(struct call *call);

#endif
