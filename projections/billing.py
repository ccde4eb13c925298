"""Billing: the work that counts under contracts, and what it comes to, as of any position and day.

The rows are kept as they come; what they cost is a function of all of them (`domain/billing`), worked out when somebody
asks, and remembered until something of the contract moves.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import holidays
import msgspec
from psycopg import sql

from domain.billing import BillableWork, Ledger, Package, Treatment, ledger
from domain.contracts import Contract, PeriodClosed
from domain.statements import Exhausted, exhausted, statement
from domain.terms import WorkingCalendar
from domain.work import WorkEntry
from projections.contracts import contracts_by_ids
from projections.projection import Change, Projection
from projections.reading import NOW, Moment, View
from projections.rows import BalanceRow, ContractRow, DrawnStatement
from projections.writing import Writes

DDL = """
create table billed_work (
  workspace        uuid not null,
  id               uuid not null,
  version          integer not null,
  position         bigint not null,
  closed_position  bigint,          -- null: as it stands now
  contract         uuid not null,
  ticket           uuid not null,
  person           uuid not null,
  started_at       timestamptz not null,
  ended_at         timestamptz not null,
  seconds          integer not null,
  role             text not null,
  service          uuid,
  billable         boolean not null,
  comment          text,
  primary key (id, version)
);
create table billed_contract (
  workspace  uuid not null,
  contract   uuid primary key,
  position   bigint not null  -- at which its work moved last
);
create table closed_period (
  workspace  uuid not null,
  contract   uuid not null,
  number     bigint not null,
  position   bigint not null,
  since      date not null,
  until      date not null,
  known      bigint not null,
  billed     bigint not null,
  amount     text not null,
  tax        text not null,
  primary key (contract, number)
);
"""

INDEXES = """
create index billed_work_contract on billed_work (workspace, contract, started_at);
"""

_CLOSE = """
update billed_work set closed_position = c.position
  from unnest(%s::uuid[], %s::bigint[]) as c(id, position)
 where billed_work.id = c.id and billed_work.closed_position is null
"""
_MOVED = """
insert into billed_contract (workspace, contract, position)
select * from unnest(%s::uuid[], %s::uuid[], %s::bigint[])
on conflict (contract) do update set position = greatest(billed_contract.position, excluded.position)
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    opened: dict[UUID, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    closed: dict[UUID, int] = {}
    moved: dict[UUID, tuple[UUID, int]] = {}
    periods: list[dict[str, Any]] = []
    for change in changes:
        after, before, event = change.after, change.before, change.envelope.event
        if isinstance(event, PeriodClosed):
            periods.append(_period(change, event))
        if not isinstance(after, WorkEntry):
            continue
        id_, position = change.envelope.originator_id, change.envelope.position
        was = before.contract if isinstance(before, WorkEntry) else None
        if (row := opened.pop(id_, None)) is not None:
            row["closed_position"] = position
        elif was is not None:
            closed[id_] = position
        if after.contract is not None and not after.reversed:
            opened[id_] = _row(change, after)
            rows.append(opened[id_])
        moved |= {one: (change.envelope.workspace, position) for one in (was, after.contract) if one is not None}
    if closed:
        write.execute(_CLOSE, [list(closed), list(closed.values())])
    write.insert("billed_work", rows)
    write.insert("closed_period", periods)
    if moved:
        workspaces, positions = zip(*moved.values(), strict=True)
        write.execute(_MOVED, [list(workspaces), list(moved), list(positions)])


def _period(change: Change, event: PeriodClosed) -> dict[str, Any]:
    envelope = change.envelope
    return {
        "workspace": envelope.workspace,
        "contract": envelope.originator_id,
        "position": envelope.position,
        **msgspec.structs.asdict(event),
    }


def _row(change: Change, entry: WorkEntry) -> dict[str, Any]:
    envelope = change.envelope
    return {
        "workspace": envelope.workspace,
        "id": envelope.originator_id,
        "version": envelope.originator_version,
        "position": envelope.position,
        "closed_position": None,
        "contract": entry.contract,
        "ticket": entry.ticket,
        "person": entry.person,
        "started_at": entry.started_at,
        "ended_at": entry.ended_at,
        "seconds": entry.seconds,
        "role": entry.role,
        "service": entry.service,
        "billable": entry.billable,
        "comment": entry.comment,
    }


PROJECTION = Projection(
    name="billing",
    tables=("billed_work", "billed_contract", "closed_period"),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"billed_work": ("comment",)},
)


