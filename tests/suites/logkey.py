#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keys over the years: the log key is replaced, lost half-way, stolen; parties get new keys and lose them; verification of the past asks
no clock. Each test has a ledger of its own; two run at a time. The last line is "N passed, N failed, N skipped".

    logkey.py BUILD [TEST…]
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import cases  # noqa: E402
import ledger  # noqa: E402
from cases import Skip  # noqa: E402
from cosigner import Program, Witness, answers  # noqa: E402
from ledger import Ledger, eventually, files_below, need, program, run  # noqa: E402
from witnessed import Witnessed, lines_of  # noqa: E402

KILLS = 24


# ---- what the tests do again and again ----


def rotate(l, *arguments):
    """Replaces the log key; gives the first size of the new one back."""
    ran = l.tool("rotate-log-key", *arguments).expect(0, "replaced:")
    return int(ran.out.split("first size")[1].split()[0])


def vkey(l):
    """The log key in force, as the client knows it."""
    return l.json("status")["log_key"]["vkey"]


def receipt(l, index, name):
    path = os.path.join(l.base, name)
    l.ctl("receipt", f"#{index}", "-o", path).expect(0)
    return path


def verify(l, *paths, policy=None):
    where = ["--policy", policy] if policy else ["--profile", l.profile]
    return run(program("ledgerctl"), *([*where, "verify"] if not policy else ["verify", *where]), *paths)


def copy_of(l, name):
    """Folder and anchor as they are, for a thief."""
    to = os.path.join(l.base, name)
    shutil.copytree(l.dir, to)
    shutil.copy(l.anchor, to + ".anchor")
    return to


class Served:
    """Another folder, served at the address that the clients know."""

    def __init__(self, l, folder):
        self.l, self.keep = l, (l.dir, l.anchor)
        self.folder = folder

    def __enter__(self):
        self.l.dir, self.l.anchor = self.folder, self.folder + ".anchor"
        self.l.start()
        return self

    def __exit__(self, *_):
        if self.l.daemon:
            self.l.stop()
        self.l.dir, self.l.anchor = self.keep


def evidence(l):
    pins = os.path.join(l.profile, "pins")
    return [open(os.path.join(pins, f), encoding="utf-8").read() for f in os.listdir(pins) if f.startswith("evidence-")]


# ---- rotating and following ----


def test_a_client_follows():
    with Ledger() as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        old_key, before = vkey(l), receipt(l, 4, "before.receipt")
        l.end()
        size = rotate(l) - 1
        l.start()
        first = l.ctl("status").expect(0, "has replaced its log key", f"from size {size + 1}")
        need(old_key not in first.out and "1 change followed" in first.out, f"{first}")
        again = l.ctl("status").expect(0, "1 change followed")
        need("has replaced" not in again.err, f"it was said twice: {again}")
        l.record("M-2").expect(0)
        after = receipt(l, l.size() - 2, "after.receipt")
        need(l.json("audit")["holds"], "the audit fails")
        l.end()
        l.tool("check").expect(0)
        # Offline: each under the key of its size, also by somebody who has only the policy of the first day.
        policy = os.path.join(l.profile, "policy")
        need(old_key in open(policy, encoding="utf-8").read(), "the policy was changed")
        verify(l, before, after).expect(0)
        verify(l, before, after, policy=policy).expect(0)
        l.tool("rebuild").expect(0)
        l.tool("check").expect(0)
        l.start()
        l.ctl("show", "M-2").expect(0)
        l.end()


