/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_replay - the journal over the manifests, then the cores of the groups.
 *
 * Entries of a replica come in the order in which its log took them: one of an
 * index that is there already replaces it and all behind it.  What a record says
 * was committed is applied; the rest is for the core to judge.  Entries that are
 * applied stay in the log without their bytes, so that other replicas can still
 * get them; they lie in the journal.
 */
#include <stdarg.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/entry.h"
#include "vnode/mutants.h"
#include "vnode/replica.h"
#include "vnode/store_open.h"

#define REPLAY_FLUSH_BYTES (64ull << 20)

struct replay {
	struct store *store;
	char *why;
	size_t why_bytes;
	uint64_t *absent; /* by group: a generation that has marks, not files */
	int damaged;      /* parts of the journal are lost */
};

static uint64_t
last_of(const struct vnode *v)
{
	const struct recovered *rec = v->recovered;

	return rec->n ? rec->first + rec->n - 1 : v->group.applied_index;
}

static void
drop_entry(struct raft_entry *e)
{
	body_unref(e->body);
	mem_free((void *)(uintptr_t)e->members);
}

static void
drop_entries(struct recovered *rec)
{
	while (rec->n)
		drop_entry(&rec->entries[--rec->n]);
}

void
recovered_free(struct vnode *v)
{
	struct recovered *rec = v->recovered;

	if (!rec)
		return;
	drop_entries(rec);
	mem_free(rec->entries);
	v->recovered = mem_free(rec);
}

static void __attribute__((format(printf, 2, 3)))
broken(const struct vnode *v, const char *fmt, ...)
{
	struct recovered *rec = v->recovered;
	va_list ap;

	if (rec->broken[0])
		return;
	va_start(ap, fmt);
	vsnprintf(rec->broken, sizeof(rec->broken), fmt, ap);
	va_end(ap);
}

static int has_peers(const struct vnode *v);

/* --- marks ---------------------------------------------------------------- */

static int
check_mark(struct replay *rp, const struct vnode *v, struct slice payload)
{
	struct manifest_mark mark;
	int r = manifest_decode_mark(payload, &mark);

	if (r)
		return r;
	if (mark.number < v->manifest.number ||
	    (mark.number == v->manifest.number &&
		mark.bytes <= v->manifest.bytes))
		return 0;
	if (has_peers(v)) {
		store_report(rp->store, 1,
		    "%s: manifest.%08x is missing or damaged: this replica "
		    "does not vote until it has got from others what is lost",
		    v->dir, mark.number);
		v->recovered->lost = 1;
		return 0;
	}
	broken(v,
	    "%s: manifest.%08x of %llu bytes is missing or damaged (found "
	    "manifest.%08x of %llu): restore it from a backup",
	    v->dir, mark.number, (unsigned long long)mark.bytes,
	    v->manifest.number, (unsigned long long)v->manifest.bytes);
	return 0;
}

/* --- entries -------------------------------------------------------------- */

static struct raft_entry *
add_entry(struct recovered *rec, uint64_t index)
{
	struct raft_entry *e;

	if (rec->n == rec->cap) {
		uint32_t cap = rec->cap ? rec->cap * 2 : 16;

		e = mem_realloc(rec->entries, cap * sizeof(*e));
		if (!e)
			return NULL;
		rec->entries = e;
		rec->cap = cap;
	}
	if (rec->n == 0)
		rec->first = index;
	e = &rec->entries[rec->n++];
	*e = (struct raft_entry){0};
	return e;
}

/* As one block, so that mem_free ends it. */
static struct raft_members *
members_new(const struct entry_members *from)
{
	size_t bytes = from->n * sizeof(*from->at);
	struct raft_members *m = mem_alloc(sizeof(*m) + bytes);

	if (!m)
		return NULL;
	memcpy(m + 1, from->at, bytes);
	*m =
	    (struct raft_members){from->n, (const struct raft_member *)(m + 1)};
	return m;
}

static int
fill_entry(struct raft_entry *e, const struct journal_head *head, lsn_t lsn,
    struct slice payload, int with_body)
{
	struct entry_members members;
	int kind = entry_kind(payload, &members);

	if (kind < 0)
		return kind;
	e->term = head->term;
	e->kind = (enum raft_kind)kind;
	e->bytes = (uint32_t)payload.n;
	e->position = lsn;
	if (kind == RAFT_MEMBERS && !(e->members = members_new(&members)))
		return -ERR_NOMEM;
	if (with_body && !(e->body = body_copy(payload)))
		return -ERR_NOMEM;
	return 0;
}

