#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hostile: a client that breaks every rule of the protocol, against a real daemon.

usage: hostile.py PATH-TO-LEDGERD [name of a test ...]

Makes a ledger in a temporary folder with short time limits, runs the daemon on a free port and attacks it. After each test an
orderly client must still be served and the daemon's memory must be bounded. The last line is "N passed, N failed".
Needs nothing but Python's standard library.
"""
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

# The daemon's limits, and how late anything may come: only so that a test ends which hangs. Sanitizers are slow.
FACTOR = int(os.environ.get("LEDGERD_TIME_FACTOR", "1"))
HELLO_S, FRAME_S, STALL_S, DRAIN_S = 4 * FACTOR, 3 * FACTOR, 3 * FACTOR, 10 * FACTOR
LATE_S = 60 * FACTOR
CONNECTIONS_MAX = 2100
IDLE = 2000
# ErrorCode and Recorded of ledger.proto.
MALFORMED, UNKNOWN_REQUEST, VERSION, BUSY, DENIED, NOT_FOUND, LIMIT, SHUTTING_DOWN = range(1, 9)
CANCELED, TIMEOUT = 11, 12
NOTHING = 1


# ---- protobuf, as little as is needed ----

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """All fields of a message as (number, value); fixed-size ones as bytes."""
    def number_at(at):
        v = shift = 0
        while True:
            b = data[at]
            at += 1
            v |= (b & 127) << shift
            shift += 7
            if b < 128:
                return v, at
    at, out = 0, []
    while at < len(data):
        tag, at = number_at(at)
        kind = tag & 7
        if kind == 0:
            v, at = number_at(at)
        elif kind == 2:
            n, at = number_at(at)
            v, at = data[at:at + n], at + n
        else:
            n = 8 if kind == 1 else 4
            v, at = data[at:at + n], at + n
        out.append((tag >> 3, v))
    return out


def frame(message):
    return struct.pack(">I", len(message)) + message


HELLO, SUBMIT, CHECKPOINT, ENTRIES, STATUS, CREDIT, CANCEL, ERROR = 10, 11, 12, 14, 18, 19, 20, 9


def request(number, op, body=b""):
    return field(1, number) + field(op, body)


def hello(minimum=1, maximum=1, origin=b""):
    return request(1, HELLO, field(1, minimum) + field(2, maximum) + (field(4, origin) if origin else b""))


class Response:
    def __init__(self, data):
        self.id, self.more, self.op, self.body = 0, False, None, b""
        for number, value in fields(data):
            if number == 1:
                self.id = value
            elif number == 2:
                self.more = bool(value)
            else:
                self.op, self.body = number, value
        self.code = self.recorded = None
        self.text = b""
        if self.op == ERROR:
            self.code, self.recorded = 0, 0
            for number, value in fields(self.body):
                if number == 1:
                    self.code = value
                elif number == 2:
                    self.text = value
                elif number == 3:
                    self.recorded = value

    def __repr__(self):
        return f"<id {self.id} op {self.op} code {self.code} {self.text!r} recorded {self.recorded}>"


# ---- the daemon ----

class Daemon:
    def __init__(self, program):
        self.program = os.path.abspath(program)
        self.base = tempfile.mkdtemp(prefix="ledgerd-hostile-")
        self.dir = os.path.join(self.base, "ledger")
        self.command("init", self.dir, "--origin", "example.org/hostile", "--listen", "127.0.0.1:0")
        self.other = os.path.join(self.base, "other")
        self.command("init", self.other, "--origin", "example.org/other")
        self.configure({"map_size": "1G"}, self.other)  # the thread sanitizer leaves no room for the default size
        self.configure({"connections_max": CONNECTIONS_MAX, "hello_seconds": HELLO_S, "frame_seconds": FRAME_S,
                        "stall_seconds": STALL_S, "drain_seconds": DRAIN_S, "map_size": "1G"})
        self.profile = os.path.join(self.dir, "profile")
        self.log = open(os.path.join(self.base, "log"), "w+")
        self.start()

    def command(self, *arguments, code=0):
        r = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=LATE_S)
        assert r.returncode == code, f"{arguments}: exit {r.returncode}: {r.stderr}"
        return r.stdout + r.stderr

    def configure(self, keys, folder=None):
        path = os.path.join(folder or self.dir, "ledgerd.conf")
        text = open(path).read()
        for key, value in keys.items():
            text, n = re.subn(rf"(?m)^#?{key} = .*$", f"{key} = {value}", text, count=1)  # [http] has some of the names again
            assert n == 1, key
        open(path, "w").write(text)

    def start(self):
        address = os.path.join(self.dir, "run", "address")
        self.process = subprocess.Popen([self.program, "run", self.dir], stderr=self.log, stdout=self.log)
        deadline = time.monotonic() + LATE_S
        while not os.path.exists(address):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log_text()
            time.sleep(0.02)
        host, port = open(address).read().strip().rsplit(":", 1)
        self.address = (host, int(port))

    def log_text(self):
        self.log.flush()
        return open(os.path.join(self.base, "log")).read()

    def memory(self, what="VmRSS"):
        """Resident bytes, without the store's file, which is mapped and counts as long as the kernel likes. Sanitizers keep freed
        memory on purpose: under one of them nothing is measured."""
        if "san.so" in open(f"/proc/{self.process.pid}/maps").read():
            return 0
        text = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(rf"{'RssAnon' if what == 'VmRSS' else what}:\s+(\d+) kB", text).group(1)) * 1024

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=LATE_S + DRAIN_S)


class Client:
    def __init__(self, daemon, profile=None, say_hello=True, certificate=True, maximum=None, receive_buffer=None):
        profile = profile or daemon.profile
        self.raw = socket.socket()
        if receive_buffer:
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.raw.settimeout(LATE_S)
        self.raw.connect(daemon.address)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(os.path.join(daemon.profile, "ca.pem"))
        if certificate:
            context.load_cert_chain(os.path.join(profile, "client.pem"), os.path.join(profile, "client.key"))
        if maximum:
            context.maximum_version = maximum
        self.s = context.wrap_socket(self.raw, server_hostname="localhost")
        self.s.settimeout(LATE_S)
        if say_hello:
            self.send(hello())
            r = self.receive()
            assert r.op == HELLO and r.id == 1, r

    def send(self, *messages):
        self.s.sendall(b"".join(frame(m) for m in messages))

    def exactly(self, n):
        out = b""
        while len(out) < n:
            part = self.s.recv(n - len(out))
            if not part:
                raise EOFError("the server closed the connection")
            out += part
        return out

    def receive(self):
        return Response(self.exactly(struct.unpack(">I", self.exactly(4))[0]))

    def ask(self, message):
        self.send(message)
        return self.receive()

    def is_closed(self):
        """True if the server ends the connection; collects what it says before."""
        self.last = None
        deadline = time.monotonic() + LATE_S
        try:
            while time.monotonic() < deadline:
                self.s.settimeout(max(0.05, deadline - time.monotonic()))
                self.last = self.receive()
        except (EOFError, ConnectionError, ssl.SSLError, BrokenPipeError) as e:
            return not isinstance(e, TimeoutError)
        except TimeoutError:
            return False
        return False

    def close(self):
        self.s.close()


def works(daemon):
    c = Client(daemon)
    r = c.ask(request(2, STATUS))
    assert r.op == STATUS and r.id == 2, r
    c.close()


# ---- the tests ----

def test_good_client(d):
    c = Client(d)
    assert c.ask(request(7, CHECKPOINT)).op == CHECKPOINT
    r = c.ask(request(8, ENTRIES, field(2, 2)))
    assert r.op == ENTRIES and not r.more, r


def test_frame_of_4_gib(d):
    for head in (b"\xff\xff\xff\xff", struct.pack(">I", (4 << 20) + 1), b"\0\0\0\0"):
        c = Client(d)
        c.s.sendall(head)
        r = c.receive()
        assert r.id == 0 and r.code == LIMIT and r.recorded == NOTHING, r
        assert c.is_closed()


def test_announced_but_not_sent(d):
    before = d.memory()
    clients = [Client(d) for _ in range(40)]
    for c in clients:
        c.s.sendall(struct.pack(">I", 4 << 20) + b"x" * 10)
    time.sleep(0.3)
    assert d.memory() - before < 16 << 20, d.memory() - before
    assert clients[0].is_closed() and clients[0].last.code == TIMEOUT


def test_cut_anywhere(d):
    data = frame(hello()) + frame(request(2, STATUS)) + frame(request(3, SUBMIT, field(1, b"x" * 40)))
    for cut in range(0, len(data), 2):
        c = Client(d, say_hello=False)
        c.s.sendall(data[:cut])
        if cut % 4:
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()


def test_byte_by_byte(d):
    c = Client(d, say_hello=False)
    for b in frame(hello()) + frame(request(2, STATUS)):
        c.s.sendall(bytes([b]))
    assert c.receive().op == HELLO
    assert c.receive().op == STATUS


def test_random_bytes(d):
    rng = random.Random(20260301)
    for _ in range(60):
        s = socket.create_connection(d.address, timeout=LATE_S)
        try:
            s.sendall(rng.randbytes(rng.randrange(1, 3000)))
        except OSError:
            pass
        s.close()
    for _ in range(40):
        c = Client(d, say_hello=rng.random() < 0.5)
        try:
            c.s.sendall(rng.randbytes(rng.randrange(1, 3000)))
            c.close()
        except OSError:
            pass
    for _ in range(60):
        c = Client(d)
        try:
            c.send(rng.randbytes(rng.randrange(1, 200)))
            c.receive()
            c.close()
        except (OSError, EOFError):
            pass


def test_no_message_in_frame(d):
    c = Client(d)
    c.send(b"\xff\xff\xff")
    r = c.receive()
    assert r.id == 0 and r.code == MALFORMED and r.recorded == NOTHING, r
    assert c.is_closed()


def test_truncated_tls_record(d):
    """A TLS record that never ends is a frame that never ends."""
    c = Client(d)
    c.s.sendall(frame(request(2, STATUS)))
    c.receive()
    started = time.monotonic()
    os.write(c.raw.fileno() if c.raw.fileno() >= 0 else c.s.fileno(), b"\x17\x03\x03\x40\x00" + b"z" * 20)
    assert c.is_closed()
    assert time.monotonic() - started > FRAME_S / 2


def test_a_byte_a_second(d):
    c = Client(d)
    data = frame(request(2, SUBMIT, field(1, b"x" * 500)))
    started = time.monotonic()
    try:
        for b in data:
            c.s.sendall(bytes([b]))
            if select.select([c.s], [], [], 0.25)[0]:
                break
        r = c.receive()
    except OSError:
        raise AssertionError("closed without a word")
    assert r.code == TIMEOUT and r.id == 0 and r.recorded == NOTHING, r
    assert FRAME_S * 0.7 < time.monotonic() - started < FRAME_S + LATE_S


def test_slow_handshake(d):
    started = time.monotonic()
    s = socket.create_connection(d.address, timeout=LATE_S)
    record = iter(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
    try:
        while time.monotonic() - started < HELLO_S + LATE_S:
            s.sendall(bytes([next(record)]))
            if select.select([s], [], [], 0.2)[0] and not s.recv(100):
                break
    except OSError:
        pass
    assert HELLO_S * 0.7 < time.monotonic() - started < HELLO_S + LATE_S


def test_no_hello(d):
    started = time.monotonic()
    c = Client(d, say_hello=False)
    assert c.is_closed()
    assert c.last and c.last.code == TIMEOUT
    assert time.monotonic() - started > HELLO_S / 2


def test_idle_may_stay(d):
    c = Client(d)
    time.sleep(max(HELLO_S, FRAME_S, STALL_S) + 1)
    assert c.ask(request(2, STATUS)).op == STATUS


def test_idle_connections(d):
    before = d.memory()
    clients = [Client(d) for _ in range(IDLE)]
    each = (d.memory() - before) / IDLE
    print(f"    {IDLE} idle connections: {each / 1024:.1f} KiB each")
    assert each < 96 << 10, each
    works(d)
    # More than are allowed: taken and closed.
    more, refused = [], 0
    for _ in range(CONNECTIONS_MAX - IDLE + 20):
        try:
            more.append(Client(d))
        except (OSError, EOFError):
            refused += 1
    assert refused >= 20, refused
    for c in clients + more:
        c.close()
    time.sleep(0.5)
    works(d)


def test_never_reads(d):
    before = d.memory()
    c = Client(d, receive_buffer=4096)
    data = b"".join(frame(request(2 + i, STATUS)) for i in range(50))
    c.s.settimeout(0.5)
    sent, peak, started = 0, 0, time.monotonic()
    closed = False
    while time.monotonic() - started < STALL_S + LATE_S:
        try:
            c.s.sendall(data)
            sent += len(data)
        except (TimeoutError, ssl.SSLWantWriteError):
            pass
        except OSError:
            closed = True
            break
        peak = max(peak, d.memory())
    print(f"    it took {sent >> 10} KiB of requests, memory grew by {max(0, peak - before) >> 10} KiB at most")
    assert closed, "a client that never reads was kept"
    assert peak - before < 48 << 20, peak - before


def test_many_that_never_read(d):
    before = d.memory()
    clients = [Client(d, receive_buffer=4096) for _ in range(30)]
    data = b"".join(frame(request(2 + i, STATUS)) for i in range(60)) * 40
    for c in clients:
        c.s.settimeout(0.3)
        try:
            c.s.sendall(data)
        except OSError:
            pass
    peak = d.memory()
    print(f"    30 that never read: memory grew by {max(0, peak - before) >> 10} KiB")
    assert peak - before < 120 << 20, peak - before
    time.sleep(STALL_S + 1.5)


def test_unknown_request(d):
    c = Client(d)
    r = c.ask(request(5, 99, b"a request of the future"))
    assert r.id == 5 and r.code == UNKNOWN_REQUEST, r
    r = c.ask(field(1, 6))
    assert r.id == 6 and r.code == UNKNOWN_REQUEST, r
    assert c.ask(request(7, STATUS)).op == STATUS


def test_newer_message(d):
    c = Client(d, say_hello=False)
    c.send(field(1, 1) + field(HELLO, field(1, 1) + field(2, 9) + field(77, b"new")) + field(78, 5))
    assert c.receive().op == HELLO
    r = c.ask(field(1, 2) + field(99, b"x" * 100) + field(STATUS, field(50, 7)) + field(101, 1))
    assert r.op == STATUS, r


def test_versions_and_origin(d):
    for message, code in ((hello(2, 3), VERSION), (hello(0, 0), VERSION), (hello(origin=b"example.org/other"), NOT_FOUND)):
        c = Client(d, say_hello=False)
        r = c.ask(message)
        assert r.id == 1 and r.code == code, r
        assert c.is_closed()
    c = Client(d, say_hello=False)
    assert c.ask(hello(0, 7, b"example.org/hostile")).op == HELLO
    r = c.ask(hello())
    assert r.code == MALFORMED and c.ask(request(3, STATUS)).op == STATUS


def refused_by_tls(make):
    try:
        c = make()
        c.send(hello())
        c.receive()
    except (ssl.SSLError, ConnectionError, EOFError, BrokenPipeError):
        return True
    return False


def test_other_authority(d):
    other = os.path.join(d.other, "profile")
    assert refused_by_tls(lambda: Client(d, profile=other, say_hello=False))


def test_no_certificate(d):
    assert refused_by_tls(lambda: Client(d, certificate=False, say_hello=False))


def test_old_tls(d):
    assert refused_by_tls(lambda: Client(d, maximum=ssl.TLSVersion.TLSv1_2, say_hello=False))


def test_before_hello(d):
    for message, recorded in ((request(4, STATUS), 0), (request(4, SUBMIT, field(1, b"x")), NOTHING),
                              (request(4, 99, b""), NOTHING)):
        c = Client(d, say_hello=False)
        r = c.ask(message)
        assert r.id == 4 and r.code == MALFORMED and r.recorded == recorded, r
        assert c.is_closed()


def test_too_many_in_flight(d):
    c = Client(d)
    # In one piece, so that the server sees them all before the first is answered.
    c.send(*[request(100 + i, SUBMIT, field(1, b"no event") + field(2, b"no signature")) for i in range(65)])
    answers = [c.receive() for _ in range(65)]
    over = [r for r in answers if r.op == ERROR]
    assert len(over) == 1 and over[0].code == LIMIT and over[0].recorded == NOTHING and over[0].id == 164, over
    assert sorted(r.id for r in answers) == list(range(100, 165))
    assert c.ask(request(2, STATUS)).op == STATUS


def test_too_many_streams(d):
    c = Client(d)
    c.send(*[request(10 + i, ENTRIES, field(4, 1) + field(5, 2)) for i in range(9)])
    r = c.receive()
    while r.op != ERROR:
        r = c.receive()
    assert r.code == LIMIT and r.id == 18, r
    c.send(request(50, CANCEL, field(1, 12)))
    r = c.receive()
    while r.op != ERROR:
        r = c.receive()
    assert r.code == CANCELED and r.id == 12, r
    r = c.ask(request(51, STATUS))
    while r.id != 51:
        r = c.receive()
    assert r.op == STATUS


def test_credit(d):
    c = Client(d)
    r = c.ask(request(10, ENTRIES, field(4, 1) + field(5, 1)))
    assert r.op == ENTRIES and r.more
    # A submit that changes nothing, and a status: no further response of the stream may come without credit.
    assert c.ask(request(11, STATUS)).id == 11
    c.send(request(12, CREDIT, field(1, 10) + field(2, 1 << 31)), request(13, CREDIT, field(1, 999) + field(2, 5)))
    assert c.ask(request(14, STATUS)).op == STATUS
    r = c.ask(request(15, CANCEL, field(1, 10)))
    assert r.id == 10 and r.code == CANCELED


def test_id_rules(d):
    c = Client(d)
    assert c.ask(request(0, STATUS)).code == MALFORMED
    c.send(request(10, ENTRIES, field(4, 1) + field(5, 1)))
    assert c.receive().op == ENTRIES
    r = c.ask(request(10, STATUS))
    assert r.id == 10 and r.code == MALFORMED, r


def test_submit_limits(d):
    c = Client(d)
    r = c.ask(request(2, SUBMIT))
    assert r.code == MALFORMED and r.recorded == NOTHING, r
    r = c.ask(request(3, SUBMIT, field(1, b"") * 1001))
    assert r.code == LIMIT and r.recorded == NOTHING, r
    r = c.ask(request(4, SUBMIT, field(1, b"x") + field(2, b"y") * 9))
    assert r.code == LIMIT and r.recorded == NOTHING, r


def test_amplification(d):
    before = d.memory()
    for body in (field(1, b"") * (2 << 20), field(60, 1) * (1 << 20), field(1, b"x" * 1000) * 4000):
        c = Client(d)
        try:
            c.send(request(2, SUBMIT, body[:(4 << 20) - 64]))
            r = c.receive()
            assert r.code in (LIMIT, MALFORMED) and r.recorded == NOTHING, r
        except ConnectionError:
            pass
    assert d.memory("VmHWM") < before + (220 << 20), d.memory("VmHWM")


def test_many_large_frames(d):
    before = d.memory()
    clients = [Client(d) for _ in range(100)]
    body = struct.pack(">I", 4 << 20) + b"\x5a" * (3 << 20)
    for c in clients:
        c.s.settimeout(0.2)
        try:
            c.s.sendall(body)
        except OSError:
            pass
    grown = d.memory() - before
    print(f"    100 half-sent large frames: memory grew by {max(0, grown) >> 20} MiB")
    assert grown < 420 << 20, grown
    for c in clients:
        c.close()
    time.sleep(FRAME_S + 0.5)


def test_nobody_holds_all_memory_for_requests(d):
    """Frames that are announced and not sent take no more than one client's share: others can send large requests meanwhile."""
    out = os.path.join(d.base, "hoarder")
    d.command("cert", "issue", d.dir, "--name", "urn:ledgerd:client:hoarder", "--out", out)
    hoard = [Client(d, profile=out) for _ in range(64)]
    other = Client(d)
    for c in hoard:
        c.s.sendall(struct.pack(">I", 4 << 20) + b"\x5a" * 1000)
    r = other.ask(request(2, SUBMIT, b"".join(field(1, b"\x5a" * 30000) for _ in range(100)) + field(2, b"x")))
    assert r.op == SUBMIT or r.code == MALFORMED, r
    ended = select.select([c.s for c in hoard], [], [], 0)[0]
    assert not ended, "the other was served only when the hoarder's time was over"
    for c in hoard:
        c.close()
    d.command("cert", "revoke", d.dir, "--name", "urn:ledgerd:client:hoarder")


