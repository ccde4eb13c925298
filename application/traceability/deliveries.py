"""What providers tell in webhooks, as commands. What is not understood, or says nothing of changes, is none.

Payloads are read leniently: only what is used, and of that only what must be there.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import msgspec

from application.traceability.scanning import as_line
from application.traceability.signatures import Headers
from domain.errors import InvalidValue
from domain.traceability import references
from domain.traceability.findings import Commit, RecordPush
from domain.traceability.releases import DeploymentOutcome, RecordDeployment, RecordRelease, ReleaseCommand
from domain.traceability.repositories import Provider, Repository
from domain.traceability.requests import (
    RecordMergeRequest,
    RecordReview,
    RequestCommand,
    RequestState,
    ReviewVerdict,
)

DeliveryCommand = RequestCommand | ReleaseCommand | RecordPush

_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_NOTHING = re.compile(r"0+")

T = TypeVar("T")


def delivery_of(headers: Headers, body: bytes) -> str:
    """What a repeated delivery is known by: its id, by whichever name the provider gives it; else what it says."""
    for name in ("x-github-delivery", "x-gitea-delivery", "x-forgejo-delivery", "webhook-id", "idempotency-key"):
        if given := headers.get(name):
            return f"{name}:{given[:200]}"
    return f"body:{hashlib.sha256(body).hexdigest()}"


def commands_of(repository: UUID, state: Repository, headers: Headers, body: bytes) -> list[DeliveryCommand]:
    """Raises InvalidValue where a payload is not what its event says that it is."""
    event = headers.get(_EVENT_HEADERS[state.provider], "") or headers.get("x-forgejo-event", "")
    reader = _READERS[state.provider].get(event)
    if reader is None:
        return []
    return reader(repository, state, body)


_EVENT_HEADERS = {
    Provider.GITHUB: "x-github-event",
    Provider.GITEA: "x-gitea-event",
    Provider.GITLAB: "x-gitlab-event",
    Provider.GIT: "",
}


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidValue(f"The payload cannot be read: {error}") from None


def _time(value: str | None) -> datetime | None:
    """As providers write times: RFC 3339, or `2026-03-01 09:00:00 UTC`, `2026-03-01 09:00:00 +0300`."""
    if not value:
        return None
    plain = re.sub(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)", r"\1T\2", value).replace(" UTC", "Z")
    try:
        at = datetime.fromisoformat(re.sub(r" ([+-]\d\d):?(\d\d)$", r"\1:\2", plain))
    except ValueError:
        return None
    return at if at.utcoffset() is not None else at.replace(tzinfo=UTC)


# ---- pushes: GitHub, Gitea and GitLab say nearly the same


class _Author(msgspec.Struct):
    name: str = ""
    email: str = ""


class _PushedCommit(msgspec.Struct):
    id: str
    message: str = ""
    timestamp: str = ""
    author: _Author = msgspec.field(default_factory=_Author)


class _Head(msgspec.Struct):
    id: str
    timestamp: str = ""


class _Push(msgspec.Struct):
    ref: str
    after: str = ""
    checkout_sha: str | None = None
    head_commit: _Head | None = None
    commits: list[_PushedCommit] = []


def _push(repository: UUID, state: Repository, body: bytes) -> list[DeliveryCommand]:
    push = _read(body, _Push)
    if _NOTHING.fullmatch(push.after):  # what was pushed is that it goes
        return []
    if push.ref.startswith(_TAGS):
        # Of a tag with a message, `after` is the tag itself, which is no commit.
        commit = push.head_commit.id if push.head_commit else push.checkout_sha or push.after
        at = _time(push.head_commit.timestamp) if push.head_commit else None
        return [RecordRelease(repository=repository, tag=push.ref.removeprefix(_TAGS), commit=commit, at=at)]
    if not push.ref.startswith(_HEADS) or not push.commits:
        return []
    commits = tuple(_pushed(one, state) for one in push.commits)
    texts: dict[str, Sequence[str]] = {
        one.id: (as_line(one.author.name), as_line(one.author.email), as_line(one.message.partition("\n")[0]))
        for one in push.commits
    }
    return [RecordPush(repository=repository, commits=commits, texts=texts)]


def _pushed(one: _PushedCommit, state: Repository) -> Commit:
    at = _time(one.timestamp) or datetime.now(UTC)
    return Commit(
        sha=one.id,
        parents=(),
        authored_at=at,
        committed_at=at,
        mentions=references.mentions(one.message, state.trailers),
        reverts=references.reverted(one.message),
        picked=references.picked(one.message),
    )


# ---- GitHub and Gitea


class _End(msgspec.Struct):
    ref: str
    sha: str = ""


class _PullRequest(msgspec.Struct):
    number: int
    title: str
    head: _End
    base: _End
    state: str
    body: str | None = None
    merged: bool = False
    merge_commit_sha: str | None = None
    created_at: str | None = None
    merged_at: str | None = None
    closed_at: str | None = None


class _User(msgspec.Struct):
    login: str = ""
    username: str = ""


class _Review(msgspec.Struct):
    state: str = ""
    type: str = ""
    submitted_at: str | None = None
    user: _User | None = None


class _PullRequestEvent(msgspec.Struct):
    pull_request: _PullRequest
    action: str = ""
    review: _Review | None = None
    sender: _User | None = None


def _pull_request(repository: UUID, state: Repository, body: bytes) -> list[DeliveryCommand]:
    pull = _read(body, _PullRequestEvent).pull_request
    return [_as_request(repository, pull)]


def _as_request(repository: UUID, pull: _PullRequest) -> RecordMergeRequest:
    if pull.merged:
        stands = RequestState.MERGED
    else:
        stands = RequestState.CLOSED if pull.state == "closed" else RequestState.OPEN
    return RecordMergeRequest(
        repository=repository,
        number=pull.number,
        title=pull.title,
        text=pull.body,
        branch=pull.head.ref or None,
        target=pull.base.ref or None,
        head=pull.head.sha or None,
        state=stands,
        merge_commit=pull.merge_commit_sha if pull.merged else None,  # else it is a merge that was only tried
        opened_at=_time(pull.created_at),
        at=_time(pull.merged_at if pull.merged else pull.closed_at),
    )


_VERDICTS = {
    "approved": ReviewVerdict.APPROVED,
    "changes_requested": ReviewVerdict.CHANGES_REQUESTED,
    "commented": ReviewVerdict.COMMENTED,
    "dismissed": ReviewVerdict.DISMISSED,
    # of Gitea
    "pull_request_review_approved": ReviewVerdict.APPROVED,
    "pull_request_review_rejected": ReviewVerdict.CHANGES_REQUESTED,
    "pull_request_review_comment": ReviewVerdict.COMMENTED,
}


def _review(repository: UUID, state: Repository, body: bytes) -> list[DeliveryCommand]:
    """Of GitHub, an edited review is the same one."""
    told = _read(body, _PullRequestEvent)
    review = told.review
    if review is None or told.action == "edited":
        return []
    verdict = _VERDICTS.get(review.state.lower() or review.type)
    if verdict is None:
        return []
    by = review.user or told.sender or _User()
    request = _as_request(repository, told.pull_request)
    reviewed = RecordReview(
        repository=repository,
        number=request.number,
        verdict=verdict,
        reviewer=by.login or by.username or None,
        at=_time(review.submitted_at),
    )
    return [request, reviewed]


class _Created(msgspec.Struct):
    ref: str
    ref_type: str
    sha: str | None = None


def _created(repository: UUID, state: Repository, body: bytes) -> list[DeliveryCommand]:
    created = _read(body, _Created)
    if created.ref_type != "tag":
        return []
    return [RecordRelease(repository=repository, tag=created.ref, commit=created.sha)]


class _Release(msgspec.Struct):
    tag_name: str
    name: str | None = None
    published_at: str | None = None
    created_at: str | None = None
    draft: bool = False


class _ReleaseEvent(msgspec.Struct):
    release: _Release
    action: str = ""


def _release(repository: UUID, state: Repository, body: bytes) -> list[DeliveryCommand]:
    """Which commit its tag stands at comes with the tag."""
    told = _read(body, _ReleaseEvent)
    release = told.release
    if release.draft or told.action in ("deleted", "unpublished"):
        return []
    at = _time(release.published_at or release.created_at)
    return [RecordRelease(repository=repository, tag=release.tag_name, title=release.name, at=at)]


class _Deployment(msgspec.Struct):
    id: int
    sha: str
    environment: str


class _DeploymentStatus(msgspec.Struct):
    state: str
    created_at: str | None = None


class _DeploymentEvent(msgspec.Struct):
    deployment: _Deployment
    deployment_status: _DeploymentStatus


_OUTCOMES = {
    "success": DeploymentOutcome.SUCCEEDED,
    "failure": DeploymentOutcome.FAILED,
    "error": DeploymentOutcome.FAILED,
    "failed": DeploymentOutcome.FAILED,
}
"""What a deployment ends with; others are on their way, or were called off."""


def _deployment(repository: UUID, state: Repository, body: bytes) -> list[DeliveryCommand]:
    told = _read(body, _DeploymentEvent)
    outcome = _OUTCOMES.get(told.deployment_status.state)
    if outcome is None:
        return []
    return [
        RecordDeployment(
            repository=repository,
            number=str(told.deployment.id),
            environment=told.deployment.environment,
            commit=told.deployment.sha,
            outcome=outcome,
            at=_time(told.deployment_status.created_at),
        )
    ]


# ---- GitLab


class _LastCommit(msgspec.Struct):
    id: str = ""


class _MergeRequest(msgspec.Struct):
    iid: int
    title: str
    source_branch: str = ""
    target_branch: str = ""
    state: str = ""
    action: str = ""
    description: str | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    last_commit: _LastCommit | None = None
    created_at: str | None = None
    updated_at: str | None = None


class _MergeRequestEvent(msgspec.Struct):
    object_attributes: _MergeRequest
    user: _User | None = None


_GITLAB_STATES = {"merged": RequestState.MERGED, "closed": RequestState.CLOSED}
_GITLAB_VERDICTS = {
    "approved": ReviewVerdict.APPROVED,
    "approval": ReviewVerdict.APPROVED,
    "unapproved": ReviewVerdict.DISMISSED,
    "unapproval": ReviewVerdict.DISMISSED,
}


def _merge_request(repository: UUID, state: Repository, body: bytes) -> list[DeliveryCommand]:
    told = _read(body, _MergeRequestEvent)
    merge = told.object_attributes
    stands = _GITLAB_STATES.get(merge.state, RequestState.OPEN)
    at = _time(merge.updated_at)
    found: list[DeliveryCommand] = [
        RecordMergeRequest(
            repository=repository,
            number=merge.iid,
            title=merge.title,
            text=merge.description,
            branch=merge.source_branch or None,
            target=merge.target_branch or None,
            head=(merge.last_commit.id or None) if merge.last_commit else None,
            state=stands,
            merge_commit=merge.merge_commit_sha or merge.squash_commit_sha,
            opened_at=_time(merge.created_at),
            at=None if stands is RequestState.OPEN else at,
        )
    ]
    if verdict := _GITLAB_VERDICTS.get(merge.action):
        reviewer = told.user.username or None if told.user else None
        found.append(RecordReview(repository=repository, number=merge.iid, verdict=verdict, reviewer=reviewer, at=at))
    return found


class _GitlabRelease(msgspec.Struct):
    tag: str
    name: str | None = None
    action: str = ""
    commit: _LastCommit | None = None
    released_at: str | None = None
    created_at: str | None = None


def _gitlab_release(repository: UUID, state: Repository, body: bytes) -> list[DeliveryCommand]:
    release = _read(body, _GitlabRelease)
    if release.action == "delete":
        return []
    commit = (release.commit.id or None) if release.commit else None
    at = _time(release.released_at or release.created_at)
    return [RecordRelease(repository=repository, tag=release.tag, commit=commit, title=release.name, at=at)]


class _GitlabDeployment(msgspec.Struct):
    deployment_id: int
    status: str
    environment: str
    commit_url: str = ""
    status_changed_at: str | None = None


def _gitlab_deployment(repository: UUID, state: Repository, body: bytes) -> list[DeliveryCommand]:
    """The whole hash of its commit stands in the commit's address alone."""
    told = _read(body, _GitlabDeployment)
    outcome = _OUTCOMES.get(told.status)
    if outcome is None:
        return []
    return [
        RecordDeployment(
            repository=repository,
            number=str(told.deployment_id),
            environment=told.environment,
            commit=told.commit_url.rpartition("/")[2],
            outcome=outcome,
            at=_time(told.status_changed_at),
        )
    ]


_Reader = Callable[[UUID, Repository, bytes], list[DeliveryCommand]]
_READERS: Mapping[Provider, Mapping[str, _Reader]] = {
    Provider.GITHUB: {
        "push": _push,
        "pull_request": _pull_request,
        "pull_request_review": _review,
        "release": _release,
        "deployment_status": _deployment,
    },
    Provider.GITEA: {
        "push": _push,
        "pull_request": _pull_request,
        "pull_request_sync": _pull_request,
        "pull_request_approved": _review,
        "pull_request_rejected": _review,
        "pull_request_comment": _review,
        "create": _created,
        "release": _release,
    },
    Provider.GITLAB: {
        "Push Hook": _push,
        "Tag Push Hook": _push,
        "Merge Request Hook": _merge_request,
        "Release Hook": _gitlab_release,
        "Deployment Hook": _gitlab_deployment,
    },
    Provider.GIT: {},
}
