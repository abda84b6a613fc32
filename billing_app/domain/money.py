"""Exact money: integers in minor units internally, decimal strings in major units in input and output.

No float is ever accepted: every parser takes strings, ints and Decimals and rejects everything else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import NamedTuple

from billing_app.domain.currencies import exponent
from billing_app.domain.rules import BrokenRule

# 80 digits hold the largest product (20 x 20 digits) and the largest sum with room to spare. An
# operation that would lose a digit raises instead of rounding silently.
EXACT = Context(prec=80, traps=[Inexact, InvalidOperation, Overflow])
# The same digits, for the one operation that may round.
_ROUNDING = Context(prec=80, rounding=ROUND_HALF_UP, traps=[InvalidOperation, Overflow])
_ONE = Decimal(1)

QUANTITY_DECIMALS = 6
QUANTITY_INTEGER_DIGITS = 14
UNIT_PRICE_DECIMALS = 12
UNIT_PRICE_INTEGER_DIGITS = 8
AMOUNT_INTEGER_DIGITS = 18
_TEXT_MAX = 60


class Amount(NamedTuple):
    """An amount of money: whole minor units of a currency."""

    amount_minor: int
    currency: str


def parse_decimal(value: object, *, integer_digits: int, decimals: int) -> Decimal:
    """Parse a finite number of zero or more, exactly as written, that fits its column.

    Takes a decimal string of ASCII digits, an int or a Decimal. Trailing zeros beyond `decimals` are
    dropped. Raises BrokenRule for negative numbers, NaN, infinity, numbers with too many digits,
    floats, and anything that is not a number.
    """
    number = _to_decimal(value)
    if not number.is_finite():
        raise BrokenRule("not_finite")
    if number.is_signed() and number:
        raise BrokenRule("negative")
    # The size is checked before any arithmetic, so that 1e400 doesn't use up memory and time.
    if number and number.adjusted() >= integer_digits:
        raise BrokenRule("too_many_digits", digits=integer_digits)
    if number and number.adjusted() < -decimals:
        raise BrokenRule("too_many_decimals", decimals=decimals)
    try:
        return EXACT.quantize(number.copy_abs(), _ONE.scaleb(-decimals))
    except (Inexact, InvalidOperation):
        raise BrokenRule("too_many_decimals", decimals=decimals) from None


def _to_decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BrokenRule("not_a_number")
    # Decimal() also accepts underscores and the digits of other scripts.
    if isinstance(value, str) and (len(value) > _TEXT_MAX or "_" in value or not value.isascii()):
        raise BrokenRule("not_a_number")
    try:
        return Decimal(value)
    except (InvalidOperation, ValueError):
        raise BrokenRule("not_a_number") from None


def parse_quantity(value: object) -> Decimal:
    """Parse a usage quantity: zero or more, with at most 14 digits before the decimal point and 6 after."""
    return parse_decimal(value, integer_digits=QUANTITY_INTEGER_DIGITS, decimals=QUANTITY_DECIMALS)


def parse_unit_price(value: object) -> Decimal:
    """Parse the price of one unit in major units, with at most 8 digits before the decimal point and 12 after."""
    return parse_decimal(value, integer_digits=UNIT_PRICE_INTEGER_DIGITS, decimals=UNIT_PRICE_DECIMALS)


def parse_signed_unit_price(value: object) -> Decimal:
    """Parse the price of one unit like `parse_unit_price`, but also below zero, for a credit."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.startswith("-") and not text.startswith("--"):
        return EXACT.minus(parse_unit_price(text[1:]))
    if isinstance(text, (int, Decimal)) and not isinstance(text, bool) and text < 0:
        return EXACT.minus(parse_unit_price(-text))
    if isinstance(text, str) and text.startswith("--"):
        raise BrokenRule("not_a_number")
    return parse_unit_price(text)


def parse_amount_minor(value: object, currency: str) -> int:
    """Parse an amount in major units into whole minor units: `"6.63"` USD is 663, `"7"` JPY is 7.

    Raises BrokenRule if it has more decimals than the currency.
    """
    digits = exponent(currency)
    amount = parse_decimal(value, integer_digits=AMOUNT_INTEGER_DIGITS, decimals=digits)
    return int(amount.scaleb(digits, EXACT))


def to_major(amount_minor: int, currency: str) -> Decimal:
    """Convert whole minor units to an exact decimal in major units: 663 USD is `Decimal("6.63")`."""
    return Decimal(amount_minor).scaleb(-exponent(currency), EXACT)


def round_half_up(exact_amount: Decimal, currency: str) -> int:
    """Round an exact amount in major units to minor units, halves away from zero.

    This is the only rounding in the product. It is commercial rounding (IEEE 754 roundTiesToAway).
    """
    digits = exponent(currency)
    return int(_ROUNDING.quantize(exact_amount.scaleb(digits, EXACT), _ONE))


def round_quantity(numerator: Decimal, denominator: int) -> Decimal:
    """Return `numerator / denominator`, which is not negative, rounded half up to 6 decimals."""
    millionths = numerator.scaleb(QUANTITY_DECIMALS, EXACT)
    return round_quotient(millionths, denominator).scaleb(-QUANTITY_DECIMALS, EXACT)


def round_quotient(numerator: Decimal, denominator: int) -> Decimal:
    """Return the whole number nearest to `numerator / denominator`, halves away from zero.

    The quotient itself may have no end as a decimal. floor((2n + d) / 2d) needs no such number.
    """
    doubled = EXACT.fma(abs(numerator), Decimal(2), Decimal(denominator))
    rounded = EXACT.divide_int(doubled, Decimal(2 * denominator))
    return rounded.copy_sign(numerator)


def exact_sum(numbers: Iterable[Decimal]) -> Decimal:
    """Add numbers without losing a digit, whatever the caller's decimal context is."""
    return functools.reduce(EXACT.add, numbers, Decimal(0))


def plain(number: Decimal) -> str:
    """Write a number without exponent, trailing zeros or a sign on zero: `"1530.5"`, `"0"`."""
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def major_text(amount_minor: int, currency: str) -> str:
    """Write an amount in major units with all decimals of the currency: `"29.00"`, `"-0.02"`, `"7"`."""
    digits = exponent(currency)
    if not digits:
        return str(amount_minor)
    text = f"{abs(amount_minor):0{digits + 1}d}"
    return f"{'-' if amount_minor < 0 else ''}{text[:-digits]}.{text[-digits:]}"


def parse_percent(value: object) -> Decimal:
    """Parse a percentage above 0 and at most 100, with at most 4 decimals. Raises BrokenRule."""
    percent = parse_decimal(value, integer_digits=3, decimals=4)
    if not 0 < percent <= 100:
        raise BrokenRule("not_a_percentage")
    return percent
