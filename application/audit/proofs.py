"""Proofs and checkpoints as they are asked for: what is read of the log, and what is made of it.

Whoever reads in another way (asynchronously) runs the same statements and hands over what they return.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from application.audit import tree
from application.audit.tree import Range, Read
from application.audit.verifying import PROOF_HEADER, Checkpoint
from application.event_store.database import Connection

HASHES: LiteralString = "select level, first, past, hashes from audit_hashes(%s, %s::int[], %s::bigint[], %s::bigint[])"
LEAF: LiteralString = "select index, position, leaf, hash from audit_leaf where workspace = %s and position = %s"
CHECKPOINTS: LiteralString = "select size, root, note, at from audit_checkpoint where workspace = %s"
NEWEST: LiteralString = f"{CHECKPOINTS} order by size desc limit 1"
OF_SIZE: LiteralString = f"{CHECKPOINTS} and size = %s"


class NoProof(Exception):
    """There is none, or none yet; the message says why."""


class SignedTree(msgspec.Struct, frozen=True):
    """A checkpoint. `note`: as it is given away, signatures and all."""

    size: int
    root: bytes
    note: str
    at: datetime


class LeafRow(msgspec.Struct, frozen=True):
    index: int
    position: int
    leaf: bytes
    hash: bytes


def arguments(workspace: UUID, reads: Sequence[Read]) -> tuple[object, ...]:
    """Of HASHES."""
    levels, firsts, pasts = zip(*reads, strict=True) if reads else ((), (), ())
    return workspace, list(levels), list(firsts), list(pasts)


def hashes(connection: Connection, workspace: UUID, reads: Sequence[Read]) -> dict[Read, bytes]:
    rows = connection.execute(HASHES, arguments(workspace, reads), binary=True).fetchall()
    return {(level, first, past): found or b"" for level, first, past, found in rows}


def newest(connection: Connection, workspace: UUID) -> SignedTree | None:
    row = connection.execute(NEWEST, (workspace,)).fetchone()
    return None if row is None else SignedTree(*row)


def of_size(connection: Connection, workspace: UUID, size: int) -> SignedTree | None:
    row = connection.execute(OF_SIZE, (workspace, size)).fetchone()
    return None if row is None else SignedTree(*row)


def root(connection: Connection, workspace: UUID, size: int) -> bytes:
    """Of the first so many leaves, as the log has them now; there is at least one."""
    return _roots(connection, workspace, [(0, size)])[0]


def _roots(connection: Connection, workspace: UUID, ranges: Sequence[Range]) -> list[bytes]:
    return tree.roots(ranges, hashes(connection, workspace, tree.reads_of(ranges)))


def leaf_at(connection: Connection, workspace: UUID, position: int) -> LeafRow | None:
    row = connection.execute(LEAF, (workspace, position)).fetchone()
    return None if row is None else LeafRow(*row)


def prove(connection: Connection, workspace: UUID, position: int) -> str:
    """The .tlog-proof of the event at a position, in the newest checkpoint. Raises NoProof."""
    leaf = leaf_at(connection, workspace, position)
    checkpoint = newest(connection, workspace)
    if leaf is None or checkpoint is None or leaf.index >= checkpoint.size:
        raise NoProof(
            f"The event at position {position} is not in a signed checkpoint yet: ask again in a few seconds, while"
            " `proteus serve` or `proteus worker` runs."
        )
    path = _roots(connection, workspace, tree.inclusion(leaf.index, checkpoint.size))
    return written(leaf, path, checkpoint)


def written(leaf: LeafRow, path: Sequence[bytes], checkpoint: SignedTree) -> str:
    """As C2SP's tlog-proof. The leaf itself goes with it, as extra data."""
    lines = [
        PROOF_HEADER,
        f"extra {base64.b64encode(leaf.leaf).decode()}",
        f"index {leaf.index}",
        *(base64.b64encode(one).decode() for one in path),
    ]
    return "\n".join([*lines, "", checkpoint.note])


def extension(connection: Connection, workspace: UUID, old: int, new: Checkpoint) -> str:
    """The hashes that show how the newer tree extends the older one, as the log has them now, and the newer tree's
    checkpoint; as C2SP's tlog-witness sends them."""
    path = _roots(connection, workspace, tree.consistency(old, new.size))
    return "\n".join([f"old {old}", *(base64.b64encode(one).decode() for one in path), "", new.note])


def size_now(connection: Connection, workspace: UUID) -> int:
    row = connection.execute("select size from audit_log where workspace = %s", (workspace,)).fetchone()
    return row[0] if row else 0


def between(connection: Connection, workspace: UUID, first: int, past: int) -> tuple[int, int]:
    """The positions of the first and the last event among these leaves."""
    row = connection.execute(
        "select min(position), max(position) from audit_leaf where workspace = %s and index >= %s and index < %s",
        (workspace, first, past),
    ).fetchone()
    assert row is not None, "an aggregate has a row"
    return row[0], row[1]
