#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a program do only what its systemd unit allows? Reads what strace has written of a run, and the unit's SystemCallFilter, whose groups
systemd-analyze expands. Names each system call that the filter would have refused; exit code 1 if there is one.

    syscalls.py UNIT TRACE
"""
import re
import subprocess
import sys

CALL = re.compile(r"(?:\d+ +)?(\w+)\(")


def expand(name):
    """The system calls of a group, and of the groups in it."""
    if not name.startswith("@"):
        return {name}
    told = subprocess.run(["systemd-analyze", "syscall-filter", name], stdout=subprocess.PIPE, text=True, check=True).stdout
    lines = (line.strip() for line in told.splitlines()[1:])
    return set().union(*(expand(line) for line in lines if line and not line.startswith("#")))


def allowed(unit):
    """The first line allows; what follows adds to it, or takes away."""
    calls = expand("@default")
    with open(unit, encoding="utf-8") as f:
        filters = [line.split("=", 1)[1].strip() for line in f if line.startswith("SystemCallFilter=")]
    for words in filters:
        take_away = words.startswith("~")
        for word in words.lstrip("~").split():
            calls = calls - expand(word) if take_away else calls | expand(word)
    return calls if filters and not filters[0].startswith("~") else None


def main():
    unit, trace = sys.argv[1:]
    calls = allowed(unit)
    if calls is None:
        sys.exit(f"{unit}: no SystemCallFilter that allows")
    with open(trace, encoding="utf-8", errors="replace") as f:
        made = {m.group(1) for m in map(CALL.match, f) if m}
    if len(made) < 20 or "fdatasync" not in made:
        sys.exit(f"{trace}: that is no run of the daemon: {sorted(made)}")
    refused = sorted(made - calls)
    print(f"{len(made)} system calls were made, refused would be: {', '.join(refused) or 'none'}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
