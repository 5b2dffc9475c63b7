/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * node_metrics - what this node measures, on worker 0: counters of all workers,
 * and how things stand now.  No label of it comes from a stream or a user.
 */
#include "src/node/node_impl.h"

#include "ring/plan.h"
#include "src/node/peers.h"
#include "src/os/net.h"
#include "src/os/tls.h"
#include "vnode/journal.h"

/* --- the process ---------------------------------------------------------- */

static void
write_process(const struct node *n, struct expose *e)
{
	struct process p;

	node_process(n, &p);
	expose_family(e, EXPOSE_COUNTER, "process_cpu_seconds",
	    "Time that this process spent on processors.");
	expose_micros(e, NULL, (int64_t)p.cpu_us);
	expose_gauge(e, "process_resident_memory_bytes",
	    "Memory of this process that is in RAM.", p.resident_bytes);
	expose_gauge(e, "process_virtual_memory_bytes",
	    "Address space of this process.", p.virtual_bytes);
	if (p.open_fds)
		expose_gauge(e, "process_open_fds",
		    "Descriptors that are open.", p.open_fds);
	expose_gauge(e, "process_max_fds", "Descriptors that may be open.",
	    n->limits.descriptors);
	expose_family(e, EXPOSE_GAUGE, "process_start_time_seconds",
	    "When this process started, since 1970.");
	expose_micros(e, NULL, (int64_t)n->started.ms * 1000);
}

/* --- the store ------------------------------------------------------------ */

static void
write_journal(const struct node *n, struct expose *e)
{
	struct journal_stats js;

	store_journal_stats(core_store(n->core), &js);
	expose_counter(e, "iorio_journal_records",
	    "Records written to the journal.", js.n_records);
	expose_counter(
	    e, "iorio_journal_syncs", "Syncs of the journal.", js.n_syncs);
	expose_gauge(e, "iorio_journal_used_bytes",
	    "Bytes of the journal that are still needed.", js.used_bytes);
	expose_gauge(e, "iorio_journal_limit_bytes",
	    "Bytes that the journal should not exceed (journal.max).",
	    js.max_bytes);
}

static void
write_consensus(const struct store_stats *st, struct expose *e)
{
	expose_gauge(e, "iorio_consensus_replicas",
	    "Groups that have a replica on this node.", st->n_replicas);
	expose_gauge(e, "iorio_consensus_leaders",
	    "Groups that this node leads.", st->n_leads);
	expose_gauge(e, "iorio_consensus_leaderless",
	    "Groups of which a replica is here that knows no leader.",
	    st->n_leaderless);
	expose_family(e, EXPOSE_GAUGE, "iorio_clock_offset_seconds",
	    "This node's wall clock ahead of the median of the nodes that it "
	    "hears.");
	expose_micros(e, NULL, (int64_t)st->clock_offset_ms * 1000);
}

static void
write_store(const struct node *n, struct expose *e)
{
	struct store_stats st;

	store_stats(core_store(n->core), &st);
	expose_gauge(
	    e, "iorio_streams", "Streams stored on this node.", st.n_streams);
	expose_gauge(
	    e, "iorio_events", "Events stored on this node.", st.n_events);
	expose_gauge(e, "iorio_stored_bytes",
	    "Payload bytes stored on this node.", st.bytes);
	expose_gauge(e, "iorio_memory_dirty_bytes",
	    "Events in memory that are only in the journal yet.",
	    st.dirty_bytes);
	expose_gauge(e, "iorio_memory_clean_bytes",
	    "Events kept in memory to be read again.", st.clean_bytes);
	expose_counter(e, "iorio_checkpoints",
	    "Times that all was written behind, so that the journal could let "
	    "go.",
	    st.n_checkpoints);
	expose_gauge(
	    e, "iorio_chunk_open_files", "Chunk files kept open.", st.n_files);
	expose_gauge(e, "iorio_chunks_to_repair",
	    "Chunk files that are damaged, as far as is known, and to be "
	    "repaired.",
	    st.n_damaged);
	expose_gauge(e, "iorio_disk_free_bytes",
	    "Free bytes of the data directory's file system.", st.free_bytes);
	expose_gauge(e, "iorio_disk_writable",
	    "1: writes are taken; 0: they are refused because of the disk.",
	    st.writable != 0);
	expose_gauge(e, "iorio_append_queue_requests",
	    "Appends that wait for memory to be written behind.", st.n_parked);
	expose_gauge(e, "iorio_journal_queue_records",
	    "Records that are on their way to the journal.", st.n_in_flight);
	write_consensus(&st, e);
	write_journal(n, e);
}

/* --- the cluster ---------------------------------------------------------- */