static int
take_entry(struct vnode *v, const struct journal_head *head, lsn_t lsn,
    struct slice payload)
{
	struct recovered *rec = v->recovered;
	uint64_t applied = v->group.applied_index;
	struct raft_entry *e;

	if (head->index <= applied && head->index > v->manifest.saved_index) {
		e = &rec->entries[head->index - rec->first];
		return e->term == head->term ? 0 : -ERR_CORRUPT;
	}
	while (rec->n && last_of(v) >= head->index)
		drop_entry(&rec->entries[--rec->n]);
	if (last_of(v) < applied && head->index > last_of(v) + 1 &&
	    head->index <= applied + 1)
		drop_entries(rec); /* what stood between, the manifest has */
	if (head->index > last_of(v) + 1)
		return rec->lost ? 0 : -ERR_CORRUPT;
	e = add_entry(rec, head->index);
	return e ? fill_entry(e, head, lsn, payload, head->index > applied)
		 : -ERR_NOMEM;
}

/* Applies up to INDEX, which was known to be committed. */
static int
apply(struct store *s, struct vnode *v, uint64_t index)
{
	struct store_worker *w = store_worker_of(s, v->group.id);
	struct recovered *rec = v->recovered;
	struct group *g = &v->group;

	while (g->applied_index < index && g->applied_index < last_of(v)) {
		struct raft_entry *e =
		    &rec->entries[g->applied_index + 1 - rec->first];
		int r = group_apply(v, &w->cache, &w->dirty, e->term,
		    g->applied_index + 1, e->body);

		if (r)
			return r;
		e->body = body_unref(e->body);
	}
	if (w->cache.dirty_bytes > REPLAY_FLUSH_BYTES ||
	    w->dirty.n > DIRTY_STREAMS_MAX)
		return flush_now(w);
	return 0;
}

/* An entry that cannot be applied came from a leader: the group can do without
 * this replica, and the node without the group. */
static int
quarantine(struct replay *rp, struct vnode *v, int r)
{
	if ((r != -ERR_CORRUPT && r != -ERR_FORMAT) || !has_peers(v))
		return r;
	v->group.failed = v->group.half_applied = 1;
	store_report(rp->store, 1,
	    "group %u: entry %llu cannot be applied: %s; the group is out of "
	    "service on this node: remove this replica from it, then add it "
	    "again",
	    v->group.id, (unsigned long long)(v->group.applied_index + 1),
	    err_text(r));
	return 0;
}

static int
replay_entry(struct replay *rp, struct vnode *v,
    const struct journal_head *head, lsn_t lsn, struct slice payload)
{
	uint64_t last = last_of(v);
	int r = lsn < v->group.journal_floor
		    ? 0
		    : take_entry(v, head, lsn, payload);

	if (r == 0 && !v->group.failed) {
		r = apply(rp->store, v, head->commit);
		if (r)
			r = quarantine(rp, v, r);
	}
	if (r != -ERR_CORRUPT && r != -ERR_FORMAT)
		return r;
	broken(v, "journal: entry %llu of group %u does not follow %llu: %s",
	    (unsigned long long)head->index, v->group.id,
	    (unsigned long long)last, err_text(r));
	return 0;
}

static int
take_hardstate(struct vnode *v, uint64_t term, struct slice payload)
{
	struct recovered *rec = v->recovered;

	if (payload.n != GROUP_HARDSTATE_BYTES)
		return -ERR_CORRUPT;
	if (VNODE_MUTANT(HARD_STATE_NOT_REPLAYED))
		return 0;
	rec->damaged = (int)(le_get64(payload.p + 8) & GROUP_DAMAGED);
	if (term > rec->term || (term == rec->term && !rec->vote)) {
		rec->term = term;
		rec->vote = le_get64(payload.p);
	}
	return 0;
}

/* A mark of a replica that is not here: it was dropped, or it is missing. */
static void
note_absent(struct replay *rp, const struct journal_head *head)
{
	struct vnode *v = &rp->store->vnodes[head->group];
	uint64_t *at = &rp->absent[head->group];

	if (head->type == JOURNAL_CHECKPOINT && head->generation > *at)
		*at = head->generation;
	if (head->type != JOURNAL_DROPPED)
		return;
	if (head->generation >= *at)
		*at = 0;
	if (head->generation > v->group.removed)
		v->group.removed = head->generation;
}

