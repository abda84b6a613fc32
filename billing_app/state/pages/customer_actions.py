"""What can be done with one customer: each a dialog that one handler opens and another answers."""

from __future__ import annotations

from datetime import date
from typing import Any

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.periods import label, next_period, period_of
from billing_app.errors import Conflict
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers import customers, subscriptions
from billing_app.services.customers.rows import CustomerRow
from billing_app.services.invoices import closing, previews
from billing_app.services.usage import recording
from billing_app.services.usage.recording import UsageReport
from billing_app.state.kit import address, text
from billing_app.state.kit.choices import months_around, resolve_plan, select_if_only, suggest_plans
from billing_app.state.kit.forms import (
    Form,
    Submission,
    new_key,
    open_dialog,
    read_number,
    read_period,
    read_text,
    read_timestamp,
    submitting,
)
from billing_app.state.kit.lists import Option
from billing_app.state.kit.numbers import read_decimal
from billing_app.state.kit.session import call, perform, viewer_zone
from billing_app.state.pages.customer import CustomerState

EDIT, SUSPEND, REACTIVATE = "edit-customer", "suspend-customer", "reactivate-customer"
PLAN, CANCEL, USAGE, INVOICE = "change-plan", "cancel-subscription", "record-usage", "generate-invoice"
MONTHS_AHEAD = 12


