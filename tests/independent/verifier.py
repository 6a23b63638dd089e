# SPDX-License-Identifier: Apache-2.0
"""Verifies what a ledger says, from docs/format.md, docs/rules.md and the .proto files alone: receipts, chain proofs, the whole log.

    python3 verifier.py POLICY RECEIPT…

Everything raises layout.Invalid, or layout.Unverifiable for a version that is newer than this program.
"""
import hashlib
import re
import sys

import chainmap
import effects
import layout
import note
import schema
import states
import tree
import wire
from layout import Header, need

TWO_SIGNATURES = (*layout.SIGNED_OWN, 69, 77, 83, 84, 86, 87)


# ---- signatures ----

def signed_bytes(origin, signature, p, n, root, before):
    return (b"\x0fledgerd/v1/sign" + layout.var(origin.encode()) + layout.var(signature["party"].encode()) + signature["key_id"]
            + layout.u16(signature["algorithm"]) + layout.var(signature["meaning"].encode()) + layout.var(signature["time"].encode())
            + layout.u32(p) + layout.u32(n) + root + before)


def check_signatures(origin, kind, event_id, block, key_of):
    """Each signature of a block; key_of(party, key id) gives (algorithm, key)."""
    signatures = block.get("signatures", [])
    need(len(signatures) == 1 + (kind in TWO_SIGNATURES), "the number of signatures is not the kind's")
    root = tree.root_of_path(block.get("index", 0), block["events"], tree.leaf(event_id), block.get("path", b""))
    need(root is not None, "signature block: the path does not fit")
    before = bytes(32)
    for p, signature in enumerate(signatures, 1):
        algorithm, key = key_of(signature["party"], signature["key_id"])
        need(algorithm == signature["algorithm"] and layout.key_id(algorithm, key) == signature["key_id"], "a signature names another key")
        layout.verify(algorithm, key, signed_bytes(origin, signature, p, block["events"], root, before), signature["signature"])
        before = layout.H("signature", layout.var(signature["signature"]))


def check_content(header, event, block):
    """(event, block) decoded, after their hashes and the kind were compared with the header's"""
    need(layout.event_id(event) == header.event_id, "the event is not the header's")
    need(layout.block_hash(block) == header.block_hash, "the signature block is not the header's")
    decoded = schema.read_event(event)
    need(schema.kind_of(schema.EVENTS, decoded) == header.kind, "the event's kind is not the header's")
    return decoded, schema.read_block(block)


# ---- snapshots and chains ----

class Snapshot:
    """A checkpoint and the seal that is its last leaf; with any_seal (files) it may be an earlier one, and the seal's time counts."""

    def __init__(self, message, policy, any_seal=False):
        self.checkpoint = note.Checkpoint(message.get("checkpoint", b""), policy)
        self.seal = Header(message.get("seal", b""))
        need(self.seal.kind == layout.SEAL and self.seal.index < self.checkpoint.size, "snapshot: no seal")
        need(any_seal or self.seal.index == self.checkpoint.size - 1, "snapshot: not the last seal")
        self.check_path(self.seal, message.get("seal_path", b""))

    def check_path(self, header, path):
        root = tree.root_of_path(header.index, self.checkpoint.size, header.leaf(), path)
        need(root == self.checkpoint.root, f"entry {header.index}: the path does not lead to the checkpoint's root")


