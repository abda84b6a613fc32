"""The arithmetic of a line, exactly as printed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from billing_app.documents.arithmetic import sentences, title
from billing_app.domain.rating import LateUsage, Plan, base_line, late_usage_line, overage_line

OCTOBER = date(2026, 10, 1)


def plan(included: str = "1000", price: str = "0.0125", currency: str = "USD") -> Plan:
    return Plan(1, "Growth", 1, currency, 2900, Decimal(included), Decimal(price))


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
    assert sentences(overage_line(plan(), OCTOBER, Decimal(used)), "USD") == [sentence]


def test_late_usage_shows_before_now_and_already_charged() -> None:
    late = LateUsage(OCTOBER, plan(), Decimal(1001), Decimal(1002))
    assert sentences(late_usage_line(late), "USD") == [
        "Before: 1,001 used − 1,000 included = 1 × $0.0125 = $0.0125 → $0.01",
        "Now: 1,002 used − 1,000 included = 2 × $0.0125 = $0.025 → $0.03",
        "$0.03 − $0.01 already charged = $0.02",
    ]


def test_monthly_price_has_no_arithmetic() -> None:
    assert sentences(base_line(plan()), "USD") == []


def test_title_names_the_usage_month() -> None:
    late = LateUsage(OCTOBER, plan(), Decimal(1001), Decimal(1002))
    assert title(base_line(plan())) == "Monthly price"
    assert title(overage_line(plan(), OCTOBER, Decimal(1))) == "Usage in October 2026"
    assert title(late_usage_line(late)) == "Usage in October 2026"
