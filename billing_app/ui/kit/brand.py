"""The logo: a tally of five, four strokes and one across."""

from __future__ import annotations

import reflex as rx


def mark(class_name: str = "size-6") -> rx.Component:
    """Create the logo alone, in the accent colour."""
    strokes = "M9.5 9v14M14 9v14M18.5 9v14M23 9v14M6.5 20.5 25.5 11.5"
    return rx.el.svg(
        rx.el.svg.rect(width="32", height="32", rx="8", class_name="fill-button"),
        rx.el.svg.path(d=strokes, stroke="white", stroke_width="2.4", stroke_linecap="round", fill="none"),
        view_box="0 0 32 32",
        class_name=f"{class_name} shrink-0",
        custom_attrs={"aria-hidden": "true"},
    )


def wordmark() -> rx.Component:
    """Create the logo with the name."""
    return rx.el.span(
        mark(),
        rx.el.span("Tallybook", class_name="text-[15px] font-semibold tracking-tight text-ink"),
        class_name="inline-flex items-center gap-2.5",
    )
