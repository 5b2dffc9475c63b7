/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Documents of the root that are changed many times: what is kept of them, and
 * readers that what they want to read next was taken from. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/node/cluster_rig.h"
#include "vnode/store_impl.h"

TestSuite(root_doc, .timeout = 120);

#define STREAM   "test"
#define KEYS_MAX 200

/* What the document should be: the newest value of each key. */
struct model {
	uint16_t n_keys;
	size_t bytes; /* of a value */
	uint32_t value[KEYS_MAX];
	uint32_t n; /* changes so far, one key each */
};

static uint16_t
key_of(const struct model *m, uint32_t n)
{
	return (uint16_t)(n % m->n_keys);
}

static void
nothing(void *arg)
{
	(void)arg;
}

static struct root_doc *
doc_of(struct member *m)
{
	struct root_doc_config c = {
	    .env = simenv_env(m->sim),
	    .router = core_router(m->core),
	    .group = RIG_Q,
	    .stream = STREAM,
	    .timeout_us = 5 * SECOND,
	    .changed = nothing,
	};
	struct root_doc *d = root_doc_new(&c);

	cr_assert_not_null(d);
	return d;
}

/* --- changes ---------------------------------------------------------------- */

struct change {
	struct msg msg;
	struct root_edit edit;
	struct root_doc *doc;
	const struct model *model;
	int done, r;
};

static int
make(struct root_edit *e, const struct doc *now, struct doc **out)
{
	const struct change *c = CONTAINER_OF(e, struct change, edit);
	const struct model *m = c->model;
	uint8_t *value = mem_zalloc(m->bytes);
	uint16_t key = key_of(m, m->n);

	(void)now;
	memcpy(value, &m->n, sizeof(m->n));
	*out = doc_new();
	cr_assert_eq(
	    doc_put(*out, SLICE(&key, sizeof(key)), SLICE(value, m->bytes)), 0);
	mem_free(value);
	return 0;
}

static void
made(struct root_edit *e, int r)
{
	struct change *c = CONTAINER_OF(e, struct change, edit);

	c->done = 1;
	c->r = r;
}

static void
begin(struct msg *m)
{
	struct change *c = CONTAINER_OF(m, struct change, msg);

	root_doc_edit(c->doc, &c->edit);
}

static int
is_done(struct rig *rig, void *arg)
{
	(void)rig;
	return ((struct change *)arg)->done;
}

/* N more, through D of MEMBER. */
static void
change(
    struct member *member, struct root_doc *d, struct model *model, uint32_t n)
{
	while (n--) {
		struct change c = {.doc = d, .model = model};

		c.edit = (struct root_edit){
		    .make = make, .done = made, .when = ROOT_EDIT_ANY};
		model->n++;
		model->value[key_of(model, model->n)] = model->n;
		rig_on_worker_0(member, &c.msg, begin);
		rig_run_until(member->rig, is_done, &c, 20);
		cr_assert_eq(c.r, 0, "change %u: %s", model->n, err_text(c.r));
	}
}

/* --- what is there ---------------------------------------------------------- */

struct looking {
	struct msg msg;
	struct root_doc *doc;
	uint64_t want;
};

static void
look(struct msg *m)
{
	struct looking *l = CONTAINER_OF(m, struct looking, msg);

	root_doc_look(l->doc);
	l->msg.fn = NULL;
}

static int
has_all(struct rig *rig, void *arg)
{
	const struct looking *l = arg;

	(void)rig;
	return !l->msg.fn && doc_seq(root_doc_now(l->doc)) == l->want;
}

/* D of MEMBER is told to look, and comes to what MODEL says. */
static void
check(struct member *member, struct root_doc *d, const struct model *model)
{
	struct looking l = {.doc = d, .want = model->n};
	uint64_t have = 0;

	do {
		have++;
		rig_on_worker_0(member, &l.msg, look);
		rig_run_for(member->rig, SECOND / 10);
	} while (!has_all(member->rig, &l) && have < 100);
	cr_assert_eq(doc_seq(root_doc_now(d)), model->n);
	for (uint16_t key = 0; key < model->n_keys; key++) {
		struct slice v =
		    doc_get(root_doc_now(d), SLICE(&key, sizeof(key)));
		uint32_t value;

		cr_assert_eq(v.n, model->value[key] ? model->bytes : 0);
		memcpy(&value, v.p, v.n ? sizeof(value) : 0);
		cr_assert(v.n == 0 || value == model->value[key]);
	}
}

