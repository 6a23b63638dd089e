#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check.sh TOOL BUILD FILE…: what a static tool finds in C files, one line each: "FILE:LINE: what [CHECK] in FUNCTION". TOOL is analyzer
# (gcc -fanalyzer) or tidy (clang-tidy, .clang-tidy). What was found is kept under BUILD/lint by the hash of all that it depends on, so
# that only what has changed is looked at again.
set -u
tool=$1 build=$2
shift 2
mkdir -p "$build/lint"

flags() { # flags FILE: the ones that matter to its meaning (Makefile: INC_…)
    case $1 in
    proto/*) echo "-Iproto" ;;
    ledgerd/*) echo "-Iproto -Iledgerd -I$build/gen" ;;
    client/ctl/*) echo "-Iproto -Iclient -Iinclude -I$build/gen -DLINT_CTL" ;;
    client/*) echo "-Iproto -Iclient -Iinclude -I$build/gen" ;;
    esac
}

model() { # model FILE: what to tell the tool of functions elsewhere; not in files that define these, or the same names
    case $1 in proto/base.c | proto/verdict.c | client/ctl/session.c | client/ctl/witness_http.c) ;; *) echo "-include tests/lint/analyzer.h" ;; esac
}

analyzer() {
    # shellcheck disable=SC2046
    LC_ALL=C gcc -std=c11 -D_GNU_SOURCE -DLEDGERD_VERSION='"0"' -O0 -fanalyzer $(flags "$1") $(model "$1") -c "$1" -o /dev/null 2>&1 |
        awk '/: In function / {split($0, f, "\047"); name = f[2]}
             / (warning|error): / {sub(/:[0-9]+: (warning|error):/, ":"); print $0 " in " name}' | sort -u
}

# A tenth of the paths that clang would follow by default, in a tenth of the time.
tidy() {
    # shellcheck disable=SC2046
    clang-tidy --quiet "$1" -- -std=c11 -D_GNU_SOURCE -DLEDGERD_VERSION='"0"' $(flags "$1") $(model "$1") -Xclang -analyzer-config -Xclang max-nodes=20000 2>/dev/null |
        awk -v root="$(pwd -P)/" '/ (warning|error): .*\[.*\]$/ {print index($0, root) == 1 ? substr($0, length(root) + 1) : $0}' | sort -u
}

for file in "$@"; do
    # shellcheck disable=SC2046
    key=$({ gcc -std=c11 -D_GNU_SOURCE -DLEDGERD_VERSION='"0"' $(flags "$file") -E "$file"; cat tests/lint/check.sh tests/lint/analyzer.h .clang-tidy; gcc --version; } 2>&1 | sha256sum | cut -d' ' -f1)
    kept=$build/lint/$tool-$key
    if [ ! -f "$kept" ]; then
        "$tool" "$file" >"$kept.$$" && mv "$kept.$$" "$kept"
    fi
    cat "$kept"
done
