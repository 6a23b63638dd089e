#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ledgerctl record, receipt, verify, key, party and subject, against a daemon and offline."""
import base64
import hashlib
import json
import os
import socket
import sys
import threading
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib")]

from suite import WAIT_S, Daemon, Suite  # noqa: E402

RECEIVED = ["MATERIAL_RECEIVED", "gtin=1", "lot=L", "supplier=S", "name=FBS serum", "quantity=5.50", "uom=L",
            "expiry=2099-01-01T00:00:00Z", "coa_hash=h", "origin=defined"]


def line(number, **more):
    fields = dict((part.split("=", 1) for part in RECEIVED[1:]), quantity=5, item=f"F-{number}")
    return json.dumps(dict({"id": f"line-{number}", "kind": "MATERIAL_RECEIVED", "occurred": "2026-01-01T00:00:00Z",
                            "fields": fields}, **more))


def keys_and_parties(suite, daemon):
    key, qa, rotated = suite.path("wh.key"), suite.path("qa.key"), suite.path("wh2.key")
    code, out, err = daemon.ctl("--json", "key", "new", "u.wh", "-o", key)
    made = json.loads(out) if code == 0 else {}
    suite.check(code == 0 and os.stat(key).st_mode & 0o777 == 0o600 and made["public"].startswith("ed25519:"), "key new", out + err)
    code, _, err = daemon.ctl("key", "new", "u.wh", "-o", key)
    suite.check(code == 2 and "exist" in err, "a key is never overwritten", f"{code} {err}")
    code, out, err = daemon.ctl("party", "register", "u.wh", "--roles", "WAREHOUSE", "--org", "CPC", "--pubkey", made["public"],
                                "--proof", made["proof"])
    suite.check(code == 0 and "party u.wh" in out, "party register without the secret", out + err)
    daemon.ctl("key", "new", "u.qa", "-o", qa, "--algorithm", "p256")
    code, out, err = daemon.ctl("party", "register", "u.qa", "--roles", "QA,QP", "--org", "CPC", "--key", qa)
    suite.check(code == 0, "party register with a P-256 key", out + err)
    code, out, err = daemon.ctl("party", "register", "u.other", "--roles", "QA", "--org", "CPC", "--key", qa)
    suite.check(code == 2 and "u.qa" in err, "another party's key", err)
    code, out, err = daemon.ctl("party", "register", "u.wh", "--roles", "QA", "--org", "CPC", "--pubkey", made["public"],
                                "--proof", made["proof"])
    suite.check(code == 1 and "E_DUP_ITEM" in err and "Nothing was recorded" in err, "a party twice", err)
    code, out, err = daemon.ctl("party", "amend", "u.wh", "--roles", "WAREHOUSE,OPERATOR")
    suite.check(code == 0, "party amend fills in the organisation", out + err)
    daemon.ctl("key", "new", "u.wh", "-o", rotated)
    code, out, err = daemon.ctl("party", "rotate", "u.wh", "--key", rotated)
    suite.check(code == 0, "party rotate", out + err)
    code, out, err = daemon.ctl("record", *RECEIVED, "item=M-0", "--sign", key)
    suite.check(code == 1 and "E_SIG_INVALID" in err, "the old key does not count", out + err)
    code, out, err = daemon.ctl("party", "show", "u.wh")
    suite.check(code == 0 and "OPERATOR" in out and "CPC" in out, "party show", out + err)
    code, out, err = daemon.ctl("party", "revoke", "u.nobody")
    suite.check(code == 1, "revoking nobody", out + err)
    return rotated, qa


