/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* bench_login - a token for a user name and a password. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define AGAIN_US 100000 /* the node has just begun, or many log in */
#define TRIES    100

/* Asks once; ANSWER gets it. */
static void
ask(const struct bench *b, char *answer, size_t max)
{
	char body[1024], request[2048];
	size_t got = 0;
	ssize_t n;
	int fd = bench_connect(b, 1);

	n = snprintf(body, sizeof(body),
	    "{\"username\":\"%s\",\"password\":\"%s\"}", b->user, b->password);
	n = snprintf(request, sizeof(request),
	    "POST /sessions HTTP/1.0\r\nContent-Type: application/json\r\n"
	    "Content-Length: %zd\r\n\r\n%s",
	    n, body);
	if (write(fd, request, (size_t)n) != n)
		bench_die("login");
	while (got < max - 1 && (n = read(fd, answer + got, max - 1 - got)) > 0)
		got += (size_t)n;
	answer[got] = '\0';
	close(fd);
}

/* Name and password go into JSON as they are. */
const char *
bench_login(const struct bench *b)
{
	static char answer[4096];
	struct timespec nap = {0, AGAIN_US * 1000};
	char *token, *end;

	for (int i = 0; i < TRIES; i++) {
		ask(b, answer, sizeof(answer));
		if (!strstr(answer, " 503 "))
			break;
		nanosleep(&nap, NULL);
	}
	token = strstr(answer, "\"token\":\"");
	end = token ? strchr(token + 9, '"') : NULL;
	if (!end) {
		fprintf(stderr, "iorio-bench: login: %s\n", answer);
		exit(1);
	}
	*end = '\0';
	return token + 9;
}
