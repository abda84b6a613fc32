"""What the pages say of an amount, exactly as it is printed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from billing_app.domain.rating import LateUsage, Plan, base_line, late_usage_line, overage_line
from billing_app.state import address, text
from billing_app.state.arithmetic import sentences

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
def test_usage_in_one_sentence(used: str, sentence: str) -> None:
    assert sentences(overage_line(plan(), OCTOBER, Decimal(used)), "USD") == [sentence]


def test_late_usage_says_before_now_and_what_was_charged() -> None:
    late = LateUsage(OCTOBER, plan(), Decimal(1001), Decimal(1002))
    assert sentences(late_usage_line(late), "USD") == [
        "Before: 1,001 used − 1,000 included = 1 × $0.0125 = $0.0125 → $0.01",
        "Now: 1,002 used − 1,000 included = 2 × $0.0125 = $0.025 → $0.03",
        "$0.03 − $0.01 already charged = $0.02",
    ]


def test_a_monthly_price_needs_no_arithmetic() -> None:
    assert sentences(base_line(plan()), "USD") == []


def test_currencies_have_their_own_decimals() -> None:
    assert text.money(663, "USD") == "$6.63"
    assert text.money(7, "JPY") == "¥7"
    assert text.money(1234567, "KWD") == "KWD\N{NO-BREAK SPACE}1,234.567"
    assert text.money(-2, "USD") == "−$0.02"
    assert text.exact_money(Decimal("7.25"), "JPY") == "¥7.25"
    assert text.exact_money(Decimal("0.000000000001"), "USD") == "$0.000000000001"
    assert text.money(10**30, "USD").startswith("$10,000,000,000")


def test_moments_are_in_the_viewers_zone_with_utc_beside() -> None:
    moment = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    assert text.moment(moment, text.zone_named("Europe/Berlin")) == "Nov 1, 2026, 00:30:00"
    assert text.moment_utc(moment) == "2026-10-31 23:30:00 UTC"


@pytest.mark.parametrize(
    "name", ["", "Nowhere/Land", "../../etc/passwd", "/etc/passwd", "\0", "Europe", "x" * 999]
)
def test_a_zone_that_is_none_is_utc(name: str) -> None:
    assert str(text.zone_named(name)) == "UTC"


def test_a_trail_leads_forth_and_back() -> None:
    trail = address.further("", "a")
    trail = address.further(trail, "b")
    assert address.cursor_of(trail) == "b"
    assert address.cursor_of(address.back(trail)) == "a"
    assert address.cursor_of(address.back(address.back(trail))) is None
    assert address.further(trail, None) == ""
    for step in range(100):
        trail = address.further(trail, str(step))
    assert address.cursor_of(trail) == "99"
    assert trail.count("~") < address.TRAIL_MAX
