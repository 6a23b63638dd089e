#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dossiers of played lifecycles: built from a running ledger, verified when it is gone; altered ones; the answers about standing beside
those of `ledgerctl check`; under a quorum of witnesses, across changes of the log key, with tokens of a time-stamping authority; and a
second verifier, tests/independent/dossier.py, over all of them."""
import base64
import glob
import hashlib
import json
import os
import shutil
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, part) for part in ("lib", "system", "independent")]

import dossier as independent  # noqa: E402
import layout  # noqa: E402
import ledger as system  # noqa: E402
import note  # noqa: E402
import tree  # noqa: E402
import wire  # noqa: E402
from authority import Authority, Served, Stamped  # noqa: E402
from cosigner import Program  # noqa: E402
from logkey import Served as ServedFolder  # noqa: E402
from logkey import lead_on, rotate, stolen  # noqa: E402
from suite import Daemon, Suite, shared  # noqa: E402
from witnessed import Witnessed  # noqa: E402

SNAPSHOT, CHAIN, ENTRY, LOG_KEY = 5, 6, 7, 8  # fields of DossierFile
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


def with_log_keys(fields, changes):
    """With these changes of the log key in place of those that it has."""
    before, after = ([field for field in fields if pick(field[0])] for pick in (LOG_KEY.__gt__, LOG_KEY.__lt__))
    return put_together(before + [(LOG_KEY, 2, change) for change in changes] + after)


# ---- a ledger and its dossiers ----

class Adapted:
    """A ledger of tests/system as those of tests/lib are used; `profile` may change."""

    def __init__(self, l):
        self.l, self.data = l, l.dir

    def ctl(self, *arguments):
        ran = self.l.ctl(*arguments)
        return ran.status, ran.out, ran.err


class Ledger:
    """A ledger into which a lifecycle was played, if there is one to play."""

    def __init__(self, suite, daemon, lines=None):
        self.suite, self.daemon = suite, daemon
        self.policy = os.path.join(daemon.data, "profile", "policy")
        if lines is not None:
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

    def is_untrusted(self, path, name, policy=None):
        code, report = self.verify(path, policy=policy)
        self.suite.check(code == 1 and report.get("verdict") == "untrusted", name, str(report)[:2000])

    def convicts(self, data, name, words, policy=None):
        code, report = self.verify(self.suite.path("evidence.dossier", data), policy=policy)
        self.suite.check(code == 4 and report.get("verdict") == "does not verify" and words in report["text"], name, f"{code} {report}"[:2000])

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
        deep(ledger, item, coi, commit, report, time)
        altered(ledger, path)
        withheld(ledger, item)
        policies(ledger, path)
    code, report = ledger.verify(path, policy=suite.path("policy", policy_alone(ledger)))
    suite.check(code == 0, f"{name}: verified after the ledger is gone", str(report)[:500])


def deep(ledger, item, coi, commit, dossier, time):
    """--deep answers as without, and replays what the dossier has."""
    check = ("check", item, "--for", "administer", "--coi", coi, "--subject-commit", commit, "--at", time)
    for command, same in ((check, ("fit", "reasons")), (("trace", item, "--back"), ("items", "edges"))):
        code, out, err = ledger.daemon.ctl(*command, "--json")
        deeply, out2, err2 = ledger.daemon.ctl(*command, "--json", "--deep")
        shallow, found = json.loads(out), json.loads(out2)
        ledger.suite.check(code == deeply and all(shallow[key] == found[key] for key in same), f"{command[0]} --deep answers the same", out + out2 + err + err2)
        if command == check:
            ledger.suite.check(found["deep"] == {key: dossier[key] for key in found["deep"]}, "--deep replays the dossier's entries", f"{found['deep']}")
        ledger.suite.check("deep" not in shallow and found["deep"]["derived"] > 5, f"{command[0]} --deep says what was replayed", f"{found['deep']}")
        code, out, err = ledger.daemon.ctl(*command, "--deep")
        ledger.suite.check(code == deeply and "replayed: " in out and "signatures were not replayed" not in out, f"{command[0]} --deep for people", out + err)


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
        told = f"erased under entry #{rows[0]['erased_under']}, by " in out and "a name was written into it" in out and "u.qa (" in out
        suite.check(told, "erasure is told: under which entry, by whom and why", out + err)
        ledger.good(before, "a dossier that was made before the erasure")


def witnessed(suite):
    """Where the policy demands a quorum, the dossier stands under a checkpoint that the witnesses have cosigned."""
    with Witnessed([], "quorum none\n") as l, Program(l, "w1") as w1:
        l.witnesses, l.policy_text = [w1], l.log_line + w1.policy_line() + "quorum w1\n"
        l.put("witnesses", l.policy_text)
        l.start()
        l.demand()
        l.register_warehouse()
        l.record("M-1").expect(0)
        ledger = Ledger(suite, Adapted(l))
        path = ledger.make("M-1")
        report = ledger.good(path, "a dossier under a quorum")
        suite.check(report["checkpoint"]["quorum"], "the quorum is told", str(report["checkpoint"]))
        code, out, err = suite.run(suite.ctl, "verify", "--policy", ledger.policy, path)
        suite.check(code == 0 and "quorum of witnesses has cosigned, last at" in out, "and when", out + err)
        w1.process.kill()
        w1.process.wait()
        plain = os.path.join(l.base, "plain")
        shutil.copytree(l.profile, plain)
        with open(os.path.join(plain, "policy"), "w", encoding="ascii") as f:
            f.write(l.log_line + "quorum none\n")
        l.record("M-2", profile=plain).expect(0)
        alone = suite.path("alone.dossier")
        l.ctl("dossier", "M-2", "-o", alone, profile=plain).expect(0, "verified")
        ledger.is_untrusted(alone, "nobody has cosigned it: not for those who demand a quorum")
        ran = l.ctl("--timeout", "5", "dossier", "M-2", "-o", suite.path("none.dossier"))
        suite.check(ran.status == 3 and not os.path.exists(suite.path("none.dossier")), "no quorum in time, no dossier", str(ran))
        code, report = ledger.verify(alone, policy=os.path.join(plain, "policy"))
        suite.check(code == 0 and not report["checkpoint"]["quorum"], "who demands none takes it", str(report)[:500])


def path_of(leaves, index):
    """The inclusion path, RFC 9162, section 2.1.3.1."""
    if len(leaves) < 2:
        return b""
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return path_of(leaves[:half], index) + tree.root(leaves[half:])
    return path_of(leaves[half:], index - half) + tree.root(leaves[:half])


def under_a_larger_tree(suite):
    """Witnesses cosign some checkpoints and not each: the checkpoint may be larger than what the dossier is as of."""
    with system.Ledger() as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        ledger = Ledger(suite, Adapted(l))
        early = taken_apart(open(ledger.make("M-1"), "rb").read())
        l.record("M-2").expect(0)
        late = taken_apart(open(ledger.make("M-2"), "rb").read())
        l.ctl("export-tiles", suite.path("tiles")).expect(0)
        tile, = glob.glob(suite.path("tiles") + "/tile/0/000.p/*")
        with open(tile, "rb") as f:
            leaves = list(iter(lambda: f.read(32), b""))
        parts = [dict((n, v) for n, _, v in wire.fields(value)) for fields in (early, late) for number, _, value in fields if number == SNAPSHOT]
        size = int(parts[1][1].split(b"\n")[1])
        seal = int(parts[0][1].split(b"\n")[1]) - 1
        for leaf, good in ((seal, True), (seal - 1, False)):
            snapshot = wire.put(1, parts[1][1]) + wire.put(2, parts[0][2]) + wire.put(3, path_of(leaves[:size], leaf))
            data = put_together([(n, k, snapshot if n == SNAPSHOT else v) for n, k, v in early])
            if not good:
                ledger.refused(data, "a seal that is not in the larger tree", "inclusion path")
                continue
            report = ledger.good(suite.path("larger.dossier", data), "a dossier under a larger checkpoint")
            now = report["checkpoint"]
            suite.check((now["size"], now["seal"]) == (size, seal) and size > seal + 1, "as of the seal", str(now))


def log_keys(suite):
    """The changes of the log key lead from the policy's key to the checkpoint's; what two keys say against each other is evidence."""
    with system.Ledger() as l:
        l.start()
        l.end()
        naive, other = (os.path.join(l.base, name) for name in ("naive", "other"))
        for copy in naive, other:
            shutil.copytree(l.profile, copy)
        thief = stolen(l)
        for end in "", ".anchor":
            (shutil.copytree if not end else shutil.copy)(thief + end, thief + "-2" + end)
        l.start()
        ledger = Ledger(suite, Adapted(l))
        path = ledger.make("M-1")
        size = l.size()
        l.end()
        report = ledger.good(path, "a dossier from after a change of the log key, under the policy of before")
        suite.check(report["checkpoint"]["log_key_changes"] == 1, "the change is told", str(report["checkpoint"]))
        code, out, err = suite.run(suite.ctl, "verify", "--policy", ledger.policy, path)
        suite.check(code == 0 and "which signs from size" in out, "which key that is", out + err)
        fields = taken_apart(open(path, "rb").read())
        change = next(value for number, _, value in fields if number == LOG_KEY)
        ledger.is_untrusted(suite.path("cut.dossier", with_log_keys(fields, [])), "nothing leads to its key")
        parts = wire.fields(change)
        for at, (number, _, value) in enumerate(parts):
            flipped = b"".join(wire.put(n, v if i != at else v[:-3] + bytes([v[-3] ^ 1]) + v[-2:]) for i, (n, _, v) in enumerate(parts))
            ledger.refused(with_log_keys(fields, [flipped]), f"a change of the log key with another field {number}")
        thieves(suite, ledger, l, fields, change, (thief, naive, other, size))


def thieves(suite, ledger, l, fields, change, stage):
    """Two who have the old key: one replaces it on his own, the other goes on with it."""
    thief, naive, other, size = stage
    home, wary = (l.dir, l.anchor), l.profile
    l.dir, l.anchor = thief, thief + ".anchor"
    rotate(l)
    l.dir, l.anchor = home
    made = []
    for folder, profile in ((thief, naive), (thief + "-2", other)):
        lead_on(l, folder, profile, size + 10)
        l.profile = profile
        with ServedFolder(l, folder):
            made.append(ledger.make("M-1", name="thief"))
            made[-1] = open(made[-1], "rb").read()
        l.profile = wary
    theirs = next(value for number, _, value in taken_apart(made[0]) if number == LOG_KEY)
    for data, words in zip(made, ("two successors", "was replaced and signs nothing")):
        code, out, err = suite.run(suite.ctl, "--profile", wary, "--json", "verify", suite.path("thief.dossier", data))
        suite.check(code == 4 and words in json.loads(out)[0]["text"], f"evidence for who has followed the change: {words}", out + err)
    for changes in ([change, theirs], [theirs, change]):
        ledger.is_untrusted(suite.path("both.dossier", with_log_keys(fields, changes)), "a change that is not of the key before it")
    with open(ledger.policy, encoding="ascii") as f:
        both = f.read()
    successor = layout.LogKey(next(v for n, _, v in wire.fields(change) if n == 2)).new.decode()
    both = suite.path("both", f"log {successor}\n{both}")
    ledger.convicts(with_log_keys(fields, [theirs]), "a change that this log does not have", "not an entry of the log", policy=both)


def time_stamps(suite):
    """Tokens bound the time of an item's entries, under certificates that the reader has chosen; also after these have expired."""
    good, stranger = Authority(suite, "dossier-good"), Authority(suite, "dossier-stranger")
    served = Served(good)
    with Stamped(suite, served, good.ca) as d:
        ledger = Ledger(suite, d)
        d.until("a token before", lambda f: f.get("time_stamps", 0) >= 1)
        d.event()  # u.1, WAREHOUSE
        code, out, err = d.ctl("--json", "record", "MATERIAL_RECEIVED", "item=SERUM", "gtin=1", "lot=L", "supplier=S", "quantity=5", "uom=L", "origin=x",
                               "expiry=2099-01-01T00:00:00Z", "coa_hash=aa", "--sign", suite.path(f"{os.path.basename(d.folder)}-1.key"))
        suite.check(code == 0, "an item", out + err)
        index = json.loads(out)["index"]
        d.until("a token after", lambda f: f.get("time_stamped_entries", 0) > index)
        path = ledger.make("SERUM")
        report = ledger.good(path, "a dossier with time stamps")
        suite.check(len(report["time_stamps"]) == 2 and all("no authority's certificate was given" in t["why"] for t in report["time_stamps"]), "without certificates", str(report["time_stamps"]))
        code, report = ledger.verify(path, "--tsa-ca", good.ca)
        before, after = report["time_stamps"]
        suite.check(code == 0 and before["verified"] and after["verified"] and after["authority"] == "CN=dossier-good TSA,O=Suite", "verified", str(report["time_stamps"]))
        for which in "first", "latest":
            b = report["bounds"][which]
            suite.check(b["entry"] == index and before["entry"] < index < after["checkpoint_size"], f"the {which} entry", str(b))
            suite.check(b["not_before"]["by_entry"] == before["entry"] and b["not_after"]["by_entry"] == after["entry"], f"bounds of the {which} entry", str(b))
            suite.check(b["not_before"]["time"] < report["checkpoint"]["sealed"] and b["not_before"]["time"] < b["not_after"]["time"], "their order", str(b))
            suite.check(b["not_after"]["ca"] == "CN=dossier-good CA,O=Suite", "by whom", str(b))
        suite.check(not any("time stamps" in text for text in report["not_proven"]), "it is not called unproven", str(report["not_proven"]))
        code, report = ledger.verify(path, "--tsa-ca", stranger.ca)
        suite.check(code == 1 and report["verified"] and not any(t["verified"] for t in report["time_stamps"]) and report["bounds"]["first"]["not_after"] is None,
                    "another authority's certificate", str(report["time_stamps"]))
        told(suite, ledger, path, good)
    served.close()


