#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The adversary: a daemon that lies, one lie at a time (tests/adversary/liar.h), and those who look at it. Each lie is a row of ROWS, and each
look a cell of docs/threat-model.md: the table there is what `adversary.py BUILD --table` prints, and the suite fails if it is not.

A look is caught (exit code 4, with evidence of a kind that is checked, too, by `ledgerctl verify`), or it is blind: then the answer that
fooled it has to show the lie, so that the table's "not by" is proven as well."""
import base64
import concurrent.futures
import datetime
import hashlib
import json
import os
import re
import sys
import threading
import time
import traceback
from collections import namedtuple

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "lib"), os.path.join(TESTS, "adversary")]

import suite as lib  # noqa: E402
from stage import CLIENTS, ORIGIN, Honest, Stage  # noqa: E402
from story import (BAG, CENTRE, COI, COMMIT, LOT, ONWARD, PRODUCT, SERUM, SPARE, condition, consume, create_lot, dispatch, later,  # noqa: E402
                   material, recall, received, result)

DOCUMENT = os.path.join(lib.ROOT, "docs", "threat-model.md")
LOT2 = PRODUCT + "/10/CT26-0002"
CLIENT, VERIFIER, AUDITOR = "client", "offline verifier", "auditor"
COLUMNS = [CLIENT, VERIFIER, AUDITOR]

# Somebody runs a command and gets an exit code and a text. evidence: what `ledgerctl verify` says of the file that was kept.
Look = namedtuple("Look", "column who command exit text evidence")
# setup(stage, row) serves the lie; default: the liar over a copy of the honest ledger, to which the events are then submitted.
Row = namedtuple("Row", "name told looks lie a b old events setup", defaults=("", "", "", False, (), None))


def sees(*command, exit=4, text="", evidence="claim", who="hospital", column=CLIENT):  # pylint: disable=redefined-builtin
    return Look(column, who, command, exit, text, evidence if exit == 4 else None)


def fooled(*command, text, exit=0, who="hospital", column=CLIENT):  # pylint: disable=redefined-builtin
    return Look(column, who, command, exit, text, None)


def audit(evidence="open", text=""):
    return Look(AUDITOR, "auditor", ("audit",), 4, text, evidence)


CHECK = ("check", BAG, "--for", "administer", "--coi", COI, "--subject-commit", COMMIT)
DEEP = CHECK + ("--deep",)
RECEIPT = ("receipt", "#LIE", "-o", "@/lie.receipt")
VERIFY = ("verify", "@/lie.receipt")
GOOD_RECEIPT = [fooled(*RECEIPT, text="verified"), fooled(*VERIFY, text="verified", column=VERIFIER)]
BAD_RECEIPT = [sees(*RECEIPT, evidence="proven"), sees("verify", "@/lie.receipt.made", text="PROVEN", evidence=None, column=VERIFIER)]
RECORDED = fooled("record", text="ACCEPT", who="operator")
CAUGHT_AT_RECORD = sees("record", who="operator", text="UNKNOWN")
LATE = [[result("late", "PASS", "ok", ref="lie")]]


# ---- setups ----


def serve(stage, row):
    stage.serve(row.lie or row.name, row.a, row.b, row.old)
    departed = later()
    for events in row.events:
        if events == "EXCURSION":  # its times lie after the dispatch's
            events = [condition(ONWARD, departed, -80, True, "lie", excursion_id="EX-1")]
        ran = stage.record(*events)
        if any(e.get("id") == "lie" for e in events) or not stage.last:
            stage.last = ran


def honest_then(stage, row, *events):
    """The hospital has seen the ledger as it was after the events; then it is served by the liar."""
    folder = stage.serve()
    for e in events:
        stage.must(stage.record(e))
    stage.must(stage.ctl("hospital", "checkpoint"))
    stage.stop()
    stage.serve(row.lie or row.name, row.a, row.b, row.old, folder)


def seen_then_past(stage, row):
    honest_then(stage, row, recall())
    set_fresh_within(stage, "sponsor", 1)
    until_older(stage, 3)


def seen_before(stage, row):
    honest_then(stage, row)


def set_fresh_within(stage, who, seconds):
    with open(os.path.join(stage.profile(who), "profile.conf"), "a", encoding="utf-8") as f:
        f.write(f"\nfresh_within = {seconds}\n")


