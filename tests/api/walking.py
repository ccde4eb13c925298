"""Every field of the schema, asked for: so that what a new field tells is looked at without anybody thinking of it."""

import re
from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_leaf_type,
)

from api.limits import ALIAS_LIMIT, TOKEN_LIMIT
from api.schema import schema as served

SCHEMA: GraphQLSchema = build_schema(served.as_str())
PAGE = 5
DEEP = 2
"""Levels of objects below a field, not counting connections' `nodes` and `edges`."""


def fields_of(kind: str) -> dict[str, GraphQLField]:
    root: Any = SCHEMA.type_map[kind]
    fields: dict[str, GraphQLField] = root.fields
    return fields


def queries(root: str, ids: list[str], keys: list[str]) -> Iterator[str]:
    """Every field of a root type and everything below it, spread over several requests, none of which is too big; then
    with every id and key in every argument that takes one, and the scalars below it. What may be null is asked for
    many at once, each under its field's name and a number: what is refused takes nothing from the rest."""
    for name, field in fields_of(root).items():
        each = list(_arguments(field, ids, keys))
        for arguments in dict.fromkeys(each[:2]):
            yield from (f"{name}{arguments} {selected}" for selected in selections(field))
        rest = [
            f"{name}{arguments} {selected}"
            for arguments in dict.fromkeys(each[2:])
            for selected in selections(field, deep=False)
        ]
        at_once = 1 if isinstance(field.type, GraphQLNonNull) else ALIAS_LIMIT
        for some in batched(rest, at_once):
            yield some[0] if at_once == 1 else " ".join(f"{name}_{n}: {one}" for n, one in enumerate(some))


def batched(items: list[str], size: int) -> Iterator[list[str]]:
    """As many as a request takes."""
    some: list[str] = []
    for item in items:
        if some and (len(some) == size or len(TOKEN.findall(" ".join([*some, item]))) > TOKEN_LIMIT - 10 * size):
            yield some
            some = []
        some.append(item)
    if some:
        yield some


TOKEN = re.compile(r'"[^"]*"|\w+|[^\s\w,]')


def selections(field: GraphQLField, *, deep: bool = True) -> Iterator[str]:
    """All scalars; and, if it is to go deep, one selection for each object that the field's own objects have."""
    named = get_named_type(field.type)
    if is_leaf_type(named):
        yield ""
        return
    for way, kind in _ways(named):
        plain = _scalars(kind)
        yield way.replace("…", plain)
        inner = kind.fields.items() if deep else ()
        for name, one in inner:
            if not is_leaf_type(get_named_type(one.type)):
                yield way.replace("…", f"{plain} {name}{_paged(one)} {_whole(one, DEEP - 1)}")


def _ways(named: Any) -> Iterator[tuple[str, Any]]:
    """From a type to what it holds: through a connection, or to each type of an interface."""
    if named.name.endswith("Connection"):
        node = get_named_type(named.fields["nodes"].type)
        yield (
            "{ totalCount pageInfo { startCursor endCursor } edges { cursor node { key: __typename } } nodes { … } }",
            node,
        )
    elif isinstance(named, GraphQLInterfaceType):
        for kind in SCHEMA.get_possible_types(named):
            yield f"{{ ... on {kind.name} {{ … }} }}", kind
    else:
        yield "{ … }", named


def _whole(field: GraphQLField, deep: int) -> str:
    named = get_named_type(field.type)
    if is_leaf_type(named):
        return ""
    way, kind = next(_ways(named))
    parts: list[str] = [_scalars(kind)]
    if deep:
        parts += [
            f"{name}{_paged(inner)} {_whole(inner, deep - 1)}"
            for name, inner in kind.fields.items()
            if not is_leaf_type(get_named_type(inner.type)) and not _needed(inner)
        ]
    return way.replace("…", " ".join(parts))


def _scalars(kind: Any) -> str:
    names = [name for name, field in kind.fields.items() if is_leaf_type(get_named_type(field.type))]
    return " ".join(["__typename", *names])


def _paged(field: GraphQLField) -> str:
    page = {"first": "2"} if "first" in field.args else {}
    return _written(page | needed(field, "nothing"))


def _needed(field: GraphQLField) -> bool:
    return any(
        isinstance(argument.type, GraphQLNonNull) and argument.default_value is None for argument in field.args.values()
    )


def _arguments(field: GraphQLField, ids: list[str], keys: list[str]) -> Iterator[str]:
    page = {"first": str(PAGE)} if "first" in field.args else {}
    required = needed(field, ids[0])
    yield _written(page | required)
    for name, argument in field.args.items():
        kind = get_named_type(argument.type).name
        values = ids if kind == "ID" else keys if kind == "String" and not _is_list(argument) else []
        for value in values:
            yield _written(page | required | {name: f'"{value}"'})


def needed(field: GraphQLField, id: str) -> dict[str, str]:
    """Arguments without which it cannot be asked."""
    return {
        name: literal(argument, id)
        for name, argument in field.args.items()
        if isinstance(argument.type, GraphQLNonNull) and not _has_default(argument)
    }


def _has_default(argument: Any) -> bool:
    return argument.ast_node is not None and argument.ast_node.default_value is not None


def _is_list(argument: GraphQLArgument) -> bool:
    return "[" in str(argument.type)


def _written(arguments: dict[str, str]) -> str:
    return f"({', '.join(f'{name}: {value}' for name, value in arguments.items())})" if arguments else ""


def literal(argument: Any, id: str) -> str:
    """Some value that an argument or an input's field takes."""
    kind = argument.type.of_type if isinstance(argument.type, GraphQLNonNull) else argument.type
    if isinstance(kind, GraphQLList):
        return "[]"
    if isinstance(kind, GraphQLEnumType):
        return str(next(iter(kind.values)))
    if isinstance(kind, GraphQLInputObjectType):
        return input_of(kind, id)
    known = {"ID": f'"{id}"', "Int": "1", "Boolean": "false", "JSON": "{}", "DateTime": '"2026-01-01T00:00:00Z"'}
    known["Date"] = '"2026-01-31"'
    return known.get(str(kind.name), '"x"')


def input_of(kind: GraphQLInputObjectType, id: str) -> str:
    """An input with what it needs, in which every id is this one; of those of which one is to be given, the last."""
    if kind.is_one_of:
        name, field = list(kind.fields.items())[-1]
        return f"{{{name}: {literal(field, id)}}}"
    fields = {
        name: literal(field, id)
        for name, field in kind.fields.items()
        if isinstance(field.type, GraphQLNonNull) and not _has_default(field)
    }
    return f"{{{', '.join(f'{name}: {value}' for name, value in fields.items())}}}"


def mutations(id: str) -> Iterator[tuple[str, str]]:
    """Every mutation that names something by id, naming this one; with all that its payload tells."""
    for name, field in fields_of("Mutation").items():
        kind = get_named_type(field.args["input"].type)
        assert isinstance(kind, GraphQLInputObjectType)
        written = input_of(kind, id)
        if id in written:
            payload: Any = get_named_type(field.type)
            assert isinstance(payload, GraphQLObjectType)
            yield name, f"mutation {{ {name}(input: {written}) {_whole(field, 2)} }}"
