/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * render_transfers - what moves now, and how much of it may move at once.
 *
 * A fill is drawn as a box of BOX columns: the rate of its events, from whom to
 * whom, a bar, the rate of its bytes.
 */
#include "admin/render_impl.h"
#include "src/base/time.h"

#define BOX        62
#define SIDE       25 /* a name */
#define NAME_CHUNK (SIDE - 1)
#define NAME_LINES 3
#define BAR        43

static uint32_t
at(const uint32_t *by_member, uint16_t member)
{
	return by_member ? by_member[member] : 0;
}

/* 0 to 100, or -1 when the total is not known. */
static int
percent(const struct admin_transfer *t, uint32_t scale, uint32_t *scaled)
{
	uint64_t done = t->total_objects ? t->objects : t->bytes;
	uint64_t total = t->total_objects ? t->total_objects : t->total_bytes;

	if (!total)
		return -1;
	if (done > total)
		done = total;
	*scaled = (uint32_t)((double)done / (double)total * scale);
	return (int)((double)done / (double)total * 100);
}

/* --- the box -------------------------------------------------------------- */

/* Line I of NAME: its next NAME_CHUNK bytes when it is too long for one. */
static void
add_name(struct buf *out, const char *name, size_t i)
{
	char part[SIDE + 1] = "";
	size_t n = strlen(name), from = i * NAME_CHUNK;

	if (from < n)
		snprintf(part, sizeof(part), "%.*s", NAME_CHUNK, name + from);
	layout_centre(out, part, SIDE);
}

static void
add_names(struct buf *out, const char *from, const char *to)
{
	size_t n = strlen(from) > strlen(to) ? strlen(from) : strlen(to);

	for (size_t i = 0; i < NAME_LINES && (i == 0 || i * NAME_CHUNK < n);
	     i++) {
		add_name(out, from, i);
		buf_add_str(out, i ? "            " : "  =======>  ");
		add_name(out, to, i);
		buf_add_byte(out, '\n');
	}
}

static void
add_bar(struct buf *out, const struct admin_transfer *t)
{
	uint32_t cells = 0;
	int p = percent(t, BAR, &cells);
	struct buf line;

	buf_init(&line, BOX + 1);
	buf_add_str(&line, "     |");
	layout_fill(&line, '=', cells);
	layout_fill(&line, ' ', BAR - cells);
	if (p < 0)
		buf_add_str(&line, "|  N/A");
	else
		buf_printf(&line, "| %3d%%", p);
	buf_add_byte(&line, '\0');
	if (buf_error(&line) == 0)
		layout_centre(out, (const char *)line.p, BOX);
	buf_add_byte(out, '\n');
	buf_deinit(&line);
}

static void
add_box(struct buf *out, const struct ring *r, const struct admin_transfer *t)
{
	uint64_t ms =
	    t->updated_ms > t->started_ms ? t->updated_ms - t->started_ms : 0;
	char text[64];
	struct buf rate;

	snprintf(text, sizeof(text), "%llu Objs/s",
	    (unsigned long long)(ms ? t->objects * 1000 / ms : 0));
	layout_centre(out, text, BOX);
	buf_add_byte(out, '\n');
	add_names(out, r->members[t->from].name, r->members[t->to].name);
	add_bar(out, t);
	buf_init(&rate, sizeof(text));
	layout_bytes(&rate, t->rate);
	snprintf(
	    text, sizeof(text), "%.*s/s", (int)rate.n, (const char *)rate.p);
	buf_deinit(&rate);
	layout_centre(out, text, BOX);
	buf_add_byte(out, '\n');
}

/* --- one transfer --------------------------------------------------------- */

static void
add_moment(struct buf *out, uint64_t ms, uint64_t now_us)
{
	layout_date(out, ms);
	buf_add_str(out, " [");
	layout_time(out, now_us > ms * 1000 ? now_us - ms * 1000 : 0);
	buf_add_str(out, " ago]\n");
}

static void
add_transfer(struct buf *out, const struct ring *r,
    const struct admin_transfer *t, uint64_t now_us)
{
	char index[LAYOUT_INDEX_BYTES];

	layout_index(t->group, r->q, index);
	buf_printf(out, "transfer type: %s\nvnode type: iorio_vnode\n",
	    t->repair ? "repair" : "ownership");
	if (t->repair)
		buf_printf(out, "source partition: %s\ntarget partition: %s\n",
		    index, index);
	else
		buf_printf(out, "partition: %s\n", index);
	buf_add_str(out, "started: ");
	add_moment(out, t->started_ms, now_us);
	buf_add_str(out, "last update: ");
	if (t->updated_ms)
		add_moment(out, t->updated_ms, now_us);
	else
		buf_add_str(out, "no updates seen\n");
	if (t->total_objects)
		buf_printf(out, "total size: %llu objects\n",
		    (unsigned long long)t->total_objects);
	else if (t->total_bytes)
		buf_printf(out, "total size: %llu bytes\n",
		    (unsigned long long)t->total_bytes);
	else
		buf_add_str(out, "total size: unknown\n");
	if (t->updated_ms)
		buf_printf(out, "objects transferred: %llu\n",
		    (unsigned long long)t->objects);
	else
		buf_add_str(out, "objects transferred: unknown\n");
	if (t->error[0])
		buf_printf(out, "last error: %s\n", t->error);
	buf_add_byte(out, '\n');
	add_box(out, r, t);
}

