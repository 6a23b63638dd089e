# SPDX-License-Identifier: Apache-2.0
"""Between a daemon and its disk: the preloaded shim (tests/faults/shim.h), clients that keep what they were promised
(tests/faults/load.c), and what a power cut may leave."""
import base64
import ctypes
import mmap
import os
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "independent"))
import ledger
import tree
from ledger import Failure, eventually, need, program, run

NOTHING, EIO, ENOSPC, SHORT, DELAY, KILL_BEFORE, KILL_MIDDLE, KILL_AFTER, EIO_AFTER = range(9)
NAMES = ("nothing", "EIO", "ENOSPC", "short", "delay", "kill before", "kill in the middle", "kill after", "EIO although done")
DURABLE, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, CREATE = range(7)  # kinds of calls; DURABLE: a write that is on the disk when it returns
SIGKILLED = -signal.SIGKILL
FOREVER = 2**64 - 1


class Control(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("calls", "armed", "mask", "skip", "left", "action", "arg", "hits")] + [("what", ctypes.c_char * 200), ("only", ctypes.c_char * 32)]


class Shim:
    """The control file of one ledger's daemon; it outlives restarts."""

    def __init__(self, l, trace=None):
        self.folder, self.path, self.trace = l.dir, os.path.join(l.base, "shim"), trace
        with open(self.path, "wb") as f:
            f.write(bytes(ctypes.sizeof(Control)))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), ctypes.sizeof(Control))
        self.control = Control.from_buffer(self.map)

    def environment(self):
        found = dict(os.environ, LD_PRELOAD=program("tests/faults/shim.so"), SHIM_FOLDER=self.folder, SHIM_CONTROL=self.path)
        found["ASAN_OPTIONS"] = found.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"  # the shim comes before its runtime
        if self.trace:
            found["SHIM_TRACE"] = self.trace
        return found

    def arm(self, action, skip=0, count=1, kinds=None, arg=0, where=""):
        """Lets so many calls pass, of these kinds (all by default) and to files whose names begin so, and acts on the next ones."""
        c = self.control
        c.armed = c.hits = 0
        c.action, c.arg, c.skip, c.left, c.only = action, arg, skip, count, where.encode()
        c.mask = sum(1 << k for k in kinds) if kinds is not None else FOREVER
        c.armed = 1

    def disarm(self):
        self.control.armed = 0

    def hit(self):
        return self.control.what.decode(errors="replace") if self.control.hits else ""


class Promises:
    """What the clients of one run have written down."""

    def __init__(self, path):
        self.path, self.acks, self.errors, self.sent = path, [], [], 0
        for line in open(path, encoding="utf-8", errors="replace") if os.path.exists(path) else ():
            words = line.rstrip("\n").split(" ", 6)
            if words[0] == "ack" and len(words) == 7:
                self.acks.append((int(words[1]), int(words[2]), words[3], int(words[4]), int(words[5]), words[6]))
            elif words[0] == "error":
                self.errors.append((int(words[1]), words[2], " ".join(words[3:])))
            elif words[0] == "sent":
                self.sent += int(words[1])

    def newest(self, before_ns=FOREVER):
        """The largest checkpoint that anybody had by then: size and text, or None."""
        best = max((a for a in self.acks if a[0] < before_ns), key=lambda a: a[3], default=None)
        return (best[3], base64.b64decode(best[5]).decode()) if best else None


class Load:
    """Clients in the background, each with one batch on its way."""

    runs = 0

    def __init__(self, l, clients=3, batch=1, name="load"):
        Load.runs += 1
        self.l, self.out = l, os.path.join(l.base, name + ".acks")
        self.errors = open(os.path.join(l.base, name + ".err"), "ab")
        self.process = subprocess.Popen([program("tests/faults/load"), "record", l.profile, l.address, os.path.join(l.keys, "wh.key"),
                                         self.out, str(clients), str(batch), f"R{Load.runs}"], stdin=subprocess.PIPE,
                                        stderr=self.errors)
        l.others.append(self.process)

    def promises(self):
        return Promises(self.out)

    def acks(self):
        with open(self.out, "rb") as f:
            return f.read().count(b"ack ")

    def grows(self, by=3):
        """Waits until so much more is acknowledged; or the daemon or the clients are gone."""
        before = self.acks() if os.path.exists(self.out) else 0
        eventually("the load goes on", lambda: os.path.exists(self.out) and self.acks() >= before + by or self.l.daemon.poll() is not None
                   or self.process.poll() is not None)
        need(self.process.poll() is None, f"the clients ended with {self.process.poll()}: {self.said()}")

    def said(self):
        return open(self.errors.name, encoding="utf-8", errors="replace").read()[-1000:]

    def finish(self):
        """Each client finishes what it has begun; everything that was made is acknowledged then."""
        self.process.stdin.close()
        eventually("the clients end", lambda: self.process.poll() is not None)
        need(self.process.returncode == 0, f"the clients ended with {self.process.returncode}: {self.said()}")
        return self.promises()


