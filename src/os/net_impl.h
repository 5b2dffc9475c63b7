/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net_impl - what the files of the transport share.
 *
 * Threads.  Workers seal with keys of their own and hand the message to nanomsg
 * themselves; what finds no room goes to an outbox.  Everything else is the
 * transport's thread: it opens what comes, keeps sessions, empties outboxes.
 * One lock guards the fields marked (L), those of a peer too; (T) belongs to
 * the thread alone.  Fields marked (LT) are written by the thread with the lock
 * held, so the thread reads them without.  A peer is freed by the thread only.
 */
#ifndef SRC_OS_NET_IMPL_H
#define SRC_OS_NET_IMPL_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "src/base/env.h"
#include "src/os/address.h"
#include "src/os/lookup.h"
#include "src/os/net.h"
#include "src/os/os_impl.h"
#include "src/os/pieces.h"
#include "src/os/seal.h"
#include "src/os/way.h"

#define NET_PEERS_MAX    (OS_NET_MEMBERS_MAX + OS_NET_STRANGERS_MAX)
#define NET_BODY_MAX     (WAY_MESSAGE_MAX - SEAL_BYTES)
#define NET_OUTBOX_MAX   (4u << 20)
#define NET_STUCK_US     2000000  /* nothing of what waits goes out */
#define NET_OUT_MAX_US   10000000 /* that anything waits */
#define NET_TELLS_MAX    16       /* that wait for one peer */
#define NET_PIECES_MAX   (64u << 20)
#define NET_MAIL_MAX     (64u << 20) /* that one worker has not come to */
#define NET_RETIRED_MAX  8
#define NET_NEVER        UINT64_MAX
#define NET_GREETING_MAX 32 /* lines that are not greeted yet */
#define NET_LINES_MAX    (2 * OS_NET_MEMBERS_MAX + NET_GREETING_MAX)

enum net_stat {
#define NET_STAT_ENUM(name, text) NET_##name,
	OS_NET_STAT_TABLE(NET_STAT_ENUM)
#undef NET_STAT_ENUM
	    NET_STAT_COUNT
};

struct net_out {
	struct net_out *next;
	void *message;
	size_t bytes;
	struct mono since;
};

struct net_outbox {
	struct net_out *first, **last;
	size_t bytes;
	struct mono moved; /* when it began, or something last went out */
};

/* What is told waits as it is: the boot of the receiver is not known yet. */
struct net_tell {
	struct net_tell *next;
	struct mono until;
	uint8_t to[16];               /* or */
	char name[OS_NET_NAME_BYTES]; /* "" */
	size_t n;
	uint8_t bytes[];
};

/* A key of a peer, with its window and the long frame under way. */
struct net_key {
	struct net_key *next;
	uint16_t number;
	struct seal_key *key;
	struct seal_window window;
	struct pieces pieces;
};

struct net_peer {
	uint64_t serial;                 /* its name while it lives */
	uint8_t id[16];                  /* (LT) zeros: not known yet */
	char name[OS_NET_NAME_BYTES];    /* (T) */
	char address[OS_NET_NAME_BYTES]; /* (T) "": by its name */
	int is_moved;                    /* (T) address or name has changed */
	int is_in_book;                  /* (T) while that is read */
	int is_member;                   /* (LT) else a stranger */

	int is_known;         /* (LT) its boot is confirmed */
	uint8_t boot[16];     /* (LT) */
	uint64_t floor;       /* (T) counter of the hello that confirmed it */
	struct net_key *keys; /* (T) of this boot */
	/* (T) boots that were confirmed before; the newest first */
	uint8_t retired[NET_RETIRED_MAX][16];
	int is_twin; /* (T) a retired boot came back: there are two */

	struct way way;         /* (LT) */
	uint16_t line_port;     /* (T) where it takes lines; 0: nowhere */
	struct mono line_at;    /* (T) a line is not begun before */
	uint64_t line_pause_us; /* (T) since the last that failed; 0: none */
	int line_error;         /* (LT) why that one did, ERR_*, or 0 */
	struct net_outbox outboxes[NET_CHANNEL_COUNT]; /* (L) */
	char dialed[ADDRESS_BYTES];                    /* (T) */
	struct mono dialed_at, looked_at;              /* (T) */

	int has_challenge; /* (T) one is open */
	uint8_t challenge[16];
	struct mono challenge_at;
	int owes_echo; /* (T) */
	uint8_t echo[16], echo_boot[16];
	int wants_hello;      /* (T) though it is known */
	struct mono hello_at; /* (T) not before */
	uint32_t n_hellos;    /* (T) unanswered */

	/* When the first of what was sent since it was last heard was sent; 0:
	 * nothing was.  Workers set it, with the lock held; the thread clears
	 * it. */
	_Atomic(uint64_t) unanswered_us;
	struct mono used; /* (T) strangers: the least recent goes */
	struct net_tell *tells, **last_tell; /* (T) */
	uint32_t n_tells;
};

