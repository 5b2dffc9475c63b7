#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""A member that is lost for good, and the one that takes its place while clients
write and listen.

usage: test_forced.py IORIOD [TEST...]"""
import shutil
import sys
import time

import tap
from cluster import Cluster
from test_handoff import SETTLE_S, Moving

IORIOD = sys.argv[1]
THIRDS = [32.8, 32.8, 34.4]


def lose(node):
    """Neither the process nor its disk comes back."""
    node.kill()
    shutil.rmtree(f"{node.root}/data")


def test_a_member_lost_for_good_is_replaced_by_force_under_load():
    with Cluster(IORIOD, 1) as c:
        m = Moving(c)
        second, third = m.add(), m.add()
        m.commit("1 -> 3", THIRDS)
        lose(third)
        time.sleep(4)  # leaders that were there are elsewhere
        m.check()
        fourth = m.add()
        code, text = c.admin(1, "cluster", "force-replace", third.name,
                             fourth.name)
        assert code == 0, text
        m.commit("force-replace", THIRDS)
        names = {row["name"] for row in c.json(1, "member-status")["members"]}
        assert names == {m.first.name, second.name, fourth.name}, names
        # What was acknowledged before is as safe as ever: another may die.
        second.kill()
        time.sleep(4)
        m.check()
        second.start()
        c.settle(1, SETTLE_S)
        m.end()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
