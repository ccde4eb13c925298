"""docs/guides/billing.md: what it says is asked is asked, and what it says is answered is answered."""

import json
import re
from pathlib import Path

from tests.api.asking import Client

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "billing.md"
STEPS = re.compile(r"```graphql\n(.*?)```\n\n```json\n(.*?)```", re.DOTALL)
IDS = """query($p: Position) {
  clients(minPosition: $p) { nodes { id } } contracts(minPosition: $p) { nodes { id hourPackages { id every } } }
  tickets(minPosition: $p) { nodes { id estimates { id } } } workEntries(minPosition: $p) { totalCount }
  billingDocuments(minPosition: $p) { nodes { id kind } }
}"""


def test_the_worked_example_comes_to_what_the_guide_says(admin: Client) -> None:
    steps = STEPS.findall(GUIDE.read_text(encoding="utf-8"))
    assert len(steps) == 21
    for query, answer in steps:
        there = admin.ask(IDS, p=admin.ask("{ status { head } }")["head"])
        for name, field in (("CLIENT", "clients"), ("CONTRACT", "contracts"), ("TICKET", "tickets")):
            for node in there[field]["nodes"]:
                query = query.replace(f'"{name}"', f'"{node["id"]}"')
        named = {node["kind"]: node["id"] for node in there["billingDocuments"]["nodes"]}
        for one in [one for node in there["tickets"]["nodes"] for one in node["estimates"]]:
            named["ESTIMATE"] = one["id"]
        for one in [one for node in there["contracts"]["nodes"] for one in node["hourPackages"] if one["every"]]:
            named["PACKAGE"] = one["id"]
        for name, id_ in named.items():
            query = query.replace(f'"{name}"', f'"{id_}"')
        assert admin.send(query) == {"data": json.loads(answer)}
