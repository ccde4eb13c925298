"""Roles, workflows and custom fields as data, and how they stand: what the other parts of the domain ask them."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from uuid import UUID

import msgspec

from domain.custom_fields import Field
from domain.errors import RoleNotFound, StatusNotFound, WorkflowNotFound

ANY = "*"
"""Source of a transition that is allowed from every status."""

REASON = "reason"
"""In what a transition requires: the command's reason, not a field."""

RESERVED = frozenset({REASON, "assignee", "team", "service", "requester", "parent", "description", "startAt", "dueAt"})
"""In what a role or transition requires: what every ticket has, so no keys of custom fields."""


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


class Occasion(StrEnum):
    """What a workflow can ask a reason for, on every way: closing is a move from an open status to a closed one,
    reopening the reverse."""

    CLOSING = "CLOSING"
    REOPENING = "REOPENING"
    ROLE_CHANGE = "ROLE_CHANGE"
    PRIORITY_CHANGE = "PRIORITY_CHANGE"


class Workflow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`landing` maps the category of the status left behind to the status that a role change lands in;
    a category it does not name lands in `initial`. `reasons`: what needs a reason; single transitions say it in
    `requires`."""

    key: str
    name: str
    initial: str
    statuses: tuple[Status, ...]
    transitions: tuple[Transition, ...]
    landing: dict[StatusCategory, str] = {}
    reasons: tuple[Occasion, ...] = ()
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
    """`requires`: ticket fields that a ticket must have to take this role. `expects_change`: who is done in this role
    has changed some code; where there is none, it is told as a gap, and nothing is refused."""

    key: str
    name: str
    workflow: str
    requires: tuple[str, ...] = ()
    expects_change: bool = False


class WipLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How many open tickets may stand in a column (`status`), with a person, or in a cell of both. A hard one refuses
    who would come on top. `each_person`: with each person who has no limit of their own there; with `person`, it is
    what this means for that one."""

    workflow: str
    status: str | None
    person: UUID | None
    limit: int
    hard: bool
    each_person: bool = False

    @property
    def place(self) -> str:
        return place(self.workflow, self.status, self.person, each_person=self.each_person)


def place(workflow: str, status: str | None, person: UUID | None, *, each_person: bool = False) -> str:
    """The key of a column, of a person's share of a workflow, or of a cell."""
    return f"{workflow}/{status or ''}/{'*' if each_person else ''}{person or ''}"


class Workflows(msgspec.Struct, frozen=True, kw_only=True):
    """Every role, field and version of every workflow of one workspace, retired ones too. `mapped`: by workflow, from
    a status that the newest version lacks to the one that stands for it."""

    roles: dict[str, Role] = {}
    versions: dict[str, tuple[Workflow, ...]] = {}
    mapped: dict[str, dict[str, str]] = {}
    fields: dict[str, Field] = {}
    strict_fields: bool = False
    logs_all_reads: bool = False
    wip_limits: dict[str, WipLimit] = {}
    retired_roles: frozenset[str] = frozenset()
    retired_workflows: frozenset[str] = frozenset()
    retired_fields: frozenset[str] = frozenset()

    def role(self, key: str) -> Role:
        """One that tickets may take. Raises RoleNotFound."""
        if key not in self.roles or key in self.retired_roles:
            raise RoleNotFound(key, self.roles.keys() - self.retired_roles)
        return self.roles[key]

    def workflow(self, key: str) -> Workflow:
        """The newest version of one that is not retired. Raises WorkflowNotFound."""
        if key not in self.versions or key in self.retired_workflows:
            raise WorkflowNotFound(key, self.versions.keys() - self.retired_workflows)
        return self.newest(key)

    def newest(self, key: str) -> Workflow:
        return self.versions[key][-1]

    def version(self, key: str, version: int) -> Workflow:
        return self.versions[key][version - 1]

    def for_role(self, key: str) -> Workflow:
        """Raises RoleNotFound."""
        return self.newest(self.role(key).workflow)

    def judging(self, key: str, version: int, status: str) -> tuple[Workflow, str]:
        """By which version the next move of a ticket is judged, and from which status: the newest; or its own, where
        the newest has lost the status and nothing stands for it, so that nobody is stranded."""
        newest = self.newest(key)
        if newest.has(status):
            return newest, status
        instead = self.mapped.get(key, {}).get(status)
        return (newest, instead) if instead is not None else (self.version(key, version), status)

    def required_fields(self, role: str) -> Iterable[str]:
        """Keys of the custom fields that tickets of this role must have."""
        return (field.key for field in self.fields.values() if role in field.required and not self.retired(field))

    def retired(self, field: Field) -> bool:
        return field.key in self.retired_fields

    def roles_of(self, workflow: str) -> tuple[Role, ...]:
        return tuple(role for role in self.roles.values() if role.workflow == workflow)


NO_WORKFLOWS = Workflows()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How many tickets of a role stand in a status: what a decision about definitions is told."""

    role: str
    workflow: str
    status: str
    closed: bool
    tickets: int


Census = Sequence[Standing]
NOBODY: Census = ()
"""For definitions that take nothing away."""
