"""Roles, workflows and custom fields as data: statuses, allowed transitions, what they require, where a role change
lands.

One stream per workspace holds them all, so that a definition is checked against every other one. Definitions
are versioned: a ticket keeps the version that it entered until it moves.
"""
# pyright: reportUnusedImport=false

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import assert_never

import msgspec

from domain import custom_fields, text, wip_limits
from domain.custom_fields import (
    DefineField,
    Field,
    FieldDefined,
    FieldPolicySet,
    FieldRetired,
    RetireField,
    SetFieldPolicy,
)
from domain.errors import FieldNotFound, InUse, InvalidValue
from domain.privacy import ReadLoggingSet, SetReadLogging
from domain.wip_limits import SetWipLimit, WipLimitRemoved, WipLimitSet
from domain.workflow_state import (
    ANY,
    CLOSED,
    COLORS,
    NO_WORKFLOWS,
    NOBODY,
    REASON,
    RESERVED,
    Census,
    Occasion,
    Role,
    Standing,
    Status,
    StatusCategory,
    Transition,
    Workflow,
    Workflows,
    place,
)

WORKFLOWS_LIMIT, ROLES_LIMIT, FIELDS_LIMIT, STATUSES_LIMIT = 200, 200, 200, 100


# ---- events


class WorkflowDefined(msgspec.Struct, frozen=True, kw_only=True):
    workflow: Workflow


class RoleDefined(msgspec.Struct, frozen=True, kw_only=True):
    role: Role


