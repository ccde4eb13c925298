"""What queries return: the rows that the GraphQL types of the same names show."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from domain.contracts import DocumentKind, HoursGranted
from domain.documents import DocumentLine, Payment
from domain.hour_packages import Package
from domain.money import TaxShare
from domain.people import PersonKind
from domain.statements import Statement
from domain.terms import TermsVersion
from domain.text import FieldValue
from domain.ticket_state import EstimateState
from domain.tickets import LinkKind, Priority, Visibility, ticket_key
from domain.traceability.findings import LinkSource
from domain.traceability.repositories import ChangeKind, Provider, Tracker
from domain.traceability.requests import RequestState
from domain.webhooks import DisabledBecause, WebhookAudience, WebhookFilter
from domain.work import (
    TIMER_LIMIT,
    WorkFlag,
    WorkOrigin,
)
from domain.workflows import Status, StatusCategory
from projections.filters import BoardAxis, TicketOrder
from projections.reading import NOW, Keys, Moment, Page


class TicketRow(msgspec.Struct, frozen=True):
    """A ticket as its span shows it at one moment. What spans do not hold comes from `tickets.details`.

    Whoever asked for some attributes only finds None in the others, whatever their type says."""

    id: UUID
    number: int
    external_key: str | None
    title: str
    role: str
    workflow: str
    workflow_version: int
    status: str
    category: StatusCategory
    status_since: datetime
    rank: str
    priority: Priority
    channel: str
    assignee: UUID | None
    contributors: list[UUID]
    team: UUID | None
    requester: UUID | None
    service: UUID | None
    parent: UUID | None
    tags: list[str]
    fields: dict[str, FieldValue]
    start_at: datetime | None
    due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    moment: Moment = NOW

    @property
    def key(self) -> str:
        return ticket_key(self.number)


class TicketDetails(msgspec.Struct, frozen=True, kw_only=True):
    description: str | None
    opened_by: UUID
    updated_at: datetime
    version: int
    position: int
    comment_count: int


class ChildCounts(msgspec.Struct, frozen=True):
    children: int = 0
    done: int = 0


class CommentRow(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is empty, and `mentions` too, once it is withdrawn. `edited_at`: when it was edited, or withdrawn."""

    id: UUID
    ticket: UUID
    author: UUID
    body: str
    visibility: Visibility
    created_at: datetime
    in_reply_to: UUID | None
    position: int
    mentions: list[UUID]
    edited_at: datetime | None
    withdrawn: bool
    moment: Moment = NOW


class LinkRow(msgspec.Struct, frozen=True, kw_only=True):
    """`other`: the ticket to which the link leads, shown at `moment`."""

    kind: LinkKind
    other: UUID
    created_at: datetime
    created_by: UUID
    moment: Moment = NOW


