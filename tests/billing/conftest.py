from __future__ import annotations

from datetime import date

import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.services.payments.payments import record_payment, reverse_payment
from tests.billing.shop import Shop
from tests.conftest import Clock


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    return Shop(database, admin)


@pytest.fixture
def owing(shop: Shop, clock: Clock) -> Shop:
    """Create invoices for July to October in every payment status, due in early September to December."""
    yen = shop.plan("Yen", price="700", currency="JPY")
    for key, plan_id in (("acme", None), ("globex", None), ("edo", yen)):
        shop.customer(key, start="2026-07", plan_id=plan_id)
    for month in (7, 8, 9, 10):
        clock.set(2026, month, 20)
        shop.use("acme", f"in {month}", 1530)
        clock.set(2026, month + 1, 2)
        for key in ("acme", "globex", "edo"):
            shop.invoice(key, f"2026-{month:02d}")
        if month == 8:
            shop.use("acme", "late", 100, "2026-08-31T10:00:00Z")
    clock.set(2026, 11, 15)
    pay(shop, "ACME-0001", "35.63", date(2026, 11, 1))
    pay(shop, "ACME-0002", "5.63", date(2026, 11, 1))
    pay(shop, "GLOBEX-0004", "9.00", date(2026, 11, 10))
    undone = pay(shop, "GLOBEX-0001", "29.00", date(2026, 11, 1))
    with shop.database.transaction(SYSTEM) as session:
        reverse_payment(session, SYSTEM, "GLOBEX-0001", undone, reason="bounced")
    return shop


def pay(shop: Shop, number: str, amount: str, day: date) -> int:
    with shop.database.transaction(SYSTEM) as session:
        return record_payment(
            session, SYSTEM, number, amount=amount, received_on=day, idempotency_key=f"{number} {amount}"
        ).payment.payment_id
