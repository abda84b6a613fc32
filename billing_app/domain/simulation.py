"""What a month would have cost under other terms, next to what it costs."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from billing_app.domain.bill import MonthTerms, Quantities, UsageKey, bill
from billing_app.domain.days import Segment, segments_in
from billing_app.domain.money import EXACT
from billing_app.domain.pricing import ZERO
from billing_app.domain.terms import Plan


class SimulatedMonth(NamedTuple):
    """The totals of a month's two bills, in minor units: under its own terms, and under the others."""

    before_minor: int
    after_minor: int

    @property
    def difference_minor(self) -> int:
        """What the other terms change, positive if the month becomes more expensive."""
        return self.after_minor - self.before_minor


def simulate(terms: MonthTerms, quantities: Quantities, plan: Plan) -> SimulatedMonth:
    """Bill a month twice: as it is, and with every day that has a plan on this one instead.

    The usage and the discounts are the same.
    """
    before = bill(terms, quantities)
    segments = _put_on(terms, plan)
    if len(terms.segments) > 1:
        quantities = _move(quantities, segments)
    after = bill(terms._replace(segments=segments), quantities)
    return SimulatedMonth(before.total_minor, after.total_minor)


def _put_on(terms: MonthTerms, plan: Plan) -> tuple[Segment, ...]:
    """Return the same days on another plan. Adjoining segments become one."""
    changes: list[tuple[date, Plan | None]] = []
    for each in terms.segments:
        changes += [(each.start, plan), (each.end, None)]
    return segments_in(terms.period_start, changes)


def _move(quantities: Quantities, segments: tuple[Segment, ...]) -> Quantities:
    """Add up the quantities of segments that have become one."""
    moved: defaultdict[UsageKey, Decimal] = defaultdict(lambda: ZERO)
    for key, quantity in quantities.items():
        start = key.segment_start and _start_of(key.segment_start, segments)
        target = UsageKey(key.meter_id, start)
        moved[target] = EXACT.add(moved[target], quantity)
    return moved


def _start_of(day: date, segments: tuple[Segment, ...]) -> date:
    """Return the first day of the segment that contains the day."""
    return next(each.start for each in segments if each.start <= day < each.end)
