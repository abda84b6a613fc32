"""The payments of an invoice and their reversals, with the dialogs that record and reverse one."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.invoice import InvoiceState
from billing_app.state.pages.payments import APPLY, RECORD, REVERSE, PaymentsState
from billing_app.state.presenters.invoices import PaymentItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import notice
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.dialogs import confirm_dialog
from billing_app.ui.kit.fields import DialogForm, suggest_field
from billing_app.ui.kit.tables import column, number_column, page_links, table
from billing_app.ui.pages.money import amount_cell, money_dialog, reverse_button, reverse_dialog

_METHODS = [(method, method) for method in ("Bank transfer", "Card", "Direct debit", "Check", "Cash")]


def record_button() -> rx.Component:
    """Render the button that records a payment, for users who may, while something is outstanding."""
    return rx.cond(
        (InvoiceState.invoice.status != "paid") & (InvoiceState.invoice.status != "credit"),
        writers_only(button("Record payment", "plus", look="primary", on_click=PaymentsState.open_record)),
    )


def apply_credit_button() -> rx.Component:
    """Render the button that pays the invoice from credit, while there is credit and something outstanding."""
    return rx.cond(
        InvoiceState.can_apply_credit,
        writers_only(button("Apply credit", "wallet", on_click=PaymentsState.open_apply)),
    )


def payments() -> rx.Component:
    """Render the payments, last recorded last, each with its reversal."""
    return rx.el.section(
        rx.el.h2("Payments", class_name="mb-3 text-sm font-semibold"),
        rx.cond(
            InvoiceState.payments.length() > 0,
            rx.fragment(
                table(
                    "Payments",
                    [
                        column("Received on"),
                        column("Method", wide_only=True),
                        column("Recorded", wide_only=True),
                        number_column("Amount"),
                        column(""),
                    ],
                    rx.foreach(InvoiceState.payments, _row),
                ),
                page_links(InvoiceState.payment_pages),
            ),
            _no_payments(),
        ),
        class_name="mt-8 print:hidden",
        aria_label="Payments",
    )


def _no_payments() -> rx.Component:
    sheet = InvoiceState.invoice
    explanation = "This total is credit. It is applied to new invoices, or can be refunded."
    return rx.el.div(
        rx.match(
            sheet.status,
            ("paid", notice("circle-check", "Nothing due", "This invoice’s total is zero.")),
            ("credit", notice("wallet", "Nothing to pay", explanation)),
            notice("banknote", "No payments yet", f"{sheet.balance} due by {sheet.due}."),
        ),
        class_name=f"{classes.PANEL} [&>div]:py-8",
    )


def _row(payment: rx.Var[PaymentItem]) -> rx.Component:
    is_reversed = payment.reversal_reason != ""
    return rx.el.tr(
        _received_cell(payment, is_reversed),
        rx.el.td(
            rx.el.div(payment.method, class_name="max-w-40 truncate"),
            rx.el.div(payment.reference, class_name="max-w-40 truncate text-xs leading-4 text-faint"),
            class_name=f"{classes.TD} {classes.WIDE_ONLY}",
        ),
        rx.el.td(
            rx.el.span(payment.recorded, title=payment.recorded_utc, class_name="tabular-nums"),
            rx.el.div(
                f"by {payment.recorded_by}", class_name="max-w-40 truncate text-xs leading-4 text-faint"
            ),
            class_name=f"{classes.TD} {classes.WIDE_ONLY}",
        ),
        amount_cell(payment.amount, is_reversed),
        _reverse_cell(payment, is_reversed),
        class_name=classes.TR,
    )


def _received_cell(payment: rx.Var[PaymentItem], is_reversed: rx.Var[bool]) -> rx.Component:
    return rx.el.td(
        rx.el.div(payment.received, class_name="whitespace-nowrap tabular-nums"),
        rx.el.div(payment.method, class_name=f"{classes.NARROW_CAPTION} max-w-40"),
        rx.cond(
            is_reversed,
            rx.el.div(
                "Reversed ",
                rx.el.span(payment.reversed, title=payment.reversed_utc),
                f" by {payment.reversed_by}: {payment.reversal_reason}",
                class_name="text-xs font-normal leading-4 text-bad [overflow-wrap:anywhere]",
            ),
        ),
        class_name=f"{classes.TD_MAIN} py-2",
    )


def _reverse_cell(payment: rx.Var[PaymentItem], is_reversed: rx.Var[bool]) -> rx.Component:
    return rx.el.td(
        rx.cond(
            is_reversed,
            rx.el.span("Reversed", class_name=classes.BADGE_BAD),
            reverse_button(
                f"the payment of {payment.amount}", PaymentsState.open_reverse(payment.payment_id)
            ),
        ),
        class_name=f"{classes.TD} text-right",
    )


def payment_dialogs() -> rx.Component:
    """Render the dialogs that record and reverse a payment, and that apply credit."""
    return rx.fragment(_record_dialog(), _reverse_dialog(), _apply_dialog())


def _record_dialog() -> rx.Component:
    form = DialogForm(RECORD, PaymentsState.form)
    return money_dialog(
        form,
        PaymentsState.record,
        suggest_field(form, "method", "Method", _METHODS, max_length=200),
        currency=InvoiceState.invoice.currency,
        day=("received_on", "Received on"),
        submit="Record payment",
        explanation=PaymentsState.explanation,
    )


def _reverse_dialog() -> rx.Component:
    return reverse_dialog(
        DialogForm(REVERSE, PaymentsState.form),
        PaymentsState.reverse,
        "The payment stays on record but no longer counts, and its amount becomes outstanding again. What was paid"
        " from credit is credit again.",
        example="Recorded on the wrong invoice",
        submit="Reverse payment",
    )


def _apply_dialog() -> rx.Component:
    return confirm_dialog(
        DialogForm(APPLY, PaymentsState.form),
        PaymentsState.apply,
        PaymentsState.explanation,
        submit="Apply credit",
        danger=False,
    )
