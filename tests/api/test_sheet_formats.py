"""Sheets as files, of what rarely comes: long tables, hostile texts, currencies without cents, hours at the edges."""

import io
import subprocess
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from lxml import etree
from openpyxl import load_workbook
from pypdf import PdfReader

from api.sheets.csv_format import as_csv
from api.sheets.formats import NotWritten, named
from api.sheets.pdf_format import _wide, as_pdf
from api.sheets.ubl_format import as_ubl
from api.sheets.words import reader
from api.sheets.xlsx_format import as_xlsx
from domain.billing import Treatment
from domain.money import TaxShare
from domain.sheets import Compared, Item, ItemKind, Sheet, SheetKind
from tests.api.test_sheets import schema_errors

MOSCOW = ZoneInfo("Europe/Moscow")


def an_item(n: int = 0, **more: Any) -> Item:
    started = datetime(2026, 1, 1, 9, tzinfo=MOSCOW) + timedelta(hours=n)
    return Item(
        **{
            "kind": ItemKind.WORK,
            "ticket": f"T-{n // 40 + 1}",
            "title": "Почта",
            "day": started.date(),
            "started_at": started,
            "ended_at": started + timedelta(minutes=50),
            "person": "Анна",
            "comment": f"Запись {n}",
            "treatment": Treatment.CHARGED,
            "seconds": 3000,
            "billed": 3600,
            "rate": Decimal(100),
            "amount": Decimal("100.00"),
            "tax": Decimal(20),
            **more,
        }
    )


def a_sheet(*items: Item, **more: Any) -> Sheet:
    amount = sum((one.amount for one in items), Decimal(0))
    tax = round(amount / 5, 2)
    return Sheet(
        **{
            "kind": SheetKind.STATEMENT,
            "number": 7,
            "seller": "Протей",
            "buyer": "Ромашка",
            "contract": "Поддержка",
            "language": "ru",
            "currency": "RUB",
            "since": date(2026, 1, 1),
            "until": date(2026, 1, 31),
            "items": items,
            "taxes": (TaxShare(rate=Decimal(20), base=amount, tax=tax),) if items else (),
            "amount": amount,
            "tax": tax,
            **more,
        }
    )


def pages(sheet: Sheet) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(as_pdf(sheet))).pages]


def test_who_sets_a_pdf_remembers_no_word_of_it() -> None:
    as_pdf(a_sheet(an_item(comment="Настроил почту Анне")))
    assert _wide.cache_info().currsize == 0


def test_a_long_table_repeats_its_headings_and_counts_its_pages() -> None:
    told = pages(a_sheet(*(an_item(n) for n in range(120))))
    assert len(told) > 4
    for n, page in enumerate(told, start=1):
        assert f"Страница {n} из {len(told)}" in page
    tables = [page for page in told if "Запись" in page]
    for page in tables:
        assert "Специалист" in page
        assert "T-" in page.split("Запись")[0]  # whose lines go on is said again
    everything = "\n".join(told)
    assert [n for n in range(120) if f"Запись {n}\n" not in everything] == []


@pytest.mark.parametrize("kind", list(SheetKind))
def test_texts_that_fit_nowhere_are_set_all_the_same(kind: SheetKind) -> None:
    worst = "W" * 5_000
    item = an_item(comment=worst, person="W" * 300, title="W" * 300)
    sheet = a_sheet(item, an_item(1, comment="\n" * 3_000 + "Конец"), kind=kind, buyer="W" * 300, contract="Щ" * 300)
    assert 1 < len(pages(sheet)) < 6
    assert worst in as_csv(sheet).decode("utf-8-sig")
    assert load_workbook(io.BytesIO(as_xlsx(sheet))).active is not None


