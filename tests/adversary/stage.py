# SPDX-License-Identifier: Apache-2.0
"""Where a lie is told: a copy of the honest ledger, a daemon over it that lies, and those who look at it, each with a profile folder and
an organisation of their own. A profile is fresh (it has never seen this ledger) or wary (it has)."""
import http.client
import json
import os
import re
import shutil
import subprocess
import time

import story
import suite as lib

ORIGIN = "ledger.example/told"
CLIENTS = {"hospital": "urn:ledgerd:client:hospital", "sponsor": "urn:ledgerd:client:sponsor", "auditor": "urn:ledgerd:client:auditor",
           "witness": "urn:ledgerd:client:witness"}
WITNESS_FOLDER = "witness-folder"


def copy_ledger(source, target):
    shutil.copytree(source, target)
    shutil.copyfile(source + ".anchor", target + ".anchor")


class Server:
    """A daemon over a data folder: ledgerd itself, or the liar."""

    def __init__(self, program, folder, settings=None):
        self.log_path = folder + ".log"
        address = os.path.join(folder, "run", "address")
        if os.path.exists(address):
            os.unlink(address)
        environment = dict(os.environ, **(settings or {}))
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([program, "run", folder, "--listen", "127.0.0.1:0"], env=environment, stdout=log, stderr=log)
        for _ in range(lib.WAIT_S * 100):
            if self.process.poll() is not None:
                raise RuntimeError(f"{program} ended: {self.log()}")
            if os.path.exists(address) and os.path.getsize(address):
                break
            time.sleep(0.01)
        with open(address, encoding="ascii") as f:
            self.address = f.read().strip()

    def log(self):
        with open(self.log_path, errors="replace", encoding="utf-8") as f:
            return f.read()

    def end(self):
        """Its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(lib.WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Witness:
    """`ledgerctl witness run DIR --audit PROFILE`, for the ledger of a stage; its folder stays from one run to the next."""

    def __init__(self, stage, gently=False):
        self.stage, self.suite, self.gently = stage, stage.suite, gently
        self.folder, self.profile = stage.file(WITNESS_FOLDER), stage.profile("witness")
        if not os.path.exists(self.folder):
            stage.must(self.suite.run(self.suite.ctl, "witness", "init", self.folder, "--name", "witness.example/auditing", "--audit", self.profile))
        address = os.path.join(self.folder, "address")
        if os.path.exists(address):
            os.unlink(address)
        conf = os.path.join(self.profile, "profile.conf")
        with open(conf, encoding="utf-8") as f:
            text = f.read()
        with open(conf, "w", encoding="utf-8") as f:
            f.write(re.sub(r"(?m)^address *=.*$", "address = " + stage.server.address, text))
        self.log_path = self.folder + ".log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.suite.ctl, "witness", "run", self.folder, "--listen", "127.0.0.1:0", "--audit", self.profile],
                                            stdout=log, stderr=log)
        self.until(lambda: os.path.exists(address) and os.path.getsize(address), "it listens")
        with open(address, encoding="ascii") as f:
            self.address = f.read().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.gently:
            self.process.terminate()  # it is to go on later, with all that it had
        else:
            self.process.kill()  # what it has said does not depend on how it ends
        self.process.wait(lib.WAIT_S)

    def log(self):
        with open(self.log_path, errors="replace", encoding="utf-8") as f:
            return f.read()

    def until(self, condition, what):
        for _ in range(lib.WAIT_S * 20):
            found = condition()
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the witness: not in time: {what}\n{self.log()}")

    def status(self):
        code, out, err = self.suite.run(self.suite.ctl, "--json", "witness", "status", self.folder)
        if code:
            raise RuntimeError(f"witness status: {code} {out}{err}")
        return json.loads(out)["logs"][0]

    def post(self, note, old):
        connection = http.client.HTTPConnection(self.address, timeout=lib.WAIT_S)
        connection.request("POST", "/add-checkpoint", f"old {old}\n\n{note}".encode())
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        connection.close()
        return response.status, text

    def submit(self, note):
        """(HTTP status, text): 200 cosigned; 403 it has stopped. Asked again for as long as it has not yet derived what it would cosign. After
        a conflict it is not asked with a proof: that it stops has to come from what it has derived itself."""
        return self.until(lambda: self.settled(*self.post(note, self.status().get("size", 0))), "it decides")

    def settled(self, code, text):
        return None if code == 503 and "stopped" not in text and not self.status()["stopped"] else (code, text)


class Honest:
    """The ledger that all lies start from, made once: suite.scratch/base/…"""

    def __init__(self, suite):
        self.suite = suite
        self.folder = os.path.join(suite.scratch, "base")
        os.mkdir(self.folder)
        self.ledger, self.ring = (os.path.join(self.folder, n) for n in ("ledger", "ring"))
        self.must(suite.ledgerd, "init", self.ledger, "--origin", ORIGIN)
        for who, name in CLIENTS.items():
            self.must(suite.ledgerd, "cert", "issue", self.ledger, "--name", name, "--out", self.profile(who), "--address", "127.0.0.1:1")
        self.shrink_map()
        server = Server(suite.ledgerd, self.ledger)
        admin = [suite.ctl, "--profile", os.path.join(self.ledger, "profile"), "--server", server.address]
        story.make_people(suite.run, admin, self.ring)
        life = story.life()
        self.lot_made = next(e["occurred"] for e in life if e["kind"] == "LOT_CREATED")
        self.must(*admin, "record", "-f", "-", "--keys", self.ring, stdin=story.lines(life))
        shutil.copytree(os.path.join(self.ledger, "profile"), self.profile("operator"))
        shutil.rmtree(os.path.join(self.profile("operator"), "pins"))
        server.end()

    def shrink_map(self):
        """Many copies, and sanitizers, leave little room for maps of the default size."""
        path = os.path.join(self.ledger, "ledgerd.conf")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("#map_size = 1T", "map_size = 1G"))

    def profile(self, who):
        return os.path.join(self.folder, who)

    def must(self, *command, **how):
        code, out, err = self.suite.run(*command, **how)
        if code:
            raise RuntimeError(f"{' '.join(command)}: {code}\n{out}{err}")
        return out


class Stage:
    """One lie: `with Stage(honest, name) as s`, then s.serve(…)."""

    def __init__(self, honest, name):
        self.honest, self.suite = honest, honest.suite
        self.folder = os.path.join(self.suite.scratch, name)
        os.mkdir(self.folder)
        self.server = None
        self.n = self.visits = 0
        self.liar = os.path.join(self.suite.build, "tests", "adversary", "liar")
        self.last = None  # (code, output, errors) of the submission that the lie is about
        self.data = None  # the folder that is served
        self.kept = None  # the latest evidence file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fresh_ledger(self):
        self.n += 1
        path = os.path.join(self.folder, f"ledger{self.n}")
        copy_ledger(self.honest.ledger, path)
        return path

    def older_copy(self):
        """One of its own: only one process may hold a folder."""
        path = os.path.join(self.folder, "older")
        if not os.path.exists(path):
            copy_ledger(self.honest.ledger, path)
        return path

    def serve(self, lie=None, a="", b="", old=False, folder=None):
        """The liar, or (without a lie) the honest daemon, over a copy of the honest ledger."""
        folder = folder or self.fresh_ledger()
        program, settings = self.suite.ledgerd, {}
        if lie:
            program = self.liar
            settings = {"LIAR_LIE": lie, "LIAR_A": a, "LIAR_B": str(b)}
            if old:
                settings["LIAR_OLD"] = self.older_copy()
        self.data = folder
        self.server = Server(program, folder, settings)
        return folder

    def stop(self):
        if not self.server:
            return
        code = self.server.end()
        if code != 0:
            raise RuntimeError(f"the server ended with {code}: {self.server.log()[-2000:]}")
        self.server = None

    @staticmethod
    def must(ran, code=0):
        if ran[0] != code:
            raise RuntimeError(f"{ran[0]}: {ran[1]}{ran[2]}")

    def file(self, name):
        return os.path.join(self.folder, name)

    def policy(self):
        """Of whoever verifies files: the log key alone."""
        return os.path.join(self.honest.profile("auditor"), "policy")

    def keep(self, name, text):
        with open(self.file(name), "w", encoding="utf-8") as f:
            f.write(text)

    def profile(self, who):
        path = os.path.join(self.folder, who)
        if not os.path.exists(path):
            shutil.copytree(self.honest.profile(who), path)
        return path

    def forget(self, who):
        """The profile becomes a fresh one."""
        shutil.rmtree(self.profile(who))

    def ctl(self, who, *arguments, stdin=b""):
        return self.suite.run(self.suite.ctl, "--profile", self.profile(who), "--server", self.server.address, "--timeout",
                              str(lib.WAIT_S // 2), *arguments, stdin=stdin)

    def visitor(self, *arguments):
        """Somebody with the sponsor's certificate who has never seen the ledger."""
        self.visits += 1
        path = os.path.join(self.folder, f"visitor{self.visits}")
        shutil.copytree(self.honest.profile("sponsor"), path)
        return self.suite.run(self.suite.ctl, "--profile", path, "--server", self.server.address, "--timeout", str(lib.WAIT_S // 2), *arguments)

    def submit(self, gently=False):
        """The checkpoint that a visitor is shown is submitted to the auditing witness: (HTTP status, its answer, its own status)."""
        ran = self.visitor("checkpoint")
        self.must(ran)
        with Witness(self, gently) as w:
            code, text = w.submit(ran[1])
            if code != 200:
                w.until(lambda: "evidence" in w.status().get("why", ""), "it stops, and says where the evidence is")
            return code, text, w.status()

    def act(self, *arguments):
        """An act of the ledger that the administrator and quality assurance sign. (code, output, errors)"""
        keys = os.path.join(self.profile("operator"), "keys", "admin.key"), os.path.join(self.honest.ring, "qa.key")
        return self.ctl("operator", *arguments, "--sign", keys[0], "--sign", keys[1])

    def record(self, *events, occurred=None):
        """By the operator's own people, as occurred now. (code, output, errors)"""
        events = [dict(e, occurred=occurred or story.later()) for e in events]
        return self.ctl("operator", "record", "-f", "-", "--keys", self.honest.ring, stdin=story.lines(events))

    def evidence(self, err):
        """The evidence file that an error names."""
        found = re.search(r"evidence: (.*\.txt)", err)
        return found[1] if found and os.path.exists(found[1]) else None
