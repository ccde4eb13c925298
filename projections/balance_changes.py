"""Changes of a contract's balance."""

from collections.abc import AsyncGenerator, Callable, Sequence
from uuid import UUID

import msgspec

from application.event_store.event_types import NAMES
from domain.access import Actor
from domain.contracts import ContractEvent
from domain.work import WorkEvent
from projections import billing
from projections.live import News, Told, Topic
from projections.reading import Moment, View
from projections.rows import BalanceChangeRow, BalanceRow

OF_WORK = frozenset(NAMES[kind].name for kind in WorkEvent.__args__)
OF_CONTRACTS = frozenset(NAMES[kind].name for kind in ContractEvent.__args__)
"""Events that may change a balance."""


class BalanceChanges(msgspec.Struct, frozen=True):
    """The balance of a contract whenever work under it, its terms or its hours have changed it; nothing to those who
    may not see the contract."""

    contract: UUID

    def topic(self, actor: Actor) -> Topic:
        return actor.workspace, None

    def wanted(self, actor: Actor) -> Callable[[News], bool]:
        """Of work only the read model says under which contract it counts."""
        return lambda news: news.event.type in OF_WORK or self._own(news)

    def _own(self, news: News) -> bool:
        return news.event.type in OF_CONTRACTS and news.event.stream == self.contract

    async def recorded(self, view: View, after: int, until: int) -> AsyncGenerator[Told]:
        """Once for all that happened between."""
        if after >= until:
            return
        before = await billing.balance(view, self.contract, Moment(position=after))
        now = await billing.balance(view, self.contract, Moment(position=until))
        if now is not None and (before is None or _said(now) != _said(before)):
            yield Told(until, BalanceChangeRow(position=until, balance=now))

    async def heard(self, view: View, heard: Sequence[News], after: int) -> AsyncGenerator[Told]:
        worked = [news.event.stream for news in heard if not self._own(news)]
        if len(worked) < len(heard) or await billing.counted_under(view, self.contract, worked):
            async for told in self.recorded(view, after, heard[-1].event.position):
                yield told


def _said(row: BalanceRow) -> tuple[object, ...]:
    return row.packages, row.overage, row.alerts
