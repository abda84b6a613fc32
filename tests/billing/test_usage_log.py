"""The usage log: counts, filters, invoices of events, and usage per day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from billing_app.domain.actor import SYSTEM
from billing_app.services.usage import log as usage_log
from billing_app.services.usage.billing import find_invoice_numbers
from billing_app.services.usage.days import MonthlyUsage, get_monthly_usage
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.log import count_usage, find_usage_months, list_usage
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.refusals import refused

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


@pytest.fixture
def used(shop: Shop, clock: Clock) -> Shop:
    """Return a shop with usage of acme in October, some of it late, and of two customers in November."""
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


def test_count_and_list_use_the_same_filter(used: Shop, subtests: pytest.Subtests) -> None:
    for expected, filters in (
        (5, {}),
        (3, {"period": OCTOBER}),
        (3, {"billing_period": NOVEMBER}),
        (1, {"late_only": True}),
        (1, {"late_only": True, "customer": "ACME", "period": OCTOBER, "billing_period": NOVEMBER}),
        (0, {"late_only": True, "customer": "globex"}),
        (0, {"late_only": True, "period": NOVEMBER}),
    ):
        wanted: dict[str, Any] = filters
        with subtests.test(**wanted), used.database.transaction(SYSTEM) as session:
            assert count_usage(session, SYSTEM, UsageFilter(**wanted)) == (expected, False)
            assert len(list_usage(session, SYSTEM, UsageFilter(**wanted)).items) == expected


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"billing_period": NOVEMBER},
        {"billing_period": OCTOBER},
        {"billing_period": NOVEMBER, "period": NOVEMBER},
        {"billing_period": NOVEMBER, "period": OCTOBER},
        {"billing_period": NOVEMBER, "late_only": True},
        {"billing_period": NOVEMBER, "period": NOVEMBER, "late_only": True},
    ],
)
def test_pages_are_the_parts_of_one_list(used: Shop, filters: dict[str, Any]) -> None:
    """The events billed in a period come from two indexes, and each page takes from both in order."""
    with used.database.transaction(SYSTEM) as session:
        whole = list_usage(session, SYSTEM, UsageFilter(**filters)).items
        assert count_usage(session, SYSTEM, UsageFilter(**filters)).number == len(whole)
        assert list(whole) == sorted(whole, key=lambda event: event.occurred_at, reverse=True)
        read, cursor = [], None
        for _ in range(len(whole) + 1):
            page = list_usage(session, SYSTEM, UsageFilter(**filters), limit=1, cursor=cursor)
            read += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
    assert tuple(read) == whole


def test_counting_stops_at_a_bound(used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound, expected in ((4, (4, True)), (5, (5, False)), (6, (5, False))):
        monkeypatch.setattr(usage_log, "COUNTED_MAX", bound)
        with used.database.transaction(SYSTEM) as session:
            assert count_usage(session, SYSTEM) == expected


def test_listed_events_have_their_customer_and_invoice(used: Shop) -> None:
    with used.database.transaction(SYSTEM) as session:
        events = list_usage(session, SYSTEM).items
        invoice_numbers = find_invoice_numbers(session, SYSTEM, events)
        assert find_invoice_numbers(session, SYSTEM, ()) == {}
    assert [
        (
            each.idempotency_key,
            each.customer_name,
            invoice_numbers.get((each.customer_id, each.billing_period)),
        )
        for each in events
    ] == [
        ("d", "globex Inc.", None),
        ("c", "acme Inc.", None),
        ("late", "acme Inc.", None),
        ("a", "acme Inc.", "ACME-0001"),
        ("b", "acme Inc.", "ACME-0001"),
    ]


def test_usage_months_span_all_events(used: Shop) -> None:
    with used.database.transaction(SYSTEM) as session:
        assert find_usage_months(session, SYSTEM) == (OCTOBER, NOVEMBER)


def test_usage_months_are_none_without_usage(shop: Shop) -> None:
    with shop.database.transaction(SYSTEM) as session:
        assert find_usage_months(session, SYSTEM) is None


def test_monthly_usage_lists_days_and_included_units(used: Shop) -> None:
    def month(customer: str, period_start: date | None = None) -> MonthlyUsage:
        with used.database.transaction(SYSTEM) as session:
            return get_monthly_usage(session, SYSTEM, customer, period_start)

    (october,) = month("acme", OCTOBER).meters
    assert [tuple(day) for day in october.days] == [
        (date(2026, 10, 3), 100.5, 100.5),
        (date(2026, 10, 31), 7, 7),
    ]
    assert october.quantity == 107.5
    assert october.spans == ((OCTOBER, NOVEMBER, Decimal("107.5"), 1000),)
    assert (month("acme").period_start, month("acme").meters[0].quantity) == (NOVEMBER, 20)
    before = month("globex", date(2026, 9, 1))
    assert not before.has_plan
    (unused,) = before.meters
    assert (unused.meter.code, unused.quantity, unused.days, unused.spans) == ("usage", 0, (), ())
    with refused("invalid", field="period"):
        month("acme", date(2026, 10, 2))
    with refused("customer_not_found"):
        month("missing")
