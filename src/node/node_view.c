/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * node_view - what the node shows of itself over HTTP: metrics, /stats, health.
 *
 * A view goes to worker 0, where the ring is, and back to the worker that asked.
 */
#include "src/node/node_impl.h"

#include "ring/plan.h"
#include "src/base/assert.h"
#include "vnode/journal.h"

/* --- health --------------------------------------------------------------- */

static int
knows_users(const struct node *n)
{
	return atomic_load(&n->n_know_users) == n->n_workers;
}

int
node_is_ready(void *arg)
{
	struct node *n = arg;
	struct store_stats st;

	store_stats(core_store(n->core), &st);
	return atomic_load(&n->up) && knows_users(n) && !n->stopping &&
	       !atomic_load(&n->removed) && st.writable;
}

/* What makes a node unready is marked; what follows is for a person. */
static void
view_health(struct node *n, struct http_view *v)
{
	const struct ring *r = cluster_ring(core_cluster(n->core));
	struct store_stats st;
	uint32_t up = 0;

	store_stats(core_store(n->core), &st);
	for (uint16_t i = 0; i < r->n_members; i++)
		up += cluster_is_up(core_cluster(n->core), i) != 0;
	v->is_ready = node_is_ready(n);
	buf_printf(&v->out,
	    "[%s]ring loaded\n[%s]vnodes open\n[%s]users known\n"
	    "[%s]disk writable\n[%s]not stopping\n",
	    atomic_load(&n->removed) ? "-" : "+",
	    atomic_load(&n->up) ? "+" : "-", knows_users(n) ? "+" : "-",
	    st.writable ? "+" : "-", n->stopping ? "-" : "+");
	buf_printf(&v->out,
	    "partitions without a leader %u of %u here\n"
	    "pending transfers %u\nmembers up %u of %u\nfree bytes %llu\n%s",
	    st.n_leaderless, st.n_replicas, ring_pending(r), up, r->n_members,
	    (unsigned long long)st.free_bytes,
	    v->is_ready ? "ok" : "not ready");
}

/* --- /stats --------------------------------------------------------------- */

static void
add_name(struct buf *out, const char *name)
{
	buf_add_json_string(out, SLICE_STR(name));
}

/* Absolute values and those that grow, under the names of the original. */
static void
add_old_node(const struct node *n, const struct process *p,
    const struct metrics_sums *sums, struct buf *out)
{
	buf_add_str(out, "\"node\":{\"name\":");
	add_name(out, conf_str(n->conf, CONF_nodename));
	buf_printf(out,
	    ",\"abs1\":{\"process_count\":%llu,\"run_queue\":0,"
	    "\"memory_total\":%llu,\"memory_procs\":0,\"memory_atoms\":0,"
	    "\"memory_bin\":%llu,\"memory_ets\":0},",
	    (unsigned long long)p->threads,
	    (unsigned long long)p->resident_bytes,
	    (unsigned long long)atomic_load(&n->inflight_bytes));
	buf_printf(out,
	    "\"abs2\":{\"bytes_in\":%llu,\"bytes_out\":%llu,\"gc_count\":0,"
	    "\"gc_words_reclaimed\":0,\"reductions\":%llu}}",
	    (unsigned long long)sums->counters[METRICS_RECEIVED_BYTES],
	    (unsigned long long)sums->counters[METRICS_SENT_BYTES],
	    (unsigned long long)p->cpu_us);
}

