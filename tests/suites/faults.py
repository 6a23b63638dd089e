#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing lost: the daemon under several clients that keep what they were promised, killed at every step of its write path, on a disk that
fails at every call, and without power at any moment; then started again and asked for all of it. With LEDGERD_LONG=100 as often as one
leaves it running over lunch; 10: a tenth of that.

    faults.py BUILD [TEST…]
"""
import collections
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import cases  # noqa: E402
import disk  # noqa: E402
import ledger  # noqa: E402
from cases import LONG, Skip, many, tallied  # noqa: E402
from disk import Load, Shim, check_promises, check_whole, ended, start  # noqa: E402
from ledger import Ledger, eventually, need, program, run  # noqa: E402

SANITIZED = os.environ.get("LEDGERD_TIME_FACTOR", "1") != "1"  # memory and speed are no matter then
SEED = int(os.environ.get("LEDGERD_SEED", "1"))
# Steps of the write path: where, the kind of call, and how many of them pass before. A batch is written into the journal and synced; within a second
# the tables get it, whose pages are written, synced, and made to count by a durable page; beside that the anchor is written anew, synced and renamed.
# A long run goes on from there, up to so many calls further. Each may take a second: no more, or it only waits for them.
STEPS = [("journal/", disk.WRITE, 0), ("journal/", disk.WRITE, 1), ("journal/", disk.SYNC, 0), ("data/", disk.WRITE, 1), ("data/", disk.WRITE, 0),
         ("data/", disk.SYNC, 0), ("data/", disk.DURABLE, 0), (".anchor", disk.WRITE, 0), (".anchor", disk.CREATE, 0), (".anchor", disk.SYNC, 0),
         (".anchor", disk.RENAME, 0), ("..", disk.SYNC, 0)]
CALLS_FURTHER = 5
STEPS_OF_A_START = 60  # at most looked at
NOTHING = ("lost", "doubled", "forked")
OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class Kept:
    """A ledger with its party, made once and copied for each test."""

    folder = None

    @classmethod
    def make(cls):
        cls.folder = tempfile.mkdtemp(prefix="ledgerd-faults-")
        with Ledger() as l:
            l.start().register_warehouse().end()
            cls.address = l.address
            shutil.copytree(l.base, os.path.join(cls.folder, "base"))

    @classmethod
    def drop(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)


class Copy(Ledger):
    """One such copy."""

    def __init__(self, base=None):
        self.base = base or tempfile.mkdtemp(prefix="ledgerd-system-")
        shutil.copytree(os.path.join(Kept.folder, "base"), self.base, dirs_exist_ok=True)
        self.dir = os.path.join(self.base, "ledger")
        self.profile = os.path.join(self.dir, "profile")
        self.anchor = self.dir + ".anchor"
        self.keys = os.path.join(self.base, "keys")
        self.log = os.path.join(self.base, "daemon.log")
        self.daemon, self.address, self.others = None, "127.0.0.1:0", []


def whole_again(l, load, promised=0):
    """After the last of it: everything that the clients have made arrives, once; the folder is whole; receipts can be had."""
    promises = load.finish()
    need(len({a[2] for a in promises.acks}) == promises.sent,
         f"{promises.sent} events were made, {len(promises.acks)} acknowledged: {promises.errors[-3:]} {l.logged()[-1000:]}")
    need(len(promises.acks) >= promised, "acknowledgements are gone")
    entries = check_promises(l, promises, 1000 if LONG else 100)
    recorded = sum(1 for e in entries.values() if e["kind"] == "MATERIAL_RECEIVED")
    need(recorded == promises.sent, f"{recorded} events are recorded, {promises.sent} were made")
    l.end()
    check_whole(l, promises, "at the end")
    return promises


def now_and_then(n, every=5):
    """Whether the check replays everything, which takes as long as the ledger is large; in between, hashes do, and at the end it always does."""
    return not LONG or n % every == 0


# ---- crash ----


@tallied("kill-at-a-step", *NOTHING)
def test_kill_at_every_step(done):
    """kill -9 before, in the middle of, and after each call that changes the disk, under load; the same in the start that follows."""
    steps = set()
    for further, batch in many([(0, 2)], [(further, batch) for batch in range(1, 5) for further in range(CALLS_FURTHER)]):
        for where, kind, skip in many(STEPS[::2], STEPS):
            with Copy() as l:  # each its own, which does not grow for long
                shim = Shim(l)
                need(start(l, shim), l.logged())
                load = Load(l, clients=3, batch=batch)
                for action in disk.KILL_BEFORE, disk.KILL_MIDDLE, disk.KILL_AFTER:
                    load.grows()
                    shim.arm(action, skip + further, kinds=(kind,), where=where)
                    need(ended(l) == disk.SIGKILLED, f"not killed: {l.logged()[-500:]}")
                    done["kills"] += 1
                    need(shim.hit().split(" ")[1].startswith(where), shim.hit())
                    steps.add(shim.hit().split(".new-")[0])
                    check_whole(l, load.promises(), f"{disk.NAMES[action]} {shim.hit()}", now_and_then(done["kills"]))
                    shim.disarm()
                    need(start(l, shim), f"it does not start again: {l.logged()[-1000:]}")
                whole_again(l, load)
    done["kinds_of_step"] = len(steps)


@tallied("kill-in-the-start", *NOTHING)
def test_kill_in_the_start(done):
    """The same within the start of the daemon: its tail's verification, its epoch, its anchor."""
    with Copy() as l:
        shim = Shim(l)
        need(start(l, shim), l.logged())
        load = Load(l, clients=2)
        load.grows()
        for action in disk.KILL_BEFORE, disk.KILL_MIDDLE, disk.KILL_AFTER:
            for step in many(range(0, STEPS_OF_A_START, 3), range(STEPS_OF_A_START)):
                if l.daemon:
                    l.stop(9)
                shim.arm(action, step)
                served = start(l, shim)
                shim.disarm()
                if served and not shim.hit():
                    break
                need(l.daemon.wait() == disk.SIGKILLED, l.logged()[-500:])
                l.daemon = None
                done["kills"] += 1
                check_whole(l, load.promises(), f"{disk.NAMES[action]} {shim.hit()}")
        shim.disarm()
        if not l.daemon:
            need(start(l, shim), l.logged()[-500:])
        whole_again(l, load)
    need(done["kills"] >= 6, f"{done}")


