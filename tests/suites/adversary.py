#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The adversary: a daemon that lies, one lie at a time (tests/adversary/liar.h), and those who look at it. Each lie is a row of ROWS, and each
look a cell of docs/threat-model.md: the table there is what `adversary.py BUILD --table` prints, and the suite fails if it is not.

A look is caught (exit code 4, with evidence of a kind that is checked, too, by `ledgerctl verify`), or it is blind: then the answer that
fooled it has to show the lie, so that the table's "not by" is proven as well."""
import base64
import concurrent.futures
import datetime
import glob
import hashlib
import json
import os
import re
import shutil
import sys
import threading
import time
import traceback
from collections import namedtuple

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, n) for n in ("lib", "adversary", "suites")]

import suite as lib  # noqa: E402
import timestamp  # noqa: E402
from stage import CLIENTS, ORIGIN, WITNESS_FOLDER, Honest, Stage, Witness  # noqa: E402
from story import (BAG, CENTRE, COI, COMMIT, LOT, ONWARD, PRODUCT, SERUM, SPARE, condition, consume, create_lot, dispatch, later,  # noqa: E402
                   material, moved, recall, received, result)

DOCUMENT = os.path.join(lib.ROOT, "docs", "threat-model.md")
LOT2 = PRODUCT + "/10/CT26-0002"
CLIENT, VERIFIER, AUDITOR, WITNESS = "client", "offline verifier", "auditor", "auditing witness"
COLUMNS = [CLIENT, VERIFIER, AUDITOR, WITNESS]

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


def stops(evidence="open", text=""):
    """The auditing witness does not cosign the checkpoint that it is given, stops for good, says why, and keeps evidence."""
    return Look(WITNESS, "witness", ("witness",), 4, text, evidence)


COSIGNS = Look(WITNESS, "witness", ("witness",), 0, "", None)


def dossier(item, text="", exit=4, evidence="claim", who="visitor"):  # pylint: disable=redefined-builtin
    return Look(VERIFIER, who, ("dossier", item, "-o", "@/lie.dossier"), exit, text, evidence if exit == 4 else None)


def convicts(item, text):
    """None can be made of it, and what was made in place of one convicts the ledger, for whoever has the file."""
    return [dossier(item, text), sees("verify", "@/lie.dossier", evidence=None, column=VERIFIER, text=text)]


def believed(item, text=""):
    return [dossier(item, "verified", 0), fooled("verify", "@/lie.dossier", column=VERIFIER, text=text)]


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
    witness_before(stage)
    stage.stop()
    stage.serve()  # a fresh copy of the older folder, and of its anchor


def grown_again(stage, row):
    """… and it has more entries than it ever had."""
    rolled_back(stage, row)
    stage.forget("operator")
    for n in range(3):
        stage.must(stage.record(material(f"MAT-{n}", 5)))


def grown_and_wary(stage, row):
    grown_again(stage, row)
    folder = stage.data
    stage.stop()
    stage.serve(row.name, folder=folder)


def witness_before(stage):
    """The auditing witness has cosigned the honest ledger."""
    code, text, state = stage.submit(gently=True)
    if code != 200:
        raise RuntimeError(f"an honest ledger is not cosigned: {code} {text} {state}")


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


def with_witness(stage, row, quorum=True):
    path = os.path.join(stage.profile("hospital"), "policy")
    code, vkey, err = stage.suite.run(stage.liar, "witness")
    stage.must((code, vkey, err))
    with open(path, encoding="utf-8") as f:
        policy = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(re.sub(r"(?m)^quorum .*$", "", policy) + f"\nwitness auditors {vkey.strip()}\nquorum {'auditors' if quorum else 'none'}\n")
    folder = stage.serve("witnessed")
    code, out, err = stage.ctl("hospital", *CHECK)
    if code != 0 or "an auditing witness has replayed it" not in out:
        raise RuntimeError(f"with a true witness: {code} {out}{err}")
    stage.stop()
    stage.serve(row.name, row.a, row.b, row.old, folder)
    for events in row.events:
        stage.must(stage.record(*events))


