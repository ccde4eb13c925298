"""One command to many tickets: each answered for itself, once, whatever races or repeats."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from application import wip_limits
from application.bulk import TICKETS_LIMIT, give_each
from application.event_store.database import Database
from application.event_store.recorder import Recorder
from application.event_store.streams import EventStore
from application.handling import Context, Outcome
from application.workspaces import create_workspace, operator
from domain.access import Scope
from domain.errors import (
    CommandIdReused,
    Conflict,
    ErrorCode,
    Forbidden,
    InvalidValue,
    OccurredInFuture,
    ParentCycle,
    Refused,
    TicketNotFound,
)
from domain.tickets import (
    AssignTicket,
    CommandToTicket,
    Priority,
    SetParent,
    SetPriority,
    TransitionTicket,
)
from domain.workflows import SetWipLimit
from tests.application.recording import Company, at_once, log


def give(company: Company, commands: Sequence[CommandToTicket], **context: Any) -> list[Outcome | Refused]:
    actor = context.pop("actor", company.manager)
    return give_each(company.store, Context(actor=actor, **context), commands)


def urgent(tickets: Sequence[UUID]) -> list[CommandToTicket]:
    return [SetPriority(ticket=ticket, priority=Priority.HIGH) for ticket in tickets]


def outcomes(answers: Sequence[Outcome | Refused]) -> list[Outcome]:
    assert all(isinstance(answer, Outcome) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Outcome)]


def codes(answers: Sequence[Outcome | Refused]) -> list[ErrorCode | None]:
    return [answer.code if isinstance(answer, Refused) else None for answer in answers]


def test_each_ticket_gets_the_command_and_its_own_answer(database: Database, company: Company) -> None:
    tickets, command = [company.ticket() for _ in range(5)], uuid4()
    company.give(SetPriority(ticket=tickets[1], priority=Priority.LOW))
    before = len(log(database))
    answers = outcomes(give(company, urgent(tickets), command_id=command, reason="Сайт стоит"))
    assert [(answer.stream, answer.version) for answer in answers] == [
        (ticket, 3 if n == 1 else 2) for n, ticket in enumerate(tickets)
    ]
    events = log(database)[before:]
    assert {(event["stream"], event["position"]) for event in events} == {
        (answer.stream, answer.position) for answer in answers
    }
    assert {event["correlation_id"] for event in events} == {command}
    assert len({event["command_id"] for event in events}) == 5
    follow = company.give(SetPriority(ticket=tickets[0], priority=Priority.LOW))
    assert follow.version == 3, "the process knows what it has appended"


def test_a_refusal_to_one_undoes_nothing_of_the_others(company: Company) -> None:
    open_, done, theirs = company.ticket(), company.ticket(), uuid4()
    company.give(TransitionTicket(ticket=done, status="done"))
    same = company.ticket(priority=Priority.HIGH)
    answers = give(company, urgent([open_, done, theirs, same]))
    assert codes(answers) == [None, ErrorCode.TICKET_CLOSED, ErrorCode.TICKET_NOT_FOUND, None]
    assert [answer.version for answer in answers if isinstance(answer, Outcome)] == [2, 1], "the last is as it was"


def test_rights_are_checked_ticket_by_ticket(company: Company) -> None:
    clara = company.person("Клара")
    her = company.actor(clara, Scope.REQUESTER)
    own, foreign = company.ticket(requester=clara), company.ticket()
    assert codes(give(company, urgent([own, foreign]), actor=her)) == [ErrorCode.FORBIDDEN, ErrorCode.TICKET_NOT_FOUND]
    auditor = company.actor(clara, Scope.AUDITOR)
    assert codes(give(company, urgent([own, foreign]), actor=auditor)) == [ErrorCode.FORBIDDEN] * 2


def test_tickets_of_another_workspace_are_not_there(database: Database, company: Company) -> None:
    elsewhere = Company.of(company.store, create_workspace(database, company.store, "other", "Other"))
    [answer] = give(company, urgent([elsewhere.ticket()]))
    assert isinstance(answer, TicketNotFound)


def test_a_repeat_returns_the_same_answers(database: Database, company: Company) -> None:
    tickets, command = [company.ticket() for _ in range(3)], uuid4()
    same = company.ticket(priority=Priority.HIGH)
    first = outcomes(give(company, urgent([*tickets, same]), command_id=command))
    company.give(SetPriority(ticket=tickets[0], priority=Priority.LOW))
    company.give(SetPriority(ticket=same, priority=Priority.LOW))
    before = len(log(database))
    with EventStore(database) as elsewhere:
        for store in (company.store, elsewhere):
            again = outcomes(
                give_each(store, Context(actor=company.manager, command_id=command), urgent([*tickets, same]))
            )
            assert all(answer.replayed for answer in again)
            assert [(one.version, one.position) for one in again] == [(one.version, one.position) for one in first]
    assert len(log(database)) == before


def test_what_was_refused_is_decided_again_by_a_repeat(company: Company) -> None:
    done, command = company.ticket(assignee=company.manager.person), uuid4()
    company.give(TransitionTicket(ticket=done, status="done"))
    commands = urgent([company.ticket(), done])
    assert codes(give(company, commands, command_id=command)) == [None, ErrorCode.TICKET_CLOSED]
    company.give(TransitionTicket(ticket=done, status="in_progress"))
    first, second = outcomes(give(company, commands, command_id=command))
    assert (first.replayed, second.replayed) == (True, False)


def test_the_same_id_with_another_input_is_refused_as_a_whole(database: Database, company: Company) -> None:
    one, other, command = company.ticket(), company.ticket(), uuid4()
    give(company, urgent([one]), command_id=command)
    before = len(log(database))
    for commands, more in (
        (urgent([one, other]), {}),
        (urgent([other]), {}),
        ([SetPriority(ticket=one, priority=Priority.LOW)], {}),
        (urgent([one]), {"reason": "Because"}),
    ):
        with pytest.raises(CommandIdReused):
            give(company, commands, command_id=command, **more)
    with pytest.raises(CommandIdReused):
        company.give(SetPriority(ticket=other, priority=Priority.HIGH), command_id=command)
    single = uuid4()
    company.give(SetPriority(ticket=other, priority=Priority.HIGH), command_id=single)
    with pytest.raises(CommandIdReused):
        give(company, urgent([other]), command_id=single)
    assert len(log(database)) == before + 1


def test_an_id_of_which_all_was_refused_is_free_again(company: Company) -> None:
    command, ticket = uuid4(), company.ticket()
    assert codes(give(company, urgent([uuid4()]), command_id=command)) == [ErrorCode.TICKET_NOT_FOUND]
    assert codes(give(company, urgent([ticket]), command_id=command)) == [None]


def test_the_same_bulk_sent_at_once_is_recorded_once(database: Database, company: Company) -> None:
    tickets, command = [company.ticket() for _ in range(8)], uuid4()
    same = company.ticket(priority=Priority.HIGH)
    before = len(log(database))
    with EventStore(database) as elsewhere:
        calls = [
            partial(give_each, store, Context(actor=company.manager, command_id=command), urgent([*tickets, same]))
            for store in (company.store, elsewhere) * 2
        ]
        answers = at_once(calls)
    told = []
    for answer in answers:
        assert not isinstance(answer, BaseException), answer
        told.append([(one.version, one.position) for one in outcomes(answer)])
    assert told == [told[0]] * 4
    assert len(log(database)) == before + 8


def test_bulks_and_single_commands_stand_in_one_queue(company: Company) -> None:
    """More of them than a transaction takes."""
    crowds = [[company.ticket() for _ in range(120)] for _ in range(3)]
    shared = crowds[0][0]
    calls: list[Callable[[], Any]] = [partial(give, company, urgent(crowd)) for crowd in crowds]
    calls += [partial(company.give, SetPriority(ticket=shared, priority=Priority.LOW)) for _ in range(3)]
    for answer in at_once(calls)[:3]:
        assert not isinstance(answer, BaseException), answer
        outcomes(answer)


def test_a_lost_race_is_decided_again_and_the_others_are_not_held_up(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = [company.ticket() for _ in range(3)]
    append_each = Recorder.append_each
    raced: list[Outcome] = []

    def raced_by_another(self: Recorder, *args: Any) -> Any:
        if not raced:
            raced.append(company.give(AssignTicket(ticket=tickets[1], assignee=company.manager.person)))
        return append_each(self, *args)

    monkeypatch.setattr(Recorder, "append_each", raced_by_another)
    answers = outcomes(give(company, urgent(tickets), command_id=uuid4()))
    assert [answer.version for answer in answers] == [2, 3, 2]
    assert answers[1].position > answers[2].position


def test_who_loses_every_race_is_told_so(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    tickets = [company.ticket() for _ in range(2)]
    append_each = Recorder.append_each

    def always_raced(self: Recorder, *args: Any) -> Any:
        priority = Priority.LOW if raced() % 2 else Priority.CRITICAL
        company.give(SetPriority(ticket=tickets[1], priority=priority))
        return append_each(self, *args)

    def raced() -> int:
        return company.store.workspace(company.workspace.id).load([tickets[1]])[tickets[1]].version

    monkeypatch.setattr(Recorder, "append_each", always_raced)
    done, lost = give(company, urgent(tickets), command_id=uuid4())
    assert isinstance(done, Outcome)
    assert isinstance(lost, Conflict)


def test_hard_limits_hold_within_a_bulk(company: Company) -> None:
    limit = SetWipLimit(workflow="support", status="in_progress", limit=2, hard=True)
    chief = Context(actor=operator(company.workspace.id))
    wip_limits.handle(company.store, chief, limit, wip_limits.Cards(held={}, position=0))
    tickets, command = [company.ticket(assignee=company.manager.person) for _ in range(4)], uuid4()
    begin: list[CommandToTicket] = [TransitionTicket(ticket=ticket, status="in_progress") for ticket in tickets]
    first = give(company, begin, command_id=command)
    assert codes(first) == [None, None, ErrorCode.WIP_LIMIT_REACHED, ErrorCode.WIP_LIMIT_REACHED]
    again = give(company, begin, command_id=command)
    assert codes(again) == codes(first)
    assert [one.replayed for one in again if isinstance(one, Outcome)] == [True, True]
    over = give(company, begin[2:], override_wip_limit=True, reason="Сайт стоит")
    assert codes(over) == [None, None]


def test_rules_between_tickets_hold_within_a_bulk(company: Company) -> None:
    one, other, parent = company.ticket(), company.ticket(), company.ticket()
    below: list[CommandToTicket] = [SetParent(ticket=ticket, parent=parent) for ticket in (one, other, parent)]
    command = uuid4()
    answers = give(company, below, command_id=command)
    assert codes(answers) == [None, None, ErrorCode.PARENT_CYCLE]
    assert isinstance(answers[2], ParentCycle)
    repeated = give(company, below, command_id=command)
    assert [one.replayed for one in repeated if isinstance(one, Outcome)] == [True, True]
    with pytest.raises(CommandIdReused):
        give(company, below[:2], command_id=command)


def test_none_too_many_and_the_same_twice_are_refused(company: Company) -> None:
    ticket = company.ticket()
    for tickets in ([], [uuid4() for _ in range(TICKETS_LIMIT + 1)], [ticket, ticket]):
        with pytest.raises(InvalidValue) as refused:
            give(company, urgent(tickets))
        assert refused.value.field == ("tickets",)
    assert company.store.workspace(company.workspace.id).load([ticket])[ticket].version == 1


def test_what_forbids_the_whole_is_said_once(company: Company) -> None:
    agent = company.actor(company.person("Анна"), Scope.AGENT)
    tickets = urgent([company.ticket()])
    with pytest.raises(Forbidden):
        give(company, tickets, actor=agent, on_behalf_of=company.manager.person)
    with pytest.raises(OccurredInFuture):
        give(company, tickets, occurred_at=datetime(2999, 1, 1, tzinfo=UTC))


def test_a_bulk_of_two_hundred_is_a_few_round_trips(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    tickets = [company.ticket() for _ in range(TICKETS_LIMIT)]
    asked: list[int] = []
    query = Recorder._query_all  # pyright: ignore[reportPrivateUsage]

    def counted(self: Recorder, *args: Any) -> Any:
        asked.append(1)
        return query(self, *args)

    monkeypatch.setattr(Recorder, "_query_all", counted)
    assert len(outcomes(give(company, urgent(tickets), command_id=uuid4()))) == TICKETS_LIMIT
    assert len(asked) == 2, "what is known of them, and that the id is taken; and one append"
