/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Frames that come twice, late, changed or cut: no node dies of one, no
 * acknowledged event changes, and only a member that lies about consensus can
 * put a replica out of service, that of the group it lies to.
 */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/vnode/nodes_rig.h"
#include "vnode/fill.h"
#include "vnode/wire.h"

TestSuite(hostile_frames, .timeout = 240);

#define FRAMES_MAX 20000

struct recorded {
	int from, to;
	uint8_t *p;
	uint32_t n;
};

struct record {
	struct nodes *rig;
	int on;
	uint32_t n;
	struct recorded at[FRAMES_MAX];
};

static int
index_of(const struct nodes *rig, const struct node *n)
{
	return (int)(n - rig->nodes);
}

static int
keep(void *arg, struct node *from, struct node *to, const struct iovec *iov,
    int count)
{
	struct record *rec = arg;
	struct recorded *f = &rec->at[rec->n];
	size_t n = 0;

	if (!rec->on || rec->n == FRAMES_MAX)
		return 0;
	for (int i = 0; i < count; i++)
		n += iov[i].iov_len;
	f->p = mem_alloc(n);
	f->n = (uint32_t)n;
	f->from = index_of(rec->rig, from);
	f->to = index_of(rec->rig, to);
	n = 0;
	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len > 0)
			memcpy(f->p + n, iov[i].iov_base, iov[i].iov_len);
		n += iov[i].iov_len;
	}
	rec->n++;
	return 0;
}

static struct record *
record_new(void)
{
	struct record *rec = mem_zalloc(sizeof(*rec));

	rec->rig = nodes_new();
	rec->rig->hook = keep;
	rec->rig->arg = rec;
	rec->on = 1;
	return rec;
}

static void
inject(struct record *rec, int from, int to, const uint8_t *p, size_t n)
{
	struct iovec iov = {(void *)(uintptr_t)p, n};

	if (rec->rig->nodes[to].up)
		nodes_frame(
		    &rec->rig->nodes[to], rec->rig->nodes[from].id, &iov, 1);
}

static void
replay_all(struct record *rec)
{
	rec->on = 0;
	for (uint32_t i = 0; i < rec->n; i++) {
		const struct recorded *f = &rec->at[i];

		inject(rec, f->from, f->to, f->p, f->n);
		inject(rec, f->from, f->to, f->p, f->n);
		nodes_run_for(rec->rig, 200);
	}
}

static struct node *
follower(struct nodes *rig)
{
	struct node *leader = nodes_leader(rig);

	return leader == &rig->nodes[2] ? &rig->nodes[1] : &rig->nodes[2];
}

/* N0 events in group 0, and N1 in group 1. */
static void
live(struct nodes *rig, uint32_t n0, uint32_t n1)
{
	for (rig->group = 0; rig->group < 2; rig->group++) {
		nodes_join_all(rig);
		nodes_put_many(rig, 1, rig->group ? n1 : n0);
	}
	rig->group = 0;
}

static void
check_both(struct nodes *rig, uint32_t n0, uint32_t n1)
{
	rig->group = 1;
	nodes_check_all(rig, n1);
	nodes_check_events(rig, n1);
	rig->group = 0;
	nodes_check_all(rig, n0);
	nodes_check_events(rig, n0);
}

static void
check_alive(struct nodes *rig)
{
	for (int i = 0; i < N_NODES; i++)
		cr_assert_not(rig->nodes[i].fatal, "node %d", i + 1);
}

static void
restart(struct nodes *rig, struct node *n)
{
	nodes_kill(n);
	nodes_start(n, n == &rig->nodes[0]);
}

Test(hostile_frames, that_come_twice_and_late_change_nothing)
{
	struct record *rec = record_new();
	struct nodes *rig = rec->rig;

	live(rig, 60, 20);
	replay_all(rec);
	nodes_put_many(rig, 61, 10);
	nodes_run_for(rig, 200 * SECOND); /* behind checkpoints */
	replay_all(rec);
	check_both(rig, 70, 20);
}

