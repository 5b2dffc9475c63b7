#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a real cluster says to each change that an operator asks for, word for
word, with its exit code.  What join is refused for is in test_join.py.

usage: test_refusals.py IORIOD [TEST...]"""
import functools
import json
import sys

import tap
from cluster import Cluster, admin, eventually
from test_handoff import log_of

IORIOD = sys.argv[1]
CHECK = "Check 'Ring Ready' in 'iorio-admin ring_status'\n"
CHANGED = ("The plan has changed. Verify with 'iorio-admin cluster plan' before "
           "committing\n")


def n(k):
    return f"iorio{k}@127.0.0.1"


def leaving(k):
    return 0, f"'{n(k)}' is already in the process of leaving the cluster.\n"


def no_member(k):
    return 1, f"Failed: '{n(k)}' is not a member of the cluster.\n"


def no_candidate(k):
    return 1, (f"Failed: '{n(k)}' is not a valid replacement candidate.\n"
               "Only newly joining nodes can be used for replacement.\n")


def join(c, to=1):
    node = c.add()
    node.start()
    k = len(c.nodes)
    assert admin(node, "cluster", "join", n(to)) == (
        0, f"Success: staged join request for '{n(k)}' to '{n(to)}'\n")
    return node


def test_changes_are_staged_or_refused_with_their_words():
    with Cluster(IORIOD, 3) as c:
        c.form()
        ask = functools.partial(c.admin, 1)
        join(c)
        join(c)
        assert ask("cluster", "leave", n(9)) == no_member(9)
        assert ask("cluster", "force-remove", n(9)) == no_member(9)
        assert ask("cluster", "replace", n(9), n(4)) == no_member(9)
        assert ask("cluster", "force-replace", n(9), n(4)) == no_member(9)
        for word in "replace", "force-replace":
            assert ask("cluster", word, n(3), n(2)) == no_candidate(2)
            assert ask("cluster", word, n(3), n(9)) == no_candidate(9)
        assert ask("cluster", "replace", n(3), n(4)) == (
            0, f"Success: staged replacement of '{n(3)}' with '{n(4)}'\n")
        for word in "replace", "force-replace":
            assert ask("cluster", word, n(2), n(4)) == (
                1, f"Failed: '{n(4)}' is already staged to replace another "
                "node.\n")
        assert ask("cluster", "force-replace", n(2), n(5)) == (
            0, f"Success: staged forced replacement of '{n(2)}' with "
            f"'{n(5)}'\n")
        code, text = ask("cluster", "plan")
        rows, rest = text.split("-" * 79 + "\n")[1:3]
        assert code == 0 and rows == (
            f"force-replace  '{n(2)}' with '{n(5)}'\n"
            f"replace        '{n(3)}' with '{n(4)}'\n"), text
        assert rest.startswith(
            f"\nWARNING: All of '{n(2)}' replicas will be lost\n\n"
            "NOTE: Applying these changes will result in 2 cluster "
            "transitions\n\n"), text
        o = c.json(1, "cluster", "plan")
        assert o["changes"] == [
            {"action": "force-replace", "node": n(2), "with": n(5)},
            {"action": "replace", "node": n(3), "with": n(4)}], o
        for node in c.nodes[:3]:
            eventually(lambda: f"2 changes staged, plan {o['plan_id']}" in
                       log_of(node))
        # Somebody else stages something before the commit.
        assert c.admin(2, "cluster", "leave", n(2)) == (
            0, f"Success: staged leave request for '{n(2)}'\n")
        assert ask("cluster", "commit") == (1, CHANGED)
        assert c.json(1, "cluster", "plan")["plan_id"] != o["plan_id"]
        assert ask("cluster", "commit", "--plan", o["plan_id"]) == (1, CHANGED)
        assert json.loads(ask("cluster", "commit", "--plan", o["plan_id"],
                              "--format=json")[1]) == {
            "ok": False, "message": CHANGED[:-1]}
        assert c.admin(3, "cluster", "clear") == (
            0, "Cleared staged cluster changes\n")
        assert ask("cluster", "commit") == (
            1, "You must verify the plan with 'iorio-admin cluster plan' "
            "before committing\n")
        assert ask("cluster", "plan") == (2, "There are no staged changes\n")
        # One's own leave; a second one is staged once more.
        for _ in range(2):
            assert c.admin(3, "cluster", "leave") == (
                0, f"Success: staged leave request for '{n(3)}'\n")
        join(c)
        assert ask("transfer-limit", "0")[0] == 0
        eventually(lambda: ask("cluster", "plan")[0] == 0)
        assert ask("cluster", "commit", "--format=json") == (
            0, '{"ok":true,"message":"Cluster changes committed"}\n')
        assert ask("cluster", "leave", n(3)) == leaving(3)
        assert ask("cluster", "replace", n(3), n(6)) == leaving(3)
        assert ask("cluster", "force-remove", n(3)) == (
            0, f"Success: staged remove request for '{n(3)}'\n")


def away(c):
    """Who is away is named, and may be marked down."""
    ask = functools.partial(c.admin, 1)
    assert ask("down", n(2)) == (1, f"Failed: {n(2)} is up\n")
    assert ask("down", n(9)) == (
        1, f'Failed: "{n(9)}" is not a member of the cluster.\n')
    c.nodes[1].stop()
    eventually(lambda: ask("ringready") == (
        1, f"FALSE ['{n(2)}'] down.  All nodes need to be up to check.\n"))
    assert ask("transfers") == (
        0, f"Nodes ['{n(2)}'] are currently down.\nNo transfers active\n"
        f"Node '{n(2)}' could not be contacted\n")
    assert f"\n(offline)    '{n(2)}'\n" in ask("transfer-limit")[1]
    text = ask("ring-status")[1]
    assert f"\nThe following nodes are unreachable: ['{n(2)}']\n\n" in text
    assert f"     {n(2)}   |valid | down! | 32.8|  --   |\n" in ask(
        "cluster", "status")[1], ask("cluster", "status")[1]
    assert ask("down", n(2)) == (
        0, f'Success: "{n(2)}" marked as down\n')
    text = ask("member-status")[1].splitlines()
    assert text[3] == f"down       32.8%      --      '{n(2)}'", text
    assert text[-1] == ("Valid:2 / Leaving:0 / Exiting:0 / Joining:0 / "
                        "Down:1")
    assert "unreachable:" not in ask("ring-status")[1]
    assert ask("cluster", "leave", n(2)) == leaving(2)
    c.nodes[1].start()
    eventually(lambda: ask("ringready")[0] == 0)
    eventually(lambda: ask("member-status")[1].endswith("Down:0\n"))


def no_majority(c):
    """Of the root: all changes say so."""
    four = c.add()
    four.start()
    assert c.admin(1, "cluster", "leave", n(3))[0] == 0
    assert c.admin(1, "cluster", "plan")[0] == 0
    c.nodes[1].kill()
    c.nodes[2].kill()
    for words, said in [
            (("plan",), "Cannot plan until cluster state has converged.\n" +
             CHECK),
            (("commit",), "Cannot commit until cluster state has "
             "converged.\n" + CHECK),
            (("force-remove", n(3)), "Cannot remove until cluster state "
             "has converged.\n" + CHECK),
            (("leave", n(2)), "Leave failed, see log for details\n"),
            (("replace", n(2), n(4)),
             "Node replacement failed, see log for details\n"),
            (("force-replace", n(2), n(4)),
             "Forced node replacement failed, see log for details\n"),
            (("clear",), "Failed to clear staged cluster changes, see log "
             "for details\n")]:
        assert c.admin(1, "cluster", *words) == (1, said), words
        line = (f"cluster {' '.join(words)}: no majority of the voters of "
                "the root group answers")
        assert line in log_of(c.nodes[0]), (line, log_of(c.nodes[0]))
    assert c.admin(1, "down", n(2)) == (
        1, "Down failed, see log for details\n")
    assert admin(four, "cluster", "join", n(1)) == (
        1, "Join failed. Try again in a few moments.\n")
    assert "\nRing Ready: unknown\n" in c.admin(1, "ring-status")[1]


def claimant_goes(c):
    """By force, and hands over first."""
    claimant = c.json(1, "ring-status")["claimant"]
    gone = next(i for i, node in enumerate(c.nodes, 1)
                if node.name == claimant)
    k = gone % 3 + 1  # another
    assert c.admin(gone, "cluster", "force-remove", claimant) == (
        0, f"Success: staged remove request for '{claimant}'\n")
    eventually(lambda: c.admin(gone, "cluster", "plan")[0] == 0)
    assert c.admin(k, "cluster", "commit")[0] == 0
    c.settle(k)
    assert c.json(k, "ring-status")["claimant"] in {
        node.name for node in c.nodes} - {claimant}
    assert len(c.json(k, "member-status")["members"]) == 2
    eventually(lambda: "removed from its cluster" in
               c.admin(gone, "member-status")[1])


def test_changes_are_refused_or_made_while_nodes_are_away():
    with Cluster(IORIOD, 3, {"request.timeout": "1s"}) as c:
        c.form()
        away(c)
        no_majority(c)
        for node in c.nodes[1:3]:
            node.start()
        c.nodes.pop().stop()  # the fourth
        eventually(lambda: c.admin(1, "cluster", "clear")[0] == 0)
        c.settle()
        claimant_goes(c)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
