# SPDX-License-Identifier: AGPL-3.0-or-later
"""The part of scripts/bench that fills replicas: how fast, and what those notice
who write meanwhile."""
import concurrent.futures
import glob
import http.client
import json
import os
import shutil
import subprocess
import time

MB = int(os.environ.get("BENCH_FILL_MB", "400"))
RATE = 500  # appends a second, by who writes while replicas are filled


def ask(node, path):
    c = http.client.HTTPConnection("127.0.0.1", node.port)
    c.request("GET", path, headers={"x-session": node.token})
    data = json.loads(c.getresponse().read())
    c.close()
    return data


def pour(node):
    """MB in 64 streams, all of it in chunk files."""
    left = MB
    while left > 0:
        done = node.bench("append", connections=16, seconds=2, size=4000,
                          batch=50, streams=64, bucket="fill")
        left -= done["ok"] * 50 * 4000 / 1e6
    node.__exit__()
    node.__enter__()


def restart(nodes):
    for node in nodes:
        node.__exit__()
    for node in nodes:
        node.__enter__()
    for node in nodes:
        node.token = nodes[0].login()
    while True:  # all groups are led, by those that are preferred
        r = nodes[0].bench("append", connections=16, seconds=3, rate=RATE,
                           bucket="front")
        if r["ok"] and not r["failed"]:
            break


def copies(node, to):
    """MB/s of cp and sync of the files of the node's replicas."""
    dirs = glob.glob(f"{node.root}/data/*/vnodes")
    size = int(subprocess.run(["du", "-sbc", *dirs], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
               .splitlines()[-1].split()[0])
    os.sync()
    begun = time.monotonic()
    subprocess.run(["cp", "-r", *dirs, to], check=True)
    subprocess.run(["sync", "-f", to], check=True)
    took = time.monotonic() - begun
    shutil.rmtree(to)
    return size / took / 1e6


def is_moving(node):
    all_ = ask(node, "/cluster")
    return all_["queued"] or all_["active"] or any(
        m["pending"] is not None for m in all_["members"])


def commit(node):
    """The plan is carried out from now on."""
    node.admin("cluster", "plan")
    node.admin("cluster", "commit")


def settle(node, seconds=600):
    begun = time.monotonic()
    while is_moving(node):
        if time.monotonic() - begun > seconds:
            raise SystemExit("the transfers do not end")
        time.sleep(0.05)
    return time.monotonic() - begun


def speed(base, new_node, row):
    """One node and its files; a second gets a copy of all of them."""
    a = new_node(base, ["nodename=n1@127.0.0.1"])
    b = new_node(base, ["nodename=n2@127.0.0.1"])
    with a, b:
        pour(a)
        before = copies(a, f"{base}/copy")
        b.admin("cluster", "join", "n1@127.0.0.1")
        time.sleep(2)
        os.sync()
        commit(a)
        time.sleep(0.2)
        took = settle(a) + 0.2
        size = sum(os.path.getsize(p) for p in glob.glob(
            f"{b.root}/data/*/vnodes/*/*"))
        after = copies(a, f"{base}/copy")
    fill, disk = size / took / 1e6, (before + after) / 2
    row("a second node is filled", f"{fill:.0f} MB/s",
        f"{fill / disk:.2f} x cp + sync of the same files ({before:.0f} MB/s "
        f"before, {after:.0f} after); {size / 1e6:.0f} MB in {took:.1f} s",
        ">= 0.60")


def latency(node, seconds):
    return node.bench("append", connections=16, seconds=seconds, rate=RATE,
                      bucket="front")["p99_us"]


def foreground(base, form, row, seconds):
    """Three nodes; a fourth takes the place of one of them."""
    nodes = form(base, 3)
    nodes.append(type(nodes[0])(base, ["nodename=n4@127.0.0.1"]))
    first, fourth = nodes[0], nodes[3]
    try:
        pour(first)
        restart(nodes[:3])
        before = latency(first, seconds)
        fourth.__enter__()
        fourth.admin("cluster", "join", "n1@127.0.0.1")
        time.sleep(2)
        first.admin("cluster", "replace", "n3@127.0.0.1", "n4@127.0.0.1")
        commit(first)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            run = pool.submit(latency, first, seconds)
            moved = settle(first)
            during = run.result()
        nodes[2].p.wait(60)  # it has left
        time.sleep(5)
        after = latency(first, seconds)
    finally:
        for node in nodes:
            if hasattr(node, "p"):
                node.__exit__()
    row(f"append p99 at {RATE}/s while a fourth node is filled",
        f"{during} us",
        f"{2 * during / (before + after):.2f} x without ({before} us before, "
        f"{after} after); the fill took {moved:.1f} s, {seconds:.0f} s were "
        "measured", "<= 2")


def fills(base, new_node, form, row, seconds):
    speed(base, new_node, row)
    foreground(base, form, row, seconds)
