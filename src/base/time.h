/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * time - monotonic and wall time as two types that cannot be mixed.
 */
#ifndef SRC_BASE_TIME_H
#define SRC_BASE_TIME_H

#include <stdint.h>

struct mono {
	uint64_t us; /* since an arbitrary start; never goes back */
};

struct wall {
	uint64_t ms; /* since 1970-01-01 UTC; may jump */
};

static inline struct mono
mono_add_us(struct mono t, uint64_t us)
{
	return (struct mono){t.us + us};
}

/* Microseconds from FROM to TO; 0 when TO is not later. */
static inline uint64_t
mono_diff_us(struct mono from, struct mono to)
{
	return to.us > from.us ? to.us - from.us : 0;
}

#define TIME_HTTP_BYTES 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and its NUL */
#define TIME_ISO_BYTES  25 /* "1994-11-06T08:49:37.123Z" and its NUL */

/* RFC 9110 section 5.6.7, IMF-fixdate. */
void time_http(struct wall t, char out[TIME_HTTP_BYTES]);
/* RFC 3339 in UTC with milliseconds. */
void time_iso(struct wall t, char out[TIME_ISO_BYTES]);

#endif
