/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * texts - what is said of a change, word for word.
 *
 * In a text %N is the node, %W the one it is replaced with and %S this node,
 * each in single quotes; %n is the node without quotes; %c a count, %l a limit;
 * %C who would get %R, and has room for %r.
 */
#include "admin/texts.h"

#include "admin/layout.h"
#include "src/base/assert.h"

/* Any result that an operation has no row for. */
#define ANY ADMIN_FAILED

#define ALREADY     "%N is already in the process of leaving the cluster.\n"
#define NOT_MEMBER  "Failed: %N is not a member of the cluster.\n"
#define ONLY_MEMBER "Failed: %N is the only member.\n"
#define INVALID                                                                \
	"Failed: %W is not a valid replacement candidate.\n"                   \
	"Only newly joining nodes can be used for replacement.\n"
#define TAKEN "Failed: %W is already staged to replace another node.\n"
#define CHECK "Check 'Ring Ready' in 'iorio-admin ring_status'\n"

struct text {
	enum admin_op op;
	enum admin_result result;
	int code;
	const char *text;
};

static const struct text texts[] = {
    {ADMIN_JOIN, ADMIN_OK, 0, "Success: staged join request for %S to %N\n"},
    {ADMIN_JOIN, ADMIN_NOT_REACHABLE, 1, "Node %n is not reachable!\n"},
    {ADMIN_JOIN, ADMIN_DIFFERENT_RING_SIZES, 1,
	"Failed: %n has a different ring_creation_size\n"},
    {ADMIN_JOIN, ADMIN_NO_RING, 1, "Failed: Unable to get ring from %n\n"},
    {ADMIN_JOIN, ADMIN_NOT_SINGLE_NODE, 1,
	"Failed: This node is already a member of a cluster\n"},
    {ADMIN_JOIN, ADMIN_HOLDS_STREAMS, 1,
	"Failed: this node holds %c streams; join an empty node or export "
	"them first\n"},
    {ADMIN_JOIN, ADMIN_SELF_JOIN, 1,
	"Failed: This node cannot join itself in a cluster\n"},
    {ADMIN_JOIN, ADMIN_FAILED, 1, "Join failed, see log for details\n"},

    {ADMIN_LEAVE, ADMIN_OK, 0, "Success: staged leave request for %N\n"},
    {ADMIN_LEAVE, ADMIN_ALREADY_LEAVING, 0, ALREADY},
    {ADMIN_LEAVE, ADMIN_NOT_MEMBER, 1, NOT_MEMBER},
    {ADMIN_LEAVE, ADMIN_ONLY_MEMBER, 1, ONLY_MEMBER},
    {ADMIN_LEAVE, ANY, 1, "Leave failed, see log for details\n"},

    {ADMIN_FORCE_REMOVE, ADMIN_OK, 0,
	"Success: staged remove request for %N\n"},
    {ADMIN_FORCE_REMOVE, ADMIN_NOT_MEMBER, 1, NOT_MEMBER},
    {ADMIN_FORCE_REMOVE, ADMIN_ONLY_MEMBER, 1, ONLY_MEMBER},
    {ADMIN_FORCE_REMOVE, ADMIN_RING_NOT_READY, 1,
	"Cannot remove until cluster state has converged.\n" CHECK},
    {ADMIN_FORCE_REMOVE, ANY, 1, "Remove failed, see log for details\n"},

    {ADMIN_REPLACE, ADMIN_OK, 0, "Success: staged replacement of %N with %W\n"},
    {ADMIN_REPLACE, ADMIN_ALREADY_LEAVING, 0, ALREADY},
    {ADMIN_REPLACE, ADMIN_NOT_MEMBER, 1, NOT_MEMBER},
    {ADMIN_REPLACE, ADMIN_INVALID_REPLACEMENT, 1, INVALID},
    {ADMIN_REPLACE, ADMIN_ALREADY_REPLACEMENT, 1, TAKEN},
    {ADMIN_REPLACE, ANY, 1, "Node replacement failed, see log for details\n"},

    {ADMIN_FORCE_REPLACE, ADMIN_OK, 0,
	"Success: staged forced replacement of %N with %W\n"},
    {ADMIN_FORCE_REPLACE, ADMIN_ALREADY_LEAVING, 0, ALREADY},
    {ADMIN_FORCE_REPLACE, ADMIN_NOT_MEMBER, 1, NOT_MEMBER},
    {ADMIN_FORCE_REPLACE, ADMIN_INVALID_REPLACEMENT, 1, INVALID},
    {ADMIN_FORCE_REPLACE, ADMIN_ALREADY_REPLACEMENT, 1, TAKEN},
    {ADMIN_FORCE_REPLACE, ANY, 1,
	"Forced node replacement failed, see log for details\n"},

    {ADMIN_PLAN, ADMIN_NOTHING_STAGED, 2, "There are no staged changes\n"},
    {ADMIN_PLAN, ADMIN_FAILED, 1, "Plan failed, see log for details\n"},
    {ADMIN_PLAN, ADMIN_RING_NOT_READY, 1,
	"Cannot plan until cluster state has converged.\n" CHECK},
    {ADMIN_PLAN, ADMIN_NO_ROOM, 1,
	"Cannot plan: %C would get about %R and has room for %r.\n"},

    {ADMIN_COMMIT, ADMIN_NO_ROOM, 1,
	"Cannot commit: %C would get about %R and has room for %r.\n"},
    {ADMIN_COMMIT, ADMIN_OK, 0, "Cluster changes committed\n"},
    {ADMIN_COMMIT, ADMIN_NOTHING_STAGED, 2, "There are no staged changes\n"},
    {ADMIN_COMMIT, ADMIN_NOTHING_PLANNED, 1,
	"You must verify the plan with 'iorio-admin cluster plan' before "
	"committing\n"},
    {ADMIN_COMMIT, ADMIN_PLAN_CHANGED, 1,
	"The plan has changed. Verify with 'iorio-admin cluster plan' before "
	"committing\n"},
    {ADMIN_COMMIT, ADMIN_RING_NOT_READY, 1,
	"Cannot commit until cluster state has converged.\n" CHECK},
    {ADMIN_COMMIT, ANY, 1,
	"Unable to commit cluster changes. Plan may have changed, please "
	"verify the\nplan and try to commit again\n"},

    {ADMIN_CLEAR, ADMIN_OK, 0, "Cleared staged cluster changes\n"},
    {ADMIN_CLEAR, ANY, 1,
	"Failed to clear staged cluster changes, see log for details\n"},

    {ADMIN_DOWN, ADMIN_OK, 0, "Success: \"%n\" marked as down\n"},
    {ADMIN_DOWN, ADMIN_IS_UP, 1, "Failed: %n is up\n"},
    {ADMIN_DOWN, ADMIN_NOT_MEMBER, 1,
	"Failed: \"%n\" is not a member of the cluster.\n"},
    {ADMIN_DOWN, ADMIN_ONLY_MEMBER, 1, "Failed: \"%n\" is the only member.\n"},
    {ADMIN_DOWN, ANY, 1, "Down failed, see log for details\n"},

    {ADMIN_LIMIT, ADMIN_OK, 0, "Set transfer limit for %N to %l\n"},
    {ADMIN_LIMIT, ANY, 1, "Failed to set transfer limit for %N\n"},
};

