/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_policies - /policies: how long events are kept (http-api.md 4.6). */
#include "http/api_root.h"
#include "src/base/conf.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/policy_doc.h"

#define ANSWER_MAX (128u << 10)
#define TEXT_MAX   32 /* of "4KB", "7d" */

/* A change under way; belongs to its request. */
struct api_policy {
	struct policy_request ask;
	struct request *rq;
	int show; /* answered with what is set then */
};

void
api_policy_free(struct api_policy *p)
{
	if (!p)
		return;
	buf_deinit(&p->ask.root.pending);
	mem_free(p);
}

/* The table of this worker; NULL: not known yet, and that was answered. */
static const struct policies *
table_of(struct request *rq)
{
	if (!rq->server->policies)
		respond_unavailable(rq, "the policies are not known here yet");
	return rq->server->policies;
}

/* --- showing -------------------------------------------------------------- */

static void
add_limits(struct buf *b, const char *name, const struct policy *p)
{
	const char *comma = "";

	buf_printf(b, "\"%s\":{", name);
	for (int i = 0; i < POLICY_N_LIMITS; i++) {
		if (!p->max[i])
			continue;
		buf_printf(b, "%s\"%s\":%llu", comma, policy_words[i],
		    (unsigned long long)p->max[i]);
		comma = ",";
	}
	buf_add_byte(b, '}');
}

static void
add_sources(struct buf *b, const enum policy_source source[POLICY_N_LIMITS])
{
	static const char *const words[] = {
	    [POLICY_OF_DEFAULT] = "default",
	    [POLICY_OF_BUCKET] = "bucket",
	    [POLICY_OF_STREAM] = "stream",
	};
	const char *comma = "";

	buf_add_str(b, "\"source\":{");
	for (int i = 0; i < POLICY_N_LIMITS; i++) {
		if (source[i] == POLICY_UNSET)
			continue;
		buf_printf(b, "%s\"%s\":\"%s\"", comma, policy_words[i],
		    words[source[i]]);
		comma = ",";
	}
	buf_add_byte(b, '}');
}

/* OWN is what is set for exactly this.  Q: the change that was just made. */
static void
show(struct request *rq, const struct policies *t, const struct policy *own,
    const struct root_request *q)
{
	enum policy_source source[POLICY_N_LIMITS];
	struct policy all =
	    policy_effective_with(t, rq->bucket, rq->stream, own, source);
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	buf_add_byte(&b, '{');
	add_limits(&b, "policy", own);
	buf_add_byte(&b, ',');
	add_limits(&b, "effective", &all);
	buf_add_byte(&b, ',');
	add_sources(&b, source);
	if (q)
		add_pending(&b, q);
	buf_add_byte(&b, '}');
	respond_json(rq, 200, NULL, &b);
}

void
api_policy_get(struct request *rq)
{
	const struct policies *t = table_of(rq);
	struct policy own;

	if (!t)
		return;
	own = policies_find(t, rq->bucket, rq->stream);
	show(rq, t, &own, NULL);
}

/* --- the body ------------------------------------------------------------- */

/* "4KB", "7d": bytes, ms. */
static int
take_text(struct slice raw, enum policy_limit which, uint64_t *out)
{
	char text[TEXT_MAX + 1];
	struct buf b;
	int good;

	buf_init(&b, TEXT_MAX);
	good = which != POLICY_EVENTS && fields_string(raw, &b) &&
	       !memchr(b.p ? b.p : raw.p, '\0', b.n);
	if (good) {
		memcpy(text, b.p ? b.p : raw.p, b.n);
		text[b.n] = '\0';
		good = (which == POLICY_AGE ? conf_parse_time(text, out)
					    : conf_parse_size(text, out)) == 0;
		if (which == POLICY_AGE)
			*out /= 1000;
	}
	buf_deinit(&b);
	return good;
}

/* Limit WHICH of the body, if it is there; 0: it is not valid. */
static int
take_limit(struct request *rq, enum policy_limit which, struct policy *out)
{
	uint64_t *max = &out->max[which];
	struct slice raw;

	if (!fields_find(rq->body, policy_words[which], &raw))
		return 1;
	return (fields_uint(raw, max) || take_text(raw, which, max)) && *max &&
	       *max <= POLICY_LIMIT_MAX;
}

static void
refuse_unknown(struct request *rq, struct slice name, struct slice value)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	buf_add_str(&b, ",\"field\":");
	buf_add_slice(&b, name); /* a JSON string, as it came */
	buf_add_str(&b, ",\"value\":");
	buf_add_slice(&b, value);
	buf_add_byte(&b, '\0');
	respond_error(rq, 400, "invalid-field", NULL,
	    buf_error(&b) ? NULL : (char *)b.p,
	    "there is no such limit: max_events, max_bytes, max_age");
	buf_deinit(&b);
}

/* 0: it was answered. */
static int
take_policy(struct request *rq, struct policy *out)
{
	struct slice name, value;

	if (!api_object(rq))
		return 0;
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		if (!take_limit(rq, (enum policy_limit)i, out)) {
			api_bad_field(rq, policy_words[i]);
			return 0;
		}
	if (!fields_unknown(
		rq->body, policy_words, POLICY_N_LIMITS, &name, &value))
		return 1;
	refuse_unknown(rq, name, value);
	return 0;
}

/* --- changing ------------------------------------------------------------- */

static void
changed(struct msg *m)
{
	struct root_request *q = CONTAINER_OF(m, struct root_request, msg);
	struct policy_request *ask =
	    CONTAINER_OF(q, struct policy_request, root);
	struct api_policy *a = CONTAINER_OF(ask, struct api_policy, ask);
	struct request *rq = a->rq;

	if (!request_back(rq))
		return;
	if (q->r)
		respond_root_error(rq, q->r, "policies");
	else if (a->show)
		show(rq, rq->server->policies, &ask->policy, q);
	else
		respond_done(rq, q);
}

static void
set(struct request *rq, const struct policy *p, int and_show)
{
	struct api_policy *a = mem_zalloc(sizeof(*a));

	if (!a) {
		respond_store_error(rq, -ERR_NOMEM);
		return;
	}
	rq->policy = a;
	a->rq = rq;
	a->show = and_show;
	a->ask.bucket = rq->bucket;
	a->ask.stream = rq->stream;
	a->ask.policy = *p;
	a->ask.root.make = policy_request_make;
	request_ask_root(rq, ROOT_POLICIES, &a->ask.root, changed);
}

void
api_policy_put(struct request *rq)
{
	struct policy p = {{0}};

	if (table_of(rq) && take_policy(rq, &p))
		set(rq, &p, 1);
}

void
api_policy_delete(struct request *rq)
{
	struct policy none = {{0}};

	if (table_of(rq))
		set(rq, &none, 0);
}
