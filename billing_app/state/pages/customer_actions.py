"""The actions on one customer: for each dialog, a handler that opens it and one that saves it."""

from __future__ import annotations

from datetime import date
from typing import Any

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.domain.periods import label
from billing_app.errors import Conflict
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers import customers, subscriptions
from billing_app.services.customers.rows import CustomerRow
from billing_app.services.invoices import closing, previews
from billing_app.services.plans import meters
from billing_app.services.plans.meters import MeterRow
from billing_app.services.plans.rows import PlanRow
from billing_app.services.usage import recording
from billing_app.services.usage.days import find_first_charges
from billing_app.services.usage.recording import UsageReport
from billing_app.state.kit import address, text
from billing_app.state.kit.choices import (
    cancellation_days,
    plan_change_days,
    resolve_plan,
    select_if_only,
    suggest_plans,
)
from billing_app.state.kit.forms import (
    Form,
    Submission,
    call_once,
    is_checked,
    new_key,
    open_dialog,
    perform_once,
    read_day,
    read_number,
    read_period,
    read_text,
    read_timestamp,
    submitting,
)
from billing_app.state.kit.lists import TEXT_MAX, Option
from billing_app.state.kit.metering import (
    MeterFields,
    choose_meter,
    describe_recorded,
    read_report,
    start_fields,
)
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.pages.customer import CustomerState
from billing_app.state.pages.plan_effects import read_effect
from billing_app.state.presenters.customers import Effect
from billing_app.wording.refusals import refusal_sentence

EDIT, SUSPEND, REACTIVATE = "edit-customer", "suspend-customer", "reactivate-customer"
PLAN, CANCEL, USAGE, INVOICE = "change-plan", "cancel-subscription", "record-usage", "generate-invoice"


class CustomerActions(rx.State):
    """The dialog that is open on a customer's page. Only one is open at a time."""

    form: Form = Form()
    plan_options: rx.Field[list[Option]] = rx.field(default_factory=list)
    can_change: bool = False
    days: rx.Field[list[Option]] = rx.field(default_factory=list)
    # The change of plan that is being typed, and its effect.
    typed: rx.Field[dict[str, str]] = rx.field(default_factory=dict)
    effect: Effect = Effect()
    zone: str = ""
    fields: MeterFields = MeterFields()
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
        customer, options, today = await call(self, _read_options, _key(self))
        self.plan_options, self.can_change = options, bool(options)
        self.days = plan_change_days(today)
        current = text.plan(customer.plan_name, customer.plan_version)
        self.note = f"Current plan: {current}." if customer.plan_id else "No plan today."
        start = {"plan": select_if_only(options), **_first_choice(self.days, today), "confirm_unpriced": ""}
        hidden = {"key": customer.key, "version": customer.version}
        self.typed = dict(start)
        await _show_effect(self)
        return open_dialog(self, PLAN, f"Change plan of {customer.name}", start=start, hidden=hidden)

    @rx.event
    async def suggest_plan(self, typed: str) -> None:
        """Suggest plans in the customer's currency with the typed text in their name."""
        self.plan_options = await call(self, _suggest_plans, _key(self), typed)
        await _retype(self, plan=typed)

    @rx.event
    async def choose_day(self, chosen: str) -> None:
        """Show the effect from the selected day."""
        await _retype(self, effective_from=chosen)

    @rx.event
    async def choose_date(self, chosen: str) -> None:
        """Show the effect from the date next to the list of days."""
        await _retype(self, effective_from_date=chosen)

    @rx.event
    async def confirm_unpriced(self, is_confirmed: bool) -> None:
        """Show the effect when recorded usage may lose its price."""
        await _retype(self, confirm_unpriced="on" if is_confirmed is True else "")

    @rx.event
    async def change_plan(self, form: dict[str, Any]) -> Any:
        """Change the customer's plan from a day on."""
        async with submitting(self, form) as submission:
            plan = await call(self, _resolve_plan, read_text(form, "key"), read_text(form, "plan"))
            day = text.day(await _set_plan(self, form, plan.plan_id, newer_at="plan"))
            named = text.plan(plan.name, plan.version)
            submission.succeed(f"Plan changes to {named} from {day}", CustomerState.load)
        return _reload_after(submission, self)

    @rx.event
    async def open_cancel(self) -> Any:
        """Open the dialog that cancels the subscription from a day on."""
        customer, _, today = await call(self, _read_options, _key(self))
        self.days = cancellation_days(today)
        start = _first_choice(self.days, today)
        self.typed = dict(start)
        await _show_effect(self)
        hidden = {"key": customer.key, "version": customer.version}
        title = f"Cancel subscription of {customer.name}?"
        return open_dialog(self, CANCEL, title, start=start, hidden=hidden)

    @rx.event
    async def cancel(self, form: dict[str, Any]) -> Any:
        """Cancel the subscription from a day on."""
        async with submitting(self, form) as submission:
            day = text.day(await _set_plan(self, form, None, newer_at="effective_from"))
            submission.succeed(f"Subscription cancelled from {day}", CustomerState.load)
        return _reload_after(submission, self)

    @rx.event
    async def open_usage(self) -> Any:
        """Open the dialog for one event, with its key, so that sending the form twice records it once."""
        customer, found, first = await call(self, _read_meters, _key(self))
        self.zone = str(viewer_zone(self)).replace("_", " ")
        picked = address.query_parameter(self, "meter")
        self.fields, values = start_fields(found, picked or first)
        start = {**values, "occurred_at": ""}
        hidden = {"key": customer.key, "idempotency_key": new_key()}
        return open_dialog(self, USAGE, f"Record usage for {customer.name}", start=start, hidden=hidden)

    @rx.event
    async def choose_meter(self, code: str) -> None:
        """Show the fields of the selected meter."""
        self.fields = choose_meter(self.fields, str(code))

    @rx.event
    async def record(self, form: dict[str, Any]) -> Any:
        """Record one event."""
        async with submitting(self, form) as submission:
            occurred_at = read_timestamp(form, "occurred_at", viewer_zone(self))
            report = read_report(self, form, read_text(form, "key"))
            message = await call(self, _record, report._replace(occurred_at=occurred_at))
            submission.succeed(message, CustomerState.load)
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


