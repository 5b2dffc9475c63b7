/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * world - virtual time over several nodes: a heap of events, and the loop.
 *
 * The next step is that of the event or node with the lowest time.  A node's
 * step takes up to step_max_us of its own clock, so nodes are apart by that at
 * most, and nothing that one sends can reach another in its past.
 */
#include "tests/world/world.h"

#include <stdarg.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"
#include "tests/world/arena.h"

#define START_US 1000000 /* what simenv begins with */

uint64_t
world_below(struct world *w, uint64_t n)
{
	return chance_below(&w->chance, n);
}

uint64_t
world_between(struct world *w, uint64_t from, uint64_t to)
{
	return from + chance_below(&w->chance, to - from + 1);
}

int
world_one_in(struct world *w, uint64_t n)
{
	return n && chance_one_in(&w->chance, n);
}

void
world_trace(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->o.trace)
		return;
	fprintf(w->o.trace, "%12.3f ms  ", (double)w->now_us / 1000);
	va_start(ap, fmt);
	vfprintf(w->o.trace, fmt, ap);
	va_end(ap);
	fputc('\n', w->o.trace);
}

void
world_note(struct world *w, uint64_t v)
{
	w->hash = hash64(&v, sizeof(v), w->hash);
}

void
world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	arena_enter(0);
	va_start(ap, fmt);
	vsnprintf(w->failure, sizeof(w->failure), fmt, ap);
	va_end(ap);
	world_trace(w, "VIOLATION: %s", w->failure);
	longjmp(w->out, 1);
}

/* --- the heap ---------------------------------------------------------------
 */

static int
before(const struct happening *a, const struct happening *b)
{
	return a->at_us < b->at_us || (a->at_us == b->at_us && a->tie < b->tie);
}

void
world_schedule(struct world *w, uint64_t in_us, struct happening ev)
{
	uint32_t i = w->n_heap++;

	if (i == w->cap_heap) {
		w->cap_heap = w->cap_heap ? w->cap_heap * 2 : 256;
		w->heap = mem_realloc(w->heap, w->cap_heap * sizeof(*w->heap));
		ASSERT(w->heap);
	}
	ev.at_us = w->now_us + in_us;
	ev.tie = w->tie++;
	for (; i > 0 && before(&ev, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = ev;
}

static struct happening
pop(struct world *w)
{
	struct happening top = w->heap[0], last = w->heap[--w->n_heap];
	uint32_t i = 0, k;

	while ((k = 2 * i + 1) < w->n_heap) {
		if (k + 1 < w->n_heap && before(&w->heap[k + 1], &w->heap[k]))
			k++;
		if (!before(&w->heap[k], &last))
			break;
		w->heap[i] = w->heap[k];
		i = k;
	}
	w->heap[i] = last;
	return top;
}

/* --- the loop ---------------------------------------------------------------
 */

/* What comes next in the world; it never ends, since ticks go on. */
static void
step(struct world *w)
{
	struct node *next = NULL;
	uint64_t at = UINT64_MAX;

	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];
		uint64_t t;

		if (n->state == NODE_DOWN)
			continue;
		t = simenv_next(n->sim).us;
		if (t < at) {
			at = t;
			next = n;
		}
	}
	w->counts.steps++;
	if (w->n_heap && w->heap[0].at_us <= at) {
		struct happening ev = pop(w);

		w->now_us = ev.at_us;
		ev.run(w, &ev);
		return;
	}
	ASSERT(next);
	if (at > w->now_us)
		w->now_us = at;
	node_step(next);
}

int
world_run_until(
    struct world *w, int (*cond)(void *arg), void *arg, uint64_t for_us)
{
	uint64_t end = w->now_us + for_us;
	int r;

	while ((r = cond(arg)) == 0 && w->now_us < end)
		step(w);
	return r;
}

/* --- a history --------------------------------------------------------------
 */

static void
on_tick(struct world *w, struct happening *ev)
{
	if (ev->detail) {
		chaos_tick(w);
		ev->detail--;
	}
	policies_check(w, (uint32_t)(w->now_us / TICK_US % w->n_groups));
	world_schedule(w, TICK_US, *ev);
}

/* Sizes so small that segments are recycled, checkpoints due and files closed
 * all the time. */
static void
draw_store(struct world *w)
{
	uint64_t segment = 4096 * world_between(w, 20, 60);

	w->store = (struct store_config){
	    .dir = "c",
	    .cluster_id = "0123456789abcde",
	    .n_groups = w->n_groups,
	    .found = 1,
	    .segment_bytes = segment,
	    .journal_max_bytes = segment * world_between(w, 4, 12),
	    .grace_us = 3000000,
	    .disk_reserve_bytes = world_below(w, 2) * 65536,
	    .request_timeout_us = world_between(w, 200000, 5000000),
	    .dirty_max_bytes = world_between(w, 16384, 1 << 20),
	    .clean_max_bytes = world_between(w, 1, 65536),
	    .files_max = (uint32_t)world_between(w, 4, 32),
	    .checkpoint_bytes = world_between(w, 8192, 262144),
	    .key_window_ms = 1ull << 50, /* clocks jump */
	};
}

