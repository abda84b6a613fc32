"""The dialogs of a customer's page."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.customer_actions import (
    CANCEL,
    EDIT,
    INVOICE,
    PLAN,
    REACTIVATE,
    SUSPEND,
    USAGE,
    CustomerActions,
)
from billing_app.ui.kit import classes
from billing_app.ui.kit.buttons import button
from billing_app.ui.kit.dialogs import confirm_dialog, form_dialog
from billing_app.ui.kit.fields import DialogForm, select_field, suggest_field, text_area, text_field
from billing_app.ui.kit.number_field import number_field


def dialogs() -> rx.Component:
    """All of them, closed."""
    return rx.fragment(_edit(), _suspend(), _reactivate(), _plan(), _cancel(), _usage(), _invoice())


def _at(name: str) -> DialogForm:
    return DialogForm(name, CustomerActions.form)


def _edit() -> rx.Component:
    at = _at(EDIT)
    return form_dialog(
        at,
        CustomerActions.save,
        text_field(at, "name", "Name", max_length=200),
        text_field(at, "email", "Email", kind="email", max_length=254),
        text_area(at, "billing_address", "Billing address", max_length=1000),
        explanation="Invoices that are already there keep what they say.",
    )


def _suspend() -> rx.Component:
    return confirm_dialog(
        _at(SUSPEND),
        CustomerActions.suspend,
        "Usage is refused from now on, and stays refused for as long as the suspension lasts.",
        rx.el.div(
            rx.el.p("The subscription goes on, and invoices with it: each month at its monthly price."),
            rx.el.p("To end them, cancel the subscription instead.", class_name="mt-1"),
            button(
                "Cancel the subscription instead",
                "calendar-x",
                on_click=CustomerActions.open_cancel,
                # The next one in place of this one, which would be drawn with its title.
                custom_attrs={"data-action": "close-dialog"},
            ),
            class_name="flex flex-col items-start gap-2 rounded-md border border-line bg-sunken px-3 py-3 text-sm"
            " text-soft",
        ),
        submit="Suspend",
    )


def _reactivate() -> rx.Component:
    return confirm_dialog(
        _at(REACTIVATE),
        CustomerActions.reactivate,
        "Usage is taken again from now on. What happened during the suspension stays refused.",
        submit="Reactivate",
        danger=False,
    )


def _plan() -> rx.Component:
    at = _at(PLAN)
    return form_dialog(
        at,
        CustomerActions.change_plan,
        rx.cond(
            CustomerActions.can_move,
            rx.fragment(),
            rx.el.p("There is no plan in this currency that can be sold.", class_name="text-sm text-warn"),
        ),
        suggest_field(
            at, "plan", "Plan", CustomerActions.offered, on_type=CustomerActions.suggest_plan, max_length=200
        ),
        select_field(
            at, "effective_from", "From", CustomerActions.months,
            help_text="All usage of a month is priced by the plan of that month",
        ),
        submit="Change plan",
        explanation=rx.fragment(CustomerActions.note, " Whatever was planned for later is replaced."),
    )  # fmt: skip


def _cancel() -> rx.Component:
    at = _at(CANCEL)
    return confirm_dialog(
        at,
        CustomerActions.cancel,
        "From that month on nothing is charged, and usage is refused. The months before are invoiced as ever.",
        select_field(at, "effective_from", "From", CustomerActions.months),
        submit="Cancel subscription",
    )


def _usage() -> rx.Component:
    at = _at(USAGE)
    return form_dialog(
        at,
        CustomerActions.record,
        number_field(at, "quantity", "Quantity", "quantity", placeholder="1530"),
        text_field(
            at, "occurred_at", "Used at (optional)", kind="datetime-local", step="1",
            help_text=f"In {CustomerActions.zone}. Left empty, it is now",
        ),
        submit="Record usage",
        explanation="Recorded usage stays: it can’t be changed or taken back.",
    )  # fmt: skip


def _invoice() -> rx.Component:
    return confirm_dialog(
        _at(INVOICE),
        CustomerActions.generate,
        rx.el.span(CustomerActions.note, class_name="tabular-nums"),
        rx.el.p(
            "The month is closed by it: usage of that month that arrives later is billed in the next one. An"
            " invoice never changes once it is there.",
            class_name=f"{classes.CAPTION} text-pretty",
        ),
        submit="Generate invoice",
        danger=False,
    )