def one_event(suite, daemon, key, qa):
    receipt = suite.path("m1.receipt")
    code, out, err = daemon.ctl("--json", "record", *RECEIVED, "item=M-1", "--sign", key, "--reference", "mine", "-o", receipt)
    done = json.loads(out) if code == 0 else {}
    suite.check(code == 0 and [c["subject"] for c in done["chains"]] == ["item M-1"] and done["checkpoint"]["size"] > done["index"],
                "record", out + err)
    code, out, err = daemon.ctl("--json", "record", *RECEIVED, "item=M-2", "--sign", key, "--reference", "mine")
    refused = json.loads(out) if code == 1 else {}
    suite.check(code == 1 and refused["code"] == "E_DUP_EVENT" and refused["recorded_index"] == done["index"],
                "a reference twice names the entry", out + err)
    code, out, err = daemon.ctl("record", *RECEIVED, "item=M-3", "--sign", key, "-o", receipt)
    suite.check(code == 2 and "Nothing was recorded" in err, "an existing receipt file stops it beforehand", out + err)
    for name, arguments, want in [
            ("an ill-typed field", [*RECEIVED[:5], "quantity=many", *RECEIVED[6:], "item=M-3"], (1, "E_BAD_VALUE", "quantity")),
            ("a missing field", RECEIVED[:1] + ["item=M-3"], (1, "E_MISSING_FIELD", "gtin")),
            ("a field that the kind does not have", [*RECEIVED, "item=M-3", "colour=red"], (2, "colour", "")),
            ("a field twice", [*RECEIVED, "item=M-3", "item=M-4"], (2, "item", "twice")),
            ("an unknown kind", ["NO_SUCH"], (2, "NO_SUCH", "LOT_SPLIT")),
            ("a date that does not exist", [*RECEIVED, "item=M-3", "--occurred", "2026-02-30T00:00:00Z"], (2, "2026-02-30", "")),
            ("an occurred time in the future", [*RECEIVED, "item=M-3", "--occurred", "2098-01-01T00:00:00Z"], (1, "E_TIME_FUTURE", ""))]:
        code, out, err = daemon.ctl("record", *arguments, "--sign", key)
        suite.check(code == want[0] and want[1] in err and want[2] in err and err.count("Nothing was recorded") == 1, name,
                    f"{code}\n{out}{err}")
    code, out, err = daemon.ctl("record", "QUALITY_DECISION", "item=M-1", "decision=RELEASE", "spec_version=1", "reason=ok",
                                "--sign", qa)
    suite.check(code == 1 and "E_SIG_SECOND_MISSING" in err, "one signature where two are asked for", err)
    code, out, err = daemon.ctl("record", "QUALITY_DECISION", "item=M-1", "decision=RELEASE", "spec_version=1", "reason=ok",
                                "--sign", qa, "--sign", qa, "--meaning", "release", "--meaning", "release")
    suite.check(code == 1 and "E_SIG_SAME_PERSON" in err, "one key for two persons", err)
    return done, receipt


def a_file(suite, daemon, key, qa):
    nonce = {"nonce": "00112233445566778899aabbccddeeff"}
    text = "\n".join([line(0, **nonce)] + [line(n) for n in range(1, 1500)] + [line(0), line(3, kind="NO_SUCH")])
    path = suite.path("many.jsonl", text)
    code, out, err = daemon.ctl("record", "-f", path, "--sign", key)
    suite.check(code == 1 and out.count("\tACCEPT\t") == 1500 and "line-0\tREFUSE:E_DUP_EVENT" in out and "E_UNKNOWN_KIND" in out
                and "2 refused" in err and "2 signed batches" in err, "a file of many", err + out[-400:])
    code, out, err = daemon.ctl("record", "-f", "-", "--sign", key, stdin=line(0, **nonce).encode())
    suite.check(code == 1 and "E_DUP_EVENT" in out, "the same bytes with other signatures", out + err)
    second = [line(n, signers=[{"party": "u.wh", "meaning": "authorship"}]) for n in (2001, 2002)]
    keys = suite.path("ring")
    os.mkdir(keys)
    os.link(key, os.path.join(keys, "a.key"))
    code, out, err = daemon.ctl("record", "-f", "-", "--keys", keys, stdin="\n".join(second).encode())
    suite.check(code == 0 and out.count("ACCEPT") == 2, "signers from the lines", out + err)
    code, out, err = daemon.ctl("record", "-f", "-", stdin=line(1, signers=[{"party": "u.strange", "meaning": "m"}]).encode())
    suite.check(code == 2 and "u.strange" in err, "a signer without a key", out + err)
    both = "\n".join([line(3001), line(3001, id="other")]).encode()
    code, out, err = daemon.ctl("record", "-f", "-", "--all", "--sign", key, stdin=both)
    suite.check(code == 1 and "SKIPPED" in out and "E_DUP_ITEM" in out, "all or nothing, refused", out + err)
    ill = "\n".join([line(3001), line(3002, kind="NO_SUCH")]).encode()
    code, out, err = daemon.ctl("record", "-f", "-", "--all", "--sign", key, stdin=ill)
    suite.check(code == 1 and "NOT_SENT" in out and "E_UNKNOWN_KIND" in out, "all or nothing, refused here", out + err)
    code, out, err = daemon.ctl("record", "-f", "-", "--all", "--sign", key, stdin="\n".join([line(3001), line(3002)]).encode())
    suite.check(code == 0 and out.count("ACCEPT") == 2, "all or nothing, all", out + err)
    many = "\n".join(line(n) for n in range(4000, 5001)).encode()
    code, out, err = daemon.ctl("record", "-f", "-", "--all", "--sign", key, stdin=many)
    suite.check(code == 2 and "1000 events" in err and "ACCEPT" not in out, "all or nothing, too many", err + out[:200])
    code, out, err = daemon.ctl("record", "-f", "-", "--sign", key, stdin=(line(6001) + "\n{").encode())
    suite.check(code == 2 and "line 2, column" in err and "line-6001\tACCEPT" in out, "a broken line after a good one", out + err)
    suite.check("Nothing was recorded" not in err, "which is not nothing", err)
    code, out, err = daemon.ctl("record", "-f", "-", "--all", "--sign", key, stdin=(line(6002) + "\n{").encode())
    suite.check(code == 2 and "Nothing was recorded" in err and "ACCEPT" not in out, "a broken line, all or nothing", out + err)