Test(hostile_frames, of_a_life_that_is_over_do_not_bring_it_back)
{
	struct record *rec = record_new();
	struct nodes *rig = rec->rig;
	struct store_group g;
	struct node *n;

	live(rig, 30, 10);
	n = follower(rig);
	nodes_change_soon(rig, VNODE_REMOVE, n);
	nodes_run_for(rig, 5 * SECOND);
	replay_all(rec);
	nodes_run_for(rig, 20 * SECOND);
	store_group(n->store, 0, &g);
	cr_assert(!g.here);
	restart(rig, n);
	replay_all(rec);
	nodes_run_for(rig, 20 * SECOND);
	store_group(n->store, 0, &g);
	cr_assert(!g.here);
	nodes_change_soon(rig, VNODE_ADD, n);
	nodes_change_soon(rig, VNODE_PROMOTE, n);
	replay_all(rec);
	nodes_put_many(rig, 31, 10);
	check_both(rig, 40, 10);
}

/* All that a replica was once filled with, at the pace of a fill. */
static void
replay_fills(struct record *rec)
{
	rec->on = 0;
	for (uint32_t i = 0; i < rec->n; i++) {
		const struct recorded *f = &rec->at[i];

		if (f->p[WIRE_FRAME_BYTES + 4] != WIRE_FILL)
			continue;
		inject(rec, f->from, f->to, f->p, f->n);
		nodes_run_for(rec->rig, SECOND / 10);
	}
}

Test(hostile_frames, of_a_fill_do_not_bring_back_a_removed_replica)
{
	struct record *rec = record_new();
	struct nodes *rig = rec->rig;
	struct store_group g;
	struct node *n;

	live(rig, 30, 10);
	n = follower(rig);
	nodes_change_soon(rig, VNODE_REMOVE, n);
	nodes_run_for(rig, 5 * SECOND);
	for (int i = 0; i < 4; i++) {
		replay_fills(rec);
		store_group(n->store, 0, &g);
		cr_assert(!g.here, "round %d", i);
		if (i == 0) /* the journal lets go of its end */
			nodes_run_for(rig, 300 * SECOND);
		else
			restart(rig, n);
		nodes_run_for(rig, SECOND);
	}
	nodes_change_soon(rig, VNODE_ADD, n);
	nodes_change_soon(rig, VNODE_PROMOTE, n);
	check_both(rig, 30, 10);
}

/* --- memory --------------------------------------------------------------- */

struct pages {
	uint32_t asked[N_GROUPS];  /* by group: for manifests */
	uint32_t n_chunks;         /* pages of chunks, */
	uint64_t bytes;            /* with so much in them; */
	uint64_t first;            /* the first chunk, and its head */
	struct wire_message offer; /* the last, kept from its receiver */
	uint64_t transfer;
};

static void
count_page(struct pages *pages, const uint8_t *fill)
{
	if (pages->n_chunks++ == 0)
		pages->first = 4 + le_get32(fill + FILL_HEADER_BYTES);
	pages->bytes += le_get32(fill + 4);
}

static int
look_at_fills(void *arg, struct node *from, struct node *to,
    const struct iovec *iov, int count)
{
	struct pages *pages = arg;
	uint8_t bytes[512];
	struct wire_reader r;
	struct wire_message m;
	struct fill_message fm;
	size_t n = 0;
	int drop = 0;

	(void)from, (void)to;
	for (int i = 0; i < count && n < sizeof(bytes); i++) {
		size_t k = iov[i].iov_len < sizeof(bytes) - n
			       ? iov[i].iov_len
			       : sizeof(bytes) - n;

		if (k > 0)
			memcpy(bytes + n, iov[i].iov_base, k);
		n += k;
	}
	if (bytes[WIRE_FRAME_BYTES + 4] == WIRE_FILL &&
	    bytes[WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES] == FILL_CHUNKS)
		count_page(
		    pages, bytes + WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES);
	if (wire_open(&r, SLICE(bytes, n)))
		return 0;
	while (wire_next(&r, &m) == 0) {
		if (m.type != WIRE_FILL || fill_decode(m.rest, &fm))
			continue;
		if (fm.op == FILL_GET_MANIFEST)
			pages->asked[m.group]++;
		if (fm.op == FILL_OFFER) {
			pages->offer = m;
			pages->transfer = fm.transfer;
			drop = 1;
		}
	}
	return drop;
}

