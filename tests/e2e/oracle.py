# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a server must answer: all streams in lists, and each call of the streams
API by the letter of the manual.

Times are the server's: an answer says them, and they are checked not to
decrease."""
import base64
import json
import re
import urllib.parse

import jsontree

CAP = 10000  # events of a JSON answer
JSON, NDJSON = "application/json", "application/x-ndjson"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
SUFFIX = "-$patch"


class Event:
    def __init__(self, data, type_=None, t=None):
        self.data, self.type, self.t = data, type_, t

    def json(self, seq, ndjson):
        meta = b'{"meta":{"id":%d,"t":%d' % (seq, self.t)
        if self.type is None:
            data = self.data
            if ndjson:
                data = data.replace(b"\n", b" ").replace(b"\r", b" ")
            return meta + b'}, "data":' + data + b"}"
        return meta + b',"type":%s}, "data64":"%s"}' % (
            json.dumps(self.type).encode(), base64.b64encode(self.data))

    def __eq__(self, other):
        return (self.data, self.type) == (other.data, other.type)


class Stream:
    def __init__(self, life):
        self.events = []
        self.first = 1  # the oldest that is visible
        self.keys = {}  # key -> (fingerprint, answer)
        self.life = life


    def visible(self):
        return self.events[self.first - 1:]

    def hide(self, policy):
        """What POLICY lets go; it never comes back."""
        n, left = 0, policy.get("max_bytes", float("inf"))
        for e in reversed(self.visible()):
            left -= len(e.data)
            if n and (left < 0 or n >= policy.get("max_events", n + 1)):
                break  # the newest stays in any case
            n += 1
        self.first = len(self.events) - n + 1 if n else self.first


class Wrong(AssertionError):
    pass


def must(ok, *what):
    if not ok:
        raise Wrong(*what)


def is_json(data):
    try:
        text = data.decode()
        json.loads(text)
    except ValueError:
        return False
    return not re.search(r"NaN|Infinity", text) and not text.startswith("﻿")


class Write:
    """POST, PUT or PATCH as it will be: `events` of the stream, or an error."""

    def __init__(self, status, events=(), patch=None, answer=None, **fields):
        self.status, self.events, self.patch = status, list(events), patch
        self.answer, self.fields = answer, fields


class Oracle:
    def __init__(self):
        self.streams = {}
        self.lives = 0
        self.tags = {}  # (life, low, high, form) -> tag, and back
        self.policies = {}  # (bucket, stream or None) -> limits

    def stream(self, name):
        return self.streams.get(name) or Stream(None)

    def make(self, name):
        if name not in self.streams:
            self.lives += 1
            self.streams[name] = Stream(self.lives)
        return self.streams[name]

    # --- policies ------------------------------------------------------------

    def effective(self, name):
        return {**self.policies.get((name[0], None), {}),
                **self.policies.get(name, {})}

    def hide(self, name):
        self.streams[name].hide(self.effective(name))

    def check_policy(self, call, status, data):
        if call.limits is None:
            must((status, data) == (204, b""), call, status, data)
            self.policies.pop(call.name, None)
        else:
            self.policies[call.name] = call.numbers()
            got = json.loads(data)
            must(status == 200, call, status, data)
            must(got["policy"] == call.numbers(), call, data)
            must(got["effective"] == self.effective(call.name), call, data)
        for name in self.streams:
            self.hide(name)

    # --- writes --------------------------------------------------------------

    def predict(self, call):
        """What becomes of a Call that writes, were it done now."""
        s = self.stream(call.name)
        newest = len(s.events)
        if call.method == "PUT" and call.expect is None and not call.key:
            return Write(428, type="precondition-required")
        if call.method == "PATCH" and call.type not in (JSON_PATCH, MERGE):
            return Write(415)
        if call.method == "PATCH" and (
                call.name[1].endswith(SUFFIX) or
                len(call.name[1].encode()) > 248):
            return Write(400, type="illegal-name")
        events, error = ([], None) if call.method == "PATCH" else call.parse()
        if error:
            return error
        if call.key and call.key in s.keys:
            fingerprint, answer = s.keys[call.key]
            if fingerprint != call.fingerprint():
                return Write(422, type="idempotency-mismatch")
            return Write(201 if call.method != "PATCH" else 200,
                         answer=answer)
        if call.method == "PATCH" and newest == 0:
            return Write(404, type="not-found")
        if call.expect is not None and call.expect != newest:
            return Write(412, type="precondition-failed",
                         expected=call.expect, got=newest)
        if call.method == "PATCH":
            return self.predict_patch(call, s.events[-1])
        return Write(201, events)

    def predict_patch(self, call, newest):
        if newest.type is not None or not is_json(call.body):
            return Write(400, type="invalid-body", op=None)
        doc = jsontree.parse(newest.data.decode())
        patch = jsontree.parse(call.body.decode())
        op = None
        if call.type == MERGE:
            doc = jsontree.merge(doc, patch)
        elif isinstance(patch, jsontree.Members) or \
                not isinstance(patch, list):
            return Write(400, type="invalid-body", op=None)
        else:
            doc, op = jsontree.apply(doc, patch)
        if op is not None:
            return Write(400, type="invalid-body", op=op)
        return Write(200, [Event(jsontree.write(doc).encode())],
                     Event(call.body))

    def commit(self, call, will, meta):
        """It was done: META is the answer's, or None."""
        if will.status not in (200, 201) or will.answer:
            return
        s = self.make(call.name)
        first, t = len(s.events) + 1, meta["t"]
        must(not s.events or s.events[-1].t <= t, "time goes back", meta)
        for e in will.events:
            e.t = t
            s.events.append(e)
        if will.patch:
            log = self.make((call.name[0], call.name[1] + SUFFIX))
            must(not log.events or log.events[-1].t <= t, "time goes back")
            will.patch.t = t
            log.events.append(will.patch)
            self.hide((call.name[0], call.name[1] + SUFFIX))
        self.hide(call.name)
        if call.key:
            s.keys[call.key] = (call.fingerprint(),
                                self.meta(call, first, len(will.events), t))

    @staticmethod
    def meta(call, first, n, t):
        if call.type == NDJSON and call.method != "PATCH":
            return {"first": first, "last": first + n - 1, "count": n, "t": t}
        return {"id": first, "t": t}

    def check_write(self, call, status, headers, data):
        will = self.predict(call)
        must(status == will.status, call, will.status, status, data[:300])
        body = json.loads(data) if data else {}
        if status not in (200, 201):
            if status == 415:
                must(data == b"" and (call.method != "PATCH" or
                                      headers["Accept-Patch"]), data)
            for k, v in will.fields.items():
                must(body.get(k) == v, call, k, v, body)
            return
        meta = body["meta"]
        want = will.answer or self.meta(
            call, len(self.stream(call.name).events) + 1, len(will.events),
            meta["t"])
        must(meta == want, call, want, meta)
        replayed = headers["Idempotent-Replayed"] == "true"
        must(replayed == bool(will.answer) or (replayed and call.again), call,
             headers.items())
        if status == 201:
            must(headers["Location"] == "%s/%d" % (
                call.path(), meta.get("id") or meta["first"]), headers.items())
        self.commit(call, will, meta)

    def delete(self, name):
        self.streams.pop(name, None)

    # --- reads ---------------------------------------------------------------

    def select(self, name, params, ndjson):
        """The seqnums of an answer in order, and whether the range is cut;
        None: bad parameters.  MOST is the same before the cut."""
        def integer(key):
            v = params.get(key, "")
            return int(v) if re.fullmatch("-?[0-9]+", v) else None
        events = self.stream(name).events
        start, to = integer("from"), integer("to")
        if "to" in params and to is None:
            return None
        low, high = self.stream(name).first, len(events)
        if to is not None:
            high = min(high, to)
        if start is not None and start > 0:
            low = max(low, start)
        for key, f in (("since", lambda t, x: t >= x),
                       ("until", lambda t, x: t < x)):
            if key in params:
                x = int(params[key])
                kept = [i for i in range(1, len(events) + 1)
                        if f(events[i - 1].t, x)]
                low = max(low, kept[0] if kept else len(events) + 1)
                high = min(high, kept[-1] if kept else 0)
        every = {"to", "since", "until"} & set(params) or (
            ndjson and start is not None)
        limit = -start if (start or 0) < 0 else None if every else 1
        if "limit" in params:
            limit = integer("limit")
            limit = 1 if limit is None else max(limit, 0)
        seqs = list(range(low, high + 1))
        if start is not None and start < 0:
            seqs = seqs[start:]
        desc = params.get("order") == "desc"
        if desc:
            seqs.reverse()
        if limit is not None and len(seqs) > limit:
            last = start is None and not desc and limit
            seqs = seqs[-limit:] if last else seqs[:limit]
        return seqs

    def check_read(self, call, status, headers, data):
        params, ndjson = call.params, call.accept == NDJSON
        events = self.stream(call.name).events
        seqs = self.select(call.name, params, ndjson)
        if seqs is None:
            must(status == 400 and (
                call.method == "HEAD" or
                json.loads(data)["type"] == "invalid-field"), call, status)
            return
        must(headers["Iorio-Last"] == str(len(events)), call, len(events),
             headers["Iorio-Last"])
        first = self.stream(call.name).first if events else 0
        must(headers["Iorio-First"] == str(first), call, first,
             headers["Iorio-First"])
        closed = "to" in params and int(params["to"]) <= len(events)
        must(closed == bool(headers["ETag"]), call, headers.items())
        form = (ndjson, params.get("order") == "desc")
        tag = self.check_tag(call, headers, seqs, form) if closed else None
        must(headers["Cache-Control"] == (
            "private, no-cache" if closed else "no-store"), call)
        if closed and call.if_none_match == tag:
            must((status, data) == (304, b""), call, status)
            return
        must(status == 200, call, status, data[:300])
        want = [events[i - 1].json(i, ndjson) for i in seqs]
        want = b"".join(x + b"\n" for x in want) if ndjson else \
            b"[" + b",".join(want) + b"]"
        must(data == (b"" if call.method == "HEAD" else want), call,
             want[:2000], data[:2000])

    def check_tag(self, call, headers, seqs, form):
        """One tag is one answer of a stream's name, for ever."""
        key = (call.name, self.stream(call.name).life, min(seqs, default=0),
               max(seqs, default=0), form)
        tag = headers["ETag"]
        must(self.tags.setdefault(key, tag) == tag, call, key)
        must(self.tags.setdefault((call.name, tag), key) == key, call, key)
        return tag

    def check_raw(self, call, status, headers, data):
        events = self.stream(call.name).events
        seq = call.seq
        if not 1 <= seq <= len(events):
            must(status == 404 and json.loads(data)["type"] == "not-found",
                 call, status)
            return
        first = self.stream(call.name).first
        if seq < first:
            got = json.loads(data)
            must((status, got["type"], got["first"]) == (410, "gone", first),
                 call, status, data)
            return
        e = events[seq - 1]
        must((status, data) == (200, e.data), call, status, data[:200])
        must(headers["Content-Type"] == (e.type or JSON), call)
        must((headers["Iorio-Seq"], headers["Iorio-Time"]) == (
            str(seq), str(e.t)), call, headers.items())

    # --- lists ---------------------------------------------------------------

    def check_list(self, call, status, headers, data):
        names = {b if call.bucket is None else s for b, s in self.streams
                 if call.bucket in (None, b)}
        names = sorted((n for n in names
                        if n.startswith(call.params.get("prefix", "")) and
                        n.encode() > call.params.get("after", "").encode()),
                       key=str.encode)
        limit = min(int(call.params.get("limit", CAP)), CAP)
        more = len(names) > limit > 0
        names = names[:limit]
        if "detail" in call.params and call.bucket is not None:
            names = [self.detail((call.bucket, n)) for n in names]
        must((status, json.loads(data)) == (
            200, {"status": "ok", "data": names}), call, names, data[:500])
        must(more == ('rel="next"' in (headers["Link"] or "")), call,
             headers["Link"])

    def detail(self, name):
        s = self.streams[name]
        kept = s.visible()
        return {"name": name[1], "first": s.first, "last": len(s.events),
                "count": len(kept), "bytes": sum(len(e.data) for e in kept),
                "t": kept[-1].t}


