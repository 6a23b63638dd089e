# SPDX-License-Identifier: Apache-2.0
"""Messages as the .proto files declare them: reads the files, decodes bytes into dictionaries and writes requests.

Two readers. `decode` takes whatever a protobuf library takes. `canonical` takes the one encoding that docs/format.md, section 3,
allows, and looks at the types that the comments of ledger_events.proto name (id, text, ref, decimal, int, time; may).
"""
import json
import os
import re

import layout
import wire
from layout import need

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINE = re.compile(r"\s*(?:(message|enum|oneof) (\w+) \{(\})?|(repeated )?(\w+) (\w+) = (\d+);|(\w+) = (\d+);|(\}))\s*(?://\s*(.*))?$")
TYPES = ("id", "text", "ref", "decimal", "int", "time")


class Field:
    def __init__(self, number, name, type_, repeated, oneof, note):
        self.number, self.name, self.type, self.repeated, self.oneof = number, name, type_, repeated, oneof
        words = [word.strip() for part in note.split(";") for word in part.split(",")]
        self.may = words[0] == "may"
        self.form = next((word.split(":")[0] for word in words if word.split(":")[0] in TYPES), None)
        self.correctable = "correctable" in words


class Schema:
    def __init__(self, *names):
        self.messages, self.enums = {}, {}
        for name in names:
            with open(os.path.join(ROOT, "proto", name), encoding="utf-8") as f:
                self._read(f.read().splitlines())

    def _read(self, lines):
        message = enum = oneof = None
        for line in lines:
            found = LINE.match(line)
            if not found:
                continue
            block, name, closed, repeated, type_, field, number, value, value_number, end, note = found.groups()
            if block == "message":
                message = self.messages.setdefault(name, {})
                message = None if closed else message
            elif block == "enum":
                enum = self.enums.setdefault(name, {})
            elif block == "oneof":
                oneof = name
            elif field and message is not None:
                message[int(number)] = Field(int(number), field, type_, bool(repeated), oneof, note or "")
            elif value and enum is not None:
                enum[int(value_number)] = value
            elif end and oneof:
                oneof = None
            elif end:
                message = enum = None

    # ---- as a library would ----

    def decode(self, name, data):
        found = {}
        for number, kind, value in wire.fields(data, strict=False):
            field = self.messages[name].get(number)
            for one in self._values(field, kind, value) if field else []:
                self._store(found, field, self._value(field, one))
        return found

    def _values(self, field, kind, value):
        """A field of another wire type than its own is as good as unknown."""
        if field.type == "double":
            return [value] if kind == wire.FIXED64 else []
        if not self._is_number(field):
            return [value] if kind == wire.BYTES else []
        if field.repeated and kind == wire.BYTES:
            return wire.packed(value, strict=False)
        return [value] if kind == wire.VARINT else []

    def _is_number(self, field):
        return field.type in self.enums or field.type in ("uint32", "uint64", "int64", "bool")

    def _value(self, field, value):
        if field.type in self.messages:
            return self.decode(field.type, value)
        return value.decode() if field.type == "string" else value

    @staticmethod
    def _store(found, field, value):
        if field.repeated:
            found.setdefault(field.name, []).append(value)
        else:
            found[field.name] = value

    def encode(self, name, values):
        out = b""
        for number, field in sorted(self.messages[name].items()):
            given = values.get(field.name)
            if field.repeated and self._is_number(field):  # packed
                out += wire.put(number, b"".join(map(wire.put_varint, given))) if given else b""
                continue
            for value in given if field.repeated and given else [] if field.repeated else [given]:
                out += self._field(field, number, value)
        return out

    def _field(self, field, number, value):
        if value is None or (not value and field.type not in self.messages):
            return b""
        if field.type in self.messages:
            value = self.encode(field.type, value)
        return wire.put(number, value.encode() if isinstance(value, str) else int(value) if isinstance(value, bool) else value)

    # ---- the canonical form ----

    def canonical(self, name, data):
        try:
            found = self._collect(name, wire.fields(data))
        except wire.Malformed as why:
            raise layout.Invalid(f"{name}: {why}") from None
        self._check_oneof(name, found)
        return found

    def _collect(self, name, parts):
        fields, found, last = self.messages[name], {}, 0
        for number, kind, value in parts:
            field = fields.get(number)
            need(field, f"{name}: unknown field {number}")
            need(number > last or (number == last and field.repeated and field.type not in self.enums),
                 f"{name}: field {number} out of order or repeated")
            last = number
            for one in self._members(name, field, kind, value):
                self._store(found, field, one)
            need(not field.repeated or len(found[field.name]) <= 400, f"{name}.{field.name}: more than 400 members")
        return found

    def _members(self, name, field, kind, value):
        where = f"{name}.{field.name}"
        if field.repeated and field.type in self.enums:
            need(kind == wire.BYTES and value, f"{where}: a repeated enum is packed")
            return [self._enum(field, where, one) for one in wire.packed(value)]
        is_number = self._is_number(field)
        need(kind == (wire.VARINT if is_number else wire.BYTES), f"{where}: wire type")
        need(value or field.oneof or (name, field.name) == ("ProcessStep", "params"), f"{where}: a default value is written")
        if field.type in self.enums:
            return [self._enum(field, where, value)]
        if field.type in self.messages:
            return [self.canonical(field.type, value)]
        need(field.type != "uint32" or value < 1 << 32, f"{where}: more than 32 bits")
        return [self._text(where, field, value) if field.type == "string" else value]

    def _enum(self, field, where, value):
        need(value and value in self.enums[field.type], f"{where}: no value of the enum")
        need(field.type != "Bool" or not field.may or value == 2, f"{where}: an optional bool that is false is left out")
        return value

    @staticmethod
    def _text(where, field, value):
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            raise layout.Invalid(f"{where}: no UTF-8") from None
        need(re.fullmatch("[^\0-\x1f\x7f]*", text), f"{where}: control characters")
        if not where.startswith("Any."):
            check_form(where, field.form, text)
        return text

    def _check_oneof(self, name, found):
        groups = {}
        for field in self.messages[name].values():
            if field.oneof:
                groups[field.oneof] = groups.get(field.oneof, 0) + (field.name in found)
        need(all(count == 1 for count in groups.values()), f"{name}: not exactly one member of a oneof")
        CHECKS.get(name, lambda schema, found: schema.check_mandatory(name, found))(self, found)

    def check_mandatory(self, name, found):
        for field in self.messages[name].values():
            need(field.may or field.oneof or field.name in found, f"{name}.{field.name} is missing")


