"""What a client may ask, as the contract writes it; converted by names into `projections.filters`."""

from datetime import datetime
from typing import Any, TypeVar, cast

import msgspec
import strawberry
from strawberry import ID, UNSET
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_camel_case

from api.field_values import value_inward
from api.fields import Info, is_list
from api.ids import NAMED_BY, Kind, decode
from api.scalars import Position
from domain.custom_fields import FieldType, value_of
from domain.errors import InvalidValue
from domain.people import PersonKind
from domain.text import FieldValue
from domain.tickets import Priority
from domain.work import WorkFlag, WorkOrigin
from domain.workflows import StatusCategory, Workflows
from projections import filters
from projections.filters import BoardAxis, Direction, TicketField
from projections.reading import BadInput

for _enum in (PersonKind, Priority, StatusCategory, BoardAxis, Direction, TicketField, WorkFlag, WorkOrigin):
    strawberry.enum(_enum)


@strawberry.input
class KeyFilter:
    eq: str | None = UNSET
    in_: list[str] | None = strawberry.field(name="in", default=UNSET)
    not_in: list[str] | None = UNSET
    is_null: bool | None = UNSET


@strawberry.input
class IdFilter:
    eq: ID | None = UNSET
    in_: list[ID] | None = strawberry.field(name="in", default=UNSET)
    not_in: list[ID] | None = UNSET
    is_null: bool | None = UNSET


@strawberry.input
class TextFilter:
    eq: str | None = UNSET
    in_: list[str] | None = strawberry.field(name="in", default=UNSET)
    contains: str | None = UNSET
    starts_with: str | None = UNSET


@strawberry.input
class TimeFilter:
    gt: datetime | None = UNSET
    gte: datetime | None = UNSET
    lt: datetime | None = UNSET
    lte: datetime | None = UNSET
    is_null: bool | None = UNSET


@strawberry.input
class CategoryFilter:
    eq: StatusCategory | None = UNSET
    in_: list[StatusCategory] | None = strawberry.field(name="in", default=UNSET)
    not_in: list[StatusCategory] | None = UNSET


@strawberry.input
class PriorityFilter:
    eq: Priority | None = UNSET
    in_: list[Priority] | None = strawberry.field(name="in", default=UNSET)
    not_in: list[Priority] | None = UNSET


@strawberry.input(description="A custom field by key; the value's type follows the field's definition.")
class FieldFilter:
    key: str
    eq: JSON | None = UNSET
    in_: list[JSON] | None = strawberry.field(name="in", default=UNSET)
    gt: JSON | None = UNSET
    gte: JSON | None = UNSET
    lt: JSON | None = UNSET
    lte: JSON | None = UNSET
    is_null: bool | None = UNSET


@strawberry.input(description="All that is named must hold. `notIn` and `not` match null.")
class TicketFilter:
    and_: list["TicketFilter"] | None = strawberry.field(name="and", default=UNSET)
    or_: list["TicketFilter"] | None = strawberry.field(name="or", default=UNSET)
    not_: "TicketFilter | None" = strawberry.field(name="not", default=UNSET)
    key: TextFilter | None = UNSET
    external_key: TextFilter | None = UNSET
    title: TextFilter | None = UNSET
    role: KeyFilter | None = UNSET
    workflow: KeyFilter | None = UNSET
    status: KeyFilter | None = UNSET
    category: CategoryFilter | None = UNSET
    assignee: IdFilter | None = UNSET
    contributor: IdFilter | None = UNSET
    team: IdFilter | None = UNSET
    requester: IdFilter | None = UNSET
    service: IdFilter | None = UNSET
    parent: IdFilter | None = UNSET
    priority: PriorityFilter | None = UNSET
    channel: KeyFilter | None = UNSET
    tag: KeyFilter | None = UNSET
    field: list[FieldFilter] | None = UNSET
    opened_at: TimeFilter | None = UNSET
    updated_at: TimeFilter | None = UNSET
    closed_at: TimeFilter | None = UNSET
    start_at: TimeFilter | None = UNSET
    due_at: TimeFilter | None = UNSET


@strawberry.input
class PersonFilter:
    name: TextFilter | None = UNSET
    kind: PersonKind | None = UNSET
    team: IdFilter | None = UNSET
    active: bool | None = UNSET


@strawberry.input
class WorkFilter:
    ticket: IdFilter | None = UNSET
    person: IdFilter | None = UNSET
    service: IdFilter | None = UNSET
    started_at: TimeFilter | None = UNSET
    billable: bool | None = UNSET
    flag: WorkFlag | None = UNSET


