"""Price simulations as pages show them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from billing_app.services.audit.names import Named
from billing_app.services.simulations.rows import Selection, SimulatedRow, SimulationRequest, SimulationRow
from billing_app.state.presenters.simulations import (
    SimulationItem,
    change,
    difference_points,
    signed,
    simulation_item,
)
from tests.domain.months import per_unit, plan

NAMES = {
    "cus_7": Named("cus_7", "Acme", "acme"),
    "plan_1": Named("plan_1", "Growth, version 1"),
    "usr_2": Named("usr_2", "Finn Ance"),
}


def shown(selection: Selection, plan_id: int = 0, **counts: int) -> SimulationItem:
    terms = plan(2900, per_unit("1000", "0.0125"), plan_id=plan_id)
    numbers = {
        "total": 5,
        "simulated": 0,
        "other_currency": 0,
        "no_plan": 0,
        "before_minor": 0,
        "after_minor": 0,
    }
    row = SimulationRow(
        simulation_id=3,
        request=SimulationRequest(date(2026, 10, 1), selection, terms),
        status="running",
        started_by="usr_2",
        started_at=datetime(2026, 11, 15, 12, tzinfo=UTC),
        finished_at=None,
        fault=None,
        **{**numbers, **counts},
    )
    return simulation_item(row, NAMES, ZoneInfo("UTC"))


def test_simulation_says_what_was_asked_and_by_whom() -> None:
    item = shown(Selection(currency="USD"), simulated=2, before_minor=1000, after_minor=1125)
    assert (item.month, item.customers) == ("October 2026", "all customers billed in USD")
    assert (item.prices, item.is_unsaved) == ("Terms not saved as a plan", True)
    assert item.terms == "$29.00 a month, 1,000 included units, $0.0125 per unit of overage"
    assert (item.by, item.processed, item.total, item.caption) == ("Finn Ance", 2, 5, "2 of 5 customers")
    assert (item.difference, item.change, item.direction) == ("+$1.25", "+12.5%", "up")
    saved = shown(Selection(plan_id=1), plan_id=1)
    assert (saved.customers, saved.prices) == ("customers on Growth, version 1", "Plan 1, version 1")
    assert not saved.is_unsaved
    assert shown(Selection(customer_id=7)).customers == "Acme"


def test_customers_that_are_left_out_are_counted() -> None:
    item = shown(Selection(currency="EUR"), other_currency=1200, no_plan=2)
    assert item.left_out == "Left out: 1,200 billed in another currency, 2 without a plan in this month"
    assert (item.processed, item.total) == (1202, 1202)
    assert shown(Selection(currency="EUR")).left_out == ""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (10000, 11234, "+12.3%"),
        (10000, 9990, "\N{MINUS SIGN}0.1%"),
        (10000, 10004, "0.0%"),
        (100, 200000, "+199,900.0%"),
        (0, 500, ""),
        (-500, 500, ""),
    ],
)
def test_change_is_in_percent_of_what_was_paid(before: int, after: int, expected: str) -> None:
    assert change(before, after) == expected


def test_bars_are_increases_and_decreases() -> None:
    rows = [SimulatedRow(1, "acme", "Acme", 100, 350, 250), SimulatedRow(2, "beta", "Beta", 100, 40, -60)]
    assert difference_points(rows, "USD") == [
        {"label": "acme", "up": 2.5, "up_text": "+$2.50", "down": 0.0, "down_text": "", "difference": 2.5,
         "difference_text": "+$2.50"},
        {"label": "beta", "up": 0.0, "up_text": "", "down": -0.6, "down_text": "\N{MINUS SIGN}$0.60",
         "difference": -0.6, "difference_text": "\N{MINUS SIGN}$0.60"},
    ]  # fmt: skip
    assert signed(0, "JPY") == "¥0"
