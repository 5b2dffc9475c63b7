/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * http_impl - what the files of the edge share: the server of a worker, its
 * connections, and their requests.
 */
#ifndef HTTP_HTTP_IMPL_H
#define HTTP_HTTP_IMPL_H

#include "http/cors.h"
#include "http/counts.h"
#include "http/out.h"
#include "http/parser.h"
#include "http/server.h"
#include "http/uri.h"
#include "http/jwt.h"
#include "http/logins.h"
#include "ring/hash.h"
#include "src/base/json.h"
#include "src/base/list.h"
#include "src/os/tcp.h"
#include "vnode/vnode_msg.h"

#define IN_BYTES          (16u << 10) /* of an input or text block */
#define SPARE_BLOCKS      64
#define HTTP_LISTEN_KINDS 3 /* as in listen.h */

struct conn;
struct listener;
struct request;

/* What a connection waits for.  Each kind has one length, so a list that is
 * appended to is in order of deadlines. */
enum wait {
	WAIT_NONE,
	WAIT_IDLE,  /* the first byte of a request */
	WAIT_HEAD,  /* the rest of a head */
	WAIT_BODY,  /* the next look at how fast a body comes */
	WAIT_WRITE, /* the peer to read on */
	WAIT_DRAIN, /* the peer to close */
	WAIT_USERS, /* a listener: this node to know its users */
	WAIT_COUNT,
};

struct http_server {
	struct http_config config;
	uint32_t worker;
	struct tcp_listener *listener, *tls_listener; /* or NULL */
	struct list conns;
	uint32_t n_conns, n_surplus;
	struct list waits[WAIT_COUNT]; /* connections */
	struct list asked;             /* requests, by deadline */
	struct list dirty;    /* connections whose requests have answered */
	struct list patching; /* patch_calls, one a stream */
	struct msg flush;     /* runs them, behind the answers of this turn */
	int flush_posted;
	struct block *spare[SPARE_BLOCKS];
	uint32_t n_spare;
	struct env_timer *tick;
	struct listen_server *listen;
	struct ring_hash *hash;
	struct json_checker *json;
	uint64_t date_s; /* of DATE */
	char date[TIME_HTTP_BYTES];
	uint64_t next_id;
	int stopping;
	uint64_t user_rps, anonymous_rps; /* 0: no limit */
	struct counts *counts;
	atomic_uint n_listeners[HTTP_LISTEN_KINDS];
	struct metrics_shard *metrics; /* or NULL */
	struct auth_view *auth;        /* NULL: not known yet */
	struct policies *policies;     /* the same */
	struct token_cache *tokens;
};

/* What a route needs (http-api.md section 3), on the bucket and stream of its
 * path. */
enum permission {
	PERM_NONE,    /* open to everyone, but for a bad token */
	PERM_ANYBODY, /* the same, once users are known here */
	PERM_GET,
	PERM_PUT,
	PERM_DELETE,
	PERM_GRANT,
	PERM_GRANT_OR_GET,
	PERM_LIST,
	PERM_LIST_ALL,   /* list on everything */
	PERM_ADMINUSERS, /* on the magic bucket */
	PERM_METRICS,    /* get on `$sys`, unless metrics.public */
};

typedef void (*handler_fn)(struct request *rq);

struct route {
	const char *method;
	/* Segments; `:b`, or `:B` that may be `*`, and `:s` are names; others
	 * with a colon are the handler's. */
	const char *pattern;
	enum permission permission;
	int json;           /* gives nothing but application/json */
	handler_fn check;   /* before the body is read; may answer; or NULL */
	handler_fn handler; /* with the body */
};

/* What may be in flight beside each other on one connection. */
enum request_class {
	CLASS_ALONE,
	CLASS_SAFE,
	CLASS_APPEND,
};

#define REQUEST_ID_BYTES 65

