/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Who may try a password, and how often; the machine is made up, argon2id is not. */
#include <criterion/criterion.h>

#include "http/logins.h"
#include "src/base/err.h"

TestSuite(logins, .timeout = 120);

#define MANY (LOGINS_MAX + 10)

struct machine {
	struct env env;
	struct logins *logins;
	uint64_t now_us;
	struct msg *first, **last;  /* on their way to workers */
	struct env_job *jobs[MANY]; /* on their way to a thread */
	uint32_t n_jobs, n_users;
};

static struct mono
mono(void *ctx)
{
	return (struct mono){((struct machine *)ctx)->now_us};
}

static void
bytes(void *ctx, void *out, size_t n)
{
	(void)ctx;
	memset(out, 7, n);
}

static void
to_worker(void *ctx, uint32_t worker, struct msg *m)
{
	struct machine *machine = ctx;

	(void)worker;
	m->next = NULL;
	*machine->last = m;
	machine->last = &m->next;
}

static void
work(struct os *os, struct env_job *job)
{
	struct machine *m = (struct machine *)os;

	m->jobs[m->n_jobs++] = job;
}

static void
start(struct machine *m)
{
	*m = (struct machine){.now_us = 5, .last = &m->first};
	m->env.clock.ctx = m->env.rng.ctx = m->env.post.ctx = m;
	m->env.clock.mono = mono;
	m->env.rng.bytes = bytes;
	m->env.post.to_worker = to_worker;
	m->logins = logins_new(&m->env, work, (struct os *)m);
	cr_assert_not_null(m->logins);
}

/* All messages that are on their way. */
static void
deliver(struct machine *m)
{
	while (m->first) {
		struct msg *msg = m->first;

		m->first = msg->next;
		if (!m->first)
			m->last = &m->first;
		msg->fn(msg);
	}
}

/* And all that is to be computed. */
static void
run(struct machine *m)
{
	deliver(m);
	for (uint32_t i = 0; i < m->n_jobs; i++)
		m->jobs[i]->run(m->jobs[i]);
	m->n_jobs = 0;
	deliver(m);
}

static void
done(struct msg *m)
{
	m->from++; /* answered once */
}

static void
ask(struct machine *m, struct login *q, const char *user, const char *address,
    const char *password, const char *hash)
{
	*q = (struct login){.op = LOGIN_CHECK,
	    .msg.fn = done,
	    .user = SLICE_STR(user),
	    .address = SLICE_STR(address),
	    .password = SLICE_STR(password)};
	snprintf(q->hash, sizeof(q->hash), "%s", hash);
	logins_ask(m->logins, q);
}

static void
hash_of(struct machine *m, const char *password, char out[AUTH_HASH_MAX + 1])
{
	struct login q = {
	    .op = LOGIN_HASH, .msg.fn = done, .password = SLICE_STR(password)};

	logins_ask(m->logins, &q);
	run(m);
	cr_assert_eq(q.r, 0);
	memcpy(out, q.hash, sizeof(q.hash));
}

Test(logins, only_the_password_of_the_user_is_good)
{
	char hash[AUTH_HASH_MAX + 1];
	struct login q[4];
	struct machine m;

	start(&m);
	hash_of(&m, "pa55", hash);
	ask(&m, &q[0], "ann", "1.2.3.4", "pa55", hash);
	ask(&m, &q[1], "ann", "1.2.3.4", "pa5", hash);
	ask(&m, &q[2], "ann", "1.2.3.4", "", hash);
	ask(&m, &q[3], "nobody", "1.2.3.4", "pa55", "");
	run(&m);
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(q[i].r, 0);
		cr_assert_eq(q[i].good, i == 0, "%d", i);
		cr_assert_eq(q[i].msg.answer, 1);
		cr_assert_eq(q[i].msg.from, 1);
	}
	logins_free(m.logins);
}

Test(logins, ten_failures_of_a_user_from_an_address_are_enough_for_a_minute)
{
	struct machine m;
	struct login q;

	start(&m);
	for (int i = 0; i < LOGINS_FAILURES; i++) {
		ask(&m, &q, "ann", "1.2.3.4", "x", "");
		run(&m);
		cr_assert_eq(q.r, 0);
	}
	m.now_us += 20000000;
	ask(&m, &q, "ann", "1.2.3.4", "x", "");
	run(&m);
	cr_assert_eq(q.r, -ERR_LIMIT);
	cr_assert_eq(q.wait_s, 41);
	ask(&m, &q, "ann", "1.2.3.5", "x", "");
	run(&m);
	cr_assert_eq(q.r, 0, "another address");
	ask(&m, &q, "bob", "1.2.3.4", "x", "");
	run(&m);
	cr_assert_eq(q.r, 0, "another user");
	m.now_us += LOGINS_WINDOW_US - 20000000;
	ask(&m, &q, "ann", "1.2.3.4", "x", "");
	run(&m);
	cr_assert_eq(q.r, 0, "a minute later");
	logins_free(m.logins);
}