class Chain:
    """A ChainProof with all its continuations joined: absent, or with a head, and a state unless it is withheld."""

    def __init__(self, proof, snapshot, index_key):
        self.name = (proof["name"]["type"], proof["name"]["id"])
        self.key = layout.chain_key(index_key, *self.name)
        found = chainmap.prove(proof.get("map_proof", b""), self.key, snapshot.seal.map_root)
        self.absent, self.state, self.members, self.withheld = found is None, None, {}, proof.get("withheld", 0)
        if self.absent:
            need(not any(proof.get(name) for name in ("head", "salt", "state", "logs", "history")), "an absent chain has content")
            return
        self.count, head = found
        self.head = Header(proof.get("head", b""))
        need(self.head.leaf() == head, "chain: the head is not the map's")
        self.link = self.check_link(self.head, self.count - 1)
        if not self.withheld:
            self._open(proof)
        self.history = self._check_history(proof.get("history", []))

    def check_link(self, header, sequence):
        link = header.link(self.key)
        need(link is not None and link.sequence == sequence, "chain: the header has no such link")
        return link

    def _open(self, proof):
        self.state = states.Stored(proof.get("state", b""))
        need((self.state.type, states.chain_id(self.state)) == self.name, "chain: a state of another chain")
        fits = layout.commitment(self.key, self.count - 1, proof.get("salt", b""), self.state.canonical)
        need(fits == self.link.commitment, "chain: the state is not the one that the head commits to")
        for log in proof.get("logs", []):
            number = log.get("log", 0)
            self.members[self.state.list_name(number)[0]] = self.state.check_members(number, log.get("members", []))

    def _check_history(self, records):
        """All headers of the chain, checked from the latest one back."""
        if not records:
            return []
        need(len(records) == self.count, "chain: the history is not whole")
        headers = [Header(record["header"]) for record in records]
        need(headers[-1].bytes == self.head.bytes, "chain: the history does not end with the head")
        for sequence in range(self.count - 1, -1, -1):
            link = self.check_link(headers[sequence], sequence)
            need(sequence == 0 or headers[sequence - 1].leaf() == link.before, "chain: a link names another entry")
        return headers


def join(proofs):
    """Continuations of a chain joined to its ChainProof, in order of appearance."""
    joined = {}
    for proof in proofs:
        name = (proof["name"]["type"], proof["name"]["id"])
        if proof.get("map_proof"):
            need(name not in joined, "a chain is proven twice")
            joined[name] = dict(proof, logs=list(proof.get("logs", [])), history=list(proof.get("history", [])))
        else:
            need(name in joined, "a continuation without a beginning")
            _continue(joined[name], proof)
    return joined


def _continue(whole, proof):
    for log in proof.get("logs", []):
        if whole["logs"] and whole["logs"][-1].get("log", 0) == log.get("log", 0):
            whole["logs"][-1].setdefault("members", []).extend(log.get("members", []))
        else:
            whole["logs"].append(log)
    if proof.get("history"):
        need(proof.get("history_first", 0) == len(whole["history"]), "a history goes on at another place")
        whole["history"] += proof["history"]


# ---- receipts ----

MAGIC = b"ledgerd receipt v1\n"


