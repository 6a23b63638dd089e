#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the daemon as an operator meets it: made, started, stopped, killed, damaged, rolled back, out of disk; and of ledgerctl
as its client. Each test has a ledger of its own; two run at a time. The last line is "N passed, N failed, N skipped".

    daemon.py BUILD [TEST…]
"""
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import cases  # noqa: E402
import ledger  # noqa: E402
from cases import Skip  # noqa: E402
from ledger import WAIT_S, Ledger, acknowledged, eventually, files_below, material, need, program, run  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
KILLS = 12
STREAMS = 3
PACE_S = 0.002  # between two events of a stream


# ---- making and starting ----


def test_init_never_overwrites():
    with Ledger() as l:
        before = files_below(l.base)
        run(program("ledgerd"), "init", l.dir, "--origin", "other.example/ledger").expect(1, "nothing was touched", l.dir)
        need(files_below(l.base) == before, "init changed a ledger")
        shutil.rmtree(l.dir)
        os.mkdir(l.dir)
        mine = os.path.join(l.dir, "notes.txt")
        with open(mine, "w", encoding="ascii") as f:
            f.write("mine")
        run(program("ledgerd"), "init", l.dir, "--origin", "other.example/ledger").expect(1, "not empty")
        need(os.listdir(l.dir) == ["notes.txt"] and open(mine, encoding="ascii").read() == "mine", "init touched a folder in use")


def test_init_leaves_an_earlier_anchor():
    with Ledger() as l:
        l.start().end()
        shutil.rmtree(l.dir)
        kept = open(l.anchor, "rb").read()
        run(program("ledgerd"), "init", l.dir, "--origin", "other.example/ledger").expect(1, "anchor")
        need(open(l.anchor, "rb").read() == kept and not os.path.exists(l.dir), "init went on beside an anchor of another ledger")


def test_second_run_is_refused():
    with Ledger() as l:
        l.start().register_warehouse()
        size = l.size()
        l.refuses_to_run(1, "in use by another process")
        for command in "check", "rebuild":
            ran = l.tool(command)
            need(ran.status in (1, 2) and "in use" in ran.out + ran.err, f"{ran}")
        l.record("M-1").expect(0)
        need(l.size() == size + 2, "the ledger was written by somebody else")
        l.end()
        l.start().end()


def test_newer_format_is_refused_unharmed():
    with Ledger() as l:
        l.start().register_warehouse().end()
        path = os.path.join(l.dir, "FORMAT")
        with open(path, "w", encoding="ascii") as f:
            f.write("ledgerd data 7\n")
        before = files_below(l.base)
        l.refuses_to_run(3, "format 7", "nothing was touched")
        for command in "check", "rebuild":
            ran = l.tool(command)
            need(ran.status == 3 and "format 7" in ran.out + ran.err, f"{ran}")
        after = files_below(l.base)
        before.pop("daemon.log", None), after.pop("daemon.log", None)
        changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        need(not changed, f"changed: {changed}")


def test_earlier_format_is_brought_up_to_date():
    """tests/fixtures/data-N.tar.xz was made by the program that wrote format N; those from 3 on were killed with eight batches in their journals."""
    for how, (fixture, entries) in itertools.product(("rebuild", "run"), {"data-1": 20, "data-2": 19, "data-3": 30, "data-4": 45, "data-5": 46}.items()):
        with Ledger() as l:
            l.become(fixture)
            path = os.path.join(l.dir, "FORMAT")
            before = open(os.path.join(l.dir, "data", "data.mdb"), "rb").read()
            ran = l.tool("check")
            need(ran.status == 2 and "ledgerd rebuild" in ran.err, f"{ran}")
            need(open(os.path.join(l.dir, "data", "data.mdb"), "rb").read() == before, "check wrote into an earlier folder")
            if how == "rebuild":
                l.tool("rebuild").expect(0, f"{entries} entries verified")
            else:
                l.start("--plain").end()
            need(open(path, encoding="ascii").read() == "ledgerd data 6\n", "the format number is the old one")
            l.tool("check").expect(0, f"{entries + (how == 'run') * 3} entries")


def test_each_start_is_an_epoch():
    with Ledger() as l:
        for starts in 1, 2, 3:
            l.start()
            epochs = [e["epoch"] for e in l.log_entries().values() if e["kind"] == "EPOCH"]
            need(epochs == list(range(1, starts + 1)), f"epochs {epochs} after start {starts}")
            need(f"epoch                    {starts}" in l.ctl("status").expect(0).out, "status tells another epoch")
            l.end()
        l.tool("check").expect(0)


def test_address_in_use():
    with Ledger() as one, Ledger() as two:
        one.start()
        size = one.size()
        ran = run(program("ledgerd"), "run", two.dir, "--listen", one.address).expect(1, one.address)
        need("address already in use" in (ran.out + ran.err).lower(), f"{ran}")
        two.start()
        need(two.size() == 4, "a start that failed was recorded")
        need(one.size() == size, "the first ledger was written")


# ---- stopping under load ----


class Load:
    """Streams of events, each event a batch of its own: neighbours with different meanings do not go together. They come at a pace at
    which the log stays small enough to be read to its end, and never all at once."""

    def __init__(self, l):
        self.l, self.outs, self.processes, self.feeders = l, [], [], []
        self.sent = [0] * STREAMS
        self.enough = threading.Event()
        for s in range(STREAMS):
            self.outs.append(os.path.join(l.base, f"stream{s}.out"))
            process = l.ctl_start("record", "-f", "-", "--keys", l.keys, "--json", out=self.outs[-1], fed=True)
            self.processes.append(process)
            self.feeders.append(threading.Thread(target=self.feed, args=(s, process.stdin)))
            self.feeders[-1].start()
        # A client that has never reached the server gives up soon.
        eventually("each stream is on its way", lambda: all(os.path.getsize(out) for out in self.outs))

    def feed(self, s, pipe):
        try:
            while not self.enough.wait(PACE_S):
                signer = {"party": "u.wh", "meaning": f"authorship {self.sent[s] % 2}"}
                line = material(f"S{s}-{self.sent[s]}", signers=[signer])
                pipe.write(json.dumps(line).encode() + b"\n")
                pipe.flush()
                self.sent[s] += 1
            pipe.close()
        except OSError:
            pass  # the client has ended

    def over(self):
        return all(p.poll() is not None for p in self.processes)

    def grows(self):
        """Waits until a good deal more is recorded."""
        size = self.l.size()
        eventually("the load is on its way", lambda: self.l.size() > size + 10)

    def finish(self):
        """No more lines; the streams send what they have, and end."""
        self.enough.set()
        for feeder in self.feeders:
            feeder.join()
        eventually("the streams end", self.over)
        return [p.returncode for p in self.processes]

    def acknowledged(self):
        found = {}
        for out in self.outs:
            found.update(acknowledged(open(out, encoding="utf-8").read()))
        return found

    def errors(self):
        return "".join(open(out + ".err", encoding="utf-8").read()[-500:] for out in self.outs)


def check_nothing_lost(l, promised):
    """Everything that was acknowledged is in the log, in its place and once; the log verifies from end to end."""
    entries = l.log_entries()
    for event_id, index in promised.items():
        entry = entries.get(index)
        need(entry and entry.get("event_id") == event_id, f"event {event_id}, acknowledged as #{index}, is {entry}")
    ids = [e["event_id"] for e in entries.values() if e["kind"] == "MATERIAL_RECEIVED"]
    need(len(ids) == len(set(ids)), "an event is recorded twice")
    audit = l.json("audit")
    need(audit["holds"] and audit["entries_replayed"] == len(entries), f"{audit}")
    for index in list(promised.values())[:: max(1, len(promised) // 5)]:
        receipt = os.path.join(l.base, f"{index}.receipt")
        l.ctl("receipt", f"#{index}", "-o", receipt).expect(0)
        l.ctl("verify", receipt).expect(0)
    return ids


def check_all_arrived(l, load):
    """The streams end well, having sent every line; each is acknowledged and recorded once, and nothing else is."""
    status = load.finish()
    need(status == [0] * STREAMS, f"the streams ended with {status}: {load.errors()}")
    promised = load.acknowledged()
    need(len(promised) == sum(load.sent), f"{len(promised)} of {sum(load.sent)} events are acknowledged: {load.errors()}")
    need(len(check_nothing_lost(l, promised)) == len(promised), "more is recorded than was acknowledged")


def test_sigterm_under_load():
    """The daemon ends for good; the clients hear of it, and are told right what was recorded."""
    with Ledger() as l:
        l.start().register_warehouse()
        load = Load(l)
        load.grows()
        began = time.monotonic()
        l.end()
        took = time.monotonic() - began
        need(took < 10 + WAIT_S / 2, f"the daemon took {took:.0f} s to end")
        need(not load.over(), "the streams were over before the daemon ended: the test shows nothing")
        for process in load.processes:
            process.terminate()
        load.finish()
        l.tool("check").expect(0)
        l.start()
        check_nothing_lost(l, load.acknowledged())
        l.end()


def test_restart_under_load():
    """The daemon ends and comes again; the clients find it again, and send once more what was not answered."""
    with Ledger() as l:
        l.start().register_warehouse()
        load = Load(l)
        for _ in range(3):
            load.grows()
            l.end()
            l.start()
        load.grows()
        check_all_arrived(l, load)
        l.end()
        l.tool("check").expect(0)


def test_kill_under_load():
    with Ledger() as l:
        l.start().register_warehouse()
        load = Load(l)
        for i in range(KILLS):
            load.grows()
            time.sleep(0.007 * i)  # not always right after a commit, but at some moment of some commit
            need(l.stop(signal.SIGKILL) == -signal.SIGKILL, "the daemon was gone before")
            l.start()
        load.grows()
        check_all_arrived(l, load)
        l.end()
        l.tool("check").expect(0)


# ---- who may come in ----


def with_certificate_of(l, other, name):
    """l's profile with the client certificate of another profile."""
    folder = os.path.join(l.base, name)
    shutil.copytree(l.profile, folder)
    for file in "client.pem", "client.key":
        shutil.copy(os.path.join(other, file), folder)
    return folder


