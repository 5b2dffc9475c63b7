#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Four nodes as one database: joined as the manual says, under load while nodes
die, stand still and come back.

usage: test_cluster.py IORIOD [TEST...]
CLUSTER_ROUNDS (1): how often each node is killed and stopped."""
import os
import re
import signal
import subprocess
import sys
import time

import tap
from cluster import Q, Client, Cluster, Load, each, eventually, group_of
from history import MAYBE, NEVER, OK, Broken, History, Read, Write
from node import parse

IORIOD = sys.argv[1]
ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "1"))
BACK_S = 8  # 3 on a machine of its own
TIMEOUT_S, SLACK_S = 2, 3  # request.timeout; of a busy machine

TABLE = """\
================================= Membership ==================================
Status     Ring    Pending    Node
-------------------------------------------------------------------------------
{}\
-------------------------------------------------------------------------------
{}
"""
JOINING = TABLE.format("""\
joining     0.0%      --      'iorio2@127.0.0.1'
joining     0.0%      --      'iorio3@127.0.0.1'
joining     0.0%      --      'iorio4@127.0.0.1'
valid     100.0%      --      'iorio1@127.0.0.1'
""", "Valid:1 / Leaving:0 / Exiting:0 / Joining:3 / Down:0")
VALID = "Valid:4 / Leaving:0 / Exiting:0 / Joining:0 / Down:0"
PLANNED = TABLE.format("""\
valid     100.0%     25.0%    'iorio1@127.0.0.1'
valid       0.0%     25.0%    'iorio2@127.0.0.1'
valid       0.0%     25.0%    'iorio3@127.0.0.1'
valid       0.0%     25.0%    'iorio4@127.0.0.1'
""", VALID)
FINISHED = TABLE.format("""\
valid      25.0%      --      'iorio1@127.0.0.1'
valid      25.0%      --      'iorio2@127.0.0.1'
valid      25.0%      --      'iorio3@127.0.0.1'
valid      25.0%      --      'iorio4@127.0.0.1'
""", VALID)
PLAN = f"""\
=============================== Staged Changes ================================
Action         Details(s)
-------------------------------------------------------------------------------
join           'iorio2@127.0.0.1'
join           'iorio3@127.0.0.1'
join           'iorio4@127.0.0.1'
-------------------------------------------------------------------------------


NOTE: Applying these changes will result in 1 cluster transition

###############################################################################
                         After cluster transition 1/1
###############################################################################

{PLANNED}
Transfers resulting from cluster changes: 48
  16 transfers from 'iorio1@127.0.0.1' to 'iorio2@127.0.0.1'
  16 transfers from 'iorio1@127.0.0.1' to 'iorio3@127.0.0.1'
  16 transfers from 'iorio1@127.0.0.1' to 'iorio4@127.0.0.1'

