/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* node_auth - users in the process: what a new cluster begins with, what the
 * configuration may not be, and the views of the workers. */
#include "src/node/node_impl.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"

#define SECRET_BYTES     64
#define DEFAULT_COOKIE   "iorio"
#define DEFAULT_PASSWORD "secret"

/* --- the configuration ---------------------------------------------------- */

int
node_is_loopback(const char *ip)
{
	return strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0;
}

/* The key of the first address that others can reach; CONF_N_KEYS: none. */
static enum conf_field
find_open(const struct conf *c)
{
	static const enum conf_field ips[] = {
	    CONF_http_ip, CONF_https_ip, CONF_cluster_ip, CONF_handoff_ip};

	for (size_t i = 0; i < sizeof(ips) / sizeof(*ips); i++) {
		if ((ips[i] == CONF_https_ip &&
			!conf_num(c, CONF_https_enabled)) ||
		    (ips[i] == CONF_http_ip && !conf_num(c, CONF_http_enabled)))
			continue;
		if (!node_is_loopback(conf_str(c, ips[i])))
			return ips[i];
	}
	return CONF_N_KEYS;
}

static int
refuse_default(const struct node *n, enum conf_field ip, const char *key,
    const char *how, char *why)
{
	char where[CONF_WHERE_BYTES];

	conf_where(n->conf, ip, where);
	snprintf(why, NODE_WHY_BYTES,
	    "%s %s is not a loopback address: set %s %s", where,
	    conf_str(n->conf, ip), key, how);
	return -ERR_INVAL;
}

static int
check_defaults(struct node *n, char *why)
{
	const struct conf *c = n->conf;
	enum conf_field ip = find_open(c);
	int cookie =
	    strcmp(conf_str(c, CONF_cluster_cookie), DEFAULT_COOKIE) == 0;
	int password = strcmp(conf_str(c, CONF_auth_admin_password),
			   DEFAULT_PASSWORD) == 0;

	if (ip != CONF_N_KEYS && cookie)
		return refuse_default(n, ip, "cluster.cookie",
		    "to a secret of your own, the same on all nodes", why);
	if (ip != CONF_N_KEYS && password)
		return refuse_default(n, ip, "auth.admin.password",
		    "to a password of your own", why);
	return 0;
}

void
node_auth_warn(const struct node *n)
{
	const struct conf *c = n->conf;

	if (strcmp(conf_str(c, CONF_cluster_cookie), DEFAULT_COOKIE) == 0)
		log_write(n->log, LOG_WARN,
		    "cluster.cookie is the default: set it before any address "
		    "leaves loopback");
	if (strcmp(conf_str(c, CONF_auth_admin_password), DEFAULT_PASSWORD) ==
	    0)
		log_write(n->log, LOG_WARN,
		    "auth.admin.password is the default: set it before any "
		    "address leaves loopback");
}

static int
check_name(const struct node *n, enum conf_field f, char *why)
{
	struct slice name = SLICE_STR(conf_str(n->conf, f));
	char where[CONF_WHERE_BYTES];

	if (auth_name_is_legal(name) &&
	    !slice_equal(name, SLICE_LIT(AUTH_ADMINS)) &&
	    !slice_equal(name, SLICE_LIT(AUTH_AUTHENTICATED)))
		return 0;
	conf_where(n->conf, f, where);
	snprintf(why, NODE_WHY_BYTES, "%s %s is not a name of a user", where,
	    conf_str(n->conf, f));
	return -ERR_INVAL;
}

int
node_auth_check(struct node *n, char *why)
{
	const struct conf *c = n->conf;
	const char *prefix = conf_str(c, CONF_auth_bucket_prefix);
	char where[CONF_WHERE_BYTES];
	int r = check_name(n, CONF_auth_admin_username, why);

	if (r == 0)
		r = check_name(n, CONF_auth_anon_username, why);
	if (r == 0 && strcmp(conf_str(c, CONF_auth_admin_username),
			  conf_str(c, CONF_auth_anon_username)) == 0) {
		conf_where(c, CONF_auth_anon_username, where);
		snprintf(why, NODE_WHY_BYTES,
		    "%s is the name of the administrator, too", where);
		return -ERR_INVAL;
	}
	if (r == 0 && prefix[0] && name_check(SLICE_STR(prefix))) {
		conf_where(c, CONF_auth_bucket_prefix, where);
		snprintf(why, NODE_WHY_BYTES,
		    "%s no bucket may have a name that begins so", where);
		return -ERR_INVAL;
	}
	return r ? r : check_defaults(n, why);
}

struct auth_rules
node_auth_rules(const struct conf *c)
{
	return (struct auth_rules){
	    .has_bucket = (int)conf_num(c, CONF_auth_has_bucket),
	    .prefix = conf_str(c, CONF_auth_bucket_prefix),
	    .anonymous = conf_str(c, CONF_auth_anon_username),
	};
}

/* --- a new cluster -------------------------------------------------------- */

struct first_users {
	struct env_job job;
	struct msg msg;
	struct node *node;
	struct users *users;
	char hash[AUTH_HASH_MAX + 1];
	int r;
};

static void
first_made(struct msg *m)
{
	struct first_users *f = CONTAINER_OF(m, struct first_users, msg);
	struct node *n = f->node;
	const struct conf *c = n->conf;
	const char *given = conf_str(c, CONF_auth_secret);
	uint8_t chance[SECRET_BYTES];
	struct auth_first first = {
	    .admin = conf_str(c, CONF_auth_admin_username),
	    .anonymous = conf_str(c, CONF_auth_anon_username),
	    .admin_hash = SLICE_STR(f->hash),
	    .everywhere = (int)conf_num(c, CONF_auth_admin_everywhere),
	    .secret = SLICE_STR(given),
	};

	n->env->rng.bytes(n->env->rng.ctx, chance, sizeof(chance));
	if (!given[0])
		first.secret = SLICE(chance, sizeof(chance));
	users_first(f->users, f->r ? NULL : &first);
	explicit_bzero(chance, sizeof(chance));
	n->first_users = mem_free(f);
}

static void
make_first(struct env_job *job)
{
	struct first_users *f = CONTAINER_OF(job, struct first_users, job);
	const struct env_post *post = &f->node->env->post;
	const char *password =
	    conf_str(f->node->conf, CONF_auth_admin_password);

	f->r = password_hash(&f->node->env->rng, SLICE_STR(password), f->hash);
	post->to_worker(post->ctx, 0, &f->msg);
}

void
node_auth_first(void *arg, struct users *u)
{
	struct node *n = arg;
	struct first_users *f = mem_zalloc(sizeof(*f));

	if (!f) {
		users_first(u, NULL);
		return;
	}
	n->first_users = f;
	f->job.run = make_first;
	f->msg = (struct msg){.kind = MSG_CALL, .fn = first_made};
	f->node = n;
	f->users = u;
	os_work(n->os, &f->job);
}

/* No thread runs any more. */
void
node_auth_close(struct node *n)
{
	mem_free(n->first_users);
}

/* --- views ---------------------------------------------------------------- */

void
node_auth_publish(void *arg, uint32_t worker, struct auth_view *view)
{
	struct node *n = arg;

	if (http_server_set_auth(n->servers[worker], view))
		atomic_fetch_add(&n->n_know_users, 1);
}
