#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Handoff addresses that lead elsewhere: whoever answers there is sent nothing,
the operator sees why nothing moves, and it moves once the address is right.

usage: test_address.py IORIOD [TEST...]"""
import glob
import os
import shutil
import socket
import sys
import threading
import time

import tap
from cluster import Cluster, admin, eventually
from node import Node, free_port
from test_handoff import fingerprint, log_of, pour, put_away

IORIOD = sys.argv[1]
# Others dial the host of the first one's name, 127.0.0.1, and it listens here.
ELSEWHERE = "127.0.0.2"


class Asked:
    """The second node wants pages of the first at 127.0.0.1:PORT."""

    def __init__(self, c, port):
        self.c, self.port = c, port
        self.first, self.second = c.nodes[0], None
        self.seen, self.begun = 0, time.monotonic()

    def restart(self, node, **options):
        if node.process and node.process.poll() is None:
            node.stop()
        node.options.update(options)
        node.start(wait=False)  # it is not ready without its root group

    def errors(self, error):
        return [t for t in self.c.json(1, "transfers")["active"]
                if t.get("error") == error]

    def says(self, line, error):
        """The log of the second does, from now on; `transfers` of the first
        has ERROR, as text and as JSON."""
        line = f"handoff to 127.0.0.1:{self.port}: {line}"
        eventually(lambda: line in log_of(self.second)[self.seen:], 15)
        for t in eventually(lambda: self.errors(error), 15):
            assert (t["from"], t["to"]) == (self.first.name, self.second.name)
            assert t["bytes"] == 0, t
        eventually(lambda: f"\nlast error: {error}\n" in self.c.admin(
            1, "transfers")[1], 15)
        self.seen = len(log_of(self.second))
        print(f"# {time.monotonic() - self.begun:.1f} s: {line}", flush=True)


class Web(threading.Thread):
    """What an HTTP server does with what it does not understand."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", port))
        self.got = []  # of each connection

    def run(self):
        try:
            while True:
                with self.listener.accept()[0] as s:
                    s.settimeout(0.5)  # for the rest
                    self.got.append(b"")
                    try:
                        while data := s.recv(65536):
                            self.got[-1] += data
                    except TimeoutError:
                        s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        except OSError:
            pass

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join()


def stranger(like, port, **options):
    """A node that listens at the address of the first."""
    node = Node(IORIOD, {"nodename": like.name, "handoff.ip": "127.0.0.1",
                         "handoff.port": port, **options})
    node.name = node.options["nodename"]
    return node


def test_an_address_that_leads_elsewhere_is_loud_and_harms_nothing():
    port = free_port()
    with Cluster(IORIOD, 1, {"handoff.ip": ELSEWHERE,
                             "handoff.port": port}) as c:
        first, ask = c.nodes[0], Asked(c, port)
        streams = [pour(first, f"b{i}/s", 200_000) for i in range(8)]
        put_away(first)
        want = {s: fingerprint(first, s) for s in streams}
        old = stranger(first, port)
        first.stop()
        shutil.copytree(f"{first.root}/data", f"{old.root}/data",
                        dirs_exist_ok=True)
        first.start()
        second = ask.second = c.add(**{"handoff.ip": "127.0.0.1"})
        second.start()
        code, text = admin(second, "cluster", "join", first.name)
        assert code == 0, text
        eventually(lambda: c.admin(1, "cluster", "plan")[0] == 0)
        assert c.admin(1, "cluster", "commit")[0] == 0
        # The port of the second is the one that the first tells.
        ask.says("this node itself answers there", "the handoff address of "
                 "the sender is the receiver's own")
        ask.restart(second, **{"handoff.ip": "127.0.0.3"})
        ask.says("nobody listens there",
                 "nobody answers at the handoff address of the sender")
        strange = "a stranger answers at the handoff address of the sender"
        with Web(port) as web:
            ask.says("what answers there is no node", strange)
        # It got a greeting, without a name or a body, and nothing else.
        assert web.got and max(map(len, web.got)) < 200, web.got
        with old:  # of the first, from before it had company
            ask.says("who answers there does not greet: it is no node, or "
                     "another than is meant", strange)
        assert first.post("b/new", b'{"n":1}')[0] == 201
        for s in streams:
            assert fingerprint(first, s) == want[s], s
        ask.restart(first, **{"handoff.ip": "127.0.0.1"})
        c.settle()
        for s in streams:
            assert fingerprint(second, s) == want[s], s
        assert c.json(1, "transfers")["active"] == []


def vnodes_of(node):
    """Directories of replicas, but the root's."""
    return [p for p in glob.glob(f"{node.root}/data/*/vnodes/*-*")
            if not os.path.basename(p).startswith("64-")]


def test_an_address_of_another_cluster_is_loud_and_nothing_is_adopted():
    """Both are real clusters, with the same cookie and the same names."""
    port = free_port()
    with Cluster(IORIOD, 1, {"handoff.ip": ELSEWHERE,
                             "handoff.port": port}) as c:
        first, ask = c.nodes[0], Asked(c, port)
        streams = [pour(first, f"b{i}/s", 200_000) for i in range(4)]
        put_away(first)
        want = {s: fingerprint(first, s) for s in streams}
        with stranger(first, port) as other:
            theirs = [pour(other, f"b{i}/s", 100_000) for i in range(4)]
            put_away(other)
            there = {s: fingerprint(other, s) for s in theirs}
            second = ask.second = c.add(**{"handoff.ip": "127.0.0.3"})
            second.start()
            own = set(vnodes_of(second))  # of the cluster it was alone in
            code, text = admin(second, "cluster", "join", first.name)
            assert code == 0, text
            eventually(lambda: c.admin(1, "cluster", "plan")[0] == 0)
            assert c.admin(1, "cluster", "commit")[0] == 0
            ask.says("who answers there does not greet: it is no node, or "
                     "another than is meant",
                     "a stranger answers at the handoff address of the sender")
            eventually(lambda: "refused a connection to the handoff port: it "
                       "does not greet as a member of this cluster does" in
                       log_of(other), 15)
            assert "filled" not in log_of(second)
            assert set(vnodes_of(second)) <= own
            assert {s: fingerprint(other, s) for s in theirs} == there
        ask.restart(first, **{"handoff.ip": "127.0.0.1"})
        c.settle()
        for s in streams:
            assert fingerprint(second, s) == want[s], s


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
