"""A small business for billing tests, with short methods for the actions of its users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.domain.lines import Line
from billing_app.domain.money import major_text
from billing_app.domain.periods import label, parse_day, parse_period
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers.customers import create_customer, update_customer
from billing_app.services.customers.subscriptions import set_plan
from billing_app.services.invoices.rows import InvoiceDetail
from billing_app.services.plans.plans import create_plan
from billing_app.services.usage.correction_rows import CorrectionReport, RecordedCorrection
from billing_app.services.usage.corrections import correct_usage
from billing_app.services.usage.recording import (
    BatchResult,
    RecordedUsage,
    UsageReport,
    record_usage,
    record_usage_batch,
)


@dataclass
class Shop:
    """A database and an actor. By default, plans cost 29.00 USD with 1000 included units."""

    database: Database
    actor: Actor

    def plan(
        self,
        name: str = "Standard",
        price: str = "29.00",
        included: str = "1000",
        unit: str = "0.0125",
        currency: str = "USD",
    ) -> int:
        with self.database.transaction(self.actor) as session:
            return create_plan(
                session, self.actor, name=name, currency=currency, monthly_price=price,
                included_units=included, overage_unit_price=unit,
            ).plan_id  # fmt: skip

    def customer(self, key: str, start: str = "2026-01", plan_id: int | None = None) -> int:
        plan_id = plan_id or self.plan(f"Plan of {key}")
        with self.database.transaction(self.actor) as session:
            return create_customer(
                session, self.actor, name=f"{key} Inc.", email=f"{key}@example.com", key=key,
                plan_id=plan_id, start=parse_day(start),
            ).customer_id  # fmt: skip

    def set_plan(self, key: str, plan_id: int | None, day: str) -> None:
        with self.database.transaction(self.actor) as session:
            set_plan(session, self.actor, key, plan_id=plan_id, effective_from=parse_day(day))

    def set_status(self, key: str, status: str) -> None:
        with self.database.transaction(self.actor) as session:
            update_customer(session, self.actor, key, status=status)

    def use(self, key: str, event: str, quantity: object, at: object = None) -> RecordedUsage:
        with self.database.transaction(self.actor) as session:
            return record_usage(session, self.actor, UsageReport(key, event, quantity, at))

    def use_many(self, reports: Sequence[UsageReport]) -> BatchResult:
        return self.database.run(self.actor, lambda session: record_usage_batch(session, self.actor, reports))

    def correct(
        self, key: str, event: str, quantity: object, correction_key: str, reason: str = "counted twice"
    ) -> RecordedCorrection:
        report = CorrectionReport(key, event, quantity, reason, correction_key)
        return self.database.run(self.actor, lambda session: correct_usage(session, self.actor, report))

    def invoice(self, key: str, period: str) -> InvoiceDetail:
        return generate_invoice(self.database, self.actor, key, parse_period(period))


def amounts(invoice: InvoiceDetail) -> dict[tuple[str, str | None], str]:
    """Return the amount of each line in major units, by kind and, for usage, its month."""
    return {
        (line.kind, usage_month(line)): major_text(line.amount_minor, invoice.currency)
        for line in invoice.lines
    }


def usage_month(line: Line) -> str | None:
    return label(line.usage_period) if line.usage_period and line.kind != "base" else None


def total(invoice: InvoiceDetail) -> str:
    return major_text(invoice.total_minor, invoice.currency)
