"""Which formats there are, and what a file of each is called."""

import re
from collections.abc import Callable
from enum import StrEnum

import msgspec

from api.sheets.csv_format import as_csv
from api.sheets.pdf_format import as_pdf
from api.sheets.ubl_format import as_ubl
from api.sheets.words import reader
from api.sheets.xlsx_format import as_xlsx
from domain.files import file_name
from domain.sheets import Sheet, SheetKind

NAME_LIMIT = 100
"""Characters of a client's name in the name of a file."""


class SheetFormat(StrEnum):
    PDF = "PDF"
    XLSX = "XLSX"
    CSV = "CSV"
    UBL = "UBL"


class Format(msgspec.Struct, frozen=True):
    ending: str
    media_type: str
    render: Callable[[Sheet], bytes]


FORMATS: dict[SheetFormat, Format] = {
    SheetFormat.PDF: Format("pdf", "application/pdf", as_pdf),
    SheetFormat.XLSX: Format("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", as_xlsx),
    SheetFormat.CSV: Format("csv", "text/csv", as_csv),
    SheetFormat.UBL: Format("xml", "application/xml", as_ubl),
}

BY_ENDING = {one.ending: one for one in FORMATS.values()}


def formats_of(kind: SheetKind) -> list[SheetFormat]:
    """An act has no form in UBL."""
    return [one for one in SheetFormat if kind is not SheetKind.ACT or one is not SheetFormat.UBL]


def named(sheet: Sheet, ending: str) -> str:
    """As a person would call the file, in the client's language."""
    words = reader(sheet.language).words
    of = words.draft if sheet.number is None else str(sheet.number)
    buyer = re.sub(r"[/\\]", "_", sheet.buyer)[:NAME_LIMIT]
    return file_name(f"{words.kinds[sheet.kind]} {of} {buyer} {sheet.until}.{ending}")
