#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Users that change often: what a node keeps of it, and who was away meanwhile.

usage: test_roots.py IORIOD [TEST...]"""
import concurrent.futures
import glob
import os
import sys

import tap
from cluster import Cluster, Q, eventually
from node import Node

IORIOD = sys.argv[1]
CHANGES = 1000
ROOM = 64 << 10  # many times what a few users and grants take


def change(node, n):
    """The Nth of many grants, of which a few are left."""
    return node.ask("POST", f"/access/b{n % 7}", {
        "action": "grant" if n // 7 % 2 else "revoke",
        "role": f"role{n % 3}", "permission": "get"})[0]


def change_often(node, first, n):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: change(node, i), range(first, first + n)))
    assert got == [200] * n, got


def chunks(node):
    """The files that a node has of the streams of the root group."""
    return glob.glob(f"{node.root}/data/*/vnodes/{Q}-*/*.chunk")


def grants(node):
    """What the node says of all grants; it is what a majority has."""
    return [node.ask("GET", f"/access/b{i}") for i in range(7)]


def has_only_what_is_left(node, streams):
    """Once files are written, those of all that is older go."""
    eventually(lambda: len(chunks(node)) == streams, 30)
    size = sum(map(os.path.getsize, chunks(node)))
    assert size < ROOM, size


def test_many_changes_take_the_room_of_what_is_left():
    with Node(IORIOD, {"retention.interval": "1s"}) as node:
        change_often(node, 0, CHANGES)
        had = grants(node)
        node.kill()
        node.start()
        assert grants(node) == had
        change_often(node, CHANGES, 100)
        had = grants(node)
        node.stop()
        assert len(chunks(node)) > 1
        node.start()
        has_only_what_is_left(node, 1)
        assert grants(node) == had
        node.kill()
        node.start()
        assert grants(node) == had
        change_often(node, CHANGES + 100, 10)


def test_who_was_away_comes_to_know_what_is_left():
    with Cluster(IORIOD, 3, {"retention.interval": "1s"}) as c:
        one, two, three = c.form().nodes
        user = {"username": "kim", "password": "first"}
        assert one.ask("POST", "/users", user)[0] == 201
        assert one.ask("POST", "/users",
                       {**user, "username": "lee"})[0] == 201
        token = three.login("kim", "first")
        three.kill()
        change_often(one, 0, 300)
        assert one.ask("PUT", "/users/kim", {"password": "second"})[0] == 200
        assert two.ask("DELETE", "/users/lee")[0] == 200  # one is pending
        change_often(two, 300, 300)
        one.stop()
        one.start()
        has_only_what_is_left(one, 2)  # users, and the ring
        had = grants(one)
        three.start()
        eventually(lambda: grants(three) == grants(two) == had, 30)
        assert three.login("kim", "second")
        for name, password in (("kim", "first"), ("lee", "first")):
            assert three.ask("POST", "/sessions", {
                "username": name, "password": password}, None)[0] == 401
        assert three.ask("GET", "/sessions", token=token)[0] == 401
        change_often(three, 600, 100)
        eventually(lambda: grants(one) == grants(two) == grants(three))
        three.stop()
        three.start()
        # Also the users that it had before it joined.
        has_only_what_is_left(three, 3)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
