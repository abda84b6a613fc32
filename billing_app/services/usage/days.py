"""A customer's usage in a month by meter and day, with the included units of each charge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import Cursor
from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.days import Segment, Span, share_of, spans_in
from billing_app.domain.money import EXACT, exact_sum
from billing_app.domain.periods import bounds, next_period, period_of, periods_between
from billing_app.domain.pricing import ZERO, included_quantity
from billing_app.domain.terms import DEFAULT_METER_ID, Aggregation, Meter
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.plans.meter_queries import read_all_meters
from billing_app.services.plans.plan_in_effect import read_segments
from billing_app.services.shared import validation
from billing_app.services.shared.permissions import require
from billing_app.services.usage.counted_sql import DAY, item_events, largest_events, meters_by_aggregation


class DailyUsage(NamedTuple):
    """Usage on one UTC day: the quantity and the number of events."""

    day: date
    quantity: Decimal
    events: int


class MeteredDay(NamedTuple):
    """A day's usage of one meter, aggregated as the meter does. `added` is by how much it raises the month's quantity."""

    day: date
    quantity: Decimal
    added: Decimal


class ChargedSpan(NamedTuple):
    """A run of days of the month with the same charge. `end` is excluded.

    `quantity` is that of these days if the meter adds up, otherwise that of the whole month. `included` is in the
    same units, and None for a price in tiers.
    """

    start: date
    end: date
    quantity: Decimal
    included: Decimal | None


@dataclass(frozen=True, slots=True)
class MeteredMonth:
    """The usage of one meter in a month so far.

    `days` lists only days with usage, and `spans` is empty if no plan of the month has a charge for the meter.
    """

    meter: Meter
    quantity: Decimal
    days: tuple[MeteredDay, ...]
    spans: tuple[ChargedSpan, ...]


@dataclass(frozen=True, slots=True)
class MonthlyUsage:
    """A customer's usage in one month so far, whichever invoice bills it.

    `meters` has those that the month's plans charge, the last plan's first, and others with usage. It has at
    least one. `has_plan` says whether there is a plan on any day.
    """

    period_start: date
    has_plan: bool
    meters: tuple[MeteredMonth, ...]


class FirstCharge(NamedTuple):
    """The meter that a plan charges first, and the month's included units, which are None for a price in tiers."""

    meter: Meter
    included: Decimal | None


_WINDOW = (
    "customer_id = %(customer_id)s AND billing_period = ANY(%(periods)s)"
    " AND occurred_at >= %(start)s AND occurred_at < %(end)s"
)
# For each aggregation: meter, day, the day's quantity, and how many of its items are the month's first.
_DAYS: Mapping[Aggregation, str] = {
    "sum": f"""
        SELECT meter_id, {DAY}, sum(quantity), 0
          FROM (SELECT meter_id, occurred_at, quantity FROM usage_event
                 WHERE {_WINDOW} AND meter_id = ANY(%(sum_meters)s)
                UNION ALL
                SELECT meter_id, occurred_at, difference FROM usage_correction
                 WHERE {_WINDOW} AND meter_id = ANY(%(sum_meters)s)) used
         GROUP BY 1, 2
    """,
    "max": f"""
        SELECT meter_id, {DAY}, max(quantity), 0 FROM ({largest_events(_WINDOW)}) used GROUP BY 1, 2
    """,
    "unique": f"""
        SELECT meter_id, {DAY}, count(DISTINCT item), count(DISTINCT item) FILTER (WHERE is_first)
          FROM (SELECT meter_id, occurred_at, item,
                       occurred_at = min(occurred_at) OVER (PARTITION BY meter_id, item) AS is_first
                  FROM ({item_events(_WINDOW)}) counted) used
         GROUP BY 1, 2
    """,
}


def get_monthly_usage(
    session: Session, actor: Actor, customer: str, period_start: date | None = None
) -> MonthlyUsage:
    """Aggregate the customer's events of a usage month by meter, as they are corrected.

    By default, the current month.

    Raises NotFound (`customer_not_found`) and Invalid.
    """
    require(actor, Permission.READ)
    current = period_of(now(session))
    month = current if period_start is None else validation.period("period", period_start)
    customer_id = get_customer_id(session, customer)
    meters = read_all_meters(session)
    with driver_cursor(session) as db:
        days = _read_days(db, customer_id, month, current, meters)
        segments = read_segments(db, [(customer_id, month)]).get((customer_id, month), ())
    return MonthlyUsage(
        month,
        bool(segments),
        tuple(
            _metered_month(meters[each], days.get(each, ()), segments)
            for each in _order_meters(segments, days)
        ),
    )


