/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * retain_cut - chunks without visible events leave their streams.
 *
 * A chunk that is sealed and in its file goes when all of it is hidden; the
 * last one, open or not, written or not, when nothing of the stream is visible
 * any more, and no flush is under way that may have it.  From then on it is in
 * vnode.dead, like the chunks of a stream that was deleted: the next manifest
 * has it no more, and behind that its file goes (dropped.h).
 *
 * Crash argument: that of DELETE in manifest.c, with KEPT for DROPPED.  A crash
 * before that manifest is durable finds the chunks in the one before, hidden as
 * they were, and cuts them again.  What the log does to a chunk that is cut,
 * replay does to the chunk that the manifest still has: both begin the next one
 * with the same event, since that depends on the log alone (kept_is_over).
 */
#include "vnode/mutants.h"
#include "vnode/store_impl.h"

/* How many chunks at the beginning of S may go. */
static uint32_t
count_hidden(
    const struct store_worker *w, const struct stream *s, uint64_t clock_ms)
{
	struct limits l = kept_limits(s, clock_ms);
	uint32_t n = 0;

	if (kept_is_over(s, clock_ms) && !w->flush)
		return s->n_chunks;
	while (n + 1 < s->n_chunks && s->chunks[n].sealed &&
	       s->chunks[n].last <= s->flushed &&
	       kept_hides(s, &l, &s->chunks[n]))
		n++;
	return n;
}

static void
count_cut(struct store_worker *w, const struct stream *gone)
{
	uint64_t bytes = 0, events = 0;

	for (uint32_t i = 0; i < gone->n_chunks; i++) {
		bytes += gone->chunks[i].bytes;
		events += gone->chunks[i].last - gone->chunks[i].first + 1;
	}
	metrics_add(w->metrics, METRICS_RETENTION_CHUNKS, gone->n_chunks);
	metrics_add(w->metrics, METRICS_RETENTION_EVENTS, events);
	metrics_add(w->metrics, METRICS_RETENTION_BYTES, bytes);
}

/* 1: S may have more to cut later. */
static int
cut(struct store_worker *w, struct vnode *v, struct stream *s)
{
	uint32_t n = count_hidden(w, s, v->group.clock_ms);
	struct stream *gone;

	kept_settle(v, s);
	if (n) {
		gone = stream_cut(s, &w->cache, n);
		if (!gone)
			return 1;
		count_cut(w, gone);
		if (s->n_chunks == 0 && !list_empty(&s->dirty))
			dirty_remove(&w->dirty, s);
		list_add_tail(&v->dead, &gone->unsaved);
		if (list_empty(&s->unsaved))
			list_add_tail(&v->unsaved, &s->unsaved);
		atomic_store(&w->cuts, 1);
	}
	if (s->n_chunks) {
		struct limits l = kept_limits(s, v->group.clock_ms);

		return kept_hides(s, &l, &s->chunks[0]);
	}
	return 0;
}

void
retain_cut(struct store_worker *w, uint32_t most)
{
	struct store *store = w->store;

	for (uint32_t g = w->id; g < store->n_vnodes; g += store->n_workers) {
		struct vnode *v = &store->vnodes[g];
		struct list *link;
		struct list later;

		if (!v->group.raft || v->group.failed)
			continue;
		list_init(&later);
		while (most && (link = list_take_first(&v->retain.cuttable))) {
			struct kept *k = LIST_ENTRY(link, struct kept, cut);

			most--;
			if (cut(w, v, k->stream))
				list_add_tail(&later, &k->cut);
		}
		list_splice_tail(&v->retain.cuttable, &later);
	}
}
