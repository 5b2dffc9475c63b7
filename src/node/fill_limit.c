/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_limit - tells, and looks at what beats say.
 *
 * Format 1, little endian; cluster, sender and receiver stand in the seal:
 *
 *	 0  u32  magic "IOTL"
 *	 4  u16  format = 1
 *	 6  u16  the new limit, at most FILL_LIMIT_MAX
 */
#include "src/node/fill_limit.h"

#include <string.h>

#include "src/base/le.h"
#include "src/base/mem.h"

#define MAGIC   0x4c544f49u /* "IOTL" */
#define FORMAT  1
#define BYTES   8
#define TELL_US 300000
#define MOST_US 3000000 /* then whoever does not have it has failed */

struct fill_limit {
	struct fill_limit_config config;
	struct fill_limit_call *calls;
};

static uint64_t
now_us(const struct fill_limit *l)
{
	const struct env_clock *c = &l->config.env->clock;

	return c->mono(c->ctx).us;
}

static int
is_self(const struct fill_limit *l, const struct ring_member *m)
{
	return memcmp(m->id, l->config.identity->node_id, 16) == 0;
}

static void
take(struct fill_limit *l, uint32_t limit)
{
	struct store *s = *l->config.store;

	if (store_fill_limit(s) != limit)
		log_write(l->config.log, LOG_INFO, "transfer_limit: %u", limit);
	store_set_fill_limit(s, limit);
}

static void
tell(struct fill_limit *l, const struct ring_member *m, uint32_t limit)
{
	const struct env_net *net = &l->config.env->net;
	uint8_t out[BYTES];
	struct iovec iov = {out, sizeof(out)};

	if (is_self(l, m)) {
		take(l, limit);
		return;
	}
	le_put16(le_put16(le_put32(out, MAGIC), FORMAT), (uint16_t)limit);
	net->send(net->ctx, 0, m->id, NET_CONTROL, &iov, 1);
}

/* Who is meant by CALL and does not have it; how many, -1: nobody is meant. */
static int
find_failed(const struct fill_limit *l, const struct fill_limit_call *call,
    uint8_t failed[RING_MEMBERS_MAX])
{
	const struct ring *r = cluster_ring(l->config.cluster);
	int n = 0, meant = 0;

	for (uint16_t i = 0; i < r->n_members; i++) {
		struct beat told;

		failed[i] = 0;
		if (call->node && strcmp(call->node, r->members[i].name) != 0)
			continue;
		meant++;
		cluster_told(l->config.cluster, i, &told);
		failed[i] = !cluster_is_up(l->config.cluster, i) ||
			    told.limit != call->limit;
		n += failed[i];
	}
	return meant ? n : -1;
}

/* 1: it is over. */
static int
go_on(struct fill_limit *l, struct fill_limit_call *call, int last)
{
	struct ring *r = cluster_ring(l->config.cluster);
	uint8_t failed[RING_MEMBERS_MAX];
	uint64_t now = now_us(l);
	int n = find_failed(l, call, failed);

	if (n <= 0 || last || now >= call->since_us + MOST_US) {
		call->done(call, r, failed, n);
		return 1;
	}
	if (call->told_us && now < call->told_us + TELL_US)
		return 0;
	call->told_us = now;
	for (uint16_t i = 0; i < r->n_members; i++)
		if (failed[i])
			tell(l, &r->members[i], call->limit);
	return 0;
}

static void
go_on_all(struct fill_limit *l, int last)
{
	struct fill_limit_call **at = &l->calls, *call;

	while ((call = *at)) {
		struct fill_limit_call *next = call->next;

		if (go_on(l, call, last))
			*at = next;
		else
			at = &call->next;
	}
}

void
fill_limit_set(struct fill_limit *l, struct fill_limit_call *call)
{
	call->since_us = now_us(l);
	call->told_us = 0;
	call->next = l->calls;
	l->calls = call;
}

void
fill_limit_tick(struct fill_limit *l)
{
	go_on_all(l, 0);
}

void
fill_limit_stop(struct fill_limit *l)
{
	go_on_all(l, 1);
}

int
fill_limit_is_frame(struct slice bytes)
{
	return bytes.n == BYTES && le_get32(bytes.p) == MAGIC &&
	       le_get16(bytes.p + 4) == FORMAT;
}

void
fill_limit_frame(struct fill_limit *l, struct net_frame *f)
{
	uint16_t limit = le_get16(f->bytes.p + 6);

	if (limit <= FILL_LIMIT_MAX &&
	    ring_find(cluster_ring(l->config.cluster), f->from) != RING_NOBODY)
		take(l, limit);
	net_frame_free(f);
}

/* --- life ----------------------------------------------------------------- */

struct fill_limit *
fill_limit_new(const struct fill_limit_config *config)
{
	struct fill_limit *l = mem_zalloc(sizeof(*l));

	if (l)
		l->config = *config;
	return l;
}

struct fill_limit *
fill_limit_free(struct fill_limit *l)
{
	return mem_free(l);
}