def until_older(stage, seconds):
    """Until the last seal of the honest ledger is so old."""
    made = os.path.getmtime(stage.honest.ledger + ".anchor")
    while time.time() - made < seconds:
        time.sleep(0.05)


def rolled_back(stage, _):
    stage.serve()
    stage.must(stage.record(recall()))
    stage.must(stage.ctl("hospital", *CHECK), 1)
    stage.stop()
    stage.serve()  # a fresh copy of the older folder, and of its anchor


def rewritten(stage, row):
    """The same submissions twice: once as they were, once with another quantity, so that both trees have one size."""
    stage.serve()
    stage.must(stage.record(material("MAT-9", 5, "lie")))
    stage.must(stage.ctl("hospital", "show", "MAT-9"))
    stage.stop()
    stage.forget("operator")
    stage.serve("quantity-changed", b=row.b)
    stage.last = stage.record(material("MAT-9", 5, "lie"))


def forked(stage, row):
    """Two continuations of one ledger, of one size; the sponsor is shown the other one."""
    for _ in range(2):
        stage.serve(folder=stage.older_copy())
        stage.stop()
    stage.serve(row.name, row.a, old=True)
    stage.must(stage.record(recall()))
    stage.must(stage.record(material("MAT-9", 5)))
    code, out, err = stage.ctl("hospital", "checkpoint")
    stage.must((code, out, err))
    stage.keep("hospital.checkpoint", out)
    for who in "hospital", "sponsor":
        stage.must(stage.ctl(who, "receipt", "#30", "-o", stage.file(who + ".receipt")))


def with_witness(stage, row):
    path = os.path.join(stage.profile("hospital"), "policy")
    code, vkey, err = stage.suite.run(stage.liar, "witness")
    stage.must((code, vkey, err))
    with open(path, encoding="utf-8") as f:
        policy = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(re.sub(r"(?m)^quorum .*$", "", policy) + f"\nwitness auditors {vkey.strip()}\nquorum auditors\n")
    stage.serve("witnessed")
    code, out, err = stage.ctl("hospital", *CHECK)
    if code != 0 or "an auditing witness has replayed it" not in out:
        raise RuntimeError(f"with a true witness: {code} {out}{err}")
    stage.stop()
    stage.serve(row.name)


