"""Settling: what contracts hand on when days end (`projections/accounts`), worked out ahead once their work moved."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from application.event_store.database import Connection
from domain.billing import Carried, Sum, month_end, sums
from projections import accounts
from projections.accounts import digest
from projections.billing import known, today, worked_out
from projections.contracts import as_contract, contracts_by_ids
from projections.reading import Moment, View
from projections.rows import ContractRow

BATCH = 200


def enlist(connection: Connection) -> None:
    """Whoever settles for the first time can lead from then on."""
    connection.execute("insert into tracking (name) values (%s) on conflict do nothing", (accounts.FOLLOWER,))


def stand(connection: Connection) -> int:
    """The position up to which all is known that is settled from."""
    rows = connection.execute(
        "select min(position) from tracking where name = any(%s)", (list(accounts.READ_MODELS),)
    ).fetchall()
    return int(rows[0][0])


class Unsettled(msgspec.Struct, frozen=True):
    """A contract whose work or terms have moved since it was settled."""

    workspace: UUID
    contract: UUID


class SettledDay(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `settled_day`."""

    workspace: UUID
    contract: UUID
    day: date
    newest: bool
    version: int = 0
    changes: int
    terms: str
    carried: Carried


class SettledSum(Sum, frozen=True, kw_only=True):
    """A row of `settled_sum`."""

    workspace: UUID
    contract: UUID
    day: date


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written: `days` take the place of all after `kept`. `row`: the contract that was settled."""

    row: ContractRow
    kept: date
    days: list[SettledDay]
    sums: list[SettledSum]

    @property
    def stand(self) -> Carried:
        return self.days[-1].carried


def unsettled(connection: Connection, after: int, until: int, but: Sequence[UUID] = ()) -> list[Unsettled]:
    """Some of all workspaces' contracts that have work, and that moved after a position of the log; without these, and
    without those that have work from after `until`, where the read models stand together."""
    arguments = (after, after, until, list(but), accounts.STAMP, BATCH)
    return [Unsettled(*row) for row in connection.execute(_UNSETTLED, arguments).fetchall()]


_UNSETTLED = """
select x.workspace, x.contract
  from (select workspace, contract from billed_month where position > %s
        union select workspace, id from contract where position > %s) x
  join contract k on k.id = x.contract and k.closed_position is null
  cross join lateral (
    select sum(m.changes) as changes, max(m.position) as position from billed_month m where m.contract = x.contract) m
  left join settled_day s on s.contract = x.contract and s.newest
 where m.position <= %s
   and x.contract <> all(%s)
   and (s.changes is distinct from m.changes or s.version is distinct from k.version
        or not starts_with(s.terms, %s))
 limit %s
"""


async def settle(view: View, contract: UUID) -> Settled | None:
    """Month by month, from the first on that does not hold. None where there is no such contract yet, or work of it is
    ahead of what is known of contracts."""
    # How often work has moved is asked first: a row that is stamped with less than it was made of does not hold.
    months = await view.fetch(
        "select month, changes, position from billed_month"
        " where workspace = %(workspace)s and contract = %(contract)s order by month",
        {"contract": contract},
    )
    moment = Moment(position=await known(view))
    if any(position > moment.position for _, _, position in months):
        return None  # it would be stamped with work that it is not made of
    row = (await contracts_by_ids(view, [contract], moment)).get(contract)
    if row is None:
        return None
    now = today(as_contract(row))
    carried = await accounts.settled(view, [row], now.replace(day=1) - timedelta(days=1), moment)
    while carried is not None and carried.day != month_end(carried.day):  # the newest of a month that is over
        carried = await accounts.settled(view, [row], carried.day - timedelta(days=1), moment)
    kept = date.min if carried is None else carried.day
    days: list[SettledDay] = []
    of_days: list[SettledSum] = []

    async def until(day: date, *, newest: bool) -> Carried:
        found = (await worked_out(view, row, day, moment, carried)).ledger
        of_month = sums(one for one in found.charges if one.day >= day.replace(day=1))
        place: dict[str, Any] = {"workspace": view.actor.workspace, "contract": contract, "day": day}
        of_days.extend(SettledSum(**place, **msgspec.structs.asdict(one)) for one in of_month)
        changes = sum(count for month, count, _ in months if newest or month <= day)
        days.append(
            SettledDay(
                **place,
                newest=newest,
                changes=changes,
                terms=digest(row, day),
                carried=found.carried,
            )
        )
        return found.carried

    newest = max(now, await _last_day(view, contract, moment) or now)
    for day in _ends([month for month, *_ in months], kept, newest):
        carried = await until(day, newest=False)
    await until(newest, newest=True)
    return Settled(row=row, kept=kept, days=days, sums=of_days)


def _ends(months: Sequence[date], after: date, newest: date) -> list[date]:
    """Last days of months that work touches, or may, before that of the newest row."""
    ends = {month_end(month) for month in months}
    ends |= {month_end(end + timedelta(days=1)) for end in ends}
    return sorted(end for end in ends if after < end < newest.replace(day=1))


async def _last_day(view: View, contract: UUID, moment: Moment) -> date | None:
    """That the work which is known may touch."""
    rows = await view.fetch(
        "select (max(ended_at) at time zone 'UTC' + interval '14 hours')::date from billed_work"
        " where workspace = %(workspace)s and contract = %(contract)s"
        " and started_at > (select max(started_at) - interval '8 days' from billed_work"
        "  where workspace = %(workspace)s and contract = %(contract)s)",
        {"contract": contract},
    )
    found: date | None = rows[0][0]
    return found


def write(connection: Connection, settled: Settled) -> None:
    """By whoever leads."""
    contract = settled.row.id
    with connection.transaction():
        for table in ("settled_day", "settled_sum"):
            delete = sql.SQL("delete from {} where contract = %s and day > %s").format(sql.Identifier(table))
            connection.execute(delete, (contract, settled.kept))
        connection.execute("update settled_day set newest = false where contract = %s and newest", (contract,))
        for table, rows in (("settled_day", settled.days), ("settled_sum", settled.sums)):
            insert = sql.SQL("insert into {0} select * from json_populate_recordset(null::{0}, %s::text::json)")
            connection.execute(insert.format(sql.Identifier(table)), (msgspec.json.encode(rows).decode(),))


def told(connection: Connection, settled: Settled) -> None:
    """By whoever leads, once all was said that follows from it: else the contract is settled again."""
    connection.execute(
        "update settled_day set version = %s where contract = %s and newest", (settled.row.version, settled.row.id)
    )
