"""What the demo company earns, and what its developers did for it: clients, contracts, hours, merge requests; and how
several of its people work on one ticket, and several tickets come of one.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from api.demo_story import LENGTH, Company, Ids, read_scenes
from application import clients, contracts, traceability, work
from application import tickets as tickets_
from application.event_store.streams import EventStore
from application.handling import Context, Outcome, state_in
from application.workspaces import operator
from domain.clients import AddClient, AddContact
from domain.contracts import AgreeContract, BindContract, GrantHours
from domain.renewals import RenewalPeriod
from domain.terms import ContractKind, Rate, Rounding, Terms, WorkingCalendar
from domain.ticket_state import Comment
from domain.tickets import (
    AddContributor,
    RankTicket,
    ScheduleTicket,
    SpawnTicket,
    SplitTicket,
    Ticket,
    Visibility,
    WatchTicket,
)
from domain.traceability.links import AddChangeLink
from domain.traceability.releases import RecordRelease
from domain.traceability.repositories import ChangeKind, DefineRepository, Provider
from domain.traceability.requests import RecordMergeRequest, RecordReview, RequestState, ReviewVerdict
from domain.work import LogWork, StartTimer

COMMANDS_LIMIT = 500
OPENED = 2
"""Tickets, beside those of the story."""
BOUND, WORKED_ON, CHANGED = 8, 60, 3
"""Tickets of each client that are bound to its contract; tickets with hours; tickets with a merge request."""
SAID = ("Found the cause", "По логам", "Agreed with the client", None, "Проверено на копии", "Rolled out")

Handle = Callable[[EventStore, Context, Any], Outcome]


class Once:
    """Gives commands that were not given before: each by its place in the order. `at`: when, unless said otherwise."""

    def __init__(self, store: EventStore, workspace: UUID, at: datetime) -> None:
        self.store, self.workspace, self.at = store, workspace, at
        ids = [uuid5(workspace, f"demo business {n}") for n in range(COMMANDS_LIMIT)]
        self.last = uuid5(workspace, "demo business")
        self._ids, self._recorded = iter(ids), store.workspace(workspace).earlier([*ids, self.last])

    @property
    def done(self) -> bool:
        return self.last in self._recorded

    def give(
        self, handle: Handle, command: Any, at: datetime | None = None, by: UUID | None = None, *, last: bool = False
    ) -> UUID:
        """The stream. Raises Refused, StoreUnavailable."""
        id_ = self.last if last else next(self._ids)
        if id_ in self._recorded:
            return self._recorded[id_].stream
        actor = operator(self.workspace)
        context = Context(actor=actor, command_id=id_, occurred_at=at or self.at, on_behalf_of=by, channel="staff")
        return handle(self.store, context, command).stream


def do_business(store: EventStore, workspace: UUID, ids: Ids, at: datetime) -> None:
    """Once, whatever was changed since. Raises Refused, StoreUnavailable."""
    once = Once(store, workspace, at)
    if once.done:
        return
    streams = {name: id_ for name, id_ in ids.items() if name.startswith("ticket ")}
    loaded = store.workspace(workspace).load(streams.values())
    states = {id_: state for id_ in streams.values() if (state := state_in(loaded, id_, Ticket)) is not None}
    going = [(id_, ticket) for id_, ticket in states.items() if ticket.merged is None]
    tickets = dict(sorted(going, key=lambda one: one[1].number))
    begun = at - LENGTH
    ours = [company for company in read_scenes().companies if not company.partner][:2]
    for company, terms in zip(ours, _terms(), strict=True):
        _serve(once, company, terms, ids, tickets, begun)
    _log_hours(once, tickets)
    _change_code(once, tickets)
    _work_together(once, ids, tickets)


def _terms() -> Sequence[Terms]:
    calendar = WorkingCalendar(time_zone="Europe/Berlin", opens=540, closes=1_080, country="DE")
    by_the_hour = Terms(
        kind=ContractKind.TIME_AND_MATERIALS,
        currency="EUR",
        tax=Decimal(19),
        rates=(Rate(per_hour=Decimal("84.00")),),
        rounding=Rounding(unit=900),
        calendar=calendar,
    )
    prepaid = Terms(
        kind=ContractKind.PREPAID, currency="EUR", tax=Decimal(19), overage_rate=Decimal("96.00"), alerts=(50, 80, 100)
    )
    return prepaid, by_the_hour


def _serve(
    once: Once, company: Company, terms: Terms, ids: Ids, tickets: Mapping[UUID, Ticket], begun: datetime
) -> None:
    local = {"language": "en", "currency": "EUR", "time_zone": "Europe/Berlin"}
    client = once.give(clients.handle, AddClient(name=company.name, **local), begun)
    people = [ids[f"person {person}"] for person in company.people]
    for person in people:
        once.give(clients.handle, AddContact(client=client, person=person), begun)
    day = begun.date()
    agreed = AgreeContract(client=client, name=f"{company.name}: support", terms=terms, applies_from=day)
    contract = once.give(contracts.handle, agreed, begun)
    if terms.kind is ContractKind.PREPAID:
        bought = GrantHours(
            contract=contract, seconds=20 * 3_600, valid_from=day, price=Decimal(1_600), every=RenewalPeriod.MONTH
        )
        once.give(contracts.handle, bought, begun)
    theirs = [id_ for id_, ticket in tickets.items() if ticket.requester in people and ticket.parent is None]
    for id_ in theirs[:BOUND]:
        once.give(contracts.handle, BindContract(ticket=id_, contract=contract), tickets[id_].opened_at)


def _log_hours(once: Once, tickets: Mapping[UUID, Ticket]) -> None:
    """By whoever holds them, one after another; the last of them has a timer running."""
    free: dict[UUID, datetime] = {}
    held = [(id_, ticket) for id_, ticket in tickets.items() if ticket.assignee is not None]
    for n, (id_, ticket) in enumerate(held[-WORKED_ON:]):
        person = ticket.assignee
        assert person is not None
        started = max(free.get(person, ticket.opened_at), ticket.opened_at) + timedelta(minutes=20)
        ended = started + timedelta(minutes=15 + n * 37 % 110)
        if ended >= once.at:
            continue
        free[person] = ended
        entry = LogWork(
            ticket=id_,
            started_at=started,
            ended_at=ended,
            interruption=300 * (n % 7 == 0),
            comment=SAID[n % len(SAID)],
            billable=n % 9 != 0,
        )
        once.give(work.handle, entry, by=person)
    id_, ticket = [(id_, ticket) for id_, ticket in held if not ticket.closed][-1]
    once.give(work.handle, StartTimer(ticket=id_, comment="Looking into it"), by=ticket.assignee)


def _change_code(once: Once, tickets: Mapping[UUID, Ticket]) -> None:
    """Merge requests that were reviewed and merged for tickets of the developers, and what was released."""
    shop = DefineRepository(
        key="site",
        name="Site, forms and price calculator",
        provider=Provider.GITHUB,
        url="https://github.com/northlight-example/site",
    )
    repository = once.give(traceability.handle, shop)
    done = [(id_, one) for id_, one in tickets.items() if one.role in ("TASK", "BUG") and one.closed_at is not None]
    for n, (id_, ticket) in enumerate(done[-CHANGED:], start=1):
        assert ticket.closed_at is not None
        commit = uuid5(once.workspace, f"commit {n}").hex + "0" * 8
        request = RecordMergeRequest(
            repository=repository,
            number=n,
            title=ticket.title,
            branch=f"{ticket.key.lower()}-{n}",
            target="main",
            head=commit,
            state=RequestState.MERGED,
            merge_commit=commit,
            opened_at=ticket.closed_at - timedelta(hours=5),
            at=ticket.closed_at,
        )
        once.give(traceability.handle, request)
        approved = RecordReview(repository=repository, number=n, verdict=ReviewVerdict.APPROVED, at=ticket.closed_at)
        once.give(traceability.handle, approved)
        link = AddChangeLink(ticket=id_, repository=repository, kind=ChangeKind.REQUEST, change=str(n))
        once.give(traceability.handle, link, by=ticket.assignee)
        released = RecordRelease(repository=repository, tag=f"v1.{n}", commit=commit, at=ticket.closed_at)
        once.give(traceability.handle, released)


def _work_together(once: Once, ids: Ids, tickets: Mapping[UUID, Ticket]) -> None:
    """A ticket has a sub-ticket for another service and one that began as a comment, colleagues who help and watch, and
    a plan; another was put before it."""
    open_ = [(id_, one) for id_, one in tickets.items() if not one.closed and one.assignee]
    origin, ticket = max(open_, key=lambda one: (len(_public(one[1])) > 1, one[1].role == "INCIDENT", one[1].number))
    others = [one for id_, one in open_ if one.assignee != ticket.assignee and id_ != origin]
    colleagues = list(dict.fromkeys(one.assignee for one in others if one.assignee is not None))[:2]
    spawn = SpawnTicket(
        ticket=origin,
        title="Check the certificates of all servers that this client has",
        role="TASK",
        service=ids["service hosting"],
        team=ids["team infrastructure"],
    )
    once.give(tickets_.handle, spawn, by=ticket.assignee)
    plan = ScheduleTicket(ticket=origin, start_at=once.at, due_at=once.at + timedelta(days=2))
    once.give(tickets_.handle, plan, by=ticket.assignee)
    for colleague in colleagues:
        once.give(tickets_.handle, AddContributor(ticket=origin, person=colleague), by=ticket.assignee)
        once.give(tickets_.handle, WatchTicket(ticket=origin, person=colleague), by=colleague)
    first, second = [id_ for id_, one in open_ if one.workflow == "task"][:2]
    once.give(tickets_.handle, RankTicket(ticket=second, before=first), by=ticket.assignee)
    split = SplitTicket(
        ticket=origin,
        comment=_public(ticket)[-1].id,
        title="And another thing, from the same letter",
        service=ticket.service,
        team=ticket.team,
    )
    # After all else on this ticket, whose time does not run backwards.
    once.give(tickets_.handle, split, once.at + timedelta(seconds=1), ticket.assignee, last=True)


def _public(ticket: Ticket) -> list[Comment]:
    return [said for said in ticket.comments if said.visibility is Visibility.PUBLIC and not said.withdrawn]
