/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* time - the two ways we print a wall time, independent of the locale. */
#include "src/base/time.h"

static const char days[7][4] = {
    "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* The calendar ends in 9999, as the formats do. */
#define WALL_SECONDS_MAX 253402300799ull

static struct tm
broken_down(struct wall t)
{
	uint64_t s = t.ms / 1000;
	time_t clock = (time_t)(s < WALL_SECONDS_MAX ? s : WALL_SECONDS_MAX);
	struct tm tm = {0};

	gmtime_r(&clock, &tm);
	return tm;
}

void
time_http(struct wall t, char out[TIME_HTTP_BYTES])
{
	struct tm tm = broken_down(t);

	snprintf(out, TIME_HTTP_BYTES, "%s, %02u %s %04u %02u:%02u:%02u GMT",
	    days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100u,
	    months[tm.tm_mon % 12], ((unsigned)tm.tm_year + 1900u) % 10000u,
	    (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u,
	    (unsigned)tm.tm_sec % 100u);
}

void
time_iso(struct wall t, char out[TIME_ISO_BYTES])
{
	struct tm tm = broken_down(t);

	snprintf(out, TIME_ISO_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
	    ((unsigned)tm.tm_year + 1900u) % 10000u,
	    ((unsigned)tm.tm_mon + 1u) % 100u, (unsigned)tm.tm_mday % 100u,
	    (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u,
	    (unsigned)tm.tm_sec % 100u, (unsigned)(t.ms % 1000));
}
