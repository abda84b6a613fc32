"""The dialog for a payment starts with the viewer's day, and the service takes it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.payments.payments import record_payment
from billing_app.state.pages.payments import _read
from tests.conftest import Clock
from tests.factories import make_invoice

EVENING = datetime(2026, 11, 15, 20, tzinfo=UTC)
EARLY = datetime(2026, 11, 15, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "now", "today"),
    [
        ("Pacific/Auckland", EVENING, date(2026, 11, 16)),
        ("Pacific/Kiritimati", EVENING, date(2026, 11, 16)),
        ("UTC", EVENING, date(2026, 11, 15)),
        ("Pacific/Honolulu", EARLY, date(2026, 11, 14)),
        ("Asia/Kolkata", datetime(2026, 12, 31, 18, 30, tzinfo=UTC), date(2027, 1, 1)),
    ],
)
def test_payment_starts_with_the_viewers_day(
    database: Database, clock: Clock, zone: str, now: datetime, today: date
) -> None:
    clock.moment = now
    number = make_invoice(database).number
    with database.transaction(SYSTEM) as session:
        proposed = _read(session, SYSTEM, number, ZoneInfo(zone)).today
        assert proposed == today
        recorded = record_payment(
            session, SYSTEM, number, amount="1.00", received_on=proposed, idempotency_key="first"
        )
    assert recorded.payment.received_on == today
