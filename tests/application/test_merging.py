"""Merging, splitting off and spawning, whatever races: all tickets are told, or none."""

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from application import services, tickets, wip_limits, work
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.wip_limits import Cards
from application.workspaces import create_workspace, operator
from domain.errors import LinkCycle, TicketIsMerged, TicketNotFound, WipLimitReached
from domain.services import AddService
from domain.ticket_state import Priority
from domain.tickets import (
    AddComment,
    CommentAdded,
    LinkKind,
    LinkTickets,
    MergeTickets,
    SetPriority,
    SpawnTicket,
    SplitTicket,
    Ticket,
    TicketCommand,
    TransitionTicket,
    UnlinkTickets,
    UnmergeTicket,
    Visibility,
    WatchTicket,
)
from domain.work import LogWork, StartTimer, StopTimer, TimerStopped, WorkLogged
from domain.workflows import SetWipLimit
from tests.application.recording import Company, at_once, failed, log, succeeded

BLOCKS, BLOCKED_BY, RELATES = LinkKind.BLOCKS, LinkKind.BLOCKED_BY, LinkKind.RELATES
INTO, FROM = LinkKind.MERGED_INTO, LinkKind.MERGED_FROM


def state(company: Company, ticket: UUID) -> Ticket:
    found = company.store.workspace(company.workspace.id).load([ticket])[ticket].state
    assert isinstance(found, Ticket)
    return found


def linked(company: Company, ticket: UUID) -> set[tuple[LinkKind, UUID]]:
    return {(link.kind, link.other) for link in state(company, ticket).links}


def test_what_a_ticket_had_is_the_target_s_until_it_is_taken_out(company: Company, database: Database) -> None:
    anna, boris = company.person("Анна"), company.person("Борис")
    ticket, target, third, fourth = (company.ticket() for _ in range(4))
    company.give(LinkTickets(ticket=ticket, kind=BLOCKS, other=third))
    for one in (ticket, target):
        company.give(LinkTickets(ticket=one, kind=RELATES, other=fourth))
    for one, person in ((ticket, anna), (ticket, boris), (target, boris)):
        company.give(WatchTicket(ticket=one, person=person))
    before = {one: state(company, one) for one in (ticket, target, third, fourth)}

    command = uuid4()
    merged = company.give(MergeTickets(ticket=ticket, into=target), command_id=command, reason="То же самое")
    assert linked(company, ticket) == {(INTO, target)}
    assert linked(company, target) == {(RELATES, fourth), (BLOCKS, third), (FROM, ticket)}
    assert linked(company, third) == {(BLOCKED_BY, target)}
    assert linked(company, fourth) == {(RELATES, target)}
    assert state(company, target).watchers == (boris, anna)
    assert state(company, ticket).closed
    assert {row["stream"] for row in log(database, f"command_id = '{command}'")} == set(before)
    again = company.give(MergeTickets(ticket=ticket, into=target), command_id=command, reason="То же самое")
    assert (again.replayed, again.version) == (True, merged.version)

    with pytest.raises(TicketIsMerged) as refusal:
        company.give(SetPriority(ticket=ticket, priority=Priority.HIGH))
    assert state(company, target).key in refusal.value.message

    company.give(UnmergeTicket(ticket=ticket))
    for one, was in before.items():
        now = state(company, one)
        assert {(link.kind, link.other) for link in now.links} == {(link.kind, link.other) for link in was.links}
        assert set(now.watchers) == set(was.watchers)
        assert (now.status, now.closed_at, now.merged) == (was.status, was.closed_at, None)
    assert company.give(UnmergeTicket(ticket=ticket)).version == state(company, ticket).version


def test_a_merge_that_would_close_a_ring_of_blocking_tickets_is_refused(company: Company) -> None:
    ticket, target, between, other = (company.ticket() for _ in range(4))
    company.give(LinkTickets(ticket=ticket, kind=BLOCKS, other=between))
    company.give(LinkTickets(ticket=between, kind=BLOCKS, other=target))
    for merge in (MergeTickets(ticket=ticket, into=target), MergeTickets(ticket=target, into=ticket)):
        with pytest.raises(LinkCycle):
            company.give(merge)
    assert not state(company, ticket).closed
    company.give(MergeTickets(ticket=ticket, into=other))
    with pytest.raises(LinkCycle):
        company.give(LinkTickets(ticket=target, kind=BLOCKS, other=other))
    company.give(UnlinkTickets(ticket=between, kind=BLOCKS, other=target))
    company.give(MergeTickets(ticket=other, into=target))
    assert (BLOCKS, between) in linked(company, target)


def test_a_direct_link_between_the_two_is_no_ring(company: Company) -> None:
    ticket, target = company.ticket(), company.ticket()
    company.give(LinkTickets(ticket=ticket, kind=BLOCKS, other=target))
    company.give(MergeTickets(ticket=ticket, into=target))
    assert linked(company, target) == {(BLOCKED_BY, ticket), (FROM, ticket)}
    company.give(UnmergeTicket(ticket=ticket))
    assert linked(company, target) == {(BLOCKED_BY, ticket)}


