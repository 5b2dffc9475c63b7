/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* conf - parsing and checking of iorio.conf. */
#include "src/base/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdatomic.h>

#include "src/base/assert.h"
#include "src/base/conf_impl.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define LINE_BYTES  8192
#define VALUE_BYTES 4096
#define KEY_BYTES   64 /* of the longest key that can be meant */

static const struct key keys[CONF_N_KEYS] = {
#define CONF_ROW(k, field, key, def, low, high, flags)                         \
	{KIND_##k, key, def, low, high, flags},
    CONF_KEYS(CONF_ROW)
#undef CONF_ROW
};

struct conf {
	atomic_uint refs;
	char *texts[CONF_N_KEYS];
	char *wheres[CONF_N_KEYS]; /* NULL: nobody set it */
	uint64_t nums[CONF_N_KEYS];
};

/* --- keys ----------------------------------------------------------------- */

static int
find(const char *name)
{
	for (int i = 0; i < CONF_N_KEYS; i++)
		if (strcmp(keys[i].name, name) == 0)
			return i;
	return -1;
}

/* Levenshtein's distance, for names of up to 63 bytes. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t n = strlen(b);

	if (n > 63 || strlen(a) > 63)
		return 100;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned up = row[j];
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = up;
			row[j] = best;
		}
	}
	return row[n];
}

static const char *
nearest(const char *name)
{
	unsigned best = 1000;
	const char *found = keys[0].name;

	for (int i = 0; i < CONF_N_KEYS; i++) {
		unsigned d = distance(name, keys[i].name);

		if (d < best) {
			best = d;
			found = keys[i].name;
		}
	}
	return found;
}

int
conf_set(struct conf *c, const char *key, const char *value, const char *where,
    char why[CONF_WHY_BYTES])
{
	int i = find(key);
	char hint[96], *copy, *place;
	uint64_t n;

	if (i < 0) {
		snprintf(why, CONF_WHY_BYTES,
		    "%s: unknown key `%.64s`; did you mean `%s`?", where, key,
		    nearest(key));
		return -ERR_INVAL;
	}
	/* A key that is unset may be said to be. */
	if (conf_value_parse(&keys[i], value, &n) &&
	    (value[0] || keys[i].fallback[0])) {
		snprintf(why, CONF_WHY_BYTES,
		    "%s: bad value `%.64s` for %s: %s", where,
		    keys[i].flags & CONF_SECRET ? "..." : value, key,
		    conf_value_expected(&keys[i], hint));
		return -ERR_INVAL;
	}
	copy = mem_strdup(value);
	place = mem_strdup(where);
	if (!copy || !place) {
		mem_free(copy);
		mem_free(place);
		snprintf(
		    why, CONF_WHY_BYTES, "%s: %s", where, err_text(ERR_NOMEM));
		return -ERR_NOMEM;
	}
	mem_free(c->texts[i]);
	mem_free(c->wheres[i]);
	c->texts[i] = copy;
	c->wheres[i] = place;
	c->nums[i] = n;
	return 0;
}

struct conf *
conf_new(void)
{
	struct conf *c = mem_zalloc(sizeof(*c));

	if (c)
		atomic_init(&c->refs, 1);
	for (int i = 0; c && i < CONF_N_KEYS; i++) {
		char first[VALUE_BYTES];
		size_t n = strlen(keys[i].fallback);

		if (keys[i].kind == KIND_ENUM)
			n = strcspn(keys[i].fallback, " ");
		memcpy(first, keys[i].fallback, n);
		first[n] = '\0';
		c->texts[i] = mem_strdup(first);
		if (!c->texts[i])
			return conf_free(c);
		conf_value_parse(&keys[i], first, &c->nums[i]);
	}
	return c;
}

