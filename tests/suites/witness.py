#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An auditing witness against ledgers, honest and not: it cosigns what it has derived, waits for it, goes on after restarts, says when it
cannot, stops for good when a ledger lies, and lets no ledger's trouble be another's. Submissions are made, and cosignatures verified, by
the second implementation in tests/independent. The protocol itself: tests/interop/witness.go."""
import base64
import glob
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(TESTS, "lib"), os.path.join(TESTS, "independent")]

import ed25519  # noqa: E402
import layout  # noqa: E402
import note  # noqa: E402
import tree  # noqa: E402
from client import Client  # noqa: E402
from suite import WAIT_S, Daemon, Suite  # noqa: E402

MATERIAL = ["gtin=1", "lot=L", "supplier=S", "name=FBS", "quantity=5", "uom=L", "expiry=2099-01-01T00:00:00Z", "coa_hash=h", "origin=defined"]


class Ledger(Daemon):
    """A daemon whose profile says where it is, and which can be ended and begun again on any copy of its folder."""

    def __init__(self, suite, origin):
        self.origin = origin
        super().__init__(suite, origin)
        self.profile = os.path.join(self.data, "profile")
        self.key = os.path.join(self.folder, "wh.key")
        self.readers = [self.profile]
        self.tell()
        self.must("key", "new", "u.wh", "-o", self.key)
        self.must("party", "register", "u.wh", "--roles", "WAREHOUSE", "--org", "CPC", "--key", self.key)

    def tell(self):
        """Profiles name the present address."""
        for profile in self.readers:
            path = os.path.join(profile, "profile.conf")
            with open(path) as f:
                text = f.read()
            with open(path, "w") as f:
                f.write(re.sub(r"(?m)^address *=.*$", "address = " + self.address, text))

    def must(self, *arguments):
        code, out, err = self.ctl(*arguments)
        if code != 0:
            raise RuntimeError(f"ledgerctl {arguments}: {code}\n{out[-2000:]}{err[-2000:]}")
        return out

    def grow(self, name, n):
        for i in range(n):
            self.must("record", "MATERIAL_RECEIVED", f"item={name}-{i}", *MATERIAL, "--sign", self.key)

    def checkpoint(self):
        """Size and note of the newest checkpoint, by the other implementation's client, which keeps no pin."""
        with self.client() as client:
            bytes_ = client.ask("checkpoint")["checkpoint"]
        return int(bytes_.split(b"\n")[1]), bytes_

    def client(self):
        return Client(self.profile, self.address, self.origin)

    def leaves(self):
        with self.client() as client:
            return [layout.Header(r["header"]).leaf() for answer in client.answers("entries") for r in answer.get("records", [])]

    def seals(self):
        with self.client() as client:
            headers = [layout.Header(r["header"]) for answer in client.answers("entries") for r in answer.get("records", [])]
        return [h.index for h in headers if h.kind == layout.SEAL]

    def seed(self):
        with open(os.path.join(self.data, "keys", "log.key")) as f:
            return base64.b64decode(re.search(r"(?m)^secret: (.*)$", f.read())[1])

    def sign(self, leaves, seed=None):
        """What the holder of the first log key can sign: any tree."""
        seed = seed or self.seed()
        with open(os.path.join(self.profile, "policy")) as f:
            key = note.Policy(f.read()).logs[self.origin]
        text = f"{self.origin}\n{len(leaves)}\n{base64.b64encode(tree.root(leaves)).decode()}\n".encode()
        line = base64.b64encode(key.id + ed25519.sign(seed, text))
        return text + b"\n\xe2\x80\x94 " + self.origin.encode() + b" " + line + b"\n"

    def end(self):
        self.process.terminate()
        self.process.wait(WAIT_S)

    def begin(self, program=None, environment=None):
        address = os.path.join(self.data, "run", "address")
        if os.path.exists(address):
            os.unlink(address)
        self.process = subprocess.Popen([program or self.suite.ledgerd, "run", self.data, "--listen", "127.0.0.1:0"], stdout=self.log,
                                        stderr=self.log, env=dict(os.environ, **(environment or {})))
        self.address = self.wait()
        self.tell()


