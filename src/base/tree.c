/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* tree - where a release tree is. */
#include "src/base/tree.h"

#include <limits.h>
#include <unistd.h>

void
tree_root(char *out, size_t n)
{
	char path[PATH_MAX], *slash;
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[len > 0 ? len : 0] = '\0';
	for (int up = 0; up < 2; up++)
		if ((slash = strrchr(path, '/')))
			*slash = '\0';
	snprintf(out, n, "%s", path);
}

void
tree_conf(const char *root, char *out, size_t n)
{
	snprintf(out, n, "%s/etc/iorio.conf", root);
	if (access(out, F_OK) != 0 && access(TREE_SYSTEM_CONF, F_OK) == 0)
		snprintf(out, n, "%s", TREE_SYSTEM_CONF);
}

void
tree_path(const char *root, const char *path, char *out, size_t n)
{
	if (path[0] == '/')
		snprintf(out, n, "%s", path);
	else
		snprintf(out, n, "%s/%s", root,
		    strncmp(path, "./", 2) == 0 ? path + 2 : path);
}
