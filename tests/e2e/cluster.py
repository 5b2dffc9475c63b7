# SPDX-License-Identifier: AGPL-3.0-or-later
"""Several real nodes as one cluster, and clients that keep a history of it."""
import hashlib
import http.client
import json
import random
import shutil
import subprocess
import tempfile
import threading
import time

from history import MAYBE, NEVER, OK, Read, Write
from node import Node, parse

NDJSON = {"Accept": "application/x-ndjson"}
Q = 64


def group_of(stream):
    """The group of "bucket/stream"."""
    h = b"\x83\x68\x02"
    for word in stream.encode().split(b"/"):
        h += b"\x6d" + len(word).to_bytes(4, "big") + word
    return ((hashlib.sha1(h).digest()[0] >> 2) + 1) % Q


def parse_events(data):
    """[(seq, t, body)] of NDJSON."""
    out = []
    for line in data.splitlines():
        head, _, body = line.partition(b', "data":')
        meta = json.loads(head + b"}")["meta"]
        out.append((meta["id"], meta["t"], body[:-1]))
    return out


def eventually(check, seconds=60, every=0.1):
    """What CHECK returns once it is true; its last exception else."""
    end = time.monotonic() + seconds
    while True:
        try:
            got = check()
            if got:
                return got
            error = AssertionError(f"not within {seconds} s: {check}")
        except (OSError, AssertionError, http.client.HTTPException,
                subprocess.TimeoutExpired) as e:
            error = e
        if time.monotonic() > end:
            raise error
        time.sleep(every)


class Cluster:
    """N nodes iorio1 ...; each a cluster of its own until `form`."""

    def __init__(self, ioriod, n=4, options=None):
        self.ioriod = ioriod
        self.run = tempfile.mkdtemp(prefix="iorio-run-")
        self.options = options or {}
        self.nodes = []
        for _ in range(n):
            self.add()

    def add(self, **options):
        node = self.make(len(self.nodes) + 1, options)
        self.nodes.append(node)
        return node

    def make(self, k, options):
        node = Node(self.ioriod, {"nodename": f"iorio{k}@127.0.0.1",
                                  "cluster.runtime_dir": self.run,
                                  **self.options, **options})
        node.name = node.options["nodename"]
        return node

    def __enter__(self):
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready()
        return self

    def __exit__(self, kind, *_):
        if kind:
            for node in self.nodes:
                print(f"# --- {node.name}")
                for line in node.console()[-2500:].splitlines():
                    print("# " + line)
        for node in self.nodes:
            node.close()
        shutil.rmtree(self.run, ignore_errors=True)

    def admin(self, k, *words, timeout=70):
        """(exit code, text) of iorio-admin of node K (1, 2, ...)."""
        return admin(self.nodes[k - 1], *words, timeout=timeout)

    def json(self, k, *words):
        code, text = self.admin(k, *words, "--format=json")
        assert code == 0, (code, text)
        return json.loads(text)

    def form(self):
        self.form_begin()
        self.settle()
        return self

    def form_begin(self):
        for k in range(2, len(self.nodes) + 1):
            code, text = self.admin(k, "cluster", "join", self.nodes[0].name)
            assert code == 0, text
        eventually(lambda: self.admin(1, "cluster", "plan")[0] == 0)
        assert self.admin(1, "cluster", "commit") == (
            0, "Cluster changes committed\n")

    def settle(self, k=1, seconds=90):
        """Until all has moved, everybody is there and goes by one ring."""
        def settled():
            members = self.json(k, "member-status")["members"]
            return (all(m["pending"] is None and m["up"] for m in members) and
                    self.admin(k, "transfers")[1] == "No transfers active\n"
                    and self.admin(k, "ringready")[0] == 0)
        eventually(settled, seconds)

    def owners(self, k=1):
        return self.json(k, "ring-status")["owners"]

    def without_majority(self, dead, k=1):
        """The groups of whose replicas the nodes DEAD have too many."""
        owners, names = self.owners(k), {node.name for node in dead}
        return {g for g in range(len(owners))
                if len(names & set(replicas(owners, g))) > 1}

    def events(self, k, stream, seconds=30):
        """[(seq, t, body)], through node K."""
        node = self.nodes[k - 1]

        def read():
            status, _, data = node.request(
                "GET", f"/streams/{stream}?from=1", headers=NDJSON)
            assert status == 200, (node.name, stream, status, data)
            return [parse_events(data)]
        return eventually(read, seconds)[0]


def admin(node, *words, stdin=None, timeout=70):
    p = subprocess.run([f"{node.root}/bin/iorio-admin", *words], text=True,
                       input=stdin or "",
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=timeout)
    return p.returncode, p.stdout


