# SPDX-License-Identifier: Apache-2.0
"""A second implementation reads a ledger: tests/independent, written from docs/ and the .proto files alone, against a running daemon."""
import copy
import datetime
import hashlib
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(TESTS, "lib"), os.path.join(TESTS, "independent")]

import author
import dossier
import layout
import note
import schema
import states
import tree
import verifier
import worked_example
from client import Client, Refused
from suite import WAIT_S, Daemon, Suite

ORIGIN = "suite.example/ledger"
BAD = (layout.Invalid, layout.Unverifiable)
TYPES = {1: "item", 2: "party", 3: "subject", 4: "shipment", 5: "case", 6: "product", 7: "ledger"}


def fails(act, *arguments):
    try:
        act(*arguments)
    except BAD:
        return True
    return False


def flipped(data, at, bit=1):
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1:]


class Reading:
    """One ledger, read over one connection."""

    def __init__(self, suite, daemon, client):
        self.suite, self.daemon, self.client = suite, daemon, client
        profile = os.path.join(daemon.data, "profile")
        with open(os.path.join(profile, "policy"), encoding="utf-8") as f:
            self.policy = note.Policy(f.read())
        with open(os.path.join(profile, "index.key"), encoding="ascii") as f:
            self.index_key = bytes.fromhex(f.read().strip())

    def good(self, name, act, *arguments):
        """What the act gives, or None if it raises; counted as one check."""
        try:
            result = act(*arguments)
        except (*BAD, Refused, KeyError, ValueError, EOFError) as why:
            self.suite.check(False, name, repr(why))
            return None
        self.suite.check(True, name)
        return result

    # ---- the log ----

    def read_log(self):
        self.records, self.snapshot = [], None
        for answer in self.client.answers("entries"):
            self.suite.check(answer.get("first", 0) == len(self.records), "entries: first is the index of the first record")
            self.records += answer.get("records", [])
            self.snapshot = answer.get("snapshot") or self.snapshot
        self.log = self.good("the log is derived again, every header", self.verify_log, self.records)
        self.good("the checkpoint is over these entries", self.log.check, self.snapshot)

    def verify_log(self, records):
        log = verifier.Log(self.policy, self.index_key)
        for record in records:
            log.add(record)
        return log

    def headers_only(self):
        headers = [r["header"] for a in self.client.answers("entries", headers_only=True, credit=1) for r in a.get("records", [])]
        self.suite.check(headers == [r["header"] for r in self.records], "headers only: the same headers")
        part = [r["header"] for a in self.client.answers("entries", first=3, end=9) for r in a.get("records", [])]
        self.suite.check(part == headers[3:9], "entries 3 to 8: the same headers")

    def follow(self):
        """The present log first, then batch by batch: a response ends with a seal and has the snapshot of that size."""
        answers, read, stream = self.client.answers("entries", follow=True, first=3), 3, self.client.last + 1
        while read < len(self.records):
            read += len(next(answers).get("records", []))
        self.suite.check(read == len(self.records), "following: first what is there")
        for number in range(3):
            register(self.suite, self.daemon, f"follower-{number}", "QA")
            answer = next(answers)
            self.records += answer["records"]
            for record in answer["records"]:
                self.log.add(record)
            snapshot = self.good("a batch that is followed", self.log.check, answer["snapshot"])
            self.suite.check(snapshot and snapshot.checkpoint.size == len(self.records), "following: the snapshot of the batch's size")
        self.end_stream(stream)

    def end_stream(self, stream):
        self.client.send("cancel", stream=stream)
        response = self.client.receive()
        while "error" not in response:
            response = self.client.receive()
        self.suite.check(response["error"].get("code") == 11, "a stream that is cancelled ends with CANCELED")

    def tampered_log(self):
        """One byte of each kind of record: the log is not accepted any more."""
        kinds = {}
        for place, record in enumerate(self.records):
            kinds.setdefault(layout.Header(record["header"]).kind, place)
        for kind, place in sorted(kinds.items()):
            for part in ("header", "event", "block"):
                data = self.records[place].get(part)
                if data:
                    self.tampered_record(kind, place, part, data)
        self.suite.check(fails(self.verify_log, self.records[:5] + self.records[6:]), "a log without an entry is not accepted")

    def tampered_record(self, kind, place, part, data):
        before = self.verify_log(self.records[:place])
        for at in (0, len(data) // 2, len(data) - 1):
            changed = dict(self.records[place], **{part: flipped(data, at)})
            self.suite.check(fails(copy.deepcopy(before).add, changed), f"kind {kind}: a flipped bit in byte {at} of the {part} is found")

    # ---- proofs ----

    def prove(self, names, **how):
        """(snapshot, {name: Chain})"""
        snapshot, proofs = None, []
        for answer in self.client.answers("prove", chains=[{"type": t, "id": i} for t, i in names], **how):
            snapshot = answer.get("snapshot") or snapshot
            proofs += answer.get("proofs", [])
        checked = verifier.Snapshot(snapshot, self.policy)
        self.proofs = verifier.join(proofs)
        return checked, {name: verifier.Chain(proof, checked, self.index_key) for name, proof in self.proofs.items()}

    def all_chains(self):
        known = {(t, i.encode()): state for (t, i), state in self.log.world.states.items()}
        result = self.good("proofs of all chains, with members and history", lambda: self.prove(list(known), members=True, history=True))
        snapshot, chains = result
        self.suite.check(set(chains) == set(known), "every chain that was asked for is proven")
        for name, state in known.items():
            self.compare(name, state, chains[name])
        for type_, word in TYPES.items():
            self.suite.check(any(t == type_ for t, _ in known), f"there is a chain of type {word}")
        self.tampered_proofs(snapshot)

    def compare(self, name, state, chain):
        same = chain.state is not None and chain.state.canonical == states.canonical(name[0], state)
        self.suite.check(same, f"{name}: the proven state is the derived one")
        lists = {list_: members for list_, _ in states.TABLES[name[0]][1] if (members := state[list_])}
        self.suite.check(same and all(list_ in chain.members for list_ in lists), f"{name}: all members are there")
        self.suite.check(len(chain.history) == chain.count, f"{name}: the history is whole")

    def tampered_proofs(self, snapshot):
        for name, proof in {n[0]: (n, p) for n, p in self.proofs.items()}.values():
            for part in ("map_proof", "head", "salt", "state"):
                data = proof[part]
                for at in range(0, len(data), max(1, len(data) // 25)):
                    changed = dict(proof, **{part: flipped(data, at, 1 << at % 8)})
                    if not fails(verifier.Chain, changed, snapshot, self.index_key):
                        self.suite.check(False, f"{name}: a flipped bit in byte {at} of {part} is not found")
            self.suite.check(fails(verifier.Chain, dict(proof, logs=[{"log": 0, "members": [b"x"]}]), snapshot, self.index_key),
                             f"{name}: a member too many is found")
            if len(proof["history"]) > 1:
                self.suite.check(fails(verifier.Chain, dict(proof, history=proof["history"][1:]), snapshot, self.index_key),
                                 f"{name}: a shortened history is found")

    def absent(self):
        names = [(type_, f"never-recorded-{n}".encode()) for type_ in range(1, 7) for n in range(4)]
        snapshot, chains = self.good("proofs of absence", lambda: self.prove(names))
        self.suite.check(set(chains) == set(names) and all(c.absent for c in chains.values()), "what was never recorded is proven absent")
        proof = self.proofs[names[0]]["map_proof"]
        hidden = [at for at in range(len(proof))
                  if not fails(verifier.Chain, dict(self.proofs[names[0]], map_proof=flipped(proof, at)), snapshot, self.index_key)]
        self.suite.check(not hidden, "a changed proof of absence is found", f"bytes {hidden}")

    def closures(self):
        items = [name for name, state in self.log.world.states.items() if name[0] == layout.ITEM and state["inputs"]]
        name = (items[0][0], items[0][1].encode())
        _, back = self.good("a lineage", lambda: self.prove([name], closure=1, related=True))
        reached, queue = set(), [name[1].decode()]
        while queue:
            id_ = queue.pop()
            if id_ not in reached:
                reached.add(id_)
                queue += self.ancestors(id_)
        self.suite.check({i.decode() for t, i in back if t == layout.ITEM} == reached, "a lineage: all items that it came from",
                         f"{sorted(back)} {sorted(reached)}")

    def ancestors(self, id_):
        state = self.log.world.states[layout.ITEM, id_]
        found = [states.read_member("edge", edge)["item"].decode() for edge in state["inputs"]]
        return found + ([state["parent"]] if state["parent"] else [])

    def consistency(self):
        sizes = [h.index + 1 for h in self.log.headers if h.kind == layout.SEAL]
        latest = len(self.log.leaves)
        pairs = [(1, 2), (3, 8), (sizes[0], latest), (sizes[-2], latest), (latest, latest), (sizes[2], sizes[7])]
        for size1, size2 in pairs:
            answer = self.client.ask("consistency", size1=size1, size2=size2)
            roots = [tree.root(self.log.leaves[:size]) for size in (size1, size2)]
            good = tree.consistent(size1, roots[0], size2, roots[1], answer.get("path", b""))
            self.suite.check(good, f"consistency from {size1} to {size2}")
            if answer.get("path"):
                self.suite.check(not tree.consistent(size1, roots[0], size2, roots[1], flipped(answer["path"], 0)), "a changed path is found")

    # ---- receipts ----

    def receipts(self):
        kinds = {}
        for header in self.log.headers:
            kinds[header.kind] = header
        for kind, header in sorted(kinds.items()):
            path = self.suite.path(f"receipt-{kind}")
            code, out, err = self.daemon.ctl("receipt", f"#{header.index}", "-o", path)
            if not self.suite.check(code == 0, f"ledgerctl receipt of kind {kind}", out + err):
                continue
            with open(path, "rb") as f:
                data = f.read()
            receipt = self.good(f"the receipt of kind {kind}", verifier.Receipt, data, self.policy)
            self.suite.check(receipt and receipt.header.bytes == header.bytes, f"the receipt of kind {kind} is about its entry")
            if kind in (64, 77):
                self.tampered_receipt(data)

    def tampered_receipt(self, data):
        body = data[:-32]
        self.suite.check(fails(verifier.Receipt, flipped(data, 100), self.policy), "a damaged receipt is found")
        missed = []
        for at in range(0, len(body), 7):
            changed = flipped(body, at, 1 << at % 8)
            if not fails(verifier.Receipt, changed + hashlib.sha256(changed).digest(), self.policy):
                missed.append(at)
        self.suite.check(not missed, "a forged receipt is found, wherever it was changed", f"bytes {missed}")


def refusals(suite, daemon):
    """What docs/protocol.md says about the hello and about errors."""
    profile = os.path.join(daemon.data, "profile")
    try:
        Client(profile, daemon.address, "another.example/ledger").close()
        suite.check(False, "a hello to another ledger is refused")
    except Refused as why:
        suite.check(why.code == 6, "a hello to another ledger: NOT_FOUND", str(why))
    with Client(profile, daemon.address, "") as client:
        suite.check(client.hello.get("version") == 1 and client.hello.get("origin") == ORIGIN, "the hello's answer", str(client.hello))
        for name, code, op, values in (("an entry that there is not", 6, "receipt", {"index": 10**6}),
                                       ("a size that there is not", 6, "consistency", {"size1": 10**6})):
            try:
                client.ask(op, **values)
                suite.check(False, f"{name} is refused")
            except Refused as why:
                suite.check(why.code == code, f"{name}: error {code}", str(why))


def register(suite, daemon, party, roles, *options):
    """A new party with a key of its own; the path of its key file."""
    path = suite.path(f"{party}.key")
    daemon.ctl("key", "new", party, "-o", path, *options)
    code, out, err = daemon.ctl("party", "register", party, "--roles", roles, "--org", "CPC", "--key", path)
    suite.check(code == 0, f"party register {party}", out + err)
    return path


def material(item, foreign=None):
    body = {"item": item, "gtin": "09521234543213", "lot": "L", "supplier": "S", "quantity": "0.5", "uom": "mL",
            "expiry": "2099-01-01T00:00:00+14:59", "coa_hash": "c", "origin": "AU", "storage_c": ["-196", "0"]}
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    envelope = {"foreign": foreign} if foreign else {}
    return author.event("reference " + item, now, "material_received", body, **envelope)


def own_events(reading):
    """Events and signatures that were made here, sent and proven by the answer."""
    suite, client = reading.suite, reading.client
    maker = author.Author(register(suite, reading.daemon, "maker", "WAREHOUSE"), ORIGIN)
    foreign = {"origin": "other.example/ledger", "chain_key": bytes(32), "index": 0, "checkpoint_hash": b"\1" * 32}
    events = [material("own-1", foreign), material("own-2"), material("own-3", dict(foreign, index=7))]
    signature = maker.sign(events, "2026-02-28T23:59:59.5-14:59")
    for again in (False, True):
        answer = client.ask("submit", events=events, signatures=[signature], all_or_nothing=True)
        accepted = [result.get("accepted", {}) for result in answer["results"]]
        suite.check([bool(a.get("before")) for a in accepted] == [again] * 3, "own events are accepted, and once", str(answer["results"]))
        reading.good("the answer proves them", check_accepted, answer, events, signature, reading.policy)
    bad = dict(foreign, chain_key=bytes(31))
    for name, event in (("a foreign reference that is too short", material("own-4", bad)), ("an unknown field", material("own-4") + b"\xf8\x3f\1")):
        result = client.ask("submit", events=[event], signatures=[maker.sign([event], "2026-01-01T00:00:00Z")])["results"][0]
        suite.check(result.get("refusal", {}).get("name") == "E_BAD_VALUE", f"{name} is refused", str(result))
        suite.check(fails(schema.read_event, event), f"{name}: here too")


def check_accepted(answer, events, signature, policy):
    checkpoint = note.Checkpoint(answer["checkpoint"], policy)
    leaves = [tree.leaf(layout.event_id(event)) for event in events]
    paths = (leaves[1] + leaves[2], leaves[0] + leaves[2], tree.node(*leaves[:2]))
    for place, result in enumerate(answer["results"]):
        header = layout.Header(result["accepted"]["header"])
        layout.need(header.event_id == layout.event_id(events[place]) and header.index == result["accepted"]["index"], "another entry")
        block = author.block(len(events), place, paths[place], signature)
        layout.need(header.block_hash == layout.block_hash(block), "another signature block")
        root = tree.root_of_path(header.index, checkpoint.size, header.leaf(), result["accepted"]["path"])
        layout.need(root == checkpoint.root, "the path does not lead to the root")


def reader(suite, daemon):
    """A client that may read no content: everything is there but the content, and proven."""
    folder, name = os.path.join(daemon.folder, "reader"), "urn:ledgerd:client:reader"
    code, out, err = suite.run(suite.ledgerd, "cert", "issue", daemon.data, "--name", name, "--out", folder, "--read", "none")
    suite.check(code == 0, "ledgerd cert issue", out + err)
    daemon.process.send_signal(signal.SIGHUP)
    with admitted(folder, daemon.address) as client:
        suite.check(client.hello.get("client") == name, "the hello names the client")
        reading = Reading(suite, daemon, client)
        records = [r for answer in client.answers("entries") for r in answer["records"]]
        own = [layout.Header(r["header"]).kind < layout.FIRST_EVENT for r in records]
        suite.check(own == [not r.get("withheld") for r in records], "all content but the ledger's own is withheld")
        suite.check(not any(r.get("event") or r.get("block") for r, o in zip(records, own) if not o), "withheld content is not there")
        for party in (b"maker", b"nobody"):
            _, chains = reading.good("proofs without states", lambda name=party: reading.prove([(layout.PARTY, name)], history=True, members=True))
            chain = chains[layout.PARTY, party]
            suite.check(chain.absent or (chain.withheld and chain.state is None and chain.history), "a state is withheld, its chain is not")


def admitted(folder, address):
    """A connection, once the daemon has read its table of clients again."""
    for _ in range(WAIT_S * 20):
        try:
            return Client(folder, address, ORIGIN)
        except (Refused, OSError, EOFError):
            time.sleep(0.05)
    return Client(folder, address, ORIGIN)


def page(suite):
    """docs/format.md, section 15."""
    example = worked_example.Example()
    for act in (worked_example.check_ledger, worked_example.check_proofs, worked_example.check_samples):
        try:
            act(example)
            suite.check(True, act.__name__)
        except (*BAD, KeyError) as why:
            suite.check(False, f"the worked example: {act.__name__}", repr(why))


def lifecycle(suite, daemon):
    generate = [sys.executable, os.path.join(TESTS, "naive", "generate.py"), "--seed", "5", "--events", "150"]
    lines = subprocess.run(generate, stdout=subprocess.PIPE, check=True, timeout=WAIT_S).stdout
    code, out, err = daemon.ctl("play", "--keep-administrator", suite.path("lifecycle.jsonl", lines))
    suite.check(code == 0 and out.count("\tACCEPT") > 50, "ledgerctl play", out + err)


def successor(suite, checkpoint):
    """A ledger that goes on for another one: its log and a dossier out of it, and what no successor may say."""
    keys = [suite.path(f"{name}.key") for name in ("first", "second")]
    for name, key in zip(("u.first", "u.second"), keys):
        suite.run(suite.ctl, "key", "new", name, "-o", key, *(["--algorithm", "p256"] if name == "u.second" else []))
    origin = "next.example/ledger"
    init = ["--successor-of", suite.path("former", checkpoint), "--reason", "its disk burnt", "--approved-by", ",".join(keys)]
    with Daemon(suite, origin, init) as daemon:
        with Client(os.path.join(daemon.data, "profile"), daemon.address, origin) as client:
            reading = Reading(suite, daemon, client)
            reading.read_log()
            payload = reading.records[1].get("event", b"")
            said = reading.good("a successor", layout.Successor, payload)
            suite.check(said and said.origin == ORIGIN and [a[0] for a in said.approvers] == ["u.first", "u.second"], "who approved it")
            suite.check(fails(said.check, 1, ORIGIN) and fails(said.check, 2, origin), "another place, another ledger")
            changed = payload.replace(b"its disk burnt", b"its disk froze")
            suite.check(fails(layout.Successor(changed).check, 1, origin), "another reason")
        code, out, err = daemon.ctl("dossier", f"admin@{origin}", "--type", "party", "-o", suite.path("successor.dossier"))
        suite.check(code == 0, "a dossier of a successor", out + err)
        with open(suite.path("successor.dossier"), "rb") as f:
            reading.good("an independent reader of it", dossier.Dossier, f.read(), reading.policy)


def main():
    suite = Suite(sys.argv)
    page(suite)
    with Daemon(suite, ORIGIN) as daemon:
        lifecycle(suite, daemon)
        register(suite, daemon, "curve", "WAREHOUSE,QA", "--algorithm", "p256")
        fields = ["item=by-curve", "gtin=1", "lot=1", "supplier=s", "quantity=3", "uom=g", "expiry=2099-01-01T00:00:00Z", "coa_hash=x", "origin=AU"]
        code, out, err = daemon.ctl("record", "MATERIAL_RECEIVED", "--sign", suite.path("curve.key"), *fields)
        suite.check(code == 0, "an event under a P-256 key", out + err)
        with Client(os.path.join(daemon.data, "profile"), daemon.address, ORIGIN) as client:
            reading = Reading(suite, daemon, client)
            own_events(reading)
            for step in (reading.read_log, reading.headers_only, reading.follow, reading.all_chains, reading.absent, reading.closures,
                         reading.consistency, reading.receipts, reading.tampered_log):
                step()
        refusals(suite, daemon)
        reader(suite, daemon)
        checkpoint = daemon.ctl("checkpoint")[1]
    successor(suite, checkpoint)
    suite.end()


if __name__ == "__main__":
    main()
