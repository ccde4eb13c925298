"""Filters: which tickets each condition matches."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.embedded_postgres import EmbeddedPostgres
from domain.people import PersonKind
from domain.tickets import AddComment, ChangeRole, Priority, SetParent, TransitionTicket
from domain.workflows import StatusCategory
from projections.filters import (
    CategoryFilter,
    FieldFilter,
    IdFilter,
    KeyFilter,
    PriorityFilter,
    TextFilter,
    TicketFilter,
    TimeFilter,
)
from projections.reading import BadInput, Moment
from tests.projections.conftest import World, a_world, hour

IDS: dict[str, UUID] = {}


@pytest.fixture(scope="module")
def shelf(postgres: EmbeddedPostgres) -> Iterator[World]:
    """Four tickets: each differs from the others in something that a filter can name."""
    with a_world(postgres) as world:
        anna, clara = world.person("Anna"), world.person("Clara", PersonKind.CLIENT)
        line, hosting = world.team("line1"), world.service("hosting")
        IDS.update(anna=anna, clara=clara, line=line, hosting=hosting)
        full = world.open(
            "Сайт не работает: 100% ошибок",
            "INCIDENT",
            hour(0),
            assignee=anna,
            team=line,
            requester=clara,
            service=hosting,
            priority=Priority.CRITICAL,
            channel="phone",
            tags=("site", "urgent"),
            fields={"budget": 1000, "city": "Пермь", "vip": True, "ratio": 0.5, "note": None},
            due_at=hour(24),
        )
        plain = world.open("Plain_task", "TASK", hour(1))
        done = world.open("Done soon", "TASK", hour(2), parent=full, tags=("site",), fields={"budget": 1})
        world.do(TransitionTicket(ticket=done, status="done"), hour(5))
        sold = world.open("A 100 percent sale", "LEAD", hour(3), priority=Priority.LOW, fields={"budget": "much"})
        IDS.update(full=full, plain=plain, done=done, sold=sold)
        world.do(AddComment(ticket=plain, body="still waiting"), hour(9))
        world.project()
        yield world


NAMES = {"Сайт не работает: 100% ошибок": "full", "Plain_task": "plain", "Done soon": "done"}


def matching(shelf: World, **named: Any) -> set[str]:
    titles = shelf.titles(TicketFilter(**named))
    return {NAMES.get(title, "sold") for title in titles}


def where(named: dict[str, Any]) -> TicketFilter:
    return TicketFilter(**named)


ALL = {"full", "plain", "done", "sold"}


def text(**how: Any) -> TextFilter:
    return TextFilter(**how)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, ALL),
        ({"title": text(eq="Plain_task")}, {"plain"}),
        ({"title": text(eq="plain_task")}, set()),
        ({"title": text(in_=["Plain_task", "Done soon", "?"])}, {"plain", "done"}),
        ({"title": text(in_=[])}, set()),
        ({"title": text(contains="САЙТ НЕ")}, {"full"}),
        ({"title": text(contains="100%")}, {"full"}),
        ({"title": text(contains="n_t")}, {"plain"}),
        ({"title": text(contains="_")}, {"plain"}),
        ({"title": text(contains="%")}, {"full"}),
        ({"title": text(contains="\\")}, set()),
        ({"title": text(contains="")}, ALL),
        ({"title": text(starts_with="сайт")}, {"full"}),
        ({"title": text(starts_with="работает")}, set()),
        ({"title": text(contains="soon", starts_with="done")}, {"done"}),
        ({"role": KeyFilter(eq="TASK")}, {"plain", "done"}),
        ({"role": KeyFilter(not_in=["TASK"])}, {"full", "sold"}),
        ({"workflow": KeyFilter(in_=["sales", "task"])}, {"plain", "done", "sold"}),
        ({"workflow": KeyFilter(is_null=True)}, set()),
        ({"status": KeyFilter(eq="todo")}, {"plain"}),
        ({"status": KeyFilter(eq="nowhere")}, set()),
        ({"category": CategoryFilter(eq=StatusCategory.DONE)}, {"done"}),
        ({"category": CategoryFilter(in_=[StatusCategory.NEW, StatusCategory.DONE])}, ALL),
        ({"category": CategoryFilter(not_in=[StatusCategory.NEW])}, {"done"}),
        ({"category": CategoryFilter(in_=[])}, set()),
        ({"category": CategoryFilter(not_in=[])}, ALL),
        ({"priority": PriorityFilter(eq=Priority.CRITICAL)}, {"full"}),
        ({"priority": PriorityFilter(in_=[Priority.CRITICAL, Priority.LOW])}, {"full", "sold"}),
        ({"priority": PriorityFilter(not_in=[Priority.NORMAL])}, {"full", "sold"}),
        ({"channel": KeyFilter(eq="phone")}, {"full"}),
        ({"channel": KeyFilter(not_in=["phone"])}, {"plain", "done", "sold"}),
        ({"tag": KeyFilter(eq="site")}, {"full", "done"}),
        ({"tag": KeyFilter(in_=["urgent", "other"])}, {"full"}),
        ({"tag": KeyFilter(in_=[])}, set()),
        ({"tag": KeyFilter(not_in=["urgent"])}, {"plain", "done", "sold"}),
        ({"tag": KeyFilter(is_null=True)}, {"plain", "sold"}),
        ({"tag": KeyFilter(eq=None)}, {"plain", "sold"}),
        ({"tag": KeyFilter(is_null=False)}, {"full", "done"}),
        ({"opened_at": TimeFilter(gte=hour(2))}, {"done", "sold"}),
        ({"opened_at": TimeFilter(gt=hour(2), lt=hour(9))}, {"sold"}),
        ({"opened_at": TimeFilter(lte=hour(0))}, {"full"}),
        ({"updated_at": TimeFilter(gte=hour(5))}, {"done", "plain"}),
        ({"closed_at": TimeFilter(is_null=False)}, {"done"}),
        ({"closed_at": TimeFilter(is_null=True)}, {"full", "plain", "sold"}),
        ({"closed_at": TimeFilter(gte=hour(5), lte=hour(5))}, {"done"}),
        ({"due_at": TimeFilter(gt=hour(0))}, {"full"}),
        ({"due_at": TimeFilter(lt=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))}, {"full"}),
        ({"due_at": TimeFilter(lt=datetime(1, 1, 1, tzinfo=UTC))}, set()),
        ({"key": text(eq="T-2")}, {"plain"}),
        ({"key": text(in_=["T-1", "T-3", "X-4"])}, {"full", "done"}),
        ({"key": text(starts_with="t-")}, ALL),
        ({"external_key": text(eq="T-2")}, set()),
        ({"external_key": text(contains="")}, set()),
        ({"title": text(contains="soon"), "role": KeyFilter(eq="LEAD")}, set()),
    ],
)
def test_a_field_of_the_filter_matches(shelf: World, named: dict[str, Any], expected: set[str]) -> None:
    assert matching(shelf, **named) == expected


@pytest.mark.parametrize(
    ("field", "of", "value"),
    [
        ("assignee", "full", "anna"),
        ("team", "full", "line"),
        ("requester", "full", "clara"),
        ("service", "full", "hosting"),
        ("parent", "done", "full"),
    ],
)
def test_an_id_matches_and_null_is_matched_by_not_in_and_not(shelf: World, field: str, of: str, value: str) -> None:
    id_, others = IDS[value], ALL - {of}

    def found(**how: Any) -> set[str]:
        return matching(shelf, **{field: IdFilter(**how)})

    assert found(eq=id_) == {of}
    assert found(in_=[id_, uuid4()]) == {of}
    assert found(in_=[]) == set()
    assert found(not_in=[id_]) == others
    assert found(not_in=[uuid4()]) == ALL
    assert found(is_null=True) == found(eq=None) == others
    assert found(is_null=False) == {of}
    assert found(eq=uuid4()) == set()
    assert matching(shelf, not_=where({field: IdFilter(eq=id_)})) == others
    assert matching(shelf, not_=where({field: IdFilter(in_=[id_])})) == others
    assert matching(shelf, not_=where({field: IdFilter(not_in=[id_])})) == {of}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"key": "budget", "eq": 1000}, {"full"}),
        ({"key": "budget", "eq": 1000.0}, {"full"}),
        ({"key": "budget", "eq": "1000"}, set()),
        ({"key": "budget", "eq": True}, set()),
        ({"key": "budget", "gt": 1}, {"full"}),
        ({"key": "budget", "gte": 1}, {"full", "done"}),
        ({"key": "budget", "lt": 1000}, {"done"}),
        ({"key": "budget", "lte": 1000, "gt": 0}, {"full", "done"}),
        ({"key": "budget", "gt": "a"}, {"sold"}),
        ({"key": "budget", "in_": [1, "much"]}, {"done", "sold"}),
        ({"key": "budget", "in_": []}, set()),
        ({"key": "budget", "in_": [None]}, {"plain"}),
        ({"key": "budget", "is_null": True}, {"plain"}),
        ({"key": "budget", "is_null": False}, {"full", "done", "sold"}),
        ({"key": "note", "is_null": True}, ALL),
        ({"key": "note", "eq": None}, ALL),
        ({"key": "city", "eq": "Пермь"}, {"full"}),
        ({"key": "city", "gte": "Омск"}, {"full"}),
        ({"key": "vip", "eq": True}, {"full"}),
        ({"key": "vip", "eq": False}, set()),
        ({"key": "ratio", "eq": 0.5}, {"full"}),
        ({"key": "ratio", "gt": 0.25, "lt": 1}, {"full"}),
        ({"key": "nowhere", "eq": 1}, set()),
        ({"key": "", "is_null": True}, ALL),
        ({"key": "b'); drop table span; --", "is_null": True}, ALL),
    ],
)
def test_a_custom_field_matches_by_its_own_type(shelf: World, how: dict[str, Any], expected: set[str]) -> None:
    assert matching(shelf, field=[FieldFilter(**how)]) == expected


def test_several_custom_fields_must_all_match(shelf: World) -> None:
    vip, rich = FieldFilter(key="vip", eq=True), FieldFilter(key="budget", gt=5000)
    assert matching(shelf, field=[vip]) == {"full"}
    assert matching(shelf, field=[vip, rich]) == set()
    assert matching(shelf, field=[]) == ALL


def test_and_or_and_not_nest(shelf: World) -> None:
    tasks, site = TicketFilter(role=KeyFilter(eq="TASK")), TicketFilter(tag=KeyFilter(eq="site"))
    closed = TicketFilter(closed_at=TimeFilter(is_null=False))
    assert matching(shelf, and_=[tasks, site]) == {"done"}
    assert matching(shelf, or_=[tasks, site]) == {"full", "plain", "done"}
    assert matching(shelf, not_=TicketFilter(or_=[tasks, site])) == {"sold"}
    assert matching(shelf, and_=[TicketFilter(or_=[tasks, site]), TicketFilter(not_=closed)]) == {"full", "plain"}
    assert matching(shelf, or_=[tasks], not_=closed) == {"plain"}
    assert matching(shelf, and_=[]) == ALL
    assert matching(shelf, or_=[]) == set()
    assert matching(shelf, not_=TicketFilter()) == set()
    assert matching(shelf, not_=TicketFilter(not_=tasks)) == {"plain", "done"}


def test_not_matches_where_the_field_is_absent(shelf: World) -> None:
    assert matching(shelf, not_=TicketFilter(due_at=TimeFilter(gt=hour(0)))) == {"plain", "done", "sold"}
    assert matching(shelf, not_=TicketFilter(field=[FieldFilter(key="vip", eq=True)])) == {"plain", "done", "sold"}
    assert matching(shelf, not_=TicketFilter(external_key=TextFilter(eq="x"))) == ALL


def test_filters_nest_and_grow_to_a_limit(shelf: World) -> None:
    deep = TicketFilter(title=TextFilter(eq="Plain_task"))
    for _ in range(8):
        deep = TicketFilter(and_=[deep])
    assert shelf.titles(deep) == ["Plain_task"]
    with pytest.raises(BadInput, match="8 deep"):
        shelf.titles(TicketFilter(and_=[deep]))
    one = TicketFilter(title=TextFilter(eq="Plain_task"))
    assert shelf.titles(TicketFilter(or_=[one] * 200)) == ["Plain_task"]
    with pytest.raises(BadInput, match="at most 200"):
        shelf.titles(TicketFilter(or_=[one] * 201))


@pytest.mark.parametrize(
    "named",
    [
        {"title": TextFilter(eq="\0")},
        {"title": TextFilter(in_=["a\0"])},
        {"title": TextFilter(contains="\ud800")},
        {"tag": KeyFilter(in_=["\0"])},
        {"status": KeyFilter(eq="\0")},
        {"field": [FieldFilter(key="\0", eq=1)]},
        {"field": [FieldFilter(key="a", eq="\0")]},
        {"field": [FieldFilter(key="a", in_=["\ud800"])]},
    ],
)
def test_text_that_cannot_be_stored_is_bad_input(shelf: World, named: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        shelf.titles(TicketFilter(**named))
    assert shelf.titles(TicketFilter(key=TextFilter(eq="T-2"))) == ["Plain_task"], "the connection goes on"


def test_enormous_numbers_and_strange_times_match_nothing_and_break_nothing(shelf: World) -> None:
    for value in (10**30, -(10**30), 1e300):
        assert matching(shelf, field=[FieldFilter(key="budget", eq=value)]) == set()
    assert matching(shelf, opened_at=TimeFilter(lt=datetime.min.replace(tzinfo=UTC))) == set()
    assert matching(shelf, opened_at=TimeFilter(lt=datetime.max.replace(tzinfo=UTC))) == ALL


def test_as_of_a_moment_filters_by_what_held_then(shelf: World) -> None:
    done_soon = TicketFilter(status=KeyFilter(eq="done"))
    assert shelf.titles(done_soon) == ["Done soon"]
    assert shelf.titles(done_soon, moment=Moment(occurred_at=hour(4))) == []
    assert len(shelf.titles(TicketFilter(role=KeyFilter(eq="TASK")), moment=Moment(occurred_at=hour(1)))) == 1
    closed_later = TicketFilter(closed_at=TimeFilter(is_null=False))
    assert shelf.titles(closed_later, moment=Moment(occurred_at=hour(4))) == []


def test_as_of_a_moment_updated_at_is_refused_by_name(shelf: World) -> None:
    hidden = TicketFilter(or_=[TicketFilter(not_=TicketFilter(updated_at=TimeFilter(gt=hour(0))))])
    for moment in (Moment(position=10), Moment(occurred_at=hour(1))):
        with pytest.raises(BadInput, match="updatedAt"):
            shelf.titles(hidden, moment=moment)
    assert shelf.titles(hidden) == ["Сайт не работает: 100% ошибок"]


def test_a_role_change_and_a_parent_are_seen_by_filters_at_once(world: World) -> None:
    parent, child = world.open("Parent", "PROJECT"), world.open("Child", "TASK")
    world.do(SetParent(ticket=child, parent=parent))
    world.do(ChangeRole(ticket=child, role="BUG"))
    world.project()
    assert world.titles(TicketFilter(parent=IdFilter(eq=parent), role=KeyFilter(eq="BUG"))) == ["Child"]
    world.do(SetParent(ticket=child, parent=None))
    world.project()
    assert world.titles(TicketFilter(parent=IdFilter(is_null=True))) == ["Parent", "Child"]
