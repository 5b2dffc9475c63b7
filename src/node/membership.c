/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * membership - asks, answers, believes.
 *
 * Format 1, little endian; sender and receiver stand in the seal:
 *
 *	 0  u32   magic "IOMB"
 *	 4  u16   format = 1
 *	 6  u8    1: am I a member?  2: no
 *	 7  u8    0
 *	 8  [16]  cluster id
 *	24  u64   epoch of the sender's ring
 *
 *	asked by one of epoch 7, who        answer
 *	stands in our ring                  -, it will hear our beats
 *	does not, and ours is epoch 8       no 8
 *	does not, and ours is epoch 6       -, we are behind
 *
 * A `no` counts from a member of the ring that it makes obsolete.
 */
#include "src/node/membership.h"

#include <string.h>

#include "src/base/le.h"
#include "src/base/mem.h"

#define MAGIC  0x424d4f49u /* "IOMB" */
#define FORMAT 1
#define BYTES  32
#define ASK_US 500000

enum { OP_ASK = 1, OP_NO };

struct membership {
	struct membership_config config;
	uint64_t asked_us; /* last */
	uint16_t next;     /* the member to ask then */
};

static uint64_t
now_us(const struct membership *m)
{
	const struct env_clock *c = &m->config.env->clock;

	return c->mono(c->ctx).us;
}

static void
say(const struct membership *m, const uint8_t node[16], int op)
{
	const struct ring *r = cluster_ring(m->config.cluster);
	uint8_t out[BYTES] = {0};
	struct iovec iov = {out, sizeof(out)};

	le_put16(le_put32(out, MAGIC), FORMAT);
	out[6] = (uint8_t)op;
	memcpy(out + 8, r->cluster_id, 16);
	le_put64(out + 24, r->epoch);
	m->config.tell_back(m->config.arg, node, &iov, 1);
}

/* --- asking --------------------------------------------------------------- */

/* Those that are not heard, in turn: the others may be as lost as this one. */
void
membership_tick(struct membership *m)
{
	const struct ring *r = cluster_ring(m->config.cluster);
	uint16_t self = ring_find(r, m->config.identity->node_id);

	if (r->n_members == 1 || cluster_is_gone(m->config.cluster) ||
	    now_us(m) < m->asked_us + ASK_US)
		return;
	m->asked_us = now_us(m);
	m->next = (uint16_t)((m->next + 1) % r->n_members);
	if (m->next != self && !cluster_is_up(m->config.cluster, m->next))
		say(m, r->members[m->next].id, OP_ASK);
}

/* --- hearing -------------------------------------------------------------- */

int
membership_is_frame(struct slice bytes)
{
	return bytes.n == BYTES && le_get32(bytes.p) == MAGIC &&
	       le_get16(bytes.p + 4) == FORMAT;
}

void
membership_frame(struct membership *m, struct net_frame *f)
{
	struct cluster *c = m->config.cluster;
	const struct ring *r = cluster_ring(c);
	const uint8_t *p = f->bytes.p;
	int is_member = ring_find(r, f->from) != RING_NOBODY;
	uint64_t epoch = le_get64(p + 24);

	if (memcmp(p + 8, r->cluster_id, 16) == 0 && !cluster_is_gone(c)) {
		if (p[6] == OP_ASK && !is_member && epoch < r->epoch)
			say(m, f->from, OP_NO);
		else if (p[6] == OP_NO && is_member && epoch > r->epoch)
			cluster_lost(c);
	}
	net_frame_free(f);
}

/* --- life ----------------------------------------------------------------- */

struct membership *
membership_new(const struct membership_config *config)
{
	struct membership *m = mem_zalloc(sizeof(*m));

	if (m)
		m->config = *config;
	return m;
}

struct membership *
membership_free(struct membership *m)
{
	return mem_free(m);
}
