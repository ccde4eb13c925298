"""Relay connections: pages of a list with cursors, and a count only for those who select it."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec
import strawberry

from api.fields import by, given
from projections.filters import PageAsk
from projections.reading import Page, encode_cursor

T = TypeVar("T")


class EdgeRow(msgspec.Struct, Generic[T], frozen=True):
    cursor: str
    node: T


class PageInfoRow(msgspec.Struct, frozen=True):
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


class ConnectionRow(msgspec.Struct, Generic[T], frozen=True):
    """A page, and how to count the whole list."""

    page: Page[T]
    count: Callable[[], Awaitable[int]]

    @property
    def nodes(self) -> list[T]:
        return self.page.nodes

    @property
    def edges(self) -> list[EdgeRow[T]]:
        return [EdgeRow(cursor, node) for cursor, node in zip(self.page.cursors, self.page.nodes, strict=True)]

    @property
    def page_info(self) -> PageInfoRow:
        keys = self.page.keys
        start, end = (encode_cursor(keys[0]), encode_cursor(keys[-1])) if keys else (None, None)
        return PageInfoRow(self.page.has_next, self.page.has_previous, start, end)


async def total_count(connection: strawberry.Parent[ConnectionRow[T]]) -> int:
    """Counted only when selected."""
    return await connection.count()


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type
class Edge(Generic[T]):
    cursor: str
    node: T


@strawberry.type
class Connection(Generic[T]):
    nodes: list[T]
    edges: list[Edge[T]]
    page_info: PageInfo
    total_count: int = by(total_count)


def page_ask(
    first: int | None = None, after: str | None = None, last: int | None = None, before: str | None = None
) -> PageAsk:
    return PageAsk(first=given(first), after=given(after), last=given(last), before=given(before))
