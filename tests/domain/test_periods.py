"""Months in UTC, and the dates and timestamps that fall into them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_app.domain.periods import (
    bounds,
    has_ended,
    label,
    next_period,
    parse_date,
    parse_period,
    parse_timestamp,
    period_of,
    periods_between,
    previous_period,
)
from billing_app.domain.rules import BrokenRule

offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime(1970, 1, 3, tzinfo=UTC), datetime(9998, 12, 30, tzinfo=UTC)
moments = st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=offsets)
months = st.builds(date, st.integers(1970, 9990), st.integers(1, 12), st.just(1))


@given(moments)
def test_every_moment_is_within_the_bounds_of_its_period(moment: datetime) -> None:
    period = period_of(moment)
    start, end = bounds(period)
    assert start <= moment < end
    assert period_of(start) == period
    assert period_of(end - timedelta(microseconds=1)) == period
    assert period_of(end) == next_period(period)


@given(months)
def test_months_follow_each_other_without_gap_or_overlap(month: date) -> None:
    assert previous_period(next_period(month)) == month
    assert bounds(month)[1] == bounds(next_period(month))[0]
    assert parse_period(label(month)) == month
    assert 28 <= (next_period(month) - month).days <= 31


@given(months, st.integers(0, 40))
def test_periods_between_excludes_the_end(first: date, count: int) -> None:
    end = first
    for _ in range(count):
        end = next_period(end)
    between = list(periods_between(first, end))
    assert len(between) == count
    assert between == sorted(set(between))
    assert end not in between


@pytest.mark.parametrize(
    ("month", "days"),
    [("2024-02", 29), ("2026-02", 28), ("2000-02", 29), ("2100-02", 28), ("2026-04", 30), ("2026-12", 31)],
)
def test_month_has_its_calendar_length(month: str, days: int) -> None:
    start, end = bounds(parse_period(month))
    assert (end - start).days == days


@pytest.mark.parametrize(
    ("moment", "period"),
    [
        ("2024-02-29T23:59:59.999999+00:00", "2024-02"),
        ("2024-03-01T00:00:00+00:00", "2024-03"),
        ("2024-03-01T00:30:00+01:00", "2024-02"),
        ("2026-12-31T23:30:00-01:00", "2027-01"),
        ("2026-10-31T23:59:59.999999-00:00", "2026-10"),
        # The hour that Berlin has twice in autumn is two hours in UTC, both in October.
        ("2026-10-25T02:30:00+02:00", "2026-10"),
        ("2026-10-25T02:30:00+01:00", "2026-10"),
    ],
)
def test_month_ends_by_the_utc_calendar(moment: str, period: str) -> None:
    assert label(period_of(datetime.fromisoformat(moment))) == period


def test_period_has_ended_at_its_end_and_not_before() -> None:
    end = datetime(2026, 11, 1, tzinfo=UTC)
    assert has_ended(date(2026, 10, 1), end)
    assert not has_ended(date(2026, 10, 1), end - timedelta(microseconds=1))


@pytest.mark.parametrize(
    "text",
    ["2026-13", "2026-00", "2026-1", "26-01", "2026-10-01", "2026/10", " 2026-10", "2026-10\n", "２０２６-10", "1969-12",
     "٢٠٢٦-١٠", "2026-１0", "9999-01", "", None, 202610, date(2026, 10, 1)],
)  # fmt: skip
def test_invalid_period_is_rejected(text: object) -> None:
    with pytest.raises(BrokenRule, match="not_a_period"):
        parse_period(text)


def test_date_is_parsed() -> None:
    assert parse_date("2024-02-29") == date(2024, 2, 29)


@pytest.mark.parametrize(
    "text",
    ["2026-02-29", "2026-W44-6", "20261031", "2026-10-3", "2026-10-031", " 2026-10-31", "2026-10-31\n", "２０２６-10-31",
     "2026-10-٣١", "2026-10-31T00:00:00Z", "today", "", None, 1793404800],
)  # fmt: skip
def test_invalid_date_is_rejected(text: object) -> None:
    with pytest.raises(BrokenRule, match="not_a_date"):
        parse_date(text)


@pytest.mark.parametrize("offset", ["+00:00", "+05:45", "-11:30", "+23:59", "-23:59"])
def test_timestamp_is_converted_to_utc(offset: str) -> None:
    moment = parse_timestamp(f"2026-10-15T12:00:00{offset}")
    assert moment.tzinfo is UTC
    assert moment == datetime.fromisoformat(f"2026-10-15T12:00:00{offset}")


@given(moments)
def test_timestamp_is_parsed_back_as_it_was_written(moment: datetime) -> None:
    assert parse_timestamp(moment.isoformat()) == moment
    assert parse_timestamp(moment) == moment


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-10-01T00:00:00.123456789Z", 123456),
        ("2026-10-01t00:00:00.5z", 500000),
        ("2026-10-01 00:00:00+00:00", 0),
    ],
)
def test_timestamp_is_cut_to_microseconds(text: str, microseconds: int) -> None:
    assert parse_timestamp(text) == datetime(2026, 10, 1, 0, 0, 0, microseconds, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    ["2026-10-01T00:00:00", "2026-10-01", "2026-02-29T00:00:00Z", "2026-10-01T24:00:01Z", "2026-10-01T00:00Z", "now",
     "", None, 1790812800, FIRST.replace(tzinfo=None), "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01",
     "9998-12-31T23:59:59-00:01", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00",
     "2016-12-31T23:59:60Z", "2026-10-01T00:00:00+00:60", "２０２６-10-01T00:00:00Z", "2026-10-01T00:00:00.٣Z",
     "2026-10-01T00:00:00+０1:00"],
)  # fmt: skip
def test_invalid_timestamp_is_rejected(value: object) -> None:
    with pytest.raises(BrokenRule):
        parse_timestamp(value)
