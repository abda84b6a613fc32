"""Buttons: what they look like, and what those without a handler do by assets/app.js."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.kit.session import SessionState
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, icon

LOOKS = {
    "plain": classes.BUTTON,
    "primary": classes.BUTTON_PRIMARY,
    "quiet": classes.BUTTON_QUIET,
    "danger": classes.BUTTON_DANGER,
}


def button(label: Text, icon_name: str = "", *, look: str = "plain", **props: Any) -> rx.Component:
    """A button; `on_click` is the state's handler, `disabled` and the like go through."""
    return rx.el.button(
        icon(icon_name) if icon_name else rx.fragment(),
        label,
        type="button",
        class_name=LOOKS[look],
        **props,
    )


def submit_button(label: Text, *, look: str = "primary") -> rx.Component:
    """Sends its form; shows that it is on its way until the answer comes, and can't be pressed twice."""
    return rx.el.button(
        rx.el.span(class_name="spinner", aria_hidden=True),
        label,
        type="submit",
        class_name=LOOKS[look],
    )


def icon_button(label: str, icon_name: str, **props: Any) -> rx.Component:
    """A button of an icon alone, with its name for screen readers and on hover."""
    return rx.el.button(
        icon(icon_name),
        type="button",
        aria_label=label,
        title=label,
        class_name=classes.BUTTON_ICON,
        **props,
    )


def copy_button(label: str = "Copy") -> rx.Component:
    """Copy the secret of the dialog, or the `data-copied` text of the `data-copyable` frame around the button."""
    return rx.el.button(
        rx.el.span(icon("copy"), label, class_name="inline-flex items-center gap-1.5 group-data-done:hidden"),
        rx.el.span(
            icon("check"), "Copied", class_name="hidden items-center gap-1.5 group-data-done:inline-flex"
        ),
        type="button",
        class_name=f"{classes.BUTTON} group",
        custom_attrs={"data-action": "copy"},
    )


def writers_only(*content: rx.Component) -> rx.Component:
    """Shown to who may change customers, plans, usage and invoices; the services ask again."""
    return rx.cond(SessionState.may_write, rx.fragment(*content))


def admins_only(*content: rx.Component) -> rx.Component:
    """Shown to who may change users, tokens and the issuer; the services ask again."""
    return rx.cond(SessionState.may_administer, rx.fragment(*content))
