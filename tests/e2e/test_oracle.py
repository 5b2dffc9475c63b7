#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Random calls of the whole streams API; a dumb oracle says what each answer must
be, byte by byte. First one node, which is killed now and then; then three, of
which the leader of a stream that is written to dies.

usage: test_oracle.py IORIOD [TEST...]
ORACLE_SECONDS (12): how long each of them goes on.
ORACLE_SEED: the calls of an earlier run."""
import os
import random
import sys

import calls
import tap

IORIOD = sys.argv[1]
SECONDS = float(os.environ.get("ORACLE_SECONDS", "12"))
SEED = int(os.environ.get("ORACLE_SEED", random.randrange(1 << 32)))


def test_one_node_answers_as_the_oracle():
    calls.one_node(IORIOD, SEED, SECONDS)


def test_three_nodes_answer_as_the_oracle_while_leaders_die():
    calls.three_nodes(IORIOD, SEED, SECONDS)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
