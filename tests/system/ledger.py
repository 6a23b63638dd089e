# SPDX-License-Identifier: Apache-2.0
"""A ledger in a scratch folder, driven from outside through the programs: what the system tests share."""
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time

BUILD = "build"
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
ORIGIN = "system.example/ledger"
# For anything that a program does, only so that a test ends which hangs. Sanitizers are slow.
WAIT_S = 60 * int(os.environ.get("LEDGERD_TIME_FACTOR", "1"))
SANITIZER_EXIT = 99  # with a report (tests/run.py)


class Failure(Exception):
    """Something is not as it has to be."""


def need(condition, text):
    if not condition:
        raise Failure(text)


def program(name):
    return os.path.join(BUILD, name)


class Ran:
    """What a program did."""

    def __init__(self, arguments, status, out, err):
        self.arguments, self.status, self.out, self.err = arguments, status, out, err

    def __str__(self):
        return f"{' '.join(self.arguments)}\nexit {self.status}\n{self.out[-2000:]}{self.err[-2000:]}"

    def expect(self, status, *words):
        """Ends the test unless it exited so and said these words (in any case of letters)."""
        need(self.status == status, f"exit {status} was expected: {self}")
        said = (self.out + self.err).lower()
        for word in words:
            need(word.lower() in said, f"\"{word}\" was expected: {self}")
        return self


