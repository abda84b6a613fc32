"""A business with one of everything and each kind of caller, for the generated tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlmodel import Session

from billing_app.database.embedded import cluster
from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.jobs.simulations import request_simulation, resume_simulation
from billing_app.jobs.usage_imports import check_files
from billing_app.services.adjustments.discounts import create_discount
from billing_app.services.adjustments.one_off_items import record_item
from billing_app.services.adjustments.refunds import record_refund
from billing_app.services.customers.rows import CustomerRow
from billing_app.services.identity import api_tokens, passwords
from billing_app.services.invoices.runs import start_run
from billing_app.services.payments.payments import list_payments, record_payment, reverse_payment
from billing_app.services.plans.meters import create_meter
from billing_app.services.simulations.rows import CustomersGiven
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage
from billing_app.services.usage.recording import UsageReport, record_usage
from billing_app.services.usage_imports.files import store_file
from billing_app.services.usage_imports.rows import COLUMNS
from billing_app.services.verification.verifications import start_verification
from tests.conftest import Clock, new_database
from tests.factories import PASSWORD, make_customer, make_invoice, make_user, record
from tests.runtimes import authenticator, installed, limited_api

__all__ = ["CALLERS", "Operation", "World", "new_world", "operations"]

CALLERS = ("admin", "billing", "finance", "reading token", "usage token", "correcting token", "anonymous")


@dataclass(frozen=True)
class Operation:
    """An operation in the OpenAPI document."""

    method: str
    path: str
    described: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def needs_caller(self) -> bool:
        return bool(self.described.get("security"))

    @property
    def body(self) -> tuple[str, Any] | None:
        """The media type and the example of its body, or None without a body."""
        content = self.described.get("requestBody", {}).get("content", {})
        return next(((kind, each["example"]) for kind, each in content.items()), None)


def operations(api: FastAPI) -> list[Operation]:
    """Return all operations of the API."""
    return [
        Operation(method, path, described)
        for path, methods in api.openapi()["paths"].items()
        for method, described in methods.items()
    ]


@dataclass(frozen=True)
class World:
    """A business with one of everything, at noon on November 15, 2026."""

    api: FastAPI
    database: Database
    urls: Urls
    places: dict[str, str]

    def headers(self, caller: str) -> dict[str, str]:
        """Return the headers of a new session or token, so that no request affects the next one."""
        if caller == "anonymous":
            return {}
        return {"Authorization": f"Bearer {self._token(caller)}"}

    def _token(self, caller: str) -> str:
        with self.database.transaction(SYSTEM) as session:
            if caller == "reading token":
                return api_tokens.create_token(session, SYSTEM, name="Reports", scopes=["read"]).token
            if caller == "usage token":
                return api_tokens.create_token(session, SYSTEM, name="Meter", scopes=["usage:write"]).token
            if caller == "correcting token":
                return api_tokens.create_token(session, SYSTEM, name="Fixer", scopes=["usage:correct"]).token
        user = make_user(self.database, Role(caller))
        return authenticator().sign_in(user.email, PASSWORD, user_agent="test", address="test").token

    def send(self, operation: Operation, headers: dict[str, str]) -> Any:
        """Send the operation's example, with path parameters that exist."""
        path = operation.path.format(**self.places)
        client = TestClient(self.api, raise_server_exceptions=False)
        if operation.body is None:
            return client.request(operation.method, path, headers=headers)
        kind, example = operation.body
        return client.request(
            operation.method,
            path,
            headers={**headers, "Content-Type": kind},
            content=(json.dumps(example) if "json" in kind else example).encode(),
        )

    def content(self) -> dict[str, str]:
        """Return a fingerprint of each table, except the sessions and users that callers create."""
        with psycopg.connect(self.urls.owner.replace("+psycopg", ""), autocommit=True) as db:
            tables = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            return {
                name: db.execute(
                    f"SELECT md5(string_agg(t::text, '\n' ORDER BY t::text)) FROM {name} t"
                ).fetchone()[0]  # type: ignore[arg-type]  # type: ignore[index]
                for (name,) in tables
                if name not in ("api_token", "sign_in_attempt")
            }


