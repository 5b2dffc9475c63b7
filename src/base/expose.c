/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* expose - measurements as text. */
#include "src/base/expose.h"

#include <string.h>

#define LINE_MAX_BYTES 512

static const char *
kind_text(enum expose_kind kind)
{
	return kind == EXPOSE_COUNTER ? "counter"
	       : kind == EXPOSE_GAUGE ? "gauge"
				      : "histogram";
}

static int
is_prometheus(const struct expose *e)
{
	return e->format == EXPOSE_PROMETHEUS ||
	       e->format == EXPOSE_OPENMETRICS;
}

void
expose_begin(struct expose *e, struct buf *out, enum expose_format format)
{
	*e = (struct expose){.out = out, .format = format};
	if (format == EXPOSE_JSON)
		buf_add_byte(out, '{');
}

void
expose_end(struct expose *e)
{
	if (e->format == EXPOSE_JSON)
		buf_add_byte(e->out, '}');
	if (e->format == EXPOSE_OPENMETRICS)
		buf_add_str(e->out, "# EOF\n");
}

/* OpenMetrics names a family of counters without `_total`. */
void
expose_family(
    struct expose *e, enum expose_kind kind, const char *name, const char *help)
{
	const char *suffix =
	    kind == EXPOSE_COUNTER && e->format == EXPOSE_PROMETHEUS ? "_total"
								     : "";

	e->kind = kind;
	e->name = name;
	if (is_prometheus(e))
		buf_printf(e->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name,
		    suffix, help, name, suffix, kind_text(kind));
}

/* Up to the value: `name{labels} `, or `"name{labels}":`. */
static void
begin_sample(struct expose *e, const char *suffix, const char *labels)
{
	char line[LINE_MAX_BYTES];
	int n = snprintf(line, sizeof(line), "%s%s%s%s%s%s", e->name, suffix,
	    e->kind == EXPOSE_COUNTER ? "_total" : "", labels ? "{" : "",
	    labels ? labels : "", labels ? "}" : "");

	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	if (e->format == EXPOSE_JSON) {
		if (e->n)
			buf_add_byte(e->out, ',');
		buf_add_json_string(e->out, SLICE(line, (size_t)n));
		buf_add_byte(e->out, ':');
	} else {
		buf_add(e->out, line, (size_t)n);
		buf_add_str(e->out, is_prometheus(e) ? " " : " : ");
	}
	e->n++;
}

static void
end_sample(struct expose *e)
{
	if (e->format != EXPOSE_JSON)
		buf_add_byte(e->out, '\n');
}

void
expose_value(struct expose *e, const char *labels, uint64_t value)
{
	begin_sample(e, "", labels);
	buf_add_u64(e->out, value);
	end_sample(e);
}

/* Without digits that say nothing: 0.00025, 2.5, 60. */
static void
seconds_text(char text[40], int64_t us)
{
	uint64_t abs = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
	size_t n = (size_t)snprintf(text, 40, "%s%llu.%06llu",
	    us < 0 ? "-" : "", (unsigned long long)(abs / 1000000),
	    (unsigned long long)(abs % 1000000));

	while (text[n - 1] == '0')
		text[--n] = '\0';
	if (text[n - 1] == '.')
		text[--n] = '\0';
}

void
expose_micros(struct expose *e, const char *labels, int64_t us)
{
	char text[40];

	seconds_text(text, us);
	begin_sample(e, "", labels);
	buf_add_str(e->out, text);
	end_sample(e);
}

static void
number_text(char text[40], enum metrics_scale scale, uint64_t v)
{
	if (scale == METRICS_SECONDS)
		seconds_text(text, (int64_t)v);
	else
		snprintf(text, 40, "%llu", (unsigned long long)v);
}

/* The bound of the bucket in which share Q of all lies; 0 of none. */
static uint64_t
quantile(const uint64_t *bounds, const uint64_t *n, uint64_t all, double q)
{
	uint64_t seen = 0;

	for (int i = 0; i < METRICS_BUCKETS && all; i++) {
		seen += n[i];
		if ((double)seen >= q * (double)all)
			return bounds[i];
	}
	return all ? bounds[METRICS_BUCKETS - 1] : 0;
}

/* For who has no Prometheus to compute it: how many, and bounds of quantiles. */
static void
summary(struct expose *e, enum metrics_scale scale, const uint64_t *n,
    uint64_t all, uint64_t sum)
{
	const uint64_t *bounds = metrics_bounds(scale);
	char s[40], p50[40], p99[40];

	number_text(s, scale, sum);
	number_text(p50, scale, quantile(bounds, n, all, 0.5));
	number_text(p99, scale, quantile(bounds, n, all, 0.99));
	begin_sample(e, "", NULL);
	buf_printf(e->out,
	    e->format == EXPOSE_JSON
		? "{\"count\":%llu,\"sum\":%s,\"p50\":%s,\"p99\":%s}"
		: "%llu, sum %s, half within %s, 99 %% within %s",
	    (unsigned long long)all, s, p50, p99);
	end_sample(e);
}

void
expose_histogram(struct expose *e, const char *name, const char *help,
    enum metrics_scale scale, const uint64_t n[METRICS_BUCKETS + 1],
    uint64_t sum)
{
	const uint64_t *bounds = metrics_bounds(scale);
	char text[40], label[64];
	uint64_t all = 0;

	expose_family(e, EXPOSE_HISTOGRAM, name, help);
	if (!is_prometheus(e)) {
		for (int i = 0; i <= METRICS_BUCKETS; i++)
			all += n[i];
		summary(e, scale, n, all, sum);
		return;
	}
	for (int i = 0; i <= METRICS_BUCKETS; i++) {
		if (i < METRICS_BUCKETS)
			number_text(text, scale, bounds[i]);
		else
			snprintf(text, sizeof(text), "+Inf");
		all += n[i];
		snprintf(label, sizeof(label), "le=\"%s\"", text);
		begin_sample(e, "_bucket", label);
		buf_add_u64(e->out, all);
		end_sample(e);
	}
	number_text(text, scale, sum);
	buf_printf(e->out, "%s_sum %s\n%s_count %llu\n", name, text, name,
	    (unsigned long long)all);
}

void
expose_counter(
    struct expose *e, const char *name, const char *help, uint64_t value)
{
	expose_family(e, EXPOSE_COUNTER, name, help);
	expose_value(e, NULL, value);
}

void
expose_gauge(
    struct expose *e, const char *name, const char *help, uint64_t value)
{
	expose_family(e, EXPOSE_GAUGE, name, help);
	expose_value(e, NULL, value);
}

void
expose_metrics(struct expose *e, const struct metrics *m)
{
	struct metrics_sums sums;

	metrics_sum(m, &sums);
#define X(NAME, name, help)                                                    \
	expose_counter(e, name, help, sums.counters[METRICS_##NAME]);
	METRICS_COUNTERS(X)
#undef X
#define X(NAME, name, help, scale)                                             \
	expose_histogram(e, name, help, scale,                                 \
	    sums.histograms[METRICS_##NAME].n,                                 \
	    sums.histograms[METRICS_##NAME].sum);
	METRICS_HISTOGRAMS(X)
#undef X
}

void
expose_label(struct buf *text, const char *name, struct slice value)
{
	buf_printf(text, "%s%s=\"", text->n ? "," : "", name);
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i];

		if (c == '\n') {
			buf_add_str(text, "\\n");
			continue;
		}
		if (c == '\\' || c == '"')
			buf_add_byte(text, '\\');
		buf_add_byte(text, c);
	}
	buf_add_byte(text, '"');
}
