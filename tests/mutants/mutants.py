#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds with one deliberate fault each, and sees to it that a test fails on every one.

A mutant is an entry in a *.mut file beside this one:

    mutant NAME
    breaks what no longer holds, in words
    tests the suites that should notice, the fast ones first: unit/test_x, integration/x, simulation/sim, suites/x.py
    in FILE
     a line that stays
    -a line that goes
    +a line that comes instead

Lines are matched as text, not by number. The first and the last may be parts of lines. The text must be in the file exactly once: a
mutant that no longer fits is an error, never a silent pass. A mutant may have several "in" blocks.

    mutants.py --build build            all of them: a copy of the tree and of the build each worker; the named suites run until one fails
    mutants.py --only NAME[,NAME]
    mutants.py --check                  only that every text is found once, and that docs/mutants.md is up to date
    mutants.py --table                  writes docs/mutants.md anew; with results of --json FILE, the tests that killed
"""
import argparse
import concurrent.futures
import glob
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
import run  # noqa: E402: the environment of the suites and the form of their last line

TABLE = os.path.join(ROOT, "docs", "mutants.md")
LIMIT_S = 240
LOCK = threading.Lock()
HEAD = """# Mutants

Each row is a build of ledgerd with one deliberate fault. `make mutants` makes them all, one after the other, and runs the suites that
should notice; a mutant that none of them kills is a missing test. `make mutants ONLY=name` runs one. `make check` only sees to it that
each fault still fits the code. The faults are in `tests/mutants/*.mut`; this table is made from them and from the last complete run by
`python3 tests/mutants/mutants.py --table`.

