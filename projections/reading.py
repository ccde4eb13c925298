"""How read models are asked: one connection pool per process, one view per viewer, pages by keyset."""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, LiteralString, Self, TypeVar, overload
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import PoolTimeout

from application.event_store.database import Database, Role
from domain.access import Actor
from projections.filters import AsOf, PageAsk

PAGE_DEFAULT, PAGE_LIMIT = 50, 100
WAIT_SECONDS = 2.0
"""How long a query waits for its read model to reach `minPosition`."""

set_json_loads(msgspec.json.decode)  # 3 to 26 times as fast as the standard library, by size

T = TypeVar("T")
Query = LiteralString | sql.SQL | sql.Composed


class BadInput(Exception):
    """The question cannot be answered as asked: BAD_USER_INPUT. The message says what to change."""


class ReadModelBehind(Exception):
    """The read model did not reach the asked position in time: UNAVAILABLE, try again."""


class ReadModelsUnavailable(Exception):
    """No connection to PostgreSQL: UNAVAILABLE, try again."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    nodes: list[T]
    keys: Sequence[Sequence[object]]
    """Of each node; cursors are made of them for those who ask, and most ask for the first and last alone."""
    has_next: bool
    has_previous: bool

    @property
    def cursors(self) -> list[str]:
        return [encode_cursor(key) for key in self.keys]


class Keys(Sequence[Sequence[object]], Generic[T]):
    """Of nodes, made when somebody asks for one."""

    def __init__(self, nodes: Sequence[T], key: Callable[[T], Sequence[object]]) -> None:
        self._nodes, self._key = nodes, key

    def __len__(self) -> int:
        return len(self._nodes)

    @overload
    def __getitem__(self, index: int) -> Sequence[object]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sequence[object]]: ...
    def __getitem__(self, index: int | slice) -> Sequence[object] | list[Sequence[object]]:
        if isinstance(index, slice):
            return [self._key(node) for node in self._nodes[index]]
        return self._key(self._nodes[index])


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """An AsOf resolved: what was recorded up to `position` (None: all), at `occurred_at` (None: the end).
    `recorded_at`: the time that the position was found by."""

    position: int | None = None
    occurred_at: datetime | None = None
    recorded_at: datetime | None = None

    @property
    def live(self) -> bool:
        return self.position is None and self.occurred_at is None


NOW = Moment()


class ReadModels:
    """One shard's read models: opened once per process, inside its event loop."""

    def __init__(self, database: Database, size: int = 8, patience: str = "20s") -> None:
        """`patience`: how long a statement may take, as PostgreSQL writes it; 0: for ever."""
        self.database = database
        # What is asked for is in memory, or on a disk without arms: the default, 4, takes an index for slow.
        # And no question is worth compiling: those that PostgreSQL takes for dear would take seconds more by it.
        settings = {"statement_timeout": patience, "random_page_cost": "1.1", "jit": "off"}
        self._pool = database.async_pool(Role.READER, size, **settings)

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def pool_stats(self) -> dict[str, int]:
        return self._pool.get_stats()

    def view(self, actor: Actor, workflows_at: int | None = None, *, sensitive: bool = True) -> "View":
        return View(self, actor, workflows_at, sensitive)

    async def fetch(
        self,
        workspace: UUID | None,
        query: Query,
        arguments: Sequence[object] | dict[str, Any],
        *,
        binary: bool = False,
        joins_sets: bool = False,
    ) -> list[TupleRow]:
        return (await self.fetch_all(workspace, (query, arguments), binary=binary, joins_sets=joins_sets))[0]

    async def fetch_all(
        self,
        workspace: UUID | None,
        *statements: tuple[Query, Sequence[object] | dict[str, Any]],
        binary: bool = False,
        joins_sets: bool = False,
    ) -> list[list[TupleRow]]:
        """One round trip, and one transaction: the workspace for row-level security is set in the same pipeline."""
        setting = str(workspace) if workspace else ""
        for attempt in (1, 2):
            try:
                async with self._pool.connection() as connection:
                    async with connection.pipeline():
                        await connection.execute("select set_config('proteus.workspace', %s, false)", (setting,))
                        if joins_sets:
                            await connection.execute("select set_config('enable_nestloop', 'off', true)")
                        cursors = [await connection.execute(*statement, binary=binary) for statement in statements]
                    return [await cursor.fetchall() for cursor in cursors]
            except PoolTimeout as error:
                raise ReadModelsUnavailable(str(error)) from None
            except (psycopg.DataError, UnicodeEncodeError) as error:
                # The statements are ours and fixed, so it is a value: a NUL, half a surrogate, a number too large.
                raise BadInput(f"A value cannot be compared with what is stored: {_first_line(error)}") from None
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if isinstance(error, psycopg.errors.QueryCanceled) or attempt == 2:
                    raise ReadModelsUnavailable(str(error)) from None
        raise AssertionError("unreachable")

    async def authenticate(self, digest: bytes) -> tuple[Any, int, bool]:
        """The row that `application.tokens.bearer` reads, or None; and what `View.workflows_at` and `View.sensitive`
        say of its workspace, which every request wants to know: in one round trip."""
        asked = f"select {_WORKFLOWS_AT}, {_ANY_SENSITIVE}"
        found, at = await self.fetch_all(None, (_AUTHENTICATE, (digest,)), (asked, ()))
        return (found[0][:-1] if found else None), at[0][0], at[0][1]

    async def authenticate_again(self, digests: Sequence[bytes]) -> list[tuple[bytes, Any]]:
        """Each digest with the row of its token, as `authenticate` returns it."""
        rows = await self.fetch(None, _AUTHENTICATE_ALL, (list(digests),))
        return [(digest, row) for digest, *row in rows]

    async def wait_for(self, position: int, *names: str, workspace: UUID | None = None) -> int:
        """Waits until these read models have passed a position; returns what `View.workflows_at` is then.

        Raises ReadModelBehind, BadInput."""
        deadline = time.monotonic() + WAIT_SECONDS
        pause = 0.002
        while True:
            rows = await self.fetch(
                workspace,
                f"select coalesce(min(position), 0), {_WORKFLOWS_AT} from tracking where name = any(%s)",
                (list(names),),
            )
            if rows[0][0] >= position:
                return int(rows[0][1])
            if time.monotonic() > deadline:
                raise ReadModelBehind(f"The read models stand at {rows[0][0]}, before {position}.")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.05)


