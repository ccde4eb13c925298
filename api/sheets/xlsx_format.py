"""A sheet as an Excel workbook, in the client's language: numbers are numbers, hours are times, texts are never
formulas."""

import io
from datetime import UTC, datetime
from typing import Any

from xlsxwriter import Workbook  # pyright: ignore[reportMissingTypeStubs]

from api.sheets.words import reader
from domain.money import DIGITS
from domain.sheets import Item, Sheet

DAY = 86_400
TEXT_LIMIT = 32_767
"""Characters that a cell holds."""
_WIDTHS = (24, 10, 36, 12, 14, 24, 50, 16, 12, 12, 12, 14)


def as_xlsx(sheet: Sheet) -> bytes:
    stream = io.BytesIO()
    book: Any = Workbook(stream, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    book.set_properties({"title": reader(sheet.language).title(sheet), "created": datetime.now(UTC)})
    page = _Page(book, sheet)
    page.write()
    if sheet.compared:
        page.compare()
    book.close()
    return stream.getvalue()


class _Page:
    def __init__(self, book: Any, sheet: Sheet) -> None:
        self._book, self._sheet, self._reads = book, sheet, reader(sheet.language)
        self._page = book.add_worksheet(self._reads.words.kinds[sheet.kind][:31])
        digits = DIGITS[sheet.currency]
        money = "#,##0" + ("." + "0" * digits if digits else "")
        make = book.add_format
        self._bold = make({"bold": True})
        self._title = make({"bold": True, "font_size": 16})
        self._head = make({"bold": True, "bg_color": "#E8EEF4", "bottom": 1, "text_wrap": True, "valign": "top"})
        self._text = make({"text_wrap": True, "valign": "top"})
        self._day = make({"num_format": "dd.mm.yyyy", "valign": "top", "align": "left"})
        self._hours = make({"num_format": "[h]:mm:ss", "valign": "top"})
        self._rate = make({"num_format": "#,##0.######", "valign": "top"})
        self._money = make({"num_format": money, "valign": "top"})
        self._sum = make({"num_format": money, "bold": True, "top": 1})
        self._sum_hours = make({"num_format": "[h]:mm:ss", "bold": True, "top": 1})

    def write(self) -> None:
        for column, width in enumerate(_WIDTHS):
            self._page.set_column(column, column, width)
        self._page.set_landscape()
        self._page.set_paper(9)  # A4
        self._page.fit_to_pages(1, 0)
        row = self._top()
        head = row
        for column, word in enumerate(self._heads()):
            self._page.write_string(row, column, word, self._head)
        self._page.freeze_panes(row + 1, 0)
        self._page.repeat_rows(row)
        for item in self._sheet.items:
            row += 1
            self._item(row, item)
        self._page.autofilter(head, 0, row, len(_WIDTHS) - 1)
        self._bottom(row + 1)

    def _top(self) -> int:
        sheet, reads = self._sheet, self._reads
        words = reads.words
        self._page.write_string(0, 0, reads.title(sheet), self._title)
        said = [
            (words.seller, sheet.seller),
            (words.buyer, sheet.buyer),
            (words.contract, sheet.contract),
            (words.period, f"{reads.day(sheet.since)} – {reads.day(sheet.until)}"),
            (words.currency, sheet.currency),
            *([(words.issued_on, reads.day(sheet.issued_on))] if sheet.issued_on else []),
            *([(words.due_on, reads.day(sheet.due_on))] if sheet.due_on else []),
        ]
        for row, (name, value) in enumerate(said, start=1):
            self._page.write_string(row, 0, name, self._bold)
            self._page.write_string(row, 1, value)
        return len(said) + 2

    def _heads(self) -> tuple[str, ...]:
        words = self._reads.words
        return (
            *(words.what, words.ticket, words.title, words.day, words.time, words.person, words.comment),
            *("", words.worked, words.billed, words.rate, words.amount),
        )

    def _item(self, row: int, item: Item) -> None:
        reads = self._reads
        words = reads.words
        times = reads.span(item.started_at, item.ended_at) if item.started_at and item.ended_at else ""
        texts = {
            0: words.items[item.kind],
            1: item.ticket,
            2: item.title,
            4: times,
            5: item.person,
            6: item.comment,
            7: words.treatments[item.treatment] if item.treatment else "",
        }
        for column, text in texts.items():
            if text:
                self._page.write_string(row, column, text[:TEXT_LIMIT], self._text)
        if item.day is not None:
            self._page.write_datetime(row, 3, datetime(item.day.year, item.day.month, item.day.day), self._day)  # noqa: DTZ001
        self._seconds(row, 8, item.seconds, self._hours)
        self._seconds(row, 9, item.billed, self._hours)
        if item.rate is not None:
            self._page.write_number(row, 10, item.rate, self._rate)
        self._page.write_number(row, 11, item.amount, self._money)

    def _seconds(self, row: int, column: int, seconds: int, format: Any) -> None:
        """As a time; negative ones as text, which Excel has no times for."""
        if seconds < 0:
            self._page.write_string(row, column, self._reads.duration(seconds), format)
        else:
            self._page.write_number(row, column, seconds / DAY, format)

    def _bottom(self, row: int) -> None:
        sheet, words = self._sheet, self._reads.words
        self._page.write_string(row, 0, words.in_all, self._bold)
        self._seconds(row, 8, sheet.seconds, self._sum_hours)
        self._seconds(row, 9, sheet.billed, self._sum_hours)
        self._page.write_number(row, 11, sheet.amount, self._sum)
        sums: list[tuple[str, Any]] = [*self._taxes(), (words.total, sheet.total)]
        if sheet.paid is not None:
            sums += [(words.paid, sheet.paid), (words.to_pay, sheet.total - sheet.paid)]
        for name, amount in sums:
            row += 1
            self._page.write_string(row, 0, name, self._bold)
            self._page.write_number(row, 11, amount, self._sum)
        for name, seconds in ((words.opening, sheet.opening), (words.closing, sheet.closing)):
            if seconds is not None:
                row += 1
                self._page.write_string(row, 0, name, self._bold)
                self._seconds(row, 9, seconds, self._hours)

    def compare(self) -> None:
        """Estimates, on a sheet of their own."""
        words = self._reads.words
        page = self._book.add_worksheet(words.estimated)
        heads = (words.ticket, words.title, words.estimated, "", words.fact, words.estimated_price, "", words.amount)
        for column, (word, width) in enumerate(zip(heads, (10, 40, 12, 12, 12, 14, 14, 14), strict=True)):
            page.set_column(column, column, width)
            page.write_string(0, column, word, self._head)
        for row, one in enumerate(self._sheet.compared, start=1):
            page.write_string(row, 0, one.ticket)
            page.write_string(row, 1, one.title)
            for column, seconds in ((2, one.least_seconds), (3, one.most_seconds), (4, one.seconds)):
                page.write_number(row, column, seconds / DAY, self._hours)
            for column, amount in ((5, one.least_price), (6, one.most_price), (7, one.amount)):
                if amount is not None:
                    page.write_number(row, column, amount, self._money)

    def _taxes(self) -> list[tuple[str, Any]]:
        sheet, reads = self._sheet, self._reads
        return [
            (reads.words.tax.format(rate=reads.number(one.rate), base=reads.money(one.base, sheet.currency)), one.tax)
            for one in sheet.taxes
            if one.rate
        ]
