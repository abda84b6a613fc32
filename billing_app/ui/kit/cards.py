"""Cards: a titled panel, a large figure, and a progress bar."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, icon, link


def card(title: Text, *content: rx.Component, actions: Any = None) -> rx.Component:
    """Create a panel with a title, and actions on its right."""
    return rx.el.section(
        rx.el.div(
            rx.el.h2(title, class_name="min-w-0 truncate text-sm font-semibold leading-5"),
            actions if actions is not None else rx.fragment(),
            class_name="flex min-h-8 items-center justify-between gap-3",
        ),
        *content,
        class_name=f"{classes.PANEL} min-w-0 px-5 py-4",
    )


def stat(label: Text, figure: Text, caption: Any = "", href: Text = "") -> rx.Component:
    """Create a card with one figure, which links to the list that it counts."""
    has_link = not (isinstance(href, str) and href == "")
    return rx.el.div(
        rx.el.div(
            link(label, href, f"{classes.ROW_LINK} after:rounded-lg") if has_link else label,
            icon("arrow-up-right", 14, "shrink-0 opacity-0 transition-opacity group-hover:opacity-100")
            if has_link
            else rx.fragment(),
            class_name="flex items-center justify-between gap-2 text-xs font-medium leading-4 text-faint",
        ),
        rx.el.div(figure, class_name=f"mt-1 {classes.FIGURE} {classes.WRAPPED}"),
        rx.el.div(caption, class_name=f"mt-0.5 {classes.CAPTION} min-h-4 tabular-nums"),
        class_name=f"{classes.PANEL} group relative min-w-0 px-5 py-4"
        + (" transition-colors duration-100 hover:border-line-strong" if has_link else ""),
    )


def progress(label: Text, done: rx.Var[int] | int, total: rx.Var[int] | int, caption: Text) -> rx.Component:
    """Create a progress bar. `caption` has the numbers in words: `1,200 of 10,000 customers`."""
    return rx.el.div(
        rx.el.div(
            rx.el.span(label, class_name="font-medium text-ink"),
            rx.el.span(caption, class_name="tabular-nums text-soft"),
            class_name="mb-1.5 flex flex-wrap justify-between gap-x-4 text-sm",
        ),
        rx.el.progress(
            value=done,
            max=total,
            aria_label=label,
            class_name="progress h-1.5 w-full overflow-hidden rounded-full",
        ),
        role="status",
    )
