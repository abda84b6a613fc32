"""Fields of a dialog's form: label above, help below, and what a refusal says of them in place."""

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
    """A dialog's name on its page, and the state's form that its fields are of."""

    name: str
    form: rx.Var[Form]


def text_field(
    at: DialogForm, name: str, label: Text, *, help_text: Text = "", kind: str = "text", **props: Any
) -> rx.Component:
    """One line of text. Amounts and quantities are text too: `input_mode="decimal"`."""
    return _field(
        at, name, label, help_text,
        rx.el.input(
            name=name,
            type=kind,
            default_value=at.form.start[name],
            auto_complete="off",
            class_name=classes.INPUT,
            custom_attrs=_described(at, name, help_text),
            **props,
        ),
    )  # fmt: skip


def suggest_field(
    at: DialogForm,
    name: str,
    label: str,
    options: list[tuple[str, str]] | rx.Var[Any],
    *,
    on_type: Any = None,
    help_text: Text = "",
    **props: Any,
) -> rx.Component:
    """Text with suggestions, given as for `select_field`; `on_type` reads those for what is typed."""
    listed = f"{at.name}-{name}-options"
    if on_type is not None:
        props["on_change"] = on_type.debounce(_TYPING_PAUSE)
    return _field(
        at, name, label, help_text,
        rx.el.input(
            name=name,
            type="text",
            default_value=at.form.start[name],
            auto_complete="off",
            class_name=classes.INPUT,
            custom_attrs={**_described(at, name, help_text), "list": listed},
            **props,
        ),
        rx.el.datalist(option_elements(options), custom_attrs={"id": listed}),
    )  # fmt: skip


def text_area(
    at: DialogForm, name: str, label: str, *, help_text: Text = "", rows: int = 3, **props: Any
) -> rx.Component:
    """Several lines of text."""
    return _field(
        at, name, label, help_text,
        rx.el.textarea(
            name=name,
            default_value=at.form.start[name],
            rows=str(rows),
            class_name=classes.TEXT_AREA,
            custom_attrs=_described(at, name, help_text),
            **props,
        ),
    )  # fmt: skip


def select_field(
    at: DialogForm,
    name: str,
    label: str,
    options: list[tuple[str, str]] | rx.Var[Any],
    *,
    help_text: Text = "",
) -> rx.Component:
    """One of `options`: pairs of value and text, or a state's list of rows with `value` and `text`."""
    return _field(
        at, name, label, help_text,
        rx.el.select(
            option_elements(options),
            name=name,
            default_value=at.form.start[name],
            class_name=classes.SELECT,
            custom_attrs=_described(at, name, help_text),
        ),
    )  # fmt: skip


def checkbox(at: DialogForm, name: str, label: str, *, help_text: Text = "") -> rx.Component:
    """Yes or no; `is_ticked(form, name)` reads it. Ticked at first when its value is `on`."""
    return rx.el.div(
        rx.el.label(
            rx.el.input(
                type="checkbox",
                name=name,
                default_checked=at.form.start[name] == "on",
                class_name=classes.CHECKBOX,
                custom_attrs=_described(at, name, help_text),
            ),
            label,
            class_name="flex items-start gap-2 text-sm text-ink",
        ),
        _below(at, name, help_text),
    )


def option_elements(options: list[tuple[str, str]] | rx.Var[Any]) -> Any:
    """The options of a select."""
    if isinstance(options, rx.Var):
        return rx.foreach(options, lambda each: rx.el.option(each.text, value=each.value))
    return rx.fragment(*[rx.el.option(text, value=value) for value, text in options])


def _field(at: DialogForm, name: str, label: Text, help_text: Text, *control: rx.Component) -> rx.Component:
    return rx.el.div(
        rx.el.label(label, html_for=f"{at.name}-{name}", class_name=classes.LABEL),
        *control,
        _below(at, name, help_text),
        class_name="flex min-w-0 flex-col gap-1.5",
    )


def _below(at: DialogForm, name: str, help_text: Text) -> rx.Component:
    """Help, or what is wrong; and what somebody else has made of it meanwhile."""
    error, newer = at.form.errors[name], at.form.newer[name]
    has_help = not (isinstance(help_text, str) and help_text == "")
    return rx.fragment(
        rx.cond(newer, rx.el.p("Now: ", newer, class_name=f"{classes.FIELD_NEWER} whitespace-pre-line")),
        rx.cond(
            error,
            rx.el.p(error, class_name=classes.FIELD_ERROR, custom_attrs={"id": f"{at.name}-{name}-error"}),
            rx.el.p(help_text, class_name=classes.CAPTION, custom_attrs={"id": f"{at.name}-{name}-help"})
            if has_help
            else rx.fragment(),
        ),
    )


def _described(at: DialogForm, name: str, help_text: Text) -> dict[str, Any]:
    # As custom attributes: with an `id` of its own each control would be in the form's data twice.
    field_id, error = f"{at.name}-{name}", at.form.errors[name]
    return {
        "id": field_id,
        "aria-invalid": rx.cond(error, "true", "false"),
        "aria-describedby": rx.cond(error, f"{field_id}-error", f"{field_id}-help"),
    }
