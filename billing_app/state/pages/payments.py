"""Money received against the invoice that is shown: recorded, and undone when it was a mistake."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.money import major_text
from billing_app.errors import Conflict, Invalid
from billing_app.services.invoices import invoices
from billing_app.services.payments import payments
from billing_app.services.payments.payments import Recorded
from billing_app.state.kit import address, text
from billing_app.state.kit.forms import (
    Form,
    new_key,
    open_dialog,
    read_date,
    read_number,
    read_text,
    submitting,
)
from billing_app.state.kit.session import call
from billing_app.state.pages.invoice import InvoiceState
from billing_app.wording.sentences import as_people_write

RECORD, REVERSE = "record-payment", "reverse-payment"


class PaymentsState(rx.State):
    """The dialogs for a payment and for its reversal."""

    form: Form = Form()
    explanation: str = ""

    @rx.event
    async def open_record(self) -> Any:
        """Open the dialog with what is owed now: sent twice it is one payment, and of two none is blind."""
        invoice, today = await call(self, _read, address.path_segment(self, 1))
        owed = major_text(invoice.balance_minor, invoice.currency)
        left = text.money(invoice.balance_minor, invoice.currency)
        self.explanation = f"{left} of {invoice.number} is not paid yet."
        return open_dialog(
            self,
            RECORD,
            "Record a payment",
            start={"amount": owed, "received_on": today.isoformat(), "method": "", "reference": ""},
            hidden={"number": invoice.number, "version": owed, "idempotency_key": new_key()},
        )

    @rx.event
    async def record(self, form: dict[str, Any]) -> Any:
        """Record the money, unless another payment came in since the dialog was opened."""
        async with submitting(self, form) as submission:
            recorded = await call(
                self,
                _record,
                read_text(form, "number"),
                amount=read_text(form, "amount").strip(),
                received_on=read_date(form, "received_on"),
                method=read_text(form, "method"),
                reference=read_text(form, "reference"),
                idempotency_key=read_text(form, "idempotency_key"),
                balance=read_text(form, "version"),
            )
            paid = recorded.payment
            amount = text.money(paid.amount_minor, paid.currency)
            submission.succeed(f"{amount} is recorded for {paid.invoice_number}", InvoiceState.load)
        return submission.events

    @rx.event
    async def open_reverse(self, payment_id: int) -> Any:
        """Ask why a payment is to be undone."""
        return open_dialog(
            self,
            REVERSE,
            "Reverse this payment?",
            start={"reason": ""},
            hidden={"number": address.path_segment(self, 1), "payment_id": payment_id},
        )

    @rx.event
    async def reverse(self, form: dict[str, Any]) -> Any:
        """Undo a payment as a whole; the invoice's status follows."""
        async with submitting(self, form) as submission:
            undone = await call(
                self,
                payments.reverse_payment,
                read_text(form, "number"),
                read_number(form, "payment_id"),
                reason=read_text(form, "reason"),
            )
            amount = text.money(undone.amount_minor, undone.currency)
            submission.succeed(f"The payment of {amount} is reversed", InvoiceState.load)
        return submission.events


def _record(session: Any, actor: Any, /, number: str, **told: Any) -> Recorded:
    """As the service, refused in the words of people: amounts as they are written on the page."""
    try:
        return payments.record_payment(session, actor, number, **told)
    except Conflict as error:
        if error.code == "stale":
            error.facts["explanation"] = (
                "Someone else recorded or reversed a payment since you opened this:"
                f" {as_people_write(error.facts['balance'])} is outstanding now."
                " Saving again records this payment as well."
            )
        elif error.code == "overpayment" and error.facts["balance"].amount_minor:  # type: ignore[attr-defined]
            raise Invalid("amount", "exceeds_balance", balance=error.facts["balance"]) from error
        raise


def _read(session: Any, actor: Any, number: str) -> Any:
    return invoices.get_invoice(session, actor, number), now(session).date()
