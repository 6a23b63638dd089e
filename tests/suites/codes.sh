#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# codes: the public header repeats the return codes and the error structure of the library's core, because it includes nothing of it.
# Both must stay the same. So must the list of exported functions in the version script and what the headers declare.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/suite.sh

public_codes() { sed -n 's/^ *LEDGER_\([A-Z]*\) = \(-\{0,1\}[0-9]*\),.*/\1 \2/p' include/ledgerd/error.h; }
core_codes() { sed -n 's/^ *X(\([A-Z]*\), \(-\{0,1\}[0-9]*\), ".*/\1 \2/p' proto/base.h; }
same_codes() {
    public_codes >"$suite_dir/public"
    core_codes >"$suite_dir/core"
    [ "$(wc -l <"$suite_dir/core")" -ge 18 ] && diff "$suite_dir/core" "$suite_dir/public"
}

members() { sed -n '/^struct ledger_err {/,/^}/p' "$1" | sed 's|/\*.*||; s/ *$//'; }
same_structure() {
    members proto/base.h >"$suite_dir/core"
    members include/ledgerd/error.h >"$suite_dir/public"
    [ -s "$suite_dir/core" ] && diff -b "$suite_dir/core" "$suite_dir/public"
}

same_functions() {
    sed -n 's/^    \(ledger_[a-z0-9_]*\);$/\1/p' client/libledgerd.map | sort >"$suite_dir/map"
    cat include/ledgerd/*.h | tr '\n' ' ' | grep -oE 'LEDGER_API [^;(]*\(' | grep -oE 'ledger_[a-z0-9_]+\($' | tr -d '(' | sort >"$suite_dir/declared"
    diff "$suite_dir/map" "$suite_dir/declared"
}

step "the public return codes are the core's" same_codes
step "the public error structure is the core's" same_structure
step "the version script names what the headers declare" same_functions
suite_end