static void
send_fill(struct node *to, const uint8_t from[16], const struct wire_message *m,
    const struct fill_message *fm)
{
	uint8_t head[WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES + FILL_HEADER_BYTES];
	struct iovec iov[2] = {{head, sizeof(head)},
	    {(void *)(uintptr_t)fm->bytes.p, fm->bytes.n}};

	wire_put_frame(head);
	wire_put_message(head + WIRE_FRAME_BYTES, m,
	    WIRE_MESSAGE_BYTES + FILL_HEADER_BYTES + (uint32_t)fm->bytes.n);
	fill_encode(head + WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES, fm);
	nodes_frame(to, from, iov, fm->bytes.n ? 2 : 1);
}

Test(hostile_frames, that_offer_fills_get_a_few_at_a_time)
{
	struct nodes *rig = nodes_new();
	struct pages pages = {0};
	uint32_t n = 0;

	rig->hook = look_at_fills;
	rig->arg = &pages;
	for (uint16_t g = 0; g < N_GROUPS; g++) {
		struct wire_message m = {.type = WIRE_FILL,
		    .group = g,
		    .from = 1,
		    .to = 9,
		    .term = 1};

		send_fill(&rig->nodes[2], rig->nodes[0].id, &m,
		    &(struct fill_message){
			.op = FILL_OFFER, .transfer = g + 1u});
	}
	nodes_run_for(rig, SECOND);
	for (uint32_t g = 0; g < N_GROUPS; g++)
		n += pages.asked[g] > 0;
	cr_assert_eq(n, 2);
	/* Later others get their turn. */
	rig->hook = NULL;
	nodes_run_for(rig, 30 * SECOND);
	nodes_put_many(rig, 1, 10);
	nodes_join_all(rig);
	nodes_check_all(rig, 10);
}

static void
on_stopped(void *arg)
{
	*(int *)arg = 1;
}

/* What a fill would hold then nobody gives back. */
Test(hostile_frames, that_offer_fills_to_a_stopped_node_begin_nothing)
{
	struct nodes *rig = nodes_new();
	struct pages pages = {0};
	int stopped = 0;

	rig->hook = look_at_fills;
	rig->arg = &pages;
	store_stop(rig->nodes[2].store, on_stopped, &stopped);
	nodes_run_for(rig, 10 * SECOND);
	cr_assert(stopped);
	for (uint16_t g = 0; g < N_GROUPS; g++)
		send_fill(&rig->nodes[2], rig->nodes[0].id,
		    &(struct wire_message){.type = WIRE_FILL,
			.group = g,
			.from = 1,
			.to = 9,
			.term = 1},
		    &(struct fill_message){
			.op = FILL_OFFER, .transfer = g + 1u});
	nodes_run_for(rig, SECOND);
	for (uint32_t g = 0; g < N_GROUPS; g++)
		cr_assert_eq(pages.asked[g], 0);
}

/* Chunk 1 of stream 1, 1000 times in each of 1000 messages, and no end of
 * credit. */
static void
ask_for_too_much(struct nodes *rig, struct pages *pages)
{
	static uint8_t wants[1000 * FILL_CHUNK_BYTES];
	struct wire_message m = pages->offer;

	m.from = pages->offer.to;
	m.to = pages->offer.from;
	m.rest = SLICE(NULL, 0);
	for (int i = 0; i < 1000; i++)
		fill_encode_chunk(wants + i * FILL_CHUNK_BYTES,
		    &(struct fill_chunk){.stream = 1, .first = 1});
	send_fill(&rig->nodes[0], rig->nodes[1].id, &m,
	    &(struct fill_message){
		.op = FILL_GET_MANIFEST, .transfer = pages->transfer});
	nodes_run_for(rig, SECOND / 10);
	simenv_hold_lane(rig->nodes[0].sim, LANE_READ, 1);
	for (uint64_t i = 0; i < 1000; i++)
		send_fill(&rig->nodes[0], rig->nodes[1].id, &m,
		    &(struct fill_message){.op = FILL_GET_CHUNKS,
			.transfer = pages->transfer,
			.b = UINT64_MAX,
			.c = i * 1000,
			.bytes = SLICE(wants, sizeof(wants))});
	nodes_run_for(rig, SECOND / 2);
	simenv_hold_lane(rig->nodes[0].sim, LANE_READ, 0);
	nodes_run_for(rig, SECOND / 2);
}

