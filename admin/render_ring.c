/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* render_ring - ring-status and ringready. */
#include "admin/render_impl.h"

/* --- Claimant ------------------------------------------------------------- */

static void
show_claimant(struct buf *out, const struct admin_view *v)
{
	int known = v->claimant != RING_NOBODY;
	int up = known && render_up(v, v->claimant);

	layout_heading(out, 34, "Claimant", 35);
	if (known)
		buf_printf(out, "Claimant:  '%s'\n",
		    v->ring->members[v->claimant].name);
	else
		buf_add_str(out, "Claimant:  unknown\n");
	buf_printf(out, "Status:     %s\n", up ? "up" : "down");
	buf_printf(out, "Ring Ready: %s\n\n",
	    v->ready < 0 || !up ? "unknown"
	    : v->ready          ? "true"
				: "false");
}

/* --- Ownership Handoff ---------------------------------------------------- */

/* Marked by an operator counts too. */
static int
is_down(const struct admin_view *v, uint16_t member)
{
	return !render_up(v, member) ||
	       v->ring->members[member].state == RING_DOWN;
}

static void
show_down(struct buf *out, const struct admin_view *v, uint16_t member)
{
	if (is_down(v, member))
		buf_printf(
		    out, "!!! %s is DOWN !!!\n", v->ring->members[member].name);
}

static void
show_slots(
    struct buf *out, const struct admin_view *v, uint16_t from, uint16_t to)
{
	const struct ring *r = v->ring;
	int down = is_down(v, from) || is_down(v, to);
	char index[LAYOUT_INDEX_BYTES];

	for (uint32_t g = 0; g < r->q; g++) {
		if (r->owners[g] != from || r->next_owners[g] != to)
			continue;
		layout_index(g, r->q, index);
		buf_printf(out, "%sIndex: %s\n", down ? "" : "\n", index);
		if (down)
			continue;
		if (v->complete && v->complete[g])
			buf_add_str(out,
			    "  All transfers complete. Waiting for claimant "
			    "to change ownership.\n");
		else
			buf_add_str(out, "  Waiting on: [iorio_vnode]\n");
	}
}

static int
moves_between(const struct ring *r, uint16_t from, uint16_t to)
{
	if (from == to)
		return 0;
	for (uint32_t g = 0; g < r->q; g++)
		if (r->owners[g] == from && r->next_owners[g] == to)
			return 1;
	return 0;
}

static void
show_pair(
    struct buf *out, const struct admin_view *v, uint16_t from, uint16_t to)
{
	const struct ring_member *m = v->ring->members;

	buf_printf(
	    out, "Owner:      %s\nNext Owner: %s\n", m[from].name, m[to].name);
	if (is_down(v, from) || is_down(v, to)) {
		buf_add_byte(out, '\n');
		show_down(out, v, from);
		show_down(out, v, to);
		buf_add_byte(out, '\n');
	}
	show_slots(out, v, from, to);
	buf_add_byte(out, '\n');
	layout_rule(out, '-');
}

static void
show_handoff(struct buf *out, const struct admin_view *v)
{
	const struct ring *r = v->ring;
	uint16_t order[RING_MEMBERS_MAX];

	layout_heading(out, 30, "Ownership Handoff", 30);
	if (ring_pending(r) == 0) {
		buf_add_str(out, "No pending changes.\n\n");
		return;
	}
	layout_by_name(r, order);
	for (uint16_t i = 0; i < r->n_members; i++)
		for (uint16_t k = 0; k < r->n_members; k++)
			if (moves_between(r, order[i], order[k]))
				show_pair(out, v, order[i], order[k]);
	buf_add_byte(out, '\n');
}

/* --- Unreachable Nodes ---------------------------------------------------- */

/* Members that do not answer, without those that are marked down. */
static uint32_t
mark_unreachable(const struct admin_view *v, uint8_t *marked)
{
	uint32_t n = 0;

	for (uint16_t i = 0; i < v->ring->n_members; i++) {
		marked[i] =
		    !render_up(v, i) && v->ring->members[i].state != RING_DOWN;
		n += marked[i];
	}
	return n;
}

