#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The examples of README.md and EXAMPLES.md work as they are pasted.

A ```sh block is run with a node behind $URL; the ``` block right after it, if any,
is the output one sees, where `...` stands for anything.

usage: test_readme.py IORIOD"""
import re
import subprocess
import sys

import tap
from node import Node

IORIOD = sys.argv[1]


def examples(page="README.md"):
    with open(page) as f:
        text = f.read()
    return re.findall(r"```sh\n(.*?)```\n(?:\n```\n(.*?)```)?", text, re.S)


def run_all(page):
    blocks = [b for b in examples(page) if "$URL" in b[0]]
    assert len(blocks) >= 5, len(blocks)
    with open(page) as f:  # what they begin with, where `make run` is
        setup = re.search(r"```\n(URL=.*?\nTOKEN=.*?\n)```", f.read())[1]
    with Node(IORIOD) as node:
        for code, want in blocks:
            script = setup.replace(":8080", f":{node.port}").replace(
                "rel/iorio/", node.root + "/") + code
            p = subprocess.run(["bash", "-ec", script], text=True,
                               stdout=subprocess.PIPE, timeout=30,
                               cwd=node.root)
            assert p.returncode == 0, (code, p.stdout)
            pattern = re.escape(want.strip()).replace(r"\.\.\.", ".*?")
            assert re.fullmatch(pattern, p.stdout.strip(), re.S) or \
                not want, (code, p.stdout, want)


def test_examples_work_as_pasted():
    run_all("README.md")


def test_worked_examples_work_as_pasted():
    run_all("EXAMPLES.md")


def test_examples_of_iorio_admin_work_as_pasted():
    blocks = [b for b in examples() if b[0].startswith("bin/iorio-admin")]
    assert blocks
    with Node(IORIOD) as node:
        for code, want in blocks:
            p = subprocess.run(["bash", "-ec", code], text=True,
                               stdout=subprocess.PIPE, timeout=30,
                               cwd=node.root)
            assert (p.returncode, p.stdout) == (0, want), (code, p.stdout)


def test_every_command_of_iorio_admin_has_an_example():
    with open("admin/commands.c") as f:
        table = f.read()
    words = ["cluster " + w for w in re.findall(r'CHANGE\("([a-z-]+)"', table)]
    words += re.findall(r'^    \{"([a-z -]+)", ', table, re.M)
    assert len(words) > 15, words
    with open("README.md") as f:
        rows = "".join(x for x in f if x.startswith("| `iorio-admin "))
    for w in words:
        assert f"iorio-admin {w}" in rows or f"`{w}" in rows, w


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