def run(*arguments, timeout=WAIT_S, stdin=None):
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL if stdin is None else None, input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{' '.join(arguments)}: no end within {timeout} s") from late
    ran = Ran(arguments, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    need(ran.status != SANITIZER_EXIT, f"{ran}")
    return ran


def eventually(what, condition, seconds=WAIT_S):
    """Waits until the condition gives something true, and gives that back."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise Failure(f"{what}: not within {seconds} s")


def files_below(folder):
    """Every file and folder with its bytes and mode: for comparing before with after."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(base, name)
            content = open(path, "rb").read() if name in files else None
            found[os.path.relpath(path, folder)] = (os.stat(path).st_mode, content)
    return found


def material(item, **changes):
    """A line of a lifecycle: the simplest event that a warehouse may record."""
    fields = {"item": item, "gtin": "09521234543213", "lot": f"LOT-{item}", "supplier": f"supplier of {item}", "quantity": 10,
              "uom": "mL", "expiry": "2099-01-01T00:00:00Z", "coa_hash": "h", "origin": "bovine"}
    line = {"id": f"receipt of {item}", "kind": "MATERIAL_RECEIVED", "occurred": "2025-01-02T03:04:05Z",
            "signers": [{"party": "u.wh", "meaning": "authorship"}], "fields": fields}
    line.update(changes)
    return line


class Ledger:
    """One ledger, its folder, its daemon when it runs, and its clients' profiles."""

    def __init__(self, folder=None, origin=ORIGIN):
        self.base = folder or tempfile.mkdtemp(prefix="ledgerd-system-")
        self.dir = os.path.join(self.base, "ledger")
        self.profile = os.path.join(self.dir, "profile")
        self.anchor = self.dir + ".anchor"
        self.keys = os.path.join(self.base, "keys")
        self.log = os.path.join(self.base, "daemon.log")
        self.daemon = None
        self.address = "127.0.0.1:0"
        self.others = []
        run(program("ledgerd"), "init", self.dir, "--origin", origin).expect(0)
        self.shrink_map()

    def shrink_map(self):
        """The thread sanitizer leaves no room for a map of the default size."""
        if "LEDGERD_MAP_SIZE" in os.environ:
            self.configure("#map_size = 1T", "map_size = " + os.environ["LEDGERD_MAP_SIZE"])

    def become(self, fixture):
        """Another program's folder in the place of the own one (tests/fixtures)."""
        shutil.rmtree(self.dir)
        with tarfile.open(os.path.join(FIXTURES, fixture + ".tar.xz")) as kept:
            kept.extractall(self.base)
        self.shrink_map()

    def configure(self, old, new):
        path = os.path.join(self.dir, "ledgerd.conf")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        need(old in text, f"{old} is not in {path}")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.others + [self.daemon]:
            if process and process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.base, ignore_errors=True)

    # ---- the daemon ----

    def start(self, *arguments):
        """Starts the daemon, at the address that it had before, and waits until it serves."""
        told = os.path.join(self.dir, "run", "address")
        if os.path.exists(told):
            os.unlink(told)
        with open(self.log, "ab") as log:
            self.daemon = subprocess.Popen([program("ledgerd"), "run", self.dir, "--listen", self.address, *arguments],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually("the daemon serves", lambda: os.path.exists(told) or self.daemon.poll() is not None)
        need(self.daemon.poll() is None, f"the daemon ended: {self.logged()[-2000:]}")
        self.address = open(told, encoding="ascii").read().strip()
        return self

    def logged(self):
        return open(self.log, encoding="utf-8", errors="replace").read()

    def stop(self, with_signal=signal.SIGTERM):
        """Ends the daemon; gives its exit code back."""
        self.daemon.send_signal(with_signal)
        try:
            status = self.daemon.wait(WAIT_S)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"the daemon does not end within {WAIT_S} s: {self.logged()[-2000:]}") from late
        self.daemon = None
        return status

    def end(self):
        need(self.stop() == 0, f"the daemon did not end well: {self.logged()[-2000:]}")

    def refuses_to_run(self, status, *words, arguments=()):
        """`ledgerd run` must end by itself, so, with these words."""
        return run(program("ledgerd"), "run", self.dir, "--listen", "127.0.0.1:0", *arguments).expect(status, *words)

    def tool(self, command, *arguments):
        return run(program("ledgerd"), command, self.dir, *arguments, timeout=2 * WAIT_S)

    # ---- clients ----

    def arguments(self, *arguments, profile=None):
        return [program("ledgerctl"), "--profile", profile or self.profile, "--server", self.address, "--timeout", str(WAIT_S // 2),
                *arguments]

    def ctl(self, *arguments, profile=None, timeout=WAIT_S, stdin=None):
        return run(*self.arguments(*arguments, profile=profile), timeout=timeout, stdin=stdin)

    def ctl_start(self, *arguments, out, fed=False):
        """A client in the background, which the test feeds if it says so; its standard output goes into a file."""
        with open(out, "ab") as f, open(out + ".err", "ab") as errors:
            process = subprocess.Popen(self.arguments(*arguments), stdin=subprocess.PIPE if fed else subprocess.DEVNULL, stdout=f,
                                       stderr=errors)
        self.others.append(process)
        return process

    def json(self, *arguments):
        return json.loads(self.ctl(*arguments, "--json").expect(0).out)

    def size(self):
        return self.json("checkpoint")["checkpoint"]["size"]

    def register_warehouse(self):
        """The party of material()."""
        os.makedirs(self.keys)
        key = os.path.join(self.keys, "wh.key")
        self.ctl("key", "new", "u.wh", "-o", key).expect(0)
        self.ctl("party", "register", "u.wh", "--roles", "WAREHOUSE", "--org", "ORG", "--key", key).expect(0)
        return self

    def write_lines(self, name, lines):
        path = os.path.join(self.base, name)
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(line) + "\n" for line in lines)
        return path

    def record(self, *items, profile=None, timeout=WAIT_S):
        path = self.write_lines("lines.jsonl", [material(item) for item in items])
        return self.ctl("record", "-f", path, "--keys", self.keys, "--json", profile=profile, timeout=timeout)

    def log_entries(self, keep=None):
        """Everything that is in the log, as the client has verified it: index → entry; of a large log, what is to be kept of each."""
        out = os.path.join(self.base, "entries.jsonl")
        with open(out, "wb") as f:
            done = subprocess.run(self.arguments("watch", "--from", "0", "--count", str(self.size()), "--json"), stdin=subprocess.DEVNULL, stdout=f,
                                  stderr=subprocess.PIPE, timeout=10 * WAIT_S, check=False)
        need(done.returncode == 0, f"watch: exit {done.returncode} {done.stderr.decode(errors='replace')[-2000:]}")
        found = {}
        with open(out, encoding="utf-8") as f:
            for line in f:
                entry = json.loads(line)
                found[entry["index"]] = {name: entry[name] for name in keep if name in entry} if keep else entry
        os.unlink(out)
        return found


def acknowledged(out):
    """What the client printed as recorded: event id → index. A last line may be cut where the client was killed."""
    found = {}
    for text in out.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if line.get("verdict") == "ACCEPT":
            found[line["event_id"]] = line["index"]
    return found
