# SPDX-License-Identifier: Apache-2.0
"""A witness (c2sp.org/tlog-witness) of a few lines, which the tests can make do wrong things: for what no honest witness would do. It shares
no code with the daemon; its Ed25519 is tests/independent's. And the program's own, `ledgerctl witness run`, behind the same functions."""
import base64
import hashlib
import http.server
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "independent"))
import ed25519  # noqa: E402
import ledger  # noqa: E402
import tree  # noqa: E402

COSIGNATURE = 4


def key_text(name, seed):
    public = ed25519.encode(ed25519.times(int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & (1 << 254) - 8 | 1 << 254,
                                          ed25519.BASE))
    data = bytes([COSIGNATURE]) + public
    id_ = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    return f"{name}+{id_.hex()}+{base64.b64encode(data).decode()}", id_


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""


class Witness:
    """Use as `with Witness("w1") as w`. `fault` is what it does wrong from now on: a function of (handler, size, text), which answers, or
    gives back True to go on as an honest one; None: nothing."""

    def __init__(self, name="w1"):
        self.short, self.name = name, f"witness.example/{name}"
        self.seed = hashlib.sha256(name.encode()).digest()
        self.vkey, self.id = key_text(self.name, self.seed)
        self.lock = threading.Lock()
        self.seen = {}     # origin → (size, root)
        self.asked = []    # (old, size, status) of each request
        self.fault = None
        self.notes = {}    # SHA-256 of the origin in hexadecimal → the note that it cosigned last, or that it is to show
        self.server = Quiet(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/log"
        self.released = threading.Event()  # for handlers that hang
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def policy_line(self):
        return f"witness {self.short} {self.vkey} {self.url}\n"

    def line(self, text, seed=None, id_=None):
        now = int(time.time())
        message = b"cosignature/v1\ntime " + str(now).encode() + b"\n" + text
        data = (id_ or self.id) + now.to_bytes(8, "big") + ed25519.sign(seed or self.seed, message)
        return f"\u2014 {self.name} {base64.b64encode(data).decode()}\n".encode()

    def answers(self, status):
        return [asked for asked in self.asked if asked[2] == status]

    def _handler(self):
        witness = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", kind="text/plain; charset=utf-8", **headers):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                note = witness.notes.get(self.path.split("/")[-2]) if self.path.endswith("/checkpoint") else None
                self.answer(200 if note else 404, note or b"")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                witness.take(self, body)

        return Handler

    def take(self, handler, body):
        head, _, note = body.partition(b"\n\n")
        lines = head.split(b"\n")
        text = note[:note.rindex(b"\n\n") + 1]
        origin, size, root = text.decode().split("\n")[:3]
        old, size, root = int(lines[0][len(b"old "):]), int(size), base64.b64decode(root)
        path = b"".join(base64.b64decode(line) for line in lines[1:])
        fault = self.fault
        if fault and not fault(handler, size, text):
            self.asked.append((old, size, 0))
            return
        with self.lock:
            known = self.seen.get(origin, (0, tree.EMPTY))
            status = 200
            if old != known[0]:
                status = 409
            elif old and not tree.consistent(old, known[1], size, root, path):
                status = 422
            else:
                self.seen[origin] = (size, root)
                self.notes[hashlib.sha256(origin.encode()).hexdigest()] = note + self.line(text)
            self.asked.append((old, size, status))
        if status == 409:
            handler.answer(409, f"{known[0]}\n".encode(), "text/x.tlog.size")
        else:
            handler.answer(status, self.line(text) if status == 200 else b"")


class Program:
    """`ledgerctl witness run` for the log of a Ledger; further arguments are run's."""

    def __init__(self, l, name, *arguments):
        self.short, self.name, self.arguments = name, f"witness.example/{name}", arguments
        self.folder, self.process, self.address = os.path.join(l.base, name), None, None
        vkey = l.log_line.split()[1]
        made = ledger.run(ledger.program("ledgerctl"), "witness", "init", self.folder, "--name", self.name, "--log", vkey).expect(0)
        self.vkey = made.out.splitlines()[0]

    def start(self):
        told = os.path.join(self.folder, "address")
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen([ledger.program("ledgerctl"), "witness", "run", self.folder, "--listen", "127.0.0.1:0",
                                             *self.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        ledger.eventually("the witness listens", lambda: os.path.exists(told) and os.path.getsize(told) or self.process.poll())
        ledger.need(self.process.poll() is None, "the witness ended")
        with open(told, encoding="ascii") as f:
            self.address = f.read().strip()

    def policy_line(self):
        scheme = "https" if "--certificate" in self.arguments else "http"
        return f"witness {self.short} {self.vkey} {scheme}://{self.address.replace('127.0.0.1', 'localhost')}\n"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Forwarder:
    """An address that can be told before the daemon has one: connections go to where `target` points by then."""

    def __init__(self):
        forwarder = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    other = socket.create_connection(forwarder.target, timeout=10)
                except (OSError, TypeError):
                    return
                other.settimeout(None)
                back = threading.Thread(target=copy, args=(other, self.request))
                back.start()
                copy(self.request, other)
                back.join()
                other.close()

        self.target = None
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})

    def to(self, address):
        host, port = address.rsplit(":", 1)
        self.target = (host, int(port))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.socket.close()
        self.thread.join()


def copy(source, target):
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


# ---- what a witness can do wrong ----


def hangs(witness):
    def fault(_handler, _size, _text):
        witness.released.wait(600)
    return fault


def answers(status, body=b"", **headers):
    def fault(handler, _size, _text):
        handler.answer(status, body, **headers)
    return fault


def signs_wrongly(witness):
    def fault(handler, _size, text):
        handler.answer(200, witness.line(text + b"x"))
    return fault


def signs_with_another_key(witness):
    def fault(handler, _size, text):
        handler.answer(200, witness.line(text, seed=hashlib.sha256(b"another").digest()))
    return fault


def hangs_up():
    def fault(handler, _size, _text):
        handler.close_connection = True
        handler.connection.close()
    return fault
