"""Merge requests (GitHub and Gitea say pull requests), as their provider tells them: each a stream of its own.

A provider tells how a request stands; what differs from how it stood is what happened.
"""

from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain import text
from domain.errors import FieldRequired, InvalidValue
from domain.text import FreeText, PassingText
from domain.traceability import references
from domain.traceability.references import Mention
from domain.traceability.repositories import Repository, branch, sha


class RequestState(StrEnum):
    OPEN = "OPEN"
    MERGED = "MERGED"
    CLOSED = "CLOSED"


class ReviewVerdict(StrEnum):
    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"


# ---- events


class MergeRequestOpened(msgspec.Struct, frozen=True, kw_only=True):
    """`opened_at`: by the provider. `head`: the last commit of its branch. `mentions`: in title, text and branch."""

    repository: UUID
    number: int
    title: FreeText
    branch: FreeText | None
    target: str | None
    head: str | None
    mentions: tuple[Mention, ...]
    opened_at: datetime


class MergeRequestRetitled(msgspec.Struct, frozen=True, kw_only=True):
    """Its title, text or branch names something else now."""

    title: FreeText
    branch: FreeText | None
    mentions: tuple[Mention, ...]


class MergeRequestPushed(msgspec.Struct, frozen=True, kw_only=True):
    head: str


class MergeRequestRetargeted(msgspec.Struct, frozen=True, kw_only=True):
    target: str


class MergeRequestMerged(msgspec.Struct, frozen=True, kw_only=True):
    """`commit`: what the provider names as the one by which it came into its target; a merge, a squashed commit, or the
    last of those that were rebased."""

    commit: str | None
    merged_at: datetime


class MergeRequestClosed(msgspec.Struct, frozen=True, kw_only=True):
    """Without having been merged."""

    closed_at: datetime


class MergeRequestReopened(msgspec.Struct, frozen=True, kw_only=True):
    pass


class MergeRequestReviewed(msgspec.Struct, frozen=True, kw_only=True):
    verdict: ReviewVerdict
    reviewer: PassingText | None
    reviewed_at: datetime


RequestEvent = (
    MergeRequestOpened
    | MergeRequestRetitled
    | MergeRequestPushed
    | MergeRequestRetargeted
    | MergeRequestMerged
    | MergeRequestClosed
    | MergeRequestReopened
    | MergeRequestReviewed
)


# ---- commands


class RecordMergeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How a request stands by its provider. UNSET: the provider does not say, nothing changes. `text`: its description;
    only what it names is kept. `at`: when it came to this state; None is when the command happened."""

    repository: UUID
    number: int
    title: str | UnsetType = UNSET
    text: str | UnsetType | None = UNSET
    branch: str | UnsetType | None = UNSET
    target: str | UnsetType | None = UNSET
    head: str | UnsetType | None = UNSET
    state: RequestState | UnsetType = UNSET
    merge_commit: str | UnsetType | None = UNSET
    opened_at: datetime | None = None
    at: datetime | None = None


class RecordReview(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said of a request. `at`: when; None is when the command happened."""

    repository: UUID
    number: int
    verdict: ReviewVerdict
    reviewer: str | None = None
    at: datetime | None = None


RequestCommand = RecordMergeRequest | RecordReview


# ---- state


class MergeRequest(msgspec.Struct, frozen=True, kw_only=True):
    repository: UUID
    number: int
    title: str
    branch: str | None
    target: str | None
    head: str | None
    mentions: tuple[Mention, ...]
    opened_at: datetime
    state: RequestState = RequestState.OPEN
    merge_commit: str | None = None
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    reviews: int = 0


def decide(
    request: MergeRequest | None, command: RequestCommand, repository: Repository, at: datetime
) -> list[RequestEvent]:
    """`at`: when the command happened. Raises FieldRequired, InvalidValue."""
    if not 0 < command.number < 10**9:
        raise InvalidValue("number is that of a merge request, from 1.", ("number",))
    if isinstance(command, RecordReview):
        return _reviewed(request, command, at)
    if request is None:
        opened = _opened(command, repository, at)
        return [opened, *_differences(evolve(None, opened, at), command, repository, at)]
    return _differences(request, command, repository, at)


