#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Appends with conditions and in batches (http-api.md sections 4.1 and 7).

usage: test_append.py IORIOD [TEST...]"""
import sys
import threading

import tap
from node import Node, answers, parse, shared

IORIOD = sys.argv[1]
fresh = shared(IORIOD)


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


# --- batches ----------------------------------------------------------------

NDJSON = "application/x-ndjson"


def batch(stream, body, **headers):
    return append(stream, body, {k.replace("_", "-"): v
                                 for k, v in headers.items()}, "POST", NDJSON)


def test_a_batch_is_numbered_in_a_row_with_one_time():
    assert append("batch/s", b"0")[0] == 201
    status, head, body = batch("batch/s", b'1\n"zwei"\r\n\n \t\n{"a":3}\n')
    assert status == 201
    assert body == {"meta": {"first": 2, "last": 4, "count": 3,
                             "t": body["meta"]["t"]}}
    assert list(body["meta"]) == ["first", "last", "count", "t"]
    assert head["Location"] == "/streams/batch/s/2"
    assert head["iorio-replicas"] == "1"
    got = parse(fresh().events("batch/s", "?since=0"))
    assert [e["data"] for e in got] == [0, 1, "zwei", {"a": 3}]
    assert {e["meta"]["t"] for e in got[1:]} == {body["meta"]["t"]}
    # one line is a batch, with or without its end; the type has parameters
    assert batch("batch/s", b"4")[2]["meta"]["count"] == 1
    status, _, body = append("batch/s", b"5\n", method="POST",
                             content_type=NDJSON + "; charset=utf-8")
    assert (status, body["meta"]["first"], body["meta"]["last"]) == (201, 6, 6)
    # the bytes of a line are kept, but for its end
    assert batch("batch/raw", b' {"a" : 1}\t\r\n[2,\r3]\n')[0] == 201
    n = fresh()
    assert n.request("GET", "/streams/batch/raw/1")[2] == b' {"a" : 1}\t'
    assert n.request("GET", "/streams/batch/raw/2")[2] == b"[2,\r3]"
    assert n.request("GET", "/streams/batch/raw?since=0",
                     headers={"Accept": NDJSON})[2].count(b"\n") == 2


def test_one_bad_line_refuses_all_of_them():
    for body, line in ((b"1\n{\n3\n", 2), (b"\n\n1\n\nx", 5), (b"1 2\n", 1),
                       (b"1\n" * 9999 + b'"\xff"', 10000),
                       (b"[" * 129 + b"]" * 129, 1), (b"\xef\xbb\xbf1\n", 1),
                       (b'{"a":\n1}\n', 1)):
        status, _, got = batch("batch/bad", body)
        assert (status, got["type"], got["line"]) == \
            (400, "invalid-body", line), (body[:20], got)
    for body in (b"", b"\n", b" \r\n\t\n"):
        status, _, got = batch("batch/bad", body)
        assert (status, got["type"]) == (400, "invalid-body"), body
        assert "line" not in got
    assert values("batch/bad") == []


def test_a_batch_has_its_limits():
    n = fresh()
    lines = b"".join(b'{"i":%d}\n' % i for i in range(10000))
    status, _, body = batch("batch/many", lines)
    assert (status, body["meta"]["last"], body["meta"]["count"]) == \
        (201, 10000, 10000)
    status, _, body = batch("batch/many", lines + b"1")
    assert (status, body["type"]) == (413, "too-large")
    status, _, body = batch("batch/many", b"1\n" * 4000000)
    assert (status, body["type"]) == (413, "too-large")
    out = n.request("GET", "/streams/batch/many?from=1",
                    headers={"Accept": NDJSON})[2].splitlines()
    assert [parse(x)["data"]["i"] for x in out] == list(range(10000))
    # as many bytes as a body may have: in many lines, in few, in a mix
    for at, size in enumerate((900, 60000, 65536, 1048000, 8388606)):
        line = b'"' + b"x" * (size - 3) + b'"\n'
        k = (8 << 20) // size
        status, _, body = batch(f"batch/big{at}", line * k)
        assert (status, body["meta"]["count"]) == (201, k), (size, body)
    mix = b"".join(b'"' + b"y" * size + b'"\n'
                   for size in (1, 70000, 5, 2, 65534, 65533, 300000) * 9)
    assert batch("batch/mix", mix)[0] == 201
    for stream in ("big0", "big1", "big2", "big3", "big4", "mix"):
        n.request("GET", f"/streams/batch/{stream}?since=0")
    n.kill()
    n.start()
    assert len(values("batch/mix")) == 63
    out = n.request("GET", "/streams/batch/mix?from=1",
                    headers={"Accept": NDJSON})[2]
    assert b"".join(b'"' + v["data"].encode() + b'"\n'
                    for v in map(parse, out.splitlines())) == mix
    out = n.request("GET", "/streams/batch/many?from=1",
                    headers={"Accept": NDJSON})[2].splitlines()
    assert [parse(x)["data"]["i"] for x in out] == list(range(10000))


def test_a_smaller_limit_counts_events_not_lines():
    with Node(IORIOD, {"http.max_batch": 3}) as n:
        def post(body):
            return n.post("s/s", body, content_type=NDJSON)[0]
        assert post(b"\n1\n\n2\n\n3\n\n") == 201
        assert post(b"1\n2\n3\n4") == 413
        assert parse(n.events("s/s", ""))[0]["meta"]["id"] == 3


def test_a_batch_may_have_a_condition():
    assert batch("batch/if", b"1\n2\n", If_None_Match="*")[0] == 201
    status, _, body = batch("batch/if", b"3\n4\n", If_Match='"1"')
    assert (status, body["expected"], body["got"]) == (412, 1, 2)
    assert batch("batch/if", b"3\n4\n", If_Match='"2"')[2]["meta"]["last"] == 4
    assert values("batch/if") == [1, 2, 3, 4]


def test_batches_of_several_clients_do_not_mix():
    fresh()

    def write(who):
        for i in range(20):
            body = b"".join(b"[%d,%d,%d]\n" % (who, i, k) for k in range(50))
            assert batch("batch/mixed", body)[0] == 201

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    got = values("batch/mixed")
    assert len(got) == 4000
    for at in range(0, 4000, 50):
        who, i, _ = got[at]
        assert got[at:at + 50] == [[who, i, k] for k in range(50)]


def test_zz_the_node_stops_cleanly_after_all_that():
    fresh().stop()
    fresh().close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
