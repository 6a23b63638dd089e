# SPDX-License-Identifier: Apache-2.0
#
# suite.sh: what the suites written in shell share; to be sourced. A step is a command; it passes if it exits with 0. What it printed is
# shown only if it does not. suite_end prints the line that tests/run.py reads.

suite_passed=0 suite_failed=0 suite_skipped=0
suite_dir=$(mktemp -d "${TMPDIR:-/tmp}/ledgerd-suite-XXXXXX")
trap 'rm -rf "$suite_dir"' EXIT
trap 'exit 1' HUP INT TERM

# step NAME COMMAND…: the command runs in this shell, so that functions can be steps.
step() {
    suite_name=$1
    shift
    if "$@" >"$suite_dir/step.out" 2>&1; then
        suite_passed=$((suite_passed + 1))
        return 0
    fi
    suite_failed=$((suite_failed + 1))
    echo "FAILED $suite_name"
    sed 's/^/    /' "$suite_dir/step.out" | head -n 40
    return 1
}

skip() {
    suite_skipped=$((suite_skipped + 1))
    echo "skipped: $1: $2"
}

suite_end() {
    echo "$suite_passed passed, $suite_failed failed, $suite_skipped skipped"
    [ "$suite_failed" = 0 ]
}
