"""The actions on one customer: for each dialog, a handler that opens it and one that saves it."""

from __future__ import annotations

from datetime import date
from typing import Any

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.domain.periods import label, next_period, period_of
from billing_app.errors import Conflict
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers import customers, subscriptions
from billing_app.services.customers.rows import CustomerRow
from billing_app.services.invoices import closing, previews
from billing_app.services.plans.rows import PlanRow
from billing_app.services.usage import recording
from billing_app.services.usage.recording import RecordedUsage, UsageReport
from billing_app.state.kit import address, text
from billing_app.state.kit.choices import months_around, resolve_plan, select_if_only, suggest_plans
from billing_app.state.kit.forms import (
    Form,
    Submission,
    call_once,
    new_key,
    open_dialog,
    perform_once,
    read_number,
    read_period,
    read_text,
    read_timestamp,
    submitting,
)
from billing_app.state.kit.lists import Option
from billing_app.state.kit.numbers import read_decimal
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.pages.customer import CustomerState
from billing_app.wording.values import counted

EDIT, SUSPEND, REACTIVATE = "edit-customer", "suspend-customer", "reactivate-customer"
PLAN, CANCEL, USAGE, INVOICE = "change-plan", "cancel-subscription", "record-usage", "generate-invoice"
MONTHS_AHEAD = 12


class CustomerActions(rx.State):
    """The dialog that is open on a customer's page. Only one is open at a time."""

    form: Form = Form()
    plan_options: rx.Field[list[Option]] = rx.field(default_factory=list)
    can_change: bool = False
    months: rx.Field[list[Option]] = rx.field(default_factory=list)
    zone: str = ""
    # What the dialog will do, with amounts.
    note: str = ""

    @rx.event
    async def open_edit(self) -> Any:
        """Open the dialog with the customer's details."""
        customer = await call(self, customers.get_customer, _key(self))
        start = {"name": customer.name, "email": customer.email, "billing_address": customer.billing_address}
        hidden = {"key": customer.key, "version": customer.version}
        return open_dialog(self, EDIT, f"Edit {customer.name}", start=start, hidden=hidden)

    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Save the details. If someone else has changed them, show the newer values first."""
        async with submitting(self, form) as submission:
            customer = await call_once(
                self,
                form,
                customers.update_customer,
                read_text(form, "key"),
                name=read_text(form, "name"),
                email=read_text(form, "email"),
                billing_address=read_text(form, "billing_address"),
                version=read_number(form, "version"),
            )
            submission.succeed(f"{customer.name} updated", CustomerState.load)
        return submission.events

    @rx.event
    async def open_suspend(self) -> Any:
        """Ask for confirmation to suspend the customer."""
        customer = await call(self, customers.get_customer, _key(self))
        return open_dialog(self, SUSPEND, f"Suspend {customer.name}?", hidden={"key": customer.key})

    @rx.event
    async def suspend(self, form: dict[str, Any]) -> Any:
        """Reject usage from now on."""
        async with submitting(self, form) as submission:
            customer = await call_once(
                self, form, customers.update_customer, read_text(form, "key"), status="suspended"
            )
            submission.succeed(f"{customer.name} suspended", CustomerState.load)
        return submission.events

    @rx.event
    async def open_reactivate(self) -> Any:
        """Ask for confirmation to reactivate the customer."""
        customer = await call(self, customers.get_customer, _key(self))
        return open_dialog(self, REACTIVATE, f"Reactivate {customer.name}?", hidden={"key": customer.key})

    @rx.event
    async def reactivate(self, form: dict[str, Any]) -> Any:
        """Record usage again from now on."""
        async with submitting(self, form) as submission:
            customer = await call_once(
                self, form, customers.update_customer, read_text(form, "key"), status="active"
            )
            submission.succeed(f"{customer.name} reactivated", CustomerState.load)
        return submission.events

    @rx.event
    async def open_plan(self) -> Any:
        """Open the dialog with the plans that the customer can move to."""
        customer, options, this_month = await call(self, _read_options, _key(self))
        self.plan_options, self.can_change = options, bool(options)
        self.months = months_around(this_month, 0, 1)
        current = text.plan(customer.plan_name, customer.plan_version)
        self.note = f"Current plan: {current}." if customer.plan_id else "No plan this month."
        start = {"plan": select_if_only(options), "effective_from": label(next_period(this_month))}
        hidden = {"key": customer.key, "version": customer.version}
        return open_dialog(self, PLAN, f"Change plan of {customer.name}", start=start, hidden=hidden)

    @rx.event
    async def suggest_plan(self, typed: str) -> None:
        """Suggest plans in the customer's currency with the typed text in their name."""
        self.plan_options = await call(self, _suggest_plans, _key(self), typed)

    @rx.event
    async def change_plan(self, form: dict[str, Any]) -> Any:
        """Change the customer's plan from a month on."""
        async with submitting(self, form) as submission:
            plan = await call(self, _resolve_plan, read_text(form, "key"), read_text(form, "plan"))
            await _set_plan(self, form, plan.plan_id, newer_at="plan")
            month = text.month(read_period(form, "effective_from"))
            named = text.plan(plan.name, plan.version)
            submission.succeed(f"Plan changes to {named} in {month}", CustomerState.load)
        return _reload_after(submission, self)

    @rx.event
    async def open_cancel(self) -> Any:
        """Open the dialog that cancels the subscription from a month on."""
        customer, _, this_month = await call(self, _read_options, _key(self))
        self.months = months_around(this_month, 0, MONTHS_AHEAD)
        start = {"effective_from": label(next_period(this_month))}
        hidden = {"key": customer.key, "version": customer.version}
        title = f"Cancel subscription of {customer.name}?"
        return open_dialog(self, CANCEL, title, start=start, hidden=hidden)

    @rx.event
    async def cancel(self, form: dict[str, Any]) -> Any:
        """Cancel the subscription from a month on."""
        async with submitting(self, form) as submission:
            month = read_period(form, "effective_from")
            await _set_plan(self, form, None, newer_at="effective_from")
            submission.succeed(f"Subscription cancelled from {text.month(month)}", CustomerState.load)
        return _reload_after(submission, self)

    @rx.event
    async def open_usage(self) -> Any:
        """Open the dialog for one event, with its key, so that sending the form twice records it once."""
        customer = await call(self, customers.get_customer, _key(self))
        self.zone = str(viewer_zone(self)).replace("_", " ")
        start = {"quantity": "", "occurred_at": ""}
        hidden = {"key": customer.key, "idempotency_key": new_key()}
        return open_dialog(self, USAGE, f"Record usage for {customer.name}", start=start, hidden=hidden)

    @rx.event
    async def record(self, form: dict[str, Any]) -> Any:
        """Record one event."""
        async with submitting(self, form) as submission:
            report = UsageReport(
                read_text(form, "key"),
                read_text(form, "idempotency_key"),
                read_decimal(self, form, "quantity"),
                read_timestamp(form, "occurred_at", viewer_zone(self)),
            )
            outcome = await call(self, recording.record_usage, report)
            submission.succeed(_usage_message(outcome), CustomerState.load)
        return submission.events

    @rx.event
    async def open_invoice(self) -> Any:
        """Ask for confirmation to invoice the oldest month without an invoice, showing its total."""
        customer, preview = await call(self, _preview_due, _key(self))
        if preview is None:
            return [rx.toast.info(f"{customer.name} has no month to invoice"), CustomerState.load]
        month = text.month(preview.period_start)
        total = text.money(preview.total_minor, customer.currency)
        self.note = f"{customer.name} will be invoiced {total} for {month}."
        hidden = {"key": customer.key, "period": label(preview.period_start)}
        return open_dialog(self, INVOICE, f"Generate invoice for {month}?", hidden=hidden)

    @rx.event
    async def generate(self, form: dict[str, Any]) -> Any:
        """Generate the invoice. If it already exists, show its number."""
        async with submitting(self, form) as submission:
            submission.repeated = "Invoice created"
            invoice = await perform_once(
                self, form, generate_invoice, read_text(form, "key"), read_period(form, "period")
            )
            total = text.money(invoice.total_minor, invoice.currency)
            submission.succeed(f"Invoice {invoice.number} for {total} created", CustomerState.load)
        return _reload_after(submission, self)