class Receipt:
    """A receipt file that is good under the policy."""

    def __init__(self, data, policy):
        message = self._open(data)
        receipt, record = message.get("receipt", {}), message.get("receipt", {}).get("record", {})
        self.snapshot = Snapshot(receipt.get("snapshot", {}), policy)
        self.origin = message.get("origin")
        need(self.snapshot.checkpoint.origin == self.origin, "receipt: another ledger's checkpoint")
        self.header = Header(record.get("header", b""))
        self.snapshot.check_path(self.header, receipt.get("path", b""))
        self.withheld = bool(record.get("withheld"))
        self.event = None
        if self.withheld:
            need(not record.get("event") and not record.get("block"), "receipt: content that is withheld is there")
        else:
            self._check(record, receipt.get("keys", []))

    @staticmethod
    def _open(data):
        body = data[:-32]
        version = re.match(rb"ledgerd receipt v([1-9]\d{0,8})\n", data)
        if version and int(version[1]) > 1:
            raise layout.Unverifiable(f"receipt: needs version {int(version[1])}")
        need(body.startswith(MAGIC) and hashlib.sha256(body).digest() == data[-32:], "receipt: damaged, or none")
        try:
            message = schema.PROTOCOL.decode("ReceiptFile", body[len(MAGIC):])
        except (wire.Malformed, UnicodeDecodeError, AttributeError) as why:
            raise layout.Invalid(f"receipt: {why}") from None
        need(schema.PROTOCOL.encode("ReceiptFile", message) == body[len(MAGIC):], "receipt: not in canonical form")
        return message

    def _check(self, record, keys):
        event, block = record.get("event", b""), record.get("block", b"")
        if self.header.kind < layout.FIRST_EVENT:
            need(self.header.kind == layout.SEAL and not event or layout.event_id(event) == self.header.event_id, "receipt: the payload")
            need(not block, "receipt: an own entry has no signature block")
            return
        self.event, block = check_content(self.header, event, block)
        need(len(keys) == len(block["signatures"]), "receipt: one registration for each signature")
        check_signatures(self.origin, self.header.kind, self.header.event_id, block, lambda party, id_: self._held(keys, party, id_))

    def _held(self, keys, party, key_id):
        """(algorithm, key) by a registration under `keys`; those of others are not asked"""
        for key in keys:
            if key.get("party") == party:
                held = self._key(key)
                if layout.key_id(*held) == key_id:
                    return held
        raise layout.Invalid("receipt: the registration of a signer is missing")

    def _key(self, key):
        """(algorithm, key) of a SignerKey"""
        header, event, party = Header(key.get("header", b"")), key.get("event", b""), key.get("party")
        need(header.index == key.get("index", 0) <= self.header.index, "receipt: a registration that is later, or another entry")
        self.snapshot.check_path(header, key.get("path", b""))
        if header.kind == layout.GENESIS:
            need(layout.event_id(event) == header.event_id and not key.get("block"), "receipt: the genesis")
            genesis = layout.Genesis(event)
            need(party == genesis.admin and self.origin == genesis.origin, "receipt: the genesis is another's")
            return genesis.algorithm, genesis.key
        need(header.kind == 64, "receipt: no registration")
        body = check_content(header, event, key.get("block", b""))[0]["party_registered"]
        need(body["action"] in (1, 3) and body["party"] == party, "receipt: a registration of another party")
        return layout.public_key(body.get("pubkey", ""))


# ---- the log ----

