/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* command_parse - from arguments to a row of the table. */
#ifndef ADMIN_COMMAND_PARSE_H
#define ADMIN_COMMAND_PARSE_H

struct command;

enum parse {
	PARSE_OK,
	PARSE_MISUSED, /* word is its row */
	PARSE_CLUSTER, /* `cluster` and no word that it knows */
	PARSE_UNKNOWN,
};

/* Takes words and options out of C's args and sets its row and options;
 * --format counts also where the rest is wrong. */
enum parse command_parse(struct command *c);

#endif
