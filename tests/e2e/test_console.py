#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The web console at /ui/: its files, and nothing else of the disk.

usage: test_console.py IORIOD [TEST...]"""
import os
import re
import sys

import tap
from node import shared

IORIOD = sys.argv[1]
fresh = shared(IORIOD)


def get(path, headers=None):
    return fresh().request("GET", path, headers=headers, token=None)


def test_the_page_needs_no_permission():
    status, headers, data = get("/ui/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert data == open("rel/ui/index.html", "rb").read()
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_all_that_the_page_refers_to_is_there():
    page = get("/ui/")[2].decode()
    names = re.findall(r'(?:src|href)="([^#"]+)"', page)
    assert len(names) == 3, names
    types = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml",
             "js": "text/javascript; charset=utf-8"}
    for name in names:
        status, headers, data = get(f"/ui/{name}")
        assert status == 200, name
        assert headers["Content-Type"] == types[name.split(".")[1]]
        assert data == open(f"rel/ui/{name}", "rb").read()


def test_the_folder_without_its_slash_leads_there():
    status, headers, _ = get("/ui")
    assert (status, headers["Location"]) == (308, "ui/")


def test_a_browser_that_has_it_is_told_so():
    tag = get("/ui/console.js")[1]["ETag"]
    status, headers, data = get("/ui/console.js", {"If-None-Match": tag})
    assert (status, data, headers["ETag"]) == (304, b"", tag)
    assert get("/ui/console.js", {"If-None-Match": '"0"'})[0] == 200


def test_nothing_else_of_the_disk_is_given():
    root = fresh().root
    os.symlink(f"{root}/etc/iorio.conf", f"{root}/share/iorio/ui/later.html")
    for path in ("/ui/later.html", "/ui/..", "/ui/%2e%2e", "/ui/.",
                 "/ui/..%2f..%2f..%2fetc%2fiorio.conf", "/ui/console.js%00",
                 "/ui/../../etc/iorio.conf", "/ui//etc/passwd", "/ui/none"):
        assert get(path)[0] == 404, path


def test_other_methods_are_refused():
    for path in ("/ui/", "/ui/console.js"):
        status, headers, _ = fresh().request("POST", path, b"{}")
        assert status == 405, path
        assert headers["Allow"] == "GET, HEAD, OPTIONS"


tap.run(sys.modules[__name__])
