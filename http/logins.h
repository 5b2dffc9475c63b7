/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * logins - passwords hashed and checked off the loops, and who tries too many.
 *
 * One for all workers of a node.  At most two are computed at once, on threads
 * that everything else on the machine goes before (os_work); at most LOGINS_MAX
 * wait.  A user and address may fail LOGINS_FAILURES times a minute.  Addresses
 * from where more than that has failed, of whatever users, share LOGINS_PER_S
 * failures a second in the long run, so that guessing takes some tenths of a core;
 * right passwords use up nothing of it, and other addresses do not notice.
 *
 * Thread:  logins_new, logins_free: before and after the workers run;
 *          logins_ask: any worker.
 */
#ifndef HTTP_LOGINS_H
#define HTTP_LOGINS_H

#include "http/password.h"
#include "src/os/os.h"

#define LOGINS_MAX       64
#define LOGINS_SHARED    (LOGINS_MAX / 2) /* of them, from such addresses */
#define LOGINS_PER_S     5
#define LOGINS_FAILURES  10
#define LOGINS_WINDOW_US 60000000ull

struct logins; /* opaque */

enum login_op {
	LOGIN_CHECK, /* is PASSWORD that of HASH? */
	LOGIN_HASH,  /* HASH becomes that of PASSWORD */
};

struct login {
	/* Posted back to worker msg.from, msg.answer set. */
	struct msg msg;
	enum login_op op;
	struct slice password; /* borrowed until the answer */
	/* CHECK: that of the user, empty: there is none. */
	char hash[AUTH_HASH_MAX + 1];
	/* CHECK: who tries, from where; borrowed as PASSWORD. */
	struct slice user, address;
	/* answer: R 0; -ERR_BUSY: too many wait, or have failed just
	 * now from this address; -ERR_LIMIT: too many failed,
	 * again in WAIT_S; -ERR_NOMEM */
	int r, good;
	uint32_t wait_s;
	/* logins' own */
	struct env_job job;
	struct logins *all;
	uint64_t who, from; /* user and address; address */
	int shares;         /* ... is one of those with many failures */
};

/* WORK is os_work, OS its argument. */
struct logins *logins_new(const struct env *env,
    void (*work)(struct os *os, struct env_job *job), struct os *os);
struct logins *logins_free(struct logins *l); /* takes NULL, returns NULL */
void logins_ask(struct logins *l, struct login *q);

#endif
