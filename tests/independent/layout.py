# SPDX-License-Identifier: Apache-2.0
"""docs/format.md: the notation (1), headers (5), the ledger's own entries (6), keys (3), salts and commitments (7)."""
import base64
import binascii
import datetime
import functools
import hashlib
import hmac
import re

import ed25519
import p256


class Invalid(Exception):
    """Bytes that contradict the format or each other."""


class Unverifiable(Exception):
    """Bytes of a version that this program does not know."""


def need(good, why):
    if not good:
        raise Invalid(why)


def u8(n):
    return n.to_bytes(1, "big")


def u16(n):
    return n.to_bytes(2, "big")


def u32(n):
    return n.to_bytes(4, "big")


def u64(n):
    return n.to_bytes(8, "big")


def i64(n):
    return n.to_bytes(8, "big", signed=True)


def dec(n):
    return n.to_bytes(16, "big", signed=True)


def var(data):
    return u32(len(data)) + data


def _labelled(label, fields):
    name = b"ledgerd/v1/" + label.encode()
    return u8(len(name)) + name + b"".join(fields)


def H(label, *fields):
    return hashlib.sha256(_labelled(label, fields)).digest()


def HMAC(key, label, *fields):
    return hmac.new(key, _labelled(label, fields), hashlib.sha256).digest()


class Reader:
    """Takes a layout apart; end() refuses what is left over."""

    def __init__(self, data, what):
        self.data, self.what, self.at = data, what, 0

    def take(self, size):
        need(self.at + size <= len(self.data), f"{self.what}: bytes are missing")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size, signed=False):
        return int.from_bytes(self.take(size), "big", signed=signed)

    def var(self):
        return self.take(self.number(4))

    def flag(self):
        n = self.number(1)
        need(n < 2, f"{self.what}: a bool is {n}")
        return bool(n)

    def version(self, known=1):
        n = self.number(1)
        if n > known:
            raise Unverifiable(f"{self.what}: needs version {n}")
        need(n == known, f"{self.what}: version {n}")

    def end(self):
        need(self.at == len(self.data), f"{self.what}: bytes are left over")


# ---- times, decimals, ids ----

TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
DECIMAL = re.compile(r"(-?)(0|[1-9]\d{0,14})(?:\.(\d{0,8}[1-9]))?", re.ASCII)


def instant(text):
    """Microseconds since 1970, or None if the text is no time."""
    found = TIME.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    ahead = int(found[9] or 0) * 60 + int(found[10] or 0)
    if hour > 23 or minute > 59 or second > 59 or int(found[10] or 0) > 59 or ahead > 14 * 60 + 59:
        return None
    try:
        days = datetime.date(year, month, day).toordinal() - datetime.date(1970, 1, 1).toordinal()
    except ValueError:
        return None
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    seconds -= 60 * (-ahead if found[8] == "-" else ahead)
    return seconds * 1000000 + int((found[7] or "0").ljust(6, "0"))


def decimal(text):
    """The decimal times 10^9, or None if the text is none."""
    found = DECIMAL.fullmatch(text)
    if not found:
        return None
    value = int(found[2]) * 10**9 + int((found[3] or "0").ljust(9, "0"))
    return None if found[1] and not value else -value if found[1] else value


def is_id(text):
    return bool(re.fullmatch(r"[!-~]{1,96}", text))


def is_origin(text):
    return bool(re.fullmatch(r"[!-*,-~]{1,128}", text))


# ---- keys ----

ALGORITHMS = {1: ("ed25519", ed25519), 2: ("p256", p256)}


def key_id(algorithm, key):
    return H("key-id", u8(algorithm), var(key))[:16]


def public_key(text):
    """(algorithm, key) of a field `pubkey`"""
    name, _, data = text.partition(":")
    for number, (known, _module) in ALGORITHMS.items():
        if name == known:
            key = unbase64(data)
            need(valid_key(number, key), "a public key is not valid")
            return number, key
    raise Invalid("a public key of an unknown algorithm")


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("no base64") from None
    need(base64.b64encode(data).decode() == text, "base64 in another form")
    return data


def valid_key(algorithm, key):
    return ALGORITHMS[algorithm][1].valid_key(key)


@functools.lru_cache(maxsize=8192)
def _verifies(algorithm, key, message, signature):
    """Events that were sent together share their signatures."""
    return ALGORITHMS[algorithm][1].verify(key, message, signature)


