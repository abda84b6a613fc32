"""Billing periods: calendar months in UTC, half-open, written `2026-10`.

A period is represented by its first day (a `date`), everywhere: in keys, columns and arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime

from billing_app.domain.rules import BrokenRule

_LABEL = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)
FIRST_YEAR = 1970
LAST_YEAR = 9998


def period_of(moment: datetime) -> date:
    """The period in which an aware moment falls, by its UTC calendar."""
    utc = moment.astimezone(UTC)
    return date(utc.year, utc.month, 1)


def parse_period(text: object) -> date:
    """`"2026-10"` as 2026-10-01. Raises BrokenRule for anything else."""
    match = _LABEL.fullmatch(text) if isinstance(text, str) else None
    if not match or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise BrokenRule("not_a_period")
    return date(int(match[1]), int(match[2]), 1)


def label(period_start: date) -> str:
    """2026-10-01 as `2026-10`."""
    return f"{period_start.year:04d}-{period_start.month:02d}"


def next_period(period_start: date) -> date:
    """The first day of the following month, which is also this period's (excluded) end."""
    if period_start.month == 12:
        return date(period_start.year + 1, 1, 1)
    return date(period_start.year, period_start.month + 1, 1)


def previous_period(period_start: date) -> date:
    """The first day of the month before."""
    if period_start.month == 1:
        return date(period_start.year - 1, 12, 1)
    return date(period_start.year, period_start.month - 1, 1)


def periods_between(first: date, end: date) -> Iterator[date]:
    """Every period from `first` up to, and without, `end`."""
    while first < end:
        yield first
        first = next_period(first)


def bounds(period_start: date) -> tuple[datetime, datetime]:
    """The half-open interval of the period as UTC moments: `[first, first of next)`."""
    end = next_period(period_start)
    return (
        datetime(period_start.year, period_start.month, 1, tzinfo=UTC),
        datetime(end.year, end.month, 1, tzinfo=UTC),
    )


def has_ended(period_start: date, now: datetime) -> bool:
    """Whether the period lies wholly before `now`."""
    return bounds(period_start)[1] <= now


_MOMENT = re.compile(
    r"([0-9]{4})-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-5][0-9])",
    re.ASCII,
)


def parse_moment(value: object) -> datetime:
    """An RFC 3339 timestamp with its offset, or an aware datetime, cut to microseconds and in UTC.

    In UTC, since RFC 3339 has offsets (up to 23:59) that PostgreSQL has not (up to 15:59).
    Raises BrokenRule for everything else, a timestamp without an offset included.
    """
    if isinstance(value, datetime):
        moment = value
    else:
        match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise BrokenRule("not_a_timestamp")
        try:
            moment = datetime.fromisoformat(match[0].upper())
        except ValueError:
            raise BrokenRule("no_such_moment") from None
    if moment.tzinfo is None:
        raise BrokenRule("no_offset")
    years = range(FIRST_YEAR, LAST_YEAR + 1)
    # As written first: a moment at the very end of the calendar can't be told in UTC.
    if moment.year not in years or moment.astimezone(UTC).year not in years:
        raise BrokenRule("out_of_years", first=FIRST_YEAR, last=LAST_YEAR)
    return moment.astimezone(UTC)
