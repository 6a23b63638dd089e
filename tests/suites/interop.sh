#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# interop: a reader that shares no code with this project (tests/interop/reader.go, on golang.org/x/mod/sumdb) verifies what a ledger
# serves, and the core verifies what that library makes. Nothing is fetched: the library is Debian's golang-golang-x-mod-dev.
set -u
build=$(cd "${1:-build}" && pwd) || exit 1
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/suite.sh

if ! command -v go >/dev/null 2>&1 || [ ! -d /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ]; then
    skip interop "no Go, or no golang-golang-x-mod-dev"
    suite_end
    exit
fi

reader=$build/tests/interop/reader
compile() {
    GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS='' GOPROXY=off GOCACHE="$build/go-cache" \
        go build -o "$reader" tests/interop/reader.go tests/interop/vectors.go
}

witness=$build/tests/interop/witness
compile_witness() {
    GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS='' GOPROXY=off GOCACHE="$build/go-cache" go build -o "$witness" tests/interop/witness.go
}
# What the programs log goes before what the test says: the last lines are the ones to read.
witness_holds() {
    mkdir "$suite_dir/witness" && "$witness" "$build/ledgerctl" "$suite_dir/witness" 2>"$suite_dir/witness.log" ||
        { tail -n 20 "$suite_dir/witness.log"; return 1; }
}

# At least this much, so that an empty file passes for nothing.
served() {
    "$build/tests/interop/export" "$suite_dir/ledger.txt" || return 1
    [ "$(grep -c '^header ' "$suite_dir/ledger.txt")" -gt 300 ] && [ "$(grep -c '^note ' "$suite_dir/ledger.txt")" -gt 30 ] &&
        [ "$(grep -c '^inclusion ' "$suite_dir/ledger.txt")" -gt 300 ] && [ "$(grep -c '^consistency ' "$suite_dir/ledger.txt")" -gt 1000 ]
}
read_by_other() { "$reader" verify "$suite_dir/ledger.txt"; }

# The other reader does notice: one character of the first header's, a checkpoint's and a path's line is changed.
other_notices() {
    for line in header note inclusion consistency; do
        awk -v what="$line" '$1 == what && ++n == 20 {
            at = length($0) - 20; c = substr($0, at, 1); $0 = substr($0, 1, at - 1) (c == "A" ? "B" : "A") substr($0, at + 1)} {print}' \
            "$suite_dir/ledger.txt" >"$suite_dir/changed.txt"
        cmp -s "$suite_dir/ledger.txt" "$suite_dir/changed.txt" && { echo "$line: nothing was changed"; return 1; }
        "$reader" verify "$suite_dir/changed.txt" && { echo "$line: the change was not noticed"; return 1; }
    done
    return 0
}

made_by_other() { "$reader" make "$1" "$suite_dir/vectors.txt" && "$build/tests/interop/import" "$suite_dir/vectors.txt"; }

ctl() { "$build/ledgerctl" --profile "$suite_dir/ledger/profile" --server "$(cat "$suite_dir/ledger/run/address")" "$@"; }
daemon_serves() {
    "$build/ledgerd" init "$suite_dir/ledger" --origin interop.example/ledger && daemon_start "$build/ledgerd" "$suite_dir/ledger"
}
# The verifier key is that of the policy which `ledgerd init` has written for clients.
daemon_checkpoint() {
    vkey=$(sed -n 's/^log //p' "$suite_dir/ledger/profile/policy")
    ctl checkpoint >"$suite_dir/note" && size=$("$reader" note "$vkey" "$suite_dir/note") && [ "$size" -ge 4 ] || return 1
    ctl key new u.wh -o "$suite_dir/wh.key" && ctl party register u.wh --roles WAREHOUSE --org ORG --key "$suite_dir/wh.key" || return 1
    ctl checkpoint >"$suite_dir/note" && larger=$("$reader" note "$vkey" "$suite_dir/note") && [ "$larger" -gt "$size" ]
}

if step "the other reader compiles" compile; then
    if step "a ledger is made and asked" served; then
        step "the other reader verifies what was served" read_by_other
        step "the other reader notices changes" other_notices
    fi
    for seed in 1 2 3; do
        step "the core judges what the other library makes ($seed)" made_by_other "$seed"
    done
    if step "a daemon serves" daemon_serves; then
        step "the other reader verifies its checkpoints" daemon_checkpoint
        step "the daemon ends" daemon_stop
    fi
fi
if step "the client of witnesses compiles" compile_witness; then
    step "a witness keeps to its protocol, whatever logs submit" witness_holds
fi
suite_end