def test_certificate_of_another_ca():
    with Ledger() as l, Ledger() as other:
        l.start().register_warehouse()
        size = l.size()
        stranger = with_certificate_of(l, other.profile, "stranger")
        ran = l.record("M-1", profile=stranger).expect(3)
        need("certificate" in ran.err.lower(), f"{ran}")
        need(l.size() == size, "a stranger recorded something")
        # And the other way round: a server that another CA vouches for.
        wary = os.path.join(l.base, "wary")
        shutil.copytree(l.profile, wary)
        shutil.copy(os.path.join(other.profile, "ca.pem"), wary)
        ran = l.record("M-1", profile=wary).expect(3)
        need("certificate" in ran.err.lower(), f"{ran}")
        need(l.size() == size, "something was recorded")
        l.record("M-1").expect(0)


def test_revoked_certificate():
    with Ledger() as l:
        l.start().register_warehouse()
        second, third = (os.path.join(l.base, name) for name in ("second", "third"))
        for name, folder in ("b", second), ("c", third):
            run(program("ledgerd"), "cert", "issue", l.dir, "--name", f"urn:ledgerd:client:{name}", "--out", folder).expect(0)
        l.daemon.send_signal(signal.SIGHUP)
        eventually("the new name is let in", lambda: l.record("M-1", profile=second).status in (0, 1))
        run(program("ledgerd"), "cert", "revoke", l.dir, "--name", "urn:ledgerd:client:b").expect(0)
        l.daemon.send_signal(signal.SIGHUP)
        eventually("the revoked name is turned away", lambda: l.ctl("checkpoint", profile=second).status != 0)
        size = l.size()
        ran = l.record("M-2", profile=second).expect(3)
        need("revoked" in ran.err.lower(), f"{ran}")
        need(l.size() == size, "a revoked certificate recorded something")
        l.ctl("checkpoint", profile=third).expect(0)
        l.end()
        l.start()
        l.ctl("checkpoint", profile=second).expect(3, "revoked")


