"""Billing with 1,000,000 work entries: balances, statements of months of 2,000 entries, and how fast work is folded.

The rows of the million entries are made by SQL in the shape that the folds write; what they come to is settled by the
follower that does so, and the questions are asked of `proteus serve`.
"""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import islice
from random import Random
from uuid import UUID

import msgspec

from api.ids import Kind, encode
from api.settling import Settler
from application import clients, contracts
from application.event_store.database import Database, Role
from application.event_store.envelope import DomainEvent, Envelope
from application.event_store.streams import EventStore
from application.handling import Context, new_id
from bench.company import Furnished, furnish
from bench.figures import Figure, Spread, in_turns
from bench.history import CHUNK, TALK, enveloped
from bench.lab import Lab, Server
from bench.load import Order, Taken, load
from bench.waiting import wait_until_read
from domain.billing import month_end
from domain.clients import AddClient
from domain.contracts import AgreeContract, GrantHours
from domain.terms import ContractKind, Rate, Rounding, RoundingScope, Terms, WorkingCalendar
from domain.work import WorkBilled, WorkLogged
from projections import billing as read_billing
from projections.contracts import PROJECTION as CONTRACTS
from projections.engine import Session

CONTRACTS_COUNT, MONTHS, ENTRIES = 20, 25, 2_000
"""So many contracts, months that are over, and entries in each month of each: a million."""
FOLDED = 60_000
"""Entries of two events each, in the log."""
LAST_MONTH = date(2026, 3, 31)

CALENDAR = WorkingCalendar(
    time_zone="Europe/Moscow",
    opens=9 * 60,
    closes=18 * 60,
    country="RU",
    evening_factor=Decimal("1.5"),
    weekend_factor=Decimal(2),
    holiday_factor=Decimal(2),
)
HOURLY = Terms(
    kind=ContractKind.TIME_AND_MATERIALS,
    currency="RUB",
    tax=Decimal(20),
    rates=(Rate(per_hour=Decimal("2500.50")),),
    rounding=Rounding(unit=900),
    calendar=CALENDAR,
)
PREPAID = Terms(
    kind=ContractKind.PREPAID,
    currency="RUB",
    tax=Decimal(20),
    rounding=Rounding(unit=900, scope=RoundingScope.DAY),
    calendar=CALENDAR,
    overage_rate=Decimal(3000),
)


class Billed(msgspec.Struct, frozen=True):
    company: Furnished
    contracts: list[UUID]


def billing(lab: Lab) -> Iterator[Figure]:
    yield from _folding(lab)
    with lab.database() as database:
        billed = lab.said("billing: a million work entries", lambda: _fill(lab, database))
        yield _settling(lab, database)
        with lab.server(database) as server:
            wait_until_read(database)
            yield from _asking(lab, server, billed)


# ---- folding


def _folding(lab: Lab) -> Iterator[Figure]:
    rates: list[tuple[float, float]] = []
    for _ in range(lab.size.rounds):
        with lab.database() as database:
            company = furnish(database, 1)
            [contract, *_] = _agree(database, company, 1, 1)
            with EventStore(database) as store:
                lab.say("billing: work is recorded")
                workspace = store.workspace(company.actor.workspace)
                envelopes = _worked(company, contract, lab.size.of(FOLDED, 50))
                while chunk := list(islice(envelopes, CHUNK)):
                    workspace.append(chunk)
            rates.append(lab.said("billing: work is folded and settled", lambda: _fold(database)))
    for name, found in zip(("", ", and settled"), zip(*rates, strict=True), strict=True):
        yield Figure(
            name=f"work events folded into the ledger{name}",
            unit="events/s",
            value=Spread.of(found),
            bar="at least",
            limit=20_000,
        )


