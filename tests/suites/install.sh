#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# install: what `make install` puts where, whether programs of others can be built against it and run, and whether `make uninstall`
# takes everything away again. Nothing outside a scratch folder is touched.
set -u
build=$(cd "${1:-build}" && pwd) || exit 1
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/suite.sh

if grep -q fsanitize "$build/flags"; then
    skip install "programs with sanitizers are not for installing"
    suite_end
    exit
fi

dest=$suite_dir/dest
lib=$dest/usr/lib
CC=${CC:-cc}
export PKG_CONFIG_PATH="$lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$dest"

# From a copy of the build: other suites run its programs meanwhile, and make would build them anew if it is called with other flags or
# a source has changed. Under `make check` the variables of its command line come with MAKEFLAGS, and nothing has to be built.
copy=$suite_dir/build
copied() { mkdir "$copy" && (cd "$build" && cp -a flags gen obj ledgerd ledgerctl lib* "$copy"); }
installing() { make --no-print-directory O="$copy" DESTDIR="$dest" PREFIX=/usr "$1"; }

everything_there() {
    for file in bin/ledgerd bin/ledgerctl lib/libledgerd.so lib/libledgerd.so.0 lib/libledgerd.a lib/pkgconfig/libledgerd.pc \
        include/ledgerd/ledgerd.h lib/systemd/system/ledgerd@.service lib/sysusers.d/ledgerd.conf share/man/man8/ledgerd.8 \
        share/man/man1/ledgerctl.1 share/doc/ledgerd/format.md share/doc/ledgerd/LICENSE; do
        [ -s "$dest/usr/$file" ] || { echo "$file is missing"; missing=1; }
    done
    [ -z "${missing:-}" ]
}

nothing_left_to_fill_in() { ! grep -rn '@[A-Z]*@' "$lib/pkgconfig" "$lib/systemd"; }
no_build_paths() { ! grep -rIl -e "$suite_dir" -e "$build" "$dest/usr"; }