@pytest.mark.parametrize("text", ["<b>&amp;", "]]>", "\x0b\ufffe\U0001f600", "日本語 ۱۲۳", "-- = @", "{page} %s"])
def test_no_text_breaks_a_format(text: str) -> None:
    sheet = a_sheet(an_item(comment=text, title=text, person=text), buyer=text, seller=text, contract=text)
    shown = "".join(c for c in text if c not in "\x0b\ufffe")
    assert schema_errors(as_ubl(sheet)) == []
    assert etree.fromstring(as_ubl(sheet)).findtext(".//{*}Note") == shown
    assert text in as_csv(sheet).decode("utf-8-sig") or f"'{text}" in as_csv(sheet).decode("utf-8-sig")
    assert len(pages(sheet)) == 1
    assert load_workbook(io.BytesIO(as_xlsx(sheet))).active is not None


@pytest.mark.parametrize(("currency", "shown"), [("JPY", "1,235"), ("EUR", "1,234.50"), ("KWD", "1,234.500")])
def test_amounts_have_the_decimals_of_their_currency(currency: str, shown: str) -> None:
    reads = reader("en")
    amount = Decimal("1234.50") if currency != "JPY" else Decimal(1235)
    assert reads.money(amount, currency) == shown
    sheet = a_sheet(an_item(amount=amount), currency=currency, language="en")
    assert schema_errors(as_ubl(sheet)) == []
    assert shown in "".join(pages(sheet))
    assert f"{amount:f}" in as_csv(sheet).decode("utf-8-sig")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59, "0:00:59"), (3_600, "1:00"), (-5_430, "-1:30:30"), (360_000, "100:00")]
)
def test_hours_are_told_to_the_second_where_there_are_some(seconds: int, shown: str) -> None:
    assert reader("ru").duration(seconds) == shown


def test_midnight_ends_a_day() -> None:
    evening = datetime(2026, 1, 31, 23, 30, tzinfo=MOSCOW)
    reads = reader("ru")
    assert reads.span(evening, evening + timedelta(minutes=30)) == "23:30–24:00"
    assert reads.span(evening - timedelta(hours=23, minutes=30), evening) == "00:00–23:30"


@pytest.mark.parametrize(
    ("language", "shown"), [("ru", "31.01.2026"), ("en", "31 Jan 2026"), ("fr", "31 janv. 2026"), ("xx", "31 Jan 2026")]
)
def test_days_are_written_as_the_language_does(language: str, shown: str) -> None:
    assert reader(language).day(date(2026, 1, 31)) == shown


def test_a_name_is_what_a_person_would_call_the_file() -> None:
    assert (
        named(a_sheet(an_item(), buyer='ООО "Ромашка"/..\\x'), "pdf")
        == "Отчёт о работах 7 ООО _Ромашка__.._x 2026-01-31.pdf"
    )
    assert named(a_sheet(an_item(), number=None), "csv") == "Отчёт о работах Черновик Ромашка 2026-01-31.csv"


def test_estimates_stand_below_the_lines() -> None:
    compared = Compared(
        ticket="T-1",
        title="Почта",
        least_seconds=3_600,
        most_seconds=7_200,
        least_price=Decimal("100.00"),
        most_price=Decimal("200.00"),
        seconds=9_000,
        amount=Decimal("250.00"),
    )
    text = " ".join("".join(pages(a_sheet(an_item(), compared=(compared,)))).split())
    assert "T-1 Почта 1:00 – 2:00 2:30 100,00 – 200,00 250,00" in text


def test_an_act_has_places_to_sign_and_no_form_in_ubl() -> None:
    act = a_sheet(an_item(), kind=SheetKind.ACT)
    text = "".join(pages(act))
    assert "Акт выполненных работ № 7" in text
    assert text.count("Подпись ____") == 2
    with pytest.raises(NotWritten):
        as_ubl(act)


def test_more_lines_than_a_pdf_is_made_of_are_refused() -> None:
    with pytest.raises(NotWritten):
        as_pdf(a_sheet(*([an_item()] * 10_001)))


def test_a_server_that_starts_waits_for_no_library_of_a_format() -> None:
    code = "import sys, api.app, api.sheet_files; print({'reportlab', 'xlsxwriter'} & sys.modules.keys())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    assert answer.stdout == "set()\n"
