"""A workspace moved: all that its log holds, written to a file and recorded elsewhere, to the byte and the microsecond.

The file is JSON Lines: a header, then events, commands that changed nothing and guards, then a count and a digest of
all that stands before. Free text in it is sealed as in the log. The keys that open it are in a second file, so that the
first can be kept, sent and compared, and an erasure reaches copies whose keys are kept with care.
"""

import gzip
import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, LiteralString, cast
from uuid import UUID

import msgspec

from application.event_store.database import Connection, Database, Place, Role
from application.event_store.master_keys import MasterKeys, commitment
from application.handling import now
from application.workspaces import Workspace
from domain import text
from domain.errors import InvalidValue, KeyTaken

FORMAT, VERSION = "proteus workspace", 1
KEYS_FORMAT = "proteus workspace keys"
CHUNK = 2_000

Progress = Callable[[int, int], None]
"""Called with the number of events done and of all."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """`numbers`: the last ticket number that was drawn. `first`, `head`: positions of the first and the last event."""

    format: str
    version: int
    workspace: UUID
    key: str
    name: str
    events: int
    first: int
    head: int
    numbers: int
    exported_at: datetime


class End(msgspec.Struct, frozen=True, kw_only=True):
    """`sha256`: of all bytes before this line. `log`: of the events' lines alone, which is what `digest` says."""

    end: bool
    lines: int
    sha256: str
    log: str


class Transferred(msgspec.Struct, frozen=True, kw_only=True):
    """`log`: the digest of all events, with positions and times of recording."""

    workspace: Workspace
    events: int
    log: str


_EVENTS: LiteralString = """
select json_build_object('event', json_build_object(
         'position', e.position, 'stream', e.stream, 'version', e.version, 'name', e.name,
         'event_version', e.event_version, 'state', convert_from(e.state, 'UTF8'), 'occurred_at', e.occurred_at,
         'recorded_at', e.recorded_at, 'actor', e.actor, 'on_behalf_of', e.on_behalf_of, 'channel', e.channel,
         'source', e.source, 'reason', e.reason, 'command_id', e.command_id,
         'command_hash', encode(e.command_hash, 'hex'), 'correlation_id', e.correlation_id,
         'causation_id', e.causation_id, 'trace', e.trace))::text
  from event e where e.workspace = %s order by e.position
"""
_COMMANDS: LiteralString = """
select json_build_object('command', json_build_object(
         'command_id', c.command_id, 'command_hash', encode(c.command_hash, 'hex'), 'stream', c.stream,
         'version', c.version, 'position', c.position))::text
  from command c where c.workspace = %s order by c.command_id
"""
_GUARDS: LiteralString = """
select json_build_object('guard', json_build_object('name', g.name, 'version', g.version))::text
  from guard g where g.workspace = %s order by g.name
"""

# ---- out


def export_workspace(database: Database, workspace: Workspace, path: Path, progress: Progress) -> Transferred:
    """Writes `path` and the keys beside it, as they are at one moment; whole, or not at all. Raises OSError,
    psycopg.Error."""
    with _snapshot(database, workspace.id) as connection:
        header = _header(connection, workspace)
        log, whole, lines = hashlib.sha256(), hashlib.sha256(), 0
        with _written(path) as file:

            def write(line: bytes) -> None:
                nonlocal lines
                whole.update(line)
                file.write(line)
                lines += 1

            write(msgspec.json.encode(header) + b"\n")
            for done, line in enumerate(_lines(connection, _EVENTS, workspace.id), start=1):
                log.update(line)
                write(line)
                if done % CHUNK == 0:
                    progress(done, header.events)
            for query in (_COMMANDS, _GUARDS):
                for line in _lines(connection, query, workspace.id):
                    write(line)
            end = End(end=True, lines=lines, sha256=whole.hexdigest(), log=log.hexdigest())
            file.write(msgspec.json.encode(end) + b"\n")
        with _written(keys_of(path)) as file:
            # After the events: a key is there before what it seals.
            _write_keys(database, workspace.id, file)
    progress(header.events, header.events)
    return Transferred(workspace=workspace, events=header.events, log=log.hexdigest())


