#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the log says of requests, and what it must never say.

usage: test_log.py IORIOD [TEST...]"""
import json
import re
import sys

import tap
from node import Node

IORIOD = sys.argv[1]

SECRETS = ["Wr0ngT0ken", "C00kieValue", "B3arerValue", "QueryJwt", "PassW0rd",
           "C00kieOfTheCluster", "S1gningSecret"]
SETTINGS = {"log.level": "debug", "cluster.cookie": "C00kieOfTheCluster",
            "auth.secret": "S1gningSecret", "auth.admin.password": "PassW0rd"}


def every_way_to_send_a_secret(node):
    def ask(path, headers=None, method="GET", body=None, token=None):
        node.request(method, path, body, headers, token)
    ask("/streams/b/s", token="own")
    ask("/streams/b/s", token="Wr0ngT0ken")
    ask("/streams/b/s", {"Authorization": "Bearer B3arerValue"})
    ask("/streams/b/s", {"Authorization": "Bearer " + node.token})
    ask("/streams/b/s", {"Cookie": "session=C00kieValue"})
    for value in ("QueryJwt", node.token):
        ask("/streams/b/s?jwt=" + value)
        ask("/streams/b/s?limit=1&jwt=" + value)
        ask("/nowhere?jwt=" + value)
        ask("/buckets?jwt=" + value, method="DELETE")
        ask("/streams/b/%zz?jwt=" + value)
        ask("/streams/b/s?jwt=" + value + "&x=%zz")
        ask("/streams/b/s?jwt=" + value, method="POST", body=b"{bad")
        ask("/streams//?jwt=" + value)
        node.raw(f"GET /ping?jwt={value} HTTP/9.9\r\n\r\n".encode())
        node.raw(f"BREW /ping?jwt={value} HTTP/1.1\r\nHost: x\r\n"
                 "Connection: close\r\n\r\n".encode())
        node.raw(f"GET /ping?jwt={value}\x01 HTTP/1.1\r\nHost: x\r\n\r\n"
                 .encode())
        node.raw(f"GET /ping HTTP/1.1\r\nHost: x\r\nx-session: {value}\r\n"
                 "bad header\r\n\r\n".encode())
    ask("/users", {"Content-Type": "application/json"}, "POST",
        b'{"username":"a","password":"PassW0rd"}')


def test_no_line_has_a_token_or_a_secret_in_it():
    for form in ("text", "json"):
        with Node(IORIOD, {**SETTINGS, "log.format": form}) as node:
            secrets = SECRETS + [node.token]
            every_way_to_send_a_secret(node)
            node.stop()
            text = open(f"{node.root}/console.log").read()
            for secret in secrets:
                assert secret not in text, (secret, form)
            assert text.count("/streams/b/s") > 10, text


def test_a_debug_log_has_a_line_for_each_request():
    with Node(IORIOD, SETTINGS) as node:
        node.post("b/s", b"1")
        node.request("GET", "/streams/b/none/7?jwt=x",
                     headers={"X-Request-Id": "mine-7"})
        node.stop()
        text = open(f"{node.root}/console.log").read()
    assert re.search(r"Z debug 127\.0\.0\.1:\d+ POST /streams/b/s 201 \d+ B "
                     r"\d+ us [0-9a-f]{16}\n", text), text
    assert re.search(r"GET /streams/b/none/7 404 \d+ B \d+ us mine-7\n",
                     text), text


def test_an_info_log_has_none():
    with Node(IORIOD) as node:
        node.post("b/s", b"1")
        node.stop()
        text = open(f"{node.root}/console.log").read()
    assert "POST" not in text and " serves http://127.0.0.1:" in text, text
    assert text.rstrip().endswith("stopped"), text


def test_every_line_of_a_json_log_is_an_object():
    with Node(IORIOD, {"log.format": "json", "log.level": "debug"}) as node:
        node.post("b/s", b"1")
        node.raw(b'GET /\x80"\\ HTTP/1.1\r\n\r\n')
        node.request("GET", "/streams/caf%C3%A9/%22%0A%5C")
        node.stop()
        lines = open(f"{node.root}/console.log").read().splitlines()
    assert len(lines) >= 4
    for line in lines:
        entry = json.loads(line)
        assert set(entry) == {"time", "level", "message"}, line
        assert entry["level"] in ("debug", "info", "warn", "error"), line


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
