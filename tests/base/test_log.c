/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/stat.h>

#include "src/base/json.h"
#include "src/base/log.h"

TestSuite(log);

struct rig {
	struct log *log;
	struct wall now;
	char dir[32], path[64];
	char text[1u << 20];
};

static struct wall
wall_now(void *ctx)
{
	return ((struct rig *)ctx)->now;
}

static struct rig *
rig_new(const struct log_config *like)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct log_config c = *like;

	r->now.ms = 1700000000000;
	snprintf(r->dir, sizeof(r->dir), "/tmp/iorio-log-XXXXXX");
	cr_assert_not_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/iorio.log", r->dir);
	c.path = r->path;
	c.now = wall_now;
	c.ctx = r;
	cr_assert_eq(log_open(&r->log, &c), 0);
	return r;
}

/* The content of PATH or, with N, PATH.N; NULL: there is no such file. */
static const char *
file(struct rig *r, unsigned n)
{
	char path[96];
	FILE *f;
	size_t got;

	snprintf(path, sizeof(path), n ? "%s.%u" : "%s", r->path, n);
	f = fopen(path, "r");
	if (!f)
		return NULL;
	got = fread(r->text, 1, sizeof(r->text) - 1, f);
	r->text[got] = '\0';
	fclose(f);
	return r->text;
}

static void
rig_free(struct rig *r)
{
	char command[96];

	log_close(r->log);
	snprintf(command, sizeof(command), "rm -rf %s", r->dir);
	cr_assert_eq(system(command), 0);
	free(r);
}

static unsigned
count(const char *text, const char *word)
{
	unsigned n = 0;

	for (; (text = strstr(text, word)); text++)
		n++;
	return n;
}

Test(log, a_line_has_time_level_and_text)
{
	struct rig *r = rig_new(&(struct log_config){.level = LOG_INFO});

	log_write(r->log, LOG_INFO, "%s of %d", "one", 2);
	log_write(r->log, LOG_DEBUG, "not wanted");
	log_write(r->log, LOG_ERROR, "bad");
	cr_expect_str_eq(file(r, 0), "2023-11-14T22:13:20.000Z info  one of 2\n"
				     "2023-11-14T22:13:20.000Z error bad\n");
	rig_free(r);
}

Test(log, the_level_can_be_changed_at_any_time)
{
	struct rig *r = rig_new(&(struct log_config){.level = LOG_WARN});

	log_write(r->log, LOG_INFO, "a");
	cr_expect_not(log_wants(r->log, LOG_INFO));
	log_set_level(r->log, LOG_DEBUG);
	cr_expect(log_wants(r->log, LOG_DEBUG));
	log_write(r->log, LOG_DEBUG, "b");
	log_set_level(r->log, LOG_ERROR);
	log_write(r->log, LOG_WARN, "c");
	cr_expect_str_eq(file(r, 0), "2023-11-14T22:13:20.000Z debug b\n");
	rig_free(r);
}

/* Whatever is in it, a message is one line, and in JSON one object. */
Test(log, no_message_can_forge_a_line)
{
	static const char *const bad[] = {"a\nb", "\r\n", "\"}\n{\"", "\\",
	    "\x1b[2J", "\x7f", "\xff\xfe", "\xc3", "caf\xc3\xa9",
	    "\xed\xa0\x80 after", ""};

	struct json_checker *json = json_checker_new();

	for (int as_json = 0; as_json < 2; as_json++) {
		struct rig *r = rig_new(&(struct log_config){.json = as_json});
		const char *line;
		size_t n;

		for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
			log_write(r->log, LOG_WARN, "%s", bad[i]);
		line = file(r, 0);
		cr_expect_eq(count(line, "\n"), sizeof(bad) / sizeof(*bad));
		for (; *line; line += n + 1) {
			n = strcspn(line, "\n");
			for (size_t i = 0; i < n; i++)
				cr_expect_geq((unsigned char)line[i], 0x20);
			if (as_json)
				cr_expect_eq(
				    json_check(json, SLICE(line, n), 8, NULL),
				    0, "%.*s", (int)n, line);
		}
		cr_expect_not_null(strstr(r->text, "caf\xc3\xa9"));
		rig_free(r);
	}
	json_checker_free(json);
}

Test(log, a_full_file_is_renamed_and_so_many_are_kept)
{
	struct rig *r = rig_new(
	    &(struct log_config){.rotate_bytes = 4096, .rotate_files = 3});
	char pad[101];
	unsigned last = 0;

	memset(pad, 'x', 100);
	pad[100] = '\0';
	for (unsigned i = 1; i <= 1000; i++)
		log_write(r->log, LOG_DEBUG, "%u %s.", i, pad);
	/* Newest first, each full, nothing missing or twice between them. */
	for (unsigned n = 0; n <= 3; n++) {
		const char *text = file(r, n), *p;
		unsigned first = 0, i = 0;

		cr_assert_not_null(text, "%u", n);
		cr_expect_leq(strlen(text), 4096);
		cr_expect(n == 0 || strlen(text) > 3900);
		for (p = text; (p = strstr(p, "debug ")); p++) {
			i = (unsigned)strtoul(p + 6, NULL, 10);
			first = first ? first : i;
		}
		cr_expect_eq(i, n == 0 ? 1000 : last - 1, "%u", n);
		last = first;
	}
	cr_expect_null(file(r, 4));
	rig_free(r);
}

