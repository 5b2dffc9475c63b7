/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* pages - the files of the web console, and the routes that give them. */
#include "http/pages.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "http/http_impl.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"

struct pages {
	uint32_t n;
	struct page pages[PAGES_MAX];
};

static const char *
type_of(const char *name)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
	    {".html", "text/html; charset=utf-8"},
	    {".css", "text/css; charset=utf-8"},
	    {".js", "text/javascript; charset=utf-8"},
	    {".json", "application/json"},
	    {".svg", "image/svg+xml"},
	    {".png", "image/png"},
	    {".ico", "image/x-icon"},
	    {".woff2", "font/woff2"},
	};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(dot, types[i].ending) == 0)
			return types[i].type;
	return "application/octet-stream";
}

static int
read_file(const char *path, uint64_t size, struct page *page)
{
	FILE *f = fopen(path, "re");
	uint8_t *p = f ? mem_alloc(size + 1) : NULL;
	int r = !f ? -ERR_IO : !p ? -ERR_NOMEM : 0;

	if (r == 0 && fread(p, 1, size, f) != size)
		r = -ERR_IO;
	if (f)
		fclose(f);
	if (r) {
		mem_free(p);
		return r;
	}
	page->bytes = SLICE(p, size);
	return 0;
}

static int
load_one(struct pages *all, const char *dir, const char *name)
{
	struct page *page = &all->pages[all->n];
	char path[4096];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!isalnum((unsigned char)name[0]) || strlen(name) >= 64 ||
	    all->n == PAGES_MAX || stat(path, &st) || !S_ISREG(st.st_mode) ||
	    st.st_size > PAGE_BYTES_MAX)
		return 0;
	r = read_file(path, (uint64_t)st.st_size, page);
	if (r)
		return r;
	snprintf(page->name, sizeof(page->name), "%s", name);
	page->type = type_of(name);
	snprintf(page->tag, sizeof(page->tag), "\"%016llx\"",
	    (unsigned long long)hash64(page->bytes.p, page->bytes.n, 0));
	all->n++;
	return 0;
}

int
pages_load(struct pages **out, const char *dir)
{
	struct pages *all = mem_zalloc(sizeof(*all));
	DIR *d = all ? opendir(dir) : NULL;
	struct dirent *entry;
	int r = all ? 0 : -ERR_NOMEM;

	if (all && !d && errno != ENOENT)
		r = -ERR_IO;
	while (r == 0 && d && (entry = readdir(d)))
		r = load_one(all, dir, entry->d_name);
	if (d)
		closedir(d);
	*out = r ? pages_free(all) : all;
	return r;
}

const struct page *
pages_find(const struct pages *p, struct slice name)
{
	for (uint32_t i = 0; p && i < p->n; i++)
		if (slice_equal(name, SLICE_STR(p->pages[i].name)))
			return &p->pages[i];
	return NULL;
}

struct pages *
pages_free(struct pages *p)
{
	for (uint32_t i = 0; p && i < p->n; i++)
		mem_free((void *)(uintptr_t)p->pages[i].bytes.p);
	mem_free(p);
	return NULL;
}

/* --- the routes ----------------------------------------------------------- */

/* Scripts and styles of the console itself; it talks to this server only, and
 * stands in no other page. */
#define PAGE_HEADERS                                                           \
	"Cache-Control: no-cache\r\nETag: %s\r\n"                              \
	"Content-Security-Policy: default-src 'none'; script-src 'self'; "     \
	"style-src 'self'; img-src 'self'; connect-src 'self'; "               \
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'\r\n"      \
	"Referrer-Policy: no-referrer\r\n"

static void
give(struct request *rq, struct slice name)
{
	const struct page *page = pages_find(rq->server->config.pages, name);
	struct slice has = request_header(rq, "if-none-match");
	char extra[512];

	if (!page) {
		respond_error(rq, 404, "not-found", NULL, NULL,
		    "the web console has no such file");
		return;
	}
	snprintf(extra, sizeof(extra), PAGE_HEADERS, page->tag);
	if (has.n && (slice_equal(has, SLICE_LIT("*")) ||
			 memmem(has.p, has.n, page->tag, strlen(page->tag))))
		respond(rq, 304, NULL, extra, SLICE(NULL, 0));
	else
		respond(rq, 200, page->type, extra, page->bytes);
}

void
api_page(struct request *rq)
{
	give(rq, rq->uri.segments[1]);
}

/* The names in the page are relative, so it must know its folder. */
void
api_page_first(struct request *rq)
{
	struct slice path = rq->uri.path;

	if (path.p[path.n - 1] == '/')
		give(rq, SLICE_LIT("index.html"));
	else
		respond(rq, 308, NULL, "Location: ui/\r\n", SLICE(NULL, 0));
}