@contextmanager
def new_world(server: cluster.Server) -> Iterator[World]:
    """Yield a new world, and remove it afterwards."""
    with new_database(server) as urls, pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "COST", 4)
        database = Database(
            urls.application, clock=Clock(datetime(2026, 11, 15, 12, tzinfo=UTC)), pool_size=30
        )
        with installed(database):
            yield World(limited_api(), database, urls, _one_of_everything(database))
        database.close()


def _one_of_everything(database: Database) -> dict[str, str]:
    acme = make_customer(database, key="acme", start=date(2026, 8, 1))
    record(database, acme, 20_000, "2026-09-10T10:00:00Z")
    record_example(database, acme)
    places = make_adjustments(database, acme)
    invoice = make_invoice(database, acme, date(2026, 9, 1))
    spare = make_user(database, Role.BILLING)
    with database.transaction(SYSTEM) as session:
        reverse_payments(session, invoice.number)
        payment = record_payment(
            session, SYSTEM, invoice.number, amount="5.00", received_on=date(2026, 11, 1), idempotency_key="p1"
        ).payment  # fmt: skip
        run = start_run(session, SYSTEM, date(2026, 10, 1))
        verification = start_verification(session, SYSTEM)
        token = api_tokens.create_token(session, SYSTEM, name="Spare", scopes=["read"]).row
        create_meter(session, SYSTEM, code="seats", name="Seats", unit="seat", aggregation="max")
        usage_import = store_file(
            session, SYSTEM, "usage.csv", [b",".join(name.encode() for name in COLUMNS)]
        )
    check_files(database)
    simulation = request_simulation(
        database, SYSTEM, period_start=date(2026, 10, 1), customers=CustomersGiven(currency="USD"),
        plan_id=acme.plan_id,
    )  # fmt: skip
    resume_simulation(database)
    return {
        **places,
        "customer": "acme",
        "meter": "seats",
        "plan": f"plan_{acme.plan_id}",
        "number": invoice.number,
        "payment": payment.public_id,
        "import": usage_import.public_id,
        "run": run.public_id,
        "verification": verification.public_id,
        "simulation": simulation.public_id,
        "user": spare.public_id,
        "token": token.public_id,
        "session": "not-mine",
    }


def record_example(database: Database, customer: CustomerRow) -> None:
    """Record the event of the documentation's examples, and correct it."""
    event, key = "2026-10-31/meter-7/42", "2026-11-01/recount/41"
    with database.transaction(SYSTEM) as session:
        record_usage(session, SYSTEM, UsageReport(customer.key, event, "1530.5", "2026-10-31T23:00:00Z"))
        correct_usage(session, SYSTEM, CorrectionReport(customer.key, event, 1531, "Miscounted.", key))


def make_adjustments(database: Database, customer: CustomerRow) -> dict[str, str]:
    """Give the customer a discount, a one-off item and credit, some of which is refunded."""
    with database.transaction(SYSTEM) as session:
        record_item(
            session, SYSTEM, "acme", description="Goodwill", unit_price="-200.00",
            item_date=date(2026, 8, 5), idempotency_key="goodwill",
        )  # fmt: skip
    make_invoice(database, customer, date(2026, 8, 1))
    with database.transaction(SYSTEM) as session:
        item = record_item(
            session, SYSTEM, "acme", description="Training", unit_price="90.00",
            item_date=date(2026, 11, 5), idempotency_key="training",
        )  # fmt: skip
        discount = create_discount(
            session, SYSTEM, "acme", name="Welcome", percent="10", first_period=date(2026, 11, 1)
        )
        refund = record_refund(
            session, SYSTEM, "acme", amount="1.00", refunded_on=date(2026, 11, 3), idempotency_key="r1"
        )
    return {"item": item.public_id, "discount": discount.public_id, "refund": refund.public_id}


def reverse_payments(session: Session, number: str) -> None:
    """Make the invoice unpaid again, which was paid from the credit."""
    for payment in list_payments(session, SYSTEM, number).items:
        reverse_payment(session, SYSTEM, number, payment.payment_id, reason="Not from credit")
