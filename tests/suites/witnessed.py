#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Witnesses as an operator and a client meet them: cosignatures on checkpoints and receipts, quorums that clients demand, witnesses that are
slow, away, wrong or hostile, and the question to them before a start. The honest ones are `ledgerctl witness run` or, where the test
looks into them, tests/system/cosigner.py's; these also do what no honest one would. The last line is "N passed, N failed, N skipped".

    witnessed.py BUILD [TEST…]
"""
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import cases  # noqa: E402
import ledger  # noqa: E402
from ledger import Ledger, eventually, need, run, program  # noqa: E402
from cosigner import (Forwarder, Program, Witness, answers, hangs, hangs_up, signs_with_another_key, signs_wrongly)  # noqa: E402


class Witnessed(Ledger):
    """A ledger with witnesses; `rest` is the groups and the quorum of its policy."""

    def __init__(self, witnesses, rest, more=""):
        super().__init__()
        self.log_line = next(line for line in self.policy().splitlines(True) if line.startswith("log "))
        self.witnesses = witnesses
        self.policy_text = self.log_line + "".join(w.policy_line() for w in witnesses) + rest
        self.put("witnesses", self.policy_text)
        self.configure("#policy = witnesses", "policy = witnesses\nretry_seconds = 1\n" + more)
        self.configure("#listen = 127.0.0.1:7462", "listen = 127.0.0.1:0")

    def put(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="ascii") as f:
            f.write(text)

    def policy(self):
        with open(os.path.join(self.profile, "policy"), encoding="ascii") as f:
            return f.read()

    def demand(self, rest=None):
        """The client's policy: as the ledger's, or with another quorum."""
        text = self.policy_text if rest is None else self.log_line + "".join(w.policy_line() for w in self.witnesses) + rest
        with open(os.path.join(self.profile, "policy"), "w", encoding="ascii") as f:
            f.write(text)

    def http(self, path):
        with open(os.path.join(self.dir, "run", "http"), encoding="ascii") as f:
            connection = http.client.HTTPConnection(f.read().strip(), timeout=30)
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    def figures(self):
        return self.json("status")["server"]

    def newest_is_witnessed(self):
        """The same for those who demand a quorum: until there is one, nothing else is answered."""
        return self.ctl("--timeout", "5", "party", "show", f"admin@{ledger.ORIGIN}").status == 0

    def witnessed_all(self):
        """The newest checkpoint is the witnessed one."""
        figures = self.figures()
        return figures["witnessed_entries"] == figures["entries"] and figures


def lines_of(note):
    return [line.split(" ")[1] for line in note.split("\n\n")[1].splitlines()]


def with_one(test, rest="quorum w1\n", more=""):
    with Witness("w1") as w, Witnessed([w], rest, more) as l:
        l.start()
        test(l, w)
        if l.daemon:
            l.end()


# ---- serving ----


def test_checkpoints_are_cosigned_and_served():
    def test(l, w):
        l.register_warehouse()
        figures = eventually("the newest checkpoint is witnessed", l.witnessed_all)
        need(0 <= figures["witnessed_age_seconds"] < ledger.WAIT_S, f"{figures}")
        need(figures["witness_entries:w1"] == figures["entries"], f"{figures}")
        need(figures["witness_failures:w1"] == 0 and figures["witness_success_age_seconds:w1"] < ledger.WAIT_S, f"{figures}")
        need(w.asked[0] [0] == 0 and len(w.answers(200)) >= 2 and not w.answers(422), f"{w.asked}")
        note = l.http("/checkpoint")
        need(lines_of(note) == [ledger.ORIGIN, w.name], note)
        metrics = l.http("/metrics")
        for name in ("ledgerd_witnessed_entries ", "ledgerd_witnessed_age_seconds ", 'ledgerd_witness_entries{text="w1"} ',
                     'ledgerd_witness_failures_total{text="w1"} 0'):
            need(name in metrics, f"{name}: {metrics}")
        with open(os.path.join(l.dir, "witnessed"), encoding="utf-8") as f:
            need(lines_of(f.read()) == [ledger.ORIGIN, w.name], "DIR/witnessed")
        out = os.path.join(l.base, "tiles")
        l.demand("quorum none\n")
        l.ctl("export-tiles", out).expect(0)
        with open(os.path.join(out, "checkpoint"), encoding="utf-8") as f:
            need(lines_of(f.read()) == [ledger.ORIGIN, w.name], "the exported checkpoint")
    with_one(test)


def test_the_library_tells_the_figures_of_each_witness():
    """Through libledgerd.so, as programs of others are told: no figure hides another."""
    if os.environ.get("LEDGERD_TIME_FACTOR", "1") != "1":
        raise cases.Skip("a sanitizer's runtime has to be loaded first")
    with Witness("w1") as w1, Witness("w2") as w2, Witnessed([w1, w2], "quorum w1\n") as l:
        l.start()
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        with open(os.path.join(l.profile, "profile.conf"), encoding="utf-8") as f:
            text = f.read()
        with open(os.path.join(l.profile, "profile.conf"), "w", encoding="utf-8") as f:
            f.write(re.sub(r"(?m)^address = .*", "address = " + l.address, text))
        lib, err = ctypes.CDLL(program("libledgerd.so")), ctypes.create_string_buffer(4096)
        profile, client, out = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_char_p()
        need(lib.ledger_profile_open(l.profile.encode(), None, ctypes.byref(profile), err) == 0, "profile")
        need(lib.ledger_client_open(profile, None, ctypes.byref(client), err) == 0, "client")
        need(lib.ledger_status(client, 20000, ctypes.byref(out), err) == 0, "status")
        pairs = json.loads(out.value, object_pairs_hook=lambda pairs: pairs)
        figures = dict(pairs)["metrics"]
        names = [name for name, _ in figures]
        need(len(names) == len(set(names)), f"names come twice: {names}")
        for witness in w1, w2:
            need(isinstance(dict(figures)[f"witness_entries:{witness.short}"], (int, float)), f"{figures}")
        lib.ledger_client_close(client)
        lib.ledger_profile_close(profile)


def test_every_answer_says_when_it_was_witnessed():
    def test(l, _):
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        l.ctl("party", "show", f"admin@{ledger.ORIGIN}").expect(0, "never witnessed", "on the operator's word")
        l.demand("quorum none\n")
        l.ctl("party", "show", f"admin@{ledger.ORIGIN}").expect(0, "witnessed", "s ago by w1", "on the operator's word")
        found = l.json("checkpoint")["checkpoint"]
        need(found["witnessed"]["by"] == ["w1"] and found["witnessed"]["size"] <= found["size"], f"{found}")
        need(found["completeness"] == "operator's word", f"{found}")
    with_one(test)


def test_an_auditor_makes_it_complete():
    with Witness("w1") as w, Witness("auditors") as a, Witnessed([w, a], "group both all w1 auditors\nquorum both\n") as l:
        l.start()
        l.demand()
        ran = l.ctl("party", "show", f"admin@{ledger.ORIGIN}").expect(0, "ago by w1, auditors", "an auditing witness has replayed it")
        need("operator's word" not in ran.out, f"{ran}")
        need(l.json("checkpoint")["checkpoint"]["auditors"] is True, "auditors")
        l.end()


def test_real_witnesses():
    """Two of the program's own, one of them with HTTPS under the ledger's own authority."""
    with Witnessed([], "quorum none\n") as l:
        pki = os.path.join(l.dir, "pki")
        with Program(l, "w1") as w1, Program(l, "w2", "--certificate", os.path.join(pki, "server.pem"), "--key",
                                             os.path.join(pki, "server.key")) as w2:
            l.witnesses = [w1, w2]
            l.policy_text = l.log_line + w1.policy_line() + w2.policy_line() + "group both all w1 w2\nquorum both\n"
            l.put("witnesses", l.policy_text)
            l.configure("policy = witnesses\n", "policy = witnesses\nca = pki/ca.pem\n")
            l.start()
            l.demand()
            l.register_warehouse()
            for i in range(3):
                l.record(f"M-{i}").expect(0)
                l.ctl("show", f"M-{i}").expect(0, "by w1, w2")
            l.end()
            w2.process.send_signal(signal.SIGSTOP)
            l.put("witnesses", l.policy_text.replace("quorum both", "quorum w1"))
            l.demand("quorum w1\n")
            l.start()
            l.record("M-9").expect(0)
            l.ctl("show", "M-9").expect(0, "ago by w1;")
            w2.process.send_signal(signal.SIGCONT)
            eventually("the one that was away has cosigned", lambda: len(lines_of(l.http("/checkpoint"))) == 3)
            l.end()


def test_an_auditing_witness_under_its_own_quorum():
    """Everybody demands it, its own profile too: it reads what nobody has cosigned yet, for nobody else can."""
    with Witnessed([], "quorum none\n") as l, Forwarder() as f:
        audited = os.path.join(l.base, "audited")
        shutil.copytree(l.profile, audited)
        path = os.path.join(audited, "profile.conf")
        with open(path, encoding="ascii") as conf:
            text = re.sub(r"(?m)^address = .*$", f"address = {f.address}", conf.read())
        with open(path, "w", encoding="ascii") as conf:
            conf.write(text)
        with Program(l, "auditors", "--audit", audited) as a:
            l.witnesses = [a]
            l.policy_text = l.log_line + a.policy_line() + "quorum auditors\n"
            l.put("witnesses", l.policy_text)
            for profile in l.profile, audited:
                with open(os.path.join(profile, "policy"), "w", encoding="ascii") as policy:
                    policy.write(l.policy_text)
            l.start()
            f.to(l.address)
            l.register_warehouse()
            eventually("the auditing witness has cosigned", l.newest_is_witnessed, ledger.WAIT_S * 3)
            l.record("M-1").expect(0)
            l.ctl("show", "M-1").expect(0, "ago by auditors", "an auditing witness has replayed it")
            l.ctl("audit").expect(0)
            l.end()


# ---- levels ----


def test_level_witnessed():
    def test(l, w):
        l.register_warehouse()
        l.demand("quorum none\n")
        key = os.path.join(l.keys, "wh.key")
        path = l.write_lines("lines.jsonl", [ledger.material("M-1"), ledger.material("M-2")])
        ran = l.ctl("record", "-f", path, "--sign", key, "--level", "witnessed", "--json").expect(0)
        index = json.loads(ran.out.splitlines()[0])["index"]
        need(max(size for _, size, status in w.answers(200)) > index, f"{w.asked}")
        receipt = os.path.join(l.base, "receipt")
        l.ctl("receipt", f"#{index}", "--witnessed", "-o", receipt).expect(0)
        policy = l.put_policy("quorum w1\n")
        run(program("ledgerctl"), "verify", receipt, "--policy", policy).expect(0, "w1")
        # Under a policy with a quorum that nobody has met it is not worth anything.
        other = l.put_policy("witness w2 " + Witness("w2").vkey + "\ngroup two all w1 w2\nquorum two\n")
        run(program("ledgerctl"), "verify", receipt, "--policy", other).expect(1, "quorum")
    with_one(test)


def put_policy(self, rest):
    path = os.path.join(self.base, f"policy-{len(os.listdir(self.base))}")
    with open(path, "w", encoding="ascii") as f:
        f.write(self.log_line + "".join(w.policy_line() for w in self.witnesses) + rest)
    return path


Witnessed.put_policy = put_policy


def test_recorded_and_not_witnessed_is_said():
    def test(l, w):
        l.register_warehouse()
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        w.fault = answers(500)
        l.demand("quorum none\n")
        arguments = ["record", "MATERIAL_RECEIVED", *[f"{k}={v}" for k, v in ledger.material("M-1")["fields"].items()],
                     "--sign", os.path.join(l.keys, "wh.key"), "--level", "witnessed"]
        ran = l.ctl("--timeout", "3", *arguments)
        ran.expect(3, "recorded and durable", "Recorded as entry")
        need("Nothing was recorded" not in ran.err, f"{ran}")
        need(not any(line.startswith("  level") and "durable" not in line for line in ran.out.splitlines()), f"{ran}")
        ran = l.ctl("receipt", "#0", "--witnessed", "-o", os.path.join(l.base, "old")).expect(0)  # what is covered already
        l.ctl("--timeout", "3", "receipt", f"#{l.size() - 2}", "--witnessed", "-o", os.path.join(l.base, "new")).expect(
            3, "no quorum of the policy's witnesses")
    with_one(test)


def test_levels_need_witnesses():
    with Ledger() as l:
        l.start()
        l.ctl("receipt", "#0", "--witnessed", "-o", os.path.join(l.base, "r")).expect(2, "names no witness")
        with Witness("w1") as w, open(os.path.join(l.profile, "policy"), encoding="ascii") as f:
            text = f.read().replace("quorum none\n", w.policy_line() + "quorum w1\n")
        with open(os.path.join(l.profile, "policy"), "w", encoding="ascii") as f:
            f.write(text)
        l.ctl("party", "show", f"admin@{ledger.ORIGIN}").expect(3, "the ledger has none to offer", "no witnesses")
        l.end()


# ---- quorums ----


def test_answers_wait_for_the_quorum():
    def test(l, _):
        l.demand()
        l.register_warehouse()
        for i in range(5):
            l.record(f"M-{i}").expect(0)
            found = l.json("show", f"M-{i}")["checkpoint"]
            need(found["witnessed"]["size"] >= found["size"] and found["witnessed"]["by"] == ["w1"], f"{found}")
        l.ctl("audit").expect(0)
        l.ctl("watch", "--from", "0", "--count", "4").expect(0)
        l.ctl("list", "items").expect(0)
        receipt = os.path.join(l.base, "receipt")
        l.ctl("receipt", f"#{l.size() - 2}", "-o", receipt).expect(0)
        run(program("ledgerctl"), "verify", receipt, "--policy", os.path.join(l.profile, "policy")).expect(0, "w1")
        checkpoint = l.ctl("checkpoint").expect(0).out
        need(lines_of(checkpoint)[1:] == ["witness.example/w1"], checkpoint)
    with_one(test)


def test_no_quorum_is_stale():
    def test(l, w):
        l.register_warehouse()
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        w.fault = answers(503)
        l.demand()
        l.record("M-1").expect(0)  # the log's signature is enough for a record
        l.ctl("--timeout", "3", "show", "M-1").expect(3, "no quorum of the policy's witnesses", "entries and is")
        w.fault = None
        eventually("the witness cosigns again", l.witnessed_all, ledger.WAIT_S * 2)
        l.ctl("show", "M-1").expect(0, "by w1")
    with_one(test)


def test_a_client_may_demand_more():
    """The ledger's own quorum is met by w1; the client wants both, and w2 answers later."""
    with Witness("w1") as w1, Witness("w2") as w2, Witnessed([w1, w2], "quorum w1\n") as l:
        w2.fault = answers(503)
        l.start()
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        l.demand("group both all w1 w2\nquorum both\n")
        l.ctl("--timeout", "3", "party", "show", f"admin@{ledger.ORIGIN}").expect(3, "no quorum of the policy's witnesses")
        w2.fault = None
        l.ctl("party", "show", f"admin@{ledger.ORIGIN}").expect(0, "by w1, w2")
        l.end()


