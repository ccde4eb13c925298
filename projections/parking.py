"""Poison: an event that cannot be read or folded, or whose rows PostgreSQL refuses, parks its stream.

A read model leaves a parked stream's events out from that event on, goes on with everybody else's, and says so: in the
table `parked`, in `proteus status`, and on the ticket, which is stale. `retry` makes a parked stream up; a rebuild
starts with none. What does not come from an event (connections, locks, space) parks nothing.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

import msgspec
import psycopg

from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Connection
from application.event_store.envelope import Envelope
from projections.projection import Change, secure
from projections.reading import View
from projections.writing import Writes

MOST_AT_ONCE = 20
MOST = 1_000
"""Streams that one read model parks at once, and in all. Beyond, it is not the streams: the read model stands still."""
LONGEST_ERROR = 500

_POISONOUS = ("22", "23", "54")
"""PostgreSQL's classes of errors about the data given: wrong values, violated constraints, values too large."""


class Parked(msgspec.Struct, frozen=True):
    """`position`, `version`: of the first event that is left out."""

    workspace: UUID
    stream: UUID
    position: int
    version: int
    error: str


class ReadModelBroken(Exception):
    """So many streams cannot be folded that it is not the streams."""


def is_poison(error: BaseException) -> bool:
    """Whether an error comes from the events, and would come again."""
    if isinstance(error, psycopg.Error):
        return (error.sqlstate or "").startswith(_POISONOUS)
    return isinstance(error, Exception) and not isinstance(error, MemoryError | OSError | StoreUnavailable)


def said(error: BaseException) -> str:
    """PostgreSQL's details are left out: they quote the row."""
    message = error.diag.message_primary if isinstance(error, psycopg.Error) else str(error)
    return f"{type(error).__name__}: {message}"[:LONGEST_ERROR]


def parked(workspace: UUID, stream: UUID, position: int, version: int, error: BaseException) -> Parked:
    return Parked(workspace, stream, position, version, said(error))


def parked_at(envelope: Envelope, error: BaseException) -> Parked:
    return parked(envelope.workspace, envelope.originator_id, envelope.position, envelope.originator_version, error)


def common(parked: Sequence[Collection[UUID]]) -> set[UUID]:
    """Streams that all of them leave out."""
    first, *others = parked
    return {stream for stream in first if all(stream in other for other in others)}


def without(changes: Sequence[Change], streams: Collection[UUID]) -> Sequence[Change]:
    if not streams:
        return changes
    return [change for change in changes if change.envelope.originator_id not in streams]


def sift(
    connection: Connection, changes: Sequence[Change], write: Callable[[Sequence[Change]], None]
) -> dict[UUID, Parked]:
    """Writes what can be written, inside the caller's transaction, and returns what cannot: halves upon halves, so that
    one culprit costs as many attempts as its batch has binary digits. Raises ReadModelBroken."""
    found: dict[UUID, Parked] = {}
    streams = list(dict.fromkeys(change.envelope.originator_id for change in changes))
    _sift(connection, changes, streams, write, found)
    if len(found) == len(streams) > 1:
        raise ReadModelBroken(f"None of {len(streams)} streams can be folded. {_first(found)}")
    return found


def _sift(
    connection: Connection,
    changes: Sequence[Change],
    streams: Sequence[UUID],
    write: Callable[[Sequence[Change]], None],
    found: dict[UUID, Parked],
) -> None:
    try:
        with connection.transaction():
            write(changes)
        return
    except Exception as error:
        if not is_poison(error):
            raise
        if len(changes) == 1:
            found[streams[0]] = parked_at(changes[0].envelope, error)
            if len(found) > MOST_AT_ONCE:
                raise ReadModelBroken(f"More than {MOST_AT_ONCE} streams at once. {_first(found)}") from error
            return
    if len(streams) == 1:
        for change in changes:
            if streams[0] not in found:
                _sift(connection, [change], streams, write, found)
        return
    half = len(streams) // 2
    for some in (streams[:half], streams[half:]):
        chosen = set(some)
        mine = [change for change in changes if change.envelope.originator_id in chosen]
        _sift(connection, mine, some, write, found)


def check(known: int, new: Sequence[Parked]) -> None:
    """Raises ReadModelBroken."""
    if len(new) > MOST_AT_ONCE or known + len(new) > MOST:
        raise ReadModelBroken(f"{len(new)} streams more than the {known} that are parked. {new[0].error}")


def _first(found: dict[UUID, Parked]) -> str:
    return next(iter(found.values())).error


# ---- the table

_DDL = """
create table parked (
  workspace   uuid not null,
  projection  text not null,
  stream      uuid not null,
  position    bigint not null,  -- of the first event that the read model leaves out
  version     integer not null,
  error       text not null,    -- may quote the event: not for readers
  since       timestamptz not null default clock_timestamp(),
  primary key (projection, stream)
);
create index parked_stream on parked (workspace, stream);
alter table parked alter error set statistics 0; -- which outlive the rows, and would quote them
"""
_FOR_READERS = """
revoke select on parked from proteus_reader;
grant select (workspace, projection, stream, position, version, since) on parked to proteus_reader;
-- How many streams each read model has parked, over all workspaces: numbers only.
create function parked_streams() returns table (projection text, streams bigint)
  language sql stable security definer as
$$ select p.projection, count(*) from parked p group by p.projection $$;
alter function parked_streams() set search_path from current;
revoke execute on function parked_streams() from public;
grant execute on function parked_streams() to proteus_app, proteus_reader, proteus_projector;
"""

PERSONAL = {"parked": ("error",)}


def install(connection: Connection) -> None:
    """Makes the table where it is missing; call it as the owner, with the shard's search_path."""
    row = connection.execute("select to_regclass('parked')").fetchone()
    if row is None or row[0] is None:
        connection.execute(_DDL)
        secure(connection, ["parked"])
        connection.execute(_FOR_READERS)


def load(connection: Connection, projection: str) -> set[UUID]:
    """The streams that a read model leaves out."""
    rows = connection.execute("select stream from parked where projection = %s", (projection,)).fetchall()
    return {stream for (stream,) in rows}


def record(write: Writes, projection: str, streams: Iterable[Parked]) -> None:
    write.insert("parked", [{"projection": projection, **msgspec.structs.asdict(one)} for one in streams])


# ---- queries


async def stale(view: View, streams: Sequence[UUID]) -> dict[UUID, bool]:
    """True of those of which a read model leaves something out; the others are left out."""
    rows = await view.fetch(
        "select stream from parked where workspace = %(workspace)s and stream = any(%(streams)s)",
        {"streams": list(streams)},
    )
    return {stream: True for (stream,) in rows}
