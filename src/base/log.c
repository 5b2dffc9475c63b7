/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* log - lines for the operator. */
#include "src/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "src/base/buf.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"
#include "src/base/utf8.h"

#define LINE_MAX_BYTES 4096
#define PATH_BYTES     4096
#define N_REPEATS      64 /* messages that are counted at a time */
#define REPEAT_BYTES   96 /* of a message that are said again */
#define REPEAT_MS      1000

/* A message that came a moment ago. */
struct repeat {
	uint64_t hash, since_ms;
	uint32_t n, n_suppressed;
	enum log_level level;
	char text[REPEAT_BYTES]; /* how the first suppressed one began */
};

struct log {
	struct log_config config;
	atomic_int level;
	pthread_mutex_t lock; /* all below */
	int fd;
	uint64_t bytes;         /* in the file */
	uint32_t n_suppressing; /* of repeats: that have suppressed some */
	struct repeat repeats[N_REPEATS]; /* at the place of their hash */
	char path[PATH_BYTES];
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* --- the file ------------------------------------------------------------- */

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
	atomic_init(&l->level, (int)config->level);
	l->fd = STDERR_FILENO;
	pthread_mutex_init(&l->lock, NULL);
	if (config->path) {
		snprintf(l->path, sizeof(l->path), "%s", config->path);
		r = open_file(l);
	}
	if (r) {
		pthread_mutex_destroy(&l->lock);
		mem_free(l);
		return r;
	}
	*out = l;
	return 0;
}

/* PATH.n-1 to PATH.n, ..., PATH to PATH.1, and a new PATH. */
static void
rotate(struct log *l)
{
	char from[PATH_BYTES + 16], to[PATH_BYTES + 16];
	int moved = 0;

	for (uint32_t i = l->config.rotate_files; i > 0; i--) {
		snprintf(to, sizeof(to), "%s.%u", l->path, i);
		if (i == 1)
			snprintf(from, sizeof(from), "%s", l->path);
		else
			snprintf(from, sizeof(from), "%s.%u", l->path, i - 1);
		moved = rename(from, to) == 0;
	}
	if (moved) {
		close(l->fd);
		open_file(l);
	} else {
		l->bytes = 0; /* try again when as much has been written */
	}
}

static void
put_line(struct log *l, struct slice line)
{
	if (l->fd < 0 && open_file(l))
		return;
	if (l->config.path && l->config.rotate_bytes && l->bytes &&
	    l->bytes + line.n > l->config.rotate_bytes)
		rotate(l);
	if (l->fd >= 0 && write(l->fd, line.p, line.n) > 0)
		l->bytes += line.n;
}

/* --- lines ---------------------------------------------------------------- */

/* Printable text as it is, all else as \xNN. */
static void
add_plain(struct buf *b, struct slice s)
{
	size_t n_utf8 = utf8_check(s.p, s.n);

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c >= 0x20 && c != 0x7f && c != '\\' &&
		    (c < 0x80 || i < n_utf8))
			buf_add_byte(b, c);
		else
			buf_printf(b, "\\x%02x", c);
	}
}

/* JSON must be UTF-8. */
static void
add_json(struct buf *b, struct slice s)
{
	struct buf plain;

	if (utf8_check(s.p, s.n) == s.n) {
		buf_add_json_string(b, s);
		return;
	}
	buf_init(&plain, 4 * LINE_MAX_BYTES);
	add_plain(&plain, s);
	buf_add_json_string(b, buf_slice(&plain));
	buf_deinit(&plain);
}

/* Under the lock. */
static void
put(struct log *l, struct wall now, enum log_level level, const char *text)
{
	char when[TIME_ISO_BYTES];
	struct buf b;

	time_iso(now, when);
	buf_init(&b, 8 * LINE_MAX_BYTES);
	if (l->config.json) {
		buf_printf(&b,
		    "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", when,
		    level_names[level]);
		add_json(&b, SLICE_STR(text));
		buf_add_byte(&b, '}');
	} else {
		buf_printf(&b, "%s %-5s ", when, level_names[level]);
		add_plain(&b, SLICE_STR(text));
	}
	buf_add_byte(&b, '\n');
	if (!buf_error(&b))
		put_line(l, buf_slice(&b));
	buf_deinit(&b);
}

/* --- repeats -------------------------------------------------------------- */

/* Of all but the digits. */
static uint64_t
hash_words(const char *text)
{
	char words[LINE_MAX_BYTES];
	size_t n = 0;

	for (; *text; text++)
		if (*text < '0' || *text > '9')
			words[n++] = *text;
	return hash64(words, n, 0);
}

static int
is_over(const struct repeat *r, struct wall now)
{
	/* The clock may have been set back. */
	return now.ms < r->since_ms || now.ms - r->since_ms >= REPEAT_MS;
}

static void
tell_suppressed(struct log *l, struct repeat *r, struct wall now)
{
	char text[REPEAT_BYTES + 64];

	if (r->n_suppressed == 0)
		return;
	snprintf(text, sizeof(text), "suppressed %u like: %s", r->n_suppressed,
	    r->text);
	put(l, now, r->level, text);
	r->n_suppressed = 0;
	l->n_suppressing--;
}

static void
tell_all(struct log *l, struct wall now, int also_new)
{
	for (int i = 0; l->n_suppressing && i < N_REPEATS; i++)
		if (also_new || is_over(&l->repeats[i], now))
			tell_suppressed(l, &l->repeats[i], now);
}

/* Under the lock: whether the message is one too many. */
static int
suppress(struct log *l, struct wall now, enum log_level level, const char *text)
{
	uint64_t hash = hash_words(text);
	struct repeat *r = &l->repeats[hash % N_REPEATS];

	if (r->hash != hash || is_over(r, now)) {
		tell_suppressed(l, r, now);
		r->hash = hash;
		r->since_ms = now.ms;
		r->level = level;
		r->n = 0;
	}
	if (r->n++ < LOG_REPEATS_MAX)
		return 0;
	if (r->n_suppressed++ == 0) {
		snprintf(r->text, sizeof(r->text), "%s", text);
		l->n_suppressing++;
	}
	return 1;
}

/* --- public --------------------------------------------------------------- */

struct log *
log_close(struct log *l)
{
	if (!l)
		return NULL;
	tell_all(l, l->config.now(l->config.ctx), 1);
	if (l->config.path && l->fd >= 0)
		close(l->fd);
	pthread_mutex_destroy(&l->lock);
	return mem_free(l);
}

int
log_wants(const struct log *l, enum log_level level)
{
	return l && (int)level >=
			atomic_load_explicit(&l->level, memory_order_relaxed);
}

void
log_set_level(struct log *l, enum log_level level)
{
	atomic_store(&l->level, (int)level);
}

enum log_level
log_get_level(const struct log *l)
{
	return (enum log_level)atomic_load(&l->level);
}

void
log_write(struct log *l, enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	struct wall now;
	va_list ap;

	if (!log_wants(l, level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&l->lock);
	now = l->config.now(l->config.ctx);
	tell_all(l, now, 0);
	if (level == LOG_DEBUG || !suppress(l, now, level, text))
		put(l, now, level, text);
	pthread_mutex_unlock(&l->lock);
}
