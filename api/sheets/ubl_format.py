"""A sheet as UBL 2.1: an Invoice, or a CreditNote where more is given back than is due.

Each line's price is its amount per its quantity of hours, so that quantity times price is the amount to the last unit.
A statement is told as a proforma invoice (code 325); an act has no form in UBL.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from api.sheets.formats import NotWritten
from api.sheets.words import Reader, reader
from domain.money import TaxShare
from domain.sheets import Item, ItemKind, Sheet, SheetKind
from domain.terms import HOUR

_SPACE = "urn:oasis:names:specification:ubl:schema:xsd:"
_AGGREGATE, _BASIC = f"{_SPACE}CommonAggregateComponents-2", f"{_SPACE}CommonBasicComponents-2"
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

PROFORMA, COMMERCIAL, CREDIT = "325", "380", "381"
"""Codes of UNTDID 1001."""
_HOURS, _PIECES = "HUR", "C62"
"""Units of UN/ECE recommendation 20."""

register_namespace("cac", _AGGREGATE)
register_namespace("cbc", _BASIC)


def as_ubl(sheet: Sheet) -> bytes:
    """Raises NotWritten."""
    if sheet.kind is SheetKind.ACT:
        raise NotWritten("UBL has no document for an act. Take the invoice, or another format.")
    return _Document(sheet).written()


class _Document:
    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._reads: Reader = reader(sheet.language)
        self._credit = sheet.total < 0
        self._name = "CreditNote" if self._credit else "Invoice"
        self._root = Element(f"{{{_SPACE}{self._name}-2}}{self._name}")

    def written(self) -> bytes:
        self._head()
        self._parties()
        self._taxes()
        self._totals()
        for n, item in enumerate(self._sheet.items, start=1):
            self._line(n, item)
        return bytes(tostring(self._root, encoding="UTF-8", xml_declaration=True))

    def _head(self) -> None:
        sheet, root = self._sheet, self._root
        code = CREDIT if self._credit else PROFORMA if sheet.kind is SheetKind.STATEMENT else COMMERCIAL
        _text(root, "UBLVersionID", "2.1")
        _text(root, "ID", str(sheet.number) if sheet.number is not None else f"{sheet.since}/{sheet.until}")
        _text(root, "IssueDate", str(sheet.issued_on or sheet.until))
        if sheet.due_on is not None and not self._credit:
            _text(root, "DueDate", str(sheet.due_on))
        _text(root, f"{self._name}TypeCode", code)
        _text(root, "DocumentCurrencyCode", sheet.currency)
        period = _part(root, "InvoicePeriod")
        _text(period, "StartDate", str(sheet.since))
        _text(period, "EndDate", str(sheet.until))
        _text(_part(root, "ContractDocumentReference"), "ID", sheet.contract)

    def _parties(self) -> None:
        for role, name in (("Supplier", self._sheet.seller), ("Customer", self._sheet.buyer)):
            party = _part(_part(self._root, f"Accounting{role}Party"), "Party")
            _text(_part(party, "PartyName"), "Name", name)
            _text(_part(party, "PartyLegalEntity"), "RegistrationName", name)

    def _taxes(self) -> None:
        total = _part(self._root, "TaxTotal")
        self._amount(total, "TaxAmount", self._sheet.tax)
        for share in self._sheet.taxes:
            self._share(total, share)

    def _share(self, total: Element, share: TaxShare) -> None:
        one = _part(total, "TaxSubtotal")
        self._amount(one, "TaxableAmount", share.base)
        self._amount(one, "TaxAmount", share.tax)
        _category(_part(one, "TaxCategory"), share.rate)

    def _totals(self) -> None:
        sheet = self._sheet
        total = _part(self._root, "LegalMonetaryTotal")
        self._amount(total, "LineExtensionAmount", sheet.amount)
        self._amount(total, "TaxExclusiveAmount", sheet.amount)
        self._amount(total, "TaxInclusiveAmount", sheet.total)
        if sheet.paid is not None:
            self._amount(total, "PrepaidAmount", sheet.paid)
        self._amount(total, "PayableAmount", sheet.total - (sheet.paid or 0))

    def _line(self, n: int, item: Item) -> None:
        quantity, unit = _quantity(item)
        line = _part(self._root, f"{self._name}Line")
        _text(line, "ID", str(n))
        if item.comment:
            _text(line, "Note", item.comment)
        amount = self._signed(item.amount)
        counted = "CreditedQuantity" if self._credit else "InvoicedQuantity"
        _text(line, counted, _plain(-quantity if amount < 0 else quantity)).set("unitCode", unit)
        self._amount(line, "LineExtensionAmount", item.amount)
        if item.day is not None:
            _text(_part(line, "InvoicePeriod"), "StartDate", str(item.day))
        about = _part(line, "Item")
        _text(about, "Name", self._what(item))
        if item.tax is not None:
            _category(_part(about, "ClassifiedTaxCategory"), item.tax)
        for name, value in self._properties(item):
            told = _part(about, "AdditionalItemProperty")
            _text(told, "Name", name)
            _text(told, "Value", value)
        price = _part(line, "Price")
        _text(price, "PriceAmount", _plain(abs(item.amount))).set("currencyID", self._sheet.currency)
        _text(price, "BaseQuantity", _plain(quantity)).set("unitCode", unit)

    def _what(self, item: Item) -> str:
        named = f"{item.ticket} {item.title}".strip()
        kind = self._reads.words.items[item.kind]
        return named if item.kind is ItemKind.WORK and named else f"{kind}: {named}" if named else kind

    def _properties(self, item: Item) -> Sequence[tuple[str, str]]:
        words, reads = self._reads.words, self._reads
        found = (
            (words.person, item.person),
            (words.time, reads.span(item.started_at, item.ended_at) if item.started_at and item.ended_at else ""),
            (words.worked, reads.duration(item.seconds) if item.seconds else ""),
            (words.rate, "" if item.rate is None else reads.number(item.rate)),
            (words.what, words.treatments[item.treatment] if item.treatment else ""),
        )
        return [(name, value) for name, value in found if value]

    def _signed(self, amount: Decimal) -> Decimal:
        """A credit note counts what is given back."""
        return -amount if self._credit else amount

    def _amount(self, parent: Element, name: str, amount: Decimal) -> None:
        _text(parent, name, _plain(self._signed(amount))).set("currencyID", self._sheet.currency)


def _quantity(item: Item) -> tuple[Decimal, str]:
    """Never 0, which no price can be told by."""
    seconds = abs(item.billed or item.seconds)
    if seconds:
        return round(Decimal(seconds) / HOUR, 6), _HOURS
    return Decimal(1), _PIECES


def _category(category: Element, rate: Decimal) -> None:
    """Standard rate, or zero rated; by UNCL 5305."""
    _text(category, "ID", "S" if rate else "Z")
    _text(category, "Percent", _plain(rate))
    _text(_part(category, "TaxScheme"), "ID", "VAT")


def _plain(number: Decimal) -> str:
    """Without an exponent, and without a zero's sign."""
    return f"{number if number else abs(number):f}"


def _part(parent: Element, name: str) -> Element:
    return SubElement(parent, f"{{{_AGGREGATE}}}{name}")


def _text(parent: Element, name: str, value: str) -> Element:
    element = SubElement(parent, f"{{{_BASIC}}}{name}")
    element.text = _NOT_IN_XML.sub("", value)
    return element
