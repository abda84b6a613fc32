"""The effect of a change on upcoming invoices, in the dialogs that save it."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.customer_actions import CustomerActions
from billing_app.state.presenters.customers import Effect, EffectLine, EffectMonth
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import icon


def plan_effect() -> rx.Component:
    """Show what the change of plan in the dialog of a customer's page would do."""
    return invoice_effect(CustomerActions.effect)


def invoice_effect(effect: rx.Var[Effect]) -> rx.Component:
    """Show each upcoming invoice before and after a change, or why it can't be saved."""
    return rx.el.div(
        rx.foreach(effect.months, _month),
        rx.cond(
            effect.problem != "",
            rx.el.p(
                icon("triangle-alert", 16, "mt-0.5 shrink-0"),
                rx.el.span(effect.problem, class_name="min-w-0 [overflow-wrap:anywhere]"),
                class_name="flex gap-2 rounded-md bg-warn-soft px-3 py-2 text-sm text-warn",
            ),
        ),
        role="status",
        class_name="flex flex-col gap-2 empty:hidden",
    )


def _month(month: rx.Var[EffectMonth]) -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h3("Upcoming invoice, ", month.period, class_name="min-w-0 text-sm font-medium text-ink"),
            rx.cond(
                month.before != month.after,
                rx.el.span(
                    rx.el.span(month.before, class_name="text-soft"),
                    " → ",
                    rx.el.span(month.after, class_name="font-semibold text-ink"),
                ),
                rx.el.span(
                    month.after,
                    rx.cond(month.is_changed, " (same total)", " (unchanged)"),
                    class_name="text-soft",
                ),
            ),
            class_name="flex flex-wrap items-baseline justify-between gap-x-4 gap-y-1 text-sm tabular-nums",
        ),
        rx.el.ul(
            rx.foreach(month.lines, _line),
            class_name="mt-2 flex flex-col gap-1 border-t border-line pt-2 empty:hidden",
        ),
        class_name="rounded-md border border-line bg-sunken px-3 py-2.5",
    )


def _line(line: rx.Var[EffectLine]) -> rx.Component:
    return rx.el.li(
        rx.el.span(line.title, class_name="min-w-0 [overflow-wrap:anywhere]"),
        rx.el.span(line.amount, class_name="shrink-0 tabular-nums"),
        class_name=f"flex items-baseline justify-between gap-4 {classes.CAPTION}",
    )
