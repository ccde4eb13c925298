"""Repositories, and changes of code beside the tickets that they were made for."""

from collections.abc import Awaitable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, ExpectingInput, Payload, perform, wait_until_readable
from api.fields import Info, Node, by, given, once_passed
from api.ids import Kind, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import must_read_all
from api.scalars import Position
from application.traceability.commands import handle
from domain.traceability import repositories as domain
from domain.traceability.findings import LinkSource
from domain.traceability.links import AddChangeLink, ConfirmChangeLink, LinkCommand, RejectChangeLink
from domain.traceability.releases import DeploymentOutcome, RecordDeployment, RecordRelease
from domain.traceability.repositories import ChangeKind, DefineRepository, Provider, SetWebhookSecret
from domain.traceability.requests import RecordMergeRequest, RecordReview, RequestState, ReviewVerdict
from projections import traceability_repositories
from projections.reading import NOW
from projections.rows import CodeChangeRow, RepositoryRow, TicketChangeRow, TicketRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket

for _enum in (Provider, ChangeKind, LinkSource, RequestState, ReviewVerdict, DeploymentOutcome):
    strawberry.enum(_enum)


# ---- repositories


def _id(repository: Parent[RepositoryRow]) -> ID:
    return encode(Kind.REPOSITORY, repository.id)


async def _commit_count(repository: Parent[RepositoryRow], info: Info) -> int:
    """How many of its commits were scanned."""
    return await info.context.loaders.commit_counts.load(repository.id) or 0


@strawberry.type(
    description=(
        "Which numbers in texts name which tickets: `prefix` and a number from `first` to `last`, in texts written"
        " from `since` until before `until`, mean the ticket with this external key; without one they mean none."
    )
)
class Tracker:
    prefix: str
    external_key: str | None
    first: int
    last: int | None
    since: datetime | None
    until: datetime | None


async def _webhook_url(repository: Parent[RepositoryRow], info: Info) -> str:
    """Where its provider sends webhooks, signed with the secret that setWebhookSecret sets."""
    workspace = encode(Kind.WORKSPACE, info.context.actor.workspace)
    return f"{info.context.runtime.public_url}/changes/{workspace}/{encode(Kind.REPOSITORY, repository.id)}"


@strawberry.type
class Repository(Node):
    id: ID = by(_id)
    key: str
    name: str
    provider: Provider
    url: str | None
    default_branch: str | None
    trackers: list[Tracker]
    trailers: list[str] = strawberry.field(description="Keys of trailers in messages that name tickets.")
    mainline: str | None = strawberry.field(description="The commit to which its main branch was scanned.")
    commit_count: int = by(_commit_count)
    webhook_url: str = by(_webhook_url)
    webhook_secured: bool = strawberry.field(description="Whether webhooks are taken: it has a secret.")

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, RepositoryRow)


async def _repositories(
    info: Info, first: int | None = UNSET, after: str | None = UNSET, min_position: Position | None = UNSET
) -> ConnectionRow[RepositoryRow]:
    """By key. Not for requesters."""
    must_read_all(info)
    await once_passed(info, min_position, "traceability")
    view = info.context.view
    page = await traceability_repositories.repositories(view, page_ask(first, after))
    return ConnectionRow(page, lambda: traceability_repositories.repository_count(view))


async def _repository_by_key(info: Info, key: str, min_position: Position | None = UNSET) -> RepositoryRow | None:
    """Not for requesters."""
    must_read_all(info)
    await once_passed(info, min_position, "traceability")
    return await traceability_repositories.repository_by_key(info.context.view, key)


@strawberry.type
class TraceabilityQueries:
    repositories: Connection[Repository] = by(_repositories)
    repository: Repository | None = by(_repository_by_key)


# ---- changes


def _repository(change: Parent[CodeChangeRow], info: Info) -> Awaitable[RepositoryRow | None]:
    return info.context.loaders.repositories.load(change.repository)


async def _url(change: Parent[CodeChangeRow], info: Info) -> str | None:
    """Its page at the provider; null where the repository has none."""
    repository = await info.context.loaders.repositories.load(change.repository)
    return None if repository is None else page_of(repository, change)


