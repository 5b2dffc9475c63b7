#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""GET of streams: every parameter in every combination against a list that
tells the truth, pages, caps, history from disk.

usage: test_read.py IORIOD [TEST...]"""
import random
import re
import sys
import time

import tap
from node import Node, answers, parse, shared

IORIOD = sys.argv[1]
NDJSON = "application/x-ndjson"
PAGE_EVENTS, PAGE_BYTES = 10000, 8 << 20
fresh = shared(IORIOD, {"workers": 2})


def fill(stream, bodies):
    """Appends many at once: pipelined."""
    n = fresh()
    for at in range(0, len(bodies), 50):
        got = answers(n.raw(b"".join(
            n.head("POST /streams/" + stream,
                   "Content-Type: application/json",
                   f"Content-Length: {len(b)}") + b
            for b in bodies[at:at + 50]), half_close=True))
        assert [a[0] for a in got] == [201] * len(bodies[at:at + 50])


def links(headers):
    """{rel: target}"""
    found = re.findall(r'<([^>]*)>; rel="(\w+)"', headers["Link"] or "")
    return {rel: target for target, rel in found}


def integer(text):
    return int(text) if re.fullmatch(r"-?[0-9]+", text or "") else None


# --- every combination ------------------------------------------------------

def expected(events, q, ndjson):
    """[(id, t)] as section 4.3 says; None: 400."""
    first, to = integer(q.get("from")), integer(q.get("to"))
    since, until = integer(q.get("since")), integer(q.get("until"))
    if any(k in q and v is None for k, v in
           (("to", to), ("since", since), ("until", until))):
        return None
    got = [e for e in events
           if (first is None or e[0] >= first) and
           (to is None or e[0] <= to) and
           (since is None or e[1] >= since) and
           (until is None or e[1] < until)]
    limit = 1
    if first is not None and first < 0:
        got, limit = got[first:], -first
    elif {"to", "since", "until"} & q.keys() or \
            (ndjson and first is not None):
        limit = len(events)
    if "limit" in q:
        limit = integer(q["limit"])
        limit = 1 if limit is None else max(limit, 0)
    if q.get("order") == "desc":
        return got[::-1][:limit]
    if first is None:
        return got[-limit:] if limit else []
    return got[:limit]


def test_every_combination_of_parameters():
    n = fresh()
    c = n.connect()
    for i in range(1, 31):
        assert n.post("combine/s", b"%d" % i, c)[0] == 201
        if i % 3 == 0:
            time.sleep(0.004)
    events = [(e["meta"]["id"], e["meta"]["t"])
              for e in parse(n.events("combine/s", "?to=30"))]
    assert [e[0] for e in events] == list(range(1, 31))
    ids = ["0", "-0", "1", "2", "7", "29", "30", "31", "99", "-1", "-4",
           "-30", "-31", "x", "", "1.5", "+3", "9" * 18, "9" * 30,
           "-" + "9" * 30]
    times = [str(e[1] + d) for e in events[::5] for d in (-1, 0, 1)] + \
        ["0", "-1", "9" * 30, "x", ""]
    rng = random.Random(7)
    seen = set()
    for _ in range(2500):
        q = {}
        for name, values in (("limit", ids), ("from", ids), ("to", ids),
                             ("since", times), ("until", times),
                             ("order", ["asc", "desc", "x"])):
            if rng.random() < 0.35:
                q[name] = rng.choice(values)
        ndjson = rng.random() < 0.5
        query = "&".join(f"{k}={v}" for k, v in q.items())
        status, headers, data = n.request(
            "GET", "/streams/combine/s?" + query, connection=c,
            headers={"Accept": NDJSON if ndjson else "*/*"})
        want = expected(events, q, ndjson)
        if want is None:
            assert status == 400, (query, status)
            assert parse(data)["type"] == "invalid-field", (query, data)
            assert parse(data)["field"] in q
            continue
        assert status == 200, (query, status, data)
        got = [parse(x) for x in data.splitlines()] if ndjson \
            else parse(data)
        assert [(e["meta"]["id"], e["meta"]["t"]) for e in got] == want, \
            (query, ndjson, got, want)
        assert (headers["Iorio-First"], headers["Iorio-Last"]) == ("1", "30")
        closed = "to" in q and integer(q["to"]) <= 30
        assert headers["Cache-Control"] == \
            ("private, no-cache" if closed else "no-store"), query
        seen.add(len(want))
    assert len(seen) > 15, seen


def test_odd_values():
    n = fresh()
    fill("odd/s", [b"%d" % i for i in range(1, 6)])

    def ids(query):
        return [e["data"] for e in parse(n.events("odd/s", query))]

    assert ids("") == [5]
    assert ids("?limit=2&limit=3") == [4, 5]        # the first counts
    assert ids("?limit=%32") == [4, 5]
    assert ids("?%6cimit=2") == [4, 5]
    assert ids("?Limit=2&_=1700000000") == [5]      # unknown: ignored
    assert ids("?limit=+2") == [5]                  # + is a plus
    assert ids("?since=2020-01-01T00:00:00+02:00") == [1, 2, 3, 4, 5]
    assert ids("?until=2020-01-01T00:00:00.5Z") == []
    assert ids("/?limit=2") == [4, 5]
    assert parse(n.events("odd/never", "?from=1")) == []
    headers = n.request("GET", "/streams/odd/never")[1]
    assert (headers["Iorio-First"], headers["Iorio-Last"]) == ("0", "0")
    for value in ("2020-02-30T00:00:00Z", "2020- 1- 1T00:00:00Z",
                  "2020-01-01", "1.5", "%ff"):
        for name in ("since", "until"):
            status, _, data = n.request(
                "GET", f"/streams/odd/s?{name}=" + value.replace(" ", "%20"))
            assert status == 400, value
            assert parse(data)["type"] == "invalid-field"
            assert parse(data)["field"] == name


def test_one_event_as_it_is():
    n = fresh()
    fill("raw/s", [b' {"a" : [1,\r\n2]} '])
    status, headers, data = n.request("GET", "/streams/raw/s/1")
    assert (status, data) == (200, b' {"a" : [1,\r\n2]} ')
    assert headers["Content-Type"] == "application/json"
    assert headers["Iorio-Seq"] == "1"
    t = parse(n.events("raw/s"))[0]["meta"]["t"]
    assert headers["Iorio-Time"] == str(t)
    # verbatim in JSON, on one line in NDJSON
    assert n.events("raw/s").endswith(b', "data": {"a" : [1,\r\n2]} }]')
    line = n.request("GET", "/streams/raw/s",
                     headers={"Accept": NDJSON})[2]
    assert line == b'{"meta":{"id":1,"t":%d}, "data": {"a" : [1,  2]} }\n' % t
    for seq in ("0", "-1", "2", "x", "1.0", "9" * 30):
        status, _, data = n.request("GET", "/streams/raw/s/" + seq)
        assert (status, parse(data)["type"]) == (404, "not-found"), seq
    for body, kind in ((b"", "image/png"), (bytes(range(256)), "a/b; c=\"d\""),
                       (b"{}", "x/" + "y" * 125)):
        status, data = n.post("raw/bin", body, content_type=kind)
        assert status == 201, (kind, data)
        seq = parse(data)["meta"]["id"]
        status, headers, data = n.request("GET", f"/streams/raw/bin/{seq}")
        assert (status, headers["Content-Type"], data) == (200, kind, body)


def test_downloads_have_a_proper_name():
    n = fresh()
    for path, want in (
            ("plain", 'filename="plain.json"'),
            ("a%22b%5Cc", r'filename="a\"b\\c.json"'),
            ("%C3%A4%2F1", "filename=\"__/1.json\"; "
             "filename*=UTF-8''%C3%A4%2F1.json")):
        headers = n.request("GET", f"/streams/load/{path}?download")[1]
        assert headers["Content-Disposition"] == "attachment; " + want
    headers = n.request("GET", "/streams/load/x?download=1",
                        headers={"Accept": NDJSON})[1]
    assert headers["Content-Disposition"].endswith('filename="x.ndjson"')
    assert not n.request("GET", "/streams/load/x")[1]["Content-Disposition"]


# --- pages ------------------------------------------------------------------

def walk(path, rel, accept="*/*", most=100):
    """The ids of the pages from PATH on, and the last answer's headers."""
    pages = []
    while path:
        status, headers, data = fresh().request(
            "GET", path, headers={"Accept": accept})
        assert status == 200, (path, status, data[:200])
        got = [parse(x) for x in data.splitlines()] if accept == NDJSON \
            else parse(data)
        assert len(data) <= PAGE_BYTES or len(got) == 1, (path, len(data))
        assert len(got) <= PAGE_EVENTS or accept == NDJSON
        pages.append([e["meta"]["id"] for e in got])
        path = links(headers).get(rel)
        assert len(pages) <= most, path
    return pages, headers