def receipts(suite, daemon, done, receipt):
    policy = os.path.join(daemon.data, "profile", "policy")
    other = suite.path("by-index.receipt")
    for name in (done["event_id"], f"#{done['index']}"):
        code, out, err = daemon.ctl("receipt", name, "-o", other, "--force")
        suite.check(code == 0 and "verified" in out, f"receipt {name}", out + err)
    for name, want in (("ff" * 32, 1), ("#999999", 1), ("nonsense", 2), ("#", 2)):
        code, out, err = daemon.ctl("receipt", name, "-o", suite.path("none"))
        suite.check(code == want and not os.path.exists(suite.path("none")), f"no receipt {name[:10]}", f"{code} {out}{err}")
    code, out, err = suite.run(suite.ctl, "verify", "--policy", policy, receipt, other)
    suite.check(code == 0 and out.count(": verified") == 2 and "u.wh, authorship" in out and "operator's word" in out,
                "verify offline", out + err)
    code, out, err = suite.run(suite.ctl, "verify", "--policy", policy, receipt, "--for", "consume")
    suite.check(code == 2 and "no dossier" in err and "verified" not in out, "a receipt does not say what may be done", out + err)
    for asked in ("--coi", ""), ("--subject-commit", ""), ("--org", ""), ("--into", ""), ("--at", ""):
        code, out, err = daemon.ctl("check", "M-1", "--for", "administer", "--coi", "C-1", "--subject-commit", "ab", *asked)
        suite.check(code == 2 and f"{asked[0]} is empty" in err and "FIT" not in out, f"an empty {asked[0]} asks nothing", out + err)
    return policy


def damage(suite, receipt, policy):
    with open(receipt, "rb") as f:
        good = f.read()
    flipped, forged = [], []
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 << (at % 8)
        flipped.append(suite.path(f"flip-{at}", bytes(bad)))
        if at < len(good) - 32:
            forged.append(suite.path(f"forge-{at}", bytes(bad[:-32]) + hashlib.sha256(bad[:-32]).digest()))
    code, out, err = suite.run(suite.ctl, "verify", "--policy", policy, *flipped)
    suite.check(code == 1 and out.count("DOES NOT VERIFY") == len(flipped) and "checksum" in out, "every flipped byte",
                f"{code}: {out.count('DOES NOT VERIFY')} of {len(flipped)}\n{err}")
    code, out, err = suite.run(suite.ctl, "verify", "--policy", policy, *forged)
    suite.check(code == 1 and ": verified" not in out and out.count("VERIF") == len(forged), "every flipped byte under a new checksum",
                "\n".join(row for row in out.splitlines() if row.endswith(": verified")) + err)
    for name, content in (("empty", b""), ("cut", good[:-1]), ("longer", good + b"\0"), ("noise", bytes(range(256)) * 8)):
        code, out, err = suite.run(suite.ctl, "verify", "--policy", policy, suite.path(name, content))
        suite.check(code == 1 and "DOES NOT VERIFY" in out, f"a receipt that is {name}", out + err)
    code, _, err = suite.run(suite.ctl, "verify", "--policy", policy, suite.path("not-there"))
    suite.check(code == 2 and "not-there" in err, "a receipt that is not there", err)
    newer = good[:17] + b"9" + good[18:-32]
    code, out, err = suite.run(suite.ctl, "verify", "--policy", policy, suite.path("newer", newer + hashlib.sha256(newer).digest()))
    suite.check(code == 3 and "newer" in out, "a receipt of a newer version", f"{code} {out}{err}")


