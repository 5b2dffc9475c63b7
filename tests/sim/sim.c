/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* sim - virtual time: a heap of events, and the loop over it. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <string.h>

#include "src/base/assert.h"
#include "src/base/mem.h"

#define TICK_US 10000

/* xorshift64* */
uint64_t
sim_random(struct sim *s)
{
	s->rng ^= s->rng >> 12;
	s->rng ^= s->rng << 25;
	s->rng ^= s->rng >> 27;
	return s->rng * 0x2545f4914f6cdd1du;
}

uint64_t
sim_below(struct sim *s, uint64_t n)
{
	return (sim_random(s) >> 11) % n;
}

int
sim_chance(struct sim *s, uint32_t p)
{
	return sim_below(s, 1000) < p;
}

uint32_t
sim_slot(const struct sim *s, const struct sim_node *n)
{
	return (uint32_t)(n - s->nodes);
}

void
sim_trace(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->o.trace)
		return;
	fprintf(s->o.trace, "%9.3f ms  ", (double)s->now / 1000);
	va_start(ap, fmt);
	vfprintf(s->o.trace, fmt, ap);
	va_end(ap);
	fputc('\n', s->o.trace);
}

void
sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->failure, sizeof(s->failure), fmt, ap);
	va_end(ap);
	sim_trace(s, "VIOLATION: %s", s->failure);
	longjmp(s->out, 1);
}

/* --- the heap ------------------------------------------------------------- */

static int
before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at < b->at || (a->at == b->at && a->tie < b->tie);
}

static void
push(struct sim *s, struct sim_event *ev)
{
	uint32_t i = s->n_heap++;

	if (i == s->cap_heap) {
		s->cap_heap = s->cap_heap ? s->cap_heap * 2 : 256;
		s->heap = mem_realloc(
		    s->heap, s->cap_heap * sizeof(struct sim_event *));
		ASSERT(s->heap);
	}
	for (; i > 0 && before(ev, s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = ev;
}

static struct sim_event *
pop(struct sim *s)
{
	struct sim_event *top = s->heap[0], *last = s->heap[--s->n_heap];
	uint32_t i = 0;

	for (;;) {
		uint32_t k = 2 * i + 1;

		if (k >= s->n_heap)
			break;
		if (k + 1 < s->n_heap && before(s->heap[k + 1], s->heap[k]))
			k++;
		if (!before(s->heap[k], last))
			break;
		s->heap[i] = s->heap[k];
		i = k;
	}
	s->heap[i] = last;
	return top;
}

struct sim_event *
sim_schedule(
    struct sim *s, enum sim_event_type type, uint32_t slot, uint64_t in_us)
{
	struct sim_event *ev = mem_zalloc(sizeof(*ev));

	ASSERT(ev);
	ev->at = s->now + in_us;
	ev->tie = s->tie++;
	ev->type = type;
	ev->slot = slot;
	ev->boot = s->nodes[slot].boot;
	ev->life = s->nodes[slot].life;
	push(s, ev);
	return ev;
}

/* --- the loop ------------------------------------------------------------- */

/* For a process that still is what it was when EV was scheduled. */
static void
handle_live(struct sim *s, struct sim_event *ev)
{
	struct sim_node *n = &s->nodes[ev->slot];

	switch (ev->type) {
	case EV_MSG:
		net_deliver(s, ev);
		break;
	case EV_SYNC:
		disk_synced(s, n);
		break;
	case EV_UNKNOWN:
		fill_unknown(s, ev);
		break;
	case EV_CRASH:
		chaos_crash(s, n);
		break;
	case EV_MUTE:
		chaos_mute(s, n, 1);
		break;
	case EV_HEARD:
		chaos_mute(s, n, 0);
		break;
	case EV_FORGET:
		chaos_forget(s, n, ev->from_slot);
		break;
	case EV_OPERATOR:
		people_watch(s, n);
		break;
	case EV_RESUME:
		n->stopped = 0;
		break;
	case EV_FILL:
	case EV_START:
		ASSERT_UNREACHED();
	}
}

static void
handle(struct sim *s, struct sim_event *ev)
{
	struct sim_node *n = &s->nodes[ev->slot];

	if (ev->type == EV_FILL) {
		fill_arrives(s, ev);
	} else if (ev->type == EV_START) {
		if (!n->up && n->life == ev->life && n->id)
			node_start(s, n);
	} else if (n->up && n->boot == ev->boot &&
		   (n->life == ev->life || ev->type == EV_MSG)) {
		handle_live(s, ev);
	}
}

static void
run_until(struct sim *s, uint64_t end)
{
	while (s->n_heap && s->heap[0]->at <= end) {
		struct sim_event *ev = pop(s);

		s->now = ev->at;
		handle(s, ev);
		net_event_free(ev);
	}
	s->now = end;
}

static void
run(struct sim *s)
{
	uint32_t calm = s->o.n_ticks * 3 / 4;

	chaos_begin(s);
	people_found_group(s);
	for (uint32_t tick = 0; tick < s->o.n_ticks; tick++) {
		run_until(s, s->now + TICK_US);
		for (uint32_t i = 0; i < SIM_NODES; i++)
			if (s->nodes[i].up && !s->nodes[i].stopped)
				node_tick(s, &s->nodes[i]);
		check_tick(s);
		if (tick == calm)
			chaos_end(s);
		s->last_ticks = tick + 100 > s->o.n_ticks;
		people_tick(s);
		if (!s->quiet)
			chaos_tick(s);
	}
	check_converged(s);
}

int
sim_run(struct sim *s, const struct sim_options *o)
{
	memset(s, 0, sizeof(*s));
	s->o = *o;
	s->rng = (o->seed + 1) * 0x9e3779b97f4a7c15u | 1;
	s->now = 1;
	s->trace_hash = 0xcbf29ce484222325u;
	for (int i = 0; i < 8; i++)
		sim_random(s);
	mem_set_hook(sim_refuses, s);
	if (setjmp(s->out))
		return 1;
	run(s);
	return 0;
}

void
sim_free(struct sim *s)
{
	mem_set_hook(NULL, NULL);
	while (s->n_heap)
		net_event_free(s->heap[--s->n_heap]);
	s->heap = mem_free(s->heap);
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		s->nodes[i].raft = raft_free(s->nodes[i].raft);
		disk_forget(&s->nodes[i]);
	}
	while (s->n_pool)
		mem_free(s->pool[--s->n_pool]);
}
