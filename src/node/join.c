/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * join - both sides of a request to be let in.
 *
 * Format 1, little endian; sender and receiver stand in the seal.
 *
 *	 0  u32  magic "IOJN"
 *	 4  u16  format = 1
 *	 6  u8   1 request, 2 answer
 *	 7  u8   request: bytes of the name; answer: result (enum admin_result)
 *	 8  u64  id of the request, random, given back
 *	16  u16  request: slots Q; answer: 1: the name was known under another id
 *	18  u16  protocol = 1
 *	20       request: name; answer: with ADMIN_OK the ring (ring.c)
 *
 * A request is repeated until it is answered, so it may come often: a node that
 * is joining already gets the same answer again.  If the answer is lost for
 * good, the cluster has a member that does not know it; the next join of that
 * node finds it so.
 */
#include "src/node/join.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/mutants.h"

#define JOIN_MAGIC     0x4e4a4f49u /* "IOJN" */
#define JOIN_FORMAT    1
#define JOIN_PROTOCOL  1
#define JOIN_BYTES     20
#define ASK_AGAIN_US   300000
#define NOT_REACHED_US 4000000
#define ANSWER_US      15000000 /* once something came back */
#define ASKERS_MAX     16

enum { JOIN_REQUEST = 1, JOIN_ANSWER };

/* A node that is being let in. */
struct asker {
	struct cluster_edit edit; /* done == NULL: free */
	struct join *join;
	uint64_t request;
	int known;
	uint8_t node[16];
	char name[RING_NAME_MAX + 1];
};

struct join {
	struct join_config config;
	struct join_call *call; /* ours, or NULL */
	int asking;             /* what was held is empty */
	uint64_t request, since_us, asked_us;
	struct asker askers[ASKERS_MAX];
};

static uint64_t
now_us(const struct join *j)
{
	const struct env_clock *c = &j->config.env->clock;

	return c->mono(c->ctx).us;
}

static void
put_head(uint8_t out[JOIN_BYTES], int op, uint8_t extra, uint64_t request,
    uint16_t value)
{
	uint8_t *p = le_put32(out, JOIN_MAGIC);

	p = le_put16(p, JOIN_FORMAT);
	*p++ = (uint8_t)op;
	*p++ = extra;
	p = le_put64(p, request);
	p = le_put16(p, value);
	le_put16(p, JOIN_PROTOCOL);
}

/* --- asking --------------------------------------------------------------- */

static void
end(struct join *j, enum admin_result result, struct ring *ring, int known)
{
	struct join_call *call = j->call;

	j->call = NULL;
	j->asking = 0;
	if (result != ADMIN_OK)
		hold_end(j->config.hold);
	call->done(call, result, ring, known);
}

static void
ask(struct join *j)
{
	uint8_t head[JOIN_BYTES];
	size_t n = strlen(j->config.nodename);
	struct iovec iov[2] = {
	    {head, sizeof(head)}, {(void *)(uintptr_t)j->config.nodename, n}};

	j->asked_us = now_us(j);
	put_head(head, JOIN_REQUEST, (uint8_t)n, j->request,
	    cluster_ring(j->config.cluster)->q);
	j->config.tell(j->config.arg, j->call->contact, iov, 2);
}

/* No write is under way. */
static void
on_held(void *arg, uint64_t n_streams)
{
	struct join *j = arg;

	j->call->n_streams = n_streams;
	if (n_streams) {
		end(j, ADMIN_HOLDS_STREAMS, NULL, 0);
		return;
	}
	j->asking = 1;
	j->since_us = now_us(j);
	ask(j);
}

int
join_ask(struct join *j, struct join_call *call)
{
	const struct env_rng *rng = &j->config.env->rng;

	if (j->call || hold_begin(j->config.hold, on_held, j))
		return -ERR_BUSY;
	j->call = call;
	rng->bytes(rng->ctx, &j->request, sizeof(j->request));
	return 0;
}

static void
take_answer(struct join *j, struct slice in)
{
	enum admin_result result = (enum admin_result)in.p[7];
	struct ring *ring = NULL;

	if (!j->asking || le_get64(in.p + 8) != j->request ||
	    result > ADMIN_FAILED)
		return;
	if (result == ADMIN_OK &&
	    (ring_decode(SLICE(in.p + JOIN_BYTES, in.n - JOIN_BYTES), &ring) ||
		ring_find(ring, j->config.identity->node_id) == RING_NOBODY))
		result = ADMIN_NO_RING;
	end(j, result, ring, le_get16(in.p + 16));
	ring_unref(ring);
}

/* --- answering ------------------------------------------------------------ */

static void
answer(struct join *j, const uint8_t node[16], uint64_t request,
    enum admin_result result, const struct ring *ring, int known)
{
	uint8_t head[JOIN_BYTES];
	struct iovec iov[2] = {{head, sizeof(head)}};
	struct buf b;

