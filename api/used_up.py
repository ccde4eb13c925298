"""Reports of packages that are used up, made once for each, without anybody asking."""

import asyncio
from collections.abc import Sequence
from datetime import date
from uuid import UUID

from application.contracts import tell
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import operator
from domain.contracts import ReportUsedUp
from domain.hour_packages import Package
from projections import billing
from projections.documents import reports_of
from projections.reading import View


async def report(store: EventStore, view: View, contract: UUID, packages: Sequence[Package], today: date) -> None:
    """Of those of a contract's packages that were drawn to the last second; what expired was not used.

    Raises StoreUnavailable."""
    used_up = [one for one in packages if one.drawn == one.granted]
    if not used_up:
        return
    told = {row.package for row in (await reports_of(view, [contract])).get(contract, [])}
    for one in used_up:
        if one.id not in told:
            command = ReportUsedUp(
                contract=contract,
                package=one.id,
                since=one.valid_from,
                until=max(one.valid_from, min(one.expires_on or today, today)),
                known=await billing.known(view),
            )
            context = Context(actor=operator(view.actor.workspace), channel="billing")
            await asyncio.to_thread(tell, store, context, command)
