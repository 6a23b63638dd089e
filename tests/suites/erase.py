#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Erasure: what was erased is found nowhere in the data folder, whatever happens meanwhile, and everything else goes on.

What must be gone is every run of eight bytes of the erased event and its signature block that no other entry and no opening has
as well: openings are kept, and other events may well say the same words."""
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(HERE, part) for part in ("lib", "independent")]

import wire  # noqa: E402
from suite import WAIT_S, Daemon, Suite  # noqa: E402

WINDOW = 8
KILLS = int(os.environ.get("LEDGERD_ERASE_KILLS", "8"))
MATERIAL = ["MATERIAL_RECEIVED", "gtin=1", "lot=L", "name=FBS serum", "quantity=5.50", "uom=L", "expiry=2099-01-01T00:00:00Z",
            "origin=defined"]


class Ledger(Daemon):
    """A daemon that can be killed and started again, with a warehouse, QA and an operator registered."""

    def __init__(self, suite):
        super().__init__(suite)
        self.admin = os.path.join(self.data, "profile", "keys", "admin.key")
        self.keys = {}
        for party, roles in ("u.wh", "WAREHOUSE"), ("u.qa", "QA"), ("u.op", "OPERATOR"):
            self.keys[party] = os.path.join(self.folder, party + ".key")
            self.good("key", "new", party, "-o", self.keys[party])
            self.good("party", "register", party, "--roles", roles, "--org", "CPC", "--key", self.keys[party])
        self.number = 0
        self.seen = {}  # entry: its windows, read once

    def good(self, *arguments):
        code, out, err = self.ctl(*arguments)
        if code != 0:
            raise RuntimeError(f"ledgerctl {' '.join(arguments)}: {code}\n{out}{err}")
        return out

    def material(self, item=None):
        """(event id, entry, item) of a new event with words that stand nowhere else."""
        self.number += 1
        item = item or f"M-{self.number}"
        out = json.loads(self.good("--json", "record", *MATERIAL, f"item={item}", f"supplier=supplier nobody else has {self.number:08d}",
                                   f"coa_hash={os.urandom(16).hex()}", "--sign", self.keys["u.wh"]))
        return out["event_id"], out["index"], item

    def kill(self):
        self.process.kill()
        self.process.wait()
        path = os.path.join(self.data, "run", "address")
        if os.path.exists(path):
            os.unlink(path)

    def start(self):
        self.process = subprocess.Popen([self.suite.ledgerd, "run", self.data, "--listen", "127.0.0.1:0"], stdout=self.log, stderr=self.log)
        self.address = self.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(WAIT_S)

    def receipt(self, name):
        path = os.path.join(self.folder, "receipt")
        self.good("receipt", name, "-o", path, "--force")
        with open(path, "rb") as f:
            return f.read()

    def record(self, name):
        """Header, event, block, opening and erased_by of an entry, taken from its receipt."""
        body = self.receipt(name)[len(b"ledgerd receipt v1\n"):-32]
        receipt = fields(fields(body)[2])
        record = fields(receipt[1])
        return {part: record.get(number, b"") for part, number in (("header", 1), ("event", 2), ("block", 3), ("opening", 5), ("erased_by", 6))}

    def windows_of(self, entry):
        """All that an entry says; of one that was erased meanwhile, what it said."""
        if entry not in self.seen:
            record = self.record(f"#{entry}")
            self.seen[entry] = windows(record["header"]) | windows(record["event"]) | windows(record["block"])
        return self.seen[entry]

    def erase(self, *events, reason="asked for under article 17", sign=("admin", "u.qa")):
        keys = [part for s in sign for part in ("--sign", self.admin if s == "admin" else self.keys[s])]
        return self.ctl("erase", *events, "--reason", reason, *keys)

    def size(self):
        return json.loads(self.good("--json", "show", "suite.example/ledger", "--type", "ledger"))["checkpoint"]["size"]


def fields(message):
    """Number to value, the last one of each."""
    return {number: value for number, _, value in wire.fields(message, strict=False)}


def windows(data):
    return {data[i:i + WINDOW] for i in range(len(data) - WINDOW + 1)}


def told(window):
    """A window that only one event can have says something: text, or mostly random bytes. What lies across the end of a signature and
    the tags and the name of the next signer does not: the last byte of an Ed25519 signature is one of sixteen."""
    return not re.search(rb"\*[\x40-\xff]\x01?\n", window)


def words_of(ledger, entry):
    """The windows that only this entry has."""
    mine = ledger.record(f"#{entry}")
    others = set().union(*(ledger.windows_of(i) for i in range(ledger.size()) if i != entry))
    words = (windows(without_time(mine["event"])) | windows(without_time(mine["block"]))) - others - windows(mine["header"])
    return {word for word in words if told(word)}


def without_time(data):
    """What was signed, or logged, in the same second says so in the same words."""
    return re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z", lambda m: os.urandom(len(m.group())), data)


def found(ledger, words):
    """Where in the folder, in the anchor, or in what the daemon said, is any of these?"""
    where = []
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(ledger.data) for name in names]
    for path in paths + [ledger.data + ".anchor", ledger.log.name]:
        with open(path, "rb") as f:
            data = f.read()
        hits = [i for i in range(len(data) - WINDOW + 1) if data[i:i + WINDOW] in words]
        if hits:
            where.append(f"{os.path.relpath(path, ledger.folder)} at {hits[0]} and {len(hits) - 1} more: {data[hits[0]:hits[0] + 40]}")
    return where


def offline(suite, ledger, erased):
    for command in (["check"], ["check", "--hashes"], ["rebuild"], ["check"]):
        code, out, err = suite.run(suite.ledgerd, *command, ledger.data)
        suite.check(code == 0 and f"the content of {erased} event" in out, f"ledgerd {' '.join(command)} goes on after an erasure", out + err)


def erased_everywhere(suite, ledger, event, entry, item, act):
    """What the commands say of an erased event."""
    says = f"erased under entry #{act} by admin@suite.example/ledger (authorship), u.qa (verification): asked for under article 17"
    code, out, err = ledger.ctl("history", item)
    suite.check(code == 0 and says + "; state taken from its commitment" in out, "history says who erased it and why", out + err)
    code, out, err = ledger.ctl("--json", "history", item)
    doc = json.loads(out) if code == 0 else {}
    suite.check(code == 0 and doc["history"][0]["erased_by"] == act and "event" not in doc["history"][0] and
                doc["erasures"] == [{"index": act, "recorded": doc["erasures"][0]["recorded"], "reason": "asked for under article 17",
                                     "by": ["admin@suite.example/ledger", "u.qa"]}], "history --json", out + err)
    code, out, err = ledger.ctl("--json", "show", item)
    suite.check(code == 0 and json.loads(out)["subject"]["state"]["available"] == 5.5, "the state stays", out + err)
    path = suite.path("erased.receipt")
    code, out, err = ledger.ctl("receipt", event, "-o", path, "--force")
    suite.check(code == 0 and says in out, "its receipt is made without the content", out + err)
    code, out, err = suite.run(suite.ctl, "verify", path, "--policy", os.path.join(ledger.data, "profile", "policy"))
    suite.check(code == 0 and f"erased under entry #{act}; the states that it left open its commitments" in out and
                "Not proven" in out, "the receipt of an erased event verifies offline", out + err)
    forged(suite, ledger, path)
    code, out, err = ledger.ctl("receipt", f"#{act}", "-o", path, "--force")
    suite.check(code == 0, "the receipt of the erasure", out + err)
    code, out, err = suite.run(suite.ctl, "--json", "verify", path, "--policy", os.path.join(ledger.data, "profile", "policy"))
    suite.check(code == 0 and json.loads(out)[0]["signatures_checked"] == 2, "both signatures of the erasure verify offline", out + err)
    code, out, err = ledger.ctl("list", "items")
    suite.check(code == 0 and item in out, "list", out + err)
    code, out, err = ledger.ctl("--json", "audit")
    suite.check(code == 0 and json.loads(out).get("content_erased", 1) >= 1, "an auditor who comes later replays all of it", out + err)
    code, out, err = ledger.ctl("watch", "--from", str(entry), "--count", "1")
    suite.check(code == 0 and "(erased)" in out, "watch", out + err)


def forged(suite, ledger, path):
    """The receipt of an erased event with another state, and without the word that it was erased."""
    with open(path, "rb") as f:
        data = f.read()
    policy = os.path.join(ledger.data, "profile", "policy")
    file = fields(data[len(b"ledgerd receipt v1\n"):-32])
    receipt = fields(file[2])
    record = fields(receipt[1])
    for name, change in [
            ("another salt", {5: record[5][:10] + bytes([record[5][10] ^ 1]) + record[5][11:]}),
            ("another state", {5: record[5][:60] + bytes([record[5][60] ^ 1]) + record[5][61:]}),
            ("no word of the erasure", {5: None, 6: None}),
            ("an erasure before it was recorded", {6: 1})]:
        inner = b"".join(wire.put(n, v) for n, v in sorted({**record, **change}.items()) if v is not None)
        middle = b"".join(wire.put(n, inner if n == 1 else v) for n, v in sorted(receipt.items()))
        body = b"ledgerd receipt v1\n" + b"".join(wire.put(n, middle if n == 2 else v) for n, v in sorted(file.items()))
        code, out, err = suite.run(suite.ctl, "verify", suite.path("forged.receipt", body + hashlib.sha256(body).digest()), "--policy", policy)
        suite.check(code == 1 and "DOES NOT VERIFY" in out, f"a receipt with {name}", f"{code}\n{out}{err}")


def bytes_are_gone(suite):
    with Ledger(suite) as ledger:
        for _ in range(30):
            ledger.material()
        event, entry, item = ledger.material()
        for _ in range(10):
            ledger.material()
        before = suite.path("before.receipt", ledger.receipt(f"#{entry}"))
        words = words_of(ledger, entry)
        suite.check(len(words) > 150 and found(ledger, words), "what is looked for is there before", str(len(words)))
        act = ledger.size()
        code, out, err = ledger.erase(event)
        suite.check(code == 0 and f"Erased under entry #{act}" in out, "erase", out + err)
        opening = ledger.record(f"#{entry}")
        suite.check(not opening["event"] and not opening["block"] and opening["erased_by"] == act, "the record has the opening alone", "")
        words -= windows(opening["opening"])
        where = found(ledger, words)
        suite.check(len(words) > 150 and not where, "nothing of the erased event is in the folder", "\n".join(where))
        erased_everywhere(suite, ledger, event, entry, item, act)
        code, out, err = suite.run(suite.ctl, "verify", before, "--policy", os.path.join(ledger.data, "profile", "policy"))
        suite.check(code == 0 and "nobody else has" in out, "a receipt that somebody kept still verifies", out + err)
        code, out, err = ledger.ctl("record", "EVENT_CORRECTED", f"target_event={event}", "reason=late",
                                    'changes=[{"field":"quantity","old":"5.50","new":"5"}]', "--sign", ledger.keys["u.wh"],
                                    "--sign", ledger.keys["u.qa"])
        suite.check(code == 1 and "E_CORRECT_TARGET" in err and "erased under entry" in err, "a correction of it is refused", out + err)
        code, out, err = ledger.erase(event)
        suite.check(code == 1 and "E_ERASE_TARGET" in err and f"entry {act}" in err and "Nothing was recorded" in err, "twice", out + err)
        ledger.material()
        suite.check(ledger.stop() == 0, "it ends as always")
        offline(suite, ledger, 1)
        ledger.start()
        where = found(ledger, words)
        suite.check(not where, "nor after a rebuild and a restart", "\n".join(where))
        erased_everywhere(suite, ledger, event, entry, item, act)
        code, out, err = ledger.ctl("status")
        suite.check(code == 0 and re.search(r"erasure_pending +0", out), "nothing is pending", out)


def refusals(suite):
    with Ledger(suite) as ledger:
        event, entry, _ = ledger.material()
        size = ledger.size()
        for name, arguments, want in [
                ("an unknown event", (["0" * 63 + "1"], {}), (1, "E_ERASE_TARGET")),
                ("a registration", (["#4"], {}), (1, "registration of a party")),
                ("an act of the ledger", (["#0"], {}), (1, "E_ERASE_TARGET")),
                ("one signature", ([event], {"sign": ["admin"]}), (2, "two persons")),
                ("the same person twice", ([event], {"sign": ["admin", "admin"]}), (1, "E_SIG_SAME_PERSON")),
                ("a second signer of the wrong role", ([event], {"sign": ["admin", "u.wh"]}), (1, "E_ROLE")),
                ("a first signer of the wrong role", ([event], {"sign": ["u.qa", "admin"]}), (1, "E_ROLE")),
                ("no reason", ([event], {"reason": ""}), (2, "--reason")),
                ("no event id", (["M-1"], {}), (2, "neither an event id"))]:
            code, out, err = ledger.erase(*arguments[0], **arguments[1])
            suite.check(code == want[0] and want[1] in err and err.count("Nothing was recorded") == 1, name, f"{code}\n{out}{err}")
        code, out, err = ledger.ctl("--json", "erase", "#4", "--reason", "r", "--sign", ledger.admin, "--sign", ledger.keys["u.qa"])
        suite.check(code == 1 and json.loads(out)["code"] == "E_ERASE_TARGET" and json.loads(out)["recorded"] == "nothing", "--json", out)
        why = json.loads(out)
        code, out, err = ledger.erase("#4")
        suite.check(why["field"] and f"{why['field']}: {why['text']}" in err, "the field is named", err)
        suite.check(ledger.size() == size, "refusals record nothing")
        retention(suite, ledger, event)
        corrections(suite, ledger)
        rights(suite, ledger, event)


def retention(suite, ledger, event):
    signed = ["--sign", ledger.admin, "--sign", ledger.keys["u.qa"]]
    code, out, err = ledger.ctl("parameters", "set", "--retention", "MATERIAL_RECEIVED=30,LOT_SPLIT=4000000000", *signed)
    suite.check(code == 0 and "MATERIAL_RECEIVED for 30 days" in out, "parameters set", out + err)
    code, out, err = ledger.ctl("--json", "parameters", "show")
    suite.check(code == 0 and json.loads(out)["retention_days"] == {"MATERIAL_RECEIVED": 30, "LOT_SPLIT": 4000000000} and
                json.loads(out)["algorithms"] == ["ed25519", "p256"], "parameters show", out + err)
    code, out, err = ledger.erase(event)
    suite.check(code == 1 and "E_RETAINED" in err and re.search(r"until 20\d\d-", err), "held by retention, until a date", out + err)
    code, out, err = ledger.ctl("parameters", "set", "--algorithms", "ed25519", *signed)
    suite.check(code == 0 and "keys   ed25519\n" in out and "MATERIAL_RECEIVED for 30 days" in out, "what is not named stays", out + err)
    p256 = suite.path("p256.key")
    ledger.good("key", "new", "u.p256", "-o", p256, "--algorithm", "p256")
    code, out, err = ledger.ctl("party", "register", "u.p256", "--roles", "QA", "--org", "CPC", "--key", p256)
    suite.check(code == 1 and "E_KEY_INVALID" in err, "an algorithm that is not allowed any more", out + err)
    for name, arguments in [("a kind that there is not", ["--retention", "NO_SUCH=3"]), ("no days", ["--retention", "LOT_SPLIT"]),
                            ("an algorithm that there is not", ["--algorithms", "rot13"]), ("nothing to set", [])]:
        code, out, err = ledger.ctl("parameters", "set", *arguments, *signed)
        suite.check(code == 2, name, f"{code}\n{out}{err}")
    code, out, err = ledger.ctl("parameters", "set", "--retention", "MATERIAL_RECEIVED=0", *signed)
    suite.check(code == 0 and "MATERIAL_RECEIVED" not in out and "LOT_SPLIT" in out, "a rule taken away", out + err)


def corrections(suite, ledger):
    event, entry, item = ledger.material()
    out = json.loads(ledger.good("--json", "record", "EVENT_CORRECTED", f"target_event={event}", "reason=typed wrongly",
                                 'changes=[{"field":"supplier","old":"supplier nobody else has %08d","new":"the right one, which was typed wrongly"}]'
                                 % ledger.number, "--sign", ledger.keys["u.wh"], "--sign", ledger.keys["u.qa"]))
    code, said, err = ledger.erase(event)
    suite.check(code == 1 and "E_ERASE_TARGET" in err and out["event_id"] in err, "corrections must be named too, and are", said + err)
    words = words_of(ledger, entry) | words_of(ledger, out["index"])
    code, said, err = ledger.erase(event, out["event_id"])
    suite.check(code == 0 and "2 events" in said, "both together", said + err)
    kept = windows(ledger.record(f"#{entry}")["opening"]) | windows(ledger.record(f"#{out['index']}")["opening"])
    where = found(ledger, words - kept)
    suite.check(not where, "nothing of either is left", "\n".join(where))
    code, said, err = ledger.ctl("history", item)
    suite.check(code == 0 and said.count("erased under entry") == 2, "history of both", said + err)


def rights(suite, ledger, event):
    """The right to submit acts of the ledger; and two signers at two desks."""
    act, signed = suite.path("an.act"), ["--sign", ledger.admin]
    code, out, err = ledger.ctl("erase", event, "--reason", "asked for", *signed, "--prepare", act)
    suite.check(code == 0 and "Nothing was recorded" in out, "prepared by the first signer", out + err)
    conf = os.path.join(ledger.data, "ledgerd.conf")
    with open(conf) as f:
        text = f.read()
    with open(conf, "w") as f:
        f.write(text.replace("submit, administer, read all", "submit, read all"))
    ledger.process.send_signal(signal.SIGHUP)
    second = ["erase", "--act", act, "--sign", ledger.keys["u.qa"]]
    deadline = time.monotonic() + WAIT_S
    while "read again" not in ledger.output() and time.monotonic() < deadline:
        time.sleep(0.02)
    code, out, err = ledger.ctl(*second)
    suite.check(code == 3 and "administer" in err and "Nothing was recorded" in err, "without the right to administer", f"{code}\n{out}{err}")
    with open(conf, "w") as f:
        f.write(text)
    ledger.stop()
    ledger.start()
    code, out, err = ledger.ctl("erase", "--act", act, *signed)
    suite.check(code == 1 and "E_SIG_SAME_PERSON" in err, "the first signer again", out + err)
    code, out, err = ledger.ctl("parameters", "set", "--act", act, "--sign", ledger.keys["u.qa"])
    suite.check(code == 2 and "ERASURE" in err, "an act of another kind", out + err)
    code, out, err = ledger.ctl(*second)
    suite.check(code == 0 and event in out and "asked for" in out and "Erased under entry" in out, "signed and sent by the second", out + err)
    with open(act, "r+b") as f:
        f.seek(60)
        f.write(b"\xff\xff")
    code, out, err = ledger.ctl(*second)
    suite.check(code in (1, 2) and "Nothing was recorded" in err, "a damaged file", f"{code}\n{out}{err}")


def killed(suite):
    """Killed as soon as the copy appears, and at random moments; started by run, check or rebuild."""
    with Ledger(suite) as ledger:
        erased = 0
        ledger.material()  # the party's key is named by another entry as well
        for i in range(KILLS):
            event, entry, _ = ledger.material()
            words = words_of(ledger, entry) - windows(ledger.record(f"#{entry}")["header"])
            client = subprocess.Popen([suite.ctl, "--profile", os.path.join(ledger.data, "profile"), "--server", ledger.address, "--timeout",
                                       "20", "erase", event, "--reason", "killed", "--sign", ledger.admin, "--sign", ledger.keys["u.qa"]],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            copy = os.path.join(ledger.data, "data.new")
            deadline = time.monotonic() + (WAIT_S if i % 2 == 0 else 0.01 * i)
            while not os.path.exists(copy) and client.poll() is None and time.monotonic() < deadline:
                pass
            ledger.kill()
            client.kill()
            client.communicate()
            if i % 3:
                command = ("check", "rebuild")[i % 3 - 1]
                code, out, err = suite.run(suite.ledgerd, command, ledger.data)
                suite.check(code == 0, f"ledgerd {command} after a kill", out + err)
            ledger.start()
            record = ledger.record(f"#{entry}")
            where = found(ledger, words - windows(record["opening"]))
            if record["erased_by"]:
                erased += 1
                suite.check(not where, f"kill {i}: the next start destroys what was erased", "\n".join(where))
            else:
                suite.check(where, f"kill {i}: nothing was erased, everything is there")
            suite.check(not os.path.exists(copy), f"kill {i}: no copy is left beside the data")
        suite.tally("kill-in-an-erasure", kills=KILLS, erased=erased)
        suite.check(erased >= 1, f"some of {KILLS} erasures were recorded before the kill")
        ledger.material()
        ledger.stop()
        if erased:
            offline(suite, ledger, erased)
        ledger.start()


def amid_a_history(suite):
    """Entries with many before them and behind them in their chain: whoever replays the ledger afterwards has the same history."""
    with Ledger(suite) as ledger:
        _, _, item = ledger.material()
        moves = [json.loads(ledger.good("--json", "record", "STORAGE_MOVED", f"item={item}", f"location=shelf {n}", "--sign",
                                        ledger.keys["u.wh"]))["event_id"] for n in range(20)]
        code, out, err = ledger.erase(*[moves[n] for n in (3, 7, 8, 17)])
        suite.check(code == 0, "four of twenty erased", out + err)
        ledger.good("record", "STORAGE_MOVED", f"item={item}", "location=shelf 20", "--sign", ledger.keys["u.wh"])
        before = json.loads(ledger.good("--json", "history", item))["history"]
        suite.check(len(before) == 22 and sum("erased_by" in entry for entry in before) == 4, "the history has all of them", json.dumps(before)[:2000])
        code, out, err = ledger.ctl("--json", "audit")
        suite.check(code == 0 and json.loads(out).get("content_erased") == 4, "an auditor replays them", out + err)
        ledger.stop()
        offline(suite, ledger, 4)
        ledger.start()
        suite.check(json.loads(ledger.good("--json", "history", item))["history"] == before, "the history is the same after a rebuild")


def while_others_write(suite):
    """Recording and reading go on around an erasure, over a connection that stays."""
    with Ledger(suite) as ledger:
        event, entry, item = ledger.material()
        lines = "\n".join(json.dumps({"id": f"line-{n}", "kind": "MATERIAL_RECEIVED", "occurred": "2026-01-01T00:00:00Z",
                                      "fields": dict((part.split("=", 1) for part in MATERIAL[1:]), quantity=5, item=f"F-{n}", supplier="S",
                                                     coa_hash="h")}) for n in range(4000))
        path = suite.path("many.jsonl", lines)
        profile = ["--profile", os.path.join(ledger.data, "profile"), "--server", ledger.address, "--timeout", str(WAIT_S // 2)]
        writer = subprocess.Popen([suite.ctl, *profile, "record", "-f", path, "--sign", ledger.keys["u.wh"]], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        reader = subprocess.Popen([suite.ctl, *profile, "audit"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        code, out, err = ledger.erase(event)
        suite.check(code == 0, "erased while others write", out + err)
        out, err = writer.communicate(timeout=WAIT_S)
        suite.check(writer.returncode == 0 and out.count(b"ACCEPT") == 4000, "the others' events are recorded", err.decode())
        out, err = reader.communicate(timeout=WAIT_S)
        # 3: the erasure came after the checkpoint that is audited, and says so
        suite.check(reader.returncode in (0, 3), "an audit goes through meanwhile", (out + err).decode())
        ledger.stop()
        offline(suite, ledger, 1)
        ledger.start()


def main():
    suite = Suite(sys.argv)
    for test in bytes_are_gone, refusals, amid_a_history, killed, while_others_write:
        test(suite)
    suite.end()


if __name__ == "__main__":
    main()
