/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* cluster - which ring is in use, and who is told. */
#include "src/node/cluster_impl.h"

#include "ring/plan.h"
#include "ring/ring_file.h"
#include "ring/targets.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/event.h"

uint64_t
cluster_now(const struct cluster *c)
{
	return c->env->clock.mono(c->env->clock.ctx).us;
}

/* --- placements ----------------------------------------------------------- */

static struct placement *
placement_new(const struct ring *r, uint32_t n)
{
	struct placement *p =
	    mem_zalloc(sizeof(*p) + n * sizeof(struct placement_replica));

	if (p)
		p->epoch = r->epoch;
	return p;
}

static void
place_on(struct placement *p, const struct ring *r, uint16_t member, int voter)
{
	struct placement_replica *at = &p->at[p->n++];

	memcpy(at->node, r->members[member].id, 16);
	at->voter = voter;
	if (p->n == 1)
		memcpy(p->preferred, at->node, 16);
}

static struct placement *
place_group(const struct ring *r, uint16_t group)
{
	uint16_t at[RING_COPIES_MAX];
	uint32_t n = ring_targets(r, group, at);
	struct placement *p = placement_new(r, n);

	for (uint32_t i = 0; p && i < n; i++)
		place_on(p, r, at[i], 1);
	return p;
}

/* All members have the root; a few of them vote. */
static struct placement *
place_root(const struct ring *r)
{
	uint16_t at[RING_VOTERS_MAX];
	uint32_t n = ring_root_voters(r, at);
	struct placement *p = placement_new(r, r->n_members);

	for (uint32_t i = 0; p && i < n; i++)
		place_on(p, r, at[i], 1);
	for (uint16_t m = 0; p && m < r->n_members; m++) {
		int votes = 0;

		for (uint32_t i = 0; i < n; i++)
			votes |= at[i] == m;
		if (!votes)
			place_on(p, r, m, 0);
	}
	return p;
}

/* A placement that finds no memory is made again with the next ring. */
static void
place_all(struct cluster *c)
{
	for (uint32_t g = 0; g <= c->gossip.ring->q; g++) {
		struct placement *p =
		    g < c->gossip.ring->q
			? place_group(c->gossip.ring, (uint16_t)g)
			: place_root(c->gossip.ring);

		if (p && store_place(*c->config.store, g, p))
			mem_free(p);
	}
}

/* --- workers -------------------------------------------------------------- */

struct ring_call {
	struct msg msg;
	struct cluster *cluster;
	struct ring *ring;
	uint32_t worker;
};

static void
take_ring(struct msg *m)
{
	struct ring_call *call = CONTAINER_OF(m, struct ring_call, msg);

	router_set_ring(call->cluster->config.router, call->worker, call->ring);
	ring_unref(call->ring);
	mem_free(call);
}

static void
tell_workers(struct cluster *c)
{
	const struct env_post *post = &c->env->post;

	for (uint32_t i = 0; i < post->n_workers; i++) {
		struct ring_call *call = mem_zalloc(sizeof(*call));

		if (!call)
			continue; /* goes by the last one */
		*call = (struct ring_call){
		    .msg = {.kind = MSG_CALL, .fn = take_ring},
		    .cluster = c,
		    .ring = ring_ref(c->gossip.ring),
		    .worker = i,
		};
		post->to_worker(post->ctx, i, &call->msg);
	}
}

/* --- the disk ------------------------------------------------------------- */

struct saving {
	struct env_job job;
	struct msg msg;
	struct cluster *cluster;
	struct ring *ring;
	int r;
};

static void save(struct cluster *c);

static void
saved(struct msg *m)
{
	struct saving *s = CONTAINER_OF(m, struct saving, msg);
	struct cluster *c = s->cluster;

	if (s->r)
		log_write(c->config.log, LOG_ERROR,
		    "the ring cannot be saved: %s; this node goes on with it, "
		    "and gets it again from the others after a restart",
		    err_text(s->r));
	c->saving = NULL;
	c->n_out--;
	ring_unref(s->ring);
	mem_free(s);
	save(c);
}

