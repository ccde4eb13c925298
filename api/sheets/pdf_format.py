"""A sheet as PDF, in the client's language: A4, tables over many pages with their headings, page numbers.

The font is PT Sans, which has Latin and Cyrillic; what a document uses of it is embedded.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    NextPageTemplate,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from api.sheets.formats import NotWritten
from api.sheets.words import Reader, reader
from domain.sheets import Item, ItemKind, Sheet, SheetKind, by_ticket, summed

LINES_LIMIT = 10_000
COMMENT_LIMIT = 1_000
"""Characters of a comment that are shown: more would not fit on a page. CSV and XLSX have all of them."""

_FONTS = Path(__file__).parents[1] / "fonts"
_REGULAR, _BOLD = "PT Sans", "PT Sans Bold"
_INK, _GREY, _RULE, _SHADE = HexColor("#1d2733"), HexColor("#66727f"), HexColor("#c5cfd9"), HexColor("#edf2f7")
_MARGIN, _FOOT = 18 * mm, 14 * mm
_HEADS = 9 * mm
_SIDE = 1.5 * mm
_BETWEEN = 2 * _SIDE
_SIZE = 8.5


def as_pdf(sheet: Sheet) -> bytes:
    """Raises NotWritten."""
    if len(sheet.items) > LINES_LIMIT:
        raise NotWritten(f"A PDF has {LINES_LIMIT:,} lines at most. Ask for fewer days, or for CSV or XLSX.")
    _register()
    stream = io.BytesIO()
    try:
        _Paper(sheet).write(stream)
    finally:
        _wide.cache_clear()  # the words may be of somebody who is erased later
    return stream.getvalue()


@lru_cache(1)
def _register() -> None:
    fonts: Any = pdfmetrics
    fonts.registerFont(TTFont(_REGULAR, _FONTS / "PT_Sans-Web-Regular.ttf"))
    fonts.registerFont(TTFont(_BOLD, _FONTS / "PT_Sans-Web-Bold.ttf"))
    fonts.registerFontFamily(_REGULAR, normal=_REGULAR, bold=_BOLD, italic=_REGULAR, boldItalic=_BOLD)


def _style(size: float, **more: Any) -> ParagraphStyle:
    return ParagraphStyle("", fontName=_REGULAR, fontSize=size, leading=size * 1.3, textColor=_INK, **more)


_TEXT, _SMALL, _RIGHT = _style(9), _style(8.5), _style(9, alignment=TA_RIGHT)
_NAME = _style(8)
_NAME.textColor = _GREY
_TITLE = _style(19, spaceAfter=2 * mm)
_SECTION = _style(11, spaceBefore=7 * mm, spaceAfter=2 * mm)


class _Paper:
    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._reads: Reader = reader(sheet.language)
        self._detailed = sheet.kind is SheetKind.STATEMENT
        size = landscape(A4) if self._detailed else A4
        self._width, self._height = size[0] - 2 * _MARGIN, size[1]
        self._size = size
        self._columns = _detailed(self._width) if self._detailed else _short(self._width)

    def write(self, stream: io.BytesIO) -> None:
        sheet = self._sheet
        document = BaseDocTemplate(
            stream,
            pagesize=self._size,
            title=self._reads.title(sheet),
            author=sheet.seller,
            creator="Proteus",
            lang=self._reads.locale.language,
        )
        top = self._height - _MARGIN
        plain = Frame(_MARGIN, _MARGIN, self._width, top - _MARGIN, 0, 0, 0, 0, id="plain")
        under_heads = Frame(_MARGIN, _MARGIN, self._width, top - _MARGIN - _HEADS, 0, 0, 0, 0, id="under")
        document.addPageTemplates(
            [
                PageTemplate("first", plain),
                PageTemplate("lines", under_heads, onPage=self._repeat_heads),
                PageTemplate("last", plain),
            ]
        )
        document.build(self._story(), canvasmaker=self._canvas)

    def _story(self) -> list[Flowable]:
        story: list[Flowable] = [*self._top(), NextPageTemplate("lines")]
        if self._sheet.items:
            story += [self._heads(), *self._lines()]
        else:
            story.append(Paragraph(escape(self._reads.words.nothing), _TEXT))
        return [*story, NextPageTemplate("last"), *self._bottom()]

    # ---- what stands above

    def _top(self) -> list[Flowable]:
        sheet, reads = self._sheet, self._reads
        words = reads.words
        left = [(words.seller, sheet.seller), (words.buyer, sheet.buyer), (words.contract, sheet.contract)]
        right = [(words.period, f"{reads.day(sheet.since)} – {reads.day(sheet.until)}")]
        if sheet.statement is not None:
            right.append((words.statement, f"{words.number} {sheet.statement}"))
        if sheet.issued_on is not None:
            right.append((words.issued_on, reads.day(sheet.issued_on)))
        if sheet.due_on is not None:
            right.append((words.due_on, reads.day(sheet.due_on)))
        right.append((words.currency, sheet.currency))
        half = self._width / 2
        table = Table([[_named(left, half), _named(right, half)]], colWidths=[half, half])
        table.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
        return [Paragraph(f"<b>{escape(reads.title(sheet))}</b>", _TITLE), table, Spacer(0, 5 * mm)]

    # ---- the lines

    def _head_cells(self) -> list[str]:
        words = self._reads.words
        if self._detailed:
            return [
                *(words.day, words.time, words.person, words.comment),
                *(words.worked, words.billed, words.rate, words.amount),
            ]
        return [words.what, words.worked, words.billed, words.amount]

    def _heads(self) -> Table:
        table = Table([self._head_cells()], colWidths=self._columns, rowHeights=[_HEADS - 2 * mm])
        table.setStyle(
            [
                *_cells(len(self._columns), self._words_columns),
                ("FONT", (0, 0), (-1, -1), _BOLD, 8.5),
                ("BACKGROUND", (0, 0), (-1, -1), _SHADE),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ]
        )
        return table

    @property
    def _words_columns(self) -> int:
        """How many columns, from the left, are words and not numbers."""
        return 4 if self._detailed else 1

    def _repeat_heads(self, canvas: Canvas, document: BaseDocTemplate) -> None:
        heads = self._heads()
        size = heads.wrapOn(canvas, self._width, self._height)
        heads.drawOn(canvas, _MARGIN, self._height - _MARGIN - size[1])

    def _lines(self) -> list[Flowable]:
        if self._detailed:
            return [self._group(group) for group in by_ticket(self._sheet.items)]
        return [self._table([self._short_row(item) for item in self._sheet.items])]

    def _group(self, group: Sequence[Item]) -> Table:
        """A ticket's lines under its name, which is repeated where they go on on another page."""
        of_all = summed(group)
        name = f"<b>{escape(self._what(of_all))}</b>"
        reads, currency = self._reads, self._sheet.currency
        worked = reads.duration(of_all.seconds) if of_all.seconds else ""
        billed = reads.duration(of_all.billed) if of_all.billed else ""
        head = [Paragraph(name, _TEXT), "", "", "", worked, billed, "", reads.money(of_all.amount, currency)]
        rows = [head, *(self._detailed_row(item) for item in group)]
        table = self._table(rows, repeatRows=1)
        table.setStyle(
            [
                ("SPAN", (0, 0), (3, 0)),
                ("FONT", (0, 0), (-1, 0), _BOLD, 9),
                ("TOPPADDING", (0, 0), (-1, 0), 3 * mm),
                ("LINEBELOW", (0, 0), (-1, 0), 0.6, _GREY),
            ]
        )
        return table

    def _detailed_row(self, item: Item) -> list[Any]:
        reads = self._reads
        words = reads.words
        rate = reads.number(item.rate) if item.rate is not None else ""
        if not rate and item.treatment is not None:
            rate = words.treatments[item.treatment]
        return [
            reads.day(item.day) if item.day else "",
            reads.span(item.started_at, item.ended_at) if item.started_at and item.ended_at else "",
            _broken(item.person, self._columns[2] - _BETWEEN),
            _broken(_shortened(item.comment), self._columns[3] - _BETWEEN),
            reads.duration(item.seconds) if item.seconds else "",
            reads.duration(item.billed) if item.billed else "",
            rate,
            reads.money(item.amount, self._sheet.currency),
        ]

    def _short_row(self, item: Item) -> list[Any]:
        reads = self._reads
        return [
            Paragraph(escape(self._what(item)), _TEXT),
            reads.duration(item.seconds) if item.seconds else "",
            reads.duration(item.billed) if item.billed else "",
            reads.money(item.amount, self._sheet.currency),
        ]

    def _what(self, item: Item) -> str:
        kind = self._reads.words.items[item.kind]
        named = f"{item.ticket} {item.title}".strip()
        if item.kind is ItemKind.WORK and named:
            return named
        return f"{kind}: {named}" if named else kind

    def _table(self, rows: list[list[Any]], **more: Any) -> Table:
        table = Table(rows, colWidths=self._columns, **more)
        table.setStyle([*_cells(len(self._columns), self._words_columns), ("LINEBELOW", (0, 0), (-1, -1), 0.25, _RULE)])
        return table

    # ---- what stands below

    def _bottom(self) -> list[Flowable]:
        story: list[Flowable] = [Spacer(0, 4 * mm), KeepTogether([self._sums()])]
        if self._sheet.compared:
            story += self._compared()
        if self._sheet.kind is not SheetKind.STATEMENT:
            story.append(KeepTogether(self._signatures()))
        return story

    def _sums(self) -> Table:
        sheet, reads = self._sheet, self._reads
        words, currency = reads.words, sheet.currency
        rows = [(words.in_all, f"{reads.duration(sheet.billed)} {words.hours}")] if sheet.billed else []
        for name, seconds in ((words.opening, sheet.opening), (words.closing, sheet.closing)):
            if seconds is not None and (sheet.opening or sheet.closing):
                rows.append((name, f"{reads.duration(seconds)} {words.hours}"))
        rows.append((words.without_tax, reads.money(sheet.amount, currency)))
        for one in (share for share in sheet.taxes if share.rate):
            said = words.tax.format(rate=reads.number(one.rate), base=reads.money(one.base, currency))
            rows.append((said, reads.money(one.tax, currency)))
        total = len(rows)
        rows.append((f"{words.total}, {currency}", reads.money(sheet.total, currency)))
        if sheet.paid is not None:
            rows.append((words.paid, reads.money(sheet.paid, currency)))
            rows.append((words.to_pay, reads.money(sheet.total - sheet.paid, currency)))
        table = Table(rows, colWidths=[70 * mm, 34 * mm], hAlign="RIGHT")
        table.setStyle(
            [
                *_cells(2, 1),
                ("FONT", (0, total), (-1, total), _BOLD, 11),
                ("LINEABOVE", (0, total), (-1, total), 0.8, _INK),
                ("TOPPADDING", (0, total), (-1, total), 2 * mm),
            ]
        )
        return table

    def _compared(self) -> list[Flowable]:
        reads, currency = self._reads, self._sheet.currency
        words = reads.words
        rows: list[list[Any]] = [[words.ticket, words.estimated, words.fact, words.estimated_price, words.amount]]
        for one in self._sheet.compared:
            hours = _range(reads.duration(one.least_seconds), reads.duration(one.most_seconds))
            price = ""
            if one.least_price is not None and one.most_price is not None:
                price = _range(reads.money(one.least_price, currency), reads.money(one.most_price, currency))
            named = Paragraph(escape(f"{one.ticket} {one.title}"), _SMALL)
            rows.append([named, hours, reads.duration(one.seconds), price, reads.money(one.amount, currency)])
        rest = [30 * mm, 24 * mm, 46 * mm, 30 * mm]
        table = Table(rows, colWidths=[self._width - sum(rest), *rest], repeatRows=1)
        table.setStyle(
            [
                *_cells(5, 1),
                ("FONT", (0, 0), (-1, 0), _BOLD, 8.5),
                ("BACKGROUND", (0, 0), (-1, 0), _SHADE),
                ("LINEBELOW", (0, 0), (-1, -1), 0.25, _RULE),
            ]
        )
        return [Paragraph(f"<b>{escape(words.compared)}</b>", _SECTION), table]

    def _signatures(self) -> list[Flowable]:
        sheet, words = self._sheet, self._reads.words
        half = self._width / 2
        parties = ((words.seller, sheet.seller), (words.buyer, sheet.buyer))
        rows: list[list[Any]] = [
            [Paragraph(escape(f"{role}: {name}"), _TEXT) for role, name in parties],
            [f"{words.signature} ______________________"] * 2,
        ]
        table = Table(rows, colWidths=[half, half], rowHeights=[None, 14 * mm])
        table.setStyle(
            [
                ("FONT", (0, 0), (-1, -1), _REGULAR, 9),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
            ]
        )
        says = [Paragraph(escape(words.act_says), _TEXT)] if sheet.kind is SheetKind.ACT else []
        return [Spacer(0, 10 * mm), *says, Spacer(0, 6 * mm), table]

    # ---- pages

    def _canvas(self, *args: Any, **more: Any) -> Canvas:
        return _Numbered(*args, said=self._page_said, **more)

    def _page_said(self, canvas: Canvas, page: int, pages: int) -> None:
        canvas.setFont(_REGULAR, 8)
        canvas.setFillColor(_GREY)
        canvas.drawString(_MARGIN, _FOOT - 4 * mm, self._reads.title(self._sheet))
        canvas.drawRightString(
            _MARGIN + self._width, _FOOT - 4 * mm, self._reads.words.page.format(page=page, pages=pages)
        )


