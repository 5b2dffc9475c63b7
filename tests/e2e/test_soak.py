#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests of every kind from many clients at a time: good, bad, pipelined, in
pieces, given up half way.  Each gets the answer it must get; in the end the
node stops cleanly.  Built with sanitizers it has leaked nothing; built without,
it holds no more memory than after the first half.

usage: test_soak.py IORIOD [TEST...]
SOAK_REQUESTS (100000: all of it) or SOAK_SECONDS (15) say how much."""
import os
import random
import socket
import struct
import sys
import threading
import time

import tap
from node import Node, answers

IORIOD = sys.argv[1]
REQUESTS = int(os.environ.get("SOAK_REQUESTS", "0"))
SECONDS = float(os.environ.get("SOAK_SECONDS", "15"))
CLIENTS = 6
MIB = 1 << 20
JSON = "Content-Type: application/json"
NDJSON = "Accept: application/x-ndjson"


class Client(threading.Thread):
    def __init__(self, soak, seed):
        super().__init__(daemon=True)
        self.soak, self.node = soak, soak.node
        self.rng = random.Random(seed)
        self.error, self.count, self.kinds = None, 0, {}

    def run(self):
        kinds = [self.pipeline] * 8 + [
            self.pieces, self.malformed, self.noise, self.half_a_head,
            self.half_a_body, self.answer_unread, self.large, self.expect,
            self.just_connect, self.too_large]
        try:
            while not self.soak.done():
                kind = self.rng.choice(kinds)
                n = kind()
                self.count += n
                self.kinds[kind.__name__] = \
                    self.kinds.get(kind.__name__, 0) + n
        except BaseException as e:
            self.error = e
            self.soak.stopped = True

    # --- what a client may send ---------------------------------------------

    def stream(self):
        return f"soak{self.rng.randrange(3)}/s{self.rng.randrange(40)}"

    def post(self, body, *headers, path=None):
        return self.node.head("POST /streams/" + (path or self.stream()),
                              f"Content-Length: {len(body)}",
                              *headers) + body

    def get(self, target, *headers):
        return self.node.head("GET " + target, *headers)

    def one(self):
        """(status, request)"""
        rng, s = self.rng, "/streams/" + self.stream()
        pad = b"x" * rng.choice((0, 0, 10, 100, 3000, 40000))
        choices = (
            (201, lambda: self.post(b'{"a":"%s"}' % pad, JSON)),
            (201, lambda: self.post(pad, "Content-Type: a/b")),
            (201, lambda: self.post(b'[1,\r\n"%s"]' % pad, JSON)),
            (400, lambda: self.post(b'{"a":"%s"' % pad, JSON)),
            (400, lambda: self.post(b"[" * 300 + pad, JSON)),
            (400, lambda: self.post(b'"\xff"', JSON)),
            (400, lambda: self.post(b"1", JSON, path="b/a%3ab")),
            (400, lambda: self.post(b"1", "Content-Type: /")),
            (415, lambda: self.post(pad)),
            (404, lambda: self.post(pad, JSON, path="b/s/1/2/3")),
            (412, lambda: self.post(b"1", JSON, 'If-Match: "4000000000"')),
            (200, lambda: self.get(s)),
            (200, lambda: self.get(f"{s}?limit={rng.randrange(50)}")),
            (200, lambda: self.get(s + "?order=desc&limit=5&download")),
            (200, lambda: self.get(f"{s}?from=-{rng.randrange(9)}", NDJSON)),
            (200, lambda: self.get(s + "?since=0&limit=3", NDJSON)),
            (200, lambda: self.get(s + "?to=9&until=2030-01-01T00:00:00Z")),
            (400, lambda: self.get(s + "?to=x")),
            (400, lambda: self.get(s + "?x=%zz")),
            (406, lambda: self.get(s, "Accept: text/html")),
            (404, lambda: self.get(s + "/999999999")),
            (404, lambda: self.get(s + "/x", "Accept: application/"
                                   "problem+json")),
            (200, lambda: self.get("/streams/soak0?limit=7")),
            (200, lambda: self.get("/streams/soak1?detail=1&prefix=s1")),
            (200, lambda: self.get("/buckets?after=soak0")),
            (200, lambda: self.get("/ping", "X-Request-Id: soak")),
            (200, lambda: self.get("/readyz?verbose")),
            (404, lambda: self.get("//ping")),
            (405, lambda: self.node.head("DELETE /ping")),
            (428, lambda: self.node.head("PUT " + s)),
            (501, lambda: self.node.head("BREW " + s)),
            (200, lambda: self.node.head("OPTIONS " + s)),
            (401, lambda: self.get("/buckets?jwt=x").replace(
                b"x-session", b"y-session")),
        )
        status, make = rng.choice(choices)
        return status, make()

    def exchange(self, batch, send):
        with self.node.open(60) as s:
            writer = threading.Thread(target=send, args=(
                s, b"".join(b for _, b in batch)))
            writer.start()
            out = []
            while chunk := s.recv(MIB):
                out.append(chunk)
            writer.join()
        got = [a[0] for a in answers(b"".join(out))]
        want = [status for status, _ in batch]
        assert got == want, (got, want)
        return len(batch)

    def pipeline(self):
        def send(s, data):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        return self.exchange([self.one() for _ in range(
            self.rng.randrange(1, 60))], send)

    def pieces(self):
        def send(s, data):
            at = 0
            while at < len(data):
                n = self.rng.choice((1, 2, 7, 100, 5000))
                s.sendall(data[at:at + n])
                at += n
            s.shutdown(socket.SHUT_WR)
        return self.exchange([self.one() for _ in range(3)], send)

    def chunked(self, body):
        out, at = [], 0
        while at < len(body):
            n = self.rng.randrange(1, 9000)
            part = body[at:at + n]
            out.append(b"%x\r\n%s\r\n" % (len(part), part))
            at += n
        return b"".join(out) + b"0\r\n\r\n"

    def large(self):
        body = b'"%s"' % (b"y" * self.rng.randrange(100000, 2 * MIB))
        head = self.node.head("POST /streams/soak2/large", JSON,
                              "Transfer-Encoding: chunked")
        return self.exchange(
            [(201, head + self.chunked(body)),
             (201, self.post(body, JSON, path="soak2/large")),
             (200, self.get("/streams/soak2/large?limit=3", NDJSON)),
             (200, self.get("/streams/soak2/large?limit=9"))],
            lambda s, data: (s.sendall(data), s.shutdown(socket.SHUT_WR)))

    def expect(self):
        head = self.node.head("POST /streams/soak0/e", JSON,
                              "Content-Length: 1", "Connection: close",
                              "Expect: 100-continue")
        with self.node.open(60) as s:
            s.sendall(head)
            assert s.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            s.sendall(b"1")
            assert s.recv(12) == b"HTTP/1.1 201"
        return 1

    # --- what no client should ----------------------------------------------

    def ask_badly(self, data, statuses):
        with self.node.open(60) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except OSError:
                pass
        assert not out or int(out[9:12]) in statuses, (data[:80], out[:80])
        return 1

    def malformed(self):
        return self.ask_badly(self.rng.choice((
            b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            b"GET /\x01 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\n\n",
            b"POST /streams/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET /" + b"a" * 17000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 101,
            b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
            self.node.head("POST /streams/soak0/e", JSON,
                           "Transfer-Encoding: chunked") + b"zz\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n")),
            (400, 414, 417, 431, 505))

    def noise(self):
        return self.ask_badly(self.rng.randbytes(self.rng.randrange(2000)),
                              (400, 505))

    def too_large(self):
        return self.ask_badly(
            self.node.head("POST /streams/soak0/e", JSON,
                           "Content-Length: 99999999") +
            b"x" * self.rng.choice((0, 5000, 2 * MIB)), (413,))

    def give_up(self, data, wait):
        s = self.node.open(60)
        try:
            s.sendall(data)
            time.sleep(wait)
        except OSError:
            pass
        if self.rng.random() < 0.5:  # with a reset
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
        s.close()
        return 1

    def half_a_head(self):
        data = self.one()[1]
        return self.give_up(data[:self.rng.randrange(40)], 0.002)

    def half_a_body(self):
        body = b'"%s"' % (b"z" * 200000)
        data = self.post(body, JSON) if self.rng.random() < 0.5 else \
            self.node.head("POST /streams/soak0/e", JSON,
                           "Transfer-Encoding: chunked") + self.chunked(body)
        return self.give_up(data[:-self.rng.randrange(1, 150000)], 0.002)

    def answer_unread(self):
        data = b"".join(self.one()[1] for _ in range(10)) + \
            self.get("/streams/soak2/large?from=1", NDJSON)
        return 10 + self.give_up(data, self.rng.choice((0, 0.001, 0.05)))

    def just_connect(self):
        return self.give_up(b"", 0)


class Soak:
    def __init__(self, node):
        self.node, self.stopped = node, False
        self.start = time.monotonic()
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def count(self):
        return sum(c.count for c in self.clients)

    def part(self):
        """How much of it is over."""
        if REQUESTS:
            return self.count() / REQUESTS
        return (time.monotonic() - self.start) / SECONDS

    def done(self):
        return self.stopped or self.part() >= 1

    def run(self):
        """Resident bytes from the middle on, now and then."""
        for c in self.clients:
            c.start()
        sizes = []
        while any(c.is_alive() for c in self.clients):
            time.sleep(0.2)
            if self.node.process.poll() is not None:
                self.stopped = True
            elif self.part() > 0.5:
                sizes.append(self.node.rss())
        for c in self.clients:
            if c.error:
                raise c.error
        kinds = {}
        for c in self.clients:
            for k, n in c.kinds.items():
                kinds[k] = kinds.get(k, 0) + n
        print(f"# {self.count()} requests in "
              f"{time.monotonic() - self.start:.0f} s: {kinds}")
        assert len(kinds) == 11, "not every kind had its turn"
        return sizes


def is_sanitized():
    with open(IORIOD, "rb") as f:
        return b"__asan_init" in f.read()


def test_requests_of_every_kind_and_a_clean_stop():
    os.environ["ASAN_OPTIONS"] = "exitcode=97"
    os.environ["UBSAN_OPTIONS"] = "halt_on_error=1:print_stacktrace=1"
    with Node(IORIOD, {"http.max_inflight": "64MB", "workers": 2,
                       "journal.segment": "32MB", "journal.max": "128MB"}) \
            as node:
        sizes = Soak(node).run()
        assert node.request("GET", "/ping")[0] == 200
        node.stop(120)
        with open(f"{node.root}/console.log", errors="replace") as f:
            log = f.read()
        for word in ("Sanitizer", "runtime error", "assert"):
            assert word not in log, log[-8000:]
        grown = max(sizes[len(sizes) // 2:]) - max(sizes[:len(sizes) // 2])
        print(f"# resident: {[s // MIB for s in sizes[::len(sizes) // 8]]} "
              f"MiB")
        if not is_sanitized():
            assert grown < 24 * MIB, sizes
        node.start()
        node.stop()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
