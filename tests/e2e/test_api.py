#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The conventions of http-api.md sections 1, 4.1 and 7: every status, every
route with every method, errors and their bodies, headers, names, types.

usage: test_api.py IORIOD [TEST...]"""
import re
import sys

import tap
from node import answers, parse, shared

IORIOD = sys.argv[1]
READ = "GET, HEAD, OPTIONS"
ROUTES = {
    "/ping": READ, "/livez": READ, "/readyz": READ, "/healthz": READ,
    "/metrics": READ, "/stats": READ, "/cluster": READ,
    "/openapi.json": READ,
    "/buckets": READ, "/streams/b": READ, "/streams/b/s/1": READ,
    "/buckets/never": "DELETE, OPTIONS",
    "/streams/b/s": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
}
PROBLEM = "application/problem+json"


def begin(n):
    assert n.post("b/s", b"1")[0] == 201


fresh = shared(IORIOD, then=begin)


def one(line, *headers, body=b"", token=True, version="1.1"):
    """(status, headers, body) of the first answer to raw bytes."""
    n = fresh()
    lines = [line + " HTTP/" + version, "Host: x", *headers]
    if token:
        lines.append("x-session: " + n.token)
    out = n.raw("\r\n".join(lines + ["", ""]).encode("latin-1") + body,
                half_close=True)
    return answers(out)[0]


def post(*headers, body=b"1", path="/streams/b/s", **more):
    return one("POST " + path, *headers, f"Content-Length: {len(body)}",
               body=body, **more)


def patch(stream, body, *headers):
    return one("PATCH /streams/" + stream, *headers,
               "Content-Type: application/json-patch+json",
               f"Content-Length: {len(body)}", body=body)


JSON = "Content-Type: application/json"

# (status, type, a line that must be there, the request)
ERRORS = [
    (400, "bad-request", None, lambda *h: one("GET /%zz", *h)),
    (400, "bad-request", None, lambda *h: one("GET /ping?x=%4", *h)),
    (400, "bad-request", None, lambda *h: one("GET /nothing?%", *h)),
    (400, "bad-request", None,
     lambda *h: post("Content-Type: a/" + "b" * 126, *h)),
    (400, "bad-request", None, lambda *h: post("Content-Type: foo", *h)),
    (400, "bad-request", None, lambda *h: post(JSON, JSON, *h)),
    (400, "illegal-name", None, lambda *h: one("GET /streams/a:b/s", *h)),
    (400, "illegal-name", None, lambda *h: one("GET /streams/b/*", *h)),
    (400, "illegal-name", None, lambda *h: one("GET /streams/%00", *h)),
    (400, "invalid-body", None, lambda *h: post(JSON, *h, body=b"{")),
    (400, "invalid-body", None, lambda *h: post(JSON, *h, body=b"")),
    (400, "invalid-body", None,
     lambda *h: post("Content-Type: application/x-ndjson", *h, body=b"1\n{")),
    (400, "invalid-field", None, lambda *h: one("GET /streams/b/s?to=x", *h)),
    (401, "no-perm", "www-authenticate: jwt",
     lambda *h: one("GET /buckets", *h, token=False)),
    (401, "no-perm", "www-authenticate: jwt",
     lambda *h: one("GET /ping", *h, "x-session: wrong", token=False)),
    (401, "no-perm", "www-authenticate: jwt",
     lambda *h: post(JSON, *h, token=False)),
    (404, "not-found", None, lambda *h: one("GET /nothing", *h)),
    (404, "not-found", None, lambda *h: one("GET /streams//s", *h)),
    (404, "not-found", None, lambda *h: one("GET /streams/b/s/9", *h)),
    (404, "not-found", None, lambda *h: post(JSON, *h, path="/")),
    (405, "method-not-allowed", "allow: " + READ,
     lambda *h: one("DELETE /ping", *h)),
    (413, "too-large", "connection: close",
     lambda *h: one("POST /streams/b/s", JSON, "Content-Length: 8388609",
                    *h)),
    (412, "precondition-failed", None,
     lambda *h: post(JSON, 'If-Match: "7"', *h)),
    (413, "too-large", None,
     lambda *h: post("Content-Type: application/x-ndjson", *h,
                     body=b"1\n" * 10001)),
    (428, "precondition-required", None,
     lambda *h: one("PUT /streams/b/s", JSON, "Content-Length: 1", *h,
                    body=b"1")),
    (400, "invalid-body", None, lambda *h: patch("b/s", b"{}", *h)),
    (400, "illegal-name", None, lambda *h: patch("b/s-$patch", b"[]", *h)),
    (404, "not-found", None, lambda *h: patch("b/none", b"[]", *h)),
    (501, "bad-request", None, lambda *h: one("BREW /ping", *h)),
]
# What is wrong with the head itself: no header of it counts.
HEADS = [
    (400, "bad-request", lambda *h: one("GET /ping", *h, "a\x01: b")),
    (400, "bad-request", lambda *h: one("GET /ping", *h, "a : b")),
    (400, "bad-request", lambda *h: one("GET /ping#x", *h)),
    (414, "uri-too-long", lambda *h: one("GET /" + "a" * 16384, *h)),
    (431, "headers-too-large", lambda *h: one("GET /", *h, "a: " +
                                              "b" * 65536)),
    (431, "headers-too-large", lambda *h: one("GET /", *h, *["a: b"] * 100)),
    (417, "bad-request", lambda *h: one("GET /ping", "Expect: 2", *h)),
    (505, "bad-request", lambda *h: one("GET /ping", *h, version="2.0")),
]


def check_every_answer(headers):
    assert headers["server"] == "iorio"
    assert headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} "
                        r"\d\d:\d\d:\d\d GMT", headers["date"])
    assert re.fullmatch(r"[!-~]{1,64}", headers["x-request-id"])
    assert "content-length" in headers or \
        headers.get("transfer-encoding") == "chunked"


def check_error(got, status, kind, problem):
    head, body = got[1], parse(got[2])
    assert got[0] == status, (status, got)
    check_every_answer(head)
    assert head["content-type"] == (PROBLEM if problem
                                    else "application/json")
    assert (body["type"], body["status"]) == (kind, status)
    assert body["reason"] and isinstance(body["reason"], str)
    assert ("title" in body, "detail" in body) == (problem, problem)
    assert fresh().root not in body["reason"], body


def test_every_error_has_its_body_and_headers():
    for status, kind, line, request in ERRORS:
        for headers in ((), ("Accept: " + PROBLEM,)):
            got = request(*headers)
            check_error(got, status, kind, bool(headers))
            if line:
                name, _, value = line.partition(": ")
                assert got[1].get(name) == value, (line, got)
    for status, kind, request in HEADS:
        got = request()
        check_error(got, status, kind, False)
        assert got[1]["connection"] == "close"
    assert fresh().request("GET", "/ping", token=None)[0] == 200


def test_415_has_no_body():
    for headers in ((), ("Content-Type:",), ("Content-Type: text/plain",
                                             "Content-Encoding: gzip")):
        status, head, body = post(*headers)
        assert (status, body, head["content-length"]) == (415, b"", "0")
        assert "content-type" not in head
        check_every_answer(head)


def test_every_method_on_every_route():
    for path, allow in ROUTES.items():
        for p in (path, path + "/", path + "?x=1"):
            for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH",
                           "DELETE", "TRACE"):
                status, head, body = answers(fresh().raw(
                    fresh().head(f"{method} {p}"), half_close=True))[0] \
                    if method != "HEAD" else (200, {}, b"")
                if method == "HEAD":
                    status, h, body = fresh().request("HEAD", p)
                    head = {k.lower(): v for k, v in h.items()}
                if status != 204:
                    check_every_answer(head)
                if method == "OPTIONS":
                    assert (status, head["allow"], body) == (200, allow, b"")
                elif method not in allow:
                    assert (status, head["allow"]) == (405, allow), (method,
                                                                     p)
                    assert method == "HEAD" or \
                        parse(body)["type"] == "method-not-allowed"
                else:
                    assert "allow" not in head
                    want = {"POST": 415, "PUT": 428, "PATCH": 415,
                            "DELETE": 204}.get(method, 200)
                    assert status == want, (method, p, status)
    assert fresh().post("b/s", b"1")[0] == 201  # as it was
    assert one("OPTIONS *", token=False)[0] == 200
    assert one("OPTIONS /streams/b/s", token=False)[0] == 200
    for path in ("/", "/nothing", "/streams", "/streams/", "//ping", "/ping//",
                 "/streams//s", "/streams/b//", "/streams/b/s//1",
                 "/buckets/b/s", "/streams/b/s/1/2", "/Ping",
                 "/streams/b/s/1/"[:-1] + "/x"):
        for method in ("GET", "OPTIONS", "POST", "DELETE"):
            assert one(f"{method} {path}")[0] == 404, (method, path)
    for method in ("BREW", "get", "GETS"):
        assert one(method + " /ping")[0] == 501


def test_the_shape_of_json():
    n = fresh()
    status, headers, body = n.request("GET", "/ping")
    assert headers["Content-Type"] == "application/json"
    assert re.fullmatch(rb'{"pong":"\d+"}', body), body
    status, headers, body = n.request(
        "POST", "/streams/shape%2F/%C3%A4%20%2B", b"[1]",
        {"Content-Type": "application/json; charset=utf-8"})
    assert status == 201
    assert re.fullmatch(rb'{"meta":{"id":1,"t":\d{13}}}', body), body
    assert headers["Location"] == "/streams/shape%2F/%C3%A4%20%2B/1"
    assert headers["iorio-replicas"] == "1"
    assert n.request("GET", headers["Location"])[2] == b"[1]"
    assert n.post("shape/b", b"\xff\xfe", content_type="image/png")[0] == 201
    assert re.fullmatch(
        rb'\[{"meta":{"id":1,"t":\d{13},"type":"image/png"}, '
        rb'"data64":"//4="}\]', n.events("shape/b"))
    assert n.events("shape%2F/%C3%A4%20%2B").endswith(b'}, "data":[1]}]')
    assert n.request("GET", "/streams/shape")[2] == \
        b'{"status":"ok","data":["b"]}'


def test_names_are_decoded_after_the_split():
    n = fresh()
    for name, same in (("a%2fb", "%61%2Fb"), ("a+b", "a%2bb"), (".", "%2e"),
                       ("..", "%2e%2E"), ("%25", "%25"), ("a;b", "a%3bb")):
        assert n.post("names/" + name, b'"%s"' % name.encode())[0] == 201
        assert parse(n.events("names/" + same))[0]["data"] == name
        assert parse(n.events("names/" + same + "/"))[0]["data"] == name
    assert one("GET http://any/streams/names/a+b")[0] == 200
    for bad in ("%", "%4", "%zz", "%-1"):
        assert one("GET /streams/names/" + bad)[0] == 400


def test_request_ids_are_echoed_when_sane():
    for sane in ("a", "a" * 64, "1-2_3.4:5/6", "{x},;=", "\\"):
        for line in ("GET /ping", "GET /nothing", "BREW /ping"):
            assert one(line, "X-Request-Id: " + sane)[1]["x-request-id"] \
                == sane
    ids = set()
    for odd in (None, "", "a" * 65, "a b", "a\tb", 'a"b', "\xe4"):
        headers = () if odd is None else ("X-Request-Id: " + odd,)
        got = one("GET /ping", *headers)[1]["x-request-id"]
        assert got and got != odd and got not in ids
        ids.add(got)


def test_types_are_negotiated():
    def of(path, *accept):
        got = one("GET " + path, *("Accept: " + a for a in accept))
        return got[0], got[1]["content-type"]

    json, ndjson = "application/json", "application/x-ndjson"
    for path in ("/streams/b/s", "/streams/b", "/buckets", "/ping",
                 "/streams/b/s/1"):
        for accept in ((), ("",), ("*/*",), ("application/*",), (json,),
                       ("text/html, */*;q=0.1",), ("APPLICATION/JSON",),
                       ("text/html", json), (PROBLEM,)):
            assert of(path, *accept) == (200, json), (path, accept)
        for accept in (("text/html",), (json + ";q=0",), ("image/*",),
                       ("text/event-stream",)):
            assert of(path, *accept) == (406, json), (path, accept)
        if path != "/streams/b/s":
            assert of(path, ndjson)[0] == 406, path
    assert of("/streams/b/s", ndjson) == (200, ndjson)
    assert of("/streams/b/s", json, ndjson) == (200, ndjson)
    assert of("/streams/b/s", json + ", " + ndjson + ";q=0.5") == (200, json)
    assert post(JSON, "Accept: text/html")[0] == 406
    for path in ("/livez", "/readyz"):
        assert of(path, json) == (200, "text/plain")
    assert of("/nothing", PROBLEM + ", " + json) == (404, PROBLEM)
    assert of("/nothing", json, PROBLEM + ";q=0.5") == (404, json)
    assert of("/nothing", PROBLEM + ";q=0") == (404, json)
    got = one("GET /streams/b/s", "Accept: text/html, " + PROBLEM + ";q=0")
    assert got[0] == 406 and parse(got[2])["type"] == "not-acceptable"


def test_types_of_events():
    n = fresh()
    for kind in ("application/json", "application/json;charset=utf-8",
                 "Application/JSON ; x", "application/jsonx", "text/plain",
                 "image/svg+xml", "a/b;c=\"d \\\" e\"", "a/" + "b" * 125):
        assert n.post("types/s", b"1", content_type=kind)[0] == 201, kind
        got = parse(n.events("types/s", ""))[0]
        if kind[:16].lower() == "application/json" and kind[16:17] != "x":
            assert got["data"] == 1 and "type" not in got["meta"]
        else:
            assert got["meta"]["type"] == kind and got["data64"] == "MQ==", kind
    for kind in ("/", "a/", "/b", "a", "a b/c", "a/b c/d\x7f", "\x80/a",
                 "a/b/c"):
        got = post("Content-Type: " + kind)
        assert got[0] == 400 and parse(got[2])["type"] == "bad-request", kind
    assert post("Content-Type: image/png", body=b"")[0] == 201
    for kind in ("application/x-ndjson", "APPLICATION/X-NDJSON;a=b"):
        got = parse(post("Content-Type: " + kind)[2])["meta"]
        assert got["first"] == got["last"] and got["count"] == 1


def test_tokens_travel_in_three_ways():
    n = fresh()
    t = n.token

    def status(path, *headers):
        return one("GET " + path, *headers, token=False)[0]

    assert status("/buckets", "x-session: " + t) == 200
    assert status("/buckets", "Authorization: Bearer " + t) == 200
    assert status("/buckets", "authorization: bearer " + t) == 200
    assert status("/buckets?jwt=" + t) == 200
    assert status("/buckets?x=%20&jwt=" + t) == 200
    # the first that is there counts
    assert status("/buckets?jwt=" + t, "x-session: x") == 401
    assert status("/buckets?jwt=" + t, "Authorization: Bearer x") == 401
    assert status("/buckets?jwt=x", "x-session: " + t) == 200
    assert status("/buckets?jwt=" + t, "x-session:") == 401
    assert status("/buckets?jwt=" + t, "Authorization: Basic eDp5") == 200
    # a bad one is nobody, not anonymous
    for path in ("/ping", "/livez", "/readyz"):
        assert status(path) == 200
        assert status(path + "?jwt=x") == 401
    with open(f"{n.root}/console.log") as f:
        assert t not in f.read()


# --- connections ------------------------------------------------------------

def test_errors_do_not_end_what_is_pipelined():
    n = fresh()

    def append(body, *headers):
        return n.head("POST /streams/b/pipe", *headers,
                      f"Content-Length: {len(body)}") + body

    batch = [
        (201, append(b"1", JSON)), (400, append(b"{bad", JSON)),
        (415, append(b"GET /ping HTTP/1.1\r\n\r\n")),
        (404, n.head("POST /nothing", JSON, "Content-Length: 5") + b"HTTP/"),
        (200, n.head("GET /ping", "Content-Length: 4") + b"GET "),
        (405, n.head("DELETE /ping", "Content-Length: 2") + b"\r\n"),
        (200, n.head("OPTIONS /ping", "Content-Length: 2") + b"\r\n"),
        (406, n.head("GET /buckets", "Accept: a/b")),
        (401, n.head("GET /ping?jwt=x").replace(b"x-session", b"y-session")),
        (501, n.head("BREW /ping", "Content-Length: 1") + b"x"),
        (400, append(b"1", JSON, "If-Match: 1")),
        (412, append(b"1", JSON, 'If-Match: "7"')),
        (201, append(b"2", JSON)),
        (200, n.head("GET /streams/b/pipe?limit=5")),
    ]
    got = answers(n.raw(b"".join(b for _, b in batch), half_close=True))
    assert [g[0] for g in got] == [s for s, _ in batch]
    assert [e["data"] for e in parse(got[-1][2])] == [1, 2]
    # one by one in pieces: the same
    out = b""
    with n.open() as s:
        for byte in b"".join(b for _, b in batch):
            s.sendall(bytes([byte]))
        s.shutdown(1)
        while chunk := s.recv(65536):
            out += chunk
    assert [g[0] for g in answers(out)] == [s for s, _ in batch]


def test_an_error_of_the_head_is_the_last_answer():
    n = fresh()
    got = answers(n.raw(n.head("GET /ping") + n.head("GET /ping", "a : b") +
                        n.head("GET /ping"), half_close=True))
    assert [g[0] for g in got] == [200, 400]
    assert got[1][1]["connection"] == "close"


def test_expect_100_continue():
    n = fresh()
    expect = ("Expect: 100-continue", "Connection: close")
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"

    def first(head, rest=b""):
        with n.open() as s:
            s.sendall(head)
            out = s.recv(65536)
            if out == go_on:
                s.sendall(rest)
            while chunk := s.recv(65536):
                out += chunk
        return out

    out = first(n.head("POST /streams/b/e", JSON, "Content-Length: 1",
                       *expect), b"1")
    assert out.startswith(go_on + b"HTTP/1.1 201 "), out
    out = first(n.head("POST /streams/b/e", JSON, *expect,
                       "Transfer-Encoding: chunked"), b"1\r\n1\r\n0\r\n\r\n")
    assert out.startswith(go_on + b"HTTP/1.1 201 "), out
    # refused without a byte of the body
    for status, headers in ((413, (JSON, "Content-Length: 99999999")),
                            (415, ("Content-Length: 10",)),
                            (401, (JSON, "Content-Length: 10"))):
        head = n.head("POST /streams/b/e", *headers, *expect)
        if status == 401:
            head = head.replace(b"x-session", b"y-session")
        out = first(head)
        assert out.startswith(b"HTTP/1.1 %d " % status), out
        assert b"\r\nConnection: close\r\n" in out
    # not asked for: the body is there, there is none, HTTP/1.0
    for data in (n.head("POST /streams/b/e", JSON, "Content-Length: 1",
                        *expect) + b"1", n.head("GET /ping", *expect),
                 n.head("POST /streams/b/e", JSON, "Content-Length: 1",
                        *expect).replace(b"/1.1", b"/1.0") + b"1"):
        out = first(data)
        assert not out.startswith(go_on) and b" 20" in out[:15], out
    # 100 waits until those before it are answered
    out = n.raw(n.head("GET /ping") + n.head("POST /streams/b/e", JSON,
                "Content-Length: 1", "Expect: 100-continue") , timeout=1)
    assert out.startswith(b"HTTP/1.1 200 ") and out.endswith(go_on), out


def test_http_1_0():
    n = fresh()
    ndjson = "Accept: application/x-ndjson"

    def raw(*lines, body=b""):
        return n.raw("\r\n".join(lines + ("", "")).encode() + body)

    token = "x-session: " + n.token
    out = raw("GET /ping HTTP/1.0")  # no Host, closed after the answer
    assert out.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in out
    out = raw("GET /ping HTTP/1.0", "Connection: keep-alive", "",
              "GET /ping HTTP/1.0")
    assert [a[1]["connection"] for a in answers(out)] == \
        ["keep-alive", "close"]
    out = raw("GET /streams/b/s?from=1 HTTP/1.0", token, ndjson,
              "Connection: keep-alive")
    head, _, body = out.partition(b"\r\n\r\n")
    assert b"chunked" not in head and b"Content-Length" not in head
    assert b"Connection: close" in head
    assert parse(body.splitlines()[0])["data"] == 1
    out = raw("POST /streams/b/s HTTP/1.0", token, JSON,
              "Transfer-Encoding: chunked", body=b"1\r\n1\r\n0\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 400 ")


def test_health_is_for_load_balancers():
    n = fresh()
    for path in ("/livez", "/readyz", "/healthz"):
        status, headers, body = n.request("GET", path, token=None)
        assert (status, body) == (200, b"ok")
        assert headers["Content-Type"] == "text/plain"
        assert headers["Cache-Control"] == "no-store"
        lines = n.request("GET", path + "?verbose",
                          token=None)[2].decode().splitlines()
        assert lines[-1] == "ok" and lines[0].startswith("[+]"), lines
    for check in ("ring loaded", "vnodes open", "disk writable",
                  "not stopping"):
        assert "[+]" + check in lines, lines
    assert any(line.startswith("free bytes ") for line in lines)


def test_zz_the_node_stops_cleanly_after_all_that():
    fresh().stop()
    fresh().close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