# ---- witnesses that do wrong ----


def test_a_witness_that_does_wrong_stops_nobody():
    faults = {"signs wrongly": lambda w: signs_wrongly(w), "signs with another key": lambda w: signs_with_another_key(w),
              "answers garbage": lambda w: answers(200, b"\0\xff garbage"), "answers nothing": lambda w: answers(200),
              "answers for ever": lambda w: answers(200, b"x\n" * 100000), "redirects": lambda w: answers(
                  302, Location=w.url + "/add-checkpoint"), "knows no size": lambda w: answers(409, b"many\n"),
              "says 409 of what it was sent": lambda w: answers(409, b"0\n"), "hangs up": lambda w: hangs_up(),
              "does not know the ledger": lambda w: answers(404)}
    with Witness("w1") as good, Witness("w2") as bad, Witnessed([good, bad], "group one any w1 w2\nquorum one\n") as l:
        l.start()
        l.register_warehouse()
        eventually("both have cosigned", lambda: l.witnessed_all() and len(lines_of(l.http("/checkpoint"))) == 3)
        for i, (name, make) in enumerate(faults.items()):
            before = l.figures()["witness_failures:w2"]
            bad.fault = make(bad)
            l.record(f"M-{i}").expect(0)
            failed = lambda: l.figures()["witness_failures:w2"] > before  # noqa: B023,E731
            eventually(f"a witness that {name} is counted", failed, ledger.WAIT_S * 2)
            eventually("the other one goes on", l.witnessed_all)
            need(lines_of(l.http("/checkpoint"))[1:] == [good.name], f"a witness that {name}: {l.http('/checkpoint')}")
        bad.fault = None
        eventually("it is taken back", lambda: len(lines_of(l.http("/checkpoint"))) == 3, ledger.WAIT_S * 3)
        l.end()