@tallied("kill-in-an-upgrade", *NOTHING)
def test_kill_in_an_upgrade(done):
    """The same within the first start on a folder of format 5 whose journal holds eight batches: the next start goes on."""
    for step in many(range(0, STEPS_OF_A_START, 5), range(STEPS_OF_A_START)):
        with Ledger() as l:
            l.become("data-5")
            shim = Shim(l)
            shim.arm(disk.KILL_MIDDLE, step)
            served = start(l, shim)
            shim.disarm()
            if not served:
                need(l.daemon.wait() == disk.SIGKILLED, l.logged()[-500:])
                done["kills"] += 1
                need(start(l, shim), f"killed in the middle of {shim.hit()}, step {step}: {l.logged()[-1000:]}")
            l.stop()
            checked = l.tool("check").expect(0)
            entries = int(re.search(r"checked: (\d+) entries", checked.out).group(1))
            need(49 <= entries <= 52, f"{entries} entries, after the old 46 and a start or two")
    need(done["kills"] >= 5, f"{done}")


@tallied("kill-at-random", *NOTHING)
def test_kill_at_random(done):
    want, chance = many(15, 3000), random.Random(SEED)
    while done["kills"] < want:
        with Copy() as l:
            need(start(l), l.logged())
            load = Load(l, clients=4, batch=chance.choice((1, 1, 7, 100)))
            for _ in range(min(50, want - done["kills"])):
                load.grows(1)
                time.sleep(chance.random() * 0.03)
                need(l.stop(9) == disk.SIGKILLED, "the daemon was gone before")
                done["kills"] += 1
                check_whole(l, load.promises(), f"kill {done['kills']}, seed {SEED}", now_and_then(done["kills"], 20))
                need(start(l), f"kill {done['kills']}: {l.logged()[-1000:]}")
            done["acknowledged"] += len(whole_again(l, load).acks)


# ---- faults of the disk ----


def must_end(action, where, kind):
    """After that nobody knows what is on the disk. A write for which there is no room may be one that only makes room."""
    failed = action in (disk.EIO, disk.EIO_AFTER) or (action == disk.ENOSPC and kind != disk.WRITE)
    return failed and where in ("journal/", "data/")


