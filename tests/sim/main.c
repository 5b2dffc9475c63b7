/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * main - the simulator's command line.
 *
 *	sim_raft [-n SEEDS] [-f FIRST] [-t TICKS] [-v VOTERS] [-m MUTANT] [-p]
 *	sim_raft -r SEED ...		replays one, with its trace
 *
 * Odd seeds are hostile.  Prints what it found; exit code 1 with a violation.
 */
#include <getopt.h>
#include <stdlib.h>

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

int
main(int argc, char **argv)
{
	struct sim_options o = {.n_ticks = 2000};
	uint64_t first = 0, n = 100, bad = 0, seed;
	struct totals t = {0};
	struct sim *s = mem_zalloc(sizeof(*s));
	int c, r;

	while ((c = getopt(argc, argv, "n:f:t:m:r:")) != -1) {
		switch (c) {
		case 'n':
			n = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			first = strtoull(optarg, NULL, 10);
			break;
		case 't':
			o.n_ticks = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			o.mutant = mutant_of(optarg);
			break;
		case 'r':
			first = strtoull(optarg, NULL, 10);
			n = 1;
			o.trace = stdout;
			break;
		default:
			return 2;
		}
	}
	for (seed = first; seed < first + n && !bad; seed++) {
		r = one(s, &o, seed, &t);
		sim_free(s);
		bad += (uint64_t)r;
		if (!r && !o.trace && seed % 100 == 0 &&
		    !same_twice(s, &o, seed)) {
			printf("seed %llu: differs from itself\n",
			    (unsigned long long)seed);
			bad++;
		}
		sim_free(s);
	}
	printf("%llu seeds: %llu elections, %llu entries acknowledged, %llu "
	       "reads, %llu fills, %llu changes of members; %s\n",
	    (unsigned long long)(seed - first), (unsigned long long)t.elections,
	    (unsigned long long)t.acked, (unsigned long long)t.reads,
	    (unsigned long long)t.fills, (unsigned long long)t.changes,
	    bad ? "VIOLATION" : "no violation");
	mem_free(s);
	return bad != 0;
}
