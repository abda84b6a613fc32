"""Invoices over HTTP: created, listed, explained down to the events, and never changed."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role
from tests.api.conftest import ClientOf
from tests.billing.shop import Shop
from tests.conftest import Clock

INVOICES = "/api/v1/invoices"


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    return Shop(database, admin)


@pytest.fixture
def late_shop(shop: Shop, clock: Clock) -> Shop:
    """Invoice 900 units of October, then record 300 more of October and 1,200 of November."""
    shop.customer("acme", "2026-10")
    shop.use("acme", "oct", 900, "2026-10-05T00:00:00Z")
    shop.invoice("acme", "2026-10")
    shop.use("acme", "late", 300, "2026-10-06T00:00:00Z")
    shop.use("acme", "nov", 1200, "2026-11-05T00:00:00Z")
    clock.set(2026, 12, 1)
    return shop


def test_invoice_is_created_once_and_read_back(late_shop: Shop, client: TestClient) -> None:
    made = client.post(INVOICES, json={"customer": "acme", "period": "2026-11"})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"{INVOICES}/ACME-0002"
    assert client.get(made.headers["location"].lower()).json() == made.json()
    first = client.get(f"{INVOICES}/ACME-0001").json()
    invoice = made.json()
    customer_id = invoice["customer"].pop("id")
    assert customer_id.startswith("cus_")
    assert invoice | {"lines": [], "issuer": {}} == {
        "number": "ACME-0002",
        "customer": {"key": "acme", "name": "acme Inc.", "email": "acme@example.com", "billing_address": ""},
        "issuer": {},
        "period": "2026-11",
        "currency": "USD",
        "lines": [],
        "total": "34.00",
        "issued_at": "2026-12-01T12:00:00Z",
        "due_on": "2026-12-31",
        "payment_status": "unpaid",
        "paid": "0.00",
        "balance": "34.00",
        "content_sha256": invoice["content_sha256"],
        "previous_sha256": first["content_sha256"],
        "chain_ok": True,
        "gap_before": None,
    }
    assert invoice["issuer"].keys() == {"name", "address", "email", "payment_instructions"}
    again = client.post(INVOICES, json={"customer": customer_id, "period": "2026-11"})
    assert (problem(again), again.json()["number"]) == ((409, "invoice_exists"), "ACME-0002")


def test_each_line_carries_its_arithmetic(late_shop: Shop, client: TestClient) -> None:
    invoice = client.post(INVOICES, json={"customer": "acme", "period": "2026-11"}).json()
    base, overage, late = invoice["lines"]
    november = {"start": "2026-11-01", "end": "2026-12-01", "days": 30, "days_in_month": 30}
    october = {"start": "2026-10-01", "end": "2026-11-01", "days": 31, "days_in_month": 31}
    plan = {"plan_name": "Plan of acme", "plan_version": 1, "is_correction": False}
    charge = {
        "meter": {"code": "usage", "name": "Usage", "unit": "unit"}, "model": "per_unit",
        "included_quantity": "1000", "billed_quantity": "200", "unit_price": "0.0125",
    }  # fmt: skip
    assert given(base) == {
        "number": 1, "kind": "base", "description": "Plan of acme, monthly price", **plan,
        "usage_period": "2026-11", "segment": november, "exact_amount": "29", "amount": "29.00",
    }  # fmt: skip
    assert given(overage) == {
        "number": 2, "kind": "overage", "description": "Usage of 2026-11", **plan, **charge,
        "usage_period": "2026-11", "segment": november, "quantity": "1200", "exact_amount": "2.5",
        "amount": "2.50",
    }  # fmt: skip
    assert given(late) == {
        "number": 3, "kind": "late_usage", "description": "Usage of 2026-10, late", **plan, **charge,
        "usage_period": "2026-10", "segment": october, "quantity": "300", "quantity_before": "900",
        "quantity_after": "1200", "billed_quantity_before": "0", "exact_amount": "2.5", "rated": "2.50",
        "exact_amount_before": "0", "already_charged": "0.00", "amount": "2.50",
    }  # fmt: skip
    assert base.keys() == overage.keys() == late.keys()


def given(line: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a line that have a value. The others are there too, and null."""
    return {name: value for name, value in line.items() if value is not None}


