"""Discounts, one-off items and credit as a customer's page words them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from billing_app.services.adjustments.credit_history import CreditEntry
from billing_app.services.adjustments.rows import DiscountRow, OneOffItemRow
from billing_app.state.pages.customer_adjustments import Trails, pages_of
from billing_app.state.presenters.adjustments import (
    credit_item,
    describe_discount,
    discount_item,
    one_off_entry,
)

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
DISCOUNT = DiscountRow(
    customer_id=1, number=2, name="Welcome", percent=Decimal("12.5"), amount_minor=None, currency="USD",
    applies_to="all", first_period=date(2026, 10, 1), last_period=None, recorded_at=AT, recorded_by="usr_1",
)  # fmt: skip
ITEM = OneOffItemRow(
    customer_id=1, item_id=7, idempotency_key="k", description="Setup", quantity=Decimal("2.5"),
    unit_price=Decimal("-80.001"), currency="USD", item_date=date(2026, 10, 5), billing_period=date(2026, 11, 1),
    reverses_item_id=None, reversed_by_item_id=None, reason=None, recorded_at=AT, recorded_by="usr_1",
)  # fmt: skip
APPLIED = CreditEntry(AT, "payment", 3, "ACME-0003", -2900, "USD", None, None)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "12.5% off the monthly price and usage"),
        ({"applies_to": "usage"}, "12.5% off usage"),
        ({"percent": None, "amount_minor": 1000, "applies_to": "base"}, "$10.00 off the monthly price"),
    ],
)
def test_discount_is_described(given: dict[str, Any], words: str) -> None:
    assert describe_discount(replace(DISCOUNT, **given)) == words


@pytest.mark.parametrize(
    ("last", "months"),
    [
        (None, "From October 2026"),
        (date(2026, 10, 1), "October 2026"),
        (date(2026, 12, 1), "October 2026 – December 2026"),
        (date(2026, 9, 1), "Never applies"),
    ],
)
def test_months_of_a_discount(last: date | None, months: str) -> None:
    shown = discount_item(replace(DISCOUNT, last_period=last))
    assert (shown.months, shown.can_end) == (months, last is None)


def test_item_shows_its_rounded_amount_and_can_be_reversed_once() -> None:
    shown = one_off_entry(ITEM)
    assert (shown.quantity, shown.amount, shown.billed_in) == ("2.5 × −$80.001", "−$200.00", "November 2026")
    assert (shown.can_reverse, shown.is_reversed) == (True, False)
    reversed_ = one_off_entry(replace(ITEM, reversed_by_item_id=8))
    assert (reversed_.can_reverse, reversed_.is_reversed) == (False, True)
    reversal = one_off_entry(replace(ITEM, reverses_item_id=6, reason="A mistake"))
    assert (reversal.can_reverse, reversal.note) == (False, "Reversal: A mistake")


def test_history_of_credit_says_where_it_came_from_and_went() -> None:
    zone = ZoneInfo("UTC")
    came = credit_item(replace(APPLIED, source="invoice", amount_minor=7100), zone)
    assert (came.what, came.href, came.amount) == ("Credit ACME-0003", "/invoices/ACME-0003", "+$71.00")
    went = credit_item(APPLIED, zone)
    assert (went.what, went.amount, went.refund_id) == ("Applied to ACME-0003", "−$29.00", 0)
    paid = credit_item(replace(APPLIED, source="refund", reference=""), zone)
    assert (paid.what, paid.href, paid.refund_id) == ("Refund", "", 3)
    back = credit_item(
        replace(APPLIED, source="refund", reference="RF18", reversed_at=AT, reversal_reason="Bounced"), zone
    )
    assert (back.what, back.note, back.refund_id) == ("Refund, RF18", "Reversed: Bounced", 0)


def test_pages_of_one_list_keep_those_of_the_others() -> None:
    pages = pages_of("acme", Trails("a", "b~c", "", "calls"), "items", "d")
    assert pages.next_href == "/customers/acme?page=a&items=b~c~d&meter=calls"
    assert pages.previous_href == "/customers/acme?page=a&items=b&meter=calls"
