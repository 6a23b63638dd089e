#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ledgerctl simulate against the scenarios and against the naive judge on random lifecycles, and on input that it cannot read.

LEDGERD_SEEDS is the number of random lifecycles (default 24), LEDGERD_SEED_FIRST the first seed (1)."""
import glob
import json
import os
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), part) for part in ("lib", "naive")]

from generate import generate  # noqa: E402
from judge import judge_file  # noqa: E402
from suite import Suite, shared  # noqa: E402

FIRST = ('{"id": "1", "kind": "PARTY_REGISTERED", "occurred": "2026-01-01T00:00:00Z", "recorded": "2026-01-01T00:00:00Z", '
         '"signers": [], "fields": {"action": "REGISTER", "party": "u.a", "roles": ["ADMIN", "WAREHOUSE"], "org": "A"}}')
RECEIVED = ('{"id": "%s", "kind": "MATERIAL_RECEIVED", "occurred": "2026-01-01T00:00:00Z", "recorded": "2026-01-01T00:00:00Z", '
            '"signers": [{"party": "u.a", "meaning": "authorship"}], "fields": {"item": "M-%s", "gtin": "1", "lot": "1", '
            '"supplier": "s", "name": "n", "quantity": %s, "uom": "L", "expiry": "2027-01-01T00:00:00Z", "coa_hash": "h", '
            '"origin": "d"}}')


def first_difference(expected, got):
    for number, (a, b) in enumerate(zip(expected, got), 1):
        if a != b:
            return f"line {number}: expected {a!r}, simulated {b!r}"
    return f"{len(expected)} lines expected, {len(got)} simulated"


def scenarios(suite):
    if not shared():
        suite.skip("scenarios", "there is no folder of shared data")
        return
    for path in sorted(glob.glob(os.path.join(shared(), "scenarios", "*.jsonl"))):
        code, out, err = suite.run(suite.ctl, "simulate", "--expect", path)
        suite.check(code == 0, f"simulate --expect {os.path.basename(path)}", err)
        with open(path) as f:
            lines = [json.loads(line) for line in f if line.strip()]
        expected = [f"{line['id']}\t{line['expect']}" for line in lines]
        suite.check(out.splitlines() == expected, f"lines of {os.path.basename(path)}", first_difference(expected, out.splitlines()))


def lifecycles(suite):
    first, seeds = int(os.environ.get("LEDGERD_SEED_FIRST", "1")), int(os.environ.get("LEDGERD_SEEDS", "24"))
    judged = 0
    for seed in range(first, first + seeds):
        hostile = (0.4, 0.2, 0.6)[seed % 3]
        path = suite.path(f"{seed}.jsonl", "".join(text + "\n" for text in generate(seed, 250, hostile)))
        expected = [f"{line.get('id')}\t{verdict}" for line, verdict in judge_file(path)]
        code, out, err = suite.run(suite.ctl, "simulate", path)
        suite.check(code == 0 and out.splitlines() == expected, f"random lifecycle, seed {seed}, hostile {hostile}",
                    err + first_difference(expected, out.splitlines()))
        judged += len(expected)
        os.unlink(path)
    suite.tally("judged-twice", lifecycles=seeds, events=judged)


def expectations(suite):
    """--expect says where it differs, and compares nothing where a line expects nothing."""
    line = RECEIVED % ("2", "2", "-1")
    refused, wrong = line[:-1] + ', "expect": "REFUSE:E_BAD_VALUE"}', line[:-1] + ', "expect": "ACCEPT"}'
    code, out, err = suite.run(suite.ctl, "simulate", "--expect", suite.path("e.jsonl", f"{FIRST}\n\n{refused}\n"))
    suite.check(code == 0 and out == "1\tACCEPT\n2\tREFUSE:E_BAD_VALUE\n", "a line as expected", out + err)
    code, _, err = suite.run(suite.ctl, "simulate", "--expect", suite.path("e.jsonl", f"{FIRST}\n\n{wrong}\n"))
    suite.check(code == 1 and "line 3" in err and "E_BAD_VALUE" in err and "ACCEPT" in err, "a line that differs", f"{code}\n{err}")
    code, out, err = suite.run(suite.ctl, "--json", "simulate", suite.path("e.jsonl", f"{FIRST}\n{line}\n"))
    second = json.loads(out.splitlines()[1]) if len(out.splitlines()) == 2 else {}
    suite.check(code == 0 and second.get("code") == "E_BAD_VALUE" and second.get("field") == "quantity" and second.get("text"),
                "--json names the field", out + err)


def unreadable(suite):
    cases = [
        ("broken JSON", '{"id": "1", "kind": }', "line 2, column"),
        ("cut off", FIRST[:60], "line 2, column"),
        ("two values", FIRST + " " + FIRST, "line 2"),
        ("no object", '["id"]', "line 2"),
        ("a NUL", FIRST[:20] + "\0" + FIRST[20:], "line 2"),
        ("a name twice", '{"id": "1", "id": "2"}', "line 2"),
        ("no id", FIRST.replace('"id": "1", ', ""), "line 2"),
        ("no recorded time", FIRST.replace('"recorded"', '"expect"').replace('"id": "1"', '"id": "9"'), "line 2"),
        ("a recorded time that is none", FIRST.replace("2026-01-01", "2026-02-30"), "line 2"),
        ("deep nesting", '{"id": "1", "fields": ' + "[" * 100000 + "]" * 100000 + "}", "line 2"),
        ("bytes that are no UTF-8", b'{"id": "\xff"}', "line 2"),
    ]
    for name, text, where in cases:
        content = FIRST.encode() + b"\n" + (text if isinstance(text, bytes) else text.encode()) + b"\n"
        code, out, err = suite.run(suite.ctl, "simulate", suite.path("bad.jsonl", content))
        suite.check(code == 2 and where in err and out == "1\tACCEPT\n", f"unreadable: {name}", f"exit {code}\n{out}{err}"[:2000])
    code, _, err = suite.run(suite.ctl, "simulate", suite.path("missing.jsonl"))
    suite.check(code == 2 and "missing.jsonl" in err, "a file that is not there", err)
    code, out, err = suite.run(suite.ctl, "simulate", suite.path("empty.jsonl", ""))
    suite.check(code == 0 and out == "", "an empty file", f"exit {code}\n{err}")
    code, out, _ = suite.run(suite.ctl, "simulate", "-", stdin=FIRST.encode())
    suite.check(code == 0 and out == "1\tACCEPT\n", "standard input, without a newline at the end", out)


def long_file(suite):
    """Many lines at a constant price each."""
    with open(suite.path("long.jsonl"), "w") as f:
        f.write(FIRST + "\n")
        for i in range(20000):
            f.write(RECEIVED % (f"e{i}", i, "1.5") + "\n")
    code, out, err = suite.run(suite.ctl, "simulate", suite.path("long.jsonl"))
    suite.check(code == 0 and out.count("\tACCEPT\n") == 20001, "20,001 lines", err)


def main():
    suite = Suite(sys.argv)
    scenarios(suite)
    expectations(suite)
    unreadable(suite)
    long_file(suite)
    lifecycles(suite)
    suite.end()


if __name__ == "__main__":
    main()
