"""Roles, workflows and statuses, as the API shows them, and the commands that define them."""

import msgspec
import strawberry
from strawberry import UNSET, Parent

from api.commands import CommandInput, Done, Payload, perform, wait_until_readable
from api.fields import Info, by, given
from application.workflows import handle
from domain import workflows
from domain.workflows import DefineRole, DefineWorkflow, StatusCategory, Workflows
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


async def _roles_of(workflow: Parent[workflows.Workflow], info: Info) -> tuple[workflows.Role, ...]:
    return info.context.workflows.roles_of(workflow.key)


async def _statuses_of(workflow: Parent[workflows.Workflow]) -> list[StatusRow]:
    return [status_row(workflow, status.key) for status in workflow.statuses]


@strawberry.type
class Workflow:
    key: str
    name: str
    version: int
    roles: list[Role] = by(_roles_of)
    statuses: list[Status] = by(_statuses_of)


async def _roles(info: Info) -> list[workflows.Role]:
    return sorted(info.context.workflows.roles.values(), key=lambda role: role.key)


async def _workflows(info: Info) -> list[workflows.Workflow]:
    """The newest version of each."""
    newest = (versions[-1] for versions in info.context.workflows.versions.values())
    return sorted(newest, key=lambda workflow: workflow.key)


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


# ---- commands


@strawberry.input
class StatusInput:
    key: str
    name: str
    category: StatusCategory
    color: str | None = strawberry.field(default=UNSET, description="#rrggbb; absent, the category's own.")


@strawberry.input(description="`source` may be `*`: from every status. `requires` names fields, or `reason`.")
class TransitionInput:
    source: str
    target: str
    requires: list[str] | None = UNSET


@strawberry.input(description="Where a role change lands a ticket that stood in a status of this category.")
class LandingInput:
    category: StatusCategory
    status: str


@strawberry.input(description="What differs from the newest version of the workflow becomes the next one.")
class DefineWorkflowInput(CommandInput):
    key: str
    name: str
    initial: str
    statuses: list[StatusInput]
    transitions: list[TransitionInput]
    landing: list[LandingInput] | None = UNSET


@strawberry.input
class DefineRoleInput(CommandInput):
    key: str
    name: str
    workflow: str
    requires: list[str] | None = UNSET


def _defined(input: DefineWorkflowInput) -> workflows.Workflow:
    return workflows.Workflow(
        key=input.key,
        name=input.name,
        initial=input.initial,
        statuses=tuple(
            workflows.Status(key=one.key, name=one.name, category=one.category, color=given(one.color) or "")
            for one in input.statuses
        ),
        transitions=tuple(
            workflows.Transition(source=one.source, target=one.target, requires=tuple(given(one.requires) or ()))
            for one in input.transitions
        ),
        landing={one.category: one.status for one in given(input.landing) or ()},
    )


async def _workflow_after(done: Parent[Done], info: Info) -> workflows.Workflow | None:
    """Its newest version; null if the read model has not come that far within 2 s."""
    if not isinstance(done.command, DefineWorkflow) or not await _readable(done, info):
        return None
    return info.context.workflows.newest(done.command.workflow.key)


async def _role_after(done: Parent[Done], info: Info) -> workflows.Role | None:
    """As it is now; null if the read model has not come that far within 2 s."""
    if not isinstance(done.command, DefineRole) or not await _readable(done, info):
        return None
    return info.context.workflows.role(done.command.role.key)


async def _readable(done: Done, info: Info) -> bool:
    return done.outcome is not None and await wait_until_readable(info, done.outcome, "directory")


@strawberry.type
class WorkflowPayload(Payload):
    workflow: Workflow | None = by(_workflow_after)


@strawberry.type
class RolePayload(Payload):
    role: Role | None = by(_role_after)


async def define_workflow(info: Info, input: DefineWorkflowInput) -> Done:
    return await perform(info, input, DefineWorkflow(workflow=_defined(input)), handle)


async def define_role(info: Info, input: DefineRoleInput) -> Done:
    role = workflows.Role(
        key=input.key, name=input.name, workflow=input.workflow, requires=tuple(given(input.requires) or ())
    )
    return await perform(info, input, DefineRole(role=role), handle)


@strawberry.type
class WorkflowMutations:
    define_workflow: WorkflowPayload = by(define_workflow)
    define_role: RolePayload = by(define_role)
