"""Invoices and acts, as they stand and as they stood.

One row per stretch of a document's own history: a payment closes a row and opens the next.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from domain.contracts import DocumentKind, PackageUsedUp
from domain.documents import Document, DocumentLine, InvoiceIssued, Payment
from domain.money import TaxShare
from projections.contracts import of_viewer
from projections.filters import DocumentFilter, PageAsk
from projections.moments import HELD
from projections.projection import Change, Projection
from projections.reading import NOW, Listing, Moment, Page, View, count, counts_of, page, pages_of
from projections.rows import DocumentRow, PackageReportRow
from projections.versions import Versions
from projections.writing import Writes

DDL = """
create table document (
  workspace        uuid not null,
  id               uuid not null,
  version          integer not null,
  position         bigint not null,
  closed_position  bigint,          -- null: as it stands now
  kind             text not null,
  number           bigint not null,
  contract         uuid not null,
  client           uuid not null,
  ticket           uuid,
  statement        bigint,
  since            date not null,
  until            date not null,
  issued_on        date not null,
  due_on           date,
  currency         text not null,
  buyer            text not null,
  lines            json not null,
  taxes            json not null,
  amount           text not null,
  tax              text not null,
  paid             text not null,
  settled          boolean not null, -- paid in full, or cancelled, or an act
  payments         json not null,
  signed_on        date,
  cancelled        boolean not null,
  primary key (id, version)
);
create table package_report (
  workspace  uuid not null,
  contract   uuid not null,
  package    uuid not null,
  position   bigint not null,
  sent_at    timestamptz not null,
  since      date not null,
  until      date not null,
  known      bigint not null, -- the statement is as it was known there
  primary key (contract, package)
);
"""

INDEXES = """
create index document_number on document (workspace, kind, number);
create index document_contract on document (workspace, contract, kind, number);
create index document_ticket on document (workspace, ticket) where ticket is not null;
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    versions = Versions("document")
    reports: list[dict[str, Any]] = []
    for change in changes:
        if isinstance(change.envelope.event, PackageUsedUp):
            reports.append(_report(change, change.envelope.event))
        if isinstance(change.after, Document):
            versions.close(change, stood=change.before is not None)
            versions.open(change, _row(change.after))
    versions.write(write)
    write.insert("package_report", reports)


def _report(change: Change, event: PackageUsedUp) -> dict[str, Any]:
    envelope = change.envelope
    return {
        "workspace": envelope.workspace,
        "contract": envelope.originator_id,
        "package": event.package,
        "position": envelope.position,
        "sent_at": envelope.occurred_at,
        "since": event.since,
        "until": event.until,
        "known": event.known,
    }


def _row(document: Document) -> dict[str, Any]:
    issued = document.issued
    return {
        "kind": document.kind,
        "number": issued.number,
        "contract": issued.contract,
        "client": issued.client,
        "ticket": issued.ticket,
        "statement": issued.statement,
        "since": issued.since,
        "until": issued.until,
        "issued_on": issued.issued_on,
        "due_on": issued.due_on if isinstance(issued, InvoiceIssued) else None,
        "currency": issued.currency,
        "buyer": issued.buyer,
        "lines": issued.lines,
        "taxes": issued.taxes,
        "amount": issued.amount,
        "tax": issued.tax,
        "paid": document.paid,
        "settled": document.kind is DocumentKind.ACT or document.cancelled or document.paid == document.total,
        "payments": document.payments,
        "signed_on": document.signed_on,
        "cancelled": document.cancelled,
    }


PROJECTION = Projection(
    name="documents",
    tables=("document", "package_report"),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"document": ("buyer", "payments")},
)


# ---- queries

_COLUMNS = (
    *("id", "version", "position", "kind", "number", "contract", "client", "ticket", "statement", "since", "until"),
    *("issued_on", "due_on", "currency", "buyer", "lines", "taxes", "amount", "tax", "paid", "payments", "signed_on"),
    "cancelled",
)
_SELECTED = sql.SQL(", ").join(sql.Identifier("d", column) for column in _COLUMNS)
_THEN = sql.SQL(HELD.format("d"))