def check_form(where, form, text):
    size = len(text.encode())
    if form == "id":
        need(layout.is_id(text), f"{where}: no id")
    elif form in ("text", "ref"):
        need(1 <= size <= 1000, f"{where}: no text")
    elif form == "time":
        need(layout.instant(text) is not None, f"{where}: no time")
    elif form in ("decimal", "int"):
        need(layout.decimal(text) is not None and (form == "decimal" or "." not in text), f"{where}: no {form}")


def _check_any(schema, found):
    need(found.get("null", 2) == 2, "Any.null: not TRUE")
    number = found.get("number", "0")
    need(layout.decimal(number[:-2] if number.endswith(".0") else number) is not None, "Any.number: no decimal")
    need(len(found.get("text", "").encode()) <= 1000, "Any.text: too long")
    if "other" in found:
        try:
            json.loads(found["other"])
        except ValueError:
            raise layout.Invalid("Any.other: no JSON") from None


def _check_map(schema, found):
    names = [entry["name"].encode() for entry in found.get("entries", [])]
    need(len(names) <= 64 and names == sorted(set(names)), "Map: too many entries, or not in order")


def _check_foreign(schema, found):
    need("origin" in found and len(found.get("chain_key", b"")) == 32 and len(found.get("checkpoint_hash", b"")) == 32,
         "ForeignReference: a field is missing")


def _check_signature(schema, found):
    schema.check_mandatory("Signature", found)
    check_form("Signature.party", "id", found["party"])
    need(len(found["key_id"]) == 16 and found["algorithm"] <= 65535 and len(found["signature"]) <= 8192, "Signature: a field")


def _check_block(schema, found):
    need(1 <= found.get("events", 0) <= 1000 and found.get("index", 0) < found["events"], "SignatureBlock: events, index")
    need(len(found.get("path", b"")) % 32 == 0, "SignatureBlock: path")
    _version("signature block", found)


def _check_event(schema, found):
    _version("event", found)
    need(len(found.get("nonce", b"")) == 16 and "reference" in found and "occurred" in found, "Event: the envelope")
    kind = kind_of(schema, found)
    need("foreign" not in found or kind in (67, 68, 70), "Event: foreign")
    need("key_proof" not in found or (kind == 64 and len(found["key_proof"]) <= 8192), "Event: key_proof")


def _version(what, found):
    if found.get("version", 0) > 1:
        raise layout.Unverifiable(f"{what}: needs version {found['version']}")
    need(found.get("version") == 1, f"{what}: version")


# Members of Any and Scalar are covered by "exactly one".
CHECKS = {"Event": _check_event, "SignatureBlock": _check_block, "Signature": _check_signature, "Any": _check_any,
          "Map": _check_map, "ForeignReference": _check_foreign}


def kind_of(schema, event):
    return next(field.number for field in schema.messages["Event"].values() if field.oneof and field.name in event)


def body_of(schema, event):
    """(kind, name of the member, the kind's message)"""
    field = schema.messages["Event"][kind_of(schema, event)]
    return field.number, field.name, event[field.name]


EVENTS = Schema("ledger_events.proto")
PROTOCOL = Schema("ledger.proto")


def read_event(data):
    need(len(data) <= 32768, "event: too long")
    _peek_version("event", data)
    return EVENTS.canonical("Event", data)


def read_block(data):
    _peek_version("signature block", data)
    return EVENTS.canonical("SignatureBlock", data)


def _peek_version(what, data):
    """A later version may have a form that this one would call wrong."""
    need(len(data) >= 2 and data[0] == 0x08, f"{what}: it does not begin with its version")
    version, _ = wire.varint(data, 1, strict=False)
    if version > 1:
        raise layout.Unverifiable(f"{what}: needs version {version}")
