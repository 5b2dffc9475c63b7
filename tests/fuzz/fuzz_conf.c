/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_conf - iorio.conf: what is taken lies within its limits, means what it
 * says, and is understood again when it is printed.
 */
#include <sys/mman.h>

#include "src/base/assert.h"
#include "src/base/conf_impl.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"

static const struct key keys[CONF_N_KEYS] = {
#define ROW(k, field, key, def, low, high, flags)                              \
	{KIND_##k, key, def, low, high, flags},
    CONF_KEYS(ROW)
#undef ROW
};

static int
load(struct conf *c, struct slice text, char why[CONF_WHY_BYTES])
{
	int fd = memfd_create("conf", MFD_CLOEXEC), r;
	char path[64];

	ASSERT(fd >= 0);
	ASSERT(write(fd, text.p, text.n) == (ssize_t)text.n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	why[0] = '\0';
	r = conf_load_file(c, path, why);
	close(fd);
	ASSERT((r == 0) == (why[0] == '\0'));
	return r;
}

static long double
unit_of(const char *s)
{
	static const struct {
		const char *name;
		long double factor;
	} units[] = {{"KB", KB}, {"MB", MB}, {"GB", GB}, {"us", 1},
	    {"ms", 1000}, {"s", SECOND}, {"m", 60 * SECOND},
	    {"h", 3600 * SECOND}, {"d", DAY}};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strcmp(s, units[i].name) == 0)
			return units[i].factor;
	return 1;
}

static void
check_number(const struct key *k, const char *text, uint64_t n)
{
	long double want, got = (long double)n;
	char *end;

	if (!text[0] || strcmp(text, "auto") == 0) {
		ASSERT(n == 0);
		return;
	}
	ASSERT(n >= k->low && n <= k->high);
	want = strtold(text, &end);
	ASSERT(end > text);
	want *= unit_of(end);
	ASSERT(got <= want && want < got + 1.001L);
}

static void
check_rotate(const struct conf *c)
{
	uint64_t bytes;
	uint32_t files;

	conf_log_rotate(c, &bytes, &files);
	ASSERT(bytes >= 4096 && files >= 1 && files <= 1000);
}

static void
check_values(const struct conf *c)
{
	for (int i = 0; i < CONF_N_KEYS; i++) {
		const char *text = conf_text(c, keys[i].name);
		uint64_t n = conf_num(c, (enum conf_field)i);

		ASSERT(strcmp(text, conf_str(c, (enum conf_field)i)) == 0);
		switch (keys[i].kind) {
		case KIND_STR:
			ASSERT(n == strlen(text) && n <= keys[i].high);
			ASSERT(n >= keys[i].low || !keys[i].fallback[0]);
			break;
		case KIND_ROTATE:
			check_rotate(c);
			break;
		case KIND_FLAG:
			ASSERT(strcmp(text, n ? "yes" : "no") == 0);
			break;
		case KIND_ENUM:
			ASSERT(text[0] && strstr(keys[i].fallback, text));
			break;
		default:
			check_number(&keys[i], text, n);
		}
	}
}

/* What is printed says the same, but for what is secret. */
static void
check_printed(const struct conf *c)
{
	struct conf *again = conf_new();
	char why[CONF_WHY_BYTES];
	struct buf b;

	ASSERT(again);
	buf_init(&b, 1u << 20);
	conf_print(c, &b);
	ASSERT(buf_error(&b) == 0);
	ASSERT(load(again, buf_slice(&b), why) == 0);
	for (int i = 0; i < CONF_N_KEYS; i++) {
		enum conf_field f = (enum conf_field)i;

		if (keys[i].flags & CONF_SECRET)
			continue;
		ASSERT(strcmp(conf_str(c, f), conf_str(again, f)) == 0);
		ASSERT(conf_num(c, f) == conf_num(again, f));
	}
	buf_deinit(&b);
	conf_free(again);
}

/* Each line as a variable of the environment. */
static void
check_environment(struct slice text)
{
	struct conf *c = conf_new();
	char *copy = mem_alloc(text.n + 1), *line, *rest;
	char why[CONF_WHY_BYTES] = "";

	ASSERT(c && copy);
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	for (rest = copy; (line = strsep(&rest, "\n"));) {
		const char *environment[2] = {line, NULL};
		int r;

		why[0] = '\0';
		r = conf_load_env(c, environment, why);
		ASSERT((r == 0) == (why[0] == '\0'));
	}
	check_values(c);
	mem_free(copy);
	conf_free(c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct conf *c = conf_new();
	char why[CONF_WHY_BYTES];

	ASSERT(c);
	if (load(c, SLICE(p, n), why) == 0) {
		ASSERT(!n || !memchr(p, '\0', n));
		check_printed(c);
	}
	check_values(c);
	conf_check(c, why);
	conf_free(c);
	check_environment(SLICE(p, n));
	return 0;
}
