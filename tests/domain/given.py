"""`ticket.given(OPENED).when(command).then(event)`, or `.refused(Refusal)`: how a behaviour reads here.

Given events happen an hour apart from `START`; a command is decided at `NOW`, long after.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

import msgspec

from domain import people, services, teams, tickets, workflows
from domain.errors import Refused
from domain.people import Person, PersonKind
from domain.services import Service
from domain.teams import Team
from domain.tickets import Surroundings, Ticket
from domain.workflows import NO_WORKFLOWS, Workflows

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


def hour(number: int) -> datetime:
    """When the given event of that number happened; the first is 0."""
    return START + timedelta(hours=number)


@dataclass(frozen=True)
class Outcome(Generic[State, Event]):
    """What a command came to: events or a refusal."""

    state: State | None
    """Before the command."""
    after: State | None
    events: list[Event]
    refusal: Refused | None

    def then(self, *events: Event) -> None:
        if self.refusal is not None:
            raise AssertionError(f"refused: {self.refusal!r}") from self.refusal
        assert self.events == list(events)

    def nothing(self) -> None:
        self.then()

    def refused(self, kind: type[Refused], *field: str) -> None:
        """Refused with this error; with `field`, about that path of the input."""
        assert self.refusal is not None, f"not refused; it came to {self.events}"
        assert type(self.refusal) is kind, self.refusal
        assert self.refusal.message
        if field:
            assert self.refusal.field == field


@dataclass(frozen=True)
class Subject(Generic[State, Command, Event]):
    decide: Callable[[State | None, Command], list[Event]]
    evolve: Callable[[State | None, Event, datetime], State]
    history: tuple[Event, ...] = ()

    def given(self, *events: Event) -> Self:
        return replace(self, history=(*self.history, *events))

    @property
    def state(self) -> State | None:
        return self._folded(self.history)

    def when(self, command: Command) -> Outcome[State, Event]:
        state = self.state
        try:
            events = self.decide(state, command)
        except Refused as refusal:
            return Outcome(state, state, [], refusal)
        return Outcome(state, self._folded((*self.history, *events)), events, None)

    def _folded(self, events: tuple[Event, ...]) -> State | None:
        state: State | None = None
        for number, event in enumerate(events):
            state = self.evolve(state, event, hour(number))
        return state


def some_workflows(*commands: workflows.WorkflowsCommand) -> Workflows:
    """The defaults, and what these commands make of them."""
    state = NO_WORKFLOWS
    for command in (*workflows.defaults().commands(), *commands):
        for event in workflows.decide(state, command):
            state = workflows.evolve(state, event, START)
    return state


def an_id(number: int) -> UUID:
    return UUID(int=number)


WORKFLOWS = some_workflows()

TICKET, PARENT, GRANDPARENT, STRANGE_TICKET = an_id(1), an_id(2), an_id(3), an_id(4)
ANNA, BORIS, LEFT, STRANGER = an_id(11), an_id(12), an_id(13), an_id(14)
FIRST_LINE, SECOND_LINE, STRANGE_TEAM = an_id(21), an_id(22), an_id(23)
HOSTING, RETIRED, STRANGE_SERVICE = an_id(31), an_id(32), an_id(33)
COMMENT, NEW_COMMENT, STRANGE_COMMENT = an_id(41), an_id(42), an_id(43)

OPENED = tickets.TicketOpened(
    number=1042,
    title="The site is down",
    role="INQUIRY",
    workflow="support",
    workflow_version=1,
    status="new",
    category=workflows.StatusCategory.NEW,
    priority=tickets.Priority.NORMAL,
    channel="site",
    requester=BORIS,
    tags=("site", "urgent"),
)


def _person(name: str, *, active: bool = True) -> Person:
    return Person(kind=PersonKind.STAFF, name=name, email=None, active=active)


_A_TICKET = tickets.evolve(None, OPENED, START)

AROUND = Surroundings(
    now=NOW,
    workflows=WORKFLOWS,
    number=1043,
    new_id=NEW_COMMENT,
    by=ANNA,
    people={ANNA: _person("Anna"), BORIS: _person("Boris"), LEFT: _person("Left", active=False)},
    teams={team: Team(key=f"team{team.int}", name="Team") for team in (FIRST_LINE, SECOND_LINE)},
    services={
        HOSTING: Service(key="hosting", name="Hosting"),
        RETIRED: Service(key="retired", name="Retired", active=False),
    },
    tickets={PARENT: _A_TICKET, GRANDPARENT: _A_TICKET},
)


def knowing(**facts: Any) -> Subject[Ticket, tickets.TicketCommand, tickets.TicketEvent]:
    """A ticket whose commands are decided with these facts instead of `AROUND`'s."""
    around = msgspec.structs.replace(AROUND, **facts)
    return Subject(lambda state, command: tickets.decide(state, command, around), tickets.evolve)


ticket = knowing()
person = Subject[Person, people.PersonCommand, people.PersonEvent](people.decide, people.evolve)
team = Subject[Team, teams.TeamCommand, teams.TeamEvent](teams.decide, teams.evolve)
service = Subject[Service, services.ServiceCommand, services.ServiceEvent](services.decide, services.evolve)


def counting(*census: workflows.Standing) -> Subject[Workflows, workflows.WorkflowsCommand, workflows.WorkflowsEvent]:
    """Definitions of a workspace whose tickets stand there."""
    return Subject(lambda state, command: workflows.decide(state or NO_WORKFLOWS, command, census), workflows.evolve)


catalogue = counting()
