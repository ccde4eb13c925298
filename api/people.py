"""People."""

from collections.abc import Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, ExpectingInput, Payload, perform, wait_until_readable
from api.errors import FORBIDDEN, Failure
from api.fields import Info, Node, by, once_passed
from api.filters import PersonFilter, asked
from api.ids import Kind, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.prefetch import at_last, found
from api.scalars import Position
from application.people import handle
from domain.people import AddPerson, DeactivatePerson, PersonKind, ReactivatePerson, RenamePerson
from projections import directory, filters
from projections.rows import PersonRow, TeamRow

if TYPE_CHECKING:
    from api.teams import Team


def _id(person: Parent[PersonRow]) -> ID:
    return encode(Kind.PERSON, person.id)


def _email(person: Parent[PersonRow], info: Info) -> str | None:
    """Requesters see their own alone."""
    actor = info.context.actor
    return person.email if actor.reads_all or person.id == actor.person else None


def _avatar_url() -> None:
    """Null until people may have pictures."""


async def _teams(person: Parent[PersonRow], info: Info) -> list[TeamRow]:
    return await info.context.loaders.teams_of.load(person.id) or []


@strawberry.type
class Person(Node):
    id: ID = by(_id)
    name: str
    kind: PersonKind
    email: str | None = by(_email)
    avatar_url: str | None = by(_avatar_url)
    active: bool
    erased: bool
    teams: list[Annotated["Team", strawberry.lazy("api.teams")]] = by(_teams)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, PersonRow)


async def _people(
    info: Info,
    filter: PersonFilter | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[PersonRow]:
    """By name."""
    must_read_all(info)
    await once_passed(info, min_position, "directory")
    view, wanted = info.context.view, asked(filter, filters.PersonFilter)
    page = await directory.people(view, wanted, page_ask(first, after))
    return ConnectionRow(page, lambda: directory.people_count(view, wanted))


@strawberry.type
class PeopleQueries:
    people: Connection[Person] = by(_people)


def person(info: Info, id: UUID | None) -> Any:
    """The person at once where they were loaded before, else an awaitable."""
    return None if id is None else found(info.context.loaders.people, id)


def people(info: Info, ids: Sequence[UUID]) -> Any:
    """As `person`, of several."""
    if not ids:
        return []
    found_ = [person(info, id) for id in ids]

    async def later() -> list[Any]:
        return [await at_last(one) for one in found_]

    return later() if any(isawaitable(one) for one in found_) else found_


def must_read_all(info: Info) -> None:
    """Raises Failure for tokens that show their bearer's own tickets only."""
    if not info.context.actor.reads_all:
        raise Failure(FORBIDDEN, "Your token shows your own tickets only; this needs the scope agent or auditor.")


# ---- commands


@strawberry.input
class AddPersonInput(CommandInput):
    name: str
    kind: PersonKind = PersonKind.STAFF
    email: str | None = UNSET


@strawberry.input
class RenamePersonInput(ExpectingInput):
    person: ID
    name: str


@strawberry.input(description="The person left: keeps what they hold and did, takes nothing new.")
class DeactivatePersonInput(ExpectingInput):
    person: ID


@strawberry.input
class ReactivatePersonInput(ExpectingInput):
    person: ID


async def _after(done: Parent[Done], info: Info) -> PersonRow | None:
    """As they are after the command; null if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "directory"):
        return None
    return await info.context.loaders.people.load(done.outcome.stream)


@strawberry.type
class PersonPayload(Payload):
    person: Person | None = by(_after)


async def add_person(info: Info, input: AddPersonInput) -> Done:
    return await perform(info, input, AddPerson, handle)


async def rename_person(info: Info, input: RenamePersonInput) -> Done:
    return await perform(info, input, RenamePerson, handle)


async def deactivate_person(info: Info, input: DeactivatePersonInput) -> Done:
    return await perform(info, input, DeactivatePerson, handle)


async def reactivate_person(info: Info, input: ReactivatePersonInput) -> Done:
    return await perform(info, input, ReactivatePerson, handle)


@strawberry.type
class PeopleMutations:
    add_person: PersonPayload = by(add_person)
    rename_person: PersonPayload = by(rename_person)
    deactivate_person: PersonPayload = by(deactivate_person)
    reactivate_person: PersonPayload = by(reactivate_person)
