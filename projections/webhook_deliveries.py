"""What was sent to the endpoints of webhooks: how far each has come, and the log of its deliveries.

These tables are no fold of events: whoever delivers writes them, after each attempt, in one transaction that holds only
while it leads. What an endpoint is told next is read from the timeline when it is sent; so nothing waits in a queue
that an erasure or a rebuild would have to know of, however long an endpoint does not answer.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from application.event_store.database import Connection
from application.event_store.follower import Deposed, Stand
from domain.webhooks import Webhook, WebhookAudience, WebhookFilter
from projections import timeline
from projections.projection import secure
from projections.reading import View
from projections.rows import EventRow

AsyncConnection = psycopg.AsyncConnection[TupleRow]

FOLLOWER = "webhook_deliveries"
"""Under which name whoever delivers leads."""
READ_MODELS = (*timeline.READ_MODELS, "webhooks")
"""What a delivery is made from."""

KEPT = timedelta(days=30)
KEPT_DELIVERIES = 10_000
"""How long a delivery stays in the log of its endpoint, and how many do."""

DDL: LiteralString = """
create table webhook_cursor (
  workspace        uuid not null,
  webhook          uuid primary key,
  position         bigint not null,            -- all up to here was delivered, or is not wanted
  attempts         integer not null default 0, -- made of the one that comes next
  next_attempt_at  timestamptz,
  failing_since    timestamptz,
  delivery         bigint,                     -- the number of the one that is being tried
  replays          integer not null default 0, -- how many were taken up
  tests            integer not null default 0,
  updated_at       timestamptz not null default clock_timestamp()
);
create table webhook_delivery (
  workspace         uuid not null,
  webhook           uuid not null,
  number            bigint generated always as identity,
  message           text not null,   -- its webhook-id
  type              text not null,
  position          bigint,          -- null: a test
  delivered         boolean not null,
  attempts          integer not null,
  status_code       integer,         -- of the last attempt, as are the next two
  trouble           text,
  seconds           double precision not null,
  first_attempt_at  timestamptz not null default clock_timestamp(),
  last_attempt_at   timestamptz not null default clock_timestamp(),
  next_attempt_at   timestamptz,
  primary key (webhook, number)
);
create index webhook_delivery_time on webhook_delivery (last_attempt_at);
grant select (created_at) on workspace to proteus_projector; -- who sees which rows is said where the log is
"""


def install(connection: Connection) -> None:
    """Makes the tables where they are missing; call it as the owner, with the shard's search_path."""
    known = connection.execute("select to_regclass('webhook_cursor')").fetchone()
    if known is None or known[0] is None:
        connection.execute(DDL)
        secure(connection, ("webhook_cursor", "webhook_delivery"))


# ---- where endpoints stand


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as it is defined, and its cursor as it was when it was read. `next_in`: seconds until the next
    attempt."""

    id: UUID
    workspace: UUID
    webhook: Webhook
    cursor: "Cursor"
    next_in: float = 0.0


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    position: int
    attempts: int = 0
    failing: bool = False
    delivery: int | None = None
    replays: int = 0
    tests: int = 0


def enlist(connection: Connection) -> None:
    """Whoever delivers for the first time begins to be followed; how far each endpoint has come is with it."""
    connection.execute(
        "insert into tracking (name, position) select %s, coalesce(max(position), 0) from event on conflict do nothing",
        (FOLLOWER,),
    )


async def stand(connection: AsyncConnection) -> tuple[Stand, tuple[int, int]]:
    """Up to where everything is known that a delivery is made from; and what changes when webhooks do."""
    cursor = await connection.execute(
        "select t.position, t.recorded_at, coalesce((select max(w.position) from webhook w), 0),"
        " (select count(*) from webhook w join workspace x on x.id = w.workspace where not x.arriving)"
        " from tracking t where t.name = any(%s) order by t.position limit 1",
        (list(READ_MODELS),),
    )
    row = await cursor.fetchone()
    assert row is not None, "read models were made when the schema was"
    return Stand(row[0], row[1]), (row[2], row[3])


async def moved(connection: AsyncConnection, after: int, until: int) -> set[UUID]:
    """Workspaces that have events between these positions."""
    cursor = await connection.execute(
        "select distinct workspace from timeline where position > %s and position <= %s", (after, until)
    )
    return {row[0] for row in await cursor.fetchall()}


# A workspace that was moved here was told of its events where it came from; while it arrives nobody is told of it here.
_ENDPOINTS: LiteralString = """
insert into webhook_cursor (workspace, webhook, position)
select w.workspace, w.id, greatest(w.defined_position, coalesce((
         select max(t.position) from timeline t where t.workspace = w.workspace and t.recorded_at <= x.created_at), 0))
  from webhook w join workspace x on x.id = w.workspace
 where not x.arriving and not exists (select from webhook_cursor c where c.webhook = w.id)
