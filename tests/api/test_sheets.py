"""Statements as files: each format says what GraphQL says, to whom may see it."""

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from importlib import resources
from typing import Any, NamedTuple

import httpx
import pytest
from lxml import etree
from openpyxl import load_workbook
from pypdf import PdfReader

from application.workspaces import create_workspace
from domain.access import Scope
from projections import sheets
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.test_billing import ENTRY, log
from tests.api.test_contracts import CONTRACT

SAID = """query($c: ID!, $until: Date!, $min: Position) { statement(contract: $c, until: $until) {
  lines(first: 100) { nodes { day seconds billed amount comment ticket { key } person { name } } }
  corrections { nodes { seconds amount } } fees { amount }
  amount tax total opening closing number files { format mediaType url } }
  contracts(minPosition: $min) { totalCount } }"""
NEVER = "2026-01-31"
TERMS: dict[str, Any] = {
    "kind": "PREPAID",
    "currency": "RUB",
    "tax": "20",
    "overageRate": "2500",
    "rounding": {"unit": 360},
    "calendar": {"timeZone": "Europe/Moscow", "eveningFactor": "1.5", "opens": 540, "closes": 1080},
}
UBL = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"


class Scene(NamedTuple):
    """A Russian client with ten hours, and work beyond them; January is closed, and corrected in February."""

    admin: Client
    contact: Client
    contract: str
    tickets: list[Any]


@pytest.fixture(scope="module")
def scene(server: Server, token: Callable[..., Client]) -> Scene:
    workspace = create_workspace(server.database, server.store, "proteus-ooo", "ООО «Протей»")
    admin = token(workspace, Scope.ADMIN, name="Константин Петров")
    contact = token(workspace, Scope.REQUESTER, name="Ирина")
    client = admin.done(
        "addClient", "client { id }", name="ООО «Ромашка»", language="ru", currency="RUB", timeZone="Europe/Moscow"
    )
    admin.done("addContact", "client { id }", client=client["id"], person=contact.person)
    contract = admin.done(
        "agreeContract", CONTRACT, client=client["id"], name="Поддержка", appliesFrom="2026-01-01", terms=TERMS
    )
    admin.done("grantHours", CONTRACT, contract=contract["id"], seconds=36000, validFrom="2026-01-01", price="20000")
    titles = ("=Настройка почты", "Обмен & <b>остатки</b>")
    tickets = [admin.open(title, "TASK", occurredAt="2026-01-01T00:00:00Z") for title in titles]
    for ticket in tickets:
        bind = {"ticket": ticket["id"], "contract": contract["id"], "occurredAt": "2026-01-01T00:00:00Z"}
        admin.done("bindContract", "ticket { key }", **bind)
    log(admin, tickets[1], "2026-01-05T06:00:00Z", 4, comment="Проверил выгрузку;\nостатки сошлись \U0001f600")
    entry = log(admin, tickets[0], "2026-01-07T14:00:00Z", 7.7, comment="+7 писем не дошло\x0b")["workEntry"]["id"]
    admin.done("closePeriod", "statement { number }", contract=contract["id"], until="2026-01-31")
    admin.done("correctWork", ENTRY, workEntry=entry, endedAt="2026-01-07T20:42:00Z", reason="Ошибка")
    log(admin, tickets[0], "2026-02-03T09:00:00Z", 0.5, comment="Перезапуск")
    return Scene(admin, contact, contract["id"], tickets)


def fetched(client: Client, path: str, **more: str) -> httpx.Response:
    return client.http.get(path.removeprefix("https://tickets.example"), headers={**client.headers, **more})


def files(scene: Scene, until: str) -> tuple[Any, dict[str, httpx.Response]]:
    position = scene.admin.ask("{ status { head } }")["head"]
    said = scene.admin.ask(SAID, c=scene.contract, until=until, min=position)["statement"]
    found = {one["format"]: fetched(scene.admin, one["url"]) for one in said["files"]}
    for one in said["files"]:
        assert found[one["format"]].headers["content-type"].split(";")[0] == one["mediaType"]
    return said, found


def money(text: str) -> Decimal:
    return Decimal(re.sub(r"\s", "", text).replace(",", "."))


def of_csv(body: bytes) -> dict[str, Any]:
    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    lines = [row for row in rows if row["kind"] in ("PACKAGE", "WORK", "CORRECTION")]
    by_kind = {row["kind"]: row for row in rows if row not in lines}
    return {
        "amounts": [Decimal(row["amount"]) for row in lines],
        "seconds": [int(row["seconds"]) for row in lines],
        "sums": [Decimal(by_kind[kind]["amount"]) for kind in ("AMOUNT", "TAX", "TOTAL")],
    }


