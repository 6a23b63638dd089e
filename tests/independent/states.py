# SPDX-License-Identifier: Apache-2.0
"""States and members by the tables of docs/format.md, section 14: blank, written in canonical form, read from the stored form."""
import layout
import tree
from layout import Reader, need

ITEM_FIELDS = """
id text; class 1…7; use 0…2; gmo bool; made_index entry; born instant; arrived instant; parent text?; coi text?; for_coi text?;
uom text?; available dec; has_expiry bool; derived bool; expiry instant if has_expiry; holder text; shipment text?; location text?;
product_code text?; spec_member u64; terminal 0…2; nonconforming bool; terminal_index entry; terminal_took dec; patient text?;
last_input entry; last_derived entry; last_release entry; last_fail entry; rejected entry; quarantined bool; open_deviations u32;
open_recalls u32; open_excursions u32; rejecting_excursions u32; reducing_excursions u32"""
PARTY_FIELDS = "id text; org text; roles u32; algorithm u16; key text; key_index entry; registered entry; revoked entry"
SCOPES = ("COLLECTION", "MANUFACTURE", "TREATMENT", "RESEARCH", "INTERNATIONAL_TRANSFER", "BIOBANK")
SUBJECT_FIELDS = "id text; subject_commit text; use 1…2; assigned entry" + "".join(
    f"; given{n} 0…2; given_at{n} instant; index{n} entry" for n in range(1, 1 + len(SCOPES)))
SHIPMENT_FIELDS = """
id text; from_org text; to_org text; logger text; min_c dec; max_c dec; dispatched instant; handover instant; remaining u32;
has_log bool; is_return bool"""
CASE_FIELDS = """
id text; type 1…3; open bool; opened entry; closed entry; item text?; has_start bool; start instant if has_start; shipment text?;
episode_first u64; outcome 0…3; has_new_expiry bool; new_expiry instant if has_new_expiry; class text?"""
PRODUCT_FIELDS = "id text"
LEDGER_FIELDS = """
origin text; epoch u64; format_version u16; rules_version u16; log_key text; clock_tolerance i64; heartbeat u32;
event_size_max u32; batch_events_max u32; clock instant"""
LEDGER_LATER_FIELDS = "log_key_from u64; parameters text?"  # of version 2, which is used once one of them is set


def table(text):
    """[(name, type, the bool field that it depends on or None)]"""
    rows = []
    for row in text.split(";"):
        name, type_, *condition = row.split()
        rows.append((name, type_, condition[1] if condition else None))
    return rows


LATER = table(LEDGER_LATER_FIELDS)
TABLES = {
    1: (table(ITEM_FIELDS), [("required", "text"), ("inputs", "edge"), ("uses", "edge"), ("units", "edge"), ("outcomes", "outcome"),
                             ("excursions", "fact"), ("cases", "text"), ("corrections", "correction")]),
    2: (table(PARTY_FIELDS), []),
    3: (table(SUBJECT_FIELDS), [("items", "text"), ("corrections", "correction")]),
    4: (table(SHIPMENT_FIELDS), [("items", "text")]),
    5: (table(CASE_FIELDS), [("items", "text"), ("corrections", "correction")]),
    6: (table(PRODUCT_FIELDS), [("versions", "specification")]),
    7: (table(LEDGER_FIELDS), []),
}
MEMBERS = {
    "edge": table("item text; quantity dec; uom text?; index entry"),
    "outcome": table("test text; verdict 1…2; index entry; source entry"),
    "fact": table("""fact 1…3; id text; index entry; has_start bool; start instant if has_start; outcome 0…3; has_new_expiry bool;
                     new_expiry instant if has_new_expiry"""),
    "correction": table("target hash; target_index entry; index entry; is_void bool; field text?; has_number bool; number dec if has_number"),
    "limit": table("test text; unit text; has_low bool; has_high bool; required bool; low dec if has_low; high dec if has_high"),
}
INTEGERS = {"u16": (2, False), "u32": (4, False), "u64": (8, False), "entry": (8, False), "i64": (8, True), "instant": (8, True),
            "dec": (16, True)}


def default(type_):
    if type_ == "hash":
        return bytes(32)
    return {"text": "", "text?": None, "bool": False}.get(type_, 0)


def blank(chain_type, **given):
    """A state as {field: value}, lists as lists of members' bytes."""
    fields, lists = TABLES[chain_type]
    state = {name: default(type_) for name, type_, _ in fields}
    state.update({name: [] for name, _ in lists})
    if chain_type == 7:
        state.update({name: default(type_) for name, type_, _ in LATER})
    need(set(given) <= set(state), f"no such field of a state: {sorted(set(given) - set(state))}")
    state.update(given)
    return state


# ---- writing ----

