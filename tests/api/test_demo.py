"""The demo workspace: a story that is believable, told by real commands, once."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec
import pytest

from api import demo, demo_story
from api.demo import AnotherStory, DemoSummary, fill
from api.demo_afterwards import RUSH
from api.demo_story import LENGTH, ServiceOfDemo, Step, tell
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.envelope import Envelope
from application.event_store.streams import EventStore
from application.workspaces import Workspace, create_workspace
from domain.people import Person, PersonKind
from domain.tickets import (
    ChangeRole,
    CommentAdded,
    LinkKind,
    OpenTicket,
    Priority,
    RoleChanged,
    StatusChanged,
    Ticket,
    TicketOpened,
    TransitionTicket,
    Visibility,
)
from domain.workflows import StatusCategory, defaults
from projections.registry import install


class Row(NamedTuple):
    stream: UUID
    name: str
    occurred_at: datetime
    recorded_at: datetime


class Filled(NamedTuple):
    database: Database
    store: EventStore
    workspace: UUID
    summary: DemoSummary

    def rows(self) -> list[Row]:
        """All events of the workspace, in order of position."""
        return events(self.database, self.workspace)

    def tickets(self) -> dict[UUID, Ticket]:
        states = self.store.workspace(self.workspace).load({row.stream for row in self.rows()})
        return {id_: stream.state for id_, stream in states.items() if isinstance(stream.state, Ticket)}

    def hero(self) -> UUID:
        return next(id_ for id_, ticket in self.tickets().items() if ticket.key == self.summary.hero)


def events(database: Database, workspace: UUID) -> list[Row]:
    with database.connect(Role.PROJECTOR) as connection:
        rows = connection.execute(
            "select stream, name, occurred_at, recorded_at from event where workspace = %s order by position",
            (workspace,),
        )
        return [Row(*row) for row in rows]


@pytest.fixture(scope="module")
def filled(postgres: EmbeddedPostgres) -> Iterator[Filled]:
    """Filled once for all tests that only look at it, or repeat what must change nothing."""
    database = postgres.database("demo")
    database.migrate(install)
    with EventStore(database) as store:
        workspace = create_workspace(database, store, "demo", "Demo").id
        yield Filled(database, store, workspace, fill(store, workspace))


def test_a_company_at_work_has_some_hundred_tickets_and_a_good_part_of_them_open(filled: Filled) -> None:
    tickets = filled.tickets().values()
    late = [ticket for ticket in tickets if not ticket.closed and ticket.due_at and ticket.due_at < datetime.now(UTC)]
    assert filled.summary.tickets == len(tickets)
    assert 260 <= len(tickets) <= 340
    assert 85 <= sum(not ticket.closed for ticket in tickets) <= 155
    assert 10 <= len(late) <= 60
    assert sum(len(ticket.comments) >= 2 for ticket in tickets) > 100
    assert sum(ticket.parent is not None for ticket in tickets) > 40


def test_every_role_every_category_and_every_status_of_support_is_there(filled: Filled) -> None:
    tickets = filled.tickets().values()
    support = next(workflow for workflow in defaults().workflows if workflow.key == "support")
    assert {ticket.role for ticket in tickets} == {role.key for role in defaults().roles}
    assert {ticket.category for ticket in tickets} == set(StatusCategory)
    assert {ticket.status for ticket in tickets if ticket.workflow == "support"} == {s.key for s in support.statuses}
    channels = {"site", "phone", "e-mail", "telegram", "chat", "monitoring", "staff"}
    assert {ticket.channel for ticket in tickets} == channels


def test_staff_clients_and_partners_are_there_and_every_open_ticket_has_a_team(filled: Filled) -> None:
    states = filled.store.workspace(filled.workspace).load({row.stream for row in filled.rows()})
    kinds = Counter(stream.state.kind for stream in states.values() if isinstance(stream.state, Person))
    assert kinds == {PersonKind.STAFF: 14, PersonKind.CLIENT: 25, PersonKind.PARTNER: 3, PersonKind.SYSTEM: 1}
    assert all(ticket.team and ticket.service for ticket in filled.tickets().values())


def test_the_first_ticket_has_been_everything_and_comes_back_as_an_incident(filled: Filled) -> None:
    assert filled.summary.hero == "T-1"
    hero = filled.hero()
    role, spoken, closings, reopened_as = "", set[str](), 0, set[str]()
    roles: list[str] = []
    closed = False
    for envelope in filled.store.workspace(filled.workspace).events.get(hero):
        assert isinstance(envelope, Envelope)
        event = envelope.event
        if isinstance(event, TicketOpened | RoleChanged):
            role = event.role
            roles.append(role)
        if isinstance(event, TicketOpened | RoleChanged | StatusChanged):
            closings += event.category.closed and not closed
            if closed and isinstance(event, StatusChanged) and not event.category.closed:
                reopened_as.add(role)
            closed = event.category.closed
        if isinstance(event, CommentAdded):
            spoken.add(role)
    assert roles == ["INQUIRY", "DEAL", "PROJECT", "TASK", "INCIDENT"]
    assert spoken == set(roles)
    assert closings == 3  # won, done as a task, done as an incident
    assert reopened_as == {"TASK"}
    assert closed


def test_the_first_tickets_children_have_children(filled: Filled) -> None:
    tickets, hero = filled.tickets(), filled.hero()
    children = {id_: ticket for id_, ticket in tickets.items() if ticket.parent == hero}
    assert sorted(ticket.role for ticket in children.values()) == ["EPIC", "EPIC", "EPIC", "MILESTONE"]
    assert Counter(ticket.role for ticket in tickets.values() if ticket.parent in children) == {"TASK": 5, "BUG": 1}


def test_people_speak_in_public_and_among_themselves(filled: Filled) -> None:
    said = Counter(comment.visibility for ticket in filled.tickets().values() for comment in ticket.comments)
    assert said[Visibility.PUBLIC] > 100
    assert said[Visibility.INTERNAL] > 100


def test_somebody_mends_a_comment_takes_one_back_and_names_a_colleague(filled: Filled) -> None:
    hero_id = filled.hero()
    names = Counter(row.name for row in filled.rows() if row.stream == hero_id)
    assert (names["CommentEdited"], names["CommentWithdrawn"]) == (1, 1)
    hero = filled.tickets()[hero_id]
    [named] = {person for comment in hero.comments for person in comment.mentions}
    assert named in hero.watchers


def test_what_somebody_asked_for_twice_is_merged(filled: Filled) -> None:
    tickets = filled.tickets()
    [merged] = [ticket for ticket in tickets.values() if ticket.merged is not None]
    assert merged.merged is not None
    target = tickets[merged.merged.into]
    assert (target.requester, target.service, target.closed) == (merged.requester, merged.service, False)
    assert merged.closed


def test_hours_contracts_changes_and_all_that_tickets_have_to_do_with_one_another_are_there(filled: Filled) -> None:
    names = Counter(row.name for row in filled.rows())
    assert (names["ClientAdded"], names["ContractAgreed"], names["HoursGranted"]) == (2, 2, 1)
    assert names["ContractBound"] > 5
    assert names["WorkLogged"] > 30
    assert names["TimerStarted"] - names["TimerStopped"] == 1
    assert names["RepositoryDefined"] == 1
    assert (names["ReleasePublished"], names["MergeRequestReviewed"]) == (3, 3)
    assert names["TicketTransferred"] > 5
    assert names["ContributorAdded"] == 2
    assert min(names[name] for name in ("TicketScheduled", "TicketRanked", "TicketWatched", "ViewSaved")) > 0
    kinds = Counter(link.kind for ticket in filled.tickets().values() for link in ticket.links)
    assert (kinds[LinkKind.SPAWNED], kinds[LinkKind.SPLIT_FROM], kinds[LinkKind.MERGED_INTO]) == (1, 1, 1)
    assert len(kinds) > 6


def test_what_is_urgent_was_tagged_at_once(filled: Filled) -> None:
    tagged = [one for one in filled.tickets().values() if RUSH in one.tags and one.merged is None]
    assert len(tagged) > 5
    assert all(not ticket.closed and ticket.priority in (Priority.CRITICAL, Priority.HIGH) for ticket in tagged)


def test_all_happened_in_order_within_eight_weeks_and_before_it_was_recorded(filled: Filled) -> None:
    tickets = filled.tickets()
    rows = [row for row in filled.rows() if row.stream in tickets]
    assert all(before.occurred_at <= after.occurred_at for before, after in pairwise(rows))
    assert all(row.occurred_at <= row.recorded_at for row in rows)
    assert rows[-1].occurred_at - rows[0].occurred_at <= LENGTH
    assert [ticket.number for ticket in sorted(tickets.values(), key=lambda ticket: ticket.opened_at)] == list(
        range(1, len(tickets) + 1)
    )


def test_filling_again_changes_nothing(filled: Filled) -> None:
    before = filled.rows()
    again = fill(filled.store, filled.workspace, now=datetime.now(UTC) + timedelta(days=3))
    assert again == DemoSummary(hero="T-1", tickets=filled.summary.tickets, commands=0)
    assert filled.rows() == before


def test_another_story_is_not_mixed_into_one_that_was_begun(
    database: Database, store: EventStore, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(done: int, _: int) -> None:
        if done == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(store, workspace.id, interrupt)
    begun = events(database, workspace.id)
    scenes = demo_story.read_scenes()
    changed = msgspec.structs.replace(scenes, services=[*scenes.services[:-1], ServiceOfDemo("newer", "Newer")])
    changed.scenes[:] = [
        msgspec.structs.replace(scene, service="newer") if scene.service == scenes.services[-1].key else scene
        for scene in changed.scenes
    ]
    monkeypatch.setattr(demo_story, "read_scenes", lambda: changed)
    with pytest.raises(AnotherStory):
        fill(store, workspace.id)
    assert events(database, workspace.id) == begun
    monkeypatch.undo()
    assert fill(store, workspace.id).commands > 1_000


def test_an_interrupted_filling_goes_on_where_it_was(
    database: Database, store: EventStore, workspace: Workspace
) -> None:
    def interrupt(done: int, _: int) -> None:
        if done == 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(store, workspace.id, interrupt)
    begun = events(database, workspace.id)
    seen: list[tuple[int, int]] = []
    summary = fill(store, workspace.id, lambda done, total: seen.append((done, total)))
    total = len(seen)
    assert seen == [(done, total) for done in range(1, total + 1)]
    assert summary.commands == total - 500
    rows = events(database, workspace.id)
    assert rows[: len(begun)] == begun
    assert sum(row.name == "TicketOpened" for row in rows) == summary.tickets
    ids = [demo.command_id(workspace.id, n) for n in range(total)]
    assert len(store.workspace(workspace.id).earlier(ids)) == total


@pytest.mark.parametrize("hours", range(0, 24 * 7, 11))
def test_whenever_it_ends_the_same_things_were_told(hours: int) -> None:
    end = datetime(2026, 12, 28, 0, 30, tzinfo=UTC) + timedelta(hours=hours)
    steps = tell(end)
    assert [_told(step) for step in steps] == [_told(step) for step in tell(end)]
    assert next(step.makes for step in steps if step.makes and step.makes.startswith("ticket")) == "ticket 1"
    assert all(end - LENGTH <= step.at <= end for step in steps)
    commands = [step.command(Names()) for step in steps]
    opened = [command for command in commands if isinstance(command, OpenTicket)]
    assert 260 <= len(opened) <= 340
    assert {command.role for command in opened} == {role.key for role in defaults().roles}
    hero = Names()["ticket 1"]
    roles = [command.role for command in commands if isinstance(command, ChangeRole) and command.ticket == hero]
    moves = [command.status for command in commands if isinstance(command, TransitionTicket) and command.ticket == hero]
    assert roles == ["DEAL", "PROJECT", "TASK", "INCIDENT"]
    assert moves[-3:] == ["done", "in_progress", "done"]


class Names(dict[str, UUID]):
    """An id for every name."""

    def __missing__(self, name: str) -> UUID:
        return uuid5(UUID(int=0), name)


def _told(step: Step) -> tuple[datetime, str, str | None, str | None]:
    return step.at, step.actor, step.makes, step.reason