_PAGES = {
    Provider.GITHUB: ("/commit/", "/pull/"),
    Provider.GITLAB: ("/-/commit/", "/-/merge_requests/"),
    Provider.GITEA: ("/commit/", "/pulls/"),
}


def page_of(repository: RepositoryRow, change: CodeChangeRow) -> str | None:
    if repository.url is None or repository.provider not in _PAGES:
        return None
    commit, request = _PAGES[repository.provider]
    return f"{repository.url}{commit if change.kind is ChangeKind.COMMIT else request}{change.name}"


@strawberry.type(
    description=(
        "A commit or a merge request. `name`: the commit's hash, the request's number. `title`, `author`, `state`: as"
        " far as they are known."
    )
)
class CodeChange:
    repository: Repository = by(_repository)
    kind: ChangeKind
    name: str
    title: str | None
    author: str | None
    at: datetime = strawberry.field(description="When it was committed, or opened.")
    state: RequestState | None
    url: str | None = by(_url)


@strawberry.type(description="Why a change is thought to belong to a ticket. `confidence`: in percent.")
class TicketChange:
    change: CodeChange
    source: LinkSource
    confidence: int
    evidence: str
    linked_at: datetime


async def ticket_changes(
    ticket: Parent[Any], info: Info, least_confidence: int = 0, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[TicketChangeRow]:
    """Commits and merge requests that were made for it, oldest first. Requesters see none."""
    loaders, asked = info.context.loaders, (ticket.id, least_confidence)
    page = await loaders.changes_of.load((*asked, page_ask(first, after), ticket.moment))
    return ConnectionRow(page, lambda: loaders.change_counts.load((*asked, ticket.moment)))


# ---- commands


@strawberry.input(description="The first that fits decides. `externalKey` null: the numbers mean no ticket here.")
class TrackerInput:
    prefix: str = "#"
    external_key: str | None = "{number}"
    first: int = 1
    last: int | None = UNSET
    since: datetime | None = UNSET
    until: datetime | None = UNSET


@strawberry.input(
    description=(
        "Defines a repository, or defines it anew: its key is what it is known by, and never changes. `trailers`: keys"
        " of trailers in messages that name tickets, `Ticket` unless others are given."
    )
)
class DefineRepositoryInput(CommandInput):
    key: str
    name: str
    provider: Provider = Provider.GIT
    url: str | None = UNSET
    default_branch: str | None = UNSET
    trackers: list[TrackerInput] | None = UNSET
    trailers: list[str] | None = UNSET


async def _repository_after(done: Parent[Done], info: Info) -> RepositoryRow | None:
    """As it is after the command; null if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "traceability"):
        return None
    id_: UUID = getattr(done.command, "repository", done.outcome.stream)
    return await info.context.loaders.repositories.load(id_)


@strawberry.type
class RepositoryPayload(Payload):
    repository: Repository | None = by(_repository_after)


async def define_repository(info: Info, input: DefineRepositoryInput) -> Done:
    trailers = given(input.trailers)
    command = DefineRepository(
        key=input.key,
        name=input.name,
        provider=input.provider,
        url=given(input.url),
        default_branch=given(input.default_branch),
        trackers=tuple(_tracker(one) for one in given(input.trackers) or ()),
        trailers=domain.DEFAULT_TRAILERS if trailers is None else tuple(trailers),
    )
    return await perform(info, input, command, handle)


def _tracker(one: TrackerInput) -> domain.Tracker:
    return domain.Tracker(
        prefix=one.prefix,
        external_key=one.external_key,
        first=one.first,
        last=given(one.last),
        since=given(one.since),
        until=given(one.until),
    )


@strawberry.input(description="What its provider signs webhooks with; null removes it, and refuses them.")
class SetWebhookSecretInput(CommandInput):
    repository: ID
    secret: str | None


async def set_webhook_secret(info: Info, input: SetWebhookSecretInput) -> Done:
    return await perform(info, input, SetWebhookSecret, handle)


@strawberry.input(description="`change`: a commit's whole hash, or with the kind REQUEST a merge request's number.")
class ChangeLinkInput(CommandInput):
    ticket: ID
    repository: ID
    kind: ChangeKind = ChangeKind.COMMIT
    change: str


@strawberry.input(description="What a person adds holds, whatever is found or not.")
class AddChangeLinkInput(ChangeLinkInput):
    pass


@strawberry.input(description="What a person confirms holds, whatever is found later.")
class ConfirmChangeLinkInput(ChangeLinkInput):
    pass


@strawberry.input(description="What a person rejects does not hold, whatever is found later.")
class RejectChangeLinkInput(ChangeLinkInput):
    pass


async def _ticket_after(done: Parent[Done], info: Info) -> TicketRow | None:
    """With its changes as they are after the command; null if the read model has not come that far within 2 s."""
    command = done.command
    if done.outcome is None or not isinstance(command, LinkCommand):
        return None
    if not await wait_until_readable(info, done.outcome, "traceability"):
        return None
    return await info.context.loaders.tickets.load((command.ticket, NOW))


@strawberry.type
class ChangeLinkPayload(Payload):
    ticket: Annotated["Ticket", strawberry.lazy("api.ticket_fields")] | None = by(_ticket_after)


async def add_change_link(info: Info, input: AddChangeLinkInput) -> Done:
    return await perform(info, input, AddChangeLink, handle)


async def confirm_change_link(info: Info, input: ConfirmChangeLinkInput) -> Done:
    return await perform(info, input, ConfirmChangeLink, handle)


async def reject_change_link(info: Info, input: RejectChangeLinkInput) -> Done:
    return await perform(info, input, RejectChangeLink, handle)


@strawberry.input(
    description=(
        "How a merge request stands at its provider; what is absent is as it was. `text`: its description, of which"
        " only what it names is kept. `mergeCommit`: by which it came into its target. `at`: when it came to `state`."
    )
)
class RecordMergeRequestInput(ExpectingInput):
    repository: ID
    number: int
    title: str | None = UNSET
    text: str | None = UNSET
    branch: str | None = UNSET
    target: str | None = UNSET
    head: str | None = UNSET
    state: RequestState | None = UNSET
    merge_commit: str | None = UNSET
    opened_at: datetime | None = UNSET
    at: datetime | None = UNSET


@strawberry.input
class RecordReviewInput(CommandInput):
    repository: ID
    number: int
    verdict: ReviewVerdict
    reviewer: str | None = UNSET
    at: datetime | None = UNSET


async def record_merge_request(info: Info, input: RecordMergeRequestInput) -> Done:
    """Its changes are linked with the next scan, or at once where a webhook brings it."""
    return await perform(info, input, RecordMergeRequest, handle)


async def record_review(info: Info, input: RecordReviewInput) -> Done:
    return await perform(info, input, RecordReview, handle)


@strawberry.input(description="`tag` names it in its repository. `commit`: at which its tag stands, a whole hash.")
class RecordReleaseInput(CommandInput):
    repository: ID
    tag: str
    commit: str | None = UNSET
    title: str | None = UNSET
    at: datetime | None = UNSET


@strawberry.input(description="That a deployment ended. `number` is the provider's: it is known by it.")
class RecordDeploymentInput(CommandInput):
    repository: ID
    number: str
    environment: str
    commit: str
    outcome: DeploymentOutcome = DeploymentOutcome.SUCCEEDED
    at: datetime | None = UNSET


async def record_release(info: Info, input: RecordReleaseInput) -> Done:
    return await perform(info, input, RecordRelease, handle)


async def record_deployment(info: Info, input: RecordDeploymentInput) -> Done:
    return await perform(info, input, RecordDeployment, handle)


@strawberry.type
class TraceabilityMutations:
    define_repository: RepositoryPayload = by(define_repository)
    set_webhook_secret: RepositoryPayload = by(set_webhook_secret)
    record_release: RepositoryPayload = by(record_release)
    record_deployment: RepositoryPayload = by(record_deployment)
    add_change_link: ChangeLinkPayload = by(add_change_link)
    confirm_change_link: ChangeLinkPayload = by(confirm_change_link)
    reject_change_link: ChangeLinkPayload = by(reject_change_link)
    record_merge_request: RepositoryPayload = by(record_merge_request)
    record_review: RepositoryPayload = by(record_review)
