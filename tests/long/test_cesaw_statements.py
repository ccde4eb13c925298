"""The proof: statements over a month of real work sessions come to what plain SQL over the raw CSV comes to, for each
direction of rounding, by entry, by day and by month."""

import asyncio
import csv
import lzma
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4, uuid5

import psycopg
import pytest

from application import clients, contracts
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.envelope import Cause, Envelope
from application.event_store.streams import EventStore
from application.handling import Context
from application.imports.importing import CHUNK_ROWS
from application.workspaces import create_workspace, operator
from domain.access import Actor
from domain.billing import month_end
from domain.clients import AddClient
from domain.contracts import AgreeContract
from domain.statements import Statement
from domain.terms import ContractKind, Rate, Rounding, RoundingDirection, RoundingScope, Terms
from domain.work import WorkBilled
from projections import billing
from projections import contracts as contracts_read_model
from projections.engine import Session
from projections.reading import ReadModels
from tests.conftest import fresh_database
from tests.long.histories import DATA, import_hours, truth_of, work_mapping

LOG = DATA / "cesaw_timelog" / "CESAW_time_fact.csv.xz"
MONTH = date(2013, 3, 1)
"""The largest: 6,257 sessions."""
UNIT = 900
PER_HOUR = Decimal("47.30")
RULES = list(product(RoundingDirection, RoundingScope))


class Books(NamedTuple):
    """A workspace with the sessions of the month, and those that reach into it. `keys`: in the file, by entry."""

    database: Database
    store: EventStore
    actor: Actor
    keys: dict[UUID, str]


