#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""SIGHUP: what is read again takes effect, what is wrong changes nothing.

usage: test_reload.py IORIOD [TEST...]"""
import os
import signal
import sys
import threading
import time

import tap
from disk import Disk
from node import Node, parse

IORIOD = sys.argv[1]


class Tree(Node):
    """Its file can be changed, and what it logs from now on be waited for."""

    def __init__(self, options=None):
        super().__init__(IORIOD, options)
        self.shipped = open(f"{self.root}/etc/iorio.conf").read()
        self.seen = 0

    def write(self, *lines):
        text = self.shipped + "\n".join(("",) + lines + ("",))
        with open(f"{self.root}/etc/new", "w") as f:
            f.write(text)
        os.rename(f"{self.root}/etc/new", f"{self.root}/etc/iorio.conf")
        return text.count("\n")

    def since(self):
        with open(f"{self.root}/console.log") as f:
            f.seek(self.seen)
            return f.read()

    def hup(self, word="SIGHUP: "):
        """The line that SIGHUP brings about."""
        self.seen = os.path.getsize(f"{self.root}/console.log")
        self.process.send_signal(signal.SIGHUP)
        return self.says(word)

    def says(self, word, seconds=30):
        """The line with WORD since the last SIGHUP."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.since().splitlines(True):
                if word in line and line.endswith("\n"):
                    return line.strip()
            time.sleep(0.01)
        raise AssertionError(f"{word} was not said: " + self.console())

    def logs_requests(self, seconds=0.1):
        """Within that time: a line is written behind the answer."""
        self.seen = os.path.getsize(f"{self.root}/console.log")
        self.request("GET", "/livez")
        end = time.monotonic() + seconds
        while "GET /livez 200" not in self.since():
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True


def test_the_log_level_is_another_one_at_once():
    with Tree({"workers": 4}) as node:
        assert not node.logs_requests()
        node.write("log.level = debug")
        line = node.hup()
        assert line.endswith("info  SIGHUP: log.level = debug"), line
        for _ in range(8):  # whichever worker takes the connection
            assert node.logs_requests(10)
        node.write("log.level = info")
        node.hup()
        assert not node.logs_requests()
        assert node.hup().endswith("SIGHUP: nothing has changed")


def test_the_request_timeout_is_another_one_for_what_is_asked_next():
    with Disk("ext4", 200) as disk:
        node = Tree({"paths.data": disk.path + "/data", "workers": 2,
                     "journal.segment": "4MB", "journal.max": "16MB",
                     "http.max_body": "1MB"})
        node.write("request.timeout = 60s")
        with node:
            assert node.post("b/s", b"1")[0] == 201
            disk.freeze()
            answers = []
            old = threading.Thread(
                target=lambda: answers.append(node.post("b/s", b"2")))
            old.start()
            time.sleep(0.3)
            node.write("request.timeout = 300ms")
            assert "request.timeout = 300ms" in node.hup()
            start = time.monotonic()
            for i in range(4):  # on both workers
                status, data = node.post(f"b/s{i}", b"3")
                assert status in (503, 504), (status, data)
            assert time.monotonic() - start < 20
            assert not answers  # the old one still waits
            disk.thaw()
            old.join()
            assert answers[0][0] == 201, answers


def test_a_bad_file_changes_nothing_and_is_named_with_line_and_key():
    with Tree() as node:
        n = node.write("log.level = debug", "request.timeuot = 1s")
        line = node.hup()
        assert " error SIGHUP: " in line, line
        assert f"{node.root}/etc/iorio.conf:{n}: unknown key " \
            "`request.timeuot`; did you mean `request.timeout`?" in line, line
        assert line.endswith("; nothing was changed"), line
        assert not node.logs_requests()
        n = node.write("log.level = debug", "limits.user.rps = many")
        line = node.hup()
        assert f":{n}: " in line and "limits.user.rps" in line, line
        node.write("log.level = debug", "journal.max = 64MB")
        assert "journal.max: must be" in node.hup()
        os.unlink(f"{node.root}/etc/iorio.conf")
        line = node.hup()
        assert f"{node.root}/etc/iorio.conf: not found" in line, line
        assert not node.logs_requests()
        node.write("log.level = debug")
        node.hup()
        assert node.logs_requests(10)


def test_what_needs_a_start_is_named_and_not_done():
    with Tree() as node:
        node.write("workers = 3", "disk.reserve = 17MB", "log.level = warn",
                   "cluster.cookie = S3cret", "handoff.rate = 5MB",
                   "transfer_limit = 7", "limits.user.rps = 9",
                   "limits.anonymous.rps = 8", "https.cert = /a")
        line = node.hup("from the next start on")
        assert line.endswith("on: workers, cluster.cookie"), line
        node.says("SIGHUP: handoff.rate = 5MB, transfer_limit = 7, "
                  "https.cert = /a, limits.user.rps = 9, "
                  "limits.anonymous.rps = 8, log.level = warn\n")
        assert "S3cret" not in node.console()
        node.stop()
        assert "stopping" not in node.since(), "an info line"


def test_options_and_environment_still_win():
    os.environ["IORIO_REQUEST_TIMEOUT"] = "7s"
    try:
        node = Tree({"log.level": "error"})
        with node:
            node.write("log.level = debug", "request.timeout = 1s",
                       "transfer_limit = 5")
            time.sleep(0.1)
            node.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            assert not node.logs_requests()
            assert "SIGHUP" not in node.console()
    finally:
        del os.environ["IORIO_REQUEST_TIMEOUT"]


def test_many_under_load_leave_the_last_one():
    with Tree({"workers": 2}) as node:
        stop = threading.Event()
        failed = []

        def write_on(i):
            c = node.connect()
            while not stop.is_set():
                status, data = node.post(f"b/s{i}", b"1", c)
                if status != 201:
                    failed.append((status, data))
        threads = [threading.Thread(target=write_on, args=(i,))
                   for i in range(4)]
        for t in threads:
            t.daemon = True
            t.start()
        for i in range(150):
            if i % 3 == 0:
                node.write("bogus = 1")
            else:
                node.write(f"log.level = {('debug', 'warn')[i % 2]}",
                           f"request.timeout = {i}s")
            node.process.send_signal(signal.SIGHUP)
            time.sleep(0.005)
        node.write("log.level = info", "transfer_limit = 77")
        node.hup("transfer_limit = 77")
        stop.set()
        for t in threads:
            t.join()
        assert not failed, failed[:3]
        assert not node.logs_requests()
        assert node.request("GET", "/readyz")[0] == 200
        counts = [len(parse(node.events(f"b/s{i}"))) for i in range(4)]
        assert min(counts) > 5, counts
        node.stop()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
