"""A sheet as CSV, for programs: names of columns and kinds in English, days by ISO 8601, amounts with a point.

The last rows are the balance, the taxes and the totals. UTF-8 with a byte order mark, which spreadsheets look for.
"""

import csv
import io
from typing import Any

from domain.sheets import Item, Sheet

COLUMNS = (
    *("kind", "ticket", "title", "day", "started_at", "ended_at", "person", "comment", "treatment"),
    *("seconds", "billed", "rate", "amount", "currency"),
)


def as_csv(sheet: Sheet) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(_row(item, sheet.currency) for item in sheet.items)
    writer.writerows(_sums(sheet))
    return text.getvalue().encode("utf-8-sig")


def _row(item: Item, currency: str) -> dict[str, Any]:
    return {
        "kind": item.kind.value,
        "ticket": _plain(item.ticket),
        "title": _plain(item.title),
        "day": item.day or "",
        "started_at": item.started_at.isoformat() if item.started_at else "",
        "ended_at": item.ended_at.isoformat() if item.ended_at else "",
        "person": _plain(item.person),
        "comment": _plain(item.comment),
        "treatment": item.treatment.value if item.treatment else "",
        "seconds": item.seconds,
        "billed": item.billed,
        "rate": "" if item.rate is None else f"{item.rate:f}",
        "amount": f"{item.amount:f}",
        "currency": currency,
    }


def _sums(sheet: Sheet) -> list[dict[str, Any]]:
    hours = (("OPENING", sheet.opening), ("CLOSING", sheet.closing))
    amounts = [
        ("AMOUNT", "", sheet.amount),
        *(("TAX", f"{one.rate:f}", one.tax) for one in sheet.taxes),
        ("TOTAL", "", sheet.total),
        *(() if sheet.paid is None else (("PAID", "", sheet.paid),)),
    ]
    return [
        *({"kind": kind, "seconds": seconds} for kind, seconds in hours if seconds is not None),
        *(
            {"kind": kind, "rate": rate, "amount": f"{amount:f}", "currency": sheet.currency}
            for kind, rate, amount in amounts
        ),
    ]


def _plain(text: str) -> str:
    """What a spreadsheet would take for a formula is marked as text."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