/*
 * What a worker has not come to yet: a mark is posted behind the frames now and
 * then, and says when it arrives how far that is.
 */
struct net_mail {
	struct msg mark;
	uint64_t marked;        /* posted when the mark was */
	uint64_t posted;        /* (T) bytes, since the start */
	_Atomic(uint64_t) done; /* of them */
	atomic_int is_out;      /* the mark is on its way */
};

/*
 * A line: one TCP connection to handoff.port, dialed by whoever has something to
 * say.  (T) but for its outbox, which is its peer's.
 */
enum line_state {
	LINE_LOOKUP, /* of the host: no fd yet */
	LINE_CONNECTING,
	LINE_GREETING, /* until the other side has shown who it is */
	LINE_OPEN,
	LINE_DEAD,
};

struct net_line {
	struct net_line *next;
	enum line_state state;
	int fd;
	int is_ours;   /* we dialed it */
	uint64_t peer; /* serial; 0: not greeted yet */
	char address[ADDRESS_BYTES];
	struct lookup *lookup;
	struct mono begun, moved, used; /* moved: bytes went, either way */
	uint32_t poll_at;               /* 0: not asked for */
	uint8_t head[4];
	uint8_t *in; /* the message that comes, once its head is here */
	size_t in_n, in_got;
	void *out; /* the message that goes, and its head */
	size_t out_n, out_put;
	uint8_t out_head[4];
	uint8_t greeting[SEAL_BYTES]; /* ours, as it went out */
};

/* The short frames of one turn for one peer. */
struct net_bundle {
	uint8_t to[16];
	struct buf bytes;
};

/* Of one worker, whose thread alone uses them. */
struct net_bundles {
	struct net_bundle *of; /* CAP of them, N in use in this turn */
	uint32_t n, cap;
};

struct net {
	struct os *os;
	struct os_net_config config; /* its texts are ours */
	char name[OS_NET_NAME_BYTES], own_address[ADDRESS_BYTES];
	uint16_t port;
	int is_announced;
	struct way in;
	int line_fd; /* listens for lines */
	uint16_t line_port;
	struct net_line *lines;         /* (T) */
	uint32_t n_lines, line_poll_at; /* (T) */
	/* (T) when something was said of lines that others dialed; and of our
	 * own, with what that was, a text that stays */
	struct mono line_reported, own_line_reported;
	const char *own_line_said;
	int wake_fd;
	pthread_t thread;
	int started;
	atomic_int stopping;

	struct seal_key **keys; /* by number; the last is the thread's */
	_Atomic(uint64_t) counter;
	_Atomic(uint64_t) stats[NET_STAT_COUNT];

	pthread_mutex_t lock;
	struct net_peer *peers[NET_PEERS_MAX]; /* (LT) */
	uint32_t n_peers;                      /* (LT) */
	uint64_t next_serial;                  /* (T) */
	struct os_net_peer *book;              /* (L) not read yet, or NULL */
	uint32_t n_book;                       /* (L) */
	struct net_tell *asked, **last_asked;  /* (L) not with its peer yet */
	uint32_t n_asked;

	struct net_bundles *bundles;          /* by worker */
	struct net_mail *mails;               /* by worker */
	struct pieces_budget budget;          /* (T) */
	struct mono reported[NET_STAT_COUNT]; /* (T) */
	uint64_t reported_n[NET_STAT_COUNT];  /* (T) */
	/* (T) the first and the last of those that came in a row */
	struct mono refused_since[NET_STAT_COUNT], refused_at[NET_STAT_COUNT];
	int twin_told; /* (T) */
};

static inline void
net_count(struct net *net, enum net_stat which, uint64_t n)
{
	atomic_fetch_add_explicit(&net->stats[which], n, memory_order_relaxed);
}

struct mono net_now(const struct net *net);
void net_wake(struct net *net);
/* The number of the key of the transport's thread. */
uint16_t net_own_key(const struct net *net);

/* --- net.c: the thread ---------------------------------------------------- */

int net_start(struct net *net);
void net_join(struct net *net);
struct net *net_close(struct net *net); /* takes NULL, returns NULL */

/* Counts WHICH, and says so now and then; WHO may be NULL.  The thread. */
void net_refuse(
    struct net *net, enum net_stat which, const struct seal_head *who);
void net_say_twin(struct net *net);

/* --- net_peer.c: who there is, and the ways to them ----------------------- */

/* The lock is held, or it is the thread. */
struct net_peer *net_find(struct net *net, const uint8_t id[16]);
struct net_peer *net_find_serial(struct net *net, uint64_t serial);
int net_is_full(const struct net_peer *p, enum env_channel channel);
/* Hands M to the library, or to the outbox.  0; -ERR_BUSY: no memory, M is
 * freed.  The lock is held. */
int net_put(struct net *net, struct net_peer *p, enum env_channel channel,
    void *m, size_t bytes);
/* The lock is held. */
void net_drop_outboxes(struct net *net, struct net_peer *p);

