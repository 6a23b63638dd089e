#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backups, restoring, refilling, successors, and two daemons with one key. The last line is "N passed, N failed, N skipped".

    backup.py BUILD [TEST…]
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "system"), HERE]
import cases  # noqa: E402
import disk  # noqa: E402
import ledger  # noqa: E402
from cases import many, tallied  # noqa: E402
from disk import Shim, start  # noqa: E402
from cosigner import Witness, answers, hangs_up  # noqa: E402
from ledger import Ledger, acknowledged, eventually, files_below, material, need, program, run  # noqa: E402
from witnessed import Witnessed  # noqa: E402




def backup_of(l, name="backup"):
    return os.path.join(l.base, name)


def backup(l, *arguments, name="backup"):
    return json.loads(l.tool("backup", backup_of(l, name), "--json", *arguments).expect(0).out)


def restore(l, to="restored", *arguments, source=None, keys=True):
    return run(program("ledgerd"), "restore", source or backup_of(l), os.path.join(l.base, to), *(["--keys", l.dir] if keys else []), *arguments)


def manifest(l, name="backup"):
    with open(os.path.join(backup_of(l, name), "manifest"), encoding="utf-8") as f:
        return f.read()


def parts(l, name="backup"):
    return [line.split() for line in manifest(l, name).splitlines() if line.startswith("part ")]


def everything_in(folder):
    return b"".join(content for _, content in files_below(folder).values() if content)


def check(l, to="restored"):
    return run(program("ledgerd"), "check", os.path.join(l.base, to)).expect(0, "verifies")


def keep_profile(l):
    """The clients' profile is in no backup."""
    kept = os.path.join(l.base, "profile")
    shutil.copytree(l.profile, kept)
    l.profile = kept


def take_over(l, to="restored"):
    """The restored folder in the place of the lost one."""
    shutil.rmtree(l.dir, ignore_errors=True)
    os.rename(os.path.join(l.base, to), l.dir)
    os.rename(os.path.join(l.base, to + ".anchor"), l.anchor)


def heads(l):
    return {index: (entry["kind"], entry.get("event_id")) for index, entry in l.log_entries().items()}


# ---- backups ----


@tallied("backup-beside-load", "lost")
def test_hot_and_incremental(done):
    """Backups are taken one after the other while clients record; the last one is restored and goes on."""
    with Ledger() as l:
        l.start().register_warehouse()
        path = l.write_lines("many.jsonl", [material(f"L-{i}", id=f"many {i}", signers=[{"party": "u.wh", "meaning": f"authorship {i % 2}"}])
                                            for i in range(many(300, 6000))])
        load = l.ctl_start("record", "-f", path, "--keys", l.keys, "--json", out=os.path.join(l.base, "load"))
        sizes = []
        while load.poll() is None or done["backups"] < 2:
            made = backup(l)
            need(not sizes or made["went_on_at"] == sizes[-1], f"{made} after {sizes}")
            need(made["entries_new"] == made["size"] - made["went_on_at"], f"{made}")
            sizes.append(made["size"])
            done["backups"] += 1
        need(load.wait() == 0 and len(acknowledged(open(os.path.join(l.base, "load")).read())) == many(300, 6000), "the load was disturbed")
        last = backup(l, "--verify-all")
        need(last["size"] == l.size() and last["verified"] == "all" and not last["keys"], f"{last}")
        again = backup(l)
        need(again["entries_new"] == 0 and again["bytes_written"] == 0 and again["went_on_at"] == last["size"], f"nothing is new: {again}")
        seen = heads(l)
        l.end()
        os.unlink(l.anchor)
        restore(l).expect(0, "restored")
        check(l)
        shutil.rmtree(l.dir + "/run", ignore_errors=True)
        keep_profile(l)
        take_over(l)
        l.start()  # the clean end had written a seal that nobody saw but the anchor, which went with the disk
        now = heads(l)
        need(all(now[index] == entry for index, entry in seen.items()), "other entries than before")
        l.record("AFTER").expect(0)
        l.end()


