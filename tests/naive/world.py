# SPDX-License-Identifier: Apache-2.0
"""What the generator knows while it wanders: the naive judge's list of accepted events, the names in use, and a clock
that never runs backwards. The judge serves as the model of the world, so that a walk stays plausible for long."""
import datetime
import json

from judge import Event, Ledger, Refused
from kinds import KINDS
from values import MICRO, NANO, Num, instant, parse_line

START = instant("2026-01-05T00:00:00Z")
END = instant("2026-10-31T00:00:00Z")   # before a live server's clock, so that the same lifecycle can be played there
OFFSETS = [540] * 6 + [0] * 4 + [-300, 330, 60, -210, 899, -899, 840, -720, 345]
MEANINGS = ["authorship", "verification", "approval", "release"]


def dumps(value):
    """JSON text in which a number stays as it is written."""
    if isinstance(value, Num):
        return value.text
    if isinstance(value, list):
        return "[" + ", ".join(dumps(member) for member in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(json.dumps(name) + ": " + dumps(member) for name, member in value.items()) + "}"
    return json.dumps(value)


class World:
    # the name space that a field refers to
    REFERENCES = {"item": "item", "input": "item", "items": "item", "coi": "coi", "for_coi": "coi", "party": "party",
                  "shipment": "shipment", "lost_shipment": "shipment", "deviation": "deviation", "recall": "recall",
                  "excursion_id": "excursion", "target_event": "event", "product_code": "product"}

    def __init__(self, rng, events):
        self.rng, self.events = rng, events
        self.ledger = Ledger()
        self.now = START
        self.count = 0
        self.serial = 0
        self.accepted = []
        self.known = {space: [] for space in set(self.REFERENCES.values())}
        self.ended = set()      # items that are administered or disposed
        self.focus, self.patience = None, 0     # the item that is being worked on, and for how many more proposals
        self.seen = {}          # how often a verdict was met, alone and by kind

    # ---- clock and notation --------------------------------------------------------------------------------------

    def tick(self):
        """Move the clock: mostly minutes, sometimes not at all, sometimes days, and never past the end."""
        rng = self.rng
        room = (END - self.now) // max(1, self.events - self.count)
        step = rng.choice([0, 1, MICRO, rng.randrange(60 * MICRO), rng.randrange(3600 * MICRO),
                           rng.randrange(3600 * MICRO), rng.randrange(86400 * MICRO), rng.randrange(4 * 86400 * MICRO)])
        self.now += min(step, 3 * room)
        if rng.random() < 0.7:      # most systems know no more than seconds
            self.now += -self.now % MICRO

    def time(self, at):
        """An instant as text, in some offset and with or without superfluous decimals."""
        rng = self.rng
        offset = rng.choice(OFFSETS)
        try:
            moment = datetime.datetime.min + datetime.timedelta(microseconds=at - 86400 * MICRO + offset * 60 * MICRO)
        except OverflowError:
            return rng.choice(["0001-01-01T00:00:00+14:59", "9999-12-31T23:59:59-14:59"])
        text = moment.strftime("%m-%dT%H:%M:%S")
        text = f"{moment.year:04d}-" + text
        fraction = f"{moment.microsecond:06d}".rstrip("0")
        if rng.random() < 0.1:
            fraction = fraction.ljust(rng.randrange(len(fraction), 7), "0")
        text += "." + fraction if fraction else ""
        if offset == 0 and rng.random() < 0.7:
            return text + "Z"
        sign = "-" if offset < 0 or (offset == 0 and rng.random() < 0.3) else "+"
        return text + f"{sign}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"

    def number(self, nano):
        """An exact value in billionths, in one of its many notations."""
        rng = self.rng
        sign, size = ("-" if nano < 0 else ""), abs(nano)
        whole, fraction = divmod(size, NANO)
        short = f"{fraction:09d}".rstrip("0")
        plain = f"{sign}{whole}" + ("." + short if short else "")
        forms = [plain, plain, plain, plain if short else plain + ".0", plain + "e0",
                 plain + ("0" if short else ".00"), f"{sign}{size}e-9", f"{sign}{size * 10}E-10"]
        return Num(rng.choice(forms))

    def whole(self, value):
        return Num(str(value))

    def fresh(self, prefix):
        self.serial += 1
        return f"{prefix}-{self.serial}"

    def hex(self):
        return f"{self.rng.getrandbits(256):064x}"

    # ---- what there is -------------------------------------------------------------------------------------------

    def names(self, space):
        return [e.id for e in self.accepted] if space == "event" else self.known[space]

    def live_items(self):
        return [item for item in self.known["item"] if item not in self.ended]

    def refocus(self):
        """Stay with one lot, or with a unit of one, for a while: only so does it get far."""
        self.patience -= 1
        if self.patience < 0 or self.focus in self.ended:
            lots = [i for i in self.live_items() if self.ledger.top(i).kind == "LOT_CREATED"]
            if lots:
                ahead = [i for i in lots if self.ledger.stock(i)[0] > 0]
                pool = ahead if ahead and self.rng.random() < 0.6 else lots
                self.focus, self.patience = self.rng.choice(pool[-15:]), 150

    def some_item(self):
        """Often the one in focus; else mostly a live one, and rather a young one."""
        rng = self.rng
        self.refocus()
        if self.focus and rng.random() < 0.45:
            units = [u["item"] for e in self.ledger.about(self.focus, "LOT_SPLIT") for u in e["units"]]
            units = [u for u in units if u not in self.ended]
            return rng.choice(units) if units and rng.random() < 0.5 else self.focus
        pool = self.live_items() if rng.random() < 0.9 else self.known["item"]
        if not pool:
            return "no-such"
        return rng.choice(pool[-12:]) if rng.random() < 0.6 else rng.choice(pool)

    def some(self, space):
        pool = self.names(space)
        return self.rng.choice(pool) if pool else "no-such"

    def some_instant(self):
        """An instant at which something happened, so that equal and just-before times are met."""
        if not self.accepted:
            return self.now
        return self.rng.choice(self.accepted[-60:]).occurred

    def any_party(self):
        return self.rng.choice(self.known["party"])

    def parties(self, roles, org=None):
        """Those who can sign now in one of the roles (for that organisation)."""
        found = []
        for name in self.known["party"]:
            party = self.ledger.party(name)
            if not party["revoked"] and any(r in roles for r in party["roles"]) and org in (None, party["org"]):
                found.append(name)
        return found

    def signature(self, party):
        return {"party": party, "meaning": self.rng.choice(MEANINGS)}

    def signers(self, kind, org=None, roles=None, second_roles=None, second_org=None):
        """Whoever may sign this kind, for an organisation if there is anybody; a second one of whom the kind asks it."""
        rng, table = self.rng, KINDS[kind]
        roles = roles or table["roles"]
        first = rng.choice(self.parties(roles, org) or self.parties(roles) or self.known["party"] or ["u.nobody"])
        if table["signatures"] == 1:
            return [self.signature(first)]
        roles = second_roles or table["second_roles"]
        pool = [p for p in self.parties(roles, second_org) or self.parties(roles) if p != first]
        return [self.signature(first), self.signature(rng.choice(pool or ["u.nobody"]))]

    # ---- judging and recording -----------------------------------------------------------------------------------

    def finish(self, line):
        """The whole line: reference and recorded time added."""
        self.count += 1
        return {"id": line.get("id", f"ev-{self.count:05d}"), "kind": line["kind"],
                **({"occurred": line["occurred"]} if "occurred" in line else {}),
                "recorded": self.time(self.now), "signers": line["signers"], "fields": line["fields"]}

    def verdict(self, line):
        """What the judge would say, without recording."""
        draft = {"id": "draft", "recorded": self.time(self.now), **line}
        event = Event(parse_line(dumps(draft)))
        try:
            self.ledger.check(event)
        except Refused as refused:
            return refused.code
        return "ACCEPT"

    def record(self, line):
        """Number the line, judge it, remember what became known. Returns its JSON text."""
        text = dumps(self.finish(line))
        parsed = parse_line(text)
        verdict = self.ledger.judge(parsed)
        code = verdict.rpartition(":")[2]
        for key in (code, (str(parsed["kind"]), code)):
            self.seen[key] = self.seen.get(key, 0) + 1
        if verdict == "ACCEPT":
            self.learn(self.ledger.log[-1])
        return text

    def learn(self, event):
        self.accepted.append(event)
        for field, space in self.REFERENCES.items():
            value = event[field]
            for name in value if isinstance(value, list) else [value]:
                if space != "event" and isinstance(name, str) and name not in self.known[space]:
                    if space != "item" or self.ledger.maker(name):
                        self.known[space].append(name)
        if event.kind == "LOT_SPLIT":
            self.known["item"] += [unit["item"] for unit in event["units"]]
        self.known["party"] = [p for p in self.known["party"] if self.ledger.party(p)]
        target = self.ledger.by_reference(event["target_event"]) if event.kind == "EVENT_CORRECTED" else event
        if target.kind in ("ADMINISTERED", "LOT_DISPOSED"):
            self.ended.discard(target["item"])
            if self.ledger.stock(target["item"])[1]:
                self.ended.add(target["item"])