class Witness:
    def __init__(self, suite, name, ledgers, profiles=None):
        self.suite, self.ledgers, self.process = suite, ledgers, None
        self.dir = suite.path(name)
        self.profiles = profiles or [ledger.profile for ledger in ledgers]
        code, out, err = suite.run(suite.ctl, "witness", "init", self.dir, "--name", f"witness.example/{name}",
                                   *[x for profile in self.profiles for x in ("--audit", profile)])
        suite.check(code == 0 and f"\nwitness witness.example/{name} " in out, f"{name}: witness init", out + err)
        self.vkey = out.split("\n")[0]
        self.log_path = self.dir + ".log"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process:
            self.stop()

    def start(self):
        path = os.path.join(self.dir, "address")
        if os.path.exists(path):
            os.unlink(path)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.suite.ctl, "witness", "run", self.dir, "--listen", "127.0.0.1:0",
                                             *[x for profile in self.profiles for x in ("--audit", profile)]], stdout=log, stderr=log)
        self.until(lambda: os.path.exists(path) and os.path.getsize(path), "it starts")
        with open(path) as f:
            self.address = f.read().strip()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(WAIT_S)
        self.process = None
        self.suite.check(code == (0 if how == signal.SIGTERM else -how), "a witness ends", f"{code}\n{self.log()}")

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def until(self, condition, what):
        for _ in range(WAIT_S * 20):
            if condition():
                return True
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"not in time: {what}\n{self.log()}")

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=WAIT_S)
        connection.request(method, path, body)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, text, response

    def health(self):
        return self.ask("GET", "/healthz")[:2]

    def healthy(self, what):
        self.until(lambda: self.health()[0] == 200, what)

    def submit(self, ledger, bytes_, old=None, proof=None):
        """Status and text; after a conflict once more from the size that was named."""
        size = int(bytes_.split(b"\n")[1])
        for _ in range(2):
            old = old or 0
            if proof is None and 0 < old < size:
                with ledger.client() as client:
                    path = tree.steps(client.ask("consistency", size1=old, size2=size)["path"])
            else:
                path = proof or []
            body = b"old %d\n" % old + b"".join(base64.b64encode(h) + b"\n" for h in path) + b"\n" + bytes_
            status, text, response = self.ask("POST", "/add-checkpoint", body)
            if status != 409:
                break
            old = int(text)
        self.retry = response.getheader("Retry-After")
        return status, text

    def cosigns(self, ledger, what):
        """The ledger's newest checkpoint; with its line it satisfies a policy that asks for an auditing witness."""
        size, bytes_ = ledger.checkpoint()
        status, text = self.submit(ledger, bytes_)
        if not self.suite.check(status == 200, what, f"{status} {text}\n{self.log()}"):
            return 0
        with open(os.path.join(ledger.profile, "policy")) as f:
            policy = note.Policy(re.sub(r"(?m)^quorum .*$", "", f.read()) + f"\nwitness auditors {self.vkey}\nquorum auditors\n")
        self.suite.check(note.Checkpoint(bytes_ + text, policy).size == size, what + ": the cosignature verifies")
        return size

    def status(self, ledger):
        code, out, err = self.suite.run(self.suite.ctl, "--json", "witness", "status", self.dir)
        self.suite.check(code == 0, "witness status", out + err)
        return next(log for log in json.loads(out)["logs"] if log["origin"] == ledger.origin)


def proof(size, leaves, whole=True):
    """PROOF(size, leaves), RFC 6962, section 2.1.2."""
    if size == len(leaves):
        return [] if whole else [tree.root(leaves)]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if size <= half:
        return proof(size, leaves[:half], whole) + [tree.root(leaves[half:])]
    return proof(size - half, leaves[half:], False) + [tree.root(leaves[:half])]


def evidence(suite, status, *texts):
    """The file that a stop names holds these."""
    found = re.search(r"(/\S+\.txt)", status["why"])
    if not suite.check(found, "a stop names its evidence", status["why"]):
        return
    with open(found[1], "rb") as f:
        kept = f.read()
    for part in re.findall(rb"==== receipt of the entry, base64 ====\n([A-Za-z0-9+/=\n]+)", kept):
        kept += base64.b64decode(part)  # what the entry says stands in its receipt
    suite.check(all(text in kept for text in texts), "the evidence holds what contradicts itself", kept.decode(errors="replace"))


def honest(suite, ledger, w):
    first = w.cosigns(ledger, "the first checkpoint, as soon as it is derived")
    for n in range(3):
        ledger.grow(f"honest-{n}", 3)
        w.cosigns(ledger, "what was recorded just now")
    status = w.status(ledger)
    suite.check(status["size"] > first and not status["stopped"], "status", str(status))
    w.until(lambda: w.status(ledger).get("replayed", 0) >= status["size"], "status says how far it has derived")
    suite.check(w.health()[0] == 200 and b"audited" in w.health()[1], "healthz", str(w.health()))


