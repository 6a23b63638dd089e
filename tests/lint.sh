#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# lint: what the compiler does not check. `lint.sh --fast BUILD`: layers, purity, sizes, banned functions, licence lines (part of
# `make check`, as tests/suites/layers.sh). `lint.sh BUILD` (`make lint`): these, cppcheck, gcc -fanalyzer and
# clang-tidy.
#
# A step prints what breaks its rule, one line each with file and line, and fails if there is anything.
set -u
cd "$(dirname "$0")/.." || exit 1
fast=
if [ "${1:-}" = --fast ]; then
    fast=yes
    shift
fi
build=${1:-build}
. tests/lib/suite.sh

# ---- what is looked at ----

files() { # files PATTERN DIR…: files of that name, sorted; what a build made is left out
    pattern=$1
    shift
    find "$@" \( -name build -o -name 'build-*' -o -name .git -o -name __pycache__ \) -prune -o -type f -name "$pattern" -print | sort
}
c_files() {
    for dir in "$@"; do files '*.[ch]' "$dir"; done
}
texts() {
    for pattern in '*.[ch]' '*.py' '*.sh' '*.go' '*.proto' '*.md' '*.in' '*.map' '*.mk' '*.[1-8]' '*.jsonl' '*.conf' Makefile run; do
        files "$pattern" .
    done
}
# none TEXT: succeeds if there is none of it.
none() {
    [ -z "$1" ] && return 0
    printf '%s\n' "$1"
    return 1
}

# ---- layers ----

# include_only HEADER ALLOWED: an extended regular expression of headers, and one of the files that may include them.
include_only() {
    none "$(c_files proto ledgerd client include | xargs grep -nE "^#include *[<\"]($1)[>\"]" | grep -vE "^($2):")"
}

# resolves DIR "WHERE…": each header in quotes is found beside the file, in WHERE or among the generated ones: so no part sees another.
resolves() {
    where=$2
    none "$(c_files "$1" | xargs grep -nE '^#include *"' | sed -E 's/^([^:]*):([0-9]*):#include *"([^"]*)".*/\1 \2 \3/' |
        while read -r file line header; do
            case $header in *.pb-c.h) continue ;; esac
            found=
            for dir in "$(dirname "$file")" $where; do
                [ -f "$dir/$header" ] && found=$(realpath --relative-to=. "$dir/$header") && break
            done
            part=${found%%/*}
            case " $1 $where " in *" $part "*) ;; *) echo "$file:$line: \"$header\" is ${found:-nowhere}" ;; esac
        done)"
}

# The parts in the order in which they stand on each other.
layers_proto() { resolves proto "proto"; }
layers_ledgerd() { resolves ledgerd "proto ledgerd"; }
layers_client() { resolves client "proto client include"; }

public_headers() {
    none "$(c_files include | xargs grep -nE '^#include' | grep -vE '<(ledgerd/[a-z]+|std[a-z]+|inttypes)\.h>')"
}

# What the core includes of the system: nothing that could reach a file, a clock, a thread or the network.
core_headers() {
    none "$(c_files proto | xargs grep -nE '^#include *<' |
        grep -vE '<(std(bool|def|int|io|lib|arg)|string|limits|inttypes)\.h>' |
        grep -vE '^proto/crypto\.c:.*<(nettle/(hmac|sha2)|openssl/(core_names|crypto|ec|ecdsa|err|evp|obj_mac|params|bn)|sodium)\.h>' |
        grep -vE '^proto/tsp\.c:.*<openssl/(asn1|bio|crypto|err|evp|objects|pem|pkcs7|ts|x509|x509v3)\.h>')"
}

# ---- purity ----

# Everything that the core calls and does not define itself. Memory comes from arena.c and, for library contexts, crypto.c; abort is
# for broken invariants; stdio is there for the printing into buffers alone.
ALLOWED='
mem(cpy|cmp|set|move|chr|mem|rchr)|str(len|nlen|cmp|ncmp|chr|rchr|spn|cspn|str)|qsort|bsearch
(__)?v?snprintf(_chk)?|__mem(cpy|set|move)_chk|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_
malloc|calloc|realloc|free|abort
__(u?divti3|u?modti3|u?divmodti4|multi3|popcountdi2|clzdi2|ctzdi2)
sodium_(init|memzero|memcmp)|crypto_sign_(verify_detached|detached|seed_keypair|ed25519_[a-z_]*)|crypto_(core|scalarmult)_ed25519_[a-z_]*
nettle_(hmac_)?sha256_(init|set_key|update|digest)
EVP_(PKEY|PKEY_CTX)_[a-z_]*|EVP_PKEY_[a-zA-Z0-9_]*
OSSL_PARAM_construct_[a-zA-Z0-9_]*|OPENSSL_cleanse|CRYPTO_(zalloc|malloc|free|clear_free|memcmp)|ERR_(set_mark|pop_to_mark|clear_error)
(d2i|i2d)_ECDSA_SIG|ECDSA_SIG_[a-z0-9_]*|EC_(POINT|GROUP)_[a-zA-Z0-9_]*|BN_[a-zA-Z0-9_]*'
# tsp.c alone: time-stamp tokens and the certificates in them, from memory and to memory; at a time that it is given.
ALLOWED_TSP='
TS_[A-Z_]+_(new|free|[sg]et[a-z0-9_]*)|TS_RESP_verify_token|(d2i|i2d)_(TS_[A-Z_]+|PKCS7)|PKCS7_[a-zA-Z0-9_]+|PEM_read_bio_X509
ASN1_[A-Z_]+_[a-z0-9_]+|ASN1_INTEGER_to_BN|ASN1_get_object|OBJ_[a-z0-9]+|GENERAL_NAME_get0_value|OPENSSL_sk_(free|num|value)
BIO_(new|new_mem_buf|s_mem|read|free)|ERR_(peek_last_error|reason_error_string)|EVP_sha256
X509_(STORE|STORE_CTX|VERIFY_PARAM|ALGOR|NAME)_[a-z0-9_]+|X509_(digest|free|get0_notAfter|get_subject_name|verify_cert|verify_cert_error_string)'
# called MEMBERS LIST: what those objects call, without what the library defines and what the list allows. MEMBERS is a pattern of awk.
called() {
    allowed=$(printf '%s' "$2" | tr '\n' '|' | sed 's/^|//;s/||*/|/g')
    nm -u -A "$build/libproto.a" | awk -v m="$1" '{split($1, f, ":")} f[2] ~ m {print $NF}' | sort -u >"$suite_dir/used"
    comm -23 "$suite_dir/used" "$suite_dir/defined" | grep -vE "^($allowed)\$" | grep -vE '^__(a|t|ub)san_'
}
purity() {
    [ -f "$build/libproto.a" ] || { echo "$build/libproto.a is not built"; return 1; }
    nm "$build/libproto.a" | awk 'NF == 3 && $2 ~ /^[A-Z]$/ && $2 != "U" {print $3}' | sort -u >"$suite_dir/defined"
    none "$(called '^([^t]|t[^s]|ts[^p]|tsp[^.])' "$ALLOWED"; called '^tsp[.]o$' "$ALLOWED$ALLOWED_TSP")"
}

