/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* bench_verify - what was acknowledged is there, once, and as it was sent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"

static uint64_t
verify_line(const struct bench *b, struct stream_log *l, char *line, size_t n)
{
	static char want[BODY_MAX];
	unsigned long long run = 0;
	char *data = memmem(line, n, "\"data\":", 7);
	char *id = strstr(line, "\"id\":");
	unsigned long long seq = id ? strtoull(id + 5, NULL, 10) : 0;
	int want_n;

	if (!data || seq == 0 || seq <= l->seen)
		return 1;
	l->seen = seq;
	data += 7;
	sscanf(data, "{\"run\":%llu,", &run);
	if (seq >= l->cap || !l->ids[seq]) /* of another run, or in doubt */
		return run == b->run && b->n_failed == 0;
	want_n = bench_body(b, l->ids[seq] - 1, want);
	if ((size_t)(line + n - data) != (size_t)want_n + 1 ||
	    memcmp(data, want, (size_t)want_n) != 0)
		return 1;
	l->n--;
	return 0;
}

uint64_t
bench_verify_stream(const struct bench *b, int stream)
{
	struct stream_log *l = &b->logs[stream];
	char request[1024], *line = NULL;
	uint64_t bad = 0;
	size_t cap = 0;
	ssize_t n;
	int fd = bench_connect(b, 1);
	FILE *f = fdopen(fd, "r+");

	n = snprintf(request, sizeof(request),
	    "GET /streams/%s/s%d?from=1 HTTP/1.0\r\n"
	    "Accept: application/x-ndjson\r\nx-session: %s\r\n\r\n",
	    b->bucket, stream, b->token);
	if (!f || write(fd, request, (size_t)n) != n)
		bench_die("verify");
	while ((n = getline(&line, &cap, f)) > 2)
		; /* the head */
	while ((n = getline(&line, &cap, f)) > 0)
		bad += verify_line(b, l, line, (size_t)n - 1);
	free(line);
	fclose(f);
	return bad + l->n; /* what was acknowledged and not seen */
}
