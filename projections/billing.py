"""Billing: the work that counts under contracts, and what it comes to, as of any position and day.

The rows are kept as they come; what they cost is a function of all of them (`domain/billing`), worked out when somebody
asks, from the last day on that was settled (`projections/accounts`) and that nothing has changed since.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import holidays
import msgspec

from application.event_store.envelope import Envelope
from domain.billing import BillableWork, Carried, Ledger, ledger, month_end
from domain.contracts import FIRST_DAY, LAST_DAY, Contract, PeriodClosed, reached_by
from domain.hour_packages import Package, usage
from domain.statements import Exhausted, exhausted, statement
from domain.terms import WorkingCalendar
from domain.work import ENTRY_LIMIT, WorkEntry
from projections import accounts
from projections.contracts import as_contract, contracts_by_ids
from projections.projection import Change, Projection
from projections.reading import NOW, BadInput, Moment, View
from projections.rows import BalanceRow, ContractRow, DrawnStatement
from projections.versions import Versions
from projections.writing import Writes, columns

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
create table billed_month (
  workspace  uuid not null,
  contract   uuid not null,
  month      date not null,    -- its first day: the earliest that the work can touch in any time zone
  position   bigint not null,  -- at which work of the month moved last
  changes    bigint not null,  -- how often it moved
  primary key (contract, month)
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
create index billed_month_position on billed_month (position);
"""

_MOVED = """
insert into billed_month (workspace, contract, month, position, changes)
select * from unnest(%s::uuid[], %s::uuid[], %s::date[], %s::bigint[], %s::bigint[])
on conflict (contract, month) do update
   set position = greatest(billed_month.position, excluded.position), changes = billed_month.changes + excluded.changes
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    versions = Versions("billed_work")
    moved: dict[tuple[int, int, int], _Moved] = {}
    periods: list[dict[str, Any]] = []
    for change in changes:
        after, before, event = change.after, change.before, change.envelope.event
        if isinstance(event, PeriodClosed):
            periods.append(_period(change, event))
        if not isinstance(after, WorkEntry):
            continue
        for entry in (before, after):
            if isinstance(entry, WorkEntry) and entry.contract is not None:
                _move(moved, change.envelope, entry.contract, entry.started_at)
        versions.close(change, stood=isinstance(before, WorkEntry) and before.contract is not None)
        if after.contract is not None and not after.reversed:
            versions.open(change, _row(after))
    versions.write(write)
    write.insert("closed_period", periods)
    if moved:
        rows = [(one.workspace, one.contract, one.month, one.position, one.changes) for one in moved.values()]
        write.execute(_MOVED, columns(rows))


class _Moved(msgspec.Struct):
    """A row of `billed_month`."""

    workspace: UUID
    contract: UUID
    month: date
    position: int = 0
    changes: int = 0


def _move(moved: dict[tuple[int, int, int], _Moved], envelope: Envelope, contract: UUID, started: datetime) -> None:
    earliest = started - _WESTERNMOST if started.day == 1 else started  # of the same month on any other day
    key = (contract.int, earliest.year, earliest.month)
    month = moved.get(key)
    if month is None:
        month = moved[key] = _Moved(envelope.workspace, contract, date(earliest.year, earliest.month, 1))
    month.position = max(month.position, envelope.position)
    month.changes += 1


_WESTERNMOST = timedelta(hours=12)
"""How far behind UTC a local day can be."""


def _period(change: Change, event: PeriodClosed) -> dict[str, Any]:
    envelope = change.envelope
    return {
        "workspace": envelope.workspace,
        "contract": envelope.originator_id,
        "position": envelope.position,
        **msgspec.structs.asdict(event),
    }


def _row(entry: WorkEntry) -> dict[str, Any]:
    return {
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
    tables=("billed_work", "billed_month", "closed_period"),
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
    """A contract with what it comes to, from the day on after which it was settled. `comments`: of its work."""

    contract: Contract
    ledger: Ledger
    comments: dict[UUID, str | None]


CACHED_ACCOUNTS = 50
LONG = 200
"""Entries that are rated beside the event loop: so many take about 5 ms."""


class Kept:
    """Accounts that were asked for last, by all that they depend on. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: OrderedDict[tuple[Any, ...], Account] = OrderedDict()
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._accounts)

    def find(self, key: tuple[Any, ...]) -> tuple[Account | None, int]:
        """And how often all was forgotten by now."""
        with self._lock:
            if (found := self._accounts.get(key)) is not None:
                self._accounts.move_to_end(key)
            return found, self._forgotten

    def keep(self, key: tuple[Any, ...], account: Account, forgotten: int) -> None:
        """Unless all was forgotten since it was looked for: it may have texts of who was erased meanwhile."""
        with self._lock:
            if forgotten == self._forgotten:
                self._accounts[key] = account
                if len(self._accounts) > CACHED_ACCOUNTS:
                    self._accounts.popitem(last=False)

    def forget(self) -> None:
        """Somebody was erased, whose texts the comments may be."""
        with self._lock:
            self._accounts.clear()
            self._forgotten += 1


