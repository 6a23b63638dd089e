# SPDX-License-Identifier: Apache-2.0
"""Near misses: small changes to a proposed line that turn it into another verdict, or that look bad and are not."""
import copy

from kinds import KINDS
from values import MICRO, Num, instant, is_decimal

BAD_TIMES = [
    "2026-02-30T00:00:00Z", "2026-02-29T00:00:00Z", "2026-03-01T24:00:00Z", "2026-03-01T23:60:00Z",
    "2026-03-01T23:59:60Z", "2026-03-01t10:00:00Z", "2026-03-01T10:00:00z", "2026-03-01 10:00:00Z",
    "2026-03-01T10:00:00+15:00", "2026-03-01T10:00:00-15:00", "2026-03-01T10:00:00+14:60", "2026-03-01T10:00:00",
    "2026-03-01T10:00:00.Z", "2026-03-01T10:00:00.1234567Z", "2026-03-01T10:00Z", "2026-3-01T10:00:00Z",
    "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-10T00:00:00Z",
    "2026-03-00T00:00:00Z", "2026-03-01T10:00:00+0900", "2026-03-01T10:00:00+9:00", "2026-03-01", "now",
    "2026-03-01T10:00:00Z ", " 2026-03-01T10:00:00Z", "2026-03-01T10:00:00,5Z", "-2026-03-01T10:00:00Z",
    "2026-03-01T10:00:00\u0661Z", "2100-02-29T00:00:00Z", "2026-03-01T10:00:00Z\n", "2026-04-31T10:00:00+09:00",
]
EXTREME_TIMES = [
    "0001-01-01T00:00:00+14:59", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-14:59", "9999-12-31T23:59:59Z",
    "2024-02-29T23:59:59.5Z", "2000-02-29T00:00:00-00:00", "2026-06-30T23:59:59.000001+14:00",
    "1600-02-29T00:00:00.100000Z",
]
NUMBERS = [
    "1e999", "1E2", "0.1000000000", "0.1234567891", "0.123456789", "-0", "-0.0", "0e5", "0", "1e-9", "1e-10", "10e-10",
    "999999999999999", "1000000000000000", "1e15", "9.99999999999999e14", "999999999999999.999999999",
    "999999999999999.9999999999", "-999999999999999", "-1e15", "1e-999", "0e999", "100e-2", "1.5e1", "12345678901234567890",
    "0.0000000010", "1e+2", "1E-09", "-1", "-0.000000001", "0.000000001", "1e99999999999999999999", "0e99999999999999999999",
    "2.0", "2e0", "20e-1",
]
TEXTS = [
    "a\u0000b", "tab\there", "line\nbreak", "\u001f", "\u007f", "del\u007f", "\u0080", "\u0085", "\ud800", "x\udc00y",
    "a" * 1000, "a" * 1001, "\u00e9" * 500, "\u00e9" * 501, "\u7d30\u80de" * 166 + "abcd", "\u7d30" * 334, "\U0001f9ec",
    " ", "\u00a0", "\u200b", "\ufeff", "\uffff", "\U0001f9ec" * 250, "\U0001f9ec" * 250 + "a", "'\"\\/", "<&>",
]
IDS = ["a" * 96, "a" * 97, "with space", "\u00e9t\u00e9", "tab\t", "~!@#", "\u007f", "a\u0000", " lead", "X" * 90, "X" * 91,
       "\ud800", "NOLOG:x", "SEAL:x"]
ANY = [None, True, False, "", [], {}, "text", {"a": [{"b": [None, {"c": {}}]}]}, [[[[[]]]]], {"": None}, ["\ud800"]]


def numbers(rng):
    return Num(rng.choice(NUMBERS))


def wrong_types(rng):
    return rng.choice([True, False, "text", "1", "true", Num("1"), Num("1.5"), Num("0"), {}, {"a": Num("1")}, ["x"],
                       [Num("1")], [[]], [None], "2026-03-01T10:00:00Z"])


def odd_value(rng, kind_of):
    """A value that is on the edge of the type: some are of it, some are not."""
    if rng.random() < 0.15:
        return wrong_types(rng)
    if isinstance(kind_of, str):
        return odd_simple(rng, kind_of)
    if "enum" in kind_of:
        good = rng.choice(kind_of["enum"])
        return rng.choice([good.lower(), good + " ", "", good[:-1], good, "NONE", [good]])
    if "list" in kind_of:
        return odd_list(rng, kind_of["list"])
    if "map" in kind_of:
        return odd_map(rng)
    return wrong_types(rng)


