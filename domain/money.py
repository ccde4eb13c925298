"""Money: decimal amounts in a currency, never floats; totals that are split without losing a unit."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction

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
    scaled = exact * 10 ** DIGITS[code]
    whole = Decimal(scaled.numerator) / Decimal(scaled.denominator)
    return whole.quantize(Decimal(1), ROUND_HALF_UP).scaleb(-DIGITS[code])


def shares(total: int, weights: Sequence[Fraction | int]) -> list[int]:
    """The total in whole parts, proportional to the weights: each part rounded down, what is left over given one each
    to the largest remainders, the first where they are equal. Weights are not negative; all 0: the first gets all."""
    if not weights:
        assert total == 0, "there is nobody to share it"
        return []
    of_all = sum(weights)
    if of_all == 0:
        return [total, *([0] * (len(weights) - 1))]
    exact = [Fraction(total) * weight / of_all for weight in weights]
    parts = [part.numerator // part.denominator for part in exact]
    order = sorted(range(len(parts)), key=lambda n: (parts[n] - exact[n], n))
    for n in order[: total - sum(parts)]:
        parts[n] += 1
    return parts


def amounts(exact: Sequence[Fraction], code: str) -> list[Decimal]:
    """Each exact amount in whole units, so that they sum to their exact sum in whole units."""
    scale = 10 ** DIGITS[code]
    scaled = [one * scale for one in exact]
    parts = [one.numerator // one.denominator for one in scaled]
    total = int(in_units(sum(exact, Fraction()), code).scaleb(DIGITS[code]))
    order = sorted(range(len(parts)), key=lambda n: (parts[n] - scaled[n], n))
    for n in order[: total - sum(parts)]:
        parts[n] += 1
    return [Decimal(part).scaleb(-DIGITS[code]) for part in parts]
