"""The dialogs about a customer's discounts, one-off items and credit."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.adjustment_actions import (
    DISCOUNT,
    END_DISCOUNT,
    ITEM,
    REFUND,
    REVERSE_ITEM,
    REVERSE_REFUND,
    AdjustmentsState,
)
from billing_app.state.pages.customer import CustomerState
from billing_app.state.presenters.adjustments import APPLIES_TO
from billing_app.ui.kit import classes
from billing_app.ui.kit.dialogs import confirm_dialog, form_dialog
from billing_app.ui.kit.fields import DialogForm, select_field, text_field
from billing_app.ui.kit.number_field import number_field
from billing_app.ui.pages.money import money_dialog, reverse_dialog


def adjustment_dialogs() -> rx.Component:
    """Build every dialog about discounts, one-off items and credit."""
    return rx.fragment(_discount(), _end_discount(), _item(), _reverse_item(), _refund(), _reverse_refund())


def _dialog_form(name: str) -> DialogForm:
    return DialogForm(name, AdjustmentsState.form)


def _discount() -> rx.Component:
    dialog, currency = _dialog_form(DISCOUNT), CustomerState.customer.currency
    return form_dialog(
        dialog,
        AdjustmentsState.add_discount,
        text_field(
            dialog, "name", "Name", max_length=200, placeholder="Welcome discount", help_text="Shown on invoices"
        ),
        rx.el.div(
            number_field(dialog, "percent", "Percent", "percent", placeholder="20"),
            number_field(dialog, "amount", f"Or amount in {currency}", "amount", currency=currency),
            class_name=classes.FIELD_PAIR,
        ),
        select_field(dialog, "applies_to", "Applies to", list(APPLIES_TO.items())),
        rx.el.div(
            select_field(dialog, "first_period", "First month", AdjustmentsState.months),
            select_field(dialog, "last_period", "Last month", AdjustmentsState.last_months),
            class_name=classes.FIELD_PAIR,
        ),
        submit="Add discount",
        explanation="It applies after the customer’s other discounts, also to late usage of its months, and never to"
        " one-off items. Only its last month can be set later.",
    )  # fmt: skip


def _end_discount() -> rx.Component:
    dialog = _dialog_form(END_DISCOUNT)
    return confirm_dialog(
        dialog,
        AdjustmentsState.end_discount,
        "Later months are billed without this discount. The last month can’t be changed afterwards.",
        select_field(dialog, "last_period", "Last month", AdjustmentsState.last_months),
        submit="Set last month",
        danger=False,
    )


def _item() -> rx.Component:
    dialog, currency = _dialog_form(ITEM), CustomerState.customer.currency
    return form_dialog(
        dialog,
        AdjustmentsState.record_item,
        text_field(dialog, "description", "Description", max_length=200, help_text="Shown on the invoice"),
        rx.el.div(
            number_field(dialog, "quantity", "Quantity", "quantity"),
            number_field(dialog, "unit_price", f"Unit price in {currency}", "unit_price", currency=currency),
            class_name=classes.FIELD_PAIR,
        ),
        text_field(
            dialog, "date", "Date", kind="date",
            help_text="At most 12 months ahead. If its month is closed, it is billed in the next open one.",
        ),
        submit=rx.cond(AdjustmentsState.is_credit, "Credit", "Charge"),
        explanation=rx.cond(
            AdjustmentsState.is_credit,
            "The amount is deducted once, on the invoice for the month of the date. If that makes the total"
            " negative, the rest is credit for later invoices.",
            "The amount is charged once, on the invoice for the month of the date.",
        ),
    )  # fmt: skip


def _reverse_item() -> rx.Component:
    return reverse_dialog(
        _dialog_form(REVERSE_ITEM),
        AdjustmentsState.reverse_item,
        "The opposite amount is added to the same invoice, or to the next one if that month is closed.",
        example="Charged by mistake",
        submit="Reverse item",
    )


def _refund() -> rx.Component:
    return money_dialog(
        _dialog_form(REFUND),
        AdjustmentsState.refund,
        currency=CustomerState.customer.currency,
        day=("refunded_on", "Refunded on"),
        submit="Record refund",
        explanation=rx.fragment(
            AdjustmentsState.note, " Tallybook records the refund, but does not transfer the money."
        ),
    )


def _reverse_refund() -> rx.Component:
    return reverse_dialog(
        _dialog_form(REVERSE_REFUND),
        AdjustmentsState.reverse_refund,
        "The refund stays on record but no longer counts, and its amount is credit again.",
        example="The transfer bounced",
        submit="Reverse refund",
    )