class HandOverRow(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket passed from one role or team to another. `by`: who did it."""

    from_role: str
    to_role: str
    from_workflow: str
    to_workflow: str
    from_team: UUID | None
    to_team: UUID | None
    by: UUID
    occurred_at: datetime
    note: str | None
    reason: str | None


class RatingRow(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says of a ticket's result, 1 to 5. `closed_at`: of the closing whose result it is."""

    ticket: UUID
    score: int
    comment: str | None
    rated_by: UUID
    rated_at: datetime
    closed_at: datetime


class AttachmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """`content`: where it lies."""

    id: UUID
    ticket: UUID
    name: str
    media_type: str
    bytes: int
    sha256: str
    content: str
    visibility: Visibility
    attached_at: datetime
    attached_by: UUID
    moment: Moment = NOW


class WorkEntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """`version`: number of the entry's events by then. Seconds are net."""

    id: UUID
    version: int
    ticket: UUID
    person: UUID
    started_at: datetime
    ended_at: datetime
    interruption: int
    seconds: int
    comment: str | None
    billable: bool
    origin: WorkOrigin
    flags: list[WorkFlag]
    role: str
    service: UUID | None
    logged_at: datetime
    logged_by: UUID
    moment: Moment = NOW


class TimerRow(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID
    ticket: UUID
    started_at: datetime
    comment: str | None

    @property
    def seconds(self) -> int:
        """Since it was started; more is not logged of a timer that was forgotten."""
        return int(min(datetime.now(UTC) - self.started_at, TIMER_LIMIT).total_seconds())

    @property
    def forgotten(self) -> bool:
        return datetime.now(UTC) - self.started_at > TIMER_LIMIT


class ClientRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    language: str
    currency: str
    time_zone: str


class ContractRow(msgspec.Struct, frozen=True, kw_only=True):
    """`version`: number of its events; `versions`: of its terms."""

    id: UUID
    version: int
    client: UUID
    name: str
    last_day: date | None
    versions: list[TermsVersion]
    grants: list[HoursGranted]


class WebhookState(StrEnum):
    """FAILING: the last attempt failed, and it is tried again."""

    ENABLED = "ENABLED"
    FAILING = "FAILING"
    DISABLED = "DISABLED"


class WebhookRow(msgspec.Struct, frozen=True, kw_only=True):
    """`delivered_to`: all up to this position was delivered, or is not wanted."""

    id: UUID
    defined_at: datetime
    url: str
    description: str | None
    types: list[str]
    audience: WebhookAudience
    filter: WebhookFilter
    state: WebhookState
    disabled_because: DisabledBecause | None
    failing_since: datetime | None
    next_attempt_at: datetime | None
    delivered_to: int
    former_secret_until: datetime | None


class WebhookDeliveryRow(msgspec.Struct, frozen=True):
    """`position`: of the event; None for a test. `trouble`: why the last attempt failed."""

    number: int
    message: str
    type: str
    position: int | None
    delivered: bool
    attempts: int
    status_code: int | None
    trouble: str | None
    seconds: float
    first_attempt_at: datetime
    last_attempt_at: datetime
    next_attempt_at: datetime | None


class DrawnStatement(msgspec.Struct, frozen=True, kw_only=True):
    """`number`: of one that is closed. `position`: up to which all of it was looked at. `comments`: of its
    work entries."""

    contract: ContractRow
    number: int | None
    position: int
    statement: Statement
    comments: dict[UUID, str | None]


class DocumentRow(msgspec.Struct, frozen=True, kw_only=True):
    """`version`: number of its events by then."""

    id: UUID
    version: int
    position: int
    kind: DocumentKind
    number: int
    contract: UUID
    client: UUID
    ticket: UUID | None
    statement: int | None
    since: date
    until: date
    issued_on: date
    due_on: date | None
    currency: str
    buyer: str
    lines: list[DocumentLine]
    taxes: list[TaxShare]
    amount: Decimal
    tax: Decimal
    paid: Decimal
    payments: list[Payment]
    signed_on: date | None
    cancelled: bool
    moment: Moment = NOW

    @property
    def total(self) -> Decimal:
        return self.amount + self.tax


class PackageReportRow(msgspec.Struct, frozen=True):
    """Of a package that is used up: the statement of these days, as it was known at a position."""

    contract: UUID
    package: UUID
    sent_at: datetime
    since: date
    until: date
    known: int


class EstimateRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    ticket: UUID
    state: EstimateState
    requested_at: datetime
    requested_by: UUID
    about: str | None
    given_at: datetime | None
    given_by: UUID | None
    least_seconds: int | None
    most_seconds: int | None
    least_price: Decimal | None
    most_price: Decimal | None
    currency: str | None
    valid_until: date | None
    note: str | None
    settled_at: datetime | None
    settled_by: UUID | None
    moment: Moment = NOW


class ComparedRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket of a statement was estimated at; `seconds`: worked until the statement's end; `amount`: that it
    charges for the ticket."""

    estimate: EstimateRow
    seconds: int
    amount: Decimal


class AccuracyRow(msgspec.Struct, frozen=True, kw_only=True):
    """Of tickets that are done. `month`: as 2026-03. `within`, `below`, `above`: how many took as long as estimated,
    less, more. `median_ratio`: of what was worked to the middle of the estimate."""

    month: str | None
    service: UUID | None
    person: UUID | None
    tickets: int
    least_seconds: int
    most_seconds: int
    worked_seconds: int
    within: int
    below: int
    above: int
    median_ratio: float


class EstimateQuestionRow(msgspec.Struct, frozen=True):
    id: UUID
    asked_at: datetime
    asked_by: UUID
    text: str
    answered_at: datetime | None
    answered_by: UUID | None
    answer: str | None


class BalanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """Of a contract's hours at the end of a day, in seconds."""

    contract: ContractRow
    day: date
    packages: tuple[Package, ...]
    overage: int
    alerts: list[int]

    @property
    def granted(self) -> int:
        return sum(one.granted for one in self.packages if one.rolled_from is None)

    @property
    def drawn(self) -> int:
        return sum(one.drawn for one in self.packages)

    @property
    def expired(self) -> int:
        return sum(one.expired for one in self.packages)

    @property
    def left(self) -> int:
        return sum(one.left for one in self.packages)


class BalanceChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """`position`: up to which the balance tells all."""

    position: int
    balance: BalanceRow


class SearchField(StrEnum):
    """In which text of a ticket something was found."""

    KEY = "KEY"
    TITLE = "TITLE"
    DESCRIPTION = "DESCRIPTION"
    COMMENT = "COMMENT"
    ATTACHMENT = "ATTACHMENT"


class SearchTerm(msgspec.Struct, frozen=True):
    text: str
    phrase: bool = False
    prefix: bool = False
    excluded: bool = False


class TextFound(msgspec.Struct, frozen=True, kw_only=True):
    """`id`: of the ticket, the comment or the attachment."""

    id: UUID
    field: SearchField


class HighlightPart(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    match: bool


class HighlightRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    field: SearchField
    parts: list[HighlightPart]


class SearchHitRow(msgspec.Struct, frozen=True, kw_only=True):
    """`texts`: where it was found, the best first. `asked`: what they were searched for."""

    ticket: TicketRow
    rank: float
    texts: tuple[TextFound, ...]
    asked: tuple[SearchTerm, ...]


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """`from_` and `to` are JSON values; ids in them are plain UUID strings."""

    path: str
    from_: Any = msgspec.field(name="from", default=None)
    to: Any = None


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """`ticket` is set for events of tickets only, `about` for those of other streams that are about a ticket; `stream`
    always. `moment`: at which its ticket is shown."""

    position: int
    stream: UUID
    version: int
    type: str
    ticket: UUID | None
    about: UUID | None
    occurred_at: datetime
    recorded_at: datetime
    actor: UUID
    on_behalf_of: UUID | None
    channel: str
    source: str | None
    reason: str | None
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    changes: list[ChangeRow]
    data: Any
    moment: Moment = NOW


class HoldingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch during which a ticket had one assignee. `opened_position`, `closed_position`: of the events by which
    they got it, and held it no more."""

    ticket: UUID
    person: UUID
    from_: datetime
    to: datetime | None
    seconds: int
    opened_position: int
    closed_position: int | None


class FlowCountRow(msgspec.Struct, frozen=True, kw_only=True):
    """`workflow_version`: one that has the status."""

    workflow: str
    workflow_version: int
    status: str
    count: int


class FlowPointRow(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    counts: list[FlowCountRow]


class SpanRow(msgspec.Struct, frozen=True, kw_only=True):
    """`opened_position`, `closed_position`: of the events that opened and closed it, shown at `moment`."""

    ticket: UUID
    from_: datetime
    to: datetime | None
    seconds: int
    role: str
    workflow: str
    workflow_version: int
    status: str
    assignee: UUID | None
    team: UUID | None
    priority: Priority
    service: UUID | None
    opened_position: int
    closed_position: int | None
    moment: Moment = NOW


class LoggedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which reads were logged; times of recording."""

    from_: datetime
    to: datetime


class ReadRow(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    way: str


class KnownRow(msgspec.Struct, frozen=True, kw_only=True):
    """`all`: all reads were logged, from when the ticket was recorded to `at`."""

    ticket: UUID
    person: UUID
    at: datetime
    logged: list[LoggedRow]
    all: bool


class PersonRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    kind: PersonKind
    email: str | None
    active: bool
    erased: bool = False


class TeamRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    key: str
    name: str


class ServiceRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    key: str
    name: str
    active: bool


class ViewDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """`filter`: in the client's own words, as it gives it back."""

    workflow: str | None
    columns: BoardAxis | None
    rows: BoardAxis | None
    filter: Any
    search: str | None
    order_by: list[TicketOrder]
    columns_field: str | None = None
    rows_field: str | None = None


class ViewRow(msgspec.Struct, frozen=True, kw_only=True):
    """`person`: whose own it is; `team`: whose it is; neither: the workspace's. `favourite`: of the viewer."""

    id: UUID
    name: str
    definition: ViewDefinition
    person: UUID | None
    team: UUID | None
    favourite: bool


class RepositoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """`mainline`: the commit to which its main branch was scanned."""

    id: UUID
    key: str
    name: str
    provider: Provider
    url: str | None
    default_branch: str | None
    trackers: list[Tracker]
    trailers: list[str]
    mainline: str | None
    webhook_secured: bool


class CodeChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A commit or a merge request. `name`: the commit's hash, the request's number. `at`: when it was committed or
    opened; where it is only known to be linked, when it was. `state`: of a request."""

    repository: UUID
    kind: ChangeKind
    name: str
    title: str | None
    author: str | None
    at: datetime
    state: RequestState | None


class TicketChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """Why a change is thought to belong to a ticket, by the strongest evidence."""

    change: CodeChangeRow
    source: LinkSource
    confidence: int
    evidence: str
    linked_at: datetime


class ReleaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """`environments`: where it, or what came after it, was deployed."""

    id: UUID
    repository: UUID
    tag: str
    commit: str | None
    title: str | None
    published_at: datetime
    environments: list[str]


class TraceVia(StrEnum):
    """By which way a step of a trace goes: a link's source, or what the hierarchy and the releases say."""

    PERSON = "PERSON"
    TRAILER = "TRAILER"
    REQUEST = "REQUEST"
    MERGE = "MERGE"
    COPY = "COPY"
    BRANCH = "BRANCH"
    TEXT = "TEXT"
    PARENT = "PARENT"
    RELEASE = "RELEASE"
    ARTIFACT = "ARTIFACT"
    CONTRACT = "CONTRACT"
    WORK = "WORK"
    STATEMENT = "STATEMENT"
    RATING = "RATING"


class ArtifactRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was built of a commit. `signatures`: of its provenance, not verified here."""

    repository: UUID
    digest: str
    commit: str
    name: str
    builder: str | None
    signatures: int
    built_at: datetime


class TracedWorkRow(msgspec.Struct, frozen=True, kw_only=True):
    """All work on one ticket. `contract`: under which it counts, where it does under one."""

    ticket: UUID
    contract: UUID | None
    entries: int
    seconds: int
    people: int
    since: datetime
    until: datetime


class TracedStatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one ticket comes to in a statement. `number`: None while its days are not closed. Seconds; money without
    tax."""

    ticket: UUID
    contract: UUID
    number: int | None
    since: date
    until: date
    lines: int
    seconds: int
    billed: int
    amount: Decimal
    currency: str


class TraceEnvironmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where changes run. `first_at`: the first deployment that has one of them; `all_at`: the first that has all;
    `last_at`: the last one that has any."""

    repository: UUID
    environment: str
    first_at: datetime
    all_at: datetime | None
    last_at: datetime


class TraceNodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of these."""

    change: CodeChangeRow | None = None
    ticket: UUID | None = None
    release: ReleaseRow | None = None
    artifact: ArtifactRow | None = None
    contract: UUID | None = None
    work: TracedWorkRow | None = None
    statement: TracedStatementRow | None = None
    rating: RatingRow | None = None


class ReleaseNotesSection(msgspec.Struct, frozen=True, kw_only=True):
    role: str
    service: UUID | None
    tickets: list[UUID]


class ReleaseNotesRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a release brings, as tickets. `fulfilled`: first requests of which nothing is left to release; `partly`: the
    others that it has something of; `missing`: promised, and not wholly in it."""

    release: ReleaseRow | None
    sections: list[ReleaseNotesSection]
    fulfilled: list[UUID]
    partly: list[UUID]
    promised: list[UUID]
    missing: list[UUID]
    cut: bool


class TraceStepRow(msgspec.Struct, frozen=True, kw_only=True):
    from_: TraceNodeRow
    to: TraceNodeRow
    via: TraceVia
    confidence: int
    evidence: str


class GapMonthRow(msgspec.Struct, frozen=True, kw_only=True):
    """Commits of a month, as 2026-03, and how many of them lack what. Those without review are released."""

    month: str
    commits: int
    no_ticket: int
    no_release: int
    no_review: int


class LineOriginsRow(msgspec.Struct, frozen=True, kw_only=True):
    """Lines at a repository's head, and how many of them are from commits that belong to a ticket. `skipped`: files
    that were not looked into."""

    head: str
    counted_at: datetime
    files: int
    skipped: int
    lines: int
    traced: int

    @property
    def share(self) -> float | None:
        return self.traced / self.lines if self.lines else None


class TicketGapRow(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: when it was closed, or worked on last. `seconds`: of that work."""

    ticket: UUID
    at: datetime
    seconds: int


class TicketGapMonthRow(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets, whose role expects a change, that were done in a month, and how many of them have none; seconds of those
    that were worked on last in that month, and of those among them that have no change."""

    month: str
    done: int
    no_change: int
    worked_seconds: int
    seconds_without_change: int


class QualityPairRow(msgspec.Struct, frozen=True, kw_only=True):
    """A closed first request, one change that was made for it or for its part `ticket`, and how the requester liked
    what came of it."""

    request: UUID
    closed_at: datetime
    ticket: UUID | None
    change: CodeChangeRow | None
    confidence: int | None
    evidence: str | None
    rating: RatingRow | None


class DeliveryMonthRow(msgspec.Struct, frozen=True, kw_only=True):
    """`month`: as 2026-03. `traced`: commits that belong to a ticket. Medians in seconds."""

    month: str
    commits: int
    traced: int
    deployments: int
    failed_deployments: int
    lead_seconds: int | None
    restore_seconds: int | None


class BoardLineRow(msgspec.Struct, frozen=True, kw_only=True):
    """`key` is "" for tickets without a value on the axis. Ids in keys are plain UUID strings."""

    key: str
    name: str
    count: int
    wip_limit: int | None = None
    wip_hard: bool = False
    wip_exceeded: bool = False
    status: Status | None = None
    person: UUID | None = None
    team: UUID | None = None
    service: UUID | None = None
    ticket: UUID | None = None


class BoardCellRow(msgspec.Struct, frozen=True, kw_only=True):
    """`cards`: the first ones in rank order."""

    column: str
    row: str | None
    count: int
    wip_limit: int | None = None
    wip_exceeded: bool = False
    cards: list[TicketRow]

    @property
    def page(self) -> Page[TicketRow]:
        """As `boardCell` goes on with it."""
        keys = Keys(self.cards, lambda card: (card.rank, card.number))
        return Page(nodes=self.cards, keys=keys, has_next=len(self.cards) < self.count, has_previous=False)


class BoardRow(msgspec.Struct, frozen=True, kw_only=True):
    columns: list[BoardLineRow]
    rows: list[BoardLineRow]
    cells: list[BoardCellRow]
    total_count: int
    position: int


class BoardChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """`position`: up to which the change tells all that happened."""

    position: int
    changed: list[TicketRow]
    gone: list[UUID]


class ProjectionStatusRow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    position: int
    lag_events: int
    lag_seconds: float
    parked_streams: int
    rebuilding: bool


class ServerStatusRow(msgspec.Struct, frozen=True, kw_only=True):
    head: int
    projections: list[ProjectionStatusRow]
