"""The lines of an invoice, each with its arithmetic. A line opens to its usage per day and its events."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.pages.invoice import InvoiceState
from billing_app.state.presenters.invoices import CorrectionItem, EventItem, LineItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import icon, late_badge
from billing_app.ui.kit.charts import Series, bar_chart, chart_frame

_UNITS = [Series("units", "Units")]
_HEAD = "pb-2 text-left text-xs font-medium leading-4 text-faint"
_HEAD_NUMBER = "pb-2 text-right text-xs font-medium leading-4 text-faint"
_CELL_NUMBER = "pt-3 pl-4 text-right align-top tabular-nums"
_LONG_NUMBER = 16
_SUBTITLE = "border-t border-line px-4 pb-1 pt-3 text-xs font-medium text-ink"
_CELL = "whitespace-nowrap border-t border-line px-2.5 sm:px-4 py-1.5 text-soft"


def lines(rows: Any = InvoiceState.lines, *, opens: bool = True) -> rx.Component:
    """Render all lines as one table. Lines of a preview don't open to their usage."""
    return rx.el.table(
        rx.el.thead(
            rx.el.tr(
                rx.el.th("Description", scope="col", class_name=_HEAD),
                rx.el.th("Quantity", scope="col", class_name=f"{_HEAD_NUMBER} pl-4 max-sm:hidden"),
                rx.el.th("Unit price", scope="col", class_name=f"{_HEAD_NUMBER} pl-4 max-sm:hidden"),
                rx.el.th("Amount", scope="col", class_name=f"{_HEAD_NUMBER} pl-4"),
            ),
        ),
        rx.foreach(rows, lambda line: _line(line, opens)),
        class_name="mt-8 w-full border-collapse" if opens else "w-full border-collapse",
    )


def _line(line: rx.Var[LineItem], opens: bool) -> rx.Component:
    is_open = InvoiceState.open_line == line.number
    return rx.el.tbody(
        rx.el.tr(
            rx.el.td(
                rx.el.div(
                    rx.el.span(line.title, class_name="font-medium text-ink"),
                    rx.cond(line.badge != "", late_badge(line.badge)),
                    class_name="flex flex-wrap items-center gap-x-2 gap-y-1",
                ),
                rx.el.div(line.subtitle, class_name=classes.CAPTION),
                class_name="pt-3 align-top [overflow-wrap:anywhere]",
            ),
            _number_cell(line.quantity, "text-soft max-sm:hidden"),
            _number_cell(line.unit_price, "text-soft max-sm:hidden"),
            _number_cell(line.amount, "font-medium text-ink"),
        ),
        # Across all columns, so that arithmetic with large numbers stays on one line.
        rx.el.tr(
            rx.el.td(
                rx.cond(line.arithmetic.length() > 0, _arithmetic(line)),
                rx.cond(line.has_usage, _opener(line, is_open)) if opens else rx.fragment(),
                col_span=4,
                class_name="pb-3",
            ),
        ),
        rx.cond(
            is_open,
            rx.el.tr(rx.el.td(_usage(), col_span=4, class_name="pb-4"), class_name="print:hidden"),
        )
        if opens
        else rx.fragment(),
        class_name="border-t border-line last:border-b break-inside-avoid",
    )


def _number_cell(number: rx.Var[str], look: str) -> rx.Component:
    """Render a number on one line, unless it is so long that it has to wrap to fit its page."""
    return rx.el.td(
        number,
        class_name=rx.cond(
            number.length() > _LONG_NUMBER,
            f"{_CELL_NUMBER} [overflow-wrap:anywhere] {look}",
            f"{_CELL_NUMBER} whitespace-nowrap {look}",
        ),
    )


def _arithmetic(line: rx.Var[LineItem]) -> rx.Component:
    return rx.el.div(
        rx.foreach(line.arithmetic, lambda sentence: rx.el.p(sentence)),
        class_name="mt-1 text-pretty text-[13px] leading-5 tabular-nums text-soft [overflow-wrap:anywhere]",
        custom_attrs={"data-arithmetic": ""},
    )