def verify(algorithm, key, message, signature):
    need(algorithm in ALGORITHMS, "a signature of an unknown algorithm")
    need(_verifies(algorithm, key, message, signature), "a signature does not verify")


def check_key_proof(origin, party, algorithm, key, proof):
    message = b"\x14ledgerd/v1/key-proof" + var(origin.encode()) + var(party.encode()) + u16(algorithm) + var(key)
    verify(algorithm, key, message, proof)


# ---- headers ----

GENESIS, SEAL, EPOCH, CLOCK_STEP, PARAMETERS, LOG_KEY, TIME_STAMP, ERASURE, SUCCESSOR = range(9)
SIGNED_OWN = (PARAMETERS, ERASURE)
FIRST_EVENT, LAST_EVENT = 64, 88


class Link:
    def __init__(self, reader):
        self.key, self.sequence = reader.take(32), reader.number(8)
        self.before, self.commitment = reader.take(32), reader.take(32)
        need((self.sequence == 0) == (self.before == bytes(32)), "a link's sequence number and entry before disagree")


class Header:
    def __init__(self, data):
        r = Reader(data, "header")
        r.version()
        self.bytes = data
        self.index, self.epoch, self.recorded, self.kind = r.number(8), r.number(8), r.number(8, True), r.number(2)
        if self.kind > SUCCESSOR and not FIRST_EVENT <= self.kind <= LAST_EVENT:
            raise Unverifiable(f"entry {self.index}: kind {self.kind} needs a newer version")
        self.links = []
        if self.kind == SEAL:
            self._seal(r)
        else:
            self._entry(r)
        r.end()

    def _seal(self, r):
        self.before, self.before_hash, self.first = r.number(8), r.take(32), r.number(8)
        self.map_root, self.chains = r.take(32), r.number(8)

    def _entry(self, r):
        self.event_id, self.block_hash = r.take(32), r.take(32)
        count = r.number(2)
        need(1 <= count <= 500, "header: the number of links is out of range")
        self.links = [Link(r) for _ in range(count)]
        keys = [link.key for link in self.links]
        need(keys == sorted(set(keys)), "header: the links are not in ascending order")

    def leaf(self):
        return hashlib.sha256(b"\0" + self.bytes).digest()

    def link(self, key):
        return next((link for link in self.links if link.key == key), None)


def event_id(data):
    return H("event", var(data))


def block_hash(data):
    return H("signature-block", var(data))


# ---- the ledger's own entries ----

class Genesis:
    def __init__(self, data):
        r = Reader(data, "genesis")
        r.version()
        self.nonce, self.origin, self.log_key = r.take(32), ascii_(r.var()), r.var()
        self.format, self.rules = r.number(2), r.number(2)
        if self.format > 1 or self.rules > 1:
            raise Unverifiable("genesis: needs a newer version of the format or the rules")
        need(self.format == 1 and self.rules == 1, "genesis: versions")
        self.tolerance, self.heartbeat = r.number(8, True), r.number(4)
        self.event_max, self.batch_max, self.index_key = r.number(4), r.number(4), r.take(32)
        self.admin, self.org = ascii_(r.var()), ascii_(r.var())
        self.algorithm, self.key, self.proof = r.number(2), r.var(), r.var()
        r.end()
        self._check()

    def _check(self):
        need(self.event_max == 32768 and self.batch_max == 1000, "genesis: limits")
        need(is_origin(self.origin), "genesis: origin")
        need(is_id(self.admin) and is_id(self.org), "genesis: first administrator")
        need(self.algorithm in ALGORITHMS and valid_key(self.algorithm, self.key), "genesis: the administrator's key")
        check_key_proof(self.origin, self.admin, self.algorithm, self.key, self.proof)


class Epoch:
    def __init__(self, data):
        r = Reader(data, "epoch")
        r.version()
        self.nonce, self.epoch = r.take(16), r.number(8)
        self.host, self.program, self.reason = r.var(), r.var(), r.var()
        r.end()


class ClockStep:
    def __init__(self, data):
        r = Reader(data, "clock step")
        r.version()
        self.nonce, self.reading, self.expected = r.take(16), r.number(8, True), r.number(8, True)
        r.end()


