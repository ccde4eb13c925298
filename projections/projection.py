"""What a read model is: its tables, how a batch of events folds into rows, which columns hold personal data."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import LiteralString

import msgspec
from psycopg import sql

from application.event_store.database import Connection
from application.event_store.envelope import Envelope, State
from projections.writing import Writes


class Change(msgspec.Struct, frozen=True, gc=False):
    """One event and what it made of its stream: the domain's own state before and after.
    `recorded_max`: the latest time at which this event or any before it was recorded."""

    envelope: Envelope
    before: State | None
    after: State
    recorded_max: datetime


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """A read model.

    `tables`: each has a column `workspace`; `ddl` makes them with what the fold needs, `indexes` the rest.
    `fold` says what to write for a batch; it asks nobody. Events of different streams may be folded in another order
    than they were recorded in (a parked stream is made up for later), those of one stream never.
    `personal`: table -> columns in plain text that an erasure must wipe.
    `extensions` of PostgreSQL that it needs. `functions`: made anew by every migration, and not by a rebuild.
    `version` counts up where `fold` or `functions` write otherwise than before into tables of the same description.
    """

    name: str
    tables: tuple[str, ...]
    ddl: LiteralString
    indexes: LiteralString
    fold: Callable[[Writes, Sequence[Change]], None]
    personal: dict[str, tuple[str, ...]] = {}
    extensions: tuple[str, ...] = ()
    functions: LiteralString = ""
    version: int = 1

    @property
    def shape(self) -> str:
        """Of its tables and of what they hold: what was made by another one is rebuilt (`projections.renewal`)."""
        described = f"{self.version} {self.ddl} {self.indexes}"
        return hashlib.blake2b(described.encode(), digest_size=8).hexdigest()


def install(connection: Connection, projections: Sequence[Projection]) -> None:
    """Makes the tables that are missing; call it as the owner, with the shard's search_path. Those that were made by
    another description stay until they are rebuilt."""
    _note_shapes(connection)
    for projection in projections:
        known = connection.execute("select 1 from tracking where name = %s", (projection.name,)).fetchone()
        for extension in projection.extensions:
            made = sql.SQL("create extension if not exists {}")
            connection.execute(made.format(sql.Identifier(extension)))
        if known is None:
            connection.execute(projection.ddl)
            secure(connection, projection.tables)
            connection.execute(projection.indexes)
            connection.execute(
                "insert into tracking (name, shape) values (%s, %s)", (projection.name, projection.shape)
            )
        if projection.functions:
            connection.execute("set local check_function_bodies = off")  # of tables that are still to be rebuilt
            connection.execute(projection.functions)


def _note_shapes(connection: Connection) -> None:
    """In a database that was made before they were. Asked first: the column's addition locks out all that read."""
    known = connection.execute(
        "select from pg_attribute where attrelid = 'tracking'::regclass and attname = 'shape' and not attisdropped"
    ).fetchone()
    if known is None:
        connection.execute("alter table tracking add column shape text")


def secure(connection: Connection, tables: Sequence[str]) -> None:
    """Row-level security and grants; part of making a table, so that none is ever without them."""
    allow(connection, tables)
    enforce(connection, tables)


def allow(connection: Connection, tables: Sequence[str]) -> None:
    """Who may do what, once row-level security is enforced."""
    _run(connection, tables, _RIGHTS)


def enforce(connection: Connection, tables: Sequence[str]) -> None:
    _run(connection, tables, _ENFORCED)


def _run(connection: Connection, tables: Sequence[str], statements: Sequence[LiteralString]) -> None:
    for table in tables:
        for statement in statements:
            connection.execute(sql.SQL(statement).format(sql.Identifier(table)))


_RIGHTS: tuple[LiteralString, ...] = (
    "create policy own on {} for select to proteus_reader using (workspace = current_workspace())",
    "create policy follow on {} to proteus_projector, proteus_owner using (true)",
    "grant select on {} to proteus_reader",
    "grant select, insert, update, delete on {} to proteus_projector",
)
_ENFORCED: tuple[LiteralString, ...] = (
    "alter table {} enable row level security",
    "alter table {} force row level security",
)
