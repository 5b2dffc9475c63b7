#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages of other origins (http.cors.*) and too many requests (limits.*).

usage: test_guard.py IORIOD [TEST...]"""
import json
import re
import sys
import time

import tap
from listeners import Refused, Socket, Sse
from node import Node, answers
from test_reload import Tree

IORIOD = sys.argv[1]
ALLOW = ["X-Session", "Authorization", "Content-Type", "If-Match",
         "If-None-Match", "Idempotency-Key", "Last-Event-ID"]
EXPOSE = ["Location", "ETag", "Link", "Iorio-First", "Iorio-Last",
          "Iorio-Seq", "Iorio-Time", "Iorio-Cursor", "Iorio-Stale",
          "Idempotent-Replayed", "Retry-After", "RateLimit",
          "RateLimit-Policy", "X-Request-Id"]


def preflight(n, path, origin, method="POST"):
    return n.request("OPTIONS", path, headers={
        "Origin": origin, "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "x-session"}, token=None)


def split(text):
    return [x.strip() for x in text.split(",")]


def cors_headers(headers):
    return [k for k in headers if k.startswith("Access-Control-")]


def test_nothing_is_said_to_other_origins_unless_it_is_switched_on():
    with Node(IORIOD) as n:
        status, headers, _ = preflight(n, "/streams/b/s", "http://a.example")
        assert status == 200 and not cors_headers(headers)
        _, headers, _ = n.request("GET", "/ping",
                                  headers={"Origin": "http://a.example"})
        assert not cors_headers(headers) and "Vary" not in headers


def test_all_origins():
    with Node(IORIOD, {"http.cors.enabled": "yes"}) as n:
        for path in ("/streams/b/s", "/ping", "/metrics", "/nothing/at/all"):
            status, headers, data = preflight(n, path, "http://a.example")
            assert (status, data) == (200, b""), path
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert split(headers["Access-Control-Allow-Methods"]) == [
                "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
            assert split(headers["Access-Control-Allow-Headers"]) == ALLOW
            assert headers["Access-Control-Max-Age"] == "60"
        for status, path in ((200, "/buckets"), (404, "/nothing"),
                             (200, "/streams/b/s")):
            got, headers, _ = n.request(
                "GET", path, headers={"Origin": "http://a.example"})
            assert got == status
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert split(headers["Access-Control-Expose-Headers"]) == EXPOSE
            assert headers["Vary"] == "Origin"
        # not a preflight: what there is to do here
        status, headers, _ = n.request(
            "OPTIONS", "/ping", headers={"Origin": "http://a.example"},
            token=None)
        assert status == 200 and headers["Allow"] == "GET, HEAD, OPTIONS"


def test_some_origins():
    with Node(IORIOD, {
            "http.cors.enabled": "yes", "http.cors.maxage": "10m",
            "http.cors.headers": "X-One, x-two",
            "http.cors.origins": "https://a.example , http://b.example:81",
            }) as n:
        for origin in ("https://a.example", "http://b.example:81"):
            status, headers, _ = preflight(n, "/streams/b/s", origin)
            assert status == 200
            assert headers["Access-Control-Allow-Origin"] == origin
            assert headers["Vary"] == "Origin"
            assert split(headers["Access-Control-Allow-Headers"]) == \
                ALLOW + ["X-One", "x-two"]
            assert headers["Access-Control-Max-Age"] == "600"
        for origin in ("http://a.example", "https://a.example.evil", "null",
                       "https://a.exampl", "*", "https://A.example"):
            status, headers, _ = preflight(n, "/streams/b/s", origin)
            assert status == 200 and not cors_headers(headers), origin
            assert headers["Vary"] == "Origin"
            _, headers, _ = n.request("GET", "/ping",
                                      headers={"Origin": origin})
            assert not cors_headers(headers) and headers["Vary"] == "Origin"
        # a range that caches keep varies by both
        n.post("b/s", b"1")
        _, headers, _ = n.request("GET", "/streams/b/s?from=1&to=1")
        assert "Accept" in headers["Vary"]
        got = answers(n.raw(b"GET / HTTP/1.1\r\n bad\r\n\r\n"))
        assert got[0][0] == 400 and got[0][1]["vary"] == "Origin"


def test_what_cannot_be_a_header_is_refused_at_the_start():
    n = Node(IORIOD, {"http.cors.enabled": "yes",
                      "http.cors.headers": "X-One, a b"})
    n.start(wait=False)
    assert n.process.wait(20) == 1
    assert "http.cors.headers" in n.console()
    n.close()


def get(n, path="/buckets", token="own"):
    status, headers, data = n.request("GET", path, token=token)
    if status == 429:
        assert json.loads(data)["type"] == "rate-limited"
        assert 1 <= int(headers["Retry-After"]) <= 2
    return status, headers


def test_too_many_requests_of_an_address_and_of_a_user():
    with Node(IORIOD, {"limits.user.rps": 40, "limits.anonymous.rps": 5,
                       "workers": 2}) as n:
        time.sleep(1.1)  # what the start asked for is forgotten
        seen = [get(n, token=None) for _ in range(12)]
        statuses = [s for s, _ in seen]
        assert statuses[:5] == [401] * 5 and statuses.count(429) >= 5
        for i, (status, headers) in enumerate(seen[:5]):
            assert headers["RateLimit-Policy"] == '"anonymous";q=5;w=1'
            m = re.fullmatch(r'"anonymous";r=(\d+);t=1', headers["RateLimit"])
            assert 4 - i <= int(m[1]) <= 4, headers["RateLimit"]
        assert seen[-1][1]["RateLimit"].startswith('"anonymous";r=0;t=1')
        # a bad token is a guess; a good one has a bucket of its own
        assert get(n, token="x.y.z")[0] == 429
        assert get(n)[0] == 200
        assert get(n)[1]["RateLimit-Policy"] == '"user";q=40;w=1'
        # what balancers ask is not counted
        for _ in range(20):
            assert get(n, "/readyz", token=None)[0] == 200
        # over all connections, which are spread over the workers
        start, ok, tries = time.monotonic(), 0, 0
        while time.monotonic() - start < 2:
            ok += get(n)[0] == 200
            tries += 1
        took = time.monotonic() - start
        assert tries > 150, tries
        assert 40 * (took - 1) - 3 <= ok <= 40 * (took + 1) + 3, (ok, took)
        time.sleep(0.3)
        assert get(n, token=None)[0] == 401


def test_listeners_and_what_they_ask_count():
    with Node(IORIOD, {"limits.user.rps": 5,
                       "limits.anonymous.rps": 3}) as n:
        n.request("POST", "/access/b", json.dumps({
            "action": "grant", "role": "*", "permission": "get"}),
            {"Content-Type": "application/json"})
        time.sleep(1.1)
        for i in range(20):
            try:
                with Sse(n, "s=b:s&i=%d" % i):
                    pass
            except Refused as e:
                assert e.status == 429 and i >= 5, (i, e)
                break
        else:
            raise AssertionError("no listener was one too many")
        assert n.request("GET", "/listen?s=b:s&wait=0")[0] == 429
        with Socket(n) as ws:
            assert ws.status == 429 and "retry-after" in ws.headers
        time.sleep(1.1)
        with Socket(n) as ws:
            answers = [ws.ask(cmd="put", bucket="b", stream="s", data=i, id=i)
                       for i in range(12)]
            assert [a["ok"] for a in answers[:4]] == [True] * 4
            refused = [a for a in answers if not a["ok"]]
            assert len(refused) >= 4
            assert all(a == {"ok": False, "id": a["id"],
                             "reason": "rate-limited"} for a in refused)
            assert ws.ask(cmd="subscribe", bucket="b", stream="s",
                          id="x")["reason"] == "rate-limited"
            # These cost nothing to speak of, and the connection goes on.
            assert ws.ask(cmd="ping")["ok"] and ws.ask(cmd="cursor")["ok"]
            assert ws.ask(cmd="unsubscribe", bucket="b",
                          stream="s")["reason"] == "not subscribed"
            time.sleep(1.1)
            assert ws.ask(cmd="subscribe", bucket="b", stream="s", **{
                "from": 1})["ok"]
            assert len(ws.take(len(answers) - len(refused))) > 3


def test_pages_of_other_origins_listen():
    with Node(IORIOD, {"http.cors.enabled": "yes",
                       "http.cors.origins": "http://a.example"}) as n:
        n.post("b/s", b"1")
        status, headers, _ = preflight(n, "/listen?s=b:s", "http://a.example",
                                       "GET")
        assert status == 200
        assert headers["Access-Control-Allow-Origin"] == "http://a.example"
        assert "Last-Event-ID" in split(
            headers["Access-Control-Allow-Headers"])
        for origin, allowed in (("http://a.example", True),
                                ("http://b.example", False)):
            with Sse(n, "s=b:s:1", {"Origin": origin}) as sse:
                assert sse.take(1)[0]["data"] == 1
                assert (sse.headers.get("access-control-allow-origin")
                        == origin) == allowed
                assert sse.headers["vary"] == "Origin"
            status, headers, _ = n.request(
                "GET", "/listen?s=b:s:1", headers={"Origin": origin})
            assert status == 200
            assert (headers["Access-Control-Allow-Origin"]
                    == origin) == allowed
            if allowed:
                assert "Iorio-Cursor" in split(
                    headers["Access-Control-Expose-Headers"])
            with Socket(n, "s=b:s:1", {"Origin": origin}) as ws:
                assert ws.status == (101 if allowed else 403)


def test_limits_change_while_it_runs():
    with Tree() as n:
        assert "RateLimit" not in get(n)[1]
        n.write("limits.user.rps = 3")
        assert "limits.user.rps" in n.hup()
        deadline = time.monotonic() + 10
        while "RateLimit" not in get(n)[1] and time.monotonic() < deadline:
            pass
        assert 429 in [get(n)[0] for _ in range(8)]
        n.write()
        assert "limits.user.rps" in n.hup()
        time.sleep(0.2)
        assert [get(n)[0] for _ in range(20)] == [200] * 20


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
