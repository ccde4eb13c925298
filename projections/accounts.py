"""Accounts: what contracts handed on when days ended, so that what they come to is worked out from there on.

These rows are no fold of events: whoever settles writes them. They are a copy of what `domain/billing` says, stamped
with what it was said of: how often the work until then had moved, and the terms until then. A row whose stamp does not
hold is not used; so one that is missing, late or of another release costs time, and no more.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from application.event_store.database import Connection
from domain.billing import Carried, Sum, month_end, settled_by
from projections import contracts
from projections.contracts import as_contract
from projections.projection import secure
from projections.reading import Moment, Query, View
from projections.rows import ContractRow

RULES = 3
"""Counts up when what work comes to is worked out otherwise than before."""
STAMP = f"{RULES} {version('holidays')}"
"""Of the rules: what `terms` begins with."""

FOLLOWER = "accounts"
"""Under which name whoever settles leads."""
READ_MODELS = ("billing", "contracts")
"""What is settled from."""

DDL: LiteralString = """
create table settled_day (
  workspace  uuid not null,
  contract   uuid not null,
  day        date not null,     -- a month's last, or one that no work comes after
  newest     boolean not null,  -- no work comes after it: there is one such row
  version    integer not null,  -- of the contract, when all was told that follows; 0: it was not
  changes    bigint not null,   -- how often the work until the month's end had moved; of the newest: all work
  terms      text not null,     -- the rules' stamp, and a digest of those until then
  carried    json not null,
  primary key (contract, day)
);
create table settled_sum ( -- of the charges of the row's month, up to its day
  workspace  uuid not null,
  contract   uuid not null,
  day        date not null,
  person     uuid not null,
  service    uuid,
  treatment  text not null,
  seconds    bigint not null,
  billed     bigint not null,
  amount     text not null -- a decimal
);
create index settled_sum_day on settled_sum (contract, day);
"""


def install(connection: Connection) -> None:
    """Makes the tables where they are missing; call it as the owner, with the shard's search_path."""
    known = connection.execute("select to_regclass('settled_day')").fetchone()
    if known is None or known[0] is None:
        connection.execute(DDL)
        secure(connection, ("settled_day", "settled_sum"))


# ---- what was settled

_HOLDS: LiteralString = """
s.changes = coalesce((select sum(m.changes) from billed_month m
                       where m.contract = s.contract and (s.newest or m.month <= s.day)), 0)
   and (%(position)s::bigint is null or not exists (
         select from billed_month m
          where m.contract = s.contract and (s.newest or m.month <= s.day) and m.position > %(position)s))
"""
_SETTLED: LiteralString = f"""
select s.carried, s.terms, s.newest from settled_day s
 where s.workspace = %(workspace)s and s.contract = %(contract)s and s.day <= %(day)s and {_HOLDS}
 order by s.day desc limit %(limit)s
"""


async def settled(view: View, rows: Sequence[ContractRow], day: date, moment: Moment) -> Carried | None:
    """The latest that holds, of this day or earlier, for all these states of one contract, as known at the moment's
    position. Whether the viewer may see the contract is asked before."""
    found = await latest(view, rows, day, moment)
    return None if found is None else found[0]


async def latest(view: View, rows: Sequence[ContractRow], day: date, moment: Moment) -> tuple[Carried, bool] | None:
    """As `settled`; and whether no work comes after its day."""
    if moment.occurred_at is not None:  # work of its own day may have begun after it
        day = min(day, _before(moment.occurred_at))
    for limit in (1, 12):  # the first holds unless terms have changed
        arguments = {"contract": rows[0].id, "day": day, "position": moment.position, "limit": limit}
        found = await view.fetch(_SETTLED, arguments)
        for values, terms, newest in found:
            carried = msgspec.convert(values, Carried)
            if all(terms == digest(row, carried.day) for row in rows):
                return carried, newest
        if len(found) < limit:
            break
    return None


async def newest(view: View, rows: Sequence[ContractRow], moment: Moment) -> dict[UUID, Carried]:
    """Of these contracts, as known at the moment's position: what they hand on after all of their work, where that was
    settled and holds. Whether the viewer may see them is asked before."""
    known = {row.id: row for row in rows}
    return _newest_of(known, await view.fetch(*_asked_newest(list(known), moment)))


