# SPDX-License-Identifier: AGPL-3.0-or-later
"""Clients of GET /listen."""
import json
import socket
import time

LINES = {"Content-Type": "application/x-ndjson"}


def append(node, stream, value):
    status, body = node.post(stream, json.dumps(value).encode())
    assert status == 201, (status, body)
    return json.loads(body)["meta"]["id"]


def fill(node, stream, n, size=0, batch=5000, start=0):
    """N events {"n": start}, {"n": start + 1} ..."""
    pad = "x" * size
    for at in range(start, start + n, batch):
        lines = "".join('{"n":%d,"pad":"%s"}\n' % (i, pad)
                        for i in range(at, min(at + batch, start + n)))
        status, _, body = node.request("POST", "/streams/" + stream,
                                       lines.encode(), LINES)
        assert status == 201, body


def poll(node, query, timeout=30):
    """One long poll: (status, headers, bytes)."""
    c = node.connect(timeout)
    try:
        return node.request("GET", "/listen?" + query, connection=c)
    finally:
        c.close()


def head_of(node, token, *lines):
    """The bytes of a head, with TOKEN instead of the administrator's."""
    head, own = node.head(*lines), node.token
    return head.replace(own.encode(), token.encode()) if token else head


class Bare:
    """A node without a session of its own."""

    def __init__(self, node):
        self.node = node

    def open(self, timeout):
        return self.node.open(timeout)

    def connect(self, timeout):
        return self.node.connect(timeout)

    def request(self, *args, **kw):
        return self.node.request(*args, token=None, **kw)

    token = "none"

    def head(self, line, *headers):
        return "\r\n".join((line + " HTTP/1.1", "Host: x") + headers +
                           ("", "")).encode()


class Refused(Exception):
    """A listener got another status than it came for."""

    def __init__(self, status, text=b""):
        super().__init__(status, text)
        self.status = status


class Ended(EOFError):
    """The node has ended what was to go on; says with which code."""


class Sse:
    """A client of text/event-stream, which decodes chunks by itself."""

    def __init__(self, node, query, headers=None, timeout=30, token=None):
        lines = [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.s = node.open(timeout)
        self.s.sendall(head_of(node, token, "GET /listen?" + query,
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
        if self.status != 200:
            self.s.close()
            raise Refused(self.status, head + self.raw)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def fill(self):
        got = self.s.recv(1 << 20)
        if not got:
            raise EOFError
        self.raw += got

    def chunk(self):
        """One chunk's bytes into `text`; nothing is lost when it is not all
        there in time."""
        while b"\r\n" not in self.raw:
            self.fill()
        at = self.raw.index(b"\r\n") + 2
        n = int(self.raw[:at - 2], 16)
        while len(self.raw) < at + n + 2:
            self.fill()
        assert self.raw[at + n:at + n + 2] == b"\r\n"
        self.text += self.raw[at:at + n]
        self.raw = self.raw[at + n + 2:]
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
            if self.over:
                raise Ended
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


KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def frame(payload, opcode=1, fin=True, mask=b"\x01\x02\x03\x04", rsv=0,
          form=None):
    """The bytes of a frame as a client sends it; FORM: 126 or 127 to say the
    length in a longer form."""
    n = len(payload)
    form = form or (n if n < 126 else 126 if n < 65536 else 127)
    out = bytes([(0x80 if fin else 0) | rsv << 4 | opcode,
                 (0x80 if mask else 0) | form])
    if form > 125:
        out += n.to_bytes({126: 2, 127: 8}[form], "big")
    if not mask:
        return out + payload
    return out + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))


class Socket:
    """A client of WebSocket, frame by frame."""

    def __init__(self, node, query="", headers=None, timeout=30, token=None):
        h = {"Connection": "Upgrade", "Upgrade": "websocket",
             "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY,
             **(headers or {})}
        self.s = node.open(timeout)
        self.s.sendall(head_of(node, token, "GET /listen?" + query, *[
            f"{k}: {v}" for k, v in h.items() if v is not None]))
        self.raw, self.items, self.answers = b"", [], []
        self.code, self.frames = None, []
        while b"\r\n\r\n" not in self.raw:
            self.fill()
        head, self.raw = self.raw.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {k.lower(): v for k, v in
                        (line.split(": ", 1) for line in lines[1:])}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def fill(self):
        got = self.s.recv(1 << 18)
        if not got:
            raise EOFError
        self.raw += got

    def need(self, n):
        while len(self.raw) < n:
            self.fill()

    def frame(self):
        """The next frame: (opcode, payload)."""
        self.need(2)
        a, n = self.raw[0], self.raw[1]
        assert a & 0x80 and not a & 0x70 and not n & 0x80, self.raw[:2]
        at = 2
        if n >= 126:
            at += {126: 2, 127: 8}[n]
            self.need(at)
            n = int.from_bytes(self.raw[2:at], "big")
        self.need(at + n)
        payload, self.raw = self.raw[at:at + n], self.raw[at + n:]
        return a & 15, payload

    def step(self):
        opcode, payload = self.frame()
        if opcode == 1:
            value = json.loads(payload)
            if isinstance(value, list):
                assert 1 <= len(value) <= 100
                self.items += value
            else:
                self.answers.append(value)
        elif opcode == 8:
            self.code = int.from_bytes(payload[:2], "big") if payload else 0
        elif opcode == 9:
            self.s.sendall(frame(payload, 10))
        else:
            self.frames.append((opcode, payload))
        return opcode

    def take(self, n, seconds=30):
        """The next N events or notices."""
        end = time.monotonic() + seconds
        while len(self.items) < n:
            self.s.settimeout(max(0.01, end - time.monotonic()))
            self.step()
            if self.code is not None:
                raise Ended(self.code)
        out, self.items = self.items[:n], self.items[n:]
        return out

    def send(self, **command):
        self.s.sendall(frame(json.dumps(command).encode()))

    def ask(self, **command):
        """The answer to COMMAND."""
        self.send(**command)
        return self.answer()

    def answer(self, seconds=30):
        self.s.settimeout(seconds)
        while not self.answers:
            self.step()
            if self.code is not None:
                raise Ended(self.code)
        return self.answers.pop(0)

    def closed(self, seconds=20):
        """The code of the close frame that comes, after which all ends."""
        self.s.settimeout(seconds)
        while self.code is None:
            self.step()
        try:
            while self.s.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        return self.code
