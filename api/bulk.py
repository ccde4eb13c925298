"""One command to many tickets: `bulkTickets`, answered ticket by ticket."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
import strawberry
from anyio import to_thread
from strawberry import ID, UNSET, Parent
from strawberry.scalars import JSON

from api import metrics
from api.commands import ArrivingInput, command_of, context_of, id_of, told, wait_until_readable
from api.errors import UserError
from api.fields import Info, by, selected
from api.ids import Kind, encode
from api.prefetch import found
from api.scalars import Position
from api.ticket_fields import Ticket
from application.bulk import give_each, must_be_some
from application.event_store import tracing
from application.handling import Outcome
from domain import tickets
from domain.errors import InvalidValue, Refused
from domain.tickets import CommandToTicket, Priority, Visibility
from projections.reading import NOW
from projections.registry import TICKET_READ_MODELS

# ---- what can be told to many at once: the inputs of these commands, without their ticket


@strawberry.input
class RoleForEach:
    role: str
    status: str | None = UNSET


@strawberry.input
class TransitionForEach:
    status: str
    fields: JSON | None = UNSET


@strawberry.input
class AssignmentForEach:
    assignee: ID | None = UNSET
    team: ID | None = UNSET


@strawberry.input
class PriorityForEach:
    priority: Priority


@strawberry.input
class ScheduleForEach:
    start_at: datetime | None = UNSET
    due_at: datetime | None = UNSET


@strawberry.input
class ServiceForEach:
    service: ID | None = UNSET


@strawberry.input
class ParentForEach:
    parent: ID | None = UNSET


@strawberry.input
class FieldForEach:
    field: str
    value: JSON | None = UNSET


@strawberry.input
class TagsForEach:
    tags: list[str]


@strawberry.input
class PersonForEach:
    person: ID


@strawberry.input(description="Without a person: yourself.")
class WatcherForEach:
    person: ID | None = UNSET


@strawberry.input
class CommentForEach:
    body: str
    visibility: Visibility = Visibility.PUBLIC
    mentions: list[ID] | None = UNSET


@strawberry.input(description="Exactly one of these.")
class BulkChange:
    change_role: RoleForEach | None = UNSET
    transition_ticket: TransitionForEach | None = UNSET
    assign_ticket: AssignmentForEach | None = UNSET
    set_priority: PriorityForEach | None = UNSET
    schedule_ticket: ScheduleForEach | None = UNSET
    bind_service: ServiceForEach | None = UNSET
    set_parent: ParentForEach | None = UNSET
    set_field: FieldForEach | None = UNSET
    tag_ticket: TagsForEach | None = UNSET
    untag_ticket: TagsForEach | None = UNSET
    add_contributor: PersonForEach | None = UNSET
    remove_contributor: PersonForEach | None = UNSET
    watch_ticket: WatcherForEach | None = UNSET
    unwatch_ticket: WatcherForEach | None = UNSET
    add_comment: CommentForEach | None = UNSET


_COMMANDS: dict[str, type[CommandToTicket]] = {
    "change_role": tickets.ChangeRole,
    "transition_ticket": tickets.TransitionTicket,
    "assign_ticket": tickets.AssignTicket,
    "set_priority": tickets.SetPriority,
    "schedule_ticket": tickets.ScheduleTicket,
    "bind_service": tickets.BindService,
    "set_parent": tickets.SetParent,
    "set_field": tickets.SetField,
    "tag_ticket": tickets.TagTicket,
    "untag_ticket": tickets.UntagTicket,
    "add_contributor": tickets.AddContributor,
    "remove_contributor": tickets.RemoveContributor,
    "watch_ticket": tickets.WatchTicket,
    "unwatch_ticket": tickets.UnwatchTicket,
    "add_comment": tickets.AddComment,
}


@strawberry.input(description="1 to 200 tickets, each once, and what is done to each of them.")
class BulkTicketsInput(ArrivingInput):
    tickets: list[ID]
    change: BulkChange


# ---- answers


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the command to one ticket. `readable`: the read models have come so far."""

    ticket_id: ID
    outcome: Outcome | None = None
    readable: bool = False
    user_errors: list[UserError] = []

    @property
    def version(self) -> int | None:
        return self.outcome.version if self.outcome else None

    @property
    def position(self) -> int | None:
        return self.outcome.position if self.outcome else None

    @property
    def replayed(self) -> bool:
        return self.outcome is not None and self.outcome.replayed


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    answers: list[Answer] = []
    user_errors: list[UserError] = []

    @property
    def position(self) -> int | None:
        return max((answer.position for answer in self.answers if answer.position is not None), default=None)

    @property
    def replayed(self) -> bool:
        return any(answer.outcome for answer in self.answers) and all(
            answer.replayed for answer in self.answers if answer.outcome
        )