# ---- public holidays


def is_holiday(calendar: WorkingCalendar, day: date) -> bool:
    """Of the calendar's country, by its law as the library knows it."""
    return calendar.country is not None and day in _of_country(calendar.country, calendar.subdivision)


@lru_cache(100)
def _of_country(country: str, subdivision: str | None) -> holidays.HolidayBase:
    return holidays.country_holidays(country, subdiv=subdivision)


# ---- what it comes to


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A contract with its work and what it comes to, up to a day."""

    row: ContractRow
    contract: Contract
    ledger: Ledger
    comments: dict[UUID, str | None]


CACHED_ACCOUNTS = 500
_accounts: OrderedDict[tuple[Any, ...], Account] = OrderedDict()


async def account(view: View, contract: UUID, until: date, moment: Moment = NOW) -> Account | None:
    """As known at the moment's position, of work that began by its time; None where there is no such contract that the
    viewer may see."""
    row = (await contracts_by_ids(view, [contract], moment)).get(contract)
    if row is None:
        return None
    moved = await view.fetch(
        "select position from billed_contract where workspace = %(workspace)s and contract = %(contract)s",
        {"contract": contract},
    )
    key = (contract, row.version, moved[0][0] if moved else 0, moment.position, moment.occurred_at, until)
    found = _accounts.get(key)
    if found is None:
        closed = await closed_periods(view, contract, moment)
        agreed = as_contract(row, closed)
        work, comments = await _work(view, contract, moment)
        found = Account(
            row=row,
            contract=agreed,
            ledger=ledger(agreed, work, until, is_holiday),
            comments=comments,
        )
        _accounts[key] = found
        if len(_accounts) > CACHED_ACCOUNTS:
            _accounts.popitem(last=False)
    _accounts.move_to_end(key)
    return found


async def known(view: View) -> int:
    """The position up to which all that statements are made of is known."""
    rows = await view.fetch("select min(position) from tracking where name in ('billing', 'contracts')")
    return int(rows[0][0])


def as_contract(row: ContractRow, closed: Sequence[PeriodClosed] = ()) -> Contract:
    return Contract(
        client=row.client,
        name=row.name,
        versions=tuple(row.versions),
        grants=tuple(row.grants),
        last_day=row.last_day,
        closed=tuple(closed),
    )


async def closed_periods(view: View, contract: UUID, moment: Moment = NOW) -> list[PeriodClosed]:
    """In order. Whether the viewer may see the contract is asked before."""
    rows = await view.fetch(
        "select number, since, until, known, billed, amount, tax from closed_period"
        " where workspace = %(workspace)s and contract = %(contract)s"
        " and (%(position)s::bigint is null or position <= %(position)s) order by number",
        {"contract": contract, "position": moment.position},
    )
    return [
        PeriodClosed(
            number=row[0],
            since=row[1],
            until=row[2],
            known=row[3],
            billed=row[4],
            amount=Decimal(row[5]),
            tax=Decimal(row[6]),
        )
        for row in rows
    ]


_WORK = sql.SQL(
    "select w.id, w.ticket, w.person, w.started_at, w.ended_at, w.seconds, w.role, w.service, w.billable, w.comment"
    " from billed_work w where w.workspace = %(workspace)s and w.contract = %(contract)s"
    " and (%(position)s::bigint is null and w.closed_position is null or w.position <= %(position)s"
    "      and (w.closed_position is null or w.closed_position > %(position)s))"
    " and (%(at)s::timestamptz is null or w.started_at <= %(at)s)"
)


async def _work(view: View, contract: UUID, moment: Moment) -> tuple[list[BillableWork], dict[UUID, str | None]]:
    rows = await view.fetch(_WORK, {"contract": contract, "position": moment.position, "at": moment.occurred_at})
    work = [
        BillableWork(
            entry=row[0],
            ticket=row[1],
            person=row[2],
            started_at=row[3].astimezone(UTC),
            ended_at=row[4].astimezone(UTC),
            seconds=row[5],
            role=row[6],
            service=row[7],
            billable=row[8],
        )
        for row in rows
    ]
    return work, {row[0]: row[9] for row in rows}


def today(contract: Contract, at: datetime | None = None) -> date:
    """The local day of an instant, or of now, by the contract's newest calendar."""
    return (at or datetime.now(UTC)).astimezone(ZoneInfo(contract.versions[-1].terms.calendar.time_zone)).date()


