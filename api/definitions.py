"""Commands that define roles and workflows, and what they would change."""

from functools import partial

import strawberry
from strawberry import UNSET, Parent

from api.commands import CommandInput, Done, Payload, perform, told, wait_until_readable
from api.fields import Info, by, given
from api.workflows import Role, Way, Workflow
from application.workflows import Counted, handle
from domain import workflow_preview, workflows
from domain.access import may
from domain.errors import Forbidden, Refused
from domain.workflow_preview import Preview, StatusDifference
from domain.workflows import DefineRole, DefineWorkflow, Occasion, RetireRole, RetireWorkflow, StatusCategory
from projections.workflows import census

strawberry.enum(StatusDifference)


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


@strawberry.input(
    description="Tickets in the status `from`, which the workflow no longer has, are judged as if in `to`."
)
class StatusMappingInput:
    from_: str = strawberry.field(name="from")
    to: str


@strawberry.input(
    description=(
        "What differs from the newest version of the workflow becomes the next one; tickets enter it when they move."
        " Refused with IN_USE and their number where tickets stand in a status that goes and that `mapping` does not"
        " name. `dryRun`: nothing is written, `preview` says what would change."
    )
)
class DefineWorkflowInput(CommandInput):
    key: str
    name: str
    initial: str
    statuses: list[StatusInput]
    transitions: list[TransitionInput]
    landing: list[LandingInput] | None = UNSET
    mapping: list[StatusMappingInput] | None = UNSET
    reasons: list[Occasion] | None = strawberry.field(
        default=UNSET, description="What needs a reason, whatever the way."
    )
    dry_run: bool = False


@strawberry.input
class DefineRoleInput(CommandInput):
    key: str
    name: str
    workflow: str
    requires: list[str] | None = UNSET
    expects_change: bool = strawberry.field(
        default=False, description="Tickets that are done without a change of code are told by ticketGaps."
    )


@strawberry.input(description="Refused with IN_USE while a role or open tickets use it. Defining it anew revives it.")
class RetireWorkflowInput(CommandInput):
    workflow: str


@strawberry.input(description="Refused with IN_USE while open tickets have it. Defining it anew revives it.")
class RetireRoleInput(CommandInput):
    role: str


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
        reasons=tuple(given(input.reasons) or ()),
    )


class Previewed(Done, frozen=True):
    preview: Preview | None = None


async def _workflow_after(done: Parent[Done], info: Info) -> workflows.Workflow | None:
    """Its newest version; null if the read model has not come that far within 2 s."""
    match done.command:
        case DefineWorkflow(workflow=workflow):
            key = workflow.key
        case RetireWorkflow(workflow=key):
            pass
        case _:
            return None
    return info.context.workflows.newest(key) if await _readable(done, info) else None


async def _role_after(done: Parent[Done], info: Info) -> workflows.Role | None:
    """As it is now; null if the read model has not come that far within 2 s."""
    match done.command:
        case DefineRole(role=role):
            key = role.key
        case RetireRole(role=key):
            pass
        case _:
            return None
    return info.context.workflows.roles[key] if await _readable(done, info) else None


async def _readable(done: Done, info: Info) -> bool:
    return done.outcome is not None and await wait_until_readable(info, done.outcome, "directory")


@strawberry.type(
    description=(
        "`name` and `category`: as they would be; of a status that goes, as they are. `tickets`: how many stand there."
        " `movesTo`: the status that would stand for it. `leftBehind`: nothing would, so the definition is refused."
    )
)
class StatusPreview:
    key: str
    name: str
    category: StatusCategory
    former_name: str | None
    former_category: StatusCategory | None
    difference: StatusDifference
    tickets: int
    moves_to: str | None
    left_behind: bool


@strawberry.type(description="What a definition would change. `version`: the number that it would get.")
class WorkflowPreview:
    version: int
    changes: bool
    statuses: list[StatusPreview]
    added_transitions: list[Way]
    removed_transitions: list[Way]


def _preview(done: Parent[Done]) -> Preview | None:
    """Of a dry run."""
    return done.preview if isinstance(done, Previewed) else None


@strawberry.type
class WorkflowPayload(Payload):
    workflow: Workflow | None = by(_workflow_after)
    preview: WorkflowPreview | None = by(_preview)


@strawberry.type
class RolePayload(Payload):
    role: Role | None = by(_role_after)


async def _counted(info: Info) -> Counted:
    """Where tickets stand, by the read model; the command itself asks the log what has moved since."""
    standing, position = await census(info.context.view)
    return Counted(census=standing, position=position)


async def define_workflow(info: Info, input: DefineWorkflowInput) -> Done:
    mapping = {one.from_: one.to for one in given(input.mapping) or ()}
    command = DefineWorkflow(workflow=_defined(input), mapping=mapping)
    if input.dry_run:
        return await _dry_run(info, input, command)
    return await perform(info, input, command, partial(handle, counted=await _counted(info)))


async def _dry_run(info: Info, input: DefineWorkflowInput, command: DefineWorkflow) -> Done:
    known, standing = info.context.workflows, (await _counted(info)).census
    preview: Preview | None = None
    try:
        if not may(info.context.actor, command):
            raise Forbidden("define roles, workflows and fields")
        preview = workflow_preview.preview(known, command, standing)
        workflows.decide(known, command, standing)
    except Refused as refused:
        return Previewed(user_errors=[told(refused, input)], preview=preview)
    return Previewed(preview=preview)


async def define_role(info: Info, input: DefineRoleInput) -> Done:
    role = workflows.Role(
        key=input.key,
        name=input.name,
        workflow=input.workflow,
        requires=tuple(given(input.requires) or ()),
        expects_change=input.expects_change,
    )
    return await perform(info, input, DefineRole(role=role), handle)


async def retire_workflow(info: Info, input: RetireWorkflowInput) -> Done:
    return await perform(info, input, RetireWorkflow, partial(handle, counted=await _counted(info)))


async def retire_role(info: Info, input: RetireRoleInput) -> Done:
    return await perform(info, input, RetireRole, partial(handle, counted=await _counted(info)))


@strawberry.type
class DefinitionMutations:
    define_workflow: WorkflowPayload = by(define_workflow)
    define_role: RolePayload = by(define_role)
    retire_workflow: WorkflowPayload = by(retire_workflow)
    retire_role: RolePayload = by(retire_role)
