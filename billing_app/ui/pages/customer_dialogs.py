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
from billing_app.ui.kit.fields import DialogForm, checkbox, day_field, suggest_field, text_area, text_field
from billing_app.ui.kit.meter_fields import meter_fields
from billing_app.ui.pages.plan_effects import plan_effect


def dialogs() -> rx.Component:
    """Build every dialog of the page."""
    return rx.fragment(_edit(), _suspend(), _reactivate(), _plan(), _cancel(), _usage(), _invoice())


def _dialog_form(name: str) -> DialogForm:
    return DialogForm(name, CustomerActions.form)


def _edit() -> rx.Component:
    dialog = _dialog_form(EDIT)
    return form_dialog(
        dialog,
        CustomerActions.save,
        text_field(dialog, "name", "Name", max_length=200),
        text_field(dialog, "email", "Email", kind="email", max_length=254),
        text_area(dialog, "billing_address", "Billing address", max_length=1000),
        explanation="Existing invoices keep the details they were issued with.",
    )


def _suspend() -> rx.Component:
    return confirm_dialog(
        _dialog_form(SUSPEND),
        CustomerActions.suspend,
        "While suspended, the customer’s usage is rejected. You can reactivate the customer at any time.",
        rx.el.div(
            rx.el.p("The subscription continues, and each month is still invoiced at its monthly price."),
            rx.el.p("To stop that, cancel the subscription instead.", class_name="mt-1"),
            button(
                "Cancel subscription instead",
                "calendar-x",
                on_click=CustomerActions.open_cancel,
                # Close this dialog first: both show the title of the same form.
                custom_attrs={"data-action": "close-dialog"},
            ),
            class_name="flex flex-col items-start gap-2 rounded-md border border-line bg-sunken px-3 py-3 text-sm"
            " text-soft",
        ),
        submit="Suspend customer",
    )


def _reactivate() -> rx.Component:
    return confirm_dialog(
        _dialog_form(REACTIVATE),
        CustomerActions.reactivate,
        "Usage is recorded again from now on. Usage dated during the suspension is still rejected.",
        submit="Reactivate customer",
        danger=False,
    )


def _plan() -> rx.Component:
    dialog = _dialog_form(PLAN)
    return form_dialog(
        dialog,
        CustomerActions.change_plan,
        rx.cond(
            CustomerActions.can_change,
            rx.fragment(),
            rx.el.p("There is no active plan in this customer’s currency.", class_name="text-sm text-warn"),
        ),
        suggest_field(
            dialog, "plan", "Plan", CustomerActions.plan_options, on_type=CustomerActions.suggest_plan, max_length=200
        ),
        day_field(
            dialog, "effective_from", "From", CustomerActions.days, "Date",
            help_text="Days are in UTC. Usage since 00:00 UTC of this day gets the new prices.",
            on_choose=CustomerActions.choose_day, on_date=CustomerActions.choose_date,
        ),
        rx.cond(
            CustomerActions.effect.unpriced != "",
            checkbox(
                dialog, "confirm_unpriced", "Leave this usage without a price",
                help_text=CustomerActions.effect.unpriced,
                on_change=CustomerActions.confirm_unpriced,
            ),
        ),
        plan_effect(),
        submit="Change plan",
        explanation=rx.fragment(CustomerActions.note, " Changes already planned for later are replaced."),
    )  # fmt: skip


def _cancel() -> rx.Component:
    dialog = _dialog_form(CANCEL)
    return confirm_dialog(
        dialog,
        CustomerActions.cancel,
        "From the day you choose, nothing is charged and usage is rejected. Earlier days are still invoiced."
        " You can assign a plan again later.",
        day_field(
            dialog, "effective_from", "From", CustomerActions.days, "Date",
            help_text="The first day without a plan, in UTC.",
            on_choose=CustomerActions.choose_day, on_date=CustomerActions.choose_date,
        ),
        plan_effect(),
        submit="Cancel subscription",
    )  # fmt: skip


def _usage() -> rx.Component:
    dialog = _dialog_form(USAGE)
    return form_dialog(
        dialog,
        CustomerActions.record,
        meter_fields(dialog, CustomerActions.fields, CustomerActions.choose_meter),
        text_field(
            dialog, "occurred_at", "Time (optional)", kind="datetime-local", step="1",
            help_text=f"In {CustomerActions.zone}. Leave empty for the current time.",
        ),
        submit="Record usage",
        explanation="Recorded usage can’t be deleted. If it is wrong, correct it.",
    )  # fmt: skip


def _invoice() -> rx.Component:
    return confirm_dialog(
        _dialog_form(INVOICE),
        CustomerActions.generate,
        rx.el.span(CustomerActions.note, class_name="tabular-nums"),
        rx.el.p(
            "This closes the month for the customer. Usage recorded for it later is billed on the next"
            " invoice. An invoice can’t be changed once it is generated.",
            class_name=f"{classes.CAPTION} text-pretty",
        ),
        submit="Generate invoice",
        danger=False,
    )