# Random numbers are drawn nowhere in the core either, under no name of the libraries that the list above would let through.
no_randomness() {
    none "$(nm -u "$build/libproto.a" | grep -E ' (randombytes.*|RAND_.*|BN_.*rand.*|EVP_PKEY_(keygen|generate|Q_keygen).*|crypto_(sign|box|kx)_keypair)$')"
}

no_mutable_globals() {
    none "$(for part in proto daemon ledgerd client-ctl; do
        size -A "$build/lib$part.a" 2>/dev/null | awk -v a="lib$part.a" '
            /\(ex / {o = $1}
            $1 ~ /^\.(data|bss|tdata|tbss|data\.[^r].*|bss\..*)$/ && $2 > 0 {print a ": " o " has " $2 " bytes of " $1}'
    done)"
}

# ---- sizes ----

long_functions() {
    none "$(c_files proto ledgerd client include tests docs | xargs ctags -f - --fields=+ne --kinds-C=f --kinds-C++=f |
        awk -F'\t' '{l = 0; e = 0; for (i = 4; i <= NF; i++) {if ($i ~ /^line:/) l = substr($i, 6); if ($i ~ /^end:/) e = substr($i, 5)}
            if (e - l + 1 > 70) print $2 ":" l ": " $1 " has " e - l + 1 " lines"}')"
}

long_files() {
    none "$(c_files proto ledgerd client include tests docs | xargs wc -l | awk '$2 != "total" && $1 > 800 {print $2 " has " $1 " lines"}')"
}

# ---- words ----

banned_functions() {
    none "$(c_files proto ledgerd client include docs |
        xargs grep -nE '(^|[^a-zA-Z0-9_>."])(strcpy|strcat|strncpy|stpcpy|v?sprintf|strtok|ato[ilf]|atoll|gets|alloca|s?rand|random|tmpnam|mktemp) *\(' |
        grep -vE '^[^:]*:[0-9]*: *(/?\*|//)')"
}

no_struct_typedefs() {
    none "$(c_files proto ledgerd client include | xargs grep -nE '^typedef (struct|union)')"
}

# The licence in the first line (the second after #!); in C, then a comment that says what the file is for.
licence_lines() {
    none "$(for file in $(c_files .) $(for p in '*.py' '*.sh' '*.go' '*.proto' Makefile '*.mk' '*.map'; do files "$p" .; done); do
        head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2\.0' || echo "$file: no licence line"
        case $file in
        *.[ch]) sed -n 2p "$file" | grep -q '^/\*' || echo "$file: no comment under the licence line" ;;
        esac
    done)"
}

# Written apart, so that these lines do not find themselves.
unfinished() { none "$(texts | xargs grep -nE '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b')"; }
machine_paths() { none "$(texts | xargs grep -nE '(^|[^a-zA-Z0-9_.])/(wo''rk|ho''me|Us''ers|ro''ot)/[a-zA-Z]')"; }