# --- calls -------------------------------------------------------------------

class Call:
    """One request.  What it does not have is None."""
    WRITES = ("POST", "PUT", "PATCH")

    def __init__(self, method, name, body=b"", type_=None, expect=None,
                 key=None, seq=None, params=None, accept=None, bucket=None,
                 if_none_match=None, what="read"):
        self.method, self.name, self.body, self.type = (method, name, body,
                                                        type_)
        self.expect, self.key, self.seq = expect, key, seq
        self.params, self.accept, self.bucket = params or {}, accept, bucket
        self.if_none_match, self.what = if_none_match, what
        self.again = False  # it was sent before, and may have been done

    def __repr__(self):
        return f"{self.method} {self.target()} {self.headers()} " \
               f"{self.body[:300]}"

    def path(self):
        parts = ["streams", *self.name] if self.name else (
            ["streams", self.bucket] if self.bucket is not None
            else ["buckets"])
        return "/" + "/".join(urllib.parse.quote(p, safe="") for p in parts)

    def target(self):
        path = self.path() + (f"/{self.seq}" if self.seq is not None else "")
        query = urllib.parse.urlencode(self.params,
                                       quote_via=urllib.parse.quote)
        return path + ("?" + query if query else "")

    def headers(self):
        h = {"Content-Type": self.type, "Accept": self.accept,
             "Idempotency-Key": self.key,
             "If-None-Match": self.if_none_match}
        if self.expect is not None:
            h["If-Match"] = f'"{self.expect}"'
        return {k: v for k, v in h.items() if v is not None}

    def fingerprint(self):
        return self.method == "PATCH", self.type, self.body

    def parse(self):
        """(events, None) of POST and PUT, or (None, the error)."""
        if self.type is None:
            return None, Write(415)
        if self.type == JSON:
            if not is_json(self.body):
                return None, Write(400, type="invalid-body")
            return [Event(self.body)], None
        if self.type != NDJSON:
            return [Event(self.body, self.type)], None
        events = []
        for k, line in enumerate(self.body.split(b"\n"), 1):
            line = line[:-1] if line.endswith(b"\r") else line
            if line.strip(b" \t\r") == b"":
                continue
            if not is_json(line):
                return None, Write(400, type="invalid-body", line=k)
            events.append(Event(line))
        if not events:
            return None, Write(400, type="invalid-body", line=None)
        return events, None


class PolicyCall(Call):
    """LIMITS of a bucket, or a stream of it; None: DELETE."""
    SIZES = {"1KB": 1024, "4KB": 4096, "1d": 86400000}

    def __init__(self, name, limits):
        body = b"" if limits is None else json.dumps(limits).encode()
        super().__init__("PUT" if limits else "DELETE", name, body, JSON,
                         what="policy")
        self.limits = limits

    def path(self):
        return "/policies/" + "/".join(urllib.parse.quote(p, safe="")
                                       for p in self.name if p is not None)

    def numbers(self):
        return {k: self.SIZES.get(v, v) for k, v in self.limits.items()}
