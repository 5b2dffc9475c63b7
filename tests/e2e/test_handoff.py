#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Members that change while there is much to move and clients write.

usage: test_handoff.py IORIOD [TEST...]; HANDOFF_MB: how much (24)"""
import glob
import hashlib
import http.client
import json
import os
import re
import sys
import threading
import time

import tap
from cluster import NDJSON, Cluster, Load, admin, eventually, group_of
from disk import Disk, sh
from history import History
from listeners import Refused, Sse

IORIOD = sys.argv[1]
MB = int(os.environ.get("HANDOFF_MB", 24))
BUCKETS = 20
SETTLE_S = 120 + 4 * MB


def pour(node, stream, n_bytes, size=4000):
    """Events of SIZE until the stream has N_BYTES."""
    lines, i = [], 0
    c = node.connect()
    while n_bytes > 0:
        i += 1
        lines.append(b'{"n":%d,"pad":"%s"}' % (i, os.urandom(8).hex().encode()
                                             * (size // 16)))
        n_bytes -= size
        if len(lines) == 250 or n_bytes <= 0:
            status, data = node.post(stream, b"\n".join(lines) + b"\n", c,
                                     "application/x-ndjson")
            assert status == 201, (status, data)
            lines = []
    return stream


def pour_all(node, mb):
    """Half of it in one stream, the rest in streams of all sizes, in BUCKETS
    buckets."""
    streams = [pour(node, "b0/long", mb * 500_000)]
    small = [(f"b{b}/s{k}", (k + 1) ** 2) for b in range(BUCKETS)
             for k in range(6)]
    unit = mb * 500_000 // sum(n for _, n in small)
    return streams + [pour(node, s, n * unit, 1000) for s, n in small]


def put_away(node):
    """All of it is in chunk files, and the log begins behind it: else a new
    replica gets much of it from the log."""
    for _ in range(2):
        node.stop()
        node.start()


def fingerprint(node, stream):
    def read():
        status, _, data = node.request("GET", f"/streams/{stream}?from=1",
                                       headers=NDJSON)
        assert status == 200, (node.name, stream, status, data[:200])
        return [hashlib.sha256(data).hexdigest()]
    return eventually(read, 30)[0]


def log_of(node):
    out = ""
    for name in ("console.log", "log/iorio.log"):
        if os.path.exists(f"{node.root}/{name}"):
            with open(f"{node.root}/{name}", errors="replace") as f:
                out += f.read()
    return out


class Ear:
    """Listens to one stream at some member until `stop`, and goes on at another
    where it was when that one is gone."""

    def __init__(self, stream, up):
        self.stream, self.up = stream, up
        self.got, self.n_connections = [], 0
        self.stopping, self.error = threading.Event(), None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def listen(self, node):
        bucket, name = self.stream.split("/")
        query = f"s={bucket}:{name}:{len(self.got) + 1}"
        try:
            token = node.login(seconds=5)
        except AssertionError:  # it knows no users yet, or no more
            raise Refused(503)
        with Sse(node, query, timeout=10, token=token) as sse:
            self.n_connections += 1
            until = time.monotonic() + 5  # then at another
            while not self.stopping.is_set() and time.monotonic() < until:
                try:
                    items = sse.take(1, 0.5) + sse.items
                    sse.items = []
                except TimeoutError:
                    continue
                for item in items:
                    seq = item["meta"]["id"]
                    assert seq == len(self.got) + 1, (self.stream, seq,
                                                      len(self.got))
                    self.got.append(item["data"])

    def run(self):
        k = hash(self.stream)
        while not self.stopping.is_set() and not self.error:
            try:
                nodes = self.up()
                k += 1
                self.listen(nodes[k % len(nodes)])
            except (OSError, EOFError, Refused, http.client.HTTPException):
                time.sleep(0.1)
            except BaseException as e:
                self.error = e

    def check(self, events):
        """All EVENTS came, once, in their order."""
        want = [json.loads(body) for _, _, body in events]
        eventually(lambda: self.error or len(self.got) >= len(want), 30)
        self.stopping.set()
        self.thread.join(15)
        assert not self.error, self.error
        assert self.got == want, (self.stream, len(self.got), len(want))


class Moving:
    """A cluster with much in it, under load, that is looked at after each
    change."""

    def __init__(self, cluster):
        self.c = cluster
        self.first = cluster.nodes[0]
        self.members = [self.first]
        self.poured = pour_all(self.first, MB)
        put_away(self.first)
        self.prints = {s: fingerprint(self.first, s) for s in self.poured}
        self.live = [f"live{i % 5}/s{i}" for i in range(40)]
        self.history = History()
        self.loads = []
        self.load(self.first)
        self.ears = [Ear(s, self.running) for s in self.live[::4]]

    def load(self, node):
        self.loads.append(Load(self.history, [node], self.live, 1, 1, 0.01))

    def add(self, replaces=None):
        node = self.c.add()
        node.start()
        code, text = admin(node, "cluster", "join", self.first.name)
        assert code == 0, text
        if replaces:
            code, text = self.c.admin(1, "cluster", "replace", replaces.name,
                                      node.name)
            assert code == 0, text
        return node

    def commit(self, label, ring=None):
        begun = time.monotonic()
        eventually(lambda: self.c.admin(1, "cluster", "plan")[0] == 0)
        code, text = self.c.admin(1, "cluster", "commit")
        assert code == 0, text
        self.c.settle(1, SETTLE_S)
        print(f"# {label}: {time.monotonic() - begun:.1f} s", flush=True)
        if ring:
            members = self.c.json(1, "member-status")["members"]
            assert sorted(m["ring"] for m in members
                          if m["status"] == "valid") == ring, members
        self.check()

    def up(self):
        valid = {m["name"] for m in self.c.json(1, "member-status")["members"]
                 if m["status"] == "valid"}
        return [n for n in self.c.nodes
                if n.process.poll() is None and n.name in valid]

    def running(self):
        """Without asking any of them."""
        return [n for n in self.c.nodes if n in self.members and
                n.process.poll() is None]

    def check(self):
        for load in self.loads:
            load.check()
        nodes = self.members = self.up()
        for i, (stream, want) in enumerate(self.prints.items()):
            node = nodes[i % len(nodes)]
            assert fingerprint(node, stream) == want, (node.name, stream)

    def end(self):
        for load in self.loads:
            load.stop()
        print(f"# {self.history.counts()}", flush=True)
        for ear in self.ears:
            ear.check(self.c.events(1, ear.stream))
        print(f"# {len(self.ears)} listeners got "
              f"{sum(len(ear.got) for ear in self.ears)} events over "
              f"{sum(ear.n_connections for ear in self.ears)} connections",
              flush=True)
        for node in self.up():
            k = self.c.nodes.index(node) + 1
            self.history.check({s: self.c.events(k, s) for s in self.live})
            for stream, want in self.prints.items():
                assert fingerprint(node, stream) == want, (node.name, stream)


def test_members_come_and_go_under_load_and_nothing_is_lost():
    with Cluster(IORIOD, 1) as c:
        m = Moving(c)
        second = m.add()
        m.commit("1 -> 2", [50.0, 50.0])
        m.load(second)
        m.add()
        m.add()
        m.commit("2 -> 4", [25.0] * 4)
        fifth = m.add()
        m.commit("4 -> 5", [18.8, 20.3, 20.3, 20.3, 20.3])
        code, text = c.admin(1, "cluster", "leave", fifth.name)
        assert code == 0, text
        m.commit("5 -> 4", [25.0] * 4)
        assert fifth.process.wait(30) == 0
        third = c.nodes[2]
        m.add(replaces=third)
        m.commit("replace", [25.0] * 4)
        assert third.process.wait(30) == 0
        killed = c.nodes[3]
        killed.kill()
        code, text = c.admin(1, "cluster", "force-remove", killed.name)
        assert code == 0, text
        m.commit("force-remove", [32.8, 32.8, 34.4])
        c.nodes[5].kill()  # one of the three that are left
        time.sleep(4)
        m.check()
        c.nodes[5].start()
        c.settle(1, SETTLE_S)
        m.end()


def chunks_of(node, least):
    """Its chunk files of that many bytes at least; a stream's in order."""
    found = glob.glob(f"{node.root}/data/*/vnodes/*/*.chunk")
    return sorted(p for p in found if os.path.getsize(p) >= least)


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))


