"""Exact money: whole minor units inside, decimal strings in major units outside, one rounding.

A float never enters: every parser takes strings, ints and Decimals and refuses the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import NamedTuple

from billing_app.domain.currencies import exponent
from billing_app.domain.rules import BrokenRule

# 80 digits hold the largest product there is (20 x 20 digits) and the largest sum with room to
# spare; a step that would lose a digit traps instead of rounding in silence.
EXACT = Context(prec=80, traps=[Inexact, InvalidOperation, Overflow])
# The same digits, for the one step that is allowed to round.
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
    """A finite number of zero or more, exactly as written, within the digits of its column.

    Takes a decimal string, an int or a Decimal. Trailing zeros beyond `decimals` are harmless
    and dropped. Raises BrokenRule for everything else: signs below zero, NaN,
    infinity, exponents out of range, floats, text.
    """
    number = _to_decimal(value)
    if not number.is_finite():
        raise BrokenRule("not_finite")
    if number.is_signed() and number:
        raise BrokenRule("negative")
    # Bounded before any arithmetic: 1e400 must cost nothing.
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
    if isinstance(value, str) and (len(value) > _TEXT_MAX or "_" in value):
        raise BrokenRule("not_a_number")
    try:
        return Decimal(value)
    except (InvalidOperation, ValueError):
        raise BrokenRule("not_a_number") from None


def parse_quantity(value: object) -> Decimal:
    """A usage quantity: zero or more, at most 14 digits before and 6 after the point."""
    return parse_decimal(value, integer_digits=QUANTITY_INTEGER_DIGITS, decimals=QUANTITY_DECIMALS)


def parse_unit_price(value: object) -> Decimal:
    """A price of one unit in major units: at most 8 digits before and 12 after the point."""
    return parse_decimal(value, integer_digits=UNIT_PRICE_INTEGER_DIGITS, decimals=UNIT_PRICE_DECIMALS)


def parse_amount_minor(value: object, currency: str) -> int:
    """An amount in major units as whole minor units: `"6.63"` USD is 663, `"7"` JPY is 7.

    Raises BrokenRule when it has more decimals than the currency.
    """
    digits = exponent(currency)
    amount = parse_decimal(value, integer_digits=AMOUNT_INTEGER_DIGITS, decimals=digits)
    return int(amount.scaleb(digits, EXACT))


def to_major(amount_minor: int, currency: str) -> Decimal:
    """Whole minor units as an exact decimal in major units: 663 USD is `Decimal("6.63")`."""
    return Decimal(amount_minor).scaleb(-exponent(currency), EXACT)


def round_half_up(exact_amount: Decimal, currency: str) -> int:
    """The exact amount in major units, as minor units, halves away from zero.

    The only rounding in the product; commercial rounding, as in IEEE 754 roundTiesToAway.
    """
    digits = exponent(currency)
    rounded = _ROUNDING.quantize(exact_amount, _ONE.scaleb(-digits))
    return int(rounded.scaleb(digits, EXACT))


def exact_sum(numbers: Iterable[Decimal]) -> Decimal:
    """The sum without losing a digit; the caller's context, which would round, is not asked."""
    return functools.reduce(EXACT.add, numbers, Decimal(0))


def plain(number: Decimal) -> str:
    """The one spelling of a number: no exponent, no trailing zeros, no sign on zero."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def major_text(amount_minor: int, currency: str) -> str:
    """An amount for the wire: all of the currency's decimals, `"29.00"`, `"-0.02"`, `"7"`."""
    return format(to_major(amount_minor, currency), "f")
