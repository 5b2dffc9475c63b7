#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""/policies: what is set, what counts, whence; on one node and on three.

usage: test_policies.py IORIOD [TEST...]"""
import sys

import tap
from cluster import Cluster, eventually
from node import Node, shared

IORIOD = sys.argv[1]
WEEK = 7 * 86400 * 1000
fresh = shared(IORIOD)


def ask(method, where, body=None, token="own", n=None):
    return (n or fresh()).ask(method, "/policies/" + where, body, token)


def shown(policy, **effective):
    """The answer when EFFECTIVE counts: limit -> (value, whence)."""
    return 200, {"policy": policy,
                 "effective": {k: v for k, (v, _) in effective.items()},
                 "source": {k: s for k, (_, s) in effective.items()}}


def test_each_limit_is_of_the_nearest_that_has_it():
    with Node(IORIOD, {"retention.max_events": 1000,
                       "retention.max_bytes": "1GB"}) as n:
        default = {"max_events": (1000, "default"),
                   "max_bytes": (1 << 30, "default")}
        bucket = {**default, "max_bytes": (4096, "bucket"),
                  "max_age": (WEEK, "bucket")}
        stream = {**bucket, "max_events": (7, "stream")}

        def get(where):
            return ask("GET", where, n=n)
        assert get("b") == get("b/s") == shown({}, **default)
        own = {"max_bytes": 4096, "max_age": WEEK}
        assert ask("PUT", "b", {"max_bytes": "4KB", "max_age": "7d"}, n=n) == \
            get("b") == shown(own, **bucket)
        assert get("b/s") == shown({}, **bucket)
        assert get("bb/s") == get("bb") == shown({}, **default)
        assert ask("PUT", "b/s", {"max_events": 7}, n=n) == get("b/s") == \
            shown({"max_events": 7}, **stream)
        # A policy is replaced as a whole; an empty one is none.
        assert ask("PUT", "b", {"max_age": 5}, n=n) == shown(
            {"max_age": 5}, **default, max_age=(5, "bucket"))
        assert ask("PUT", "b", {}, n=n) == shown({}, **default)
        assert ask("DELETE", "b/s", n=n) == (204, b"")
        assert ask("DELETE", "b/s", n=n) == (204, b"")
        assert get("b/s") == shown({}, **default)


def test_without_any_policy_all_is_empty():
    assert ask("GET", "nobody/nothing") == ask("GET", "nobody") == (
        200, {"policy": {}, "effective": {}, "source": {}})
    assert ask("GET", "$sys") == shown({}, max_age=(WEEK, "default"))
    assert ask("PUT", "$sys", {"max_age": "1d"}) == shown(
        {"max_age": WEEK // 7}, max_age=(WEEK // 7, "bucket"))
    assert ask("DELETE", "$sys")[0] == 204
    assert ask("GET", "$sys/metrics") == shown({}, max_age=(WEEK, "default"))


def test_how_limits_are_written():
    for body, want in (({"max_bytes": "1.5KB"}, 1536),
                       ({"max_bytes": "50MB"}, 50 << 20),
                       ({"max_bytes": "7"}, 7), ({"max_bytes": 1}, 1),
                       ({"max_age": "500ms"}, 500), ({"max_age": 1}, 1),
                       ({"max_age": "10m"}, 600000),
                       ({"max_events": 1 << 62}, 1 << 62)):
        status, got = ask("PUT", "w", body)
        assert (status, list(got["policy"].values())) == (200, [want]), body
    before = ask("GET", "w")
    for field, values in (
            ("max_events", [0, -1, 1.5, "7", "4KB", None, True, [], 1 << 63]),
            ("max_bytes", [0, -1, 1.5, "0KB", "4kb", "x", "4 KB", "7d", "",
                           "1" * 99, {}]),
            ("max_age", [0, -5, "0s", "1us", "7", "4KB", "-1d", "1d\0"]),
            ("max_files", [1]), ("", [1]), ("pol\"icy", [1])):
        for value in values:
            status, got = ask("PUT", "w", {"max_events": 3, field: value})
            assert (status, got["type"], got["field"], got["value"]) == (
                400, "invalid-field", field, value), (field, value, got)
    for body in ("[]", "7", "nope", ""):
        assert ask("PUT", "w", body)[1]["type"] == "invalid-body", body
    assert ask("GET", "w") == before
    assert ask("PUT", "a:b", {})[1]["type"] == "illegal-name"
    assert ask("PUT", "*", {})[1]["type"] == "illegal-name"
    status, _, data = fresh().request("PUT", "/policies/w", "{}")
    assert (status, data) == (415, b"")


def test_policies_survive_a_start_and_many_changes():
    with Node(IORIOD) as n:
        pad = "b" * 230  # so that the document is written anew on the way
        for i in range(45):
            assert ask("PUT", f"{i % 15}{pad}", {"max_events": i + 1},
                       n=n)[0] == 200
        for end in (n.kill, n.stop):
            end()
            n.start()
            eventually(lambda: ask("GET", f"14{pad}", n=n) == shown(
                {"max_events": 45}, max_events=(45, "bucket")))


def test_a_cluster_has_one_set_of_policies():
    with Cluster(IORIOD, 3, {"request.timeout": "2s"}) as c:
        one, two, three = c.nodes
        c.form()
        for i, n in enumerate(c.nodes):
            want = shown({"max_events": i + 1}, max_events=(i + 1, "bucket"))
            assert ask("PUT", "b", {"max_events": i + 1}, n=n) == want
            for other in c.nodes:
                assert ask("GET", "b", n=other) == want
        # A member that is away is named, and hears of it when it is back.
        three.kill()
        eventually(lambda: [m["up"] for m in c.json(1, "member-status")[
            "members"]] == [True, True, False])
        status, got = ask("PUT", "b", {"max_events": 9}, n=two)
        assert (status, got.pop("pending")) == (200, [three.name])
        assert (200, got) == shown({"max_events": 9},
                                   max_events=(9, "bucket")), got
        assert ask("DELETE", "c", n=two) == (
            200, {"ok": True, "pending": [three.name]})
        three.start()
        eventually(lambda: ask("GET", "b", n=three)[1].get("policy") == {
            "max_events": 9})
        # Without a majority of the root they are shown, and not changed.
        two.kill()
        three.kill()
        assert ask("GET", "b", n=one)[1]["policy"] == {"max_events": 9}
        status, got = ask("PUT", "b", {"max_events": 1}, n=one)
        assert (status, got["type"]) == (503, "unavailable")
        assert ask("DELETE", "b", n=one)[0] == 503
        two.start()
        eventually(lambda: ask("PUT", "d", {"max_age": "1h"}, n=two)[0] == 200)
        assert ask("GET", "b", n=two)[1]["policy"] == {"max_events": 9}


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
