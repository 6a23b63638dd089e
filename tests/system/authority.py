# SPDX-License-Identifier: Apache-2.0
"""A time-stamping authority of the tests' own: an HTTP server that answers with `openssl ts -reply`; and a daemon that asks it."""
import datetime
import http.server
import json
import os
import subprocess
import threading
import time

from suite import WAIT_S, Daemon

POLICY = "1.2.3.4.1"
CONFIG = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[ts]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/ca.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = {policy}
digests = {digests}
accuracy = secs:1, millisecs:500
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class Authority:
    """A CA and its time-stamping certificate in a folder; with `at` they are of another day, and the tokens of the day after (by faketime): each
    openssl begins at the same second, and a slow one would make a certificate that is valid only after a quick one's token."""

    def __init__(self, suite, name, at=None, digests="sha256"):
        self.suite, self.at = suite, at and f"{at} 12:00:00"
        self.folder = os.path.join(suite.scratch, name)
        os.makedirs(self.folder)
        self.ca = self.file("ca.pem")
        with open(self.file("conf"), "w") as f:
            f.write(CONFIG.format(folder=self.folder, policy=POLICY, digests=digests))
        with open(self.file("serial"), "w") as f:
            f.write("01\n")
        for who, section, more in (("ca", "ca", ()), ("tsa", "tsa", ("-CA", self.ca, "-CAkey", self.file("ca.key")))):
            self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.file(who + ".key"))
            self.openssl("req", "-new", "-config", self.file("conf"), "-key", self.file(who + ".key"), "-subj",
                         f"/O=Suite/CN={name} {who.upper()}", "-out", self.file(who + ".csr"))
            self.openssl("x509", "-req", "-in", self.file(who + ".csr"), "-extfile", self.file("conf"), "-extensions", section,
                         "-days", "40", "-out", self.file(who + ".pem"),
                         *(more or ("-key", self.file("ca.key"))))
        if at:
            self.at = f"{datetime.date.fromisoformat(at) + datetime.timedelta(days=1)} 12:00:00"

    def file(self, name):
        return os.path.join(self.folder, name)

    def openssl(self, *arguments):
        command = (["faketime", self.at] if self.at else []) + ["openssl", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=WAIT_S)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr.decode(errors='replace')}")
        return done.stdout

    def reply(self, query):
        path = self.file(f"query-{threading.get_ident()}")
        with open(path, "wb") as f:
            f.write(query)
        return self.openssl("ts", "-reply", "-config", self.file("conf"), "-section", "ts", "-queryfile", path)


class Served:
    """What the daemon asks: answers as `mode` says, by whichever authority is set."""

    def __init__(self, authority):
        self.authority, self.mode, self.asked, self.released = authority, "good", 0, threading.Event()
        self.hanging = threading.Event()
        self.types = set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                outer.asked += 1
                outer.types.add(self.headers.get("Content-Type"))
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    status, answer = outer.answer(body)
                    self.send_response(status)
                    self.send_header("Content-Type", "application/timestamp-reply")
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except (OSError, RuntimeError) as why:
                    print(why if isinstance(why, RuntimeError) else "", end="")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, query):
        if self.mode == "hang":
            self.hanging.set()
            self.released.wait(WAIT_S)
            return 200, b""
        if self.mode == "error":
            return 500, b"no"
        if self.mode == "garbage":
            return 200, b"<html>come back later</html>"
        if self.mode == "long":
            return 200, b"0" * 100000
        query = bytearray(query)
        if self.mode == "imprint":  # SHA-256 of something else: the 32 bytes after the algorithm
            query[24 + 7] ^= 1
        if self.mode == "nonce":  # its last byte, before certReq
            query[-4] ^= 1
        return 200, self.authority.reply(bytes(query))

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class Stamped(Daemon):
    """A daemon with [time]."""

    def __init__(self, suite, served, ca, more=""):
        self.more = f"authority = {served.url}\nca = {ca}\n" + (more if "interval" in more else "interval_seconds = 1\n" + more)
        self.keys = 0
        super().__init__(suite, "stamped.example/ledger")

    def shrink_map(self):
        super().shrink_map()
        path = os.path.join(self.data, "ledgerd.conf")
        with open(path) as f:
            text = f.read()
        assert "#authority = " in text
        with open(path, "w") as f:
            f.write(text.replace("#authority = http://tsa.example/\n", self.more).replace("#listen = 127.0.0.1:7462", "listen = 127.0.0.1:0"))

    def restart(self):
        self.process.terminate()
        self.suite.check(self.process.wait(WAIT_S) == 0, "the daemon ends with 0", self.output()[-800:])
        code, out, err = self.suite.run(self.suite.ledgerd, "check", self.data, timeout=600)
        self.suite.check(code == 0, "`ledgerd check` takes the tokens", out[-500:] + err[-500:])
        self.process = subprocess.Popen([self.suite.ledgerd, "run", self.data, "--listen", "127.0.0.1:0"], stdout=self.log,
                                        stderr=self.log)
        self.address = self.wait()

    def status(self):
        code, out, err = self.ctl("status", "--json")
        return json.loads(out)["server"] if code in (0, 3) else {}

    def until(self, name, what):
        """Waits for figures of which `what` is true; gives them."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            figures = self.status()
            if what(figures):
                return figures
            time.sleep(0.05)
        self.suite.check(False, name, f"{figures}\n{self.output()[-1500:]}")
        return figures

    def event(self):
        """Records something, so that there is a new checkpoint; gives the entry's number."""
        self.keys += 1
        key = self.suite.path(f"{os.path.basename(self.folder)}-{self.keys}.key")
        self.ctl("key", "new", f"u.{self.keys}", "-o", key)
        code, out, err = self.ctl("party", "register", f"u.{self.keys}", "--roles", "WAREHOUSE", "--org", "ORG", "--key", key, "--json")
        self.suite.check(code == 0, "an event is recorded whatever the authority does", out + err)
        return json.loads(out)["results"][0]["index"] if "results" in out else json.loads(out)["index"]

    def stamps(self, *arguments):
        code, out, err = self.ctl("time-stamps", "--json", *arguments)
        return code, json.loads(out) if out.strip() else {}, err
