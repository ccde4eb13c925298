"""`proteus billing`: documents at the command line, from a database that nobody serves."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from pypdf import PdfReader

from api.command_line import main
from api.ids import Kind, decode, encode
from api.runtime import HOME_VARIABLE
from application import billing as closing
from application import clients, contracts, documents, tickets, work
from application.event_store.database import DATABASE_VARIABLE, Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.clients import AddClient
from domain.contracts import AgreeContract, BindContract
from domain.documents import Billed, IssueAct, IssueInvoice, RecordPayment
from domain.statements import ClosePeriod, Drawn
from domain.terms import ContractKind, Rate, Terms
from domain.tickets import OpenTicket
from domain.work import LogWork
from projections import billing as statements
from projections.contracts import as_contract
from projections.engine import Session
from projections.reading import ReadModels
from projections.registry import PROJECTIONS
from projections.rows import DrawnStatement

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


@pytest.fixture
def issued(run: Run, database: Database, store: EventStore, workspace: Workspace, contract: str) -> None:
    """An invoice and an act of January, with 16 of 160 paid."""
    until, id_, context = date(2026, 1, 31), decode(contract, Kind.CONTRACT), Context(actor=operator(workspace.id))
    assert run("statement", contract, "--until", until, "-o", "draft.pdf").exit_code == 0  # and all is folded

    async def drawn() -> DrawnStatement:
        async with ReadModels(database, size=1) as models:
            found = await statements.drawn(models.view(context.actor), id_, None, until)
            assert found is not None
            return found

    found = asyncio.run(drawn())
    told = Drawn(
        statement=found.statement,
        contract=as_contract(found.contract),
        known=found.position,
        today=date(2026, 2, 1),
    )
    closing.handle(store, context, ClosePeriod(contract=id_, until=until), told)
    billed = Billed(number=1, statement=found.statement)
    invoice = documents.handle(store, context, IssueInvoice(contract=id_, statement=1), billed).stream
    documents.handle(store, context, IssueAct(contract=id_, statement=1), billed)
    paid = RecordPayment(document=invoice, amount=Decimal(16), paid_on=date(2026, 2, 3))
    documents.handle(store, context, paid)


@pytest.mark.usefixtures("issued")
def test_an_invoice_and_an_act_are_written_by_their_numbers(run: Run, tmp_path: Path) -> None:
    for kind, said in (("invoice", ("Счёт", "16,00")), ("act", ("Акт", "Ромашка"))):
        written = run(kind, 1)
        assert written.exit_code == 0, written.output
        [path] = [one for one in tmp_path.glob("*.pdf") if one.name in written.output]
        text = PdfReader(path).pages[0].extract_text()
        assert all(one in text for one in (*said, "160,00")), text
        printed = run(kind, 1, "--format", "csv", "-o", "-")
        assert printed.output.splitlines()[1].split(",")[-2:] == ["160.00", "EUR"]
    assert run("invoice", 1, "--format", "xml", "-o", "invoice.xml").exit_code == 0


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("invoice", 2), "There is no such document."),
        (("act", 2), "There is no such document."),
        (("invoice", 0), "0 is not in the range"),
        (("act", 1, "--format", "xml"), "UBL has no document for an act"),
        (("invoice", 1, "--workspace", "nowhere"), "nowhere"),
    ],
)
def test_a_document_that_cannot_be_written_is_one_sentence(run: Run, arguments: tuple[Any, ...], said: str) -> None:
    refused = run(*arguments)
    assert refused.exit_code in (1, 2)
    assert isinstance(refused.exception, SystemExit)
    assert said in refused.output


def test_what_another_process_is_about_to_fold_is_waited_for(run: Run, database: Database, contract: str) -> None:
    with Session(database, {one.name: one for one in PROJECTIONS}) as elsewhere:
        elsewhere.acquire()
        later = threading.Timer(1.0, elsewhere.catch_up)
        later.start()
        printed = run("statement", "поддержка", "--until", "2026-01-31", "--format", "csv", "-o", "-")
        later.join()
    assert printed.exit_code == 0, printed.output
    assert printed.output.splitlines()[1].split(",")[-2:] == ["160.00", "EUR"]


@pytest.mark.parametrize("days", [("--until", "9999-12-31"), ("--since", "2026-02-01", "--until", "2026-01-31")])
def test_days_that_nothing_can_be_told_of_are_one_sentence(run: Run, contract: str, days: tuple[str, ...]) -> None:
    refused = run("statement", contract, *days)
    assert (refused.exit_code, type(refused.exception)) == (1, SystemExit)
    assert "day" in refused.output