def flat(pages):
    return [i for page in pages for i in page]


def test_pages_lead_to_the_end_and_back():
    fill("page/s", [b"1"] * 100)
    base = "/streams/page/s"
    up, down = list(range(1, 101)), list(range(100, 0, -1))
    for accept in ("*/*", NDJSON):
        pages, headers = walk(base + "?from=1&limit=7", "next", accept)
        assert flat(pages) == up
        assert all(len(p) == 7 for p in pages[:-1])
        assert "next" not in links(headers)
        pages, _ = walk(base + "?limit=7", "prev", accept)
        assert flat(pages[::-1]) == up
        pages, headers = walk(base + "?order=desc&limit=7", "next", accept)
        assert flat(pages) == down
        pages, _ = walk(links(headers)["prev"], "prev", accept)
        assert flat(pages[::-1]) == down[:-2]
        # bounds are kept
        pages, _ = walk(base + "?from=11&to=50&limit=9", "next", accept)
        assert flat(pages) == up[10:50]
        pages, _ = walk(base + "?order=desc&from=11&to=50&limit=9", "next",
                        accept)
        assert flat(pages) == down[50:90]
        pages, _ = walk(base + "?order=desc&from=-20&limit=9", "next", accept)
        assert flat(pages) == down[:20]
    # what is appended meanwhile is met
    headers = fresh().request("GET", base + "?from=99&limit=2")[1]
    assert "next" not in links(headers)
    fill("page/s", [b"1"] * 3)
    assert flat(walk(base + "?from=99&limit=2", "next")[0]) == \
        [99, 100, 101, 102, 103]
    # nothing sent, nowhere to go
    for query in ("?limit=0", "?from=104", "?to=0"):
        assert not links(fresh().request("GET", base + query)[1]), query