def write_value(type_, value):
    if type_ == "bool":
        return layout.u8(int(value))
    if type_ == "hash":
        return value
    if type_.startswith("text"):
        if value is None:
            return b"\0"
        data = layout.var(value.encode() if isinstance(value, str) else value)
        return data if type_ == "text" else b"\1" + data
    if "…" in type_:
        return layout.u8(value)
    size, signed = INTEGERS[type_]
    return value.to_bytes(size, "big", signed=signed)


def write_record(rows, record):
    return b"".join(write_value(type_, record[name]) for name, type_, _ in rows)


def canonical(chain_type, state):
    fields, lists = TABLES[chain_type]
    later = chain_type == 7 and bool(state["log_key_from"] or state["parameters"])
    out = layout.u8(chain_type) + layout.u8(1 + later) + write_record(fields + LATER * later, state)
    for name, _ in lists:
        out += layout.u64(len(state[name])) + tree.root([tree.leaf(member) for member in state[name]])
    return out


def member(kind, **given):
    record = {name: default(type_) for name, type_, _ in MEMBERS[kind]}
    need(set(given) <= set(record), "no such field of a member")
    record.update(given)
    return write_record(MEMBERS[kind], record)


def specification(version, index, tests):
    out = write_value("text", version) + layout.u64(index) + layout.u32(len(tests))
    return out + b"".join(member("limit", **test) for test in tests)


# ---- reading ----

def read_value(r, type_):
    if type_ == "bool":
        return r.flag()
    if type_ == "hash":
        return r.take(32)
    if type_ == "text":
        return r.var()
    if type_ == "text?":
        data = r.var() if r.flag() else None
        need(data != b"", f"{r.what}: an optional text that is there is empty")
        return data
    if "…" in type_:
        low, high = map(int, type_.split("…"))
        value = r.number(1)
        need(low <= value <= high, f"{r.what}: {value} is not in {type_}")
        return value
    return r.number(*INTEGERS[type_])


def read_record(r, rows):
    record = {}
    for name, type_, condition in rows:
        record[name] = read_value(r, type_)
        need(not condition or record[condition] or record[name] == 0, f"{r.what}.{name}: not 0 although {condition} is 0")
    return record


def read_member(kind, data):
    if kind == "text":
        return {"text": data}
    r = Reader(data, kind)
    if kind == "specification":
        record = {"version": r.var(), "index": r.number(8)}
        record["tests"] = [read_record(r, MEMBERS["limit"]) for _ in range(r.number(4))]
    else:
        record = read_record(r, MEMBERS[kind])
    r.end()
    if kind == "correction":
        need((record["field"] is None) == record["is_void"], "correction: field and is_void")
        need(not record["is_void"] or not record["has_number"], "correction: is_void and has_number")
    return record


class Stored:
    """A state that came in stored form: its fields, its lists as (count, root), its canonical form."""

    def __init__(self, data):
        self.data = data
        r = Reader(data, "state")
        self.type = r.number(1)
        need(self.type in TABLES, "state: chain type")
        fields, lists = TABLES[self.type]
        later = self.type == 7 and data[r.at:r.at + 1] == b"\2"
        r.version(1 + later)
        self.fields = read_record(r, fields + LATER * later)
        need(not later or self.fields["log_key_from"] or self.fields["parameters"], "state: a later version than it needs")
        head = data[:r.at]
        self.lists = {name: self._list(r) for name, _ in lists}
        r.end()
        self.canonical = head + b"".join(layout.u64(count) + root for count, root in self.lists.values())

    @staticmethod
    def _list(r):
        count = r.number(8)
        return count, tree.root_of_subtrees([r.take(32) for _ in range(bin(count).count("1"))])

    def list_name(self, number):
        need(number < len(self.lists), "members of a list that the state does not have")
        return TABLES[self.type][1][number]

    def check_members(self, number, members):
        name, kind = self.list_name(number)
        count, root = self.lists[name]
        need(len(members) == count and tree.root([tree.leaf(m) for m in members]) == root, f"members of {name}: not all, or others")
        return [read_member(kind, m) for m in members]


def chain_id(stored):
    """The id of the chain that this state is one of, in bytes."""
    if stored.type == 5:
        return (b"deviation/", b"excursion/", b"recall/")[stored.fields["type"] - 1] + stored.fields["id"]
    return stored.fields["origin" if stored.type == 7 else "id"]


def read_canonical(data):
    """The fields of a state in canonical form; Invalid if it is none."""
    r = Reader(data, "state")
    type_ = r.number(1)
    need(type_ in TABLES, "state: chain type")
    r.version()
    record = read_record(r, TABLES[type_][0])
    for name, _ in TABLES[type_][1]:
        record[name] = (r.number(8), r.take(32))
        need(record[name][0] or record[name][1] == tree.EMPTY, f"state: the root of {name}")
    r.end()
    return record
