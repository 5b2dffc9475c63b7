#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""/openapi.json is well-formed, has each route and no other, and the node answers
as it says.

usage: test_openapi.py IORIOD [TEST...]"""
import json
import re
import sys

import tap
from node import shared
from openapi import Document, Mismatch

IORIOD = sys.argv[1]
doc = None


def learn(n):
    global doc
    status, headers, data = n.request("GET", "/openapi.json", token=None)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    doc = Document(data)


fresh = shared(IORIOD, then=learn)


def table():
    """(method, path) of the table of routes."""
    text = open("http/route.c").read()
    text = text[text.index("static const struct route routes[]"):]
    return {(m, re.sub(r":\w+", "{}", "/" + p)) for m, p in re.findall(
        r'\{"([A-Z]+)", "([^"]*)"', text[:text.index("};")])}


def test_the_document_is_well_formed():
    fresh()
    doc.check()
    assert doc.doc["info"]["version"] in open("meson.build").read()


def test_it_has_each_route_and_no_other():
    fresh()
    described = {(m.upper(), re.sub(r"\{\w+\}", "{}", p))
                 for p, item in doc.doc["paths"].items()
                 for m in item if m != "parameters"}
    assert described == table(), described ^ table()
    # and the server agrees: Allow
    names = {"n": "1", "u": "admin", "g": "g-admin"}
    for path, item in doc.doc["paths"].items():
        real = re.sub(r"\{(\w+)\}", lambda m: names.get(m[1], m[1]), path)
        allow = fresh().request("OPTIONS", real)[1]["Allow"].split(", ")
        want = {m.upper() for m in item if m != "parameters"} | {"OPTIONS"}
        if "get" in item:
            want.add("HEAD")
        if path == "/listen":
            want.discard("HEAD")
            allow = [m for m in allow if m != "HEAD"]
        assert set(allow) == want, (path, allow)


JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
PATCH = {"Content-Type": "application/json-patch+json"}
PROBLEM = {"Accept": "application/problem+json"}
HTML = {"Accept": "image/x-none"}
BAD = "/streams/b/%ff"


def calls():
    """(method, path, body, headers, token, status) of each route in turn."""
    yield "POST", "/streams/b/s", b'{"a":1}', JSON, "own", 201
    yield "POST", "/streams/b/s", b"1\n2\n", NDJSON, "own", 201
    yield "POST", "/streams/b/s", b"\0", {"Content-Type": "a/b"}, "own", 201
    yield "POST", "/streams/b/s", b'{"a":1}', {
        **JSON, "Idempotency-Key": "k"}, "own", 201
    yield "POST", "/streams/b/s", b'{"a":2}', {
        **JSON, "Idempotency-Key": "k"}, "own", 422
    yield "POST", "/streams/b/s", b"{", JSON, "own", 400
    yield "POST", "/streams/b/s", b"{", {**JSON, **PROBLEM}, "own", 400
    yield "POST", BAD, b"1", JSON, "own", 400
    yield "POST", "/streams/b/s", b"1", JSON, None, 401
    yield "POST", "/streams/b/s", b"1", JSON, "x.y.z", 401
    yield "POST", "/streams/b/s", b"1", {**JSON, **HTML}, "own", 406
    yield "POST", "/streams/b/s", b"1", {**JSON, "If-Match": '"9"'}, "own", 412
    yield "POST", "/streams/b/s", b"1\n" * 10001, NDJSON, "own", 413
    yield "POST", "/streams/b/s", b"1", {"Content-Type": "nothing"}, "own", 400
    yield "PUT", "/streams/b/s", b"1", {**JSON, "If-Match": '"5"'}, "own", 201
    yield "PUT", "/streams/b/s", b"1", JSON, "own", 428
    yield "PUT", "/streams/b/s", b"1", {**JSON, "If-Match": '"5"'}, "own", 412
    yield "PUT", "/streams/b/s", b"1", {**JSON, "If-Match": '"5"'}, None, 401
    yield "POST", "/streams/b/d", b'{"a":1}', JSON, "own", 201
    yield ("PATCH", "/streams/b/d",
           b'[{"op":"add","path":"/b","value":2}]', PATCH, "own", 200)
    yield "PATCH", "/streams/b/d", b'[{"op":"x"}]', PATCH, "own", 400
    yield "PATCH", "/streams/b/none", b"[]", PATCH, "own", 404
    yield "PATCH", "/streams/b/d", b"[]", JSON, "own", 415
    yield "PATCH", "/streams/b/d", b"[]", PATCH, None, 401
    yield "GET", "/streams/b/s?limit=10", None, {}, "own", 200
    yield "GET", "/streams/b/s?from=1&to=2", None, {}, "own", 200
    yield "GET", "/streams/b/s?from=1", None, {
        "Accept": "application/x-ndjson"}, "own", 200
    yield "GET", "/streams/b/none", None, {}, "own", 200
    yield "GET", "/streams/b/s?since=x", None, {}, "own", 400
    yield "GET", "/streams/b/s", None, {}, None, 401
    yield "GET", "/streams/b/s", None, HTML, "own", 406
    yield "GET", "/streams/b/s/1", None, {}, "own", 200
    yield "GET", "/streams/b/s/4", None, {}, "own", 200
    yield "GET", "/streams/b/s/99", None, {}, "own", 404
    yield "GET", "/streams/b/s/99", None, PROBLEM, "own", 404
    yield "GET", "/streams/b/s/1", None, {}, None, 401
    yield "GET", "/streams/b", None, {}, "own", 200
    yield "GET", "/streams/b?detail=1", None, {}, "own", 200
    yield "GET", "/streams/%ff", None, {}, "own", 400
    yield "GET", "/streams/b", None, {}, None, 401
    yield "GET", "/buckets", None, {}, "own", 200
    yield "GET", "/buckets", None, {}, None, 401
    yield "GET", "/buckets", None, HTML, "own", 406
    yield "GET", "/listen?s=b:s:1", None, {}, "own", 200
    yield "GET", "/listen?s=b:later&wait=1", None, {}, "own", 204
    yield "GET", "/listen", None, {}, "own", 400
    yield "GET", "/listen?s=b:s:1", None, {}, None, 401
    for path in ("/ping", "/livez", "/readyz", "/healthz", "/openapi.json",
                 "/livez?verbose", "/readyz?verbose", "/healthz?verbose"):
        yield "GET", path, None, {}, None, 200
    for path in ("/ping", "/openapi.json"):
        yield "GET", path, None, HTML, None, 406
    yield "GET", "/ui", None, {}, None, 308
    for page, want in (("index.html", 200), ("console.js", 200), ("no", 404)):
        yield "GET", f"/ui/{page}", None, {}, None, want
    for path in ("/metrics", "/stats", "/cluster"):
        yield "GET", path, None, {}, "own", 200
        yield "GET", path, None, {}, None, 401
        yield "GET", path, None, HTML, "own", 406
    yield "GET", "/metrics", None, {
        "Accept": "application/openmetrics-text"}, "own", 200
    login = b'{"username":"admin","password":"secret"}'
    yield "POST", "/sessions", login, JSON, None, 201
    yield "POST", "/sessions", login, {}, None, 415
    yield "POST", "/sessions", login, {**JSON, **HTML}, None, 406
    yield "POST", "/sessions", b"[]", JSON, None, 400
    yield "POST", "/sessions", b'{"username":"x"}', JSON, None, 401
    yield "GET", "/sessions", None, {}, "own", 200
    yield "GET", "/sessions", None, {}, None, 200
    yield "GET", "/sessions", None, {}, "x.y.z", 401
    yield from calls_of_users()
    yield from calls_of_access()
    yield from calls_of_policies()
    yield from later_calls()
    yield "DELETE", "/sessions", None, {}, "x.y.z", 401
    yield "DELETE", "/sessions", None, {}, "own", 204


def calls_of_users():
    user = b'{"username":"u","password":"p"}'
    yield "POST", "/users", user, JSON, "own", 201
    yield "POST", "/users", user, JSON, "own", 400
    yield "POST", "/users", user, JSON, None, 401
    yield "POST", "/users", user, {**JSON, **HTML}, "own", 406
    yield "POST", "/users", user, {}, "own", 415
    yield "PUT", "/users", user, JSON, "own", 200
    yield "PUT", "/users", b"{}", JSON, "own", 400
    yield "PUT", "/users", user, JSON, None, 401
    yield ("PUT", "/users", b'{"username":"none","password":"p"}', JSON,
           "own", 404)
    yield "POST", "/groups", b'{"groupname":"g"}', JSON, "own", 201
    yield "POST", "/groups", b'{"groupname":"g"}', JSON, "own", 400
    yield "PUT", "/groups/g", b'{"groups":[]}', JSON, "own", 200
    yield "PUT", "/groups/g", b'{"groups":["g"]}', JSON, "own", 400
    yield "PUT", "/groups/none", b'{"groups":[]}', JSON, "own", 404
    yield "PUT", "/users/u", b'{"groups":["g"]}', JSON, "own", 200
    yield "PUT", "/users/u", b'{"groups":["none"]}', JSON, "own", 400
    yield "PUT", "/users/none", b"{}", JSON, "own", 404
    yield "PUT", "/users/admin", b'{"groups":[]}', JSON, "own", 409
    for path in ("/users", "/groups", "/users/u", "/groups/g"):
        yield "GET", path, None, {}, "own", 200
        yield "GET", path, None, {}, None, 401
        yield "GET", path, None, HTML, "own", 406
    for kind in ("/users/", "/groups/"):
        yield "GET", kind + "none", None, {}, "own", 404
        yield "PUT", kind + "none", b"{}", JSON, None, 401
        yield "PUT", kind + "none", b"{}", {}, "own", 415
        yield "DELETE", kind + "none", None, {}, "own", 404
    yield "DELETE", "/groups/g-admin", None, {}, "own", 409
    yield "DELETE", "/groups/g", None, {}, "own", 204
    yield "DELETE", "/groups/g", None, {}, None, 401
    yield "DELETE", "/users/u/sessions", None, {}, "own", 204
    yield "DELETE", "/users/none/sessions", None, {}, "own", 404
    yield "DELETE", "/users/u/sessions", None, {}, None, 401
    yield "DELETE", "/users/admin", None, {}, "own", 409
    yield "DELETE", "/users/u", None, {}, "own", 204
    yield "DELETE", "/users/u", None, {}, None, 401


def calls_of_access():
    give = b'{"action":"grant","role":"g-admin","permission":"get"}'
    for path in ("/access/b", "/access/b/s", "/access/*"):
        yield "POST", path, give, JSON, "own", 200
        yield "POST", path, give.replace(b"grant", b"revoke"), JSON, "own", 200
        yield "POST", path, b'{"action":"spam"}', JSON, "own", 400
        yield "POST", path, give, JSON, None, 401
        yield "POST", path, give, {**JSON, **HTML}, "own", 406
        yield "POST", path, give, {}, "own", 415
        yield "GET", path, None, {}, "own", 200
        yield "GET", path, None, {}, None, 401
        yield "GET", path, None, HTML, "own", 406


def calls_of_policies():
    for path in ("/policies/b", "/policies/b/s"):
        yield "GET", path, None, {}, "own", 200
        yield "PUT", path, b'{"max_events":9,"max_age":"7d"}', JSON, "own", 200
        yield "PUT", path, b'{"max_bytes":"4PB"}', JSON, "own", 400
        yield "PUT", path, b"{}", JSON, None, 401
        yield "PUT", path, b"{}", {**JSON, **HTML}, "own", 406
        yield "PUT", path, b"{}", {}, "own", 415
        yield "GET", path, None, {}, "own", 200
        yield "GET", path, None, {}, None, 401
        yield "GET", path, None, HTML, "own", 406
        yield "DELETE", path, None, {}, None, 401
        yield "DELETE", path, None, HTML, "own", 406
    for path in ("/policies/b/s", "/policies/b"):
        yield "DELETE", path, None, {}, "own", 204
        yield "DELETE", "/policies/%ff", None, {}, "own", 400


def later_calls():
    """What changes what the others ask for."""
    yield "DELETE", "/streams/b/s", None, {}, "own", 204
    yield "DELETE", "/streams/b/s", None, {}, None, 401
    yield "DELETE", BAD, None, {}, "own", 400
    yield "DELETE", "/buckets/b", None, {}, "own", 204
    yield "DELETE", "/buckets/b", None, {}, None, 401


def test_the_node_answers_as_it_says():
    n = fresh()
    seen = set()
    for method, path, body, headers, token, want in calls():
        template, op = doc.operation(method, path.split("?")[0])
        status, got, data = n.request(method, path, body, headers, token)
        assert status == want, (method, path, status, data)
        doc.hold(method, path, status, got, data)
        shape = re.sub(r"\{\w+\}", "{}", template)
        seen.add((method, shape))
        if method == "GET" and shape != "/listen":
            status, _, data = n.request("HEAD", path, body, headers, token)
            assert (status, data) == (want, b""), (path, status)
    assert seen == table(), table() ^ seen


def test_the_reader_notices_what_does_not_fit():
    fresh()
    event = doc.doc["components"]["schemas"]["Event"]
    for bad in ([], {}, {"meta": {"id": 1}}, {"meta": {"id": 1, "t": 2}},
                {"meta": {"id": "1", "t": 2}, "data": 1},
                {"meta": {"id": 1, "t": 2}, "data": 1, "data64": ""},
                {"meta": {"id": 1, "t": 2}, "data": 1, "more": 1},
                {"meta": {"id": -1, "t": 2}, "data": 1},
                {"meta": {"id": True, "t": 2}, "data": 1}):
        try:
            doc.validate(bad, event)
        except Mismatch:
            continue
        raise AssertionError(bad)
    doc.validate({"meta": {"id": 1, "t": 2}, "data": None}, event)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
