"""Closing holds the gate exclusively, and therefore only briefly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import date

from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.services.invoices.closing import close_period, find_due_period
from billing_app.services.payments.payments import record_payment
from tests.billing.shop import Shop
from tests.races import blocked_before_end


def test_recording_does_not_wait_for_a_payment_that_closing_waits_for(
    shop: Shop, database: Database, admin: Actor
) -> None:
    customer_id = shop.customer("acme", "2026-09")
    shop.invoice("acme", "2026-09")

    def close(session: Session) -> None:
        close_period(session, admin, period_start=date(2026, 10, 1), customer_ids=[customer_id])

    with ThreadPoolExecutor(2) as pool:
        with database.transaction(admin) as session:
            record_payment(
                session, admin, "ACME-0001", amount="1", received_on=date(2026, 11, 1), idempotency_key="p"
            )
            closing = pool.submit(database.run, admin, close)
            assert blocked_before_end(database, closing)
            recording = pool.submit(shop.use, "acme", "a", 1, "2026-10-05T00:00:00Z")
            recorded = wait([recording], timeout=10).done
        closing.result(timeout=20)
    assert recording in recorded


def test_oldest_month_with_charges_is_due(shop: Shop, database: Database, finance: Actor) -> None:
    shop.customer("acme", "2026-09")

    def due() -> date | None:
        with database.transaction(finance) as session:
            return find_due_period(session, finance, "acme")

    assert due() == date(2026, 9, 1)
    shop.set_plan("acme", None, "2026-10")
    shop.invoice("acme", "2026-09")
    assert due() is None
    # Late usage of September is billed in October, which has no plan of its own.
    shop.use("acme", "late", 1, "2026-09-05T00:00:00Z")
    assert due() == date(2026, 10, 1)
    shop.invoice("acme", "2026-10")
    assert due() is None