class _Numbered(Canvas):
    """Keeps its pages until it knows how many there are."""

    def __init__(self, *args: Any, said: Any, **more: Any) -> None:
        super().__init__(*args, **more)  # pyright: ignore[reportUnknownMemberType]
        self._said = said
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:
        self._pages.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]

    def save(self) -> None:
        for n, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self._said(self, n, len(self._pages))
            super().showPage()
        super().save()


def _detailed(width: float) -> list[float]:
    rest = [22 * mm, 27 * mm, 38 * mm, 20 * mm, 20 * mm, 26 * mm, 27 * mm]
    return [*rest[:3], width - sum(rest), *rest[3:]]


def _short(width: float) -> list[float]:
    rest = [24 * mm, 24 * mm, 32 * mm]
    return [width - sum(rest), *rest]


def _cells(columns: int, words: int) -> list[Any]:
    """Words to the left, numbers to the right."""
    return [
        ("FONT", (0, 0), (-1, -1), _REGULAR, _SIZE),
        ("LEADING", (0, 0), (-1, -1), _SIZE * 1.3),
        ("TEXTCOLOR", (0, 0), (-1, -1), _INK),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 1 * mm),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1 * mm),
        ("LEFTPADDING", (0, 0), (-1, -1), _SIDE),
        ("RIGHTPADDING", (0, 0), (-1, -1), _SIDE),
        ("ALIGN", (words, 0), (columns - 1, -1), "RIGHT"),
    ]