def fault(l, shim, load, action, step, n):
    """One fault under load. The process goes on, or ends where it cannot know what is on the disk; in both cases it has told the truth."""
    where, kind, skip = step
    load.grows()
    shim.arm(action, skip, 1 + n % 2, kinds=(kind,), arg=20000, where=where)
    eventually("the fault is met", lambda: shim.hit() or l.daemon.poll() is not None)
    if action not in (disk.SHORT, disk.DELAY):
        time.sleep(0.02)  # what it does next, if it goes on, is part of the matter
    else:
        load.grows()
    what = shim.hit()
    if must_end(action, where, kind):
        try:  # what was acknowledged meanwhile is in the journal
            l.daemon.wait(ledger.WAIT_S)
        except subprocess.TimeoutExpired as late:
            raise ledger.Failure(f"{disk.NAMES[action]} at {what}: it went on: {l.logged()[-1000:]}") from late
    survived = l.daemon.poll() is None
    need(action != disk.DELAY or survived, f"a late {what} ended the daemon: {l.logged()[-1000:]}")
    if survived:
        shim.disarm()
        time.sleep(0.01)
        survived = l.daemon.poll() is None
    if survived:
        load.grows()
        survived = l.daemon.poll() is None
    if not survived:
        status = ended(l)
        need(status == 1, f"{disk.NAMES[action]} at {what}: it ended with {status}: {l.logged()[-1000:]}")
        need("unknown" in l.logged() or "the ledger cannot go on" in l.logged(), f"it does not say why: {l.logged()[-1000:]}")
        check_whole(l, load.promises(), f"{disk.NAMES[action]} at {what}", now_and_then(n))
        shim.disarm()
        need(start(l, shim), f"{disk.NAMES[action]} at {what}: it does not start again: {l.logged()[-1000:]}")
    return what.split(".new-")[0], survived


@tallied("fault-of-the-disk", *NOTHING, "false_acknowledgements")
def test_faults_at_every_step(done):
    outcomes = collections.defaultdict(collections.Counter)
    for round_ in range(many(1, 15)):
        for action in disk.EIO, disk.ENOSPC, disk.SHORT, disk.DELAY, disk.EIO_AFTER:
            with Copy() as l:  # each its own, which does not grow for long
                shim = Shim(l)
                need(start(l, shim), l.logged())
                load = Load(l, clients=3, batch=1 + round_ % 7)
                for where, kind, skip in many(STEPS[done["faults"] % 3::3], STEPS):
                    what, survived = fault(l, shim, load, action, (where, kind, skip + round_ % CALLS_FURTHER), done["faults"])
                    outcomes[disk.NAMES[action], what][survived] += 1
                    done["faults"] += 1
                    done["ended"] += not survived
                whole_again(l, load)
    done["kinds"] = len(outcomes)
    if LONG:
        for (action, what), n in sorted(outcomes.items()):
            print(f"  {action:>18} {what:<40} ended {n[False]}, went on {n[True]}")


@tallied("fault-in-the-start", *NOTHING)
def test_faults_in_the_start(done):
    """A start that fails says so and leaves everything as it was; the next one is good."""
    with Copy() as l:
        shim = Shim(l)
        need(start(l, shim), l.logged())
        load = Load(l, clients=2)
        load.grows()
        for action in disk.EIO, disk.ENOSPC, disk.EIO_AFTER:
            for step in many(range(0, STEPS_OF_A_START, 4), range(STEPS_OF_A_START)):
                if l.daemon:
                    l.stop(9)
                shim.arm(action, step)
                served = start(l, shim)
                met = shim.hit()
                shim.disarm()
                if not met:
                    break
                done["faults"] += 1
                if not served:
                    need(l.daemon.wait() == 1, f"{disk.NAMES[action]} at {met}: {l.logged()[-1000:]}")
                    l.daemon = None
                    check_whole(l, load.promises(), f"{disk.NAMES[action]} at {met}")
        if not l.daemon:
            need(start(l, shim), l.logged()[-500:])
        whole_again(l, load)
    need(done["faults"] >= 6, f"{done}")


# ---- power cuts ----


def traced_run(l, trace, faulty):
    """Load with a trace; with `faulty` one sync fails on the way, and the daemon comes again on what the cache of the system holds."""
    shim = Shim(l, trace)
    files = {}
    for base, _, names in os.walk(l.dir):
        for name in names:
            path = os.path.join(base, name)
            files[path] = open(path, "rb").read()
    files[l.anchor] = open(l.anchor, "rb").read()
    need(start(l, shim), l.logged())
    load = Load(l, clients=3, batch=2)
    load.grows(many(60, 300))
    if faulty:
        shim.arm(disk.EIO, faulty, kinds=(disk.SYNC, disk.DURABLE))
        eventually("the fault is met", shim.hit)
        time.sleep(0.05)
        shim.disarm()
        if l.daemon.poll() is not None:
            ended(l)
            need(start(l, shim), l.logged()[-1000:])
        load.grows(30)
    promises = load.finish()
    l.stop(9)
    return files, promises


