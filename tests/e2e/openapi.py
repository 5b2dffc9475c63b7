# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reads an OpenAPI 3.1 document strictly and holds answers against it."""
import json
import re

METHODS = {"get", "put", "post", "delete", "patch"}
# Of JSON Schema, what the document uses; anything else is a mistake in it.
KEYWORDS = {
    "$ref", "type", "properties", "required", "additionalProperties", "items",
    "enum", "const", "oneOf", "allOf", "pattern", "minimum", "maximum",
    "minLength", "maxLength", "description", "contentEncoding"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool,
         "integer": int, "number": (int, float), "null": type(None)}


class Mismatch(AssertionError):
    pass


class Document:
    def __init__(self, text):
        self.doc = json.loads(text)

    def deref(self, x):
        while isinstance(x, dict) and "$ref" in x:
            assert set(x) == {"$ref"}, x
            ref = x["$ref"]
            assert ref.startswith("#/components/"), ref
            x = self.doc
            for word in ref[2:].split("/"):
                x = x[word]
        return x

    # --- the document itself ------------------------------------------------

    def check(self):
        d = self.doc
        assert d["openapi"].startswith("3.1.")
        assert {"title", "version"} <= set(d["info"])
        tags = {t["name"] for t in d["tags"]}
        ids = set()
        for path, item in d["paths"].items():
            names = re.findall(r"\{(\w+)\}", path)
            for method, op in item.items():
                if method == "parameters":
                    continue
                where = f"{method} {path}"
                assert method in METHODS, where
                assert op["operationId"] not in ids, where
                ids.add(op["operationId"])
                assert set(op["tags"]) <= tags and op["summary"], where
                ps = [self.deref(p) for p in item.get("parameters", []) +
                      op.get("parameters", [])]
                assert sorted(p["name"] for p in ps if p["in"] == "path") == \
                    sorted(names), where
                for p in ps:
                    assert p["in"] in ("path", "query", "header"), where
                    assert p["in"] != "path" or p["required"] is True, where
                    self.check_schema(p["schema"], where)
                if "requestBody" in op:
                    self.check_content(self.deref(op["requestBody"]), where)
                assert op["responses"], where
                for status, r in op["responses"].items():
                    r = self.deref(r)
                    assert re.fullmatch("[1-5][0-9][0-9]", status), where
                    assert r["description"], where
                    for h in r.get("headers", {}).values():
                        self.check_schema(self.deref(h)["schema"], where)
                    self.check_content(r, where)
                for need in op.get("security", d["security"]):
                    assert set(need) <= \
                        set(d["components"]["securitySchemes"]), where
        for schema in d["components"]["schemas"].values():
            self.check_schema(schema, "components")

    def check_content(self, x, where):
        for kind, media in x.get("content", {}).items():
            assert "/" in kind, where
            self.check_schema(media["schema"], where)

    def check_schema(self, s, where):
        assert isinstance(s, dict), (where, s)
        assert set(s) <= KEYWORDS, (where, set(s) - KEYWORDS)
        if "$ref" in s:
            self.deref(s)
            return
        for t in self.types(s):
            assert t in TYPES, (where, t)
        for sub in list(s.get("properties", {}).values()) + \
                s.get("oneOf", []) + s.get("allOf", []):
            self.check_schema(sub, where)
        for sub in (s.get("items"), s.get("additionalProperties")):
            if isinstance(sub, dict):
                self.check_schema(sub, where)
        if s.get("additionalProperties") is False:
            assert set(s.get("required", [])) <= set(s["properties"]), where

    @staticmethod
    def types(s):
        t = s.get("type", [])
        return [t] if isinstance(t, str) else t

    # --- values -------------------------------------------------------------

    def fits(self, v, s):
        try:
            self.validate(v, s)
            return True
        except Mismatch:
            return False

    def validate(self, v, s, at=""):
        def need(ok, why):
            if not ok:
                raise Mismatch(f"{at or 'value'}: {why}: {v!r}"[:400])
        s = self.deref(s)
        types = self.types(s)
        need(not types or any(
            isinstance(v, TYPES[t]) and
            (not isinstance(v, bool) or t == "boolean") for t in types),
            f"is not {types}")
        need("const" not in s or v == s["const"], f"is not {s.get('const')}")
        need("enum" not in s or v in s["enum"], f"is not in {s.get('enum')}")
        for sub in s.get("allOf", []):
            self.validate(v, sub, at)
        if "oneOf" in s:
            n = sum(self.fits(v, sub) for sub in s["oneOf"])
            need(n == 1, f"fits {n} of oneOf")
        if isinstance(v, str):
            need("pattern" not in s or re.search(s["pattern"], v), "pattern")
            need(len(v) >= s.get("minLength", 0), "minLength")
            need(len(v) <= s.get("maxLength", len(v)), "maxLength")
        if isinstance(v, (int, float)) and not isinstance(v, bool):
            need(v >= s.get("minimum", v), "minimum")
            need(v <= s.get("maximum", v), "maximum")
        if isinstance(v, list) and "items" in s:
            for i, x in enumerate(v):
                self.validate(x, s["items"], f"{at}[{i}]")
        if isinstance(v, dict):
            props = s.get("properties", {})
            for name in s.get("required", []):
                need(name in v, f"has no {name}")
            for name, x in v.items():
                if name in props:
                    self.validate(x, props[name], f"{at}.{name}")
                elif "additionalProperties" in s:
                    more = s["additionalProperties"]
                    need(more is not False, f"{name} is not described")
                    if isinstance(more, dict):
                        self.validate(x, more, f"{at}.{name}")

    # --- answers ------------------------------------------------------------

    def operation(self, method, path):
        """Of a path without query; literal segments win."""
        path = path.rstrip("/") or "/"
        for template in sorted(self.doc["paths"], key=lambda p: p.count("{")):
            if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+",
                                   re.escape(template)), path):
                item = self.doc["paths"][template]
                return template, item.get(method.lower())
        return None, None

    def hold(self, method, path, status, headers, body):
        """The answer is one that the document promises."""
        where = f"{method} {path}: {status} {body[:200]!r}"
        template, op = self.operation(method, path.split("?")[0])
        assert op, f"{where}: is not described"
        assert str(status) in op["responses"], f"{where}: is no such answer"
        r = self.deref(op["responses"][str(status)])
        for name, h in r.get("headers", {}).items():
            if name in headers:
                h = self.deref(h)["schema"]
                v = headers[name]
                if "integer" in self.types(self.deref(h)):
                    v = int(v)
                self.validate(v, h, f"{where} {name}")
        content = r.get("content", {})
        if not content:
            assert body == b"", f"{where}: has a body"
            return template, op
        kind = headers["Content-Type"].split(";")[0]
        media = content.get(kind) or content.get("*/*")
        assert media, f"{where}: {kind} is not described"
        if kind == "application/x-ndjson":
            self.validate([json.loads(x) for x in body.splitlines()],
                          content["application/json"]["schema"], where)
        elif kind.endswith("json") and "*/*" not in content:
            self.validate(json.loads(body), media["schema"], where)
        return template, op
