#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is kept: random calls and policies that change meanwhile, held against a
dumb oracle, on one node that crashes and on three that die in turn; time; what
listeners are told; files that go.

usage: test_retention.py IORIOD [TEST...]
ORACLE_SECONDS (4): how long random calls go on.
ORACLE_SEED: the calls of an earlier run."""
import os
import pathlib
import random
import re
import sys
import time

import calls
import tap
from cluster import Cluster, eventually
from listeners import Socket, Sse, append, fill, poll
from node import Node, parse

IORIOD = sys.argv[1]
SECONDS = float(os.environ.get("ORACLE_SECONDS", "4"))
SEED = int(os.environ.get("ORACLE_SEED", random.randrange(1 << 32)))
POLICIES = 60  # of a thousand calls


def keep(node, where, **limits):
    status, got = node.ask("PUT", "/policies/" + where, limits)
    assert status == 200 and "pending" not in got, got


def visible(node, stream):
    """(first, last, seqnums)"""
    status, head, data = node.request("GET", f"/streams/{stream}?from=1&"
                                      "limit=10000")
    assert status == 200, data
    return (int(head["Iorio-First"]), int(head["Iorio-Last"]),
            [e["meta"]["id"] for e in parse(data)])


# --- against the oracle, and time ---------------------------------------------

def time_passes(cluster):
    """It takes the newest event, too, at every node at once."""
    nodes = cluster.nodes
    keep(nodes[0], "time", max_age="3s")
    times = []
    for i in range(4):
        times.append(parse(nodes[i % 3].post("time/s", b"%d" % i)[1])
                     ["meta"]["t"])
        time.sleep(0.7)
    gone = set()
    while len(gone) < 3:
        for i, node in enumerate(nodes):
            before = time.time() * 1000
            first, last, seqs = visible(node, "time/s")
            after = time.time() * 1000
            assert last == 4
            assert first == (seqs[0] if seqs else 0)
            for k, t in enumerate(times, 1):
                assert k in seqs or after - t > 2000, (k, after - t)
                assert k not in seqs or before - t < 4500, (k, before - t)
            if not seqs:
                gone.add(i)
        assert time.time() * 1000 < times[-1] + 6000
        time.sleep(0.05)
    for node in nodes:
        status, got = node.ask("GET", "/streams/time/s/4")
        assert (status, got["type"], got["first"]) == (410, "gone", 5)
    assert append(nodes[1], "time/s", 4) == 5
    assert visible(nodes[2], "time/s") == (5, 5, [5])


def test_one_node_keeps_what_the_oracle_says():
    calls.one_node(IORIOD, SEED, SECONDS, POLICIES)


def test_three_nodes_keep_what_the_oracle_says_while_leaders_die():
    calls.three_nodes(IORIOD, SEED, SECONDS, POLICIES, then=time_passes)


# --- one after the other ------------------------------------------------------

def test_what_is_hidden_stays_hidden():
    with Node(IORIOD, {"retention.max_events": 100}) as node:
        fill(node, "b/s", 150)
        assert visible(node, "b/s") == (51, 150, list(range(51, 151)))
        keep(node, "b", max_events=10)
        assert visible(node, "b/s") == (141, 150, list(range(141, 151)))
        keep(node, "b/s", max_events=50)
        assert visible(node, "b/s")[0] == 141
        for end in (node.kill, node.stop):
            end()
            node.start()
            assert visible(node, "b/s")[0] == 141
        append(node, "b/s", 1)
        assert visible(node, "b/s") == (141, 151, list(range(141, 152)))
        status, got = node.ask("GET", "/streams/b/s/140")
        assert (status, got["type"], got["first"]) == (410, "gone", 141)
        # What was deleted and made again begins anew.
        assert node.ask("DELETE", "/streams/b/s")[0] == 204
        append(node, "b/s", 1)
        assert visible(node, "b/s") == (1, 1, [1])


def test_a_range_is_another_one_once_it_was_cut():
    with Node(IORIOD) as node:
        fill(node, "b/s", 20)
        path = "/streams/b/s?from=1&to=10"
        tag = node.request("GET", path)[1]["ETag"]
        assert node.request("GET", path, None,
                            {"If-None-Match": tag})[0] == 304
        keep(node, "b/s", max_events=15)
        status, head, data = node.request("GET", path, None,
                                          {"If-None-Match": tag})
        assert status == 200 and head["ETag"] != tag
        assert [e["meta"]["id"] for e in parse(data)] == [6, 7, 8, 9, 10]


# --- listeners ----------------------------------------------------------------

def test_listeners_are_told_of_the_gap():
    with Node(IORIOD) as node:
        fill(node, "b/s", 20)
        status, head, _ = poll(node, "s=b:*&wait=0")
        cursor = head["Iorio-Cursor"]
        fill(node, "b/s", 20, start=20)
        with Sse(node, "s=b:s:1") as sse:
            sse.take(40)
            last = sse.last_id
        fill(node, "b/s", 60, start=40)
        keep(node, "b", max_events=10)
        gap = {"notice": "gap", "bucket": "b", "stream": "s", "first": 91}
        ids = list(range(91, 101))

        def split(got):
            return ([x for x in got if "notice" in x],
                    [x["meta"]["id"] for x in got if "meta" in x])
        for query, headers in (("s=b:s:1", {}), ("s=b:s:90", {}),
                               ("s=b:s:1", {"Last-Event-ID": last}),
                               ("s=b:*&cursor=" + cursor, {})):
            with Sse(node, query, headers) as sse:
                assert split(sse.take(11)) == ([gap], ids), query
        for query in ("s=b:s:90", "s=b:*&cursor=" + cursor):
            status, _, data = poll(node, query)
            assert (status, split(parse(data))) == (200, ([gap], ids)), query
        with Socket(node, "s=b:s:5") as ws:
            assert split(ws.take(11)) == ([gap], ids)
        # There is none for who asks for what is there.
        with Sse(node, "s=b:s:91") as sse:
            assert split(sse.take(10)) == ([], ids)


def test_who_follows_a_bucket_is_told_when_all_that_is_new_is_hidden():
    with Node(IORIOD) as node:
        fill(node, "b/s", 3)
        query = "s=b:*&cursor=" + poll(node, "s=b:*&wait=0")[1]["Iorio-Cursor"]
        fill(node, "b/s", 4, start=3)
        keep(node, "b/s", max_age=1)
        eventually(lambda: visible(node, "b/s")[0] == 0)
        gap = {"notice": "gap", "bucket": "b", "stream": "s", "first": 8}
        status, head, data = poll(node, query)
        assert (status, parse(data)) == (200, [gap])
        with Sse(node, query) as sse:
            assert sse.take(1) == [gap]
        query = "s=b:*&wait=0&cursor=" + head["Iorio-Cursor"]
        assert poll(node, query)[0] == 204


def test_who_follows_a_bucket_is_not_told_of_what_it_has_had():
    with Node(IORIOD) as node:
        fill(node, "b/s", 15)  # of one moment
        query = "s=b:*&cursor=" + poll(node, "s=b:*&wait=0")[1]["Iorio-Cursor"]
        fill(node, "b/s", 5, start=15)
        keep(node, "b/s", max_events=12)
        node.stop()
        node.start()  # where it stands is looked for in files, by time
        status, _, data = poll(node, query)
        assert status == 200
        assert [e.get("meta", e).get("id") for e in parse(data)] == [
            16, 17, 18, 19, 20]


# --- files --------------------------------------------------------------------

def chunk_bytes(node):
    return sum(p.stat().st_size
               for p in pathlib.Path(node.root, "data").rglob("*.chunk")
               if "attic" not in str(p))


def test_files_go():
    mb = int(os.environ.get("RETENTION_MB", "48"))
    with Node(IORIOD, {"retention.interval": "1s", "journal.segment": "8MB",
                       "journal.max": "32MB", "http.max_body": "2MB"}) as node:
        keep(node, "b", max_bytes="1MB")
        most = 0
        for i in range(mb):
            for stream in ("b/one", "b/two"):
                fill(node, stream, 256, 2048)
            most = max(most, chunk_bytes(node))
        kept = 2 * (1 << 20)
        one_chunk = 2 * (4 << 20) * 2  # one that is closed, one that is written
        journal = 32 << 20
        assert most <= kept + one_chunk + journal, most
        eventually(lambda: chunk_bytes(node) <= kept + one_chunk, 30)
        status, _, text = node.request("GET", "/metrics")
        got = {k: int(v) for k, v in re.findall(
            r"^iorio_retention_(\w+)_total (\d+)$", text.decode(), re.M)}
        # All but the newest chunks: each has 4 MiB or 4,096 events.
        assert got["chunks"] >= 2 * (mb * 256 * 2048 / (4 << 20) - 3), got
        assert got["events"] >= 2 * (256 * mb - 3 * 4096), got
        assert got["bytes"] > got["events"] * 2048, got
        before = visible(node, "b/one")
        assert before[1] == 256 * mb and before[0] > 256 * (mb - 4)
        node.kill()
        node.start()
        assert visible(node, "b/one") == before


def test_who_is_filled_hides_the_same():
    """Replicas that come to be when chunks of streams are gone already."""
    with Cluster(IORIOD, 3, {"retention.interval": "1s"}) as cluster:
        first = cluster.nodes[0]
        keep(first, "b", max_bytes="1MB")
        keep(first, "b/old", max_age="1s")
        append(first, "b/old", 1)
        for stream in ("b/one", "b/two"):
            for _ in range(6):
                fill(first, stream, 64, 32768)
        before = [visible(first, f"b/{s}") for s in ("one", "two")]
        assert all(b[0] == 384 - len(b[2]) + 1 > 300 for b in before)
        eventually(lambda: chunk_bytes(first) < 12 << 20, 30)
        eventually(lambda: not visible(first, "b/old")[2], 10)
        cluster.form()
        for node in cluster.nodes:
            for any_one in ("", "&consistency=any"):
                for stream, want in zip(("one", "two"), before):
                    status, head, data = node.request(
                        "GET", f"/streams/b/{stream}?from=1&limit=1000" +
                        any_one)
                    assert status == 200
                    assert [e["meta"]["id"] for e in parse(data)] == want[2]
                    assert int(head["Iorio-First"]) == want[0]
        # What they have suffices for them to go on alone with it.
        last = cluster.nodes[2]
        keep(cluster.nodes[1], "b", max_events=5)
        assert append(last, "b/old", 2) == 2
        first.kill()
        eventually(lambda: visible(last, "b/one")[0] == 380, 20)
        eventually(lambda: visible(last, "b/old")[:2] == (0, 2), 20)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
