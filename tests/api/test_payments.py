"""Payments over HTTP: recorded once, never above the balance, and reversed once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Role
from tests.api.conftest import ClientOf
from tests.factories import make_customer, make_invoice, make_plan

OCTOBER_INVOICE = {"amount": "29.00", "received_on": "2026-11-15", "idempotency_key": "bank-1"}


@pytest.fixture
def path(database: Database) -> str:
    """Return the path of the payments of an invoice over 29.00 USD."""
    return f"/api/v1/invoices/{make_invoice(database).number}/payments"


def invoice(client: TestClient, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(path.removesuffix("/payments")).json()
    return answer


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_payment_is_recorded_listed_and_reversed(client: TestClient, path: str) -> None:
    made = client.post(path, json=OCTOBER_INVOICE | {"method": "bank transfer", "reference": "R-1"})
    assert made.status_code == 201, made.text
    payment = made.json()
    assert payment == {
        "id": payment["id"], "invoice": path.split("/")[4], "amount": "29.00", "currency": "USD",
        "received_on": "2026-11-15", "method": "bank transfer", "reference": "R-1",
        "recorded_at": "2026-11-15T12:00:00Z", "recorded_by": payment["recorded_by"],
        "reversed_at": None, "reversed_by": None, "reversal_reason": None, "source": "received",
    }  # fmt: skip
    paid = invoice(client, path)
    assert (paid["payment_status"], paid["paid"], paid["balance"]) == ("paid", "29.00", "0.00")
    undone = client.post(f"{path}/{payment['id']}/reversal", json={"reason": "bounced"})
    assert undone.status_code == 201
    assert undone.json() == payment | {
        "reversed_at": "2026-11-15T12:00:00Z",
        "reversed_by": payment["recorded_by"],
        "reversal_reason": "bounced",
    }
    again = client.post(f"{path}/{payment['id']}/reversal", json={"reason": "bounced"})
    assert problem(again) == (409, "already_reversed")
    assert invoice(client, path)["balance"] == "29.00"
    assert client.get(path).json() == {"items": [undone.json()], "next_cursor": None}


def test_same_key_again_returns_the_first_payment(client: TestClient, path: str) -> None:
    first = client.post(path, json=OCTOBER_INVOICE)
    again = client.post(path, json=OCTOBER_INVOICE | {"amount": 29})
    assert (again.status_code, again.json()) == (200, first.json())
    other = client.post(path, json=OCTOBER_INVOICE | {"amount": "28.00"})
    assert (problem(other), other.json()["payment"]) == ((409, "idempotency_conflict"), first.json()["id"])


def test_key_is_kept_exactly_as_sent(client: TestClient, path: str) -> None:
    part = OCTOBER_INVOICE | {"amount": "1.00"}
    for key in ("a", " a", "a ", "A", "ä"):
        assert client.post(path, json=part | {"idempotency_key": key}).status_code == 201, repr(key)
        assert client.post(path, json=part | {"idempotency_key": key}).status_code == 200, repr(key)
    for bad in ("", " ", "a\n", "k" * 256, "a\0", 5, None):
        refused = client.post(path, json=part | {"idempotency_key": bad})
        assert (problem(refused), refused.json()["errors"][0]["field"]) == (
            (422, "invalid"),
            "idempotency_key",
        )
    surrogate = b'{"amount": 1, "received_on": "2026-11-15", "idempotency_key": "\\ud800"}'
    refused = client.post(path, content=surrogate, headers={"Content-Type": "application/json"})
    assert problem(refused) == (422, "invalid")


def test_concurrent_requests_cannot_overpay(client: TestClient, path: str) -> None:
    refused = client.post(path, json=OCTOBER_INVOICE | {"amount": "29.01"})
    assert problem(refused) == (409, "overpayment")
    assert (refused.json()["balance"], refused.json()["currency"]) == ("29.00", "USD")

    def pay(number: int) -> int:
        body = OCTOBER_INVOICE | {"amount": "5.00", "idempotency_key": f"key-{number}"}
        return client.post(path, json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(pay, range(8))) == [201] * 5 + [409] * 3
    assert invoice(client, path)["balance"] == "4.00"


def test_amounts_are_read_exactly_with_the_decimals_of_their_currency(
    client: TestClient, database: Database, path: str
) -> None:
    for amount in ("1.001", "-1", "0", "NaN", True, None, [], "1e400"):
        refused = client.post(path, json=OCTOBER_INVOICE | {"amount": amount})
        assert (problem(refused), refused.json()["errors"][0]["field"]) == ((422, "invalid"), "amount"), (
            amount
        )
    # As a float it would be 0.1000000000000000055..., and 28.999999999999999 would be 29.
    for written, status in ((b"28.999999999999999", 422), (b"0.1", 201), (b"0.10", 200)):
        body = b'{"amount": %s, "received_on": "2026-11-15", "idempotency_key": "exact"}' % written
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
    plan = make_plan(database, currency="JPY", monthly_price="2900")
    yen = make_invoice(database, make_customer(database, plan, start=date(2026, 10, 1)))
    path = f"/api/v1/invoices/{yen.number}/payments"
    assert client.post(path, json=OCTOBER_INVOICE | {"amount": "0.5"}).status_code == 422
    assert client.post(path, json=OCTOBER_INVOICE | {"amount": "2900"}).json()["amount"] == "2900"


def test_invalid_fields_and_unknown_ids_are_named(client: TestClient, path: str) -> None:
    for change, field in (
        ({"received_on": "2026-11-17"}, "received_on"),
        ({"received_on": "2026-11-15T00:00:00Z"}, "received_on"),
        ({"method": 5}, "method"),
        ({"reference": "x" * 201}, "reference"),
        ({"status": "paid"}, "status"),
    ):
        refused = client.post(path, json=OCTOBER_INVOICE | change)
        assert (problem(refused), refused.json()["errors"][0]["field"]) == ((422, "invalid"), field)
    nowhere = path.replace("-0001", "-0002")
    assert problem(client.post(nowhere, json=OCTOBER_INVOICE)) == (404, "invoice_not_found")
    assert problem(client.get(nowhere)) == (404, "invoice_not_found")
    for payment in ("pay_999999", "pay_x", "7", "usr_1"):
        refused = client.post(f"{path}/{payment}/reversal", json={"reason": "typo"})
        assert problem(refused) == (404, "payment_not_found")


def test_finance_user_and_reading_token_cannot_record_or_reverse(
    client: TestClient, client_of: ClientOf, path: str
) -> None:
    payment = client.post(path, json=OCTOBER_INVOICE).json()["id"]
    finance = client_of(Role.FINANCE)
    assert problem(finance.post(path, json=OCTOBER_INVOICE)) == (403, "forbidden")
    reversal = finance.post(f"{path}/{payment}/reversal", json={"reason": "x"})
    assert problem(reversal) == (403, "forbidden")
    assert [each["reversed_at"] for each in finance.get(path).json()["items"]] == [None]