static void
count_name(void *arg, const char *name)
{
	*(uint32_t *)arg += strstr(name, ".chunk") != NULL;
}

/* Nothing of the root is on the disk of MEMBER but what begins with the newest
 * base of each stream. */
static void
check_room(struct member *member)
{
	struct vnode *v = &core_store(member->core)->vnodes[RIG_Q];
	const struct env_disk *d = memdisk_disk(member->md);
	uint32_t n_files = 0;

	for (uint32_t i = 0; i < v->n_by_id; i++) {
		const struct stream *s = v->by_id[i];

		cr_assert_eq(s->n_chunks, 1, "%.*s has %u chunks", s->name_n,
		    s->name, s->n_chunks);
		cr_assert_eq(s->chunks[0].first, s->kept->hidden.seq);
	}
	cr_assert_eq(d->list(d->ctx, v->dir, count_name, &n_files), 0);
	cr_assert_eq(n_files, v->n_by_id);
}

/* --- histories -------------------------------------------------------------- */

Test(root_doc, only_what_there_is_takes_room_not_what_there_was)
{
	struct rig *rig = rig_new();
	struct model model = {.n_keys = 20, .bytes = 150};
	struct member *m = &rig->at[0];
	struct root_doc *d = doc_of(m);

	change(m, d, &model, 600);
	rig_kill(m); /* all of it is in the journal only */
	rig_start(m);
	rig_run_for(rig, SECOND);
	d = doc_of(m);
	check(m, d, &model);
	change(m, d, &model, 600);
	rig_run_for(
	    rig, 100 * SECOND); /* a checkpoint, and behind it files go */
	check_room(m);
	rig_kill(m);
	rig_start(m);
	rig_run_for(rig, SECOND);
	check_room(m);
	d = doc_of(m);
	check(m, d, &model);
	change(m, d, &model, 100);
	check(m, d, &model);
}

static void
join_all(struct rig *rig)
{
	for (uint32_t i = 1; i < RIG_NODES; i++)
		cr_assert_eq(rig_join(&rig->at[i], &rig->at[0]), ADMIN_OK);
	cr_assert_eq(rig_plan(&rig->at[0]), RING_OK);
	cr_assert_eq(rig_commit(&rig->at[0]), RING_OK);
	rig_wait_settled(rig, (int[]){4, 4, 4, 4});
}

Test(root_doc, who_was_away_or_looked_away_begins_with_the_newest_whole)
{
	struct rig *rig = rig_new();
	struct model model = {.n_keys = 20, .bytes = 150};
	struct root_doc *d[RIG_NODES];

	join_all(rig);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		d[i] = doc_of(&rig->at[i]);
	change(&rig->at[0], d[0], &model, 70);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		check(&rig->at[i], d[i], &model);
	rig_kill(&rig->at[3]);
	/* The second does not look meanwhile, the third joins in. */
	change(&rig->at[0], d[0], &model, 300);
	change(&rig->at[2], d[2], &model, 300);
	rig_run_for(rig, 100 * SECOND);
	rig_start(&rig->at[3]);
	rig_run_for(rig, 20 * SECOND);
	d[3] = doc_of(&rig->at[3]);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		check(&rig->at[i], d[i], &model);
	change(&rig->at[1], d[1], &model, 1);
	change(&rig->at[3], d[3], &model, 1);
	rig_run_for(rig, 100 * SECOND);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		check_room(&rig->at[i]);
}

/* A page holds a part of what there is, and while it is read more comes. */
Test(root_doc, a_reader_may_be_between_two_pages)
{
	struct rig *rig = rig_new();
	struct model model = {.n_keys = 200, .bytes = 8000};
	struct member *m = &rig->at[0];
	struct root_doc *writer, *reader = NULL;

	rig_kill(m);
	m->segment = 8u << 20; /* for a whole document in one record */
	rig_start(m);
	rig_run_for(rig, SECOND);
	writer = doc_of(m);
	change(m, writer, &model, 200);
	for (int i = 0; i < 60; i++) {
		struct looking l = {.doc = reader = doc_of(m)};

		rig_on_worker_0(m, &l.msg, look);
		change(m, writer, &model, 9);
		cr_assert_null(l.msg.fn);
	}
	check(m, reader, &model);
}
