"""A small company whose commands are real: `world.open(...)`, `world.do(...)`, then `world.ask(query, ...)`."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import pytest

from application import (
    people,
    services,
    teams,
    tickets,
    traceability,
    work,
    workflows,
)
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context, Outcome
from application.services import service_stream
from application.teams import team_stream
from application.workspaces import Workspace, create_workspace, operator
from domain.access import Actor, Scope
from domain.people import AddPerson, PersonCommand, PersonKind
from domain.services import AddService, ServiceCommand
from domain.teams import AddTeam, TeamCommand
from domain.tickets import OpenTicket, TicketCommand
from domain.traceability.links import (
    LinkCommand,
)
from domain.traceability.repositories import (
    DefineRepository,
)
from domain.traceability.requests import (
    RequestCommand,
)
from domain.work import (
    WorkCommand,
)
from domain.workflows import WorkflowsCommand
from projections.engine import Session
from projections.filters import AsOf, Direction, PageAsk, TicketField, TicketFilter, TicketOrder
from projections.reading import NOW, Moment, Page, ReadModels, View
from projections.registry import PROJECTIONS
from projections.rows import TicketRow
from projections.search import condition
from projections.tickets import tickets as list_tickets
from tests.conftest import fresh_database

P = ParamSpec("P")
T = TypeVar("T")

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""A Monday morning, in the past: what happens at a named time happens after it."""


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


