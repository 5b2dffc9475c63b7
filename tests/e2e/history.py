# SPDX-License-Identifier: AGPL-3.0-or-later
"""What clients of a cluster saw, and whether one correct database could have
answered so.

Every body is written once, so a body is the identity of its event.  Times are
of one monotonic clock: a write whose answer was read before another request
was begun comes before it.  Three ends of a write: `ok` (201), `never` (503, or
refused before it was sent), `maybe` (504, or no answer)."""
import bisect
import collections
import threading

OK, NEVER, MAYBE = "ok", "never", "maybe"

Write = collections.namedtuple("Write", "body begun ended outcome seq t node")
# events: [(seq, t, body)], the newest ones, oldest first
Read = collections.namedtuple("Read", "begun ended events node")


class Broken(AssertionError):
    """The history is not that of one database."""


class History:
    def __init__(self):
        self.lock = threading.Lock()
        self.writes = collections.defaultdict(list)
        self.reads = collections.defaultdict(list)

    def wrote(self, stream, write):
        with self.lock:
            self.writes[stream].append(write)

    def read(self, stream, read):
        with self.lock:
            self.reads[stream].append(read)

    def counts(self):
        n = collections.Counter(w.outcome for ws in self.writes.values()
                                for w in ws)
        n["reads"] = sum(map(len, self.reads.values()))
        return dict(n)

    def check(self, final):
        """FINAL: {stream: [(seq, t, body)]}, all of it, through some node."""
        for stream in set(self.writes) | set(self.reads) | set(final):
            check_stream(stream, self.writes[stream], self.reads[stream],
                         final.get(stream, []))


def check_stream(stream, writes, reads, events):
    by_body = check_events(stream, events)
    known = set()
    for w in writes:
        known.add(w.body)
        seq, t = by_body.get(w.body, (None, None))
        if w.outcome == OK and seq is None:
            raise Broken(f"{stream}: acknowledged and lost: {w}")
        if w.outcome == OK and (seq, t) != (w.seq, w.t):
            raise Broken(f"{stream}: is {seq} at {t} now: {w}")
        if w.outcome == NEVER and seq is not None:
            raise Broken(f"{stream}: refused, and yet there as {seq}: {w}")
    for body in by_body:
        if body not in known:
            raise Broken(f"{stream}: nobody wrote {body[:80]}")
    check_order(stream, writes, reads, events)


def check_events(stream, events):
    """{body: (seq, t)}"""
    by_body, before = {}, 0
    for want, (seq, t, body) in enumerate(events, 1):
        if seq != want:
            raise Broken(f"{stream}: {seq} where {want} should be")
        if t < before:
            raise Broken(f"{stream}: time goes back at {seq}")
        if body in by_body:
            raise Broken(f"{stream}: {seq} repeats {by_body[body][0]}")
        before = t
        by_body[body] = (seq, t)
    return by_body


def check_order(stream, writes, reads, events):
    """Whoever begins after an answer was there sees what it told."""
    seen = sorted([(w.ended, w.seq, w) for w in writes if w.outcome == OK] +
                  [(r.ended, r.events[-1][0], r) for r in reads if r.events],
                  key=lambda x: x[:2])
    ends, best = [], []  # the most that was told by then
    for end, seq, by in seen:
        ends.append(end)
        best.append(max(best[-1], (seq, by), key=lambda x: x[0])
                    if best else (seq, by))

    def told(begun):
        i = bisect.bisect_left(ends, begun)
        return best[i - 1] if i else (0, None)

    for w in writes:
        seq, by = told(w.begun)
        if w.outcome == OK and w.seq <= seq:
            raise Broken(f"{stream}: {w} takes a number told before: {by}")
    for r in reads:
        tail = r.events[-1][0] if r.events else 0
        if r.events != events[tail - len(r.events):tail]:
            raise Broken(f"{stream}: read what is not there: {r}")
        seq, by = told(r.begun)
        if tail < seq:
            raise Broken(f"{stream}: stale read: {r} after {by}")
