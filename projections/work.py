"""Work: entries as they stand and as they stood, and the timers that run.

One row per stretch of an entry's own history: a correction closes a row and opens the next.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import sql

from domain.work import ENTRY_LIMIT, Timer, WorkEntry, WorkFlag, WorkOrigin, timer_stream
from projections import conditions, merging, moments, spans
from projections.filters import IdFilter, PageAsk, TimeFilter, WorkFilter
from projections.moments import HAPPENED, HELD
from projections.projection import Change, Projection
from projections.reading import NOW, Listing, Moment, Page, View, count, counts_of, page, pages_of
from projections.rows import TimerRow, WorkEntryRow
from projections.versions import Versions
from projections.writing import Writes

DDL = """
create table work (
  workspace        uuid not null,
  id               uuid not null,
  version          integer not null,
  position         bigint not null,
  closed_position  bigint,          -- null: as it stands now
  ticket           uuid not null,
  person           uuid not null,
  started_at       timestamptz not null,
  ended_at         timestamptz not null,
  interruption     integer not null, -- seconds
  seconds          integer not null, -- net
  comment          text,
  billable         boolean not null,
  origin           text not null,
  flags            text[] not null,
  role             text not null,
  service          uuid,
  logged_at        timestamptz not null,
  logged_by        uuid not null,
  primary key (id, version)
);
create table timer (
  workspace   uuid not null,
  id          uuid primary key,
  person      uuid not null,
  ticket      uuid not null,
  started_at  timestamptz not null,
  comment     text
);
"""

INDEXES = """
create index work_of_ticket on work (workspace, ticket, started_at, id);
create index work_of_person on work (workspace, person, started_at);
create index work_started on work (workspace, started_at, id);
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    timers: dict[UUID, Change] = {}
    versions = Versions("work")
    for change in changes:
        id_, after = change.envelope.originator_id, change.after
        if isinstance(after, Timer):
            timers[id_] = change
        if not isinstance(after, WorkEntry):
            continue
        versions.close(change, stood=change.before is not None)
        if not after.reversed:
            versions.open(change, _row(change, after))
    versions.write(write)
    if timers:
        write.execute("delete from timer where id = any(%s)", [list(timers)])
    write.insert("timer", [row for change in timers.values() for row in _running(change)])


def _row(change: Change, entry: WorkEntry) -> dict[str, Any]:
    envelope = change.envelope
    return {
        "ticket": entry.ticket,
        "person": entry.person,
        "started_at": entry.started_at,
        "ended_at": entry.ended_at,
        "interruption": entry.interruption,
        "seconds": entry.seconds,
        "comment": entry.comment,
        "billable": entry.billable,
        "origin": entry.origin,
        "flags": list(entry.flags),
        "role": entry.role,
        "service": entry.service,
        "logged_at": envelope.occurred_at,
        "logged_by": envelope.cause.actor,
    }


def _running(change: Change) -> list[dict[str, Any]]:
    timer, envelope = change.after, change.envelope
    assert isinstance(timer, Timer)
    if timer.started_at is None:
        return []
    return [
        {
            "workspace": envelope.workspace,
            "id": envelope.originator_id,
            "person": timer.person,
            "ticket": timer.ticket,
            "started_at": timer.started_at,
            "comment": timer.comment,
        }
    ]


PROJECTION = Projection(
    name="work",
    tables=("work", "timer"),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"work": ("comment",), "timer": ("comment",)},
)


# ---- queries

_COLUMNS = (
    *("id", "version", "ticket", "person", "started_at", "ended_at", "interruption", "seconds", "comment"),
    *("billable", "origin", "flags", "role", "service", "logged_at", "logged_by"),
)
_SELECTED = sql.SQL(", ").join(sql.Identifier("w", column) for column in _COLUMNS)

_NOW = sql.SQL("w.closed_position is null")
_THEN = sql.SQL(f"{HELD.format('w')} and {HAPPENED.format('w.started_at')}")


async def of_tickets(
    view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment
) -> dict[UUID, Page[WorkEntryRow]]:
    """Of each of these tickets, by start; a requester gets those of their own tickets. Raises BadInput."""
    return await pages_of(view, tickets, _of_ticket(view, moment), ask)


async def counts_of_tickets(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _of_ticket(view, moment))


