/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net - frames between the nodes of a cluster, sealed: control over nanomsg,
 * bulk over lines, TCP connections to handoff.port (cluster.md sections 2.2 to
 * 2.5 and 7.2): env.net of the real machine.
 *
 * Owns:    one thread, two bound ports, a connection to each peer for control
 *          frames and lines for bulk ones, what waits for them, and the file in
 *          the runtime directory.
 * Shape:   best effort, as env.h says.  A frame reaches only the start of a
 *          node for which it was sealed, and at most once.
 * Bounds:  OS_NET_MEMBERS_MAX members, OS_NET_STRANGERS_MAX strangers; what
 *          waits for a peer, for each channel, is refused from 4 MiB on and
 *          dropped when nothing of it goes out for 2 seconds, or any of it for
 *          10; frames that come in pieces hold 64 MiB in all, and 5 seconds
 *          from piece to piece; a worker that is 64 MiB behind gets no more.
 * Thread:  said at each call.
 *
 * Before a node sends to another, each has had the other's boot (one start of
 * it) confirmed: this begins as soon as the other is a peer, and takes two
 * round trips.  Until then env.net.send says -ERR_NOTFOUND.
 */
#ifndef SRC_OS_NET_H
#define SRC_OS_NET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define OS_NET_MEMBERS_MAX   128
#define OS_NET_STRANGERS_MAX 64
#define OS_NET_TELL_MAX      (64u << 10) /* bytes; inclusive */
#define OS_NET_NAME_BYTES    256         /* with the NUL */

struct os;

struct os_net_config {
	uint8_t cluster_id[16], node_id[16], boot[16];
	const char *name;        /* own, name@host[:port]; may not be reached */
	const char *ip;          /* bound */
	uint16_t port;           /* 0: some free one */
	const char *line_ip;     /* bound for bulk frames, and so is */
	uint16_t line_port;      /* 0: some free one */
	int any_line_port;       /* and if that one is taken, too */
	const char *cookie;      /* of all nodes of a cluster */
	const char *runtime_dir; /* absolute; made 0700 when missing */
	/* On the thread of the transport; a kind of line at most every 10 s,
	 * of and for others than members only when they go on for 3 s: whoever
	 * joins or leaves is such a one for a moment. */
	void (*report)(void *arg, int is_error, const char *line);
	/* Another process has this node's id (a copied data directory): the
	 * node must stop.  On the thread of the transport, once. */
	void (*twin)(void *arg);
	void *arg;
};

/*
 * Binds the port; the thread runs from os_start to os_join.  After os_open, and
 * after the process has become a daemon.  Everything in CONFIG is copied.  On
 * failure WHY is one line for a person.
 */
int os_net_open(struct os *os, const struct os_net_config *config, char *why,
    size_t why_bytes);

struct os_net_peer {
	uint8_t id[16];
	char name[OS_NET_NAME_BYTES];
	char address[OS_NET_NAME_BYTES]; /* host:port, or "": by its name */
};

/*
 * Who is a member and where; without this node.  Peers that are not in it any
 * more are hung up.  -ERR_LIMIT: too many; -ERR_NOMEM; nothing has changed
 * then.  Any thread.
 */
int os_net_set_peers(
    struct os *os, const struct os_net_peer *peers, uint32_t n);

/*
 * One frame to whoever listens at NAME (name@host[:port]), member or not: it
 * comes as a stranger's.  At most OS_NET_TELL_MAX bytes; the slices are
 * borrowed until it returns.  -ERR_NOTFOUND: NAME is on this machine and does
 * not run.  -ERR_INVAL: not a name.  -ERR_BUSY: too much waits.  Any thread.
 */
int os_net_tell(
    struct os *os, const char *name, const struct iovec *iov, int n);
/* The same to one that has told us something, or is a peer, by its node id.
 * -ERR_NOTFOUND: not known, or not any more. */
int os_net_tell_back(
    struct os *os, const uint8_t node[16], const struct iovec *iov, int n);

uint16_t os_net_port(const struct os *os);
uint16_t os_net_line_port(const struct os *os);

/* X(name, what it counts).  Those of frames count messages, so each piece of a
 * long one. */
#define OS_NET_STAT_TABLE(X)                                                   \
	X(frames_sent, "messages handed to the network")                       \
	X(bytes_sent, "their bytes")                                           \
	X(frames_received, "messages that were taken")                         \
	X(bytes_received, "their bytes")                                       \
	X(dropped_busy, "frames that found too much waiting, here or there")   \
	X(dropped_old, "messages that waited too long")                        \
	X(dropped_unknown, "frames for peers that were not confirmed")         \
	X(dropped_memory, "frames there was no memory for")                    \
	X(refused_seal, "messages of another cookie, or damaged")              \
	X(refused_cluster, "messages of another cluster")                      \
	X(refused_replay, "messages that had come before")                     \
	X(refused_stale, "messages of or for another boot")                    \
	X(refused_other, "messages for another node")                          \
	X(refused_stranger, "messages of nodes that are no members")           \
	X(refused_malformed, "messages that are none")                         \
	X(refused_long, "frames that are too long")                            \
	X(dials, "connections begun")                                          \
	X(lines, "lines begun, for bulk frames")                               \
	X(refused_lines, "lines that were refused, here or there")

struct os_net_stats {
#define OS_NET_STAT_FIELD(name, text) uint64_t name;
	OS_NET_STAT_TABLE(OS_NET_STAT_FIELD)
#undef OS_NET_STAT_FIELD
};

/* Since os_net_open; zeros without it.  Any thread. */
void os_net_stats(const struct os *os, struct os_net_stats *out);

#endif
