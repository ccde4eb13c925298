"""Accounts: what contracts handed on when days ended, so that what they come to is worked out from there on.

These rows are no fold of events: whoever settles writes them. They are a copy of what `domain/billing` says, stamped
with what it was said of: how often the work until then had moved, and the terms until then. A row whose stamp does not
hold is not used; so one that is missing, late or of another release costs time, and no more.
"""

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from importlib.metadata import version
from typing import LiteralString
from uuid import UUID

import msgspec

from application.event_store.database import Connection
from domain.billing import Carried, settled_by
from domain.contracts import Contract
from projections.projection import secure
from projections.reading import Moment, View
from projections.rows import ContractRow

RULES = 1
"""Counts up when what work comes to is worked out otherwise than before."""

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
  version    integer not null,  -- of the contract
  changes    bigint not null,   -- how often the work until the month's end had moved; of the newest: all work
  terms      text not null,     -- a digest of those until then, and of the rules
  carried    json not null,
  primary key (contract, day)
);
"""


def install(connection: Connection) -> None:
    """Makes the table where it is missing; call it as the owner, with the shard's search_path."""
    known = connection.execute("select to_regclass('settled_day')").fetchone()
    if known is None or known[0] is None:
        connection.execute(DDL)
        secure(connection, ("settled_day",))


# ---- what was settled

_SETTLED = """
select s.carried, s.terms from settled_day s
 where s.workspace = %(workspace)s and s.contract = %(contract)s and s.day <= %(day)s
   and s.changes = coalesce((select sum(m.changes) from billed_month m
                              where m.contract = s.contract and (s.newest or m.month <= s.day)), 0)
   and (%(position)s::bigint is null or not exists (
         select from billed_month m
          where m.contract = s.contract and (s.newest or m.month <= s.day) and m.position > %(position)s))
 order by s.day desc limit 12
"""


async def settled(view: View, rows: Sequence[ContractRow], day: date, moment: Moment) -> Carried | None:
    """The latest that holds, of this day or earlier, for all these states of one contract, as known at the moment's
    position. Whether the viewer may see the contract is asked before."""
    if moment.occurred_at is not None:  # work of its own day may have begun after it
        day = min(day, moment.occurred_at.date() - timedelta(days=2))
    found = await view.fetch(_SETTLED, {"contract": rows[0].id, "day": day, "position": moment.position})
    for values, terms in found:
        carried = msgspec.convert(values, Carried)
        if all(terms == digest(row, carried.day) for row in rows):
            return carried
    return None


async def moved(view: View, contract: UUID) -> tuple[int, int]:
    """At which position the contract's work moved last, and how often it has."""
    rows = await view.fetch(
        "select coalesce(max(position), 0), coalesce(sum(changes), 0)::bigint from billed_month"
        " where workspace = %(workspace)s and contract = %(contract)s",
        {"contract": contract},
    )
    return rows[0][0], rows[0][1]


def digest(row: ContractRow, day: date) -> str:
    """Of all that the days up to this one depend on, except for the work."""
    agreed = Contract(
        client=row.client, name="", versions=tuple(row.versions), grants=tuple(row.grants), last_day=row.last_day
    )
    told = msgspec.json.encode(settled_by(agreed, day))
    return hashlib.blake2b(told, key=_RULES, digest_size=16).hexdigest()


_RULES = f"{RULES} {version('holidays')}".encode()