def start(l, shim=None, arguments=()):
    """Starts the daemon, with the shim if there is one. True: it serves; False: it ended before."""
    told = os.path.join(l.dir, "run", "address")
    if os.path.exists(told):
        os.unlink(told)
    environment = shim.environment() if shim else dict(os.environ)
    # Where it cannot know what is on the disk it ends at once: with threads that nobody has waited for.
    environment["TSAN_OPTIONS"] = environment.get("TSAN_OPTIONS", "") + ":report_thread_leaks=0"
    with open(l.log, "ab") as log:
        l.daemon = subprocess.Popen([program("ledgerd"), "run", l.dir, "--listen", l.address, *arguments], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, env=environment)
    end = time.monotonic() + ledger.WAIT_S
    while time.monotonic() < end:
        if l.daemon.poll() is not None:
            return False
        if os.path.exists(told) and os.path.getsize(told):
            l.address = open(told, encoding="ascii").read().strip()
            return True
        time.sleep(0.002)
    raise Failure("the daemon neither serves nor ends")


def ended(l, seconds=ledger.WAIT_S):
    """Waits for the daemon to end by itself; its exit code."""
    try:
        status = l.daemon.wait(seconds)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"the daemon did not end: {l.logged()[-1500:]}") from late
    l.daemon = None
    return status


def check_whole(l, promises, what="", replay=True):
    """The folder is whole, and has everything that was acknowledged: the newest checkpoint that a client was given stands in for the
    anchor, and every acknowledged entry is below it. Then with the ledger's own anchor. Without `replay` by hashes alone."""
    newest = promises.newest()
    how = ["--json"] if replay else ["--json", "--hashes"]
    if newest:
        note = os.path.join(l.base, "newest")
        with open(note, "w", encoding="utf-8") as f:
            f.write(newest[1])
        ran = run(program("ledgerd"), "check", l.dir, *how, "--anchor", note, timeout=2 * ledger.WAIT_S)
        need(ran.status == 0, f"{what}: {ran}\n{l.logged()[-1500:]}")
    own = ["--json", "--hashes"] if newest else ["--json"]  # all of it was derived a moment ago
    ran = run(program("ledgerd"), "check", l.dir, *own, timeout=2 * ledger.WAIT_S)
    need(ran.status == 0, f"{what}: with its own anchor: {ran}\n{l.logged()[-1500:]}")


