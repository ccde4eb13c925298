"""`trace`: from a line of code to who asked for it, and back, with the evidence of every step."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import strawberry
from anyio import to_thread
from strawberry import ID, UNSET, Parent

from api.errors import BAD_USER_INPUT, Failure
from api.fields import Info, by, given, once_passed
from api.filters import AsOf, asked
from api.ids import Kind, decode, encode
from api.people import Person, must_read_all, person
from api.ratings import Rating
from api.scalars import Position
from api.services import Service, service
from api.ticket_fields import ticket_url
from api.traceability import CodeChange, Repository
from application.traceability.clones import blamed
from domain.traceability import references
from projections import (
    filters,
    traceability_costs,
    traceability_releases,
    traceability_repositories,
    traceability_trace,
)
from projections.reading import NOW, Moment
from projections.registry import TICKET_READ_MODELS
from projections.rows import (
    ArtifactRow,
    ContractRow,
    ReleaseRow,
    RepositoryRow,
    TicketRow,
    TraceEnvironmentRow,
    TraceNodeRow,
    TraceVia,
)
from projections.traceability_links import tickets_named
from projections.traceability_trace import Trace as Traced

strawberry.enum(TraceVia)


# ---- where a trace begins


@strawberry.input(description="`revision`: whose path and line these are; HEAD unless given.")
class LineInput:
    repository: ID
    revision: str = "HEAD"
    path: str
    line: int


@strawberry.input(description="`sha`: 7 digits of its hash or more. `repository`: where several may have it.")
class CommitInput:
    sha: str
    repository: ID | None = UNSET


@strawberry.input
class ChangeInput:
    repository: ID
    number: int


@strawberry.input
class ReleaseInput:
    repository: ID
    tag: str


@strawberry.input(description="One of these. `artifact`: its digest, as sha256:…", one_of=True)
class TraceInput:
    line: LineInput | None = UNSET
    commit: CommitInput | None = UNSET
    request: ChangeInput | None = UNSET
    release: ReleaseInput | None = UNSET
    artifact: str | None = UNSET
    ticket: ID | None = UNSET
    contract: ID | None = UNSET


# ---- what it finds


async def _of_release(release: Parent[ReleaseRow], info: Info) -> RepositoryRow | None:
    return await info.context.loaders.repositories.load(release.repository)


@strawberry.type(description="`environments`: where it, or what came after it, was deployed.")
class Release:
    repository: Repository = by(_of_release)
    tag: str
    commit: str | None
    title: str | None
    published_at: datetime
    environments: list[str]


async def _built_of(artifact: Parent[ArtifactRow], info: Info) -> RepositoryRow | None:
    return await info.context.loaders.repositories.load(artifact.repository)


@strawberry.type(
    description="What was built of a commit. `signatures`: how many its provenance has; not verified here."
)
class Artifact:
    repository: Repository = by(_built_of)
    digest: str
    commit: str
    name: str
    builder: str | None
    signatures: int
    built_at: datetime


@strawberry.type(description="All work on one ticket, that counts under one contract or none. Seconds.")
class TracedWork:
    entries: int
    seconds: int
    people: int
    since: datetime
    until: datetime


@strawberry.type(
    description="What one ticket comes to in a statement. `number`: null while its days are not closed. Seconds; money"
    " without tax."
)
class TracedStatement:
    number: int | None
    since: date
    until: date
    lines: int
    seconds: int
    billed: int
    amount: Decimal
    currency: str


async def _client(contract: Parent[ContractRow], info: Info) -> str | None:
    """Of the client."""
    row = await info.context.loaders.clients.load(contract.client)
    return None if row is None else row.name


def _contract_id(contract: Parent[ContractRow]) -> ID:
    return encode(Kind.CONTRACT, contract.id)


@strawberry.type(description="Of a contract, what a trace shows; all of it is at `contract(id:)`.")
class TracedContract:
    id: ID = by(_contract_id)
    name: str
    client: str | None = by(_client)


async def _of_environment(environment: Parent[TraceEnvironmentRow], info: Info) -> RepositoryRow | None:
    return await info.context.loaders.repositories.load(environment.repository)


@strawberry.type(
    description="Where changes run. `firstAt`: the first deployment that has one of them; `allAt`: the first that has"
    " all of them; `lastAt`: the last one that has any."
)
class TraceEnvironment:
    repository: Repository = by(_of_environment)
    environment: str
    first_at: datetime
    all_at: datetime | None
    last_at: datetime


async def _ticket(node: Parent[TraceNodeRow], info: Info) -> TicketRow | None:
    """As it is now, wherever the trace looks."""
    return None if node.ticket is None else await info.context.loaders.tickets.load((node.ticket, NOW))


async def _contract(node: Parent[TraceNodeRow], info: Info) -> ContractRow | None:
    return None if node.contract is None else await info.context.loaders.contracts.load(node.contract)


def _id(ticket: Parent[TicketRow]) -> ID:
    return encode(Kind.TICKET, ticket.id)


def _requester(ticket: Parent[TicketRow], info: Info) -> Any:
    return person(info, ticket.requester)


def _service(ticket: Parent[TicketRow], info: Info) -> Any:
    return service(info, ticket.service)


@strawberry.type(description="Of a ticket, what a trace shows; all of it is at `ticket(id:)`.")
class TracedTicket:
    id: ID = by(_id)
    key: str
    title: str
    url: str = by(ticket_url)
    requester: Person | None = by(_requester)
    service: Service | None = by(_service)


@strawberry.type(description="One of these.")
class TraceNode:
    change: CodeChange | None
    ticket: TracedTicket | None = by(_ticket)
    release: Release | None
    artifact: Artifact | None
    contract: TracedContract | None = by(_contract)
    work: TracedWork | None
    statement: TracedStatement | None
    rating: Rating | None


@strawberry.type(description="`via`: how it is known, `confidence` in percent, `evidence` in words.")
class TraceStep:
    from_: TraceNode = strawberry.field(name="from")
    to: TraceNode
    via: TraceVia
    confidence: int
    evidence: str


async def _tickets(trace: Parent[Traced], info: Info) -> list[TicketRow]:
    """All that it came to, those that others are a part of included."""
    found = await info.context.loaders.tickets.load_many([(id_, NOW) for id_ in trace.tickets()])
    return [ticket for ticket in found if ticket is not None]


async def _requests(trace: Parent[Traced], info: Info) -> list[TicketRow]:
    """The first requests: tickets that are a part of no other."""
    children = {step.from_.ticket for step in trace.steps if step.via is TraceVia.PARENT}
    return [ticket for ticket in await _tickets(trace, info) if ticket.id not in children]


async def _environments(trace: Parent[Traced]) -> list[TraceEnvironmentRow]:
    """Where its commits run."""
    found: dict[UUID, list[str]] = {}
    for repository, _, sha in trace.commits():
        found.setdefault(repository, []).append(sha)
    return [
        row
        for repository, shas in found.items()
        for row in await traceability_releases.running(trace.view, repository, shas, trace.moment)
    ]


@strawberry.type(description="`cut`: there is more than is shown.")
class Trace:
    steps: list[TraceStep]
    nodes: list[TraceNode]
    tickets: list[TracedTicket] = by(_tickets)
    requests: list[TracedTicket] = by(_requests)
    environments: list[TraceEnvironment] = by(_environments)
    cut: bool


async def _trace(
    info: Info, of: TraceInput, as_of: AsOf | None = UNSET, min_position: Position | None = UNSET
) -> Traced:
    """The chain from a line, a commit, a merge request, a release or an artifact to tickets and who asked first; from a
    ticket or a contract to changes and releases; with hours, statements and ratings. `asOf`: which steps were known, or
    had happened, by then; what tickets are called is as of now. Empty where nothing is known of it. Not for requesters.
    """
    must_read_all(info)
    await once_passed(info, min_position, *TICKET_READ_MODELS, "billing")
    trace = await _begun(info, of, await info.context.view.moment(asked(as_of, filters.AsOf)))
    await traceability_costs.walk(trace)
    return trace


async def _begun(info: Info, of: TraceInput, moment: Moment) -> Traced:
    """From what is named to changes, tickets and releases."""
    view = info.context.view
    if line := given(of.line):
        sha = await _blamed(info, line)
        return await traceability_trace.of_commit(view, sha, decode(line.repository, Kind.REPOSITORY), moment)
    if commit := given(of.commit):
        of_repository = given(commit.repository)
        repository = None if of_repository is None else decode(of_repository, Kind.REPOSITORY)
        return await traceability_trace.of_commit(view, commit.sha, repository, moment)
    if request := given(of.request):
        repository = decode(request.repository, Kind.REPOSITORY)
        return await traceability_trace.of_request(view, repository, request.number, moment)
    if release := given(of.release):
        repository = decode(release.repository, Kind.REPOSITORY)
        return await traceability_trace.of_release(view, repository, release.tag, moment)
    if artifact := given(of.artifact):
        return await traceability_trace.of_artifact(view, artifact, moment)
    if contract := given(of.contract):
        return await traceability_trace.of_contract(view, decode(contract, Kind.CONTRACT), moment)
    ticket = decode(of.ticket or "", Kind.TICKET)
    if await info.context.loaders.tickets.load((ticket, moment)) is None:
        return Traced(view)
    return await traceability_trace.of_ticket(view, ticket, moment)


async def _blamed(info: Info, line: LineInput) -> str:
    """The commit that the line is from. Raises Refused, Failure."""
    repository = await info.context.loaders.repositories.load(decode(line.repository, Kind.REPOSITORY))
    if repository is None:
        raise Failure(BAD_USER_INPUT, "There is no such repository.")
    return await to_thread.run_sync(blamed, repository.key, line.revision, line.path, line.line)


# ---- whether changes name tickets, before they are recorded


@strawberry.type(description="What a message names. `tickets`: those of it that are there.")
class MessageCheck:
    message: str
    names: list[str]
    tickets: list[TracedTicket]


class MessageCheckRow(msgspec.Struct, frozen=True):
    """As MessageCheck."""

    message: str
    names: list[str]
    tickets: list[TicketRow]


async def _check_messages(info: Info, repository: str, messages: list[str]) -> list[MessageCheckRow]:
    """For hooks and CI: which tickets these messages would be linked to, in the repository with this key."""
    must_read_all(info)
    if len(messages) > MESSAGES_LIMIT:
        raise Failure(BAD_USER_INPUT, f"At most {MESSAGES_LIMIT} messages are checked at once.")
    view = info.context.view
    found = await traceability_repositories.repository_by_key(view, repository)
    if found is None:
        raise Failure(BAD_USER_INPUT, f"There is no repository {repository[:80]!r} here.")
    named = [references.mentions(message, found.trailers) for message in messages]
    known = await tickets_named(view, found.id, {one for mentions in named for one in mentions})
    loaded = await info.context.loaders.tickets.load_many([(id_, NOW) for id_ in known.values()])
    there = dict(zip(known, loaded, strict=True))
    return [
        MessageCheckRow(message, [one.name for one in mentions], _meant(mentions, there))
        for message, mentions in zip(messages, named, strict=True)
    ]


def _meant(mentions: Sequence[references.Mention], there: Mapping[str, TicketRow | None]) -> list[TicketRow]:
    """Each ticket once."""
    found = (there.get(one.name) for one in mentions)
    return list({ticket.id: ticket for ticket in found if ticket is not None}.values())


MESSAGES_LIMIT = 500


@strawberry.type
class TraceQueries:
    trace: Trace = by(_trace)
    check_messages: list[MessageCheck] = by(_check_messages)
