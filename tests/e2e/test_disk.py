#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Disks that fill up, hang or lose bytes (cluster.md 6.10): writes are refused
and go on by themselves, what was acknowledged is there, the rest is served.

usage: test_disk.py IORIOD [TEST...]"""
import glob
import os
import signal
import sys
import threading
import time

import tap
from disk import Disk
from node import Node, parse

IORIOD = sys.argv[1]
MIB = 1 << 20


def node_on(disk, **options):
    return Node(IORIOD, {
        "paths.data": disk.path + "/data", "journal.segment": "4MB",
        "journal.max": "16MB", "http.max_body": "1MB", "workers": 2,
        "request.timeout": "1s", **{k.replace("_", "."): v
                                    for k, v in options.items()}})


class Ledger:
    """Appends events that differ, keeps what was acknowledged."""

    def __init__(self, node, size=20000):
        self.node, self.size, self.n, self.acked = node, size, 0, {}

    def append(self, connection=None):
        self.n += 1
        stream = f"b/s{self.n % 7}"
        body = b'{"i":%d,"pad":"%s"}' % (self.n, b"x" * self.size)
        status, headers, data = self.node.request(
            "POST", "/streams/" + stream, body,
            {"Content-Type": "application/json"}, connection=connection)
        if status == 201:
            self.acked[(stream, parse(data)["meta"]["id"])] = body
        return status, headers, data

    def check(self):
        c = self.node.connect()
        for (stream, seq), body in self.acked.items():
            status, _, data = self.node.request(
                "GET", f"/streams/{stream}/{seq}", connection=c)
            assert (status, data) == (200, body), (stream, seq, status)


def check_full(node, ledger):
    """Refused in the words of the API, all else goes on."""
    status, headers, data = ledger.append()
    assert status == 503, (status, data)
    assert headers["Retry-After"] == "1"
    assert parse(data)["type"] == "unavailable"
    assert "disk" in parse(data)["reason"]
    ledger.check()
    assert node.request("GET", "/livez", token=None)[0] == 200
    assert node.request("GET", "/streams/b")[0] == 200
    status, _, data = node.request("GET", "/readyz?verbose", token=None)
    assert status == 503 and b"[-]disk writable" in data, data


def wait_for(status, ledger, seconds=10):
    end = time.monotonic() + seconds
    while True:
        got = ledger.append()
        if got[0] == status:
            return
        assert got[0] in (201, 503, 504), got
        assert time.monotonic() < end, got
        time.sleep(0.02)


def full_disk(kind, reserve, restart=None, leave=0):
    with Disk(kind, 96) as disk, node_on(disk, disk_reserve=reserve) as node:
        ledger = Ledger(node)
        for _ in range(100):
            assert ledger.append()[0] == 201
        for _ in range(2):
            disk.fill(leave)
            wait_for(503, ledger, 20)
            time.sleep(0.3)
            check_full(node, ledger)
            seen = {ledger.append()[0] for _ in range(300)}
            assert seen == {503}, seen
            for _ in range(2 if restart else 0):
                getattr(node, restart)()
                node.start(wait=False)
                wait_alive(node)
                if leave:  # else there is not even room for a new term
                    wait_users(node)
                    ledger.check()
                    check_full(node, ledger)
            disk.clear()
            wait_for(201, ledger)
            for _ in range(50):
                assert ledger.append()[0] == 201
            ledger.check()
            assert node.request("GET", "/readyz", token=None)[0] == 200
        node.kill()
        node.start()
        ledger.check()
        node.stop()


def wait_alive(node, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return node.request("GET", "/livez", token=None)
        except OSError:
            assert node.process.poll() is None, node.console()
            time.sleep(0.02)
    raise AssertionError(node.console())


def wait_users(node, seconds=20):
    """It answers nobody before it knows who may what."""
    end = time.monotonic() + seconds
    while node.request("GET", "/streams/b")[0] == 503:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_full_tmpfs_refuses_writes_until_there_is_room():
    full_disk("tmpfs", "8MB")


def test_a_full_ext4_refuses_writes_until_there_is_room():
    full_disk("ext4", "8MB")


def test_without_a_reserve_it_is_the_same():
    full_disk("ext4", "0")
    full_disk("tmpfs", "0")


def test_killed_while_the_disk_is_full():
    full_disk("ext4", "0", "kill")
    full_disk("tmpfs", "20MB", "kill", 18 * MIB)


def test_stopped_while_the_disk_is_full():
    full_disk("ext4", "0", "stop")
    full_disk("tmpfs", "20MB", "stop", 18 * MIB)


def test_writers_meet_the_end_of_the_disk_together():
    """Nothing that was acknowledged is lost when it comes in the middle."""
    with Disk("ext4", 96) as disk, node_on(disk, disk_reserve="0") as node:
        ledgers = [Ledger(node, 50000) for _ in range(8)]
        done = threading.Event()

        def write(ledger, i):
            ledger.n = i * 100000
            c = node.connect()
            while not done.is_set():
                ledger.append(c)

        threads = [threading.Thread(target=write, args=(ledger, i))
                   for i, ledger in enumerate(ledgers)]
        for t in threads:
            t.start()
        for _ in range(3):
            time.sleep(0.7)
            disk.fill()
            time.sleep(1)
            disk.clear()
        time.sleep(0.5)
        done.set()
        for t in threads:
            t.join()
        wait_for(201, ledgers[0])
        for ledger in ledgers:
            assert ledger.acked
            ledger.check()
        node.kill()
        node.start()
        for ledger in ledgers:
            ledger.check()


def test_the_reserve_is_kept():
    with Disk("tmpfs", 64) as disk, node_on(disk, disk_reserve="20MB") as n:
        ledger = Ledger(n, 200000)
        for _ in range(400):
            if ledger.append()[0] != 201:
                break
        wait_for(503, ledger)
        # what was accepted before it was noticed is all that is missing
        assert disk.free() > 12 * MIB, disk.free()
        check_full(n, ledger)
        log = n.console()
        assert "nearly full" in log and log.count("nearly full") < 4, log


def test_a_disk_that_hangs_leaves_the_outcome_open():
    with Disk("ext4", 64) as disk, node_on(disk, disk_reserve="1MB") as node:
        ledger = Ledger(node, 100)
        for _ in range(20):
            assert ledger.append()[0] == 201
        disk.freeze()
        start = time.monotonic()
        status, _, data = ledger.append()
        took = time.monotonic() - start
        assert status == 504, (status, data)
        assert parse(data)["type"] == "unknown-outcome"
        assert 1 <= took < 4, took
        ledger.check()
        assert node.request("GET", "/ping")[0] == 200
        disk.thaw()
        wait_for(201, ledger)
        ledger.check()
        # it was proposed, so here it did appear, once
        lines = b"".join(node.events(f"b/s{i}") for i in range(7))
        assert lines.count(b'{"i":21,') == 1
        node.stop()


# --- damaged files ----------------------------------------------------------

def fill_chunks(node, n):
    c = node.connect()
    for i in range(1, n + 1):
        body = b'{"i":%d,"pad":"%s"}' % (i, b"%04d" % i * 1000)
        assert node.post("damage/s", body, c)[0] == 201
        assert node.post("damage/other", b"%d" % i, c)[0] == 201


def chunk_with(node, text):
    for path in glob.glob(node.root + "/data/*/vnodes/*/*.chunk"):
        with open(path, "rb") as f:
            data = f.read()
        if text in data:
            return path, data.index(text)
    raise AssertionError("no chunk has it")


def test_damaged_events_are_told_and_the_rest_is_served():
    with Node(IORIOD) as node:
        n = 600  # 2.4 MB
        fill_chunks(node, n)
        node.stop()
        path, at = chunk_with(node, b"0300" * 1000)
        with open(path, "r+b") as f:
            f.seek(at + 1000)
            f.write(b"X")
        node.start()

        def read(query, accept="application/json"):
            return node.request("GET", "/streams/damage/s" + query,
                                headers={"Accept": accept})

        for path in ("/300", "?from=300", "?from=300&to=310",
                     "?order=desc&to=300"):
            status, _, data = read(path)
            assert status == 500, (path, status)
            got = parse(data)
            assert (got["type"], got["first"], got["last"]) == \
                ("damaged", 300, 300), (path, got)
        for seq in (1, 298, 299, 301, 302, 600):
            status, _, data = read(f"/{seq}")
            assert status == 200 and parse(data)["i"] == seq
        for query, ids in (("?from=301&to=600", range(301, 601)),
                           ("?from=1&to=299", range(1, 300)),
                           ("?limit=200", range(401, 601))):
            status, _, data = read(query)
            assert status == 200
            assert [e["meta"]["id"] for e in parse(data)] == list(ids)
        # NDJSON: what is before it comes, and the answer is not whole
        with node.open() as s:
            s.sendall(node.head("GET /streams/damage/s?from=1",
                                "Accept: application/x-ndjson"))
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except OSError:
                pass
        assert out.startswith(b"HTTP/1.1 200 ")
        assert not out.endswith(b"0\r\n\r\n")
        assert b'{"meta":{"id":299,' in out and b'{"meta":{"id":300,' not in out
        with node.open() as s:  # 1.0: an end would be that of the body
            s.sendall(node.head("GET /streams/damage/s?from=1",
                                "Accept: application/x-ndjson")
                      .replace(b"/1.1", b"/1.0"))
            try:
                while s.recv(65536):
                    pass
                raise RuntimeError("it ended as if it were whole")
            except ConnectionResetError:
                pass
        # the node goes on, also with this stream, and after a restart
        assert node.post("damage/s", b"1")[0] == 201
        assert len(parse(node.events("damage/other"))) == n
        node.stop()
        node.start()
        assert read("/300")[0] == 500 and read("/601")[0] == 200
        node.stop()


def test_a_chunk_that_is_gone_is_told_and_the_rest_is_served():
    with Node(IORIOD) as node:
        fill_chunks(node, 50)
        node.stop()
        os.unlink(chunk_with(node, b"0001" * 1000)[0])
        node.start()
        status, _, data = node.request("GET", "/streams/damage/s/7")
        assert status == 500 and parse(data)["type"] == "damaged", data
        assert parse(data)["first"] <= 7 <= parse(data)["last"]
        assert len(parse(node.events("damage/other"))) == 50
        # what comes now is kept in another file
        for i in range(51, 61):
            assert node.post("damage/s", b"%d" % i)[0] == 201
        for _ in range(2):
            node.stop()
            node.start()
            for i in range(51, 61):
                assert node.request("GET", f"/streams/damage/s/{i}")[2] == \
                    b"%d" % i
            assert node.request("GET", "/streams/damage/s/7")[0] == 500


# --- descriptors ------------------------------------------------------------

def test_open_chunk_files_have_a_bound():
    node = Node(IORIOD, {"workers": 1})
    command = node.command
    node.command = lambda: ["prlimit", "--nofile=160:160"] + command()
    n = 3000
    with node:
        c = node.connect()
        for i in range(n):
            assert node.post(f"many/s{i}", b"%d" % i, c)[0] == 201
        node.stop()
        node.start()  # nothing is in memory
        c = node.connect()
        for _ in range(2):
            for i in range(n):
                status, _, data = node.request(
                    "GET", f"/streams/many/s{i}/1", connection=c)
                assert (status, data) == (200, b"%d" % i), (i, status, data)
                if i % 500 == 0:
                    fds = os.listdir(f"/proc/{node.process.pid}/fd")
                    assert len(fds) < 100, len(fds)
        for i in range(n):
            assert node.post(f"many/s{i}", b"0", c)[0] == 201
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(30) == 0


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
