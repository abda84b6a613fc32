"""Verification names what was changed in the rows of prices, discounts, items, corrections and credit."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest

from billing_app.jobs.verification import verify
from billing_app.services.adjustments.discounts import create_discount
from billing_app.services.adjustments.one_off_items import record_item
from billing_app.services.adjustments.refunds import record_refund
from billing_app.services.plans.charges import ChargeTerms, TierTerms
from billing_app.wording.discrepancies import discrepancy_sentence, subject_name
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.factories import make_meter, make_plan

OCTOBER = date(2026, 10, 1)


@pytest.fixture
def billed(shop: Shop, clock: Clock) -> Shop:
    """ACME has a tiered plan, a discount, an item and a correction. Globex has credit, used and refunded."""
    clock.set(2026, 11, 15)
    make_meter(shop.database, "seats", "max")
    tiers = [TierTerms("0.02", up_to="1000"), TierTerms("0.01")]
    plan = make_plan(
        shop.database,
        name="Tiered",
        charges=[
            ChargeTerms("graduated", tiers=tiers),
            ChargeTerms("per_unit", "seats", included_units="0", unit_price="3"),
        ],
    )
    shop.customer("acme", "2026-10-11", plan.plan_id)
    shop.customer("globex", "2026-10")
    shop.use("acme", "a", 1500, "2026-10-12T00:00:00Z")
    shop.correct("acme", "a", "1400", "fix")
    with shop.database.transaction(shop.actor) as session:
        create_discount(session, shop.actor, "acme", name="Welcome", percent="10", first_period=OCTOBER)
        for key, price in (("acme", "50.00"), ("globex", "-100.00")):
            record_item(
                session, shop.actor, key, description="Extra", unit_price=price, item_date=OCTOBER,
                idempotency_key="extra",
            )  # fmt: skip
    for key in ("acme", "globex"):
        shop.invoice(key, "2026-10")
    with shop.database.transaction(shop.actor) as session:
        record_refund(
            session, shop.actor, "globex", amount="5", refunded_on=date(2026, 11, 2), idempotency_key="r1"
        )
    clock.set(2026, 12)
    for key in ("acme", "globex"):
        shop.invoice(key, "2026-11")
    return shop


def tamper(owner: psycopg.Connection, statement: str) -> None:
    """Execute a statement with the triggers of all tables disabled, as only their owner can."""
    tables = owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    for (table,) in tables:
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    changed = owner.execute(statement)
    assert changed.rowcount > 0


def test_untouched_rows_have_no_discrepancies(billed: Shop) -> None:
    assert verify(billed.database, billed.actor).discrepancies == []


@pytest.mark.parametrize(
    ("statement", "subject", "code"),
    [
        ("UPDATE discount SET percent = 20", "ACME-0001", "wrong_line"),
        ("UPDATE discount SET percent = 20", "acme", "wrong_charge"),
        ("UPDATE discount SET first_period = '2026-11-01'", "ACME-0001", "missing_or_extra_lines"),
        ("DELETE FROM discount", "ACME-0002", "missing_or_extra_lines"),
        ("UPDATE one_off_item SET unit_price = 51 WHERE unit_price = 50", "ACME-0001", "wrong_line"),
        ("DELETE FROM one_off_item WHERE unit_price = 50", "ACME-0001", "missing_or_extra_lines"),
        ("UPDATE usage_correction SET quantity = 1300, difference = -200", "ACME-0001", "wrong_line"),
        ("UPDATE usage_correction SET quantity = 1300, difference = -200", "acme", "wrong_charge"),
        ("UPDATE usage_correction SET quantity_before = 1501, difference = -101", "acme", "wrong_correction"),
        ("UPDATE usage_correction SET billing_period = '2027-01-01'", "acme", "corrections_billed_too_late"),
        ("DELETE FROM usage_correction", "ACME-0001", "wrong_line"),
        ("UPDATE plan_tier SET unit_price = 0.03 WHERE tier_number = 1", "ACME-0001", "wrong_line"),
        ("UPDATE plan_tier SET up_to = 900 WHERE tier_number = 1", "acme", "wrong_charge"),
        ("UPDATE plan_charge SET unit_price = 4 WHERE position = 2", "ACME-0002", "wrong_line"),
        ("UPDATE usage_event SET meter_id = 2", "ACME-0001", "wrong_line"),
        ("UPDATE subscription SET effective_from = '2026-10-12' WHERE customer_id = 1", "ACME-0001", "wrong_line"),
        ("UPDATE refund SET amount_minor = 400", "globex", "wrong_credit"),
        ("DELETE FROM refund", "globex", "wrong_credit"),
        ("UPDATE payment SET source = 'received', idempotency_key = 'x'", "globex", "wrong_credit"),
        ("UPDATE customer_billing SET credit_minor = 7 WHERE customer_id = 2", "globex", "wrong_credit"),
    ],
)  # fmt: skip
def test_what_was_changed_is_named(
    billed: Shop, owner: psycopg.Connection, statement: str, subject: str, code: str
) -> None:
    tamper(owner, statement)
    found = verify(billed.database, billed.actor).discrepancies
    assert (subject, code) in [(subject_name(each), each.code) for each in found]
    for each in found:
        sentence = discrepancy_sentence(each)
        assert sentence.endswith(".")
        assert "{" not in sentence