/* Of a join and a plan the rest means: not yet. */
static const struct text join_rest = {ADMIN_JOIN, ADMIN_TRY_AGAIN, 1,
    "Join failed. Try again in a few moments.\n"};

static const struct text *
find(enum admin_op op, enum admin_result result)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (texts[i].op == op && texts[i].result == result)
			return &texts[i];
	if (op == ADMIN_JOIN)
		return &join_rest;
	if (op == ADMIN_PLAN)
		return find(op, ADMIN_RING_NOT_READY);
	ASSERT(result != ANY);
	return find(op, ANY);
}

static void
fill_in(
    const struct admin_change *c, const char *self, char what, struct buf *out)
{
	switch (what) {
	case 'N':
		buf_printf(out, "'%s'", c->node);
		break;
	case 'W':
		buf_printf(out, "'%s'", c->with);
		break;
	case 'S':
		buf_printf(out, "'%s'", self);
		break;
	case 'n':
		buf_add_str(out, c->node);
		break;
	case 'c':
		buf_add_u64(out, c->n_streams);
		break;
	case 'C':
		buf_printf(out, "'%s'", c->cramped);
		break;
	case 'R':
		layout_bytes(out, c->needed);
		break;
	case 'r':
		layout_bytes(out, c->room);
		break;
	case 'l':
		buf_add_u64(out, c->limit);
		break;
	default:
		ASSERT_UNREACHED();
	}
}

/* A limit for all members. */
static int
limit_for_all(const struct admin_change *c, struct buf *out)
{
	if (c->result == ADMIN_OK) {
		buf_printf(out,
		    "Setting transfer limit to %u across the cluster\n",
		    c->limit);
		return 0;
	}
	if (c->members && c->failed) {
		buf_add_str(out, "Failed to set limit for: ");
		layout_members(out, c->members, c->failed, 1);
		buf_add_byte(out, '\n');
	} else {
		buf_add_str(out, "Failed to set limit, see log for details\n");
	}
	return 1;
}

int
texts_change(const struct admin_change *c, const char *self, struct buf *out)
{
	const struct text *t;

	ASSERT(c->op != ADMIN_PLAN || c->result != ADMIN_OK);
	if (c->result == ADMIN_REMOVED) {
		buf_add_str(out, TEXT_REMOVED);
		return 1;
	}
	if (c->op == ADMIN_LIMIT && !c->node[0])
		return limit_for_all(c, out);
	t = find(c->op, c->result);
	for (const char *p = t->text; *p; p++)
		if (*p == '%')
			fill_in(c, self, *++p, out);
		else
			buf_add_byte(out, (uint8_t)*p);
	if (c->op == ADMIN_JOIN && c->result == ADMIN_OK && c->known_other_id)
		buf_printf(out,
		    "Note: '%s' is known under another id; staged as "
		    "force-replace '%s' with '%s'\n",
		    self, self, self);
	return t->code;
}
