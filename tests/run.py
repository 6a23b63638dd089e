#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test of the project and ends in one line: "N passed, N failed, N skipped".

Each suite is a program that prints such a line at its end: the unit tests (one binary a module), and the suites listed below, which
drive the built programs from outside. A suite that prints no such line, or ends with a signal or in no time, counts as one failure.
Two suites run at once; the output of a suite is shown only if something in it failed or was skipped.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

LINE = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def suites(build, only, sanitizer):
    found = []
    for path in sorted(glob.glob(f"{build}/tests/unit/test_*") + glob.glob(f"{build}/tests/integration/*")):
        if os.access(path, os.X_OK) and not path.endswith((".o", ".d")):
            found.append((os.path.basename(path), [path]))
    for path in sorted(glob.glob(f"{HERE}/suites/*.py") + glob.glob(f"{HERE}/suites/*.sh")):
        run = [sys.executable] if path.endswith(".py") else ["sh"]
        found.append((os.path.basename(path), run + [path, build]))
    if only:
        found = [s for s in found if any(o in s[0] for o in only)]
    return found


def run(suite, environment, limit):
    name, command = suite
    began = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=limit)
        output, status = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = (late.stdout or b"").decode(errors="replace") + f"\nno end within {limit} s\n", -1
    last = next((m for m in map(LINE.search, reversed(output.splitlines())) if m), None)
    passed, failed, skipped = (int(n or 0) for n in last.groups()) if last else (0, 1, 0)
    if status != 0 and failed == 0:
        failed = 1
    return name, passed, failed, skipped, time.monotonic() - began, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--sanitizer", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("only", nargs="*", help="parts of names of suites")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    environment = dict(os.environ, LEDGERD_BUILD=build)
    environment.setdefault("LEDGERD_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
    environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    environment.setdefault("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1")
    limit = 1200 if options.sanitizer else 300
    total = [0, 0, 0]
    chosen = suites(build, options.only, options.sanitizer)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, passed, failed, skipped, seconds, output in pool.map(lambda s: run(s, environment, limit), chosen):
            print(f"{'ok  ' if not failed else 'FAIL'} {name:<32} {passed:>5} passed {failed:>3} failed {skipped:>3} skipped {seconds:7.1f} s",
                  flush=True)
            if failed:
                print("\n".join("     " + line for line in output.splitlines()[-60:]), flush=True)
            elif skipped:
                for line in output.splitlines():
                    if "skipped:" in line:
                        print("     " + line)
            total = [a + b for a, b in zip(total, (passed, failed, skipped))]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or total[0] == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
