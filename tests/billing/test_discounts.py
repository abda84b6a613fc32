"""Discounts on bills: worked examples, closed months, and attacks on the table."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest
from sqlmodel import Session

from billing_app.errors import Invalid
from billing_app.jobs.verification import verify
from billing_app.services.adjustments.discounts import create_discount, end_discount, list_discounts
from billing_app.services.adjustments.rows import DiscountRow
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.races import at_once
from tests.refusals import refused

OCTOBER, NOVEMBER, DECEMBER = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)


def discount(shop: Shop, key: str = "acme", **terms: Any) -> DiscountRow:
    given = {"name": "Welcome", "percent": "20", "first_period": OCTOBER, **terms}
    with shop.database.transaction(shop.actor) as session:
        return create_discount(session, shop.actor, key, **given)


def end(shop: Shop, row: DiscountRow, last_period: date) -> DiscountRow:
    with shop.database.transaction(shop.actor) as session:
        return end_discount(session, shop.actor, "acme", row.number, last_period=last_period)


def lines_of(invoice: Any) -> list[tuple[str, str, int]]:
    return [(line.kind, line.description, line.amount_minor) for line in invoice.lines]


def test_discounts_apply_in_order_and_to_late_usage(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-10")
    discount(shop, last_period=OCTOBER)
    discount(shop, name="Loyalty", percent=None, amount="10.00", applies_to="base")
    shop.use("acme", "a", "1530", "2026-10-15T10:00:00Z")
    october = shop.invoice("acme", "2026-10")
    assert [each.amount_minor for each in october.lines] == [2900, 663, -580, -133, -1000]
    assert october.total_minor == 1850
    shop.use("acme", "late", "100", "2026-10-20T10:00:00Z")
    clock.set(2026, 12)
    november = shop.invoice("acme", "2026-11")
    assert lines_of(november) == [
        ("base", "Plan of acme, monthly price", 2900),
        ("overage", "Usage of 2026-11", 0),
        ("discount", "Loyalty, on the monthly price", -1000),
        ("late_usage", "Usage of 2026-10, late", 125),
        ("discount", "Welcome, on usage, 2026-10", -25),
    ]
    assert november.total_minor == 2000
    assert verify(shop.database, shop.actor).discrepancies == []


def test_amount_is_taken_from_the_monthly_price_first_and_never_more_than_is_left(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    discount(shop, percent=None, amount="30.00")
    discount(shop, percent=None, amount="100.00")
    shop.use("acme", "a", "1530", "2026-10-15T10:00:00Z")
    invoice = shop.invoice("acme", "2026-10")
    assert [each.amount_minor for each in invoice.lines] == [2900, 663, -2900, -100, -563]
    assert invoice.total_minor == 0


def test_discount_can_start_only_in_an_open_month(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    shop.invoice("acme", "2026-10")
    with refused("period_closed"):
        discount(shop)
    assert discount(shop, first_period=NOVEMBER).number == 1


@pytest.mark.parametrize(
    ("terms", "field", "rule"),
    [
        ({"percent": "0"}, "percent", "not_a_percentage"),
        ({"percent": "100.0001"}, "percent", "not_a_percentage"),
        ({"percent": "1.00001"}, "percent", "too_many_decimals"),
        ({"percent": None}, "percent", "percent_or_amount"),
        ({"amount": "1.00"}, "percent", "percent_or_amount"),
        ({"percent": None, "amount": "0"}, "amount", "not_positive"),
        ({"percent": None, "amount": "1.001"}, "amount", "too_many_decimals"),
        ({"applies_to": "tax"}, "applies_to", "not_a_choice"),
        ({"name": " "}, "name", "empty"),
        ({"last_period": date(2026, 9, 1)}, "last_period", "before_first_period"),
    ],
)
def test_unacceptable_terms_are_named(shop: Shop, terms: dict[str, Any], field: str, rule: str) -> None:
    shop.customer("acme", "2026-10")
    with pytest.raises(Invalid) as raised:
        discount(shop, **terms)
    (error,) = raised.value.errors
    assert (error.field, error.rule) == (field, rule)


def test_last_month_is_set_once_and_closed_months_keep_the_discount(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-10")
    row = discount(shop)
    shop.invoice("acme", "2026-10")
    with refused("period_closed"):
        end(shop, row, OCTOBER)
    assert end(shop, row, NOVEMBER).last_period == NOVEMBER
    assert end(shop, row, NOVEMBER).last_period == NOVEMBER
    with refused("discount_ended"):
        end(shop, row, DECEMBER)


def test_last_month_before_the_first_one_means_never(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    row = discount(shop)
    end(shop, row, date(2026, 9, 1))
    assert [line.kind for line in shop.invoice("acme", "2026-10").lines] == ["base", "overage"]


def test_discounts_created_at_once_get_different_numbers(shop: Shop) -> None:
    shop.customer("acme", "2026-10")

    def creating(session: Session) -> DiscountRow:
        return create_discount(session, shop.actor, "acme", name="Twin", percent="1", first_period=OCTOBER)

    at_once(shop.database, [creating] * 10)
    with shop.database.transaction(shop.actor) as session:
        rows = list_discounts(session, shop.actor, "acme")
    assert [row.number for row in rows] == list(range(1, 11))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE discount SET percent = 90",
        "UPDATE discount SET name = 'x'",
        "UPDATE discount SET last_period = '2026-10-01'",
        "DELETE FROM discount",
        "TRUNCATE discount",
        (
            "INSERT INTO discount SELECT customer_id, 2, name, percent, amount_minor, applies_to, first_period,"
            " last_period, recorded_at, recorded_by FROM discount"
        ),
    ],
)
def test_owner_can_not_change_the_discounts_of_closed_months(
    shop: Shop, owner: psycopg.Connection, statement: str
) -> None:
    shop.customer("acme", "2026-10")
    discount(shop)
    shop.invoice("acme", "2026-10")
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(statement)