async def worked_seconds(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    """The net time of each of these tickets that has work."""
    rows = await view.fetch(
        sql.SQL(
            "with recursive family (ticket, id) as ("
            " select t, t from unnest(%(tickets)s::uuid[]) t union"
            " select f.ticket, l.other from family f join link l on l.workspace = %(workspace)s and l.ticket = f.id"
            "  and l.kind = 'MERGED_FROM' and {})"
            " select f.ticket, sum(w.seconds)::bigint from family f join work w on w.ticket = f.id and {}"
            " group by f.ticket"
        ).format(spans.at(moment, "l")[0], _readable(view, moment)),
        {**moments.arguments(moment), "tickets": list(tickets)},
    )
    return dict(rows)


async def entries(view: View, wanted: WorkFilter, ask: PageAsk, moment: Moment) -> Page[WorkEntryRow]:
    """By start. Raises BadInput."""
    return await page(view, _wanted(view, wanted, moment), ask)


async def entry_count(view: View, wanted: WorkFilter, moment: Moment) -> int:
    return await count(view, _wanted(view, wanted, moment))


async def by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, WorkEntryRow]:
    rows = await view.fetch(
        sql.SQL("select {} from work w where {} and w.id = any(%(ids)s)").format(_SELECTED, _readable(view, NOW)),
        {**moments.arguments(NOW), "ids": list(ids)},
    )
    return {row[0]: _entry(row, NOW) for row in rows}


async def overlapping(view: View, ids: Sequence[UUID]) -> dict[UUID, bool]:
    """Which of these share time with another entry of the same person, as they stand now."""
    rows = await view.fetch(
        "select w.id from work w"
        " where w.workspace = %(workspace)s and w.id = any(%(ids)s) and w.closed_position is null"
        " and exists (select from work o where o.workspace = w.workspace and o.person = w.person and o.id <> w.id"
        "   and o.closed_position is null and o.started_at < w.ended_at and o.ended_at > w.started_at"
        "   and o.started_at > w.started_at - %(longest)s)",
        {"ids": list(ids), "longest": ENTRY_LIMIT},
    )
    return dict.fromkeys((row[0] for row in rows), True)


async def timer(view: View, person: UUID) -> TimerRow | None:
    """The one that runs for this person."""
    return await timer_by_id(view, timer_stream(view.actor.workspace, person))


async def timer_by_id(view: View, id_: UUID) -> TimerRow | None:
    rows = await view.fetch(
        "select person, ticket, started_at, comment from timer where workspace = %(workspace)s and id = %(id)s",
        {"id": id_},
    )
    return TimerRow(person=rows[0][0], ticket=rows[0][1], started_at=rows[0][2], comment=rows[0][3]) if rows else None


def _of_ticket(view: View, moment: Moment) -> Listing[WorkEntryRow]:
    condition = sql.SQL("{} and w.ticket in {}").format(_readable(view, moment), merging.family("parent.id", moment))
    return _listing(condition, moments.arguments(moment), moment)


def _wanted(view: View, wanted: WorkFilter, moment: Moment) -> Listing[WorkEntryRow]:
    asked = conditions.Conditions()
    parts: list[sql.Composable] = [_readable(view, moment)]
    for column, value in (("ticket", wanted.ticket), ("person", wanted.person), ("service", wanted.service)):
        if isinstance(value, IdFilter):
            parts.append(conditions.values(asked, sql.Identifier("w", column), value))
    if isinstance(wanted.started_at, TimeFilter):
        parts.append(conditions.times(asked, sql.SQL("w.started_at"), wanted.started_at))
    if isinstance(wanted.billable, bool):
        parts.append(asked.compare(sql.SQL("w.billable"), "=", wanted.billable))
    if isinstance(wanted.flag, WorkFlag):
        parts.append(sql.SQL("{} = any(w.flags)").format(asked.argument(wanted.flag.value)))
    return _listing(sql.SQL(" and ").join(parts), {**moments.arguments(moment), **asked.arguments}, moment)


def _listing(condition: sql.Composable, arguments: dict[str, Any], moment: Moment) -> Listing[WorkEntryRow]:
    return Listing(
        columns=_SELECTED,
        source=sql.SQL("from work w where {}").format(condition),
        keys=(("w.started_at", "timestamptz"), ("w.id", "uuid")),
        row=partial(_entry, moment=moment),
        arguments=arguments,
    )


def _readable(view: View, moment: Moment) -> sql.Composed:
    return sql.SQL("w.workspace = %(workspace)s and {} and {}").format(spans.of_own(view, "w.ticket"), there(moment))


def there(moment: Moment) -> sql.SQL:
    """That an entry `w` was there at the moment, with the arguments of `moments`."""
    return _NOW if moment.live else _THEN


def _entry(values: Sequence[Any], moment: Moment) -> WorkEntryRow:
    row: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
    row["origin"] = WorkOrigin(row["origin"])
    row["flags"] = [WorkFlag(flag) for flag in row["flags"]]
    return WorkEntryRow(**row, moment=moment)