"""


def check_everywhere(cluster, history, streams):
    """The history holds through every node, and all nodes have the same."""
    first = None
    for k in range(1, len(cluster.nodes) + 1):
        final = {s: cluster.events(k, s) for s in streams}
        if first is None:
            history.check(final)
            first = final
        assert final == first, cluster.nodes[k - 1].name


def steps_of_the_manual():
    """[(commands, output)] of the walk-through."""
    with open("README.md") as f:
        text = f.read()
    text = text[text.index("\n### Several nodes on one machine\n"):]
    text = text[:text.index("\n### ", 1)]
    return [(code.replace("make devrel\n", ""), out.removeprefix("...\n"))
            for code, out in re.findall(r"```sh\n(.*?)```\n\n```\n(.*?)```",
                                        text, re.S)]


def test_a_cluster_is_formed_as_the_manual_shows():
    from test_devrel import Dev
    start, join, plan, commit, done, stop = steps_of_the_manual()
    assert (plan[1], done[1]) == (PLAN, FINISHED) and JOINING in join[1]
    with Dev(4) as dev:  # `make devrel`
        dev.free_ports(4)
        dev.env["IORIO_CLUSTER_RUNTIME_DIR"] = f"{dev.root}/run"
        for name in "MAKELEVEL", "MAKEFLAGS", "MFLAGS":  # of who runs the test
            dev.env.pop(name, None)

        def says(step):
            p = subprocess.run(["bash", "-ec", step[0]], env=dev.env, text=True,
                               stdout=subprocess.PIPE, timeout=120)
            assert (p.returncode, p.stdout) == (0, step[1]), (step[0],
                                                              p.stdout)
            return True
        says(start)
        says(join)
        eventually(lambda: says(plan), 10)
        status = lambda: dev("admin", "member-status")
        assert status() == (0, JOINING)
        says(commit)
        during = set()
        eventually(lambda: during.add(status()) or (0, FINISHED) in during)
        for code, text in during:
            assert code == 0 and text.endswith(VALID + "\n"), text
            assert text.count("25.0%    'iorio") == 4 or text == FINISHED, text
        assert len(during) > 2, during  # one sees it move
        for k in range(1, 5):  # nothing to worry about is in the log
            log = dev.conf(k).parents[1] / "log/iorio.log"
            odd = [line for line in log.read_text().splitlines()
                   if " error " in line or " warn " in line
                   and "is the default: set it" not in line]
            assert odd == [], odd
        assert dev("admin", "transfers") == (0, "No transfers active\n")
        assert dev("admin", "cluster", "plan") == (
            2, "There are no staged changes\n")
        says(done)
        says(stop)


def test_what_is_acknowledged_survives_each_node_in_turn():
    streams = [f"b{i % 7}/s{i}" for i in range(100)]
    history = History()
    with Cluster(IORIOD, options={"workers": 2}) as cluster:
        cluster.form()
        load = Load(history, cluster.nodes, streams)
        load.probe(cluster.nodes)
        for node in cluster.nodes * ROUNDS:
            others = [n for n in cluster.nodes if n is not node]
            node.kill()
            killed = load.probe(others)
            node.start()
            load.probe(cluster.nodes)
            node.process.send_signal(signal.SIGSTOP)
            stopped = load.probe(others)
            time.sleep(1)
            node.process.send_signal(signal.SIGCONT)
            back = load.probe(cluster.nodes)
            print(f"# {node.name}: all streams take writes again {killed:.1f} s"
                  f" after kill -9, {stopped:.1f} s after SIGSTOP, through all"
                  f" {back:.1f} s after SIGCONT", flush=True)
            assert max(killed, stopped, back) < BACK_S
        load.stop()
        print(f"# {history.counts()}")
        check_everywhere(cluster, history, streams)
        for node in cluster.nodes:
            node.stop()


def test_without_a_majority_a_group_refuses_and_the_others_serve():
    streams = [f"b{i % 2}/s{i}" for i in range(100)]
    history = History()
    options = {"request.timeout": f"{TIMEOUT_S}s"}
    with Cluster(IORIOD, options=options) as cluster:
        cluster.form()
        load = Load(history, cluster.nodes, streams)
        load.probe(cluster.nodes)
        dead, alive = cluster.nodes[:2], cluster.nodes[2:]
        lost = cluster.without_majority(dead)
        assert 0 < len(lost) < Q, lost
        for node in dead:
            node.kill()
        time.sleep(4)  # whoever led alone has noticed; others were elected
        slowest = [0]

        def write(node, stream, i):
            begun = time.monotonic()
            status = Client(history, node).write(stream, b'{"one":%d}' % i)
            slowest.append(time.monotonic() - begun)
            want = 503 if group_of(stream) in lost else 201
            assert status == want, (stream, group_of(stream), status, want)
        each(streams, alive, write)
        print(f"# {len(lost)} of {Q} groups refuse, at most after"
              f" {max(slowest):.1f} s", flush=True)
        assert max(slowest) < TIMEOUT_S + SLACK_S
        check_lists(alive, streams, lost)
        code, text = cluster.admin(3, "cluster", "plan")
        assert code == 1 and text.startswith(
            "Cannot plan until cluster state has converged.\n"), text
        for node in dead:
            node.start()
        load.probe(cluster.nodes)
        load.stop()
        cluster.settle()
        check_lists(cluster.nodes, streams, set())
        check_everywhere(cluster, history, streams)


def check_lists(nodes, streams, lost):
    """Every node lists what the groups have that are not LOST, and says which
    are."""
    there = [s.split("/") for s in streams if group_of(s) not in lost]
    lists = {"/streams/b1": sorted(s for b, s in there if b == "b1"),
             "/buckets": sorted({b for b, _ in there})}

    def check(node, path, _):
        begun = time.monotonic()
        status, _, data = node.request("GET", path)
        took = time.monotonic() - begun
        assert status == 200 and took < TIMEOUT_S + SLACK_S, (data, took)
        answer = parse(data)
        assert answer.get("missing", []) == sorted(lost), (answer, lost)
        assert answer["status"] == ("partial" if lost else "ok"), answer
        assert answer["data"] == lists[path], (path, node.name, answer)
    for node in nodes:
        each(lists, [node], check)


# --- the checker ------------------------------------------------------------

def broken(writes, reads, events):
    history = History()
    for w in writes:
        history.wrote("b/s", w)
    for r in reads:
        history.read("b/s", r)
    try:
        history.check({"b/s": events})
    except Broken as e:
        return str(e)
    return None


def test_the_checker_finds_what_must_not_be():
    a = Write(b"a", 0, 1, OK, 1, 10, "n1")
    b = Write(b"b", 2, 3, OK, 2, 11, "n2")
    never = Write(b"c", 2, 3, NEVER, None, None, "n1")
    maybe = Write(b"c", 2, 3, MAYBE, None, None, "n1")
    ea, eb, ec = (1, 10, b"a"), (2, 11, b"b"), (3, 12, b"c")
    full = Read(4, 5, [ea, eb], "n3")
    assert broken([a, b, never], [full], [ea, eb]) is None
    assert broken([a, b, maybe], [full], [ea, eb]) is None
    assert broken([a, b, maybe], [full], [ea, eb, ec]) is None
    assert "lost" in broken([a, b], [], [ea])
    assert "repeats" in broken([a, b], [], [ea, eb, (3, 12, b"a")])
    assert "should be" in broken([a, b], [], [ea, (3, 11, b"b")])
    assert "time goes back" in broken([a, b], [], [ea, (2, 9, b"b")])
    assert "is 2 at 10" in broken([a], [], [(1, 10, b"b"), (2, 10, b"a")])
    assert "is 2 at 12" in broken([a, b], [], [ea, (2, 12, b"b")])
    assert "refused" in broken([a, b, never], [], [ea, eb, ec])
    assert "nobody wrote" in broken([a, b], [], [ea, eb, ec])
    assert "stale" in broken([a, b], [Read(4, 5, [ea], "n3")], [ea, eb])
    assert "stale" in broken(
        [a, maybe], [Read(1.5, 2, [ea, (2, 12, b"c")], "n3"),
                     Read(2.5, 4, [ea], "n2")], [ea, (2, 12, b"c")])
    assert "not there" in broken(
        [a, b], [Read(4, 5, [ea, (2, 11, b"x")], "n3")], [ea, eb])
    late = Write(b"b", 2, 3, OK, 1, 9, "n2")
    assert "told before" in broken([Write(b"a", 0, 1, OK, 2, 9, "n1"), late],
                                   [], [(1, 9, b"b"), (2, 9, b"a")])


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