/* One request, from its head to its last answer byte. */
struct request {
	struct conn *conn; /* NULL once the connection is gone */
	struct http_server *server;
	struct list link;  /* of the connection, in the order they came */
	struct list asked; /* of the server */
	struct mono deadline;
	enum request_class class;
	const struct route *route;
	struct block *in;         /* the head stands here */
	struct block *body_block; /* the body */
	const uint8_t *base;      /* of the head's spans */
	struct slice method, target, body;
	struct uri uri;
	struct slice bucket, stream; /* of the route's pattern */
	struct auth_identity who;
	uint64_t checked_at;       /* the view that it was let in by */
	struct api_auth *asking;   /* a login or a change of users */
	struct api_policy *policy; /* a change of policies */
	struct slice accept;
	struct slice origin; /* in the head's block */
	/* How it stands with the limit; 0: there is none. */
	uint64_t limit_rps, limit_left, limit_reset_s;
	int limit_user;   /* not of an address */
	uint64_t charged; /* of http.max_inflight */
	uint32_t group;
	int is_head, keep_alive, http10, problem;
	int in_store; /* a message of it is under way */
	int done;     /* the last byte of the answer is out */
	int proposed; /* a write: nobody knows what a timeout means */
	int stalled;  /* goes on when it is first and the output has drained */
	int status;
	uint64_t bytes_out;
	struct mono started;
	char id[REQUEST_ID_BYTES];
	struct out out; /* while others are before it */

	/* an append */
	struct vnode_put put;
	struct vnode_put_event event;
	int batch;
	struct vnode_put_event *events; /* of a batch; mem_alloc'd */
	uint32_t n_events;

	uint64_t n_appended, appended_bytes; /* acknowledged */

	/* a read */
	struct vnode_read read;
	int ndjson, raw, desc, streaming, stage, download;
	int any, stale, immutable;
	struct slice if_none_match; /* in the head's block */
	uint64_t incarnation;
	int has_since, has_until, has_from, has_to;
	int64_t from_arg;
	uint64_t to_arg, since, until, limit;
	uint64_t from, to;             /* with since and until in them */
	uint64_t since_seq, until_seq; /* what they stand for, inclusive */
	/* as they were when the first page was read */
	uint64_t range_first, range_last, kept_first, newest;
	uint64_t next, last, left; /* still to send: next..last, at most left */
	struct out items;          /* rendered, not in the answer yet */
	uint64_t n_read;           /* events */

	struct listener *listener; /* it listens: listen.h */
	/* an end */
	struct vnode_delete del;
	struct drop_call *drop; /* of a bucket */

	/* a list */
	struct list_call *list;
	struct patch_call *patch;
	struct vnode_ping ping;
	struct http_view view;

	uint8_t *store; /* Accept, decoded path and query */
	uint8_t storage[];
};

enum conn_state {
	CONN_HEAD,
	CONN_HELD, /* the head is there, but must wait for those before it */
	CONN_BODY,
	CONN_SKIP,   /* a body that nobody wants */
	CONN_SOCKET, /* what comes is a listener's */
	CONN_END,    /* no further request is taken */
	CONN_DRAIN,  /* all is answered: reads on so that it arrives */
};

struct conn {
	uint32_t magic;
	struct http_server *server;
	struct tcp *tcp;
	struct list link, dirty, waiting;
	enum wait wait;
	struct mono deadline;
	enum conn_state state;
	struct block *in; /* NULL while idle */
	uint32_t in_at;   /* first byte that was not used */
	struct parser_head head;
	struct parser_chunked chunked;
	struct block *body;      /* of a chunked one */
	struct request *reading; /* its body is */
	uint64_t body_left;      /* to be skipped */
	uint64_t body_got, charged, drained;
	struct mono body_since;
	struct list requests;
	uint32_t n_requests;
	struct out out;
	uint64_t queued; /* bytes in `out` of requests that are not first */
	int running, eof, broken, reset;
	int impatient; /* it has waited for users long enough */
	int surplus;   /* beyond http.max_connections: only to be told so */
};

/* --- conn.c --------------------------------------------------------------- */

void conn_accept(void *server, struct tcp *tcp);
/* Ends it, at once or when the connection's own code has returned, so that the
 * peer cannot take what it got for all there was. */
void conn_reset(struct conn *c);
void conn_free(struct conn *c);
/* The deadline of what it waits for is over. */
void conn_expired(struct conn *c);
/* The node stops: an idle one goes. */
void conn_stop(struct conn *c);
void conn_run(struct conn *c);
/* A request has answered: the connection goes on in this turn. */
void conn_kick(struct conn *c);
int conn_is_first(const struct request *rq);
/* Whether RQ may put more into the output now. */
int conn_has_room(const struct request *rq);

/* --- conn_in.c: from bytes to requests ------------------------------------ */

void conn_in_init(struct conn *c);
/* One step; 1: something moved. */
int conn_step(struct conn *c);
int conn_may_read(const struct conn *c);
/* 0, TCP_E_*, -ERR_*. */
int conn_read(struct conn *c);
/* The peer has sent all it will send. */
void conn_input_ended(struct conn *c);
/* An error instead of an answer; no further request is taken. */
void conn_refuse(struct conn *c, int status, const char *type, const char *why);
/* The same, with 503. */
void conn_refuse_for_now(struct conn *c, const char *why);
int conn_body_too_slow(const struct conn *c, struct mono now);
struct slice conn_input(const struct conn *c);

