"""The demo's actions, performed through the services at the time that the demo's clock shows.

Actions can be repeated: a repeated action finds what it created before and changes nothing relevant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.demo.adjustments import DemoCorrection, DemoDiscount, DemoItem, DemoRefund
from billing_app.demo.company import ISSUER, REQUESTS, DemoMeter, Terms
from billing_app.demo.customers import DemoCustomer
from billing_app.demo.receipts import Receipt, Reversal
from billing_app.domain.actor import Actor, Role, system
from billing_app.domain.money import major_text
from billing_app.domain.terms import DEFAULT_METER_CODE
from billing_app.errors import Conflict
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.adjustments.discounts import create_discount, list_discounts
from billing_app.services.adjustments.one_off_items import record_item
from billing_app.services.adjustments.refunds import record_refund
from billing_app.services.customers.customers import create_customer, has_customer, update_customer
from billing_app.services.customers.subscriptions import list_subscriptions, set_plan
from billing_app.services.identity.rows import UserRow
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.invoices import list_invoices
from billing_app.services.invoices.issuer import update_issuer
from billing_app.services.invoices.rows import InvoiceRow
from billing_app.services.payments.payments import record_payment, reverse_payment
from billing_app.services.plans.meters import create_meter, list_meters, update_meter
from billing_app.services.plans.plans import archive_plan, create_plan, list_plans
from billing_app.services.plans.rows import PlanRow
from billing_app.services.shared.pagination import LIMIT_MAX
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage
from billing_app.services.usage.recording import UsageReport, record_usage_batch

# The system that reports usage.
GATEWAY = system("usage-gateway")


class Actions:
    """The actions on one database, by the demo's users."""

    def __init__(self, database: Database, users: Iterable[UserRow]) -> None:
        self.database = database
        actors = {user.role: Actor("user", user.public_id, user.name, user.role) for user in users}
        self.admin, self.billing = actors[Role.ADMIN], actors[Role.BILLING]

    def set_up(self, plans: Sequence[Terms]) -> None:
        """Save the company details, name the default meter, and create the first plans."""

        def work(session: Session) -> None:
            update_issuer(
                session,
                self.admin,
                name=ISSUER.name,
                address=ISSUER.address,
                email=ISSUER.email,
                payment_instructions=ISSUER.payment_instructions,
            )
            name, unit = REQUESTS
            update_meter(session, self.admin, DEFAULT_METER_CODE, name=name, unit=unit)
            for terms in plans:
                self._ensure_plan(session, terms, version=1)

        self.database.run(self.admin, work)

    def replace_plan(self, terms: Terms, version: int, meters: Sequence[DemoMeter]) -> None:
        """Create the next version of a plan, with new meters, and archive the previous one."""

        def work(session: Session) -> None:
            existing = {row.code for row in list_meters(session, self.admin).items}
            for meter in meters:
                if meter.code not in existing:
                    create_meter(session, self.admin, **meter._asdict())
            self._ensure_plan(session, terms, version)
            archive_plan(session, self.admin, self._plans(session)[terms.name, version - 1].plan_id)

        self.database.run(self.admin, work)

    def archive(self, name: str) -> None:
        """Archive the first version of a plan."""
        self.database.run(
            self.admin,
            lambda session: archive_plan(session, self.admin, self._plans(session)[name, 1].plan_id),
        )

    def add_customer(self, customer: DemoCustomer, start: date) -> None:
        """Create a customer on the newest version of its plan."""

        def work(session: Session) -> None:
            if not has_customer(session, self.billing, customer.key):
                create_customer(
                    session,
                    self.billing,
                    name=customer.name,
                    email=customer.email,
                    key=customer.key,
                    billing_address=customer.billing_address,
                    plan_id=self._newest_plan_id(session, customer.plan),
                    start=start,
                )

        self.database.run(self.billing, work)

    def change_plan(self, key: str, plan: str | None, effective_from: date) -> None:
        """Move a customer to the newest version of a plan from a day on, or cancel its plan."""

        def work(session: Session) -> None:
            rows = list_subscriptions(session, self.billing, key)
            if all(row.effective_from < effective_from for row in rows):
                plan_id = self._newest_plan_id(session, plan) if plan else None
                set_plan(session, self.billing, key, plan_id=plan_id, effective_from=effective_from)

        self.database.run(self.billing, work)

    def set_status(self, key: str, status: str) -> None:
        """Suspend or reactivate a customer."""
        self.database.run(
            self.billing, lambda session: update_customer(session, self.billing, key, status=status)
        )

    def record(self, reports: Iterable[UsageReport]) -> None:
        """Record a batch of usage. Raises AssertionError if an event is not recorded."""
        batch = list(reports)
        if batch:
            done = self.database.run(GATEWAY, lambda session: record_usage_batch(session, GATEWAY, batch))
            assert done.recorded + done.duplicates == len(batch), done.results[:3]

    def run_invoices(self, period_start: date) -> None:
        """Run invoices for a month."""
        run_invoices(self.database, self.billing, period_start)

    def generate_invoice(self, key: str, period_start: date) -> None:
        """Generate one customer's invoice for a month."""
        try:
            generate_invoice(self.database, self.billing, key, period_start)
        except Conflict as error:
            if error.code != "invoice_exists":
                raise

    def record_payments(self, receipts: Sequence[Receipt]) -> None:
        """Record the payments of one day, in one transaction."""

        def work(session: Session) -> None:
            periods = {receipt.period_start for receipt in receipts}
            invoices = {period: self._invoices(session, period) for period in periods}
            for receipt in receipts:
                self._pay(session, receipt, invoices[receipt.period_start].get(receipt.customer_key))

        self.database.run(self.billing, work)

    def reverse(self, reversal: Reversal) -> None:
        """Reverse a payment."""
        receipt = reversal.receipt

        def work(session: Session) -> None:
            invoice = self._invoices(session, receipt.period_start)[receipt.customer_key]
            payment_id = self._pay(session, receipt, invoice)
            assert payment_id is not None
            reverse_payment(session, self.billing, invoice.number, payment_id, reason=reversal.reason)

        try:
            self.database.run(self.billing, work)
        except Conflict as error:
            if error.code != "already_reversed":
                raise

    def add_discount(self, discount: DemoDiscount, first: date, last: date | None) -> None:
        """Give a customer a discount, unless it has it."""

        def work(session: Session) -> None:
            found = list_discounts(session, self.billing, discount.key)
            if all(row.name != discount.name for row in found):
                create_discount(
                    session, self.billing, discount.key, name=discount.name, percent=discount.percent,
                    amount=discount.amount, applies_to=discount.applies_to, first_period=first, last_period=last,
                )  # fmt: skip

        self.database.run(self.billing, work)

    def record_item(self, item: DemoItem, day: date) -> None:
        """Charge or credit a customer once."""
        self.database.run(
            self.billing,
            lambda session: record_item(
                session, self.billing, item.key, description=item.description, quantity=item.quantity,
                unit_price=item.unit_price, item_date=day, idempotency_key=f"demo-{day}",
            ),
        )  # fmt: skip

    def record_refund(self, refund: DemoRefund, day: date) -> None:
        """Refund some of a customer's credit."""
        self.database.run(
            self.billing,
            lambda session: record_refund(
                session, self.billing, refund.key, amount=refund.amount, refunded_on=day,
                reference=refund.reference, idempotency_key=f"demo-{day}",
            ),
        )  # fmt: skip

    def correct(self, event: UsageReport, correction: DemoCorrection) -> None:
        """Correct a recorded event."""
        report = CorrectionReport(
            correction.key, event.idempotency_key, correction.quantity, correction.reason,
            f"demo-{event.idempotency_key}",
        )  # fmt: skip
        self.database.run(self.billing, lambda session: correct_usage(session, self.billing, report))

    def _pay(self, session: Session, receipt: Receipt, invoice: InvoiceRow | None) -> int | None:
        """Return the id of the payment, recorded now or before, or None if there is nothing to pay."""
        if invoice is None:
            return None
        before, after = (
            invoice.total_minor * percent // 100 for percent in (receipt.from_percent, receipt.to_percent)
        )
        if after <= before:
            return None
        recorded = record_payment(
            session,
            self.billing,
            invoice.number,
            amount=major_text(after - before, invoice.currency),
            received_on=receipt.received_on,
            idempotency_key=receipt.idempotency_key,
            method=receipt.method,
            reference=receipt.reference,
        )
        return recorded.payment.payment_id

    def _invoices(self, session: Session, period_start: date) -> dict[str, InvoiceRow]:
        page = list_invoices(session, self.billing, InvoiceFilter(period=period_start), limit=LIMIT_MAX)
        return {row.customer.key: row for row in page.items}

    def _ensure_plan(self, session: Session, terms: Terms, version: int) -> None:
        if (terms.name, version) not in self._plans(session):
            create_plan(session, self.admin, **terms._asdict())

    def _newest_plan_id(self, session: Session, name: str) -> int:
        plans = self._plans(session)
        return plans[max(key for key in plans if key[0] == name)].plan_id

    def _plans(self, session: Session) -> dict[tuple[str, int], PlanRow]:
        page = list_plans(session, self.admin, limit=LIMIT_MAX)
        return {(plan.name, plan.version): plan for plan in page.items}