def test_pages_within_a_stretch_of_time():
    n = fresh()
    for part in range(3):
        fill("time/s", [b"1"] * 20)
        time.sleep(0.005)
    t = [e["meta"]["t"] for e in parse(n.events("time/s", "?to=60"))]
    base = f"/streams/time/s?since={t[20]}&until={t[40]}"
    assert flat(walk(base, "next")[0]) == list(range(21, 41))
    assert flat(walk(base + "&from=1&limit=3", "next")[0]) == \
        list(range(21, 41))
    assert flat(walk(base + "&limit=3", "prev")[0][::-1]) == \
        list(range(21, 41))
    assert flat(walk(base + "&limit=3&order=desc", "next")[0]) == \
        list(range(40, 20, -1))


def test_a_json_answer_has_at_most_10000_events():
    n = fresh()
    total = 10450
    fill("many/s", [b"1"] * total)
    base = "/streams/many/s"
    everything = list(range(1, total + 1))
    for query in ("?from=1&limit=20000", "?since=0", f"?to={total}",
                  "?until=99999999999999", "?from=-20000",
                  f"?from=1&to={total}"):
        pages, _ = walk(base + query, "next")
        assert [len(p) for p in pages] == [10000, 450], query
        assert flat(pages) == everything, query
    for query in ("?order=desc&limit=20000", "?order=desc&since=0"):
        pages, _ = walk(base + query, "next")
        assert flat(pages) == everything[::-1], query
    for query in ("?limit=20000", "?limit=" + "9" * 30):
        assert parse(n.events("many/s", query))[0]["meta"]["id"] == 451
    pages, headers = walk(base + "?limit=20000", "next", NDJSON)
    assert flat(pages) == everything and not links(headers)


def test_a_json_answer_has_at_most_8_mib_but_one_event():
    n = fresh()
    c = n.connect()
    for i in range(20):
        assert n.post("mib/s", b'"' + b"x" * 999000 + b'"', c)[0] == 201
    for query in ("?from=1&limit=100", "?limit=100", "?to=20", "?since=0"):
        pages, _ = walk("/streams/mib/s" + query, "next")
        assert [len(p) for p in pages] == [8, 8, 4], (query, pages)
        assert flat(pages) == list(range(1, 21)), query
    pages, _ = walk("/streams/mib/s?limit=100&order=desc", "next")
    assert flat(pages) == list(range(20, 0, -1))
    for kind, size in (("application/json", 8 << 20), ("a/b", 8 << 20)):
        body = b'"' + b"y" * (size - 2) + b'"'
        for _ in range(2):
            assert n.post("huge/s", body, c, kind)[0] == 201
    pages, _ = walk("/streams/huge/s?from=1&limit=10", "next")
    assert pages == [[1], [2], [3], [4]]
    assert n.request("GET", "/streams/huge/s/4")[2] == body


