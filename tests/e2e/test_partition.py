#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Four hosts and a network that fails: cut off, split, deaf in one direction.
Each side serves what it has a majority for; all heals by itself.

usage: test_partition.py IORIOD [TEST...]
CLUSTER_ROUNDS (1): how often."""
import os
import sys
import time

import tap
from cluster import Client, Load, each, eventually, group_of, replicas
from history import History
from netns import Hosts, need_namespaces
from test_cluster import BACK_S, check_everywhere

IORIOD = sys.argv[1]
ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "1"))
TIMEOUT_S = 2
STREAMS = [f"b{i % 7}/s{i}" for i in range(100)]


def without(cluster, side):
    """The groups that have no majority among the nodes of SIDE."""
    owners = cluster.owners(side[0])
    names = {cluster.nodes[k - 1].name for k in side}
    return {g for g in range(len(owners))
            if len(names & set(replicas(owners, g))) < 2}


def check_side(cluster, history, side, label):
    """It takes writes where it has a majority, and refuses them elsewhere."""
    lost = without(cluster, side)
    nodes = [cluster.nodes[k - 1] for k in side]
    got = {}

    def write(node, stream, i):
        begun = time.monotonic()
        body = b'{"side":"%s","i":%d}' % (label.encode(), i)
        status = Client(history, node).write(stream, body)
        took = time.monotonic() - begun
        want = 503 if group_of(stream) in lost else 201
        got[stream] = (status, want, round(took, 1), node.name)
        assert took < TIMEOUT_S + 3, (stream, got[stream])
    each(STREAMS, nodes, write)
    wrong = {s: g for s, g in got.items() if g[0] != g[1]}
    print(f"# {label}: {len(lost)} groups without a majority, slowest answer"
          f" {max(g[2] for g in got.values())} s", flush=True)
    assert not wrong, (label, wrong)


def takes_all(load, nodes, label):
    """NODES take writes to all streams, soon."""
    took = load.probe(nodes)
    print(f"# {label} all writes after {took:.1f} s", flush=True)
    assert took < BACK_S


def check_relay(hosts, history, load):
    """1 and 2 do not hear each other, all others do: each takes what the other
    leads, by way of a third."""
    hosts.mute(1, 2)
    hosts.mute(2, 1)
    takes_all(load, hosts.nodes[:2], "1 and 2 apart: both take")
    time.sleep(2)
    for k, other in ((1, 2), (2, 1)):
        node, name = hosts.nodes[k - 1], hosts.nodes[other - 1].name
        members = hosts.json(k, "member-status")["members"]
        assert [m["name"] for m in members if not m["up"]] == [name]
        owners = hosts.owners(k)
        led = [s for s in STREAMS if owners[group_of(s)] == name]

        def ask(node, stream, i):
            client = Client(history, node)
            body = b'{"past":%d,"i":%d}' % (k, i)
            assert client.write(stream, body) == 201, (node.name, stream)
            assert client.read(stream) == 200, (node.name, stream)
        each(led, [node], ask)
        # The other leads them still: nobody had to give up anything.
        leads = hosts.json(other, "status")["metrics"][
            "iorio_consensus_leaders"]
        assert led and leads >= 8, (led, leads)
    hosts.mute(1, 2, False)
    hosts.mute(2, 1, False)


def test_a_network_that_fails_loses_nothing_and_heals():
    need_namespaces()
    history = History()
    with Hosts(IORIOD, options={"request.timeout": f"{TIMEOUT_S}s"}) as hosts:
        hosts.form()
        load = Load(history, hosts.nodes, STREAMS, pause=0.01)
        load.probe(hosts.nodes)

        def healed(label):
            takes_all(load, hosts.nodes, f"{label} healed: all take")
        for n in range(ROUNDS):
            hosts.isolate(1)
            takes_all(load, hosts.nodes[1:], "host 1 cut off: the others take")
            time.sleep(2)
            check_side(hosts, history, [1], f"alone {n}")
            hosts.isolate(1, False)
            healed("cut")

            hosts.split((1, 2), (3, 4))
            time.sleep(5)
            check_side(hosts, history, [1, 2], f"half a {n}")
            check_side(hosts, history, [3, 4], f"half b {n}")
            hosts.split((1, 2), (3, 4), on=False)
            healed("split")

            # Host 2 hears all, and nobody hears it.
            for to in (1, 3, 4):
                hosts.mute(2, to)
            takes_all(load, [hosts.nodes[k] for k in (0, 2, 3)],
                      "host 2 mute: the others take")
            for to in (1, 3, 4):
                hosts.mute(2, to, False)
            healed("mute")

            # One pair cannot talk, in one direction; all others can.
            hosts.mute(3, 4)
            takes_all(load, hosts.nodes[:2], "3 to 4 mute: 1 and 2 take")
            time.sleep(2)
            hosts.mute(3, 4, False)
            healed("pair")

            check_relay(hosts, history, load)
            healed("relay")
        load.stop()
        print(f"# {history.counts()}")
        hosts.settle()
        check_everywhere(hosts, history, STREAMS)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
