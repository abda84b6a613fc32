"""Format money, quantities, months and plans in US English, with a typographic minus."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Context, Decimal, localcontext

from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, get_currency_symbol

from billing_app.domain.currencies import exponent
from billing_app.domain.invoice import PaymentStatus
from billing_app.domain.money import to_major

LOCALE = "en_US"
PAYMENT_STATUSES: dict[PaymentStatus, str] = {
    "unpaid": "Unpaid",
    "partially_paid": "Partially paid",
    "paid": "Paid",
    "overdue": "Overdue",
    "credit": "Credit",
}
MINUS, TIMES, ARROW = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{RIGHTWARDS ARROW}"
_EXTRA_DECIMALS = 18
# Babel quantizes in the current decimal context, whose 28 digits are too few for large sums.
_ALL_DIGITS = Context(prec=120)


def money(amount_minor: int | Decimal, currency: str) -> str:
    """Write an amount with all decimals of its currency: 663 USD is `$6.63`."""
    return exact_money(to_major(int(amount_minor), currency), currency)


def exact_money(amount: Decimal, currency: str) -> str:
    """Write an unrounded amount or a unit price: `$6.625`, `$0.0125`, `$2.50`."""
    digits = exponent(currency)
    point = "." if digits or amount != amount.to_integral_value() else ""
    # `KWD 1.000` has a space, because letters would run into the number.
    gap = "\N{NO-BREAK SPACE}" if get_currency_symbol(currency, locale=LOCALE)[-1].isalpha() else ""
    pattern = f"¤{gap}#,##0" + point + "0" * digits + ("#" * _EXTRA_DECIMALS if point else "")
    with localcontext(_ALL_DIGITS):
        text = format_currency(amount, currency, format=pattern, locale=LOCALE, currency_digits=False)
    return text.replace("-", MINUS)


def quantity(number: Decimal) -> str:
    """Write a number without trailing zeros: `1,530`, `0.25`."""
    with localcontext(_ALL_DIGITS):
        text = format_decimal(number, format="#,##0.######", locale=LOCALE)
    return text.replace("-", MINUS)


def month(first_day: date) -> str:
    """Write a period as `October 2026`."""
    return format_date(first_day, "MMMM y", locale=LOCALE)


def day(value: date) -> str:
    """Write a date: `Oct 31, 2026`."""
    return format_date(value, "MMM d, y", locale=LOCALE)


def day_range(start: date, end: date) -> str:
    """Write the days of one month from `start` up to, but not including, `end`: `Oct 15 – 31, 2026`."""
    last = end - timedelta(days=1)
    if start == last:
        return day(start)
    return (
        f"{format_date(start, 'MMM d', locale=LOCALE)} \N{EN DASH} {format_date(last, 'd, y', locale=LOCALE)}"
    )


def plan(name: str | None, version: int | None) -> str:
    """Write a plan version as `Growth, version 2`, and no plan as a dash."""
    return f"{name}, version {version}" if name else "\N{EM DASH}"


def counted(number: int | Decimal, noun: str, plural: str = "") -> str:
    """Write a number with its noun: `1 customer`, `1,200 customers`."""
    return f"{quantity(Decimal(number))} {noun if number == 1 else plural or plural_of(noun)}"


def plural_of(noun: str) -> str:
    """Return the plural of a unit or another noun: `calls`, `queries`, but `GB` for `GB`.

    What has capitals, digits or signs in its last word is a symbol and has no plural. The same goes for words
    of one or two letters, such as `ms`, and for words that are a plural already.
    """
    last = noun.rsplit(" ", 1)[-1]
    if len(last) < 3 or not (last.isalpha() and last.islower()):
        return noun
    if last.endswith("s") and not last.endswith(("ss", "us")):
        return noun
    if last.endswith("y") and last[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if last.endswith(("s", "x", "z", "ch", "sh")) else f"{noun}s"
