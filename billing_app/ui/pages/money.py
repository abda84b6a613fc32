"""Recording and reversing money, which look alike for payments, refunds and one-off items."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.dialogs import confirm_dialog, form_dialog
from billing_app.ui.kit.fields import DialogForm, text_field
from billing_app.ui.kit.number_field import number_field


def money_dialog(
    form: DialogForm,
    on_submit: Any,
    *more: rx.Component,
    currency: rx.Var[str],
    day: tuple[str, str],
    submit: str,
    explanation: Text | rx.Component,
) -> rx.Component:
    """Create the dialog that records money received or paid back. `open_money_dialog` opens it.

    `day` has the name and the label of the field for the date. `more` comes before the reference.
    """
    return form_dialog(
        form,
        on_submit,
        rx.el.div(
            number_field(form, "amount", f"Amount in {currency}", "amount", currency=currency),
            text_field(form, *day, kind="date"),
            class_name=classes.FIELD_PAIR,
        ),
        *more,
        text_field(
            form, "reference", "Reference", help_text="As shown on the bank statement", max_length=200
        ),
        submit=submit,
        explanation=explanation,
    )


def reverse_dialog(
    form: DialogForm, on_submit: Any, consequence: str, *, example: str, submit: str
) -> rx.Component:
    """Create the dialog that says what a reversal causes, and asks for its reason."""
    return confirm_dialog(
        form,
        on_submit,
        f"{consequence} A reversal can’t be undone.",
        text_field(form, "reason", "Reason", placeholder=example, max_length=1000),
        submit=submit,
    )


def reverse_button(what: Text, on_click: Any) -> rx.Component:
    """Create the button in a row of a table that opens the dialog to reverse it, for users who may."""
    return writers_only(
        button("Reverse", look="quiet", on_click=on_click, aria_label=f"Reverse {what}"),
    )


def amount_cell(amount: rx.Var[str], is_reversed: rx.Var[bool]) -> rx.Component:
    """Create the cell of an amount, struck through if it no longer counts."""
    return rx.el.td(
        rx.cond(is_reversed, rx.el.s(amount, class_name="font-normal text-faint"), amount),
        class_name=classes.TD_AMOUNT,
    )
