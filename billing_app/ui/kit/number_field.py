"""A field for a number in the viewer's notation, with an explanation of what was understood."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.kit.numbers import TYPED_MAX, NumbersState
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text
from billing_app.ui.kit.fields import DialogForm, text_field


def number_field(
    dialog: DialogForm,
    name: Text,
    label: Text,
    kind: Text,
    *,
    currency: Text = "",
    also: Any = None,
    **props: Any,
) -> rx.Component:
    """Build a field that `state.kit.numbers.read_decimal` reads.

    `kind` says what is shown under it, as in `state.kit.numbers`: `included`, `quantity`, `number`, `percent`, `amount`.
    A field for a price needs the form's currency. `also` handles the typed text too.
    """

    def read(value: rx.Var[str]) -> Any:
        # Not debounced, because that would drop changes if several fields change together.
        read = NumbersState.read(dialog.form.opened, name, kind, currency, value)
        return [read, also(value)] if also else read

    field = text_field(
        dialog, name, label, input_mode="decimal", max_length=TYPED_MAX, on_change=read, **props
    )
    return rx.el.div(field, _explanation(dialog, name), class_name="flex min-w-0 flex-col gap-1")


def _explanation(dialog: DialogForm, name: Text) -> rx.Component:
    understood: Any = NumbersState.understood
    problems: Any = NumbersState.problems
    is_current = NumbersState.opened == dialog.form.opened
    return rx.el.p(
        rx.cond(
            is_current,
            rx.fragment(
                rx.cond(understood[name], f"= {understood[name]}", ""),
                rx.cond(
                    # If the field has an error, that already says the same.
                    problems[name] & (problems[name] != dialog.form.errors[name]),
                    rx.el.span(problems[name], class_name="text-warn"),
                ),
            ),
        ),
        class_name=f"{classes.CAPTION} font-medium tabular-nums text-soft empty:hidden",
        role="status",
    )


def currency_field(
    dialog: DialogForm, name: str, label: Text, *, also: Any = None, **props: Any
) -> rx.Component:
    """Build the field of the currency in which the form's prices are explained."""

    def read(value: rx.Var[str]) -> Any:
        read = NumbersState.read_currency(dialog.form.opened, value)
        return [read, also(value)] if also else read

    return text_field(dialog, name, label, max_length=3, on_change=read, **props)
