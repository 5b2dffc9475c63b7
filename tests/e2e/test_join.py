#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who is let into a cluster, who is not, and what strangers on its port do:
nothing.

usage: test_join.py IORIOD [TEST...]"""
import os
import random
import re
import shutil
import signal
import socket
import struct
import sys
import threading
import time

import tap
from cluster import (Client, Cluster, admin, eventually, group_of,
                     replicas)
from history import OK, History
from listeners import Sse, append
from node import Node, free_port
from test_steps import restart, stopped

IORIOD = sys.argv[1]
CLEARED = (0, "Cleared staged cluster changes\n")


def joined(k, by=1):
    return (0, f"Success: staged join request for 'iorio{k}@127.0.0.1' to "
            f"'iorio{by}@127.0.0.1'\n")


def join(cluster, k, to=1):
    return cluster.admin(k, "cluster", "join", f"iorio{to}@127.0.0.1")


def statuses(cluster, k=1):
    return {m["name"].split("@")[0]: m["status"]
            for m in cluster.json(k, "member-status")["members"]}


def cluster_port(cluster, node):
    """As the file in the runtime directory has it."""
    with open(f"{cluster.run}/{node.name}") as f:
        return int(re.search(r"\d+", f.read()).group())


def refused(node):
    """Messages refused on the cluster port, as its log counts them."""
    with open(f"{node.root}/console.log") as f:
        text = f.read()
    return sum(map(int, re.findall(r"refused (\d+) messages", text)))


def test_join_clear_and_join_again():
    with Cluster(IORIOD, 2) as cluster:
        for _ in range(2):
            assert join(cluster, 2) == joined(2)
            assert statuses(cluster) == {"iorio1": "valid",
                                         "iorio2": "joining"}
            # It serves what the cluster has.
            two = cluster.nodes[1]
            eventually(lambda: two.post("b/s", b"1")[0] == 201, 10)
            assert cluster.admin(1, "cluster", "clear") == CLEARED
            eventually(lambda: statuses(cluster, 2) == {"iorio2": "valid"}, 20)
            assert statuses(cluster) == {"iorio1": "valid"}
            two.wait_ready()
            assert two.events("b/s") == b"[]"
        # Who let another in, and has no streams, may join too.
        assert len(cluster.events(1, "b/s")) == 2


def test_a_node_that_had_guests_may_join():
    with Cluster(IORIOD, 3) as cluster:
        assert join(cluster, 2) == joined(2)
        assert cluster.admin(1, "cluster", "clear") == CLEARED
        assert join(cluster, 1, to=3) == joined(1, by=3)


def test_a_node_with_streams_of_its_own_is_refused():
    with Cluster(IORIOD, 2) as cluster:
        for s in ("b/one", "b/two"):
            assert cluster.nodes[1].post(s, b"1")[0] == 201
        assert join(cluster, 2) == (
            1, "Failed: this node holds 2 streams; join an empty node or "
            "export them first\n")
        assert statuses(cluster) == {"iorio1": "valid"}


def test_writes_while_a_node_joins_are_refused_or_kept():
    for delay in (0, 0.03, 0.1):
        history = History()
        with Cluster(IORIOD, 2, {"workers": 2}) as cluster:
            stop = threading.Event()

            def write(k):
                client = Client(history, cluster.nodes[1])
                n = 0
                while not stop.is_set():
                    n += 1
                    client.write("b/s", b'{"by":%d,"n":%d}' % (k, n))
            threads = [threading.Thread(target=write, args=(k,), daemon=True)
                       for k in range(3)]
            begin = lambda: [t.start() for t in threads]
            timer = threading.Timer(delay, begin)
            timer.start()
            code, text = join(cluster, 2)
            eventually(lambda: history.counts().get(OK, 0) > 20, 20)
            stop.set()
            for t in threads:
                t.join()
            assert (code, text) == joined(2) if code == 0 else (
                "this node holds 1 streams" in text), (code, text)
            # Refused or not, it is in one place: all of it.
            history.check({"b/s": cluster.events(2, "b/s")})
            if code == 0:
                history.check({"b/s": cluster.events(1, "b/s")})


def test_who_listens_before_users_are_there_is_told_to_come_again():
    """The leader stands still before it has sent the new member anything."""
    with Cluster(IORIOD, 2, {"request.timeout": "1s"}) as cluster:
        one, two = cluster.nodes
        for step in (None, "manifest-sent"):  # the log begins behind them
            one.stop()
            restart(one, step)
        token = one.token
        assert join(cluster, 2) == joined(2)
        eventually(lambda: stopped(one), 20)
        two.own_token = token

        def listen(accept, path="/listen"):
            return two.request("GET", path + "?s=b:s:1",
                               headers={"Accept": accept})
        status, head, data = listen("text/event-stream")
        # An EventSource gives up for good on anything but 200.
        assert (status, data) == (200, b"retry: 2000\n\n"), (status, data)
        assert head["Content-Type"] == "text/event-stream"
        assert head["Cache-Control"] == "no-cache, no-transform"
        for accept, path in (("application/json", "/listen"),
                             ("application/json", "/streams/b/s")):
            status, head, _ = listen(accept, path)
            assert (status, head["Retry-After"]) == (503, "1"), (path, status)
        one.process.send_signal(signal.SIGCONT)
        eventually(lambda: append(two, "b/s", 7) == 1, 20)
        with Sse(two, "s=b:s:1") as sse:
            assert sse.take(1)[0]["data"] == 7


def test_joins_that_cannot_be():
    with Cluster(IORIOD, 3) as cluster:
        other = cluster.add(ring_size=128)
        cookie = cluster.add(**{"cluster.cookie": "another"})
        with other, cookie:
            assert join(cluster, 2, to=2) == (
                1, "Failed: This node cannot join itself in a cluster\n")
            assert join(cluster, 2, to=7) == (
                1, "Node iorio7@127.0.0.1 is not reachable!\n")
            assert join(cluster, 4) == (
                1, "Failed: iorio1@127.0.0.1 has a different "
                "ring_creation_size\n")
            assert join(cluster, 2) == joined(2)
            assert join(cluster, 2, to=3) == (
                1, "Failed: This node is already a member of a cluster\n")
            # The cookie is wrong: silence, and a line in the log.
            before = refused(cluster.nodes[0])
            assert join(cluster, 5) == (
                1, "Node iorio1@127.0.0.1 is not reachable!\n")
            eventually(lambda: refused(cluster.nodes[0]) > before, 20)
            assert "another cluster.cookie" in cluster.nodes[0].console()
            assert statuses(cluster) == {"iorio1": "valid",
                                         "iorio2": "joining"}


def test_a_node_whose_disk_was_replaced_takes_its_place_again():
    with Cluster(IORIOD) as cluster:
        cluster.form()
        one, two = cluster.nodes[0], cluster.nodes[1]
        streams = [f"b/s{i}" for i in range(30)]
        for s in streams:
            assert one.post(s, b"1")[0] == 201
        two.kill()
        shutil.rmtree(f"{two.root}/data")
        os.mkdir(f"{two.root}/data")
        two.start()
        note = ("Note: 'iorio2@127.0.0.1' is known under another id; staged as "
                "force-replace 'iorio2@127.0.0.1' with 'iorio2@127.0.0.1'\n")
        code, text = joined(2)
        assert join(cluster, 2) == (code, text + note)
        code, text = eventually(
            lambda: (p := cluster.admin(1, "cluster", "plan"))[0] == 0 and p)
        assert ("\nforce-replace  'iorio2@127.0.0.1' with 'iorio2@127.0.0.1'\n"
                in text), text
        assert cluster.admin(1, "cluster", "commit")[0] == 0
        cluster.settle()
        assert statuses(cluster) == {f"iorio{k}": "valid" for k in range(1, 5)}
        for s in streams:
            assert len(cluster.events(2, s)) == 1
            assert two.post(s, b"2")[0] == 201
        # It has all that it should have, and counts: one more may die.
        mine = [s for s in streams
                if two.name in replicas(cluster.owners(), group_of(s))]
        eventually(lambda: cluster.json(2, "status")["events"] == 2 * len(mine))
        time.sleep(3)
        cluster.nodes[2].kill()
        for s in streams:
            assert len(cluster.events(2, s)) == 2
        with open(f"{two.root}/console.log") as f:
            assert f.read().count("not such messages") < 2


def test_a_copied_data_directory_stops_with_a_message():
    with Cluster(IORIOD, 2) as cluster:
        assert join(cluster, 2) == joined(2)
        two = cluster.nodes[1]
        copy = Node(IORIOD, {**two.options, "http.port": free_port()})
        shutil.rmtree(f"{copy.root}/data")
        two.process.send_signal(signal.SIGSTOP)
        shutil.copytree(f"{two.root}/data", f"{copy.root}/data",
                        ignore=lambda d, names: [
                            n for n in names if n.endswith(".sock")])
        two.process.send_signal(signal.SIGCONT)
        begun = time.monotonic()
        copy.start(wait=False)
        for node in (two, copy):  # who hears of the other, ends
            eventually(lambda: node.process.poll() is not None, 20, 0.01)
            print(f"# {time.monotonic() - begun:.1f} s after the copy began",
                  flush=True)
            assert node.process.returncode != 0
            assert "data directory was copied" in node.console(), \
                node.console()
        copy.close()


def garbage(rng):
    """What a port scanner sends, and what looks like nanomsg and is not."""
    nanomsg = b"\0SP\0\0\x50\0\0"
    yield b""
    yield b"GET / HTTP/1.0\r\n\r\n"
    yield b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + rng.randbytes(200)
    yield nanomsg
    yield nanomsg + struct.pack(">Q", 1 << 40) + b"x" * 1000
    yield nanomsg + struct.pack(">Q", (1 << 64) - 1)
    for n in (0, 1, 50, 1000, 100000):
        yield nanomsg + struct.pack(">Q", n) + rng.randbytes(n)
    yield b"\0SP\0" + rng.randbytes(4)
    yield rng.randbytes(100000)


def refusals(cluster):
    """What node 1 has counted of them, by reason."""
    found = re.compile(r'iorio_net_refused_messages_total{reason="(.*)"}')
    return {m[1]: n for name, n in cluster.json(1, "status")["metrics"].items()
            if (m := found.match(name))}


def test_garbage_on_every_port_changes_nothing():
    rng = random.Random(1)
    with Cluster(IORIOD, 3) as cluster:
        one = cluster.nodes[0]
        one.stop()
        one.options["handoff.port"] = handoff = free_port()
        one.start()
        cluster.form()
        ports = (cluster_port(cluster, one), handoff, one.port)
        before, counted = refused(one), refusals(cluster)
        epoch = cluster.json(1, "ring-status")["epoch"]
        rss = one.rss()
        held, n = [], 0
        for data in list(garbage(rng)) * 3:
            for port in ports:
                s = socket.create_connection(("127.0.0.1", port), 5)
                try:
                    s.sendall(data)
                except OSError:
                    pass
                held.append(s)
                if len(held) > 20:
                    held.pop(0).close()
                assert one.post("b/s", b"1")[0] == 201
                n += 1
        # Peers are not taken for dead meanwhile.
        assert all(m["up"]
                   for m in cluster.json(2, "member-status")["members"])
        for s in held:
            s.close()
        eventually(lambda: refused(one) > before, 30)
        now = refusals(cluster)
        assert {r for r in now if now[r] > counted[r]} == {
            "malformed", "lines"}, (counted, now)
        assert cluster.json(2, "ring-status")["epoch"] == epoch
        assert one.rss() < rss + (64 << 20), (rss, one.rss())
        assert len(cluster.events(3, "b/s")) == n


def test_a_node_of_another_cluster_is_not_heard():
    """One that was a member here until its data was put back."""
    with Cluster(IORIOD, 2) as cluster:
        one, two = cluster.nodes
        assert two.post("b/s", b"1")[0] == 201
        two.stop()
        kept = f"{two.root}/kept"
        shutil.copytree(f"{two.root}/data", kept)
        shutil.rmtree(f"{two.root}/data")
        os.mkdir(f"{two.root}/data")
        two.start()
        cluster.form()
        assert one.post("b/s", b"2")[0] == 201
        two.kill()
        shutil.rmtree(f"{two.root}/data")
        shutil.copytree(kept, f"{two.root}/data")
        two.start()
        # Each has its own again; they do not mix.
        time.sleep(1)
        assert statuses(cluster, 2) == {"iorio2": "valid"}
        assert two.events("b/s").endswith(b'"data":1}]')
        status, _ = one.post("b/s", b"3")
        assert status in (503, 504), status
        assert admin(one, "ringready")[0] != 0
        eventually(lambda: "for a node that was here before" in two.console(),
                   15)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