def test_plain_only_on_loopback():
    with Ledger() as l:
        for address in "0.0.0.0:0", "[::]:0":
            ran = run(program("ledgerd"), "run", l.dir, "--plain", "--listen", address)
            need(ran.status in (1, 2) and "loopback" in ran.err, f"{ran}")
        l.start("--plain")
        conf = os.path.join(l.profile, "profile.conf")
        with open(conf, "a", encoding="ascii") as f:
            f.write("plain = yes\n")
        need(l.size() == 4, "a start that failed was recorded")
        ran = run(*l.arguments("checkpoint")[:3], "--server", l.address.replace("127.0.0.1", "example.org"), "checkpoint")
        need(ran.status == 2 and "loopback" in ran.err, f"{ran}")


def test_acknowledged_and_only_in_the_journal():
    """Killed under load, before the tables had everything: whoever reads the folder sees what was acknowledged, and nobody goes on without
    the journal."""
    with Ledger() as l:
        l.start().register_warehouse()
        load = Load(l)
        for _ in range(10):
            load.grows()
            l.stop(signal.SIGKILL)
            promised = load.acknowledged()
            told = re.search(r"(\d+) entries", l.tool("check").expect(0).out)
            need(f"hashes of {told[1]} entries" in l.tool("check", "--hashes").expect(0, "hashes agree").out, "the journal was not looked at")
            need(int(told[1]) > max(promised.values()), f"{told[0]}, and {max(promised.values())} was acknowledged")
            shutil.rmtree(os.path.join(l.base, "backup"), ignore_errors=True)
            l.tool("backup", os.path.join(l.base, "backup")).expect(0)
            l.start()
            if "recorded batches were taken over from the journal" in l.logged():
                break
        need("recorded batches were taken over from the journal" in l.logged(), "each kill came too late")
        l.stop(signal.SIGKILL)
        journal = os.path.join(l.dir, "journal")
        os.rename(journal, journal + ".away")
        l.refuses_to_run(1, "journal")
        need(l.tool("check").status == 2, "a folder without its journal was checked")
        os.rename(journal + ".away", journal)
        l.start()
        check_all_arrived(l, load)
        l.end()
        l.tool("check").expect(0)