def digest(database: Database, workspace: Workspace, progress: Progress) -> Transferred:
    """Of the log of a workspace: two that are equal hold the same events at the same positions."""
    log, events = hashlib.sha256(), 0
    with _snapshot(database, workspace.id) as connection:
        total = _header(connection, workspace).events
        for line in _lines(connection, _EVENTS, workspace.id):
            log.update(line)
            events += 1
            if events % CHUNK == 0:
                progress(events, total)
    return Transferred(workspace=workspace, events=events, log=log.hexdigest())


def keys_of(path: Path) -> Path:
    """Where the keys lie that open what this file holds."""
    return path.with_name(f"{path.name}.keys")


@contextmanager
def _snapshot(place: Place, workspace: UUID) -> Generator[Connection]:
    """What the workspace holds at one moment, however long it takes to read it."""
    patient = {"idle_in_transaction_session_timeout": "0"}
    with place.connect(Role.APP, **patient) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute("select set_config('proteus.workspace', %s, true)", (str(workspace),))
        yield connection


def _header(connection: Connection, workspace: Workspace) -> Header:
    row = connection.execute(
        "select count(*), coalesce(min(position), 0), coalesce(max(position), 0),"
        " coalesce((select last from ticket_number where workspace = %(id)s), 0) from event where workspace = %(id)s",
        {"id": workspace.id},
    ).fetchone()
    assert row is not None
    return Header(
        format=FORMAT,
        version=VERSION,
        workspace=workspace.id,
        key=workspace.key,
        name=workspace.name,
        events=row[0],
        first=row[1],
        head=row[2],
        numbers=row[3],
        exported_at=now(),
    )


def _lines(connection: Connection, query: LiteralString, workspace: UUID) -> Iterator[bytes]:
    with connection.cursor(name="export") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(query, (workspace,))
        for (line,) in cursor:
            yield cast(str, line).encode() + b"\n"


def _write_keys(database: Database, workspace: UUID, file: IO[bytes]) -> None:
    file.write(msgspec.json.encode({"format": KEYS_FORMAT, "version": VERSION, "workspace": workspace}) + b"\n")
    with _snapshot(database.keys, workspace) as connection, connection.cursor(name="keys") as cursor:
        cursor.execute(
            "select subject, key, commitment from subject_key where workspace = %s order by subject", (workspace,)
        )
        master = MasterKeys.configured()
        for subject, key, committed in cursor:
            opened = None if key is None else master.unwrap(key, workspace, subject)
            file.write(msgspec.json.encode(_Key(subject, opened, committed)) + b"\n")


@contextmanager
def _written(path: Path) -> Generator[IO[bytes]]:
    """A private file that is there when it is whole; compressed where its name says so."""
    aside = path.with_name(f"{path.name}.part")
    aside.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
            if path.name.endswith(".gz"):
                with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=5, filename="", mtime=0) as packed:
                    yield cast(IO[bytes], packed)
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)


# ---- in


def import_workspace(database: Database, path: Path, progress: Progress, key: str | None = None) -> Transferred:
    """Records what `export_workspace` wrote, under the same ids, positions and times. All of the file is checked before
    anything is written. Until `arrived`, nobody can be let into the workspace; interrupted, it goes on where it was.

    Raises InvalidValue where the file is damaged or none of ours, or its positions are taken by others here; KeyTaken
    where the workspace is here already.
    """
    header, end = _checked(path)
    keys = _read_keys(keys_of(path), header)
    with database.connect(Role.OWNER) as connection:
        connection.execute(_ADVANCE, (header.head,))
        _must_be_free(connection, header)
        workspace = _begin(database, connection, header, key)
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace.id),))
        _record_keys(database, workspace.id, keys)
        done = _recorded(connection, workspace.id)
        chunk: list[dict[str, Any]] = []
        seen = 0
        for line in _content(path):
            row = msgspec.json.decode(line)
            if "event" in row:
                seen += 1
                if row["event"]["position"] > done:
                    chunk.append(row["event"])
                if len(chunk) == CHUNK:
                    _record(connection, workspace.id, chunk)
                    progress(seen, header.events)
            elif "command" in row:
                connection.execute(_COMMAND, {"workspace": workspace.id, **row["command"]})
            elif "guard" in row:
                connection.execute(_GUARD, {"workspace": workspace.id, **row["guard"]})
        _record(connection, workspace.id, chunk)
        connection.execute(_NUMBERS, (workspace.id, header.numbers))
    progress(header.events, header.events)
    return Transferred(workspace=workspace, events=header.events, log=end.log)