kept = Kept()


async def account(view: View, row: ContractRow, until: date, moment: Moment, after: Carried | None) -> Account:
    """As `worked_out`, or as it was when it was asked for before."""
    assert moment.position is not None, "work must not move while it is read"
    last, changes = await accounts.moved(view, row.id)
    key = (row.id, row.version, min(last, moment.position), changes, moment.occurred_at, until, after and after.day)
    found, forgotten = kept.find(key)
    if found is None:
        found = await worked_out(view, row, until, moment, after)
        kept.keep(key, found, forgotten)
    return found


async def worked_out(view: View, row: ContractRow, until: date, moment: Moment, after: Carried | None) -> Account:
    """As known at the moment's position, which is named, of work that began by its time. `after`: what it goes on from;
    None: from the beginning. Whether the viewer may see the contract is asked before."""
    agreed = as_contract(row)
    work, comments = await work_of(view, row.id, after, month_end(until), moment)
    return Account(contract=agreed, ledger=await rated(agreed, work, until, after), comments=comments)


async def rated(contract: Contract, work: Sequence[BillableWork], until: date, after: Carried | None) -> Ledger:
    if len(work) < LONG:
        return ledger(contract, work, until, is_holiday, after)
    return await asyncio.to_thread(ledger, contract, work, until, is_holiday, after)


async def known(view: View) -> int:
    """The position up to which all that statements are made of is known."""
    rows = await view.fetch("select min(position) from tracking where name in ('billing', 'contracts')")
    return int(rows[0][0])


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


_WORK = """
select w.id, w.ticket, w.person, w.started_at, w.ended_at, w.seconds, w.role, w.service, w.billable, w.comment
  from billed_work w
 where w.workspace = %(workspace)s and w.contract = %(contract)s
   and w.position <= %(position)s and (w.closed_position is null or w.closed_position > %(position)s)
   and (%(at)s::timestamptz is null or w.started_at <= %(at)s)
   and w.started_at > %(since)s and w.ended_at >= %(ends)s and w.started_at < %(until)s
"""


async def work_of(
    view: View, contract: UUID, after: Carried | None, until: date, moment: Moment
) -> tuple[list[BillableWork], dict[UUID, str | None]]:
    """All that touches the days after what is carried and up to another, in whatever time zone; and its comments."""
    begins = _midnight(date(1900, 1, 1) if after is None else after.day)  # imports know of nothing before
    rows = await view.fetch(
        _WORK,
        {
            "contract": contract,
            "position": moment.position,
            "at": moment.occurred_at,
            "since": begins - ENTRY_LIMIT,
            "ends": begins,
            "until": _midnight(until) + timedelta(days=2),
        },
        binary=True,
    )
    work = [
        BillableWork(entry, ticket, person, started.astimezone(UTC), ended.astimezone(UTC), *rest)
        for entry, ticket, person, started, ended, *rest, _ in rows
    ]
    return work, {row[0]: row[-1] for row in rows}


async def counted_under(view: View, contract: UUID, entries: Sequence[UUID]) -> bool:
    """Whether one of these entries of work counts under the contract, or has once."""
    rows = await view.fetch(
        "select exists (select from billed_work w"
        " where w.workspace = %(workspace)s and w.contract = %(contract)s and w.id = any(%(entries)s))",
        {"contract": contract, "entries": list(entries)},
    )
    return bool(rows[0][0])


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def today(contract: Contract, at: datetime | None = None) -> date:
    """The local day of an instant, or of now."""
    return contract.day_of(at or datetime.now(UTC))


def must_be_days(since: date, until: date) -> None:
    """That can be told of, in order. Raises BadInput."""
    if since > until:
        raise BadInput("The first day is after the last.")
    if not FIRST_DAY <= since <= until <= LAST_DAY:
        raise BadInput(f"There is something to tell of days from {FIRST_DAY} to {LAST_DAY}.")


