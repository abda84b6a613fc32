"""Rows of corrections that contradict their event, whatever code writes them."""

from __future__ import annotations

import psycopg
import pytest

from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.jobs.verification import verify
from tests.billing.shop import Shop


@pytest.fixture
def used(shop: Shop) -> Shop:
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", "1530", "2026-10-15T10:00:00Z")
    return shop


COPY = (
    "INSERT INTO usage_correction SELECT customer_id, 'new', idempotency_key, {number}, {occurred_at}, meter_id,"
    " {before}, {quantity}, {difference}, {period}, reason, recorded_at, recorded_by FROM usage_correction"
)
GOOD = {
    "number": "2",
    "occurred_at": "occurred_at",
    "before": "1030",
    "quantity": "1000",
    "difference": "-30",
    "period": "'2026-11-01'",
}


@pytest.mark.parametrize(
    "change",
    [
        {"period": "'2026-10-01'"},
        {"period": "'2026-09-01'"},
        {"number": "3"},
        {"number": "0"},
        {"before": "1031", "difference": "-31"},
        {"difference": "-31"},
        {"quantity": "1030", "difference": "0"},
        {"quantity": "-1", "difference": "-1031"},
        {"occurred_at": "occurred_at + interval '1 day'"},
    ],
)
def test_wrong_rows_are_refused_for_everyone(
    used: Shop, urls: Urls, owner: psycopg.Connection, change: dict[str, str]
) -> None:
    used.correct("acme", "a", "1030", "fix")
    used.invoice("acme", "2026-10")
    attack = COPY.format(**{**GOOD, **change})
    application = psycopg.connect(urls.application.replace("+psycopg", ""), autocommit=True)
    with application:
        for connection in (application, owner):
            with pytest.raises((psycopg.errors.RestrictViolation, psycopg.errors.CheckViolation)):
                connection.execute(attack)
    owner.execute(COPY.format(**GOOD))


def test_correction_needs_an_event(used: Shop, owner: psycopg.Connection) -> None:
    used.correct("acme", "a", "1030", "fix")
    attack = COPY.format(**GOOD).replace("idempotency_key, 2", "'other', 2")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute(attack)


def test_verification_finds_a_wrong_correction(
    used: Shop, database: Database, owner: psycopg.Connection
) -> None:
    used.correct("acme", "a", "1030", "fix")
    owner.execute("ALTER TABLE usage_correction DISABLE TRIGGER append_only")
    owner.execute("UPDATE usage_correction SET quantity_before = 1531, difference = -501")
    found = [each.code for each in verify(database, used.actor).discrepancies]
    assert found == ["wrong_correction"]
