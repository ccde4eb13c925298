"""Packages of hours that renew by themselves: when each of them begins, and how long it lives."""

from calendar import monthrange
from datetime import date, timedelta
from enum import StrEnum


class RenewalPeriod(StrEnum):
    """How often a package begins anew."""

    MONTH = "MONTH"
    YEAR = "YEAR"


_MONTHS = {RenewalPeriod.MONTH: 1, RenewalPeriod.YEAR: 12}


def begins(first: date, every: RenewalPeriod, number: int) -> date:
    """The first day of the package of this number; 0: the one that was bought."""
    return months_later(first, number * _MONTHS[every])


def lives_until(first: date, last: date, every: RenewalPeriod, number: int) -> date:
    """The last day of the package of this number, if the one that was bought lives from `first` to `last`: until as
    many periods later another begins, where those are whole ones, else as long."""
    after = last + timedelta(days=1)
    periods = _months(first, after) // _MONTHS[every]
    if periods > 0 and begins(first, every, periods) == after:
        return begins(first, every, number + periods) - timedelta(days=1)
    return as_long_after(first, last, begins(first, every, number))


def as_long_after(first: date, last: date, start: date) -> date:
    """The last day of a time that begins at `start` and is as long as from `first` to `last`: as many months, where
    those are whole ones, else as many days."""
    after = last + timedelta(days=1)
    months = _months(first, after)
    if months > 0 and _as_many_later(first, months) == after:
        return _as_many_later(start, months) - timedelta(days=1)
    return start + (last - first)


def _months(first: date, after: date) -> int:
    return (after.year - first.year) * 12 + after.month - first.month


def _as_many_later(day: date, months: int) -> date:
    """A month that has no such day ends before it: the next one's first."""
    later = months_later(day, months)
    return later if later.day == day.day else later + timedelta(days=1)


def months_later(day: date, months: int) -> date:
    """The same day of a later month; of a month that has none such, its last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
