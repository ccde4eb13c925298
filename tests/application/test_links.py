"""Links, whatever races: both tickets have each, or neither; no ring of blocking tickets closes."""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from application import links, tickets
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import create_workspace
from domain.errors import CommandIdReused, LinkCycle, OccurredBeforeLast, TicketNotFound, TooManyBlocked
from domain.tickets import LinkKind, LinkTickets, Ticket, UnlinkTickets
from tests.application.recording import Company, at_once, failed, log, succeeded

RELATES, BLOCKS, BLOCKED_BY = LinkKind.RELATES, LinkKind.BLOCKS, LinkKind.BLOCKED_BY


def linked(company: Company, ticket: UUID) -> list[tuple[LinkKind, UUID]]:
    state = company.store.workspace(company.workspace.id).load([ticket])[ticket].state
    assert isinstance(state, Ticket)
    return [(link.kind, link.other) for link in state.links]


@pytest.mark.parametrize("later_first", [False, True], ids=["of the older", "of the newer"])
def test_both_tickets_have_the_link_from_one_command(company: Company, database: Database, later_first: bool) -> None:
    one, two = sorted((company.ticket(), company.ticket()), reverse=later_first)
    command = uuid4()
    link = LinkTickets(ticket=one, kind=BLOCKS, other=two)
    outcome = company.give(link, command_id=command, reason="Сначала сеть")
    assert (linked(company, one), linked(company, two)) == ([(BLOCKS, two)], [(BLOCKED_BY, one)])
    assert outcome.version == 2
    told = log(database, f"command_id = '{command}'")
    assert {row["stream"]: row["version"] for row in told} == {one: 2, two: 2}
    assert {row["position"] for row in told if row["stream"] == one} == {outcome.position}

    again = company.give(link, command_id=command, reason="Сначала сеть")
    assert again == replace(outcome, replayed=True)
    with pytest.raises(CommandIdReused):
        company.give(UnlinkTickets(ticket=one, kind=BLOCKS, other=two), command_id=command)
    assert company.give(link).version == company.give(LinkTickets(ticket=two, kind=BLOCKED_BY, other=one)).version == 2
    assert company.give(UnlinkTickets(ticket=two, kind=BLOCKED_BY, other=one)).version == 3
    assert (linked(company, one), linked(company, two)) == ([], [])


def test_a_reason_is_sealed_under_the_requester_of_each_ticket(company: Company, database: Database) -> None:
    anna, boris = company.person("Анна"), company.person("Борис")
    one, two = company.ticket(requester=anna), company.ticket(requester=boris)
    company.give(LinkTickets(ticket=one, kind=RELATES, other=two), reason="Одна причина")
    sealed = {row["stream"]: row["reason"].split(":")[1] for row in log(database, "name = 'TicketLinked'")}
    assert len(set(sealed.values())) == 2
    opened = {row["stream"]: row["state"].decode() for row in log(database, "name = 'TicketOpened'")}
    for ticket, subject in sealed.items():
        assert f"1:{subject}:" in opened[ticket]


def test_a_ticket_of_another_workspace_is_none(company: Company, database: Database, store: EventStore) -> None:
    other = Company.of(store, create_workspace(database, store, "other", "Other"))
    here, there = company.ticket(), other.ticket()
    for kind in (RELATES, BLOCKS):
        with pytest.raises(TicketNotFound) as refusal:
            company.give(LinkTickets(ticket=here, kind=kind, other=there))
        assert refusal.value.field == ("other",)
        with pytest.raises(TicketNotFound):
            company.give(LinkTickets(ticket=there, kind=kind, other=here))
    assert linked(other, there) == []


def test_a_chain_may_be_long_and_does_not_close(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = [company.ticket() for _ in range(6)]
    for one, two in pairwise(chain):
        company.give(LinkTickets(ticket=one, kind=BLOCKS, other=two))
    company.give(LinkTickets(ticket=chain[0], kind=BLOCKS, other=chain[5]))  # a short cut is no ring
    with pytest.raises(LinkCycle):
        company.give(LinkTickets(ticket=chain[5], kind=BLOCKS, other=chain[0]))
    with pytest.raises(LinkCycle):
        company.give(LinkTickets(ticket=chain[1], kind=BLOCKED_BY, other=chain[4]))
    company.give(LinkTickets(ticket=chain[5], kind=RELATES, other=chain[0]))
    company.give(UnlinkTickets(ticket=chain[2], kind=BLOCKS, other=chain[3]))
    company.give(LinkTickets(ticket=chain[4], kind=BLOCKS, other=chain[1]))
    monkeypatch.setattr(links, "BLOCKED_LIMIT", 3)
    with pytest.raises(TooManyBlocked):
        company.give(LinkTickets(ticket=company.ticket(), kind=BLOCKS, other=chain[3]))


def test_two_tickets_never_block_each_other(company: Company, database: Database) -> None:
    with EventStore(database) as elsewhere:
        for n in range(10):
            one, two = company.ticket(), company.ticket()
            stores = (company.store, elsewhere if n % 2 else company.store)
            context = Context(actor=company.manager)
            answers = at_once(
                [
                    partial(tickets.handle, stores[0], context, LinkTickets(ticket=one, kind=BLOCKS, other=two)),
                    partial(tickets.handle, stores[1], context, LinkTickets(ticket=one, kind=BLOCKED_BY, other=two)),
                ]
            )
            assert len(succeeded(answers)) == 1
            assert [type(error) for error in failed(answers)] == [LinkCycle]
            assert len(linked(company, one)) == len(linked(company, two)) == 1


def test_a_ring_of_blocking_tickets_never_closes(company: Company) -> None:
    for _ in range(3):
        ring = [company.ticket() for _ in range(6)]
        commands = [LinkTickets(ticket=one, kind=BLOCKS, other=ring[n - 1]) for n, one in enumerate(ring)]
        answers = at_once([partial(company.give, command) for command in commands])
        assert len(succeeded(answers)) == 5
        assert [type(error) for error in failed(answers)] == [LinkCycle]


def test_the_same_link_made_by_many_at_once_is_one(company: Company, database: Database) -> None:
    with EventStore(database) as elsewhere:
        one, two = company.ticket(), company.ticket()
        context = Context(actor=company.manager)
        commands = [LinkTickets(ticket=one, kind=RELATES, other=two), LinkTickets(ticket=two, kind=RELATES, other=one)]
        answers = at_once(
            [
                partial(tickets.handle, store, context, command)
                for command in commands
                for store in (company.store, elsewhere)
            ]
        )
        assert failed(answers) == []
        assert (linked(company, one), linked(company, two)) == ([(RELATES, two)], [(RELATES, one)])
        assert len(log(database, "name = 'TicketLinked'")) == 2


def test_a_link_is_never_dated_before_what_happened_to_the_other(company: Company) -> None:
    one, two = company.ticket(), company.ticket()
    with pytest.raises(OccurredBeforeLast):
        company.give(
            LinkTickets(ticket=one, kind=RELATES, other=two), occurred_at=datetime.now(UTC) - timedelta(days=1)
        )
    assert linked(company, two) == []
    company.give(LinkTickets(ticket=one, kind=RELATES, other=two))
    states = [stream.state for stream in company.store.workspace(company.workspace.id).load([one, two]).values()]
    assert len({state.last_at for state in states if isinstance(state, Ticket)}) == 1
