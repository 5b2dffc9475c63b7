/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * main - the simulator's command line.
 *
 *	sim_raft [-f FIRST] [-n SEEDS] [-t TICKS] [-s SECONDS] [-m MUTANT]
 *	sim_raft -r SEED [-t TICKS] [-m MUTANT]	one, with its trace
 *
 * Three seeds in four are hostile; each hundredth runs twice, and must be the
 * same.  Prints what it found, and how to see it again; exit code 1 with a
 * violation.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/sim/sim.h"

/* Shared with the process that simulates: it may end by an assertion. */
struct run {
	struct sim_options o;
	uint64_t first, n, seconds;
	uint64_t seed, done;
	uint64_t acked, reads, elections, fills, changes, healed;
};

static void
choose(struct sim_options *o, uint64_t seed)
{
	o->seed = seed;
	o->hostile = seed % 4 != 0;
	o->n_voters = seed % 3 == 0 ? 5 : 3;
	if (seed % 8 == 7)
		o->n_voters = seed % 16 == 7 ? 1 : 4;
}

static int
one(struct sim *s, struct run *run, uint64_t seed)
{
	int r;

	choose(&run->o, seed);
	r = sim_run(s, &run->o);
	run->acked += s->n_acked;
	run->reads += s->n_reads;
	run->elections += s->n_elections;
	run->fills += s->n_fills;
	run->changes += s->n_changes;
	run->healed += s->n_healed;
	if (r)
		printf("seed %llu: %s\n", (unsigned long long)seed, s->failure);
	return r;
}

static int
run_seed(struct sim *s, struct run *run, uint64_t seed)
{
	uint64_t hash;
	int r = one(s, run, seed);

	hash = s->trace_hash;
	sim_free(s);
	if (r || run->o.trace || run->o.mutant || seed % 100)
		return r;
	r = one(s, run, seed);
	sim_free(s);
	if (r || hash == s->trace_hash)
		return r;
	printf("seed %llu: differs from itself\n", (unsigned long long)seed);
	return 1;
}

static int
run_all(struct run *run)
{
	struct sim *s = mem_zalloc(sizeof(*s));
	time_t end = time(NULL) + (time_t)run->seconds;
	int bad = 0;

	ASSERT(s);
	for (run->seed = run->first; run->done < run->n && !bad; run->seed++) {
		if (run->seconds && time(NULL) >= end)
			break;
		bad = run_seed(s, run, run->seed);
		run->done++;
	}
	run->seed--;
	mem_free(s);
	return bad;
}

/* In a process of its own: some bugs are stopped by an assertion. */
static int
run_apart(struct run *run)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (run->o.mutant && !freopen("/dev/null", "w", stderr))
			_exit(2);
		status = run_all(run);
		fflush(stdout);
		exit(status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status) || WEXITSTATUS(status) > 1)
		printf("seed %llu: stopped by an assertion\n",
		    (unsigned long long)run->seed);
	return status != 0;
}

static int
mutant_of(const char *name)
{
	static const char *const names[] = {"",
#define NAME(x) #x,
	    RAFT_MUTANTS(NAME) "", SIM_MUTANTS(NAME)
#undef NAME
	};

	for (int i = 1; i < SIM_N_MUTANTS; i++)
		if (strcmp(names[i], name) == 0 && i != SIM_NO_MUTANT)
			return i;
	for (int i = 1; i < SIM_N_MUTANTS; i++)
		if (i != SIM_NO_MUTANT)
			puts(names[i]);
	exit(2);
}

static void
parse(int argc, char **argv, struct run *run)
{
	int c;

	while ((c = getopt(argc, argv, "n:f:t:s:m:r:")) != -1) {
		uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (c) {
		case 'n':
			run->n = n;
			break;
		case 'r':
			run->o.trace = stdout;
			run->n = 1;
			run->first = n;
			break;
		case 'f':
			run->first = n;
			break;
		case 't':
			run->o.n_ticks = (uint32_t)n;
			break;
		case 's':
			run->n = UINT64_MAX;
			run->seconds = n;
			break;
		case 'm':
			run->o.mutant = mutant_of(optarg);
			break;
		default:
			exit(2);
		}
	}
}

static void
report(const struct run *run, int bad)
{
	if (bad && !run->o.trace && !run->o.mutant)
		printf("replay: scripts/sim-replay raft %llu %u\n",
		    (unsigned long long)run->seed, run->o.n_ticks);
	printf("%llu seeds: %llu elections, %llu entries acknowledged, %llu "
	       "reads, %llu fills, %llu changes of members, %llu repairs; %s\n",
	    (unsigned long long)run->done, (unsigned long long)run->elections,
	    (unsigned long long)run->acked, (unsigned long long)run->reads,
	    (unsigned long long)run->fills, (unsigned long long)run->changes,
	    (unsigned long long)run->healed,
	    bad ? "VIOLATION" : "no violation");
}

int
main(int argc, char **argv)
{
	struct run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int bad;

	ASSERT(run != MAP_FAILED);
	run->o.n_ticks = 2000;
	run->n = 100;
	parse(argc, argv, run);
	fflush(stdout);
	bad = run->o.trace ? run_all(run) : run_apart(run);
	report(run, bad);
	return bad;
}