Test(hostile_frames, that_ask_for_many_chunks_get_as_many_as_there_is_room_for)
{
	struct nodes *rig = nodes_new();
	struct pages pages = {0};

	nodes_put_many(rig, 1, 300);
	nodes_run_for(rig, 100 * SECOND); /* in files */
	rig->hook = look_at_fills;
	rig->arg = &pages;
	nodes_change_soon(rig, VNODE_ADD, &rig->nodes[1]);
	nodes_run_for(rig, SECOND);
	cr_assert_neq(pages.transfer, 0);
	ask_for_too_much(rig, &pages);
	cr_assert_gt(pages.first, 4);
	cr_assert_eq(pages.bytes, 1000 * pages.first);
	rig->hook = NULL;
	nodes_run_for(rig, 20 * SECOND);
	nodes_change_soon(rig, VNODE_PROMOTE, &rig->nodes[1]);
	check_alive(rig);
}

Test(hostile_frames, that_are_late_after_restarts_change_nothing)
{
	struct record *rec = record_new();
	struct nodes *rig = rec->rig;

	live(rig, 30, 10);
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];

		nodes_kill(n);
		nodes_put_many(rig, 31 + 5 * (uint32_t)i, 5);
		nodes_start(n, i == 0);
		replay_all(rec);
	}
	check_both(rig, 45, 10);
}

/* --- changed -------------------------------------------------------------- */

/* A replica of the rig's group that is out of service gets back into it. */
static void
recover(struct nodes *rig, uint32_t *n_quarantined)
{
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];
		struct store_group g;

		store_group(n->store, rig->group, &g);
		if (g.here)
			continue;
		++*n_quarantined;
		restart(rig, n);
		nodes_run_for(rig, SECOND);
		store_group(n->store, rig->group, &g);
		if (g.here)
			continue;
		nodes_change_soon(rig, VNODE_REMOVE, n);
		nodes_change_soon(rig, VNODE_ADD, n);
		nodes_change_soon(rig, VNODE_PROMOTE, n);
	}
}

/* The first message in each recorded frame, at most MAX of TYPE. */
static uint32_t
of_type(
    const struct record *rec, uint8_t type, struct recorded *out, uint32_t max)
{
	uint32_t n = 0, seen = 0, every;

	for (uint32_t i = 0; i < rec->n; i++)
		seen += rec->at[i].p[WIRE_FRAME_BYTES + 4] == type;
	every = seen / max + 1;
	seen = 0;
	for (uint32_t i = 0; i < rec->n && n < max; i++)
		if (rec->at[i].p[WIRE_FRAME_BYTES + 4] == type &&
		    seen++ % every == 0)
			out[n++] = rec->at[i];
	return n;
}

#define SAMPLES 8

/* An entry under another index is a lie that nobody can see through. */
static int
tells_a_lie(const struct recorded *f, uint32_t byte)
{
	return f->p[WIRE_FRAME_BYTES + 4] == RAFT_APPEND &&
	       le_get32(f->p + WIRE_FRAME_BYTES + 64) && byte >= 32 &&
	       byte < 40;
}

static void
flip_all(struct record *rec, const struct recorded *f, uint32_t bytes,
    uint32_t *n_quarantined)
{
	uint8_t *copy = mem_alloc(f->n);

	for (uint32_t bit = 0; bit < 8 * bytes; bit++) {
		if (tells_a_lie(f, bit / 8) ||
		    WIRE_FRAME_BYTES + bit / 8 >= f->n)
			continue;
		memcpy(copy, f->p, f->n);
		copy[WIRE_FRAME_BYTES + bit / 8] ^= (uint8_t)(1 << bit % 8);
		inject(rec, f->from, f->to, copy, f->n);
		nodes_run_for(rec->rig, 5000);
		if (bit % 64 == 63) {
			check_alive(rec->rig);
			recover(rec->rig, n_quarantined);
		}
	}
	mem_free(copy);
}

/* Frames of a node's whole life: joins, fills, elections, being behind. */
static struct record *
record_life(void)
{
	struct record *rec = record_new();
	struct nodes *rig = rec->rig;
	struct node *n;

	live(rig, 40, 20);
	n = nodes_leader(rig);
	nodes_kill(n);
	nodes_put_many(rig, 41, 10);
	nodes_start(n, n == &rig->nodes[0]);
	nodes_run_for(rig, 5 * SECOND);
	nodes_change(rig, VNODE_TRANSFER, follower(rig));
	nodes_run_for(rig, 5 * SECOND);
	n = follower(rig);
	nodes_change_soon(rig, VNODE_REMOVE, n);
	nodes_run_for(rig, 5 * SECOND);
	nodes_change_soon(rig, VNODE_ADD, n);
	nodes_change_soon(rig, VNODE_PROMOTE, n);
	rec->on = 0;
	return rec;
}

