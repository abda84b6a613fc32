"""The CSV export of invoices: the rows of the list, read in one transaction."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role
from billing_app.services.customers.customers import update_customer
from billing_app.services.invoices import export as invoice_exports
from tests.api.conftest import ClientOf
from tests.billing.shop import Shop

PATH = "/api/v1/invoices.csv"


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    """Five customers with two invoices each."""
    shop = Shop(database, admin)
    plan = shop.plan()
    for key in "abcde":
        shop.customer(key, "2026-09", plan)
        shop.invoice(key, "2026-09")
        shop.invoice(key, "2026-10")
    return shop


def rows(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


def numbers(answer: Any) -> list[str]:
    return [row["number"] for row in rows(answer)]


@pytest.mark.parametrize("chunk", [1, 3, 10, 2_000])
def test_export_has_the_invoices_of_the_list_in_its_order(
    shop: Shop, client: TestClient, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(invoice_exports, "CHUNK_ROWS", chunk)
    listed = client.get("/api/v1/invoices").json()["items"]
    assert numbers(client.get(PATH)) == [each["number"] for each in listed]
    assert len(listed) == 10
    for query in (
        {"period": "2026-09"}, {"customer": "c"}, {"status": "unpaid"}, {"status": "paid"},
        {"status": "outstanding"}, {"search": "d inc"},
        {"search": "e-0002"},
    ):  # fmt: skip
        listed = client.get("/api/v1/invoices", params=query).json()["items"]
        assert numbers(client.get(PATH, params=query)) == [each["number"] for each in listed]


def test_row_has_the_values_of_the_invoice(shop: Shop, client: TestClient) -> None:
    body = {"amount": "9.00", "received_on": "2026-11-15", "idempotency_key": "k"}
    assert client.post("/api/v1/invoices/A-0001/payments", json=body).status_code == 201
    invoice = client.get("/api/v1/invoices/A-0001").json()
    answer = client.get(PATH, params={"customer": "a", "period": "2026-09"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="invoices-2026-09-a.csv"' in answer.headers["content-disposition"]
    assert rows(answer) == [
        {
            "number": "A-0001", "customer_key": "a", "customer_name": "a Inc.", "period": "2026-09",
            "currency": "USD", "total": "29.00", "paid": "9.00", "balance": "20.00",
            "payment_status": "partially_paid", "issued_at": "2026-11-15T12:00:00Z", "due_on": "2026-12-15",
            "content_sha256": invoice["content_sha256"],
        }
    ]  # fmt: skip


def test_name_is_not_run_as_a_formula(
    shop: Shop, client: TestClient, database: Database, admin: Actor
) -> None:
    name = '=HYPERLINK("https://evil.test")'
    with database.transaction(admin) as session:
        update_customer(session, admin, "a", name=name)
    plan = shop.plan("Other")
    shop.customer("z", "2026-10", plan)
    with database.transaction(admin) as session:
        update_customer(session, admin, "z", name=name)
    shop.invoice("z", "2026-10")
    assert rows(client.get(PATH, params={"customer": "z"}))[0]["customer_name"] == f"'{name}"
    # Earlier invoices keep the name that they were issued with.
    assert {row["customer_name"] for row in rows(client.get(PATH, params={"customer": "a"}))} == {"a Inc."}


def test_refusal_precedes_the_first_byte(shop: Shop, client: TestClient) -> None:
    for query, expected in (
        ({"customer": "missing"}, (404, "customer_not_found")),
        ({"status": "late"}, (422, "invalid")),
        ({"period": "2026"}, (422, "invalid")),
    ):
        answer = client.get(PATH, params=query)
        assert (answer.status_code, answer.json()["code"]) == expected
        assert answer.headers["content-type"] == "application/problem+json"


def test_finance_user_exports_and_unauthenticated_caller_does_not(
    shop: Shop, client_of: ClientOf, anonymous: TestClient, database: Database
) -> None:
    assert len(rows(client_of(Role.FINANCE).get(PATH))) == 10
    assert anonymous.get(PATH).status_code == 401


def test_connection_is_returned_to_the_pool(shop: Shop, client: TestClient, database: Database) -> None:
    before = database.engine.pool.checkedout()  # type: ignore[attr-defined]
    for query in ({}, {"customer": "missing"}):
        client.get(PATH, params=query)
        assert database.engine.pool.checkedout() == before  # type: ignore[attr-defined]


def test_export_opens_in_a_spreadsheet_as_utf8(shop: Shop, client: TestClient) -> None:
    answer = client.get(PATH)
    assert answer.content.startswith(b"\xef\xbb\xbfnumber,customer_key,")
