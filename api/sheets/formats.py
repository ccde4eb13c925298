"""Which formats there are, and what a file of each is called."""

import pkgutil
import re
from enum import StrEnum

import msgspec

from api.sheets.words import reader
from domain.files import file_name
from domain.sheets import Sheet, SheetKind

NAME_LIMIT = 100
"""Characters of a client's name in the name of a file."""


class SheetFormat(StrEnum):
    PDF = "PDF"
    XLSX = "XLSX"
    CSV = "CSV"
    UBL = "UBL"


class NotWritten(Exception):
    """This format has no file for this sheet, and says why."""


class Format(msgspec.Struct, frozen=True):
    """`writer`: what makes a file, as module:function. It brings its library with the first file: a server that starts
    waits for none of them."""

    ending: str
    media_type: str
    writer: str

    def render(self, sheet: Sheet) -> bytes:
        """Raises NotWritten."""
        body: bytes = pkgutil.resolve_name(self.writer)(sheet)
        return body


FORMATS: dict[SheetFormat, Format] = {
    SheetFormat.PDF: Format("pdf", "application/pdf", "api.sheets.pdf_format:as_pdf"),
    SheetFormat.XLSX: Format(
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "api.sheets.xlsx_format:as_xlsx",
    ),
    SheetFormat.CSV: Format("csv", "text/csv", "api.sheets.csv_format:as_csv"),
    SheetFormat.UBL: Format("xml", "application/xml", "api.sheets.ubl_format:as_ubl"),
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