def test_a_witness_that_hangs_stops_nobody():
    with Witness("w1") as good, Witness("w2") as bad, Witnessed([good, bad], "group one any w1 w2\nquorum one\n") as l:
        bad.fault = hangs(bad)
        l.start()  # the question before the start is bounded, too
        l.register_warehouse()
        for i in range(3):
            l.record(f"M-{i}").expect(0)
            eventually("the other one goes on", l.witnessed_all)
        need("has not answered before the start" in l.logged(), l.logged())
        need(len(bad.asked) == 0 and len(good.answers(200)) >= 2, f"{good.asked}")
        l.end()  # and it ends although a request is under way


def test_many_events_share_rounds():
    def test(l, w):
        l.register_warehouse()
        path = l.write_lines("lines.jsonl", [ledger.material(f"M-{i}") for i in range(300)])
        l.ctl("record", "-f", path, "--keys", l.keys).expect(0)
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        need(len(w.asked) <= l.figures()["seals"] + 4, f"{len(w.asked)} requests")
        sizes = [size for _, size, status in w.answers(200)]
        need(sizes == sorted(set(sizes)), f"{sizes}")
    with_one(test)


# ---- starts ----


def test_a_restart_keeps_what_was_witnessed():
    def test(l, w):
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        l.end()
        with open(os.path.join(l.dir, "witnessed"), encoding="utf-8") as f:  # after the last seal, which may be cosigned or not
            kept = f.read()
        w.fault = answers(503)
        l.start()
        need(l.figures()["witnessed_entries"] == int(kept.split("\n")[1]), f"{l.figures()}")
        l.end()
        # A file that is damaged, or of another policy, is dropped, and asked for anew.
        l.put("witnessed", "nonsense\n")
        w.fault = None
        l.start()
        need("is not used" in l.logged(), l.logged())
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        need(w.answers(409) and not w.answers(422), f"{w.asked}")
    with_one(test)


