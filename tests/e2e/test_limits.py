#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a client can use up: time, memory, connections, descriptors.  The node
says no in words of the API, and goes on.

usage: test_limits.py IORIOD [TEST...]"""
import socket
import sys
import threading
import time

import tap
from cluster import eventually
from listeners import Socket, frame
from node import Node, answers, parse, shared

IORIOD = sys.argv[1]
MIB = 1 << 20
JSON = "Content-Type: application/json"
fresh = shared(IORIOD)


def read_all(s):
    """(what came until the end, how it ended)"""
    out, how = [], "end"
    try:
        while chunk := s.recv(1 << 20):
            out.append(chunk)
    except ConnectionResetError:
        how = "reset"
    except TimeoutError:
        how = "timeout"
    return b"".join(out), how


# --- size -------------------------------------------------------------------

def test_a_body_may_have_8_mib_and_no_byte_more():
    n = fresh()
    for size in (MIB, 8 * MIB - 1, 8 * MIB):
        body = b'"' + b"x" * (size - 2) + b'"'
        status, data = n.post("size/s", body)
        assert status == 201, (size, status)
        seq = parse(data)["meta"]["id"]
        assert n.request("GET", f"/streams/size/s/{seq}")[2] == body
    # chunked: counted as it comes
    for size, status in ((8 * MIB, 201), (8 * MIB + 1, 413)):
        out = n.raw(n.head("POST /streams/size/s", "Content-Type: a/b",
                           "Transfer-Encoding: chunked", "Connection: close") +
                    (b"100000\r\n" + b"x" * MIB + b"\r\n") * 8 +
                    (b"1\r\nx\r\n" if size > 8 * MIB else b"") +
                    b"0\r\n\r\n")
        assert answers(out)[0][0] == status, (size, out[:100])
    # said before a byte of it is read
    head = n.head("POST /streams/size/s", JSON, "Content-Length: 8388609")
    with n.open() as s:
        s.sendall(head)
        out, how = read_all(s)
    assert answers(out)[0][0] == 413 and how == "end"


def test_an_early_error_arrives_though_the_body_is_sent():
    n = fresh()
    head = n.head("POST /streams/early/s", JSON, "Content-Length: 99999999")
    # up to 1 MiB is read away, then it ends well
    with n.open() as s:
        s.sendall(head)
        for _ in range(9):
            s.sendall(b"x" * 100000)
            time.sleep(0.02)
        out, how = read_all(s)
        # no more comes, and after a second the node does not wait for it
        time.sleep(1.5)
        s.sendall(b"x")
        time.sleep(0.1)
        try:
            s.sendall(b"x")
            how = "open"
        except OSError:
            pass
    assert answers(out)[0][0] == 413 and how == "end", how
    # a client that never stops is cut, soon
    sent = 0
    with n.open() as s:
        s.sendall(head)
        try:
            while sent < 64 * MIB:
                sent += s.send(b"x" * 100000)
        except OSError:
            pass
    assert sent < 16 * MIB, sent
    assert n.request("GET", "/ping")[0] == 200


def test_bodies_in_flight_have_a_limit():
    with Node(IORIOD, {"http.max_inflight": "4MB"}) as n:
        head = n.head("POST /streams/b/s", "Content-Type: a/b",
                      "Content-Length: 2000000")
        socks = [n.open() for _ in range(3)]
        for s in socks:
            s.sendall(head + b"x" * 1500000)
            time.sleep(0.3)
        out, how = read_all(socks[2])
        status, headers, body = answers(out)[0]
        assert (status, headers["retry-after"], how) == (503, "1", "end")
        assert parse(body)["type"] == "unavailable"
        assert n.post("b/small", b"1")[0] == 201  # there is room for that
        for s in socks[:2]:
            s.sendall(b"x" * 500000)
            assert s.recv(12) == b"HTTP/1.1 201"
            s.close()
        # what clients did not send counts no more when they are gone
        for _ in range(3):
            s = n.open()
            s.sendall(head + b"x" * 1500000)
            time.sleep(0.2)
            s.close()
        time.sleep(0.2)
        assert n.post("b/s", b'"' + b"x" * 3900000 + b'"')[0] == 201


def in_flight(n):
    return parse(n.request("GET", "/stats")[2])["http"]["in_flight_bytes"]


def test_messages_of_sockets_count_as_bodies_in_flight():
    with Node(IORIOD, {"http.max_inflight": "4MB"}) as n:
        socks = [Socket(n) for _ in range(3)]
        # half a message takes 2 MiB, so there is no room for a third one
        for s, size in zip(socks, (1200000, 1200000, 50000)):
            s.s.sendall(frame(b'"' + b"x" * size, fin=False) +
                        frame(b"x", 9))
            s.step()
        assert [s.code for s in socks] == [None, None, 1013]
        eventually(lambda: in_flight(n) == 4 * MIB)
        s = socks[0]
        s.s.sendall(frame(b'"', 0))
        assert s.answer()["reason"] == "invalid json"
        assert in_flight(n) <= 2 * MIB  # without waiting for what comes next
        got = s.ask(cmd="put", bucket="b", stream="s", data="x" * 1500000)
        assert got["reason"] == "unavailable", got
        assert s.ask(cmd="put", bucket="b", stream="s", data="x")["ok"]
        for s in socks:
            s.s.close()
        eventually(lambda: in_flight(n) == 0)


def test_large_answers_that_are_pipelined_do_not_add_up():
    body = b'"' + b"x" * (2 * MIB) + b'"'
    with Node(IORIOD) as n:
        for _ in range(3):
            assert n.post("add/s", body)[0] == 201
        n.stop()
        n.start()  # read from disk, each time anew
        before = n.rss()
        with n.open() as s:
            for path in ("/streams/add/s/1", "/streams/add/s?from=1&limit=3"):
                s.sendall(n.head("GET " + path) * 20)
            time.sleep(1)
            grown = n.rss() - before
            s.sendall(n.head("GET /ping", "Connection: close"))
            out, how = read_all(s)
    assert grown < 60 * MIB, grown / MIB  # 160 MiB, if they did
    got = answers(out)
    assert [g[0] for g in got] == [200] * 41 and how == "end"
    assert all(g[2] == body for g in got[:20])
    assert all([e["meta"]["id"] for e in parse(g[2])] == [1, 2, 3]
               for g in got[20:40])


# --- connections ------------------------------------------------------------

def ping(s):
    s.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    return s.recv(65536)


def test_one_connection_too_many_is_told_so():
    with Node(IORIOD, {"http.max_connections": 10}) as n:
        time.sleep(0.1)
        socks = [n.open() for _ in range(10)]
        assert all(ping(s).startswith(b"HTTP/1.1 200 ") for s in socks)
        for _ in range(40):  # more than there is room to tell
            with n.open() as s:
                try:
                    s.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
                except OSError:
                    pass
                out, _ = read_all(s)
            if out:
                status, headers, body = answers(out)[0]
                assert (status, headers["retry-after"]) == (503, "1")
                assert headers["connection"] == "close"
                assert headers["x-request-id"] and headers["date"]
                assert parse(body)["type"] == "unavailable"
        assert out, "none of them was told"
        assert all(ping(s).startswith(b"HTTP/1.1 200 ") for s in socks)
        socks[0].close()
        time.sleep(0.1)
        assert n.request("GET", "/ping")[0] == 200
        for s in socks:
            s.close()


def test_clients_never_get_the_descriptors_of_the_store():
    n = Node(IORIOD, {"journal.segment": "32MB", "journal.max": "128MB",
                      "workers": 1})
    command = n.command
    n.command = lambda: ["prlimit", "--nofile=160:160"] + command()
    with n:
        assert "http.max_connections" in n.console()
        c = n.connect()
        assert n.post("b/s", b"1", c)[0] == 201
        socks = []
        for _ in range(200):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", n.port))
            socks.append(s)
        time.sleep(0.3)
        for i in range(200):  # three segments, 200 chunk files
            status, data = n.post(f"b/s{i}", b'"' + b"x" * 500000 + b'"', c)
            assert status == 201, (i, data)
        for s in socks:
            s.close()
        n.stop()
    n = Node(IORIOD, {"workers": 1})
    command = n.command
    n.command = lambda: ["prlimit", "--nofile=64:64"] + command()
    try:
        n.start()
        raise RuntimeError("it started")
    except AssertionError as e:
        assert "open files" in str(e), e
    n.close()


# --- time -------------------------------------------------------------------

def slow(name, how, first, every, period, want, results):
    """Sends FIRST, then EVERY each PERIOD seconds; what came of it."""
    with fresh().open(40) as s:
        start = time.monotonic()
        s.sendall(first)
        s.settimeout(period)
        out = b""
        while time.monotonic() - start < 30:
            try:
                chunk = s.recv(65536)
                out += chunk
                if not chunk:
                    break
            except TimeoutError:
                try:
                    s.sendall(every)
                except OSError:
                    break
            except OSError:
                break
        results[name] = (out, time.monotonic() - start, how, want)


def test_who_trickles_is_told_408_and_closed():
    n = fresh()
    body = n.head("POST /streams/slow/s", JSON, "Content-Length: 100000")
    chunked = n.head("POST /streams/slow/s", JSON,
                     "Transfer-Encoding: chunked")
    skipped = n.head("POST /nothing", JSON, "Content-Length: 100000")
    cases = [
        ("head", "a byte of a head a second",
         b"GET /ping HTTP/1.1\r\n", b"X", 1, 408),
        ("head-2", "the head of a second request",
         n.head("GET /ping") + b"GET", b" ", 1, 408),
        ("body", "a byte of a body a second", body + b"[", b" ", 1, 408),
        ("chunked", "a byte of a chunk a second",
         chunked + b"10\r\n[", b" ", 1, 408),
        ("silent", "a body that stops", body + b"[" + b" " * 1000, b"", 40,
         408),
        ("steady", "a slow body, but not too slow",
         n.head("POST /streams/slow/s", JSON, "Content-Length: 40001",
                "Connection: close") + b"1", b" " * 2500, 1, 201),
        ("skipped", "a body that nobody wants", skipped, b"x", 1, 404),
    ]
    results = {}
    threads = [threading.Thread(target=slow, args=case + (results,))
               for case in cases]
    for t in threads:
        t.start()
    c = n.connect()
    while any(t.is_alive() for t in threads):
        assert n.request("GET", "/ping", connection=c)[0] == 200
        time.sleep(0.2)
    for name, (out, took, how, want) in results.items():
        got = answers(out)
        assert got and got[-1][0] == want, (name, how, out[-300:])
        if want == 408:
            body = parse(got[-1][2])
            assert (body["type"], body["status"]) == ("timeout", 408), body
            assert set(body) == {"type", "reason", "status"}, body
            assert got[-1][1]["content-type"] == "application/json"
            assert got[-1][1]["connection"] == "close"
        assert 9 < took < 20, (name, took)
    assert len(results) == len(cases)


def test_who_does_not_read_costs_no_memory_and_is_closed():
    n = fresh()
    c = n.connect()
    for _ in range(300):
        assert n.post("unread/s", b'"' + b"x" * 30000 + b'"', c)[0] == 201
    before = n.rss()
    socks = []
    for _ in range(30):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", n.port))
        s.sendall(n.head("GET /streams/unread/s?from=1",
                         "Accept: application/x-ndjson") * 20)
        socks.append(s)
    for _ in range(10):
        time.sleep(0.1)
        assert n.request("GET", "/ping", connection=c)[0] == 200
    grown = n.rss() - before
    assert grown < 30 * 3 * MIB, grown / MIB  # 180 MB each, if unbounded
    for s in socks:
        s.close()


def test_zz_the_node_stops_cleanly_after_all_that():
    fresh().stop()
    fresh().close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
