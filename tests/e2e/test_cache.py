#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What caches are told (http-api.md section 4.3): entity tags, 304, what may be
kept and what may not.

usage: test_cache.py IORIOD [TEST...]"""
import random
import re
import sys

import tap
from node import parse, shared

IORIOD = sys.argv[1]
NDJSON = "application/x-ndjson"
VARY = "Accept, Authorization, X-Session"


def batch(stream, lines, n=None):
    assert (n or fresh()).post(stream, lines, content_type=NDJSON)[0] == 201


def begin(n):
    batch("cache/s", b"".join(b'{"i":%d}\n' % i for i in range(1, 31)), n)


fresh = shared(IORIOD, then=begin)


def get(path, tag=None, accept="*/*", method="GET"):
    headers = {"Accept": accept, **({"If-None-Match": tag} if tag else {})}
    return fresh().request(method, "/streams/" + path, headers=headers)


def test_closed_ranges_have_a_tag_and_open_ones_are_not_kept():
    for query in ("?to=30", "?from=3&to=9", "?to=5&order=desc", "?to=0",
                  "?from=-3&to=8", "?to=9&since=0", "?to=30&limit=0"):
        for accept in ("*/*", NDJSON):
            for method in ("GET", "HEAD"):
                status, head, _ = get("cache/s" + query, None, accept, method)
                assert status == 200
                assert re.fullmatch(r'"[0-9a-f]{32}"', head["ETag"]), query
                assert head["Cache-Control"] == "private, no-cache"
                assert head["Vary"] == VARY
    for query in ("", "?from=1", "?limit=5", "?to=31", "?since=0",
                  "?from=1&until=2030-01-01T00:00:00Z"):
        status, head, _ = get("cache/s" + query, "*")
        assert (status, head["ETag"]) == (200, None), query
        assert head["Cache-Control"] == "no-store"


def test_what_the_client_has_is_not_sent_again():
    for path in ("cache/s?to=30", "cache/s?from=3&to=9&limit=2", "cache/s/7",
                 "cache/s?to=9&order=desc", "cache/s?to=20&download"):
        for accept in ("application/json",) + (
                (NDJSON,) if "?" in path else ()):
            _, head, body = get(path, None, accept)
            tag = head["ETag"]
            for value in (tag, "W/" + tag, '"x", ' + tag, f'{tag}, "y"', "*"):
                for method in ("GET", "HEAD"):
                    status, other, data = get(path, value, accept, method)
                    assert (status, data) == (304, b""), (path, value)
                    for name in ("ETag", "Cache-Control", "Vary"):
                        assert other[name] == head[name], (path, name)
                    assert not other["Content-Length"]
            for value in ('"x"', tag[:-2] + '"', tag[1:-1], '""'):
                status, other, data = get(path, value, accept)
                assert (status, data) == (200, body), (path, value)
    # a connection goes on after it
    n = fresh()
    c = n.connect()
    tag = get("cache/s/7")[1]["ETag"]
    for _ in range(3):
        assert n.request("GET", "/streams/cache/s/7", None,
                         {"If-None-Match": tag}, connection=c)[0] == 304
        assert n.request("GET", "/streams/cache/s/7", connection=c)[0] == 200


def test_one_tag_is_one_answer():
    rng = random.Random(3)
    seen = {}
    for _ in range(800):
        q = {"to": rng.randrange(0, 31)}
        for name, values in (("from", range(-31, 32)), ("limit", range(0, 32)),
                             ("order", ("asc", "desc"))):
            if rng.random() < 0.5:
                q[name] = rng.choice(values)
        path = "cache/s?" + "&".join(f"{k}={v}" for k, v in q.items())
        accept = rng.choice(("*/*", NDJSON))
        status, head, body = get(path, None, accept)
        key = (head["Content-Type"], body)
        assert seen.setdefault(head["ETag"], key) == key, path
        if rng.random() < 0.3:
            other = rng.choice(list(seen))
            status, _, data = get(path, other, accept)
            assert status == (304 if other == head["ETag"] else 200), path
    for seq in range(1, 31):
        _, head, body = get(f"cache/s/{seq}")
        assert head["ETag"] not in seen
        seen[head["ETag"]] = body


def test_tags_stay_when_events_come_and_the_node_starts_again():
    paths = ["cache/s?to=30", "cache/s?from=2&to=5", "cache/s/3"]
    before = [get(p)[1]["ETag"] for p in paths]
    assert get("cache/s?to=31")[1]["ETag"] is None
    batch("cache/s", b"31\n")
    assert [get(p)[1]["ETag"] for p in paths] == before
    assert get("cache/s?to=31")[1]["ETag"] not in before
    fresh().kill()
    fresh().start()
    assert [get(p)[1]["ETag"] for p in paths] == before
    assert [get(p, t)[0] for p, t in zip(paths, before)] == [304] * 3


def test_histories_may_be_kept_for_ever_if_the_caller_says_so():
    for path in ("cache/s?to=9&limit=4", "cache/s/7?"):
        _, head, body = get(path + "&cache=immutable")
        assert head["Cache-Control"] == "private, max-age=31536000, immutable"
        assert (head["ETag"], body) == (get(path)[1]["ETag"], get(path)[2])
        assert get(path + "&cache=x")[1]["Cache-Control"] == \
            "private, no-cache"
    head = get("cache/s?from=2&to=9&limit=4&cache=immutable")[1]
    assert "from=6&to=9&limit=4&cache=immutable>; rel=\"next\"" in head["Link"]
    for path in ("cache/s?cache=immutable", "cache/s?to=99&cache=immutable"):
        assert get(path)[1]["Cache-Control"] == "no-store"


def test_an_answer_that_was_cut_has_the_tag_of_what_is_in_it():
    fresh()
    for _ in range(12):
        batch("cache/big", b'"' + b"x" * 999000 + b'"\n')
    tags = set()
    for path in ("cache/big?to=12", "cache/big?from=1&to=12",
                 "cache/big?to=12&order=desc", "cache/big?from=9&to=12"):
        _, head, body = get(path)
        tags.add((head["ETag"], len(body)))
        status, other, data = get(path, head["ETag"])
        assert (status, data, other["ETag"]) == (304, b"", head["ETag"])
        assert other["Link"] == head["Link"]
    assert len(tags) == 3, tags
    assert get("cache/big?to=8", get("cache/big?to=12")[1]["ETag"])[0] == 304


def test_what_is_not_there_is_not_kept():
    for path in ("cache/s/99", "cache/never/1"):
        status, head, _ = get(path, "*")
        assert (status, head["Cache-Control"]) == (404, "no-store"), path
        assert not head["ETag"]


def test_who_is_alone_is_never_stale():
    for path in ("cache/s", "cache/s?to=3", "cache/s/3", "cache",):
        _, head, body = get(path + ("&" if "?" in path else "?") +
                            "consistency=any")
        assert not head["Iorio-Stale"]
        assert body == get(path)[2]
    assert parse(get("cache/never?consistency=any")[2]) == []
    head = get("cache/s?from=1&limit=2&consistency=any")[1]
    assert "consistency=any" in head["Link"]


def test_zz_the_node_stops_cleanly_after_all_that():
    fresh().stop()
    fresh().close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
