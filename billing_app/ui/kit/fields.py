"""Fields of a form: label above, help below, and errors in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import reflex as rx

from billing_app.state.kit.forms import Form
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text

_TYPING_PAUSE = 150


@dataclass(frozen=True)
class DialogForm:
    """The name of a dialog on its page, and the state's form that its fields belong to."""

    name: str
    form: rx.Var[Form]


def text_field(
    dialog: DialogForm, name: Text, label: Text, *, help_text: Text = "", kind: str = "text", **props: Any
) -> rx.Component:
    """Create a field for one line of text. Amounts and quantities are text too: `input_mode="decimal"`."""
    return _field(
        dialog, name, label, help_text,
        rx.el.input(
            name=name,
            type=kind,
            default_value=dialog.form.start[name],
            auto_complete="off",
            class_name=classes.INPUT,
            custom_attrs=_described(dialog, name, help_text),
            **props,
        ),
    )  # fmt: skip


def suggest_field(
    dialog: DialogForm,
    name: str,
    label: str,
    options: list[tuple[str, str]] | rx.Var[Any],
    *,
    on_type: Any = None,
    help_text: Text = "",
    **props: Any,
) -> rx.Component:
    """Create a text field with suggestions, passed as for `select_field`. `on_type` loads them while typing."""
    listed = f"{dialog.name}-{name}-options"
    if on_type is not None:
        props["on_change"] = on_type.debounce(_TYPING_PAUSE)
    return _field(
        dialog, name, label, help_text,
        rx.el.input(
            name=name,
            type="text",
            default_value=dialog.form.start[name],
            auto_complete="off",
            class_name=classes.INPUT,
            custom_attrs={**_described(dialog, name, help_text), "list": listed},
            **props,
        ),
        rx.el.datalist(option_elements(options), custom_attrs={"id": listed}),
    )  # fmt: skip


def text_area(
    dialog: DialogForm, name: str, label: str, *, help_text: Text = "", rows: int = 3, **props: Any
) -> rx.Component:
    """Create a field for several lines of text."""
    return _field(
        dialog, name, label, help_text,
        rx.el.textarea(
            name=name,
            default_value=dialog.form.start[name],
            rows=str(rows),
            class_name=classes.TEXT_AREA,
            custom_attrs=_described(dialog, name, help_text),
            **props,
        ),
    )  # fmt: skip


def select_field(
    dialog: DialogForm,
    name: Text,
    label: Text,
    options: list[tuple[str, str]] | rx.Var[Any],
    *,
    help_text: Text = "",
    **props: Any,
) -> rx.Component:
    """Create a list to select from: pairs of value and text, or a state's list of `Option`."""
    return _field(
        dialog, name, label, help_text,
        rx.el.select(
            option_elements(options),
            name=name,
            default_value=dialog.form.start[name],
            class_name=classes.SELECT,
            custom_attrs=_described(dialog, name, help_text),
            **props,
        ),
    )  # fmt: skip


def day_field(
    dialog: DialogForm,
    name: str,
    label: Text,
    options: list[tuple[str, str]] | rx.Var[Any],
    date_label: str,
    *,
    help_text: Text = "",
    on_choose: Any = None,
    on_date: Any = None,
) -> rx.Component:
    """Create a list of days to select from, and a date field that app.css shows when `date` is selected.

    The date field is named `<name>_date`. Read both with `read_day(form, name)`.
    """
    chosen = {} if on_choose is None else {"on_change": on_choose}
    dated = {} if on_date is None else {"on_change": on_date}
    return rx.el.div(
        select_field(dialog, name, label, options, help_text=help_text, **chosen),
        rx.el.div(
            text_field(dialog, f"{name}_date", date_label, kind="date", **dated),
            custom_attrs={"data-other-day": ""},
        ),
        class_name="flex min-w-0 flex-col gap-4",
        custom_attrs={"data-day": ""},
    )


def checkbox(
    dialog: DialogForm, name: str, label: str, *, help_text: Text = "", **props: Any
) -> rx.Component:
    """Create a checkbox, which starts checked if its value is `on`. Read it with `is_checked(form, name)`."""
    return rx.el.div(
        rx.el.label(
            rx.el.input(
                type="checkbox",
                name=name,
                default_checked=dialog.form.start[name] == "on",
                class_name=classes.CHECKBOX,
                custom_attrs=_described(dialog, name, help_text),
                **props,
            ),
            label,
            class_name="flex items-start gap-2 text-sm text-ink",
        ),
        _below(dialog, name, help_text),
    )


def option_elements(options: list[tuple[str, str]] | rx.Var[Any]) -> Any:
    """Create the options of a select."""
    if isinstance(options, rx.Var):
        return rx.foreach(options, lambda each: rx.el.option(each.text, value=each.value))
    return rx.fragment(*[rx.el.option(text, value=value) for value, text in options])


def _field(
    dialog: DialogForm, name: Text, label: Text, help_text: Text, *control: rx.Component
) -> rx.Component:
    return rx.el.div(
        rx.el.label(label, html_for=f"{dialog.name}-{name}", class_name=classes.LABEL),
        *control,
        _below(dialog, name, help_text),
        class_name="flex min-w-0 flex-col gap-1.5",
    )


def _below(dialog: DialogForm, name: Text, help_text: Text) -> rx.Component:
    """Show help or an error, and the value that someone else has saved."""
    error, newer = dialog.form.errors[name], dialog.form.newer[name]
    has_help = not (isinstance(help_text, str) and help_text == "")
    return rx.fragment(
        rx.cond(newer, rx.el.p("Now: ", newer, class_name=f"{classes.FIELD_NEWER} whitespace-pre-line")),
        rx.cond(
            error,
            rx.el.p(
                error, class_name=classes.FIELD_ERROR, custom_attrs={"id": f"{dialog.name}-{name}-error"}
            ),
            rx.el.p(help_text, class_name=classes.CAPTION, custom_attrs={"id": f"{dialog.name}-{name}-help"})
            if has_help
            else rx.fragment(),
        ),
    )


def _described(dialog: DialogForm, name: Text, help_text: Text) -> dict[str, Any]:
    # Passed as custom attributes, because Reflex sends a control with an `id` twice.
    field_id, error = f"{dialog.name}-{name}", dialog.form.errors[name]
    return {
        "id": field_id,
        "aria-invalid": rx.cond(error, "true", "false"),
        "aria-describedby": rx.cond(error, f"{field_id}-error", f"{field_id}-help"),
    }
