"""Traces: from a request over its command to the read models, and onto the events."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api import telemetry
from api.ids import Kind, decode
from application.event_store.database import Role
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.faults.rounds import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
OPEN = 'mutation Opens { openTicket(input: {title: "The secret plan", role: "TASK"}) { ticket { id } position } }'


@pytest.fixture
def spans(server: Server) -> Iterator[InMemorySpanExporter]:
    telemetry.stop()
    exporter = InMemorySpanExporter()
    telemetry.start(exporter)
    yield exporter
    telemetry.stop()


def finished(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    assert telemetry._provider is not None
    telemetry._provider.force_flush()
    return list(exporter.get_finished_spans())


def opened(server: Server, client: Client, traceparent: str | None) -> tuple[str | None, int]:
    """The trace on the event of a ticket that was opened, and its position."""
    headers = client.headers if traceparent is None else {**client.headers, "traceparent": traceparent}
    payload = server.http.post("/graphql", json={"query": OPEN}, headers=headers).json()["data"]["openTicket"]
    with server.database.connect(Role.PROJECTOR) as connection:
        row = connection.execute(
            "select trace, position from event where stream = %s", (decode(payload["ticket"]["id"], Kind.TICKET),)
        ).fetchone()
    assert row is not None
    return row


def test_an_event_carries_the_trace_that_the_client_named(server: Server, agent: Client) -> None:
    assert opened(server, agent, TRACEPARENT)[0] == TRACEPARENT
    assert opened(server, agent, None)[0] is None
    assert opened(server, agent, f"ff-{TRACE}-00f067aa0ba902b7-01")[0] is None
    assert opened(server, agent, "Robert'); drop table event")[0] is None


def test_a_command_is_traced_from_the_request_to_the_read_models(
    server: Server, agent: Client, spans: InMemorySpanExporter
) -> None:
    trace, position = opened(server, agent, TRACEPARENT)
    agent.wait_for(position)
    until(lambda: {"fold tickets", "mutation"} <= {span.name for span in finished(spans)})
    found = {span.name: span for span in finished(spans)}
    request, command = found["mutation"], found["OpenTicket"]
    assert request.context is not None
    assert command.context is not None
    assert request.parent is not None
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == TRACEPARENT.split("-")[2]
    assert request.attributes is not None
    assert dict(request.attributes) == {
        "graphql.operation.type": "mutation",
        "graphql.operation.name": "Opens",
        "http.response.status_code": 200,
    }
    assert command.parent is not None
    assert command.parent.span_id == request.context.span_id
    for step in ("load", "decide", "append"):
        parent = found[step].parent
        assert parent is not None
        assert parent.span_id == command.context.span_id
    append = found["append"].context
    assert append is not None
    assert trace is not None
    assert trace.split("-")[1] == TRACE, "the event is of the client's trace"
    folds = [span for span in finished(spans) if span.name == "fold tickets"]
    assert TRACE in {f"{link.context.trace_id:032x}" for span in folds for link in span.links}
    assert "secret plan" not in "".join(span.to_json() for span in finished(spans))


def test_what_fails_is_told_by_its_code_alone(server: Server, agent: Client, spans: InMemorySpanExporter) -> None:
    agent.codes('{ ticket(id: "the secret plan") { key } }')
    until(lambda: any(span.name == "query" for span in finished(spans)))
    [span] = [span for span in finished(spans) if span.name == "query"]
    assert span.attributes is not None
    assert span.attributes["error.type"] == "BAD_USER_INPUT"
    assert "secret plan" not in span.to_json()


def test_without_an_endpoint_opentelemetry_is_not_imported() -> None:
    code = "import sys, api.app; from api import telemetry; telemetry.start(); print('opentelemetry' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    assert answer.stdout == "False\n"