def with_any_witness(stage, row):
    with_witness(stage, row, False)


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


def number(ran):
    return re.search(r"#(\d+)", ran[1])[1]


def one_erased(stage, row):
    """A move is erased as it should be; the lie is about another entry."""
    folder = stage.serve()
    ran = stage.record(moved(SERUM, "shelf 2", "x"))
    stage.must(ran)
    erased = stage.act("erase", "#" + number(ran), "--reason", "a name was in it")
    stage.must(erased)
    stage.stop()
    stage.serve(row.lie, row.a, re.search(r"entry #(\d+)", erased[1])[1], folder=folder)


def erased_by_one(stage, row):
    stage.serve(row.lie)
    ran = stage.record(moved(SERUM, "shelf 2", "x"))
    stage.must(ran)
    stage.last = stage.act("erase", "#" + number(ran), "--reason", "a name was in it")


def set_by_one(stage, row):
    stage.serve(row.lie)
    stage.last = stage.act("parameters", "set", "--retention", "MATERIAL_RECEIVED=30")


def registration_erased(stage, row):
    stage.serve(row.name)
    code, out, err = stage.ctl("operator", "--json", "history", "--type", "party", "courier")
    stage.must((code, out, err))
    stage.last = stage.act("erase", "#" + re.search(r'"index": *(\d+)', out)[1], "--reason", "a name was in it")


def old_key(stage, row):
    """The hospital has followed the change of the log key; then checkpoints are signed with the key of before."""
    folder = stage.fresh_ledger()
    shutil.copyfile(os.path.join(folder, "keys", "log.key"), stage.file("old.key"))
    os.chmod(stage.file("old.key"), 0o600)
    stage.must(stage.suite.run(stage.suite.ledgerd, "rotate-log-key", folder))
    stage.serve(folder=folder)
    stage.must(stage.record(material("MAT-9", 5)))
    for who in "hospital", "auditor":
        stage.must(stage.ctl(who, "checkpoint"))
    new = json.loads(stage.ctl("hospital", "--json", "status")[1])["log_key"]["vkey"]
    with Witness(stage):  # makes its folder
        pass
    with open(os.path.join(stage.file(WITNESS_FOLDER), "policy"), "a", encoding="ascii") as f:
        f.write(f"log {new}\n")
    witness_before(stage)
    stage.stop()
    stage.serve(row.name, stage.file("old.key"), folder=folder)


def stamped(stage, row):
    """The first token beside the checkpoint that a second one stamps."""
    authority = timestamp.Authority(stage.suite, row.name + "-tsa")
    served = timestamp.Served(authority)
    folder = stage.fresh_ledger()
    path = os.path.join(folder, "ledgerd.conf")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("#authority = http://tsa.example/\n", f"authority = {served.url}\nca = {authority.ca}\ninterval_seconds = 1\n"))
    try:
        stage.serve(row.name, folder=folder)
        for n in 1, 2:
            stage.must(stage.record(material(f"MAT-{n}", 5)))
            until_stamped(stage, n)
    finally:
        served.close()


def until_stamped(stage, n):
    for _ in range(lib.WAIT_S * 20):
        code, out, _ = stage.ctl("operator", "status", "--json")
        if code in (0, 3) and json.loads(out)["server"].get("time_stamps", 0) >= n:
            return
        time.sleep(0.05)
    raise RuntimeError(f"there is no token {n}: {stage.server.log()[-2000:]}")


# ---- the lies ----

