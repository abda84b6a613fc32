"""The bill of a month and the lines that charge it: worked examples, and properties over all prices."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_app.domain.bill import MonthTerms, UsageKey, bill
from billing_app.domain.days import Segment, segments_in
from billing_app.domain.discounts import Discount
from billing_app.domain.exact_amounts import ExactAmount
from billing_app.domain.lines import Line, MonthUsage, late_lines, month_lines
from billing_app.domain.money import EXACT
from billing_app.domain.periods import next_period
from billing_app.domain.terms import Charge
from tests.domain.months import (
    CALLS,
    CURRENCIES,
    OCTOBER,
    PERIODS,
    SEATS,
    USAGE,
    discounts,
    keys_of,
    months,
    october,
    per_unit,
    plan,
    plans,
    quantities,
    tiers,
    whole,
)

OWN = UsageKey(USAGE.meter_id, OCTOBER)
STARTER = plan(2900, per_unit("1000", "0.0125"))


def used(**by_key: str) -> dict[UsageKey, Decimal]:
    """Return quantities of the default meter by the first day of a segment: `used(_15="700")`."""
    return {UsageKey(USAGE.meter_id, october(int(day[1:]))): Decimal(text) for day, text in by_key.items()}


def amounts(lines: Sequence[Line]) -> list[int]:
    return [line.amount_minor for line in lines]


def own(segments: tuple[Segment, ...], given_quantities: dict[UsageKey, Decimal]) -> tuple[Line, ...]:
    return month_lines(MonthTerms(OCTOBER, segments), MonthUsage(given_quantities))


GRADUATED = Charge(
    USAGE, "graduated", tiers=tiers(("1000", "0", 0), ("10000", "0.01", 0), (None, "0.004", 500))
)
VOLUME = Charge(USAGE, "volume", tiers=tiers(("1000", "0.02", 0), ("10000", "0.015", 0), (None, "0.01", 500)))
PACKAGE = Charge(
    USAGE, "package", included_units=Decimal(10), package_size=Decimal(5), package_price_minor=300
)


@pytest.mark.parametrize(
    ("charge", "quantity", "total_minor"),
    [
        (GRADUATED, "1001", 1),
        (GRADUATED, "10000", 9000),
        (GRADUATED, "10000.5", 9500),
        (GRADUATED, "25000", 15500),
        (VOLUME, "1000", 2000),
        (VOLUME, "1001", 1502),
        (VOLUME, "10000", 15000),
        (VOLUME, "10001", 10501),
        (PACKAGE, "10", 0),
        (PACKAGE, "10.000001", 300),
        (PACKAGE, "15", 300),
        (PACKAGE, "15.5", 600),
        (PACKAGE, "27", 1200),
    ],
)
def test_whole_month_costs(charge: Charge, quantity: str, total_minor: int) -> None:
    assert sum(amounts(own(whole(plan(0, charge)), used(_1=quantity)))) == total_minor


def test_customer_who_starts_in_the_month_pays_for_the_days_since() -> None:
    lines = own(segments_in(OCTOBER, [(october(15), STARTER)]), used(_15="700"))
    assert amounts(lines) == [1590, 190]
    assert (lines[1].included_quantity, lines[1].billed_quantity) == (
        Decimal("548.387097"),
        Decimal("151.612903"),
    )
    assert ExactAmount(lines[0].exact_amount, lines[0].exact_denominator).text() == "493/31"


def test_both_plans_of_a_month_charge_for_their_days() -> None:
    larger = plan(9900, per_unit("5000", "0.01"), plan_id=2)
    segments = segments_in(OCTOBER, [(date(2026, 3, 1), STARTER), (october(15), larger)])
    lines = own(segments, used(_1="600", _15="3000"))
    assert amounts(lines) == [1310, 5429, 185, 258]
    assert [line.billed_quantity for line in lines[2:]] == [Decimal("148.387097"), Decimal("258.064516")]


def test_identical_charges_of_two_plans_share_one_allowance() -> None:
    dearer = plan(3900, per_unit("1000", "0.0125"), plan_id=2)
    lines = own(segments_in(OCTOBER, [(OCTOBER, STARTER), (october(15), dearer)]), used(_15="900"))
    assert amounts(lines) == [1310, 2139, 0]
    assert (lines[2].plan_name, lines[2].days) == ("Plan 1", 31)


def test_discounts_apply_one_after_another_and_to_late_usage() -> None:
    terms = MonthTerms(
        OCTOBER,
        whole(STARTER),
        (
            Discount(1, "Welcome", Decimal(20), None, "all", OCTOBER, OCTOBER),
            Discount(2, "Loyalty", None, 1000, "base", OCTOBER, None),
        ),
    )
    lines = month_lines(terms, MonthUsage(used(_1="1530")))
    assert amounts(lines) == [2900, 663, -580, -133, -1000]
    late = late_lines(terms, MonthUsage(used(_1="1630"), used(_1="1530"), {OWN}))
    assert amounts(late) == [125, -25]


def test_correction_charges_the_difference() -> None:
    usage = MonthUsage(used(_1="1030"), used(_1="1530"), {OWN}, {OWN})
    (line,) = late_lines(MonthTerms(OCTOBER, whole(STARTER)), usage)
    assert (line.quantity, line.rated_minor, line.already_charged_minor) == (Decimal(-500), 38, 663)
    assert line.is_correction


def test_late_unit_that_reaches_a_cheaper_volume_price_is_a_credit() -> None:
    terms = MonthTerms(OCTOBER, whole(plan(0, VOLUME)))
    (line,) = late_lines(terms, MonthUsage(used(_1="1001"), used(_1="1000"), {OWN}))
    assert (line.amount_minor, line.tier_number, line.tier_number_before) == (-498, 2, 1)


@pytest.mark.parametrize(("later", "expected"), [("10", [0, 0, 8000]), ("12", [0, 0, 3613, 5265])])
def test_largest_quantity_counts_for_the_whole_month(later: str, expected: list[int]) -> None:
    first, second = (
        plan(0, per_unit("0", price, SEATS), plan_id=number) for number, price in ((1, "10"), (2, later))
    )
    segments = segments_in(OCTOBER, [(OCTOBER, first), (october(15), second)])
    lines = month_lines(
        MonthTerms(OCTOBER, segments), MonthUsage({UsageKey(SEATS.meter_id, None): Decimal(8)})
    )
    assert amounts(lines) == expected


def test_plan_that_returns_after_another_one_starts_a_new_span() -> None:
    other = plan(0, per_unit("500", "0.0125"), plan_id=2)
    changes = [(OCTOBER, STARTER), (october(11), other), (october(21), STARTER)]
    lines = own(segments_in(OCTOBER, changes), {})
    assert [(line.segment_start, line.days) for line in lines if line.kind == "overage"] == [
        (OCTOBER, 10),
        (october(11), 10),
        (october(21), 11),
    ]


def test_days_without_a_plan_cost_nothing() -> None:
    changes = [(OCTOBER, STARTER), (october(6), None), (october(21), STARTER)]
    lines = own(segments_in(OCTOBER, changes), {})
    assert [line.days for line in lines] == [5, 11, 5, 11]
    assert segments_in(OCTOBER, [(OCTOBER, None)]) == ()


def test_late_line_of_a_graduated_charge_without_units_is_its_first_tier() -> None:
    terms = MonthTerms(OCTOBER, whole(plan(0, GRADUATED)))
    (line,) = late_lines(terms, MonthUsage(used(_1="0"), used(_1="0"), {OWN}))
    assert (line.tier_number, line.amount_minor) == (1, 0)


def test_usage_that_has_no_price_has_no_line() -> None:
    usage = MonthUsage(
        {UsageKey(CALLS.meter_id, OCTOBER): Decimal(5)}, {}, {UsageKey(CALLS.meter_id, OCTOBER)}
    )
    assert late_lines(MonthTerms(OCTOBER, whole(STARTER)), usage) == ()


@st.composite
def billed_months(draw: st.DrawFn) -> tuple[MonthTerms, list[dict[UsageKey, Decimal]]]:
    """Draw a month, and its quantities after each of up to four invoices: they rise, fall or stay."""
    period_start = draw(PERIODS)
    segments = draw(months(draw(CURRENCIES), period_start))
    terms = MonthTerms(period_start, segments, draw(discounts(period_start)))
    keys = keys_of(segments)
    known: dict[UsageKey, Decimal] = {}
    after = []
    for _ in range(draw(st.integers(1, 4))):
        changed = draw(st.sets(st.sampled_from(keys))) if keys else set()
        known = known | {key: draw(quantities) for key in changed}
        after.append(known)
    return terms, after


@given(billed_months())
def test_all_that_is_charged_is_the_bill_of_everything(
    drawn: tuple[MonthTerms, list[dict[UsageKey, Decimal]]],
) -> None:
    """However usage arrives and is corrected, each component's amounts add up to its amount in the bill."""
    terms, after = drawn
    lines = list(month_lines(terms, MonthUsage(after[0])))
    for before, now in itertools.pairwise(after):
        arrived = {key for key in now if now.get(key) != before.get(key)}
        late = late_lines(terms, MonthUsage(now, before, arrived))
        for line in late:
            assert line.already_charged_minor == charged(lines)[line.component]
        lines += late
    everything = charged(month_lines(terms, MonthUsage(after[-1])))
    assert {key: amount for key, amount in charged(lines).items() if amount} == {
        key: amount for key, amount in everything.items() if amount
    }
    assert sum(amounts(lines)) == bill(terms, after[-1]).total_minor


