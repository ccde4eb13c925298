"""Artifacts: what was built of a commit, as an in-toto attestation with SLSA provenance tells; each digest a stream.

The same digest may come of several commits: what changes nothing that is built. Signatures are not verified here, since
whom to trust is said elsewhere (cosign, slsa-verifier); whether there are any is told.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from domain import text
from domain.errors import InvalidValue
from domain.traceability.repositories import Repository, path_of, sha

PROVENANCE_LIMIT = 500_000
"""Bytes of an attestation."""
SUBJECTS_LIMIT = 100
DSSE_TYPE = "application/vnd.in-toto+json"
STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
PROVENANCES = ("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2")
DIGESTS = ("sha256", "sha512", "sha384")
"""By which an artifact is known, the first that it has."""
_HEX = re.compile(r"[0-9a-f]{64,128}")

T = TypeVar("T")


# ---- events


class ArtifactBuilt(msgspec.Struct, frozen=True, kw_only=True):
    """`digest`: as `sha256:…`. `builder`: its id, by the provenance. `signatures`: of the envelope, not verified."""

    repository: UUID
    digest: str
    name: str
    commit: str
    builder: str | None
    signatures: int
    built_at: datetime


# ---- commands


class AttachProvenance(msgspec.Struct, frozen=True, kw_only=True):
    """`provenance`: an in-toto statement with SLSA provenance, plain or in a DSSE envelope, as JSON."""

    repository: UUID
    provenance: str


# ---- state


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """`commits`: of which it was built."""

    repository: UUID
    digest: str
    commits: tuple[str, ...]


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What a provenance says of one subject."""

    digest: str
    name: str
    commit: str
    builder: str | None
    signatures: int
    built_at: datetime | None


def decide(artifact: Artifact | None, repository: UUID, built: Built, at: datetime) -> list[ArtifactBuilt]:
    """`at`: when the command happened."""
    if artifact is not None and built.commit in artifact.commits:
        return []
    return [
        ArtifactBuilt(
            repository=repository,
            digest=built.digest,
            name=built.name,
            commit=built.commit,
            builder=built.builder,
            signatures=built.signatures,
            built_at=built.built_at or at,
        )
    ]


def evolve(artifact: Artifact | None, event: ArtifactBuilt, at: datetime) -> Artifact:
    before = artifact.commits if artifact is not None else ()
    return Artifact(repository=event.repository, digest=event.digest, commits=(*before, event.commit))


def digest(value: str) -> str:
    """`sha256:…` of what people write: with or without the algorithm. Raises InvalidValue."""
    kind, _, digits = value.strip().casefold().rpartition(":")
    if kind not in ("", *DIGESTS) or not _HEX.fullmatch(digits):
        raise InvalidValue("A digest is as sha256:…, in hexadecimal digits.", ("artifact",))
    return f"{kind or DIGESTS[0]}:{digits}"


# ---- reading provenance


class _Signature(msgspec.Struct):
    sig: str = ""


class _Envelope(msgspec.Struct, rename="camel"):
    payload: str
    payload_type: str
    signatures: list[_Signature] = []


class _Subject(msgspec.Struct):
    name: str = ""
    digest: dict[str, str] = {}


class _Source(msgspec.Struct):
    uri: str = ""
    digest: dict[str, str] = {}


class _Builder(msgspec.Struct):
    id: str = ""


class _Times(msgspec.Struct, rename="camel"):
    """Of v1, and of v0.2."""

    finished_on: str | None = None
    started_on: str | None = None
    build_finished_on: str | None = None
    build_started_on: str | None = None


class _Definition(msgspec.Struct, rename="camel"):
    resolved_dependencies: list[_Source] = []


class _Run(msgspec.Struct):
    builder: _Builder | None = None
    metadata: _Times | None = None


class _Invocation(msgspec.Struct, rename="camel"):
    config_source: _Source | None = None


class _Predicate(msgspec.Struct, rename="camel"):
    """`build_definition`, `run_details`: of v1; the rest of v0.2."""

    build_definition: _Definition | None = None
    run_details: _Run | None = None
    builder: _Builder | None = None
    invocation: _Invocation | None = None
    materials: list[_Source] = []
    metadata: _Times | None = None


