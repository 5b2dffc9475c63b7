/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * retention - the document `policies` of the root, as a table on each worker.
 *
 * While nobody has set a policy there is no document, and the table has the
 * defaults only.  It is not told before a majority of the root has said that
 * there is none: what such a table evicts does not come back.
 */
#include "src/node/retention.h"

#include "src/base/mem.h"
#include "vnode/policy_doc.h"
#include "vnode/store.h"

struct retention {
	struct retention_config config;
	struct root_value *value;
};

static int
make_table(void *arg, const struct doc *d, void **out)
{
	const struct retention *t = arg;
	struct policies *table;
	int r = policy_doc_table(&table, d, &t->config.defaults);

	if (r == 0)
		*out = table;
	return r;
}

static void *
ref_table(void *table)
{
	return policies_ref(table);
}

static void
unref_table(void *table)
{
	policies_unref(table);
}

static int
publish_table(void *arg, uint32_t worker, void *table)
{
	const struct retention *t = arg;

	return t->config.publish(t->config.arg, worker, table);
}

static uint64_t
reached(void *arg)
{
	const struct retention *t = arg;

	return store_policies_in_force(*t->config.store);
}

static const struct root_kind retention_kind = {
    .stream = "policies",
    .what = "the retention policies of the cluster",
    .which = ROOT_POLICIES,
    .from_nothing = 1,
    .make = make_table,
    .ref = ref_table,
    .unref = unref_table,
    .publish = publish_table,
    .reached = reached,
};

struct retention *
retention_new(const struct retention_config *config)
{
	struct retention *t = mem_zalloc(sizeof(*t));

	if (!t)
		return NULL;
	t->config = *config;
	t->config.root.kind = &retention_kind;
	t->config.root.arg = t;
	t->value = root_value_new(&t->config.root);
	return t->value ? t : retention_free(t);
}

struct retention *
retention_free(struct retention *t)
{
	if (!t)
		return NULL;
	root_value_free(t->value);
	return mem_free(t);
}

struct root_value *
retention_value(const struct retention *t)
{
	return t->value;
}
