"""Deliveries of providers: who signed them, and what they say, with payloads as the providers document them."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from application.traceability.deliveries import commands_of, delivery_of
from application.traceability.signatures import is_signed, verify
from domain.errors import InvalidValue
from domain.traceability.findings import RecordPush
from domain.traceability.releases import DeploymentOutcome, RecordDeployment, RecordRelease
from domain.traceability.repositories import Provider, Repository
from domain.traceability.requests import RecordMergeRequest, RecordReview, RequestState, ReviewVerdict
from tests.domain.given import an_id

SECRET, BODY = "It's a Secret to Everybody", b"Hello, World!"
PUBLISHED = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""What GitHub's documentation says that these two give."""

REPOSITORY = an_id(7)
A, B, C = "a" * 40, "b" * 40, "c" * 40
NOW = 1_772_442_000.0


# ---- signatures


def test_the_published_vector_holds() -> None:
    signed = {"x-hub-signature-256": f"sha256={PUBLISHED}"}
    assert verify(Provider.GITHUB, SECRET, signed, BODY, NOW)
    assert not verify(Provider.GITHUB, SECRET, signed, BODY + b"!", NOW)
    assert not verify(Provider.GITHUB, SECRET + "!", signed, BODY, NOW)
    for wrong in (PUBLISHED, f"sha1={PUBLISHED}", "sha256=", f"sha256={PUBLISHED[:-1]}", "sha256=ё"):
        assert not verify(Provider.GITHUB, SECRET, {"x-hub-signature-256": wrong}, BODY, NOW)
    assert not verify(Provider.GITHUB, SECRET, {"x-hub-signature": f"sha256={PUBLISHED}"}, BODY, NOW)


@pytest.mark.parametrize("header", ["x-gitea-signature", "x-forgejo-signature"])
def test_gitea_signs_alike_under_its_own_name(header: str) -> None:
    assert verify(Provider.GITEA, SECRET, {header: PUBLISHED}, BODY, NOW)
    assert not verify(Provider.GITEA, SECRET, {header: PUBLISHED}, b"", NOW)
    assert not verify(Provider.GITEA, SECRET, {"x-hub-signature-256": f"sha256={PUBLISHED}"}, BODY, NOW)


def standard(secret: bytes, at: int, body: bytes = BODY, identity: str = "msg_1") -> dict[str, str]:
    digest = hmac.new(secret, f"{identity}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,bm90aGluZw== v1,{base64.b64encode(digest).decode()} v2,x",
    }


def test_gitlab_signs_as_standard_webhooks_or_sends_its_token() -> None:
    key = bytes(range(32))
    secret = f"whsec_{base64.b64encode(key).decode()}"
    signed = standard(key, int(NOW))
    assert verify(Provider.GITLAB, secret, signed, BODY, NOW)
    assert verify(Provider.GITLAB, SECRET, standard(SECRET.encode(), int(NOW)), BODY, NOW)
    assert not verify(Provider.GITLAB, secret, signed, BODY + b" ", NOW)
    assert not verify(Provider.GITLAB, secret, signed, BODY, NOW + 301)
    assert not verify(Provider.GITLAB, secret, {**signed, "webhook-id": "msg_2"}, BODY, NOW)
    assert not verify(Provider.GITLAB, secret, {**signed, "webhook-timestamp": "soon"}, BODY, NOW)
    # The token is as good as a signature, unless there is one, and it is wrong.
    token = {"x-gitlab-token": secret}
    assert verify(Provider.GITLAB, secret, token, BODY, NOW)
    assert not verify(Provider.GITLAB, SECRET, token, BODY, NOW)
    assert not verify(Provider.GITLAB, secret, {**signed, **token}, BODY + b" ", NOW)


