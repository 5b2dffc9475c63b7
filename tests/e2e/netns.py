# SPDX-License-Identifier: AGPL-3.0-or-later
"""Nodes on hosts of their own: a network namespace each, all on one bridge,
whose links can be cut.  Needs root."""
import ctypes
import http.client
import os
import socket
import subprocess
import threading

import tap
from cluster import Cluster
from node import Node

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    p = subprocess.run(["ip", *words], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    assert p.returncode == 0, (words, p.stdout)
    return p.stdout


def need_namespaces():
    name = f"iorio-{os.getpid()}-try"
    try:
        ip("netns", "add", name)
    except (AssertionError, OSError) as e:
        raise tap.Skip(f"no network namespaces here: {e}")
    try:
        ip("-n", name, "link", "add", "br0", "type", "bridge")
    except AssertionError as e:
        raise tap.Skip(f"no bridges here: {e}")
    finally:
        ip("netns", "del", name)


def enter(path):
    """The calling thread goes there: what it opens belongs there."""
    with open(path) as f:
        if libc.setns(f.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")


class NetnsNode(Node):
    def command(self):
        return ["ip", "netns", "exec", self.netns, *super().command()]

    def open(self, timeout=15):
        """A connection from its own host: HTTP listens on loopback."""
        enter(f"/run/netns/{self.netns}")
        try:
            s = socket.socket()
        finally:
            enter(f"/proc/self/task/{os.getpid()}/ns/net")
        s.settimeout(timeout)
        try:
            s.connect(("127.0.0.1", self.port))
        except OSError:
            s.close()
            raise
        return s

    def connect(self, timeout=30):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        c._create_connection = lambda *_: self.open(timeout)
        return c


class Hosts(Cluster):
    """iorioK@10.77.0.K, each in its namespace; one port on all."""

    def __init__(self, ioriod, n=4, options=None):
        self.prefix = f"iorio-{os.getpid()}"
        self.hub = f"{self.prefix}-hub"
        self.names = [self.hub]
        ip("netns", "add", self.hub)
        ip("-n", self.hub, "link", "add", "br0", "type", "bridge")
        ip("-n", self.hub, "link", "set", "br0", "up")
        super().__init__(ioriod, n, options)

    def make(self, k, options):
        name = f"{self.prefix}-{k}"
        ip("netns", "add", name)
        self.names.append(name)
        ip("-n", self.hub, "link", "add", f"n{k}", "type", "veth",
           "peer", "name", "eth0", "netns", name)
        ip("-n", self.hub, "link", "set", f"n{k}", "master", "br0", "up")
        ip("-n", name, "addr", "add", f"10.77.0.{k}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        node = NetnsNode(self.ioriod, {
            "nodename": f"iorio{k}@10.77.0.{k}",
            "cluster.ip": f"10.77.0.{k}", "cluster.port": 8099,
            "handoff.ip": f"10.77.0.{k}", "handoff.port": 8019,
            "cluster.cookie": "of the test",
            "auth.admin.password": "of the admin", **self.options, **options})
        node.name = node.options["nodename"]
        node.netns = name
        return node

    def __exit__(self, *args):
        super().__exit__(*args)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name])

    def isolate(self, k, on=True):
        """Nothing comes to or from host K."""
        ip("-n", self.hub, "link", "set", f"n{k}", "down" if on else "up")

    def mute(self, k, to, on=True):
        """What host K sends to host TO is lost, what comes from there not."""
        ip("-n", f"{self.prefix}-{k}", "route", "add" if on else "del",
           "blackhole", f"10.77.0.{to}/32")

    def split(self, *sides, on=True):
        """The hosts of each side reach only each other."""
        for a in range(1, len(self.nodes) + 1):
            for b in range(1, len(self.nodes) + 1):
                if not any(a in side and b in side for side in sides):
                    if a != b:
                        self.mute(a, b, on)
