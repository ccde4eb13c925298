"""A small company whose history has all that exports have to get right: T-1 is an inquiry, then an incident, T-2 is
merged into it, T-3 is somebody else's, T-4 a document that is approved; there is work with prices, and code.
"""

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from application import clients, contracts, people, services, teams, tickets, traceability, work
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.traceability.scanning import Recording, scan
from application.workspaces import Workspace, create_workspace, operator
from domain.access import Actor, Scope
from domain.clients import AddClient, AddContact
from domain.contracts import AgreeContract, BindContract
from domain.people import AddPerson, PersonKind
from domain.services import AddService
from domain.teams import AddTeam, JoinTeam
from domain.terms import ContractKind, Rate, Terms
from domain.tickets import (
    AddComment,
    AssignTicket,
    ChangeRole,
    LinkKind,
    LinkTickets,
    MergeTickets,
    OpenTicket,
    Priority,
    RetitleTicket,
    ScheduleTicket,
    SetPriority,
    TagTicket,
    TicketCommand,
    TransitionTicket,
)
from domain.traceability.links import AddChangeLink
from domain.traceability.repositories import ChangeKind, DefineRepository
from domain.traceability.requests import RecordMergeRequest, RecordReview, RequestState, ReviewVerdict
from domain.work import LogWork, ReverseWork
from projections.engine import Session
from projections.registry import PROJECTIONS
from tests.gitting import Work

MOSCOW = timezone(timedelta(hours=3))
PAST_MIDNIGHT = datetime(2026, 3, 3, 0, 30, tzinfo=MOSCOW)
"""The second of March in UTC."""
SECRETS = ("Мария", "Claire", "Ромашка", "Сайт", "не открывается", "formula", "Клиент теряет", "срочно", "Анна", "exam")
"""What must not leave without being asked for: of names, titles, reasons, tags, texts of commits."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    workspace: Workspace
    maria: UUID
    boris: UUID
    claire: UUID
    client: UUID
    tickets: list[UUID]


def tell(database: Database, store: EventStore, key: str, folder: Path) -> Told:
    """In a workspace of this key, followed by all read models. `folder`: where its repository is made."""
    workspace = create_workspace(database, store, key, key)
    admin = operator(workspace.id)
    chief = Context(actor=admin)

    def added(name: str, kind: PersonKind) -> UUID:
        return people.handle(store, chief, AddPerson(name=name, kind=kind)).stream

    maria, boris = added("Мария Петрова", PersonKind.STAFF), added("Boris <Ivanov> & Co", PersonKind.STAFF)
    claire, stranger = added("Claire Dubois", PersonKind.CLIENT), added("Stranger", PersonKind.CLIENT)
    team = teams.handle(store, chief, AddTeam(key="web", name="Web")).stream
    teams.handle(store, chief, JoinTeam(team=team, person=boris))
    service = services.handle(store, chief, AddService(key="site", name="Site")).stream
    client = clients.handle(store, chief, AddClient(name="ООО Ромашка", language="ru", currency="RUB", time_zone="UTC"))
    clients.handle(store, chief, AddContact(client=client.stream, person=claire))
    terms = Terms(kind=ContractKind.TIME_AND_MATERIALS, currency="RUB", rates=(Rate(per_hour=Decimal(3000)),))
    agreed = AgreeContract(client=client.stream, name="Ромашка 2026", terms=terms, applies_from=date(2026, 1, 1))
    contract = contracts.handle(store, chief, agreed).stream

    def at(hours: float, who: UUID, **more: Any) -> Context:
        actor = Actor(workspace=workspace.id, person=who, scopes=frozenset({Scope.ADMIN}))
        return Context(actor=actor, occurred_at=PAST_MIDNIGHT + timedelta(hours=hours), **more)

    def give(hours: float, who: UUID, command: TicketCommand, **more: Any) -> UUID:
        return tickets.handle(store, at(hours, who, **more), command).stream

    opening = OpenTicket(title='Сайт не открывается "совсем"', role="INQUIRY", requester=claire, service=service)
    first = give(0, maria, opening, channel="phone")
    contracts.handle(store, at(0, maria), BindContract(ticket=first, contract=contract))
    give(0.2, maria, SetPriority(ticket=first, priority=Priority.CRITICAL), reason="Клиент теряет деньги\nи терпение")
    give(0.3, maria, ChangeRole(ticket=first, role="INCIDENT"))
    give(0.4, maria, AssignTicket(ticket=first, assignee=boris, team=team))
    give(0.5, boris, TransitionTicket(ticket=first, status="in_progress"))
    give(0.6, boris, AddComment(ticket=first, body="Смотрю, это срочно"))
    give(0.7, boris, TagTicket(ticket=first, tags=("срочно",)))
    give(0.8, boris, ScheduleTicket(ticket=first, due_at=PAST_MIDNIGHT + timedelta(days=1)))
    give(0.9, boris, AssignTicket(ticket=first, assignee=maria, team=team))
    second = give(1, claire, OpenTicket(title='=formula("x")', role="INQUIRY", requester=claire), channel="site")
    give(1.5, maria, MergeTickets(ticket=second, into=first))
    third = give(2, maria, OpenTicket(title="Another firm's", role="TASK", requester=stranger))
    give(2.1, maria, RetitleTicket(ticket=third, title="Control\u0085 and \U0001f600 characters"))
    give(2.2, maria, LinkTickets(ticket=third, kind=LinkKind.RELATES, other=first))
    document = give(3, maria, OpenTicket(title="Act for Ромашка", role="DOCUMENT"))
    for n, status in enumerate(("approval", "signature", "signed")):
        give(3.1 + n / 10, maria, TransitionTicket(ticket=document, status=status))
    entry = work.handle(
        store, at(4, boris), LogWork(ticket=first, started_at=PAST_MIDNIGHT, seconds=5400, comment="срочно")
    ).stream
    wrong = work.handle(store, at(4.1, boris), LogWork(ticket=third, started_at=PAST_MIDNIGHT, seconds=60)).stream
    work.handle(store, at(4.2, boris, reason="exam"), ReverseWork(work_entry=wrong))
    assert entry != wrong
    _code(store, chief, admin, first, folder)
    follow(database)
    return Told(
        workspace=workspace,
        maria=maria,
        boris=boris,
        claire=claire,
        client=client.stream,
        tickets=[first, second, third, document],
    )


def _code(store: EventStore, chief: Context, admin: Actor, ticket: UUID, folder: Path) -> None:
    """Two commits, one of them linked by hand, and a merge request that was approved and merged."""
    repository = traceability.handle(store, chief, DefineRepository(key="shop", name="Shop")).stream
    clone = Work(folder / "shop")
    clone.commit("Анна: first")
    mended = clone.commit("Mend the certificate")
    scan(Recording(store, Context(actor=admin), repository), clone.path)
    link = AddChangeLink(repository=repository, kind=ChangeKind.COMMIT, change=mended, ticket=ticket)
    traceability.handle(store, chief, link)
    for state in (RequestState.OPEN, RequestState.MERGED):
        request = RecordMergeRequest(
            repository=repository, number=7, title="Анна asks", head=mended, state=state, merge_commit=mended
        )
        traceability.handle(store, Context(actor=admin, channel="webhook"), request)
    review = RecordReview(repository=repository, number=7, verdict=ReviewVerdict.APPROVED, reviewer="Анна")
    traceability.handle(store, Context(actor=admin, channel="webhook"), review)


def follow(database: Database) -> None:
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()