def test_the_vector_of_standard_webhooks_holds() -> None:
    """Of the libraries of https://github.com/standard-webhooks/standard-webhooks."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signed = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert verify(Provider.GITLAB, secret, signed, body, 1_614_265_330)


def test_who_has_no_provider_signs_nothing() -> None:
    assert not is_signed(Provider.GIT, {"x-gitlab-token": SECRET})
    assert not verify(Provider.GIT, SECRET, {"x-gitlab-token": SECRET}, BODY, NOW)
    assert not is_signed(Provider.GITHUB, {"x-hub-signature-256": ""})


# ---- what they say


def told(provider: Provider, event: str, payload: dict[str, Any] | bytes) -> list[Any]:
    header = {Provider.GITHUB: "x-github-event", Provider.GITLAB: "x-gitlab-event", Provider.GITEA: "x-gitea-event"}
    state = Repository(
        key="shop", name="Shop", provider=provider, url=None, default_branch=None, trackers=(), trailers=("Ticket",)
    )
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return commands_of(REPOSITORY, state, {header[provider]: event}, body)


PULL = {
    "number": 19,
    "title": "Форма заказа",
    "body": "Closes #3",
    "state": "closed",
    "merged": True,
    "merge_commit_sha": C,
    "head": {"ref": "T-7-form", "sha": A, "repo": {"full_name": "anna/shop"}},
    "base": {"ref": "main", "sha": B},
    "created_at": "2026-03-01T09:00:00Z",
    "merged_at": "2026-03-02T09:00:00Z",
    "closed_at": "2026-03-02T09:00:00Z",
    "user": {"login": "anna"},
}
MERGED = RecordMergeRequest(
    repository=REPOSITORY,
    number=19,
    title="Форма заказа",
    text="Closes #3",
    branch="T-7-form",
    target="main",
    head=A,
    state=RequestState.MERGED,
    merge_commit=C,
    opened_at=datetime(2026, 3, 1, 9, tzinfo=UTC),
    at=datetime(2026, 3, 2, 9, tzinfo=UTC),
)


@pytest.mark.parametrize("provider", [Provider.GITHUB, Provider.GITEA])
def test_pull_requests(provider: Provider) -> None:
    assert told(provider, "pull_request", {"action": "closed", "pull_request": PULL}) == [MERGED]
    # A merge that is only tried out is none.
    still_open = {**PULL, "merged": False, "state": "open", "merged_at": None, "closed_at": None, "body": None}
    [request] = told(provider, "pull_request", {"action": "synchronize", "pull_request": still_open})
    assert (request.state, request.merge_commit, request.text, request.at) == (RequestState.OPEN, None, None, None)
    [request] = told(provider, "pull_request", {"pull_request": {**PULL, "merged": False}})
    assert request.state is RequestState.CLOSED


def test_reviews() -> None:
    review = {"state": "approved", "submitted_at": "2026-03-02T08:00:00Z", "user": {"login": "boris"}}
    delivered = {"action": "submitted", "pull_request": PULL, "review": review}
    [_, said] = told(Provider.GITHUB, "pull_request_review", delivered)
    assert said == RecordReview(
        repository=REPOSITORY,
        number=19,
        verdict=ReviewVerdict.APPROVED,
        reviewer="boris",
        at=datetime(2026, 3, 2, 8, tzinfo=UTC),
    )
    assert told(Provider.GITHUB, "pull_request_review", {**delivered, "action": "edited"}) == []
    of_gitea = {"pull_request": PULL, "review": {"type": "pull_request_review_rejected"}, "sender": {"login": "boris"}}
    [_, said] = told(Provider.GITEA, "pull_request_rejected", of_gitea)
    assert (said.verdict, said.reviewer) == (ReviewVerdict.CHANGES_REQUESTED, "boris")


PUSHED = {
    "ref": "refs/heads/main",
    "before": B,
    "after": A,
    "commits": [
        {
            "id": A,
            "message": "Форма\n\nTicket: T-7",
            "timestamp": "2026-03-02T12:00:00+03:00",
            "author": {"name": "Анна", "email": "anna@example.org", "username": "anna"},
        }
    ],
}


@pytest.mark.parametrize(
    ("provider", "event"), [(Provider.GITHUB, "push"), (Provider.GITEA, "push"), (Provider.GITLAB, "Push Hook")]
)
def test_pushes(provider: Provider, event: str) -> None:
    [push] = told(provider, event, PUSHED)
    assert isinstance(push, RecordPush)
    [commit] = push.commits
    assert (commit.sha, commit.committed_at, [one.name for one in commit.mentions]) == (
        A,
        datetime(2026, 3, 2, 9, tzinfo=UTC),
        ["T-7"],
    )
    assert push.texts == {A: ("Анна", "anna@example.org", "Форма")}
    assert told(provider, event, {**PUSHED, "commits": []}) == []
    assert told(provider, event, {**PUSHED, "after": "0" * 40}) == []


def test_tags_and_releases() -> None:
    tag = {"ref": "refs/tags/v1", "after": B, "head_commit": {"id": A, "timestamp": "2026-03-02T09:00:00Z"}}
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert told(Provider.GITHUB, "push", tag) == [RecordRelease(repository=REPOSITORY, tag="v1", commit=A, at=at)]
    of_gitlab = {"object_kind": "tag_push", "ref": "refs/tags/v1", "after": B, "checkout_sha": A}
    assert told(Provider.GITLAB, "Tag Push Hook", of_gitlab) == [
        RecordRelease(repository=REPOSITORY, tag="v1", commit=A)
    ]
    created = {"ref": "v1", "ref_type": "tag", "sha": A}
    assert told(Provider.GITEA, "create", created) == [RecordRelease(repository=REPOSITORY, tag="v1", commit=A)]
    assert told(Provider.GITEA, "create", {**created, "ref_type": "branch"}) == []
    release = {
        "action": "published",
        "release": {"tag_name": "v1", "name": "Весна", "published_at": "2026-03-02T09:00:00Z"},
    }
    published = [RecordRelease(repository=REPOSITORY, tag="v1", title="Весна", at=at)]
    assert told(Provider.GITHUB, "release", release) == published
    assert told(Provider.GITEA, "release", release) == published
    assert told(Provider.GITHUB, "release", {**release, "action": "deleted"}) == []
    hook = {
        "action": "create",
        "tag": "v1",
        "name": "Весна",
        "commit": {"id": A},
        "released_at": "2026-03-02 09:00:00 UTC",
    }
    assert told(Provider.GITLAB, "Release Hook", hook) == [
        RecordRelease(repository=REPOSITORY, tag="v1", commit=A, title="Весна", at=at)
    ]


def test_deployments() -> None:
    status = {"state": "success", "created_at": "2026-03-02T09:00:00Z"}
    deployment = {"deployment": {"id": 17, "sha": A, "environment": "production"}, "deployment_status": status}
    expected = RecordDeployment(
        repository=REPOSITORY, number="17", environment="production", commit=A, at=datetime(2026, 3, 2, 9, tzinfo=UTC)
    )
    assert told(Provider.GITHUB, "deployment_status", deployment) == [expected]
    pending = {**deployment, "deployment_status": {"state": "in_progress"}}
    assert told(Provider.GITHUB, "deployment_status", pending) == []
    hook = {
        "object_kind": "deployment",
        "status": "failed",
        "status_changed_at": "2026-03-02 12:00:00 +0300",
        "deployment_id": 17,
        "environment": "production",
        "short_sha": A[:8],
        "commit_url": f"https://gitlab.example/acme/shop/-/commit/{A}",
    }
    [failed] = told(Provider.GITLAB, "Deployment Hook", hook)
    assert (failed.commit, failed.outcome, failed.at) == (A, DeploymentOutcome.FAILED, expected.at)


def test_merge_requests_of_gitlab() -> None:
    attributes = {
        "iid": 19,
        "title": "Форма заказа",
        "description": "Closes #3",
        "state": "merged",
        "action": "merge",
        "source_branch": "T-7-form",
        "target_branch": "main",
        "last_commit": {"id": A},
        "merge_commit_sha": C,
        "created_at": "2026-03-01 09:00:00 UTC",
        "updated_at": "2026-03-02 09:00:00 UTC",
    }
    hook = {"object_kind": "merge_request", "user": {"username": "boris"}, "object_attributes": attributes}
    assert told(Provider.GITLAB, "Merge Request Hook", hook) == [MERGED]
    approved = {**hook, "object_attributes": {**attributes, "state": "opened", "action": "approved"}}
    [request, review] = told(Provider.GITLAB, "Merge Request Hook", approved)
    assert (request.state, request.at) == (RequestState.OPEN, None)
    assert (review.verdict, review.reviewer) == (ReviewVerdict.APPROVED, "boris")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"pull_request": {"number": "x"}}', b"\xff"])
def test_what_cannot_be_read_is_said(body: bytes) -> None:
    with pytest.raises(InvalidValue):
        told(Provider.GITHUB, "pull_request", body)


def test_what_says_nothing_of_changes_is_nothing() -> None:
    assert told(Provider.GITHUB, "ping", {"zen": "Keep it logically awesome."}) == []
    assert told(Provider.GITLAB, "Pipeline Hook", {}) == []


def test_a_delivery_is_known_by_its_id_or_else_by_what_it_says() -> None:
    assert delivery_of({"x-github-delivery": "1"}, BODY) == delivery_of({"x-github-delivery": "1"}, b"other")
    assert delivery_of({}, BODY) == delivery_of({}, BODY) != delivery_of({}, b"other")