def test_usage_lists_the_events_of_an_invoice_or_a_line(late_shop: Shop, client: TestClient) -> None:
    client.post(INVOICES, json={"customer": "acme", "period": "2026-11"})
    usage = f"{INVOICES}/ACME-0002/usage"

    def keys(**query: Any) -> list[str]:
        return [each["idempotency_key"] for each in client.get(usage, params=query).json()["items"]]

    assert keys() == ["late", "nov"]
    assert (keys(line=2), keys(line=3)) == (["nov"], ["late"])
    first = client.get(usage, params={"limit": 1}).json()
    assert keys(limit=1, cursor=first["next_cursor"]) == ["nov"]
    assert first["items"][0]["quantity"] == "300"
    for line in (1, 4):
        assert problem(client.get(usage, params={"line": line})) == (404, "line_not_found")
    for line in ("0", "x", "99999999999"):
        assert problem(client.get(usage, params={"line": line})) == (422, "invalid")
    assert problem(client.get(f"{INVOICES}/ACME-0009/usage")) == (404, "invoice_not_found")


def test_refusals_name_the_reason(client: TestClient, shop: Shop) -> None:
    shop.customer("acme", "2026-09")
    shop.customer("later", "2026-11")

    def make(customer: str, period: str) -> Any:
        return client.post(INVOICES, json={"customer": customer, "period": period})

    assert problem(make("acme", "2026-11")) == (409, "period_open")
    older = make("acme", "2026-10")
    assert (problem(older), older.json()["period"]) == ((409, "earlier_period_open"), "2026-09")
    assert problem(make("later", "2026-10")) == (409, "nothing_to_invoice")
    assert problem(make("missing", "2026-10")) == (404, "customer_not_found")
    assert make("acme", "2026-13").json()["errors"] == [
        {"field": "period", "message": "must be a month written as YYYY-MM, such as 2026-10"}
    ]


def test_lists_are_filtered_and_paged(shop: Shop, clock: Clock, client_of: ClientOf) -> None:
    for key in ("acme", "globex"):
        shop.customer(key, "2026-09")
        shop.invoice(key, "2026-09")
        shop.invoice(key, "2026-10")

    client = client_of(Role.BILLING)

    def numbers(path: str = INVOICES, **query: Any) -> list[str]:
        return [each["number"] for each in client.get(path, params=query).json()["items"]]

    assert numbers() == ["GLOBEX-0002", "ACME-0002", "GLOBEX-0001", "ACME-0001"]
    assert (
        numbers(customer="ACME") == numbers("/api/v1/customers/acme/invoices") == ["ACME-0002", "ACME-0001"]
    )
    assert numbers(period="2026-10") == ["GLOBEX-0002", "ACME-0002"]
    assert numbers(customer="acme", period="2026-09") == ["ACME-0001"]
    first = client.get(INVOICES, params={"limit": 3}).json()
    assert numbers(limit=3, cursor=first["next_cursor"]) == ["ACME-0001"]
    assert "lines" not in first["items"][0]
    assert first["items"][0]["customer"]["email"] == "globex@example.com"
    pay = {"received_on": "2026-11-15", "amount": "29.00", "idempotency_key": "a"}
    assert client.post(f"{INVOICES}/ACME-0001/payments", json=pay).status_code == 201
    assert client.post(f"{INVOICES}/ACME-0002/payments", json=pay | {"amount": 1, "idempotency_key": "b"})
    assert numbers(status="paid") == ["ACME-0001"]
    assert numbers(status="partially_paid") == ["ACME-0002"]
    assert numbers(status="unpaid") == ["GLOBEX-0002", "GLOBEX-0001"]
    assert numbers(status="overdue") == []
    clock.set(2026, 12, 16)
    client = client_of(Role.FINANCE)
    assert numbers(status="overdue") == ["GLOBEX-0002", "ACME-0002", "GLOBEX-0001"]
    assert numbers(status="unpaid") == numbers(status="partially_paid") == []
    for query in ({"status": "late"}, {"period": "October"}, {"cursor": "x"}, {"limit": "0"}):
        assert problem(client.get(INVOICES, params=query)) == (422, "invalid")
    for path in (f"{INVOICES}?customer=x", "/api/v1/customers/x/invoices"):
        assert problem(client.get(path)) == (404, "customer_not_found")


