"""One customer: who it is, what it owes, and its invoices."""

from __future__ import annotations

import reflex as rx

from billing_app.state.customer import CustomerState
from billing_app.state.rows.invoices import InvoiceItem
from billing_app.ui import classes
from billing_app.ui.components.basics import (
    Text,
    bone,
    by_phase,
    customer_badge,
    icon,
    link,
    notice,
    payment_badge,
)
from billing_app.ui.components.tables import (
    column,
    number_column,
    pagination,
    row_link,
    table,
    table_bones,
)
from billing_app.ui.layout import page


def customer() -> rx.Component:
    """Details above, invoices below."""
    return page(
        rx.cond(CustomerState.customer.name != "", CustomerState.customer.name, CustomerState.key),
        "Customers",
        by_phase(
            CustomerState.phase,
            CustomerState.problem,
            loading=_bones(),
            missing=_missing(),
            ready=rx.fragment(_header(), _invoices()),
        ),
        above=rx.fragment(
            link("Customers", "/customers", "hidden text-sm text-soft hover:text-ink md:inline"),
            icon("chevron-right", 14, "hidden shrink-0 text-faint md:block"),
        ),
    )


def _header() -> rx.Component:
    who = CustomerState.customer
    return rx.el.section(
        rx.el.div(
            rx.el.div("Outstanding", class_name=classes.EYEBROW),
            rx.el.div(who.outstanding, class_name=f"mt-1 {classes.FIGURE}"),
            class_name="border-b border-line px-5 py-4 lg:border-b-0 lg:border-r lg:pr-10",
        ),
        rx.el.dl(
            _fact("Status", customer_badge(who.status)),
            _fact("Plan", who.plan),
            _fact("Email", who.email),
            _fact("Key", who.key),
            _fact("Currency", who.currency),
            _fact("Customer since", who.since),
            rx.cond(
                who.address != "",
                _fact("Billing address", rx.el.span(who.address, class_name="whitespace-pre-line")),
            ),
            class_name="grid flex-1 grid-cols-2 gap-x-8 gap-y-4 px-5 py-4 sm:grid-cols-3 lg:pl-8",
        ),
        aria_label="Details",
        class_name=f"{classes.PANEL} mb-8 lg:flex",
    )


def _fact(name: str, value: Text | rx.Component) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name=classes.EYEBROW),
        rx.el.dd(value, class_name="mt-1 text-sm text-ink [overflow-wrap:anywhere]"),
        class_name="min-w-0",
    )


def _invoices() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Invoices", class_name="mb-3 text-sm font-semibold"),
        rx.cond(
            CustomerState.rows.length() > 0,
            rx.fragment(
                table(
                    "Invoices",
                    [
                        column("Number"),
                        column("Period", wide_only=True),
                        column("Status"),
                        column("Due", wide_only=True),
                        number_column("Balance", wide_only=True),
                        number_column("Total"),
                    ],
                    rx.foreach(CustomerState.rows, _row),
                ),
                pagination(CustomerState.previous_href, CustomerState.next_href),
            ),
            rx.el.div(
                notice(
                    "file-text",
                    "No invoices yet",
                    "A month is invoiced after it has ended. The first invoice appears here then.",
                ),
                class_name=classes.PANEL,
            ),
        ),
    )


def _row(invoice: rx.Var[InvoiceItem]) -> rx.Component:
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


def _missing() -> rx.Component:
    return rx.el.div(
        notice(
            "user-x",
            "There is no such customer",
            rx.fragment("No customer has the key or id “", CustomerState.key, "”."),
            link("All customers", "/customers", classes.BUTTON),
        ),
        class_name=classes.PANEL,
    )


def _bones() -> rx.Component:
    return rx.fragment(
        rx.el.div(
            bone("h-3 w-20"),
            bone("mt-2 h-7 w-32"),
            class_name=f"{classes.PANEL} mb-8 h-40 px-5 py-4",
        ),
        bone("mb-3 h-4 w-16"),
        table_bones(6),
    )
