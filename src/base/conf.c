/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* conf - parsing and checking of iorio.conf. */
#include "src/base/conf.h"

#include <ctype.h>
#include <errno.h>

#include "src/base/err.h"
#include "src/base/mem.h"

#define LINE_BYTES  8192
#define VALUE_BYTES 4096

enum kind { KIND_STR, KIND_INT, KIND_SIZE, KIND_TIME, KIND_FLAG, KIND_ENUM };

struct key {
	enum kind kind;
	const char *name, *fallback;
	uint64_t low, high;
	unsigned flags;
};

static const struct key keys[CONF_N_KEYS] = {
#define CONF_ROW(k, field, key, def, low, high, flags)                         \
	{KIND_##k, key, def, low, high, flags},
    CONF_KEYS(CONF_ROW)
#undef CONF_ROW
};

struct conf {
	char *texts[CONF_N_KEYS];
	uint64_t nums[CONF_N_KEYS];
};

/* --- values --------------------------------------------------------------- */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit sizes[] = {
    {"", 1}, {"B", 1}, {"KB", KB}, {"MB", MB}, {"GB", GB}, {NULL, 0}};
static const struct unit times[] = {{"us", 1}, {"ms", 1000}, {"s", SECOND},
    {"m", 60 * SECOND}, {"h", 3600 * SECOND}, {"d", DAY}, {NULL, 0}};
static const struct unit plain[] = {{"", 1}, {NULL, 0}};

/* A number with at most one point, and a unit. */
static int
parse_number(const char *s, const struct unit *units, uint64_t *out)
{
	uint64_t whole = 0, part = 0, scale = 1;
	const char *p = s;

	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			return -ERR_INVAL;
	if (p == s)
		return -ERR_INVAL;
	if (*p == '.' && units != plain)
		for (p++; isdigit((unsigned char)*p) && scale < 1000000; p++) {
			part = part * 10 + (uint64_t)(*p - '0');
			scale *= 10;
		}
	for (; units->name; units++) {
		if (strcmp(units->name, p) != 0)
			continue;
		if (__builtin_mul_overflow(whole, units->factor, &whole))
			return -ERR_INVAL;
		part = part * units->factor / scale;
		return __builtin_add_overflow(whole, part, out) ? -ERR_INVAL
								: 0;
	}
	return -ERR_INVAL;
}

static int
parse_enum(const char *words, const char *s, uint64_t *out)
{
	size_t n = strlen(s);

	*out = 0;
	for (const char *w = words; *w; (*out)++) {
		size_t k = strcspn(w, " ");

		if (k == n && memcmp(w, s, n) == 0)
			return 0;
		w += k + (w[k] == ' ');
	}
	return -ERR_INVAL;
}

static int
parse_value(const struct key *k, const char *s, uint64_t *out)
{
	int r = 0;

	*out = 0;
	switch (k->kind) {
	case KIND_STR:
		*out = strlen(s);
		break;
	case KIND_INT:
		if (strcmp(s, k->fallback) == 0 && strcmp(s, "auto") == 0)
			return 0;
		r = parse_number(s, plain, out);
		break;
	case KIND_SIZE:
		r = parse_number(s, sizes, out);
		break;
	case KIND_TIME:
		r = parse_number(s, times, out);
		break;
	case KIND_FLAG:
		*out = strcmp(s, "yes") == 0;
		return *out || strcmp(s, "no") == 0 ? 0 : -ERR_INVAL;
	case KIND_ENUM:
		return parse_enum(k->fallback, s, out);
	}
	return r == 0 && (*out < k->low || *out > k->high) ? -ERR_INVAL : r;
}

static const char *
expected(const struct key *k, char out[96])
{
	switch (k->kind) {
	case KIND_STR:
		return "a text of allowed length";
	case KIND_SIZE:
		return "a size such as 4KB, 50MB or 1GB, within its limits";
	case KIND_TIME:
		return "a duration such as 500ms, 60s, 10m, 24h or 7d, within "
		       "its limits";
	case KIND_FLAG:
		return "yes or no";
	case KIND_ENUM:
		snprintf(out, 96, "one of: %s", k->fallback);
		return out;
	case KIND_INT:
		break;
	}
	snprintf(out, 96, "a number from %llu to %llu",
	    (unsigned long long)k->low, (unsigned long long)k->high);
	return out;
}

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
	char hint[96], *copy;
	uint64_t n;

	if (i < 0) {
		snprintf(why, CONF_WHY_BYTES,
		    "%s: unknown key `%.64s`; did you mean `%s`?", where, key,
		    nearest(key));
		return -ERR_INVAL;
	}
	/* A key that is unset may be said to be. */
	if (parse_value(&keys[i], value, &n) &&
	    (value[0] || keys[i].fallback[0])) {
		snprintf(why, CONF_WHY_BYTES,
		    "%s: bad value `%.64s` for %s: %s", where,
		    keys[i].flags & CONF_SECRET ? "..." : value, key,
		    expected(&keys[i], hint));
		return -ERR_INVAL;
	}
	copy = mem_strdup(value);
	if (!copy)
		return -ERR_NOMEM;
	mem_free(c->texts[i]);
	c->texts[i] = copy;
	c->nums[i] = n;
	return 0;
}