class StatusesMapped(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets that stand in a status that `workflow` no longer has are judged as if they stood in another."""

    workflow: str
    mapping: dict[str, str]


class WorkflowRetired(msgspec.Struct, frozen=True, kw_only=True):
    workflow: str


class RoleRetired(msgspec.Struct, frozen=True, kw_only=True):
    role: str


WorkflowsEvent = (
    WorkflowDefined
    | RoleDefined
    | StatusesMapped
    | WorkflowRetired
    | RoleRetired
    | FieldDefined
    | FieldRetired
    | FieldPolicySet
    | ReadLoggingSet
    | WipLimitSet
    | WipLimitRemoved
)


# ---- commands


class DefineWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """The version in `workflow` is ignored: what differs from the newest becomes the next version. `mapping`: from a
    status that it no longer has to the one whose transitions hold for the tickets that stand there."""

    workflow: Workflow
    mapping: dict[str, str] = {}


class DefineRole(msgspec.Struct, frozen=True, kw_only=True):
    role: Role


class RetireWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """No role may lead there any more. Tickets that were closed in it stay as they are. Defining it anew revives it."""

    workflow: str


class RetireRole(msgspec.Struct, frozen=True, kw_only=True):
    """No ticket takes it any more; those that were closed in it keep it. Defining it anew revives it."""

    role: str


WorkflowsCommand = (
    DefineWorkflow
    | DefineRole
    | RetireWorkflow
    | RetireRole
    | DefineField
    | RetireField
    | SetFieldPolicy
    | SetWipLimit
    | SetReadLogging
)


def decide(state: Workflows, command: WorkflowsCommand, census: Census = NOBODY) -> list[WorkflowsEvent]:
    """`census`: where the workspace's tickets stand. Raises a subclass of Refused."""
    match command:
        case DefineWorkflow():
            return _define_workflow(state, command, census)
        case DefineRole(role=role):
            return _define_role(state, role)
        case RetireWorkflow(workflow=key):
            return _retire_workflow(state, key, census)
        case RetireRole(role=key):
            return _retire_role(state, key, census)
        case DefineField(field=field):
            return _define_field(state, field)
        case RetireField(field=key):
            if key not in state.fields:
                raise FieldNotFound(key, state.fields)
            return [] if key in state.retired_fields else [FieldRetired(key=key)]
        case SetFieldPolicy(strict=strict):
            return [] if strict is state.strict_fields else [FieldPolicySet(strict=strict)]
        case SetReadLogging(all=all_):
            return [] if all_ is state.logs_all_reads else [ReadLoggingSet(all=all_)]
        case SetWipLimit():
            return [*wip_limits.decide(state, command)]
        case _:
            assert_never(command)


def _define_workflow(state: Workflows, command: DefineWorkflow, census: Census) -> list[WorkflowsEvent]:
    workflow = next_version(state, command.workflow)
    versions = state.versions.get(workflow.key, ())
    if not versions and len(state.versions) >= WORKFLOWS_LIMIT:
        raise InvalidValue(f"A workspace has at most {WORKFLOWS_LIMIT} workflows.", ("key",))
    mapping = mapped_statuses(state, workflow, command.mapping)
    if behind := left_behind(workflow, mapping, census):
        raise InUse(
            f"{_counted(behind)} would stand in statuses that workflow {workflow.key!r} no longer has. Say by `mapping`"
            " which status stands for each, or move the tickets first.",
            ("statuses",),
        )
    changed = not versions or msgspec.structs.replace(workflow, version=len(versions)) != versions[-1]
    events: list[WorkflowsEvent] = []
    if changed or workflow.key in state.retired_workflows:
        events.append(WorkflowDefined(workflow=workflow))
    if mapping != state.mapped.get(workflow.key, {}):
        events.append(StatusesMapped(workflow=workflow.key, mapping=mapping))
    return events


def next_version(state: Workflows, workflow: Workflow) -> Workflow:
    """The definition checked, with the number that it would get. Raises InvalidValue."""
    workflow = _checked(workflow)
    return msgspec.structs.replace(workflow, version=len(state.versions.get(workflow.key, ())) + 1)


def mapped_statuses(state: Workflows, workflow: Workflow, mapping: Mapping[str, str]) -> dict[str, str]:
    """What stands for every status that this next version lacks, by this mapping and those before it.
    Raises InvalidValue."""
    former = {status.key for version in state.versions.get(workflow.key, ()) for status in version.statuses}
    for source, target in mapping.items():
        if workflow.has(source) or source not in former:
            raise InvalidValue(
                f"mapping goes from a status that the workflow had, and has no more; got {source[:80]!r}.", ("mapping",)
            )
        if not workflow.has(target):
            raise InvalidValue(f"mapping goes to a status of the workflow; got {target[:80]!r}.", ("mapping",))
    earlier = state.mapped.get(workflow.key, {})
    together = {source: mapping.get(target, target) for source, target in earlier.items()} | dict(mapping)
    return {
        source: target
        for source, target in sorted(together.items())
        if not workflow.has(source) and workflow.has(target)
    }


def left_behind(workflow: Workflow, mapping: Mapping[str, str], census: Census) -> dict[str, int]:
    """By status that this version neither has nor maps: how many tickets stand there."""
    behind: dict[str, int] = {}
    for one in census:
        if one.workflow == workflow.key and not workflow.has(one.status) and one.status not in mapping:
            behind[one.status] = behind.get(one.status, 0) + one.tickets
    return behind


def _counted(behind: Mapping[str, int]) -> str:
    total = sum(behind.values())
    where = ", ".join(f"{tickets} in {status!r}" for status, tickets in sorted(behind.items()))
    return f"{total} {'ticket' if total == 1 else 'tickets'} ({where})"


def _define_role(state: Workflows, role: Role) -> list[WorkflowsEvent]:
    role = msgspec.structs.replace(role, key=text.key(role.key), name=text.line(role.name, "name"))
    if role.workflow not in state.versions or role.workflow in state.retired_workflows:
        raise InvalidValue(f"Role {role.key!r} names the unknown workflow {role.workflow[:80]!r}.", ("workflow",))
    if REASON in role.requires:
        raise InvalidValue(f"Role {role.key!r}: a role requires fields; a transition a reason.", ("requires",))
    for name in role.requires:
        text.key(name, "requires")
    if role.key not in state.roles and len(state.roles) >= ROLES_LIMIT:
        raise InvalidValue(f"A workspace has at most {ROLES_LIMIT} roles.", ("key",))
    same = state.roles.get(role.key) == role and role.key not in state.retired_roles
    return [] if same else [RoleDefined(role=role)]


def _retire_workflow(state: Workflows, key: str, census: Census) -> list[WorkflowsEvent]:
    if key in state.retired_workflows:
        return []
    state.workflow(key)
    if roles := sorted(role.key for role in state.roles_of(key) if role.key not in state.retired_roles):
        raise InUse(
            f"Workflow {key!r} is that of the roles {', '.join(roles)}. Retire these or give them another one first.",
            ("workflow",),
        )
    open_ = sum(one.tickets for one in census if one.workflow == key and not one.closed)
    if open_:
        raise InUse(
            f"{open_} open tickets are in workflow {key!r}. Close them or change their role first.", ("workflow",)
        )
    return [WorkflowRetired(workflow=key)]


def _retire_role(state: Workflows, key: str, census: Census) -> list[WorkflowsEvent]:
    if key in state.retired_roles:
        return []
    state.role(key)
    open_ = sum(one.tickets for one in census if one.role == key and not one.closed)
    if open_:
        raise InUse(f"{open_} open tickets have the role {key!r}. Close them or change their role first.", ("role",))
    return [RoleRetired(role=key)]


def _define_field(state: Workflows, field: Field) -> list[WorkflowsEvent]:
    before = state.fields.get(field.key)
    field = custom_fields.checked(field, before, state.roles.keys() - state.retired_roles, RESERVED)
    if before is None and len(state.fields) >= FIELDS_LIMIT:
        raise InvalidValue(f"A workspace has at most {FIELDS_LIMIT} fields.", ("key",))
    return [] if field == before and field.key not in state.retired_fields else [FieldDefined(field=field)]


def evolve(state: Workflows | None, event: WorkflowsEvent, at: datetime) -> Workflows:
    state = state or NO_WORKFLOWS
    change = msgspec.structs.replace
    match event:
        case WorkflowDefined(workflow=workflow):
            versions = (*state.versions.get(workflow.key, ()), workflow)
            return change(
                state,
                versions={**state.versions, workflow.key: versions},
                retired_workflows=state.retired_workflows - {workflow.key},
            )
        case StatusesMapped(workflow=key, mapping=mapping):
            return change(state, mapped={**state.mapped, key: mapping})
        case WorkflowRetired(workflow=key):
            return change(state, retired_workflows=state.retired_workflows | {key})
        case RoleDefined(role=role):
            roles = {**state.roles, role.key: role}
            return change(state, roles=roles, retired_roles=state.retired_roles - {role.key})
        case RoleRetired(role=key):
            return change(state, retired_roles=state.retired_roles | {key})
        case FieldDefined(field=field):
            known = {**state.fields, field.key: field}
            return change(state, fields=known, retired_fields=state.retired_fields - {field.key})
        case FieldRetired(key=key):
            return change(state, retired_fields=state.retired_fields | {key})
        case FieldPolicySet(strict=strict):
            return change(state, strict_fields=strict)
        case ReadLoggingSet(all=all_):
            return change(state, logs_all_reads=all_)
        case WipLimitSet(limit=limit):
            return change(state, wip_limits={**state.wip_limits, limit.place: limit})
        case WipLimitRemoved(workflow=key, status=status, person=person, each_person=each_person):
            gone = place(key, status, person, each_person=each_person)
            return change(state, wip_limits={at: one for at, one in state.wip_limits.items() if at != gone})
        case _:
            assert_never(event)


def _checked(workflow: Workflow) -> Workflow:
    """A workflow in which every named status exists, tickets start open, and every status can be reached."""
    text.key(workflow.key)
    statuses = tuple(_checked_status(status) for status in workflow.statuses)
    keys = [status.key for status in statuses]
    if len(set(keys)) != len(keys) or not 1 <= len(keys) <= STATUSES_LIMIT:
        raise InvalidValue(
            f"Workflow {workflow.key!r} needs 1 to {STATUSES_LIMIT} statuses with distinct keys.", ("statuses",)
        )
    named = {workflow.initial, *workflow.landing.values()}
    for transition in workflow.transitions:
        named.add(transition.target)
        if transition.source != ANY:
            named.add(transition.source)
        for name in transition.requires:
            text.key(name, "transitions")
    if unknown := named - set(keys):
        raise InvalidValue(
            f"Workflow {workflow.key!r} names statuses that it does not have: "
            f"{', '.join(repr(key[:80]) for key in sorted(unknown))}.",
            ("transitions",),
        )
    reasons = tuple(occasion for occasion in Occasion if occasion in workflow.reasons)
    name = text.line(workflow.name, "name")
    workflow = msgspec.structs.replace(workflow, name=name, statuses=statuses, reasons=reasons)
    if workflow.status(workflow.initial).category.closed:
        raise InvalidValue(f"Workflow {workflow.key!r}: tickets cannot start in a closed status.", ("initial",))
    if unreachable := sorted(set(keys) - _reachable(workflow)):
        raise InvalidValue(
            f"Workflow {workflow.key!r} has statuses that no way leads to: {', '.join(unreachable)}.",
            ("transitions",),
        )
    return workflow


def _checked_status(status: Status) -> Status:
    color = status.color or COLORS[status.category]
    if not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise InvalidValue(f"A color is written #rrggbb; got {color[:80]!r}.", ("statuses",))
    key, name = text.key(status.key, "statuses"), text.line(status.name, "statuses")
    return Status(key=key, name=name, category=status.category, color=color)


def _reachable(workflow: Workflow) -> set[str]:
    """Statuses that a ticket may come to: from the start, or from where role changes land."""
    reached: set[str] = set()
    ahead = [workflow.initial, *workflow.landing.values()]
    while ahead:
        status = ahead.pop()
        if status not in reached:
            reached.add(status)
            ahead += (way.target for way in workflow.transitions_from(status))
    return reached


class Definitions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of workflows, roles and fields, as `workflows.toml` beside this module. `mapping`: by workflow."""

    workflows: tuple[Workflow, ...] = ()
    roles: tuple[Role, ...] = ()
    fields: tuple[Field, ...] = ()
    mapping: dict[str, dict[str, str]] = {}

    def commands(self) -> list[WorkflowsCommand]:
        return [
            *(
                DefineWorkflow(workflow=workflow, mapping=self.mapping.get(workflow.key, {}))
                for workflow in self.workflows
            ),
            *(DefineRole(role=role) for role in self.roles),
            *(DefineField(field=field) for field in self.fields),
        ]


def read_definitions(source: str) -> Definitions:
    """Reads TOML. Raises InvalidValue, naming the place in the file."""
    try:
        return msgspec.convert(tomllib.loads(source), Definitions)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidValue(f"These definitions cannot be read: {error}") from None


def defaults() -> Definitions:
    """What every new workspace starts with."""
    return read_definitions(Path(__file__).with_name("workflows.toml").read_text(encoding="utf-8"))
