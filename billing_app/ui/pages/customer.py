"""The page of one customer: usage, upcoming invoice, invoices, details and actions."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.customer import CustomerState
from billing_app.state.pages.customer_actions import CustomerActions
from billing_app.state.presenters.customers import AuditItem, PlanFromItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import (
    Text,
    by_phase,
    customer_badge,
    icon,
    link,
    notice,
    skeleton,
)
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.menus import menu, menu_item
from billing_app.ui.kit.tables import table_skeleton
from billing_app.ui.pages.adjustment_dialogs import adjustment_dialogs
from billing_app.ui.pages.customer_adjustments import credit, discounts, one_off_items
from billing_app.ui.pages.customer_billing import due_month, events, invoices, upcoming_invoice, usage_chart
from billing_app.ui.pages.customer_dialogs import dialogs
from billing_app.ui.pages.usage_event import event_dialogs

_ASIDE_TITLE = "text-sm font-semibold leading-5"


def customer() -> rx.Component:
    """Build the page: figures in the wide column; details, plans and audit entries next to it."""
    return page(
        rx.cond(CustomerState.customer.name != "", CustomerState.customer.name, CustomerState.key),
        "Customers",
        by_phase(
            CustomerState.phase,
            CustomerState.problem,
            loading=_skeleton(),
            missing=_missing(),
            ready=rx.fragment(_bar(), _columns()),
        ),
        dialogs(),
        adjustment_dialogs(),
        event_dialogs(),
        above=rx.fragment(
            link("Customers", "/customers", "hidden text-sm text-soft hover:text-ink md:inline"),
            icon("chevron-right", 14, "hidden shrink-0 text-faint md:block"),
        ),
    )


def _columns() -> rx.Component:
    """Two columns, or one on a narrow screen, with the details below the upcoming invoice."""
    return rx.el.div(
        rx.el.div(
            due_month(),
            usage_chart(),
            upcoming_invoice(),
            rx.el.div(invoices(), class_name="order-2 min-w-0 xl:order-none"),
            rx.el.div(credit(), class_name="order-2 min-w-0 empty:hidden xl:order-none"),
            rx.el.div(discounts(), class_name="order-2 min-w-0 xl:order-none"),
            rx.el.div(one_off_items(), class_name="order-2 min-w-0 xl:order-none"),
            rx.el.div(events(), class_name="order-2 min-w-0 xl:order-none"),
            class_name="contents min-w-0 flex-1 flex-col gap-6 xl:flex",
        ),
        rx.el.aside(
            rx.el.div(_details(), class_name="order-1 xl:order-none"),
            rx.el.div(_history(), class_name="order-3 xl:order-none"),
            rx.el.div(_audit(), class_name="order-3 xl:order-none"),
            aria_label="About the customer",
            class_name="contents w-76 shrink-0 flex-col gap-6 xl:flex",
        ),
        class_name="flex flex-col gap-6 xl:flex-row xl:gap-8",
    )


def _bar() -> rx.Component:
    who = CustomerState.customer
    return rx.el.div(
        rx.el.div(
            customer_badge(who.status),
            rx.el.span(who.key, class_name="truncate font-medium text-ink", title="Key"),
            rx.el.span(who.email, class_name="min-w-0 truncate text-soft"),
            class_name="flex min-w-0 max-w-full items-center gap-3 text-sm",
        ),
        writers_only(
            rx.el.div(
                button("Record usage", "plus", on_click=CustomerActions.open_usage),
                button("Edit customer", "pencil", on_click=CustomerActions.open_edit),
                menu(
                    "customer-menu",
                    "More actions",
                    menu_item("Change plan", "layers", on_click=CustomerActions.open_plan),
                    menu_item("Cancel subscription", "calendar-x", on_click=CustomerActions.open_cancel),
                    rx.cond(
                        who.status == "suspended",
                        menu_item("Reactivate customer", "play", on_click=CustomerActions.open_reactivate),
                        menu_item(
                            "Suspend customer", "pause", danger=True, on_click=CustomerActions.open_suspend
                        ),
                    ),
                ),
                class_name="flex flex-wrap items-center gap-2",
            )
        ),
        class_name="mb-5 flex min-h-8 flex-wrap items-center justify-between gap-x-4 gap-y-3",
    )


def _details() -> rx.Component:
    who = CustomerState.customer
    return rx.el.section(
        rx.el.h2("Details", class_name=_ASIDE_TITLE),
        rx.el.dl(
            _balances(),
            _fact(
                "Plan",
                rx.fragment(
                    who.plan,
                    rx.cond(
                        who.terms != "", rx.el.div(who.terms, class_name=f"{classes.CAPTION} tabular-nums")
                    ),
                ),
            ),
            _fact("Key", who.key),
            _fact("Email", who.email),
            _fact(
                "Billing address",
                rx.cond(
                    who.address != "",
                    rx.el.span(who.address, class_name="whitespace-pre-line"),
                    rx.el.span("None", class_name="text-faint"),
                ),
            ),
            _fact("Currency", who.currency),
            _fact("Customer since", who.since),
            class_name="mt-3 grid grid-cols-2 gap-x-6 gap-y-3.5 sm:grid-cols-3 xl:grid-cols-1",
        ),
        class_name=f"{classes.PANEL} px-5 py-4",
    )


def _balances() -> rx.Component:
    """Show what is outstanding, and the credit if there is any."""
    adjusted = CustomerState.adjustments
    return rx.fragment(
        _fact(
            "Outstanding",
            rx.el.span(
                CustomerState.customer.outstanding,
                class_name=f"text-base font-semibold tabular-nums {classes.WRAPPED}",
            ),
        ),
        rx.cond(
            adjusted.has_credit,
            _fact(
                "Credit",
                rx.el.span(adjusted.credit, class_name=f"font-medium tabular-nums {classes.WRAPPED}"),
            ),
        ),
    )


def _fact(name: str, value: Text | rx.Component) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name=classes.EYEBROW),
        rx.el.dd(value, class_name="mt-0.5 text-sm text-ink [overflow-wrap:anywhere]"),
        class_name="min-w-0",
    )


def _history() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Plan history", class_name=_ASIDE_TITLE),
        rx.el.ol(rx.foreach(CustomerState.history, _plan_from), class_name="mt-3 flex flex-col gap-3"),
        class_name=f"{classes.PANEL} px-5 py-4",
    )


def _plan_from(row: rx.Var[PlanFromItem]) -> rx.Component:
    return rx.el.li(
        rx.el.div(
            rx.el.span(row.plan, class_name="min-w-0 [overflow-wrap:anywhere]"),
            rx.match(
                row.when,
                ("now", rx.el.span("Now", class_name=classes.BADGE_GOOD)),
                ("planned", rx.el.span("Planned", class_name=classes.BADGE_QUIET)),
                rx.fragment(),
            ),
            class_name="flex items-start justify-between gap-2 text-sm text-ink",
        ),
        rx.el.div("From ", row.since, class_name=classes.CAPTION),
    )


def _audit() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2("Audit log", class_name=_ASIDE_TITLE),
            link("All entries", CustomerState.customer.audit_href, f"{classes.LINK} text-xs"),
            class_name="flex items-baseline justify-between gap-3",
        ),
        rx.el.ol(rx.foreach(CustomerState.audit, _audit_entry), class_name="mt-3 flex flex-col gap-3"),
        class_name=f"{classes.PANEL} px-5 py-4",
    )


def _audit_entry(entry: rx.Var[AuditItem]) -> rx.Component:
    return rx.el.li(
        rx.el.div(entry.what, class_name="text-sm text-ink"),
        rx.cond(
            entry.details != "",
            rx.el.div(entry.details, class_name="text-xs leading-4 text-soft [overflow-wrap:anywhere]"),
        ),
        rx.el.div(
            entry.who,
            " · ",
            rx.el.span(entry.at, title=entry.at_utc),
            class_name=f"{classes.CAPTION} tabular-nums [overflow-wrap:anywhere]",
        ),
        class_name="flex flex-col gap-0.5",
    )


def _missing() -> rx.Component:
    return rx.el.div(
        notice(
            "user-x",
            "Customer not found",
            rx.fragment("No customer has the key or ID “", CustomerState.key, "”."),
            link("All customers", "/customers", classes.BUTTON),
        ),
        class_name=classes.PANEL,
    )


def _skeleton() -> rx.Component:
    return rx.fragment(
        skeleton("mb-5 h-8 w-64"),
        rx.el.div(
            rx.el.div(
                skeleton("h-4 w-40"),
                skeleton("mt-4 h-48 w-full"),
                class_name=f"{classes.PANEL} px-5 py-4",
            ),
            rx.el.div(
                skeleton("h-4 w-20"), skeleton("mt-4 h-40 w-full"), class_name=f"{classes.PANEL} px-5 py-4"
            ),
            class_name="mb-6 grid grid-cols-1 gap-6 xl:grid-cols-[minmax(0,1fr)_19rem]",
        ),
        table_skeleton(6),
    )
