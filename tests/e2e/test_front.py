#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""nginx as a cache in front of a node: what is in the past comes from there, and
nothing else does. Part of `make test-extra`.

usage: test_front.py IORIOD [TEST...]"""
import atexit
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import tap
from node import Node, die_with_parent, free_port, parse

IORIOD = sys.argv[1]
# All that is said to be immutable is kept, for each token alone.  $upstream_...
# of a response decides whether it is; the rest goes through.
CONF = """
{user} worker_processes 1; daemon off; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    proxy_cache_path {dir}/cache keys_zone=c:1m;
    map $upstream_http_cache_control $passes {{ default 1; ~immutable 0; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{node};
            proxy_http_version 1.1;
            proxy_cache c;
            proxy_cache_key $request_uri|$http_x_session;
            proxy_ignore_headers {ignored};
            {rules}
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
}}
"""
PRIVATE = ("Cache-Control", "proxy_no_cache $passes; "
                            "proxy_cache_valid 200 365d;")
PUBLIC = ("Set-Cookie", "")  # as nginx does it by itself


class Front:
    def __init__(self, node, how):
        if not shutil.which("nginx"):
            raise tap.Skip("nginx is not installed")
        self.node, self.port = node, free_port()
        self.dir = tempfile.mkdtemp(prefix="iorio-front-")
        with open(f"{self.dir}/conf", "w") as f:
            f.write(CONF.format(dir=self.dir, port=self.port, node=node.port,
                                user="" if os.getuid() else "user root;",
                                ignored=how[0], rules=how[1]))
        self.process = subprocess.Popen(
            ["nginx", "-c", f"{self.dir}/conf", "-p", self.dir,
             "-e", f"{self.dir}/error.log"],
            preexec_fn=die_with_parent)
        atexit.register(self.close)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert time.monotonic() < end, open(
                    f"{self.dir}/error.log").read()
                time.sleep(0.05)

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def get(self, path, headers=None, token="own"):
        """(status, HIT or MISS ..., bytes, headers)"""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        h = dict(headers or {})
        if token:
            h["x-session"] = self.node.token if token == "own" else token
        c.request("GET", path, headers=h)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.headers["X-Cache"], data, r.headers


def fill(node, stream, first, n):
    lines = b"\n".join(b'{"n":%d}' % i for i in range(first, first + n))
    assert node.post(stream, lines,
                     content_type="application/x-ndjson")[0] == 201


def values(data):
    return [e["data"]["n"] for e in parse(data)]


def test_what_is_immutable_comes_from_the_cache():
    with Node(IORIOD) as node:
        front = Front(node, PRIVATE)
        fill(node, "b/s", 1, 10)
        page = "/streams/b/s?from=1&to=5&cache=immutable"
        first, again = front.get(page), front.get(page)
        assert (first[0], first[1]) == (200, "MISS"), first
        assert (again[0], again[1], again[2]) == (200, "HIT", first[2])
        assert again[3]["ETag"] == first[3]["ETag"]
        # Whoever has it already need not get it again.
        assert front.get(page, {"If-None-Match": first[3]["ETag"]})[:3] == (
            304, "HIT", b"")
        # One event too; and NDJSON is something else.
        raw = "/streams/b/s/3?cache=immutable"
        assert front.get(raw)[1:3] == ("MISS", b'{"n":3}')
        assert front.get(raw)[1:3] == ("HIT", b'{"n":3}')
        lines = front.get(page, {"Accept": "application/x-ndjson"})
        assert lines[1] == "MISS" and lines[2].count(b"\n") == 5
        # The node may die: the past is there.
        node.kill()
        assert front.get(page)[:3] == (200, "HIT", first[2])
        node.start()
        front.close()


def test_who_may_not_read_gets_nothing_from_the_cache():
    with Node(IORIOD) as node:
        front = Front(node, PRIVATE)
        fill(node, "b/s", 1, 3)
        page = "/streams/b/s?from=1&to=3&cache=immutable"
        for _ in range(2):
            assert front.get(page)[0] == 200
            for token in (None, "wrong"):
                assert front.get(page, token=token)[0] == 401
        front.close()


def test_what_is_open_or_may_be_deleted_is_asked_for_each_time():
    with Node(IORIOD) as node:
        front = Front(node, PRIVATE)
        fill(node, "b/s", 1, 3)
        for query in ("", "?limit=3", "?from=1&limit=9", "?from=1&to=3",
                      "?from=1&to=9&cache=immutable", "?since=1"):
            for n in range(2):
                assert front.get("/streams/b/s" + query)[1] == "MISS", query
        for path in ("/streams/b", "/buckets", "/streams/b/s/3",
                     "/streams/b/s/9?cache=immutable"):
            for n in range(2):
                assert front.get(path)[1] == "MISS", path
        # It fills up: then, and only then, it is kept.
        page = "/streams/b/s?from=1&to=5&cache=immutable"
        assert values(front.get(page)[2]) == [1, 2, 3]
        fill(node, "b/s", 4, 2)
        assert front.get(page)[1] == "MISS"
        assert front.get(page)[1] == "HIT"
        assert values(front.get(page)[2]) == [1, 2, 3, 4, 5]
        front.close()


def test_a_stream_that_was_made_again_does_not_come_from_the_cache():
    with Node(IORIOD) as node:
        front = Front(node, PRIVATE)
        page = "/streams/b/s?from=1&to=3"
        fill(node, "b/s", 1, 3)
        tag = front.get(page)[3]["ETag"]
        assert front.get(page, {"If-None-Match": tag})[0] == 304
        assert node.request("DELETE", "/streams/b/s")[0] == 204
        assert front.get(page, {"If-None-Match": tag})[2] == b"[]"
        fill(node, "b/s", 101, 3)
        status, _, data, head = front.get(page, {"If-None-Match": tag})
        assert (status, values(data)) == (200, [101, 102, 103])
        assert head["ETag"] != tag
        front.close()


def test_what_everybody_may_read_is_kept_for_everybody():
    with Node(IORIOD) as node:
        status, _, data = node.request(
            "POST", "/access/b", json.dumps(
                {"action": "grant", "role": "*", "permission": "get"}),
            {"Content-Type": "application/json"})
        assert status == 200, data
        front = Front(node, PUBLIC)
        fill(node, "b/s", 1, 3)
        page = "/streams/b/s?from=1&to=3&cache=immutable"
        first = front.get(page, token=None)
        assert first[0] == 200 and "public" in first[3]["Cache-Control"]
        assert front.get(page, token=None)[1] == "HIT"
        # What only some may read is private: nginx keeps none of it.
        fill(node, "c/s", 1, 3)
        page = "/streams/c/s?from=1&to=3&cache=immutable"
        for _ in range(2):
            assert front.get(page)[1] == "MISS"
        front.close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
