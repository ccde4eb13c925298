"""Requesters rate what came of their tickets, over GraphQL."""

from tests.api.asking import Client

SHOW = "ticket { id viewerCan ratings { totalCount nodes { score comment ratedBy { id } closedAt } } }"


def test_a_requester_rates_their_closed_ticket(admin: Client, agent: Client, claire: Client) -> None:
    ticket = claire.open()["id"]
    assert claire.refused("rateTicket", ticket=ticket, score=5) == ("TICKET_OPEN", ["ticket"])
    closed = admin.done("transitionTicket", SHOW, ticket=ticket, status="done")
    assert "rateTicket" in closed["viewerCan"]
    shown = claire.done("rateTicket", SHOW, ticket=ticket, score=4, comment="Быстро")
    assert "rateTicket" in shown["viewerCan"]
    assert shown["ratings"]["totalCount"] == 1
    [rating] = shown["ratings"]["nodes"]
    assert rating.pop("closedAt")
    assert rating == {"score": 4, "comment": "Быстро", "ratedBy": {"id": claire.person}}
    assert claire.refused("rateTicket", ticket=ticket, score=6) == ("INVALID_VALUE", ["score"])
    # Told on the phone, and written down by a manager; an agent rates nobody's work.
    assert agent.refused("rateTicket", ticket=ticket, score=5) == ("FORBIDDEN", None)
    assert admin.refused("rateTicket", ticket=ticket, score=5) == ("FORBIDDEN", ["ticket"])
    told = admin.done("rateTicket", SHOW, ticket=ticket, score=5, onBehalfOf=claire.person)
    assert [(one["score"], one["comment"]) for one in told["ratings"]["nodes"]] == [(5, None)]
    assert told["ratings"]["nodes"][0]["ratedBy"] == {"id": claire.person}


def test_nobody_rates_the_tickets_of_others(admin: Client, claire: Client) -> None:
    ticket = admin.open()["id"]
    admin.done("transitionTicket", ticket=ticket, status="done")
    assert claire.refused("rateTicket", ticket=ticket, score=5) == ("TICKET_NOT_FOUND", ["ticket"])
