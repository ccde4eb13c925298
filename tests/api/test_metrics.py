"""/metrics: what is counted, who may see it, and that it tells of nobody."""

import re
import urllib.error
import urllib.request

import pytest
from litestar.testing import TestClient

from api import metrics
from api.app import application
from api.metrics import exposed_by_engine
from api.settings import BadSetting
from application.event_store.database import Database
from tests.api.asking import Client
from tests.api.conftest import Server

SECRET = "a secret of the operator's"
BEARER = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.TOKEN_VARIABLE, SECRET)


def samples(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def scraped(server: Server) -> dict[str, float]:
    response = server.http.get("/metrics", headers=BEARER)
    assert response.status_code == 200
    return samples(response.text)


def test_requests_and_commands_are_counted_by_kind_and_outcome(server: Server, agent: Client) -> None:
    agent.wait_for(0)
    before = scraped(server)
    ticket = agent.open()
    agent.refused("setPriority", ticket="nonsense", priority="LOW")
    agent.ask("{ me { scopes } }")
    agent.codes("{ nope }")
    Client(server.http, "stolen").codes("{ me { scopes } }")
    after = scraped(server)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert ticket["version"] == 1
    assert more('proteus_requests_total{code="OK",operation="mutation"}') == 2
    assert more('proteus_requests_total{code="OK",operation="query"}') == 1
    assert more('proteus_requests_total{code="BAD_USER_INPUT",operation="query"}') == 1
    assert more('proteus_requests_total{code="UNAUTHENTICATED",operation="none"}') == 1
    assert more('proteus_request_seconds_count{operation="mutation"}') == 2
    assert more('proteus_commands_total{command="OpenTicket",outcome="OK"}') == 1
    assert more('proteus_commands_total{command="SetPriority",outcome="TICKET_NOT_FOUND"}') == 1
    assert more("proteus_append_batch_commands_sum") >= 1
    assert after["proteus_requests_in_flight"] == 0


def test_the_lag_of_every_read_model_is_told_against_the_real_head(server: Server, agent: Client) -> None:
    agent.open()
    agent.wait_for(int(agent.ask("{ status { head } }")["head"]))
    found = scraped(server)
    assert found["proteus_database_up"] == 1
    assert found["proteus_log_head_position"] > 0
    for name in ("spans", "tickets", "timeline", "directory"):
        assert found[f'proteus_projection_lag_events{{projection="{name}"}}'] == 0
        assert found[f'proteus_projection_events_total{{projection="{name}"}}'] > 0
        assert f'proteus_projection_parked_streams{{projection="{name}"}}' in found
    assert found['proteus_pool_connections{pool="read",state="open"}'] >= 1
    assert found['proteus_command_threads{state="limit"}'] == 40
    assert found["process_resident_memory_bytes"] > 0


def test_the_proofs_lag_and_what_scrubs_found_are_told(server: Server, agent: Client) -> None:
    agent.open()
    while scraped(server)["proteus_audit_lag_events"]:
        pass
    found = scraped(server)
    assert found["proteus_audit_events_total"] > 0
    assert found["proteus_audit_tampered_logs"] == 0
    assert found["proteus_audit_lag_seconds"] == 0
    assert found["proteus_audit_scrubbed_timestamp_seconds"] >= 0


def test_metrics_name_nobody_and_no_workspace(server: Server, agent: Client) -> None:
    agent.open("The secret plan")
    text = server.http.get("/metrics", headers=BEARER).text
    assert "secret plan" not in text
    labels = {value for line in text.splitlines() for value in re.findall(r'="([^"]*)"', line)}
    assert all(len(value) <= 40 and "@" not in value for value in labels), labels
    assert agent.secret not in text


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", SECRET, "Bearer ключ"])
def test_without_the_secret_nothing_is_told(server: Server, authorization: str | None) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}
    response = server.http.get("/metrics", headers=headers)
    assert response.status_code == 401
    assert "proteus_" not in response.text


def test_a_token_of_a_workspace_is_not_the_secret(server: Server, admin: Client) -> None:
    assert server.http.get("/metrics", headers=admin.headers).status_code == 401


def test_there_are_no_metrics_where_no_secret_is_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(metrics.TOKEN_VARIABLE)
    assert server.http.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_metrics_are_told_while_the_database_is_away() -> None:
    nowhere = Database("host=127.0.0.1 port=1 dbname=x connect_timeout=1")
    with TestClient(application(nowhere, "http://x")) as http:
        found = samples(http.get("/metrics", headers=BEARER).text)
    assert found["proteus_database_up"] == 0
    assert not [name for name in found if name.startswith("proteus_projection_lag")]


# ---- the process that keeps the read models


def ask_engine(port: int | None, authorization: str, path: str = "/metrics") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": authorization})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_the_engine_answers_on_a_port_of_its_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.ENGINE_VARIABLE, "127.0.0.1:0")
    with exposed_by_engine() as port:
        status, text = ask_engine(port, f"Bearer {SECRET}")
        assert status == 200
        assert "proteus_projection_fold_seconds_bucket" in text
        assert ask_engine(port, "Bearer wrong")[0] == 401
        assert ask_engine(port, f"Bearer {SECRET}", "/")[0] == 404


def test_the_engine_is_not_exposed_unless_told_to() -> None:
    with exposed_by_engine() as port:
        assert port is None


@pytest.mark.parametrize("place", ["nowhere", "127.0.0.1:", "127.0.0.1:99999"])
def test_a_place_that_is_none_is_told(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.ENGINE_VARIABLE, place)
    with pytest.raises(BadSetting, match="as in 127"), exposed_by_engine():
        pass


def test_the_engine_is_not_exposed_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.ENGINE_VARIABLE, "127.0.0.1:0")
    monkeypatch.delenv(metrics.TOKEN_VARIABLE)
    with pytest.raises(BadSetting, match="set PROTEUS_METRICS_TOKEN, too"), exposed_by_engine():
        pass
