"""The field of a dialog that selects a customer."""

from __future__ import annotations

import reflex as rx

from billing_app.state.kit.naming import NamingState
from billing_app.ui.kit.fields import DialogForm, suggest_field


def customer_field(dialog: DialogForm) -> rx.Component:
    """Build the field `customer` with suggestions; `state.kit.naming.resolve_customer` reads it."""
    return suggest_field(
        dialog, "customer", "Customer", NamingState.suggestions, on_type=NamingState.suggest,
        help_text="Key or full name", placeholder="acme", max_length=200,
    )  # fmt: skip
