"""The tree of the proofs, held against RFC 6962's definition and published vectors."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.audit.tree import Edge, Range, consistency, cut, edge_reads, inclusion, reads_of, root_of, roots
from application.audit.verifying import NotProven, leaf_hash, node_hash, root_by_inclusion, verify_consistency

# The sample leaves of Certificate Transparency's reference implementation, and the roots of their first n, as
# transparency-dev/merkle publishes them.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
EMPTY_ROOT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# Of leaf `index` in the first `size` of them; from the same vectors.
INCLUSION: list[tuple[int, int, list[str]]] = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CONSISTENCY: list[tuple[int, int, list[str]]] = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


def grown(leaves: Sequence[bytes]) -> tuple[Edge, dict[tuple[int, int], bytes]]:
    """An edge that took the leaves one by one, and the hashes that are kept."""
    edge, kept = Edge(), dict[tuple[int, int], bytes]()
    for index, leaf in enumerate(leaves):
        kept[0, index] = leaf
        for level, n, root in edge.append(leaf):
            kept[level, n] = root
    return edge, kept


def made(ranges: Sequence[Range], kept: dict[tuple[int, int], bytes]) -> list[bytes]:
    found = {
        (level, first, past): b"".join(kept[level, n] for n in range(first, past))
        for level, first, past in reads_of(ranges)
    }
    return roots(ranges, found)


def defined(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962, 2.1 defines it, of leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(defined(leaves[:split]), defined(leaves[split:]))


def test_the_roots_are_the_published_ones() -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    for size, root in enumerate(ROOTS, start=1):
        assert root_of(hashes[:size]) == grown(hashes[:size])[0].root() == root
    assert hashlib.sha256().hexdigest() == EMPTY_ROOT, "which no checkpoint signs: a log begins with its first event"


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_inclusion_is_proven_as_published(index: int, size: int, path: list[str]) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    proof = made(inclusion(index, size), grown(hashes)[1])
    assert [one.hex() for one in proof] == path
    assert root_by_inclusion(index, size, hashes[index], proof) == ROOTS[size - 1]


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY)
def test_consistency_is_proven_as_published(old: int, new: int, path: list[str]) -> None:
    proof = made(consistency(old, new), grown([leaf_hash(leaf) for leaf in LEAVES])[1])
    assert [one.hex() for one in proof] == path
    verify_consistency(old, new, ROOTS[old - 1], ROOTS[new - 1], proof)


def test_the_tree_of_rfc_6962_proves_what_its_text_says() -> None:
    """2.1.3: seven leaves d0 to d6, with the nodes a to l named there."""
    d = [leaf_hash(bytes([n])) for n in range(7)]
    a, b, c, d3, e, f, j = d  # theirs are a, b, c, d, e, f, j
    g, h, i = node_hash(a, b), node_hash(c, d3), node_hash(e, f)
    k, l_ = node_hash(g, h), node_hash(i, j)
    root = node_hash(k, l_)
    kept = grown(d)[1]
    assert root_of(d) == root
    assert made(inclusion(0, 7), kept) == [b, h, l_]
    assert made(inclusion(3, 7), kept) == [c, g, l_]
    assert made(inclusion(4, 7), kept) == [f, j, k]
    assert made(inclusion(6, 7), kept) == [i, k]
    assert made(consistency(3, 7), kept) == [c, d3, g, l_]
    assert made(consistency(4, 7), kept) == [l_]
    assert made(consistency(6, 7), kept) == [i, j, k]


SIZES = st.integers(1, 1_400) | st.sampled_from([255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_793])
_HASHES = [hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(65_793)]
_KEPT = grown(_HASHES)[1]


@given(SIZES, st.data())
def test_any_leaf_of_any_tree_is_proven_from_tiles(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    (root,) = made([(0, size)], _KEPT)
    assert size > 2_000 or root == defined(_HASHES[:size])
    proof = made(inclusion(index, size), _KEPT)
    assert root_by_inclusion(index, size, _HASHES[index], proof) == root
    for damaged in ([*proof, root], proof[:-1])[: 2 if proof else 1]:
        with pytest.raises(NotProven):
            root_by_inclusion(index, size, _HASHES[index], damaged)


@given(SIZES, st.data())
def test_any_tree_is_proven_to_extend_any_smaller_one(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    before, after = made([(0, old), (0, new)], _KEPT)
    proof = made(consistency(old, new), _KEPT)
    verify_consistency(old, new, before, after, proof)
    other = hashlib.sha256(before).digest()
    with pytest.raises(NotProven):
        verify_consistency(old, new, other, after, proof)
    with pytest.raises(NotProven):
        verify_consistency(old, new, before, other, proof)
    with pytest.raises(NotProven):
        verify_consistency(old, new, before, after, [*proof, other])


def test_a_log_that_lies_about_its_sizes_proves_nothing() -> None:
    with pytest.raises(NotProven, match="is not in a tree"):
        root_by_inclusion(3, 3, ROOTS[0], [])
    with pytest.raises(NotProven, match="cannot extend"):
        verify_consistency(3, 2, ROOTS[0], ROOTS[1], [])
    with pytest.raises(NotProven, match="too few"):
        verify_consistency(3, 5, ROOTS[2], ROOTS[4], [])
    with pytest.raises(NotProven, match="rewritten"):
        verify_consistency(3, 3, ROOTS[2], ROOTS[3], [])


def test_an_edge_that_is_read_again_goes_on_as_before() -> None:
    edge, kept = grown(_HASHES[:700])
    levels = [[kept[level, n] for n in range(first, past)] for level, first, past in edge_reads(700)]
    again = Edge(700, levels)
    for leaf in _HASHES[700:1_100]:
        assert again.append(leaf) == edge.append(leaf)
        assert again.root() == edge.root()
    assert cut(b"".join(_HASHES[:3])) == _HASHES[:3]
