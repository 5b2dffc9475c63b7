/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * main - the simulator's command line.
 *
 *	sim_raft [-n SEEDS] [-f FIRST] [-t TICKS] [-m MUTANT]
 *	sim_raft -r SEED [-t TICKS]		replays one, with its trace
 *
 * Three seeds in four are hostile; each hundredth runs twice, and must be the
 * same.  Prints what it found; exit code 1 with a violation.
 */
#include <getopt.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/mem.h"
#include "src/consensus/mutants.h"
#include "tests/sim/sim.h"

struct totals {
	uint64_t acked, reads, elections, fills, changes;
};

static int
one(struct sim *s, struct sim_options *o, uint64_t seed, struct totals *t)
{
	int r;

	o->seed = seed;
	o->hostile = seed % 4 != 0;
	if (!(seed & 2))
		o->n_voters = seed % 3 == 0 ? 5 : 3;
	else
		o->n_voters = seed % 5 == 0 ? 5 : 3;
	r = sim_run(s, o);
	t->acked += s->n_acked;
	t->reads += s->n_reads;
	t->elections += s->n_elections;
	t->fills += s->n_fills;
	t->changes += s->n_changes;
	if (r)
		printf("seed %llu: %s\n", (unsigned long long)seed, s->failure);
	return r;
}

static int
same_twice(struct sim *s, struct sim_options *o, uint64_t seed)
{
	struct totals t = {0};
	uint64_t hash;

	one(s, o, seed, &t);
	hash = s->trace_hash;
	sim_free(s);
	one(s, o, seed, &t);
	return hash == s->trace_hash;
}

static int
mutant_of(const char *name)
{
	static const char *const names[] = {"",
#define NAME(x) #x,
	    RAFT_MUTANTS(NAME)
#undef NAME
	};

	for (int i = 1; i < RAFT_N_MUTANTS; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	for (int i = 1; i < RAFT_N_MUTANTS; i++)
		puts(names[i]);
	exit(2);
}

/* In a process of its own: some bugs are stopped by an assertion. */
static int
one_apart(struct sim *s, struct sim_options *o, uint64_t seed, struct totals *t)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		status = one(s, o, seed, t);
		fflush(stdout);
		_exit(status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status))
		printf("seed %llu: stopped by an assertion\n",
		    (unsigned long long)seed);
	return status != 0;
}

static int
run_seed(struct sim *s, struct sim_options *o, uint64_t seed, struct totals *t)
{
	int r = o->mutant ? one_apart(s, o, seed, t) : one(s, o, seed, t);

	sim_free(s);
	if (r || o->trace || o->mutant || seed % 100)
		return r;
	r = !same_twice(s, o, seed);
	sim_free(s);
	if (r)
		printf("seed %llu: differs from itself\n",
		    (unsigned long long)seed);
	return r;
}

static void
parse(
    int argc, char **argv, struct sim_options *o, uint64_t *first, uint64_t *n)
{
	int c;

	while ((c = getopt(argc, argv, "n:f:t:m:r:")) != -1) {
		if (c == 'n')
			*n = strtoull(optarg, NULL, 10);
		else if (c == 'f' || c == 'r')
			*first = strtoull(optarg, NULL, 10);
		else if (c == 't')
			o->n_ticks = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'm')
			o->mutant = mutant_of(optarg);
		else
			exit(2);
		if (c == 'r') {
			*n = 1;
			o->trace = stdout;
		}
	}
}

int
main(int argc, char **argv)
{
	struct sim_options o = {.n_ticks = 2000};
	uint64_t first = 0, n = 100, seed;
	struct totals t = {0};
	struct sim *s = mem_zalloc(sizeof(*s));
	int bad = 0;

	parse(argc, argv, &o, &first, &n);
	for (seed = first; seed < first + n && !bad; seed++) {
		fflush(stdout);
		bad = run_seed(s, &o, seed, &t);
	}
	printf("%llu seeds: %llu elections, %llu entries acknowledged, %llu "
	       "reads, %llu fills, %llu changes of members; %s\n",
	    (unsigned long long)(seed - first), (unsigned long long)t.elections,
	    (unsigned long long)t.acked, (unsigned long long)t.reads,
	    (unsigned long long)t.fills, (unsigned long long)t.changes,
	    bad ? "VIOLATION" : "no violation");
	mem_free(s);
	return bad;
}
