"""Roles, workflows and statuses, as the API shows them."""

import msgspec
import strawberry
from strawberry import Parent

from api.fields import Info, by
from domain import workflows
from domain.workflows import Occasion, StatusCategory, Workflows
from projections.reading import ReadModelBehind

strawberry.enum(Occasion)


class StatusRow(msgspec.Struct, frozen=True, kw_only=True):
    """A status with its place in its workflow."""

    key: str
    name: str
    category: StatusCategory
    order: int
    color: str


def _role_active(role: Parent[workflows.Role], info: Info) -> bool:
    """False once it is retired: no ticket takes it any more."""
    return role.key not in info.context.workflows.retired_roles


@strawberry.type(description="INQUIRY, LEAD, DEAL, INCIDENT, …: data, so a workspace adds its own.")
class Role:
    key: str
    name: str
    expects_change: bool = strawberry.field(
        description="Who is done in this role has changed some code; else it is a gap."
    )
    active: bool = by(_role_active)


@strawberry.type
class Status:
    key: str
    name: str
    category: StatusCategory
    order: int
    color: str


@strawberry.type
class Transition:
    status: Status
    requires: list[str]


async def _roles_of(workflow: Parent[workflows.Workflow], info: Info) -> tuple[workflows.Role, ...]:
    return info.context.workflows.roles_of(workflow.key)


def _workflow_active(workflow: Parent[workflows.Workflow], info: Info) -> bool:
    """False once it is retired."""
    return workflow.key not in info.context.workflows.retired_workflows


@strawberry.type(description="A way from one status to another; `source` may be `*`: from every status.")
class Way:
    source: str
    target: str
    requires: list[str]


async def _ways_of(workflow: Parent[workflows.Workflow]) -> tuple[workflows.Transition, ...]:
    return workflow.transitions


async def _statuses_of(workflow: Parent[workflows.Workflow]) -> list[StatusRow]:
    return [status_row(workflow, status.key) for status in workflow.statuses]


@strawberry.type
class Workflow:
    key: str
    name: str
    version: int
    roles: list[Role] = by(_roles_of)
    statuses: list[Status] = by(_statuses_of)
    ways: list[Way] = by(_ways_of)
    reasons: list[Occasion] = strawberry.field(description="What needs a reason, whatever the way.")
    initial: str
    active: bool = by(_workflow_active)


async def _roles(info: Info, retired: bool = False) -> list[workflows.Role]:
    """By key. Retired ones only if asked for."""
    known = info.context.workflows
    return [role for key, role in sorted(known.roles.items()) if retired or key not in known.retired_roles]


async def _workflows(info: Info, retired: bool = False) -> list[workflows.Workflow]:
    """The newest version of each, by key. Retired ones only if asked for."""
    known = info.context.workflows
    return [
        versions[-1]
        for key, versions in sorted(known.versions.items())
        if retired or key not in known.retired_workflows
    ]


@strawberry.type
class WorkflowQueries:
    roles: list[Role] = by(_roles)
    workflows: list[Workflow] = by(_workflows)


def role_row(known: Workflows, key: str) -> workflows.Role:
    try:
        return known.roles[key]
    except KeyError:
        raise _behind(key) from None


def workflow_row(known: Workflows, key: str, version: int) -> workflows.Workflow:
    try:
        return known.version(key, version)
    except LookupError:
        raise _behind(key) from None


def status_row(workflow: workflows.Workflow, key: str) -> StatusRow:
    for order, status in enumerate(workflow.statuses):
        if status.key == key:
            return StatusRow(
                key=status.key, name=status.name, category=status.category, order=order, color=status.color
            )
    raise _behind(key)


def _behind(key: str) -> ReadModelBehind:
    """Tickets and definitions are two read models: for a moment one may know what the other does not."""
    return ReadModelBehind(f"The definition of {key!r} is not readable yet.")
