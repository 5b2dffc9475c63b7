# SPDX-License-Identifier: AGPL-3.0-or-later
"""A real node in a directory of its own, and a plain HTTP client for it."""
import atexit
import ctypes
import fcntl
import functools
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse


PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def held_ports():
    """Ports that are ours until this process ends, whoever else runs tests
    here: below those that the kernel gives to outgoing connections, each with
    a lock."""
    directory = f"{tempfile.gettempdir()}/iorio-e2e-ports-{os.getuid()}"
    os.makedirs(directory, exist_ok=True)
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        end = min(int(f.read().split()[0]), 32768)
    ports = list(range(12000, end))
    random.Random().shuffle(ports)
    for port in ports:
        lock = open(f"{directory}/{port}", "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        yield port, lock


ports = held_ports()
locks = []


def free_port():
    port, lock = next(ports)
    locks.append(lock)
    return port


class Node:
    """ioriod in a release tree made by hand: sbin is the build's binary."""

    def __init__(self, ioriod, options=None, rel="rel"):
        self.root = tempfile.mkdtemp(prefix="iorio-e2e-")
        for d in ("sbin", "bin", "etc", "data", "log"):
            os.mkdir(f"{self.root}/{d}")
        shutil.copy(ioriod, f"{self.root}/sbin/ioriod")
        shutil.copy(pathlib.Path(ioriod).parents[2] / "admin/iorio-admin",
                    f"{self.root}/bin/iorio-admin")
        shutil.copy(f"{rel}/iorio.sh", f"{self.root}/bin/iorio")
        shutil.copy(f"{rel}/iorio.conf", f"{self.root}/etc/iorio.conf")
        os.chmod(f"{self.root}/bin/iorio", 0o755)
        shutil.copytree(f"{rel}/ui", f"{self.root}/share/iorio/ui")
        self.port = free_port()
        self.options = {"http.port": self.port, "cluster.port": 0,
                        "handoff.port": 0,
                        "cluster.runtime_dir": f"{self.root}/run",
                        "journal.segment": "32MB",
                        "disk.reserve": "16MB",
                        "metrics.interval": "1d",  # or it would be listed
                        **(options or {})}
        self.process = None
        self.own_token = None
        self.login_lock = threading.Lock()
        atexit.register(self.close)

    def command(self):
        args = [f"{self.root}/sbin/ioriod", "-r", self.root]
        for k, v in self.options.items():
            args += ["-o", f"{k}={v}"]
        return args

    def start(self, wait=True):
        self.log = open(f"{self.root}/console.log", "ab")
        self.process = subprocess.Popen(self.command(), stdout=self.log,
                                        stderr=self.log,
                                        stdin=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError("the node ended: " + self.console())
            try:
                if self.request("GET", "/readyz", token=None)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError("the node is not ready: " + self.console())

    def console(self):
        with open(f"{self.root}/console.log", errors="replace") as f:
            return f.read()[-4000:]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=30):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        assert code == 0, f"exit code {code}: {self.console()}"

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def login(self, username="admin", password=None, seconds=30):
        """A token of a session made now."""
        body = json.dumps({"username": username,
                           "password": password or self.options.get(
                               "auth.admin.password", "secret")})
        end = time.monotonic() + seconds
        while True:
            try:
                status, _, data = self.request(
                    "POST", "/sessions", body,
                    {"Content-Type": "application/json"}, None)
                if status == 201:
                    return json.loads(data)["token"]
                error = AssertionError(f"login: {status} {data}")
                if status not in (429, 503):
                    raise error
            except (OSError, http.client.HTTPException) as e:
                error = e
            if time.monotonic() > end:
                raise error
            time.sleep(0.05)

    @property
    def token(self):
        """The administrator's, of the cluster that the node is in now or was
        before."""
        with self.login_lock:
            if not self.own_token:
                self.own_token = self.login()
            return self.own_token

    def connect(self, timeout=30):
        return http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=timeout)

    def request(self, method, path, body=None, headers=None, token="own",
                connection=None):
        """(status, headers, bytes).  A connection given is kept open."""
        c = connection or self.connect()
        h = dict(headers or {})
        if token == "own":
            h["x-session"] = self.token
        elif token:
            h["x-session"] = token
        c.request(method, path, body, h)
        r = c.getresponse()
        data = r.read()
        if not connection:
            c.close()
        if r.status == 401 and token == "own" and self.is_outdated():
            return self.request(method, path, body, headers, token,
                                connection)
        return r.status, r.headers, data

    def ask(self, method, path, body=None, token="own", **headers):
        """(status, JSON or bytes); BODY is bytes, a text or made JSON."""
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
        status, _, data = self.request(method, path, body, headers, token)
        return status, json.loads(data) if data[:1] in (b"{", b"[") else data

    def is_outdated(self):
        """The token is of another cluster; there is a new one then."""
        if self.request("GET", "/sessions", token=self.own_token)[0] != 401:
            return False
        self.own_token = self.login()
        return True

    def post(self, stream, body, connection=None,
             content_type="application/json", token="own"):
        status, headers, data = self.request(
            "POST", "/streams/" + stream, body,
            {"Content-Type": content_type}, token, connection)
        return status, data

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * 4096

    def events(self, stream, query="?limit=10000", connection=None,
               token="own"):
        status, _, data = self.request("GET", f"/streams/{stream}{query}",
                                       token=token, connection=connection)
        assert status == 200, (status, data)
        return data

    def head(self, line, *headers):
        """The bytes of a head with Host and token."""
        return "\r\n".join((line + " HTTP/1.1", "Host: x",
                            "x-session: " + self.token) + headers +
                           ("", "")).encode()

    def open(self, timeout=15):
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, data, timeout=15, half_close=False):
        """Sends bytes as they are; what came back until the node closed."""
        with self.open(timeout) as s:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except OSError:
                pass
            return out


def shared(ioriod, options=None, then=None):
    """A function that gives the node that the tests of a file share: it starts,
    and THEN(node) is done, when somebody asks first."""
    @functools.cache
    def fresh():
        node = Node(ioriod, options).start()
        if then:
            then(node)
        return node
    return fresh


def quote(name):
    return urllib.parse.quote(name, safe="")


def parse(data):
    return json.loads(data)


def answers(stream):
    """[(status, headers, body)] of pipelined answers with lengths, those to
    HEAD excepted; names of headers are in lower case."""
    out, at = [], 0
    while at < len(stream):
        end = stream.index(b"\r\n\r\n", at)
        lines = stream[at:end].decode().split("\r\n")
        at = end + 4
        h = {k.lower(): v for k, v in
             (line.split(": ", 1) for line in lines[1:])}
        status = int(lines[0].split()[1])
        if status == 100:
            continue
        body = []
        n = int(h.get("content-length", 0))
        while h.get("transfer-encoding") == "chunked":
            end = stream.index(b"\r\n", at)
            n = int(stream[at:end], 16)
            at = end + 2
            if n == 0:
                at += 2
                break
            body.append(stream[at:at + n])
            at += n + 2
        body.append(stream[at:at + n])
        at += n
        out.append((status, h, b"".join(body)))
    return out
