/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "src/base/conf.h"
#include "src/base/err.h"

TestSuite(conf);

Test(conf, values_are_parsed_or_refused)
{
	static const struct {
		const char *key, *value;
		int ok;
		enum conf_field field;
		uint64_t want;
	} rows[] = {
	    {"http.port", "8098", 1, CONF_http_port, 8098},
	    {"http.port", "0", 0, 0, 0},
	    {"http.port", "65536", 0, 0, 0},
	    {"http.port", "80x", 0, 0, 0},
	    {"http.port", "", 0, 0, 0},
	    {"http.port", "-1", 0, 0, 0},
	    {"workers", "auto", 1, CONF_workers, 0},
	    {"workers", "4", 1, CONF_workers, 4},
	    {"workers", "0", 0, 0, 0},
	    {"http.max_body", "4KB", 1, CONF_http_max_body, 4096},
	    {"http.max_body", "1.5MB", 1, CONF_http_max_body, 1572864},
	    {"http.max_body", "8mb", 0, 0, 0},
	    {"http.max_body", "16MB", 0, 0, 0},
	    {"http.max_body", "99999999999999999999", 0, 0, 0},
	    {"retention.max_age", "213503982.999999d", 0, 0, 0},
	    {"journal.max", "2GB", 1, CONF_journal_max, 2147483648},
	    {"request.timeout", "500ms", 1, CONF_request_timeout, 500000},
	    {"request.timeout", "0.5s", 1, CONF_request_timeout, 500000},
	    {"request.timeout", "5", 0, 0, 0},
	    {"request.timeout", "1m", 1, CONF_request_timeout, 60000000},
	    {"auth.session.duration", "24h", 1, CONF_auth_session_duration,
		86400000000},
	    {"retention.max_age", "7d", 1, CONF_retention_max_age,
		604800000000},
	    {"http.enabled", "no", 1, CONF_http_enabled, 0},
	    {"http.enabled", "true", 0, 0, 0},
	    {"durability.sync", "never", 1, CONF_durability_sync, 2},
	    {"durability.sync", "sometimes", 0, 0, 0},
	    {"log.level", "warn", 1, CONF_log_level, 2},
	    {"log.format", "json", 1, CONF_log_format, 1},
	    {"ring_size", "4", 0, 0, 0},
	    {"nodename", "", 0, 0, 0},
	    {"https.cert", "", 1, CONF_https_cert, 0},
	    {"log.rotate", "1MB x 3", 1, CONF_log_rotate, 7},
	    {"log.rotate", "4KB x1", 1, CONF_log_rotate, 6},
	    {"log.rotate", "10MB", 0, 0, 0},
	    {"log.rotate", "10MB x", 0, 0, 0},
	    {"log.rotate", "x 5", 0, 0, 0},
	    {"log.rotate", "10MB x 0", 0, 0, 0},
	    {"log.rotate", "10MB x 1001", 0, 0, 0},
	    {"log.rotate", "100B x 5", 0, 0, 0},
	    {"log.rotate", "10 MB x 5", 0, 0, 0},
	    {"log.rotate", "10MB x 5 x 6", 0, 0, 0},
	    {"log.rotate", "", 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct conf *c = conf_new();
		char why[CONF_WHY_BYTES] = "";
		int r = conf_set(c, rows[i].key, rows[i].value, "-o", why);

		cr_assert_eq(r == 0, rows[i].ok, "%s = %s: %s", rows[i].key,
		    rows[i].value, why);
		if (r == 0)
			cr_assert_eq(conf_num(c, rows[i].field), rows[i].want);
		else
			cr_assert_not_null(strstr(why, rows[i].key));
		conf_free(c);
	}
}

Test(conf, an_unknown_key_is_refused_with_the_nearest)
{
	struct conf *c = conf_new();
	char why[CONF_WHY_BYTES];

	cr_assert_eq(conf_set(c, "htpp.port", "1", "x:3", why), -ERR_INVAL);
	cr_assert_str_eq(
	    why, "x:3: unknown key `htpp.port`; did you mean `http.port`?");
	conf_free(c);
}

Test(conf, a_file_is_refused_with_its_line)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
	    {"# c\n\nhttp.port = 1 # one\nworkers=2\n", NULL},
	    {"http.port 1\n", ":1: expected `key = value`"},
	    {"http.port = 1\nhttp.port = 2\n", ":2: http.port is set twice"},
	    {"\nbogus = 1\n", ":2: unknown key"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char path[] = "/tmp/iorio-conf-XXXXXX", why[CONF_WHY_BYTES];
		int fd = mkstemp(path);
		struct conf *c = conf_new();
		ssize_t n = (ssize_t)strlen(rows[i].text);

		cr_assert_eq(write(fd, rows[i].text, (size_t)n), n);
		close(fd);
		if (rows[i].why) {
			cr_assert_lt(conf_load_file(c, path, why), 0);
			cr_assert_not_null(strstr(why, rows[i].why), "%s", why);
		} else {
			cr_assert_eq(
			    conf_load_file(c, path, why), 0, "%s", why);
			cr_assert_eq(conf_num(c, CONF_workers), 2);
		}
		unlink(path);
		conf_free(c);
	}
}

