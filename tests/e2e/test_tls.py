#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""HTTPS: the same API behind TLS, certificates read again, backpressure.

usage: test_tls.py IORIOD [TEST...]"""
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings

import tap
from node import answers, free_port, parse
from test_reload import Tree

IORIOD = sys.argv[1]


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True,
                   timeout=60)


def make_ca(directory, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
            f"/CN={name}", "-keyout", f"{directory}/{name}.key", "-out",
            f"{directory}/{name}.pem")


def make_cert(directory, name, ca, days="30"):
    """Of localhost and 127.0.0.1, signed by CA."""
    base = f"{directory}/{name}"
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", f"/CN={name}", "-keyout", base + ".key",
            "-out", base + ".csr")
    with open(base + ".ext", "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", base + ".csr", "-CA",
            f"{directory}/{ca}.pem", "-CAkey", f"{directory}/{ca}.key",
            "-CAcreateserial", "-days", days, "-extfile", base + ".ext",
            "-out", base + ".pem")


class Secure(Tree):
    """Serves HTTPS with etc/server.pem; etc/ca.pem signed it."""

    def __init__(self, options=None):
        self.tls_port = free_port()
        super().__init__({"https.enabled": "yes", "https.port": self.tls_port,
                          **(options or {})})
        self.etc = f"{self.root}/etc"
        make_ca(self.etc, "ca")
        make_cert(self.etc, "server", "ca")
        self.write()

    def write(self, *lines):
        """Paths are relative to the tree."""
        return super().write("https.cert = etc/server.pem",
                             "https.key = etc/server.key", *lines)

    def context(self, ca="ca", client=None):
        c = ssl.create_default_context(cafile=f"{self.etc}/{ca}.pem")
        if client:
            c.load_cert_chain(f"{self.etc}/{client}.pem",
                              f"{self.etc}/{client}.key")
        return c

    def tls(self, context=None, timeout=20):
        s = socket.create_connection(("127.0.0.1", self.tls_port), timeout)
        return (context or self.context()).wrap_socket(
            s, server_hostname="localhost")

    def secure(self, context=None):
        c = http.client.HTTPSConnection("127.0.0.1", self.tls_port,
                                        context=context or self.context(),
                                        timeout=30)
        c.connect()
        return c

    def serial(self):
        with self.tls() as s:
            return s.getpeercert()["serialNumber"]


def test_the_api_is_the_same_behind_tls():
    with Secure() as n:
        assert f"https://127.0.0.1:{n.tls_port}" in n.console()
        c = n.secure()
        for i in range(50):
            status, _ = n.post("tls/s", b'{"n":%d}' % i, c)
            assert status == 201
        body = os.urandom(3 << 20)
        status, headers, _ = n.request(
            "POST", "/streams/tls/big", body,
            {"Content-Type": "application/octet-stream"}, connection=c)
        assert status == 201
        assert n.request("GET", "/streams/tls/big/1", connection=c)[2] == body
        assert n.request("GET", "/streams/tls/big/1")[2] == body  # plain
        seen = parse(n.events("tls/s", connection=c))
        assert [e["data"]["n"] for e in seen] == list(range(50))
        # pipelined, in one record and in records of one byte
        head = (b"GET /streams/tls/s?limit=2 HTTP/1.1\r\nHost: x\r\nx-session: "
                + n.token.encode() + b"\r\n")
        requests = (head + b"\r\n") * 20 + head + b"Connection: close\r\n\r\n"
        for step in (len(requests), 1):
            with n.tls() as s:
                for at in range(0, len(requests), step):
                    s.sendall(requests[at:at + step])
                out = b""
                while chunk := s.recv(65536):
                    out += chunk
            assert [a[0] for a in answers(out)] == [200] * 21


def test_versions_ciphers_and_alpn():
    with Secure() as n:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            c = n.context()
            c.minimum_version = c.maximum_version = version
            c.set_alpn_protocols(["h2", "http/1.1"])
            with n.tls(c) as s:
                assert s.selected_alpn_protocol() == "http/1.1"
                assert "GCM" in s.cipher()[0] or "CHACHA" in s.cipher()[0]
        c = n.context()
        warnings.simplefilter("ignore", DeprecationWarning)
        c.minimum_version = ssl.TLSVersion.TLSv1
        c.maximum_version = ssl.TLSVersion.TLSv1_1
        c.set_ciphers("ALL:@SECLEVEL=0")
        for change in (lambda c: None,
                       lambda c: c.set_alpn_protocols(["h2"])):
            change(c)
            try:
                n.tls(c).close()
                raise AssertionError("this should have been refused")
            except (ssl.SSLError, OSError):
                pass
            c = n.context()
        # plain HTTP on the wrong port, rubbish, nothing at all
        for data in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(500), b""):
            with socket.create_connection(("127.0.0.1", n.tls_port), 10) as s:
                s.sendall(data)
                try:
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(1000):
                        pass
                except OSError:
                    pass
        assert n.request("GET", "/ping", connection=n.secure())[0] == 200


def test_a_slow_reader_gets_all_and_holds_no_memory():
    with Secure() as n:
        pad = b'"' + b"x" * 30000 + b'"'
        c = n.connect()
        for _ in range(800):  # 24 MB
            assert n.post("slow/s", pad, c)[0] == 201
        socks, before = [], n.rss()
        for _ in range(20):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            s.settimeout(30)
            s.connect(("127.0.0.1", n.tls_port))
            s = n.context().wrap_socket(s, server_hostname="localhost")
            s.sendall(n.head("GET /streams/slow/s?from=1",
                             "Accept: application/x-ndjson",
                             "Connection: close"))
            socks.append(s)
        time.sleep(1)
        grown = n.rss() - before
        assert grown < 20 * 6 * 2**20, grown
        out = []
        while chunk := socks[0].recv(1 << 20):
            out.append(chunk)
        lines = answers(b"".join(out))[0][2].splitlines()
        assert [json.loads(x)["meta"]["id"] for x in lines] == \
            list(range(1, 801))
        for s in socks:
            s.close()
        assert n.request("GET", "/ping", connection=n.secure())[0] == 200


def test_certificates_are_read_again():
    with Secure() as n:
        first, kept = n.serial(), n.secure()
        assert n.request("GET", "/ping", connection=kept)[0] == 200
        # the same names, another content
        make_cert(n.etc, "server", "ca", "60")
        assert "another certificate" in n.hup()
        second = n.serial()
        assert second != first
        assert n.request("GET", "/ping", connection=kept)[0] == 200
        assert "nothing has changed" in n.hup()
        # what is wrong changes nothing, and says so
        shutil.move(f"{n.etc}/server.pem", f"{n.etc}/away.pem")
        line = n.hup()
        assert "https.cert" in line and "nothing was changed" in line, line
        shutil.copy(f"{n.etc}/ca.pem", f"{n.etc}/server.pem")
        line = n.hup()
        assert "https.key" in line and "nothing was changed" in line, line
        with open(f"{n.etc}/server.pem", "w") as f:
            f.write("no certificate\n")
        line = n.hup()
        assert "https.cert" in line and "nothing was changed" in line, line
        assert "BEGIN" not in n.console() and n.serial() == second
        # other names
        shutil.move(f"{n.etc}/away.pem", f"{n.etc}/server.pem")
        make_cert(n.etc, "other", "ca")
        Tree.write(n, "https.cert = etc/other.pem",
                   "https.key = etc/other.key")
        assert "another certificate" in n.hup()
        end = time.monotonic() + 10
        while n.serial() == second and time.monotonic() < end:
            time.sleep(0.05)
        assert n.serial() != second
        metrics = n.request("GET", "/metrics")[2].decode()
        assert "\niorio_certificate_end_time_seconds " in metrics


def test_clients_need_a_certificate_when_it_says_so():
    with Secure() as n:
        make_ca(n.etc, "clients")
        make_cert(n.etc, "client", "clients")
        make_cert(n.etc, "stranger", "ca")
        n.write("https.cacert = etc/clients.pem")
        assert "https.cacert" in n.hup()
        time.sleep(0.2)
        c = n.secure(n.context(client="client"))
        assert n.request("GET", "/ping", connection=c)[0] == 200
        for client in (None, "stranger"):
            try:  # TLS 1.3 tells with the first read
                c = n.secure(n.context(client=client))
                n.request("GET", "/ping", connection=c)
                raise AssertionError(f"{client} was let in")
            except (ssl.SSLError, OSError, http.client.HTTPException):
                pass


def test_https_alone_and_bad_settings():
    class Alone(Secure):
        def wait_ready(self, seconds=30):
            end = time.monotonic() + seconds
            while " serves https:" not in self.console():
                assert time.monotonic() < end, self.console()
                time.sleep(0.05)

    with Alone({"http.enabled": "no"}) as n:
        assert n.request("GET", "/ping", token=None,
                         connection=n.secure())[0] == 200
        iorio = subprocess.run(
            [f"{n.root}/bin/iorio", "ping"], timeout=20, capture_output=True,
            env={**os.environ, "IORIO_HTTP_ENABLED": "no"}, text=True)
        assert (iorio.returncode, iorio.stdout) == (0, "pong\n"), iorio
        try:
            n.request("GET", "/ping", token=None)
            raise AssertionError("http.port is served")
        except OSError:
            pass
    n = Tree({"https.enabled": "yes", "https.port": free_port()})
    n.start(wait=False)
    assert n.process.wait(20) == 1 and "https.cert" in n.console()
    n.close()


def test_many_at_once_and_a_stop():
    with Secure({"workers": 2}) as n:
        failures = []

        def work(k):
            try:
                for i in range(15):
                    c = n.secure()
                    assert n.post(f"many/s{k}", b"%d" % i, c)[0] == 201
                    c.close()
            except Exception as e:
                failures.append(e)
        threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures, failures[0]
        idle = [n.tls() for _ in range(5)]
        half = socket.create_connection(("127.0.0.1", n.tls_port))
        half.sendall(b"\x16\x03\x01")  # a handshake that never goes on
        start = time.monotonic()
        n.stop()
        assert time.monotonic() - start < 9
        for s in idle:
            assert s.recv(10) == b""
            s.close()
        half.close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