/* --- server.c ------------------------------------------------------------- */

struct mono server_now(const struct http_server *s);
const char *server_date(struct http_server *s);
/* Blocks of IN_BYTES are used again. */
struct block *server_block(struct http_server *s);
void server_give_block(struct http_server *s, struct block *b);
/* N more bytes of clients are in memory, charged to http.max_inflight until they
 * are uncharged; 0: it is exceeded. */
int server_charge(struct http_server *s, uint64_t n);
void server_uncharge(struct http_server *s, uint64_t n);

/* --- requests: route.c ---------------------------------------------------- */

enum request_class request_class(struct slice method, struct slice target);
/* Of entry I of the table of routes; NULL: there are no more. */
const char *route_pattern(uint32_t i);
/* Finds the route and checks all that needs no body; may answer. */
void request_route(struct request *rq);
/* Only while check or handler of the route runs. */
struct slice request_header(const struct request *rq, const char *name);
uint32_t request_header_count(const struct request *rq, const char *name);
/* 0: not there (or bad escape, which routing refused before). */
int request_param(struct request *rq, const char *name, struct slice *out);
/* The request's message to the store goes out, or is back. */
void request_send(struct request *rq, struct msg *m, void (*fn)(struct msg *));
/* Back from the store: 0 when nobody waits for it any more (then RQ is gone).
 */
int request_back(struct request *rq);
/* An answer must come in time. */
void request_watch(struct request *rq);
/* The same within US. */
void request_watch_for(struct request *rq, uint64_t us);
void request_log(struct request *rq);
/* RQ is given up or done with. */
void request_free(struct request *rq);
/* No answer came in time. */
void request_timed_out(struct request *rq);

/* --- who asks: auth.c ------------------------------------------------------ */

struct token_cache *token_cache_new(void); /* or NULL */
struct token_cache *token_cache_free(struct token_cache *c);
/* RQ is told who it is; else it has been answered, and 0. */
int request_identify(struct request *rq);
/* The head that C has is of a listener, and who may listen is not known yet: it
 * is not answered before that, or request.timeout.  EventSource never comes
 * back after a 503. */
int conn_waits_for_users(const struct conn *c);
/* They are known. */
void conn_goes_on_with_users(struct conn *c);
/* Whether it may what its route needs; else it has been answered, and 0. */
int request_allow(struct request *rq);
/* The same when its body has come, if anything was changed since. */
int request_still_allowed(struct request *rq);
/* Whether RQ may PERMISSION (a bit of ring/auth.h) on BUCKET, STREAM, now. */
int request_may(const struct request *rq, unsigned permission,
    struct slice bucket, struct slice stream);
/* The same of a request that lives long: its token may be over. */
int request_may_still(const struct request *rq, unsigned permission,
    struct slice bucket, struct slice stream);
/* Its token is not over. */
int request_is_valid(const struct request *rq);
/* 401 `no-perm`. */
void request_deny(struct request *rq, const char *why);

/* --- answers: response.c -------------------------------------------------- */

/* Bytes of an answer.  Copied; or by reference to BLOCK. */
void respond_bytes(struct request *rq, const void *p, size_t n);
void respond_block(struct request *rq, struct slice s, struct block *block);
/* A whole answer.  EXTRA: header lines, each with CRLF; may be NULL. */
void respond(struct request *rq, int status, const char *type,
    const char *extra, struct slice body);
/* The same with a BODY that lies in BLOCK, which may be NULL. */
void respond_with(struct request *rq, int status, const char *type,
    const char *extra, struct slice body, struct block *block);
/* The same with a BODY in pieces, which is empty then. */
void respond_out(struct request *rq, int status, const char *type,
    const char *extra, struct out *body);
/* The answer to HEAD when the length of the body is not known. */
void respond_head(
    struct request *rq, int status, const char *type, const char *extra);
/* The head of an answer whose body follows in chunks (or until the end, 1.0).
 */
void respond_begin(
    struct request *rq, int status, const char *type, const char *extra);
/* The connection speaks another protocol from now on, which respond_more
 * sends. */