on conflict do nothing;
"""
_STANDING: LiteralString = """
select w.id, w.workspace, w.definition, c.position, c.attempts, c.failing_since is not null, c.delivery, c.replays,
       c.tests, coalesce(extract(epoch from c.next_attempt_at - clock_timestamp()), 0)::float
  from webhook w join webhook_cursor c on c.webhook = w.id
"""


async def endpoints(connection: AsyncConnection) -> dict[UUID, Endpoint]:
    """All that are defined; those that are new begin after their definition."""
    await connection.execute(_ENDPOINTS)
    cursor = await connection.execute(_STANDING)
    return {
        id_: Endpoint(
            id=id_,
            workspace=workspace,
            webhook=msgspec.convert(definition, Webhook, strict=False),
            cursor=Cursor(
                position=position,
                attempts=attempts,
                failing=failing,
                delivery=delivery,
                replays=replays,
                tests=tests,
            ),
            next_in=next_in,
        )
        for id_, workspace, definition, position, attempts, failing, delivery, replays, tests, next_in in (
            await cursor.fetchall()
        )
    }


# ---- what is told next


class Told(msgspec.Struct, frozen=True):
    """An event as an endpoint is told of it."""

    event: EventRow
    ticket_number: int | None


_CONDITIONS: Mapping[str, LiteralString] = {
    "workflows": "s.workflow = any(%(workflows)s)",
    "roles": "s.role = any(%(roles)s)",
    "teams": "s.team = any(%(teams)s::uuid[])",
    "services": "s.service = any(%(services)s::uuid[])",
    "requesters": "s.requester = any(%(requesters)s::uuid[])",
    "tags": "s.tags && %(tags)s::text[]",
}


async def wanted(view: View, webhook: Webhook, after: int, until: int, limit: int) -> list[Told]:
    """The next events that an endpoint is to be told of, between two positions."""
    parts: list[sql.Composable] = [
        sql.SQL("x.workspace = %(workspace)s and x.position > %(after)s and x.position <= %(until)s"),
        sql.SQL("x.type <> all(%(never)s)"),
    ]
    if webhook.types:
        parts.append(sql.SQL("x.type = any(%(types)s)"))
    if webhook.audience is WebhookAudience.PUBLIC:
        parts.append(sql.SQL("x.ticket is not null and not x.internal"))
    if not webhook.filter.all:
        parts.append(_of(webhook.filter))
    columns = timeline.COLUMNS if webhook.audience is WebhookAudience.STAFF else timeline.PUBLIC_COLUMNS
    rows = await view.fetch(
        sql.SQL(
            "select {}, (select s.number from span s where s.ticket = x.ticket and s.closed_position is null)"
            " from timeline x where {} order by x.position limit %(limit)s"
        ).format(columns, sql.SQL(" and ").join(parts)),
        {
            **{kind: list(values) for kind, values in msgspec.structs.asdict(webhook.filter).items()},
            "never": list(timeline.FOR_ADMINISTRATORS),
            "types": list(webhook.types),
            "after": after,
            "until": until,
            "limit": limit,
        },
    )
    return [Told(timeline.event_row(row[:-1]), row[-1]) for row in rows]


def _of(wanted: WebhookFilter) -> sql.Composable:
    """Either before the event or after it, so that one also hears of what leaves."""
    named = [sql.SQL(condition) for kind, condition in _CONDITIONS.items() if getattr(wanted, kind)]
    return sql.SQL(
        "exists (select from span s where s.workspace = %(workspace)s and s.ticket = x.ticket"
        " and s.opened_position <= x.position and (s.closed_position is null or s.closed_position >= x.position)"
        " and {})"
    ).format(sql.SQL(" and ").join(named))


# ---- what became of it


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One that was made. `position`: None for a test. `delivery`: its number, where it is not the first.
    `next_in`: seconds until the next; None: there is none."""

    message: str
    type: str
    position: int | None
    delivered: bool
    attempts: int
    status: int | None
    trouble: str | None
    seconds: float
    delivery: int | None
    next_in: float | None


