"""Privacy: sensitive tickets, which reads are logged, and what somebody is known to have read."""

from datetime import UTC, datetime
from typing import Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, ExpectingInput, Payload, perform, wait_until_readable
from api.errors import FORBIDDEN, Failure
from api.fields import Info, by, given, once_passed
from api.ids import Kind, decode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, person
from api.runtime import read_log_kept
from api.scalars import Position
from api.ticket_payload import TicketPayload
from application import tickets, workflows
from application.privacy.reads import Way
from domain.privacy import SetReadLogging, SetSensitive
from projections import privacy
from projections.holdings import must_be_past
from projections.registry import TICKET_READ_MODELS
from projections.rows import KnownRow, ReadRow

strawberry.enum(Way, name="ReadWay")


@strawberry.type(description="Somebody was shown the ticket, then, and maybe again within the minute after.")
class ReadAccess:
    at: datetime
    way: Way


@strawberry.type(description="Half-open: from <= t < to.")
class LoggedStretch:
    from_: datetime = strawberry.field(name="from")
    to: datetime


def _person(row: Parent[KnownRow], info: Info) -> Any:
    return person(info, row.person)


async def _reads(
    row: Parent[KnownRow],
    info: Info,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
) -> ConnectionRow[ReadRow]:
    """Those that were logged, the oldest first. What was shown: `ticket(asOf: {recordedAt: at})`."""
    view = info.context.view
    page = await privacy.reads(view, row.ticket, row.person, row.at, page_ask(first, after, last, before))
    return ConnectionRow(page, lambda: privacy.read_count(view, row.ticket, row.person, row.at))


@strawberry.type(description="What is known of somebody's reading of a ticket, until an instant.")
class KnownTo:
    person: Person = by(_person)
    at: datetime
    all: bool = strawberry.field(
        description="Reads were logged all the time, from when the ticket was recorded to `at`: no read, not read."
    )
    logged: list[LoggedStretch] = strawberry.field(
        description="When they were. At other times reads were not logged: nobody knows."
    )
    reads: Connection[ReadAccess] = by(_reads)


async def _known_to(
    info: Info, ticket: ID, person: ID, at: datetime | None = UNSET, min_position: Position | None = UNSET
) -> KnownRow | None:
    """For auditors and administrators. Null where there was no such ticket yet. `at`: a time of recording; now, where
    it is absent."""
    if not info.context.actor.administers:
        raise Failure(FORBIDDEN, "Who read what is for auditors and administrators.")
    await once_passed(info, min_position, *TICKET_READ_MODELS)
    until = given(at) or datetime.now(UTC)
    must_be_past(until, "at")
    since = datetime.now(UTC) - read_log_kept()
    view = info.context.view
    return await privacy.known_to(view, decode(ticket, Kind.TICKET), decode(person, Kind.PERSON), until, since)


@strawberry.type(description="`all`: reads of every ticket are logged, not of the sensitive ones alone.")
class ReadLogging:
    all: bool


async def _logging(info: Info) -> ReadLogging:
    return ReadLogging(all=info.context.workflows.logs_all_reads)


@strawberry.type
class PrivacyQueries:
    known_to: KnownTo | None = by(_known_to)
    read_logging: ReadLogging = by(_logging)


# ---- commands


@strawberry.input
class SetSensitiveInput(ExpectingInput):
    ticket: ID
    sensitive: bool


@strawberry.input(description="`all`: reads of every ticket, not of the sensitive ones alone.")
class SetReadLoggingInput(CommandInput):
    all: bool


async def _logging_after(done: Parent[Done], info: Info) -> ReadLogging | None:
    """As it is now; null if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "directory"):
        return None
    return await _logging(info)


@strawberry.type
class ReadLoggingPayload(Payload):
    read_logging: ReadLogging | None = by(_logging_after)


async def set_sensitive(info: Info, input: SetSensitiveInput) -> Done:
    """From now on it is logged who reads the ticket; or no more."""
    return await perform(info, input, SetSensitive, tickets.handle)


async def set_read_logging(info: Info, input: SetReadLoggingInput) -> Done:
    return await perform(info, input, SetReadLogging, workflows.handle)


@strawberry.type
class PrivacyMutations:
    set_sensitive: TicketPayload = by(set_sensitive)
    set_read_logging: ReadLoggingPayload = by(set_read_logging)
