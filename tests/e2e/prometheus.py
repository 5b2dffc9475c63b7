# SPDX-License-Identifier: AGPL-3.0-or-later
"""A strict reader of what /metrics says: text format 0.0.4 and OpenMetrics 1.0.

Stricter than Prometheus itself: every family has HELP and TYPE once, before its
samples, which stand together; names follow the conventions."""
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.eE+-]+|\+Inf|NaN)\Z')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\Z)')
BASE_UNITS = ("_seconds", "_bytes")
OTHER_UNITS = ("_milliseconds", "_ms", "_us", "_microseconds", "_kb", "_mb",
               "_minutes", "_percent")


class Family:
    def __init__(self, name):
        self.name, self.help, self.type = name, None, None
        self.samples = []  # (name, labels as a sorted tuple, value)


def labels_of(text):
    out, at = [], 0
    while at < len(text):
        m = LABEL.match(text, at)
        assert m, f"labels {text!r}"
        out.append((m.group(1), m.group(2)))
        at = m.end()
        assert m.group(3) != "," or at < len(text), f"labels {text!r}"
    names = [k for k, _ in out]
    assert len(set(names)) == len(names), f"a label twice: {text!r}"
    return tuple(sorted(out))


def family_of(name, family, openmetrics):
    suffixes = {"histogram": ("_bucket", "_sum", "_count"), "gauge": ("",),
                "counter": ("_total",) if openmetrics else ("",)}
    return any(name == family.name + s for s in suffixes[family.type])


def check_histogram(f):
    by_labels = {}
    for name, labels, value in f.samples:
        rest = tuple(x for x in labels if x[0] != "le")
        one = by_labels.setdefault(rest, {"buckets": []})
        if name.endswith("_bucket"):
            bound = dict(labels)["le"]
            one["buckets"].append(
                (math.inf if bound == "+Inf" else float(bound), value))
        else:
            assert name not in one, name
            one[name] = value
    for one in by_labels.values():
        bounds = [b for b, _ in one["buckets"]]
        counts = [n for _, n in one["buckets"]]
        assert bounds == sorted(set(bounds)) and bounds[-1] == math.inf, f.name
        assert counts == sorted(counts), f"{f.name} is not cumulative"
        assert one[f.name + "_count"] == counts[-1], f.name
        assert one[f.name + "_sum"] >= 0
        assert counts[-1] or one[f.name + "_sum"] == 0


def check_name(f, openmetrics):
    base = f.name
    if f.type == "counter" and not openmetrics:
        assert base.endswith("_total"), f"counter {base}"
        base = base[:-len("_total")]
    assert not base.endswith("_total"), base
    assert NAME.match(base) and "__" not in base, base
    assert not any(base.endswith(u) for u in OTHER_UNITS), f"unit of {base}"
    if f.type == "histogram":
        assert base.endswith(BASE_UNITS + ("_records",)), base


def parse(text, openmetrics=False):
    """{family: Family}; fails where anything is not as it must be."""
    assert text.endswith("\n") and "\r" not in text
    lines = text[:-1].split("\n")
    if openmetrics:
        assert lines.pop() == "# EOF"
    assert "# EOF" not in lines
    families, now, seen = {}, None, set()
    for line in lines:
        if line.startswith("# HELP ") or line.startswith("# TYPE "):
            _, what, name, rest = line.split(" ", 3)
            if what == "HELP":
                assert name not in families, f"{name} begins twice"
                now = families[name] = Family(name)
                assert rest and rest[0].isupper() or rest[0].isdigit(), line
                assert rest.endswith("."), line
                now.help = rest
            else:
                assert now and now.name == name and not now.type, line
                assert rest in ("counter", "gauge", "histogram"), line
                now.type = rest
                check_name(now, openmetrics)
            continue
        m = SAMPLE.match(line)
        assert m, f"not a sample: {line!r}"
        name, labels, value = m.group(1), labels_of(m.group(2) or ""), \
            float(m.group(3))
        assert now and family_of(name, now, openmetrics), \
            f"{line!r} is not of {now and now.name}"
        assert (name, labels) not in seen, f"twice: {line!r}"
        seen.add((name, labels))
        assert now.type != "counter" or value >= 0
        now.samples.append((name, labels, value))
    for f in families.values():
        assert f.type, f"{f.name} has no type"
        if f.type == "histogram":
            check_histogram(f)
    return families


def value(families, name, **labels):
    """The sum of the samples NAME that have LABELS."""
    found = [v for f in families.values() for n, at, v in f.samples
             if n == name and all((k, x) in at for k, x in labels.items())]
    assert found, f"there is no {name} {labels}"
    return sum(found)
