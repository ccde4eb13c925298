"""What a request carries through its resolvers: who asks, and loaders that ask for many things at once."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader
from strawberry.litestar import BaseContext

from api import proofs
from api.runtime import Runtime
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
    CommentRow,
    ContractRow,
    DocumentRow,
    EstimateQuestionRow,
    EstimateRow,
    EventRow,
    HandOverRow,
    HighlightPart,
    LinkRow,
    PersonRow,
    RatingRow,
    SpanRow,
    TicketChangeRow,
    TicketDetails,
    TicketRow,
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


def _by_id(
    load: Callable[[], Callable[[View, list[K]], Awaitable[dict[K, T]]]],
) -> "cached_property[DataLoader[K, T | None]]":
    """Asks for all that are named at once. `load` is looked up when needed: a loader may have its module's name."""

    def made(loaders: "Loaders") -> DataLoader[K, T | None]:
        async def answer(keys: list[K]) -> Sequence[T | None]:
            found = await load()(loaders.view, keys)
            return [found.get(key) for key in keys]

        return _Shared(load_fn=answer)

    return cached_property(made)


def _by(load: Callable[[], Callable[..., Awaitable[dict[Any, Any]]]]) -> "cached_property[DataLoader[Asked, Any]]":
    """Asks once for all things of which the same is asked. What cannot be answered fails those alone who asked it."""

    def made(loaders: "Loaders") -> DataLoader[Asked, Any]:
        async def answer(keys: list[Asked]) -> Sequence[Any]:
            ids: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
            for id_, *asked in keys:
                ids[tuple(asked)].append(id_)
            loads = (load()(loaders.view, ids[asked], *asked) for asked in ids)
            found = dict(zip(ids, await asyncio.gather(*loads, return_exceptions=True), strict=True))
            return [
                of_all if isinstance(of_all, BaseException) else of_all.get(id_)
                for id_, *asked in keys
                for of_all in [found[tuple(asked)]]
            ]

        return _Shared(load_fn=answer)

    return cached_property(made)


Lazy = cached_property[DataLoader[Asked, T]]


class Loaders:
    """One per request: things that many rows name are asked for together, and once. Each is made when it is needed: a
    request needs few of them."""

    def __init__(self, view: View) -> None:
        self.view = view

    people = _by_id(lambda: directory.people_by_ids)
    teams = _by_id(lambda: directory.teams_by_ids)
    services = _by_id(lambda: directory.services_by_ids)
    teams_of = _by_id(lambda: directory.teams_of)
    views = _by_id(lambda: views.views_by_ids)
    webhooks = _by_id(lambda: webhooks.webhooks_by_ids)
    events: Lazy[EventRow | None] = _by(lambda: timeline.by_positions)
    leaves = _by_id(lambda: proofs.leaves)
    proofs = _by_id(lambda: proofs.proven)
    comments = _by_id(lambda: comments.by_ids)
    tickets: Lazy[TicketRow | None] = _by(lambda: tickets.by_ids)
    details: Lazy[TicketDetails | None] = _by(lambda: tickets.details)
    sensitive: Lazy[bool | None] = _by(lambda: privacy.sensitive)
    stale = _by_id(lambda: parking.stale)
    child_counts: Lazy[ChildCounts | None] = _by(lambda: tickets.child_counts)
    watchers: Lazy[Page[PersonRow]] = _by(lambda: participants.watchers)
    watcher_counts: Lazy[int] = _by(lambda: participants.watcher_counts)
    children: Lazy[Page[TicketRow]] = _by(lambda: tickets.children)
    comments_of: Lazy[Page[CommentRow]] = _by(lambda: comments.comments)
    comment_counts: Lazy[int] = _by(lambda: comments.comment_counts)
    attachments = _by_id(lambda: attachments.by_ids)
    attachments_of: Lazy[Page[AttachmentRow]] = _by(lambda: attachments.attachments)
    attachment_counts: Lazy[int] = _by(lambda: attachments.attachment_counts)
    links_of: Lazy[Page[LinkRow]] = _by(lambda: links.links)
    link_counts: Lazy[int] = _by(lambda: links.link_counts)
    clients = _by_id(lambda: contracts.clients_by_ids)
    contacts_of = _by_id(lambda: contracts.contacts_of)
    contracts = _by_id(lambda: contracts.contracts_by_ids)
    contracts_of: Lazy[Page[ContractRow]] = _by(lambda: contracts.contracts_of_clients)
    contract_counts: Lazy[int] = _by(lambda: contracts.contract_counts)
    documents = _by_id(lambda: documents.documents_by_ids)
    documents_of: Lazy[Page[DocumentRow]] = _by(lambda: documents.of_tickets)
    document_counts: Lazy[int] = _by(lambda: documents.counts_of_tickets)
    package_reports = _by_id(lambda: documents.reports_of)
    estimates_of: Lazy[list[EstimateRow] | None] = _by(lambda: estimates.of_tickets)
    estimate_questions: Lazy[list[EstimateQuestionRow] | None] = _by(lambda: estimates.questions)
    bound = _by_id(lambda: contracts.bound)
    merged_into: Lazy[UUID | None] = _by(lambda: merging.merged_into)
    work_entries = _by_id(lambda: work.by_ids)
    work_of: Lazy[Page[WorkEntryRow]] = _by(lambda: work.of_tickets)
    work_counts: Lazy[int] = _by(lambda: work.counts_of_tickets)
    worked_seconds: Lazy[int | None] = _by(lambda: work.worked_seconds)
    overlapping = _by_id(lambda: work.overlapping)
    ratings: Lazy[Page[RatingRow]] = _by(lambda: ratings.ratings)
    rating_counts: Lazy[int] = _by(lambda: ratings.rating_counts)
    hand_overs: Lazy[Page[HandOverRow]] = _by(lambda: hand_overs.hand_overs)
    hand_over_counts: Lazy[int] = _by(lambda: hand_overs.hand_over_counts)
    highlights: Lazy[list[HighlightPart] | None] = _by(lambda: search.highlights)
    history: Lazy[Page[EventRow]] = _by(lambda: timeline.history)
    history_counts: Lazy[int] = _by(lambda: timeline.history_counts)
    spans: Lazy[Page[SpanRow]] = _by(lambda: spans.spans)
    span_counts: Lazy[int] = _by(lambda: spans.span_counts)
    repositories = _by_id(lambda: traceability_repositories.repositories_by_ids)
    commit_counts = _by_id(lambda: traceability_repositories.commit_counts)
    changes_of: Lazy[Page[TicketChangeRow]] = _by(lambda: traceability_changes.changes_of)
    change_counts: Lazy[int] = _by(lambda: traceability_changes.change_counts)
    members: Lazy[Page[PersonRow]] = _by(lambda: directory.members)
    member_counts: Lazy[int] = _by(lambda: directory.member_counts)


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
