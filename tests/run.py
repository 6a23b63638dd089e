#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test of the project and ends in one line: "N passed, N failed, N skipped".

Each suite is a program that prints such a line at its end: the unit tests (one binary a module), and the suites listed below, which
drive the built programs from outside. A suite that prints no such line, or ends with a signal or in no time, counts as one failure.
So does each report of a sanitizer, in whatever program of a suite: these go to files, so that none is lost in an output that nobody
reads, or taken for the failure that a test expects. Two suites run at once; the output of a suite is shown only if something in it
failed or was skipped. A long run (LEDGERD_LONG=100: whole; 10: a tenth) ends in a table of what was done how often.
"""
import argparse
import collections
import concurrent.futures
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

LINE = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$")
TALLY = re.compile(r"TALLY [\w-]+( \w+=-?\d+)+$")  # a row of the table that a long run ends in
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# By what a sanitizer's options say where its reports go. The exit code is one that no program of this project has.
SANITIZERS = {"ASAN_OPTIONS": "exitcode=99:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
              "UBSAN_OPTIONS": "exitcode=99:print_stacktrace=1",
              "TSAN_OPTIONS": "exitcode=99:halt_on_error=1:second_deadlock_stack=1"}
# What a long run sets, unless the caller has: the counts of suites that are told them one by one, in a short one and in a whole long one.
LONG_COUNTS = {"LEDGERD_SEEDS": (24, 500), "LEDGERD_PLAY_SEEDS": (12, 100), "LEDGERD_ERASE_KILLS": (8, 200)}
running = set()


def suites(build, only):
    """The suites that take long come first. A binary whose source is gone is none."""
    found = []
    for path in sorted(glob.glob(f"{HERE}/suites/*.py") + glob.glob(f"{HERE}/suites/*.sh")):
        run = [sys.executable] if path.endswith(".py") else ["sh"]
        found.append((os.path.basename(path), run + [path, build]))
    found.append(("simulation", [os.path.join(build, "tests/simulation/sim")]))
    for source in sorted(glob.glob(f"{HERE}/integration/*.c")) + sorted(glob.glob(f"{HERE}/unit/test_*.c")):
        path = os.path.join(build, os.path.relpath(source, ROOT)[:-2])
        found.append((os.path.basename(path), [path]))
    if only:
        found = [s for s in found if any(o in s[0] for o in only)]
    return found


def built_with(build):
    """The sanitizers that the build's flags name."""
    try:
        with open(os.path.join(build, "flags"), encoding="utf-8") as f:
            found = re.search(r"-fsanitize=(\S+)", f.read())
    except OSError:
        return ""
    return found.group(1) if found else ""


def long_share(environment):
    return float(environment.get("LEDGERD_LONG") or 0) / 100


def make_environment(build, sanitizer):
    environment = dict(os.environ, LEDGERD_BUILD=build)
    environment.pop("LEDGERD_PROFILE", None)  # the caller's own ledger is none of the tests' business
    environment.setdefault("LEDGERD_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
    environment.setdefault("LEDGERD_TIME_FACTOR", "5" if sanitizer else "1")
    if long_share(environment):
        environment = {**{name: str(max(short, round(long * long_share(environment)))) for name, (short, long) in LONG_COUNTS.items()}, **environment}
    if "thread" in sanitizer:
        environment.setdefault("LEDGERD_MAP_SIZE", "1G")  # it leaves no room for 1 TiB of addresses
    return environment


def execute(command, environment, limit):
    """(output, exit code); what hangs is killed with all that it started."""
    try:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    except OSError as why:
        return f"{command[0]}: {why.strerror}", -1
    running.add(process)
    late = ""
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        late = f"\nno end within {limit} s"
    running.discard(process)
    return output.decode(errors="replace") + late, -1 if late else process.returncode


def run(suite, environment, limit, folder):
    name, command = suite
    began = time.monotonic()
    environment = dict(environment)
    for variable, options in SANITIZERS.items():
        more = environment.get(variable)
        environment[variable] = f"{options}:log_path={folder}/{name}" + (f":{more}" if more else "")
    output, status = execute(command, environment, limit)
    last = next((m for m in map(LINE.search, reversed(output.splitlines())) if m), None)
    passed, failed, skipped = (int(n or 0) for n in last.groups()) if last else (0, 1, 0)
    if status != 0 and failed == 0:
        failed = 1
    for line in output.splitlines():
        if line.startswith("TALLY") and not TALLY.match(line):
            failed += 1
            output += f"\nno row of a table: {line}"
    for path in glob.glob(f"{folder}/{name}.*"):
        failed += 1
        with open(path, encoding="utf-8", errors="replace") as f:
            output += "\n" + f.read()[:4000]
    return name, passed, failed, skipped, time.monotonic() - began, output


def show(name, passed, failed, skipped, seconds, output):
    print(f"{'ok  ' if not failed else 'FAIL'} {name:<32} {passed:>5} passed {failed:>3} failed {skipped:>3} skipped {seconds:7.1f} s",
          flush=True)
    if failed:
        print("\n".join("     " + line for line in output.splitlines()[-100:]), flush=True)
    elif skipped:
        for line in output.splitlines():
            if "skipped:" in line:
                print("     " + line)


def table(tallies):
    """What was done how often: the lines "TALLY NAME COUNT=NUMBER …" that suites print, each NAME once, its numbers added up."""
    rows = {}
    for line in tallies:
        _, name, *counts = line.split()
        row = rows.setdefault(name, collections.Counter())
        for what, number in (count.split("=") for count in counts):
            row[what] += int(number)
    for name, row in sorted(rows.items()):
        print(f"  {name:<24} " + ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in row.items()))


def stop(*_):
    """Ends what runs: a suite has a session of its own, which an interrupt from the terminal does not reach."""
    for process in list(running):
        os.killpg(process.pid, signal.SIGKILL)
    os._exit(130)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--sanitizer", help="what it was built with; taken from its flags otherwise")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("only", nargs="*", help="parts of names of suites")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    sanitizer = built_with(build) if options.sanitizer is None else options.sanitizer
    environment = make_environment(build, sanitizer)
    limit = 600 * int(environment["LEDGERD_TIME_FACTOR"]) * (60 if long_share(environment) else 1)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    total, tallies = [0, 0, 0], []
    with tempfile.TemporaryDirectory(prefix="ledgerd-check-") as folder, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in pool.map(lambda s: run(s, environment, limit, folder), suites(build, options.only)):
            show(*done)
            total = [a + b for a, b in zip(total, done[1:4])]
            tallies += [line for line in done[-1].splitlines() if TALLY.match(line)]
            tallies += [f"TALLY {done[0].replace('.', '-')} failed={done[2]}"] if done[2] else []
    if long_share(environment):
        print(f"\n{100 * long_share(environment):g} % of the long forms:")
        table(tallies)
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or total[0] == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
