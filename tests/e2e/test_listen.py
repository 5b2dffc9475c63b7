#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""GET /listen by long poll and text/event-stream.

usage: test_listen.py IORIOD [TEST...]"""
import json
import sys
import threading
import time

import tap
from cluster import Cluster, eventually, group_of, replicas
from listeners import Sse, append, poll
from node import Node, parse

IORIOD = sys.argv[1]
LINES = {"Content-Type": "application/x-ndjson"}


def fill(node, stream, n, size=0, batch=5000, start=0):
    """N events {"n": start}, {"n": start + 1} ..."""
    pad = "x" * size
    for at in range(start, start + n, batch):
        lines = "".join('{"n":%d,"pad":"%s"}\n' % (i, pad)
                        for i in range(at, min(at + batch, start + n)))
        status, _, body = node.request("POST", "/streams/" + stream,
                                       lines.encode(), LINES)
        assert status == 201, body


def test_history_and_what_comes_then():
    with Node(IORIOD) as node:
        fill(node, "b/s", 10)
        with Sse(node, "s=b:s:3") as sse:
            assert sse.headers["content-type"] == "text/event-stream"
            assert sse.headers["cache-control"] == "no-cache, no-transform"
            assert sse.headers["x-accel-buffering"] == "no"
            got = sse.take(8)
            assert [e["data"]["n"] for e in got] == list(range(2, 10)), got
            assert got[0]["meta"].keys() == {"id", "t", "bucket", "stream"}
            for i in range(10, 20):
                append(node, "b/s", {"n": i})
            assert [e["data"]["n"] for e in sse.take(10)] == list(
                range(10, 20))
            last = sse.last_id
        append(node, "b/s", {"n": 20})
        with Sse(node, "s=b:s:1", {"Last-Event-ID": last}) as sse:
            assert [e["meta"]["id"] for e in sse.take(1)] == [21]
        with Sse(node, "s=b:s:1", {"Last-Event-ID": "19"}) as sse:
            assert [e["meta"]["id"] for e in sse.take(2)] == [20, 21]


def test_only_what_comes_after_now():
    with Node(IORIOD) as node:
        fill(node, "b/s", 10)
        with Sse(node, "s=b:s&s=b:none") as sse:
            sse.settle()
            append(node, "b/s", {"n": 10})
            append(node, "b/none", {"n": "first"})
            got = sse.take(2)
            assert sorted(str(e["data"]["n"]) for e in got) == ["10", "first"]


def test_long_poll():
    with Node(IORIOD) as node:
        status, head, body = poll(node, "s=b:s&wait=0")
        assert (status, body) == (204, b"") and head["Iorio-Cursor"]
        append(node, "b/s", 1)
        append(node, "b/s", 2)
        cursor = head["Iorio-Cursor"]
        status, head, body = poll(node, f"s=b:s&cursor={cursor}")
        assert status == 200 and head["Content-Type"] == "application/json"
        assert [e["data"] for e in parse(body)] == [1, 2]
        begun = time.monotonic()
        later = threading.Timer(0.5, append, (node, "b/s", 3))
        later.start()
        status, head, body = poll(node, "s=b:s:3")
        assert status == 200 and [e["data"] for e in parse(body)] == [3]
        assert 0.4 < time.monotonic() - begun < 3
        status, _, body = poll(node, "s=b:s:4&wait=1")
        assert status == 204 and 1.3 < time.monotonic() - begun < 5


def test_a_long_poll_has_a_thousand_events_at_most():
    with Node(IORIOD) as node:
        fill(node, "b/s", 2500)
        seen, cursor = [], ""
        while len(seen) < 2500:
            status, head, body = poll(node, "s=b:s:1" + cursor)
            assert status == 200 and len(body) <= 1 << 20
            page = parse(body)
            assert len(page) <= 1000
            seen += [e["data"]["n"] for e in page]
            cursor = "&cursor=" + head["Iorio-Cursor"]
        assert seen == list(range(2500))
        fill(node, "b/large", 12, size=200000, batch=3)
        seen, cursor = [], ""
        while len(seen) < 12:
            status, head, body = poll(node, "s=b:large:1" + cursor)
            assert status == 200 and len(body) <= 1 << 20, len(body)
            seen += [e["data"]["n"] for e in parse(body)]
            cursor = "&cursor=" + head["Iorio-Cursor"]
        assert seen == list(range(12))


def test_what_is_malformed_is_refused():
    with Node(IORIOD) as node:
        for query, error in (("s=b", "invalid-field"),
                             ("s=b:s:x", "invalid-field"),
                             ("s=b:s:-1", "invalid-field"),
                             ("s=b:s:1:2", "invalid-field"),
                             ("s=:s", "invalid-field"),
                             ("", "invalid-field"),
                             ("s=b:s&cursor=xyz", "bad-cursor")):
            status, _, body = poll(node, query)
            assert status == 400 and parse(body)["type"] == error, (query, body)
        status, head, _ = node.request("HEAD", "/listen?s=b:s")
        assert status == 405 and head["Allow"] == "GET, OPTIONS"
        assert node.request("GET", "/listen?s=b:s", token=None)[0] == 401
        assert node.request("GET", "/listen?s=b:s", headers={
            "Accept": "image/png"})[0] == 406
        status, _, _ = node.request(
            "GET", f"/listen?wait=0&s=b:s&jwt={node.token}", token=None)
        assert status == 204


def test_a_stop_ends_listeners_in_order():
    with Node(IORIOD) as node:
        with Sse(node, "s=b:s") as sse:
            sse.settle()
            append(node, "b/s", 1)
            sse.take(1)
            answer = []
            t = threading.Thread(target=lambda: answer.append(
                poll(node, "s=b:s")))
            t.start()
            time.sleep(0.5)
            begun = time.monotonic()
            node.stop()
            assert time.monotonic() - begun < 5
            assert sse.ended_in_order()
            t.join(5)
            assert answer[0][0] == 204 and answer[0][1]["Iorio-Cursor"]


def test_the_leader_dies_under_a_listener():
    with Cluster(IORIOD, 3) as c:
        c.form()
        stream = "quakes/all"
        names = {node.name: node for node in c.nodes}
        fill(c.nodes[0], stream, 100000)
        leader = names[replicas(c.owners(), group_of(stream))[0]]
        others = [node for node in c.nodes if node is not leader]
        stop, sent = threading.Event(), []

        def write():
            n = 100000
            while not stop.is_set():
                status, _, _ = others[n % 2].request(
                    "POST", "/streams/" + stream, b'{"n":%d}' % n,
                    {"Content-Type": "application/json"})
                if status == 201:
                    sent.append(n)
                    n += 1
                elif status == 504:
                    n += 1
        writer = threading.Thread(target=write)
        with Sse(others[0], "s=quakes:all:1") as sse:
            writer.start()
            got = sse.take(50000)
            leader.kill()
            got += sse.take(50500, seconds=60)
            stop.set()
            writer.join()
            want = [e["meta"]["id"] for e in got]
            assert want == list(range(1, len(got) + 1))
            newest = int(others[1].request(
                "GET", "/streams/" + stream)[1]["Iorio-Last"])
            got += sse.take(newest - len(got))
        assert [e["meta"]["id"] for e in got] == list(range(1, newest + 1))
        data = [e["data"]["n"] for e in got]
        assert data[:100000] == list(range(100000))
        assert set(sent) <= set(data)


tap.run(sys.modules[__name__])
