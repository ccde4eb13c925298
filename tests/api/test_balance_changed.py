"""Balances, live: told whenever work, terms or hours change them, to whom may see the contract."""

from collections.abc import Callable

import pytest

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
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
