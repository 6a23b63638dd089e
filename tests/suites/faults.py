#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing lost: the daemon under several clients that keep what they were promised, killed at every step of its write path, on a disk that
fails at every call, and without power at any moment; then started again and asked for all of it. With LEDGERD_LONG=1 as often as one
leaves it running over lunch.

    faults.py BUILD [TEST…]
"""
import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import cases  # noqa: E402
import disk  # noqa: E402
import ledger  # noqa: E402
from cases import Skip  # noqa: E402
from disk import Load, Shim, check_promises, check_whole, ended, start  # noqa: E402
from ledger import Ledger, eventually, need, program, run  # noqa: E402

LONG = os.environ.get("LEDGERD_LONG") == "1"
SEED = int(os.environ.get("LEDGERD_SEED", "1"))
# Steps of the write path: kinds of calls, and how many of them pass before. A batch writes some pages, syncs, and writes the durable page
# that makes them count; beside it the anchor is written anew, synced and renamed.
STEPS = [((disk.WRITE,), 0), ((disk.WRITE,), 1), ((disk.WRITE,), 2), ((disk.WRITE,), 4), ((disk.SYNC,), 0), ((disk.SYNC,), 1),
         ((disk.DURABLE, disk.SYNC), 1), ((disk.DURABLE,), 0), ((disk.DURABLE,), 1), ((disk.CREATE,), 0), ((disk.RENAME,), 0),
         ((disk.RENAME, disk.SYNC), 2)]
STEPS_OF_A_START = 60  # at most looked at


def many(short, long):
    return long if LONG else short


def tally(name, **counts):
    print("TALLY " + name + " " + " ".join(f"{k}={v}" for k, v in counts.items()), flush=True)


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
    check_promises(l, promises)
    recorded = sum(1 for e in l.log_entries().values() if e["kind"] == "MATERIAL_RECEIVED")
    need(recorded == promises.sent, f"{recorded} events are recorded, {promises.sent} were made")
    l.end()
    check_whole(l, promises, "at the end")
    return promises


# ---- crash ----


def test_kill_at_every_step():
    """kill -9 before, in the middle of, and after each call that changes the disk, under load; the same in the start that follows."""
    rounds, kills, steps = many(1, 40), 0, collections.Counter()
    for _ in range(rounds):
        with Copy() as l:
            shim = Shim(l)
            need(start(l, shim), l.logged())
            load = Load(l, clients=3, batch=1 + rounds % 5)
            for kinds, skip in STEPS:
                for action in disk.KILL_BEFORE, disk.KILL_MIDDLE, disk.KILL_AFTER:
                    load.grows()
                    shim.arm(action, skip, kinds=kinds)
                    need(ended(l) == disk.SIGKILLED, f"not killed: {l.logged()[-500:]}")
                    kills += 1
                    steps[shim.hit().split(".new-")[0]] += 1
                    check_whole(l, load.promises(), f"{disk.NAMES[action]} {shim.hit()}")
                    shim.disarm()
                    need(start(l, shim), f"it does not start again: {l.logged()[-1000:]}")
            whole_again(l, load)
    tally("kill-at-a-step", kills=kills, kinds_of_step=len(steps), lost=0, doubled=0, forked=0)
    need(len(steps) >= 4, f"{steps}")


def test_kill_in_the_start():
    """The same within the start of the daemon: its tail's verification, its epoch, its anchor."""
    kills = 0
    with Copy() as l:
        shim = Shim(l)
        need(start(l, shim), l.logged())
        load = Load(l, clients=2)
        load.grows()
        for action in disk.KILL_BEFORE, disk.KILL_MIDDLE, disk.KILL_AFTER:
            for step in range(STEPS_OF_A_START):
                if l.daemon:
                    l.stop(9)
                shim.arm(action, step)
                if start(l, shim):
                    shim.disarm()
                    break
                need(l.daemon.wait() == disk.SIGKILLED, l.logged()[-500:])
                l.daemon = None
                kills += 1
                check_whole(l, load.promises(), f"{disk.NAMES[action]} {shim.hit()}")
        shim.disarm()
        if not l.daemon:
            need(start(l, shim), l.logged()[-500:])
        whole_again(l, load)
    tally("kill-in-the-start", kills=kills, lost=0, doubled=0, forked=0)
    need(kills >= 6, f"{kills} kills")


def test_kill_at_random():
    kills, want, acknowledged = 0, many(15, 3000), 0
    chance = random.Random(SEED)
    while kills < want:
        with Copy() as l:
            need(start(l), l.logged())
            load = Load(l, clients=4, batch=chance.choice((1, 1, 7, 100)))
            for _ in range(min(50, want - kills)):
                load.grows(1)
                time.sleep(chance.random() * 0.03)
                need(l.stop(9) == disk.SIGKILLED, "the daemon was gone before")
                kills += 1
                if not LONG or chance.random() < 0.2:
                    check_whole(l, load.promises(), f"kill {kills}, seed {SEED}")
                need(start(l), f"kill {kills}: {l.logged()[-1000:]}")
            acknowledged += len(whole_again(l, load).acks)
    tally("kill-at-random", kills=kills, acknowledged=acknowledged, lost=0, doubled=0, forked=0)


# ---- faults of the disk ----