ANSWERS = [
    Row("newest-dropped", "the newest entry of a lot's chain is left out: head, state and history of before",
        [sees(*CHECK, text="map proof"), sees("show", SERUM), sees("history", SERUM), dossier(BAG), COSIGNS], a=SERUM, old=True, events=[[recall()]]),
    Row("middle-dropped", "an entry in the middle is left out of a history", [sees("history", LOT, text="8 entries"), dossier(LOT, "8 entries")], a=LOT),
    Row("entries-swapped", "two entries change places, in a history and in the log",
        [sees("history", LOT), audit("claim", "entry 1"), dossier(LOT), stops("claim", "entry 1")], a=LOT),
    Row("entry-repeated", "an entry is given twice, in place of another one", [sees("history", LOT), audit("claim"), dossier(LOT), stops("claim")], a=LOT),
    Row("stream-truncated", "a stream ends early: half a history, an empty log", [sees("history", LOT), audit("claim"), dossier(LOT), stops("claim")], a=LOT),
    Row("hidden-from-lineage", "a recalled raw material is left out of the bag's lineage",
        [sees(*CHECK, text="left out"), sees("trace", BAG, "--back", text="left"), dossier(BAG)], a=SERUM, events=[[recall()]]),
    Row("input-left-out", "one member is left out of a batch's list of inputs", [sees(*CHECK), sees("trace", BAG, "--back"), dossier(BAG, "members")], a=LOT),
    Row("inputs-left-out", "the whole list of inputs is left out", [sees(*CHECK), sees("trace", BAG, "--back"), dossier(BAG, "inputs")], a=LOT),
    Row("false-state", "another quantity in the state that is shown", [sees("show", SERUM, text="commits to"), dossier(SERUM, "commits to")], a=SERUM),
    Row("head-never-sent", "the latest entry of a bag is said to have been sent already",
        [sees(*CHECK, text="has not sent it"), sees("show", BAG, text="has not sent it"), dossier(BAG, "has not sent it")], a=BAG),
    Row("another-chain", "one bag's chain is served under the name of the other", [sees(*CHECK), sees("show", BAG), dossier(BAG)], a=BAG, b=SPARE),
    Row("known-as-unknown", "\"not in the ledger\" of a bag that is, with a proof", [sees(*CHECK), sees("show", BAG), dossier(BAG)], a=BAG, b="GHOST"),
    Row("known-refused", "\"there is no such item\" of a bag that there is, without a proof",
        [sees("show", BAG, exit=3, text="proves nothing"), sees(*CHECK, exit=3), dossier(BAG, "proves nothing", 3)], a=BAG),
    Row("unknown-as-known", "another bag's chain for an item that there is not", [sees("show", "GHOST"), dossier("GHOST")], a="GHOST", b=BAG),
    Row("another-receipt", "the receipt of another event", [sees("receipt", "#31", "-o", "@/r")], b="30"),
    Row("accepted-as-another", "two events of one submission get each other's receipt", [sees("record", who="operator", text="UNKNOWN")],
        events=[[material("MAT-7", 1), material("MAT-8", 2)]]),
    Row("stale-standing", "a bag's standing of before the recall, under the checkpoint of then", [sees(*CHECK, evidence="open"), dossier(BAG, evidence="open")],
        old=True, events=[[recall()]]),
    Row("past-checkpoint", "everything as it was a while ago, the checkpoint as the newest",
        [sees(*CHECK, evidence="open", text="rolled back"), sees(*CHECK, exit=3, who="sponsor", text=""), *believed(BAG, "anything after this was sealed")], old=True, setup=seen_then_past),
    Row("rolled-back", "data and anchor are put back to before the recall, and the daemon goes on from there",
        [sees(*CHECK, evidence="proven"), fooled(*CHECK, who="sponsor", text="FIT"),
         sees("checkpoint", "--against", "EVIDENCE", who="auditor", evidence="open", text=""), *believed(BAG, "anything after this was sealed"), stops("proven")],
        setup=rolled_back),
    Row("grown-again", "… and has grown beyond what it was: another history under the same name",
        [sees(*CHECK, text="rewritten history", evidence="proven"), fooled(*CHECK, who="sponsor", text="FIT"),
         sees("checkpoint", "--against", "EVIDENCE", who="auditor", evidence="proven"), *believed(BAG, "anything after this was sealed"),
         stops("proven", "rewritten history")], setup=grown_again),
    Row("receipt-refused", "… and does not show how its tree begins", [sees(*CHECK, evidence="open")],
        setup=grown_and_wary),
    Row("receipt-late", "… or keeps whoever asks waiting", [sees(*CHECK, evidence="open")], setup=grown_and_wary),
    Row("proof-of-another-size", "a consistency proof that was made for another size", [sees(*CHECK, evidence="open")], setup=seen_before),
    Row("clock-ahead", "seals are dated a day ahead, so that an old state passes for a fresh one", [sees(*CHECK, exit=3, text="clock"), *believed(BAG), COSIGNS]),
    Row("refused-yet-recorded", "an event is recorded, and its submitter is told that the rules refuse it",
        [fooled("record", exit=1, text="REFUSE", who="operator"), fooled("history", "MAT-9", text="MATERIAL_RECEIVED"), Look(
            AUDITOR, "auditor", ("audit",), 0, "holds", None), COSIGNS], events=[[material("MAT-9", 5, "lie")]]),
    Row("two-histories", "two clients are shown two histories",
        [fooled(*CHECK, text="NOT FIT", exit=1), fooled(*CHECK, who="sponsor", text="FIT"),
         sees("checkpoint", "--against", "@/hospital.checkpoint", who="sponsor", evidence="proven"),
         sees("verify", "@/hospital.receipt", "@/sponsor.receipt", column=VERIFIER, text="PROVEN", evidence=None), stops("proven")],
        a=CLIENTS["sponsor"], setup=forked),
    Row("witness-forged", "a witness's line under the checkpoint that the witness has not made", [sees(*CHECK, text="witness"), dossier(BAG, "witness", who="hospital")],
        setup=with_witness),
    Row("cosignature-replayed", "a witness's line that was made for another ledger's checkpoint of the same size and root",
        [sees(*CHECK, text="witness"), dossier(BAG, "witness", who="hospital")], setup=with_witness),
    Row("said-erased", "an entry is said to be erased that is not, without what is kept of erased ones", [audit("open", "opening"), sees("history", LOT), dossier(LOT), stops("open", "opening")], a=LOT, b=47),
    Row("erased-unnamed", "an entry is said to be erased under an ERASURE that does not name it",
        [sees("history", LOT), dossier(LOT), audit(), stops()], lie="said-erased", a=LOT, setup=one_erased),
    Row("witnessed-forged", "as the newest witnessed checkpoint one is shown whose witness has not made the line", [sees(*CHECK, text="witness")],
        setup=with_any_witness),
    Row("witnessed-replayed", "… one whose line was made for another ledger's checkpoint", [sees(*CHECK, text="witness")], setup=with_any_witness),
    Row("witnessed-foreign", "… one of another ledger, truly cosigned", [sees(*CHECK)], setup=with_any_witness),
    Row("old-seal", "an old state, with its seal, under the newest checkpoint, cosigned, with a path that is right", [sees(*CHECK, text="seal")],
        a=SERUM, old=True, events=[[recall()]], setup=with_witness),
    Row("opening-false", "what a dossier judges in place of chains that are outside is not what was committed to", [dossier(BAG)]),
    Row("old-log-key", "checkpoints are signed with a log key that was replaced",
        [sees(*CHECK, text="was replaced", evidence="open"), fooled(*CHECK, who="sponsor", text="FIT "), audit("open", "was replaced"), stops("open", "was replaced")], setup=old_key),
    Row("not-listed", "a lot is left out of a list", [fooled("list", text="operator's word"), COSIGNS], a=SERUM),
]
HISTORY = [
    Row("recall-not-in-map", "a recall is recorded, and the chain map does not show it",
        [RECORDED, fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="chain map"), *believed(BAG), stops(text="chain map")], a=SERUM, old=True, events=[[recall("lie")]]),
    Row("recall-not-in-state", "a recall is recorded, and the state of what it names does not know of it",
        [RECORDED, fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="state commitment"), *convicts(BAG, "state commitment"), stops(text="state commitment")], a=SERUM, events=[[recall("lie")]]),
    Row("view-frozen", "seals go on, and the chain map stands still",
        [RECORDED, fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="chain map"), *believed(BAG), stops(text="chain map")], old=True, events=[[recall("lie")]]),
    Row("state-changed", "the committed state has ten times the quantity of the event",
        [RECORDED, fooled("show", "MAT-9", text="50"), sees("trace", "MAT-9", "--back", "--deep", text="state commitment", evidence="open"), *GOOD_RECEIPT, audit(text="state commitment"), *convicts("MAT-9", "state commitment"), stops(text="state commitment")], a="MAT-9",
        events=[[material("MAT-9", 5, "lie")]]),
    Row("input-omitted", "an input is consumed, and the batch's list of inputs does not have it",
        [RECORDED, fooled("trace", LOT2, "--back", text="1 items"), sees("trace", LOT2, "--back", "--deep", text="not in the dossier"), *GOOD_RECEIPT, audit(text="state commitment"), dossier(LOT2, "not in the dossier"), stops(text="state commitment")], a=LOT2,
        events=[[create_lot(LOT2)], [consume(LOT2, SERUM, 1, "lie")]]),
    Row("excursion-untouched", "an excursion is opened, and the bag's chain does not have it",
        [RECORDED, fooled("check", SPARE, "--for", "dispatch", text="FIT "), *GOOD_RECEIPT, audit(text="links"), *convicts(SPARE, "links"), stops(text="links")], a=SPARE,
        events=[[dispatch(ONWARD, [SPARE], CENTRE, "nurse")], "EXCURSION", [received(ONWARD, [SPARE], "wh")]]),
    Row("sequence-reused", "a failed test is recorded, and the next entry of the chain takes its number and place",
        [RECORDED, fooled(*CHECK, text="FIT "), fooled("history", LOT, text="10 entries"), *GOOD_RECEIPT, audit(), *believed(LOT), stops(text="E_QC_RETEST")], a=LOT, old=True,
        events=[[result("late", "FAIL", "growth")], LATE[0]]),
    Row("time-backdated", "an entry is recorded with a time before that of the entries before it",
        [RECORDED, sees("history", LOT, text="runs backwards"), fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="runs backwards"), dossier(LOT, "runs backwards"), stops(text="runs backwards")],
        setup=backdated),
    Row("past-rewritten", "a quantity of the past is changed and the tree signed anew",
        [sees("show", "MAT-9", evidence="proven"), fooled("show", "MAT-9", who="sponsor", text="50"),
         sees("history", "MAT-9", who="sponsor", evidence="proven"), sees(*RECEIPT, who="sponsor", evidence="proven"), audit("proven"), *convicts("MAT-9", "E_SIG_INVALID"), stops("proven")],
        b=50, setup=rewritten),
    Row("quantity-changed", "an event is recorded with another quantity, under the signature of the true one",
        [CAUGHT_AT_RECORD, sees("history", "MAT-9", evidence="proven"), fooled("show", "MAT-9", text="50"), *BAD_RECEIPT, audit("proven", "signature"), *convicts("MAT-9", "E_SIG_INVALID"), stops("proven", "signature")], b=50,
        events=[[material("MAT-9", 5, "lie")]]),
    Row("unsigned", "an event is recorded without its signature", [CAUGHT_AT_RECORD, sees("history", LOT, evidence="proven"), sees(*DEEP, evidence="proven"), fooled(*CHECK, text="FIT "), *BAD_RECEIPT, audit("proven"), *convicts(LOT, "E_SIG_MISSING"), stops("proven")],
        events=LATE),
    Row("wrongly-signed", "an event is recorded with a signature that does not verify",
        [CAUGHT_AT_RECORD, sees("history", LOT, evidence="proven"), sees(*DEEP, evidence="proven"), fooled(*CHECK, text="FIT "), *BAD_RECEIPT, audit("proven", "signature"), *convicts(LOT, "E_SIG_INVALID"), stops("proven", "signature")], events=LATE),
    Row("second-signer-swapped", "the second signer of a recall is recorded as somebody else",
        [CAUGHT_AT_RECORD, sees("history", SERUM, evidence="proven"), fooled(*CHECK, exit=1, text="E_HOLD_RECALL"), *BAD_RECEIPT, audit("proven", "signature"), *convicts(SERUM, "E_SIG_INVALID"), stops("proven", "signature")], a="qp2",
        events=[[recall("lie")]]),
    Row("revoked-signer", "an event is accepted whose signer was revoked before",
        [RECORDED, sees("history", LOT, text="was revoked", evidence="open"), sees(*DEEP, text="E_", evidence="open"), fooled(*CHECK, text="FIT "), *GOOD_RECEIPT, audit(text="E_"), *convicts(LOT, "E_UNKNOWN_PARTY"), stops(text="E_UNKNOWN_PARTY")],
        setup=revoke),
    Row("rules-ignored", "an event is accepted that the rules refuse: the signer does not have the role",
        [RECORDED, fooled(*CHECK, text="FIT "), fooled("history", LOT, text="10 entries"), sees(*DEEP, text="E_ROLE", evidence="open"), *GOOD_RECEIPT, audit(text="E_ROLE"), *convicts(LOT, "E_ROLE"), stops(text="E_ROLE")], a="wh",
        events=[[result("late", "PASS", "ok", ref="lie", signer="wh")]]),
    Row("one-key-two-persons", "one key is registered for two persons",
        [fooled("party", text="Recorded", who="operator"), fooled("show", "--type", "party", "qc.two", text="qc.two"), *GOOD_RECEIPT,
         audit(text="E_"), stops(text="E_KEY_INVALID")], setup=second_person),
    Row("erasure-by-one", "an ERASURE is recorded with the signature of one person",
        [sees("erase", who="operator", text="not known"), sees("history", SERUM, evidence="proven"), *BAD_RECEIPT, audit("proven"), stops("proven")], lie="act-by-one",
        setup=erased_by_one),
    Row("parameters-by-one", "the ledger's parameters are changed with the signature of one person",
        [sees("parameters", who="operator", text="not known"), *BAD_RECEIPT, audit("proven"), stops("proven")], lie="act-by-one", setup=set_by_one),
    Row("registration-erased", "an ERASURE names the registration of a party", [fooled("erase", text="Erased", who="operator"), *GOOD_RECEIPT, audit(text="E_ERASE"), stops()],
        setup=registration_erased),
    Row("stamp-of-another", "a time stamp's token stands beside a newer checkpoint than the one that it stamps", [fooled(*CHECK, text="FIT "), audit(text="something else"), stops(text="something else")],
        setup=stamped),
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
    found = re.search(r"lie\tACCEPT\t#(\d+)", out) or re.search(r"(?:Recorded as|under) entry #(\d+)", out) or re.search(r"entry (\d+)", err)
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
                                     stage.policy())
    if f'"evidence": "{look.evidence}"' not in out or code != (4 if look.evidence == "proven" else 1):
        return f"the evidence is not {look.evidence}: {code} {out}{why}"
    return None


