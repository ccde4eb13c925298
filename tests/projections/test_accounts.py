"""What contracts come to, from days that were settled ahead: always what the domain makes of all their work."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from psycopg.conninfo import conninfo_to_dict

from api.settling import Settler
from application import billing as closing
from application import clients, contracts, work
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Role
from application.event_store.follower import Leadership
from application.handling import Context
from application.tickets import handle as handle_ticket
from domain.billing import BillableWork, Ledger, ledger
from domain.clients import AddClient
from domain.contracts import (
    AgreeContract,
    AgreeTerms,
    BindContract,
    Contract,
    ContractCommand,
    EndContract,
    GrantHours,
    StopRenewal,
)
from domain.errors import PeriodIsClosed, Refused
from domain.renewals import RenewalPeriod
from domain.statements import ClosePeriod, Drawn
from domain.terms import (
    ContractKind,
    Overage,
    Rate,
    Rollover,
    Rounding,
    RoundingDirection,
    RoundingScope,
    Terms,
    WorkingCalendar,
)
from domain.tickets import OpenTicket
from domain.work import BillWork, CorrectWork, LogWork, MarkWorkNotBillable, ReverseWork, WorkCommand, WorkEntry
from projections import accounts, billing, reports, settling
from projections.contracts import as_contract, contracts_by_ids
from projections.engine import Session
from projections.reading import NOW, Moment
from projections.rebuild import rebuild
from projections.registry import PROJECTIONS
from projections.rows import DrawnStatement
from tests.projections.conftest import World, a_world

H = 3600
JANUARY = date(2026, 1, 1)
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = (date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30))


class Books:
    """One contract with a ticket, in a world that others share."""

    def __init__(self, world: World, terms: Terms) -> None:
        self.world = world
        self.terms = terms
        client = AddClient(name="Client", language="ru", currency="EUR", time_zone="Europe/Moscow")
        self.client = clients.handle(world.store, self._context(), client).stream
        agree = AgreeContract(client=self.client, name="Contract", terms=terms, applies_from=JANUARY)
        self.contract = contracts.handle(world.store, self._context(), agree).stream
        opened = OpenTicket(title="Ticket", role="TASK")
        self.ticket = handle_ticket(world.store, self._context(BEGINNING), opened).stream
        bind = BindContract(ticket=self.ticket, contract=self.contract)
        contracts.handle(world.store, self._context(BEGINNING), bind)
        self.entries: list[UUID] = []

    def _context(self, at: datetime | None = None) -> Context:
        return Context(actor=self.world.admin, occurred_at=at, reason="so it is")

    def agree(self, command: ContractCommand) -> None:
        contracts.handle(self.world.store, self._context(), command)

    def work(self, command: WorkCommand) -> UUID:
        return work.handle(self.world.store, self._context(), command).stream

    def log(self, start: datetime, seconds: int) -> UUID:
        self.entries.append(self.work(LogWork(ticket=self.ticket, started_at=start, seconds=seconds)))
        return self.entries[-1]

    def close(self, until: date) -> DrawnStatement:
        self.world.project()
        moment = Moment(position=self.world.ask(billing.known))
        drawn = self.statement(until, moment)
        told = Drawn(
            statement=drawn.statement,
            contract=as_contract(drawn.contract),
            known=drawn.position,
            today=date(2026, 9, 1),
        )
        closing.handle(self.world.store, self._context(), ClosePeriod(contract=self.contract, until=until), told)
        self.world.project()
        return self.statement(until)

    def statement(self, until: date, moment: Moment = NOW, since: date | None = None) -> DrawnStatement:
        drawn = self.world.ask(billing.drawn, self.contract, since, until, moment)
        assert drawn is not None
        return drawn

    def state(self) -> Contract:
        loaded = self.world.store.workspace(self.world.workspace.id).load([self.contract])
        state = loaded[self.contract].state
        assert isinstance(state, Contract)
        return state

    def replayed(self, until: date) -> Ledger:
        """What the domain makes of the stored events, all at once."""
        loaded = self.world.store.workspace(self.world.workspace.id).load(self.entries)
        states = [(id_, stream.state) for id_, stream in loaded.items()]
        all_work = [
            BillableWork(
                entry=id_,
                ticket=state.ticket,
                person=state.person,
                started_at=state.started_at,
                ended_at=state.ended_at,
                seconds=state.seconds,
                role=state.role,
                service=state.service,
                billable=state.billable,
            )
            for id_, state in states
            if isinstance(state, WorkEntry) and state.contract == self.contract and not state.reversed
        ]
        return ledger(self.state(), all_work, until, billing.is_holiday)

    def ask_anew(self) -> None:
        """What was worked out before is forgotten."""
        billing.kept.forget()

    def settled_days(self) -> list[date]:
        days = self.world.rows("select contract, day from settled_day order by day")
        return [day for contract, day in days if contract == self.contract]


@pytest.fixture(scope="module")
def lab(postgres: EmbeddedPostgres) -> Iterator[World]:
    with a_world(postgres) as world:
        yield world


def settle(world: World) -> None:
    world.project()
    Settler(world.database).catch_up()


ROUNDINGS = st.builds(
    Rounding,
    unit=st.sampled_from([1, 900, 3600]),
    direction=st.sampled_from(RoundingDirection),
    scope=st.sampled_from(RoundingScope),
    minimum=st.sampled_from([0, 1800]),
)
CALENDAR = WorkingCalendar(
    time_zone="Europe/Moscow", opens=540, closes=1080, country="RU", evening_factor=Decimal("1.5"),
    weekend_factor=Decimal(2),
)  # fmt: skip


def prepaid(rounding: Rounding, rollover: Rollover, overage_rate: int = 80) -> Terms:
    return Terms(
        kind=ContractKind.PREPAID,
        currency="EUR",
        rounding=rounding,
        calendar=CALENDAR,
        rollover=rollover,
        rollover_cap=3 * H if rollover is Rollover.CAPPED else None,
        overage=Overage.CHARGE,
        overage_rate=Decimal(overage_rate),
    )


def hourly(rounding: Rounding) -> Terms:
    rates = (Rate(per_hour=Decimal("99.99")),)
    return Terms(kind=ContractKind.TIME_AND_MATERIALS, currency="EUR", rates=rates, rounding=rounding)


STEPS = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 119), st.integers(0, 86_399), st.integers(60, 20 * H)),
    min_size=4,
    max_size=14,
)
"""What is done, on which day, at which second, how long."""


def step(books: Books, number: int, day: int, at: int, length: int) -> None:
    start = BEGINNING + timedelta(days=day, seconds=at)
    entry = books.entries[length % len(books.entries)] if books.entries else None
    match number:
        case 0 | 1 | 2 | 3:
            books.log(start, length)
        case 4 if entry is not None:
            books.work(CorrectWork(work_entry=entry, started_at=start, ended_at=start + timedelta(seconds=length)))
        case 5 if entry is not None:
            books.work(MarkWorkNotBillable(work_entry=entry))
        case 6 if entry is not None:
            changed = ReverseWork(work_entry=entry) if length % 2 else BillWork(work_entry=entry, contract=None)
            books.work(changed)
        case 7:
            first = JANUARY + timedelta(days=day)
            expires = None if at % 3 == 0 else first + timedelta(days=at % 60)
            every = RenewalPeriod.MONTH if length % 2 else None
            grant = GrantHours(
                contract=books.contract, seconds=length, valid_from=first, expires_on=expires, every=every
            )
            books.agree(grant)
        case 8:
            later = prepaid(books.terms.rounding, books.terms.rollover, overage_rate=at % 100)
            books.agree(AgreeTerms(contract=books.contract, terms=later, applies_from=JANUARY + timedelta(days=day)))
        case 9:
            settle(books.world)
        case 10:
            renewing = [one.grant for one in books.state().grants if one.every is not None]
            if renewing:
                last_day = JANUARY + timedelta(days=day)
                books.agree(StopRenewal(contract=books.contract, hour_package=renewing[at % 2 - 1], last_day=last_day))
        case 11 if length % 3 == 0:
            books.agree(EndContract(contract=books.contract, last_day=JANUARY + timedelta(days=day)))
        case _:
            pass


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    steps=STEPS,
    terms=st.one_of(st.builds(prepaid, ROUNDINGS, st.sampled_from(Rollover)), st.builds(hourly, ROUNDINGS)),
    closes=st.lists(st.integers(0, 13), max_size=2),
    seed=st.integers(0, 10),
)
def test_whatever_happens_accounts_are_what_the_domain_makes_of_all_events(
    lab: World, steps: list[tuple[int, int, int, int]], terms: Terms, closes: list[int], seed: int
) -> None:
    books, chance, ends, closed = Books(lab, terms), random.Random(seed), list(ENDS), []
    for n, one in enumerate(steps):
        try:
            step(books, *one)
        except Refused:
            continue
        if n in closes and len(ends) > 1:
            closed.append((ends[0], books.close(ends.pop(0))))
        if chance.random() < 0.3:
            lab.project()
    settle(lab)
    books.ask_anew()
    for until, before in closed:
        assert books.statement(until).statement == before.statement, "what is closed never changes"
    _granted_is_somewhere_and_every_second_is_told(books)
    # closed statements and the draft after them come to what is known at last, and every second is told once
    told = [books.statement(until).statement for until, _ in closed]
    told.append(books.statement(ENDS[-1]).statement)
    whole = books.replayed(ENDS[-1])
    assert sum(one.seconds for one in told) == sum(one.seconds for one in whole.charges)
    due = [*(one.amount for one in whole.charges), *(one.amount for one in whole.fees)]
    assert sum(one.amount for one in told) == sum(due)


def _granted_is_somewhere_and_every_second_is_told(books: Books) -> None:
    row = books.world.ask(partial(contracts_by_ids, ids=[books.contract]))[books.contract]
    for day in (date(2026, 2, 14), ENDS[1], date(2026, 5, 20)):
        stand = books.world.ask(billing.standing, row, day)
        assert stand == books.replayed(day).carried
        for one in stand.packages:
            assert one.granted == one.drawn + one.expired + one.rolled + one.left
    since, until = date(2026, 3, 1), ENDS[2]
    found = books.world.ask(billing.drawn, books.contract, since, until).statement  # type: ignore[union-attr]
    whole = books.replayed(until)
    assert found.charges == tuple(one for one in whole.charges if since <= one.day <= until)
    assert (found.opening, found.closing) == (whole.left_before(since), whole.left_after)


def test_each_month_has_its_hours_though_nothing_is_recorded_when_it_begins(lab: World) -> None:
    books = Books(lab, prepaid(Rounding(), Rollover.NONE))
    grant = GrantHours(
        contract=books.contract, seconds=20 * H, valid_from=JANUARY, price=Decimal(1_600), every=RenewalPeriod.MONTH
    )
    books.agree(grant)
    books.log(datetime(2026, 1, 12, 6, tzinfo=UTC), 3 * H)
    settle(lab)
    row = lab.ask(partial(contracts_by_ids, ids=[books.contract]))[books.contract]
    for day, months, left in ((JANUARY, 1, 20), (ENDS[0], 1, 0), (date(2026, 2, 1), 2, 20), (date(2026, 4, 2), 4, 20)):
        books.ask_anew()
        stand = lab.ask(billing.standing, row, day)
        assert stand == books.replayed(day).carried
        assert (len(stand.packages), sum(one.left for one in stand.packages)) == (months, left * H)
    closed = books.close(ENDS[1]).statement
    assert [(fee.day, fee.amount) for fee in closed.fees] == [
        (JANUARY, Decimal(1_600)),
        (date(2026, 2, 1), Decimal(1_600)),
    ]
    with pytest.raises(PeriodIsClosed):
        books.agree(StopRenewal(contract=books.contract, hour_package=row.grants[0].grant, last_day=JANUARY))
    books.agree(StopRenewal(contract=books.contract, hour_package=row.grants[0].grant, last_day=ENDS[1]))
    settle(lab)
    books.ask_anew()
    assert books.statement(ENDS[1]).statement == closed
    later = books.statement(ENDS[3]).statement
    assert (later.fees, later.opening, later.closing) == ((), 0, 0)


def test_months_that_are_over_are_settled_and_used(lab: World) -> None:
    books = Books(lab, hourly(Rounding()))
    for month in (1, 2, 3):
        books.log(datetime(2026, month, 10, 9, tzinfo=UTC), 2 * H)
    settle(lab)
    assert [day for day in books.settled_days() if day < date(2026, 5, 1)] == list(ENDS)
    row = lab.ask(partial(contracts_by_ids, ids=[books.contract]))[books.contract]
    carried = lab.ask(accounts.settled, [row], date(2026, 3, 30), NOW)
    assert carried is not None
    assert carried.day == ENDS[1]
    books.log(datetime(2026, 2, 20, 9, tzinfo=UTC), H)
    lab.project()
    carried = lab.ask(accounts.settled, [row], date(2026, 3, 30), NOW)
    assert carried is not None
    assert carried.day == ENDS[0], "February is not what it was settled as"
    [(before,)] = lab.rows(f"select min(position) from event where stream = '{books.entries[-1]}'")
    earlier = lab.ask(accounts.settled, [row], date(2026, 3, 30), Moment(position=before - 1))
    assert earlier == carried, "it was settled of what was known then, but whether it was is not known any more"
    settle(lab)
    assert len(books.settled_days()) == len(set(books.settled_days())) == 5


def test_a_balance_of_days_after_all_work_looks_at_no_work(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    terms = msgspec.structs.replace(prepaid(Rounding(), Rollover.ALL), overage_rate=None)
    books = Books(lab, terms)
    books.agree(
        GrantHours(contract=books.contract, seconds=20 * H, valid_from=JANUARY, every=RenewalPeriod.MONTH),
    )
    books.log(datetime(2026, 1, 10, 9, tzinfo=UTC), 30 * H)
    monkeypatch.setattr(settling, "today", lambda _: date(2026, 3, 30))
    settle(lab)
    row = lab.ask(partial(contracts_by_ids, ids=[books.contract]))[books.contract]
    with monkeypatch.context() as without_work:
        without_work.setattr(billing, "work_of", _not_available)
        for day in (date(2026, 3, 30), date(2026, 4, 2), date(2026, 6, 15)):
            assert lab.ask(billing.standing, row, day) == books.replayed(day).carried
    books.log(datetime(2026, 4, 1, 9, tzinfo=UTC), H)
    lab.project()
    assert lab.ask(billing.standing, row, date(2026, 4, 2)) == books.replayed(date(2026, 4, 2)).carried


def test_nothing_is_stamped_with_work_that_it_is_not_made_of(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read model of contracts lags behind that of work, and all is looked at meanwhile."""
    books = Books(lab, prepaid(Rounding(), Rollover.ALL))
    books.agree(GrantHours(contract=books.contract, seconds=20 * H, valid_from=JANUARY))
    books.log(datetime(2026, 1, 10, 9, tzinfo=UTC), 2 * H)
    monkeypatch.setattr(settling, "today", lambda _: date(2026, 3, 30))
    settle(lab)
    [(before,)] = lab.rows("select position from tracking where name = 'contracts'")
    books.log(datetime(2026, 1, 11, 9, tzinfo=UTC), 3 * H)
    lab.project()
    [(after,)] = lab.rows("select position from tracking where name = 'contracts'")
    for position in (before, after):
        with lab.database.connect(Role.PROJECTOR) as connection:
            connection.execute("update tracking set position = %s where name = 'contracts'", (position,))
        Settler(lab.database).catch_up()
    row = lab.ask(partial(contracts_by_ids, ids=[books.contract]))[books.contract]
    assert lab.ask(billing.standing, row, date(2026, 4, 2)) == books.replayed(date(2026, 4, 2)).carried


