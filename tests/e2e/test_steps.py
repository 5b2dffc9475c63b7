#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""kill -9 at named steps of a handoff (src/base/steps.h), of the node that gets
to the step or of another: nothing is lost, doubled or renumbered, and what was
verified is not sent again.

usage: test_steps.py IORIOD [TEST...]; STEPS=all: every step and role"""
import json
import os
import re
import signal
import sys
import threading
import time

import tap
from cluster import Cluster, Load, admin, eventually
from history import History
from test_handoff import fingerprint, log_of, pour, put_away

IORIOD = sys.argv[1]
# Who gets to the step: the leader that sends, the receiver, who leaves, or the
# claimant.  What happens: a node joins, or one leaves.
JOIN = {
    "learner-added": "sender", "fill-offered": "sender",
    "fill-taken": "receiver", "manifest-sent": "sender",
    "manifest-taken": "receiver", "chunks-sent": "sender",
    "chunks-written": "receiver", "fill-synced": "receiver",
    "fill-named": "receiver", "fill-adopted": "receiver",
    "fill-ended": "sender", "promoted": "sender", "owners-made": "claimant",
    "ring-made": "claimant", "ring-written": "claimant",
}
LATER = {"removed": "sender", "handed-over": "sender", "retired": "leaver",
         "files-left": "leaver"}
SAMPLE = [("chunks-sent", "sender")]


def stopped(node):
    with open(f"/proc/{node.process.pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def restart(node, step=None):
    os.environ.pop("TEST_STOP_AT", None)
    if step:
        os.environ["TEST_STOP_AT"] = step
    node.start()
    os.environ.pop("TEST_STOP_AT", None)


def metric(node, name):
    _, _, data = node.request("GET", "/metrics")
    m = re.search(rf"^{name}_total (\d+)", data.decode(), re.M)
    return int(m.group(1)) if m else 0


class Steps:
    """Three members with something in them, under load; a fourth joins."""

    def __init__(self, c):
        self.c = c
        self.poured = [pour(c.nodes[0], f"b{i}/s", 6_000_000)
                       for i in range(3)]
        self.prints = {s: fingerprint(c.nodes[0], s) for s in self.poured}
        for node in c.nodes:
            put_away(node)
        self.live = [f"live/s{i}" for i in range(12)]
        self.history = History()

    def claimant(self):
        """As one says that does not stand still; while too many do there is
        none, and one of those is as good."""
        def ask():
            for k, node in enumerate(self.c.nodes, 1):
                if not stopped(node):
                    text = self.c.admin(k, "ring-status", "--format=json",
                                        timeout=3)[1]
                    return json.loads(text).get("claimant")
        try:
            name = eventually(ask, 15)
        except AssertionError:
            return next(n for n in self.c.nodes if stopped(n))
        return next(n for n in self.c.nodes if n.name == name)

    def arm(self, step, role, fourth):
        """The nodes that may get to STEP will stop there."""
        nodes = {"receiver": [fourth], "sender": self.c.nodes[:3],
                 "leaver": self.c.nodes[:3], "claimant": [self.claimant()]}
        for node in nodes[role]:
            node.stop()
            restart(node, step)
        # Who starts may be handed groups, and stop at that.
        eventually(lambda: any(map(stopped, nodes[role])) or
                   self.c.admin(1, "ringready", timeout=3)[0] == 0)
        return nodes[role]

    def run(self, step, victim):
        """Kills VICTIM (a role) when a node has come to STEP."""
        role = (JOIN | LATER)[step]
        fourth = self.c.add()
        restart(fourth, step if role == "receiver" else None)
        code, text = admin(fourth, "cluster", "join", self.c.nodes[0].name)
        assert code == 0, text
        if role != "receiver":  # or it would stop at the fill of the root
            eventually(lambda: "group 64: filled" in log_of(fourth))
        armed = [fourth] if role == "receiver" else self.arm(
            step, role, fourth)
        load = Load(self.history, self.c.nodes[:3], self.live, 1, 1, 0.02)
        begun = time.monotonic()
        claimant = self.claimant() if victim == "claimant" else None
        for word in "plan", "commit":  # who is asked may stop meanwhile
            eventually(lambda: any(map(stopped, armed)) or self.c.admin(
                2, "cluster", word, timeout=3)[0] == 0)
        at = eventually(lambda: [n for n in armed if stopped(n)], 60, 0.02)[0]
        dies = {"receiver": fourth, "claimant": claimant}.get(victim, at)
        dies.kill()
        for node in armed:
            if node is not dies and stopped(node):
                node.process.send_signal(signal.SIGCONT)
        restart(dies)
        checked = threading.Event()
        threading.Thread(target=self.others_go_on, args=(checked,),
                         daemon=True).start()
        self.go_on()
        load.stop()
        print(f"# {step}, {victim} dies: {time.monotonic() - begun:.1f} s",
              flush=True)
        self.check()
        checked.set()
        return fourth

    def others_go_on(self, checked):
        """Those that come to the step as well do not stand still for long."""
        while not checked.wait(0.2):
            for node in self.c.nodes:
                try:
                    if node.process.poll() is None and stopped(node):
                        node.process.send_signal(signal.SIGCONT)
                except OSError:
                    pass  # it has just ended

    def go_on(self):
        """The change is done, whatever was lost of the asking."""
        def all_done():
            members = self.c.json(2, "member-status")["members"]
            if any(m["status"] == "joining" for m in members):
                self.c.admin(2, "cluster", "plan")
                self.c.admin(2, "cluster", "commit")
                return False
            return len(members) == len(self.c.nodes)
        eventually(all_done, 90, 0.3)
        self.c.settle(2, 120)

    def check(self):
        for i, (stream, want) in enumerate(self.prints.items()):
            assert fingerprint(self.c.nodes[i % 4], stream) == want, stream
        for k in (1, 4):
            self.history.check({s: self.c.events(k, s) for s in self.live})


def try_one(step, victim):
    with Cluster(IORIOD, 3, {"handoff.rate": "20MB"}) as c:
        c.form()
        Steps(c).run(step, victim)


def test_a_node_dies_at_a_step():
    if os.environ.get("STEPS") == "all":
        pairs = [(s, v) for s, r in (JOIN | LATER).items()
                 for v in dict.fromkeys((r, "receiver", "claimant"))]
    else:
        pairs = SAMPLE
    for step, victim in pairs:
        try_one(step, victim)


def test_what_was_verified_does_not_come_again():
    """The receiver dies after some batches; then the sender.  The operator sees
    how far it is, and that it is no faster than it may be."""
    with Cluster(IORIOD, 1, {"handoff.rate": "8MB"}) as c:
        first = c.nodes[0]
        pour(first, "b/long", 20_000_000)
        put_away(first)
        want = fingerprint(first, "b/long")
        second = c.add()
        restart(second, "chunks-written:3")
        assert admin(second, "cluster", "join", first.name)[0] == 0
        eventually(lambda: c.admin(1, "cluster", "plan")[0] == 0)
        assert c.admin(1, "cluster", "commit")[0] == 0
        eventually(lambda: stopped(second), 40, 0.02)
        row = eventually(lambda: [t for t in c.json(1, "transfers")["active"]
                                  if t["bytes"] > 6_000_000], 10)[0]
        assert row["from"] == first.name and row["to"] == second.name, row
        assert row["rate"] <= 11_000_000 and row["eta_s"] > 0, row
        second.kill()
        restart(second)
        eventually(lambda: metric(second, "iorio_fill_received_bytes") >
                   4_300_000, 40, 0.05)  # a chunk
        first.kill()
        restart(first)
        c.settle(1, 90)
        got = metric(second, "iorio_fill_received_bytes")
        kept = metric(second, "iorio_fill_kept_bytes")
        print(f"# {got} bytes came since the kill of the receiver, {kept} "
              "were there", flush=True)
        assert "of an interrupted fill were here and whole" in log_of(second)
        # The batch of the root, two chunks, and then the third.
        assert kept > 12_500_000, kept
        assert got < 20_300_000 - 8_300_000 + 4_200_000, got
        first.stop()  # it is there, and whole: a majority is both
        first.start()
        assert fingerprint(second, "b/long") == want


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
