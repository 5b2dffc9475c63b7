/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* render_members - who is in the cluster and how much each owns. */
#include "admin/render_impl.h"

static const char *const state_names[] = {
    [RING_JOINING] = "joining",
    [RING_VALID] = "valid",
    [RING_LEAVING] = "leaving",
    [RING_EXITING] = "exiting",
    [RING_DOWN] = "down",
};

/* The order of the footer and of the JSON counts. */
static const enum ring_state footer[] = {
    RING_VALID, RING_LEAVING, RING_EXITING, RING_JOINING, RING_DOWN};

const char *
render_state(enum ring_state s)
{
	return state_names[s];
}

void
render_order(const struct ring *r, uint16_t *order)
{
	static const enum ring_state by_word[] = {
	    RING_DOWN, RING_EXITING, RING_JOINING, RING_LEAVING, RING_VALID};
	uint16_t names[RING_MEMBERS_MAX], n = 0;

	layout_by_name(r, names);
	for (size_t s = 0; s < sizeof(by_word) / sizeof(*by_word); s++)
		for (uint16_t i = 0; i < r->n_members; i++)
			if (r->members[names[i]].state == by_word[s])
				order[n++] = names[i];
}

static uint32_t
count_state(const struct ring *r, enum ring_state s)
{
	uint32_t n = 0;

	for (uint16_t i = 0; i < r->n_members; i++)
		n += r->members[i].state == s;
	return n;
}

void
render_members(struct buf *out, const struct ring *r)
{
	struct ring_count counts[RING_MEMBERS_MAX];
	uint16_t order[RING_MEMBERS_MAX];
	char ring[LAYOUT_PERCENT_BYTES], next[LAYOUT_PERCENT_BYTES];
	int pending = ring_pending(r) != 0;

	ring_counts(r, counts);
	render_order(r, order);
	layout_heading(out, 33, "Membership", 34);
	buf_add_str(out, "Status     Ring    Pending    Node\n");
	layout_rule(out, '-');
	for (uint16_t i = 0; i < r->n_members; i++) {
		const struct ring_member *m = &r->members[order[i]];
		const struct ring_count *c = &counts[order[i]];

		layout_percent(c->owned, r->q, 5, ring);
		layout_percent(c->next, r->q, 5, next);
		buf_printf(out, "%-8s  %s%%    %s%s    '%s'\n",
		    state_names[m->state], ring, pending ? next : "  --  ",
		    pending ? "%" : "", m->name);
	}
	layout_rule(out, '-');
	buf_printf(out,
	    "Valid:%u / Leaving:%u / Exiting:%u / Joining:%u / Down:%u\n",
	    count_state(r, RING_VALID), count_state(r, RING_LEAVING),
	    count_state(r, RING_EXITING), count_state(r, RING_JOINING),
	    count_state(r, RING_DOWN));
}

void
render_member_array(
    struct buf *out, const struct ring *r, const struct admin_view *v)
{
	struct ring_count counts[RING_MEMBERS_MAX];
	uint16_t order[RING_MEMBERS_MAX];
	int pending = ring_pending(r) != 0;

	ring_counts(r, counts);
	render_order(r, order);
	buf_add_byte(out, '[');
	for (uint16_t i = 0; i < r->n_members; i++) {
		uint16_t at = order[i];
		const struct ring_member *m = &r->members[at];

		buf_add_str(out, i ? ",{" : "{");
		layout_json_string(out, "name", m->name);
		layout_json_key(out, "id");
		render_json_hex(out, m->id, RING_ID_BYTES);
		layout_json_string(out, "status", state_names[m->state]);
		if (v) {
			layout_json_key(out, "up");
			buf_add_str(out, render_up(v, at) ? "true" : "false");
		}
		layout_json_key(out, "ring");
		layout_json_tenths(out, layout_tenths(counts[at].owned, r->q));
		layout_json_key(out, "pending");
		if (pending)
			layout_json_tenths(
			    out, layout_tenths(counts[at].next, r->q));
		else
			buf_add_str(out, "null");
		if (v) {
			layout_json_key(out, "claimant");
			buf_add_str(out, v->claimant == at ? "true" : "false");
		}
		buf_add_byte(out, '}');
	}
	buf_add_byte(out, ']');
}

void
render_members_fields(struct buf *out, const struct admin_view *v)
{
	layout_json_key(out, "members");
	render_member_array(out, v->ring, v);
	layout_json_key(out, "counts");
	buf_add_byte(out, '{');
	for (size_t i = 0; i < sizeof(footer) / sizeof(*footer); i++) {
		layout_json_key(out, state_names[footer[i]]);
		buf_add_u64(out, count_state(v->ring, footer[i]));
	}
	buf_add_byte(out, '}');
}

void
render_members_json(struct buf *out, const struct admin_view *v)
{
	buf_add_byte(out, '{');
	render_members_fields(out, v);
	buf_add_str(out, "}\n");
}

int
render_up(const struct admin_view *v, uint16_t member)
{
	return !v->up || v->up[member];
}

void
render_json_hex(struct buf *out, const uint8_t *p, size_t n)
{
	buf_add_byte(out, '"');
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%02x", p[i]);
	buf_add_byte(out, '"');
}