def _named(pairs: Sequence[tuple[str, str]], width: float) -> Table:
    rows = [[Paragraph(escape(name), _NAME), Paragraph(escape(value), _TEXT)] for name, value in pairs]
    table = Table(rows, colWidths=[28 * mm, width - 32 * mm])
    table.setStyle(
        [
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 0.5 * mm),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 0.5 * mm),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )
    return table


def _broken(text: str, width: float) -> str:
    """In lines of this width; what is longer than a line is broken where the line ends. A paragraph does the same, and
    takes most of the time of a long statement."""
    lines: list[str] = []
    line, left = "", 0.0
    for word in text.split():
        wide = _wide(word)
        if line and wide + _wide(" ") <= left:
            line, left = f"{line} {word}", left - wide - _wide(" ")
            continue
        if line:
            lines.append(line)
        while wide > width:
            fitting = _fitting(word, width)
            lines.append(word[:fitting])
            word = word[fitting:]
            wide = _wide(word)
        line, left = word, width - wide
    return "\n".join([*lines, line])


def _fitting(word: str, width: float) -> int:
    """How many of its characters a line holds: one at least."""
    used = 0.0
    for n, character in enumerate(word):
        used += _wide(character)
        if used > width:
            return max(1, n)
    return len(word)


@lru_cache(50_000)
def _wide(word: str) -> float:
    return pdfmetrics.stringWidth(word, _REGULAR, _SIZE)


def _shortened(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= COMMENT_LIMIT else f"{plain[: COMMENT_LIMIT - 1]}…"


def _range(least: str, most: str) -> str:
    return least if least == most else f"{least} – {most}"
