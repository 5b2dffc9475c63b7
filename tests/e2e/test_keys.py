#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Idempotency keys (http-api.md section 4.1): a request that comes again is
answered again and stores nothing, whatever happened to the nodes meanwhile.

usage: test_keys.py IORIOD [TEST...]"""
import http.client
import random
import sys
import threading
import time

import tap
from cluster import Cluster, eventually
from node import Node, answers, parse, shared

IORIOD = sys.argv[1]
NDJSON = "application/x-ndjson"
fresh = shared(IORIOD)


def append(stream, key, body=b"1", method="POST",
           content_type="application/json", at=None, headers=None):
    """(status, replayed, headers, body)."""
    status, head, data = (at or fresh()).request(
        method, "/streams/" + stream, body,
        {"Content-Type": content_type, "Idempotency-Key": key,
         **(headers or {})})
    replayed = head["Idempotent-Replayed"]
    assert replayed in (None, "true"), replayed
    return status, bool(replayed), head, parse(data) if data else None


def values(stream, at=None):
    return [e["data"] for e in
            parse((at or fresh()).events(stream, "?from=1&limit=10000"))]


# --- one node ---------------------------------------------------------------

def test_the_same_request_is_answered_again_and_stores_nothing():
    for method, content_type, body, count in (
            ("POST", "application/json", b'{"a":1}', 1),
            ("PUT", "application/json", b'{"a":1}', 1),
            ("POST", "image/png", b"\0\1", 1),
            ("PUT", NDJSON, b"1\n2\n3\n", 3)):
        s = f"same/{method}-{content_type.replace('/', '-')}"
        status, replayed, head, first = append(s, "k", body, method,
                                               content_type)
        assert (status, replayed) == (201, False), (method, content_type)
        for i in range(3):
            status, replayed, again, got = append(
                s, "k", body, ("POST", "PUT")[i % 2], content_type)
            assert (status, replayed, got) == (201, True, first)
            assert again["Location"] == head["Location"]
            assert again["iorio-replicas"] == "1"
        assert append(s, "other", body, method, content_type)[:2] == \
            (201, False)
        assert append(s + "2", "k", body, method, content_type)[:2] == \
            (201, False)
        assert fresh().request("GET", f"/streams/{s}?limit=0")[1][
            "Iorio-Last"] == str(2 * count)


def test_another_body_or_type_under_the_key_is_refused():
    s = "other/s"
    assert append(s, "k", b'{"a":1}')[0] == 201
    for body, content_type in ((b'{"a":2}', "application/json"),
                               (b'{"a": 1}', "application/json"),
                               (b'{"a":1}', "application/json; charset=utf-8"),
                               (b'{"a":1}', "text/plain"),
                               (b'{"a":1}', NDJSON), (b'{"a":1}\n', NDJSON)):
        status, replayed, _, got = append(s, "k", body,
                                          content_type=content_type)
        assert (status, got["type"], replayed) == \
            (422, "idempotency-mismatch", False), (body, content_type)
    assert append(s, "k", b'{"a":1}')[:2] == (201, True)
    assert values(s) == [{"a": 1}]


def test_what_failed_is_not_remembered():
    s = "fail/s"
    for body, content_type, want in ((b"{", "application/json", 400),
                                     (b"1\n{\n", NDJSON, 400)):
        assert append(s, "k", body, content_type=content_type)[0] == want
    assert append(s, "k", headers={"If-Match": '"7"'})[0] == 412
    assert append(s, "k", b"2")[:2] == (201, False)
    assert values(s) == [2]


def test_a_bad_key_is_refused():
    for key in ("", "x" * 65, "a\tb", "\xe4"):
        for method in ("POST", "PUT"):
            status, _, _, got = append("bad/s", key, method=method)
            assert (status, got["type"]) == (400, "bad-request"), key
    n = fresh()
    got = answers(n.raw(n.head(
        "POST /streams/bad/s", "Content-Type: application/json",
        "Idempotency-Key: a", "Idempotency-Key: a", "Content-Length: 1") +
        b"1", half_close=True))
    assert got[0][0] == 400, got
    assert values("bad/s") == []
    for key in ("x", "x" * 64, "a b", "!~", '"quoted"'):
        assert append("bad/s", key)[:2] == (201, False)
        assert append("bad/s", key)[:2] == (201, True)


def test_the_key_is_asked_for_before_the_condition():
    s = "if/s"
    for i, condition in enumerate(({"If-None-Match": "*"},
                                   {"If-Match": '"1"'}, {"If-Match": '"2"'})):
        for again in (False, True):
            status, replayed, _, got = append(s, f"k{i}", b"%d" % i, "PUT",
                                              headers=condition)
            assert (status, replayed, got["meta"]["id"]) == (201, again, i + 1)
    assert append(s, "k9", b"9", "PUT", headers={"If-Match": '"1"'})[0] == 412
    assert append(s, "k0", b"9", "PUT",
                  headers={"If-None-Match": "*"})[0] == 422
    assert values(s) == [0, 1, 2]


def test_keys_go_with_their_stream():
    s, n = "gone/s", fresh()
    for _ in range(2):
        for i in range(3):
            for again in (False, True):
                status, replayed, _, got = append(s, f"k{i}", b"%d" % i)
                assert (status, replayed, got["meta"]["id"]) == \
                    (201, again, i + 1)
        assert n.request("DELETE", "/streams/" + s)[0] == 204
    n.kill()
    n.start()
    assert append(s, "k2", b"9")[:2] == (201, False)
    assert values(s) == [9]


def test_who_asks_at_once_with_one_key_gets_one_event():
    for round in range(5):
        s, got = f"race/{round}", []

        def ask():
            got.append(append(s, "k", b'{"n":1}'))
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(got) == 20
        assert sorted(g[1] for g in got) == [False] + [True] * 19
        assert all(g[0] == 201 and g[3] == got[0][3] for g in got), got
        assert values(s) == [{"n": 1}]


JSON_PATCH = "application/json-patch+json"


def patch(stream, key, body, headers=None):
    return append(stream, key, body, "PATCH", JSON_PATCH, headers=headers)


def test_a_patch_is_done_once_though_it_would_not_fit_again():
    s, n = "patch/s", fresh()
    once = (b'[{"op":"test","path":"/n","value":1},'
            b'{"op":"replace","path":"/n","value":2}]')
    status, _, _, got = patch(s, "k", once)
    assert (status, got["type"]) == (404, "not-found")  # not remembered
    assert append(s, "doc", b'{"n":1}')[0] == 201
    for again in (False, True, True):
        status, replayed, _, got = patch(s, "k", once, {"If-Match": '"1"'})
        assert (status, replayed, got["meta"]["id"]) == (200, again, 2), got
    assert patch(s, "k2", once)[0] == 400
    for body, method, content_type in ((once + b" ", "PATCH", JSON_PATCH),
                                       (b"{}", "PATCH",
                                        "application/merge-patch+json"),
                                       (once, "POST", JSON_PATCH)):
        status, replayed, _, got = append(s, "k", body, method, content_type)
        assert (status, got["type"]) == (422, "idempotency-mismatch"), body
    # whatever the document is by now
    assert n.post(s, b"x", content_type="text/plain")[0] == 201
    for headers in ({}, {"If-Match": '"1"'}):
        status, replayed, _, again = patch(s, "k", once, headers)
        assert (status, replayed) == (200, True)
        assert again["meta"]["id"] == 2
    assert patch(s, "k3", once)[0] == 400
    assert patch(s, "k3", once, {"If-Match": '"1"'})[0] == 412
    n.stop()
    n.start()
    assert patch(s, "k", once)[:2] == (200, True)
    assert len(values(s + "-%24patch")) == 1


def test_patches_at_once_with_one_key_are_one():
    s, got = "patch/race", []
    assert append(s, "doc", b"[]")[0] == 201

    def ask():
        got.append(patch(s, "k", b'[{"op":"add","path":"/-","value":1}]'))
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(g[1] for g in got) == [False] + [True] * 19
    assert all(g[0] == 200 and g[3] == got[0][3] for g in got), got
    assert values(s) == [[], [1]]


def keyed(n, stream, key, body=b"1"):
    """The bytes of a request."""
    return n.head(f"POST /streams/{stream}", "Content-Type: application/json",
                  f"Idempotency-Key: {key}",
                  f"Content-Length: {len(body)}") + body


def test_requests_in_one_connection_see_the_keys_before_them():
    n = fresh()
    out = b"".join(keyed(n, "pipe/s", i // 2, b"%d" % (i // 4))
                   for i in range(20))
    got = answers(n.raw(out, half_close=True))
    assert [g[0] for g in got] == [201] * 20
    assert ["idempotent-replayed" in g[1] for g in got] == [False, True] * 10
    assert values("pipe/s") == [i // 2 for i in range(10)]


def test_the_newest_thousand_of_a_stream_count():
    n = fresh()
    out = b"".join(keyed(n, "many/s", i) for i in range(1010))
    got = answers(n.raw(out, half_close=True))
    assert [g[0] for g in got] == [201] * 1010
    # all replays first: a key that is new pushes out the oldest
    for i in (10, 11, 1009, 10):
        assert append("many/s", str(i))[:2] == (201, True), i
    for i in (9, 0):
        assert append("many/s", str(i))[:2] == (201, False), i
    for i in (10, 11):
        assert append("many/s", str(i))[:2] == (201, False), i
    assert append("many/s", "14")[:2] == (201, True)


def test_a_key_counts_for_its_window():
    with Node(IORIOD, {"idempotency.window": "1s"}) as n:
        assert append("w/s", "k", at=n)[:2] == (201, False)
        assert append("w/s", "k", at=n)[:2] == (201, True)
        time.sleep(1.1)
        assert append("w/s", "k", b"2", at=n)[:2] == (201, False)
        assert append("w/s", "k", b"2", at=n)[:2] == (201, True)
        n.kill()
        n.start()
        time.sleep(1.1)
        assert append("w/s", "k", at=n)[:2] == (201, False)
        assert values("w/s", n) == [1, 2, 1]


def test_a_group_has_its_share_of_the_node():
    options = {"ring_size": 8, "idempotency.max": 90}  # and the root: 10
    with Node(IORIOD, options) as n:
        def ask(key):
            status, replayed, _, _ = append("max/s", str(key), at=n)
            assert status == 201
            return replayed
        for again in range(2):
            assert not any(ask(i) for i in range(1, 13))
            n.kill()
            n.start()
            assert all(ask(i) for i in range(3, 13))
            assert not any(ask(i) for i in range(100, 110))


def test_keys_survive_kill_9_and_checkpoints():
    with Node(IORIOD, {"journal.segment": "4MB", "journal.max": "16MB",
                       "http.max_body": "1MB", "workers": 2}) as n:
        want, pad = {}, b'"' + b"x" * 20000 + b'"'
        for round in range(4):
            c = n.connect()
            for i in range(300):
                stream, key = f"d{i % 7}/s", f"{round}-{i}"
                status, head, data = n.request(
                    "POST", f"/streams/{stream}", pad if i % 2 else b"1",
                    {"Content-Type": "application/json",
                     "Idempotency-Key": key}, connection=c)
                assert status == 201 and not head["Idempotent-Replayed"]
                want[stream, key, i % 2] = parse(data)
            if round % 2:
                time.sleep(0.3)
            if round == 2:
                n.stop()
            else:
                n.kill()
            n.start()
            for (stream, key, padded), meta in want.items():
                got = append(stream, key, pad if padded else b"1", at=n)
                assert (got[0], got[1], got[3]) == (201, True, meta), key


# --- a cluster --------------------------------------------------------------

class Stubborn(threading.Thread):
    """Appends 0, 1, 2 ... to a stream, each under a key of its own, and asks
    anywhere until it is told that the event is there."""

    def __init__(self, stream, nodes):
        super().__init__()
        self.stream, self.nodes = stream, nodes
        self.next = self.replayed = self.failed = 0
        self.error = None
        self.ending = False

    def once(self):
        try:
            status, replayed, _, got = append(
                self.stream, f"{self.stream}:{self.next}", b"%d" % self.next,
                random.choice(("PUT", "POST")), at=random.choice(self.nodes))
        except (OSError, http.client.HTTPException):
            status = 0
        if status != 201:
            assert status in (0, 503, 504), (status, got)
            self.failed += 1
            time.sleep(0.05)
            return
        assert got["meta"]["id"] == self.next + 1, (got, self.next)
        self.replayed += replayed
        self.next += 1

    def run(self):
        try:
            while not self.ending:
                self.once()
                time.sleep(0.02)
        except Exception as e:
            self.error = e

    def end(self):
        self.ending = True
        self.join()
        if self.error:
            raise self.error
        return self.stream, self.next


def check_counts(cluster, counts):
    for k, n in enumerate(cluster.nodes, 1):
        for stream, count in counts:
            def all_there():
                got = values(stream, n)
                # the last try may have been done and not been answered
                assert got in (list(range(count)), list(range(count + 1))), \
                    (n.name, stream, count, got[-5:])
                return True
            eventually(all_there, 20)


def test_who_asks_until_it_is_done_gets_each_event_once_while_nodes_die():
    with Cluster(IORIOD, 3) as cluster:
        cluster.form()
        threads = [Stubborn(f"b{i}/s", cluster.nodes) for i in range(12)]
        for t in threads:
            t.start()
        for n in cluster.nodes * 2:
            time.sleep(0.5)
            n.kill()
            time.sleep(3)
            n.start()
            time.sleep(2)
        counts = [t.end() for t in threads]
        print(f"# {sum(c for _, c in counts)} events, "
              f"{sum(t.failed for t in threads)} tries failed, "
              f"{sum(t.replayed for t in threads)} replays", flush=True)
        assert all(c > 20 for _, c in counts), counts
        check_counts(cluster, counts)


def test_a_node_that_joins_and_leads_has_the_keys():
    streams = [f"j{i}/s" for i in range(40)]
    with Cluster(IORIOD, 3) as cluster:
        first = cluster.nodes[0]
        want = {(s, k): append(s, str(k), b"%d" % k, at=first)[3]
                for k in range(5) for s in streams}

        def check(nodes):
            for (s, k), meta in want.items():
                n = random.choice(nodes)

                def again():
                    got = append(s, str(k), b"%d" % k, at=n)
                    assert (got[0], got[1], got[3]) == (201, True, meta), got
                    return True
                eventually(again, 20)
        check([first])
        cluster.form()
        check(cluster.nodes)
        assert len(set(cluster.owners())) == 3  # each leads what it owns
        first.kill()
        check(cluster.nodes[1:])
        for s in streams:
            got = append(s, "0", b"9", at=cluster.nodes[1])
            assert got[0] == 422, got
            assert values(s, cluster.nodes[2]) == list(range(5))


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
