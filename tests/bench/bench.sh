#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Measures a daemon in a scratch folder beside the build folder (so on the same file system) and writes BUILD/bench.json.
# usage: bench.sh BUILD [SECONDS of each run]
set -eu

build=$(cd "${1:?usage: bench.sh BUILD [SECONDS]}" && pwd)
seconds=${2:-${BENCH_SECONDS:-3}}
scratch=$(mktemp -d "$build/bench.XXXXXX")
daemon=

finish() {
    status=$?
    trap - EXIT INT TERM HUP
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || :
        wait "$daemon" 2>/dev/null || :
    fi
    [ "$status" = 0 ] || { [ -s "$scratch/log" ] && tail -n 20 "$scratch/log" >&2; } || :
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A port that nobody listens on: the daemon says at once if it is taken, and the next one is tried.
start() {
    port=$((20000 + $$ % 20000))
    for attempt in 1 2 3 4 5; do
        "$build/ledgerd" run "$scratch/ledger" --listen "127.0.0.1:$port" >"$scratch/log" 2>&1 &
        daemon=$!
        tries=0
        while kill -0 "$daemon" 2>/dev/null && [ "$tries" -lt 100 ]; do
            "$build/ledgerctl" --profile "$scratch/ledger/profile" --server "127.0.0.1:$port" checkpoint >/dev/null 2>&1 && return 0
            sleep 0.05
            tries=$((tries + 1))
        done
        kill "$daemon" 2>/dev/null || :
        wait "$daemon" 2>/dev/null || :
        daemon=
        port=$((port + 1))
    done
    echo "bench.sh: the daemon does not start" >&2
    return 1
}

"$build/ledgerd" init "$scratch/ledger" --origin bench.example/ledger >/dev/null
start
sed "s/^address *=.*/address = 127.0.0.1:$port/" "$scratch/ledger/profile/profile.conf" >"$scratch/profile.conf"
cat "$scratch/profile.conf" >"$scratch/ledger/profile/profile.conf"
set -- "$scratch/ledger/profile/keys/"*.key

"$build/tests/bench/bench" --profile "$scratch/ledger/profile" --admin-key "$1" --scratch "$scratch" --seconds "$seconds" \
    --pid "$daemon" --json "$build/bench.json"
echo "  the numbers are in $build/bench.json"