def _document(values: Sequence[Any], moment: Moment) -> DocumentRow:
    row: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
    row["kind"] = DocumentKind(row["kind"])
    row["lines"] = msgspec.convert(row["lines"], list[DocumentLine])
    row["taxes"] = msgspec.convert(row["taxes"], list[TaxShare])
    row["payments"] = msgspec.convert(row["payments"], list[Payment])
    for name in ("amount", "tax", "paid"):
        row[name] = Decimal(row[name])
    return DocumentRow(**row, moment=moment)


def _readable(view: View) -> sql.Composed:
    """By whoever may see the contract."""
    return sql.SQL("d.workspace = %(workspace)s and {} and {}").format(of_viewer(view, sql.SQL("d.client")), _THEN)


def _arguments(moment: Moment) -> dict[str, int | None]:
    return {"as_of_position": moment.position}


async def documents_by_ids(view: View, ids: Sequence[UUID], moment: Moment = NOW) -> dict[UUID, DocumentRow]:
    rows = await view.fetch(
        sql.SQL("select {} from document d where {} and d.id = any(%(ids)s)").format(_SELECTED, _readable(view)),
        {**_arguments(moment), "ids": list(ids)},
    )
    return {row[0]: _document(row, moment) for row in rows}


async def numbered(view: View, kind: DocumentKind, number: int) -> DocumentRow | None:
    rows = await view.fetch(
        sql.SQL("select {} from document d where {} and d.kind = %(kind)s and d.number = %(number)s").format(
            _SELECTED, _readable(view)
        ),
        {**_arguments(NOW), "kind": kind.value, "number": number},
    )
    return _document(rows[0], NOW) if rows else None


async def documents(view: View, wanted: DocumentFilter, ask: PageAsk, moment: Moment) -> Page[DocumentRow]:
    """Acts, then invoices, by number. Raises BadInput."""
    return await page(view, _wanted(view, wanted, moment), ask)


async def document_count(view: View, wanted: DocumentFilter, moment: Moment) -> int:
    return await count(view, _wanted(view, wanted, moment))


async def of_tickets(
    view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment
) -> dict[UUID, Page[DocumentRow]]:
    """Those issued from each of these conversations. Raises BadInput."""
    return await pages_of(view, tickets, _of_ticket(view, moment), ask)


async def counts_of_tickets(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _of_ticket(view, moment))


def _of_ticket(view: View, moment: Moment) -> Listing[DocumentRow]:
    return _listing(sql.SQL("{} and d.ticket = parent.id").format(_readable(view)), _arguments(moment), moment)


def _wanted(view: View, wanted: DocumentFilter, moment: Moment) -> Listing[DocumentRow]:
    condition = sql.SQL(
        "{} and (%(contract)s::uuid is null or d.contract = %(contract)s)"
        " and (%(kind)s::text is null or d.kind = %(kind)s)"
        " and (%(settled)s::boolean is null or d.settled = %(settled)s)"
    ).format(_readable(view))
    arguments = {
        **_arguments(moment),
        "contract": wanted.contract,
        "kind": wanted.kind,
        "settled": None if wanted.unpaid is None else not wanted.unpaid,
    }
    return _listing(condition, arguments, moment)


def _listing(condition: sql.Composable, arguments: dict[str, Any], moment: Moment) -> Listing[DocumentRow]:
    return Listing(
        columns=_SELECTED,
        source=sql.SQL("from document d where {}").format(condition),
        keys=(("d.kind", "text"), ("d.number", "bigint"), ("d.id", "uuid")),
        row=partial(_document, moment=moment),
        arguments=arguments,
    )


async def reports_of(view: View, contracts: Sequence[UUID]) -> dict[UUID, list[PackageReportRow]]:
    """Of packages of these contracts that are used up, in the order they were. Whether the viewer may see the contracts
    is asked before."""
    rows = await view.fetch(
        "select contract, package, sent_at, since, until, known from package_report"
        " where workspace = %(workspace)s and contract = any(%(contracts)s) order by position",
        {"contracts": list(contracts)},
    )
    found: dict[UUID, list[PackageReportRow]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(PackageReportRow(*row))
    return found


async def issued_at(view: View, id_: UUID) -> int:
    """The position at which it was issued."""
    rows = await view.fetch(
        "select min(position) from document where workspace = %(workspace)s and id = %(id)s", {"id": id_}
    )
    return int(rows[0][0])
