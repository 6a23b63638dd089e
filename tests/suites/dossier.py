#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dossiers of played lifecycles: built from a running ledger, verified when it is gone; altered ones; the answers about standing beside
those of `ledgerctl check`; and a second verifier, tests/independent/dossier.py, over all of them."""
import base64
import glob
import hashlib
import json
import os
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, part) for part in ("lib", "independent")]

import dossier as independent  # noqa: E402
import layout  # noqa: E402
import note  # noqa: E402
import wire  # noqa: E402
from suite import Daemon, Suite, shared  # noqa: E402

SNAPSHOT, CHAIN, ENTRY = 5, 6, 7  # fields of DossierFile
LOGS, INDEXES = 5, 6              # of DossierChain
PURPOSES = ("dispatch", "consume", "release")


def lines_of(name):
    with open(os.path.join(shared(), "scenarios", name), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def text_of(lines):
    return "".join(json.dumps(line) + "\n" for line in lines)


# ---- altering a file ----

def taken_apart(data):
    return wire.fields(data[len(independent.MAGIC):-32])


def put_together(fields):
    body = independent.MAGIC + b"".join(wire.put(number, value) for number, _, value in fields)
    return body + hashlib.sha256(body).digest()


def without(fields, number, place):
    """Without the field of that number at that place among its like."""
    places = [at for at, field in enumerate(fields) if field[0] == number]
    return put_together(fields[:places[place]] + fields[places[place] + 1:])


def changed_chain(fields, act):
    """The first chain that `act` changes: it takes the chain's fields, and gives others or None."""
    for at, (number, kind, value) in enumerate(fields):
        parts = act(wire.fields(value)) if number == CHAIN else None
        if parts is not None:
            value = b"".join(wire.put(n, v) for n, _, v in parts)
            return put_together(fields[:at] + [(number, kind, value)] + fields[at + 1:])
    raise AssertionError("no such chain")


def without_a_member(parts):
    for at, (number, kind, value) in enumerate(parts):
        members = wire.fields(value) if number == LOGS else []
        if [n for n, _, _ in members].count(2):
            value = b"".join(wire.put(n, v) for n, _, v in members[:-1])
            return parts[:at] + [(number, kind, value)] + parts[at + 1:]
    return None


def without_an_index(parts):
    for at, (number, kind, value) in enumerate(parts):
        if number == INDEXES and len(value) > 1:
            value = b"".join(map(wire.put_varint, wire.packed(value)[:-1]))
            return parts[:at] + [(number, kind, value)] + parts[at + 1:]
    return None


# ---- a ledger and its dossiers ----

class Ledger:
    """A ledger into which a lifecycle was played."""

    def __init__(self, suite, daemon, lines):
        self.suite, self.daemon = suite, daemon
        self.policy = os.path.join(daemon.data, "profile", "policy")
        code, out, err = daemon.ctl("play", "--keep-administrator", suite.path("lifecycle.jsonl", text_of(lines)))
        suite.check(code == 0, "the lifecycle is played", out + err)
        with open(self.policy, encoding="utf-8") as f:
            self.note_policy = note.Policy(f.read())

    def make(self, item, *how, name=None):
        path = self.suite.path(f"{(name or item).replace('/', '-')}.dossier")
        code, out, err = self.daemon.ctl("dossier", item, "--force", "-o", path, *how)
        self.suite.check(code == 0 and "verified" in out, f"dossier {item} {' '.join(how)}", out + err)
        return path

    def verify(self, path, *how, policy=None):
        """(exit code, the report) of `verify --json`, which asks no server"""
        code, out, err = self.suite.run(self.suite.ctl, "verify", "--json", "--policy", policy or self.policy, path, *how)
        return code, json.loads(out)[0] if out else {"text": err}

    def good(self, path, name):
        code, report = self.verify(path)
        self.suite.check(code == 0 and report.get("verified"), f"{name} is verified", json.dumps(report)[:2000])
        try:
            with open(path, "rb") as f:
                second = independent.Dossier(f.read(), self.note_policy)
        except (layout.Invalid, layout.Unverifiable) as why:
            self.suite.check(False, f"{name}: the second verifier", repr(why))
            return report
        same = {key: report.get(key) for key in (*second.counts, "signatures")} == {**second.counts, "signatures": second.signatures}
        self.suite.check(same, f"{name}: two verifiers count the same", f"{second.counts} {second.signatures}")
        return report

    def refused(self, data, name, what=""):
        code, report = self.verify(self.suite.path("altered.dossier", data))
        good = code == 1 and not report.get("verified") and report.get("verdict") == "damaged" and what in report["text"]
        self.suite.check(good, f"{name} is refused", f"{code} {report}"[:2000])
        try:
            independent.Dossier(data, self.note_policy)
            self.suite.check(False, f"{name} is refused by the second verifier")
        except (layout.Invalid, layout.Unverifiable):
            self.suite.check(True, f"{name} is refused by the second verifier")

    def items(self):
        code, out, err = self.daemon.ctl("list", "items", "--json")
        self.suite.check(code == 0, "list items", err)
        return [row["id"] for row in json.loads(out)["subjects"]]


