# SPDX-License-Identifier: AGPL-3.0-or-later
"""JSON as trees that keep the texts of scalars, and patches to them: RFC 6902
and 7396, written down once more, as dumb as they can be.

A value is a str (the text of a scalar), a list, or a Members: pairs of a name's
text and a value, in order; of members with one name only the last counts."""
import decimal
import json
import re

TOKEN = re.compile(
    r'[ \t\r\n]*("(?:[^"\\]|\\.)*"|[\[\]{},:]|[^ \t\r\n\[\]{},:"]+)', re.S)


class Failed(Exception):
    pass


class Members(list):
    """[[name, value], ...]"""

    def at(self, name):
        """The pair with this name, as a string that was decoded; or None."""
        for pair in self:
            if json.loads(pair[0]) == name:
                return pair
        return None


def tokens(text):
    return TOKEN.findall(text)


def parse(text):
    """TEXT is JSON."""
    value, rest = take(tokens(text), 0)
    return value


def take(t, i):
    if t[i] == "[":
        out, i = [], i + 1
        while t[i] != "]":
            value, i = take(t, i)
            out.append(value)
            i += t[i] == ","
        return out, i + 1
    if t[i] == "{":
        out, i = Members(), i + 1
        while t[i] != "}":
            name = t[i]
            value, i = take(t, i + 2)
            old = out.at(json.loads(name))
            if old:
                out.remove(old)
            out.append([name, value])
            i += t[i] == ","
        return out, i + 1
    return t[i], i + 1


def write(v):
    if isinstance(v, Members):
        return "{" + ",".join(n + ":" + write(x) for n, x in v) + "}"
    if isinstance(v, list):
        return "[" + ",".join(map(write, v)) + "]"
    return v


def copy(v):
    return parse(write(v))


def equal(a, b):
    if isinstance(a, Members) and isinstance(b, Members):
        return len(a) == len(b) and all(
            b.at(json.loads(n)) and equal(v, b.at(json.loads(n))[1])
            for n, v in a)
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if a[0] in "-0123456789" and b[0] in "-0123456789":
        return decimal.Decimal(a) == decimal.Decimal(b)
    return a == b or (a[0] == b[0] == '"' and json.loads(a) == json.loads(b))


# --- RFC 7396 ----------------------------------------------------------------

def merge(target, patch):
    if not isinstance(patch, Members):
        return patch
    if not isinstance(target, Members):
        target = Members()
    for name, value in patch:
        pair = target.at(json.loads(name))
        if value == "null":
            if pair:
                target.remove(pair)
        elif pair:
            pair[1] = merge(pair[1], value)
        else:
            target.append([name, merge(None, value)])
    return target


# --- RFC 6902 ----------------------------------------------------------------

def pointer(text):
    """Its tokens."""
    if not isinstance(text, str):
        raise Failed("no string")
    if text and text[0] != "/" or re.search("~(?![01])", text):
        raise Failed("no pointer")
    return [t.replace("~1", "/").replace("~0", "~")
            for t in text.split("/")[1:]]


def index(token, n):
    if not re.fullmatch("0|[1-9][0-9]*", token) or int(token) >= n:
        raise Failed("no index")
    return int(token)


def child(v, token):
    if isinstance(v, Members):
        pair = v.at(token)
        if not pair:
            raise Failed("no member")
        return pair[1]
    if isinstance(v, list):
        return v[index(token, len(v))]
    raise Failed("no container")


def get(doc, path):
    for token in path:
        doc = child(doc, token)
    return doc


def add(doc, path, value):
    if not path:
        return value
    parent, last = get(doc, path[:-1]), path[-1]
    if isinstance(parent, Members):
        pair = parent.at(last)
        if pair:
            pair[1] = value
        else:
            parent.append([json.dumps(last, ensure_ascii=False), value])
    elif isinstance(parent, list):
        at = len(parent) if last == "-" else index(last, len(parent) + 1)
        parent.insert(at, value)
    else:
        raise Failed("no container")
    return doc


def remove(doc, path):
    if not path:
        raise Failed("everything")
    parent, last = get(doc, path[:-1]), path[-1]
    child(parent, last)
    if isinstance(parent, Members):
        parent.remove(parent.at(last))
    else:
        del parent[int(last)]
    return doc


def replace(doc, path, value):
    get(doc, path)
    if not path:
        return value
    parent, last = get(doc, path[:-1]), path[-1]
    if isinstance(parent, Members):
        parent.at(last)[1] = value
    else:
        parent[int(last)] = value
    return doc


def one(doc, op):
    def member(name):
        pair = op.at(name) if isinstance(op, Members) else None
        if not pair:
            raise Failed(name)
        return pair[1]
    name, path = json.loads(write(member("op"))), pointer(
        json.loads(write(member("path"))))
    if name not in ("add", "remove", "replace", "test", "move", "copy"):
        raise Failed("op")
    if name == "add":
        return add(doc, path, copy(member("value")))
    if name == "remove":
        return remove(doc, path)
    if name == "replace":
        return replace(doc, path, copy(member("value")))
    if name == "test":
        if not equal(get(doc, path), member("value")):
            raise Failed("test")
        return doc
    source = pointer(json.loads(write(member("from"))))
    value = copy(get(doc, source))
    if name == "move":
        if source == path:
            return doc
        if path[:len(source)] == source:
            raise Failed("into itself")
        doc = remove(doc, source)
    return add(doc, path, value)


def apply(doc, patch):
    """(result, None), or (None, index of the operation that failed)."""
    for i, op in enumerate(patch):
        try:
            doc = one(doc, op)
        except Failed:
            return None, i
    return doc, None