Test(logins, those_under_way_may_all_fail)
{
	struct login q[LOGINS_FAILURES + 1];
	char hash[AUTH_HASH_MAX + 1];
	struct machine m;

	start(&m);
	hash_of(&m, "pa55", hash);
	for (int i = 0; i <= LOGINS_FAILURES; i++)
		ask(&m, &q[i], "ann", "1.2.3.4", "pa55", hash);
	deliver(&m);
	cr_assert_eq(m.n_jobs, LOGINS_FAILURES);
	cr_assert_eq(q[LOGINS_FAILURES].r, -ERR_BUSY);
	run(&m);
	ask(&m, &q[0], "ann", "1.2.3.4", "pa55", hash);
	run(&m);
	cr_assert(q[0].r == 0 && q[0].good, "none of them has failed");
	logins_free(m.logins);
}

Test(logins, no_more_wait_than_are_allowed)
{
	char names[MANY][8];
	struct login q[MANY];
	struct machine m;
	uint32_t busy = 0;

	start(&m);
	for (int i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "u%d", i);
		ask(&m, &q[i], names[i], names[i], "x", "");
	}
	deliver(&m);
	cr_assert_eq(m.n_jobs, LOGINS_MAX);
	for (int i = 0; i < MANY; i++)
		busy += q[i].r == -ERR_BUSY;
	cr_assert_eq(busy, MANY - LOGINS_MAX);
	/* Making a password takes a place, too, and is not throttled else. */
	q[0] = (struct login){
	    .op = LOGIN_HASH, .msg.fn = done, .password = SLICE_LIT("x")};
	logins_ask(m.logins, &q[0]);
	deliver(&m);
	cr_assert_eq(q[0].r, -ERR_BUSY);
	logins_free(m.logins);
}

/* N logins, each of another user; how many were looked at. */
static uint32_t
count_checked(struct machine *m, uint32_t n, const char *address,
    const char *password, const char *hash)
{
	uint32_t checked = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct login q;
		char who[16];

		snprintf(who, sizeof(who), "u%u", m->n_users++);
		ask(m, &q, who, address, password, hash);
		run(m);
		cr_assert(q.r == 0 || q.r == -ERR_BUSY);
		checked += q.r == 0;
	}
	return checked;
}

Test(logins, guessing_takes_a_share_of_the_machine_and_nothing_from_others)
{
	const uint32_t first = LOGINS_FAILURES + LOGINS_SHARED;
	const char *bad = "1.2.3.4", *worse = "1.2.3.5", *good = "1.2.3.6";
	char hash[AUTH_HASH_MAX + 1];
	struct machine m;
	struct login q;

	start(&m);
	m.now_us = 3600000000ull; /* nobody has come for long */
	hash_of(&m, "pa55", hash);
	cr_assert_eq(count_checked(&m, first + 9, bad, "x", ""), first);
	m.now_us += 1000000;
	cr_assert_eq(count_checked(&m, 9, bad, "x", hash), LOGINS_PER_S);
	cr_assert_eq(count_checked(&m, 30, worse, "x", ""), LOGINS_FAILURES,
	    "they share it");
	cr_assert_eq(count_checked(&m, 3, good, "x", ""), 3);
	m.now_us += 1000000 / LOGINS_PER_S;
	cr_assert_eq(count_checked(&m, 3, worse, "pa55", hash), 3);
	cr_assert_eq(count_checked(&m, 3, bad, "x", hash), 1);
	/* Who makes a password has one. */
	q = (struct login){
	    .op = LOGIN_HASH, .msg.fn = done, .password = SLICE_LIT("x")};
	logins_ask(m.logins, &q);
	run(&m);
	cr_assert_eq(q.r, 0);
	m.now_us += LOGINS_WINDOW_US;
	cr_assert_eq(count_checked(&m, 1, bad, "x", ""), 1, "a minute later");
	logins_free(m.logins);
}
