/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* layout - the small rules that the tables share. */
#include "admin/layout.h"

#include "src/base/assert.h"

#define LIST_COLUMNS 80

void
layout_fill(struct buf *out, char c, size_t n)
{
	uint8_t *p = n ? buf_reserve(out, n) : NULL;

	if (!p)
		return;
	memset(p, c, n);
	out->n += n;
}

void
layout_rule(struct buf *out, char c)
{
	layout_fill(out, c, LAYOUT_WIDTH);
	buf_add_byte(out, '\n');
}

void
layout_heading(struct buf *out, size_t left, const char *title, size_t right)
{
	layout_fill(out, '=', left);
	buf_printf(out, " %s ", title);
	layout_fill(out, '=', right);
	buf_add_byte(out, '\n');
}

void
layout_centre(struct buf *out, const char *text, size_t width)
{
	size_t n = strlen(text);
	size_t left = n < width ? (width - n) / 2 : 0;

	layout_fill(out, ' ', left);
	buf_add_str(out, text);
	layout_fill(out, ' ', n < width ? width - n - left : 0);
}

uint32_t
layout_tenths(uint32_t count, uint32_t q)
{
	ASSERT(q && count <= q);
	return (2000 * count + q) / (2 * q);
}

const char *
layout_percent(
    uint32_t count, uint32_t q, int width, char out[LAYOUT_PERCENT_BYTES])
{
	uint32_t t = layout_tenths(count, q);

	snprintf(out, LAYOUT_PERCENT_BYTES, "%*u.%u", width > 2 ? width - 2 : 1,
	    t / 10, t % 10);
	return out;
}

/* --- lists of names ------------------------------------------------------- */

void
layout_by_name(const struct ring *r, uint16_t *order)
{
	for (uint16_t i = 0; i < r->n_members; i++) {
		uint16_t at = i;

		while (at > 0 && strcmp(r->members[order[at - 1]].name,
				     r->members[i].name) > 0) {
			order[at] = order[at - 1];
			at--;
		}
		order[at] = i;
	}
}

static size_t
column(const struct buf *out)
{
	size_t n = 0;

	while (n < out->n && out->p[out->n - 1 - n] != '\n')
		n++;
	return n;
}

void
layout_members(
    struct buf *out, const struct ring *r, const uint8_t *marked, uint8_t want)
{
	uint16_t order[RING_MEMBERS_MAX];
	size_t begin = column(out) + 1, at = begin;
	int first = 1;

	layout_by_name(r, order);
	buf_add_byte(out, '[');
	for (uint16_t i = 0; i < r->n_members; i++) {
		const char *name = r->members[order[i]].name;
		size_t n = strlen(name) + 3; /* quotes, and what follows */

		if (marked[order[i]] != want)
			continue;
		if (!first) {
			buf_add_byte(out, ',');
			if (at + n > LIST_COLUMNS) {
				buf_add_byte(out, '\n');
				layout_fill(out, ' ', begin);
				at = begin;
			}
		}
		buf_printf(out, "'%s'", name);
		at += n;
		first = 0;
	}
	buf_add_byte(out, ']');
}

/* --- units ---------------------------------------------------------------- */

struct unit {
	uint64_t size;
	const char *name;
};

/* Two decimals, in the largest unit that is not less than one of its own. */
static void
in_units(struct buf *out, uint64_t v, const struct unit *units, size_t n)
{
	size_t i = n - 1;

	while (i > 0 && v < units[i].size)
		i--;
	buf_printf(
	    out, "%.2f %s", (double)v / (double)units[i].size, units[i].name);
}

void
layout_time(struct buf *out, uint64_t us)
{
	static const struct unit units[] = {{1, "us"}, {1000, "ms"},
	    {1000000, "s"}, {60000000, "min"}, {3600000000u, "hr"},
	    {86400000000u, "d"}};

	in_units(out, us, units, sizeof(units) / sizeof(*units));
}

void
layout_bytes(struct buf *out, uint64_t bytes)
{
	static const struct unit units[] = {
	    {1, "B"}, {1u << 10, "KB"}, {1u << 20, "MB"}, {1u << 30, "GB"}};

	in_units(out, bytes, units, sizeof(units) / sizeof(*units));
}

void
layout_date(struct buf *out, uint64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	buf_add_str(out, text);
}

/* g * (2^160 / Q) digit by digit: Q is a power of two, so the index has one
 * bit pattern, G, shifted. */
const char *
layout_index(uint32_t g, uint32_t q, char out[LAYOUT_INDEX_BYTES])
{
	uint8_t digits[LAYOUT_INDEX_BYTES] = {0}; /* lowest first */
	uint32_t n = 1, bits = 160, at = 0;

	for (; q > 1; q >>= 1)
		bits--;
	do {
		digits[n - 1] = (uint8_t)(g % 10);
		g /= 10;
		n += g != 0;
	} while (g);
	for (; bits > 0; bits--) {
		uint32_t carry = 0;

		for (uint32_t i = 0; i < n; i++) {
			uint32_t d = 2u * digits[i] + carry;

			digits[i] = (uint8_t)(d % 10);
			carry = d / 10;
		}
		if (carry)
			digits[n++] = (uint8_t)carry;
	}
	while (n > 0)
		out[at++] = (char)('0' + digits[--n]);
	out[at] = '\0';
	return out;
}

/* --- JSON ----------------------------------------------------------------- */

void
layout_json_key(struct buf *out, const char *key)
{
	if (out->n && out->p[out->n - 1] != '{')
		buf_add_byte(out, ',');
	buf_add_json_string(out, SLICE_STR(key));
	buf_add_byte(out, ':');
}

void
layout_json_string(struct buf *out, const char *key, const char *value)
{
	layout_json_key(out, key);
	buf_add_json_string(out, SLICE_STR(value));
}

void
layout_json_tenths(struct buf *out, uint32_t tenths)
{
	buf_printf(out, "%u.%u", tenths / 10, tenths % 10);
}

void
layout_json_message(struct buf *out, int ok, struct slice text)
{
	if (text.n && text.p[text.n - 1] == '\n')
		text.n--;
	buf_printf(out, "{\"ok\":%s,\"message\":", ok ? "true" : "false");
	buf_add_json_string(out, text);
	buf_add_str(out, "}\n");
}
