"""Navigation between periods and between a customer's invoices."""

from __future__ import annotations

from datetime import date

import pytest

from billing_app.domain.actor import SYSTEM
from billing_app.services.invoices import navigation
from billing_app.services.invoices.navigation import get_neighbours, list_periods
from tests.billing.shop import Shop
from tests.refusals import refused


def test_periods_with_invoices_are_listed_newest_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with shop.database.transaction(SYSTEM) as session:
        assert list_periods(session, SYSTEM) == ()
    shop.customer("a", "2026-07")
    shop.customer("b", "2026-10")
    for key, period in (("a", "2026-07"), ("a", "2026-08"), ("b", "2026-10")):
        shop.invoice(key, period)
    with shop.database.transaction(SYSTEM) as session:
        assert list_periods(session, SYSTEM) == tuple(date(2026, month, 1) for month in (10, 8, 7))
        monkeypatch.setattr(navigation, "PERIODS_MAX", 2)
        assert list_periods(session, SYSTEM) == tuple(date(2026, month, 1) for month in (10, 8))


def test_neighbours_are_the_customers_previous_and_next_invoice(shop: Shop) -> None:
    shop.customer("a", "2026-08")
    for period in ("2026-08", "2026-09", "2026-10"):
        shop.invoice("a", period)
    with shop.database.transaction(SYSTEM) as session:
        assert get_neighbours(session, SYSTEM, "A-0001") == (None, "A-0002")
        assert get_neighbours(session, SYSTEM, "a-0002") == ("A-0001", "A-0003")
        assert get_neighbours(session, SYSTEM, "A-0003") == ("A-0002", None)
        with refused("invoice_not_found"):
            get_neighbours(session, SYSTEM, "missing-0001")
