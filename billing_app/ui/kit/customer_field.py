"""The field of a dialog in which a customer is named."""

from __future__ import annotations

import reflex as rx

from billing_app.state.kit.naming import NamingState
from billing_app.ui.kit.fields import DialogForm, suggest_field


def customer_field(at: DialogForm) -> rx.Component:
    """`customer`, with suggestions; `state.naming.resolve_customer` tells who is meant."""
    return suggest_field(
        at, "customer", "Customer", NamingState.suggestions, on_type=NamingState.suggest,
        help_text="Its key or its full name", placeholder="acme", max_length=200,
    )  # fmt: skip
