/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * admin_host - what iorio-admin can see and ask of this node and its cluster.
 *
 * Thread:  worker 0, but for open and close.
 */
#ifndef SRC_NODE_ADMIN_HOST_H
#define SRC_NODE_ADMIN_HOST_H

#include "admin/host.h"
#include "src/base/env.h"
#include "src/base/log.h"

struct node_admin; /* opaque */
struct http_view;
struct core;
struct reload;
struct expose;

struct node_admin_config {
	const struct env *env;
	struct log *log;
	struct reload *reload;
	struct core *core;
	struct logins *logins;
	const char *self; /* our name */
	/* This node was let into the cluster of RING: it goes on there.  Once
	 * whoever asked was told. */
	void (*joined)(void *arg, struct ring *ring);
	/* Writes all metrics; worker 0. */
	void (*expose)(void *arg, struct expose *e);
	void *arg;
};

/* Everything in CONFIG is borrowed until node_admin_free.  NULL: no memory. */
struct node_admin *node_admin_new(const struct node_admin_config *config);
/* GET /cluster; any worker. */
void node_admin_view(struct node_admin *a, struct http_view *v);
const struct admin_host *node_admin_host(struct node_admin *a);
/* Takes NULL, returns NULL. */
struct node_admin *node_admin_free(struct node_admin *a);

#endif
