#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bits that turn in chunk files of a member (cluster.md 6.10): other replicas make
the file whole, byte for byte, and nobody who reads hears of it.

usage: test_repair.py IORIOD [TEST...]"""
import glob
import http.client
import os
import re
import sys
import threading

import tap
from cluster import NDJSON, Cluster, eventually, group_of
from test_handoff import fingerprint, flip, log_of, pour

IORIOD = sys.argv[1]
STREAM = "b/long"


def chunks(node):
    """{name: path} of those of STREAM."""
    found = glob.glob(f"{node.root}/data/*/vnodes/{group_of(STREAM)}-*/*.chunk")
    return {os.path.basename(p): p for p in found
            if b"blong" in open(p, "rb").read(200)}


def content(path):
    with open(path, "rb") as f:
        return f.read()


def metric(node, name):
    _, _, data = node.request("GET", "/metrics")
    m = re.search(rf"^{name} (\d+)", data.decode(), re.M)
    return int(m.group(1))


def put_away(cluster):
    """All of it is in chunk files, and not in memory."""
    for node in cluster.nodes:
        node.stop()
    for node in cluster.nodes:
        node.start(wait=False)
    for node in cluster.nodes:
        node.wait_ready()


def read(node, query="?from=1"):
    status, _, data = node.request("GET", f"/streams/{STREAM}{query}",
                                   headers=NDJSON)
    assert status != 500, (node.name, data)
    assert status == 200, (node.name, status, data)
    return data


def read_own(node, want):
    """What this node's replica has, whoever leads."""
    eventually(lambda: read(node, "?from=1&consistency=any") == want)


def test_bits_that_turn_are_turned_back_by_the_others():
    with Cluster(IORIOD, 3) as c:
        first, second, third = c.form().nodes
        pour(first, STREAM, 9_000_000)
        put_away(c)
        want = eventually(lambda: read(first), 30)
        names = sorted(chunks(first))
        assert len(names) == 3, names
        whole = {n: content(chunks(first)[n]) for n in names}
        for node in c.nodes:  # the last one is open still
            assert {n: content(p) for n, p in chunks(node).items()} == whole

        # Each has another one damaged, and one is gone.
        flip(chunks(first)[names[0]], 1_000_000)
        flip(chunks(second)[names[1]], 2_000_000)
        flip(chunks(third)[names[2]], len(whole[names[2]]) - 2000)
        os.unlink(chunks(third)[names[0]])
        for node in c.nodes:
            assert eventually(lambda: read(node)) == want
        for node in c.nodes:
            read_own(node, want)
        eventually(lambda: "transfer type: repair" in
                   c.admin(1, "transfers")[1], 5)
        for node in c.nodes:
            assert {n: content(p) for n, p in chunks(node).items()} == whole
            assert metric(node, "iorio_chunks_damaged_total") > 0, node.name
            eventually(lambda: metric(node, "iorio_chunks_to_repair") == 0)
            assert "is whole again" in log_of(node)
        assert metric(third, "iorio_chunks_repaired_total") == 2
        assert not glob.glob(f"{first.root}/data/*/vnodes/*/repair.tmp")

        # One dies meanwhile, whenever that is, and goes on by itself.
        flip(chunks(second)[names[0]], 3_000_000)
        reader = threading.Thread(target=lambda: try_to_read(second))
        reader.start()
        eventually(lambda: "damaged" in log_of(second)[-400:] or
                   not reader.is_alive(), 5, 0.001)
        second.kill()
        reader.join(10)
        second.start()
        read_own(second, want)
        assert content(chunks(second)[names[0]]) == whole[names[0]]
        # What is written now comes behind what was repaired.
        assert third.post(STREAM, b'{"last":1}')[0] == 201
        put_away(c)
        prints = {eventually(lambda: fingerprint(node, STREAM))
                  for node in c.nodes}
        assert len(prints) == 1
        eventually(lambda: len({content(chunks(n)[names[2]])
                                for n in c.nodes}) == 1)
        for node in c.nodes:
            node.stop()


def try_to_read(node):
    try:
        node.request("GET", f"/streams/{STREAM}?from=1&consistency=any",
                     headers=NDJSON)
    except (OSError, http.client.HTTPException):
        pass


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
