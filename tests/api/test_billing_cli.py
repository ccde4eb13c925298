"""`proteus billing`: documents at the command line, from a database that nobody serves."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from pypdf import PdfReader

from api.command_line import main
from api.ids import Kind, encode
from api.runtime import DATABASE_VARIABLE, HOME_VARIABLE
from application import clients, contracts, tickets, work
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.clients import AddClient
from domain.contracts import AgreeContract, BindContract
from domain.terms import ContractKind, Rate, Terms
from domain.tickets import OpenTicket
from domain.work import LogWork

Run = Callable[..., Result]
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def contract(store: EventStore, workspace: Workspace) -> str:
    """With two hours in January at 80; nobody has folded anything of it."""
    context = Context(actor=operator(workspace.id), occurred_at=BEGAN)
    added = AddClient(name="Ромашка", language="ru", currency="EUR", time_zone="UTC")
    client = clients.handle(store, context, added).stream
    terms = Terms(kind=ContractKind.TIME_AND_MATERIALS, currency="EUR", rates=(Rate(per_hour=Decimal(80)),))
    agreed = AgreeContract(client=client, name="Поддержка", terms=terms, applies_from=BEGAN.date())
    contract = contracts.handle(store, context, agreed).stream
    ticket = tickets.handle(store, context, OpenTicket(title="Почта", role="TASK")).stream
    contracts.handle(store, context, BindContract(ticket=ticket, contract=contract))
    worked = LogWork(ticket=ticket, started_at=datetime(2026, 1, 5, 9, tzinfo=UTC), seconds=7_200, comment="Настроил")
    work.handle(store, context, worked)
    return encode(Kind.CONTRACT, contract)


@pytest.fixture
def run(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["billing", *(str(one) for one in arguments)])


def test_a_statement_is_written_by_the_contract_s_name_or_id(run: Run, contract: str, tmp_path: Path) -> None:
    written = run("statement", "поддержка", "--until", "2026-01-31")
    assert (written.exit_code, written.output) == (
        0,
        "Written to Отчёт о работах Черновик Ромашка 2026-01-31.pdf.\n",
    )
    text = PdfReader(tmp_path / "Отчёт о работах Черновик Ромашка 2026-01-31.pdf").pages[0].extract_text()
    assert "Настроил" in text
    assert "160,00" in text
    printed = run("statement", contract, "--since", "2026-01-01", "--until", "2026-01-31", "--format", "csv", "-o", "-")
    assert printed.output.splitlines()[1].split(",")[-2:] == ["160.00", "EUR"]
    assert run("statement", contract, "--until", "2026-01-31", "--format", "xml", "-o", "a.xml").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".part") == []


def test_what_cannot_be_written_is_one_sentence(run: Run, contract: str, tmp_path: Path) -> None:
    for arguments, said in (
        (("statement", "Nobody", "--until", "2026-01-31"), "No contract has the name 'Nobody'"),
        (("statement", contract, "--until", "yesterday"), "yesterday"),
        (
            ("statement", contract, "--until", "2026-01-31", "-o", tmp_path / "no" / "x.pdf"),
            "No such file",
        ),
        (("statement", encode(Kind.CONTRACT, UUID(int=7)), "--until", "2026-01-31"), "no such document"),
    ):
        refused = run(*arguments)
        assert refused.exit_code in (1, 2)
        assert isinstance(refused.exception, SystemExit)
        assert said in refused.output
