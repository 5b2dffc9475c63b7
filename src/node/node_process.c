/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* node_process - what the kernel says of this process. */
#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/node/node_impl.h"

/* Linux 6.2 and later say it with the size of the directory; else it is
 * counted, unless that takes long.  0: not known. */
static uint64_t
open_descriptors(const struct node *n)
{
	static const char path[] = "/proc/self/fd";
	struct stat st;
	uint64_t count = 0;
	DIR *d;

	if (stat(path, &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	if (atomic_load(&n->n_connections) > 1000)
		return 0;
	d = opendir(path);
	if (!d)
		return 0;
	while (readdir(d))
		count++;
	closedir(d);
	return count > 3 ? count - 3 : 0; /* `.`, `..` and the one for this */
}

static void
memory_used(struct process *p)
{
	unsigned long long all = 0, resident = 0;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%llu %llu", &all, &resident) != 2)
		all = resident = 0;
	if (f)
		fclose(f);
	p->virtual_bytes = all * page;
	p->resident_bytes = resident * page;
}

static uint64_t
count_threads(void)
{
	struct stat st;

	/* `.`, `..`, itself, and one for each thread's directory */
	return stat("/proc/self/task", &st) == 0 && st.st_nlink > 2
		   ? st.st_nlink - 2
		   : 0;
}

void
node_process(const struct node *n, struct process *out)
{
	struct rusage u = {0};

	*out = (struct process){0};
	getrusage(RUSAGE_SELF, &u);
	out->cpu_us =
	    (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	    (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
	out->open_fds = open_descriptors(n);
	out->threads = count_threads();
	memory_used(out);
}