def copy_of(l):
    """The data folder and its anchor as they are now."""
    kept = os.path.join(l.base, "kept")
    shutil.copytree(l.dir, kept)
    shutil.copy(l.anchor, kept + ".anchor")
    return kept


def put_back(l, kept):
    shutil.rmtree(l.dir)
    shutil.copytree(kept, l.dir)
    shutil.copy(kept + ".anchor", l.anchor)


def test_rolled_back_with_its_anchor_is_noticed_by_the_witness():
    def test(l, w):
        l.register_warehouse().end()
        kept = copy_of(l)
        l.start()
        l.record("M-1").expect(0)
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        later = os.path.join(l.base, "later")
        shutil.copy(os.path.join(l.dir, "witnessed"), later)
        l.end()
        put_back(l, kept)
        before = ledger.files_below(os.path.join(l.dir, "data"))
        l.refuses_to_run(4, "rolled back", "w1", "Restoring")
        l.tool("rotate-log-key").expect(4, "rolled back", "w1")
        need(os.listdir(os.path.join(l.dir, "keys")) == os.listdir(os.path.join(kept, "keys")), "a key was made")
        need(ledger.files_below(os.path.join(l.dir, "data")).keys() == before.keys(), "it was written")
        with open(os.path.join(l.dir, "data", "data.mdb"), "rb") as f:
            need(f.read() == before["data.mdb"][1], "the store was written")
        # The same from the kept witnessed checkpoint alone, with the witness away.
        w.fault = answers(503)
        shutil.copy(later, os.path.join(l.dir, "witnessed"))
        l.refuses_to_run(4, "rolled back", "witnesses have cosigned")
        # A witness that is away does not stop a start by itself.
        os.unlink(os.path.join(l.dir, "witnessed"))
        l.start()
    with_one(test)


