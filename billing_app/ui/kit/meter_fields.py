"""The fields of a dialog that records usage, which state/kit/metering.py reads."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.kit.metering import MeterFields
from billing_app.ui.kit.fields import DialogForm, select_field, text_field
from billing_app.ui.kit.number_field import number_field


def meter_fields(dialog: DialogForm, fields: rx.Var[MeterFields], on_choose: Any) -> rx.Component:
    """Build the meter, if there are several, and the quantity or the item."""
    has_several = fields.options.length() > 0
    return rx.fragment(
        rx.cond(
            has_several, select_field(dialog, "meter", "Meter", fields.options, on_change=on_choose)
        ),
        rx.cond(
            fields.counts_items,
            text_field(
                dialog, "item", "Item", max_length=255,
                help_text="What is counted, such as a user’s ID. Each different item counts once a month.",
            ),
            number_field(
                dialog, "quantity", "Quantity", rx.cond(has_several, "number", "quantity"), placeholder="1530"
            ),
        ),
    )  # fmt: skip
