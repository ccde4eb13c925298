"""Sheets: statements with the names of what they are about, ready to be written down.

A sheet says the same to everybody who may have it: to speak for a client is to see what the client's work was for.
"""

from collections.abc import Iterable
from datetime import date
from uuid import UUID

from domain.access import Actor, Scope
from domain.sheets import Named, Sheet, SheetKind, items
from projections import billing, directory, tickets
from projections.contracts import clients_by_ids
from projections.reading import NOW, BadInput, Moment, View
from projections.rows import DrawnStatement

LINES_LIMIT = 50_000
"""Of one sheet: about what a large client's year has."""


async def of_statement(
    view: View, contract: UUID, since: date | None, until: date, moment: Moment = NOW
) -> Sheet | None:
    """None where there is no such contract that the viewer may see. Raises BadInput."""
    drawn = await billing.drawn(view, contract, since, until, moment)
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
        items=items(found, billing.as_contract(row), await _named(all_of_it, drawn)),
        taxes=found.taxes,
        amount=found.amount,
        tax=found.tax,
        opening=found.opening,
        closing=found.closing,
    )


async def _named(view: View, drawn: DrawnStatement) -> Named:
    found = drawn.statement
    return Named(
        tickets=await titles(view, {one.ticket for one in found.charges} | {one.ticket for one in found.corrections}),
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


def everything(view: View) -> View:
    """The same viewer, who may now read all of the workspace: for what was found to be theirs."""
    actor = view.actor
    reader = Actor(workspace=actor.workspace, person=actor.person, scopes=frozenset({Scope.AUDITOR}))
    return view.models.view(reader, view.workflows_at)