def strangers(suite, receipt, policy, public):
    with Daemon(suite, "suite.example/other") as other:
        code, out, err = other.ctl("verify", receipt)
        suite.check(code == 1 and "untrusted" in out, "a receipt of another ledger", out + err)
    name, key = b"example.org/w", b"\x04" + base64.b64decode(public.split(":")[1])
    vkey = f"{name.decode()}+{hashlib.sha256(name + bytes([10]) + key).hexdigest()[:8]}+{base64.b64encode(key).decode()}"
    with open(policy) as f:
        wider = f.read().replace("quorum none", f"witness w {vkey}\nquorum w")
    code, out, err = suite.run(suite.ctl, "verify", "--policy", suite.path("policy", wider), receipt)
    suite.check(code == 1 and "untrusted" in out and "quorum" in out, "a policy that asks for a witness", f"{code} {out}{err}")


def long_answers(suite):
    """450 splits into 100 units under one signature: the receipts do not fit into one frame"""
    with Daemon(suite) as daemon:
        keys, file = suite.path("long-keys"), suite.path("long.jsonl")
        registered = [("u.a", "ADMIN", []), ("u.op", "OPERATOR", ["u.a"]), ("u.wh", "WAREHOUSE", ["u.a"]),
                      ("u.qa", "QA", ["u.a"]), ("u.qp", "QP", ["u.a"])]
        steps = [("PARTY_REGISTERED", {"action": "REGISTER", "party": p, "roles": [r], "org": "CPC"}, s) for p, r, s in registered]
        steps += [
            ("MATERIAL_RECEIVED", {"item": "M", "gtin": "g", "lot": "l", "supplier": "s", "quantity": 10, "uom": "mL",
                                   "expiry": "2040-01-01T00:00:00Z", "coa_hash": "aa", "origin": "o"}, ["u.wh"]),
            ("QUALITY_DECISION", {"item": "M", "decision": "RELEASE", "spec_version": "1", "reason": "r"}, ["u.qa", "u.qp"]),
            ("LOT_CREATED", {"item": "B", "lot_class": "BATCH", "product_code": "P", "lot": "B", "use": "ALLOGENEIC",
                             "required_tests": ["v"], "spec_version": "1"}, ["u.op"]),
            ("INPUT_CONSUMED", {"item": "B", "input": "M", "quantity": 1, "uom": "mL"}, ["u.op"]),
            ("LOT_DERIVED", {"item": "B", "quantity": 50000, "uom": "vial", "expiry": "2040-01-01T00:00:00Z"}, ["u.op"]),
        ]
        splits = [("LOT_SPLIT", {"item": "B", "units": [{"item": f"U{k}-{i}", "quantity": 1} for i in range(100)]}, ["u.op"])
                  for k in range(450)]

        def write(name, some, first):
            with open(name, "w") as out:
                for n, (kind, fields, signers) in enumerate(some):
                    out.write(json.dumps({"id": f"{first}{n}", "kind": kind, "occurred": "2026-01-02T00:00:00Z", "fields": fields,
                                          "signers": [{"party": s, "meaning": "authorship"} for s in signers]}) + "\n")

        write(file, steps, "a")
        code, out, err = daemon.ctl("play", "--keys", keys, file)
        suite.check(code == 0 and out.count("ACCEPT") == len(steps), "a lot to be split", out + err)
        write(file, splits, "b")
        code, out, err = daemon.ctl("record", "-f", file, "--sign", os.path.join(keys, "u.op.key"))
        suite.check(code == 0 and out.count("\tACCEPT\t") == 450, "receipts that need several frames", out[-300:] + err)
        slow_lines(suite, daemon)


