#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""DELETE of streams and buckets (http-api.md sections 4.3 to 4.5): what is gone is
gone, what comes after it is another stream, and the disk gets its room back.

usage: test_delete.py IORIOD [TEST...]"""
import glob
import http.client
import json
import random
import sys
import threading
import time

import tap
from cluster import Cluster, eventually
from listeners import Sse, append
from node import Node, parse, shared

IORIOD = sys.argv[1]
NDJSON = "application/x-ndjson"
fresh = shared(IORIOD, {"workers": 2})


def delete(path, n=None, **kw):
    return (n or fresh()).request("DELETE", path, **kw)


def batch(n, stream, count):
    lines = b"".join(b'{"i":%d}\n' % i for i in range(1, count + 1))
    status, data = n.post(stream, lines, content_type=NDJSON)
    assert status == 201, data
    return parse(data)["meta"]


def head(n, stream):
    status, headers, body = n.request("GET", f"/streams/{stream}?limit=3")
    assert status == 200
    return int(headers["Iorio-First"]), int(headers["Iorio-Last"]), body


def test_a_deleted_stream_is_as_if_it_had_never_been():
    n = fresh()
    batch(n, "d/one", 5)
    assert head(n, "d/one")[:2] == (1, 5)
    for _ in range(3):  # also when there is nothing
        status, headers, body = delete("/streams/d/one")
        assert (status, body) == (204, b""), (status, body)
        assert headers["Content-Length"] is None
        assert headers["Content-Type"] is None
        assert head(n, "d/one") == (0, 0, b"[]")
    assert delete("/streams/never/there")[0] == 204
    assert n.request("GET", "/streams/d/one/1")[0] == 404
    # seqnums begin again
    status, data = n.post("d/one", b'"again"')
    assert (status, parse(data)["meta"]["id"]) == (201, 1)
    assert head(n, "d/one")[:2] == (1, 1)
    assert parse(n.events("d/one"))[0]["data"] == "again"


def test_conditions_hold_again():
    n = fresh()

    def put(condition, expected):
        status, _, data = n.request(
            "PUT", "/streams/cond/s", b"1",
            {"Content-Type": "application/json", **condition})
        assert status == expected, (status, data)
        return parse(data)

    for condition in ({"If-Match": '"0"'}, {"If-None-Match": "*"}):
        put(condition, 201)
        assert put(condition, 412)["got"] == 1
        put({"If-Match": '"1"'}, 201)
        assert delete("/streams/cond/s")[0] == 204
        assert put({"If-Match": '"2"'}, 412)["got"] == 0
    # pipelined: the append behind the deletion makes a new stream
    batch(n, "cond/p", 7)
    body = b'{"x":1}'
    one = n.head("PUT /streams/cond/p", "Content-Type: application/json",
                 'If-None-Match: *', f"Content-Length: {len(body)}") + body
    with n.open() as s:
        s.sendall(n.head("DELETE /streams/cond/p") + one + one +
                  n.head("DELETE /streams/cond/p") + one +
                  n.head("GET /streams/cond/p?limit=9", "Connection: close"))
        out = b""
        while part := s.recv(65536):
            out += part
    statuses = [int(x.split()[0]) for x in out.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [204, 201, 412, 204, 201, 200], statuses
    assert head(n, "cond/p")[:2] == (1, 1)


def test_what_caches_have_of_the_one_before_is_not_that_of_the_next():
    n = fresh()
    tags = set()
    for _ in range(3):
        batch(n, "tag/s", 3)
        for path in ("?from=1&to=3", "/2"):
            status, headers, _ = n.request("GET", "/streams/tag/s" + path)
            assert status == 200 and headers["ETag"] not in tags
            for tag in tags:
                assert n.request("GET", "/streams/tag/s" + path, None,
                                 {"If-None-Match": tag})[0] == 200
            tags.add(headers["ETag"])
        assert delete("/streams/tag/s")[0] == 204
    assert len(tags) == 6


def test_lists_show_it_no_more_and_an_empty_bucket_neither():
    n = fresh()

    def names(path):
        got = parse(n.request("GET", path)[2])
        assert got["status"] == "ok"
        return got["data"]

    streams = [f"s{i:02}" for i in range(40)] + ["a b", "x-$patch"]
    for s in streams:
        assert n.post("li%20st/" + s.replace(" ", "%20"), b"1")[0] == 201
    left = sorted(streams)
    for s in random.Random(1).sample(streams, len(streams)):
        assert names("/streams/li%20st") == left
        assert "li st" in names("/buckets")
        path = "/streams/li%20st/" + s.replace(" ", "%20")
        status = delete(path)[0]
        if s.endswith("-$patch"):
            assert status in (204, 400), status
            if status == 400:
                break
        assert status == 204, (s, status)
        left.remove(s)
    assert delete("/buckets/li%20st")[0] == 204
    assert names("/streams/li%20st") == []
    assert "li st" not in names("/buckets")


def test_a_bucket_goes_with_all_its_streams():
    with Node(IORIOD, {"workers": 2}) as n:
        c = n.connect()
        for i in range(1000):
            assert n.post(f"big/s{i}", b'{"n":1}', c)[0] == 201
        batch(n, "other/s", 3)
        begun = time.monotonic()
        assert delete("/buckets/big", n)[0] == 204
        took = time.monotonic() - begun
        print(f"# 1,000 streams in {took:.2f} s")
        assert took < 20
        assert parse(n.request("GET", "/streams/big")[2])["data"] == []
        assert parse(n.request("GET", "/buckets")[2])["data"] == ["other"]
        assert delete("/buckets/big", n)[0] == 204
        assert delete("/buckets/never", n)[0] == 204
        assert delete("/buckets/a%3Ab", n)[0] == 400
        assert n.post("big/s1", b"2", c)[0] == 201
        n.stop()
        n.start()
        assert parse(n.request("GET", "/streams/big")[2])["data"] == ["s1"]
        assert head(n, "other/s")[:2] == (1, 3)


def chunks(n):
    """Files of streams, without those of the root group."""
    return sum("/vnodes/64-" not in path for path in
               glob.glob(f"{n.root}/data/*/vnodes/*/*.chunk"))


def wait_until(what, seconds=90):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_disk_gets_its_room_back():
    n = Node(IORIOD, {"workers": 2})
    with n:
        body = b'"' + b"x" * 100000 + b'"'
        for i in range(100):  # several chunks
            assert n.post("room/big", body)[0] == 201
        for i in range(50):
            assert n.post(f"room/s{i}", body)[0] == 201
        n.stop()  # all is in files
        n.start()
        assert chunks(n) >= 53
        assert delete("/buckets/room", n)[0] == 204
        n.kill()
        n.start()  # deleted again by the journal
        assert parse(n.request("GET", "/streams/room")[2])["data"] == []
        n.stop()  # the checkpoint drops them, the node ends before they go
        n.start()
        wait_until(lambda: chunks(n) == 0)
        assert n.post("room/big", b"1")[0] == 201
        assert head(n, "room/big")[:2] == (1, 1)


def test_a_long_read_does_not_run_into_the_next_stream():
    n = fresh()
    line = b'{"v":"' + b"a" * 1000 + b'"}\n'
    for _ in range(8):
        assert n.post("long/s", line * 5000, content_type=NDJSON)[0] == 201
    s = n.open(30)
    s.sendall(n.head("GET /streams/long/s?from=1", "Accept: " + NDJSON))
    out = s.recv(65536)
    assert delete("/streams/long/s")[0] == 204
    for _ in range(8):
        assert n.post("long/s", line.replace(b"a", b"b") * 5000,
                      content_type=NDJSON)[0] == 201
    while part := s.recv(1 << 20):
        out += part
    s.close()
    assert b"bbbb" not in out
    assert not out.endswith(b"0\r\n\r\n"), "it looks whole"


def test_methods_and_refusals():
    n = fresh()
    for path, allow in (("/streams/a/b", "DELETE"), ("/buckets/a", "DELETE")):
        status, headers, _ = n.request("OPTIONS", path)
        assert status == 200 and allow in headers["Allow"]
    assert delete("/streams/a/b", token=None)[0] == 401
    assert delete("/buckets/a", token=None)[0] == 401
    assert delete("/streams/a")[0] == 405
    assert delete("/buckets")[0] == 405
    assert n.request("GET", "/buckets/a")[0] == 405
    assert delete("/streams/a/*")[0] == 400


def test_who_listens_is_told_and_hears_the_next_from_its_beginning():
    n = fresh()
    for i in range(3):
        append(n, "heard/s", i)
    with Sse(n, "s=heard:s:2") as sse, Sse(n, "s=heard:other") as other:
        assert [e["data"] for e in sse.take(2)] == [1, 2]
        other.settle()
        last = sse.last_id
        assert delete("/streams/heard/s")[0] == 204
        append(n, "heard/s", "again")
        append(n, "heard/other", "x")
        got = sse.take(2)
        assert got[0] == {"notice": "deleted", "bucket": "heard",
                          "stream": "s"}, got
        assert (got[1]["meta"]["id"], got[1]["data"]) == (1, "again"), got
        assert other.take(1)[0]["data"] == "x"
    with Sse(n, "s=heard:s", {"Last-Event-ID": last}) as sse:
        got = sse.take(2)
        assert got[0]["notice"] == "deleted"
        assert got[1]["meta"]["id"] == 1


def test_keys_go_with_their_stream_and_its_patches_stay():
    n = fresh()

    def keyed(body):
        status, headers, data = n.request(
            "POST", "/streams/key/s", body,
            {"Content-Type": "application/json", "Idempotency-Key": "k"})
        return status, headers["Idempotent-Replayed"], data

    first = keyed(b'{"a":1}')
    assert first[:2] == (201, None)
    assert keyed(b'{"a":1}') == (201, "true", first[2])
    assert keyed(b'{"a":2}')[0] == 422
    status, _, data = n.request(
        "PATCH", "/streams/key/s", b'{"a":3}',
        {"Content-Type": "application/merge-patch+json"})
    assert status == 200, data
    assert delete("/streams/key/s")[0] == 204
    # in the stream that comes next the key is new
    status, replayed, data = keyed(b'{"a":2}')
    assert (status, replayed, parse(data)["meta"]["id"]) == (201, None, 1)
    n.kill()
    n.start()
    assert keyed(b'{"a":2}') == (201, "true", data)
    assert len(parse(n.events("key/s-$patch"))) == 1
    assert len(parse(n.events("key/s"))) == 1


def test_memory_is_given_back():
    with Node(IORIOD, {"workers": 2}) as n:
        c = n.connect()
        sizes = []
        for turn in range(4):
            for i in range(1000):
                assert n.post(f"mem/stream-{turn}-{i}", b'"%s"' % (b"x" * 4000),
                              c)[0] == 201
            assert delete("/buckets/mem", n)[0] == 204
            sizes.append(n.rss())
        print("# MiB after each round: " +
              " ".join(f"{s >> 20}" for s in sizes))
        # 4 MB of events a round, and what a thousand streams cost
        assert sizes[-1] - sizes[1] < 12 << 20, sizes


class Churn(threading.Thread):
    """Appends to one stream and deletes it now and then; knows what must be
    there, as far as it was told."""

    def __init__(self, n, name, seed):
        super().__init__(daemon=True)
        self.node, self.name = n, name
        self.rng = random.Random(seed)
        self.stopped = False
        # what is acknowledged: events since the last deletion; and whether
        # the last operation is in doubt
        self.events, self.doubt = [], None
        self.n = 0

    def run(self):
        c = None
        while not self.stopped:
            body = b"%d" % self.n
            self.n += 1
            kill = self.rng.random() < 0.1
            self.doubt = "delete" if kill else body
            try:
                c = c or self.node.connect(timeout=10)
                if kill:
                    status = self.node.request(
                        "DELETE", "/streams/" + self.name, connection=c)[0]
                    assert status in (204, 503, 504), status
                    if status == 204:
                        self.events = []
                else:
                    status, data = self.node.post(self.name, body, c)
                    assert status in (201, 503, 504), (status, data)
                    if status == 201:
                        self.events.append(body)
                        meta = parse(data)["meta"]
                        assert meta["id"] == len(self.events), (
                            meta, self.events)
                if status == 504:
                    return
                self.doubt = None
            except (OSError, http_errors):
                return

    def check(self):
        got = [json.dumps(e["data"]).encode()
               for e in parse(self.node.events(self.name))]
        allowed = [self.events]
        if self.doubt == "delete":
            allowed.append([])
        elif self.doubt:
            allowed.append(self.events + [self.doubt])
        assert got in allowed, (self.name, got, allowed)
        self.events, self.doubt = got, None


http_errors = http.client.HTTPException


def test_kill_loops():
    with Node(IORIOD, {"workers": 2, "journal.segment": "32MB"}) as n:
        assert n.token  # nobody is logging in while the node is killed
        churns = [Churn(n, f"churn/{i}", i) for i in range(6)]
        for turn in range(5):
            for c in churns:
                c.start()
            time.sleep(random.uniform(0.2, 1.2))
            n.kill()
            for c in churns:
                c.stopped = True
                c.join()
            n.start()
            again = []
            for c in churns:
                c.check()
                d = Churn(n, c.name, c.n + turn)
                d.events, d.n = c.events, c.n
                again.append(d)
            churns = again


class Wander(threading.Thread):
    """The same through all nodes of a cluster; where the end of a request is
    not known, that stream is left as it is, and another one begun."""

    def __init__(self, nodes, name, seed):
        super().__init__(daemon=True)
        self.nodes, self.name = nodes, name
        self.rng = random.Random(seed)
        self.stopped = False
        self.left = {}  # stream: what may be in it
        self.n_deleted = 0
        self.error = None

    def ask(self, method, stream, body=None):
        try:
            return self.rng.choice(self.nodes).request(
                method, "/streams/" + stream, body,
                {"Content-Type": "application/json"} if body else {})[::2]
        except ConnectionRefusedError:
            return 503, b""
        except (OSError, http_errors):
            return 504, b""

    def step(self, stream, events, n):
        """What may be there now."""
        if self.rng.random() < 0.2:
            status, _ = self.ask("DELETE", stream)
            assert status in (204, 503, 504), status
            self.n_deleted += status == 204
            return {204: [[]], 503: [events], 504: [events, []]}[status]
        body = b"%d" % n
        status, data = self.ask("POST", stream, body)
        assert status in (201, 503, 504), (status, data)
        more = events + [body]
        assert status != 201 or parse(data)["meta"]["id"] == len(more), (
            stream, data, events)
        return {201: [more], 503: [events], 504: [events, more]}[status]

    def run(self):
        k = n = 0
        try:
            while not self.stopped:
                stream, may = f"{self.name}-{k}", [[]]
                while not self.stopped and len(may) == 1:
                    n += 1
                    may = self.step(stream, may[0], n)
                self.left[stream] = may
                k += 1
        except AssertionError as e:
            self.error = e

    def check(self, node):
        for stream, may in self.left.items():
            got = [json.dumps(e["data"]).encode()
                   for e in parse(node.events(stream))]
            assert got in may, (stream, got, may)


def test_a_cluster_deletes_while_leaders_are_killed():
    with Cluster(IORIOD, 3, {"workers": 2}) as cluster:
        cluster.form()
        nodes = cluster.nodes
        for i in range(1000):
            assert eventually(lambda: nodes[i % 3].post(
                f"big/s{i}", b"1")[0] == 201)
        walkers = [Wander(nodes, f"wander/{i}", i) for i in range(8)]
        for w in walkers:
            w.start()
        for node in nodes:
            time.sleep(0.5)
            node.kill()  # it leads a third of the groups
            time.sleep(2)
            node.start()
        # a third of the groups has no leader for a moment: honest, and done
        # in the end
        nodes[0].kill()
        answers = []

        def gone():
            answers.append(delete("/buckets/big", nodes[1])[0])
            assert answers[-1] in (204, 503, 504), answers
            return answers[-1] == 204
        eventually(gone)
        nodes[0].start()
        for w in walkers:
            w.stopped = True
        for w in walkers:
            w.join()
            assert not w.error, w.error
        time.sleep(6)  # nothing is under way any more
        for node in nodes:
            for w in walkers:
                w.check(node)
            assert parse(node.request("GET", "/streams/big")[2]) == {
                "status": "ok", "data": []}
        n = sum(w.n_deleted for w in walkers)
        print(f"# {n} deletions, {sum(len(w.left) for w in walkers)} streams; "
              f"DELETE of the bucket: {answers}")
        assert n > 20


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
