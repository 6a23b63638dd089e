#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ledgerctl play into fresh ledgers gives the verdicts that simulate gives, if the recorded time is now in both.

LEDGERD_PLAY_SEEDS is the number of random lifecycles (default 12), LEDGERD_SEED_FIRST the first seed (1)."""
import datetime
import glob
import os
import re
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), part) for part in ("lib", "naive")]

from generate import generate  # noqa: E402
from suite import Daemon, Suite, shared  # noqa: E402

RECORDED = re.compile(r'"recorded": "[^"]*"')
STEP = ('{"id": "%s", "kind": "PARTY_REGISTERED", "occurred": "2026-01-01T00:00:00Z", "recorded": "2026-01-01T00:00:00Z", '
        '"signers": [%s], "fields": {"action": "%s", "party": "%s", "roles": ["%s"], "org": "A", "pubkey": "x"}}\n')
ADMIN = '{"party": "%s", "meaning": "authorship"}'
# Administrators that come and go, keys that change, ids that are used again, signatures that are missing or too many.
PARTIES = "".join(STEP % row for row in [
    ("1", "", "AMEND", "u.a", "ADMIN"),
    ("1", "", "REGISTER", "u.a", "ADMIN"),
    ("1", ADMIN % "u.a", "REGISTER", "u.b", "QA"),
    ("2", ADMIN % "u.b", "REGISTER", "u.c", "QA"),
    ("3", ADMIN % "u.nobody", "REGISTER", "u.c", "QA"),
    ("4", "", "REGISTER", "u.c", "QA"),
    ("5", ADMIN % "u.a" + ", " + ADMIN % "u.a", "REGISTER", "u.c", "QA"),
    ("6", '{"party": "u.a"}', "REGISTER", "u.c", "QA"),
    ("7", ADMIN % "u.a", "REGISTER", "u.b", "ADMIN"),
    ("8", ADMIN % "u.b", "REGISTER", "u.z", "QA"),
    ("9", ADMIN % "u.a", "AMEND", "u.b", "QA"),
    ("10", ADMIN % "u.a", "AMEND", "u.a", "QA"),
    ("11", ADMIN % "u.a", "REVOKE", "u.a", "ADMIN"),
    ("12", ADMIN % "u.a", "ROTATE_KEY", "u.a", "ADMIN"),
    ("13", ADMIN % "u.a", "ROTATE_KEY", "u.x", "ADMIN"),
    ("14", ADMIN % "u.a", "REGISTER", "u.c", "ADMIN"),
    ("14", ADMIN % "u.c", "REGISTER", "u.d", "ADMIN"),
    ("14", ADMIN % "u.a", "REGISTER", "u.d", "ADMIN"),
    ("15", ADMIN % "u.c", "REVOKE", "u.a", "ADMIN"),
    ("16", ADMIN % "u.a", "REGISTER", "u.d", "ADMIN"),
    ("17", ADMIN % "u.c", "AMEND", "u.c", "QA"),
    ("18", ADMIN % "u.c", "REVOKE", "u.c", "ADMIN"),
    ("19", ADMIN % "u.c", "REGISTER", "u.a", "ADMIN"),
    ("20", ADMIN % "not an id", "REGISTER", "u.e", "ADMIN"),
    ("21", ", ".join([ADMIN % "u.c"] * 12), "REGISTER", "u.e", "ADMIN"),
    ("22", ADMIN % "u.c", "REGISTER", "u.e", "ADMIN"),
    ("23", ADMIN % "u.e", "REVOKE", "u.c", "ADMIN"),
    ("24", ADMIN % "u.e", "REVOKE", "u.e", "ADMIN"),
])


def first_difference(expected, got):
    for number, (a, b) in enumerate(zip(expected, got), 1):
        if a != b:
            return f"line {number}: simulated {a!r}, played {b!r}"
    return f"{len(expected)} lines simulated, {len(got)} played"


def compare(suite, name, text):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    played, simulated = suite.path("play.jsonl", text), suite.path("simulate.jsonl", RECORDED.sub(f'"recorded": "{now}"', text))
    code, expected, err = suite.run(suite.ctl, "simulate", simulated)
    if not suite.check(code == 0, f"{name}: simulation", err):
        return
    with Daemon(suite) as daemon:
        code, got, err = daemon.ctl("play", played)
        suite.check(code == 0 and got == expected, name, err + first_difference(expected.splitlines(), got.splitlines()))


def keeping(suite):
    """Told to keep the profile's administrator, play lets the file's last one go; and the keys that it makes can be kept."""
    with Daemon(suite) as daemon:
        keys = suite.path("keys")
        code, got, err = daemon.ctl("play", "--keep-administrator", "--keys", keys, suite.path("play.jsonl", PARTIES))
        suite.check(code == 0 and "10\tACCEPT\n" in got, "--keep-administrator", got + err)
        names = sorted(os.listdir(keys))
        suite.check(names == ["u.a.key", "u.b.key", "u.z.key"], "--keys", str(names))
        code, out, err = daemon.ctl("party", "rotate", "u.b", "--key", os.path.join(keys, "u.b.key"))
        suite.check(code == 1 and "E_KEY_INVALID" in err and "Nothing was recorded" in err, "a kept key is the registered one", out + err)


def main():
    suite = Suite(sys.argv)
    compare(suite, "parties", PARTIES)
    keeping(suite)
    if shared():
        for path in sorted(glob.glob(os.path.join(shared(), "scenarios", "*.jsonl"))):
            with open(path) as f:
                compare(suite, os.path.basename(path), f.read())
    else:
        suite.skip("scenarios", "there is no folder of shared data")
    first, seeds = int(os.environ.get("LEDGERD_SEED_FIRST", "1")), int(os.environ.get("LEDGERD_PLAY_SEEDS", "12"))
    for seed in range(first, first + seeds):
        compare(suite, f"random lifecycle, seed {seed}", "".join(t + "\n" for t in generate(seed, 200, (0.4, 0.2)[seed % 2])))
    suite.tally("judged-by-a-daemon", lifecycles=seeds)
    suite.end()


if __name__ == "__main__":
    main()
