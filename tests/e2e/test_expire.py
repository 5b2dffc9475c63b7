#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a listener rests on ends, here or at another node: it is told so on every
transport, and whoever rests on something else goes on.

usage: test_expire.py IORIOD [TEST...]"""
import contextlib
import sys
import threading
import time

import tap
from cluster import Cluster
from listeners import Bare, Refused, Socket, Sse, append, poll
from node import Node, parse

IORIOD = sys.argv[1]
EXPIRED = {"notice": "auth-expired"}


class Listeners:
    """One on each transport, to a stream and to its bucket, as TOKEN."""

    def __init__(self, node, token, bucket="b"):
        self.stack = contextlib.ExitStack()
        jwt = f"&jwt={token}" if token else ""
        self.clients = []
        for make in (Sse, Socket):
            for what in (f"s={bucket}:s:1", f"s={bucket}:*"):
                client = self.stack.enter_context(
                    make(Bare(node), what + jwt))
                assert client.status in (200, 101), client.status
                self.clients.append(client)
        self.polled = []
        self.poll = threading.Thread(target=lambda: self.polled.append(
            poll(Bare(node), f"s={bucket}:s" + jwt)))
        self.poll.start()
        for client in self.clients[::2]:  # those that have history
            assert client.take(1)[0]["data"] == "first"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def go_on(self, node, bucket, value):
        append(node, f"{bucket}/s", value)
        for client in self.clients:
            assert client.take(1)[0]["data"] == value
        self.poll.join(10)
        assert parse(self.polled[0][2])[0]["data"] == value

    def have_ended(self):
        begun = time.monotonic()
        for client in self.clients:
            assert client.take(1, 10) == [EXPIRED]
            if isinstance(client, Socket):
                assert client.closed() == 1008
            else:
                assert client.ended_in_order()
        self.poll.join(10)
        status, _, body = self.polled[0]
        assert (status, parse(body)) == (200, [EXPIRED])
        assert time.monotonic() - begun < 10


def access(node, where, action, role):
    assert node.ask("POST", "/access/" + where, {
        "action": action, "role": role, "permission": "get"})[0] == 200


def user(node, name, *groups):
    assert node.ask("POST", "/users", {
        "username": name, "password": "pw-" + name,
        "groups": list(groups)})[0] == 201


def ends(ask, listens, name, token, way):
    """Listeners at LISTENS end when ASK does WAY(ask)."""
    with Listeners(listens, token) as them:
        way(ask)
        try:
            them.have_ended()
        except Exception as e:
            raise AssertionError(f"{name}: {e!r}") from e
    try:
        with Sse(Bare(listens), "s=b:s" + (f"&jwt={token}" if token else "")):
            raise AssertionError(f"{name}: it may listen again")
    except Refused as e:
        assert e.status == 401, e


def test_what_is_taken_at_one_node_ends_at_another():
    with Cluster(IORIOD, 3) as c:
        c.form()
        one, two, three = c.nodes
        for bucket in "bc":
            append(one, bucket + "/s", "first")
        assert one.ask("POST", "/groups", {"groupname": "readers"})[0] == 201
        user(one, "other", "readers")
        access(one, "c", "grant", "readers")
        with Listeners(two, two.login("other", "pw-other"), "c") as untouched:
            for name, way in (
                    ("a grant", lambda n: access(n, "b", "revoke", "ann")),
                    ("a user", lambda n: n.request("DELETE", "/users/ann")),
                    ("sessions", lambda n: n.request(
                        "DELETE", "/users/ann/sessions")),
                    ("a password", lambda n: n.ask(
                        "PUT", "/users/ann", {"password": "other"}))):
                user(one, "ann")
                access(one, "b", "grant", "ann")
                token = two.login("ann", "pw-ann")
                ends(three, two, name, token, way)
                one.request("DELETE", "/users/ann")
            # By the group.
            access(one, "b", "grant", "readers")
            user(one, "bob", "readers")
            token = two.login("bob", "pw-bob")
            ends(three, two, "a group's member", token, lambda n: n.ask(
                "PUT", "/users/bob", {"groups": []}))
            access(one, "b", "revoke", "readers")
            # By everybody.
            access(one, "b", "grant", "*")
            ends(three, two, "everybody", None, lambda n: access(
                n, "b", "revoke", "*"))
            untouched.go_on(one, "c", "still")


def test_a_token_whose_time_is_over():
    with Node(IORIOD, {"auth.session.duration": "4s"}) as node:
        append(node, "b/s", "first")
        user(node, "ann")
        access(node, "b", "grant", "ann")
        with Listeners(node, node.login("ann", "pw-ann")) as them:
            them.have_ended()


tap.run(sys.modules[__name__])
