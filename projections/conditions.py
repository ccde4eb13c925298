"""From what a client asks (`filters`) to SQL conditions over spans. Every value is an argument, never text."""

from collections.abc import Callable, Sequence
from typing import Any, LiteralString

import msgspec
from msgspec import UNSET
from psycopg import sql
from psycopg.types.json import Jsonb

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
from projections.reading import BadInput
from projections.spans import PRIORITY_ORDER

DEEPEST = 8
MOST_CONDITIONS = 200


class Conditions:
    """Collects conditions and their arguments under names that cannot clash."""

    def __init__(self) -> None:
        self.arguments: dict[str, Any] = {}

    def argument(self, value: object) -> sql.Placeholder:
        name = f"f{len(self.arguments)}"
        if len(self.arguments) >= MOST_CONDITIONS:
            raise BadInput(f"A filter has at most {MOST_CONDITIONS} values to compare with.")
        self.arguments[name] = value
        return sql.Placeholder(name)

    def compare(self, column: sql.Composable, operator: LiteralString, value: object) -> sql.Composed:
        return sql.SQL("{} " + operator + " {}").format(column, self.argument(value))

    def ticket(self, filter_: TicketFilter, depth: int = 0) -> sql.Composable:
        """Raises BadInput."""
        if depth > DEEPEST:
            raise BadInput(f"Filters nest at most {DEEPEST} deep.")
        parts: list[sql.Composable] = []
        if filter_.and_ is not UNSET:
            parts += [self.ticket(part, depth + 1) for part in filter_.and_]
        if filter_.or_ is not UNSET:
            parts.append(_any([self.ticket(part, depth + 1) for part in filter_.or_]))
        if filter_.not_ is not UNSET:
            # `is not true`, since `not` is to match tickets where the value is absent too
            parts.append(sql.SQL("({}) is not true").format(self.ticket(filter_.not_, depth + 1)))
        for name, write in _WRITERS.items():
            value = getattr(filter_, name)
            if value is not UNSET and value is not None:
                parts.append(write(self, value))
        return _all(parts)


def names(filter_: TicketFilter, *wanted: str) -> bool:
    """Whether the filter names one of these fields, at any depth."""
    inner = [
        *(filter_.and_ if filter_.and_ is not UNSET else ()),
        *(filter_.or_ if filter_.or_ is not UNSET else ()),
        *((filter_.not_,) if filter_.not_ is not UNSET else ()),
    ]
    return any(getattr(filter_, name) is not UNSET for name in wanted) or any(names(part, *wanted) for part in inner)


