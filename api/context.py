"""What a request carries through its resolvers: who asks, and loaders that ask for many things at once."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader
from strawberry.litestar import BaseContext

from api import proofs
from api.proofs import ProvenRow
from api.runtime import Runtime
from application.audit.proofs import LeafRow
from application.event_store.envelope import SENT_WITH
from application.privacy.reads import Way
from domain.access import Actor
from domain.workflows import Workflows
from projections import (
    attachments,
    comments,
    contracts,
    directory,
    documents,
    estimates,
    hand_overs,
    links,
    merging,
    parking,
    participants,
    privacy,
    ratings,
    search,
    spans,
    tickets,
    timeline,
    traceability_changes,
    traceability_repositories,
    views,
    webhooks,
    work,
)
from projections.reading import NOW, Page, View
from projections.rows import (
    AttachmentRow,
    ChildCounts,
    ClientRow,
    CommentRow,
    ContractRow,
    DocumentRow,
    EstimateQuestionRow,
    EstimateRow,
    EventRow,
    HandOverRow,
    HighlightPart,
    LinkRow,
    PackageReportRow,
    PersonRow,
    RatingRow,
    RepositoryRow,
    ServiceRow,
    SpanRow,
    TeamRow,
    TicketChangeRow,
    TicketDetails,
    TicketRow,
    ViewRow,
    WebhookRow,
    WorkEntryRow,
)

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Asked = tuple[Any, ...]
"""The id of a thing, and what is asked of it: a moment, a page, …"""


class _Shared(DataLoader[K, T]):
    """Fields of one request wait for the same load: one that is given up, because another beside it has failed, must
    not take the load from the rest."""

    def load(self, key: K) -> Awaitable[T]:
        waiting = asyncio.ensure_future(super().load(key))
        return waiting if waiting.done() else asyncio.shield(waiting)

    def load_many(self, keys: Iterable[K]) -> Awaitable[list[T]]:
        return asyncio.shield(asyncio.gather(*map(super().load, keys)))


class Loaders:
    """One per request: things that many rows name are asked for together, and once."""

    def __init__(self, view: View) -> None:
        self.people = loader(lambda ids: directory.people_by_ids(view, ids))
        self.teams = loader(lambda ids: directory.teams_by_ids(view, ids))
        self.services = loader(lambda ids: directory.services_by_ids(view, ids))
        self.teams_of = loader(lambda ids: directory.teams_of(view, ids))
        self.views = loader(lambda ids: views.views_by_ids(view, ids))
        self.webhooks = loader(lambda ids: webhooks.webhooks_by_ids(view, ids))
        self.events = loader_by(view, timeline.by_positions)
        self.leaves = loader(lambda positions: proofs.leaves(view, positions))
        self.proofs = loader(lambda positions: proofs.proven(view, positions))
        self.comments = loader(lambda ids: comments.by_ids(view, ids))
        self.tickets = loader_by(view, tickets.by_ids)
        self.details = loader_by(view, tickets.details)
        self.sensitive = loader_by(view, privacy.sensitive)
        self.stale = loader(lambda ids: parking.stale(view, ids))
        self.child_counts = loader_by(view, tickets.child_counts)
        self.watchers = loader_by(view, participants.watchers)
        self.watcher_counts = loader_by(view, participants.watcher_counts)
        self.children = loader_by(view, tickets.children)
        self.comments_of = loader_by(view, comments.comments)
        self.comment_counts = loader_by(view, comments.comment_counts)
        self.attachments = loader(lambda ids: attachments.by_ids(view, ids))
        self.attachments_of = loader_by(view, attachments.attachments)
        self.attachment_counts = loader_by(view, attachments.attachment_counts)
        self.links_of = loader_by(view, links.links)
        self.link_counts = loader_by(view, links.link_counts)
        self.clients = loader(lambda ids: contracts.clients_by_ids(view, ids))
        self.contacts_of = loader(lambda ids: contracts.contacts_of(view, ids))
        self.contracts = loader(lambda ids: contracts.contracts_by_ids(view, ids))
        self.contracts_of = loader_by(view, contracts.contracts_of_clients)
        self.contract_counts = loader_by(view, contracts.contract_counts)
        self.documents = loader(lambda ids: documents.documents_by_ids(view, ids))
        self.documents_of = loader_by(view, documents.of_tickets)
        self.document_counts = loader_by(view, documents.counts_of_tickets)
        self.package_reports = loader(lambda ids: documents.reports_of(view, ids))
        self.estimates_of = loader_by(view, estimates.of_tickets)
        self.estimate_questions = loader_by(view, estimates.questions)
        self.bound = loader(lambda ids: contracts.bound(view, ids))
        self.merged_into = loader_by(view, merging.merged_into)
        self.work_entries = loader(lambda ids: work.by_ids(view, ids))
        self.work_of = loader_by(view, work.of_tickets)
        self.work_counts = loader_by(view, work.counts_of_tickets)
        self.worked_seconds = loader_by(view, work.worked_seconds)
        self.overlapping = loader(lambda ids: work.overlapping(view, ids))
        self.ratings = loader_by(view, ratings.ratings)
        self.rating_counts = loader_by(view, ratings.rating_counts)
        self.hand_overs = loader_by(view, hand_overs.hand_overs)
        self.hand_over_counts = loader_by(view, hand_overs.hand_over_counts)
        self.highlights = loader_by(view, search.highlights)
        self.history = loader_by(view, timeline.history)
        self.history_counts = loader_by(view, timeline.history_counts)
        self.spans = loader_by(view, spans.spans)
        self.span_counts = loader_by(view, spans.span_counts)
        self.repositories = loader(lambda ids: traceability_repositories.repositories_by_ids(view, ids))
        self.commit_counts = loader(lambda ids: traceability_repositories.commit_counts(view, ids))
        self.changes_of = loader_by(view, traceability_changes.changes_of)
        self.change_counts = loader_by(view, traceability_changes.change_counts)
        self.members = loader_by(view, directory.members)
        self.member_counts = loader_by(view, directory.member_counts)

    people: DataLoader[UUID, PersonRow | None]
    teams: DataLoader[UUID, TeamRow | None]
    services: DataLoader[UUID, ServiceRow | None]
    teams_of: DataLoader[UUID, list[TeamRow] | None]
    views: DataLoader[UUID, ViewRow | None]
    webhooks: DataLoader[UUID, WebhookRow | None]
    events: DataLoader[Asked, EventRow | None]
    leaves: DataLoader[int, LeafRow | None]
    proofs: DataLoader[int, ProvenRow | None]
    comments: DataLoader[UUID, CommentRow | None]
    tickets: DataLoader[Asked, TicketRow | None]
    details: DataLoader[Asked, TicketDetails | None]
    sensitive: DataLoader[Asked, bool | None]
    stale: DataLoader[UUID, bool | None]
    child_counts: DataLoader[Asked, ChildCounts | None]
    watchers: DataLoader[Asked, Page[PersonRow]]
    watcher_counts: DataLoader[Asked, int]
    children: DataLoader[Asked, Page[TicketRow]]
    comments_of: DataLoader[Asked, Page[CommentRow]]
    comment_counts: DataLoader[Asked, int]
    attachments: DataLoader[UUID, AttachmentRow | None]
    attachments_of: DataLoader[Asked, Page[AttachmentRow]]
    attachment_counts: DataLoader[Asked, int]
    links_of: DataLoader[Asked, Page[LinkRow]]
    link_counts: DataLoader[Asked, int]
    clients: DataLoader[UUID, ClientRow | None]
    contacts_of: DataLoader[UUID, list[UUID] | None]
    contracts: DataLoader[UUID, ContractRow | None]
    contracts_of: DataLoader[Asked, Page[ContractRow]]
    contract_counts: DataLoader[Asked, int]
    documents: DataLoader[UUID, DocumentRow | None]
    documents_of: DataLoader[Asked, Page[DocumentRow]]
    document_counts: DataLoader[Asked, int]
    package_reports: DataLoader[UUID, list[PackageReportRow] | None]
    estimates_of: DataLoader[Asked, list[EstimateRow] | None]
    estimate_questions: DataLoader[Asked, list[EstimateQuestionRow] | None]
    bound: DataLoader[UUID, UUID | None]
    merged_into: DataLoader[Asked, UUID | None]
    work_entries: DataLoader[UUID, WorkEntryRow | None]
    work_of: DataLoader[Asked, Page[WorkEntryRow]]
    work_counts: DataLoader[Asked, int]
    worked_seconds: DataLoader[Asked, int | None]
    overlapping: DataLoader[UUID, bool | None]
    ratings: DataLoader[Asked, Page[RatingRow]]
    rating_counts: DataLoader[Asked, int]
    hand_overs: DataLoader[Asked, Page[HandOverRow]]
    hand_over_counts: DataLoader[Asked, int]
    highlights: DataLoader[Asked, list[HighlightPart] | None]
    history: DataLoader[Asked, Page[EventRow]]
    history_counts: DataLoader[Asked, int]
    spans: DataLoader[Asked, Page[SpanRow]]
    span_counts: DataLoader[Asked, int]
    repositories: DataLoader[UUID, RepositoryRow | None]
    commit_counts: DataLoader[UUID, int | None]
    changes_of: DataLoader[Asked, Page[TicketChangeRow]]
    change_counts: DataLoader[Asked, int]
    members: DataLoader[Asked, Page[PersonRow]]
    member_counts: DataLoader[Asked, int]


def loader(load: Callable[[list[K]], Awaitable[dict[K, T]]]) -> DataLoader[K, T | None]:
    async def answer(keys: list[K]) -> Sequence[T | None]:
        found = await load(keys)
        return [found.get(key) for key in keys]

    return _Shared(load_fn=answer)


def loader_by(view: View, load: Callable[..., Awaitable[dict[Any, Any]]]) -> DataLoader[Asked, Any]:
    """Asks once for all things of which the same is asked. What cannot be answered fails those alone who asked it."""

    async def answer(keys: list[Asked]) -> Sequence[Any]:
        ids: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
        for id_, *asked in keys:
            ids[tuple(asked)].append(id_)
        answers = await asyncio.gather(*(load(view, ids[asked], *asked) for asked in ids), return_exceptions=True)
        found = dict(zip(ids, answers, strict=True))
        return [
            of_all if isinstance(of_all, BaseException) else of_all.get(id_)
            for id_, *asked in keys
            for of_all in [found[tuple(asked)]]
        ]

    return _Shared(load_fn=answer)


class Context(BaseContext, kw_only=True):
    """Made per request, after its token was accepted. `address`: from which it came, where that is known."""

    runtime: Runtime
    view: View
    workflows: Workflows
    address: str | None = None
    loaded: Loaders | None = None
    selected: Mapping[str, Collection[str]] | None = None
    """Names of the fields that the operation selects, by type; once somebody has asked."""

    @property
    def actor(self) -> Actor:
        return self.view.actor

    @property
    def source(self) -> str | None:
        """Of commands: by which token, and from where."""
        if self.actor.token is None:
            return None
        return f"{SENT_WITH}{self.actor.token}" + (f" from {self.address}" if self.address else "")

    @property
    def loaders(self) -> Loaders:
        if self.loaded is None:
            self.loaded = Loaders(self.view)
        return self.loaded

    async def wait_for(self, position: int, *read_models: str) -> None:
        """What was loaded before may be older than what was waited for. Raises ReadModelBehind."""
        models, workspace = self.runtime.models, self.actor.workspace
        self.view.workflows_at = await models.wait_for(position, *read_models, workspace=workspace)
        self.workflows = await directory.workflows(self.view)
        self.forget()

    async def log_reads(self, tickets: Collection[UUID], way: Way) -> None:
        """Before they are shown; of those of which reads are logged. Raises StoreUnavailable."""
        wanted = tickets
        if not self.workflows.logs_all_reads:
            if not self.view.sensitive:
                return
            wanted = await privacy.sensitive(self.view, tickets, NOW)
        if wanted:
            await self.runtime.reads.note(self.actor.workspace, self.actor.person, wanted, way)

    def forget(self) -> None:
        """A command changes what was loaded before it."""
        self.loaded = None
