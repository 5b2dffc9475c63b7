/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * walk - bytes of a connection through the parser, as a text to compare.
 *
 * Each piece is given from a copy of exactly its size and at another address,
 * so that an address sanitizer sees a byte read too far, and a kept pointer.
 */
#ifndef TESTS_HTTP_WALK_H
#define TESTS_HTTP_WALK_H

#include "src/base/buf.h"

/* How many bytes the next piece has; at least 1. */
typedef size_t (*walk_cut_fn)(void *arg);

struct walk {
	struct buf text;  /* method, target, headers and body of each request */
	struct buf extra; /* what else was found, and how it ended */
	size_t whole_n;   /* of text: that of whole requests */
	int n_requests;   /* whole ones */
	int status;       /* of the error that ended it, 0 without */
	int upgrade, keep_alive; /* of the last */
};

void walk_init(struct walk *w);
void walk_deinit(struct walk *w);
/* Until IN ends, an error, or a request after which the connection closes. */
void walk_run(struct walk *w, struct slice in, walk_cut_fn cut, void *arg);
/* The same in pieces of N bytes. */
void walk_by(struct walk *w, struct slice in, size_t n);
int walk_equal(const struct walk *a, const struct walk *b);

#endif
