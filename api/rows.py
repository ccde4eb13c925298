"""Rows shown without a resolver per scalar: 500 cards of ten fields would call it 5,000 times.

A scalar that is an attribute of the row, or is made of the row alone, is read and serialized here. A list is told
column by column, with the objects and the lists in its rows (the cards of all cells together), as long as nobody must
be waited for. Whatever is more than that (arguments), and whatever goes wrong, goes the stock way, so that errors,
nulls and paths are GraphQL's own; functions that answer fields may be asked a second time for that, and only read.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable, iscoroutine, iscoroutinefunction, signature
from itertools import chain, islice
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import strawberry
from graphql import (
    ExecutionResult,
    GraphQLEnumType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationType,
    is_leaf_type,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.field import StrawberryField

from api.fields import READS, is_list
from api.live_answers import Wanted
from api.scalars import write_times
from application.privacy.reads import Way


class Column(NamedTuple):
    """`serialize_all` is the same of many values, none of them null."""

    read: Callable[[Any], Any]
    serialize: Callable[[Any], Any]
    serialize_all: Callable[[list[Any]], list[Any]]
    required: bool


class Looked(NamedTuple):
    """A field that a function answers from the row and what the request carries, or an object that the row holds, or a
    list of such. `key`: of the row, all that the function looks at; None: it may look at anything."""

    look: Callable[[Any, Any], Any]
    key: Callable[[Any], Any] | None
    field: Any
    of: Any
    required: bool
    many: bool


class Plan(NamedTuple):
    """Of one selection set, kept while it is executed: `fields` itself too, so that its id is not given to another."""

    fields: Any
    columns: dict[str, Column]
    looked: dict[str, Looked]
    rest: dict[str, Any]
    """All that are no columns."""
    read: Callable[[Any], UUID | None] | None
    """Of which ticket it shows something to read; None where of none."""


_IDENTITY = frozenset({"__typename", "id", "key", "url"})
"""What may be shown of a ticket without it being read."""
_READ: dict[str, Callable[[Any], UUID | None]] = {
    "Ticket": attrgetter("id"),
    "TracedTicket": attrgetter("id"),
    "Event": lambda event: event.ticket or event.about,
    "SearchHit": attrgetter("ticket.id"),
    "StatementLine": attrgetter("charge.ticket"),
    "EstimateComparison": attrgetter("estimate.ticket"),
    "QualityPair": attrgetter("request"),
    **dict.fromkeys(
        (
            *("Comment", "Attachment", "TicketDiff", "Holding", "WorkEntry", "Timer", "Estimate", "Rating"),
            *("StatementCorrection", "DocumentLine", "TracedWork", "TracedStatement", "TicketGapEntry"),
        ),
        attrgetter("ticket"),
    ),
}
"""By the type that shows it; of what is shown within a ticket alone, the ticket is read."""
_WAYS = {
    OperationType.QUERY: Way.QUERY,
    OperationType.MUTATION: Way.MUTATION,
    OperationType.SUBSCRIPTION: Way.SUBSCRIPTION,
}


class Rows(StrawberryGraphQLCoreExecutionContext):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plans: dict[int, Plan] = {}
        self._read: set[UUID | None] = set()

    async def _logged(self, result: Any) -> Any:
        if isawaitable(result):
            result = await result
        read = {ticket for ticket in self._read if ticket is not None}
        if read:
            await self.context_value.log_reads(read, _WAYS[self.operation.operation])
        return result

    def build_per_event_executor(self, payload: Any) -> Any:
        """With plans of its own: those of a subscription's events would grow for as long as it lasts."""
        stock: Any = super()
        executor = stock.build_per_event_executor(payload)
        executor._plans = {}
        return executor

    def execute_operation(self, serially: bool | None = None) -> Any:
        """What a subscription asks for is handed out together with what executes it for each event. What was read is
        logged before it is shown, of each event's answer, too."""
        if isinstance(self.root_value, Wanted):
            return ExecutionResult(self, None)  # type: ignore[arg-type]
        self._read = set()
        result = super().execute_operation(serially)
        return self._logged(result) if isawaitable(result) or self._read else result

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Any,
        grouped_field_set: Any,
        position_context: Any,
    ) -> Any:
        plan = self._plans.get(id(grouped_field_set)) or self._plan(parent_type, grouped_field_set)
        if plan.read is not None:
            self._read.add(plan.read(source_value))
        stock = super().execute_fields
        results: dict[str, Any] = dict.fromkeys(grouped_field_set)  # answers keep the order of the query
        try:
            for name, column in plan.columns.items():
                value = column.read(source_value)
                if value is not None:
                    results[name] = column.serialize(value)
                elif column.required:
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
        told = self._told(item_type, field_details_list, info, items)
        if told is not None:
            return told
        stock: Any = super()
        return stock.complete_iterable_value(item_type, field_details_list, info, path, items, position_context)

    def _told(self, item_type: Any, field_details_list: Any, info: Any, rows: Any) -> list[dict[str, Any]] | None:
        """None where something must go the stock way."""
        of = _nullable(item_type)
        if not isinstance(of, GraphQLObjectType) or not is_list(rows) or not rows:
            return None
        fields, deferred, *_ = self.collect_subfields(of, field_details_list)
        plan = self._plans.get(id(fields)) or self._plan(of, fields)
        if deferred or not fields or len(plan.looked) < len(plan.rest):
            return None
        try:
            if of.is_type_of is not None and not all(of.is_type_of(row, info) for row in rows):
                return None
            told = [
                _all_told(plan.columns[name], rows)
                if name in plan.columns
                else self._all_looked(plan.looked[name], details, of, info, rows)
                for name, details in fields.items()
            ]
        except Exception:
            return None
        if plan.read is not None:
            self._read.update(map(plan.read, rows))
        return [dict(zip(fields, values, strict=True)) for values in zip(*told, strict=True)]

    def _all_looked(self, looked: Looked, details: Any, parent: Any, info: Any, rows: list[Any]) -> list[Any]:
        """Raises ValueError where there is a null that must not be, or a value that is not there yet."""
        executor: Any = self
        raw = executor.build_resolve_info(looked.field, [one.node for one in details], parent, info.path)
        here = strawberry.Info(_raw_info=raw, _field=looked.field.extensions["strawberry-definition"])
        keys = list(map(looked.key or id, rows))
        values: dict[Any, Any] = {}
        for key, row in dict(zip(keys, rows, strict=True)).items():
            value = values[key] = looked.look(row, here)
            if executor.is_awaitable(value):
                if iscoroutine(value):
                    value.close()
                raise ValueError("to be waited for")
        return _with_nulls(
            [values[key] for key in keys], partial(self._all_shown, looked, details, info), required=looked.required
        )

    def _all_shown(self, looked: Looked, details: Any, info: Any, values: list[Any]) -> list[Any]:
        """Objects that many rows name are told once."""
        if looked.many:
            return self._all_lists_shown(looked, details, info, values)
        if is_leaf_type(looked.of):
            return [looked.of.coerce_output_value(value) for value in values]
        once = {id(value): value for value in values}
        told = self._told(looked.of, details, info, list(once.values()))
        if told is None:
            raise ValueError("more than columns")
        by_id = dict(zip(once, told, strict=True))
        return [by_id[id(value)] for value in values]

    def _all_lists_shown(self, looked: Looked, details: Any, info: Any, values: list[Any]) -> list[Any]:
        """The items of all of them as one list."""
        if not all(map(is_list, values)):
            raise ValueError("no list")
        items = list(chain.from_iterable(values))
        told = self._told(looked.of, details, info, items) if items else []
        if told is None:
            raise ValueError("more than columns")
        following = iter(told)
        return [list(islice(following, len(value))) for value in values]

    def _plan(self, of: GraphQLObjectType, fields: Any) -> Plan:
        names = {details[0].node.name.value for details in fields.values()}
        plan = Plan(fields, {}, {}, {}, None if names <= _IDENTITY else _READ.get(of.name))
        for name, details in fields.items():
            field = of.fields.get(details[0].node.name.value)
            column = None if field is None else column_of(field, self.schema)
            if column is not None:
                plan.columns[name] = column
                continue
            plan.rest[name] = details
            looked = None if field is None else looked_of(field)
            if looked is not None:
                plan.looked[name] = looked
        self._plans[id(fields)] = plan
        return plan


