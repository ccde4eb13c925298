"""Setting a limit on work in progress while tickets move."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from application import wip_limits
from application.event_store.streams import WorkspaceStore
from application.handling import Context
from application.wip_limits import Cards
from application.workspaces import operator
from domain.errors import WipLimitReached
from domain.tickets import AssignTicket
from domain.wip_limits import SetWipLimit
from tests.application.recording import Company, log


def test_each_persons_limit_asks_only_the_tickets_that_have_moved_since(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, boris = company.person("Anna"), company.person("Boris")
    stood = [company.ticket(assignee=anna) for _ in range(3)]
    position = max(row["position"] for row in log(company.store.database))
    company.give(AssignTicket(ticket=stood[0], assignee=boris))
    asked: set[UUID] = set()
    load = WorkspaceStore.load

    def loaded(self: WorkspaceStore, ids: Iterable[UUID]) -> Any:
        asked.update(found := list(ids))
        return load(self, found)

    limit = SetWipLimit(workflow="support", each_person=True, limit=2, hard=True)
    cards = Cards(held=dict.fromkeys(stood, anna), position=position)
    with monkeypatch.context() as patched:
        patched.setattr(WorkspaceStore, "load", loaded)
        wip_limits.handle(company.store, Context(actor=operator(company.workspace.id)), limit, cards)
    assert asked & {*stood} == {stood[0]}
    with pytest.raises(WipLimitReached):
        company.ticket(assignee=anna)
    company.ticket(assignee=boris)
    with pytest.raises(WipLimitReached):
        company.ticket(assignee=boris)
