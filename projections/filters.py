"""What a client may ask of lists and boards, as the contract names it. `UNSET` is absent, None is null."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from domain.contracts import DocumentKind
from domain.people import PersonKind
from domain.text import FieldValue
from domain.tickets import Priority
from domain.work import WorkFlag
from domain.workflows import StatusCategory


class KeyFilter(msgspec.Struct, frozen=True, kw_only=True):
    eq: str | UnsetType | None = UNSET
    in_: list[str] | UnsetType = UNSET
    not_in: list[str] | UnsetType = UNSET
    is_null: bool | UnsetType = UNSET


class IdFilter(msgspec.Struct, frozen=True, kw_only=True):
    eq: UUID | UnsetType | None = UNSET
    in_: list[UUID] | UnsetType = UNSET
    not_in: list[UUID] | UnsetType = UNSET
    is_null: bool | UnsetType = UNSET


class TextFilter(msgspec.Struct, frozen=True, kw_only=True):
    eq: str | UnsetType = UNSET
    in_: list[str] | UnsetType = UNSET
    contains: str | UnsetType = UNSET
    starts_with: str | UnsetType = UNSET


class TimeFilter(msgspec.Struct, frozen=True, kw_only=True):
    gt: datetime | UnsetType = UNSET
    gte: datetime | UnsetType = UNSET
    lt: datetime | UnsetType = UNSET
    lte: datetime | UnsetType = UNSET
    is_null: bool | UnsetType = UNSET


class CategoryFilter(msgspec.Struct, frozen=True, kw_only=True):
    eq: StatusCategory | UnsetType | None = UNSET
    in_: list[StatusCategory] | UnsetType = UNSET
    not_in: list[StatusCategory] | UnsetType = UNSET


class PriorityFilter(msgspec.Struct, frozen=True, kw_only=True):
    eq: Priority | UnsetType | None = UNSET
    in_: list[Priority] | UnsetType = UNSET
    not_in: list[Priority] | UnsetType = UNSET


class FieldFilter(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    eq: FieldValue | UnsetType = UNSET
    in_: list[FieldValue] | UnsetType = UNSET
    gt: FieldValue | UnsetType = UNSET
    gte: FieldValue | UnsetType = UNSET
    lt: FieldValue | UnsetType = UNSET
    lte: FieldValue | UnsetType = UNSET
    is_null: bool | UnsetType = UNSET


class TicketFilter(msgspec.Struct, frozen=True, kw_only=True):
    """All that is named must hold. `updated_at` is not part of spans: refused together with a moment."""

    and_: "list[TicketFilter] | UnsetType" = UNSET
    or_: "list[TicketFilter] | UnsetType" = UNSET
    not_: "TicketFilter | UnsetType" = UNSET
    key: TextFilter | UnsetType = UNSET
    external_key: TextFilter | UnsetType = UNSET
    title: TextFilter | UnsetType = UNSET
    role: KeyFilter | UnsetType = UNSET
    workflow: KeyFilter | UnsetType = UNSET
    status: KeyFilter | UnsetType = UNSET
    category: CategoryFilter | UnsetType = UNSET
    assignee: IdFilter | UnsetType = UNSET
    contributor: IdFilter | UnsetType = UNSET
    team: IdFilter | UnsetType = UNSET
    requester: IdFilter | UnsetType = UNSET
    service: IdFilter | UnsetType = UNSET
    parent: IdFilter | UnsetType = UNSET
    priority: PriorityFilter | UnsetType = UNSET
    channel: KeyFilter | UnsetType = UNSET
    tag: KeyFilter | UnsetType = UNSET
    field: list[FieldFilter] | UnsetType = UNSET
    opened_at: TimeFilter | UnsetType = UNSET
    updated_at: TimeFilter | UnsetType = UNSET
    closed_at: TimeFilter | UnsetType = UNSET
    start_at: TimeFilter | UnsetType = UNSET
    due_at: TimeFilter | UnsetType = UNSET


class PersonFilter(msgspec.Struct, frozen=True, kw_only=True):
    name: TextFilter | UnsetType = UNSET
    kind: PersonKind | UnsetType = UNSET
    team: IdFilter | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    after_position: int | None = None
    types: list[str] | None = None
    ticket: UUID | None = None
    actor: UUID | None = None
    occurred_at: TimeFilter | UnsetType = UNSET


class DecisionKind(StrEnum):
    ROLE_CHANGE = "ROLE_CHANGE"
    CLOSING = "CLOSING"
    REOPENING = "REOPENING"
    PRIORITY_CHANGE = "PRIORITY_CHANGE"
    DUE_CHANGE = "DUE_CHANGE"


class DecisionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """All that is named must hold. `actor`: who decided, or in whose name; `since` to before `until`: when."""

    actor: UUID | None = None
    kinds: tuple[DecisionKind, ...] | None = None
    channel: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class WorkFilter(msgspec.Struct, frozen=True, kw_only=True):
    """All that is named must hold."""

    ticket: IdFilter | UnsetType = UNSET
    person: IdFilter | UnsetType = UNSET
    service: IdFilter | UnsetType = UNSET
    started_at: TimeFilter | UnsetType = UNSET
    billable: bool | UnsetType = UNSET
    flag: WorkFlag | UnsetType = UNSET


class DocumentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """All that is named must hold. `unpaid`: invoices of which something is left to pay."""

    contract: UUID | None = None
    kind: DocumentKind | None = None
    unpaid: bool | None = None


class TicketField(StrEnum):
    KEY = "KEY"
    TITLE = "TITLE"
    STATUS = "STATUS"
    PRIORITY = "PRIORITY"
    RANK = "RANK"
    OPENED_AT = "OPENED_AT"
    UPDATED_AT = "UPDATED_AT"
    CLOSED_AT = "CLOSED_AT"
    START_AT = "START_AT"
    DUE_AT = "DUE_AT"
    STATUS_SINCE = "STATUS_SINCE"


class Direction(StrEnum):
    ASC = "ASC"
    DESC = "DESC"


class TicketOrder(msgspec.Struct, frozen=True, kw_only=True):
    field: TicketField
    direction: Direction = Direction.ASC


class BoardAxis(StrEnum):
    STATUS = "STATUS"
    CATEGORY = "CATEGORY"
    ASSIGNEE = "ASSIGNEE"
    TEAM = "TEAM"
    PRIORITY = "PRIORITY"
    SERVICE = "SERVICE"
    ROLE = "ROLE"
    WORKFLOW = "WORKFLOW"
    PARENT = "PARENT"
    FIELD = "FIELD"


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """Which knowledge (`position` or `recorded_at`, not both) and which moment (`occurred_at`)."""

    position: int | None = None
    recorded_at: datetime | None = None
    occurred_at: datetime | None = None


class PageAsk(msgspec.Struct, frozen=True, kw_only=True):
    """A Relay page: `first` after a cursor, or `last` before one. 1..100, 50 where neither is said."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None
