"""The arithmetic of a line, exactly as printed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing_app.documents.arithmetic import (
    badge,
    priced_quantity,
    sentences,
    subtitle,
    title,
    unit_price,
)
from billing_app.domain.bill import MonthTerms, UsageKey
from billing_app.domain.days import segments_in
from billing_app.domain.discounts import Discount
from billing_app.domain.lines import Line, MonthUsage, late_lines, month_lines
from billing_app.domain.terms import Charge
from tests.domain.months import (
    OCTOBER,
    SEATS,
    USERS,
    late_lines_of,
    lines_of,
    october,
    per_unit,
    plan,
    tiers,
    whole,
)
from tests.domain.test_bill import GRADUATED, PACKAGE, VOLUME

GROWTH = plan(2900, per_unit("1000", "0.0125"))


@pytest.mark.parametrize(
    ("used", "sentence"),
    [
        ("1530", "1,530 used − 1,000 included = 530 × $0.0125 = $6.625 → $6.63"),
        ("1200", "1,200 used − 1,000 included = 200 × $0.0125 = $2.50"),
        ("1001", "1,001 used − 1,000 included = 1 × $0.0125 = $0.0125 → $0.01"),
        ("1000", "1,000 used, within the 1,000 included = $0.00"),
        ("0", "0 used, within the 1,000 included = $0.00"),
        ("1000.5", "1,000.5 used − 1,000 included = 0.5 × $0.0125 = $0.00625 → $0.01"),
    ],
)
def test_overage_is_one_sentence(used: str, sentence: str) -> None:
    assert sentences(lines_of(GROWTH, used)[1], "USD") == [sentence]


def test_late_usage_shows_before_now_and_already_charged() -> None:
    (late,) = late_lines_of(GROWTH, "1001", "1002")
    assert sentences(late, "USD") == [
        "Before: 1,001 used − 1,000 included = 1 × $0.0125 = $0.0125 → $0.01",
        "Now: 1,002 used − 1,000 included = 2 × $0.0125 = $0.025 → $0.03",
        "$0.03 − $0.01 already charged = $0.02",
    ]


def test_monthly_price_has_no_arithmetic() -> None:
    assert sentences(lines_of(GROWTH, "0")[0], "USD") == []


def test_title_names_the_usage_month() -> None:
    base, usage = lines_of(GROWTH, "1")
    (late,) = late_lines_of(GROWTH, "1001", "1002")
    assert title(base) == "Monthly price"
    assert title(usage) == "Usage in October 2026"
    assert title(late) == "Usage in October 2026"


def from_the_fifteenth(charge: Charge, used: str) -> tuple[Line, ...]:
    """Return the lines of October on a plan that starts on the 15th."""
    meter = charge.meter
    key = UsageKey(meter.meter_id, october(15) if meter.adds_up else None)
    segments = segments_in(OCTOBER, [(october(15), plan(2900, charge))])
    return month_lines(MonthTerms(OCTOBER, segments), MonthUsage({key: Decimal(used)}))


def test_price_without_included_units_is_a_product() -> None:
    line = lines_of(plan(0, per_unit("0", "10")), "8")[1]
    assert sentences(line, "USD") == ["8 used × $10.00 = $80.00"]


def test_part_of_a_month_scales_the_terms() -> None:
    base, usage = from_the_fifteenth(per_unit("1000", "0.0125"), "700")
    assert title(base) == "Monthly price, Oct 15 – 31, 2026"
    assert sentences(base, "USD") == ["$29.00 × 17/31 days = $493.00/31 → $15.90"]
    assert title(usage) == "Usage, Oct 15 – 31, 2026"
    assert sentences(usage, "USD") == [
        "1,000 included × 17/31 days → 548.387097",
        "700 used − 548.387097 included = 151.612903 × $0.0125 = $1.8951612875 → $1.90",
    ]


def test_packages_are_counted() -> None:
    line = lines_of(plan(0, PACKAGE), "27")[1]
    assert unit_price(line, "USD") == "$3.00 per 5"
    assert sentences(line, "USD") == ["27 used − 10 included = 17, in packages of 5: 4 × $3.00 = $12.00"]
    within = lines_of(plan(0, PACKAGE), "10")[1]
    assert sentences(within, "USD") == ["10 used, within the 10 included = $0.00"]


def test_each_graduated_tier_has_a_line() -> None:
    lines = lines_of(plan(0, GRADUATED), "25000")[1:]
    assert [title(line) for line in lines] == [f"Usage in October 2026, tier {tier}" for tier in (1, 2, 3)]
    assert [priced_quantity(line) for line in lines] == ["1,000", "9,000", "15,000"]
    assert [sentence for line in lines for sentence in sentences(line, "USD")] == [
        "1,000 of 25,000 used (tier 1, up to 1,000) × $0.00 = $0.00",
        "9,000 of 25,000 used (tier 2, above 1,000 up to 10,000) × $0.01 = $90.00",
        "15,000 of 25,000 used (tier 3, above 10,000) × $0.004 + $5.00 flat fee = $65.00",
    ]


def test_tier_and_flat_fee_of_a_part_of_a_month_are_scaled() -> None:
    (line,) = from_the_fifteenth(VOLUME, "17000")[1:]
    assert sentences(line, "USD") == [
        "Tier 3: 10,000 × 17/31 days → 5,483.870968",
        (
            "17,000 used (tier 3, above 5,483.870968) × $0.01 + $5.00 flat fee × 17/31 days"
            " = $5,355.00/31 → $172.74"
        ),
    ]


def test_late_volume_usage_shows_the_tier_before_and_now() -> None:
    (late,) = late_lines_of(plan(0, VOLUME), "1000", "1001")
    assert (title(late), badge(late)) == ("Usage in October 2026", "Late usage")
    assert sentences(late, "USD") == [
        "Before: 1,000 used (tier 1, up to 1,000) × $0.02 = $20.00",
        "Now: 1,001 used (tier 2, above 1,000 up to 10,000) × $0.015 = $15.015 → $15.02",
        "$15.02 − $20.00 already charged = −$4.98",
    ]


def test_largest_quantity_is_priced_for_the_days_of_its_plan() -> None:
    (line,) = from_the_fifteenth(per_unit("0", "12", SEATS), "8")[1:]
    assert title(line) == "Seats, Oct 15 – 31, 2026"
    assert sentences(line, "USD") == ["8 at the peak × $12.00 × 17/31 days = $1,632.00/31 → $52.65"]
    terms = Charge(USERS, "volume", tiers=tiers(("5", "10", 0), (None, "8", 500)))
    (line,) = from_the_fifteenth(terms, "8")[1:]
    assert sentences(line, "USD") == [
        "(8 unique (tier 2, above 5) × $8.00 + $5.00 flat fee) × 17/31 days = $1,173.00/31 → $37.84"
    ]


def test_discounts_name_what_they_take_from() -> None:
    given = (
        Discount(1, "Welcome", Decimal(20), None, "all", OCTOBER, OCTOBER),
        Discount(2, "Loyalty", None, 1000, "base", OCTOBER, None),
        Discount(3, "Deal", None, 5000, "all", OCTOBER, None),
    )
    terms, key = MonthTerms(OCTOBER, whole(GROWTH), given), UsageKey(1, OCTOBER)
    lines = month_lines(terms, MonthUsage({key: Decimal(1530)}))[2:]
    assert [(title(line), sentences(line, "USD")) for line in lines] == [
        ("Welcome, on the monthly price of October 2026", ["20% of $29.00 = $5.80"]),
        ("Welcome, on usage in October 2026", ["20% of $6.63 = $1.326 → $1.33"]),
        ("Loyalty, on the monthly price of October 2026", ["$10.00 off"]),
        ("Deal, on the monthly price of October 2026", ["$50.00 off, limited to $13.20"]),
        ("Deal, on usage in October 2026", ["$36.80 remaining of $50.00 off, limited to $5.30"]),
    ]
    assert {subtitle(line) for line in lines} == {"Discount"}
    usage = MonthUsage({key: Decimal(1630)}, {key: Decimal(1530)}, {key}, {key})
    corrected, welcome, _ = late_lines(terms, usage)
    assert badge(corrected) == "Correction"
    assert sentences(welcome, "USD") == [
        "Before: 20% of $6.63 = $1.326 → $1.33",
        "Now: 20% of $7.88 = $1.576 → $1.58",
        "$1.58 − $1.33 already deducted = $0.25",
    ]


def test_one_off_item_is_its_description() -> None:
    item = Line(
        kind="one_off", description="Setup", usage_period=None, exact_amount=Decimal("100.5"),
        exact_denominator=1, rated_minor=10050, exact_amount_before=Decimal(0), already_charged_minor=0,
        amount_minor=10050, quantity=Decimal(3), unit_price=Decimal("33.5"), item_key="setup",
        item_date=october(3),
    )  # fmt: skip
    assert (title(item), subtitle(item)) == ("Setup", "One-off item of Oct 3, 2026")
    assert sentences(item, "USD") == ["3 × $33.50 = $100.50"]
    single = item._replace(quantity=Decimal(1), unit_price=Decimal("100.5"))
    assert sentences(single, "USD") == []
