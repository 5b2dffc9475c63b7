/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * driver FOLDER... - runs a fuzz target over every file of these folders.
 *
 * A folder may be missing or empty, but not all of them: a test that has
 * nothing to run says nothing.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"

static int
run_file(const char *path)
{
	struct stat st;
	FILE *f = fopen(path, "rb");
	uint8_t *p = NULL;
	int r = -1;

	if (!f)
		goto out;
	if (fstat(fileno(f), &st))
		goto close_file;
	p = mem_alloc(st.st_size ? (size_t)st.st_size : 1);
	if (!p || fread(p, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
		goto close_file;
	/* An ASSERT names a line of code, this the input. */
	printf("# %s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(p, (size_t)st.st_size);
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

	for (int i = 1; i < argc; i++) {
		int n = run_folder(argv[i]);

		if (n < 0)
			return 1;
		n_all += n;
	}
	printf("%d inputs\n", n_all);
	return n_all == 0;
}