class World:
    """One workspace with its read models, asked from one event loop."""

    def __init__(
        self, database: Database, store: EventStore, workspace: Workspace, session: Session | None = None
    ) -> None:
        self.database, self.store, self.workspace = database, store, workspace
        self.session = session or Session(database, {projection.name: projection for projection in PROJECTIONS})
        self.admin = operator(workspace.id)
        self._others: list[World] = []
        self._runner = asyncio.Runner()
        self.models = ReadModels(database, size=2)
        self.run(self.models.open())

    def close(self) -> None:
        for other in self._others:
            other.close()
        self.run(self.models.close())
        self._runner.close()
        self.session.__exit__()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    # ---- who acts

    def actor(self, person: UUID, *scopes: Scope) -> Actor:
        return Actor(workspace=self.workspace.id, person=person, scopes=frozenset(scopes))

    def requester(self, person: UUID) -> Actor:
        return self.actor(person, Scope.REQUESTER)

    def beside(self, key: str) -> "World":
        """Another workspace on the same server and session. It is closed with this one."""
        there = create_workspace(self.database, self.store, key, key)
        self._others.append(World(self.database, self.store, there, self.session))
        return self._others[-1]

    # ---- commands

    def do(
        self,
        command: (
            TicketCommand
            | PersonCommand
            | TeamCommand
            | ServiceCommand
            | WorkflowsCommand
            | WorkCommand
            | DefineRepository
            | LinkCommand
            | RequestCommand
        ),
        at: datetime | None = None,
        *,
        by: Actor | None = None,
        reason: str | None = "so it is",
        on_behalf_of: UUID | None = None,
    ) -> Outcome:
        context = Context(actor=by or self.admin, occurred_at=at, reason=reason, on_behalf_of=on_behalf_of)
        if isinstance(command, PersonCommand):
            return people.handle(self.store, context, command)
        if isinstance(command, TeamCommand):
            return teams.handle(self.store, context, command)
        if isinstance(command, ServiceCommand):
            return services.handle(self.store, context, command)
        if isinstance(command, WorkflowsCommand):
            return workflows.handle(self.store, context, command)
        if isinstance(command, WorkCommand):
            return work.handle(self.store, context, command)
        if isinstance(command, DefineRepository | LinkCommand | RequestCommand):
            return traceability.handle(self.store, context, command)
        return tickets.handle(self.store, context, command)

    def open(
        self,
        title: str = "A ticket",
        role: str = "TASK",
        at: datetime | None = None,
        *,
        by: Actor | None = None,
        **more: Any,
    ) -> UUID:
        return self.do(OpenTicket(title=title, role=role, **more), at, by=by).stream

    def person(self, name: str, kind: PersonKind = PersonKind.STAFF, email: str | None = None) -> UUID:
        return self.do(AddPerson(name=name, kind=kind, email=email)).stream

    def team(self, key: str, name: str | None = None) -> UUID:
        self.do(AddTeam(key=key, name=name or key))
        return team_stream(self.workspace.id, key)

    def service(self, key: str, name: str | None = None) -> UUID:
        self.do(AddService(key=key, name=name or key))
        return service_stream(self.workspace.id, key)

    def project(self) -> None:
        self.session.catch_up()

    def moment_now(self) -> datetime:
        """By the clock of the database, which says when an event was recorded."""
        at: datetime = self.rows("select clock_timestamp()")[0][0]
        return at

    # ---- queries

    def of(
        self,
        parent: UUID,
        query: Callable[Concatenate[View, list[UUID], P], Coroutine[Any, Any, dict[UUID, T]]],
        *args: P.args,
        **named: P.kwargs,
    ) -> T:
        """What a query of many parents tells the operator of this one."""
        return self.of_as(self.admin, parent, query, *args, **named)

    def of_as(
        self,
        actor: Actor,
        parent: UUID,
        query: Callable[Concatenate[View, list[UUID], P], Coroutine[Any, Any, dict[UUID, T]]],
        *args: P.args,
        **named: P.kwargs,
    ) -> T:
        return self.run(query(self.view(actor), [parent], *args, **named))[parent]

    def view(self, actor: Actor | None = None) -> View:
        return self.models.view(actor or self.admin)

    def ask(self, query: Callable[Concatenate[View, P], Coroutine[Any, Any, T]], *args: P.args, **named: P.kwargs) -> T:
        """As the operator, of what is projected by now."""
        return self.ask_as(self.admin, query, *args, **named)

    def ask_as(
        self,
        actor: Actor,
        query: Callable[Concatenate[View, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **named: P.kwargs,
    ) -> T:
        return self.run(query(self.view(actor), *args, **named))

    def moment(
        self, position: int | None = None, recorded_at: datetime | None = None, occurred_at: datetime | None = None
    ) -> Moment:
        return self.run(self.view().moment(AsOf(position=position, recorded_at=recorded_at, occurred_at=occurred_at)))

    def titles(
        self,
        filter: TicketFilter | None = None,
        *,
        search: str | None = None,
        actor: Actor | None = None,
        moment: Moment = NOW,
    ) -> list[str]:
        """Of the tickets that match, oldest first."""
        page = self.listed(filter, search=search, actor=actor, moment=moment)
        assert not page.has_next
        return [row.title for row in page.nodes]

    def listed(
        self,
        filter: TicketFilter | None = None,
        order: tuple[TicketOrder, ...] = (TicketOrder(field=TicketField.KEY, direction=Direction.ASC),),
        ask: PageAsk | None = None,
        *,
        search: str | None = None,
        actor: Actor | None = None,
        moment: Moment = NOW,
    ) -> Page[TicketRow]:
        page_ask = ask or PageAsk(first=100)
        found = condition(self.view(actor), search, moment)
        return self.ask_as(actor or self.admin, list_tickets, filter, found, order, page_ask, moment)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Of the projector, who sees every workspace."""
        with self.database.connect(Role.PROJECTOR) as connection:
            return connection.execute(statement.encode()).fetchall()


@contextmanager
def a_world(postgres: EmbeddedPostgres) -> Iterator[World]:
    """For several tests that only ask: as a fixture of their module."""
    with fresh_database(postgres) as database, EventStore(database) as store:
        world = World(database, store, create_workspace(database, store, "acme", "Acme"))
        yield world
        world.close()


@pytest.fixture
def world(database: Database, store: EventStore, workspace: Workspace) -> Iterator[World]:
    world = World(database, store, workspace)
    yield world
    world.close()