def open_image(l, files, newest, what):
    """What a cut has left, put in a folder and used: it starts, and has everything that was acknowledged until then."""
    base = tempfile.mkdtemp(prefix="ledgerd-image-")
    try:
        for path, content in files.items():
            to = os.path.join(base, os.path.relpath(path, l.base))
            os.makedirs(os.path.dirname(to), mode=0o700, exist_ok=True)
            with open(to, "wb") as f:
                f.write(content)
            os.chmod(to, 0o600)
        folder = os.path.join(base, "ledger")
        arguments = []
        if newest:
            note = os.path.join(base, "newest")
            with open(note, "w", encoding="utf-8") as f:
                f.write(newest[1])
            arguments = ["--anchor", note]
        ran = run(program("ledgerd"), "check", folder, "--quiet", *arguments, timeout=2 * ledger.WAIT_S)
        need(ran.status == 0, f"{what}: {ran}")
        with open(os.path.join(base, "log"), "wb") as log:
            daemon = subprocess.Popen([program("ledgerd"), "run", folder, "--listen", "127.0.0.1:0"], stdout=log, stderr=log)
        told = os.path.join(folder, "run", "address")
        eventually("the image is served", lambda: os.path.exists(told) or daemon.poll() is not None)
        need(daemon.poll() is None, f"{what}: it does not start: {open(os.path.join(base, 'log'), encoding='utf-8').read()[-1500:]}")
        daemon.terminate()
        need(daemon.wait(ledger.WAIT_S) == 0, f"{what}: it does not end well")
        run(program("ledgerd"), "check", folder, "--quiet", timeout=2 * ledger.WAIT_S).expect(0)
    finally:
        shutil.rmtree(base, ignore_errors=True)


@tallied("power-cut-by-replay", *NOTHING)
def test_power_cut_by_replay(done):
    """The trace of a run, cut at any call, with any of what was not synced kept, lost or torn at sectors."""
    chance = random.Random(SEED)
    for faulty in many((0, 2), range(0, 12)):
        with Copy() as l:
            trace = os.path.join(l.base, "trace")
            files, promises = traced_run(l, trace, faulty)
            calls = disk.read_trace(trace)
            need(len(calls) > 50, f"{len(calls)} calls in the trace")
            want = many(12, 300)
            model, cuts = disk.Disk({p: c for p, c in files.items() if "/run/" not in p}), collections.Counter(
                chance.randrange(len(calls)) for _ in range(want))
            for i, call in enumerate(calls):
                for n in range(cuts[i]):
                    what = f"cut {n} at call {i} of {len(calls)}, {call.op} {call.path}, seed {SEED}, faulty {faulty}"
                    open_image(l, model.image(chance, call), promises.newest(call.began_ns), what)
                    done["images"] += 1
                model.apply(call)


FS_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_WITHOUT_LOG = 2


def loop_mounted(base, size):
    """An ext4 of its own for a folder; or Skip."""
    if os.geteuid() != 0:
        raise Skip("mounting a file system takes root")
    image = base + ".img"
    with open(image, "wb") as f:
        f.truncate(size)
    if not shutil.which("mkfs.ext4"):
        os.unlink(image)
        raise Skip("mkfs.ext4 is not here")
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], stderr=subprocess.PIPE, check=False)
    if made.returncode or subprocess.run(["mount", "-o", "loop", image, base], stderr=subprocess.PIPE, check=False).returncode:
        os.unlink(image)
        raise Skip("file systems cannot be made and mounted here")
    return image


@tallied("power-cut-on-ext4", *NOTHING)
def test_power_cut_on_ext4(done):
    """A real file system, shut down by its ioctl under load, its journal replayed by the next mount."""
    import fcntl
    import struct
    base = tempfile.mkdtemp(prefix="ledgerd-ext4-")
    image = None
    try:
        image = loop_mounted(base, 256 << 20)
        with tempfile.TemporaryDirectory(prefix="ledgerd-system-") as elsewhere, Copy(base) as l:
            mine = os.path.join(elsewhere, "base")
            shutil.copytree(base, mine, ignore=shutil.ignore_patterns("lost+found"))
            l.profile, l.keys = os.path.join(mine, "ledger", "profile"), os.path.join(mine, "keys")
            l.log = os.path.join(elsewhere, "log")
            os.sync()
            need(start(l), l.logged())
            l.base = elsewhere
            load = Load(l, clients=4, batch=3)
            chance = random.Random(SEED)
            for _ in range(many(6, 400)):
                load.grows(1)
                time.sleep(chance.random() * 0.03)
                f = os.open(base, os.O_RDONLY)
                fcntl.ioctl(f, FS_IOC_SHUTDOWN, struct.pack("I", SHUTDOWN_WITHOUT_LOG))
                os.close(f)
                eventually("it ends or hangs", lambda: l.daemon.poll() is not None, 10)
                need(ended(l) == 1, f"it went on without a disk: {l.logged()[-1000:]}")
                done["cuts"] += 1
                subprocess.run(["umount", base], check=True)
                subprocess.run(["mount", "-o", "loop", image, base], check=True)
                check_whole(l, load.promises(), f"cut {done['cuts']}", now_and_then(done["cuts"]))
                need(start(l), f"cut {done['cuts']}: {l.logged()[-1000:]}")
            done["acknowledged"] = len(whole_again(l, load).acks)
            l.base = base + ".none"
    finally:
        subprocess.run(["umount", "-l", base], stderr=subprocess.DEVNULL, check=False)
        for path in (image or "",):
            if path:
                os.unlink(path)
        shutil.rmtree(base, ignore_errors=True)