def test_rights_and_revocation(d):
    out = os.path.join(d.base, "reader")
    d.command("cert", "issue", d.dir, "--name", "urn:ledgerd:client:reader", "--out", out, "--no-submit", "--read", "none")
    c = Client(d, profile=out)
    r = c.ask(request(2, SUBMIT, field(1, b"x") + field(2, b"y")))
    assert r.code == DENIED and r.recorded == NOTHING, r
    assert c.ask(request(3, STATUS)).op == STATUS
    d.command("cert", "revoke", d.dir, "--name", "urn:ledgerd:client:reader")
    assert refused_by_tls(lambda: Client(d, profile=out, say_hello=False)), "revoked, but let in"
    d.process.send_signal(signal.SIGHUP)
    assert c.is_closed() and c.last is not None and c.last.code == DENIED
    assert "revoked" in d.command("cert", "list", d.dir)
    d.command("cert", "revoke", d.dir, "--name", "urn:ledgerd:client:reader", code=1)


def test_not_listed(d):
    out = os.path.join(d.base, "stranger")
    d.command("cert", "issue", d.dir, "--name", "urn:ledgerd:client:stranger", "--out", out)
    path = os.path.join(d.dir, "ledgerd.conf")
    text = open(path).read()
    open(path, "w").write(re.sub(r"(?m)^urn:ledgerd:client:stranger.*\n", "", text))
    c = Client(d, profile=out, say_hello=False)
    r = c.ask(hello())
    assert r.code == DENIED and r.id == 1, r


