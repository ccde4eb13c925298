"""Roles and workflows as data: statuses, allowed transitions, what they require, where a role change lands.

One stream per workspace holds them all, so that a definition is checked against every other one. Definitions
are versioned: a ticket keeps the version that it entered until it moves.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import assert_never

import msgspec

from domain import text
from domain.errors import InvalidValue, RoleNotFound, StatusNotFound

ANY = "*"
"""Source of a transition that is allowed from every status."""

REASON = "reason"
"""In what a transition requires: the command's reason, not a field."""


class StatusCategory(StrEnum):
    NEW = "NEW"
    ACTIVE = "ACTIVE"
    WAITING = "WAITING"
    REVIEW = "REVIEW"
    DONE = "DONE"
    CANCELLED = "CANCELLED"

    @property
    def closed(self) -> bool:
        return self in CLOSED


CLOSED = frozenset({StatusCategory.DONE, StatusCategory.CANCELLED})

COLORS: Mapping[StatusCategory, str] = {
    StatusCategory.NEW: "#8b95a5",
    StatusCategory.ACTIVE: "#2f7de1",
    StatusCategory.WAITING: "#d9932f",
    StatusCategory.REVIEW: "#8a5cd6",
    StatusCategory.DONE: "#3a9d5d",
    StatusCategory.CANCELLED: "#b3b3b3",
}


class Status(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    name: str
    category: StatusCategory
    color: str = ""


class Transition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`source` may be ANY. `requires` names ticket fields (assignee, team, service, …), custom fields, or
    `reason`."""

    source: str
    target: str
    requires: tuple[str, ...] = ()


class Workflow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`landing` maps the category of the status left behind to the status that a role change lands in;
    a category it does not name lands in `initial`."""

    key: str
    name: str
    initial: str
    statuses: tuple[Status, ...]
    transitions: tuple[Transition, ...]
    landing: dict[StatusCategory, str] = {}
    version: int = 1

    def status(self, key: str) -> Status:
        """Raises StatusNotFound."""
        for status in self.statuses:
            if status.key == key:
                return status
        raise StatusNotFound(key, self.key, (status.key for status in self.statuses))

    def has(self, key: str) -> bool:
        return any(status.key == key for status in self.statuses)

    def transitions_from(self, source: str) -> Iterable[Transition]:
        """The way to each reachable status, in the order of the statuses; an exact source wins over ANY."""
        for status in self.statuses:
            transition = self.transition(source, status.key)
            if transition is not None:
                yield transition

    def transition(self, source: str, target: str) -> Transition | None:
        fallback = None
        for transition in self.transitions:
            if transition.target != target or source == target:
                continue
            if transition.source == source:
                return transition
            if transition.source == ANY:
                fallback = transition
        return fallback

    def landing_status(self, left: StatusCategory) -> Status:
        return self.status(self.landing.get(left, self.initial))


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`requires`: ticket fields that a ticket must have to take this role."""

    key: str
    name: str
    workflow: str
    requires: tuple[str, ...] = ()


# ---- events


class WorkflowDefined(msgspec.Struct, frozen=True, kw_only=True):
    workflow: Workflow


class RoleDefined(msgspec.Struct, frozen=True, kw_only=True):
    role: Role


WorkflowsEvent = WorkflowDefined | RoleDefined


# ---- commands


class DefineWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """The version in `workflow` is ignored: what differs from the newest becomes the next version."""

    workflow: Workflow


class DefineRole(msgspec.Struct, frozen=True, kw_only=True):
    role: Role


WorkflowsCommand = DefineWorkflow | DefineRole


# ---- state


class Workflows(msgspec.Struct, frozen=True, kw_only=True):
    """Every role and every version of every workflow of one workspace."""

    roles: dict[str, Role] = {}
    versions: dict[str, tuple[Workflow, ...]] = {}

    def role(self, key: str) -> Role:
        """Raises RoleNotFound."""
        try:
            return self.roles[key]
        except KeyError:
            raise RoleNotFound(key, self.roles) from None

    def newest(self, key: str) -> Workflow:
        return self.versions[key][-1]

    def version(self, key: str, version: int) -> Workflow:
        return self.versions[key][version - 1]

    def for_role(self, key: str) -> Workflow:
        """Raises RoleNotFound."""
        return self.newest(self.role(key).workflow)

    def roles_of(self, workflow: str) -> tuple[Role, ...]:
        return tuple(role for role in self.roles.values() if role.workflow == workflow)


NO_WORKFLOWS = Workflows()


def decide(state: Workflows, command: WorkflowsCommand) -> list[WorkflowsEvent]:
    """Raises InvalidValue."""
    match command:
        case DefineWorkflow(workflow=workflow):
            workflow = _checked(workflow)
            versions = state.versions.get(workflow.key, ())
            workflow = msgspec.structs.replace(workflow, version=len(versions) + 1)
            if versions and msgspec.structs.replace(workflow, version=len(versions)) == versions[-1]:
                return []
            return [WorkflowDefined(workflow=workflow)]
        case DefineRole(role=role):
            role = msgspec.structs.replace(role, key=text.key(role.key), name=text.line(role.name, "name"))
            if role.workflow not in state.versions:
                raise InvalidValue(
                    f"Role {role.key!r} names the unknown workflow {role.workflow[:80]!r}.", ("workflow",)
                )
            if REASON in role.requires:
                raise InvalidValue(f"Role {role.key!r}: a role requires fields; a transition a reason.", ("requires",))
            for name in role.requires:
                text.key(name, "requires")
            return [] if state.roles.get(role.key) == role else [RoleDefined(role=role)]
        case _:
            assert_never(command)


def evolve(state: Workflows | None, event: WorkflowsEvent, at: datetime) -> Workflows:
    state = state or NO_WORKFLOWS
    match event:
        case WorkflowDefined(workflow=workflow):
            versions = (*state.versions.get(workflow.key, ()), workflow)
            return msgspec.structs.replace(state, versions={**state.versions, workflow.key: versions})
        case RoleDefined(role=role):
            return msgspec.structs.replace(state, roles={**state.roles, role.key: role})
        case _:
            assert_never(event)


def _checked(workflow: Workflow) -> Workflow:
    """A workflow in which every named status exists, tickets start open, and every status can be reached."""
    text.key(workflow.key)
    statuses = tuple(_checked_status(status) for status in workflow.statuses)
    keys = [status.key for status in statuses]
    if len(set(keys)) != len(keys) or not keys:
        raise InvalidValue(f"Workflow {workflow.key!r} needs statuses with distinct keys.", ("statuses",))
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
    workflow = msgspec.structs.replace(workflow, name=text.line(workflow.name, "name"), statuses=statuses)
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
    """A file of workflows and roles, as `workflows.toml` beside this module."""

    workflows: tuple[Workflow, ...] = ()
    roles: tuple[Role, ...] = ()

    def commands(self) -> list[WorkflowsCommand]:
        return [
            *(DefineWorkflow(workflow=workflow) for workflow in self.workflows),
            *(DefineRole(role=role) for role in self.roles),
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
