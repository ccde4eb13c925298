"""Making parked streams up, once what was wrong is mended: beside the live read models, in the right order.

Under the lock of the read model's tracking row, the stream's events up to where the read model stands are folded from
the first that was left out on, and written. Whoever leads is deposed, as by a rebuild, and goes on with the stream.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application.event_store.database import Connection, Database, Role
from application.event_store.envelope import POSITION, VERSION
from application.event_store.follower import LogReader
from application.event_store.mapper import EnvelopeMapper
from application.event_store.sealing import Keyring, Sealer
from projections import parking
from projections.projection import Projection
from projections.states import EARLIEST, States
from projections.writing import Inserts

_BEYOND = 2**31 - 1  # every version of a stream


class ParkedRow(msgspec.Struct, frozen=True, kw_only=True):
    """`key`: of the workspace. `number`: of the ticket, None for another kind of stream."""

    workspace: UUID
    key: str
    projection: str
    stream: UUID
    number: int | None
    position: int
    version: int
    since: datetime
    error: str


class StillUnreadable(Exception):
    """An event of the stream cannot be read or folded; nothing changed."""


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """`error`: why it is still parked, None where it was made up."""

    parked: ParkedRow
    events: int
    error: str | None


def list_parked(database: Database) -> list[ParkedRow]:
    """Of all workspaces, in the order of the log. Raises psycopg.Error."""
    with database.connect(Role.OWNER) as connection:
        rows = connection.execute(
            "select p.workspace, w.key, p.projection, p.stream, p.position, p.version, p.since, p.error, e.state"
            "  from parked p join workspace w on w.id = p.workspace"
            "  left join event e on e.stream = p.stream and e.version = 1 and e.name = 'TicketOpened'"
            " order by p.position, p.projection"
        ).fetchall()
    return [
        ParkedRow(
            workspace=workspace,
            key=key,
            projection=projection,
            stream=stream,
            position=position,
            version=version,
            since=since,
            error=error,
            number=_number(opened),
        )
        for workspace, key, projection, stream, position, version, since, error, opened in rows
    ]


class _Opened(msgspec.Struct):
    number: int


def _number(opened: bytes | None) -> int | None:
    """Of a ticket's first event, which bears it in the clear, and which may be what cannot be read."""
    try:
        return None if opened is None else msgspec.json.decode(opened, type=_Opened).number
    except msgspec.DecodeError:
        return None


def retry(database: Database, projections: Sequence[Projection], streams: Sequence[ParkedRow]) -> list[Retried]:
    """Each in a transaction of its own: what was made up before an interruption stays. Raises psycopg.Error."""
    known = {projection.name: projection for projection in projections}
    with (
        database.connect(Role.PROJECTOR, statement_timeout="60s") as connection,
        database.keys.pool(Role.PROJECTOR, 1) as keys,
    ):
        mapper = EnvelopeMapper(Sealer(Keyring(keys)))
        retried: list[Retried] = []
        for row in streams:
            events, error = 0, None
            try:
                events = _make_up(connection, mapper, known[row.projection], row.stream)
            except Exception as raised:
                if not parking.is_poison(raised):
                    raise
                error = str(raised) if isinstance(raised, StillUnreadable) else parking.said(raised)
            retried.append(Retried(parked=row, events=events, error=error))
    return retried


def _make_up(connection: Connection, mapper: EnvelopeMapper, projection: Projection, stream: UUID) -> int:
    """The number of events that were made up."""
    with connection.transaction():
        place = connection.execute(
            "select position from tracking where name = %s for update", (projection.name,)
        ).fetchone()
        parked = connection.execute(
            "delete from parked where projection = %s and stream = %s returning version", (projection.name, stream)
        ).fetchone()
        if place is None or parked is None:  # somebody else was faster
            return 0
        reader = LogReader(connection)
        rows = [
            row for row in reader.streams({stream: _BEYOND}) if row[VERSION] >= parked[0] and row[POSITION] <= place[0]
        ]
        folded = States(reader, mapper).fold(rows, EARLIEST)
        if folded.unreadable:
            raise StillUnreadable(folded.unreadable[stream].error)
        maxima = _recorded_maxima(connection, stream, place[0])
        writes = Inserts()
        projection.fold(
            writes, [replace(change, recorded_max=maxima[change.envelope.position]) for change in folded.changes]
        )
        writes.write(connection)
        connection.execute("update tracking set epoch = epoch + 1 where name = %s", (projection.name,))
        return len(rows)


def _recorded_maxima(connection: Connection, stream: UUID, until: int) -> dict[int, datetime]:
    """As `Change.recorded_max` says, of this stream's events by position: of the whole log up to each."""
    rows = connection.execute(
        "select position, latest from (select stream, position, max(recorded_at) over (order by position) latest"
        "   from event where position <= %s) e where stream = %s",
        (until, stream),
    ).fetchall()
    return dict(rows)
