"""Values of custom fields in a source: checked, and spelled, as the workspace defines the fields."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from uuid import UUID

from msgspec.structs import replace

from application.event_store.streams import WorkspaceStore
from application.handling import now
from application.imports.names import Known
from application.imports.spool import BOOLEANS, SpooledRow
from domain.custom_fields import Field, FieldType
from domain.field_values import checked
from domain.people import Person
from domain.teams import Team
from domain.text import FieldValue
from domain.ticket_state import Surroundings
from domain.workflows import Workflows

_NAMING = (FieldType.PERSON, FieldType.TEAM)


class CustomFields:
    """Of one workspace, as they are defined when the import begins. A field that is not defined takes any value. A
    person is named by id, name or e-mail, a team by id, name or key: those that were here before the import."""

    def __init__(self, workspace: WorkspaceStore, workflows: Workflows, known: Known) -> None:
        self._workspace, self._known = workspace, known
        self._fields = workflows.fields
        self._around = Surroundings(now=now(), workflows=replace(workflows, strict_fields=False))

    def look_up(self, rows: Iterable[SpooledRow]) -> None:
        """The people and teams that these rows name, so that their values can be checked."""
        naming = [key for key, field in self._fields.items() if field.type in _NAMING]
        if not naming:
            return
        said = ((key, row.said.fields.get(key)) for row in rows for key in naming)
        values = {self._meant(key, value) for key, value in said if isinstance(value, str)}
        ids: set[UUID] = set()
        for value in values:
            with suppress(ValueError):
                ids.add(UUID(str(value)))
        states = [(id_, stream.state) for id_, stream in self._workspace.load(ids).items()]
        self._around = replace(
            self._around,
            people={id_: state for id_, state in states if isinstance(state, Person)},
            teams={id_: state for id_, state in states if isinstance(state, Team)},
        )

    def checked(self, values: Mapping[str, FieldValue], role: str) -> dict[str, FieldValue]:
        """Of a ticket of that role. Raises a subclass of Refused."""
        if not self._fields or not values:
            return dict(values)
        return checked({key: self._meant(key, value) for key, value in values.items()}, role, self._around)

    def _meant(self, key: str, value: FieldValue) -> FieldValue:
        """What a cell means in a field of that type: sources write names of choices, lists and booleans as text."""
        field = self._fields.get(key)
        if field is None or not isinstance(value, str):
            return value
        match field.type:
            case FieldType.BOOLEAN:
                return BOOLEANS.get(value.casefold(), value)
            case FieldType.CHOICE:
                return _choice(field, value)
            case FieldType.PERSON:
                return str(self._known.named("people", value) or value)
            case FieldType.TEAM:
                return str(self._known.named("teams", value) or value)
            case FieldType.CHOICES:
                parts = (part.strip() for part in value.split("\n" if "\n" in value else ","))
                return tuple(_choice(field, part) for part in parts if part)
            case _:
                return value


def _choice(field: Field, text: str) -> str:
    """The key of the choice that has this key, else of the one that has this name."""
    if any(choice.key == text for choice in field.choices):
        return text
    return next((choice.key for choice in field.choices if choice.name == text), text)
