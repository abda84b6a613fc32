"""The figures of a customer: usage, upcoming invoice, invoices and usage events."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.customer import CustomerState
from billing_app.state.pages.customer_actions import CustomerActions
from billing_app.state.presenters.invoices import InvoiceItem
from billing_app.state.presenters.usage import UsageItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import icon, late_badge, link, notice, payment_badge
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.cards import card
from billing_app.ui.kit.charts import Series, area_chart, chart_frame, level
from billing_app.ui.kit.filters import pick
from billing_app.ui.kit.tables import column, number_column, page_links, row_link, table
from billing_app.ui.pages.invoice_lines import lines
from billing_app.ui.pages.usage_event import event_buttons, event_quantity, unpriced_badge

_TITLE = "mb-3 text-sm font-semibold"


def due_month() -> rx.Component:
    """The oldest month without an invoice, with the button that generates it."""
    return rx.cond(
        CustomerState.due != "",
        rx.el.div(
            rx.el.div(
                icon("file-clock", 16, "mt-0.5 shrink-0"),
                rx.el.span(
                    rx.el.span(CustomerState.due, class_name="font-medium"),
                    " has ended and isn’t invoiced yet.",
                ),
                class_name="flex min-w-0 gap-2 text-sm",
            ),
            writers_only(button("Generate invoice", look="primary", on_click=CustomerActions.open_invoice)),
            class_name="flex flex-wrap items-center justify-between gap-3 rounded-lg border border-line bg-accent-soft"
            " py-3 pl-4 pr-3 text-ink",
            role="status",
        ),
    )


def usage_chart() -> rx.Component:
    """Chart the running total of this month's usage against the included units."""
    used = CustomerState.usage
    total, included = Series("total", used.total_name), Series("included", "Included", quiet=True)
    columns = [Series("used", used.used_name), total]
    return rx.el.section(
        rx.el.div(
            rx.el.div(
                rx.el.span(used.used, class_name=classes.FIGURE),
                rx.el.span(used.caption, class_name="text-sm tabular-nums text-soft"),
                class_name="flex min-w-0 flex-wrap items-baseline gap-x-2",
            ),
            rx.cond(used.meters.length() > 1, pick("Meter", "meter", used.meters)),
            class_name="flex flex-wrap items-start justify-between gap-x-4 gap-y-2",
        ),
        rx.el.div(
            rx.cond(
                used.is_divided,
                _usage_frame([total, included], [*columns, included]),
                _usage_frame([total], columns),
            ),
            class_name="mt-3",
        ),
        aria_label="Usage this month",
        class_name=f"{classes.PANEL} min-w-0 px-5 py-4",
    )


def _usage_frame(drawn: list[Series], columns: list[Series]) -> rx.Component:
    used = CustomerState.usage
    return chart_frame(
        rx.fragment(rx.cond(used.meter != "", used.meter, "Usage"), " in ", used.period),
        "Day",
        drawn,
        used.points,
        rx.cond(
            used.has_included,
            area_chart(drawn, used.points, compact=True, extra=level(used.included, used.included_text)),
            area_chart(drawn, used.points, compact=True),
        ),
        height="h-52",
        columns=columns,
    )


def upcoming_invoice() -> rx.Component:
    """The lines of this month's invoice as of now."""
    preview = CustomerState.preview
    return rx.cond(
        preview.period != "",
        card(
            "Upcoming invoice",
            rx.cond(
                CustomerState.lines.length() > 0,
                rx.fragment(
                    rx.el.div(lines(CustomerState.lines, opens=False), class_name="mt-3"),
                    _totals(),
                ),
                rx.el.p(
                    "Nothing to invoice. There is no plan this month, and nothing else to charge.",
                    class_name="py-4 text-sm text-soft",
                ),
            ),
            actions=rx.el.span(preview.period, class_name="shrink-0 text-sm tabular-nums text-soft"),
        ),
    )


def _totals() -> rx.Component:
    preview = CustomerState.preview
    return rx.fragment(
        rx.el.div(
            rx.el.span(
                rx.el.span("Total so far", class_name="text-sm font-medium text-ink"),
                rx.el.span(
                    "as of ",
                    preview.as_of,
                    title=preview.as_of_utc,
                    class_name=f"{classes.CAPTION} tabular-nums",
                ),
                class_name="flex flex-wrap items-baseline gap-x-2",
            ),
            rx.el.span(
                preview.total,
                class_name="max-w-[70%] shrink-0 text-right text-base font-semibold tabular-nums"
                f" {classes.WRAPPED}",
            ),
            class_name="flex items-baseline justify-between gap-4 pt-3",
        ),
        rx.cond(
            preview.credit != "",
            rx.fragment(_sum("Credit to be applied", preview.credit), _sum("Amount due", preview.due)),
        ),
    )