def _first_choice(days: list[Option], today: date) -> dict[str, str]:
    """Return the initial values of a `day_field`."""
    return {"effective_from": days[0].value, "effective_from_date": today.isoformat()}


async def _retype(state: CustomerActions, **typed: object) -> None:
    """Take over what was typed into the dialog for a change of plan, and show its effect."""
    given = {name: value[:TEXT_MAX] for name, value in typed.items() if isinstance(value, str)}
    state.typed = {**state.typed, **given}
    await _show_effect(state)


async def _show_effect(state: CustomerActions) -> None:
    state.effect = await call(state, read_effect, _key(state), state.typed)
    if not state.effect.unpriced and "confirm_unpriced" in state.typed:
        # The checkbox is not shown any more, and will be unchecked when it is shown again.
        state.typed = {**state.typed, "confirm_unpriced": ""}


async def _set_plan(state: CustomerActions, form: object, plan_id: int | None, *, newer_at: str) -> date:
    """Set or cancel the plan, and return the day from which that is in effect. If someone else has changed it, show their plan at the field `newer_at`."""
    key = read_text(form, "key")
    try:
        rows = await call_once(
            state,
            form,
            subscriptions.set_plan,
            key,
            plan_id=plan_id,
            effective_from=read_day(form, "effective_from"),
            confirm_unpriced=is_checked(form, "confirm_unpriced"),
            version=read_number(form, "version"),
        )
    except Conflict as refusal:
        if refusal.code == "stale":
            last = (await call(state, subscriptions.list_subscriptions, key))[-1]
            plan = text.plan(last.plan_name, last.plan_version) if last.plan_id else "Cancelled"
            refusal.facts["newer"] = {newer_at: f"{plan}, from {text.day(last.effective_from)}"}
        if refusal.code == "usage_unpriced":
            # Offer to confirm it, also after a restart of the server, which forgets what was typed.
            state.effect = Effect(unpriced=refusal_sentence(refusal))
        raise
    # Earlier than the selected day, if it had this plan already.
    return rows[-1].effective_from


def _reload_after(submission: Submission, state: CustomerActions) -> list[Any]:
    """Return the events after a submission. After an error, reload the page, which may be out of date."""
    return [*submission.events, CustomerState.load] if state.form.problem else submission.events


def _read_meters(session: Session, actor: Actor, key: str) -> tuple[CustomerRow, tuple[MeterRow, ...], str]:
    """Return the customer, all meters, and the code of the one that the customer's plan charges first."""
    customer = customers.get_customer(session, actor, key)
    charge = find_first_charges(session, actor, [customer.customer_id]).get(customer.customer_id)
    return customer, meters.list_all_meters(session, actor), charge.meter.code if charge else ""


def _record(session: Session, actor: Actor, report: UsageReport) -> str:
    """Record an event and return the toast."""
    outcome = recording.record_usage(session, actor, report)
    billed_in = text.month(outcome.event.billing_period)
    if outcome.status != "recorded":
        return f"This event was already recorded, billed in {billed_in}"
    return f"{describe_recorded(session, actor, outcome)} recorded, billed in {billed_in}"


def _read_options(session: Session, actor: Actor, key: str) -> tuple[CustomerRow, list[Option], date]:
    """Return the customer, the plans that it can move to, and the current day (UTC)."""
    customer = customers.get_customer(session, actor, key)
    options = suggest_plans(session, actor, currency=customer.currency)
    return customer, options, now(session).date()


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