def ask_witness(stage):
    """As if it were a command: 0, it has cosigned; 4, it has not, and has stopped."""
    status, text, state = stage.submit()
    if status == 200:
        return 0, text, ""
    kept = sorted(glob.glob(os.path.join(stage.profile("witness"), "pins", "evidence-*")) +
                  glob.glob(os.path.join(stage.file(WITNESS_FOLDER), "evidence", "*")))
    return 4 if state["stopped"] else status, state.get("why", ""), f"evidence: {kept[-1]}" if kept else ""


def look_at(stage, row, look):
    if look.command[0] in ("record", "party", "erase", "parameters"):
        code, out, err = stage.last
    elif look.column == WITNESS:
        code, out, err = ask_witness(stage)
    elif look.who == "visitor":
        code, out, err = stage.visitor(*expand(stage, look.command))
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


def frame_with_path(stage):
    """Two checkpoints of an honest ledger and the path that connects them show nothing, and no other path shows anything against it."""
    before = stage.ctl("sponsor", "checkpoint")[1]
    stage.must(stage.record(material("MAT-8", 5)))
    size = int(before.split("\n")[1])
    stage.must(stage.ctl("hospital", "receipt", f"#{size - 1}", "-o", stage.file("last"), "--force"))
    with open(stage.file("last"), "rb") as f:
        receipt = field(f.read()[len(b"ledgerd receipt v1\n"):-32], 2)
    after = field(field(receipt, 3), 1).decode()
    leaf, path = hashlib.sha256(b"\0" + field(field(receipt, 1), 1)).digest(), field(receipt, 2)
    true = [leaf] + [path[i:i + 32] for i in range(0, len(path), 32)]
    paths = [true] + [true[:i] + [bytes(32)] + true[i + 1:] for i in range(len(true))] + [true[:i] + true[i + 1:] for i in range(len(true))] + [
        true + [leaf]]
    head = f"ledgerd evidence v1\norigin: {ORIGIN}\nserver: s\nfound: t\nwhat: the ledger lies\n\nIt does.\n"
    for n, hashes in enumerate(paths):
        lines = "\n".join(base64.b64encode(h).decode() for h in hashes)
        stage.keep(f"path{n}", f"{head}\n==== checkpoint that was verified before ====\n{before}\n==== checkpoint that does not continue it ====\n{after}"
                               f"\n==== last place of the smaller tree in the larger one: leaf hash and inclusion path, a hash a line ====\n{lines}\n")
    code, out, err = stage.suite.run(stage.suite.ctl, "--json", "verify", *[stage.file(f"path{n}") for n in range(len(paths))], "--policy", stage.policy())
    found = [r.get("evidence") for r in json.loads(out)]
    good = code == 1 and found == ["void"] + ["open"] * (len(paths) - 1)
    return "no path convicts an honest ledger", None if good else f"{code} {found} {err}"


