"""Moving cards over GraphQL: between two, after one, first of all; concurrent moves keep one stable order."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from api.ids import Kind, decode
from application import tickets
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.ranking import RankTicket
from domain.ticket_state import Ticket
from tests.api.asking import Client
from tests.api.conftest import Server

CARD = "ticket { key rank status { key } }"
COLUMN = """query($p: Position) { board(workflow: "support", minPosition: $p) {
  cells { column cards { nodes { key } pageInfo { endCursor } } } } }"""


def opened(client: Client, count: int) -> list[Any]:
    return [client.open(f"Card {n}", role="INCIDENT") for n in range(count)]


def column(client: Client, position: Any = None, key: str = "new") -> list[str]:
    cells = client.ask(COLUMN, p=position)["cells"]
    return [card["key"] for cell in cells if cell["column"] == key for card in cell["cards"]["nodes"]]


def test_cards_are_put_between_after_before_and_at_the_ends(agent: Client) -> None:
    cards = opened(agent, 4)
    keys = [card["key"] for card in cards]
    a, b, c, d = (card["id"] for card in cards)
    assert column(agent) == keys

    agent.done("rankTicket", CARD, ticket=d, after=a, before=b)
    assert column(agent) == [keys[0], keys[3], keys[1], keys[2]]
    agent.done("rankTicket", CARD, ticket=c, after=a)
    assert column(agent) == [keys[0], keys[2], keys[3], keys[1]]
    agent.done("rankTicket", CARD, ticket=b, before=a)
    assert column(agent) == [keys[1], keys[0], keys[2], keys[3]]
    agent.done("rankTicket", CARD, ticket=d, to="TOP")
    assert column(agent) == [keys[3], keys[1], keys[0], keys[2]]
    agent.done("rankTicket", CARD, ticket=d, to="BOTTOM")
    assert column(agent) == [keys[1], keys[0], keys[2], keys[3]]
    query = "query($p: Position) { board(asOf: {position: $p}) { cells { cards { nodes { key } } } } }"
    [then] = agent.ask(query, p=cards[3]["position"])["cells"]
    assert [card["key"] for card in then["cards"]["nodes"]] == keys


def test_a_card_moves_to_a_place_in_another_column_in_one_command(agent: Client) -> None:
    first, second, third = (card["id"] for card in opened(agent, 3))
    for ticket in (first, second):
        agent.done("rankTicket", CARD, ticket=ticket, to="BOTTOM", status="waiting")
    moved = agent.done("rankTicket", CARD, ticket=third, after=first, status="waiting", assignee=agent.person)
    assert moved["status"] == {"key": "waiting"}
    history = agent.ask("query($t: ID!) { ticket(id: $t) { history { nodes { type } } } }", t=third)["history"]["nodes"]
    assert [event["type"] for event in history][1:] == ["StatusChanged", "TicketAssigned", "TicketRanked"]
    assert len(column(agent, key="waiting")) == 3


def test_a_move_that_was_sent_twice_is_made_once(agent: Client) -> None:
    first, second, third = (card["id"] for card in opened(agent, 3))
    once = agent.command("rankTicket", CARD, ticket=third, after=first, commandId="move 1")
    agent.done("rankTicket", CARD, ticket=second, to="TOP")  # what the server finds there is another now
    again = agent.command("rankTicket", CARD, ticket=third, after=first, commandId="move 1")
    assert (again["replayed"], again["position"]) == (True, once["position"])


def test_moves_are_refused_where_they_make_no_sense(agent: Client) -> None:
    first, second = (card["id"] for card in opened(agent, 2))
    assert agent.refused("rankTicket", ticket=first) == ("INVALID_VALUE", ["after"])
    assert agent.refused("rankTicket", ticket=first, after=first) == ("INVALID_VALUE", ["after"])
    assert agent.refused("rankTicket", ticket=first, after=agent.person) == ("TICKET_NOT_FOUND", ["after"])
    assert agent.refused("rankTicket", ticket=agent.person, after=first) == ("TICKET_NOT_FOUND", ["ticket"])
    opened_first = agent.open("x")["id"]
    assert agent.refused("rankTicket", ticket=opened_first, after=second, before=first) == (
        "INVALID_VALUE",
        ["before"],
    )
    assert agent.refused("rankTicket", ticket=first, after=second, status="none") == ("STATUS_NOT_FOUND", ["status"])


def test_concurrent_moves_to_one_spot_keep_one_order_that_all_see(
    acme: Workspace, agent: Client, server: Server
) -> None:
    """Two stores, as two processes have them, and all cards between the same two."""
    cards = opened(agent, 14)
    ids = [decode(card["id"], Kind.TICKET) for card in cards]
    low, high, *moved = ids
    context = Context(actor=operator(acme.id))
    with EventStore(server.database) as other, ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(tickets.handle, store, context, RankTicket(ticket=one, after=low, before=high))
            for one in moved * 4
            for store in (server.store, other)
        ]
        positions = [job.result().position for job in jobs]
    states = server.store.workspace(acme.id).load(ids)
    ranks = {id_: stream.state for id_, stream in states.items() if isinstance(stream.state, Ticket)}
    wanted = sorted(ranks.values(), key=lambda ticket: (ticket.rank, ticket.number))
    assert column(agent, str(max(positions))) == [ticket.key for ticket in wanted]
    assert (wanted[0].key, wanted[-1].key) == (cards[0]["key"], cards[1]["key"])
    assert len({ticket.rank for ticket in wanted}) == len(wanted)
