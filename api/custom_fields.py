"""Definitions of custom fields, and the commands that make them."""

import strawberry
from strawberry import UNSET, Parent

from api.commands import CommandInput, Done, Payload, perform, wait_until_readable
from api.fields import Info, by, given
from api.workflows import Role
from application.workflows import handle
from domain import custom_fields, workflows
from domain.custom_fields import DefineField, FieldType, RetireField, SetFieldPolicy

strawberry.enum(FieldType)


@strawberry.type
class Choice:
    key: str
    name: str


def _roles_of(field: Parent[custom_fields.Field], info: Info) -> list[workflows.Role]:
    """Which have it; none named, every role has it."""
    return [info.context.workflows.roles[key] for key in field.roles]


def _required_for(field: Parent[custom_fields.Field], info: Info) -> list[workflows.Role]:
    """Roles whose tickets must have it."""
    return [info.context.workflows.roles[key] for key in field.required]


def _active(field: Parent[custom_fields.Field], info: Info) -> bool:
    """False once it is retired: values stay, no new one is set."""
    return not info.context.workflows.retired(field)


@strawberry.type(description="What the workspace's tickets carry beside what every ticket has.")
class Field:
    key: str
    name: str
    type: FieldType
    choices: list[Choice]
    roles: list[Role] = by(_roles_of)
    required_for: list[Role] = by(_required_for)
    active: bool = by(_active)


async def _fields(info: Info, role: str | None = UNSET, retired: bool = False) -> list[custom_fields.Field]:
    """By key; those of one role, if it is named. Retired ones only if asked for."""
    known = info.context.workflows
    return [
        field
        for _, field in sorted(known.fields.items())
        if (retired or not known.retired(field)) and (not given(role) or field.belongs_to(str(role)))
    ]


@strawberry.type(description="`strict`: only fields that are defined can be set, except by imports.")
class FieldPolicy:
    strict: bool


async def _policy(info: Info) -> FieldPolicy:
    return FieldPolicy(strict=info.context.workflows.strict_fields)


@strawberry.type
class CustomFieldQueries:
    fields: list[Field] = by(_fields)
    field_policy: FieldPolicy = by(_policy)


# ---- commands


@strawberry.input
class ChoiceInput:
    key: str
    name: str


@strawberry.input(
    description=(
        "Defines a field, or defines it anew; its type never changes. `roles`: which have it, every role where none is"
        " named. `requiredFor`: roles whose tickets must have it, from now on. Values that were recorded before stay."
    )
)
class DefineFieldInput(CommandInput):
    key: str
    name: str
    type: FieldType
    choices: list[ChoiceInput] | None = UNSET
    roles: list[str] | None = UNSET
    required_for: list[str] | None = UNSET


@strawberry.input(description="Values stay, and can be cleared; no new one is set. Defining it anew revives it.")
class RetireFieldInput(CommandInput):
    field: str


@strawberry.input(description="`strict`: only fields that are defined can be set, except by imports.")
class SetFieldPolicyInput(CommandInput):
    strict: bool


async def _after(done: Parent[Done], info: Info) -> custom_fields.Field | None:
    """As it is now; null if the read model has not come that far within 2 s."""
    match done.command:
        case DefineField(field=field):
            key = field.key
        case RetireField(field=key):
            pass
        case _:
            return None
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "directory"):
        return None
    return info.context.workflows.fields.get(key)


async def _policy_after(done: Parent[Done], info: Info) -> FieldPolicy | None:
    """As it is now; null if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "directory"):
        return None
    return await _policy(info)


@strawberry.type
class FieldPayload(Payload):
    field: Field | None = by(_after)


@strawberry.type
class FieldPolicyPayload(Payload):
    field_policy: FieldPolicy | None = by(_policy_after)


async def define_field(info: Info, input: DefineFieldInput) -> Done:
    choices = (custom_fields.Choice(key=one.key, name=one.name) for one in given(input.choices) or ())
    field = custom_fields.Field(
        key=input.key,
        name=input.name,
        type=input.type,
        choices=tuple(choices),
        roles=tuple(given(input.roles) or ()),
        required=tuple(given(input.required_for) or ()),
    )
    return await perform(info, input, DefineField(field=field), handle)


async def retire_field(info: Info, input: RetireFieldInput) -> Done:
    return await perform(info, input, RetireField, handle)


async def set_field_policy(info: Info, input: SetFieldPolicyInput) -> Done:
    return await perform(info, input, SetFieldPolicy, handle)


@strawberry.type
class CustomFieldMutations:
    define_field: FieldPayload = by(define_field)
    retire_field: FieldPayload = by(retire_field)
    set_field_policy: FieldPolicyPayload = by(set_field_policy)