# ---- damage ----


def flip(path, pattern, offset=0):
    """Changes one bit of each place where the bytes stand."""
    data = bytearray(open(path, "rb").read())
    at, found = data.find(pattern), 0
    while at >= 0:
        data[at + offset] ^= 1
        found += 1
        at = data.find(pattern, at + len(pattern))
    need(found > 0, f"{pattern!r} is not in {path}")
    with open(path, "r+b") as f:
        f.write(data)


def test_check_names_a_flipped_byte():
    with Ledger() as l:
        l.start().register_warehouse()
        told = [json.loads(text) for text in l.record(*(f"M-{i}" for i in range(40))).expect(0).out.splitlines()]
        l.end()
        l.tool("check").expect(0, "verifies")
        data = os.path.join(l.dir, "data", "data.mdb")
        whole = open(data, "rb").read()
        victim = told[17]
        # In the event, and in the entry's header, which holds its event id.
        places = {"event": (b"supplier of M-17", 3), "header": (bytes.fromhex(victim["event_id"]), 5)}
        for what, (pattern, offset) in places.items():
            flip(data, pattern, offset)
            for how in [], ["--hashes"]:
                ran = l.tool("check", *how)
                need(ran.status == 1 and f"entry {victim['index']}:" in ran.out + ran.err, f"a flipped byte of the {what}: {ran}")
            ran = l.tool("check", "--json")
            need(ran.status == 1 and json.loads(ran.out), f"{ran}")
            with open(data, "r+b") as f:
                f.write(whole)
        l.tool("check").expect(0)
        l.start().end()


def test_check_finds_any_flipped_byte_of_event_and_block():
    with Ledger() as l:
        l.start().register_warehouse()
        line = material("M-FLIP", signers=[{"party": "u.wh", "meaning": "meaning of M-FLIP"}])
        path = l.write_lines("flip.jsonl", [line])
        index = json.loads(l.ctl("record", "-f", path, "--keys", l.keys, "--json").expect(0).out)["index"]
        l.end()
        data = os.path.join(l.dir, "data", "data.mdb")
        whole = open(data, "rb").read()
        # The event: tags and lengths, the nonce, texts. The signature block: party, key id, meaning, time, signature. The file may hold
        # older copies of a page, so every copy is changed.
        places = [(b"receipt of M-FLIP", n) for n in range(-22, 150, 9)] + [(b"meaning of M-FLIP", n) for n in range(-24, 100, 9)]
        for text, offset in places:
            flip(data, text, offset)
            for how in [], ["--hashes"]:
                ran = l.tool("check", *how)
                need(ran.status == 1 and f"entry {index}:" in ran.out + ran.err, f"{text} and {offset} bytes: {ran}")
            with open(data, "r+b") as f:
                f.write(whole)
        l.tool("check").expect(0)


