# SPDX-License-Identifier: AGPL-3.0-or-later
"""Writers that remember what they wrote, and followers that are held against
it."""
import http.client
import json
import random
import threading
import time

from listeners import Refused, Socket, Sse, poll
from node import quote

BUCKETS = ["b", "two words"]
# Streams whose names begin with k are never deleted; of those with p only some
# events are kept.
NAMES = ["k0", "k1", "s0", "s1", "p0", "é/ü"]
KEPT = 20
GONE = (OSError, EOFError, http.client.HTTPException)
JSON = {"Content-Type": "application/json"}


class Truth:
    """Each stream has lives, one after another; an event is its life and its
    number in it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acked = {}   # (bucket, stream) -> (life, events, alive)
        self.begun = {}   # the same with what is under way
        self.is_final = False
        self.n_events = self.n_deletions = 0

    def at_least(self):
        """What whoever asks now cannot be before."""
        with self.lock:
            return dict(self.acked)

    def at_most(self):
        """What whoever was answered now cannot be behind."""
        with self.lock:
            return dict(self.begun)

    def note(self, what, name, state):
        with self.lock:
            getattr(self, what)[name] = state


def keep_few(node):
    """The policies of the streams of which few events are kept."""
    for b in BUCKETS:
        for s in NAMES:
            if s[0] == "p":
                assert node.ask("PUT", f"/policies/{quote(b)}/{s}",
                                {"max_events": KEPT})[0] == 200


class Writer:
    """The only one that writes to its streams, so it knows their order."""

    def __init__(self, truth, nodes, seed, number):
        self.truth, self.nodes, self.rng = truth, nodes, random.Random(seed)
        self.number, self.n_keys = number, 0
        names = [(b, s) for b in BUCKETS for s in NAMES]
        self.names = [n for i, n in enumerate(names) if i % 3 == number]
        self.state = {name: (0, 0, False) for name in self.names}

    def insist(self, method, path, body=None, headers=None):
        """Until it is done: with a key or twice, it is the same."""
        end = time.monotonic() + 45
        while time.monotonic() < end:
            node = self.rng.choice(self.nodes)
            try:
                c = node.connect(4)
                status, _, data = node.request(method, path, body, headers,
                                               connection=c)
                c.close()
                if status in (201, 204):
                    return data
                assert status in (503, 504), (method, path, status, data)
                last = status, data
            except GONE as e:
                last = repr(e)
            time.sleep(0.02)
        raise AssertionError(f"{method} {path} is not done: {last}")

    def append(self, name):
        life, n, alive = self.state[name]
        if not alive:
            life, n = life + 1, 0
        count = self.rng.choice([1, 1, 1, 2, 7])
        self.state[name] = (life, n + count, True)
        self.truth.note("begun", name, self.state[name])
        self.n_keys += 1
        data = [json.dumps([life, n + i + 1, "x" * self.rng.choice(
            [0, 10, 1000])]) for i in range(count)]
        head = {"Idempotency-Key": f"{self.number}-{self.n_keys}"}
        if count == 1:
            body, head = data[0], {**head, **JSON}
        else:
            body = "\n".join(data)
            head["Content-Type"] = "application/x-ndjson"
        got = json.loads(self.insist(
            "PUT", "/streams/" + "/".join(map(quote, name)), body.encode(),
            head))["meta"]
        first = got.get("first", got.get("id"))
        assert first == n + 1, (name, got, self.state[name])
        self.truth.note("acked", name, self.state[name])
        self.truth.n_events += count

    def delete(self, name):
        life, n, alive = self.state[name]
        if not alive:
            return
        self.state[name] = (life, n, False)
        self.truth.note("begun", name, self.state[name])
        self.insist("DELETE", "/streams/" + "/".join(map(quote, name)))
        self.truth.note("acked", name, self.state[name])
        self.truth.n_deletions += 1

    def run(self, over):
        while not over.is_set():
            name = self.rng.choice(self.names)
            if name[1][0] != "k" and self.rng.randrange(12) == 0:
                self.delete(name)
            else:
                self.append(name)
            time.sleep(self.rng.choice([0, 0, 0.001, 0.01]))
        for name in self.names:
            self.append(name)


class Follower:
    """One who wants some streams from somewhere on, and does not mind by which
    way.  `position` is where it can go on: (kind, text), or None."""

    def __init__(self, truth, nodes, seed, number):
        self.truth, self.nodes, self.rng = truth, nodes, random.Random(seed)
        self.number, self.seen, self.kept = number, {}, {}
        self.position, self.start, self.n_connections = None, None, 0
        kind = number % 3
        self.wide, self.names = [], []
        if kind == 0:
            self.names = [self.any_name()]
        elif kind == 1:
            self.wide = [self.rng.choice(BUCKETS)]
        else:
            self.names = list({self.any_name() for _ in range(3)})
            self.wide = self.rng.choice([[], [BUCKETS[0]]])
        self.names = [n for n in self.names if n[0] not in self.wide]
        self.from_seq = self.rng.choice([1, 1, 2, 9]) if kind == 0 and \
            self.rng.randrange(3) else 0

    def __str__(self):
        return f"follower {self.number} of {self.names + self.wide}"

    def any_name(self):
        return self.rng.choice(BUCKETS), self.rng.choice(NAMES)

    def wants(self, name):
        return name in self.names or name[0] in self.wide

    def query(self, seq=0):
        tail = f":{seq}" if seq else ""
        return "&".join([f"s={quote(b)}:{quote(s)}{tail}"
                         for b, s in self.names] +
                        [f"s={quote(b)}:*" for b in self.wide])

    # --- what comes ---------------------------------------------------------

    def take(self, items):
        for e in items:
            if e.get("notice") == "cursor":
                self.keep(("cursor", e["cursor"]))
                continue
            meta = e.get("meta", e)
            name = meta["bucket"], meta["stream"]
            assert self.wants(name), (str(self), e)
            if e.get("notice") == "gap":
                assert name[1][0] == "p", e
                self.seen.setdefault(name, []).append(("gap", e["first"]))
            elif "notice" in e:
                assert e["notice"] == "deleted", e
                self.seen.setdefault(name, []).append("deleted")
            else:
                life, n, _ = e["data"]
                assert n == meta["id"], e
                self.seen.setdefault(name, []).append((life, n))

    def keep(self, position):
        """From here on, when it comes back."""
        self.position = position
        self.kept = {name: len(items) for name, items in self.seen.items()}

    def fall_back(self):
        """What came since is lost, and comes again."""
        for name, items in self.seen.items():
            del items[self.kept.get(name, 0):]

    # --- ways ---------------------------------------------------------------

    def begin(self):
        """Finds out where it begins; raises if nobody says so."""
        if self.from_seq:
            self.start = None
            return
        before = self.truth.at_least()
        status, head, body = poll(self.rng.choice(self.nodes),
                                  self.query() + "&wait=0", 10)
        if status == 503:
            raise Refused(status)
        assert status in (200, 204), (status, body)
        self.start = before, self.truth.at_most()
        if status == 200:
            self.take(json.loads(body))
        self.keep(("cursor", head["Iorio-Cursor"]))

    def where(self):
        """The query, and headers for SSE."""
        kind, text = self.position or (None, None)
        if kind == "id":
            return self.query(), {"Last-Event-ID": text}
        if kind == "cursor":
            return self.query() + "&cursor=" + text, {}
        return self.query(self.from_seq), {}

    def by_polling(self, node, until):
        while time.monotonic() < until and not self.is_done():
            status, head, body = poll(
                node, self.where()[0] + "&wait=1", 10)
            if status == 503:
                raise Refused(status)
            assert status in (200, 204), (status, body)
            if status == 200:
                self.take(json.loads(body))
            self.keep(("cursor", head["Iorio-Cursor"]))

    def drain(self, client, until):
        """What CLIENT gets until then, or it is all; polls in between."""
        while time.monotonic() < until and not self.is_done():
            try:
                items = client.take(1, max(
                    0.01, min(0.3, until - time.monotonic())))
            except TimeoutError:
                continue
            yield items

    def by_sse(self, node, until):
        query, headers = self.where()
        with Sse(node, query, headers, timeout=10) as sse:
            for items in self.drain(sse, until):
                items += sse.items
                sse.items = []
                self.take(items)
                single = len(self.names) == 1 and not self.wide
                self.keep(("id" if single else "cursor", sse.last_id))

    def by_socket(self, node, until):
        with Socket(node, self.where()[0], timeout=10) as ws:
            if ws.status != 101:
                raise Refused(ws.status)
            for items in self.drain(ws, until):
                self.take(items)
            if self.rng.randrange(2):
                answer = ws.ask(cmd="cursor")
                self.take(ws.items)
                self.keep(("cursor", answer["cursor"]))
            elif self.is_done():
                self.keep(self.position)

    def way(self):
        if self.position and self.position[0] == "id":
            return self.by_sse  # the other ways do not know these
        return self.rng.choice([self.by_polling, self.by_sse, self.by_socket])

    def run(self):
        while not self.is_done():
            node = self.rng.choice(self.nodes)
            until = time.monotonic() + self.rng.uniform(0.05, 1.5)
            try:
                if not self.position and not self.seen:
                    self.begin()
                self.n_connections += 1
                self.way()(node, until)
            except Refused as e:
                assert e.status == 503, e
            except GONE:
                pass
            self.fall_back()
            time.sleep(self.rng.choice([0, 0.05, 0.2]))

    # --- what must be -------------------------------------------------------

    def last_of(self, name):
        return (self.seen.get(name) or [None])[-1]

    def missing(self):
        """(stream, what it has last, what it should have)."""
        return [(name, self.last_of(name), want[:2])
                for name, want in self.truth.at_least().items()
                if self.wants(name) and want[1] >= self.from_seq and
                self.last_of(name) != want[:2]]

    def is_done(self):
        return self.truth.is_final and not self.missing()

    def check_first(self, name, event, noticed):
        life, n = event
        if noticed:
            assert n == 1, (str(self), name, event)
            return
        if not self.start:
            assert n == self.from_seq, (str(self), name, event)
            return
        low = self.start[0].get(name, (0, 0, False))
        high = self.start[1].get(name, (0, 0, False))
        was_there = low[2] and high[2] and low[0] == high[0]
        assert low[:2] <= (life, n - 1) <= high[:2] or (
            n == 1 and life > low[0] and not was_there), (
                str(self), name, event, low, high)

    def check(self):
        """How many events it got."""
        total = 0
        for name, items in self.seen.items():
            last, noticed, gap = None, False, 0
            for item in items:
                what = str(self), name, last, noticed, gap, item
                if item == "deleted":
                    noticed, gap = True, 0
                    continue
                if item[0] == "gap":
                    low = 1 if noticed or not last else last[1] + 1
                    assert item[1] > max(low, gap - 1), what
                    gap = item[1]
                    continue
                total += 1
                if gap:
                    assert item[1] == gap, what
                    assert not last or (item[0] > last[0]) == noticed, what
                elif last is None:
                    self.check_first(name, item, noticed)
                elif noticed:
                    assert item[0] > last[0] and item[1] == 1, what
                else:
                    assert item == (last[0], last[1] + 1), what
                last, noticed, gap = item, False, 0
        return total