static void
create(struct world *w)
{
	w->chance.state = w->o.seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	w->now_us = START_US;
	w->n_nodes = w->o.n_nodes;
	if (!w->n_nodes)
		w->n_nodes = (uint32_t[]){1, 3, 3, 5}[w->o.seed % 4];
	w->hasty = world_one_in(w, 2);
	w->n_groups = 1u << world_between(w, 1, 3); /* as rings have */
	w->n_clients = (uint32_t)world_between(w, 1, WORLD_CLIENTS);
	w->step_max_us = world_one_in(w, 2) ? 200 : 2000;
	w->think_us = world_between(w, 1, 40) * 5000;
	w->deletes = (uint32_t[]){0, 3, 10}[w->o.seed / 4 % 3];
	w->n_logs = w->n_groups;
	course_draw(w);
	model_init(
	    &w->model, (uint32_t)world_between(w, 1, MODEL_PLAIN), w->n_groups);
	draw_store(w);
	net_heal(w);
	for (uint32_t i = 0; i < w->n_nodes; i++)
		node_create(w, i);
}

int
world_none_waiting(void *arg)
{
	return clients_waiting(arg) == 0;
}

int
world_all_up(void *arg)
{
	struct world *w = arg;

	for (uint32_t i = 0; i < w->n_nodes; i++)
		if (w->nodes[i].state != NODE_UP)
			return 0;
	return 1;
}

int
world_all_stopped(void *arg)
{
	struct world *w = arg;

	for (uint32_t i = 0; i < w->n_nodes; i++)
		if (w->nodes[i].state != NODE_DOWN)
			return 0;
	return 1;
}

int
world_never(void *arg)
{
	(void)arg;
	return 0;
}

void
world_must(struct world *w, int (*cond)(void *arg), const char *what)
{
	if (world_run_until(w, cond, w, CALM_US))
		return;
	groups_describe(w);
	world_fail(w, "%s within %d s of calm", what, CALM_US / 1000000);
}

/* What can go wrong only because the leader has just changed. */
static int
try_again(int r)
{
	return r == -ERR_NOTLEADER || r == -ERR_UNAVAILABLE || r == -ERR_BUSY;
}

int
world_read_group(struct world *w, uint32_t group, struct node *n)
{
	for (uint32_t s = 0; s < w->model.n_streams; s++) {
		int r = 0;

		if (w->model.streams[s].group != group)
			continue;
		for (int i = 0; i < 100; i++) {
			r = client_verify_now(n, s);
			if (!try_again(r))
				break;
			world_run_until(w, world_never, w, TICK_US);
		}
		if (r) {
			world_trace(w, "node %u cannot read %s: %s", n->slot,
			    w->model.streams[s].name, err_text(r));
			return r;
		}
	}
	return 0;
}

void
world_verify_group(struct world *w, uint32_t group, struct node *n)
{
	int r = world_read_group(w, group, n);

	if (r)
		world_fail(w, "node %u cannot read group %u: %s", n->slot,
		    group, err_text(r));
}

void
world_write_all(
    struct world *w, struct node *(*at)(struct world *w, uint32_t group))
{
	for (uint32_t s = 0; s < w->model.n_plain; s++) {
		uint64_t since = w->now_us;
		int r = -ERR_NOTLEADER;

		while (r && w->now_us - since < CALM_US) {
			struct node *n = at(w, w->model.streams[s].group);

			if (n)
				r = client_append_now(n, s);
			if (r)
				world_run_until(w, world_never, w, TICK_US);
		}
		if (r)
			groups_describe(w);
		if (r)
			world_fail(w, "%s takes no event after %d s: %s",
			    w->model.streams[s].name, CALM_US / 1000000,
			    err_text(r));
	}
}

/* Not where some events cannot be seen: they are hidden, or damaged on the disk of
 * whoever leads. */
void
world_check_patches(struct world *w)
{
	int all =
	    w->deletes == 0 && w->keep.n == 1 && (!w->rings || w->flips.n == 0);

	if (all && model_check_patches(&w->model))
		world_fail(w, "%s", w->model.why);
}

int
world_run(struct world *w, const struct world_options *o)
{
	*w = (struct world){.o = *o};
	if (setjmp(w->out))
		return 1;
	create(w);
	node_draw_fate(w);
	chaos_begin(w);
	policies_begin(w);
	for (uint32_t i = 0; i < w->n_nodes; i++)
		node_start(&w->nodes[i]);
	clients_start(w);
	followers_start(w);
	operator_start(w);
	world_schedule(w, TICK_US,
	    (struct happening){.run = on_tick, .detail = w->o.n_ticks});
	world_run_until(w, world_never, w, (uint64_t)w->o.n_ticks * TICK_US);
	course_conclude(w);
	w->counts.virtual_us = w->now_us - START_US;
	for (uint32_t i = 0; i < w->n_nodes; i++)
		node_free(&w->nodes[i]);
	return 0;
}

void
world_free(struct world *w)
{
	followers_free(w);
	model_deinit(&w->model);
	for (uint32_t i = 0; i < w->n_heap; i++)
		net_forget(&w->heap[i]);
	for (uint32_t g = 0; g < w->n_logs; g++)
		mem_free(w->groups[g].leaders);
	rings_free(w);
	mem_free(w->heap);
	w->heap = NULL;
	ASSERT(arena_pieces(0) == 1); /* W itself */
}
