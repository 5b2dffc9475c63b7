/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* net_rig - nodes that only send and keep frames, on loopback and free ports.
 */
#ifndef TESTS_OS_NET_RIG_H
#define TESTS_OS_NET_RIG_H

#include "src/os/net.h"
#include "src/os/seal.h"
#include "src/os/way.h"
#include "tests/os/rig.h"

/* A condition that another thread or node brings about; a hang fails the test
 * by its alarm. */
#define AWAIT(cond)                                                            \
	do {                                                                   \
		while (!(cond))                                                \
			rig_pause_us(500);                                     \
	} while (0)

struct node {
	uint8_t number; /* its id is this, sixteen times */
	uint32_t n_workers;
	uint16_t port; /* 0: some free one */
	const char *cookie, *runtime_dir, *name;
	const char *line_ip; /* where it listens for lines; others dial
				127.0.0.1 */
	uint16_t line_port;  /* 0: some free one */
	uint8_t cluster, boot;

	struct rig *rig;
	char own_name[64];
	pthread_mutex_t lock;
	struct net_frame **frames; /* in the order they came; see node_frame */
	uint32_t n_room;
	atomic_uint n_frames, n_twins, n_lines;
	atomic_uint
	    ping; /* the last that came; pings are not with the frames */
	char last_line[256];
	uint32_t pinged;        /* the last that it sent */
	pthread_mutex_t *stall; /* NULL, or what its workers wait for */
};

/* What is 0 gets a default: one worker, a cookie, cluster 1, the next boot.  *N
 * stays where it is. */
void node_start(struct node *n);
void node_stop(struct node *n);
/* Drops what came, and starts as another boot on the same port. */
void node_restart(struct node *n);

uint16_t node_port(const struct node *n);
void node_id(const struct node *n, uint8_t out[16]);
/* The peers of N are the COUNT nodes of OTHERS, by their addresses. */
void node_peers(struct node *n, struct node *const *others, uint32_t count);
/* N's only peer is OTHER, at PORT of this machine. */
void node_peer_at(struct node *n, const struct node *other, uint16_t port);
/* A and B have each other. */
void node_pair(struct node *a, struct node *b);

/* On worker W of FROM. */
int node_send_on(struct node *from, uint32_t w, const struct node *to,
    enum env_channel channel, const void *p, size_t bytes);
int node_send(struct node *from, const struct node *to,
    enum env_channel channel, const void *p, size_t bytes);
/* Sends until it says 0. */
void node_must_send(struct node *from, const struct node *to,
    enum env_channel channel, const void *p, size_t bytes);
/* Until frames go both ways; none is under way then. */
void node_await_peers(struct node *a, struct node *b);

/* The I-th that came, waiting for it. */
struct net_frame *node_frame(struct node *n, uint32_t i);
/* Forgets what came. */
void node_forget(struct node *n);
struct os_net_stats node_stats(const struct node *n);

/*
 * One that stands between: what comes to its port it hands on, message by
 * message, and keeps.
 */
struct relay_message {
	uint8_t *p;
	size_t n;
};

struct relay {
	uint16_t port;
	atomic_int holds; /* keeps frames without handing them on; not hellos */
	atomic_int pauses; /* reads nothing */
	atomic_uint n_kept, n_handed;
	struct relay_message kept[256];
	struct way in, out;
	pthread_t thread;
	atomic_int stops;
};

void relay_start(struct relay *r, const struct node *to);
void relay_stop(struct relay *r);
/* Puts the N bytes at P on the way to the receiver. */
void relay_inject(struct relay *r, const void *p, size_t n);
/* Whether the I-th that was kept is a frame, not a hello. */
int relay_is_frame(const struct relay *r, uint32_t i);

#endif