def check_promises(l, promises, receipts):
    """Each event has one place, each place one event, and the log has it there; every checkpoint that anybody was given is of this log; about so many
    receipts, fetched anew, verify and say the same. Gives what the log has."""
    indexes, ids, entries = {}, {}, l.log_entries(("event_id", "leaf", "kind"))
    for _, index, event_id, size, _, _ in promises.acks:
        need(index < size, f"entry {index} under a checkpoint of {size}")
        need(indexes.setdefault(index, event_id) == event_id, f"entry {index} was given to two events")
        need(ids.setdefault(event_id, index) == index, f"event {event_id} has two places")
        need(entries[index]["event_id"] == event_id, f"entry {index} is not event {event_id}, which was acknowledged there")
    seen = {a[5] for a in promises.acks}
    lines = [base64.b64decode(note).decode().split("\n") for note in seen]
    roots = tree.roots((bytes.fromhex(entries[i]["leaf"]) for i in range(len(entries))), {int(n[1]) for n in lines})
    for note in lines:
        need(roots.get(int(note[1])) == base64.b64decode(note[2]), f"the checkpoint of {note[1]} entries, which was acknowledged, is of another tree")
    folder = os.path.join(l.base, "receipts")
    os.makedirs(folder, exist_ok=True)
    step = max(1, len(promises.acks) // receipts)
    run(program("tests/faults/load"), "receipts", l.profile, l.address, promises.path, folder, str(step)).expect(0)
    for name in os.listdir(folder)[:2]:
        l.ctl("verify", os.path.join(folder, name)).expect(0)
    run(program("tests/faults/load"), "verify", l.profile, l.address, folder).expect(0)
    return entries


# ---- what a power cut may leave ----

RECORD = struct.Struct("=IIQQqQIIQ")
SECTOR = 512


class Call:
    """One record of a trace."""

    def __init__(self, text, at):
        (self.op, self.durable, self.began_ns, self.ended_ns, self.result, self.offset, path_n, to_n, data_n) = RECORD.unpack_from(text, at)
        at += RECORD.size
        self.path = text[at:at + path_n].decode()
        self.to = text[at + path_n:at + path_n + to_n].decode()
        at += path_n + to_n
        self.data = text[at:at + data_n]
        self.end = at + data_n


def read_trace(path):
    text, at, calls = open(path, "rb").read(), 0, []
    while at + RECORD.size <= len(text):
        call = Call(text, at)
        if call.end > len(text):
            break
        calls.append(call)
        at = call.end
    return calls


class Disk:
    """What is certainly on the disk, and what is only under way: of each file the writes since its last sync, of the folders the
    changes since theirs. A cut may keep any of the former, whole or torn at a sector, and the latter up to some point, as a journal does."""

    def __init__(self, files):
        self.files = {path: bytearray(content) for path, content in files.items()}  # what the names stand for on the disk
        self.open = dict(self.files)  # … and for the processes; a file is one bytearray in both
        self.writes = []  # (file, offset, bytes); a truncation: (file, size, None)
        self.names = []   # (RENAME, from, to, file), (UNLINK, path, None, None), (CREATE, path, None, file)

    @staticmethod
    def put(file, offset, data):
        if data is None:
            del file[offset:]
            file.extend(bytes(max(0, offset - len(file))))
            return
        if len(file) < offset + len(data):
            file.extend(bytes(offset + len(data) - len(file)))
        file[offset:offset + len(data)] = data

    def settle(self, file):
        rest = []
        for f, offset, data in self.writes:
            if f is file:
                self.put(f, offset, data)
            else:
                rest.append((f, offset, data))
        self.writes = rest

    @staticmethod
    def name(files, change):
        op, path, to, file = change
        if op == RENAME:
            files.pop(path, None)
            files[to] = file
        elif op == UNLINK:
            files.pop(path, None)
        else:
            files[path] = file

    def settle_names(self, folder):
        """A sync of a folder makes the changes before it durable: the journal is one."""
        del folder
        for change in self.names:
            self.name(self.files, change)
        self.names = []

    def begin(self, call):
        """The call as something that may or may not have reached the disk; a list of changes to `writes` and `names`."""
        file = self.open.get(call.path)
        if call.op == WRITE and file is not None:
            self.writes.append((file, call.offset, call.data))
        elif call.op == TRUNCATE and file is not None:
            self.writes.append((file, call.offset, None))
        elif call.op == CREATE:
            self.names.append((CREATE, call.path, None, bytearray()))
        elif call.op == RENAME and file is not None:
            self.names.append((RENAME, call.path, call.to, file))
        elif call.op == UNLINK:
            self.names.append((UNLINK, call.path, None, None))

    def apply(self, call):
        """The call as it returned."""
        if call.result < 0:
            if call.op == SYNC and call.path in self.open:  # what a failed sync could not write is given up, not written later
                lost = self.open[call.path]
                self.writes = [w for w in self.writes if w[0] is not lost]
            return
        if call.op == SYNC:
            if call.path in self.open:
                self.settle(self.open[call.path])
                self.settle_names(None)  # a new file's sync brings its name with it, on the file systems that are used
            else:
                self.settle_names(call.path)
            return
        if call.op == WRITE:
            call.data = call.data[:call.result]
        self.begin(call)
        if call.op in (CREATE, RENAME, UNLINK):
            if call.op == CREATE:
                self.open[call.path] = self.names[-1][3]
            else:
                self.name(self.open, self.names[-1]) if self.names else None
        elif call.durable and call.path in self.open:
            self.put(*self.writes.pop())

    def image(self, random, call):
        """One state that a cut during the call may leave, as path → bytes."""
        writes, names = list(self.writes), list(self.names)
        self.begin(call)
        how = random.choice(("none", "all", "some", "some", "one lost", "one torn"))
        victim = random.randrange(len(self.writes)) if self.writes else -1
        kept_names = self.names[:random.randrange(len(self.names) + 1)]
        copies = {}

        def copy(file):
            return copies.setdefault(id(file), bytearray(file))

        for i, (file, offset, data) in enumerate(self.writes):
            keep = {"none": False, "all": True, "some": random.random() < 0.5, "one lost": i != victim, "one torn": True}[how]
            if keep and data is not None and (how == "some" and random.random() < 0.3 or how == "one torn" and i == victim):
                self.tear(random, copy(file), offset, data)
            elif keep:
                self.put(copy(file), offset, data)
        files = dict(self.files)
        for change in kept_names:
            self.name(files, change)
        self.writes, self.names = writes, names
        return {path: bytes(copy(file)) for path, file in files.items()}

    def tear(self, random, file, offset, data):
        """Any of the sectors that the write touches."""
        at = 0
        while at < len(data):
            n = min(SECTOR - (offset + at) % SECTOR, len(data) - at)
            if random.random() < 0.5:
                self.put(file, offset + at, data[at:at + n])
            at += n
