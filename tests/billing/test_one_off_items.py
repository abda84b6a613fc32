"""One-off items: charged once, in the right month, and reversed once."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest
from sqlmodel import Session

from billing_app.errors import Invalid
from billing_app.jobs.verification import verify
from billing_app.services.adjustments.one_off_items import record_item, reverse_item
from billing_app.services.adjustments.rows import OneOffItemRow
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.races import at_once
from tests.refusals import refused

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


def item(shop: Shop, **given: Any) -> OneOffItemRow:
    details = {
        "description": "Setup fee",
        "unit_price": "250.00",
        "item_date": date(2026, 10, 20),
        "idempotency_key": "setup",
        **given,
    }
    with shop.database.transaction(shop.actor) as session:
        return record_item(session, shop.actor, "acme", **details)


def reverse(shop: Shop, item_id: int) -> OneOffItemRow:
    with shop.database.transaction(shop.actor) as session:
        return reverse_item(session, shop.actor, "acme", item_id, reason="mistake")


def test_item_is_charged_once_on_the_invoice_of_its_month(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-10")
    item(shop, quantity="1.5")
    october = shop.invoice("acme", "2026-10")
    line = october.lines[-1]
    assert (line.kind, line.description, line.amount_minor) == ("one_off", "Setup fee", 37500)
    assert october.total_minor == 2900 + 37500
    clock.set(2026, 12)
    assert [each.kind for each in shop.invoice("acme", "2026-11").lines] == ["base", "overage"]
    assert verify(shop.database, shop.actor).discrepancies == []


def test_item_of_a_closed_month_is_billed_in_the_oldest_open_one(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    shop.invoice("acme", "2026-10")
    assert item(shop).billing_period == NOVEMBER


def test_item_makes_a_month_without_a_plan_due(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-10")
    shop.set_plan("acme", None, "2026-11")
    shop.invoice("acme", "2026-10")
    item(shop, item_date=date(2026, 11, 5))
    clock.set(2026, 12)
    assert [each.kind for each in shop.invoice("acme", "2026-11").lines] == ["one_off"]
    assert verify(shop.database, shop.actor).discrepancies == []


def test_same_key_records_one_item_whatever_the_concurrency(shop: Shop) -> None:
    shop.customer("acme", "2026-10")

    def recording(session: Session) -> OneOffItemRow:
        return record_item(
            session, shop.actor, "acme", description="Setup fee", unit_price="250.00",
            item_date=date(2026, 10, 20), idempotency_key="setup",
        )  # fmt: skip

    found = at_once(shop.database, [recording] * 20)
    assert sum(each.is_new for each in found) == 1
    assert len({each.item_id for each in found}) == 1
    with refused("idempotency_conflict"):
        item(shop, unit_price="251.00")


def test_reversal_takes_back_the_whole_item_once(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-10")
    charged = item(shop)
    shop.invoice("acme", "2026-10")
    back = reverse(shop, charged.item_id)
    assert (back.unit_price, back.billing_period, back.reverses_item_id) == (-250, NOVEMBER, charged.item_id)
    with refused("item_reversed"):
        reverse(shop, charged.item_id)
    with refused("item_reversed"):
        reverse(shop, back.item_id)
    with refused("item_not_found"):
        reverse(shop, 999)


@pytest.mark.parametrize(
    ("given", "field", "rule"),
    [
        ({"quantity": "0"}, "quantity", "not_positive"),
        ({"quantity": "-1"}, "quantity", "negative"),
        ({"unit_price": "1.0000000000001"}, "unit_price", "too_many_decimals"),
        ({"unit_price": "--1"}, "unit_price", "not_a_number"),
        ({"unit_price": "NaN"}, "unit_price", "not_finite"),
        ({"item_date": date(2027, 12, 1)}, "date", "too_far_ahead"),
        ({"description": ""}, "description", "empty"),
        ({"idempotency_key": ""}, "idempotency_key", "length"),
    ],
)
def test_unacceptable_item_is_named(shop: Shop, given: dict[str, Any], field: str, rule: str) -> None:
    shop.customer("acme", "2026-10")
    with pytest.raises(Invalid) as raised:
        item(shop, **given)
    (error,) = raised.value.errors
    assert (error.field, error.rule) == (field, rule)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE one_off_item SET unit_price = 1",
        "DELETE FROM one_off_item",
        "TRUNCATE one_off_item CASCADE",
        (
            "INSERT INTO one_off_item (customer_id, idempotency_key, description, quantity, unit_price, item_date,"
            " billing_period, recorded_at, recorded_by) SELECT customer_id, 'again', description, quantity,"
            " unit_price, item_date, billing_period, recorded_at, recorded_by FROM one_off_item"
        ),
        (
            "INSERT INTO one_off_item (customer_id, idempotency_key, description, quantity, unit_price, item_date,"
            " billing_period, reverses_item_id, reason, recorded_at, recorded_by) SELECT customer_id, 'half',"
            " description, quantity, -unit_price / 2, item_date, '2026-11-01', item_id, 'x', recorded_at,"
            " recorded_by FROM one_off_item"
        ),
    ],
)
def test_owner_can_not_change_what_was_charged(shop: Shop, owner: psycopg.Connection, statement: str) -> None:
    shop.customer("acme", "2026-10")
    item(shop)
    shop.invoice("acme", "2026-10")
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(statement)
