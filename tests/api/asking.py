"""A client of the API as tests like it: data or codes, in one line."""

from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

REFUSED: set[tuple[str, str, str | None]] = set()
"""Every mutation that was refused in this process, with which code, and the field that it is about."""

TICKET = "ticket { id key version position role { key } status { key } assignee { id } }"


class Client:
    """One token's view of the server."""

    def __init__(self, http: TestClient[Litestar], secret: str, person: str = "") -> None:
        self.http = http
        self.secret = secret
        self.person = person
        """The opaque id of whom the token stands for."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def send(self, query: str, **variables: Any) -> dict[str, Any]:
        response = self.http.post("/graphql", json={"query": query, "variables": variables}, headers=self.headers)
        answer: dict[str, Any] = response.json()
        return answer

    def ask(self, query: str, **variables: Any) -> Any:
        """The data; of a single field at the root, what it holds."""
        answer = self.send(query, **variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return next(iter(data.values())) if len(data) == 1 else data

    def codes(self, query: str, **variables: Any) -> list[str]:
        """The codes of `errors`."""
        return [error["extensions"]["code"] for error in self.send(query, **variables)["errors"]]

    def command(self, mutation: str, show: str = TICKET, **input: Any) -> Any:
        """The payload of a command; the input's type bears the mutation's name."""
        kind = mutation[0].upper() + mutation[1:] + "Input"
        payload = self.ask(
            f"mutation($input: {kind}!) {{ {mutation}(input: $input) {{"
            f" {show} version position replayed userErrors {{ code field message }} }} }}",
            input=input,
        )
        REFUSED.update(
            (mutation, error["code"], ".".join(error["field"] or ()) or None) for error in payload["userErrors"]
        )
        return payload

    def done(self, mutation: str, show: str = TICKET, **input: Any) -> Any:
        """The thing that a command changed; it was not refused."""
        payload = self.command(mutation, show, **input)
        assert payload["userErrors"] == []
        return payload[show.split()[0]]

    def refused(self, mutation: str, **input: Any) -> tuple[str, list[str] | None]:
        """Code and field of the only refusal; nothing was written."""
        payload = self.command(mutation, "", **input)
        [error] = payload["userErrors"]
        assert payload["position"] is None
        return error["code"], error["field"]

    def wait_for(self, position: int) -> None:
        """Until the read models have passed a position."""
        self.ask('query($p: Position) { ticket(key: "T-0", minPosition: $p) { key } }', p=str(position))

    def open(self, title: str = "Printer is on fire", role: str = "INCIDENT", **input: Any) -> Any:
        return self.done("openTicket", title=title, role=role, **input)

    def person_named(self, name: str) -> str:
        return str(self.done("addPerson", "person { id }", name=name)["id"])
