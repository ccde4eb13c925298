"""Proofs over GraphQL: an event's place in its workspace's log, its proof, the newest checkpoint, the last scrub."""

import base64
from datetime import datetime

import msgspec
import strawberry
from anyio import to_thread
from strawberry import Parent
from strawberry.scalars import JSON

from api.fields import Info, by
from api.proofs import ProvenRow, VerificationRow, newest, verification
from api.scalars import Position
from application.audit import proofs, signing
from application.audit.proofs import SignedTree


def _origin(tree_: Parent[SignedTree], info: Info) -> str:
    """The log's name."""
    return signing.origin(info.context.actor.workspace)


def _root(tree_: Parent[SignedTree]) -> str:
    """Base64."""
    return base64.b64encode(tree_.root).decode()


async def _keys(tree_: Parent[SignedTree], info: Info) -> list[str]:
    """Verifier keys of the log, the one in use first. Do not take them from here to check what comes from here."""
    context = info.context
    return await to_thread.run_sync(signing.verifiers, context.runtime.store.keys, context.actor.workspace)


@strawberry.type(description="The signed state of the whole log of the workspace.")
class Checkpoint:
    origin: str = by(_origin)
    size: Position = strawberry.field(description="Events in the log.")
    root: str = by(_root)
    at: datetime
    note: str = strawberry.field(description="C2SP tlog-checkpoint: keep it, and compare with later ones.")
    verifier_keys: list[str] = by(_keys)


def _index(row: Parent[ProvenRow]) -> Position:
    return Position(row.leaf.index)


def _leaf(row: Parent[ProvenRow]) -> object:
    """What the log says of the event."""
    return msgspec.json.decode(row.leaf.leaf)


def _checkpoint_of(row: Parent[ProvenRow]) -> SignedTree:
    return row.checkpoint


def _file(row: Parent[ProvenRow]) -> str:
    """C2SP tlog-proof: `proteus audit verify FILE --vkey KEY` checks it offline."""
    return proofs.written(row.leaf, row.path, row.checkpoint)


@strawberry.type(description="That an event is in the log as it was recorded.")
class EventProof:
    index: Position = by(_index)
    leaf: JSON = by(_leaf)
    checkpoint: Checkpoint = by(_checkpoint_of)
    file: str = by(_file)


def _ok(row: Parent[VerificationRow]) -> bool | None:
    """Whether the last scrub found every event as it was recorded; null before the first."""
    return None if row.last_scrub is None else row.finding is None


@strawberry.type(description="Whether the workspace's log was tampered with, as far as the server looked.")
class Verification:
    size: Position = strawberry.field(description="Events that have their place in the log.")
    signed: Position = strawberry.field(description="Those of them that the newest checkpoint holds.")
    lag_events: int = strawberry.field(description="Events that wait for their place; 1000 where they are more.")
    last_scrub: datetime | None
    scrubbed: Position | None = strawberry.field(description="Events that it compared.")
    ok: bool | None = by(_ok)
    finding: str | None = strawberry.field(description="What differs first.")
    finding_position: Position | None


async def _checkpoint(info: Info) -> SignedTree | None:
    """The newest one. Null before the first, and for requesters."""
    return await newest(info.context.view)


async def _verification(info: Info) -> VerificationRow | None:
    """Null for requesters."""
    return await verification(info.context.view)


@strawberry.type
class AuditQueries:
    checkpoint: Checkpoint | None = by(_checkpoint)
    verification: Verification | None = by(_verification)