def honest_ledger(honest):
    with Stage(honest, "honest") as stage:
        stage.serve()
        code, text, state = stage.submit()
        cosigned = None if code == 200 and not state["stopped"] else f"{code} {text} {state}"
        return [frame(stage), compare_notes(stage), frame_with_path(stage), ("an auditing witness cosigns an honest ledger", cosigned)]


# ---- the table ----


def label(look):
    """A verifier is told what it verified: a receipt, a dossier, or what was written in place of one."""
    if look.column == VERIFIER and look.command[0] == "verify":
        return "`verify` of the dossier" if look.command[1].endswith(".dossier") else "`verify` of the receipt"
    return f"`{look.command[0]} --deep`" if "--deep" in look.command else f"`{look.command[0]}`"


def names(looks):
    return ", ".join(dict.fromkeys(label(look) for look in looks))


def witness_cell(looks):
    return "–" if not looks else "stops" if looks[0].exit == 4 else "cosigns"


def cell(row, column):
    looks = [look for look in row.looks if look.column == column]
    if column == WITNESS:
        return witness_cell(looks)
    caught, stale = ([look for look in looks if look.exit == e] for e in (4, 3))
    blind = [look for look in looks if look.exit < 3]
    parts = [names(caught)] if caught else []
    if stale:
        parts.append(f"no answer (3) from {names(stale)}")
    if blind:
        parts.append(f"not by {names(blind)}" + (" of who saw nothing before" if caught and names(blind) in names(caught) else ""))
    return "; ".join(parts) or "–"


def evidence_cell(row):
    """The strongest that anybody gets: what `verify` convicts of is proven, be it a receipt, a dossier or an evidence file."""
    kinds = {look.evidence for look in row.looks if look.evidence}
    if any(look.column == VERIFIER and look.command[0] == "verify" and look.exit == 4 for look in row.looks):
        return "proven"
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
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        rows = [row for row in ROWS if not only or row.name in only]
        for results in pool.map(lambda row: tell(honest, row), rows):
            with lock:
                for name, fault in results:
                    suite.check(fault is None, name, fault or "")
    suite.end()


if __name__ == "__main__":
    main()