def told(suite, ledger, path, authority):
    code, out, err = suite.run(suite.ctl, "verify", "--policy", ledger.policy, path)
    suite.check(code == 0 and "not verified: no authority's certificate was given" in out, "it is said that none was given", out + err)
    command = (suite.ctl, "verify", "--policy", ledger.policy, "--tsa-ca", authority.ca, path)
    code, out, err = suite.run(*command)
    suite.check(code == 0 and all(words in out for words in ("first  entry #", "not earlier than", "not later than", "by CN=dossier-good TSA", "operator's word")), "bounds for people", out + err)
    with open(os.path.join(suite.build, "flags"), encoding="utf-8") as f:
        sanitized = "-fsanitize" in f.read()  # wants to be loaded before faketime
    if shutil.which("faketime") and not sanitized:
        then = suite.run("faketime", "2056-01-01", *command)
        suite.check(then[:2] == (code, out), "the same when the certificates have expired", str(then))
    profile = os.path.join(ledger.daemon.data, "profile")
    shutil.copy(authority.ca, os.path.join(profile, "tsa.pem"))
    with open(os.path.join(profile, "profile.conf"), "a", encoding="ascii") as f:
        f.write("tsa_ca = tsa.pem\n")
    code, out, err = ledger.daemon.ctl("verify", path)
    suite.check(code == 0 and "not later than" in out and "dossier-good CA" in out, "the profile names the authority", out + err)


def main():
    suite = Suite(sys.argv)
    system.BUILD = suite.build
    if not shared():
        suite.skip("dossiers of the scenarios", "there is no folder of shared data")
    for path in sorted(glob.glob(os.path.join(shared() or "/nonexistent", "scenarios", "[ab]_*.jsonl"))):
        a_bag(suite, os.path.basename(path))
        every_item(suite, os.path.basename(path))
    for act in erased, witnessed, under_a_larger_tree, log_keys, time_stamps:
        try:
            act(suite)
        except system.Failure as why:
            suite.check(False, act.__name__, str(why))
    suite.end()


if __name__ == "__main__":
    main()
