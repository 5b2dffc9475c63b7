#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What any HTTP client may do: pipelining, half-closing, HEAD, negotiation,
reading slowly.

usage: test_edge.py IORIOD [TEST...]"""
import json
import socket
import sys
import time

import tap
from node import answers, parse, shared

IORIOD = sys.argv[1]
fresh = shared(IORIOD)


def call(method, path, body=b"", headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: x",
             f"x-session: {fresh().token}"]
    lines += headers
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
        lines.append("Content-Type: application/json")
    return "\r\n".join(lines + ["", ""]).encode() + body


def test_pipelined_appends_are_answered_in_order():
    n = 300
    out = fresh().raw(b"".join(
        call("POST", "/streams/pipe/s", b"%d" % i) for i in range(1, n + 1)),
        half_close=True)
    got = answers(out)
    assert [a[0] for a in got] == [201] * n
    assert [parse(a[2])["meta"]["id"] for a in got] == list(range(1, n + 1))
    seen = parse(fresh().events("pipe/s"))
    assert [e["data"] for e in seen] == list(range(1, n + 1))


def test_a_read_behind_an_append_sees_it():
    batch = b"".join(
        call("POST", "/streams/pipe/rw", b"%d" % i) +
        call("GET", "/streams/pipe/rw") +
        call("GET", "/streams/pipe/rw?limit=3",
             headers=["Accept: application/x-ndjson"])
        for i in range(1, 41))
    got = answers(fresh().raw(batch, half_close=True))
    assert len(got) == 120
    for i in range(1, 41):
        post, last, lines = got[3 * i - 3:3 * i]
        assert parse(post[2])["meta"]["id"] == i
        assert [e["data"] for e in parse(last[2])] == [i]
        assert len(lines[2].splitlines()) == min(i, 3)


def test_an_error_does_not_end_what_is_pipelined():
    got = answers(fresh().raw(
        call("POST", "/streams/pipe/e", b"{bad") +
        call("GET", "/nothing") +
        call("POST", "/streams/pipe/e", b"1", ["If-Match: 1"]) +
        call("DELETE", "/ping") +
        call("GET", "/ping"), half_close=True))
    assert [a[0] for a in got] == [400, 404, 400, 405, 200], got


def test_nothing_after_connection_close_is_answered():
    got = answers(fresh().raw(
        call("GET", "/ping", headers=["Connection: close"]) +
        call("GET", "/ping")))
    assert [a[0] for a in got] == [200]
    assert got[0][1]["connection"] == "close"


def lengths(path, get):
    """What the length may be: /ping names another partition each time."""
    if path != "/ping" or get[0] != 200:
        return {int(get[1]["Content-Length"])}
    return {len('{"pong":"%d"}' % (i * 2**160 // 64)) for i in range(64)}


def test_head_is_get_without_the_body():
    n = fresh()
    assert n.post("head/s", b'{"a":1}')[0] == 201
    for path in ("/ping", "/streams/head/s", "/streams/head/s/1", "/buckets",
                 "/streams/head", "/readyz", "/streams/none/none"):
        for accept in ("application/json", "application/x-ndjson"):
            get = n.request("GET", path, headers={"Accept": accept})
            head = n.request("HEAD", path, headers={"Accept": accept})
            assert head[0] == get[0] and head[2] == b"", (path, head)
            if "Content-Length" in head[1]:
                assert int(head[1]["Content-Length"]) in lengths(path, get), \
                    path
            assert head[1]["Content-Type"] == get[1]["Content-Type"], path


def test_accept_is_weighed():
    n = fresh()
    n.post("accept/s", b"1")

    def type_of(accept, path="/streams/accept/s"):
        r = n.request("GET", path, headers={"Accept": accept})
        return r[0], r[1]["Content-Type"]
    ndjson, plain = "application/x-ndjson", "application/json"
    assert type_of("*/*") == (200, plain)
    assert type_of("application/*") == (200, plain)
    assert type_of(ndjson) == (200, ndjson)
    assert type_of("application/json;q=0.2, application/x-ndjson") == \
        (200, ndjson)
    assert type_of("application/x-ndjson;q=0.2, application/json") == \
        (200, plain)
    assert type_of("text/html")[0] == 406
    assert type_of("application/json;q=0")[0] == 406
    assert type_of("application/problem+json", "/nothing") == \
        (404, "application/problem+json")


def test_a_chunked_body_and_expect():
    n = fresh()
    out = n.raw(
        b"POST /streams/chunked/s HTTP/1.1\r\nHost: x\r\nx-session: " +
        n.token.encode() + b"\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"1\r\n[\r\n3;x=y\r\n1,2\r\n1\r\n]\r\n0\r\nTrailer: 1\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 201 "), out
    assert n.request("GET", "/streams/chunked/s/1")[2] == b"[1,2]"
    with socket.create_connection(("127.0.0.1", n.port), 10) as s:
        s.sendall(call("POST", "/streams/chunked/s", b"7",
                       ["Expect: 100-continue", "Connection: close"])[:-1])
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"7")
        assert s.recv(100).startswith(b"HTTP/1.1 201 ")
    out = n.raw(call("POST", "/streams/chunked/s", b"7", [
        "Expect: 100-continue", "If-Match: 3"])[:-1])
    assert out.startswith(b"HTTP/1.1 400 "), out  # refused without the body


def test_a_slow_reader_gets_all_and_holds_no_memory():
    n = fresh()
    c = n.connect()
    pad = b'"' + b"x" * 30000 + b'"'
    for _ in range(800):  # 24 MB
        assert n.post("slow/s", pad, c)[0] == 201

    socks = []
    before = n.rss()
    for _ in range(20):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.settimeout(20)
        s.connect(("127.0.0.1", n.port))
        s.sendall(call("GET", "/streams/slow/s?from=1", headers=[
            "Accept: application/x-ndjson", "Connection: close"]))
        socks.append(s)
    time.sleep(1)
    grown = n.rss() - before
    assert grown < 20 * 6 * 2**20, grown  # 24 MB each, if it were unbounded
    out = b""
    while chunk := socks[0].recv(1 << 20):
        out += chunk
    lines = answers(out)[0][2].splitlines()
    assert [json.loads(x)["meta"]["id"] for x in lines] == \
        list(range(1, 801))
    for s in socks:
        s.close()
    assert n.request("GET", "/ping")[0] == 200


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
