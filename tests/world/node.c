/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * node - one node: a process that comes and goes, on a machine that stays.
 *
 *	      node_start            node_stop             told
 *	DOWN ------------> UP ----------------> STOPPING ------> DOWN
 *	  ^                 |                      |
 *	  +-----------------+----------------------+
 *	     killed, power cut, or it said that it cannot go on
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/world/arena.h"
#include "tests/world/world.h"

#define LAST_STEPS 100000 /* that a stopped process may still make */

static unsigned
owner(const struct node *n)
{
	return n->slot + 1;
}

/* --- what the store sees ----------------------------------------------------
 */

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	struct node *n = arg;

	if (m->kind == MSG_CALL || m->answer)
		m->fn(m);
	else
		process_handle(n, worker, m);
}

static void
turn(void *arg, uint32_t worker)
{
	struct node *n = arg;

	process_turn(n, worker);
}

void
process_report(void *arg, int is_error, const char *what)
{
	struct node *n = arg;

	n->world->counts.mended +=
	    strstr(what, ".chunk is whole again") != NULL;
	world_trace(n->world, "node %u %s: %s", n->slot,
	    is_error ? "complains" : "reports", what);
}

void
process_fatal(void *arg, const char *what)
{
	struct node *n = arg;

	process_report(n, 1, what);
	if (n->fatal++)
		world_fail(
		    n->world, "node %u gives up twice: %s", n->slot, what);
	if (!n->disk_sick && !n->starved && !memdisk_is_down(n->disk))
		world_fail(n->world, "node %u gives up without a cause: %s",
		    n->slot, what);
}

static const char *const disk_calls[] = {
    [MEMDISK_OPEN] = "makes",
    [MEMDISK_PWRITEV] = "writes",
    [MEMDISK_TRUNCATE] = "truncates",
    [MEMDISK_SYNC] = "syncs",
    [MEMDISK_SYNC_ALL] = "syncs all",
    [MEMDISK_SYNC_DIR] = "syncs directory",
    [MEMDISK_RENAME] = "renames",
    [MEMDISK_UNLINK] = "removes",
    [MEMDISK_MKDIR] = "makes directory",
};

static enum memdisk_fault
on_disk_call(void *arg, enum memdisk_op op, const char *path)
{
	struct node *n = arg;

	if (n->world->o.verbose)
		world_trace(
		    n->world, "node %u: %s %s", n->slot, disk_calls[op], path);
	if (n->fault_in == 0 || --n->fault_in)
		return MEMDISK_OK;
	n->disk_sick = 1;
	world_trace(n->world, "node %u meets fault %d at %s", n->slot,
	    (int)n->fault, path);
	return n->fault;
}

static int
refuse_memory(void *arg, size_t bytes)
{
	struct node *n = arg;

	(void)bytes;
	if (arena_owner() != owner(n) || !world_one_in(n->world, n->starving))
		return 0;
	n->starved = 1;
	return 1;
}

/* The code of N runs from here to leave(). */
static void
enter(struct node *n)
{
	arena_enter(owner(n));
	if (n->starving)
		mem_set_hook(refuse_memory, n);
}

static void
leave(void)
{
	mem_set_hook(NULL, NULL);
	arena_enter(0);
}

/* --- the process ------------------------------------------------------------
 */

static void
new_disk(struct node *n)
{
	struct memdisk_config config = {
	    .capacity_bytes = DISK_BYTES,
	    .sector_bytes = n->sector_bytes,
	};
	const struct env_disk *d;

	n->disk = memdisk_new(&config);
	d = memdisk_disk(n->disk);
	d->mkdir(d->ctx, "c");
	d->sync_all(d->ctx);
	memdisk_set_hook(n->disk, on_disk_call, n);
}

void
node_create(struct world *w, uint32_t slot)
{
	struct node *n = &w->nodes[slot];

	*n = (struct node){.world = w, .slot = slot};
	n->sector_bytes = world_one_in(w, 2) ? 512 : 4096;
	for (int i = 0; i < 16; i++)
		n->id[i] = (uint8_t)world_below(w, 256);
	n->id[0] = (uint8_t)slot;
	n->skew_ms = (int64_t)world_below(w, 4000) - 2000;
	new_disk(n);
}

void
node_replace_disk(struct node *n)
{
	ASSERT(n->state == NODE_DOWN);
	world_trace(n->world, "node %u gets an empty disk", n->slot);
	memdisk_free(n->disk);
	new_disk(n);
	memset(n->words, 0, sizeof(n->words));
	n->removed = n->exited = n->spoiled = 0;
}

static void
forget_process(struct node *n)
{
	n->life++;
	n->state = NODE_DOWN;
	n->store = NULL;
	n->core = NULL;
	n->move = MOVE_NOWHERE;
	n->to = ring_unref(n->to);
	n->removed = 0;
	n->fatal = n->stopped = n->paused = 0;
	n->starving = 0;
	n->starved = 0;
	n->fault_in = 0;
	n->told_policies = 0;
	world_note(n->world, simenv_trace(n->sim));
	n->sim = simenv_free(n->sim);
	memdisk_close_all(n->disk);
	clients_forget(n);
	followers_forget(n);
	operator_forget(n);
	arena_drop(owner(n));
}

