"""Test data, created through the services with sensible defaults and committed."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerRow
from billing_app.services.identity import users
from billing_app.services.identity.rows import UserRow
from billing_app.services.invoices.rows import InvoiceDetail
from billing_app.services.plans import meters, plans
from billing_app.services.plans.meters import MeterRow
from billing_app.services.plans.rows import PlanRow
from billing_app.services.usage import recording

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


def make_plan(database: Database, **terms: Any) -> PlanRow:
    """Create a plan; by default that of the worked examples: 29.00 USD, 1000 units, 0.0125 per unit of overage."""
    defaults: dict[str, Any] = {"name": f"Plan {next(_numbers)}", "monthly_price": "29.00"}
    if "charges" not in terms:
        defaults |= {"included_units": 1000, "overage_unit_price": "0.0125"}
    with database.transaction(SYSTEM) as session:
        return plans.create_plan(session, SYSTEM, **{**defaults, **terms})


def make_meter(database: Database, code: str, aggregation: str = "sum", **details: Any) -> MeterRow:
    """Create a meter."""
    defaults = {"name": code.capitalize(), "unit": code.removesuffix("s")}
    with database.transaction(SYSTEM) as session:
        return meters.create_meter(
            session, SYSTEM, code=code, aggregation=aggregation, **{**defaults, **details}
        )


def make_customer(database: Database, plan: PlanRow | None = None, **details: Any) -> CustomerRow:
    """Create a customer on the plan, or on a new one, starting this month."""
    number = next(_numbers)
    defaults = {
        "name": f"Customer {number}",
        "email": f"customer{number}@example.com",
        "plan_id": (plan or make_plan(database)).plan_id,
    }
    with database.transaction(SYSTEM) as session:
        return customers.create_customer(session, SYSTEM, **{**defaults, **details})


def make_user(database: Database, role: Role = Role.ADMIN, **details: Any) -> UserRow:
    """Create a user whose password is `PASSWORD`."""
    number = next(_numbers)
    defaults = {"email": f"user{number}@example.com", "name": f"User {number}", "password": PASSWORD}
    with database.transaction(SYSTEM) as session:
        return users.create_user(session, SYSTEM, role=role, **{**defaults, **details}).user


def actor_of(user: UserRow) -> Actor:
    """Return the user's actor."""
    return Actor("user", user.public_id, user.name, user.role)


def record(database: Database, customer: CustomerRow, quantity: object, occurred_at: str) -> None:
    """Record usage under a new key."""
    report = recording.UsageReport(customer.key, f"key-{next(_numbers)}", quantity, occurred_at)
    with database.transaction(SYSTEM) as session:
        recording.record_usage(session, SYSTEM, report)


def make_invoice(
    database: Database, customer: CustomerRow | None = None, period: date = date(2026, 10, 1)
) -> InvoiceDetail:
    """Create an invoice for a period that has ended; over 29.00 USD for a new customer."""
    customer = customer or make_customer(database, start=period)
    return generate_invoice(database, SYSTEM, customer.key, period)
