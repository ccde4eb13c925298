"""Reports over GraphQL: hours against a norm, profitability, what is not billed, which hours run out; at any moment."""

from collections.abc import Callable
from typing import Any

import pytest

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.test_billing import bound, log
from tests.api.test_contracts import CONTRACT, add, agree

HOURS = """query($since: Date!, $until: Date!, $norm: NormInput, $person: ID, $asOf: AsOf, $min: Position) {
  reports(asOf: $asOf, minPosition: $min) { hours(since: $since, until: $until, norm: $norm, person: $person) {
    person { id } week worked billable billableShare norm } } }"""
PROFIT = """query($by: ProfitBy!, $costs: [CostInput!]!, $asOf: AsOf) { reports(asOf: $asOf) {
  profitability(since: "2026-03-05", until: "2026-03-05", by: $by, costs: $costs) {
    client { id } service { key } currency seconds billable billableShare charged fees revenue cost profit } } }"""
UNBILLED = """query($until: Date!, $asOf: AsOf) { reports(asOf: $asOf) {
  unbilled(until: $until) { nodes { contract { id } draft { amount seconds since } } totalCount }
  uncontracted(since: "2026-03-01", until: "2026-03-31") { entries seconds } } }"""
ENDING = """query($within: Int, $share: Int, $asOf: AsOf) { reports(asOf: $asOf) {
  endingHours(within: $within, share: $share) { contract { id } granted left expiring { expiresOn left } } } }"""
MARCH: dict[str, Any] = {"since": "2026-03-01", "until": "2026-03-31"}
H = 3600


class Told:
    """A prepaid contract of 10 h for 900.00 in March, one by the hour at 100, and work of one agent on both."""

    def __init__(self, admin: Client, agent: Client) -> None:
        prepaid = {"kind": "PREPAID", "currency": "EUR", "overageRate": "80"}
        self.prepaid, first = bound(admin, prepaid, name="Пакет")
        bought = {"seconds": 36000, "validFrom": "2026-03-01", "expiresOn": "2026-12-31", "price": "900"}
        admin.done("grantHours", CONTRACT, contract=self.prepaid, **bought)
        hourly = {"kind": "TIME_AND_MATERIALS", "currency": "EUR", "rates": [{"perHour": "100"}]}
        self.hourly, second = bound(admin, hourly, client=add(admin, "Василёк")["id"], name="По часам")
        log(agent, first, "2026-03-02T09:00:00Z", 6)
        log(agent, first, "2026-03-03T09:00:00Z", 6)
        log(agent, second, "2026-03-04T09:00:00Z", 3)
        log(agent, admin.open(), "2026-03-05T09:00:00Z", 2)
        # from Sunday, 8 March, half past eleven in the evening to half past midnight
        self.position = log(agent, second, "2026-03-08T23:30:00Z", 1)["position"]


@pytest.fixture
def told(admin: Client, agent: Client) -> Told:
    told = Told(admin, agent)
    admin.wait_for(told.position)
    return told


def test_hours_of_each_week_stand_beside_the_norm(admin: Client, agent: Client, told: Told) -> None:
    # first week: 6 + 6 + 3 + 2 + 0.5 h, of which 2 h are under no contract; second week: 0.5 h
    found = admin.ask(HOURS, **MARCH, min=told.position)["hours"]
    assert [(one["week"], one["worked"], one["billable"], one["norm"]) for one in found] == [
        ("2026-03-02", 17.5 * H, 15.5 * H, 40 * H),
        ("2026-03-09", 0.5 * H, 0.5 * H, 40 * H),
    ]
    assert {one["person"]["id"] for one in found} == {agent.person}
    assert [one["billableShare"] for one in found] == [15.5 / 17.5, 1]
    # in Russia Monday the 9th is off, for the 8th, a Sunday; 7 h a day; in Moscow the night's hour is all Monday's
    norm = {"secondsPerDay": 7 * H, "timeZone": "Europe/Moscow", "country": "RU"}
    found = admin.ask(HOURS, since="2026-03-02", until="2026-03-12", norm=norm)["hours"]
    assert [(one["worked"], one["norm"]) for one in found] == [(17 * H, 35 * H), (H, 21 * H)]
    then = {"occurredAt": "2026-03-02T23:00:00Z"}
    [then_] = admin.ask(HOURS, **MARCH, asOf=then, person=agent.person)["hours"]
    assert then_["worked"] == 6 * H
    assert admin.ask(HOURS, **MARCH, person=admin.person)["hours"] == []


