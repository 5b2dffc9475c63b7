#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""rel/haproxy.cfg in front of four nodes: clients know one address, and go on
while any one node is away. Part of `make test-extra`.

usage: test_balance.py IORIOD [TEST...]"""
import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import tap
from cluster import Cluster, Load, eventually
from history import History
from node import Node, die_with_parent, free_port
from test_cluster import BACK_S, check_everywhere

IORIOD = sys.argv[1]
STREAMS = [f"b{i % 7}/s{i}" for i in range(50)]


class Balancer:
    """HAProxy as rel/haproxy.cfg says, but for the ports."""

    login = Node.login
    connect = Node.connect
    request = Node.request
    is_outdated = Node.is_outdated
    token = Node.token

    def __init__(self, nodes):
        if not shutil.which("haproxy"):
            raise tap.Skip("HAProxy is not installed")
        self.name, self.port, self.options = "haproxy", free_port(), {}
        self.own_token, self.login_lock = None, nodes[0].login_lock
        with open("rel/haproxy.cfg") as f:
            conf = f.read().replace("127.0.0.1:8080",
                                    f"127.0.0.1:{self.port}")
        for k, node in enumerate(nodes):
            conf, n = re.subn(rf"127.0.0.1:{8098 + 10 * k}\b",
                              f"127.0.0.1:{node.port}", conf)
            assert n == 1, conf
        self.dir = tempfile.mkdtemp(prefix="iorio-haproxy-")
        with open(f"{self.dir}/conf", "w") as f:
            f.write(conf)
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", f"{self.dir}/conf"],
            stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        atexit.register(self.close)
        eventually(lambda: socket.create_connection(
            ("127.0.0.1", self.port)).close() is None, 10)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def test_clients_of_one_address_go_on_while_any_node_is_away():
    history = History()
    with Cluster(IORIOD, options={"workers": 2}) as cluster:
        balancer = Balancer(cluster.nodes)
        cluster.form()
        load = Load(history, [balancer] * 3, STREAMS, pause=0.01)
        load.probe([balancer])

        def away(what, node, begin, end):
            begin()
            took = load.probe([balancer])
            time.sleep(1)
            end()
            print(f"# {node.name} {what}: all streams take writes through the "
                  f"balancer after {took:.1f} s", flush=True)
            assert took < BACK_S
            load.probe([balancer])
        for node in cluster.nodes:
            away("stopped", node, node.stop, node.start)
            away("killed", node, node.kill, node.start)
            away("stands still", node,
                 lambda: node.process.send_signal(signal.SIGSTOP),
                 lambda: node.process.send_signal(signal.SIGCONT))
        load.stop()
        print(f"# {history.counts()}")
        check_everywhere(cluster, history, STREAMS)
        balancer.close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
