"""The list of customers: the way in."""

from __future__ import annotations

import reflex as rx

from billing_app.state.customers import CustomersState
from billing_app.state.rows.customers import CustomerItem
from billing_app.ui import classes
from billing_app.ui.components.basics import by_phase, customer_badge, link, notice
from billing_app.ui.components.filters import filters, search_filter, select_filter
from billing_app.ui.components.tables import (
    column,
    number_column,
    page_links,
    row_link,
    table,
    table_bones,
)
from billing_app.ui.layout import page


def customers() -> rx.Component:
    """A page of customers, found by name or email."""
    return page(
        "Customers",
        "Customers",
        _filters(),
        by_phase(
            CustomersState.phase,
            CustomersState.problem,
            loading=table_bones(),
            missing=rx.fragment(),
            ready=rx.cond(CustomersState.rows.length() > 0, _table(), _empty()),
        ),
    )


def _filters() -> rx.Component:
    return filters(
        search_filter("Search customers", "Search by name, email or key"),
        select_filter(
            "Status", "status", [("active", "Active"), ("suspended", "Suspended")], everything="All statuses"
        ),
        select_filter("Plan", "plan", CustomersState.plans, everything="All plans"),
    )


def _table() -> rx.Component:
    return rx.fragment(
        table(
            "Customers",
            [
                column("Customer"),
                column("Email", wide_only=True),
                column("Plan", wide_only=True),
                column("Status", wide_only=True),
                number_column("Outstanding"),
            ],
            rx.foreach(CustomersState.rows, _row),
        ),
        page_links(CustomersState.pages),
    )


def _row(customer: rx.Var[CustomerItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.div(row_link(customer.name, customer.href), class_name="max-w-52 truncate md:max-w-64"),
            rx.el.div(
                customer.plan,
                rx.cond(customer.status == "suspended", " · Suspended", ""),
                class_name=classes.NARROW_CAPTION,
            ),
            class_name=classes.TD_MAIN,
        ),
        rx.el.td(
            rx.el.div(customer.email, class_name="max-w-64 truncate"),
            class_name=f"{classes.TD} {classes.WIDE_ONLY}",
        ),
        rx.el.td(customer.plan, class_name=f"{classes.TD} {classes.WIDE_ONLY}"),
        rx.el.td(customer_badge(customer.status), class_name=f"{classes.TD} {classes.WIDE_ONLY}"),
        rx.el.td(
            customer.outstanding,
            class_name=rx.cond(customer.owes, classes.TD_AMOUNT, classes.TD_NOTHING),
        ),
        class_name=classes.TR_LINK,
    )


def _empty() -> rx.Component:
    return rx.el.div(
        rx.cond(
            CustomersState.is_filtered,
            notice(
                "search-x",
                "No customer matches",
                "Nobody is found by what is searched for and chosen above.",
                link("Show all customers", "/customers", classes.BUTTON),
            ),
            notice(
                "users",
                "No customers yet",
                "They can’t be made on these pages yet. The demo, in a database of its own, shows what is there.",
            ),
        ),
        class_name=classes.PANEL,
    )
