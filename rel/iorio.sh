#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
# iorio - starts, stops and asks the node of this release tree.
#
#   bin/iorio {start|stop|restart|ping|console|attach|version|check-config}
#
# The tree may lie anywhere: everything is found from where this file is.

here=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd)
root=$(dirname -- "$here")
daemon=$root/sbin/ioriod
wait_s=15

usage() {
    echo 'Usage: iorio {start|stop|restart|ping|console|attach|version|check-config}'
    exit 1
}
value() { "$daemon" -r "$root" --get "$1"; }
node_name() { value nodename; }
node_pid() {
    file=$(value pidfile) && [ -r "$file" ] && read -r pid <"$file" &&
        kill -0 "$pid" 2>/dev/null &&
        case $(readlink "/proc/$pid/exe" 2>/dev/null) in *ioriod*) true ;; *) false ;; esac &&
        echo "$pid"
}
answers() { "$daemon" -r "$root" --ping >/dev/null 2>&1; }
not_responding() {
    echo "Node '$(node_name)' not responding to pings."
    exit 1
}

# What root makes in the data of an installed node its own user cannot open.
as_its_user() {
    [ ! -e "$root/etc/iorio.conf" ] && data=$(value pidfile 2>/dev/null) ||
        return 0
    owner=$(stat -c %U -- "$(dirname -- "$data")" 2>/dev/null) || return 0
    [ "$owner" = "$(id -un)" ] && return
    echo "The data is $owner's: try systemctl start iorio"
    return 1
}

start() {
    as_its_user || return
    if answers || node_pid >/dev/null; then
        echo 'Node is already running!'
        return 1
    fi
    "$daemon" -r "$root" -d || return
    # A little longer until it knows who may do what; without a majority of its
    # cluster that may be never.
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        "$daemon" -r "$root" --ready >/dev/null 2>&1 && break
        sleep 0.1
    done
}

stop() {
    pid=$(node_pid) || not_responding
    kill -TERM "$pid"
    # As long as it takes: a stop writes what it must.
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.1
    done
    echo ok
}

case ${1:-} in
start) start ;;
stop) stop ;;
restart | reboot)
    stop >/dev/null || not_responding
    start && echo ok
    ;;
ping)
    if answers; then echo pong; else not_responding; fi
    ;;
console)
    if answers || node_pid >/dev/null; then
        echo "Node is already running - use 'iorio attach' instead"
        exit 1
    fi
    as_its_user || exit 1
    exec "$daemon" -r "$root"
    ;;
attach)
    node_pid >/dev/null || { echo 'Node is not running!'; exit 1; }
    exec tail -n 20 -F "$(value logfile)"
    ;;
version) "$daemon" --version ;;
check-config) "$daemon" -r "$root" --check-config ;;
url) answers && value url ;;
*) usage ;;
esac
