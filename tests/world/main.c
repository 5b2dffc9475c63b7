/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * main - the command line of the simulator of whole nodes.
 *
 *	sim_node [-n SEEDS] [-f FIRST] [-t TICKS] [-s SECONDS] [-m MUTANT]
 *	sim_node -r SEED [-t TICKS] [-v]	replays one, with its trace, and
 *						the calls of its disks
 *
 * Each fiftieth seed runs twice and must be the same.  Prints what it found and
 * how to replay it; exit code 1 with a violation.
 */
#include <getopt.h>
#include <signal.h>
#include <time.h>

#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/world/world.h"
#include "vnode/mutants.h"

/* For on_abort, which has no other way to know. */
static volatile uint64_t running_seed;
static volatile uint32_t running_ticks;

static void
print_replay(uint64_t seed, uint32_t ticks)
{
	printf("replay: scripts/sim-replay %s %llu %u\n", course_name,
	    (unsigned long long)seed, ticks);
}

/* An assertion of the code under test.  Nothing is in a state to go on, so
 * printing from a handler does no harm. */
static void
on_abort(int signo)
{
	(void)signo;
	printf("seed %llu: stopped by an assertion, or worse\n",
	    (unsigned long long)running_seed);
	print_replay(running_seed, running_ticks);
	fflush(stdout);
	_exit(1);
}

static void
add(struct world_counts *sum, const struct world_counts *c)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)c;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

/* 0, or 1 after a violation, when W is left as it is. */
static int
one(struct world *w, struct world_options *o, uint64_t seed,
    struct world_counts *sum)
{
	o->seed = running_seed = seed;
	if (world_run(w, o)) {
		printf("seed %llu: %s\n", (unsigned long long)seed, w->failure);
		print_replay(seed, o->n_ticks);
		return 1;
	}
	add(sum, &w->counts);
	world_free(w);
	return 0;
}

static int
run_seed(struct world *w, struct world_options *o, uint64_t seed,
    struct world_counts *sum)
{
	struct world_counts again = {0};
	uint64_t hash;

	if (one(w, o, seed, sum))
		return 1;
	if (o->trace || seed % 50)
		return 0;
	hash = w->hash;
	if (one(w, o, seed, &again))
		return 1;
	if (hash == w->hash)
		return 0;
	printf("seed %llu: differs from itself\n", (unsigned long long)seed);
	print_replay(seed, o->n_ticks);
	return 1;
}

#ifdef VNODE_WITH_MUTANTS
int vnode_mutant;
#endif

/* Or lists them. */
static void
choose_mutant(const char *name)
{
	const struct course_mutant *m;

	for (m = course_mutants; m->name; m++) {
		if (strcmp(m->name, name) != 0)
			continue;
#ifdef VNODE_WITH_MUTANTS
		vnode_mutant = m->number;
#endif
		if (!freopen("/dev/null", "w", stderr))
			exit(2);
		return;
	}
	for (m = course_mutants; m->name; m++)
		puts(m->name);
	exit(2);
}

static void
parse(int argc, char **argv, struct world_options *o, uint64_t *first,
    uint64_t *n, time_t *seconds)
{
	int c;

	while ((c = getopt(argc, argv, "n:f:t:r:s:m:N:v")) != -1) {
		if (c == 'm')
			choose_mutant(optarg);
		else if (c == 's')
			*seconds = (time_t)strtoul(optarg, NULL, 10);
		else if (c == 'n')
			*n = strtoull(optarg, NULL, 10);
		else if (c == 'f' || c == 'r')
			*first = strtoull(optarg, NULL, 10);
		else if (c == 't')
			o->n_ticks = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'N')
			o->n_nodes = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'v')
			o->verbose = 1;
		else
			exit(2);
		if (c == 'r') {
			*n = 1;
			o->trace = stdout;
		}
	}
}

