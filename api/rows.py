"""Rows shown without a resolver per scalar: 500 cards of ten fields would call it 5,000 times.

A scalar that is an attribute of the row, or is made of the row alone, is read and serialized here. Whatever is more
than that (context, arguments, objects), and whatever goes wrong, goes the stock way, so that errors, nulls and paths
are GraphQL's own.
"""

from collections.abc import Awaitable, Callable
from inspect import isawaitable, iscoroutinefunction, signature
from operator import attrgetter
from typing import Any, NamedTuple

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, get_nullable_type, is_leaf_type
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.field import StrawberryField

from api.fields import is_list


class Column(NamedTuple):
    read: Callable[[Any], Any]
    serialize: Callable[[Any], Any]
    required: bool


class Plan(NamedTuple):
    """Of one selection set, kept while it is executed: `fields` itself too, so that its id is not given to another."""

    fields: Any
    columns: list[tuple[str, Column]]
    rest: dict[str, Any]


class Rows(StrawberryGraphQLCoreExecutionContext):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plans: dict[int, Plan] = {}

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Any,
        grouped_field_set: Any,
        position_context: Any,
    ) -> Any:
        plan = self._plans.get(id(grouped_field_set)) or self._plan(parent_type, grouped_field_set)
        stock = super().execute_fields
        results: dict[str, Any] = dict.fromkeys(grouped_field_set)  # answers keep the order of the query
        try:
            for name, (read, serialize, required) in plan.columns:
                value = read(source_value)
                if value is not None:
                    results[name] = serialize(value)
                elif required:
                    return stock(parent_type, source_value, path, grouped_field_set, position_context)
        except Exception:
            return stock(parent_type, source_value, path, grouped_field_set, position_context)
        if not plan.rest:
            return results
        others = stock(parent_type, source_value, path, plan.rest, position_context)
        if isawaitable(others):
            return _completed(results, others)
        results.update(others)
        return results

    def complete_iterable_value(
        self, item_type: Any, field_details_list: Any, info: Any, path: Any, items: Any, position_context: Any
    ) -> Any:
        return self._told(item_type, field_details_list, info, items) or super().complete_iterable_value(
            item_type, field_details_list, info, path, items, position_context
        )

    def _told(self, item_type: Any, field_details_list: Any, info: Any, rows: Any) -> list[dict[str, Any]] | None:
        """Rows that are all their columns, column by column. None where something is more than that, or goes wrong."""
        of = get_nullable_type(item_type)
        if not isinstance(of, GraphQLObjectType) or not is_list(rows) or not rows:
            return None
        fields, deferred, *_ = self.collect_subfields(of, field_details_list)
        plan = self._plans.get(id(fields)) or self._plan(of, fields)
        if plan.rest or deferred:
            return None
        try:
            if of.is_type_of is not None and not all(of.is_type_of(row, info) for row in rows):
                return None
            told = [_all_told(column, rows) for _, column in plan.columns]
        except Exception:
            return None
        names = [name for name, _ in plan.columns]
        return [dict(zip(names, values, strict=True)) for values in zip(*told, strict=True)]

    def _plan(self, of: GraphQLObjectType, fields: Any) -> Plan:
        plan = Plan(fields, [], {})
        for name, details in fields.items():
            field = of.fields.get(details[0].node.name.value)
            column = None if field is None else column_of(field, self.schema)
            if column is None:
                plan.rest[name] = details
            else:
                plan.columns.append((name, column))
        self._plans[id(fields)] = plan
        return plan


def _all_told(column: Column, rows: list[Any]) -> list[Any]:
    """Raises ValueError where there is a null that must not be."""
    read, serialize, required = column
    values = list(map(read, rows))
    if None not in values:
        return list(map(serialize, values))
    if required:
        raise ValueError("null in a column without nulls")
    return [None if value is None else serialize(value) for value in values]


async def _completed(results: dict[str, Any], others: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    results.update(await others)
    return results


def column_of(field: GraphQLField, schema: GraphQLSchema) -> Column | None:
    """None for a field that is more than its row tells. Found once per field."""
    if _COLUMN not in field.extensions:
        field.extensions[_COLUMN] = _column(field, schema)
    column: Column | None = field.extensions[_COLUMN]
    return column


_COLUMN = "proteus-column"


def _column(field: Any, schema: GraphQLSchema) -> Column | None:
    definition = field.extensions.get("strawberry-definition")
    if not isinstance(definition, StrawberryField) or field.args:
        return None
    read = _reader(definition)
    shape = str(field.type)
    name = shape.strip("[]!")
    leaf = schema.get_type(name)
    if read is None or definition.extensions or definition.permission_classes or not is_leaf_type(leaf):
        return None
    if shape.rstrip("!") == name:
        return Column(read, leaf.coerce_output_value, shape.endswith("!"))
    if shape.rstrip("!") == f"[{name}!]":
        return Column(read, _each(leaf.coerce_output_value), shape.endswith("!"))
    return None


def _reader(definition: Any) -> Callable[[Any], Any] | None:
    resolver = definition.base_resolver
    if resolver is None:
        return attrgetter(definition.python_name)
    resolve: Callable[[Any], Any] = resolver.wrapped_func
    of_row_alone = len(signature(resolve).parameters) == 1 and resolver.parent_parameter is not None
    return resolve if of_row_alone and not iscoroutinefunction(resolve) else None


def _each(serialize: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def serialize_all(values: Any) -> list[Any]:
        if None in values:
            raise ValueError("null in a list without nulls")
        return [serialize(value) for value in values]

    return serialize_all