@pytest.fixture(scope="module")
def books(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    truth_of(LOG)
    folder = tmp_path_factory.mktemp("cesaw")
    with fresh_database(postgres) as database, EventStore(database) as store:
        actor = operator(create_workspace(database, store, "cesaw", "CESAW").id)
        file = folder / "month.csv"
        keys = _write_month(file)
        mapping = work_mapping("cesaw_timelog")
        summary = import_hours(store, actor, file, mapping, folder)
        assert (summary.imported, summary.rejected) == (len(keys), 0)
        origin = uuid5(actor.workspace, f"import:{mapping.source}")
        yield Books(database, store, actor, {uuid5(origin, f"work:{key}"): key for key in keys})


def _write_month(file: Path) -> list[str]:
    """The rows that start or end in the month, as they are."""
    keys: list[str] = []
    told = f"{MONTH.month}/", f"/{MONTH.year}"
    with lzma.open(LOG, "rt", encoding="utf-8", newline="") as lines, file.open("w", newline="") as out:
        reader = csv.DictReader(lines)
        writer = csv.DictWriter(out, reader.fieldnames or [])
        writer.writeheader()
        for row in reader:
            days = (row["time_log_start_date"].partition(" ")[0], row["time_log_end_date"].partition(" ")[0])
            if any(day.startswith(told[0]) and day.endswith(told[1]) for day in days):
                writer.writerow(row)
                keys.append(row["time_log_fact_key"])
    return keys


def _stated(books: Books, rounding: Rounding, version: int) -> Statement:
    """All sessions under a contract of this rounding. `version`: that the entries have next."""
    context = Context(actor=books.actor)
    added = AddClient(name="Client", language="en", currency="USD", time_zone="UTC")
    client = clients.handle(books.store, context, added).stream
    rates = (Rate(per_hour=PER_HOUR),)
    terms = Terms(kind=ContractKind.TIME_AND_MATERIALS, currency="USD", rates=rates, rounding=rounding)
    agree = AgreeContract(client=client, name="Contract", terms=terms, applies_from=date(2008, 1, 1))
    contract = contracts.handle(books.store, context, agree).stream
    at, entries = datetime.now(UTC), list(books.keys)
    for first in range(0, len(entries), CHUNK_ROWS):
        books.store.workspace(books.actor.workspace).append(
            [_billed(books, entry, version, contract, at) for entry in entries[first : first + CHUNK_ROWS]]
        )
    with Session(books.database, {one.name: one for one in (contracts_read_model.PROJECTION, billing.PROJECTION)}) as s:
        s.catch_up()

    async def ask() -> Statement:
        async with ReadModels(books.database, 1) as models:
            drawn = await billing.drawn(models.view(books.actor), contract, MONTH, month_end(MONTH))
            assert drawn is not None
            return drawn.statement

    return asyncio.run(ask())


def _billed(books: Books, entry: UUID, version: int, contract: UUID, at: datetime) -> Envelope:
    command = uuid4()
    return Envelope(
        workspace=books.actor.workspace,
        originator_id=entry,
        originator_version=version,
        event=WorkBilled(contract=contract),
        occurred_at=at,
        cause=Cause(actor=books.actor.person, command_id=command, correlation_id=command, channel="import"),
        command_hash=command.bytes,
    )


@pytest.fixture(scope="module")
def raw(books: Books) -> Iterator[psycopg.Connection[Any]]:
    """The whole file as it is, in a table of texts."""
    with books.database.connect(Role.OWNER) as connection, lzma.open(LOG, "rt", encoding="utf-8", newline="") as lines:
        columns = ", ".join(f'"{name}" text' for name in lines.readline().strip().split(","))
        connection.execute(f"create temporary table raw ({columns})".encode())
        with connection.cursor().copy("copy raw from stdin (format csv)") as copy:
            while part := lines.read(2**16):
                copy.write(part)
        connection.execute(_PARTS.encode(), {"first": MONTH})
        yield connection


_PARTS = """
create temporary table part as
with session as (
  select time_log_fact_key as key, time_log_delta_minutes::bigint * 60 as net,
         to_timestamp(time_log_start_date, 'MM/DD/YYYY HH24:MI') at time zone current_setting('timezone') as since,
         to_timestamp(time_log_end_date, 'MM/DD/YYYY HH24:MI') at time zone current_setting('timezone') as until
    from raw where time_log_start_date like '%%/%%' and time_log_end_date like '%%/%%'
), touching as (
  select * from session
   where since < %(first)s::date + interval '1 month' and until >= %(first)s::date
), cut as ( -- at midnight
  select key, net, day::date as day, greatest(since, day) as since,
         extract(epoch from least(until, day + interval '1 day') - greatest(since, day))::bigint as length,
         extract(epoch from until - since)::bigint as gross
    from touching cross join lateral generate_series(date_trunc('day', since), until, interval '1 day') day
   where least(until, day + interval '1 day') > greatest(since, day) or since = until
), floors as (
  select *, case when gross = 0 then net else net * length / gross end as whole,
         case when gross = 0 then 0 else net * length %% gross end as over from cut
)
select key, day, since, net, -- seconds: by largest remainder
       whole + (row_number() over (partition by key order by over desc, day)
                <= net - sum(whole) over (partition by key))::int as seconds
  from floors
"""

_ROUNDED = {
    RoundingDirection.UP: "ceil(n / 900.0) * 900",
    RoundingDirection.DOWN: "floor(n / 900.0) * 900",
    RoundingDirection.NEAREST: "floor(n / 900.0 + 0.5) * 900",
}
_GROUP = {RoundingScope.ENTRY: "key", RoundingScope.DAY: "day::text", RoundingScope.PERIOD: "to_char(day, 'YYYY-MM')"}


@pytest.mark.parametrize(("direction", "scope"), RULES, ids=lambda rule: str(rule.value).lower())
def test_a_statement_is_what_sql_makes_of_the_raw_file(
    books: Books, raw: psycopg.Connection[Any], direction: RoundingDirection, scope: RoundingScope
) -> None:
    version = 2 + RULES.index((direction, scope))
    found = _stated(books, Rounding(unit=UNIT, direction=direction, scope=scope), version)
    lines = {(books.keys[one.entry], one.day): one for one in found.charges}
    assert len(lines) == len(found.charges), "there is one line for a session's day"
    in_month = "day >= %(first)s and day < %(first)s::date + interval '1 month'"

    def ask(query: str) -> list[tuple[Any, ...]]:
        return raw.execute(query.encode(), {"first": MONTH}).fetchall()

    seconds = {(key, day): worked for key, day, worked in ask(f"select key, day, seconds from part where {in_month}")}
    assert {place: one.seconds for place, one in lines.items()} == seconds
    # what is rounded together, as a whole; a session that goes on after the month is rounded with what is after
    groups = ask(
        f"select g, ({_ROUNDED[direction]})::bigint from (select {_GROUP[scope]} as g, sum(seconds) as n from part"
        f" where {in_month if scope is not RoundingScope.ENTRY else 'true'} group by 1) x"
    )
    whole = dict(groups)
    billed: defaultdict[str, int] = defaultdict(int)
    for (key, day), one in lines.items():
        billed[{"ENTRY": key, "DAY": str(day), "PERIOD": str(day)[:7]}[scope.value]] += one.billed
    crossing = {key for (key,) in ask(f"select distinct key from part where not ({in_month})")}
    assert {g: n for g, n in billed.items() if g not in crossing} == {g: whole[g] for g in billed if g not in crossing}
    assert all(0 <= billed[key] <= whole[key] for key in crossing & billed.keys())
    # money: the month's billed time at the rate, rounded once
    total = sum(one.billed for one in lines.values())
    [(amount,)] = raw.execute("select round(%s::numeric * %s / 3600, 2)", (total, PER_HOUR)).fetchall()
    assert (found.billed, found.amount) == (total, amount)
    assert all(abs(one.amount - one.billed * PER_HOUR / 3600) < Decimal("0.01") for one in lines.values())
    if scope is RoundingScope.PERIOD:
        [(expected,)] = ask(
            f"select round(({_ROUNDED[direction]}) * {PER_HOUR} / 3600, 2) from"
            f" (select sum(seconds) as n from part where {in_month}) x"
        )
        assert found.amount == expected