def test_preview_equals_the_invoice_and_stores_nothing(
    late_shop: Shop, client: TestClient, database: Database
) -> None:
    path = "/api/v1/customers/acme/invoice-preview"
    preview = client.get(path, params={"period": "2026-11"}).json()
    assert preview["customer"].keys() == {"id", "key", "name"}
    assert (preview["customer"]["key"], preview["as_of"]) == ("acme", "2026-12-01T12:00:00Z")
    assert client.get(f"{INVOICES}?period=2026-11").json()["items"] == []
    made = client.post(INVOICES, json={"customer": "acme", "period": "2026-11"}).json()
    for name in ("lines", "total", "currency", "period"):
        assert preview[name] == made[name]
    assert client.get(path).json()["period"] == "2026-12"
    refused = client.get(path, params={"period": "2026-11"})
    assert (problem(refused), refused.json()["number"]) == ((409, "invoice_exists"), "ACME-0002")
    assert problem(client.get("/api/v1/customers/x/invoice-preview")) == (404, "customer_not_found")


@pytest.mark.parametrize("key", ["acme", "a.b", "x.pdf", "x.pdf-0001", "y.csv"])
def test_pdf_and_invoice_have_distinct_addresses_whatever_the_key(
    client: TestClient, shop: Shop, key: str
) -> None:
    shop.customer(key, "2026-10")
    number = shop.invoice(key, "2026-10").number
    assert client.get(f"{INVOICES}/{number}").json()["number"] == number
    for written in (number, number.lower()):
        pdf = client.get(f"{INVOICES}/{written}.pdf")
        assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
        assert pdf.headers["content-disposition"] == f'inline; filename="{number}.pdf"'
        assert pdf.content.startswith(b"%PDF-")


def test_pdf_of_an_unknown_invoice_is_not_found(client: TestClient) -> None:
    for number in ("MISSING-0001", "x", "%00", ".pdf"):
        assert problem(client.get(f"{INVOICES}/{number}.pdf")) == (404, "invoice_not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_immutable_resources_refuse_writing_methods(late_shop: Shop, client: TestClient, method: str) -> None:
    before = client.get(f"{INVOICES}/ACME-0001").json()
    for path in (f"{INVOICES}/ACME-0001", f"{INVOICES}/ACME-0001.pdf", f"{INVOICES}/ACME-0001/usage",
                 f"{INVOICES}/ACME-0001/payments", INVOICES, "/api/v1/usage"):  # fmt: skip
        refused = client.request(method, path, json={"total": "0.00"})
        assert problem(refused) == (405, "method_not_allowed")
        assert refused.headers["allow"] in {"GET", "GET, POST"}
        assert refused.headers["content-type"] == "application/problem+json"
    assert client.get(f"{INVOICES}/ACME-0001").json() == before


def test_finance_user_reads_everything_and_creates_nothing(late_shop: Shop, client_of: ClientOf) -> None:
    finance = client_of(Role.FINANCE)
    for path in ("ACME-0001", "ACME-0001/usage", "ACME-0001.pdf", "ACME-0001/payments"):
        assert finance.get(f"{INVOICES}/{path}").status_code == 200
    for path in (INVOICES, f"{INVOICES}.csv", "/api/v1/customers/acme/invoice-preview"):
        assert finance.get(path).status_code == 200
    # Permission is checked first, so that a refusal does not reveal which customers exist.
    for customer in ("acme", "missing"):
        refused = finance.post(INVOICES, json={"customer": customer, "period": "2026-11"})
        assert problem(refused) == (403, "forbidden")
    assert len(finance.get(INVOICES).json()["items"]) == 1
    assert client_of(Role.BILLING).post(
        INVOICES, json={"customer": "acme", "period": "2026-11"}
    ).status_code == 201  # fmt: skip
