/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * bench - one run of iorio-bench, as its files share it: iorio_bench.c asks,
 * bench_login.c logs in, bench_verify.c reads back, bench_cli.c has the options and
 * the report.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "tests/bench/hist.h"

#define BODY_MAX 70000 /* one event */

struct bench {
	const char *mode, *host, *token, *user, *password, *bucket;
	int port, connections, streams, size, json, verify, limit, batch;
	int if_match; /* each append under the condition of the one before */
	int keys;     /* with a key; so many of 100 are sent once more */
	double seconds, rate;
	struct event_base *base;
	struct hist hist;
	uint64_t started_us, end_us, n_ok, n_failed, n_sent, bytes_in;
	uint64_t n_conflicts, n_again, n_replayed;
	uint64_t next_due_us;
	uint64_t
	    run; /* in every body: what an earlier run wrote is no concern */
	int n_open, n_bad_seq;
	struct stream_log {
		uint64_t *ids; /* acknowledged: sequence number -> event id */
		size_t n, cap;
		uint64_t newest; /* as far as somebody was told */
		uint64_t seen;   /* newest that was read back */
	} * logs;
};

/* The options; exits where they make no sense. */
void bench_parse(struct bench *b, int argc, char **argv);
/* LOST: events that are lost or changed, by bench_verify_stream. */
void bench_report(const struct bench *b, double seconds, uint64_t lost);
void bench_die(const char *what) __attribute__((noreturn));
int bench_connect(const struct bench *b, int blocking);
/* The body of event ID: JSON of exactly SIZE bytes (at least what it needs), to
 * OUT of BODY_MAX. */
int bench_body(const struct bench *b, uint64_t id, char *out);
/* A token of b->user; waits while the node cannot say. */
const char *bench_login(const struct bench *b);
/* Reads STREAM back; how many events are lost, changed or too many. */
uint64_t bench_verify_stream(const struct bench *b, int stream);

#endif