/* LANE_FLUSH. */
static void
run_save(struct env_job *job)
{
	struct saving *s = CONTAINER_OF(job, struct saving, job);
	const struct env_post *post = &s->cluster->env->post;

	s->r = ring_file_save(
	    s->cluster->env, s->cluster->config.identity->dir, s->ring);
	s->msg = (struct msg){.kind = MSG_CALL, .fn = saved};
	post->to_worker(post->ctx, 0, &s->msg);
}

/* The newest, once the one before is there. */
static void
save(struct cluster *c)
{
	const struct env_post *post = &c->env->post;
	struct saving *s;

	if (c->saving || !c->unsaved)
		return;
	s = mem_zalloc(sizeof(*s));
	if (!s)
		return; /* with the next one */
	s->job.run = run_save;
	s->cluster = c;
	s->ring = c->unsaved;
	c->unsaved = NULL;
	c->saving = s;
	c->n_out++;
	post->to_lane(post->ctx, LANE_FLUSH, &s->job);
}

/* --- publishing ----------------------------------------------------------- */

static int
same_targets(const struct ring *a, const struct ring *b)
{
	if (a->n_members != b->n_members)
		return 0;
	for (uint16_t i = 0; i < a->n_members; i++)
		if (memcmp(a->members[i].id, b->members[i].id, 16) != 0)
			return 0;
	return memcmp(a->next_owners, b->next_owners,
		   a->q * sizeof(*a->next_owners)) == 0;
}

#define DEPARTED_US 10000000

static int
has_name(const struct ring *r, const char *name)
{
	for (uint16_t i = 0; i < r->n_members; i++)
		if (strcmp(r->members[i].name, name) == 0)
			return 1;
	return 0;
}

/* Members of OLD that NEW does not have hear of it for a while; but where one of
 * the same name is now, there is nobody to tell. */
static void
find_departed(struct cluster *c, const struct ring *old, const struct ring *new)
{
	uint64_t until = cluster_now(c) + DEPARTED_US;

	for (uint16_t i = 0; i < old->n_members; i++) {
		struct departed *d = c->departed;

		if (ring_find(new, old->members[i].id) != RING_NOBODY ||
		    has_name(new, old->members[i].name))
			continue;
		for (uint32_t k = 1; k < CLUSTER_DEPARTED_MAX; k++)
			if (c->departed[k].until_us < d->until_us)
				d = &c->departed[k];
		d->member = old->members[i];
		d->until_us = until;
	}
}

uint32_t
cluster_departed(const struct cluster *c,
    const struct ring_member *out[CLUSTER_DEPARTED_MAX])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < CLUSTER_DEPARTED_MAX; i++)
		if (c->departed[i].until_us > cluster_now(c))
			out[n++] = &c->departed[i].member;
	return n;
}

/* The ring in use is another one. */
static void
tell_all(struct cluster *c)
{
	struct mono now = {cluster_now(c)};

	peers_set(c->config.peers, c->gossip.ring, now);
	place_all(c);
	tell_workers(c);
	if (c->config.published)
		c->config.published(c->config.arg, c->gossip.ring);
}

void
cluster_lost(struct cluster *c)
{
	const struct ring *old = c->gossip.ring;
	uint16_t me = ring_find(old, c->config.identity->node_id);

	if (c->gone || c->stopping)
		return;
	c->gone = 1;
	if (c->config.left)
		c->config.left(c->config.arg,
		    me == RING_NOBODY ? RING_VALID : old->members[me].state);
}

static void
log_ring(const struct cluster *c, const struct ring *r)
{
	char plan[RING_PLAN_TEXT_BYTES] = "";

	if (r->has_plan)
		ring_plan_text(r->plan_id, plan);
	log_write(c->config.log, LOG_INFO,
	    "ring epoch %llu: %u members, %u changes staged%s%s",
	    (unsigned long long)r->epoch, r->n_members, r->n_staged,
	    r->has_plan ? ", plan " : "", plan);
}

