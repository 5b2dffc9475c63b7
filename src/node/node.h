/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * node - all actors of one process put together, and taken apart in order.
 *
 * Thread:  the main thread.
 */
#ifndef SRC_NODE_NODE_H
#define SRC_NODE_NODE_H

#include "src/base/conf.h"
#include "src/base/log.h"

#define NODE_WHY_BYTES 1024

struct node_options {
	struct conf *conf;
	const char *root; /* of the release tree */
	struct log_config log;
	/* The configuration once more: reload.h. */
	int (*load)(
	    void *load_arg, struct conf **out, char why[CONF_WHY_BYTES]);
	void *load_arg;
	/* Called once requests are served. */
	void (*up)(void *arg);
	void *arg;
};

/* Runs until a signal stops it.  0 after a clean stop; else WHY is one line. */
int node_run(const struct node_options *options, char why[NODE_WHY_BYTES]);

/* What log.level says. */
enum log_level node_log_level(const struct conf *c);

/* SCHEME://IP:PORT, with brackets where IP needs them. */
void node_url(
    const char *scheme, const char *ip, uint16_t port, char *out, size_t n);

#endif
