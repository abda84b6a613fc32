"""The lines of an invoice: each with its arithmetic, opening to the days and events behind it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.pages.invoice import InvoiceState
from billing_app.state.presenters.invoices import EventItem, LineItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import icon, late_badge
from billing_app.ui.kit.charts import Series, bar_chart, chart_frame

_UNITS = [Series("units", "Units")]
_HEAD = "pb-2 text-left text-xs font-medium leading-4 text-faint"
_HEAD_NUMBER = "pb-2 text-right text-xs font-medium leading-4 text-faint"
_CELL_NUMBER = "pt-3 pl-4 text-right align-top tabular-nums"


def lines(rows: Any = InvoiceState.lines, *, opening: bool = True) -> rx.Component:
    """All lines as one table; those of a preview do not open to their usage."""
    return rx.el.table(
        rx.el.thead(
            rx.el.tr(
                rx.el.th("Description", scope="col", class_name=_HEAD),
                rx.el.th("Quantity", scope="col", class_name=f"{_HEAD_NUMBER} pl-4 max-sm:hidden"),
                rx.el.th("Unit price", scope="col", class_name=f"{_HEAD_NUMBER} pl-4 max-sm:hidden"),
                rx.el.th("Amount", scope="col", class_name=f"{_HEAD_NUMBER} pl-4"),
            ),
        ),
        rx.foreach(rows, lambda line: _line(line, opening)),
        class_name="mt-8 w-full border-collapse" if opening else "w-full border-collapse",
    )


def _line(line: rx.Var[LineItem], opening: bool) -> rx.Component:
    opened = InvoiceState.open_line == line.number
    return rx.el.tbody(
        rx.el.tr(
            rx.el.td(
                rx.el.div(
                    rx.el.span(line.title, class_name="font-medium text-ink"),
                    rx.cond(line.is_late, late_badge()),
                    class_name="flex flex-wrap items-center gap-x-2 gap-y-1",
                ),
                rx.el.div(line.plan, class_name=classes.CAPTION),
                class_name="pt-3 align-top",
            ),
            rx.el.td(line.quantity, class_name=f"{_CELL_NUMBER} text-soft max-sm:hidden"),
            rx.el.td(line.unit_price, class_name=f"{_CELL_NUMBER} text-soft max-sm:hidden"),
            rx.el.td(line.amount, class_name=f"{_CELL_NUMBER} font-medium text-ink"),
        ),
        # Under all columns, so that a sentence with large numbers stays on one line.
        rx.el.tr(
            rx.el.td(
                rx.cond(line.arithmetic.length() > 0, _arithmetic(line)),
                rx.cond(line.has_usage, _opener(line, opened)) if opening else rx.fragment(),
                col_span=4,
                class_name="pb-3",
            ),
        ),
        rx.cond(
            opened,
            rx.el.tr(rx.el.td(_usage(), col_span=4, class_name="pb-4"), class_name="print:hidden"),
        )
        if opening
        else rx.fragment(),
        class_name="border-t border-line last:border-b break-inside-avoid",
    )


def _arithmetic(line: rx.Var[LineItem]) -> rx.Component:
    return rx.el.div(
        rx.foreach(line.arithmetic, lambda sentence: rx.el.p(sentence)),
        class_name="mt-1 text-pretty text-[13px] leading-5 tabular-nums text-soft",
        custom_attrs={"data-arithmetic": ""},
    )


def _opener(line: rx.Var[LineItem], opened: rx.Var[bool]) -> rx.Component:
    return rx.el.button(
        icon("chevron-right", 14, "shrink-0 transition-transform duration-100 group-aria-expanded:rotate-90"),
        rx.cond(opened, "Hide usage", "Show usage"),
        rx.el.span(f" of {line.title}", class_name=classes.SCREEN_READER),
        type="button",
        on_click=InvoiceState.toggle(line.number),
        custom_attrs={"aria-expanded": rx.cond(opened, "true", "false")},
        class_name="group -ml-1 mt-1 inline-flex h-6 items-center gap-1 rounded px-1 text-xs font-medium"
        " text-accent hover:bg-hover print:hidden",
    )


def _usage() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            chart_frame(
                "Usage per day",
                "Day (UTC)",
                _UNITS,
                InvoiceState.days,
                bar_chart(_UNITS, InvoiceState.days, compact=True),
                height="h-36",
            ),
            rx.el.p(InvoiceState.busiest_day, class_name=f"{classes.CAPTION} mt-1 tabular-nums"),
            class_name="px-4 py-3",
        ),
        rx.el.h3("Events", class_name="border-t border-line px-4 pb-1 pt-3 text-xs font-medium text-ink"),
        _events(),
        # No width of its own: its table scrolls inside it and does not widen the sheet.
        class_name="w-0 min-w-full overflow-hidden rounded-md border border-line bg-sunken",
    )


def _events() -> rx.Component:
    head = "px-2.5 sm:px-4 py-1.5 text-left text-xs font-medium text-faint"
    return rx.fragment(
        rx.el.div(
            rx.el.table(
                rx.el.thead(
                    rx.el.tr(
                        rx.el.th(rx.fragment("Time (", InvoiceState.zone, ")"), scope="col", class_name=head),
                        rx.el.th("Key", scope="col", class_name=head),
                        rx.el.th("Quantity", scope="col", class_name=f"{head} text-right"),
                    )
                ),
                rx.el.tbody(rx.foreach(InvoiceState.events, _event)),
                class_name="w-full text-xs tabular-nums",
                aria_label="Events",
            ),
            class_name="overflow-x-auto",
        ),
        rx.cond(
            InvoiceState.has_next | InvoiceState.has_previous,
            rx.el.nav(
                _turn("Previous", InvoiceState.previous_events, InvoiceState.has_previous),
                _turn("Next", InvoiceState.next_events, InvoiceState.has_next),
                aria_label="Pages of events",
                class_name="flex justify-end gap-2 border-t border-line px-3 py-2",
            ),
        ),
    )


def _event(event: rx.Var[EventItem]) -> rx.Component:
    cell = "whitespace-nowrap border-t border-line px-2.5 sm:px-4 py-1.5 text-soft"
    return rx.el.tr(
        rx.el.td(
            rx.el.span(event.occurred, title=event.occurred_utc),
            class_name=cell,
        ),
        rx.el.td(
            rx.el.div(event.key, class_name="max-w-16 truncate sm:max-w-72", title=event.key),
            class_name=cell,
        ),
        rx.el.td(event.quantity, class_name=f"{cell} text-right font-medium text-ink"),
    )


def _turn(label: str, on_click: rx.EventHandler, possible: rx.Var[bool]) -> rx.Component:
    return rx.el.button(
        label, type="button", on_click=on_click, disabled=~possible, class_name=classes.BUTTON
    )