def _all_told(column: Column, rows: list[Any]) -> list[Any]:
    """Raises ValueError where there is a null that must not be."""
    return _with_nulls(list(map(column.read, rows)), column.serialize_all, required=column.required)


def _with_nulls(values: list[Any], show_all: Callable[[list[Any]], list[Any]], *, required: bool) -> list[Any]:
    """Raises ValueError where there is a null that must not be."""
    present = [value for value in values if value is not None]
    if len(present) == len(values):
        return show_all(values)
    if required:
        raise ValueError("null in a column without nulls")
    if not present:
        return values
    following = iter(show_all(present))
    return [None if value is None else next(following) for value in values]


def _nullable(of: Any) -> Any:
    return of.of_type if str(of).endswith("!") else of


async def _completed(results: dict[str, Any], others: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    results.update(await others)
    return results


def column_of(field: GraphQLField, schema: GraphQLSchema) -> Column | None:
    """None for a field that is more than its row tells. Found once per field."""
    if _COLUMN not in field.extensions:
        field.extensions[_COLUMN] = _column(field, schema)
    column: Column | None = field.extensions[_COLUMN]
    return column


def looked_of(field: GraphQLField) -> Looked | None:
    """Found once per field."""
    if _LOOKED not in field.extensions:
        field.extensions[_LOOKED] = _looked(field)
    looked: Looked | None = field.extensions[_LOOKED]
    return looked


_COLUMN, _LOOKED = "proteus-column", "proteus-looked"


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
    serialize, required = leaf.coerce_output_value, shape.endswith("!")
    if shape.rstrip("!") == name:
        return Column(read, serialize, _all_by(leaf, serialize), required)
    if shape.rstrip("!") == f"[{name}!]":
        each = _each(serialize)
        return Column(read, each, partial(_all_lists, name, each), required)
    return None


def _all_by(leaf: Any, serialize: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    if leaf.name == "DateTime":
        return write_times
    if isinstance(leaf, GraphQLEnumType):
        return partial(_mapped, _Names(serialize).__getitem__)
    if leaf.name in _PLAIN:
        return partial(_as_they_are, _PLAIN[leaf.name], serialize)
    return partial(_mapped, serialize)


_PLAIN: dict[str, type] = {"String": str, "ID": str, "Boolean": bool}
"""Values of these scalars are shown as they are, if they are of this very type."""


def _mapped(serialize: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    return list(map(serialize, values))


def _as_they_are(plain: type, serialize: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    return values if set(map(type, values)) == {plain} else list(map(serialize, values))


def _all_lists(of: str, each: Callable[[Any], list[Any]], values: list[Any]) -> list[Any]:
    plain = of in _PLAIN and set(map(type, values)) == {list}
    if plain and set(map(type, chain.from_iterable(values))) <= {_PLAIN[of]}:
        return values
    return list(map(each, values))


class _Names(dict[Any, Any]):
    """Of an enum's values, found once."""

    def __init__(self, serialize: Callable[[Any], Any]) -> None:
        super().__init__()
        self._serialize = serialize

    def __missing__(self, value: Any) -> Any:
        name = self[value] = self._serialize(value)
        return name


def _looked(field: Any) -> Looked | None:
    definition = field.extensions.get("strawberry-definition")
    shape = _nullable(field.type)
    many = str(shape).startswith("[")
    of = _nullable(shape.of_type) if many else shape
    if not isinstance(definition, StrawberryField) or field.args or definition.extensions:
        return None
    if definition.permission_classes or not (isinstance(of, GraphQLObjectType) or (is_leaf_type(of) and not many)):
        return None
    look = _looker(definition)
    reads = definition.metadata.get(READS)
    key = attrgetter(*reads) if reads and "id" not in reads else None  # no two rows agree in that
    return None if look is None else Looked(look, key, field, of, shape is not field.type, many)


def _looker(definition: Any) -> Callable[[Any, Any], Any] | None:
    resolver = definition.base_resolver
    if resolver is None:
        get = attrgetter(definition.python_name)
        return lambda row, _: get(row)
    resolve: Callable[..., Any] = resolver.wrapped_func
    if iscoroutinefunction(resolve) or resolver.parent_parameter is None:
        return None
    given = [one.name for one in (resolver.parent_parameter, resolver.info_parameter) if one]
    if list(signature(resolve).parameters) != given:
        return None
    return resolve if resolver.info_parameter else lambda row, _: resolve(row)


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