class Log:
    """Reads records from entry 0 on and derives every header again."""

    def __init__(self, policy, index_key):
        self.policy, self.index_key = policy, index_key
        self.headers, self.leaves, self.heads, self.references = [], [], {}, set()
        self.world, self.epoch, self.seal = effects.World(), 0, None

    def add(self, record):
        header = Header(record["header"])
        need(header.index == len(self.headers), "log: an index is not the place")
        need(not self.headers or header.recorded >= self.headers[-1].recorded, "log: recorded time runs backwards")
        need((header.index == 0) == (header.kind == layout.GENESIS), "log: entry 0 is the genesis, and no other")
        need(not record.get("withheld"), "log: content is withheld")
        if layout.CLOCK_STEP < header.kind < layout.FIRST_EVENT and header.kind != layout.SUCCESSOR:
            raise layout.Unverifiable(f"entry {header.index}: kind {header.kind} is not replayed here")
        if header.kind == layout.SEAL:
            self._add_seal(header, record)
        else:
            self._add_entry(header, record)
        need(header.epoch == self.epoch, "log: epoch")
        self.headers.append(header)
        self.leaves.append(header.leaf())

    def _add_seal(self, header, record):
        need(not record.get("event") and not record.get("block"), "log: a seal has content")
        before = self.seal
        need((header.before, header.before_hash) == ((before.index, before.leaf()) if before else (0, bytes(32))), "log: the seal before")
        need(header.first == (before.index + 1 if before else 0), "log: the first entry of the batch")
        need(header.map_root == chainmap.root(self.heads) and header.chains == len(self.heads), "log: the chain map")
        self.seal = header

    def _add_entry(self, header, record):
        event, block = record.get("event", b""), record.get("block", b"")
        need(layout.event_id(event) == header.event_id and layout.block_hash(block) == header.block_hash, "log: event id or block hash")
        if header.kind < layout.FIRST_EVENT:
            need(not block, "log: an own entry has a signature block")
            nonce, chains = self._own(header, event)
        else:
            nonce, chains = self._event(header, event, block)
        self._links(header, nonce, chains)

    def _own(self, header, payload):
        if header.kind == layout.GENESIS:
            return self._genesis(layout.Genesis(payload))
        if header.kind == layout.EPOCH:
            own = layout.Epoch(payload)
            need(own.epoch == self.epoch + 1, "log: an epoch's number")
            self.epoch = own.epoch
            return own.nonce, self.world.epoch(own)
        if header.kind == layout.SUCCESSOR:
            own = layout.Successor(payload)
            own.check(header.index, self.genesis.origin)
            return own.nonce, self.world.unchanged()
        own = layout.ClockStep(payload)
        return own.nonce, self.world.clock_step(own)

    def _genesis(self, genesis):
        key = note.VerifierKey(genesis.log_key.decode())
        need(key.name == genesis.origin, "log: the verifier key's name is not the origin")
        need(genesis.origin in self.policy.logs and self.policy.logs[key.name].key == key.key, "log: the genesis has another log key")
        need(layout.H("index-key", self.index_key) == genesis.index_key, "log: another index key")
        self.genesis = genesis
        return genesis.nonce, self.world.genesis(genesis)

    def _event(self, header, event, block):
        decoded, signatures = check_content(header, event, block)
        need(signatures["events"] <= self.genesis.batch_max and len(event) <= self.genesis.event_max, "log: limits of the genesis")
        first = signatures["signatures"][0]["party"]
        need((first, decoded["reference"]) not in self.references, "log: a reference is used twice")
        self.references.add((first, decoded["reference"]))
        need(layout.instant(decoded["occurred"]) <= header.recorded + self.genesis.tolerance, "log: an event from the future")
        check_signatures(self.genesis.origin, header.kind, header.event_id, signatures, self.key_in_force)
        _, name, body = schema.body_of(schema.EVENTS, decoded)
        self._key_proof(decoded, name, body)
        org = self.world.states[layout.PARTY, first]["org"]
        return decoded["nonce"], self.world.event(effects.Recorded(header.index, header.event_id, decoded["occurred"], name, body, org))

    def _key_proof(self, event, name, body):
        if name == "party_registered" and body["action"] in (1, 3):
            layout.check_key_proof(self.genesis.origin, body["party"], *layout.public_key(body["pubkey"]), event["key_proof"])

    def key_in_force(self, party, _key_id=None):
        state = self.world.states.get((layout.PARTY, party))
        need(state is not None and not state["revoked"], "log: a signer who is not registered, or was revoked")
        return state["algorithm"], state["key"]

    def _links(self, header, nonce, chains):
        expected = {layout.chain_key(self.index_key, *chain): chain for chain in chains}
        need(set(expected) == {link.key for link in header.links}, f"entry {header.index}: it advances other chains")
        for link in header.links:
            count, head = self.heads.get(link.key, (0, bytes(32)))
            need((link.sequence, link.before) == (count, head), f"entry {header.index}: a link")
            chain = expected[link.key]
            canonical = states.canonical(chain[0], self.world.states[chain])
            fits = layout.commitment(link.key, count, layout.state_salt(nonce, link.key), canonical)
            need(fits == link.commitment, f"entry {header.index}, kind {header.kind}: the state of {chain}")
            self.heads[link.key] = (count + 1, header.leaf())

    def check(self, message):
        """A Snapshot message against the entries read so far."""
        snapshot = Snapshot(message, self.policy)
        size = snapshot.checkpoint.size
        need(size <= len(self.leaves) and tree.root(self.leaves[:size]) == snapshot.checkpoint.root, "log: another tree than the checkpoint's")
        return snapshot


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        policy = note.Policy(f.read())
    for path in sys.argv[2:]:
        with open(path, "rb") as f:
            receipt = Receipt(f.read(), policy)
        print(f"{path}: entry {receipt.header.index} of {receipt.origin}, kind {receipt.header.kind}"
              + (", content withheld" if receipt.withheld else ""))


if __name__ == "__main__":
    main()