def charged(lines: Sequence[Line]) -> defaultdict[tuple[object, ...], int]:
    sums: defaultdict[tuple[object, ...], int] = defaultdict(int)
    for line in lines:
        sums[line.component] += line.amount_minor
    return sums


@given(billed_months())
def test_exact_amounts_are_rounded_once(drawn: tuple[MonthTerms, list[dict[UsageKey, Decimal]]]) -> None:
    terms, after = drawn
    for line in month_lines(terms, MonthUsage(after[-1])):
        exact = Fraction(line.exact_amount) / line.exact_denominator
        scale = {"USD": 100, "JPY": 1, "KWD": 1000}[terms.currency]
        assert abs(exact * scale - line.rated_minor) <= Fraction(1, 2)
        if exact * scale - line.rated_minor == Fraction(1, 2):
            assert exact < 0


@given(billed_months())
def test_a_bill_is_never_negative(drawn: tuple[MonthTerms, list[dict[UsageKey, Decimal]]]) -> None:
    terms, after = drawn
    made = bill(terms, after[-1])
    left_minor = {"base": sum(each.amount_minor for each in made.base)}
    left_minor["usage"] = sum(price.amount_minor for each in made.usage for price in each.prices)
    for each in made.discounts:
        left_minor[each.part] += each.amount_minor
        assert each.amount_minor <= 0 <= left_minor[each.part]


@given(st.data(), CURRENCIES, PERIODS)
def test_change_that_changes_nothing_changes_no_amount(
    data: st.DataObject, currency: str, period_start: date
) -> None:
    """A month under two versions with the same charges has the usage lines of one undivided month."""
    one = data.draw(plans(1, currency))
    twin = plan(one.monthly_price_minor, *one.charges, plan_id=2, currency=currency)
    length = (next_period(period_start) - period_start).days
    split = period_start.replace(day=data.draw(st.integers(2, length)))
    divided = segments_in(period_start, [(period_start, one), (split, twin)])
    undivided = segments_in(period_start, [(period_start, one)])
    parts = {key: data.draw(quantities) for key in keys_of(divided)}
    together: dict[UsageKey, Decimal] = {}
    for key, quantity in parts.items():
        name = key if key.segment_start is None else UsageKey(key.meter_id, period_start)
        together[name] = EXACT.add(together.get(name, Decimal(0)), quantity)
    made = [month_lines(MonthTerms(period_start, divided), MonthUsage(parts))]
    made.append(month_lines(MonthTerms(period_start, undivided), MonthUsage(together)))
    first, second = ([line for line in lines if line.kind == "overage"] for lines in made)
    assert first == second