	put_head(head, JOIN_ANSWER, (uint8_t)result, request, (uint16_t)known);
	buf_init(&b, RING_ENCODED_MAX);
	if (ring)
		ring_encode(ring, &b);
	iov[1] = (struct iovec){b.p, b.n};
	if (!buf_error(&b))
		j->config.tell_back(j->config.arg, node, iov, b.n ? 2 : 1);
	buf_deinit(&b);
}

static enum ring_refusal
make(struct cluster_edit *e, struct ring *now, struct ring **out)
{
	struct asker *a = CONTAINER_OF(e, struct asker, edit);

	if (ring_find(now, a->node) != RING_NOBODY)
		return RING_SAME;
	return ring_stage_join(now, a->node, a->name, "", out, &a->known);
}

static void
answer_too_soon(struct join *j, struct asker *a)
{
	struct ring *made = NULL;

	if (make(&a->edit, cluster_ring(j->config.cluster), &made) == RING_OK)
		answer(j, a->node, a->request, ADMIN_OK, made, 0);
	ring_unref(made);
}

static enum admin_result
result_of(int r, enum ring_refusal refusal)
{
	if (r)
		return ADMIN_TRY_AGAIN;
	switch (refusal) {
	case RING_OK:
	case RING_SAME:
		return ADMIN_OK;
	case RING_ALREADY_MEMBER:
		return ADMIN_NOT_SINGLE_NODE;
	default:
		return ADMIN_FAILED;
	}
}

static void
staged(struct cluster_edit *e, int r, enum ring_refusal refusal,
    struct ring *after)
{
	struct asker *a = CONTAINER_OF(e, struct asker, edit);
	enum admin_result result = result_of(r, refusal);

	answer(a->join, a->node, a->request, result,
	    result == ADMIN_OK ? after : NULL, a->known);
	if (result == ADMIN_OK)
		log_write(a->join->config.log, LOG_INFO,
		    "'%s' asks to join: staged", a->name);
	else if (result == ADMIN_FAILED)
		log_write(a->join->config.log, LOG_WARN,
		    "'%s' asks to join: there are too many members, or memory "
		    "is short",
		    a->name);
	*a = (struct asker){0};
}

static struct asker *
find_asker(struct join *j, const uint8_t node[16])
{
	struct asker *free = NULL;

	for (int i = 0; i < ASKERS_MAX; i++) {
		struct asker *a = &j->askers[i];

		if (a->edit.done && memcmp(a->node, node, 16) == 0)
			return a;
		if (!a->edit.done)
			free = a;
	}
	return free;
}

static void
take_request(struct join *j, const uint8_t from[16], struct slice in)
{
	const struct ring *ring = cluster_ring(j->config.cluster);
	uint64_t request = le_get64(in.p + 8);
	size_t n = in.p[7];
	struct asker *a;

	if (n == 0 || in.n != JOIN_BYTES + n ||
	    memchr(in.p + JOIN_BYTES, '\0', n))
		return;
	if (le_get16(in.p + 18) != JOIN_PROTOCOL) {
		answer(j, from, request, ADMIN_FAILED, NULL, 0);
		return;
	}
	if (le_get16(in.p + 16) != ring->q) {
		answer(j, from, request, ADMIN_DIFFERENT_RING_SIZES, NULL, 0);
		return;
	}
	a = find_asker(j, from);
	if (!a || a->edit.done) { /* too many, or under way */
		if (a)
			a->request = request;
		return;
	}
	a->join = j;
	a->request = request;
	memcpy(a->node, from, 16);
	memcpy(a->name, in.p + JOIN_BYTES, n);
	a->edit = (struct cluster_edit){.make = make, .done = staged};
	if (VNODE_MUTANT(JOIN_ANSWERED_BEFORE_COMMIT))
		answer_too_soon(j, a);
	cluster_edit(j->config.cluster, &a->edit);
}

void
join_frame(struct join *j, struct net_frame *f)
{
	struct slice in = f->bytes;

	if (in.n >= JOIN_BYTES && le_get32(in.p) == JOIN_MAGIC &&
	    le_get16(in.p + 4) == JOIN_FORMAT) {
		if (in.p[6] == JOIN_REQUEST)
			take_request(j, f->from, in);
		else if (in.p[6] == JOIN_ANSWER)
			take_answer(j, in);
	}
	net_frame_free(f);
}

/* --- life ----------------------------------------------------------------- */

struct join *
join_new(const struct join_config *config)
{
	struct join *j = mem_zalloc(sizeof(*j));

	if (j)
		j->config = *config;
	return j;
}

struct join *
join_free(struct join *j)
{
	return mem_free(j);
}

void
join_tick(struct join *j)
{
	uint64_t now = now_us(j);

	hold_tick(j->config.hold);
	if (!j->asking)
		return;
	if (now - j->since_us > NOT_REACHED_US)
		end(j, ADMIN_NOT_REACHABLE, NULL, 0);
	else if (now - j->asked_us >= ASK_AGAIN_US)
		ask(j);
}

void
join_stop(struct join *j)
{
	if (j->call)
		end(j, ADMIN_FAILED, NULL, 0);
}