/* --- all of them ---------------------------------------------------------- */

static uint32_t
add_queues(struct buf *out, const struct admin_view *v, const uint16_t *order)
{
	uint32_t n = 0;

	for (uint16_t i = 0; i < v->ring->n_members; i++) {
		uint32_t sending = at(v->sending, order[i]);
		uint32_t queued = at(v->queued, order[i]);
		uint32_t receiving = at(v->receiving, order[i]);

		if (!sending && !queued && !receiving)
			continue;
		buf_printf(out, "'%s': sending %u, queued %u, receiving %u\n",
		    v->ring->members[order[i]].name, sending, queued,
		    receiving);
		n++;
	}
	return n;
}

void
render_transfers(struct buf *out, const struct admin_view *v, uint64_t now_us)
{
	const struct ring *r = v->ring;
	uint16_t order[RING_MEMBERS_MAX];
	uint8_t up[RING_MEMBERS_MAX];
	uint32_t n_up = 0;

	layout_by_name(r, order);
	for (uint16_t i = 0; i < r->n_members; i++) {
		up[i] = render_up(v, i) != 0;
		n_up += up[i];
	}
	if (n_up < r->n_members) {
		buf_add_str(out, "Nodes ");
		layout_members(out, r, up, 0);
		buf_add_str(out, " are currently down.\n");
	}
	if (add_queues(out, v, order) || v->n_transfers) {
		buf_add_str(out, "\nActive Transfers:\n\n");
		for (uint32_t i = 0; i < v->n_transfers; i++) {
			add_transfer(out, r, &v->transfers[i], now_us);
			buf_add_byte(out, '\n');
		}
		buf_add_byte(out, '\n');
	} else {
		buf_add_str(out, "No transfers active\n");
	}
	for (uint16_t i = 0; i < r->n_members; i++)
		if (!up[order[i]])
			buf_printf(out, "Node '%s' could not be contacted\n",
			    r->members[order[i]].name);
}

/* --- JSON ----------------------------------------------------------------- */

static void
add_number(struct buf *out, const char *key, int known, uint64_t value)
{
	layout_json_key(out, key);
	if (known)
		buf_add_u64(out, value);
	else
		buf_add_str(out, "null");
}

static void
add_transfer_json(
    struct buf *out, const struct ring *r, const struct admin_transfer *t)
{
	char started[TIME_ISO_BYTES];
	int known = t->total_bytes && t->rate;
	uint64_t left =
	    t->total_bytes > t->bytes ? t->total_bytes - t->bytes : 0;

	time_iso((struct wall){t->started_ms}, started);
	buf_add_byte(out, '{');
	add_number(out, "group", 1, t->group);
	layout_json_string(out, "from", r->members[t->from].name);
	layout_json_string(out, "to", r->members[t->to].name);
	add_number(out, "bytes", 1, t->bytes);
	add_number(out, "total_bytes", t->total_bytes != 0, t->total_bytes);
	add_number(out, "rate", 1, t->rate);
	add_number(
	    out, "eta_s", known, known ? (left + t->rate - 1) / t->rate : 0);
	layout_json_string(out, "started", started);
	if (t->error[0])
		layout_json_string(out, "error", t->error);
	buf_add_byte(out, '}');
}

void
render_transfers_fields(struct buf *out, const struct admin_view *v)
{
	uint16_t order[RING_MEMBERS_MAX];

	layout_by_name(v->ring, order);
	layout_json_key(out, "active");
	buf_add_byte(out, '[');
	for (uint32_t i = 0; i < v->n_transfers; i++) {
		if (i)
			buf_add_byte(out, ',');
		add_transfer_json(out, v->ring, &v->transfers[i]);
	}
	buf_add_byte(out, ']');
	layout_json_key(out, "queued");
	buf_add_u64(out, v->n_queued);
	layout_json_key(out, "limits");
	buf_add_byte(out, '{');
	for (uint16_t i = 0; i < v->ring->n_members; i++)
		add_number(out, v->ring->members[order[i]].name,
		    v->limit && render_up(v, order[i]), at(v->limit, order[i]));
	buf_add_byte(out, '}');
}

void
render_transfers_json(struct buf *out, const struct admin_view *v)
{
	buf_add_byte(out, '{');
	render_transfers_fields(out, v);
	buf_add_str(out, "}\n");
}

/* --- transfer-limit ------------------------------------------------------- */

void
render_transfer_limit(struct buf *out, const struct admin_view *v)
{
	uint16_t order[RING_MEMBERS_MAX];

	layout_by_name(v->ring, order);
	layout_heading(out, 31, "Transfer Limit", 32);
	buf_add_str(out, "Limit        Node\n");
	layout_rule(out, '-');
	for (uint16_t i = 0; i < v->ring->n_members; i++) {
		const char *name = v->ring->members[order[i]].name;

		if (render_up(v, order[i]))
			buf_printf(out, "%5u        '%s'\n",
			    at(v->limit, order[i]), name);
		else
			buf_printf(out, "(offline)    '%s'\n", name);
	}
	layout_rule(out, '-');
	buf_add_str(out,
	    "Note: You can change transfer limits with 'iorio-admin "
	    "transfer-limit <limit>'\n"
	    "      and 'iorio-admin transfer-limit <node> <limit>'\n");
}