def test_merges_go_through_several_tickets_and_back_in_their_order(company: Company) -> None:
    one, two, three, other = (company.ticket() for _ in range(4))
    company.give(LinkTickets(ticket=one, kind=RELATES, other=other))
    company.give(MergeTickets(ticket=one, into=two))
    company.give(MergeTickets(ticket=two, into=three))
    assert linked(company, three) == {(RELATES, other), (FROM, two)}
    with pytest.raises(TicketIsMerged):
        company.give(UnmergeTicket(ticket=one))
    with pytest.raises(TicketIsMerged):
        company.give(MergeTickets(ticket=three, into=one))
    company.give(UnmergeTicket(ticket=two))
    company.give(UnmergeTicket(ticket=one))
    assert linked(company, one) == {(RELATES, other)}
    assert linked(company, two) == linked(company, three) == set()


def test_what_two_tickets_brought_alike_stays_for_as_long_as_one_of_them_is_merged(company: Company) -> None:
    anna, boris = company.person("Анна"), company.person("Борис")
    one, two, target, other = (company.ticket() for _ in range(4))
    for ticket in (one, two):
        company.give(LinkTickets(ticket=ticket, kind=RELATES, other=other))
        company.give(WatchTicket(ticket=ticket, person=anna))
    company.give(WatchTicket(ticket=target, person=boris))
    for ticket in (one, two):
        company.give(MergeTickets(ticket=ticket, into=target))
    company.give(UnmergeTicket(ticket=one))
    assert linked(company, one) == {(RELATES, other)}
    assert linked(company, target) == {(RELATES, other), (FROM, two)}
    assert state(company, target).watchers == (boris, anna)
    company.give(UnmergeTicket(ticket=two))
    assert linked(company, two) == {(RELATES, other)}
    assert linked(company, target) == set()
    assert linked(company, other) == {(RELATES, one), (RELATES, two)}
    assert state(company, target).watchers == (boris,)


def test_a_link_between_a_ticket_and_what_is_part_of_it_stays_between_them(company: Company) -> None:
    part, whole, target = company.ticket(), company.ticket(), company.ticket()
    company.give(LinkTickets(ticket=whole, kind=RELATES, other=part))
    company.give(MergeTickets(ticket=part, into=whole))
    company.give(MergeTickets(ticket=whole, into=target))
    assert linked(company, target) == {(FROM, whole)}
    assert linked(company, part) == {(RELATES, whole), (INTO, whole)}


def test_two_tickets_are_never_merged_into_each_other(company: Company, database: Database) -> None:
    with EventStore(database) as elsewhere:
        for n in range(8):
            one, two = company.ticket(), company.ticket()
            stores = (company.store, elsewhere if n % 2 else company.store)
            context = Context(actor=company.manager)
            answers = at_once(
                [
                    partial(tickets.handle, stores[0], context, MergeTickets(ticket=one, into=two)),
                    partial(tickets.handle, stores[1], context, MergeTickets(ticket=two, into=one)),
                ]
            )
            assert len(succeeded(answers)) == 1
            assert [type(error) for error in failed(answers)] == [TicketIsMerged]


def test_nothing_is_said_on_a_ticket_that_is_merged_in_the_same_moment_and_lost(company: Company) -> None:
    for _ in range(6):
        ticket, target = company.ticket(), company.ticket()
        commands: list[TicketCommand] = [
            MergeTickets(ticket=ticket, into=target),
            AddComment(ticket=ticket, body="Ещё одно"),
            LinkTickets(ticket=ticket, kind=BLOCKS, other=company.ticket()),
            WatchTicket(ticket=ticket),
        ]
        answers = at_once([partial(company.give, command) for command in commands])
        assert {type(error) for error in failed(answers)} <= {TicketIsMerged}
        assert not isinstance(answers[0], BaseException)
        kinds = {kind for kind, _ in linked(company, ticket)}
        assert kinds == {INTO}, "whatever came before has moved"


def test_a_ticket_of_another_workspace_is_none(company: Company, database: Database, store: EventStore) -> None:
    other = Company.of(store, create_workspace(database, store, "other", "Other"))
    here, there = company.ticket(), other.ticket()
    with pytest.raises(TicketNotFound) as refusal:
        company.give(MergeTickets(ticket=here, into=there))
    assert refusal.value.field == ("into",)
    with pytest.raises(TicketNotFound):
        company.give(UnmergeTicket(ticket=there))
    with pytest.raises(TicketNotFound):
        company.give(SplitTicket(ticket=there, comment=uuid4(), title="Here"))


