#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a node says of itself: /metrics, /stats, health, iorio-admin status.

usage: test_metrics.py IORIOD [TEST...]"""
import json
import os
import subprocess
import sys
import time

import prometheus
import tap
from cluster import Cluster, eventually
from node import Node, shared

IORIOD = sys.argv[1]
PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# What Prometheus 2.45 sends.
SCRAPE = ("application/openmetrics-text;version=1.0.0,"
          "application/openmetrics-text;version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
fresh = shared(IORIOD)


def scrape(n, accept=None, token="own"):
    status, headers, data = n.request(
        "GET", "/metrics", headers={"Accept": accept} if accept else {},
        token=token)
    assert status == 200, (status, data)
    wanted = OPEN if accept == SCRAPE else PLAIN
    assert headers["Content-Type"] == wanted, headers["Content-Type"]
    assert headers["Cache-Control"] == "no-store"
    return prometheus.parse(data.decode(), accept == SCRAPE)


def all_led(n):
    """Until they are counted, which happens five times a second."""
    end = time.monotonic() + 10
    while prometheus.value(scrape(n), "iorio_consensus_leaders") != 65:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_both_formats_are_as_strict_as_can_be():
    n = fresh()
    n.post("m/strict", b"1")
    n.request("GET", "/streams/m/strict?limit=5")
    plain, opened = scrape(n), scrape(n, SCRAPE)

    def base(families):
        return {f.name[:-6] if f.name.endswith("_total") else f.name
                for f in families.values()}
    assert base(plain) == base(opened)
    for name in ("iorio_append_events_total", "iorio_append_seconds",
                 "iorio_read_events_total", "iorio_read_seconds",
                 "iorio_journal_sync_seconds", "iorio_journal_batch_records",
                 "iorio_http_requests_total", "iorio_consensus_leaders",
                 "iorio_consensus_elections_total", "iorio_fills_sending",
                 "iorio_disk_free_bytes", "iorio_clock_offset_seconds",
                 "process_cpu_seconds_total", "process_start_time_seconds",
                 "process_resident_memory_bytes"):
        assert name in plain, name
    assert n.request("HEAD", "/metrics")[0] == 200
    assert n.request("GET", "/metrics",
                     headers={"Accept": "image/png"})[0] == 406


def test_what_was_done_is_counted():
    n = fresh()
    before = scrape(n)
    for i in range(7):
        assert n.post("m/counted", b'{"n":1}')[0] == 201
    status, _, _ = n.request("POST", "/streams/m/counted", b"1\n2\n3\n",
                             {"Content-Type": "application/x-ndjson"})
    assert status == 201
    assert n.request("POST", "/streams/m/counted", b"{",
                     {"Content-Type": "application/json"})[0] == 400
    n.events("m/counted")
    n.request("GET", "/streams/m/counted/3")
    n.request("HEAD", "/streams/m/counted")
    n.request("GET", "/nothing/here")
    after = scrape(n)

    def grown(name, **labels):
        try:
            was = prometheus.value(before, name, **labels)
        except AssertionError:
            was = 0
        return prometheus.value(after, name, **labels) - was
    assert grown("iorio_append_events_total") == 10
    assert grown("iorio_append_bytes_total") == 7 * 7 + 3
    assert grown("iorio_append_seconds_count") == 8
    assert grown("iorio_append_seconds_sum") > 0
    assert grown("iorio_read_events_total") == 11
    assert grown("iorio_read_seconds_count") == 2
    route = "/streams/:b/:s"
    assert grown("iorio_http_requests_total", route=route, method="POST",
                 status="201") == 8
    assert grown("iorio_http_requests_total", route=route, method="POST",
                 status="400") == 1
    assert grown("iorio_http_requests_total", route=route, method="HEAD",
                 status="200") == 1
    assert grown("iorio_http_requests_total", route="none", status="404") == 1
    assert grown("iorio_journal_sync_seconds_count") >= 8
    assert grown("iorio_journal_batch_records_sum") >= 8
    assert grown("iorio_journal_written_bytes_total") >= 8 * 4096
    assert prometheus.value(after, "iorio_cluster_members", state="valid") == 1
    free = os.statvfs(n.root)
    free = free.f_bavail * free.f_frsize
    assert abs(prometheus.value(after, "iorio_disk_free_bytes") - free) < 1e9
    pid = f"/proc/{n.process.pid}/fd"
    assert abs(prometheus.value(after, "process_open_fds") -
               len(os.listdir(pid))) <= 3
    assert abs(prometheus.value(after, "process_start_time_seconds") -
               time.time()) < 600


def test_listeners_and_channels():
    n = fresh()
    for i in range(5):
        n.post("m/listen", b"1")
    before = scrape(n)
    c = n.connect()
    c.request("GET", "/listen?s=m:listen:1", headers={
        "x-session": n.token, "Accept": "text/event-stream"})
    r = c.getresponse()
    seen = b""
    while seen.count(b"\ndata:") < 5:
        seen += r.read1(1000)
    after = scrape(n)
    assert prometheus.value(after, "iorio_listeners", transport="sse") == 1
    assert prometheus.value(after, "iorio_listen_events_total") - \
        prometheus.value(before, "iorio_listen_events_total") == 5
    assert prometheus.value(after, "iorio_channel_hits_total") > \
        prometheus.value(before, "iorio_channel_hits_total")
    assert prometheus.value(after, "iorio_channel_misses_total") == 0
    c.close()
    eventually(lambda: prometheus.value(
        scrape(n), "iorio_listeners", transport="sse") == 0)


def test_names_of_streams_and_paths_are_no_labels():
    n = fresh()
    for i in range(30):
        n.post(f"secretbucket/secret{i}", b"1")
        n.request("GET", f"/secretpath{i}")
        n.request("BREW", "/ping")
    text = n.request("GET", "/metrics")[2].decode()
    assert "secret" not in text and "BREW" not in text
    assert len(text) < 100000, len(text)


def test_who_may_scrape():
    n = fresh()
    status, headers, data = n.request("GET", "/metrics", token=None)
    assert status == 401 and json.loads(data)["type"] == "no-perm"
    assert n.request("GET", "/metrics", token="x.y.z")[0] == 401
    with Node(IORIOD, {"metrics.public": "yes"}) as public:
        scrape(public, token=None)
        assert public.request("GET", "/metrics", token="x.y.z")[0] == 401
        assert public.request("GET", "/stats", token=None)[0] == 401


def test_workers_are_summed():
    with Node(IORIOD, {"workers": 3}) as n:
        for i in range(40):
            assert n.post(f"w/s{i}", b"1")[0] == 201
        assert prometheus.value(
            scrape(n), "iorio_append_events_total") == 40
        all_led(n)


def test_stats():
    n = fresh()
    all_led(n)
    n.post("stats/s", b"1")
    status, headers, data = n.request("GET", "/stats")
    assert status == 200 and headers["Content-Type"] == "application/json"
    o = json.loads(data)
    assert set(o) == {"node", "version", "uptime", "workers", "memory",
                      "files", "vnodes", "journal", "http"}
    assert o["node"]["name"] == "iorio@127.0.0.1"
    assert o["node"]["abs1"]["memory_total"] > 1e6
    assert o["node"]["abs1"]["process_count"] >= 3
    assert o["node"]["abs2"]["bytes_in"] >= 1
    assert o["vnodes"]["replicas"] == o["vnodes"]["leaders"] == 65
    assert o["journal"]["records"] >= 1 and o["http"]["connections"] >= 1
    assert n.request("GET", "/stats", token=None)[0] == 401
    assert n.request("GET", "/stats",
                     headers={"Accept": "text/html"})[0] == 406


def test_health():
    n = fresh()
    all_led(n)
    for path in ("/livez", "/readyz", "/healthz"):
        status, headers, data = n.request("GET", path, token=None)
        assert (status, data) == (200, b"ok"), path
        assert headers["Content-Type"] == "text/plain"
        assert headers["Cache-Control"] == "no-store"
        status, _, data = n.request("GET", path + "?verbose", token=None)
        assert status == 200 and data.startswith(b"[+]"), data
        assert data.endswith(b"\nok")
    lines = n.request("GET", "/readyz?verbose", token=None)[2].decode()
    assert "partitions without a leader 0 of 65 here\n" in lines
    assert "pending transfers 0\nmembers up 1 of 1\nfree bytes " in lines


def test_status_of_iorio_admin_has_the_same():
    n = fresh()

    def status(*words):
        return subprocess.run(
            [f"{n.root}/bin/iorio-admin", "status", *words], timeout=20,
            capture_output=True, text=True, check=True).stdout
    n.post("m/admin", b"1")
    o = json.loads(status("--format=json"))
    names = {k.split("{")[0] for k in o["metrics"]}
    plain = scrape(n)
    assert names == set(plain), names ^ set(plain)
    assert o["metrics"]["iorio_append_seconds"]["count"] >= 1
    assert o["metrics"]["iorio_append_events_total"] >= 1
    text = status()
    assert "streams : " in text and "\niorio_append_events_total : " in text


def reports(n, query="?limit=1000"):
    status, _, data = n.request("GET", "/streams/$sys/metrics" + query)
    assert status == 200, data
    return [e["data"] for e in json.loads(data)]


def test_a_node_appends_what_it_measures_to_a_stream():
    with Node(IORIOD, {"metrics.interval": "1s"}) as n:
        assert n.post("b/s", b"1")[0] == 201
        # its own do not count
        eventually(lambda: len(reports(n)) >= 3 and reports(n, "")[0][
            "metrics"]["iorio_append_events_total"] >= 1)
        for r in reports(n):
            assert r["node"] == "iorio@127.0.0.1"
            assert set(r) == {"node", "metrics"}
        m = reports(n, "")[0]["metrics"]
        assert m["iorio_append_events_total"] == 1, m
        assert m["iorio_append_seconds"]["count"] == 1
        assert m['iorio_cluster_members{state="valid"}'] == 1
        assert {k.split("{")[0] for k in m} >= set(scrape(n))
        out = n.request("GET", "/buckets")[2]
        assert json.loads(out)["data"] == ["$sys", "b"]
    with Node(IORIOD, {"metrics.interval": "1s", "metrics.bucket": "ops",
                       "metrics.stream": "all of it"}) as n:
        eventually(lambda: n.request("GET", "/streams/ops/all%20of%20it")[2]
                   != b"[]")
    n = Node(IORIOD, {"metrics.bucket": "a:b"})
    n.start(wait=False)
    assert n.process.wait(20) == 1 and "metrics.bucket" in n.console()
    n.close()


def test_reports_do_not_keep_a_node_from_joining():
    with Cluster(IORIOD, 3, {"metrics.interval": "1s"}) as c:
        for n in c.nodes:
            eventually(lambda: len(reports(n)) >= 1)
            assert c.json(c.nodes.index(n) + 1, "status")["streams"] == 0
        c.form()
        names = {n.name for n in c.nodes}
        eventually(lambda: {r["node"] for r in reports(c.nodes[1])} == names)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
