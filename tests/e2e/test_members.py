#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Members of a real cluster that come and go.

usage: test_members.py IORIOD [TEST...]"""
import glob
import shutil
import sys

import tap
from cluster import Cluster, admin, eventually
from node import parse
from test_handoff import flip

IORIOD = sys.argv[1]


def test_a_node_removed_while_it_was_down_is_told_and_serves_nothing():
    with Cluster(IORIOD, 3) as c:
        c.form()
        first, gone = c.nodes[0], c.nodes[2]
        assert gone.post("b/s", b'{"n":1}')[0] == 201
        gone.stop()
        assert c.admin(1, "cluster", "force-remove", gone.name)[0] == 0
        eventually(lambda: c.admin(1, "cluster", "plan")[0] == 0)
        assert c.admin(1, "cluster", "commit")[0] == 0
        c.settle()
        for _ in range(2):
            gone.start(wait=False)
            eventually(lambda: "removed from its cluster" in
                       admin(gone, "member-status")[1])
            code, text = admin(gone, "cluster", "plan")
            assert code == 1 and "keeps its data" in text, text
            code, text = admin(gone, "ring-status", "--format=json")
            assert code == 1 and parse(text)["ok"] is False, text
            for method, path in [("GET", "/streams/b/s"), ("GET", "/ping"),
                                 ("POST", "/streams/b/s"), ("GET", "/readyz"),
                                 ("GET", "/buckets"), ("PUT", "/nothing")]:
                status, head, _ = gone.request(method, path, token=None)
                assert (status, head["Retry-After"]) == (503, "1"), (
                    method, path, status)
            assert "was removed from the cluster by force" in gone.console()
            gone.stop()
        assert first.post("b/s", b'{"n":2}')[0] == 201
        assert [e["data"]["n"] for e in parse(first.events("b/s"))] == [1, 2]


def test_http_shows_the_cluster_as_iorio_admin_does():
    with Cluster(IORIOD, 3) as c:
        c.form()
        for k, node in enumerate(c.nodes, 1):
            status, headers, data = node.request("GET", "/cluster")
            assert status == 200, (status, data)
            assert headers["content-type"] == "application/json"
            got, want = parse(data), {}
            for words in ("member-status", "ring-status", "transfers"):
                want.update(c.json(k, words))
            assert got == want
            assert len(got["owners"]) == 64 and got["ready"] is True
            assert [m["ring"] for m in got["members"]] == [34.4, 32.8, 32.8]
        assert c.nodes[0].request("GET", "/cluster", token=None)[0] == 401
        assert c.nodes[0].request("POST", "/cluster")[0] == 405
        assert c.nodes[0].request("HEAD", "/cluster")[2] == b""
        c.nodes[2].stop()
        eventually(lambda: [m["up"] for m in parse(c.nodes[1].request(
            "GET", "/cluster")[2])["members"]] == [True, True, False])


def refuses(node, *said):
    """It does not start, and says why."""
    node.start(wait=False)
    assert node.process.wait(20) == 1
    for words in said:
        assert words in node.console(), node.console()


def test_a_damaged_ring_is_the_one_before_or_nothing_starts():
    with Cluster(IORIOD, 2) as c:
        first, second = c.nodes
        assert admin(second, "cluster", "join", first.name)[0] == 0
        assert c.admin(1, "cluster", "clear")[0] == 0
        assert first.post("b/s", b'{"n":1}')[0] == 201
        epoch = c.json(1, "ring-status")["epoch"]
        first.stop()
        cur, = glob.glob(f"{first.root}/data/*/ring.cur")
        prev = cur.replace(".cur", ".prev")
        flip(cur, 40)
        first.start()
        assert "ring.cur: damaged data: going on with ring.prev" in \
            first.console()
        # The root group knows better.
        eventually(lambda: c.json(1, "ring-status")["epoch"] == epoch)
        first.stop()
        for path in cur, prev:
            flip(path, 40)
        refuses(first, "ring.cur: damaged data, ring.prev: damaged data: "
                "restore one of them")
        flip(prev, 40)
        first.start()
        assert first.events("b/s").endswith(b'"data":{"n":1}}]')
        first.stop()
        own = cur.split("/")[-2]
        other, = (path for path in glob.glob(f"{second.root}/data/*/ring.cur")
                  if path.split("/")[-2] != own)
        for path in cur, prev:
            shutil.copy(other, path)
        refuses(first, "ring.cur is of another cluster")


def test_transfers_are_shown_and_limited_by_every_member():
    with Cluster(IORIOD, 3, {"transfer_limit": 0}) as c:
        c.form_begin()
        first, third = c.nodes[0], c.nodes[2]
        eventually(lambda: c.json(3, "transfers")["queued"] > 100)
        eventually(lambda: set(c.json(2, "transfers")["limits"].values()) ==
                   {0})
        assert c.json(2, "transfers")["active"] == []
        text = c.admin(3, "transfers")[1]
        assert f"'{first.name}': sending 0, queued 128, receiving 0" in text
        assert c.admin(2, "transfer-limit", third.name, "7") == (
            0, f"Set transfer limit for '{third.name}' to 7\n")
        assert c.json(1, "transfers")["limits"] == {
            first.name: 0, c.nodes[1].name: 0, third.name: 7}
        assert c.admin(1, "transfer-limit", "nobody@h", "7")[0] == 1
        assert c.admin(3, "transfer-limit", "2") == (
            0, "Setting transfer limit to 2 across the cluster\n")
        assert f"    2        '{first.name}'\n" in c.admin(
            2, "transfer-limit")[1]
        c.settle()
        assert c.json(2, "transfers")["queued"] == 0
        c.nodes[1].stop()
        code, text = c.admin(1, "transfer-limit", "3")
        assert (code, text) == (
            1, f"Failed to set limit for: ['{c.nodes[1].name}']\n")


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
