"""The list of invoices with its totals, and generating one invoice or a whole month."""

from __future__ import annotations

import reflex as rx

from billing_app.state.kit.session import SessionState
from billing_app.state.pages.invoice_runs import InvoiceRunsState
from billing_app.state.pages.invoices import AGE_OPTIONS, GENERATE, STATUS_OPTIONS, InvoicesState
from billing_app.state.presenters.invoices import InvoiceItem, TotalItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, file_link, icon, link, notice, payment_badge
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.customer_field import customer_field
from billing_app.ui.kit.dialogs import form_dialog
from billing_app.ui.kit.fields import DialogForm, select_field
from billing_app.ui.kit.filters import filters, search_filter, select_filter
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.tables import (
    column,
    number_column,
    page_links,
    row_link,
    sort_column,
    table,
    table_skeleton,
)
from billing_app.ui.pages.invoice_runs import recent_runs, run_dialogs, shown_run

# Columns that don't fit next to the navigation in a narrow window.
_FROM_LARGE, _FROM_LARGEST = "hidden lg:table-cell", "hidden xl:table-cell"
# The largest sums wrap rather than widen the page.
_SUM = "min-w-0 font-semibold text-ink [overflow-wrap:anywhere] lg:text-right"
_ZERO_SUM = "min-w-0 font-semibold text-faint [overflow-wrap:anywhere] lg:text-right"


def invoices() -> rx.Component:
    """Render the list of invoices with its filters, totals and invoice runs."""
    return page(
        "Invoices",
        "Invoices",
        shown_run(),
        _issuer_needed(),
        rx.el.div(
            filters(
                search_filter("Search invoices", "Number or customer"),
                select_filter("Period", "period", InvoicesState.periods, everything="All periods"),
                select_filter("Status", "status", STATUS_OPTIONS, everything="Any status"),
                select_filter("Age", "age", AGE_OPTIONS, everything="Any age"),
                _currency_filter(),
                _customer_chip(),
            ),
            _actions(),
            class_name="flex flex-col items-start justify-between gap-x-4 xl:flex-row",
        ),
        by_phase(
            InvoicesState.phase,
            InvoicesState.problem,
            loading=table_skeleton(),
            missing=_no_customer(),
            ready=rx.cond(InvoicesState.rows.length() > 0, rx.fragment(_totals(), _table()), _empty()),
        ),
        recent_runs(),
        _generate_dialog(),
        run_dialogs(),
    )


def _issuer_needed() -> rx.Component:
    """Explain that company details are required before the first invoice, where they are missing."""
    return rx.cond(
        InvoicesState.needs_issuer,
        rx.el.div(
            rx.el.p(
                "Invoices need your company’s name and address. ",
                rx.cond(
                    SessionState.may_administer,
                    "Add them before you generate the first invoice.",
                    "Ask an admin to add them in Settings.",
                ),
            ),
            rx.cond(
                SessionState.may_administer,
                link("Add company details", "/settings", f"{classes.BUTTON} ml-auto"),
            ),
            class_name="mb-4 flex flex-wrap items-center gap-x-4 gap-y-2 rounded-lg bg-warn-soft px-4 py-3 text-sm text-warn",
        ),
    )


def _currency_filter() -> rx.Component:
    """Render the currency filter where there are several currencies."""
    return rx.el.div(
        select_filter("Currency", "currency", InvoicesState.currencies, everything="All currencies"),
        class_name=rx.cond(InvoicesState.currencies.length() > 1, "contents", "hidden"),
    )


def _actions() -> rx.Component:
    return rx.el.div(
        file_link(
            rx.el.span("CSV", class_name="max-sm:sr-only"),
            InvoicesState.csv_href,
            title="Export these invoices as CSV",
        ),
        writers_only(
            button("Generate invoice", "file-plus-2", on_click=InvoicesState.open_generate),
            button(
                "Run invoices for a month",
                "calendar-check",
                look="primary",
                on_click=InvoiceRunsState.open_run,
            ),
        ),
        class_name="mb-4 flex shrink-0 flex-wrap gap-2",
    )


def _customer_chip() -> rx.Component:
    """Render the customer whose invoices are listed, with a link that lists all customers'."""
    return rx.cond(
        InvoicesState.customer != "",
        rx.el.span(
            rx.el.span(InvoicesState.customer, class_name="max-w-48 truncate"),
            link(
                icon("x", 14),
                InvoicesState.all_customers_href,
                "inline-flex size-6 items-center justify-center rounded hover:bg-hover hover:text-ink",
                aria_label="Show invoices of all customers",
                title="Show invoices of all customers",
            ),
            class_name="inline-flex h-8 items-center gap-1 rounded-md border border-line-strong bg-sunken pl-2.5"
            " pr-1 text-sm text-ink",
        ),
    )


def _totals() -> rx.Component:
    return rx.cond(
        InvoicesState.totals.length() > 0,
        rx.el.section(
            rx.foreach(InvoicesState.totals, _total),
            rx.cond(
                InvoicesState.totals_as_of != "",
                rx.el.p(
                    "As of ",
                    rx.el.span(InvoicesState.totals_as_of, title=InvoicesState.totals_as_of_utc),
                    class_name=f"{classes.CAPTION} px-4 py-2",
                ),
            ),
            aria_label="Totals of these invoices",
            class_name=f"{classes.PANEL} mb-4 divide-y divide-line",
        ),
    )