def test_a_fork_is_noticed_by_the_witness():
    """The old folder grew by another event: as many entries as the witness has seen, in another tree."""
    def test(l, w):
        l.register_warehouse().end()
        kept = copy_of(l)
        l.start()
        l.record("M-1").expect(0)
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        l.end()
        put_back(l, kept)
        w.fault = answers(503)  # away while it happens
        l.start()
        for i in range(4):
            l.record(f"N-{i}").expect(0)
        l.end()
        w.fault = None
        l.refuses_to_run(4, "rolled back or forked", "w1", "another tree")
    with_one(test)


def test_a_policy_that_cannot_be_used_is_refused():
    with Witness("w1") as w, Witnessed([w], "quorum w1\n") as l:
        for text, words in (("nonsense\n", "line 1"), (l.log_line + w.policy_line() + "quorum none\n", "quorum"),
                            (w.policy_line() + "quorum w1\n", "log key"),
                            (l.log_line + f"witness w1 {w.vkey}\nquorum w1\n", "URL"),
                            (l.log_line + f"witness w1 {w.vkey} ftp://x\nquorum w1\n", "http")):
            l.put("witnesses", text)
            l.refuses_to_run(2, "[witness]", words)
        os.unlink(os.path.join(l.dir, "witnesses"))
        l.refuses_to_run(2, "[witness]", "witnesses")


if __name__ == "__main__":
    sys.exit(cases.main(globals(), sys.argv))
