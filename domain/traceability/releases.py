"""Releases and deployments of a repository, as its tags and its provider tell them: each a stream of its own."""

from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import text
from domain.errors import FieldRequired
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


class DeploymentFinished(msgspec.Struct, frozen=True, kw_only=True):
    """`number`: of the deployment at its provider."""

    repository: UUID
    number: str
    environment: str
    commit: str
    outcome: DeploymentOutcome
    finished_at: datetime


ReleaseEvent = ReleasePublished | ReleaseMoved | DeploymentFinished


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


# ---- state


class Release(msgspec.Struct, frozen=True, kw_only=True):
    repository: UUID
    tag: str
    commit: str | None
    title: str | None
    published_at: datetime


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    repository: UUID
    number: str
    environment: str
    commit: str
    outcome: DeploymentOutcome
    finished_at: datetime


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
        case _:
            assert_never(event)