def test_contracts_bring_in_and_cost(admin: Client, agent: Client, told: Told) -> None:
    # prepaid: 12 h, of which 2 h beyond the package at 80 = 160, and 900 for the package; 12 h at 30 cost 360.
    # by the hour: 4 h at 100; they cost 4 x 30 = 120
    costs = [{"currency": "EUR", "perHour": "30"}, {"currency": "USD", "perHour": "99"}]
    rows = admin.ask(PROFIT, by="CLIENT", costs=costs)["profitability"]
    assert [(one["revenue"], one["charged"], one["fees"], one["cost"], one["profit"]) for one in rows] == [
        ("1060.00", "160.00", "900.00", "360.00", "700.00"),
        ("400.00", "400.00", "0", "120.00", "280.00"),
    ]
    assert [(one["seconds"], one["billable"]) for one in rows] == [(12 * H, 12 * H), (4 * H, 4 * H)]
    assert [one["billableShare"] for one in rows] == [1, 1]
    # the agent alone costs 50 an hour: 16 h = 800
    own = [*costs, {"currency": "EUR", "perHour": "50", "person": agent.person}]
    [of_none] = admin.ask(PROFIT, by="SERVICE", costs=own)["profitability"]
    assert (of_none["service"], of_none["revenue"], of_none["cost"]) == (None, "1460.00", "800.00")
    then = {"occurredAt": "2026-03-03T12:00:00Z"}
    rows = admin.ask(PROFIT, by="CLIENT", costs=[], asOf=then)["profitability"]
    assert [(one["charged"], one["seconds"], one["cost"]) for one in rows] == [("160.00", 12 * H, None)]


def test_what_is_not_billed_is_told_until_it_is_closed(admin: Client, told: Told) -> None:
    found = admin.ask(UNBILLED, until="2026-03-31")
    drafts = {one["contract"]["id"]: one["draft"] for one in found["unbilled"]["nodes"]}
    assert (drafts[told.prepaid]["amount"], drafts[told.hourly]["amount"]) == ("1060.00", "400.00")
    assert found["uncontracted"] == {"entries": 1, "seconds": 2 * H}
    closed = admin.command("closePeriod", "statement { number }", contract=told.prepaid, until="2026-03-31")
    after = admin.ask(UNBILLED, until="2026-03-31")["unbilled"]
    assert {one["contract"]["id"]: one["draft"] and one["draft"]["amount"] for one in after["nodes"]} == {
        told.prepaid: None,
        told.hourly: "400.00",
    }
    before = admin.ask(UNBILLED, until="2026-03-31", asOf={"position": str(int(closed["position"]) - 1)})["unbilled"]
    assert [one["draft"]["amount"] for one in before["nodes"]] == ["1060.00", "400.00"]
    assert before["totalCount"] == 2


