#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every row of the table of errors (http-api.md section 1): as JSON, and as a
problem of RFC 9457.

usage: test_errors.py IORIOD [TEST...]"""
import glob
import json
import os
import sys
import threading

import tap
from cluster import Cluster
from node import Node

IORIOD = sys.argv[1]
PROBLEM = "application/problem+json"
JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
TITLES = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
          405: "Method Not Allowed", 406: "Not Acceptable",
          408: "Request Timeout", 409: "Conflict", 410: "Gone",
          412: "Precondition Failed", 413: "Content Too Large",
          414: "URI Too Long", 422: "Unprocessable Content",
          428: "Precondition Required", 429: "Too Many Requests",
          431: "Request Header Fields Too Large",
          500: "Internal Server Error", 503: "Service Unavailable",
          504: "Gateway Timeout"}


def check(got, status, kind, fields=(), headers=(), problem=False):
    """GOT is (status, headers, bytes); what is in it."""
    assert got[0] == status, (kind, got[0], got[2][:300])
    body = json.loads(got[2])
    want = ["type", "reason", "status", *fields]
    if problem:
        want += ["title", "detail"]
        assert body["title"] == TITLES[status], body
        assert isinstance(body["detail"], str) and body["detail"], body
    assert sorted(body) == sorted(want), (kind, body)
    assert (body["type"], body["status"]) == (kind, status), body
    assert got[1]["Content-Type"] == (PROBLEM if problem
                                      else "application/json")
    for h in headers:
        assert got[1][h], (kind, h)
    return body


def both(ask, status, kind, fields=(), headers=()):
    """ASK(headers of the request) as JSON and as a problem."""
    check(ask({}), status, kind, fields, headers)
    return check(ask({"Accept": PROBLEM}), status, kind, fields, headers,
                 True)


def asker(node, method, path, body=None, headers=(), token="own"):
    return lambda more: node.request(method, path, body,
                                     {**dict(headers), **more}, token)


def test_what_is_wrong_with_a_request():
    with Node(IORIOD) as node:
        def row(status, kind, *args, fields=(), head=(), **more):
            return both(asker(node, *args, **more), status, kind, fields, head)
        post = ("POST", "/streams/b/s")
        assert node.request(*post, b"1", JSON)[0] == 201
        row(400, "bad-request", "GET", "/streams/%zz")
        row(400, "illegal-name", "GET", "/streams/b/a%3ab")
        row(400, "invalid-body", *post, b"{", JSON)
        row(400, "invalid-body", *post, b"1\n{",
            {"Content-Type": "application/x-ndjson"}, fields=["line"])
        row(400, "invalid-body", "PATCH", "/streams/b/s",
            b'[{"op":"remove","path":"/a"}]',
            {"Content-Type": "application/json-patch+json"}, fields=["op"])
        body = row(400, "invalid-field", "GET", "/streams/b/s?to=x",
                   fields=["field", "value"])
        assert (body["field"], body["value"]) == ("to", "x")
        row(401, "no-perm", "GET", "/buckets", token="wrong",
            head=["WWW-Authenticate"])
        row(401, "no-perm", "GET", "/buckets", token=None,
            head=["WWW-Authenticate"])
        row(404, "not-found", "GET", "/nothing")
        row(404, "not-found", "GET", "/streams/b/s/2")
        row(404, "not-found", "PATCH", "/streams/b/none", b"{}", MERGE)
        row(405, "method-not-allowed", "PUT", "/ping", head=["Allow"])
        check(node.request("GET", "/buckets", headers={"Accept": "a/b"}),
              406, "not-acceptable")
        body = row(412, "precondition-failed", *post, b"1",
                   {**JSON, "If-Match": '"7"'}, fields=["expected", "got"])
        assert (body["expected"], body["got"]) == (7, 1)
        row(413, "too-large", *post, b"1\n" * 10001,
            {"Content-Type": "application/x-ndjson"})
        check(node.request("GET", "/" + "a" * 16400), 414, "uri-too-long")
        check(node.request("GET", "/", headers={"a": "b" * 65536}), 431,
              "headers-too-large")
        for headers in ({}, {"Accept": PROBLEM}):
            status, head, data = node.request(*post, b"1", headers)
            assert (status, data, head["Content-Length"]) == (415, b"", "0")
        row(428, "precondition-required", "PUT", "/streams/b/s", b"1", JSON)
        assert node.request(*post, b"1",
                            {**JSON, "Idempotency-Key": "k"})[0] == 201
        row(422, "idempotency-mismatch", *post, b"2",
            {**JSON, "Idempotency-Key": "k"})
        row(400, "bad-request", *post, b"2",
            {**JSON, "Idempotency-Key": "k" * 65})
        row(400, "bad-cursor", "GET", "/listen?s=b:s&cursor=x")
        row(400, "invalid-field", "GET", "/listen?s=b", fields=["field",
                                                                "value"])


def test_a_patch_that_lost_its_races_is_409():
    """The document is large, so that others come in between each time."""
    with Node(IORIOD, {"workers": 2}) as node:
        doc = json.dumps({f"k{i}": i for i in range(30000)}).encode()
        stop = threading.Event()

        def append():
            c = node.connect()
            while not stop.is_set():
                assert node.post("b/s", doc, c)[0] == 201
        assert node.post("b/s", doc)[0] == 201
        threads = [threading.Thread(target=append) for _ in range(2)]
        for t in threads:
            t.start()
        try:
            for headers in ({}, {"Accept": PROBLEM}):
                for _ in range(50):
                    got = node.request("PATCH", "/streams/b/s", b'{"k1":0}',
                                       {**MERGE, **headers})
                    if got[0] == 409:
                        break
                assert got[0] == 409, got
                body = json.loads(got[2])
                reason = body["reason"]
                want = (b'{"type":"error","reason":{"reason":"conflict",'
                        b'"field":"seqnum","expected":%d,"got":%d},'
                        b'"status":409' % (reason["expected"], reason["got"]))
                assert got[2].startswith(want), got[2]
                assert reason["got"] > reason["expected"]
                if headers:
                    assert got[1]["Content-Type"] == PROBLEM
                    assert body["title"] == TITLES[409] and body["detail"]
                else:
                    assert got[2] == want + b"}"
        finally:
            stop.set()
            for t in threads:
                t.join()


def test_too_many_requests_are_429():
    with Node(IORIOD, {"limits.user.rps": 10}) as node:
        for headers in ({}, {"Accept": PROBLEM}):
            for _ in range(100):
                got = node.request("GET", "/buckets", headers=headers)
                if got[0] != 200 and got[0] != 406:
                    break
            check(got, 429, "rate-limited", (), ["Retry-After"],
                  bool(headers))


def test_damaged_events_are_500():
    with Node(IORIOD) as node:
        assert node.post("b/s", b'"' + b"x" * 5000 + b'"')[0] == 201
        node.stop()
        for path in glob.glob(node.root + "/data/*/vnodes/*/*.chunk"):
            with open(path, "r+b") as f:
                at = f.read().find(b"x" * 5000)
                if at >= 0:
                    f.seek(at + 100)
                    f.write(b"y")
        node.start()
        for method, path, body, headers in (
                ("GET", "/streams/b/s", None, {}),
                ("GET", "/streams/b/s/1", None, {}),
                ("GET", "/listen?s=b:s:1", None, {}),
                ("PATCH", "/streams/b/s", b"{}", MERGE)):
            body = both(asker(node, method, path, body, headers), 500,
                        "damaged", ["first", "last"])
            assert (body["first"], body["last"]) == (1, 1)


def test_what_nobody_expected_is_500():
    """Here a file that is a link to itself: neither damaged nor missing."""
    with Node(IORIOD) as node:
        assert node.post("b/s", b'"' + b"x" * 5000 + b'"')[0] == 201
        node.stop()
        node.start()
        for path in glob.glob(node.root + "/data/*/vnodes/*/*.chunk"):
            if os.path.getsize(path) > 5000:
                os.rename(path, path + ".was")
                os.symlink(path, path)
        for method, path, body, headers in (
                ("GET", "/streams/b/s", None, {}),
                ("GET", "/streams/b/s/1", None, {}),
                ("PATCH", "/streams/b/s", b"{}", MERGE)):
            both(asker(node, method, path, body, headers), 500, "internal")
        # Nothing else is the worse for it.
        assert node.post("b/s", b"2")[0] == 201
        assert node.request("GET", "/streams/b/s")[2].endswith(b"2}]")


def test_without_a_majority_it_is_503_or_504():
    with Cluster(IORIOD, 2, {"request.timeout": "1s"}) as cluster:
        cluster.form()
        one, two = cluster.nodes
        got = {}

        def ask(i):
            headers = {"Accept": PROBLEM} if i % 2 else {}
            got[i] = one.request("POST", f"/streams/b/s{i}", b"1",
                                 {**JSON, **headers})
        two.kill()
        seen = set()
        # At first a leader proposes, or the dead one was asked; later nobody
        # leads.
        for _ in range(5):
            threads = [threading.Thread(target=ask, args=(i,))
                       for i in range(20)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            for i in got:
                if got[i][0] == 504:
                    check(got[i], 504, "unknown-outcome", problem=i % 2)
                else:
                    check(got[i], 503, "unavailable", (), ["Retry-After"],
                          i % 2)
                seen.add((got[i][0], i % 2))
            if len(seen) == 4:
                return
        assert False, seen


def test_a_login_that_is_refused_is_401():
    with Node(IORIOD) as node:
        body = json.dumps({"username": "admin", "password": "wrong"})
        both(asker(node, "POST", "/sessions", body, JSON, token=None), 401,
             "unauthorized")


def test_events_that_were_evicted_are_410():
    with Node(IORIOD) as node:
        status, _, data = node.request("PUT", "/policies/b",
                                       b'{"max_events":1}', JSON)
        assert status == 200, data
        for i in range(3):
            assert node.post("b/s", b"%d" % i)[0] == 201
        body = both(asker(node, "GET", "/streams/b/s/1"), 410, "gone",
                    ["first"])
        assert body["first"] == 3


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
