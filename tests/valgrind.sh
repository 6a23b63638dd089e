#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# valgrind.sh BUILD [NAME…]: every unit test under memcheck: invalid reads and writes, decisions on what was never written, leaks. It takes
# twenty times as long as the tests alone.
set -u
build=$1
shift
passed=0 failed=0 skipped=0
log=$(mktemp -d "${TMPDIR:-/tmp}/ledgerd-valgrind-XXXXXX")
trap 'rm -rf "$log"' EXIT

one() {
    name=$(basename "$1")
    # Each test is a child process of its own; memcheck's verdict on it is its exit code, and so the test's.
    LEDGERD_MAP_SIZE=1G LEDGERD_TIME_FACTOR=20 valgrind --quiet --error-exitcode=98 --exit-on-first-error=no --leak-check=full \
        --errors-for-leak-kinds=definite --show-leak-kinds=definite --trace-children=no --child-silent-after-fork=no \
        --suppressions=tests/lint/valgrind.supp "$1" >"$log/$name" 2>&1
}
[ $# -gt 0 ] && only=" $* " || only=
for path in "$build"/tests/unit/test_*; do
    name=$(basename "$path")
    [ -x "$path" ] && [ -f "tests/unit/$name.c" ] || continue
    [ -z "$only" ] || case $only in *" $name "*) ;; *) continue ;; esac
    begun=$(date +%s)
    if one "$path"; then
        passed=$((passed + 1))
        echo "ok   $name $(($(date +%s) - begun)) s"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        tail -n 60 "$log/$name" | sed 's/^/    /'
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