def _ticket(answer: Parent[Answer], info: Info) -> Any:
    """As it is after the command; null if it was refused, or if its read model has not come that far within 2 s."""
    if answer.outcome is None or not answer.readable:
        return None
    return found(info.context.loaders.tickets, (answer.outcome.stream, NOW))


@strawberry.type(description="As the payload of the command to this ticket alone.")
class BulkAnswer:
    ticket_id: ID = strawberry.field(description="As it was sent.")
    ticket: Ticket | None = by(_ticket)
    version: int | None
    position: Position | None
    replayed: bool
    user_errors: list[UserError]


@strawberry.type
class BulkPayload:
    answers: list[BulkAnswer] = strawberry.field(description="In the order of the tickets.")
    position: Position | None = strawberry.field(description="The last of all answers.")
    replayed: bool = strawberry.field(description="All that is not refused is a first result again.")
    user_errors: list[UserError] = strawberry.field(description="Why none of it was done.")


async def bulk_tickets(info: Info, input: BulkTicketsInput) -> Answers:
    """The same command to many tickets, each decided, recorded or refused for itself: a refusal to one undoes nothing
    of the others. One command id for all: repeated with it, what was recorded is answered as the first time, and what
    was refused is decided again."""
    with tracing.span("BulkTickets"), metrics.counted("BulkTickets") as count:
        try:
            answers = await _give(info, input)
        except Refused as refused:
            count.outcome = refused.code.value
            return Answers(user_errors=[told(refused, input)])
        done = Answers(answers=answers)
        count.outcome = "REPLAYED" if done.replayed else "OK"
    return await _shown(info, done)


async def _give(info: Info, input: BulkTicketsInput) -> list[Answer]:
    """Raises Refused, StoreUnavailable."""
    must_be_some(input.tickets)
    command, said = _command(info, input.change)
    context, runtime = context_of(info, input), info.context.runtime
    named = [_named(text) for text in input.tickets]
    given = [msgspec.structs.replace(command, ticket=id_) for id_ in named if isinstance(id_, UUID)]
    came = iter(
        await to_thread.run_sync(
            give_each, runtime.store, context, given, abandon_on_cancel=True, limiter=runtime.command_threads
        )
        if given
        else ()
    )
    return [
        _answer(text, said, next(came) if isinstance(id_, UUID) else id_)
        for text, id_ in zip(input.tickets, named, strict=True)
    ]


def _command(info: Info, change: BulkChange) -> tuple[CommandToTicket, dict[str, Any]]:
    """The one that is named, to no ticket yet, and its input. Raises Refused."""
    named = {name: part for name in _COMMANDS if (part := getattr(change, name)) is not UNSET and part is not None}
    if len(named) != 1:
        raise InvalidValue(f"Name exactly one change; these are {len(named)}.", ("change",))
    [(name, part)] = named.items()
    kind = _COMMANDS[name]
    nothing = dict.fromkeys(kind.__struct_fields__, UNSET)
    said: dict[str, Any] = {**nothing, **vars(part), "ticket": encode(Kind.TICKET, UUID(int=0))}
    return command_of(info, SimpleNamespace(**said), kind), said


def _named(text: ID) -> UUID | Refused:
    try:
        return id_of(text, Kind.TICKET, "ticket")
    except Refused as refused:
        return refused


def _answer(text: ID, said: dict[str, Any], came: Outcome | Refused) -> Answer:
    if isinstance(came, Refused):
        return Answer(ticket_id=text, user_errors=[told(came, SimpleNamespace(**said | {"ticket": text}))])
    return Answer(ticket_id=text, outcome=came)


async def _shown(info: Info, done: Answers) -> Answers:
    """Waits once for all, if tickets are asked for."""
    last = max((one.outcome for one in done.answers if one.outcome), key=lambda one: one.position, default=None)
    if last is None or "ticket" not in selected(info, "BulkAnswer"):
        return done
    readable = await wait_until_readable(info, last, *TICKET_READ_MODELS)
    return Answers(answers=[msgspec.structs.replace(answer, readable=readable) for answer in done.answers])


@strawberry.type
class BulkMutations:
    bulk_tickets: BulkPayload = by(bulk_tickets)