void respond_upgrade(struct request *rq, const char *extra);
void respond_more(struct request *rq, struct out *body);
/* One chunk of it; BODY is empty then. */
void respond_chunk(struct request *rq, struct out *body);
void respond_end(struct request *rq);
/* No more of it will come: the peer sees that it is not whole. */
void respond_abort(struct request *rq);
/* An error of http-api.md section 1.  FIELDS: more JSON members, or NULL. */
void respond_error(struct request *rq, int status, const char *type,
    const char *extra, const char *fields, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* 503 `unavailable`, which is to be asked again. */
void respond_unavailable(struct request *rq, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* 400 `invalid-field`: VALUE, as it was decoded, is none of parameter FIELD. */
void respond_bad_param(
    struct request *rq, const char *field, struct slice value, const char *why);
/* Events that a read wanted are damaged. */
void respond_damaged(struct request *rq);
/* What the store answered, as an error. */
void respond_store_error(struct request *rq, int r);
const char *status_text(int status);
/* The request gets an id, the client's if that is sane. */
void respond_choose_id(struct request *rq, struct slice from_client);

/* --- limits: limit.c ------------------------------------------------------ */

/* Takes a token of USER, or of the peer's address when that is empty.  1: there
 * was none, and RQ was answered. */
int request_limit(struct request *rq, struct slice user);
/* Takes one for what RQ, a listener, was asked over its socket.  1: there was
 * none. */
int request_limit_more(const struct request *rq);
/* Adds the lines that tell how it stands. */
void limit_add(struct request *rq);

/* --- negotiation: accept.c ------------------------------------------------ */

/* How much ACCEPT wants TYPE, 0 to 1000; by a range that holds it, or only by
 * its name.  No header: 1000, and 0 by name. */
int accept_q(struct slice accept, const char *type);
int accept_q_by_name(struct slice accept, const char *type);
/* Whether errors are to be application/problem+json. */
int accept_problem(struct slice accept);
/* The Accept of a request; several are one list, put together in STORE, which
 * has room for accept_bytes. */
struct slice accept_header(
    const struct parser_head *h, const uint8_t *base, uint8_t *store);
size_t accept_bytes(const struct parser_head *h, const uint8_t *base);

/* --- handlers ------------------------------------------------------------- */

void api_append_check(struct request *rq);
void api_append(struct request *rq);
/* Of PUT: only what may be repeated passes. */
void api_append_put(struct request *rq);
#define API_PATCH_ACCEPT                                                       \
	"Accept-Patch: application/json-patch+json, "                          \
	"application/merge-patch+json\r\n"
void api_patch_check(struct request *rq);
void api_patch(struct request *rq);
/* RQ is given up: others may patch its stream; then that nothing is under way.
 */
void api_patch_leave(struct request *rq);
void api_patch_free(struct request *rq);
void api_read(struct request *rq);
void api_read_raw(struct request *rq);
/* First, and the output has drained. */
void api_read_resume(struct request *rq);
void api_streams(struct request *rq);
void api_buckets(struct request *rq);
void api_delete(struct request *rq);
void api_delete_bucket(struct request *rq);
void api_delete_free(struct request *rq);
void api_list_free(struct request *rq);
void api_list_timed_out(struct request *rq);
void api_listen(struct request *rq);
/* Who is allowed to listen is not known yet.  1: RQ is an EventSource, and was told
 * to come again. */
int api_listen_later(struct request *rq);
void api_ping(struct request *rq);
void api_cluster(struct request *rq);
void api_metrics(struct request *rq);
void api_stats(struct request *rq);
void api_openapi(struct request *rq);
void api_page(struct request *rq);
void api_page_first(struct request *rq);
void api_live(struct request *rq);
/* Of every route that takes a JSON object: 415 for another type. */
void api_object_check(struct request *rq);
void api_session_get(struct request *rq);
void api_session_post(struct request *rq);
void api_session_delete(struct request *rq);
void api_users_list(struct request *rq);
void api_users_post(struct request *rq);
void api_users_put(struct request *rq);
void api_user_get(struct request *rq);
void api_user_put(struct request *rq);
void api_user_delete(struct request *rq);
void api_user_sessions_delete(struct request *rq);
void api_groups_list(struct request *rq);
void api_groups_post(struct request *rq);
void api_group_get(struct request *rq);
void api_group_put(struct request *rq);
void api_group_delete(struct request *rq);
void api_access_get(struct request *rq);
void api_access_post(struct request *rq);
void api_policy_get(struct request *rq);
void api_policy_put(struct request *rq);
void api_policy_delete(struct request *rq);
void api_policy_free(struct api_policy *p); /* takes NULL */
void api_ready(struct request *rq);

#endif
