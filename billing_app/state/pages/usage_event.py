"""One usage event, on the usage log and on its customer's page: its history, and correcting it."""

from __future__ import annotations

from typing import Any, NamedTuple

import reflex as rx

from billing_app.domain.actor import Actor
from billing_app.errors import BillingError, Invalid, NotFound
from billing_app.services.audit.names import Named, find_names
from billing_app.services.invoices.correction_previews import preview_correction
from billing_app.services.usage.billing import InvoiceNumbers, find_invoice_numbers
from billing_app.services.usage.correction_log import CorrectionFilter, list_corrections
from billing_app.services.usage.correction_rows import CorrectionReport, CorrectionRow, RecordedCorrection
from billing_app.services.usage.corrections import correct_usage
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.log import list_usage
from billing_app.services.usage.rows import UsageEventRow
from billing_app.state.kit import address, text
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.forms import Form, new_key, open_dialog, read_text, submitting
from billing_app.state.kit.numbers import TYPED_MAX, read_decimal
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.pages.customer import CustomerState
from billing_app.state.pages.plan_effects import effect_month
from billing_app.state.pages.usage import UsageState
from billing_app.state.presenters.customers import Effect
from billing_app.state.presenters.usage import EventHistory, describe_corrections, event_history
from billing_app.wording.refusals import refusal_sentence

HISTORY, CORRECT = "event-history", "correct-usage"
CORRECTIONS_SHOWN = 50
# A preview needs a reason, which is not typed yet.
_NO_REASON = "preview"


class UsageEventState(rx.State):
    """The event whose dialog is open on the usage log or on a customer's page."""

    form: Form = Form()
    history: EventHistory = EventHistory()
    zone: str = ""
    # The event that is being corrected, in words, and what the typed quantity would do.
    note: str = ""
    kind: str = "quantity"
    effect: Effect = Effect()

    @rx.event
    async def open_history(self, customer: str, key: str) -> Any:
        """Show the quantities of an event, and where each is billed."""
        read = await call(self, _read_history, customer, key)
        zone = viewer_zone(self)
        self.zone = str(zone).replace("_", " ")
        self.history = event_history(read.event, read.corrections, read.invoice_numbers, read.names, zone)
        return run_in_browser("openDialog", HISTORY)

    @rx.event
    async def open_correct(self, customer: str, key: str) -> Any:
        """Open the dialog that corrects an event, with the key of the correction."""
        event = await call(self, _read_event, customer, key)
        occurred = text.timestamp(event.occurred_at, viewer_zone(self))
        corrected = describe_corrections(event)
        self.note = f"{occurred}: {text.quantity(event.current_quantity)}" + (
            f" ({corrected[0].lower()}{corrected[1:]})" if corrected else ""
        )
        self.kind = "quantity" if event.is_on_default_meter else "number"
        self.effect = Effect()
        hidden = {"customer": event.customer_key, "event": key, "correction_key": new_key()}
        return open_dialog(
            self,
            CORRECT,
            f"Correct usage of {event.customer_name}",
            start={"quantity": "", "reason": ""},
            hidden=hidden,
        )

    @rx.event
    async def preview(self, customer: str, key: str, quantity: str) -> None:
        """Show what the typed quantity would do to the invoice that the correction is billed on."""
        form = {"quantity": str(quantity)[:TYPED_MAX]}
        try:
            number = read_decimal(self, form, "quantity")
        except Invalid:
            self.effect = Effect()
            return
        report = CorrectionReport(customer, key, number, _NO_REASON, new_key())
        self.effect = await call(self, _read_effect, report)

    @rx.event
    async def correct(self, form: dict[str, Any]) -> Any:
        """Correct the event. Sending the form again does not correct it twice."""
        async with submitting(self, form) as submission:
            report = CorrectionReport(
                read_text(form, "customer"),
                read_text(form, "event"),
                read_decimal(self, form, "quantity"),
                read_text(form, "reason"),
                read_text(form, "correction_key"),
            )
            outcome = await call(self, correct_usage, report)
            is_customer = address.path_segment(self, 0) == "customers"
            load = CustomerState.load if is_customer else UsageState.load
            submission.succeed(_message(outcome), load)
        return submission.events


class _History(NamedTuple):
    event: UsageEventRow
    corrections: tuple[CorrectionRow, ...]
    invoice_numbers: InvoiceNumbers
    names: dict[str, Named]


def _read_event(session: Session, actor: Actor, customer: str, key: str) -> UsageEventRow:
    found = list_usage(session, actor, UsageFilter(customer=customer, idempotency_key=key), limit=1).items
    if not found:
        raise NotFound("event_not_found")
    return found[0]


def _read_history(session: Session, actor: Actor, customer: str, key: str) -> _History:
    event = _read_event(session, actor, customer, key)
    wanted = CorrectionFilter(customer=customer, idempotency_key=key)
    corrections = list_corrections(session, actor, wanted, limit=CORRECTIONS_SHOWN).items
    recorded_by = {event.recorded_by, *(each.recorded_by for each in corrections)}
    return _History(
        event,
        corrections,
        find_invoice_numbers(session, actor, [event, *corrections]),
        find_names(session, actor, recorded_by),
    )


def _read_effect(session: Session, actor: Actor, report: CorrectionReport) -> Effect:
    try:
        before, after = preview_correction(session, actor, report)
    except BillingError as refusal:
        return Effect(problem=refusal_sentence(refusal))
    return Effect([effect_month(before, after)])


def _message(outcome: RecordedCorrection) -> str:
    correction = outcome.correction
    change = f"{text.quantity(correction.quantity_before)} to {text.quantity(correction.quantity)}"
    billed_in = f"billed in {text.month(correction.billing_period)}"
    if outcome.status == "duplicate":
        return f"Already corrected from {change}, {billed_in}"
    return f"Usage of {correction.customer_name} corrected from {change}, {billed_in}"
