#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rings, and what the model of the claim (claim.py) makes of them.

A line: Q N members bad-windows moves old new.  Rings are a character a slot:
the owner's place among the names in base 36, `.` for nobody of them.  Members
come and go at random, several at once; each ring is what the model made last."""
import random

import claim

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def text(ring, members):
    at = {x: DIGITS[i] for i, x in enumerate(sorted(members))}
    return "".join(at.get(x, ".") for x in ring)


def history(q, n, steps, rng):
    names = iter(rng.sample([f"n{i:03}" for i in range(1000)], 200))
    members = [next(names)]
    ring = members * q
    for _ in range(steps):
        for _ in range(rng.randrange(3)):
            if len(members) > 1:
                members.remove(rng.choice(members))
        for _ in range(rng.randrange(4)):
            members.append(next(names))
        new = claim.claim(ring, members, n, "free")
        print(q, n, len(members), claim.bad_windows(new, n, len(members)),
              claim.moved(new, ring), text(ring, members), text(new, members))
        ring = new


rng = random.Random(1)
for q in 8, 16, 32, 64, 128:
    for n in range(1, 6):
        history(q, n, 12 if q < 64 else 6, rng)
