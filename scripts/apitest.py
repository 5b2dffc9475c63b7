#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Load for a running node or cluster, and a check of all that was written.

Threads append, read, list, patch and listen at the same time, each event of its
own kind; in the end every stream is read again: what was acknowledged must be
there once, with its number, time and bytes. A line for each thread says what it
did. Exit code 1: a check failed, or the server could not be used.

Options beyond those of the list below have no meaning to older versions of this
program, whose options mean what they meant."""
import argparse
import http.client
import json
import os
import random
import sys
import threading
import time
import urllib.parse

FAILURES_SHOWN = 20
RETRIES = 300  # of what was refused or is not known, 0.1 s apart
GIVE_UP = 3  # streams that cannot be read in the end
JSON = {"Content-Type": "application/json"}
NDJSON = {"Accept": "application/x-ndjson"}


def parse_args():
    p = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("-H", "--host", default="127.0.0.1")
    p.add_argument("-P", "--port", type=int, default=8080)
    p.add_argument("-u", "--username", default="admin")
    p.add_argument("-p", "--password", default="secret")
    p.add_argument("-t", "--token", help="instead of user and password")
    p.add_argument("-B", "--buckets", type=int, default=2,
                   help="how many buckets are used")
    p.add_argument("-S", "--streams", type=int, default=4,
                   help="how many streams in each of them")
    p.add_argument("-s", "--sleep", type=float, default=0,
                   help="seconds between two requests of a thread")
    p.add_argument("-i", "--iterations", type=int, default=100,
                   help="requests of each thread")
    p.add_argument("-I", "--inserters", type=int, default=4)
    p.add_argument("-L", "--listers", type=int, default=1)
    p.add_argument("-R", "--requesters", type=int, default=2)
    p.add_argument("-Q", "--patchers", type=int, default=1)
    p.add_argument("--listeners", type=int, default=0)
    p.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    p.add_argument("--keep", action="store_true",
                   help="do not delete in the end what was written")
    return p.parse_args()


class Failed(Exception):
    """The server did what it must not."""


class NoAnswer(Failed):
    """Or it did nothing at all."""


class Run:
    """What all threads share."""

    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.failures = []
        self.token = args.token
        name = f"apitest-{os.getpid():x}-{int(time.time()):x}"
        self.buckets = [f"{name}-{k}" for k in range(args.buckets)]
        self.streams = [(b, f"stream {k}") for b in self.buckets
                        for k in range(args.streams)]
        self.docs = [(b, f"document {k}") for b in self.buckets
                     for k in range(args.streams)]
        self.acked = {s: {} for s in self.streams}  # seq -> (t, body)
        self.unknown = {s: set() for s in self.streams}  # bodies
        self.patched = {s: {} for s in self.docs}  # member -> last value
        self.patches = {s: 0 for s in self.docs}
        self.writers_done = threading.Event()

    def fail(self, text):
        with self.lock:
            self.failures.append(text)

    def login(self):
        client = Client(self)
        client.request("GET", "/ping")
        if self.token:
            return
        status, _, data = client.request(
            "POST", "/sessions",
            json.dumps({"username": self.args.username,
                        "password": self.args.password}), JSON)
        if status != 201:
            raise Failed(f"POST /sessions: {status} {data[:200]}")
        self.token = json.loads(data)["token"]

    def newest_acked(self, stream):
        with self.lock:
            return max(self.acked[stream], default=0)


def path(*names):
    return "/streams/" + "/".join(urllib.parse.quote(n, safe="")
                                  for n in names)


class Client:
    """One connection that is made again when it breaks."""

    def __init__(self, run):
        self.run = run
        self.connection = None
        self.took = []

    def request(self, method, target, body=None, headers=None):
        h = dict(headers or {})
        if self.run.token:
            h["x-session"] = self.run.token
        start = time.monotonic()
        if not self.connection:
            self.connection = http.client.HTTPConnection(
                self.run.args.host, self.run.args.port, timeout=60)
        try:
            self.connection.request(method, target, body, h)
            r = self.connection.getresponse()
            data = r.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        self.took.append(time.monotonic() - start)
        return r.status, r.headers, data

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def get(self, target, headers=None):
        """A read may be asked again until it is answered."""
        for _ in range(RETRIES):
            try:
                status, head, data = self.request("GET", target, None, headers)
                if status == 200:
                    return head, data
                if status not in (429, 503):
                    raise Failed(f"GET {target}: {status} {data[:200]}")
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)
        raise NoAnswer(f"GET {target}: no answer")


class Thread(threading.Thread):
    """Does `step` for each iteration, and says how that went."""
    kind = "?"

    def __init__(self, run, k):
        super().__init__(daemon=True)
        self.run_, self.k = run, k
        self.client = Client(run)
        self.rng = random.Random(f"{run.args.seed} {self.kind} {k}")
        self.counts = {}
        self.seconds = 0

    def count(self, what, n=1):
        self.counts[what] = self.counts.get(what, 0) + n

    def work(self):
        for i in range(self.run_.args.iterations):
            self.step(i)
            if self.run_.args.sleep:
                time.sleep(self.run_.args.sleep)

    def run(self):
        start = time.monotonic()
        try:
            self.work()
        except Exception as e:
            self.run_.fail(f"{self.kind} {self.k}: "
                           f"{e if isinstance(e, Failed) else repr(e)}")
            self.count("failed")
        self.seconds = time.monotonic() - start
        self.client.close()

    def summary(self):
        took = sorted(self.client.took) or [0]
        counts = ", ".join(f"{n} {what}" for what, n in
                           sorted(self.counts.items()))
        return (f"{self.kind:<9} {self.k:>3}: {len(self.client.took):>6} "
                f"requests in {self.seconds:6.1f} s, median "
                f"{took[len(took) // 2] * 1000:7.2f} ms, p99 "
                f"{took[len(took) * 99 // 100] * 1000:7.2f} ms, most "
                f"{took[-1] * 1000:7.2f} ms; {counts or 'nothing'}")


class Inserter(Thread):
    kind = "inserter"

    def step(self, i):
        self.insert(i, self.rng.choice(self.run_.streams))

    def insert(self, i, stream):
        run = self.run_
        body = json.dumps({"inserter": self.k, "n": i,
                           "text": "x" * self.rng.randrange(200)})
        try:
            status, head, data = self.client.request(
                "POST", path(*stream), body, JSON)
        except (OSError, http.client.HTTPException):
            status = 504
        if status == 201:
            meta = json.loads(data)["meta"]
            with run.lock:
                twice = meta["id"] in run.acked[stream]
                run.acked[stream][meta["id"]] = (meta["t"], body)
            if twice:
                raise Failed(f"{stream}: {meta['id']} was given twice")
            if head["Location"] != f"{path(*stream)}/{meta['id']}":
                raise Failed(f"{stream}: Location is {head['Location']}")
            self.count("stored")
        elif status == 504:
            with run.lock:
                run.unknown[stream].add(body)
            self.count("of unknown outcome")
        elif status in (429, 503):
            self.count("refused")
        else:
            raise Failed(f"POST {stream}: {status} {data[:200]}")


def check_events(stream, events):
    """They follow each other in number and time."""
    for before, after in zip(events, events[1:]):
        if after["meta"]["id"] != before["meta"]["id"] + 1 or \
                after["meta"]["t"] < before["meta"]["t"]:
            raise Failed(f"{stream}: {after['meta']} comes after "
                         f"{before['meta']}")


class Requester(Thread):
    kind = "requester"

    def step(self, i):
        run = self.run_
        stream = self.rng.choice(run.streams)
        limit = self.rng.randrange(1, 50)
        floor = run.newest_acked(stream)
        head, data = self.client.get(f"{path(*stream)}?limit={limit}")
        events = json.loads(data)
        check_events(stream, events)
        newest = events[-1]["meta"]["id"] if events else 0
        if newest < floor:
            raise Failed(f"{stream}: {floor} was acknowledged, but {newest} "
                         "is the newest")
        if int(head["Iorio-Last"]) != newest or len(events) != min(limit,
                                                                   newest):
            raise Failed(f"{stream}: {len(events)} events to {newest}, asked "
                         f"for {limit}, Iorio-Last {head['Iorio-Last']}")
        with run.lock:
            known = {e["meta"]["id"]: run.acked[stream].get(e["meta"]["id"])
                     for e in events}
        for e in events:
            want = known[e["meta"]["id"]]
            if want and (e["meta"]["t"], e["data"]) != (
                    want[0], json.loads(want[1])):
                raise Failed(f"{stream}: {e['meta']} is another event")
        self.count("events", len(events))


class Lister(Thread):
    kind = "lister"

    def names(self, target):
        names, target = [], target + "?limit=1000"
        while target:
            head, data = self.client.get(target)
            answer = json.loads(data)
            if answer["status"] != "ok":
                self.count("partial")
                return None
            names += answer["data"]
            link = head["Link"] or ""
            target = link[1:link.index(">")] if 'rel="next"' in link else None
        if names != sorted(set(names), key=str.encode):
            raise Failed(f"{target} is not in order")
        return names

    def step(self, i):
        run = self.run_
        bucket = self.rng.choice(run.buckets)
        with run.lock:
            streams = {s for b, s in run.streams
                       if b == bucket and run.acked[b, s]}
        names = self.names(path(bucket))
        if names is not None and not streams <= set(names):
            raise Failed(f"{bucket}: {streams - set(names)} are not listed")
        buckets = self.names("/buckets")
        if streams and buckets is not None and bucket not in buckets:
            raise Failed(f"{bucket} is not listed")
        self.count("names", len(names or ()))


class Patcher(Thread):
    """Writes a member of its own into documents that others patch too."""
    kind = "patcher"

    def make(self, stream):
        status, _, data = self.client.request(
            "POST", path(*stream), "{}", {**JSON, "If-None-Match": "*"})
        if status not in (201, 412):
            raise Failed(f"POST {stream}: {status} {data[:200]}")

    def step(self, i):
        run = self.run_
        stream = self.rng.choice(run.docs)
        patch = json.dumps([{"op": "add", "path": f"/patcher{self.k}",
                             "value": i}])
        for _ in range(RETRIES):
            status, _, data = self.client.request(
                "PATCH", path(*stream), patch,
                {"Content-Type": "application/json-patch+json"})
            if status == 200:
                with run.lock:
                    run.patched[stream][f"patcher{self.k}"] = i
                    run.patches[stream] += 1
                self.count("stored")
                return
            if status == 404:
                self.make(stream)
            elif status == 504:
                self.count("of unknown outcome")
                with run.lock:
                    run.patches[stream] = None
                return
            elif status in (409, 429, 503):
                self.count("conflicts" if status == 409 else "refused")
                time.sleep(self.rng.random() * 0.1)
            else:
                raise Failed(f"PATCH {stream}: {status} {data[:200]}")
        raise Failed(f"PATCH {stream}: {status} again and again")


class Listener(Thread):
    """Server-sent events of one stream from its first event on: all of them,
    in order."""
    kind = "listener"

    def work(self):
        run = self.run_
        stream = run.streams[self.k % len(run.streams)]
        target = "/listen?" + urllib.parse.urlencode(
            {"s": ":".join(stream) + ":1"}, quote_via=urllib.parse.quote)
        c = http.client.HTTPConnection(run.args.host, run.args.port,
                                       timeout=60)
        c.request("GET", target, headers={"x-session": run.token,
                                          "Accept": "text/event-stream"})
        r = c.getresponse()
        if r.status != 200:
            raise Failed(f"GET {target}: {r.status} {r.read()[:200]}")
        next_id = 1
        while not (run.writers_done.is_set() and
                   next_id > run.newest_acked(stream)):
            line = r.readline()
            if not line:
                raise Failed(f"{stream}: the server ended after "
                             f"{next_id - 1}")
            if not line.startswith(b"data:"):
                continue
            for e in json.loads(line[5:]):
                if "notice" in e or e["meta"]["id"] != next_id:
                    raise Failed(f"{stream}: {e} instead of {next_id}")
                with run.lock:
                    want = run.acked[stream].get(next_id)
                if want and e["data"] != json.loads(want[1]):
                    raise Failed(f"{stream}: {next_id} is another event")
                next_id += 1
                self.count("events")
        c.close()


# --- the end -----------------------------------------------------------------

def read_all(client, stream):
    _, data = client.get(path(*stream) + "?from=1", NDJSON)
    return [json.loads(line) for line in data.splitlines()]


def verify_stream(run, client, stream):
    events = read_all(client, stream)
    check_events(stream, events)
    there = {e["meta"]["id"]: e for e in events}
    if events and events[0]["meta"]["id"] != 1:
        raise Failed(f"{stream} begins with {events[0]['meta']}")
    for seq, (t, body) in run.acked[stream].items():
        e = there.get(seq)
        if not e or e["meta"]["t"] != t or e["data"] != json.loads(body):
            raise Failed(f"{stream}: {seq} was acknowledged, but is {e}")
    maybe = [json.loads(b) for b in run.unknown[stream]]
    for e in events:
        if e["meta"]["id"] in run.acked[stream]:
            continue
        if e["data"] not in maybe:
            raise Failed(f"{stream}: nobody wrote {e}")
        maybe.remove(e["data"])
    return len(events)


def verify_document(run, client, stream):
    events = read_all(client, stream)
    check_events(stream, events)
    patches = read_all(client, (stream[0], stream[1] + "-$patch"))
    check_events(stream, patches)
    if len(patches) != max(len(events) - 1, 0):
        raise Failed(f"{stream}: {len(events)} versions of {len(patches)} "
                     "patches")
    if run.patches[stream] is not None and \
            len(patches) != run.patches[stream]:
        raise Failed(f"{stream}: {len(patches)} patches instead of "
                     f"{run.patches[stream]}")
    newest = events[-1]["data"] if events else {}
    for member, value in run.patched[stream].items():
        if newest.get(member, -1) < value:
            raise Failed(f"{stream}: {member} is {newest.get(member)} instead "
                         f"of {value}")
    return len(events) + len(patches)


def verify(run):
    client, events, unread = Client(run), 0, 0
    for streams, check in ((run.streams, verify_stream),
                           (run.docs, verify_document)):
        for stream in streams:
            try:
                events += check(run, client, stream)
            except Failed as e:
                run.fail(str(e))
                unread += isinstance(e, NoAnswer)
            if unread == GIVE_UP:
                return events
    client.close()
    return events


def clean_up(run):
    client = Client(run)
    for b in run.buckets:
        client.request("DELETE", "/buckets/" + urllib.parse.quote(b))
    client.close()


def start_all(run):
    a = run.args
    writers = [Inserter(run, k) for k in range(a.inserters)]
    writers += [Patcher(run, k) for k in range(a.patchers)]
    readers = [Requester(run, k) for k in range(a.requesters)]
    readers += [Lister(run, k) for k in range(a.listers)]
    listeners = [Listener(run, k) for k in range(a.listeners)]
    for t in listeners + writers + readers:
        t.start()
    for t in writers:
        t.join()
    run.writers_done.set()
    if listeners:  # the last event: they wait for one
        for stream in run.streams:
            Inserter(run, -1).insert(0, stream)
    for t in readers + listeners:
        t.join()
    return writers + readers + listeners


def main():
    run = Run(parse_args())
    print(f"http://{run.args.host}:{run.args.port}, {len(run.buckets)} buckets "
          f"with {run.args.streams} streams each, seed {run.args.seed}")
    try:
        run.login()
    except (Failed, OSError, http.client.HTTPException) as e:
        print(f"cannot begin: {e}")
        return 1
    start = time.monotonic()
    for t in start_all(run):
        print(t.summary())
    seconds = time.monotonic() - start
    events = verify(run)
    if not run.args.keep:
        clean_up(run)
    for text in run.failures[:FAILURES_SHOWN]:
        print("failed: " + text)
    print(f"{events} events in {seconds:.1f} s, "
          f"{len(run.failures)} checks failed")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