def test_a_long_history_is_several_parts():
    """More than fits into one file: each is whole by itself, the next backup leaves the full ones alone, and none can be missing."""
    with Ledger() as l:
        l.start().register_warehouse()
        lines = [material(f"W-{i}") for i in range(6000)]
        for i, line in enumerate(lines):
            line["fields"].update({name: f"{name} of {i} ".ljust(1000, ".") for name in ("lot", "supplier", "coa_hash")})
        l.ctl("record", "-f", l.write_lines("wide.jsonl", lines), "--keys", l.keys, "--json", timeout=10 * ledger.WAIT_S).expect(0)
        made = backup(l, "--verify-all")
        first = parts(l)
        need(made["parts"] == len(first) == 2 and made["bytes_written"] > 16 << 20, f"{made} {first}")
        (begin, n), (then, rest) = [(int(part[1]), int(part[2])) for part in first]
        need(begin == 0 and then == n and then + rest == made["size"], f"the parts do not follow one another: {first}")
        l.record("M-1").expect(0)
        need(backup(l, "--verify-all")["went_on_at"] == made["size"], "it began anew")
        need(parts(l)[:2] == first, f"{first} became {parts(l)}")
        seen = heads(l)
        l.end()
        os.unlink(l.anchor)
        for part in parts(l):
            name = os.path.join(backup_of(l), "parts", part[4])
            flip(name, os.path.getsize(name) // 2)
            restore(l).expect(1, "damaged")
            flip(name, os.path.getsize(name) // 2)
            os.rename(name, name + "-away")
            restore(l).expect(1)
            os.rename(name + "-away", name)
        need(not os.path.exists(os.path.join(l.base, "restored")), "something was made")
        restore(l).expect(0, "restored")
        check(l)
        keep_profile(l)
        take_over(l)
        l.start()
        need(heads(l).items() >= seen.items(), "other entries than before")
        l.end()


def test_secret_keys_are_not_in_it_unless_asked_for():
    with Ledger() as l:
        l.start()
        secrets = [open(os.path.join(l.dir, name), "rb").read() for name in ("keys/log.key", "pki/ca.key", "pki/server.key", "profile/keys/admin.key")]
        bodies = [secret.split(b"\n")[-2] for secret in secrets[:1] + secrets[3:]] + [secret.split(b"\n")[1] for secret in secrets[1:3]]
        backup(l)
        found = everything_in(backup_of(l))
        need(not any(body in found for body in bodies), "a secret key is in the backup")
        restore(l, keys=False).expect(1, "log.key", "--keys")
        need(not os.path.exists(os.path.join(l.base, "restored")) and not [n for n in os.listdir(l.base) if ".tmp-" in n], "something was left")
        need(backup(l, "--with-keys", name="full")["keys"], "with keys")
        found = everything_in(backup_of(l, "full"))
        need(bodies[0] in found and bodies[1] not in found and bodies[2] in found and bodies[3] in found, "the keys of the server, not the administrator's")
        modes = {mode & 0o777 for mode, _ in files_below(backup_of(l, "full")).values()}
        need(modes <= {0o600, 0o700}, f"modes {modes}")
        l.end()
        os.unlink(l.anchor)
        restore(l, source=backup_of(l, "full"), keys=False).expect(0)
        check(l)


def qa(l):
    key = os.path.join(l.keys, "qa.key")
    l.ctl("key", "new", "u.qa", "-o", key).expect(0)
    l.ctl("party", "register", "u.qa", "--roles", "QA", "--org", "ORG", "--key", key).expect(0)
    return ["--sign", os.path.join(l.profile, "keys", "admin.key"), "--sign", key]


def test_what_was_erased_is_erased_in_the_backup():
    with Ledger() as l:
        l.start().register_warehouse()
        signed = qa(l)
        l.record("M-1", "SECRET-WORD", "M-2").expect(0)
        number = next(i for i, e in l.log_entries().items() if e.get("event_id") and "SECRET-WORD" in json.dumps(e))
        backup(l)
        l.record("M-3").expect(0)
        backup(l)
        need(b"supplier of SECRET-WORD" in everything_in(backup_of(l)), "the content is in the backup")
        l.ctl("erase", f"#{number}", "--reason", "asked for", *signed).expect(0)
        done = backup(l)
        need(done["erased"] == 1, f"{done}")
        need(b"supplier of SECRET-WORD" not in everything_in(backup_of(l)), "the content is still in the backup")
        need(len(parts(l)) == 3 and backup(l, "--verify-all")["erased"] == 0, manifest(l))
        l.end()
        os.unlink(l.anchor)
        restore(l).expect(0, "erased")
        check(l)
        need(b"supplier of SECRET-WORD" not in everything_in(os.path.join(l.base, "restored")), "the content is in the restored folder")


def test_erased_after_the_backup_filled_by_an_export():
    """The content goes through the new folder, in a chunk before the one with the act that erases it, and does not stay."""
    with Ledger() as l:
        l.start().register_warehouse()
        signed = qa(l)
        l.record("SECRET-WORD", *[f"M-{i}" for i in range(5000)]).expect(0)
        number = next(i for i, e in l.log_entries().items() if e.get("event_id") and "SECRET-WORD" in json.dumps(e))
        size = backup(l)["size"]
        l.ctl("erase", f"#{number}", "--reason", "asked for", *signed).expect(0)
        export = os.path.join(l.base, "export")
        l.ctl("export-entries", export, "--from", str(size)).expect(0)
        l.daemon.kill()
        l.daemon.wait()
        l.daemon = None
        os.unlink(l.anchor)
        restore(l, "restored", "--refill", export).expect(0, "erased")
        check(l)
        need(b"supplier of SECRET-WORD" not in everything_in(os.path.join(l.base, "restored")), "the content is in the restored folder")


@tallied("backup-beside-a-late-sync", "forked")
def test_only_what_is_durable_is_signed(done):
    """What is written into the journal and not synced may never have been: no backup has it, until it is recorded."""
    with Ledger() as l:
        shim = Shim(l)
        need(start(l, shim), l.logged())
        l.register_warehouse().record("M-1").expect(0)
        path, out, before = l.write_lines("late.jsonl", [material("M-2")]), os.path.join(l.base, "late"), l.size()
        shim.arm(disk.DELAY, kinds=(disk.SYNC,), arg=8000000, where="journal/")
        late = l.ctl_start("record", "-f", path, "--keys", l.keys, "--json", out=out)
        eventually("the sync is late", shim.hit)
        size = backup(l)["size"]
        need(not os.path.getsize(out), "it was acknowledged before its sync had ended")
        need(size <= before, f"the backup has {size} entries, {before} were durable")
        need(late.wait(ledger.WAIT_S) == 0, l.logged()[-500:])
        shim.disarm()
        size = backup(l, "--verify-all")["size"]
        need(size == l.size(), f"the next backup has {size} entries of {l.size()}")
        l.end()
        done["backups"] += 2


@tallied("backup-beside-erasures", "lost")
def test_erasures_while_backups_run(done):
    """A compaction puts another file in the place of the one that a backup reads; neither disturbs the other."""
    with Ledger() as l:
        l.start().register_warehouse()
        signed, n = qa(l), many(5, 40)
        l.record(*[f"SECRET-{i:04d}" for i in range(n)], *[f"M-{i}" for i in range(100)]).expect(0)
        numbers = [i for i, e in l.log_entries().items() if e.get("event_id") and "SECRET-" in json.dumps(e)]
        need(len(numbers) == n, f"{numbers}")
        out, ended = [], threading.Event()

        def again_and_again():
            while not ended.is_set():
                out.append(l.tool("backup", backup_of(l), "--quiet"))

        thread = threading.Thread(target=again_and_again)
        thread.start()
        try:
            for number in numbers:
                l.ctl("erase", f"#{number}", "--reason", "asked for", *signed).expect(0)
        finally:
            ended.set()
            thread.join()
        done.update(backups=len(out), erasures=n)
        need(all(ran.status == 0 for ran in out), f"{[str(ran) for ran in out if ran.status]}")
        need(l.json("status")["server"]["erasure_pending"] == 0, "an erasure is still due")
        backup(l, "--verify-all")
        need(b"supplier of SECRET-" not in everything_in(backup_of(l)), "content is in the backup")
        l.end()
        os.unlink(l.anchor)
        restore(l).expect(0, "erased")
        check(l)


def test_another_configuration():
    with Ledger() as l:
        backup(l)
        other = os.path.join(l.base, "other.conf")
        with open(os.path.join(l.dir, "ledgerd.conf"), encoding="utf-8") as f, open(other, "w", encoding="utf-8") as g:
            g.write(f.read().replace("#anchor = DIR.anchor", f"anchor = {l.base}/elsewhere"))
        restore(l, "restored", "--config", other).expect(0, "elsewhere")
        need(os.path.exists(os.path.join(l.base, "elsewhere")), "the anchor is not where it says")
        restore(l, "restored2", "--config", backup_of(l) + "/manifest").expect(1)


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))