def of_xlsx(body: bytes) -> dict[str, Any]:
    rows = [list(row) for row in load_workbook(io.BytesIO(body)).active.iter_rows(values_only=True)]  # type: ignore[union-attr]
    head = next(n for n, row in enumerate(rows) if row[0] == "За что")
    foot = next(n for n, row in enumerate(rows) if row[0] == "Всего")
    lines = rows[head + 1 : foot]
    sums = {row[0]: row[11] for row in rows[foot:]}
    return {
        "amounts": [round(Decimal(str(row[11])), 2) for row in lines],
        "seconds": [_seconds(row[8]) for row in lines],
        "sums": [round(Decimal(str(sums[name])), 2) for name in (*list(sums)[:2], "Итого")],
    }


def _seconds(cell: Any) -> int:
    """A time of Excel; a negative one is a text."""
    if isinstance(cell, str):
        hours, minutes, *_ = cell.removeprefix("-").split(":")
        return -(int(hours) * 3600 + int(minutes) * 60)
    if isinstance(cell, timedelta):
        return round(cell.total_seconds())
    return (cell.hour * 60 + cell.minute) * 60 + cell.second if hasattr(cell, "hour") else round(float(cell) * 86_400)


def text_of(body: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(body)).pages)


NUMBER = r"-?\d{1,3}(?: \d{3})*,\d\d"


def of_pdf(body: bytes) -> dict[str, Any]:
    """All amounts that stand there, and the sums by their names."""
    text = " ".join(text_of(body).split())
    sums = [re.search(f"{name} ({NUMBER})", text) for name in ("Без налога", f"НДС 20 % от {NUMBER}", "Итого, RUB")]
    return {
        "amounts": [money(found) for found in re.findall(rf"(?<![\d,]){NUMBER}", text)],
        "sums": [money(found[1]) for found in sums if found],
    }


def of_ubl(body: bytes) -> dict[str, Any]:
    root = etree.fromstring(body)
    name = "CreditNote" if root.tag.endswith("}CreditNote") else "Invoice"
    sign = -1 if name == "CreditNote" else 1
    lines = [one for one in root if str(one.tag).endswith(f"}}{name}Line")]
    total = next(one for one in root if str(one.tag).endswith("}LegalMonetaryTotal"))
    tax = next(one for one in root if str(one.tag).endswith("}TaxTotal"))

    def value(of: Any, name: str) -> Decimal:
        return sign * Decimal(of.findtext(f"{UBL}{name}"))

    return {
        "amounts": [value(one, "LineExtensionAmount") for one in lines],
        "sums": [value(total, "TaxExclusiveAmount"), value(tax, "TaxAmount"), value(total, "TaxInclusiveAmount")],
        "root": root,
    }


def schema_errors(body: bytes) -> list[str]:
    """What the schemas of UBL 2.1 by OASIS find."""
    root = etree.fromstring(body)
    name = etree.QName(root).localname
    with resources.as_file(resources.files("peppol") / "schema" / "maindoc" / f"UBL-{name}-2.1.xsd") as path:
        schema = etree.XMLSchema(etree.parse(path))
    schema.validate(root)
    found: Any = schema.error_log
    return [str(error) for error in found]


@pytest.mark.parametrize("until", ["2026-01-31", "2026-02-28"])
def test_every_format_has_the_same_lines_and_totals_as_graphql(scene: Scene, until: str) -> None:
    said, found = files(scene, until)
    assert {one: answer.status_code for one, answer in found.items()} == {
        "PDF": 200,
        "XLSX": 200,
        "CSV": 200,
        "UBL": 200,
    }
    work = sorted(said["lines"]["nodes"], key=lambda one: (one["ticket"]["key"], one["day"]))
    amounts = [Decimal(one["amount"]) for one in (*said["fees"], *work, *said["corrections"]["nodes"])]
    seconds = [0 for _ in said["fees"]] + [one["seconds"] for one in (*work, *said["corrections"]["nodes"])]
    sums = [Decimal(said[name]) for name in ("amount", "tax", "total")]
    assert sum(amounts) == sums[0]
    assert sums[0] + sums[1] == sums[2]
    for name, read in (("CSV", of_csv), ("XLSX", of_xlsx)):
        assert read(found[name].content) == {"amounts": amounts, "seconds": seconds, "sums": sums}, name
    ubl = of_ubl(found["UBL"].content)
    assert (ubl["amounts"], ubl["sums"]) == (amounts, sums)
    pdf = of_pdf(found["PDF"].content)
    assert pdf["sums"] == sums
    shown = list(pdf["amounts"])
    for amount in amounts:
        shown.remove(amount)  # each is there, beside the sums of tickets and of all


