#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a ledger costs when it is large, is asked while it writes, and is started again; and the limits beside it.

    limits.py BUILD [--large] [--strict] [--seconds S] [--rounds N] [--tiny]

Throughput first (bench.sh). Then two ledgers, made offline by the filler: a small one of 100,000 entries, and a large one of a million
(--large: ten million), which also holds a lineage of 200 items and a material from which 100,000 items came. Both are served side by side
and loaded in turn. Writes BUILD/bench-limits.json and BUILD/bench-limits.svg. Exit code 0 when it ran; with --strict 1 if something is
below its target. --tiny does everything with next to nothing, to see that it runs: its figures mean nothing.

The ledgers are in BUILD/bench-ledgers and deleted at the end, unless BENCH_KEEP is set: then they are used again by the next run.
"""
import argparse
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from report import Target, check, number, plot_targets, say, table, write_json

HERE = os.path.dirname(os.path.abspath(__file__))
MIB, KIB = 1 << 20, 1 << 10
START_S = 120  # a start that takes longer is none
BYTES_AN_ENTRY = 1800  # of disk, to know beforehand whether there is enough


class Sizes:
    def __init__(self, small, large, lineage, reach, idle):
        self.small, self.large, self.lineage, self.reach, self.idle = small, large, lineage, reach, idle


DEFAULT = Sizes(100_000, 1_000_000, 200, 100_000, 2000)
LARGE = Sizes(100_000, 10_000_000, 200, 100_000, 2000)
TINY = Sizes(1500, 3000, 20, 500, 20)


def entries_text(n):
    return f"{n / 1e6:.3g} M" if n >= 1_000_000 else f"{n // 1000} k" if n >= 1000 else str(n)


class Ledger:
    """A filled folder and, between start and stop, its daemon."""

    def __init__(self, build, folder, entries, *fill):
        self.build, self.folder, self.process = build, os.path.join(folder, "-".join([str(entries), *fill]).replace("--", "")), None
        self.data, self.profile = os.path.join(self.folder, "ledger"), os.path.join(self.folder, "ledger", "profile")
        filled = os.path.join(self.folder, "filled.json")
        if not os.path.exists(filled):
            self.fill(entries, fill, filled)
        with open(filled, encoding="utf-8") as f:
            self.filled = json.load(f)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{s.getsockname()[1]}"
        self.name_address()

    def fill(self, entries, options, filled):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        free, wanted = shutil.disk_usage(self.folder).free, entries * BYTES_AN_ENTRY
        if free < wanted + (1 << 30):
            sys.exit(f"{self.folder}: {entries} entries need about {wanted >> 30} GiB of disk, and {free >> 30} GiB are free")
        check(os.path.join(self.build, "ledgerd"), "init", self.data, "--origin", "bench.example/ledger")
        done = subprocess.run([os.path.join(self.build, "tests", "bench", "fill"), "--ledger", self.data, "--entries", str(entries), *options],
                              stdout=subprocess.PIPE, check=False)
        if done.returncode:
            sys.exit(f"fill: exit {done.returncode}")
        with open(filled, "wb") as f:
            f.write(done.stdout)

    def name_address(self):
        path = os.path.join(self.profile, "profile.conf")
        with open(path, encoding="utf-8") as f:
            lines = [f"address = {self.address}\n" if line.startswith("address") else line for line in f]
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(lines)

    def start(self):
        """Seconds until the first answer."""
        said = os.path.join(self.data, "run", "address")  # left behind by one that was killed
        if os.path.exists(said):
            os.unlink(said)
        began = time.monotonic()
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen([os.path.join(self.build, "ledgerd"), "run", self.data, "--listen", self.address], stdout=log,
                                            stderr=log)
        while not (os.path.exists(said) and os.path.getsize(said)):
            if self.process.poll() is not None or time.monotonic() - began > START_S:
                with open(os.path.join(self.folder, "log"), encoding="utf-8") as log:
                    sys.exit(f"{self.data}: the daemon does not start:\n{log.read()[-1500:]}")
            time.sleep(0.002)
        self.ctl("status")
        return time.monotonic() - began

    def stop(self, how=signal.SIGTERM):
        if self.process:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    def command(self, *arguments):
        return [os.path.join(self.build, "ledgerctl"), "--profile", self.profile, "--timeout", "600", *arguments]

    def ctl(self, *arguments):
        return check(*self.command(*arguments))

    def memory(self):
        """Bytes beyond the page cache."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) * KIB for line in f if line.startswith("RssAnon:"))

    def cpu(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def await_writing(self):
        """Until something is committed again and again: what precedes a load are a few commits."""
        files, last, busy = [os.path.join(self.data, "journal", n) for n in "01"], 0, 0
        while busy < 5:
            now = max(os.stat(path).st_mtime_ns for path in files)
            busy, last = (busy + 1 if now != last else 0), now
            time.sleep(0.1)

    def size(self):
        return sum(os.path.getsize(os.path.join(d, n)) for d, _, names in os.walk(os.path.join(self.data, "data")) for n in names)


class Load:
    """64 connections, one event in flight each, in a process of its own."""
    number = 0

    def __init__(self, ledger, scratch, seconds):
        Load.number += 1
        self.json = os.path.join(scratch, f"load-{Load.number}.json")
        admin = os.path.join(ledger.profile, "keys", os.listdir(os.path.join(ledger.profile, "keys"))[0])
        tag = f"{int(time.time()):x}{Load.number}."  # a ledger that was kept was loaded before
        self.process = subprocess.Popen([os.path.join(ledger.build, "tests", "bench", "bench"), "--profile", ledger.profile, "--admin-key", admin,
                                         "--scratch", scratch, "--seconds", str(seconds), "--only", "64", "--json", self.json, "--tag", tag,
                                         "--pid", str(ledger.process.pid)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        out, _ = self.process.communicate()
        if self.process.returncode:
            sys.exit(f"bench: exit {self.process.returncode}\n{out[-1500:]}")
        with open(self.json, encoding="utf-8") as f:
            found = json.load(f)
        return {**found["runs"][0], "verifications": found["ed25519_verifications_per_second_per_core"]}


class MemoryWatch(threading.Thread):
    """The most that a daemon takes meanwhile."""

    def __init__(self, ledger):
        super().__init__(daemon=True)
        self.ledger, self.most, self.ended = ledger, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            self.most = max(self.most, self.ledger.memory())

    def end(self):
        self.ended.set()
        self.join()
        return self.most


class Took:
    """Times of what runs inside: by the clock, and of the processors, in the daemon and in the programs that were run to their end. A
    machine that is busy with other things as well changes the first one most."""

    def __init__(self, ledger):
        self.ledger = ledger

    def now(self):
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.monotonic(), self.ledger.cpu(), own.ru_utime + own.ru_stime

    def __enter__(self):
        self.began = self.now()
        return self

    def __exit__(self, *_):
        self.seconds, self.daemon, self.client = (after - before for after, before in zip(self.now(), self.began))


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


# ---- the measurements; each returns what is kept in the JSON file ----

def measure_rates(small, large, scratch, rounds, seconds):
    """In turn, so that what else goes on at the machine hits both."""
    found = []
    for i in range(rounds):
        say(f"rate, round {i + 1} of {rounds}")
        found.append({"small": Load(small, scratch, seconds).result(), "large": Load(large, scratch, seconds).result()})
    return found


def measure_audit(ledger, verifications, *options):
    say(f"audit {' '.join(options)}")
    with Took(ledger) as took:
        report = json.loads(ledger.ctl("--json", "audit", *options))
    return {"entries": report["entries_replayed"], "signatures": report["signatures_verified"], "seconds": took.seconds,
            "cpu_seconds": took.client, "verifications": verifications}


def measure_hashes(ledger):
    """Of a folder that nobody serves; started and read once before, like a second look at a copy."""
    command, found = [os.path.join(ledger.build, "ledgerd"), "check", ledger.data, "--hashes", "--json"], []
    for _ in range(3):
        say("hashes")
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        entries = json.loads(check(*command))["hashes_only"]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append({"entries": entries, "seconds": time.monotonic() - began,
                      "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime})
    return found


def measure_checks(ledger, scratch, seconds):
    """Idle first. Then only the checks count that began while the writers were at full speed."""
    command = [os.path.join(ledger.build, "tests", "bench", "again"), ledger.profile]
    question = ["check", "FILL-CHECK", "--for", "dispatch"]
    say("checks")
    with Took(ledger) as took:
        idle = [ms for _, ms in json.loads(check(*command, "2", *question))]
    watch = MemoryWatch(ledger)
    watch.start()
    load = Load(ledger, scratch, seconds)
    with subprocess.Popen([*command, "0", *question], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as again:
        wrote = load.result()
        runs = json.loads(again.communicate()[0])
    memory = watch.end()
    loaded = [ms for at, ms in runs if wrote["began"] <= at <= wrote["began"] + wrote["seconds"]]
    if again.returncode or not loaded:
        sys.exit(f"again: exit {again.returncode}, {len(loaded)} checks during the load")
    return {"n": len(loaded), "p50_ms": percentile(loaded, 0.5), "p99_ms": percentile(loaded, 0.99), "max_ms": max(loaded), "idle_n": len(idle),
            "idle_p50_ms": percentile(idle, 0.5), "idle_p99_ms": percentile(idle, 0.99), "writes": wrote, "memory": memory,
            "cpu_ms": {"daemon": 1000 * took.daemon / len(idle), "client": 1000 * took.client / len(idle)}}


def measure_trace(ledger, rounds):
    """Into a file: whoever reads as fast as the program writes needs a core for it, and is no part of what is measured."""
    found, path = [], os.path.join(ledger.folder, "trace.json")
    for _ in range(rounds):
        say("trace")
        with open(path, "wb") as f, Took(ledger) as took:
            done = subprocess.run(ledger.command("trace", "--forward", "FILL-SERUM", "--json"), stdout=f, check=False)
        if done.returncode:
            sys.exit(f"trace: exit {done.returncode}")
        with open(path, "rb") as f:
            items = len(json.load(f)["items"])
        found.append({"seconds": took.seconds, "items": items, "cpu_seconds": {"daemon": took.daemon, "client": took.client}})
    os.unlink(path)
    return found


def measure_idle(ledger, connections):
    say(f"{connections} idle connections")
    before = ledger.memory()
    with subprocess.Popen([os.path.join(ledger.build, "tests", "bench", "idle"), ledger.profile, str(connections)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as idle:
        if idle.stdout.readline() != b"open\n":
            sys.exit("idle: not all connections came to be")
        time.sleep(1)
        each = (ledger.memory() - before) / connections
        idle.stdin.close()
    return {"connections": connections, "bytes": each}


def measure_starts(ledger, scratch, rounds, seconds):
    """Killed in the middle of a load, and started again."""
    found = []
    for i in range(rounds):
        say(f"kill -9 and start, {i + 1} of {rounds}")
        load = Load(ledger, scratch, seconds)
        ledger.await_writing()
        ledger.stop(signal.SIGKILL)
        load.process.communicate()  # ends with an error
        found.append(ledger.start())
    return found


# ---- all of it ----

def targets(found, sizes):
    entries = found["large"]["entries"]
    cores, at, larger = os.cpu_count(), f"at {entries_text(entries)} entries", "" if entries >= LARGE.large else "LARGE=1 for 10 M"
    audit, derived, hashes, checks, trace = found["audit"], found["audit_hashes"], found["hashes"], found["checks"], found["trace"]
    cpu, check_cpu, trace_cpu = audit["signatures"] / audit["cpu_seconds"] / audit["verifications"], checks["cpu_ms"], trace[0]["cpu_seconds"]
    rates = [(r["large"], r["small"]) for r in found["rates"]]
    cost = statistics.median(s["daemon_cores"] / s["events_per_second"] / (b["daemon_cores"] / b["events_per_second"]) for b, s in rates)
    return [
        Target("5  audit, signatures a second / cores x verifications", [audit["signatures"] / audit["seconds"] / cores / audit["verifications"]],
               0.9, note=f"{audit['entries'] / audit['seconds']:,.0f} entries a second; by its own processor time: {cpu:.2f}"),
        Target("5  hashes of a folder alone, M entries a second and core", [h["entries"] / h["seconds"] / cores / 1e6 for h in hashes], 0.9,
               note=f"{hashes[0]['entries']:,} entries; by its own processor time: "
                    f"{number(statistics.median(h['entries'] / h['cpu_seconds'] for h in hashes) / 1e6)}; an audit that leaves out signatures and "
                    f"derives the rest: {number(derived['entries'] / derived['seconds'] / cores / 1e6)}"),
        Target(f"6  check of a lineage of {sizes.lineage} while 64 write, p99", [checks["p99_ms"]], 5, True, " ms",
               f"{checks['n']} checks, p50 {checks['p50_ms']:.1f} ms; nobody writing: p50 {checks['idle_p50_ms']:.1f}, p99 "
               f"{checks['idle_p99_ms']:.1f}; processor time {check_cpu['daemon']:.1f} + {check_cpu['client']:.1f} (daemon + client)"),
        Target(f"7  forward trace to {trace[0]['items']:,} items", [t["seconds"] for t in trace], 1, True, " s",
               f"processor time {trace_cpu['daemon']:.1f} + {trace_cpu['client']:.1f} s (daemon + client)"),
        Target(f"8  rate of 64 {at} / at {entries_text(found['small']['entries'])}",
               [b["events_per_second"] / s["events_per_second"] for b, s in rates], 0.8,
               note=f"by the daemon's processor time an event: {cost:.2f}" + (f"; {larger}" if larger else "")),
        Target("10 memory beyond the page cache under load", [found["memory"] / MIB], 128, True, " MiB"),
        Target("10 memory of an idle TLS connection", [found["idle"]["bytes"] / KIB], 48, True, " KiB"),
        Target(f"11 kill -9 to the first answer {at}", found["starts"], 1, True, " s", larger),
    ]


def measure(build, folder, scratch, sizes, rounds, seconds):
    small = Ledger(build, folder, sizes.small)
    large = Ledger(build, folder, sizes.large, "--lineage", str(sizes.lineage), "--reach", str(sizes.reach))
    found = {"cores": os.cpu_count(), "small": {**small.filled, "bytes": small.size()}, "large": {**large.filled, "bytes": large.size()}}
    try:
        small.start()
        large.start()
        found["rates"] = measure_rates(small, large, scratch, rounds, seconds)
        verifications = statistics.median(r[which]["verifications"] for r in found["rates"] for which in ("small", "large"))
        found["audit"] = measure_audit(small, verifications)
        found["audit_hashes"] = measure_audit(small, verifications, "--hashes-only")
        small.stop()
        found["checks"] = measure_checks(large, scratch, seconds)
        found["trace"] = measure_trace(large, rounds)
        found["memory"] = found["checks"]["memory"]
        found["idle"] = measure_idle(large, sizes.idle)
        found["starts"] = measure_starts(large, scratch, rounds, seconds)
        large.stop()
        found["hashes"] = measure_hashes(large)
    finally:
        small.stop()
        large.stop()
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("build")
    p.add_argument("--large", action="store_true")
    p.add_argument("--tiny", action="store_true")
    p.add_argument("--strict", action="store_true")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=int(os.environ.get("BENCH_SECONDS", "3")))
    a = p.parse_args()
    build, sizes = os.path.abspath(a.build), TINY if a.tiny else LARGE if a.large else DEFAULT
    folder = os.path.join(build, "bench-ledgers")
    scratch = tempfile.mkdtemp(prefix="limits.", dir=build)
    try:
        subprocess.run(["sh", os.path.join(HERE, "bench.sh"), build, str(a.seconds)], check=True)
        found = measure(build, folder, scratch, sizes, a.rounds, a.seconds)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)
    say("")
    results = targets(found, sizes)
    print("\nthe limits beside it")
    table(results)
    write_json(os.path.join(build, "bench-limits.json"), found, results)
    plot_targets(os.path.join(build, "bench-limits.svg"), "How far the targets are reached", results)
    print(f"\n  written: {a.build}/bench-limits.json, {a.build}/bench-limits.svg")
    return 1 if a.strict and not all(t.met for t in results) else 0


if __name__ == "__main__":
    sys.exit(main())