def _read_days(
    db: Cursor[Any], customer_id: int, month: date, current: date, meters: Mapping[int, Meter]
) -> dict[int, tuple[MeteredDay, ...]]:
    """Return the days with usage of each meter that has any."""
    aggregations = {meter_id: meter.aggregation for meter_id, meter in meters.items()}
    start, end = bounds(month)
    # Listing the billing periods lets the query use the index, which has a range for each.
    periods = list(periods_between(month, next_period(max(month, current))))
    used = (query for kind, query in _DAYS.items() if kind in aggregations.values())
    db.execute(
        " UNION ALL ".join(used) + " ORDER BY 1, 2",
        {
            "customer_id": customer_id,
            "periods": periods,
            "start": start,
            "end": end,
            **meters_by_aggregation(aggregations),
        },
    )
    rows: defaultdict[int, list[tuple[date, Decimal, Decimal]]] = defaultdict(list)
    for meter_id, day, quantity, new_items in db:
        rows[meter_id].append((day, Decimal(quantity), Decimal(new_items)))
    return {each: tuple(_metered_days(aggregations[each], found)) for each, found in rows.items()}


def _metered_days(
    aggregation: Aggregation, rows: Iterable[tuple[date, Decimal, Decimal]]
) -> Iterator[MeteredDay]:
    largest = ZERO
    for day, quantity, new_items in rows:
        if aggregation == "max":
            added = max(ZERO, EXACT.subtract(quantity, largest))
            largest = max(quantity, largest)
        else:
            added = quantity if aggregation == "sum" else new_items
        yield MeteredDay(day, quantity, added)


def _order_meters(segments: Sequence[Segment], used: Iterable[int]) -> list[int]:
    charged = [charge.meter.meter_id for segment in reversed(segments) for charge in segment.plan.charges]
    return list(dict.fromkeys([*charged, *sorted(used)])) or [DEFAULT_METER_ID]


def _metered_month(meter: Meter, days: tuple[MeteredDay, ...], segments: Sequence[Segment]) -> MeteredMonth:
    spans = tuple(_charged_span(each, days) for each in _spans_of(meter, segments))
    return MeteredMonth(meter, exact_sum(day.added for day in days), days, spans)


def _spans_of(meter: Meter, segments: Sequence[Segment]) -> list[Span]:
    return [each for each in spans_in(tuple(segments)) if each.charge.meter.meter_id == meter.meter_id]


def _charged_span(span: Span, days: Sequence[MeteredDay]) -> ChargedSpan:
    is_whole_month = not span.charge.meter.adds_up
    quantity = exact_sum(day.added for day in days if is_whole_month or span.start <= day.day < span.end)
    return ChargedSpan(span.start, span.end, quantity, _included_in(span))


def _included_in(span: Span) -> Decimal | None:
    if span.charge.included_units is None:
        return None
    return included_quantity(span.charge, share_of(span.start.replace(day=1), span.start, span.end))


def find_first_charges(session: Session, actor: Actor, customer_ids: Iterable[int]) -> dict[int, FirstCharge]:
    """Return what the plan of today (UTC) charges first, for each customer whose plan charges for usage.

    The included units are those of all spans of the month that have the meter, if it adds up.
    """
    require(actor, Permission.READ)
    today = now(session).date()
    month = today.replace(day=1)
    with driver_cursor(session) as db:
        months = read_segments(db, [(customer_id, month) for customer_id in customer_ids])
    found = ((customer_id, _first_charge(segments, today)) for (customer_id, _), segments in months.items())
    return {customer_id: charge for customer_id, charge in found if charge is not None}


def _first_charge(segments: Sequence[Segment], today: date) -> FirstCharge | None:
    plan = next((each.plan for each in segments if each.start <= today < each.end), None)
    if plan is None or not plan.charges:
        return None
    meter = plan.charges[0].meter
    spans = _spans_of(meter, segments)
    if not meter.adds_up:
        spans = [each for each in spans if each.start <= today < each.end]
    included = [_included_in(each) for each in spans]
    known = [each for each in included if each is not None]
    return FirstCharge(meter, exact_sum(known) if len(known) == len(included) else None)
