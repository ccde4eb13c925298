"""Releases and deployments of a repository, as its tags and its provider tell them: each a stream of its own."""

from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import text
from domain.errors import FieldRequired, InvalidValue, TicketNotFound
from domain.text import FreeText
from domain.traceability.repositories import branch, sha


class DeploymentOutcome(StrEnum):
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


# ---- events


class ReleasePublished(msgspec.Struct, frozen=True, kw_only=True):
    """`tag` names it in its repository. `commit`: None where nobody has told yet."""

    repository: UUID
    tag: str
    commit: str | None
    title: FreeText | None
    published_at: datetime


class ReleaseMoved(msgspec.Struct, frozen=True, kw_only=True):
    """Its tag stands at another commit, or at the first that is known."""

    commit: str


class ReleaseFollowed(msgspec.Struct, frozen=True, kw_only=True):
    """What its commit has, by git. `base`: the last one of the main branch's own line, None where there is none;
    `commits`: those beside it, parents first, the last 2,000 at most."""

    commit: str
    base: str | None
    commits: tuple[str, ...]


class DeploymentFinished(msgspec.Struct, frozen=True, kw_only=True):
    """`number`: of the deployment at its provider."""

    repository: UUID
    number: str
    environment: str
    commit: str
    outcome: DeploymentOutcome
    finished_at: datetime


class TicketsPromised(msgspec.Struct, frozen=True, kw_only=True):
    """For a release that may not be there yet."""

    repository: UUID
    tag: str
    tickets: tuple[UUID, ...]


class PromiseWithdrawn(msgspec.Struct, frozen=True, kw_only=True):
    tickets: tuple[UUID, ...]


ReleaseEvent = ReleasePublished | ReleaseMoved | ReleaseFollowed | DeploymentFinished
PromiseEvent = TicketsPromised | PromiseWithdrawn


# ---- commands


class RecordRelease(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: when it was published; None is when the command happened."""

    repository: UUID
    tag: str
    commit: str | None = None
    title: str | None = None
    at: datetime | None = None


class RecordDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """That a deployment ended, well or not. `at`: when; None is when the command happened."""

    repository: UUID
    number: str
    environment: str
    commit: str
    outcome: DeploymentOutcome = DeploymentOutcome.SUCCEEDED
    at: datetime | None = None


ReleaseCommand = RecordRelease | RecordDeployment


class PromiseTickets(msgspec.Struct, frozen=True, kw_only=True):
    """That a release will have what these ask for. `tag`: its name, published or not yet."""

    repository: UUID
    tag: str
    tickets: tuple[UUID, ...]


class WithdrawPromise(msgspec.Struct, frozen=True, kw_only=True):
    repository: UUID
    tag: str
    tickets: tuple[UUID, ...]


PromiseCommand = PromiseTickets | WithdrawPromise

PROMISED_LIMIT = 1_000
"""Tickets of one release."""


# ---- state


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """`followed`: the commit of which is known what it has."""

    repository: UUID
    tag: str
    commit: str | None
    title: str | None
    published_at: datetime
    followed: str | None = None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    repository: UUID
    number: str
    environment: str
    commit: str
    outcome: DeploymentOutcome
    finished_at: datetime


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What a release was promised to have, in the order in which it was."""

    repository: UUID
    tag: str
    tickets: tuple[UUID, ...] = ()


def decide(state: Release | Deployment | None, command: ReleaseCommand, at: datetime) -> list[ReleaseEvent]:
    """`at`: when the command happened. Raises FieldRequired, InvalidValue."""
    match command:
        case RecordRelease():
            assert not isinstance(state, Deployment), "a release's stream is its own"
            return _release(state, command, at)
        case RecordDeployment():
            assert not isinstance(state, Release), "a deployment's stream is its own"
            return _deployment(state, command, at)
        case _:
            assert_never(command)


def _release(release: Release | None, command: RecordRelease, at: datetime) -> list[ReleaseEvent]:
    commit = None if command.commit is None else sha(command.commit)
    if release is not None:
        return [] if commit in (None, release.commit) else [ReleaseMoved(commit=commit)]
    title = None if command.title is None or text.is_blank(command.title) else command.title[: text.TITLE_LIMIT]
    return [
        ReleasePublished(
            repository=command.repository,
            tag=branch(command.tag, "tag"),
            commit=commit,
            title=None if title is None else text.line(title, "title"),
            published_at=command.at or at,
        )
    ]


def _deployment(deployment: Deployment | None, command: RecordDeployment, at: datetime) -> list[ReleaseEvent]:
    """One that had failed may be tried again under the same number."""
    if not command.number:
        raise FieldRequired("number", "to know a deployment again")
    if deployment is not None and deployment.outcome is command.outcome:
        return []
    return [
        DeploymentFinished(
            repository=command.repository,
            number=branch(command.number, "number"),
            environment=branch(command.environment, "environment"),
            commit=sha(command.commit),
            outcome=command.outcome,
            finished_at=command.at or at,
        )
    ]


def evolve(state: Release | Deployment | None, event: ReleaseEvent, at: datetime) -> Release | Deployment:
    match event:
        case ReleasePublished():
            return Release(**msgspec.structs.asdict(event))
        case DeploymentFinished():
            return Deployment(**msgspec.structs.asdict(event))
        case ReleaseMoved(commit=commit):
            assert isinstance(state, Release), "a release's first event is ReleasePublished"
            return replace(state, commit=commit)
        case ReleaseFollowed(commit=commit):
            assert isinstance(state, Release), "a release's first event is ReleasePublished"
            return replace(state, followed=commit)
        case _:
            assert_never(event)


def promise(state: Promise | None, command: PromiseCommand, tickets: frozenset[UUID]) -> list[PromiseEvent]:
    """`tickets`: those of the command that are there. Raises TicketNotFound, InvalidValue."""
    known = state.tickets if state is not None else ()
    asked = tuple(dict.fromkeys(command.tickets))
    if isinstance(command, WithdrawPromise):
        gone = tuple(one for one in asked if one in known)
        return [PromiseWithdrawn(tickets=gone)] if gone else []
    new = tuple(one for one in asked if one not in known)
    for one in new:
        if one not in tickets:
            raise TicketNotFound(one, "tickets")
    if len(known) + len(new) > PROMISED_LIMIT:
        raise InvalidValue(f"At most {PROMISED_LIMIT} tickets are promised for one release.", ("tickets",))
    if not new:
        return []
    return [TicketsPromised(repository=command.repository, tag=branch(command.tag, "tag"), tickets=new)]


def evolve_promise(state: Promise | None, event: PromiseEvent, at: datetime) -> Promise:
    if isinstance(event, TicketsPromised):
        known = state.tickets if state is not None else ()
        return Promise(repository=event.repository, tag=event.tag, tickets=(*known, *event.tickets))
    assert state is not None, "a promise's first event is TicketsPromised"
    return replace(state, tickets=tuple(one for one in state.tickets if one not in event.tickets))
