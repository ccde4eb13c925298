"""Erasing a person: their key is deleted, so that nothing of what it sealed can ever be read again, in whatever copy of
the log. What was made of it in plain text goes with it: files here, read models by who rebuilds them.

What was begun is finished by the same command, after whatever interruption.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import LiteralString
from uuid import UUID, uuid4, uuid5

import msgspec
import psycopg
from psycopg import sql

from application import people
from application.attachments.contents import Contents
from application.event_store import erasures
from application.event_store.database import Connection, Database, Place, Role
from application.event_store.streams import EventStore
from application.handling import Context, now
from application.privacy import acts
from application.privacy.acts import Destroyed, Particulars
from application.workspaces import Workspace, operator, system_person
from domain.errors import FieldRequired, PersonErased, PersonNotFound, Refused
from domain.people import ErasePerson, Person, SubjectErased
from domain.text import ERASED, TEXT_LIMIT, prose

LOCK_TIMEOUT = "10s"
_SEGMENT = re.compile(r"[0-9A-F]{24}")


Hashes = tuple[bytes, bytes]
"""SHA-256 of the act and of the journal's export."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """`controller`, `processor`, `by`: for the act, which leaves room for what is not named. `folder`: for the act and
    the journal's export."""

    person: UUID
    reason: str
    folder: Path
    controller: str | None = None
    processor: str | None = None
    by: str | None = None


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """`written`: the act and the journal's export. `undone`: what could not be done, and how it can."""

    written: list[Path]
    undone: list[str]


def begin(database: Database, store: EventStore, contents: Contents, workspace: Workspace, asked: Asked) -> int:
    """From here on their texts cannot be read, but in read models, until those are rebuilt. Returns how many attached
    files were removed. Raises Refused (nothing is written then), OSError (as well), StoreUnavailable."""
    reason = prose(asked.reason.strip(), "reason", TEXT_LIMIT) if asked.reason.strip() else ""
    if not reason:
        raise FieldRequired("reason", "to erase a person")
    person = _person(store, workspace, asked.person)
    note = _noted(database.keys, workspace, asked.person)
    if person.erased and (note is None or note.finished):
        hashes = _recorded(database.keys, store, workspace, asked.person)
    elif note is not None:
        hashes = note.hashes
    else:
        hashes = _draft(asked.folder, _particulars(database, contents, workspace, person, asked, reason))
    hashes = _delete_key(database.keys, workspace, asked.person, hashes)
    _revoke_tokens(database, workspace, asked.person)
    store.forget()
    if not person.erased:
        act, journal = (one.hex() for one in hashes)
        context = Context(
            actor=operator(workspace.id),
            channel="system",
            reason=reason,
            command_id=uuid5(asked.person, f"erase {act}"),
        )
        people.handle(store, context, ErasePerson(person=asked.person, act=act, journal=journal))
    return contents.erase(workspace.id, asked.person).files


def finish(database: Database, store: EventStore, workspace: Workspace, asked: Asked) -> Finished:
    """Once the read models were rebuilt. Raises OSError."""
    with database.keys.connect(Role.OWNER) as keys:
        erasures.tell(keys)  # what was shown from the old ones is forgotten, too
    store.forget()
    undone = clean(database, database.keys)
    note = _noted(database.keys, workspace, asked.person)
    assert note is not None, "what is finished was begun"
    written = _issue(asked.folder, note.hashes)
    if len(written) < len(_ENDINGS):
        undone.append(
            f"The act and the journal's export, which an earlier attempt wrote, are not in {asked.folder}: take"
            f" {_DRAFT} from the ends of their names where they are"
        )
    with database.keys.connect(Role.OWNER) as keys:
        keys.execute(
            "update erasure set finished_at = clock_timestamp() where workspace = %s and subject = %s",
            (workspace.id, asked.person),
        )
    return Finished(written=written, undone=undone)


def _person(store: EventStore, workspace: Workspace, person: UUID) -> Person:
    """Raises Refused."""
    stream = store.workspace(workspace.id).load([person]).get(person)
    if stream is None or not isinstance(stream.state, Person):
        raise PersonNotFound(person, "person")
    if person == system_person(workspace.id):
        raise Refused("That is the workspace's own system person, about whom there is nothing personal.", ("person",))
    return stream.state


class _Note(msgspec.Struct, frozen=True):
    """Of an earlier attempt, beside the keys. `hashes`: of the act and the journal that it wrote."""

    hashes: Hashes
    finished: bool


def _noted(place: Place, workspace: Workspace, person: UUID) -> _Note | None:
    with place.connect(Role.OWNER) as keys:
        row = keys.execute(
            "select act, journal, finished_at is not null from erasure where workspace = %s and subject = %s",
            (workspace.id, person),
        ).fetchone()
    return None if row is None else _Note((row[0], row[1]), row[2])


def _recorded(place: Place, store: EventStore, workspace: Workspace, person: UUID) -> Hashes:
    """Those that the log has of an erasure whose key is there again, since the keys were restored from a backup of
    before it. Raises PersonErased where the key is gone."""
    with place.connect(Role.OWNER) as keys:
        key = keys.execute(
            "select from subject_key where workspace = %s and subject = %s and key is not null", (workspace.id, person)
        ).fetchone()
    if key is None:
        raise PersonErased(person)
    events = (one.event for one in store.workspace(workspace.id).history(person))
    erased = next(one for one in events if isinstance(one, SubjectErased))
    return bytes.fromhex(erased.act), bytes.fromhex(erased.journal)


# ---- what is to be kept of it


