"""Tickets: single ones, lists with search, sorts and pages, comments.comments, and what spans do not hold."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from application.embedded_postgres import EmbeddedPostgres
from domain.access import Scope
from domain.people import PersonKind
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
from projections import comments
from projections.filters import Direction, KeyFilter, PageAsk, TicketField, TicketFilter, TicketOrder
from projections.reading import NOW, BadInput, Moment, Page
from projections.rows import CommentRow, TicketDetails
from projections.search import condition
from projections.tickets import (
    by_ids,
    child_counts,
    count,
    details,
    ticket,
    tickets,
)
from tests.projections.conftest import World, a_world, hour

FIELDS = tuple(TicketField)
SPAN_FIELDS = tuple(field for field in TicketField if field is not TicketField.UPDATED_AT)


def order(field: TicketField, direction: Direction = Direction.ASC) -> tuple[TicketOrder, ...]:
    return (TicketOrder(field=field, direction=direction),)


# ---- one ticket


def test_a_ticket_is_found_by_id_and_by_its_key_in_any_case(world: World) -> None:
    opened = world.open("Here")
    world.project()
    found = world.ask(ticket, id=opened, key=None, moment=NOW)
    assert found is not None
    for key in (found.key, found.key.lower()):
        assert world.ask(ticket, id=None, key=key, moment=NOW) == found
    assert (found.title, found.key, found.status, found.tags) == ("Here", "T-1", "todo", [])


@pytest.mark.parametrize("key", ["", "T-", "T-0", "T-2", "X-1", "T-1 ", "T--1", "T-１", "T-" + "9" * 30, "'", "T-1\0"])
def test_a_key_that_names_no_ticket_finds_none(world: World, key: str) -> None:
    world.open()
    world.project()
    assert world.ask(ticket, id=None, key=key, moment=NOW) is None


def test_a_ticket_is_named_by_id_or_by_key(world: World) -> None:
    for named in ({"id": uuid4(), "key": "T-1"}, {"id": None, "key": None}):
        with pytest.raises(BadInput):
            world.ask(ticket, moment=NOW, **named)


def test_another_workspace_has_no_part_in_any_answer(world: World) -> None:
    opened = world.open("Ours", at=hour(0))
    world.do(AddComment(ticket=opened, body="between us"))
    other = world.beside("other")
    strange = other.open("Theirs")
    world.project()
    assert other.titles() == ["Theirs"]
    assert other.ask(by_ids, [opened, strange], NOW).keys() == {strange}
    for moment in (NOW, Moment(position=10**6)):
        assert other.ask(details, [opened], moment) == {}
        assert other.of(opened, comments.comments, PageAsk(), moment).nodes == []
        assert other.titles(moment=moment) == ["Theirs"]
    assert other.ask(count, None, None, NOW) == 1


# ---- search


def test_search_looks_in_titles_keys_and_external_keys(world: World) -> None:
    for title in ("Сервер недоступен", "server: 50%_off", "ёлка", "Plain"):
        world.open(title)
    world.project()
    assert world.titles(search="СЕРВЕР") == ["Сервер недоступен"]
    assert world.titles(search=" SERVERS ") == ["server: 50%_off"]
    assert world.titles(search="%") == []
    assert world.titles(search="Ёлка") == ["ёлка"]
    assert world.titles(search="t-4") == ["Plain"]
    assert len(world.titles(search="  ")) == 4
    assert world.titles(search="nowhere") == []
    with pytest.raises(BadInput):
        world.titles(search="\0")


# ---- pages


@pytest.fixture(scope="module")
def crowd(postgres: EmbeddedPostgres) -> Iterator[World]:
    """Many tickets with few distinct values, so that every sort has ties, and nulls."""
    with a_world(postgres) as world:
        anna = world.person("Anna")
        for n in range(23):
            at = hour(n // 5)
            opened = world.open(
                ("Ж", "ё", "b", "B", "b%")[n % 5],
                ("TASK", "INCIDENT", "LEAD")[n % 3],
                at,
                priority=tuple(Priority)[n % 4],
                due_at=hour(n % 3) if n % 4 else None,
                assignee=anna,
            )
            if n % 6 == 0:
                status = ("done", "done", "qualification")[n % 3]
                world.do(TransitionTicket(ticket=opened, status=status), at + timedelta(hours=n % 4))
            if n % 7 == 0:
                world.do(AddComment(ticket=opened, body="more"), hour(6))
        world.project()
        yield world


def walk(world: World, by: tuple[TicketOrder, ...], size: int, *, down: bool, moment: Moment = NOW) -> list[int]:
    """Numbers of the tickets, page by page; from the end where `down`."""
    numbers: list[int] = []
    cursor: str | None = None
    while True:
        ask = PageAsk(last=size, before=cursor) if down else PageAsk(first=size, after=cursor)
        page = world.listed(None, by, ask, moment=moment)
        assert len(page.nodes) == len(page.cursors) <= size
        found = [row.number for row in page.nodes]
        numbers = [*found, *numbers] if down else [*numbers, *found]
        if not (page.has_previous if down else page.has_next):
            return numbers
        assert len(found) == size
        cursor = page.cursors[0 if down else -1]


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("field", FIELDS)
def test_pages_of_any_size_and_direction_add_up_to_the_list(
    crowd: World, field: TicketField, direction: Direction
) -> None:
    by = order(field, direction)
    whole = [row.number for row in crowd.listed(None, by).nodes]
    assert sorted(whole) == list(range(1, 24))
    for size in (1, 2, 3, 23):
        assert walk(crowd, by, size, down=False) == whole
        assert walk(crowd, by, size, down=True) == whole


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    by=st.lists(
        st.builds(TicketOrder, field=st.sampled_from(FIELDS), direction=st.sampled_from(Direction)),
        min_size=1,
        max_size=4,
    ),
    size=st.integers(1, 9),
    down=st.booleans(),
)
def test_any_combination_of_sorts_pages_without_a_gap(
    crowd: World, by: list[TicketOrder], size: int, down: bool
) -> None:
    whole = [row.number for row in crowd.listed(None, tuple(by)).nodes]
    assert sorted(whole) == list(range(1, 24))
    assert walk(crowd, tuple(by), size, down=down) == whole


@pytest.mark.parametrize("field", SPAN_FIELDS)
def test_a_past_moment_sorts_and_pages_too(crowd: World, field: TicketField) -> None:
    moment = Moment(occurred_at=hour(2))
    whole = [row.number for row in crowd.listed(None, order(field), moment=moment).nodes]
    assert sorted(whole) == list(range(1, 16))
    assert walk(crowd, order(field), 4, down=False, moment=moment) == whole


@pytest.mark.parametrize("direction", Direction)
def test_every_sort_puts_the_tickets_in_its_order(crowd: World, direction: Direction) -> None:
    rows = {field: crowd.listed(None, order(field, direction)).nodes for field in FIELDS}
    updated = {id_: one.updated_at for id_, one in crowd.ask(details, [r.id for r in rows[FIELDS[0]]], NOW).items()}
    values: dict[TicketField, list[Any]] = {
        TicketField.KEY: [row.number for row in rows[TicketField.KEY]],
        TicketField.PRIORITY: [tuple(Priority).index(row.priority) for row in rows[TicketField.PRIORITY]],
        TicketField.RANK: [row.rank for row in rows[TicketField.RANK]],
        TicketField.OPENED_AT: [row.opened_at for row in rows[TicketField.OPENED_AT]],
        TicketField.UPDATED_AT: [updated[row.id] for row in rows[TicketField.UPDATED_AT]],
        TicketField.STATUS_SINCE: [row.status_since for row in rows[TicketField.STATUS_SINCE]],
        TicketField.TITLE: [row.title.casefold() for row in rows[TicketField.TITLE]],
    }
    for field, found in values.items():
        assert found == sorted(found, reverse=direction is Direction.DESC), field
    for field, found in (
        (TicketField.DUE_AT, [row.due_at for row in rows[TicketField.DUE_AT]]),
        (TicketField.CLOSED_AT, [row.closed_at for row in rows[TicketField.CLOSED_AT]]),
    ):
        known = [at for at in found if at is not None]
        assert known == sorted(known, reverse=direction is Direction.DESC), field
        assert found == [*known, *[None] * (len(found) - len(known))], "null comes last in both directions"


def test_a_page_goes_on_where_it_ended_whatever_was_opened_meanwhile(world: World) -> None:
    for n in range(6):
        world.open(f"Ticket {n}", at=hour(n))
    world.project()
    newest_first = order(TicketField.KEY, Direction.DESC)
    page = world.listed(None, newest_first, PageAsk(first=3))
    assert [row.title for row in page.nodes] == ["Ticket 5", "Ticket 4", "Ticket 3"]
    world.open("New")
    world.project()
    page = world.listed(None, newest_first, PageAsk(first=3, after=page.cursors[-1]))
    assert [row.title for row in page.nodes] == ["Ticket 2", "Ticket 1", "Ticket 0"]
    assert not page.has_next
    page = world.listed(None, newest_first, PageAsk(last=3, before=page.cursors[0]))
    assert [row.title for row in page.nodes] == ["Ticket 5", "Ticket 4", "Ticket 3"]
    assert page.has_previous


def cursor_of(*values: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "?",
        "мусор",
        "AAAA",
        "\0",
        "A" * 5,
        cursor_of(),
        cursor_of(1),
        cursor_of(None),
        cursor_of("x"),
        cursor_of("1", "2"),
        cursor_of("1\0"),
        cursor_of("9" * 40),
        cursor_of("1e3"),
        cursor_of("'; drop table span"),
        cursor_of({"a": 1}),
        base64.urlsafe_b64encode(b"[" * 10_000).decode(),
        base64.urlsafe_b64encode(b'["\\ud800"]').decode(),
    ],
)
@pytest.mark.parametrize("field", [TicketField.KEY, TicketField.OPENED_AT, TicketField.TITLE])
def test_a_cursor_that_is_none_is_bad_input(crowd: World, field: TicketField, cursor: str) -> None:
    for ask in (PageAsk(first=2, after=cursor), PageAsk(last=2, before=cursor)):
        if field is TicketField.TITLE and cursor == cursor_of("1", "2"):
            crowd.listed(None, order(field), ask)  # might be one: a title and a number
        elif cursor:
            with pytest.raises(BadInput):
                crowd.listed(None, order(field), ask)


def test_a_cursor_of_another_order_is_bad_input_or_a_page_but_no_failure(crowd: World) -> None:
    cursors = [crowd.listed(None, order(field), PageAsk(first=1)).cursors[0] for field in FIELDS]
    for field in FIELDS:
        for cursor in cursors:
            try:
                crowd.listed(None, order(field), PageAsk(first=1, after=cursor))
            except BadInput:
                continue


@pytest.mark.parametrize(
    "ask",
    [
        PageAsk(first=0),
        PageAsk(first=-1),
        PageAsk(first=101),
        PageAsk(last=101),
        PageAsk(first=1, last=1),
        PageAsk(after="WzFd", last=1),
        PageAsk(before="WzFd", first=1),
        PageAsk(first=10**30),
    ],
)
def test_a_page_has_1_to_100_nodes_and_one_direction(crowd: World, ask: PageAsk) -> None:
    with pytest.raises(BadInput):
        crowd.listed(None, order(TicketField.KEY), ask)


def test_a_page_has_50_nodes_where_nothing_is_said_and_newest_first(crowd: World) -> None:
    page = crowd.ask(tickets, None, None, (), PageAsk(), NOW)
    assert [row.number for row in page.nodes] == list(range(23, 0, -1))
    assert not page.has_next
    assert not page.has_previous


def test_a_list_is_sorted_by_at_most_four_fields(crowd: World) -> None:
    with pytest.raises(BadInput, match="at most 4"):
        crowd.listed(None, order(TicketField.TITLE) * 5)


def test_as_of_a_moment_updated_at_does_not_sort(crowd: World) -> None:
    with pytest.raises(BadInput, match="UPDATED_AT"):
        crowd.listed(None, order(TicketField.UPDATED_AT), moment=Moment(position=5))


def test_the_count_is_of_all_that_match_not_of_the_page(crowd: World) -> None:
    tasks = TicketFilter(role=KeyFilter(eq="TASK"))
    assert crowd.ask(count, tasks, None, NOW) == 8
    many = condition(crowd.view(), "B", NOW)
    assert crowd.ask(count, tasks, many, NOW) == len(crowd.titles(tasks, search="B")) > 0
    assert crowd.ask(count, None, None, Moment(occurred_at=hour(0))) == 5


# ---- what spans do not hold


def details_of(world: World, id_: UUID, moment: Moment = NOW) -> TicketDetails:
    return world.ask(details, [id_], moment)[id_]


def test_details_follow_every_event_and_are_replayed_for_the_past(world: World) -> None:
    anna = world.person("Anna")
    first = world.do(_open("With a text"), hour(0))
    opened = first.stream
    comment = world.do(AddComment(ticket=opened, body="one"), hour(2))
    world.do(AssignTicket(ticket=opened, assignee=anna), hour(1))
    world.do(AddComment(ticket=opened, body="two", visibility=Visibility.INTERNAL), hour(5))
    last = world.do(SetPriority(ticket=opened, priority=Priority.LOW), hour(3))
    world.project()

    now = details_of(world, opened)
    assert now == TicketDetails(
        description="With a text",
        opened_by=world.admin.person,
        updated_at=hour(5),
        version=5,
        position=last.position,
        comment_count=2,
    )
    assert details_of(world, opened, Moment(position=last.position)) == now
    assert details_of(world, opened, Moment(occurred_at=hour(9))) == now
    then = details_of(world, opened, Moment(position=comment.position))
    assert (then.version, then.comment_count, then.updated_at) == (2, 1, hour(2))
    assert details_of(world, opened, Moment(occurred_at=hour(4))).comment_count == 1
    assert world.ask(details, [opened], Moment(position=first.position - 1)) == {}


def _open(description: str) -> OpenTicket:
    return OpenTicket(title="A ticket", role="TASK", description=description)


def test_who_opened_it_is_the_person_on_whose_behalf(world: World) -> None:
    anna = world.person("Anna")
    opened = world.do(_open("for Anna"), on_behalf_of=anna).stream
    world.do(AddComment(ticket=opened, body="mine"), on_behalf_of=anna)
    world.project()
    for moment in (NOW, Moment(position=10**6)):
        assert details_of(world, opened, moment).opened_by == anna
        assert world.of(opened, comments.comments, PageAsk(), moment).nodes[0].author == anna


def bodies(page: Page[CommentRow]) -> list[str]:
    return [row.body for row in page.nodes]


def test_comments_come_oldest_first_in_pages_both_ways(world: World) -> None:
    opened = world.open(at=hour(0))
    for n in (3, 1, 2, 2):
        world.do(AddComment(ticket=opened, body=f"at {n}"), hour(n))
    world.project()
    assert bodies(world.of(opened, comments.comments, PageAsk(), NOW)) == ["at 1", "at 2", "at 2", "at 3"]
    for size in (1, 2, 3):
        seen: list[CommentRow] = []
        page = world.of(opened, comments.comments, PageAsk(first=size), NOW)
        while True:
            seen += page.nodes
            if not page.has_next:
                break
            page = world.of(opened, comments.comments, PageAsk(first=size, after=page.cursors[-1]), NOW)
        assert [row.body for row in seen] == ["at 1", "at 2", "at 2", "at 3"]
        assert len({row.id for row in seen}) == 4
    page = world.of(opened, comments.comments, PageAsk(last=3), NOW)
    assert bodies(page) == ["at 2", "at 2", "at 3"]
    page = world.of(opened, comments.comments, PageAsk(last=3, before=page.cursors[0]), NOW)
    assert bodies(page) == ["at 1"]
    assert bodies(world.of(opened, comments.comments, PageAsk(), Moment(occurred_at=hour(1)))) == ["at 1"]
    for cursor in (cursor_of("x", 1), cursor_of(1)):
        with pytest.raises(BadInput):
            world.of(opened, comments.comments, PageAsk(after=cursor), NOW)


def test_comments_and_children_survive_a_role_change(world: World) -> None:
    parent, child = world.open("Deal", "LEAD"), world.open("Child")
    world.do(SetParent(ticket=child, parent=parent))
    world.do(AddComment(ticket=parent, body="call back"))
    world.do(ChangeRole(ticket=parent, role="PROJECT"))
    world.project()
    assert bodies(world.of(parent, comments.comments, PageAsk(), NOW)) == ["call back"]
    assert world.ask(child_counts, [parent], NOW)[parent].children == 1


def test_children_are_counted_with_those_done_at_any_moment(world: World) -> None:
    parent = world.open("Parent", "PROJECT", hour(0))
    for n in range(3):
        child = world.open(f"Child {n}", at=hour(0), parent=parent)
        if n < 2:
            world.do(TransitionTicket(ticket=child, status="done" if n else "cancelled"), hour(1 + n))
    world.project()
    found = world.ask(child_counts, [parent, uuid4()], NOW)
    assert (found[parent].children, found[parent].done) == (3, 2)
    assert found.keys() == {parent}
    assert world.ask(child_counts, [parent], Moment(occurred_at=hour(1)))[parent].done == 1


# ---- requesters


def test_a_requester_sees_their_own_tickets_and_what_is_public_in_them(world: World) -> None:
    clara, dora = world.person("Clara", PersonKind.CLIENT), world.person("Dora", PersonKind.CLIENT)
    parent = world.open("Clara's", "INQUIRY", hour(0), requester=clara)
    hidden = world.open("Nobody's", "TASK", hour(0), parent=parent)
    world.do(AddComment(ticket=parent, body="hello"), hour(1))
    world.do(AddComment(ticket=parent, body="awful client", visibility=Visibility.INTERNAL), hour(1))
    world.do(AddComment(ticket=hidden, body="elsewhere"), hour(1))
    world.project()
    (hello,) = [row.id for row in world.of(parent, comments.comments, PageAsk(), NOW).nodes if row.body == "hello"]
    every_comment = [row[0] for row in world.rows("select id from comment")]
    assert len(every_comment) == 3

    her, another, agent = world.requester(clara), world.requester(dora), world.actor(clara, Scope.AGENT)
    for moment in (NOW, Moment(position=10**6), Moment(occurred_at=hour(2))):
        assert world.titles(actor=her, moment=moment) == ["Clara's"]
        assert world.titles(actor=another, moment=moment) == []
        assert world.titles(actor=agent, moment=moment) == ["Clara's", "Nobody's"]
        assert world.ask_as(her, count, None, None, moment) == 1
        assert world.ask_as(her, ticket, id=hidden, key=None, moment=moment) is None
        assert world.ask_as(her, ticket, id=None, key="T-2", moment=moment) is None
        assert world.ask_as(her, by_ids, [parent, hidden], moment).keys() == {parent}
        assert world.ask_as(her, child_counts, [parent], moment) == {}
        assert world.ask_as(her, details, [parent, hidden], moment).keys() == {parent}
        assert world.ask_as(her, details, [parent], moment)[parent].comment_count == 1
        assert world.ask_as(another, details, [parent], moment) == {}
        assert bodies(world.of_as(her, parent, comments.comments, PageAsk(), moment)) == ["hello"]
        assert world.of_as(her, parent, comments.comment_counts, moment) == 1
        assert bodies(world.of_as(her, hidden, comments.comments, PageAsk(), moment)) == []
        assert bodies(world.of_as(another, parent, comments.comments, PageAsk(), moment)) == []
    assert world.ask_as(her, comments.by_ids, every_comment).keys() == {hello}
    assert world.ask_as(another, comments.by_ids, every_comment) == {}
    assert world.ask_as(agent, comments.by_ids, every_comment).keys() == set(every_comment)


def test_times_keep_their_microseconds_through_cursors(world: World) -> None:
    at = datetime(2026, 3, 3, 1, 2, 3, 456789, tzinfo=UTC)
    for n in range(4):
        world.open(f"{n}", at=at + timedelta(microseconds=n // 2))
    world.project()
    assert walk(world, order(TicketField.OPENED_AT), 1, down=False) == [1, 2, 3, 4]
    assert walk(world, order(TicketField.OPENED_AT, Direction.DESC), 1, down=False) == [4, 3, 2, 1]
