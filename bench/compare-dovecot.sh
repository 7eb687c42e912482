#!/bin/bash
# Measures Lode beside Dovecot on this machine and prints the tables for RESULTS.md.
#
#   compare-dovecot.sh [-n ROUNDS] [-f FORMAT] [SCENARIO...] [-- OPTION...]
#
# FORMAT is Dovecot's mail format (default mdbox). OPTIONs after -- go to mailbench. Without scenarios, all that the table of aims names.
#
#   BENCH_DIR   the folder with compare.sh, mailbench/ and peers/ (must be set)
#   WORK_DIR    where both servers keep their mail (default: a new folder under TMPDIR)
#   FSYNC       Dovecot's mail_fsync: optimized (default), always or never
#   OUT         where the measured lines go (default: WORK_DIR/results)
set -euo pipefail

usage() { sed -n '2,/^set/{/^#/s/^# \?//p}' "$0" >&2; exit 2; }
rounds=3 format=mdbox
while getopts n:f: option; do
    case $option in
        n) rounds=$OPTARG ;;
        f) format=$OPTARG ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
[[ -n ${BENCH_DIR:-} && -x $BENCH_DIR/compare.sh ]] || { echo "set BENCH_DIR to the folder with compare.sh" >&2; exit 2; }
scenarios=()
while [[ $# -gt 0 && $1 != -- ]]; do scenarios+=("$1"); shift; done
[[ $# -eq 0 ]] || shift
[[ ${#scenarios[@]} -gt 0 ]] || scenarios=(login append lmtp store copy-small copy-large move expunge select fetch-flags
    fetch-envelope fetch-bodystructure fetch-section fetch-small fetch-full idle connections contention pop3)

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
bench=$(cd "$BENCH_DIR" && pwd)
export WORK_DIR=${WORK_DIR:-$(mktemp -d)}
export PEER_DIR=$WORK_DIR/peers FSYNC=${FSYNC:-optimized}
out=${OUT:-$WORK_DIR/results}
target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$PEER_DIR" "$out"

(cd "$root" && cargo build --release -p ctl -p router -p handler)
# Built away from its sources, which may be read-only.
export MAILBENCH=${MAILBENCH:-$WORK_DIR/mailbench/release/mailbench}
[[ -x $MAILBENCH ]] || {
    cp -r "$bench/mailbench" "$WORK_DIR/mailbench-source"
    chmod -R u+w "$WORK_DIR/mailbench-source"
    (cd "$WORK_DIR/mailbench-source" && CARGO_TARGET_DIR=$WORK_DIR/mailbench cargo build --release)
}

finish() {
    "$here/lode.sh" stop || true
    "$bench/peers/dovecot.sh" stop "$format" || true
}
trap finish EXIT
export BIN_DIR=$target/release
ulimit -n "$(ulimit -Hn)"
"$here/lode.sh" start >/dev/null
"$bench/peers/dovecot.sh" start "$format" >/dev/null

{
    echo "Lode $(git -C "$root" describe --always --dirty), $(dovecot --version) $format, mail_fsync = $FSYNC"
    echo "$(nproc) processors, $(uname -sr), $(df --output=fstype "$WORK_DIR" | tail -1), $(date -u +%F)"
} | tee "$out/machine.txt"
"$bench/compare.sh" -a "$("$bench/peers/dovecot.sh" args "$format")" -b "$("$here/lode.sh" args)" -n "$rounds" -o "$out" \
    "${scenarios[@]}" -- --user-pattern user%d --password secret "$@" | tee "$out/table.md"
echo "results are in $out" >&2
