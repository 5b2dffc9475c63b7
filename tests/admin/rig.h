/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * rig - commands in one thread, on virtual time, with a host that says what the
 * test wants.
 */
#ifndef TESTS_ADMIN_RIG_H
#define TESTS_ADMIN_RIG_H

#include "admin/command.h"
#include "tests/lib/simenv.h"

struct rig {
	struct simenv *sim;
	struct commands *commands;
	struct admin_host host;
	/* What the host answers. */
	enum admin_result result;
	int silent; /* never, until rig_speak */
	struct ring *ring, *before;
	struct ring_plan *plan;
	uint8_t *up;
	/* Runs before each view is answered; N counts from 1. */
	void (*on_view)(struct rig *rig, struct admin_view *v, unsigned n);
	void (*on_change)(struct rig *rig, struct admin_change *c);
	/* What it was asked. */
	struct admin_change asked;
	unsigned n_changes, n_views;
	struct admin_change *held_change;
	struct admin_view *held_view;
	/* What came of the last command. */
	struct command *command;
	char *text;
	size_t n_text;
	int code; /* -1: it runs */
	unsigned n_alive;
};

struct rig *rig_new(void);
void rig_free(struct rig *rig);
/* Starts LINE, words between blanks, and runs all that can run at once. */
void rig_begin(struct rig *rig, const char *line);
/* On a terminal of COLUMNS. */
void rig_begin_terminal(struct rig *rig, const char *line, uint32_t columns);
/* The same, and runs it to its end; its exit code. */
int rig_run(struct rig *rig, const char *line);
/* Time passes. */
void rig_pass(struct rig *rig, uint64_t us);
/* The host answers what it holds. */
void rig_speak(struct rig *rig);

#endif
