# SPDX-License-Identifier: Apache-2.0
"""The tree of RFC 6962, and proofs in it as RFC 9162, sections 2.1.3.2 and 2.1.4.2 verify them."""
import hashlib

EMPTY = hashlib.sha256(b"").digest()


def leaf(data):
    return hashlib.sha256(b"\0" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves):
    """Of leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node(root(leaves[:half]), root(leaves[half:]))


def roots(leaves, sizes):
    """Size → root, of the first so many leaves each. Kept are the whole trees from the left, each with its height."""
    found, whole, wanted = {0: EMPTY}, [], set(sizes)
    for size, hash_ in enumerate(leaves, 1):
        height = 0
        while whole and whole[-1][0] == height:
            hash_, height = node(whole.pop()[1], hash_), height + 1
        whole.append((height, hash_))
        if size in wanted:
            right = whole[-1][1]
            for _, left in reversed(whole[:-1]):
                right = node(left, right)
            found[size] = right
    return found


def steps(path):
    """The hashes of a path, or None."""
    return [path[i:i + 32] for i in range(0, len(path), 32)] if len(path) % 32 == 0 else None


def root_of_path(index, size, hash_, path):
    """The root to which an inclusion path leads, or None if it has the wrong length."""
    hashes = steps(path)
    if hashes is None or index >= size:
        return None
    fn, sn = index, size - 1
    for step in hashes:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            hash_ = node(step, hash_)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            hash_ = node(hash_, step)
        fn, sn = fn >> 1, sn >> 1
    return hash_ if sn == 0 else None


def consistent(size1, root1, size2, root2, path):
    hashes = steps(path)
    if hashes is None or not 0 < size1 <= size2:
        return False
    if size1 == size2:
        return not hashes and root1 == root2
    if size1 & (size1 - 1) == 0:
        hashes.insert(0, root1)
    if not hashes:
        return False
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = hashes[0]
    for step in hashes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node(step, old), node(step, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node(new, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == root1 and new == root2


def root_of_subtrees(hashes):
    """From the perfect subtrees of a list, largest first."""
    total = hashes[-1] if hashes else EMPTY
    for subtree in reversed(hashes[:-1]):
        total = node(subtree, total)
    return total
