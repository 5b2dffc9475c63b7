/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* node_cluster - what the cluster means for the process: peers, and going on in
 * another cluster. */
#include "src/node/node_impl.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/node/home.h"
#include "src/os/net.h"

static void
move(struct node *n, enum node_move where, struct ring *to)
{
	if (n->stopping)
		return;
	n->move = where;
	n->to = to ? ring_ref(to) : NULL;
	node_stop(n);
}

void
node_joined(void *arg, struct ring *ring)
{
	struct node *n = arg;

	log_write(n->log, LOG_INFO,
	    "let into a cluster of %u members: going on there",
	    ring->n_members - 1u);
	move(n, MOVE_JOIN, ring);
}

void
node_left(void *arg, enum ring_state was)
{
	struct node *n = arg;

	if (was == RING_JOINING && n->identity.joined) {
		log_write(n->log, LOG_INFO,
		    "no longer asked to join: going back to the cluster of "
		    "its own");
		move(n, MOVE_BACK, NULL);
	} else if (was == RING_LEAVING || was == RING_EXITING) {
		log_write(n->log, LOG_INFO, "left the cluster");
		move(n, MOVE_OUT, NULL);
	} else {
		atomic_store(&n->removed, 1);
		os_net_set_peers(n->os, NULL, 0);
		log_write(n->log, LOG_ERROR,
		    "this node was removed from the cluster by force: it keeps "
		    "its data and serves nothing; to use it again, stop it, "
		    "move its data directory away, start it and join it");
	}
}

/* Peers, and who has just left and must hear of it. */
void
node_published(void *arg, struct ring *ring)
{
	struct node *n = arg;
	const struct ring_member *gone[CLUSTER_DEPARTED_MAX];
	uint32_t n_gone = cluster_departed(core_cluster(n->core), gone);
	uint32_t n_peers = 0;
	struct os_net_peer *peers =
	    mem_calloc(ring->n_members + n_gone + 1, sizeof(*peers));
	int r = peers ? 0 : -ERR_NOMEM;

	for (uint32_t i = 0; peers && i < ring->n_members + n_gone; i++) {
		const struct ring_member *m = i < ring->n_members
						  ? &ring->members[i]
						  : gone[i - ring->n_members];
		struct os_net_peer *p = &peers[n_peers];

		if (memcmp(m->id, n->identity.node_id, 16) == 0)
			continue;
		memcpy(p->id, m->id, 16);
		memcpy(p->name, m->name, sizeof(p->name));
		memcpy(p->address, m->address, sizeof(p->address));
		n_peers++;
	}
	if (r == 0)
		r = os_net_set_peers(n->os, peers, n_peers);
	if (r)
		log_write(
		    n->log, LOG_ERROR, "the other members: %s", err_text(r));
	mem_free(peers);
}

int
node_tell(void *arg, const char *name, const struct iovec *iov, int iov_n)
{
	struct node *n = arg;

	return os_net_tell(n->os, name, iov, iov_n);
}

int
node_tell_back(
    void *arg, const uint8_t node[16], const struct iovec *iov, int iov_n)
{
	struct node *n = arg;

	return os_net_tell_back(n->os, node, iov, iov_n);
}

/* What the node does next; its parts have ended, and the disk is still there. */
int
node_carry_out_move(struct node *n, char *why)
{
	const char *name = conf_str(n->conf, CONF_nodename);
	int r = 0;

	switch (n->move) {
	case MOVE_JOIN:
		r = home_join(n->env, name, &n->identity, n->to);
		break;
	case MOVE_BACK:
		r = home_go_back(n->env, name, &n->identity);
		break;
	case MOVE_OUT:
		r = home_leave(n->env, name, &n->identity);
		break;
	case MOVE_NOWHERE:
		break;
	}
	if (r)
		snprintf(why, NODE_WHY_BYTES,
		    "the data directory of another cluster: %s", err_text(r));
	return r;
}