Test(conf, a_file_that_is_no_text_is_refused)
{
	char path[] = "/tmp/iorio-conf-XXXXXX", why[CONF_WHY_BYTES];
	static const char nul[] = "workers = 2\n# a\0\nworkers = 3";
	struct conf *c = conf_new();
	int fd = mkstemp(path);

	cr_assert_eq(write(fd, nul, sizeof(nul) - 1), sizeof(nul) - 1);
	cr_assert_eq(conf_load_file(c, path, why), -ERR_INVAL);
	cr_assert_not_null(strstr(why, ":2: a NUL byte"), "%s", why);
	/* The rest of a long comment is not a line of its own. */
	cr_assert_eq(ftruncate(fd, 0), 0);
	for (int i = 0; i < 8191; i++)
		cr_assert_eq(pwrite(fd, "#", 1, i), 1);
	cr_assert_eq(pwrite(fd, "workers = 3\n", 12, 8191), 12);
	cr_assert_eq(conf_load_file(c, path, why), -ERR_LIMIT);
	cr_assert_not_null(strstr(why, ":1: the line is too long"), "%s", why);
	close(fd);
	unlink(path);
	cr_assert_lt(conf_load_file(c, "/tmp", why), 0);
	cr_assert_not_null(strstr(why, "/tmp:1: "), "%s", why);
	conf_free(c);
}

Test(conf, the_environment_overrides_and_secrets_are_masked)
{
	static const char *const env[] = {"PATH=x", "IORIO_HTTP_MAX_BODY=1MB",
	    "IORIO_CLUSTER_COOKIE=hidden", NULL};
	static const char *const bad[] = {"IORIO_HTTP_PROT=1", NULL};
	struct conf *c = conf_new();
	char why[CONF_WHY_BYTES];
	struct buf b;

	cr_assert_eq(conf_load_env(c, env, why), 0);
	cr_assert_eq(conf_num(c, CONF_http_max_body), 1 << 20);
	cr_assert_eq(conf_load_env(c, bad, why), -ERR_INVAL);
	buf_init(&b, 1 << 20);
	conf_print(c, &b);
	buf_add_byte(&b, '\0');
	cr_assert_null(strstr((char *)b.p, "hidden"));
	cr_assert_not_null(strstr((char *)b.p, "********"));
	buf_deinit(&b);
	conf_free(c);
}

Test(conf, keys_must_fit_together)
{
	static const char *const bad[][2] = {{"ring_size", "100"},
	    {"nodename", "iorio"}, {"journal.segment", "16MB"},
	    {"journal.max", "128MB"}, {"journal.max", "129GB"}};

	for (int i = 0; i < 5; i++) {
		struct conf *c = conf_new();
		char why[CONF_WHY_BYTES];

		cr_assert_eq(conf_check(c, why), 0);
		cr_assert_eq(conf_set(c, bad[i][0], bad[i][1], "-o", why), 0);
		cr_assert_eq(conf_check(c, why), -ERR_INVAL, "%s", bad[i][0]);
		conf_free(c);
	}
}

Test(conf, a_complaint_says_where_the_key_was_set)
{
	char path[] = "/tmp/iorio-conf-XXXXXX", why[CONF_WHY_BYTES];
	char want[CONF_WHY_BYTES], where[CONF_WHERE_BYTES];
	const char *const env[] = {"IORIO_JOURNAL_MAX=129GB", NULL};
	static const char text[] = "workers = 2\n\nring_size = 100\n";
	int fd = mkstemp(path);
	struct conf *c = conf_new();

	conf_where(c, CONF_ring_size, where);
	cr_assert_str_eq(where, "ring_size:");
	cr_assert_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	cr_assert_eq(conf_load_file(c, path, why), 0);
	cr_assert_eq(conf_check(c, why), -ERR_INVAL);
	snprintf(want, sizeof(want), "%s:3: ring_size: must be a power of two",
	    path);
	cr_assert_str_eq(why, want);
	cr_assert_eq(conf_set(c, "ring_size", "64", "-o", why), 0);
	cr_assert_eq(conf_load_env(c, env, why), 0);
	cr_assert_eq(conf_set(c, "journal.segment", "1GB", "-o", why), 0);
	cr_assert_eq(conf_set(c, "journal.max", "2GB", "-o", why), 0);
	cr_assert_eq(conf_check(c, why), -ERR_INVAL);
	cr_assert_str_eq(why,
	    "-o: journal.max: must be at least four times journal.segment");
	close(fd);
	unlink(path);
	conf_free(c);
}

Test(conf, an_unknown_variable_is_refused_with_the_nearest)
{
	static const char *const env[] = {"PATH=/", "IORIO_HTP_PORT=1", NULL};
	struct conf *c = conf_new();
	char why[CONF_WHY_BYTES];

	cr_assert_eq(conf_load_env(c, env, why), -ERR_INVAL);
	cr_assert_str_eq(why, "environment IORIO_HTP_PORT: unknown key; did "
			      "you mean `IORIO_HTTP_PORT`?");
	conf_free(c);
}

Test(conf, what_is_secret_is_in_no_complaint)
{
	static const char *const keys[] = {
	    "cluster.cookie", "auth.secret", "auth.admin.password"};
	char longer[5000], why[CONF_WHY_BYTES];

	memset(longer, 's', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	for (int i = 0; i < 3; i++) {
		struct conf *c = conf_new();

		cr_assert_lt(conf_set(c, keys[i], longer, "-o", why), 0);
		cr_assert_null(strstr(why, "sss"), "%s", why);
		conf_free(c);
	}
}
