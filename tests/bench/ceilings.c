/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * ceilings - what the machine can do at best, measured beside the benches:
 *
 *	ceilings DIR
 *
 * prints, as `name value` lines: growing_p50_us (256 B append + fdatasync on a
 * growing file), overwrite_p50_us (4 KiB overwrite + fdatasync on a written
 * file), overwrite_of_3_p50_us (the same while two more processes do it: three
 * journals on one disk), journal_mb_per_s (1 MiB at a time), json_256_per_s and
 * json_4k_mb_per_s (the JSON check alone, one core).
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "src/base/buf.h"
#include "src/base/json.h"

#define ROUNDS 2000
#define MIB    (1u << 20)

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The median of N syncs, each of BYTES behind those before, in us. */
static double
disk(const char *dir, size_t bytes, int n, int prepared)
{
	static uint64_t took[ROUNDS];
	static char block[MIB];
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/ceiling-%d", dir, (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0) {
		perror(path);
		exit(1);
	}
	memset(block, 'x', sizeof(block));
	for (int i = 0; prepared && i < n; i++)
		if (write(fd, block, bytes) != (ssize_t)bytes)
			exit(1);
	if (fsync(fd))
		exit(1);
	for (int i = 0; i < n; i++) {
		uint64_t start = now_ns();

		if (pwrite(fd, block, bytes, (off_t)(bytes * (size_t)i)) !=
			(ssize_t)bytes ||
		    fdatasync(fd))
			exit(1);
		took[i] = now_ns() - start;
	}
	close(fd);
	unlink(path);
	qsort(took, (size_t)n, sizeof(*took), by_value);
	return (double)took[n / 2] / 1000.0;
}

/* The same of one process among three. */
static double
disk_of_three(const char *dir, size_t bytes)
{
	pid_t others[2];
	double us;

	for (int i = 0; i < 2; i++) {
		others[i] = fork();
		if (others[i] < 0)
			exit(1);
		while (others[i] == 0) /* until it is killed */
			disk(dir, bytes, ROUNDS / 10, 1);
	}
	us = disk(dir, bytes, ROUNDS, 1);
	for (int i = 0; i < 2; i++) {
		kill(others[i], SIGKILL);
		waitpid(others[i], NULL, 0);
	}
	return us;
}

static double
json_per_second(size_t bytes)
{
	struct json_checker *checker = json_checker_new();
	struct json_error error;
	char *doc = malloc(bytes + 1);
	size_t n = (size_t)snprintf(doc, bytes, "{\"id\":1,\"pad\":\"");
	uint64_t start, took;
	int rounds = (int)(200000000 / (bytes + 1000));

	memset(doc + n, 'a', bytes - n - 2);
	memcpy(doc + bytes - 2, "\"}", 2);
	start = now_ns();
	for (int i = 0; i < rounds; i++)
		if (json_check(checker, SLICE(doc, bytes), 128, &error))
			exit(1);
	took = now_ns() - start;
	free(doc);
	json_checker_free(checker);
	return rounds / ((double)took / 1e9);
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("Usage: ceilings DIR\n", stderr);
		return 1;
	}
	printf("growing_p50_us %.1f\n", disk(argv[1], 256, ROUNDS, 0));
	printf("overwrite_p50_us %.1f\n", disk(argv[1], 4096, ROUNDS, 1));
	printf("overwrite_of_3_p50_us %.1f\n", disk_of_three(argv[1], 4096));
	printf("journal_mb_per_s %.0f\n",
	    MIB / disk(argv[1], MIB, ROUNDS / 10, 1));
	printf("json_256_per_s %.0f\n", json_per_second(256));
	printf("json_4k_mb_per_s %.0f\n", json_per_second(4096) * 4096 / 1e6);
	return 0;
}