def _reviewed(request: MergeRequest | None, command: RecordReview, at: datetime) -> list[RequestEvent]:
    if request is None:
        raise InvalidValue("This merge request is not recorded; record it first.", ("number",))
    reviewer = None if command.reviewer is None else text.line(command.reviewer, "reviewer")
    return [MergeRequestReviewed(verdict=command.verdict, reviewer=reviewer, reviewed_at=command.at or at)]


def _opened(command: RecordMergeRequest, repository: Repository, at: datetime) -> MergeRequestOpened:
    if command.title is UNSET:
        raise FieldRequired("title", "when a merge request is recorded first")
    said = command.text if isinstance(command.text, str) else ""
    source = None if command.branch is UNSET else command.branch
    return MergeRequestOpened(
        repository=command.repository,
        number=command.number,
        title=_title(command.title),
        branch=None if source is None else branch(source, "branch"),
        target=None if command.target in (UNSET, None) else branch(command.target, "target"),
        head=None if command.head in (UNSET, None) else sha(command.head, "head"),
        mentions=_mentions(command.title, said, source, repository),
        opened_at=command.opened_at or at,
    )


def _differences(
    request: MergeRequest, command: RecordMergeRequest, repository: Repository, at: datetime
) -> list[RequestEvent]:
    events: list[RequestEvent] = []
    if renamed := _renamed(request, command, repository):
        events.append(renamed)
    if command.head not in (UNSET, None, request.head):
        events.append(MergeRequestPushed(head=sha(command.head, "head")))
    if command.target not in (UNSET, None, request.target):
        events.append(MergeRequestRetargeted(target=branch(command.target, "target")))
    state = request.state if command.state is UNSET else command.state
    commit = None if command.merge_commit in (UNSET, None) else sha(command.merge_commit, "mergeCommit")
    match state:
        case RequestState.MERGED:
            if request.state is not RequestState.MERGED or commit not in (None, request.merge_commit):
                events.append(MergeRequestMerged(commit=commit, merged_at=command.at or request.merged_at or at))
        case RequestState.CLOSED:
            if request.state is RequestState.OPEN:
                events.append(MergeRequestClosed(closed_at=command.at or at))
        case RequestState.OPEN:
            if request.state is RequestState.CLOSED:
                events.append(MergeRequestReopened())
        case _:
            assert_never(state)
    return events


def _renamed(request: MergeRequest, command: RecordMergeRequest, repository: Repository) -> MergeRequestRetitled | None:
    """Without its text nothing is known of what it names, so mentions stay."""
    title = request.title if command.title is UNSET else _title(command.title)
    source = request.branch if command.branch is UNSET else command.branch
    named = request.mentions
    if command.text is not UNSET:
        named = _mentions(title, command.text or "", source, repository)
    if (title, source, named) == (request.title, request.branch, request.mentions):
        return None
    return MergeRequestRetitled(title=title, branch=source, mentions=named)


def _mentions(title: str, said: str, source: str | None, repository: Repository) -> tuple[Mention, ...]:
    in_text = references.mentions(f"{title}\n\n{said}", repository.trailers)
    known = {one.name for one in in_text}
    in_branch = () if source is None else references.in_branch(source)
    return (*in_text, *(one for one in in_branch if one.name not in known))


def _title(title: str) -> str:
    if text.is_blank(title):
        return "(no title)"
    return text.line(title[: text.TITLE_LIMIT], "title")


def evolve(request: MergeRequest | None, event: RequestEvent, at: datetime) -> MergeRequest:
    if isinstance(event, MergeRequestOpened):
        return MergeRequest(**msgspec.structs.asdict(event))
    assert request is not None, "a merge request's first event is MergeRequestOpened"
    match event:
        case MergeRequestRetitled(title=title, branch=source, mentions=named):
            return replace(request, title=title, branch=source, mentions=named)
        case MergeRequestPushed(head=head):
            return replace(request, head=head)
        case MergeRequestRetargeted(target=target):
            return replace(request, target=target)
        case MergeRequestMerged(commit=commit, merged_at=merged_at):
            return replace(
                request, state=RequestState.MERGED, merge_commit=commit or request.merge_commit, merged_at=merged_at
            )
        case MergeRequestClosed(closed_at=closed_at):
            return replace(request, state=RequestState.CLOSED, closed_at=closed_at)
        case MergeRequestReopened():
            return replace(request, state=RequestState.OPEN, closed_at=None)
        case MergeRequestReviewed():
            return replace(request, reviews=request.reviews + 1)
        case _:
            assert_never(event)
