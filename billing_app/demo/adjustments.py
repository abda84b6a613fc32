"""The demo's discounts, one-off items, refunds and corrections. A month is an index into the timeline's months."""

from __future__ import annotations

from typing import NamedTuple

from billing_app.demo.company import TILES


class DemoDiscount(NamedTuple):
    """A discount from a month up to another one, or without an end."""

    key: str
    name: str
    percent: str | None
    amount: str | None
    applies_to: str
    first: int
    last: int | None


DISCOUNTS = (
    DemoDiscount("bluebird", "Welcome discount", "20", None, "all", 6, 8),
    DemoDiscount("homeharbor", "Annual commitment", "10", None, "base", 8, None),
    DemoDiscount("everline", "Volume agreement", "5", None, "usage", 9, None),
    DemoDiscount("homeharbor", "Referral", None, "15.00", "all", 10, None),
)


class DemoItem(NamedTuple):
    """A one-off item on a day of a month. A negative price is a credit."""

    key: str
    month: int
    day: int
    description: str
    unit_price: str
    quantity: str = "1"


ITEMS = (
    DemoItem("orbital", 10, 12, "Onboarding workshop, hours", "180.00", "6"),
    DemoItem("vantor", 10, 20, "Data export", "75.00"),
    DemoItem("zephyr", 10, 9, "Goodwill for the outage of the dispatch API", "-120.00"),
    # More than the invoice's charges, so that there is credit.
    DemoItem("granite", 11, 18, "Goodwill for delayed reports", "-400.00"),
)


class DemoRefund(NamedTuple):
    """A refund a few hours after the invoice for the month gave the customer credit."""

    key: str
    month: int
    amount: str
    reference: str


REFUNDS = (DemoRefund("granite", 11, "100.00", "Bank transfer 4471"),)


class DemoCorrection(NamedTuple):
    """A correction of the first event of a meter on a day. It is recorded some days later."""

    key: str
    month: int
    day: int
    meter: str | None
    quantity: int
    reason: str
    days_later: int


CORRECTIONS = (
    # The month is invoiced already, so the next invoice gives back what was charged too much.
    DemoCorrection("dashpantry", 9, 22, None, 0, "Our own load test, not the customer's requests.", 12),
    DemoCorrection("parcelwren", 11, 6, TILES.code, 3_000, "The tile server counted its retries.", 5),
)