void
cluster_publish(struct cluster *c, struct ring *ring)
{
	struct member_beat *beats;
	struct ring *old = c->gossip.ring;

	if (ring->epoch <= old->epoch || c->gone ||
	    memcmp(ring->cluster_id, old->cluster_id, 16) != 0 ||
	    ring->q != old->q)
		return;
	if (ring_find(ring, c->config.identity->node_id) == RING_NOBODY) {
		cluster_lost(c);
		return;
	}
	beats = beats_of(c, ring);
	ring_ref(old);
	if (!beats || gossip_set_ring(&c->gossip, ring)) {
		ring_unref(old);
		mem_free(beats);
		return; /* no memory: with the next beat */
	}
	find_departed(c, old, ring);
	if (!same_targets(ring, old))
		c->targets_since = ring->epoch;
	ring_unref(old);
	mem_free(c->beats);
	c->beats = beats;
	log_ring(c, ring);
	tell_all(c);
	ring_unref(c->unsaved);
	c->unsaved = ring_ref(ring);
	save(c);
	if (!c->stopping)
		beats_send(c); /* the claimant waits for it */
}

/* --- what the root group says --------------------------------------------- */

void
cluster_fill_read(
    const struct cluster *c, const char *stream, struct vnode_read *req)
{
	*req = (struct vnode_read){
	    .msg = {.kind = MSG_READ},
	    .group = c->gossip.ring->q,
	    .bucket = SLICE_LIT(ROOT_BUCKET),
	    .stream = SLICE_STR(stream),
	    .to = UINT64_MAX,
	    .last_n = 1,
	    .limit = 1,
	    .max_bytes = RING_ENCODED_MAX,
	};
}

struct slice
cluster_newest_in(const struct vnode_read *req)
{
	const struct vnode_page *page = &req->page;
	struct event e;
	uint32_t bytes;

	if (req->r || page->n_parts == 0 ||
	    event_decode(
		page->parts[page->n_parts - 1].records, 0, &e, &bytes) ||
	    e.seq != req->newest)
		return SLICE(NULL, 0);
	return e.data;
}

struct ring *
cluster_ring_in(const struct vnode_read *req)
{
	struct slice newest = cluster_newest_in(req);
	struct ring *ring;

	return newest.n && ring_decode(newest, &ring) == 0 ? ring : NULL;
}

/* A look at what the root's replica here has. */
struct look {
	struct vnode_read read;
	struct cluster *cluster;
	void (*seen)(struct cluster *c, const struct vnode_read *req);
};

static void
looked(struct msg *m)
{
	struct look *l = CONTAINER_OF(m, struct look, read.msg);
	struct cluster *c = l->cluster;

	c->n_out--;
	if (!c->stopping && l->read.r == 0)
		l->seen(c, &l->read);
	vnode_page_deinit(&l->read.page);
	mem_free(l);
}

static void
look_at(struct cluster *c, const char *stream,
    void (*seen)(struct cluster *c, const struct vnode_read *req))
{
	const struct env_post *post = &c->env->post;
	struct look *l = mem_zalloc(sizeof(*l));

	if (!l)
		return; /* with the next change, or beat */
	cluster_fill_read(c, stream, &l->read);
	l->read.any = 1;
	l->read.msg.fn = looked;
	l->seen = seen;
	l->cluster = c;
	c->n_out++;
	post->to_worker(
	    post->ctx, c->gossip.ring->q % post->n_workers, &l->read.msg);
}

static void
saw_ring(struct cluster *c, const struct vnode_read *req)
{
	struct ring *ring = cluster_ring_in(req);

	if (ring)
		cluster_publish(c, ring);
	ring_unref(ring);
}

