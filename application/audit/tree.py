"""The tree of RFC 6962 over hashes that are kept at every eighth level, as in C2SP's tiles: which are read for a proof,
and what they make."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from application.audit.verifying import node_hash

WIDTH_BITS = 8
WIDTH = 1 << WIDTH_BITS
"""Hashes of a tile. A hash at level n is the root of WIDTH ** n leaves."""

Range = tuple[int, int]
"""Leaves, from the first to before the last."""
Read = tuple[int, int, int]
"""Kept hashes: level, the first, before the last."""


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Of a tree with these as its leaves; there is at least one."""
    row = list(hashes)
    while len(row) > 1:
        above = [node_hash(row[n], row[n + 1]) for n in range(0, len(row) - 1, 2)]
        row = above + row[len(above) * 2 :]
    return row[0]


def inclusion(index: int, size: int) -> list[Range]:
    """The subtrees whose roots lead from a leaf to the root, from the leaf up."""
    low, high = 0, size
    path: list[Range] = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append((middle, high))
            high = middle
        else:
            path.append((low, middle))
            low = middle
    return path[::-1]


def consistency(old: int, new: int) -> list[Range]:
    """The subtrees whose roots show that a tree extends an older one."""
    if old in (0, new):
        return []
    low, high, path = 0, new, list[Range]()
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append((middle, high))
            high = middle
        else:
            path.append((low, middle))
            low = middle
    if low:  # else it is the older tree itself, whose root is known
        path.append((low, high))
    return path[::-1]


def _split(leaves: int) -> int:
    return 1 << ((leaves - 1).bit_length() - 1)


def reads_of(ranges: Iterable[Range]) -> list[Read]:
    """What `roots` needs of the hashes that are kept."""
    return sorted({one for of_range in ranges for one in _perfect(*of_range)})


def roots(ranges: Sequence[Range], kept: Mapping[Read, bytes]) -> list[bytes]:
    """Of subtrees. `kept`: of each read, its hashes one after another."""
    return [_folded([root_of(cut(kept[one])) for one in _perfect(*of_range)]) for of_range in ranges]


def _perfect(low: int, high: int) -> Iterator[Read]:
    """A range as perfect subtrees, each by the hashes that are kept nearest below its root."""
    while low < high:
        height = (high - low).bit_length() - 1
        if low:
            height = min(height, (low & -low).bit_length() - 1)
        level = height // WIDTH_BITS
        yield level, low >> level * WIDTH_BITS, (low + (1 << height)) >> level * WIDTH_BITS
        low += 1 << height


def _folded(roots_: Sequence[bytes]) -> bytes:
    root = roots_[-1]
    for one in reversed(roots_[:-1]):
        root = node_hash(one, root)
    return root


def cut(hashes: bytes) -> list[bytes]:
    return [hashes[start : start + 32] for start in range(0, len(hashes), 32)]


def edge_reads(size: int) -> Iterator[Read]:
    """What an Edge of this size is made of, from the leaves up."""
    level = 0
    while level == 0 or size >> level * WIDTH_BITS:
        past = size >> level * WIDTH_BITS
        yield level, past - past % WIDTH, past
        level += 1


class Edge:
    """The right edge of a growing tree: at each level the hashes that do not make a whole tile yet."""

    def __init__(self, size: int = 0, levels: Sequence[Sequence[bytes]] = ()) -> None:
        self.size = size
        self._levels = [list(level) for level in levels] or [[]]

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Adds a leaf's hash; returns what is to be kept above it: level, index, hash."""
        made: list[tuple[int, int, bytes]] = []
        self._levels[0].append(leaf)
        self.size += 1
        level = 0
        while len(self._levels[level]) == WIDTH:
            root = root_of(self._levels[level])
            self._levels[level].clear()
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(root)
            made.append((level, (self.size >> level * WIDTH_BITS) - 1, root))
        return made

    def root(self) -> bytes:
        """Of a tree that has leaves."""
        found: list[bytes] = []
        for level in self._levels:  # what is below makes a last, smaller subtree
            found = [root_of([*level, *found])] if level or found else found
        return found[0]