def restarts(suite, ledger, w):
    """It goes on where it stood: without the server it still knows how far it had come."""
    w.until(lambda: w.status(ledger).get("replayed", 0) >= ledger.checkpoint()[0], "all is derived")
    replayed = w.status(ledger)["replayed"]
    size, bytes_ = ledger.checkpoint()
    w.submit(ledger, bytes_)
    w.stop(signal.SIGKILL)
    ledger.end()
    w.start()
    w.until(lambda: w.health()[0] == 503, "it says that the server does not answer")
    suite.check(b"replayed %d" % replayed in w.health()[1], "it goes on where it stood", f"{replayed}: {w.health()}")
    suite.check(not w.status(ledger)["stopped"], "a server that is away is no liar")
    suite.check(replayed < size or w.submit(ledger, bytes_, size)[0] == 200, "what was derived before is cosigned again", w.log())
    w.stop()
    ledger.begin()
    w.start()
    ledger.grow("restarted", 2)
    w.healthy("it is there again")
    w.cosigns(ledger, "after restarts")


def beyond(suite, ledger, w):
    """A checkpoint beyond what the ledger serves is not cosigned, and no proof of a lie yet."""
    old = w.status(ledger)["size"]
    leaves = ledger.leaves()
    forged = leaves + [tree.leaf(b"%d" % i) for i in range(5000)]
    status, text = w.submit(ledger, ledger.sign(forged), old, proof(old, forged))
    suite.check(status == 503 and w.retry and b"replayed" in text, "what was not derived is not cosigned", f"{status} {text}")
    ledger.grow("beyond", 1)
    w.cosigns(ledger, "the ledger's own word still counts")


def forked(suite, ledger, w):
    """The log key signs a tree that the ledger does not serve."""
    old = w.cosigns(ledger, "before it lies")
    ledger.grow("forked", 2)
    size, newest = ledger.checkpoint()
    w.until(lambda: w.status(ledger).get("replayed", 0) >= size, "the true tree is derived")
    leaves = ledger.leaves()[:size]
    leaves[old] = tree.leaf(b"another")
    lie = ledger.sign(leaves)
    status, text = w.submit(ledger, lie, old, proof(old, leaves))
    suite.check(status == 403, "a tree that is not the one that is served", f"{status} {text}")
    stopped(suite, ledger, w)
    evidence(suite, w.status(ledger), lie, newest.split(b"\n\n")[0][:20])
    proven(suite, ledger, w)


def stopped(suite, ledger, w):
    w.until(lambda: "evidence" in w.status(ledger).get("why", ""), "it has stopped, and kept the evidence")
    code, text = w.health()
    suite.check(code == 503 and b"stopped" in text, "healthz says that it has stopped", str(text))
    suite.check("STOPPED" in w.log(), "the log says that it has stopped", w.log())
    code, out, err = suite.run(suite.ctl, "witness", "status", w.dir)
    suite.check(code == 0 and "STOPPED" in out, "status says that it has stopped", out + err)


def for_good(suite, ledger, other, w):
    w.stop()
    w.start()
    w.cosigns(other, "another ledger is not concerned")
    status, text = w.submit(ledger, ledger.checkpoint()[1])
    suite.check(status == 403, "stopped over a restart", f"{status} {text}")
    w.profiles.remove(ledger.profile)
    w.stop()
    w.start()
    suite.check(w.submit(ledger, ledger.checkpoint()[1])[0] == 403, "stopped also as a plain witness")


def rolled_back(suite, ledger, w):
    """The operator puts back an older copy of everything and records something else."""
    w.cosigns(ledger, "before the rollback")
    ledger.end()
    old = ledger.data + ".old"
    shutil.copytree(ledger.data, old)
    shutil.copyfile(ledger.data + ".anchor", old + ".anchor")
    ledger.begin()
    ledger.grow("before", 3)
    size = w_restart(w, ledger)
    ledger.end()
    pins = os.path.join(ledger.profile, "pins")
    seen = os.path.join(ledger.folder, "seen")
    shutil.copytree(pins, seen)
    shutil.rmtree(ledger.data)
    shutil.move(old, ledger.data)
    shutil.move(old + ".anchor", ledger.data + ".anchor")
    shutil.rmtree(pins)
    ledger.begin()
    ledger.grow("after", 5)
    shutil.rmtree(pins)
    shutil.move(seen, pins)  # the operator's programs have forgotten; the witness has not
    w.stop()
    w.start()
    stopped(suite, ledger, w)
    status, text = w.submit(ledger, ledger.checkpoint()[1], size)
    suite.check(status in (400, 403, 422), "the other history is not cosigned", f"{status} {text}")
    evidence(suite, w.status(ledger), ledger.origin.encode())