/* What is rarely said is made of what is: AS is the type to look for. */
static const struct {
	uint8_t type, as;
} types[] = {
    {RAFT_PREVOTE, RAFT_PREVOTE},
    {RAFT_PREVOTE_ANSWER, RAFT_PREVOTE_ANSWER},
    {RAFT_VOTE, RAFT_VOTE},
    {RAFT_VOTE_ANSWER, RAFT_VOTE_ANSWER},
    {RAFT_APPEND, RAFT_APPEND},
    {RAFT_APPEND_ANSWER, RAFT_APPEND_ANSWER},
    {RAFT_TIMEOUT_NOW, RAFT_TIMEOUT_NOW},
    {WIRE_NO_REPLICA, RAFT_APPEND_ANSWER},
    {WIRE_REMOVED, RAFT_APPEND_ANSWER},
    {WIRE_REMOVED, RAFT_PREVOTE},
    {WIRE_FILL, WIRE_FILL},
};

Test(hostile_frames, with_a_flipped_bit_hurt_one_group_at_most)
{
	struct record *rec = record_life();
	struct nodes *rig = rec->rig;
	uint32_t n_quarantined = 0, put = 50;

	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		struct recorded sample[SAMPLES];
		uint32_t n = of_type(rec, types[t].as, sample, SAMPLES);

		cr_assert_gt(n, 0, "no message of type %d", types[t].as);
		for (uint32_t i = 0; i < n; i++) {
			sample[i].p[WIRE_FRAME_BYTES + 4] = types[t].type;
			flip_all(rec, &sample[i],
			    types[t].type == WIRE_FILL ? 80 + 48 : 80,
			    &n_quarantined);
			nodes_put_many(rig, ++put, 1);
		}
		nodes_check_events(rig, put);
	}
	printf("# %u times out of service\n", n_quarantined);
	recover(rig, &n_quarantined);
	rig->group = 1;
	recover(rig, &n_quarantined);
	check_both(rig, put, 20);
}

Test(hostile_frames, that_are_cut_or_of_strangers_change_nothing)
{
	struct record *rec = record_life();
	struct nodes *rig = rec->rig;
	static const uint8_t stranger[16] = "a stranger";

	for (uint32_t i = 0; i < rec->n; i += rec->n / 200 + 1) {
		const struct recorded *f = &rec->at[i];
		struct iovec iov = {f->p, f->n};

		for (uint32_t cut = 0; cut < f->n; cut += 1 + cut / 50) {
			inject(rec, f->from, f->to, f->p, cut);
			if (cut % 8 == 0)
				nodes_run_for(rig, 300);
		}
		nodes_frame(&rig->nodes[f->to], stranger, &iov, 1);
		nodes_run_for(rig, 1000);
	}
	check_both(rig, 50, 20);
}

Test(hostile_frames, that_name_another_group_hurt_at_most_that)
{
	struct record *rec = record_life();
	struct nodes *rig = rec->rig;
	uint32_t n_quarantined = 0;

	for (uint32_t i = 0; i < rec->n; i += rec->n / 1000 + 1) {
		const struct recorded *f = &rec->at[i];
		uint8_t *copy = mem_alloc(f->n);
		uint8_t type = f->p[WIRE_FRAME_BYTES + 4];

		/* Entries of one group in another are a lie. */
		if (type == RAFT_APPEND &&
		    le_get32(f->p + WIRE_FRAME_BYTES + 64)) {
			mem_free(copy);
			continue;
		}
		memcpy(copy, f->p, f->n);
		copy[WIRE_FRAME_BYTES + 6] ^= 1;
		inject(rec, f->from, f->to, copy, f->n);
		copy[WIRE_FRAME_BYTES + 7] ^= 0xff; /* none of ours */
		inject(rec, f->from, f->to, copy, f->n);
		nodes_run_for(rig, 3000);
		mem_free(copy);
	}
	check_alive(rig);
	recover(rig, &n_quarantined);
	rig->group = 1;
	recover(rig, &n_quarantined);
	check_both(rig, 50, 20);
}