def _key(state: rx.State) -> str:
    return address.path_segment(state, 1)


async def _set_plan(state: CustomerActions, form: object, plan_id: int | None, *, newer_at: str) -> None:
    """Set or cancel the plan. If someone else has changed it, show their plan at the field `newer_at`."""
    key = read_text(form, "key")
    try:
        await call_once(
            state,
            form,
            subscriptions.set_plan,
            key,
            plan_id=plan_id,
            effective_from=read_period(form, "effective_from"),
            version=read_number(form, "version"),
        )
    except Conflict as refusal:
        if refusal.code == "stale":
            last = (await call(state, subscriptions.list_subscriptions, key))[-1]
            plan = text.plan(last.plan_name, last.plan_version) if last.plan_id else "Cancelled"
            refusal.facts["newer"] = {newer_at: f"{plan}, from {text.month(last.effective_from)}"}
        raise


def _reload_after(submission: Submission, state: CustomerActions) -> list[Any]:
    """Return the events after a submission. After an error, reload the page, which may be out of date."""
    return [*submission.events, CustomerState.load] if state.form.problem else submission.events


def _usage_message(outcome: RecordedUsage) -> str:
    billed_in = text.month(outcome.event.billing_period)
    if outcome.status != "recorded":
        return f"This event was already recorded, billed in {billed_in}"
    return f"{counted(outcome.event.quantity, 'unit')} recorded, billed in {billed_in}"


def _read_options(session: Session, actor: Actor, key: str) -> tuple[CustomerRow, list[Option], date]:
    """Return the customer, the plans that it can move to, and the current month."""
    customer = customers.get_customer(session, actor, key)
    options = suggest_plans(session, actor, currency=customer.currency)
    return customer, options, period_of(now(session))


def _suggest_plans(session: Session, actor: Actor, key: str, typed: object) -> list[Option]:
    customer = customers.get_customer(session, actor, key)
    return suggest_plans(session, actor, typed, currency=customer.currency)


def _resolve_plan(session: Session, actor: Actor, key: str, typed: str) -> PlanRow:
    customer = customers.get_customer(session, actor, key)
    return resolve_plan(session, actor, typed, currency=customer.currency)


def _preview_due(
    session: Session, actor: Actor, key: str
) -> tuple[CustomerRow, previews.InvoicePreview | None]:
    """Return the customer, and a preview of its oldest month that can be invoiced, if there is one."""
    customer = customers.get_customer(session, actor, key)
    due = closing.find_due_period(session, actor, customer.key)
    return customer, previews.preview_invoice(session, actor, customer.key, due) if due else None
