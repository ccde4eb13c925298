"""The quick way over rows gives, to the letter, what the stock executor gives."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
import strawberry
from hypothesis import given
from hypothesis import strategies as st
from strawberry.schema.config import StrawberryConfig

from api.fields import by
from api.rows import Rows
from api.scalars import SCALARS, Position, write_time, write_times


@strawberry.enum
class Color(Enum):
    RED = "r"
    BLUE = "b"


class Row(NamedTuple):
    name: str | None
    color: Any = Color.RED
    at: datetime = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    position: int = 2**60
    tags: list[str | None] = ["a", "b"]  # noqa: RUF012
    nick: str | None = None


def upper(row: strawberry.Parent[Row]) -> str | None:
    return row.name and row.name.upper()


async def later(row: strawberry.Parent[Row]) -> str:
    await asyncio.sleep(0)
    if row.name == "sick":
        raise ValueError("sick")
    return f"later {row.name}"


def befriend(row: strawberry.Parent[Row], info: strawberry.Info) -> Row | None:
    if row.name == "sad":
        raise ValueError("sad")
    return None if row.nick else Row(f"friend of {row.name}", nick="friend")


def acquaint(row: strawberry.Parent[Row]) -> Any:
    """As many as its name has letters; none of two."""
    if row.name == "two":
        return []
    return [Row(letter if letter != "!" else None, nick=row.name) for letter in row.name or ""]


def shortly(row: strawberry.Parent[Row], info: strawberry.Info) -> Any:
    return later(row) if row.nick else f"soon {row.name} {info.field_name}"


def repeated(row: strawberry.Parent[Row], times: int = 2) -> str:
    return (row.name or "") * times


@strawberry.type
class Thing:
    name: str
    color: Color
    at: datetime
    position: Position
    tags: list[str]
    nick: str | None
    upper: str = by(upper)
    later: str | None = by(later)
    repeated: str = by(repeated)
    inner: "Thing" = by(lambda: Row("inner"))
    friend: "Thing | None" = by(befriend)
    needed: "Thing" = by(befriend)
    soon: str | None = by(shortly)
    letters: "list[Thing]" = by(acquaint)
    some: "list[Thing | None] | None" = by(acquaint)


ROWS = [Row("one"), Row("two", Color.BLUE, nick="2")]
BROKEN = {
    "null": [Row("one"), Row(None)],
    "enum": [Row("one", "no color")],
    "tag": [Row("one", tags=["a", None])],
    "late": [Row("sick"), Row("one")],
    "sad": [Row("one"), Row("sad")],
    "alone": [Row("one"), Row("two", nick="2")],
    "item": [Row("one"), None],
    "things": [Row("one"), Row(None)],
    "letters": [Row("one"), Row("two"), Row("!?")],
}


@strawberry.type
class Query:
    @strawberry.field
    def things(self) -> list[Thing]:
        return ROWS  # type: ignore[return-value]

    @strawberry.field
    def broken(self, how: str) -> list[Thing | None] | None:
        return BROKEN[how]  # type: ignore[return-value]


def schema(**options: Any) -> strawberry.Schema:
    return strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS), **options)


STOCK, QUICK = schema(), schema(execution_context_class=Rows)


@pytest.mark.parametrize(
    "query",
    [
        "{ things { name color at position tags nick upper } }",
        "{ things { a: name name b: name nick __typename } }",
        "{ things { ...f upper ... on Thing { tags } } } fragment f on Thing { name inner { nick name } }",
        "query($no: Boolean = false) { things { name @skip(if: true) nick @include(if: $no) at @include(if: true) } }",
        "{ things { later name repeated(times: 3) color r: repeated } }",
        "{ things { inner { inner { name later } } } }",
        "{ things { friend { name at friend { name } } name soon } }",
        "{ things { color friend { later name } } }",
        "{ things { friend { soon name } } }",
        "{ things { name friend { ...f } f: friend { nick } } } fragment f on Thing { name friend { name tags } }",
        '{ broken(how: "sad") { name friend { name } } }',
        '{ broken(how: "alone") { name needed { name } } }',
        '{ broken(how: "alone") { name soon } }',
        '{ broken(how: "item") { name friend { name } } }',
        '{ broken(how: "things") { friend { name } name } }',
        "{ things { __typename friend { __typename } } }",
        "{ things { name letters { name nick letters { name tags } } some { at } } }",
        "{ things { letters { name friend { name } soon } a: letters { repeated } } }",
        '{ broken(how: "letters") { name some { name } } }',
        '{ broken(how: "letters") { name letters { name } } }',
        '{ broken(how: "letters") { letters { nick letters { name } } } }',
        '{ broken(how: "item") { letters { name } } }',
        "{ things { name @skip(if: true) } }",
        "{ things { name friend { name @include(if: false) } } }",
        '{ broken(how: "null") { name } }',
        '{ broken(how: "null") { later upper } }',
        '{ broken(how: "enum") { nick color } }',
        '{ broken(how: "tag") { tags } }',
        '{ broken(how: "late") { later name } }',
    ],
)
def test_answers_and_errors_are_the_same(query: str) -> None:
    stock, quick = (asyncio.run(one.execute(query)) for one in (STOCK, QUICK))
    assert quick.data == stock.data
    assert str(quick.data) == str(stock.data), "and in the same order"
    assert [error.formatted for error in quick.errors or ()] == [error.formatted for error in stock.errors or ()]


@given(
    st.lists(st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("UTC"), timezone(timedelta(hours=3))])), min_size=1)
)
def test_many_times_are_written_as_each_of_them_is(times: list[datetime]) -> None:
    assert write_times(times) == [write_time(one) for one in times]
