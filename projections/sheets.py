"""Sheets: statements with the names of what they are about, ready to be written down.

A sheet says the same to everybody who may have it: to speak for a client is to see what the client's work was for.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from uuid import UUID

from domain.access import Actor, Scope
from domain.contracts import DocumentKind
from domain.documents import DocumentLine
from domain.sheets import Compared, Item, Named, Sheet, SheetKind, items
from domain.statements import Statement
from projections import billing, directory, estimates, tickets
from projections.contracts import as_contract, clients_by_ids, contracts_by_ids
from projections.documents import documents_by_ids, issued_at
from projections.reading import NOW, BadInput, Moment, View
from projections.rows import DocumentRow, DrawnStatement

READ_MODELS = ("billing", "contracts", "directory", "documents", "estimates", "spans", "tickets", "work")
"""What sheets are made of."""
LINES_LIMIT = 50_000
"""Of one sheet: about what a large client's year has."""


async def of_statement(
    view: View, contract: UUID, since: date | None, until: date, moment: Moment = NOW
) -> Sheet | None:
    """None where there is no such contract that the viewer may see. Raises BadInput."""
    drawn = await billing.requested(view, contract, since, until, moment)
    return None if drawn is None else await written(view, drawn)


async def written(view: View, drawn: DrawnStatement) -> Sheet:
    """Whether the viewer may see the contract is asked before. Raises BadInput."""
    found, row = drawn.statement, drawn.contract
    if len(found.charges) + len(found.corrections) > LINES_LIMIT:
        raise BadInput(f"The statement has more than {LINES_LIMIT:,} lines. Ask for fewer days.")
    all_of_it = everything(view)
    client = (await clients_by_ids(all_of_it, [row.client]))[row.client]
    return Sheet(
        kind=SheetKind.STATEMENT,
        number=drawn.number,
        seller=(await directory.workspace(all_of_it)).name,
        buyer=client.name,
        contract=row.name,
        language=client.language,
        currency=found.currency,
        since=found.since,
        until=found.until,
        items=items(found, as_contract(row), await _named(all_of_it, drawn)),
        taxes=found.taxes,
        amount=found.amount,
        tax=found.tax,
        opening=found.opening,
        closing=found.closing,
        compared=await _compared(all_of_it, drawn),
        tickets=_tickets(found),
    )


def _tickets(found: Statement) -> frozenset[UUID]:
    return frozenset(one.ticket for one in found.charges) | {one.ticket for one in found.corrections}


async def _compared(view: View, drawn: DrawnStatement) -> tuple[Compared, ...]:
    found = await estimates.compared(view, drawn)
    named = await titles(view, {row.estimate.ticket for row in found})
    return tuple(
        Compared(
            ticket=key,
            title=title,
            least_seconds=row.estimate.least_seconds or 0,
            most_seconds=row.estimate.most_seconds or 0,
            least_price=row.estimate.least_price if row.estimate.currency == drawn.statement.currency else None,
            most_price=row.estimate.most_price if row.estimate.currency == drawn.statement.currency else None,
            seconds=row.seconds,
            amount=row.amount,
        )
        for row in found
        for key, title in [named.get(row.estimate.ticket, ("", ""))]
    )


async def _named(view: View, drawn: DrawnStatement) -> Named:
    found = drawn.statement
    return Named(
        tickets=await titles(view, _tickets(found)),
        people=await _names(view, {one.person for one in found.charges}),
        comments=drawn.comments,
    )


async def titles(view: View, ids: Iterable[UUID], moment: Moment = NOW) -> dict[UUID, tuple[str, str]]:
    """Key and title of each ticket."""
    found = await tickets.by_ids(view, list(ids), moment)
    return {id_: (row.key, row.title) for id_, row in found.items()}


async def _names(view: View, ids: Iterable[UUID]) -> dict[UUID, str]:
    found = await directory.people_by_ids(view, list(ids))
    return {id_: row.name for id_, row in found.items()}


async def of_document(view: View, id_: UUID) -> Sheet | None:
    """As it stands. None where there is no such document that the viewer may see."""
    row = (await documents_by_ids(view, [id_])).get(id_)
    return None if row is None else await document_sheet(view, row)


async def document_sheet(view: View, row: DocumentRow) -> Sheet:
    """Tickets by the titles that they had when it was issued. Whether the viewer may see it is asked before."""
    all_of_it = everything(view)
    then = Moment(position=await issued_at(all_of_it, row.id))
    named = await titles(all_of_it, {line.ticket for line in row.lines if line.ticket is not None}, then)
    contract = (await contracts_by_ids(all_of_it, [row.contract]))[row.contract]
    client = (await clients_by_ids(all_of_it, [row.client]))[row.client]
    return Sheet(
        kind=SheetKind(row.kind),
        number=row.number,
        seller=(await directory.workspace(all_of_it)).name,
        buyer=row.buyer,
        contract=contract.name,
        language=client.language,
        currency=row.currency,
        since=row.since,
        until=row.until,
        items=tuple(_item(line, named) for line in row.lines),
        taxes=tuple(row.taxes),
        amount=row.amount,
        tax=row.tax,
        issued_on=row.issued_on,
        due_on=row.due_on,
        statement=row.statement,
        paid=row.paid if row.kind is DocumentKind.INVOICE else None,
        cancelled=row.cancelled,
        tickets=frozenset(named),
    )


def _item(line: DocumentLine, named: Mapping[UUID, tuple[str, str]]) -> Item:
    key, title = ("", "") if line.ticket is None else named.get(line.ticket, ("", ""))
    return Item(
        kind=line.kind,
        ticket=key,
        title=title,
        seconds=line.seconds,
        billed=line.billed,
        amount=line.amount,
        tax=line.tax,
    )


def everything(view: View) -> View:
    """The same viewer, who may now read all of the workspace: for what was found to be theirs."""
    actor = view.actor
    reader = Actor(workspace=actor.workspace, person=actor.person, scopes=frozenset({Scope.AUDITOR}))
    return view.models.view(reader, view.workflows_at)
