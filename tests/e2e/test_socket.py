#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""GET /listen by WebSocket: the protocol, frame by frame, and the commands.

usage: test_socket.py IORIOD [TEST...]"""
import json
import socket
import sys
import time

import tap
from listeners import KEY, Socket, append, frame, poll
from node import Node, parse

IORIOD = sys.argv[1]
LINES = {"Content-Type": "application/x-ndjson"}


def text(value):
    return frame(json.dumps(value).encode())


PING = frame(b'{"cmd":"ping"}')
PONG = {"ok": True, "id": 0, "type": "ping"}

# What a client sends, and the code that it is closed with; None: it is answered.
CASES = [
    ("a command", PING, None),
    ("other masks", frame(b'{"cmd":"ping"}', mask=b"\xff\0\x80\x7f"), None),
    ("a mask of zeros", frame(b'{"cmd":"ping"}', mask=b"\0\0\0\0"), None),
    ("two fragments", frame(b'{"cmd":', fin=False) +
     frame(b'"ping"}', 0), None),
    ("many fragments", frame(b'{', fin=False) + b"".join(
        frame(bytes([c]), 0, fin=False) for c in b'"cmd":"ping"') +
     frame(b"}", 0), None),
    ("empty fragments", frame(b"", fin=False) + frame(b"", 0, fin=False) +
     frame(b'{"cmd":"ping"}', 0), None),
    ("a last fragment that is empty", frame(b'{"cmd":"ping"}', fin=False) +
     frame(b"", 0), None),
    ("a ping between fragments", frame(b'{"cmd":', fin=False) +
     frame(b"x", 9) + frame(b'"ping"}', 0), None),
    ("a pong that nobody asked for", frame(b"?", 10) + PING, None),
    ("an empty pong", frame(b"", 10) + PING, None),
    ("a long message", frame(b" " * 70000 + b'{"cmd":"ping"}'), None),
    ("126 bytes", frame(b'{"cmd":"ping"}' + b" " * 112), None),
    ("125 bytes", frame(b'{"cmd":"ping"}' + b" " * 111), None),
    ("65535 bytes", frame(b'{"cmd":"ping"}' + b" " * 65521), None),
    ("a character over two fragments", frame(
        b'{"cmd":"ping","x":"\xc3', fin=False) + frame(b'\xa4"}', 0), None),
    ("close 1000", frame(b"\x03\xe8", 8), 1000),
    ("close with a reason", frame(b"\x03\xe8bye", 8), 1000),
    ("close without a code", frame(b"", 8), 0),
    ("close 3000", frame((3000).to_bytes(2, "big"), 8), 3000),
    ("close 4999", frame((4999).to_bytes(2, "big"), 8), 4999),
    ("close 1007", frame((1007).to_bytes(2, "big"), 8), 1007),
    ("close 999", frame((999).to_bytes(2, "big"), 8), 1002),
    ("close 1004", frame((1004).to_bytes(2, "big"), 8), 1002),
    ("close 1005", frame((1005).to_bytes(2, "big"), 8), 1002),
    ("close 1006", frame((1006).to_bytes(2, "big"), 8), 1002),
    ("close 1015", frame((1015).to_bytes(2, "big"), 8), 1002),
    ("close 2999", frame((2999).to_bytes(2, "big"), 8), 1002),
    ("close 5000", frame((5000).to_bytes(2, "big"), 8), 1002),
    ("close with one byte", frame(b"\x03", 8), 1002),
    ("close with a bad reason", frame(b"\x03\xe8\xff", 8), 1007),
    ("close of 126 bytes", frame(b"\x03\xe8" + b"x" * 124, 8), 1002),
    ("no mask", frame(b'{"cmd":"ping"}', mask=None), 1002),
    ("RSV1, as of compression", frame(b"x", rsv=4), 1002),
    ("RSV2", frame(b"x", rsv=2), 1002),
    ("RSV3", frame(b"x", rsv=1), 1002),
    ("RSV1 of a ping", frame(b"x", 9, rsv=4), 1002),
    ("opcode 3", frame(b"x", 3), 1002),
    ("opcode 7", frame(b"x", 7), 1002),
    ("opcode 11", frame(b"x", 11), 1002),
    ("opcode 15", frame(b"x", 15), 1002),
    ("a continuation of nothing", frame(b"x", 0), 1002),
    ("a continuation after the last", PING + frame(b"x", 0), 1002),
    ("a text in a message", frame(b"x", fin=False) + frame(b"x"), 1002),
    ("a ping in fragments", frame(b"x", 9, fin=False), 1002),
    ("a close in fragments", frame(b"\x03\xe8", 8, fin=False), 1002),
    ("a ping of 126 bytes", frame(b"x" * 126, 9), 1002),
    ("a short length in two bytes", frame(b"x", form=126), 1002),
    ("a short length in eight bytes", frame(b"x" * 200, form=127), 1002),
    ("a length of 2^63", b"\x81\xff\x80" + b"\0" * 11, 1002),
    ("binary", frame(b"x", 2), 1003),
    ("binary in fragments", frame(b"x", 2, fin=False), 1003),
    ("not UTF-8", frame(b'{"cmd":"\xff"}'), 1007),
    ("an overlong slash", frame(b'"\xc0\xaf"'), 1007),
    ("a surrogate", frame(b'"\xed\xa0\x80"'), 1007),
    ("half a character", frame(b'"\xc3'), 1007),
    ("half a character in the last fragment", frame(b'"', fin=False) +
     frame(b"\xc3", 0), 1007),
    ("more than http.max_body", b"\x81\xff" + (8 * 1024 * 1024 + 1).to_bytes(
        8, "big") + b"\0\0\0\0", 1009),
    ("more than http.max_body in fragments", frame(b"x", fin=False) +
     b"\x80\xff" + (8 * 1024 * 1024).to_bytes(8, "big") + b"\0\0\0\0", 1009),
]


def test_the_protocol():
    with Node(IORIOD) as node:
        for name, data, code in CASES:
            for cut in (None, 1):
                if cut and len(data) > 300:
                    continue
                with Socket(node) as s:
                    assert s.status == 101, s.status
                    if cut:
                        s.s.setsockopt(socket.IPPROTO_TCP,
                                       socket.TCP_NODELAY, 1)
                        for i in range(len(data)):
                            s.s.sendall(data[i:i + 1])
                    else:
                        s.s.sendall(data)
                    try:
                        if code is None:
                            assert s.answer() == PONG, name
                            s.s.sendall(frame(b"\x03\xe8", 8))
                            assert s.closed() == 1000, name
                        else:
                            assert s.closed() == code, (name, s.code)
                    except (OSError, EOFError) as e:
                        raise AssertionError(f"{name}: {e!r}")


def test_pings_are_answered():
    with Node(IORIOD) as node:
        with Socket(node) as s:
            for payload in (b"", b"x", b"y" * 125):
                s.s.sendall(frame(payload, 9))
                assert s.frame() == (10, payload)


def test_handshakes():
    with Node(IORIOD) as node:
        with Socket(node) as s:
            assert (s.status, s.headers["upgrade"].lower(),
                    s.headers["connection"].lower()) == (
                        101, "websocket", "upgrade")
            assert s.headers["sec-websocket-accept"] == \
                "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            assert "content-length" not in s.headers
        offer = {"Sec-WebSocket-Extensions": "permessage-deflate"}
        with Socket(node, headers=offer) as s:
            assert s.status == 101
            assert "sec-websocket-extensions" not in s.headers
        for headers, status in (
                ({"Upgrade": "WebSocket"}, 101),
                ({"Connection": "keep-alive, Upgrade"}, 101),
                ({"Connection": "keep-alive"}, 400),
                ({"Sec-WebSocket-Key": None}, 400),
                ({"Sec-WebSocket-Key": "short"}, 400),
                ({"Sec-WebSocket-Key": KEY[:-1] + "x"}, 400),
                ({"Sec-WebSocket-Version": "8"}, 426),
                ({"Sec-WebSocket-Version": None}, 426),
                ({"Origin": "http://anywhere"}, 101)):
            with Socket(node, headers=headers) as s:
                assert s.status == status, (headers, s.status)
                if status == 426:
                    assert s.headers["sec-websocket-version"] == "13"
        with Socket(node, "s=b") as s:
            assert s.status == 400
    with Node(IORIOD, {"http.cors.enabled": "yes",
                       "http.cors.origins": "http://a,http://b"}) as node:
        for origin, status in (("http://b", 101), ("http://c", 403)):
            with Socket(node, headers={"Origin": origin}) as s:
                assert s.status == status, (origin, s.status)


def test_a_handshake_waits_for_what_was_asked_before():
    with Node(IORIOD) as node:
        for path in ("/listen", "/%6cisten", "/liste%6E/"):
            with node.open() as s:
                s.sendall(node.head("GET /ping") + node.head(
                    "GET " + path, "Connection: Upgrade", "Upgrade: websocket",
                    "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + KEY))
                got = b""
                while b" 101 " not in got or not got.endswith(b"\r\n\r\n"):
                    more = s.recv(65536)
                    assert more, (path, got)
                    got += more
                assert got.startswith(b"HTTP/1.1 200") and b"pong" in got
                s.sendall(PING)
                assert b'"type":"ping"' in s.recv(65536), path


def test_commands():
    with Node(IORIOD) as node:
        append(node, "b/s", "old")
        with Socket(node) as s:
            assert s.ask(cmd="subscribe", bucket="b", stream="s", id=7) == {
                "ok": True, "id": 7, "type": "subscribe"}
            for command, reason in (
                    ({"cmd": "subscribe"}, "missing bucket and stream"),
                    ({"cmd": "subscribe", "stream": "s"}, "missing bucket"),
                    ({"cmd": "subscribe", "bucket": "b"}, "missing stream"),
                    ({"cmd": "put", "bucket": "b"}, "missing stream"),
                    ({"cmd": "subscribe", "bucket": "b", "stream": "s"},
                     "already subscribed"),
                    ({"cmd": "unsubscribe", "bucket": "b", "stream": "t"},
                     "not subscribed"),
                    ({"cmd": "dance"}, "unknown command"),
                    ({}, "unknown command")):
                for identity in ("x", 1.5, None, True):
                    got = s.ask(**command, id=identity)
                    assert got == {"ok": False, "id": identity,
                                   "reason": reason}, (command, got)
            for bad in (b"", b"{", b"[]", b"7", b'{"cmd":"ping",}'):
                s.s.sendall(frame(bad))
                assert s.answer() == {"ok": False, "id": 0,
                                      "reason": "invalid json"}, bad
            assert s.ask(cmd="ping", id={"no": "scalar"})["id"] == 0
            assert s.ask(cmd="ping", id="\u00e4\"\\")["id"] == "\u00e4\"\\"
            got = s.ask(cmd="put", bucket="b", stream="s", data={"a": [1]},
                        id="p")
            assert got["ok"] and got["type"] == "put" and got["id"] == "p"
            assert got["meta"].keys() == {"id", "t"} and got["meta"]["id"] == 2
            event = s.take(1)[0]
            assert event["meta"]["id"] == 2 and event["data"] == {"a": [1]}
            assert (event["meta"]["bucket"],
                    event["meta"]["stream"]) == ("b", "s")
            assert s.ask(cmd="unsubscribe", bucket="b", stream="s")["ok"]
            append(node, "b/s", "unheard")
            assert s.ask(cmd="subscribe", bucket="b", stream="s",
                         **{"from": 1})["ok"]
            got = s.take(3)
            assert [e["data"] for e in got] == ["old", {"a": [1]}, "unheard"]
            cursor = s.ask(cmd="cursor")
            assert cursor["ok"] and cursor["type"] == "cursor"
        append(node, "b/s", "later")
        with Socket(node, "s=b:s:1&cursor=" + cursor["cursor"]) as s:
            assert [e["data"] for e in s.take(1)] == ["later"]


def test_history_in_frames_of_a_hundred():
    with Node(IORIOD) as node:
        lines = b"".join(b"%d\n" % i for i in range(5000))
        assert node.request("POST", "/streams/b/s", lines, LINES)[0] == 201
        with Socket(node, "s=b:s:1") as s:
            assert [e["data"] for e in s.take(5000)] == list(range(5000))
            for i in range(50):
                append(node, "b/s", -i)
            assert [e["data"] for e in s.take(50)] == [-i for i in range(50)]


def test_several_tell_their_cursor():
    with Node(IORIOD) as node:
        with Socket(node, "s=b:x:1&s=b:y:1") as s:
            lines = b"".join(b"%d\n" % i for i in range(700))
            for name in "xy":
                assert node.request("POST", "/streams/b/" + name, lines,
                                    LINES)[0] == 201
            got = s.take(1401)
            cursors = [e for e in got if e.get("notice") == "cursor"]
            assert len(cursors) == 1, got[-3:]
            at = got.index(cursors[0])
            assert at >= 1000
            before = {(e["meta"]["stream"], e["meta"]["id"])
                      for e in got[:at]}
        with Socket(node, "s=b:x:1&s=b:y:1&cursor=" +
                    cursors[0]["cursor"]) as s:
            rest = {(e["meta"]["stream"], e["meta"]["id"])
                    for e in s.take(1400 - at)}
        assert not before & rest and len(before | rest) == 1400


def test_a_bucket_by_command():
    with Node(IORIOD) as node:
        append(node, "b/s", "before")
        with Socket(node) as s:
            assert s.ask(cmd="subscribe", bucket="b", stream="*")["ok"]
            assert s.ask(cmd="subscribe", bucket="b", stream="*")[
                "reason"] == "already subscribed"
            time.sleep(0.5)
            append(node, "b/s", 1)
            append(node, "b/t", 2)
            got = {(e["meta"]["stream"], e["data"]) for e in s.take(2)}
            assert got == {("s", 1), ("t", 2)}
            cursor = s.ask(cmd="cursor")["cursor"]
            append(node, "b/u", 3)
            assert s.take(1)[0]["data"] == 3
            assert s.ask(cmd="unsubscribe", bucket="b", stream="*")["ok"]
        with Socket(node, "s=b:*&cursor=" + cursor) as s:
            assert s.take(1)[0]["data"] == 3


def test_a_stop_says_so():
    with Node(IORIOD) as node:
        with Socket(node, "s=b:s") as s:
            assert s.ask(cmd="ping")["ok"]
            begun = time.monotonic()
            node.stop()
            assert s.closed() == 1001 and time.monotonic() - begun < 5


tap.run(sys.modules[__name__])
