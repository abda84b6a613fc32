"""Triggers keep the table of open invoices correct, however payments are written."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest

from billing_app.domain.actor import SYSTEM
from billing_app.domain.money import plain
from billing_app.jobs.verification import verify
from billing_app.services.invoices.filters import STATUSES, InvoiceFilter
from billing_app.services.invoices.invoices import list_invoices
from billing_app.services.payments.payments import record_payment, reverse_payment
from billing_app.wording.discrepancies import subject_name
from tests.billing.shop import Shop

PAID_ON = date(2026, 11, 2)


@pytest.fixture
def invoiced(shop: Shop) -> str:
    """Return the number of an invoice over 29.00."""
    shop.customer("acme", start="2026-10")
    return shop.invoice("acme", "2026-10").number


def pay(shop: Shop, number: str, amount: str) -> int:
    with shop.database.transaction(SYSTEM) as session:
        return record_payment(
            session, SYSTEM, number, amount=amount, received_on=PAID_ON, idempotency_key=f"of {amount}"
        ).payment.payment_id  # fmt: skip


def still_open(owner: psycopg.Connection) -> list[str]:
    """Return the stored paid amount of each open invoice."""
    return [plain(paid) for (paid,) in owner.execute("SELECT paid_minor FROM open_invoice").fetchall()]


def statuses(shop: Shop) -> list[str]:
    """Return the statuses whose filter finds the invoice."""
    with shop.database.transaction(SYSTEM) as session:
        return [
            status
            for status in STATUSES
            for row in list_invoices(session, SYSTEM, InvoiceFilter(status=status)).items
            if row.payment_status == status
        ]


def test_invoice_is_open_until_paid_and_again_after_a_reversal(
    shop: Shop, invoiced: str, owner: psycopg.Connection
) -> None:
    assert (still_open(owner), statuses(shop)) == (["0"], ["unpaid"])
    pay(shop, invoiced, "9.00")
    assert (still_open(owner), statuses(shop)) == (["900"], ["partially_paid"])
    rest = pay(shop, invoiced, "20.00")
    assert (still_open(owner), statuses(shop)) == ([], ["paid"])
    with shop.database.transaction(SYSTEM) as session:
        reverse_payment(session, SYSTEM, invoiced, rest, reason="another customer's money")
    assert (still_open(owner), statuses(shop)) == (["900"], ["partially_paid"])
    assert verify(shop.database, SYSTEM).ok


def test_invoice_of_zero_is_never_open(shop: Shop, owner: psycopg.Connection) -> None:
    shop.customer("acme", start="2026-10", plan_id=shop.plan("Free", price="0.00"))
    shop.invoice("acme", "2026-10")
    assert (still_open(owner), statuses(shop)) == ([], ["paid"])


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM open_invoice", "UPDATE open_invoice SET paid_minor = 1"],
)
def test_verification_detects_a_wrong_open_invoice(
    shop: Shop, invoiced: str, owner: psycopg.Connection, change: str
) -> None:
    owner.execute(change)  # type: ignore[arg-type]
    report = verify(shop.database, SYSTEM)
    (discrepancy,) = report.discrepancies
    assert (subject_name(discrepancy), discrepancy.code) == ("acme", "wrong_open_invoice")
    assert discrepancy.facts == {"period": date(2026, 10, 1)}
