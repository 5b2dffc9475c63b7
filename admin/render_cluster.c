/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * render_cluster - cluster status: one boxed table.
 *
 * Cells are centred and a column is as wide as its longest cell; names begin
 * below each other.
 */
#include "admin/render_impl.h"

enum column { NODE, STATUS, AVAIL, RING, PENDING, N_COLUMNS };

#define CELL_BYTES (RING_NAME_MAX + 16)

struct row {
	char cells[N_COLUMNS][CELL_BYTES];
};

static const struct row titles = {
    {"node", "status", "avail", "ring", "pending"}};

static const char *
availability(const struct admin_view *v, uint16_t member)
{
	int marked = v->ring->members[member].state == RING_DOWN;

	if (render_up(v, member))
		return marked ? "  up!  " : "  up   ";
	return marked ? " down  " : " down! ";
}

static void
fill_row(struct row *row, const struct admin_view *v, uint16_t member,
    const struct ring_count *c, int longest)
{
	const struct ring *r = v->ring;
	const struct ring_member *m = &r->members[member];
	int pending = ring_pending(r) != 0;
	char percent[LAYOUT_PERCENT_BYTES];

	snprintf(row->cells[NODE], CELL_BYTES, " %s %-*s   ",
	    member == v->claimant ? "(C)" : "   ", longest, m->name);
	snprintf(row->cells[STATUS], CELL_BYTES, "%s", render_state(m->state));
	snprintf(row->cells[AVAIL], CELL_BYTES, "%s", availability(v, member));
	snprintf(row->cells[RING], CELL_BYTES, "%s",
	    layout_percent(c->owned, r->q, 5, percent));
	snprintf(row->cells[PENDING], CELL_BYTES, "%s",
	    pending ? layout_percent(c->next, r->q, 5, percent) : "--");
}

static void
add_rule(struct buf *out, const size_t *width)
{
	for (int k = 0; k < N_COLUMNS; k++) {
		buf_add_byte(out, '+');
		layout_fill(out, '-', width[k]);
	}
	buf_add_str(out, "+\n");
}

static void
add_row(struct buf *out, const struct row *row, const size_t *width)
{
	for (int k = 0; k < N_COLUMNS; k++) {
		buf_add_byte(out, '|');
		layout_centre(out, row->cells[k], width[k]);
	}
	buf_add_str(out, "|\n");
}

static void
widen(size_t *width, const struct row *row)
{
	for (int k = 0; k < N_COLUMNS; k++)
		if (strlen(row->cells[k]) > width[k])
			width[k] = strlen(row->cells[k]);
}

void
render_cluster(struct buf *out, const struct admin_view *v)
{
	const struct ring *r = v->ring;
	struct ring_count counts[RING_MEMBERS_MAX];
	uint16_t order[RING_MEMBERS_MAX];
	size_t width[N_COLUMNS] = {0};
	int longest = 0;
	struct row row;

	ring_counts(r, counts);
	layout_by_name(r, order);
	for (uint16_t i = 0; i < r->n_members; i++)
		if ((int)strlen(r->members[i].name) > longest)
			longest = (int)strlen(r->members[i].name);
	widen(width, &titles);
	for (uint16_t i = 0; i < r->n_members; i++) {
		fill_row(&row, v, order[i], &counts[order[i]], longest);
		widen(width, &row);
	}
	buf_printf(out, "---- Cluster Status ----\nRing ready: %s\n\n",
	    v->ready < 0 ? "unknown"
	    : v->ready   ? "true"
			 : "false");
	add_rule(out, width);
	add_row(out, &titles, width);
	add_rule(out, width);
	for (uint16_t i = 0; i < r->n_members; i++) {
		fill_row(&row, v, order[i], &counts[order[i]], longest);
		add_row(out, &row, width);
	}
	add_rule(out, width);
	buf_add_str(out, "Key: (C) = Claimant; availability marked with '!' is "
			 "unexpected\n");
}

void
render_all_json(struct buf *out, const struct admin_view *v)
{
	buf_add_byte(out, '{');
	render_members_fields(out, v);
	render_ring_fields(out, v);
	render_transfers_fields(out, v);
	buf_add_str(out, "}\n");
}