def test_a_flipped_bit_at_the_sender_is_loud_and_harms_nothing():
    with Cluster(IORIOD, 1) as c:
        first = c.nodes[0]
        pour(first, "b/long", 9_000_000)
        put_away(first)
        want = fingerprint(first, "b/long")
        damaged = chunks_of(first, 4_000_000)[0]
        flip(damaged, 1_000_000)
        second = c.add()
        second.start()
        assert admin(second, "cluster", "join", first.name)[0] == 0
        eventually(lambda: c.admin(1, "cluster", "plan")[0] == 0)
        assert c.admin(1, "cluster", "commit")[0] == 0
        group = group_of("b/long")
        eventually(lambda: f"group {group}: filling ended" in log_of(second))
        eventually(lambda: not [g for g in c.json(1, "transfers")["active"]
                                if g["group"] != group])
        assert os.path.exists(damaged)
        assert second.post("b/other", b'{"n":1}')[0] == 201
        assert not chunks_of(second, 4_000_000)  # the first was it
        flip(damaged, 1_000_000)  # repaired
        c.settle(1, 60)
        assert fingerprint(second, "b/long") == want


def test_too_small_a_disk_at_the_receiver_is_seen_in_the_plan_or_harms_nothing():
    options = {"journal.segment": "8MB", "http.max_body": "2MB",
               "disk.reserve": "4MB", "handoff.rate": "10MB"}
    with Disk("tmpfs", 60) as disk, Cluster(IORIOD, 1, options) as c:
        first = c.nodes[0]
        pour(first, "b/long", 60_000_000)
        put_away(first)
        want = fingerprint(first, "b/long")
        second = c.add(**{"paths.data": disk.path + "/data"})
        with open(f"{second.root}/etc/iorio.conf") as f:  # for iorio-admin
            text = re.sub("(?m)^paths.data = .*$",
                          f"paths.data = {disk.path}/data", f.read())
        with open(f"{second.root}/etc/iorio.conf", "w") as f:
            f.write(text)
        second.start()
        assert admin(second, "cluster", "join", first.name)[0] == 0

        def refused():
            code, text = c.admin(1, "cluster", "plan")
            return code == 1 and re.fullmatch(
                f"Cannot plan: '{second.name}' would get about [0-9.]+ MB and "
                "has room for [0-9.]+ MB.\n", text)
        eventually(refused)
        code, text = c.admin(1, "cluster", "commit")
        assert code == 1, text
        # There is room when it is planned, and none when it comes.
        assert sh("mount", "-o", "remount,size=160m", disk.path)[0] == 0
        eventually(lambda: c.admin(1, "cluster", "plan")[0] == 0)
        code, text = c.admin(1, "cluster", "commit")
        assert code == 0, text
        disk.fill(24 << 20)
        group = group_of("b/long")
        eventually(lambda: f"group {group}: filling ended" in log_of(second))
        assert fingerprint(first, "b/long") == want
        disk.clear()
        c.settle(1, 90)
        assert fingerprint(second, "b/long") == want
        second.stop()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