/* It was dropped, and a crash came before its files went. */
static int
take_dropped(struct replay *rp, struct vnode *v)
{
	int r = store_remove_replica(rp->store, v->dir);

	v->group.removed = v->group.generation;
	store_drop_vnode(rp->store, v->group.id);
	return r;
}

/* All that should be here is, and is whole. */
static int
check_all(struct replay *rp)
{
	for (uint32_t g = 0; g < rp->store->n_vnodes; g++) {
		const struct vnode *v = &rp->store->vnodes[g];
		struct recovered *rec = v->recovered;

		if (rec && rec->broken[0] && rec->damaged && has_peers(v)) {
			rec->lost = 1;
			rec->broken[0] = '\0';
			store_report(rp->store, 1,
			    "group %u was given up here: this replica does not "
			    "vote until it has got from others what is lost",
			    g);
		}
		if (rec && rec->broken[0]) {
			snprintf(rp->why, rp->why_bytes, "%s", rec->broken);
			return -ERR_CORRUPT;
		}
		if (!rp->absent[g] || v->group.generation >= rp->absent[g] ||
		    v->group.removed >= rp->absent[g])
			continue;
		snprintf(rp->why, rp->why_bytes,
		    "%s/vnodes/%u-%llu.*: the files of a replica are missing: "
		    "restore them from a backup",
		    rp->store->dir, g, (unsigned long long)rp->absent[g]);
		return -ERR_CORRUPT;
	}
	return 0;
}

static int
replay_record(
    void *arg, const struct journal_head *head, lsn_t lsn, struct slice payload)
{
	struct replay *rp = arg;
	struct vnode *v;

	if (head->group >= rp->store->config.n_groups)
		return -ERR_CORRUPT;
	v = &rp->store->vnodes[head->group];
	if (head->generation != v->group.generation &&
	    !(v->recovered && VNODE_MUTANT(OLD_GENERATION_ACCEPTED))) {
		note_absent(rp, head); /* of another life of this replica */
		return 0;
	}
	if (v->recovered->broken[0] && head->type != JOURNAL_DROPPED &&
	    head->type != JOURNAL_HARDSTATE)
		return 0;
	switch (head->type) {
	case JOURNAL_ENTRY:
		return replay_entry(rp, v, head, lsn, payload);
	case JOURNAL_HARDSTATE:
		return take_hardstate(v, head->term, payload);
	case JOURNAL_CHECKPOINT:
		return check_mark(rp, v, payload);
	case JOURNAL_DROPPED:
		return take_dropped(rp, v);
	}
	return -ERR_FORMAT;
}

/* --- damage (cluster.md 6.3) ------------------------------------------------
 *
 * What was lost may be entries that this node had acknowledged, or a vote that
 * it had given.  Where there are other replicas the group can do without it
 * until its log is whole again; where there are none, nothing is served that
 * might miss something.
 */

/* As of the manifest: one that has just been filled may know of others, and not
 * yet that it belongs to them. */
static int
has_peers(const struct vnode *v)
{
	const struct recovered *rec = v->recovered;

	for (uint32_t i = 0; rec && i < rec->members.n; i++)
		if (rec->members.at[i].id != v->group.generation)
			return 1;
	return 0;
}

static int
all_have_peers(const struct store *s)
{
	for (uint32_t g = 0; g < s->n_vnodes; g++)
		if (s->vnodes[g].group.generation && !has_peers(&s->vnodes[g]))
			return 0;
	return 1;
}

/* Which groups are concerned cannot be told. */
static int
on_damage(void *arg, const struct journal_damage *damage)
{
	struct replay *rp = arg;
	struct store *s = rp->store;

	if (!all_have_peers(s))
		return 0;
	if (!rp->damaged)
		store_report(s, 1,
		    "journal/%s: %s at offset %llu: the replicas of this node "
		    "do not vote until they have got from others what is lost",
		    damage->file, damage->what,
		    (unsigned long long)damage->offset);
	rp->damaged = 1;
	for (uint32_t g = 0; g < s->n_vnodes; g++)
		if (s->vnodes[g].recovered)
			s->vnodes[g].recovered->lost = 1;
	return 1;
}