struct changed {
	struct msg msg;
	struct cluster *cluster;
};

static void
look(struct msg *m)
{
	struct changed *ch = CONTAINER_OF(m, struct changed, msg);
	struct cluster *c = ch->cluster;

	mem_free(ch);
	atomic_store(&c->looking, 0); /* what comes from now on is seen again */
	if (c->stopping)
		return;
	look_at(c, ROOT_STREAM, saw_ring);
	if (c->config.looked)
		c->config.looked(c->config.root_arg);
}

void
cluster_changed(void *arg)
{
	struct cluster *c = arg;
	const struct env_post *post = &c->env->post;
	struct changed *ch;

	if (atomic_exchange(&c->looking, 1))
		return;
	ch = mem_zalloc(sizeof(*ch));
	if (!ch) {
		atomic_store(&c->looking, 0);
		return;
	}
	ch->cluster = c;
	ch->msg = (struct msg){.kind = MSG_CALL, .fn = look};
	post->to_worker(post->ctx, 0, &ch->msg);
}

/* --- life ----------------------------------------------------------------- */

struct cluster *
cluster_new(const struct cluster_config *config, struct ring *ring)
{
	struct cluster *c = mem_zalloc(sizeof(*c));

	if (!c)
		return NULL;
	c->config = *config;
	c->env = config->env;
	c->last = &c->first;
	c->targets_since = ring->epoch;
	buf_init(&c->editing.bytes, RING_ENCODED_MAX);
	c->beats = beats_of(c, ring);
	if (!c->beats || gossip_init(&c->gossip, ring))
		return cluster_free(c);
	return c;
}

struct cluster *
cluster_free(struct cluster *c)
{
	if (!c)
		return NULL;
	buf_deinit(&c->editing.bytes);
	ring_unref(c->editing.made);
	ring_unref(c->unsaved);
	gossip_deinit(&c->gossip);
	mem_free(c->beats);
	return mem_free(c);
}

int
cluster_start(struct cluster *c)
{
	for (uint32_t i = 0; i < c->env->post.n_workers; i++)
		router_set_ring(c->config.router, i, c->gossip.ring);
	tell_all(c);
	cluster_changed(c);
	return 0;
}

void
cluster_stop(struct cluster *c)
{
	c->stopping = 1;
	editing_stop(c);
}

void
cluster_tick(struct cluster *c)
{
	if (c->stopping)
		return;
	save(c);
	beats_tick(c);
	editing_tick(c);
}

/* --- looking -------------------------------------------------------------- */

struct ring *
cluster_ring(const struct cluster *c)
{
	return c->gossip.ring;
}

int
cluster_is_self(const struct cluster *c, uint16_t i)
{
	return memcmp(c->gossip.ring->members[i].id,
		   c->config.identity->node_id, 16) == 0;
}

int
cluster_is_up(const struct cluster *c, uint16_t i)
{
	return peers_is_up(c->config.peers, c->gossip.ring->members[i].id);
}

int
cluster_agrees(const struct cluster *c, uint16_t i)
{
	return cluster_is_self(c, i) || memcmp(c->beats[i].hash, c->gossip.hash,
					    sizeof(c->gossip.hash)) == 0;
}

int
cluster_is_gone(const struct cluster *c)
{
	return c->gone;
}

uint16_t
cluster_claimant(const struct cluster *c)
{
	uint16_t best = RING_NOBODY;
	uint64_t term = 0;

	if (c->gossip.ring->n_members == 1)
		return 0; /* elected or about to be */
	for (uint16_t i = 0; i < c->gossip.ring->n_members; i++) {
		const struct beat *told = &c->beats[i].told;

		if (cluster_is_self(c, i) &&
		    store_leads(*c->config.store, c->gossip.ring->q))
			return i;
		if (told->leads && told->root_term >= term &&
		    cluster_is_up(c, i)) {
			best = i;
			term = told->root_term;
		}
	}
	return best;
}
