# SPDX-License-Identifier: Apache-2.0
"""The worked example of docs/format.md, section 15: its numbers and notes, read from the page, and the ledger that they make."""
import os
import re

import chainmap
import layout
import note
import schema
import states
import tree
import verifier
from layout import need

PAGE = os.path.join(schema.ROOT, "docs", "format.md")


class Example:
    def __init__(self):
        with open(PAGE, encoding="utf-8") as f:
            page = f.read()
        self.numbers, self.notes = {}, {}
        for name, text in re.findall(r"^```(numbers|note-\d+)\n(.*?)^```$", page, re.M | re.S):
            if name == "numbers":
                self._numbers(text)
            else:
                self.notes[name] = text.encode()

    def _numbers(self, text):
        name = None
        for line in text.splitlines():
            line = line.split("#")[0].rstrip()
            if "=" in line:
                name, line = (part.strip() for part in line.split("="))
                self.numbers[name] = b""
            self.numbers[name] += bytes.fromhex(line)

    def record(self, index):
        n = self.numbers
        payload = {0: n["genesis"], 2: n["epoch"]}.get(index, n.get(f"event-{index}", b""))
        return {"header": n[f"header-{index}"], "event": payload, "block": n.get(f"block-{index}", b"")}

    def policy(self):
        return note.Policy("log " + self.numbers["log-vkey"].decode() + "\nquorum none\n")

    def snapshot(self):
        return {"checkpoint": self.notes["note-7"], "seal": self.numbers["header-6"], "seal_path": self.numbers["inclusion-6-of-7"]}


def check_ledger(example):
    log = verifier.Log(example.policy(), example.numbers["index-key"])
    for index in range(7):
        log.add(example.record(index))
        need(log.leaves[-1] == example.numbers[f"leaf-{index}"], f"leaf-{index}")
    need(log.check(example.snapshot()).checkpoint.root == example.numbers["tree-root-7"], "tree-root-7")
    need(note.Checkpoint(example.notes["note-2"], example.policy()).root == tree.root(log.leaves[:2]), "note-2")


def check_proofs(example):
    n, snapshot = example.numbers, verifier.Snapshot(example.snapshot(), example.policy())
    snapshot.check_path(layout.Header(n["header-4"]), n["inclusion-4-of-7"])
    need(tree.consistent(2, n["tree-root-2"], 7, n["tree-root-7"], n["consistency-2-7"]), "consistency-2-7")
    root = snapshot.seal.map_root
    need(chainmap.prove(n["map-proof-serum"], n["chain-key-serum"], root) == (1, n["leaf-4"]), "map-proof-serum")
    need(chainmap.prove(n["map-proof-absent"], n["chain-key-absent"], root) is None, "map-proof-absent")
    need(layout.chain_key(n["index-key"], 1, "gs1:01/09521234543220/10/IL2-0078") == n["chain-key-absent"], "chain-key-absent")


def check_samples(example):
    n = example.numbers
    stored = states.Stored(n["sample-shipment-stored"])
    need(stored.canonical == n["sample-shipment"], "sample-shipment")
    for name in ("subject", "shipment", "case", "product"):
        states.read_canonical(n["sample-" + name])
    for name, kind in (("edge", "edge"), ("outcome", "outcome"), ("excursion-fact", "fact"), ("correction", "correction"),
                       ("specification", "specification")):
        states.read_member(kind, n["sample-" + name])
    need(n["sample-before"] == layout.H("signature", layout.var(n["signature-3"])), "sample-before")
    need(layout.H("subject", b"\xc1" * 32, layout.var(b"H-0042/1977-03-01")) == n["subject-commitment"], "subject-commitment")
    need(layout.H("attachment", b"\xc0" * 32, layout.var(b"certificate of analysis")) == n["attachment"], "attachment")
