#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""iorio-bench --verify says yes to a node that keeps its word, and no to one
that does not: here a proxy lies about what is stored.

usage: test_bench.py IORIOD [TEST...]"""
import json
import os
import socket
import subprocess
import sys
import threading
import time

import tap
from cluster import Cluster
from node import Node

IORIOD = sys.argv[1]
BENCH = os.path.join(os.path.dirname(IORIOD),
                     "../../tests/bench/iorio-bench")


def bench(node, port, *options):
    p = subprocess.run(
        [BENCH, "append", "--port", str(port), "--token", node.token,
         "--connections", "8", "--streams", "5", "--seconds", "0.5",
         "--json", "--verify", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    return p.returncode, json.loads(p.stdout), p.stderr


class Liar(threading.Thread):
    """Passes everything on, but puts what is read back through LIE."""

    def __init__(self, node, lie):
        super().__init__(daemon=True)
        self.node, self.lie = node, lie
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,),
                             daemon=True).start()

    def serve(self, client):
        with client, self.node.open(60) as server:
            while data := client.recv(65536):
                server.sendall(data)
                if data.startswith(b"GET "):
                    break
                client.sendall(server.recv(65536))
            else:
                return
            out = b""
            while data := server.recv(65536):
                out += data
            head, _, body = out.partition(b"\r\n\r\n")
            lines = body.splitlines(keepends=True)
            client.sendall(head + b"\r\n\r\n" + b"".join(self.lie(lines)))


def renumbered(lines):
    at = len(lines) // 2
    head = b'{"meta":{"id":'
    number = lines[at][len(head):].split(b",")[0]
    lines[at] = lines[at].replace(head + number, head + b"9" + number, 1)
    return lines


LIES = {
    "lost": lambda lines: lines[:-1],
    "lost in the middle": lambda lines: lines[:3] + lines[4:],
    "all lost": lambda lines: [],
    "changed": lambda lines: lines[:2] + [b"X".join(
        lines[2].rsplit(b"a", 1))] + lines[3:],
    "shortened": lambda lines: lines[:2] + [lines[2][:-5] + b'"}}\n'] +
    lines[3:],
    "doubled": lambda lines: lines + [lines[-1].replace(
        b'{"meta":{"id":', b'{"meta":{"id":1', 1)],
    "doubled under its own number": lambda lines: lines + [lines[-1]],
    "renumbered": renumbered,
    "out of order": lambda lines: [lines[1], lines[0]] + lines[2:],
}


def test_what_is_kept_is_verified():
    with Node(IORIOD) as node:
        for port in (node.port, Liar(node, lambda lines: lines).port,
                     node.port):  # what earlier runs wrote does not matter
            code, result, err = bench(node, port)
            assert (code, result["lost"]) == (0, 0), (result, err)
            assert result["ok"] > 50, result


def test_batches_are_verified_event_by_event():
    with Node(IORIOD) as node:
        code, result, err = bench(node, node.port, "--batch", "100")
        assert (code, result["lost"]) == (0, 0), (result, err)
        assert result["events_per_second"] > 50 * result["per_second"]
        for i, name in enumerate(("lost in the middle", "changed")):
            code, result, err = bench(node, Liar(node, LIES[name]).port,
                                      "--batch", "100", "--bucket", f"b{i}")
            assert code == 1 and result["lost"] > 0, (name, result, err)


def test_conditions_and_keys_are_verified():
    with Node(IORIOD) as node:
        code, result, err = bench(node, node.port, "--if-match", "--bucket",
                                  "c")
        assert (code, result["lost"]) == (0, 0), (result, err)
        assert result["ok"] > 50 and result["conflicts"] > 0, result
        code, result, err = bench(node, node.port, "--keys", "30", "--bucket",
                                  "k")
        assert (code, result["lost"]) == (0, 0), (result, err)
        assert 0.1 < result["replayed"] / result["ok"] < 0.5, result
        code, result, err = bench(node, node.port, "--keys", "100",
                                  "--if-match", "--batch", "7", "--bucket",
                                  "all")
        assert (code, result["lost"]) == (0, 0), (result, err)
        assert result["conflicts"] > 0 and result["replayed"] > 20, result


def test_what_fails_is_asked_again_under_its_key():
    with Cluster(IORIOD, 3, {"request.timeout": "500ms"}) as cluster:
        cluster.form()
        first, other = cluster.nodes[:2]

        def kill():
            time.sleep(1)
            other.kill()
            time.sleep(2)
            other.start()
        t = threading.Thread(target=kill)
        t.start()
        code, result, err = bench(first, first.port, "--keys", "10",
                                  "--streams", "30", "--seconds", "6")
        t.join()
        assert (code, result["lost"]) == (0, 0), (result, err)
        assert result["again"] > 0, result


def test_every_lie_is_found():
    with Node(IORIOD) as node:
        for i, (name, lie) in enumerate(LIES.items()):
            code, result, err = bench(node, Liar(node, lie).port,
                                      "--bucket", f"lie{i}")
            assert result["ok"] > 50, result
            assert code == 1 and result["lost"] > 0, (name, result, err)
            assert "lost or changed" in err, err


def test_writes_that_fail_are_told():
    with Node(IORIOD) as node:
        p = subprocess.run(
            [BENCH, "append", "--port", str(node.port), "--token", "wrong",
             "--seconds", "0.2"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=60)
        assert p.returncode == 1 and "no-perm" in p.stderr, p


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