def fault(l, shim, load, action, step, count):
    """One fault under load. The process goes on, or ends where it cannot know what is on the disk; in both cases it has told the truth."""
    load.grows()
    shim.arm(action, step[1], count, kinds=step[0], arg=20000)
    eventually("the fault is met", lambda: shim.hit() or l.daemon.poll() is not None)
    if action not in (disk.SHORT, disk.DELAY):
        time.sleep(0.02)  # what it does next, if it goes on, is part of the matter
    else:
        load.grows()
    what = shim.hit()
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
        check_whole(l, load.promises(), f"{disk.NAMES[action]} at {what}")
        shim.disarm()
        need(start(l, shim), f"{disk.NAMES[action]} at {what}: it does not start again: {l.logged()[-1000:]}")
    return what.split(".new-")[0], survived


def test_faults_at_every_step():
    outcomes, faults = collections.defaultdict(collections.Counter), 0
    for round_ in range(many(1, 30)):
        with Copy() as l:
            shim = Shim(l)
            need(start(l, shim), l.logged())
            load = Load(l, clients=3, batch=1 + round_ % 7)
            for action in disk.EIO, disk.ENOSPC, disk.SHORT, disk.DELAY, disk.EIO_AFTER:
                for step in STEPS:
                    what, survived = fault(l, shim, load, action, step, 1 + faults % 2)
                    outcomes[disk.NAMES[action], what][survived] += 1
                    faults += 1
            whole_again(l, load)
    if LONG:
        for (action, what), n in sorted(outcomes.items()):
            print(f"  {action:>18} {what:<40} ended {n[False]}, went on {n[True]}")
    tally("fault-of-the-disk", faults=faults, kinds=len(outcomes), ended=sum(n[False] for n in outcomes.values()), lost=0, doubled=0,
          forked=0, false_acknowledgements=0)


def test_faults_in_the_start():
    """A start that fails says so and leaves everything as it was; the next one is good."""
    faults = 0
    with Copy() as l:
        shim = Shim(l)
        need(start(l, shim), l.logged())
        load = Load(l, clients=2)
        load.grows()
        for action in disk.EIO, disk.ENOSPC, disk.EIO_AFTER:
            for step in range(STEPS_OF_A_START):
                if l.daemon:
                    l.stop(9)
                shim.arm(action, step)
                served = start(l, shim)
                met = shim.hit()
                shim.disarm()
                if not met:
                    break
                faults += 1
                if not served:
                    need(l.daemon.wait() == 1, f"{disk.NAMES[action]} at {met}: {l.logged()[-1000:]}")
                    l.daemon = None
                    check_whole(l, load.promises(), f"{disk.NAMES[action]} at {met}")
        if not l.daemon:
            need(start(l, shim), l.logged()[-500:])
        whole_again(l, load)
    tally("fault-in-the-start", faults=faults, lost=0, doubled=0, forked=0)
    need(faults >= 6, f"{faults} faults")


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


def test_power_cut_by_replay():
    """The trace of a run, cut at any call, with any of what was not synced kept, lost or torn at sectors."""
    images, chance = 0, random.Random(SEED)
    for faulty in many((0, 2), range(0, 12)):
        with Copy() as l:
            trace = os.path.join(l.base, "trace")
            files, promises = traced_run(l, trace, faulty)
            calls = disk.read_trace(trace)
            need(len(calls) > 50, f"{len(calls)} calls in the trace")
            want = many(30, 600)
            model, cuts = disk.Disk({p: c for p, c in files.items() if "/run/" not in p}), collections.Counter(
                chance.randrange(len(calls)) for _ in range(want))
            for i, call in enumerate(calls):
                for n in range(cuts[i]):
                    what = f"cut {n} at call {i} of {len(calls)}, {call.op} {call.path}, seed {SEED}, faulty {faulty}"
                    open_image(l, model.image(chance, call), promises.newest(call.began_ns), what)
                    images += 1
                model.apply(call)
    tally("power-cut-by-replay", images=images, lost=0, doubled=0, forked=0)


FS_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_WITHOUT_LOG = 2


def loop_mounted(base, size):
    """An ext4 of its own for a folder; or Skip."""
    if os.geteuid() != 0:
        raise Skip("mounting a file system takes root")
    image = base + ".img"
    with open(image, "wb") as f:
        f.truncate(size)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], stderr=subprocess.PIPE, check=False)
    if made.returncode or subprocess.run(["mount", "-o", "loop", image, base], stderr=subprocess.PIPE, check=False).returncode:
        os.unlink(image)
        raise Skip("file systems cannot be made and mounted here")
    return image


def test_power_cut_on_ext4():
    """A real file system, shut down by its ioctl under load, its journal replayed by the next mount."""
    import fcntl
    import struct
    base, cuts, acknowledged = tempfile.mkdtemp(prefix="ledgerd-ext4-"), 0, 0
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
                cuts += 1
                subprocess.run(["umount", base], check=True)
                subprocess.run(["mount", "-o", "loop", image, base], check=True)
                check_whole(l, load.promises(), f"cut {cuts}")
                need(start(l), f"cut {cuts}: {l.logged()[-1000:]}")
            acknowledged = len(whole_again(l, load).acks)
            l.base = base + ".none"
    finally:
        subprocess.run(["umount", "-l", base], stderr=subprocess.DEVNULL, check=False)
        for path in (image or "",):
            if path:
                os.unlink(path)
        shutil.rmtree(base, ignore_errors=True)
    tally("power-cut-on-ext4", cuts=cuts, acknowledged=acknowledged, lost=0, doubled=0, forked=0)


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


def test_full_disk_keeps_room_for_a_recall():
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
            l.base = base + ".none"
    finally:
        if mounted:
            subprocess.run(["umount", "-l", base], check=False)
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    ledger.BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
    Kept.make()
    try:
        status = cases.main(globals(), sys.argv)
    finally:
        Kept.drop()
    sys.exit(status)
