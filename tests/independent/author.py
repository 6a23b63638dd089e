# SPDX-License-Identifier: Apache-2.0
"""Makes events and signatures, so that a daemon can be asked whether it reads them in the same way."""
import base64
import os

import ed25519
import layout
import tree
import verifier
from schema import EVENTS


class Author:
    """A party with an Ed25519 key out of a key file of ledgerctl."""

    def __init__(self, path, origin):
        with open(path, encoding="utf-8") as f:
            lines = dict(line.rstrip("\n").split(": ", 1) for line in f if ": " in line)
        self.party, self.seed, self.origin = lines["party"], base64.b64decode(lines["secret"]), origin
        self.algorithm, self.key = layout.public_key(lines["public"])

    def sign(self, events, time, meaning="authorship"):
        """The encoding of one Signature over all of them together."""
        root = tree.root([tree.leaf(layout.event_id(event)) for event in events])
        signature = {"party": self.party, "key_id": layout.key_id(self.algorithm, self.key), "algorithm": self.algorithm,
                     "meaning": meaning, "time": time}
        message = verifier.signed_bytes(self.origin, signature, 1, len(events), root, bytes(32))
        signature["signature"] = ed25519.sign(self.seed, message)
        return EVENTS.encode("Signature", signature)


def event(reference, occurred, kind, body, **envelope):
    values = {"version": 1, "nonce": os.urandom(16), "reference": reference, "occurred": occurred, kind: body}
    return EVENTS.encode("Event", dict(values, **envelope))


def block(events, index, path, signature):
    """A SignatureBlock: what a client has to expect in a header."""
    values = {"version": 1, "events": events, "index": index, "path": path, "signatures": [EVENTS.decode("Signature", signature)]}
    return EVENTS.encode("SignatureBlock", values)
