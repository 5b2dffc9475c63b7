#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Appends with conditions and in batches (http-api.md sections 4.1 and 7).

usage: test_append.py IORIOD [TEST...]"""
import sys
import threading

import tap
from node import Node, answers, parse

IORIOD = sys.argv[1]
node = None


def fresh():
    global node
    if not node:
        node = Node(IORIOD).start()
    return node


def append(stream, body, headers=None, method="POST",
           content_type="application/json"):
    status, head, data = fresh().request(
        method, "/streams/" + stream, body,
        {"Content-Type": content_type, **(headers or {})})
    return status, head, parse(data) if data else None


def values(stream):
    return [e["data"] for e in parse(fresh().events(stream, "?since=0"))]


# --- conditions -------------------------------------------------------------

def test_a_condition_that_holds_appends_and_one_that_does_not_stores_nothing():
    for method in ("POST", "PUT"):
        s = "if/" + method
        rows = [
            ("If-Match", '"1"', 412, 1, 0),
            ("If-None-Match", "*", 201, 0, 0),
            ("If-None-Match", "*", 412, 0, 1),
            ("If-Match", '"0"', 412, 0, 1),
            ("If-Match", '"1"', 201, 1, 1),
            ("If-Match", '"1"', 412, 1, 2),
            ("If-Match", '"2"', 201, 2, 2),
            ("If-Match", '"9999999999"', 412, 9999999999, 3),
        ]
        stored = []
        for i, (name, value, want, expected, got) in enumerate(rows):
            status, _, body = append(s, b"%d" % i, {name: value}, method)
            assert status == want, (rows[i], status, body)
            if status == 201:
                stored.append(i)
                assert body["meta"]["id"] == len(stored)
            else:
                assert (body["type"], body["status"]) == \
                    ("precondition-failed", 412)
                assert (body["expected"], body["got"]) == (expected, got)
            assert values(s) == stored
    assert append("if/zero", b"1", {"If-Match": '"0"'})[0] == 201


def test_a_condition_that_says_nothing_is_refused():
    for name, value in (("If-Match", "1"), ("If-Match", '"1'),
                        ("If-Match", 'W/"1"'), ("If-Match", '"1", "2"'),
                        ("If-Match", "*"), ("If-Match", '""'),
                        ("If-Match", '"-1"'), ("If-Match", '"x"'),
                        ("If-Match", ""), ("If-None-Match", '"1"'),
                        ("If-None-Match", "")):
        for method in ("POST", "PUT"):
            status, _, body = append("if/bad", b"1", {name: value}, method)
            assert (status, body["type"]) == (400, "bad-request"), (name,
                                                                    value)
    status, _, body = append("if/bad", b"1", {"If-Match": '"0"',
                                              "If-None-Match": "*"})
    assert (status, body["type"]) == (400, "bad-request")
    assert values("if/bad") == []


def test_put_needs_something_that_lets_it_be_repeated():
    status, _, body = append("if/put", b"1", method="PUT")
    assert (status, body["type"]) == (428, "precondition-required")
    assert values("if/put") == []
    # all else that is wrong is told as for POST
    for want, kind, content_type, body in (
            (415, None, "", b"1"), (400, "bad-request", "x", b"1"),
            (400, "invalid-body", "application/json", b"{")):
        status, _, got = append("if/put", body, {"If-None-Match": "*"}, "PUT",
                                content_type)
        assert status == want and (kind is None or got["type"] == kind)
    status, head, _ = append("if/put", b"\0", {"If-None-Match": "*"}, "PUT",
                             "image/png")
    assert (status, head["Location"]) == (201, "/streams/if/put/1")


def test_of_those_who_race_with_the_same_condition_one_wins_each_round():
    fresh()
    wins, rounds = [], 25

    def race(who):
        newest = 0
        while newest < rounds:
            status, _, body = append("if/race", b"%d" % who,
                                     {"If-Match": f'"{newest}"'}, "PUT")
            if status == 201:
                wins.append(body["meta"]["id"])
                newest = body["meta"]["id"]
            else:
                assert status == 412 and body["got"] > newest, body
                newest = body["got"]

    threads = [threading.Thread(target=race, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(wins) == list(range(1, rounds + 1))
    assert len(values("if/race")) == rounds


def test_conditions_in_one_connection_see_what_was_sent_before_them():
    n = fresh()
    out = b"".join(
        n.head("POST /streams/if/pipe", "Content-Type: application/json",
               f'If-Match: "{i // 2}"', "Content-Length: 1") + b"%d" % (i % 10)
        for i in range(20))
    got = answers(n.raw(out, half_close=True))
    assert [g[0] for g in got] == [201, 412] * 10
    assert values("if/pipe") == [i % 10 for i in range(0, 20, 2)]


def test_zz_the_node_stops_cleanly_after_all_that():
    fresh().stop()
    fresh().close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
