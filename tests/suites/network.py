#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hosts that do not answer: an address of the server's name, and a name server. In a network of its own, in which packets to two addresses
vanish, and with names of its own. The last line is "N passed, N failed, N skipped".

    network.py BUILD [TEST…]
"""
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import cases  # noqa: E402
import ledger  # noqa: E402
from cosigner import Witness  # noqa: E402
from ledger import Ledger, eventually, need, program, run  # noqa: E402

INSIDE = "LEDGERD_TEST_NETWORK"
HERE, SILENT, SILENT6 = "192.0.2.1", "192.0.2.2", "2001:db8::2"  # RFC 5737, RFC 3849
NAME = "ledger.example"  # its first address is silent, since IPv6 goes first
UNKNOWN = "elsewhere.example"  # in nobody's file: the name server, which is silent, would have to be asked
# Longer than any test waits.
RESOLVER = f"nameserver {SILENT}\noptions timeout:30 attempts:5\n"


# ---- the network ----

def build_network():
    for command in (f"ip link set lo up; ip link add near type veth peer name far; ip link set far up; ip link set near up; "
                    f"ip addr add {HERE}/24 dev near; ip addr add 2001:db8::1/64 dev near nodad; "
                    f"ip neigh add {SILENT} lladdr 02:00:00:00:00:02 dev near nud permanent; "
                    f"ip neigh add {SILENT6} lladdr 02:00:00:00:00:02 dev near nud permanent").split("; "):
        subprocess.run(command.split(), check=True)
    for path, text in (("/etc/hosts", f"127.0.0.1 localhost\n{SILENT6} {NAME}\n{HERE} {NAME}\n"), ("/etc/resolv.conf", RESOLVER),
                       ("/etc/nsswitch.conf", "hosts: files dns\n")):
        with tempfile.NamedTemporaryFile("w", delete=False) as f:
            f.write(text)
        os.chmod(f.name, 0o644)
        subprocess.run(["mount", "--bind", f.name, path], check=True)
        os.unlink(f.name)


def enter():
    """Runs this program again in name spaces of its own. Gives back why that cannot be done."""
    how = ["unshare", "--net", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    tried = subprocess.run(how + ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if tried.returncode != 0:
        return tried.stderr.decode(errors="replace").strip()
    os.environ[INSIDE] = "1"
    os.execvp(how[0], how + [sys.executable] + sys.argv)


def first_address(name):
    return subprocess.run(["getent", "ahosts", name], stdout=subprocess.PIPE, check=True).stdout.decode().split()[0]


# ---- tests ----

def test_a_silent_address_does_not_hide_the_next_one():
    need(first_address(NAME) == SILENT6, "the silent address comes first")
    with Ledger() as l:
        run(program("ledgerd"), "cert", "renew-server", l.dir, "--host", NAME, "--host", "127.0.0.1").expect(0)
        l.address = HERE + ":0"
        l.start()
        l.address = NAME + ":" + l.address.split(":")[1]
        began = time.monotonic()
        l.ctl("status").expect(0, "entries")
        took = time.monotonic() - began
        need(took < 5 * float(os.environ.get("LEDGERD_TIME_FACTOR", "1")), f"{took:.1f} s")
        l.end()


def test_when_all_addresses_fail_the_reason_is_told():
    with Ledger() as l:
        l.start()
        l.address = "localhost:1"
        l.ctl("--timeout", "3", "status").expect(3, "connection refused")
        l.address = f"{SILENT}:1"
        l.ctl("--timeout", "3", "status").expect(3, "the server is silent")


def test_a_silent_name_server_does_not_hold_up_the_end():
    with Ledger() as l:
        l.address = UNKNOWN + ":7461"
        began = time.monotonic()
        l.ctl("--timeout", "3", "status").expect(3, UNKNOWN)
        took = time.monotonic() - began
        need(took < 15, f"{took:.1f} s")


def test_a_silent_name_server_holds_up_no_other_witness():
    with Witness("w1") as here, Witness("w2") as there, Ledger() as l:
        there.url = f"http://{UNKNOWN}/log"
        with open(os.path.join(l.profile, "policy"), encoding="ascii") as f:
            log_line = next(line for line in f if line.startswith("log "))
        with open(os.path.join(l.dir, "witnesses"), "w", encoding="ascii") as f:
            f.write(log_line + here.policy_line() + there.policy_line() + "quorum w1\n")
        l.configure("#policy = witnesses", "policy = witnesses\nretry_seconds = 1\n")
        l.start()

        def witnessed():
            figures = l.json("status")["server"]
            return figures["witnessed_entries"] == figures["entries"]
        l.register_warehouse()
        for i in range(3):
            l.record(f"M-{i}").expect(0)
            eventually("the newest checkpoint is witnessed", witnessed)
        need(l.json("status")["server"]["witness_entries:w2"] == 0, "nobody answers for the other")
        began = time.monotonic()
        l.end()
        need(time.monotonic() - began < 20, "the daemon's end waits for the name server")


if __name__ == "__main__":
    problem = enter() if INSIDE not in os.environ else None
    if not problem:
        try:
            build_network()
        except (OSError, subprocess.CalledProcessError) as failed:
            problem = str(failed)
    if problem:
        print(f"skipped: no network of one's own can be made here: {problem}\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    sys.exit(cases.main(globals(), sys.argv))
