"""The dialog that starts a price simulation: the month, the customers and the prices."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.simulate import (
    BY_CURRENCY,
    BY_PLAN,
    EDITED,
    OF_PLAN,
    ONE_CUSTOMER,
    SIMULATE,
    SimulateState,
)
from billing_app.ui.kit.customer_field import customer_field
from billing_app.ui.kit.dialogs import form_dialog
from billing_app.ui.kit.fields import DialogForm, select_field, suggest_field, text_field
from billing_app.ui.pages.plan_fields import PlanFields, plan_fields

_CUSTOMERS = [
    (BY_CURRENCY, "All customers in a currency"),
    (BY_PLAN, "Customers on a plan"),
    (ONE_CUSTOMER, "One customer"),
]
_PRICES = [(OF_PLAN, "Those of a plan version"), (EDITED, "Edited terms")]


def simulate_dialog() -> rx.Component:
    """Build the dialog."""
    dialog = DialogForm(SIMULATE, SimulateState.form)
    return form_dialog(
        dialog,
        SimulateState.start,
        select_field(dialog, "period", "Month", SimulateState.months),
        select_field(
            dialog, "customers", "Customers", _CUSTOMERS, on_change=SimulateState.choose_customers
        ),
        _selected_customers(dialog),
        select_field(dialog, "prices", "Prices", _PRICES, on_change=SimulateState.choose_prices),
        rx.cond(
            SimulateState.selected_prices == EDITED,
            # New fields for another plan, so that they start with its terms.
            rx.el.div(
                plan_fields(PlanFields(dialog, SimulateState)),
                key=f"terms-{SimulateState.terms_of}",
                class_name="flex min-w-0 flex-col gap-4",
            ),
            suggest_field(
                dialog, "plan", "Plan", SimulateState.plan_options,
                on_type=SimulateState.suggest_plan, max_length=200,
                help_text="Its newest version, or another one, such as “Growth, version 1”.",
            ),
        ),
        submit="Simulate prices",
        explanation="Bills the month as if the customers had been on these prices, with the same usage and"
        " discounts. No plan and no invoice is changed.",
    )  # fmt: skip


def _selected_customers(dialog: DialogForm) -> rx.Component:
    """Build the field that names the customers."""
    return rx.match(
        SimulateState.selected_customers,
        (
            BY_PLAN,
            suggest_field(
                dialog, "customers_plan", "Customers’ plan", SimulateState.plan_options,
                on_type=SimulateState.suggest_customers_plan,
                max_length=200, help_text="Those with this plan version on at least one day of the month.",
            ),
        ),
        (ONE_CUSTOMER, customer_field(dialog)),
        text_field(
            dialog, "customers_currency", "Customers’ currency", max_length=3,
            help_text="ISO code, such as USD",
        ),
    )  # fmt: skip