def test_two_in_a_row_and_a_client_that_was_away():
    with Ledger() as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        keys = [vkey(l)]
        l.ctl("export-tiles", os.path.join(l.base, "tiles")).expect(0)
        away = os.path.join(l.base, "away")
        shutil.copytree(l.profile, away)
        l.end()
        first_anchor = open(l.anchor, "rb").read()
        sizes = [rotate(l), rotate(l)]
        need(sizes[1] == sizes[0] + 2, f"{sizes}")
        l.start()
        keys.append(vkey(l))
        l.end()
        sizes.append(rotate(l))
        l.start()
        l.record("M-2").expect(0)
        keys.append(vkey(l))
        need(len(set(keys)) == 3, f"{keys}")
        # The folder's own checkpoint is by the first key, the one that comes now by the last.
        l.ctl("export-tiles", os.path.join(l.base, "tiles")).expect(0)
        # Three changes at once, and from nothing: the policy of the first day still leads there.
        l.ctl("status", profile=away).expect(0, "3 changes followed")
        new = os.path.join(l.base, "new")
        shutil.copytree(away, new, ignore=lambda folder, names: ["pins"] if "pins" in names else [])
        l.ctl("status", profile=new).expect(0, "3 changes followed", f"size {sizes[2]}")
        l.end()
        need(sorted(os.listdir(os.path.join(l.dir, "log-keys"))) == sorted(str(s - 1) for s in sizes), "kept checkpoints")
        l.tool("check").expect(0)
        # An anchor from before all of them still anchors; one of a later size by an early key does not.
        newest = open(l.anchor, "rb").read()
        with open(l.anchor, "wb") as f:
            f.write(first_anchor)
        l.tool("check").expect(0)
        l.start()
        l.end()
        need(open(l.anchor, "rb").read() not in (first_anchor, newest), "the anchor was not written")


def test_a_key_that_signed_before_does_not_come_back():
    with Ledger() as l:
        l.start().end()
        keys = os.path.join(l.dir, "keys")
        first = key_files(l)["log.key"]
        for _ in range(3):
            rotate(l)
        before = files_below(l.dir)
        put(os.path.join(keys, "log.key.next"), first)
        l.tool("rotate-log-key").expect(1, "nothing was replaced", "signed for this ledger before", "log.key.next")
        os.unlink(os.path.join(keys, "log.key.next"))
        after = files_below(l.dir)
        need({n for n in after if before.get(n) != after[n]} <= {"data/lock.mdb"}, "something was replaced")
        rotate(l)
        l.start()
        need(l.json("status")["log_key"]["changes_followed"] == 4, "the client does not follow")
        l.end()


def test_a_policy_that_lists_the_new_key():
    with Ledger() as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        policy = os.path.join(l.profile, "policy")
        old_policy = open(policy, encoding="utf-8").read()
        prepared = l.tool("rotate-log-key", "--prepare").expect(0, "prepared")
        line = next(text.strip() for text in prepared.out.splitlines() if text.strip().startswith("log "))
        need(line in l.tool("rotate-log-key", "--prepare").expect(0).out, "prepared twice")
        l.record("M-2").expect(0)  # nothing has happened yet
        with open(policy, "w", encoding="utf-8") as f:
            f.write(line + "\n" + old_policy)
        l.ctl("status").expect(0)
        l.end()
        first = rotate(l)
        l.start()
        need(line == "log " + vkey(l), "another key than the prepared one")
        need(l.json("status")["log_key"]["from_size"] == first, "the client did not learn which sizes are whose")
        # The new key alone is enough from here on.
        fresh = os.path.join(l.base, "fresh")
        shutil.copytree(l.profile, fresh, ignore=lambda folder, names: ["pins"] if "pins" in names else [])
        with open(os.path.join(fresh, "policy"), "w", encoding="utf-8") as f:
            f.write(line + "\nquorum none\n")
        l.ctl("show", "M-2", profile=fresh).expect(0)
        l.end()


# ---- thieves ----


def stolen(l):
    """A ledger whose log key was replaced, with a client that has followed, and a thief's copy of the folder of before."""
    l.start().register_warehouse()
    l.record("M-1").expect(0)
    l.end()
    thief = copy_of(l, "thief")
    rotate(l)
    l.start()
    l.ctl("status").expect(0, "has replaced its log key")
    l.end()
    return thief


def lead_on(l, thief, naive, least):
    """The thief's ledger goes on under the old key, past a size, with somebody who knows nothing."""
    wary, l.profile = l.profile, naive
    with Served(l, thief):
        while l.size() <= least:
            l.record(*(f"T-{l.size()}-{i}" for i in range(4))).expect(0)
    l.profile = wary


