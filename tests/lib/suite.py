# SPDX-License-Identifier: Apache-2.0
"""What the suites that drive the programs from outside share: counting, running, a daemon in a scratch folder."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# For anything that a program does, only so that a test ends which hangs: none is about speed. Sanitizers are slow.
WAIT_S = 120 * int(os.environ.get("LEDGERD_TIME_FACTOR", "1"))
SANITIZER_EXIT = 99  # with a report (tests/run.py)


def shared():
    """The folder of scenarios and vectors that LEDGERD_SHARED names, or that lies beside the project; or None."""
    path = os.environ.get("LEDGERD_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
    return path if os.path.isdir(path) else None


class Suite:
    def __init__(self, arguments):
        if len(arguments) != 2:
            sys.exit(f"usage: {arguments[0]} BUILD-FOLDER")
        self.build = os.path.abspath(arguments[1])
        self.ctl = os.path.join(self.build, "ledgerctl")
        self.ledgerd = os.path.join(self.build, "ledgerd")
        self.passed = self.failed = self.skipped = 0
        self.scratch = tempfile.mkdtemp(prefix="ledgerd-suite-")

    def check(self, good, name, detail=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"failed: {name}\n{detail}".rstrip(), flush=True)
        return good

    def skip(self, name, why):
        self.skipped += 1
        print(f"skipped: {name}: {why}")

    @staticmethod
    def tally(name, **counts):
        """What was done how often: a row of the table of tests/run.py."""
        print(f"TALLY {name} " + " ".join(f"{what}={n}" for what, n in counts.items()), flush=True)

    def run(self, *arguments, stdin=b"", timeout=WAIT_S):
        """(exit code, standard output, standard error) of a program."""
        done = subprocess.run(list(arguments), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        if done.returncode == SANITIZER_EXIT:
            self.check(False, " ".join(arguments[:8]), done.stderr.decode(errors="replace"))
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def path(self, name, content=None):
        path = os.path.join(self.scratch, name)
        if content is not None:
            with open(path, "wb") as f:
                f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def end(self):
        shutil.rmtree(self.scratch, ignore_errors=True)
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        sys.exit(1 if self.failed else 0)


class Daemon:
    """A fresh ledger that is being served; use as `with Daemon(suite) as d`."""

    def __init__(self, suite, origin="suite.example/ledger", init=()):
        self.suite = suite
        self.folder = tempfile.mkdtemp(dir=suite.scratch)
        self.data = os.path.join(self.folder, "ledger")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        code, out, err = suite.run(suite.ledgerd, "init", self.data, "--origin", origin, *init)
        if code != 0:
            raise RuntimeError(f"ledgerd init: {code}\n{out}{err}")
        self.shrink_map()
        self.process = subprocess.Popen([suite.ledgerd, "run", self.data, "--listen", "127.0.0.1:0"], stdout=self.log,
                                        stderr=self.log)
        self.address = self.wait()

    def shrink_map(self):
        """The thread sanitizer leaves no room for a map of the default size."""
        if "LEDGERD_MAP_SIZE" not in os.environ:
            return
        path = os.path.join(self.data, "ledgerd.conf")
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace("#map_size = 1T", "map_size = " + os.environ["LEDGERD_MAP_SIZE"]))

    def wait(self):
        """The address, once the daemon listens."""
        path = os.path.join(self.data, "run", "address")
        for _ in range(WAIT_S * 100):
            if self.process.poll() is not None:
                raise RuntimeError("ledgerd run ended:\n" + self.output())
            if os.path.exists(path) and os.path.getsize(path):
                with open(path) as f:
                    return f.read().strip()
            time.sleep(0.01)
        raise RuntimeError("ledgerd run does not listen:\n" + self.output())

    def output(self):
        with open(self.log.name, errors="replace") as f:
            return f.read()

    def ctl(self, *arguments, **how):
        return self.suite.run(self.suite.ctl, "--profile", os.path.join(self.data, "profile"), "--server", self.address,
                              "--timeout", str(WAIT_S // 2), *arguments, **how)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            code = self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.suite.check(code == 0, "ledgerd ends with 0 on SIGTERM", f"exit {code}\n{self.output()}" if code else "")
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