def test_a_closed_statement_stays_what_it_was_and_a_draft_follows(scene: Scene) -> None:
    january, _ = files(scene, "2026-01-31")
    february, _ = files(scene, "2026-02-28")
    # January: 4 h, and of 7:42 one hour until 18:00 and 6:42 in the evening, which count 10:03; of these 15:03 ten are
    # in the package; 5:03 that count are 3:22 of evening, at 2500 x 1.5: 12 625. With 20 000 for the package 32 625.
    assert [january[name] for name in ("number", "amount", "tax", "total")] == [1, "32625.00", "6525.00", "39150.00"]
    # It was 6:42: one hour and 5:42, which count 8:33; of 13:33 beyond the package 3:33, 2:22 of evening: 8 875, which
    # is 3 750 less. February has half an hour beyond the package, 1 250.
    assert (february["number"], february["corrections"]["nodes"]) == (None, [{"seconds": -3600, "amount": "-3750.00"}])
    assert [february[name] for name in ("amount", "tax", "total")] == ["-2500.00", "-500.00", "-3000.00"]


def test_ubl_is_valid_and_what_is_given_back_is_a_credit_note(scene: Scene) -> None:
    kinds = []
    for until in ("2026-01-31", "2026-02-28", "2026-03-31"):
        _, found = files(scene, until)
        assert schema_errors(found["UBL"].content) == []
        root = etree.fromstring(found["UBL"].content)
        kinds.append((etree.QName(root).localname, root.findtext(f"{UBL}InvoiceTypeCode")))
        total = next(one for one in root if str(one.tag).endswith("}LegalMonetaryTotal"))
        assert Decimal(total.findtext(f"{UBL}PayableAmount") or "") >= 0
    assert kinds == [("Invoice", "325"), ("CreditNote", None), ("CreditNote", None)]
    broken = found["UBL"].content.replace(b"cbc:IssueDate", b"cbc:IssuedDate")
    assert schema_errors(broken) != []


def test_a_line_s_quantity_times_its_price_is_its_amount(scene: Scene) -> None:
    _, found = files(scene, "2026-01-31")
    for line in of_ubl(found["UBL"].content)["root"].iterfind("{*}InvoiceLine"):
        price = Decimal(line.findtext("{*}Price/{*}PriceAmount")) / Decimal(line.findtext("{*}Price/{*}BaseQuantity"))
        exact = Decimal(line.findtext("{*}InvoicedQuantity")) * price
        assert round(exact, 2) == Decimal(line.findtext("{*}LineExtensionAmount"))


def test_the_pdf_is_in_the_client_s_language_and_its_text_is_found(scene: Scene) -> None:
    _, found = files(scene, "2026-01-31")
    text = " ".join(text_of(found["PDF"].content).split())
    for said in (
        *("Отчёт о работах № 1", "ООО «Протей»", "ООО «Ромашка»", "Поддержка", "01.01.2026 – 31.01.2026"),
        *("Константин Петров", "Проверил выгрузку; остатки сошлись", "Обмен & <b>остатки</b>", "09:00–13:00"),
        *("НДС 20 % от 32 625,00", "6 525,00", "Итого, RUB 39 150,00", "Страница 1 из 1"),
    ):
        assert said in text, (said, text)
    reader = PdfReader(io.BytesIO(found["PDF"].content))
    fonts = reader.pages[0]["/Resources"]["/Font"].values()  # type: ignore[index]
    assert {
        str(font.get_object()["/BaseFont"])[8:] for font in fonts if "+" in str(font.get_object()["/BaseFont"])
    } >= {
        "PTSans-Regular",
        "PTSans-Bold",
    }
    assert reader.metadata is not None
    assert reader.metadata.title == "Отчёт о работах № 1"