static void
show_unreachable(struct buf *out, const struct admin_view *v)
{
	uint8_t marked[RING_MEMBERS_MAX];

	layout_heading(out, 30, "Unreachable Nodes", 30);
	if (mark_unreachable(v, marked) == 0) {
		buf_add_str(out, "All nodes are up and reachable\n\n");
		return;
	}
	buf_add_str(out, "The following nodes are unreachable: ");
	layout_members(out, v->ring, marked, 1);
	buf_add_str(out,
	    "\n\n"
	    "WARNING: The cluster state will not converge until all nodes\n"
	    "are up. Once the above nodes come back online, convergence\n"
	    "will continue. If the outages are long-term or permanent, you\n"
	    "can either mark the nodes as down (iorio-admin down NODE) or\n"
	    "forcibly remove the nodes from the cluster (iorio-admin\n"
	    "cluster force-remove NODE) to allow the others to settle.\n\n");
}

void
render_ring(struct buf *out, const struct admin_view *v)
{
	show_claimant(out, v);
	show_handoff(out, v);
	show_unreachable(out, v);
}

/* --- JSON ----------------------------------------------------------------- */

static void
add_owners(struct buf *out, const struct ring *r, const uint16_t *owners)
{
	buf_add_byte(out, '[');
	for (uint32_t g = 0; g < r->q; g++) {
		if (g)
			buf_add_byte(out, ',');
		buf_add_json_string(out, SLICE_STR(r->members[owners[g]].name));
	}
	buf_add_byte(out, ']');
}

static void
add_unreachable(struct buf *out, const struct admin_view *v)
{
	uint16_t order[RING_MEMBERS_MAX];
	uint8_t marked[RING_MEMBERS_MAX];
	int first = 1;

	mark_unreachable(v, marked);
	layout_by_name(v->ring, order);
	buf_add_byte(out, '[');
	for (uint16_t i = 0; i < v->ring->n_members; i++) {
		if (!marked[order[i]])
			continue;
		if (!first)
			buf_add_byte(out, ',');
		buf_add_json_string(
		    out, SLICE_STR(v->ring->members[order[i]].name));
		first = 0;
	}
	buf_add_byte(out, ']');
}

void
render_ring_fields(struct buf *out, const struct admin_view *v)
{
	const struct ring *r = v->ring;

	layout_json_key(out, "cluster_id");
	render_json_hex(out, r->cluster_id, RING_ID_BYTES);
	layout_json_key(out, "epoch");
	buf_add_u64(out, r->epoch);
	layout_json_key(out, "ring_size");
	buf_add_u64(out, r->q);
	layout_json_key(out, "n");
	buf_add_u64(out, r->n_copies);
	layout_json_key(out, "claimant");
	if (v->claimant == RING_NOBODY)
		buf_add_str(out, "null");
	else
		buf_add_json_string(
		    out, SLICE_STR(r->members[v->claimant].name));
	layout_json_key(out, "ready");
	buf_add_str(out, v->ready > 0 ? "true" : "false");
	layout_json_key(out, "owners");
	add_owners(out, r, r->owners);
	layout_json_key(out, "next_owners");
	if (ring_pending(r))
		add_owners(out, r, r->next_owners);
	else
		buf_add_str(out, "null");
	layout_json_key(out, "unreachable");
	add_unreachable(out, v);
}

void
render_ring_json(struct buf *out, const struct admin_view *v)
{
	buf_add_byte(out, '{');
	render_ring_fields(out, v);
	buf_add_str(out, "}\n");
}

/* --- ringready ------------------------------------------------------------ */

int
render_ringready(struct buf *out, const struct admin_view *v)
{
	const struct ring *r = v->ring;
	uint16_t order[RING_MEMBERS_MAX], first, other = RING_NOBODY;
	uint8_t up[RING_MEMBERS_MAX];
	uint32_t n_up = 0;

	layout_by_name(r, order);
	first = order[0];
	for (uint16_t i = 0; i < r->n_members; i++) {
		up[i] = render_up(v, i) != 0;
		n_up += up[i];
	}
	if (n_up < r->n_members) {
		buf_add_str(out, "FALSE ");
		layout_members(out, r, up, 0);
		buf_add_str(out, " down.  All nodes need to be up to check.\n");
		return 0;
	}
	for (uint16_t i = r->n_members; v->agrees && i-- > 0;) {
		if (v->agrees[order[i]])
			first = order[i];
		else
			other = order[i];
	}
	if (other != RING_NOBODY) {
		buf_printf(out,
		    "FALSE Node '%s' and '%s' list different partition "
		    "owners\n",
		    r->members[first].name, r->members[other].name);
		return 0;
	}
	buf_add_str(out, "TRUE All nodes agree on the ring ");
	layout_members(out, r, up, 1);
	buf_add_byte(out, '\n');
	return 1;
}
