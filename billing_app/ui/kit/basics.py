"""The smallest parts: links, buttons, badges, skeletons, and the empty, missing and failed states."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex_components_core.react_router import link as router_link

from billing_app.ui.kit import classes

Text = str | rx.Var[str]
Flag = bool | rx.Var[bool]


def link(text: Any, href: Text, class_name: str = classes.LINK, **props: Any) -> rx.Component:
    """Create a link to another page, which is shown without loading the app again."""
    return router_link(text, to=href, class_name=class_name, **props)


def file_link(
    label: Text | rx.Component,
    href: Text,
    class_name: str = classes.BUTTON,
    icon_name: str = "download",
    **props: Any,
) -> rx.Component:
    """Create a link that downloads a file. It bypasses the router, which would look for a page."""
    return link(
        rx.fragment(icon(icon_name), label),
        href,
        class_name,
        reload_document=True,
        custom_attrs={"download": ""},
        **props,
    )


def icon(name: str, size: int = 16, class_name: str = "shrink-0") -> rx.Component:
    """Create a lucide icon. It is decoration, so screen readers don't see it."""
    return rx.icon(name, size=size, class_name=class_name, custom_attrs={"aria-hidden": "true"})


def action_button(
    label: str, action: str, icon_name: str, *, icon_only_when_narrow: bool = False
) -> rx.Component:
    """Create a button with an `action` of assets/js, which works without the websocket."""
    return rx.el.button(
        icon(icon_name),
        rx.el.span(label, class_name="max-sm:sr-only") if icon_only_when_narrow else label,
        type="button",
        class_name=classes.BUTTON,
        custom_attrs={"data-action": action},
    )


def field(
    label: str, element_id: str, name: str, kind: str, autocomplete: str, *, autofocus: bool = False
) -> rx.Component:
    """Create a labelled, required input of a form that is not sent over the websocket."""
    return rx.el.div(
        rx.el.label(label, html_for=element_id, class_name=classes.LABEL),
        rx.el.input(
            id=element_id,
            name=name,
            type=kind,
            auto_complete=autocomplete,
            auto_focus=autofocus,
            required=True,
            class_name=classes.INPUT,
        ),
        class_name="flex flex-col gap-1.5",
    )


def _dotted(word: Text, class_name: str, dot: str = "size-1.5 rounded-full bg-current") -> rx.Component:
    return rx.el.span(rx.el.span(class_name=dot, aria_hidden=True), word, class_name=class_name)


def payment_badge(status: rx.Var[str]) -> rx.Component:
    """Create the badge of an invoice's payment status: a word with its colour."""
    return rx.match(
        status,
        ("paid", _dotted("Paid", classes.BADGE_GOOD)),
        ("partially_paid", _dotted("Partially paid", classes.BADGE_WARN)),
        ("overdue", _dotted("Overdue", classes.BADGE_BAD)),
        ("credit", _dotted("Credit", classes.BADGE_GOOD)),
        _dotted("Unpaid", classes.BADGE_QUIET),
    )


def customer_badge(status: rx.Var[str]) -> rx.Component:
    """Create the badge of a customer's status."""
    return rx.match(
        status,
        ("suspended", _dotted("Suspended", classes.BADGE_HOLD)),
        _dotted("Active", classes.BADGE_PLAIN, "size-1.5 rounded-full bg-good"),
    )


def user_badge(status: rx.Var[str]) -> rx.Component:
    """Create the badge of a user's status."""
    return rx.match(
        status,
        ("disabled", _dotted("Disabled", classes.BADGE_HOLD)),
        ("invited", _dotted("One-time password", classes.BADGE_WARN)),
        _dotted("Active", classes.BADGE_PLAIN, "size-1.5 rounded-full bg-good"),
    )


def late_badge(word: Text = "Late usage") -> rx.Component:
    """Create the badge of usage that arrived after its month was closed, or of a correction."""
    return _dotted(word, classes.BADGE_LATE)


def skeleton(class_name: str) -> rx.Component:
    """Create a grey placeholder for content that is loading."""
    return rx.el.div(class_name=f"{classes.BONE} {class_name}")


def notice(icon_name: str, title: Text, explanation: Any, *actions: rx.Component) -> rx.Component:
    """Create a notice that replaces empty, missing or failed content and says what to do next."""
    return rx.el.div(
        rx.el.div(
            icon(icon_name, 20),
            class_name="flex size-10 items-center justify-center rounded-lg border border-line text-faint",
        ),
        rx.el.h2(title, class_name="mt-4 text-sm font-semibold text-ink"),
        rx.el.p(
            explanation, class_name="mt-1 max-w-sm text-pretty text-sm text-soft [overflow-wrap:anywhere]"
        ),
        rx.el.div(*actions, class_name="mt-4 flex flex-wrap justify-center gap-2")
        if actions
        else rx.fragment(),
        class_name="flex flex-col items-center px-6 py-16 text-center",
    )


def failed(problem: rx.Var[str]) -> rx.Component:
    """Create the notice of a load that failed, with a button to try again."""
    return rx.el.div(
        notice(
            "cloud-off",
            "This page could not be loaded",
            problem,
            action_button("Try again", "reload", "rotate-cw"),
        ),
        class_name=classes.PANEL,
        role="alert",
    )


def forbidden(problem: Text) -> rx.Component:
    """Create the notice of a page that the viewer's role can't see."""
    return rx.el.div(
        notice(
            "lock", "You don't have access to this page", rx.fragment(problem, " Ask an admin for access.")
        ),
        class_name=classes.PANEL,
    )


def by_phase(
    phase: rx.Var[str], problem: rx.Var[str], *, loading: rx.Component, missing: rx.Component,
    ready: rx.Component,
) -> rx.Component:  # fmt: skip
    """Show the skeleton, the content or the error, depending on the loading phase."""
    return rx.match(
        phase,
        ("ready", ready),
        ("missing", missing),
        ("forbidden", forbidden(problem)),
        ("failed", failed(problem)),
        rx.fragment(
            rx.el.div(
                rx.el.span("Loading", class_name=classes.SCREEN_READER),
                loading,
                custom_attrs={"aria-busy": "true", "data-skeleton": ""},
            ),
            _never_connected(),
        ),
    )


def _never_connected() -> rx.Component:
    """Create the notice that assets/js/connection.js shows when no websocket could be opened."""
    return rx.el.div(
        rx.el.div(
            notice(
                "unplug",
                "This page can't be loaded",
                "Your browser reaches the server, but can't open a live connection (WebSocket) to it."
                " A proxy, firewall or browser extension may be blocking WebSockets.",
                action_button("Try again", "reload", "rotate-cw"),
            ),
            custom_attrs={"data-when": "blocked"},
        ),
        rx.el.div(
            notice(
                "cloud-off",
                "This page can't be loaded",
                "The server can't be reached. Check your connection and try again.",
                action_button("Try again", "reload", "rotate-cw"),
            ),
            custom_attrs={"data-when": "unreachable"},
        ),
        class_name=classes.PANEL,
        role="alert",
        custom_attrs={"data-when": "never-open"},
    )