def test_the_old_key_going_on_is_evidence():
    with Ledger() as l:
        l.start()
        naive = os.path.join(l.base, "naive")
        l.end()
        shutil.copytree(l.profile, naive)
        thief = stolen(l)
        l.start()
        size = l.size()
        l.end()
        lead_on(l, thief, naive, size + 10)
        with Served(l, thief):
            ran = l.ctl("status").expect(4, "was replaced", "evidence")
            need(ran.out == "", f"{ran}")
        found = evidence(l)
        need(len(found) == 1 and "was replaced and signs nothing from size" in found[0], f"{found}")
        need(found[0].count("\u2014 " + ledger.ORIGIN) == 2, f"two signed checkpoints were to be there: {found}")
        # What the thief signs is worth nothing offline either.
        l.profile, wary = naive, l.profile
        with Served(l, thief):
            forged = receipt(l, l.size() - 2, "forged.receipt")
        l.profile = wary
        verify(l, forged).expect(1, "was replaced")


def test_another_successor_is_evidence():
    """A thief replaces the stolen key on his own: the client has followed another change of the same key."""
    with Ledger() as l:
        l.start()
        naive = os.path.join(l.base, "naive")
        l.end()
        shutil.copytree(l.profile, naive)
        thief = stolen(l)
        l.start()
        size = l.size()
        l.end()
        wary, home = l.profile, (l.dir, l.anchor)
        l.dir, l.anchor = thief, thief + ".anchor"
        rotate(l)
        l.dir, l.anchor = home
        lead_on(l, thief, naive, size + 10)
        l.profile = wary
        with Served(l, thief):
            l.ctl("status").expect(4, "evidence")
        need(any("two successors" in text or "was replaced" in text for text in evidence(l)), f"{evidence(l)}")


def test_a_key_that_nobody_vouches_for():
    """Another ledger of the same name: its key is none that the policy leads to."""
    with Ledger() as l, Ledger() as other:
        l.start()
        l.ctl("status").expect(0)
        l.end()
        for rotations in 0, 1:
            other.start()
            ran = l.ctl("status", profile=plain_copy(l, other, f"mixed-{rotations}")).expect(3, "log key")
            need("Log key in force" not in ran.out, f"{ran}")
            other.end()
            if rotations == 0:
                rotate(other)


def plain_copy(l, other, name):
    """The other ledger's profile, to connect to it, with this ledger's policy."""
    to = os.path.join(l.base, name)
    shutil.copytree(other.profile, to, ignore=lambda folder, names: ["pins"] if "pins" in names else [])
    shutil.copy(os.path.join(l.profile, "policy"), os.path.join(to, "policy"))
    l.address = other.address
    return to


# ---- in the middle of it ----


def key_files(l):
    return {name: open(os.path.join(l.dir, "keys", name), encoding="ascii").read() for name in os.listdir(os.path.join(l.dir, "keys"))
            if name.startswith("log.key")}


def put(path, text, mode=0o600):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    os.chmod(path, mode)


def test_each_step_is_finished_by_the_next_start():
    with Ledger() as l:
        l.start().register_warehouse()
        l.end()
        keys, anchor = os.path.join(l.dir, "keys"), open(l.anchor, "rb").read()
        old = key_files(l)["log.key"]
        size = rotate(l) - 1
        new = key_files(l)
        need(list(new) == ["log.key"] and new["log.key"] != old, f"{list(new)}")
        kept = os.path.join(l.dir, "log-keys", str(size))
        note = open(kept, "rb").read()
        whole = copy_of(l, "whole")
        # Recorded, and nothing else; the checkpoint kept; the anchor written.
        for step in 0, 1, 2:
            for finisher in "start", "command":
                shutil.rmtree(l.dir)
                shutil.copytree(whole, l.dir)
                put(os.path.join(keys, "log.key"), old)
                put(os.path.join(keys, "log.key.next"), new["log.key"])
                if step == 0:
                    shutil.rmtree(os.path.join(l.dir, "log-keys"))
                with open(l.anchor, "wb") as f:
                    f.write(anchor if step < 2 else note)
                l.tool("check").expect(0)
                if finisher == "start":
                    l.start()
                    l.ctl("status").expect(0, "1 change followed")
                    l.end()
                else:
                    l.tool("rotate-log-key").expect(0, "replaced:")
                need(key_files(l) == new, f"step {step}: {list(key_files(l))}")
                need(open(kept, "rb").read() == note, f"step {step}: another note of the same checkpoint")
                l.tool("check").expect(0)
        # Without the new key there is no going on, and no other way out than to bring it back.
        shutil.rmtree(l.dir)
        shutil.copytree(whole, l.dir)
        put(os.path.join(keys, "log.key"), old)
        with open(l.anchor, "wb") as f:
            f.write(anchor)
        before = files_below(l.dir)
        l.refuses_to_run(1, "log.key.next")
        l.tool("rotate-log-key").expect(1, "log.key.next")
        after = files_below(l.dir)
        changed = [n for n in after if before.get(n) != after[n] and not n.startswith(("run", "data/lock"))]
        need(not changed, f"{changed}")