async def with_newest(view: View, contract: UUID, moment: Moment) -> tuple[ContractRow | None, Carried | None]:
    """A contract that the viewer may see, as known at the moment's position, and what is `newest` of it."""
    asked = contracts.asked_by_ids(view, [contract], moment), _asked_newest([contract], moment)
    rows, found = await view.fetch_all(*asked)
    known = contracts.contracts_of(rows)
    return known.get(contract), _newest_of(known, found).get(contract)


def _asked_newest(of: Sequence[UUID], moment: Moment) -> tuple[Query, dict[str, Any]]:
    day = date.max if moment.occurred_at is None else _before(moment.occurred_at)
    return _NEWEST, {"contracts": list(of), "day": day, "position": moment.position}


_NEWEST: LiteralString = f"""
select s.contract, s.carried, s.terms from settled_day s
 where s.workspace = %(workspace)s and s.newest and s.contract = any(%(contracts)s) and s.day <= %(day)s and {_HOLDS}
"""


def _newest_of(known: Mapping[UUID, ContractRow], found: Sequence[Sequence[Any]]) -> dict[UUID, Carried]:
    stands = [(known[id_], msgspec.convert(values, Carried), terms) for id_, values, terms in found if id_ in known]
    return {row.id: carried for row, carried, terms in stands if terms == digest(row, carried.day)}


Month = tuple[ContractRow, date]
"""A contract and a month's last day."""


async def months(
    view: View, rows: Mapping[UUID, ContractRow], since: date, until: date, moment: Moment
) -> tuple[list[tuple[ContractRow, date, list[Sum]]], list[Month], int]:
    """Of whole months that have work, what it came to where that was settled and holds; the others; and how often work
    of those has moved. `rows`: all contracts that the viewer may see."""
    last = until if moment.occurred_at is None else min(until, _before(moment.occurred_at))
    arguments = {"since": since, "until": until, "day": last, "position": moment.position}
    held = await view.fetch(
        f"select s.contract, s.day, s.terms, (select json_agg(u) from settled_sum u"
        f"  where u.contract = s.contract and u.day = s.day) from settled_day s"
        f" where s.workspace = %(workspace)s and s.day >= %(since)s and s.day <= %(day)s and {_HOLDS}",
        arguments,
    )
    settled: dict[tuple[UUID, date], list[Sum]] = {}
    ended = {id_: carried.day for id_, carried in (await newest(view, list(rows.values()), moment)).items()}
    for id_, day, terms, values in held:
        if id_ in rows and terms == digest(rows[id_], day):
            settled[id_, month_end(day)] = msgspec.convert(values or [], list[Sum])
    moved = await view.fetch(
        "select m.contract, (e.until - interval '1 day')::date, sum(m.changes)::bigint from billed_month m"
        " cross join lateral (values (m.month + interval '1 month'), (m.month + interval '2 months')) e (until)"
        " where m.workspace = %(workspace)s and e.until > %(since)s and e.until <= %(until)s + 1 group by 1, 2",
        arguments,
    )
    missing = [
        (id_, end, changes)
        for id_, end, changes in moved
        if id_ in rows and (id_, end) not in settled and ended.get(id_, date.max) >= end.replace(day=1)
    ]
    return (
        [(rows[id_], end, of_month) for (id_, end), of_month in settled.items()],
        [(rows[id_], end) for id_, end, _ in missing],
        sum(changes for _, _, changes in missing),
    )


def _before(at: datetime) -> date:
    """A day that is over before the instant everywhere: work of its own day may have begun after it."""
    return at.astimezone(UTC).date() - timedelta(days=2)


async def moved(view: View, contract: UUID) -> tuple[int, int]:
    """At which position the contract's work moved last, and how often it has."""
    rows = await view.fetch(
        "select coalesce(max(position), 0), coalesce(sum(changes), 0)::bigint from billed_month"
        " where workspace = %(workspace)s and contract = %(contract)s",
        {"contract": contract},
    )
    return rows[0][0], rows[0][1]


def digest(row: ContractRow, day: date) -> str:
    """Of all that the days up to this one depend on, except for the work; after the rules' stamp."""
    told = msgspec.json.encode(settled_by(as_contract(row), day))
    return f"{STAMP} {hashlib.blake2b(told, digest_size=16).hexdigest()}"