def _total(total: rx.Var[TotalItem]) -> rx.Component:
    return rx.el.dl(
        rx.el.div(
            rx.el.dt(total.currency, class_name="w-10 font-medium text-ink"),
            rx.el.dd(total.invoices, class_name="whitespace-nowrap text-soft"),
            class_name="flex max-lg:col-span-2",
        ),
        _amount("Invoiced", total.total, _SUM),
        _amount("Outstanding", total.outstanding, rx.cond(total.is_outstanding, _SUM, _ZERO_SUM)),
        class_name="grid grid-cols-2 gap-x-6 gap-y-1 px-4 py-2.5 text-sm tabular-nums"
        " lg:grid-cols-[minmax(9rem,1fr)_minmax(0,17rem)_minmax(0,17rem)]",
    )


def _amount(name: str, amount: rx.Var[str], class_name: str | rx.Var[str]) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name=f"whitespace-nowrap {classes.CAPTION}"),
        rx.el.dd(amount, class_name=class_name),
        class_name="min-w-0 lg:flex lg:items-baseline lg:justify-end lg:gap-2",
    )


def _table() -> rx.Component:
    return rx.fragment(
        table(
            "Invoices",
            [
                column("Number"),
                _head("Customer", f"{classes.TH} {_FROM_LARGE}"),
                sort_column("Period", InvoicesState.by_period, wide_only=True),
                _head("Status", f"{classes.TH} {_FROM_LARGE}"),
                _head("Due date", f"{classes.TH} {_FROM_LARGEST}"),
                _head("Balance", f"{classes.TH_NUMBER} {_FROM_LARGEST}"),
                number_column("Total"),
            ],
            rx.foreach(InvoicesState.rows, _row),
        ),
        page_links(InvoicesState.pages),
    )


def _head(title: str, class_name: str) -> rx.Component:
    return rx.el.th(title, scope="col", class_name=class_name)


def _row(invoice: rx.Var[InvoiceItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            # Never truncated: invoices of one customer differ only at the end of the number.
            rx.el.div(
                row_link(invoice.number, invoice.href),
                # As wide as the number up to a limit, so that the table can't squeeze it.
                class_name="w-max max-w-40 tabular-nums [overflow-wrap:anywhere] sm:max-w-48",
            ),
            rx.el.div(
                rx.el.span(invoice.period, " · ", class_name="md:hidden"),
                invoice.customer,
                class_name="max-w-40 truncate text-xs font-normal leading-4 text-faint sm:max-w-56 lg:hidden",
            ),
            class_name=classes.TD_MAIN,
        ),
        rx.el.td(
            rx.el.div(invoice.customer, class_name="max-w-36 truncate xl:max-w-56"),
            class_name=f"{classes.TD} {_FROM_LARGE}",
        ),
        rx.el.td(invoice.period, class_name=f"{classes.TD} {classes.WIDE_ONLY}"),
        rx.el.td(payment_badge(invoice.status), class_name=f"{classes.TD} {_FROM_LARGE}"),
        rx.el.td(invoice.due, class_name=f"{classes.TD} tabular-nums {_FROM_LARGEST}"),
        rx.el.td(
            invoice.balance,
            class_name=rx.cond(
                (invoice.status == "paid") | (invoice.status == "credit"),
                f"{classes.TD_NOTHING} {_FROM_LARGEST}",
                f"{classes.TD_NUMBER} {_FROM_LARGEST}",
            ),
        ),
        rx.el.td(
            invoice.total,
            rx.el.div(payment_badge(invoice.status), class_name="mt-0.5 lg:hidden"),
            class_name=classes.TD_AMOUNT,
        ),
        class_name=classes.TR_LINK,
    )


def _generate_dialog() -> rx.Component:
    form = DialogForm(GENERATE, InvoicesState.form)
    return form_dialog(
        form,
        InvoicesState.generate,
        customer_field(form),
        select_field(form, "period", "Month", InvoicesState.months),
        rx.cond(
            InvoicesState.earlier != "",
            rx.el.div(
                button(
                    f"Generate {InvoicesState.earlier} first",
                    "file-plus-2",
                    on_click=InvoicesState.generate_earlier,
                )
            ),
        ),
        submit="Generate invoice",
        explanation="This closes the month for the customer. Usage recorded for it later is billed on the next"
        " invoice. An invoice can’t be changed once it is generated.",
    )


def _no_customer() -> rx.Component:
    return rx.el.div(
        notice(
            "search-x",
            "Customer not found",
            "No customer has the key in this page’s address.",
            link("Show all invoices", "/invoices", classes.BUTTON),
        ),
        class_name=classes.PANEL,
    )


def _empty() -> rx.Component:
    return rx.el.div(
        rx.cond(
            InvoicesState.is_filtered,
            notice(
                "search-x",
                "No invoices match",
                "Change or clear the search and the filters above.",
                link("Show all invoices", "/invoices", classes.BUTTON),
            ),
            notice(
                "receipt-text",
                "No invoices yet",
                "Once a month has ended, run its invoices for all customers, or generate one.",
                writers_only(
                    button("Run invoices for a month", "calendar-check", on_click=InvoiceRunsState.open_run)
                ),
            ),
        ),
        class_name=classes.PANEL,
    )
