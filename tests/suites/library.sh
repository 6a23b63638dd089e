#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# library: the shared library as a stranger's program meets it: its name, its symbols, its headers, and the two examples of the
# documentation, compiled with nothing but them and run against a real daemon.
# usage: library.sh BUILD
set -u
build=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d /tmp/ledgerd-library-XXXXXX)
passed=0 failed=0 daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null; rm -rf "$work"' EXIT
check() { # NAME COMMAND…
    name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED library.sh: $name"
        sed 's/^/    /' "$work/out" | tail -n 15
    fi
}

soname() { readelf -d "$build/libledgerd.so" | grep -q 'SONAME.*\[libledgerd\.so\.0\]'; }
# What the version script names, what the headers declare and what the library exports are one and the same.
symbols() {
    sed -n 's/^    \(ledger_[a-z0-9_]*\);$/\1/p' "$root/client/libledgerd.map" | sort >"$work/map"
    nm -D --defined-only "$build/libledgerd.so" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort >"$work/exported"
    cat "$root"/include/ledgerd/*.h | tr '\n' ' ' | grep -o 'LEDGER_API [^;(]*(' | sed 's/.*[ *]\(ledger_[a-z0-9_]*\)($/\1/' | sort >"$work/declared"
    diff "$work/map" "$work/exported" && diff "$work/map" "$work/declared"
}
headers_alone() {
    for h in "$root"/include/ledgerd/*.h; do
        printf '#include <ledgerd/%s>\nint x;\n' "$(basename "$h")" >"$work/h.c"
        cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$root/include" -c "$work/h.c" -o "$work/h.o" || return 1
    done
    ! grep -hE '^#include' "$root"/include/ledgerd/*.h | grep -vE '<(ledgerd/[a-z]+|stddef|stdint)\.h>'
}
# The numbers of the public header are those of the library's core.
codes() {
    cat >"$work/codes.c" <<'CODE'
#include <ledgerd/error.h>
#include <stdio.h>
int main(void) {
    int codes[] = {LEDGER_OK, LEDGER_EINVAL, LEDGER_ENOMEM, LEDGER_ENOTFOUND, LEDGER_EIO, LEDGER_EVERSION, LEDGER_ELIMIT,
                   LEDGER_EBUSY, LEDGER_ETAMPER, LEDGER_ECONNECT, LEDGER_EPROTO, LEDGER_EDENIED, LEDGER_ESTALE, LEDGER_EFULL,
                   LEDGER_EREFUSED, LEDGER_ECANCELED, LEDGER_EINTERNAL, LEDGER_EUNTRUSTED};
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++)
        printf("%d %s\n", codes[i], ledger_error_text(codes[i]));
    printf("size %zu\n", sizeof(struct ledger_err));
}
CODE
    cat >"$work/core.c" <<'CODE'
#include "base.h"
#include <stdio.h>
int main(void) {
#define X(name, number, text) printf("%d %s\n", number, text);
    LEDGER_RC_LIST(X)
    printf("size %zu\n", sizeof(struct ledger_err));
}
CODE
    cc -I"$root/include" "$work/codes.c" -o "$work/codes" -L"$build" -lledgerd -Wl,-rpath,"$build" &&
        cc -I"$root/proto" "$work/core.c" -o "$work/core" && "$work/codes" >"$work/a" && "$work/core" >"$work/b" &&
        diff "$work/a" "$work/b"
}
example() { # NAME
    cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -I"$root/include" "$root/docs/examples/$1.c" -o "$work/$1" \
        -L"$build" -lledgerd -Wl,-rpath,"$build"
}

serve() {
    "$build/ledgerd" init "$work/l" --origin library.test/ledger &&
        { "$build/ledgerd" run "$work/l" --listen 127.0.0.1:0 >"$work/log" 2>&1 & daemon=$!; } || return 1
    i=0
    until [ -s "$work/l/run/address" ]; do
        i=$((i + 1))
        [ $i -lt 200 ] || return 1
        sleep 0.1
    done
    sed -i "s|^address = .*|address = $(cat "$work/l/run/address")|" "$work/l/profile/profile.conf"
}
register() {
    "$build/ledgerctl" --profile "$work/l/profile" key new u.w -o "$work/w.key" &&
        "$build/ledgerctl" --profile "$work/l/profile" party register u.w --roles WAREHOUSE --org hospital --key "$work/w.key"
}
submit() { "$work/submit" "$work/l/profile" "$work/w.key" MAT-1 "$work/receipt"; }
refused() { ! submit && grep -q E_DUP_ "$work/out"; }
verify() { "$work/verify" "$work/l/profile" "$work/receipt" && grep -q MAT-1 "$work/out"; }
damaged() {
    printf 'x' | dd of="$work/receipt" bs=1 seek=200 conv=notrunc 2>/dev/null
    ! "$work/verify" "$work/l/profile" "$work/receipt" && grep -q damaged "$work/out"
}

check soname soname
check symbols symbols
check headers-alone headers_alone
if nm "$build/libledgerd.a" 2>/dev/null | grep -qE '__(asan|tsan)_'; then
    echo "skipped: the examples, whose programs are not built with the sanitizer"
    echo "$passed passed, $failed failed, 1 skipped"
    [ $failed = 0 ]
    exit
fi
check codes codes
check example-submit example submit
check example-verify example verify
check serve serve
check register register
check submit submit
check refused refused
check verify verify
check damaged damaged
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
