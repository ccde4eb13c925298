"""Money: decimal amounts in a currency, never floats; totals that are split without losing a unit."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import msgspec

from domain.errors import InvalidValue

_TWO = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP"
    " CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR"
    " JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN"
    " NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP"
    " SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW"
)
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
DIGITS: dict[str, int] = {
    code: digits for codes, digits in ((_TWO, 2), (_NONE, 0), (_THREE, 3)) for code in codes.split()
}
"""Decimals of each currency's smallest unit, as ISO 4217 lists them."""

AMOUNT_LIMIT = Decimal(10) ** 12


def currency(code: str, field: tuple[str, ...] = ("currency",)) -> str:
    """Raises InvalidValue."""
    if code not in DIGITS:
        raise InvalidValue(f"There is no currency {code[:20]!r}. Write its ISO 4217 code, as EUR or RUB.", field)
    return code


def amount(value: Decimal, code: str, field: tuple[str, ...]) -> Decimal:
    """An amount in whole units of the currency, 0 to 10^12. Raises InvalidValue."""
    number = quantity(value, field, AMOUNT_LIMIT)
    if number != in_units(Fraction(number), code):
        raise InvalidValue(f"{'.'.join(field)} has more decimals than {code} has: {DIGITS[code]}.", field)
    return in_units(Fraction(number), code)


def quantity(value: Decimal, field: tuple[str, ...], most: Decimal, least: Decimal = Decimal(0)) -> Decimal:
    """A finite number between two others, with six decimals at most. Raises InvalidValue."""
    try:
        fits = value.is_finite() and least <= value <= most and value == round(value, 6)
    except InvalidOperation:
        fits = False
    if not fits:
        name = ".".join(field)
        raise InvalidValue(f"{name} is a number from {least} to {most:,} with six decimals at most.", field)
    return value


def in_units(exact: Fraction, code: str) -> Decimal:
    """To the nearest unit of the currency, halves away from zero."""
    units = _nearest(abs(exact.numerator) * 10 ** DIGITS[code], exact.denominator)
    return Decimal(units if exact >= 0 else -units).scaleb(-DIGITS[code])


def _nearest(number: int, per: int) -> int:
    """Of number / per, not negative, halves up."""
    return (2 * number + per) // (2 * per)


class TaxShare(msgspec.Struct, frozen=True, kw_only=True):
    """What is due at one rate: `rate` in per cent, `base` without tax."""

    rate: Decimal
    base: Decimal
    tax: Decimal


def tax_of(amount: Decimal, rate: Decimal, currency: str) -> Decimal:
    """In whole units."""
    return in_units(Fraction(amount) * Fraction(rate) / 100, currency)


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """The total in whole parts, proportional to the weights: each part rounded down, what is left over given one each
    to the largest remainders, the first where they are equal. Weights are not negative; all 0: the first gets all."""
    if not weights:
        assert total == 0, "there is nobody to share it"
        return []
    of_all = sum(weights)
    if of_all == 0:
        return [total, *([0] * (len(weights) - 1))]
    return _rounded([divmod(total * weight, of_all) for weight in weights], total)


def amounts(exact: Sequence[int], per: int, code: str) -> list[Decimal]:
    """Of amounts that are each so much / `per`, and not negative, each in whole units, so that they sum to their exact
    sum in whole units."""
    scale = 10 ** DIGITS[code]
    total = _nearest(sum(exact) * scale, per)
    parts = _rounded([divmod(one * scale, per) for one in exact], total)
    units = {part: Decimal(part).scaleb(-DIGITS[code]) for part in set(parts)}  # many are alike
    return [units[part] for part in parts]


def _rounded(parts: Sequence[tuple[int, int]], total: int) -> list[int]:
    """Whole parts with what each leaves over: those that leave most get one more, until they sum to the total."""
    whole = [part for part, _ in parts]
    missing = total - sum(whole)
    if missing:
        order = sorted(range(len(parts)), key=[rest for _, rest in parts].__getitem__, reverse=True)
        for n in order[:missing]:
            whole[n] += 1
    return whole