def test_no_day_that_a_closed_statement_tells_of_is_unbilled(admin: Client, told: Told) -> None:
    for until in ("2026-02-28", "2026-03-31"):
        closed = admin.command("closePeriod", "statement { number }", contract=told.hourly, until=until)
    later = agree(admin, {"kind": "PREPAID", "currency": "EUR"}, name="Later", appliesFrom="2026-06-01")["id"]

    def drafts(until: str, **more: Any) -> dict[str, Any]:
        nodes = admin.ask(UNBILLED, until=until, **more)["unbilled"]["nodes"]
        return {
            one["contract"]["id"]: one["draft"] and (one["draft"]["since"], one["draft"]["amount"]) for one in nodes
        }

    assert drafts("2026-03-15") == {told.prepaid: ("2026-01-01", "1060.00"), told.hourly: None, later: None}
    assert drafts("2026-04-30")[told.hourly] == ("2026-04-01", "0.00")
    before = {"position": str(int(closed["position"]) - 1)}
    assert drafts("2026-03-15", asOf=before)[told.hourly] == ("2026-03-01", "400.00")


def test_hours_that_run_out_or_expire_are_told(admin: Client, told: Told) -> None:
    [ending] = admin.ask(ENDING)["endingHours"]
    assert (ending["contract"]["id"], ending["granted"], ending["left"]) == (told.prepaid, 10 * H, 0)
    # on 2 March 4 of 10 h were left: more than a fifth, less than a half; they expire 304 days later
    then = {"occurredAt": "2026-03-02T23:00:00Z"}
    assert admin.ask(ENDING, asOf=then)["endingHours"] == []
    [ending] = admin.ask(ENDING, asOf=then, share=50)["endingHours"]
    assert (ending["left"], ending["expiring"]) == (4 * H, [])
    [ending] = admin.ask(ENDING, asOf=then, within=304)["endingHours"]
    assert ending["expiring"] == [{"expiresOn": "2026-12-31", "left": 4 * H}]
    assert admin.ask(ENDING, asOf=then, within=303)["endingHours"] == []


def test_reports_are_for_heads_and_auditors(
    acme: Workspace, agent: Client, claire: Client, token: Callable[..., Client]
) -> None:
    for who in (agent, claire):
        assert who.codes(ENDING) == ["FORBIDDEN"]
    for who in (token(acme, Scope.MANAGER), token(acme, Scope.AUDITOR)):
        assert who.ask(ENDING)["endingHours"] == []


@pytest.mark.parametrize(
    ("query", "more"),
    [
        (HOURS, {"since": "2026-03-02", "until": "2026-03-01"}),
        (HOURS, {"since": "2026-01-01", "until": "2027-02-05"}),
        (HOURS, {"since": "9999-01-01", "until": "9999-01-01"}),
        (HOURS, {**MARCH, "norm": {"secondsPerDay": -1}}),
        (HOURS, {**MARCH, "norm": {"timeZone": "Mars/Base"}}),
        (HOURS, {**MARCH, "norm": {"country": "ATLANTIS"}}),
        (PROFIT, {"by": "CLIENT", "costs": [{"currency": "DOUBLOON", "perHour": "1"}]}),
        (PROFIT, {"by": "CLIENT", "costs": [{"currency": "EUR", "perHour": "NaN"}]}),
        (PROFIT, {"by": "CLIENT", "costs": [{"currency": "EUR", "perHour": "-1"}]}),
        (UNBILLED, {"until": "9999-12-31"}),
        (ENDING, {"within": -1}),
        (ENDING, {"share": 101}),
    ],
)
def test_questions_that_make_no_sense_are_told(admin: Client, query: str, more: dict[str, Any]) -> None:
    assert admin.codes(query, **more) == ["BAD_USER_INPUT"]


def test_agreed_contracts_without_work_bring_nothing(admin: Client) -> None:
    contract = agree(admin, {"kind": "PREPAID", "currency": "EUR"})["id"]
    assert admin.ask(PROFIT, by="CLIENT", costs=[])["profitability"] == []
    admin.done("grantHours", CONTRACT, contract=contract, seconds=3600, validFrom="2026-03-01", price="90")
    [row] = admin.ask(PROFIT, by="CLIENT", costs=[])["profitability"]
    assert (row["revenue"], row["seconds"], row["billableShare"]) == ("90.00", 0, None)
