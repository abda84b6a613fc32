"""Verification names what was changed in each table that decides what an invoice says."""

from __future__ import annotations

import psycopg
import pytest

from billing_app.jobs.verification import verify
from billing_app.wording.discrepancies import discrepancy_sentence, subject_name
from tests.billing.everything import bill_everything
from tests.billing.shop import Shop
from tests.conftest import Clock


def tamper(owner: psycopg.Connection, statement: str) -> None:
    """Execute a statement with all triggers and the foreign key of lines gone, as only the owner can."""
    owner.execute("ALTER TABLE invoice DROP CONSTRAINT fk_invoice_last_line")
    for (table,) in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    assert owner.execute(statement).rowcount > 0


TAMPERING = [
    # A correction: what it says, that it is there, and when it is billed.
    ("UPDATE usage_correction SET quantity = 1100, difference = -300 WHERE number = 2", "ACME-0002", "wrong_line"),
    ("DELETE FROM usage_correction", "ACME-0002", "missing_or_extra_lines"),
    ("DELETE FROM usage_correction", "acme", "wrong_charge"),
    ("DELETE FROM usage_correction WHERE number = 1", "acme", "wrong_correction"),
    ("UPDATE usage_correction SET quantity_before = 1399, difference = -199 WHERE number = 2", "acme",
     "wrong_correction"),
    ("UPDATE usage_correction SET occurred_at = occurred_at + interval '1 day'", "acme", "wrong_correction"),
    ("UPDATE usage_correction SET meter_id = meter_id + 1", "acme", "wrong_correction"),
    ("UPDATE usage_correction SET billing_period = '2026-12-01' WHERE number = 2", "ACME-0002", "wrong_line"),
    ("UPDATE usage_correction SET billing_period = '2027-03-01' WHERE number = 2", "acme",
     "corrections_billed_too_late"),
    # A discount.
    ("UPDATE discount SET first_period = '2026-11-01'", "ACME-0001", "missing_or_extra_lines"),
    ("UPDATE discount SET percent = 21", "acme", "wrong_charge"),
    ("UPDATE discount SET percent = 21", "ACME-0001", "wrong_line"),
    ("UPDATE discount SET name = 'Other'", "ACME-0001", "wrong_line"),
    ("UPDATE discount SET applies_to = 'usage'", "ACME-0001", "missing_or_extra_lines"),
    ("UPDATE discount SET last_period = '2026-10-01'", "ACME-0002", "missing_or_extra_lines"),
    ("DELETE FROM discount", "ACME-0001", "missing_or_extra_lines"),
    ("DELETE FROM discount", "acme", "wrong_charge"),
    # A one-off item.
    ("UPDATE one_off_item SET unit_price = unit_price + 1", "ACME-0001", "wrong_line"),
    ("UPDATE one_off_item SET description = 'Other'", "ACME-0002", "wrong_line"),
    ("UPDATE one_off_item SET billing_period = '2026-12-01'", "ACME-0002", "missing_or_extra_lines"),
    ("DELETE FROM one_off_item WHERE idempotency_key = 'training'", "ACME-0002", "missing_or_extra_lines"),
    # Credit, and where it went.
    ("UPDATE refund SET amount_minor = amount_minor + 1", "acme", "wrong_credit"),
    ("DELETE FROM refund WHERE idempotency_key = '5.00'", "acme", "wrong_credit"),
    ("DELETE FROM refund_reversal", "acme", "wrong_credit"),
    (("INSERT INTO refund_reversal SELECT customer_id, refund_id + 1, reason, recorded_at, recorded_by"
      " FROM refund_reversal"), "acme", "wrong_credit"),
    ("UPDATE payment SET source = 'received', idempotency_key = 'p'", "acme", "wrong_credit"),
    ("UPDATE customer_billing SET credit_minor = credit_minor + 1", "acme", "wrong_credit"),
    # Terms.
    ("UPDATE meter SET aggregation = 'sum' WHERE code = 'seats'", "ACME-0001", "wrong_line"),
    ("UPDATE meter SET code = 'chairs' WHERE code = 'seats'", "ACME-0001", "wrong_line"),
    ("UPDATE plan_charge SET unit_price = 11 WHERE unit_price = 10", "ACME-0001", "wrong_line"),
    ("UPDATE plan_charge SET included_units = 1 WHERE included_units = 0", "ACME-0001", "wrong_line"),
    ("UPDATE plan_tier SET unit_price = 0.03 WHERE unit_price = 0.02", "ACME-0001", "wrong_line"),
    ("UPDATE plan_tier SET flat_price_minor = 0", "ACME-0001", "wrong_line"),
    ("UPDATE plan_tier SET up_to = 1100 WHERE up_to = 1000", "ACME-0001", "wrong_line"),
    ("UPDATE plan_tier SET up_to = 1100 WHERE up_to = 1000", "acme", "wrong_charge"),
    ("UPDATE usage_event SET meter_id = 2 WHERE idempotency_key = 'calls'", "ACME-0001", "wrong_line"),
    ("UPDATE usage_event SET meter_id = 99 WHERE idempotency_key = 'calls'", "acme", "events_misplaced"),
    ("UPDATE meter SET aggregation = 'unique' WHERE code = 'seats'", "acme", "events_misplaced"),
    ("UPDATE usage_event SET item = 'x', quantity = 1 WHERE idempotency_key = 'calls'", "acme",
     "events_misplaced"),
    ("UPDATE subscription SET effective_from = '2026-10-02'", "ACME-0001", "wrong_line"),
    # A line of each kind.
    *((f"UPDATE invoice_line SET description = 'Other' WHERE kind = '{kind}'", number, "wrong_line")
      for kind, number in (("base", "ACME-0001"), ("overage", "ACME-0001"), ("late_usage", "ACME-0002"),
                           ("discount", "ACME-0001"), ("one_off", "ACME-0001"))),
    ("UPDATE invoice_line SET is_correction = false WHERE is_correction", "ACME-0002", "content_changed"),
    ("UPDATE invoice_line SET meter_name = 'Chairs' WHERE meter_code = 'seats'", "ACME-0001", "wrong_line"),
    ("UPDATE invoice_line SET meter_unit = 'chair' WHERE meter_code = 'seats'", "ACME-0001", "content_changed"),
    ("UPDATE invoice_line SET discount_name = 'Other' WHERE kind = 'discount'", "ACME-0002", "content_changed"),
    ("DELETE FROM invoice_line WHERE kind = 'one_off'", "ACME-0001", "wrong_line_count"),
]  # fmt: skip


@pytest.fixture
def billed(shop: Shop, clock: Clock) -> Shop:
    bill_everything(shop, clock)
    return shop


def test_untouched_business_has_no_discrepancies(billed: Shop) -> None:
    report = verify(billed.database, billed.actor)
    assert report.discrepancies == []
    assert (report.checked.corrections, report.checked.invoices) == (2, 2)


@pytest.mark.parametrize(("statement", "subject", "code"), TAMPERING)
def test_tampering_is_named(
    billed: Shop, owner: psycopg.Connection, statement: str, subject: str, code: str
) -> None:
    tamper(owner, statement)
    found = verify(billed.database, billed.actor).discrepancies
    assert (subject, code) in [(subject_name(each), each.code) for each in found]
    for each in found:
        sentence = discrepancy_sentence(each)
        assert sentence.endswith(".")
        assert "{" not in sentence


def test_new_name_of_a_meter_is_no_discrepancy(billed: Shop, owner: psycopg.Connection) -> None:
    owner.execute("UPDATE meter SET name = 'Chairs', unit = 'chair' WHERE code = 'seats'")
    assert verify(billed.database, billed.actor).discrepancies == []