def test_damage_is_found_and_nothing_is_made_of_it():
    with Ledger() as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        backup(l)
        l.end()
        os.unlink(l.anchor)
        name = os.path.join(backup_of(l), "parts", parts(l)[0][4])
        size = os.path.getsize(name)
        for at in (0, 20, size // 3, size // 2, size - 1):
            flip(name, at)
            restore(l).expect(1, "damaged")
            l.tool("backup", backup_of(l), "--verify-all").expect(1, "damaged")
            flip(name, at)
        text = manifest(l)
        for old, new in (("origin ", "origin x"), ("peak ", "peek "), (parts(l)[0][4][:8], "00000000"), ("log-key 0", "log-key 1")):
            with open(os.path.join(backup_of(l), "manifest"), "w", encoding="utf-8") as f:
                f.write(text.replace(old, new, 1))
            need(restore(l).status == 1, f"restored with {old} as {new}")
        with open(os.path.join(backup_of(l), "manifest"), "w", encoding="utf-8") as f:
            f.write(text)
        need(not os.path.exists(os.path.join(l.base, "restored")), "something was made")
        restore(l).expect(0)


@tallied("backup-killed", "lost")
def test_an_interrupted_run_leaves_the_former_backup(done):
    with Ledger() as l:
        l.start().register_warehouse()
        l.record("M-0").expect(0)
        backup(l)
        for i in range(many(6, 200)):
            l.record(*[f"I-{i}-{k}" for k in range(20)]).expect(0)
            process = subprocess.Popen([program("ledgerd"), "backup", l.dir, backup_of(l), "--quiet"], stderr=subprocess.DEVNULL)
            time.sleep(0.004 * (i % 12))  # not to wait for anything: to hit different moments
            process.kill()
            process.wait()
            done["kills"] += 1
        junk = os.path.join(backup_of(l), "parts", "0" * 64)
        with open(junk, "w", encoding="ascii") as f:
            f.write("what a crash may leave")
        last = backup(l, "--verify-all")
        need(last["size"] == l.size() and not os.path.exists(junk), f"{last}")
        need(len(os.listdir(os.path.join(backup_of(l), "parts"))) == last["parts"] + last["files"], "parts that nobody names")


def test_targets_of_something_else_are_left_alone():
    with Ledger() as one, Ledger(origin="other.example/ledger") as two:
        one.start()
        two.start()
        backup(one)
        before = everything_in(backup_of(one))
        two.tool("backup", backup_of(one)).expect(1, "another ledger")
        full = os.path.join(one.base, "full")
        os.mkdir(full)
        with open(os.path.join(full, "mine"), "w", encoding="ascii") as f:
            f.write("mine")
        one.tool("backup", full).expect(1, "nothing was touched")
        need(os.listdir(full) == ["mine"] and everything_in(backup_of(one)) == before, "something was touched")
        run(program("ledgerd"), "backup", full, os.path.join(one.base, "new")).expect(1, "no data folder")
        need(not os.path.exists(os.path.join(one.base, "new")), "a target was made")
        run(program("ledgerd"), "backup", one.dir).expect(2)
        restore(one, "full").expect(1, "nothing was touched")
        one.end()
        two.end()


def test_a_source_that_was_rolled_back_is_noticed():
    with Ledger() as l:
        l.start().register_warehouse().end()
        kept = os.path.join(l.base, "kept")
        shutil.copytree(l.dir, kept)
        l.start()
        l.record("M-1").expect(0)
        l.end()
        backup(l)
        before = everything_in(backup_of(l))
        run(program("ledgerd"), "backup", kept, backup_of(l)).expect(4, "rolled back")
        # The same folder, gone on with in another way: as many entries.
        shutil.copy(l.anchor, os.path.join(l.base, "later.anchor"))
        for name in (l.dir, l.anchor):
            os.rename(name, name + ".first")
        shutil.copytree(kept, l.dir)
        with open(os.path.join(l.base, "old.anchor"), "w", encoding="utf-8") as f:
            f.write(manifest(l).split("\n\n", 1)[1])
        run(program("ledgerd"), "backup", kept, backup_of(l, "old"), "--quiet").expect(0)
        with open(l.anchor, "w", encoding="utf-8") as f:
            f.write(manifest(l, "old").split("\n\n", 1)[1])
        shutil.rmtree(os.path.join(l.profile, "pins"))
        l.start()
        for i in range(3):
            l.record(f"N-{i}").expect(0)
        l.tool("backup", backup_of(l)).expect(4, "another history")
        need(everything_in(backup_of(l)) == before, "the backup was touched")


def test_newer_and_older_formats_are_refused_unharmed():
    with Ledger() as l:
        backup(l)
        restore(l, "spare").expect(0)
        path = os.path.join(l.dir, "FORMAT")
        now = open(path, encoding="ascii").read()
        with open(path, "w", encoding="ascii") as f:
            f.write("ledgerd data 9\n")
        before = files_below(l.base)
        for command in (["backup", l.dir, backup_of(l)], ["backup", l.dir, backup_of(l, "new")], ["rotate-log-key", l.dir], ["check", l.dir],
                        ["rebuild", l.dir], ["run", l.dir, "--listen", "127.0.0.1:0"]):
            run(program("ledgerd"), *command).expect(3, "format 9", "nothing was touched")
        need(files_below(l.base) == before, "something was touched")
        with open(path, "w", encoding="ascii") as f:
            f.write(now)
        text = manifest(l).replace("ledgerd backup 1", "ledgerd backup 2", 1)
        with open(os.path.join(backup_of(l), "manifest"), "w", encoding="utf-8") as f:
            f.write(text)
        before = files_below(l.base)
        for ran in (l.tool("backup", backup_of(l)), restore(l)):
            ran.expect(3, "format 2", "nothing was touched")
        after = files_below(l.base)
        changed = [n for n in before.keys() | after.keys() if before.get(n) != after.get(n)]
        need(set(changed) <= {"ledger/data/lock.mdb"}, f"touched: {changed}")  # that there were readers
        l.become("data-3")
        l.tool("backup", backup_of(l, "old")).expect(1, "earlier format", "rebuild")
        l.tool("rebuild").expect(0)
        backup(l, name="old")
        restore(l, source=backup_of(l, "old")).expect(0)
        check(l)


def test_a_log_key_that_was_replaced():
    with Ledger() as l:
        l.start().register_warehouse().end()
        backup(l)
        l.tool("rotate-log-key").expect(0)
        backup(l)  # the last checkpoint of the old key: its kept note
        need(manifest(l).count("\nlog-key ") == 2, manifest(l))
        l.start()
        l.record("M-1").expect(0)
        l.end()
        backup(l, "--verify-all")
        os.unlink(l.anchor)
        restore(l).expect(0)
        check(l)


# ---- restoring ----


def test_a_shorter_history_is_refused_and_can_be_filled_up():
    with Ledger() as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        size = backup(l)["size"]
        export, receipts = os.path.join(l.base, "export"), os.path.join(l.base, "receipts")
        l.record("M-2").expect(0)
        l.ctl("export-entries", export, "--from", str(size)).expect(0)
        l.record("M-3").expect(0)
        done = l.json("export-entries", export)
        need(done["first"] == size and done["went_on_at"] == size + 2 and done["size"] == size + 4, f"{done}")
        l.record("M-4").expect(0)
        newest = l.size()
        os.mkdir(receipts)
        for index in range(done["size"], newest):
            l.ctl("receipt", f"#{index}", "-o", os.path.join(receipts, str(index))).expect(0)
        pin = os.path.join(l.base, "pin")
        with open(pin, "w", encoding="utf-8") as f:
            f.write(l.ctl("checkpoint").expect(0).out)
        entries = heads(l)
        l.daemon.kill()
        l.daemon.wait()
        l.daemon = None
        anchor = l.anchor + ".moved"
        os.rename(l.anchor, anchor)
        last = os.path.join(receipts, str(newest - 1))
        for known in (["--known", pin], ["--known", last], ["--anchor", pin]):
            restore(l, "restored", *known).expect(1, f"entries {size} to {newest - 1} are missing", "refill")
        told = restore(l, "restored", "--known", pin, "--refill", export, "--json").expect(1)
        need(json.loads(told.out)["missing"] == [{"first": size + 4, "last": newest - 1}], f"{told}")
        told = restore(l, "restored", "--known", pin, "--refill", receipts, "--json").expect(1)
        need(json.loads(told.out)["missing"] == [{"first": size, "last": size + 3}], f"{told}")
        need(not os.path.exists(os.path.join(l.base, "restored")), "something was made")
        told = restore(l, "restored", "--known", pin, "--refill", export, "--refill", receipts, "--json").expect(0)
        need(json.loads(told.out)["size"] == newest and json.loads(told.out)["refilled"] == newest - size, f"{told}")
        check(l)
        keep_profile(l)
        take_over(l)
        l.start()
        now = heads(l)
        need(all(now[index] == entry for index, entry in entries.items()), "other entries than before")
        l.record("M-5").expect(0)  # clients, who have pins, go on
        l.end()


def test_the_anchor_that_is_there_counts():
    with Ledger() as l:
        l.start().register_warehouse()
        backup(l)
        l.record("M-1").expect(0)
        l.end()
        shutil.rmtree(l.dir + ".gone", ignore_errors=True)
        os.rename(l.dir, l.dir + ".gone")
        ran = run(program("ledgerd"), "restore", backup_of(l), l.dir, "--keys", l.dir + ".gone").expect(1, "missing", l.anchor)
        need(not os.path.exists(l.dir), f"{ran}")


def test_another_history_is_evidence():
    """A checkpoint of this very ledger, signed with its key, that the backup's entries do not make."""
    with Ledger() as l:
        l.start().register_warehouse().end()
        kept = os.path.join(l.base, "kept")
        shutil.copytree(l.dir, kept)
        shutil.copy(l.anchor, kept + ".anchor")
        l.start()
        l.record("M-1").expect(0)
        l.end()
        backup(l)
        other = os.path.join(l.base, "other")
        shutil.copy(l.anchor, other)
        shutil.rmtree(l.dir)
        shutil.copytree(kept, l.dir)
        shutil.copy(kept + ".anchor", l.anchor)
        shutil.rmtree(os.path.join(l.profile, "pins"))
        l.start()
        l.record("N-1").expect(0)
        l.end()
        shutil.copy(l.anchor, other)
        os.unlink(l.anchor)
        restore(l, "restored", "--known", other).expect(4, "another tree")
        restore(l, "restored", "--known", os.path.join(l.dir, "ledgerd.conf")).expect(1)
        restore(l, "restored", "--known", os.path.join(l.base, "nothing")).expect(1, "nothing")
        restore(l).expect(0)


def test_an_export_notices_another_history():
    with Ledger() as l:
        l.start().register_warehouse().end()
        kept = copy_both(l)
        l.start()
        l.record("M-1").expect(0)
        export, short = os.path.join(l.base, "export"), os.path.join(l.base, "short")
        l.ctl("export-entries", export).expect(0)
        l.end()
        shutil.rmtree(l.dir)
        shutil.copytree(kept, l.dir)
        shutil.copy(kept + ".anchor", l.anchor)
        shutil.rmtree(os.path.join(l.profile, "pins"))
        shutil.copytree(export, short)
        l.start()  # with fewer entries than the export has
        l.ctl("export-entries", short).expect(4)
        for i in range(3):
            l.record(f"N-{i}").expect(0)
        shutil.rmtree(os.path.join(l.profile, "pins"))
        l.ctl("export-entries", export).expect(4)  # as many, and more, and others
        need(everything_in(export) == everything_in(short), "the export was touched")
        l.ctl("export-entries", l.profile).expect(1, "left alone")
        l.end()


def test_a_source_that_does_not_fit_is_named():
    with Ledger() as l, Ledger() as other:
        for each in (l, other):
            each.start().register_warehouse()
            each.record("M-1").expect(0)
        backup(l)
        size = l.size()
        l.record("M-2").expect(0)
        other.record("M-2").expect(0)
        pin = os.path.join(l.base, "pin")
        with open(pin, "w", encoding="utf-8") as f:
            f.write(l.ctl("checkpoint").expect(0).out)
        export = os.path.join(l.base, "foreign")
        other.ctl("export-entries", export, "--from", str(size)).expect(0)
        l.end()
        other.end()
        os.unlink(l.anchor)
        ran = restore(l, "restored", "--known", pin, "--refill", export)
        need(ran.status == 1 and export in ran.err, f"{ran}")
        restore(l, "restored", "--refill", os.path.join(l.base, "keys")).expect(1, "neither")
        restore(l, "restored", source=export).expect(1, "--refill")


def test_a_witness_that_has_seen_more_is_asked():
    with Witness("w1") as w, Witnessed([w], "quorum w1\n") as l:
        l.start().register_warehouse()
        backup(l)
        l.record("M-1").expect(0)
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        l.end()
        os.unlink(l.anchor)
        w.fault = hangs_up()  # nobody knows what it has seen
        ran = restore(l).expect(1, "w1", "may have seen more", "nothing was restored", "--config")
        need(not os.path.exists(os.path.join(l.base, "restored")), f"{ran}")
        w.fault = None
        restore(l).expect(4, "w1", "cosigned")
        need(not os.path.exists(os.path.join(l.base, "restored")), "something was made")
        backup(l)
        restore(l).expect(0, "witnesses")


def test_withheld_content_is_not_exported():
    with Ledger() as l:
        l.start().register_warehouse()
        l.record("M-1").expect(0)
        reader = os.path.join(l.base, "reader")
        l.tool("cert", "--help")
        run(program("ledgerd"), "cert", "issue", l.dir, "--name", "urn:ledgerd:client:reader", "--out", reader, "--read", "none",
            "--no-submit").expect(0)
        l.ctl("export-entries", os.path.join(l.base, "export"), profile=reader).expect(1, "withheld")
        need(not os.path.exists(os.path.join(l.base, "export", "manifest")), "a manifest was written")
        l.end()


# ---- a successor ----


def test_a_successor_names_the_ledger_that_has_ended():
    with Ledger() as old:
        old.start().register_warehouse()
        qa(old)
        pin = os.path.join(old.base, "pin")
        with open(pin, "w", encoding="utf-8") as f:
            f.write(old.ctl("checkpoint").expect(0).out)
        size = old.size()
        old.end()
        admin, second = os.path.join(old.profile, "keys", "admin.key"), os.path.join(old.keys, "qa.key")
        new = os.path.join(old.base, "new")
        common = ["--successor-of", pin, "--reason", "the disk and its mirror burnt"]
        for wrong, words in (([], "approved-by"), (["--approved-by", admin], "2 persons"), (["--approved-by", f"{admin},{admin}"], "different"),
                             (["--approved-by", f"{admin},{pin}"], "")):
            run(program("ledgerd"), "init", new, "--origin", "next.example/ledger", *common, *wrong).expect(1, words)
        run(program("ledgerd"), "init", new, "--origin", ledger.ORIGIN, *common, "--approved-by", f"{admin},{second}").expect(1, "itself")
        run(program("ledgerd"), "init", new, "--origin", "next.example/ledger", "--reason", "why").expect(2)
        need(not os.path.exists(new), "something was made")
        run(program("ledgerd"), "init", new, "--origin", "next.example/ledger", *common, "--approved-by", f"{admin},{second}").expect(
            0, "successor of", ledger.ORIGIN)
        old.dir, old.profile, old.anchor = new, os.path.join(new, "profile"), new + ".anchor"
        old.shrink_map()
        old.address = "127.0.0.1:0"
        old.start()
        need([e["kind"] for e in list(old.log_entries().values())[:3]] == ["GENESIS", "SUCCESSOR", "SEAL"], "the first entries")
        old.ctl("status").expect(0, f"successor of {ledger.ORIGIN}", f"{size} entries", "burnt", "u.qa")
        told = old.json("status")["successor_of"]
        need(told["origin"] == ledger.ORIGIN and told["size"] == size and len(told["approved_by"]) == 2, f"{told}")
        old.ctl("audit").expect(0)
        shutil.rmtree(old.keys)
        old.register_warehouse()
        old.record("M-1").expect(0)
        dossier = os.path.join(old.base, "dossier")
        old.ctl("dossier", "M-1", "-o", dossier).expect(0)
        old.ctl("verify", dossier).expect(0)
        backup(old)
        old.end()
        old.tool("check").expect(0)
        old.tool("rebuild").expect(0)
        os.unlink(old.anchor)
        restore(old).expect(0)
        check(old)


# ---- two at once ----


def second_of(l, kept):
    """The copied folder as a ledger of its own, whose daemon is to be started."""
    two = Ledger()
    shutil.rmtree(two.dir)
    shutil.copytree(kept, two.dir)
    shutil.copy(kept + ".anchor", two.anchor)
    two.keys, two.profile = l.keys, os.path.join(two.dir, "profile")
    return two


def test_two_on_one_folder():
    with Ledger() as l:
        l.start()
        size = l.size()
        l.refuses_to_run(1, "in use")
        for command in "check", "rebuild":
            need(l.tool(command).status == 2, command)
        need(l.size() == size, "the second one has written")
        backup(l)
        l.end()


def copy_both(l):
    kept = os.path.join(l.base, "kept")
    shutil.copytree(l.dir, kept)
    shutil.copy(l.anchor, kept + ".anchor")
    return kept


def test_a_copy_with_the_same_key_is_refused_by_the_witness_before_it_signs():
    with Witness("w1") as w, Witnessed([w], "quorum w1\n") as l:
        l.start().register_warehouse().end()
        kept = copy_both(l)
        l.start()
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        with second_of(l, kept) as two:
            before = files_below(os.path.join(two.dir, "data"))["data.mdb"]
            two.refuses_to_run(4, "rolled back or forked", "w1")
            need(files_below(os.path.join(two.dir, "data"))["data.mdb"] == before, "it has written")
        l.record("M-1").expect(0)
        l.end()


@tallied("fork-fenced")
def test_a_copy_that_signs_fences_itself(done):
    """The witness is away when the copy starts. When it is back, it shows to the copy what the first one has signed."""
    with Witness("w1") as w, Witnessed([w], "quorum w1\n", "start_seconds = 0.2\n") as l:
        l.start().register_warehouse().end()
        kept = copy_both(l)
        l.start()
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        with second_of(l, kept) as two:
            two.base_log = two.log
            w.fault = hangs_up()
            two.start()
            two.record("COPY-1").expect(0)  # a fork: acknowledged while nobody could tell
            w.fault = None
            figures = eventually("the copy has stopped recording", lambda: (lambda f: f["writable"] != 1 and f)(two.json("status")["server"]))
            need("another process signs" in json.dumps(figures), f"{figures}")
            size = two.size()
            two.record("COPY-2").expect(3, "another process signs as this ledger", "nothing was recorded")
            need(two.size() == size, "it has recorded")
            two.ctl("show", "COPY-1").expect(0)  # reads go on
            need(os.path.exists(os.path.join(two.dir, "forked")), "the proof was not kept")
            shown = open(os.path.join(two.dir, "forked"), encoding="utf-8").read()
            need(two.stop() == 0, two.logged())
            need("nothing is recorded any more" in two.logged(), two.logged())
            w.fault = hangs_up()  # away again: the proof that was kept is enough
            two.refuses_to_run(4, "another process signs as this ledger")
            path = os.path.join(l.base, "shown")
            with open(path, "w", encoding="utf-8") as f:
                f.write(shown)
            l.ctl("checkpoint", "--against", path).expect(0)  # it is the first one's
            w.fault = None
        l.record("M-1").expect(0)
        need(l.figures()["writable"] == 1, "the first one was stopped")
        l.end()
        done["fenced"] += 1


def test_a_bare_word_stops_nobody():
    """A witness that claims to have seen more, or another tree, and shows nothing, or something that proves nothing."""
    with Witness("w1") as w, Witness("w2") as honest, Witnessed([w, honest], "group any any w1 w2\nquorum any\n") as l:
        l.start().register_warehouse()
        eventually("the newest checkpoint is witnessed", l.witnessed_all)
        name = hashlib.sha256(ledger.ORIGIN.encode()).hexdigest()
        ours = l.ctl("checkpoint").expect(0).out
        text = ours.split("\n\n")[0] + "\n"
        lines = text.splitlines()
        larger = f"{lines[0]}\n{int(lines[1]) + 1000}\n{lines[2]}\n"
        shows = [None, b"nonsense", ours.encode(), (larger + "\n" + ours.split("\n\n")[1]).encode(), larger.encode() + b"\n" + w.line(larger.encode())]
        for i, shown in enumerate(shows):
            w.notes[name] = shown
            w.fault = answers(409, b"100000\n") if i else answers(422)
            asked = l.logged().count("the witness does not prove")
            l.record(f"B-{i}").expect(0)
            eventually("the witness was asked for a proof", lambda: l.logged().count("the witness does not prove") > asked or not l.record(
                f"B-{i}-{time.monotonic_ns()}").expect(0))
        need(l.figures()["writable"] == 1 and not os.path.exists(os.path.join(l.dir, "forked")), l.logged())
        l.end()


if __name__ == "__main__":
    sys.exit(cases.main(globals(), sys.argv))
