# SPDX-License-Identifier: Apache-2.0
"""Verifies dossiers from docs/format.md, section 16, and the .proto files alone: the form, the chains, the keys and signatures, the openings,
that nothing is missing. The rules are not judged here: what an entry that is derived makes of items, shipments and cases is taken as given.

    python3 dossier.py POLICY DOSSIER…

Everything raises layout.Invalid, or layout.Unverifiable for a version that is newer than this program.
"""
import copy
import hashlib
import re
import sys

import effects
import layout
import note
import schema
import states
import tree
import verifier
import wire
from layout import CASE, ITEM, LEDGER, PARTY, PRODUCT, SHIPMENT, SUBJECT, Header, need

MAGIC = b"ledgerd dossier v1\n"
BACK, FORWARD = 1, 2
OWN_NAMES = {layout.TIME_STAMP: "TIME_STAMP"}
PARTY_REGISTERED = 64
# Kinds to the types of chains that they advance, at most; nothing else may come from an opening.
MAY_ADVANCE = {kind: types for kinds, types in (
    ((layout.TIME_STAMP,), (LEDGER,)), ((65, 66), (SUBJECT,)), ((69,), (PRODUCT,)), ((80,), (SHIPMENT,)), ((67, 71, 72, 73, 74, 75, 77, 78), (ITEM,)),
    ((68, 70, 84, 85), (ITEM, SUBJECT)), ((76, 83, 86), (ITEM, CASE)), ((79, 88), (ITEM, SHIPMENT)), ((81, 82), (ITEM, SHIPMENT, CASE)),
    ((87,), (ITEM, SUBJECT, SHIPMENT, CASE, PRODUCT))) for kind in kinds}
# Fields of events that name chains: the field, the chain's type, what stands before the id.
NAMES = (("coi", SUBJECT, ""), ("for_coi", SUBJECT, ""), ("party", PARTY, ""), ("product_code", PRODUCT, ""), ("shipment", SHIPMENT, ""),
         ("lost_shipment", SHIPMENT, ""), ("deviation", CASE, "deviation/"), ("recall", CASE, "recall/"), ("excursion_id", CASE, "excursion/"),
         ("shipment", CASE, "excursion/NOLOG:"), ("shipment", CASE, "excursion/SEAL:"))


def open_file(data):
    body = data[:-32]
    need(len(data) > 32 and hashlib.sha256(body).digest() == data[-32:], "dossier: damaged, or none")
    version = re.match(rb"ledgerd dossier v([1-9]\d{0,8})\n", data)
    if version and int(version[1]) > 1:
        raise layout.Unverifiable(f"dossier: needs version {int(version[1])}")
    need(body.startswith(MAGIC), "dossier: none")
    try:
        message = schema.PROTOCOL.decode("DossierFile", body[len(MAGIC):])
        need(schema.PROTOCOL.encode("DossierFile", message) == body[len(MAGIC):], "dossier: not in canonical form")
    except (wire.Malformed, UnicodeDecodeError, AttributeError, TypeError) as why:
        raise layout.Invalid(f"dossier: {why}") from None
    return message


def name_of(message):
    name = message.get("type", 0), message.get("id", b"")
    need(ITEM <= name[0] <= LEDGER and name[1], "dossier: a chain without a name")
    return name


class Follower:
    """The log's key for the dossier's checkpoint: one that the policy lists, or what follows from it by the changes in the dossier."""

    def __init__(self, origin, policy, changes, snapshot_note):
        need(origin in policy.logs, "dossier: no log of the policy")
        size = re.match(rb"[^\n]+\n(\d+)\n", snapshot_note)
        need(size, "dossier: no checkpoint")
        self.origin, self.size, self.policy, self.keys = origin, int(size[1]), policy, [policy.logs[origin].key]
        for change in changes:
            self._change(change, Header(change.get("header", b"")))

    def _change(self, change, header):
        payload = layout.LogKey(change.get("payload", b""))
        need(header.kind == layout.LOG_KEY and layout.event_id(change["payload"]) == header.event_id, "log keys: header and payload")
        old, new = note.VerifierKey(payload.old.decode()), note.VerifierKey(payload.new.decode())
        need(old.name == new.name == self.origin and payload.size == header.index + 3, "log keys: names, or the first size")
        layout.check_key_proof(self.origin, self.origin, 1, new.key, payload.proof)
        if old.key != self.keys[-1]:
            need(len(self.keys) == 1, "log keys: not of the key that the change before it brought")
            return  # before all that this policy knows
        checkpoint = note.Checkpoint(change.get("checkpoint", b""), self.policy)
        found = tree.root_of_path(header.index, checkpoint.size, header.leaf(), change.get("path", b""))
        need(checkpoint.size == payload.size - 1 and found == checkpoint.root, "log keys: the checkpoint of the change")
        if payload.size <= self.size:
            self.policy = copy.copy(self.policy)
            self.policy.logs = {**self.policy.logs, self.origin: new}
            self.keys.append(new.key)


