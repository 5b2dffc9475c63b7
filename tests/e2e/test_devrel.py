#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Release trees side by side, as `make devrel` lays them.

usage: test_devrel.py IORIOD [TEST...]"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tap
from node import free_port

BUILD = pathlib.Path(sys.argv[1]).parents[2]
PORTS = ("http.port", "https.port", "handoff.port", "cluster.port")


class Dev:
    def __init__(self, nodes):
        self.root = tempfile.mkdtemp(prefix="iorio-devrel-")
        self.env = {**os.environ, "DEV": f"{self.root}/dev",
                    "DEVNODES": str(nodes)}
        assert self("lay", str(BUILD))[0] == 0

    def __call__(self, *words):
        p = subprocess.run(["scripts/devrel", *words], env=self.env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=120)
        return p.returncode, p.stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self("stop")
        shutil.rmtree(self.root)

    def conf(self, k):
        return pathlib.Path(f"{self.env['DEV']}/dev{k}/etc/iorio.conf")

    def settings(self, k):
        """As the node itself reads them."""
        p = subprocess.run([f"{self.env['DEV']}/dev{k}/bin/iorio",
                            "check-config"], capture_output=True, text=True)
        assert p.returncode == 0, p
        return dict(re.findall(r"^([a-z_.]+) *= *(.*)$", p.stdout, re.M))

    def free_ports(self, nodes):
        """The numbers of every developer's nodes may be taken here."""
        for k in range(1, nodes + 1):
            text = self.conf(k).read_text()
            for key in PORTS:
                text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {free_port()}",
                              text)
            self.conf(k).write_text(text)


def test_every_node_has_numbers_of_its_own():
    with Dev(4) as dev:
        for k in range(1, 5):
            s = dev.settings(k)
            assert s["nodename"] == f"iorio{k}@127.0.0.1"
            assert [int(s[p]) for p in PORTS] == [
                8088 + 10 * k, 8528 + 10 * k, 10009 + 10 * k, 10007 + 10 * k]


def test_nodes_start_answer_and_stop_together():
    with Dev(3) as dev:
        assert dev("ping")[0] == 1
        dev.free_ports(3)
        # Wherever the trees lie: a path that is too long for a socket too.
        elsewhere = f"{dev.root}/{'long-' * 30}"
        os.rename(dev.env["DEV"], elsewhere)
        dev.env["DEV"] = elsewhere
        assert dev("start") == (0, "dev1: ok\ndev2: ok\ndev3: ok\n")
        assert dev("ping") == (0, "dev1: pong\ndev2: pong\ndev3: pong\n")
        code, text = dev("start")
        assert code == 1 and "dev2: Node is already running!\n" in text
        code, text = dev("admin", "member-status")
        assert code == 0 and "\nvalid     100.0%      --      " \
            "'iorio1@127.0.0.1'\n" in text
        assert dev("admin", "cluster", "plan") == (
            2, "There are no staged changes\n")
        assert dev("stop") == (0, "dev1: ok\ndev2: ok\ndev3: ok\n")
        code, text = dev("ping")
        assert code == 1 and "dev3: Node 'iorio3@127.0.0.1' not respond" in text
        code, text = dev("admin", "services")
        assert (code, text) == (1, "Node is not running!\n")


def test_laying_anew_keeps_configuration_and_data():
    with Dev(2) as dev:
        dev.free_ports(2)
        before = dev.settings(2)
        mark = pathlib.Path(f"{dev.env['DEV']}/dev2/data/mark")
        mark.write_text("kept")
        assert dev("lay", str(BUILD))[0] == 0
        assert dev.settings(2) == before and mark.read_text() == "kept"


def test_clean_stops_what_runs_and_removes_it():
    with Dev(2) as dev:
        dev.free_ports(2)
        assert dev("start")[0] == 0
        with open(f"{dev.env['DEV']}/dev2/data/ioriod.pid") as f:
            pid = int(f.read())
        assert dev("clean") == (0, "")
        assert not os.path.exists(dev.env["DEV"])
        assert not os.path.exists(f"/proc/{pid}")
        assert dev("clean") == (0, "")
        code, text = dev("start")
        assert code == 1 and "make devrel" in text


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
