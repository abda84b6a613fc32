"""Billing periods, dates and timestamps. A period is a calendar month in UTC, half-open, written `2026-10`.

A period is represented by its first day, a `date`, in keys, columns and arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import lru_cache

from billing_app.domain.rules import BrokenRule

FIRST_YEAR = 1970
LAST_YEAR = 9998

_PERIOD = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIMESTAMP = re.compile(
    r"([0-9]{4})-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-5][0-9])",
    re.ASCII,
)


def period_of(moment: datetime) -> date:
    """Return the period that contains an aware datetime, by the UTC calendar."""
    utc = moment.astimezone(UTC)
    return date(utc.year, utc.month, 1)


def parse_period(text: object) -> date:
    """Parse `"2026-10"` into 2026-10-01. Raises BrokenRule for anything else."""
    match = _PERIOD.fullmatch(text) if isinstance(text, str) else None
    if not match or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise BrokenRule("not_a_period")
    return date(int(match[1]), int(match[2]), 1)


@lru_cache
def label(period_start: date) -> str:
    """Write the period 2026-10-01 as `2026-10`."""
    return f"{period_start.year:04d}-{period_start.month:02d}"


def next_period(period_start: date) -> date:
    """Return the first day of the following month, which is also the (excluded) end of this period."""
    if period_start.month == 12:
        return date(period_start.year + 1, 1, 1)
    return date(period_start.year, period_start.month + 1, 1)


def previous_period(period_start: date) -> date:
    """Return the first day of the preceding month."""
    if period_start.month == 1:
        return date(period_start.year - 1, 12, 1)
    return date(period_start.year, period_start.month - 1, 1)


def periods_between(first: date, end: date) -> Iterator[date]:
    """Yield every period from `first` up to, but not including, `end`."""
    while first < end:
        yield first
        first = next_period(first)


def bounds(period_start: date) -> tuple[datetime, datetime]:
    """Return the half-open interval of the period in UTC: its start and the start of the next one."""
    return start_of_day(period_start), start_of_day(next_period(period_start))


def start_of_day(day: date) -> datetime:
    """Return the moment at which a UTC day starts."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def has_ended(period_start: date, now: datetime) -> bool:
    """Return whether the period has ended at `now`."""
    return bounds(period_start)[1] <= now


def parse_date(text: object) -> date:
    """Parse `"2026-10-31"`. Raises BrokenRule for anything else, other ISO 8601 notations included."""
    try:
        if isinstance(text, str) and _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise BrokenRule("not_a_date")


def parse_day(text: object) -> date:
    """Parse `"2026-10-31"`, or `"2026-10"`, which means its first day. Raises BrokenRule."""
    try:
        return parse_period(text)
    except BrokenRule:
        pass
    try:
        day = parse_date(text)
    except BrokenRule:
        raise BrokenRule("not_a_day") from None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise BrokenRule("out_of_years", first=FIRST_YEAR, last=LAST_YEAR)
    return day


def parse_timestamp(value: object) -> datetime:
    """Parse an RFC 3339 timestamp with an offset, or an aware datetime, into UTC, cut to microseconds.

    The result is in UTC because RFC 3339 allows offsets up to 23:59, but PostgreSQL only up to 15:59.
    Raises BrokenRule for everything else, including a timestamp without an offset.
    """
    if isinstance(value, datetime):
        moment = value
    else:
        match = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise BrokenRule("not_a_timestamp")
        try:
            moment = datetime.fromisoformat(match[0].upper())
        except ValueError:
            raise BrokenRule("no_such_time") from None
    if moment.tzinfo is None:
        raise BrokenRule("no_offset")
    years = range(FIRST_YEAR, LAST_YEAR + 1)
    # The year is checked before the conversion to UTC, which would overflow in the years 1 and 9999.
    if moment.year not in years or moment.astimezone(UTC).year not in years:
        raise BrokenRule("out_of_years", first=FIRST_YEAR, last=LAST_YEAR)
    return moment.astimezone(UTC)