def _record_keys(database: Database, workspace: UUID, keys: Sequence["_Key"]) -> None:
    with database.keys.connect(Role.OWNER) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
        for start in range(0, len(keys), CHUNK):
            connection.execute(_KEYS, _columns(workspace, keys[start : start + CHUNK]))


def arrived(database: Database, workspace: Workspace) -> None:
    """Its read models are there: it is a workspace as every other from now on."""
    with database.connect(Role.OWNER) as connection, connection.transaction():
        connection.execute("update workspace set arriving = false where id = %s", (workspace.id,))
        # Its events stand behind those that the sequencer has passed: it makes them up.
        connection.execute(
            "insert into audit_log (workspace, live) values (%s, false) on conflict do nothing", (workspace.id,)
        )


def _must_be_free(connection: Connection, header: Header) -> None:
    """One log is read by position, so that two events cannot share one. Raises InvalidValue."""
    taken = connection.execute(
        "select exists (select from event where position between %s and %s and workspace <> %s)",
        (header.first, header.head, header.workspace),
    ).fetchone()
    if taken is None or taken[0]:
        raise InvalidValue(
            f"Others have events here between the positions {header.first} and {header.head}. Import it into a database"
            " of its own."
        )


def _begin(database: Database, connection: Connection, header: Header, key: str | None) -> Workspace:
    workspace = Workspace(id=header.workspace, key=text.key(key or header.key), name=header.name)
    made = connection.execute(
        "insert into workspace (id, key, name, shard, arriving) values (%s, %s, %s, %s, true) on conflict do nothing",
        (workspace.id, workspace.key, workspace.name, database.schema),
    ).rowcount
    if made:
        return workspace
    row = connection.execute("select arriving, key from workspace where id = %s", (workspace.id,)).fetchone()
    if row is None or not row[0]:
        raise KeyTaken("workspace", workspace.key if row is None else row[1])
    return msgspec.structs.replace(workspace, key=row[1])


def _recorded(connection: Connection, workspace: UUID) -> int:
    """The last position that an interrupted run recorded."""
    row = connection.execute(
        "select coalesce(max(position), 0) from event where workspace = %s", (workspace,)
    ).fetchone()
    assert row is not None
    return int(row[0])


def _record(connection: Connection, workspace: UUID, chunk: list[dict[str, Any]]) -> None:
    connection.execute(_EVENT, (workspace, msgspec.json.encode(chunk).decode()))
    chunk.clear()


_ADVANCE: LiteralString = """
select setval(pg_get_serial_sequence('event', 'position'), greatest(%s, (
  select coalesce(last_value, 1) from pg_sequences
   where schemaname = current_schema() and sequencename = 'event_position_seq'), 1))
"""
_KEYS: LiteralString = """
insert into subject_key (workspace, subject, key, commitment)
select %s, * from unnest(%s::uuid[], %s::bytea[], %s::bytea[])
on conflict (workspace, subject) do update set key = null where excluded.key is null -- erased since a run before
"""
_EVENT: LiteralString = """
insert into event (position, workspace, stream, version, name, event_version, state, occurred_at, recorded_at, actor,
  on_behalf_of, channel, source, reason, command_id, command_hash, correlation_id, causation_id, trace)
overriding system value
select r.position, %s, r.stream, r.version, r.name, r.event_version, convert_to(r.state, 'UTF8'), r.occurred_at,
       r.recorded_at, r.actor, r.on_behalf_of, r.channel, r.source, r.reason, r.command_id,
       decode(r.command_hash, 'hex'), r.correlation_id, r.causation_id, r.trace
  from json_to_recordset(%s::text::json) as r(position bigint, stream uuid, version integer, name text,
    event_version smallint, state text, occurred_at timestamptz, recorded_at timestamptz, actor uuid, on_behalf_of uuid,
    channel text, source text, reason text, command_id uuid, command_hash text, correlation_id uuid, causation_id uuid,
    trace text)
 order by r.position
"""
_COMMAND: LiteralString = """
insert into command (workspace, command_id, command_hash, stream, version, position)
values (%(workspace)s, %(command_id)s, decode(%(command_hash)s, 'hex'), %(stream)s, %(version)s, %(position)s)
on conflict do nothing
"""
_GUARD: LiteralString = """
insert into guard (workspace, name, version) values (%(workspace)s, %(name)s, %(version)s) on conflict do nothing
"""
_NUMBERS: LiteralString = """
insert into ticket_number (workspace, last) select * from (values (%s::uuid, %s::bigint)) v (workspace, last)
 where v.last > 0 on conflict do nothing
"""


