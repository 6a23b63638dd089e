#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write a random lifecycle as JSONL, determined by its seed.

    python3 generate.py --seed N --events M [--hostile P]

P is the share of lines that are meant to be refused (default 0.4). Proposals are tried on the naive judge first: a line
that is to be accepted is chosen among those that pass, rather of a kind seen less; one that is to be refused among those
that fail, rather with a code seen less."""
import argparse
import random
import sys

import proposals
from mutate import mutate
from world import World


def bootstrap(world):
    """The first administrator, unsigned; sometimes after attempts that are refused; then the others."""
    rng = world.rng
    _, org, roles = proposals.ROSTER[0]
    if rng.random() < 0.5:
        yield refused_start(world, org, roles)
    yield proposals.register(world, "u.adm", org, roles, signers=rng.choice([[], [], [{"party": "u.any"}]]))
    for name, org, roles in proposals.ROSTER[1:]:
        yield proposals.register(world, "u." + name, org, roles)


def refused_start(world, org, roles):
    line = proposals.register(world, "u.adm", org, roles, signers=[])
    how = world.rng.randrange(4)
    if how == 0:
        line["fields"]["action"] = world.rng.choice(["AMEND", "REVOKE", "ROTATE_KEY"])
    elif how == 1:
        del line["fields"]["org"]
    elif how == 2:
        line["fields"]["roles"] = ["ROOT"]
    else:
        line = {"kind": "COI_ASSIGNED", "occurred": line["occurred"], "signers": [],
                "fields": {"coi": "COI-0", "subject_commit": "00", "use": "AUTOLOGOUS"}}
    return line


def candidates(world, number, mutated):
    """(verdict, line) of some proposals, a share of them with a small change."""
    for _ in range(number):
        line = proposals.propose(world)
        if world.rng.random() < mutated:
            line = mutate(world, line)
        yield world.verdict(line), line


def rarest(world, found):
    """One of the found (verdict, line), rather what was seen less: that code, and that code of that kind."""
    weights = []
    for code, line in found:
        alone, paired = world.seen.get(code, 0), world.seen.get((str(line["kind"]), code), 0)
        weights.append((1 + alone) ** -0.6 * (1 + paired) ** -0.8)
    return world.rng.choices(found, weights)[0][1]


def wanted(world, refuse):
    """An accepted or a refused line, as asked, if a few tries bring one; else whatever came last."""
    found = []
    for _ in range(4):
        for pair in candidates(world, 4, mutated=0.5 if refuse else 0.12):
            last = pair
            if (pair[0] != "ACCEPT") == refuse:
                found.append(pair)
        if len(found) >= 3:
            break
    return rarest(world, found) if found else last[1]


def generate(seed, events, hostile=0.4):
    """The lines as JSON texts."""
    rng = random.Random(seed)
    world = World(rng, events)
    for line in bootstrap(world):
        if world.count < events:
            yield world.record(line)
            world.tick()
    while world.count < events:
        yield world.record(wanted(world, refuse=rng.random() < hostile))
        world.tick()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--hostile", type=float, default=0.4)
    options = parser.parse_args()
    for text in generate(options.seed, options.events, options.hostile):
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