def w_restart(w, ledger):
    """The ledger has another address now."""
    w.stop()
    w.start()
    return w.cosigns(ledger, "at the new address")


def withheld(suite, ledger):
    """With a certificate that may not read everything it audits nothing, and says so."""
    folder = os.path.join(ledger.folder, "reader")
    code, out, err = suite.run(suite.ledgerd, "cert", "issue", ledger.data, "--name", "urn:ledgerd:client:reader", "--out", folder, "--read",
                               "none")
    suite.check(code == 0, "ledgerd cert issue", out + err)
    ledger.readers.append(folder)
    ledger.tell()
    ledger.process.send_signal(signal.SIGHUP)
    with Witness(suite, "blind", [ledger], [folder]) as w:
        w.until(lambda: b"withheld" in w.health()[1], "it says that content is withheld")
        suite.check(w.health()[0] == 503, "healthz with content withheld", str(w.health()))
        status, text = w.submit(ledger, ledger.checkpoint()[1])
        suite.check(status == 503 and b"withheld" in text, "nothing is cosigned with content withheld", f"{status} {text}")
        suite.check(not w.status(ledger)["stopped"] and not w.status(ledger)["cosigned"], "withholding is no lie", str(w.status(ledger)))


def wrong_profile(suite, ledger):
    """The index key of another ledger: nothing can be derived with it, and nobody is accused."""
    folder = os.path.join(ledger.folder, "wrong")
    shutil.copytree(ledger.profile, folder)
    with open(os.path.join(folder, "index.key"), "w") as f:
        f.write("ab" * 32 + "\n")
    with Witness(suite, "wrong", [ledger], [folder]) as w:
        w.until(lambda: b"index.key" in w.health()[1], "it says that the profile is wrong")
        suite.check(not w.status(ledger)["stopped"], "a wrong profile accuses nobody", str(w.status(ledger)))


def rules_ignored(suite):
    """A daemon that accepts what the rules refuse: no client can see it, whoever derives it does (tests/adversary)."""
    liar = os.path.join(suite.build, "tests", "adversary", "liar")
    if not os.path.exists(liar):
        return suite.skip("a ledger that ignores its rules", "no tests/adversary/liar")
    with Ledger(suite, "lies.example/ledger") as ledger, Witness(suite, "caught", [ledger]) as w:
        size = w.cosigns(ledger, "as long as it is honest")
        key = os.path.join(ledger.folder, "qc.key")
        ledger.must("key", "new", "u.qc", "-o", key)
        ledger.must("party", "register", "u.qc", "--roles", "QC", "--org", "CPC", "--key", key)
        ledger.end()
        ledger.begin(liar, {"LIAR_LIE": "rules-ignored", "LIAR_A": "u.qc"})
        w_restart(w, ledger)
        ledger.must("record", "MATERIAL_RECEIVED", "item=LIE", *MATERIAL, "--sign", key, "--reference", "lie")
        stopped(suite, ledger, w)
        suite.check("E_ROLE" in w.status(ledger)["why"], "it says what is wrong", str(w.status(ledger)))
        evidence(suite, w.status(ledger), b"receipt of the entry, base64")
        status, text = w.submit(ledger, ledger.checkpoint()[1])
        suite.check(status == 403 and w.status(ledger)["size"] >= size, "the lie is not cosigned", f"{status} {text}")
        return None


