/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * driver FOLDER... - runs a fuzz target over every file of these folders, and
 * over some variants of each, always the same ones.
 *
 * The input that a target died of is left beside the program, named
 * <program>.crash: with its fix it goes to the regression folder.  A folder may
 * be missing or empty, but not all of them: a test that has nothing to run says
 * nothing.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/chance.h"

#define VARIANTS      100
#define VARIANT_BYTES 16384 /* larger files are run as they are */

/* For the signal handler: what is being run. */
static struct {
	const uint8_t *p;
	size_t n;
	char path[256];
} current;

static void
leave_input(int sig)
{
	int fd = open(current.path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd < 0 || write(fd, current.p, current.n) < 0)
		_exit(2);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void
run(const uint8_t *p, size_t n)
{
	current.p = p;
	current.n = n;
	LLVMFuzzerTestOneInput(p, n);
}

/* One change to the N bytes at P, which have room for as many again. */
static size_t
change(struct chance *c, uint8_t *p, size_t n)
{
	size_t at = chance_below(c, n), k = 1 + chance_below(c, 8);

	switch (chance_below(c, 6)) {
	case 0:
		p[at] ^= (uint8_t)(1 << chance_below(c, 8));
		return n;
	case 1:
		p[at] = (uint8_t)chance_next(c);
		return n;
	case 2: /* a number nearby, or at the edge of its width */
		p[at] = (uint8_t)(chance_one_in(c, 2) ? p[at] + 1 : 0xff);
		return n;
	case 3: /* some bytes fewer */
		k = k < n - at ? k : n - at;
		memmove(p + at, p + at + k, n - at - k);
		return n - k;
	case 4: /* some bytes twice */
		k = k < n - at ? k : n - at;
		memmove(p + at + k, p + at, n - at);
		return n + k;
	default:
		return at;
	}
}

static void
run_variants(const uint8_t *file, size_t n)
{
	struct chance c = {n};

	if (n > VARIANT_BYTES)
		return;
	for (int i = 0; i < VARIANTS; i++) {
		uint8_t *p = mem_alloc(n + 64), *exact;
		size_t k = n;

		if (!p)
			abort();
		memcpy(p, file, n);
		for (uint64_t j = 1 + chance_below(&c, 4); j && k; j--)
			k = change(&c, p, k);
		if (fuzz_reseal && !chance_one_in(&c, 4))
			fuzz_reseal(p, k);
		exact = mem_alloc(k); /* a sanitizer sees where it ends */
		if (!exact)
			abort();
		memcpy(exact, p, k);
		run(exact, k);
		mem_free(exact);
		mem_free(p);
	}
}

static int
run_file(const char *path)
{
	struct stat st;
	FILE *f = fopen(path, "rb");
	uint8_t *p = NULL;
	size_t n = 0;
	int r = -1;

	if (!f)
		goto out;
	if (fstat(fileno(f), &st))
		goto close_file;
	n = (size_t)st.st_size;
	p = mem_alloc(n);
	if (!p || fread(p, 1, n, f) != n)
		goto close_file;
	/* An ASSERT names a line of code, this the input. */
	printf("# %s\n", path);
	fflush(stdout);
	run(p, n);
	if (n)
		run_variants(p, n);
	r = 0;
close_file:
	fclose(f);
out:
	if (r)
		fprintf(stderr, "cannot read %s\n", path);
	mem_free(p);
	return r;
}

/* How many files were run, or -1. */
static int
run_folder(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	int n = 0;

	if (!d)
		return 0;
	while ((e = readdir(d)) && n >= 0) {
		char path[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		n = run_file(path) ? -1 : n + 1;
	}
	closedir(d);
	return n;
}

int
main(int argc, char **argv)
{
	int n_all = 0;

	snprintf(current.path, sizeof(current.path), "%s.crash", argv[0]);
	signal(SIGABRT, leave_input);
	signal(SIGSEGV, leave_input);
	for (int i = 1; i < argc; i++) {
		int n = run_folder(argv[i]);

		if (n < 0)
			return 1;
		n_all += n;
	}
	printf("%d inputs\n", n_all);
	return n_all == 0;
}
