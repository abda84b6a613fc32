"""Credit: given by totals below zero, applied once, refunded at most once, whatever the concurrency."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest
from sqlmodel import Session

from billing_app.jobs.figures import refresh_figures
from billing_app.jobs.verification import verify
from billing_app.services.adjustments.credit import apply_credit, get_credit
from billing_app.services.adjustments.credit_history import list_credit_entries
from billing_app.services.adjustments.one_off_items import record_item
from billing_app.services.adjustments.refunds import record_refund, reverse_refund
from billing_app.services.adjustments.rows import RefundRow
from billing_app.services.dashboard.dashboard import get_dashboard
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.invoices import get_invoice, list_invoices
from billing_app.services.invoices.previews import preview_invoice
from billing_app.services.invoices.totals import get_totals
from billing_app.services.payments.payments import list_payments, record_payment, reverse_payment
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.races import at_once
from tests.refusals import refused

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


@pytest.fixture
def credited(shop: Shop, clock: Clock) -> Shop:
    """Return a shop whose customer acme has 71.00 USD of credit from its October invoice."""
    clock.set(2026, 11, 15)
    shop.customer("acme", "2026-10")
    with shop.database.transaction(shop.actor) as session:
        record_item(
            session, shop.actor, "acme", description="Goodwill", unit_price="-100.00",
            item_date=OCTOBER, idempotency_key="goodwill",
        )  # fmt: skip
    invoice = shop.invoice("acme", "2026-10")
    assert (invoice.total_minor, invoice.payment_status, invoice.balance_minor) == (-7100, "credit", 0)
    return shop


def credit_of(shop: Shop) -> int:
    with shop.database.transaction(shop.actor) as session:
        return get_credit(session, shop.actor, "acme").amount_minor


def refund(shop: Shop, amount: str, key: str = "refund", **given: Any) -> RefundRow:
    with shop.database.transaction(shop.actor) as session:
        return record_refund(
            session, shop.actor, "acme", amount=amount, refunded_on=date(2026, 11, 15),
            idempotency_key=key, **given,
        )  # fmt: skip


def test_next_invoice_is_paid_from_the_credit(credited: Shop, clock: Clock) -> None:
    clock.set(2026, 12, 1)
    november = credited.invoice("acme", "2026-11")
    assert (november.total_minor, november.paid_minor, november.payment_status) == (2900, 2900, "paid")
    assert credit_of(credited) == 4200
    clock.set(2027, 2, 1)
    credited.invoice("acme", "2026-12")
    january = credited.invoice("acme", "2027-01")
    assert (january.paid_minor, january.balance_minor, january.payment_status) == (
        1300,
        1600,
        "partially_paid",
    )
    assert credit_of(credited) == 0
    assert verify(credited.database, credited.actor).discrepancies == []


def test_reversed_application_is_credit_again_and_can_be_applied_to_an_older_invoice(
    credited: Shop, clock: Clock
) -> None:
    clock.set(2026, 12, 1)
    november = credited.invoice("acme", "2026-11")
    with credited.database.transaction(credited.actor) as session:
        (payment,) = list_payments(session, credited.actor, november.number).items
        assert payment.is_credit
        reverse_payment(session, credited.actor, november.number, payment.payment_id, reason="keep it")
    assert credit_of(credited) == 7100
    with credited.database.transaction(credited.actor) as session:
        assert get_invoice(session, credited.actor, november.number).balance_minor == 2900
        assert apply_credit(session, credited.actor, november.number).amount_minor == 2900
    with credited.database.transaction(credited.actor) as session, refused("nothing_to_apply"):
        apply_credit(session, credited.actor, november.number)
    assert verify(credited.database, credited.actor).discrepancies == []


def test_credit_invoice_takes_no_payment(credited: Shop) -> None:
    with credited.database.transaction(credited.actor) as session, refused("overpayment"):
        record_payment(
            session, credited.actor, "ACME-0001", amount="1.00", received_on=date(2026, 11, 15),
            idempotency_key="p",
        )  # fmt: skip


def test_refund_takes_credit_once_and_gives_it_back_when_reversed(credited: Shop) -> None:
    first = refund(credited, "50.00", reference="R-1")
    assert refund(credited, "50.00", reference="R-1") == first
    with refused("idempotency_conflict"):
        refund(credited, "49.00", reference="R-1")
    assert credit_of(credited) == 2100
    with refused("insufficient_credit"):
        refund(credited, "21.01", "second")
    with credited.database.transaction(credited.actor) as session:
        reverse_refund(session, credited.actor, "acme", first.refund_id, reason="bounced")
    assert credit_of(credited) == 7100
    with credited.database.transaction(credited.actor) as session, refused("refund_reversed"):
        reverse_refund(session, credited.actor, "acme", first.refund_id, reason="again")
    assert verify(credited.database, credited.actor).discrepancies == []


def test_credit_refunded_by_20_at_once_is_never_spent_twice(credited: Shop) -> None:
    def refunding(number: int) -> Any:
        def work(session: Session) -> RefundRow:
            return record_refund(
                session, credited.actor, "acme", amount="10.00", refunded_on=date(2026, 11, 15),
                idempotency_key=f"refund {number}",
            )  # fmt: skip

        return work

    outcomes = at_once(credited.database, [refunding(number) for number in range(20)])
    assert sum(isinstance(each, RefundRow) for each in outcomes) == 7
    assert credit_of(credited) == 100


@pytest.mark.parametrize("table", ["refund", "refund_reversal"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET recorded_by = 'x'", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
def test_refunds_never_change(credited: Shop, owner: psycopg.Connection, table: str, statement: str) -> None:
    row = refund(credited, "1.00")
    with credited.database.transaction(credited.actor) as session:
        reverse_refund(session, credited.actor, "acme", row.refund_id, reason="bounced")
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(statement.format(table))  # type: ignore[arg-type]


def test_wrong_credit_is_found(credited: Shop, owner: psycopg.Connection) -> None:
    owner.execute("UPDATE customer_billing SET credit_minor = credit_minor + 1")
    owner.commit()
    (found,) = verify(credited.database, credited.actor).discrepancies
    assert found.code == "wrong_credit"


def test_preview_shows_what_is_left_to_pay(credited: Shop) -> None:
    with credited.database.transaction(credited.actor) as session:
        preview = preview_invoice(session, credited.actor, "acme")
    assert (preview.total_minor, preview.credit_available_minor) == (2900, 7100)
    assert (preview.credit_applied_minor, preview.due_minor) == (2900, 0)


def test_history_lists_what_gave_credit_and_what_used_it(credited: Shop, clock: Clock) -> None:
    refund(credited, "10.00")
    clock.set(2026, 12, 1)
    credited.invoice("acme", "2026-11")
    listed = []
    with credited.database.transaction(credited.actor) as session:
        cursor = None
        while True:
            page = list_credit_entries(session, credited.actor, "acme", limit=1, cursor=cursor)
            listed += [(each.source, each.reference, each.amount_minor) for each in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
    assert listed == [("payment", "ACME-0002", -2900), ("refund", "", -1000), ("invoice", "ACME-0001", 7100)]
    assert sum(amount for *_, amount in listed) == credit_of(credited)


def test_refund_is_stale_after_the_credit_changed(credited: Shop) -> None:
    refund(credited, "1.00")
    with refused("stale"):
        refund(credited, "70.00", "another", expected_credit="71.00")
    refund(credited, "70.00", "another", expected_credit="70.00")


def test_credit_is_never_outstanding(credited: Shop) -> None:
    refresh_figures(credited.database)
    with credited.database.transaction(credited.actor) as session:
        dashboard = get_dashboard(session, credited.actor)
        (totals,) = get_totals(session, credited.actor).currencies  # type: ignore[union-attr]
        listed = {
            status: len(list_invoices(session, credited.actor, InvoiceFilter(status=status)).items)
            for status in ("credit", "outstanding", "paid", "overdue")
        }
    assert dashboard
    (usd,) = dashboard.currencies
    assert (usd.invoiced_minor, usd.outstanding_minor, usd.outstanding_invoices) == (-7100, 0, 0)
    assert all(each.invoices == 0 for each in usd.receivables)
    assert tuple(usd.revenue[-1])[1:] == (2900, 0, -10000)
    assert (usd.credit_minor, usd.customers_with_credit) == (7100, 1)
    assert (totals.total_minor, totals.outstanding_minor) == (-7100, 0)
    assert listed == {"credit": 1, "outstanding": 0, "paid": 0, "overdue": 0}