def replicas(owners, g, n=3):
    """The names that hold group G."""
    out = []
    for i in range(len(owners)):
        name = owners[(g + i) % len(owners)]
        if name not in out:
            out.append(name)
    return out[:n]


class Client:
    """A connection to one node, whose answers go into the history."""

    def __init__(self, history, node, timeout=8):
        self.history, self.node, self.timeout = history, node, timeout
        self.token = node.token
        self.connection = None

    def ask(self, method, path, body=None, headers=None):
        """(status, bytes); status NEVER, MAYBE where there is no answer."""
        try:
            if not self.connection:
                self.connection = self.node.connect(self.timeout)
                self.connection.connect()
        except OSError:
            self.connection = None
            return NEVER, b""
        try:
            status, _, data = self.node.request(
                method, path, body, headers, self.token, self.connection)
            if status == 401:  # of the cluster that the node was in before
                self.token = self.node.login()
                status, _, data = self.node.request(
                    method, path, body, headers, self.token, self.connection)
            if status == 502:  # a balancer's: the node broke off
                return MAYBE, data
            return status, data
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            return MAYBE, b""

    def write(self, stream, body):
        begun = time.monotonic()
        status, data = self.ask("POST", "/streams/" + stream, body,
                                {"Content-Type": "application/json"})
        ended = time.monotonic()
        seq = t = None
        if status == 201:
            meta = parse(data)["meta"]
            outcome, seq, t = OK, meta["id"], meta["t"]
        else:
            outcome = {503: NEVER, 504: MAYBE}.get(status, status)
        assert outcome in (OK, NEVER, MAYBE), (status, data)
        self.history.wrote(stream, Write(body, begun, ended, outcome, seq, t,
                                         self.node.name))
        return status

    def read(self, stream, limit=3):
        begun = time.monotonic()
        status, data = self.ask("GET", f"/streams/{stream}?limit={limit}",
                                headers=NDJSON)
        ended = time.monotonic()
        assert status in (200, 503, NEVER, MAYBE), (status, data)
        if status == 200:
            self.history.read(stream, Read(begun, ended, parse_events(data),
                                           self.node.name))
        return status


def each(streams, nodes, write):
    """WRITE(node, stream, i) of all streams at once, the nodes in turn."""
    errors = []

    def run(i, stream):
        try:
            write(nodes[i % len(nodes)], stream, i)
        except BaseException as e:
            errors.append(e)
    threads = [threading.Thread(target=run, args=(i, s), daemon=True)
               for i, s in enumerate(streams)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


class Load:
    """Writers and readers at every node until `stop`."""

    def __init__(self, history, nodes, streams, writers=2, readers=1,
                 pause=0.004):
        self.history, self.streams, self.pause = history, streams, pause
        self.stopping = threading.Event()
        self.errors = []
        self.threads = []
        self.probes = 0
        for node in nodes:
            for kind in [self.writing] * writers + [self.reading] * readers:
                label = f"{node.name[:6]}-{len(self.threads)}"
                self.threads.append(threading.Thread(
                    target=self.guard, args=(kind, node, label), daemon=True))
        for t in self.threads:
            t.start()

    def guard(self, kind, *args):
        try:
            kind(*args)
        except BaseException as e:
            self.errors.append(e)

    def writing(self, node, label):
        rng = random.Random(label)
        client = Client(self.history, node)
        n = 0
        while not self.stopping.is_set():
            n += 1
            body = b'{"by":"%s","n":%d,"pad":"%s"}' % (
                label.encode(), n, b"x" * rng.choice((0, 10, 100, 3000)))
            status = client.write(rng.choice(self.streams), body)
            time.sleep(self.pause if status == 201 else 0.02)

    def reading(self, node, label):
        rng = random.Random(label)
        client = Client(self.history, node)
        while not self.stopping.is_set():
            client.read(rng.choice(self.streams))
            time.sleep(self.pause)

    def probe(self, nodes):
        """Seconds from now until every stream has taken a write begun from
        now on, through NODES; one client a stream."""
        self.probes += 1
        begun = time.monotonic()
        took = {}

        def run(node, stream, i):
            client = Client(self.history, node)
            n = 0
            while time.monotonic() < begun + 30:
                n += 1
                body = f'{{"probe":{self.probes},"i":{i},"n":{n}}}'.encode()
                if client.write(stream, body) == 201:
                    took[stream] = time.monotonic() - begun
                    return
                time.sleep(0.02)
            raise AssertionError(f"{stream} takes no writes through "
                                 f"{node.name}")
        each(self.streams, nodes, run)
        self.check()
        return max(took.values())

    def check(self):
        if self.errors:
            raise self.errors[0]

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(30)
            assert not t.is_alive(), "a client hangs"
        self.check()