Test(log, a_file_that_is_there_is_continued_and_counts)
{
	struct log_config c = {.rotate_bytes = 4096, .rotate_files = 2};
	struct rig *r = rig_new(&c);
	char old[4000];

	log_close(r->log);
	memset(old, 'o', sizeof(old) - 1);
	old[sizeof(old) - 1] = '\0';
	FILE *f = fopen(r->path, "w");
	cr_assert(f && fprintf(f, "%s\n", old) > 0);
	fclose(f);
	c.path = r->path;
	c.now = wall_now;
	c.ctx = r;
	cr_assert_eq(log_open(&r->log, &c), 0);
	log_write(r->log, LOG_INFO, "still fits, it does, surely");
	cr_expect_not_null(strstr(file(r, 0), "still fits"));
	cr_expect_eq(r->text[0], 'o');
	log_write(r->log, LOG_INFO, "this one goes into a new file, not there");
	cr_expect_eq(count(file(r, 0), "\n"), 1);
	cr_expect_not_null(strstr(file(r, 1), "still fits"));
	rig_free(r);
}

/* One line in ten seconds stands for a thousand. */
Test(log, a_message_that_repeats_is_counted_instead)
{
	struct rig *r = rig_new(&(struct log_config){.level = LOG_DEBUG});

	for (int i = 0; i < 1000; i++) {
		log_write(r->log, LOG_WARN, "lost connection %d to peer", i);
		if (i % 100 == 0)
			log_write(r->log, LOG_WARN, "something else");
	}
	file(r, 0);
	cr_expect_eq(count(r->text, "lost connection"), LOG_REPEATS_MAX);
	cr_expect_eq(count(r->text, "something else"), 10);
	cr_expect_null(strstr(r->text, "suppressed"));
	r->now.ms += 1000;
	log_write(r->log, LOG_ERROR, "another");
	file(r, 0);
	cr_expect_not_null(strstr(r->text,
	    "warn  suppressed 990 like: lost connection 10 to peer\n"));
	cr_expect_lt(strstr(r->text, "suppressed"), strstr(r->text, "another"));
	for (int i = 0; i < 12; i++)
		log_write(r->log, LOG_WARN, "lost connection %d to peer", i);
	cr_expect_eq(
	    count(file(r, 0), "lost connection"), 2 * LOG_REPEATS_MAX + 1);
	log_close(r->log);
	r->log = NULL;
	cr_expect_not_null(strstr(file(r, 0), "suppressed 2 like: lost"));
	rig_free(r);
}

Test(log, debug_lines_are_all_written)
{
	struct rig *r = rig_new(&(struct log_config){.level = LOG_DEBUG});

	for (int i = 0; i < 100; i++)
		log_write(r->log, LOG_DEBUG, "GET / 200");
	cr_expect_eq(count(file(r, 0), "\n"), 100);
	rig_free(r);
}

Test(log, a_clock_that_is_set_back_silences_nothing)
{
	struct rig *r = rig_new(&(struct log_config){.level = LOG_DEBUG});

	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < 20; k++)
			log_write(r->log, LOG_INFO, "tick");
		r->now.ms -= 60000;
	}
	cr_expect_eq(count(file(r, 0), "info  tick"), 5 * LOG_REPEATS_MAX);
	cr_expect_eq(count(r->text, "suppressed 10"), 4);
	rig_free(r);
}

/* What cannot be renamed is not lost, and not tried for every line. */
Test(log, a_file_that_cannot_be_rotated_is_written_on)
{
	struct rig *r = rig_new(
	    &(struct log_config){.rotate_bytes = 4096, .rotate_files = 1});
	char path[96];

	snprintf(path, sizeof(path), "%s.1", r->path);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s.1/x", r->path);
	cr_assert_eq(mkdir(path, 0700), 0);
	for (int i = 0; i < 300; i++)
		log_write(r->log, LOG_DEBUG, "line %d", i);
	cr_expect_eq(count(file(r, 0), "\n"), 300);
	rig_free(r);
}

static void *
write_many(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_write(arg, LOG_DEBUG, "from one of several threads %d", i);
	return NULL;
}

Test(log, lines_of_several_threads_stay_whole)
{
	struct rig *r = rig_new(
	    &(struct log_config){.rotate_bytes = 1 << 20, .rotate_files = 9});
	pthread_t threads[4];
	const char *p;
	unsigned n = 0;

	for (int i = 0; i < 4; i++)
		cr_assert_eq(
		    pthread_create(&threads[i], NULL, write_many, r->log), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (p = file(r, 0); *p; p += strcspn(p, "\n") + 1, n++)
		cr_assert_eq(
		    strncmp(p, "2023-11-14T22:13:20.000Z debug from ", 36), 0);
	cr_expect_eq(n, 2000);
	rig_free(r);
}
