#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""`make install`: into a directory, and into a system whose changes are thrown
away: an overlay over this one's root, with a network of its own.

usage: test_install.py IORIOD [TEST...]"""
import os
import pathlib
import stat
import subprocess
import sys
import tempfile

import tap

BUILD = pathlib.Path(sys.argv[1]).parents[2]


def install(**env):
    p = subprocess.run(["make", "-s", "install", f"BUILD={BUILD}"],
                       env={**os.environ, **env}, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return p.returncode, p.stdout


def test_everything_goes_below_destdir():
    with tempfile.TemporaryDirectory() as dest:
        code, out = install(DESTDIR=dest, PREFIX="/usr")
        assert code == 0, out
        d = pathlib.Path(dest)
        for program in ("sbin/ioriod", "bin/iorio", "bin/iorio-admin",
                        "bin/iorio-bench"):
            assert os.access(d / "usr" / program, os.X_OK), program
        conf = d / "etc/iorio/iorio.conf"
        assert "\npaths.data = /var/lib/iorio\n" in conf.read_text()
        assert not conf.stat().st_mode & stat.S_IRWXO
        unit = (d / "lib/systemd/system/iorio.service").read_text()
        assert "\nExecStart=/usr/sbin/ioriod -d\n" in unit
        assert "\nRestart=on-failure\n" in unit
        assert (d / "usr/share/iorio/haproxy.cfg").exists()
        conf.write_text("# mine\n")
        assert install(DESTDIR=dest, PREFIX="/usr")[0] == 0
        assert conf.read_text() == "# mine\n"


# $1: an empty directory; $2: the repository; $3: the build.
SYSTEM = r"""
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay \
    -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root" || exit 77
for d in proc dev; do mount --rbind /$d "$1/root/$d"; done
mount -t tmpfs tmpfs "$1/root/run"
ip link set lo up
cd "$1/root"
exec chroot . /bin/bash -e -c '
cd "$1"
make -s install BUILD="$2" PREFIX=/usr/local DESTDIR=
stat -c "%U %a %n" /etc/iorio/iorio.conf /var/lib/iorio
install -d -o iorio -m 700 /run/iorio
/usr/local/bin/iorio start || echo refused
setpriv --reuid=iorio --regid=iorio --init-groups /usr/local/sbin/ioriod -d
trap "kill $(cat /var/lib/iorio/ioriod.pid)" EXIT
/usr/local/bin/iorio ping
/usr/local/bin/iorio-admin member-status
stat -c "%U %n" /var/lib/iorio/node.id /var/log/iorio/iorio.log
/usr/local/bin/iorio stop
trap - EXIT
' bash "$2" "$3"
"""


def test_an_installed_node_runs_as_its_own_user():
    with tempfile.TemporaryDirectory() as room:
        p = subprocess.run(
            ["unshare", "-m", "-n", "--propagation", "private", "bash", "-c",
             SYSTEM, "bash", room, os.getcwd(), str(BUILD.resolve())],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=120)
    if p.returncode == 77 or "unshare failed" in p.stdout:
        raise tap.Skip(f"no systems within systems here: {p.stdout[-200:]}")
    assert p.returncode == 0, p.stdout
    for line in ("root 640 /etc/iorio/iorio.conf", "iorio 750 /var/lib/iorio",
                 "The data is iorio's: try systemctl start iorio", "refused",
                 "pong", "valid     100.0%      --      'iorio@127.0.0.1'",
                 "iorio /var/lib/iorio/node.id",
                 "iorio /var/log/iorio/iorio.log", "ok"):
        assert line in p.stdout.splitlines(), (line, p.stdout)


tap.run(sys.modules[__name__])
