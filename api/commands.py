"""How a mutation becomes a command: input by names into the domain's command, handled in a thread, told as payload."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from types import NoneType
from typing import Any, TypeVar, get_args
from uuid import UUID, uuid5

import msgspec
import strawberry
from anyio import to_thread
from strawberry import ID, UNSET
from strawberry.utils.str_converters import to_camel_case

from api import metrics
from api.errors import UserError
from api.field_values import inward
from api.fields import Info, given, is_list
from api.ids import NAMED_BY, Kind, WrongId, decode, encode
from api.scalars import Position
from application.event_store import tracing
from application.event_store.streams import EventStore
from application.handling import Context, Outcome
from domain.errors import ErrorCode, FieldRequired, InvalidValue, Refused
from projections.reading import ReadModelBehind

COMMAND_ID_LIMIT = 200


@strawberry.input
class CommandInput:
    command_id: ID | None = strawberry.field(
        default=UNSET,
        description="Repeat a command with its id as often as you like, it is done once. Best a UUID.",
    )
    reason: str | None = UNSET
    occurred_at: datetime | None = strawberry.field(
        default=UNSET, description="When it happened; dating back needs the right to."
    )
    on_behalf_of: ID | None = UNSET


@strawberry.input
class ExpectingInput(CommandInput):
    expected_version: int | None = strawberry.field(
        default=UNSET, description="Refused with CONFLICT unless it is at this version."
    )


_OVER = "Go over a hard limit on work in progress: for managers, with a reason."


@strawberry.input
class MovingInput(ExpectingInput):
    """Of commands that may bring a ticket to a place with a limit."""

    override_wip_limit: bool | None = strawberry.field(default=UNSET, description=_OVER)


@strawberry.input
class ArrivingInput(CommandInput):
    """As MovingInput, of a ticket that is new."""

    override_wip_limit: bool | None = strawberry.field(default=UNSET, description=_OVER)


class Done(msgspec.Struct, frozen=True):
    """What became of a command; shown by the payloads."""

    command: msgspec.Struct | None = None
    outcome: Outcome | None = None
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


@strawberry.type
class Payload:
    version: int | None
    position: Position | None
    replayed: bool = strawberry.field(description="This is the first result again, of a command id sent before.")
    user_errors: list[UserError]


C = TypeVar("C", bound=msgspec.Struct)


Handle = Callable[[EventStore, Context, C], Outcome]


async def perform(info: Info, input: CommandInput, command: type[C] | C, handle: Handle[C]) -> Done:
    """`command`, or its type: then it is made of the input by names.

    Raises StoreUnavailable. What a person can mend is in the answer."""

    async def prepared(_: C) -> Handle[C]:
        return handle

    return await perform_prepared(info, input, command, prepared)


async def perform_prepared(
    info: Info, input: CommandInput, command: type[C] | C, prepare: Callable[[C], Awaitable["Handle[C]"]]
) -> Done:
    """As `perform`, where the handler is to know what read models say of the command."""
    runtime = info.context.runtime
    name = command.__name__ if isinstance(command, type) else type(command).__name__
    with tracing.span(name), metrics.counted(name) as count:
        try:
            context = context_of(info, input)
            if isinstance(command, type):
                command = command_of(info, input, command)
            handle = await prepare(command)
            outcome = await to_thread.run_sync(
                handle, runtime.store, context, command, abandon_on_cancel=True, limiter=runtime.command_threads
            )
        except Refused as refused:
            count.outcome = refused.code.value
            return Done(user_errors=[told(one, input) for one in refused.each])
        count.outcome = "REPLAYED" if outcome.replayed else "OK"
    return Done(command=command, outcome=outcome)


async def wait_until_readable(info: Info, outcome: Outcome, *read_models: str) -> bool:
    """Whether these read models have passed the command's position in time."""
    try:
        await info.context.wait_for(outcome.position, *read_models)
    except ReadModelBehind:
        return False
    return True


def context_of(info: Info, input: CommandInput) -> Context:
    """Raises Refused."""
    actor = info.context.actor
    command_id, on_behalf_of = given(input.command_id), given(input.on_behalf_of)
    return Context(
        actor=actor,
        command_id=None if command_id is None else _command_id(command_id, actor.workspace),
        expected_version=given(input.expected_version) if isinstance(input, ExpectingInput) else None,
        reason=given(input.reason),
        occurred_at=given(input.occurred_at),
        override_wip_limit=isinstance(input, MovingInput | ArrivingInput) and given(input.override_wip_limit) is True,
        on_behalf_of=None if on_behalf_of is None else id_of(on_behalf_of, Kind.PERSON, "onBehalfOf"),
        source=info.context.source,
    )


