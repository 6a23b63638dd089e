# SPDX-License-Identifier: Apache-2.0
"""Signed notes, checkpoints and the policy that says whom to trust: C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy."""
import hashlib
import re

import ed25519
from layout import need, unbase64

LOG, COSIGNATURE = 1, 4


class VerifierKey:
    def __init__(self, text):
        # The base64 may contain a plus sign; the name and the key id do not.
        name, id_, data = (text.split("+", 2) + ["", ""])[:3]
        data = unbase64(data)
        need(name and len(data) == 33 and data[0] in (LOG, COSIGNATURE), "verifier key: form")
        self.name, self.type, self.key = name, data[0], data[1:]
        self.id = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
        need(id_ == self.id.hex(), "verifier key: key id")
        need(ed25519.valid_key(self.key), "verifier key: no point of full order")


class Policy:
    def __init__(self, text):
        self.logs, self.witnesses, self.groups, self.quorum = {}, {}, {}, None
        for line in text.splitlines():
            words = line.split()
            if words and not words[0].startswith("#"):
                self._line(words)
        need(self.logs and self.quorum is not None, "policy: a log and a quorum are needed")

    def _line(self, words):
        if words[0] == "log" and len(words) in (2, 3):
            key = VerifierKey(words[1])
            self.logs[key.name] = key
        elif words[0] == "witness" and len(words) in (3, 4):
            self.witnesses[words[1]] = VerifierKey(words[2])
        elif words[0] == "group" and len(words) > 3:
            count = {"any": 1, "all": len(words) - 3}.get(words[2])
            self.groups[words[1]] = (int(words[2]) if count is None else count, words[3:])
        else:
            need(words[0] == "quorum" and len(words) == 2, "policy: a line that is none")
            self.quorum = words[1]

    def satisfied(self, name, signed):
        if name == "none":
            return True
        if name in self.groups:
            count, members = self.groups[name]
            return sum(self.satisfied(member, signed) for member in members) >= count
        return name in signed


class Checkpoint:
    """A checkpoint that the policy vouches for; anything else raises Invalid."""

    def __init__(self, note, policy):
        need(b"\n\n" in note, "note: no empty line")
        text, _, signatures = note.partition(b"\n\n")
        self.text = text + b"\n"
        found = re.fullmatch(rb"([!-*,-~]{1,128})\n(0|[1-9]\d{0,19})\n([A-Za-z0-9+/]{43}=)\n", self.text)
        need(found, "checkpoint: form")
        self.origin, self.size, self.root = found[1].decode(), int(found[2]), unbase64(found[3].decode())
        need(self.size < 1 << 64 and self.origin in policy.logs, "checkpoint: size, or no log of the policy")
        lines = self._lines(signatures)
        self._check_log(policy.logs[self.origin], lines)
        signed = {name for name, key in policy.witnesses.items() if self._cosigned(key, lines)}
        need(policy.satisfied(policy.quorum, signed), "checkpoint: no quorum")

    @staticmethod
    def _lines(signatures):
        need(signatures.endswith(b"\n"), "note: the last line has no end")
        lines = []
        for line in signatures[:-1].split(b"\n"):
            found = re.fullmatch(b"\xe2\x80\x94 ([^ +]+) ([A-Za-z0-9+/=]+)", line)
            need(found, "note: a line that is no signature")
            data = unbase64(found[2].decode())
            need(len(data) > 4, "note: a signature is too short")
            lines.append((found[1], data[:4], data[4:]))
        return lines

    def _check_log(self, key, lines):
        """Lines of keys that are not known are passed over; whatever claims to be the log's must verify."""
        found = [signature for name, id_, signature in lines if (name, id_) == (key.name.encode(), key.id)]
        need(found, "note: the log has not signed")
        need(all(ed25519.verify(key.key, self.text, signature) for signature in found), "note: the log's signature does not verify")

    def _cosigned(self, key, lines):
        for name, id_, signature in lines:
            if (name, id_, len(signature)) == (key.name.encode(), key.id, 72):
                time = str(int.from_bytes(signature[:8], "big")).encode()
                return ed25519.verify(key.key, b"cosignature/v1\ntime " + time + b"\n" + self.text, signature[8:])
        return False
