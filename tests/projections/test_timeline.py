"""The timeline: every event with what it changed, as a history and as a feed."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.access import Actor, Scope
from domain.people import PersonKind, RenamePerson
from domain.services import RenameService
from domain.teams import JoinTeam, LeaveTeam, RenameTeam
from domain.tickets import (
    AddComment,
    AssignTicket,
    ChangeRole,
    OpenTicket,
    Priority,
    SetParent,
    SetPriority,
    TransitionTicket,
    Visibility,
)
from domain.workflows import DefineRole, Role
from projections.filters import EventFilter, PageAsk, TimeFilter
from projections.reading import NOW, BadInput, Moment
from projections.rows import EventRow
from projections.timeline import by_positions, event_count, events, history, history_counts
from tests.projections.conftest import START, World, hour

Changes = dict[str, tuple[Any, Any]]


def changes(event: EventRow) -> Changes:
    return {change.path: (change.from_, change.to) for change in event.changes}


def history_of(
    world: World,
    id_: UUID,
    moment: Moment = NOW,
    actor: Actor | None = None,
    types: list[str] | None = None,
    after: int | None = None,
) -> list[EventRow]:
    who = actor or world.admin
    page = world.of_as(who, id_, history, types, after, PageAsk(first=100), moment)
    assert world.of_as(who, id_, history_counts, types, after, moment) == len(page.nodes)
    return page.nodes


def feed(world: World, actor: Actor | None = None, **named: Any) -> list[EventRow]:
    who, wanted = actor or world.admin, EventFilter(**named)
    page = world.ask_as(who, events, wanted, PageAsk(first=100))
    assert world.ask_as(who, event_count, wanted) == len(page.nodes)
    return page.nodes


def test_every_event_of_a_ticket_says_what_it_changed(world: World) -> None:
    anna, line, parent = world.person("Anna"), world.team("line1"), world.open("Parent", "PROJECT")
    opened = world.open("A ticket", "INQUIRY", hour(0), tags=("site",), fields={"budget": 1}, due_at=hour(9))
    world.do(AssignTicket(ticket=opened, assignee=anna, team=line), hour(1))
    world.do(TransitionTicket(ticket=opened, status="in_progress", fields={"budget": True, "city": "Пермь"}), hour(2))
    world.do(SetPriority(ticket=opened, priority=Priority.HIGH), hour(3))
    world.do(SetParent(ticket=opened, parent=parent), hour(4))
    world.do(ChangeRole(ticket=opened, role="TASK"), hour(5))
    world.do(TransitionTicket(ticket=opened, status="done"), hour(6))
    world.do(TransitionTicket(ticket=opened, status="in_progress"), hour(7))
    world.do(AssignTicket(ticket=opened, assignee=None, team=None), hour(8))
    world.do(SetParent(ticket=opened, parent=None), hour(9))
    world.do(AddComment(ticket=opened, body="hello"), hour(10))
    world.project()

    found = history_of(world, opened)
    assert [(event.type, event.version) for event in found] == [
        (type_, n)
        for n, type_ in enumerate(
            [
                "TicketOpened",
                "TeamAssigned",
                "TicketAssigned",
                "FieldSet",
                "FieldSet",
                "StatusChanged",
                "PriorityChanged",
                "ParentSet",
                "RoleChanged",
                "StatusChanged",
                "StatusChanged",
                "TeamUnassigned",
                "TicketUnassigned",
                "ParentRemoved",
                "CommentAdded",
            ],
            start=1,
        )
    ]
    said = [changes(event) for event in found]
    assert said[0] == {
        "title": (None, "A ticket"),
        "role": (None, "INQUIRY"),
        "workflow": (None, "support"),
        "status": (None, "new"),
        "priority": (None, "NORMAL"),
        "channel": (None, "api"),
        "tags": (None, ["site"]),
        "fields.budget": (None, 1),
        "dueAt": (None, "2026-03-02T18:00:00Z"),
    }
    assert said[1:3] == [{"team": (None, str(line))}, {"assignee": (None, str(anna))}]
    assert said[3:6] == [
        {"fields.budget": (1, True)},
        {"fields.city": (None, "Пермь")},
        {"status": ("new", "in_progress")},
    ]
    assert said[3]["fields.budget"][1] is True
    assert said[6:8] == [{"priority": ("NORMAL", "HIGH")}, {"parent": (None, str(parent))}]
    assert said[8] == {"role": ("INQUIRY", "TASK"), "workflow": ("support", "task")}
    assert said[9] == {"status": ("in_progress", "done"), "closedAt": (None, "2026-03-02T15:00:00Z")}
    assert said[10] == {"status": ("done", "in_progress"), "closedAt": ("2026-03-02T15:00:00Z", None)}
    assert said[11:14] == [
        {"team": (str(line), None)},
        {"assignee": (str(anna), None)},
        {"parent": (str(parent), None)},
    ]
    comment = found[-1].data["comment"]
    assert said[14] == {f"comments.{comment}": (None, "hello")}
    assert found[-1].data == {
        "comment": comment,
        "author": str(world.admin.person),
        "body": "hello",
        "visibility": "PUBLIC",
        "in_reply_to": None,
        "mentions": [],
    }


def test_events_of_other_streams_say_what_they_changed(world: World) -> None:
    anna, line, site = world.person("Anna", email="a@b.c"), world.team("line1", "One"), world.service("site", "Site")
    world.do(RenamePerson(person=anna, name="Anna B"))
    world.do(JoinTeam(team=line, person=anna))
    world.do(RenameTeam(team=line, name="First"))
    world.do(LeaveTeam(team=line, person=anna))
    world.do(RenameService(service=site, name="The site"))
    world.do(DefineRole(role=Role(key="CALL", name="Call", workflow="task")))
    world.project()
    found = feed(world, after_position=world.rows("select max(position) from timeline")[0][0] - 9)
    assert [(event.type, changes(event)) for event in found] == [
        (
            "PersonAdded",
            {"name": (None, "Anna"), "kind": (None, "STAFF"), "email": (None, "a@b.c"), "active": (None, True)},
        ),
        ("TeamAdded", {"key": (None, "line1"), "name": (None, "One")}),
        ("ServiceAdded", {"key": (None, "site"), "name": (None, "Site"), "active": (None, True)}),
        ("PersonRenamed", {"name": ("Anna", "Anna B")}),
        ("TeamJoined", {"members": ([], [str(anna)])}),
        ("TeamRenamed", {"name": ("One", "First")}),
        ("TeamLeft", {"members": ([str(anna)], [])}),
        ("ServiceRenamed", {"name": ("Site", "The site")}),
        (
            "RoleDefined",
            {
                "roles.CALL": (
                    None,
                    {"key": "CALL", "name": "Call", "workflow": "task", "requires": [], "expects_change": False},
                )
            },
        ),
    ]
    assert all(event.ticket is None for event in found)
    assert {event.stream for event in found} >= {anna, line, site}


def test_an_event_says_who_caused_it_how_and_why(world: World) -> None:
    anna = world.person("Anna")
    first = world.open(at=hour(0))
    world.do(SetPriority(ticket=first, priority=Priority.LOW), hour(1), reason="it can wait", on_behalf_of=anna)
    before = datetime.now(UTC)
    world.project()
    opened, changed = history_of(world, first)
    assert (changed.actor, changed.on_behalf_of, changed.reason) == (world.admin.person, anna, "it can wait")
    assert (changed.channel, changed.source, changed.causation_id) == ("api", None, None)
    assert changed.correlation_id == changed.command_id != opened.command_id
    assert changed.occurred_at == hour(1)
    assert abs((changed.recorded_at - before).total_seconds()) < 60
    assert (changed.ticket, changed.stream) == (first, first)


def test_a_history_is_narrowed_by_types_position_and_moment(world: World) -> None:
    opened = world.open(at=hour(0))
    second = world.do(SetPriority(ticket=opened, priority=Priority.LOW), hour(2))
    world.do(AddComment(ticket=opened, body="earlier"), hour(1))
    world.do(TransitionTicket(ticket=opened, status="done"), hour(3))
    world.project()

    def types(*args: Any, **named: Any) -> list[str]:
        return [event.type for event in history_of(world, opened, *args, **named)]

    everything = ["TicketOpened", "PriorityChanged", "CommentAdded", "StatusChanged"]
    assert types() == everything
    assert types(types=["CommentAdded", "PriorityChanged"]) == ["PriorityChanged", "CommentAdded"]
    assert types(types=[]) == []
    assert types(types=["Nothing"]) == []
    assert types(after=second.position) == everything[2:]
    assert types(after=2**62) == []
    assert types(Moment(position=second.position)) == everything[:2]
    assert types(Moment(occurred_at=hour(1))) == ["TicketOpened", "CommentAdded"]
    assert types(Moment(position=second.position, occurred_at=hour(1))) == ["TicketOpened"]
    with pytest.raises(BadInput):
        types(after=10**30)
    with pytest.raises(BadInput):
        types(types=["\0"])


def test_a_history_comes_in_pages_both_ways(world: World) -> None:
    opened = world.open(at=hour(0))
    for n in range(1, 7):
        world.do(AddComment(ticket=opened, body=str(n)), hour(n))
    world.project()
    versions = [event.version for event in history_of(world, opened)]
    assert versions == list(range(1, 8))
    for size in (1, 2, 3):
        seen: list[int] = []
        ask = PageAsk(first=size)
        while True:
            page = world.of(opened, history, None, None, ask, NOW)
            seen += [event.version for event in page.nodes]
            if not page.has_next:
                break
            ask = PageAsk(first=size, after=page.cursors[-1])
        assert seen == versions
        seen, ask = [], PageAsk(last=size)
        while True:
            page = world.of(opened, history, None, None, ask, NOW)
            seen = [event.version for event in page.nodes] + seen
            if not page.has_previous:
                break
            ask = PageAsk(last=size, before=page.cursors[0])
        assert seen == versions
    for cursor in ("x", "WyJ4Il0", "W10", "WzFlOTld", "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwXQ"):
        with pytest.raises(BadInput):
            world.of(opened, history, None, None, PageAsk(after=cursor), NOW)


def test_the_feed_is_narrowed_by_actor_ticket_types_and_time(world: World) -> None:
    anna = world.person("Anna")
    agent = world.actor(anna, Scope.AGENT)
    old, new = world.open("Old", at=hour(0)), world.open("New", by=agent)
    world.do(SetPriority(ticket=old, priority=Priority.LOW), hour(1))
    world.do(SetPriority(ticket=new, priority=Priority.LOW), by=agent)
    world.project()
    assert [event.ticket for event in feed(world, actor=None, types=["TicketOpened"])] == [old, new]
    by_anna = world.ask(events, EventFilter(actor=anna), PageAsk())
    assert [event.type for event in by_anna.nodes] == ["TicketOpened", "PriorityChanged"]
    assert {event.ticket for event in by_anna.nodes} == {new}
    assert [event.type for event in feed(world, ticket=old)] == ["TicketOpened", "PriorityChanged"]
    assert [event.ticket for event in feed(world, occurred_at=TimeFilter(gte=hour(0), lt=hour(2)))] == [old, old]
    assert feed(world, ticket=uuid4()) == []
    assert world.ask(event_count, EventFilter()) == len(feed(world))


def test_the_feed_is_in_order_of_position_and_holds_everything(world: World) -> None:
    world.open()
    world.project()
    positions = [event.position for event in feed(world)]
    assert positions == sorted(positions)
    assert len(positions) == world.rows("select count(*) from event")[0][0]
    assert world.ask(by_positions, [positions[-1], 10**9]).keys() == {positions[-1]}


def test_a_requester_reads_what_is_public_of_their_own_tickets_alone(world: World) -> None:
    clara, dora = world.person("Clara", PersonKind.CLIENT), world.person("Dora", PersonKind.CLIENT)
    her, another = world.requester(clara), world.requester(dora)
    own = world.do(OpenTicket(title="Mine", role="INQUIRY"), by=her).stream
    strange = world.open("Not hers", requester=dora)
    world.do(AddComment(ticket=own, body="hello"), by=her)
    world.do(AddComment(ticket=own, body="awful client", visibility=Visibility.INTERNAL))
    world.do(SetPriority(ticket=own, priority=Priority.HIGH))
    world.project()
    public = ["TicketOpened", "CommentAdded", "PriorityChanged"]
    assert [event.type for event in history_of(world, own, actor=her)] == public
    assert [event.type for event in history_of(world, own, Moment(position=10**6), actor=her)] == public
    assert history_of(world, strange, actor=her) == []
    assert history_of(world, own, actor=another) == []

    def seen(actor: Actor) -> list[str]:
        page = world.ask_as(actor, events, EventFilter(), PageAsk(first=100))
        assert world.ask_as(actor, event_count, EventFilter()) == len(page.nodes)
        return [event.type for event in page.nodes]

    assert seen(her) == public
    assert seen(another) == ["TicketOpened"]
    everything = [event.position for event in feed(world)]
    assert len(world.ask_as(her, by_positions, everything)) == 3
    assert "awful" not in str(world.ask_as(her, by_positions, everything))
    assert world.ask_as(her, events, EventFilter(ticket=strange), PageAsk()).nodes == []


def test_a_requester_reads_no_reasons_but_their_own(world: World) -> None:
    clara = world.person("Clara", PersonKind.CLIENT)
    her = world.requester(clara)
    own = world.do(OpenTicket(title="Mine", role="INQUIRY"), by=her, reason="my site is down").stream
    world.do(SetPriority(ticket=own, priority=Priority.LOW), reason="she always exaggerates")
    world.project()
    assert [event.reason for event in history_of(world, own, actor=her)] == ["my site is down", None]
    assert [event.reason for event in history_of(world, own)] == ["my site is down", "she always exaggerates"]
    feed_of_hers = world.ask_as(her, events, EventFilter(ticket=own), PageAsk()).nodes
    assert [event.reason for event in feed_of_hers] == ["my site is down", None]


def test_the_latest_time_of_recording_never_runs_backwards(world: World) -> None:
    for n in range(5):
        world.open(f"{n}")
        world.project()
    rows = world.rows("select recorded_at, recorded_max from timeline order by position")
    latest = START
    for recorded_at, recorded_max in rows:
        latest = max(latest, recorded_at)
        assert recorded_max == latest
    positions = [row[0] for row in world.rows("select position from timeline order by position")]
    for position, (recorded_at, _) in zip(positions, rows, strict=True):
        found = world.moment(recorded_at=recorded_at).position
        assert found is not None
        assert found >= position
        assert rows[positions.index(found)][0] <= recorded_at
