"""Recording and reversing payments of the invoice that is shown, and paying it from credit."""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.domain.money import Amount
from billing_app.errors import Conflict, Invalid
from billing_app.services.adjustments import credit
from billing_app.services.invoices import invoices
from billing_app.services.invoices.rows import InvoiceDetail
from billing_app.services.payments import payments
from billing_app.services.payments.payments import RecordedPayment
from billing_app.state.kit import address, text
from billing_app.state.kit.forms import (
    Form,
    call_once,
    open_dialog,
    read_date,
    read_number,
    read_text,
    submitting,
)
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.pages.invoice import InvoiceState
from billing_app.state.pages.money import open_money_dialog, read_money
from billing_app.wording.refusals import BALANCE_CHANGED
from billing_app.wording.sentences import fill

RECORD, REVERSE, APPLY = "record-payment", "reverse-payment", "apply-credit"


class PaymentsState(rx.State):
    """The dialogs that record and reverse a payment, and that apply credit."""

    form: Form = Form()
    explanation: str = ""

    @rx.event
    async def open_record(self) -> Any:
        """Open the dialog with the current balance and the viewer's date."""
        read = await call(self, _read, address.path_segment(self, 1), viewer_zone(self))
        invoice = read.invoice
        balance = Amount(invoice.balance_minor, invoice.currency)
        self.explanation = f"{text.money(*balance)} of {invoice.number} is outstanding."
        return open_money_dialog(
            self,
            RECORD,
            "Record a payment",
            balance,
            start={"received_on": read.today.isoformat(), "method": ""},
            hidden={"number": invoice.number},
        )

    @rx.event
    async def record(self, form: dict[str, Any]) -> Any:
        """Record the payment, unless the balance has changed since the dialog opened."""
        async with submitting(self, form) as submission:
            recorded = await call(
                self,
                _record,
                read_text(form, "number"),
                **read_money(self, form),
                received_on=read_date(form, "received_on"),
                method=read_text(form, "method"),
                expected_balance=read_text(form, "version"),
            )
            payment = recorded.payment
            amount = text.money(payment.amount_minor, payment.currency)
            submission.succeed(f"Payment of {amount} recorded on {payment.invoice_number}", InvoiceState.load)
        return submission.events

    @rx.event
    async def open_reverse(self, payment_id: int) -> Any:
        """Open the dialog that asks why a payment is reversed."""
        return open_dialog(
            self,
            REVERSE,
            "Reverse this payment?",
            start={"reason": ""},
            hidden={"number": address.path_segment(self, 1), "payment_id": payment_id},
        )

    @rx.event
    async def reverse(self, form: dict[str, Any]) -> Any:
        """Reverse the whole payment."""
        async with submitting(self, form) as submission:
            payment = await call_once(
                self,
                form,
                payments.reverse_payment,
                read_text(form, "number"),
                read_number(form, "payment_id"),
                reason=read_text(form, "reason"),
            )
            amount = text.money(payment.amount_minor, payment.currency)
            submission.succeed(f"Payment of {amount} on {payment.invoice_number} reversed", InvoiceState.load)
        return submission.events

    @rx.event
    async def open_apply(self) -> Any:
        """Ask for confirmation to pay the invoice from the customer's credit, showing how much of it."""
        invoice, left = await call(self, _read_credit, address.path_segment(self, 1))
        applied = min(left.amount_minor, invoice.balance_minor)
        if not applied:
            return [rx.toast.info("There is no credit to apply"), InvoiceState.load]
        self.explanation = (
            f"{invoice.customer.name} has {text.money(*left)} of credit."
            f" {text.money(applied, invoice.currency)} of it will be applied to {invoice.number}."
        )
        title = f"Apply credit to {invoice.number}?"
        return open_dialog(self, APPLY, title, hidden={"number": invoice.number})

    @rx.event
    async def apply(self, form: dict[str, Any]) -> Any:
        """Pay the invoice from the customer's credit, up to its balance."""
        async with submitting(self, form) as submission:
            payment = await call_once(self, form, credit.apply_credit, read_text(form, "number"))
            amount = text.money(payment.amount_minor, payment.currency)
            submission.succeed(f"{amount} of credit applied to {payment.invoice_number}", InvoiceState.load)
        return submission.events


class _Read(NamedTuple):
    """The initial values of the dialog."""

    invoice: InvoiceDetail
    today: date


def _read(session: Session, actor: Actor, number: str, zone: ZoneInfo) -> _Read:
    today = now(session).astimezone(zone).date()
    return _Read(invoices.get_invoice(session, actor, number), today)


def _read_credit(session: Session, actor: Actor, number: str) -> tuple[InvoiceDetail, Amount]:
    invoice = invoices.get_invoice(session, actor, number)
    return invoice, credit.get_credit(session, actor, invoice.customer_public_id)


def _record(session: Session, actor: Actor, /, number: str, **details: Any) -> RecordedPayment:
    """Record the payment. Convert errors about the balance so that the form shows them at the amount."""
    try:
        return payments.record_payment(session, actor, number, **details)
    except Conflict as error:
        balance = error.facts.get("balance")
        if error.code == "stale" and isinstance(balance, Amount):
            error.facts["explanation"] = fill(BALANCE_CHANGED, {"balance": balance})
        elif error.code == "overpayment" and isinstance(balance, Amount) and balance.amount_minor:
            raise Invalid("amount", "exceeds_balance", balance=balance) from error
        raise
