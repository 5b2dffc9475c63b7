/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* param - values of query parameters. */
#include "http/param.h"

#include <string.h>
#include <time.h>

#include "src/base/err.h"

static int
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

int
param_int(struct slice s, int64_t *out)
{
	int minus = s.n && s.p[0] == '-';
	int64_t n = 0;

	if (s.n == (size_t)minus)
		return -ERR_INVAL;
	for (size_t i = (size_t)minus; i < s.n; i++) {
		if (!is_digit(s.p[i]))
			return -ERR_INVAL;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, s.p[i] - '0', &n))
			n = INT64_MAX;
	}
	*out = minus ? -n : n;
	return 0;
}

/* --- RFC 3339 ------------------------------------------------------------- */

/* N digits from the head of *S, at most MAX; -1: they are not. */
static int
take_digits(struct slice *s, size_t n, int max)
{
	int v = 0;

	if (s->n < n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(s->p[i]))
			return -1;
		v = v * 10 + s->p[i] - '0';
	}
	*s = SLICE(s->p + n, s->n - n);
	return v <= max ? v : -1;
}

static int
take_one_of(struct slice *s, const char *set)
{
	if (s->n == 0 || s->p[0] == '\0' || !strchr(set, s->p[0]))
		return -1;
	*s = SLICE(s->p + 1, s->n - 1);
	return s->p[-1];
}

static int
days_of(int year, int month)
{
	static const uint8_t days[] = {
	    31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* full-date; 0 or -1. */
static int
take_date(struct slice *s, struct tm *tm)
{
	int y = take_digits(s, 4, 9999), mo, d;

	if (y < 0 || take_one_of(s, "-") < 0)
		return -1;
	mo = take_digits(s, 2, 12);
	if (mo < 1 || take_one_of(s, "-") < 0)
		return -1;
	d = take_digits(s, 2, days_of(y, mo));
	if (d < 1)
		return -1;
	tm->tm_year = y - 1900;
	tm->tm_mon = mo - 1;
	tm->tm_mday = d;
	return 0;
}

/* Milliseconds, rounded up; -1: a point without a digit. */
static int
take_fraction(struct slice *s)
{
	int ms = 0, unit = 100, more = 0;

	if (s->n == 0 || s->p[0] != '.')
		return 0;
	*s = SLICE(s->p + 1, s->n - 1);
	if (s->n == 0 || !is_digit(s->p[0]))
		return -1;
	while (s->n && is_digit(s->p[0])) {
		int digit = take_digits(s, 1, 9);

		ms += digit * unit;
		more |= unit == 0 && digit;
		unit /= 10;
	}
	return ms + more;
}

/* time-offset in seconds east; 0 or -1. */
static int
take_offset(struct slice *s, int *out)
{
	int sign = take_one_of(s, "Zz+-"), h, mi;

	*out = 0;
	if (sign < 0 || sign == 'Z' || sign == 'z')
		return sign < 0 ? -1 : 0;
	h = take_digits(s, 2, 23);
	if (h < 0 || take_one_of(s, ":") < 0)
		return -1;
	mi = take_digits(s, 2, 59);
	*out = (h * 60 + mi) * (sign == '-' ? -60 : 60);
	return mi < 0 ? -1 : 0;
}

int
param_time(struct slice s, uint64_t *out)
{
	struct tm tm = {0};
	int64_t ms;
	int fraction, offset;

	if (param_int(s, &ms) == 0) {
		*out = ms > 0 ? (uint64_t)ms : 0;
		return 0;
	}
	if (take_date(&s, &tm) || take_one_of(&s, "Tt ") < 0)
		return -ERR_INVAL;
	tm.tm_hour = take_digits(&s, 2, 23);
	if (tm.tm_hour < 0 || take_one_of(&s, ":") < 0)
		return -ERR_INVAL;
	tm.tm_min = take_digits(&s, 2, 59);
	if (tm.tm_min < 0 || take_one_of(&s, ":") < 0)
		return -ERR_INVAL;
	tm.tm_sec = take_digits(&s, 2, 60); /* a leap second */
	if (tm.tm_sec < 0)
		return -ERR_INVAL;
	fraction = take_fraction(&s);
	if (fraction < 0 || take_offset(&s, &offset) || s.n)
		return -ERR_INVAL;
	ms = ((int64_t)timegm(&tm) - offset) * 1000 + fraction;
	*out = ms > 0 ? (uint64_t)ms : 0;
	return 0;
}
