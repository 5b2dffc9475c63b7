/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* help - what iorio-admin says of itself. */
#ifndef ADMIN_HELP_H
#define ADMIN_HELP_H

#define HELP_USAGE                                                             \
	"Usage: iorio-admin {cluster|user|group|grant|down|ringready|"         \
	"member-status|ring-status|services|\n"                                \
	"       wait-for-service|transfers|transfer-limit|status|log-level|"   \
	"reload}\n"

#define HELP_CLUSTER                                                           \
	"Usage: iorio-admin cluster <command>\n"                               \
	"\n"                                                                   \
	"These stage a change of the cluster.  Nothing happens before the\n"   \
	"staged changes are planned and committed:\n"                          \
	"\n"                                                                   \
	"   join <node>                    This node joins the cluster of "    \
	"<node>\n"                                                             \
	"   leave [<node>]                 This node, or <node>, hands over "  \
	"what it\n"                                                            \
	"                                  holds, leaves and stops\n"          \
	"   replace <node1> <node2>        <node1> hands over to <node2>, "    \
	"which has\n"                                                          \
	"                                  joined, leaves and stops\n"         \
	"\n"                                                                   \
	"These stage a change without a handover, for nodes that will not\n"   \
	"come back:\n"                                                         \
	"\n"                                                                   \
	"   force-remove <node>            Remove <node>; the others fill "    \
	"its groups\n"                                                         \
	"                                  from their copies\n"                \
	"   force-replace <node1> <node2>  Give <node2>, which has joined, "   \
	"what\n"                                                               \
	"                                  <node1> held, and remove "          \
	"<node1>\n"                                                            \
	"\n"                                                                   \
	"These act on what is staged:\n"                                       \
	"\n"                                                                   \
	"   plan                           Show what commit would do\n"        \
	"   commit [--wait[=SECONDS]] [--plan ID]\n"                           \
	"                                  Do what was planned last, or "      \
	"just the\n"                                                           \
	"                                  plan ID; and wait for its "         \
	"transfers\n"                                                          \
	"   clear                          Forget what is staged\n"            \
	"\n"                                                                   \
	"   status                         Show the members and what they "    \
	"own\n"

#endif