static void
print_counts(const struct world_counts *c)
{
	printf(
	    "%.0f s of virtual time in %llu steps: %llu starts, %llu kills, "
	    "%llu power cuts, %llu disk errors, %llu stops\n"
	    "%llu appends: %llu acknowledged (%llu again), %llu refused, %llu "
	    "unknown, %llu mismatches; %llu patches, %llu too late; %llu "
	    "reads, %llu events, "
	    "%llu deletions; %llu bits turned, %llu reads found damage, %llu "
	    "chunks mended; "
	    "%llu listeners got %llu events and %llu notices\n",
	    (double)c->virtual_us / 1e6, (unsigned long long)c->steps,
	    (unsigned long long)c->starts, (unsigned long long)c->kills,
	    (unsigned long long)c->power_cuts,
	    (unsigned long long)c->disk_errors, (unsigned long long)c->stops,
	    (unsigned long long)c->appended, (unsigned long long)c->acked,
	    (unsigned long long)c->replayed, (unsigned long long)c->refused,
	    (unsigned long long)c->unknown, (unsigned long long)c->mismatches,
	    (unsigned long long)c->patched, (unsigned long long)c->conflicts,
	    (unsigned long long)c->reads, (unsigned long long)c->events_read,
	    (unsigned long long)c->deleted, (unsigned long long)c->flips,
	    (unsigned long long)c->damaged, (unsigned long long)c->mended,
	    (unsigned long long)c->followings, (unsigned long long)c->followed,
	    (unsigned long long)c->notices);
}

/* Without rings an operator places replicas, and nobody makes rings. */
static int
is_walked(int step)
{
	return course_has_rings ||
	       (step < STEP_RING_MADE && step != STEP_LEARNER_ADDED &&
		   step != STEP_PROMOTED && step != STEP_REMOVED);
}

/* So many seeds come to every step there is, and kill somebody at those that
 * are come to often, or the steps are not what they were. */
#define SEEDS_REACH 60
#define SEEDS_KILL  500
#define OFTEN       1000

static int
check_steps(const struct world_counts *c, uint64_t n_seeds)
{
	static const char *const names[] = {
#define X(NAME, name, who) name,
	    STEPS(X)
#undef X
	};
	int bad = 0;

	printf("killed at");
	for (int i = 0; i < STEP_COUNT; i++) {
		int reached = c->reached[i] || n_seeds < SEEDS_REACH;
		int killed = c->killed_at[i] || n_seeds < SEEDS_KILL ||
			     c->reached[i] < OFTEN;

		if (!is_walked(i))
			continue;
		printf(" %s %llu/%llu", names[i],
		    (unsigned long long)c->killed_at[i],
		    (unsigned long long)c->reached[i]);
		if (reached && killed)
			continue;
		printf(" (NEVER)");
		bad = 1;
	}
	printf("\n");
	return bad;
}

/* Bits turn in so many seeds, and not in vain. */
static int
check_mended(const struct world_counts *c, uint64_t n_seeds)
{
	if (course_has_rings || n_seeds < SEEDS_REACH || c->mended)
		return 0;
	printf("no chunk was mended\n");
	return 1;
}

int
main(int argc, char **argv)
{
	struct world_options o = {.n_ticks = 2000};
	struct world_counts sum = {0};
	uint64_t first = 1, n = 100, seed;
	time_t seconds = 0, begun = time(NULL);
	struct world *w = mem_zalloc(sizeof(*w));
	int bad = 0;

	ASSERT(w);
	parse(argc, argv, &o, &first, &n, &seconds);
	running_ticks = o.n_ticks;
	signal(SIGABRT, on_abort);
	signal(SIGSEGV, on_abort);
	signal(SIGBUS, on_abort);
	for (seed = first; seed - first < n && !bad; seed++) {
		if (seconds && time(NULL) - begun >= seconds)
			break;
		fflush(stdout);
		bad = run_seed(w, &o, seed, &sum);
	}
	print_counts(&sum);
	if (check_steps(&sum, seed - first) || check_mended(&sum, seed - first))
		bad = 1;
	printf("%llu seeds: %s\n", (unsigned long long)(seed - first),
	    bad ? "VIOLATION" : "no violation");
	mem_free(w);
	return bad;
}