void
node_kill(struct node *n)
{
	if (n->state == NODE_DOWN)
		return;
	world_trace(n->world, "node %u is killed", n->slot);
	n->world->counts.kills++;
	forget_process(n);
}

void
node_power_cut(struct node *n, enum memdisk_outcome outcome)
{
	struct world *w = n->world;

	world_trace(w, "node %u loses power (%d), %zu changes not synced",
	    n->slot, (int)outcome, memdisk_unsynced(n->disk));
	w->counts.power_cuts++;
	if (n->state != NODE_DOWN)
		forget_process(n);
	memdisk_crash(n->disk, outcome, chance_next(&w->chance));
	memdisk_restart(n->disk);
}

static enum memdisk_outcome
draw_outcome(struct world *w)
{
	static const enum memdisk_outcome all[] = {
	    MEMDISK_RANDOM, MEMDISK_RANDOM, MEMDISK_LOSE_ALL, MEMDISK_KEEP_ALL};

	return all[world_below(w, 4)];
}

/* What a step, a start or a stop may have led to; 1: the process is gone. */
static int
after(struct node *n)
{
	struct world *w = n->world;

	if (w->settled && (n->fatal || memdisk_is_down(n->disk)))
		world_fail(w, "node %u died with nothing in its way", n->slot);
	if (memdisk_is_down(n->disk)) {
		node_power_cut(n, draw_outcome(w));
		node_restart_in(n, world_below(w, 3000000));
		return 1;
	}
	if (n->fatal) {
		w->counts.disk_errors++;
		if (world_one_in(w, 2))
			node_kill(n);
		else
			node_power_cut(n, draw_outcome(w));
		node_restart_in(n, world_below(w, 3000000));
		return 1;
	}
	if (n->doomed && !w->settled) {
		node_meet_fate(n);
		return 1;
	}
	return 0;
}

static int
open_process(struct node *n, char *why, size_t why_bytes)
{
	int r;

	enter(n);
	r = process_open(n, why, why_bytes);
	leave();
	if (r && arena_pieces(owner(n)))
		world_fail(n->world,
		    "node %u: %zu pieces of memory are left after a failed "
		    "start",
		    n->slot, arena_pieces(owner(n)));
	return r;
}

static void
new_process(struct node *n)
{
	struct world *w = n->world;
	struct simenv_config sc = {
	    .seed = chance_next(&w->chance),
	    .n_workers = 1u << world_below(w, 3),
	    .disk = memdisk_disk(n->disk),
	    .start = {(uint64_t)((int64_t)WORLD_WALL_MS + n->skew_ms)},
	    .step_max_us = w->step_max_us,
	};

	n->life++;
	n->n_workers = sc.n_workers;
	n->sim = simenv_new(&sc);
	simenv_advance_to(n->sim, (struct mono){w->now_us});
	simenv_set_dispatch(n->sim, dispatch, n);
	simenv_set_turn(n->sim, turn, n);
	net_attach(n);
	n->disk_sick = 0;
	n->doomed = 0;
}

void
node_start(struct node *n)
{
	struct world *w = n->world;
	char why[512] = "";
	int r;

	ASSERT(n->state == NODE_DOWN);
	new_process(n);
	n->state = NODE_UP;
	n->exited = 0;
	r = open_process(n, why, sizeof(why));
	if (r == 0) {
		enter(n);
		r = process_start(n);
		leave();
	}
	world_trace(w, "node %u starts with %u workers: %s", n->slot,
	    n->n_workers, r ? why : "ok");
	w->counts.starts++;
	if (after(n))
		return;
	if (r == -ERR_CORRUPT && n->spoiled) {
		process_spoiled(n);
		return;
	}
	n->spoiled = 0;
	if (r == 0) {
		words_kept(n);
		simenv_advance(n->sim, world_between(w, 1000, 100000));
		return;
	}
	if (!n->disk_sick && !(n->full && r == -ERR_NOSPC))
		world_fail(w, "node %u does not start: %s (%s)", n->slot, why,
		    err_text(r));
	node_kill(n);
	node_restart_in(n, world_below(w, 3000000));
}

static void
restart(struct world *w, struct happening *ev)
{
	struct node *n = &w->nodes[ev->slot];

	if (n->state != NODE_DOWN || n->life != ev->life)
		return;
	chaos_before_start(n);
	node_start(n);
}

void
node_restart_in(struct node *n, uint64_t us)
{
	ASSERT(n->state == NODE_DOWN);
	world_schedule(n->world, us,
	    (struct happening){
		.run = restart, .slot = n->slot, .life = n->life});
}