def test_hashes_alone_agree_with_the_whole_check():
    """Any bit of the data file: what --hashes finds the replay finds, too, and it finds all that is wrong with an entry or with the tree."""
    about = ("record", "event", "signature block", "leaf")
    with Ledger() as l:
        l.start().register_warehouse()
        l.record(*(f"M-{i}" for i in range(300))).expect(0)
        l.end()
        ran = l.tool("check", "--hashes").expect(0, "hashes agree")
        need("not checked: signatures, rules, states" in ran.out, f"{ran}")
        whole = json.loads(l.tool("check", "--json").expect(0).out)
        alone = json.loads(l.tool("check", "--hashes", "--json").expect(0).out)
        need(alone["hashes_only"] == alone["ordered"] == whole["entries"] and alone["anchor"] == whole["anchor"] and alone["signatures"] == 0 and
             not alone["view_compared"], f"{alone} beside {whole}")
        path = os.path.join(l.dir, "data", "data.mdb")
        with open(path, "rb") as f:
            data = f.read()
        chance, found = random.Random(7), 0
        for _ in range(60):
            at, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(bytes([data[at] ^ bit]))
            alone, whole = l.tool("check", "--hashes", "--json"), l.tool("check", "--json")
            need(alone.status == 0 or whole.status != 0, f"byte {at}, bit {bit}: {alone} where the replay says {whole}")
            if whole.status == 1 and whole.out:
                first = json.loads(whole.out)["first"]
                need(alone.status != 0 or not any(d["what"] in about or d["what"].startswith("tree") for d in first), f"byte {at}, bit {bit}: {alone} where the replay says {whole}")
            found += alone.status == 1
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(bytes([data[at]]))
        need(found > 10, f"only {found} flips mattered")
        l.tool("check", "--hashes").expect(0)


def test_rebuild_restores_the_view():
    with Ledger() as l:
        l.start().register_warehouse()
        l.record(*(f"M-{i}" for i in range(60))).expect(0)
        before = {command: l.ctl(*command.split(), "--quiet").expect(0).out for command in ("list items", "show M-7", "history M-7")}
        l.end()
        data = os.path.join(l.dir, "data", "data.mdb")
        # A canonical state begins with type and version, then the item's id after a length of four bytes (docs/format.md, section 14).
        begin = bytes([1, 1, 0, 0, 0, 3]) + b"M-7"
        flip(data, begin, len(begin) + 2)
        ran = l.tool("check")
        need(ran.status == 1 and "item M-7" in ran.out + ran.err, f"{ran}")
        l.tool("rebuild").expect(0)
        l.tool("check").expect(0)
        l.start()
        for command, out in before.items():
            now = l.ctl(*command.split(), "--quiet").expect(0).out
            need(now == out, f"{command}: {now} where {out} was")
        need(l.json("audit")["holds"], "the audit does not hold")
        l.record("M-new").expect(0)
        l.end()


def test_rebuild_is_the_same_again():
    """A rebuild of a whole folder changes nothing that anybody could see; the view's tables are what they were."""
    with Ledger() as l:
        l.start().register_warehouse()
        l.record(*(f"M-{i}" for i in range(30))).expect(0)
        checkpoint = l.ctl("checkpoint").expect(0).out
        l.end()
        l.tool("rebuild").expect(0)
        l.tool("check").expect(0)
        l.start()
        entries = l.log_entries()
        size = int(checkpoint.splitlines()[1])
        # The seal at the end, the epoch and its seal.
        need(len(entries) == size + 3, "the log is not what it was")
        need(l.json("audit")["holds"], "the audit does not hold")


# ---- disk full ----


def test_disk_full():
    if os.geteuid() != 0:
        raise Skip("mounting a small file system takes root")
    base = tempfile.mkdtemp(prefix="ledgerd-system-")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", base], stderr=subprocess.DEVNULL, check=False).returncode:
        os.rmdir(base)
        raise Skip("file systems cannot be mounted here")
    try:
        with Ledger(base) as l, tempfile.TemporaryDirectory(prefix="ledgerd-system-") as elsewhere:
            fill_the_disk(l, os.path.join(elsewhere, "lines.jsonl"))
    finally:
        subprocess.run(["umount", "-l", base], check=False)
        if os.path.isdir(base):
            os.rmdir(base)


