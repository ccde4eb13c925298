"""Values of a ticket's custom fields: checked as the workspace defines them, wherever they are set."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import text
from domain.custom_fields import Field, FieldType, value_of
from domain.errors import FieldNotFound, FieldRequired, InvalidValue, PersonNotFound, Refused, TeamNotFound
from domain.text import FieldValue, SealedValue
from domain.ticket_state import Surroundings, Ticket


class FieldSet(msgspec.Struct, frozen=True, kw_only=True):
    """A null clears it."""

    key: str
    value: SealedValue


class SetField(msgspec.Struct, frozen=True, kw_only=True):
    """Null clears it."""

    ticket: UUID
    field: str
    value: FieldValue


def decide(ticket: Ticket, command: SetField, around: Surroundings) -> list[FieldSet]:
    try:
        return changed(ticket, {command.field: command.value}, around)
    except FieldNotFound as refused:
        refused.field = ("field",)
        raise
    except Refused as refused:
        refused.field = ("value",)
        raise


def evolve(ticket: Ticket, event: FieldSet, at: datetime) -> Ticket:
    fields = {**ticket.fields, event.key: event.value}
    return replace(ticket, version=ticket.version + 1, last_at=at, fields=fields)


def changed(ticket: Ticket, fields: Mapping[str, FieldValue], around: Surroundings) -> list[FieldSet]:
    """What setting these fields changes. Raises a subclass of Refused."""
    wanted = checked(fields, ticket.role, around)
    events = [
        FieldSet(key=key, value=value)
        for key, value in wanted.items()
        if not text.same_value(ticket.fields.get(key), value)
    ]
    for event in events:
        if event.value is None and event.key in around.workflows.required_fields(ticket.role):
            raise FieldRequired(event.key, f"for the role {ticket.role}", custom=True)
    if len(ticket.fields | wanted) > text.FIELDS_LIMIT:
        raise InvalidValue(f"{ticket.key} would have more than {text.FIELDS_LIMIT} fields.", ("fields",))
    return events


def checked(fields: Mapping[str, FieldValue], role: str, around: Surroundings) -> dict[str, FieldValue]:
    """Values as they are recorded. A field that the workspace does not define takes any value, unless the workspace
    is strict. Raises FieldNotFound, InvalidValue, PersonNotFound, TeamNotFound."""
    if len(fields) > text.FIELDS_LIMIT:
        raise InvalidValue(f"{len(fields)} fields; {text.FIELDS_LIMIT} is the limit.", ("fields",))
    return {key: _checked(key, value, role, around) for key, value in fields.items()}


def _checked(key: str, value: FieldValue, role: str, around: Surroundings) -> FieldValue:
    text.key(key, "fields")
    workflows = around.workflows
    field = workflows.fields.get(key)
    if value is None:
        return None
    if field is None and not workflows.strict_fields:
        return text.field_value(key, value)
    if field is None or workflows.retired(field):
        raise FieldNotFound(key, workflows.fields.keys() - workflows.retired_fields, ("fields", key))
    if not field.belongs_to(role):
        raise InvalidValue(f"Tickets of the role {role} have no field {key!r}.", ("fields", key))
    taken = value_of(field, value)
    _must_be_here(field, taken, around)
    return taken


def _must_be_here(field: Field, value: FieldValue, around: Surroundings) -> None:
    if field.type is FieldType.PERSON:
        person = UUID(str(value))
        if person not in around.people or not around.people[person].active:
            raise PersonNotFound(person, f"fields.{field.key}")
    elif field.type is FieldType.TEAM and UUID(str(value)) not in around.teams:
        raise TeamNotFound(UUID(str(value)), f"fields.{field.key}")
