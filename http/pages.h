/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * pages - the files of the web console, at /ui/ (http-api.md section 5).
 *
 * Owns:    their bytes, read once at start: nothing of a disk is asked for by
 *          those who have no permission.
 * Shape:   one folder, PAGES_MAX files of PAGE_BYTES_MAX at most.
 * Thread:  made before the workers run; then any, since nothing changes.
 */
#ifndef HTTP_PAGES_H
#define HTTP_PAGES_H

#include "src/base/buf.h"

#define PAGES_MAX      64
#define PAGE_BYTES_MAX (1u << 20)

struct pages; /* opaque */

struct page {
	char name[64];
	const char *type;
	char tag[19]; /* an entity tag, of its bytes */
	struct slice bytes;
};

/* All plain files of DIR whose names begin with a letter or digit and fit.  No
 * such directory: none.  0, -ERR_NOMEM, -ERR_IO. */
int pages_load(struct pages **out, const char *dir);
/* NULL: no such page. */
const struct page *pages_find(const struct pages *p, struct slice name);
/* Takes NULL, returns NULL. */
struct pages *pages_free(struct pages *p);

#endif