def test_broken_configuration_keeps_the_old(d):
    path = os.path.join(d.dir, "ledgerd.conf")
    text = open(path).read()
    open(path, "w").write(text + "nonsense\n")
    d.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    works(d)
    open(path, "w").write(text)
    d.process.send_signal(signal.SIGHUP)


def test_plain_needs_loopback(d):
    text = d.command("run", d.other, "--plain", "--listen", "0.0.0.0:0", code=1)
    assert "loopback" in text, text
    d.command("init", d.dir, "--origin", "example.org/again", code=1)


def test_connect_and_vanish(d):
    for _ in range(300):
        s = socket.create_connection(d.address, timeout=LATE_S)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()


def test_last_shutdown(d):
    """In order, with idle, streaming, half-sent and unread connections open, and work under way."""
    clients = [Client(d) for _ in range(20)]
    clients[0].send(request(2, ENTRIES, field(4, 1) + field(5, 100)))
    clients[1].s.sendall(b"\0\0")
    clients[2].send(*[request(10 + i, SUBMIT, field(1, b"x") + field(2, b"y")) for i in range(60)])
    answers = [clients[2].receive() for _ in range(1)]
    code = d.stop()
    assert code == 0, f"exit code {code}: {d.log_text()[-2000:]}"
    try:
        while True:
            answers.append(clients[2].receive())
    except (EOFError, OSError):
        pass
    assert len(answers) == 60, len(answers)
    last = None
    try:
        while True:
            last = clients[0].receive()
    except (EOFError, OSError):
        pass
    assert last.code == SHUTTING_DOWN, last
    assert not os.path.exists(os.path.join(d.dir, "run", "address"))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    daemon = Daemon(sys.argv[1])
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    passed = failed = 0
    for name, test in tests:
        if len(sys.argv) > 2 and name[5:] not in sys.argv[2:] and name not in sys.argv[2:]:
            continue
        started = time.monotonic()
        try:
            test(daemon)
            if daemon.process.poll() is None:
                works(daemon)
            elif name != "test_last_shutdown":
                raise AssertionError(f"the daemon ended: {daemon.process.returncode}")
            passed += 1
            print(f"ok     {name[5:]} ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception as e:  # every failure is one line and the next test
            failed += 1
            print(f"FAILED {name[5:]}: {type(e).__name__}: {e}", flush=True)
            if daemon.process.poll() is not None:
                print(daemon.log_text()[-6000:])
                break
    if daemon.process.poll() is None:
        daemon.stop()
    if failed:
        print(daemon.log_text()[-3000:])
    shutil.rmtree(daemon.base)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
