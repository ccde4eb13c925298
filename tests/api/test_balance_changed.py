"""Balances, live: told whenever work, terms or hours change them, to whom may see the contract."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from api.ids import Kind, decode
from application.workspaces import Workspace, operator
from domain.access import Scope
from projections import billing, timeline
from projections.balance_changes import BalanceChanges
from projections.live import News
from projections.reading import Moment, ReadModels, View
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.subscribing import Ended, opened
from tests.api.test_billing import ENTRY, bound, log
from tests.api.test_contracts import CONTRACT, PREPAID
from tests.served import Served

SUBSCRIPTION = """subscription($c: ID!, $after: Position) { balanceChanged(contract: $c, afterPosition: $after) {
  position balance { granted drawn left overage } } }"""


def test_a_balance_is_told_whenever_it_changes_and_only_then(admin: Client, claire: Client, live: Served) -> None:
    contract, ticket = bound(admin, {**PREPAID, "overage": "CHARGE"})
    other, elsewhere = bound(admin, PREPAID, name="Other")
    client = admin.ask("query($c: ID!) { node(id: $c) { ... on Contract { client { id } } } }", c=contract)["client"]
    admin.done("addContact", "client { id }", client=client["id"], person=claire.person)
    head = admin.ask("{ status { head } }")["head"]
    with opened(live.socket, claire.secret) as socket:
        told = socket.subscribe(SUBSCRIPTION, c=contract, after=head)
        admin.done("grantHours", CONTRACT, contract=contract, seconds=7200, validFrom="2026-01-01")
        assert told.next()["balance"] == {"granted": 7200, "drawn": 0, "left": 7200, "overage": 0}
        admin.done("grantHours", CONTRACT, contract=other, seconds=60, validFrom="2026-01-01")
        log(admin, elsewhere, "2026-01-05T09:00:00Z", 1)  # neither of them is of this contract
        last = log(admin, ticket, "2026-01-05T09:00:00Z", 3)
        change = told.next()
        assert change["balance"] == {"granted": 7200, "drawn": 7200, "left": 0, "overage": 3600}
        assert int(change["position"]) >= int(last["position"])
        corrected = {"workEntry": last["workEntry"]["id"], "endedAt": "2026-01-05T10:00:00Z", "reason": "One hour"}
        admin.command("correctWork", ENTRY, **corrected)
        assert told.next()["balance"] == {"granted": 7200, "drawn": 3600, "left": 3600, "overage": 0}
    with opened(live.socket, admin.secret) as socket:  # who comes back is told at once what changed meanwhile
        again = socket.subscribe(SUBSCRIPTION, c=contract, after=head)
        assert again.next()["balance"]["left"] == 3600


def test_who_may_not_see_the_contract_hears_nothing(
    acme: Workspace, admin: Client, token: Callable[..., Client], live: Served
) -> None:
    contract, _ = bound(admin, PREPAID)
    stranger = token(acme, Scope.REQUESTER)
    with opened(live.socket, stranger.secret) as socket, pytest.raises(Ended) as ended:
        socket.subscribe(SUBSCRIPTION, c=contract).next()
    assert ended.value.codes == ["NOT_FOUND"]


def test_what_happens_under_other_contracts_works_out_no_balance(
    server: Server, acme: Workspace, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, ticket = bound(admin, PREPAID)
    other, elsewhere = bound(admin, PREPAID, name="Other")
    after = int(admin.ask("{ status { head } }")["head"])
    worked_out: list[Any] = []
    balance = billing.balance

    async def noted(view: View, contract: UUID, moment: Moment) -> Any:
        worked_out.append(contract)
        return await balance(view, contract, moment)

    monkeypatch.setattr(billing, "balance", noted)
    changes = BalanceChanges(decode(contract, Kind.CONTRACT))

    async def told(position: int) -> list[int]:
        async with ReadModels(server.database, size=1) as models:
            view = models.view(operator(acme.id))
            rows = await timeline.by_positions(view, list(range(after + 1, position + 1)))
            heard = [
                News(workspace=acme.id, event=row, internal=False, requester=None, workflows_at=0, sensitive=False)
                for row in rows.values()
            ]
            kept = [news for news in heard if changes.wanted(view.actor)(news)]
            return [one.position async for one in changes.heard(view, kept, after)] if kept else []

    admin.done("grantHours", CONTRACT, contract=other, seconds=60, validFrom="2026-01-01")
    last = int(log(admin, elsewhere, "2026-01-05T09:00:00Z", 1)["position"])
    admin.wait_for(last)
    assert (asyncio.run(told(last)), worked_out) == ([], [])
    last = int(log(admin, ticket, "2026-01-05T09:00:00Z", 1)["position"])
    admin.ask(
        "query($c: ID!, $p: Position) { balance(contract: $c, minPosition: $p) { left } }", c=contract, p=str(last)
    )
    worked_out.clear()
    assert len(asyncio.run(told(last))) == 1
    assert set(worked_out) == {changes.contract}
