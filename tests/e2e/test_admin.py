#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""bin/iorio-admin as an operator types it, with a real node.

usage: test_admin.py IORIOD [TEST...]"""
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time

import tap
from cluster import eventually
from node import Node

IORIOD = sys.argv[1]
SELF = "iorio@127.0.0.1"
DEAD = (1, "Node is not running!\n")


def admin(node, *words, timeout=60):
    p = subprocess.run([f"{node.root}/bin/iorio-admin", *words],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=timeout)
    return p.returncode, p.stdout


def test_tables_of_a_node_alone():
    with Node(IORIOD) as node:
        rule = "-" * 79 + "\n"
        assert admin(node, "member-status") == (0, (
            "================================= Membership ================"
            "==================\n"
            "Status     Ring    Pending    Node\n" + rule +
            f"valid     100.0%      --      '{SELF}'\n" + rule +
            "Valid:1 / Leaving:0 / Exiting:0 / Joining:0 / Down:0\n"))
        assert admin(node, "member_status") == admin(node, "member-status")
        code, text = admin(node, "ring-status")
        assert code == 0 and "Ring Ready: true\n" in text
        assert "No pending changes.\n" in text
        assert "All nodes are up and reachable\n" in text
        assert admin(node, "ringready") == (
            0, f"TRUE All nodes agree on the ring ['{SELF}']\n")
        assert admin(node, "transfers") == (0, "No transfers active\n")
        assert admin(node, "services") == (0, "[iorio]\n")
        assert admin(node, "wait_for_service", "iorio", SELF) == (
            0, "iorio is up\n")
        code, text = admin(node, "cluster", "status")
        assert code == 0 and f"| (C) {SELF}   |valid |  up   |100.0|" in text
        code, text = admin(node, "status")
        assert code == 0 and "streams : 0\n" in text


def test_json_of_a_node_alone():
    with Node(IORIOD) as node:
        def ask(*words):
            code, text = admin(node, *words, "--format=json")
            assert text.endswith("}\n") and text.count("\n") == 1, text
            return code, json.loads(text)

        code, o = ask("member-status")
        assert code == 0
        m = o["members"][0]
        assert len(m.pop("id")) == 32
        assert m == {"name": SELF, "status": "valid", "up": True,
                     "ring": 100.0, "pending": None, "claimant": True}
        assert o["counts"] == {"valid": 1, "leaving": 0, "exiting": 0,
                               "joining": 0, "down": 0}
        code, o = ask("ring-status")
        assert o["owners"] == [SELF] * 64 and o["next_owners"] is None
        assert o["ready"] is True and o["unreachable"] == []
        assert (o["n"], o["ring_size"], o["claimant"]) == (3, 64, SELF)
        assert ask("transfers") == (0, {"active": [], "queued": 0,
                                        "limits": {SELF: 2}})
        assert ask("cluster", "plan") == (
            2, {"ok": False, "message": "There are no staged changes"})
        assert ask("services") == (0, {"ok": True, "message": "[iorio]"})
        code, o = ask("cluster", "frob")
        assert code == 1 and o["ok"] is False
        assert o["message"].startswith("Usage: iorio-admin cluster")
        assert ask("status")[1]["streams"] == 0


def test_what_cannot_be_changed_says_why():
    with Node(IORIOD) as node:
        def ask(*words):
            return admin(node, *words)

        assert ask("cluster", "plan") == (2, "There are no staged changes\n")
        assert ask("cluster", "join", "nobody@127.0.0.9:1") == (
            1, "Node nobody@127.0.0.9:1 is not reachable!\n")
        assert ask("cluster", "join", SELF) == (
            1, "Failed: This node cannot join itself in a cluster\n")
        assert ask("cluster", "leave") == (
            1, f"Failed: '{SELF}' is the only member.\n")
        assert ask("cluster", "force-remove", SELF) == (
            1, f"Failed: '{SELF}' is the only member.\n")
        for word in "replace", "force-replace":
            assert ask("cluster", word, SELF, SELF) == (
                1, f"Failed: '{SELF}' is not a valid replacement candidate.\n"
                "Only newly joining nodes can be used for replacement.\n")
        assert ask("transfer-limit", "a@b", "3") == (
            1, "Failed to set transfer limit for 'a@b'\n")
        assert ask("cluster", "force_remove", "a@b") == (
            1, "Failed: 'a@b' is not a member of the cluster.\n")
        assert ask("cluster", "commit") == (
            1, "You must verify the plan with 'iorio-admin cluster plan' "
            "before committing\n")
        assert ask("cluster", "clear") == (
            0, "Cleared staged cluster changes\n")
        assert ask("down", SELF) == (1, f"Failed: {SELF} is up\n")
        assert ask("down", "a@b") == (
            1, 'Failed: "a@b" is not a member of the cluster.\n')
        assert ask("transfer-limit", "many") == (1, "Invalid limit: many\n")


def test_misuse_says_how_to_use_it():
    with Node(IORIOD) as node:
        usage = admin(node)
        assert usage[0] == 1 and usage[1].count("\n") == 2
        assert usage[1].startswith("Usage: iorio-admin {cluster|user|")
        assert admin(node, "frob") == usage
        assert admin(node, "cluster", "join") == (
            1, "Usage: iorio-admin cluster join <node>\n")
        assert admin(node, "cluster", "replace", "a@b") == (
            1, "Usage: iorio-admin cluster replace <node1> <node2>\n")
        assert admin(node, "down", "a@b", "c@d") == (
            1, "Usage: iorio-admin down <node>\n")
        assert admin(node, "cluster", "commit", "--wait=never") == (
            1, "Usage: iorio-admin cluster commit [--wait[=SECONDS]] "
            "[--plan ID]\n")
        help_page = admin(node, "cluster")
        assert help_page[0] == 1 and "force-replace <node1>" in help_page[1]
        assert admin(node, "cluster", "frob") == help_page
        assert admin(node, "x" * 70000)[0] == 1
        assert admin(node, "cluster", "join", "a\nb")[1].startswith("Usage")


def test_a_node_that_is_not_there():
    node = Node(IORIOD)
    assert admin(node, "member-status") == DEAD
    assert admin(node)[1].startswith("Usage")
    node.start()
    assert admin(node, "services") == (0, "[iorio]\n")
    node.kill()
    start = time.monotonic()
    assert admin(node, "services") == DEAD
    assert time.monotonic() - start < 5
    # Its socket is still there, and is replaced.
    assert stat.S_ISSOCK(os.stat(f"{node.root}/data/control.sock").st_mode)
    node.start()
    assert admin(node, "services") == (0, "[iorio]\n")
    node.stop()
    assert not os.path.exists(f"{node.root}/data/control.sock")
    assert admin(node, "services") == DEAD


def test_a_node_that_opens_its_store_anew_is_waited_for():
    with Node(IORIOD) as node:
        path = f"{node.root}/data/control.sock"
        os.rename(path, path + ".away")
        p = subprocess.Popen([f"{node.root}/bin/iorio-admin", "services"],
                             stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        assert p.poll() is None
        os.rename(path + ".away", path)
        assert p.communicate(timeout=10) == ("[iorio]\n", None)
        assert p.returncode == 0


def test_the_socket_is_for_the_user_of_the_node():
    with Node(IORIOD) as node:
        mode = os.stat(f"{node.root}/data/control.sock").st_mode
        assert stat.S_ISSOCK(mode) and mode & 0o777 == 0o600, oct(mode)


def test_a_stop_ends_commands_that_wait():
    with Node(IORIOD) as node:
        p = subprocess.Popen([f"{node.root}/bin/iorio-admin",
                              "wait-for-service", "iorio", "a@b"],
                             stdout=subprocess.PIPE, text=True)
        assert p.stdout.readline() == "iorio is not up: []\n"
        node.stop()
        assert p.stdout.read() == (
            f"RPC to '{SELF}' failed: the node is stopping\n")
        assert p.wait() == 1


def test_a_node_that_dies_in_the_middle():
    with Node(IORIOD) as node:
        p = subprocess.Popen([f"{node.root}/bin/iorio-admin",
                              "wait-for-service", "iorio", "a@b"],
                             stdout=subprocess.PIPE, text=True)
        assert p.stdout.readline() == "iorio is not up: []\n"
        node.kill()
        assert p.stdout.read() == (
            f"RPC to '{SELF}' failed: the node closed the connection\n")
        assert p.wait() == 1


def test_garbage_on_the_socket_harms_nobody():
    with Node(IORIOD) as node:
        path = f"{node.root}/data/control.sock"
        held = []
        for data in (b"", b"\0", b"\xff" * 4, b"\5\0\0\0hello", b"\0\0\0\0",
                     b"\xff\xff\0\0" + b"\x94" * 65535):
            for close in (True, False):
                s = socket.socket(socket.AF_UNIX)
                s.connect(path)
                try:
                    s.sendall(data)
                except OSError:
                    pass
                if close:
                    s.close()
                else:
                    held.append(s)
        # More than it takes at once are closed, and make room by going.
        for _ in range(40):
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            held.append(s)
        for s in held:
            s.close()
        # The node hears of it a little later.
        eventually(lambda: admin(node, "services") == (0, "[iorio]\n"))


def test_clients_that_go_leave_nothing_behind():
    with Node(IORIOD) as node:
        fds = f"/proc/{node.process.pid}/fd"
        admin(node, "services")
        before = len(os.listdir(fds))
        ps = [subprocess.Popen([f"{node.root}/bin/iorio-admin",
                                "wait-for-service", "iorio", "a@b"],
                               stdout=subprocess.PIPE) for _ in range(20)]
        for p in ps:
            assert p.stdout.readline() == b"iorio is not up: []\n"
            p.send_signal(signal.SIGINT)
            p.wait()
        end = time.monotonic() + 10
        while len(os.listdir(fds)) > before:
            assert time.monotonic() < end, os.listdir(fds)
            time.sleep(0.02)


def test_log_level_counts_at_once():
    with Node(IORIOD) as node:
        assert admin(node, "log-level") == (0, "info\n")
        assert admin(node, "log-level", "debug") == (
            0, "Set log level to debug\n")
        node.request("GET", "/ping")
        assert "/ping" in node.console()
        assert admin(node, "log-level", "loud") == (
            1, "Usage: iorio-admin log-level [debug|info|warn|error]\n")


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
