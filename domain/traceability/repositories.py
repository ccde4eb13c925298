"""A repository: how it is defined, how far its history and its main branch were followed, what signs its webhooks.

What was found on the way is told in portions beside it: domain/traceability/findings.py.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import text
from domain.errors import InvalidValue
from domain.text import FreeText
from domain.traceability.references import OWN_PREFIX

TRACKERS_LIMIT = 20
TRAILERS_LIMIT = 10
DEFAULT_TRAILERS = ("Ticket",)
URL_LIMIT = 500
SECRET_LEAST, SECRET_LIMIT = 16, 200
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_URL = re.compile(r"https?://[^\s/@]+/\S+")
_PREFIX = re.compile(r"[#!]|[A-Z][A-Z0-9]{0,15}-")
_TRAILER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


class Provider(StrEnum):
    """Whose merge requests and webhooks a repository has; GIT: none."""

    GIT = "GIT"
    GITHUB = "GITHUB"
    GITLAB = "GITLAB"
    GITEA = "GITEA"
    """And Forgejo, which says the same."""


class Tracker(msgspec.Struct, frozen=True, kw_only=True):
    """Which numbers in texts name which tickets: those with this prefix, from `first` to `last`, in texts written from
    `since` until before `until`. `external_key`: of the ticket that is meant, as `{number}`; None: the numbers belong
    to another tracker, and mean no ticket here."""

    prefix: str = "#"
    external_key: str | None = "{number}"
    first: int = 1
    last: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class ChangeKind(StrEnum):
    COMMIT = "COMMIT"
    REQUEST = "REQUEST"


# ---- events


class RepositoryDefined(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str
    provider: Provider
    url: str | None
    default_branch: str | None
    trackers: tuple[Tracker, ...]
    trailers: tuple[str, ...]


class HistoryRecorded(msgspec.Struct, frozen=True, kw_only=True):
    """Commits were found, and are told of in `batch`, a stream of findings. `tips`: those of them that are no other's
    parent; `passed`: tips before, which are one's parent now."""

    batch: UUID
    commits: int
    tips: tuple[str, ...]
    passed: tuple[str, ...]


class MainlineAdvanced(msgspec.Struct, frozen=True, kw_only=True):
    """The main branch came to `head`. What it introduced is told in `batch`, a stream of findings. `anew`: its history
    was replaced, so what it had introduced before no longer holds."""

    batch: UUID
    head: str
    introduced: int
    anew: bool = False