static void
add_store(const struct node *n, struct buf *out)
{
	struct journal_stats js;
	struct store_stats st;

	store_stats(core_store(n->core), &st);
	store_journal_stats(core_store(n->core), &js);
	buf_printf(out,
	    ",\"files\":{\"open\":%u,\"max\":%u,\"free_bytes\":%llu,"
	    "\"writable\":%s}",
	    st.n_files, n->limits.files_max, (unsigned long long)st.free_bytes,
	    st.writable ? "true" : "false");
	buf_printf(out,
	    ",\"vnodes\":{\"replicas\":%u,\"leaders\":%u,\"leaderless\":%u,"
	    "\"streams\":%llu,\"events\":%llu,\"bytes\":%llu,"
	    "\"dirty_bytes\":%llu,\"clean_bytes\":%llu}",
	    st.n_replicas, st.n_leads, st.n_leaderless,
	    (unsigned long long)st.n_streams, (unsigned long long)st.n_events,
	    (unsigned long long)st.bytes, (unsigned long long)st.dirty_bytes,
	    (unsigned long long)st.clean_bytes);
	buf_printf(out,
	    ",\"journal\":{\"records\":%llu,\"syncs\":%llu,\"bytes\":%llu,"
	    "\"used_bytes\":%llu,\"max_bytes\":%llu,\"checkpoints\":%llu}",
	    (unsigned long long)js.n_records, (unsigned long long)js.n_syncs,
	    (unsigned long long)js.n_bytes, (unsigned long long)js.used_bytes,
	    (unsigned long long)js.max_bytes,
	    (unsigned long long)st.n_checkpoints);
}

static uint64_t
count_requests(const struct metrics_sums *sums)
{
	uint64_t all = 0;

	for (int i = 0; i <= METRICS_BUCKETS; i++)
		all += sums->histograms[METRICS_REQUEST_SECONDS].n[i];
	return all;
}

static void
view_stats(struct node *n, struct http_view *v)
{
	struct metrics_sums sums;
	struct process p;
	struct wall now = n->env->clock.wall(n->env->clock.ctx);
	struct buf *out = &v->out;

	metrics_sum(n->metrics, &sums);
	node_process(n, &p);
	buf_add_byte(out, '{');
	add_old_node(n, &p, &sums, out);
	buf_printf(out,
	    ",\"version\":\"%s\",\"uptime\":%llu,\"workers\":%u,"
	    "\"memory\":{\"resident_bytes\":%llu,\"virtual_bytes\":%llu}",
	    IORIO_VERSION,
	    (unsigned long long)(now.ms > n->started.ms
				     ? (now.ms - n->started.ms) / 1000
				     : 0),
	    n->n_workers, (unsigned long long)p.resident_bytes,
	    (unsigned long long)p.virtual_bytes);
	add_store(n, out);
	buf_printf(out,
	    ",\"http\":{\"connections\":%u,\"max_connections\":%u,"
	    "\"requests\":%llu,\"in_flight_bytes\":%llu,"
	    "\"bytes_in\":%llu,\"bytes_out\":%llu}}",
	    atomic_load(&n->n_connections), n->limits.connections_max,
	    (unsigned long long)count_requests(&sums),
	    (unsigned long long)atomic_load(&n->inflight_bytes),
	    (unsigned long long)sums.counters[METRICS_RECEIVED_BYTES],
	    (unsigned long long)sums.counters[METRICS_SENT_BYTES]);
}

/* --- views ---------------------------------------------------------------- */

static void
view_metrics(struct node *n, struct http_view *v)
{
	struct expose e;

	expose_begin(&e, &v->out,
	    v->kind == HTTP_VIEW_METRICS ? EXPOSE_PROMETHEUS
					 : EXPOSE_OPENMETRICS);
	node_expose(n, &e);
	expose_end(&e);
}

static void
answer(struct msg *m)
{
	struct http_view *v = CONTAINER_OF(m, struct http_view, msg);
	struct node *n = m->via;
	const struct env_post *p = &n->env->post;

	v->r = 0;
	if (v->kind == HTTP_VIEW_HEALTH)
		view_health(n, v);
	else if (v->kind == HTTP_VIEW_STATS)
		view_stats(n, v);
	else
		view_metrics(n, v);
	m->fn = m->then;
	m->answer = 1;
	p->to_worker(p->ctx, m->from, m);
}

void
node_view(void *arg, struct http_view *v)
{
	struct node *n = arg;
	const struct env_post *p = &n->env->post;

	if (v->kind == HTTP_VIEW_CLUSTER) {
		node_admin_view(n->admin, v);
		return;
	}
	v->msg.then = v->msg.fn;
	v->msg.fn = answer;
	v->msg.via = n;
	p->to_worker(p->ctx, 0, &v->msg);
}
