"""A month under other terms: the same usage and discounts, and every day with a plan on the other one."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing_app.domain.bill import UsageKey, bill, month_terms
from billing_app.domain.days import segments_in
from billing_app.domain.discounts import Discount
from billing_app.domain.simulation import simulate
from billing_app.domain.terms import Charge
from tests.domain.months import CALLS, OCTOBER, SEATS, USAGE, october, per_unit, plan, tiers

OLD = plan(2900, per_unit("1000", "0.0125"))
MID = plan(9900, per_unit("5000", "0.01"), per_unit("0", "10", SEATS), plan_id=2)
NEW = plan(
    1900,
    Charge(USAGE, "graduated", tiers=tiers(("500", "0.02", 0), (None, "0.01", 500))),
    per_unit("10", "0.5", CALLS),
    per_unit("0", "12", SEATS),
    plan_id=0,
)


def test_worked_example_under_other_terms() -> None:
    terms = month_terms(OCTOBER, segments_in(OCTOBER, [(OCTOBER, OLD)]), ())
    used = {UsageKey(USAGE.meter_id, OCTOBER): Decimal(1530)}
    found = simulate(terms, used, plan(9900, per_unit("5000", "0.01"), plan_id=0))
    assert (found.before_minor, found.after_minor, found.difference_minor) == (3563, 9900, 6337)


def test_meter_without_a_price_is_priced_by_the_other_terms() -> None:
    terms = month_terms(OCTOBER, segments_in(OCTOBER, [(OCTOBER, OLD)]), ())
    used = {UsageKey(CALLS.meter_id, OCTOBER): Decimal(30), UsageKey(SEATS.meter_id, None): Decimal(2)}
    assert simulate(terms, used, NEW) == (2900, 1900 + 1000 + 2400)


@given(
    days=st.lists(st.integers(2, 31), min_size=1, max_size=3, unique=True).map(sorted),
    quantities=st.lists(st.integers(0, 20_000), min_size=4, max_size=4),
    percent=st.sampled_from([None, Decimal(20)]),
)
def test_month_of_several_plans_equals_a_month_on_the_other_plan(
    days: list[int], quantities: list[int], percent: Decimal | None
) -> None:
    """Adjoining segments become one, and their usage is that of the whole."""
    plans = [OLD, MID, OLD, MID]
    changes = [(october(day), each) for day, each in zip([1, *days], plans, strict=False)]
    discounts = [Discount(1, "Welcome", percent, None, "all", OCTOBER, None)] if percent else []
    terms = month_terms(OCTOBER, segments_in(OCTOBER, changes), discounts)
    used = {
        UsageKey(USAGE.meter_id, each.start): Decimal(quantity)
        for each, quantity in zip(terms.segments, quantities, strict=False)
    }
    used[UsageKey(SEATS.meter_id, None)] = Decimal(3)
    whole = month_terms(OCTOBER, segments_in(OCTOBER, [(OCTOBER, NEW)]), discounts)
    total = sum(value for key, value in used.items() if key.meter_id == USAGE.meter_id)
    expected = bill(
        whole, {UsageKey(USAGE.meter_id, OCTOBER): Decimal(total), UsageKey(SEATS.meter_id, None): Decimal(3)}
    )
    assert simulate(terms, used, NEW) == (bill(terms, used).total_minor, expected.total_minor)


def test_days_without_a_plan_stay_without_one() -> None:
    changes = [(october(3), OLD), (october(10), None), (october(20), MID)]
    terms = month_terms(OCTOBER, segments_in(OCTOBER, changes), ())
    used = {
        UsageKey(USAGE.meter_id, october(3)): Decimal(900),
        UsageKey(USAGE.meter_id, october(20)): Decimal(2000),
    }
    other = [(october(3), NEW), (october(10), None), (october(20), NEW)]
    expected = bill(month_terms(OCTOBER, segments_in(OCTOBER, other), ()), used)
    assert simulate(terms, used, NEW).after_minor == expected.total_minor
