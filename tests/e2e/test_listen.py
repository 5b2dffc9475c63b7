#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""GET /listen by long poll and text/event-stream.

usage: test_listen.py IORIOD [TEST...]"""
import json
import re
import sys
import threading
import time

import tap
from cluster import Cluster, eventually, group_of, replicas
from listeners import Socket, Sse, append, fill, poll
from node import Node, parse

IORIOD = sys.argv[1]


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


def count(node, name):
    _, _, text = node.request("GET", "/metrics")
    return int(re.search(rf"^{name} (\d+)", text.decode(), re.M)[1])


def test_several_subscriptions_catch_up_by_pages():
    with Node(IORIOD) as node:
        for stream in ("b/s", "b/t"):
            fill(node, stream, 10000)
        node.stop()
        node.start()  # most of it is in files only
        before = count(node, "iorio_channel_misses_total")
        seen = {"s": [], "t": []}
        with Sse(node, "s=b:s:1&s=b:t:1") as sse:
            for e in sse.take(20000):
                seen[e["meta"]["stream"]].append(e["meta"]["id"])
        assert seen["s"] == seen["t"] == list(range(1, 10001))
        pages = count(node, "iorio_channel_misses_total") - before
        assert 2 <= pages <= 200, pages


def test_an_event_of_several_lines_is_one_line_of_text():
    with Node(IORIOD) as node:
        for stream in ("b/s", "b/t"):
            status, _, _ = node.request("POST", f"/streams/{stream}",
                                        b'{\n"n":\r\n1}',
                                        {"Content-Type": "application/json"})
            assert status == 201
        for query in ("s=b:s:1", "s=b:s:1&s=b:t:1"):
            with Sse(node, query) as sse:
                for e in sse.take(1 + (query.count("b:") > 1)):
                    assert e["data"] == {"n": 1}


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
                             ("s=%ff", "invalid-field"),
                             ("s=%01", "invalid-field"),
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


def test_all_streams_of_a_bucket():
    with Node(IORIOD) as node:
        append(node, "b/old", "before")
        append(node, "other/s", "elsewhere")
        with Sse(node, "s=b:*") as sse:
            sse.settle()
            for i in range(5):
                append(node, "b/old", i)
                append(node, f"b/new{i}", i)
                append(node, "other/s", i)
            got = sse.take(10)
            seen = {(e["meta"]["stream"], e["data"]) for e in got}
            assert seen == {("old", i) for i in range(5)} | {
                (f"new{i}", i) for i in range(5)}
            assert len(sse.last_id) < 4096
            last = sse.last_id
            append(node, "b/new0", "later")
            sse.take(1)
        append(node, "b/new7", "more")
        with Sse(node, "s=b:*", {"Last-Event-ID": last}) as sse:
            got = {(e["meta"]["stream"], e["data"]) for e in sse.take(2)}
            assert got == {("new0", "later"), ("new7", "more")}
            append(node, "b/old", "live")
            assert sse.take(1)[0]["data"] == "live"


def test_as_many_buckets_as_a_cursor_can_name():
    with Node(IORIOD) as node:
        def query(n):
            return "&".join(f"s=b{i}:*" for i in range(n))
        status, _, body = poll(node, query(60) + "&wait=0")
        assert status == 400 and parse(body)["type"] == "invalid-field", body

        def asked():
            status, head, _ = poll(node, query(39) + "&wait=1")
            return status == 204 and head["Iorio-Cursor"]
        cursor = eventually(asked)
        append(node, "b38/s", "news")
        with Sse(node, query(39), {"Last-Event-ID": cursor}) as sse:
            assert sse.take(1)[0]["data"] == "news"


def test_a_cursor_of_a_bucket_goes_through_history():
    with Node(IORIOD) as node:
        status, head, _ = poll(node, "s=b:*&wait=0")
        assert status == 204
        first = head["Iorio-Cursor"]
        for i in range(20):
            fill(node, f"b/s{i % 7}", 300, start=i * 300)
        node.stop()
        node.start()  # nothing of it is in memory
        seen, cursor = [], first
        while len(seen) < 6000:
            status, head, body = poll(node, "s=b:*&cursor=" + cursor)
            assert status == 200, (status, len(seen))
            seen += [(e["meta"]["stream"], e["meta"]["id"])
                     for e in parse(body)]
            cursor = head["Iorio-Cursor"]
        assert len(set(seen)) == 6000
        for i in range(7):
            ids = [n for s, n in seen if s == f"s{i}"]
            assert ids == list(range(1, len(ids) + 1))
        assert poll(node, "wait=0&s=b:*&cursor=" + cursor)[0] == 204


def test_four_writers_and_polls_that_come_and_go():
    with Node(IORIOD) as node:
        cursor = poll(node, "s=b:*&wait=0")[1]["Iorio-Cursor"]
        errors, seen = [], {}

        def write(k):
            for i in range(500):
                append(node, f"b/s{i % 5}", [k, i])

        def one(k):
            got, at = [], 1
            while len(got) < 400:
                status, _, body = poll(node, f"s=b:s{k}:{at}&wait=5")
                if status == 200:
                    got += [tuple(e["data"]) for e in parse(body)]
                    at = parse(body)[-1]["meta"]["id"] + 1
            seen[k] = got

        def every(at):
            got = []
            while len(got) < 2000:
                status, head, body = poll(node, f"s=b:*&cursor={at}&wait=5")
                at = head["Iorio-Cursor"]
                if status == 200:
                    got += [(e["meta"]["stream"], e["meta"]["id"],
                             tuple(e["data"])) for e in parse(body)]
            seen["*"] = got

        def guard(f, *args):
            try:
                f(*args)
            except BaseException as e:
                errors.append(e)
        threads = [threading.Thread(target=guard, args=(write, k))
                   for k in range(4)]
        threads += [threading.Thread(target=guard, args=(one, k))
                    for k in range(5)]
        threads.append(threading.Thread(target=guard, args=(every, cursor)))
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
            assert not t.is_alive()
        assert not errors, errors
        for k in range(5):
            assert len(seen[k]) == 400 == len(set(seen[k]))
            want = [(n, data) for s, n, data in seen["*"] if s == f"s{k}"]
            assert want == list(enumerate(seen[k], 1))
        assert len(seen["*"]) == 2000


def test_a_deleted_stream_is_noticed():
    with Node(IORIOD) as node:
        fill(node, "b/s", 3)
        with Sse(node, "s=b:s:1") as one, Sse(node, "s=b:*") as wide, \
                Socket(node, "s=b:s:2&s=b:t:1") as ws:
            assert len(one.take(3)) == 3 and len(ws.take(2)) == 2
            wide.settle()
            last = one.last_id
            assert node.request("DELETE", "/streams/b/s")[0] == 204
            notice = {"notice": "deleted", "bucket": "b", "stream": "s"}
            assert one.take(1) == [notice] and ws.take(1) == [notice]
            append(node, "b/s", "again")
            for client in (one, ws):
                got = client.take(1)[0]
                assert got["meta"]["id"] == 1 and got["data"] == "again", got
            assert wide.take(1) == [notice]
            assert wide.take(1)[0]["data"] == "again"
        with Sse(node, "s=b:s:1", {"Last-Event-ID": last}) as sse:
            assert sse.take(1) == [notice]
            assert sse.take(1)[0]["data"] == "again"
        status, _, body = poll(node, "s=b:s:1")
        assert [e["data"] for e in parse(body)] == ["again"]


def test_deletions_in_a_bucket_are_noticed_where_they_happened():
    with Node(IORIOD) as node:
        cursor = poll(node, "s=b:*&wait=0")[1]["Iorio-Cursor"]
        want = {}
        with Sse(node, "s=b:*") as sse, Socket(node, "s=b:*") as ws:
            sse.settle()
            assert ws.ask(cmd="cursor")["ok"]
            for i in range(300):
                name = f"s{i % 40}"
                if i % 7 == 3 or i % 11 == 5:
                    assert node.request(
                        "DELETE", f"/streams/b/{name}")[0] == 204
                    if want.get(name, ["deleted"])[-1] != "deleted":
                        want[name].append("deleted")
                else:
                    append(node, "b/" + name, i)
                    want.setdefault(name, []).append(i)
            n = sum(map(len, want.values()))

            def by_stream(items):
                seen = {}
                for e in items:
                    meta = e.get("meta", e)
                    assert meta["bucket"] == "b"
                    seen.setdefault(meta["stream"], []).append(
                        e.get("notice", e.get("data")))
                return seen
            for client in (sse, ws):
                assert by_stream(client.take(n)) == want
            last = sse.last_id
        # A cursor from before: what is left, and that the rest is gone.
        left = {}
        for name, items in want.items():
            ended = [i for i, x in enumerate(items) if x == "deleted"]
            rest = items[ended[-1] + 1:] if ended else items
            left[name] = ["deleted"] * len(ended) + rest
        for _ in range(2):
            status, head, body = poll(node, "s=b:*&cursor=" + cursor)
            assert status == 200
            assert by_stream(parse(body)) == left
            after = head["Iorio-Cursor"]
            assert poll(node, "s=b:*&wait=0&cursor=" + after)[0] == 204
            node.stop()  # and from a manifest
            node.start()
        assert node.request("DELETE", "/buckets/b")[0] == 204
        alive = {name for name, items in left.items()
                 if items[-1] != "deleted"}
        with Sse(node, "s=b:*", {"Last-Event-ID": last}) as sse:
            got = sse.take(len(alive))
            assert {e["stream"] for e in got} == alive
            assert {e["notice"] for e in got} == {"deleted"}
            append(node, "b/s0", "once more")
            assert sse.take(1)[0]["data"] == "once more"


def test_a_cursor_from_before_what_is_remembered_of_deletions():
    long = "x" * 250
    group = group_of("b/" + long)
    alike = [n for n in map(str, range(1000))
             if group_of("b/" + n) == group][:2]
    with Node(IORIOD) as node:
        cursor = poll(node, "s=b:*&wait=0")[1]["Iorio-Cursor"]
        append(node, "b/" + alike[0], "first")
        assert node.request("DELETE", "/streams/b/" + alike[0])[0] == 204
        for i in range(250):
            append(node, "b/" + long, i)
            assert node.request("DELETE", "/streams/b/" + long)[0] == 204
        for name in alike:
            append(node, "b/" + name, "again")
        status, head, body = poll(node, "s=b:*&cursor=" + cursor)
        assert status == 200
        got = [(e.get("meta", e)["stream"],
                e.get("notice", e.get("data"))) for e in parse(body)]
        known = got.count((long, "deleted"))
        assert 100 < known < 250, known
        assert [x for x in got if x[0] != long] == [
            (alike[0], "deleted"), (alike[0], "again"),
            (alike[1], "deleted"), (alike[1], "again")], got[-4:]
        after = head["Iorio-Cursor"]
        assert poll(node, "s=b:*&wait=0&cursor=" + after)[0] == 204
        append(node, "b/" + alike[1], "more")
        status, _, body = poll(node, "s=b:*&cursor=" + after)
        assert [e["data"] for e in parse(body)] == ["more"]


def test_events_that_were_evicted_are_a_gap():
    with Node(IORIOD) as node:
        fill(node, "b/s", 3)
        cursor = poll(node, "s=b:*&wait=0")[1]["Iorio-Cursor"]
        one = poll(node, "s=b:s:2")[1]["Iorio-Cursor"]
        fill(node, "b/s", 7, start=3)
        append(node, "b/t", "whole")
        assert node.ask("PUT", "/policies/b/s", {"max_events": 3})[0] == 200
        gap = {"notice": "gap", "bucket": "b", "stream": "s", "first": 8}

        def shown(items):
            return [e if "notice" in e else (e["meta"]["stream"],
                                             e["meta"]["id"]) for e in items]
        want = [gap] + [("s", n) for n in (8, 9, 10)]
        wide = sorted(map(str, want + [("t", 1)]))
        for query, n in (("s=b:s:1", 4), ("s=b:s:7", 4),
                         ("s=b:s&cursor=" + one, 4),
                         ("s=b:*&cursor=" + cursor, 5)):
            status, head, body = poll(node, query)
            assert status == 200
            seen = [shown(parse(body))]
            with Sse(node, query) as sse, Socket(node, query) as ws:
                seen += [shown(sse.take(n)), shown(ws.take(n))]
            for got in seen:
                if n == 4:
                    assert got == want, (query, got)
                else:  # of two groups
                    assert sorted(map(str, got)) == wide, (query, got)
                    assert [x for x in got if x != ("t", 1)] == want
            assert poll(node, query.split("&")[0] + "&wait=0&cursor=" +
                        head["Iorio-Cursor"])[0] == 204
        # Who is there sees each, however few are kept.
        with Sse(node, "s=b:s:8") as sse, Sse(node, "s=b:*") as all_of_it:
            sse.take(3)
            all_of_it.settle()
            for i in range(20):
                append(node, "b/s", i)
                got = sse.take(1) + all_of_it.take(1)
                assert shown(got) == [("s", 11 + i)] * 2, got


def test_a_session_that_ends_takes_its_listeners_with_it():
    expired = {"notice": "auth-expired"}
    with Node(IORIOD) as node:
        append(node, "b/s", 1)
        with Sse(node, "s=b:s:1") as sse, Sse(node, "s=b:*") as wide, \
                Socket(node, "s=b:s:1") as ws:
            assert sse.take(1)[0]["data"] == ws.take(1)[0]["data"] == 1
            wide.settle()
            answer = []
            t = threading.Thread(target=lambda: answer.append(
                poll(node, "s=b:s:2")))
            t.start()
            time.sleep(0.5)
            assert node.request("DELETE", "/sessions")[0] == 204
            for client in (sse, wide, ws):
                assert client.take(1, 5) == [expired]
            assert sse.ended_in_order() and ws.closed() == 1008
            t.join(5)
            assert answer and parse(answer[0][2]) == [expired]


def test_who_does_not_read_costs_little_and_loses_nothing():
    with Node(IORIOD) as node:
        append(node, "b/s", -1)
        with Sse(node, "s=b:s:1") as slow, Sse(node, "s=b:*") as wide, \
                Socket(node, "s=b:s:1") as ws:
            for client in (slow, wide):
                client.settle()
            assert ws.ask(cmd="ping")["ok"]
            before = node.rss()
            fill(node, "warm/up", 5000, size=10000, batch=100)
            warm = node.rss() - before
            before = node.rss()
            fill(node, "b/s", 5000, size=10000, batch=100)
            cost = node.rss() - before
            # The cache of what was written is not theirs.
            assert cost < max(warm, 0) + (20 << 20), (cost >> 20, warm >> 20)
            for client, n in ((slow, 5001), (wide, 5000), (ws, 5001)):
                ids = []
                while len(ids) < n:
                    ids += [e["meta"]["id"] for e in client.take(1, 60)
                            if "notice" not in e]
                assert ids == list(range(5002 - n, 5002)), ids[:3]


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
        with Sse(others[0], "s=quakes:all:1") as sse, \
                Sse(others[1], "s=quakes:*") as wide:
            wide.settle()
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
            live = wide.take(newest - 100000)
            assert [e["meta"]["id"] for e in live] == list(
                range(100001, newest + 1))
        assert [e["meta"]["id"] for e in got] == list(range(1, newest + 1))
        data = [e["data"]["n"] for e in got]
        assert data[:100000] == list(range(100000))
        assert set(sent) <= set(data)


def test_a_listener_waits_until_users_are_known():
    with Cluster(IORIOD, 3, {"request.timeout": "1s"}) as c:
        c.form()
        one, two, _ = c.nodes
        append(one, "b/s", 1)
        for node in c.nodes:
            node.kill()

        def start_alone():
            one.start(wait=False)
            eventually(lambda: one.request("GET", "/livez",
                                           token=None)[0] == 200)
        start_alone()
        assert one.request("GET", "/streams/b/s")[0] == 503
        begun = time.monotonic()
        # By then it may go by the users that it knew before: nothing new yet.
        assert one.request("GET", "/listen?s=b:s&wait=0")[0] in (503, 204)
        assert 0.9 < time.monotonic() - begun < 5
        one.kill()
        one.options["request.timeout"] = "60s"
        start_alone()
        got = []

        def listen(client):
            with client(one, "s=b:s:1") as s:
                got.append(s.take(1)[0]["data"])
        threads = [threading.Thread(target=listen, args=(client,))
                   for client in (Sse, Socket)]
        threads.append(threading.Thread(target=lambda: got.append(
            parse(poll(one, "s=b:s:1")[2])[0]["data"])))
        for t in threads:
            t.start()
        time.sleep(1)
        assert not got and all(t.is_alive() for t in threads)
        two.start()
        for t in threads:
            t.join(30)
        assert got == [1, 1, 1]


tap.run(sys.modules[__name__])