# ---- static analysis ----

# What a tool takes for a fault and is none stands in tests/lint/TOOL.txt, each with its reason.
run_cppcheck() {
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j 2 \
        --cppcheck-build-dir="$suite_dir" -D_GNU_SOURCE -DLEDGERD_VERSION='"0"' -Iproto -Iledgerd -Iclient -Iinclude -I"$build/gen" \
        --suppress='*:*/gen/*' --suppressions-list=tests/lint/cppcheck.txt --template='{file}:{line}: {severity}: {message} [{id}]' \
        proto ledgerd client
}

# by_file TOOL: all findings, two files at a time.
by_file() {
    for part in client ledgerd proto; do files '*.c' "$part"; done | xargs -P 2 -n 4 sh tests/lint/check.sh "$1" "$build" | sort -u
}

# "FILE FUNCTION CHECK" of each finding is looked up in the list; what is in the list and was not found is out of date.
run_analyzer() {
    by_file analyzer >"$suite_dir/found"
    sed -n 's/^\([^:]*\):[0-9]*: .*\[\(-W[a-z-]*\)\] in \(.*\)$/\1 \3 \2/p' "$suite_dir/found" | sort -u >"$suite_dir/seen"
    sed -n 's/^\([^#:][^:]*\): .*/\1/p' tests/lint/analyzer.txt | sort -u >"$suite_dir/known"
    comm -23 "$suite_dir/seen" "$suite_dir/known" | while read -r file name check; do
        grep "^$file:.*\[$check\] in $name\$" "$suite_dir/found"
    done >"$suite_dir/new"
    grep -v '\[-W' "$suite_dir/found" >>"$suite_dir/new" # did not compile
    comm -13 "$suite_dir/seen" "$suite_dir/known" | sed 's|^|tests/lint/analyzer.txt: not found any more: |' >>"$suite_dir/new"
    none "$(cat "$suite_dir/new")"
}

# "FILE CHECK" of each finding is looked up in the list.
run_tidy() {
    by_file tidy >"$suite_dir/found"
    sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: .*\[\([a-zA-Z0-9.-]*\).*\]$/\1 \2/p' "$suite_dir/found" | sort -u >"$suite_dir/seen"
    sed -n 's/^\([^#:][^:]*\): .*/\1/p' tests/lint/tidy.txt | sort -u >"$suite_dir/known"
    comm -23 "$suite_dir/seen" "$suite_dir/known" | while read -r file check; do grep "^$file:.*\[$check" "$suite_dir/found"; done >"$suite_dir/new"
    comm -13 "$suite_dir/seen" "$suite_dir/known" | sed 's|^|tests/lint/tidy.txt: not found any more: |' >>"$suite_dir/new"
    none "$(cat "$suite_dir/new")"
}

step "proto includes only proto" layers_proto
step "ledgerd includes only ledgerd and proto" layers_ledgerd
step "client includes only client and proto" layers_client
step "public headers name no other library" public_headers
step "the core includes nothing of the system" core_headers
step "libuv only in the servers and the client's connection" include_only 'uv\.h' 'ledgerd/(server|http)/[a-z_]+\.[ch]|client/connection\.[ch]'
step "libwebsockets only in the HTTP servers" include_only 'libwebsockets\.h' 'ledgerd/http/[a-z_]+\.[ch]|client/ctl/witness_http\.c'
step "libcurl only where others are asked" include_only 'curl/.*' 'ledgerd/witness/post\.c|ledgerd/timestamp/ask\.c'
step "LMDB only in the stores" include_only 'lmdb\.h' 'ledgerd/store/[a-z_]+\.[ch]|client/replay_store\.c'
step "TLS only in the TLS files" include_only 'openssl/ssl\.h' '(ledgerd/server|client)/tls\.[ch]'
step "generated messages only where they are encoded and decoded" include_only '.*\.pb-c\.h' \
    'ledgerd/server/message\.c|ledgerd/query[a-z_]*\.[ch]|client/message\.c'
step "JSON parsing only in json" include_only 'yajl/.*' 'client/json[a-z_]*\.c'
step "the core calls nothing of the system" purity
step "the core draws no random numbers" no_randomness
if grep -q fsanitize "$build/flags"; then
    skip "no mutable globals" "sanitizers add some"
else
    step "no mutable globals" no_mutable_globals
fi
if command -v ctags >/dev/null 2>&1; then
    step "no function over 70 lines" long_functions
else
    skip "no function over 70 lines" "no ctags"
fi
step "no file over 800 lines" long_files
step "no banned functions" banned_functions
step "no typedef of structs" no_struct_typedefs
step "licence lines and head comments" licence_lines
step "nothing left marked as unfinished" unfinished
step "no paths of a machine" machine_paths
if [ -z "$fast" ]; then
    step "cppcheck" run_cppcheck
    step "gcc -fanalyzer" run_analyzer
    step "clang-tidy" run_tidy
fi
suite_end
