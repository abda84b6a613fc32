"""What a customer's page shows of this month's usage: one meter, picked from those that it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from billing_app.domain.money import EXACT
from billing_app.domain.periods import next_period
from billing_app.domain.pricing import ZERO
from billing_app.domain.terms import Aggregation, Meter
from billing_app.services.usage.days import ChargedSpan, MeteredMonth, MonthlyUsage
from billing_app.state.kit import text
from billing_app.state.kit.charts import Value, point
from billing_app.state.kit.lists import Option
from billing_app.state.presenters.customers import UsageMonth
from billing_app.wording.values import plural_of

_DAY = timedelta(days=1)
_TOTALS: dict[Aggregation, str] = {
    "sum": "Total so far",
    "max": "Largest so far",
    "unique": "Different items so far",
}
_USED: dict[Aggregation, str] = {"sum": "Used", "max": "Largest", "unique": "Different items"}


def present_usage(used: MonthlyUsage, picked: str, today: date) -> UsageMonth:
    """Present the meter with this code, or else the first one."""
    first = used.meters[0]
    shown = next((each for each in used.meters if each.meter.code == picked), first)
    has_several = len(used.meters) > 1
    is_divided = len(shown.spans) > 1
    included = shown.spans[0].included if len(shown.spans) == 1 else None
    return UsageMonth(
        period=text.month(used.period_start),
        meters=[Option("" if each is first else each.meter.code, _option(each)) for each in used.meters]
        if has_several
        else [],
        meter=shown.meter.name if has_several else "",
        used=text.quantity(shown.quantity),
        caption=_caption(shown, today) if used.has_plan else "No plan this month",
        total_name=_TOTALS[shown.meter.aggregation],
        used_name=_USED[shown.meter.aggregation],
        is_divided=is_divided,
        has_included=included is not None,
        included=float(included or 0),
        included_text=f"{text.quantity(included)} included" if included is not None else "",
        points=list(_points(shown, used.period_start, today)),
    )


def _option(used: MeteredMonth) -> str:
    return f"{used.meter.name}: {text.metered(used.quantity, used.meter)}"


def _caption(used: MeteredMonth, today: date) -> str:
    """Compare the usage with what is included, in the span of today if the month is divided."""
    unit = text.unit_of(used.quantity, used.meter)
    if not used.spans:
        return f"{unit}, not priced"
    span = next((each for each in used.spans if each.start <= today < each.end), used.spans[-1])
    if len(used.spans) == 1:
        return _share(span, used.meter) if span.included else f"{unit}, {_without_included(span)}"
    days = text.day_range(span.start, span.end)
    if not span.included:
        return f"{unit}. {days}: {_without_included(span)}"
    return f"{unit}. {days}: {text.quantity(span.quantity)} {_share(span, used.meter)}"


def _without_included(span: ChargedSpan) -> str:
    return "priced in tiers" if span.included is None else "none included"


def _share(span: ChargedSpan, meter: Meter) -> str:
    assert span.included is not None
    noun = meter.unit if span.included == 1 else plural_of(meter.unit)
    of_included = f"of {text.quantity(span.included)} included {noun}"
    if span.quantity > span.included:
        return f"{of_included} ({text.quantity(EXACT.subtract(span.quantity, span.included))} overage)"
    return f"{of_included} ({text.quantity(EXACT.subtract(span.included, span.quantity))} left)"


def _points(used: MeteredMonth, month: date, today: date) -> Iterable[dict[str, Any]]:
    """Return a point for each day of the month. Future days have no values but what is included.

    The total of a meter that adds up starts again in each span, which has its own included units.
    """
    days = {each.day: each for each in used.days}
    starts = {each.start for each in used.spans[1:]} if used.meter.adds_up else set()
    day, total = month, ZERO
    while day < next_period(month):
        if day in starts:
            total = ZERO
        values = _included_on(day, used.spans)
        # Events may be a few minutes in the future, and thus on a day that hasn't started.
        if day <= today or day in days:
            found = days.get(day)
            total = EXACT.add(total, found.added if found else ZERO)
            values |= {"total": _value(total), "used": _value(found.quantity if found else ZERO)}
        yield point(text.day_of_month(day), **values)
        day += _DAY


def _included_on(day: date, spans: Sequence[ChargedSpan]) -> dict[str, Value]:
    """Return the included units of the day's span, if the month has several."""
    if len(spans) < 2:
        return {}
    span = next((each for each in spans if each.start <= day < each.end), None)
    return {} if span is None or span.included is None else {"included": _value(span.included)}


def _value(number: Decimal) -> Value:
    return number, text.quantity(number)
