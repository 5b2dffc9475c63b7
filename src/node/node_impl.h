/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* node_impl - what node.c, node_open.c and node_cluster.c share. */
#ifndef SRC_NODE_NODE_IMPL_H
#define SRC_NODE_NODE_IMPL_H

#include <stdatomic.h>

#include "admin/control.h"
#include "http/cors.h"
#include "http/server.h"
#include "ring/identity.h"
#include "src/node/admin_host.h"
#include "src/node/core.h"
#include "http/logins.h"
#include "src/node/limits.h"
#include "src/node/node.h"
#include "src/node/reload.h"
#include "src/os/os.h"

/* Where a node goes on that stops for it. */
enum node_move {
	MOVE_NOWHERE, /* it ends */
	MOVE_JOIN,    /* in the cluster that let it in */
	MOVE_BACK,    /* in the cluster of its own that it came from */
	MOVE_OUT,     /* it has left the cluster, and ends */
};

struct report;

struct node {
	const struct conf *conf;
	struct log *log;
	struct os *os;
	const struct env *env;
	struct identity identity;
	struct ring *ring; /* what the disk had at the start */
	struct core *core;
	uint32_t n_workers;
	struct limits limits;
	struct http_server **servers;
	atomic_ullong inflight_bytes;
	atomic_uint n_connections;
	atomic_int up, failed, idle_workers, stopping;
	int ends; /* by a signal, whatever it stopped for */
	struct mono stop_since;
	struct env_timer **stop_timers;
	struct reload *reload;
	struct node_admin *admin;
	struct control *control;
	struct logins *logins;
	struct first_users *first_users; /* being made */
	atomic_uint n_know_users;        /* workers */
	char fatal[NODE_WHY_BYTES];
	enum node_move move;
	struct ring *to;         /* MOVE_JOIN */
	uint32_t transfer_limit; /* of the configuration */
	atomic_int removed;      /* by force: it serves nothing any more */
	struct metrics *metrics; /* workers, then the journal */
	struct wall started;
	struct cors *cors;
	struct ratelimit *ratelimit;
	struct report *report;
	const char *root; /* of the tree */
	int (*load)(void *arg, struct conf **out, char why[CONF_WHY_BYTES]);
	void *load_arg;
	struct pages *pages;          /* the web console */
	struct tls_context *tls;      /* NULL: no HTTPS */
	struct tls_context *next_tls; /* read, not in use yet */
};

/* What the kernel says of this process; 0: it does not. */
struct process {
	uint64_t cpu_us, resident_bytes, virtual_bytes, open_fds, threads;
};

/* --- node.c --------------------------------------------------------------- */

void node_dispatch(void *arg, uint32_t worker, struct msg *m);
void node_turn(void *arg, uint32_t worker);
void node_signal(void *arg, int signo);
void node_stop(struct node *n);
/* limits.*, of CONF, for WORKER. */
void node_set_limits(struct node *n, uint32_t worker, const struct conf *conf);
/* The keys that were read again. */
void node_apply_conf(void *arg, uint32_t worker, const struct conf *c);

/* --- node_tls.c ----------------------------------------------------------- */

int node_open_tls(struct node *n, char *why);
void node_close_tls(struct node *n);
/* Of reload_config. */
int node_load_again(void *arg, struct conf **out, char why[CONF_WHY_BYTES]);
int node_loaded(void *arg);

/* --- node_report.c -------------------------------------------------------- */

int node_open_report(struct node *n, char *why);
void node_close_report(struct node *n);

/* --- node_view.c, node_metrics.c, node_process.c -------------------------- */

/* Of http_config. */
int node_is_ready(void *arg);
void node_view(void *arg, struct http_view *v);
/* All that the node measures; worker 0. */
void node_expose(void *arg, struct expose *e);
void node_process(const struct node *n, struct process *out);

/* --- node_open.c ---------------------------------------------------------- */

int node_open(
    struct node *n, const struct node_options *o, const char *data, char *why);
void node_close(struct node *n);

/* --- node_auth.c ----------------------------------------------------------- */

int node_is_loopback(const char *ip);
/* The configuration lets the node start: 0, or WHY not. */
int node_auth_check(struct node *n, char *why);
/* Says what should be set before others can reach the node. */
void node_auth_warn(const struct node *n);
void node_auth_close(struct node *n);
/* roots.h */
struct auth_rules node_auth_rules(const struct conf *c);
void node_auth_publish(void *arg, uint32_t worker, struct auth_view *view);
void node_auth_first(void *arg, struct users *u);

/* --- node_retention.c ------------------------------------------------------ */

/* retention.* */
struct policy node_policy_defaults(const struct conf *c);
/* roots.h */
int node_policies_publish(void *arg, uint32_t worker, struct policies *table);
/* http/server.h: of users and policies. */
void node_ask_root(void *arg, enum root_which which, struct root_request *q);

/* --- node_cluster.c: what core.h calls ------------------------------------- */

void node_joined(void *arg, struct ring *ring);
void node_left(void *arg, enum ring_state was);
void node_published(void *arg, struct ring *ring);
int node_tell(void *arg, const char *name, const struct iovec *iov, int iov_n);
int node_tell_back(
    void *arg, const uint8_t node[16], const struct iovec *iov, int iov_n);
/* What the node does next; its parts have ended, and the disk is still there. */
int node_carry_out_move(struct node *n, char *why);

#endif
