from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_app.domain.currencies import exponent
from billing_app.domain.money import plain
from billing_app.domain.periods import next_period
from billing_app.domain.rating import LateUsage, Line, Plan, invoice_lines, rate
from tests.domain.strategies import plans, quantities

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
STANDARD = Plan(1, "Standard", 1, "USD", 2900, Decimal(1000), Decimal("0.0125"))
ZERO = Decimal(0)


def amounts(lines: tuple[Line, ...]) -> list[tuple[str, int]]:
    return [(line.kind, line.amount_minor) for line in lines]


def late(before: int, after: int, plan: Plan = STANDARD) -> LateUsage:
    return LateUsage(OCTOBER, plan, Decimal(before), Decimal(after))


@pytest.mark.parametrize(
    ("quantity", "minor"),
    [("0", 0), ("1000", 0), ("1000.000001", 0), ("1000.4", 1), ("1001", 1), ("1530", 663)],
)
def test_overage_is_charged(quantity: str, minor: int) -> None:
    assert rate(STANDARD, Decimal(quantity)).amount_minor == minor


@given(plans(), quantities)
def test_rating_is_exact_until_it_is_rounded_once(plan: Plan, quantity: Decimal) -> None:
    rated = rate(plan, quantity)
    beyond = max(Fraction(0), Fraction(quantity) - Fraction(plan.included_units))
    exact = beyond * Fraction(plan.overage_unit_price)
    assert Fraction(rated.overage_quantity) == beyond
    assert Fraction(rated.exact_amount) == exact
    assert rated.amount_minor == (exact * 10 ** exponent(plan.currency) + Fraction(1, 2)).__floor__()


def test_largest_possible_month_loses_no_digit() -> None:
    """A million events of the largest quantity at the highest price."""
    dearest = Plan(1, "Dear", 1, "USD", 0, ZERO, Decimal("99999999.999999999999"))
    quantity = Decimal("99999999999999.999999") * 1_000_000
    rated = rate(dearest, quantity)
    assert Fraction(rated.exact_amount) == Fraction(quantity) * Fraction(dearest.overage_unit_price)
    assert rated.amount_minor == (Fraction(rated.exact_amount) * 100 + Fraction(1, 2)).__floor__()


@given(plans(), quantities, quantities)
def test_more_usage_never_costs_less(plan: Plan, one: Decimal, other: Decimal) -> None:
    less, more = sorted((one, other))
    assert rate(plan, less).amount_minor <= rate(plan, more).amount_minor


@given(plans(), st.lists(quantities, min_size=1, max_size=12), st.randoms())
def test_charges_do_not_depend_on_arrival_order(plan: Plan, events: list[Decimal], random: object) -> None:
    """The month's own invoice and each later one bill the events that arrived before it."""
    random.shuffle(events)  # type: ignore[attr-defined]
    cuts = sorted(random.choices(range(len(events) + 1), k=4))  # type: ignore[attr-defined]
    totals = [sum(events[:cut], ZERO) for cut in (*cuts, len(events))]
    lines = list(invoice_lines(plan, OCTOBER, totals[0], ()))
    period = OCTOBER
    for before, after in pairwise(totals):
        period = next_period(period)
        if before != after:
            own = invoice_lines(plan, period, ZERO, [LateUsage(OCTOBER, plan, before, after)])
            lines += [line for line in own if line.usage_period == OCTOBER]
    charged = sum(line.amount_minor for line in lines if line.usage_period == OCTOBER)
    assert charged == rate(plan, sum(events, ZERO)).amount_minor


@given(plans(), quantities, st.lists(st.tuples(plans(), quantities, quantities), max_size=3))
def test_every_line_carries_its_arithmetic(
    plan: Plan, quantity: Decimal, earlier: list[tuple[Plan, Decimal, Decimal]]
) -> None:
    late_usage = [LateUsage(OCTOBER, each, *sorted((one, other))) for each, one, other in earlier]
    base, *usage_lines = invoice_lines(plan, NOVEMBER, quantity, late_usage)
    assert (base.kind, base.amount_minor, base.already_charged_minor) == ("base", plan.monthly_price_minor, 0)
    assert Fraction(base.exact_amount) * 10 ** exponent(plan.currency) == plan.monthly_price_minor
    for line, terms in zip(usage_lines, [plan, *(each[0] for each in earlier)], strict=True):
        assert line.quantity is not None
        assert line.quantity_before is not None
        assert line.quantity_after is not None
        assert line.included_quantity == terms.included_units
        assert line.unit_price == terms.overage_unit_price
        assert Fraction(line.quantity_after) == Fraction(line.quantity_before) + Fraction(line.quantity)
        assert line.rated_minor == rate(terms, line.quantity_after).amount_minor
        assert line.already_charged_minor == rate(terms, line.quantity_before).amount_minor
        assert line.amount_minor == line.rated_minor - line.already_charged_minor >= 0


def test_worked_examples() -> None:
    assert amounts(invoice_lines(STANDARD, OCTOBER, Decimal(1530), ())) == [("base", 2900), ("overage", 663)]
    assert amounts(invoice_lines(STANDARD, OCTOBER, ZERO, ())) == [("base", 2900), ("overage", 0)]
    assert amounts(invoice_lines(STANDARD, NOVEMBER, Decimal(1200), [late(900, 1200)])) == [
        ("base", 2900), ("overage", 250), ("late_usage", 250),
    ]  # fmt: skip
    assert amounts(invoice_lines(STANDARD, NOVEMBER, ZERO, [late(1001, 1002)])) == [
        ("base", 2900), ("overage", 0), ("late_usage", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("currency", "price", "quantity", "minor"),
    [
        ("JPY", "0.5", 1, 1),
        ("JPY", "0.5", 2, 1),
        ("JPY", "0.5", 3, 2),
        ("KWD", "0.0005", 1, 1),
        ("KWD", "0.0005", 3, 2),
    ],
)
def test_late_half_unit_is_charged_once(currency: str, price: str, quantity: int, minor: int) -> None:
    plan = Plan(1, "Cents", 1, currency, 0, ZERO, Decimal(price))
    one_by_one = [
        invoice_lines(None, NOVEMBER, ZERO, [late(before, before + 1, plan)])[0].amount_minor
        for before in range(quantity)
    ]
    assert sum(one_by_one) == minor == rate(plan, Decimal(quantity)).amount_minor


def test_month_without_a_plan_charges_late_usage_only() -> None:
    assert invoice_lines(None, NOVEMBER, ZERO, ()) == ()
    assert amounts(invoice_lines(None, NOVEMBER, ZERO, [late(0, 1530)])) == [("late_usage", 663)]


def test_late_usage_has_the_price_of_its_own_month() -> None:
    dear = Plan(2, "Dear", 3, "USD", 9900, ZERO, Decimal(1))
    line = invoice_lines(dear, NOVEMBER, ZERO, [late(1000, 1100)])[-1]
    assert (line.plan_name, line.plan_version, line.amount_minor) == ("Standard", 1, 125)
    assert line.description == "Late usage of 2026-10"
    assert plain(line.quantity or ZERO) == "100"
