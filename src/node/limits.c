/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* limits - descriptors: the store's, the node's, the clients'. */
#include "src/node/limits.h"

#include <errno.h>
#include <sys/resource.h>

#include "src/base/err.h"

#define FILES_MAX       512 /* no more than the store would keep by itself */
#define FILES_MIN       16
#define CONNECTIONS_MIN 16
/* Log, lock, journal, what a flush and two readers have open. */
#define OWN 64
/* Loop, mailbox, listener, and connections that are only being told that there
 * are too many. */
#define OWN_PER_WORKER 32

int
limits_share(struct limits *out, uint32_t n_workers, uint32_t connections,
    uint64_t *needed)
{
	uint64_t own = OWN + (uint64_t)OWN_PER_WORKER * n_workers, left;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return err_from_errno(errno);
	if (l.rlim_cur < l.rlim_max) {
		struct rlimit more = {l.rlim_max, l.rlim_max};

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			l = more;
	}
	*out = (struct limits){.descriptors = l.rlim_cur};
	*needed = own + FILES_MIN + CONNECTIONS_MIN;
	if (l.rlim_cur < *needed)
		return -ERR_LIMIT;
	left = l.rlim_cur - own;
	out->files_max =
	    left / 4 < FILES_MAX ? (uint32_t)(left / 4) : FILES_MAX;
	if (out->files_max < FILES_MIN)
		out->files_max = FILES_MIN;
	left -= out->files_max;
	out->connections_max =
	    left < connections ? (uint32_t)left : connections;
	return 0;
}
