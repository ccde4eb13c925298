"""Declaring GraphQL types over the rows that queries return: a field without a resolver is the row's attribute."""

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

import strawberry

from api.context import Context

Info = strawberry.Info[Context, None]
T = TypeVar("T")


def by(resolver: Callable[..., Any], *, name: str | None = None, description: str | None = None) -> Any:
    """A field that a function answers. Its docstring describes the field; the type is the attribute's annotation,
    while the function returns the row that this type shows."""
    return strawberry.field(resolver=resolver, name=name, description=description or resolver.__doc__)


def given(value: T | None) -> T | None:
    """An argument for which absent and null mean the same."""
    return None if value is strawberry.UNSET else value


async def once_passed(info: Info, min_position: int | None, *read_models: str) -> None:
    """Waits for the read models to pass `minPosition`, where one is given. Raises ReadModelBehind."""
    position = given(min_position)
    if position is not None:
        await info.context.wait_for(position, *read_models)


def is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


@strawberry.interface
class Node:
    id: strawberry.ID
