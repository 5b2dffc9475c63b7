#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bad input of every kind gets the error of the specification, and the node
answers the next request.

usage: test_hostile.py IORIOD [TEST...]"""
import sys
import tarfile

import tap
from node import parse, shared

IORIOD = sys.argv[1]
fresh = shared(IORIOD)


def test_json_suite_over_http():
    n = fresh()
    c = n.connect()
    counts = {"y": 0, "n": 0, "i": 0}
    with tarfile.open("tests/data/jsontestsuite.tar.gz") as tar:
        for member in tar:
            name = member.name.rsplit("/", 1)[-1]
            if "test_parsing/" not in member.name or not member.isfile():
                continue
            body = tar.extractfile(member).read()
            status, data = n.post("suite/" + name[0], body, c)
            counts[name[0]] += 1
            if name[0] == "y":
                assert status == 201, (name, status, data)
                line = n.request(
                    "GET", "/streams/suite/y/%d" % parse(data)["meta"]["id"],
                    connection=c)[2]
                assert line == body, (name, line, body)
            elif name[0] == "n":
                assert status == 400, (name, status, data)
                assert parse(data)["type"] == "invalid-body", name
            else:
                assert status in (201, 400), (name, status)
    assert counts["y"] == 95 and counts["n"] == 188, counts


def refused(body, status=400, kind="invalid-body"):
    n = fresh()
    got, data = n.post("hostile/s", body)
    assert got == status, (got, data[:200])
    assert parse(data)["type"] == kind, data
    assert n.request("GET", "/ping", token=None)[0] == 200


def test_deep_nesting_is_refused():
    refused(b"[" * 300000 + b"]" * 300000)
    refused(b"[" * 129 + b"]" * 129)
    assert fresh().post("hostile/deep", b"[" * 128 + b"]" * 128)[0] == 201


def test_bad_text_is_refused():
    for body in (b'"\0"', b"\0", b"1\0", b'"\xc0\xaf"', b'"\xed\xa0\x80"',
                 b'"\xf4\x90\x80\x80"', b"\xef\xbb\xbf1", b"", b" ", b"1 2",
                 b"\x0c1", b"nul", b"[1,]", b"{\"a\":1,}", b"01", b"1e",
                 b"'a'", b"NaN"):
        refused(body)


def test_too_large_is_refused_before_it_is_read():
    out = fresh().raw(b"POST /streams/b/s HTTP/1.1\r\nHost: x\r\n"
                      b"x-session: " + fresh().token.encode() +
                      b"\r\nContent-Type: application/json\r\n"
                      b"Content-Length: 99999999999\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 413 "), out[:100]
    assert b'"too-large"' in out


def test_requests_that_are_no_http():
    n = fresh()
    cases = [
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/9.1\r\nHost: x\r\n\r\n", 505),
        (b"BREW /ping HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70000 + b"\r\n\r\n",
         431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
        (b"POST /streams/b/s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /streams/b/s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
         b"Content-Length: 2\r\n\r\nab", 400),
        (b"POST /streams/b/s HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n"
         b"\r\na", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\0" * 1000, 400),
    ]
    for data, want in cases:
        out = n.raw(data, half_close=True)
        got = out.split(b" ", 2)[1] if out.startswith(b"HTTP/1.") else out
        assert got == str(want).encode(), (data[:80], want, out[:200])
        assert n.request("GET", "/ping", token=None)[0] == 200


def test_names_that_are_illegal():
    n = fresh()
    for name in ("a:b", "*", "-%24patch", "%00", "%0a", "%c0%af", "%ff",
                 "a" * 256):
        status, data = n.post("b/" + name, b"1")
        assert status == 400, (name, status)
        assert parse(data)["type"] == "illegal-name", (name, data)
    for name in ("a%2Fb", "a%20b", ".", "..", "..%2F..%2Fetc", "%C3%A4",
                 "a+b", "a" * 255):
        status, data = n.post("b/" + name, b'"' + name.encode() + b'"')
        assert status == 201, (name, status, data)
        assert parse(n.events("b/" + name))[0]["data"] == name


def test_strangers_get_nothing():
    n = fresh()
    for token in (None, "x", n.token[:-1], n.token + "a", "a" * 10000):
        for method, path in (("GET", "/streams/b/s"), ("GET", "/streams/b"),
                             ("GET", "/buckets"), ("POST", "/streams/b/s")):
            status, headers, data = n.request(
                method, path, b"1" if method == "POST" else None,
                {"Content-Type": "application/json"}, token)
            assert status == 401, (method, path, token, status)
            assert parse(data)["type"] == "no-perm"
            assert headers["WWW-Authenticate"] == "jwt"
    assert n.request("GET", "/ping", token="wrong")[0] == 401
    with open(f"{n.root}/console.log") as f:
        assert n.token not in f.read()


def test_zz_the_node_stops_cleanly_after_all_that():
    fresh().stop()
    fresh().close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
