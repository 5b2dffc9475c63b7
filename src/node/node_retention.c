/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* node_retention - policies in the process: what the configuration says, and the
 * tables of the workers. */
#include "src/node/node_impl.h"

struct policy
node_policy_defaults(const struct conf *c)
{
	return (struct policy){{
	    [POLICY_EVENTS] = conf_num(c, CONF_retention_max_events),
	    [POLICY_BYTES] = conf_num(c, CONF_retention_max_bytes),
	    [POLICY_AGE] = conf_num(c, CONF_retention_max_age) / 1000,
	}};
}

int
node_policies_publish(void *arg, uint32_t worker, struct policies *table)
{
	struct node *n = arg;

	http_server_set_policies(n->servers[worker], table);
	/* The store tells the others itself. */
	return worker ? 0 : store_set_policies(core_store(n->core), table);
}

void
node_ask_root(void *arg, enum root_which which, struct root_request *q)
{
	struct node *n = arg;

	roots_ask(core_roots(n->core), which, q);
}
