"""Declaring GraphQL types over the rows that queries return: a field without a resolver is the row's attribute."""

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar, cast

import strawberry
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLResolveInfo,
    InlineFragmentNode,
    NamedTypeNode,
    SelectionSetNode,
    get_named_type,
)

from api.context import Context

Info = strawberry.Info[Context, None]
T = TypeVar("T")


def by(
    resolver: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    reads: tuple[str, ...] | None = None,
) -> Any:
    """A field that a function answers. Its docstring describes the field; the type is the attribute's annotation,
    while the function returns the row that this type shows. `reads`: the attributes of its parent that it looks at;
    rows that agree in them get one answer. None: it may look at any."""
    return strawberry.field(
        resolver=resolver, name=name, description=description or resolver.__doc__, metadata={READS: reads}
    )


READS = "reads"


def given(value: T | None) -> T | None:
    """An argument for which absent and null mean the same."""
    return None if value is strawberry.UNSET else value


async def once_passed(info: Info, min_position: int | None, *read_models: str) -> None:
    """Waits for the read models to pass `minPosition`, where one is given. Raises ReadModelBehind."""
    position = given(min_position)
    if position is not None:
        await info.context.wait_for(position, *read_models)


def selected(info: Info, type_name: str) -> frozenset[str]:
    """The fields that the operation selects of a type, anywhere: sometimes one too many, never one too few."""
    if info.context.selected is None:
        raw: Any = info._raw_info  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportUnknownVariableType]
        info.context.selected = _Selected(raw).names
    names = info.context.selected
    return frozenset(names.get(type_name, ())) | frozenset(names.get("Node", ()))


class _Selected:
    """Field names by the type that they are selected of."""

    def __init__(self, raw: GraphQLResolveInfo[Any]) -> None:
        self.names: dict[str, set[str]] = {}
        self._schema, self._fragments = raw.schema, raw.fragments
        self._spread: set[str] = set()
        root = raw.schema.get_root_type(raw.operation.operation)
        assert root is not None
        self._collect(raw.operation.selection_set, root)

    def _collect(self, selections: SelectionSetNode, of: GraphQLNamedType) -> None:
        names = self.names.setdefault(of.name, set())
        for node in selections.selections:
            if isinstance(node, FieldNode):
                names.add(node.name.value)
                field = getattr(of, "fields", {}).get(node.name.value)
                if node.selection_set is not None and field is not None:
                    self._collect(node.selection_set, cast(GraphQLNamedType, get_named_type(field.type)))
            elif isinstance(node, InlineFragmentNode):
                self._collect(node.selection_set, self._type(node.type_condition) or of)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in self._spread:
                self._spread.add(node.name.value)
                fragment = self._fragments[node.name.value]
                self._collect(fragment.selection_set, self._type(fragment.type_condition) or of)

    def _type(self, named: NamedTypeNode | None) -> GraphQLNamedType | None:
        return None if named is None else self._schema.get_type(named.name.value)


def is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


@strawberry.interface
class Node:
    id: strawberry.ID