struct conf *
conf_ref(struct conf *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

struct conf *
conf_free(struct conf *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
		return NULL;
	for (int i = 0; i < CONF_N_KEYS; i++) {
		mem_free(c->texts[i]);
		mem_free(c->wheres[i]);
	}
	return mem_free(c);
}

/* --- file and environment ------------------------------------------------- */

static char *
trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static int
load_line(struct conf *c, char *line, const char *where, uint8_t *seen,
    char why[CONF_WHY_BYTES])
{
	char *key = trim(line), *equals, *value, *comment;
	int i;

	if (*key == '\0' || *key == '#')
		return 0;
	equals = strchr(key, '=');
	if (!equals) {
		snprintf(
		    why, CONF_WHY_BYTES, "%s: expected `key = value`", where);
		return -ERR_INVAL;
	}
	*equals = '\0';
	value = trim(equals + 1);
	comment = strstr(value, " #");
	if (comment)
		*comment = '\0';
	key = trim(key);
	value = trim(value);
	i = find(key);
	if (i >= 0 && seen[i]++) {
		snprintf(
		    why, CONF_WHY_BYTES, "%s: %s is set twice", where, key);
		return -ERR_INVAL;
	}
	return conf_set(c, key, value, where, why);
}

/* 1: a line without its end; 0: there is none; or why it is none. */
static int
read_line(FILE *f, char line[LINE_BYTES])
{
	size_t n = 0;
	int c;

	while ((c = getc(f)) != EOF && c != '\n') {
		if (c == '\0')
			return -ERR_INVAL;
		if (n == LINE_BYTES - 1)
			return -ERR_LIMIT;
		line[n++] = (char)c;
	}
	line[n] = '\0';
	if (ferror(f))
		return err_from_errno(errno);
	return n || c != EOF;
}

int
conf_load_file(struct conf *c, const char *path, char why[CONF_WHY_BYTES])
{
	uint8_t seen[CONF_N_KEYS] = {0};
	char line[LINE_BYTES], where[300];
	FILE *f = fopen(path, "re");
	int r = 0;

	if (!f) {
		r = err_from_errno(errno);
		snprintf(why, CONF_WHY_BYTES, "%s: %s", path, err_text(r));
		return r;
	}
	for (unsigned n = 1; r == 0; n++) {
		snprintf(where, sizeof(where), "%.255s:%u", path, n);
		r = read_line(f, line);
		if (r == 0)
			break;
		if (r > 0)
			r = load_line(c, line, where, seen, why);
		else
			snprintf(why, CONF_WHY_BYTES, "%s: %s", where,
			    r == -ERR_INVAL   ? "a NUL byte"
			    : r == -ERR_LIMIT ? "the line is too long"
					      : err_text(r));
	}
	fclose(f);
	return r;
}

/* IORIO_HTTP_MAX_BODY is http.max_body: dots and underscores are the same. */
static void
env_name(const char *key, char out[KEY_BYTES])
{
	size_t i;

	for (i = 0; key[i] && i < KEY_BYTES - 1; i++)
		out[i] =
		    key[i] == '.' ? '_' : (char)toupper((unsigned char)key[i]);
	out[i] = '\0';
}

/* The key whose variable is IORIO_<NAME>, or, with -1, the *NEAREST. */
static int
find_env(const char *name, int *nearest)
{
	unsigned best = 1000;

	*nearest = 0;
	for (int i = 0; i < CONF_N_KEYS; i++) {
		char known[KEY_BYTES];
		unsigned d;

		env_name(keys[i].name, known);
		d = distance(name, known);
		if (d == 0)
			return i;
		if (d < best) {
			best = d;
			*nearest = i;
		}
	}
	return -1;
}

/* VARIABLE without IORIO_. */
static int
load_variable(struct conf *c, const char *variable, char why[CONF_WHY_BYTES])
{
	char name[KEY_BYTES], known[KEY_BYTES], where[KEY_BYTES + 32];
	const char *equals = strchr(variable, '=');
	int i, nearest;

	snprintf(
	    name, sizeof(name), "%.*s", (int)(equals - variable), variable);
	snprintf(where, sizeof(where), "environment IORIO_%s", name);
	i = find_env(name, &nearest);
	if (i >= 0)
		return conf_set(c, keys[i].name, equals + 1, where, why);
	env_name(keys[nearest].name, known);
	snprintf(why, CONF_WHY_BYTES,
	    "%s: unknown key; did you mean `IORIO_%s`?", where, known);
	return -ERR_INVAL;
}

int
conf_load_env(
    struct conf *c, const char *const *environment, char why[CONF_WHY_BYTES])
{
	int r = 0;

	for (; r == 0 && *environment; environment++)
		if (strncmp(*environment, "IORIO_", 6) == 0 &&
		    strchr(*environment, '='))
			r = load_variable(c, *environment + 6, why);
	return r;
}

/* --- checks --------------------------------------------------------------- */

static void
misfit(const struct conf *c, enum conf_field f, const char *must,
    char why[CONF_WHY_BYTES])
{
	char where[CONF_WHERE_BYTES];

	conf_where(c, f, where);
	snprintf(why, CONF_WHY_BYTES, "%s must %s", where, must);
}

int
conf_check(const struct conf *c, char why[CONF_WHY_BYTES])
{
	uint64_t q = c->nums[CONF_ring_size];
	uint64_t segment = c->nums[CONF_journal_segment];
	const char *name = c->texts[CONF_nodename];
	const char *at = strchr(name, '@');

	why[0] = '\0';
	if (q & (q - 1))
		misfit(c, CONF_ring_size, "be a power of two", why);
	else if (!at || at == name || !at[1])
		misfit(c, CONF_nodename, "look like name@host", why);
	else if (segment % 4096)
		misfit(c, CONF_journal_segment, "be a multiple of 4KB", why);
	else if (c->nums[CONF_http_max_body] > segment / 4)
		misfit(c, CONF_http_max_body,
		    "be at most a quarter of journal.segment", why);
	else if (c->nums[CONF_journal_max] < 4 * segment)
		misfit(c, CONF_journal_max,
		    "be at least four times journal.segment", why);
	else if (c->nums[CONF_journal_max] > 2048 * segment)
		misfit(c, CONF_journal_max,
		    "be at most 2048 times journal.segment", why);
	return why[0] ? -ERR_INVAL : 0;
}

/* --- reloading ------------------------------------------------------------ */

/* Key I of TO becomes that of FROM. */
static int
copy_key(struct conf *to, const struct conf *from, int i)
{
	char *text = mem_strdup(from->texts[i]);
	char *where = from->wheres[i] ? mem_strdup(from->wheres[i]) : NULL;

	if (!text || (from->wheres[i] && !where)) {
		mem_free(text);
		mem_free(where);
		return -ERR_NOMEM;
	}
	mem_free(to->texts[i]);
	mem_free(to->wheres[i]);
	to->texts[i] = text;
	to->wheres[i] = where;
	to->nums[i] = from->nums[i];
	return 0;
}

struct conf *
conf_reload(const struct conf *old, const struct conf *fresh,
    struct buf *changed, struct buf *kept)
{
	struct conf *c = conf_new();

	for (int i = 0; c && i < CONF_N_KEYS; i++) {
		int again = keys[i].flags & CONF_RELOAD;
		int differs = strcmp(old->texts[i], fresh->texts[i]) != 0;

		if (differs && again)
			buf_printf(changed, "%s%s = %s", changed->n ? ", " : "",
			    keys[i].name, fresh->texts[i]);
		else if (differs)
			buf_printf(
			    kept, "%s%s", kept->n ? ", " : "", keys[i].name);
		if (copy_key(c, again ? fresh : old, i))
			return conf_free(c);
	}
	return c;
}

/* --- reading -------------------------------------------------------------- */

const char *
conf_str(const struct conf *c, enum conf_field f)
{
	return c->texts[f];
}

uint64_t
conf_num(const struct conf *c, enum conf_field f)
{
	return c->nums[f];
}

const char *
conf_text(const struct conf *c, const char *key)
{
	int i = find(key);

	return i < 0 ? NULL : c->texts[i];
}

void
conf_where(const struct conf *c, enum conf_field f, char out[CONF_WHERE_BYTES])
{
	const char *place = c->wheres[f];

	snprintf(out, CONF_WHERE_BYTES, "%.300s%s%s:", place ? place : "",
	    place ? ": " : "", keys[f].name);
}

void
conf_log_rotate(const struct conf *c, uint64_t *bytes, uint32_t *files)
{
	/* It was looked at when it was set. */
	ASSERT(conf_rotate_parse(c->texts[CONF_log_rotate], bytes, files) == 0);
}

void
conf_print(const struct conf *c, struct buf *out)
{
	for (int i = 0; i < CONF_N_KEYS; i++)
		buf_printf(out, "%-36s = %s\n", keys[i].name,
		    (keys[i].flags & CONF_SECRET) && *c->texts[i]
			? "********"
			: c->texts[i]);
}
