"""Filtering, sorting and totalling invoices."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from billing_app.domain.actor import SYSTEM
from billing_app.domain.invoice import AGES
from billing_app.jobs.figures import refresh_figures
from billing_app.services.customers.customers import update_customer
from billing_app.services.invoices import totals as invoice_totals
from billing_app.services.invoices.filters import STATUSES, InvoiceFilter
from billing_app.services.invoices.invoices import list_invoices
from billing_app.services.invoices.totals import InvoiceTotals, get_totals
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.refusals import refused

OCTOBER = date(2026, 10, 1)


def listed(shop: Shop, limit: int = 3, sort: str = "-period", **filters: Any) -> list[str]:
    """Return the numbers of all invoices, read in small pages."""
    numbers, cursor = [], None
    while True:
        with shop.database.transaction(SYSTEM) as session:
            page = list_invoices(
                session, SYSTEM, InvoiceFilter(**filters), sort=sort, limit=limit, cursor=cursor
            )
        numbers += [row.number for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return numbers


def totals(shop: Shop, **filters: Any) -> InvoiceTotals | None:
    with shop.database.transaction(SYSTEM) as session:
        return get_totals(session, SYSTEM, InvoiceFilter(**filters))


def summed(shop: Shop, **filters: Any) -> list[tuple[str, int, int, int]]:
    """Return the totals computed from the listed rows."""
    with shop.database.transaction(SYSTEM) as session:
        rows = list_invoices(session, SYSTEM, InvoiceFilter(**filters), limit=200).items
    return [
        (
            currency,
            len(of_currency := [row for row in rows if row.currency == currency]),
            sum(row.total_minor for row in of_currency),
            sum(row.balance_minor for row in of_currency),
        )
        for currency in sorted({row.currency for row in rows})
    ]


def test_search_finds_numbers_keys_and_names(owing: Shop) -> None:
    shop = owing
    with shop.database.transaction(SYSTEM) as session:
        update_customer(session, SYSTEM, "globex", name="Hank's 100% Acme-0003_Shop")
    assert listed(shop, search="acme-0003") == [
        *(f"GLOBEX-000{n}" for n in (4, 3)), "ACME-0003", "GLOBEX-0002", "GLOBEX-0001",
    ]  # fmt: skip
    assert listed(shop, search="hank") == [f"GLOBEX-000{n}" for n in (4, 3, 2, 1)]
    assert listed(shop, search="EDO", period=OCTOBER) == ["EDO-0004"]
    assert listed(shop, search="edo-") == listed(shop, search="edo-00") == listed(shop, customer="edo")
    assert listed(shop, search="globex-0001", status="overdue") == ["GLOBEX-0001"]
    for nothing in ("edo-1", "edo-0001x", "missing", "missing-0001", "_-0001"):
        assert listed(shop, search=nothing) == [], nothing
    assert listed(shop, search="%") == listed(shop, customer="globex")
    with refused("invalid", field="search"):
        listed(shop, search="a\0")


def test_list_sorts_oldest_period_first(owing: Shop) -> None:
    assert listed(owing, sort="period") == listed(owing)[::-1]
    assert listed(owing, sort="period", status="paid") == ["ACME-0001"]
    with refused("invalid", field="sort"):
        listed(owing, sort="colour")
    with owing.database.transaction(SYSTEM) as session:
        cursor = list_invoices(session, SYSTEM, limit=1).next_cursor
    with refused("invalid", field="cursor"), owing.database.transaction(SYSTEM) as session:
        list_invoices(session, SYSTEM, sort="period", cursor=cursor)


SELECTIONS: list[dict[str, Any]] = [
    {},
    {"period": OCTOBER},
    *({"status": status} for status in STATUSES),
    *({"age": age.name} for age in AGES),
    {"currency": "USD"},
    {"currency": "JPY", "age": "over-90"},
    {"period": OCTOBER, "status": "unpaid"},
    {"period": date(2026, 7, 1), "status": "unpaid"},
]
OF_SOME: list[dict[str, Any]] = [
    {"customer": "acme", "status": "overdue"},
    {"search": "globex"},
    {"search": "edo-0001"},
    {"search": "missing"},
]


def test_totals_match_the_listed_invoices(owing: Shop, clock: Clock, subtests: pytest.Subtests) -> None:
    for selection in [*SELECTIONS, *OF_SOME]:
        with subtests.test(**selection):
            found = totals(owing, **selection)
            assert found
            assert [tuple(each) for each in found.currencies] == summed(owing, **selection)
            assert found.as_of == clock.moment
    with refused("invalid", field="status"):
        totals(owing, status="late")
    with refused("customer_not_found"):
        totals(owing, customer="missing")


def test_large_selections_are_answered_from_the_background_count(
    owing: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.setattr(invoice_totals, "SUMMED_MAX", 1)
    assert totals(owing) is None
    refresh_figures(owing.database)
    counted_at = clock.moment
    clock.set(2026, 11, 15, 13)
    for selection in SELECTIONS:
        with subtests.test(**selection):
            found = totals(owing, **selection)
            assert found
            assert [tuple(each) for each in found.currencies] == summed(owing, **selection)
            is_large = sum(each.invoices for each in found.currencies) > 1
            assert found.as_of == (counted_at if is_large else clock.moment)
    assert totals(owing, search="globex") is None
    assert totals(owing, customer="acme") is None
    found = totals(owing, search="edo-0001")
    assert found
    assert found.as_of == clock.moment
