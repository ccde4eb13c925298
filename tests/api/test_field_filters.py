"""Filters on custom fields by the type of their definition, in lists and boards, now and as of a moment."""

from typing import Any

import pytest

from tests.api.asking import Client

KINDS = {
    "hours": "NUMBER",
    "visit": "DATE",
    "until": "TIME",
    "lead": "PERSON",
    "areas": "CHOICES",
}
CHOICES = [{"key": key, "name": key} for key in ("net", "mail", "phone")]


@pytest.fixture
def keys(admin: Client) -> list[str]:
    for key, kind in KINDS.items():
        more = {"choices": CHOICES} if kind == "CHOICES" else {}
        admin.done("defineField", "field { key }", key=key, name=key, type=kind, **more)
    fields: list[dict[str, Any]] = [
        {"hours": 2, "visit": "2026-03-01", "until": "2026-03-01T09:00:00+03:00", "areas": ["net"]},
        {"hours": "10.5", "visit": "2026-11-30", "until": "2026-03-01T09:00:00Z", "areas": ["mail", "net"]},
        {"lead": admin.person, "areas": ["phone"]},
    ]
    return [admin.open(f"Card {n}", fields=one)["key"] for n, one in enumerate(fields)]


def test_values_are_compared_as_their_type_says(admin: Client, keys: list[str]) -> None:
    def found(**field: Any) -> set[int]:
        wanted = {"field": [field]}
        query = """query($f: TicketFilter!, $at: AsOf) { tickets(filter: $f, asOf: $at) { nodes { key } }
          board(filter: $f, asOf: $at) { totalCount } }"""
        answers = []
        for at in (None, {"occurredAt": "2100-01-01T00:00:00Z"}):
            answer = admin.ask(query, f=wanted, at=at)
            answers.append({keys.index(node["key"]) for node in answer["tickets"]["nodes"]})
            assert answer["board"]["totalCount"] == len(answers[-1])
        assert answers[0] == answers[1]
        return answers[0]

    assert found(key="hours", gt=2) == {1}
    assert found(key="hours", gte="2.0", lt="10.50") == {0}
    assert found(key="visit", gte="2026-04-01") == {1}
    assert found(key="until", lt="2026-03-01T10:00:00+03:00") == {0}
    assert found(key="until", eq="2026-03-01T12:00:00+03:00") == {1}
    assert found(key="lead", eq=admin.person) == {2}
    assert found(key="lead", isNull=True) == {0, 1}
    assert found(key="areas", eq="net") == {0, 1}
    assert found(key="areas", **{"in": ["phone", "mail"]}) == {1, 2}


@pytest.mark.parametrize(
    "field", [{"key": "hours", "gt": "many"}, {"key": "visit", "eq": "soon"}, {"key": "lead", "in": ["Anna"]}]
)
def test_what_the_type_does_not_take_is_a_mistake_that_is_said(
    admin: Client, keys: list[str], field: dict[str, Any]
) -> None:
    query = "query($f: TicketFilter!) { tickets(filter: $f) { nodes { key } } }"
    assert admin.codes(query, f={"field": [field]}) == ["BAD_USER_INPUT"]
