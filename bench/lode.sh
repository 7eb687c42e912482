#!/bin/bash
# Starts Lode privately and on loopback, to measure it.
#
#   lode.sh start       starts it and prints the pid of the router
#   lode.sh args        prints options for mailbench
#   lode.sh stop        stops it
#   lode.sh wipe        stops it and deletes its mail
#
#   WORK_DIR    where mail, settings and logs go (a folder on the disk to be measured)
#   PORT_BASE   first port; +143 is IMAP, +110 POP3, +24 LMTP (default 22000)
#   USERS       users user1, user2, … with the password "secret" (default 120)
#   HANDLERS, SESSIONS   handlers.max (default: one a processor, at least 2) and handlers.sessions (default 12000 / HANDLERS)
#   BIN_DIR     where lode, router and handler are (default: the release build of this repository)
set -euo pipefail

usage() { sed -n '2,/^set/{/^#/s/^# \?//p}' "$0" >&2; exit 2; }
[[ $# -eq 1 ]] || usage
here=$(cd "$(dirname "$0")" && pwd)
port=${PORT_BASE:-22000}
users=${USERS:-120}
cpus=$(nproc)
handlers=${HANDLERS:-$((cpus > 2 ? cpus : 2))}
sessions=${SESSIONS:-$((12000 / handlers))}
dir=${WORK_DIR:-${TMPDIR:-/tmp}/lode-bench}/lode
bin=${BIN_DIR:-${CARGO_TARGET_DIR:-$here/../target}/release}
pidfile=$dir/pid

running() { [[ -s $pidfile ]] && kill -0 "$(<"$pidfile")" 2>/dev/null; }

stop() {
    running || return 0
    local pid
    pid=$(<"$pidfile")
    kill "$pid"
    for _ in {1..400}; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    echo "lode.sh: $pid does not stop" >&2
    return 1
}

configure() {
    mkdir -p "$dir/run"
    cat >"$dir/lode.toml" <<CONF
[store]
path = "$dir/store"
[runtime]
dir = "$dir/run"
[listen]
imap = ["127.0.0.1:$((port + 143))"]
pop3 = ["127.0.0.1:$((port + 110))"]
lmtp = ["127.0.0.1:$((port + 24))"]
[handlers]
max = $handlers
sessions = $sessions
[auth]
users = "$dir/users"
[limits]
connections_per_user = 0
commands_per_minute = 0
CONF
    : >"$dir/users"
    chmod 600 "$dir/users"
    # As in the measurements of other servers, what a login costs is not the cost of a slow hash.
    for ((n = 1; n <= users; n++)); do echo "user$n:{PLAIN}secret"; done >"$dir/users"
}

case $1 in
    start)
        if ! running; then
            configure
            ulimit -n "$(ulimit -Hn)"
            setsid "$bin/router" --config "$dir/lode.toml" </dev/null >>"$dir/log" 2>&1 &
            echo $! >"$pidfile"
            for _ in {1..100}; do
                (exec 3<>"/dev/tcp/127.0.0.1/$((port + 143))") 2>/dev/null && break
                running || { tail -20 "$dir/log" >&2; exit 1; }
                sleep 0.1
            done
        fi
        cat "$pidfile"
        ;;
    args)
        running || { echo "lode.sh: not running" >&2; exit 1; }
        echo "--label lode --imap 127.0.0.1:$((port + 143)) --pop3 127.0.0.1:$((port + 110))" \
            "--lmtp 127.0.0.1:$((port + 24)) --server-pid $(<"$pidfile") --store-dir $dir/store"
        ;;
    stop) stop ;;
    wipe)
        stop
        rm -rf "$dir"
        ;;
    *) usage ;;
esac