static void
write_fills(const struct node *n, struct expose *e)
{
	struct store_fills f;

	store_fills(core_store(n->core), &f);
	expose_gauge(e, "iorio_fills_sending",
	    "Fills that this node sends now.", f.sending);
	expose_gauge(e, "iorio_fills_receiving",
	    "Fills that this node receives now.", f.receiving);
	expose_gauge(e, "iorio_fills_queued",
	    "Fills of this node that wait for their turn.", f.queued);
	expose_gauge(e, "iorio_fills_limit",
	    "Fills that may run at once (transfer_limit).",
	    store_fill_limit(core_store(n->core)));
}

static void
write_cluster(const struct node *n, struct expose *e)
{
	static const char *const states[] = {[RING_JOINING] = "joining",
	    [RING_VALID] = "valid",
	    [RING_LEAVING] = "leaving",
	    [RING_EXITING] = "exiting",
	    [RING_DOWN] = "down"};
	struct cluster *c = core_cluster(n->core);
	const struct ring *r = cluster_ring(c);
	uint32_t by_state[RING_DOWN + 1] = {0}, up = 0;

	for (uint16_t i = 0; i < r->n_members; i++) {
		by_state[r->members[i].state]++;
		up += cluster_is_up(c, i) != 0;
	}
	expose_family(e, EXPOSE_GAUGE, "iorio_cluster_members",
	    "Members of the cluster, by what the ring says of them.");
	for (int s = RING_JOINING; s <= RING_DOWN; s++) {
		char label[32];

		snprintf(label, sizeof(label), "state=\"%s\"", states[s]);
		expose_value(e, label, by_state[s]);
	}
	expose_gauge(e, "iorio_cluster_members_up",
	    "Members that this node hears of, itself included.", up);
	expose_gauge(e, "iorio_cluster_claimant_known",
	    "1: this node knows who decides of the ring.",
	    cluster_claimant(c) != RING_NOBODY);
	expose_gauge(
	    e, "iorio_ring_epoch", "Changes of the ring so far.", r->epoch);
	expose_gauge(e, "iorio_ring_pending",
	    "Groups that are yet to move to another node.", ring_pending(r));
	write_fills(n, e);
}

/* --- between nodes -------------------------------------------------------- */

/* Of the counters that begin with PREFIX: one family, the rest of their names
 * being the reason. */
static void
write_reasons(const struct os_net_stats *ns, const char *prefix,
    const char *name, const char *help, struct expose *e)
{
	static const char *const names[] = {
#define X(field, text) #field,
	    OS_NET_STAT_TABLE(X)
#undef X
	};
	const uint64_t values[] = {
#define X(field, text) ns->field,
	    OS_NET_STAT_TABLE(X)
#undef X
	};

	expose_family(e, EXPOSE_COUNTER, name, help);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char label[48];

		if (strncmp(names[i], prefix, strlen(prefix)) != 0)
			continue;
		snprintf(label, sizeof(label), "reason=\"%s\"",
		    names[i] + strlen(prefix));
		expose_value(e, label, values[i]);
	}
}

static void
write_net(const struct node *n, struct expose *e)
{
	struct os_net_stats ns;

	os_net_stats(n->os, &ns);
	expose_counter(e, "iorio_net_sent_messages", "Messages to other nodes.",
	    ns.frames_sent);
	expose_counter(e, "iorio_net_sent_bytes",
	    "Bytes of messages to other nodes.", ns.bytes_sent);
	expose_counter(e, "iorio_net_received_messages",
	    "Messages of other nodes that were taken.", ns.frames_received);
	expose_counter(e, "iorio_net_received_bytes",
	    "Bytes of messages of other nodes.", ns.bytes_received);
	expose_counter(e, "iorio_net_dials",
	    "Connections to other nodes that were begun.", ns.dials);
	write_reasons(&ns, "dropped_", "iorio_net_dropped_messages",
	    "Messages to other nodes that were not sent.", e);
	write_reasons(&ns, "refused_", "iorio_net_refused_messages",
	    "Messages that were not taken.", e);
}

/* --- all of it ------------------------------------------------------------ */

void
node_expose(void *arg, struct expose *e)
{
	struct node *n = arg;

	expose_family(e, EXPOSE_GAUGE, "iorio_build_info",
	    "1; its version is the label.");
	expose_value(e, "version=\"" IORIO_VERSION "\"", 1);
	expose_metrics(e, n->metrics);
	http_server_expose(n->servers, n->n_workers, e);
	expose_gauge(e, "iorio_http_connections", "Connections of clients.",
	    atomic_load(&n->n_connections));
	expose_gauge(e, "iorio_http_in_flight_bytes",
	    "Bodies of requests in memory.", atomic_load(&n->inflight_bytes));
	write_store(n, e);
	write_cluster(n, e);
	write_net(n, e);
	write_process(n, e);
	if (n->tls && tls_context_ends_s(n->tls))
		expose_gauge(e, "iorio_certificate_end_time_seconds",
		    "When the certificate of HTTPS ends, since 1970.",
		    tls_context_ends_s(n->tls));
}