class SlowLine:
    """Between a client and a daemon: so many bytes a second come from the daemon, and after `most` of them none."""

    def __init__(self, address, bytes_a_second, most=None):
        self.target, self.rate, self.left = address.rsplit(":", 1), bytes_a_second, most
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        try:
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection((self.target[0], int(self.target[1])))
                threading.Thread(target=self.pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self.pump, args=(server, client, True), daemon=True).start()
        except OSError:
            pass

    def pump(self, source, sink, slow):
        try:
            while piece := source.recv(32768):
                if slow and self.left is not None:
                    piece = piece[:self.left]
                    self.left -= len(piece)
                sink.sendall(piece)
                if slow:
                    time.sleep(len(piece) / self.rate)
                if slow and self.left == 0:
                    time.sleep(WAIT_S)
        except OSError:
            pass
        source.close()
        sink.close()


def slow_lines(suite, daemon):
    """An answer of many parts takes longer than one part may: that is what a recall looks like from far away"""
    wanted = daemon.ctl("--json", "trace", "B", "--forward")
    items = len(json.loads(wanted[1])["items"]) if wanted[0] == 0 else 0
    suite.check(items > 45000, "what came of a lot", wanted[2])
    with SlowLine(daemon.address, 8 << 20) as line:
        began = time.monotonic()
        code, out, err = daemon.ctl("--json", "--server", line.address, "--timeout", "2", "trace", "B", "--forward")
        took = time.monotonic() - began
        suite.check(code == 0 and len(json.loads(out)["items"]) == items, "an answer takes its time while it goes on", err)
        suite.check(took > 3, "it took longer than a part of it may", f"{took:.1f} s")
    with SlowLine(daemon.address, 100 << 20, 4 << 20) as line:
        code, out, err = daemon.ctl("--json", "--server", line.address, "--timeout", "2", "trace", "B", "--forward")
        suite.check(code == 3 and "stopped half-way" in err and "nothing more for 2000 ms" in err and '"items"' not in out, "an answer that stops is told", f"{code} {err}")


def subjects(suite):
    salt = "00" * 31 + "01"
    code, out, _ = suite.run(suite.ctl, "--json", "subject", "commit", "P-1", "--salt", salt)
    label = b"ledgerd/v1/subject"
    want = hashlib.sha256(bytes([len(label)]) + label + bytes.fromhex(salt) + (3).to_bytes(4, "big") + b"P-1").hexdigest()
    suite.check(code == 0 and json.loads(out)["subject_commit"] == want, "subject commit", out)
    code, again, _ = suite.run(suite.ctl, "--json", "subject", "commit", "-", "--salt", salt, stdin=b"P-1\n")
    suite.check(code == 0 and again == out, "the identifier from standard input", again)
    one, two = (suite.run(suite.ctl, "subject", "commit", "P-1")[1] for _ in range(2))
    suite.check(one != two, "a salt is drawn")
    for bad in ("00", "zz" * 32, "A0" * 32):
        suite.check(suite.run(suite.ctl, "subject", "commit", "P-1", "--salt", bad)[0] == 2, f"salt {bad[:4]}")


def main():
    suite = Suite(sys.argv)
    subjects(suite)
    with Daemon(suite) as daemon:
        key, qa = keys_and_parties(suite, daemon)
        done, receipt = one_event(suite, daemon, key, qa)
        a_file(suite, daemon, key, qa)
        policy = receipts(suite, daemon, done, receipt)
        damage(suite, receipt, policy)
        public = json.loads(daemon.ctl("--json", "key", "show", key)[1])["public"]
        strangers(suite, receipt, policy, public)
    long_answers(suite)
    code, _, err = suite.run(suite.ctl, "record", *RECEIVED, "item=M-1")
    suite.check(code == 2 and "profile" in err, "no profile", err)
    suite.end()


if __name__ == "__main__":
    main()
