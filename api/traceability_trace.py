"""`trace`: from a line of code to who asked for it, and back, with the evidence of every step."""

from datetime import datetime
from typing import Any

import msgspec
import strawberry
from anyio import to_thread
from strawberry import ID, UNSET, Parent

from api.errors import BAD_USER_INPUT, Failure
from api.fields import Info, by, given, once_passed
from api.ids import Kind, decode, encode
from api.people import Person, must_read_all, person
from api.scalars import Position
from api.ticket_fields import ticket_url
from api.traceability import CodeChange, Repository
from application.traceability.clones import blamed
from domain.traceability import references
from projections import traceability_repositories, traceability_trace
from projections.reading import NOW
from projections.registry import TICKET_READ_MODELS
from projections.rows import ReleaseRow, RepositoryRow, TicketRow, TraceNodeRow, TraceVia
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


@strawberry.input(description="One of these.", one_of=True)
class TraceInput:
    line: LineInput | None = UNSET
    commit: CommitInput | None = UNSET
    request: ChangeInput | None = UNSET
    release: ReleaseInput | None = UNSET
    ticket: ID | None = UNSET


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


async def _ticket(node: Parent[TraceNodeRow], info: Info) -> TicketRow | None:
    return None if node.ticket is None else await info.context.loaders.tickets.load((node.ticket, NOW))


def _id(ticket: Parent[TicketRow]) -> ID:
    return encode(Kind.TICKET, ticket.id)


def _requester(ticket: Parent[TicketRow], info: Info) -> Any:
    return person(info, ticket.requester)


@strawberry.type(description="Of a ticket, what a trace shows; all of it is at `ticket(id:)`.")
class TracedTicket:
    id: ID = by(_id)
    key: str
    title: str
    url: str = by(ticket_url)
    requester: Person | None = by(_requester)


@strawberry.type(description="A change, a ticket or a release: one of them.")
class TraceNode:
    change: CodeChange | None
    ticket: TracedTicket | None = by(_ticket)
    release: Release | None


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


@strawberry.type(description="`cut`: there is more than is shown.")
class Trace:
    steps: list[TraceStep]
    nodes: list[TraceNode]
    tickets: list[TracedTicket] = by(_tickets)
    requests: list[TracedTicket] = by(_requests)
    cut: bool


async def _trace(info: Info, of: TraceInput, min_position: Position | None = UNSET) -> Traced:
    """The chain from a line, a commit, a merge request or a release to tickets and who asked first; from a ticket to
    changes and releases. Empty where nothing is known of it. Not for requesters."""
    must_read_all(info)
    await once_passed(info, min_position, *TICKET_READ_MODELS)
    view = info.context.view
    if line := given(of.line):
        sha = await _blamed(info, line)
        return await traceability_trace.of_commit(view, sha, decode(line.repository, Kind.REPOSITORY))
    if commit := given(of.commit):
        repository = given(commit.repository)
        return await traceability_trace.of_commit(
            view, commit.sha, None if repository is None else decode(repository, Kind.REPOSITORY)
        )
    if request := given(of.request):
        return await traceability_trace.of_request(view, decode(request.repository, Kind.REPOSITORY), request.number)
    if release := given(of.release):
        return await traceability_trace.of_release(view, decode(release.repository, Kind.REPOSITORY), release.tag)
    ticket = decode(of.ticket or "", Kind.TICKET)
    if await info.context.loaders.tickets.load((ticket, NOW)) is None:
        return Traced(view)
    return await traceability_trace.of_ticket(view, ticket)


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
    rows: list[MessageCheckRow] = []
    for message, mentions in zip(messages, named, strict=True):
        ids = dict.fromkeys(known[one.name] for one in mentions if one.name in known)
        there = await info.context.loaders.tickets.load_many([(id_, NOW) for id_ in ids])
        rows.append(MessageCheckRow(message, [one.name for one in mentions], [one for one in there if one is not None]))
    return rows


MESSAGES_LIMIT = 500


@strawberry.type
class TraceQueries:
    trace: Trace = by(_trace)
    check_messages: list[MessageCheck] = by(_check_messages)
