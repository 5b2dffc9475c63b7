/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * log - lines for the operator, to standard error or to a file that is rotated.
 *
 * Shape:   one line an event, text or JSON; control characters and what is no
 *          UTF-8 are escaped, so no input can forge a line.
 * Bound:   of a message that repeats, LOG_REPEATS_MAX lines a second are
 *          written; how many more there were is said afterwards, with the next
 *          line that is.  Messages that differ in their numbers only count as
 *          one.  Debug lines are written all.
 * Thread:  any.  A line is one write; an error of it never stops the node.
 */
#ifndef SRC_BASE_LOG_H
#define SRC_BASE_LOG_H

#include <stdint.h>

#include "src/base/time.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

#define LOG_REPEATS_MAX 10

struct log; /* opaque */

struct log_config {
	const char *path; /* NULL: standard error */
	enum log_level level;
	int json;
	uint64_t rotate_bytes; /* a file that would grow beyond is renamed */
	uint32_t rotate_files; /* PATH.1, the newest, to PATH.n are kept */
	struct wall (*now)(void *ctx);
	void *ctx;
};

int log_open(struct log **out, const struct log_config *config);
/* Takes NULL, returns NULL. */
struct log *log_close(struct log *l);
/* A log that is NULL wants nothing. */
int log_wants(const struct log *l, enum log_level level);
/* From the next line on. */
void log_set_level(struct log *l, enum log_level level);
enum log_level log_get_level(const struct log *l);
void log_write(struct log *l, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
