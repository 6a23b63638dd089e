# SPDX-License-Identifier: Apache-2.0
#
# story: what the demonstrations share: commands are shown as one would type them, run, and checked: the script ends with status 1 at the
# first that does not end as the story says. Everything happens in a scratch folder ($scratch) that is removed at the end; processes whose
# ids are in $others, and $daemon, end with it. To be sourced; needs $build, `set -eu`.

LC_ALL=C.UTF-8
export LC_ALL
began=$(date +%s)
scratch=$(mktemp -d)
daemon= others= address=
steps=0

finish() {
    status=$?
    trap - EXIT INT TERM HUP
    for process in $daemon $others; do
        kill "$process" 2>/dev/null || :
        wait "$process" 2>/dev/null || :
    done
    cd /
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- how it is told ----

bold= red= green= dim= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    esc=$(printf '\033')
    bold="$esc[1m" red="$esc[31m" green="$esc[32m" dim="$esc[2m" plain="$esc[0m"
fi

chapter() {
    printf '\n%s%s%s\n' "$bold" "== $*" "$plain"
}

say() {
    printf '\n%s\n' "$*" | fold -s -w 116 | sed 's/ *$//'
}

fail() {
    printf '\n%sdemo: %s%s\n' "$red" "$*" "$plain" >&2
    [ ! -s output ] || sed 's/^/    /' output >&2
    [ ! -s daemon.log ] || { echo "the daemon's last lines:" && tail -n 8 daemon.log | sed 's/^/    /'; } >&2
    exit 1
}

# The command as one would type it; commitments and hashes are cut short.
show_command() {
    line='$' before=
    for word; do
        case $word in
            *_hash=* | subject_commit*=*) word=${word%%=*}=$(printf %.8s "${word#*=}")... ;;
            *[!A-Za-z0-9_./:=,@%+-]*) word="'$word'" ;;
        esac
        [ "$before" != --subject-commit ] || word=$(printf %.8s "$word")...
        if [ $((${#line} + ${#word})) -gt 116 ]; then
            printf '%s%s \\%s\n' "$dim" "$line" "$plain"
            line='     '
        fi
        before=$word
        line="$line $word"
    done
    printf '%s%s%s\n' "$dim" "$line" "$plain"
}

# Long lines are continued, or cut where `clip` says so (tables).
clip=
show_output() {
    if [ -n "$clip" ]; then
        sed 's/^\(.\{140\}\).*/\1.../' output
    else
        awk '{
            for (line = $0; length(line) > 144; line = "      " substr(line, at + 1)) {
                for (at = 144; at > 20 && substr(line, at, 1) != " ";) at--
                if (at == 20) break
                print substr(line, 1, at - 1)
            }
            print line
        }' output
    fi | sed -e "s/^\(Refused: E_[A-Z_]*\|NOT FIT\|.*DOES NOT VERIFY\|  E_[A-Z_]*\)/$red&$plain/" \
        -e "s/^\(Recorded\|FIT\|holds\)/$green&$plain/" -e 's/^/    /'
}

# run STATUS[,STATUS] COMMAND…: the command must end with this status. Its output is in the file `output`.
run() {
    expected=$1
    shift
    status=0
    "$@" >output 2>&1 || status=$?
    steps=$((steps + 1))
    case ,$expected, in *,$status,*) ;; *) fail "expected exit code $expected, got $status: $*" ;; esac
}
wants() {
    for text; do
        grep -qF -- "$text" output || fail "the answer does not say \"$text\""
    done
}
# Three ways to tell a step: with all that it says, with its first line, and a refusal with the code that it must name.
tell() {
    expected=$1
    shift
    show_command "$@"
    run "$expected" "$@"
    show_output
}
brief() {
    show_command "$@"
    run 0 "$@"
    sed -n 1p output >first && mv first output
    show_output
}
refused() {
    code=$1
    shift
    tell 1 "$@"
    wants "$code" "Nothing was recorded"
}

ledgerctl() { "$build/ledgerctl" "$@"; }
ledgerd() { "$build/ledgerd" "$@"; }
chair() {
    LEDGERD_PROFILE=$1
    export LEDGERD_PROFILE
}
now() { date -u +%Y-%m-%dT%H:%M:%S.%6NZ; }
ahead() { date -u -d "+$1" +%Y-%m-%dT00:00:00Z; }
digest() { printf '%s' "$1" | sha256sum | cut -d ' ' -f 1; }

# ---- the daemon ----

# `ledgerd run ledger`, at first on any free port, which it keeps and which is then written into those of $profiles that are there.
start_daemon() {
    rm -f ledger/run/address
    "$build/ledgerd" run ledger --listen "${address:-127.0.0.1:0}" >>daemon.log 2>&1 &
    daemon=$!
    tries=0
    until [ -s ledger/run/address ]; do
        kill -0 "$daemon" 2>/dev/null || fail "the daemon ended"
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "the daemon does not listen"
        sleep 0.05
    done
    address=$(cat ledger/run/address)
    for folder in $profiles; do
        conf=$folder/profile.conf
        [ ! -f "$conf" ] || { sed "s/^address *=.*/address = $address/" "$conf" >new.conf && cat new.conf >"$conf"; }
    done
}
stop_daemon() {
    kill "$daemon"
    wait "$daemon" || fail "the daemon ended with an error"
    daemon=
}