def _opener(line: rx.Var[LineItem], is_open: rx.Var[bool]) -> rx.Component:
    return rx.el.button(
        icon("chevron-right", 14, "shrink-0 transition-transform duration-100 group-aria-expanded:rotate-90"),
        rx.cond(is_open, "Hide usage", "Show usage"),
        rx.el.span(f" for {line.title}", class_name=classes.SCREEN_READER),
        type="button",
        on_click=InvoiceState.toggle(line.number),
        custom_attrs={"aria-expanded": rx.cond(is_open, "true", "false")},
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
        rx.cond(
            InvoiceState.events.length() > 0,
            rx.fragment(rx.el.h3("Events", class_name=_SUBTITLE), _events()),
        ),
        rx.cond(
            InvoiceState.corrections.length() > 0,
            rx.fragment(rx.el.h3("Corrections", class_name=_SUBTITLE), _corrections()),
        ),
        # Without a width, so that its table scrolls inside it rather than widening the invoice.
        class_name="w-0 min-w-full overflow-hidden rounded-md border border-line bg-sunken",
    )


def _events() -> rx.Component:
    return rx.fragment(
        rx.el.div(
            rx.el.table(
                rx.el.thead(
                    rx.el.tr(
                        _head(rx.fragment("Time (", InvoiceState.zone, ")")),
                        _head("Key"),
                        _head("Quantity", "text-right"),
                    )
                ),
                rx.el.tbody(rx.foreach(InvoiceState.events, _event)),
                class_name="w-full text-xs tabular-nums",
                aria_label="Events",
            ),
            class_name="overflow-x-auto",
        ),
        _pages(
            "Event pages",
            (InvoiceState.previous_events, InvoiceState.has_previous),
            (InvoiceState.next_events, InvoiceState.has_next),
        ),
    )


def _event(event: rx.Var[EventItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(rx.el.span(event.occurred, title=event.occurred_utc), class_name=_CELL),
        _key_cell(event.key),
        rx.el.td(event.quantity, class_name=f"{_CELL} text-right font-medium text-ink"),
    )


def _corrections() -> rx.Component:
    return rx.fragment(
        rx.el.div(
            rx.el.table(
                rx.el.thead(
                    rx.el.tr(
                        _head(rx.fragment("Time (", InvoiceState.zone, ")")),
                        _head("Key"),
                        _head("Corrected", "text-right max-sm:hidden"),
                        _head("Difference", "text-right"),
                    )
                ),
                rx.el.tbody(rx.foreach(InvoiceState.corrections, _correction)),
                class_name="w-full text-xs tabular-nums",
                aria_label="Corrections",
            ),
            # Narrow screens scroll it, also by keyboard.
            tab_index=0,
            class_name="overflow-x-auto",
        ),
        _pages(
            "Correction pages",
            (InvoiceState.previous_corrections, InvoiceState.has_previous_corrections),
            (InvoiceState.next_corrections, InvoiceState.has_next_corrections),
        ),
    )


def _correction(correction: rx.Var[CorrectionItem]) -> rx.Component:
    return rx.fragment(
        rx.el.tr(
            rx.el.td(rx.el.span(correction.occurred, title=correction.occurred_utc), class_name=_CELL),
            _key_cell(correction.key),
            rx.el.td(correction.change, class_name=f"{_CELL} text-right max-sm:hidden"),
            rx.el.td(correction.difference, class_name=f"{_CELL} text-right font-medium text-ink"),
        ),
        rx.el.tr(
            rx.el.td(
                correction.reason,
                col_span=4,
                class_name="px-2.5 pb-1.5 text-soft sm:px-4 [overflow-wrap:anywhere]",
            ),
        ),
    )


def _head(text: Any, align: str = "text-left") -> rx.Component:
    return rx.el.th(
        text, scope="col", class_name=f"px-2.5 sm:px-4 py-1.5 text-xs font-medium text-faint {align}"
    )


def _key_cell(key: rx.Var[str]) -> rx.Component:
    return rx.el.td(rx.el.div(key, class_name="max-w-16 truncate sm:max-w-72", title=key), class_name=_CELL)


def _pages(
    label: str,
    previous: tuple[rx.EventHandler, rx.Var[bool]],
    following: tuple[rx.EventHandler, rx.Var[bool]],
) -> rx.Component:
    return rx.cond(
        previous[1] | following[1],
        rx.el.nav(
            _page_button("Previous", *previous),
            _page_button("Next", *following),
            aria_label=label,
            class_name="flex justify-end gap-2 border-t border-line px-3 py-2",
        ),
    )


def _page_button(label: str, on_click: rx.EventHandler, is_enabled: rx.Var[bool]) -> rx.Component:
    return rx.el.button(
        label, type="button", on_click=on_click, disabled=~is_enabled, class_name=classes.BUTTON
    )
