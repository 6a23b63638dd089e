# SPDX-License-Identifier: Apache-2.0
"""Reading one JSON line exactly, and deciding whether a value is of a type: no floats, no datetime overflow."""
import datetime
import json
import re
import sys

if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)  # an exponent of many digits is a number like any other

MICRO = 10 ** 6
NANO = 10 ** 9
NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?"
                  r"(Z|([+-])([0-9]{2}):([0-9]{2}))")


class Refused(Exception):
    """A check failed; the code says which."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def need(condition, code):
    if not condition:
        raise Refused(code)


class Num:
    """A JSON number as it was written, and as sign, digits, exponent without superfluous zeros."""

    def __init__(self, text):
        self.text = text
        sign, whole, fraction, exponent = NUMBER.fullmatch(text).groups()
        digits = (whole + (fraction or "")).lstrip("0")
        short = digits.rstrip("0")
        self.digits = short
        self.negative = sign == "-" and short != ""
        self.exponent = int(exponent or 0) - len(fraction or "") + len(digits) - len(short) if short else 0

    def same(self, other):
        return (self.negative, self.digits, self.exponent) == (other.negative, other.digits, other.exponent)

    def is_decimal(self):
        """Below 10^15 in size and at most 9 decimals, judged by value: 0.1000000000 and 1E2 are fine."""
        return self.digits == "" or (len(self.digits) + self.exponent <= 15 and self.exponent >= -9)

    def is_int(self):
        return self.is_decimal() and re.fullmatch(r"-?[0-9]+", self.text) is not None

    def nano(self):
        """The value in billionths, an exact int; only for a value that is_decimal()."""
        size = int(self.digits or "0") * 10 ** (self.exponent + 9)
        return -size if self.negative else size

    def __repr__(self):
        return self.text


def refuse_constant(text):
    raise ValueError("not JSON: " + text)


def parse_line(text):
    return json.loads(text, parse_float=Num, parse_int=Num, parse_constant=refuse_constant)


def nano(value):
    return value.nano()


def instant(text):
    """Microseconds since year 1, UTC, as a plain int (negative is possible); None if the text is no time."""
    match = TIME.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, _, sign, offset_hour, offset_minute = match.groups()[6:]
    try:
        days = datetime.date(year, month, day).toordinal()
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    offset = 0
    if sign:
        if int(offset_hour) > 14 or int(offset_minute) > 59:
            return None
        offset = (int(offset_hour) * 60 + int(offset_minute)) * 60
        if sign == "-":
            offset = -offset
    seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
    return seconds * MICRO + int((fraction or "").ljust(6, "0"))


def is_empty(value):
    return value is None or (isinstance(value, str) and value == "") or (isinstance(value, list) and not value)


def is_text(value):
    if not isinstance(value, str):
        return False
    try:
        size = len(value.encode("utf-8"))  # a lone surrogate has no UTF-8 form
    except UnicodeEncodeError:
        return False
    return 1 <= size <= 1000 and not any(ord(c) < 0x20 or ord(c) == 0x7F for c in value)


def is_id(value):
    return isinstance(value, str) and 1 <= len(value) <= 96 and all(0x21 <= ord(c) <= 0x7E for c in value)


def is_decimal(value):
    return isinstance(value, Num) and value.is_decimal()


def is_scalar(value):
    return is_decimal(value) or is_text(value)


SIMPLE = {
    "id": is_id,
    "text": is_text,
    "ref": is_text,
    "decimal": is_decimal,
    "int": lambda value: isinstance(value, Num) and value.is_int(),
    "time": lambda value: isinstance(value, str) and instant(value) is not None,
    "bool": lambda value: isinstance(value, bool),
    "scalar": is_scalar,
    "any": lambda value: True,
}


def check_type(value, kind_of):
    """E_BAD_VALUE unless the value is of the type; a record may also lack a member: E_MISSING_FIELD."""
    if isinstance(kind_of, str):
        need(SIMPLE[kind_of](value), "E_BAD_VALUE")
    elif "enum" in kind_of:
        need(isinstance(value, str) and value in kind_of["enum"], "E_BAD_VALUE")
    elif "list" in kind_of:
        need(isinstance(value, list) and len(value) <= 400, "E_BAD_VALUE")
        for member in value:
            check_type(member, kind_of["list"])
    elif "map" in kind_of:
        need(isinstance(value, dict) and len(value) <= 64, "E_BAD_VALUE")
        for name, member in value.items():
            need(is_text(name), "E_BAD_VALUE")
            check_type(member, kind_of["map"])
    else:
        check_record(value, kind_of)


def check_record(value, members):
    need(isinstance(value, dict), "E_BAD_VALUE")
    for name, kind_of in members.items():
        if kind_of == "any":
            need(name in value, "E_MISSING_FIELD")
        elif not name.endswith("?"):
            need(not is_empty(value.get(name)), "E_MISSING_FIELD")
    known = {name.rstrip("?") for name in members}
    need(all(name in known for name in value), "E_BAD_VALUE")
    for name, kind_of in members.items():
        name_here = name.rstrip("?")
        if name.endswith("?") and is_empty(value.get(name_here)):
            continue
        check_type(value[name_here], kind_of)


def equal(a, b):
    """Equality of values: numbers by value, everything else as it was given; absent equals null."""
    if a is None or b is None:
        return a is None and b is None
    if isinstance(a, bool) or isinstance(b, bool):
        return isinstance(a, bool) and isinstance(b, bool) and a == b
    if isinstance(a, Num) and isinstance(b, Num):
        return a.same(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return all(equal(a.get(name), b.get(name)) for name in set(a) | set(b))
    return isinstance(a, str) and isinstance(b, str) and a == b


def strings_in(value):
    """Every string anywhere inside a value: what an event may be talking about."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for member in value:
            yield from strings_in(member)
    elif isinstance(value, dict):
        for member in value.values():
            yield from strings_in(member)
