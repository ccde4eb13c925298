"""What requests ask of the log of proofs: the queries behind `api/audit.py` and `api/audit_tiles.py`."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from application.audit import proofs, tree
from application.audit.proofs import LeafRow, SignedTree
from projections.reading import ReadModels, View


class ProvenRow(msgspec.Struct, frozen=True):
    leaf: LeafRow
    path: list[bytes]
    checkpoint: SignedTree


class VerificationRow(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    signed: int
    lag_events: int
    last_scrub: datetime | None
    scrubbed: int | None
    finding: str | None
    finding_position: int | None


class StatusRow(msgspec.Struct, frozen=True):
    """Over all workspaces. `scrubbed_at`: of the log whose last scrub is the oldest."""

    lag_events: int
    lag_seconds: float
    tampered: int
    scrubbed_at: datetime


async def status(models: ReadModels) -> StatusRow:
    """Raises ReadModelsUnavailable."""
    rows = await models.fetch(
        None,
        "select lag_events, lag_seconds, tampered, coalesce(scrubbed_at, clock_timestamp()) from audit_status()",
        (),
    )
    return StatusRow(*rows[0])


async def leaves(view: View, positions: Sequence[int]) -> dict[int, LeafRow]:
    """Of the events at these positions. None for requesters: it tells how much others do."""
    if not view.actor.reads_all:
        return {}
    rows = await view.fetch(
        "select index, position, leaf, hash from audit_leaf"
        " where workspace = %(workspace)s and position = any(%(positions)s)",
        {"positions": list(positions)},
    )
    return {row[1]: LeafRow(*row) for row in rows}


async def newest(view: View) -> SignedTree | None:
    if not view.actor.reads_all:
        return None
    rows = await view.fetch(
        "select size, root, note, at from audit_checkpoint where workspace = %(workspace)s order by size desc limit 1"
    )
    return SignedTree(*rows[0]) if rows else None


async def hashes(view: View, reads: Sequence[tree.Read]) -> dict[tree.Read, bytes]:
    workspace = view.actor.workspace
    rows = await view.models.fetch(workspace, proofs.HASHES, proofs.arguments(workspace, reads))
    return {(level, first, past): found or b"" for level, first, past, found in rows}


async def proven(view: View, positions: Sequence[int]) -> dict[int, ProvenRow]:
    """Of those that the newest checkpoint holds; all together in three queries."""
    checkpoint = await newest(view)
    if checkpoint is None:
        return {}
    held = [leaf for leaf in (await leaves(view, positions)).values() if leaf.index < checkpoint.size]
    paths = [tree.inclusion(leaf.index, checkpoint.size) for leaf in held]
    kept = await hashes(view, tree.reads_of(one for path in paths for one in path))
    return {
        leaf.position: ProvenRow(leaf, tree.roots(path, kept), checkpoint)
        for leaf, path in zip(held, paths, strict=True)
    }


async def verification(view: View) -> VerificationRow | None:
    if not view.actor.reads_all:
        return None
    rows = await view.fetch(_VERIFICATION)
    size, signed, lag_events, at, scrubbed, finding, position = rows[0]
    return VerificationRow(
        size=size,
        signed=signed,
        lag_events=lag_events,
        last_scrub=at,
        scrubbed=scrubbed,
        finding=finding,
        finding_position=position,
    )


_VERIFICATION = """
select coalesce(l.size, 0), coalesce((select max(c.size) from audit_checkpoint c where c.workspace = %(workspace)s), 0),
       (select count(*) from (
          select from event e where e.workspace = %(workspace)s and e.position > coalesce(l.position, 0) limit 1000) w),
       s.at, s.size, s.finding, s.position
  from (select %(workspace)s::uuid workspace) w left join audit_log l on l.workspace = w.workspace
  left join lateral (
    select * from audit_scrub s where s.workspace = w.workspace order by s.at desc limit 1) s on true
"""


async def entries(view: View, first: int, past: int) -> bytes | None:
    """Leaves as an entry bundle of C2SP; None where not all of them are there."""
    rows = await view.fetch(
        "select leaf from audit_leaf where workspace = %(workspace)s and index >= %(first)s and index < %(past)s"
        " order by index",
        {"first": first, "past": past},
    )
    if len(rows) < past - first:
        return None
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for (leaf,) in rows)
