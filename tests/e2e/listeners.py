# SPDX-License-Identifier: AGPL-3.0-or-later
"""Clients of GET /listen."""
import json
import socket
import time


def append(node, stream, value):
    status, body = node.post(stream, json.dumps(value).encode())
    assert status == 201, (status, body)
    return json.loads(body)["meta"]["id"]


def poll(node, query, timeout=30):
    """One long poll: (status, headers, bytes)."""
    c = node.connect(timeout)
    try:
        return node.request("GET", "/listen?" + query, connection=c)
    finally:
        c.close()


class Sse:
    """A client of text/event-stream, which decodes chunks by itself."""

    def __init__(self, node, query, headers=None, timeout=30):
        lines = [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.s = node.open(timeout)
        self.s.sendall(node.head("GET /listen?" + query,
                                 "Accept: text/event-stream", *lines))
        self.raw, self.text = b"", b""
        self.last_id, self.comments, self.items = None, 0, []
        self.retry = None
        self.over = False
        while b"\r\n\r\n" not in self.raw:
            self.fill()
        head, self.raw = self.raw.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {k.lower(): v for k, v in
                        (line.split(": ", 1) for line in lines[1:])}
        assert self.status == 200, head + self.raw

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def fill(self):
        got = self.s.recv(1 << 16)
        if not got:
            raise EOFError
        self.raw += got

    def chunk(self):
        """One chunk's bytes into `text`."""
        while b"\r\n" not in self.raw:
            self.fill()
        size, rest = self.raw.split(b"\r\n", 1)
        n = int(size, 16)
        while len(rest) < n + 2:
            got = self.s.recv(1 << 20)
            if not got:
                raise EOFError
            rest += got
        assert rest[n:n + 2] == b"\r\n"
        self.raw = rest[n + 2:]
        self.text += rest[:n]
        if n == 0:
            self.over = True

    def parse(self):
        *whole, self.text = self.text.split(b"\n\n")
        for event in whole:
            data = None
            for line in event.split(b"\n"):
                if line.startswith(b":"):
                    self.comments += 1
                elif line.startswith(b"retry: "):
                    self.retry = int(line[7:])
                elif line.startswith(b"id: "):
                    self.last_id = line[4:].decode()
                elif line.startswith(b"data: "):
                    data = json.loads(line[6:])
                else:
                    assert not line, line
            if data is not None:
                assert len(data) == 1
                self.items.append(data[0])

    def take(self, n, seconds=30):
        """The next N events or notices."""
        end = time.monotonic() + seconds
        while len(self.items) < n:
            self.s.settimeout(max(0.01, end - time.monotonic()))
            self.chunk()
            self.parse()
            assert not self.over, "the stream has ended"
        out, self.items = self.items[:n], self.items[n:]
        return out

    def settle(self):
        """Until the node has looked where the streams end."""
        while self.retry is None:
            self.chunk()
            self.parse()
        time.sleep(0.3)

    def ended_in_order(self):
        try:
            while not self.over:
                self.chunk()
        except (EOFError, OSError):
            return False
        return True
