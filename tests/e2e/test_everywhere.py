#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The API at any node of a cluster: what is asked of one that does not lead is
answered as by the one that does.

usage: test_everywhere.py IORIOD [TEST...]"""
import sys

import tap
from cluster import NDJSON, Cluster, eventually
from node import parse

IORIOD = sys.argv[1]
LINES = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


def conditions(nodes):
    """Each node in turn appends behind the others, and loses once."""
    for i in range(12):
        node = nodes[i % len(nodes)]
        status, _, body = node.request(
            "PUT", "/streams/every/if", b"%d" % i,
            {**JSON, "If-Match": f'"{i}"'})
        assert (status, parse(body)["meta"]["id"]) == (201, i + 1), body
        status, _, body = nodes[(i + 1) % len(nodes)].request(
            "PUT", "/streams/every/if", b"-1", {**JSON, "If-Match": f'"{i}"'})
        body = parse(body)
        assert (status, body["expected"], body["got"]) == (412, i, i + 1)
    for node in nodes:
        got = parse(node.events("every/if", "?since=0"))
        assert [e["data"] for e in got] == list(range(12))


def batches(nodes):
    for i, node in enumerate(nodes):
        lines = b"".join(b"[%d,%d]\n" % (i, k) for k in range(3000))
        status, head, body = node.request("POST", "/streams/every/batch",
                                          lines, LINES)
        meta = parse(body)["meta"]
        assert status == 201 and int(head["iorio-replicas"]) >= 2
        assert (meta["first"], meta["last"]) == (3000 * i + 1, 3000 * i + 3000)
    tags = set()
    for node in nodes:
        status, head, body = node.request(
            "GET", f"/streams/every/batch?from=1&to={3000 * len(nodes)}",
            headers=NDJSON)
        got = [parse(x)["data"] for x in body.splitlines()]
        assert got == [[i, k] for i in range(len(nodes)) for k in range(3000)]
        tags.add(head["ETag"])
    assert len(tags) == 1, tags


def stale(cluster):
    """With most nodes dead, the last one has its copies, and says so."""
    last = cluster.nodes[-1]
    any_of = "/streams/every/if?since=0&consistency=any"
    for path in (any_of, "/streams/every/if/3?consistency=any",
                 "/streams/every?consistency=any"):
        status, head, body = last.request("GET", path)
        assert (status, head["Iorio-Stale"]) == (200, "true"), path
        plain = last.request("GET", path.replace("consistency=any", ""))
        assert plain[2] == body and not plain[1]["Iorio-Stale"], path
    for node in cluster.nodes[:-1]:
        node.kill()
    status, head, body = last.request("GET", any_of)
    assert (status, head["Iorio-Stale"]) == (200, "true")
    assert [e["data"] for e in parse(body)] == list(range(12))
    assert last.request("GET", any_of.replace("consistency", "x"))[0] == 503
    for path, status, missing in (("every", "partial", list(range(64))),
                                  ("every?consistency=any", "ok", None)):
        got = parse(last.request("GET", "/streams/" + path)[2])
        assert (got["status"], got.get("missing")) == (status, missing), got
        assert got["data"] == ([] if missing else ["batch", "if"])
    status, head, _ = last.request("PUT", "/streams/every/if", b"1",
                                   {**JSON, "If-Match": '"12"'})
    assert status in (503, 504), status
    if status == 503:
        assert head["Retry-After"] == "1"
    for node in cluster.nodes[:-1]:
        node.start()
    eventually(lambda: last.request(
        "GET", "/streams/every/if/12")[0] == 200)


def test_the_api_is_the_same_at_every_node():
    with Cluster(IORIOD, 3, {"request.timeout": "3s"}) as cluster:
        cluster.form()
        conditions(cluster.nodes)
        batches(cluster.nodes)
        stale(cluster)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
