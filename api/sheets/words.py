"""How a client reads: words in Russian or English, numbers, days and hours as their language writes them."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

import msgspec
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import NumberPattern, parse_pattern

from domain.billing import Treatment
from domain.money import DIGITS
from domain.sheets import ItemKind, Sheet, SheetKind


class Words(msgspec.Struct, frozen=True, kw_only=True):
    kinds: Mapping[SheetKind, str]
    draft: str
    cancelled: str
    credit: str
    number: str
    period: str
    issued_on: str
    due_on: str
    seller: str
    buyer: str
    contract: str
    statement: str
    day: str
    time: str
    person: str
    comment: str
    ticket: str
    title: str
    what: str
    worked: str
    billed: str
    rate: str
    amount: str
    items: Mapping[ItemKind, str]
    treatments: Mapping[Treatment, str]
    opening: str
    closing: str
    in_all: str
    without_tax: str
    tax: str
    total: str
    paid: str
    to_pay: str
    compared: str
    estimated: str
    estimated_price: str
    fact: str
    nothing: str
    page: str
    signature: str
    hours: str
    act_says: str
    started: str
    ended: str
    currency: str


EN = Words(
    kinds={SheetKind.STATEMENT: "Statement of work", SheetKind.INVOICE: "Invoice", SheetKind.ACT: "Act of work done"},
    draft="Draft",
    cancelled="Cancelled",
    credit="Credit note",
    number="No.",
    period="Period",
    issued_on="Issued on",
    due_on="Due by",
    seller="From",
    buyer="To",
    contract="Contract",
    statement="Statement",
    day="Day",
    time="Time",
    person="Specialist",
    comment="What was done",
    ticket="Ticket",
    title="Title",
    what="What for",
    worked="Worked",
    billed="Charged",
    rate="Rate, hour",
    amount="Amount",
    items={
        ItemKind.PACKAGE: "Package of hours",
        ItemKind.FIXED_PRICE: "Fixed price",
        ItemKind.WORK: "Work",
        ItemKind.CORRECTION: "Correction of earlier days",
    },
    treatments={
        Treatment.COVERED: "package",
        Treatment.CHARGED: "charged",
        Treatment.OVERAGE: "beyond package",
        Treatment.FREE: "free",
        Treatment.FIXED: "fixed price",
        Treatment.NOT_BILLABLE: "not charged",
        Treatment.NOT_COVERED: "not in contract",
        Treatment.NO_TERMS: "no terms",
        Treatment.NO_RATE: "no rate",
    },
    opening="Hours left at the beginning",
    closing="Hours left at the end",
    in_all="In all",
    without_tax="Without tax",
    tax="Tax {rate} % of {base}",
    total="Total",
    paid="Paid",
    to_pay="To pay",
    compared="Estimates and what they came to",
    estimated="Estimate",
    estimated_price="Price range",
    fact="In fact",
    nothing="There is nothing to tell of these days.",
    page="Page {page} of {pages}",
    signature="Signature",
    hours="h",
    act_says="The work named above was done in full and on time. The client has no claims to its scope or quality.",
    started="Started",
    ended="Ended",
    currency="Currency",
)

RU = Words(
    kinds={SheetKind.STATEMENT: "Отчёт о работах", SheetKind.INVOICE: "Счёт", SheetKind.ACT: "Акт выполненных работ"},
    draft="Черновик",
    cancelled="Аннулирован",
    credit="Кредит-нота",
    number="№",
    period="Период",
    issued_on="Дата",
    due_on="Оплатить до",
    seller="Исполнитель",
    buyer="Заказчик",
    contract="Договор",
    statement="Отчёт",
    day="День",
    time="Время",
    person="Специалист",
    comment="Что сделано",
    ticket="Заявка",
    title="Название",
    what="За что",
    worked="Отработано",
    billed="К учёту",
    rate="Ставка, час",
    amount="Сумма",
    items={
        ItemKind.PACKAGE: "Пакет часов",
        ItemKind.FIXED_PRICE: "Твёрдая цена",
        ItemKind.WORK: "Работы",
        ItemKind.CORRECTION: "Исправление прошлых дней",
    },
    treatments={
        Treatment.COVERED: "пакет",
        Treatment.CHARGED: "платно",
        Treatment.OVERAGE: "сверх пакета",
        Treatment.FREE: "бесплатно",
        Treatment.FIXED: "твёрдая цена",
        Treatment.NOT_BILLABLE: "без оплаты",
        Treatment.NOT_COVERED: "вне договора",
        Treatment.NO_TERMS: "нет условий",
        Treatment.NO_RATE: "нет ставки",
    },
    opening="Остаток часов на начало",
    closing="Остаток часов на конец",
    in_all="Всего",
    without_tax="Без налога",
    tax="НДС {rate} % от {base}",
    total="Итого",
    paid="Оплачено",
    to_pay="К оплате",
    compared="Оценки и что вышло",
    estimated="Оценка",
    estimated_price="Вилка цены",
    fact="Факт",
    nothing="За эти дни рассказать нечего.",
    page="Страница {page} из {pages}",
    signature="Подпись",
    hours="ч",
    act_says="Перечисленные работы выполнены полностью и в срок. Заказчик претензий по объёму и качеству не имеет.",
    started="Начало",
    ended="Конец",
    currency="Валюта",
)

_WORDS = {"ru": RU, "en": EN}


class Reader(msgspec.Struct, frozen=True):
    """One language. Where we have no words in it they are English; numbers and days are as it writes them."""

    words: Words
    locale: Locale

    def title(self, sheet: Sheet) -> str:
        """Of a document, as its head."""
        words = self.words
        kind = words.credit if sheet.kind is SheetKind.INVOICE and sheet.total < 0 else words.kinds[sheet.kind]
        if sheet.number is None:
            return f"{kind} · {words.draft}"
        return f"{kind} {words.number} {sheet.number}" + (f" · {words.cancelled}" if sheet.cancelled else "")

    def money(self, amount: Decimal, currency: str) -> str:
        return str(_pattern(DIGITS[currency]).apply(amount, self.locale))

    def number(self, value: Decimal) -> str:
        """A rate or a per cent, without needless zeros."""
        return str(_ANY_NUMBER.apply(value.normalize(), self.locale))

    def day(self, day: date) -> str:
        return _day(day, self.locale)

    def duration(self, seconds: int) -> str:
        """Hours and minutes; seconds too, where there are some."""
        minutes, rest = divmod(abs(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        sign = "-" if seconds < 0 else ""
        return f"{sign}{hours}:{minutes:02}" + (f":{rest:02}" if rest else "")

    def span(self, started_at: datetime, ended_at: datetime) -> str:
        """Midnight that ends a day is 24:00."""
        ends = "24:00" if ended_at.date() > started_at.date() and _is_midnight(ended_at) else _clock(ended_at)
        return f"{_clock(started_at)}–{ends}"


_ANY_NUMBER = parse_pattern("#,##0.######")


@lru_cache(10)
def _pattern(digits: int) -> NumberPattern:
    return parse_pattern("#,##0" + ("." + "0" * digits if digits else ""))


@lru_cache(10_000)
def _day(day: date, locale: Locale) -> str:
    pattern = {"ru": "dd.MM.yyyy", "en": "d MMM yyyy"}.get(locale.language, "medium")
    return format_date(day, pattern, locale)


def _is_midnight(at: datetime) -> bool:
    return (at.hour, at.minute, at.second) == (0, 0, 0)


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"


@lru_cache(100)
def reader(language: str) -> Reader:
    """Of a tag as ru or pt-BR; English where there is no such language."""
    try:
        locale = Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        locale = Locale("en")
    return Reader(_WORDS.get(locale.language, EN), locale)