def _sum(label: str, amount: rx.Var[str]) -> rx.Component:
    return rx.el.div(
        rx.el.span(label),
        rx.el.span(amount, class_name=f"max-w-[70%] text-right tabular-nums {classes.WRAPPED}"),
        class_name="flex items-baseline justify-between gap-4 pt-1 text-sm text-soft",
    )


def invoices() -> rx.Component:
    """The invoices with period and payment status."""
    return rx.el.section(
        rx.el.h2("Invoices", class_name=_TITLE),
        rx.cond(
            CustomerState.rows.length() > 0,
            rx.fragment(
                table(
                    "Invoices",
                    [
                        column("Number"),
                        column("Period", wide_only=True),
                        column("Status"),
                        column("Due date", wide_only=True),
                        number_column("Balance", wide_only=True),
                        number_column("Total"),
                    ],
                    rx.foreach(CustomerState.rows, _invoice),
                ),
                page_links(CustomerState.pages),
            ),
            rx.el.div(
                notice(
                    "file-text",
                    "No invoices yet",
                    "The first invoice appears here after its month has ended and been invoiced.",
                ),
                class_name=classes.PANEL,
            ),
        ),
    )


def _invoice(invoice: rx.Var[InvoiceItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            row_link(invoice.number, invoice.href),
            rx.el.div(invoice.period, class_name=classes.NARROW_CAPTION),
            class_name=f"{classes.TD_MAIN} whitespace-nowrap tabular-nums",
        ),
        rx.el.td(invoice.period, class_name=f"{classes.TD} {classes.WIDE_ONLY}"),
        rx.el.td(payment_badge(invoice.status), class_name=classes.TD),
        rx.el.td(invoice.due, class_name=f"{classes.TD} {classes.WIDE_ONLY} tabular-nums"),
        rx.el.td(invoice.balance, class_name=f"{classes.TD_NUMBER} {classes.WIDE_ONLY}"),
        rx.el.td(invoice.total, class_name=classes.TD_AMOUNT),
        class_name=classes.TR_LINK,
    )


def events() -> rx.Component:
    """The latest usage events with the period that each is billed in."""
    return rx.el.section(
        rx.el.div(
            rx.el.h2("Latest usage", class_name="text-sm font-semibold"),
            link("All usage", CustomerState.customer.usage_href, f"{classes.LINK} text-sm"),
            class_name="mb-3 flex items-baseline justify-between gap-3",
        ),
        rx.cond(
            CustomerState.events.length() > 0,
            table(
                "Latest usage",
                [
                    column("Time"),
                    column("Idempotency key", wide_only=True),
                    column("Billed in", wide_only=True),
                    number_column("Quantity"),
                    rx.el.th(
                        rx.el.span("Actions", class_name=classes.SCREEN_READER),
                        scope="col",
                        class_name=classes.TH,
                    ),
                ],
                rx.foreach(CustomerState.events, _event),
            ),
            rx.el.div(
                notice("activity", "No usage yet", "Usage events appear here as soon as they are recorded."),
                class_name=classes.PANEL,
            ),
        ),
    )


def _event(event: rx.Var[UsageItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.span(event.occurred, title=event.occurred_utc),
            rx.el.div(event.billed_in, class_name=classes.NARROW_CAPTION),
            rx.cond(event.is_unpriced, rx.el.div(unpriced_badge(), class_name="pb-1 md:hidden")),
            class_name="h-10 whitespace-nowrap border-b border-line px-3 tabular-nums text-ink max-md:h-14",
        ),
        rx.el.td(
            rx.el.div(event.key, class_name="max-w-40 truncate", title=event.key),
            class_name=f"{classes.TD} {classes.WIDE_ONLY}",
        ),
        rx.el.td(
            rx.el.span(
                event.billed_in,
                rx.cond(event.is_late, late_badge()),
                rx.cond(event.is_unpriced, unpriced_badge()),
                class_name="inline-flex items-center gap-2",
            ),
            class_name=f"{classes.TD} {classes.WIDE_ONLY}",
        ),
        rx.el.td(event_quantity(event), class_name=f"{classes.TD_AMOUNT} py-1"),
        rx.el.td(event_buttons(event.customer_key, event.key), class_name=f"{classes.TD} pl-0"),
        class_name=classes.TR,
    )