class Parameters:
    def __init__(self, data):
        r = Reader(data, "parameters")
        r.version()
        self.nonce, self.rules = r.take(16), r.number(2)
        self.kept = data[r.at:]  # what the ledger's state keeps
        self.algorithms = [r.number(2) for _ in range(r.number(2))]
        self.retention = [(r.number(2), r.number(4)) for _ in range(r.number(2))]
        r.end()
        need(1 <= len(self.algorithms) <= 32 and self.algorithms == sorted(set(self.algorithms)) and 0 not in self.algorithms, "parameters: algorithms")
        kinds = [kind for kind, _ in self.retention]
        need(len(kinds) <= 64 and kinds == sorted(set(kinds)) and all(days for _, days in self.retention), "parameters: retention")


class LogKey:
    def __init__(self, data):
        r = Reader(data, "log key")
        r.version()
        self.nonce, self.old, self.new, self.size, self.proof = r.take(16), r.var(), r.var(), r.number(8), r.var()
        r.end()


class TimeStamp:
    def __init__(self, data):
        r = Reader(data, "time stamp")
        r.version()
        self.nonce, self.note, self.token = r.take(16), r.var(), r.var()
        r.end()
        need(1 <= len(self.token) <= 32768, "time stamp: the token")


class Erasure:
    def __init__(self, data):
        r = Reader(data, "erasure")
        r.version()
        self.nonce, self.reason = r.take(16), r.var()
        self.ids = [r.take(32) for _ in range(r.number(2))]
        r.end()
        need(1 <= len(self.ids) <= 400 and self.ids == sorted(set(self.ids)), "erasure: ids")


class Successor:
    def __init__(self, data):
        r = Reader(data, "successor")
        r.version()
        self.nonce, self.origin, self.note, self.reason = r.take(16), ascii_(r.var()), r.var(), r.var()
        self.approvers = [(ascii_(r.var()), r.number(2), r.var(), r.var()) for _ in range(r.number(2))]
        r.end()
        parties, keys = [a[0] for a in self.approvers], {a[2] for a in self.approvers}
        need(is_origin(self.origin) and all(is_id(party) for party in parties), "successor: names")
        need(2 <= len(parties) <= 8 and parties == sorted(set(parties)) and len(keys) == len(parties), "successor: who approves")
        text, _, lines = self.note.partition(b"\n\n")
        need(text.split(b"\n")[0] == self.origin.encode() and any(line.split(b" ")[1] == self.origin.encode() for line in lines.splitlines()),
             "successor: the former ledger's checkpoint")

    def check(self, index, new_origin):
        need(index == 1 and self.origin != new_origin, "successor: its place, or its origin")
        for party, algorithm, key, signature in self.approvers:
            message = (b"\x14ledgerd/v1/successor" + self.nonce + var(new_origin.encode()) + var(self.origin.encode()) + var(self.note)
                       + var(self.reason) + var(party.encode()) + u16(algorithm) + var(key))
            need(algorithm in ALGORITHMS and valid_key(algorithm, key), "successor: a key")
            verify(algorithm, key, message, signature)


class Opening:
    """{number of the link: (salt, state in stored form, [(list, member)])}, and the reference key or None"""

    def __init__(self, data):
        r = Reader(data, "opening")
        r.version()
        self.parts, links = {}, []
        for _ in range(r.number(2)):
            link, salt, state = r.number(2), r.take(32), r.var()
            members = [(r.number(1), r.var()) for _ in range(r.number(4))]
            need([log for log, _ in members] == sorted(log for log, _ in members), "opening: lists are not in order")
            self.parts[link] = salt, state, members
            links.append(link)
        need(links == sorted(set(links)), "opening: links are not in order")
        self.reference = r.take(32) if r.flag() else None
        r.end()


def ascii_(data):
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise Invalid("no ASCII") from None


# ---- chains ----

ITEM, PARTY, SUBJECT, SHIPMENT, CASE, PRODUCT, LEDGER = range(1, 8)


def chain_key(index_key, type_, id_):
    return HMAC(index_key, "chain-key", u8(type_), var(id_.encode() if isinstance(id_, str) else id_))


def state_salt(nonce, key):
    return HMAC(nonce, "state-salt", key)


def commitment(key, sequence, salt, canonical):
    return H("state", u16(1), key, u64(sequence), salt, var(canonical))