def _columns(workspace: UUID, keys: Sequence["_Key"]) -> tuple[object, ...]:
    master = MasterKeys.configured()
    stored = [None if one.key is None else master.wrap(one.key, workspace, one.subject) for one in keys]
    said = [one.commitment if one.key is None else commitment(workspace, one.subject, one.key) for one in keys]
    return workspace, [one.subject for one in keys], stored, said


# ---- what is in a file


def _checked(path: Path) -> tuple[Header, End]:
    """Raises InvalidValue unless it is a whole file of a version that we know."""
    whole, log = hashlib.sha256(), hashlib.sha256()
    header: Header | None = None
    end: End | None = None
    lines = 0
    for line in _content(path):
        if end is not None:
            raise InvalidValue(f"{path.name} goes on after its end.")
        if header is None:
            header = _header_of(path, line)
        elif line.startswith(b'{"end":'):
            end = _decoded(path, line, End)
            continue
        elif line.startswith(b'{"event"'):
            log.update(line)
        whole.update(line)
        lines += 1
    if header is None or end is None:
        raise InvalidValue(f"{path.name} is not whole: it has no end. Export it again.")
    if (whole.hexdigest(), log.hexdigest(), lines) != (end.sha256, end.log, end.lines):
        raise InvalidValue(f"{path.name} was changed or damaged: its digest is another. Export it again.")
    return header, end


def _header_of(path: Path, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except msgspec.DecodeError:
        raise InvalidValue(f"{path.name} is no export of a workspace.") from None
    if header.format != FORMAT:
        raise InvalidValue(f"{path.name} is no export of a workspace.")
    if header.version != VERSION:
        raise InvalidValue(f"{path.name} has version {header.version}, this Proteus reads {VERSION}. Run a newer one.")
    return header


def _decoded(path: Path, line: bytes, kind: type[End]) -> End:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidValue(f"{path.name} is damaged: {error}.") from None


class _Key(msgspec.Struct, frozen=True):
    """`commitment`: what is left of one that was deleted."""

    subject: UUID
    key: bytes | None
    commitment: bytes | None = None


def _read_keys(path: Path, header: Header) -> list[_Key]:
    lines = _content(path)
    try:
        first = msgspec.json.decode(next(lines, b"{}"))
        if first.get("format") != KEYS_FORMAT or first.get("workspace") != str(header.workspace):
            raise InvalidValue(f"{path.name} does not hold the keys of this workspace.")
        return [msgspec.json.decode(line, type=_Key) for line in lines]
    except (msgspec.DecodeError, AttributeError) as error:
        raise InvalidValue(f"{path.name} is damaged: {error}.") from None


def _content(path: Path) -> Iterator[bytes]:
    """Its lines, unpacked. Raises InvalidValue."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield from gzip.GzipFile(fileobj=raw) if packed else raw
    except (EOFError, gzip.BadGzipFile) as error:
        raise InvalidValue(f"{path.name} is damaged: {error}.") from None
    except FileNotFoundError:
        raise InvalidValue(f"There is no {path}.") from None