soname() { [ "$(readelf -d "$lib/libledgerd.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')" = libledgerd.so.0 ]; }

exported() { nm -D --defined-only "$lib/libledgerd.so" | awk '$2 != "A" {sub(/@.*/, "", $3); print $3}' | sort -u; }
exports_only_its_own() {
    [ -n "$(exported)" ] || { echo "no symbols"; return 1; }
    ! exported | grep -v '^ledger_'
}
declared() { cat include/ledgerd/*.h | tr '\n' ' ' | grep -oE 'LEDGER_API [^;(]*\(' | grep -oE 'ledger_[a-z0-9_]+ *\($' | tr -d ' (' | sort -u; }
exports_what_is_declared() {
    exported >"$suite_dir/exported"
    declared >"$suite_dir/declared"
    diff "$suite_dir/declared" "$suite_dir/exported"
}

# Each header must do alone.
headers_stand_alone() {
    for header in "$dest"/usr/include/ledgerd/*.h; do
        printf '#include <ledgerd/%s>\nint main(void) { return 0; }\n' "$(basename "$header")" >"$suite_dir/one.c"
        # shellcheck disable=SC2046
        $CC -std=c11 -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror $(pkg-config --cflags libledgerd) -c "$suite_dir/one.c" \
            -o "$suite_dir/one.o" || return 1
    done
}

# shellcheck disable=SC2046
builds_shared() {
    for example in submit verify; do
        $CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror docs/examples/$example.c $(pkg-config --cflags --libs libledgerd) \
            -o "$suite_dir/$example-shared" || return 1
    done
}

# Static as far as this library goes: what it stands on is named by --static.
# shellcheck disable=SC2046
builds_static() {
    $CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror docs/examples/verify.c $(pkg-config --cflags --static --libs libledgerd |
        sed 's/-lledgerd/-l:libledgerd.a/') -o "$suite_dir/verify-static" || return 1
    ! readelf -d "$suite_dir/verify-static" | grep libledgerd
}

ctl() { "$dest/usr/bin/ledgerctl" --profile "$suite_dir/ledger/profile" "$@"; }

starts() {
    "$dest/usr/bin/ledgerd" init "$suite_dir/ledger" --origin install.example/ledger || return 1
    daemon_start "$dest/usr/bin/ledgerd" "$suite_dir/ledger" || return 1
    sed -i "s/^address = .*/address = $(cat "$suite_dir/ledger/run/address")/" "$suite_dir/ledger/profile/profile.conf" || return 1
    ctl key new u.wh -o "$suite_dir/wh.key" && ctl party register u.wh --roles WAREHOUSE --org ORG --key "$suite_dir/wh.key"
}
shared_records() {
    LD_LIBRARY_PATH=$lib "$suite_dir/submit-shared" "$suite_dir/ledger/profile" "$suite_dir/wh.key" M-1 "$suite_dir/m1.receipt"
}
shared_is_refused() { # the same item again
    ! LD_LIBRARY_PATH=$lib "$suite_dir/submit-shared" "$suite_dir/ledger/profile" "$suite_dir/wh.key" M-1 "$suite_dir/m1b.receipt" &&
        [ ! -e "$suite_dir/m1b.receipt" ]
}
shared_verifies() { LD_LIBRARY_PATH=$lib "$suite_dir/verify-shared" "$suite_dir/ledger/profile" "$suite_dir/m1.receipt"; }
static_verifies() { "$suite_dir/verify-static" "$suite_dir/ledger/profile" "$suite_dir/m1.receipt"; }
static_refuses() {
    head -c 300 "$suite_dir/m1.receipt" >"$suite_dir/cut.receipt"
    "$suite_dir/verify-static" "$suite_dir/ledger/profile" "$suite_dir/cut.receipt"
    [ $? = 1 ]
}

# Against this machine's units, with the program where it was installed to. It prints what it does not know and still exits with 0.
unit_file() {
    sed "s|=/usr/bin/ledgerd|=$dest/usr/bin/ledgerd|" "$lib/systemd/system/ledgerd@.service" >"$suite_dir/ledgerd@.service"
    told=$(systemd-analyze verify --man=no "$suite_dir/ledgerd@x.service" 2>&1) && ! printf '%s\n' "$told" | grep ledgerd
}

# What the daemon does while it serves, writes, reads again what it is told to, and scrubs: only what the unit allows.
traced_daemon() {
    printf '#!/bin/sh\nexec strace -D -f -qq -o "%s" "%s" "$@"\n' "$suite_dir/trace" "$dest/usr/bin/ledgerd" >"$suite_dir/traced"
    chmod +x "$suite_dir/traced"
    printf '\n[http]\nlisten = 127.0.0.1:0\n' >>"$suite_dir/ledger/ledgerd.conf"
    daemon_start "$suite_dir/traced" "$suite_dir/ledger" || return 1
    sed -i "s/^address = .*/address = $(cat "$suite_dir/ledger/run/address")/" "$suite_dir/ledger/profile/profile.conf"
    ctl record MATERIAL_RECEIVED gtin=1 lot=L name=N quantity=1 uom=L expiry=2099-01-01T00:00:00Z origin=defined item=M-9 supplier=S \
        coa_hash=h --sign "$suite_dir/wh.key" && ctl show M-9 && ctl audit && ctl status &&
        python3 -c 'import sys, urllib.request; print(len(urllib.request.urlopen("http://" + sys.argv[1] + "/metrics").read()))' \
            "$(cat "$suite_dir/ledger/run/http")" && kill -HUP "$suite_daemon" && sleep 1.5 && daemon_stop
}
# --help does nothing else, wherever it stands.
helps() {
    for command in init run check rebuild cert rotate-log-key backup restore; do
        "$dest/usr/bin/ledgerd" "$command" "$suite_dir/none" --help | grep -q "^usage: ledgerd $command" || return 1
    done
    [ ! -e "$suite_dir/none" ]
}
allowed_calls() { python3 tests/system/syscalls.py "$lib/systemd/system/ledgerd@.service" "$suite_dir/trace"; }

gone() { ! find "$dest" ! -type d | grep .; }

if ! step "the build is copied" copied || ! step "make install" installing install; then
    suite_end
    exit
fi
step "everything is there" everything_there
step "nothing is left to be filled in" nothing_left_to_fill_in
step "no path of the build" no_build_paths
step "the library's soname" soname
step "the library exports ledger_* only" exports_only_its_own
step "the library exports what its headers declare" exports_what_is_declared
step "each header compiles alone" headers_stand_alone
step "each command has its help" helps
step "examples build against the shared library" builds_shared
step "an example builds against the static library" builds_static
if step "an installed daemon starts and ledgerctl records" starts; then
    step "the shared example records" shared_records
    step "the shared example is refused" shared_is_refused
    step "the daemon ends" daemon_stop
    step "the shared example verifies, offline" shared_verifies
    step "the static example verifies, offline" static_verifies
    step "the static example refuses a receipt that was cut" static_refuses
fi
if command -v systemd-analyze >/dev/null 2>&1; then
    step "the unit file" unit_file
    if strace -o /dev/null true 2>/dev/null; then
        step "the daemon runs under strace" traced_daemon && step "it makes only system calls that the unit allows" allowed_calls
    else
        skip "system calls" "nobody may trace here"
    fi
else
    skip "the unit file" "no systemd-analyze"
fi
step "make uninstall" installing uninstall
step "nothing is left" gone
suite_end
