#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# fuzz.sh BUILD CORPUS SECONDS TARGET…: runs libFuzzer on each target in turn, from the corpus and from what earlier runs found interesting
# (BUILD/work/TARGET). An input that breaks something is kept as CORPUS/TARGET/found-… so that `make check` replays it; then this
# fails. What a run adds to the coverage is taken into the corpus, minimized, with MINIMIZE=1.
set -u
build=$1 corpus=$2 seconds=$3
shift 3
export ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}"
failed=
for target in "$@"; do
    work=$build/work/$target
    mkdir -p "$work" "$corpus/$target"
    log=$build/work/$target.log
    if nice -n 10 "$build/fuzz/$target" -max_total_time="$seconds" -max_len=65536 -len_control=50 -timeout=20 -rss_limit_mb=2048 \
        -reload=0 -print_final_stats=1 -artifact_prefix="$corpus/$target/found-" "$work" "$corpus/$target" >"$log" 2>&1; then
        echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s," \
            "$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1), nothing found"
    else
        failed="$failed $target"
        echo "$target: FAILED"
        grep -vE '^#[0-9]+\s+(NEW|REDUCE|pulse|RELOAD)' "$log" | tail -n 40
    fi
    if [ -n "${MINIMIZE:-}" ]; then
        # Seeds and findings keep their names; of the rest, what adds to their coverage stays.
        rm -rf "$build/work/merged" && mkdir "$build/work/merged"
        cp "$corpus/$target"/seed-* "$corpus/$target"/found-* "$build/work/merged/" 2>/dev/null
        nice -n 10 "$build/fuzz/$target" -merge=1 -max_len=${MAX_LEN:-4096} -rss_limit_mb=2048 "$build/work/merged" "$corpus/$target" "$work" >/dev/null 2>&1
        find "$corpus/$target" -type f ! -name 'seed-*' ! -name 'found-*' -delete
        cp -n "$build/work/merged"/* "$corpus/$target/"
    fi
done
[ -z "$failed" ] || { echo "found something:$failed"; exit 1; }
