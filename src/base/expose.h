/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * expose - measurements as text: for Prometheus, for a program, for a person.
 *
 * Owns:    nothing; the caller has the buffer, whose error says whether all of
 *          it is there.
 * Shape:   a family is begun once, its samples follow.  Names are in base units
 *          and without `_total`, which counters get; labels are the text between
 *          the braces, with escaped values (expose_label), or NULL.
 * Source:  "Exposition formats", text format 0.0.4, prometheus.io;
 *          OpenMetrics 1.0.
 */
#ifndef SRC_BASE_EXPOSE_H
#define SRC_BASE_EXPOSE_H

#include "src/base/buf.h"
#include "src/base/metrics.h"

enum expose_format {
	EXPOSE_PROMETHEUS,
	EXPOSE_OPENMETRICS,
	EXPOSE_JSON,  /* one flat object; histograms are objects in it */
	EXPOSE_LINES, /* `name : value` */
};

#define EXPOSE_PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define EXPOSE_OPENMETRICS_TYPE                                                \
	"application/openmetrics-text; version=1.0.0; charset=utf-8"

enum expose_kind { EXPOSE_COUNTER, EXPOSE_GAUGE, EXPOSE_HISTOGRAM };

struct expose {
	struct buf *out;
	enum expose_format format;
	enum expose_kind kind; /* of the family that was begun last */
	const char *name;
	uint32_t n; /* samples so far */
};

void expose_begin(struct expose *e, struct buf *out, enum expose_format format);
void expose_end(struct expose *e);

/* NAME is borrowed until the next family. */
void expose_family(struct expose *e, enum expose_kind kind, const char *name,
    const char *help);
void expose_value(struct expose *e, const char *labels, uint64_t value);
/* A moment or a time that is given in microseconds, as seconds. */
void expose_micros(struct expose *e, const char *labels, int64_t us);
/* A histogram's family, whole. */
void expose_histogram(struct expose *e, const char *name, const char *help,
    enum metrics_scale scale, const uint64_t n[METRICS_BUCKETS + 1],
    uint64_t sum);
/* A family with one sample. */
void expose_counter(
    struct expose *e, const char *name, const char *help, uint64_t value);
void expose_gauge(
    struct expose *e, const char *name, const char *help, uint64_t value);
/* All of metrics.h. */
void expose_metrics(struct expose *e, const struct metrics *m);

/* `,`, where TEXT is not empty, and name="value" with VALUE escaped. */
void expose_label(struct buf *text, const char *name, struct slice value);

#endif
