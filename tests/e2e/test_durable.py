#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What was acknowledged is there: after kill -9, after a clean stop, under load.

usage: test_durable.py IORIOD [TEST...]"""
import collections
import json
import random
import sys
import threading
import time

import tap
from node import Node, parse

IORIOD = sys.argv[1]
QUAKES = "tests/data/earthquakes.ndjson"
WORKERS = (1, 2, 4)  # in turn, over the same data


def load_quakes():
    streams = collections.defaultdict(list)
    with open(QUAKES, "rb") as f:
        for line in f:
            line = line.rstrip(b"\n")
            net = json.loads(line)["properties"]["net"]
            streams[net].append(line)
    return streams


def ndjson(node, stream):
    status, _, data = node.request(
        "GET", f"/streams/{stream}?from=1",
        headers={"Accept": "application/x-ndjson"})
    assert status == 200, (status, data[:200], node.console()[-1500:])
    return data.splitlines()


def check_quakes(node, streams):
    for net, want in streams.items():
        lines = ndjson(node, "usgs/" + net)
        assert len(lines) == len(want), (net, len(lines), len(want))
        for seq, (line, body) in enumerate(zip(lines, want), 1):
            head, _, data = line.partition(b', "data":')
            assert data == body + b"}", (net, seq, data, body)
            assert json.loads(head + b"}")["meta"]["id"] == seq
    names = parse(node.request("GET", "/streams/usgs")[2])["data"]
    assert names == sorted(streams), names


def test_real_events_come_back_byte_for_byte():
    streams = load_quakes()
    assert sum(map(len, streams.values())) == 1707
    with Node(IORIOD, {"workers": WORKERS[-1]}) as node:
        c = node.connect()
        for net, events in streams.items():
            for seq, body in enumerate(events, 1):
                status, data = node.post("usgs/" + net, body, c)
                assert status == 201, (status, data)
                assert parse(data)["meta"]["id"] == seq
        check_quakes(node, streams)
        node.kill()
        node.start()
        check_quakes(node, streams)
        node.stop()
        node.start()
        check_quakes(node, streams)


class Writer(threading.Thread):
    """Posts numbered events to its own and to shared streams until the node
    is gone; keeps what was acknowledged and what is in doubt."""

    def __init__(self, node, name, streams, acked, doubt, stop):
        super().__init__(daemon=True)
        self.node, self.label, self.streams = node, name, streams
        self.acked, self.doubt, self.stopping = acked, doubt, stop
        self.rng = random.Random(name)
        self.n = 0

    def run(self):
        try:
            c = self.node.connect()
            while not self.stopping.is_set():
                stream = self.rng.choice(self.streams)
                self.n += 1
                pad = "x" * self.rng.choice((0, 10, 100, 3000))
                body = json.dumps({"w": self.label, "n": self.n,
                                   "pad": pad}).encode()
                self.doubt[body] = stream
                status, data = self.node.post(stream, body, c)
                if status != 201:
                    if status == 503:
                        del self.doubt[body]
                    continue
                self.acked[(stream, parse(data)["meta"]["id"])] = (
                    body, parse(data)["meta"]["t"])
                del self.doubt[body]
        except (OSError, ValueError, AssertionError) as e:
            self.error = e
        except Exception as e:  # http.client's own
            self.error = e


def check_acked(node, streams, acked, doubt):
    seen = set()
    for stream in streams:
        lines = ndjson(node, stream)
        for seq, line in enumerate(lines, 1):
            head, _, data = line.partition(b', "data":')
            meta, body = json.loads(head + b"}")["meta"], data[:-1]
            assert meta["id"] == seq, (stream, seq, meta)
            assert body not in seen, ("twice", body[:80])
            seen.add(body)
            known = acked.pop((stream, seq), None)
            if known:
                assert known == (body, meta["t"]), (stream, seq)
            else:
                assert doubt.get(body) == stream, ("unknown", body[:80])
            acked.setdefault(("kept", stream, seq), (body, meta["t"]))
    lost = [k for k in acked if k[0] != "kept"]
    assert not lost, f"{len(lost)} acknowledged events are lost: {lost[:3]}"


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.005)


def rounds(n, how, seconds):
    streams = [f"b{i % 4}/s{i}" for i in range(40)]
    kept, acked, doubt = {}, {}, {}
    total = 0
    with Node(IORIOD, {"journal.segment": "32MB", "journal.max": "128MB",
                       "workers": WORKERS[0]}) as node:
        for i in range(n):
            stop = threading.Event()
            writers = [Writer(node, f"{i}.{w}", streams, acked, doubt, stop)
                       for w in range(8)]
            for w in writers:
                w.start()
            until(lambda: len(acked) > 20)
            time.sleep(seconds * random.Random(i).random())
            how(node)
            node.options["workers"] = WORKERS[(i + 1) % len(WORKERS)]
            stop.set()
            for w in writers:
                w.join(30)
            node.start()
            total += len(acked)
            acked.update({k[1:]: v for k, v in kept.items()})
            check_acked(node, streams, acked, doubt)
            kept = dict(acked)
            acked.clear()
    print(f"# {n} rounds, {total} acknowledged events, {len(kept)} kept")


def test_twenty_kills_under_eight_writers_lose_nothing():
    rounds(20, lambda node: node.kill(), 0.8)


def test_stops_under_load_lose_nothing():
    rounds(4, lambda node: node.stop(), 0.8)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
