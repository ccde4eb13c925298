"""Roles, workflows and statuses, as the API shows them, and the commands that define them."""

import msgspec
import strawberry

from api.fields import Info, by
from api.filters import StatusCategory
from domain import workflows
from domain.workflows import Workflows
from projections.reading import ReadModelBehind


class StatusRow(msgspec.Struct, frozen=True, kw_only=True):
    """A status with its place in its workflow."""

    key: str
    name: str
    category: StatusCategory
    order: int
    color: str


@strawberry.type(description="INQUIRY, LEAD, DEAL, INCIDENT, …: data, so a workspace adds its own.")
class Role:
    key: str
    name: str


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


async def _roles_of(workflow: strawberry.Parent[workflows.Workflow], info: Info) -> tuple[workflows.Role, ...]:
    return info.context.workflows.roles_of(workflow.key)


async def _statuses_of(workflow: strawberry.Parent[workflows.Workflow]) -> list[StatusRow]:
    return [status_row(workflow, status.key) for status in workflow.statuses]


@strawberry.type
class Workflow:
    key: str
    name: str
    version: int
    roles: list[Role] = by(_roles_of)
    statuses: list[Status] = by(_statuses_of)


async def _roles(info: Info) -> list[workflows.Role]:
    return list(info.context.workflows.roles.values())


async def _workflows(info: Info) -> list[workflows.Workflow]:
    """The newest version of each."""
    return [versions[-1] for versions in info.context.workflows.versions.values()]


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