def erased_and_not_yet_named(suite):
    """Content that is missing was not judged: as long as the ERASURE that says so has not come, nothing is vouched for, not even what lies before."""
    liar = os.path.join(suite.build, "tests", "adversary", "liar")
    if not os.path.exists(liar):
        return suite.skip("an erasure that is not shown", "no tests/adversary/liar")
    with Ledger(suite, "owes.example/ledger") as ledger:
        admin, qa = os.path.join(ledger.profile, "keys", "admin.key"), os.path.join(ledger.folder, "qa.key")
        ledger.must("key", "new", "u.qa", "-o", qa)
        ledger.must("party", "register", "u.qa", "--roles", "QA", "--org", "CPC", "--key", qa)
        erased = json.loads(ledger.must("--json", "record", "MATERIAL_RECEIVED", "item=OWED", *MATERIAL, "--sign", ledger.key))
        for part in range(3):
            with open(os.path.join(ledger.folder, "lines"), "w") as f:
                f.writelines(line(f"BULK-{part}-{i}") for i in range(900))
            ledger.must("record", "-f", f.name, "--keys", ledger.folder)
        leaves, seals = ledger.leaves(), ledger.seals()
        ledger.must("erase", erased["event_id"], "--reason", "asked for", "--sign", admin, "--sign", qa)
        ledger.end()
        held = os.path.join(ledger.folder, "held")
        with open(held, "w"):
            ledger.begin(liar, {"LIAR_LIE": "rest-held-back", "LIAR_A": str(len(leaves) - 600), "LIAR_B": held})
        size = max(seal + 1 for seal in seals if seal < len(leaves) - 1200)
        with Witness(suite, "owed", [ledger]) as w:
            def has_come(size):
                found = re.search(rb"replayed (\d+)", w.health()[1])
                return found and int(found[1]) >= size
            w.until(lambda: has_come(size), "it has derived what it is shown")
            for _ in range(3):
                status, text = w.submit(ledger, ledger.sign(leaves[:size]))
                suite.check(status == 503 and not w.status(ledger)["cosigned"], "nothing is cosigned while an ERASURE is owed", f"{status} {text}")
                time.sleep(0.2)
            suite.check(not has_come(len(leaves)), "the ERASURE was held back until now", str(w.health()))
            w.stop()
            w.start()
            w.until(lambda: has_come(erased["index"] + 1), "it goes on from what it has kept")
            size = w.status(ledger)["replayed"]
            status, text = w.submit(ledger, ledger.sign(leaves[:size]))
            suite.check(status == 503 and not w.status(ledger)["cosigned"], "nor after a restart", f"{status} {text}")
            os.unlink(held)
            w.until(lambda: has_come(len(leaves)), "the rest comes")
            w.cosigns(ledger, "with the ERASURE, all is")
    return None


def repeats(suite, ledger, w):
    """Whoever asks again, and be it with a note that says the same thing many times, changes nothing and costs little."""
    ledger.grow("repeats", 1)
    size = w.cosigns(ledger, "before it is asked again")
    bytes_ = ledger.checkpoint()[1]
    text, line = bytes_.split(b"\n\n")
    many = text + b"\n\n" + line * 64
    first = w.submit(ledger, many, size)
    suite.check(first == w.submit(ledger, bytes_, size) and first[0] == 200, "the same line again", f"{first}")
    suite.check(w.log().count(f"cosigned origin={ledger.origin} size={size}") == 1, "a repetition is no news", w.log())
    w.stop()
    time.sleep(10)  # the same line is given out no longer
    w.start()
    suite.check(w.submit(ledger, many, size)[0] == 200, "a note with many lines of the log", w.log())
    w.stop()
    w.start()
    suite.check(w.submit(ledger, bytes_, size)[0] == 200, "what was kept is read again", w.log())


def forgotten(suite, ledger, w):
    """Policies count on it as an auditor: without --audit it does not become a plain witness."""
    w.stop()
    code, out, err = suite.run(suite.ctl, "witness", "run", w.dir, "--listen", "127.0.0.1:0", *[x for p in w.profiles if p != ledger.profile
                                                                                             for x in ("--audit", p)])
    suite.check(code == 2 and ledger.origin in err and "--audit" in err, "an audited ledger is not cosigned plainly", f"{code} {out}{err}")
    w.start()
    w.cosigns(ledger, "audited again")


