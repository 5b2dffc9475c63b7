#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""bin/iorio as an operator types it, and starts that must fail with one line.

usage: test_operate.py IORIOD [TEST...]"""
import os
import subprocess
import sys
import tempfile

import tap
from node import Node, free_port, parse

IORIOD = sys.argv[1]


def tree():
    node = Node(IORIOD)
    with open(f"{node.root}/etc/iorio.conf", "w") as f:
        for k, v in node.options.items():
            f.write(f"{k} = {v}\n")
    node.options = {}
    return node


def iorio(node, command):
    p = subprocess.run([f"{node.root}/bin/iorio", command],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=60)
    return p.returncode, p.stdout


def test_start_ping_restart_stop():
    node = tree()
    dead = "Node 'iorio@127.0.0.1' not responding to pings.\n"
    try:
        assert iorio(node, "ping") == (1, dead)
        assert iorio(node, "stop") == (1, dead)
        assert iorio(node, "attach") == (1, "Node is not running!\n")
        assert iorio(node, "start") == (0, "")
        assert iorio(node, "ping") == (0, "pong\n")
        assert iorio(node, "start") == (1, "Node is already running!\n")
        code, text = iorio(node, "console")
        assert code == 1 and "already running" in text, text
        assert node.post("b/s", b"1")[0] == 201
        assert iorio(node, "restart") == (0, "ok\n")
        assert len(parse(node.events("b/s"))) == 1
        assert iorio(node, "stop") == (0, "ok\n")
        assert iorio(node, "ping") == (1, dead)
        assert not os.path.exists(f"{node.root}/data/ioriod.pid")
        code, text = iorio(node, "bogus")
        assert code == 1 and text.startswith("Usage: iorio {start|stop|")
        assert iorio(node, "version") == (0, "iorio 0.1.0\n")
        code, text = iorio(node, "check-config")
        assert code == 0 and "http.port" in text and "= secret" not in text
    finally:
        iorio(node, "stop")
        node.close()


def test_an_address_of_six():
    node = tree()
    with open(f"{node.root}/etc/iorio.conf", "a") as f:
        f.write("http.ip = ::1\n")
    try:
        assert iorio(node, "start") == (0, "")
        assert iorio(node, "ping") == (0, "pong\n")
        assert iorio(node, "url") == (0, f"http://[::1]:{node.port}\n")
    finally:
        iorio(node, "stop")
        node.close()


def fails(options, *words):
    node = Node(IORIOD)
    node.options.update(options)
    for more in ([], ["-d"]):
        p = subprocess.run(node.command() + more, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=30)
        assert p.returncode == 1, p.returncode
        for w in words:
            assert w in p.stdout, (w, p.stdout)
        assert p.stdout.count("\n") == 1, p.stdout
    node.close()


def test_starts_that_fail_say_why_in_one_line():
    fails({"http.prot": "1"}, "unknown key", "did you mean `http.port`")
    fails({"http.port": "x"}, "http.port", "number")
    fails({"http.ip": "0.0.0.0"}, "http.ip", "loopback")
    fails({"http.ip": "localhost"}, "http.ip")
    fails({"ring_size": "100"}, "ring_size", "power of two")
    fails({"paths.data": "/proc/nowhere"}, "paths.data")
    with Node(IORIOD) as node:
        fails({"http.port": node.port}, "http.port", str(node.port))


def test_one_directory_and_one_port_serve_one_node():
    with Node(IORIOD) as node:
        p = subprocess.run(node.command() + ["-o",
                                             f"http.port={free_port()}"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=30)
        assert p.returncode == 1 and "in use" in p.stdout, p.stdout
        other = Node(IORIOD)
        other.options["http.port"] = node.port
        p = subprocess.run(other.command(), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=30)
        assert p.returncode == 1 and "http.port" in p.stdout, p.stdout
        other.close()


def test_the_shipped_configuration_shows_every_default():
    with open("rel/iorio.conf") as f:
        lines = f.read().splitlines()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write("\n".join(x.lstrip("#") for x in lines
                          if " = " in x or x.endswith(" =")))
        f.flush()
        keys = {x.lstrip("#").split(" =")[0] for x in lines
                if x.startswith("#") and not x.startswith("# ")}
        keys |= {x.split(" =")[0] for x in lines if x[:1].isalpha()}
        all_on = subprocess.run([IORIOD, "--check-config", "-c", f.name],
                                capture_output=True, text=True)
    assert all_on.returncode == 0, all_on
    with tempfile.NamedTemporaryFile("w") as f:
        defaults = subprocess.run([IORIOD, "--check-config", "-c", f.name],
                                  capture_output=True, text=True)
    assert all_on.stdout == defaults.stdout
    assert keys == {x.split("=")[0].strip()
                    for x in defaults.stdout.splitlines() if "=" in x}


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
