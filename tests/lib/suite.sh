# SPDX-License-Identifier: Apache-2.0
#
# suite.sh: what the suites written in shell share; to be sourced. A step is a command; it passes if it exits with 0. What it printed is
# shown only if it does not. suite_end prints the line that tests/run.py reads. Everything happens in the folder $suite_dir, which goes
# away at the end, and so does the daemon that a suite has started.

suite_daemon=
suite_passed=0 suite_failed=0 suite_skipped=0
suite_dir=$(mktemp -d "${TMPDIR:-/tmp}/ledgerd-suite-XXXXXX")
trap '[ -z "$suite_daemon" ] || kill -KILL "$suite_daemon" 2>/dev/null; rm -rf "$suite_dir"' EXIT
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

# daemon_start LEDGERD DIR: serves DIR at any free port of this machine; the address is in DIR/run/address when it returns.
# LEDGERD_MAP_SIZE: the thread sanitizer leaves no room for a map of the default size.
daemon_start() {
    rm -f "$2/run/address"
    [ -z "${LEDGERD_MAP_SIZE:-}" ] || sed -i "s/^#map_size = .*/map_size = $LEDGERD_MAP_SIZE/" "$2/ledgerd.conf"
    "$1" run "$2" --listen 127.0.0.1:0 2>"$suite_dir/daemon.log" &
    suite_daemon=$!
    for _ in $(seq $((600 * ${LEDGERD_TIME_FACTOR:-1}))); do
        [ -s "$2/run/address" ] && return 0
        kill -0 "$suite_daemon" 2>/dev/null || break
        sleep 0.1
    done
    cat "$suite_dir/daemon.log"
    return 1
}

# daemon_stop: succeeds if the daemon ends as it should.
daemon_stop() {
    kill -TERM "$suite_daemon" && wait "$suite_daemon" && suite_daemon=
}

skip() {
    suite_skipped=$((suite_skipped + 1))
    echo "skipped: $1: $2"
}

suite_end() {
    echo "$suite_passed passed, $suite_failed failed, $suite_skipped skipped"
    [ "$suite_failed" = 0 ]
}