class CustomerActions(rx.State):
    """The dialog that is open over a customer, of which there is one at a time."""

    form: Form = Form()
    offered: rx.Field[list[Option]] = rx.field(default_factory=list)
    can_move: bool = False
    months: rx.Field[list[Option]] = rx.field(default_factory=list)
    zone: str = ""
    # What is about to happen, in numbers.
    note: str = ""

    @rx.event
    async def open_edit(self) -> Any:
        """Open the dialog with who the customer is."""
        it = await call(self, customers.get_customer, _key(self))
        start = {"name": it.name, "email": it.email, "billing_address": it.billing_address}
        hidden = {"key": it.key, "version": it.version}
        return open_dialog(self, EDIT, f"Edit {it.name}", start=start, hidden=hidden)

    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Change who the customer is; what somebody else changed meanwhile is shown first."""
        async with submitting(self, form) as submission:
            it = await call(
                self,
                customers.update_customer,
                read_text(form, "key"),
                name=read_text(form, "name"),
                email=read_text(form, "email"),
                billing_address=read_text(form, "billing_address"),
                version=read_number(form, "version"),
            )
            submission.succeed(f"{it.name} is saved", CustomerState.load)
        return submission.events

    @rx.event
    async def open_suspend(self) -> Any:
        """Ask before usage is refused."""
        it = await call(self, customers.get_customer, _key(self))
        return open_dialog(self, SUSPEND, f"Suspend {it.name}?", hidden={"key": it.key})

    @rx.event
    async def suspend(self, form: dict[str, Any]) -> Any:
        """Refuse usage from now on."""
        async with submitting(self, form) as submission:
            it = await call(self, customers.update_customer, read_text(form, "key"), status="suspended")
            submission.succeed(f"{it.name} is suspended", CustomerState.load)
        return submission.events

    @rx.event
    async def open_reactivate(self) -> Any:
        """Ask before usage is taken again."""
        it = await call(self, customers.get_customer, _key(self))
        return open_dialog(self, REACTIVATE, f"Reactivate {it.name}?", hidden={"key": it.key})

    @rx.event
    async def reactivate(self, form: dict[str, Any]) -> Any:
        """Take usage from now on."""
        async with submitting(self, form) as submission:
            it = await call(self, customers.update_customer, read_text(form, "key"), status="active")
            submission.succeed(f"{it.name} is active again", CustomerState.load)
        return submission.events

    @rx.event
    async def open_plan(self) -> Any:
        """Open the dialog with the plans that the customer can be moved to."""
        it, offered, this_month = await call(self, _offer, _key(self))
        self.offered, self.can_move = offered, bool(offered)
        self.months = months_around(this_month, 0, 1)
        self.note = (
            f"Now on {text.plan(it.plan_name, it.plan_version)}." if it.plan_id else "Without a plan now."
        )
        start = {"plan": select_if_only(offered), "effective_from": label(next_period(this_month))}
        hidden = {"key": it.key, "version": it.version}
        return open_dialog(self, PLAN, f"Change the plan of {it.name}", start=start, hidden=hidden)

    @rx.event
    async def suggest_plan(self, begun: str) -> None:
        """Offer the plans that what is typed fits, and that the customer can be moved to."""
        self.offered = await call(self, _fitting, _key(self), begun)

    @rx.event
    async def change_plan(self, form: dict[str, Any]) -> Any:
        """Move the customer to a plan from a month on."""
        async with submitting(self, form) as submission:
            plan_id = await call(self, _plan_of, read_text(form, "key"), read_text(form, "plan"))
            await _set_plan(self, form, plan_id, shown_at="plan")
            month = text.month(read_period(form, "effective_from"))
            submission.succeed(f"The plan is changed from {month} on", CustomerState.load)
        return _read_again(submission, self)

    @rx.event
    async def open_cancel(self) -> Any:
        """Ask from which month on the subscription ends."""
        it, _, this_month = await call(self, _offer, _key(self))
        self.months = months_around(this_month, 0, MONTHS_AHEAD)
        start = {"effective_from": label(next_period(this_month))}
        hidden = {"key": it.key, "version": it.version}
        title = f"Cancel the subscription of {it.name}?"
        return open_dialog(self, CANCEL, title, start=start, hidden=hidden)

    @rx.event
    async def cancel(self, form: dict[str, Any]) -> Any:
        """End the subscription from a month on."""
        async with submitting(self, form) as submission:
            month = read_period(form, "effective_from")
            await _set_plan(self, form, None, shown_at="effective_from")
            submission.succeed(
                f"The subscription is cancelled from {text.month(month)} on", CustomerState.load
            )
        return _read_again(submission, self)

    @rx.event
    async def open_usage(self) -> Any:
        """Open the dialog for one event; its key is made now, so that sending it twice counts once."""
        it = await call(self, customers.get_customer, _key(self))
        self.zone = str(viewer_zone(self)).replace("_", " ")
        start = {"quantity": "", "occurred_at": ""}
        hidden = {"key": it.key, "idempotency_key": new_key()}
        return open_dialog(self, USAGE, f"Record usage of {it.name}", start=start, hidden=hidden)

    @rx.event
    async def record(self, form: dict[str, Any]) -> Any:
        """Record one event, billed in the month that is open for it."""
        async with submitting(self, form) as submission:
            report = UsageReport(
                read_text(form, "key"),
                read_text(form, "idempotency_key"),
                read_decimal(self, form, "quantity"),
                read_timestamp(form, "occurred_at", viewer_zone(self)),
            )
            done = await call(self, recording.record_usage, report)
            said = f"{text.quantity(done.event.quantity)} recorded, billed in {text.month(done.event.billing_period)}"
            submission.succeed(
                said if done.status == "recorded" else "This was recorded before", CustomerState.load
            )
        return submission.events

    @rx.event
    async def open_invoice(self) -> Any:
        """Ask before the oldest month that is due is invoiced, with what it will say."""
        it, foreseen = await call(self, _foresee, _key(self))
        if foreseen is None:
            return [rx.toast.info(f"No month of {it.name} is due"), CustomerState.load]
        month = text.month(foreseen.period_start)
        self.note = f"{it.name} is invoiced {text.money(foreseen.total_minor, it.currency)} for {month}."
        hidden = {"key": it.key, "period": label(foreseen.period_start)}
        return open_dialog(self, INVOICE, f"Invoice {month}?", hidden=hidden)

    @rx.event
    async def generate(self, form: dict[str, Any]) -> Any:
        """Make the invoice, unless somebody else was first: then say which it is."""
        async with submitting(self, form) as submission:
            made = await perform(self, generate_invoice, read_text(form, "key"), read_period(form, "period"))
            total = text.money(made.total_minor, made.currency)
            submission.succeed(f"{made.number} is made: {total}", CustomerState.load)
        return _read_again(submission, self)


def _key(state: rx.State) -> str:
    return address.path_segment(state, 1)


async def _set_plan(state: CustomerActions, form: object, plan_id: int | None, *, shown_at: str) -> None:
    """A plan, or none, from a month on; refused as stale, what was set meanwhile stands at a field."""
    key = read_text(form, "key")
    try:
        await call(
            state,
            subscriptions.set_plan,
            key,
            plan_id=plan_id,
            effective_from=read_period(form, "effective_from"),
            version=read_number(form, "version"),
        )
    except Conflict as refusal:
        if refusal.code == "stale":
            last = (await call(state, subscriptions.list_subscriptions, key))[-1]
            plan = text.plan(last.plan_name, last.plan_version) if last.plan_id else "cancelled"
            refusal.facts["newer"] = {shown_at: f"{plan}, from {text.month(last.effective_from)}"}
        raise


def _read_again(submission: Submission, state: CustomerActions) -> list[Any]:
    """What is behind the dialog is out of date when it was refused for what somebody else did."""
    return [*submission.events, CustomerState.load] if state.form.problem else submission.events


def _offer(session: Any, actor: Any, key: str) -> tuple[CustomerRow, list[Option], date]:
    it = customers.get_customer(session, actor, key)
    return it, suggest_plans(session, actor, currency=it.currency), period_of(now(session))


def _fitting(session: Any, actor: Any, key: str, begun: object) -> list[Option]:
    it = customers.get_customer(session, actor, key)
    return suggest_plans(session, actor, begun, currency=it.currency)


def _plan_of(session: Any, actor: Any, key: str, named: str) -> int:
    it = customers.get_customer(session, actor, key)
    return resolve_plan(session, actor, named, currency=it.currency).plan_id


def _foresee(session: Any, actor: Any, key: str) -> tuple[CustomerRow, previews.InvoicePreview | None]:
    it = customers.get_customer(session, actor, key)
    due = closing.find_due_period(session, actor, it.key)
    return it, previews.preview_invoice(session, actor, it.key, due) if due else None
