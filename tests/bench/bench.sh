#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Measures a daemon in a scratch folder beside the build folder (so on the same file system) and writes BUILD/bench.json.
# usage: bench.sh BUILD [SECONDS of each run [further options of bench]]
# BENCH_JSON: where the numbers go instead.
set -eu

build=$(cd "${1:?usage: bench.sh BUILD [SECONDS]}" && pwd)
seconds=${2:-${BENCH_SECONDS:-3}}
json=${BENCH_JSON:-$build/bench.json}
shift
[ $# = 0 ] || shift
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

"$build/ledgerd" init "$scratch/ledger" --origin bench.example/ledger >/dev/null
"$build/ledgerd" run "$scratch/ledger" --listen 127.0.0.1:0 >"$scratch/log" 2>&1 &
daemon=$!
tries=0
until [ -s "$scratch/ledger/run/address" ]; do
    tries=$((tries + 1))
    if ! kill -0 "$daemon" 2>/dev/null || [ "$tries" -ge 200 ]; then
        echo "bench.sh: the daemon does not start" >&2
        exit 1
    fi
    sleep 0.05
done
profile="$scratch/ledger/profile"
sed "s/^address *=.*/address = $(cat "$scratch/ledger/run/address")/" "$profile/profile.conf" >"$scratch/conf"
cat "$scratch/conf" >"$profile/profile.conf"

admin=$(echo "$profile/keys/"*.key)
"$build/tests/bench/bench" --profile "$profile" --admin-key "$admin" --scratch "$scratch" --seconds "$seconds" \
    --pid "$daemon" --json "$json" "$@"
echo "  the numbers are in $json; the data folder has $(du -sb "$scratch/ledger/data" | cut -f1) bytes"