def backdated(stage, row):
    """To the moment after the lot was made: before everything else in its chain was recorded."""
    made = datetime.datetime.fromisoformat(stage.honest.lot_made.replace("Z", "+00:00"))
    just_after = made + datetime.timedelta(microseconds=1)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    stage.serve(row.name, b=(just_after - epoch) // datetime.timedelta(microseconds=1))
    stage.last = stage.record(*LATE[0], occurred=just_after.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def revoke(stage, row):
    stage.serve(row.name, "qc")
    stage.must(stage.ctl("operator", "party", "revoke", "qc"))
    stage.last = stage.record(*LATE[0])


def second_person(stage, row):
    """The administrator registers qc's key again, as that of somebody else."""
    stage.serve(row.name)
    with open(os.path.join(stage.honest.ring, "qc.key"), encoding="utf-8") as f:
        stage.keep("two.key", re.sub(r"(?m)^party( *[:=]? *)qc$", r"party\1qc.two", f.read()))
    os.chmod(stage.file("two.key"), 0o600)
    stage.last = stage.ctl("operator", "party", "register", "qc.two", "--roles", "QC", "--org", CENTRE, "--key", stage.file("two.key"),
                           "--reference", "lie")


# ---- the lies ----

ANSWERS = [
    Row("newest-dropped", "the newest entry of a lot's chain is left out: head, state and history of before",
        [sees(*CHECK, text="map proof"), sees("show", SERUM), sees("history", SERUM)], a=SERUM, old=True, events=[[recall()]]),
    Row("middle-dropped", "an entry in the middle is left out of a history", [sees("history", LOT, text="8 entries")], a=LOT),
    Row("entries-swapped", "two entries change places, in a history and in the log",
        [sees("history", LOT), audit("claim", "entry 1")], a=LOT),
    Row("entry-repeated", "an entry is given twice, in place of another one", [sees("history", LOT), audit("claim")], a=LOT),
    Row("stream-truncated", "a stream ends early: half a history, an empty log", [sees("history", LOT), audit("claim")], a=LOT),
    Row("hidden-from-lineage", "a recalled raw material is left out of the bag's lineage",
        [sees(*CHECK, text="left out"), sees("trace", BAG, "--back", text="left")], a=SERUM, events=[[recall()]]),
    Row("input-left-out", "one member is left out of a batch's list of inputs", [sees(*CHECK), sees("trace", BAG, "--back")], a=LOT),
    Row("inputs-left-out", "the whole list of inputs is left out", [sees(*CHECK), sees("trace", BAG, "--back")], a=LOT),
    Row("false-state", "another quantity in the state that is shown", [sees("show", SERUM, text="commits to")], a=SERUM),
    Row("another-chain", "one bag's chain is served under the name of the other", [sees(*CHECK), sees("show", BAG)], a=BAG, b=SPARE),
    Row("known-as-unknown", "\"not in the ledger\" of a bag that is, with a proof", [sees(*CHECK), sees("show", BAG)], a=BAG, b="GHOST"),
    Row("known-refused", "\"there is no such item\" of a bag that there is, without a proof",
        [sees("show", BAG, exit=3, text="proves nothing"), sees(*CHECK, exit=3)], a=BAG),
    Row("unknown-as-known", "another bag's chain for an item that there is not", [sees("show", "GHOST")], a="GHOST", b=BAG),
    Row("another-receipt", "the receipt of another event", [sees("receipt", "#31", "-o", "@/r")], b="30"),
    Row("accepted-as-another", "two events of one submission get each other's receipt", [sees("record", who="operator", text="UNKNOWN")],
        events=[[material("MAT-7", 1), material("MAT-8", 2)]]),
    Row("stale-standing", "a bag's standing of before the recall, under the checkpoint of then", [sees(*CHECK, evidence="open")],
        old=True, events=[[recall()]]),
    Row("past-checkpoint", "everything as it was a while ago, the checkpoint as the newest",
        [sees(*CHECK, evidence="open", text="rolled back"), sees(*CHECK, exit=3, who="sponsor", text="")], old=True, setup=seen_then_past),
    Row("rolled-back", "data and anchor are put back to before the recall, and the daemon goes on from there",
        [sees(*CHECK, evidence="proven"), fooled(*CHECK, who="sponsor", text="FIT"),
         sees("checkpoint", "--against", "EVIDENCE", who="auditor", evidence="open", text="")], setup=rolled_back),
    Row("proof-of-another-size", "a consistency proof that was made for another size", [sees(*CHECK, evidence="open")], setup=seen_before),
    Row("clock-ahead", "seals are dated a day ahead, so that an old state passes for a fresh one", [sees(*CHECK, exit=3, text="clock")]),
    Row("refused-yet-recorded", "an event is recorded, and its submitter is told that the rules refuse it",
        [fooled("record", exit=1, text="REFUSE", who="operator"), fooled("history", "MAT-9", text="MATERIAL_RECEIVED"), Look(
            AUDITOR, "auditor", ("audit",), 0, "holds", None)], events=[[material("MAT-9", 5, "lie")]]),
    Row("two-histories", "two clients are shown two histories",
        [fooled(*CHECK, text="NOT FIT", exit=1), fooled(*CHECK, who="sponsor", text="FIT"),
         sees("checkpoint", "--against", "@/hospital.checkpoint", who="sponsor", evidence="proven"),
         sees("verify", "@/hospital.receipt", "@/sponsor.receipt", column=VERIFIER, text="PROVEN", evidence=None)],
        a=CLIENTS["sponsor"], setup=forked),
    Row("witness-forged", "a witness's line under the checkpoint that the witness has not made", [sees(*CHECK, text="witness")],
        setup=with_witness),
    Row("cosignature-replayed", "a witness's line that was made for another ledger's checkpoint of the same size and root",
        [sees(*CHECK, text="witness")], setup=with_witness),
    Row("said-erased", "an entry is said to be erased that is not, without what is kept of erased ones", [audit("open", "opening")], a=LOT, b=47),
    Row("not-listed", "a lot is left out of a list", [fooled("list", text="operator's word")], a=SERUM),
]
HISTORY = [
    Row("recall-not-in-map", "a recall is recorded, and the chain map does not show it",
        [RECORDED, fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="chain map")], a=SERUM, old=True, events=[[recall("lie")]]),
    Row("recall-not-in-state", "a recall is recorded, and the state of what it names does not know of it",
        [RECORDED, fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="state commitment")], a=SERUM, events=[[recall("lie")]]),
    Row("view-frozen", "seals go on, and the chain map stands still",
        [RECORDED, fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="chain map")], old=True, events=[[recall("lie")]]),
    Row("state-changed", "the committed state has ten times the quantity of the event",
        [RECORDED, fooled("show", "MAT-9", text="50"), sees("trace", "MAT-9", "--back", "--deep", text="state commitment", evidence="open"), *GOOD_RECEIPT,
         audit(text="state commitment")], a="MAT-9",
        events=[[material("MAT-9", 5, "lie")]]),
    Row("input-omitted", "an input is consumed, and the batch's list of inputs does not have it",
        [RECORDED, fooled("trace", LOT2, "--back", text="1 items"), sees("trace", LOT2, "--back", "--deep", text="not in the dossier"), *GOOD_RECEIPT, audit(text="state commitment")], a=LOT2,
        events=[[create_lot(LOT2)], [consume(LOT2, SERUM, 1, "lie")]]),
    Row("excursion-untouched", "an excursion is opened, and the bag's chain does not have it",
        [RECORDED, fooled("check", SPARE, "--for", "dispatch", text="FIT "), *GOOD_RECEIPT, audit(text="links")], a=SPARE,
        events=[[dispatch(ONWARD, [SPARE], CENTRE, "nurse")], "EXCURSION", [received(ONWARD, [SPARE], "wh")]]),
    Row("sequence-reused", "a failed test is recorded, and the next entry of the chain takes its number and place",
        [RECORDED, fooled(*CHECK, text="FIT "), fooled("history", LOT, text="10 entries"), *GOOD_RECEIPT, audit()], a=LOT, old=True,
        events=[[result("late", "FAIL", "growth")], LATE[0]]),
    Row("time-backdated", "an entry is recorded with a time before that of the entries before it",
        [RECORDED, sees("history", LOT, text="runs backwards"), fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="runs backwards")],
        setup=backdated),
    Row("past-rewritten", "a quantity of the past is changed and the tree signed anew",
        [sees("show", "MAT-9", evidence="proven"), fooled("show", "MAT-9", who="sponsor", text="50"),
         sees("history", "MAT-9", who="sponsor", evidence="proven"), sees(*RECEIPT, who="sponsor", evidence="proven"), audit("proven")],
        b=50, setup=rewritten),
    Row("quantity-changed", "an event is recorded with another quantity, under the signature of the true one",
        [CAUGHT_AT_RECORD, sees("history", "MAT-9", evidence="proven"), fooled("show", "MAT-9", text="50"), *BAD_RECEIPT, audit("proven", "signature")], b=50,
        events=[[material("MAT-9", 5, "lie")]]),
    Row("unsigned", "an event is recorded without its signature", [CAUGHT_AT_RECORD, sees("history", LOT, evidence="proven"), sees(*DEEP, evidence="proven"), fooled(*CHECK, text="FIT "), *BAD_RECEIPT, audit("proven")],
        events=LATE),
    Row("wrongly-signed", "an event is recorded with a signature that does not verify",
        [CAUGHT_AT_RECORD, sees("history", LOT, evidence="proven"), sees(*DEEP, evidence="proven"), fooled(*CHECK, text="FIT "), *BAD_RECEIPT, audit("proven", "signature")], events=LATE),
    Row("second-signer-swapped", "the second signer of a recall is recorded as somebody else",
        [CAUGHT_AT_RECORD, sees("history", SERUM, evidence="proven"), fooled(*CHECK, exit=1, text="E_HOLD_RECALL"), *BAD_RECEIPT, audit("proven", "signature")], a="qp2",
        events=[[recall("lie")]]),
    Row("revoked-signer", "an event is accepted whose signer was revoked before",
        [RECORDED, sees("history", LOT, text="was revoked", evidence="open"), sees(*DEEP, text="E_", evidence="open"), fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="E_")],
        setup=revoke),
    Row("rules-ignored", "an event is accepted that the rules refuse: the signer does not have the role",
        [RECORDED, fooled(*CHECK, text="FIT "), fooled("history", LOT, text="10 entries"), sees(*DEEP, text="E_ROLE", evidence="open"), *GOOD_RECEIPT, audit(text="E_ROLE")], a="wh",
        events=[[result("late", "PASS", "ok", ref="lie", signer="wh")]]),
    Row("one-key-two-persons", "one key is registered for two persons",
        [fooled("party", text="Recorded", who="operator"), fooled("show", "--type", "party", "qc.two", text="qc.two"), *GOOD_RECEIPT,
         audit(text="E_")], setup=second_person),
]
ROWS = ANSWERS + HISTORY


