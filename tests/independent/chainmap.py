# SPDX-License-Identifier: Apache-2.0
"""The chain map and its proofs: docs/format.md, sections 9 and 11."""
from layout import H, Reader, need, u64

EMPTY = bytes(32)
PRESENT, NOTHING, OTHER = range(3)


def leaf(key, count, head):
    return H("map-leaf", key, u64(count), head)


def inner(left, right):
    return H("map-node", left, right)


def bit(key, depth):
    return key[depth // 8] >> (7 - depth % 8) & 1


def root(heads, depth=0):
    """Of {chain key: (count, head)}, all of them alike in their first `depth` bits."""
    if len(heads) < 2:
        return next((leaf(key, *head) for key, head in heads.items()), EMPTY)
    sides = ({}, {})
    for key, head in heads.items():
        sides[bit(key, depth)][key] = head
    return inner(root(sides[0], depth + 1), root(sides[1], depth + 1))


def _bitmap(r, depth):
    data = r.take((depth + 7) // 8)
    bits = [bit(data, i) for i in range(8 * len(data))]
    need(not any(bits[depth:]), "map proof: unused bits are set")
    return bits[:depth]


def _end(r, key, depth):
    """(value at the end, (count, head) or None)"""
    end = r.number(1)
    if end == NOTHING:
        return EMPTY, None
    need(end in (PRESENT, OTHER), "map proof: end")
    found = r.take(32) if end == OTHER else key
    head = (r.number(8), r.take(32))
    if end == PRESENT:
        return leaf(key, *head), head
    need(found != key and all(bit(found, i) == bit(key, i) for i in range(depth)), "map proof: the other key")
    return leaf(found, *head), None


def prove(data, key, map_root):
    """(count, head) of the chain, None if it is proven absent; Invalid if nothing is proven."""
    r = Reader(data, "map proof")
    depth = r.number(2)
    need(depth <= 256, "map proof: depth")
    bits = _bitmap(r, depth)
    value, head = _end(r, key, depth)
    siblings = [r.take(32) if present else EMPTY for present in bits]
    r.end()
    for i in range(depth - 1, -1, -1):
        value = inner(siblings[i], value) if bit(key, i) else inner(value, siblings[i])
    need(value == map_root, "map proof: it does not lead to the map root")
    need(head is None or head[0] > 0, "map proof: a chain without entries")
    return head
