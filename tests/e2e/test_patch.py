#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""PATCH (http-api.md sections 4.2 and 7).

usage: test_patch.py IORIOD [TEST...]"""
import json
import sys
import threading
import time

import tap
from node import parse, quote, shared

IORIOD = sys.argv[1]
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
fresh = shared(IORIOD, {"workers": 2})


def patch(stream, body, content_type=JSON_PATCH, headers=None, to=None):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    h = dict(headers or {})
    if content_type:
        h["Content-Type"] = content_type
    status, head, data = (to or fresh()).request(
        "PATCH", "/streams/" + stream, body, h)
    return status, head, parse(data) if data else None


def post(stream, value, content_type="application/json"):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    status, data = fresh().post(stream, body, content_type=content_type)
    assert status == 201, (status, data)
    return parse(data)["meta"]


def events(stream):
    return parse(fresh().events(stream, "?since=0"))


def newest(stream):
    status, _, data = fresh().request("GET", f"/streams/{stream}?limit=1")
    assert status == 200
    return data


def vectors():
    for name in ("json_patch", "json_patch_spec"):
        with open(f"tests/data/{name}.json") as f:
            for v in json.load(f):
                if not v.get("disabled"):
                    yield v


def typed(value):
    """1 is neither true nor "1"."""
    if isinstance(value, dict):
        return {k: typed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [typed(v) for v in value]
    return (isinstance(value, bool), value)


def test_public_vectors():
    done = 0
    for i, v in enumerate(vectors()):
        s = f"vectors/v{i}"
        post(s, v["doc"])
        status, _, body = patch(s, v["patch"])
        there = events(s)
        if "error" in v:
            assert (status, body["type"]) == (400, "invalid-body"), (v, body)
            assert body["op"] == len(v["patch"]) - 1, (v, body)
            assert len(there) == 1 and events(s + "-%24patch") == []
        else:
            assert status == 200, (v, body)
            assert body["meta"] == there[1]["meta"] and len(there) == 2
            if "expected" in v:
                assert typed(there[1]["data"]) == typed(v["expected"]), v
            log = events(s + "-%24patch")
            assert [typed(e["data"]) for e in log] == [typed(v["patch"])]
            assert log[0]["meta"] == {"id": 1, "t": body["meta"]["t"]}
        done += 1
    assert done == 108


def test_merge_patch():
    post("merge/a", b'{"title":"Goodbye!","author":{"givenName":"John",'
         b'"familyName":"Doe"},"tags":["example","sample"],"content":"x"}')
    status, head, body = patch("merge/a", b'{"title":"Hello!","phoneNumber":'
                               b'"+01-123-456-7890","author":{"familyName":'
                               b'null},"tags":["example"]}', MERGE_PATCH)
    assert (status, body["meta"]["id"]) == (200, 2)
    assert head["iorio-replicas"] == "1"
    assert head["Content-Type"] == "application/json"
    assert newest("merge/a").endswith(
        b' "data":{"title":"Hello!","author":{"givenName":"John"},'
        b'"tags":["example"],"content":"x",'
        b'"phoneNumber":"+01-123-456-7890"}}]')
    # Parameters and case of a type do not matter.
    assert patch("merge/a", b"{}", "Application/Merge-Patch+JSON; x=1")[0] \
        == 200


def test_numbers_keep_their_text():
    post("text/a", b'{ "big": 123456789012345678901234567890.50e3,\n "x": 1 }')
    assert patch("text/a", [{"op": "remove", "path": "/x"}])[0] == 200
    assert newest("text/a").endswith(
        b'"data":{"big":123456789012345678901234567890.50e3}}]')
    raw = b'[ {"op":"add", "path":"/n",\n "value": 18446744073709551616} ]'
    assert patch("text/a", raw)[0] == 200
    assert newest("text/a").endswith(b'"n":18446744073709551616}}]')
    # The patch is stored as it was sent.
    status, head, data = fresh().request(
        "GET", "/streams/text/a-$patch/2")
    assert (status, data) == (200, raw)


def test_what_cannot_be_patched():
    post("no/json", b"x", "text/plain")
    post("no/a", {"a": 1})
    rows = [
        ("no/none", [], 404, "not-found"),
        ("no/json", [], 400, "invalid-body"),
        ("no/a", b"[", 400, "invalid-body"),
        ("no/a", b"", 400, "invalid-body"),
        ("no/a", {}, 400, "invalid-body"),
        ("no/a", b'[{"op":"add","path":"/b","value":' + b"[" * 200 +
         b"]" * 200 + b"}]", 400, "invalid-body"),
    ]
    for s, body, status, kind in rows:
        got = patch(s, body)
        assert (got[0], got[2]["type"]) == (status, kind), (s, got)
        assert "op" not in got[2], got
    status, _, body = patch("no/a", [
        {"op": "add", "path": "/b", "value": 1},
        {"op": "test", "path": "/a", "value": 2}])
    assert (status, body["type"], body["op"]) == (400, "invalid-body", 1)
    assert len(events("no/a")) == 1 and events("no/a-%24patch") == []


def test_names():
    for name, status in (("a-$patch", 400), ("-$patch", 400), ("n" * 249, 400),
                         ("n" * 248, 404), ("é" * 124 + "n", 400),
                         ("é" * 124, 404), ("a-$patch ", 404)):
        got = patch("names/" + quote(name), [])
        assert got[0] == status, (name, got)
        if status == 400:
            assert got[2]["type"] == "illegal-name"
    name = quote("x/ y" + "n" * 244)
    post("names/" + name, {})
    assert patch("names/" + name, [])[0] == 200
    # A stream of patches can be read, listed and written like any other.
    assert len(events("names/" + name + "-$patch")) == 1
    post("names/" + name + "-$patch", {"note": 1})


def test_content_types():
    post("types/a", {})
    for t in ("application/json", "text/plain", "application/json-patch+jsonx",
              None):
        status, head, body = patch("types/a", b"[]", t)
        assert (status, body, head["Content-Length"]) == (415, None, "0"), t
        assert head["Accept-Patch"] == \
            "application/json-patch+json, application/merge-patch+json"
    status, head, body = patch("types/a", b"[]",
                               headers={"Content-Encoding": "gzip"})
    assert status == 415
    status, head, _ = fresh().request("OPTIONS", "/streams/types/a")
    assert "PATCH" in head["Allow"] and "json-patch" in head["Accept-Patch"]
    assert patch("types/a", [], headers={"Accept": "text/plain"})[0] == 406
    assert fresh().request("PATCH", "/streams/types/a", b"[]",
                           {"Content-Type": JSON_PATCH}, token=None)[0] == 401
    assert fresh().request("PATCH", "/streams/types", b"[]")[0] == 405


def test_conditions():
    post("if/a", {"n": 1})
    status, _, body = patch("if/a", [], headers={"If-Match": '"2"'})
    assert (status, body["type"], body["expected"], body["got"]) == \
        (412, "precondition-failed", 2, 1)
    assert patch("if/a", [], headers={"If-Match": '"1"'})[0] == 200
    assert patch("if/a", [], headers={"If-None-Match": "*"})[0] == 412
    assert patch("if/a", [], headers={"If-Match": "2"})[0] == 400
    assert patch("if/none", [], headers={"If-Match": '"0"'})[0] == 404
    assert len(events("if/a")) == 2


def test_many_clients_patch_one_document():
    """Each adds to its own member and to a common array; none is lost."""
    clients, rounds, lost = 10, 20, []
    post("many/a", {"log": []})

    def work(k):
        for i in range(rounds):
            ops = [{"op": "add", "path": f"/c{k}", "value": i},
                   {"op": "add", "path": "/log/-", "value": f"{k}.{i}"}]
            while True:
                status, _, body = patch("many/a", ops)
                if status == 200:
                    break
                assert status == 409, body
                assert list(body) == ["type", "reason", "status"]
                assert body["type"] == "error" and body["status"] == 409
                assert list(body["reason"]) == ["reason", "field", "expected",
                                                "got"]
                assert body["reason"]["reason"] == "conflict"
                assert body["reason"]["field"] == "seqnum"
                assert body["reason"]["got"] > body["reason"]["expected"]
                lost.append(body)

    threads = [threading.Thread(target=work, args=(k,))
               for k in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    n = clients * rounds
    there = events("many/a")
    assert [e["meta"]["id"] for e in there] == list(range(1, n + 2))
    doc = there[-1]["data"]
    assert sorted(doc["log"]) == sorted(
        f"{k}.{i}" for k in range(clients) for i in range(rounds))
    assert all(doc[f"c{k}"] == rounds - 1 for k in range(clients))
    for before, after in zip(there, there[1:]):
        assert after["data"]["log"][:-1] == before["data"]["log"]
    # The patches are there in the same order, each with what it led to.
    log = events("many/a-$patch")
    assert len(log) == n
    for e, p in zip(there[1:], log):
        assert e["meta"]["t"] == p["meta"]["t"]
        assert e["data"]["log"][-1] == p["data"][1]["value"]
    print(f"# {len(lost)} of {n} conflicts were left to the client")
    assert len(lost) <= n // 5, len(lost)


def test_patches_race_with_appends():
    post("race/a", {"n": 0, "last": 0})
    stop, posted = threading.Event(), [0]

    def appender():
        with_c = fresh().connect()
        while not stop.is_set():
            status, data = fresh().post("race/a", b'{"n":0,"posted":1}',
                                        connection=with_c)
            assert status == 201
            posted[0] += 1

    t = threading.Thread(target=appender)
    t.start()
    seen = {200: 0, 409: 0}
    end = time.monotonic() + 3
    while time.monotonic() < end:
        seen[patch("race/a", b'{"n":1}', MERGE_PATCH)[0]] += 1
    stop.set()
    t.join()
    there = events("race/a")
    assert len(there) == 1 + posted[0] + seen[200], seen
    assert len(events("race/a-$patch")) == seen[200]
    print(f"# {posted[0]} appends, {seen}")


def test_large_documents():
    n = fresh()
    # Large enough to be patched beside the loop, which goes on meanwhile.
    doc = b"[" + b",".join(b'{"k%d":%d}' % (i, i) for i in range(200000)) + \
        b"]"
    post("large/a", doc)
    before = n.rss()
    start = time.monotonic()
    status, _, body = patch("large/a", [
        {"op": "replace", "path": "/199999/k199999", "value": -1},
        {"op": "remove", "path": "/0"}])
    print(f"# {len(doc)} bytes took {time.monotonic() - start:.3f} s")
    assert status == 200, body
    got = parse(newest("large/a"))[0]["data"]
    assert len(got) == 199999 and got[-1] == {"k199999": -1}
    # More values than are taken.
    post("large/b", b"[" + b"1," * 3000000 + b"1]")
    assert patch("large/b", [])[0] == 413
    # A result that is too large.
    post("large/c", json.dumps("x" * 3000000).encode())
    assert patch("large/c", b'["' + b"y" * 7000000 + b'"]', MERGE_PATCH)[0] \
        == 200
    post("large/d", json.dumps(["x" * 3000000]).encode())
    twice = {"op": "copy", "from": "/0", "path": "/-"}
    assert patch("large/d", [twice])[0] == 200
    status, _, body = patch("large/d", [twice])
    assert (status, body["type"]) == (413, "too-large")
    assert n.request("HEAD", "/streams/large/d")[1]["Iorio-Last"] == "2"
    # Copies of copies, from a request of a few bytes.
    post("large/e", [[1]])
    start = time.monotonic()
    status, _, body = patch(
        "large/e", [{"op": "copy", "from": "/0", "path": "/0/-"}] * 200)
    assert (status, body["type"]) == (413, "too-large")
    print(f"# a bomb took {time.monotonic() - start:.3f} s")
    assert n.rss() < before + (400 << 20)


def test_patches_survive_a_restart():
    n = fresh()
    post("again/a", {"n": 0})
    for i in range(50):
        assert patch("again/a", {"n": i}, MERGE_PATCH)[0] == 200
    before = n.events("again/a"), n.events("again/a-$patch")
    n.kill()
    n.start()
    assert before == (n.events("again/a"), n.events("again/a-$patch"))


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
