"""The guide for a new installation, above the figures of the dashboard."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.getting_started import GettingStartedState
from billing_app.state.presenters.getting_started import StepItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import icon, link
from billing_app.ui.kit.buttons import admins_only, copy_button, icon_button

_TITLE_ID = "getting-started-title"


def getting_started() -> rx.Component:
    """The steps, with the actions of the next one, until all are done or the viewer closed the guide."""
    return rx.cond(
        GettingStartedState.is_shown,
        rx.el.section(
            rx.el.div(
                rx.el.div(
                    rx.el.h2(
                        "Getting started",
                        class_name="text-base font-semibold leading-6",
                        custom_attrs={"id": _TITLE_ID},
                    ),
                    rx.el.span(GettingStartedState.done, class_name=f"{classes.CAPTION} tabular-nums"),
                    class_name="flex min-w-0 flex-wrap items-baseline gap-x-3",
                ),
                icon_button("Close getting started", "x", on_click=GettingStartedState.dismiss),
                class_name="flex items-start justify-between gap-3 pl-5 pr-3.5 pt-4",
            ),
            rx.el.ol(rx.foreach(GettingStartedState.steps, _step), class_name="mt-2 divide-y divide-line"),
            class_name=f"{classes.PANEL} mb-6",
            custom_attrs={"aria-labelledby": _TITLE_ID},
        ),
    )


def _step(step: rx.Var[StepItem]) -> rx.Component:
    return rx.el.li(
        _mark(step),
        rx.el.div(
            rx.el.div(
                rx.el.span(
                    step.title,
                    rx.cond(step.is_done, rx.el.span(" (done)", class_name=classes.SCREEN_READER)),
                    class_name=rx.cond(
                        step.is_done, "text-sm text-faint line-through", "text-sm font-medium text-ink"
                    ),
                ),
                rx.cond(
                    step.is_done,
                    rx.fragment(),
                    rx.el.p(step.text, class_name="mt-0.5 text-pretty text-sm text-soft"),
                ),
                class_name="min-w-0",
            ),
            rx.cond(step.is_next, _actions(step)),
            class_name="flex min-w-0 flex-1 flex-col gap-3",
        ),
        class_name="flex gap-3 px-5 py-3",
    )


def _mark(step: rx.Var[StepItem]) -> rx.Component:
    """A circle, ticked when the step is done."""
    circle = "mt-0.5 flex size-4 shrink-0 items-center justify-center rounded-full"
    return rx.cond(
        step.is_done,
        rx.el.span(icon("check", 12), class_name=f"{circle} bg-good-soft text-good", aria_hidden=True),
        rx.el.span(
            class_name=rx.cond(
                step.is_next, f"{circle} border-2 border-accent", f"{circle} border border-line-strong"
            ),
            aria_hidden=True,
        ),
    )


def _actions(step: rx.Var[StepItem]) -> rx.Component:
    return rx.match(
        step.name,
        (
            "company",
            _row(link("Add company details", "/settings", classes.BUTTON_PRIMARY)),
        ),
        ("plan", _row(link("Create plan", "/plans", classes.BUTTON_PRIMARY))),
        ("customer", _row(link("Add customer", "/customers", classes.BUTTON_PRIMARY))),
        ("usage", _usage()),
        ("invoice", _row(link("Go to invoices", "/invoices", classes.BUTTON_PRIMARY))),
        rx.fragment(),
    )


def _row(*content: rx.Component) -> rx.Component:
    return rx.el.div(*content, class_name="flex flex-wrap gap-2")


def _usage() -> rx.Component:
    """The three ways to record usage, and a command for the terminal."""
    return rx.fragment(
        _row(
            link("Record usage", "/usage", classes.BUTTON_PRIMARY),
            link("Import CSV", "/usage/imports", classes.BUTTON),
            admins_only(link("Create API token", "/settings/tokens", classes.BUTTON)),
        ),
        rx.el.div(
            rx.el.pre(
                rx.el.code(GettingStartedState.command, custom_attrs={"data-copied": ""}),
                class_name="w-full min-w-0 flex-1 overflow-x-auto py-1 font-mono text-[13px] leading-5 text-ink",
                tab_index=0,
                custom_attrs={"aria-label": "Command that records a first event"},
            ),
            copy_button(),
            class_name="flex min-w-0 flex-col items-end gap-2 rounded-md border border-line bg-sunken p-2 pl-3 sm:flex-row sm:items-start sm:gap-3",
            custom_attrs={"data-copyable": ""},
        ),
    )
