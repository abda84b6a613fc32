"""Discounts, one-off items, credit and refunds over HTTP."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from tests.factories import make_customer, make_invoice

ACME = "/api/v1/customers/acme"
WELCOME = {"name": "Welcome", "percent": "20", "first_period": "2026-10"}
GOODWILL = {
    "description": "Goodwill", "unit_price": "-100.00", "date": "2026-10-05", "idempotency_key": "goodwill",
}  # fmt: skip
REFUND = {"amount": "4.98", "refunded_on": "2026-11-14", "idempotency_key": "refund-1"}


@pytest.fixture(autouse=True)
def _acme(database: Database) -> None:
    make_customer(database, key="acme", start=date(2026, 10, 1))


@pytest.fixture
def credited(client: TestClient, database: Database) -> TestClient:
    """Return a client of a business whose customer acme has 71.00 USD of credit."""
    assert client.post(f"{ACME}/one-off-items", json=GOODWILL).status_code == 201
    answer = client.post("/api/v1/invoices", json={"customer": "acme", "period": "2026-10"})
    assert (answer.json()["total"], answer.json()["payment_status"]) == ("-71.00", "credit")
    return client


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_discount_is_listed_in_order_and_ended_once(client: TestClient) -> None:
    made = client.post(f"{ACME}/discounts", json=WELCOME)
    assert made.status_code == 201, made.text
    assert made.json() | {"recorded_by": ""} == {
        "id": "disc_1", "name": "Welcome", "percent": "20", "amount": None, "currency": "USD",
        "applies_to": "all", "first_period": "2026-10", "last_period": None,
        "recorded_at": "2026-11-15T12:00:00Z", "recorded_by": "",
    }  # fmt: skip
    second = {"name": "Loyalty", "amount": "10.00", "applies_to": "base", "first_period": "2026-10"}
    assert client.post(f"{ACME}/discounts", json=second).json()["amount"] == "10.00"
    assert [each["id"] for each in client.get(f"{ACME}/discounts").json()["items"]] == ["disc_1", "disc_2"]
    preview = client.get(f"{ACME}/invoice-preview?period=2026-10").json()
    assert [(each["discount"], each["applies_to"], each["amount"]) for each in preview["lines"][2:]] == [
        ("Welcome", "base", "-5.80"), ("Loyalty", "base", "-10.00"),
    ]  # fmt: skip
    ended = client.patch(f"{ACME}/discounts/disc_1", json={"last_period": "2026-12"})
    assert ended.json()["last_period"] == "2026-12"
    again = client.patch(f"{ACME}/discounts/disc_1", json={"last_period": "2027-01"})
    assert problem(again) == (409, "discount_ended")
    missing = client.patch(f"{ACME}/discounts/disc_9", json={"last_period": "2026-12"})
    assert problem(missing) == (404, "discount_not_found")


def test_discount_needs_a_percentage_or_an_amount(client: TestClient) -> None:
    for given in ({"percent": None}, {"amount": "1.00"}):
        answer = client.post(f"{ACME}/discounts", json=WELCOME | given)
        assert problem(answer) == (422, "invalid")
        assert answer.json()["errors"][0]["field"] == "percent"


def test_discount_is_refused_for_a_closed_month(client: TestClient, database: Database) -> None:
    assert client.post("/api/v1/invoices", json={"customer": "acme", "period": "2026-10"}).status_code == 201
    assert problem(client.post(f"{ACME}/discounts", json=WELCOME)) == (409, "period_closed")


def test_item_is_recorded_once_and_reversed_once(client: TestClient) -> None:
    made = client.post(f"{ACME}/one-off-items", json=GOODWILL)
    assert (made.status_code, made.json()["billing_period"]) == (201, "2026-10")
    again = client.post(f"{ACME}/one-off-items", json=GOODWILL)
    assert (again.status_code, again.json()) == (200, made.json())
    other = client.post(f"{ACME}/one-off-items", json=GOODWILL | {"unit_price": "-99"})
    assert problem(other) == (409, "idempotency_conflict")
    path = f"{ACME}/one-off-items/{made.json()['id']}/reversal"
    reversal = client.post(path, json={"reason": "A mistake."})
    assert (reversal.status_code, reversal.json()["unit_price"]) == (201, "100")
    assert reversal.json()["reverses"] == made.json()["id"]
    assert problem(client.post(path, json={"reason": "A mistake."})) == (409, "item_reversed")
    listed = client.get(f"{ACME}/one-off-items").json()["items"]
    assert [each["id"] for each in listed] == [reversal.json()["id"], made.json()["id"]]
    assert listed[1]["reversed_by"] == reversal.json()["id"]


def test_credit_is_refunded_at_most_once_for_a_key(credited: TestClient) -> None:
    assert credited.get(f"{ACME}/credit").json() == {"credit": "71.00", "currency": "USD"}
    made = credited.post(f"{ACME}/refunds", json=REFUND)
    assert (made.status_code, made.json()["amount"]) == (201, "4.98")
    assert credited.post(f"{ACME}/refunds", json=REFUND).status_code == 200
    assert credited.get(f"{ACME}/credit").json()["credit"] == "66.02"
    too_much = credited.post(f"{ACME}/refunds", json=REFUND | {"amount": "66.03", "idempotency_key": "r2"})
    assert problem(too_much) == (409, "insufficient_credit")
    assert too_much.json()["credit"] == "66.02"
    path = f"{ACME}/refunds/{made.json()['id']}/reversal"
    assert credited.post(path, json={"reason": "It bounced."}).json()["reversal_reason"] == "It bounced."
    assert problem(credited.post(path, json={"reason": "It bounced."})) == (409, "refund_reversed")
    assert credited.get(f"{ACME}/credit").json()["credit"] == "71.00"


def test_preview_shows_the_credit_and_what_is_left_to_pay(credited: TestClient) -> None:
    preview = credited.get(f"{ACME}/invoice-preview").json()
    shown = [preview[name] for name in ("total", "credit_available", "credit_applied", "amount_due")]
    assert shown == ["29.00", "71.00", "29.00", "0.00"]


def test_credit_is_applied_to_an_invoice_with_a_balance(credited: TestClient, database: Database) -> None:
    assert problem(credited.post("/api/v1/invoices/ACME-0001/credit")) == (409, "nothing_to_apply")
    globex = make_customer(database, key="globex", start=date(2026, 10, 1))
    make_invoice(database, globex)
    assert problem(credited.post("/api/v1/invoices/GLOBEX-0001/credit")) == (409, "nothing_to_apply")
    assert problem(credited.post("/api/v1/invoices/NONE-0001/credit")) == (404, "invoice_not_found")
