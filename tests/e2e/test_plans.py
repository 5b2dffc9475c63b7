#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plans of several changes, made and changed again while claimants die and
clients write.

usage: test_plans.py IORIOD [TEST...]"""
import json
import sys
import time

import tap
from cluster import Cluster, Load, admin, eventually
from history import History
from test_handoff import fingerprint, pour, put_away

IORIOD = sys.argv[1]


class Change:
    """Members 1 to 4 with something in them, under load; 5 and 6 have
    joined."""

    def __init__(self, c):
        self.c = c
        one = c.nodes[0]
        self.poured = [pour(one, f"b{i}/s", 400_000) for i in range(16)]
        self.prints = {s: fingerprint(one, s) for s in self.poured}
        put_away(one)  # files are sent at a rate
        c.form()
        self.live = [f"live/s{i}" for i in range(12)]
        self.history = History()
        for node in (c.add(), c.add()):
            node.start()
            code, text = admin(node, "cluster", "join", one.name)
            assert code == 0, text
        self.load = Load(self.history, c.nodes[:2], self.live, 1, 1, 0.02)

    def say(self, *words):
        """Asks the first of 1 and 2 that runs."""
        k = 1 if self.c.nodes[0].process.poll() is None else 2
        return self.c.admin(k, *words)

    def must(self, *words):
        code, text = self.say("cluster", *words)
        assert code == 0, (words, code, text)
        return text

    def eventually_says(self, *words):
        return eventually(
            lambda: (p := self.say("cluster", *words))[0] == 0 and p[1], 30)

    def kill_claimant(self):
        who = eventually(lambda: json.loads(self.say(
            "ring-status", "--format=json")[1])["claimant"])
        node = next(n for n in self.c.nodes if n.name == who)
        node.kill()
        return node

    def check(self, *stay):
        self.load.stop()
        print(f"# {self.history.counts()}", flush=True)
        for k in stay:
            self.history.check({s: self.c.events(k, s) for s in self.live})
            for s, want in self.prints.items():
                assert fingerprint(self.c.nodes[k - 1], s) == want, (k, s)


def name(k):
    return f"iorio{k}@127.0.0.1"


def staged(text):
    """The rows of a plan's first table."""
    return text.split("-" * 79 + "\n")[1]


def test_a_plan_of_all_kinds_outlives_claimants_and_is_changed_under_way():
    with Cluster(IORIOD, 4, {"handoff.rate": "8MB"}) as c:
        change = Change(c)
        change.must("replace", name(3), name(6))
        change.must("leave", name(4))
        rows = staged(change.eventually_says("plan"))
        assert rows == (f"replace        '{name(3)}' with '{name(6)}'\n"
                        f"leave          '{name(4)}'\n"
                        f"join           '{name(5)}'\n"), rows
        begun = time.monotonic()
        dead = change.kill_claimant()
        change.eventually_says("commit")  # what was planned before
        print(f"# committed {time.monotonic() - begun:.1f} s after the kill",
              flush=True)
        dead.start()
        # 5 goes again before it has got all that it should.
        change.eventually_says("leave", name(5))
        rows = staged(change.eventually_says("plan"))
        assert rows == f"leave          '{name(5)}'\n", rows
        pending = [m["pending"]
                   for m in c.json(2, "member-status")["members"]]
        assert any(p is not None for p in pending), pending
        change.must("commit")
        dead = change.kill_claimant()
        time.sleep(1)
        dead.start()
        for k in (3, 4, 5):
            assert c.nodes[k - 1].process.wait(60) == 0, k
        c.settle()
        rings = {m["name"]: m["ring"]
                 for m in c.json(1, "member-status")["members"]}
        assert sorted(rings) == [name(1), name(2), name(6)], rings
        assert sorted(rings.values()) == [32.8, 32.8, 34.4], rings
        print(f"# all moved {time.monotonic() - begun:.1f} s after the first"
              " kill", flush=True)
        change.check(1, 2, 6)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