def test_kill_in_the_middle():
    """Killed at any moment, as often as it takes; each time the folder starts, on one side or the other, and the client goes along."""
    with Ledger() as l:
        l.start().register_warehouse()
        l.end()
        began = time.monotonic()
        rotate(l)
        took = time.monotonic() - began
        rotations, sides = 1, set()
        for n in range(KILLS):
            process = subprocess.Popen([program("ledgerd"), "rotate-log-key", l.dir], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            try:
                process.wait(random.uniform(0, took * 1.2))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            l.start()
            status = l.json("status")["log_key"]["changes_followed"]
            need(rotations <= status <= rotations + 1, f"kill {n}: {status} changes, {rotations} before")
            sides.add(status - rotations)
            rotations = status
            l.end()
        l.tool("check").expect(0)
        l.start().record("M-1").expect(0)
        l.end()
        need(0 in sides or 1 in sides, f"{sides}")


def test_what_is_kept_is_needed():
    with Ledger() as l:
        l.start().register_warehouse()
        l.end()
        size = rotate(l) - 1
        kept = os.path.join(l.dir, "log-keys", str(size))
        away = os.path.join(l.base, "kept")
        shutil.move(kept, away)
        l.tool("check").expect(1, "backup")
        l.refuses_to_run(4, str(size), "backup")
        shutil.move(away, kept)
        l.start()
        l.end()
        l.tool("check").expect(0)
        # Later on it is missed by those who follow.
        shutil.move(kept, away)
        l.start()
        l.ctl("status").expect(3, "log key")
        shutil.copy(away, kept)
        l.ctl("status").expect(0, "1 change followed")
        l.end()


def test_only_one_may_hold_the_folder():
    with Ledger() as l:
        l.start()
        before = key_files(l)
        l.tool("rotate-log-key").expect(1, "in use")
        need(key_files(l) == before, "keys were touched")
        l.end()
        os.unlink(l.anchor)
        l.tool("rotate-log-key").expect(1, "anchor")
        run(program("ledgerd"), "rotate-log-key").expect(2)


def test_a_backup_of_before_is_a_rollback():
    with Ledger() as l:
        l.start().register_warehouse()
        l.end()
        backup = copy_of(l, "backup")
        rotate(l)
        l.start().record("M-1").expect(0)
        l.end()
        shutil.rmtree(l.dir)
        shutil.copytree(backup, l.dir)
        l.refuses_to_run(4, "rolled back")
        l.tool("rotate-log-key").expect(4, "rolled back")


# ---- witnesses ----


def new_line(l):
    """The log line of the prepared key."""
    out = l.tool("rotate-log-key", "--prepare").expect(0, "prepared").out
    return next(text.strip() for text in out.splitlines() if text.strip().startswith("log ")) + "\n"


def test_a_quorum_leads_from_key_to_key():
    """Clients that demand a quorum follow, because the old key's last checkpoint was cosigned; without, they do not."""
    with Witness("w1") as w1, Witness("w2") as w2, Witnessed([w1, w2], "group g all w1 w2\nquorum g\n") as l:
        l.demand()
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        before = receipt(l, 4, "before.receipt")
        l.end()
        # The ledger's own policy has to know the new key first.
        line = new_line(l)
        size = os.path.getsize(os.path.join(l.dir, "keys", "log.key"))
        l.tool("rotate-log-key").expect(1, "nothing was replaced", line.strip())
        l.put("witnesses", line + l.policy_text)
        first = rotate(l)
        need(os.path.getsize(os.path.join(l.dir, "keys", "log.key")) == size and len(key_files(l)) == 1, "keys")
        l.tool("check").expect(0)
        l.start()
        eventually("the ledger goes on", lambda: l.size() > first)
        kept = open(os.path.join(l.dir, "log-keys", str(first - 1)), encoding="utf-8").read()
        need(sorted(lines_of(kept))[1:] == ["witness.example/w1", "witness.example/w2"], kept)
        l.ctl("status").expect(0, "1 change followed")
        l.ctl("show", "M-1").expect(0)
        l.record("M-2").expect(0)
        after = receipt(l, 4, "after.receipt")
        verify(l, before, after, policy=os.path.join(l.profile, "policy")).expect(0)
        # Whose policy has a witness that did not see the change cannot follow.
        with Witness("w3") as other:
            stranger = os.path.join(l.base, "stranger")
            shutil.copytree(l.profile, stranger, ignore=lambda folder, names: ["pins"] if "pins" in names else [])
            with open(os.path.join(stranger, "policy"), "w", encoding="ascii") as f:
                f.write(l.log_line + other.policy_line() + "quorum w3\n")
            l.ctl("status", profile=stranger).expect(3, "not proven under the policy", "log")
            need(not os.path.exists(os.path.join(stranger, "pins")), "it kept something")
        l.end()
        l.tool("check").expect(0)


def test_nothing_goes_on_before_the_quorum():
    """The witness is away when the key was replaced: the ledger serves and records nothing; killed and started again, it is the same."""
    with Witness("w1") as w1, Witnessed([w1], "quorum w1\n") as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        l.end()
        l.put("witnesses", new_line(l) + l.policy_text)
        first = rotate(l)
        w1.fault = answers(503)
        for restart in False, True:
            l.start()
            status = l.json("status")
            need(status["checkpoint"]["size"] == first - 1 and status["server"]["entries"] == first - 1, f"{status}")
            need(status["server"]["writable"] != 1, f"{status}")
            l.ctl("show", "M-1").expect(0)
            if restart:
                break
            l.stop(signal.SIGKILL)
        w1.fault = None
        eventually("the ledger goes on", lambda: l.size() > first)
        l.record("M-2").expect(0)
        l.demand()
        l.ctl("show", "M-2").expect(0)
        need(l.json("status")["log_key"]["changes_followed"] == 1, "the client has not followed")
        l.end()
        need("the witnesses have cosigned the old log key's last checkpoint" in l.logged(), "it did not say so")
        need("witness.example/w1" in open(os.path.join(l.dir, "log-keys", str(first - 1)), encoding="utf-8").read(), "no cosignature was kept")
        l.tool("check").expect(0)


def test_stopped_while_it_waits():
    """What was submitted meanwhile is answered, and nothing of it recorded."""
    with Witness("w1") as w1, Witnessed([w1], "quorum w1\n") as l:
        l.start().register_warehouse()
        l.end()
        l.put("witnesses", new_line(l) + l.policy_text)
        first = rotate(l)
        w1.fault = answers(503)
        l.start()
        out = os.path.join(l.base, "waiting.out")
        path = l.write_lines("m1.jsonl", [ledger.material("M-1")])
        waiting = l.ctl_start("record", "-f", path, "--keys", l.keys, "--json", out=out)
        eventually("it was submitted", lambda: l.json("status")["server"]["errors"] > 0)
        l.end()
        w1.fault = None
        l.start()
        eventually("the client is done", lambda: waiting.poll() is not None)
        need(waiting.returncode == 0, open(out + ".err", encoding="utf-8").read())
        need(l.size() > first, "nothing went on")
        l.end()
        l.tool("check").expect(0)


def test_an_auditing_witness_sees_the_change():
    """It cosigns only what it has read and derived: so the ledger serves while it waits."""
    with Witnessed([], "quorum none\n") as l:
        l.configure("policy = witnesses\n", "# policy = witnesses\n")  # to have an address
        l.start().register_warehouse()
        l.end()
        l.configure("# policy = witnesses\n", "policy = witnesses\n")
        profile = os.path.join(l.base, "auditor")
        shutil.copytree(l.profile, profile)
        conf = os.path.join(profile, "profile.conf")
        with open(conf, encoding="utf-8") as f:
            lines = [f"address = {l.address}\n" if line.startswith("address") else line for line in f]
        with open(conf, "w", encoding="utf-8") as f:
            f.writelines(lines)
        line = new_line(l)
        with Program(l, "w1", "--audit", profile) as w1:
            add_log(w1, line)
            l.put("witnesses", line + l.log_line + w1.policy_line() + "quorum w1\n")
            l.start()
            eventually("the auditor cosigns", l.witnessed_all)
            l.end()
            first = rotate(l)
            l.start()
            eventually("the ledger goes on", lambda: l.size() > first)
            eventually("the auditor cosigns under the new key", l.witnessed_all)
            need(l.json("status")["log_key"]["from_size"] == first, "the client has not followed")
            l.end()
        l.tool("check").expect(0)


def add_log(witness, line):
    """A further log key for a witness, which reads its policy when it starts."""
    path = os.path.join(witness.folder, "policy")
    with open(path, encoding="ascii") as f:
        known = f.read()
    with open(path, "w", encoding="ascii") as f:
        f.write(line + known)
    witness.__exit__()
    os.unlink(os.path.join(witness.folder, "address"))
    witness.start()


def test_an_honest_witness_knows_both_keys():
    """`ledgerctl witness run`: refuses the new key until its policy has it, then cosigns on."""
    with Witnessed([], "quorum none\n") as l, Program(l, "w1") as w1:
        text = l.log_line + w1.policy_line() + "quorum w1\n"
        l.put("witnesses", text)
        l.start().register_warehouse()
        eventually("the witness cosigns", l.witnessed_all)
        l.end()
        line = new_line(l)
        l.put("witnesses", line + text)
        rotate(l)
        l.start()
        eventually("the ledger goes on", lambda: "1 change followed" in l.ctl("status").expect(0).out)
        eventually("the witness does not know the new key", lambda: "it does not know this log's key" in l.logged())
        add_log(w1, line)
        l.end()
        l.put("witnesses", line + l.log_line + w1.policy_line() + "quorum w1\n")
        l.start()
        eventually("the witness cosigns under the new key", l.witnessed_all)
        l.end()


# ---- parties ----


def test_party_keys():
    with Ledger() as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        first = receipt(l, 6, "first.receipt")
        old, new = os.path.join(l.keys, "wh.key"), os.path.join(l.base, "wh2.key")
        l.ctl("key", "new", "u.wh", "-o", new).expect(0)
        l.ctl("party", "rotate", "u.wh", "--key", new).expect(0)
        l.record("M-2").expect(1, "E_SIG_INVALID")
        shutil.move(old, os.path.join(l.base, "old.key"))
        shutil.copy(new, old)
        l.record("M-3").expect(0)
        second = receipt(l, l.size() - 2, "second.receipt")
        l.ctl("party", "revoke", "u.wh").expect(0)
        l.record("M-4").expect(1, "E_UNKNOWN_PARTY")
        # The past stays what it was, whoever signed it.
        verify(l, first, second).expect(0)
        l.ctl("receipt", "#6", "-o", first, "--force").expect(0)
        verify(l, first).expect(0)
        l.ctl("show", "M-1").expect(0)
        need(l.json("audit")["holds"], "the audit fails")
        l.end()
        l.tool("check").expect(0)


# ---- clocks ----


def test_verification_asks_no_clock():
    """The same receipts, the same words, in thirty years and thirty years ago; also `ledgerd check`."""
    if not shutil.which("faketime"):
        raise Skip("there is no faketime")
    with open(os.path.join(ledger.BUILD, "flags"), encoding="utf-8") as f:
        if "-fsanitize" in f.read():
            raise Skip("a sanitizer wants to be loaded before faketime")
    with Ledger() as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        before = receipt(l, 6, "before.receipt")
        l.end()
        rotate(l)
        l.start()
        after = receipt(l, 6, "after.receipt")
        bad = os.path.join(l.base, "bad.receipt")
        data = bytearray(open(before, "rb").read())
        data[len(data) // 2] ^= 1
        with open(bad, "wb") as f:
            f.write(data)
        l.end()
        commands = [[program("ledgerctl"), "--profile", l.profile, "verify", "--json", before, after],
                    [program("ledgerctl"), "--profile", l.profile, "verify", "--json", bad],
                    [program("ledgerd"), "check", l.dir]]
        for command in commands:
            now = run(*command)
            for when in "2056-01-01", "1996-01-01":
                then = run("faketime", when, *command)
                need((then.status, then.out) == (now.status, now.out), f"in {when}: {then}\nnow: {now}")
        verify(l, before, after).expect(0)
        verify(l, bad).expect(1)


if __name__ == "__main__":
    sys.exit(cases.main(globals(), sys.argv))
