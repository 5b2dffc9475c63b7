/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/expose.h"

TestSuite(metrics, .timeout = 60);

Test(metrics, without_a_shard_nothing_is_counted)
{
	cr_assert_null(metrics_shard(NULL, 7));
	metrics_add(NULL, METRICS_APPEND_EVENTS, 1);
	metrics_observe(NULL, METRICS_APPEND_SECONDS, 1);
}

Test(metrics, a_value_lies_in_the_first_bucket_whose_bound_it_does_not_exceed)
{
	struct metrics *m = metrics_new(1);
	const uint64_t *bounds = metrics_bounds(METRICS_SECONDS);
	struct metrics_sums sums;
	uint64_t all = 0;

	for (int i = 0; i < METRICS_BUCKETS; i++) {
		metrics_observe(
		    metrics_shard(m, 0), METRICS_APPEND_SECONDS, bounds[i]);
		metrics_observe(
		    metrics_shard(m, 0), METRICS_APPEND_SECONDS, bounds[i] + 1);
		all += 2 * bounds[i] + 1;
	}
	metrics_observe(metrics_shard(m, 0), METRICS_APPEND_SECONDS, 0);
	metrics_sum(m, &sums);
	cr_assert_eq(sums.histograms[METRICS_APPEND_SECONDS].n[0], 2);
	for (int i = 1; i < METRICS_BUCKETS; i++)
		cr_assert_eq(sums.histograms[METRICS_APPEND_SECONDS].n[i], 2);
	cr_assert_eq(
	    sums.histograms[METRICS_APPEND_SECONDS].n[METRICS_BUCKETS], 1);
	cr_assert_eq(sums.histograms[METRICS_APPEND_SECONDS].sum, all);
	metrics_free(m);
}

#define THREADS 4
#define ROUNDS  200000

static void *
count(void *arg)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		metrics_add(arg, METRICS_APPEND_EVENTS, 2);
		metrics_observe(arg, METRICS_JOURNAL_BATCH, i);
	}
	return NULL;
}

Test(metrics, threads_that_count_beside_each_other_lose_nothing)
{
	struct metrics *m = metrics_new(THREADS);
	pthread_t threads[THREADS];
	struct metrics_sums sums;
	uint64_t before = 0;

	for (uint32_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, count, metrics_shard(m, i));
	for (int i = 0; i < 100; i++) {
		metrics_sum(m, &sums);
		cr_assert_geq(sums.counters[METRICS_APPEND_EVENTS], before);
		before = sums.counters[METRICS_APPEND_EVENTS];
	}
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	metrics_sum(m, &sums);
	cr_assert_eq(
	    sums.counters[METRICS_APPEND_EVENTS], 2ull * THREADS * ROUNDS);
	cr_assert_eq(sums.histograms[METRICS_JOURNAL_BATCH].sum,
	    THREADS * (uint64_t)ROUNDS * (ROUNDS - 1) / 2);
	metrics_free(m);
}

/* --- text ----------------------------------------------------------------- */

static char *
written(enum expose_format format, void (*fn)(struct expose *e))
{
	struct expose e;
	struct buf out;
	char *text;

	buf_init(&out, 1 << 20);
	expose_begin(&e, &out, format);
	fn(&e);
	expose_end(&e);
	buf_add_byte(&out, 0);
	cr_assert_eq(buf_error(&out), 0);
	text = strdup((char *)out.p);
	buf_deinit(&out);
	return text;
}

static void
some(struct expose *e)
{
	uint64_t n[METRICS_BUCKETS + 1] = {3, 0, 4};
	struct buf labels;

	buf_init(&labels, 1000);
	expose_label(&labels, "a", SLICE_LIT("x\"y\\z\n"));
	expose_label(&labels, "b", SLICE_LIT("1"));
	buf_add_byte(&labels, 0);
	expose_counter(e, "c", "Counts.", 5);
	expose_family(e, EXPOSE_GAUGE, "g_seconds", "A moment.");
	expose_micros(e, (char *)labels.p, -1500000);
	expose_micros(e, NULL, 60000000);
	n[METRICS_BUCKETS] = 1;
	expose_histogram(e, "h_seconds", "Takes.", METRICS_SECONDS, n, 2500);
	buf_deinit(&labels);
}

static void
starts(enum expose_format format, const char *want)
{
	char *text = written(format, some);

	cr_assert_eq(strncmp(text, want, strlen(want)), 0, "%s", text);
	free(text);
}

Test(metrics, each_format_is_as_it_is_written_down)
{
	starts(EXPOSE_PROMETHEUS,
	    "# HELP c_total Counts.\n# TYPE c_total counter\nc_total 5\n"
	    "# HELP g_seconds A moment.\n# TYPE g_seconds gauge\n"
	    "g_seconds{a=\"x\\\"y\\\\z\\n\",b=\"1\"} -1.5\ng_seconds 60\n"
	    "# HELP h_seconds Takes.\n# TYPE h_seconds histogram\n"
	    "h_seconds_bucket{le=\"0.0001\"} 3\n"
	    "h_seconds_bucket{le=\"0.00025\"} 3\n"
	    "h_seconds_bucket{le=\"0.0005\"} 7\n");
	starts(EXPOSE_OPENMETRICS,
	    "# HELP c Counts.\n# TYPE c counter\nc_total 5\n");
	starts(EXPOSE_JSON,
	    "{\"c_total\":5,\"g_seconds{a=\\\"x\\\\\\\"y\\\\\\\\z\\\\n\\\","
	    "b=\\\"1\\\"}\":-1.5,\"g_seconds\":60,\"h_seconds\":{\"count\":8,"
	    "\"sum\":0.0025,\"p50\":0.0005,\"p99\":60}}");
	starts(EXPOSE_LINES,
	    "c_total : 5\ng_seconds{a=\"x\\\"y\\\\z\\n\",b=\"1\"} : -1.5\n");
}

Test(metrics, a_histogram_ends_with_all_its_sum_and_its_count)
{
	char *text = written(EXPOSE_PROMETHEUS, some);
	const char *end = "h_seconds_bucket{le=\"60\"} 7\n"
			  "h_seconds_bucket{le=\"+Inf\"} 8\n"
			  "h_seconds_sum 0.0025\nh_seconds_count 8\n";
	size_t n = strlen(text);

	cr_assert_geq(n, strlen(end));
	cr_assert_str_eq(text + n - strlen(end), end);
	free(text);
}