def test_an_english_client_reads_english(scene: Scene) -> None:
    admin = scene.admin
    [client] = admin.ask("{ clients { nodes { id } } }")["nodes"]
    for language, total in (("en", "39,150.00"), ("de-CH", "39’150.00")):  # no German words, and German digits
        admin.done("localizeClient", "client { language }", client=client["id"], language=language)
        _, found = files(scene, "2026-01-31")
        text = text_of(found["PDF"].content)
        assert "Statement of work No. 1" in text
        assert total in text
    admin.done("localizeClient", "client { language }", client=client["id"], language="ru")


def test_a_spreadsheet_runs_nothing_that_somebody_wrote(scene: Scene) -> None:
    _, found = files(scene, "2026-01-31")
    rows = list(csv.DictReader(io.StringIO(found["CSV"].content.decode("utf-8-sig"))))
    assert {row["title"] for row in rows} >= {"'=Настройка почты", "Обмен & <b>остатки</b>"}
    assert any(row["comment"].startswith("'+7 писем") for row in rows)
    book = load_workbook(io.BytesIO(found["XLSX"].content))
    cells = [cell for row in book.active.iter_rows() for cell in row if cell.value is not None]  # type: ignore[union-attr]
    assert not [cell.coordinate for cell in cells if cell.data_type == "f"]
    assert any(cell.value == "=Настройка почты" for cell in cells)


def test_who_may_not_see_the_contract_gets_nothing(scene: Scene, server: Server, token: Callable[..., Client]) -> None:
    workspace = create_workspace(server.database, server.store, "sheets-other", "Other")
    stranger = token(workspace, Scope.ADMIN)
    path = f"/documents/statements/{scene.contract}/2026-01-01..2026-01-31.csv"
    own = fetched(scene.contact, path)
    assert own.status_code == 200
    assert own.content == fetched(scene.admin, path).content  # the same to everybody who may have it
    assert "Обмен & <b>остатки</b>" in own.content.decode()
    assert fetched(stranger, path).status_code == 404
    assert scene.admin.http.get(path).status_code == 401
    secure = own.headers
    assert secure["content-disposition"].startswith('attachment; filename="')
    assert secure["content-security-policy"].startswith("default-src 'none'; sandbox")
    assert secure["x-content-type-options"] == "nosniff"
    assert secure["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("{}/2026-01-01..2026-01-31.exe", 404, "NOT_FOUND"),
        ("{}/2026-01-31.pdf", 404, "NOT_FOUND"),
        ("nobody/..2026-01-31.pdf", 404, "NOT_FOUND"),
        ("{}/2026-02-30..2026-03-01.pdf", 400, "BAD_USER_INPUT"),
        ("{}/2026-03-01..2026-01-31.pdf", 400, "BAD_USER_INPUT"),
        ("{}/..9999-12-31.pdf", 400, "BAD_USER_INPUT"),
        ("{}/0000-01-01..2026-01-31.pdf", 400, "BAD_USER_INPUT"),
        ("{}/..2026-01-31.pdf?position=-1", 400, "BAD_USER_INPUT"),
        ("{}/..2026-01-31.csv?position=99999999999999999999", 400, "BAD_USER_INPUT"),
    ],
)
def test_what_is_asked_wrongly_is_told(scene: Scene, path: str, status: int, code: str) -> None:
    answer = fetched(scene.admin, f"/documents/statements/{path.format(scene.contract)}")
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (status, code)


def test_a_fault_of_ours_is_not_told_as_one_of_who_asks(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: object) -> None:
        raise ValueError("not of any day")

    monkeypatch.setattr(sheets, "of_statement", failing)
    assert fetched(scene.admin, f"/documents/statements/{scene.contract}/..2026-01-31.pdf").status_code == 500


def test_a_statement_without_work_is_a_document_too(scene: Scene) -> None:
    for ending in ("pdf", "xlsx", "csv", "xml"):
        answer = fetched(scene.admin, f"/documents/statements/{scene.contract}/2027-01-01..2027-01-31.{ending}")
        assert answer.status_code == 200, ending
    assert "рассказать нечего" in text_of(
        fetched(scene.admin, f"/documents/statements/{scene.contract}/2027-01-01..2027-01-31.pdf").content
    )


def test_the_past_of_a_draft_is_asked_by_position(scene: Scene) -> None:
    path = f"/documents/statements/{scene.contract}/2026-02-01..2026-02-28.csv"
    assert "CORRECTION" in fetched(scene.admin, path).text
    closed = scene.admin.ask('{ events(first: 1, types: ["PeriodClosed"]) { nodes { position } } }')["nodes"]
    assert "CORRECTION" not in fetched(scene.admin, f"{path}?position={closed[0]['position']}").text