_AUTHENTICATE = "select a.*, set_config('proteus.workspace', a.workspace::text, false) from authenticate(%s) a"
_AUTHENTICATE_ALL = (
    "select d.digest, a.* from unnest(%s::bytea[]) d (digest) cross join lateral authenticate(d.digest) a"
)
_WORKFLOWS_AT = (
    "coalesce((select w.position from workflows w"
    " where w.workspace = nullif(current_setting('proteus.workspace'), '')::uuid), 0)"
)


class _Given(dict[str, Any]):
    """Arguments of a statement. Who the viewer is, is asked only where a statement names them: see `Colleague`."""

    def __init__(self, actor: Actor, arguments: dict[str, Any]) -> None:
        super().__init__(arguments, workspace=actor.workspace)
        self._actor = actor

    def __missing__(self, name: str) -> Any:
        if name == "viewer":
            return self._actor.person
        raise KeyError(name)


_ANY_SENSITIVE = (
    "exists (select from sensitivity x where x.workspace = nullif(current_setting('proteus.workspace'), '')::uuid"
    " and x.closed_position is null)"
)


class View:
    """What one actor may see; made per request. Every query goes through it, so that none forgets the workspace."""

    def __init__(
        self, models: ReadModels, actor: Actor, workflows_at: int | None = None, sensitive: bool = True
    ) -> None:
        self.models = models
        self.actor = actor
        self.workflows_at = workflows_at
        """At which position the workspace's workflows were defined last; None where nobody has looked."""
        self.sensitive = sensitive
        """Whether there may be sensitive tickets in the workspace."""

    def stands_at(self, workflows_at: int | None, *, sensitive: bool = True) -> None:
        """For a view that lasts, what is so now."""
        self.workflows_at, self.sensitive = workflows_at, sensitive

    async def fetch(
        self,
        query: Query,
        arguments: dict[str, Any] | None = None,
        *,
        binary: bool = False,
        joins_sets: bool = False,
    ) -> list[TupleRow]:
        """`%(workspace)s` and `%(viewer)s` are always there. `binary`: in two thirds of the time, where there are many
        rows of columns of plain types.

        `joins_sets`: thousands of rows are joined with thousands. A planner that has not heard of them yet would take
        each with each; now it hashes them, and looks rows up by a key only where the query does so by `lateral`."""
        given = _Given(self.actor, arguments or {})
        return await self.models.fetch(self.actor.workspace, query, given, binary=binary, joins_sets=joins_sets)

    async def fetch_all(self, *asked: tuple[Query, dict[str, Any]]) -> list[list[TupleRow]]:
        """As `fetch`, several that need nothing of one another, in one round trip."""
        given: list[tuple[Query, dict[str, Any]]] = [
            (query, _Given(self.actor, arguments)) for query, arguments in asked
        ]
        return await self.models.fetch_all(self.actor.workspace, *given)

    async def wait_for_workflows(self, position: int) -> None:
        """Until the directory tells of workflows as they were at a position, or later. Raises ReadModelBehind."""
        self.workflows_at = await self.models.wait_for(position, "directory", workspace=self.actor.workspace)

    async def moment(self, as_of: AsOf | None) -> Moment:
        """Raises BadInput."""
        if as_of is None:
            return NOW
        position = as_of.position
        for at in (as_of.recorded_at, as_of.occurred_at):
            if at is not None and at.tzinfo is None:
                raise BadInput("asOf needs times with an offset, as in 2026-03-01T09:00:00+03:00.")
        if as_of.recorded_at is not None:
            if position is not None:
                raise BadInput("asOf takes position or recordedAt, not both.")
            position = await self._position_at(as_of.recorded_at)
        return Moment(position=position, occurred_at=as_of.occurred_at, recorded_at=as_of.recorded_at)

    async def instant(self, moment: Moment) -> datetime:
        """The moment looked at, as a time: of a position, when it was recorded."""
        at = moment.occurred_at or moment.recorded_at
        if at is None and moment.position is not None:
            rows = await self.fetch(
                "select recorded_max from timeline where workspace = %(workspace)s and position <= %(position)s"
                " order by position desc limit 1",
                {"position": moment.position},
            )
            at = rows[0][0] if rows else None
        return at or datetime.now(UTC)

    async def _position_at(self, recorded_at: datetime) -> int:
        """The greatest position such that it and all before it were recorded by then."""
        rows = await self.fetch(
            "select position from timeline where workspace = %(workspace)s and recorded_max <= %(at)s"
            " order by recorded_max desc, position desc limit 1",
            {"at": recorded_at},
        )
        return rows[0][0] if rows else 0


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def page_size(ask: PageAsk) -> int:
    """Raises BadInput."""
    if ask.first is not None and ask.last is not None:
        raise BadInput("Ask for first or last, not both.")
    if (ask.after is not None and ask.last is not None) or (ask.before is not None and ask.first is not None):
        raise BadInput("after goes with first, before with last.")
    size = ask.first if ask.first is not None else ask.last if ask.last is not None else PAGE_DEFAULT
    if not 1 <= size <= PAGE_LIMIT:
        raise BadInput(f"first and last are 1 to {PAGE_LIMIT}.")
    return size


