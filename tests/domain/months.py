"""Months with plans, meters and discounts, for the tests of bills and lines."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import strategies as st

from billing_app.domain.bill import MonthTerms, UsageKey, usage_keys
from billing_app.domain.currencies import EXPONENTS
from billing_app.domain.days import Segment, segments_in, spans_in
from billing_app.domain.discounts import Discount
from billing_app.domain.lines import Line, MonthUsage, late_lines, month_lines
from billing_app.domain.periods import next_period
from billing_app.domain.terms import Charge, Meter, Plan, Tier

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
USAGE = Meter(1, "usage", "Usage", "unit", "sum")
CALLS = Meter(2, "api_calls", "API calls", "call", "sum")
SEATS = Meter(3, "seats", "Seats", "seat", "max")
USERS = Meter(4, "users", "Active users", "user", "unique")
METERS = (USAGE, CALLS, SEATS, USERS)


def october(day: int) -> date:
    """Return a day of October 2026."""
    return date(2026, 10, day)


def per_unit(included: str, unit_price: str, meter: Meter = USAGE) -> Charge:
    """Return a charge for each unit beyond the included ones."""
    return Charge(meter, "per_unit", included_units=Decimal(included), unit_price=Decimal(unit_price))


def plan(monthly_price_minor: int, *charges: Charge, plan_id: int = 1, currency: str = "USD") -> Plan:
    """Return a plan version."""
    return Plan(plan_id, f"Plan {plan_id}", 1, currency, monthly_price_minor, charges)


def whole(terms: Plan, period_start: date = OCTOBER) -> tuple[Segment, ...]:
    """Return the segments of a month that is on one plan from its first day on."""
    return segments_in(period_start, [(period_start, terms)])


def tiers(*terms: tuple[str | None, str, int]) -> tuple[Tier, ...]:
    """Return tiers from (up to, unit price, flat price in minor units)."""
    return tuple(
        Tier(None if up_to is None else Decimal(up_to), Decimal(price), flat) for up_to, price, flat in terms
    )


def lines_of(terms: Plan, used: str, period_start: date = OCTOBER) -> tuple[Line, ...]:
    """Return the lines of a whole month with this usage of the default meter."""
    month = MonthTerms(period_start, whole(terms, period_start))
    return month_lines(month, MonthUsage({UsageKey(USAGE.meter_id, period_start): Decimal(used)}))


def late_lines_of(terms: Plan, before: str, now: str, period_start: date = OCTOBER) -> tuple[Line, ...]:
    """Return the late lines of a whole month whose usage of the default meter has become another."""
    key = UsageKey(USAGE.meter_id, period_start)
    usage = MonthUsage({key: Decimal(now)}, {key: Decimal(before)}, {key})
    return late_lines(MonthTerms(period_start, whole(terms, period_start)), usage)


def decimals(integer_digits: int, places: int) -> st.SearchStrategy[Decimal]:
    """Numbers of zero or more that fit a column. Edge cases, such as small and round ones, are frequent."""
    largest = 10 ** (integer_digits + places) - 1
    scaled = st.one_of(
        st.integers(0, 10 ** (places + 4)),
        st.integers(largest // 10, largest),
        st.integers(0, 2000).map(lambda whole: whole * 10**places),
    )
    # Not scaleb(), which rounds to the digits of the current decimal context.
    return scaled.map(lambda number: Decimal(f"{number}e-{places}"))


ALL_CURRENCIES = st.sampled_from(["USD", "JPY", "KWD", "CLF", *sorted(EXPONENTS)])
any_quantities = decimals(14, 6)
any_unit_prices = decimals(8, 12)
CURRENCIES = st.sampled_from(["USD", "JPY", "KWD"])
PERIODS = st.sampled_from([OCTOBER, date(2026, 2, 1), date(2028, 2, 1), date(2026, 4, 1)])
quantities = st.decimals(0, 50, places=6) | st.integers(0, 200).map(Decimal)
_included = st.decimals(0, 60, places=6) | st.integers(0, 60).map(Decimal)
_unit_prices = st.decimals(0, 30, places=12) | st.sampled_from(["0", "0.005", "0.0125", "1.5"]).map(Decimal)
_minor = st.integers(0, 5_000)


@st.composite
def charges(draw: st.DrawFn, meter: Meter) -> Charge:
    """Draw the price of a meter, of any model."""
    model = draw(st.sampled_from(["per_unit", "package", "graduated", "volume"]))
    if model == "per_unit":
        return Charge(meter, "per_unit", included_units=draw(_included), unit_price=draw(_unit_prices))
    if model == "package":
        size = draw(st.decimals("0.000001", 20, places=6))
        return Charge(
            meter,
            "package",
            included_units=draw(_included),
            package_size=size,
            package_price_minor=draw(_minor),
        )
    bounds = sorted(draw(st.sets(st.decimals("0.000001", 150, places=6), max_size=4)))
    made = tuple(Tier(up_to, draw(_unit_prices), draw(_minor)) for up_to in [*bounds, None])
    return Charge(meter, "graduated" if model == "graduated" else "volume", tiers=made)


@st.composite
def plans(draw: st.DrawFn, plan_id: int, currency: str) -> Plan:
    """Draw a plan with a price for some of the meters, in any order."""
    meters = draw(st.lists(st.sampled_from(METERS), unique=True, max_size=4))
    return plan(draw(_minor), *(draw(charges(meter)) for meter in meters), plan_id=plan_id, currency=currency)


@st.composite
def months(draw: st.DrawFn, currency: str, period_start: date) -> tuple[Segment, ...]:
    """Draw the segments of a month: up to four changes, cancellations among them, and at least one plan."""
    length = (next_period(period_start) - period_start).days
    days = sorted(draw(st.sets(st.integers(0, length - 1), min_size=1, max_size=4)))
    known = [draw(plans(number, currency)) for number in (1, 2)]
    changes = [
        (date(period_start.year, period_start.month, day + 1), draw(st.sampled_from([*known, None])))
        for day in days
    ]
    changes[0] = (changes[0][0], known[0])
    return segments_in(period_start, changes)


@st.composite
def discounts(draw: st.DrawFn, period_start: date) -> tuple[Discount, ...]:
    """Draw up to three discounts of a month."""
    made = []
    for number in range(1, draw(st.integers(0, 3)) + 1):
        percent = draw(st.none() | st.decimals("0.0001", 100, places=4))
        amount_minor = draw(st.integers(1, 8_000)) if percent is None else None
        applies_to = draw(st.sampled_from(["all", "base", "usage"]))
        made.append(Discount(number, f"No. {number}", percent, amount_minor, applies_to, period_start, None))
    return tuple(made)


def keys_of(segments: tuple[Segment, ...]) -> list[UsageKey]:
    """Return what names the usage of a month that has a price."""
    return sorted({key for span in spans_in(segments) for key in usage_keys(span)}, key=str)