class WebhookSecretSet(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider signs its deliveries with."""

    secret: FreeText


class WebhookSecretRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries are refused from then on."""


RepositoryEvent = RepositoryDefined | HistoryRecorded | MainlineAdvanced | WebhookSecretSet | WebhookSecretRemoved


# ---- commands


class DefineRepository(msgspec.Struct, frozen=True, kw_only=True):
    """`url`: of its pages at the provider, which also names it in texts and webhooks. `trackers`: the first that fits
    decides. `default_branch`: None is what the clone itself says."""

    key: str
    name: str
    provider: Provider = Provider.GIT
    url: str | None = None
    default_branch: str | None = None
    trackers: tuple[Tracker, ...] = ()
    trailers: tuple[str, ...] = DEFAULT_TRAILERS


class SetWebhookSecret(msgspec.Struct, frozen=True, kw_only=True):
    """None removes it, and refuses deliveries from then on."""

    repository: UUID
    secret: str | None


RepositoryCommand = DefineRepository | SetWebhookSecret


# ---- state


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """`paths`: `owner/name` by which texts and webhooks call it, former ones too. `tips`: of what is recorded.
    `mainline`: the commit to which the main branch was followed."""

    key: str
    name: str
    provider: Provider
    url: str | None
    default_branch: str | None
    trackers: tuple[Tracker, ...]
    trailers: tuple[str, ...]
    paths: tuple[str, ...] = ()
    tips: frozenset[str] = frozenset()
    mainline: str | None = None
    secret: str | None = None


def define(repository: Repository | None, command: DefineRepository) -> list[RepositoryEvent]:
    """What differs from how it was defined before; its key stays. Raises InvalidValue."""
    defined = RepositoryDefined(
        key=text.key(command.key) if repository is None else repository.key,
        name=text.line(command.name, "name"),
        provider=command.provider,
        url=_url(command.url),
        default_branch=None if command.default_branch is None else branch(command.default_branch, "defaultBranch"),
        trackers=_trackers(command.trackers),
        trailers=_trailers(command.trailers),
    )
    if repository is not None and _definition(repository) == defined:
        return []
    return [defined]


def secure(repository: Repository, command: SetWebhookSecret) -> list[RepositoryEvent]:
    """Raises InvalidValue."""
    secret = command.secret
    if secret == repository.secret:
        return []
    if secret is None:
        return [WebhookSecretRemoved()]
    plain = secret.isascii() and secret.isprintable()
    if not plain or not SECRET_LEAST <= len(secret) <= SECRET_LIMIT:
        raise InvalidValue(f"A secret has {SECRET_LEAST} to {SECRET_LIMIT} printable ASCII characters.", ("secret",))
    return [WebhookSecretSet(secret=secret)]


def evolve(repository: Repository | None, event: RepositoryEvent, at: datetime) -> Repository:
    if isinstance(event, RepositoryDefined):
        return _defined(repository, event)
    assert repository is not None, "a repository's first event is RepositoryDefined"
    match event:
        case HistoryRecorded(tips=tips, passed=passed):
            return replace(repository, tips=(repository.tips - set(passed)) | set(tips))
        case MainlineAdvanced(head=head):
            return replace(repository, mainline=head)
        case WebhookSecretSet(secret=secret):
            return replace(repository, secret=secret)
        case WebhookSecretRemoved():
            return replace(repository, secret=None)
        case _:
            assert_never(event)


def _defined(repository: Repository | None, event: RepositoryDefined) -> Repository:
    path = path_of(event.url)
    values = msgspec.structs.asdict(event)
    if repository is None:
        return Repository(**values, paths=(path,) if path else ())
    known = repository.paths
    return replace(repository, **values, paths=known if path is None or path in known else (*known, path))


def _definition(repository: Repository) -> RepositoryDefined:
    return RepositoryDefined(**{name: getattr(repository, name) for name in RepositoryDefined.__struct_fields__})


def path_of(url: str | None) -> str | None:
    """`owner/name` of an address, in lower case."""
    if url is None:
        return None
    path = re.sub(r"^https?://[^/]+/", "", url).strip("/").removesuffix(".git")
    return path.casefold() or None


def sha(value: str, field: str = "commit") -> str:
    """A whole hash in hexadecimal digits. Raises InvalidValue."""
    if not _SHA.fullmatch(value):
        raise InvalidValue(f"{field} is a commit's whole hash, 40 or 64 lower-case hexadecimal digits.", (field,))
    return value


def branch(value: str, field: str) -> str:
    """Raises InvalidValue."""
    return text.line(value, field, 250)


def _url(value: str | None) -> str | None:
    if value is None:
        return None
    value = text.line(value, "url", URL_LIMIT).rstrip("/")
    if not _URL.fullmatch(value):
        raise InvalidValue(
            "url is the repository's address, as https://github.com/owner/name, without a login.", ("url",)
        )
    return value


def _trailers(trailers: tuple[str, ...]) -> tuple[str, ...]:
    if len(trailers) > TRAILERS_LIMIT:
        raise InvalidValue(f"A repository has at most {TRAILERS_LIMIT} trailers.", ("trailers",))
    for one in trailers:
        if not _TRAILER.fullmatch(one):
            raise InvalidValue(f"{one[:80]!r} is no key of a trailer: letters, digits and '-'.", ("trailers",))
    return tuple(dict.fromkeys(trailers))


def _trackers(trackers: tuple[Tracker, ...]) -> tuple[Tracker, ...]:
    if len(trackers) > TRACKERS_LIMIT:
        raise InvalidValue(f"A repository has at most {TRACKERS_LIMIT} trackers.", ("trackers",))
    for one in trackers:
        if not _PREFIX.fullmatch(one.prefix) or one.prefix == OWN_PREFIX:
            raise InvalidValue("A tracker's prefix is '#', '!' or as 'ABC-', and not 'T-'.", ("trackers", "prefix"))
        if one.external_key is not None and one.external_key.count("{number}") != 1:
            raise InvalidValue("externalKey holds {number} once, as 'JIRA-{number}'.", ("trackers", "externalKey"))
        if one.first < 1 or (one.last is not None and one.last < one.first):
            raise InvalidValue("A tracker's numbers run from first, at least 1, to last.", ("trackers", "last"))
        if any(at is not None and at.utcoffset() is None for at in (one.since, one.until)):
            raise InvalidValue("since and until need an offset, as 2026-03-01T09:00:00+03:00.", ("trackers", "since"))
        if one.since is not None and one.until is not None and one.until <= one.since:
            raise InvalidValue("A tracker's until is after its since.", ("trackers", "until"))
    return trackers
