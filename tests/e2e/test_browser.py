#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Listening in a real browser: the page of README.md with EventSource, and one
with WebSocket, against a cluster whose node they hang on restarts; the console.

usage: test_browser.py IORIOD [TEST...]"""
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import tap
from cluster import Cluster, eventually
from listeners import append

IORIOD = sys.argv[1]

# What a page shows is told to whoever serves it.
REPORT = """<script>
setInterval(() => fetch("/report", {method: "POST", body: JSON.stringify(
  [...document.querySelectorAll("li")].map(li => li.textContent))}), 200);
</script>"""

SOCKET = """<!doctype html><ul id="list"></ul>
<script>
let next = 1;
function listen() {
  const socket = new WebSocket(`URL/listen?s=quakes:us:${next}&jwt=TOKEN`);
  socket.onmessage = message => {
    for (const event of JSON.parse(message.data)) {
      const line = document.createElement("li");
      line.textContent = `${event.meta.id}: ${JSON.stringify(event.data)}`;
      document.getElementById("list").append(line);
      next = event.meta.id + 1;
    }
  };
  socket.onclose = () => setTimeout(listen, 300);
}
listen();
</script>"""


def chromium():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        raise tap.Skip("no chromium")
    return path


class Page:
    """A page in a browser without a screen; LINES is what it shows."""

    def __init__(self, html):
        page = self
        self.lines = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = html.encode() if self.path == "/" else b""
                self.answer(200 if body else 404, body)

            def do_POST(self):
                n = int(self.headers["Content-Length"])
                page.lines = json.loads(self.rfile.read(n))
                self.answer(200, b"")

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()
        self.home = tempfile.mkdtemp(prefix="iorio-browser-")
        self.browser = subprocess.Popen(
            [chromium(), "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", f"--user-data-dir={self.home}",
             "--remote-debugging-port=0",
             f"http://127.0.0.1:{self.server.server_port}/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.terminate()
        self.browser.wait(20)
        self.server.shutdown()
        shutil.rmtree(self.home, ignore_errors=True)


def run(html):
    chromium()
    with Cluster(IORIOD, 3, {"http.cors.enabled": "yes"}) as c:
        c.form()
        hung, other = c.nodes[1], c.nodes[2]
        for i in range(3):
            append(other, "quakes/us", i)
        html = html(hung)
        with Page(html + REPORT) as page:
            def shows(n):
                eventually(lambda: len(page.lines) >= n, 60)
                assert page.lines == [f"{i + 1}: {i}" for i in range(n)], \
                    page.lines
            shows(3)
            append(other, "quakes/us", 3)
            shows(4)
            hung.stop()
            for i in range(4, 8):
                append(other, "quakes/us", i)
            hung.start()
            shows(8)
            append(other, "quakes/us", 8)
            shows(9)


def test_the_page_of_the_readme_goes_on_after_a_restart():
    with open("README.md") as f:
        page = re.search(r"```html\n(.*?)```", f.read(), re.S)[1]
    run(lambda node: page.replace("8080", str(node.port))
        .replace("TOKEN", node.token))


def test_a_page_with_a_socket_goes_on_after_a_restart():
    run(lambda node: SOCKET.replace("TOKEN", node.token).replace(
        "URL", f"ws://127.0.0.1:{node.port}"))


def test_the_console_shows_a_stream():
    with Cluster(IORIOD, 1) as c, tempfile.TemporaryDirectory() as home:
        node = c.nodes[0]
        for text in ('{"big":12345678901234567890.10}', '"<b>bold</b>"'):
            assert node.request("POST", "/streams/quakes/us", text.encode(), {
                "Content-Type": "application/json"})[0] == 201
        assert node.request(
            "POST", "/access/quakes", b'{"action":"grant","role":"*",'
            b'"permission":"get"}', {"Content-Type": "application/json"})[0] == 200
        shown = subprocess.run(
            [chromium(), "--headless", "--no-sandbox", "--disable-gpu",
             f"--user-data-dir={home}", "--virtual-time-budget=5000",
             "--dump-dom",
             f"http://127.0.0.1:{node.port}/ui/#/streams/quakes/us"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            timeout=60).stdout
        rows = re.findall(r"<pre>(.*?)</pre>", shown)
        assert rows == ['"&lt;b&gt;bold&lt;/b&gt;"',
                        '{"big":12345678901234567890.10}'], shown


tap.run(sys.modules[__name__])
