# SPDX-License-Identifier: Apache-2.0
"""Protobuf on the wire: varints and fields, as in the encoding guide; and the stricter form of docs/format.md, section 3."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Malformed(Exception):
    """Bytes that are no message, or none in the form that was asked for."""


def varint(data, at, strict=True):
    """(value, position after it)"""
    value = 0
    for n in range(10):
        if at + n >= len(data):
            raise Malformed("a varint is cut off")
        byte = data[at + n]
        value |= (byte & 0x7f) << (7 * n)
        if byte < 0x80:
            if value >> 64 or (strict and n and not byte):
                raise Malformed("a varint is not in its shortest form")
            return value, at + n + 1
    raise Malformed("a varint has more than ten bytes")


def _value(data, at, kind, strict):
    if kind == VARINT:
        return varint(data, at, strict)
    if kind == BYTES:
        size, at = varint(data, at, strict)
        end = at + size
    elif kind in (FIXED64, FIXED32) and not strict:
        end = at + (8 if kind == FIXED64 else 4)
    else:
        raise Malformed(f"wire type {kind}")
    if end > len(data):
        raise Malformed("a field is cut off")
    return data[at:end], end


def fields(data, strict=True):
    """[(number, wire type, value)] in the order in which they stand"""
    found, at = [], 0
    while at < len(data):
        tag, at = varint(data, at, strict)
        if not 0 < tag >> 3 < 1 << 29:
            raise Malformed("a field number out of range")
        value, at = _value(data, at, tag & 7, strict)
        found.append((tag >> 3, tag & 7, value))
    return found


def packed(data, strict=True):
    values, at = [], 0
    while at < len(data):
        value, at = varint(data, at, strict)
        values.append(value)
    return values


def put_varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put(number, value):
    """One field: an int as varint, bytes with their length."""
    if isinstance(value, int):
        return put_varint(number << 3 | VARINT) + put_varint(value)
    return put_varint(number << 3 | BYTES) + put_varint(len(value)) + value
