"""`proteus serve` and `proteus worker` as processes of their own, and clients who never give up."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import httpx

from api.runtime import HOME_VARIABLE
from application import tokens
from application.event_store.database import DATABASE_VARIABLE, Database
from domain.access import Scope
from tests.application.recording import Company
from tests.faults.rounds import WAIT, until

PROTEUS = Path(sys.executable).with_name("proteus")


@dataclass
class Proteus:
    """One process. What it says goes to a file, so that a flood would be seen and holds up nobody."""

    process: "subprocess.Popen[bytes]"
    said: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def lines(self) -> list[str]:
        return self.said.read_text(errors="replace").splitlines()


@contextmanager
def proteus(said: Path, *arguments: str, **environment: str) -> Iterator[Proteus]:
    """Ended in order at the end, paused or not, unless it was killed before."""
    with said.open("ab") as log:
        process = subprocess.Popen(
            [PROTEUS, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | environment
        )
    try:
        yield Proteus(process, said)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def worker(database: Database, said: Path, **environment: str) -> Iterator[Proteus]:
    with proteus(said, "worker", **{DATABASE_VARIABLE: database.url}, **environment) as running:
        yield running


@contextmanager
def serve(place: Database | Path, said: Path, *arguments: str, **environment: str) -> Iterator[tuple[Proteus, str]]:
    """On a database, or on an embedded one in a folder. Yields its address when it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = {DATABASE_VARIABLE: place.url} if isinstance(place, Database) else {HOME_VARIABLE: str(place)}
    address = f"http://127.0.0.1:{port}"
    with proteus(said, "serve", "--port", str(port), *arguments, **where, **environment) as running:

        def ready() -> bool:
            assert running.process.poll() is None, running.lines()[-20:]
            return answers(address)

        until(ready, "an answer of the server")
        yield running, address


def answers(address: str, path: str = "/health/live") -> bool:
    try:
        return httpx.get(address + path, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def token(database: Database, company: Company) -> str:
    return tokens.issue_token(
        database, company.workspace.id, company.manager.person, [Scope.ADMIN], "test", timedelta(days=1)
    )


COMMENT = "mutation($input: AddCommentInput!) { addComment(input: $input) { position userErrors { code } } }"
OPEN = "mutation($input: OpenTicketInput!) { openTicket(input: $input) { ticket { id } position userErrors { code } } }"
ATTACH = "mutation($input: AttachFileInput!) { attachFile(input: $input) { position userErrors { code } } }"
SEEN = "query($ticket: ID!, $position: Position!) { ticket(id: $ticket, minPosition: $position) { commentCount } }"


@dataclass
class Client:
    """Gives commands over GraphQL, each with its id and again until it is acknowledged, as clients are told to."""

    address: str
    secret: str
    acknowledged: list[UUID] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    """How often which code came instead of an answer; an exception's name where none came."""

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.secret}"}
        self._http = httpx.Client(base_url=self.address, headers=headers, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def once(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data, or the first error under "code" and "retryAfter"."""
        try:
            answer = self._http.post("/graphql", json={"query": query, "variables": variables}).json()
        except (httpx.HTTPError, ValueError) as error:
            return {"code": type(error).__name__}
        if "errors" in answer:
            return dict(answer["errors"][0]["extensions"])
        return dict(next(iter(answer["data"].values())) or {})

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        deadline = time.monotonic() + 2 * WAIT
        while "code" in (answer := self.once(query, **variables)):
            self.told[answer["code"]] += 1
            assert time.monotonic() < deadline, self.told
            time.sleep(0.02)
        return answer

    def upload(self, content: bytes) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        answer = self._http.post("/attachments", content=content)
        return answer.status_code, answer.json()

    def command(self, mutation: str, **input: Any) -> dict[str, Any]:
        command = uuid4()
        answer = self.ask(mutation, input={**input, "commandId": str(command)})
        assert answer["userErrors"] == [], answer
        self.acknowledged.append(command)
        return answer

    def open(self, title: str = "The site is down") -> str:
        return str(self.command(OPEN, title=title, role="INCIDENT")["ticket"]["id"])

    def comment(self, ticket: str, body: str = "Still") -> str:
        """The position."""
        return str(self.command(COMMENT, ticket=ticket, body=body)["position"])


@contextmanager
def clients(address: str, secret: str, number: int) -> Iterator[list[Client]]:
    """Clients who comment, each on a ticket of their own, until the context ends."""
    over = threading.Event()
    made = [Client(address, secret) for _ in range(number)]

    def work(client: Client) -> None:
        with client:
            ticket = client.open()
            while not over.is_set():
                client.comment(ticket)

    threads = [threading.Thread(target=work, args=(client,), daemon=True) for client in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