def altered(ledger, path):
    with open(path, "rb") as f:
        data = f.read()
    fields = taken_apart(data)
    ledger.suite.check(put_together(fields) == data, "a dossier taken apart and put together is the same")
    for number, what in ((CHAIN, "chain"), (ENTRY, "entry")):
        n = sum(field[0] == number for field in fields)
        for place in sorted({0, n // 3, n // 2, n - 1}):
            ledger.refused(without(fields, number, place), f"a dossier without {what} {place} of {n}")
    ledger.refused(changed_chain(fields, without_a_member), "a dossier without a member of a list", "members")
    ledger.refused(changed_chain(fields, without_an_index), "a dossier whose chain lists an entry less")
    ledger.refused(data[:len(data) // 2], "half a dossier")
    ledger.refused(data + b"\0", "a dossier and a byte")
    newer = data.replace(b"dossier v1\n", b"dossier v2\n", 1)[:-32]
    code, report = ledger.verify(ledger.suite.path("newer.dossier", newer + hashlib.sha256(newer).digest()))
    ledger.suite.check(code == 3 and "newer" in report.get("verdict", ""), "a newer dossier needs a newer program", str(report))


def standings(ledger, item, path, coi, commit, org, times):
    """The dossier's answers are those of `check` at the same time for the same purpose."""
    questions = [("administer", "--coi", coi, "--subject-commit", c, *with_org) for c in (commit, "0" * 64) for with_org in ((), ("--org", org))]
    questions += [(purpose,) for purpose in PURPOSES]
    fits = 0
    for time in times:
        for purpose, *how in questions:
            how = ["--for", purpose, *how, "--at", time]
            code, out, err = ledger.daemon.ctl("check", item, "--json", *how)
            offline, report = ledger.verify(path, *how)
            asked = report.get("standing", {})
            same = code == offline and json.loads(out)["reasons"] == asked.get("reasons") and json.loads(out)["fit"] == asked.get("fit")
            ledger.suite.check(same, f"standing of {item} {how}", f"{code} {offline}\n{out}{asked}{err}")
            fits += code == 0
    return fits


def first_bag(lines):
    """Place and fields of the first administration that is accepted."""
    return next((at, line["fields"], line["occurred"]) for at, line in enumerate(lines)
                if line["kind"] == "ADMINISTERED" and line["expect"] == "ACCEPT")


def a_bag(suite, name):
    """Before and after it is given."""
    lines = lines_of(name)
    at, given, time = first_bag(lines)
    with Daemon(suite) as daemon:
        ledger = Ledger(suite, daemon, lines[:at])
        item, coi = given["item"], given["coi"]
        commit = next(line["fields"]["subject_commit"] for line in lines if line["kind"] == "COI_ASSIGNED" and line["fields"]["coi"] == coi)
        path = ledger.make(item, "--coi", coi)
        report = ledger.good(path, f"{name}: {item} back")
        suite.check([row["id"] for row in report["subjects"]] == [item, coi], f"{name}: what it is about")
        suite.check(report["closure"] == "back" and report["items"] and report["signers"], f"{name}: what it tells")
        suite.check(report["checkpoint"]["completeness"] == "operator's word", f"{name}: on whose word")
        org = next(row["holder"] for row in report["items"] if row["item"] == item)
        fits = standings(ledger, item, path, coi, commit, org, (time, "2031-01-01T00:00:00Z"))
        suite.check(fits > 0, f"{name}: {item} is fit for something before it is given")
        code, report = ledger.verify(path, "--for", "administer", "--coi", "SOMEBODY-ELSE", "--subject-commit", commit, "--at", time)
        autologous = name == "a_cart.jsonl"
        mismatch = any(r["code"] == "E_COI_MISMATCH" for r in report["standing"]["reasons"])
        suite.check((code, mismatch) == ((1, True) if autologous else (3, False)), f"{name}: another patient", str(report)[:500])
        code, report = ledger.verify(path, "--for", "consume", "--into", "NO-SUCH-LOT")
        suite.check(code == 3 and not report["standing"]["decided"], "a question that leads outside has no answer", str(report)[:500])
        altered(ledger, path)
        withheld(ledger, item)
        policies(ledger, path)
    code, report = ledger.verify(path, policy=suite.path("policy", policy_alone(ledger)))
    suite.check(code == 0, f"{name}: verified after the ledger is gone", str(report)[:500])


def verifier_key(name, type_, key):
    data = bytes([type_]) + key
    id_ = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    return f"{name}+{id_.hex()}+{base64.b64encode(data).decode()}"


def policy_alone(ledger):
    """The policy, when the profile's folder is gone: the log key as a verifier would have written it down."""
    key = next(iter(ledger.note_policy.logs.values()))
    return f"log {verifier_key(key.name, key.type, key.key)}\nquorum none\n"


def withheld(ledger, item):
    path = ledger.make(item, "--withhold", "QC_RESULT,LOT_SPLIT", name="withheld")
    report = ledger.good(path, "a dossier with content withheld")
    kinds = {row["kind"] for row in report["withheld_entries"]}
    ledger.suite.check(kinds and kinds == set(report["withheld_kinds"]) and kinds <= {"QC_RESULT", "LOT_SPLIT"}, "withheld kinds", str(report["withheld_kinds"]))
    with open(path, "rb") as f:
        data = f.read()
    ledger.suite.check(b"QC_RESULT" in data, "the kinds are named")
    code, out, err = ledger.suite.run(ledger.suite.ctl, "verify", "--policy", ledger.policy, path)
    ledger.suite.check(code == 0 and "present, content withheld" in out, "withheld content is told", out + err)
    for kinds, words in (("PARTY_REGISTERED", "cannot be withheld"), ("NOTHING", "no kind")):
        code, out, err = ledger.daemon.ctl("dossier", item, "--force", "-o", ledger.suite.path("none.dossier"), "--withhold", kinds)
        ledger.suite.check(code == 2 and words in err, f"--withhold {kinds}", out + err)


def policies(ledger, path):
    with Daemon(ledger.suite, origin="suite.example/other") as other:
        policy = os.path.join(other.data, "profile", "policy")
        code, report = ledger.verify(path, policy=policy)
        ledger.suite.check(code == 1 and report["verdict"] == "untrusted", "another ledger's policy does not vouch for it", str(report))
    with open(ledger.policy, encoding="utf-8") as f:
        text = f.read()
    with Daemon(ledger.suite, origin="suite.example/ledger") as other:
        code, report = ledger.verify(path, policy=os.path.join(other.data, "profile", "policy"))
        ledger.suite.check(code == 1 and report["verdict"] == "untrusted", "nor another log key of the same name", str(report))
    witness = verifier_key("suite.example/witness", note.COSIGNATURE, next(iter(ledger.note_policy.logs.values())).key)
    demanding = text.replace("quorum none", f"witness w {witness}\nquorum w")
    code, report = ledger.verify(path, policy=ledger.suite.path("demanding", demanding))
    ledger.suite.check(code == 1 and report.get("verdict") == "untrusted", "a quorum that has not cosigned", str(report))


def every_item(suite, name):
    """Back and forward, of everything that the lifecycle made."""
    with Daemon(suite) as daemon:
        ledger = Ledger(suite, daemon, lines_of(name))
        for item in ledger.items():
            ledger.good(ledger.make(item, "--back"), f"{name}: {item} back")
            report = ledger.good(ledger.make(item, "--forward"), f"{name}: {item} forward")
            compare_trace(ledger, item, report)
        absent = ledger.good(ledger.make("NO-SUCH-BAG"), "an item that is not there")
        suite.check(absent["subjects"] == [{"type": "item", "id": "NO-SUCH-BAG", "present": False}], "absence is proven", str(absent["subjects"]))
        for code, out, err in (daemon.ctl("dossier", "X"), daemon.ctl("dossier", "X", "-o", "y", "--back", "--forward")):
            suite.check(code == 2, "usage", out + err)


def compare_trace(ledger, item, report):
    """A recall dossier names the items that the ledger's own trace names, and where they are."""
    code, out, err = ledger.daemon.ctl("trace", item, "--forward", "--json")
    traced = sorted(row["id"] for row in json.loads(out)["items"]) if code == 0 else err
    ledger.suite.check(traced == sorted(row["item"] for row in report["items"]), f"{item}: the affected items are those of the trace", f"{traced} {report['items']}")


def erased(suite):
    """An event that was erased is told with its erasure, its states are taken from its commitment, and what stands on it is judged as before."""
    code, _, _ = suite.run(suite.ctl, "erase", "--help")
    if code != 0:
        suite.skip("erased content in a dossier", "this ledgerctl erases nothing")
        return
    with Daemon(suite) as daemon:
        ledger = Ledger(suite, daemon, [])
        keys = {"admin": os.path.join(daemon.data, "profile", "keys", "admin.key")}
        for party, roles in (("u.wh", "WAREHOUSE"), ("u.qa", "QA")):
            keys[party] = suite.path(party + ".key")
            for arguments in (("key", "new", party, "-o", keys[party]),
                              ("party", "register", party, "--roles", roles, "--org", "CPC", "--key", keys[party])):
                code, out, err = daemon.ctl(*arguments)
                suite.check(code == 0, " ".join(arguments[:3]), out + err)
        for arguments in (("MATERIAL_RECEIVED", "item=SERUM", "gtin=1", "lot=L", "supplier=Mr. N.", "quantity=5", "uom=L", "origin=x",
                           "expiry=2099-01-01T00:00:00Z", "coa_hash=aa"),
                          ("STORAGE_MOVED", "item=SERUM", "location=shelf of Mr. N."), ("STORAGE_MOVED", "item=SERUM", "location=shelf 2")):
            code, out, err = daemon.ctl("--json", "record", *arguments, "--sign", keys["u.wh"])
            suite.check(code == 0, arguments[0], out + err)
            if "location=shelf of Mr. N." in arguments:
                event = json.loads(out)["event_id"]
        before = ledger.make("SERUM", name="before")
        code, out, err = daemon.ctl("erase", event, "--reason", "a name was written into it", "--sign", keys["admin"], "--sign", keys["u.qa"])
        suite.check(code == 0, "erase", out + err)
        path = ledger.make("SERUM", name="after")
        report = ledger.good(path, "a dossier with erased content")
        rows = report["erased_entries"]
        suite.check(report["erased"] == 1 and rows[0]["reason"] == "a name was written into it" and sorted(rows[0]["by"])[-1] == "u.qa", "who erased, and why", str(rows))
        suite.check(report["outside"] == 0, "the other entries are judged", str(report["outside"]))
        code, out, err = suite.run(suite.ctl, "verify", "--policy", ledger.policy, path)
        suite.check("erased under entry #" in out and "a name was written into it" in out, "erasure is told", out + err)
        ledger.good(before, "a dossier that was made before the erasure")


def main():
    suite = Suite(sys.argv)
    if not shared():
        suite.skip("dossiers of the scenarios", "there is no folder of shared data")
    for path in sorted(glob.glob(os.path.join(shared() or "/nonexistent", "scenarios", "[ab]_*.jsonl"))):
        a_bag(suite, os.path.basename(path))
        every_item(suite, os.path.basename(path))
    erased(suite)
    suite.end()


if __name__ == "__main__":
    main()
