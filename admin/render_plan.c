/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* render_plan - what is staged, and what a commit would lead to. */
#include "admin/render_impl.h"

static const char *const actions[] = {
    [RING_JOIN] = "join",
    [RING_LEAVE] = "leave",
    [RING_REMOVE] = "force-remove",
    [RING_REPLACE] = "replace",
    [RING_FORCE_REPLACE] = "force-replace",
};

static int
is_replacement(const struct ring_change *c)
{
	return c->kind == RING_REPLACE || c->kind == RING_FORCE_REPLACE;
}

static int
loses_replicas(const struct ring_change *c)
{
	return c->kind == RING_REMOVE || c->kind == RING_FORCE_REPLACE;
}

/* The row of a replacement stands for the join of its newcomer too. */
static int
is_hidden(const struct ring *r, const struct ring_change *c)
{
	if (c->kind != RING_JOIN)
		return 0;
	for (uint16_t i = 0; i < r->n_staged; i++)
		if (is_replacement(&r->staged[i]) &&
		    r->staged[i].with == c->member)
			return 1;
	return 0;
}

/* The staged changes to show, by the name of their node; how many. */
static uint16_t
staged_by_name(const struct ring *r, const struct ring_change **out)
{
	uint16_t n = 0;

	for (uint16_t i = 0; i < r->n_staged; i++) {
		const struct ring_change *c = &r->staged[i];
		const char *name = r->members[c->member].name;
		uint16_t at = n;

		if (is_hidden(r, c))
			continue;
		while (at > 0 &&
		       strcmp(r->members[out[at - 1]->member].name, name) > 0) {
			out[at] = out[at - 1];
			at--;
		}
		out[at] = c;
		n++;
	}
	return n;
}

/* --- text ----------------------------------------------------------------- */

static void
add_staged(struct buf *out, const struct ring *r)
{
	const struct ring_change *staged[RING_MEMBERS_MAX];
	uint16_t n = staged_by_name(r, staged);

	layout_heading(out, 31, "Staged Changes", 32);
	buf_add_str(out, "Action         Details(s)\n");
	layout_rule(out, '-');
	for (uint16_t i = 0; i < n; i++) {
		const struct ring_change *c = staged[i];

		buf_printf(out, "%-15s'%s'", actions[c->kind],
		    r->members[c->member].name);
		if (is_replacement(c))
			buf_printf(out, " with '%s'", r->members[c->with].name);
		buf_add_byte(out, '\n');
	}
	layout_rule(out, '-');
	buf_add_byte(out, '\n');
	for (uint16_t i = 0; i < n; i++)
		if (loses_replicas(staged[i]))
			buf_printf(out,
			    "WARNING: All of '%s' replicas will be lost\n",
			    r->members[staged[i]->member].name);
	buf_add_byte(out, '\n');
}

static void
add_tallies(struct buf *out, const char *title, const char *verb,
    const struct ring_tallies *t)
{
	if (t->n == 0)
		return;
	buf_printf(out, "%s from cluster changes: %u\n", title, t->slots);
	for (uint32_t i = 0; i < t->n; i++)
		buf_printf(out, "  %u %s from '%s' to '%s'\n", t->at[i].slots,
		    verb, t->at[i].from, t->at[i].to);
	buf_add_byte(out, '\n');
}

/* MOVED: slots that change owner at once; LATER: those that move. */
static void
add_transition(struct buf *out, const struct ring_plan *p, uint32_t i,
    const struct ring_tallies *moved, const struct ring_tallies *later)
{
	layout_rule(out, '#');
	layout_fill(out, ' ', 25);
	buf_printf(out, "After cluster transition %u/%u\n", i + 1, p->n);
	layout_rule(out, '#');
	buf_add_byte(out, '\n');
	render_members(out, p->at[i]);
	buf_add_byte(out, '\n');
	if (ring_claimants(p->at[i]) < p->at[i]->n_copies)
		buf_add_str(out,
		    "WARNING: Not all replicas will be on distinct nodes\n\n");
	add_tallies(out, "Partitions reassigned", "reassigned", moved);
	add_tallies(out, "Transfers resulting", "transfers", later);
}

typedef void (*add_transition_fn)(struct buf *out, const struct ring_plan *p,
    uint32_t i, const struct ring_tallies *moved,
    const struct ring_tallies *later);

static int
with_tallies(struct buf *out, const struct ring_plan *p, uint32_t i,
    add_transition_fn add)
{
	struct ring_tallies moved, later;
	int r = ring_reassigned(p, i, &moved);

	if (r)
		return r;
	r = ring_transfers(p->at[i], &later);
	if (r == 0) {
		add(out, p, i, &moved, &later);
		ring_tallies_deinit(&later);
	}
	ring_tallies_deinit(&moved);
	return r;
}

int
render_plan(
    struct buf *out, const struct ring *before, const struct ring_plan *p)
{
	int r = 0;

	add_staged(out, before);
	buf_printf(out,
	    "NOTE: Applying these changes will result in %u cluster "
	    "transition%s\n\n",
	    p->n, p->n == 1 ? "" : "s");
	for (uint32_t i = 0; r == 0 && i < p->n; i++)
		r = with_tallies(out, p, i, add_transition);
	return r;
}

/* --- JSON ----------------------------------------------------------------- */

static void
add_tallies_json(struct buf *out, const char *key, const struct ring_tallies *t)
{
	layout_json_key(out, key);
	buf_add_byte(out, '[');
	for (uint32_t i = 0; i < t->n; i++) {
		buf_add_str(out, i ? ",{" : "{");
		layout_json_string(out, "from", t->at[i].from);
		layout_json_string(out, "to", t->at[i].to);
		layout_json_key(out, "slots");
		buf_add_u64(out, t->at[i].slots);
		buf_add_byte(out, '}');
	}
	buf_add_byte(out, ']');
}

static void
add_transition_json(struct buf *out, const struct ring_plan *p, uint32_t i,
    const struct ring_tallies *moved, const struct ring_tallies *later)
{
	buf_add_byte(out, '{');
	layout_json_key(out, "members");
	render_member_array(out, p->at[i], NULL);
	add_tallies_json(out, "transfers", later);
	add_tallies_json(out, "reassigned", moved);
	buf_add_byte(out, '}');
}

static void
add_staged_json(struct buf *out, const struct ring *r)
{
	const struct ring_change *staged[RING_MEMBERS_MAX];
	uint16_t n = staged_by_name(r, staged);

	layout_json_key(out, "changes");
	buf_add_byte(out, '[');
	for (uint16_t i = 0; i < n; i++) {
		const struct ring_change *c = staged[i];

		buf_add_str(out, i ? ",{" : "{");
		layout_json_string(out, "action", actions[c->kind]);
		layout_json_string(out, "node", r->members[c->member].name);
		if (is_replacement(c))
			layout_json_string(
			    out, "with", r->members[c->with].name);
		buf_add_byte(out, '}');
	}
	buf_add_byte(out, ']');
}

int
render_plan_json(
    struct buf *out, const struct ring *before, const struct ring_plan *p)
{
	char id[RING_PLAN_TEXT_BYTES];
	int r = 0;

	ring_plan_text(p->id, id);
	buf_add_byte(out, '{');
	layout_json_string(out, "plan_id", id);
	add_staged_json(out, before);
	layout_json_key(out, "transitions");
	buf_add_byte(out, '[');
	for (uint32_t i = 0; r == 0 && i < p->n; i++) {
		if (i)
			buf_add_byte(out, ',');
		r = with_tallies(out, p, i, add_transition_json);
	}
	buf_add_str(out, "]}\n");
	return r;
}