def _worked(company: Furnished, contract: UUID, count: int) -> Iterator[Envelope]:
    random = Random(1042)  # noqa: S311
    for n in range(count):
        person, entry = company.people[n % len(company.people)], new_id()
        start = datetime(2024, 3, 1, 6, tzinfo=UTC) + timedelta(minutes=n * MONTHS * 43_000 // count)
        seconds = random.randrange(300, 7_200)
        events: list[DomainEvent] = [
            WorkLogged(
                ticket=company.tickets[0],
                person=person,
                started_at=start,
                ended_at=start + timedelta(seconds=seconds),
                interruption=0,
                seconds=seconds,
                role="TASK",
                comment=TALK,
            ),
            WorkBilled(contract=contract),
        ]
        for version, event in enumerate(events, start=1):
            yield enveloped(company.actor.workspace, entry, version, event, start + timedelta(days=1), person)


def _fold(database: Database) -> tuple[float, float]:
    """All events of work a second, from the log to the read models; and to what each month hands on."""
    projections = (CONTRACTS, read_billing.PROJECTION)
    started = time.monotonic()
    with Session(database, {projection.name: projection for projection in projections}) as session:
        session.catch_up()
    folded = time.monotonic() - started
    Settler(database).catch_up()
    settled = time.monotonic() - started
    with database.connect(Role.PROJECTOR) as connection:
        row = connection.execute("select count(*) from event where name like 'Work%'").fetchone()
    assert row is not None
    return int(row[0]) / folded, int(row[0]) / settled


# ---- a million entries


def _agree(database: Database, company: Furnished, count: int, months: int) -> list[UUID]:
    context = Context(actor=company.actor)
    first = date(2024, 1, 1)
    made: list[UUID] = []
    with EventStore(database) as store:
        client = AddClient(name="ООО «Ромашка»", language="ru", currency="RUB", time_zone="Europe/Moscow")
        ours = clients.handle(store, context, client).stream
        for n in range(count):
            terms = PREPAID if n % 2 else HOURLY
            agree = AgreeContract(client=ours, name=f"Contract {n}", terms=terms, applies_from=first)
            made.append(contracts.handle(store, context, agree).stream)
            if terms is PREPAID:
                for month in range(months):
                    begins = _months_before(months - 1 - month)
                    grant = GrantHours(
                        contract=made[-1], seconds=1_500 * 3_600, valid_from=begins, expires_on=month_end(begins)
                    )
                    contracts.handle(store, context, grant)
    return made


def _months_before(count: int) -> date:
    """The first day of the month so many before the last one."""
    month = LAST_MONTH.year * 12 + LAST_MONTH.month - 1 - count
    return date(month // 12, month % 12 + 1, 1)


def _fill(lab: Lab, database: Database) -> Billed:
    company = furnish(database, 50)
    made = _agree(database, company, lab.size.of(CONTRACTS_COUNT, 2), MONTHS)
    with Session(database, {one.name: one for one in (CONTRACTS, read_billing.PROJECTION)}) as session:
        session.catch_up()  # the others catch up when the server starts
    with database.connect(Role.OWNER) as owner:
        owner.execute(
            _WORK,
            {
                "workspace": company.actor.workspace,
                "contracts": made,
                "months": [_months_before(n) for n in range(MONTHS)],
                "entries": lab.size.of(ENTRIES, 20),
                "people": company.people,
                "tickets": company.tickets,
            },
        )
        for statement in (_BILLED, _SHOWN, _MONTHS, "analyze billed_work", "analyze work"):
            owner.execute(statement.encode(), {"workspace": company.actor.workspace, "comment": TALK})
    return Billed(company, made)


def _settling(lab: Lab, database: Database) -> Figure:
    started = time.monotonic()
    lab.said("billing: all is settled", lambda: Settler(database).catch_up())
    seconds = time.monotonic() - started
    with database.connect(Role.PROJECTOR) as connection:
        row = connection.execute("select count(*) from billed_work").fetchone()
    assert row is not None
    rate = int(row[0]) / seconds
    return Figure(name="1,000,000 entries settled from nothing", unit="entries/s", value=Spread(rate, rate, rate))


_WORK = """
create temporary table worked as
select gen_random_uuid() as id, contract,
       (%(people)s::uuid[])[1 + n %% cardinality(%(people)s::uuid[])] as person,
       (%(tickets)s::uuid[])[1 + n %% cardinality(%(tickets)s::uuid[])] as ticket,
       month + interval '1 day' * (n %% 28) + interval '6 hours' + interval '1 second' * (random() * 43200)::int
         as started_at, 300 + (random() * 6900)::int as seconds
  from unnest(%(contracts)s::uuid[]) contract, unnest(%(months)s::date[]) month, generate_series(1, %(entries)s) n
"""
_BILLED = """
insert into billed_work (workspace, id, version, position, contract, ticket, person, started_at, ended_at, seconds,
                         role, billable, comment)
select %(workspace)s, id, 2, 1, contract, ticket, person, started_at, started_at + interval '1 second' * seconds,
       seconds, 'TASK', true, %(comment)s
  from worked
"""
_SHOWN = """
insert into work (workspace, id, version, position, ticket, person, started_at, ended_at, interruption, seconds,
                  comment, billable, origin, flags, role, logged_at, logged_by)
select %(workspace)s, id, 2, 1, ticket, person, started_at, started_at + interval '1 second' * seconds, 0, seconds,
       %(comment)s, true, 'LOGGED', '{}', 'TASK', started_at, person
  from worked
"""
_MONTHS = """
insert into billed_month (workspace, contract, month, position, changes)
select %(workspace)s, contract, date_trunc('month', started_at - interval '12 hours')::date, 1, count(*)
  from worked group by 1, 2, 3
"""

# ---- asking

BALANCE = """query($contract: ID!, $asOf: AsOf) {
  balance(contract: $contract, asOf: $asOf) { granted drawn expired left overage alerts } }"""
STATEMENT = """query($contract: ID!, $since: Date, $until: Date!) {
  statement(contract: $contract, since: $since, until: $until) {
    lines(first: 100) { nodes { day startedAt endedAt seconds billed counted treatment rate amount comment
      person { name } ticket { key title } } totalCount pageInfo { endCursor } }
    seconds billed opening closing amount tax total } }"""


def _asking(lab: Lab, server: Server, billed: Billed) -> Iterator[Figure]:
    ids = [encode(Kind.CONTRACT, one) for one in billed.contracts]
    then = f"{LAST_MONTH - timedelta(days=75)}T12:00:00Z"
    balances = [_question(BALANCE, contract=one) for one in ids]
    past = [_question(BALANCE, contract=one, asOf={"occurredAt": then}) for one in ids]
    statements = [
        _question(STATEMENT, contract=one, since=first, until=month_end(first))
        for first in (_months_before(n) for n in range(MONTHS))
        for one in ids
    ]

    def p50(what: str, bodies: list[str], expected: str) -> float:
        return lab.said(f"billing: {what}", lambda: _asked(lab, server, billed.company, bodies, expected).p50)

    now, of_old, month = in_turns(
        lab.size.rounds,
        partial(p50, "balances", balances, '"balance":{'),
        partial(p50, "balances of old", past, '"balance":{'),
        partial(p50, "statements", statements, '"statement":{'),
    )
    for name, value, limit in (
        ("balance with 1,000,000 entries, 50,000 of them the contract's, p50", now, 5.0),
        ("balance as of a past instant, in the middle of a month of 2,000 entries, p50", of_old, None),
        ("statement of a month of 2,000 entries, with totals and its first 100 lines, p50", month, 100.0),
    ):
        yield Figure(name=name, unit="ms", value=value, limit=limit)


def _question(query: str, **variables: object) -> str:
    return msgspec.json.encode({"query": query, "variables": variables}).decode()


def _asked(lab: Lab, server: Server, company: Furnished, bodies: list[str], expected: str) -> Taken:
    """One after another, from one connection: no two of the same in a row."""
    return load(
        Order(
            port=server.port,
            path="/graphql",
            token=company.token,
            bodies=[bodies],
            warm_seconds=lab.size.seconds / 4,
            seconds=lab.size.seconds,
            expected=expected,
        )
    )
