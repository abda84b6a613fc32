"""Buttons, and content for certain roles only."""

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
    """Create a button. `on_click`, `disabled` and the like are passed on."""
    return rx.el.button(
        icon(icon_name) if icon_name else rx.fragment(),
        label,
        type="button",
        class_name=LOOKS[look],
        **props,
    )


def submit_button(label: Text, *, look: str = "primary") -> rx.Component:
    """Create the button that submits its form. It shows a spinner and is disabled until the response."""
    return rx.el.button(
        rx.el.span(class_name="spinner", aria_hidden=True),
        label,
        type="submit",
        class_name=LOOKS[look],
    )


def icon_button(label: str, icon_name: str, **props: Any) -> rx.Component:
    """Create a button with an icon only. Its label is shown on hover and read by screen readers."""
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
    """Show content only to users who can change customers, plans, usage and invoices. Services check again."""
    return rx.cond(SessionState.may_write, rx.fragment(*content))


def admins_only(*content: rx.Component) -> rx.Component:
    """Show content only to users who can change users, tokens and the issuer. Services check again."""
    return rx.cond(SessionState.may_administer, rx.fragment(*content))
