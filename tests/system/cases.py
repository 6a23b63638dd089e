# SPDX-License-Identifier: Apache-2.0
"""Runs the test_… functions of a suite, two at a time, and ends in the line that tests/run.py reads."""
import collections
import concurrent.futures
import functools
import os
import sys
import threading
import time
import traceback

import ledger
from ledger import Failure


LONG = float(os.environ.get("LEDGERD_LONG") or 0) / 100  # how much of the long forms is done: 1 is all of them, 0 the short ones


def many(short, long):
    """How often, or what of (a sequence; spread evenly): in a long run the share of `long` that was asked for, and never less than in a short one."""
    if not LONG:
        return short
    if isinstance(long, int):
        return max(short, round(long * LONG))
    n = max(len(short), round(len(long) * LONG))
    return [long[i * len(long) // n] for i in range(n)]


class Skip(Exception):
    """The test cannot be made here."""


def tallied(name, *nothing):
    """For a test that counts in its argument what it does how often: at its end, a row of the table of tests/run.py. A test that gets to
    its end has seen none of `nothing`; the row of one that fails says what was done until then, and that it failed."""
    def decorate(test):
        @functools.wraps(test)
        def counting():
            counts = collections.Counter()
            try:
                test(counts)
                counts.update(dict.fromkeys(nothing, 0))
            except Skip:
                counts.clear()
                raise
            except BaseException:
                counts["failed"] += 1
                raise
            finally:
                if counts:  # in one piece: two tests run at once
                    sys.stdout.write(f"TALLY {name} " + " ".join(f"{what}={n}" for what, n in counts.items()) + "\n")
                    sys.stdout.flush()
        return counting
    return decorate


def run_test(name, test):
    began = time.monotonic()
    try:
        test()
        return name, "passed", "", time.monotonic() - began
    except Skip as why:
        return name, "skipped", str(why), time.monotonic() - began
    except Failure as why:
        own = os.path.dirname(os.path.abspath(ledger.__file__))
        frames = traceback.extract_tb(sys.exc_info()[2])
        at = ", ".join(str(f.lineno) for f in frames if not f.filename.startswith(own))
        return name, "failed", f"(lines {at}) {why}", time.monotonic() - began
    except Exception:  # pylint: disable=broad-except
        return name, "failed", traceback.format_exc(), time.monotonic() - began


def main(found, arguments):
    """`found`: the globals of the suite. Arguments: BUILD [TEST…]."""
    ledger.BUILD = os.path.abspath(arguments[1] if len(arguments) > 1 else "build")
    only = arguments[2:]
    tests = [(name[5:], test) for name, test in found.items() if name.startswith("test_")]
    tests = [t for t in tests if not only or t[0] in only]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    lock = threading.Lock()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, outcome, text, seconds in pool.map(lambda t: run_test(*t), tests):
            with lock:
                counts[outcome] += 1
                print(f"{outcome}{':' if text else ''} {name}{': ' if text else ''}{text} ({seconds:.1f} s)", flush=True)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0
