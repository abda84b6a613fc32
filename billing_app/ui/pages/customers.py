"""The list of customers, and the dialog that creates one."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.pages.customers import NEW, CustomersState
from billing_app.state.presenters.customers import CustomerItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, customer_badge, link, notice
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.dialogs import form_dialog
from billing_app.ui.kit.fields import DialogForm, day_field, suggest_field, text_area, text_field
from billing_app.ui.kit.filters import (
    ambiguous_matches,
    filters,
    search_filter,
    select_filter,
    suggest_filter,
)
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.tables import column, page_links, row_link, sort_column, table, table_skeleton


def customers() -> rx.Component:
    """Build the page: filters, one page of customers, and the dialog for a new one."""
    return page(
        "Customers",
        "Customers",
        rx.el.div(
            _filters(),
            writers_only(_new_button("primary")),
            class_name="mb-4 flex flex-wrap items-start justify-between gap-2 [&>form]:mb-0",
        ),
        by_phase(
            CustomersState.phase,
            CustomersState.problem,
            loading=table_skeleton(),
            missing=rx.fragment(),
            ready=rx.cond(CustomersState.rows.length() > 0, _table(), _empty()),
        ),
        _new_dialog(),
    )


def _filters() -> rx.Component:
    return filters(
        search_filter("Search customers", "Search by name, email or key"),
        select_filter(
            "Status", "status", [("active", "Active"), ("suspended", "Suspended")], everything="Any status"
        ),
        suggest_filter("Plan", "plan", CustomersState.plans, everything="All plans"),
        select_filter(
            "Subscription",
            "subscribed",
            [("true", "On a plan"), ("false", "Without a plan")],
            everything="With or without a plan",
        ),
        rx.cond(
            CustomersState.has_credits,
            select_filter(
                "Credit",
                "credit",
                [("true", "With credit"), ("false", "Without credit")],
                everything="Any credit",
            ),
        ),
    )


def _new_button(look: str) -> rx.Component:
    return rx.cond(
        CustomersState.has_plans, button("New customer", "plus", look=look, on_click=CustomersState.open_new)
    )


def _table() -> rx.Component:
    heads: Any = CustomersState.heads
    return rx.fragment(
        rx.el.div(
            rx.el.span(CustomersState.count),
            rx.cond(
                CustomersState.as_of != "",
                rx.el.span("Usage as of ", CustomersState.as_of, title=CustomersState.as_of_utc),
            ),
            class_name="mb-2 flex flex-wrap justify-between gap-x-4 px-0.5 text-xs tabular-nums text-faint",
        ),
        table(
            "Customers",
            [
                sort_column("Customer", heads["name"]),
                column("Email", wide_only=True),
                column("Plan", wide_only=True),
                column("Status", wide_only=True),
                sort_column("Usage this month", heads["usage"], number=True, wide_only=True),
                sort_column("Outstanding", heads["outstanding"], number=True),
                sort_column("Created", heads["created"], number=True, wide_only=True),
            ],
            rx.foreach(CustomersState.rows, _row),
        ),
        page_links(CustomersState.pages),
    )


def _row(customer: rx.Var[CustomerItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.div(row_link(customer.name, customer.href), class_name="max-w-44 truncate sm:max-w-52"),
            rx.el.div(
                f"{customer.plan} {customer.version}",
                rx.cond(customer.status == "suspended", " · Suspended", ""),
                class_name=f"max-w-44 {classes.NARROW_CAPTION}",
            ),
            rx.el.div(
                customer.usage,
                rx.cond(customer.included != "", f" of {customer.included}", ""),
                rx.cond(customer.unit != "", f" {customer.unit}", ""),
                rx.cond((customer.included == "") & (customer.unit == ""), " used", ""),
                class_name=f"max-w-44 tabular-nums {classes.NARROW_CAPTION}",
            ),
            class_name=f"{classes.TD_MAIN} max-md:py-2",
        ),
        rx.el.td(
            rx.el.div(customer.email, class_name="max-w-40 truncate xl:max-w-56", title=customer.email),
            class_name=f"{classes.TD} {classes.WIDE_ONLY}",
        ),
        rx.el.td(
            rx.el.div(
                rx.el.span(customer.plan, class_name="truncate"),
                rx.el.span(customer.version, class_name="shrink-0 text-xs text-faint"),
                class_name="flex max-w-52 items-baseline gap-1.5",
            ),
            class_name=f"{classes.TD} {classes.WIDE_ONLY}",
        ),
        rx.el.td(customer_badge(customer.status), class_name=f"{classes.TD} {classes.WIDE_ONLY}"),
        rx.el.td(_usage(customer), class_name=f"{classes.TD_NUMBER} {classes.WIDE_ONLY}"),
        rx.el.td(
            customer.outstanding,
            class_name=rx.cond(customer.owes, classes.TD_AMOUNT, classes.TD_NOTHING),
        ),
        rx.el.td(customer.created, class_name=f"{classes.TD_NUMBER} {classes.WIDE_ONLY}"),
        class_name=classes.TR_LINK,
    )


def _usage(customer: rx.Var[CustomerItem]) -> rx.Component:
    """The usage, above a bar of the included units and the overage."""
    return rx.el.div(
        rx.el.div(
            rx.el.span(customer.usage, class_name="text-ink"),
            rx.cond(customer.included != "", rx.el.span(f" of {customer.included}", class_name="text-faint")),
            rx.cond(customer.unit != "", rx.el.span(f" {customer.unit}", class_name="text-faint")),
            class_name="text-[13px] leading-4",
        ),
        rx.cond(
            customer.included != "",
            rx.el.div(
                rx.el.div(style={"width": customer.within}, class_name="bg-bar"),
                rx.el.div(style={"width": customer.overage}, class_name="bg-beyond"),
                class_name="mt-1 flex h-1 overflow-hidden rounded-full bg-bone",
                aria_hidden=True,
            ),
        ),
        class_name="ml-auto w-fit min-w-44",
    )


def _new_dialog() -> rx.Component:
    dialog = DialogForm(NEW, CustomersState.form)
    return form_dialog(
        dialog,
        CustomersState.create,
        text_field(
            dialog, "name", "Name", placeholder="Acme Industrial Supply", max_length=200,
            on_change=CustomersState.propose_key.debounce(200),
        ),
        text_field(dialog, "email", "Email", kind="email", placeholder="billing@acme.example", max_length=254,
                   help_text="Unique to this customer. Invoices show it."),
        rx.el.div(
            suggest_field(
                dialog, "plan", "Plan", CustomersState.plan_options,
                on_type=CustomersState.suggest_plan, max_length=200,
            ),
            day_field(dialog, "start", "Starts", CustomersState.starts, "Start date"),
            class_name=classes.FIELD_PAIR,
        ),
        text_field(
            dialog, "key", "Key (optional)", max_length=63, placeholder=CustomersState.proposed_key,
            help_text=rx.cond(
                CustomersState.proposed_key != "",
                f"Your own ID for this customer. It can’t be changed later. Leave empty to use {CustomersState.proposed_key}.",
                "Your own ID for this customer. It can’t be changed later. Leave empty to generate it from the name.",
            ),
        ),
        text_area(dialog, "billing_address", "Billing address (optional)", max_length=1000),
        submit="Create customer",
    )  # fmt: skip


def _empty() -> rx.Component:
    return rx.el.div(
        rx.cond(
            CustomersState.similar_plans.length() > 0,
            ambiguous_matches("Which plan?", CustomersState.similar_plans),
            _no_rows(),
        ),
        class_name=classes.PANEL,
    )


def _no_rows() -> rx.Component:
    return rx.fragment(
        rx.cond(
            CustomersState.is_filtered,
            notice(
                "search-x",
                "No customer matches",
                "Try another search or fewer filters.",
                link("Show all customers", "/customers", classes.BUTTON),
            ),
            rx.cond(
                CustomersState.has_plans,
                notice(
                    "users",
                    "No customers yet",
                    "Customers appear here with their plan, usage and outstanding balance.",
                    writers_only(_new_button("primary")),
                ),
                notice(
                    "layers",
                    "Create a plan first",
                    "Every customer is on a plan, which sets the monthly price, included units and overage price.",
                    link("Go to plans", "/plans", classes.BUTTON_PRIMARY),
                ),
            ),
        ),
    )