class Entry:
    """An entry of the dossier; content is decoded when the replay comes to it."""

    def __init__(self, record):
        self.record, self.header = record, Header(record.get("header", b""))
        self.index, self.kind, self.leaf = self.header.index, self.header.kind, self.header.leaf()
        self.withheld, self.erased_by = record.get("withheld", 0), record.get("erased_by", 0)
        self.opening = layout.Opening(record["opening"]) if record.get("opening") else None
        self.event = self.block = self.payload = None
        if self.withheld or self.erased_by:
            need(not record.get("event") and not record.get("block"), f"entry {self.index}: content that is withheld or erased is there")
            need(self.opening, f"entry {self.index}: neither content nor an opening")
        else:
            self._content(record.get("event", b""), record.get("block", b""))

    def _content(self, event, block):
        if self.kind >= layout.FIRST_EVENT:
            self.event, self.block = verifier.check_content(self.header, event, block)
            self.nonce = self.event["nonce"]
            return
        need(layout.event_id(event) == self.header.event_id and layout.block_hash(block) == self.header.block_hash, f"entry {self.index}: content")
        need(bool(block) == (self.kind in layout.SIGNED_OWN), f"entry {self.index}: an own entry's signatures")
        kinds = {layout.GENESIS: layout.Genesis, layout.EPOCH: layout.Epoch, layout.CLOCK_STEP: layout.ClockStep, layout.LOG_KEY: layout.LogKey,
                 layout.PARAMETERS: layout.Parameters, layout.TIME_STAMP: layout.TimeStamp, layout.ERASURE: layout.Erasure,
                 layout.SUCCESSOR: layout.Successor}
        self.payload = kinds[self.kind](event)
        self.nonce = self.payload.nonce
        self.block = schema.read_block(block) if block else None


