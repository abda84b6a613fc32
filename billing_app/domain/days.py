"""The days of a month on which each plan and each charge is in effect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from billing_app.domain.money import EXACT, round_quantity
from billing_app.domain.periods import next_period
from billing_app.domain.terms import Charge, Plan


class Share(NamedTuple):
    """Some of the days of a month."""

    days: int
    days_in_month: int

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole month."""
        return self.days == self.days_in_month

    def of_quantity(self, quantity: Decimal) -> Decimal:
        """Return this share of a quantity, rounded half up to 6 decimals."""
        if self.is_whole:
            return quantity
        return round_quantity(EXACT.multiply(quantity, Decimal(self.days)), self.days_in_month)


class Segment(NamedTuple):
    """A run of days of one month under one plan version. `end` is excluded."""

    start: date
    end: date
    plan: Plan


class Span(NamedTuple):
    """A run of days of one month in which the identical charge is in effect. `end` is excluded.

    `plan` is the one of the first day, and `position` is where the charge stands in it, from 1.
    `segments` are the first days of the segments that the span goes over.
    """

    start: date
    end: date
    plan: Plan
    position: int
    charge: Charge
    segments: tuple[date, ...]


def share_of(period_start: date, start: date, end: date) -> Share:
    """Return the share that the days from `start` up to, but not including, `end` are of the month."""
    return Share((end - start).days, (next_period(period_start) - period_start).days)


def segments_in(period_start: date, changes: Iterable[tuple[date, Plan | None]]) -> tuple[Segment, ...]:
    """Return the segments of a month.

    `changes` are pairs of a day and the plan from that day on, None after a cancellation, in the order of
    the days. The last one before the month counts too. Days without a plan are in no segment.
    """
    month_end = next_period(period_start)
    rows = [(max(day, period_start), plan) for day, plan in changes if day < month_end]
    segments: list[Segment] = []
    for (start, plan), end in zip(rows, [*(day for day, _ in rows[1:]), month_end], strict=True):
        if start == end or plan is None:
            continue
        previous = segments[-1] if segments else None
        if previous and previous.end == start and previous.plan.plan_id == plan.plan_id:
            segments[-1] = previous._replace(end=end)
        else:
            segments.append(Segment(start, end, plan))
    return tuple(segments)


@lru_cache(maxsize=1024)
def spans_in(segments: tuple[Segment, ...]) -> tuple[Span, ...]:
    """Return the spans of all charges, in the order of their first days and then of their positions.

    Most customers have one of a few combinations of segments, so results are kept.
    """
    spans: list[Span] = []
    for segment in segments:
        for position, charge in enumerate(segment.plan.charges, 1):
            index = _find_continued(spans, segment, charge)
            if index is None:
                spans.append(
                    Span(segment.start, segment.end, segment.plan, position, charge, (segment.start,))
                )
            else:
                continued = spans[index]
                spans[index] = continued._replace(
                    end=segment.end, segments=(*continued.segments, segment.start)
                )
    return tuple(spans)


def _find_continued(spans: Sequence[Span], segment: Segment, charge: Charge) -> int | None:
    """Return the index of the span that ends where the segment starts and has the identical charge."""
    for index, span in enumerate(spans):
        if span.end == segment.start and span.charge == charge:
            return index
    return None