def test_rows_of_another_release_are_not_used(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books(lab, hourly(Rounding()))
    books.log(datetime(2026, 1, 10, 9, tzinfo=UTC), 2 * H)
    settle(lab)
    row = lab.ask(partial(contracts_by_ids, ids=[books.contract]))[books.contract]
    assert lab.ask(accounts.settled, [row], ENDS[3], NOW) is not None
    monkeypatch.setattr(accounts, "STAMP", "another")
    assert lab.ask(accounts.settled, [row], ENDS[3], NOW) is None


def test_contracts_that_another_release_settled_are_settled_anew(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books(lab, hourly(Rounding()))
    books.log(datetime(2026, 1, 10, 9, tzinfo=UTC), 2 * H)
    settle(lab)
    row = lab.ask(partial(contracts_by_ids, ids=[books.contract]))[books.contract]
    monkeypatch.setattr(accounts, "STAMP", "another")
    settle(lab)
    assert lab.ask(accounts.settled, [row], ENDS[3], NOW) is not None


def test_work_on_either_side_of_a_month_s_end_is_told_in_its_own_month(
    lab: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(lab, hourly(Rounding()))
    for day in (datetime(2026, 3, 10, 9, tzinfo=UTC), datetime(2026, 3, 31, 15, tzinfo=UTC)):
        books.log(day, 2 * H)
    books.log(datetime(2026, 4, 1, 9, tzinfo=UTC), H)  # by a clock that is ahead
    monkeypatch.setattr(settling, "today", lambda _: date(2026, 3, 31))  # March is not over
    settle(lab)
    by_month = lab.rows(f"""
      select d.day, (select sum(seconds) from settled_sum s where s.contract = d.contract and s.day = d.day)
        from settled_day d where d.contract = '{books.contract}' and d.day > '2026-03-01' order by d.day
    """)
    assert by_month == [(ENDS[2], 4 * H), (date(2026, 4, 2), H)]


@pytest.mark.parametrize("missed", ["tell", "used_up.tell"])
def test_what_could_not_be_told_is_told_later(world: World, monkeypatch: pytest.MonkeyPatch, missed: str) -> None:
    terms = msgspec.structs.replace(prepaid(Rounding(unit=1), Rollover.NONE), alerts=(50,))
    books = Books(world, terms)
    books.agree(GrantHours(contract=books.contract, seconds=2 * H, valid_from=JANUARY))
    books.log(datetime(2026, 1, 12, 9, tzinfo=UTC), 2 * H)
    with monkeypatch.context() as failing:
        failing.setattr(f"api.settling.{missed}", _not_available)
        with pytest.raises(StoreUnavailable):
            settle(world)
    assert books.settled_days() != [], "what is settled helps all the same"
    settle(world)
    assert [one.threshold for one in books.state().alerts] == [50]
    assert len(books.state().used_up) == 1
    settle(world)
    assert len(books.state().alerts) == 1, "once"


def _not_available(*_: object) -> None:
    raise StoreUnavailable("the store is gone")


def test_what_was_read_before_an_erasure_is_not_kept_after_it(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    books, reads, read = Books(lab, hourly(Rounding())), 0, billing.work_of
    books.log(datetime(2026, 1, 10, 9, tzinfo=UTC), 2 * H)
    lab.project()

    async def while_somebody_is_erased(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        found = await read(*arguments)
        if reads == 1:
            billing.kept.forget()
        return found

    monkeypatch.setattr(billing, "work_of", while_somebody_is_erased)
    for times in (1, 2, 2):
        books.statement(ENDS[0])
        assert reads == times


def test_who_settles_keeps_nothing_of_what_was_said_of_work(lab: World) -> None:
    books = Books(lab, hourly(Rounding()))
    books.log(datetime(2026, 1, 10, 9, tzinfo=UTC), 2 * H)
    billing.kept.forget()
    settle(lab)
    assert len(billing.kept) == 0


def test_one_settles_at_a_time(lab: World) -> None:
    books = Books(lab, hourly(Rounding()))
    books.log(datetime(2026, 1, 10, 9, tzinfo=UTC), H)
    lab.project()
    with lab.database.connect(Role.PROJECTOR) as connection:
        leading = Leadership(lab.database, connection)
        assert leading.acquire(accounts.FOLLOWER)
        Settler(lab.database).catch_up()
        assert books.settled_days() == []
        leading.close()
    settle(lab)
    assert books.settled_days() != []


def test_a_settler_that_lost_its_connections_goes_on(world: World, postgres: EmbeddedPostgres) -> None:
    books = Books(world, hourly(Rounding()))
    settler = Settler(world.database)
    thread = threading.Thread(target=settler.run)
    thread.start()
    try:
        books.log(datetime(2026, 1, 10, 9, tzinfo=UTC), H)
        world.project()
        _until(lambda: ENDS[0] in books.settled_days())
        books.log(datetime(2026, 3, 10, 9, tzinfo=UTC), H)
        world.project()
        with psycopg.connect(postgres.dsn) as killer:
            killed = killer.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                (conninfo_to_dict(world.database.url)["dbname"],),
            ).fetchall()
        assert len(killed) > 3
        _until(lambda: ENDS[2] in books.settled_days())
    finally:
        settler.stop()
        thread.join()
        world.session.__exit__()
        world.session = Session(world.database, {projection.name: projection for projection in PROJECTIONS})


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)


def test_reports_say_the_same_of_what_is_settled_and_of_what_is_not(lab: World) -> None:
    """Of all that the tests before have recorded."""
    days, costs = reports.span(JANUARY, date(2026, 5, 31)), [reports.Cost(currency="EUR", per_hour=Decimal(30))]
    by_client = partial(reports.profitability, days=days, costs=costs, moment=NOW, by_service=False)
    endings = partial(reports.ending, within=60, share=50, moment=NOW)
    settle(lab)
    settled = lab.ask(by_client), lab.ask(endings)
    with lab.database.connect(Role.PROJECTOR) as connection:
        connection.execute("delete from settled_day")
    billing.kept.forget()
    assert (lab.ask(by_client), lab.ask(endings)) == settled
    assert sum(row.seconds for row in settled[0]) > 0


def test_the_read_model_is_the_same_when_it_is_folded_in_one_batch(lab: World) -> None:
    """After all that the tests before have recorded, one by one and in batches."""
    lab.project()
    projection = billing.PROJECTION
    assert rebuild(lab.database, projection).same is True
