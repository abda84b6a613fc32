"""A small business for the page tests, created through the services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from billing_app.database.session import Database
from billing_app.domain.actor import Role, system
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers import customers
from billing_app.services.identity import users
from billing_app.services.invoices import issuer
from billing_app.services.payments import payments
from billing_app.services.plans import plans
from billing_app.services.usage import recording

OPERATOR = system("cli:tests")
PASSWORD = "a quiet harbour at noon"
ADMIN, BILLING, FINANCE = "ada@tallybook.test", "bea@tallybook.test", "finn@tallybook.test"
MANY = 30

# October: 51 events of 30 units, 1,530 in all; 300 units of September arrive in October as well.
OCTOBER_EVENTS = 51
ACME_OCTOBER = "ACME-0003"


@dataclass
class TimedActions:
    """Performs actions at given times."""

    database: Database

    def at(self, moment: datetime, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.database.clock = lambda: moment
        with self.database.transaction(OPERATOR) as session:
            return work(session, OPERATOR, *args, **kwargs)

    def invoice(self, moment: datetime, customer: str, period: date) -> None:
        self.database.clock = lambda: moment
        generate_invoice(self.database, OPERATOR, customer, period)


def create_business(database: Database) -> None:
    """Create users, a plan and customers. Acme has three invoices, the last with overage and late usage."""
    actions = TimedActions(database)
    begin = datetime(2026, 8, 3, 9, tzinfo=UTC)
    for email, name, role in (
        (ADMIN, "Ada Lovelace", Role.ADMIN),
        (BILLING, "Bea Ledger", Role.BILLING),
        (FINANCE, "Finn Ance", Role.FINANCE),
    ):
        actions.at(begin, users.create_user, email=email, name=name, role=role, password=PASSWORD)
    actions.at(
        begin,
        issuer.update_issuer,
        name="Tallybook Ltd",
        address="1 Ledger Lane\nLondon EC1A 1AA\nUnited Kingdom",
        email="billing@tallybook.test",
        payment_instructions="By bank transfer within 30 days.\nReference: the invoice's number",
    )
    plan = actions.at(
        begin,
        plans.create_plan,
        name="Growth",
        currency="USD",
        monthly_price="29.00",
        included_units="1000",
        overage_unit_price="0.0125",
    )
    actions.at(
        begin,
        customers.create_customer,
        name="Acme Industrial Supply",
        email="accounts-payable@acme.test",
        plan_id=plan.plan_id,
        key="acme",
        billing_address="12 Harbour Street\nBristol BS1 4QA\nUnited Kingdom",
    )
    actions.at(
        begin,
        customers.create_customer,
        name="Quiet Corner",
        email="hello@quiet.test",
        plan_id=plan.plan_id,
        key="quiet",
    )
    for number in range(1, MANY + 1):
        actions.at(
            begin,
            customers.create_customer,
            name=f"Branch {number:02d}",
            email=f"branch{number:02d}@branches.test",
            plan_id=plan.plan_id,
            key=f"branch-{number:02d}",
        )
    _acme(actions)


def _acme(actions: TimedActions) -> None:
    september = datetime(2026, 9, 10, 8, tzinfo=UTC)
    actions.invoice(datetime(2026, 9, 1, 6, tzinfo=UTC), "acme", date(2026, 8, 1))
    _record(actions, september, [("sep-1", 900, september)])
    actions.invoice(datetime(2026, 10, 1, 6, tzinfo=UTC), "acme", date(2026, 9, 1))
    late = datetime(2026, 10, 3, 8, tzinfo=UTC)
    _record(actions, late, [("sep-late", 300, september + timedelta(days=1))])
    first = datetime(2026, 10, 2, 7, 30, tzinfo=UTC)
    october = [
        (f"oct-{number:03d}", 30, first + timedelta(hours=13 * number)) for number in range(OCTOBER_EVENTS)
    ]
    _record(actions, datetime(2026, 10, 31, 23, tzinfo=UTC), october)
    issued = datetime(2026, 11, 1, 6, tzinfo=UTC)
    actions.invoice(issued, "acme", date(2026, 10, 1))
    for number, amount in (("ACME-0001", "29.00"), ("ACME-0002", "29.00"), (ACME_OCTOBER, "15.00")):
        actions.at(
            issued,
            payments.record_payment,
            number,
            amount=amount,
            received_on=issued.date(),
            idempotency_key=f"transfer-{number}",
            method="bank transfer",
        )


def _record(actions: TimedActions, moment: datetime, events: list[tuple[str, int, datetime]]) -> None:
    reports = [recording.UsageReport("acme", *event) for event in events]
    outcome = actions.at(moment, recording.record_usage_batch, reports)
    assert outcome.recorded == len(events), outcome
