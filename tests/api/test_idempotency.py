"""The Idempotency-Key header: a retry gets the first response, and nothing is created twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from httpx import Response

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.jobs import invoicing
from billing_app.services.identity import users
from billing_app.services.invoices.issuer import update_issuer
from billing_app.services.payments.payments import record_payment
from tests.api.conftest import ClientOf
from tests.api.world import make_adjustments, reverse_payments
from tests.conftest import Clock
from tests.factories import make_customer, make_invoice, make_plan

TERMS = {"name": "Team", "monthly_price": "29.00", "included_units": "1000", "overage_unit_price": "0.0125"}
INVOICES = "/api/v1/invoices"
PLAN, KEY = "/api/v1/plans", {"Idempotency-Key": "first-attempt"}


@pytest.fixture
def requests(database: Database) -> dict[str, dict[str, Any]]:
    """Return a request for each operation that accepts the header."""
    plan = make_plan(database)
    acme = make_customer(database, plan, key="acme", start=date(2026, 8, 1))
    with database.transaction(SYSTEM) as session:
        issuer = {"name": "Tallybook Ltd", "address": "1 Ledger Lane", "email": "billing@tallybook.test"}
        update_issuer(session, SYSTEM, **issuer, payment_instructions="")
    given = make_adjustments(database, acme)
    invoice = make_invoice(database, acme, date(2026, 9, 1))
    with database.transaction(SYSTEM) as session:
        reverse_payments(session, invoice.number)
        payment = record_payment(
            session, SYSTEM, invoice.number, amount="5.00", received_on=date(2026, 11, 1), idempotency_key="p1"
        ).payment  # fmt: skip
    return {
        PLAN: TERMS,
        "/api/v1/customers": {"name": "Acme", "email": "ap@acme.example", "plan_id": plan.public_id},
        "/api/v1/users": {"email": "ada@example.com", "name": "Ada", "role": "billing"},
        "/api/v1/tokens": {"name": "Meter 7", "scopes": ["usage:write"]},
        INVOICES: {"customer": "acme", "period": "2026-10"},
        f"{INVOICES}/{invoice.number}/payments/{payment.public_id}/reversal": {"reason": "It bounced."},
        f"{INVOICES}/{invoice.number}/credit": {},
        "/api/v1/customers/acme/discounts": {"name": "Late", "percent": "5", "first_period": "2026-11"},
        f"/api/v1/customers/acme/one-off-items/{given['item']}/reversal": {"reason": "A mistake."},
        f"/api/v1/customers/acme/refunds/{given['refund']}/reversal": {"reason": "It bounced."},
        "/api/v1/meters": {"code": "api_calls", "name": "API calls", "unit": "call", "aggregation": "sum"},
        "/api/v1/invoice-runs": {"period": "2026-10"},
        "/api/v1/verifications": {},
    }


def count(owner: psycopg.Connection) -> dict[str, int]:
    """Count the rows of every table that these requests add to."""
    tables = (
        "plan", "customer", "user_account", "api_token", "invoice", "payment_reversal", "invoice_run",
        "verification", "audit_entry", "idempotent_request", "meter", "discount", "one_off_item", "payment",
        "refund_reversal",
    )  # fmt: skip
    return {table: owner.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}  # type: ignore[arg-type,index]


def test_retry_returns_the_first_answer_and_creates_nothing(
    client: TestClient,
    requests: dict[str, dict[str, Any]],
    owner: psycopg.Connection,
    subtests: pytest.Subtests,
) -> None:
    for number, (path, body) in enumerate(requests.items()):
        with subtests.test(path=path):
            headers = {"Idempotency-Key": f"attempt-{number}"}
            first = client.post(path, json=body, headers=headers)
            assert first.status_code in (201, 202), first.text
            before = count(owner)
            # The same JSON value, written differently.
            again = client.post(path, json=dict(reversed(body.items())), headers=headers)
            assert again.status_code == first.status_code
            secrets = dict.fromkeys(first.json().keys() & {"token", "one_time_password"})
            assert again.json() == first.json() | secrets
            assert again.headers.get("location") == first.headers.get("location")
            assert again.headers["idempotent-replayed"] == "true"
            assert "idempotent-replayed" not in first.headers
            assert count(owner) == before


def test_same_key_with_another_request_is_a_conflict(client: TestClient) -> None:
    assert client.post(PLAN, json=TERMS, headers=KEY).status_code == 201
    for path, body in ((PLAN, TERMS | {"monthly_price": "30"}), ("/api/v1/verifications", {})):
        refused = client.post(path, json=body, headers=KEY)
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_conflict")
        assert refused.json()["operation"] == "POST /api/v1/plans"
    assert len(client.get(PLAN).json()["items"]) == 1


def test_keys_belong_to_their_caller(client: TestClient, client_of: ClientOf) -> None:
    assert client.post(PLAN, json=TERMS, headers=KEY).status_code == 201
    other = client_of(Role.BILLING).post(PLAN, json=TERMS | {"name": "Solo"}, headers=KEY)
    assert (other.status_code, other.json()["name"]) == (201, "Solo")


def test_refused_request_does_not_use_up_its_key(client: TestClient) -> None:
    assert client.post(PLAN, json=TERMS | {"monthly_price": "-1"}, headers=KEY).status_code == 422
    assert client.post(PLAN, json=TERMS, headers=KEY).status_code == 201


def test_key_of_another_request_is_refused_before_the_month_is_closed(
    client: TestClient, requests: dict[str, dict[str, Any]], owner: psycopg.Connection
) -> None:
    assert client.post(PLAN, json=TERMS, headers=KEY).status_code == 201
    refused = client.post(INVOICES, json=requests[INVOICES], headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_conflict")
    closed = owner.execute("SELECT closed_through FROM customer_billing").fetchall()
    assert closed == [(date(2026, 9, 1),)]


def test_slower_of_two_requests_for_an_invoice_gets_the_answer_of_the_faster(
    client: TestClient,
    requests: dict[str, dict[str, Any]],
    owner: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close = invoicing.close_to_invoice
    faster: list[Response] = []

    def close_after_another(*arguments: Any) -> int:
        monkeypatch.undo()
        faster.append(client.post(INVOICES, json=requests[INVOICES], headers=KEY))
        return close(*arguments)

    monkeypatch.setattr(invoicing, "close_to_invoice", close_after_another)
    slower = client.post(INVOICES, json=requests[INVOICES], headers=KEY)
    assert (slower.status_code, slower.json()["number"]) == (201, "ACME-0003")
    assert (slower.json(), slower.headers["location"]) == (faster[0].json(), faster[0].headers["location"])
    assert count(owner)["invoice"] == 3
    without_key = client.post(INVOICES, json=requests[INVOICES])
    assert (without_key.status_code, without_key.json()["code"]) == (409, "invoice_exists")


def test_requests_sent_concurrently_create_one_thing(client: TestClient, owner: psycopg.Connection) -> None:
    barrier = Barrier(6)

    def send(_: int) -> Response:
        barrier.wait(timeout=30)
        return client.post("/api/v1/tokens", json={"name": "Meter", "scopes": ["read"]}, headers=KEY)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum(answer.json()["token"] is not None for answer in answers) == 1
    assert (count(owner)["api_token"], count(owner)["idempotent_request"]) == (1, 1)


def test_secrets_are_not_stored(
    client: TestClient, requests: dict[str, dict[str, Any]], owner: psycopg.Connection
) -> None:
    secrets = [
        client.post(path, json=requests[path], headers={"Idempotency-Key": path}).json()[field]
        for path, field in (("/api/v1/tokens", "token"), ("/api/v1/users", "one_time_password"))
    ]
    given = {"email": "b@example.com", "name": "B", "role": "finance", "password": "a quiet harbour at noon"}
    assert client.post("/api/v1/users", json=given, headers=KEY).status_code == 201
    stored = "\n".join(row[0] for row in owner.execute("SELECT r::text FROM idempotent_request r"))
    assert stored.count("POST") == 3
    for secret in (*secrets, given["password"]):
        assert secret not in stored


def test_repeated_answer_requires_the_permission_of_the_first(
    client_of: ClientOf, database: Database
) -> None:
    client = client_of(Role.BILLING)
    user_id = int(client.get("/api/v1/auth/me").json()["id"].removeprefix("usr_"))
    assert client.post(PLAN, json=TERMS, headers=KEY).status_code == 201
    with database.transaction(SYSTEM) as session:
        users.update_user(session, SYSTEM, user_id, role=Role.FINANCE)
    assert client.post(PLAN, json=TERMS, headers=KEY).json()["code"] == "forbidden"


def test_answers_are_kept_for_a_day_and_then_deleted(
    client_of: ClientOf, clock: Clock, owner: psycopg.Connection
) -> None:
    assert client_of(Role.ADMIN).post(PLAN, json=TERMS, headers=KEY).status_code == 201
    for hours, kept in ((23, 1), (2, 0)):
        clock.moment += timedelta(hours=hours)
        other = {"Idempotency-Key": f"after-{hours}"}
        # Every stored response deletes expired ones, whoever the caller is.
        client_of(Role.BILLING).post(PLAN, json=TERMS | {"name": f"Plan {hours}"}, headers=other)
        query = "SELECT count(*) FROM idempotent_request WHERE idempotency_key = 'first-attempt'"
        assert owner.execute(query).fetchone() == (kept,)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_malformed_key_is_refused(client: TestClient, key: str) -> None:
    refused = client.post(PLAN, json=TERMS, headers={"Idempotency-Key": key})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert refused.json()["errors"][0]["field"] == "Idempotency-Key"
    assert client.get(PLAN).json()["items"] == []


def test_openapi_documents_the_header(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    documented = {
        path
        for path, methods in paths.items()
        for parameter in methods.get("post", {}).get("parameters", ())
        if parameter["name"] == "Idempotency-Key"
    }
    assert documented == {
        "/api/v1/customers", "/api/v1/customers/{customer}/discounts",
        "/api/v1/customers/{customer}/one-off-items/{item}/reversal",
        "/api/v1/customers/{customer}/refunds/{refund}/reversal", "/api/v1/invoice-runs", "/api/v1/invoices",
        "/api/v1/invoices/{number}/credit", "/api/v1/meters",
        "/api/v1/invoices/{number}/payments/{payment}/reversal", "/api/v1/plans", "/api/v1/tokens",
        "/api/v1/users", "/api/v1/verifications",
    }  # fmt: skip
    assert "409" in paths["/api/v1/verifications"]["post"]["responses"]