def odd_simple(rng, kind_of):
    if kind_of in ("text", "ref"):
        return rng.choice(TEXTS)
    if kind_of == "id":
        return rng.choice(IDS)
    if kind_of in ("decimal", "int"):
        return numbers(rng)
    if kind_of == "time":
        return rng.choice(BAD_TIMES + EXTREME_TIMES)
    if kind_of == "bool":
        return rng.choice([True, False, "true", Num("1"), Num("0"), "False"])
    if kind_of == "scalar":
        return rng.choice([numbers(rng), rng.choice(TEXTS), True, ["x"], {}])
    return rng.choice(ANY)


def odd_list(rng, member):
    size = rng.choice([1, 2, 3, 399, 400, 401])
    if isinstance(member, dict) and "enum" not in member:
        return odd_records(rng, member)
    if isinstance(member, dict):
        good = rng.choice(member["enum"])
        return rng.choice([[good] * size, [good, good.lower()], [good, None], [good, ""], good, [[good]]])
    good = {"id": "no-such", "text": "text", "ref": "ref", "decimal": Num("1")}[member]
    return rng.choice([[good] * size, [good, odd_simple(rng, member)], [odd_simple(rng, member)], [good, None], [""], good])


def odd_records(rng, members):
    """Records with a member missing, empty, unknown, or of an odd type; several records, the fault in any of them."""
    records = [plain_record(rng, members, n) for n in range(rng.choice([1, 1, 2, 3]))]
    if rng.random() < 0.08:
        records = [plain_record(rng, members, n) for n in range(rng.choice([399, 400, 401]))]
    for _ in range(rng.choice([1, 1, 2])):
        record = rng.choice(records)
        name = rng.choice(list(members))
        plain = name.rstrip("?")
        how = rng.randrange(5)
        if how == 0:
            record.pop(plain, None)
        elif how == 1:
            record[plain] = rng.choice([None, "", []])
        elif how == 2:
            record[rng.choice(["extra", "Item", plain + "?"])] = rng.choice([None, "x", Num("1")])
        else:
            record[plain] = odd_value(rng, members[name])
    if rng.random() < 0.1:
        records.append(rng.choice([None, "x", Num("3"), [], {}]))
    return records


def plain_record(rng, members, number):
    record = {}
    for name, kind_of in members.items():
        if name.endswith("?") and rng.random() < 0.6:
            continue
        simple = {"id": f"r-{number}", "text": f"t{number}", "decimal": Num("1"), "bool": rng.random() < 0.5,
                  "any": rng.choice(ANY)}
        record[name.rstrip("?")] = simple[kind_of]
    return record


def odd_map(rng):
    size = rng.choice([0, 1, 2, 63, 64, 65])
    names = {f"n{i}": Num(str(i)) for i in range(size)}
    extra = rng.choice([None, ("a" * 1001, Num("1")), ("", Num("1")), ("x", None), ("x", True), ("x", {"y": Num("1")}),
                        ("x", ""), ("x", numbers(rng)), ("c\u0001", Num("1")), ("\u7d30\u80de", "ok"), ("x", [])])
    if extra and size < 64:
        names[extra[0]] = extra[1]
    return names


# ---- whole lines -----------------------------------------------------------------------------------------------------

def mutate(world, line):
    """The proposed line with one small change (sometimes two)."""
    line = copy.deepcopy(line)      # it may share lists with what was accepted
    for _ in range(1 if world.rng.random() < 0.85 else 2):
        world.rng.choice(MUTATIONS)(world, line)
    return line


def lose_field(world, line):
    rng = world.rng
    if line["fields"]:
        name = rng.choice(sorted(line["fields"]))
        if rng.random() < 0.4:
            del line["fields"][name]
        else:
            line["fields"][name] = rng.choice([None, "", []])


def add_field(world, line):
    name = world.rng.choice(["note", "Item", "item ", "occurred", "foreign", "item", "coi", "quantity", "expect", ""])
    line["fields"].setdefault(name, world.rng.choice([None, "", [], "x", Num("1"), False]))


def odd_field(world, line):
    kind = KINDS.get(line["kind"])
    if kind:
        types = {**kind["mandatory"], **kind["optional"]}
        name = world.rng.choice(list(types))
        line["fields"][name] = odd_value(world.rng, types[name])


