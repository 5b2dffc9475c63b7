#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""scripts/apitest.py: finds nothing wrong with a sound server, and finds out
one that is not.

usage: test_apitest.py IORIOD [TEST...]"""
import http.client
import http.server
import subprocess
import sys
import threading

import tap
from node import Node

IORIOD = sys.argv[1]


def apitest(node, *args, port=None):
    p = subprocess.run(
        ["python3", "scripts/apitest.py", "-H", "127.0.0.1", "-P",
         str(port or node.port), "-t", node.token, *args],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=200)
    return p.returncode, p.stdout


def test_a_sound_server_passes():
    with Node(IORIOD, {"workers": 2}) as node:
        code, text = apitest(node, "-i", "60", "-B", "2", "-S", "3", "-I", "3",
                             "-Q", "3", "-R", "2", "-L", "1",
                             "--listeners", "3")
        assert code == 0, text
        for who in ("inserter    0", "inserter    2", "patcher     2",
                    "requester   1", "lister      0", "listener    2"):
            assert who in text, text
        assert text.splitlines()[-1].endswith(", 0 checks failed"), text


class Liar(http.server.BaseHTTPRequestHandler):
    """Stands before a node, and acknowledges now and then what it has not
    passed on, or passes it on twice."""
    protocol_version = "HTTP/1.1"
    lie = None
    n = 0

    def pass_on(self, body):
        c = http.client.HTTPConnection("127.0.0.1", self.server.node.port)
        headers = {k: v for k, v in self.headers.items() if k != "Host"}
        c.request(self.command, self.path, body, headers)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.headers, data

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, data = self.pass_on(body)
        if self.command == "POST" and "stream" in self.path:
            self.server.n += 1
            if self.server.n == 20:
                if self.server.lie == "twice":
                    self.pass_on(body)
                elif self.server.lie == "time":
                    data = data.replace(b'"t":1', b'"t":2')
        self.send_response(status)
        for k, v in headers.items():
            if k not in ("Date", "Server", "Transfer-Encoding",
                         "Content-Length"):
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def log_message(self, *_):
        pass


def test_a_server_that_lies_is_found_out():
    with Node(IORIOD) as node:
        for lie in ("twice", "time"):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
            server.node, server.lie, server.n = node, lie, 0
            threading.Thread(target=server.serve_forever, daemon=True).start()
            code, text = apitest(node, "-i", "20", "-I", "2", "-Q", "0",
                                 "-R", "0", port=server.server_port)
            server.shutdown()
            assert code == 1 and "failed: " in text, (lie, text)


def test_a_server_that_is_not_there_is_told():
    with Node(IORIOD) as node:
        port, _ = node.port, node.token  # which the program is given
        node.stop()
        code, text = apitest(node, "-i", "1", "-I", "1", "-Q", "0", "-R", "0",
                             "-L", "0", port=port)
        assert code == 1, text


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
