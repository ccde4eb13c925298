"""Custom fields: how they are defined, which values they take, and where a value is checked."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import tickets, workflows
from domain.custom_fields import (
    Choice,
    DefineField,
    Field,
    FieldDefined,
    FieldPolicySet,
    FieldRetired,
    FieldType,
    RetireField,
    SetFieldPolicy,
    value_of,
)
from domain.errors import FieldNotFound, FieldRequired, InvalidValue, PersonNotFound, TeamNotFound
from domain.field_values import FieldSet, SetField
from domain.tickets import ChangeRole, OpenTicket, TransitionTicket
from tests.domain.given import (
    ANNA,
    FIRST_LINE,
    LEFT,
    OPENED,
    STRANGE_TEAM,
    TICKET,
    catalogue,
    knowing,
    some_workflows,
)

SEVERITY = Field(
    key="severity",
    name="Severity",
    type=FieldType.CHOICE,
    choices=(Choice(key="s1", name="Everything stands still"), Choice(key="s2", name="It disturbs")),
    roles=("INQUIRY", "INCIDENT"),
    required=("INCIDENT",),
)


def field(type_: FieldType, *choices: str) -> Field:
    return Field(key="x", name="X", type=type_, choices=tuple(Choice(key=key, name=key) for key in choices))


def changed(**changes: Any) -> Field:
    return msgspec.structs.replace(SEVERITY, **changes)


# ---- definitions

known = catalogue.given(
    workflows.WorkflowDefined(workflow=some_workflows().newest("support")),
    workflows.RoleDefined(role=some_workflows().role("INQUIRY")),
    workflows.RoleDefined(role=some_workflows().role("INCIDENT")),
)


def test_a_field_is_defined_and_defined_anew() -> None:
    known.when(DefineField(field=changed(name=" Severity "))).then(FieldDefined(field=SEVERITY))
    defined = known.given(FieldDefined(field=SEVERITY))
    defined.when(DefineField(field=SEVERITY)).nothing()
    wider = changed(roles=(), required=())
    defined.when(DefineField(field=wider)).then(FieldDefined(field=wider))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"key": "a b"}, "key"),
        ({"key": "assignee"}, "key"),
        ({"name": " "}, "name"),
        ({"choices": ()}, "choices"),
        ({"choices": (Choice(key="s1", name="A"), Choice(key="s1", name="B"))}, "choices"),
        ({"type": FieldType.TEXT}, "choices"),
        ({"roles": ("NOBODY",)}, "roles"),
        ({"required": ("NOBODY",)}, "requiredFor"),
        ({"roles": ("INQUIRY",)}, "requiredFor"),
    ],
)
def test_a_definition_that_says_nothing_sensible_is_refused(changes: dict[str, Any], path: str) -> None:
    known.when(DefineField(field=changed(**changes))).refused(InvalidValue, path)


def test_the_type_of_a_field_never_changes() -> None:
    other = changed(type=FieldType.CHOICES)
    known.given(FieldDefined(field=SEVERITY)).when(DefineField(field=other)).refused(InvalidValue, "type")


def test_a_field_is_retired_once_and_revived_by_defining_it() -> None:
    known.when(RetireField(field="severity")).refused(FieldNotFound, "field")
    defined = known.given(FieldDefined(field=SEVERITY))
    defined.when(RetireField(field="severity")).then(FieldRetired(key="severity"))
    retired = defined.given(FieldRetired(key="severity"))
    retired.when(RetireField(field="severity")).nothing()
    retired.when(DefineField(field=SEVERITY)).then(FieldDefined(field=SEVERITY))


def test_a_workspace_is_strict_or_not() -> None:
    known.when(SetFieldPolicy(strict=False)).nothing()
    known.when(SetFieldPolicy(strict=True)).then(FieldPolicySet(strict=True))


# ---- values


@pytest.mark.parametrize(
    ("of", "value", "taken"),
    [
        (field(FieldType.TEXT), "  Комната \n 312 ", "Комната 312"),
        (field(FieldType.LONG_TEXT), " one\ntwo ", "one\ntwo"),
        (field(FieldType.INTEGER), 5.0, 5),
        (field(FieldType.INTEGER), "-12", -12),
        (field(FieldType.NUMBER), "19.90", 19.9),
        (field(FieldType.NUMBER), 1e3, 1000),
        (field(FieldType.NUMBER), "0.1", 0.1),
        (field(FieldType.BOOLEAN), False, False),
        (field(FieldType.DATE), "2026-02-28", "2026-02-28"),
        (field(FieldType.TIME), "2026-03-01T09:00:00+03:00", "2026-03-01T06:00:00.000000Z"),
        (field(FieldType.CHOICE, "a", "b"), "b", "b"),
        (field(FieldType.CHOICES, "a", "b", "c"), ("c", "a", "c"), ("a", "c")),
        (field(FieldType.CHOICES, "a", "b"), "b", ("b",)),
        (field(FieldType.CHOICES, "a"), (), ()),
        (field(FieldType.PERSON), str(ANNA).upper(), str(ANNA)),
        (field(FieldType.URL), "https://пример.рф/a?b=1", "https://пример.рф/a?b=1"),
        (field(FieldType.URL), "tel:+79990000000", "tel:+79990000000"),
        (field(FieldType.DATE), None, None),
    ],
)
def test_a_value_is_kept_in_one_spelling(of: Field, value: Any, taken: Any) -> None:
    found = value_of(of, value)
    assert found == taken
    assert type(found) is type(taken)


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (field(FieldType.TEXT), 5),
        (field(FieldType.TEXT), " "),
        (field(FieldType.TEXT), "x" * 301),
        (field(FieldType.INTEGER), 5.5),
        (field(FieldType.INTEGER), True),
        (field(FieldType.INTEGER), 2**53),
        (field(FieldType.INTEGER), "five"),
        (field(FieldType.NUMBER), "0.1234567890123456"),
        (field(FieldType.NUMBER), float("nan")),
        (field(FieldType.NUMBER), float("inf")),
        (field(FieldType.NUMBER), "1e400"),
        (field(FieldType.NUMBER), "ten"),
        (field(FieldType.NUMBER), False),
        (field(FieldType.BOOLEAN), 1),
        (field(FieldType.DATE), "2026-02-30"),
        (field(FieldType.DATE), "20260228"),
        (field(FieldType.TIME), "2026-03-01T09:00:00"),
        (field(FieldType.TIME), "0001-01-01T00:00:00+03:00"),
        (field(FieldType.CHOICE, "a"), "b"),
        (field(FieldType.CHOICE, "a"), ("a",)),
        (field(FieldType.CHOICES, "a"), ("a", "b")),
        (field(FieldType.PERSON), "Anna"),
        (field(FieldType.URL), "javascript:alert(1)"),
        (field(FieldType.URL), "example.com"),
        (field(FieldType.URL), "https://"),
    ],
)
def test_what_a_type_does_not_take_is_refused_by_the_field_s_name(of: Field, value: Any) -> None:
    with pytest.raises(InvalidValue) as refused:
        value_of(of, value)
    assert refused.value.field == ("fields", "x")


@given(
    st.sampled_from([field(type_) for type_ in FieldType if "CHOICE" not in type_] + [field(FieldType.CHOICES, "a")]),
    st.one_of(
        st.text(), st.integers(), st.floats(), st.booleans(), st.decimals().map(str), st.datetimes().map(str), st.none()
    ),
)
def test_what_was_taken_once_is_taken_again_as_it_is(of: Field, value: Any) -> None:
    try:
        taken = value_of(of, value)
    except InvalidValue:
        return
    assert value_of(of, taken) == taken


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12))
def test_an_amount_of_money_comes_back_as_it_was_written(amount: Any) -> None:
    taken = value_of(field(FieldType.NUMBER), str(amount))
    assert f"{taken:.2f}" == f"{amount:.2f}" or not amount


# ---- on a ticket

LEAD = Field(key="lead", name="Lead", type=FieldType.PERSON)
CREW = Field(key="crew", name="Crew", type=FieldType.TEAM)
WITH_FIELDS = some_workflows(DefineField(field=SEVERITY), DefineField(field=LEAD), DefineField(field=CREW))
asked = knowing(workflows=WITH_FIELDS).given(OPENED)


def setting(key: str, value: Any) -> SetField:
    return SetField(ticket=TICKET, field=key, value=value)


def test_a_field_is_set_changed_and_cleared() -> None:
    asked.when(setting("severity", "s1")).then(FieldSet(key="severity", value="s1"))
    severe = asked.given(FieldSet(key="severity", value="s1"))
    severe.when(setting("severity", "s1")).nothing()
    severe.when(setting("severity", None)).then(FieldSet(key="severity", value=None))
    asked.when(setting("severity", None)).nothing()


def test_a_value_is_refused_where_it_was_given() -> None:
    asked.when(setting("severity", "s3")).refused(InvalidValue, "value")
    move = TransitionTicket(ticket=TICKET, status="waiting", fields={"severity": "s3"})
    asked.when(move).refused(InvalidValue, "fields", "severity")
    knowing(workflows=WITH_FIELDS).when(OpenTicket(title="x", role="INQUIRY", fields={"severity": 3})).refused(
        InvalidValue, "fields", "severity"
    )


def test_people_and_teams_in_fields_are_here() -> None:
    asked.when(setting("lead", str(ANNA))).then(FieldSet(key="lead", value=str(ANNA)))
    asked.when(setting("crew", str(FIRST_LINE))).then(FieldSet(key="crew", value=str(FIRST_LINE)))
    asked.when(setting("lead", str(LEFT))).refused(PersonNotFound, "value")
    asked.when(setting("lead", str(UUID(int=9)))).refused(PersonNotFound, "value")
    asked.when(setting("crew", str(STRANGE_TEAM))).refused(TeamNotFound, "value")


def test_a_role_has_the_fields_that_say_so() -> None:
    task = knowing(workflows=WITH_FIELDS).given(tickets.TicketOpened(**{**_asdict(OPENED), "role": "TASK"}))
    task.when(setting("severity", "s1")).refused(InvalidValue, "value")
    task.when(setting("severity", None)).nothing()


def test_a_role_that_requires_a_field_is_not_taken_without_it_nor_is_the_field_cleared() -> None:
    to_incident = ChangeRole(ticket=TICKET, role="INCIDENT")
    asked.when(to_incident).refused(FieldRequired, "fields", "severity")
    severe = asked.given(FieldSet(key="severity", value="s2"))
    (event,) = severe.when(to_incident).events
    severe.given(event).when(setting("severity", None)).refused(FieldRequired, "value")
    knowing(workflows=WITH_FIELDS).when(OpenTicket(title="x", role="INCIDENT")).refused(
        FieldRequired, "fields", "severity"
    )


def test_a_retired_field_can_be_cleared_and_not_set() -> None:
    retired = some_workflows(DefineField(field=SEVERITY), RetireField(field="severity"))
    severe = knowing(workflows=retired).given(OPENED, FieldSet(key="severity", value="s1"))
    severe.when(setting("severity", "s2")).refused(FieldNotFound, "field")
    severe.when(setting("severity", None)).then(FieldSet(key="severity", value=None))
    severe.when(ChangeRole(ticket=TICKET, role="INCIDENT")).then(
        tickets.RoleChanged(
            role="INCIDENT", workflow="support", workflow_version=1, status="new", category=workflows.StatusCategory.NEW
        )
    )


def test_undefined_fields_are_for_workspaces_that_are_not_strict() -> None:
    asked.when(setting("room", "12")).then(FieldSet(key="room", value="12"))
    strict = knowing(workflows=some_workflows(SetFieldPolicy(strict=True))).given(
        OPENED, FieldSet(key="room", value="12")
    )
    strict.when(setting("room", "13")).refused(FieldNotFound, "field")
    strict.when(setting("room", None)).then(FieldSet(key="room", value=None))


def _asdict(event: tickets.TicketOpened) -> dict[str, Any]:
    return msgspec.structs.asdict(event)
