"""The dialog that creates a plan or its next version."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.plans import PLAN, PlansState
from billing_app.ui.kit.dialogs import form_dialog
from billing_app.ui.kit.fields import DialogForm, text_field
from billing_app.ui.pages.plan_fields import PlanFields, plan_fields


def plan_dialog() -> rx.Component:
    """Build the dialog of a plan's terms."""
    dialog = DialogForm(PLAN, PlansState.form)
    is_version = dialog.form.hidden["name"]
    return form_dialog(
        dialog,
        PlansState.save,
        rx.cond(
            is_version,
            rx.fragment(),
            text_field(dialog, "name", "Name", placeholder="Growth", max_length=200),
        ),
        plan_fields(PlanFields(dialog, PlansState)),
        submit=rx.cond(is_version, "Create version", "Create plan"),
        explanation=rx.cond(
            is_version,
            "Customers stay on their current version until you move them to the new one.",
            "Terms can’t be changed later. To change a price, create a new version of the plan.",
        ),
    )