struct conf *
conf_new(void)
{
	struct conf *c = mem_zalloc(sizeof(*c));

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
		parse_value(&keys[i], first, &c->nums[i]);
	}
	return c;
}

struct conf *
conf_free(struct conf *c)
{
	if (!c)
		return NULL;
	for (int i = 0; i < CONF_N_KEYS; i++)
		mem_free(c->texts[i]);
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
static int
find_env(const char *name, size_t n)
{
	for (int i = 0; i < CONF_N_KEYS; i++) {
		const char *k = keys[i].name;
		size_t j = 0;

		while (j < n && k[j] &&
		       (k[j] == '.' ? '_' : toupper((unsigned char)k[j])) ==
			   name[j])
			j++;
		if (j == n && k[j] == '\0')
			return i;
	}
	return -1;
}

int
conf_load_env(
    struct conf *c, const char *const *environment, char why[CONF_WHY_BYTES])
{
	for (; *environment; environment++) {
		const char *name = *environment + 6;
		const char *equals = strchr(*environment, '=');
		char where[80];
		int i, r;

		if (strncmp(*environment, "IORIO_", 6) != 0 || !equals)
			continue;
		snprintf(where, sizeof(where), "environment IORIO_%.*s",
		    (int)(equals - name), name);
		i = find_env(name, (size_t)(equals - name));
		if (i < 0) {
			snprintf(why, CONF_WHY_BYTES, "%s: no such key", where);
			return -ERR_INVAL;
		}
		r = conf_set(c, keys[i].name, equals + 1, where, why);
		if (r)
			return r;
	}
	return 0;
}

/* --- checks --------------------------------------------------------------- */

int
conf_check(const struct conf *c, char why[CONF_WHY_BYTES])
{
	uint64_t q = c->nums[CONF_ring_size];
	uint64_t segment = c->nums[CONF_journal_segment];
	const char *name = c->texts[CONF_nodename];
	const char *at = strchr(name, '@');

	why[0] = '\0';
	if (q & (q - 1))
		snprintf(
		    why, CONF_WHY_BYTES, "ring_size: must be a power of two");
	else if (!at || at == name || !at[1])
		snprintf(
		    why, CONF_WHY_BYTES, "nodename: must look like name@host");
	else if (segment % 4096)
		snprintf(why, CONF_WHY_BYTES,
		    "journal.segment: must be a multiple of 4KB");
	else if (c->nums[CONF_http_max_body] > segment / 4)
		snprintf(why, CONF_WHY_BYTES,
		    "http.max_body: must be at most a quarter of "
		    "journal.segment");
	else if (c->nums[CONF_journal_max] < 4 * segment)
		snprintf(why, CONF_WHY_BYTES,
		    "journal.max: must be at least four times "
		    "journal.segment");
	else if (c->nums[CONF_journal_max] > 2048 * segment)
		snprintf(why, CONF_WHY_BYTES,
		    "journal.max: must be at most 2048 times journal.segment");
	return why[0] ? -ERR_INVAL : 0;
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
conf_print(const struct conf *c, struct buf *out)
{
	for (int i = 0; i < CONF_N_KEYS; i++)
		buf_printf(out, "%-36s = %s\n", keys[i].name,
		    (keys[i].flags & CONF_SECRET) && *c->texts[i]
			? "********"
			: c->texts[i]);
}