/* All these: the thread, without the lock. */
struct net_peer *net_find_name(struct net *net, const char *name);
/* A stranger, in place of another when there are many; NULL: no memory. ID may
 * be NULL. */
struct net_peer *net_new_stranger(
    struct net *net, const uint8_t *id, const char *name, const char *address);
void net_remove(struct net *net, struct net_peer *p);
/* Reads a new address book. */
void net_take_book(struct net *net);
/* Connects anew, to where the peer is now. */
void net_dial(struct net *net, struct net_peer *p);
/* Dials when it is time; sends and drops what waits; may remove P. */
void net_tend_ways(struct net *net, struct net_peer *p, struct mono now);
/* When net_tend_ways has something to do though nobody calls.  The lock is
 * held. */
uint64_t net_ways_due_us(const struct net_peer *p);

/* The next of what waits for P on its lines, or NULL. */
void *net_take_bulk(struct net *net, struct net_peer *p, size_t *bytes);

/* --- net_line.c: one line for bulk frames ---------------------------------- */

/* NULL: no memory. */
struct net_line *net_line_new(struct net *net, int fd, int is_ours);
/* It is of no use any more; freed by net_sweep_lines. */
void net_line_end(struct net_line *l);
/* The same, and says WHAT, a text that stays; one that we dialed and that did not
 * open is not dialed again at once, and who wants to send there is told ERROR
 * (ERR_* or 0). */
void net_line_fail(
    struct net *net, struct net_line *l, int error, const char *what);
/* The greeting for P goes next. */
int net_line_greet(
    struct net *net, struct net_line *l, const struct net_peer *p);
void net_line_receive(struct net *net, struct net_line *l);
void net_line_send(struct net *net, struct net_line *l);
int net_line_has_out(struct net *net, struct net_line *l);
void net_sweep_lines(struct net *net);
void net_close_lines(struct net *net);
/* The lines to P end. */
void net_hang_up(struct net *net, struct net_peer *p);

/* --- net_lines.c: all of them --------------------------------------------- */

/* Listens for lines; WHY as for os_net_open. */
int net_listen_lines(struct net *net, const struct os_net_config *c, char *why,
    size_t why_bytes);
/* Adds what the lines wait for to FDS, which has room. */
void net_poll_lines(struct net *net, struct pollfd *fds, nfds_t *n);
/* FDS has been polled. */
void net_serve_lines(struct net *net, const struct pollfd *fds);
/* Dials, and ends what is over. */
void net_tend_lines(struct net *net, struct mono now);
uint64_t net_lines_due_us(struct net *net, struct mono now);

/* --- net_hello.c: whose boot is which ------------------------------------- */

void net_on_hello(
    struct net *net, const struct seal_head *h, struct slice frame);
/* Asks P for its boot soon, though it is known. */
void net_want_hello(struct net_peer *p);
/* P's boot is not believed any longer. */
void net_forget_boot(struct net *net, struct net_peer *p);
void net_tend_session(struct net *net, struct net_peer *p, struct mono now);
uint64_t net_session_due_us(
    const struct net_peer *p, struct mono now, int *room_wanted);

/* --- net_bundle.c: short frames, many in a message ------------------------ */

#define NET_SHORT_MAX (16u << 10) /* inclusive; what is longer goes alone */

/* All of these but the last two: the thread of WORKER.  -ERR_NOMEM: not
 * added. */
int net_bundle_add(struct net *net, uint32_t worker, const uint8_t to[16],
    const struct iovec *iov, int n, size_t bytes);
/* What waits for TO goes out now. */
void net_bundle_send(struct net *net, uint32_t worker, const uint8_t to[16]);
/* The end of the turn: all goes out. */
void net_flush(struct net *net, uint32_t worker);
/* The first frame of what is left of a body; -ERR_FORMAT: none. */
int net_bundle_next(struct slice *rest, struct slice *out);
void net_bundles_free(struct net_bundles *all);

/* --- net_receive.c -------------------------------------------------------- */

/* Handles one message. */
void net_on_message(struct net *net, struct slice message);
/* One of a line: a greeting, or what follows it.  0: taken, and from H's
 * sender. */
int net_on_line_message(
    struct net *net, struct slice message, int greets, struct seal_head *h);
void net_free_keys(struct net *net, struct net_peer *p);

/* --- net_send.c ----------------------------------------------------------- */

int net_send(void *ctx, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, const struct iovec *iov, int n);
/* The same without waiting for the end of the turn: a message of KIND, or its
 * pieces. */
int net_send_now(struct net *net, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, enum seal_kind kind, const struct iovec *iov,
    int n);
/* A message of the thread's own; HEAD lacks sender and counter. NULL: no
 * memory. */
void *net_seal(struct net *net, uint16_t number, struct seal_head *head,
    const struct iovec *iov, int n, size_t *bytes);
/* What was told, to its peers, and out. */
void net_take_asked(struct net *net);
void net_tend_tells(struct net *net, struct net_peer *p, struct mono now);
void net_free_tells(struct net *net, struct net_peer *p);

#endif
