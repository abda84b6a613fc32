"""Usage as it is looked at: counted, late ones only, day by day."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from billing_app.domain.actor import SYSTEM
from billing_app.services.usage import log as usage_log
from billing_app.services.usage.billing import billed_on
from billing_app.services.usage.days import MonthUsage, usage_per_day
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.log import count_usage, list_usage, usage_months
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.refusals import refused

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


@pytest.fixture
def used(shop: Shop, clock: Clock) -> Shop:
    """October's usage of acme, in time and late, and a little of November by two."""
    shop.customer("acme", start="2026-10")
    shop.customer("globex", start="2026-10")
    clock.set(2026, 10, 30)
    shop.use("acme", "a", 100, "2026-10-03T23:59:59Z")
    shop.use("acme", "b", "0.5", "2026-10-03T00:00:00Z")
    clock.set(2026, 11, 15)
    shop.invoice("acme", "2026-10")
    shop.use("acme", "late", 7, "2026-10-31T23:59:59Z")
    shop.use("acme", "c", 20, "2026-11-01T00:00:00Z")
    shop.use("globex", "d", 30, "2026-11-02T00:00:00Z")
    return shop


def test_the_count_is_of_what_is_listed(used: Shop, subtests: pytest.Subtests) -> None:
    for expected, filters in (
        (5, {}),
        (3, {"period": OCTOBER}),
        (3, {"billing_period": NOVEMBER}),
        (1, {"late_only": True}),
        (1, {"late_only": True, "customer": "ACME", "period": OCTOBER, "billing_period": NOVEMBER}),
        (0, {"late_only": True, "customer": "globex"}),
        (0, {"late_only": True, "period": NOVEMBER}),
    ):
        chosen: dict[str, Any] = filters
        with subtests.test(**chosen), used.database.transaction(SYSTEM) as session:
            assert count_usage(session, SYSTEM, UsageFilter(**chosen)) == (expected, False)
            assert len(list_usage(session, SYSTEM, UsageFilter(**chosen)).items) == expected


def test_it_is_counted_up_to_a_bound(used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound, expected in ((4, (4, True)), (5, (5, False)), (6, (5, False))):
        monkeypatch.setattr(usage_log, "COUNTED_MAX", bound)
        with used.database.transaction(SYSTEM) as session:
            assert count_usage(session, SYSTEM) == expected


def test_each_page_of_events_is_told_where_they_are_billed(used: Shop) -> None:
    with used.database.transaction(SYSTEM) as session:
        events = list_usage(session, SYSTEM).items
        found = billed_on(session, SYSTEM, events)
        assert billed_on(session, SYSTEM, ()) == {}
    assert {place: each.invoice_number for place, each in found.items()} == {
        ("acme", OCTOBER): "ACME-0001",
        ("acme", NOVEMBER): None,
        ("globex", NOVEMBER): None,
    }
    assert found["acme", OCTOBER].customer_name == found["acme", NOVEMBER].customer_name


def test_from_which_month_to_which_there_is_usage(used: Shop) -> None:
    with used.database.transaction(SYSTEM) as session:
        assert usage_months(session, SYSTEM) == (OCTOBER, NOVEMBER)


def test_without_usage_there_are_no_months(shop: Shop) -> None:
    with shop.database.transaction(SYSTEM) as session:
        assert usage_months(session, SYSTEM) is None


def test_a_month_day_by_day_with_what_the_plan_includes(used: Shop) -> None:
    def month(customer: str, period_start: date | None = None) -> MonthUsage:
        with used.database.transaction(SYSTEM) as session:
            return usage_per_day(session, SYSTEM, customer, period_start)

    october = month("acme", OCTOBER)
    assert [tuple(day) for day in october.days] == [
        (date(2026, 10, 3), 100.5, 2),
        (date(2026, 10, 31), 7, 1),
    ]
    assert (october.quantity, october.included_units) == (107.5, 1000)
    assert (month("acme").period_start, month("acme").quantity) == (NOVEMBER, 20)
    before = month("globex", date(2026, 9, 1))
    assert (before.quantity, before.included_units, before.days) == (0, None, ())
    with refused("invalid", field="period"):
        month("acme", date(2026, 10, 2))
    with refused("customer_not_found"):
        month("nobody")
