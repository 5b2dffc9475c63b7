/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * node_tls - the certificate of HTTPS, and its successors: whenever the
 * configuration is read again so are the files, also when it names the same.
 */
#include "src/node/node_impl.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/tree.h"
#include "src/os/tls.h"

#define PATH_BYTES 4096

static const char *
path_of(const struct node *n, const struct conf *c, enum conf_field key,
    char out[PATH_BYTES])
{
	const char *path = conf_str(c, key);

	out[0] = '\0';
	if (path[0])
		tree_path(n->root, path, out, PATH_BYTES);
	return out;
}

/* What C names; blocks. */
static int
load(const struct node *n, const struct conf *c, struct tls_context **out,
    char *why, size_t why_bytes)
{
	char cert[PATH_BYTES], key[PATH_BYTES], cacert[PATH_BYTES];
	struct tls_files files = {
	    .cert = path_of(n, c, CONF_https_cert, cert),
	    .key = path_of(n, c, CONF_https_key, key),
	    .cacert = path_of(n, c, CONF_https_cacert, cacert),
	};

	if (!cert[0]) {
		snprintf(why, why_bytes,
		    "https.cert is not set: HTTPS needs a certificate");
		return -ERR_INVAL;
	}
	return tls_context_new(out, &files, why, why_bytes);
}

int
node_open_tls(struct node *n, char *why)
{
	if (!conf_num(n->conf, CONF_https_enabled))
		return 0;
	return load(n, n->conf, &n->tls, why, NODE_WHY_BYTES);
}

void
node_close_tls(struct node *n)
{
	tls_context_unref(n->tls);
	tls_context_unref(n->next_tls);
}

/* --- reading it again ----------------------------------------------------- */

int
node_load_again(void *arg, struct conf **out, char why[CONF_WHY_BYTES])
{
	struct node *n = arg;
	struct conf *c;
	int r = n->load(n->load_arg, &c, why);

	if (r)
		return r;
	n->next_tls = tls_context_unref(n->next_tls);
	if (n->tls) {
		r = load(n, c, &n->next_tls, why, CONF_WHY_BYTES);
		if (r) {
			conf_free(c);
			return r;
		}
	}
	*out = c;
	return 0;
}

struct take {
	struct msg msg;
	struct node *node;
	struct tls_context *tls;
	uint32_t worker;
};

static void
take(struct msg *m)
{
	struct take *t = CONTAINER_OF(m, struct take, msg);

	http_server_set_tls(t->node->servers[t->worker], t->tls);
	tls_context_unref(t->tls);
	mem_free(t);
}

static void
tell(struct node *n, uint32_t worker)
{
	const struct env_post *post = &n->env->post;
	struct take *t = mem_alloc(sizeof(*t));

	if (!t) { /* it has a certificate, if an old one */
		log_write(n->log, LOG_ERROR,
		    "https.cert: out of memory: worker %u keeps the old one",
		    worker);
		return;
	}
	*t = (struct take){
	    .node = n, .tls = tls_context_ref(n->tls), .worker = worker};
	t->msg = (struct msg){.kind = MSG_CALL, .fn = take};
	post->to_worker(post->ctx, worker, &t->msg);
}

int
node_loaded(void *arg)
{
	struct node *n = arg;
	int other;

	if (!n->next_tls || n->stopping)
		return 0;
	other = memcmp(tls_context_id(n->tls), tls_context_id(n->next_tls),
		    TLS_ID_BYTES) != 0;
	tls_context_unref(n->tls);
	n->tls = n->next_tls; /* keys and signers may be others too */
	n->next_tls = NULL;
	for (uint32_t i = 0; i < n->n_workers; i++)
		tell(n, i);
	if (other)
		log_write(n->log, LOG_INFO,
		    "SIGHUP: new connections get another certificate");
	return other;
}