async def drawn(
    view: View, contract: UUID, since: date | None, until: date, moment: Moment = NOW
) -> DrawnStatement | None:
    """The statement of these days: as it was closed, where they are just those of one that was, else as it stands.
    Without `since`: of the days that no statement before tells of; of none where the contract begins after `until`.
    None where there is no such contract that the viewer may see. Raises BadInput."""
    must_be_days(since or until, until)
    moment, position = await fixed(view, moment)
    row = shown = (await contracts_by_ids(view, [contract], moment)).get(contract)
    if row is None or shown is None:
        return None
    periods = await closed_periods(view, contract, moment)
    before = [one for one in periods if one.until < until]
    first = since or (before[-1].next_day if before else row.versions[0].applies_from)
    closed = next((one for one in periods if (one.since, one.until) == (first, until)), None)
    if closed is not None:
        moment = Moment(position=closed.known)
        row = (await contracts_by_ids(view, [contract], moment))[contract]
    stated = before[-1] if before and before[-1].next_day == first else None
    now, then = await _both(view, row, first, until, moment, stated)
    return DrawnStatement(
        contract=shown,
        number=None if closed is None else closed.number,
        position=position if closed is None else closed.known,
        statement=statement(now.contract, now.ledger, None if then is None else then.ledger, first, until),
        comments=now.comments,
    )


async def requested(
    view: View, contract: UUID, since: date | None, until: date, moment: Moment = NOW
) -> DrawnStatement | None:
    """As `drawn`, to be shown: days before the contract begins are refused, too. Raises BadInput."""
    found = await drawn(view, contract, since, until, moment)
    if found is not None and found.statement.since > found.statement.until:
        raise BadInput(f"The contract begins on {found.statement.since}; until is a day from then on.")
    return found


async def fixed(view: View, moment: Moment) -> tuple[Moment, int]:
    """With a position that is named, before all else is read, so that what is read is of one piece."""
    position = await known(view) if moment.position is None else moment.position
    return msgspec.structs.replace(moment, position=position), position


async def _both(
    view: View, row: ContractRow, since: date, until: date, moment: Moment, stated: PeriodClosed | None
) -> tuple[Account, Account | None]:
    """What it comes to, and what was stated of the days before: from the last day on that is the same in both."""
    last = since - timedelta(days=1)
    if stated is None:
        after = await accounts.settled(view, [row], last, moment)
        return await account(view, row, until, moment, after), None
    earlier = Moment(position=stated.known)
    row_then = (await contracts_by_ids(view, [row.id], earlier))[row.id]
    _, position = await fixed(view, moment)
    both = msgspec.structs.replace(moment, position=min(position, stated.known))
    after = await accounts.settled(view, [row, row_then], last, both)
    now = await account(view, row, until, moment, after)
    return now, await account(view, row_then, stated.until, earlier, after)


async def balance(view: View, contract: UUID, moment: Moment = NOW) -> BalanceRow | None:
    """At the end of the moment's local day, of work that began by the moment. None where there is no such contract that
    the viewer may see."""
    row, newest = await accounts.with_newest(view, contract, moment)
    if row is None:
        return None
    day = today(as_contract(row), None if moment.live else await view.instant(moment))
    if newest is not None and newest.day <= day:
        stand = _after_all_work(row, newest, day)
    else:
        stand = await standing(view, row, day, moment)
    return BalanceRow(
        contract=row,
        day=day,
        packages=stand.packages,
        overage=stand.overage,
        alerts=_alerts(as_contract(row), stand.packages, day),
    )


async def standing(view: View, row: ContractRow, day: date, moment: Moment = NOW) -> Carried:
    """What a contract hands on when a day ends. Whether the viewer may see it is asked before."""
    # work of the moment's day may have begun after the moment
    last = day if moment.occurred_at is None else day - timedelta(days=1)
    found = await accounts.latest(view, [row], last, moment)
    if found is not None:
        settled, no_more_work = found
        if no_more_work or settled.day == day:
            return _after_all_work(row, settled, day)
    if moment.position is None:  # work must not move between what is settled and what comes after
        moment, _ = await fixed(view, moment)
        row = (await contracts_by_ids(view, [row.id], moment)).get(row.id, row)
        found = await accounts.latest(view, [row], last, moment)
    after = None if found is None else found[0]
    return (await account(view, row, day, moment, after)).ledger.carried


def _after_all_work(row: ContractRow, after: Carried, day: date) -> Carried:
    """`after`: up to this day, which no work comes between."""
    return after if after.day == day else ledger(as_contract(row), (), day, is_holiday, after).carried


def _alerts(contract: Contract, packages: Sequence[Package], day: date) -> list[int]:
    """Thresholds of the terms that the use of the packages which can be drawn from has reached."""
    version, used = contract.version_on(day), usage(packages, day)
    return [] if version is None else reached_by(version.terms, used.granted, used.drawn)


async def exhausted_for(view: View, ticket: UUID) -> Exhausted | None:
    """The contract that work on this ticket would count under now, if it takes no more."""
    rows = await view.fetch(_BOUND, {"ticket": ticket})
    row = (await contracts_by_ids(view, [rows[0][0]])).get(rows[0][0]) if rows else None
    if row is None:
        return None
    agreed = as_contract(row)
    return exhausted(agreed, await standing(view, row, today(agreed)))


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
