"""Limits on work in progress: what they are, and the command that sets them."""

from functools import partial
from typing import Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, Handle, Payload, perform_prepared, wait_until_readable
from api.fields import Info, by, given
from api.people import Person, person
from api.workflows import Status, StatusRow, Workflow, status_row
from application.wip_limits import Cards, cards_limit, handle
from domain import workflows
from domain.wip_limits import SetWipLimit, limit_of
from domain.workflow_state import WipLimit as Limit
from projections.wip_limits import cards


def _workflow(limit: Parent[Limit], info: Info) -> workflows.Workflow:
    return info.context.workflows.newest(limit.workflow)


def _status(limit: Parent[Limit], info: Info) -> StatusRow | None:
    known = info.context.workflows.newest(limit.workflow)
    return None if limit.status is None or not known.has(limit.status) else status_row(known, limit.status)


def _person(limit: Parent[Limit], info: Info) -> Any:
    return person(info, limit.person)


@strawberry.type(description="How many open tickets may stand in a column, with a person, or in a cell of both.")
class WipLimit:
    workflow: Workflow = by(_workflow)
    status: Status | None = by(_status)
    person: Person | None = by(_person)
    each_person: bool = strawberry.field(description="Of each person who has no limit of their own there.")
    limit: int
    hard: bool = strawberry.field(description="Refuses whoever would come on top; a soft one is shown.")


async def _limits(info: Info, workflow: str | None = UNSET) -> list[Limit]:
    """Of one workflow, if it is named."""
    known = info.context.workflows.wip_limits
    return [limit for _, limit in sorted(known.items()) if given(workflow) in (None, limit.workflow)]


@strawberry.type
class WipLimitQueries:
    wip_limits: list[WipLimit] = by(_limits)


@strawberry.input(
    description=(
        "`status` names the column, `person` whose work it is, both a cell; `eachPerson` means each who has no limit of"
        " their own there. A null limit removes it. A hard limit"
        " refuses with WIP_LIMIT_REACHED whoever would come on top; who stands there already may stay."
    )
)
class SetWipLimitInput(CommandInput):
    workflow: str
    status: str | None = UNSET
    person: ID | None = UNSET
    each_person: bool = False
    limit: int | None = UNSET
    hard: bool = False


async def _after(done: Parent[Done], info: Info) -> Limit | None:
    """As it is now, null once it is removed; null, too, if the read model has not come that far within 2 s."""
    command = done.command
    if not isinstance(command, SetWipLimit) or done.outcome is None:
        return None
    if not await wait_until_readable(info, done.outcome, "directory") or command.limit is None:
        return None
    return info.context.workflows.wip_limits.get(limit_of(command).place)


@strawberry.type
class WipLimitPayload(Payload):
    wip_limit: WipLimit | None = by(_after)


async def set_wip_limit(info: Info, input: SetWipLimitInput) -> Done:
    async def prepared(command: SetWipLimit) -> Handle[SetWipLimit]:
        held, position = await cards(info.context.view, command, cards_limit(command))
        return partial(handle, cards=Cards(held=held, position=position))

    return await perform_prepared(info, input, SetWipLimit, prepared)


@strawberry.type
class WipLimitMutations:
    set_wip_limit: WipLimitPayload = by(set_wip_limit)