def _command_id(text: str, workspace: UUID) -> UUID:
    """A UUID as it is; any other text stands for one of its own."""
    if not 0 < len(text) <= COMMAND_ID_LIMIT:
        raise InvalidValue(f"commandId has 1 to {COMMAND_ID_LIMIT} characters, best a UUID.", ("commandId",))
    try:
        return UUID(text)
    except ValueError:
        return uuid5(workspace, f"command:{text}")


def command_of(info: Info, input: object, kind: type[C]) -> C:
    """The domain's command with the input's values, by names. Raises Refused."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        value = getattr(input, field.name)
        path = to_camel_case(field.name)
        if value is UNSET:
            if field.required:
                raise FieldRequired(path, "here; null clears it")
        elif value is not None:
            values[field.name] = _converted(info, input, value, field, path)
        elif NoneType in get_args(field.type):
            values[field.name] = None
    return kind(**values)


def _converted(info: Info, input: object, value: Any, field: msgspec.structs.FieldInfo, path: str) -> Any:
    name = field.name
    if name == "fields":
        return inward(info.context.workflows, value)
    if name == "value":
        key: str = vars(input)["field"]
        return inward(info.context.workflows, {key: value}, path)[key]
    if name in ("definition", "terms", "filter"):
        return value.written(info)
    if name in NAMED_BY and _holds_ids(field.type):
        kind = NAMED_BY[name]
        return tuple(id_of(one, kind, path) for one in value) if is_list(value) else id_of(value, kind, path)
    return tuple(value) if is_list(value) else value


def _holds_ids(kind: Any) -> bool:
    return kind is UUID or any(map(_holds_ids, get_args(kind)))


_NOT_FOUND = {
    Kind.TICKET: ErrorCode.TICKET_NOT_FOUND,
    Kind.PERSON: ErrorCode.PERSON_NOT_FOUND,
    Kind.TEAM: ErrorCode.TEAM_NOT_FOUND,
    Kind.SERVICE: ErrorCode.SERVICE_NOT_FOUND,
    Kind.VIEW: ErrorCode.VIEW_NOT_FOUND,
    Kind.WEBHOOK: ErrorCode.WEBHOOK_NOT_FOUND,
    Kind.COMMENT: ErrorCode.COMMENT_NOT_FOUND,
    Kind.UPLOAD: ErrorCode.UPLOAD_NOT_FOUND,
    Kind.ATTACHMENT: ErrorCode.ATTACHMENT_NOT_FOUND,
    Kind.WORK_ENTRY: ErrorCode.WORK_NOT_FOUND,
    Kind.REPOSITORY: ErrorCode.REPOSITORY_NOT_FOUND,
    Kind.CLIENT: ErrorCode.CLIENT_NOT_FOUND,
    Kind.CONTRACT: ErrorCode.CONTRACT_NOT_FOUND,
    Kind.DOCUMENT: ErrorCode.DOCUMENT_NOT_FOUND,
    Kind.PAYMENT: ErrorCode.PAYMENT_NOT_FOUND,
    Kind.HOUR_PACKAGE: ErrorCode.HOUR_PACKAGE_NOT_FOUND,
    Kind.ESTIMATE: ErrorCode.ESTIMATE_NOT_FOUND,
    Kind.QUESTION: ErrorCode.QUESTION_NOT_FOUND,
}


def id_of(text: str, kind: Kind, path: str) -> UUID:
    """What is no id of ours names nothing, as an id of another workspace does. Raises Refused."""
    try:
        return decode(text, kind)
    except WrongId as error:
        refused = Refused(str(error), (path,))
        refused.code = _NOT_FOUND[kind]
        raise refused from None


def told(refused: Refused, input: object) -> UserError:
    """In the client's words: with the ids that it sent."""
    message = refused.message
    for name, kind in NAMED_BY.items():
        named = getattr(input, name, None)
        for text in named if is_list(named) else [named]:
            if isinstance(text, str):
                with suppress(WrongId):
                    id_ = decode(text, kind)
                    message = message.replace(str(id_), encode(kind, id_))
    return UserError(code=refused.code, field=list(refused.field) if refused.field else None, message=message)
