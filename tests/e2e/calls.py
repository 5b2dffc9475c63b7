# SPDX-License-Identifier: AGPL-3.0-or-later
"""Random calls of the whole streams API, held against oracle.py: one node, which is
killed now and then; three, of which the leader of a stream that is written to
dies."""
import http.client
import random
import threading
import time

from cluster import Cluster
from node import Node
from oracle import (JSON, JSON_PATCH, MERGE, NDJSON, SUFFIX, Call, Event,
                    Oracle, PolicyCall, Wrong, must)

OUTCOME_UNKNOWN, NOT_DONE = 504, 503
BUCKETS = ["b", "two words", "é/ü"]
NAMES = ["s", "t", "doc", "a/b", ".", "long" * 60, "s" + SUFFIX]
SCALARS = ["null", "true", "0", "-1.50", "12345678901234567890123", "1e3",
           '"x"', '""', r'"\u00e9\n"', '"é"', r'"\ud83d"']
TYPES = ["text/plain", "image/png", "application/octet-stream"]


class Maker:
    """Random calls; it looks into the oracle only to make them sensible."""

    def __init__(self, rng, oracle, policies=0):
        """Of a thousand calls, so many change POLICIES."""
        self.rng, self.oracle = rng, oracle
        self.policies = policies
        self.n = 0
        self.used = []  # calls with keys

    def value(self, depth=0):
        rng, kind = self.rng, self.rng.randrange(6)
        if kind < 3 or depth > 3:
            return rng.choice(SCALARS)
        n = rng.randrange(4)
        blank = rng.choice(["", "", "", " ", "\n", "\r\n\t"])
        if kind == 3:
            return "[" + ",".join(blank + self.value(depth + 1)
                                  for _ in range(n)) + "]"
        return "{" + ",".join(
            f'{blank}"{rng.choice("aabcd/~")}":{self.value(depth + 1)}'
            for _ in range(n)) + blank + "}"

    def body(self):
        self.n += 1
        if self.rng.randrange(20) == 0:
            return self.rng.choice([b"", b"{", b"[1,]", b"\xff", b"1 2",
                                    b"nul"])
        if self.rng.randrange(3):
            return b'{"n":%d,"v":%s}' % (self.n, self.value().encode())
        return self.value().encode()

    def lines(self):
        rng, end = self.rng, self.rng.choice([b"\n", b"\r\n", b"\n\n"])
        n = rng.choice([0, 1, 2, 5, 40])
        lines = [self.value().replace("\n", " ").encode() for _ in range(n)]
        if rng.randrange(10) == 0:
            lines.append(b"{")
        return end.join(lines) + rng.choice([b"", end])

    def pointer(self):
        return "".join("/" + self.rng.choice(
            ["a", "b", "c", "d", "n", "v", "0", "1", "-", "01", "~1", "~0"])
            for _ in range(self.rng.randrange(4)))

    def patch(self):
        ops = []
        for _ in range(self.rng.choice([0, 1, 1, 2, 3])):
            op = self.rng.choice(["add", "add", "add", "remove", "replace",
                                  "move", "copy", "test", "spam"])
            ops.append('{"op":"%s","path":"%s","from":"%s"%s}' % (
                op, self.pointer(), self.pointer(),
                ',"value":' + self.value() if self.rng.randrange(9) else ""))
        return ("[" + ", ".join(ops) + "]").encode()

    def name(self):
        return self.rng.choice(BUCKETS), self.rng.choice(NAMES)

    def write(self):
        rng, name = self.rng, self.name()
        newest = len(self.oracle.stream(name).events)
        expect = rng.choice([None] * 6 + [newest, newest, 0, newest + 1])
        kind = rng.randrange(10)
        if kind < 5:
            type_, body = JSON, self.body()
        elif kind < 7:
            type_, body = NDJSON, self.lines()
        elif kind < 9:
            type_, body = rng.choice(TYPES), rng.randbytes(rng.randrange(300))
        else:
            type_, body = None, b"1"
        method = rng.choice(["POST", "POST", "PUT"])
        return self.with_key(Call(method, name, body, type_, expect))

    def patch_call(self):
        rng, name = self.rng, self.name()
        newest = len(self.oracle.stream(name).events)
        expect = rng.choice([None] * 9 + [newest, newest + 1])
        if rng.randrange(3) == 0:
            return self.with_key(Call("PATCH", name, self.value().encode(),
                                      MERGE, expect))
        type_ = rng.choice([JSON_PATCH] * 20 + [JSON, None])
        return self.with_key(Call("PATCH", name, self.patch(), type_, expect))

    def with_key(self, call):
        """Perhaps with a key; perhaps a call that was made already, or with
        its key."""
        if self.rng.randrange(4):
            return call
        old = [c for c in self.used if c.name == call.name]
        if old and self.rng.randrange(2):
            again = self.rng.choice(old[-20:])
            if self.rng.randrange(3):
                return again
            call.key = again.key
            return call
        self.n += 1
        call.key = f"key {self.n}"
        self.used.append(call)
        return call

    def read(self):
        rng, name = self.rng, self.name()
        events = self.oracle.stream(name).events
        newest, params = len(events), {}

        def seq():
            return str(rng.choice([0, 1, 2, -1, -3, newest, newest - 1,
                                   newest + 1, newest // 2]))

        def moment():
            return str(rng.choice(events).t + rng.choice([-1, 0, 1])
                       if events else 1)
        for key, value in (("limit", seq), ("from", seq), ("to", seq),
                           ("since", moment), ("until", moment)):
            if rng.randrange(3) == 0:
                params[key] = value()
        if rng.randrange(20) == 0:
            params[rng.choice(["limit", "from", "to"])] = rng.choice(
                ["", "x", "1.5"])
        if rng.randrange(3) == 0:
            params["order"] = rng.choice(["asc", "desc", "desc"])
        accept = rng.choice([None, JSON, NDJSON])
        tag = None
        if "to" in params and rng.randrange(2):
            seqs = self.oracle.select(name, params, accept == NDJSON)
            tag = seqs and self.oracle.tags.get((
                name, self.oracle.stream(name).life, min(seqs), max(seqs),
                (accept == NDJSON, params.get("order") == "desc")))
        method = "GET" if rng.randrange(10) else "HEAD"
        return Call(method, name, params=params, accept=accept,
                    if_none_match=tag or None)

    def raw(self):
        name = self.name()
        newest = len(self.oracle.stream(name).events)
        return Call("GET", name, seq=self.rng.randrange(newest + 3),
                    what="raw")

    def names(self):
        rng = self.rng
        params = {}
        if rng.randrange(3) == 0:
            params["limit"] = str(rng.choice([0, 1, 2, 5]))
        if rng.randrange(3) == 0:
            params["prefix"] = rng.choice(["s", "", "lo", "t", "x"])
        if rng.randrange(3) == 0:
            params["after"] = rng.choice(NAMES + BUCKETS)
        if rng.randrange(2):
            params["detail"] = "1"
        return Call("GET", None, params=params, what="list",
                    bucket=rng.choice([None] + BUCKETS + ["none"]))

    def delete(self):
        self.used = []  # what becomes of keys then is not said
        if self.rng.randrange(8) == 0:
            return Call("DELETE", None, bucket=self.rng.choice(BUCKETS),
                        what="delete")
        return Call("DELETE", self.name(), what="delete")

    def policy(self):
        """Of a bucket or a stream, or none any more."""
        rng, bucket = self.rng, self.rng.choice(BUCKETS)
        stream = rng.choice(NAMES) if rng.randrange(2) else None
        limits = {}
        if rng.randrange(4):
            limits["max_events"] = rng.choice([1, 2, 3, 10, 10, 50, 200])
        if rng.randrange(3) == 0:
            limits["max_bytes"] = rng.choice([1, 30, 300, "1KB", "4KB"])
        if rng.randrange(6) == 0:
            limits["max_age"] = "1d"
        return PolicyCall((bucket, stream), limits or None)

    def call(self):
        if self.rng.randrange(1000) < self.policies:
            return self.policy()
        kind = self.rng.randrange(100)
        for below, make in ((35, self.write), (50, self.patch_call),
                            (80, self.read), (90, self.raw), (97, self.names),
                            (100, self.delete)):
            if kind < below:
                return make()


# --- asking and judging ------------------------------------------------------

def ask(node, call, token):
    """(status, headers, bytes); no answer: of unknown outcome."""
    path = call.target()
    if call.what == "delete" and call.bucket is not None:
        path = "/buckets/" + path[len("/streams/"):]
    try:
        c = node.connect(15)
        c.connect()
    except OSError:
        return NOT_DONE, {}, b""
    try:
        return node.request(call.method, path, call.body or None,
                            call.headers(), token, c)
    except (OSError, http.client.HTTPException):
        return OUTCOME_UNKNOWN, {}, b""
    finally:
        c.close()


def judge(oracle, call, status, headers, data):
    if call.what == "policy":
        oracle.check_policy(call, status, data)
    elif call.method in Call.WRITES:
        oracle.check_write(call, status, headers, data)
    elif call.what == "delete":
        must(status == 204, call, status, data)
        for name in [n for n in oracle.streams
                     if n == call.name or n[0] == call.bucket]:
            oracle.delete(name)
    elif call.what == "read":
        oracle.check_read(call, status, headers, data)
    elif call.what == "raw":
        oracle.check_raw(call, status, headers, data)
    else:
        oracle.check_list(call, status, headers, data)


def one_node(ioriod, seed, seconds, policies=0):
    """It is killed now and then."""
    print(f"# ORACLE_SEED={seed}")
    rng, oracle = random.Random(seed), Oracle()
    with Node(ioriod, {"workers": 2}) as node:
        maker = Maker(rng, oracle, policies)
        token, n, kills, seen = node.token, 0, 0, {}
        end = time.monotonic() + seconds
        crash = time.monotonic() + seconds / 3
        while time.monotonic() < end:
            call = maker.call()
            answer = ask(node, call, token)
            judge(oracle, call, *answer)
            n += 1
            seen[call.method, answer[0]] = seen.get(
                (call.method, answer[0]), 0) + 1
            if time.monotonic() > crash:
                crash += seconds / 3
                kills += 1
                node.kill()
                node.start()
        print(f"# {n} calls, {kills} crashes, "
              f"{sum(len(s.events) for s in oracle.streams.values())} events")
        print("# " + ", ".join(f"{m} {s}: {k}" for (m, s), k in
                               sorted(seen.items())))
        assert n > 30


# --- a cluster whose leaders die ---------------------------------------------

class Survivor:
    """A client that finds out what became of what it was not told."""

    def __init__(self, cluster, oracle, rng):
        self.cluster, self.oracle, self.rng = cluster, oracle, rng
        self.token = cluster.nodes[0].token
        self.unknown = self.late = 0
        self.pending = {}  # name -> calls that may have been done
        self.lost = set()  # streams of which nothing is known any more

    def node(self):
        return self.rng.choice([n for n in self.cluster.nodes
                                if n.process.poll() is None])

    def do(self, call):
        """The answer to CALL, asked until it is known, or None: it may have
        been done."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            node = self.node()
            answer = ask(node, call, self.token)
            partial = call.what == "list" and b'"partial"' in answer[2]
            if call.what == "policy" and b'"pending"' in answer[2]:
                partial = True  # until it is in force everywhere
            if answer[0] not in (NOT_DONE, OUTCOME_UNKNOWN) and not partial:
                return answer
            if answer[0] == OUTCOME_UNKNOWN and call.what == "policy":
                continue
            if answer[0] == OUTCOME_UNKNOWN and call.method in Call.WRITES:
                self.unknown += 1
                if not call.key:
                    return None
                call.again = True
            if answer[0] == OUTCOME_UNKNOWN and call.what == "delete":
                return None
            time.sleep(0.05)
        raise AssertionError(f"no answer for long from {node.name}: {call}: "
                             f"{answer[0]} {answer[2]}")

    def read_all(self, name):
        """{seq: (t, Event)} of what is visible."""
        _, head, _ = self.do(Call("HEAD", name))
        out = {}
        for seq in range(int(head["Iorio-First"]),
                         int(head["Iorio-Last"]) + 1):
            _, head, body = self.do(Call("GET", name, seq=seq, what="raw"))
            kind = head["Content-Type"]
            out[seq] = int(head["Iorio-Time"]), Event(
                body, None if kind == JSON else kind)
        return out

    def settle(self, name):
        """What may have been done to NAME has been done or never will be, once
        another write is there."""
        fence = Call("POST", name, b'"fence %d"' % self.rng.randrange(1 << 60),
                     JSON)
        self.pending[name].append(fence)
        while not (answer := self.do(fence)):
            self.pending[name].append(fence)
        must(answer[0] == 201, answer)
        self.adopt(name)
        log = (name[0], name[1] + SUFFIX)
        if log in self.oracle.streams and log in self.pending:
            self.settle(log)

    def adopt(self, name):
        """Takes over what is there, if it is what may have been done."""
        there, s = self.read_all(name), self.oracle.make(name)
        first, last = min(there), max(there)
        must(last >= len(s.events), name, "lost", last, len(s.events))
        must(first >= s.first, name, "is visible again", first)
        if first > len(s.events) + 1:
            self.lost.add(name)  # what was done is hidden already
            return
        for seq in range(first, len(s.events) + 1):
            t, e = there[seq]
            known = s.events[seq - 1]
            must(e == known and t == known.t, name, "changed", e.data)
        while len(s.events) < last:
            self.adopt_next(name, s, there)
        must(first == s.first or name in self.pending, name, first, s.first)
        s.first = max(first, s.first)

    def adopt_next(self, name, s, there):
        n = len(s.events)
        for call in self.pending[name]:
            will = self.oracle.predict(call)
            got = [there[n + 1 + i][1] for i in range(len(will.events))
                   if n + 1 + i in there]
            if got and will.status in (200, 201) and got == will.events:
                self.oracle.commit(call, will, {"t": there[n + 1][0]})
                self.pending[name].remove(call)
                return
        raise Wrong(name, "nobody wrote", n + 1, there[n + 1][1].data)

    def step(self, call):
        if call.name in self.lost or (call.what == "list" and self.lost):
            return
        answer = self.do(call)
        if not answer and call.what == "delete":
            # It may come late, and take along what is written meanwhile.
            self.lost |= {n for n in self.oracle.streams
                          if n == call.name or n[0] == call.bucket}
            return
        if not answer:
            self.pending.setdefault(call.name, []).append(call)
            self.settle(call.name)
            return
        try:
            judge(self.oracle, call, *answer)
        except Wrong:
            if call.name not in self.pending or call.method in Call.WRITES:
                raise
            self.late += 1  # an old one came late
            self.adopt(call.name)
            judge(self.oracle, call, *self.do(call))


class Asking(threading.Thread):
    """Calls until it is told to stop.  (Nodes are started by the main thread:
    they end with the thread that did.)"""

    def __init__(self, client, maker):
        super().__init__(daemon=True)
        self.client, self.maker = client, maker
        self.done = threading.Event()
        self.n, self.error = 0, None
        self.start()

    def run(self):
        try:
            while not self.done.is_set():
                self.client.step(self.maker.call())
                self.n += 1
        except BaseException as e:
            self.error = e
            self.done.set()

    def stop(self):
        self.done.set()
        self.join()
        if self.error:
            raise self.error


def kill_at_random(cluster, rng, asking, seconds):
    """How often, in so many SECONDS; then all are up."""
    kills, end = 0, time.monotonic() + seconds
    while time.monotonic() < end and not asking.done.is_set():
        time.sleep(rng.uniform(0.3, 1.5))
        node = rng.choice(cluster.nodes)
        node.kill()
        kills += 1
        time.sleep(rng.uniform(0, 1.5))
        node.start(wait=False)
        node.wait_ready()
    return kills


def three_nodes(ioriod, seed, seconds, policies=0, then=None):
    """They die in turn; in the end each says the same. THEN gets the
    cluster."""
    print(f"# ORACLE_SEED={seed}")
    rng, oracle = random.Random(seed + 1), Oracle()
    with Cluster(ioriod, 3, {"workers": 1, "request.timeout": "2s"}) as \
            cluster:
        cluster.form()
        client = Survivor(cluster, oracle, rng)
        asking = Asking(client, Maker(rng, oracle, policies))
        kills = kill_at_random(cluster, random.Random(seed + 2), asking,
                               seconds)
        asking.stop()
        print(f"# {asking.n} calls, {kills} kills, {client.unknown} of "
              f"unknown outcome, {client.late} late, {len(client.lost)} "
              "streams lost sight of")
        # All of it is there through every node.
        for node in cluster.nodes:
            client.node = lambda: node
            for name in list(oracle.streams):
                if name not in client.lost:
                    client.step(Call("GET", name, params={"from": "1"},
                                     accept=NDJSON))
        assert asking.n > 20 and kills > 1
        if then:
            then(cluster)