# ---- a full disk ----


def tmpfs(base, size):
    if os.geteuid() != 0:
        raise Skip("mounting a file system takes root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", base], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip("file systems cannot be mounted here")


def recall(l, name, items):
    lines = [{"id": name, "kind": "RECALL_CHANGED", "occurred": "2025-01-03T03:04:05Z",
              "signers": [{"party": "u.qa", "meaning": "decision"}, {"party": "u.qp", "meaning": "decision"}],
              "fields": {"recall": name, "action": "ISSUED", "items": items, "class": "I", "reason": "a test"}}]
    path = l.write_lines(name, lines)
    return l.ctl("record", "-f", path, "--keys", l.keys, "--json")


def fill(path, leave):
    """Takes what is free, but so much; in steps, because a file system keeps books of its own."""
    with open(path, "ab") as f:
        for _ in range(1000):
            v = os.statvfs(os.path.dirname(path))
            over = v.f_bavail * v.f_frsize - leave
            if over < 4096:
                break
            f.write(bytes(min(over, 1 << 20) & ~4095))
            f.flush()


@tallied("full-disk", *NOTHING)
def test_full_disk_keeps_room_for_a_recall(done):
    base = tempfile.mkdtemp(prefix="ledgerd-full-")
    mounted = False
    try:
        tmpfs(base, "64m")
        mounted = True
        with tempfile.TemporaryDirectory(prefix="ledgerd-system-") as elsewhere, Copy(base) as l:
            l.configure("#reserve = 64M", "reserve = 16M")
            l.configure("#heartbeat_seconds", "heartbeat_seconds = 1\n#heartbeat_seconds")
            l.base = elsewhere  # the clients' disk is another one
            need(start(l), l.logged())
            for party, role in ("qa", "QA"), ("qp", "QP"):
                key = os.path.join(l.keys, party + ".key")
                l.ctl("key", "new", "u." + party, "-o", key).expect(0)
                l.ctl("party", "register", "u." + party, "--roles", role, "--org", "ORG", "--key", key).expect(0)
            l.record("M-1", "M-2").expect(0)
            ballast = os.path.join(base, "ballast")
            fill(ballast, 15 << 20)
            ran = l.record("M-3").expect(3, "the disk is full", "nothing was recorded")
            recall(l, "R-1", ["M-1"]).expect(0)
            l.record("M-4").expect(3, "the disk is full", "nothing was recorded")
            # The seals of an idle ledger must not use up what is for recalls.
            fill(ballast, 3 << 20)
            size = l.size()
            time.sleep(2.5)
            need(l.size() == size, "a seal was written from what is left for recalls")
            for i in range(5):
                recall(l, f"R-2{i}", ["M-2"]).expect(0)
            need("the disk is full" in l.ctl("status").expect(0).out, "status does not say so")
            ran = l.ctl("show", "M-1").expect(0, "recall")
            # Together with something else it is no recall alone; the rest of its request is refused, it is not.
            fill(ballast, 0)
            recall(l, "R-3", ["M-1"]).expect(3, "the disk is full", "nothing was recorded")
            need(l.json("audit")["holds"], "the audit does not hold")
            os.unlink(ballast)
            eventually("it recovers", lambda: l.record("M-5").status == 0)
            recall(l, "R-3", ["M-1"]).expect(0)
            status = l.ctl("status").expect(0).out
            need("the disk is full" not in status, status)
            del ran
            l.end()
            l.tool("check").expect(0)
            done["disks"] += 1
            l.base = base + ".none"
    finally:
        if mounted:
            subprocess.run(["umount", "-l", base], check=False)
        shutil.rmtree(base, ignore_errors=True)


# ---- rot ----


def moved(item):
    return {"id": f"move-{item}", "kind": "STORAGE_MOVED", "occurred": "2025-01-03T03:04:05Z",
            "signers": [{"party": "u.wh", "meaning": "authorship"}], "fields": {"item": item, "location": "F"}}


