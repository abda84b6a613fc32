"""Formatting for pages: the formats of documents, and times in the viewer's zone."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_date, format_datetime
from babel.numbers import get_currency_symbol

from billing_app.domain.invoice import Age
from billing_app.domain.terms import Meter
from billing_app.wording.values import (
    LOCALE,
    counted,
    day,
    day_range,
    exact_money,
    money,
    month,
    plan,
    plural_of,
    quantity,
)

__all__ = [
    "age",
    "counted",
    "currency_symbol",
    "day",
    "day_of_month",
    "day_range",
    "exact_money",
    "find_zone",
    "metered",
    "money",
    "month",
    "plan",
    "quantity",
    "timestamp",
    "timestamp_utc",
    "unit_of",
]


def currency_symbol(currency: str) -> str:
    """Return the currency's symbol, or its code if it has none, for the scales of charts."""
    return get_currency_symbol(currency, locale=LOCALE)


def unit_of(number: Decimal, meter: Meter) -> str:
    """Return the unit of a meter's quantity: `call` for 1, otherwise `calls`."""
    return meter.unit if number == 1 else plural_of(meter.unit)


def metered(number: Decimal, meter: Meter) -> str:
    """Write a meter's quantity with its unit: `1,530 calls`."""
    return f"{quantity(number)} {unit_of(number, meter)}"


def day_of_month(value: date) -> str:
    """Write a date as `Oct 31`, for the scales of charts."""
    return format_date(value, "MMM d", locale=LOCALE)


def timestamp(value: datetime, zone: ZoneInfo) -> str:
    """Write a time in the viewer's zone as `Oct 31, 2026, 16:05:09`."""
    return format_datetime(value.astimezone(zone), "MMM d, y, HH:mm:ss", locale=LOCALE)


def timestamp_utc(value: datetime) -> str:
    """Write a time in UTC as `2026-10-31 14:05:09.123456 UTC`, which pages show on hover."""
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ')} UTC"


@functools.lru_cache(maxsize=512)
def find_zone(name: str) -> ZoneInfo:
    """Return the time zone with the name that a browser sent, or UTC if there is none."""
    try:
        return ZoneInfo(name.replace("%2F", "/")) if name else ZoneInfo("UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def age(of: Age) -> str:
    """`31–60 days overdue`."""
    if not of.days_from:
        return "Not due yet"
    return f"{of.days_from}–{of.days_to} days overdue" if of.days_to else f"{of.days_from}+ days overdue"