"""


class Mutant:
    def __init__(self, name, where):
        self.name, self.where = name, where
        self.breaks, self.tests, self.hunks = "", [], []  # hunks: (file, old, new)

    def fault(self):
        """Why it does not fit, or None."""
        if not (self.breaks and self.tests and self.hunks):
            return "has no breaks, tests or in"
        try:
            self.apply(ROOT, write=False)
        except ValueError as why:
            return str(why)
        return next((f"there is no suite {t}" for t in self.tests if not os.path.exists(source_of(t))), None)

    def apply(self, tree, write=True):
        """Changes the files under tree; returns what they were."""
        before, now = {}, {}
        for name, old, new in self.hunks:
            path = os.path.join(tree, name)
            if path not in now:
                with open(path, encoding="utf-8") as f:
                    now[path] = before[path] = f.read()
            n = now[path].count(old)
            if n != 1:
                raise ValueError(f"its text is {n} times in {name}, not once: {old.strip().splitlines()[0] if old.strip() else ''}")
            now[path] = now[path].replace(old, new)
        for path, text in now.items() if write else ():
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        return before


def source_of(test):
    path = os.path.join(ROOT, "tests", test)
    return path if os.path.splitext(test)[1] else path + ".c" if not test.startswith("simulation/") else os.path.dirname(path)


def read_mutants():
    found = []
    for path in sorted(glob.glob(f"{HERE}/*.mut")):
        with open(path, encoding="utf-8") as f:
            read_file(os.path.basename(path), f.read().split("\n"), found)
    twice = {m.name for m in found if sum(o.name == m.name for o in found) > 1}
    if twice:
        sys.exit(f"mutants: twice the same name: {', '.join(sorted(twice))}")
    return found


def read_file(name, lines, found):
    at, old, new = "", [], []

    def flush():
        if at and found:
            found[-1].hunks.append((at, "\n".join(old), "\n".join(new)))

    for number, line in enumerate(lines + [""], 1):
        word, _, rest = line.partition(" ")
        if at and line[:1] in ("-", " ", "+"):
            if line[0] != "+":
                old.append(line[1:])
            if line[0] != "-":
                new.append(line[1:])
            continue
        flush()
        at, old, new = "", [], []
        if word == "mutant":
            found.append(Mutant(rest, f"{name}:{number}"))
        elif word == "breaks":
            found[-1].breaks = rest
        elif word == "tests":
            found[-1].tests = rest.split()
        elif word == "in":
            at = rest
        elif line and not line.startswith("#"):
            sys.exit(f"{name}:{number}: not understood: {line}")


# ---- running ----

def call(command, tree, environment, limit):
    """(output, exit code); -1: no end in time. What hangs is killed with all that it started."""
    p = subprocess.Popen(command, cwd=tree, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         start_new_session=True)
    try:
        out, _ = p.communicate(timeout=limit)
        return out.decode(errors="replace"), p.returncode
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        out, _ = p.communicate()
        return out.decode(errors="replace") + f"\nno end within {limit} s", -1


def targets(test, build):
    if test.startswith("suites/"):
        helpers = [f"{build}/tests/{name}" for name in ("adversary/liar", "faults/rot", "faults/load", "faults/crowd")]  # they have the code in them
        return ["programs", "lib", *helpers] + (
            [f"{build}/tests/interop/{os.path.basename(s)[:-2]}" for s in sorted(glob.glob(f"{ROOT}/tests/interop/*.c"))]
            if "interop" in test else [])
    return [f"{build}/tests/{test}"]


def command(test, build):
    if test.endswith(".py"):
        return [sys.executable, f"tests/{test}", build]
    return ["sh", f"tests/{test}", build] if test.endswith(".sh") else [f"{build}/tests/{test}"]


# What a failing suite says about which of its tests it was: check.h, suite.py, the simulation.
SAYS = re.compile(r"^(?:FAILED \S+: (\w+)|failed: (.*)|FAIL (.*)|(simulation: .*))", re.M)


def killed_by(test, output, status):
    said = SAYS.search(output)
    detail = next((g for g in said.groups() if g), "") if said else ""
    detail = re.sub(r"\S*/tmp\S*/", "", detail)  # scratch folders, another one each time
    return f"{test}: {detail}"[:160] if detail else f"{test} ({'no end in time' if status == -1 else f'exit code {status}'})"


def try_mutant(m, tree, build, make):
    """(killed by, seconds) or (None, ...) for a survivor; ValueError: it does not build."""
    began = time.monotonic()
    environment = run.make_environment(os.path.join(tree, build), "")
    environment.setdefault("LEDGERD_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
    before = m.apply(tree)
    try:
        for test in m.tests:
            out, status = call(make + targets(test, build), tree, environment, LIMIT_S)
            if status:
                raise ValueError(f"does not build:\n{out[-2000:]}")
            out, status = call(command(test, build), tree, environment, LIMIT_S)
            last = next((x for x in map(run.LINE.search, reversed(out.splitlines())) if x), None)
            if status or not last or int(last.group(2)):
                return killed_by(test, out, status), time.monotonic() - began
    finally:
        for path, text in before.items():
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
    return None, time.monotonic() - began


def copy_tree(build, to):
    """The sources and what was built of them, with their times, so that only the mutated file is compiled again."""
    os.makedirs(to)
    for name in ("Makefile", "client", "docs", "include", "ledgerd", "proto", "tests", "README.md", "LICENSE"):
        subprocess.run(["cp", "-a", os.path.join(ROOT, name), to], check=True)
    subprocess.run(["cp", "-a", build, os.path.join(to, "build")], check=True)


def keep_results(path, more):
    if not path or not more:
        return
    with LOCK:
        known = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                known = json.load(f)
        known.update(more)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(known, f, indent=1)


def prove_clean(mutants, trees, make, pool):
    """What fails without a mutant kills none."""
    def one(test):
        tree = trees.get()
        environment = run.make_environment(os.path.join(tree, "build"), "")
        out, status = call(make + targets(test, "build"), tree, environment, LIMIT_S)
        if not status:
            out, status = call(command(test, "build"), tree, environment, LIMIT_S)
        trees.put(tree)
        print(f"{'FAILS   ' if status else 'clean   '} {test}", flush=True)
        return f"{test}:\n{out[-2000:]}" if status else None

    wrong = [why for why in pool.map(one, sorted({t for m in mutants for t in m.tests})) if why]
    if wrong:
        sys.exit("mutants: it fails without a mutant: " + "\n".join(wrong))


def run_all(mutants, options):
    results, trees = {}, queue.Queue()
    with open(os.path.join(options.build, "flags"), encoding="utf-8") as f:
        compiler = re.split(r" -std=", f.read(), maxsplit=1)[0]
    # The flags are taken as they are: a mutant may leave a function unused, which is no error here.
    make = ["make", "-s", "-o", "build/flags", f"CC={compiler}", "O=build"]

    def one(m):
        tree = trees.get()
        try:
            by, seconds = try_mutant(m, tree, "build", make)
        except ValueError as why:
            by, seconds = None, 0
            print(f"error    {m.name}: {why}", flush=True)
        finally:
            trees.put(tree)
        results[m.name] = by
        keep_results(options.json, {m.name: by} if by else {})
        print(f"{'killed  ' if by else 'SURVIVED'} {m.name:<34} {seconds:6.1f} s  {by or 'by none of: ' + ' '.join(m.tests)}", flush=True)

    with tempfile.TemporaryDirectory(prefix="ledgerd-mutants-") as folder:
        for i in range(options.jobs):
            copy_tree(options.build, f"{folder}/{i}/ledgerd")
            trees.put(f"{folder}/{i}/ledgerd")
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            prove_clean(mutants, trees, make, pool)
            list(pool.map(one, mutants))
    return results


# ---- the table ----

def table(mutants, results):
    rows = [HEAD, "| mutant | what no longer holds | killed by |\n| --- | --- | --- |\n"]
    for m in mutants:
        by = results.get(m.name) or "not run"
        if by.startswith("simulation/"):
            by = by.partition(":")[0]  # where in which world is no news
        rows.append(f"| {m.name} | {m.breaks} | {by.replace('|', '/')} |\n")
    return "".join(rows)


def known_results():
    """The third column of the table as it is."""
    try:
        with open(TABLE, encoding="utf-8") as f:
            rows = re.findall(r"^\| ([\w-]+) \| .* \| (.*) \|$", f.read(), re.M)
    except OSError:
        return {}
    return {name: by for name, by in rows if name not in ("mutant", "---")}


def check(mutants):
    wrong = [f"{m.where}: {m.name}: {why}" for m in mutants if (why := m.fault())]
    known = known_results()
    names = [m.name for m in mutants]
    if list(known) != names:
        wrong.append("docs/mutants.md does not list these mutants: python3 tests/mutants/mutants.py --table")
    if len(mutants) < 30:
        wrong.append(f"{len(mutants)} mutants are too few")
    for w in wrong:
        print(f"failed: {w}")
    print(f"{len(mutants) + 2 - len(wrong)} passed, {len(wrong)} failed, 0 skipped")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--tests", default="", help="these suites instead of those that a mutant names")
    parser.add_argument("--json", help="where results are kept; those of an earlier run are added to")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    mutants = read_mutants()
    if options.check:
        return check(mutants)
    results = known_results() if options.table else {}
    if options.json and os.path.exists(options.json):
        with open(options.json, encoding="utf-8") as f:
            results.update(json.load(f))
    if options.table:
        with open(TABLE, "w", encoding="utf-8") as f:
            f.write(table(mutants, results))
        return 0
    chosen = [m for m in mutants if not options.only or m.name in re.split(r"[ ,]+", options.only)]
    for m in chosen if options.tests else ():
        m.tests = options.tests.split(",")
    bad = [f"{m.name}: {why}" for m in chosen if (why := m.fault())]
    if bad or not chosen:
        sys.exit("mutants: " + ("\n".join(bad) or f"there is none called {options.only}"))
    done = run_all(chosen, options)
    survivors = [k for k, v in done.items() if not v]
    print(f"{len(done) - len(survivors)} killed, {len(survivors)} survived" + (": " + ", ".join(survivors) if survivors else ""))
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