def own_damage(suite, ledger, w):
    """A disk that rots under the witness accuses nobody."""
    w.cosigns(ledger, "before the damage")
    leaves, seals = ledger.leaves(), ledger.seals()
    w.until(lambda: w.status(ledger).get("replayed", 0) >= len(leaves), "all is kept")
    w.stop()
    size = seals[len(seals) // 2] + 1
    path = os.path.join(w.dir, "audit", next(n for n in os.listdir(os.path.join(w.dir, "audit")) if n.startswith(hashlib.sha256(
        ledger.origin.encode()).hexdigest()) and "." not in n), "data.mdb")
    with open(path, "rb") as f:
        data = f.read()
    wanted, where = tree.root(leaves[:size]), []
    while data.find(wanted, where[-1] + 1 if where else 0) >= 0:
        where.append(data.find(wanted, where[-1] + 1 if where else 0))
    suite.check(where, "the root of that size is in the file")
    with open(path, "r+b") as f:
        for at in where:
            f.seek(at)
            f.write(bytes([data[at] ^ 1]))
    w.start()
    w.until(lambda: w.health()[0] == 200 or w.health()[0] == 503, "it runs")
    status, text = w.submit(ledger, ledger.sign(leaves[:size]), len(leaves))
    suite.check(status in (400, 409, 422), "an earlier checkpoint is not cosigned", f"{status} {text}")
    w.until(lambda: b"damaged" in w.health()[1], "it says that its own state is damaged")
    time.sleep(1)
    suite.check(not w.status(ledger)["stopped"], "nobody is accused of it", str(w.status(ledger)))
    w.stop()
    shutil.rmtree(os.path.dirname(path))
    w.start()
    w.healthy("it derives all of it again")
    w.cosigns(ledger, "after that")


def forked_before(suite):
    """A signed tree that branches off before what was cosigned, whatever size it has and whatever old size it comes with."""
    for name, change, cut in ("early", 3, 0), ("smaller", 2, 2):
        with Ledger(suite, f"{name}.example/ledger") as ledger, Witness(suite, name, [ledger]) as w:
            ledger.grow(name, 4)
            size = w.cosigns(ledger, "before it lies")
            ledger.grow(name + "-more", 2)
            w.until(lambda: w.status(ledger).get("replayed", 0) > size, "more is derived")
            leaves, seals = ledger.leaves(), ledger.seals()
            leaves = leaves[:seals[-1 - cut] + 1]
            leaves[change] = tree.leaf(b"another")
            status, text = w.submit(ledger, ledger.sign(leaves), size if len(leaves) >= size else len(leaves) + 1, [])
            suite.check(status in (400, 403, 409, 422), "a tree that branches off earlier is not cosigned", f"{status} {text}")
            stopped(suite, ledger, w)
            proven(suite, ledger, w)


def proven(suite, ledger, w):
    file = re.search(r"(/\S+\.txt)", w.status(ledger)["why"])[1]
    code, out, err = suite.run(suite.ctl, "verify", file, "--policy", os.path.join(ledger.profile, "policy"))
    suite.check(code == 4 and "PROVEN" in out, "the evidence convinces anybody", f"{code} {out}{err}")


def given_up_key(suite):
    """Who has stolen a log key that was replaced proves nothing with it, and stops nobody; of one size, that counts as a fork."""
    with Ledger(suite, "rotated.example/ledger") as ledger:
        ledger.grow("rotated", 2)
        stolen = ledger.seed()
        ledger.end()
        code, out, err = suite.run(suite.ledgerd, "rotate-log-key", ledger.data, "--prepare")
        suite.check(code == 0, "the next key", out + err)
        line = re.search(r"(?m)^ +(log \S+)", out)[1]
        w = Witness(suite, "robbed", [ledger])
        with open(os.path.join(w.dir, "policy"), "a") as f:
            f.write(line + "\n")
        code, out, err = suite.run(suite.ledgerd, "rotate-log-key", ledger.data)
        suite.check(code == 0, "the key is replaced", out + err)
        ledger.begin()
        ledger.grow("after", 3)
        with w:
            w.healthy("all is derived")
            size, newest = ledger.checkpoint()
            w.until(lambda: w.submit(ledger, newest)[0] == 200, "it cosigns under the new key")
            leaves, seals = ledger.leaves(), ledger.seals()
            for n, (change, cut) in enumerate(((size - 1, 0), (3, 0), (1, 1), (2, len(seals) - 3))):  # the last one of a size that the key did sign
                lie = leaves[:seals[-1 - cut] + 1]
                lie[change] = tree.leaf(b"another")
                status, text = w.submit(ledger, ledger.sign(lie, stolen), size, [])
                suite.check(status in (400, 403, 409, 422), f"lie {n} by the key that was given up", f"{status} {text}")
            status, text = w.submit(ledger, ledger.sign(leaves + [tree.leaf(b"more")], stolen), size, proof(size, leaves + [tree.leaf(b"more")]))
            suite.check(status in (403, 503), "nor is one beyond the end", f"{status} {text}")
            ledger.grow("more", 2)
            w.until(lambda: w.submit(ledger, ledger.checkpoint()[1])[0] == 200, "it cosigns on")
            suite.check(not w.status(ledger)["stopped"] and w.health()[0] == 200, "nobody is stopped by it", str(w.health()))


def init_leaves_others_alone(suite, ledger):
    """A folder that has a policy of its own is somebody's."""
    folder = os.path.join(ledger.folder, "mine")
    os.mkdir(folder)
    with open(os.path.join(folder, "policy"), "w") as f:
        f.write("quorum none\n")
    code, out, err = suite.run(suite.ctl, "witness", "init", folder, "--name", "witness.example/new")
    suite.check(code == 2 and "in use" in err and os.listdir(folder) == ["policy"], "init touches nothing that is there", f"{code} {err} {os.listdir(folder)}")
    processes = [subprocess.Popen([suite.ctl, "witness", "init", os.path.join(ledger.folder, "both"), "--name", "witness.example/new"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    outs = [p.communicate() for p in processes]
    good = [out for p, (out, _) in zip(processes, outs) if p.returncode == 0]
    suite.check(len(good) == 1 and all(p.returncode in (0, 2) for p in processes), "of several at once one makes it", str(outs))
    code, out, err = suite.run(suite.ctl, "witness", "status", os.path.join(ledger.folder, "both"))
    suite.check(code == 0 and good and out.split()[0] == good[0].decode().split()[0], "and it is that one's", out + err)


def line(item):
    fields = dict(part.split("=", 1) for part in MATERIAL)
    return json.dumps({"id": f"receipt of {item}", "kind": "MATERIAL_RECEIVED", "occurred": "2025-01-02T03:04:05Z",
                       "signers": [{"party": "u.wh", "meaning": "authorship"}], "fields": dict(fields, item=item, quantity=5)}) + "\n"


def refusals(suite, ledger):
    w = Witness(suite, "refusing", [ledger])
    run = [suite.ctl, "witness", "run", w.dir, "--listen", "127.0.0.1:0"]
    for more, want in ((["--audit", w.dir], "profile"), (["--audit", ledger.profile, "--audit", ledger.profile], "audited already"),
                       (["--certificate", "x"], "go together"), (["--listen", "0.0.0.0:0"], "--plain"), (["--listen", "x"], "ADDRESS:PORT")):
        code, out, err = suite.run(*run, *more)
        suite.check(code == 2 and want in err, f"witness run {more}", f"{code} {out}{err}")
    for arguments, want in ((["init", w.dir, "--name", "w"], "is a witness already"), (["init", w.dir + "2", "--name", "a+b"], "no name"),
                            (["init", w.dir + "2", "--name", "w", "--log", "x"], "--log"), (["init", w.dir + "2"], "--name"),
                            (["status", w.dir + "2"], "key"), (["walk", w.dir], "knows")):
        code, out, err = suite.run(suite.ctl, "witness", *arguments)
        suite.check(code == 2 and want in err and not os.path.exists(w.dir + "2"), f"witness {arguments}", f"{code} {out}{err}")
    with open(os.path.join(w.dir, "policy"), "w") as f:
        f.write("quorum none\n")
    code, out, err = suite.run(*run, "--audit", ledger.profile)
    suite.check(code == 2 and "is not in" in err, "a ledger that the policy does not have", f"{code} {out}{err}")


def main():
    suite = Suite(sys.argv)
    with Ledger(suite, "one.example/ledger") as one, Ledger(suite, "two.example/ledger") as two:
        refusals(suite, one)
        init_leaves_others_alone(suite, one)
        with Witness(suite, "w", [one, two]) as w:
            for ledger in (one, two):
                honest(suite, ledger, w)
            restarts(suite, one, w)
            repeats(suite, two, w)
            forgotten(suite, one, w)
            own_damage(suite, two, w)
            beyond(suite, one, w)
            withheld(suite, two)
            wrong_profile(suite, two)
            forked(suite, one, w)
            for_good(suite, one, two, w)
            rolled_back(suite, two, w)
    forked_before(suite)
    given_up_key(suite)
    rules_ignored(suite)
    erased_and_not_yet_named(suite)
    suite.check(not glob.glob(os.path.join(suite.scratch, "*", "address")), "no address is left behind")
    suite.end()


if __name__ == "__main__":
    main()
