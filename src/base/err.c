/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* err - texts of the codes, and their mapping from errno. */
#include "src/base/err.h"

#include <errno.h>

static const char *const texts[ERR_COUNT] = {[ERR_NONE] = "ok",
#define ERR_TEXT(name, text) [ERR_##name] = text,
    ERR_TABLE(ERR_TEXT)
#undef ERR_TEXT
};

const char *
err_text(int r)
{
	unsigned code = r < 0 ? 0u - (unsigned)r : (unsigned)r;

	return code < ERR_COUNT ? texts[code] : "unknown error";
}

int
err_from_errno(int e)
{
	switch (e) {
	case 0:
		return 0;
	case ENOMEM:
		return -ERR_NOMEM;
	case EIO:
		return -ERR_IO;
	case ENOSPC:
	case EDQUOT:
		return -ERR_NOSPC;
	case ENOENT:
		return -ERR_NOTFOUND;
	case EEXIST:
	case ENOTEMPTY:
		return -ERR_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS:
		return -ERR_PERM;
	case EINVAL:
		return -ERR_INVAL;
	case EMFILE:
	case ENFILE:
		return -ERR_LIMIT;
	case EISDIR:
	case ENOTDIR:
	case ELOOP: /* a symbolic link where we follow none */
		return -ERR_FILETYPE;
	case EADDRINUSE:
		return -ERR_INUSE;
	case ETIMEDOUT:
		return -ERR_TIMEOUT;
	default:
		return -ERR_SYSTEM;
	}
}
