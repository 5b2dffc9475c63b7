/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* lookup - a thread for a question to the resolver. */
#include "src/os/lookup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "src/base/mem.h"
#include "src/os/address.h"
#include "src/os/os_impl.h"

struct lookup {
	atomic_int refs; /* the caller's, and the thread's */
	atomic_int done;
	struct addrinfo hints, *found;
	char host[ADDRESS_BYTES], port[8];
};

static void
unref(struct lookup *l)
{
	if (atomic_fetch_sub(&l->refs, 1) > 1)
		return;
	if (l->found)
		freeaddrinfo(l->found);
	mem_free(l);
}

static void
ask(struct lookup *l)
{
	if (getaddrinfo(l->host, l->port, &l->hints, &l->found))
		l->found = NULL;
	atomic_store(&l->done, 1);
}

static void *
run(void *arg)
{
	struct lookup *l = arg;

	os_thread_begin("lookup");
	ask(l);
	unref(l);
	return NULL;
}

static int
start_thread(struct lookup *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (pthread_attr_init(&attr))
		return 0;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	atomic_store(&l->refs, 2);
	r = pthread_create(&thread, &attr, run, l);
	pthread_attr_destroy(&attr);
	if (r)
		atomic_store(&l->refs, 1);
	return r == 0;
}

struct lookup *
lookup_start(const char *address)
{
	struct lookup *l = mem_zalloc(sizeof(*l));
	int v6 = address[0] == '[';
	char *end;

	if (!l)
		return NULL;
	atomic_init(&l->refs, 1);
	snprintf(l->host, sizeof(l->host), "%s", address + v6);
	end = strrchr(l->host, ':');
	snprintf(l->port, sizeof(l->port), "%s", end + 1);
	end[v6 ? -1 : 0] = '\0';
	l->hints.ai_family = v6 ? AF_INET6 : AF_INET;
	l->hints.ai_socktype = SOCK_STREAM;
	l->hints.ai_flags = AI_NUMERICHOST; /* no question, no thread */
	ask(l);
	if (l->found)
		return l;
	l->hints.ai_flags = 0;
	atomic_store(&l->done, 0);
	return start_thread(l) ? l : lookup_free(l);
}

int
lookup_done(const struct lookup *l, const struct addrinfo **out)
{
	if (!atomic_load(&l->done))
		return 0;
	*out = l->found;
	return 1;
}

struct lookup *
lookup_free(struct lookup *l)
{
	if (l)
		unref(l);
	return NULL;
}