# ---- looking ----


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def put_varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(data, number):
    """The bytes of a length-delimited field of a message whose others are varints or of the same sort."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        n, at = varint(data, at)
        if tag & 7 == 2 and tag >> 3 == number:
            return data[at:at + n]
        at += n if tag & 7 == 2 else 0
    raise RuntimeError(f"there is no field {number}")


def message(*fields):
    return b"".join(put_varint(number << 3 | 2) + put_varint(len(data)) + data for number, data in fields)


def receipt_of(path, origin):
    """A receipt file made of the answer that an evidence file holds: what somebody has who took the answer as it came."""
    with open(path, encoding="utf-8") as f:
        answer = base64.b64decode("".join(f.read().split("==== answer, base64 ====\n")[1].split()))
    body = b"ledgerd receipt v1\n" + message((1, origin.encode()), (2, field(answer, 17)))
    return body + hashlib.sha256(body).digest()


def find_entry(stage):
    """Number of the entry that the lie is about: as accepted, or as an error of the client names it."""
    _, out, err = stage.last
    found = re.search(r"lie\tACCEPT\t#(\d+)", out) or re.search(r"Recorded as entry #(\d+)", out) or re.search(r"entry (\d+)", err)
    return found[1] if found else "?"


def expand(stage, command):
    entry = find_entry(stage) if stage.last else "?"
    return [c.replace("#LIE", "#" + entry).replace("@", stage.folder).replace("EVIDENCE", stage.kept or "?") for c in command]


def check_evidence(stage, look, err):
    """None, or what is wrong with the evidence."""
    if look.evidence is None:
        return None
    path = stage.evidence(err)
    if not path:
        return "no evidence file is named"
    stage.kept = path
    if look.command[0] == "receipt" and look.evidence == "proven":
        with open(os.path.join(stage.folder, "lie.receipt.made"), "wb") as f:
            f.write(receipt_of(path, ORIGIN))
    code, out, why = stage.suite.run(stage.suite.ctl, "--json", "verify", path, "--policy",
                                     os.path.join(stage.honest.profile("auditor"), "policy"))
    if f'"evidence": "{look.evidence}"' not in out or code != (4 if look.evidence == "proven" else 1):
        return f"the evidence is not {look.evidence}: {code} {out}{why}"
    return None


def look_at(stage, row, look):
    if look.command[0] in ("record", "party"):
        code, out, err = stage.last
    else:
        code, out, err = stage.ctl(look.who, *expand(stage, look.command))
    fault = None
    if code != look.exit or look.text not in out + err:
        fault = f"wanted {look.exit} with \"{look.text}\""
    elif look.exit == 4:
        fault = check_evidence(stage, look, err)
    name = f"{row.name}: {look.column}: {look.command[0]} ({look.who})"
    return name, f"{fault}\n{code}: {out[-1500:]}{err[-1500:]}" if fault else None


def tell(honest, row):
    """[(name, fault)] of all looks at one lie."""
    done = []
    try:
        with Stage(honest, row.name) as stage:
            (row.setup or serve)(stage, row)
            for look in row.looks:
                done.append(look_at(stage, row, look))
            stage.stop()
    except Exception:  # pylint: disable=broad-except
        done.append((row.name, traceback.format_exc()))
    return done


# ---- nobody can make evidence against an honest ledger ----


def evidence_file(part, content):
    lines = "\n".join(base64.b64encode(content[i:i + 57]).decode() for i in range(0, len(content), 57))
    return f"ledgerd evidence v1\norigin: {ORIGIN}\nserver: s\nfound: t\nwhat: the ledger lies\n\nIt does.\n\n==== {part}, base64 ====\n{lines}\n"


def frame(stage):
    """A receipt of an honest entry with each byte changed in turn, as an answer and as a receipt: none of it is proof."""
    stage.must(stage.ctl("hospital", "receipt", "#40", "-o", stage.file("r")))
    with open(stage.file("r"), "rb") as f:
        whole = f.read()
    receipt = field(whole[len(b"ledgerd receipt v1\n"):-32], 2)
    files = []
    for at in range(0, len(receipt), 5):
        changed = receipt[:at] + bytes([receipt[at] ^ 1]) + receipt[at + 1:]
        body = b"ledgerd receipt v1\n" + message((1, ORIGIN.encode()), (2, changed))
        for part, content in (("answer", b"\x08\x07" + message((17, changed))),
                              ("receipt of the entry", body + hashlib.sha256(body).digest())):
            files.append(stage.file(f"framed{len(files)}"))
            stage.keep(os.path.basename(files[-1]), evidence_file(part, content))
    code, out, err = stage.suite.run(stage.suite.ctl, "--json", "verify", *files, "--policy", os.path.join(stage.profile("auditor"), "policy"))
    found = [r.get("evidence") for r in json.loads(out)]
    good = code == 1 and len(found) == len(files) and set(found) <= {"claim", "open"} and found.count("open") < len(files) // 10
    return "a changed receipt of an honest ledger is no proof", None if good else f"{code} {found.count('open')} open of {len(files)} {err}"


def compare_notes(stage):
    """Checkpoints of one log, whoever was given them, are of one log; one of another log is nothing that can be compared."""
    stage.keep("note", stage.ctl("sponsor", "checkpoint")[1])
    stage.must(stage.record(material("MAT-9", 5)))
    ran = stage.ctl("hospital", "checkpoint", "--against", stage.file("note"))
    with open(stage.file("note"), encoding="utf-8") as f:
        note = f.read()
    stage.keep("stranger", note.replace(ORIGIN, "ledger.example/other"))
    other = stage.ctl("hospital", "checkpoint", "--against", stage.file("stranger"))
    good = ran[0] == 0 and "One log" in ran[2] and other[0] == 3
    return "checkpoints of one log are of one log", None if good else f"{ran} {other}"


def honest_ledger(honest):
    with Stage(honest, "honest") as stage:
        stage.serve()
        return [frame(stage), compare_notes(stage)]


# ---- the table ----


def names(looks):
    seen = []
    for look in looks:
        name = look.command[0] + (" --deep" if "--deep" in look.command else "")
        if name not in seen:
            seen.append(name)
    return ", ".join(f"`{n}`" for n in seen)


def cell(row, column):
    looks = [look for look in row.looks if look.column == column]
    caught, stale = ([look for look in looks if look.exit == e] for e in (4, 3))
    blind = [look for look in looks if look.exit < 3]
    parts = [names(caught)] if caught else []
    if stale:
        parts.append(f"no answer (3) from {names(stale)}")
    if blind:
        parts.append(f"not by {names(blind)}" + (" of who saw nothing before" if caught and names(blind) in names(caught) else ""))
    return "; ".join(parts) or "–"


def evidence_cell(row):
    kinds = {look.evidence for look in row.looks if look.evidence}
    return next((k for k in ("proven", "open", "claim") if k in kinds), "–")


def table():
    lines = ["| lie | what is done | " + " | ".join(COLUMNS) + " | evidence |", "| --- " * (len(COLUMNS) + 3) + "|"]
    for row in ROWS:
        lines.append(f"| `{row.name}` | {row.told} | " + " | ".join(cell(row, c) for c in COLUMNS) + f" | {evidence_cell(row)} |")
    return lines


def check_document(suite):
    with open(DOCUMENT, encoding="utf-8") as f:
        text = f.read()
    missing = [line for line in table() if line not in text.splitlines()]
    suite.check(not missing, "docs/threat-model.md says what the suite proves", "\n".join(["missing:"] + missing))
    claimed = set(re.findall(r"(?m)^\| `([a-z-]+)` \|", text))
    suite.check(claimed == {row.name for row in ROWS}, "docs/threat-model.md names no other lies", str(claimed))


def main():
    if "--table" in sys.argv:
        print("\n".join(table()))
        return
    only = sys.argv[2:]
    suite = lib.Suite(sys.argv[:2])
    honest = Honest(suite)
    lock = threading.Lock()
    check_document(suite)
    if not only:
        for name, fault in honest_ledger(honest):
            suite.check(fault is None, name, fault or "")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        rows = [row for row in ROWS if not only or row.name in only]
        for results in pool.map(lambda row: tell(honest, row), rows):
            with lock:
                for name, fault in results:
                    suite.check(fault is None, name, fault or "")
    suite.end()


if __name__ == "__main__":
    main()