class Dossier:
    """A dossier that is good under the policy, as far as this program goes. counts: entries by what their states rest on."""

    def __init__(self, data, policy):
        message = open_file(data)
        self.origin, self.index_key, self.closure = message.get("origin", ""), message.get("index_key", b""), message.get("closure", 0)
        need(len(self.index_key) == 32 and self.closure <= FORWARD, "dossier: index key, closure")
        self.subjects = [name_of(name) for name in message.get("subjects", [])]
        self.withheld_kinds = message.get("withheld_kinds", [])
        need(self.withheld_kinds == sorted(set(self.withheld_kinds)), "dossier: withheld kinds are not in order")
        snapshot = message.get("snapshot", {})
        need(not snapshot.get("witnessed"), "dossier: a field of the snapshot that it does not use")
        self.follower = Follower(self.origin, policy, message.get("log_keys", []), snapshot.get("checkpoint", b""))
        self.snapshot = verifier.Snapshot(snapshot, self.follower.policy, any_seal=True)
        need(self.snapshot.checkpoint.origin == self.origin, "dossier: another ledger's checkpoint")
        self._read_entries(message.get("entries", []))
        self._read_chains(message.get("chains", []))
        self._check_log_keys(message.get("log_keys", []))
        self.counts = {"derived": 0, "outside": 0, "withheld": 0, "erased": 0}
        self.world, self.epoch, self.signatures, self.log_keys = effects.World(), 0, 0, []
        for before, entry in zip(self.entries[:1] + self.entries, self.entries):
            self._replay(entry, before)
        self._check_log_key()
        self._check_stamps(message.get("stamps", []))
        self._check_complete()

    # ---- entries and chains ----

    def _read_entries(self, records):
        self.entries = [Entry(record) for record in records]
        self.by_index = {entry.index: entry for entry in self.entries}
        indexes = [entry.index for entry in self.entries]
        need(indexes == sorted(set(indexes)) and indexes and indexes[-1] < self.snapshot.seal.index, "dossier: entries are not in order")
        need(self.entries[0].kind == layout.GENESIS and indexes[0] == 0 and self.entries[0].payload, "dossier: it does not begin with the genesis")
        need(not any(entry.kind == layout.SEAL for entry in self.entries), "dossier: a seal")
        for entry in self.entries:
            if entry.withheld:
                name = kind_name(entry.kind)
                need(name in self.withheld_kinds and entry.kind != PARTY_REGISTERED, f"entry {entry.index}: its kind is not among those withheld")

    def _read_chains(self, messages):
        self.chains, keys, linked = {}, [], 0
        for message in messages:
            name = name_of(message.get("name", {}))
            listed = message.get("entries", [])
            need(all(index in self.by_index for index in listed), f"chain {name}: an entry that it lists is not here")
            history = [self.by_index[index].record for index in listed]
            proof = {"name": {"type": name[0], "id": name[1]}, "map_proof": message.get("map_proof", b""), "history": history,
                     "head": history[-1]["header"] if history else b"", "logs": message.get("logs", []),
                     "salt": message.get("salt", b""), "state": message.get("state", b"")}
            chain = verifier.Chain(proof, self.snapshot, self.index_key)
            if not chain.absent:
                self._check_lists(chain, message.get("logs", []))
                need(len(listed) == chain.count and listed == sorted(set(listed)), f"chain {name}: its entries")
                linked += chain.count
                chain.listed = listed
            self.chains[name] = chain
            keys.append(chain.key)
        need(keys == sorted(set(keys)), "dossier: chains are not in the order of their keys")
        self.here = {chain.key: chain for chain in self.chains.values()}
        need(all(any(link.key in self.here for link in entry.header.links) for entry in self.entries), "dossier: an entry is on no chain")
        need(linked == sum(link.key in self.here for entry in self.entries for link in entry.header.links), "dossier: a chain does not list an entry")
        need((LEDGER, self.origin.encode()) in self.chains, "dossier: the ledger's chain is missing")

    @staticmethod
    def _check_lists(chain, logs):
        need([log.get("log", 0) for log in logs] == list(range(len(chain.state.lists))), "chain: its lists are not all there")
        chain.raw = [log.get("members", []) for log in logs]

    # ---- the replay ----

    def _replay(self, entry, before):
        need(entry.header.recorded >= before.header.recorded, f"entry {entry.index}: recorded time runs backwards")
        if entry.kind == layout.EPOCH and entry.payload:
            need(entry.payload.epoch == self.epoch + 1, f"entry {entry.index}: the epoch's number")
            self.epoch = entry.payload.epoch
        need(entry.header.epoch == self.epoch, f"entry {entry.index}: epoch")
        if entry.block:
            self._check_signatures(entry)
        if entry.opening:
            self._open(entry)
        if entry.event and entry.kind == PARTY_REGISTERED:
            self._register(entry)
        elif entry.payload:
            self._own(entry)
        if entry.erased_by:
            by = self.by_index.get(entry.erased_by)
            need(by and by.index > entry.index and by.kind == layout.ERASURE and entry.header.event_id in by.payload.ids, f"entry {entry.index}: erased by nothing")
        self.counts["erased" if entry.erased_by else "withheld" if entry.withheld else "outside" if entry.opening else "derived"] += 1

    def _check_signatures(self, entry):
        verifier.check_signatures(self.origin, entry.kind, entry.header.event_id, entry.block, self._key_in_force)
        self.signatures += len(entry.block["signatures"])

    def _key_in_force(self, party, _key_id=None):
        need((PARTY, party.encode()) in self.chains, f"dossier: the party {party}, who signed, is missing")
        state = self.world.states.get((PARTY, party))
        need(state is not None and not state["revoked"], f"{party} signed, and was not registered or was revoked")
        return state["algorithm"], state["key"]

    def _register(self, entry):
        _, name, body = schema.body_of(schema.EVENTS, entry.event)
        if body["action"] in (1, 3):
            layout.check_key_proof(self.origin, body["party"], *layout.public_key(body["pubkey"]), entry.event["key_proof"])
        org = self.world.states[PARTY, entry.block["signatures"][0]["party"]]["org"]
        self.world.event(effects.Recorded(entry.index, entry.header.event_id, entry.event["occurred"], name, body, org))
        self._compare(entry, (PARTY, body["party"]))

    def _own(self, entry):
        payload, ledger = entry.payload, (LEDGER, self.origin)
        if entry.kind == layout.GENESIS:
            need(payload.origin == self.origin and layout.H("index-key", self.index_key) == payload.index_key, "genesis: another ledger, or index key")
            self.world.genesis(payload)
            self.log_keys.append((0, payload.log_key))
            if (PARTY, payload.admin.encode()) in self.chains:
                self._compare(entry, (PARTY, payload.admin))
        elif entry.kind == layout.EPOCH:
            self.world.epoch(payload)
        elif entry.kind == layout.CLOCK_STEP:
            self.world.clock_step(payload)
        elif entry.kind == layout.PARAMETERS:
            self.world.states[ledger].update(rules_version=payload.rules, parameters=payload.kept)
        elif entry.kind == layout.LOG_KEY:
            self._change_log_key(entry, ledger)
        elif entry.kind == layout.SUCCESSOR:
            payload.check(entry.index, self.origin)
        self._compare(entry, ledger)

    def _change_log_key(self, entry, ledger):
        payload, key = entry.payload, note.VerifierKey(entry.payload.new.decode())
        need(payload.old == self.log_keys[-1][1] and key.name == self.origin and payload.size == entry.index + 3, f"entry {entry.index}: log key")
        layout.check_key_proof(self.origin, self.origin, 1, key.key, payload.proof)
        self.world.states[ledger].update(log_key=payload.new, log_key_from=payload.size)
        self.log_keys.append((payload.size, payload.new))

    def _compare(self, entry, name):
        """A state that was derived with the one that the header commits to."""
        key = layout.chain_key(self.index_key, *name)
        link = entry.header.link(key)
        need(link is not None, f"entry {entry.index}: it does not advance {name}")
        fits = layout.commitment(key, link.sequence, layout.state_salt(entry.nonce, key), states.canonical(name[0], self.world.states[name]))
        need(fits == link.commitment, f"entry {entry.index}: the state of {name}")

    def _open(self, entry):
        links = {number for number, link in enumerate(entry.header.links) if link.key in self.here}
        need(set(entry.opening.parts) == links and entry.opening.reference is None, f"entry {entry.index}: the opening is not of the links here")
        for number, (salt, data, members) in entry.opening.parts.items():
            link, state = entry.header.links[number], states.Stored(data)
            need(layout.chain_key(self.index_key, state.type, states.chain_id(state)) == link.key, f"entry {entry.index}: a state of another chain")
            need(state.type in MAY_ADVANCE.get(entry.kind, ()), f"entry {entry.index}: kind {entry.kind} advances no chain of type {state.type}")
            need(layout.commitment(link.key, link.sequence, salt, state.canonical) == link.commitment, f"entry {entry.index}: an opened state")
            self._check_members(entry, self.here[link.key], state, members)

    @staticmethod
    def _check_members(entry, chain, state, members):
        """Lists only grow: those of this state are beginnings of the latest ones, and end with the members of this entry."""
        for number, (count, root) in enumerate(state.lists.values()):
            whole, new = chain.raw[number][:count], [member for log, member in members if log == number]
            need(len(whole) == count and tree.root([tree.leaf(m) for m in whole]) == root, f"entry {entry.index}: a list of an opened state")
            need(not new or whole[-len(new):] == new, f"entry {entry.index}: members of an opening")
        need(all(log < len(state.lists) for log, _ in members), f"entry {entry.index}: members of no list")

    def _check_log_keys(self, changes):
        """The changes are entries of this log."""
        for change in changes:
            index = Header(change["header"]).index
            here = self.by_index.get(index)
            need(index >= self.snapshot.seal.index or (here and here.record["header"] == change["header"]), "log keys: a change of another log")

    def _check_log_key(self):
        """The signer is the key in force; of a checkpoint that is larger than what the chain is as of, one that follows from it."""
        key = next(key for size, key in reversed(self.log_keys) if size <= self.snapshot.checkpoint.size)
        known = self.follower.keys if self.snapshot.checkpoint.size > self.snapshot.seal.index + 1 else self.follower.keys[-1:]
        need(note.VerifierKey(key.decode()).key in known, "dossier: the checkpoint's key is not the one in force")

    def _check_stamps(self, stamps):
        here, now = [entry for entry in self.entries if entry.kind == layout.TIME_STAMP and entry.payload], self.snapshot.checkpoint
        need([stamp.get("entry", 0) for stamp in stamps] == [entry.index for entry in here], "dossier: paths of time stamps")
        for entry, stamp in zip(here, stamps):
            found = re.match(rb"[^\n]+\n(\d+)\n([A-Za-z0-9+/]{43}=)\n", entry.payload.note)
            need(found, f"entry {entry.index}: it stamps no checkpoint")
            size, root = int(found[1]), layout.unbase64(found[2].decode())
            need(tree.consistent(size, root, now.size, now.root, stamp.get("path", b"")), f"entry {entry.index}: it stamps another tree")

    # ---- nothing is missing ----

    def _need(self, type_, id_, by):
        if id_:
            name = type_, id_.encode() if isinstance(id_, str) else id_
            need(name in self.chains, f"dossier: chain {name}, which {by} names, is missing")
            return name
        return None

    def _check_complete(self):
        need(self.subjects, "dossier: it is about nothing")
        for entry in self.entries:
            self._named_by(entry)
        queue = [self._need(type_, id_, "the dossier") for type_, id_ in self.subjects]
        reached = set()
        while queue:
            name = queue.pop()
            if name[0] == ITEM and name not in reached:
                reached.add(name)
                queue += self._lead_to(name) if not self.chains[name].absent else []
        need(reached == {name for name in self.chains if name[0] == ITEM}, "dossier: an item that nothing leads to")

    def _lead_to(self, name):
        chain = self.chains[name]
        fields, members = chain.state.fields, chain.members
        for type_, field in ((SUBJECT, "coi"), (SUBJECT, "for_coi"), (SUBJECT, "patient"), (SHIPMENT, "shipment"), (PRODUCT, "product_code")):
            self._need(type_, fields[field], name)
        for case in members["cases"]:
            self._need(CASE, case["text"], name)
        for fact in members["excursions"]:
            self._need(CASE, b"excursion/" + fact["id"], name)
        lists = {BACK: ("inputs",), FORWARD: ("uses", "units")}.get(self.closure, ())
        found = [self._need(ITEM, edge["item"], name) for list_ in lists for edge in members[list_]]
        if self.closure == BACK and fields["parent"]:
            found.append(self._need(ITEM, fields["parent"], name))
        for index in chain.listed:
            found += self._signed_lineage(self.by_index[index], name)
        return found

    def _signed_lineage(self, entry, name):
        """The items that came from this one, or that it came from, by a signed event: the lists must not hide them."""
        kind = kind_name(entry.kind)
        if not entry.event or kind not in ("INPUT_CONSUMED", "LOT_SPLIT") or self.closure not in (BACK, FORWARD):
            return []
        body = schema.body_of(schema.EVENTS, entry.event)[2]
        back, item, is_item = self.closure == BACK, body["item"], body["item"].encode() == name[1]
        if kind == "LOT_SPLIT":
            others = [unit["item"] for unit in body["units"]] if is_item else [item]
            return [self._need(ITEM, other, f"entry {entry.index}") for other in others] if back != is_item else []
        asked, other = (is_item, body["input"]) if back else (body["input"].encode() == name[1], item)
        return [self._need(ITEM, other, f"entry {entry.index}")] if asked else []

    def _named_by(self, entry):
        if entry.event:
            body = schema.body_of(schema.EVENTS, entry.event)[2]
            for field, type_, prefix in NAMES:
                if body.get(field):
                    self._need(type_, prefix + body[field], f"entry {entry.index}")
        for signature in entry.block["signatures"] if entry.block else []:
            self._need(PARTY, signature["party"], f"entry {entry.index}")


def kind_name(number):
    if number < layout.FIRST_EVENT:
        return OWN_NAMES.get(number)
    return next(field.name for field in schema.EVENTS.messages["Event"].values() if field.number == number).upper()


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        policy = note.Policy(f.read())
    for path in sys.argv[2:]:
        with open(path, "rb") as f:
            dossier = Dossier(f.read(), policy)
        counts = ", ".join(f"{count} {name}" for name, count in dossier.counts.items())
        print(f"{path}: {len(dossier.chains)} chains, {len(dossier.entries)} entries ({counts}), {dossier.signatures} signatures")


if __name__ == "__main__":
    main()
