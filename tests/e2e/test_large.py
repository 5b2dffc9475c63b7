#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The most that is allowed of everything, and what it costs in memory.

usage: test_large.py IORIOD [TEST...]
LARGE_STREAMS (2000): how many streams in one bucket."""
import os
import sys
import threading
import time

import tap
from node import Node, parse

IORIOD = sys.argv[1]
MIB = 1 << 20
NDJSON = {"Accept": "application/x-ndjson"}


def peak(node, work):
    """Runs WORK; the most that the node had resident meanwhile, in MiB."""
    most, done = [node.rss()], threading.Event()

    def watch():
        while not done.wait(0.02):
            most.append(node.rss())
    t = threading.Thread(target=watch)
    t.start()
    try:
        work()
    finally:
        done.set()
        t.join()
    return max(most) // MIB


def read_through(node, path):
    """Bytes of an answer that is read as it comes."""
    c = node.connect()
    c.request("GET", path, headers={**NDJSON, "x-session": node.token})
    r, n = c.getresponse(), 0
    assert r.status == 200
    while chunk := r.read(MIB):
        n += len(chunk)
    c.close()
    return n


def test_events_of_a_mebibyte_and_of_eight():
    with Node(IORIOD) as node:
        before = node.rss() // MIB

        def write(k):
            c = node.connect(120)
            for i in range(8):
                assert node.post(f"large/s{k}", b"x" * MIB, c,
                                 "application/octet-stream")[0] == 201
            body = b'"' + b"y" * (8 * MIB - 2) + b'"'
            assert node.post(f"large/s{k}", body, c)[0] == 201

        def all_at_once():
            threads = [threading.Thread(target=write, args=(k,))
                       for k in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        written = peak(node, all_at_once)
        head = []
        read = peak(node, lambda: head.extend(
            read_through(node, f"/streams/large/s{k}?from=1")
            for k in range(8)))
        assert all(n > 8 * MIB * 4 / 3 + 8 * MIB for n in head)
        print(f"# {before} MiB before; 128 MiB were written with {written}, "
              f"read with {read}")
        assert written < before + 400 and read < before + 400
        node.stop()


def test_batches_of_ten_thousand():
    with Node(IORIOD) as node:
        lines = b"".join(b'{"i":%d}\n' % i for i in range(10000))
        before = node.rss() // MIB

        def write():
            for i in range(20):
                status, data = node.post("batch/s", lines,
                                         content_type="application/x-ndjson")
                assert status == 201
                assert parse(data)["meta"]["last"] == (i + 1) * 10000
        written = peak(node, write)
        n = []
        read = peak(node, lambda: n.append(
            read_through(node, "/streams/batch/s?from=1")))
        print(f"# {before} MiB before; 200,000 events were written with "
              f"{written}, read with {read}")
        assert n[0] > 200000 * 40
        assert written < before + 150 and read < before + 150
        node.stop()


# To remove the files of 100,000 takes a minute and more.
STREAMS = int(os.environ.get("LARGE_STREAMS", "2000"))
PAGE = STREAMS // 10


def make_streams(node, first, last):
    """One event each, many requests on their way at once."""
    window, at = 50, first
    head = (f"Host: x\r\nx-session: {node.token}\r\nContent-Type: text/plain"
            "\r\nContent-Length: 1\r\n\r\nx").encode()
    with node.open(60) as s:
        f = s.makefile("rb")
        while at < last:
            n = min(window, last - at)
            s.sendall(b"".join(
                b"POST /streams/many/s%06d HTTP/1.1\r\n" % (at + i) + head
                for i in range(n)))
            for _ in range(n):
                status, length = f.readline(), 0
                assert status.startswith(b"HTTP/1.1 201"), status
                while (line := f.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line[15:])
                f.read(length)
            at += n


def names_of(node, query=""):
    """All names, page by page, and how many pages."""
    names, pages = [], 0
    path = f"/streams/many?limit={PAGE}{query}"
    while path:
        status, head, data = node.request("GET", path)
        assert status == 200 and parse(data)["status"] == "ok"
        names += parse(data)["data"]
        pages += 1
        link = head["Link"] or ""
        path = link[1:link.index(">")] if link else None
    return names, pages


def test_many_streams_in_a_bucket():
    want = [f"s{i:06d}" for i in range(STREAMS)]
    with Node(IORIOD, {"workers": 2}) as node:
        before = node.rss() // MIB

        def write():
            threads = [threading.Thread(target=make_streams, args=(
                node, k * STREAMS // 8, (k + 1) * STREAMS // 8))
                for k in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        start = time.monotonic()
        written = peak(node, write)
        made = time.monotonic() - start
        start = time.monotonic()
        got = []
        listed = peak(node, lambda: got.append(names_of(node)))
        took = time.monotonic() - start
        assert got[0] == (want, 10), (len(got[0][0]), got[0][1])
        prefix = want[-1][:-2]
        details, _ = names_of(node, "&detail=1&prefix=" + prefix)
        assert [d["name"] for d in details] == [
            s for s in want if s.startswith(prefix)]
        assert all(d["count"] == d["bytes"] == 1 for d in details)
        print(f"# {before} MiB before; made with {written} in {made:.1f} s, "
              f"listed with {listed} in {took:.1f} s")
        assert written < before + 250 and listed < before + 300
        node.stop(120)
        start = time.monotonic()
        node.start()
        print(f"# started again in {time.monotonic() - start:.1f} s, "
              f"{node.rss() // MIB} MiB")
        assert names_of(node)[0] == want
        assert node.request("GET", "/streams/many/s001000/1")[2] == b"x"
        node.stop(120)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
