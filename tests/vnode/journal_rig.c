/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* journal_rig - a journal on a disk in memory. */
#include "tests/vnode/journal_rig.h"

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/mem.h"

#define RUN_MAX 1000000

static struct jr_record *
record_of(struct journal_append *a)
{
	return CONTAINER_OF(a, struct jr_record, append);
}

static void
hear(void *arg, uint32_t worker, struct msg *m)
{
	struct journal_done *done = CONTAINER_OF(m, struct journal_done, msg);
	struct journal_append *next;

	(void)arg;
	(void)worker;
	ASSERT(m->kind == MSG_JOURNAL_DONE);
	for (struct journal_append *a = done->list; a; a = next) {
		next = a->next;
		ASSERT(record_of(a)->r == 1);
		record_of(a)->r = done->r;
	}
	mem_free(done);
}

static void
drop(void *arg, struct msg *m)
{
	(void)arg;
	mem_free(CONTAINER_OF(m, struct journal_done, msg));
}

void
jr_init_on(struct jr *jr, uint64_t max_bytes, struct memdisk *md)
{
	struct simenv_config c = {
	    .seed = 1, .n_workers = 1, .disk = memdisk_disk(md)};

	memset(jr, 0, sizeof(*jr));
	jr->md = md;
	jr->sim = simenv_new(&c);
	ASSERT(jr->sim);
	simenv_set_dispatch(jr->sim, hear, jr);
	simenv_set_drop(jr->sim, drop, jr);
	list_init(&jr->records);
	jr->last = &jr->chain;
	jr->config = (struct journal_config){
	    .env = simenv_env(jr->sim),
	    .dir = JR_DIR,
	    .cluster_id = "0123456789abcde",
	    .segment_bytes = JR_SEGMENT,
	    .max_bytes = max_bytes,
	    .sync = JOURNAL_SYNC_ALWAYS,
	};
}

void
jr_init(struct jr *jr, uint64_t max_bytes)
{
	struct memdisk *md = memdisk_new(NULL);
	const struct env_disk *d = memdisk_disk(md);

	/* The store makes it, and its name durable. */
	ASSERT(d->mkdir(d->ctx, JR_DIR) == 0);
	ASSERT(d->sync_dir(d->ctx, "") == 0);
	jr_init_on(jr, max_bytes, md);
}

void
jr_deinit(struct jr *jr)
{
	struct list *node;

	jr_kill(jr);
	while ((node = list_first(&jr->records))) {
		list_del(node);
		mem_free(LIST_ENTRY(node, struct jr_record, all));
	}
	simenv_free(jr->sim);
	memdisk_free(jr->md);
}

static int
see(void *arg, const struct journal_head *head, lsn_t lsn, struct slice payload)
{
	struct jr *jr = arg;

	ASSERT(jr->n_seen < JR_SEEN);
	jr->seen[jr->n_seen++] = (struct jr_seen){.head = *head,
	    .lsn = lsn,
	    .bytes = (uint32_t)payload.n,
	    .crc = crc32c(0, payload.p, payload.n)};
	return 0;
}

int
jr_open(struct jr *jr)
{
	ASSERT(!jr->journal);
	jr->n_seen = 0;
	jr->damage = (struct journal_damage){0};
	return journal_open(
	    &jr->journal, &jr->config, see, jr, &jr->damage, &jr->cut);
}

void
jr_kill(struct jr *jr)
{
	simenv_kill(jr->sim);
	jr->journal = journal_close(jr->journal);
	jr->chain = NULL;
	jr->last = &jr->chain;
}

void
jr_crash(struct jr *jr, enum memdisk_outcome outcome, uint64_t seed)
{
	memdisk_crash(jr->md, outcome, seed);
	jr_kill(jr);
	memdisk_restart(jr->md);
	memdisk_fail_clear(jr->md);
}

struct jr_record *
jr_put(struct jr *jr, enum journal_type type, uint64_t index, uint32_t n)
{
	struct jr_record *r = mem_zalloc(sizeof(*r) + n);

	ASSERT(r);
	for (uint32_t i = 0; i < n && (i < 32 || !jr->sparse); i++)
		r->payload[i] = (uint8_t)(index * 31 + i * 7 + 1);
	r->iov = (struct iovec){r->payload, n};
	r->r = 1;
	r->append = (struct journal_append){
	    .head = {.type = (uint8_t)type,
		.group = (uint16_t)(index % 4),
		.generation = 1,
		.term = 2,
		.index = index},
	    .n_iov = n ? 1 : 0,
	    .iov = &r->iov,
	    .payload_bytes = n,
	    .payload_crc = crc32c(0, r->payload, n),
	};
	list_add_tail(&jr->records, &r->all);
	*jr->last = &r->append;
	jr->last = &r->append.next;
	return r;
}

void
jr_run(struct jr *jr)
{
	ASSERT(simenv_run_idle(jr->sim, RUN_MAX) < RUN_MAX);
}

void
jr_submit(struct jr *jr)
{
	struct journal_append *chain = jr->chain;

	jr->chain = NULL;
	jr->last = &jr->chain;
	journal_submit(jr->journal, chain);
	jr_run(jr);
}

struct jr_record *
jr_append(struct jr *jr, uint64_t index, uint32_t n)
{
	struct jr_record *r = jr_put(jr, JOURNAL_ENTRY, index, n);

	jr_submit(jr);
	return r;
}

int
jr_is(const struct jr *jr, uint32_t seen, const struct jr_record *r)
{
	const struct jr_seen *s = &jr->seen[seen];
	const struct journal_head *a = &s->head, *b = &r->append.head;

	return seen < jr->n_seen && a->type == b->type &&
	       a->group == b->group && a->generation == b->generation &&
	       a->term == b->term && a->index == b->index &&
	       s->bytes == r->append.payload_bytes &&
	       s->crc == r->append.payload_crc && s->lsn == r->append.lsn;
}