def _all(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("({})").format(sql.SQL(" and ").join(parts)) if parts else sql.SQL("true")


def _any(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("({})").format(sql.SQL(" or ").join(parts)) if parts else sql.SQL("false")


def values(
    conditions: Conditions,
    column: sql.Composable,
    asked: KeyFilter | IdFilter | CategoryFilter | PriorityFilter,
    encode: Callable[[Any], Any] = lambda value: value,
) -> sql.Composable:
    parts: list[sql.Composable] = []
    if asked.eq is not UNSET:
        if asked.eq is None:
            parts.append(sql.SQL("{} is null").format(column))
        else:
            parts.append(conditions.compare(column, "=", encode(asked.eq)))
    if asked.in_ is not UNSET:
        parts.append(sql.SQL("{} = any({})").format(column, conditions.argument([encode(v) for v in asked.in_])))
    if asked.not_in is not UNSET:
        values = conditions.argument([encode(v) for v in asked.not_in])
        parts.append(sql.SQL("({0} is null or {0} <> all({1}))").format(column, values))
    if isinstance(asked, KeyFilter | IdFilter) and asked.is_null is not UNSET:
        parts.append(sql.SQL("{} is null" if asked.is_null else "{} is not null").format(column))
    return _all(parts)


def text(conditions: Conditions, column: sql.Composable, asked: TextFilter) -> sql.Composable:
    parts: list[sql.Composable] = []
    if asked.eq is not UNSET:
        parts.append(conditions.compare(column, "=", asked.eq))
    if asked.in_ is not UNSET:
        parts.append(sql.SQL("{} = any({})").format(column, conditions.argument(asked.in_)))
    if asked.contains is not UNSET:
        value = conditions.argument(asked.contains)
        parts.append(sql.SQL("strpos(lower({}), lower({})) > 0").format(column, value))
    if asked.starts_with is not UNSET:
        value = conditions.argument(asked.starts_with)
        parts.append(sql.SQL("starts_with(lower({}), lower({}))").format(column, value))
    return _all(parts)


def times(conditions: Conditions, column: sql.Composable, asked: TimeFilter) -> sql.Composable:
    parts: list[sql.Composable] = []
    for name, operator in _TIME_OPERATORS:
        value = getattr(asked, name)
        if value is not UNSET and value is not None:
            parts.append(conditions.compare(column, operator, value))
    if asked.is_null is not UNSET:
        parts.append(sql.SQL("{} is null" if asked.is_null else "{} is not null").format(column))
    return _all(parts)


_TIME_OPERATORS: tuple[tuple[str, LiteralString], ...] = (
    ("gt", ">"),
    ("gte", ">="),
    ("lt", "<"),
    ("lte", "<="),
)
_FIELD_OPERATORS: tuple[tuple[str, LiteralString], ...] = (("eq", "="), *_TIME_OPERATORS)


def _among(
    conditions: Conditions, column: LiteralString, kind: LiteralString, asked: KeyFilter | IdFilter
) -> sql.Composable:
    """Of a column with several values; null is none."""
    parts: list[sql.Composable] = []
    if asked.eq is None:
        parts.append(sql.SQL(column + " = '{{}}'").format())
    elif asked.eq is not UNSET:
        parts.append(sql.SQL("{} = any(" + column + ")").format(conditions.argument(asked.eq)))
    if asked.in_ is not UNSET:
        parts.append(sql.SQL(column + " && {}::" + kind + "[]").format(conditions.argument(asked.in_)))
    if asked.not_in is not UNSET:
        parts.append(sql.SQL("not (" + column + " && {}::" + kind + "[])").format(conditions.argument(asked.not_in)))
    if asked.is_null is not UNSET:
        parts.append(sql.SQL(column + (" = '{{}}'" if asked.is_null else " <> '{{}}'")).format())
    return _all(parts)


def _fields(conditions: Conditions, asked: Sequence[FieldFilter]) -> sql.Composable:
    return _all([_field(conditions, one) for one in asked])


_AMONG: LiteralString = "(jsonb_typeof({0}) = 'array' and jsonb_typeof({1}) <> 'array' and {0} @> {1})"
"""One of several choices."""


def _field(conditions: Conditions, asked: FieldFilter) -> sql.Composable:
    """Compares JSON values of one type: a number is never greater than a text. A field that is not there is null."""
    value = sql.SQL("coalesce(s.fields -> {}, 'null')").format(conditions.argument(asked.key))
    parts: list[sql.Composable] = []
    for name, operator in _FIELD_OPERATORS:
        other = getattr(asked, name)
        if other is UNSET:
            continue
        wanted = conditions.argument(Jsonb(other, dumps=msgspec.json.encode))
        same = sql.SQL("(jsonb_typeof({0}) = jsonb_typeof({1}) and {0} " + operator + " {1})").format(value, wanted)
        parts.append(_any([same, sql.SQL(_AMONG).format(value, wanted)]) if name == "eq" else same)
    if asked.in_ is not UNSET:
        wanted = conditions.argument([Jsonb(one, dumps=msgspec.json.encode) for one in asked.in_])
        among = sql.SQL("exists (select from unnest({}::jsonb[]) one where {})").format(
            wanted, sql.SQL(_AMONG).format(value, sql.SQL("one"))
        )
        parts.append(_any([sql.SQL("{} = any({}::jsonb[])").format(value, wanted), among]))
    if asked.is_null is not UNSET:
        parts.append(sql.SQL("{} = 'null'" if asked.is_null else "{} <> 'null'").format(value))
    return _all(parts)


def _key(conditions: Conditions, asked: TextFilter) -> sql.Composable:
    return text(conditions, sql.SQL("('T-' || s.number)"), asked)


def _column(name: str) -> sql.Identifier:
    return sql.Identifier("s", name)


_WRITERS: dict[str, Callable[[Conditions, Any], sql.Composable]] = {
    "key": _key,
    "external_key": lambda c, asked: text(c, _column("external_key"), asked),
    "title": lambda c, asked: text(c, _column("title"), asked),
    "role": lambda c, asked: values(c, _column("role"), asked),
    "workflow": lambda c, asked: values(c, _column("workflow"), asked),
    "status": lambda c, asked: values(c, _column("status"), asked),
    "category": lambda c, asked: values(c, _column("category"), asked, str),
    "assignee": lambda c, asked: values(c, _column("assignee"), asked),
    "contributor": lambda c, asked: _among(c, "s.contributors", "uuid", asked),
    "team": lambda c, asked: values(c, _column("team"), asked),
    "requester": lambda c, asked: values(c, _column("requester"), asked),
    "service": lambda c, asked: values(c, _column("service"), asked),
    "parent": lambda c, asked: values(c, _column("parent"), asked),
    "priority": lambda c, asked: values(c, _column("priority"), asked, lambda value: PRIORITY_ORDER[value]),
    "channel": lambda c, asked: values(c, _column("channel"), asked),
    "tag": lambda c, asked: _among(c, "s.tags", "text", asked),
    "field": _fields,
    "opened_at": lambda c, asked: times(c, _column("opened_at"), asked),
    "updated_at": lambda c, asked: times(c, sql.Identifier("t", "updated_at"), asked),
    "closed_at": lambda c, asked: times(c, _column("closed_at"), asked),
    "start_at": lambda c, asked: times(c, _column("start_at"), asked),
    "due_at": lambda c, asked: times(c, _column("due_at"), asked),
}