async def drawn(
    view: View, contract: UUID, since: date | None, until: date, moment: Moment = NOW
) -> DrawnStatement | None:
    """The statement of these days: as it was closed, where they are just those of one that was, else as it stands.
    Without `since`: of the days that no statement before tells of. None where there is no such contract that the viewer
    may see."""
    row = (await contracts_by_ids(view, [contract], moment)).get(contract)
    if row is None:
        return None
    position = moment.position or await known(view)  # before all else is read, so that all of it is there
    periods = await closed_periods(view, contract, moment)
    before = [one for one in periods if one.until < until]
    first = since or (before[-1].next_day if before else row.versions[0].applies_from)
    closed = next((one for one in periods if (one.since, one.until) == (first, until)), None)
    now = await account(view, contract, until, moment if closed is None else Moment(position=closed.known))
    assert now is not None, "the contract was there a moment ago"
    stated = None
    if before and before[-1].next_day == first:
        stated = await account(view, contract, before[-1].until, Moment(position=before[-1].known))
    return DrawnStatement(
        contract=row,
        number=None if closed is None else closed.number,
        position=position if closed is None else closed.known,
        statement=statement(now.contract, now.ledger, None if stated is None else stated.ledger, first, until),
        comments=now.comments,
    )


async def balance(view: View, contract: UUID, moment: Moment = NOW) -> BalanceRow | None:
    """At the end of the moment's local day, of work that began by the moment. None where there is no such contract that
    the viewer may see."""
    row = (await contracts_by_ids(view, [contract], moment)).get(contract)
    if row is None:
        return None
    day = today(as_contract(row), None if moment.live else await view.instant(moment))
    found = await account(view, contract, day, moment)
    assert found is not None, "the contract was there a moment ago"
    packages = found.ledger.packages
    return BalanceRow(
        contract=found.row,
        day=day,
        packages=packages,
        overage=sum(one.counted for one in found.ledger.charges if one.treatment is Treatment.OVERAGE),
        alerts=_alerts(found.contract, packages, day),
    )


def _alerts(contract: Contract, packages: Sequence[Package], day: date) -> list[int]:
    """Thresholds of the terms that the use of the packages which can be drawn from has reached."""
    version = contract.version_on(day)
    current = [one for one in packages if one.expires_on is None or one.expires_on >= day]
    granted, drawn = sum(one.granted for one in current), sum(one.drawn for one in current)
    if version is None or not granted:
        return []
    return [alert for alert in version.terms.alerts if drawn * 100 >= granted * alert]


async def exhausted_for(view: View, ticket: UUID) -> Exhausted | None:
    """The contract that work on this ticket would count under now, if it takes no more."""
    rows = await view.fetch(_BOUND, {"ticket": ticket})
    if not rows:
        return None
    row = (await contracts_by_ids(view, [rows[0][0]])).get(rows[0][0])
    if row is None:
        return None
    day = today(as_contract(row))
    found = await account(view, row.id, day)
    return None if found is None else exhausted(found.contract, found.ledger, day)


_BOUND = """
with recursive above (ticket, parent, depth) as (
  select s.ticket, s.parent, 0 from span s
   where s.workspace = %(workspace)s and s.ticket = %(ticket)s and s.closed_position is null
  union all
  select s.ticket, s.parent, a.depth + 1 from above a
    join span s on s.workspace = %(workspace)s and s.ticket = a.parent and s.closed_position is null
   where a.depth < 100
)
select b.contract from above a join ticket_contract b on b.workspace = %(workspace)s and b.ticket = a.ticket
 where b.contract is not null order by a.depth limit 1
"""
