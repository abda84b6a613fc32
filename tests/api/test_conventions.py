"""Conventions of all endpoints, checked for every operation in the OpenAPI document."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.api.app import create_api
from billing_app.database.embedded import cluster
from billing_app.domain.actor import SYSTEM
from billing_app.jobs.simulations import request_simulation, resume_simulation
from billing_app.jobs.usage_imports import check_files
from billing_app.services.adjustments.discounts import create_discount
from billing_app.services.adjustments.one_off_items import record_item
from billing_app.services.adjustments.refunds import record_refund
from billing_app.services.customers.rows import CustomerRow
from billing_app.services.identity.api_tokens import create_token
from billing_app.services.invoices.runs import start_run
from billing_app.services.payments.payments import record_payment
from billing_app.services.simulations.rows import CustomersGiven
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage
from billing_app.services.usage.recording import UsageReport, record_usage
from billing_app.services.usage_imports.files import store_file
from billing_app.services.usage_imports.rows import COLUMNS
from tests.api.world import Operation, World, new_world, operations
from tests.factories import make_customer, make_invoice, record

OPERATIONS = operations(create_api())


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [each for each in operation.described.get("parameters", []) if each["in"] == "query"]


LISTS = [
    each for each in OPERATIONS if "cursor" in [parameter["name"] for parameter in _query_parameters(each)]
]


@pytest.fixture(scope="module")
def world(server: cluster.Server) -> Iterator[World]:
    with new_world(server) as made:
        yield made


@pytest.fixture(scope="module")
def lists(server: cluster.Server) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """The client of an admin, in a business where every list has more than one item."""
    with new_world(server) as made:
        places = made.places | _add_seconds(made)
        headers = made.headers("admin")
        client = TestClient(made.api, raise_server_exceptions=False, headers=headers)
        email = client.get("/api/v1/auth/me").json()["email"]
        client.post("/api/v1/auth/token", json={"email": email, "password": "correct horse battery"})
        yield client, places


def _add_seconds(made: World) -> dict[str, str]:
    """Add a second item to every list. Return the path parameters of lists that belong to one thing."""
    beta = make_customer(made.database, key="beta", start=date(2026, 9, 1))
    for day in (1, 2):
        record(made.database, beta, 1, f"2026-09-0{day}T00:00:00Z")
    with made.database.transaction(SYSTEM) as session:
        record_usage(session, SYSTEM, UsageReport("beta", "wrong", 1, "2026-09-03T00:00:00Z"))
        for quantity in (2, 3):
            report = CorrectionReport("beta", "wrong", quantity, "miscounted", f"fix {quantity}")
            correct_usage(session, SYSTEM, report)
    invoice = make_invoice(made.database, beta, date(2026, 9, 1))
    _add_adjustments(made, beta)
    with made.database.transaction(SYSTEM) as session:
        for key in ("b1", "b2"):
            record_payment(
                session, SYSTEM, invoice.number, amount="1.00", received_on=date(2026, 11, 1),
                idempotency_key=key,
            )  # fmt: skip
        start_run(session, SYSTEM, date(2026, 9, 1))
        create_token(session, SYSTEM, name="Second", scopes=["read"])
        rows = [",".join(COLUMNS), "unknown,k1,1,2026-10-01T00:00:00Z", "unknown,k2,1,2026-10-01T00:00:00Z"]
        second = store_file(session, SYSTEM, "second.csv", ["\n".join(rows).encode()])
    check_files(made.database)
    simulation = request_simulation(
        made.database, SYSTEM, period_start=date(2026, 9, 1), customers=CustomersGiven(currency="USD"),
        plan_id=beta.plan_id,
    )  # fmt: skip
    resume_simulation(made.database)
    return {
        "customer": "beta",
        "number": invoice.number,
        "import": second.public_id,
        "simulation": simulation.public_id,
    }


def _add_adjustments(made: World, customer: CustomerRow) -> None:
    """Give the customer two items, discounts and refunds, and credit in October."""
    keys = ("first", "second")
    with made.database.transaction(SYSTEM) as session:
        for key in keys:
            record_item(
                session, SYSTEM, customer.key, description="Goodwill", unit_price="-100.00",
                item_date=date(2026, 10, 5), idempotency_key=key,
            )  # fmt: skip
            create_discount(
                session, SYSTEM, customer.key, name=key, percent="10", first_period=date(2026, 11, 1)
            )
    make_invoice(made.database, customer, date(2026, 10, 1))
    with made.database.transaction(SYSTEM) as session:
        for key in keys:
            record_refund(
                session, SYSTEM, customer.key, amount="1.00", refunded_on=date(2026, 11, 2),
                idempotency_key=key,
            )  # fmt: skip


def _junk(cursor: str) -> dict[str, str]:
    decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    spaced = base64.urlsafe_b64encode(decoded.replace(b", ", b" ,  ") + b" ").decode().rstrip("=")
    return {
        "junk after it": cursor + "AAAA",
        "junk within it": f"{cursor[:4]}!{cursor[4:]}",
        "a space within it": f"{cursor[:4]} {cursor[4:]}",
        "a line break after it": f"{cursor}\n",
        "padding": f"{cursor}=",
        "other spelling of its JSON": spaced,
        "a part missing": cursor[:-2],
        "a word": "junk",
    }


@pytest.mark.parametrize("operation", LISTS, ids=str)
def test_every_list_takes_only_its_own_cursors(
    lists: tuple[TestClient, dict[str, str]], operation: Operation
) -> None:
    client, places = lists
    path = operation.path.format(**places)
    first = client.get(path, params={"limit": 1}).json()
    cursor = first["next_cursor"]
    assert cursor, f"{operation} needs two items here"
    second = client.get(path, params={"limit": 1, "cursor": cursor})
    assert second.status_code == 200
    assert second.json()["items"] != first["items"]
    for name, junk in _junk(cursor).items():
        answer = client.get(path, params={"limit": 1, "cursor": junk})
        assert (name, answer.status_code) == (name, 422)
        assert answer.json()["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_unknown_query_parameter_is_named(world: World, operation: Operation) -> None:
    names = [each["name"] for each in _query_parameters(operation)]
    client = TestClient(world.api, raise_server_exceptions=False, headers=world.headers("admin"))
    before = world.content() if operation.method != "get" else None
    for unknown in ("custmer", "Limit", "x y", "periods[]"):
        answer = client.request(
            operation.method, operation.path.format(**world.places), params={unknown: "1"}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        (error,) = answer.json()["errors"]
        assert error["field"] == unknown
        assert all(name in error["message"] for name in names)
    if before is not None:
        assert world.content() == before


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if _query_parameters(each)], ids=str)
def test_empty_filter_is_refused_instead_of_ignored(world: World, operation: Operation) -> None:
    client = TestClient(world.api, raise_server_exceptions=False, headers=world.headers("admin"))
    for parameter in _query_parameters(operation):
        # Nothing to search for is everything, and no cursor is the first page.
        if parameter["name"] not in ("search", "cursor"):
            path = operation.path.format(**world.places)
            answer = client.request(operation.method, path, params={parameter["name"]: ""})
            assert answer.status_code == (404 if parameter["name"] in ("customer", "meter") else 422), (
                answer.text
            )
            assert "literal" not in answer.text


@pytest.mark.parametrize("number", ["1_0", "+1", " 1", "1.0", "1e0", "\u0661", "\uff11", "-0"])
def test_only_ascii_digits_are_a_whole_number(world: World, number: str) -> None:
    client = TestClient(world.api, raise_server_exceptions=False, headers=world.headers("admin"))
    for path in ("/api/v1/customers?limit", f"/api/v1/invoices/{world.places['number']}/usage?line"):
        answer = client.get(path.partition("?")[0], params={path.partition("?")[2]: number})
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["message"]) == (422, "must be a whole number")


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if _query_parameters(each)], ids=str)
def test_repeated_query_parameter_is_named(world: World, operation: Operation) -> None:
    client = TestClient(world.api, raise_server_exceptions=False, headers=world.headers("admin"))
    for parameter in _query_parameters(operation):
        twice = [(parameter["name"], "1"), (parameter["name"], "2")]
        answer = client.request(operation.method, operation.path.format(**world.places), params=twice)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": parameter["name"], "message": "must be given only once"}]


def test_unknown_parameter_is_not_reported_to_unauthenticated_callers(world: World) -> None:
    client = TestClient(world.api)
    assert client.get("/api/v1/customers?custmer=acme").status_code == 401
    assert client.get("/api/health?x=1").status_code == 422
    assert client.get("/api/docs?x=1").status_code == 422
    assert client.get("/api/openapi.json?x=1").status_code == 422
