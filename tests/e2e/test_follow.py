#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Random writers, and followers on all transports that come and go while nodes
die: each sees exactly what comes after its position, in order, once.

usage: test_follow.py IORIOD [TEST...]
FOLLOW_SECONDS (4): how long each of them goes on.
FOLLOW_SEED: the choices of an earlier run, as far as time lets them be."""
import os
import random
import sys
import threading
import time

import tap
from cluster import Cluster, eventually
from follow import Follower, Truth, Writer, keep_few
from node import Node

IORIOD = sys.argv[1]
SECONDS = float(os.environ.get("FOLLOW_SECONDS", "4"))
SEED = int(os.environ.get("FOLLOW_SEED", random.randrange(1 << 32)))
WRITERS, FOLLOWERS = 3, 9


def run(nodes, trouble):
    """Writers and followers at NODES, while TROUBLE(rng, until) goes on."""
    print(f"# FOLLOW_SEED={SEED}", flush=True)
    rng = random.Random(SEED)
    keep_few(nodes[0])
    truth, errors, over = Truth(), [], threading.Event()

    def start(f, *args):
        def guarded():
            try:
                f(*args)
            except BaseException as e:
                errors.append(e)
        t = threading.Thread(target=guarded, daemon=True)
        t.start()
        return t
    until = time.monotonic() + SECONDS
    writers = [Writer(truth, nodes, rng.randrange(1 << 32), i)
               for i in range(WRITERS)]
    followers = [Follower(truth, nodes, rng.randrange(1 << 32), i)
                 for i in range(FOLLOWERS)]
    threads = [start(w.run, over) for w in writers]
    followed = [start(f.run) for f in followers]
    try:  # here: a node goes with the thread that began it
        trouble(rng, until)
        time.sleep(max(0, until - time.monotonic()))
    finally:
        over.set()
    for t in threads:
        t.join(60)
        assert not t.is_alive(), "a writer hangs"
    assert not errors, errors[0]
    truth.is_final = True
    for t, f in zip(followed, followers):
        t.join(60)
        assert not t.is_alive(), f"{f} misses {f.missing()}"
    if errors:
        raise errors[0]
    n = [f.check() for f in followers]
    print(f"# {truth.n_events} events, {truth.n_deletions} deletions; "
          f"{sum(f.n_connections for f in followers)} connections got "
          f"{sum(n)}", flush=True)
    assert sum(n)  # on a busy machine one of them may have come too late


def test_a_node_that_is_killed_and_stopped():
    with Node(IORIOD) as node:
        node.token

        def trouble(rng, until):
            while time.monotonic() < until - 1:
                time.sleep(rng.uniform(0.3, 1.5))
                rng.choice([node.kill, node.stop])()
                time.sleep(rng.uniform(0, 0.5))
                node.start()
        run([node], trouble)


def test_leaders_that_die():
    with Cluster(IORIOD, 3) as c:
        c.form()
        for node in c.nodes:
            node.token

        def trouble(rng, until):
            while time.monotonic() < until - 1:
                time.sleep(rng.uniform(0.3, 1.0))
                node = rng.choice(c.nodes)
                rng.choice([node.kill, node.kill, node.stop])()
                time.sleep(rng.uniform(0, 2))
                node.start()
            eventually(lambda: all(
                n.request("GET", "/readyz", token=None)[0] == 200
                for n in c.nodes))
        run(c.nodes, trouble)


def test_groups_that_move():
    with Cluster(IORIOD, 3) as c:
        c.form()
        for node in c.nodes:
            node.token
        stay = list(c.nodes)

        def commit():
            eventually(lambda: c.admin(1, "cluster", "plan")[0] == 0)
            assert c.admin(1, "cluster", "commit")[0] == 0
            c.settle()

        def trouble(rng, until):
            new = c.add()
            new.start()
            code, text = c.admin(4, "cluster", "join", c.nodes[0].name)
            assert code == 0, text
            commit()
            assert set(c.owners()) == {node.name for node in c.nodes}
            code, text = c.admin(4, "cluster", "leave")
            assert code == 0, text
            commit()
            assert set(c.owners()) == {node.name for node in stay}
        run(stay, trouble)


tap.run(sys.modules[__name__])