/* --- an orderly stop --------------------------------------------------------
 */

static void
on_stopped(void *arg)
{
	((struct node *)arg)->stopped = 1;
}

void
node_stop(struct node *n)
{
	if (n->state != NODE_UP)
		return;
	world_trace(n->world, "node %u stops", n->slot);
	n->state = NODE_STOPPING;
	enter(n);
	process_stop(n, on_stopped, n);
	leave();
}

/* 1: something went wrong on the way, and was seen to. */
static int
move(struct node *n)
{
	enum node_move where = n->move;
	int r;

	enter(n);
	r = process_move(n);
	leave();
	world_trace(n->world, "node %u moves (%d): %s", n->slot, (int)where,
	    err_text(r));
	if (r && !n->disk_sick && !n->full && !n->starved)
		world_fail(
		    n->world, "node %u cannot move: %s", n->slot, err_text(r));
	if (after(n))
		return 1;
	memset(n->words, 0, sizeof(n->words));
	n->exited = where == MOVE_OUT;
	return 0;
}

/* What is under way ends; then the process must have answered everybody and
 * given back all that it had. */
static void
finish_stop(struct node *n)
{
	struct world *w = n->world;

	node_let_go(n);
	enter(n);
	simenv_run_idle(n->sim, LAST_STEPS);
	leave();
	if (after(n))
		return;
	for (uint32_t i = 0; i < w->n_clients; i++)
		if (client_waits_for(&w->clients[i], n))
			world_fail(w,
			    "node %u stopped without an answer to client %u: "
			    "%s",
			    n->slot, i, client_asked(&w->clients[i]));
	if (simenv_queued(n->sim))
		world_fail(w, "node %u is busy after it stopped", n->slot);
	enter(n);
	process_close(n);
	leave();
	if (arena_pieces(owner(n)) && w->o.trace)
		arena_describe(owner(n), w->o.trace);
	if (arena_pieces(owner(n)))
		world_fail(w,
		    "node %u stopped and still has %zu pieces of memory",
		    n->slot, arena_pieces(owner(n)));
	world_trace(w, "node %u has stopped", n->slot);
	w->counts.stops++;
	if (n->move && move(n))
		return;
	forget_process(n);
	if (!w->closing)
		node_restart_in(n, world_below(w, 2000000));
}

void
node_receive(
    struct node *n, const uint8_t from[16], int stranger, struct slice frame)
{
	struct iovec iov = {(void *)(uintptr_t)frame.p, frame.n};
	const struct env *env = simenv_env(n->sim);
	struct net_frame *f;

	enter(n);
	f = net_frame_new(from, &iov, 1);
	leave();
	if (f)
		f->stranger = stranger;
	if (f)
		env->post.to_worker(env->post.ctx,
		    (uint32_t)world_below(n->world, n->n_workers), &f->msg);
}

void
node_hear_policies(struct node *n)
{
	enter(n);
	if (process_hear_policies(n) == 0)
		n->told_policies = n->world->policies.version;
	leave();
}

/* Raft, figure 3, election safety; one group a step, since a leader leads for
 * many. */
static void
check_leader(struct node *n)
{
	struct world *w = n->world;
	uint32_t group = (uint32_t)(w->counts.steps % w->n_logs);
	struct world_group *g = &w->groups[group];
	struct store_group sg;

	if (memcmp(n->identity.cluster_id, w->cluster, 16) != 0)
		return;
	store_group(n->store, group, &sg);
	if (!sg.leads)
		return;
	if (sg.term >= g->n_terms) {
		uint64_t more = sg.term + 64;

		g->leaders = mem_realloc(g->leaders, more);
		ASSERT(g->leaders);
		memset(g->leaders + g->n_terms, 0, more - g->n_terms);
		g->n_terms = more;
	}
	if (g->leaders[sg.term] == 0) {
		w->counts.elections++;
		world_trace(w, "node %u leads group %u in term %llu", n->slot,
		    group, (unsigned long long)sg.term);
	} else if (g->leaders[sg.term] != n->slot + 1) {
		world_fail(w, "nodes %u and %u lead group %u in term %llu",
		    g->leaders[sg.term] - 1u, n->slot, group,
		    (unsigned long long)sg.term);
	}
	g->leaders[sg.term] = (uint8_t)(n->slot + 1);
}

void
node_step(struct node *n)
{
	simenv_advance_to(n->sim, (struct mono){n->world->now_us});
	enter(n);
	simenv_step(n->sim);
	leave();
	if (after(n))
		return;
	check_leader(n);
	policies_watch(n);
	process_check(n);
	if (n->move)
		node_stop(n);
	if (n->stopped)
		finish_stop(n);
}

/* --- the end ----------------------------------------------------------------
 */

void
node_free(struct node *n)
{
	struct world *w = n->world;

	ASSERT(n->state == NODE_DOWN);
	world_note(w, memdisk_hash(n->disk));
	n->disk = memdisk_free(n->disk);
}
