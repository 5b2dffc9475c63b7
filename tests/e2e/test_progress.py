#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an operator sees of a change while there is much to move: the bar of
`commit --wait`, `transfers`, and limits that count at once.

usage: test_progress.py IORIOD [TEST...]"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

import tap
from cluster import Cluster, admin, eventually
from test_handoff import pour, put_away

IORIOD = sys.argv[1]
CUT = 40  # cells of a whole bar
BAR = re.compile(r"\r\|(=*)( *)\| ( *\d+)%  (\d+) of (\d+) partitions moved")
DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\d+\.\d\d (us|ms|s|min) ago\]"
TRANSFER = re.compile(
    r"transfer type: ownership\nvnode type: iorio_vnode\npartition: (\d+)\n"
    rf"started: {DATE}\nlast update: (?:{DATE}|no updates seen)\n"
    r"total size: (?:\d+ (?:objects|bytes)|unknown)\n"
    r"objects transferred: (?:\d+|unknown)\n\n"
    r"(?P<box> +\d+ Objs/s +\n"
    r" +iorio1@127\.0\.0\.1 +=======>  +iorio2@127\.0\.0\.1 +\n"
    r" +\|=* *\| (?: N/A|[ \d]{3}%) +\n"
    r" +\d+\.\d\d (?:B|KB|MB)/s +\n)\n")
QUEUES = re.compile(r"'(iorio\d)@127\.0\.0\.1': sending (\d+), queued (\d+), "
                    r"receiving (\d+)\n")


class Terminal:
    """iorio-admin of a node on a terminal of 80 columns."""

    def __init__(self, node, *words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(f"{node.root}/bin/iorio-admin", ["iorio-admin", *words])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 24, 80, 0, 0))
        self.state = termios.tcgetattr(self.fd)
        self.text = ""

    def read(self, seconds=20):
        """Some more of what it shows; False: that was all."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        assert ready, f"it says nothing: {self.text!r}"
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # nobody has the other end any more
            data = b""
        self.text += data.decode()
        return data != b""

    def bars(self):
        """[(percent, moved, all)] so far, each drawn as it should be."""
        out = []
        for m in BAR.finditer(self.text):
            percent, moved, n = (int(m[i]) for i in (3, 4, 5))
            assert len(m[1]) + len(m[2]) == CUT, m[0]
            assert (percent, len(m[1])) == (moved * 100 // n,
                                            moved * CUT // n), m[0]
            out.append((percent, moved, n))
        return out

    def end(self):
        """What waitpid says, once it has ended."""
        while self.read():
            pass
        status = os.waitpid(self.pid, 0)[1]
        return status

    def close(self):
        os.close(self.fd)


def check_transfers(c):
    """Both members show the same fills, as text and as JSON."""
    code, text = c.admin(2, "transfers")
    assert code == 0, text
    head, _, rest = text.partition("\nActive Transfers:\n\n")
    queues = {m[1]: tuple(map(int, m.groups()[1:]))
              for m in QUEUES.finditer(head)}
    assert QUEUES.sub("", head) == "", head
    assert 1 <= queues["iorio1"][0] <= 2 and queues["iorio2"][2] <= 2, queues
    fills = list(TRANSFER.finditer(rest))
    assert fills and TRANSFER.sub("", rest) == "\n", rest
    for m in fills:
        assert [len(line) for line in m["box"].splitlines()] == [62] * 4, m[0]
    rows = c.json(1, "transfers")["active"]
    for row in rows:
        assert list(row) == ["group", "from", "to", "bytes", "total_bytes",
                             "rate", "eta_s", "started"], row
        assert (row["from"], row["to"]) == (c.nodes[0].name, c.nodes[1].name)
    known = [r for r in rows if r["eta_s"] is not None]
    assert known, rows
    for r in known:
        assert r["bytes"] <= r["total_bytes"], r
        left = r["total_bytes"] - r["bytes"]
        assert r["eta_s"] == -(-left // r["rate"]), r
        assert r["rate"] < 7_000_000, r  # handoff.rate, and a burst
    return True


def check_limits(c):
    """One fill at once, as soon as it is said."""
    first = c.nodes[0].name
    assert c.admin(2, "transfer-limit", first, "1") == (
        0, f"Set transfer limit for '{first}' to 1\n")
    code, text = c.admin(2, "transfer-limit")
    assert (code, text) == (0, f"""\
=============================== Transfer Limit ================================
Limit        Node
{'-' * 79}
    1        '{first}'
    2        '{c.nodes[1].name}'
{'-' * 79}
Note: You can change transfer limits with 'iorio-admin transfer-limit <limit>'
      and 'iorio-admin transfer-limit <node> <limit>'
"""), text
    o = c.json(1, "transfers")
    assert o["limits"] == {first: 1, c.nodes[1].name: 2}
    eventually(lambda: len(c.json(1, "transfers")["active"]) == 1, 10)
    for _ in range(10):
        o = c.json(1, "transfers")
        assert len(o["active"]) <= 1 and o["queued"] > 0, o
        time.sleep(0.05)
    assert c.admin(1, "transfer-limit", "2", "--format=json") == (
        0, '{"ok":true,"message":"Setting transfer limit to 2 across the '
        'cluster"}\n')


def stage(c, node, *words):
    code, text = admin(node, "cluster", *words)
    assert code == 0, text
    eventually(lambda: c.admin(1, "cluster", "plan")[0] == 0)


def test_a_change_is_watched_from_its_commit_to_its_end():
    with Cluster(IORIOD, 1, {"handoff.rate": "4MB"}) as c:
        first = c.nodes[0]
        for i in range(6):
            pour(first, f"b/s{i}", 3_000_000)
        put_away(first)
        second = c.add()
        second.start()
        stage(c, second, "join", first.name)
        t = Terminal(first, "cluster", "commit", "--wait")
        while len(t.bars()) < 2:
            assert t.read()
        eventually(lambda: check_transfers(c), 10)
        check_limits(c)
        os.write(t.fd, b"\x03")
        status = t.end()
        assert os.WIFSIGNALED(status) and \
            os.WTERMSIG(status) == signal.SIGINT, status
        # What comes next begins a line of its own, on a terminal as it was.
        assert t.text.startswith("Cluster changes committed\r\n\r|"), t.text
        assert t.text.endswith("moved^C\r\n"), t.text[-80:]
        assert t.bars()[-1][0] < 100, t.text
        assert termios.tcgetattr(t.fd) == t.state
        t.close()
        c.settle()  # it went on

        third = c.add()
        third.start()
        stage(c, third, "join", first.name)
        assert c.admin(1, "transfer-limit", "0")[0] == 0
        assert c.admin(1, "cluster", "commit", "--wait=1") == (
            1, "Cluster changes committed\n"
            "Transfers are not done after 1 s, and go on\n")
        assert c.admin(1, "transfer-limit", "50")[0] == 0
        c.settle()

        stage(c, first, "leave", third.name)
        t = Terminal(first, "cluster", "commit", "--wait")
        assert t.end() == 0, t.text
        bars = t.bars()
        assert bars == sorted(bars) and bars[-1][0] == 100, bars
        assert t.text.endswith("moved\r\nAll transfers are done\r\n"), t.text
        t.close()
        assert third.process.wait(30) == 0
        stage(c, first, "leave", second.name)
        assert c.admin(1, "cluster", "commit", "--wait") == (
            0, "Cluster changes committed\nAll transfers are done\n")


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