def nudge_number(world, line):
    names = [n for n, v in sorted(line["fields"].items()) if is_decimal(v)]
    if names:
        name = world.rng.choice(names)
        step = world.rng.choice([1, -1, 10 ** 9, -10 ** 9])
        line["fields"][name] = world.number(line["fields"][name].nano() + step)


def occurred_of(world, line):
    text = line.get("occurred")
    at = instant(text) if isinstance(text, str) else None
    return world.now if at is None else at


def nudge_time(world, line):
    rng = world.rng
    names = [n for n, v in sorted(line["fields"].items()) if isinstance(v, str) and instant(v) is not None]
    if names:
        around = rng.choice([world.now, occurred_of(world, line), world.some_instant()])
        line["fields"][rng.choice(names)] = world.time(around + rng.choice([0, 1, -1, MICRO, -MICRO]))


def odd_occurred(world, line):
    rng = world.rng
    how = rng.randrange(6)
    if how == 0:
        line["occurred"] = rng.choice(BAD_TIMES + EXTREME_TIMES)
    elif how == 1:
        line["occurred"] = rng.choice([None, "", Num("20260301"), True])
    elif how == 2:
        line["occurred"] = world.time(world.now + rng.choice([0, 1, MICRO, 60 * MICRO]))
    else:
        line["occurred"] = world.time(world.some_instant() + rng.choice([0, 1, -1, MICRO, -MICRO]))
    if rng.random() < 0.05:
        line.pop("occurred", None)


def other_reference(world, line):
    """Another item, coi, shipment ... where one is named; or one that does not exist; or one that does."""
    rng = world.rng
    names = [n for n in sorted(line["fields"]) if n in world.REFERENCES]
    if names:
        name = rng.choice(names)
        pool = world.names(world.REFERENCES[name])
        new = rng.choice(pool) if pool and rng.random() < 0.75 else rng.choice(["no-such", "NOLOG:no-such", "0"])
        line["fields"][name] = [new] if isinstance(line["fields"][name], list) else new


def repeat_member(world, line):
    names = [n for n, v in sorted(line["fields"].items()) if isinstance(v, list) and v]
    if names:
        value = line["fields"][world.rng.choice(names)]
        value.append(world.rng.choice(value))


def other_unit(world, line):
    names = [n for n in ("uom", "unit") if n in line["fields"]]
    if names:
        line["fields"][world.rng.choice(names)] = world.rng.choice(["L", "ml", "mL ", "vial", "%"])


def no_signature(world, line):
    line["signers"] = []


def one_signature_less(world, line):
    line["signers"] = line["signers"][:-1]


def one_signature_more(world, line):
    line["signers"] = line["signers"] + [world.signature(world.any_party())]


def same_signer(world, line):
    if line["signers"]:
        line["signers"] = [line["signers"][0], dict(line["signers"][0])]


def other_signer(world, line):
    if line["signers"]:
        place = world.rng.randrange(len(line["signers"]))
        line["signers"][place] = world.signature(world.rng.choice(world.names("party") + ["u.nobody"]))


def swapped_signers(world, line):
    line["signers"] = line["signers"][::-1]


def no_meaning(world, line):
    if line["signers"]:
        signer = world.rng.choice(line["signers"])
        meaning = world.rng.choice([None, "", Num("1"), "a\u0007", "\u627f\u8a8d", "x" * 1001, "whatever", True, []])
        if world.rng.random() < 0.3:
            signer.pop("meaning", None)
        else:
            signer["meaning"] = meaning


def used_reference(world, line):
    if world.accepted:
        line["id"] = world.rng.choice(world.accepted).id


def other_kind(world, line):
    kind = str(line["kind"])
    line["kind"] = world.rng.choice(["LOT_CLOSED", kind.lower(), kind + " ", "", "EVENT", None, Num("7")])


MUTATIONS = ([lose_field] * 4 + [add_field] * 2 + [odd_field] * 6 + [nudge_number] * 4 + [nudge_time] * 4 + [odd_occurred] * 4
             + [other_reference] * 6 + [repeat_member] * 2 + [other_unit] * 2 + [no_signature] + [one_signature_less] * 2
             + [one_signature_more] * 2 + [same_signer] + [other_signer] * 3 + [swapped_signers] * 2 + [no_meaning] * 2
             + [used_reference] + [other_kind])