def fill_the_disk(l, path):
    conf = os.path.join(l.dir, "ledgerd.conf")
    text = open(conf, encoding="utf-8").read().replace("#reserve = 64M", "reserve = 2M")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text)
    l.start().register_warehouse()
    ballast = os.path.join(l.base, "ballast")
    with open(ballast, "wb") as f:
        free = os.statvfs(l.base).f_bavail * os.statvfs(l.base).f_frsize
        f.write(b"\0" * (free - (4 << 20)))
    promised, ran = {}, None
    for i in range(400):
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(material(f"F{i}-{k}", nonce=f"{i:016x}{k:016x}")) + "\n" for k in range(50))
        ran = l.ctl("record", "-f", path, "--keys", l.keys, "--json")
        promised.update(acknowledged(ran.out))
        if ran.status:
            break
    need(ran.status == 3, f"the disk did not become full: {ran}")
    need(any(word in ran.err.lower() for word in ("disk", "space", "full")), f"{ran}")
    need("nothing was recorded" in ran.err.lower(), f"{ran}")
    size = l.size()
    status = l.ctl("status").expect(0).out
    need("the disk is full" in status, status)
    l.ctl("show", "F0-0").expect(0)
    need(l.json("audit")["holds"], "the audit does not hold")
    need(l.size() == size, "something was recorded on a full disk")
    os.unlink(ballast)
    eventually("it recovers", lambda: l.ctl("record", "-f", path, "--keys", l.keys, "--json").status == 0)
    check_nothing_lost(l, promised)
    l.end()
    l.tool("check").expect(0)


# ---- rollback ----


def test_rollback_is_caught_by_the_anchor():
    with Ledger() as l:
        l.start().register_warehouse().end()
        parts = "data", "journal"
        for part in parts:
            shutil.copytree(os.path.join(l.dir, part), os.path.join(l.base, part))
        l.start().record("M-1").expect(0)
        l.end()
        data = os.path.join(l.dir, "data")
        for part in parts:
            shutil.rmtree(os.path.join(l.dir, part))
            shutil.copytree(os.path.join(l.base, part), os.path.join(l.dir, part))
        before, anchor = files_below(data), open(l.anchor, "rb").read()
        ran = l.refuses_to_run(4, "anchor")
        need(any(word in ran.err for word in ("rolled back", "rollback")), f"{ran}")
        before.pop("lock.mdb", None)
        after = files_below(data)
        after.pop("lock.mdb", None)
        need(after == before, "a store that was rolled back was written")
        need(open(l.anchor, "rb").read() == anchor, "the anchor was written")
        ran = l.tool("check")
        need(ran.status == 1 and "anchor" in ran.out + ran.err, f"{ran}")
        os.unlink(l.anchor)
        l.refuses_to_run(1, "anchor")
        after = files_below(data)
        after.pop("lock.mdb", None)
        need(after == before and not os.path.exists(l.anchor), "a ledger without its anchor was written")


def roll_back(l):
    """To before M-2, with the anchor: as somebody would who has all of the server's disks."""
    l.start().register_warehouse()
    l.record("M-1").expect(0)
    l.end()
    shutil.copytree(l.dir, l.dir + ".old")
    shutil.copy(l.anchor, l.anchor + ".old")
    l.start()
    l.record("M-2").expect(0)
    l.end()
    profile = os.path.join(l.base, "profile")
    shutil.copytree(l.profile, profile)  # with its pin
    shutil.rmtree(l.dir)
    os.rename(l.dir + ".old", l.dir)
    os.rename(l.anchor + ".old", l.anchor)
    l.profile = profile
    l.start()


def evidence(l):
    return [name for name in os.listdir(os.path.join(l.profile, "pins")) if name.startswith("evidence-")]


def check_evidence(l, ran):
    found = evidence(l)
    need(len(found) == 1 and found[0] in ran.err, f"evidence {found}: {ran}")
    text = open(os.path.join(l.profile, "pins", found[0]), encoding="utf-8").read()
    need(text.count(f"\n{ledger.ORIGIN}\n") >= 2 or text.count(ledger.ORIGIN + "\n") >= 2, f"two notes are not in {text}")


