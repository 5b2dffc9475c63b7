/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* log - lines for the operator. */
#include "src/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "src/base/buf.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define LINE_MAX_BYTES 4096
#define PATH_BYTES     4096

struct log {
	struct log_config config;
	pthread_mutex_t lock;
	int fd;
	uint64_t bytes; /* in the file */
	char path[PATH_BYTES];
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static int
open_file(struct log *l)
{
	struct stat st;

	l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (l->fd < 0)
		return err_from_errno(errno);
	l->bytes = fstat(l->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

int
log_open(struct log **out, const struct log_config *config)
{
	struct log *l = mem_zalloc(sizeof(*l));
	int r = 0;

	if (!l)
		return -ERR_NOMEM;
	l->config = *config;
	l->fd = STDERR_FILENO;
	pthread_mutex_init(&l->lock, NULL);
	if (config->path) {
		snprintf(l->path, sizeof(l->path), "%s", config->path);
		r = open_file(l);
	}
	if (r) {
		mem_free(l);
		return r;
	}
	*out = l;
	return 0;
}

struct log *
log_close(struct log *l)
{
	if (!l)
		return NULL;
	if (l->config.path && l->fd >= 0)
		close(l->fd);
	pthread_mutex_destroy(&l->lock);
	return mem_free(l);
}

int
log_wants(const struct log *l, enum log_level level)
{
	return level >= l->config.level;
}

/* PATH.n-1 to PATH.n, ..., PATH to PATH.1, and a new PATH. */
static void
rotate(struct log *l)
{
	char from[PATH_BYTES + 16], to[PATH_BYTES + 16];

	close(l->fd);
	for (uint32_t i = l->config.rotate_files; i > 0; i--) {
		snprintf(to, sizeof(to), "%s.%u", l->path, i);
		if (i == 1)
			snprintf(from, sizeof(from), "%s", l->path);
		else
			snprintf(from, sizeof(from), "%s.%u", l->path, i - 1);
		rename(from, to);
	}
	open_file(l);
}

static void
put_line(struct log *l, struct slice line)
{
	pthread_mutex_lock(&l->lock);
	if (l->config.path && l->config.rotate_bytes &&
	    l->bytes + line.n > l->config.rotate_bytes && l->bytes)
		rotate(l);
	if (l->fd >= 0 && write(l->fd, line.p, line.n) > 0)
		l->bytes += line.n;
	pthread_mutex_unlock(&l->lock);
}

/* Printable bytes as they are, all else as \xNN. */
static void
add_plain(struct buf *b, const char *s)
{
	for (; *s; s++) {
		uint8_t c = (uint8_t)*s;

		if (c >= 0x20 && c != 0x7f && c != '\\')
			buf_add_byte(b, c);
		else
			buf_printf(b, "\\x%02x", c);
	}
}

void
log_write(struct log *l, enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES], when[TIME_ISO_BYTES];
	struct buf b;
	va_list ap;

	if (!log_wants(l, level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	time_iso(l->config.now(l->config.ctx), when);
	buf_init(&b, 8 * LINE_MAX_BYTES);
	if (l->config.json) {
		buf_printf(&b,
		    "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", when,
		    level_names[level]);
		buf_add_json_string(&b, SLICE_STR(text));
		buf_add_byte(&b, '}');
	} else {
		buf_printf(&b, "%s %-5s ", when, level_names[level]);
		add_plain(&b, text);
	}
	buf_add_byte(&b, '\n');
	if (!buf_error(&b))
		put_line(l, buf_slice(&b));
	buf_deinit(&b);
}
