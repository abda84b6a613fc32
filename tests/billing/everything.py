"""A business with a row in every table that decides what an invoice says, for tests that tamper with them."""

from __future__ import annotations

from datetime import date

from billing_app.services.adjustments.discounts import create_discount
from billing_app.services.adjustments.one_off_items import record_item
from billing_app.services.adjustments.refunds import record_refund, reverse_refund
from billing_app.services.customers.customers import create_customer
from billing_app.services.plans.charges import ChargeTerms, TierTerms
from billing_app.services.plans.plans import create_plan
from billing_app.services.usage.recording import UsageReport, record_usage
from tests.billing.shop import Shop, total
from tests.conftest import Clock
from tests.factories import make_meter

OCTOBER, NOVEMBER, DECEMBER = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)


def open_business(shop: Shop) -> None:
    """Put acme on a plan with tiered usage and seats, with a discount and a large goodwill credit."""
    make_meter(shop.database, "seats", "max")
    make_meter(shop.database, "exports")
    with shop.database.transaction(shop.actor) as session:
        tiers = [TierTerms("0.02", up_to="1000"), TierTerms("0.01", flat_price="5.00")]
        charges = [
            ChargeTerms("graduated", tiers=tiers),
            ChargeTerms("per_unit", meter="seats", included_units="0", unit_price="10"),
        ]
        plan = create_plan(session, shop.actor, name="Team", monthly_price="29.00", charges=charges)
        create_customer(
            session, shop.actor, name="Acme", email="a@example.com", key="acme", plan_id=plan.plan_id,
            start=OCTOBER,
        )  # fmt: skip
        create_discount(
            session, shop.actor, "acme", name="Welcome", percent="20", first_period=OCTOBER,
            last_period=DECEMBER,
        )  # fmt: skip
        record_item(
            session, shop.actor, "acme", description="Goodwill", unit_price="-300.00", item_date=OCTOBER,
            idempotency_key="goodwill",
        )  # fmt: skip
        for event, quantity, meter in (("calls", 1500, "usage"), ("seats", 8, "seats")):
            report = UsageReport("acme", event, quantity, "2026-10-10T10:00:00Z", meter)
            record_usage(session, shop.actor, report)


def bill_everything(shop: Shop, clock: Clock) -> None:
    """Invoice October, which leaves credit, and November with corrections, an item, and credit applied."""
    open_business(shop)
    clock.set(2026, 11, 2)
    assert total(shop.invoice("acme", "2026-10")) == "-188.80"
    shop.correct("acme", "calls", 1400, "fix 1")
    shop.correct("acme", "calls", 1200, "fix 2")
    with shop.database.transaction(shop.actor) as session:
        record_item(
            session, shop.actor, "acme", description="Training", unit_price="90.00", item_date=NOVEMBER,
            idempotency_key="training",
        )  # fmt: skip
        refunds = [
            record_refund(
                session, shop.actor, "acme", amount=amount, refunded_on=NOVEMBER, idempotency_key=amount
            )
            for amount in ("10.00", "5.00")
        ]
        reverse_refund(session, shop.actor, "acme", refunds[0].refund_id, reason="bounced")
    clock.set(2026, 12, 2)
    november = shop.invoice("acme", "2026-11")
    assert november.paid_minor == november.total_minor
    shop.use("acme", "december", 7)
