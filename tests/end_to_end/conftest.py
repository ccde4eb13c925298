"""The demo workspace, served: what the README and the guides show."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api import demo, serving
from api.app import application
from api.runtime import open_contents
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.streams import EventStore
from tests.conftest import fresh_database
from tests.end_to_end.documentation import Ask

STORY_ENDS = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


def first_told(client: TestClient[Litestar], secret: str, query: str) -> dict[str, Any]:
    """The first answer of a subscription."""
    with client.websocket_connect("/graphql", subprotocols=["graphql-transport-ws"]) as socket:
        socket.send_json({"type": "connection_init", "payload": {"Authorization": f"Bearer {secret}"}})
        assert socket.receive_json()["type"] == "connection_ack"
        socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": query}})
        while (message := socket.receive_json())["type"] == "ping":
            socket.send_json({"type": "pong"})
        assert message["type"] == "next", message
        told: dict[str, Any] = message["payload"]
        return told


@pytest.fixture(scope="session")
def demo_server(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    folder = tmp_path_factory.mktemp("demo")
    with fresh_database(postgres) as database, EventStore(database) as store:
        workspace = serving.first_workspace(database, store, "demo", "Demo")
        demo.fill(store, workspace.id, now=STORY_ENDS, contents=open_contents(store, folder))
        secret = serving.kept_token(database, store, workspace, folder / "token")
        with serving.following(database), TestClient(application(database, "http://localhost:8000", folder)) as client:

            def ask(query: str) -> dict[str, Any]:
                if query.lstrip().startswith("subscription"):
                    return first_told(client, secret, query)
                answer = client.post("/graphql", json={"query": query}, headers={"Authorization": f"Bearer {secret}"})
                body: dict[str, Any] = answer.json()
                return body

            head = ask("{ status { head } }")["data"]["status"]["head"]
            ask(f'{{ tickets(first: 1, minPosition: "{head}") {{ nodes {{ key }} }} }}')
            ask(f'{{ search(query: "x", minPosition: "{head}") {{ totalCount }} }}')
            yield ask
