"""Search over the API: what was found, where, by whom."""

from collections.abc import Callable

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client

SEARCH = """
query($q: String!, $filter: TicketFilter, $first: Int, $after: String, $p: Position) {
  search(query: $q, filter: $filter, first: $first, after: $after, minPosition: $p) {
    totalCount
    nodes { rank ticket { key } highlights { field comment { id } attachment { name } parts { text match } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""


def test_a_hit_says_where_it_was_found(agent: Client) -> None:
    ticket = agent.open("Сайт недоступен")
    shown = "ticket { comments { nodes { id } } }"
    comment = agent.done("addComment", shown, ticket=ticket["id"], body="Перезапустили nginx")["comments"]["nodes"][0]
    head = agent.ask("{ status { head } }")["head"]
    answer = agent.ask(SEARCH, q="перезапустила", p=head)
    assert answer["totalCount"] == 1
    [hit] = answer["nodes"]
    assert hit["ticket"] == {"key": ticket["key"]}
    assert hit["highlights"] == [
        {
            "field": "COMMENT",
            "comment": {"id": comment["id"]},
            "attachment": None,
            "parts": [{"text": "Перезапустили", "match": True}, {"text": " nginx", "match": False}],
        }
    ]
    [hit] = agent.ask(SEARCH, q=ticket["key"].lower())["nodes"]
    assert hit["highlights"][0]["field"] == "KEY"
    assert hit["highlights"][0]["parts"] == [{"text": ticket["key"], "match": True}]


def test_pages_and_filters(agent: Client) -> None:
    keys = [agent.open(f"Printer {n}", priority="HIGH" if n % 2 else "LOW")["key"] for n in range(5)]
    head = agent.ask("{ status { head } }")["head"]
    first = agent.ask(SEARCH, q="printers", first=3, p=head)
    assert first["totalCount"] == 5
    rest = agent.ask(SEARCH, q="printers", first=3, after=first["pageInfo"]["endCursor"])
    assert not rest["pageInfo"]["hasNextPage"]
    assert sorted(hit["ticket"]["key"] for hit in first["nodes"] + rest["nodes"]) == sorted(keys)
    assert agent.ask(SEARCH, q="printers", filter={"priority": {"eq": "HIGH"}})["totalCount"] == 2


def test_a_requester_finds_nothing_internal_and_nothing_of_others(
    acme: Workspace, agent: Client, token: Callable[..., Client]
) -> None:
    client = token(acme, Scope.REQUESTER)
    theirs = agent.open("Их заявка", requester=client.person)["id"]
    agent.done("addComment", ticket=theirs, body="Клиент скандалист", visibility="INTERNAL")
    agent.open("Чужая заявка")
    head = agent.ask("{ status { head } }")["head"]
    assert agent.ask(SEARCH, q="скандалист", p=head)["totalCount"] == 1
    assert client.ask(SEARCH, q="скандалист", p=head)["totalCount"] == 0
    assert client.ask(SEARCH, q="заявки")["totalCount"] == 1
    list_ = "query($q: String) { tickets(search: $q) { totalCount nodes { title } } }"
    assert client.ask(list_, q="заявки") == {"totalCount": 1, "nodes": [{"title": "Их заявка"}]}


def test_what_cannot_be_searched_is_refused(agent: Client) -> None:
    for q in ("x" * 501, "x " * 21, "\0"):
        assert agent.codes(SEARCH, q=q) == ["BAD_USER_INPUT"]
    assert agent.codes(SEARCH, q="x", after="nonsense") == ["BAD_USER_INPUT"]
    past = '{ tickets(search: "x", asOf: {position: "1"}) { totalCount } }'
    assert agent.codes(past) == ["BAD_USER_INPUT"]