def rotten_ledger(l, items):
    """A ledger with something of everything that is stored, stopped."""
    need(start(l), l.logged())
    for party, role in ("qa", "QA"), ("qp", "QP"):
        key = os.path.join(l.keys, party + ".key")
        l.ctl("key", "new", "u." + party, "-o", key).expect(0)
        l.ctl("party", "register", "u." + party, "--roles", role, "--org", "ORG", "--key", key).expect(0)
    l.record(*(f"M-{i}" for i in range(items))).expect(0)
    for i in range(3):
        l.record(f"N-{i}").expect(0)
    recall(l, "R-1", ["M-1", "M-2"]).expect(0)
    erased = next(i for i, e in l.log_entries().items() if e.get("event", {}).get("fields", {}).get("item") == "M-3")
    l.ctl("record", "-f", l.write_lines("move", [moved("M-3")]), "--keys", l.keys).expect(0)
    l.ctl("erase", f"#{erased}", "--reason", "asked for", "--sign", os.path.join(l.profile, "keys", "admin.key"), "--sign", os.path.join(l.keys, "qa.key")).expect(0)
    l.end()
    l.tool("check").expect(0)


@tallied("rot")
def test_rot_of_a_stopped_ledger(done):
    """Bits flipped all over the data file, one at a time, and those that say what each of its pages is."""
    with Copy() as l:
        rotten_ledger(l, 60)
        flips = many(80, 20000)
        kinds = 0xffff if LONG else 0x20  # the one that makes a page a list of keys without values; all
        ran = run(program("tests/faults/rot"), l.dir, str(flips), str(SEED), hex(kinds), timeout=ledger.WAIT_S * flips // 40)
        done.update({what: int(n) for what, n in re.findall(r"(\w+)=(\d+)", ran.out)})
        need(ran.status == 0, f"{ran}")
        need(done["matter"] > done["flips"] // 10, f"{done}")


def flip_state(l, item):
    """A bit of the stored state of an item, while the daemon runs: the expiry, at the end. Gives back how to undo it."""
    path = os.path.join(l.dir, "data", "data.mdb")
    begin = bytes([1, 1, 0, 0, 0, len(item)]) + item.encode()  # docs/format.md, "Stored states"
    data = open(path, "rb").read()
    places, at = [], data.find(begin)
    while at >= 0:
        places.append(at + len(begin) + 2)
        at = data.find(begin, at + 1)
    need(places, f"no state of {item}")

    def flip():
        with open(path, "r+b") as f:
            for place in places:
                f.seek(place)
                byte = f.read(1)[0]
                f.seek(place)
                f.write(bytes([byte ^ 1]))
    return flip


@tallied("rot-while-it-runs")
def test_rot_while_it_runs(done):
    with Copy() as l:
        rotten_ledger(l, 40)
        l.configure("#interval_seconds = 604800", "interval_seconds = 1")
        l.configure("#entries_per_second = 1000", "entries_per_second = 100000")
        need(start(l), l.logged())
        head = l.json("show", "M-7")
        eventually("a pass is over", lambda: "all of the store was read" in l.logged())
        need("does not verify" not in l.logged(), l.logged()[-1000:])
        flip = flip_state(l, "M-7")
        flip()
        index = next(i for i, e in l.log_entries().items() if e.get("event", {}).get("fields", {}).get("item") == "M-7")
        eventually("the scrub finds it", lambda: f"\"stored data does not verify\" entry={index} " in l.logged())
        eventually("the figures tell it", lambda: f"entry {index}" in l.ctl("status").expect(0).out)
        ran = l.ctl("show", "M-7")
        need(ran.status == 3 and "does not verify" in ran.err, f"a rotten state was shown: {ran}")
        l.ctl("show", "M-8").expect(0)
        size = l.size()
        path = l.write_lines("move", [moved("M-7")])
        ran = run(*l.arguments("record", "-f", path, "--keys", l.keys, "--json"))
        need(ran.status == 3 and "nothing was recorded" in ran.err.lower(), f"a rotten state was judged upon: {ran}")
        need(l.size() == size, "something was recorded upon a rotten state")
        l.record("M-new").expect(0)
        l.end()
        need(l.tool("check").status == 1, "check does not find it")
        done["flips"] += 1
        l.tool("rebuild").expect(0)
        l.tool("check").expect(0)
        need(start(l), l.logged())
        now = l.json("show", "M-7")
        need(now["chains"] == head["chains"] if "chains" in now else True, "the state is another one")
        l.ctl("record", "-f", path, "--keys", l.keys, "--json").expect(0)
        l.end()
        l.tool("check").expect(0)


# ---- the clock ----


@tallied("clock")
def test_clock_steps_by_hours(done):
    library = next((p for p in ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1")
                    if os.path.exists(p)), None)
    if not library:
        raise Skip("libfaketime is not here")
    if SANITIZED:
        raise Skip("a sanitizer's runtime has to be loaded first")
    with Copy() as l:
        with open(os.path.join(l.profile, "profile.conf"), "a", encoding="ascii") as f:
            f.write("plain = yes\n")  # certificates have times of their own
        stamp = os.path.join(l.base, "offset")

        def shift(hours):
            with open(stamp + ".new", "w", encoding="ascii") as f:
                f.write(f"{hours * 3600:+d}\n")
            os.rename(stamp + ".new", stamp)

        class Faked:
            @staticmethod
            def environment():
                return dict(os.environ, LD_PRELOAD=library, FAKETIME_TIMESTAMP_FILE=stamp, FAKETIME_NO_CACHE="1",
                            FAKETIME_DONT_FAKE_MONOTONIC="1")

        shift(0)
        need(start(l, Faked, ["--plain"]), l.logged())
        chance = random.Random(SEED)
        hours = many([-3, 5, -48, 0], [chance.randrange(-200, 200) for _ in range(100)] + [0])
        for n, offset in enumerate(hours):
            shift(offset)
            l.record(f"C-{n}").expect(0)
        entries = l.log_entries()
        times = [entries[i]["recorded"].rstrip("Z").ljust(26, "0" if "." in entries[i]["recorded"] else " ") for i in sorted(entries)]
        need(times == sorted(times), f"recorded time ran backwards: {times}")
        steps = sum(1 for e in entries.values() if e["kind"] == "CLOCK_STEP")
        changes = sum(1 for a, b in zip([0] + hours, hours) if a != b)
        need(steps == changes, f"{changes} steps of the clock, {steps} are recorded")
        ran = l.ctl("audit", "--json")  # exit 3: the newest seal is not of this time
        need(ran.status in (0, 3) and '"holds": true' in ran.out, f"the audit does not hold: {ran}")
        l.end()
        l.tool("check").expect(0)
        done["steps"] = steps


# ---- overload ----


def memory_kib(l, what="VmRSS"):
    with open(f"/proc/{l.daemon.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(what + ":"))


def crowd(l, *arguments):
    process = subprocess.Popen([program("tests/faults/crowd"), arguments[0], l.profile, l.address, *map(str, arguments[1:])],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    l.others.append(process)
    return process


def opened(process):
    line = process.stdout.readline()
    need(line == "open\n", f"the crowd does not stand: {line or process.stderr.read()}")


def left(process):
    """Lets it end; its last line."""
    out, errors = process.communicate(timeout=2 * ledger.WAIT_S)
    need(process.returncode == 0, f"the crowd ended with {process.returncode}: {errors}")
    return out.split()


def speed(l, seconds, name):
    load = Load(l, clients=8, name=name)
    load.grows()
    before, began = load.acks(), time.monotonic()
    time.sleep(seconds)
    rate = (load.acks() - before) / (time.monotonic() - began)
    load.finish()
    return rate


@tallied("overload", "lost", "doubled")
def test_overload(done):
    """Far more than it can do: what it accepts it does, the rest is told to come again, its memory stays, and then it is as before.
    Its disk takes 10 ms for a sync then: what it can do is less than a tenth of what is offered on any machine."""
    with Copy() as l:
        l.configure("#queue = 1024", "queue = 16")
        shim = Shim(l)
        need(start(l, shim), l.logged())
        seconds = many(2, 20)
        before = speed(l, seconds, "before")
        shim.arm(disk.DELAY, 0, disk.FOREVER, kinds=(disk.SYNC,), arg=10000, where="journal/")
        able = speed(l, seconds, "able")
        rss = memory_kib(l)
        flood = crowd(l, "flood", 32, seconds, os.path.join(l.keys, "wh.key"), "FLOOD")
        opened(flood)
        words = left(flood)
        accepted, busy, other, took = int(words[1]), int(words[3]), int(words[5]), float(words[7])
        peak = memory_kib(l, "VmHWM")
        shim.disarm()
        after, tries = 0.0, 0
        while after < before / 2 and tries < 10:  # others use this machine, too
            tries += 1
            after = speed(l, seconds, f"after{tries}")
        done.update(offered=accepted + busy, accepted=accepted, busy=busy, other=other, more_kib=peak - rss, able=int(able), before=int(before), after=int(after))
        need(other == 0, f"{other} answers were neither an acceptance nor BUSY")
        need(accepted + busy >= 10 * accepted, f"{accepted + busy} were offered, {accepted} accepted: that is no overload")
        need(accepted >= able * took / 4, f"{accepted} accepted in {took} s, {able:.0f} a second without the rest")
        need(SANITIZED or peak - rss < 128 << 10, f"{peak - rss} KiB more than before")
        need(after >= before / 2, f"{before:.0f} events a second before, {after:.0f} after")
        recorded = sum(1 for e in l.log_entries().values() if e.get("event", {}).get("id", "").startswith("FLOOD"))
        need(recorded == accepted, f"{accepted} were accepted, {recorded} are recorded")
        l.end()
        l.tool("check").expect(0)


class NoMemory:
    """Under it the daemon's main thread gets no memory for what is new, while a file exists."""

    def __init__(self, l):
        self.flag = os.path.join(l.base, "no-memory")

    def environment(self):
        return dict(os.environ, LD_PRELOAD=program("tests/faults/no_memory.so"), NO_MEMORY=self.flag)

    def begin(self):
        with open(self.flag, "wb"):
            pass

    def end(self):
        os.unlink(self.flag)


def test_a_connection_for_which_there_was_no_memory():
    """It is taken when there is memory again, and so is everybody after it."""
    if SANITIZED:
        raise Skip("a sanitizer has its own calloc")
    with Copy() as l:
        memory = NoMemory(l)
        need(start(l, memory), l.logged())
        l.record("M-0").expect(0)  # what the daemon makes once it has made
        memory.begin()
        waiting = l.ctl_start("status", out=os.path.join(l.base, "out"))
        eventually("the daemon has no memory for it", lambda: "out of memory" in l.logged())
        memory.end()
        need(waiting.wait(ledger.WAIT_S) == 0, l.logged())
        l.record("M-1").expect(0)
        l.end()


@tallied("idle-connections", "connections_lost")
def test_idle_connections(done):
    n = many(400, 10000)
    if OPEN_FILES < n + 1000:
        raise Skip(f"the system allows {OPEN_FILES} open files to a process")
    with Copy() as l:
        l.configure("#connections_max = 4096", "connections_max = 12000")
        need(start(l), l.logged())
        l.record("M-1").expect(0)
        first = crowd(l, "idle", 50)  # what the first ones make the program load is not theirs
        opened(first)
        rss = memory_kib(l)
        parts = [crowd(l, "idle", n // 4) for _ in range(4)]
        for part in parts:
            opened(part)
        each = (memory_kib(l) - rss) * 1024 / n
        began = time.monotonic()
        l.record("M-2").expect(0)
        took = time.monotonic() - began
        for part in [first] + parts:
            need(left(part)[0] == "alive", "a connection was lost")
        eventually("they are gone", lambda: memory_kib(l) > 0 and l.record(f"M-{time.monotonic_ns()}").status == 0)
        l.end()
        l.tool("check").expect(0)
        done.update(connections=n, bytes_each=int(each), record_beside_them_ms=int(took * 1000))
        need(SANITIZED or each < 48 << 10, f"{each:.0f} bytes for each connection")


@tallied("storm")
def test_slow_readers_and_storms(done):
    with Copy() as l:
        l.configure("#hello_seconds = 10", "hello_seconds = 2")
        need(start(l), l.logged())
        l.record(*(f"M-{i}" for i in range(300))).expect(0)
        rss = memory_kib(l)
        readers = crowd(l, "slow", many(50, 500))
        opened(readers)
        # Slow senders: bytes that never become a greeting.
        host, port = l.address.rsplit(":", 1)
        import socket
        dripping = [socket.create_connection((host, int(port))) for _ in range(many(50, 1000))]
        for s in dripping:
            s.sendall(b"\x16\x03\x01")
        storm = crowd(l, "storm", 8, many(2, 60))
        for i in range(5):
            l.record(f"S-{i}").expect(0)
        words = left(storm)
        readers.stdin.close()
        readers.wait(ledger.WAIT_S)
        for s in dripping:
            s.settimeout(ledger.WAIT_S)
            while True:
                try:
                    if not s.recv(1000):
                        break
                except ConnectionResetError:
                    break
            s.close()
        l.record("after").expect(0)
        more = memory_kib(l, "VmHWM") - rss
        done.update(connections=int(words[1]), slow_readers=many(50, 500), slow_senders=len(dripping), more_kib=more)
        need(SANITIZED or more < 160 << 10, f"{more} KiB more than before")
        l.end()
        l.tool("check").expect(0)


if __name__ == "__main__":
    ledger.BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))  # a crowd has a descriptor for each client
    Kept.make()
    try:
        status = cases.main(globals(), sys.argv)
    finally:
        Kept.drop()
    sys.exit(status)
