/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * logins - passwords hashed and checked, and who tries too many.
 *
 *	worker that asks -> worker 0: is it let in? -> os_work: argon2id
 *	-> worker 0: did it fail? -> worker that asks
 *
 * Those under way may all fail: so they count, too, and who comes when only
 * that is in the way is to come again in a moment.
 *
 * The same holds for what addresses with many failures share: LEFT may fail now,
 * LOGINS_PER_S more with each second, up to LOGINS_SHARED.  Which users there are
 * does not matter to it.
 *
 * Who tries is a place in a table of fixed size, by a hash under a seed that
 * nobody knows.  A place in use is given to another one only if its minute is
 * over, or the row is full of others and it is the oldest there.
 */
#include "http/logins.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"

#define ROWS   256
#define PLACES 8

struct logins_try {
	uint64_t who; /* 0: free */
	uint64_t since_us;
	uint32_t failed, under_way;
};

typedef struct logins_try logins_table[ROWS][PLACES];

struct logins {
	const struct env *env;
	void (*work)(struct os *os, struct env_job *job);
	struct os *os;
	uint64_t seed;
	uint32_t n_waiting;
	uint32_t n_sharing; /* under way, of addresses with many failures */
	uint32_t left; /* so many of those may fail; at most LOGINS_SHARED */
	uint64_t since_us;  /* LEFT is as of then */
	logins_table users; /* and their addresses */
	logins_table addresses;
};

static uint64_t
now_us(const struct logins *l)
{
	return l->env->clock.mono(l->env->clock.ctx).us;
}

/* --- who tries ------------------------------------------------------------ */

/* Both names of who tries. */
static void
name_try(const struct logins *l, struct login *q)
{
	q->from = hash64(q->address.p, q->address.n, l->seed);
	q->who = hash64(q->user.p, q->user.n, q->from);
	q->from = q->from ? q->from : 1;
	q->who = q->who ? q->who : 1;
}

/* The place of WHO, its own or a new one. */
static struct logins_try *
find_try(const struct logins *l, logins_table table, uint64_t who)
{
	struct logins_try *row = table[who % ROWS], *oldest = row;
	uint64_t now = now_us(l);

	for (int i = 0; i < PLACES; i++) {
		if (row[i].who == who) {
			oldest = &row[i];
			break;
		}
		if (row[i].since_us < oldest->since_us)
			oldest = &row[i];
	}
	if (oldest->who != who)
		*oldest = (struct logins_try){.who = who, .since_us = now};
	if (now >= oldest->since_us + LOGINS_WINDOW_US) {
		oldest->since_us = now;
		oldest->failed = 0;
	}
	return oldest;
}

/* What has come to LEFT since it was looked at. */
static void
refill(struct logins *l)
{
	uint64_t more = (now_us(l) - l->since_us) / (1000000 / LOGINS_PER_S);

	l->since_us += more * (1000000 / LOGINS_PER_S);
	l->left = more < LOGINS_SHARED - l->left ? l->left + (uint32_t)more
						 : LOGINS_SHARED;
}

/* T may have failed often enough, once all that is under way is done. */
static int
is_full(const struct logins_try *t)
{
	return t->failed + t->under_way >= LOGINS_FAILURES;
}

/* 0: it may be tried; -ERR_LIMIT, -ERR_BUSY. */
static int
let_in(struct logins *l, struct login *q)
{
	struct logins_try *t, *from;

	name_try(l, q);
	t = find_try(l, l->users, q->who);
	from = find_try(l, l->addresses, q->from);
	if (t->failed >= LOGINS_FAILURES) {
		uint64_t left = t->since_us + LOGINS_WINDOW_US - now_us(l);

		q->wait_s = (uint32_t)(left / 1000000 + 1);
		return -ERR_LIMIT;
	}
	refill(l);
	q->shares = is_full(from);
	if (is_full(t) || (q->shares && l->n_sharing >= l->left))
		return -ERR_BUSY;
	t->under_way++;
	from->under_way++;
	l->n_sharing += (uint32_t)q->shares;
	return 0;
}

static void
count_try(struct logins_try *t, int good)
{
	if (t->under_way)
		t->under_way--;
	t->failed += !good;
}

static void
count(struct logins *l, const struct login *q)
{
	count_try(find_try(l, l->users, q->who), q->good);
	count_try(find_try(l, l->addresses, q->from), q->good);
	if (!q->shares)
		return;
	l->n_sharing--;
	l->left -= !q->good;
}

/* --- on its way ----------------------------------------------------------- */

static void
answer(struct login *q, int r)
{
	const struct env_post *post = &q->all->env->post;

	q->r = r;
	q->msg.fn = q->msg.then;
	q->msg.answer = 1;
	post->to_worker(post->ctx, q->msg.from, &q->msg);
}

static void
computed(struct msg *m)
{
	struct login *q = CONTAINER_OF(m, struct login, msg);

	q->all->n_waiting--;
	if (q->op == LOGIN_CHECK)
		count(q->all, q);
	answer(q, q->r);
}

/* One of the threads of os_work. */
static void
compute(struct env_job *job)
{
	struct login *q = CONTAINER_OF(job, struct login, job);
	const struct env *env = q->all->env;

	if (q->op == LOGIN_CHECK)
		q->good = password_check(q->password, q->hash);
	else
		q->r = password_hash(&env->rng, q->password, q->hash);
	q->msg.fn = computed;
	env->post.to_worker(env->post.ctx, 0, &q->msg);
}

static void
begin(struct msg *m)
{
	struct login *q = CONTAINER_OF(m, struct login, msg);
	struct logins *l = q->all;
	int r = l->n_waiting >= LOGINS_MAX ? -ERR_BUSY : 0;

	if (r == 0 && q->op == LOGIN_CHECK)
		r = let_in(l, q);
	if (r) {
		answer(q, r);
		return;
	}
	l->n_waiting++;
	q->job.run = compute;
	l->work(l->os, &q->job);
}

void
logins_ask(struct logins *l, struct login *q)
{
	const struct env_post *post = &l->env->post;

	q->all = l;
	q->r = q->good = 0;
	q->msg.kind = MSG_CALL;
	q->msg.answer = 0;
	q->msg.then = q->msg.fn;
	q->msg.fn = begin;
	post->to_worker(post->ctx, 0, &q->msg);
}

/* --- life ----------------------------------------------------------------- */

struct logins *
logins_new(const struct env *env,
    void (*work)(struct os *os, struct env_job *job), struct os *os)
{
	struct logins *l = mem_zalloc(sizeof(*l));

	if (!l)
		return NULL;
	l->env = env;
	l->work = work;
	l->os = os;
	l->left = LOGINS_SHARED;
	env->rng.bytes(env->rng.ctx, &l->seed, sizeof(l->seed));
	return l;
}

struct logins *
logins_free(struct logins *l)
{
	return mem_free(l);
}
