/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * http_impl - what the files of the edge share: a connection, the request it is
 * working on, and how an answer is put together.
 */
#ifndef HTTP_HTTP_IMPL_H
#define HTTP_HTTP_IMPL_H

#include "http/parser.h"
#include "http/server.h"
#include "http/uri.h"
#include "ring/hash.h"
#include "src/base/json.h"
#include "src/base/list.h"
#include "src/os/tcp.h"
#include "vnode/vnode_msg.h"

struct conn;
struct request;

struct http_server {
	struct http_config config;
	uint32_t worker;
	struct tcp_listener *listener;
	struct list conns;
	uint32_t n_conns;
	struct env_timer *tick;
	struct ring_hash *hash;
	struct json_checker *json;
	uint64_t date_s; /* of DATE */
	char date[TIME_HTTP_BYTES];
	uint64_t next_id;
	int stopping;
};

enum permission {
	PERM_NONE, /* open to everyone */
	PERM_ADMIN,
};

typedef void (*handler_fn)(struct request *rq);

struct route {
	const char *method;
	const char *pattern; /* segments; `:b` and `:s` are names */
	enum permission permission;
	handler_fn handler;
};

#define REQUEST_ID_BYTES 65

/* One request, from its head to its last answer byte. */
struct request {
	struct conn *conn; /* NULL once the connection is gone */
	struct http_server *server;
	struct block *in; /* the head stands here, and the body but for: */
	struct block *body_block; /* one that came in chunks */
	struct slice method, target, body;
	struct uri uri;
	struct slice bucket, stream; /* of the route's pattern */
	uint32_t group;
	int is_head, keep_alive, http10;
	int in_store; /* a message of it is under way */
	int answered;
	int proposed; /* a write: nobody knows what a timeout means */
	int status;
	uint64_t bytes_out;
	struct mono started;
	char id[REQUEST_ID_BYTES];
	const char *json_type; /* of errors */

	/* an append */
	struct vnode_put put;
	struct vnode_put_event event;

	/* a read */
	struct vnode_read read;
	int ndjson, raw, desc, streaming, first_item;
	uint64_t next, last, left; /* still to send: next..last, at most left */
	uint64_t since, until;
	uint64_t limit;
	int has_limit, has_since, has_until, stage, download;
	uint64_t from, to;
	int64_t from_arg;
	int has_from, has_to, closed_range;
	struct buf items;

	/* a list */
	struct list_call *list;
	struct vnode_ping ping;

	uint8_t *store; /* decoded path and query */
	uint8_t storage[];
};

/* --- conn
 * ---------------------------------------------------------------------------
 */

struct piece {
	struct block *block; /* one reference */
	uint32_t at, n;
};

enum conn_state {
	CONN_HEAD,
	CONN_BODY,
	CONN_BUSY,  /* a request is being answered */
	CONN_DRAIN, /* answered an error: reads on so that it arrives */
};

struct conn {
	uint32_t magic;
	struct http_server *server;
	struct tcp *tcp;
	struct list link;
	enum conn_state state;
	struct block *in;
	uint32_t in_at; /* first byte of the request being read */
	struct parser_head head;
	struct parser_chunked chunked;
	struct block *body; /* of a chunked one */
	uint64_t body_left, drained, charged;
	struct request *rq;
	struct piece *out;
	uint32_t n_out, out_at, cap_out;
	uint64_t out_bytes;
	int reading, writing, eof, closing, broken;
	struct mono deadline; /* us == 0: none */
	struct mono body_since;
};

void conn_accept(void *server, struct tcp *tcp);
void conn_close(struct conn *c);
void conn_tick(struct conn *c, struct mono now);
/* Bytes of an answer.  Copied; or by reference to BLOCK. */
void conn_out(struct conn *c, const void *p, size_t n);
void conn_out_block(struct conn *c, struct slice s, struct block *block);
/* The answer of the request is complete. */
void conn_answered(struct conn *c);
/* Sends what there is. */
void conn_flush(struct conn *c);

struct mono server_now(const struct http_server *s);
const char *server_date(struct http_server *s);

/* --- requests and answers
 * ------------------------------------------------------------- */

/* Finds the route and runs it. */
void request_dispatch(struct request *rq);
struct slice request_header(const struct request *rq, const char *name);
/* 0: not there (or bad escape, which dispatch refused before). */
int request_param(struct request *rq, const char *name, struct slice *out);
/* The request's message to the store goes out, or is back. */
void request_send(struct request *rq, struct msg *m, void (*fn)(struct msg *));
/* Back from the store: 0 when nobody waits for it any more (then RQ is gone).
 */
int request_back(struct request *rq);
/* RQ is given up or done with. */
void request_free(struct request *rq);
/* No answer came in time. */
void request_timed_out(struct request *rq);
/* Output has drained: a streamed answer goes on. */
void request_drained(struct request *rq);

/* A whole answer.  EXTRA: header lines, each with CRLF; may be NULL. */
void respond(struct request *rq, int status, const char *type,
    const char *extra, struct slice body);
/* The head of an answer whose body follows in chunks (or until the end, 1.0).
 */
void respond_begin(
    struct request *rq, int status, const char *type, const char *extra);
void respond_chunk(struct request *rq, struct slice text);
void respond_chunk_begin(struct request *rq, size_t bytes);
void respond_chunk_end(struct request *rq);
void respond_end(struct request *rq);
/* An error of http-api.md section 1.  FIELDS: more JSON members, or NULL. */
void respond_error(struct request *rq, int status, const char *type,
    const char *extra, const char *fields, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* What the store answered, as an error; SUBJECT: reads and writes differ. */
void respond_store_error(struct request *rq, int r);
const char *status_text(int status);

/* Whether the Accept header names TYPE or a range that holds it. */
int accepts(const struct request *rq, const char *type);
int accepts_by_name(const struct request *rq, const char *type);

/* --- handlers
 * ------------------------------------------------------------------------------
 */

void api_append(struct request *rq);
void api_append_put(struct request *rq);
void api_read(struct request *rq);
void api_read_raw(struct request *rq);
void api_read_more(struct request *rq);
void api_streams(struct request *rq);
void api_buckets(struct request *rq);
void api_list_free(struct request *rq);
void api_list_timed_out(struct request *rq);
void api_ping(struct request *rq);
void api_live(struct request *rq);
void api_ready(struct request *rq);

#endif
