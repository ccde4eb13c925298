"""What a person says of a link between a change and a ticket. It wins over whatever is found, before or after.

Each pair has a stream of its own; a person may change their mind, or another's."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from domain.errors import InvalidValue
from domain.traceability.repositories import ChangeKind, sha


class Verdict(StrEnum):
    ADDED = "ADDED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"


# ---- events


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    repository: UUID
    kind: ChangeKind
    change: str
    ticket: UUID


class LinkAdded(_Said, frozen=True, kw_only=True):
    pass


class LinkConfirmed(_Said, frozen=True, kw_only=True):
    pass


class LinkRejected(_Said, frozen=True, kw_only=True):
    pass


LinkEvent = LinkAdded | LinkConfirmed | LinkRejected


# ---- commands


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    """`change`: a commit's whole hash, or a merge request's number."""

    ticket: UUID
    repository: UUID
    kind: ChangeKind = ChangeKind.COMMIT
    change: str


class AddChangeLink(_Command, frozen=True, kw_only=True):
    pass


class ConfirmChangeLink(_Command, frozen=True, kw_only=True):
    pass


class RejectChangeLink(_Command, frozen=True, kw_only=True):
    pass


LinkCommand = AddChangeLink | ConfirmChangeLink | RejectChangeLink

_EVENTS: dict[type[LinkCommand], tuple[type[LinkEvent], Verdict]] = {
    AddChangeLink: (LinkAdded, Verdict.ADDED),
    ConfirmChangeLink: (LinkConfirmed, Verdict.CONFIRMED),
    RejectChangeLink: (LinkRejected, Verdict.REJECTED),
}


# ---- state


class Link(msgspec.Struct, frozen=True, kw_only=True):
    verdict: Verdict
    repository: UUID
    kind: ChangeKind
    change: str
    ticket: UUID


def decide(link: Link | None, command: LinkCommand) -> list[LinkEvent]:
    """Raises InvalidValue."""
    said, verdict = _EVENTS[type(command)]
    if link is not None and link.verdict is verdict:
        return []
    return [
        said(
            repository=command.repository,
            kind=command.kind,
            change=change_name(command.kind, command.change),
            ticket=command.ticket,
        )
    ]


def change_name(kind: ChangeKind, change: str) -> str:
    """Raises InvalidValue."""
    if kind is ChangeKind.COMMIT:
        return sha(change.casefold(), "change")
    if not (change.isascii() and change.isdigit() and 0 < int(change) < 10**9):
        raise InvalidValue("change is the number of a merge request, or a commit's whole hash.", ("change",))
    return str(int(change))


def evolve(link: Link | None, event: LinkEvent, at: datetime) -> Link:
    verdict = next(verdict for said, verdict in _EVENTS.values() if isinstance(event, said))
    return Link(verdict=verdict, repository=event.repository, kind=event.kind, change=event.change, ticket=event.ticket)