_INSERT: LiteralString = """
insert into webhook_delivery (workspace, webhook, message, type, position, delivered, attempts, status_code, trouble,
  seconds, next_attempt_at)
values (%(workspace)s, %(webhook)s, %(message)s, %(type)s, %(position)s, %(delivered)s, %(attempts)s, %(status)s,
  %(trouble)s, %(seconds)s, clock_timestamp() + make_interval(secs => %(next_in)s))
returning number
"""
_UPDATE: LiteralString = """
update webhook_delivery set delivered = %(delivered)s, attempts = %(attempts)s, status_code = %(status)s,
  trouble = %(trouble)s, seconds = %(seconds)s, last_attempt_at = clock_timestamp(),
  next_attempt_at = clock_timestamp() + make_interval(secs => %(next_in)s)
 where webhook = %(webhook)s and number = %(delivery)s returning number
"""
_MOVE: LiteralString = """
update webhook_cursor c set position = %(position)s, attempts = %(attempts)s, delivery = %(delivery)s,
  replays = %(replays)s, tests = %(tests)s, updated_at = clock_timestamp(),
  failing_since = case when %(failing)s then coalesce(c.failing_since, clock_timestamp()) end,
  next_attempt_at = clock_timestamp() + make_interval(secs => %(next_in)s)
 where c.webhook = %(webhook)s
"""
_LEADS: LiteralString = "select true from tracking where name = %s and epoch = %s for share"


async def record(
    connection: AsyncConnection,
    endpoint: Endpoint,
    attempt: Attempt | None,
    cursor: Cursor,
    next_in: float | None,
    epoch: int,
) -> Cursor:
    """Writes down an attempt, if there was one, and where the endpoint stands after it; `next_in`: seconds until its
    next attempt. Raises Deposed where somebody else leads by now; then nothing was written."""
    ids = {"workspace": endpoint.workspace, "webhook": endpoint.id}
    async with connection.transaction():
        leads = await connection.execute(_LEADS, (FOLLOWER, epoch))
        if await leads.fetchone() is None:
            raise Deposed(FOLLOWER)
        if attempt is not None:
            number = await _log(connection, attempt, ids)
            retried = attempt.position is not None and not attempt.delivered
            cursor = msgspec.structs.replace(cursor, delivery=number if retried else cursor.delivery)
        await connection.execute(_MOVE, {**ids, **msgspec.structs.asdict(cursor), "next_in": next_in})
    return cursor


async def _log(connection: AsyncConnection, attempt: Attempt, ids: Mapping[str, Any]) -> int:
    arguments = {**ids, **msgspec.structs.asdict(attempt)}
    row = None
    if attempt.delivery is not None:
        row = await (await connection.execute(_UPDATE, arguments)).fetchone()
    if row is None:  # the first attempt, or its row was pruned since
        row = await (await connection.execute(_INSERT, arguments)).fetchone()
    assert row is not None
    return int(row[0])


async def prune(connection: AsyncConnection, kept: timedelta = KEPT, most: int = KEPT_DELIVERIES) -> None:
    """Forgets old deliveries, those of an endpoint beyond its last `most`, and cursors of endpoints long gone."""
    before = datetime.now(UTC) - kept
    await connection.execute("delete from webhook_delivery where last_attempt_at < %s", (before,))
    await connection.execute(
        "delete from webhook_delivery d using (select webhook from webhook_cursor) c where d.webhook = c.webhook"
        " and d.number <= (select e.number from webhook_delivery e where e.webhook = c.webhook"
        " order by e.number desc offset %s limit 1)",
        (most,),
    )
    await connection.execute(
        "delete from webhook_cursor c where c.updated_at < %s"
        " and not exists (select from webhook w where w.id = c.webhook)",
        (before,),
    )
