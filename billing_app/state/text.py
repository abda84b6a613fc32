"""Numbers, money and dates as people in the United States write them, typographic minus included."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime
from decimal import Context, Decimal, localcontext
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_date, format_datetime
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


def day(value: date) -> str:
    """`Oct 31, 2026`."""
    return format_date(value, "MMM d, y", locale=LOCALE)


def moment(value: datetime, zone: ZoneInfo) -> str:
    """`Oct 31, 2026, 16:05:09` in the viewer's zone."""
    return format_datetime(value.astimezone(zone), "MMM d, y, HH:mm:ss", locale=LOCALE)


def moment_utc(value: datetime) -> str:
    """The same moment for the hover: `2026-10-31 14:05:09.123456 UTC`."""
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ')} UTC"


@functools.lru_cache(maxsize=512)
def zone_named(name: str) -> ZoneInfo:
    """The zone of that name; UTC for a name that is none, since it comes from a browser."""
    try:
        return ZoneInfo(name.replace("%2F", "/")) if name else ZoneInfo("UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def plan(name: str | None, version: int | None) -> str:
    """`Growth, version 2`; a dash for a customer between plans."""
    return f"{name}, version {version}" if name else "\N{EM DASH}"