def test_head_has_the_headers_of_get():
    n = fresh()
    fill("head/s", [b"%d" % i for i in range(1, 21)])
    for query in ("", "?limit=3", "?from=2&limit=3", "?to=5", "?limit=0",
                  "?order=desc&limit=2", "?since=0&download", "?to=x"):
        for accept in ("application/json", NDJSON, "text/html"):
            get, head = (n.request(
                m, "/streams/head/s" + query,
                headers={"Accept": accept, "X-Request-Id": "x"})
                for m in ("GET", "HEAD"))
            assert head[0] == get[0] and head[2] == b"", query
            for name in set(get[1].keys()) - {"Date", "Transfer-Encoding"}:
                assert head[1][name] == get[1][name], (query, accept, name)


# --- lists ------------------------------------------------------------------

def test_lists_are_sorted_whole_and_paged():
    n = fresh()
    names = sorted(f"{a}{b}" for a in ("a", "b", "ä", "/", "%")
                   for b in range(12))
    names.sort(key=str.encode)
    for i, name in enumerate(random.Random(1).sample(names, len(names))):
        quoted = "".join(f"%{c:02x}" for c in name.encode())
        assert n.post("list/" + quoted, b"1")[0] == 201
        assert n.post(f"list-{i:02}/s", b"1")[0] == 201

    def data(path):
        status, headers, body = n.request("GET", path)
        assert status == 200 and parse(body)["status"] == "ok", (path, body)
        return parse(body)["data"], links(headers)

    assert data("/streams/list") == (names, {})
    assert data("/streams/list/") == (names, {})
    assert data("/streams/nobody") == ([], {})
    path, got = "/streams/list?limit=7", []
    while path:
        part, more = data(path)
        assert len(part) <= 7
        got += part
        path = more.get("next")
    assert got == names
    assert data("/streams/list?prefix=%C3%A4")[0] == \
        [x for x in names if x[0] == "ä"]
    path, got = "/streams/list?prefix=b&limit=5&detail=1", []
    while path:
        part, more = data(path)
        got += part
        path = more.get("next")
    assert [x["name"] for x in got] == [x for x in names if x[0] == "b"]
    assert all(set(x) == {"name", "first", "last", "count", "bytes", "t"}
               for x in got)
    assert data("/streams/list?after=b&limit=1")[0] == ["b0"]
    assert data("/streams/list?after=%ff")[0] == []
    for limit, n_names in (("0", 0), ("-1", 0), ("x", 60), ("9" * 30, 60)):
        assert len(data("/streams/list?limit=" + limit)[0]) == n_names
    buckets = [f"list-{i:02}" for i in range(60)]
    assert data("/buckets?prefix=list-") == (buckets, {})
    part, more = data("/buckets?prefix=list-&limit=59")
    assert part == buckets[:59]
    assert data(more["next"]) == (buckets[59:], {})


def test_a_stream_is_listed_as_soon_as_it_is_answered():
    n = fresh()
    c, other = n.connect(), n.connect()
    for i in range(200):
        assert n.post(f"soon/{i:03}", b"1", c)[0] == 201
        names = parse(n.request("GET", "/streams/soon",
                                connection=other)[2])["data"]
        assert len(names) == i + 1


# --- from disk --------------------------------------------------------------

def test_history_beyond_memory_is_read_from_chunks():
    with Node(IORIOD, {"journal.segment": "32MB",
                       "journal.max": "128MB"}) as node:
        c = node.connect()
        pad = "x" * 60000
        n = 1500  # 90 MB: flushed, several chunks, beyond the cache
        for i in range(1, n + 1):
            body = f'{{"i":{i},"pad":"{pad}"}}'.encode()
            assert node.post("big/s", body, c)[0] == 201
        for _ in range(2):
            out = node.request("GET", "/streams/big/s?from=1", headers={
                "Accept": "application/x-ndjson"})[2].splitlines()
            assert [parse(x)["data"]["i"] for x in out] == \
                list(range(1, n + 1))
            out = node.request(
                "GET", "/streams/big/s?order=desc&limit=1000000",
                headers={"Accept": "application/x-ndjson"})[2].splitlines()
            assert [parse(x)["meta"]["id"] for x in out] == \
                list(range(n, 0, -1))
            for seq in (1, 2, 70, 71, 700, 1499, 1500):
                assert parse(node.events("big/s", f"?from={seq}"))[0][
                    "data"]["i"] == seq
            t = parse(node.events("big/s", "?from=700"))[0]["meta"]["t"]
            first = parse(node.events(
                "big/s", f"?from=1&since={t}&limit=1"))[0]
            assert first["meta"]["t"] == t, (first["meta"], t)
            node.kill()
            node.start()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