def test_client_catches_a_rollback():
    with Ledger() as l:
        roll_back(l)
        pins = os.path.join(l.profile, "pins")
        pin = [open(os.path.join(pins, name), "rb").read() for name in os.listdir(pins) if name.endswith(".checkpoint")]
        need(len(pin) == 1 and pin[0].startswith(ledger.ORIGIN.encode() + b"\n"), f"the pin is {pin}")
        ran = l.ctl("show", "M-1").expect(4)
        check_evidence(l, ran)
        # It answers nothing from then on, and keeps what it knows.
        l.ctl("show", "M-1").expect(4)
        l.record("M-3").expect(4)


def test_client_catches_a_fork():
    """The rolled-back ledger has gone on and is larger than what the client has seen."""
    with Ledger() as l:
        roll_back(l)
        wary, l.profile = l.profile, os.path.join(l.dir, "profile")
        l.record(*(f"M-other-{i}" for i in range(20))).expect(0)
        l.profile = wary
        check_evidence(l, l.ctl("show", "M-1").expect(4))


# ---- long answers ----


def test_long_answers_side_by_side():
    """More of them than the daemon has threads for, some cut off in the middle: the others arrive whole and in order."""
    with Ledger() as l:
        l.start().register_warehouse()
        path = l.write_lines("many.jsonl", [material(f"L-{i}") for i in range(6000)])
        l.ctl("record", "-f", path, "--keys", l.keys, timeout=4 * WAIT_S).expect(0)
        outs = [os.path.join(l.base, f"audit{i}.out") for i in range(6)]
        whole = [l.ctl_start("audit", "--json", out=out) for out in outs]
        in_the_middle = 0
        for i in range(8):
            cut = l.ctl_start("audit", "--json", out=os.path.join(l.base, "cut.out"))
            time.sleep(0.02 + 0.03 * i)
            in_the_middle += cut.poll() is None
            cut.kill()
            cut.wait()
        need(in_the_middle > 0, "all of those that were to be cut off had ended")
        eventually("the audits end", lambda: all(p.poll() is not None for p in whole), 4 * WAIT_S)
        for out in outs:
            audit = json.load(open(out, encoding="utf-8"))
            need(audit["holds"] and audit["entries_replayed"] >= 6000, f"{audit}")
        l.end()


# ---- following ----


def test_watch_prints_new_entries():
    with Ledger() as l:
        l.start().register_warehouse()
        out = os.path.join(l.base, "watch.out")
        watch = l.ctl_start("watch", "--json", "--count", "10", out=out)
        errors = out + ".err"
        eventually("watch follows", lambda: "Following" in open(errors, encoding="utf-8").read())
        for item in "M-1", "M-2", "M-3":
            l.record(item).expect(0)
        l.end()
        l.start()
        l.record("M-4").expect(0)
        eventually("watch ends", lambda: watch.poll() is not None)
        need(watch.returncode == 0, open(errors, encoding="utf-8").read())
        entries = [json.loads(line) for line in open(out, encoding="utf-8")]
        kinds = [e["kind"] for e in entries]
        need(kinds == ["MATERIAL_RECEIVED", "SEAL"] * 3 + ["SEAL", "EPOCH", "SEAL", "MATERIAL_RECEIVED"], f"{kinds}")
        need([e["index"] for e in entries] == list(range(entries[0]["index"], entries[0]["index"] + 10)), "entries are missing")


def test_watch_takes_a_burst():
    """Batches that are larger than a response, and larger than what one reading takes."""
    with Ledger() as l:
        l.start().register_warehouse()
        out = os.path.join(l.base, "watch.out")
        watch = l.ctl_start("watch", "--json", "--count", "8001", out=out)
        errors = out + ".err"
        eventually("watch follows", lambda: "Following" in open(errors, encoding="utf-8").read())
        path = l.write_lines("burst.jsonl", [ledger.material(f"B-{i}") for i in range(8000)])
        l.ctl("record", "-f", path, "--keys", l.keys, timeout=4 * ledger.WAIT_S).expect(0)
        eventually("watch ends", lambda: watch.poll() is not None)
        need(watch.returncode == 0, open(errors, encoding="utf-8").read())
        need(sum(1 for _ in open(out, encoding="utf-8")) == 8001, "entries are missing")


if __name__ == "__main__":
    sys.exit(cases.main(globals(), sys.argv))
