"""Money, quantities, months and plans as people in the United States write them, typographic minus included."""

from __future__ import annotations

from datetime import date
from decimal import Context, Decimal, localcontext

from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, get_currency_symbol

from billing_app.domain.currencies import exponent
from billing_app.domain.money import to_major

LOCALE = "en_US"
MINUS, TIMES, ARROW = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{RIGHTWARDS ARROW}"
_EXTRA_DECIMALS = 18
# Babel quantizes in the current context, whose 28 digits a large sum does not fit.
_ALL_DIGITS = Context(prec=120)


def money(amount_minor: int | Decimal, currency: str) -> str:
    """663 USD as `$6.63`: all of the currency's decimals, none more."""
    return exact_money(to_major(int(amount_minor), currency), currency)


def exact_money(amount: Decimal, currency: str) -> str:
    """An unrounded amount or a unit price: `$6.625`, `$0.0125`, at least `$2.50`."""
    digits = exponent(currency)
    point = "." if digits or amount != amount.to_integral_value() else ""
    # `KWD 1.000`, as the letters of a code would run into the number.
    gap = "\N{NO-BREAK SPACE}" if get_currency_symbol(currency, locale=LOCALE)[-1].isalpha() else ""
    pattern = f"¤{gap}#,##0" + point + "0" * digits + ("#" * _EXTRA_DECIMALS if point else "")
    with localcontext(_ALL_DIGITS):
        text = format_currency(amount, currency, format=pattern, locale=LOCALE, currency_digits=False)
    return text.replace("-", MINUS)


def quantity(number: Decimal) -> str:
    """`1,530`, `0.25`: no zeros that say nothing."""
    with localcontext(_ALL_DIGITS):
        text = format_decimal(number, format="#,##0.######", locale=LOCALE)
    return text.replace("-", MINUS)


def month(first_day: date) -> str:
    """`October 2026`."""
    return format_date(first_day, "MMMM y", locale=LOCALE)


def plan(name: str | None, version: int | None) -> str:
    """`Growth, version 2`; a dash for a customer between plans."""
    return f"{name}, version {version}" if name else "\N{EM DASH}"
