"""Each aggregation from the event to the invoice and its verification, through the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role
from billing_app.jobs.verification import resume_verification
from billing_app.services.usage.recording import UsageReport, record_usage
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.factories import PASSWORD, make_customer, make_meter, make_user
from tests.races import Work, at_once, codes
from tests.runtimes import authenticator, installed, limited_api

API = "/api/v1"
OCTOBER = date(2026, 10, 1)


@pytest.fixture
def client(database: Database, fast_hashes: None) -> Iterator[TestClient]:
    """An admin at a business with a meter of each aggregation."""
    make_meter(database, "calls")
    make_meter(database, "seats", "max")
    make_meter(database, "users", "unique")
    with installed(database):
        client = TestClient(limited_api(), raise_server_exceptions=False)
        sign_in(client, database)
        yield client


def sign_in(client: TestClient, database: Database) -> None:
    """Sign in as a new admin, as one must after a long time."""
    user = make_user(database, Role.ADMIN)
    token = authenticator().sign_in(user.email, PASSWORD, user_agent="test", address="test").token
    client.headers["Authorization"] = f"Bearer {token}"


def per_unit(meter: str, price: str, included: str = "0") -> dict[str, str]:
    return {"meter": meter, "model": "per_unit", "included_units": included, "unit_price": price}


def create(client: TestClient, path: str, body: dict[str, Any]) -> Any:
    answer = client.post(f"{API}/{path}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def subscribe(client: TestClient, database: Database, *charges: dict[str, str]) -> None:
    """Put a new customer on a plan with these charges from October on."""
    plan = create(client, "plans", {"name": "Metered", "monthly_price": "0", "charges": list(charges)})
    make_customer(database, key="acme", plan_id=int(plan["id"].removeprefix("plan_")), start=OCTOBER)


def use(client: TestClient, key: str, meter: str, at: str, **values: object) -> None:
    body = {"customer": "acme", "idempotency_key": key, "meter": meter, "occurred_at": at, **values}
    create(client, "usage", body)


def usage_lines(client: TestClient, period: str) -> list[tuple[str, str, str, str]]:
    """Create the invoice, and return meter, quantity, amount and kind of each of its usage lines."""
    invoice = create(client, "invoices", {"customer": "acme", "period": period})
    return [
        (line["meter"]["code"], line["quantity"], line["amount"], line["kind"])
        for line in invoice["lines"]
        if line["kind"] in ("overage", "late_usage")
    ]


def verified(client: TestClient, database: Database) -> None:
    assert client.post(f"{API}/verifications").status_code == 202
    resume_verification(database)
    found = client.get(f"{API}/verifications/latest").json()
    assert (found["ok"], found["discrepancies"]) == (True, [])


def test_sum_max_and_unique_on_one_invoice(client: TestClient, database: Database) -> None:
    subscribe(
        client, database, per_unit("calls", "0.01", "100"), per_unit("seats", "10"), per_unit("users", "2")
    )
    for number, (calls, seats, user) in enumerate([("150.5", 5, "ada"), ("49.5", 8, "bob"), ("1", 7, "ada")]):
        at = f"2026-10-0{number + 1}T10:00:00Z"
        use(client, f"c{number}", "calls", at, quantity=calls)
        use(client, f"s{number}", "seats", at, quantity=seats)
        use(client, f"u{number}", "users", at, item=user)
    assert usage_lines(client, "2026-10") == [
        ("calls", "201", "1.01", "overage"),
        ("seats", "8", "80.00", "overage"),
        ("users", "2", "4.00", "overage"),
    ]
    verified(client, database)


def test_late_report_of_fewer_seats_changes_nothing(
    client: TestClient, database: Database, clock: Clock
) -> None:
    subscribe(client, database, per_unit("seats", "10"))
    use(client, "a", "seats", "2026-10-03T00:00:00Z", quantity=5)
    use(client, "b", "seats", "2026-10-04T00:00:00Z", quantity=8)
    assert usage_lines(client, "2026-10") == [("seats", "8", "80.00", "overage")]
    use(client, "late", "seats", "2026-10-05T00:00:00Z", quantity=7)
    clock.set(2026, 12, 2)
    sign_in(client, database)
    assert usage_lines(client, "2026-11") == [
        ("seats", "0", "0.00", "overage"),
        ("seats", "0", "0.00", "late_usage"),
    ]
    verified(client, database)


def test_late_report_of_more_seats_is_charged(client: TestClient, database: Database, clock: Clock) -> None:
    subscribe(client, database, per_unit("seats", "10"))
    use(client, "a", "seats", "2026-10-03T00:00:00Z", quantity=8)
    assert usage_lines(client, "2026-10") == [("seats", "8", "80.00", "overage")]
    use(client, "late", "seats", "2026-10-05T00:00:00Z", quantity="9.5")
    clock.set(2026, 12, 2)
    sign_in(client, database)
    assert usage_lines(client, "2026-11")[1] == ("seats", "1.5", "15.00", "late_usage")
    verified(client, database)


def test_only_new_items_are_charged_late(client: TestClient, database: Database, clock: Clock) -> None:
    subscribe(client, database, per_unit("users", "2"))
    use(client, "a", "users", "2026-10-03T00:00:00Z", item="ada")
    assert usage_lines(client, "2026-10") == [("users", "1", "2.00", "overage")]
    use(client, "b", "users", "2026-10-05T00:00:00Z", item="ada")
    use(client, "c", "users", "2026-10-06T00:00:00Z", item="bob")
    use(client, "d", "users", "2026-11-06T00:00:00Z", item="ada")
    clock.set(2026, 12, 2)
    sign_in(client, database)
    assert usage_lines(client, "2026-11") == [
        ("users", "1", "2.00", "overage"),
        ("users", "1", "2.00", "late_usage"),
    ]
    verified(client, database)


def test_usage_on_a_meter_without_a_charge_costs_nothing(client: TestClient, database: Database) -> None:
    subscribe(client, database, per_unit("seats", "10"))
    use(client, "a", "calls", "2026-10-03T00:00:00Z", quantity=1_000)
    use(client, "b", "seats", "2026-10-03T00:00:00Z", quantity=2)
    assert usage_lines(client, "2026-10") == [("seats", "2", "20.00", "overage")]
    verified(client, database)


def test_fifty_senders_of_one_key_record_one_item(
    database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    make_meter(database, "users", "unique")
    Shop(database, admin).customer("acme", "2026-10")

    def senders(key: str, items: list[str]) -> list[Work]:
        reports = [UsageReport("acme", key, None, "2026-11-01T00:00:00Z", "users", item) for item in items]
        return [lambda session, report=report: record_usage(session, admin, report) for report in reports]

    outcomes = at_once(database, senders("a", [f"user {number}" for number in range(50)]))
    assert codes(outcomes) == ["idempotency_conflict"] * 49
    outcomes = at_once(database, senders("b", ["ada"] * 50))
    assert sorted(outcome.status for outcome in outcomes) == ["duplicate"] * 49 + ["recorded"]
    counted = owner.execute("SELECT count(*), sum(quantity), count(DISTINCT item) FROM usage_event")
    assert counted.fetchone() == (2, Decimal(2), 2)