def _particulars(
    database: Database, contents: Contents, workspace: Workspace, person: Person, asked: Asked, reason: str
) -> Particulars:
    destroyed = _sealed(database, workspace, asked.person)  # which takes its time
    return Particulars(
        number=str(uuid4()),
        at=now(),
        workspace=f"{workspace.name} ({workspace.key})",
        person=asked.person,
        name=person.name,
        email=person.email,
        reason=reason,
        destroyed=destroyed,
        files=contents.count(workspace.id, asked.person),
        controller=asked.controller,
        processor=asked.processor,
        by=asked.by,
    )


def _sealed(database: Database, workspace: Workspace, person: UUID) -> list[Destroyed]:
    """All of the log is read: no index knows whose key sealed what."""
    sealed = f"1:{person.hex}:"
    with database.connect(Role.PROJECTOR) as connection:
        rows = connection.execute(
            "select name, count(*), min(recorded_at), max(recorded_at) from event where workspace = %(workspace)s"
            "  and (position(%(quoted)s::bytea in state) > 0 or starts_with(reason, %(sealed)s))"
            " group by name order by name",
            {"workspace": workspace.id, "quoted": f'"{sealed}'.encode(), "sealed": sealed},
        ).fetchall()
    return [Destroyed(type=name, events=events, first=first, last=last) for name, events, first, last in rows]


_ENDINGS = ("act.txt", "journal.csv")
_DRAFT = ".part"
"""Of names, until all that it says has been done."""


def _draft(folder: Path, one: Particulars) -> Hashes:
    """On the disk before anything is deleted. Returns the hashes. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    act, journal = acts.act(one).encode(), acts.journal(one).encode()
    for ending, content in zip(_ENDINGS, (act, journal), strict=True):
        path = folder / f"erasure-{one.number}.{ending}{_DRAFT}"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    return hashlib.sha256(act).digest(), hashlib.sha256(journal).digest()


def _issue(folder: Path, hashes: Hashes) -> list[Path]:
    """Gives those of these hashes their names, now that what they say is so. Raises OSError."""
    drafts = [
        path
        for ending, hash_ in zip(_ENDINGS, hashes, strict=True)
        for path in folder.glob(f"erasure-*.{ending}*")
        if hashlib.sha256(path.read_bytes()).digest() == hash_
    ]
    return [path.rename(path.with_name(path.name.removesuffix(_DRAFT))) for path in drafts]


# ---- what goes


def _delete_key(place: Place, workspace: Workspace, person: UUID, hashes: Hashes) -> Hashes:
    """With a note of it, so that whatever is interrupted afterwards is done again. Whoever has the key in memory is
    told; its row stays, so that none is made in its place. Returns the hashes of the note, maybe an older one."""
    where = (workspace.id, person)
    with place.connect(Role.OWNER, synchronous_commit="on") as keys, keys.transaction():
        [noted] = keys.execute(
            "insert into erasure (workspace, subject, act, journal) values (%s, %s, %s, %s)"
            " on conflict (workspace, subject) do update set finished_at = null returning act, journal",
            (*where, *hashes),
        ).fetchall()
        keys.execute("update subject_key set key = null where workspace = %s and subject = %s", where)
        erasures.tell(keys)
    return noted[0], noted[1]


def _revoke_tokens(database: Database, workspace: Workspace, person: UUID) -> None:
    with database.connect(Role.OWNER) as connection:
        connection.execute(
            "update token set name = %s, revoked_at = coalesce(revoked_at, clock_timestamp())"
            " where workspace = %s and person = %s",
            (ERASED, workspace.id, person),
        )


_CLEANED = ("parked", "token", "subject_key")
"""Tables with personal data or keys that no rebuild replaces."""
_SWITCHED: LiteralString = "select pg_logical_emit_message(false, 'proteus', 'erased'), pg_switch_wal()"


def clean(*places: Place) -> list[str]:
    """Space that rows have left, and the write-ahead log, still hold what stood there. Tables that a rebuild replaced
    are gone as files. Returns what the logins may not do, and how they may."""
    undone: list[str] = []
    for place in places:
        with place.connect(Role.OWNER) as owner:
            named = "select name from unnest(%s::text[]) name where to_regclass(name) is not null"
            _vacuum(owner, [name for (name,) in owner.execute(named, (list(_CLEANED),)).fetchall()], undone)
    for url in dict.fromkeys(place.url for place in places):
        with psycopg.connect(url, autocommit=True) as login:
            # What stands most often in a column stands in the statistics, too, which the owner of the database may
            # vacuum.
            _vacuum(login, ["pg_statistic"], undone)
            try:
                _overwrite_wal(login)
            except psycopg.errors.InsufficientPrivilege:
                undone.append(
                    "The write-ahead log was not recycled; it will be in time. To let Proteus do it: grant"
                    " pg_checkpoint to its login, and execute on pg_switch_wal() and pg_ls_waldir(); see the operator's"
                    " guide"
                )
    return list(dict.fromkeys(undone))


def _vacuum(connection: Connection, tables: Sequence[str], undone: list[str]) -> None:
    connection.add_notice_handler(lambda notice: undone.append(str(notice.message_primary)))
    connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'".encode())
    for table in tables:
        try:
            connection.execute(sql.SQL("vacuum (full) {}").format(sql.Identifier(table)))
        except psycopg.errors.LockNotAvailable:
            undone.append(f"{table} was in use, and was not vacuumed: `vacuum full {table}` does it")


def _overwrite_wal(connection: Connection) -> None:
    """Segments that were written are kept for later under later names, with all that stands in them, until they are
    written again: so each that is there is. Raises InsufficientPrivilege."""
    connection.execute(_SWITCHED)
    connection.execute("checkpoint")
    names = connection.execute("select name from pg_ls_waldir()").fetchall()
    for _ in filter(_SEGMENT.fullmatch, (name for (name,) in names)):
        connection.execute(_SWITCHED)
    connection.execute("checkpoint")