def backwards(ask: PageAsk) -> bool:
    return ask.last is not None or ask.before is not None


def page_of(found: Sequence[tuple[T, Sequence[object]]], ask: PageAsk) -> Page[T]:
    """Of at most `page_size + 1` rows and their keys that were read in the direction of the page."""
    size, down = page_size(ask), backwards(ask)
    more = len(found) > size
    shown = found[:size][::-1] if down else found[:size]
    return Page(
        nodes=[row for row, _ in shown],
        keys=[key for _, key in shown],
        has_next=ask.before is not None if down else more,
        has_previous=more if down else ask.after is not None,
    )


def encode_cursor(values: Sequence[object]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def decode_cursor(cursor: str, kind: type[T]) -> T:
    """Raises BadInput where the cursor is not one of the same list in the same order."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise BadInput("This cursor does not belong to this list in this order.") from None


# ---- lists, of one or of many parents


class Listing(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A list in ascending order. `source`: from `from` to a condition; a list that each of many parents has says there
    by `parent.id` whose it is. `keys`: what is sorted by and its type, never null, together unique."""

    columns: sql.Composable
    source: sql.Composable
    keys: Sequence[tuple[LiteralString, LiteralString]]
    row: Callable[[Sequence[Any]], T]
    arguments: dict[str, Any] = {}

    def page(self, rows: Sequence[Sequence[Any]], ask: PageAsk) -> Page[T]:
        """Of rows of the columns and then the keys."""
        width = -len(self.keys)
        return page_of([(self.row(row[:width]), [str(key) for key in row[width:]]) for row in rows], ask)


async def page(view: View, listing: Listing[T], ask: PageAsk) -> Page[T]:
    """Raises BadInput."""
    query, arguments = _select(listing, ask)
    return listing.page(await view.fetch(query, arguments), ask)


async def count(view: View, listing: Listing[T]) -> int:
    rows = await view.fetch(sql.SQL("select count(*) {}").format(listing.source), listing.arguments)
    return int(rows[0][0])


async def pages_of(view: View, parents: Sequence[UUID], listing: Listing[T], ask: PageAsk) -> dict[UUID, Page[T]]:
    """The same page of each parent's list, in one query. Raises BadInput."""
    found: dict[UUID, list[Sequence[Any]]] = {parent: [] for parent in parents}
    query, arguments = _select(listing, ask)
    rows = await view.fetch(
        sql.SQL(
            "select parent.id, page.* from unnest(%(parents)s::uuid[]) parent (id) cross join lateral ({}) page"
            " order by {}"
        ).format(query, _order(listing, ask)),
        {**arguments, "parents": list(found)},
    )
    for parent, *row in rows:
        found[parent].append(row)
    return {parent: listing.page(of_parent, ask) for parent, of_parent in found.items()}


async def counts_of(view: View, parents: Sequence[UUID], listing: Listing[T]) -> dict[UUID, int]:
    rows = await view.fetch(
        sql.SQL("select parent.id, (select count(*) {}) from unnest(%(parents)s::uuid[]) parent (id)").format(
            listing.source
        ),
        {**listing.arguments, "parents": list(parents)},
    )
    return dict(rows)


def _select(listing: Listing[T], ask: PageAsk) -> tuple[sql.Composed, dict[str, Any]]:
    """One row more than the page has, to know whether there are more."""
    keys = [sql.SQL(key) for key, _ in listing.keys]
    cursor = ask.before if backwards(ask) else ask.after
    values = decode_cursor(cursor, list[str]) if cursor else []
    if cursor and len(values) != len(keys):
        raise BadInput("This cursor does not belong to this list in this order.")
    start = [
        sql.SQL("{}::{}").format(sql.Placeholder(f"start{n}"), sql.SQL(kind))
        for n, (_, kind) in enumerate(listing.keys)
    ]
    beyond = sql.SQL("({}) < ({})" if backwards(ask) else "({}) > ({})").format(
        sql.SQL(", ").join(keys), sql.SQL(", ").join(start)
    )
    query = sql.SQL("select {columns}, {keys} {source} and {beyond} order by {order} limit {limit}").format(
        columns=listing.columns,
        keys=sql.SQL(", ").join(
            sql.SQL("{} as {}").format(key, sql.Identifier(f"key{n}")) for n, key in enumerate(keys)
        ),
        source=listing.source,
        beyond=beyond if cursor else sql.SQL("true"),
        order=_order(listing, ask),
        limit=sql.Literal(page_size(ask) + 1),
    )
    return query, {**listing.arguments, **{f"start{n}": value for n, value in enumerate(values)}}


def _order(listing: Listing[T], ask: PageAsk) -> sql.Composed:
    """Of the keys as they are selected."""
    keys = (sql.Identifier(f"key{n}") for n in range(len(listing.keys)))
    return sql.SQL(", ").join(sql.SQL("{} desc" if backwards(ask) else "{} asc").format(key) for key in keys)
