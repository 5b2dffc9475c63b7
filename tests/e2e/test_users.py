#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Users, groups, grants, sessions: over HTTP, on one node and on each of three.

usage: test_users.py IORIOD [TEST...]"""
import base64
import hashlib
import hmac
import itertools
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import tap
from cluster import Cluster, admin as run_admin, eventually
from listeners import Bare, Refused, Socket, Sse
from node import Node, parse, shared

IORIOD = sys.argv[1]
JSON = {"Content-Type": "application/json"}
fresh = shared(IORIOD)


def ask(method, path, body=None, token="own", n=None, **headers):
    return (n or fresh()).ask(method, path, body, token, **headers)


def kind(answer):
    return answer[0], answer[1].get("type")


def add(name, *groups, n=None):
    got = ask("POST", "/users", {"username": name, "password": "pw-" + name,
                                 **({"groups": groups} if groups else {})},
              n=n)
    assert got == (201, {"ok": True}), got
    return (n or fresh()).login(name, "pw-" + name)


def access(where, action, role, permission, n=None, token="own"):
    return ask("POST", "/access/" + where,
               {"action": action, "role": role, "permission": permission},
               token, n)


# --- sessions -----------------------------------------------------------------


def test_sessions():
    assert ask("GET", "/sessions", token=None) == (
        200, {"username": "anonymous"})
    assert ask("GET", "/sessions") == (200, {"username": "admin"})
    status, headers, data = fresh().request(
        "POST", "/sessions", '{"password":"secret","username":"admin"}', JSON,
        None)
    assert (status, headers["location"]) == (201, "/sessions")
    got = parse(data)
    assert set(got) == {"ok", "token", "username"} and got["ok"] is True
    refusals = [ask("POST", "/sessions", body, None) for body in (
        {"username": "admin", "password": "x"},
        {"username": "nobody", "password": "secret"},
        {"username": "anonymous", "password": ""},
        {"username": "anonymous", "password": "secret"},
        {"username": "admin"}, {"password": "secret"}, {},
        {"username": 1, "password": "secret"},
        {"username": "admin", "password": ["secret"]},
        {"username": "admin", "password": "x" * 2000})]
    assert {kind(r) for r in refusals} == {(401, "unauthorized")}
    assert len({json.dumps(r[1]) for r in refusals}) == 1
    for body in ("", "[]", "{", "1", '"a"', '{"username":"admin",}'):
        assert kind(ask("POST", "/sessions", body, None)) == (
            400, "invalid-body"), body
    assert fresh().request("POST", "/sessions", "{}",
                           {"Content-Type": "text/plain"}, None)[0] == 415
    one, two = fresh().login(), fresh().login()
    assert one != two
    assert ask("DELETE", "/sessions", token=one) == (204, b"")
    for t in (one, two):
        assert kind(ask("GET", "/sessions", token=t)) == (401, "no-perm")
    assert kind(ask("DELETE", "/sessions", token=None)) == (401, "no-perm")


def parts(token):
    return [base64.urlsafe_b64decode(p + "==") for p in token.split(".")]


def signed(header, payload, secret, digest="sha512"):
    def b64(b):
        return base64.urlsafe_b64encode(b).rstrip(b"=")
    text = b64(header) + b"." + b64(payload)
    return (text + b"." + b64(hmac.new(
        secret, text, getattr(hashlib, digest)).digest())).decode()


def test_tokens_that_are_none():
    with Node(IORIOD, {"auth.secret": "known", "auth.session.duration": "2s",
                       "log.level": "debug"}) as n:
        good = n.login()
        header, payload, mac = parts(good)
        assert header == b'{"typ":"JWT","alg":"HS512"}'
        claims = json.loads(payload)
        assert claims["u"] == claims["sub"] == "admin"
        assert claims["exp"] - claims["iat"] == 2 and claims["jti"]
        assert signed(header, payload, b"known") == good
        h, p, m = good.split(".")
        far = payload.replace(b'"exp":', b'"exp":9')
        bad = [good[:k] for k in range(0, len(good), 7)] + [
            good + "A", h + "." + p, h + "." + p + ".", "." + p + "." + m,
            "..", ".", "a" * 100000, "x" * 5000, "\xe9", h + p + m,
            signed(b'{"typ":"JWT","alg":"none"}', payload, b"known"),
            signed(b'{"typ":"JWT","alg":"none"}', payload, b""),
            signed(b'{"typ":"JWT","alg":"HS256"}', payload, b"known",
                   "sha256"),
            signed(b'{"typ":"JWT","alg":"HS512"}', payload, b"other"),
            signed(b'{"alg":"HS512","typ":"JWT"}', payload, b"known"),
            signed(header, b"{}", b"known"), signed(header, b"", b"known"),
            signed(header, payload[:-1], b"known"),
            signed(header, payload.replace(b"admin", b"admim"), b"known"),
            signed(header, payload.replace(b'"gen":', b'"gen":1'), b"known"),
            h + "." + base64.urlsafe_b64encode(far).decode().rstrip("=") +
            "." + m]
        assert ask("GET", "/buckets", token=good, n=n)[0] == 200
        for t in bad:
            if t == "":
                continue
            for path in ("/buckets", "/ping", "/livez", "/sessions"):
                got = n.request("GET", path, token=None, headers={
                    "x-session": t.encode("latin1")})
                assert got[0] in (401, 431), (t, path, got)
        assert ask("GET", "/buckets", n=n, token=signed(
            header, far, b"known"))[0] == 200  # what we sign is ours
        time.sleep(2.1)
        assert ask("GET", "/buckets", token=good, n=n)[0] == 401
        assert ask("GET", "/ping", token=good, n=n)[0] == 401
        assert good not in n.console()


def test_who_fails_ten_times_waits():
    with Node(IORIOD) as n:
        wrong = {"username": "admin", "password": "no"}
        for _ in range(10):
            assert ask("POST", "/sessions", wrong, None, n)[0] == 401
        for _ in range(3):
            status, headers, _ = n.request("POST", "/sessions",
                                           json.dumps(wrong), JSON, None)
            assert status == 429 and 1 <= int(headers["retry-after"]) <= 60
        right = {"username": "admin", "password": "secret"}
        assert ask("POST", "/sessions", right, None, n)[0] == 429
        other = {"username": "other", "password": "no"}
        assert ask("POST", "/sessions", other, None, n)[0] == 401


# --- users, groups --------------------------------------------------------------


def test_users():
    assert ask("GET", "/users") == (200, [
        {"username": "admin", "groups": ["g-admin"]},
        {"username": "anonymous", "groups": []}])
    status, headers, data = fresh().request(
        "POST", "/users", '{"username":"ann@x.y","password":"p"}', JSON)
    assert (status, headers["location"], data) == (
        201, "/users/ann@x.y", b'{"ok":true}')
    for body, want in (
            ({}, "no-user-and-pass"), ({"password": "p"}, "no-user"),
            ({"username": "b"}, "no-pass"),
            ({"username": "b", "password": ""}, "no-pass"),
            ({"username": "ann@x.y", "password": "p"}, "user-exists"),
            ({"username": "g-admin", "password": "p"}, "user-exists"),
            ({"username": "all", "password": "p"}, "illegal-username"),
            ({"username": "*", "password": "p"}, "illegal-username"),
            ({"username": "a b", "password": "p"}, "illegal-username"),
            ({"username": "a" * 65, "password": "p"}, "illegal-username"),
            ({"username": "b", "password": "p", "groups": ["nope"]},
             "invalid-field"),
            ({"username": "b", "password": "p", "groups": "g-admin"},
             "invalid-field"),
            ("[]", "invalid-body"), ("{", "invalid-body")):
        assert kind(ask("POST", "/users", body)) == (400, want), body
    assert fresh().request("POST", "/users", "{}")[0] == 415
    assert ask("GET", "/users/ann@x.y") == (
        200, {"username": "ann@x.y", "groups": ["g-authenticated"]})
    assert ask("PUT", "/users/ann@x.y", {"groups": ["g-admin"]}) == (
        200, {"ok": True})
    assert ask("GET", "/users/ann@x.y")[1]["groups"] == ["g-admin"]
    assert ask("PUT", "/users/ann@x.y", {"groups": []})[0] == 200
    for method in ("GET", "DELETE"):
        assert kind(ask(method, "/users/nope")) == (404, "not-found")
    assert kind(ask("PUT", "/users/nope", {"groups": []})) == (
        404, "not-found")
    assert kind(ask("DELETE", "/users/nope/sessions")) == (404, "not-found")
    assert ask("DELETE", "/users/admin")[0] == 409
    assert ask("PUT", "/users/admin", {"groups": []})[0] == 409
    assert ask("DELETE", "/users/ann@x.y") == (204, b"")
    assert ask("GET", "/users/ann@x.y")[0] == 404


def test_passwords_and_sessions_of_others():
    old = add("bea")
    assert ask("PUT", "/users", {"username": "bea", "password": "n"},
               old) == (200, {"ok": True})
    assert ask("GET", "/sessions", token=old)[0] == 401
    token = fresh().login("bea", "n")
    assert kind(ask("PUT", "/users", {"username": "admin", "password": "n"},
                    token)) == (401, "no-perm")
    assert kind(ask("PUT", "/users", {"username": "bea", "password": "n"},
                    None)) == (401, "no-perm")
    assert kind(ask("PUT", "/users", {"username": "nope", "password": "n"})) \
        == (404, "not-found")
    for path in ("/users", "/groups", "/users/bea", "/cluster", "/stats",
                 "/access/x", "/metrics", "/buckets"):
        assert kind(ask("GET", path, token=token)) == (401, "no-perm"), path
    assert ask("PUT", "/users/bea", {"password": "third"})[0] == 200
    assert ask("GET", "/sessions", token=token)[0] == 401
    token = fresh().login("bea", "third")
    assert ask("DELETE", "/users/bea/sessions") == (204, b"")
    assert ask("GET", "/sessions", token=token)[0] == 401
    token = fresh().login("bea", "third")
    assert ask("DELETE", "/users/bea")[0] == 204
    assert ask("GET", "/sessions", token=token)[0] == 401
    add("bea")  # another one of this name
    assert ask("GET", "/sessions", token=token)[0] == 401


def test_groups():
    assert ask("POST", "/groups", {"groupname": "ops"}) == (
        201, {"ok": True})
    assert ask("POST", "/groups", {"groupname": "dev", "groups": ["ops"]}) \
        == (201, {"ok": True})
    assert ask("GET", "/groups")[1] == [
        {"groupname": "dev", "groups": ["ops"]},
        {"groupname": "g-admin", "groups": []},
        {"groupname": "g-authenticated", "groups": []},
        {"groupname": "ops", "groups": []}]
    assert ask("GET", "/groups/dev")[1]["groups"] == ["ops"]
    assert ask("PUT", "/groups/ops", {"groups": ["dev"]})[0] == 400
    assert ask("PUT", "/groups/ops", {"groups": ["ops"]})[0] == 400
    assert ask("PUT", "/groups/ops", {})[0] == 400
    assert ask("POST", "/groups", {"groupname": "ops"})[0] == 400
    assert kind(ask("POST", "/groups", {"groupname": "a/b"})) == (
        400, "illegal-username")
    assert ask("DELETE", "/groups/g-admin")[0] == 409
    assert ask("GET", "/groups/nope")[0] == 404
    token = add("cid", "dev")
    assert access("forops", "grant", "ops", "get") == (200, {"ok": True})
    assert ask("GET", "/streams/forops/s", token=token)[0] == 200
    assert ask("PUT", "/groups/dev", {"groups": []}) == (200, {"ok": True})
    assert ask("GET", "/streams/forops/s", token=token)[0] == 401
    assert ask("DELETE", "/groups/dev") == (204, b"")
    assert ask("GET", "/users/cid")[1]["groups"] == ["g-authenticated"]


# --- grants ---------------------------------------------------------------------


def test_access():
    add("dan")
    assert access("b", "grant", "dan", "put") == (200, {"ok": True})
    assert access("b", "grant", "*", "get")[0] == 200
    assert access("b", "grant", "g-authenticated", "list")[0] == 200
    assert access("b/s%2F1", "grant", "later", "delete")[0] == 200
    assert access("b", "revoke", "dan", "grant") == (200, {"ok": True})
    assert ask("GET", "/access/b")[1] == {
        "users": [{"name": "*", "grants": ["get"]},
                  {"name": "dan", "grants": ["put"]}],
        "groups": [{"name": "g-authenticated", "grants": ["list"]}]}
    assert ask("GET", "/access/b/s%2F1")[1] == {
        "users": [{"name": "later", "grants": ["delete"]}], "groups": []}
    assert ask("GET", "/access/*")[1]["groups"] == [
        {"name": "g-admin",
         "grants": ["get", "put", "delete", "grant", "list"]}]
    assert ask("POST", "/access/b", {"action": "grant", "username": "dan",
                                     "permission": "delete"})[0] == 200
    for body, field, value in (
            ({}, "action", None), ({"action": "x"}, "action", "x"),
            ({"action": 1}, "action", 1),
            ({"action": "grant"}, "role", None),
            ({"action": "grant", "role": "a b"}, "role", "a b"),
            ({"action": "grant", "role": "a"}, "permission", None),
            ({"action": "grant", "role": "a", "permission": "fly"},
             "permission", "fly"),
            ({"action": "grant", "role": "a", "permission": "adminusers"},
             "permission", "adminusers")):
        status, got = ask("POST", "/access/b", body)
        assert (status, got["type"], got["field"], got["value"]) == (
            400, "invalid-field", field, value), (body, got)
    assert access("b/s", "grant", "a", "list")[0] == 400
    assert ask("POST", "/access/b", "nope")[0] == 400
    assert fresh().request("POST", "/access/b", "{}")[0] == 415
    # Who may grant there may do so; nobody else.
    token = fresh().login("dan", "pw-dan")
    assert access("b", "grant", "dan", "list", token=token)[0] == 401
    assert access("_user_dan", "grant", "*", "get", token=token)[0] == 200
    assert ask("GET", "/streams/_user_dan/s", token=None)[0] == 200
    assert access("_user_dan/s", "grant", "cid", "put", token=token)[0] == 200


PERMISSIONS = ["get", "put", "delete", "grant", "list"]
REQUESTS = {
    "get": [("GET", "/streams/{b}/{s}"), ("GET", "/streams/{b}/{s}/1"),
            ("GET", "/listen?s={b}:{s}&wait=0"), (Sse, "{b}:{s}"),
            (Socket, "{b}:{s}"), ("subscribe", "{b}:{s}")],
    "put": [("POST", "/streams/{b}/{s}"), ("PATCH", "/streams/{b}/{s}"),
            ("put", "{b}:{s}")],
    "delete": [("DELETE", "/streams/{b}/{s}")],
    "grant": [("GET", "/access/{b}/{s}"), ("PUT", "/policies/{b}/{s}"),
              ("DELETE", "/policies/{b}/{s}"), ("PUT", "/policies/{b}")],
    "list": [("GET", "/streams/{b}")],
    "get or grant": [("GET", "/policies/{b}/{s}"), ("GET", "/policies/{b}")],
}


def listens(transport, stream, token, n):
    jwt = f"&jwt={token}" if token else ""
    try:
        with transport(Bare(n), f"s={stream}{jwt}") as client:
            assert client.status in (101, 200, 401), client.status
            return client.status != 401
    except Refused as e:
        assert e.status == 401, e
        return False


def commands(command, stream, token, n):
    """The same of a command over a socket."""
    bucket, stream = stream.split(":")
    with Socket(Bare(n), f"jwt={token}" if token else "") as s:
        got = s.ask(cmd=command, bucket=bucket, stream=stream, data={})
        assert got["ok"] or got["reason"] == "unauthorized", got
        return got["ok"]


def allowed(method, path, token, n):
    if method in (Sse, Socket):
        return listens(method, path, token, n)
    if method in ("subscribe", "put"):
        return commands(method, path, token, n)
    body = "{}" if method in ("POST", "PUT", "PATCH") else None
    h = {"Content-Type": "application/merge-patch+json"
         if method == "PATCH" else "application/json"} if body else {}
    status, _, data = n.request(method, path, body, h, token)
    assert status in (200, 201, 204, 401, 404), (method, path, status, data)
    return status != 401


def matrix(nodes):
    """Permission x level x role x method and transport: allowed where granted,
    401 else."""
    n = nodes[0]
    ask("POST", "/groups", {"groupname": "outer"}, n=n)
    ask("POST", "/groups", {"groupname": "inner", "groups": ["outer"]}, n=n)
    token = add("eve", "inner", n=n)
    cells = 0
    turns = itertools.cycle(nodes)
    for level, role, given in itertools.product(
            ("*", "b", "b/s"), ("eve", "outer", "*", "admin"), PERMISSIONS):
        if given == "list" and level == "b/s":
            continue
        got = access(level, "grant", role, given, n=next(turns))
        assert got == (200, {"ok": True}), got
        for wanted, requests in REQUESTS.items():
            for method, path in requests:
                for b, s in (("b", "s"), ("b", "t"), ("c", "s")):
                    if "{s}" not in path and s == "t":
                        continue
                    covers = level == "*" or level == b or (
                        level == f"{b}/{s}" and "{s}" in path)
                    at = next(turns)
                    p = path.format(b=b, s=s)
                    want = given in wanted.split(" or ") and covers
                    assert allowed(method, p, token, at) == (
                        want and role != "admin"), (method, level, role, given, p)
                    assert allowed(method, p, None, at) == (
                        want and role == "*"), (method, level, role, given, p)
                    cells += 2
        assert access(level, "revoke", role, given, n=next(turns)) == (
            200, {"ok": True})
    assert cells >= 300, cells


def test_matrix():
    with Node(IORIOD, {"workers": 2}) as n:
        matrix([n])


def test_matrix_through_every_node():
    with Cluster(IORIOD, 3) as c:
        c.form()
        matrix(c.nodes)


# --- clusters, starts -------------------------------------------------------------


def test_a_cluster_has_one_set_of_users():
    with Cluster(IORIOD, 3) as c:
        one, two, three = c.nodes
        lost = add("own", n=two)
        c.form()
        assert ask("GET", "/sessions", token=lost, n=two)[0] == 401
        assert ask("GET", "/users/own", n=two)[0] == 404
        assert access("open", "grant", "*", "put", n=one)[0] == 200
        token = add("fay", n=three)
        for n in c.nodes:
            assert ask("GET", "/sessions", token=token, n=n) == (
                200, {"username": "fay"})
        assert ask("DELETE", "/users/fay/sessions", n=two) == (204, b"")
        for n in c.nodes:
            assert ask("GET", "/sessions", token=token, n=n)[0] == 401
        # A member that is away is named, and hears of it when it is back.
        three.kill()
        eventually(lambda: [m["up"] for m in c.json(1, "member-status")[
            "members"]] == [True, True, False])
        got = access("open", "revoke", "*", "put", n=two)
        assert got == (200, {"ok": True, "pending": [three.name]}), got
        assert ask("GET", "/users", n=one)[0] == 200
        three.start()
        eventually(lambda: ask("POST", "/streams/open/s", {}, None,
                               three)[0] == 401)
        # Without a majority of the root nothing is changed, logins go on.
        two.kill()
        three.kill()
        assert one.login()
        assert ask("POST", "/groups", {"groupname": "late"}, n=one)[0] == 503
        two.start()
        eventually(lambda: access("x", "grant", "*", "get", n=one)[0] == 200)
        assert ask("GET", "/groups/late", n=two)[0] == 404


def test_users_survive_a_start_and_many_changes():
    with Node(IORIOD) as n:
        token = add("gus", n=n)
        for i in range(150):
            assert access(f"bucket{i}", "grant", "gus", "put", n=n)[0] == 200
        n.kill()
        n.start()
        assert ask("POST", "/streams/bucket149/s", {}, token, n)[0] == 201
        assert ask("POST", "/streams/bucket150/s", {}, token, n)[0] == 401
        n.stop()
        n.start()
        assert ask("POST", "/streams/bucket0/s", {}, token, n)[0] == 201


def test_configurations():
    with Node(IORIOD, {"auth.admin.everywhere": "no"}) as n:
        assert ask("GET", "/buckets", n=n)[0] == 200
        assert ask("GET", "/users", n=n)[0] == 200
        assert ask("GET", "/streams/b/s", n=n)[0] == 401
        assert ask("POST", "/streams/_user_admin/s", {}, n=n)[0] == 201
        assert ask("POST", "/streams/public/s", {}, n=n)[0] == 201
    with Node(IORIOD, {"auth.permission.user.bucket.prefix": "",
                       "auth.admin.username": "root",
                       "auth.algorithm": "hs256"}) as n:
        n.own_token = n.login("root")
        token = add("hal", n=n)
        assert parts(token)[0] == b'{"typ":"JWT","alg":"HS256"}'
        assert ask("POST", "/streams/hal/s", {}, token, n)[0] == 201
        assert ask("POST", "/streams/_user_hal/s", {}, token, n)[0] == 401
    for options, key in (({"http.ip": "0.0.0.0"}, "cluster.cookie"),
                         ({"http.ip": "0.0.0.0", "cluster.cookie": "mine"},
                          "auth.admin.password"),
                         ({"auth.admin.username": "a b"},
                          "auth.admin.username")):
        n = Node(IORIOD, options)
        p = subprocess.run(n.command(), capture_output=True, text=True,
                           timeout=30)
        assert p.returncode == 1 and key in p.stdout + p.stderr, (key, p)
        n.close()
    with Node(IORIOD, {"http.ip": "0.0.0.0", "cluster.cookie": "mine",
                       "auth.admin.password": "better"}) as n:
        assert ask("GET", "/users", n=n)[0] == 200


def admin_typing(node, text, *words):
    """(exit code, text, what the terminal showed of what was typed)"""
    ours, theirs = pty.openpty()
    p = subprocess.Popen([f"{node.root}/bin/iorio-admin", *words],
                         stdin=theirs, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    assert p.stderr.read(10) == b"Password: "
    os.write(ours, text.encode() + b"\n")
    out = p.communicate(timeout=60)[0]
    os.set_blocking(ours, False)
    try:
        shown = os.read(ours, 1000)
    except OSError:
        shown = b""
    os.close(ours)
    os.close(theirs)
    return p.returncode, out, shown


def test_the_terminal_after_ctrl_c():
    ours, theirs = pty.openpty()

    def echoes():
        return bool(termios.tcgetattr(theirs)[3] & termios.ECHO)
    with Node(IORIOD) as n:
        p = subprocess.Popen(
            [f"{n.root}/bin/iorio-admin", "user", "add", "ann", "-"],
            stdin=theirs, stderr=subprocess.PIPE)
        assert p.stderr.read(10) == b"Password: "
        assert not echoes()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        assert p.returncode == -signal.SIGINT
        assert echoes()
    os.close(ours)
    os.close(theirs)


def test_iorio_admin():
    with Node(IORIOD) as n:
        def admin(*words, stdin=None):
            return run_admin(n, *words, stdin=stdin)
        assert admin("group", "add", "readers") == (0, "Done\n")
        assert admin("user", "add", "ann", "pa55", "readers") == (0, "Done\n")
        assert admin("user", "add", "ann", "pa55") == (
            1, "Failed: a user or a group has this name\n")
        assert admin("user", "add", "dot", "-", stdin="from a pipe\n") == (
            0, "Done\n")
        assert n.login("dot", "from a pipe")
        assert admin("user", "passwd", "--format=json", "dot", "-",
                     stdin="other")[0] == 0
        assert n.login("dot", "other")
        assert admin("user", "passwd", "dot", "-", stdin="-dash\n") == (
            0, "Done\n")
        assert n.login("dot", "-dash")
        assert admin("user", "passwd", "dot", "-other") == (0, "Done\n")
        assert n.login("dot", "-other")
        assert admin("user", "passwd", "dot", "--other")[0] == 1
        assert admin("user", "passwd", "dot", "-", stdin="\n") == (
            1, "Failed: there is no password\n")
        assert admin_typing(n, "typed", "user", "passwd", "dot", "-") == (
            0, b"Done\n", b"")
        assert n.login("dot", "typed")
        assert admin("user", "delete", "dot") == (0, "Done\n")
        assert admin("grant", "add", "readers", "get", "b") == (0, "Done\n")
        assert admin("grant", "add", "*", "get", "b", "s") == (0, "Done\n")
        assert admin("grant", "add", "readers", "fly", "b")[0] == 1
        assert admin("grant", "list", "b") == (0, (
            "Role                     Permissions\n" + 79 * "-" + "\n"
            "readers                  get\n"))
        assert admin("user", "list") == (0, (
            "User                     Groups\n" + 79 * "-" + "\n"
            "admin                    g-admin\n"
            "ann                      g-authenticated readers\n"
            "anonymous\n"))
        assert json.loads(admin("group", "list", "--format=json")[1]) == {
            "groups": [{"groupname": "g-admin", "groups": []},
                       {"groupname": "g-authenticated", "groups": []},
                       {"groupname": "readers", "groups": []}]}
        token = n.login("ann", "pa55")
        assert ask("GET", "/streams/b/t", token=token, n=n)[0] == 200
        assert admin("grant", "remove", "readers", "get", "b")[0] == 0
        assert ask("GET", "/streams/b/t", token=token, n=n)[0] == 401
        assert admin("user", "revoke", "ann") == (0, "Done\n")
        assert ask("GET", "/sessions", token=token, n=n)[0] == 401
        assert admin("user", "passwd", "ann", "new") == (0, "Done\n")
        assert n.login("ann", "new")
        assert admin("user", "groups", "ann", "g-admin") == (0, "Done\n")
        assert admin("user", "delete", "admin") == (0, "Done\n")
        assert admin("user", "delete", "ann") == (
            1, "Failed: nobody would be left in g-admin\n")
        assert admin("group", "groups", "readers", "readers")[0] == 1
        assert admin("group", "delete", "readers") == (0, "Done\n")
        assert json.loads(admin("user", "delete", "no", "--format=json")[1]) \
            == {"ok": False,
                "message": "Failed: there is nobody of this name"}
        assert "pa55" not in n.console()


def test_zz_the_node_stops_cleanly_after_all_that():
    fresh().stop()
    text = open(f"{fresh().root}/console.log").read()
    assert "pw-" not in text and "argon2" not in text
    fresh().close()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