/*
 * An entry is durable in the journal before a manifest has it, and what is let
 * go is the oldest: a journal that ends before the manifest has lost its end,
 * and who knows what else was in it.  Unless it was not always synced: then a
 * power cut between the manifest's sync and its own leaves this.
 */
static int
journal_too_old(struct store *s, struct vnode *v, char *why, size_t why_bytes)
{
	if (s->config.sync != JOURNAL_SYNC_ALWAYS)
		return 0;
	if (has_peers(v)) {
		store_report(s, 1,
		    "journal: it ends before the manifest of group %u: this "
		    "replica does not vote until it has got from others what "
		    "is lost",
		    v->group.id);
		v->recovered->lost = 1;
		return 0;
	}
	snprintf(why, why_bytes,
	    "%s/journal: entry %llu of group %u is the last, but its manifest "
	    "has %llu: the newest segments are missing: restore them",
	    s->dir, (unsigned long long)last_of(v), v->group.id,
	    (unsigned long long)v->group.applied_index);
	return -ERR_CORRUPT;
}

/* --- cores ---------------------------------------------------------------- */

/* The log begins behind the oldest entry that was found, which is applied; its
 * bytes are not needed any more. */
static int
open_core(struct store *s, struct vnode *v, char *why, size_t why_bytes)
{
	struct recovered *rec = v->recovered;
	struct group *g = &v->group;
	struct raft_state st = {
	    .term = rec->term,
	    .vote = rec->vote,
	    .damaged = rec->damaged ||
		       (rec->lost && !VNODE_MUTANT(DAMAGED_JOURNAL_VOTES)),
	    .members = entry_members_view(&rec->members),
	    .base_index = g->applied_index,
	    .base_term = g->applied_term,
	    .applied = g->applied_index,
	};
	uint32_t i = 0;
	int r;

	if (rec->n && last_of(v) < g->applied_index) {
		r = journal_too_old(s, v, why, why_bytes);
		if (r)
			return r;
		st.damaged |= rec->lost;
		drop_entries(rec);
	}
	if (rec->n && rec->first <= g->applied_index) {
		st.base_index = rec->first;
		st.base_term = rec->entries[0].term;
		if (rec->entries[0].members)
			st.members = *rec->entries[0].members;
		i = 1;
	}
	r = replica_open(s, v, &st);
	for (; r == 0 && i < rec->n; i++) {
		r = raft_restore(g->raft, &rec->entries[i], rec->first + i);
		if (r == 0)
			rec->entries[i].body = NULL; /* the core's */
	}
	recovered_free(v);
	return r;
}

static int
open_journal(struct store *s, char *why, size_t why_bytes)
{
	struct journal_config jc = {
	    .env = s->env,
	    .segment_bytes = s->config.segment_bytes,
	    .max_bytes = s->config.journal_max_bytes,
	    .sync = s->config.sync,
	    .damaged = on_damage,
	    .metrics = metrics_shard(s->config.metrics, s->n_workers),
	};
	struct replay rp = {s, why, why_bytes, NULL, 0};
	struct journal_damage damage = {0};
	char dir[FILES_PATH_BYTES];
	uint64_t cut = 0;
	int r;

	rp.absent = mem_calloc(s->n_vnodes, sizeof(*rp.absent));
	if (!rp.absent)
		return -ERR_NOMEM;
	memcpy(jc.cluster_id, s->config.cluster_id, 16);
	snprintf(dir, sizeof(dir), "%s/journal", s->dir);
	jc.dir = dir;
	r = journal_open(&s->journal, &jc, replay_record, &rp, &damage, &cut);
	if (r == 0)
		r = check_all(&rp);
	mem_free(rp.absent);
	if (r && !why[0] && damage.what[0])
		snprintf(why, why_bytes,
		    "%s/%s: %s at offset %llu: restore the file from a backup",
		    dir, damage.file, damage.what,
		    (unsigned long long)damage.offset);
	else if (r && !why[0])
		snprintf(why, why_bytes, "%s: %s", dir, err_text(r));
	if (cut)
		store_report(s, 0, "journal: cut %llu unfinished bytes",
		    (unsigned long long)cut);
	return r;
}

int
store_replay(struct store *s, char *why, size_t why_bytes)
{
	int r = open_journal(s, why, why_bytes);

	for (uint32_t g = 0; r == 0 && g < s->n_vnodes; g++)
		if (s->vnodes[g].group.generation)
			r = open_core(s, &s->vnodes[g], why, why_bytes);
	return r;
}