class _Statement(msgspec.Struct, rename="camel"):
    type: str = msgspec.field(name="_type", default="")
    subject: list[_Subject] = []
    predicate_type: str = ""
    predicate: _Predicate | None = None


def read(provenance: str, repository: Repository) -> list[Built]:
    """What it says of each of its subjects. Raises InvalidValue, saying what is wrong with it."""
    if len(provenance.encode()) > PROVENANCE_LIMIT:
        raise _wrong(f"A provenance has at most {PROVENANCE_LIMIT} bytes.")
    given: Any = _decoded(provenance.encode(), dict[str, Any])
    signatures = 0
    if "payload" in given:
        envelope = _decoded(provenance.encode(), _Envelope)
        if envelope.payload_type != DSSE_TYPE:
            raise _wrong(f"The envelope's payloadType is {envelope.payload_type[:80]!r}, not {DSSE_TYPE!r}.")
        signatures = len(envelope.signatures)
        payload = _payload(envelope.payload)
    else:
        payload = provenance.encode()
    statement = _decoded(payload, _Statement)
    if statement.type not in STATEMENTS or statement.predicate_type not in PROVENANCES or statement.predicate is None:
        raise _wrong("This is no in-toto statement (v0.1, v1) with SLSA provenance (v0.2, v1).")
    if not 0 < len(statement.subject) <= SUBJECTS_LIMIT:
        raise _wrong(f"A provenance is of 1 to {SUBJECTS_LIMIT} subjects.")
    commit = _commit(statement.predicate, repository)
    builder, finished = _run(statement.predicate)
    return [
        Built(
            digest=_digest_of(one),
            name=text.line(one.name or "(no name)", "provenance"),
            commit=commit,
            builder=None if not builder else text.line(builder, "provenance"),
            signatures=signatures,
            built_at=finished,
        )
        for one in statement.subject
    ]


def _wrong(message: str) -> InvalidValue:
    return InvalidValue(message, ("provenance",))


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(f"The provenance cannot be read: {error}") from None


def _payload(encoded: str) -> bytes:
    """Base64, the usual or the one of addresses: DSSE allows both."""
    try:
        return base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("The envelope's payload is not base64.") from None


def _digest_of(subject: _Subject) -> str:
    for kind in DIGESTS:
        if found := subject.digest.get(kind):
            try:
                return digest(f"{kind}:{found}")
            except InvalidValue:
                break
    raise _wrong(f"The subject {subject.name[:80]!r} has no digest by {', '.join(DIGESTS)}.")


def _commit(predicate: _Predicate, repository: Repository) -> str:
    """Of the one source that is this repository, else of the only one that is a commit."""
    sources = [*predicate.materials]
    if predicate.build_definition is not None:
        sources += predicate.build_definition.resolved_dependencies
    if predicate.invocation is not None and predicate.invocation.config_source is not None:
        sources.append(predicate.invocation.config_source)
    found = {
        (_path(one.uri), commit)
        for one in sources
        if (commit := one.digest.get("gitCommit") or one.digest.get("sha1")) is not None
    }
    ours = {commit for path, commit in found if path in repository.paths} or {commit for _, commit in found}
    if len(ours) != 1:
        raise _wrong(
            "The provenance names no commit that it was built of."
            if not ours
            else "The provenance names several commits, and none of this repository's address."
        )
    return sha(ours.pop(), "provenance")


def _path(uri: str) -> str | None:
    """`owner/name` of `git+https://host/owner/name@refs/heads/main`."""
    address = uri.removeprefix("git+")
    scheme, _, rest = address.partition("://")
    return path_of(f"{scheme}://{rest.partition('@')[0]}") if rest else None


def _run(predicate: _Predicate) -> tuple[str | None, datetime | None]:
    run, times = predicate.run_details, predicate.metadata
    builder = predicate.builder
    if run is not None:
        builder, times = run.builder or builder, run.metadata or times
    named = None if builder is None else builder.id
    if times is None:
        return named, None
    for value in (times.finished_on, times.build_finished_on, times.started_on, times.build_started_on):
        if value:
            return named, _time(value)
    return named, None


def _time(value: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise _wrong(f"{value[:40]!r} is no time.") from None
    return at if at.utcoffset() is not None else at.replace(tzinfo=UTC)