def test_a_link_that_parts_of_both_its_ends_had_stays_until_the_last_of_them_is_taken_out(company: Company) -> None:
    one, other, left, right = (company.ticket() for _ in range(4))
    company.give(LinkTickets(ticket=one, kind=RELATES, other=right))
    company.give(LinkTickets(ticket=left, kind=RELATES, other=other))
    company.give(MergeTickets(ticket=other, into=right))
    company.give(MergeTickets(ticket=one, into=left))
    assert (RELATES, right) in linked(company, left)
    company.give(UnmergeTicket(ticket=other))
    assert linked(company, other) == {(RELATES, left)}
    assert (RELATES, right) in linked(company, left), "which is of the ticket that is still merged"
    company.give(UnmergeTicket(ticket=one))
    assert linked(company, one) == {(RELATES, right)}
    assert linked(company, left) == {(RELATES, other)}
    assert linked(company, right) == {(RELATES, one)}


def test_who_comes_back_from_a_merge_keeps_to_limits_on_work_in_progress(company: Company) -> None:
    first, second, target = company.ticket(), company.ticket(), company.ticket()
    for one in (first, second):
        company.give(TransitionTicket(ticket=one, status="waiting"))
    company.give(MergeTickets(ticket=first, into=target))
    chief = Context(actor=operator(company.workspace.id))
    limit = SetWipLimit(workflow="support", status="waiting", limit=1, hard=True)
    position = max(row["position"] for row in log(company.store.database))
    wip_limits.handle(company.store, chief, limit, Cards(held={second: None}, position=position))
    with pytest.raises(WipLimitReached):
        company.give(UnmergeTicket(ticket=first))
    company.give(TransitionTicket(ticket=second, status="done"))
    company.give(UnmergeTicket(ticket=first))
    assert state(company, first).status == "waiting"


def test_work_goes_on_where_the_ticket_went(company: Company) -> None:
    ticket, target, further = company.ticket(), company.ticket(), company.ticket()
    context = Context(actor=company.manager)
    work.handle(company.store, context, StartTimer(ticket=ticket))
    company.give(MergeTickets(ticket=ticket, into=target))
    company.give(MergeTickets(ticket=target, into=further))
    stopped = work.handle(company.store, context, StopTimer())
    timer = company.store.workspace(company.workspace.id).history(stopped.stream)[-1].event
    assert isinstance(timer, TimerStopped)
    [logged] = company.store.workspace(company.workspace.id).history(timer.entry)
    assert isinstance(logged.event, WorkLogged)
    assert logged.event.ticket == further
    hour = datetime.now(UTC) - timedelta(hours=1)
    for command in (StartTimer(ticket=ticket), LogWork(ticket=target, started_at=hour, seconds=60)):
        with pytest.raises(TicketIsMerged):
            work.handle(company.store, context, command)


# ---- tickets that come of another one


def test_a_comment_is_split_off_as_it_is_now_under_its_author_and_sealed_anew(
    company: Company, database: Database
) -> None:
    anna, boris = company.person("Анна"), company.person("Борис")
    origin = company.ticket(requester=anna)
    company.give(AddComment(ticket=origin, body="И принтер", visibility=Visibility.INTERNAL), on_behalf_of=boris)
    [said] = state(company, origin).comments
    outcome = company.give(SplitTicket(ticket=origin, comment=said.id, title="Принтер", requester=boris))
    new = state(company, outcome.stream)
    assert (new.requester, new.role) == (boris, state(company, origin).role)
    assert linked(company, outcome.stream) == {(LinkKind.SPLIT_FROM, origin)}
    assert linked(company, origin) == {(LinkKind.SPLIT_INTO, outcome.stream)}
    assert [*state(company, origin).comments] == [said], "it stays where it is"
    envelopes = company.store.workspace(company.workspace.id).history(outcome.stream)
    [talk] = [one.event for one in envelopes if isinstance(one.event, CommentAdded)]
    assert (talk.body, talk.author, talk.visibility) == ("И принтер", boris, Visibility.INTERNAL)
    rows = log(database, f"stream = '{outcome.stream}'")
    assert all("принтер" not in row["state"].decode().lower() for row in rows), "sealed"


def test_a_sub_ticket_and_its_origin_know_each_other(company: Company) -> None:
    context = Context(actor=operator(company.workspace.id))
    service = services.handle(company.store, context, AddService(key="tls", name="Certificates")).stream
    origin = company.ticket()
    spawned = [
        company.give(SpawnTicket(ticket=origin, title=title, role="TASK", service=service)).stream
        for title in ("One", "Two")
    ]
    assert [state(company, one).parent for one in spawned] == [origin, origin]
    assert linked(company, origin) == {(LinkKind.SPAWNED, one) for one in spawned}
    assert [linked(company, one) for one in spawned] == [{(LinkKind.SPAWNED_FROM, origin)}] * 2
    assert len({state(company, one).number for one in (origin, *spawned)}) == 3