@strawberry.input
class TicketOrder:
    field: TicketField
    direction: Direction = Direction.ASC


@strawberry.input(
    description=(
        "Which knowledge, and which moment. `position` or `recordedAt` (not both) chooses what the server had recorded"
        " (default: all of it); `occurredAt` chooses the moment in the tickets' own time (default: the end). They may"
        " be combined: 'what did we know on Friday about Monday?' Lists and boards as of a moment filter and sort by"
        " what spans hold; another field there is BAD_USER_INPUT that names it."
    )
)
class AsOf:
    position: Position | None = UNSET
    recorded_at: datetime | None = UNSET
    occurred_at: datetime | None = UNSET


S = TypeVar("S", bound=msgspec.Struct)

_NULL_IS_ABSENT = ("AsOf",)
_NULL_IS_A_VALUE = ("FieldFilter", "eq")


def asked(given: object, kind: type[S]) -> S | None:
    """The struct of the same name and with the same fields; None for what was not asked. Raises BadInput, WrongId."""
    if given is None or given is UNSET:
        return None
    assert type(given).__name__ == kind.__name__, "inputs and structs bear the contract's names"
    return cast("S", _converted(given, "filter", None))


def _converted(given: Any, path: str, id_kind: Kind | None) -> Any:
    name = type(given).__name__
    if is_list(given):
        return [_converted(one, path, id_kind) for one in given]
    struct = getattr(filters, name, None)
    if struct is None or not issubclass(struct, msgspec.Struct):
        return decode(given, id_kind) if id_kind is not None and isinstance(given, str) else given
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(given, field.name)
        here = f"{path}.{to_camel_case(field.name.rstrip('_'))}"
        if value is UNSET or (value is None and name in _NULL_IS_ABSENT):
            continue
        if value is None and (name, field.name) != _NULL_IS_A_VALUE:
            raise BadInput(f"{here} is null. Leave it out, or ask isNull.")
        if name == "FieldFilter":
            values[field.name] = _plain(value, here)
        else:
            values[field.name] = _converted(value, here, NAMED_BY.get(field.name, id_kind))
    return struct(**values)


def _plain(value: Any, path: str) -> Any:
    """A custom field's value is a text, a number, a truth value or null."""
    for one in value if is_list(value) else [value]:
        if not isinstance(one, str | int | float | bool | None):
            raise BadInput(f"{path}: custom fields hold texts, numbers, truth values or null.")
    return value


def asked_tickets(info: Info, given: TicketFilter | None) -> filters.TicketFilter | None:
    """As `asked`; values of custom fields are taken as their definitions say. Raises BadInput, WrongId."""
    wanted = asked(given, filters.TicketFilter)
    return None if wanted is None else _typed(wanted, info.context.workflows)


def _typed(wanted: filters.TicketFilter, known: Workflows) -> filters.TicketFilter:
    changes: dict[str, Any] = {}
    for name in ("and_", "or_"):
        parts = getattr(wanted, name)
        if parts is not msgspec.UNSET:
            changes[name] = [_typed(part, known) for part in parts]
    if wanted.not_ is not msgspec.UNSET:
        changes["not_"] = _typed(wanted.not_, known)
    if wanted.field is not msgspec.UNSET:
        changes["field"] = [_typed_field(one, known) for one in wanted.field]
    return msgspec.structs.replace(wanted, **changes) if changes else wanted


_COMPARED = (FieldType.INTEGER, FieldType.NUMBER, FieldType.DATE, FieldType.TIME, FieldType.PERSON, FieldType.TEAM)
"""Types whose values have another spelling than the client's, or none at all."""


def _typed_field(wanted: filters.FieldFilter, known: Workflows) -> filters.FieldFilter:
    field = known.fields.get(wanted.key)
    if field is None or field.type not in _COMPARED:
        return wanted

    def taken(value: Any) -> FieldValue:
        try:
            return value_of(field, value_inward(known, wanted.key, value))
        except InvalidValue as error:
            raise BadInput(f"filter.field: {error.message}") from None

    changes: dict[str, Any] = {
        name: taken(value)
        for name in ("eq", "gt", "gte", "lt", "lte")
        if (value := getattr(wanted, name)) is not msgspec.UNSET
    }
    if wanted.in_ is not msgspec.UNSET:
        changes["in_"] = [taken(value) for value in wanted.in_]
    return msgspec.structs.replace(wanted, **changes)
