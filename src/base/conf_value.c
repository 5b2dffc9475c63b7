/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* conf_value - what the text of a value says. */
#include <ctype.h>

#include "src/base/conf_impl.h"
#include "src/base/err.h"

#define ROTATE_BYTES_MIN (4 * KB)
#define ROTATE_BYTES_MAX (1024 * GB)
#define ROTATE_FILES_MAX 1000

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

int
conf_parse_size(const char *s, uint64_t *out)
{
	return parse_number(s, sizes, out);
}

int
conf_parse_time(const char *s, uint64_t *out)
{
	return parse_number(s, times, out);
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

int
conf_rotate_parse(const char *s, uint64_t *bytes, uint32_t *files)
{
	char size[32];
	size_t n = strcspn(s, " x");
	uint64_t b, k;

	if (n >= sizeof(size))
		return -ERR_INVAL;
	memcpy(size, s, n);
	size[n] = '\0';
	s += n + strspn(s + n, " ");
	if (*s != 'x')
		return -ERR_INVAL;
	s += 1 + strspn(s + 1, " ");
	if (parse_number(size, sizes, &b) || b < ROTATE_BYTES_MIN ||
	    b > ROTATE_BYTES_MAX || parse_number(s, plain, &k) || k < 1 ||
	    k > ROTATE_FILES_MAX)
		return -ERR_INVAL;
	*bytes = b;
	*files = (uint32_t)k;
	return 0;
}

int
conf_value_parse(const struct key *k, const char *s, uint64_t *out)
{
	uint64_t bytes;
	uint32_t files;
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
		r = conf_parse_size(s, out);
		break;
	case KIND_TIME:
		r = conf_parse_time(s, out);
		break;
	case KIND_FLAG:
		*out = strcmp(s, "yes") == 0;
		return *out || strcmp(s, "no") == 0 ? 0 : -ERR_INVAL;
	case KIND_ENUM:
		return parse_enum(k->fallback, s, out);
	case KIND_ROTATE:
		*out = strlen(s);
		return conf_rotate_parse(s, &bytes, &files);
	}
	return r == 0 && (*out < k->low || *out > k->high) ? -ERR_INVAL : r;
}

const char *
conf_value_expected(const struct key *k, char out[96])
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
	case KIND_ROTATE:
		return "a size and how many old files to keep, such as "
		       "10MB x 5";
	case KIND_INT:
		break;
	}
	snprintf(out, 96, "a number from %llu to %llu",
	    (unsigned long long)k->low, (unsigned long long)k->high);
	return out;
}
