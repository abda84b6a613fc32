"""The worked examples of the domain, through the services."""

from __future__ import annotations

import pytest

from billing_app.errors import Conflict
from tests.billing.shop import Shop, amounts, total
from tests.conftest import Clock


def test_usage_over_the_included_units_is_charged(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", "1530", "2026-10-15T10:00:00Z")
    invoice = shop.invoice("acme", "2026-10")
    assert invoice.number == "ACME-0001"
    assert amounts(invoice) == {("base", None): "29.00", ("overage", "2026-10"): "6.63"}
    assert total(invoice) == "35.63"
    assert str(invoice.lines[1].exact_amount.normalize()) == "6.625"


def test_month_without_usage_is_charged_the_base_price(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    invoice = shop.invoice("acme", "2026-10")
    assert amounts(invoice) == {("base", None): "29.00", ("overage", "2026-10"): "0.00"}


def test_late_usage_uses_up_the_included_units_first(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-10")
    clock.set(2026, 11, 15)
    shop.use("acme", "a", "900", "2026-10-15T10:00:00Z")
    assert total(shop.invoice("acme", "2026-10")) == "29.00"
    shop.use("acme", "late", "300", "2026-10-31T23:59:59.999999Z")
    shop.use("acme", "b", "1200", "2026-11-10T00:00:00Z")
    clock.set(2026, 12)
    invoice = shop.invoice("acme", "2026-11")
    assert amounts(invoice) == {
        ("base", None): "29.00",
        ("overage", "2026-11"): "2.50",
        ("late_usage", "2026-10"): "2.50",
    }
    assert total(invoice) == "34.00"
    late = invoice.lines[2]
    assert (late.quantity_before, late.quantity, late.quantity_after) == (900, 300, 1200)


def test_late_usage_is_charged_the_difference_of_the_rounded_amounts(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", "1001", "2026-10-15T10:00:00Z")
    assert total(shop.invoice("acme", "2026-10")) == "29.01"
    shop.use("acme", "late", "1", "2026-10-20T10:00:00Z")
    clock.set(2026, 12)
    late = shop.invoice("acme", "2026-11").lines[2]
    assert (late.rated_minor, late.already_charged_minor, late.amount_minor) == (3, 1, 2)


def test_same_key_with_a_different_quantity_is_a_conflict(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", 10)
    with pytest.raises(Conflict) as refused:
        shop.use("acme", "a", 11)
    assert refused.value.code == "idempotency_conflict"
    assert shop.use("acme", "a", "10.000").event.quantity == 10
